/* SPDX-License-Identifier: Apache-2.0 */
/* Every attempt is kept, every refusal has a case code; and how fast one may fail. */
#include "server/history.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "server/json.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MINUTE_MS = 60 * 1000,
    ADDRESS_MAX = 320, /* what the store keeps of what was typed */
    VALUES_MAX = 8,    /* placeholder pairs of one refusal */

    CASES_MAX =
        4096, /* refusals of the last minute that are remembered here; older ones the store knows */
    CASE_EAGER =
        8, /* repeats written one by one; later ones are counted and written once a second */
    CASE_WRITE_MS = 1000,
    NET_ROWS_MAX =
        60, /* new rows a minute for what strangers of one network type; the rest shares one */
    OWN_NET_ROWS_MAX = 600,

    LIMITS_MAX = 16384,
    ACCOUNT_FAILURES_MAX = 10, /* a minute, per account and network */
    IP_FAILURES_MAX = 60,      /* a minute, per address */
    DELAY_FIRST_MS = 2000,     /* from there on; doubles with each further failure */
    DELAY_MAX_MS = 300 * 1000,

    SWEEP_MS = 10 * MINUTE_MS,
    CLOCK_DRIFT_MS =
        MINUTE_MS, /* a real clock that moved otherwise than time did is not swept by */
};
static const int64_t message_keys_life_ms = 30LL * 86400 * 1000;

/* One row of the history that may still get repeats. */
struct known_case {
    struct bk_map_node node; /* keyed by address, record and network */
    struct bk_list in_age;
    int64_t at; /* real ms of the row, as the store has it */
    int64_t made_mono, written_mono;
    int64_t repeats, unwritten;
    struct bk_signin row; /* views into texts */
    char code[BK_CASE_CODE_SIZE];
    char *texts;
};

/* Failures of an account from a network, of an address, or new rows of a network. */
struct limit {
    struct bk_map_node node;
    struct bk_list in_age; /* by last use */
    int64_t window_at;     /* mono ms */
    int64_t count;
    int64_t delay_ms, blocked_until, last_at;
};

struct bk_history {
    pthread_mutex_t lock;
    struct bk_store *store;
    const struct bk_clock *clock;
    const struct bk_random *random;
    const struct bk_log *log;
    char *server_name;
    struct bk_hash_key key;
    struct bk_map cases, limits;
    struct bk_list case_ages, limit_ages; /* oldest first */
    int64_t swept_mono, swept_real;
};

static int64_t now_mono(const struct bk_history *history)
{
    return bk_clock_mono_ms(history->clock);
}

static int64_t now_real(const struct bk_history *history)
{
    return bk_clock_real_ms(history->clock);
}

int bk_history_create(struct bk_store *store, const struct bk_clock *clock,
                      const struct bk_random *random, const struct bk_log *log,
                      const char *server_name, struct bk_history **ret)
{
    struct bk_history *history = calloc(1, sizeof *history);
    char *name = bk_view_dup(bk_view_of_str(server_name));
    if (!history || !name) {
        free(history);
        free(name);
        return -ENOMEM;
    }
    pthread_mutex_init(&history->lock, NULL);
    history->store = store;
    history->clock = clock;
    history->random = random;
    history->log = log;
    history->server_name = name;
    bk_random_fill(random, &history->key, sizeof history->key);
    bk_list_init(&history->case_ages);
    bk_list_init(&history->limit_ages);
    history->swept_mono = now_mono(history);
    history->swept_real = now_real(history);
    *ret = history;
    return 0;
}

/* ---- writing ---- */

static void commit(struct bk_history *history, struct bk_store_batch *batch)
{
    int r = bk_store_commit(history->store, batch, NULL, NULL);
    if (r < 0)
        bk_log(history->log, BK_LOG_ERROR, "history of sign-ins not written", "error",
               strerror(-r));
}

static void put_row(struct bk_history *history, const struct bk_signin *row)
{
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch)
        bk_store_put_signin(batch, row);
    commit(history, batch);
}

