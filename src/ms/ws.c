/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/ws.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "base/xml.h"
#include "ms/xml.h"

#include <errno.h>
#include <expat.h>

struct open {
    struct bk_ms_ws *element;
    const struct bk_ms_ws **last; /* where its next child goes */
};

struct reader {
    XML_Parser parser;
    struct bk_view bytes;
    struct bk_arena *arena;
    struct open open[BK_MS_WS_DEPTH_MAX];
    int depth, n_elements;
    struct bk_ms_ws *root;
    struct bk_buf text;
    const char *why;
    bool no_memory;
};

static void stop(struct reader *r, const char *why)
{
    if (!r->why)
        r->why = why;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

static void *take(struct reader *r, size_t size)
{
    void *at = bk_arena_alloc(r->arena, size);
    if (!at) {
        r->no_memory = true;
        stop(r, "out of memory");
    }
    return at;
}

static struct bk_view keep(struct reader *r, struct bk_view v)
{
    struct bk_view copy = bk_arena_copy(r->arena, v);
    if (v.len && !copy.at) {
        r->no_memory = true;
        stop(r, "out of memory");
    }
    return copy;
}

/* expat hands out "namespace|name", and refuses a bar in either. */
static void split_name(const char *full, struct bk_view *ret_ns, struct bk_view *ret_name)
{
    const char *bar = strrchr(full, '|');
    *ret_ns = bar ? bk_view_between(full, bar) : (struct bk_view){ 0 };
    *ret_name = bk_view_of_str(bar ? bar + 1 : full);
}

static void add_attributes(struct reader *r, struct bk_ms_ws *element, const char **pairs)
{
    const struct bk_ms_ws_attribute **last = &element->attributes;
    int n = 0;
    for (; pairs[0]; pairs += 2) {
        struct bk_ms_ws_attribute *a;
        struct bk_view ns, name;
        if (n++ == BK_MS_WS_ATTRIBUTES_MAX) {
            stop(r, "an element has too many attributes");
            return;
        }
        if (!(a = take(r, sizeof *a)))
            return;
        split_name(pairs[0], &ns, &name);
        a->name = keep(r, name);
        a->value = keep(r, bk_view_of_str(pairs[1]));
        *last = a;
        last = &a->next;
    }
}

/* Where in the bytes the parser stands. */
static size_t position(const struct reader *r)
{
    XML_Index at = XML_GetCurrentByteIndex(r->parser);
    return at < 0 || (size_t)at > r->bytes.len ? r->bytes.len : (size_t)at;
}

static void XMLCALL on_begin(void *user, const char *full, const char **attributes)
{
    struct reader *r = user;
    struct bk_ms_ws *element;
    struct bk_view ns, name;

    bk_buf_clear(&r->text);
    if (r->why)
        return; /* expat may still tell what it has read */
    if (r->depth == BK_MS_WS_DEPTH_MAX) {
        stop(r, "elements are nested too deep");
        return;
    }
    if (r->n_elements++ == BK_MS_WS_ELEMENTS_MAX) {
        stop(r, "there are too many elements");
        return;
    }
    if (!(element = take(r, sizeof *element)))
        return;
    split_name(full, &ns, &name);
    element->ns = keep(r, ns);
    element->name = keep(r, name);
    element->raw.at = r->bytes.at + position(r);
    add_attributes(r, element, attributes);
    if (r->depth) {
        struct open *parent = &r->open[r->depth - 1];
        *parent->last = element;
        parent->last = &element->next;
    } else {
        r->root = element;
    }
    r->open[r->depth++] = (struct open){ element, &element->child };
}

static void XMLCALL on_end(void *user, const char *full)
{
    struct reader *r = user;
    (void)full;
    if (r->why || !r->depth)
        return;
    struct bk_ms_ws *element = r->open[--r->depth].element;
    size_t end = position(r) + (size_t)XML_GetCurrentByteCount(r->parser);
    element->raw.len = end - (size_t)(element->raw.at - r->bytes.at);
    element->text = keep(r, bk_buf_view(&r->text));
    bk_buf_clear(&r->text);
}

static void XMLCALL on_text(void *user, const char *at, int len)
{
    struct reader *r = user;
    if (r->why || len <= 0)
        return;
    bk_buf_add(&r->text, at, (size_t)len);
    if (r->text.failed) {
        r->no_memory = true;
        stop(r, "out of memory");
    }
}

/* A document type could define entities that blow up or read files: none is taken. */
static void XMLCALL on_doctype(void *user, const char *name, const char *sysid, const char *pubid,
                               int internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)internal;
    stop(user, "a document type is not allowed");
}

