/* SPDX-License-Identifier: Apache-2.0 */
/* Who is it: the connection's accepted identity, a personal certificate, or Digest (docs/limits.md, "Authentication"). */
#include "server/core_private.h"

#include "base/text.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

void attempt_of(const struct request *rq, struct bk_view address, int64_t user_id,
                struct bk_view road, struct bk_view endpoint, struct bk_attempt *ret)
{
    *ret = (struct bk_attempt){
        .address = bk_view_head(address, BK_SIP_AOR_MAX),
        .user_id = user_id,
        .endpoint = bk_view_head(endpoint, 200),
        .client = bk_view_head(bk_sip_msg_value(rq->msg, BK_SIP_HDR_USER_AGENT), 120),
        .ip = bk_view_of_str(rq->asker.ip),
        .net_key = rq->asker.net_key,
        .transport = bk_view_of_str(transport_param(rq->asker.transport)),
        .road = road,
        .own_network = rq->asker.own_network,
    };
}

/*
 * A key stands in every binding, publication, row of the history and route token, and a client chooses it: it is
 * bounded. SHA-256, so that the same endpoint has the same key after a restart and nobody can make two that meet.
 */
struct bk_view endpoint_key(struct bk_core *core, struct bk_view endpoint)
{
    unsigned char hash[32];
    char text[sizeof hash * 2 + 1];
    unsigned n = sizeof hash;
    if (endpoint.len <= ENDPOINT_MAX)
        return endpoint;
    if (EVP_Digest(endpoint.at, endpoint.len, hash, &n, EVP_sha256(), NULL) != 1)
        return bk_view_head(endpoint, ENDPOINT_MAX);
    bk_hex_encode(hash, sizeof hash, text);
    return bk_arena_copy(&core->arena, (struct bk_view){ text, sizeof text - 1 });
}

static struct bk_view endpoint_named(const struct request *rq)
{
    struct bk_view rest = bk_sip_msg_value(rq->msg, BK_SIP_HDR_CONTACT), value;
    struct bk_sip_addr contact = { 0 };
    bool has = rest.len && bk_sip_addr_next(&rest, &contact) == 1 && !contact.star;

    if (has && bk_sip_param_find(contact.params, BK_VIEW("+sip.instance"), &value) &&
        value.len > 2 && value.at[0] == '"')
        return bk_view_head(bk_view_skip(value, 1), value.len - 2);
    /* The Lync dialect names the endpoint in From. */
    rest = bk_sip_msg_value(rq->msg, BK_SIP_HDR_FROM);
    struct bk_sip_addr from;
    if (bk_sip_addr_next(&rest, &from) == 1 &&
        bk_sip_param_find(from.params, BK_VIEW("epid"), &value) && value.len)
        return value;
    return has ? contact.uri_text : (struct bk_view){ 0 };
}

struct bk_view endpoint_of_request(const struct request *rq)
{
    return endpoint_key(rq->core, endpoint_named(rq));
}

static struct bk_view domain_of(struct bk_view address)
{
    return bk_view_skip(address, bk_view_find(address, '@') + 1);
}

/* ---- Digest ---- */

/* A nonce is good for one realm, one algorithm and one link: what was overheard elsewhere is worth nothing here. */
static struct bk_view nonce_bind(struct bk_core *core, const struct link *link,
                                 struct bk_view realm, enum bk_digest_algorithm algorithm)
{
    bk_buf_clear(&core->out2);
    bk_buf_add_view(&core->out2, realm);
    bk_buf_addf(&core->out2, "|%d|%llx", (int)algorithm, (unsigned long long)link->id);
    return bk_buf_view(&core->out2);
}

struct device_search {
    struct bk_arena *arena;
    const struct bk_digest_credentials
        *credentials; /* NULL: only look which algorithms there are */
    struct bk_view method, address;
    bool whole_address; /* the user name given was the whole address */
    bool any_md5, any, found;
};

static bool device_row(void *ctx, const struct bk_device_password *row)
{
    struct device_search *s = ctx;
    enum bk_digest_algorithm algorithm = bk_digest_algorithm_of(row->algorithm);
    s->any = true;
    s->any_md5 |= algorithm == BK_DIGEST_MD5;
    if (s->credentials && algorithm == s->credentials->algorithm &&
        bk_digest_check(s->credentials, s->method,
                        s->whole_address ? row->ha1_address : row->ha1_user))
        s->found = true;
    return true;
}

