/* SPDX-License-Identifier: Apache-2.0 */
/* Connect, shake hands, REGISTER with Digest or as the Lync dialect does; register again; go, politely or not. */
#include "diag/load/engine_private.h"

#include "base/clock.h"
#include "base/text.h"
#include "ms/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A challenge, and one more where the nonce of an earlier REGISTER has become stale. */
enum { CHALLENGES_MAX = 2 };
/* The offer, and the legs of a handshake: NTLM has one, TLS-DSK two, four with the oldest clients. */
enum { LYNC_CHALLENGES_MAX = 6, PEM_BYTES_MAX = 64 * 1024 };

static void answer(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_token *token,
                   const struct bk_load_msg *msg);
static void again(struct bk_load_engine *engine, uint32_t slot);

static const struct bk_load_kind kind = { "REGISTER", answer, again };

void bk_load_write_credentials(struct bk_load_engine *engine, uint32_t who, const char *method,
                               const char *uri)
{
    struct bk_load_user *user = &engine->users[who];
    const struct bk_load_person *person = &engine->people->at[who];
    char cnonce[17];
    snprintf(cnonce, sizeof cnonce, "%016llx", (unsigned long long)bk_load_random(engine));
    struct bk_load_credentials credentials = {
        .username =
            engine->options->auth_name == BK_LOAD_AUTH_ADDRESS ? person->address : person->user,
        .password = person->password,
        .method = method,
        .uri = uri,
        .cnonce = cnonce,
        .nc = ++user->nc,
    };
    bk_buf_add_lit(&engine->out, "Authorization: ");
    if (bk_load_digest_answer(user->challenge, &credentials, &engine->out) < 0)
        engine->out.failed = true;
    bk_buf_add_lit(&engine->out, "\r\n");
}

void bk_load_lync_contact(struct bk_load_engine *engine, uint32_t who, char *ret, size_t room)
{
    snprintf(ret, room, "sip:%s%s;ms-opaque=%010x", bk_load_io_local(engine->io, who),
             engine->uri_transport, who);
}

/* As pidgin-sipe 1.25 writes it. */
static void send_lync_register(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_op *op = &engine->op[slot];
    uint32_t who = op->from;
    struct bk_buf *out = &engine->out;
    char uri[300], tag[16], epid[16], instance[BK_UUID_TEXT_SIZE], contact[160];
    snprintf(uri, sizeof uri, "sip:%s", strchr(engine->people->at[who].address, '@') + 1);
    snprintf(tag, sizeof tag, "r%x", who);
    snprintf(epid, sizeof epid, "%012x", who);
    bk_ms_instance_of_epid(bk_view_of_str(epid), instance);
    bk_load_lync_contact(engine, who, contact, sizeof contact);
    bk_load_write_start(engine, who, slot, 'r', "REGISTER", bk_view_of_str(uri));
    bk_load_write_party(engine, "From", who, tag);
    bk_load_write_party(engine, "To", who, "");
    bk_buf_addf(out, "Call-ID: r%x.%s\r\nCSeq: %u REGISTER\r\n", who, engine->run_id,
                ++engine->users[who].cseq);
    bk_buf_addf(out,
                "Contact: <%s>;methods=\"INVITE, MESSAGE, INFO, SUBSCRIBE, OPTIONS, BYE, CANCEL, "
                "NOTIFY, ACK, REFER, BENOTIFY\";proxy=replace;+sip.instance=\"<urn:uuid:%s>\"\r\n",
                contact, instance);
    bk_buf_add_lit(out, "Supported: gruu-10, adhoclist, msrtc-event-categories, "
                        "com.microsoft.msrtc.presence\r\nEvent: registration\r\n"
                        "Allow-Events: presence\r\nms-keep-alive: UAC;hop-hop=yes\r\n");
    if (op->leaving)
        bk_buf_add_lit(out, "Expires: 0\r\n");
    bk_load_write_body(engine, NULL, (struct bk_view){ 0 });
    bk_load_send(engine, who);
}

