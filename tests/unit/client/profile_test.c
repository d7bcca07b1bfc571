/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept on disk: whole or put aside, private, and gone when it should be. */
#include "unit/client/client_test.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "client/outbox.h"
#include "client/personal.h"
#include "client/profile.h"
#include "fakes/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[FOLDER_SIZE];
static struct bk_random_seeded seeded;
static struct bk_random source;

static int make(void **state)
{
    (void)state;
    folder_make(root, "profile");
    source = bk_random_from_seed(&seeded, 7);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    return folder_remove(root);
}

static const char *path_of(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s/%s", root, ANN, name);
    return path;
}

static void fill(struct bk_profile *p)
{
    assert_int_equal(bk_profile_open(p, root, ANN, &source, NULL), 0);
    bk_buf_add_str(&p->identity, "-----BEGIN PRIVATE KEY-----\nsecret\n");
    (void)snprintf(p->user, sizeof p->user, "CORP\\ann");
    (void)snprintf(p->server, sizeof p->server, "srv." DOMAIN);
    p->server_port = 5061;
    p->renew_after_ms = 1234567890123;
    bk_profile_trust(p, BK_VIEW("uc.hoster.test"));
    assert_int_equal(bk_profile_save_identity(p, &source), 0);
    assert_int_equal(bk_profile_save_state(p), 0);
    assert_int_equal(bk_profile_save_last_address(p), 0);
}

static void what_was_saved_is_there_again(void **state)
{
    (void)state;
    struct bk_profile a, b;
    fill(&a);
    assert_int_equal(bk_profile_open(&b, root, ANN, &source, NULL), 0);
    assert_int_equal(b.damage, 0);
    assert_string_equal(a.endpoint, b.endpoint);
    assert_string_equal(b.user, "CORP\\ann");
    assert_string_equal(b.server, "srv." DOMAIN);
    assert_int_equal(b.server_port, 5061);
    assert_int_equal(b.renew_after_ms, 1234567890123);
    assert_true(bk_profile_trusts(&b, BK_VIEW("UC.Hoster.test")));
    assert_false(bk_profile_trusts(&b, BK_VIEW("hoster.test")));
    assert_true(bk_view_equal(bk_buf_view(&a.identity), bk_buf_view(&b.identity)));
    bk_profile_close(&a);
    bk_profile_close(&b);
}

