/* SPDX-License-Identifier: Apache-2.0 */
#include "server/run.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "ms/dsk.h"
#include "ms/mex.h"
#include "server/admin_socket.h"
#include "server/front.h"
#include "server/password.h"
#include "server/services.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    STOP_MOST_MS = 5000,
    STOP_LOOK_MS = 20,
    SWEEP_MS = 30 * 1000,
    MEMORY_MS = 1000,
    SECRET_BYTES = 32,
    END_MOST_MS = 3000,
    STORE_TRIES = 30,
    PEM_MAX = 1 << 20,
    HANDSHAKES_WAITING = 2000,
};

struct bk_run {
    struct bk_loop *loop;
    const struct bk_settings *settings;
    const struct bk_log *log;
    struct bk_store *store;
    struct bk_directory *directory;
    struct bk_authority *authority;
    struct bk_history *history;
    struct bk_core *core;
    struct bk_front *front;
    struct bk_work *work;
    struct bk_work *handshakes; /* a thread of their own: they must not wait for password hashes */
    struct bk_services *services;
    struct bk_services_sip sip;
    char sip_host[256];
    struct bk_http_server *http;
    struct bk_admin *admin;
    struct bk_admin_socket *admin_socket;
    struct bk_timer sweep, stopping, memory;
    bool shedding;
    int64_t stop_at_ms;
    int64_t started_real_ms;
    char services_url[512]; /* filled in once the ports are bound */
    char sts_uri[512];      /* the same */
    struct bk_dsk_side *dsk;
};

static int explain(char **ret_why, int r, const char *format, const char *a, const char *b)
{
    free(*ret_why);
    if (asprintf(ret_why, format, a, b) < 0)
        *ret_why = NULL;
    return r;
}

/* ---- what must be there already, or is made at the first start ---- */

static void set_result(void *ctx, int result)
{
    *(int *)ctx = result;
}

static void post(void *ctx, void (*fn)(void *arg), void *arg)
{
    /* Out of memory here would lose an acknowledgement; the program ends instead and the store is whole. */
    if (bk_loop_post(ctx, fn, arg) < 0)
        abort();
}

/* A secret of that name, made when there is none yet. */
static int secret(struct bk_run *run, const char *name, uint8_t ret[SECRET_BYTES])
{
    struct bk_arena arena = { 0 };
    struct bk_view kept;
    int r = bk_store_secret(run->store, bk_view_of_str(name), &arena, &kept);
    if (r == 0 && kept.len == SECRET_BYTES) {
        memcpy(ret, kept.at, SECRET_BYTES);
    } else if (r == 0 || r == -ENOENT) {
        struct bk_store_batch *batch = bk_store_batch_create();
        int done = 1;
        bk_random_fill(&bk_random_system, ret, SECRET_BYTES);
        if (batch)
            bk_store_put_secret(batch, bk_view_of_str(name),
                                (struct bk_view){ (const char *)ret, SECRET_BYTES });
        r = batch ? bk_store_commit(run->store, batch, set_result, &done) : -ENOMEM;
        while (r == 0 && done == 1)
            bk_loop_step(run->loop, 100);
        r = r < 0 ? r : done;
    }
    bk_arena_finish(&arena);
    return r;
}

static int load_authority(struct bk_run *run, char **ret_why)
{
    struct bk_arena arena = { 0 };
    struct bk_view key, certificate;
    const char *why = "";
    int r = bk_store_secret(run->store, BK_VIEW("authority.key"), &arena, &key);
    if (r == 0)
        r = bk_store_secret(run->store, BK_VIEW("authority.crt"), &arena, &certificate);
    if (r < 0)
        r = explain(ret_why, r, "%s holds no certificate authority: run beckonctl init%s",
                    run->settings->store, "");
    else if ((r = bk_authority_load(key, certificate, &run->authority, &why)) < 0)
        explain(ret_why, r, "the certificate authority in %s cannot be used: %s",
                run->settings->store, why);
    bk_arena_finish(&arena);
    return r;
}

