/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a client of the Lync dialect signs in: an unsigned REGISTER is offered schemes, legs of one go back and forth in 401s,
 * and the REGISTER that ends them is signed already. A scheme is a row of the table below.
 */
#include "server/ms_auth_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NETBIOS_MAX = 15,
    KEEP_ALIVE_S = 120, /* of silence, then the client sends an empty line */
};

/* A REGISTER with a leg of a handshake, or with what ends one. */
struct leg {
    struct request *rq;
    struct link *link;
    struct bk_view address;
    const struct bk_sa_header *header;
    struct bk_view token; /* of gssapi-data */
    struct bk_attempt attempt;
    struct bk_user *ret_user;
};

enum leg_end {
    LEG_REFUSED, /* and answered */
    LEG_GOES_ON, /* with what is to go back */
    LEG_LATER,   /* a worker has it */
};

static const struct ms_scheme {
    bool (*allowed)(const struct request *rq, struct bk_view address);
    struct bk_view road; /* in the history */
    /* The first leg. */
    enum leg_end (*begin)(struct leg *leg, struct ms_handshake *h, struct bk_buf *ret_token);
    /* A later one that is not signed. */
    enum leg_end (*go_on)(struct leg *leg, struct ms_handshake *h, struct bk_buf *ret_token);
    /* The signed one: keys into h, *ret_user filled. false: answered. */
    bool (*prove)(struct leg *leg, struct ms_handshake *h);
} schemes[BK_SA_SCHEMES];

/* ---- refusals ---- */

static void refuse_leg(struct leg *leg, const struct bk_record *record, bool neutral,
                       const char *detail, const char *const *values)
{
    struct bk_refusal refusal;
    bk_history_refuse(leg->rq->core->config.history, &leg->attempt, record, neutral, true,
                      bk_view_of_str(detail ? detail : ""), 0, values, &refusal);
    refuse_with(leg->rq, &refusal, (struct bk_view){ 0 });
}

static bool refuse_number(struct leg *leg, unsigned number, char sub, bool neutral,
                          const char *detail)
{
    refuse_leg(leg, bk_record_find(number, sub), neutral, detail, NULL);
    return false;
}

static bool busy(struct leg *leg, int wait_s)
{
    struct bk_refusal refusal;
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", wait_s);
    const char *values[] = { "seconds", seconds, "n", seconds, NULL };
    bk_history_refuse(leg->rq->core->config.history, &leg->attempt, bk_record_find(404, 0), true,
                      true, BK_VIEW("{\"why\":\"too many attempts\"}"), wait_s, values, &refusal);
    refuse_with(leg->rq, &refusal, (struct bk_view){ 0 });
    return false;
}

/* ---- NTLM ---- */

static bool ntlm_allowed(const struct request *rq, struct bk_view address)
{
    const struct bk_core *core = rq->core;
    struct bk_user user;
    bool known = bk_store_user(core->config.store, address, &rq->core->arena, &user) == 0;
    return bk_policy_switch(core->directory, known ? &user : NULL, BK_POLICY_NTLM_SIGNIN);
}

/* The first label of a name, upper case, as long as a NetBIOS name may be. */
static struct bk_view netbios(struct bk_view name, char ret[NETBIOS_MAX + 1])
{
    size_t n = 0;
    for (; n < NETBIOS_MAX && n < name.len && name.at[n] != '.'; n++)
        ret[n] =
            (char)(name.at[n] >= 'a' && name.at[n] <= 'z' ? name.at[n] - 'a' + 'A' : name.at[n]);
    ret[n] = '\0';
    return (struct bk_view){ ret, n };
}

static enum leg_end ntlm_begin(struct leg *leg, struct ms_handshake *h, struct bk_buf *ret_token)
{
    struct bk_core *core = leg->rq->core;
    char computer[NETBIOS_MAX + 1], domain[NETBIOS_MAX + 1];
    struct bk_view host = bk_view_of_str(core->config.host);
    struct bk_view dns_domain = bk_view_skip(leg->address, bk_view_find(leg->address, '@') + 1);
    struct bk_ntlm_names names = { .domain = netbios(dns_domain, domain),
                                   .computer = netbios(host, computer),
                                   .dns_domain = dns_domain,
                                   .dns_computer = host };
    if (leg->token.len) {
        answer(leg->rq, 400, BK_VIEW("NTLM begins without a token here"), (struct bk_view){ 0 });
        return LEG_REFUSED;
    }
    bk_random_fill(core->config.random, h->challenge, sizeof h->challenge);
    bk_ntlm_challenge_write(ret_token, h->challenge, &names);
    return LEG_GOES_ON;
}

