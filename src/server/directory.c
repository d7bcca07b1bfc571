/* SPDX-License-Identifier: Apache-2.0 */
/* Domains, tenants and policies of one moment; and the table of policies. */
#include "server/directory.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the table ---- */
/* clang-format off */
static const struct bk_policy_row rows[BK_POLICY_COUNT] = {
    [BK_POLICY_CERTIFICATE_HOURS] = {
        "certificate-hours", BK_POLICY_NUMBER, "4320", 8, 8760, NULL,
        "How many hours a personal certificate is good for. Clients renew it by themselves when two thirds are over." },
    [BK_POLICY_ENDPOINTS_MAX] = {
        "endpoints-max", BK_POLICY_NUMBER, "8", 1, 64, NULL,
        "On how many devices one person may be signed in at the same time." },
    [BK_POLICY_REGISTRATION_S] = {
        "registration-seconds", BK_POLICY_NUMBER, "600", 300, 900, NULL,
        "After how many seconds a client must say again that it is there." },
    [BK_POLICY_TELL_UNKNOWN_ADDRESS] = {
        "tell-unknown-address", BK_POLICY_CHOICE, "own-networks", 0, 0, "never|own-networks|always",
        "Who is told that an address does not exist, instead of \"address or password wrong\"." },
    [BK_POLICY_CLEARTEXT_SIGNIN] = {
        "cleartext-signin", BK_POLICY_SWITCH, "off", 0, 0, NULL,
        "Whether people may sign in over connections that are not encrypted (TCP, UDP)." },
    [BK_POLICY_DIGEST_ALGORITHM] = {
        "digest-algorithm", BK_POLICY_CHOICE, "SHA-256", 0, 0, "SHA-256|MD5",
        "What a client without a device password of its own is challenged with." },
    [BK_POLICY_OFFLINE_MESSAGES] = {
        "offline-messages", BK_POLICY_SWITCH, "on", 0, 0, NULL,
        "Whether messages are kept for people who are not signed in." },
    [BK_POLICY_OFFLINE_MESSAGES_MAX] = {
        "offline-messages-max", BK_POLICY_NUMBER, "500", 1, 100000, NULL,
        "How many messages are kept for one person." },
    [BK_POLICY_PRIVACY_MODE] = {
        "privacy-mode", BK_POLICY_SWITCH, "off", 0, 0, NULL,
        "Whether presence is shown only to people in the contact list." },
    [BK_POLICY_APPEAR_OFFLINE] = {
        "appear-offline", BK_POLICY_SWITCH, "on", 0, 0, NULL,
        "Whether people may appear offline while they are signed in." },
    [BK_POLICY_PASSWORD_LENGTH_MIN] = {
        "password-length-min", BK_POLICY_NUMBER, "8", 8, 128, NULL,
        "How many characters a new password must have." },
    [BK_POLICY_SIGNIN_HISTORY_DAYS] = {
        "signin-history-days", BK_POLICY_NUMBER, "90", 1, 3650, NULL,
        "For how many days attempts to sign in are remembered. Counts globally only." },
    [BK_POLICY_NTLM_SIGNIN] = {
        "ntlm-signin", BK_POLICY_SWITCH, "off", 0, 0, NULL,
        "Whether Lync-compatible clients may sign in by NTLM. A hash that is worth the password is then kept from the next password change on; it is deleted when this is switched off." },
    [BK_POLICY_SIGNATURE_MINUTES] = {
        "signature-minutes", BK_POLICY_NUMBER, "480", 1, 480, NULL,
        "After how many minutes a Lync-compatible client has to prove anew who it is, on the same connection. Clients do so by themselves, also where this is less than their own eight hours." },
};
/* clang-format on */

const struct bk_policy_row *bk_policy_row(enum bk_policy policy)
{
    return &rows[policy];
}

int bk_policy_find(struct bk_view name, enum bk_policy *ret)
{
    for (size_t i = 0; i < BK_POLICY_COUNT; i++) {
        if (bk_view_equal_nocase(name, bk_view_of_str(rows[i].name))) {
            *ret = (enum bk_policy)i;
            return 0;
        }
    }
    return -ENOENT;
}

