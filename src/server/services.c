/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTPS requests of people's programs: prove who you are, get a certificate, give it back (docs/https.md). */
#include "server/services_private.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "server/json.h"
#include "server/password.h"
#include "sip/uri.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BODY_MAX = 32 * 1024, /* of somebody who has not proved anything */
    REPORT_MAX = 16 * 1024,
    DEPTH_MAX = 16,
    CLOCK_SKEW_MAX_MS = 300 * 1000,
    BUSY_RETRY_S = 5,
    LIVING_CERTIFICATES_MAX = 100, /* of one person; the oldest gives way */
    REPORT_LIFE_MS = 24 * 3600 * 1000,
    REPORT_GAP_MS = 60 * 1000,
    REPORTS_PER_CASE_MAX = 20,
};

#define SKEW_SHOWN_MAX_MS (1000LL * 365 * 86400 * 1000)

/* One request from its body to its answer. What it points to lives in arena, json, or itself. */
struct op {
    struct bk_services *services;
    struct bk_http_exchange *x; /* NULL: nobody waits any more */
    enum verb verb;
    struct bk_directory *dir;
    struct bk_arena arena;
    json_t *json;
    struct bk_attempt attempt;
    char ip[64];

    struct bk_view address, username; /* lower case; username empty: none given */
    struct bk_view password, new_password, csr;
    struct bk_view device_id, device_name, device_kind;
    bool has_time;
    bool waited,
        reporting; /* a report: what was on its way to the disk was waited for; it is being written */
    int64_t theirs_ms;

    bool found; /* user is filled */
    struct bk_user user;
    struct bk_certificate present; /* the one shown */
    const char *why_unknown;

    /* what the worker reads */
    struct bk_view hash;
    bool prove, issue, make_hash;
    int64_t now_ms, life_ms;
    struct bk_view issue_for;
    /* what it writes */
    bool right;
    int issue_result, hash_result;
    const char *issue_why;
    struct bk_buf certificate, new_hash;
    struct bk_issued issued;
};

static const struct {
    const char *name;
    const char *road;
} verbs[VERB_COUNT] = {
    [VERB_SIGN_IN] = { "sign-in", "https-password" },
    [VERB_RENEW] = { "renew", "https-certificate" },
    [VERB_REVOKE] = { "revoke", "https-certificate" },
    [VERB_PASSWORD] = { "password", "https-password" },
    [VERB_REPORT] = { "report", "https-report" },
};

/* ---- the service ---- */

/* Whatever a JSON library held of a password is gone when it lets go of it. */
static void *json_alloc(size_t size)
{
    return malloc(size);
}

static void json_release(void *at)
{
    if (at)
        bk_wipe(at, malloc_usable_size(at));
    free(at);
}

static void wipe_what_json_frees(void)
{
    json_set_alloc_funcs(json_alloc, json_release);
}

int bk_services_create(const struct bk_services_config *config, struct bk_services **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BK_AUTO_BUF struct bk_buf hash = { 0 };
    unsigned char noise[16];
    char password[33];

    pthread_once(&once, wipe_what_json_frees);
    struct bk_services *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->config = *config;
    s->refs = 1;
    struct bk_url url;
    int r = bk_url_parse(bk_view_of_str(config->services_url), &url);
    if (r == 0 && (!url.path.len || url.path.at[url.path.len - 1] != '/'))
        r = -EINVAL;
    if (r == 0 && !(s->path = bk_view_dup(url.path)))
        r = -ENOMEM;
    if (r == 0) {
        bk_random_fill(&bk_random_system, noise, sizeof noise);
        for (size_t i = 0; i < sizeof noise; i++)
            snprintf(password + 2 * i, 3, "%02x", noise[i]);
        r = bk_password_hash(bk_view_of_str(password), config->password_cost, &hash);
    }
    if (r == 0 && !(s->nobody = bk_view_dup(bk_buf_view(&hash))))
        r = -ENOMEM;
    if (r < 0) {
        bk_services_destroy(s);
        return r;
    }
    *ret = s;
    return 0;
}

static void services_release(struct bk_services *s)
{
    if (--s->refs > 0)
        return;
    free(s->nobody);
    free(s->path);
    free(s);
}

struct bk_services *bk_services_destroy(struct bk_services *s)
{
    if (s)
        services_release(s);
    return NULL;
}

static int64_t now_real(const struct bk_services *s)
{
    return bk_clock_real_ms(s->config.clock);
}

/* ---- who asks ---- */

void services_attempt(const struct bk_services *s, struct bk_http_exchange *x, struct bk_view road,
                      char ip_text[64], struct bk_attempt *ret)
{
    const struct bk_addr *peer = bk_conn_peer(bk_http_conn(x));
    bk_addr_host_text(peer, ip_text);
    *ret = (struct bk_attempt){
        .ip = bk_view_of_str(ip_text),
        .net_key = bk_addr_net_key(peer),
        .transport = BK_VIEW("https"),
        .road = road,
        .own_network = s->config.own_network ? s->config.own_network(s->config.ctx, peer)
                                             : bk_addr_is_private(peer),
    };
}

/* ---- answers ---- */

