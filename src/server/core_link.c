/* SPDX-License-Identifier: Apache-2.0 */
/* Links: connections and remote addresses over UDP, how long they live and how much they may ask. */
#include "server/core_private.h"

#include <errno.h>
#include <stdlib.h>

enum { LINKS_MAX = 1 << 20 };

const char *transport_name(enum bk_link_transport transport)
{
    static const char *const names[] = { "UDP", "TCP", "TLS" };
    return names[transport];
}

const char *transport_param(enum bk_link_transport transport)
{
    static const char *const names[] = { "udp", "tcp", "tls" };
    return names[transport];
}

struct link *core_link(struct bk_core *core, uint64_t id)
{
    uint32_t index = (uint32_t)id - 1;
    if (index >= core->n_links)
        return NULL;
    struct link *link = core->links[index];
    return link && link->id == id ? link : NULL;
}

struct bk_sip_flow link_flow(const struct link *link)
{
    return (struct bk_sip_flow){ link->id, link->transport != BK_LINK_UDP };
}

struct bk_sip_flow asker_flow(const struct asker *asker)
{
    return (struct bk_sip_flow){ asker->link, asker->transport != BK_LINK_UDP };
}

bool link_send(struct bk_core *core, struct link *link, struct bk_view bytes, bool droppable)
{
    if (link->closing)
        return false;
    if (!ms_sign(core, link, bytes, &bytes))
        return true;
    bool sent = core->config.ops->send(core->config.ops_ctx, link->handle, bytes, droppable);
    if (!sent)
        core->metrics[BK_METRIC_DROPPED]++;
    if (link->ms)
        ms_sent(link);
    return sent;
}

bool core_send(struct bk_core *core, uint64_t id, struct bk_view bytes, bool droppable)
{
    struct link *link = core_link(core, id);
    if (!link)
        return false;
    if (!core->config.bus_always_queues)
        return link_send(core, link, bytes, droppable);
    struct bk_bus_frame frame = {
        .to = link->shard->index,
        .kind = FRAME_SEND,
        .head = { (const char *)&id, sizeof id },
        .body = bytes,
    };
    return bk_bus_post(core->bus, &frame) == 0;
}

void core_close_link(struct bk_core *core, uint64_t id)
{
    struct link *link = core_link(core, id);
    if (!link)
        return;
    if (core->config.bus_always_queues) {
        /* Behind what was sent: the frames of one shard stay in order. */
        struct bk_bus_frame frame = { .to = link->shard->index,
                                      .kind = FRAME_CLOSE,
                                      .head = { (const char *)&id, sizeof id } };
        if (bk_bus_post(core->bus, &frame) == 0)
            return;
    }
    link->closing = true;
    core->config.ops->close(core->config.ops_ctx, link->handle);
}

/* A link nobody signed in on lives 32 s; one without sign-in or subscription is closed when idle. */
static void link_timer(struct bk_timer *timer)
{
    struct link *link = bk_container_of(timer, struct link, timer);
    struct bk_core *core = link->shard->core;
    const struct bk_core_limits *limits = &core->config.limits;
    int64_t now = core_now(core);

    if (link->paused) {
        link->paused = false;
        core->config.ops->pause(core->config.ops_ctx, link->handle, false);
    }
    if (!bk_list_empty(&link->bindings) || !bk_list_empty(&link->subscriptions)) {
        bk_timer_arm(core->config.timers, timer, now + limits->idle_ms);
        return;
    }
    int64_t end = link->known ? link->heard_at + limits->idle_ms
                              : link->opened_at + limits->unauthenticated_life_ms;
    if (now >= end)
        core_close_link(core, link->id);
    else
        bk_timer_arm(core->config.timers, timer, end);
}

void link_signed_in(struct bk_core *core, struct link *link)
{
    if (link->known)
        return;
    link->known = true;
    if (!link->was_known) /* once: who signs out and in again does not ask more for it */
        link->tokens_milli = (int64_t)core->config.limits.requests_burst * 1000;
    link->was_known = true;
    core->config.ops->known(core->config.ops_ctx, link->handle, true);
}

/* A connection that lost its registration loses what came with it (docs/limits.md, "Authentication"). */
void link_unbound(struct bk_core *core, struct link *link)
{
    const struct bk_core_limits *limits = &core->config.limits;
    int64_t now = core_now(core), most = (int64_t)limits->requests_burst_stranger * 1000;
    if (!link->known || link->closing || !bk_list_empty(&link->bindings))
        return;
    link->known = false;
    link->opened_at = now;
    if (link->tokens_milli > most)
        link->tokens_milli = most;
    core->config.ops->known(core->config.ops_ctx, link->handle, false);
    if (!link->paused)
        bk_timer_arm(core->config.timers, &link->timer, now + limits->unauthenticated_life_ms);
}

bool link_has_proved(struct bk_core *core, const struct link *link, struct bk_view address)
{
    uint64_t hash = bk_hash(&core->config.hash_key, address);
    for (int i = 0; i < LINK_PROOFS; i++)
        if (link->proofs[i] == hash)
            return true;
    return false;
}