static enum leg_end ntlm_go_on(struct leg *leg, struct ms_handshake *h, struct bk_buf *ret_token)
{
    (void)h;
    (void)ret_token;
    answer(leg->rq, 400, BK_VIEW("The answer of NTLM comes in a signed REGISTER"),
           (struct bk_view){ 0 });
    return LEG_REFUSED;
}

/*
 * Which account the login name means: an address or user name, DOMAIN\user as a user name, or the user at the domain of the
 * address. -ENOENT.
 */
static int login_user(struct leg *leg, const struct bk_ntlm_answer *answer, struct bk_user *ret)
{
    struct bk_core *core = leg->rq->core;
    struct bk_store *store = core->config.store;
    struct bk_buf user = { 0 }, domain = { 0 }, name = { 0 };
    int r = bk_ntlm_text(answer->user, &user);
    if (r == 0)
        r = bk_ntlm_text(answer->domain, &domain);
    if (r == 0 && (!user.len || user.len > BK_SIP_AOR_MAX || domain.len > 255))
        r = -ENOENT;
    if (r == 0) {
        bk_text_lower(user.at, user.len);
        if (domain.len)
            bk_text_lower(domain.at, domain.len);
        struct bk_view u = bk_buf_view(&user);
        bool whole = bk_view_find(u, '@') < u.len;
        r = -ENOENT;
        if (whole)
            r = bk_store_user(store, u, &core->arena, ret);
        if (r == -ENOENT && domain.len) {
            bk_buf_addf(&name, "%.*s\\%.*s", BK_VIEW_ARGS(bk_buf_view(&domain)), BK_VIEW_ARGS(u));
            r = bk_store_user_by_username(store, bk_buf_view(&name), &core->arena, ret);
        }
        if (r == -ENOENT)
            r = bk_store_user_by_username(store, u, &core->arena, ret);
        if (r == -ENOENT && !whole) {
            bk_buf_clear(&name);
            bk_buf_addf(&name, "%.*s%.*s", BK_VIEW_ARGS(u),
                        BK_VIEW_ARGS(bk_view_skip(leg->address, bk_view_find(leg->address, '@'))));
            r = bk_store_user(store, bk_buf_view(&name), &core->arena, ret);
        }
    }
    bk_buf_finish(&user);
    bk_buf_finish(&domain);
    bk_buf_finish(&name);
    return r;
}

/* A clock more than five minutes off (SI-104). The client puts its own into what it proves its password with. */
static bool clock_fits(struct leg *leg, int64_t theirs)
{
    struct bk_core *core = leg->rq->core;
    int64_t skew = theirs - core_real(core), off = skew < 0 ? -skew : skew;
    if (off <= BK_CLOCK_SKEW_MAX_MS)
        return true;
    char minutes[24], detail[96], server_time[32];
    snprintf(minutes, sizeof minutes, "%lld", (long long)(off / 60000));
    bk_time_iso(core_real(core), false, server_time);
    snprintf(detail, sizeof detail, "{\"skew_s\":%lld,\"server_time\":\"%s\"}",
             (long long)(skew / 1000), server_time);
    const char *values[] = { "minutes", minutes, "n", minutes, NULL };
    refuse_leg(leg, bk_record_find(104, 0), false, detail, values);
    return false;
}

static bool ntlm_wrong(struct leg *leg, bool known, const char *detail)
{
    bk_history_failed(leg->rq->core->config.history, &leg->attempt);
    if (known)
        return refuse_number(leg, 202, 0, true, detail);
    return refuse_number(leg, 201, 'a', !may_tell_unknown(leg->rq), detail);
}