static int open_store(struct bk_run *run, char **ret_why)
{
    const char *why = NULL;
    struct bk_store_config config = {
        .path = run->settings->store,
        .threaded = true,
        .post = post,
        .post_ctx = run->loop,
        .clock = &bk_clock_system,
        .log = run->log,
    };
    int r = bk_store_open(&config, &run->store, &why);
    /* beckonctl holds the store for a moment where no server runs: it is waited for. */
    for (int i = 0; r == -EBUSY && i < STORE_TRIES; i++) {
        bk_loop_step(run->loop, 0);
        usleep(100 * 1000);
        r = bk_store_open(&config, &run->store, &why);
    }
    if (r < 0)
        return explain(ret_why, r, "%s: %s", run->settings->store, why ? why : strerror(-r));
    r = bk_directory_load(run->store, &run->directory);
    return r < 0 ? explain(ret_why, r, "%s: the directory cannot be read: %s", run->settings->store,
                           strerror(-r))
                 : 0;
}

/* Sign-ins that a kill or a power cut left open are over: nobody is signed in at a server that starts. */
static void close_old_signins(struct bk_run *run)
{
    struct bk_store_batch *batch = bk_store_batch_create();
    if (!batch)
        return;
    bk_store_end_all_signins(batch, run->started_real_ms, BK_SIGNIN_END_SERVER);
    bk_store_commit(run->store, batch, NULL, NULL);
}

/* ---- now and then ---- */

