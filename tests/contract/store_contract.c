/* SPDX-License-Identifier: Apache-2.0 */
/* What every back end of the store promises, run against each shape of it. */
#include "base/cleanup.h"
#include "store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after those it needs */
#include <cmocka.h>

/* Bytes that break whoever pastes, folds, ends at NUL, or insists on UTF-8. */
#define ODD "a'b\"c;--\0%_\\\xff\xc3\xa9\n{}"
static const struct bk_view odd = { ODD, sizeof ODD - 1 };

static struct bk_view v(const char *text)
{
    return bk_view_of_str(text);
}

/* Text in memory that ends with its heap block and is gone after the batch was filled. */
struct lent {
    char *at[32];
    size_t n;
};

static struct bk_view lend(struct lent *l, const char *prefix)
{
    size_t len = strlen(prefix) + odd.len;
    char *copy = malloc(len);
    assert_non_null(copy);
    assert_true(l->n < BK_COUNT_OF(l->at));
    memcpy(copy, prefix, strlen(prefix));
    memcpy(copy + strlen(prefix), odd.at, odd.len);
    l->at[l->n++] = copy;
    return (struct bk_view){ copy, len };
}

static void take_back(struct lent *l)
{
    for (size_t i = 0; i < l->n; i++) {
        memset(l->at[i], '#', 1);
        free(l->at[i]);
    }
    l->n = 0;
}

/* Is `got` the prefix with the odd bytes behind it? */
static void assert_odd(struct bk_view got, const char *prefix)
{
    assert_int_equal(got.len, strlen(prefix) + odd.len);
    assert_memory_equal(got.at, prefix, strlen(prefix));
    assert_memory_equal(got.at + strlen(prefix), odd.at, odd.len);
}

static void assert_view(struct bk_view got, const char *expected)
{
    assert_int_equal(got.len, strlen(expected));
    if (got.len > 0)
        assert_memory_equal(got.at, expected, got.len);
}

/* A tenant "t" (id returned), so that users have where to live. */
static int64_t add_tenant(struct fixture *f, const char *name)
{
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_tenant(b, &(struct bk_tenant){ .name = v(name) });
    assert_int_equal(fixture_commit(f, b), 0);
    struct bk_tenant t;
    assert_int_equal(bk_store_tenant_by_name(f->store, v(name), &f->arena, &t), 0);
    return t.id;
}

static int put_user(struct fixture *f, int64_t id, int64_t tenant, const char *address,
                    const char *username)
{
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_user(b, &(struct bk_user){ .id = id,
                                            .tenant_id = tenant,
                                            .address = v(address),
                                            .username = v(username),
                                            .enabled = true,
                                            .licensed = true });
    return fixture_commit(f, b);
}

static int64_t user_id(struct fixture *f, const char *address)
{
    struct bk_user u;
    assert_int_equal(bk_store_user(f->store, v(address), &f->arena, &u), 0);
    return u.id;
}

static int set(struct fixture *f, const char *key, const char *value)
{
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_setting(b, v(key), value ? v(value) : (struct bk_view){ 0 });
    return fixture_commit(f, b);
}

static void assert_setting(struct fixture *f, const char *key, const char *expected)
{
    struct bk_view value = { 0 };
    int r = bk_store_setting(f->store, v(key), &f->arena, &value);
    assert_int_equal(r, expected ? 0 : -ENOENT);
    if (expected)
        assert_view(value, expected);
}

/* Collects a number of each row, and copies where rows are compared as text. */
struct seen {
    struct bk_buf text;
    int stop_after; /* 0: never */
    int n;
};

static bool more(struct seen *s)
{
    s->n++;
    return s->stop_after == 0 || s->n < s->stop_after;
}

static bool see_domain(void *seen, const struct bk_domain *d)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s ", BK_VIEW_ARGS(d->name));
    return more(seen);
}

static bool see_tenant(void *seen, const struct bk_tenant *t)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s ", BK_VIEW_ARGS(t->name));
    return more(seen);
}

static bool see_user(void *seen, const struct bk_user *u)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s ", BK_VIEW_ARGS(u->address));
    return more(seen);
}

static bool see_body(void *seen, const struct bk_offline_message *m)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s ", BK_VIEW_ARGS(m->body));
    return more(seen);
}

static bool see_signin(void *seen, const struct bk_signin *s)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s:%.*s*%d ", BK_VIEW_ARGS(s->address),
                BK_VIEW_ARGS(s->case_code), (int)s->count);
    return more(seen);
}

static bool see_report(void *seen, const struct bk_report *r)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s@%d ", BK_VIEW_ARGS(r->client), (int)r->at);
    return more(seen);
}

static bool see_relation(void *seen, const struct bk_relation *r)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s=%d ", BK_VIEW_ARGS(r->subject), r->level);
    return more(seen);
}

static bool see_policy(void *seen, const struct bk_policy_value *p)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s/%.*s/%.*s=%.*s ", BK_VIEW_ARGS(p->scope),
                BK_VIEW_ARGS(p->name), BK_VIEW_ARGS(p->key), BK_VIEW_ARGS(p->value));
    return more(seen);
}

static bool see_setting(void *seen, const struct bk_setting *s)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s=%.*s ", BK_VIEW_ARGS(s->key),
                BK_VIEW_ARGS(s->value));
    return more(seen);
}

static bool see_audit(void *seen, const struct bk_audit *a)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s ", BK_VIEW_ARGS(a->what));
    return more(seen);
}

static void assert_seen(struct seen *s, int returned, const char *expected)
{
    assert_string_equal(bk_buf_cstr(&s->text) ? s->text.at : "", expected);
    assert_int_equal(returned, s->n);
    bk_buf_finish(&s->text);
    s->n = 0;
}

/* ---- rows ---- */

static void a_tenant_comes_back_as_it_was_put(void **state)
{
    struct fixture *f = *state;
    struct lent l = { 0 };
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_tenant(b, &(struct bk_tenant){ .name = lend(&l, "n"),
                                                .plan = lend(&l, "p"),
                                                .state = BK_TENANT_SUSPENDED,
                                                .ends_at = INT64_MAX,
                                                .grace_ms = -1 });
    bk_store_put_domain(b, lend(&l, "d"), lend(&l, "n"));
    take_back(&l);
    assert_int_equal(fixture_commit(f, b), 0);
    fixture_reopen(f);

    struct bk_tenant t, same;
    struct bk_view domain = lend(&l, "d"), name = lend(&l, "n");
    assert_int_equal(bk_store_tenant_by_domain(f->store, domain, &f->arena, &t), 0);
    assert_odd(t.name, "n");
    assert_odd(t.plan, "p");
    assert_int_equal(t.state, BK_TENANT_SUSPENDED);
    assert_int_equal(t.ends_at, INT64_MAX);
    assert_int_equal(t.grace_ms, -1);
    assert_int_equal(bk_store_tenant_by_name(f->store, name, &f->arena, &same), 0);
    assert_int_equal(same.id, t.id);
    assert_int_equal(bk_store_tenant(f->store, t.id, &f->arena, &same), 0);
    assert_odd(same.name, "n");
    take_back(&l);

    t.name = v("renamed");
    t.state = BK_TENANT_ACTIVE;
    b = bk_store_batch_create();
    bk_store_put_tenant(b, &t);
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_tenant(f->store, t.id, &f->arena, &same), 0);
    assert_view(same.name, "renamed");
    assert_int_equal(same.state, BK_TENANT_ACTIVE);

    struct seen s = { 0 };
    add_tenant(f, "another");
    int r = bk_store_tenants(f->store, &f->arena, see_tenant, &s);
    assert_seen(&s, r, "another renamed ");
}

static void a_domain_belongs_to_one_tenant(void **state)
{
    struct fixture *f = *state;
    add_tenant(f, "t1");
    add_tenant(f, "t2");
    static const struct {
        const char *domain, *tenant;
        int expected;
    } puts[] = {
        { "b.example", "t1", 0 },       { "a.example", "t2", 0 },
        { "b.example", "t1", 0 },       { "b.example", "t2", -EEXIST },
        { "c.example", "t3", -ENOENT }, { "b.example", "t3", -ENOENT },
    };
    for (size_t i = 0; i < BK_COUNT_OF(puts); i++) {
        struct bk_store_batch *b = bk_store_batch_create();
        bk_store_put_domain(b, v(puts[i].domain), v(puts[i].tenant));
        assert_int_equal(fixture_commit(f, b), puts[i].expected);
    }
    struct seen s = { 0 };
    int r = bk_store_domains(f->store, &f->arena, see_domain, &s);
    assert_seen(&s, r, "a.example b.example ");

    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_drop_domain(b, v("a.example"));
    assert_int_equal(fixture_commit(f, b), 0);
    b = bk_store_batch_create();
    bk_store_drop_domain(b, v("a.example"));
    assert_int_equal(fixture_commit(f, b), -ENOENT);
    struct bk_tenant t;
    assert_int_equal(bk_store_tenant_by_domain(f->store, v("a.example"), &f->arena, &t), -ENOENT);
}

