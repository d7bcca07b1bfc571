/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header fields of our requests that never change (Max-Forwards, Route, From, To, Call-ID) are
 * written once, when the dialog is made, and stand in `text` ready to go out; what else is known of
 * the dialog are views into them. The remote target stands behind, with a little room, because it
 * is the one thing that changes; where a new one does not fit it gets a block of its own.
 */
#include "sip/dialog.h"

#include "base/cleanup.h"
#include "sip/build.h"
#include "sip/fields.h"
#include "sip/uri.h"

#include <errno.h>
#include <stdlib.h>

enum {
    TARGET_ROOM_STEP = 32, /* a refreshed target is mostly as long as the last one */
    LINES_FRAME = 128,     /* what stands around the texts in the prepared lines */
    SAVED_TEXTS = 5,       /* call_id, tags, uris; then routes and the target */
};
#define SAVED_MAGIC "d1\n"
#define ROUTE "Route: "

struct bk_sip_dialog {
    struct bk_view call_id, local_tag, remote_tag, local_uri, remote_uri; /* into lines */
    struct bk_view lines;  /* Max-Forwards to Call-ID, into text */
    struct bk_view routes; /* the Route lines among them: name-addr as received, first hop first */
    struct bk_view target;
    size_t target_room;
    char *moved_target; /* from malloc, once the target outgrew its place in text */
    uint32_t local_cseq, remote_cseq;
    uint32_t invite_cseq; /* of our last INVITE, for its ACK and CANCEL */
    bool has_remote_cseq;
    char text[];
};

/* What a dialog is made of, before it has memory of its own. */
struct parts {
    struct bk_view call_id, local_tag, remote_tag, local_uri, remote_uri, target;
    struct bk_view routes[BK_SIP_ROUTE_MAX];
    int n_routes;
};

/* Nothing we write out again may bring a line of its own along. */
static bool is_one_line(struct bk_view v)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] == '\r' || v.at[i] == '\n' || v.at[i] == '\0')
            return false;
    return v.len > 0;
}

/* Adds the text and says where it stands; the buffer has room for all and does not move. */
static struct bk_view put(struct bk_buf *to, struct bk_view v)
{
    bk_buf_add_view(to, v);
    return (struct bk_view){ to->at + to->len - v.len, v.len };
}

/* A Record-Route may have been folded inside; a Route of ours is one line. */
static void put_route(struct bk_buf *to, struct bk_view route)
{
    bk_buf_add_lit(to, ROUTE);
    for (size_t i = 0; i < route.len; i++)
        bk_buf_add_char(to, route.at[i] == '\r' || route.at[i] == '\n' ? ' ' : route.at[i]);
    bk_buf_add_lit(to, "\r\n");
}

static void put_party(struct bk_buf *to, const char *name, struct bk_view uri, struct bk_view tag,
                      struct bk_view *ret_uri, struct bk_view *ret_tag)
{
    bk_buf_add_str(to, name);
    *ret_uri = put(to, uri);
    bk_buf_add_lit(to, ">;tag=");
    *ret_tag = put(to, tag);
    bk_buf_add_lit(to, "\r\n");
}