/* The algorithm for this account's challenge: its device password's; for everybody else the policy's. */
static enum bk_digest_algorithm algorithm_for(struct bk_core *core, struct bk_view address)
{
    struct bk_user user;
    struct device_search s = { .arena = &core->arena };
    if (bk_store_user(core->config.store, address, &core->arena, &user) == 0)
        bk_store_device_passwords(core->config.store, user.id, &core->arena, device_row, &s);
    if (s.any)
        return s.any_md5 ? BK_DIGEST_MD5 : BK_DIGEST_SHA256;
    return bk_digest_algorithm_of(
        bk_policy_choice(core->directory, NULL, BK_POLICY_DIGEST_ALGORITHM));
}

/* Lines of a challenge. is_proxy: Proxy-Authenticate. again: a nonce of ours to repeat; empty: a new one. */
static void challenge_lines(struct bk_core *core, const struct link *link, struct bk_view address,
                            bool is_proxy, bool stale, struct bk_view again, struct bk_buf *to)
{
    struct bk_view realm = domain_of(address);
    enum bk_digest_algorithm algorithm = algorithm_for(core, address);
    char nonce[BK_DIGEST_NONCE_MAX];
    bk_digest_nonce_make(&core->nonce_key, nonce_bind(core, link, realm, algorithm), core_now(core),
                         core->config.random, nonce);
    bk_buf_clear(&core->out2);
    bk_digest_challenge_write(&core->out2, realm, again.len ? again : bk_view_of_str(nonce),
                              algorithm, stale);
    bk_sip_field_add(to, is_proxy ? BK_SIP_HDR_PROXY_AUTHENTICATE : BK_SIP_HDR_WWW_AUTHENTICATE,
                     bk_buf_view(&core->out2));
}

/* The server plays the user agent for these; towards all else it is a proxy. */
static bool answers_itself(const struct request *rq)
{
    return rq->msg->method == BK_SIP_REGISTER || rq->msg->method == BK_SIP_SUBSCRIBE ||
           rq->msg->method == BK_SIP_PUBLISH || !rq->target.len;
}

static void challenge(struct request *rq, struct link *link, struct bk_view address, bool stale)
{
    struct bk_core *core = rq->core;
    bool proxy = !answers_itself(rq);
    struct bk_buf lines = { 0 };
    char date[32];

    challenge_lines(core, link, address, proxy, stale, (struct bk_view){ 0 }, &lines);
    size_t needed = lines.len;
    if (rq->msg->method == BK_SIP_REGISTER) {
        if (core->config.services_url)
            bk_sip_field_addf(&lines, BK_SIP_HDR_BECKON_SERVICES, "<%s>",
                              core->config.services_url);
        bk_time_http(core_real(core), date);
        bk_sip_field_add(&lines, BK_SIP_HDR_DATE, bk_view_of_str(date));
    }
    int status = proxy ? 407 : 401;
    /* A small datagram gets the challenge alone. */
    if (!answer_fits(rq, status, bk_buf_view(&lines)))
        lines.len = needed;
    answer(rq, status, (struct bk_view){ 0 }, bk_buf_view(&lines));
    bk_buf_finish(&lines);
}

static bool nonce_is_kept(const struct link *link, uint64_t id)
{
    for (unsigned i = 0; i < LINK_NONCES; i++)
        if (link->nonces[i].id == id)
            return true;
    return false;
}

/*
 * The place of a nonce in the table of its link; one not seen before takes the oldest place. What
 * leaves the table must not look unused again: the floor rises above it.
 */
static unsigned nonce_place(struct link *link, uint64_t id, int64_t now)
{
    for (unsigned i = 0; i < LINK_NONCES; i++)
        if (link->nonces[i].id == id)
            return i;
    unsigned at = link->next_nonce++ % LINK_NONCES;
    if (link->nonces[at].id && link->nonces[at].placed_ms >= link->nonce_floor_ms)
        link->nonce_floor_ms = link->nonces[at].placed_ms + 1;
    memset(&link->nonces[at], 0, sizeof link->nonces[at]);
    link->nonces[at].id = id;
    link->nonces[at].placed_ms = now;
    return at;
}