static void send_register(struct bk_load_engine *engine, uint32_t slot)
{
    if (engine->lync) {
        send_lync_register(engine, slot);
        return;
    }
    const struct bk_load_op *op = &engine->op[slot];
    uint32_t who = op->from;
    struct bk_load_user *user = &engine->users[who];
    const char *domain = strchr(engine->people->at[who].address, '@') + 1;
    struct bk_buf *out = &engine->out;
    char uri[300], tag[16];
    snprintf(uri, sizeof uri, "sip:%s", domain);
    snprintf(tag, sizeof tag, "r%x", who);
    long long expires = op->leaving ? 0 : (long long)engine->options->expires_s;

    bk_load_write_start(engine, who, slot, 'r', "REGISTER", bk_view_of_str(uri));
    bk_load_write_party(engine, "From", who, tag);
    bk_load_write_party(engine, "To", who, "");
    bk_buf_addf(out, "Call-ID: r%x.%s\r\nCSeq: %u REGISTER\r\nContact: <", who, engine->run_id,
                ++user->cseq);
    size_t from = out->len;
    bk_load_contact(engine, who, out);
    struct bk_view contact = bk_view_skip(bk_buf_view(out), from);
    /* The same port may come again, and of two values for one Contact the last would count. */
    bool moved = user->old_contact && !bk_view_equal(contact, bk_view_of_str(user->old_contact));
    bk_buf_addf(out, ">;expires=%lld", expires);
    if (moved)
        bk_buf_addf(out, ", <%s>;expires=0", user->old_contact);
    bk_buf_addf(out, "\r\nExpires: %lld\r\n", expires);
    if (user->challenge)
        bk_load_write_credentials(engine, who, "REGISTER", uri);
    bk_load_write_body(engine, NULL, (struct bk_view){ 0 });
    bk_load_send(engine, who);
}

/* The same request once more (UDP): its numbers do not move on. */
static void again(struct bk_load_engine *engine, uint32_t slot)
{
    struct bk_load_user *user = &engine->users[engine->op[slot].from];
    user->cseq--;
    if (user->nc > 0)
        user->nc--;
    send_register(engine, slot);
}

/* Keeps the first challenge that can be answered. */
static int take_challenge(struct bk_load_user *user, const struct bk_load_msg *msg)
{
    if (!user->challenge)
        user->challenge = malloc(sizeof *user->challenge);
    if (!user->challenge)
        return -ENOMEM;
    int r = -ENOTSUP;
    for (size_t i = 0; r < 0 && i < msg->challenge.count; i++)
        r = bk_load_challenge_parse(msg->challenge.at[i], user->challenge);
    if (r < 0) {
        free(BK_TAKE(user->challenge));
        return r;
    }
    user->nc = 0;
    return 0;
}

static void give_up(struct bk_load_engine *engine, uint32_t slot)
{
    uint32_t who = engine->op[slot].from;
    if (engine->users[who].state == BK_LOAD_COMING) {
        bk_load_io_close(engine->io, who, BK_LOAD_CLOSE_CLEAN);
        engine->users[who].state = BK_LOAD_OUT;
    }
    bk_load_op_end(engine, slot);
}

/* -ENOENT: --certificates has none of this person. */
static int read_pem(struct bk_load_engine *engine, uint32_t who, struct bk_buf *ret)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s.pem", engine->options->certificates,
             engine->people->at[who].address);
    return bk_file_read(path, PEM_BYTES_MAX, ret);
}

static void lync_challenged(struct bk_load_engine *engine, uint32_t slot,
                            const struct bk_load_msg *msg)
{
    struct bk_load_op *op = &engine->op[slot];
    struct bk_load_user *user = &engine->users[op->from];
    const struct bk_load_person *person = &engine->people->at[op->from];
    BK_AUTO_BUF struct bk_buf pem = { 0 };
    struct bk_load_sa_config config = {
        .scheme = (enum bk_load_scheme)engine->options->scheme,
        .address = person->address,
        .password = person->password,
        .now_real_ms = bk_clock_real_ms(&bk_clock_system),
        .random = &bk_random_system,
    };
    const char *why = op->tries >= LYNC_CHALLENGES_MAX ? "asked for too often" : NULL;
    if (!why && config.scheme == BK_LOAD_TLS_DSK && user->sa->step == BK_LOAD_SA_NEW) {
        if (read_pem(engine, op->from, &pem) == 0)
            config.pem = bk_buf_cstr(&pem);
        else
            why = "the person's certificate cannot be read";
    }
    if (!why)
        why = bk_load_sa_challenged(user->sa, &config, &msg->challenge);
    if (pem.at)
        bk_wipe(pem.at, pem.cap);
    if (why) {
        bk_load_failed(engine, "REGISTER answered %u: %s", msg->status, why);
        give_up(engine, slot);
        return;
    }
    op->tries++;
    send_register(engine, slot);
}