static void a_user_comes_back_as_it_was_put(void **state)
{
    struct fixture *f = *state;
    int64_t tenant = add_tenant(f, "t");
    struct lent l = { 0 };
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_user(b, &(struct bk_user){ .tenant_id = tenant,
                                            .address = lend(&l, "a@"),
                                            .username = lend(&l, "u@"),
                                            .display_name = lend(&l, "d"),
                                            .site = lend(&l, "s"),
                                            .policy = lend(&l, "p"),
                                            .enabled = true,
                                            .licensed = false,
                                            .password_must_change = true,
                                            .created_at = 11,
                                            .password_changed_at = 99,
                                            .disabled_at = 13,
                                            .disabled_by = lend(&l, "b") });
    take_back(&l);
    assert_int_equal(fixture_commit(f, b), 0);
    fixture_reopen(f);

    struct bk_user u, same;
    struct bk_view address = lend(&l, "a@"), username = lend(&l, "u@");
    assert_int_equal(bk_store_user(f->store, address, &f->arena, &u), 0);
    assert_int_equal(bk_store_user_by_username(f->store, username, &f->arena, &same), 0);
    assert_int_equal(same.id, u.id);
    assert_int_equal(bk_store_user_by_username(f->store, address, &f->arena, &same), -ENOENT);
    assert_int_equal(bk_store_user(f->store, username, &f->arena, &same), -ENOENT);
    take_back(&l);
    assert_int_equal(bk_store_user_by_id(f->store, u.id, &f->arena, &same), 0);
    assert_odd(same.address, "a@");
    assert_odd(u.username, "u@");
    assert_odd(u.display_name, "d");
    assert_odd(u.site, "s");
    assert_odd(u.policy, "p");
    assert_odd(u.disabled_by, "b");
    assert_true(u.enabled);
    assert_false(u.licensed);
    assert_true(u.password_must_change);
    assert_int_equal(u.tenant_id, tenant);
    assert_int_equal(u.created_at, 11);
    assert_int_equal(u.password_changed_at, 0); /* no password yet */
    assert_int_equal(u.disabled_at, 13);

    u.enabled = false;
    u.licensed = true;
    u.created_at = 12;
    u.disabled_by = (struct bk_view){ 0 };
    b = bk_store_batch_create();
    bk_store_put_user(b, &u);
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_user_by_id(f->store, u.id, &f->arena, &same), 0);
    assert_false(same.enabled);
    assert_true(same.licensed);
    assert_int_equal(same.created_at, 11);
    assert_int_equal(same.disabled_by.len, 0);
}

static void nobody_gets_a_name_that_somebody_signs_in_with(void **state)
{
    struct fixture *f = *state;
    int64_t t = add_tenant(f, "t");
    assert_int_equal(put_user(f, 0, t, "ann@x", ""), 0);
    assert_int_equal(put_user(f, 0, t, "bob@x", "robert@corp"), 0);

    assert_int_equal(put_user(f, 0, t, "ann@x", "other@x"), -EEXIST);
    assert_int_equal(put_user(f, 0, t, "cat@x", "robert@corp"), -EEXIST);
    assert_int_equal(put_user(f, 0, t, "robert@corp", ""), -EEXIST);
    assert_int_equal(put_user(f, 0, t, "cat@x", "ann@x"), -EEXIST);
    assert_int_equal(put_user(f, 0, t, "cat@x", "bob@x"), -EEXIST);
    int64_t ann = user_id(f, "ann@x"), bob = user_id(f, "bob@x");
    assert_int_equal(put_user(f, ann, t, "ann@x", "bob@x"), -EEXIST);
    assert_int_equal(put_user(f, ann, t, "robert@corp", "ann@x"), -EEXIST);
    assert_int_equal(put_user(f, bob, t, "ann@x", "robert@corp"), -EEXIST);

    /* Nothing of the refused ones stayed. */
    struct seen s = { 0 };
    int r = bk_store_users(f->store, 0, v(""), v(""), 100, &f->arena, see_user, &s);
    assert_seen(&s, r, "ann@x bob@x ");
    /* One's own names may change places, and a name given up is free. */
    assert_int_equal(put_user(f, bob, t, "robert@corp", "bob@x"), 0);
    assert_int_equal(put_user(f, ann, t, "anna@x", ""), 0);
    assert_int_equal(put_user(f, 0, t, "ann@x", ""), 0);
    struct bk_user u;
    assert_int_equal(bk_store_user_by_username(f->store, v("anna@x"), &f->arena, &u), 0);
    assert_int_equal(u.id, ann);
    /* A user in no tenant, and one that is not there. */
    assert_int_equal(put_user(f, 0, t + 100, "dan@x", ""), -ENOENT);
    assert_int_equal(put_user(f, ann + 100, t, "dan@x", ""), -ENOENT);
}

static void users_are_listed_in_pages_and_found_by_part_of_a_name(void **state)
{
    struct fixture *f = *state;
    int64_t t1 = add_tenant(f, "t1"), t2 = add_tenant(f, "t2");
    struct bk_store_batch *b = bk_store_batch_create();
    static const char *const names[] = { "eve", "bob", "dan", "ann", "cat" };
    for (size_t i = 0; i < BK_COUNT_OF(names); i++) {
        char address[32], display[32];
        snprintf(address, sizeof address, "%s@x", names[i]);
        snprintf(display, sizeof display, "%c. 100%%_Smith", names[i][0] - 32);
        bk_store_put_user(b, &(struct bk_user){ .tenant_id = i % 2 ? t2 : t1,
                                                .address = v(address),
                                                .display_name = v(display) });
    }
    assert_int_equal(fixture_commit(f, b), 0);

    struct seen s = { 0 };
    int r = bk_store_users(f->store, 0, v(""), v(""), 2, &f->arena, see_user, &s);
    assert_seen(&s, r, "ann@x bob@x ");
    r = bk_store_users(f->store, 0, v("bob@x"), v(""), 2, &f->arena, see_user, &s);
    assert_seen(&s, r, "cat@x dan@x ");
    r = bk_store_users(f->store, t2, v(""), v(""), 9, &f->arena, see_user, &s);
    assert_seen(&s, r, "ann@x bob@x ");
    r = bk_store_users(f->store, 0, v(""), v("AN"), 9, &f->arena, see_user, &s);
    assert_seen(&s, r, "ann@x dan@x ");
    r = bk_store_users(f->store, 0, v(""), v("c. 100%_sM"), 9, &f->arena, see_user, &s);
    assert_seen(&s, r, "cat@x ");
    r = bk_store_users(f->store, 0, v(""), v("%"), 9, &f->arena, see_user, &s);
    assert_seen(&s, r, "ann@x bob@x cat@x dan@x eve@x ");
    s.stop_after = 1;
    r = bk_store_users(f->store, 0, v(""), v(""), 9, &f->arena, see_user, &s);
    assert_seen(&s, r, "ann@x ");
}

static bool see_device_password(void *seen, const struct bk_device_password *p)
{
    *(struct bk_device_password *)seen = *p;
    return true;
}

static void passwords_belong_to_their_account(void **state)
{
    struct fixture *f = *state;
    int64_t t = add_tenant(f, "t");
    assert_int_equal(put_user(f, 0, t, "ann@x", ""), 0);
    int64_t ann = user_id(f, "ann@x");
    struct bk_view hash;
    assert_int_equal(bk_store_password(f->store, ann, &f->arena, &hash), -ENOENT);

    struct lent l = { 0 };
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_password(b, v("ann@x"), v("first"), 5, false);
    bk_store_put_password(b, v("ann@x"), lend(&l, "$y$"), 7, true);
    bk_store_put_device_password(b, v("ann@x"),
                                 &(struct bk_device_password){ .label = lend(&l, "l"),
                                                               .algorithm = v("MD5"),
                                                               .ha1_user = lend(&l, "1"),
                                                               .ha1_address = lend(&l, "2"),
                                                               .created_at = 8 });
    take_back(&l);
    assert_int_equal(fixture_commit(f, b), 0);
    fixture_reopen(f);

    assert_int_equal(bk_store_password(f->store, ann, &f->arena, &hash), 0);
    assert_odd(hash, "$y$");
    struct bk_user u;
    assert_int_equal(bk_store_user_by_id(f->store, ann, &f->arena, &u), 0);
    assert_int_equal(u.password_changed_at, 7);
    assert_true(u.password_must_change);
    struct bk_device_password p = { 0 };
    assert_int_equal(bk_store_device_passwords(f->store, ann, &f->arena, see_device_password, &p),
                     1);
    assert_odd(p.label, "l");
    assert_view(p.algorithm, "MD5");
    assert_odd(p.ha1_user, "1");
    assert_odd(p.ha1_address, "2");
    assert_int_equal(p.created_at, 8);
    assert_int_equal(p.user_id, ann);

    b = bk_store_batch_create();
    bk_store_put_password(b, v("nobody@x"), v("x"), 5, false);
    assert_int_equal(fixture_commit(f, b), -ENOENT);
    b = bk_store_batch_create();
    bk_store_put_device_password(b, v("nobody@x"), &p);
    assert_int_equal(fixture_commit(f, b), -ENOENT);
    b = bk_store_batch_create();
    bk_store_drop_device_password(b, ann + 1, p.id); /* somebody else's */
    assert_int_equal(fixture_commit(f, b), -ENOENT);
    b = bk_store_batch_create();
    bk_store_drop_device_password(b, ann, p.id);
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_device_passwords(f->store, ann, &f->arena, see_device_password, &p),
                     0);
    b = bk_store_batch_create();
    bk_store_drop_device_password(b, ann, 0);
    assert_int_equal(fixture_commit(f, b), 0);
}