void link_prove(struct bk_core *core, struct link *link, struct bk_view address)
{
    if (!link_has_proved(core, link, address))
        link->proofs[link->next_proof++ % LINK_PROOFS] = bk_hash(&core->config.hash_key, address);
}

int bk_core_link_open(struct bk_core *core, const struct bk_link_info *info, uint64_t *ret_link)
{
    if (core->draining || core->open_links >= LINKS_MAX)
        return -EAGAIN;
    uint32_t index = core->free_hint;
    while (index < core->n_links && core->links[index])
        index++;
    if (index == core->n_links) {
        if (core->n_links == core->links_max) {
            uint32_t max = core->links_max ? core->links_max * 2 : 64;
            struct link **links = realloc(core->links, max * sizeof(struct link *));
            if (links)
                core->links = links;
            uint32_t *generations = realloc(core->generations, max * sizeof *generations);
            if (generations)
                core->generations = generations;
            if (!links || !generations)
                return -ENOMEM;
            core->links_max = max;
        }
        core->generations[core->n_links] = (uint32_t)bk_random_u64(core->config.random);
        core->links[core->n_links++] = NULL;
    }
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return -ENOMEM;
    if (info->client_certificate.len) {
        link->certificate = calloc(1, sizeof *link->certificate);
        if (link->certificate)
            bk_buf_add_view(link->certificate, info->client_certificate);
        if (!link->certificate || link->certificate->failed) {
            free(link->certificate);
            free(link);
            return -ENOMEM;
        }
    }
    link->id = (uint64_t)++core->generations[index] << 32 | (index + 1);
    link->shard = &core->shards[index % core->config.n_shards];
    link->handle = info->handle;
    link->transport = info->transport;
    link->port = info->port;
    link->local_port = info->local_port;
    link->own_network = info->own_network;
    link->net_key = info->net_key;
    memcpy(link->ip, info->ip.at, info->ip.len < 45 ? info->ip.len : 45);
    memcpy(link->local_ip, info->local_ip.at, info->local_ip.len < 45 ? info->local_ip.len : 45);
    bk_list_init(&link->bindings);
    bk_list_init(&link->subscriptions);
    bk_list_init(&link->dialect);
    link->opened_at = link->refilled_at = link->heard_at = core_now(core);
    link->tokens_milli = (int64_t)core->config.limits.requests_burst_stranger * 1000;
    bk_timer_init(&link->timer, link_timer);
    bk_timer_arm(core->config.timers, &link->timer,
                 link->opened_at + core->config.limits.unauthenticated_life_ms);
    core->links[index] = link;
    core->free_hint = index + 1;
    core->open_links++;
    *ret_link = link->id;
    return 0;
}

void shard_link_gone(struct shard *shard, uint64_t link)
{
    bk_sip_txs_flow_gone(shard->txs, link);
}

void bk_core_link_gone(struct bk_core *core, uint64_t id, enum bk_link_end why)
{
    struct link *link = core_link(core, id);
    if (!link)
        return;
    link->closing = true;
    registrar_link_gone(core, link, why);
    for (unsigned i = 0; i < core->config.n_shards; i++) {
        if (core->config.bus_always_queues) {
            struct bk_bus_frame frame = { .to = i,
                                          .kind = FRAME_LINK_GONE,
                                          .head = { (const char *)&id, sizeof id } };
            if (bk_bus_post(core->bus, &frame) == 0)
                continue;
        }
        shard_link_gone(&core->shards[i], id);
    }
    uint32_t index = (uint32_t)id - 1;
    bk_timer_disarm(core->config.timers, &link->timer);
    if (link->certificate)
        bk_buf_finish(link->certificate);
    free(link->certificate);
    ms_link_destroy(core, link);
    free(link->personal);
    free(link);
    core->links[index] = NULL;
    if (index < core->free_hint)
        core->free_hint = index;
    core->open_links--;
}

size_t bk_core_message_max(const struct bk_core *core, uint64_t id)
{
    struct link *link = core_link((struct bk_core *)core, id);
    return link && link->known ? BK_SIP_MESSAGE_BYTES_MAX
                               : (size_t)core->config.limits.unauthenticated_message_max;
}

bool link_may_ask(struct bk_core *core, struct link *link, int64_t now)
{
    const struct bk_core_limits *limits = &core->config.limits;
    int64_t burst = link->known ? limits->requests_burst : limits->requests_burst_stranger;
    int64_t rate = link->known ? limits->requests_per_s : limits->requests_per_s_stranger;

    link->tokens_milli += (now - link->refilled_at) * rate;
    if (link->tokens_milli > burst * 1000)
        link->tokens_milli = burst * 1000;
    link->refilled_at = now;
    link->heard_at = now;
    if (link->tokens_milli >= 1000 || link->transport != BK_LINK_UDP)
        link->tokens_milli -= 1000;
    else
        return false;
    if (link->tokens_milli < 1000 && !link->paused) {
        /* Nothing is refused or lost on a stream: it is just read later. */
        link->paused = true;
        core->config.ops->pause(core->config.ops_ctx, link->handle, true);
        bk_timer_arm(core->config.timers, &link->timer,
                     now + (1000 - link->tokens_milli) / rate + 1);
    }
    return true;
}