/* What this process has in memory now, in bytes; 0 where the system does not tell. */
static int64_t memory_used(void)
{
    struct bk_buf text = { 0 };
    uint64_t pages = 0;
    if (bk_file_read("/proc/self/statm", 4096, &text) == 0) {
        struct bk_view rest = bk_buf_view(&text);
        bk_view_cut(&rest, ' ');
        bk_view_to_u64(bk_view_cut(&rest, ' '), INT64_MAX / 65536, &pages);
    }
    bk_buf_finish(&text);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* At 75 % of the limit nobody new signs in, at 90 % nothing new is accepted (docs/limits.md, "Connections"). */
static void look_at_memory(struct bk_timer *timer)
{
    struct bk_run *run = bk_container_of(timer, struct bk_run, memory);
    int64_t used = memory_used(), most = run->settings->memory_max;
    bool shed = used >= most / 4 * 3;
    if (shed != run->shedding)
        bk_log(run->log, BK_LOG_WARNING,
               shed ? "memory is short: nobody new signs in" : "memory suffices again");
    run->shedding = shed;
    bk_core_shed(run->core, shed);
    bk_front_refuse_all(run->front, used >= most / 10 * 9);
    bk_timer_arm(bk_loop_timers(run->loop), timer,
                 bk_clock_mono_ms(bk_loop_clock(run->loop)) + MEMORY_MS);
}

static void sweep(struct bk_timer *timer)
{
    struct bk_run *run = bk_container_of(timer, struct bk_run, sweep);
    bk_history_sweep(run->history, run->directory);
    bk_core_sweep(run->core);
    bk_core_pump(run->core);
    bk_timer_arm(bk_loop_timers(run->loop), timer,
                 bk_clock_mono_ms(bk_loop_clock(run->loop)) + SWEEP_MS);
}

static bool store_is_busy(const struct bk_run *run)
{
    struct bk_store_stats stats;
    bk_store_stats(run->store, &stats);
    return stats.busy;
}

static void stopping(struct bk_timer *timer)
{
    struct bk_run *run = bk_container_of(timer, struct bk_run, stopping);
    int64_t now = bk_clock_mono_ms(bk_loop_clock(run->loop));
    bool done = bk_core_drain(run->core) && !store_is_busy(run);
    bk_core_pump(run->core);
    if (done || now >= run->stop_at_ms)
        bk_loop_stop(run->loop);
    else
        bk_timer_arm(bk_loop_timers(run->loop), timer, now + STOP_LOOK_MS);
}

void bk_run_stop(struct bk_run *run)
{
    if (run->stop_at_ms)
        return;
    int64_t now = bk_clock_mono_ms(bk_loop_clock(run->loop));
    bk_log(run->log, BK_LOG_NOTICE, "stopping");
    run->stop_at_ms = now + STOP_MOST_MS;
    bk_front_stop_accepting(run->front);
    bk_core_drain(run->core);
    bk_timer_arm(bk_loop_timers(run->loop), &run->stopping, now + STOP_LOOK_MS);
}

void bk_run_reload(struct bk_run *run)
{
    char *why = NULL;
    if (bk_front_reload(run->front, &why) < 0)
        bk_log(run->log, BK_LOG_ERROR, "certificate not reloaded, the old one stays", "why", why);
    else
        bk_log(run->log, BK_LOG_NOTICE, "certificate reloaded");
    free(why);
}

/* ---- administration ---- */

static void directory_changed(void *ctx)
{
    struct bk_run *run = ctx;
    struct bk_directory *fresh;
    int r = bk_directory_load(run->store, &fresh);
    if (r < 0) {
        bk_log(run->log, BK_LOG_ERROR, "the directory could not be loaded, the old one stays",
               "why", strerror(-r));
        return;
    }
    bk_directory_unref(run->directory);
    run->directory = fresh;
    bk_core_set_directory(run->core, fresh);
}

static const struct bk_directory *present_directory(void *ctx)
{
    return ((struct bk_run *)ctx)->directory;
}

static json_t *status(void *ctx)
{
    struct bk_run *run = ctx;
    static const struct {
        const char *name;
        enum bk_metric metric;
    } shown[] = {
        { "connections", BK_METRIC_LINKS },
        { "endpoints", BK_METRIC_ENDPOINTS },
        { "subscriptions", BK_METRIC_SUBSCRIPTIONS },
        { "signins", BK_METRIC_SIGNINS },
        { "refusals", BK_METRIC_REFUSALS },
        { "messages_delivered", BK_METRIC_MESSAGES_DELIVERED },
        { "messages_stored", BK_METRIC_MESSAGES_STORED },
    };
    char started[32];
    bk_time_iso(run->started_real_ms, false, started);
    json_t *j =
        json_pack("{s:s, s:s, s:s, s:i}", "name", run->settings->name, "started", started,
                  "services", run->services_url, "tls_port", (int)bk_front_port(run->front, "tls"));
    for (size_t i = 0; i < BK_COUNT_OF(shown); i++)
        json_object_set_new(j, shown[i].name,
                            json_integer((json_int_t)bk_core_metric(run->core, shown[i].metric)));
    return j;
}

static int open_admin(struct bk_run *run, char **ret_why)
{
    struct bk_admin_config config = {
        .store = run->store,
        .clock = bk_loop_clock(run->loop),
        .random = &bk_random_system,
        .core = run->core,
        .directory_changed = directory_changed,
        .directory = present_directory,
        .status = status,
        .ctx = run,
    };
    int r = bk_admin_create(&config, &run->admin);
    if (r == 0 && run->settings->admin_socket[0])
        r = bk_admin_socket_open(run->loop, run->settings->admin_socket, run->admin,
                                 &run->admin_socket);
    return r < 0 ? explain(ret_why, r, "cannot open %s: %s", run->settings->admin_socket,
                           strerror(-r))
                 : 0;
}

/* ---- starting ---- */

/* "1.0" to what TLS writes; 0: no version that TLS-DSK may have. */
static int dsk_version(const char *text)
{
    static const struct {
        const char *text;
        int version;
    } known[] = { { "1.0", BK_DSK_TLS_1_0 }, { "1.1", BK_DSK_TLS_1_1 }, { "1.2", BK_DSK_TLS_1_2 } };
    for (size_t i = 0; i < BK_COUNT_OF(known); i++)
        if (!strcmp(text, known[i].text))
            return known[i].version;
    return 0;
}

/* Our side of TLS-DSK: the server's own key where it is RSA, else one that is made for it. */
static int make_dsk(struct bk_run *run, char **ret_why)
{
    const struct bk_settings *s = run->settings;
    BK_AUTO_BUF struct bk_buf chain = { 0 }, key = { 0 };
    struct bk_dsk_config config = { .server = true,
                                    .tls_min = dsk_version(s->dsk_min),
                                    .tls_max = dsk_version(s->dsk_max),
                                    .name = s->name,
                                    .now_real_ms = run->started_real_ms };
    if (!config.tls_min || !config.tls_max)
        return explain(ret_why, -EINVAL, "tls.dsk-min = %s and tls.dsk-max = %s: 1.0, 1.1 or 1.2",
                       s->dsk_min, s->dsk_max);
    if (bk_file_read(s->certificate, PEM_MAX, &chain) == 0 &&
        bk_file_read(s->key, PEM_MAX, &key) == 0) {
        config.chain_pem = bk_buf_cstr(&chain);
        config.key_pem = bk_buf_cstr(&key);
    }
    int r = bk_dsk_side_create(&config, &run->dsk);
    if (key.at)
        bk_wipe(key.at, key.len);
    return r < 0 ? explain(ret_why, r, "TLS-DSK cannot be offered with %s: %s", s->certificate,
                           strerror(-r))
                 : 0;
}

static bool hand_over(void *ctx, void (*work)(void *arg), void (*done)(void *arg, bool cancelled),
                      void *arg)
{
    struct bk_run *run = ctx;
    return bk_work_submit(run->handshakes, run->loop, work, done, arg) == 0;
}

static int make_core(struct bk_run *run, char **ret_why)
{
    if (make_dsk(run, ret_why) < 0)
        return -EINVAL;
    struct bk_core_config config = {
        .n_shards = (unsigned)run->settings->shards,
        .clock = bk_loop_clock(run->loop),
        .random = &bk_random_system,
        .log = run->log,
        .timers = bk_loop_timers(run->loop),
        .store = run->store,
        .history = run->history,
        .directory = run->directory,
        .authority = run->authority,
        .ops = &bk_front_core_ops,
        .ops_ctx = run->front,
        .limits = run->settings->limits,
        .host = run->settings->name,
        .services_url = run->settings->beckon_road ? run->services_url : NULL,
        .dsk = run->settings->dsk_road ? run->dsk : NULL,
        .sts_uri = run->sts_uri,
        .work = hand_over,
        .work_ctx = run,
    };
    uint8_t hash[SECRET_BYTES];
    int r = secret(run, "core.secret", config.secret);
    if (r == 0)
        r = secret(run, "hash.secret", hash);
    if (r < 0)
        return explain(ret_why, r, "%s: its secrets cannot be read: %s", run->settings->store,
                       strerror(-r));
    memcpy(&config.hash_key, hash, sizeof config.hash_key);
    return bk_core_create(&config, &run->core);
}

/* ---- services ---- */

static struct bk_directory *directory_ref(void *ctx)
{
    return bk_directory_ref(((struct bk_run *)ctx)->directory);
}

static void user_changed(void *ctx, struct bk_view address)
{
    struct bk_run *run = ctx;
    bk_core_user_changed(run->core, address);
    bk_core_pump(run->core);
}

static void certificate_revoked(void *ctx, struct bk_view serial)
{
    struct bk_run *run = ctx;
    bk_core_certificate_revoked(run->core, serial);
    bk_core_pump(run->core);
}

static bool own_network(void *ctx, const struct bk_addr *peer)
{
    return bk_front_own_network(((struct bk_run *)ctx)->front, peer);
}

static bool health(void *ctx, struct bk_buf *members)
{
    struct bk_run *run = ctx;
    bk_buf_addf(members, ",\"endpoints\":%llu,\"stopping\":%s",
                (unsigned long long)bk_core_metric(run->core, BK_METRIC_ENDPOINTS),
                run->stop_at_ms ? "true" : "false");
    return !run->stop_at_ms;
}

/* Names of the metrics, in one place. */
static const struct {
    enum bk_metric metric;
    bool counter;
    const char *name, *help;
} metric_rows[] = {
    { BK_METRIC_LINKS, false, "beckon_connections", "Connections that speak SIP." },
    { BK_METRIC_ENDPOINTS, false, "beckon_endpoints", "Signed-in endpoints." },
    { BK_METRIC_SUBSCRIPTIONS, false, "beckon_subscriptions", "Subscriptions to presence." },
    { BK_METRIC_TRANSACTIONS, false, "beckon_transactions", "Transactions under way." },
    { BK_METRIC_REQUESTS, true, "beckon_requests", "Requests received." },
    { BK_METRIC_SIGNINS, true, "beckon_signins", "Endpoints that signed in." },
    { BK_METRIC_REFUSALS, true, "beckon_refusals", "Requests refused with a record." },
    { BK_METRIC_MESSAGES_DELIVERED, true, "beckon_messages_delivered",
      "Messages an endpoint took." },
    { BK_METRIC_MESSAGES_STORED, true, "beckon_messages_stored",
      "Messages kept for somebody away." },
    { BK_METRIC_MESSAGES_REFUSED, true, "beckon_messages_refused", "Messages refused." },
    { BK_METRIC_NOTIFIES, true, "beckon_notifications", "Presence notifications sent." },
    { BK_METRIC_BAD_MESSAGES, true, "beckon_bad_messages", "Messages that were no SIP." },
    { BK_METRIC_DROPPED, true, "beckon_dropped", "Messages dropped: stray answers, full queues." },
    { BK_METRIC_CALLS, true, "beckon_calls", "Calls begun." },
};

static void add_metric(struct bk_buf *to, const char *name, bool counter, const char *help,
                       uint64_t value)
{
    bk_buf_addf(to, "# TYPE %s %s\n# HELP %s %s\n%s%s %llu\n", name, counter ? "counter" : "gauge",
                name, help, name, counter ? "_total" : "", (unsigned long long)value);
}

static void metrics(void *ctx, struct bk_buf *families)
{
    struct bk_run *run = ctx;
    struct bk_front_stats front;
    struct bk_store_stats store;
    for (size_t i = 0; i < BK_COUNT_OF(metric_rows); i++)
        add_metric(families, metric_rows[i].name, metric_rows[i].counter, metric_rows[i].help,
                   bk_core_metric(run->core, metric_rows[i].metric));
    bk_front_stats(run->front, &front);
    bk_store_stats(run->store, &store);
    add_metric(families, "beckon_accepted", true, "Connections accepted.",
               front.listeners.accepted);
    add_metric(families, "beckon_refused_connections", true,
               "Connections refused: limits of an address, rate, memory.",
               front.listeners.refused_per_ip + front.listeners.refused_rate +
                   front.listeners.refused_admit);
    add_metric(families, "beckon_refused_datagrams", true,
               "Datagrams of strangers dropped: every place over UDP is somebody's who signed in.",
               front.udp_refused);
    add_metric(families, "beckon_store_commits", true, "Commits of the store.", store.commits);
    add_metric(families, "beckon_store_failures", true, "Commits that failed.", store.failures);
    add_metric(families, "beckon_store_pending_bytes", false, "Bytes that wait to be committed.",
               store.pending_bytes);
    add_metric(families, "beckon_store_degraded", false, "1 while writes fail.",
               bk_store_health(run->store) != 0);
    add_metric(families, "beckon_password_checks_waiting", false, "Password checks in the queue.",
               bk_work_waiting(run->work));
}

/* What documents and challenges name; once more when the ports are bound, which the kernel may have chosen. */
static void name_ourselves(struct bk_run *run)
{
    const struct bk_settings *s = run->settings;
    uint16_t https = bk_front_port(run->front, "https"), tls = bk_front_port(run->front, "tls");
    if (s->public_url[0])
        snprintf(run->services_url, sizeof run->services_url, "%s/beckon/v1/", s->public_url);
    else
        snprintf(run->services_url, sizeof run->services_url, "https://%s:%u/beckon/v1/", s->name,
                 https ? https
                 : tls ? tls
                       : 443);
    size_t base = strlen(run->services_url) - strlen("/beckon/v1/");
    snprintf(run->sts_uri, sizeof run->sts_uri, "%.*s%s", (int)base, run->services_url,
             BK_MS_PATH_CERTPROV);
    struct bk_view advertise = bk_view_of_str(s->advertise);
    size_t colon = bk_view_find(advertise, ':');
    uint64_t port = tls;
    if (advertise.len)
        snprintf(run->sip_host, sizeof run->sip_host, "%.*s", (int)colon, advertise.at);
    else
        snprintf(run->sip_host, sizeof run->sip_host, "%s", s->name);
    if (colon < advertise.len)
        bk_view_to_u64(bk_view_skip(advertise, colon + 1), 65535, &port);
    run->sip = (struct bk_services_sip){
        .host = run->sip_host, .port = (uint16_t)port, .transport = "tls", .where = "internal"
    };
}

static int make_services(struct bk_run *run)
{
    uint8_t tickets[SECRET_BYTES];
    int r = secret(run, "ticket.secret", tickets);
    if (r < 0)
        return r;
    struct bk_services_config config = {
        .loop = run->loop,
        .work = run->work,
        .store = run->store,
        .history = run->history,
        .authority = run->authority,
        .clock = bk_loop_clock(run->loop),
        .random = &bk_random_system,
        .log = run->log,
        .host = run->settings->name,
        .services_url = run->services_url,
        .sip = &run->sip,
        .n_sip = 1,
        .no_beckon = !run->settings->beckon_road,
        .no_tickets = !run->settings->dsk_road,
        .own_network = own_network,
        .directory = directory_ref,
        .user_changed = user_changed,
        .certificate_revoked = certificate_revoked,
        .health = health,
        .metrics = metrics,
        .ctx = run,
    };
    memcpy(config.ticket_secret, tickets, sizeof config.ticket_secret);
    name_ourselves(run);
    r = bk_services_create(&config, &run->services);
    bk_wipe(tickets, sizeof tickets);
    bk_wipe(config.ticket_secret, sizeof config.ticket_secret);
    if (r < 0)
        return r;
    struct bk_http_server_config http = {
        .handle = bk_services_handle,
        .ctx = run->services,
        .whole_request_ms = (int)run->settings->first_request_ms,
        .idle_ms = 30 * 1000,
        .body_max = BK_HTTP_BODY_MAX,
        .clock = bk_loop_clock(run->loop),
    };
    run->http = bk_http_server_create(run->loop, &http);
    return run->http ? 0 : -ENOMEM;
}

int bk_run_start(struct bk_loop *loop, const struct bk_settings *settings, const struct bk_log *log,
                 struct bk_run **ret, char **ret_why)
{
    struct bk_run *run = calloc(1, sizeof *run);
    *ret_why = NULL;
    if (!run)
        return -ENOMEM;
    run->loop = loop;
    run->settings = settings;
    run->log = log;
    run->started_real_ms = bk_clock_real_ms(&bk_clock_system);
    bk_timer_init(&run->sweep, sweep);
    bk_timer_init(&run->stopping, stopping);
    bk_timer_init(&run->memory, look_at_memory);
    int r = open_store(run, ret_why);
    if (r == 0) {
        close_old_signins(run);
        bk_nt_hash_sweep(run->store, run->directory, 0);
        r = load_authority(run, ret_why);
    }
    if (r == 0)
        r = bk_history_create(run->store, bk_loop_clock(loop), &bk_random_system, log,
                              settings->name, &run->history);
    if (r == 0)
        r = bk_front_create(loop, settings, &run->front);
    if (r == 0)
        r = bk_work_create(1, HANDSHAKES_WAITING, &run->handshakes);
    if (r == 0)
        r = make_core(run, ret_why);
    if (r == 0)
        r = bk_work_create((int)settings->hash_workers, (size_t)settings->hash_queue, &run->work);
    if (r == 0)
        r = make_services(run);
    if (r == 0)
        r = bk_front_start(run->front, run->core, run->http, ret_why);
    if (r == 0)
        name_ourselves(run);
    if (r == 0)
        r = open_admin(run, ret_why);
    if (r < 0) {
        bk_run_destroy(run);
        return r;
    }
    bk_timer_arm(bk_loop_timers(loop), &run->sweep,
                 bk_clock_mono_ms(bk_loop_clock(loop)) + SWEEP_MS);
    if (settings->memory_max)
        look_at_memory(&run->memory);
    bk_log(log, BK_LOG_NOTICE, "started", "version", BK_VERSION, "name", settings->name, "services",
           run->services_url);
    *ret = run;
    return 0;
}

int bk_run_write_ports(const struct bk_run *run, const char *path)
{
    static const char *const kinds[] = { "tls", "https", "https-ask", "http", "tcp", "udp" };
    struct bk_buf text = { 0 };
    for (size_t i = 0; i < BK_COUNT_OF(kinds); i++) {
        uint16_t port = bk_front_port(run->front, kinds[i]);
        if (port)
            bk_buf_addf(&text, "%s %u\n", kinds[i], port);
    }
    int r = text.failed ? -ENOMEM : bk_file_replace(path, bk_buf_view(&text), 0644);
    bk_buf_finish(&text);
    return r;
}

/*
 * Until every callback that waits for the disk was called: they hold what is about to be destroyed. false: the disk does
 * not answer; who waited was told so, and the store is whole whatever comes of what is under way.
 */
static bool settle_store(struct bk_run *run, int64_t most)
{
    for (;;) {
        bool was_busy = store_is_busy(run);
        bk_loop_step(run->loop, was_busy ? 10 : 0);
        if (!was_busy && !store_is_busy(run))
            return true;
        if (bk_clock_mono_ms(&bk_clock_system) >= most)
            break;
    }
    bk_log(run->log, BK_LOG_ERROR, "the disk does not answer: ending without it");
    bk_store_silence(run->store);
    bk_loop_step(run->loop, 0); /* what was handed over before */
    return false;
}

struct bk_run *bk_run_destroy(struct bk_run *run)
{
    if (!run)
        return NULL;
    bk_timer_disarm(bk_loop_timers(run->loop), &run->sweep);
    bk_timer_disarm(bk_loop_timers(run->loop), &run->stopping);
    bk_timer_disarm(bk_loop_timers(run->loop), &run->memory);
    int64_t most = bk_clock_mono_ms(&bk_clock_system) + END_MOST_MS;
    bk_admin_socket_close(run->admin_socket);
    if (run->core) {
        /* What waits for the disk is committed and answered, and connections end, while the core is still there. */
        bk_front_stop_accepting(run->front);
        bk_core_drain(run->core); /* no link more, also over UDP */
        bk_core_close_links(run->core);
        /* A peer that does not close its end is given up by its connection after a while. */
        while ((bk_core_metric(run->core, BK_METRIC_LINKS) || store_is_busy(run)) &&
               bk_clock_mono_ms(&bk_clock_system) < most)
            bk_loop_step(run->loop, 10);
    }
    bk_http_server_destroy(run->http);
    bk_work_destroy(run->work);
    bk_work_destroy(run->handshakes);
    bk_loop_step(run->loop, 0); /* what they had done: it goes back to the core */
    bool silent = run->store && !settle_store(run, most);
    bk_admin_destroy(run->admin);
    bk_front_destroy(run->front);
    bk_core_destroy(run->core);
    bk_dsk_side_destroy(run->dsk);
    bk_history_destroy(run->history);
    if (silent)
        bk_store_leave(run->store);
    else
        bk_store_close(run->store);
    bk_loop_step(run->loop, 0);
    bk_services_destroy(run->services);
    bk_authority_destroy(run->authority);
    bk_directory_unref(run->directory);
    free(run);
    return NULL;
}