static void case_write(struct bk_history *history, struct known_case *c, int64_t mono)
{
    if (c->unwritten == 0)
        return;
    c->row.count = c->unwritten;
    c->row.last_at = now_real(history);
    if (c->row.last_at < c->at)
        c->row.last_at = c->at;
    put_row(history, &c->row);
    c->unwritten = 0;
    c->written_mono = mono;
}

static void case_forget(struct bk_history *history, struct known_case *c)
{
    case_write(history, c, now_mono(history));
    bk_map_remove(&history->cases, &c->node);
    bk_list_remove(&c->in_age);
    free(c->texts);
    free(c);
}

static void limit_forget(struct bk_history *history, struct limit *limit)
{
    bk_map_remove(&history->limits, &limit->node);
    bk_list_remove(&limit->in_age);
    free(limit);
}

struct bk_history *bk_history_destroy(struct bk_history *history)
{
    if (!history)
        return NULL;
    while (!bk_list_empty(&history->case_ages))
        case_forget(history, bk_container_of(history->case_ages.next, struct known_case, in_age));
    while (!bk_list_empty(&history->limit_ages))
        limit_forget(history, bk_container_of(history->limit_ages.next, struct limit, in_age));
    bk_map_finish(&history->cases);
    bk_map_finish(&history->limits);
    pthread_mutex_destroy(&history->lock);
    free(history->server_name);
    free(history);
    return NULL;
}

/* ---- limits ---- */

enum limit_kind { LIMIT_ACCOUNT = 'a', LIMIT_IP = 'i', LIMIT_ROWS = 'r' };

static uint64_t limit_hash(const struct bk_history *history, enum limit_kind kind,
                           const struct bk_attempt *attempt)
{
    char bytes[1 + 8 + ADDRESS_MAX];
    struct bk_view what = { 0 };
    uint64_t net = attempt->net_key;
    if (kind == LIMIT_ACCOUNT)
        what = bk_view_head(attempt->address, ADDRESS_MAX);
    if (kind == LIMIT_IP && bk_view_find(attempt->ip, ':') == attempt->ip.len) {
        /* A host has one IPv4 address, but a whole /64 of the others: there the network counts. */
        what = bk_view_head(attempt->ip, ADDRESS_MAX);
        net = 0;
    }
    bytes[0] = (char)kind;
    memcpy(bytes + 1, &net, sizeof net);
    if (what.len)
        memcpy(bytes + 9, what.at, what.len);
    return bk_hash_nocase(&history->key, (struct bk_view){ bytes, 9 + what.len });
}

/* Two keys with one hash of 64 bits would share a limit: that harms nobody. */
static struct limit *limit_find(const struct bk_history *history, uint64_t hash)
{
    struct bk_map_node *node = bk_map_first(&history->limits, hash);
    return node ? bk_container_of(node, struct limit, node) : NULL;
}

static struct limit *limit_get(struct bk_history *history, uint64_t hash)
{
    struct limit *limit = limit_find(history, hash);
    if (limit) {
        bk_list_remove(&limit->in_age);
        bk_list_append(&history->limit_ages, &limit->in_age);
        return limit;
    }
    if (history->limits.n_nodes >= LIMITS_MAX)
        limit_forget(history, bk_container_of(history->limit_ages.next, struct limit, in_age));
    limit = calloc(1, sizeof *limit);
    if (!limit || bk_map_insert(&history->limits, &limit->node, hash) < 0) {
        free(limit);
        return NULL;
    }
    limit->window_at = limit->last_at = now_mono(history);
    bk_list_append(&history->limit_ages, &limit->in_age);
    return limit;
}

static void limit_count(struct limit *limit, int64_t now)
{
    if (now - limit->window_at >= MINUTE_MS) {
        limit->window_at = now;
        limit->count = 0;
    }
    limit->count++;
    limit->last_at = now;
}

static int seconds_until(int64_t then, int64_t now)
{
    return then > now ? (int)((then - now + 999) / 1000) : 0;
}

