/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/world_private.h"

#include "base/text.h"
#include "sip/frame.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICK_MS = 16 };

void world_must(int r, const char *what)
{
    if (r < 0) {
        fprintf(stderr, "world: %s: %s\n", what, strerror(-r));
        abort();
    }
}

static int64_t mono_ms(void *ctx)
{
    return ((struct world *)ctx)->mono_ms;
}

static int64_t real_ms(void *ctx)
{
    return ((struct world *)ctx)->real_ms;
}

static bool link_send(void *ctx, void *handle, struct bk_view bytes, bool droppable)
{
    struct world_link *link = handle;
    (void)ctx;
    (void)droppable;
    if (link->deaf || !link->open)
        return false;
    if (link->arrived)
        link->arrived(link, bytes);
    else
        bk_buf_add_view(&link->out, bytes);
    return true;
}

static void link_close(void *ctx, void *handle)
{
    (void)ctx;
    ((struct world_link *)handle)->open = false;
}

static void link_pause(void *ctx, void *handle, bool pause)
{
    (void)ctx;
    ((struct world_link *)handle)->paused = pause;
}

static void link_known(void *ctx, void *handle, bool known)
{
    (void)ctx;
    ((struct world_link *)handle)->known = known;
}

static int64_t link_last_in(void *ctx, void *handle)
{
    (void)ctx;
    return ((struct world_link *)handle)->last_in_ms;
}

static const struct bk_core_ops ops = { link_send, link_close, link_pause, link_known,
                                        link_last_in };

static void done(void *ctx, int result)
{
    struct world *w = ctx;
    w->commit_result = result;
}

void world_commit(struct world *w, struct bk_store_batch *batch)
{
    w->commit_result = 1;
    world_must(bk_store_commit(w->store, batch, done, w), "commit");
    bk_store_pump(w->store);
    world_must(w->commit_result, "commit");
}

void world_reload(struct world *w)
{
    struct bk_directory *dir;
    world_must(bk_directory_load(w->store, &dir), "directory");
    bk_directory_unref(w->directory);
    w->directory = dir;
    if (w->core)
        bk_core_set_directory(w->core, dir);
}

static void found(struct world *w)
{
    struct bk_store_batch *batch = bk_store_batch_create();
    struct bk_tenant tenant = { .name = BK_VIEW("main"), .plan = BK_VIEW("standard") };
    struct bk_policy_value clear = { .scope = BK_VIEW("global"),
                                     .key = BK_VIEW("cleartext-signin"),
                                     .value = BK_VIEW("on") };
    struct bk_buf key = { 0 }, cert = { 0 };
    bk_store_put_tenant(batch, &tenant);
    bk_store_put_domain(batch, BK_VIEW("example.org"), BK_VIEW("main"));
    bk_store_put_policy(batch, &clear);
    world_must(bk_authority_make(BK_VIEW("example.org"), w->real_ms, &key, &cert), "authority");
    bk_store_put_secret(batch, BK_VIEW("authority.key"), bk_buf_view(&key));
    bk_store_put_secret(batch, BK_VIEW("authority.crt"), bk_buf_view(&cert));
    world_commit(w, batch);
    bk_buf_finish(&key);
    bk_buf_finish(&cert);
}

/* Time, chance and an empty store. */
static struct world *begin(const struct world_config *config)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->config = *config;
    if (!w->config.shards)
        w->config.shards = 1;
    w->mono_ms = config->mono_ms ? config->mono_ms : 1000000;
    w->real_ms = config->real_ms ? config->real_ms : 1795000000000;
    w->clock = (struct bk_clock){ mono_ms, real_ms, w };
    w->random = bk_random_from_seed(&w->seeded, config->seed);
    w->limits = config->limits ? *config->limits : bk_core_limits_default;
    bk_timers_init(&w->timers, w->mono_ms);
    struct bk_store_config store = { .clock = &w->clock };
    if (config->image.len)
        world_must(bk_store_open_image(&store, config->image, &w->store), "store image");
    else
        world_must(bk_store_open(&store, &w->store, NULL), "store");
    return w;
}

/* ---- a worker, which works when the world settles ---- */