static int make(const struct parts *p, struct bk_sip_dialog **ret)
{
    const struct bk_view *const all[] = {
        &p->call_id, &p->local_tag, &p->remote_tag, &p->local_uri, &p->remote_uri, &p->target,
    };
    for (size_t i = 0; i < BK_COUNT_OF(all); i++)
        if (!is_one_line(*all[i]))
            return -EBADMSG;

    size_t room = LINES_FRAME;
    for (size_t i = 0; i < BK_COUNT_OF(all); i++)
        room += all[i]->len;
    for (int i = 0; i < p->n_routes; i++)
        room += p->routes[i].len + sizeof ROUTE "\r\n";

    struct bk_sip_dialog d = { 0 };
    BK_AUTO_BUF struct bk_buf lines = { 0 };
    if (!bk_buf_reserve(&lines, room))
        return -ENOMEM;
    bk_buf_add_lit(&lines, "Max-Forwards: 70\r\n");
    d.routes.at = lines.at + lines.len;
    for (int i = 0; i < p->n_routes; i++)
        put_route(&lines, p->routes[i]);
    d.routes.len = (size_t)(lines.at + lines.len - d.routes.at);
    put_party(&lines, "From: <", p->local_uri, p->local_tag, &d.local_uri, &d.local_tag);
    put_party(&lines, "To: <", p->remote_uri, p->remote_tag, &d.remote_uri, &d.remote_tag);
    bk_buf_add_lit(&lines, "Call-ID: ");
    d.call_id = put(&lines, p->call_id);
    bk_buf_add_lit(&lines, "\r\n");
    d.lines = bk_buf_view(&lines);
    d.target = put(&lines, p->target);
    d.target_room = (p->target.len + TARGET_ROOM_STEP) / TARGET_ROOM_STEP * TARGET_ROOM_STEP;

    struct bk_sip_dialog *made = malloc(sizeof d + d.lines.len + d.target_room);
    if (!made)
        return -ENOMEM;
    *made = d;
    memcpy(made->text, lines.at, lines.len);
    struct bk_view *const views[] = {
        &made->call_id,    &made->local_tag, &made->remote_tag, &made->local_uri,
        &made->remote_uri, &made->lines,     &made->routes,     &made->target,
    };
    for (size_t i = 0; i < BK_COUNT_OF(views); i++)
        views[i]->at = made->text + (views[i]->at - lines.at);
    *ret = made;
    return 0;
}

/* The URI of the first Contact. -ENOENT: there is none. */
static int contact_of(const struct bk_sip_msg *msg, struct bk_view *ret)
{
    struct bk_view rest = bk_sip_msg_value(msg, BK_SIP_HDR_CONTACT);
    if (rest.len == 0)
        return -ENOENT;
    struct bk_sip_addr addr;
    struct bk_sip_uri uri;
    if (bk_sip_addr_next(&rest, &addr) != 1 || addr.star ||
        bk_sip_uri_parse(addr.uri_text, &uri) < 0)
        return -EBADMSG;
    *ret = addr.uri_text;
    return 0;
}

static bool is_route(struct bk_view element)
{
    struct bk_sip_addr addr;
    struct bk_sip_uri uri;
    return bk_sip_addr_next(&element, &addr) == 1 && addr.bracketed && element.len == 0 &&
           bk_sip_uri_parse(addr.uri_text, &uri) == 0;
}

static int add_route(struct parts *p, struct bk_view element)
{
    if (p->n_routes == BK_SIP_ROUTE_MAX)
        return -EBADMSG;
    p->routes[p->n_routes++] = element;
    return 0;
}

/* Record-Route as it stands in the message. */
static int record_routes_of(const struct bk_sip_msg *msg, struct parts *ret)
{
    for (const struct bk_sip_field *field = bk_sip_msg_field(msg, BK_SIP_HDR_RECORD_ROUTE); field;
         field = bk_sip_msg_field_next(msg, field)) {
        struct bk_view rest = field->value, element;
        int r;
        while ((r = bk_sip_list_next(&rest, &element)) == 1)
            if (!is_route(element) || add_route(ret, element) < 0)
                return -EBADMSG;
        if (r < 0)
            return r;
    }
    return 0;
}

static void reverse_routes(struct parts *p)
{
    for (int i = 0, k = p->n_routes - 1; i < k; i++, k--) {
        struct bk_view first = p->routes[i];
        p->routes[i] = p->routes[k];
        p->routes[k] = first;
    }
}

/* We are the side that To names. */
static int make_as_callee(const struct bk_sip_msg *request, const struct bk_sip_head *head,
                          struct bk_view local_tag, struct bk_sip_dialog **ret)
{
    struct parts p = {
        .call_id = head->call_id,
        .local_tag = local_tag,
        .remote_tag = head->from_tag,
        .local_uri = head->to_uri,
        .remote_uri = head->from_uri,
    };
    if (p.local_tag.len == 0 || p.remote_tag.len == 0 || contact_of(request, &p.target) < 0 ||
        record_routes_of(request, &p) < 0)
        return -EBADMSG;
    struct bk_sip_dialog *d;
    int r = make(&p, &d);
    if (r < 0)
        return r;
    d->remote_cseq = head->cseq;
    d->has_remote_cseq = true;
    *ret = d;
    return 0;
}