int bk_history_may_try(struct bk_history *history, const struct bk_attempt *attempt)
{
    int wait_s = 0;
    pthread_mutex_lock(&history->lock);
    int64_t now = now_mono(history);
    const struct limit *account = limit_find(history, limit_hash(history, LIMIT_ACCOUNT, attempt));
    const struct limit *ip = limit_find(history, limit_hash(history, LIMIT_IP, attempt));
    if (account && account->count >= ACCOUNT_FAILURES_MAX)
        wait_s = seconds_until(account->window_at + MINUTE_MS, now);
    if (ip && seconds_until(ip->blocked_until, now) > wait_s)
        wait_s = seconds_until(ip->blocked_until, now);
    pthread_mutex_unlock(&history->lock);
    return wait_s;
}

void bk_history_failed(struct bk_history *history, const struct bk_attempt *attempt)
{
    pthread_mutex_lock(&history->lock);
    int64_t now = now_mono(history);
    struct limit *account = limit_get(history, limit_hash(history, LIMIT_ACCOUNT, attempt));
    if (account)
        limit_count(account, now);
    struct limit *ip = limit_get(history, limit_hash(history, LIMIT_IP, attempt));
    if (ip) {
        /* Quiet for as long as the last delay was, and for a minute at least: forgiven. */
        int64_t quiet = ip->delay_ms > MINUTE_MS ? ip->delay_ms : MINUTE_MS;
        if (now - (ip->blocked_until > ip->last_at ? ip->blocked_until : ip->last_at) >= quiet)
            ip->delay_ms = 0;
        limit_count(ip, now);
        if (ip->delay_ms)
            ip->delay_ms = ip->delay_ms * 2 < DELAY_MAX_MS ? ip->delay_ms * 2 : DELAY_MAX_MS;
        else if (ip->count >= IP_FAILURES_MAX)
            ip->delay_ms = DELAY_FIRST_MS;
        if (ip->delay_ms)
            ip->blocked_until = now + ip->delay_ms;
    }
    pthread_mutex_unlock(&history->lock);
}

void bk_history_forgive(struct bk_history *history, const struct bk_attempt *attempt)
{
    pthread_mutex_lock(&history->lock);
    enum limit_kind kinds[] = { LIMIT_ACCOUNT, LIMIT_IP };
    for (size_t i = 0; i < BK_COUNT_OF(kinds); i++) {
        struct limit *limit = limit_find(history, limit_hash(history, kinds[i], attempt));
        if (limit && limit->count > 0)
            limit->count--;
    }
    pthread_mutex_unlock(&history->lock);
}

/* ---- cases ---- */

static uint64_t case_hash(const struct bk_history *history, struct bk_view address,
                          const char *record, const struct bk_attempt *attempt)
{
    char bytes[12 + 8 + ADDRESS_MAX] = { 0 };
    memcpy(bytes, record, strlen(record));
    memcpy(bytes + 12, &attempt->net_key, 8);
    if (address.len)
        memcpy(bytes + 20, address.at, address.len);
    return bk_hash(&history->key, (struct bk_view){ bytes, 20 + address.len });
}

/* Whether the store would count this refusal into that row. */
static bool joins(const struct known_case *c, int64_t real)
{
    return real > c->at - MINUTE_MS && real < c->at + MINUTE_MS;
}

static struct known_case *case_find(struct bk_history *history, uint64_t hash, int64_t real)
{
    struct bk_map_node *node = bk_map_first(&history->cases, hash);
    if (!node)
        return NULL;
    struct known_case *c = bk_container_of(node, struct known_case, node);
    if (joins(c, real))
        return c;
    case_forget(history, c);
    return NULL;
}

static struct bk_view copy_text(char **to, struct bk_view v)
{
    struct bk_view copy = { *to, v.len };
    if (v.len)
        memcpy(*to, v.at, v.len);
    *to += v.len;
    return copy;
}

