/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/session.h"

#include "base/text.h"
#include "sip/fields.h"
#include "sip/mime.h"

#include <errno.h>

/* ---- SDP ---- */

bool bk_ms_sdp_is_session(struct bk_view sdp)
{
    while (sdp.at) {
        struct bk_view line = bk_view_trim(bk_view_cut(&sdp, '\n'));
        if (!bk_view_starts_with(line, BK_VIEW("m=")))
            continue;
        struct bk_view media = bk_view_cut(&line, ' ');
        bk_view_cut(&line, ' '); /* port */
        return (bk_view_equal(media, BK_VIEW("m=message")) ||
                bk_view_equal(media, BK_VIEW("m=x-ms-message"))) &&
               line.at && bk_view_equal_nocase(bk_view_cut(&line, ' '), BK_VIEW("sip"));
    }
    return false;
}

void bk_ms_sdp_session(struct bk_buf *to, struct bk_view ip, struct bk_view address)
{
    char family = bk_view_find(ip, ':') < ip.len ? '6' : '4';
    bk_buf_addf(to,
                "v=0\r\no=- 0 0 IN IP%c %.*s\r\ns=session\r\nc=IN IP%c %.*s\r\nt=0 0\r\n"
                "m=message 5060 sip sip:%.*s\r\n",
                family, BK_VIEW_ARGS(ip), family, BK_VIEW_ARGS(ip), BK_VIEW_ARGS(address));
    bk_buf_add_lit(to, "a=accept-types:text/plain text/html text/rtf multipart/alternative "
                       "application/im-iscomposing+xml\r\n");
}

/* ---- typing ---- */

/* The value of an attribute name="..." somewhere behind the start of that element. */
static struct bk_view attribute_of(struct bk_view xml, struct bk_view element, struct bk_view name)
{
    size_t at = bk_view_find_view(xml, element);
    xml = bk_view_skip(xml, at + element.len);
    xml = bk_view_head(xml, bk_view_find(xml, '>'));
    for (at = bk_view_find_view(xml, name); at < xml.len; at = bk_view_find_view(xml, name)) {
        xml = bk_view_skip(xml, at + name.len);
        struct bk_view rest = bk_view_trim(xml);
        if (!rest.len || rest.at[0] != '=')
            continue;
        rest = bk_view_trim(bk_view_skip(rest, 1));
        if (!rest.len || (rest.at[0] != '"' && rest.at[0] != '\''))
            return (struct bk_view){ 0 };
        char quote = rest.at[0];
        rest = bk_view_skip(rest, 1);
        return bk_view_head(rest, bk_view_find(rest, quote));
    }
    return (struct bk_view){ 0 };
}

enum bk_ms_typing bk_ms_keyboard_parse(struct bk_view body)
{
    size_t at = bk_view_find_view(body, BK_VIEW("KeyboardActivity"));
    if (at == body.len)
        return BK_MS_TYPING_NO_WORD;
    struct bk_view status =
        attribute_of(bk_view_skip(body, at), BK_VIEW("<status"), BK_VIEW("status"));
    if (bk_view_equal_nocase(status, BK_VIEW("type")))
        return BK_MS_TYPING_ON;
    return bk_view_equal_nocase(status, BK_VIEW("idle")) ? BK_MS_TYPING_OFF : BK_MS_TYPING_NO_WORD;
}

void bk_ms_keyboard_write(struct bk_buf *to, bool typing)
{
    bk_buf_addf(to,
                "<?xml version=\"1.0\"?>\r\n<KeyboardActivity><status status=\"%s\"/>"
                "</KeyboardActivity>",
                typing ? "type" : "idle");
}

enum bk_ms_typing bk_ms_composing_parse(struct bk_view body)
{
    const struct bk_view end = BK_VIEW("state>"); /* with or without a prefix */
    size_t at = bk_view_find_view(body, BK_VIEW("isComposing"));
    body = bk_view_skip(body, at);
    at = bk_view_find_view(body, end);
    if (at == body.len)
        return BK_MS_TYPING_NO_WORD;
    body = bk_view_skip(body, at + end.len);
    struct bk_view state = bk_view_trim(bk_view_head(body, bk_view_find(body, '<')));
    if (bk_view_equal_nocase(state, BK_VIEW("active")))
        return BK_MS_TYPING_ON;
    return bk_view_equal_nocase(state, BK_VIEW("idle")) ? BK_MS_TYPING_OFF : BK_MS_TYPING_NO_WORD;
}