static bool ntlm_prove(struct leg *leg, struct ms_handshake *h)
{
    struct bk_core *core = leg->rq->core;
    struct bk_ntlm_answer proof;
    uint8_t hash[BK_NTLM_HASH_SIZE] = { 0 };
    int r = bk_ntlm_answer_parse(leg->token, &proof);
    if (r < 0)
        return refuse_number(leg, 102, 0, true,
                             r == -ENOTSUP
                                 ? "{\"why\":\"this NTLM is older or weaker than what is taken\"}"
                                 : "{\"why\":\"the NTLM answer cannot be read\"}");
    int wait_s = bk_history_may_try(core->config.history, &leg->attempt);
    if (wait_s > 0)
        return busy(leg, wait_s);
    r = login_user(leg, &proof, leg->ret_user);
    if (r < 0 && r != -ENOENT)
        return refuse_number(leg, 401, 0, true, NULL);
    bool known = r == 0,
         allowed = known && bk_policy_switch(core->directory, leg->ret_user, BK_POLICY_NTLM_SIGNIN);
    if (known)
        leg->attempt.user_id = leg->ret_user->id;
    if (allowed)
        r = bk_store_nt_hash(core->config.store, leg->ret_user->id, hash);
    if (r < 0 && r != -ENOENT)
        return refuse_number(leg, 401, 0, true, NULL);
    /* Nobody's hash costs what somebody's does. */
    bool right = bk_ntlm_check(&proof, h->challenge, hash, &h->keys.ntlm) && allowed && r == 0;
    bk_wipe(hash, sizeof hash);
    /* A challenge is answered once. */
    bk_random_fill(core->config.random, h->challenge, sizeof h->challenge);
    if (known && !allowed)
        return refuse_number(leg, 102, 0, true,
                             "{\"why\":\"policy does not let this account sign in by NTLM\"}");
    if (known && r < 0)
        return refuse_number(leg, 102, 0, true,
                             "{\"why\":\"no password was set since NTLM is allowed\"}");
    if (!right)
        return ntlm_wrong(leg, known, NULL);
    if (!bk_view_equal(leg->ret_user->address, leg->address)) {
        bk_history_failed(core->config.history, &leg->attempt);
        return refuse_number(leg, 214, 0, false, NULL);
    }
    if (!clock_fits(leg, proof.real_ms))
        return false;
    /* As with every other road that the account's password opens. */
    return !leg->ret_user->password_must_change || refuse_number(leg, 206, 0, false, NULL);
}

/* ---- TLS-DSK ---- */

static bool dsk_allowed(const struct request *rq, struct bk_view address)
{
    (void)address;
    return rq->core->config.dsk && rq->core->config.sts_uri && rq->core->config.authority;
}

/*
 * The certificate that the handshake showed, judged as one of a connection is. A refusal waits for the signed REGISTER: refused
 * in the middle of proving itself anew, pidgin-sipe 1.25 crashes as it signs out.
 */
static enum leg_end dsk_judge(struct leg *leg, struct ms_handshake *h)
{
    struct bk_core *core = leg->rq->core;
    struct bk_buf der = { 0 };
    struct bk_certificate row;
    h->refused = bk_record_find(105, 'c');
    if (bk_dsk_peer_certificate(h->dsk, &der) == 0)
        h->refused =
            bk_authority_judge(core->config.authority, core->config.store, bk_buf_view(&der),
                               leg->address, core_real(core), &core->arena, &row);
    bk_buf_finish(&der);
    if (bk_dsk_keys(h->dsk, &h->keys.dsk) < 0) {
        refuse_number(leg, 401, 0, false, NULL);
        return LEG_REFUSED;
    }
    if (!h->refused) {
        snprintf(h->serial, sizeof h->serial, "%.*s", BK_VIEW_ARGS(row.serial));
        h->until_real = row.not_after;
    }
    h->done = true;
    h->dsk = bk_dsk_destroy(h->dsk);
    return LEG_GOES_ON;
}

static enum leg_end dsk_stepped(struct leg *leg, struct ms_handshake *h, enum bk_dsk_step step)
{
    if (step == BK_DSK_GOES_ON)
        return LEG_GOES_ON;
    if (step == BK_DSK_DONE)
        return dsk_judge(leg, h);
    struct bk_buf detail = { 0 };
    bk_buf_addf(&detail, "{\"why\":\"TLS-DSK: %s\"}", bk_dsk_fault(h->dsk));
    refuse_number(leg, 102, 0, true, bk_buf_cstr(&detail));
    bk_buf_finish(&detail);
    return LEG_REFUSED;
}

/*
 * A step of a handshake on a worker: each has a private operation of RSA, about a millisecond, and two thousand people
 * who sign in at once would keep everybody else waiting.
 */
struct ms_job {
    struct bk_core *core;
    uint64_t link;
    struct ms_handshake *h; /* NULL: gone meanwhile */
    struct bk_dsk *dsk;
    struct bk_buf token, out;
    struct bk_buf request; /* the REGISTER */
    enum bk_dsk_step step;
};

