/* SPDX-License-Identifier: Apache-2.0 */
/* What the server asks of us. */
#include "base/text.h"
#include "client/client_private.h"

#define ALLOW "Allow: " SESSION_METHODS "\r\n"

static const char *why_of_end(struct bk_view event)
{
    if (bk_view_equal_nocase(event, BK_VIEW("unregistered")))
        return BK_SAY("you signed in at another place");
    if (bk_view_equal_nocase(event, BK_VIEW("rejected")))
        return BK_SAY("your account may no longer sign in");
    if (bk_view_equal_nocase(event, BK_VIEW("deactivated")))
        return BK_SAY("your account moved to another server");
    return BK_SAY("the server ended the session");
}

/* docs/behaviour.md, "The server ends a session": `deregistered;event=rejected`, the reason in ms-diagnostics. */
static void end_by_server(struct bk_client *c, const struct bk_sip_msg *msg)
{
    struct bk_view params = bk_view_trim(msg->body), event = { 0 };
    (void)bk_view_cut(&params, ';');
    (void)bk_sip_param_find(params, BK_VIEW("event"), &event);
    struct bk_fault fault;
    bk_client_fault_of_refusal(c, msg, &fault);
    if (!fault.record) {
        struct bk_fault named = fault;
        bk_fault_set(&fault, 222, 0, c->offer.name, why_of_end(event), "");
        memcpy(fault.case_code, named.case_code, sizeof fault.case_code);
        if (named.text[0])
            memcpy(fault.text, named.text, sizeof fault.text);
    }
    bool moved = bk_view_equal_nocase(event, BK_VIEW("deactivated"));
    bool service = fault.record->category == BK_CATEGORY_SERVICE && !fault.record->fatal;
    bool goes_on = moved || service;
    bk_tell_fault(c, BK_CLIENT_EVENT_ENDED, &fault,
                  goes_on ? BK_CLIENT_NEXT_RETRY : BK_CLIENT_NEXT_STOP, 0);
    if (moved) /* the remembered server is the wrong one now */
        c->profile.server[0] = 0;
    bk_client_feed(c, goes_on ? IN_RETRY : IN_STOP);
}

static void on_notify(struct bk_client *c, const struct bk_sip_msg *msg,
                      const struct bk_sip_head *head)
{
    struct bk_sip_event event = { 0 };
    (void)bk_sip_event_parse(bk_sip_msg_value(msg, BK_SIP_HDR_EVENT), &event);
    if (bk_view_equal_nocase(event.package, BK_VIEW("presence"))) {
        bk_presence_notify(c, msg, head);
    } else if (bk_view_equal_nocase(event.package, BK_VIEW("registration-notify"))) {
        bk_link_answer(c->link, msg, head, 200, bk_view_of_str(c->from_tag), (struct bk_view){ 0 });
        end_by_server(c, msg);
    } else {
        bk_link_answer(c->link, msg, head, 489, bk_view_of_str(c->from_tag),
                       BK_VIEW("Allow-Events: presence\r\n"));
    }
}

void bk_request_take(struct bk_client *c, const struct bk_sip_msg *msg,
                     const struct bk_sip_head *head)
{
    struct bk_view tag = bk_view_of_str(c->from_tag), none = { 0 };
    if (bk_conversation_request(c, msg, head))
        return;
    switch (msg->method) {
    case BK_SIP_MESSAGE:
        bk_message_receive(c, msg, head);
        return;
    case BK_SIP_NOTIFY:
    case BK_SIP_BENOTIFY:
        if (!bk_dialect_notify(c, msg, head))
            on_notify(c, msg, head);
        return;
    case BK_SIP_OPTIONS:
        bk_link_answer(c->link, msg, head, 200, tag,
                       BK_VIEW(ALLOW "Accept: text/plain, application/pidf+xml\r\n"
                                     "Supported: outbound, path\r\n"));
        return;
    case BK_SIP_INVITE: /* no calls from a terminal yet: the caller's other targets go on ringing */
        bk_link_answer(c->link, msg, head, 488, tag, none);
        return;
    case BK_SIP_ACK:
        return;
    case BK_SIP_BYE:
    case BK_SIP_CANCEL:
    case BK_SIP_INFO:
    case BK_SIP_PRACK:
    case BK_SIP_UPDATE:
        bk_link_answer(c->link, msg, head, 481, tag, none);
        return;
    case BK_SIP_SUBSCRIBE:
        bk_link_answer(c->link, msg, head, 489, tag, none);
        return;
    default:
        bk_link_answer(c->link, msg, head, 405, tag, BK_VIEW(ALLOW));
    }
}
