/* SPDX-License-Identifier: Apache-2.0 */
/* What is for an endpoint of the Lync dialect while it proves itself anew (ms_auth_private.h says why). */
#include "server/ms_auth_private.h"

#include <string.h>

enum {
    /*
     * From its last leg on. Less than the patience of a message (5 s), so that what waits is still wanted; and as long as a client needs
     * that gets a certificate first: about a second.
     */
    HOLD_MS = 4000,
    HELD_MAX = 256 * 1024, /* bytes of one endpoint; what is more goes out as if nothing was */
};

/* One after the other: length, bytes. */
static void send_held(struct ms_peer *peer)
{
    struct bk_core *core = peer->core;
    uint64_t id = peer->link;
    struct link *link;
    struct bk_buf held = peer->held;
    struct bk_view rest = bk_buf_view(&held);
    peer->held = (struct bk_buf){ 0 };
    bk_timer_disarm(core->config.timers, &peer->hold);
    while (rest.len && (link = core_link(core, id))) { /* the peer may be gone after the first */
        uint32_t len;
        memcpy(&len, rest.at, sizeof len);
        rest = bk_view_skip(rest, sizeof len);
        link_send(core, link, bk_view_head(rest, len), false);
        rest = bk_view_skip(rest, len);
    }
    bk_buf_finish(&held);
}

static void hold_ends(struct bk_timer *timer)
{
    send_held(bk_container_of(timer, struct ms_peer, hold));
}

void ms_hold(struct bk_core *core, struct link *link, struct bk_view address,
             struct bk_view endpoint)
{
    if (!link->ms)
        return;
    BK_LIST_EACH(&link->ms->peers, it)
    {
        struct ms_peer *p = bk_container_of(it, struct ms_peer, in_link);
        if (bk_view_equal(p->address, address) && bk_view_equal(p->endpoint, endpoint))
            bk_timer_arm(core->config.timers, &p->hold, core_now(core) + HOLD_MS);
    }
}

bool ms_proves_anew(const struct link *link, struct bk_view address)
{
    if (!link->ms)
        return false;
    BK_LIST_EACH(&link->ms->peers, it)
    {
        const struct ms_peer *p = bk_container_of(it, struct ms_peer, in_link);
        if (bk_timer_armed(&p->hold) && bk_view_equal(p->address, address))
            return true;
    }
    return false;
}

bool ms_hold_back(struct ms_peer *peer, const struct bk_sip_msg *msg, struct bk_view bytes)
{
    uint32_t len = (uint32_t)bytes.len;
    if (!bk_timer_armed(&peer->hold) || (msg->status && msg->method == BK_SIP_REGISTER) ||
        bytes.len > HELD_MAX || peer->held.len > HELD_MAX - bytes.len)
        return false;
    size_t before = peer->held.len;
    bk_buf_add(&peer->held, &len, sizeof len);
    bk_buf_add_view(&peer->held, bytes);
    if (!peer->held.failed)
        return true;
    peer->held.failed = false;
    peer->held.len = before;
    return false;
}

void ms_hold_move(struct ms_peer *from, struct ms_peer *to)
{
    bk_timer_init(&to->hold, hold_ends);
    if (!from || !bk_timer_armed(&from->hold))
        return;
    to->held = from->held;
    from->held = (struct bk_buf){ 0 };
    /* The 200 goes out when what it says is kept. */
    bk_timer_arm(to->core->config.timers, &to->hold, core_now(to->core) + HOLD_MS);
}

void ms_hold_drop(struct ms_peer *peer)
{
    bk_timer_disarm(peer->core->config.timers, &peer->hold);
    bk_buf_finish(&peer->held);
}

void ms_sent(struct link *link)
{
    struct ms_peer *peer = link->ms->answered;
    link->ms->answered = NULL;
    if (peer && bk_timer_armed(&peer->hold))
        send_held(peer);
}
