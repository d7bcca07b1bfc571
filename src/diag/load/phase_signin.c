/* SPDX-License-Identifier: Apache-2.0 */
/* Connect, shake hands, REGISTER with Digest; register again; go, politely or not. */
#include "diag/load/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A challenge, and one more where the nonce of an earlier REGISTER has become stale. */
enum { CHALLENGES_MAX = 2 };

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

static void send_register(struct bk_load_engine *engine, uint32_t slot)
{
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
    bk_load_contact(engine, who, out);
    bk_buf_addf(out, ">;expires=%lld", expires);
    if (user->old_contact)
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

static void challenged(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_msg *msg)
{
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