void services_answer(struct bk_http_exchange *x, int status, struct bk_view json)
{
    bk_http_answer_field(x, "Cache-Control", BK_VIEW("no-store"));
    bk_http_answer(x, status, "application/json", json);
}

void services_say(struct bk_http_exchange *x, int status, const char *text, int64_t at)
{
    BK_AUTO_BUF struct bk_buf json = { 0 };
    bk_buf_add_lit(&json, "{\"record\":null,\"id\":null,\"case\":null,\"text\":");
    bk_json_add_string(&json, bk_view_of_str(text));
    if (at >= 0)
        bk_buf_addf(&json, ",\"at\":%lld", (long long)at);
    bk_buf_add_lit(&json, ",\"retry_after\":null}");
    services_answer(x, status, bk_buf_view(&json));
}

void services_say_allowed(struct bk_http_exchange *x, const char *allowed)
{
    char text[128];
    snprintf(text, sizeof text, "This address takes only %s.", allowed);
    bk_http_answer_field(x, "Allow", bk_view_of_str(allowed));
    services_say(x, 405, text, -1);
}

void services_answer_refusal(const struct bk_services *s, struct bk_http_exchange *x,
                             const struct bk_refusal *refusal, struct bk_view members)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_refusal_diagnostics(s->config.history, refusal, &text);
    bk_http_answer_field(x, "X-Ms-diagnostics", bk_buf_view(&text));
    if (refusal->status == 401)
        bk_http_answer_field(x, "WWW-Authenticate",
                             BK_VIEW("Beckon")); /* RFC 9110 15.5.2: one must be there */
    if (refusal->retry_after_s > 0) {
        bk_buf_clear(&text);
        bk_buf_addf(&text, "%d", refusal->retry_after_s);
        bk_http_answer_field(x, "Retry-After", bk_buf_view(&text));
    }
    bk_buf_clear(&text);
    bk_refusal_json(refusal, &text);
    if (members.len && text.len) {
        text.len--; /* the last brace */
        bk_buf_add_view(&text, members);
        bk_buf_add_char(&text, '}');
    }
    services_answer(x, refusal->status, bk_buf_view(&text));
}

void services_add_sip(const struct bk_services *s, struct bk_buf *to)
{
    bk_buf_add_lit(to, "\"sip\":[");
    for (size_t i = 0; i < s->config.n_sip; i++) {
        const struct bk_services_sip *sip = &s->config.sip[i];
        bk_buf_addf(to, "%s{\"host\":", i ? "," : "");
        bk_json_add_string(to, bk_view_of_str(sip->host));
        bk_buf_addf(to, ",\"port\":%u,\"transport\":", (unsigned)sip->port);
        bk_json_add_string(to, bk_view_of_str(sip->transport));
        bk_buf_add_lit(to, ",\"where\":");
        bk_json_add_string(to, bk_view_of_str(sip->where));
        bk_buf_add_char(to, '}');
    }
    bk_buf_add_char(to, ']');
}

/* ---- one request ---- */

static void op_gone(void *owner)
{
    ((struct op *)owner)->x = NULL;
}

static struct op *op_create(struct bk_services *s, struct bk_http_exchange *x, enum verb verb)
{
    struct op *op = calloc(1, sizeof *op);
    if (!op)
        return NULL;
    op->services = s;
    s->refs++;
    op->x = x;
    op->verb = verb;
    op->dir = s->config.directory(s->config.ctx);
    services_attempt(s, x, bk_view_of_str(verbs[verb].road), op->ip, &op->attempt);
    bk_http_set_owner(x, op_gone, op);
    return op;
}

static void op_end(struct op *op)
{
    bk_wipe(&op->password, sizeof op->password);
    json_decref(op->json); /* wiped as it goes */
    if (op->new_hash.at)
        bk_wipe(op->new_hash.at, op->new_hash.cap);
    bk_buf_finish(&op->new_hash);
    bk_buf_finish(&op->certificate);
    bk_arena_finish(&op->arena);
    bk_directory_unref(op->dir);
    services_release(op->services);
    free(op);
}

static void op_count(struct op *op, enum outcome outcome)
{
    op->services->counts[op->verb][outcome]++;
}

static void op_say(struct op *op, int status, const char *text, int64_t at)
{
    op_count(op, OUTCOME_BAD);
    if (op->x)
        services_say(op->x, status, text, at);
    op_end(op);
}

static void op_answer(struct op *op, int status, struct bk_view json)
{
    op_count(op, OUTCOME_OK);
    if (op->x && status == 204)
        bk_http_answer(op->x, 204, NULL, (struct bk_view){ 0 });
    else if (op->x)
        services_answer(op->x, status, json);
    op_end(op);
}

/* values: as bk_history_refuse. */
static void op_refuse_with(struct op *op, const struct bk_record *record, bool neutral,
                           struct bk_view detail, int retry_after_s, const char *const *values)
{
    struct bk_refusal refusal;
    bk_history_refuse(op->services->config.history, &op->attempt, record, neutral, false, detail,
                      retry_after_s, values, &refusal);
    op_count(op, OUTCOME_REFUSED);
    if (op->x)
        services_answer_refusal(op->services, op->x, &refusal, (struct bk_view){ 0 });
    op_end(op);
}

