/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/webticket.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "base/xml.h"
#include "ms/xml.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAC_BYTES = 32, SHA1_BYTES = 20, TOKEN_MAX = 4096, TEXT_MAX = 1024 };

static const char saml[] = "urn:oasis:names:tc:SAML:1.0:assertion";
static const char wsu[] =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
static const char trust[] = "http://docs.oasis-open.org/ws-sx/ws-trust/200512";
/* Where in the assertion the covered half stands. */
static const char token_path[] = "AttributeStatement/Attribute/AttributeValue";

/* ---- the request ---- */

static int entropy_of(struct bk_view text, struct bk_arena *arena, struct bk_view *ret,
                      const char **ret_why)
{
    BK_AUTO_BUF struct bk_buf bytes = { 0 };
    int r = text.len ? bk_ms_ws_base64(text, &bytes) : 0;
    if (r == -EINVAL) {
        *ret_why = "Entropy is no base64";
        return -EBADMSG;
    }
    *ret = bk_arena_copy(arena, bk_buf_view(&bytes));
    return r < 0 || (bytes.len && !ret->at) ? -ENOMEM : 0;
}

int bk_ms_rst_parse(struct bk_view body, struct bk_arena *arena, struct bk_ms_rst *ret,
                    const char **ret_why)
{
    const struct bk_ms_ws *root, *rst;
    struct bk_ms_rst out = { 0 };
    int r = bk_ms_ws_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    rst = bk_ms_ws_at(root, "Body/RequestSecurityToken");
    if (!bk_view_equal(root->name, BK_VIEW("Envelope")) || !rst) {
        *ret_why = "there is no RequestSecurityToken in an Envelope";
        return -EBADMSG;
    }
    out.context = bk_ms_ws_attribute(rst, "Context");
    out.applies_to = bk_ms_ws_text(rst, "AppliesTo/EndpointReference/Address");
    out.claimed = bk_ms_ws_text(rst, "Claims/ClaimType/Value");
    if (bk_view_starts_with_nocase(out.claimed, BK_VIEW("sip:")))
        out.claimed = bk_view_skip(out.claimed, 4);
    if (!out.applies_to.len || out.applies_to.len > TEXT_MAX || out.context.len > TEXT_MAX ||
        out.claimed.len > TEXT_MAX) {
        *ret_why = out.applies_to.len ? "a text is too long" : "AppliesTo names no service";
        return -EBADMSG;
    }
    struct bk_view created = bk_ms_ws_text(root, "Header/Security/Timestamp/Created");
    out.has_created = bk_time_iso_parse(created, &out.created_ms) == 0;
    r = entropy_of(bk_ms_ws_text(rst, "Entropy/BinarySecret"), arena, &out.entropy, ret_why);
    if (r == 0)
        *ret = out;
    return r;
}

/* ---- keys ---- */

static void hmac(const EVP_MD *md, struct bk_view key, struct bk_view bytes, unsigned char *ret)
{
    unsigned n = 0;
    HMAC(md, key.at ? key.at : "", (int)key.len, (const unsigned char *)(bytes.at ? bytes.at : ""),
         bytes.len, ret, &n);
}

int bk_ms_p_sha1(struct bk_view secret, struct bk_view seed, unsigned char *ret, size_t len)
{
    unsigned char a[SHA1_BYTES + BK_MS_SEED_MAX], out[SHA1_BYTES];
    if (seed.len > BK_MS_SEED_MAX)
        return -EINVAL;
    const struct bk_view at = { (char *)a, SHA1_BYTES },
                         both = { (char *)a, SHA1_BYTES + seed.len };
    hmac(EVP_sha1(), secret, seed, a); /* A(1) */
    memcpy(a + SHA1_BYTES, seed.at ? seed.at : "", seed.len);
    while (len) {
        size_t n = len < sizeof out ? len : sizeof out;
        hmac(EVP_sha1(), secret, both, out);
        memcpy(ret, out, n);
        ret += n;
        len -= n;
        hmac(EVP_sha1(), secret, at, out);
        memcpy(a, out, sizeof out);
    }
    bk_wipe(a, sizeof a);
    bk_wipe(out, sizeof out);
    return 0;
}