static int read_all(struct reader *r)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_begin, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    enum XML_Status status = XML_Parse(r->parser, r->bytes.at, (int)r->bytes.len, XML_TRUE);
    if (r->no_memory || XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY)
        return -ENOMEM;
    if (!r->why && status == XML_STATUS_OK && r->root)
        return 0;
    if (!r->why)
        r->why = "not well-formed XML";
    return -EBADMSG;
}

int bk_ms_ws_parse(struct bk_view bytes, struct bk_arena *arena, const struct bk_ms_ws **ret,
                   const char **ret_why)
{
    struct reader r = { .arena = arena, .bytes = bytes };
    if (!bytes.len || bytes.len > BK_MS_WS_BYTES_MAX) {
        *ret_why = bytes.len ? "the document is too large" : "the document is empty";
        return -EBADMSG;
    }
    /*
     * One encoding only, whatever the document says: another one would let raw bytes and what is read of them mean two things. expat
     * still believes a byte order mark of UTF-16, which cannot do without NULs.
     */
    if (bk_view_find(bytes, '\0') < bytes.len) {
        *ret_why = "not well-formed XML";
        return -EBADMSG;
    }
    r.parser = XML_ParserCreateNS("UTF-8", '|');
    if (!r.parser)
        return -ENOMEM;
    int result = read_all(&r);
    XML_ParserFree(r.parser);
    bk_buf_finish(&r.text);
    if (result == 0)
        *ret = r.root;
    else if (result == -EBADMSG)
        *ret_why = r.why;
    return result;
}

/* ---- finding ---- */

static const struct bk_ms_ws *only_child(const struct bk_ms_ws *from, struct bk_view name)
{
    const struct bk_ms_ws *found = NULL;
    for (const struct bk_ms_ws *c = from->child; c; c = c->next) {
        if (!bk_view_equal(c->name, name))
            continue;
        if (found)
            return NULL;
        found = c;
    }
    return found;
}

const struct bk_ms_ws *bk_ms_ws_at(const struct bk_ms_ws *from, const char *path)
{
    struct bk_view rest = bk_view_of_str(path);
    while (from && rest.at)
        from = only_child(from, bk_view_cut(&rest, '/'));
    return from;
}

struct bk_view bk_ms_ws_text(const struct bk_ms_ws *from, const char *path)
{
    const struct bk_ms_ws *element = bk_ms_ws_at(from, path);
    return element ? bk_view_trim(element->text) : (struct bk_view){ 0 };
}

struct bk_view bk_ms_ws_attribute(const struct bk_ms_ws *element, const char *name)
{
    struct bk_view wanted = bk_view_of_str(name);
    for (const struct bk_ms_ws_attribute *a = element->attributes; a; a = a->next)
        if (bk_view_equal(a->name, wanted))
            return a->value;
    return (struct bk_view){ 0 };
}

/* ---- writing ---- */

int bk_ms_ws_base64(struct bk_view text, struct bk_buf *ret)
{
    BK_AUTO_BUF struct bk_buf dense = { 0 };
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(" \t\r\n", text.at[i]) || !text.at[i])
            bk_buf_add_char(&dense, text.at[i]);
    return dense.failed ? -ENOMEM : bk_base64_decode(bk_buf_view(&dense), ret);
}

void bk_ms_ws_fault(struct bk_buf *to, uint32_t code, struct bk_view text)
{
    bk_buf_add_lit(to, "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>"
                       "<s:Fault><faultcode>s:Client</faultcode><faultstring>");
    bk_xml_escape(to, text);
    bk_buf_addf(to,
                "</faultstring><s:Detail><error><value>%u</value><internalerror>"
                "<code>%u</code><text>",
                (unsigned)code, (unsigned)code);
    bk_xml_escape(to, text);
    bk_buf_add_lit(to, "</text></internalerror></error></s:Detail></s:Fault></s:Body>"
                       "</s:Envelope>");
}
