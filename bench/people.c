/* SPDX-License-Identifier: Apache-2.0 */
/*
 * people: a new store for bench/compare, with one domain and many people in it.
 *
 * Each has an MD5 device password of one known text, so that Beckon and the servers beside it are
 * asked the same. Written straight through the store's contract: ten thousand people take a
 * second, and what is measured later is the server, not its administration.
 *
 * With a folder behind them they can sign in as the Lync dialect does, too: by NTLM, which policy
 * lets them, and by TLS-DSK with the certificate that ADDRESS.pem in that folder holds. One key is
 * shared by all: making thousands takes minutes, and the server cannot tell.
 *
 *   people STORE DOMAIN COUNT PASSWORD [FOLDER]
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "ms/ntlm.h"
#include "server/authority.h"
#include "server/directory.h"
#include "sip/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
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

static void found(struct bk_store *store, struct bk_view domain, bool lync)
{
    struct bk_store_batch *batch = bk_store_batch_create();
    struct bk_policy_value cleartext = { .scope = BK_VIEW("global"),
                                         .key = BK_VIEW("cleartext-signin"),
                                         .value = BK_VIEW("on") };
    struct bk_policy_value ntlm = { .scope = BK_VIEW("global"),
                                    .key = BK_VIEW("ntlm-signin"),
                                    .value = BK_VIEW("on") };
    BK_AUTO_BUF struct bk_buf key = { 0 }, certificate = { 0 };
    bk_store_put_tenant(batch, &(struct bk_tenant){ .name = domain, .plan = BK_VIEW("standard") });
    bk_store_put_domain(batch, domain, domain);
    bk_store_put_policy(batch, &cleartext); /* for runs over TCP and UDP */
    if (lync)
        bk_store_put_policy(batch, &ntlm);
    must(bk_authority_make(domain, bk_clock_real_ms(&bk_clock_system), &key, &certificate),
         "authority");
    bk_store_put_secret(batch, BK_VIEW("authority.key"), bk_buf_view(&key));
    bk_store_put_secret(batch, BK_VIEW("authority.crt"), bk_buf_view(&certificate));
    commit(store, batch);
}

static void add(struct bk_store_batch *batch, int64_t tenant, struct bk_view domain,
                struct bk_view password, const uint8_t *nt_hash, unsigned number)
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
    if (nt_hash)
        bk_store_put_nt_hash(batch, bk_view_of_str(address), nt_hash);
}

/* ---- certificates ---- */

static void write_pem(BIO *bio, struct bk_buf *to)
{
    char *at;
    long len = BIO_get_mem_data(bio, &at);
    bk_buf_add(to, at, (size_t)len);
}

/* RSA, which the inner TLS of old clients asks for, and the request for a certificate of it. */
static void make_request(struct bk_buf *ret_key, struct bk_buf *ret_request)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509_REQ *request = X509_REQ_new();
    BIO *key_bio = BIO_new(BIO_s_mem()), *request_bio = BIO_new(BIO_s_mem());
    if (!key || !request || !key_bio || !request_bio || X509_REQ_set_pubkey(request, key) != 1 ||
        X509_REQ_sign(request, key, EVP_sha256()) <= 0 ||
        PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509_REQ(request_bio, request) != 1)
        must(-EIO, "key");
    write_pem(key_bio, ret_key);
    write_pem(request_bio, ret_request);
    BIO_free(key_bio);
    BIO_free(request_bio);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
}

struct issuer {
    struct bk_authority *authority;
    struct bk_view key, request;
    const char *folder;
};

static void issue(const struct issuer *issuer, struct bk_store *store, struct bk_store_batch *batch,
                  struct bk_view domain, unsigned number)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    BK_AUTO_BUF struct bk_buf pem = { 0 };
    struct bk_user user;
    struct bk_issued issued;
    const char *why = "certificate";
    char address[320], path[800];
    int64_t now = bk_clock_real_ms(&bk_clock_system);
    snprintf(address, sizeof address, "u%u@%.*s", number, BK_VIEW_ARGS(domain));
    snprintf(path, sizeof path, "%s/%s.pem", issuer->folder, address);
    must(bk_store_user(store, bk_view_of_str(address), &arena, &user), "person");
    must(bk_authority_issue(issuer->authority, issuer->request, bk_view_of_str(address), now,
                            INT64_C(86400000) * 30, &bk_random_system, &pem, &issued, &why),
         why);
    bk_store_put_certificate(
        batch, &(struct bk_certificate){ .serial = bk_view_of_str(issued.serial),
                                         .user_id = user.id,
                                         .device_id = BK_VIEW("bench"),
                                         .device_name = BK_VIEW("bench"),
                                         .device_kind = BK_VIEW("lync"),
                                         .fingerprint = bk_view_of_str(issued.fingerprint),
                                         .issued_at = now,
                                         .not_before = issued.not_before,
                                         .not_after = issued.not_after });
    bk_buf_add_view(&pem, issuer->key);
    must(pem.failed ? -ENOMEM : bk_file_replace(path, bk_buf_view(&pem), 0600), path);
}

static void issue_all(struct bk_store *store, struct bk_view domain, unsigned count,
                      const char *folder)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    BK_AUTO_BUF struct bk_buf key = { 0 }, request = { 0 };
    struct issuer issuer = { .folder = folder };
    struct bk_view root_key, root;
    const char *why = "authority";
    must(bk_store_secret(store, BK_VIEW("authority.key"), &arena, &root_key), "authority");
    must(bk_store_secret(store, BK_VIEW("authority.crt"), &arena, &root), "authority");
    must(bk_authority_load(root_key, root, &issuer.authority, &why), why);
    make_request(&key, &request);
    issuer.key = bk_buf_view(&key);
    issuer.request = bk_buf_view(&request);
    for (unsigned number = 0; number < count;) {
        struct bk_store_batch *batch = bk_store_batch_create();
        for (int i = 0; batch && i < BATCH && number < count; i++)
            issue(&issuer, store, batch, domain, number++);
        commit(store, batch);
    }
    bk_authority_destroy(issuer.authority);
}

int main(int argc, char **argv)
{
    uint64_t count;
    if (argc < 5 || argc > 6 || bk_view_to_u64(bk_view_of_str(argv[3]), COUNT_MAX, &count) < 0) {
        fprintf(stderr, "usage: people STORE DOMAIN COUNT PASSWORD [FOLDER]\n");
        return 2;
    }
    struct bk_view domain = bk_view_of_str(argv[2]);
    struct bk_store_config config = { .path = argv[1], .clock = &bk_clock_system };
    struct bk_store *store;
    struct bk_directory *directory;
    const char *why = NULL;
    must(bk_store_open(&config, &store, &why), why ? why : argv[1]);
    uint8_t nt_hash[BK_NTLM_HASH_SIZE];
    bool lync = argc == 6;
    if (lync)
        must(bk_ntlm_hash(bk_view_of_str(argv[4]), nt_hash), "password");
    found(store, domain, lync);
    must(bk_directory_load(store, &directory), "directory");
    int64_t tenant = bk_directory_tenant_of(directory, domain)->id;
    for (unsigned number = 0; number < count;) {
        struct bk_store_batch *batch = bk_store_batch_create();
        for (int i = 0; batch && i < BATCH && number < count; i++)
            add(batch, tenant, domain, bk_view_of_str(argv[4]), lync ? nt_hash : NULL, number++);
        commit(store, batch);
    }
    if (lync)
        issue_all(store, domain, (unsigned)count, argv[5]);
    bk_directory_unref(directory);
    bk_store_close(store);
    return 0;
}
