/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes what beckond needs to serve one domain: a store with accounts and their device passwords, an
 * authority, a certificate for the domain, localhost and 127.0.0.1. For tests of beckond alone;
 * administrators have beckonctl init.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "server/authority.h"
#include "sip/digest.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

enum { CERTIFICATE_DAYS = 2 };

static void must(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "make_domain: %s: %s\n", what, r < 0 ? strerror(-r) : "not done");
    exit(1);
}

static void set_result(void *ctx, int result)
{
    *(int *)ctx = result;
}

static void commit(struct bk_store *store, struct bk_store_batch *batch)
{
    int result = 1;
    must(bk_store_commit(store, batch, set_result, &result), "commit");
    bk_store_pump(store);
    must(result, "commit");
}

static void write_file(const char *folder, const char *name, struct bk_view bytes)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    must(bk_file_replace(path, bytes, 0600), path);
}

static void make_certificates(struct bk_store *store, const char *folder, struct bk_view domain,
                              int64_t now)
{
    BK_AUTO_BUF struct bk_buf ca_key = { 0 }, ca = { 0 }, key = { 0 }, certificate = { 0 };
    const struct bk_view names[] = { domain, BK_VIEW("localhost"), BK_VIEW("127.0.0.1") };
    struct bk_authority *authority;
    const char *why = "authority";

    must(bk_authority_make(domain, now, &ca_key, &ca), "authority");
    must(bk_authority_load(bk_buf_view(&ca_key), bk_buf_view(&ca), &authority, &why), why);
    must(bk_authority_server_certificate(authority, names, BK_COUNT_OF(names), now,
                                         CERTIFICATE_DAYS, &key, &certificate),
         "certificate");
    bk_authority_destroy(authority);
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_secret(batch, BK_VIEW("authority.key"), bk_buf_view(&ca_key));
    bk_store_put_secret(batch, BK_VIEW("authority.crt"), bk_buf_view(&ca));
    commit(store, batch);
    write_file(folder, "ca.pem", bk_buf_view(&ca));
    write_file(folder, "server.key", bk_buf_view(&key));
    write_file(folder, "server.crt", bk_buf_view(&certificate));
}

/* text: name:password:algorithm */
static void make_account(struct bk_store *store, int64_t tenant_id, const char *domain, char *text,
                         int64_t now)
{
    char *name = strsep(&text, ":"), *password = strsep(&text, ":"), address[256];
    char ha1_user[BK_DIGEST_HEX_MAX + 1], ha1_address[BK_DIGEST_HEX_MAX + 1];
    if (!password || !text) {
        fputs("make_domain: an account is name:password:algorithm\n", stderr);
        exit(2);
    }
    enum bk_digest_algorithm algorithm = bk_digest_algorithm_of(bk_view_of_str(text));
    snprintf(address, sizeof address, "%s@%s", name, domain);
    bk_digest_ha1(algorithm, bk_view_of_str(name), bk_view_of_str(domain), bk_view_of_str(password),
                  ha1_user);
    bk_digest_ha1(algorithm, bk_view_of_str(address), bk_view_of_str(domain),
                  bk_view_of_str(password), ha1_address);
    struct bk_user user = { .tenant_id = tenant_id,
                            .address = bk_view_of_str(address),
                            .display_name = bk_view_of_str(name),
                            .enabled = true,
                            .licensed = true,
                            .created_at = now };
    struct bk_device_password device = { .label = BK_VIEW("interop"),
                                         .algorithm = bk_view_of_str(text),
                                         .ha1_user = bk_view_of_str(ha1_user),
                                         .ha1_address = bk_view_of_str(ha1_address),
                                         .created_at = now };
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_user(batch, &user);
    bk_store_put_device_password(batch, user.address, &device);
    commit(store, batch);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: make_domain FOLDER DOMAIN [NAME:PASSWORD:ALGORITHM...]\n", stderr);
        return 2;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/beckon.db", argv[1]);
    struct bk_store_config config = { .path = path, .clock = &bk_clock_system };
    struct bk_store *store;
    const char *why = NULL;
    int r = bk_store_open(&config, &store, &why);
    must(r, why ? why : path);

    int64_t now = bk_clock_real_ms(&bk_clock_system);
    struct bk_tenant tenant = { .name = BK_VIEW("main"), .plan = BK_VIEW("standard") };
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_tenant(batch, &tenant);
    bk_store_put_domain(batch, bk_view_of_str(argv[2]), tenant.name);
    commit(store, batch);
    make_certificates(store, argv[1], bk_view_of_str(argv[2]), now);

    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    must(bk_store_tenant_by_name(store, tenant.name, &arena, &tenant), "tenant");
    for (int i = 3; i < argc; i++)
        make_account(store, tenant.id, argv[2], argv[i], now);
    bk_store_close(store);
    return 0;
}