/* One key for each use of the secret, so that no answer to the one is an answer to the other. */
static void mac_for(const struct bk_ms_ticket_key *key, const char *use, struct bk_view bytes,
                    unsigned char ret[MAC_BYTES])
{
    unsigned char derived[MAC_BYTES];
    hmac(EVP_sha256(), (struct bk_view){ (const char *)key->secret, sizeof key->secret },
         bk_view_of_str(use), derived);
    hmac(EVP_sha256(), (struct bk_view){ (char *)derived, sizeof derived }, bytes, ret);
    bk_wipe(derived, sizeof derived);
}

/* Our half of the proof key is not kept: it is a function of what the ticket covers. */
static void server_entropy(const struct bk_ms_ticket_key *key, struct bk_view payload,
                           unsigned char ret[MAC_BYTES])
{
    mac_for(key, "beckon web ticket entropy 1", payload, ret);
}

static void fill_proof(const struct bk_ms_ticket_key *key, struct bk_view payload,
                       struct bk_view entropy, struct bk_ms_ticket *ticket)
{
    unsigned char ours[MAC_BYTES];
    ticket->has_proof = entropy.len > 0;
    if (!ticket->has_proof)
        return;
    server_entropy(key, payload, ours);
    (void)bk_ms_p_sha1(entropy, (struct bk_view){ (char *)ours, sizeof ours }, ticket->proof,
                       sizeof ticket->proof);
    bk_wipe(ours, sizeof ours);
}

/* ---- giving ---- */

static void make_id(const struct bk_random *random, char ret[BK_MS_TICKET_ID_SIZE])
{
    unsigned char b[16];
    char uuid[BK_UUID_TEXT_SIZE];
    bk_random_uuid(random, b);
    bk_uuid_text(b, uuid);
    snprintf(ret, BK_MS_TICKET_ID_SIZE, "SamlSecurityToken-%s", uuid);
}

/* "1 id service user issued expires entropy address"; no field but the last may hold a blank. */
static void add_payload(const struct bk_ms_ticket *t, struct bk_view entropy, struct bk_buf *to)
{
    bk_buf_addf(to, "1 %s %d %lld %lld %lld ", t->id, (int)t->service, (long long)t->user_id,
                (long long)t->issued_ms, (long long)t->expires_ms);
    bk_base64url_encode(to, entropy);
    bk_buf_add_char(to, ' ');
    bk_buf_add_view(to, t->address);
}

static void add_assertion(const struct bk_ms_ticket *t, struct bk_view issuer,
                          struct bk_view applies_to, struct bk_view payload,
                          const unsigned char mac[MAC_BYTES], struct bk_buf *to)
{
    char issued[32], expires[32];
    bk_time_iso(t->issued_ms, false, issued);
    bk_time_iso(t->expires_ms, false, expires);
    bk_buf_addf(
        to, "<saml:Assertion MajorVersion=\"1\" MinorVersion=\"1\" AssertionID=\"%s\" Issuer=\"",
        t->id);
    bk_xml_escape(to, issuer);
    bk_buf_addf(to,
                "\" IssueInstant=\"%s\" xmlns:saml=\"%s\"><saml:Conditions NotBefore=\"%s\" "
                "NotOnOrAfter=\"%s\"><saml:AudienceRestrictionCondition><saml:Audience>",
                issued, saml, issued, expires);
    bk_xml_escape(to, applies_to);
    bk_buf_add_lit(to, "</saml:Audience></saml:AudienceRestrictionCondition></saml:Conditions>"
                       "<saml:AttributeStatement><saml:Subject><saml:NameIdentifier>sip:");
    bk_xml_escape(to, t->address);
    bk_buf_add_lit(to, "</saml:NameIdentifier></saml:Subject><saml:Attribute AttributeName="
                       "\"ticket\" AttributeNamespace=\"urn:beckon\"><saml:AttributeValue>");
    bk_base64url_encode(to, payload);
    bk_buf_add_char(to, '.');
    bk_base64url_encode(to, (struct bk_view){ (const char *)mac, MAC_BYTES });
    bk_buf_add_lit(to, "</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>"
                       "</saml:Assertion>");
}