int bk_sip_dialog_from_request(const struct bk_sip_msg *request, const struct bk_sip_head *head,
                               struct bk_view local_tag, struct bk_sip_dialog **ret)
{
    return make_as_callee(request, head, head->to_tag.len ? head->to_tag : local_tag, ret);
}

int bk_sip_dialog_from_response(const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                                struct bk_sip_dialog **ret)
{
    if (msg->status == 0) /* the NOTIFY that overtook the answer, RFC 6665 4.1.2.4 */
        return make_as_callee(msg, head, head->to_tag, ret);

    struct parts p = {
        .call_id = head->call_id,
        .local_tag = head->from_tag,
        .remote_tag = head->to_tag,
        .local_uri = head->from_uri,
        .remote_uri = head->to_uri,
    };
    if (p.local_tag.len == 0 || p.remote_tag.len == 0 || contact_of(msg, &p.target) < 0 ||
        record_routes_of(msg, &p) < 0)
        return -EBADMSG;
    reverse_routes(&p);
    struct bk_sip_dialog *d;
    int r = make(&p, &d);
    if (r < 0)
        return r;
    d->local_cseq = head->cseq;
    if (msg->method == BK_SIP_INVITE)
        d->invite_cseq = head->cseq;
    *ret = d;
    return 0;
}

void bk_sip_dialog_sent(struct bk_sip_dialog *d, uint32_t cseq)
{
    if (cseq > d->local_cseq)
        d->local_cseq = cseq;
}

struct bk_sip_dialog *bk_sip_dialog_destroy(struct bk_sip_dialog *d)
{
    if (d)
        free(d->moved_target);
    free(d);
    return NULL;
}

/* ---- What arrives ---- */

/* Tags are tokens: case does not count (RFC 3261 7.3.1). */
static bool tags_match(const struct bk_sip_dialog *d, struct bk_view local, struct bk_view remote)
{
    return bk_view_equal_nocase(d->local_tag, local) && bk_view_equal_nocase(d->remote_tag, remote);
}

bool bk_sip_dialog_matches(const struct bk_sip_dialog *d, const struct bk_sip_msg *msg,
                           const struct bk_sip_head *head)
{
    if (!bk_view_equal(d->call_id, head->call_id))
        return false;
    return msg->status ? tags_match(d, head->from_tag, head->to_tag)
                       : tags_match(d, head->to_tag, head->from_tag);
}

/* RFC 3261 12.2, RFC 6665 4.1.2.2 and 4.2.2, RFC 3311: requests that may move the target. */
static bool refreshes_target(enum bk_sip_method method)
{
    return method == BK_SIP_INVITE || method == BK_SIP_UPDATE || method == BK_SIP_SUBSCRIBE ||
           method == BK_SIP_NOTIFY || method == BK_SIP_REFER;
}

static int move_target(struct bk_sip_dialog *d, struct bk_view to)
{
    if (bk_view_equal(d->target, to))
        return 0;
    char *place = d->moved_target ? d->moved_target : d->text + d->lines.len;
    if (to.len > d->target_room) {
        place = malloc(to.len);
        if (!place)
            return -ENOMEM;
        free(d->moved_target);
        d->moved_target = place;
        d->target_room = to.len;
    }
    memcpy(place, to.at, to.len);
    d->target = (struct bk_view){ place, to.len };
    return 0;
}