static bool see_nt_hash_owner(void *seen, const struct bk_nt_hash_owner *owner)
{
    *(int64_t *)seen += owner->user_id;
    return true;
}

static void an_nt_hash_goes_with_the_password_it_was_made_of(void **state)
{
    struct fixture *f = *state;
    int64_t t = add_tenant(f, "t"), sum = 0;
    assert_int_equal(put_user(f, 0, t, "ann@x", ""), 0);
    assert_int_equal(put_user(f, 0, t, "bob@x", ""), 0);
    int64_t ann = user_id(f, "ann@x"), bob = user_id(f, "bob@x");
    const uint8_t hash[BK_NT_HASH_SIZE] = { 1, 2, 0, 4 }, other[BK_NT_HASH_SIZE] = { 9 };
    uint8_t got[BK_NT_HASH_SIZE];
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_password(b, v("ann@x"), v("$y$1"), 5, false);
    bk_store_put_nt_hash(b, v("ann@x"), other);
    bk_store_put_nt_hash(b, v("ann@x"), hash);
    bk_store_put_nt_hash(b, v("bob@x"), other);
    assert_int_equal(fixture_commit(f, b), 0);
    fixture_reopen(f);
    assert_int_equal(bk_store_nt_hash(f->store, ann, got), 0);
    assert_memory_equal(got, hash, sizeof hash);
    assert_int_equal(bk_store_nt_hash_owners(f->store, &f->arena, see_nt_hash_owner, &sum), 2);
    assert_int_equal(sum, ann + bob);

    b = bk_store_batch_create();
    bk_store_put_password(b, v("ann@x"), v("$y$2"), 6, false);
    bk_store_drop_nt_hash(b, bob);
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_nt_hash(f->store, ann, got), -ENOENT);
    assert_int_equal(bk_store_nt_hash(f->store, bob, got), -ENOENT);
    b = bk_store_batch_create();
    bk_store_put_nt_hash(b, v("nobody@x"), hash);
    assert_int_equal(fixture_commit(f, b), -ENOENT);
}

static bool see_certificate(void *seen, const struct bk_certificate *c)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s ", BK_VIEW_ARGS(c->serial));
    return more(seen);
}

static void a_certificate_comes_back_and_stays_revoked_as_first_said(void **state)
{
    struct fixture *f = *state;
    int64_t t = add_tenant(f, "t");
    assert_int_equal(put_user(f, 0, t, "ann@x", ""), 0);
    int64_t ann = user_id(f, "ann@x");
    struct lent l = { 0 };
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_certificate(b, &(struct bk_certificate){ .serial = v("0a"),
                                                          .user_id = ann,
                                                          .device_id = lend(&l, "i"),
                                                          .device_name = lend(&l, "n"),
                                                          .device_kind = lend(&l, "k"),
                                                          .fingerprint = lend(&l, "f"),
                                                          .issued_at = 1,
                                                          .not_before = 2,
                                                          .not_after = 3 });
    bk_store_put_certificate(
        b, &(struct bk_certificate){ .serial = v("0b"), .user_id = ann, .issued_at = 2 });
    take_back(&l);
    assert_int_equal(fixture_commit(f, b), 0);
    fixture_reopen(f);

    struct bk_certificate c;
    assert_int_equal(bk_store_certificate(f->store, v("0a"), &f->arena, &c), 0);
    assert_odd(c.device_id, "i");
    assert_odd(c.device_name, "n");
    assert_odd(c.device_kind, "k");
    assert_odd(c.fingerprint, "f");
    assert_int_equal(c.issued_at, 1);
    assert_int_equal(c.not_before, 2);
    assert_int_equal(c.not_after, 3);
    assert_int_equal(c.revoked_at, 0);

    b = bk_store_batch_create();
    bk_store_put_certificate(b, &(struct bk_certificate){ .serial = v("0a"), .user_id = ann });
    assert_int_equal(fixture_commit(f, b), -EEXIST);
    b = bk_store_batch_create();
    bk_store_put_certificate(b, &(struct bk_certificate){ .serial = v("0c"), .user_id = ann + 1 });
    assert_int_equal(fixture_commit(f, b), -ENOENT);
    b = bk_store_batch_create();
    bk_store_revoke_certificate(b, v("ff"), 10, v("admin"), v("lost"));
    assert_int_equal(fixture_commit(f, b), -ENOENT);

    b = bk_store_batch_create();
    bk_store_revoke_certificate(b, v("0a"), 10, v("admin"), v("lost"));
    bk_store_revoke_certificate(b, v("0a"), 11, v("ann@x"), v("again"));
    bk_store_revoke_certificates_of(b, ann, 12, v("server"), v("all"));
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_certificate(f->store, v("0a"), &f->arena, &c), 0);
    assert_int_equal(c.revoked_at, 10);
    assert_view(c.revoked_by, "admin");
    assert_view(c.revoked_why, "lost");
    assert_int_equal(bk_store_certificate(f->store, v("0b"), &f->arena, &c), 0);
    assert_int_equal(c.revoked_at, 12);
    assert_view(c.revoked_why, "all");
    struct seen s = { 0 };
    int r = bk_store_certificates(f->store, ann, &f->arena, see_certificate, &s);
    assert_seen(&s, r, "0a 0b ");
}

static void put_message(struct bk_store_batch *b, const char *rcpt, const char *key,
                        const char *body)
{
    bk_store_put_offline(b, &(struct bk_offline_message){ .rcpt = v(rcpt),
                                                          .sender = v("s@x"),
                                                          .key = v(key),
                                                          .content_type = v("text/plain"),
                                                          .body = v(body),
                                                          .at = 50 });
}

static void a_dropped_user_takes_along_what_is_theirs_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    int64_t t = add_tenant(f, "t");
    assert_int_equal(put_user(f, 0, t, "ann@x", "a.corp"), 0);
    assert_int_equal(put_user(f, 0, t, "bob@x", ""), 0);
    int64_t ann = user_id(f, "ann@x");
    struct bk_store_batch *b = bk_store_batch_create();
    static const char *const both[] = { "ann@x", "bob@x" };
    for (size_t i = 0; i < 2; i++) {
        bk_store_put_password(b, v(both[i]), v("h"), 1, false);
        bk_store_put_device_password(b, v(both[i]), &(struct bk_device_password){ .id = 0 });
        bk_store_put_presence_note(b, &(struct bk_presence_note){ .address = v(both[i]) });
        bk_store_put_relation(
            b, &(struct bk_relation){ .owner = v(both[i]), .subject = v(both[!i]), .level = 200 });
        put_message(b, both[i], "k", both[i]);
    }
    bk_store_put_certificate(b, &(struct bk_certificate){ .serial = v("0a"), .user_id = ann });
    bk_store_put_signin(
        b, &(struct bk_signin){ .at = 1, .address = v("ann@x"), .user_id = ann, .ok = true });
    assert_int_equal(fixture_commit(f, b), 0);

    b = bk_store_batch_create();
    bk_store_drop_user(b, ann);
    assert_int_equal(fixture_commit(f, b), 0);
    b = bk_store_batch_create();
    bk_store_drop_user(b, ann);
    assert_int_equal(fixture_commit(f, b), -ENOENT);

    struct bk_view hash;
    struct bk_certificate c;
    struct bk_presence_note note;
    struct bk_device_password p;
    struct seen s = { 0 };
    assert_int_equal(bk_store_password(f->store, ann, &f->arena, &hash), -ENOENT);
    assert_int_equal(bk_store_certificate(f->store, v("0a"), &f->arena, &c), -ENOENT);
    assert_int_equal(bk_store_device_passwords(f->store, ann, &f->arena, see_device_password, &p),
                     0);
    assert_int_equal(bk_store_presence_note(f->store, v("ann@x"), &f->arena, &note), -ENOENT);
    assert_int_equal(bk_store_presence_note(f->store, v("bob@x"), &f->arena, &note), 0);
    assert_int_equal(bk_store_message_key(f->store, v("ann@x"), v("k")), -ENOENT);
    int r = bk_store_relations(f->store, v("ann@x"), &f->arena, see_relation, &s);
    assert_seen(&s, r, "");
    r = bk_store_relations(f->store, v("bob@x"), &f->arena, see_relation, &s);
    assert_seen(&s, r, "ann@x=200 ");
    r = bk_store_offline(f->store, v("ann@x"), 0, 9, &f->arena, see_body, &s);
    assert_seen(&s, r, "");
    r = bk_store_offline(f->store, v("bob@x"), 0, 9, &f->arena, see_body, &s);
    assert_seen(&s, r, "bob@x ");
    r = bk_store_signins(f->store, v("ann@x"), v(""), 9, &f->arena, see_signin, &s);
    assert_seen(&s, r, "ann@x:*1 ");
    /* Her names are free, her number is never given again. */
    assert_int_equal(put_user(f, 0, t, "a.corp", "ann@x"), 0);
    assert_true(user_id(f, "a.corp") > ann);
}