static void only_the_owner_can_read_the_key(void **state)
{
    (void)state;
    struct bk_profile p;
    struct stat st;
    fill(&p);
    assert_int_equal(stat(path_of("identity.pem"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(path_of("."), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    bk_profile_close(&p);
}

static void put_back(const char *path, struct bk_view content)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(content.at, 1, content.len, f), content.len);
    assert_int_equal(fclose(f), 0);
}

/* Every byte flipped, and every length cut: each is noticed, put aside, and the rest goes on. */
static void damage_everywhere(const char *name, unsigned flag)
{
    struct bk_profile p;
    BK_AUTO_BUF struct bk_buf good = { 0 };
    BK_AUTO_FREE char *path = strdup(path_of(name));
    fill(&p);
    bk_profile_close(&p);
    assert_int_equal(bk_file_read(path, 1 << 20, &good), 0);
    for (size_t i = 0; i < 2 * good.len; i++) {
        size_t at = i / 2;
        if (i % 2) {
            put_back(path, bk_view_head(bk_buf_view(&good), at));
        } else {
            good.at[at] ^= 0x20;
            put_back(path, bk_buf_view(&good));
            good.at[at] ^= 0x20;
        }
        assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
        assert_int_equal(p.damage, flag);
        assert_int_equal(strlen(p.endpoint), 36);
        assert_int_not_equal(access(path, F_OK), 0);
        bk_profile_close(&p);
    }
    put_back(path, bk_buf_view(&good));
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
    assert_int_equal(p.damage, 0);
    bk_profile_close(&p);
}

static void damage_is_noticed_wherever_it_is(void **state)
{
    (void)state;
    damage_everywhere("state.json", BK_PROFILE_STATE_DAMAGED);
    damage_everywhere("identity.pem", BK_PROFILE_IDENTITY_DAMAGED);
}

static void a_folder_that_takes_nothing_is_told_not_fatal(void **state)
{
    (void)state;
    char blocked[128];
    struct bk_profile p;
    (void)snprintf(blocked, sizeof blocked, "%s/file", root);
    put_back(blocked, BK_VIEW("not a folder"));
    assert_int_equal(bk_profile_open(&p, blocked, ANN, &source, NULL), 0);
    assert_true(bk_profile_save_state(&p) < 0);
    assert_true(bk_profile_save_identity(&p, &source) < 0);
    bk_profile_close(&p);
}

static void nothing_is_kept_without_a_folder(void **state)
{
    (void)state;
    struct bk_profile p;
    uint8_t key[BK_PROFILE_KEY_SIZE] = { 1 };
    assert_int_equal(bk_profile_open(&p, NULL, ANN, &source, NULL), 0);
    assert_int_equal(bk_profile_save_state(&p), 0);
    assert_int_equal(bk_profile_save_identity(&p, &source), 0);
    assert_int_equal(bk_profile_note_shown(&p, key), 0);
    assert_true(bk_profile_was_shown(&p, key));
    bk_profile_close(&p);
    assert_int_equal(folder_files(root), 0);
}

static void number_key(uint8_t key[BK_PROFILE_KEY_SIZE], unsigned n)
{
    memset(key, 0, BK_PROFILE_KEY_SIZE);
    memcpy(key, &n, sizeof n);
}

static void the_last_thousand_shown_are_known_at_every_start(void **state)
{
    (void)state;
    struct bk_profile p;
    uint8_t key[BK_PROFILE_KEY_SIZE];
    enum { N = 2300 }; /* over the number of lines after which the file is written anew */
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
    for (unsigned n = 0; n < N; n++) {
        number_key(key, n);
        assert_false(bk_profile_was_shown(&p, key));
        assert_int_equal(bk_profile_note_shown(&p, key), 0);
    }
    for (int again = 0; again < 2; again++) {
        for (unsigned n = 0; n < N; n++) {
            number_key(key, n);
            assert_int_equal(bk_profile_was_shown(&p, key), n >= N - BK_PROFILE_SHOWN_MAX);
        }
        bk_profile_close(&p);
        assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
        assert_int_equal(p.damage, 0);
    }
    bk_profile_close(&p);
}

static void a_line_cut_by_a_power_failure_costs_only_itself(void **state)
{
    (void)state;
    struct bk_profile p;
    uint8_t a[BK_PROFILE_KEY_SIZE], b[BK_PROFILE_KEY_SIZE], c[BK_PROFILE_KEY_SIZE];
    number_key(a, 1);
    number_key(b, 2);
    number_key(c, 3);
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
    assert_int_equal(bk_profile_note_shown(&p, a), 0);
    assert_int_equal(bk_profile_note_shown(&p, b), 0);
    bk_profile_close(&p);
    struct stat st;
    assert_int_equal(stat(path_of("shown"), &st), 0);
    for (int cut = 1; cut < 2 * BK_PROFILE_KEY_SIZE; cut++) {
        assert_int_equal(truncate(path_of("shown"), st.st_size - cut), 0);
        assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
        assert_int_equal(p.damage, 0);
        assert_true(bk_profile_was_shown(&p, a));
        assert_false(bk_profile_was_shown(&p, b));
        bk_profile_close(&p);
    }
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
    assert_int_equal(bk_profile_note_shown(&p, c), 0); /* what is noted next is whole again */
    bk_profile_close(&p);
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
    assert_int_equal(p.damage, 0);
    assert_true(bk_profile_was_shown(&p, a));
    assert_true(bk_profile_was_shown(&p, c));
    bk_profile_close(&p);
}

static void deletion_takes_copies_and_leavings_too(void **state)
{
    (void)state;
    struct bk_profile p;
    fill(&p);
    bk_profile_close(&p);
    put_back(path_of("identity.pem.damaged"), BK_VIEW("secret"));
    put_back(path_of("identity.pem.x7Ab2c"),
             BK_VIEW("secret")); /* a replacement that was cut off */
    assert_int_equal(bk_profile_delete_identity(root, ANN), 1);
    assert_false(folder_holds(root, "secret"));
    assert_int_equal(bk_profile_delete_identity(root, ANN), 0);
    assert_int_equal(bk_profile_delete_state(root, ANN), 1);
    assert_int_equal(bk_profile_delete_last_address(root, "bob@" DOMAIN), 0); /* not his */
    assert_int_equal(bk_profile_delete_last_address(root, ANN), 1);
    assert_int_equal(bk_profile_delete_shown(root, ANN), 0);
    assert_int_equal(folder_files(root), 0);
}

/* ---- messages on their way out ---- */

static char rows[4096];

static void write_row(void *ctx, const struct bk_outbox_row *row)
{
    (void)ctx;
    size_t len = strlen(rows);
    (void)snprintf(rows + len, sizeof rows - len, "%s %.2s %lld %s|", row->to, row->call_id,
                   (long long)row->sent_ms, row->text);
}

static const char *loaded(unsigned damage)
{
    struct bk_profile p;
    rows[0] = 0;
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
    assert_int_equal(bk_outbox_load(&p, write_row, NULL), 0);
    assert_int_equal(p.damage, damage);
    bk_profile_close(&p);
    return rows;
}

static struct bk_outbox_row row_of(char digit, const char *text)
{
    struct bk_outbox_row row = { .to = "bob@" DOMAIN, .text = text, .written_ms = 5 };
    memset(row.call_id, digit, BK_OUTBOX_CALL_ID);
    memset(row.tag, digit, BK_OUTBOX_TAG);
    return row;
}

static void fill_outbox(void)
{
    struct bk_profile p;
    struct bk_outbox_row a = row_of('a', "first"), b = row_of('b', "sec\nond"),
                         c = row_of('c', "third");
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
    assert_int_equal(bk_outbox_add(&p, &a), 0);
    assert_int_equal(bk_outbox_add(&p, &b), 0);
    assert_int_equal(bk_outbox_sent(&p, b.call_id, 77, NULL), 0);
    assert_int_equal(bk_outbox_add(&p, &c), 0);
    assert_int_equal(bk_outbox_remove(&p, a.call_id, 2), 0);
    bk_profile_close(&p);
}

static char keys[1000];

static void write_key(void *ctx, const struct bk_outbox_row *row)
{
    (void)ctx;
    size_t len = strlen(keys);
    (void)snprintf(keys + len, sizeof keys - len, "%lld %s %s %u|", (long long)row->sent_ms,
                   row->key.call_id, row->key.tag, row->key.cseq);
}

static void a_message_said_in_a_session_keeps_the_key_it_had_last(void **state)
{
    (void)state;
    struct bk_profile p;
    struct bk_outbox_row a = row_of('a', "first"), b = row_of('b', "second"),
                         c = row_of('c', "third");
    struct bk_outbox_key one = { "their@call", "t1", 2 }, two = { "ours", "t2", 4294967295u };
    b.sent_ms = 9; /* known when it was written */
    b.key = one;
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
    assert_int_equal(bk_outbox_add(&p, &a), 0);
    assert_int_equal(bk_outbox_add(&p, &b), 0);
    assert_int_equal(bk_outbox_add(&p, &c), 0);
    assert_int_equal(bk_outbox_sent(&p, a.call_id, 77, &one), 0);
    assert_int_equal(bk_outbox_sent(&p, a.call_id, 78, &two), 0);
    assert_int_equal(bk_outbox_sent(&p, c.call_id, 79, &one), 0);
    assert_int_equal(bk_outbox_sent(&p, c.call_id, 80, NULL), 0); /* alone after all */
    for (int i = 0; i < 2; i++) { /* also once it was written anew */
        keys[0] = 0;
        assert_int_equal(bk_outbox_load(&p, write_key, NULL), 0);
        assert_int_equal(p.damage, 0);
        assert_string_equal(keys, "78 ours t2 4294967295|9 their@call t1 2|80   0|");
    }
    bk_profile_close(&p);
}

#define BOB_ROWS "bob@" DOMAIN " bb 77 sec\nond|bob@" DOMAIN " cc 0 third|"

static void the_outbox_holds_what_has_no_end_yet(void **state)
{
    (void)state;
    struct bk_profile p;
    struct stat st;
    assert_string_equal(loaded(0), "");
    fill_outbox();
    assert_int_equal(stat(path_of("outgoing"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_string_equal(loaded(0), BOB_ROWS);
    assert_string_equal(loaded(0), BOB_ROWS); /* rewritten without what is over, and the same */
    assert_false(folder_holds(root, "first"));
    assert_int_equal(stat(path_of("outgoing"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
    struct bk_outbox_row b = row_of('b', ""), c = row_of('c', "");
    assert_int_equal(bk_outbox_remove(&p, c.call_id, 1), 0);
    assert_int_equal(bk_outbox_remove(&p, b.call_id, 0), 0);
    bk_profile_close(&p);
    assert_int_not_equal(access(path_of("outgoing"), F_OK), 0); /* empty: no file */
    fill_outbox();
    assert_int_equal(bk_profile_delete_outgoing(root, ANN), 1);
    assert_int_equal(bk_profile_delete_outgoing(root, ANN), 0);
    assert_int_equal(folder_files(root), 0);
}

/* Cut anywhere, as a crash does: what is left is the front of what happened, and new lines are whole. */
static void an_outbox_cut_anywhere_loses_only_its_last_line(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf good = { 0 };
    BK_AUTO_FREE char *path = strdup(path_of("outgoing"));
    fill_outbox();
    assert_int_equal(bk_file_read(path, 1 << 20, &good), 0);
    static const char *const after[] = {
        "",
        "",
        "bob@" DOMAIN " aa 0 first|",
        "bob@" DOMAIN " aa 0 first|bob@" DOMAIN " bb 0 sec\nond|",
        "bob@" DOMAIN " aa 0 first|bob@" DOMAIN " bb 77 sec\nond|",
        "bob@" DOMAIN " aa 0 first|bob@" DOMAIN " bb 77 sec\nond|bob@" DOMAIN " cc 0 third|",
        BOB_ROWS,
    };
    struct bk_outbox_row d = row_of('d', "new");
    size_t lines = 0;
    for (size_t len = 0; len <= good.len; len++) {
        struct bk_profile p;
        char expected[1024];
        lines += len && good.at[len - 1] == '\n';
        for (int add = 0; add < 2; add++) {
            put_back(path, bk_view_head(bk_buf_view(&good), len));
            (void)snprintf(expected, sizeof expected, "%s%s", after[lines],
                           add ? "bob@" DOMAIN " dd 0 new|" : "");
            if (add) {
                assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
                assert_int_equal(bk_outbox_add(&p, &d), 0);
                bk_profile_close(&p);
            }
            assert_string_equal(loaded(0), expected);
        }
    }
    assert_int_equal(lines, 6);
}

static void a_damaged_line_costs_itself_and_is_told(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf good = { 0 };
    BK_AUTO_FREE char *path = strdup(path_of("outgoing"));
    fill_outbox();
    assert_string_equal(loaded(0), BOB_ROWS); /* two lines now */
    assert_int_equal(bk_file_read(path, 1 << 20, &good), 0);
    size_t first = bk_view_find(bk_buf_view(&good), '\n') + 1;
    size_t second = first + bk_view_find(bk_view_skip(bk_buf_view(&good), first), '\n') + 1;
    for (size_t at = first; at + 1 < good.len; at++) {
        if (at == second - 1)
            continue;
        good.at[at] ^= 0x01;
        put_back(path, bk_buf_view(&good));
        good.at[at] ^= 0x01;
        assert_string_equal(loaded(BK_PROFILE_OUTBOX_DAMAGED),
                            at < second ? "bob@" DOMAIN " cc 0 third|"
                                        : "bob@" DOMAIN " bb 77 sec\nond|");
        assert_string_equal(loaded(0), rows); /* the rest was kept */
    }
}

/* ---- the key under a guard ---- */

static struct fake_guard fake;
static struct bk_client_guard guard;

/* A key of ours and something in front of and behind it. */
static void fill_key(struct bk_profile *p, const struct bk_client_guard *with)
{
    assert_int_equal(bk_profile_open(p, root, ANN, &source, with), 0);
    bk_buf_clear(&p->identity);
    bk_buf_add_str(&p->identity, "before\n");
    assert_int_equal(bk_personal_key_make(false, &p->identity), 0);
    bk_buf_add_str(&p->identity, "-----BEGIN CERTIFICATE-----\n");
}

static void works(int error)
{
    fake = (struct fake_guard){ .error = error };
    guard = fake_guard_of(&fake);
}

static void a_guarded_key_is_encrypted_on_disk_and_comes_back_as_it_was(void **state)
{
    (void)state;
    struct bk_profile a, b;
    works(0);
    fill_key(&a, &guard);
    assert_int_equal(bk_profile_save_identity(&a, &source), 0);
    assert_true(folder_holds(root, "BEGIN ENCRYPTED PRIVATE KEY"));
    assert_false(folder_holds(root, "BEGIN PRIVATE KEY"));
    assert_int_equal(bk_profile_save_identity(&a, &source), 0); /* renewed: the same secret */
    assert_int_equal(fake.puts, 1);
    assert_int_equal(fake.gets, 1);
    assert_int_equal(bk_profile_open(&b, root, ANN, &source, &guard), 0);
    assert_true(bk_view_equal(bk_buf_view(&a.identity), bk_buf_view(&b.identity)));
    assert_int_equal(b.locked, 0);
    assert_int_equal(b.damage, 0);
    bk_profile_close(&a);
    bk_profile_close(&b);
}

static void a_locked_key_stays_for_when_it_can_be_opened(void **state)
{
    (void)state;
    struct bk_profile p;
    works(0);
    fill_key(&p, &guard);
    assert_int_equal(bk_profile_save_identity(&p, &source), 0);
    bk_profile_close(&p);
    const struct bk_client_guard *const none = NULL;
    const int errors[] = { -EACCES, -ETIMEDOUT, -ENOTSUP, -EIO };
    for (size_t i = 0; i <= sizeof errors / sizeof *errors; i++) {
        bool without = i == sizeof errors / sizeof *errors;
        fake.error = without ? 0 : errors[i];
        assert_int_equal(bk_profile_open(&p, root, ANN, &source, without ? none : &guard), 0);
        assert_int_equal(p.locked, without ? -ENOTSUP : errors[i]);
        assert_int_equal(p.identity.len, 0);
        assert_int_equal(p.damage, 0);
        /* Another key, of this session alone: what was encrypted is not replaced by what is not. */
        assert_int_equal(bk_personal_key_make(false, &p.identity), 0);
        assert_int_equal(bk_profile_save_identity(&p, &source), without ? -ENOTSUP : errors[i]);
        assert_false(folder_holds(root, "BEGIN PRIVATE KEY"));
        bk_profile_close(&p);
    }
    fake.error = 0;
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, &guard), 0);
    assert_int_equal(p.locked, 0);
    assert_true(bk_view_starts_with(bk_buf_view(&p.identity), BK_VIEW("before\n")));
    bk_profile_close(&p);
}

static void a_guard_that_cannot_is_told_once_and_used_later(void **state)
{
    (void)state;
    struct bk_profile p;
    works(-ENOTSUP);
    fill_key(&p, &guard);
    assert_int_equal(bk_profile_save_identity(&p, &source), BK_PROFILE_UNPROTECTED);
    assert_int_equal(bk_profile_save_identity(&p, &source), 0);
    bk_profile_close(&p);
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, &guard), 0);
    assert_int_equal(p.locked, 0);
    assert_int_equal(bk_profile_save_identity(&p, &source), 0);
    assert_true(folder_holds(root, "BEGIN PRIVATE KEY"));
    fake.error = 0;
    assert_int_equal(bk_profile_save_identity(&p, &source), 0);
    assert_false(folder_holds(root, "BEGIN PRIVATE KEY"));
    assert_true(folder_holds(root, "BEGIN ENCRYPTED PRIVATE KEY"));
    bk_profile_close(&p);
}

static void a_lost_secret_leaves_the_certificates_and_another_one_is_damage(void **state)
{
    (void)state;
    struct bk_profile p;
    works(0);
    fill_key(&p, &guard);
    assert_int_equal(bk_profile_save_identity(&p, &source), 0);
    bk_profile_close(&p);
    fake.has = false;
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, &guard), 0);
    assert_string_equal(bk_buf_cstr(&p.identity), "before\n-----BEGIN CERTIFICATE-----\n");
    assert_int_equal(p.locked, 0);
    bk_profile_close(&p);
    fake.has = true;
    fake.secret[0] ^= 1;
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, &guard), 0);
    assert_int_equal(p.identity.len, 0);
    assert_int_equal(p.damage, BK_PROFILE_IDENTITY_DAMAGED);
    bk_profile_close(&p);
    assert_int_equal(bk_profile_delete_identity(root, ANN), 1); /* what was put aside, too */
    assert_int_equal(access(path_of("identity.pem.damaged"), F_OK), -1);
}