struct world_work {
    struct world_work *next;
    void (*run)(void *arg);
    void (*done)(void *arg, bool cancelled);
    void *arg;
};

static bool take_work(void *ctx, void (*run)(void *arg), void (*ended)(void *arg, bool cancelled),
                      void *arg)
{
    struct world *w = ctx;
    struct world_work **last = &w->work, *job = malloc(sizeof *job);
    if (!job)
        return false;
    *job = (struct world_work){ NULL, run, ended, arg };
    while (*last)
        last = &(*last)->next;
    *last = job;
    return true;
}

static int work(struct world *w, bool cancel)
{
    int n = 0;
    for (struct world_work *job; (job = w->work); n++) {
        w->work = job->next;
        if (!cancel)
            job->run(job->arg);
        job->done(job->arg, cancel);
        free(job);
    }
    return n;
}

struct world *world_create_organisation(void)
{
    struct world *w =
        begin(&(struct world_config){ .seed = 1, .real_ms = (int64_t)WORLD_START_S * 1000 });
    world_found_organisation(w);
    world_reload(w);
    return w;
}

struct world *world_create(const struct world_config *config)
{
    struct world *w = begin(config);
    const char *why;
    if (!config->image.len)
        found(w);
    world_reload(w);
    struct bk_arena arena = { 0 };
    struct bk_view key, cert;
    world_must(bk_store_secret(w->store, BK_VIEW("authority.key"), &arena, &key), "authority key");
    world_must(bk_store_secret(w->store, BK_VIEW("authority.crt"), &arena, &cert),
               "authority certificate");
    world_must(bk_authority_load(key, cert, &w->authority, &why), "authority");
    bk_arena_finish(&arena);
    world_must(
        bk_history_create(w->store, &w->clock, &w->random, NULL, "srv.example.org", &w->history),
        "history");
    struct bk_core_config core = {
        .n_shards = w->config.shards,
        .bus_always_queues = config->bus_always_queues,
        .clock = &w->clock,
        .random = &w->random,
        .timers = &w->timers,
        .store = w->store,
        .history = w->history,
        .directory = w->directory,
        .authority = w->authority,
        .ops = &ops,
        .ops_ctx = w,
        .limits = w->limits,
        .host = "srv.example.org",
        .services_url = "https://srv.example.org/beckon/v1/",
        .dsk = config->dsk,
        .sts_uri = "https://srv.example.org/CertProv/CertProvisioningService.svc",
        .hash_key = { 1, 2 },
        .work = take_work,
        .work_ctx = w,
    };
    memset(core.secret, 7, sizeof core.secret);
    world_must(bk_core_create(&core, &w->core), "core");
    return w;
}

struct world *world_create_pair(unsigned shards)
{
    struct world *w = world_create(
        &(struct world_config){ .shards = shards, .bus_always_queues = shards > 1, .seed = 1 });
    world_user(w, "ann", "MD5");
    world_user(w, "bob", "SHA-256");
    return w;
}

static void end(struct world *w)
{
    work(w, true);
    bk_core_destroy(w->core);
    bk_history_destroy(w->history);
}

static void end_rest(struct world *w)
{
    bk_directory_unref(w->directory);
    bk_authority_destroy(w->authority);
    free(w);
}

void world_destroy(struct world *w)
{
    if (!w)
        return;
    while (w->links)
        world_disconnect(w->links, BK_LINK_END_CLOSED);
    /* Answers that wait for the store come before the core goes. */
    bk_store_pump(w->store);
    end(w);
    bk_store_close(w->store);
    end_rest(w);
}

void world_crash(struct world *w, struct bk_buf *ret_image)
{
    bk_store_crash(w->store, ret_image);
    end(w);
    end_rest(w);
}