/* The address of our endpoint, out of the 200: it goes into every Contact from now on. */
static const char *take_gruu(struct bk_load_user *user, const struct bk_load_msg *msg)
{
    static const struct bk_view mark = { BK_VIEW_OF(";gruu=\"") };
    size_t at = bk_view_find_view(msg->contact, mark);
    struct bk_view rest = bk_view_skip(msg->contact, at + mark.len);
    size_t end = bk_view_find(rest, '"');
    if (at == msg->contact.len || end == 0 || end == rest.len)
        return "names no gruu";
    if (!msg->expires.len)
        return "has no Expires";
    free(user->gruu);
    user->gruu = bk_view_dup(bk_view_head(rest, end));
    return user->gruu ? NULL : "could not be kept: out of memory";
}

static void challenged(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_msg *msg)
{
    if (engine->lync) {
        lync_challenged(engine, slot, msg);
        return;
    }
    struct bk_load_op *op = &engine->op[slot];
    struct bk_load_user *user = &engine->users[op->from];
    bool answered = user->nc > 0;
    if (take_challenge(user, msg) < 0) {
        bk_load_failed(engine, "REGISTER: the %u has no Digest challenge this program knows",
                       msg->status);
        give_up(engine, slot);
        return;
    }
    if (op->tries >= CHALLENGES_MAX || (answered && op->tries > 0 && !user->challenge->stale)) {
        bk_load_failed(engine, "REGISTER: password refused (%u again)", msg->status);
        give_up(engine, slot);
        return;
    }
    op->tries++;
    send_register(engine, slot);
}

static void answer(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_token *token,
                   const struct bk_load_msg *msg)
{
    struct bk_load_op *op = &engine->op[slot];
    struct bk_load_user *user = &engine->users[op->from];
    if (token->tries != op->tries || msg->status < 200)
        return;
    if (msg->status == 401 || msg->status == 407) {
        challenged(engine, slot, msg);
        return;
    }
    if (msg->status >= 300) {
        bk_load_failed(engine, "REGISTER answered %u", msg->status);
        give_up(engine, slot);
        return;
    }
    const char *wrong = engine->lync && !op->leaving ? take_gruu(user, msg) : NULL;
    if (wrong) {
        bk_load_failed(engine, "the %u to REGISTER %s", msg->status, wrong);
        give_up(engine, slot);
        return;
    }
    if (user->state == BK_LOAD_COMING) {
        user->state = BK_LOAD_IN;
        user->killed = false;
        engine->signed_in++;
    }
    free(BK_TAKE(user->old_contact));
    bk_load_done(engine, slot);
    if (op->leaving) {
        bk_load_io_close(engine->io, op->from, BK_LOAD_CLOSE_CLEAN);
        user->state = BK_LOAD_OUT;
        engine->signed_in--;
    }
    bk_load_op_end(engine, slot);
}

void bk_load_register_opened(struct bk_load_engine *engine, uint32_t who)
{
    if (engine->users[who].state == BK_LOAD_COMING)
        send_register(engine, engine->users[who].op);
}

static enum bk_load_start start_sign_in(struct bk_load_engine *engine)
{
    uint32_t who = engine->chosen[engine->run.next++];
    struct bk_load_user *user = &engine->users[who];
    uint32_t slot = bk_load_op_begin(engine, &kind, who, who);
    if (slot == BK_LOAD_OP_NONE)
        return BK_LOAD_LATER;
    free(BK_TAKE(user->challenge));
    user->nc = 0;
    if (engine->lync) {
        free(BK_TAKE(user->gruu));
        bk_load_sa_finish(user->sa);
        if (!user->sa)
            user->sa = calloc(1, sizeof *user->sa);
        if (!user->sa) {
            bk_load_failed(engine, "sign-in: out of memory");
            bk_load_op_end(engine, slot);
            return BK_LOAD_STARTED;
        }
    }
    user->state = BK_LOAD_COMING;
    user->op = slot;
    int r = bk_load_io_open(engine->io, who);
    if (r < 0) {
        bk_load_failed(engine, "sign-in: could not connect: %s", strerror(-r));
        user->state = BK_LOAD_OUT;
        bk_load_op_end(engine, slot);
    }
    return BK_LOAD_STARTED;
}