static void a_new_address_keeps_what_was_kept_by_the_old(void **state)
{
    struct fixture *f = *state;
    int64_t t = add_tenant(f, "t");
    assert_int_equal(put_user(f, 0, t, "ann@x", ""), 0);
    struct bk_store_batch *b = bk_store_batch_create();
    put_message(b, "ann@x", "k", "hello");
    bk_store_put_presence_note(
        b, &(struct bk_presence_note){ .address = v("ann@x"), .note = v("away") });
    bk_store_put_relation(
        b, &(struct bk_relation){ .owner = v("ann@x"), .subject = v("bob@x"), .level = 32000 });
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(put_user(f, user_id(f, "ann@x"), t, "anna@x", ""), 0);

    struct seen s = { 0 };
    int r = bk_store_offline(f->store, v("anna@x"), 0, 9, &f->arena, see_body, &s);
    assert_seen(&s, r, "hello ");
    r = bk_store_relations(f->store, v("anna@x"), &f->arena, see_relation, &s);
    assert_seen(&s, r, "bob@x=32000 ");
    struct bk_presence_note note;
    assert_int_equal(bk_store_presence_note(f->store, v("anna@x"), &f->arena, &note), 0);
    assert_view(note.note, "away");
    assert_int_equal(bk_store_message_key(f->store, v("anna@x"), v("k")), 0);
    r = bk_store_offline(f->store, v("ann@x"), 0, 9, &f->arena, see_body, &s);
    assert_seen(&s, r, "");
}

static bool see_message(void *to, const struct bk_offline_message *m)
{
    *(struct bk_offline_message *)to = *m;
    return true;
}

static void an_offline_message_comes_back_as_it_was_put(void **state)
{
    struct fixture *f = *state;
    struct lent l = { 0 };
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_offline(b, &(struct bk_offline_message){ .rcpt = lend(&l, "r"),
                                                          .sender = lend(&l, "s"),
                                                          .sender_display = lend(&l, "d"),
                                                          .key = lend(&l, "k"),
                                                          .call_id = lend(&l, "c"),
                                                          .from_tag = lend(&l, "f"),
                                                          .to_uri = lend(&l, "u"),
                                                          .cseq = UINT32_MAX,
                                                          .content_type = lend(&l, "t"),
                                                          .body = lend(&l, "b"),
                                                          .at = 77 });
    take_back(&l);
    assert_int_equal(fixture_commit(f, b), 0);
    fixture_reopen(f);

    struct bk_offline_message m = { 0 };
    struct bk_view rcpt = lend(&l, "r"), key = lend(&l, "k");
    assert_int_equal(bk_store_offline(f->store, rcpt, 0, 9, &f->arena, see_message, &m), 1);
    assert_odd(m.rcpt, "r");
    assert_odd(m.sender, "s");
    assert_odd(m.sender_display, "d");
    assert_odd(m.key, "k");
    assert_odd(m.call_id, "c");
    assert_odd(m.from_tag, "f");
    assert_odd(m.to_uri, "u");
    assert_int_equal(m.cseq, UINT32_MAX);
    assert_odd(m.content_type, "t");
    assert_odd(m.body, "b");
    assert_int_equal(m.at, 77);
    int64_t n, bytes;
    assert_int_equal(bk_store_offline_count(f->store, rcpt, &n, &bytes), 0);
    assert_int_equal(n, 1);
    assert_int_equal(bytes, odd.len + 1);
    assert_int_equal(bk_store_message_key(f->store, rcpt, key), 0);
    take_back(&l);
    assert_int_equal(bk_store_offline_count(f->store, v("nobody"), &n, &bytes), 0);
    assert_int_equal(n, 0);
    assert_int_equal(bytes, 0);
}

static void offline_messages_come_in_the_order_of_storing(void **state)
{
    struct fixture *f = *state;
    char expected[1024] = "";
    for (int i = 0; i < 60; i++) {
        struct bk_store_batch *b = bk_store_batch_create();
        char key[16], body[16];
        snprintf(key, sizeof key, "k%d", 997 * i % 61); /* order must not come from the key */
        snprintf(body, sizeof body, "%d", i);
        put_message(b, i % 3 ? "ann@x" : "bob@x", key, body);
        if (i % 3) {
            strncat(expected, body, sizeof expected - strlen(expected) - 1);
            strncat(expected, " ", sizeof expected - strlen(expected) - 1);
        }
        assert_int_equal(fixture_commit(f, b), 0);
    }
    struct seen s = { 0 };
    int r = bk_store_offline(f->store, v("ann@x"), 0, 1000, &f->arena, see_body, &s);
    assert_seen(&s, r, expected);

    /* In pages, each from behind the last of the one before, also when that one was dropped. */
    struct bk_offline_message m = { 0 };
    int64_t after = 0;
    char got[1024] = "";
    while (bk_store_offline(f->store, v("ann@x"), after, 1, &f->arena, see_message, &m) == 1) {
        strncat(got, m.body.at, m.body.len);
        strncat(got, " ", sizeof got - strlen(got) - 1);
        after = m.id;
        struct bk_store_batch *b = bk_store_batch_create();
        bk_store_drop_offline(b, m.id);
        assert_int_equal(fixture_commit(f, b), 0);
    }
    assert_string_equal(got, expected);
    /* A later one never comes before an earlier one, though the store was empty in between. */
    struct bk_store_batch *b = bk_store_batch_create();
    put_message(b, "ann@x", "new", "new");
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_offline(f->store, v("ann@x"), after, 1, &f->arena, see_message, &m),
                     1);
    assert_view(m.body, "new");
}

static void a_repeated_message_is_stored_once_even_after_its_delivery(void **state)
{
    struct fixture *f = *state;
    struct seen s = { 0 };
    for (int i = 0; i < 2; i++) {
        struct bk_store_batch *b = bk_store_batch_create();
        put_message(b, "ann@x", "k1", i ? "repeat" : "first");
        put_message(b, "ann@x", "k1", "repeat");
        put_message(b, "bob@x", "k1", "first"); /* another rcpt, another message */
        assert_int_equal(fixture_commit(f, b), 0);
    }
    int r = bk_store_offline(f->store, v("ann@x"), 0, 9, &f->arena, see_body, &s);
    assert_seen(&s, r, "first ");
    r = bk_store_offline(f->store, v("bob@x"), 0, 9, &f->arena, see_body, &s);
    assert_seen(&s, r, "first ");

    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_drop_offline_key(b, v("ann@x"), v("k1"));
    bk_store_drop_offline_key(b, v("ann@x"), v("never there"));
    assert_int_equal(fixture_commit(f, b), 0);
    fixture_reopen(f);
    assert_int_equal(bk_store_message_key(f->store, v("ann@x"), v("k1")), 0);
    assert_int_equal(bk_store_message_key(f->store, v("ann@x"), v("k2")), -ENOENT);
    b = bk_store_batch_create();
    put_message(b, "ann@x", "k1", "repeat");
    assert_int_equal(fixture_commit(f, b), 0);
    r = bk_store_offline(f->store, v("ann@x"), 0, 9, &f->arena, see_body, &s);
    assert_seen(&s, r, "");

    /* Keys go when told (their time is 50), but what still waits is known by its own. */
    b = bk_store_batch_create();
    bk_store_forget_message_keys(b, 50);
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_message_key(f->store, v("ann@x"), v("k1")), 0);
    b = bk_store_batch_create();
    bk_store_forget_message_keys(b, 51);
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_message_key(f->store, v("ann@x"), v("k1")), -ENOENT);
    assert_int_equal(bk_store_message_key(f->store, v("bob@x"), v("k1")), 0);
    b = bk_store_batch_create();
    put_message(b, "bob@x", "k1", "repeat");
    assert_int_equal(fixture_commit(f, b), 0);
    r = bk_store_offline(f->store, v("bob@x"), 0, 9, &f->arena, see_body, &s);
    assert_seen(&s, r, "first ");
}

static bool see_whole_signin(void *to, const struct bk_signin *s)
{
    *(struct bk_signin *)to = *s;
    return true;
}

static void a_sign_in_comes_back_as_it_was_put(void **state)
{
    struct fixture *f = *state;
    struct lent l = { 0 };
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_signin(b, &(struct bk_signin){ .at = 5,
                                                .address = lend(&l, "a"),
                                                .user_id = 9,
                                                .endpoint = lend(&l, "e"),
                                                .client = lend(&l, "c"),
                                                .device = lend(&l, "d"),
                                                .ip = lend(&l, "i"),
                                                .transport = lend(&l, "t"),
                                                .road = lend(&l, "r"),
                                                .status = 403,
                                                .diagnostics = UINT32_MAX,
                                                .record = lend(&l, "S"),
                                                .case_code = lend(&l, "K"),
                                                .detail = lend(&l, "{"),
                                                .end = BK_SIGNIN_END_OPEN });
    take_back(&l);
    assert_int_equal(fixture_commit(f, b), 0);
    fixture_reopen(f);
    struct bk_signin s = { 0 };
    struct bk_view code = lend(&l, "K");
    assert_int_equal(bk_store_signins(f->store, v(""), code, 9, &f->arena, see_whole_signin, &s),
                     1);
    take_back(&l);
    assert_odd(s.address, "a");
    assert_odd(s.endpoint, "e");
    assert_odd(s.client, "c");
    assert_odd(s.device, "d");
    assert_odd(s.ip, "i");
    assert_odd(s.transport, "t");
    assert_odd(s.road, "r");
    assert_odd(s.record, "S");
    assert_odd(s.case_code, "K");
    assert_odd(s.detail, "{");
    assert_false(s.ok);
    assert_int_equal(s.at, 5);
    assert_int_equal(s.last_at, 5);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.user_id, 9);
    assert_int_equal(s.status, 403);
    assert_int_equal(s.diagnostics, UINT32_MAX);
    assert_int_equal(s.ended_at, 0);
    assert_int_equal(s.end, BK_SIGNIN_END_OPEN);

    /* Typed by a stranger: cut. */
    char longer[1000];
    memset(longer, 'x', sizeof longer);
    b = bk_store_batch_create();
    bk_store_put_signin(b, &(struct bk_signin){ .address = { longer, sizeof longer } });
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_signins(f->store, v(""), v(""), 1, &f->arena, see_whole_signin, &s),
                     1);
    assert_int_equal(s.address.len, 320);
}

