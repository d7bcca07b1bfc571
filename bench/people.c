/* SPDX-License-Identifier: Apache-2.0 */
/*
 * people: a new store for bench/compare, with one domain and many people in it.
 *
 * Each has an MD5 device password of one known text, so that Beckon and the servers beside it are
 * asked the same. Written straight through the store's contract: ten thousand people take a
 * second, and what is measured later is the server, not its administration.
 *
 *   people STORE DOMAIN COUNT PASSWORD
 */
#include "base/cleanup.h"
#include "server/authority.h"
#include "server/directory.h"
#include "sip/digest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 500, COUNT_MAX = 1000000 };

static void must(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "people: %s: %s\n", what, strerror(-r));
    exit(1);
}

static void on_done(void *ctx, int result)
{
    *(int *)ctx = result;
}

static void commit(struct bk_store *store, struct bk_store_batch *batch)
{
    int result = -EINPROGRESS;
    must(bk_store_commit(store, batch, on_done, &result), "store");
    bk_store_pump(store);
    must(result, "store");
}

static void found(struct bk_store *store, struct bk_view domain)
{
    struct bk_store_batch *batch = bk_store_batch_create();
    struct bk_policy_value cleartext = { .scope = BK_VIEW("global"),
                                         .key = BK_VIEW("cleartext-signin"),
                                         .value = BK_VIEW("on") };
    BK_AUTO_BUF struct bk_buf key = { 0 }, certificate = { 0 };
    bk_store_put_tenant(batch, &(struct bk_tenant){ .name = domain, .plan = BK_VIEW("standard") });
    bk_store_put_domain(batch, domain, domain);
    bk_store_put_policy(batch, &cleartext); /* for runs over TCP and UDP */
    must(bk_authority_make(domain, bk_clock_real_ms(&bk_clock_system), &key, &certificate),
         "authority");
    bk_store_put_secret(batch, BK_VIEW("authority.key"), bk_buf_view(&key));
    bk_store_put_secret(batch, BK_VIEW("authority.crt"), bk_buf_view(&certificate));
    commit(store, batch);
}

static void add(struct bk_store_batch *batch, int64_t tenant, struct bk_view domain,
                struct bk_view password, unsigned number)
{
    char name[24], address[320], ha1_user[BK_DIGEST_HEX_MAX + 1],
        ha1_address[BK_DIGEST_HEX_MAX + 1];
    snprintf(name, sizeof name, "u%u", number);
    snprintf(address, sizeof address, "%s@%.*s", name, BK_VIEW_ARGS(domain));
    must(bk_digest_ha1(BK_DIGEST_MD5, bk_view_of_str(name), domain, password, ha1_user), "digest");
    must(bk_digest_ha1(BK_DIGEST_MD5, bk_view_of_str(address), domain, password, ha1_address),
         "digest");
    bk_store_put_user(batch, &(struct bk_user){ .tenant_id = tenant,
                                                .address = bk_view_of_str(address),
                                                .username = bk_view_of_str(address),
                                                .display_name = bk_view_of_str(name),
                                                .enabled = true,
                                                .licensed = true });
    bk_store_put_device_password(
        batch, bk_view_of_str(address),
        &(struct bk_device_password){ .label = BK_VIEW("bench"),
                                      .algorithm = BK_VIEW("MD5"),
                                      .ha1_user = bk_view_of_str(ha1_user),
                                      .ha1_address = bk_view_of_str(ha1_address) });
}

int main(int argc, char **argv)
{
    uint64_t count;
    if (argc != 5 || bk_view_to_u64(bk_view_of_str(argv[3]), COUNT_MAX, &count) < 0) {
        fprintf(stderr, "usage: people STORE DOMAIN COUNT PASSWORD\n");
        return 2;
    }
    struct bk_view domain = bk_view_of_str(argv[2]);
    struct bk_store_config config = { .path = argv[1], .clock = &bk_clock_system };
    struct bk_store *store;
    struct bk_directory *directory;
    const char *why = NULL;
    must(bk_store_open(&config, &store, &why), why ? why : argv[1]);
    found(store, domain);
    must(bk_directory_load(store, &directory), "directory");
    int64_t tenant = bk_directory_tenant_of(directory, domain)->id;
    for (unsigned number = 0; number < count;) {
        struct bk_store_batch *batch = bk_store_batch_create();
        for (int i = 0; batch && i < BATCH && number < count; i++)
            add(batch, tenant, domain, bk_view_of_str(argv[4]), number++);
        commit(store, batch);
    }
    bk_directory_unref(directory);
    bk_store_close(store);
    return 0;
}