/* Spells a value as the row does ("ON" -> "on"); empty where the row does not allow it. */
static struct bk_view spelled(const struct bk_policy_row *row, struct bk_view value)
{
    uint64_t n;
    if (row->kind == BK_POLICY_NUMBER) {
        if (bk_view_to_u64(value, INT64_MAX, &n) < 0 || (int64_t)n < row->min ||
            (int64_t)n > row->max)
            return (struct bk_view){ 0 };
        return value;
    }
    struct bk_view rest =
        row->kind == BK_POLICY_SWITCH ? BK_VIEW("on|off") : bk_view_of_str(row->choices);
    while (rest.at) {
        struct bk_view choice = bk_view_cut(&rest, '|');
        if (bk_view_equal_nocase(choice, value))
            return choice;
    }
    return (struct bk_view){ 0 };
}

int bk_policy_check(enum bk_policy policy, struct bk_view value, const char **ret_why)
{
    if (spelled(&rows[policy], value).len)
        return 0;
    uint64_t n;
    switch (rows[policy].kind) {
    case BK_POLICY_NUMBER:
        *ret_why = bk_view_to_u64(value, INT64_MAX, &n) < 0 ? "not a whole number"
                                                            : "outside the range allowed";
        break;
    case BK_POLICY_SWITCH:
        *ret_why = "neither on nor off";
        break;
    case BK_POLICY_CHOICE:
        *ret_why = "none of the words allowed";
        break;
    }
    return -EINVAL;
}

/* ---- the snapshot ---- */
enum scope { SCOPE_USER, SCOPE_SITE, SCOPE_GLOBAL };
static const char *const scope_names[] = { "user", "site", "global" };

struct value {
    enum scope scope;
    struct bk_view name;
    enum bk_policy policy;
    struct bk_view text;
    int64_t number;
};

struct bk_directory {
    atomic_int refs;
    struct bk_arena arena;     /* all texts below */
    struct bk_tenant *tenants; /* by id */
    size_t n_tenants, max_tenants;
    struct bk_domain *domains; /* by name */
    size_t n_domains, max_domains;
    struct value *values; /* by scope, name, policy */
    size_t n_values, max_values;
};

static int compare_views(struct bk_view a, struct bk_view b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int r = n ? memcmp(a.at, b.at, n) : 0;
    return r ? r : (a.len > b.len) - (a.len < b.len);
}

static int compare_tenants(const void *a, const void *b)
{
    int64_t x = ((const struct bk_tenant *)a)->id, y = ((const struct bk_tenant *)b)->id;
    return (x > y) - (x < y);
}

static int compare_domains(const void *a, const void *b)
{
    return compare_views(((const struct bk_domain *)a)->name, ((const struct bk_domain *)b)->name);
}

static int compare_values(const void *a, const void *b)
{
    const struct value *x = a, *y = b;
    if (x->scope != y->scope)
        return x->scope < y->scope ? -1 : 1;
    int r = compare_views(x->name, y->name);
    return r ? r : (x->policy > y->policy) - (x->policy < y->policy);
}

/* Room for one more element, zeroed. NULL: out of memory. */
static void *one_more(void **array, size_t *n, size_t *max, size_t size)
{
    if (*n == *max) {
        size_t more = *max ? *max * 2 : 16;
        void *grown = realloc(*array, more * size); /* as many as rows fit into a store */
        if (!grown)
            return NULL;
        *array = grown;
        *max = more;
    }
    void *at = (char *)*array + (*n)++ * size;
    memset(at, 0, size);
    return at;
}