static struct ms_job *job_destroy(struct ms_job *job)
{
    bk_buf_finish(&job->token);
    bk_buf_finish(&job->out);
    bk_buf_finish(&job->request);
    free(job);
    return NULL;
}

void ms_job_leave(struct ms_job *job)
{
    job->h = NULL;
}

static void job_run(void *arg)
{
    struct ms_job *job = arg;
    job->step = bk_dsk_step(job->dsk, bk_buf_view(&job->token), &job->out);
}

static void leg_ends(struct leg *leg, struct ms_handshake *h, enum leg_end end,
                     struct bk_buf *token);

static void job_goes_on(struct request *rq, struct link *link, void *ctx)
{
    struct ms_job *job = ctx;
    struct bk_sa_header header;
    struct leg leg = { .rq = rq, .link = link, .address = rq->target, .header = &header };
    struct ms_handshake *h = job->h;
    if (ms_header_of(rq->msg, &header) < 0)
        return; /* it was one when it came */
    attempt_of(rq, leg.address, 0, schemes[h->scheme].road, endpoint_of_request(rq), &leg.attempt);
    job->h = NULL; /* answered, one way or the other */
    leg_ends(&leg, h, dsk_stepped(&leg, h, job->step), &job->out);
}

static void job_done(void *arg, bool cancelled)
{
    struct ms_job *job = arg;
    struct link *link = job->h ? core_link(job->core, job->link) : NULL;
    if (!job->h)
        bk_dsk_destroy(job->dsk);
    else
        job->h->job = NULL;
    if (link && !cancelled)
        core_register_again(job->core, link, bk_buf_view(&job->request), job_goes_on, job);
    if (job->h && link)
        ms_handshake_destroy(job->core, link, job->h);
    job_destroy(job);
}

/* Over to a worker. false: it cannot be. */
static bool job_begin(struct leg *leg, struct ms_handshake *h)
{
    const struct bk_core_config *config = &leg->rq->core->config;
    struct ms_job *job = calloc(1, sizeof *job);
    if (!job)
        return false;
    job->core = leg->rq->core;
    job->link = leg->link->id;
    job->h = h;
    job->dsk = h->dsk;
    bk_buf_add_view(&job->token, leg->token);
    bk_buf_add_view(&job->request, leg->rq->msg->bytes);
    h->job = job;
    if (!job->token.failed && !job->request.failed &&
        config->work(config->work_ctx, job_run, job_done, job))
        return true;
    h->job = job_destroy(job);
    return false;
}

static enum leg_end dsk_go_on(struct leg *leg, struct ms_handshake *h, struct bk_buf *ret_token)
{
    if (!h->dsk) {
        answer(leg->rq, 400, BK_VIEW("A leg after the last one"), (struct bk_view){ 0 });
        return LEG_REFUSED;
    }
    if (h->job) {
        answer(leg->rq, 400, BK_VIEW("A leg before the answer to the last"), (struct bk_view){ 0 });
        return LEG_REFUSED;
    }
    if (!leg->rq->core->config.work)
        return dsk_stepped(leg, h, bk_dsk_step(h->dsk, leg->token, ret_token));
    if (job_begin(leg, h))
        return LEG_LATER;
    busy(leg, 10);
    return LEG_REFUSED;
}

static enum leg_end dsk_begin(struct leg *leg, struct ms_handshake *h, struct bk_buf *ret_token)
{
    if (bk_dsk_begin(leg->rq->core->config.dsk, &h->dsk) < 0) {
        busy(leg, 10);
        return LEG_REFUSED;
    }
    return dsk_go_on(leg, h, ret_token);
}

static bool dsk_prove(struct leg *leg, struct ms_handshake *h)
{
    struct bk_core *core = leg->rq->core;
    if (!h->done) {
        answer(leg->rq, 400, BK_VIEW("The handshake is not done"), (struct bk_view){ 0 });
        return false;
    }
    if (h->refused) {
        static const char *const values[] = { "why", "it is not valid here", NULL };
        refuse_leg(leg, h->refused, false, NULL, values);
        return false;
    }
    int r = bk_store_user(core->config.store, leg->address, &core->arena, leg->ret_user);
    if (r == 0)
        return true;
    return refuse_number(leg, r == -ENOENT ? 105 : 401, r == -ENOENT ? 'g' : 0, false, NULL);
}

