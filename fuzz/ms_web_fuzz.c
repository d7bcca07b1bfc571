/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever is posted to the web services of the Lync dialect: a request that is taken for a ticket gives an answer that is read back as
 * that ticket; no bytes are a ticket of ours or are signed by one; what a certificate request says is signed lies within what came; what
 * is told again in an answer leaves it well-formed.
 */
#include "base/text.h"
#include "ms/autodiscover.h"
#include "ms/certprov.h"
#include "ms/mex.h"
#include "ms/webroad.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t now_ms = 1795325615000;
static const struct bk_ms_ticket_key key = { "nobody who writes inputs has it." };

static void need(bool holds)
{
    if (!holds)
        abort();
}

static const struct bk_ms_ws *well_formed(struct bk_view text, struct bk_arena *arena)
{
    const struct bk_ms_ws *root;
    const char *why;
    need(bk_ms_ws_parse(text, arena, &root, &why) == 0);
    return root;
}

static void ticket_for(const struct bk_ms_rst *request, struct bk_arena *arena)
{
    struct bk_random_seeded seeded;
    struct bk_random dice = bk_random_from_seed(&seeded, 1);
    struct bk_buf answer = { 0 };
    struct bk_ms_ticket t;
    struct bk_view host;
    bool good_entropy = !request->entropy.len || (request->entropy.len >= BK_MS_ENTROPY_MIN &&
                                                  request->entropy.len <= BK_MS_ENTROPY_MAX);
    int r = bk_ms_ticket_issue(&key, &dice, request, bk_ms_service_of(request->applies_to, &host),
                               BK_VIEW("https://srv.example.com"), 7, BK_VIEW("ann@example.com"),
                               now_ms, &answer);
    need((r == 0) == good_entropy);
    if (r == 0) {
        const struct bk_ms_ws *root = well_formed(bk_buf_view(&answer), arena);
        const struct bk_ms_ws *response = bk_ms_ws_at(
            root, "Body/RequestSecurityTokenResponseCollection/RequestSecurityTokenResponse");
        const struct bk_ms_ws *assertion =
            bk_ms_ws_at(response, "RequestedSecurityToken/Assertion");
        need(bk_ms_ticket_read(&key, assertion, now_ms, arena, &t) == BK_MS_TICKET_GOOD);
        need(t.user_id == 7 && t.has_proof == (request->entropy.len > 0));
        need(bk_view_equal(t.address, BK_VIEW("ann@example.com")));
        need(bk_view_equal(bk_ms_ws_text(assertion, "Conditions/AudienceRestrictionCondition/"
                                                    "Audience"),
                           request->applies_to));
    }
    bk_buf_finish(&answer);
}

static bool within(struct bk_view part, struct bk_view whole)
{
    return part.at >= whole.at && part.at + part.len <= whole.at + whole.len && part.len &&
           part.at[0] == '<' && part.at[part.len - 1] == '>';
}

static void certificate_for(const struct bk_ms_cert_request *r, struct bk_view input,
                            struct bk_arena *arena)
{
    struct bk_ms_ticket t = { .id = "SamlSecurityToken-3bb2143b72b09038", .has_proof = true };
    struct bk_buf answer = { 0 };
    need(within(r->timestamp, input) && within(r->signed_info, input));
    need(r->digest.len == 20 && r->signature.len == 20 && r->csr.len && r->entity.len);
    need(!bk_ms_cert_verify(r, &t));
    need(bk_ms_ticket_read(&key, r->assertion, now_ms, arena, &t) != BK_MS_TICKET_GOOD);
    bk_ms_cert_answer(r, r->csr, &answer);
    const struct bk_ms_ws *root = well_formed(bk_buf_view(&answer), arena);
    need(bk_ms_ws_at(root, "Body/GetAndPublishCertResponse/RequestSecurityTokenResponse/"
                           "RequestedSecurityToken/BinarySecurityToken") != NULL);
    bk_buf_finish(&answer);
}

/* What comes to a client: an answer or a fault, and what it makes of a ticket is a request of that ticket. */
static void client_reads(struct bk_view input, struct bk_arena *arena)
{
    struct bk_view a, b;
    struct bk_ms_road_fault fault = { 0 };
    struct bk_ms_road_ticket ticket;
    if (bk_ms_road_certprov(input, arena, &a, &b, &fault) == 0)
        need(a.len && b.len);
    if (bk_ms_road_webticket(input, arena, &a, &fault) == 0)
        need(a.len);
    if (bk_ms_road_certificate(input, arena, &a, &fault) == 0)
        need(a.len);
    struct bk_ms_autodiscover places;
    const char *why = NULL;
    int r = bk_ms_autodiscover_parse(input, arena, &places, &why);
    need(r == 0 || why);
    if (r == 0)
        need(places.redirect.len || places.domain.len || places.user.len || places.inside.port ||
             places.outer.port);
    if (r == 0)
        need((places.inside.port != 0) == (places.inside.host.len != 0) &&
             (places.outer.port != 0) == (places.outer.host.len != 0));
    if (bk_ms_road_ticket(input, BK_VIEW("0123456789abcdef"), arena, &ticket, &fault) < 0)
        return;
    need(ticket.id.len && ticket.assertion.len && ticket.lifetime.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view input = { (const char *)data, size };
    struct bk_arena arena = { 0 };
    struct bk_ms_rst request;
    struct bk_ms_cert_request cert;
    struct bk_ms_ticket t;
    struct bk_buf fault = { 0 };
    const char *why = NULL;

    int r = bk_ms_rst_parse(input, &arena, &request, &why);
    need(r == 0 || why);
    if (r == 0)
        ticket_for(&request, &arena);
    why = NULL;
    r = bk_ms_cert_request_parse(input, &arena, &cert, &why);
    need(r == 0 || why);
    if (r == 0)
        certificate_for(&cert, input, &arena);
    need(bk_ms_autodiscover_ticket(&key, input, now_ms, &arena, &t) != BK_MS_TICKET_GOOD);

    client_reads(input, &arena);
    bk_ms_ws_fault(&fault, 1, bk_view_head(input, 4096));
    well_formed(bk_buf_view(&fault), &arena);
    bk_buf_finish(&fault);
    bk_arena_finish(&arena);
    return 0;
}