static void op_refuse(struct op *op, unsigned number, char sub, bool neutral)
{
    op_refuse_with(op, bk_record_find(number, sub), neutral, (struct bk_view){ 0 }, 0, NULL);
}

static void op_refuse_why(struct op *op, unsigned number, bool neutral, const char *why)
{
    const char *values[] = { "why", why, NULL };
    op_refuse_with(op, bk_record_find(number, 0), neutral, (struct bk_view){ 0 }, 0, values);
}

static void op_refuse_busy(struct op *op, int wait_s, struct bk_view detail)
{
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", wait_s);
    const char *values[] = { "seconds", seconds, NULL };
    op_refuse_with(op, bk_record_find(404, 0), true, detail, wait_s, values);
}

/* ---- the body ---- */

/* jansson goes down by recursion: what is deeper than anything here needs never reaches it. -1: fine. */
static int64_t too_deep_at(struct bk_view body)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < body.len; i++) {
        char c = body.at[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                return (int64_t)i;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return -1;
}

json_t *services_json_read(struct bk_view body, char ret_why[160], int64_t *ret_at)
{
    json_error_t error;
    *ret_at = too_deep_at(body);
    if (*ret_at >= 0) {
        snprintf(ret_why, 160, "The body is nested too deeply at byte %lld.", (long long)*ret_at);
        return NULL;
    }
    json_t *json = json_loadb(body.at ? body.at : "", body.len, JSON_REJECT_DUPLICATES, &error);
    if (json && json_is_object(json))
        return json;
    if (json) {
        json_decref(json);
        *ret_at = 0;
        snprintf(ret_why, 160, "The body is JSON, but no object.");
        return NULL;
    }
    /* jansson shows what stands there; that may be part of a password. */
    char *near = strstr(error.text, " near ");
    if (near)
        *near = '\0';
    *ret_at = error.position;
    snprintf(ret_why, 160, "The body is no JSON: %.60s (line %d, column %d, byte %d).", error.text,
             error.line, error.column, error.position);
    return NULL;
}

static struct bk_view string_of(const json_t *value)
{
    return (struct bk_view){ json_string_value(value), json_string_length(value) };
}

/* A text member; empty where it is missing. false: it is there and is no text of that length: *ret_bad names it. */
static bool text_member(const json_t *object, const char *name, size_t max, struct bk_view *ret,
                        const char **ret_bad)
{
    const json_t *value = json_object_get(object, name);
    *ret = (struct bk_view){ 0 };
    if (!value || json_is_null(value))
        return true;
    *ret_bad = name;
    if (!json_is_string(value) || json_string_length(value) > max)
        return false;
    *ret = string_of(value);
    return true;
}

static bool time_member(struct op *op, const char **ret_bad)
{
    const json_t *value = json_object_get(op->json, "time");
    if (!value || json_is_null(value))
        return true;
    *ret_bad = "time";
    op->has_time = true;
    if (json_is_integer(value)) {
        op->theirs_ms = json_integer_value(value);
        return true;
    }
    return json_is_string(value) && bk_time_iso_parse(string_of(value), &op->theirs_ms) == 0;
}

static bool device_member(struct op *op, const char **ret_bad)
{
    const json_t *device = json_object_get(op->json, "device");
    if (!device || json_is_null(device))
        return true;
    *ret_bad = "device";
    return json_is_object(device) && text_member(device, "id", 200, &op->device_id, ret_bad) &&
           text_member(device, "name", 200, &op->device_name, ret_bad) &&
           text_member(device, "kind", 60, &op->device_kind, ret_bad);
}

/* Everything that any of the requests may carry; what else is there is left for later versions. */
static bool read_members(struct op *op, const char **ret_bad)
{
    struct bk_view old = { 0 };
    bool good = text_member(op->json, "address", 400, &op->address, ret_bad) &&
                text_member(op->json, "user", 400, &op->username, ret_bad) &&
                text_member(op->json, "password", 1024, &op->password, ret_bad) &&
                text_member(op->json, "old", 1024, &old, ret_bad) &&
                text_member(op->json, "new", 1024, &op->new_password, ret_bad) &&
                text_member(op->json, "csr", 16 * 1024, &op->csr, ret_bad) &&
                text_member(op->json, "client", 120, &op->attempt.client, ret_bad) &&
                device_member(op, ret_bad) && time_member(op, ret_bad);
    if (op->verb == VERB_PASSWORD)
        op->password = old;
    op->attempt.endpoint = op->device_id;
    op->attempt.device = op->device_name;
    return good;
}

/* The member that this request cannot do without, NULL: all there. */
static const char *missing_member(const struct op *op)
{
    bool by_password = op->verb == VERB_SIGN_IN || op->verb == VERB_PASSWORD;
    if (by_password && !op->address.len)
        return "address";
    if (op->verb == VERB_PASSWORD && !op->password.len)
        return "old";
    if (op->verb == VERB_PASSWORD && !op->new_password.len)
        return "new";
    if ((op->verb == VERB_SIGN_IN || op->verb == VERB_RENEW) && !op->csr.len)
        return "csr";
    return NULL;
}

static bool is_json(struct bk_view content_type)
{
    return bk_view_equal_nocase(
        bk_view_trim(bk_view_head(content_type, bk_view_find(content_type, ';'))),
        BK_VIEW("application/json"));
}

/* false: it was answered. */
static bool read_body(struct op *op, const struct bk_http_request *request)
{
    char text[160];
    const char *name = NULL;
    int64_t at;

    if (request->body.len > (op->verb == VERB_REPORT ? REPORT_MAX : BODY_MAX)) {
        snprintf(text, sizeof text, "The body has %zu bytes; at most %d are taken.",
                 request->body.len, op->verb == VERB_REPORT ? REPORT_MAX : BODY_MAX);
        op_say(op, 413, text, -1);
        return false;
    }
    if (!is_json(bk_http_field(request, BK_VIEW("Content-Type")))) {
        op_say(op, 415, "The body must be JSON (Content-Type: application/json).", -1);
        return false;
    }
    op->json = services_json_read(request->body, text, &at);
    /* The bytes are the exchange's own; nobody reads them again. */
    bk_wipe((char *)request->body.at, request->body.len);
    if (!op->json) {
        op_say(op, 400, text, at);
        return false;
    }
    if (!read_members(op, &name)) {
        snprintf(text, sizeof text, "\"%s\" is not what it should be, or too long.", name);
        op_say(op, 400, text, -1);
        return false;
    }
    if ((name = missing_member(op)) != NULL) {
        snprintf(text, sizeof text, "\"%s\" is missing.", name);
        op_say(op, 400, text, -1);
        return false;
    }
    return true;
}

/* ---- the worker's part ---- */

static void op_run(void *arg)
{
    struct op *op = arg;
    const struct bk_services_config *config = &op->services->config;
    op->right = !op->prove || bk_password_check(op->password, op->hash);
    if (op->right && op->issue)
        op->issue_result =
            bk_authority_issue(config->authority, op->csr, op->issue_for, op->now_ms, op->life_ms,
                               config->random, &op->certificate, &op->issued, &op->issue_why);
    if (op->right && op->make_hash)
        op->hash_result = bk_password_hash(op->new_password, config->password_cost, &op->new_hash);
}

static void op_worked(void *arg, bool cancelled);

/* To a worker, or answered 503 because their queue is full. */
static void op_submit(struct op *op)
{
    struct bk_services *s = op->services;
    if (bk_work_submit(s->config.work, s->config.loop, op_run, op_worked, op) == 0)
        return;
    if (op->prove)
        bk_history_forgive(s->config.history, &op->attempt);
    op_refuse_busy(op, BUSY_RETRY_S, BK_VIEW("{\"why\":\"the queue of the workers is full\"}"));
}

/* ---- sign-in and password: the address and the secret ---- */

static struct bk_view domain_of(struct bk_view address)
{
    return bk_view_skip(address, bk_view_find(address, '@') + 1);
}

static struct bk_view lower_copy(struct op *op, struct bk_view v)
{
    struct bk_view copy = bk_arena_copy(&op->arena, v);
    if (copy.at)
        bk_text_lower((char *)copy.at, copy.len);
    return copy;
}

/* false: it was answered. */
static bool address_is_good(struct op *op)
{
    size_t at = 0;
    const char *why = NULL;
    struct bk_view typed = bk_view_trim(op->address);

    if (bk_view_starts_with_nocase(typed, BK_VIEW("sip:")))
        typed = bk_view_skip(typed, 4);
    op->attempt.address = op->address = lower_copy(op, typed);
    op->username = lower_copy(op, bk_view_trim(op->username));
    if (bk_view_equal(op->username, op->address))
        op->username = (struct bk_view){ 0 };
    if (bk_sip_address_check(op->address, &at, &why) < 0) {
        char detail[48];
        snprintf(detail, sizeof detail, "{\"at\":%zu}", at);
        const char *values[] = { "why", why, NULL };
        op_refuse_with(op, bk_record_find(111, 0), true, bk_view_of_str(detail), 0, values);
        return false;
    }
    if (bk_directory_tenant_of(op->dir, domain_of(op->address)))
        return true;
    op_refuse(op, 220, 0, true);
    return false;
}

/*
 * The account whose password counts. Whoever it is or is not, the same things are asked of the store. false: it was
 * answered, because the store cannot say.
 */
static bool look_up(struct op *op)
{
    struct bk_services *s = op->services;
    struct bk_view hash;
    int r = op->username.len
                ? bk_store_user_by_username(s->config.store, op->username, &op->arena, &op->user)
                : bk_store_user(s->config.store, op->address, &op->arena, &op->user);
    op->found = r == 0;
    if (r == 0 || r == -ENOENT)
        r = bk_store_password(s->config.store, op->found ? op->user.id : 0, &op->arena, &hash);
    if (r < 0 && r != -ENOENT) {
        op_refuse(op, 403, 0, true);
        return false;
    }
    op->hash = r == 0 && op->found ? hash : bk_view_of_str(s->nobody);
    if (op->found) {
        op->attempt.user_id = op->user.id;
        if (r != 0)
            op->why_unknown = "the account has no password";
    } else {
        op->why_unknown = op->username.len ? "no such user name" : NULL;
    }
    return true;
}

static void set_up_issue(struct op *op)
{
    op->issue = true;
    op->now_ms = now_real(op->services);
    op->life_ms =
        bk_policy_number(op->dir, op->found ? &op->user : NULL, BK_POLICY_CERTIFICATE_HOURS) *
        3600 * 1000;
}

/* NULL: this may be the new password. */
static const char *new_password_fault(struct op *op)
{
    const struct bk_view names[] = { op->address, op->username, op->password };
    return bk_password_fault(
        op->new_password,
        bk_policy_number(op->dir, op->found ? &op->user : NULL, BK_POLICY_PASSWORD_LENGTH_MIN),
        names, BK_COUNT_OF(names));
}

static void by_password(struct op *op)
{
    struct bk_history *history = op->services->config.history;
    if (!address_is_good(op))
        return;
    if (!op->password.len) {
        op_refuse_with(op, bk_record_find(102, 0), false, BK_VIEW("{\"offered\":[\"password\"]}"),
                       0, NULL);
        return;
    }
    int wait_s = bk_history_may_try(history, &op->attempt);
    if (wait_s > 0) {
        op_refuse_busy(op, wait_s,
                       BK_VIEW("{\"why\":\"too many failed attempts from this network\"}"));
        return;
    }
    if (!look_up(op))
        return;
    op->prove = true;
    if (op->verb == VERB_SIGN_IN)
        set_up_issue(op);
    else
        op->make_hash = !new_password_fault(op);
    op->issue_for = op->address;
    /* Counted before it is known: a hundred guesses at the same moment are a hundred. */
    bk_history_failed(history, &op->attempt);
    op_submit(op);
}

/* The password was wrong, or there is nobody to have one. */
static void refuse_wrong(struct op *op)
{
    BK_AUTO_BUF struct bk_buf detail = { 0 };
    if (op->why_unknown) {
        bk_buf_add_lit(&detail, "{\"why\":");
        bk_json_add_string(&detail, bk_view_of_str(op->why_unknown));
        bk_buf_add_char(&detail, '}');
    }
    bool unknown = !op->found && !op->username.len;
    bool tell = false;
    if (unknown) {
        struct bk_view policy = bk_policy_choice(op->dir, NULL, BK_POLICY_TELL_UNKNOWN_ADDRESS);
        tell = bk_view_equal(policy, BK_VIEW("always")) ||
               (bk_view_equal(policy, BK_VIEW("own-networks")) && op->attempt.own_network);
    }
    op_refuse_with(op, unknown ? bk_record_find(201, 'a') : bk_record_find(202, 0), !tell,
                   bk_buf_view(&detail), 0, NULL);
}

/* false: it was answered. */
static bool clock_is_right(struct op *op)
{
    int64_t skew = 0;
    if (!op->has_time)
        return true;
    /* What is said there may be any number: one that is centuries off is as wrong as it gets. */
    if (__builtin_sub_overflow(op->theirs_ms, op->now_ms, &skew) || skew < -SKEW_SHOWN_MAX_MS)
        skew = op->theirs_ms < 0 ? -SKEW_SHOWN_MAX_MS : SKEW_SHOWN_MAX_MS;
    if (skew > SKEW_SHOWN_MAX_MS)
        skew = SKEW_SHOWN_MAX_MS;
    if (skew <= CLOCK_SKEW_MAX_MS && skew >= -CLOCK_SKEW_MAX_MS)
        return true;
    char minutes[24], detail[96], server_time[32];
    int64_t off = skew < 0 ? -skew : skew;
    snprintf(minutes, sizeof minutes, "%lld", (long long)((off + 59999) / 60000));
    bk_time_iso(op->now_ms, true, server_time);
    snprintf(detail, sizeof detail, "{\"skew_s\":%lld,\"server_time\":\"%s\"}",
             (long long)(skew / 1000), server_time);
    const char *values[] = { "minutes", minutes, NULL };
    op_refuse_with(op, bk_record_find(104, 0), false, bk_view_of_str(detail), 0, values);
    return false;
}

/* The account as it is now: it may have been changed while the worker was busy. false: it was answered. */
static bool account_is_good(struct op *op)
{
    struct bk_services *s = op->services;
    int r = bk_store_user_by_id(s->config.store, op->user.id, &op->arena, &op->user);
    if (r < 0) {
        op_refuse(op, r == -ENOENT ? 202 : 401, 0, true);
        return false;
    }
    const struct bk_record *record =
        bk_judge_account(&op->user, bk_directory_tenant(op->dir, op->user.tenant_id), now_real(s));
    if (!record && op->verb == VERB_SIGN_IN && op->user.password_must_change)
        record = bk_record_find(206, 0);
    if (!record)
        return true;
    op_refuse_with(op, record, false, (struct bk_view){ 0 }, 0, NULL);
    return false;
}

/* Whose password was it? false: it was answered. */
static bool credentials_fit(struct op *op)
{
    if (!op->prove)
        return true;
    if (op->username.len && !bk_view_equal(op->user.address, op->address)) {
        BK_AUTO_BUF struct bk_buf detail = { 0 };
        bk_buf_add_lit(&detail, "{\"belongs_to\":");
        bk_json_add_string(&detail, op->user.address);
        bk_buf_add_char(&detail, '}');
        op_refuse_with(op, bk_record_find(214, 0), false, bk_buf_view(&detail), 0, NULL);
        return false;
    }
    if (!op->username.len && op->user.username.len &&
        !bk_view_equal(op->user.username, op->user.address)) {
        op_refuse(op, 203, 0, false);
        return false;
    }
    return true;
}

/* ---- what is written, and the answer behind it ---- */

struct committed {
    struct op *op;
    int result;
};

static void finish_signin(struct op *op)
{
    BK_AUTO_BUF struct bk_buf json = { 0 };
    char not_after[32], renew_after[32];
    bk_time_iso(op->issued.not_after, false, not_after);
    bk_time_iso(op->now_ms + (op->issued.not_after - op->now_ms) / 3 * 2, false, renew_after);
    bk_buf_add_lit(&json, "{\"certificate\":");
    bk_json_add_string(&json, bk_buf_view(&op->certificate));
    bk_buf_add_lit(&json, ",\"chain\":");
    bk_json_add_string(&json, bk_authority_pem(op->services->config.authority));
    bk_buf_addf(&json, ",\"not_after\":\"%s\",\"renew_after\":\"%s\",\"address\":", not_after,
                renew_after);
    bk_json_add_string(&json, op->user.address);
    bk_buf_add_char(&json, ',');
    services_add_sip(op->services, &json);
    bk_buf_add_char(&json, '}');
    if (op->x)
        bk_listener_known(bk_http_conn(op->x)); /* no stranger any more */
    op_answer(op, 200, bk_buf_view(&json));
}

static void report(struct op *op);

static void finish(void *arg)
{
    struct committed *c = arg;
    struct op *op = c->op;
    const struct bk_services_config *config = &op->services->config;
    int result = c->result;
    free(c);
    if (result < 0) {
        op_refuse_why(op, 405, false, strerror(-result));
        return;
    }
    switch (op->verb) {
    case VERB_SIGN_IN:
    case VERB_RENEW:
        finish_signin(op);
        return;
    case VERB_REVOKE:
        if (config->certificate_revoked)
            config->certificate_revoked(config->ctx, op->present.serial);
        break;
    case VERB_PASSWORD:
        if (config->user_changed)
            config->user_changed(config->ctx, op->user.address);
        break;
    case VERB_REPORT:
        if (!op->reporting) {
            report(op);
            return;
        }
        break;
    case VERB_COUNT:
        break;
    }
    op_answer(op, 204, (struct bk_view){ 0 });
}

/* On whatever thread the store calls back. */
static void op_committed(void *ctx, int result)
{
    struct committed *c = ctx;
    c->result = result;
    if (bk_loop_post(c->op->services->config.loop, finish, c) < 0)
        bk_log(c->op->services->config.log, BK_LOG_ERROR, "an answer was lost", "error",
               "out of memory");
}

static void op_commit(struct op *op, struct bk_store_batch *batch)
{
    struct committed *c = malloc(sizeof *c);
    if (!c) {
        bk_store_batch_destroy(batch);
        op_refuse_why(op, 405, false, strerror(ENOMEM));
        return;
    }
    c->op = op;
    int r = bk_store_commit(op->services->config.store, batch, op_committed, c);
    if (r < 0) {
        c->result = r;
        finish(c);
    }
}

/* Living certificates of a person, and the one issued first. */
struct living {
    int64_t now, oldest_at;
    int n;
    char oldest[64];
};

static bool count_living(void *ctx, const struct bk_certificate *row)
{
    struct living *l = ctx;
    if (row->revoked_at != 0 || row->not_after <= l->now)
        return true;
    if (l->n++ == 0 || row->issued_at < l->oldest_at) {
        l->oldest_at = row->issued_at;
        snprintf(l->oldest, sizeof l->oldest, "%.*s", BK_VIEW_ARGS(row->serial));
    }
    return true;
}

static void put_issued(struct op *op, struct bk_store_batch *batch)
{
    const struct bk_services_config *config = &op->services->config;
    const struct bk_certificate row = {
        .serial = bk_view_of_str(op->issued.serial),
        .user_id = op->user.id,
        .device_id = op->device_id,
        .device_name = op->device_name,
        .device_kind = op->device_kind,
        .fingerprint = bk_view_of_str(op->issued.fingerprint),
        .issued_at = op->now_ms,
        .not_before = op->issued.not_before,
        .not_after = op->issued.not_after,
    };
    bk_store_put_certificate(batch, &row);

    struct bk_arena arena = { 0 };
    struct living living = { .now = op->now_ms };
    bk_store_certificates(config->store, op->user.id, &arena, count_living, &living);
    bk_arena_finish(&arena);
    if (living.n >= LIVING_CERTIFICATES_MAX)
        bk_store_revoke_certificate(batch, bk_view_of_str(living.oldest), op->now_ms,
                                    BK_VIEW("server"), BK_VIEW("too many certificates"));
    char detail[96];
    snprintf(detail, sizeof detail, "{\"serial\":\"%s\"}", op->issued.serial);
    bk_history_accept_in(config->history, batch, &op->attempt, bk_view_of_str(detail));
}

static void put_audit(struct op *op, struct bk_store_batch *batch, struct bk_view what,
                      struct bk_view detail)
{
    const struct bk_audit row = { .at = now_real(op->services),
                                  .actor = op->user.address,
                                  .what = what,
                                  .target = op->user.address,
                                  .detail = detail };
    bk_store_put_audit(batch, &row);
}

static void proved(struct op *op)
{
    if (!credentials_fit(op) || !account_is_good(op))
        return;
    if (op->verb == VERB_PASSWORD) {
        const char *fault = new_password_fault(op);
        if (fault || op->hash_result < 0 || !op->new_hash.len) {
            op_refuse_why(op, 224, false, fault ? fault : strerror(ENOMEM));
            return;
        }
        struct bk_store_batch *batch = bk_store_batch_create();
        if (batch) {
            bk_store_put_password(batch, op->user.address, bk_buf_view(&op->new_hash),
                                  now_real(op->services), false);
            put_audit(op, batch, BK_VIEW("password.change"), BK_VIEW("{\"by\":\"owner\"}"));
            bk_history_accept_in(op->services->config.history, batch, &op->attempt,
                                 BK_VIEW("{\"changed\":\"password\"}"));
        }
        op_commit(op, batch);
        return;
    }
    if (!clock_is_right(op))
        return;
    if (op->issue_result < 0) {
        op_refuse_why(op, op->issue_result == -ENOMEM ? 401 : 218, false, op->issue_why);
        return;
    }
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch)
        put_issued(op, batch);
    op_commit(op, batch);
}