/* A repeated nc on the same nonce is a replay, unless the very same datagram came again. */
static bool nonce_is_fresh(struct link *link, uint64_t id, int64_t now, uint32_t nc,
                           uint64_t request)
{
    unsigned at = nonce_place(link, id, now);
    if (nc > link->nonces[at].nc) {
        link->nonces[at].nc = nc;
        link->nonces[at].request = request;
        return true;
    }
    return link->transport == BK_LINK_UDP && nc == link->nonces[at].nc &&
           request == link->nonces[at].request;
}

/* Whether this nonce was answered with a wrong password before. */
static bool nonce_was_wrong(struct link *link, uint64_t id, int64_t now)
{
    unsigned at = nonce_place(link, id, now);
    bool was = link->nonces[at].wrong;
    link->nonces[at].wrong = true;
    return was;
}

enum digest_result {
    DIGEST_NONE,  /* no credentials */
    DIGEST_STALE, /* nonce too old, or used before: ask again, nobody did wrong */
    DIGEST_WRONG,
    DIGEST_OTHER, /* right credentials, of somebody else than address */
    DIGEST_GOOD,
};

/* HA1 of nobody: an unknown account costs what a known one costs. */
static const char nobody[BK_DIGEST_HEX_MAX + 1] =
    "0000000000000000000000000000000000000000000000000000000000000000";

/* *ret_again, when WRONG: the nonce to challenge with once more; empty: it was answered wrongly before. */
static enum digest_result digest_look(struct request *rq, struct link *link, struct bk_view address,
                                      struct bk_user *ret_user, bool *ret_known,
                                      struct bk_view *ret_again)
{
    struct bk_core *core = rq->core;
    const struct bk_sip_field *field = NULL;
    struct bk_digest_credentials c;
    struct bk_view realm = domain_of(address);

    *ret_known = false;
    for (int pass = 0; pass < 2 && !field; pass++) {
        field = bk_sip_msg_field(rq->msg,
                                 pass ? BK_SIP_HDR_PROXY_AUTHORIZATION : BK_SIP_HDR_AUTHORIZATION);
        while (field && (bk_digest_credentials_parse(field->value, &c) < 0 ||
                         !bk_view_equal_nocase(c.realm, realm)))
            field = bk_sip_msg_field_next(rq->msg, field);
    }
    if (!field)
        return DIGEST_NONE;
    uint64_t nonce_id;
    int64_t now = core_now(core);
    struct bk_view bind = nonce_bind(core, link, realm, c.algorithm);
    if (bk_digest_nonce_check(&core->nonce_key, bind, c.nonce, now,
                              core->config.limits.nonce_life_ms, &nonce_id) != BK_DIGEST_NONCE_GOOD)
        return DIGEST_STALE;
    /* Out of the table: good only if made after the last one that had to leave it. */
    if (link->nonce_floor_ms && !nonce_is_kept(link, nonce_id) &&
        bk_digest_nonce_check(&core->nonce_key, bind, c.nonce, now, now - link->nonce_floor_ms,
                              &nonce_id) != BK_DIGEST_NONCE_GOOD)
        return DIGEST_STALE;

    /* The user name is the part before the @, or the whole address; both lead to one account. */
    struct bk_buf name = { 0 };
    bool whole = bk_view_find(c.username, '@') < c.username.len;
    bk_buf_add_view(&name, c.username);
    if (!whole) {
        bk_buf_add_char(&name, '@');
        bk_buf_add_view(&name, realm);
    }
    bk_text_lower(name.at, name.len);
    struct bk_view owner = bk_arena_copy(&core->arena, bk_buf_view(&name));
    bk_buf_finish(&name);