/* Remembers the row with copies of its key; forgetting it early only means that the store is asked next time. */
static struct known_case *case_keep(struct bk_history *history, uint64_t hash,
                                    const struct bk_signin *row)
{
    struct known_case *c = calloc(1, sizeof *c);
    size_t size = row->address.len + row->record.len + row->ip.len;
    char *texts = c ? malloc(size + 1) : NULL;
    if (!texts || bk_map_insert(&history->cases, &c->node, hash) < 0) {
        free(texts);
        free(c);
        return NULL;
    }
    while (history->cases.n_nodes > CASES_MAX)
        case_forget(history, bk_container_of(history->case_ages.next, struct known_case, in_age));
    c->texts = texts;
    c->at = row->at;
    c->made_mono = c->written_mono = now_mono(history);
    c->row = (struct bk_signin){
        .at = row->at,
        .status = row->status,
        .diagnostics = row->diagnostics,
        .end = BK_SIGNIN_END_OPEN,
        .address = copy_text(&texts, row->address),
        .record = copy_text(&texts, row->record),
        .ip = copy_text(&texts, row->ip),
    };
    memcpy(c->code, row->case_code.at, BK_CASE_CODE_SIZE - 1);
    c->row.case_code = (struct bk_view){ c->code, BK_CASE_CODE_SIZE - 1 };
    bk_list_append(&history->case_ages, &c->in_age);
    return c;
}

/* Whether this network has made as many rows as strangers of one may in a minute. */
static bool rows_are_many(struct bk_history *history, const struct bk_attempt *attempt)
{
    int64_t now = now_mono(history);
    struct limit *limit = limit_get(history, limit_hash(history, LIMIT_ROWS, attempt));
    if (!limit)
        return true;
    limit_count(limit, now);
    return limit->count > (attempt->own_network ? OWN_NET_ROWS_MAX : NET_ROWS_MAX);
}

static void attempt_row(const struct bk_attempt *attempt, struct bk_view address, int64_t real,
                        struct bk_signin *ret)
{
    *ret = (struct bk_signin){
        .at = real,
        .last_at = real,
        .count = 1,
        .address = address,
        .user_id = attempt->user_id,
        .endpoint = attempt->endpoint,
        .client = attempt->client,
        .device = attempt->device,
        .ip = attempt->ip,
        .transport = attempt->transport,
        .road = attempt->road,
        .end = BK_SIGNIN_END_OPEN,
    };
    /* HTTPS hands out a certificate; nobody stays signed in there. */
    if (bk_view_equal(attempt->transport, BK_VIEW("https")))
        ret->ended_at = real;
}

/* The case's row: an old one that counts one more, or a new one with a new code. */
static void keep_refusal(struct bk_history *history, const struct bk_attempt *attempt, bool neutral,
                         const char *record, struct bk_view detail, struct bk_refusal *ret,
                         uint32_t diagnostics)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_view address = bk_view_head(attempt->address, ADDRESS_MAX);
    int64_t real = now_real(history), mono = now_mono(history);
    uint64_t hash = case_hash(history, address, record, attempt);
    struct known_case *c = case_find(history, hash, real);

    if (!c && neutral && rows_are_many(history, attempt)) {
        /* Somebody tries one address after the other: each has its refusal, together they have one row. */
        address = BK_VIEW("*");
        hash = case_hash(history, address, record, attempt);
        c = case_find(history, hash, real);
    }
    if (c) {
        memcpy(ret->case_code, c->code, sizeof ret->case_code);
        c->unwritten++;
        if (++c->repeats <= CASE_EAGER || mono - c->written_mono >= CASE_WRITE_MS)
            case_write(history, c, mono);
        return;
    }
    struct bk_signin row;
    struct bk_view code = { 0 };
    attempt_row(attempt, address, real, &row);
    row.status = ret->status;
    row.diagnostics = diagnostics;
    row.record = bk_view_of_str(record);
    row.detail = detail;
    row.ended_at = 0;
    int r = bk_store_signin_case(history->store, address, row.record, row.ip, real, &arena, &code);
    if (r < 0 || bk_case_code_parse(code, ret->case_code) < 0)
        bk_case_code(bk_random_u64(history->random), ret->case_code);
    row.case_code = bk_view_of_str(ret->case_code);
    put_row(history, &row);
    case_keep(history, hash, &row);
    char *shown = bk_view_dup(address), *ip = bk_view_dup(attempt->ip);
    bk_log(history->log, BK_LOG_NOTICE, "sign-in refused", "address", shown, "ip", ip, "record",
           record, "case", ret->case_code);
    free(shown);
    free(ip);
}

/* ---- texts ---- */