static void op_worked(void *arg, bool cancelled)
{
    struct op *op = arg;
    if (cancelled || op->right) {
        if (op->prove)
            bk_history_forgive(op->services->config.history, &op->attempt);
    }
    if (cancelled)
        op_refuse(op, 408, 0, true);
    else if (op->right)
        proved(op);
    else
        refuse_wrong(op);
}

/* ---- renew and revoke: the certificate shown ---- */

/* The owner and row of the certificate of this connection; record: what is wrong with it. false: answered. */
static bool certificate_of(struct op *op, const struct bk_record **ret_record)
{
    const struct bk_services_config *config = &op->services->config;
    BK_AUTO_BUF struct bk_buf der = { 0 };
    struct bk_personal personal;
    struct bk_tls *tls = bk_conn_tls(bk_http_conn(op->x));

    if (!tls || bk_tls_peer_certificate(tls, &der, false) < 0) {
        op_refuse_with(op, bk_record_find(102, 0), false,
                       BK_VIEW("{\"why\":\"no client certificate was shown (ALPN beckon)\"}"), 0,
                       NULL);
        return false;
    }
    if (bk_authority_read(config->authority, bk_buf_view(&der), &personal) == 0) {
        op->attempt.address = bk_arena_copy(&op->arena, bk_view_of_str(personal.address));
        op->present.serial = bk_arena_copy(&op->arena, bk_view_of_str(personal.serial));
    }
    *ret_record =
        bk_authority_judge(config->authority, config->store, bk_buf_view(&der),
                           (struct bk_view){ 0 }, now_real(op->services), &op->arena, &op->present);
    if (*ret_record)
        return true;
    if (bk_store_user_by_id(config->store, op->present.user_id, &op->arena, &op->user) < 0) {
        op_refuse(op, 105, 'g', false);
        return false;
    }
    op->found = true;
    op->attempt.user_id = op->user.id;
    op->attempt.address = op->user.address;
    return true;
}