static int prepare_those(struct bk_load_engine *engine, bool killed_only)
{
    engine->chosen_count = 0;
    for (uint32_t i = 0; i < engine->people->count; i++) {
        const struct bk_load_user *user = &engine->users[i];
        if (user->state == BK_LOAD_OUT && (user->killed || !killed_only))
            engine->chosen[engine->chosen_count++] = i;
    }
    engine->run.target = engine->chosen_count;
    engine->run.limit = (uint32_t)engine->options->sign_ins;
    return bk_load_samples_reserve(&engine->run.answer, engine->chosen_count);
}

static int prepare_sign_in(struct bk_load_engine *engine)
{
    return prepare_those(engine, false);
}

static int prepare_return(struct bk_load_engine *engine)
{
    return prepare_those(engine, true);
}

static int prepare_again(struct bk_load_engine *engine)
{
    bk_load_choose_signed_in(engine);
    engine->run.target = engine->chosen_count;
    engine->run.limit = (uint32_t)engine->options->sign_ins;
    return engine->chosen_count ? bk_load_samples_reserve(&engine->run.answer, engine->chosen_count)
                                : -ENODATA;
}

static enum bk_load_start start_again(struct bk_load_engine *engine, bool leaving)
{
    uint32_t who = engine->chosen[engine->run.next++];
    if (engine->users[who].state != BK_LOAD_IN)
        return BK_LOAD_STARTED; /* lost meanwhile, and counted as that */
    uint32_t slot = bk_load_op_begin(engine, &kind, who, who);
    if (slot == BK_LOAD_OP_NONE)
        return BK_LOAD_LATER;
    engine->op[slot].leaving = leaving;
    send_register(engine, slot);
    return BK_LOAD_STARTED;
}

static enum bk_load_start start_reregister(struct bk_load_engine *engine)
{
    return start_again(engine, false);
}

static enum bk_load_start start_sign_out(struct bk_load_engine *engine)
{
    return start_again(engine, true);
}

/* As when machines lose their power or their programs: nothing is said to the server. */
static enum bk_load_start start_kill(struct bk_load_engine *engine)
{
    uint32_t who = engine->chosen[engine->run.next++];
    bk_load_io_close(engine->io, who, engine->run.next % 2 ? BK_LOAD_CLOSE_RST : BK_LOAD_CLOSE_FIN);
    bk_load_user_lost(engine, who);
    engine->users[who].killed = true;
    engine->run.result->operations++;
    return BK_LOAD_STARTED;
}

static int prepare_kill(struct bk_load_engine *engine)
{
    bk_load_choose_signed_in(engine);
    if (engine->chosen_count == 0)
        return -ENODATA;
    uint32_t share = (uint32_t)(engine->chosen_count * engine->options->kill_percent / 100);
    engine->run.target = share ? share : 1;
    engine->run.limit = 1;
    for (uint32_t i = 0; i < engine->run.target; i++) { /* a random choice, without repetition */
        uint32_t j = i + (uint32_t)(bk_load_random(engine) % (engine->chosen_count - i));
        uint32_t who = engine->chosen[j];
        engine->chosen[j] = engine->chosen[i];
        engine->chosen[i] = who;
    }
    return 0;
}

const struct bk_load_phase bk_load_phase_sign_in = {
    "sign-in", "connection, handshake and REGISTER with its challenge",
    "everybody who is not signed in connects and registers", prepare_sign_in, start_sign_in
};
const struct bk_load_phase bk_load_phase_return = {
    "return", "connection, handshake and REGISTER with its challenge",
    "those cut off by kill sign in again", prepare_return, start_sign_in
};
const struct bk_load_phase bk_load_phase_reregister = { "re-register",
                                                        "REGISTER with the nonce of the last",
                                                        "everybody registers again", prepare_again,
                                                        start_reregister };
const struct bk_load_phase bk_load_phase_sign_out = { "sign-out", "REGISTER with expires=0, close",
                                                      "everybody leaves", prepare_again,
                                                      start_sign_out };
const struct bk_load_phase bk_load_phase_kill = {
    "kill", "connection cut off", "a share of the people vanishes: connections reset or dropped",
    prepare_kill, start_kill
};