static const struct ms_scheme schemes[BK_SA_SCHEMES] = {
    [BK_SA_NTLM] = { ntlm_allowed, { BK_VIEW_OF("sip-ntlm") }, ntlm_begin, ntlm_go_on, ntlm_prove },
    [BK_SA_TLS_DSK] = { dsk_allowed,
                        { BK_VIEW_OF("sip-tls-dsk") },
                        dsk_begin,
                        dsk_go_on,
                        dsk_prove },
};

/* ---- the legs ---- */

/* What a client of the dialect says of itself before it signs. */
static bool looks_like_dialect(const struct bk_sip_msg *msg)
{
    return bk_ms_epid_of(msg).len ||
           bk_sip_msg_has_token(msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("msrtc-event-categories")) ||
           bk_sip_msg_has_token(msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("adhoclist"));
}

bool ms_wants_register(const struct request *rq, const struct link *link)
{
    struct bk_sa_header header;
    if (link->transport == BK_LINK_UDP || link->certificate)
        return false;
    /* Who signs is held to it, however its REGISTER looks. */
    if (ms_peer_of(link, rq->target) || ms_header_of(rq->msg, &header) != -ENOENT)
        return true;
    const struct bk_sip_field *f = bk_sip_msg_field(rq->msg, BK_SIP_HDR_AUTHORIZATION);
    if ((f && bk_view_starts_with_nocase(f->value, BK_VIEW("Digest"))) ||
        !looks_like_dialect(rq->msg))
        return false;
    for (unsigned i = 0; i < BK_SA_SCHEMES; i++)
        if (schemes[i].allowed(rq, rq->target))
            return true;
    return false;
}

static bool link_learn(struct bk_core *core, struct link *link)
{
    if (!core->ms_msg)
        core->ms_msg = calloc(1, sizeof *core->ms_msg);
    if (!link->ms && core->ms_msg) {
        link->ms = calloc(1, sizeof *link->ms);
        if (link->ms) {
            bk_list_init(&link->ms->peers);
            bk_list_init(&link->ms->handshakes);
        }
    }
    return link->ms != NULL;
}

/* A client that answers every 401 at once and never proves anything would go on for ever. */
static void count_challenge(struct bk_core *core, struct link *link)
{
    if (link && link_learn(core, link) && ++link->ms->n_challenges >= MS_CHALLENGES_MAX)
        core_close_link(core, link->id);
}

void ms_offer(struct request *rq, struct bk_view address)
{
    struct bk_core *core = rq->core;
    struct bk_buf lines = { 0 };
    char date[32];
    for (unsigned i = 0; i < BK_SA_SCHEMES; i++) {
        if (!schemes[i].allowed(rq, address))
            continue;
        bk_buf_clear(&core->out2);
        bk_sa_offer_write(&core->out2, i, BK_VIEW(BK_SA_REALM), bk_view_of_str(core->config.host),
                          bk_view_of_str(i == BK_SA_TLS_DSK ? core->config.sts_uri : NULL));
        bk_sip_field_add(&lines, BK_SIP_HDR_WWW_AUTHENTICATE, bk_buf_view(&core->out2));
    }
    bk_time_http(core_real(core), date);
    bk_sip_field_add(&lines, BK_SIP_HDR_DATE, bk_view_of_str(date));
    answer(rq, lines.failed ? 500 : 401, (struct bk_view){ 0 }, bk_buf_view(&lines));
    bk_buf_finish(&lines);
    count_challenge(core, core_link(core, rq->asker.link));
}

/* From the first leg on; the keys that were are as good as gone. */
static void start_anew(struct leg *leg)
{
    ms_hold(leg->rq->core, leg->link, leg->address, leg->attempt.endpoint);
    ms_offer(leg->rq, leg->address);
}

/* The 401 that carries a leg back. */
static void send_leg(struct leg *leg, const struct ms_handshake *h, struct bk_view token)
{
    struct bk_core *core = leg->rq->core;
    struct bk_buf lines = { 0 };
    ms_hold(core, leg->link, leg->address, leg->attempt.endpoint);
    bk_buf_clear(&core->out2);
    bk_sa_challenge_write(&core->out2, h->scheme, bk_view_of_str(h->opaque), token,
                          bk_view_of_str(core->config.host), BK_VIEW(BK_SA_REALM));
    bk_sip_field_add(&lines, BK_SIP_HDR_WWW_AUTHENTICATE, bk_buf_view(&core->out2));
    answer(leg->rq, lines.failed ? 500 : 401, (struct bk_view){ 0 }, bk_buf_view(&lines));
    bk_buf_finish(&lines);
    count_challenge(core, leg->link);
}