static int refuse(struct fixture *f, const char *address, const char *record, const char *ip,
                  int64_t at, const char *code)
{
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_signin(b, &(struct bk_signin){ .at = at,
                                                .address = v(address),
                                                .record = v(record),
                                                .ip = v(ip),
                                                .case_code = v(code),
                                                .end = BK_SIGNIN_END_OPEN });
    return fixture_commit(f, b);
}

static void refusals_within_a_minute_share_a_row_and_its_case_code(void **state)
{
    struct fixture *f = *state;
    struct bk_view code;
    assert_int_equal(
        bk_store_signin_case(f->store, v("ann@x"), v("SI-202"), v("ip1"), 100000, &f->arena, &code),
        -ENOENT);
    assert_int_equal(refuse(f, "ann@x", "SI-202", "ip1", 100000, "CODE-1"), 0);
    assert_int_equal(refuse(f, "ann@x", "SI-202", "ip1", 159999, "CODE-X"), 0);
    assert_int_equal(refuse(f, "ann@x", "SI-202", "ip1", 90000, "CODE-X"), 0); /* clock stepped */
    assert_int_equal(
        bk_store_signin_case(f->store, v("ann@x"), v("SI-202"), v("ip1"), 159999, &f->arena, &code),
        0);
    assert_view(code, "CODE-1");
    assert_int_equal(
        bk_store_signin_case(f->store, v("ann@x"), v("SI-202"), v("ip1"), 160000, &f->arena, &code),
        -ENOENT);
    /* Another minute, record, ip, address: rows of their own. */
    assert_int_equal(refuse(f, "ann@x", "SI-202", "ip1", 160000, "CODE-2"), 0);
    assert_int_equal(refuse(f, "ann@x", "SI-208", "ip1", 100000, "CODE-3"), 0);
    assert_int_equal(refuse(f, "ann@x", "SI-202", "ip2", 100000, "CODE-4"), 0);
    assert_int_equal(refuse(f, "bob@x", "SI-202", "ip1", 100000, "CODE-5"), 0);

    struct seen s = { 0 };
    int r = bk_store_signins(f->store, v("ann@x"), v(""), 9, &f->arena, see_signin, &s);
    assert_seen(&s, r, "ann@x:CODE-4*1 ann@x:CODE-3*1 ann@x:CODE-2*1 ann@x:CODE-1*3 ");
    r = bk_store_signins(f->store, v(""), v("CODE-5"), 9, &f->arena, see_signin, &s);
    assert_seen(&s, r, "bob@x:CODE-5*1 ");
    r = bk_store_signins(f->store, v("ann@x"), v("CODE-5"), 9, &f->arena, see_signin, &s);
    assert_seen(&s, r, "");
    r = bk_store_signins(f->store, v(""), v(""), 2, &f->arena, see_signin, &s);
    assert_seen(&s, r, "bob@x:CODE-5*1 ann@x:CODE-4*1 ");
    struct bk_signin row = { 0 };
    assert_int_equal(
        bk_store_signins(f->store, v(""), v("CODE-1"), 9, &f->arena, see_whole_signin, &row), 1);
    assert_int_equal(row.at, 100000);
    assert_int_equal(row.last_at, 159999);
}

static void sign_ins_that_succeed_each_have_a_row_until_they_end(void **state)
{
    struct fixture *f = *state;
    struct bk_store_batch *b = bk_store_batch_create();
    static const char *const endpoints[] = { "e1", "e1", "e2", "e3" };
    for (size_t i = 0; i < BK_COUNT_OF(endpoints); i++)
        bk_store_put_signin(b, &(struct bk_signin){ .at = 10 + (int64_t)i,
                                                    .address = v("ann@x"),
                                                    .endpoint = v(endpoints[i]),
                                                    .ok = true,
                                                    .status = 200,
                                                    .end = BK_SIGNIN_END_OPEN });
    assert_int_equal(fixture_commit(f, b), 0);
    struct seen s = { 0 };
    int r = bk_store_signins(f->store, v("ann@x"), v(""), 9, &f->arena, see_signin, &s);
    assert_seen(&s, r, "ann@x:*1 ann@x:*1 ann@x:*1 ann@x:*1 ");

    b = bk_store_batch_create();
    bk_store_end_signin(b, v("ann@x"), v("e2"), 20, BK_SIGNIN_END_CLIENT);
    bk_store_end_signin(b, v("ann@x"), v("e2"), 21, BK_SIGNIN_END_CRASHED); /* already ended */
    bk_store_end_signin(b, v("bob@x"), v("e1"), 21, BK_SIGNIN_END_CRASHED); /* nobody */
    bk_store_end_all_signins(b, 30, BK_SIGNIN_END_SERVER);
    bk_store_put_signin(b, &(struct bk_signin){ .at = 40,
                                                .address = v("ann@x"),
                                                .endpoint = v("e4"),
                                                .ok = true,
                                                .end = BK_SIGNIN_END_OPEN });
    bk_store_forget_signins(b, 12);
    assert_int_equal(fixture_commit(f, b), 0);
    fixture_reopen(f);
    struct {
        const char *endpoint;
        int64_t ended_at;
        enum bk_signin_end end;
    } expected[] = {
        { "e4", 0, BK_SIGNIN_END_OPEN },
        { "e3", 30, BK_SIGNIN_END_SERVER },
        { "e2", 20, BK_SIGNIN_END_CLIENT },
    };
    struct bk_signin row = { 0 };
    for (size_t i = 0; i < BK_COUNT_OF(expected); i++) {
        /* The last row of the first i + 1. */
        r = bk_store_signins(f->store, v("ann@x"), v(""), (int)i + 1, &f->arena, see_whole_signin,
                             &row);
        assert_int_equal(r, i + 1);
        assert_view(row.endpoint, expected[i].endpoint);
        assert_int_equal(row.ended_at, expected[i].ended_at);
        assert_int_equal(row.end, expected[i].end);
    }
    assert_int_equal(bk_store_signins(f->store, v(""), v(""), 9, &f->arena, see_whole_signin, &row),
                     3);
    /* An open one stays however old it is. */
    b = bk_store_batch_create();
    bk_store_forget_signins(b, 1000);
    assert_int_equal(fixture_commit(f, b), 0);
    assert_int_equal(bk_store_signins(f->store, v(""), v(""), 9, &f->arena, see_whole_signin, &row),
                     1);
    assert_view(row.endpoint, "e4");
}

static void reports_belong_to_their_case(void **state)
{
    struct fixture *f = *state;
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_report(b, &(struct bk_report){ v("C1"), 10, v("{1}"), v("ip") });
    bk_store_put_report(b, &(struct bk_report){ v("C2"), 11, v("{2}"), v("ip") });
    bk_store_put_report(b, &(struct bk_report){ v("C1"), 12, v("{3}"), v("ip") });
    assert_int_equal(fixture_commit(f, b), 0);
    struct seen s = { 0 };
    int r = bk_store_reports(f->store, v("C1"), &f->arena, see_report, &s);
    assert_seen(&s, r, "{1}@10 {3}@12 ");
    b = bk_store_batch_create();
    bk_store_forget_signins(b, 12);
    assert_int_equal(fixture_commit(f, b), 0);
    r = bk_store_reports(f->store, v("C1"), &f->arena, see_report, &s);
    assert_seen(&s, r, "{3}@12 ");
}