/* The record's text with its values, as one line of UTF-8 that fits. */
static void fill_text(const char *text, const char *const *values, char *ret, size_t size)
{
    BK_AUTO_BUF struct bk_buf line = { 0 };
    const char *v[2 * VALUES_MAX] = { 0 };
    for (size_t i = 0; values && i < BK_COUNT_OF(v) && values[i] && values[i + 1]; i += 2) {
        v[i] = values[i];
        v[i + 1] = values[i + 1];
    }
    bk_record_text(&line, text, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10],
                   v[11], v[12], v[13], v[14], v[15], NULL);
    size_t n = line.len < size ? line.len : size - 1;
    if (n < line.len)
        while (n > 0 && ((unsigned char)line.at[n] & 0xc0) == 0x80)
            n--;
    bool clean = bk_utf8_valid((struct bk_view){ line.at, n });
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)line.at[i];
        ret[i] = c < ' ' ? ' ' : c == 0x7f || (c > 0x7f && !clean) ? '?' : (char)c;
    }
    ret[n] = '\0';
}

/* What is kept: the server's half, the values of the texts, and what was told where that differs. */
static void add_detail(struct bk_buf *to, struct bk_view detail, const char *told_id,
                       const char *const *values)
{
    struct bk_view inside = bk_view_trim(detail);
    if (inside.len >= 2 && inside.at[0] == '{' && inside.at[inside.len - 1] == '}')
        inside = bk_view_trim((struct bk_view){ inside.at + 1, inside.len - 2 });
    else
        inside = (struct bk_view){ 0 };
    bk_buf_add_char(to, '{');
    bk_buf_add_view(to, inside);
    if (told_id) {
        bk_buf_addf(to, "%s\"told\":\"%s\"", to->len > 1 ? "," : "", told_id);
    }
    if (values && values[0]) {
        bk_buf_addf(to, "%s\"values\":{", to->len > 1 ? "," : "");
        for (size_t i = 0; i < 2 * VALUES_MAX && values[i] && values[i + 1]; i += 2) {
            if (i)
                bk_buf_add_char(to, ',');
            bk_json_add_string(to, bk_view_of_str(values[i]));
            bk_buf_add_char(to, ':');
            bk_json_add_string(to, bk_view_head(bk_view_of_str(values[i + 1]), 256));
        }
        bk_buf_add_char(to, '}');
    }
    bk_buf_add_char(to, '}');
}

void bk_history_refuse(struct bk_history *history, const struct bk_attempt *attempt,
                       const struct bk_record *cause, bool neutral, bool sip, struct bk_view detail,
                       int retry_after_s, const char *const *values, struct bk_refusal *ret)
{
    BK_AUTO_BUF struct bk_buf whole = { 0 };
    char cause_id[12];

    *ret = (struct bk_refusal){ .record = bk_record_told(cause, neutral) };
    ret->status = sip ? ret->record->sip_status : ret->record->http_status;
    if (ret->status == 0)
        ret->status = 403; /* a cause that this road does not know is a refusal all the same */
    ret->diagnostics = ret->record->diagnostics;
    ret->retry_after_s = retry_after_s;
    bk_record_id(ret->record, ret->id);
    bk_record_id(cause, cause_id);
    fill_text(ret->record->user_text, values, ret->text, sizeof ret->text);
    add_detail(&whole, detail, ret->record == cause ? NULL : ret->id, values);

    pthread_mutex_lock(&history->lock);
    keep_refusal(history, attempt, neutral, cause_id,
                 whole.failed ? BK_VIEW("{}") : bk_buf_view(&whole), ret, cause->diagnostics);
    pthread_mutex_unlock(&history->lock);
}

void bk_history_accept_in(struct bk_history *history, struct bk_store_batch *batch,
                          const struct bk_attempt *attempt, struct bk_view detail)
{
    struct bk_signin row;
    attempt_row(attempt, bk_view_head(attempt->address, ADDRESS_MAX), now_real(history), &row);
    row.ok = true;
    row.status = 200;
    row.detail = detail.len ? detail : BK_VIEW("{}");
    bk_store_put_signin(batch, &row);
}

void bk_history_accept(struct bk_history *history, const struct bk_attempt *attempt,
                       struct bk_view detail)
{
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch)
        bk_history_accept_in(history, batch, attempt, detail);
    commit(history, batch);
}