    struct device_search s = { .arena = &core->arena,
                               .credentials = &c,
                               .method = rq->msg->method_name,
                               .address = owner,
                               .whole_address = whole };
    int r = bk_store_user(core->config.store, owner, &core->arena, ret_user);
    if (r == 0)
        bk_store_device_passwords(core->config.store, ret_user->id, &core->arena, device_row, &s);
    if (!s.any)
        bk_digest_check(&c, rq->msg->method_name,
                        bk_view_head(bk_view_of_str(nobody), bk_digest_hex_len(c.algorithm)));
    *ret_known = r == 0;
    if (!s.found) {
        *ret_again = nonce_was_wrong(link, nonce_id, now) ? (struct bk_view){ 0 } : c.nonce;
        return DIGEST_WRONG;
    }
    /* Without qop nothing is counted (RFC 2069): such a nonce is good for one request. */
    uint64_t nc = c.qop.len ? 0 : 1;
    for (size_t i = 0; c.qop.len && i < c.nc.len && i < 8; i++) {
        char d = bk_lower(c.nc.at[i]);
        nc = nc << 4 | (unsigned)(d <= '9' ? d - '0' : d - 'a' + 10);
    }
    uint64_t request = bk_hash(&core->config.hash_key, rq->head->via_branch) ^
                       bk_hash(&core->config.hash_key, rq->head->call_id);
    if (!nonce_is_fresh(link, nonce_id, now, (uint32_t)nc, request))
        return DIGEST_STALE;
    return bk_view_equal(owner, address) ? DIGEST_GOOD : DIGEST_OTHER;
}

/* Clear text carries no secrets here, unless policy says so. */
bool clear_is_refused(const struct request *rq)
{
    return rq->asker.transport != BK_LINK_TLS &&
           !bk_policy_switch(rq->core->directory, NULL, BK_POLICY_CLEARTEXT_SIGNIN);
}

/* A failed attempt: kept, counted, answered. */
static void refuse_attempt(struct request *rq, const struct bk_attempt *attempt, unsigned number,
                           char sub, bool neutral, const char *const *values)
{
    struct bk_refusal refusal;
    bk_history_refuse(rq->core->config.history, attempt, bk_record_find(number, sub), neutral, true,
                      (struct bk_view){ 0 }, 0, values, &refusal);
    refuse_with(rq, &refusal, (struct bk_view){ 0 });
}

/*
 * A wrong password: the same challenge once more, so that a person can be asked for another one. Who
 * answers the very same nonce wrongly again gets 403: baresip 1.0 takes each 401 for a reason to try
 * the same password anew, eleven times in as many milliseconds, which locked its user out and
 * showed "busy" instead of the cause.
 */
static void refuse_password(struct request *rq, struct link *link, const struct bk_attempt *attempt,
                            unsigned number, char sub, bool neutral, struct bk_view again)
{
    struct bk_core *core = rq->core;
    struct bk_refusal refusal;
    struct bk_buf lines = { 0 };
    bool proxy = !answers_itself(rq);

    bk_history_refuse(core->config.history, attempt, bk_record_find(number, sub), neutral, true,
                      (struct bk_view){ 0 }, 0, NULL, &refusal);
    refusal.status = !again.len ? 403 : proxy ? 407 : 401;
    if (again.len)
        challenge_lines(core, link, attempt->address, proxy, false, again, &lines);
    refuse_with(rq, &refusal, bk_buf_view(&lines));
    bk_buf_finish(&lines);
}

static void refuse_busy(struct request *rq, const struct bk_attempt *attempt, int wait_s)
{
    struct bk_refusal refusal;
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", wait_s);
    const char *values[] = { "seconds", seconds, "n", seconds, NULL };
    bk_history_refuse(rq->core->config.history, attempt, bk_record_find(404, 0), true, true,
                      BK_VIEW("{\"why\":\"too many failed attempts from this network\"}"), wait_s,
                      values, &refusal);
    refuse_with(rq, &refusal, (struct bk_view){ 0 });
}

/* Whether a stranger may hear that an address does not exist. */
bool may_tell_unknown(const struct request *rq)
{
    struct bk_view tell =
        bk_policy_choice(rq->core->directory, NULL, BK_POLICY_TELL_UNKNOWN_ADDRESS);
    return bk_view_equal(tell, BK_VIEW("always")) ||
           (bk_view_equal(tell, BK_VIEW("own-networks")) && rq->asker.own_network);
}

/* Digest for address with everything around it. true: proven, *ret_user filled. false: answered. */
static bool digest_road(struct request *rq, struct link *link, struct bk_view address,
                        struct bk_user *ret_user)
{
    struct bk_attempt attempt;
    struct bk_view again;
    bool known;