void world_user(struct world *w, const char *name, const char *algorithm)
{
    struct bk_store_batch *batch = bk_store_batch_create();
    char address[128], ha1_user[BK_DIGEST_HEX_MAX + 1], ha1_address[BK_DIGEST_HEX_MAX + 1];
    enum bk_digest_algorithm a = bk_digest_algorithm_of(bk_view_of_str(algorithm));
    snprintf(address, sizeof address, "%s@example.org", name);
    bk_digest_ha1(a, bk_view_of_str(name), BK_VIEW("example.org"), BK_VIEW("secret"), ha1_user);
    bk_digest_ha1(a, bk_view_of_str(address), BK_VIEW("example.org"), BK_VIEW("secret"),
                  ha1_address);
    struct bk_user user = { .tenant_id =
                                bk_directory_tenant_of(w->directory, BK_VIEW("example.org"))->id,
                            .address = bk_view_of_str(address),
                            .username = bk_view_of_str(address),
                            .display_name = bk_view_of_str(name),
                            .enabled = true,
                            .licensed = true,
                            .created_at = w->real_ms };
    struct bk_device_password password = { .label = BK_VIEW("test"),
                                           .algorithm = bk_view_of_str(algorithm),
                                           .ha1_user = bk_view_of_str(ha1_user),
                                           .ha1_address = bk_view_of_str(ha1_address) };
    bk_store_put_user(batch, &user);
    bk_store_put_device_password(batch, bk_view_of_str(address), &password);
    world_commit(w, batch);
}

void world_settle(struct world *w)
{
    for (int i = 0; i < 64; i++) {
        bk_core_pump(w->core);
        int n = w->hold_commits ? 0 : bk_store_pump(w->store);
        n += w->hold_work ? 0 : work(w, false);
        bk_timers_run(&w->timers, w->mono_ms);
        if (!n)
            break;
    }
    bk_core_pump(w->core);
}

void world_advance(struct world *w, int64_t ms)
{
    world_settle(w);
    int64_t end_ms = w->mono_ms + ms;
    while (w->mono_ms < end_ms) {
        int64_t next = bk_timers_next_ms(&w->timers);
        if (next <= w->mono_ms)
            next = w->mono_ms + TICK_MS;
        if (next > end_ms)
            next = end_ms;
        w->real_ms += next - w->mono_ms;
        w->mono_ms = next;
        world_settle(w);
    }
}

struct world_link *world_connect(struct world *w, enum bk_link_transport transport)
{
    struct world_link *link = calloc(1, sizeof *link);
    static uint16_t port = 20000;
    if (!link)
        abort();
    link->world = w;
    link->next = w->links;
    w->links = link;
    link->open = true;
    link->last_in_ms = w->mono_ms;
    struct bk_link_info info = { .transport = transport,
                                 .ip = BK_VIEW("127.0.0.1"),
                                 .port = ++port,
                                 .net_key = 1,
                                 .own_network = true,
                                 .local_ip = BK_VIEW("127.0.0.1"),
                                 .local_port = 5061,
                                 .handle = link };
    world_must(bk_core_link_open(w->core, &info, &link->id), "link");
    return link;
}

void world_disconnect(struct world_link *link, enum bk_link_end why)
{
    link->open = false;
    if (link->world) {
        struct world_link **at = &link->world->links;
        while (*at != link)
            at = &(*at)->next;
        *at = link->next;
        bk_core_link_gone(link->world->core, link->id, why);
    }
    bk_buf_finish(&link->out);
    free(link);
}

void world_send(struct world_link *link, const char *format, ...)
{
    va_list args;
    char *text;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    world_must(n, "send");
    link->last_in_ms = link->world->mono_ms;
    bk_core_receive(link->world->core, link->id, (struct bk_view){ text, (size_t)n }, NULL);
    world_settle(link->world);
    free(text);
}

const char *world_take(struct world_link *link)
{
    static char text[65536];
    struct bk_sip_frame frame = { 0 };
    struct bk_sip_fault fault;
    size_t len;
    if (!link->out.len || bk_sip_frame_next(&frame, bk_buf_view(&link->out), sizeof text - 1, &len,
                                            &fault) != BK_SIP_FRAME_MESSAGE)
        return NULL;
    memcpy(text, link->out.at, len);
    text[len] = 0;
    bk_buf_drop(&link->out, len);
    return text;
}

const char *world_field(const char *message, const char *name)
{
    static char values[4][2048];
    static int at;
    char *value = values[at++ % 4];
    struct bk_sip_msg *msg = malloc(sizeof *msg);
    struct bk_sip_fault fault;
    value[0] = 0;
    if (msg && bk_sip_msg_parse(msg, bk_view_of_str(message), &fault) == 0) {
        const struct bk_sip_field *f = bk_sip_msg_field_named(msg, bk_view_of_str(name));
        if (f)
            snprintf(value, sizeof values[0], "%.*s", BK_VIEW_ARGS(f->value));
    }
    free(msg);
    return value;
}