static struct ms_handshake *handshake_of(const struct leg *leg)
{
    if (!leg->link->ms)
        return NULL;
    BK_LIST_EACH(&leg->link->ms->handshakes, it)
    {
        struct ms_handshake *h = bk_container_of(it, struct ms_handshake, in_link);
        if (h->scheme == leg->header->scheme &&
            bk_view_equal(bk_view_of_str(h->opaque), leg->header->opaque) &&
            bk_view_equal(bk_view_of_str(h->address), leg->address))
            return h;
    }
    return NULL;
}

/* A new handshake in the place of the oldest, where there are too many. NULL: out of memory, or too many everywhere. */
static struct ms_handshake *handshake_new(struct leg *leg)
{
    struct bk_core *core = leg->rq->core;
    struct link *link = leg->link;
    if (!link_learn(core, link))
        return NULL;
    if (link->ms->n_handshakes >= MS_HANDSHAKES_MAX)
        ms_handshake_destroy(
            core, link, bk_container_of(link->ms->handshakes.next, struct ms_handshake, in_link));
    if (core->ms_handshakes >= MS_HANDSHAKES_TOTAL)
        return NULL;
    struct ms_handshake *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->scheme = leg->header->scheme;
    snprintf(h->opaque, sizeof h->opaque, "%016llX",
             (unsigned long long)bk_random_u64(core->config.random));
    snprintf(h->address, sizeof h->address, "%.*s", BK_VIEW_ARGS(leg->address));
    bk_list_append(&link->ms->handshakes, &h->in_link);
    link->ms->n_handshakes++;
    core->ms_handshakes++;
    return h;
}

static void leg_ends(struct leg *leg, struct ms_handshake *h, enum leg_end end,
                     struct bk_buf *token)
{
    if (end == LEG_LATER)
        return;
    if (end == LEG_GOES_ON && token->failed) {
        end = LEG_REFUSED;
        refuse_number(leg, 404, 0, true, NULL);
    }
    if (end == LEG_GOES_ON)
        send_leg(leg, h, bk_buf_view(token));
    else
        ms_handshake_destroy(leg->rq->core, leg->link, h);
}

/* A leg that is not signed. */
static void take_leg(struct leg *leg)
{
    const struct ms_scheme *scheme = &schemes[leg->header->scheme];
    struct bk_buf token = { 0 };
    bool first = !leg->header->opaque.at;
    struct ms_handshake *h = first ? handshake_new(leg) : handshake_of(leg);
    if (!h && first) {
        busy(leg, 10);
        return;
    }
    if (!h) {
        start_anew(leg); /* of before a restart, or dropped: from the start */
        return;
    }
    leg_ends(leg, h, first ? scheme->begin(leg, h, &token) : scheme->go_on(leg, h, &token), &token);
    bk_buf_finish(&token);
}

/* The REGISTER that ends a handshake: what the scheme asks for, and a signature with the keys that came of it. */
static bool finish_handshake(struct leg *leg, struct ms_handshake *h, struct ms_peer **ret)
{
    struct bk_core *core = leg->rq->core;
    struct bk_sa *sa = NULL;
    struct bk_sa_config config = { .scheme = h->scheme,
                                   .server = true,
                                   .opaque = bk_view_of_str(h->opaque),
                                   .realm = BK_VIEW(BK_SA_REALM),
                                   .targetname = bk_view_of_str(core->config.host) };
    if (leg->header->version >= BK_SA_VERSION_MIN && leg->header->version < BK_SA_VERSION)
        config.version = leg->header->version;
    bool good = schemes[h->scheme].prove(leg, h);
    if (good) {
        config.keys = h->keys;
        good = bk_sa_create(&config, &sa) == 0 || busy(leg, 10);
        bk_wipe(&config.keys, sizeof config.keys);
    }
    if (good && bk_sa_verify(sa, leg->rq->msg, leg->rq->head, leg->header) != BK_SA_GOOD) {
        sa = bk_sa_destroy(sa);
        good = refuse_number(leg, 202, 0, true, "{\"why\":\"the signature is wrong\"}");
        bk_history_failed(core->config.history, &leg->attempt);
    }
    if (good) {
        int r = ms_peer_put(core, leg->link, leg->address, endpoint_of_request(leg->rq), sa, ret);
        good = r == 0 || busy(leg, 10);
    }
    if (good) {
        (*ret)->until_real = h->until_real;
        memcpy((*ret)->serial, h->serial, sizeof h->serial);
    }
    ms_handshake_destroy(core, leg->link, h);
    return good;
}