    attempt_of(rq, address, 0, BK_VIEW("sip-digest"), endpoint_of_request(rq), &attempt);
    if (clear_is_refused(rq)) {
        const char *values[] = { "why", "this connection is not encrypted", NULL };
        refuse_attempt(rq, &attempt, 102, 0, false, values);
        return false;
    }
    int wait_s = bk_history_may_try(rq->core->config.history, &attempt);
    if (wait_s > 0) {
        refuse_busy(rq, &attempt, wait_s);
        return false;
    }
    switch (digest_look(rq, link, address, ret_user, &known, &again)) {
    case DIGEST_GOOD:
        return true;
    case DIGEST_NONE:
        challenge(rq, link, address, false);
        return false;
    case DIGEST_STALE:
        challenge(rq, link, address, true);
        return false;
    case DIGEST_OTHER:
        attempt.user_id = ret_user->id;
        bk_history_failed(rq->core->config.history, &attempt);
        refuse_attempt(rq, &attempt, 214, 0, false, NULL);
        return false;
    case DIGEST_WRONG:
        break;
    }
    bk_history_failed(rq->core->config.history, &attempt);
    if (known) {
        attempt.user_id = ret_user->id;
        refuse_password(rq, link, &attempt, 202, 0, true, again);
    } else if (may_tell_unknown(rq)) {
        refuse_attempt(rq, &attempt, 201, 'a', false, NULL);
    } else {
        refuse_password(rq, link, &attempt, 201, 'a', true, again);
    }
    return false;
}

/* ---- for every method but REGISTER ---- */

bool identify(struct request *rq, struct link *link)
{
    struct bk_core *core = rq->core;
    struct bk_sip_uri from;

    bk_buf_clear(&core->sender);
    if (bk_sip_uri_parse(rq->head->from_uri, &from) < 0 ||
        bk_sip_uri_aor(&from, &core->sender) < 0) {
        /* An address that nobody here can have is a stranger's. */
        bk_buf_clear(&core->sender);
        bk_buf_add_lit(&core->sender, "anonymous@invalid");
    }
    struct bk_view sender = bk_buf_view(&core->sender);
    enum ms_identity by_signature = ms_identify(rq, link, sender);
    if (by_signature != MS_NOT_OURS)
        return by_signature == MS_KNOWN;
    /* A datagram's source address proves nothing: over UDP every request carries its credentials. */
    bool stream = link->transport != BK_LINK_UDP;
    BK_LIST_EACH(&link->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_link);
        if (stream && bk_view_equal(bk_person_address(b->person), sender)) {
            rq->identity = bk_person_address(b->person);
            rq->endpoint = b->endpoint;
            return true;
        }
    }
    struct bk_user user;
    if (!bk_directory_tenant_of(core->directory, domain_of(sender))) {
        /* No account of ours can say this From: the challenge names the domain the request is for. */
        size_t at = bk_view_find(rq->target, '@');
        struct bk_view domain =
            at < rq->target.len && bk_directory_tenant_of(core->directory, domain_of(rq->target))
                ? domain_of(rq->target)
            : bk_directory_domains(core->directory) ? bk_directory_domain_at(core->directory, 0)
                                                    : BK_VIEW("invalid");
        struct bk_buf address = { 0 };
        bk_buf_addf(&address, "anonymous@%.*s", BK_VIEW_ARGS(domain));
        sender = bk_arena_copy(&core->arena, bk_buf_view(&address));
        bk_buf_finish(&address);
    }
    if (!digest_road(rq, link, sender, &user))
        return false;
    const struct bk_tenant *tenant = bk_directory_tenant(core->directory, user.tenant_id);
    const struct bk_record *record = bk_judge_account(&user, tenant, core_real(core));
    if (record) {
        struct bk_attempt attempt;
        attempt_of(rq, sender, user.id, BK_VIEW("sip-digest"), endpoint_of_request(rq), &attempt);
        refuse_attempt(rq, &attempt, record->number, record->sub, false, NULL);
        return false;
    }
    rq->identity = user.address;
    link_prove(core, link, user.address);
    return true;
}

/* ---- REGISTER ---- */