void bk_history_end(struct bk_history *history, struct bk_view address, struct bk_view endpoint,
                    enum bk_signin_end end)
{
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch)
        bk_store_end_signin(batch, address, endpoint, now_real(history), end);
    commit(history, batch);
}

/* ---- what goes out ---- */

static void add_quoted(struct bk_buf *to, const char *name, const char *text)
{
    bk_buf_addf(to, ";%s=\"", name);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            bk_buf_add_char(to, '\\');
        bk_buf_add_char(to, *text);
    }
    bk_buf_add_char(to, '"');
}

void bk_refusal_diagnostics(const struct bk_history *history, const struct bk_refusal *refusal,
                            struct bk_buf *to)
{
    bk_buf_add_u64(to, refusal->diagnostics);
    add_quoted(to, "reason", refusal->text);
    add_quoted(to, "source", history->server_name);
    add_quoted(to, "record", refusal->id);
    add_quoted(to, "case", refusal->case_code);
}

void bk_refusal_json(const struct bk_refusal *refusal, struct bk_buf *to)
{
    bk_buf_addf(to, "{\"record\":\"%s\",\"id\":%u,\"case\":\"%s\",\"text\":", refusal->id,
                (unsigned)refusal->diagnostics, refusal->case_code);
    bk_json_add_string(to, bk_view_of_str(refusal->text));
    if (refusal->retry_after_s > 0)
        bk_buf_addf(to, ",\"retry_after\":%d}", refusal->retry_after_s);
    else
        bk_buf_add_lit(to, ",\"retry_after\":null}");
}

/* ---- the account's own state ---- */

const struct bk_record *bk_judge_account(const struct bk_user *user, const struct bk_tenant *tenant,
                                         int64_t now_real_ms)
{
    if (!user->enabled)
        return bk_record_find(208, 0);
    if (!user->licensed)
        return bk_record_find(201, 'b');
    if (!tenant || tenant->state != BK_TENANT_ACTIVE)
        return bk_record_find(402, 0);
    if (tenant->ends_at != 0 && now_real_ms >= tenant->ends_at &&
        now_real_ms - tenant->ends_at >= tenant->grace_ms)
        return bk_record_find(402, 0);
    return NULL;
}

/* ---- sweeping ---- */

void bk_history_sweep(struct bk_history *history, const struct bk_directory *dir)
{
    pthread_mutex_lock(&history->lock);
    int64_t mono = now_mono(history), real = now_real(history);
    while (!bk_list_empty(&history->case_ages)) {
        struct known_case *c = bk_container_of(history->case_ages.next, struct known_case, in_age);
        if (mono - c->made_mono < MINUTE_MS)
            break;
        case_forget(history, c);
    }
    BK_LIST_EACH(&history->case_ages, it)
    {
        struct known_case *c = bk_container_of(it, struct known_case, in_age);
        if (mono - c->written_mono >= CASE_WRITE_MS)
            case_write(history, c, mono);
    }
    while (!bk_list_empty(&history->limit_ages)) {
        struct limit *limit = bk_container_of(history->limit_ages.next, struct limit, in_age);
        if (mono - limit->last_at < 2 * DELAY_MAX_MS)
            break;
        limit_forget(history, limit);
    }
    int64_t passed = mono - history->swept_mono;
    bool due = passed >= SWEEP_MS;
    if (due) {
        /* A clock that was set, by whoever and wherever to, must not empty the history: it is asked again later. */
        int64_t drift = real - history->swept_real - passed;
        history->swept_mono = mono;
        history->swept_real = real;
        due = drift < CLOCK_DRIFT_MS && drift > -CLOCK_DRIFT_MS;
    }
    pthread_mutex_unlock(&history->lock);
    if (!due)
        return;
    int64_t days = bk_policy_number(dir, NULL, BK_POLICY_SIGNIN_HISTORY_DAYS);
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch) {
        bk_store_forget_signins(batch, real - days * 86400 * 1000);
        bk_store_forget_message_keys(batch, real - message_keys_life_ms);
    }
    commit(history, batch);
}
