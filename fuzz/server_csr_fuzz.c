/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever is handed in as a certificate request: either it is refused with a reason, by the check as by the issue, or the
 * certificate made of it reads back as ours, for the address asked for. The same bytes as a certificate never read as
 * ours, and what is read of them is well-formed.
 */
#include "base/buf.h"
#include "server/authority.h"

#include <openssl/pem.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t now_ms = 1795325164000;

static struct bk_authority *authority(void)
{
    static struct bk_authority *a;
    struct bk_buf key = { 0 }, cert = { 0 };
    const char *why;
    if (!a && (bk_authority_make(BK_VIEW("example.org"), now_ms, &key, &cert) < 0 ||
               bk_authority_load(bk_buf_view(&key), bk_buf_view(&cert), &a, &why) < 0))
        abort();
    bk_buf_finish(&key);
    bk_buf_finish(&cert);
    return a;
}

static void check_issued(struct bk_view pem, const struct bk_issued *issued)
{
    struct bk_personal p;
    BIO *in = BIO_new_mem_buf(pem.at, (int)pem.len);
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
    unsigned char *der = NULL;
    int n = cert ? i2d_X509(cert, &der) : -1;
    if (n <= 0 ||
        bk_authority_read(authority(), (struct bk_view){ (char *)der, (size_t)n }, &p) < 0)
        abort();
    if (!p.ours || strcmp(p.address, "ann@example.org") != 0 ||
        strcmp(p.serial, issued->serial) != 0 || strcmp(p.fingerprint, issued->fingerprint) != 0)
        abort();
    OPENSSL_free(der);
    X509_free(cert);
    BIO_free(in);
}

static void check_certificate(struct bk_view der)
{
    struct bk_personal p;
    if (bk_authority_read(authority(), der, &p) < 0)
        return;
    if (p.ours || strlen(p.fingerprint) != 64 || strlen(p.serial) < 32 || strlen(p.serial) % 2)
        abort();
    for (const char *c = p.address; *c; c++)
        if (*c <= ' ' || *c > '~' || (*c >= 'A' && *c <= 'Z'))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view input = { (const char *)data, size };
    const char *why = NULL, *why_issue = NULL;
    struct bk_buf pem = { 0 };
    struct bk_issued issued;
    int r = bk_authority_check_request(input, &why);
    int r_issue = bk_authority_issue(authority(), input, BK_VIEW("ann@example.org"), now_ms,
                                     8 * 3600 * 1000, &bk_random_system, &pem, &issued, &why_issue);
    if (r != r_issue || (r < 0 && (!why || why != why_issue || pem.len)))
        abort();
    if (r == 0)
        check_issued(bk_buf_view(&pem), &issued);
    bk_buf_finish(&pem);
    check_certificate(input);
    return 0;
}