static void renew(struct op *op)
{
    const struct bk_record *record;
    if (!certificate_of(op, &record))
        return;
    if (record) {
        op_refuse_with(op, record, false, (struct bk_view){ 0 }, 0, NULL);
        return;
    }
    /* What the client does not say again stays as it was. */
    if (!op->device_id.len)
        op->device_id = op->attempt.endpoint = op->present.device_id;
    if (!op->device_name.len)
        op->device_name = op->attempt.device = op->present.device_name;
    if (!op->device_kind.len)
        op->device_kind = op->present.device_kind;
    set_up_issue(op);
    op->issue_for = op->user.address;
    op_submit(op);
}

static void revoke(struct op *op)
{
    const struct bk_record *record;
    if (!certificate_of(op, &record))
        return;
    /* Withdrawn or run out: what was wanted holds already. */
    if (record && (record->number == 219 || (record->number == 105 && record->sub == 'a'))) {
        op_answer(op, 204, (struct bk_view){ 0 });
        return;
    }
    if (record) {
        op_refuse_with(op, record, false, (struct bk_view){ 0 }, 0, NULL);
        return;
    }
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch) {
        BK_AUTO_BUF struct bk_buf detail = { 0 };
        bk_buf_add_lit(&detail, "{\"serial\":");
        bk_json_add_string(&detail, op->present.serial);
        bk_buf_add_char(&detail, '}');
        bk_store_revoke_certificate(batch, op->present.serial, now_real(op->services),
                                    op->user.address, BK_VIEW("given back by its owner"));
        put_audit(op, batch, BK_VIEW("certificate.revoke"), bk_buf_view(&detail));
    }
    op_commit(op, batch);
}