/* Our client sends its time with a certificate; more than five minutes off names the clock (SI-104). */
static bool clock_is_right(struct request *rq, const struct bk_attempt *attempt)
{
    struct bk_core *core = rq->core;
    int64_t theirs;
    struct bk_view date = bk_sip_msg_value(rq->msg, BK_SIP_HDR_DATE);
    if (!date.len || bk_time_http_parse(date, &theirs) < 0)
        return true;
    /* Date has whole seconds: exactly five minutes must pass. */
    int64_t skew = theirs - core_real(core);
    int64_t off = skew < 0 ? -skew - 999 : skew;
    if (off <= BK_CLOCK_SKEW_MAX_MS)
        return true;
    char minutes[24], detail[96], server_time[32];
    snprintf(minutes, sizeof minutes, "%lld", (long long)((skew < 0 ? -skew : skew) / 60000));
    bk_time_iso(core_real(core), false, server_time);
    snprintf(detail, sizeof detail, "{\"skew_s\":%lld,\"server_time\":\"%s\"}",
             (long long)(skew / 1000), server_time);
    const char *values[] = { "minutes", minutes, "n", minutes, NULL };
    struct bk_refusal refusal;
    struct bk_buf lines = { 0 };
    char http_date[32];
    bk_history_refuse(core->config.history, attempt, bk_record_find(104, 0), false, true,
                      bk_view_of_str(detail), 0, values, &refusal);
    bk_time_http(core_real(core), http_date);
    bk_sip_field_add(&lines, BK_SIP_HDR_DATE, bk_view_of_str(http_date));
    refuse_with(rq, &refusal, bk_buf_view(&lines));
    bk_buf_finish(&lines);
    return false;
}

static bool certificate_road(struct request *rq, struct link *link, struct bk_view address,
                             struct bk_user *ret_user, char ret_serial[40])
{
    struct bk_core *core = rq->core;
    struct bk_certificate row;
    struct bk_attempt attempt;

    attempt_of(rq, address, 0, BK_VIEW("sip-certificate"), endpoint_of_request(rq), &attempt);
    if (bk_store_user(core->config.store, address, &core->arena, ret_user) == 0)
        attempt.user_id = ret_user->id;
    const struct bk_record *record = bk_authority_judge(core->config.authority, core->config.store,
                                                        bk_buf_view(link->certificate), address,
                                                        core_real(core), &core->arena, &row);
    if (record) {
        static const char *const why[] = { "it has expired",
                                           "it is not valid yet",
                                           "it cannot be read",
                                           "it was made for another address",
                                           "it has no key",
                                           "another authority issued it",
                                           "this server does not know it" };
        const char *values[] = { "why",
                                 record->number == 105 && record->sub >= 'a' && record->sub <= 'g'
                                     ? why[record->sub - 'a']
                                     : "it was withdrawn",
                                 NULL };
        refuse_attempt(rq, &attempt, record->number, record->sub, false, values);
        return false;
    }
    if (!clock_is_right(rq, &attempt))
        return false;
    if (!attempt.user_id) {
        refuse_attempt(rq, &attempt, 105, 'g', false, NULL);
        return false;
    }
    snprintf(ret_serial, 40, "%.*s", BK_VIEW_ARGS(row.serial));
    return true;
}

bool identify_register(struct request *rq, struct link *link, struct bk_view address,
                       struct bk_user *ret_user, enum register_road *ret_road, char ret_serial[40])
{
    struct bk_core *core = rq->core;
    struct bk_binding *here = NULL;

    ret_serial[0] = 0;
    if (rq->asker.dialect)
        return ms_identify_register(rq, link, address, ret_user, ret_road, ret_serial);
    BK_LIST_EACH(&link->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_link);
        if (bk_view_equal(bk_person_address(b->person), address))
            here = b;
    }
    if (here && !link->certificate && link->transport != BK_LINK_UDP) {
        *ret_road = ROAD_LINK;
        return bk_store_user(core->config.store, address, &core->arena, ret_user) == 0 ||
               (refuse(rq, 201, 'a', 0, NULL), false);
    }
    /* A certificate is judged at every REGISTER: it may have run out or been withdrawn meanwhile. */
    if (link->certificate) {
        *ret_road = here ? ROAD_LINK : ROAD_CERTIFICATE;
        return certificate_road(rq, link, address, ret_user, ret_serial);
    }
    *ret_road = ROAD_DIGEST;
    return digest_road(rq, link, address, ret_user);
}