int world_status(const char *message)
{
    return message && strncmp(message, "SIP/2.0 ", 8) == 0 ? atoi(message + 8) : 0;
}

int world_sign_in(struct world_link *link, const char *name, const char *endpoint, int expires_s)
{
    static int call;
    struct world *w = link->world;
    char authorization[1024] = "", from[64], contact[8192];
    int status = 0;
    bool lync = strncmp(endpoint, "epid=", 5) == 0, own = strncmp(endpoint, "own=", 4) == 0;
    snprintf(from, sizeof from, ";%s", endpoint);
    snprintf(contact, sizeof contact,
             lync  ? ";methods=\"INVITE, MESSAGE, INFO, BYE\";proxy=replace"
             : own ? ";message;+sip.instance=\"<%s>\""
                   : ";+sip.instance=\"<%s>\"",
             endpoint);
    call++;
    for (int cseq = 1; cseq <= 2; cseq++) {
        world_send(
            link,
            "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS "
            "127.0.0.1;branch=z9hG4bKreg%d-%d\r\n"
            "From: <sip:%s@example.org>;tag=r%d%s\r\nTo: <sip:%s@example.org>\r\nCall-ID: reg%d\r\n"
            "CSeq: %d REGISTER\r\nMax-Forwards: 70\r\n"
            "Contact: <sip:%s@127.0.0.1:%d;transport=tls>%s\r\n"
            "Expires: %d\r\n%s%sContent-Length: 0\r\n\r\n",
            call, cseq, name, call, lync ? from : "", name, call, cseq, name, 30000 + call, contact,
            expires_s, own ? "Supported: msrtc-event-categories\r\n" : "", authorization);
        const char *answer = world_take(link);
        status = world_status(answer);
        if (status != 401 || cseq == 2)
            break;
        struct bk_digest_challenge challenge;
        struct bk_buf value = { 0 };
        if (bk_digest_challenge_parse(bk_view_of_str(world_field(answer, "WWW-Authenticate")),
                                      &challenge) < 0)
            break;
        bk_digest_answer(&value, &challenge, bk_view_of_str(name), BK_VIEW("secret"),
                         BK_VIEW("REGISTER"), BK_VIEW("sip:example.org"), 1, &w->random);
        snprintf(authorization, sizeof authorization, "Authorization: %.*s\r\n", (int)value.len,
                 value.at);
        bk_buf_finish(&value);
    }
    return status;
}

struct world_link *world_signed_in(struct world *w, const char *name, const char *endpoint)
{
    struct world_link *link = world_connect(w, BK_LINK_TLS);
    if (world_sign_in(link, name, endpoint, 600) != 200)
        world_must(-EACCES, name);
    return link;
}

void world_answer(struct world_link *link, const char *request, int status, const char *more)
{
    world_must(request ? 0 : -ENOMSG, "a request to answer");
    char *copy = strdup(request ? request : ""), *line = copy;
    if (!copy)
        abort();
    struct bk_buf out = { 0 };
    bk_buf_addf(&out, "SIP/2.0 %d X\r\n", status);
    for (char *next; (next = strstr(line, "\r\n")) && next != line; line = next + 2) {
        *next = 0;
        if (!strncasecmp(line, "Via:", 4) || !strncasecmp(line, "From:", 5) ||
            !strncasecmp(line, "Call-ID:", 8) || !strncasecmp(line, "CSeq:", 5) ||
            !strncasecmp(line, "Record-Route:", 13))
            bk_buf_addf(&out, "%s\r\n", line);
        if (!strncasecmp(line, "To:", 3))
            bk_buf_addf(&out, "%s%s\r\n", line, strstr(line, ";tag=") ? "" : ";tag=callee");
    }
    bk_buf_addf(&out, "%s%s", more, strstr(more, "\r\n\r\n") ? "" : "Content-Length: 0\r\n\r\n");
    world_send(link, "%.*s", (int)out.len, out.at);
    bk_buf_finish(&out);
    free(copy);
}