static void notes_relations_policies_settings_and_secrets_are_replaced_and_removed(void **state)
{
    struct fixture *f = *state;
    struct lent l = { 0 };
    for (int i = 0; i < 2; i++) {
        struct bk_store_batch *b = bk_store_batch_create();
        bk_store_put_presence_note(b, &(struct bk_presence_note){ .address = v("ann@x"),
                                                                  .manual = lend(&l, "m"),
                                                                  .note = lend(&l, "n"),
                                                                  .at = 3 + i });
        bk_store_put_relation(b, &(struct bk_relation){ v("ann@x"), v("@y"), 100 + i });
        bk_store_put_relation(b, &(struct bk_relation){ v("ann@x"), v("bob@x"), 32000 });
        bk_store_put_policy(
            b, &(struct bk_policy_value){ v("global"), v(""), v("k"), i ? v("v2") : v("v1") });
        bk_store_put_policy(b, &(struct bk_policy_value){ v("site"), v("hq"), v("k"), v("") });
        bk_store_put_setting(b, v("s1"), i ? v("v2") : v("v1"));
        bk_store_put_setting(b, v("s2"), v(""));
        bk_store_put_secret(b, v("ca"), lend(&l, i ? "new" : "old"));
        take_back(&l);
        assert_int_equal(fixture_commit(f, b), 0);
    }
    fixture_reopen(f);
    struct bk_presence_note note;
    assert_int_equal(bk_store_presence_note(f->store, v("ann@x"), &f->arena, &note), 0);
    assert_odd(note.manual, "m");
    assert_odd(note.note, "n");
    assert_int_equal(note.at, 4);
    assert_int_equal(bk_store_presence_note(f->store, v("bob@x"), &f->arena, &note), -ENOENT);
    struct bk_view secret;
    assert_int_equal(bk_store_secret(f->store, v("ca"), &f->arena, &secret), 0);
    assert_odd(secret, "new");
    assert_int_equal(bk_store_secret(f->store, v("cb"), &f->arena, &secret), -ENOENT);
    assert_setting(f, "s1", "v2");
    assert_setting(f, "s2", ""); /* empty is not absent */
    assert_setting(f, "s3", NULL);

    struct seen s = { 0 };
    int r = bk_store_relations(f->store, v("ann@x"), &f->arena, see_relation, &s);
    assert_seen(&s, r, "@y=101 bob@x=32000 ");
    r = bk_store_policies(f->store, &f->arena, see_policy, &s);
    assert_seen(&s, r, "global//k=v2 site/hq/k= ");
    r = bk_store_settings(f->store, &f->arena, see_setting, &s);
    assert_seen(&s, r, "s1=v2 s2= ");

    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_relation(b, &(struct bk_relation){ v("ann@x"), v("@y"), 0 });
    bk_store_put_policy(b, &(struct bk_policy_value){ v("global"), v(""), v("k"), { 0 } });
    bk_store_put_setting(b, v("s1"), (struct bk_view){ 0 });
    assert_int_equal(fixture_commit(f, b), 0);
    r = bk_store_relations(f->store, v("ann@x"), &f->arena, see_relation, &s);
    assert_seen(&s, r, "bob@x=32000 ");
    r = bk_store_policies(f->store, &f->arena, see_policy, &s);
    assert_seen(&s, r, "site/hq/k= ");
    r = bk_store_settings(f->store, &f->arena, see_setting, &s);
    assert_seen(&s, r, "s2= ");
}

static bool see_group(void *seen, const struct bk_contact_group *g)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%lld=%.*s ", (long long)g->id,
                BK_VIEW_ARGS(g->name));
    return more(seen);
}

static bool see_contact(void *seen, const struct bk_contact *c)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s(%.*s)%d ", BK_VIEW_ARGS(c->address),
                BK_VIEW_ARGS(c->groups), c->subscribed);
    return more(seen);
}

static bool see_container(void *seen, const struct bk_container *c)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%lld=%lld ", (long long)c->container,
                (long long)c->version);
    return more(seen);
}

static bool see_publication(void *seen, const struct bk_static_publication *p)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s/%lld/%lld=%lld@%lld ",
                BK_VIEW_ARGS(p->category), (long long)p->instance, (long long)p->container,
                (long long)p->version, (long long)p->at);
    return more(seen);
}

static bool see_follower(void *seen, const struct bk_follower *w)
{
    bk_buf_addf(&((struct seen *)seen)->text, "%.*s:%d@%lld ", BK_VIEW_ARGS(w->follower),
                w->acknowledged, (long long)w->at);
    return more(seen);
}

/* Everything of that owner, in one line. */
static void assert_kept(struct fixture *f, const char *owner, const char *expected)
{
    struct seen s = { 0 };
    struct bk_contact_list list;
    int n = 0;
    if (bk_store_contact_list(f->store, v(owner), &f->arena, &list) == 0) {
        bk_buf_addf(&s.text, "%lld,%lld ", (long long)list.delta, (long long)list.next_group);
        n = s.n = 1;
    }
    n += bk_store_contact_groups(f->store, v(owner), &f->arena, see_group, &s);
    n += bk_store_contacts(f->store, v(owner), &f->arena, see_contact, &s);
    n += bk_store_containers(f->store, v(owner), &f->arena, see_container, &s);
    n += bk_store_publications(f->store, v(owner), &f->arena, see_publication, &s);
    n += bk_store_followers(f->store, v(owner), &f->arena, see_follower, &s);
    assert_seen(&s, n, expected);
}

static void keep_all(struct fixture *f, const char *owner, int version)
{
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_contact_list(b, &(struct bk_contact_list){ v(owner), version, 3 });
    bk_store_put_contact_group(b, &(struct bk_contact_group){ v(owner), 2, v("pals"), v("") });
    bk_store_put_contact_group(b, &(struct bk_contact_group){ v(owner), 1, v("~"), v("") });
    bk_store_put_contact(
        b, &(struct bk_contact){ v(owner), v("zoe@x"), v("Z"), v("1 2"), true, v("") });
    bk_store_put_contact(b,
                         &(struct bk_contact){ v(owner), v("bob@x"), v(""), v("1"), false, v("") });
    bk_store_put_container(b, &(struct bk_container){ v(owner), 32000, version });
    bk_store_put_publication(b, &(struct bk_static_publication){ v(owner), v("note"), 0, 400,
                                                                 version, 7, v("<note/>") });
    bk_store_put_publication(b, &(struct bk_static_publication){ v(owner), v("note"), 4294967295, 2,
                                                                 version, 7, v("<x/>") });
    bk_store_put_follower(
        b, &(struct bk_follower){ v(owner), v("bob@x"), v("Bob"), version > 1, 10 + version });
    assert_int_equal(fixture_commit(f, b), 0);
}

static void a_contact_list_and_what_belongs_to_it_come_back_in_order(void **state)
{
    struct fixture *f = *state;
    keep_all(f, "ann@x", 1);
    keep_all(f, "ann@x", 2); /* replaces, and everything keeps its place */
    keep_all(f, "ann@y", 1);
    fixture_reopen(f);
    assert_kept(f, "ann@x",
                "2,3 1=~ 2=pals zoe@x(1 2)1 bob@x(1)0 32000=2 note/0/400=2@7 "
                "note/4294967295/2=2@7 bob@x:1@11 ");
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_drop_contact_group(b, v("ann@x"), 2);
    bk_store_drop_contact_group(b, v("ann@x"), 9);
    bk_store_drop_contact(b, v("ann@x"), v("zoe@x"));
    bk_store_drop_contact(b, v("ann@x"), v("nobody@x"));
    bk_store_drop_publication(b, v("ann@x"), v("note"), 0, 400);
    bk_store_drop_publication(b, v("ann@x"), v("note"), 1, 400);
    assert_int_equal(fixture_commit(f, b), 0);
    assert_kept(f, "ann@x", "2,3 1=~ bob@x(1)0 32000=2 note/4294967295/2=2@7 bob@x:1@11 ");
    assert_kept(f, "nobody@x", "");
}

static bool see_document(void *to, const struct bk_static_publication *p)
{
    *(struct bk_static_publication *)to = *p;
    return true;
}

static void a_contact_and_a_publication_may_hold_any_bytes(void **state)
{
    struct fixture *f = *state;
    struct lent l = { 0 };
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_publication(b, &(struct bk_static_publication){ .owner = v("ann@x"),
                                                                 .category = lend(&l, "c"),
                                                                 .document = lend(&l, "d") });
    take_back(&l);
    assert_int_equal(fixture_commit(f, b), 0);
    struct bk_static_publication p = { 0 };
    assert_int_equal(bk_store_publications(f->store, v("ann@x"), &f->arena, see_document, &p), 1);
    assert_odd(p.category, "c");
    assert_odd(p.document, "d");
}

static void a_contact_list_goes_where_its_owner_goes(void **state)
{
    struct fixture *f = *state;
    int64_t tenant = add_tenant(f, "t");
    assert_int_equal(put_user(f, 0, tenant, "ann@x", ""), 0);
    keep_all(f, "ann@x", 1);
    keep_all(f, "other@x", 1);
    assert_int_equal(put_user(f, user_id(f, "ann@x"), tenant, "anna@x", ""), 0);
    assert_kept(f, "ann@x", "");
    const char *all = "1,3 1=~ 2=pals zoe@x(1 2)1 bob@x(1)0 32000=1 note/0/400=1@7 "
                      "note/4294967295/2=1@7 bob@x:0@11 ";
    assert_kept(f, "anna@x", all);
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_drop_user(b, user_id(f, "anna@x"));
    assert_int_equal(fixture_commit(f, b), 0);
    assert_kept(f, "anna@x", "");
    assert_kept(f, "other@x", all);
}

static bool see_whole_audit(void *to, const struct bk_audit *a)
{
    *(struct bk_audit *)to = *a;
    return true;
}

static void the_audit_is_kept_newest_first(void **state)
{
    struct fixture *f = *state;
    struct lent l = { 0 };
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_audit(b, &(struct bk_audit){ .at = 1,
                                              .actor = lend(&l, "a"),
                                              .what = lend(&l, "w"),
                                              .target = lend(&l, "t"),
                                              .detail = lend(&l, "d") });
    take_back(&l);
    assert_int_equal(fixture_commit(f, b), 0);
    struct bk_audit a = { 0 };
    assert_int_equal(bk_store_audits(f->store, 9, &f->arena, see_whole_audit, &a), 1);
    assert_odd(a.actor, "a");
    assert_odd(a.what, "w");
    assert_odd(a.target, "t");
    assert_odd(a.detail, "d");
    assert_int_equal(a.at, 1);
    b = bk_store_batch_create();
    bk_store_put_audit(b, &(struct bk_audit){ .at = 0, .what = v("second") });
    bk_store_put_audit(b, &(struct bk_audit){ .at = 0, .what = v("third") });
    assert_int_equal(fixture_commit(f, b), 0);
    struct seen s = { 0 };
    int r = bk_store_audits(f->store, 2, &f->arena, see_audit, &s);
    assert_seen(&s, r, "third second ");
}

