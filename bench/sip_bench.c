/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message costs before anybody decides anything: framed, split, looked at twice, forwarded as a proxy
 * forwards it, answered. Also the search for control bytes beside the plain loop it replaces. Processor time of this
 * thread, the median of the rounds.
 *
 *     meson setup -Dbuildtype=release release && ninja -C release bench/sip_bench && release/bench/sip_bench
 */
#include "base/buf.h"
#include "sip/build.h"
#include "sip/digest.h"
#include "sip/frame.h"
#include "sip/scan_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 9, TURNS = 20000 };

static double cpu_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

static void must(bool good)
{
    if (!good)
        abort();
}

/* What the steps work on; each leaves behind what the next one wants. */
struct work {
    struct bk_view bytes;
    struct bk_sip_msg msg;
    struct bk_sip_head head;
    struct bk_buf out;
    size_t sum; /* so that nothing is optimised away */
};

static void frame(struct work *w)
{
    struct bk_sip_frame f = { 0 };
    struct bk_sip_fault fault;
    size_t len = 0;
    must(bk_sip_frame_next(&f, w->bytes, BK_SIP_MESSAGE_BYTES_MAX, &len, &fault) ==
         BK_SIP_FRAME_MESSAGE);
    w->sum += len;
}

static void parse(struct work *w)
{
    struct bk_sip_fault fault;
    must(bk_sip_msg_parse(&w->msg, w->bytes, &fault) == 0);
    w->sum += (size_t)w->msg.n_fields;
}

static void check(struct work *w)
{
    struct bk_sip_fault fault;
    must(bk_sip_msg_check(&w->msg, &w->head, &fault) == 0);
    w->sum += w->head.cseq;
}

/* RFC 3261 16.6: next hop, one hop less, our Via, our Route taken off. */
static void forward(struct work *w)
{
    struct bk_sip_edit edit;
    bk_buf_clear(&w->out);
    bk_sip_edit_begin(&edit, &w->msg);
    bk_sip_edit_uri(&edit, BK_VIEW("sip:bob@192.0.2.9:49152;transport=tls;ob"));
    bk_sip_edit_insert(
        &edit, bk_sip_msg_field(&w->msg, BK_SIP_HDR_VIA),
        BK_VIEW("Via: SIP/2.0/TLS srv.example.org:5061;branch=z9hG4bKb3c0n.7f00.1\r\n"));
    bk_sip_edit_value(&edit, bk_sip_msg_field(&w->msg, BK_SIP_HDR_MAX_FORWARDS), BK_VIEW("69"));
    const struct bk_sip_field *route = bk_sip_msg_field(&w->msg, BK_SIP_HDR_ROUTE);
    if (route)
        bk_sip_edit_pop(&edit, route);
    bk_sip_edit_write(&edit, &w->out);
    must(!w->out.failed);
    w->sum += w->out.len;
}