/* The client lifts what is inside Lifetime out of here: each name has to say itself what it is. */
static void add_lifetime(const struct bk_ms_ticket *t, struct bk_buf *to)
{
    char issued[32], expires[32];
    bk_time_iso(t->issued_ms, false, issued);
    bk_time_iso(t->expires_ms, false, expires);
    bk_buf_addf(to,
                "<Lifetime><wsu:Created xmlns:wsu=\"%s\">%s</wsu:Created>"
                "<wsu:Expires xmlns:wsu=\"%s\">%s</wsu:Expires></Lifetime>",
                wsu, issued, wsu, expires);
}

int bk_ms_ticket_issue(const struct bk_ms_ticket_key *key, const struct bk_random *random,
                       const struct bk_ms_rst *request, enum bk_ms_service service,
                       struct bk_view issuer, int64_t user_id, struct bk_view address,
                       int64_t now_ms, struct bk_buf *to)
{
    BK_AUTO_BUF struct bk_buf payload = { 0 };
    struct bk_view entropy = request->entropy;
    unsigned char mac[MAC_BYTES], ours[MAC_BYTES];
    struct bk_ms_ticket t = { .user_id = user_id,
                              .address = address,
                              .service = service,
                              .issued_ms = now_ms / 1000 * 1000,
                              .expires_ms = now_ms / 1000 * 1000 + BK_MS_TICKET_LIFE_MS };

    if (entropy.len && (entropy.len < BK_MS_ENTROPY_MIN || entropy.len > BK_MS_ENTROPY_MAX))
        return -EINVAL;
    make_id(random, t.id);
    add_payload(&t, entropy, &payload);
    if (payload.failed)
        return -ENOMEM;
    mac_for(key, "beckon web ticket 1", bk_buf_view(&payload), mac);
    bk_buf_addf(to,
                "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>"
                "<RequestSecurityTokenResponseCollection xmlns=\"%s\">"
                "<RequestSecurityTokenResponse",
                trust);
    if (request->context.len) {
        bk_buf_add_lit(to, " Context=\"");
        bk_xml_escape(to, request->context);
        bk_buf_add_char(to, '"');
    }
    bk_buf_add_lit(to, "><TokenType>http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.1"
                       "#SAMLV1.1</TokenType><RequestedSecurityToken>");
    add_assertion(&t, issuer, request->applies_to, bk_buf_view(&payload), mac, to);
    bk_buf_add_lit(to, "</RequestedSecurityToken>");
    if (entropy.len) {
        server_entropy(key, bk_buf_view(&payload), ours);
        bk_buf_addf(to,
                    "<RequestedProofToken><ComputedKey>%s/CK/PSHA1</ComputedKey>"
                    "</RequestedProofToken><Entropy><BinarySecret>",
                    trust);
        bk_base64_encode(to, (struct bk_view){ (char *)ours, sizeof ours });
        bk_buf_add_lit(to, "</BinarySecret></Entropy>");
        bk_wipe(ours, sizeof ours);
    }
    add_lifetime(&t, to);
    bk_buf_add_lit(to, "</RequestSecurityTokenResponse></RequestSecurityTokenResponseCollection>"
                       "</s:Body></s:Envelope>");
    return to->failed ? -ENOMEM : 0;
}

/* ---- reading ---- */