/* ---- batches ---- */

static void a_batch_is_done_whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    int64_t t = add_tenant(f, "t");
    assert_int_equal(put_user(f, 0, t, "ann@x", ""), 0);
    /* The step that fails stands first, in the middle, last. */
    for (int bad = 0; bad < 3; bad++) {
        struct bk_store_batch *b = bk_store_batch_create();
        for (int i = 0; i < 3; i++) {
            char key[8];
            snprintf(key, sizeof key, "k%d", i);
            if (i == bad)
                bk_store_put_user(b, &(struct bk_user){ .tenant_id = t, .address = v("ann@x") });
            else
                bk_store_put_setting(b, v(key), v("v"));
        }
        put_message(b, "ann@x", "k", "b");
        assert_int_equal(fixture_commit(f, b), -EEXIST);
    }
    struct seen s = { 0 };
    int r = bk_store_settings(f->store, &f->arena, see_setting, &s);
    assert_seen(&s, r, "");
    r = bk_store_offline(f->store, v("ann@x"), 0, 9, &f->arena, see_body, &s);
    assert_seen(&s, r, "");
    assert_int_equal(bk_store_health(f->store), 0); /* a refusal is no sickness */
}

static void one_batch_that_fails_leaves_its_neighbours_alone(void **state)
{
    struct fixture *f = *state;
    int64_t t = add_tenant(f, "t");
    assert_int_equal(put_user(f, 0, t, "ann@x", ""), 0);
    struct tally good, bad;
    tally_init(&good);
    tally_init(&bad);
    enum { ROUNDS = 50 };
    for (int i = 0; i < ROUNDS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%02d", i);
        struct bk_store_batch *b = bk_store_batch_create();
        bk_store_put_setting(b, v(key), v("good"));
        assert_int_equal(bk_store_commit(f->store, b, tally_done, &good), 0);
        b = bk_store_batch_create();
        bk_store_put_setting(b, v(key), v("bad"));
        bk_store_put_user(b, &(struct bk_user){ .tenant_id = t, .address = v("ann@x") });
        assert_int_equal(bk_store_commit(f->store, b, tally_done, &bad), 0);
    }
    tally_wait(&good, f, ROUNDS);
    tally_wait(&bad, f, ROUNDS);
    assert_int_equal(good.last, 0);
    assert_int_equal(bad.last, -EEXIST);
    for (int i = 0; i < ROUNDS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%02d", i);
        assert_setting(f, key, "good");
    }
}

static void an_empty_batch_is_done_too(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_commit(f, bk_store_batch_create()), 0);
    assert_int_equal(bk_store_commit(f->store, NULL, NULL, NULL), -ENOMEM);
    assert_null(bk_store_batch_destroy(NULL));
    assert_null(bk_store_batch_destroy(bk_store_batch_create()));
    assert_null(bk_store_close(NULL));
    assert_null(bk_store_crash(NULL, NULL));
}

static void what_was_acknowledged_is_read_at_once(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 200; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        assert_int_equal(set(f, "n", value), 0);
        assert_setting(f, "n", value);
    }
}

struct order {
    int expected, wrong;
    struct tally tally;
};
struct ordered {
    struct order *order;
    int n;
};

static void in_order(void *ordered, int result)
{
    struct ordered *o = ordered;
    o->order->wrong += o->order->expected++ != o->n;
    tally_done(&o->order->tally, result);
}

static void callbacks_come_once_each_in_the_order_of_handing_over(void **state)
{
    struct fixture *f = *state;
    enum { N = 3000 }; /* more than one commit takes */
    static struct ordered all[N];
    struct order order = { 0 };
    tally_init(&order.tally);
    for (int i = 0; i < N; i++) {
        all[i] = (struct ordered){ &order, i };
        struct bk_store_batch *b = bk_store_batch_create();
        bk_store_put_setting(b, v("last"), v(i == N - 1 ? "yes" : "no"));
        assert_int_equal(bk_store_commit(f->store, b, in_order, &all[i]), 0);
    }
    tally_wait(&order.tally, f, N);
    assert_int_equal(order.wrong, 0);
    assert_int_equal(tally_count(&order.tally), N);
    assert_setting(f, "last", "yes");
    struct bk_store_stats stats;
    bk_store_stats(f->store, &stats);
    assert_int_equal(stats.batches, N);
    assert_int_equal(stats.pending_bytes, 0);
    assert_int_equal(stats.failures, 0);
    assert_true(stats.commits < N / 10); /* they shared commits */
}

static void closing_commits_what_waits_and_calls_back(void **state)
{
    struct fixture *f = *state;
    struct tally t;
    tally_init(&t);
    for (int i = 0; i < 100; i++) {
        struct bk_store_batch *b = bk_store_batch_create();
        char key[16];
        snprintf(key, sizeof key, "k%02d", i);
        bk_store_put_setting(b, v(key), v("v"));
        assert_int_equal(bk_store_commit(f->store, b, i % 2 ? tally_done : NULL, &t), 0);
    }
    struct seen s = { 0 };
    if (f->shape->file) {
        f->store = bk_store_close(f->store);
        assert_int_equal(tally_count(&t), 50);
        fixture_open(f);
        assert_int_equal(bk_store_settings(f->store, &f->arena, see_setting, &s), 100);
        bk_buf_finish(&s.text);
    } else {
        f->store = bk_store_close(f->store);
        assert_int_equal(tally_count(&t), 50);
        fixture_open(f);
    }
    assert_int_equal(t.last, 0);
}

/* Stops the writer: its callback waits until told. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool reached, open;
};

static void wait_at_gate(void *gate, int result)
{
    struct gate *g = gate;
    (void)result;
    pthread_mutex_lock(&g->lock);
    g->reached = true;
    pthread_cond_broadcast(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void a_full_queue_says_try_again_and_recovers(void **state)
{
    struct fixture *f = *state;
    bk_store_close(f->store);
    f->config.pending_max = 100000;
    fixture_open(f);
    struct gate gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false };
    if (f->shape->threaded) {
        struct bk_store_batch *b = bk_store_batch_create();
        assert_int_equal(bk_store_commit(f->store, b, wait_at_gate, &gate), 0);
        pthread_mutex_lock(&gate.lock);
        while (!gate.reached)
            pthread_cond_wait(&gate.changed, &gate.lock);
        pthread_mutex_unlock(&gate.lock);
    }
    struct tally t;
    tally_init(&t);
    char value[1000];
    memset(value, 'x', sizeof value);
    int accepted = 0, r = 0;
    for (; accepted < 1000 && r == 0; accepted += r == 0) {
        struct bk_store_batch *b = bk_store_batch_create();
        bk_store_put_setting(b, v("k"), (struct bk_view){ value, sizeof value });
        r = bk_store_commit(f->store, b, tally_done, &t);
    }
    assert_int_equal(r, -EAGAIN);
    assert_in_range(accepted, 20, 100);
    struct bk_store_stats stats;
    bk_store_stats(f->store, &stats);
    assert_in_range(stats.pending_bytes, 100000, 110000);

    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    tally_wait(&t, f, accepted);
    assert_int_equal(tally_count(&t), accepted); /* the refused one was never called back */
    assert_int_equal(set(f, "again", "yes"), 0);
}

/* ---- crash ---- */

static void after_a_crash_each_batch_is_there_or_not_at_all_and_the_acknowledged_are(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 5; round++) {
        struct tally t;
        tally_init(&t);
        enum { N = 200 };
        for (int i = 0; i < N; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d", round * N + i);
            struct bk_store_batch *b = bk_store_batch_create();
            put_message(b, "left@x", key, key);
            put_message(b, "right@x", key, key);
            assert_int_equal(bk_store_commit(f->store, b, tally_done, &t), 0);
            if (!f->shape->threaded && i == 50 + round)
                tally_wait(&t, f, i + 1);
        }
        if (f->shape->threaded)
            tally_wait(&t, f, 20 * round);
        fixture_crash(f);
        int acknowledged = tally_count(&t); /* nobody is called any more */
        int there = 0;
        for (int i = 0; i < N; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d", round * N + i);
            int left = bk_store_message_key(f->store, v("left@x"), v(key));
            int right = bk_store_message_key(f->store, v("right@x"), v(key));
            assert_int_equal(left, right);
            if (left < 0)
                assert_int_equal(left, -ENOENT);
            if (i < acknowledged)
                assert_int_equal(left, 0);
            there += left == 0;
        }
        assert_true(there >= acknowledged);
        if (!f->shape->threaded)
            assert_int_equal(there, acknowledged);
    }
}