static void answer(struct work *w)
{
    static const struct bk_sip_source source = { { BK_VIEW_OF("192.0.2.1") }, 40000 };
    bk_buf_clear(&w->out);
    bk_sip_response_begin(&w->out, &w->msg, 200, (struct bk_view){ 0 }, BK_VIEW("b3c0n-7f"),
                          &source);
    bk_sip_end(&w->out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    must(!w->out.failed);
    w->sum += w->out.len;
}

static void all(struct work *w)
{
    frame(w);
    parse(w);
    check(w);
    forward(w);
}

static void digest(struct work *w)
{
    struct bk_digest_credentials c;
    must(bk_digest_credentials_parse(bk_sip_msg_value(&w->msg, BK_SIP_HDR_AUTHORIZATION), &c) == 0);
    w->sum += bk_digest_check(&c, BK_VIEW("REGISTER"), BK_VIEW("939e7578ed9e3c518a452acee763bce9"));
}

static size_t controls(const char *at, const char *stop,
                       const char *(*find)(const char *at, const char *stop))
{
    size_t n = 0;
    for (; (at = find(at, stop)) < stop; at++)
        n++;
    return n;
}

static const char *plain(const char *at, const char *stop)
{
    while (at < stop && (unsigned char)*at > 0x1f && *at != 0x7f)
        at++;
    return at;
}

static void head_scan(struct work *w)
{
    w->sum += controls(w->bytes.at, w->msg.body.at, bk_sip_find_control);
}

static void head_scan_plain(struct work *w)
{
    w->sum += controls(w->bytes.at, w->msg.body.at, plain);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, struct work *w, void (*step)(struct work *))
{
    double ns[ROUNDS];
    step(w);
    for (int r = 0; r < ROUNDS; r++) {
        double from = cpu_ns();
        for (int i = 0; i < TURNS; i++)
            step(w);
        ns[r] = (cpu_ns() - from) / TURNS;
    }
    qsort(ns, ROUNDS, sizeof *ns, by_size);
    printf("  %-44s %7.0f ns\n", name, ns[ROUNDS / 2]);
}

static void body_add(struct bk_buf *to, size_t len)
{
    static const char text[] = "The quick brown fox jumps over the lazy dog. ";
    for (size_t i = 0; i < len; i++)
        bk_buf_add_char(to, text[i % (sizeof text - 1)]);
}

static void make_message(struct bk_buf *to)
{
    bk_buf_add_lit(to, "MESSAGE sip:bob@example.org SIP/2.0\r\n"
                       "Via: SIP/2.0/TLS 192.0.2.1:49152;branch=z9hG4bK.1mDpN6tRz;rport\r\n"
                       "From: \"Ann Example\" <sip:ann@example.org>;tag=qeJ1vQnpm\r\n"
                       "To: <sip:bob@example.org>\r\n"
                       "CSeq: 21 MESSAGE\r\n"
                       "Call-ID: nMO5pQq3kT-6f1d0a2c7e\r\n"
                       "Max-Forwards: 70\r\n"
                       "Route: <sip:srv.example.org:5061;transport=tls;lr>\r\n"
                       "Supported: replaces, outbound, gruu\r\n"
                       "Date: Sun, 22 Nov 2026 16:00:00 GMT\r\n"
                       "User-Agent: Example/5.1.60 (Debian) eXosip2/5.1\r\n"
                       "Content-Type: text/plain; charset=UTF-8\r\n"
                       "Content-Length: 800\r\n"
                       "\r\n");
    body_add(to, 800);
}

static void make_register(struct bk_buf *to)
{
    bk_buf_add_lit(to,
                   "REGISTER sip:example.org SIP/2.0\r\n"
                   "Via: SIP/2.0/TLS 192.0.2.1:42962;branch=z9hG4bK248A5D1924E26B0EEA6B;rport\r\n"
                   "From: <sip:ann@example.org>;tag=4969433493;epid=cf0b98dadeb9\r\n"
                   "To: <sip:ann@example.org>\r\n"
                   "Max-Forwards: 70\r\n"
                   "CSeq: 2 REGISTER\r\n"
                   "User-Agent: Example/2.14.12 (linux-x86_64)\r\n"
                   "Call-ID: 9D27gA9AAaAD44i5A94m10D1tFE30b31D6x2936x\r\n"
                   "Contact: <sip:ann@192.0.2.1:42962;transport=tls>;methods=\"INVITE, MESSAGE, "
                   "INFO, SUBSCRIBE, "
                   "OPTIONS, BYE, CANCEL, NOTIFY, ACK, "
                   "REFER\";+sip.instance=\"<urn:uuid:b7878522-d7fe-5c33-b30d-"
                   "265f6618ae78>\"\r\n"
                   "Supported: gruu, outbound, path\r\n"
                   "Allow-Events: presence\r\n"
                   "Expires: 600\r\n"
                   "Authorization: Digest username=\"ann\", realm=\"example.org\", "
                   "nonce=\"00000001e240aabbccddeeff"
                   "00112233445566778899aabbccddeeff\", uri=\"sip:example.org\", "
                   "response=\"8ca523f5e9506fed4657c9"
                   "700eebdbec\", algorithm=MD5, cnonce=\"0a4f113b\", qop=auth, nc=00000001\r\n"
                   "Content-Length: 0\r\n"
                   "\r\n");
}

int main(void)
{
    static struct work w;
    struct bk_buf message = { 0 }, sign_in = { 0 };

    make_message(&message);
    w.bytes = bk_buf_view(&message);
    printf("MESSAGE of %zu bytes\n", w.bytes.len);
    measure("frame", &w, frame);
    measure("parse", &w, parse);
    measure("check", &w, check);
    measure("edit and render (5 edits)", &w, forward);
    measure("frame, parse, check, edit and render", &w, all);
    measure("answer 200", &w, answer);
    measure("control bytes of the head", &w, head_scan);
    measure("control bytes of the head, plain loop", &w, head_scan_plain);

    make_register(&sign_in);
    w.bytes = bk_buf_view(&sign_in);
    printf("REGISTER of %zu bytes\n", w.bytes.len);
    measure("frame", &w, frame);
    measure("parse", &w, parse);
    measure("check", &w, check);
    measure("digest read and checked", &w, digest);
    measure("answer 200", &w, answer);

    bk_buf_finish(&message);
    bk_buf_finish(&sign_in);
    bk_buf_finish(&w.out);
    return w.sum == 0;
}
