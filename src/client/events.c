/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "client/client_private.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

const char *bk_client_state_name(enum bk_client_state state)
{
    static const char *const names[BK_CLIENT_STATE_COUNT] = {
        [BK_CLIENT_IDLE] = "idle",
        [BK_CLIENT_RESOLVING] = "resolving",
        [BK_CLIENT_CONTACTING] = "contacting",
        [BK_CLIENT_ASKING_TRUST] = "asking-trust",
        [BK_CLIENT_ASKING_CREDENTIAL] = "asking-credential",
        [BK_CLIENT_AUTHENTICATING] = "authenticating",
        [BK_CLIENT_REGISTERING] = "registering",
        [BK_CLIENT_SETTINGS] = "settings",
        [BK_CLIENT_CONTACTS] = "contacts",
        [BK_CLIENT_PRESENCE] = "presence",
        [BK_CLIENT_SIGNED_IN] = "signed-in",
        [BK_CLIENT_RECONNECTING] = "reconnecting",
        [BK_CLIENT_SIGNING_OUT] = "signing-out",
        [BK_CLIENT_SIGNED_OUT] = "signed-out",
    };
    return state < BK_CLIENT_STATE_COUNT ? names[state] : "";
}

const char *bk_client_event_name(enum bk_client_event_type type)
{
    static const char *const names[BK_CLIENT_EVENT_COUNT] = {
        [BK_CLIENT_EVENT_STATE] = "state",
        [BK_CLIENT_EVENT_FAILURE] = "failure",
        [BK_CLIENT_EVENT_NOTICE] = "notice",
        [BK_CLIENT_EVENT_CREDENTIAL] = "credential",
        [BK_CLIENT_EVENT_TRUST] = "trust",
        [BK_CLIENT_EVENT_ENDED] = "ended",
        [BK_CLIENT_EVENT_PRESENCE] = "presence",
        [BK_CLIENT_EVENT_MESSAGE] = "message",
        [BK_CLIENT_EVENT_MESSAGE_STATE] = "message-state",
        [BK_CLIENT_EVENT_DELETED] = "deleted",
        [BK_CLIENT_EVENT_CONTACTS] = "contacts",
        [BK_CLIENT_EVENT_RELATIONS] = "relations",
        [BK_CLIENT_EVENT_FOLLOWERS] = "followers",
        [BK_CLIENT_EVENT_FOUND] = "found",
        [BK_CLIENT_EVENT_EDITED] = "edited",
        [BK_CLIENT_EVENT_TYPING] = "typing",
    };
    return type < BK_CLIENT_EVENT_COUNT ? names[type] : "";
}

const char *bk_client_message_state_name(enum bk_client_message_state state)
{
    static const char *const names[] = {
        [BK_CLIENT_SENDING] = "sending",
        [BK_CLIENT_SENT] = "sent",
        [BK_CLIENT_STORED] = "stored",
        [BK_CLIENT_FAILED] = "failed",
    };
    return (size_t)state < BK_COUNT_OF(names) ? names[state] : "";
}

struct bk_event *bk_event_new(struct bk_client *c, enum bk_client_event_type type)
{
    struct bk_event *event = calloc(1, sizeof *event);
    if (!event)
        return NULL;
    event->pub.type = type;
    event->pub.at_ms = bk_client_real(c);
    bk_list_init(&event->in);
    return event;
}

void bk_event_free(struct bk_event *event)
{
    bk_arena_finish(&event->arena);
    free(event);
}

const char *bk_event_view(struct bk_event *event, struct bk_view text)
{
    const char *copy = text.len ? bk_arena_copy(&event->arena, text).at : "";
    return copy ? copy : "";
}

const char *bk_event_text(struct bk_event *event, const char *text)
{
    return bk_event_view(event, bk_view_of_str(text));
}

void bk_event_post(struct bk_client *c, struct bk_event *event)
{
    (void)pthread_mutex_lock(&c->lock);
    bk_list_append(&c->events, &event->in);
    (void)pthread_mutex_unlock(&c->lock);
    uint64_t one = 1;
    /* Full only after 2^64 events: then it is readable anyway. */
    if (write(c->event_fd, &one, sizeof one) < 0)
        return;
}

int bk_client_event_fd(const struct bk_client *client)
{
    return client->event_fd;
}

const struct bk_client_event *bk_client_event_next(struct bk_client *client)
{
    struct bk_event *event = NULL;
    (void)pthread_mutex_lock(&client->lock);
    if (!bk_list_empty(&client->events)) {
        event = bk_container_of(client->events.next, struct bk_event, in);
        bk_list_remove(&event->in);
    }
    /* The descriptor says whether something waits, so it is emptied with the last one. */
    if (bk_list_empty(&client->events)) {
        uint64_t n;
        if (read(client->event_fd, &n, sizeof n) < 0)
            n = 0;
    }
    (void)pthread_mutex_unlock(&client->lock);
    return event ? &event->pub : NULL;
}

void bk_tell_state(struct bk_client *c, int retry_in_s)
{
    struct bk_event *event = bk_event_new(c, BK_CLIENT_EVENT_STATE);
    if (!event)
        return;
    event->pub.state.state = c->state;
    event->pub.state.address = bk_event_text(event, c->address);
    event->pub.state.detail = bk_event_text(event, c->state_detail);
    event->pub.state.retry_in_s = retry_in_s;
    event->pub.state.proxy = bk_event_text(event, c->link ? bk_link_proxy(c->link) : "");
    bk_event_post(c, event);
}

void bk_tell_fault(struct bk_client *c, enum bk_client_event_type type,
                   const struct bk_fault *fault, enum bk_client_next next, int retry_in_s)
{
    struct bk_event *event = bk_event_new(c, type);
    if (!event)
        return;
    if (bk_fault_tell(fault, &c->tried, c->address, c->domain ? c->domain : "", &event->arena,
                      &event->pub.failure) < 0) {
        bk_event_free(event);
        return;
    }
    event->pub.failure.next = next;
    event->pub.failure.retry_in_s = retry_in_s;
    bk_event_post(c, event);
}

void bk_tell_notice(struct bk_client *c, const char *text)
{
    struct bk_event *event = bk_event_new(c, BK_CLIENT_EVENT_NOTICE);
    if (!event)
        return;
    event->pub.failure = (struct bk_client_failure){
        .id = "",
        .case_code = "",
        .user_text = bk_event_text(event, text),
        .user_does = "",
        .admin_text = "",
        .detail = "",
    };
    bk_event_post(c, event);
}