void bk_ms_composing_write(struct bk_buf *to, bool typing)
{
    bk_buf_add_lit(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n"
                       "<isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"><state>");
    bk_buf_add_str(to, typing ? "active" : "idle");
    bk_buf_add_lit(to, "</state><contenttype>text/plain</contenttype><refresh>60</refresh>"
                       "</isComposing>");
}

/* ---- text ---- */

static void add_utf8(struct bk_buf *to, uint32_t c)
{
    if (c < 0x80) {
        bk_buf_add_char(to, (char)c);
    } else if (c < 0x800) {
        bk_buf_add_char(to, (char)(0xc0 | c >> 6));
        bk_buf_add_char(to, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        bk_buf_add_char(to, (char)(0xe0 | c >> 12));
        bk_buf_add_char(to, (char)(0x80 | (c >> 6 & 0x3f)));
        bk_buf_add_char(to, (char)(0x80 | (c & 0x3f)));
    } else {
        bk_buf_add_char(to, (char)(0xf0 | c >> 18));
        bk_buf_add_char(to, (char)(0x80 | (c >> 12 & 0x3f)));
        bk_buf_add_char(to, (char)(0x80 | (c >> 6 & 0x3f)));
        bk_buf_add_char(to, (char)(0x80 | (c & 0x3f)));
    }
}

/* A character that a text may hold: no control but tab and line ends, no surrogate. */
static void add_character(struct bk_buf *to, uint32_t c)
{
    if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f || c > 0x10ffff ||
        (c >= 0xd800 && c < 0xe000))
        return;
    add_utf8(to, c);
}

static void add_windows_1252(struct bk_buf *to, unsigned char c)
{
    static const uint16_t high[32] = { 0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020,
                                       0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,
                                       0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d,
                                       0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a,
                                       0x0153, 0,      0x017e, 0x0178 };
    if (c < 0x80 || c >= 0xa0)
        add_character(to, c);
    else if (high[c - 0x80])
        add_utf8(to, high[c - 0x80]);
}

static void add_text(struct bk_buf *to, struct bk_view text)
{
    if (bk_utf8_valid(text)) {
        bk_buf_add_view(to, text);
        return;
    }
    for (size_t i = 0; i < text.len; i++)
        add_windows_1252(to, (unsigned char)text.at[i]);
}

/* ---- text/html ---- */

/* Takes the entity behind '&' off *rest; false: it is none, and the '&' stands for itself. */
static bool entity(struct bk_view *rest, uint32_t *ret)
{
    static const struct {
        struct bk_view name;
        uint32_t c;
    } named[] = { { { BK_VIEW_OF("amp;") }, '&' },    { { BK_VIEW_OF("lt;") }, '<' },
                  { { BK_VIEW_OF("gt;") }, '>' },     { { BK_VIEW_OF("quot;") }, '"' },
                  { { BK_VIEW_OF("apos;") }, '\'' },  { { BK_VIEW_OF("nbsp;") }, 0xa0 },
                  { { BK_VIEW_OF("euro;") }, 0x20ac } };
    struct bk_view v = *rest;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (bk_view_starts_with(v, named[i].name)) {
            *ret = named[i].c;
            *rest = bk_view_skip(v, named[i].name.len);
            return true;
        }
    if (v.len < 3 || v.at[0] != '#')
        return false;
    bool hex = v.at[1] == 'x' || v.at[1] == 'X';
    uint32_t c = 0;
    size_t i = hex ? 2 : 1, first = i;
    for (; i < v.len && i < first + 8; i++) {
        char d = bk_lower(v.at[i]);
        if (d >= '0' && d <= '9')
            c = c * (hex ? 16 : 10) + (uint32_t)(d - '0');
        else if (hex && d >= 'a' && d <= 'f')
            c = c * 16 + (uint32_t)(d - 'a' + 10);
        else
            break;
    }
    if (i == first || i == v.len || v.at[i] != ';')
        return false;
    *ret = c;
    *rest = bk_view_skip(v, i + 1);
    return true;
}

/* The name of the tag that stands in text (without <>), "/p" for an end. */
static struct bk_view tag_name(struct bk_view text)
{
    size_t n = 0;
    while (n < text.len && text.at[n] != ' ' && text.at[n] != '\t' && text.at[n] != '\r' &&
           text.at[n] != '\n' && !(n && text.at[n] == '/'))
        n++;
    return bk_view_head(text, n);
}

static bool is_one_of(struct bk_view name, const char *const *names)
{
    for (; *names; names++)
        if (bk_view_equal_nocase(name, bk_view_of_str(*names)))
            return true;
    return false;
}

struct flow { /* text that is being laid out: blanks become one, lines end once */
    struct bk_buf *to;
    size_t start;
    bool blank;
};

static void flow_end_line(struct flow *f)
{
    f->blank = false;
    if (f->to->len > f->start && f->to->at[f->to->len - 1] != '\n')
        bk_buf_add_char(f->to, '\n');
}

static void flow_add(struct flow *f, uint32_t c)
{
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        f->blank = true;
        return;
    }
    if (f->blank && f->to->len > f->start && f->to->at[f->to->len - 1] != '\n')
        bk_buf_add_char(f->to, ' ');
    f->blank = false;
    add_character(f->to, c == 0xa0 ? ' ' : c);
}