static void what_holds_no_key_is_not_saved_as_if_it_were_encrypted(void **state)
{
    (void)state;
    struct bk_profile p;
    works(0);
    assert_int_equal(bk_profile_open(&p, root, ANN, &source, &guard), 0);
    bk_buf_add_str(&p.identity, "-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----\n");
    assert_int_equal(bk_profile_save_identity(&p, &source), -EBADMSG);
    assert_int_equal(access(path_of("identity.pem"), F_OK), -1);
    bk_profile_close(&p);
}

/* ---- the certificate in it ---- */

static void what_is_wrong_with_a_certificate_is_told_apart(void **state)
{
    (void)state;
    struct pki_cert *ca = pki_make(&(struct pki_request){ .name = "Root", .ca = true });
    struct pki_cert *ann =
        pki_make(&(struct pki_request){ .name = ANN, .san = "URI:sip:" ANN, .issuer = ca });
    struct pki_cert *bob =
        pki_make(&(struct pki_request){ .name = "b", .san = "URI:sip:bob@" DOMAIN, .issuer = ca });
    struct bk_personal_info info = { 0 };
    BK_AUTO_BUF struct bk_buf pem = { 0 };
    struct bk_view address = BK_VIEW(ANN);

    bk_buf_addf(&pem, "%s%s%s", pki_key_pem(ann), pki_cert_pem(ann), pki_cert_pem(ca));
    assert_int_equal(bk_personal_check(bk_buf_view(&pem), address, &info), 0);
    assert_true(info.serial[0] && info.not_after_ms > info.not_before_ms);
    assert_int_equal(bk_personal_check(bk_buf_view(&pem), BK_VIEW("bob@" DOMAIN), &info), 'd');
    bk_buf_clear(&pem);
    bk_buf_add_str(&pem, pki_cert_pem(ann));
    assert_int_equal(bk_personal_check(bk_buf_view(&pem), address, &info), 'e');
    bk_buf_add_str(&pem, pki_key_pem(bob));
    assert_int_equal(bk_personal_check(bk_buf_view(&pem), address, &info), 'e');
    bk_buf_clear(&pem);
    bk_buf_add_str(&pem, pki_key_pem(ann));
    assert_int_equal(bk_personal_check(bk_buf_view(&pem), address, &info), 'c');
    assert_int_equal(bk_personal_check(BK_VIEW(""), address, &info), 'c');
    pki_free(ca);
    pki_free(ann);
    pki_free(bob);
}