static bool number(struct bk_view v, int64_t *ret)
{
    uint64_t n;
    if (bk_view_to_u64(v, INT64_MAX, &n) < 0)
        return false;
    *ret = (int64_t)n;
    return true;
}

/* Only what carries our own mac gets here. */
static bool read_payload(struct bk_view payload, struct bk_ms_ticket *t, struct bk_buf *entropy)
{
    struct bk_view rest = payload;
    int64_t service;
    if (!bk_view_equal(bk_view_cut(&rest, ' '), BK_VIEW("1")))
        return false;
    struct bk_view id = bk_view_cut(&rest, ' ');
    if (!id.len || id.len >= sizeof t->id)
        return false;
    memcpy(t->id, id.at, id.len);
    t->id[id.len] = '\0';
    if (!number(bk_view_cut(&rest, ' '), &service) ||
        !number(bk_view_cut(&rest, ' '), &t->user_id) ||
        !number(bk_view_cut(&rest, ' '), &t->issued_ms) ||
        !number(bk_view_cut(&rest, ' '), &t->expires_ms) ||
        bk_base64url_decode(bk_view_cut(&rest, ' '), entropy) < 0)
        return false;
    t->service = (enum bk_ms_service)service;
    t->address = rest;
    return t->address.len > 0;
}

static enum bk_ms_ticket_state open_token(const struct bk_ms_ticket_key *key, struct bk_view token,
                                          struct bk_buf *payload)
{
    BK_AUTO_BUF struct bk_buf theirs = { 0 };
    unsigned char mac[MAC_BYTES];
    struct bk_view rest = token;
    struct bk_view first = bk_view_cut(&rest, '.');
    int r = bk_base64url_decode(first, payload);
    if (r == 0)
        r = bk_base64url_decode(rest, &theirs);
    if (r < 0)
        return r == -ENOMEM ? BK_MS_TICKET_NO_MEMORY : BK_MS_TICKET_UNREADABLE;
    mac_for(key, "beckon web ticket 1", bk_buf_view(payload), mac);
    if (theirs.len != sizeof mac || !bk_equal_constant_time(theirs.at, mac, sizeof mac))
        return BK_MS_TICKET_FORGED;
    return BK_MS_TICKET_GOOD;
}

enum bk_ms_ticket_state bk_ms_ticket_read(const struct bk_ms_ticket_key *key,
                                          const struct bk_ms_ws *assertion, int64_t now_ms,
                                          struct bk_arena *arena, struct bk_ms_ticket *ret)
{
    BK_AUTO_BUF struct bk_buf payload = { 0 }, entropy = { 0 };
    struct bk_ms_ticket t = { 0 };
    struct bk_view token = bk_ms_ws_text(assertion, token_path);
    if (!bk_view_equal(assertion->name, BK_VIEW("Assertion")) || !token.len ||
        token.len > TOKEN_MAX)
        return BK_MS_TICKET_UNREADABLE;
    enum bk_ms_ticket_state state = open_token(key, token, &payload);
    if (state != BK_MS_TICKET_GOOD)
        return state;
    struct bk_view kept = bk_arena_copy(arena, bk_buf_view(&payload));
    if (!kept.at)
        return BK_MS_TICKET_NO_MEMORY;
    if (!read_payload(kept, &t, &entropy))
        return entropy.failed ? BK_MS_TICKET_NO_MEMORY : BK_MS_TICKET_UNREADABLE;
    /* A signature names the ticket by this attribute. */
    if (!bk_view_equal(bk_ms_ws_attribute(assertion, "AssertionID"), bk_view_of_str(t.id)))
        return BK_MS_TICKET_FORGED;
    fill_proof(key, kept, bk_buf_view(&entropy), &t);
    *ret = t;
    if (now_ms >= t.expires_ms)
        return BK_MS_TICKET_EXPIRED;
    return t.issued_ms > now_ms + BK_MS_TICKET_SKEW_MS ? BK_MS_TICKET_EARLY : BK_MS_TICKET_GOOD;
}
