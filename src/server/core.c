/* SPDX-License-Identifier: Apache-2.0 */
/* The core as a whole: its shards, the bus between them, beginning and end. */
#include "server/core_private.h"
#include "server/ms_session.h"

#include <errno.h>
#include <stdlib.h>

enum { MESSAGES_DEEP = 4 /* messages being handled inside each other */ };

const struct bk_core_limits bk_core_limits_default = {
    .unauthenticated_message_max = 32 * 1024,
    .unauthenticated_body_max = 4 * 1024,
    .message_body_max = 20 * 1024,
    .offline_bytes_max = 5 * 1024 * 1024,
    .requests_burst = 1000,
    .requests_per_s = 50,
    .requests_burst_stranger = 20,
    .requests_per_s_stranger = 5,
    .unauthenticated_life_ms = 32 * 1000,
    .idle_ms = 120 * 1000,
    .subscriptions_per_endpoint = 1200,
    .pending_per_link = 1200,
    .pending_bytes_per_link = 4 * 1024 * 1024,
    .pending_bytes_total = 256 * 1024 * 1024,
    .forks_max = 10,
    .message_wait_ms = 5000,
    .key_life_ms = 600 * 1000,
    .promised_silence_ms = 150 * 1000,
    .presence_gap_ms = 300,
    .nonce_life_ms = 300 * 1000,
};

int64_t core_now(const struct bk_core *core)
{
    return bk_clock_mono_ms(core->config.clock);
}

int64_t core_real(const struct bk_core *core)
{
    return bk_clock_real_ms(core->config.clock);
}

struct shard *core_shard_of(struct bk_core *core, struct bk_view address)
{
    if (core->config.n_shards == 1)
        return core->shards;
    return &core->shards[bk_hash(&core->config.hash_key, address) % core->config.n_shards];
}

struct shard *person_shard(struct bk_person *person)
{
    return person->server;
}

struct bk_sip_msg *core_msg_push(struct bk_core *core)
{
    if (core->msg_depth == MESSAGES_DEEP)
        return NULL;
    return &core->msg[core->msg_depth++];
}

void core_msg_pop(struct bk_core *core)
{
    if (--core->msg_depth == 0 && core->arena.used)
        bk_arena_clear(&core->arena);
}

/* ---- the bus ---- */

int shard_answer_check(const struct shard *shard, const struct bk_sip_msg *msg,
                       struct bk_sip_head *head, struct bk_sip_fault *ret_fault)
{
    if (bk_sip_txs_asks_status(shard->txs, head->via_branch))
        return 0;
    return bk_sip_msg_check_rest(msg, head, ret_fault);
}

void shard_response(struct shard *shard, uint64_t link, bool reliable, const struct bk_sip_msg *msg,
                    const struct bk_sip_head *head)
{
    bk_sip_txs_response(shard->txs, (struct bk_sip_flow){ link, reliable }, msg, head);
}

static void deliver(void *ctx, const struct bk_bus_frame *frame)
{
    struct bk_core *core = ctx;
    struct shard *shard = &core->shards[frame->to];
    uint64_t id = 0;

    if (frame->kind == FRAME_REQUEST) {
        deliver_request(core, shard, frame);
        return;
    }
    if (frame->kind == FRAME_RESPONSE) {
        struct bk_sip_flow flow;
        memcpy(&flow, frame->head.at, sizeof flow);
        struct bk_sip_msg *msg = core_msg_push(core);
        struct bk_sip_head head;
        struct bk_sip_fault fault;
        if (!msg)
            return;
        if (bk_sip_msg_parse(msg, frame->body, &fault) == 0 &&
            bk_sip_msg_check_found(msg, &head, &fault) == 0 &&
            shard_answer_check(shard, msg, &head, &fault) == 0)
            shard_response(shard, flow.id, flow.reliable, msg, &head);
        else
            core->metrics[BK_METRIC_BAD_MESSAGES]++;
        core_msg_pop(core);
        return;
    }
    memcpy(&id, frame->head.at, sizeof id);
    if (frame->kind == FRAME_LINK_GONE) {
        shard_link_gone(shard, id);
        return;
    }
    struct link *link = core_link(core, id);
    if (!link)
        return;
    if (frame->kind == FRAME_SEND) {
        link_send(core, link, frame->body, false);
    } else {
        link->closing = true;
        core->config.ops->close(core->config.ops_ctx, link->handle);
    }
}

void bk_core_pump(struct bk_core *core)
{
    /* News may go out as frames, and frames may bring news. */
    bool more;
    do {
        bk_bus_pump(core->bus, 0);
        more = presence_tell_news(core);
        more |= ms_tell_news(core);
    } while (more);
}

/* ---- life ---- */

static void tx_send(void *ctx, struct bk_sip_flow flow, struct bk_view bytes)
{
    core_send(ctx, flow.id, bytes, false);
}