static void a_request_is_made_for_a_new_key_each_time(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf a = { 0 };
    BK_AUTO_BUF struct bk_buf b = { 0 };
    BK_AUTO_BUF struct bk_buf csr = { 0 };
    assert_int_equal(bk_personal_key_make(false, &a), 0);
    assert_int_equal(bk_personal_key_make(false, &b), 0);
    assert_false(bk_view_equal(bk_buf_view(&a), bk_buf_view(&b)));
    assert_int_equal(bk_personal_request_make(bk_buf_view(&a), BK_VIEW(ANN), &csr), 0);
    assert_true(bk_view_starts_with(bk_buf_view(&csr), BK_VIEW("-----BEGIN CERTIFICATE REQUEST")));
    assert_int_equal(bk_personal_request_make(BK_VIEW("no key"), BK_VIEW(ANN), &csr), -EIO);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_saved_is_there_again),
        IN_FOLDER(only_the_owner_can_read_the_key),
        IN_FOLDER(damage_is_noticed_wherever_it_is),
        IN_FOLDER(a_folder_that_takes_nothing_is_told_not_fatal),
        IN_FOLDER(nothing_is_kept_without_a_folder),
        IN_FOLDER(the_last_thousand_shown_are_known_at_every_start),
        IN_FOLDER(a_line_cut_by_a_power_failure_costs_only_itself),
        IN_FOLDER(deletion_takes_copies_and_leavings_too),
        IN_FOLDER(the_outbox_holds_what_has_no_end_yet),
        IN_FOLDER(a_message_said_in_a_session_keeps_the_key_it_had_last),
        IN_FOLDER(an_outbox_cut_anywhere_loses_only_its_last_line),
        IN_FOLDER(a_damaged_line_costs_itself_and_is_told),
        IN_FOLDER(a_guarded_key_is_encrypted_on_disk_and_comes_back_as_it_was),
        IN_FOLDER(a_locked_key_stays_for_when_it_can_be_opened),
        IN_FOLDER(a_guard_that_cannot_is_told_once_and_used_later),
        IN_FOLDER(a_lost_secret_leaves_the_certificates_and_another_one_is_damage),
        IN_FOLDER(what_holds_no_key_is_not_saved_as_if_it_were_encrypted),
        cmocka_unit_test(what_is_wrong_with_a_certificate_is_told_apart),
        cmocka_unit_test(a_request_is_made_for_a_new_key_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