/* What stands between <script> and </script> is no text. Returns what is behind it. */
static struct bk_view skip_element(struct bk_view rest, struct bk_view name)
{
    while (rest.at) {
        bk_view_cut(&rest, '<');
        if (rest.len > name.len && rest.at[0] == '/' &&
            bk_view_starts_with_nocase(bk_view_skip(rest, 1), name)) {
            bk_view_cut(&rest, '>');
            return rest;
        }
    }
    return rest;
}

static void html_text(struct bk_view html, struct bk_buf *to)
{
    static const char *const hidden[] = { "script", "style", "head", "title", NULL };
    static const char *const lines[] = { "p",           "/p",    "div",    "/div", "li",
                                         "tr",          "/tr",   "ul",     "/ul",  "ol",
                                         "/ol",         "table", "/table", "h1",   "/h1",
                                         "h2",          "/h2",   "h3",     "/h3",  "blockquote",
                                         "/blockquote", "hr",    NULL };
    struct flow f = { to, to->len, false };
    struct bk_buf utf8 = { 0 };
    add_text(&utf8, html); /* the rest can then go byte by byte */
    struct bk_view rest = bk_buf_view(&utf8);

    while (rest.len) {
        unsigned char c = (unsigned char)rest.at[0];
        rest = bk_view_skip(rest, 1);
        uint32_t special;
        if (c == '<' && bk_view_starts_with(rest, BK_VIEW("!--"))) {
            size_t end = bk_view_find_view(rest, BK_VIEW("-->"));
            rest = bk_view_skip(rest, end + 3);
        } else if (c == '<') {
            struct bk_view tag = tag_name(bk_view_cut(&rest, '>'));
            if (bk_view_equal_nocase(tag, BK_VIEW("br"))) {
                f.blank = false;
                if (to->len > f.start)
                    bk_buf_add_char(to, '\n');
            } else if (is_one_of(tag, lines)) {
                flow_end_line(&f);
            } else if (is_one_of(tag, hidden)) {
                rest = skip_element(rest, tag);
            }
        } else if (c == '&' && entity(&rest, &special)) {
            flow_add(&f, special);
        } else if (c < 0x80) {
            flow_add(&f, c);
        } else {
            if (f.blank && to->len > f.start && to->at[to->len - 1] != '\n')
                bk_buf_add_char(to, ' ');
            f.blank = false;
            bk_buf_add_char(to, (char)c);
        }
    }
    bk_buf_finish(&utf8);
    while (to->len > f.start && (to->at[to->len - 1] == '\n' || to->at[to->len - 1] == ' '))
        to->len--;
}

/* ---- text/rtf ---- */

enum { RTF_DEEP = 32 };

struct rtf {
    struct bk_buf *to;
    int depth;
    int hidden; /* depth at which a destination that is no text began; 0: none */
    int skip;   /* characters that stand for a \u to those who cannot read it */
    int after_u[RTF_DEEP + 1];
    uint32_t surrogate;
};

static void rtf_add(struct rtf *r, uint32_t c)
{
    if (r->hidden)
        return;
    if (r->skip > 0) {
        r->skip--;
        return;
    }
    add_character(r->to, c);
}

static void rtf_unicode(struct rtf *r, int64_t number)
{
    uint32_t c = (uint32_t)(number < 0 ? number + 65536 : number) & 0xffff;
    if (r->hidden)
        return;
    r->skip = 0;
    if (c >= 0xd800 && c < 0xdc00) {
        r->surrogate = c;
    } else if (c >= 0xdc00 && c < 0xe000) {
        if (r->surrogate)
            add_character(r->to, 0x10000 + ((r->surrogate - 0xd800) << 10) + (c - 0xdc00));
        r->surrogate = 0;
    } else {
        add_character(r->to, c);
    }
    r->skip = r->after_u[r->depth <= RTF_DEEP ? r->depth : RTF_DEEP];
}