#define ONE_MORE(dir, what)                                                                        \
    one_more((void **)&(dir)->what, &(dir)->n_##what, &(dir)->max_##what, sizeof *(dir)->what)

/* The rows of a list as they come; rows.arena is cleared behind each. */
struct load {
    struct bk_directory *dir;
    struct bk_arena row;
    int error;
};

static struct bk_view keep(struct load *load, struct bk_view v)
{
    struct bk_view copy = bk_arena_copy(&load->dir->arena, v);
    if (v.len && !copy.at)
        load->error = -ENOMEM;
    return copy;
}

static bool take_tenant(void *ctx, const struct bk_tenant *row)
{
    struct load *load = ctx;
    struct bk_tenant *t = ONE_MORE(load->dir, tenants);
    if (!t) {
        load->error = -ENOMEM;
        return false;
    }
    *t = *row;
    t->name = keep(load, row->name);
    t->plan = keep(load, row->plan);
    bk_arena_clear(&load->row);
    return load->error == 0;
}

static bool take_domain(void *ctx, const struct bk_domain *row)
{
    struct load *load = ctx;
    struct bk_domain *d = ONE_MORE(load->dir, domains);
    if (!d) {
        load->error = -ENOMEM;
        return false;
    }
    *d = (struct bk_domain){ keep(load, row->name), row->tenant_id };
    bk_arena_clear(&load->row);
    return load->error == 0;
}

/* A value of another version, or one that the row no longer allows, is passed over: the next scope counts. */
static bool take_policy(void *ctx, const struct bk_policy_value *row)
{
    struct load *load = ctx;
    struct value v = { 0 };
    uint64_t n = 0;
    while (!bk_view_equal(row->scope, bk_view_of_str(scope_names[v.scope])))
        if (v.scope++ == SCOPE_GLOBAL)
            return true;
    if (bk_policy_find(row->key, &v.policy) < 0)
        return true;
    struct bk_view text = spelled(&rows[v.policy], row->value);
    if (!text.len)
        return true;
    v.name = keep(load, row->name);
    v.text = keep(load, text);
    if (rows[v.policy].kind == BK_POLICY_NUMBER && bk_view_to_u64(text, INT64_MAX, &n) == 0)
        v.number = (int64_t)n;
    struct value *at = ONE_MORE(load->dir, values);
    if (at)
        *at = v;
    else
        load->error = -ENOMEM;
    bk_arena_clear(&load->row);
    return load->error == 0;
}

static void sort(void *at, size_t n, size_t size, int (*compare)(const void *, const void *))
{
    if (n)
        qsort(at, n, size, compare);
}

int bk_directory_load(struct bk_store *store, struct bk_directory **ret)
{
    struct load load = { .dir = calloc(1, sizeof *load.dir) };
    struct bk_directory *dir = load.dir;
    if (!dir)
        return -ENOMEM;
    atomic_init(&dir->refs, 1);
    int r = bk_store_tenants(store, &load.row, take_tenant, &load);
    if (r >= 0 && load.error == 0)
        r = bk_store_domains(store, &load.row, take_domain, &load);
    if (r >= 0 && load.error == 0)
        r = bk_store_policies(store, &load.row, take_policy, &load);
    bk_arena_finish(&load.row);
    if (load.error)
        r = load.error;
    if (r < 0) {
        bk_directory_unref(dir);
        return r;
    }
    sort(dir->tenants, dir->n_tenants, sizeof *dir->tenants, compare_tenants);
    sort(dir->domains, dir->n_domains, sizeof *dir->domains, compare_domains);
    sort(dir->values, dir->n_values, sizeof *dir->values, compare_values);
    *ret = dir;
    return 0;
}

struct bk_directory *bk_directory_ref(struct bk_directory *dir)
{
    if (dir)
        atomic_fetch_add_explicit(&dir->refs, 1, memory_order_relaxed);
    return dir;
}

struct bk_directory *bk_directory_unref(struct bk_directory *dir)
{
    if (!dir || atomic_fetch_sub_explicit(&dir->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    bk_arena_finish(&dir->arena);
    free(dir->tenants);
    free(dir->domains);
    free(dir->values);
    free(dir);
    return NULL;
}

const struct bk_tenant *bk_directory_tenant(const struct bk_directory *dir, int64_t id)
{
    struct bk_tenant key = { .id = id };
    if (!dir->n_tenants)
        return NULL;
    return bsearch(&key, dir->tenants, dir->n_tenants, sizeof key, compare_tenants);
}

const struct bk_tenant *bk_directory_tenant_of(const struct bk_directory *dir,
                                               struct bk_view domain)
{
    struct bk_domain key = { .name = domain };
    if (!dir->n_domains)
        return NULL;
    const struct bk_domain *found =
        bsearch(&key, dir->domains, dir->n_domains, sizeof key, compare_domains);
    return found ? bk_directory_tenant(dir, found->tenant_id) : NULL;
}

size_t bk_directory_domains(const struct bk_directory *dir)
{
    return dir->n_domains;
}

struct bk_view bk_directory_domain_at(const struct bk_directory *dir, size_t index)
{
    return index < dir->n_domains ? dir->domains[index].name : (struct bk_view){ 0 };
}

/* ---- did you mean ---- */
enum { NAME_MAX_LEN = 255, FAR = 4 };

/*
 * Edits (insert, drop, change, swap two neighbours) from a to b, FAR where there are that many or more. Only the band
 * around the diagonal can be nearer than that, and a stranger chooses a: so no more than the band is looked at, and
 * not a row more than needed.
 */
static int distance(struct bk_view a, struct bk_view b)
{
    uint8_t row[3][NAME_MAX_LEN + 1];
    size_t longer = a.len > b.len ? a.len - b.len : b.len - a.len;
    if (a.len > NAME_MAX_LEN || b.len > NAME_MAX_LEN || longer >= FAR)
        return FAR;
    memset(row, FAR, sizeof row);
    for (size_t j = 0; j < FAR && j <= b.len; j++)
        row[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= a.len; i++) {
        uint8_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        size_t from = i > FAR ? i - FAR : 1, to = i + FAR < b.len ? i + FAR : b.len;
        int best = FAR;
        now[0] = i < FAR ? (uint8_t)i : FAR;
        if (from > 1)
            now[from - 1] = FAR;
        for (size_t j = from; j <= to; j++) {
            int d = last[j - 1] + (a.at[i - 1] != b.at[j - 1]);
            if (last[j] + 1 < d)
                d = last[j] + 1;
            if (now[j - 1] + 1 < d)
                d = now[j - 1] + 1;
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1] &&
                before[j - 2] + 1 < d)
                d = before[j - 2] + 1;
            now[j] = d < FAR ? (uint8_t)d : FAR;
            if (now[j] < best)
                best = now[j];
        }
        if (to < b.len)
            now[to + 1] = FAR;
        if (now[0] < best)
            best = now[0];
        if (best >= FAR)
            return FAR;
    }
    return row[a.len % 3][b.len];
}

struct bk_view bk_directory_nearest_domain(const struct bk_directory *dir, struct bk_view domain)
{
    /* A short name with two letters changed is another name, not a slip. */
    int best = domain.len < 6 ? 2 : domain.len < 12 ? 3 : FAR;
    struct bk_view nearest = { 0 };
    for (size_t i = 0; i < dir->n_domains && best > 0; i++) {
        int d = distance(domain, dir->domains[i].name);
        if (d < best) {
            best = d;
            nearest = dir->domains[i].name;
        }
    }
    return nearest;
}

/* ---- policies ---- */
static const struct value *value_in(const struct bk_directory *dir, enum scope scope,
                                    struct bk_view name, enum bk_policy policy)
{
    struct value key = { .scope = scope, .name = name, .policy = policy };
    if (!dir->n_values || (scope != SCOPE_GLOBAL && !name.len))
        return NULL;
    return bsearch(&key, dir->values, dir->n_values, sizeof key, compare_values);
}

/* The value that counts; NULL: the default. */
static const struct value *value_of(const struct bk_directory *dir, const struct bk_user *user,
                                    enum bk_policy policy)
{
    const struct value *v = user ? value_in(dir, SCOPE_USER, user->policy, policy) : NULL;
    if (!v && user)
        v = value_in(dir, SCOPE_SITE, user->site, policy);
    return v ? v : value_in(dir, SCOPE_GLOBAL, (struct bk_view){ 0 }, policy);
}

int64_t bk_policy_number(const struct bk_directory *dir, const struct bk_user *user,
                         enum bk_policy policy)
{
    const struct value *v = value_of(dir, user, policy);
    return v ? v->number : strtoll(rows[policy].fallback, NULL, 10);
}

struct bk_view bk_policy_choice(const struct bk_directory *dir, const struct bk_user *user,
                                enum bk_policy policy)
{
    const struct value *v = value_of(dir, user, policy);
    return v ? v->text : bk_view_of_str(rows[policy].fallback);
}

bool bk_policy_switch(const struct bk_directory *dir, const struct bk_user *user,
                      enum bk_policy policy)
{
    return bk_view_equal(bk_policy_choice(dir, user, policy), BK_VIEW("on"));
}

struct bk_view bk_policy_origin(const struct bk_directory *dir, const struct bk_user *user,
                                enum bk_policy policy, struct bk_arena *arena)
{
    const struct value *v = value_of(dir, user, policy);
    if (!v)
        return BK_VIEW("default");
    if (v->scope == SCOPE_GLOBAL)
        return BK_VIEW("global");
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_buf_addf(&text, "%s:%.*s", scope_names[v->scope], BK_VIEW_ARGS(v->name));
    return bk_arena_copy(arena, bk_buf_view(&text));
}