static int shard_init(struct bk_core *core, struct shard *shard, unsigned index)
{
    shard->core = core;
    shard->index = index;
    bk_list_init(&shard->relays);
    bk_list_init(&shard->drains);
    bk_list_init(&shard->message_ages);
    bk_list_init(&shard->session_ages);
    struct bk_sip_txs_config txs = {
        .send = tx_send,
        .ctx = core,
        .timers = core->config.timers,
        .clock = core->config.clock,
        .random = core->config.random,
        .hash_key = &core->config.hash_key,
        .shard = index,
    };
    shard->txs = bk_sip_txs_create(&txs);
    if (!shard->txs)
        return -ENOMEM;
    return bk_state_create(&core->config.hash_key, core->config.timers, &shard->state);
}

int bk_core_create(const struct bk_core_config *config, struct bk_core **ret)
{
    if (config->n_shards < 1 || config->n_shards > 64)
        return -EINVAL;
    struct bk_core *core = calloc(1, sizeof *core);
    if (!core)
        return -ENOMEM;
    core->config = *config;
    bk_list_init(&core->news);
    bk_list_init(&core->ms_news);
    core->directory = bk_directory_ref(config->directory);
    bk_timer_init(&core->ended_timer, registrar_ended_timer);
    memcpy(core->nonce_key.key, config->secret, sizeof core->nonce_key.key);
    core->msg = calloc(MESSAGES_DEEP, sizeof *core->msg);
    core->shards = calloc(config->n_shards, sizeof *core->shards);
    struct bk_bus_config bus = { .n_shards = config->n_shards, .deliver = deliver, .ctx = core };
    int r = core->msg && core->shards ? bk_bus_create(&bus, &core->bus) : -ENOMEM;
    for (unsigned i = 0; r == 0 && i < config->n_shards; i++)
        r = shard_init(core, &core->shards[i], i);
    if (r == 0)
        r = watch_create(core);
    if (r < 0) {
        bk_core_destroy(core);
        return r;
    }
    *ret = core;
    return 0;
}

struct bk_core *bk_core_destroy(struct bk_core *core)
{
    if (!core)
        return NULL;
    for (unsigned i = 0; core->shards && i < core->config.n_shards; i++) {
        struct shard *shard = &core->shards[i];
        if (!shard->core)
            continue;
        ms_sessions_destroy(shard);
        relays_destroy(shard);
        drains_destroy(shard);
        message_keys_destroy(shard);
        bk_sip_txs_destroy(shard->txs);
        bk_state_destroy(shard->state);
    }
    for (uint32_t i = 0; i < core->n_links; i++) {
        struct link *link = core->links[i];
        if (!link)
            continue;
        bk_timer_disarm(core->config.timers, &link->timer);
        if (link->certificate)
            bk_buf_finish(link->certificate);
        free(link->certificate);
        ms_link_destroy(core, link);
        free(link->personal);
        free(link);
    }
    watch_destroy(core);
    bk_timer_disarm(core->config.timers, &core->ended_timer);
    registrar_forget_ended(core);
    bk_map_finish(&core->ended);
    free(core->links);
    free(core->generations);
    bk_bus_destroy(core->bus);
    bk_directory_unref(core->directory);
    bk_arena_finish(&core->arena);
    bk_buf_finish(&core->out);
    bk_buf_finish(&core->out2);
    bk_buf_finish(&core->ms_out);
    bk_buf_finish(&core->ms_sender);
    free(core->ms_msg);
    bk_buf_finish(&core->target);
    bk_buf_finish(&core->sender);
    bk_buf_finish(&core->token);
    free(core->msg);
    free(core->shards);
    free(core);
    return NULL;
}

void bk_core_set_directory(struct bk_core *core, struct bk_directory *dir)
{
    bk_directory_ref(dir);
    bk_directory_unref(core->directory);
    core->directory = dir;
    bk_core_sweep(core);
    ms_policy_changed(core);
}

void bk_core_shed(struct bk_core *core, bool shed)
{
    core->shedding = shed;
}

void bk_core_close_links(struct bk_core *core)
{
    for (uint32_t i = 0; i < core->n_links; i++)
        if (core->links[i])
            core_close_link(core, core->links[i]->id);
}

uint64_t bk_core_metric(const struct bk_core *core, enum bk_metric metric)
{
    uint64_t n = 0;
    switch (metric) {
    case BK_METRIC_LINKS:
        return core->open_links;
    case BK_METRIC_ENDPOINTS:
        for (unsigned i = 0; i < core->config.n_shards; i++)
            n += bk_state_bindings(core->shards[i].state);
        return n;
    case BK_METRIC_SUBSCRIPTIONS:
        for (unsigned i = 0; i < core->config.n_shards; i++)
            n += bk_state_subscriptions(core->shards[i].state);
        return n;
    case BK_METRIC_TRANSACTIONS:
        for (unsigned i = 0; i < core->config.n_shards; i++)
            n += bk_sip_txs_count(core->shards[i].txs);
        return n;
    default:
        return core->metrics[metric];
    }
}