static bool scheme_is_allowed(struct bk_core *core, const struct ms_peer *peer,
                              const struct bk_user *user)
{
    return bk_sa_scheme_of(peer->sa) != BK_SA_NTLM ||
           bk_policy_switch(core->directory, user, BK_POLICY_NTLM_SIGNIN);
}

/* Who it is was proved lately, by what still holds. The clients prove it anew before eight hours are over. */
static bool still_good(struct bk_core *core, const struct ms_peer *peer, const struct bk_user *user)
{
    int64_t life_ms =
        bk_policy_number(core->directory, user, BK_POLICY_SIGNATURE_MINUTES) * 60 * 1000;
    return core_now(core) - peer->since_ms < life_ms &&
           (!peer->until_real || core_real(core) < peer->until_real) &&
           scheme_is_allowed(core, peer, user);
}

/* A REGISTER signed with an association that stands. false: answered. */
static bool refresh(struct leg *leg, struct ms_peer *peer)
{
    struct bk_core *core = leg->rq->core;
    if (!bk_view_equal(peer->address, leg->address) ||
        bk_sa_verify(peer->sa, leg->rq->msg, leg->rq->head, leg->header) != BK_SA_GOOD) {
        answer(leg->rq, 403, BK_VIEW("This request is not signed as it must be"),
               (struct bk_view){ 0 });
        ms_count_forged(core, leg->link);
        return false;
    }
    int r = bk_store_user(core->config.store, leg->address, &core->arena, leg->ret_user);
    if (r < 0)
        return refuse_number(leg, r == -ENOENT ? 201 : 401, r == -ENOENT ? 'a' : 0, false, NULL);
    if (still_good(core, peer, leg->ret_user))
        return true;
    start_anew(leg);
    return false;
}

static bool signed_register(struct leg *leg, enum register_road *ret_road, char ret_serial[40])
{
    struct ms_peer *peer =
        leg->header->gssapi_data.at ? NULL : ms_peer_by_opaque(leg->link, leg->header->opaque);
    struct ms_handshake *h = peer ? NULL : handshake_of(leg);
    if (!peer && !h) {
        start_anew(leg);
        return false;
    }
    *ret_road = peer ? ROAD_LINK : ROAD_SIGNED;
    if (peer ? !refresh(leg, peer) : !finish_handshake(leg, h, &peer))
        return false;
    memcpy(ret_serial, peer->serial, sizeof peer->serial);
    /* A client between two handshakes may have answered without a signature; that must not add up over days. */
    leg->link->faults = 0;
    leg->link->ms->n_challenges = 0;
    link_prove(leg->rq->core, leg->link, leg->address);
    return true;
}

bool ms_identify_register(struct request *rq, struct link *link, struct bk_view address,
                          struct bk_user *ret_user, enum register_road *ret_road,
                          char ret_serial[40])
{
    struct bk_sa_header header;
    struct leg leg = { .rq = rq, .link = link, .address = address, .ret_user = ret_user };
    struct bk_buf token = { 0 };
    int r = ms_header_of(rq->msg, &header);

    leg.header = &header;
    attempt_of(rq, address, 0, r == 0 ? schemes[header.scheme].road : BK_VIEW("sip-signed"),
               endpoint_of_request(rq), &leg.attempt);
    if (clear_is_refused(rq)) {
        const char *values[] = { "why", "this connection is not encrypted", NULL };
        refuse_leg(&leg, bk_record_find(102, 0), false, NULL, values);
        return false;
    }
    if (r == -EBADMSG ||
        (r == 0 && header.gssapi_data.len && bk_base64_decode(header.gssapi_data, &token) < 0)) {
        bk_buf_finish(&token); /* room was made before it was read */
        answer(rq, 400, BK_VIEW("Authorization cannot be read"), (struct bk_view){ 0 });
        return false;
    }
    bool good = false;
    leg.token = bk_buf_view(&token);
    if (r == 0 && header.signature.at)
        good = signed_register(&leg, ret_road, ret_serial);
    else if (r == 0 && header.gssapi_data.at && schemes[header.scheme].allowed(rq, address))
        take_leg(&leg);
    else
        start_anew(&leg);
    if (token.at)
        bk_wipe(token.at, token.len);
    bk_buf_finish(&token);
    return good;
}