/* One control word with its number, taken off *rest; the backslash is behind us. */
static void rtf_word(struct rtf *r, struct bk_view *rest)
{
    static const char *const hidden[] = { "fonttbl",   "colortbl",  "stylesheet", "info",
                                          "pict",      "object",    "header",     "footer",
                                          "generator", "themedata", NULL };
    size_t n = 0;
    while (n < rest->len && n < 32 && bk_lower(rest->at[n]) >= 'a' && bk_lower(rest->at[n]) <= 'z')
        n++;
    struct bk_view word = bk_view_head(*rest, n);
    *rest = bk_view_skip(*rest, n);
    bool minus = rest->len && rest->at[0] == '-';
    int64_t number = 0;
    size_t digits = minus;
    while (digits < rest->len && digits < 9 && rest->at[digits] >= '0' && rest->at[digits] <= '9')
        number = number * 10 + (rest->at[digits++] - '0');
    bool has_number = digits > minus;
    if (has_number)
        *rest = bk_view_skip(*rest, digits);
    if (rest->len && rest->at[0] == ' ')
        *rest = bk_view_skip(*rest, 1);
    if (bk_view_equal(word, BK_VIEW("par")) || bk_view_equal(word, BK_VIEW("line")))
        rtf_add(r, '\n');
    else if (bk_view_equal(word, BK_VIEW("tab")))
        rtf_add(r, '\t');
    else if (bk_view_equal(word, BK_VIEW("u")) && has_number)
        rtf_unicode(r, minus ? -number : number);
    else if (bk_view_equal(word, BK_VIEW("uc")) && has_number && r->depth <= RTF_DEEP)
        r->after_u[r->depth] = number < 8 ? (int)number : 8;
    else if (!r->hidden && is_one_of(word, hidden))
        r->hidden = r->depth;
}

static void rtf_backslash(struct rtf *r, struct bk_view *rest)
{
    if (!rest->len)
        return;
    char c = rest->at[0];
    if (bk_lower(c) >= 'a' && bk_lower(c) <= 'z') {
        rtf_word(r, rest);
        return;
    }
    *rest = bk_view_skip(*rest, 1);
    unsigned char byte;
    if (c == '\'') {
        if (bk_hex_decode(bk_view_head(*rest, 2), &byte, 1) < 0)
            return;
        *rest = bk_view_skip(*rest, 2);
        if (r->hidden)
            return;
        if (r->skip > 0)
            r->skip--;
        else
            add_windows_1252(r->to, byte);
    } else if (c == '*') {
        if (!r->hidden)
            r->hidden = r->depth;
    } else if (c == '~') {
        rtf_add(r, ' ');
    } else if (c == '_') {
        rtf_add(r, '-');
    } else if (c == '\\' || c == '{' || c == '}') {
        rtf_add(r, (unsigned char)c);
    } else if (c == '\n' || c == '\r') {
        rtf_add(r, '\n');
    }
}

static void rtf_text(struct bk_view rtf, struct bk_buf *to)
{
    struct rtf r = { .to = to };
    size_t start = to->len;
    for (int i = 0; i <= RTF_DEEP; i++)
        r.after_u[i] = 1;
    while (rtf.len) {
        unsigned char c = (unsigned char)rtf.at[0];
        rtf = bk_view_skip(rtf, 1);
        if (c == '{') {
            if (r.depth < RTF_DEEP)
                r.after_u[r.depth + 1] = r.after_u[r.depth];
            r.depth++;
            r.skip = 0;
        } else if (c == '}') {
            if (r.hidden && r.depth <= r.hidden)
                r.hidden = 0;
            r.depth -= r.depth > 0;
            r.skip = 0;
        } else if (c == '\\') {
            rtf_backslash(&r, &rtf);
        } else if (c != '\r' && c != '\n') {
            if (c < 0x80)
                rtf_add(&r, c);
            else if (!r.hidden && !r.skip)
                add_windows_1252(to, c);
        }
    }
    while (to->len > start && (to->at[to->len - 1] == '\n' || to->at[to->len - 1] == ' '))
        to->len--;
}

/* ---- */

static const struct {
    struct bk_view type; /* best first */
    void (*reduce)(struct bk_view body, struct bk_buf *to);
} readable[] = {
    { { BK_VIEW_OF("text/plain") }, NULL },
    { { BK_VIEW_OF("text/html") }, html_text },
    { { BK_VIEW_OF("text/rtf") }, rtf_text },
    { { BK_VIEW_OF("application/rtf") }, rtf_text },
};

int bk_ms_text(struct bk_view content_type, struct bk_view body, struct bk_buf *ret)
{
    int r = -ENOENT;
    for (size_t i = 0; r == -ENOENT && i < sizeof readable / sizeof *readable; i++) {
        struct bk_mime_part part;
        r = bk_mime_find(content_type, body, readable[i].type, &part);
        if (r < 0)
            continue;
        if (readable[i].reduce)
            readable[i].reduce(part.body, ret);
        else
            add_text(ret, part.body);
    }
    if (r == -ENOENT)
        return -ENOTSUP;
    return r < 0 ? r : ret->failed ? -ENOMEM : 0;
}