int bk_sip_dialog_receive(struct bk_sip_dialog *d, const struct bk_sip_msg *request,
                          const struct bk_sip_head *head)
{
    if (request->method == BK_SIP_ACK || request->method == BK_SIP_CANCEL)
        return 0; /* they carry the number of their INVITE */
    if (d->has_remote_cseq && head->cseq <= d->remote_cseq)
        return -EAGAIN;
    if (refreshes_target(request->method)) {
        struct bk_view contact;
        int r = contact_of(request, &contact);
        if (r == 0)
            r = move_target(d, contact);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    d->remote_cseq = head->cseq;
    d->has_remote_cseq = true;
    return 0;
}

void bk_sip_dialog_answer(struct bk_sip_dialog *d, const struct bk_sip_msg *response)
{
    struct bk_view contact;
    if (response->status / 100 == 2 && refreshes_target(response->method) &&
        contact_of(response, &contact) == 0)
        (void)move_target(d,
                          contact); /* without memory the old one stays, which mostly still works */
}

/* ---- What is sent ---- */

/* The address on the first Route line; *ret_loose: it has lr, so it is no strict router (RFC 2543). */
static struct bk_view first_route(const struct bk_sip_dialog *d, size_t *ret_line_len,
                                  bool *ret_loose)
{
    *ret_line_len = bk_view_find(d->routes, '\n') + 1;
    struct bk_view value =
        bk_view_skip(bk_view_head(d->routes, *ret_line_len - 2), sizeof ROUTE - 1);
    struct bk_sip_addr addr;
    struct bk_sip_uri uri;
    struct bk_view lr;
    if (bk_sip_addr_next(&value, &addr) != 1 || bk_sip_uri_parse(addr.uri_text, &uri) < 0) {
        *ret_loose = true; /* cannot be: it was read when the dialog was made */
        return d->target;
    }
    *ret_loose = bk_sip_param_find(uri.params, BK_VIEW("lr"), &lr);
    return addr.uri_text;
}

/* What may not stand in a request URI (RFC 3261 19.1.1: headers) is cut off. */
static struct bk_view without_headers(struct bk_view text)
{
    struct bk_sip_uri uri; /* a user part may hold a '?' of its own */
    if (bk_view_find(text, '?') == text.len || bk_sip_uri_parse(text, &uri) < 0 || !uri.headers.at)
        return text;
    return bk_view_between(text.at, uri.headers.at - 1);
}

/* RFC 3261 12.2.1.1: a strict router finds itself in the request URI and the target behind all. */
static void write_strict(const struct bk_sip_dialog *d, struct bk_buf *to, size_t first_line_len)
{
    const char *behind_first = d->routes.at + first_line_len;
    const char *behind_routes = d->routes.at + d->routes.len;
    bk_buf_add_view(to, bk_view_between(d->lines.at, d->routes.at));
    bk_buf_add_view(to, bk_view_between(behind_first, behind_routes));
    bk_sip_field_addf(to, BK_SIP_HDR_ROUTE, "<%.*s>", BK_VIEW_ARGS(d->target));
    bk_buf_add_view(to, bk_view_between(behind_routes, d->lines.at + d->lines.len));
}

void bk_sip_dialog_request_begin(struct bk_sip_dialog *d, struct bk_buf *to,
                                 enum bk_sip_method method, struct bk_view via_head,
                                 struct bk_view branch)
{
    struct bk_view name = bk_sip_method_name(method);
    uint32_t cseq = d->invite_cseq;
    if (method != BK_SIP_ACK && method != BK_SIP_CANCEL)
        cseq = ++d->local_cseq;
    if (method == BK_SIP_INVITE)
        d->invite_cseq = cseq;

    bool loose = true;
    size_t first_line_len = 0;
    struct bk_view uri = d->target, hop;
    if (d->routes.len) {
        hop = first_route(d, &first_line_len, &loose);
        uri = loose ? d->target : hop;
    }
    /* A URI that was read holds nothing that ends the line early: bk_sip_request_begin need not look again. */
    bk_buf_add_view(to, name);
    bk_buf_add_char(to, ' ');
    bk_buf_add_view(to, without_headers(uri));
    bk_buf_add_lit(to, " SIP/2.0\r\nVia: ");
    bk_buf_add_view(to, via_head);
    bk_buf_add_lit(to, ";branch=");
    bk_buf_add_view(to, branch);
    bk_buf_add_lit(to, "\r\n");
    if (loose)
        bk_buf_add_view(to, d->lines);
    else
        write_strict(d, to, first_line_len);
    bk_buf_add_lit(to, "CSeq: ");
    bk_buf_add_u64(to, cseq);
    bk_buf_add_char(to, ' ');
    bk_buf_add_view(to, name);
    bk_buf_add_lit(to, "\r\n");
}

void bk_sip_dialog_info(const struct bk_sip_dialog *d, struct bk_sip_dialog_info *ret)
{
    *ret = (struct bk_sip_dialog_info){
        .call_id = d->call_id,
        .local_tag = d->local_tag,
        .remote_tag = d->remote_tag,
        .local_uri = d->local_uri,
        .remote_uri = d->remote_uri,
        .remote_target = d->target,
        .local_cseq = d->local_cseq,
        .remote_cseq = d->remote_cseq,
    };
}

/* ---- Saved: "d1", a line of numbers, then one text a line ---- */

void bk_sip_dialog_save(const struct bk_sip_dialog *d, struct bk_buf *to)
{
    const struct bk_view texts[SAVED_TEXTS] = {
        d->call_id, d->local_tag, d->remote_tag, d->local_uri, d->remote_uri,
    };
    bk_buf_add_lit(to, SAVED_MAGIC);
    bk_buf_addf(to, "%u %u %u %d\n", d->local_cseq, d->invite_cseq, d->remote_cseq,
                d->has_remote_cseq);
    for (size_t i = 0; i < SAVED_TEXTS; i++) {
        bk_buf_add_view(to, texts[i]);
        bk_buf_add_char(to, '\n');
    }
    for (struct bk_view rest = d->routes; rest.len;) {
        struct bk_view line = bk_view_cut(&rest, '\n');
        line = bk_view_skip(bk_view_head(line, line.len - 1), sizeof ROUTE - 1);
        bk_buf_add_view(to, line);
        bk_buf_add_char(to, '\n');
    }
    bk_buf_add_view(to, d->target);
    bk_buf_add_char(to, '\n');
}

static int take_line(struct bk_view *rest, struct bk_view *ret)
{
    size_t end = bk_view_find(*rest, '\n');
    if (end == rest->len)
        return -EBADMSG;
    *ret = bk_view_head(*rest, end);
    *rest = bk_view_skip(*rest, end + 1);
    return is_one_line(*ret) ? 0 : -EBADMSG;
}

static int take_number(struct bk_view *rest, uint64_t max, uint64_t *ret)
{
    return bk_view_to_u64(bk_view_cut(rest, ' '), max, ret) < 0 ? -EBADMSG : 0;
}

static bool is_uri(struct bk_view text)
{
    struct bk_sip_uri uri;
    return bk_sip_uri_parse(text, &uri) == 0;
}

int bk_sip_dialog_restore(struct bk_view saved, struct bk_sip_dialog **ret)
{
    struct bk_view magic = BK_VIEW(SAVED_MAGIC), numbers;
    if (!bk_view_starts_with(saved, magic))
        return -EBADMSG;
    struct bk_view rest = bk_view_skip(saved, magic.len);

    uint64_t local, invite, remote, has_remote;
    if (take_line(&rest, &numbers) < 0 || take_number(&numbers, UINT32_MAX, &local) < 0 ||
        take_number(&numbers, UINT32_MAX, &invite) < 0 ||
        take_number(&numbers, UINT32_MAX, &remote) < 0 ||
        take_number(&numbers, 1, &has_remote) < 0 || numbers.at)
        return -EBADMSG;

    struct parts p = { 0 };
    struct bk_view *const texts[SAVED_TEXTS] = {
        &p.call_id, &p.local_tag, &p.remote_tag, &p.local_uri, &p.remote_uri,
    };
    for (size_t i = 0; i < SAVED_TEXTS; i++)
        if (take_line(&rest, texts[i]) < 0)
            return -EBADMSG;
    /* The last line is the target, all before it are routes. */
    while (take_line(&rest, &p.target) == 0 && rest.len)
        if (!is_route(p.target) || add_route(&p, p.target) < 0)
            return -EBADMSG;
    if (rest.len || !is_uri(p.target))
        return -EBADMSG;

    struct bk_sip_dialog *d;
    int r = make(&p, &d);
    if (r < 0)
        return r;
    d->local_cseq = (uint32_t)local;
    d->invite_cseq = (uint32_t)invite;
    d->remote_cseq = (uint32_t)remote;
    d->has_remote_cseq = has_remote;
    *ret = d;
    return 0;
}