struct bk_view ms_road_of(const struct link *link, struct bk_view address)
{
    const struct ms_peer *peer = ms_peer_of(link, address);
    return peer ? schemes[bk_sa_scheme_of(peer->sa)].road : (struct bk_view){ 0 };
}

/* ---- the 200 ---- */

/*
 * What this server knows to tell about; without blanks, as the clients cut it at commas alone. Servers of Microsoft name
 * presence.wpending and vnd-microsoft-roaming-ACL as well: a client that is told of categories subscribes to neither.
 */
static const char events[] =
    "vnd-microsoft-provisioning,vnd-microsoft-roaming-contacts,presence,vnd-microsoft-roaming-self,"
    "vnd-microsoft-provisioning-v2";

static bool instance_of(const struct bk_binding *b, uint8_t ret[16])
{
    char text[BK_UUID_TEXT_SIZE];
    struct bk_view urn = b->endpoint;
    struct bk_buf made = { 0 };
    if (!b->dialect)
        return false;
    if (bk_ms_epid_valid(urn)) {
        bk_ms_instance_of_epid(urn, text);
        bk_buf_addf(&made, "urn:uuid:%s", text);
        urn = bk_buf_view(&made);
    }
    bool good = bk_ms_instance_parse(urn, ret) == 0;
    bk_buf_finish(&made);
    return good;
}

bool ms_gruu_of(const struct bk_sip_msg *msg, uint8_t ret[16])
{
    struct bk_sip_uri uri;
    return bk_sip_uri_parse(msg->uri, &uri) == 0 && bk_ms_gruu_parse(&uri, ret) == 0;
}

bool ms_is_endpoint(const struct bk_binding *b, const uint8_t uuid[16])
{
    uint8_t its[16];
    return instance_of(b, its) && memcmp(its, uuid, sizeof its) == 0;
}

void ms_offered_lines(struct bk_buf *to)
{
    bk_sip_field_add(to, BK_SIP_HDR_ALLOW_EVENTS, bk_view_of_str(events));
    /* One line each: the clients compare the whole line. */
    bk_buf_add_lit(to, "Supported: adhoclist\r\nSupported: msrtc-event-categories\r\n");
}

void ms_registered_lines(const struct bk_binding *b, int64_t expires_s, struct bk_buf *to)
{
    uint8_t uuid[16];
    if (b) {
        bk_buf_addf(to, "Contact: <%.*s>%.*s;expires=%lld", BK_VIEW_ARGS(b->contact),
                    BK_VIEW_ARGS(b->params), (long long)expires_s);
        if (instance_of(b, uuid)) {
            bk_buf_add_lit(to, ";gruu=\"");
            bk_ms_gruu_write(to, bk_person_address(b->person), uuid);
            bk_buf_add_char(to, '"');
        }
        bk_buf_add_lit(to, "\r\n");
    }
    bk_sip_field_addf(to, BK_SIP_HDR_EXPIRES, "%lld", (long long)expires_s);
    ms_offered_lines(to);
    bk_buf_addf(to, "ms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=%d\r\n",
                KEEP_ALIVE_S);
    bk_buf_add_lit(to, "Server: RTC/6.0\r\n");
}

/* ---- policy ---- */

static bool scheme_still_allowed(struct bk_core *core, const struct ms_peer *peer)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_user user;
    return bk_sa_scheme_of(peer->sa) != BK_SA_NTLM ||
           bk_store_user(core->config.store, peer->address, &arena, &user) < 0 ||
           scheme_is_allowed(core, peer, &user);
}

/* A peer of that link which signed in by NTLM and may not any more. */
static const struct ms_peer *not_allowed(struct bk_core *core, const struct link *link)
{
    BK_LIST_EACH(&link->ms->peers, it)
    {
        struct ms_peer *p = bk_container_of(it, struct ms_peer, in_link);
        if (!scheme_still_allowed(core, p))
            return p;
    }
    return NULL;
}

void ms_policy_changed(struct bk_core *core)
{
    for (uint32_t i = 0; i < core->n_links; i++) {
        const struct ms_peer *p;
        struct link *link;
        while ((link = core->links[i]) && link->ms && (p = not_allowed(core, link))) {
            struct bk_arena arena = { 0 };
            struct bk_view address = bk_arena_copy(&arena, p->address),
                           endpoint = bk_arena_copy(&arena, p->endpoint);
            uint64_t id = link->id;
            registrar_forbid(core, address, endpoint);
            ms_forget(core, id, address, endpoint); /* where it had no session */
            bk_arena_finish(&arena);
        }
    }
}