static void a_copy_made_while_running_opens_with_all_that_was_there(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(set(f, "k", "v"), 0);
    char path[128], dir[64] = "/tmp/bk-backup-XXXXXX";
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/copy", dir);
    assert_int_equal(bk_store_backup(f->store, path), 0);
    assert_int_equal(set(f, "k", "later"), 0);
    assert_int_equal(bk_store_backup(f->store, "/nowhere/at/all"), -ENOENT);

    struct bk_store *copy = NULL;
    struct bk_view value;
    struct bk_store_config config = { .path = path };
    assert_int_equal(bk_store_open(&config, &copy, NULL), 0);
    assert_int_equal(bk_store_setting(copy, v("k"), &f->arena, &value), 0);
    assert_view(value, "v");
    assert_int_equal(bk_store_check(copy, NULL), 0);
    bk_store_close(copy);
    /* Replaced by a later one. */
    assert_int_equal(bk_store_backup(f->store, path), 0);
    assert_int_equal(bk_store_open(&config, &copy, NULL), 0);
    assert_int_equal(bk_store_setting(copy, v("k"), &f->arena, &value), 0);
    assert_view(value, "later");
    bk_store_close(copy);
    unlink(path);
    snprintf(path, sizeof path, "%s/copy.lock", dir);
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(bk_store_check(f->store, NULL), 0);
}

/* ---- reading ---- */

static bool ask_again(void *fixture, const struct bk_user *u)
{
    struct fixture *f = fixture;
    /* The same question from inside its own answer, and another one. */
    struct seen s = { 0 };
    int r = bk_store_users(f->store, 0, u->address, v(""), 9, &f->arena, see_user, &s);
    assert_int_equal(r, s.n);
    bk_buf_finish(&s.text);
    struct bk_user same;
    assert_int_equal(bk_store_user(f->store, u->address, &f->arena, &same), 0);
    assert_int_equal(same.id, u->id);
    return true;
}

static bool clear_arena(void *fixture, const struct bk_user *u)
{
    (void)u;
    bk_arena_clear(&((struct fixture *)fixture)->arena);
    return true;
}

static void a_list_may_ask_from_inside_and_clear_its_arena(void **state)
{
    struct fixture *f = *state;
    int64_t t = add_tenant(f, "t");
    for (int i = 0; i < 5; i++) {
        char address[16];
        snprintf(address, sizeof address, "u%d@x", i);
        assert_int_equal(put_user(f, 0, t, address, ""), 0);
    }
    assert_int_equal(bk_store_users(f->store, 0, v(""), v(""), 9, &f->arena, ask_again, f), 5);
    assert_int_equal(bk_store_users(f->store, 0, v(""), v(""), 9, &f->arena, clear_arena, f), 5);
}

static void *read_and_compare(void *fixture)
{
    struct fixture *f = fixture;
    struct bk_arena arena = { 0 };
    long wrong = 0, last = -1;
    for (int i = 0; i < 300; i++) {
        struct bk_view a, b;
        /* One batch wrote both, so the second read is the same or newer, never older. */
        if (bk_store_setting(f->store, v("a"), &arena, &a) < 0 ||
            bk_store_setting(f->store, v("b"), &arena, &b) < 0) {
            wrong++;
            continue;
        }
        long n = strtol(a.at, NULL, 10), m = strtol(b.at, NULL, 10);
        wrong += n < last || m < n;
        last = n;
        bk_arena_clear(&arena);
    }
    bk_arena_finish(&arena);
    return (void *)wrong;
}

static void several_threads_read_while_one_writes(void **state)
{
    struct fixture *f = *state;
    if (!f->shape->threaded)
        return; /* the caller alone has the store */
    pthread_t threads[3];
    struct tally t;
    tally_init(&t);
    for (int i = 0; i < 200; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        struct bk_store_batch *b = bk_store_batch_create();
        bk_store_put_setting(b, v("a"), v(value));
        bk_store_put_setting(b, v("b"), v(value));
        assert_int_equal(bk_store_commit(f->store, b, tally_done, &t), 0);
        if (i == 0) {
            tally_wait(&t, f, 1);
            for (size_t k = 0; k < BK_COUNT_OF(threads); k++)
                assert_int_equal(pthread_create(&threads[k], NULL, read_and_compare, f), 0);
        }
    }
    for (size_t k = 0; k < BK_COUNT_OF(threads); k++) {
        void *wrong;
        pthread_join(threads[k], &wrong);
        assert_null(wrong);
    }
    tally_wait(&t, f, 200);
}

static void a_lone_writer_does_not_wait_for_company(void **state)
{
    struct fixture *f = *state;
    enum { N = 400 };
    for (int i = 0; i < N; i++)
        assert_int_equal(set(f, "k", "v"), 0);
    struct bk_store_stats stats;
    bk_store_stats(f->store, &stats);
    assert_int_equal(stats.commits, N);
    assert_true(stats.waits <= N / 9 + 1);
}

/* ---- post ---- */
struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } posted[64];
    size_t n;
};

static void post_to_mailbox(void *mailbox, void (*fn)(void *arg), void *arg)
{
    struct mailbox *m = mailbox;
    pthread_mutex_lock(&m->lock);
    assert_true(m->n < BK_COUNT_OF(m->posted));
    m->posted[m->n].fn = fn;
    m->posted[m->n++].arg = arg;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

static void note_thread(void *thread, int result)
{
    assert_int_equal(result, 0);
    *(pthread_t *)thread = pthread_self();
}

static void callbacks_travel_by_post_even_past_the_close(void **state)
{
    struct fixture *f = *state;
    bk_store_close(f->store);
    struct mailbox m = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, .n = 0 };
    f->config.post = post_to_mailbox;
    f->config.post_ctx = &m;
    fixture_open(f);
    pthread_t first = { 0 }, second = { 0 };
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_setting(b, v("k"), v("v"));
    assert_int_equal(bk_store_commit(f->store, b, note_thread, &first), 0);
    if (!f->shape->threaded)
        assert_int_equal(bk_store_pump(f->store), 1);
    pthread_mutex_lock(&m.lock);
    while (m.n == 0)
        pthread_cond_wait(&m.changed, &m.lock);
    pthread_mutex_unlock(&m.lock);
    assert_int_equal(bk_store_commit(f->store, bk_store_batch_create(), note_thread, &second), 0);
    f->store = bk_store_close(f->store);
    for (size_t i = 0; i < m.n; i++)
        m.posted[i].fn(m.posted[i].arg);
    assert_true(pthread_equal(first, pthread_self()));
    assert_true(pthread_equal(second, pthread_self()));
}

static int set_up(void **state, const struct shape *shape)
{
    *state = fixture_create(shape);
    return 0;
}

static int tear_down(void **state)
{
    fixture_destroy(*state);
    return 0;
}

static const struct shape shapes[] = {
    { "memory, pumped", false, false },
    { "memory, threaded", false, true },
    { "file, pumped", true, false },
    { "file, threaded", true, true },
};
static const struct shape *shape_now;

static int set_up_now(void **state)
{
    return set_up(state, shape_now);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_now, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tenant_comes_back_as_it_was_put),
        TEST(a_domain_belongs_to_one_tenant),
        TEST(a_user_comes_back_as_it_was_put),
        TEST(nobody_gets_a_name_that_somebody_signs_in_with),
        TEST(users_are_listed_in_pages_and_found_by_part_of_a_name),
        TEST(passwords_belong_to_their_account),
        TEST(an_nt_hash_goes_with_the_password_it_was_made_of),
        TEST(a_certificate_comes_back_and_stays_revoked_as_first_said),
        TEST(a_dropped_user_takes_along_what_is_theirs_and_nothing_else),
        TEST(a_new_address_keeps_what_was_kept_by_the_old),
        TEST(an_offline_message_comes_back_as_it_was_put),
        TEST(offline_messages_come_in_the_order_of_storing),
        TEST(a_repeated_message_is_stored_once_even_after_its_delivery),
        TEST(a_sign_in_comes_back_as_it_was_put),
        TEST(refusals_within_a_minute_share_a_row_and_its_case_code),
        TEST(sign_ins_that_succeed_each_have_a_row_until_they_end),
        TEST(reports_belong_to_their_case),
        TEST(notes_relations_policies_settings_and_secrets_are_replaced_and_removed),
        TEST(a_contact_list_and_what_belongs_to_it_come_back_in_order),
        TEST(a_contact_and_a_publication_may_hold_any_bytes),
        TEST(a_contact_list_goes_where_its_owner_goes),
        TEST(the_audit_is_kept_newest_first),
        TEST(a_batch_is_done_whole_or_not_at_all),
        TEST(one_batch_that_fails_leaves_its_neighbours_alone),
        TEST(an_empty_batch_is_done_too),
        TEST(what_was_acknowledged_is_read_at_once),
        TEST(callbacks_come_once_each_in_the_order_of_handing_over),
        TEST(closing_commits_what_waits_and_calls_back),
        TEST(a_full_queue_says_try_again_and_recovers),
        TEST(after_a_crash_each_batch_is_there_or_not_at_all_and_the_acknowledged_are),
        TEST(a_copy_made_while_running_opens_with_all_that_was_there),
        TEST(a_list_may_ask_from_inside_and_clear_its_arena),
        TEST(several_threads_read_while_one_writes),
        TEST(a_lone_writer_does_not_wait_for_company),
        TEST(callbacks_travel_by_post_even_past_the_close),
    };
    int failed = 0;
    for (size_t i = 0; i < BK_COUNT_OF(shapes); i++) {
        shape_now = &shapes[i];
        failed += cmocka_run_group_tests_name(shapes[i].name, tests, NULL, NULL);
    }
    return failed;
}
