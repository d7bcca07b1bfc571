/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A header field that is taken names only bytes of itself and stays inside its limits; written again as a leg it reads the same; and
 * it signs nothing.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "ms/sa.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_inside(struct bk_view part, struct bk_view whole, size_t max)
{
    if (part.len > max ||
        (part.len && (part.at < whole.at || part.at + part.len > whole.at + whole.len)))
        abort();
}

static void expect_no_signature(const struct bk_sa_header *h)
{
    static const char text[] =
        "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1\r\n"
        "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1\r\n"
        "CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n";
    static struct bk_sip_msg msg;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    struct bk_sa_config config = { .scheme = h->scheme,
                                   .server = true,
                                   .opaque = h->opaque,
                                   .realm = h->realm,
                                   .targetname = h->targetname };
    struct bk_sa *sa;
    bk_random_fill(&bk_random_system, &config.keys, sizeof config.keys);
    if (bk_sip_msg_parse(&msg, bk_view_of_str(text), &fault) < 0 ||
        bk_sip_msg_check(&msg, &head, &fault) < 0 || bk_sa_create(&config, &sa) < 0)
        abort();
    enum bk_sa_verdict verdict = bk_sa_verify(sa, &msg, &head, h);
    if (verdict == BK_SA_GOOD || verdict == BK_SA_REPLAYED)
        abort();
    bk_sa_destroy(sa);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view value = { (const char *)data, size };
    BK_AUTO_BUF struct bk_buf token = { 0 }, again = { 0 };
    struct bk_sa_header h, second;

    if (bk_sa_header_parse(value, &h) < 0)
        return 0;
    expect_inside(h.opaque, value, BK_SA_TEXT_MAX);
    expect_inside(h.realm, value, BK_SA_TEXT_MAX);
    expect_inside(h.targetname, value, BK_SA_TEXT_MAX);
    expect_inside(h.gssapi_data, value, BK_SA_DATA_MAX);
    expect_inside(h.rand, value, 16);
    expect_inside(h.num, value, 10);
    expect_inside(h.signature, value, 2 * BK_SA_MAC_MAX);
    expect_no_signature(&h);
    if (bk_base64_decode(h.gssapi_data, &token) < 0)
        return 0;
    struct bk_view leg = token.at ? bk_buf_view(&token) : BK_VIEW("");
    bk_sa_answer_write(&again, h.scheme, h.opaque, h.realm, h.targetname,
                       h.gssapi_data.at ? leg : (struct bk_view){ 0 });
    if (again.failed || bk_sa_header_parse(bk_buf_view(&again), &second) < 0 ||
        second.scheme != h.scheme || !bk_view_equal(second.opaque, h.opaque) ||
        !bk_view_equal(second.realm, h.realm) || !bk_view_equal(second.targetname, h.targetname) ||
        !bk_view_equal(second.gssapi_data, h.gssapi_data) ||
        !second.gssapi_data.at != !h.gssapi_data.at)
        abort();
    return 0;
}
