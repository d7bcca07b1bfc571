/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tunnel.h"

#include "base/text.h"
#include "net/http.h"
#include "net/tunnel_private.h"

#include <errno.h>
#include <stdio.h>

/* ---- the request ---- */

static bool is_sendable(struct bk_view text, const char *never)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] >= 0x7f || strchr(never, text.at[i]))
            return false;
    return true;
}

int bk_tunnel_request(struct bk_buf *to, const char *host, uint16_t port, struct bk_view login)
{
    struct bk_view name = bk_view_of_str(host);
    if (!name.len || name.len > 255 || !port || !is_sendable(name, "/@?#[]") ||
        !is_sendable(login, ""))
        return -EINVAL;
    char at[300];
    (void)snprintf(at, sizeof at, bk_view_find(name, ':') < name.len ? "[%s]:%u" : "%s:%u", host,
                   port);
    /* At once: what a growing buffer leaves behind would hold a password. */
    if (!bk_buf_reserve(to, login.len + 2 * strlen(at) + 200))
        return -ENOMEM;
    bk_buf_addf(to, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Beckon/" BK_VERSION "\r\n", at,
                at);
    if (login.len) {
        bk_buf_add_lit(to, "Proxy-Authorization: Basic ");
        bk_buf_add_view(to, login);
        bk_buf_add_lit(to, "\r\n");
    }
    bk_buf_add_lit(to, "\r\n");
    return to->failed ? -ENOMEM : 0;
}

/* ---- the answer ---- */

/* Appends what is printable and fits. */
static void note(char *to, size_t size, const char *at, size_t len)
{
    size_t has = strlen(to);
    for (size_t i = 0; i < len && has + 1 < size; i++)
        to[has++] = at[i] >= ' ' && at[i] < 0x7f ? at[i] : '?';
    to[has] = '\0';
}

static int on_status(http_parser *parser, const char *at, size_t len)
{
    struct bk_tunnel_reader *reader = parser->data;
    note(reader->answer->reason, sizeof reader->answer->reason, at, len);
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
    struct bk_tunnel_reader *reader = parser->data;
    if (reader->in_value)
        reader->field_len = 0;
    reader->in_value = false;
    for (size_t i = 0; i < len; i++) {
        if (reader->field_len < sizeof reader->field)
            reader->field[reader->field_len] = bk_lower(at[i]);
        reader->field_len++; /* longer than the array: none that is wanted */
    }
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    static const char wanted[] = "proxy-authenticate";
    struct bk_tunnel_reader *reader = parser->data;
    char *schemes = reader->answer->schemes;
    size_t size = sizeof reader->answer->schemes;
    if (!reader->in_value) {
        reader->in_value = true;
        reader->wanted = reader->field_len == sizeof wanted - 1 &&
                         memcmp(reader->field, wanted, sizeof wanted - 1) == 0;
        if (reader->wanted && schemes[0])
            note(schemes, size, ", ", 2);
    }
    if (reader->wanted)
        note(schemes, size, at, len);
    return 0;
}

static int on_head(http_parser *parser)
{
    struct bk_tunnel_reader *reader = parser->data;
    if (parser->status_code / 100 == 1) {
        parser->upgrade = 0; /* of 101: nobody asked for that */
        return 0;
    }
    reader->answer->status = parser->status_code;
    reader->over = true;
    return 2; /* no body, and the parser's work ends here, whatever the fields say (RFC 9110 9.3.6) */
}

static int on_complete(http_parser *parser)
{
    struct bk_tunnel_reader *reader = parser->data;
    if (reader->over)
        return 0;
    reader->answer->reason[0] = reader->answer->schemes[0] = '\0'; /* of an interim answer */
    reader->field_len = 0;
    reader->in_value = false;
    return 0;
}

static const http_parser_settings settings = {
    .on_status = on_status,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_message_complete = on_complete,
};

void bk_tunnel_reader_init(struct bk_tunnel_reader *reader, struct bk_tunnel_answer *answer)
{
    *reader = (struct bk_tunnel_reader){ .answer = answer };
    http_parser_init(&reader->parser, HTTP_RESPONSE);
    reader->parser.data = reader;
    reader->parser.allow_chunked_length = 1; /* both lengths are to be ignored (RFC 9110 9.3.6) */
}

enum bk_tunnel_step bk_tunnel_read(struct bk_tunnel_reader *reader, struct bk_view bytes,
                                   size_t *ret_used)
{
    struct bk_tunnel_answer *answer = reader->answer;
    size_t room = BK_HTTP_HEAD_MAX - reader->bytes;
    struct bk_view part = bk_view_head(bytes, room);
    size_t used = 0;
    if (part.len) /* none would tell the parser of an end */
        used = http_parser_execute(&reader->parser, &settings, part.at, part.len);
    reader->bytes += used;
    *ret_used = used;
    enum http_errno e = HTTP_PARSER_ERRNO(&reader->parser);
    bool ended = reader->over && e == HPE_OK && used && part.at[used - 1] == '\n';
    if (ended && answer->status >= 200)
        return answer->status / 100 == 2 ? BK_TUNNEL_OPEN : BK_TUNNEL_REFUSED;
    if (ended)
        answer->fault = "its answer has a status that there is not";
    else if (reader->over && e == HPE_OK) /* the library takes any byte behind the last CR */
        answer->fault = "its answer does not end with a line end";
    else if (e != HPE_OK)
        answer->fault = http_errno_description(e);
    else if (reader->bytes >= BK_HTTP_HEAD_MAX)
        answer->fault = "its answer has no end";
    else
        return BK_TUNNEL_MORE;
    answer->status = 0;
    answer->reason[0] = answer->schemes[0] = '\0';
    return BK_TUNNEL_BAD;
}

bool bk_tunnel_offers(const struct bk_tunnel_answer *answer, struct bk_view scheme)
{
    /* A scheme stands at the front or behind a comma, and a blank, a comma or the end behind it (RFC 9110 11.6.1). */
    struct bk_view rest = bk_view_of_str(answer->schemes);
    while (rest.at) {
        struct bk_view one = bk_view_trim(bk_view_cut(&rest, ','));
        if (bk_view_equal_nocase(bk_view_head(one, bk_view_find(one, ' ')), scheme))
            return true;
    }
    return false;
}