/* ---- report: the client's half of a case ---- */

struct case_search {
    int64_t newest;
    int n;
};

static bool case_row(void *ctx, const struct bk_signin *row)
{
    struct case_search *c = ctx;
    c->n++;
    if (row->last_at > c->newest)
        c->newest = row->last_at;
    return true;
}

static bool report_row(void *ctx, const struct bk_report *row)
{
    struct case_search *c = ctx;
    c->n++;
    if (row->at > c->newest)
        c->newest = row->at;
    return true;
}

/* Whether a report of this case was taken less than a minute ago, here; notes it otherwise. */
static bool reported_just_now(struct bk_services *s, const char *code)
{
    int64_t now = bk_clock_mono_ms(s->config.clock);
    for (size_t i = 0; i < BK_COUNT_OF(s->reports); i++)
        if (strcmp(s->reports[i].case_code, code) == 0 &&
            now - s->reports[i].at_mono < REPORT_GAP_MS)
            return true;
    unsigned at = s->next_report++ % BK_COUNT_OF(s->reports);
    memcpy(s->reports[at].case_code, code, BK_CASE_CODE_SIZE);
    s->reports[at].at_mono = now;
    return false;
}

static void report(struct op *op)
{
    struct bk_services *s = op->services;
    char code[BK_CASE_CODE_SIZE];
    struct bk_view typed;
    const char *bad;
    struct case_search known = { .newest = INT64_MIN }, before = { .newest = INT64_MIN };
    int64_t now = now_real(s);

    if (!text_member(op->json, "case", 40, &typed, &bad) || bk_case_code_parse(typed, code) < 0) {
        op_say(op, 400, "\"case\" is no case code.", -1);
        return;
    }
    bk_store_signins(s->config.store, (struct bk_view){ 0 }, bk_view_of_str(code), 10, &op->arena,
                     case_row, &known);
    if (!known.n && !op->waited) {
        /* The refusal was told before its row reached the disk: batches are written in their order, so an empty one behind it tells when. */
        op->waited = true;
        op_commit(op, bk_store_batch_create());
        return;
    }
    if (!known.n || now - known.newest > REPORT_LIFE_MS) {
        op_say(op, 404, "No case of the last 24 hours has this code.", -1);
        return;
    }
    bk_store_reports(s->config.store, bk_view_of_str(code), &op->arena, report_row, &before);
    bool soon = before.n && now - before.newest < REPORT_GAP_MS && now >= before.newest;
    if (before.n >= REPORTS_PER_CASE_MAX || soon || reported_just_now(s, code)) {
        if (op->x)
            bk_http_answer_field(op->x, "Retry-After", BK_VIEW("60"));
        op_say(op, 429, "This case was reported already; wait a minute.", -1);
        return;
    }
    char *text = json_dumps(op->json, JSON_COMPACT);
    struct bk_store_batch *batch = text ? bk_store_batch_create() : NULL;
    if (batch) {
        const struct bk_report row = { .case_code = bk_view_of_str(code),
                                       .at = now,
                                       .client = bk_view_of_str(text),
                                       .ip = op->attempt.ip };
        bk_store_put_report(batch, &row);
    }
    if (text)
        json_release(text);
    op->attempt.address = (struct bk_view){ 0 };
    op->reporting = true;
    op_commit(op, batch);
}

/* ---- which request it is ---- */

static void begin(struct bk_services *s, struct bk_http_exchange *x,
                  const struct bk_http_request *request, enum verb verb)
{
    if (!bk_view_equal(request->method, BK_VIEW("POST"))) {
        services_say_allowed(x, "POST");
        return;
    }
    struct op *op = op_create(s, x, verb);
    if (!op) {
        services_say(x, 503, "Out of memory.", -1);
        return;
    }
    if (verb == VERB_REVOKE) {
        revoke(op);
        return;
    }
    if (!read_body(op, request))
        return;
    switch (verb) {
    case VERB_SIGN_IN:
    case VERB_PASSWORD:
        by_password(op);
        return;
    case VERB_RENEW:
        renew(op);
        return;
    default:
        report(op);
        return;
    }
}

void bk_services_handle(void *services, struct bk_http_exchange *x,
                        const struct bk_http_request *request)
{
    struct bk_services *s = services;
    bool reads = bk_view_equal(request->method, BK_VIEW("GET")) ||
                 bk_view_equal(request->method, BK_VIEW("HEAD"));

    if (bk_view_starts_with(request->path, bk_view_of_str(s->path))) {
        struct bk_view rest = bk_view_skip(request->path, strlen(s->path));
        if (!rest.len) {
            if (reads)
                discover_help(s, x, request);
            else
                services_say_allowed(x, "GET, HEAD");
            return;
        }
        for (int verb = 0; verb < VERB_COUNT; verb++) {
            if (!bk_view_equal(rest, bk_view_of_str(verbs[verb].name)))
                continue;
            if (!bk_conn_is_tls(bk_http_conn(x)))
                services_say(x, 403, "This is answered over HTTPS only.", -1);
            else
                begin(s, x, request, (enum verb)verb);
            return;
        }
    } else if (discover_handle(s, x, request)) {
        return;
    }
    services_say(x, 404, "There is nothing at this address.", -1);
}
