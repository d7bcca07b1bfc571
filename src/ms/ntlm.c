/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/ntlm.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "ms/legacy.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

/* [MS-NLMP] 2.2.2.5. */
enum {
    FLAG_UNICODE = 0x1,
    FLAG_REQUEST_TARGET = 0x4,
    FLAG_SIGN = 0x10,
    FLAG_DATAGRAM = 0x40,
    FLAG_NTLM = 0x200,
    FLAG_ALWAYS_SIGN = 0x8000,
    FLAG_TARGET_IS_DOMAIN = 0x10000,
    FLAG_EXTENDED_SECURITY = 0x80000,
    FLAG_IDENTIFY = 0x100000,
    FLAG_TARGET_INFO = 0x800000,
    FLAG_VERSION = 0x2000000,
    FLAG_128 = 0x20000000,
    FLAG_KEY_EXCHANGE = 0x40000000,
};
#define FLAG_56 0x80000000u

/* What pidgin-sipe 1.25 was seen to accept, and Microsoft's servers send. */
#define FLAGS_OFFERED 0xe2998255u
/* Without one of these there is no session key of 128 bits that both sides know, or it is version 1. */
#define FLAGS_NEEDED                                                                               \
    (uint32_t)(FLAG_UNICODE | FLAG_NTLM | FLAG_EXTENDED_SECURITY | FLAG_128 | FLAG_KEY_EXCHANGE)

enum {
    CHALLENGE_HEAD = 56, /* with the version field */
    ANSWER_HEAD = 64,    /* without version and MIC, which may follow */
    BLOB_HEAD = 28,
    BLOB_MIN = BLOB_HEAD + 4,
    NAME_MAX_UTF16 = 512,
    AV_END = 0,
    AV_COMPUTER = 1,
    AV_DOMAIN = 2,
    AV_DNS_COMPUTER = 3,
    AV_DNS_DOMAIN = 4,
};
static const char signature[8] = "NTLMSSP";
/* Says 10.0.20348, NTLM revision 15: some version must stand there. */
static const char version[8] = { 10, 0, 0x7c, 0x4f, 0, 0, 0, 15 };

/* Milliseconds between 1601, where FILETIME begins, and 1970. */
#define FILETIME_EPOCH_MS 11644473600000

/* ---- small things ---- */

static uint16_t le16(const char *at)
{
    return (uint16_t)((uint8_t)at[0] | (uint8_t)at[1] << 8);
}

static uint32_t le32(const char *at)
{
    return (uint32_t)le16(at) | (uint32_t)le16(at + 2) << 16;
}

static uint64_t le64(const char *at)
{
    return (uint64_t)le32(at) | (uint64_t)le32(at + 4) << 32;
}

static void add_le(struct bk_buf *to, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++)
        bk_buf_add_char(to, (char)(n >> 8 * i));
}

static void hmac_md5(const uint8_t *key, size_t key_len, struct bk_view a, struct bk_view b,
                     uint8_t ret[16])
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    unsigned len = 16;
    bk_buf_add_view(&text, a);
    bk_buf_add_view(&text, b);
    /* Out of memory gives a value that nobody can have computed. */
    if (text.failed ||
        !HMAC(EVP_md5(), key, (int)key_len, (const uint8_t *)text.at, text.len, ret, &len))
        bk_random_fill(&bk_random_system, ret, 16);
    if (text.at)
        bk_wipe(text.at, text.len);
}

/* MD5 of a key and a constant with its NUL ([MS-NLMP] 3.4.5.2). */
static void derive(const uint8_t key[16], const char *constant, uint8_t ret[16])
{
    uint8_t text[16 + 80];
    size_t len = strlen(constant) + 1;
    unsigned got = 16;
    memcpy(text, key, 16);
    memcpy(text + 16, constant, len);
    if (!EVP_Digest(text, 16 + len, ret, &got, EVP_md5(), NULL))
        bk_random_fill(&bk_random_system, ret, 16);
    bk_wipe(text, sizeof text);
}

/* Appends UTF-16; with `upper` ASCII letters in upper case. -EINVAL. */
static int add_utf16(struct bk_buf *to, struct bk_view utf8, bool upper)
{
    if (!bk_utf8_valid(utf8))
        return -EINVAL;
    for (size_t i = 0; i < utf8.len;) {
        uint8_t c = (uint8_t)utf8.at[i++];
        uint32_t code = c;
        int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (more)
            code = c & (0x3fu >> more);
        for (; more; more--)
            code = code << 6 | ((uint8_t)utf8.at[i++] & 0x3f);
        if (upper && code >= 'a' && code <= 'z')
            code -= 'a' - 'A';
        if (code > 0xffff) {
            code -= 0x10000;
            add_le(to, 0xd800 | code >> 10, 2);
            code = 0xdc00 | (code & 0x3ff);
        }
        add_le(to, code, 2);
    }
    return to->failed ? -ENOMEM : 0;
}

int bk_ntlm_text(struct bk_view utf16, struct bk_buf *to)
{
    if (utf16.len % 2)
        return -EBADMSG;
    for (size_t i = 0; i < utf16.len; i += 2) {
        uint32_t code = le16(utf16.at + i);
        if (code >= 0xd800 && code < 0xe000) {
            uint32_t low = i + 4 <= utf16.len ? le16(utf16.at + i + 2) : 0;
            if (code >= 0xdc00 || low < 0xdc00 || low >= 0xe000)
                return -EBADMSG;
            code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
            i += 2;
        }
        int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        static const uint8_t lead[] = { 0, 0xc0, 0xe0, 0xf0 };
        bk_buf_add_char(to, (char)(lead[more] | code >> 6 * more));
        while (more--)
            bk_buf_add_char(to, (char)(0x80 | (code >> 6 * more & 0x3f)));
    }
    return to->failed ? -ENOMEM : 0;
}

int bk_ntlm_hash(struct bk_view password, uint8_t ret[BK_NTLM_HASH_SIZE])
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    int r = add_utf16(&text, password, false);
    if (r == 0)
        bk_md4(bk_buf_view(&text), ret);
    if (text.at)
        bk_wipe(text.at, text.len);
    return r;
}

/* ---- the MAC ---- */

static const uint8_t number[4] = { 100 }; /* of every message */

void bk_ntlm_signer_init(struct bk_ntlm_signer *ret, const struct bk_ntlm_keys *keys,
                         enum bk_ntlm_direction direction)
{
    uint8_t key_text[20], key[16];
    struct bk_rc4 rc4;
    unsigned len = 16;

    bk_hmac_init(&ret->hmac, BK_HMAC_MD5, keys->sign[direction], 16);
    memcpy(key_text, keys->seal[direction], 16);
    memcpy(key_text + 16, number, 4);
    /* Out of memory gives a value that nobody can have computed. */
    if (!EVP_Digest(key_text, sizeof key_text, key, &len, EVP_md5(), NULL))
        bk_random_fill(&bk_random_system, key, sizeof key);
    bk_rc4_init(&rc4, (struct bk_view){ (const char *)key, sizeof key });
    memset(ret->seal, 0, sizeof ret->seal);
    bk_rc4_crypt(&rc4, ret->seal, ret->seal, sizeof ret->seal);
    bk_wipe(&rc4, sizeof rc4);
    bk_wipe(key, sizeof key);
    bk_wipe(key_text, sizeof key_text);
}

void bk_ntlm_sign(const struct bk_ntlm_signer *signer, struct bk_view text,
                  uint8_t ret[BK_NTLM_MAC_SIZE])
{
    static const uint8_t one[4] = { 1 };
    uint8_t sum[16];
    bk_hmac_sum(&signer->hmac, (struct bk_view){ (const char *)number, 4 }, text, sum);
    memcpy(ret, one, 4);
    for (size_t i = 0; i < sizeof signer->seal; i++)
        ret[4 + i] = sum[i] ^ signer->seal[i];
    memcpy(ret + 12, number, 4);
}

void bk_ntlm_mac(const struct bk_ntlm_keys *keys, enum bk_ntlm_direction direction,
                 struct bk_view text, uint8_t ret[BK_NTLM_MAC_SIZE])
{
    struct bk_ntlm_signer signer;
    bk_ntlm_signer_init(&signer, keys, direction);
    bk_ntlm_sign(&signer, text, ret);
    bk_wipe(&signer, sizeof signer);
}

static void keys_of(const uint8_t exported[16], struct bk_ntlm_keys *ret)
{
    derive(exported, "session key to client-to-server signing key magic constant",
           ret->sign[BK_NTLM_TO_SERVER]);
    derive(exported, "session key to server-to-client signing key magic constant",
           ret->sign[BK_NTLM_TO_CLIENT]);
    derive(exported, "session key to client-to-server sealing key magic constant",
           ret->seal[BK_NTLM_TO_SERVER]);
    derive(exported, "session key to server-to-client sealing key magic constant",
           ret->seal[BK_NTLM_TO_CLIENT]);
}

/* ---- CHALLENGE ---- */

static void add_av(struct bk_buf *to, unsigned id, struct bk_view name)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    if (add_utf16(&text, bk_view_head(name, 255), false) < 0)
        to->failed = true;
    add_le(to, id, 2);
    add_le(to, text.len, 2);
    bk_buf_add_view(to, bk_buf_view(&text));
}

/* Length, room and offset of something that stands behind the head. */
static void add_where(struct bk_buf *to, size_t len, size_t offset)
{
    add_le(to, len, 2);
    add_le(to, len, 2);
    add_le(to, offset, 4);
}

void bk_ntlm_challenge_write(struct bk_buf *to, const uint8_t challenge[8],
                             const struct bk_ntlm_names *names)
{
    BK_AUTO_BUF struct bk_buf target = { 0 }, info = { 0 };
    if (add_utf16(&target, bk_view_head(names->domain, 255), false) < 0)
        to->failed = true;
    add_av(&info, AV_DOMAIN, names->domain);
    add_av(&info, AV_COMPUTER, names->computer);
    add_av(&info, AV_DNS_DOMAIN, names->dns_domain);
    add_av(&info, AV_DNS_COMPUTER, names->dns_computer);
    add_av(&info, AV_END, (struct bk_view){ 0 });
    if (target.failed || info.failed)
        to->failed = true;

    bk_buf_add(to, signature, sizeof signature);
    add_le(to, 2, 4);
    add_where(to, target.len, CHALLENGE_HEAD);
    add_le(to, FLAGS_OFFERED, 4);
    bk_buf_add(to, challenge, 8);
    add_le(to, 0, 8);
    add_where(to, info.len, CHALLENGE_HEAD + target.len);
    bk_buf_add(to, version, sizeof version);
    bk_buf_add_view(to, bk_buf_view(&target));
    bk_buf_add_view(to, bk_buf_view(&info));
}

static bool is_message(struct bk_view token, uint32_t type, size_t head)
{
    return token.len >= head && token.len <= BK_NTLM_TOKEN_MAX &&
           memcmp(token.at, signature, sizeof signature) == 0 && le32(token.at + 8) == type;
}

/* What the length and offset at `at` name; behind the fixed head and inside the token. */
static int part_of(struct bk_view token, size_t at, size_t head, struct bk_view *ret)
{
    size_t len = le16(token.at + at), offset = le32(token.at + at + 4);
    if (len == 0) {
        *ret = (struct bk_view){ 0 };
        return 0;
    }
    if (offset < head || offset > token.len || len > token.len - offset)
        return -EBADMSG;
    *ret = (struct bk_view){ token.at + offset, len };
    return 0;
}

int bk_ntlm_challenge_parse(struct bk_view token, struct bk_ntlm_challenge *ret)
{
    struct bk_ntlm_challenge c = { 0 };
    if (!is_message(token, 2, 48) || part_of(token, 40, 48, &c.target_info) < 0)
        return -EBADMSG;
    c.flags = le32(token.at + 20);
    memcpy(c.challenge, token.at + 24, sizeof c.challenge);
    if ((c.flags & FLAGS_NEEDED) != FLAGS_NEEDED)
        return -ENOTSUP;
    *ret = c;
    return 0;
}

/* ---- AUTHENTICATE ---- */

int bk_ntlm_answer_parse(struct bk_view token, struct bk_ntlm_answer *ret)
{
    struct bk_ntlm_answer a = { 0 };
    struct bk_view nt;
    if (!is_message(token, 3, ANSWER_HEAD) || part_of(token, 20, ANSWER_HEAD, &nt) < 0 ||
        part_of(token, 28, ANSWER_HEAD, &a.domain) < 0 ||
        part_of(token, 36, ANSWER_HEAD, &a.user) < 0 ||
        part_of(token, 44, ANSWER_HEAD, &a.workstation) < 0 ||
        part_of(token, 52, ANSWER_HEAD, &a.session_key) < 0)
        return -EBADMSG;
    if (a.domain.len > NAME_MAX_UTF16 || a.user.len > NAME_MAX_UTF16 || a.domain.len % 2 ||
        a.user.len % 2)
        return -EBADMSG;
    a.flags = le32(token.at + 60);
    if ((a.flags & FLAGS_NEEDED) != FLAGS_NEEDED || a.session_key.len != 16)
        return -ENOTSUP;
    /* An answer of version 1 has 24 bytes; of version 2 the proof, and a blob that begins with 1 1. */
    if (nt.len < 16 + BLOB_MIN || nt.at[16] != 1 || nt.at[17] != 1)
        return -ENOTSUP;
    a.proof = bk_view_head(nt, 16);
    a.blob = bk_view_skip(nt, 16);
    a.real_ms = (int64_t)(le64(a.blob.at + 8) / 10000) - FILETIME_EPOCH_MS;
    *ret = a;
    return 0;
}

/* NTOWFv2 ([MS-NLMP] 3.3.2); user and domain in UTF-16. */
static void ntowf(const uint8_t hash[16], struct bk_view user, struct bk_view domain,
                  uint8_t ret[16])
{
    char upper[NAME_MAX_UTF16];
    memcpy(upper, user.at ? user.at : "", user.len);
    for (size_t i = 0; i + 1 < user.len; i += 2)
        if (upper[i + 1] == 0 && upper[i] >= 'a' && upper[i] <= 'z')
            upper[i] = (char)(upper[i] - 'a' + 'A');
    hmac_md5(hash, 16, (struct bk_view){ upper, user.len }, domain, ret);
}

static void proof_of(const uint8_t owf[16], const uint8_t challenge[8], struct bk_view blob,
                     uint8_t ret[16])
{
    hmac_md5(owf, 16, (struct bk_view){ (const char *)challenge, 8 }, blob, ret);
}

bool bk_ntlm_check(const struct bk_ntlm_answer *answer, const uint8_t challenge[8],
                   const uint8_t hash[BK_NTLM_HASH_SIZE], struct bk_ntlm_keys *ret)
{
    uint8_t owf[16], proof[16], base[16], exported[16];
    struct bk_rc4 rc4;

    ntowf(hash, answer->user, answer->domain, owf);
    proof_of(owf, challenge, answer->blob, proof);
    bool right = bk_equal_constant_time(proof, answer->proof.at, sizeof proof);
    if (right) {
        hmac_md5(owf, 16, answer->proof, (struct bk_view){ 0 }, base);
        bk_rc4_init(&rc4, (struct bk_view){ (const char *)base, sizeof base });
        bk_rc4_crypt(&rc4, answer->session_key.at, exported, sizeof exported);
        keys_of(exported, ret);
        bk_wipe(base, sizeof base);
        bk_wipe(exported, sizeof exported);
        bk_wipe(&rc4, sizeof rc4);
    }
    bk_wipe(owf, sizeof owf);
    bk_wipe(proof, sizeof proof);
    return right;
}

int bk_ntlm_answer_write(struct bk_buf *to, const struct bk_ntlm_challenge *challenge,
                         struct bk_view user, struct bk_view domain,
                         const uint8_t hash[BK_NTLM_HASH_SIZE], int64_t real_ms,
                         const struct bk_random *random, struct bk_ntlm_keys *ret)
{
    BK_AUTO_BUF struct bk_buf name = { 0 }, realm = { 0 }, blob = { 0 };
    uint8_t nonce[8], owf[16], proof[16], base[16], exported[16], sent[16];
    struct bk_rc4 rc4;

    int r = add_utf16(&name, user, false);
    if (r == 0)
        r = add_utf16(&realm, domain, false);
    if (r == 0 && (name.len > NAME_MAX_UTF16 || realm.len > NAME_MAX_UTF16))
        r = -EINVAL;
    if (r < 0)
        return r;
    bk_random_fill(random, nonce, sizeof nonce);
    bk_random_fill(random, exported, sizeof exported);
    bk_buf_add_lit(&blob, "\1\1\0\0\0\0\0\0");
    add_le(&blob, (uint64_t)(real_ms + FILETIME_EPOCH_MS) * 10000, 8);
    bk_buf_add(&blob, nonce, sizeof nonce);
    add_le(&blob, 0, 4);
    bk_buf_add_view(&blob, challenge->target_info);
    add_le(&blob, 0, 4);
    if (blob.failed || blob.len > BK_NTLM_TOKEN_MAX / 2)
        return blob.failed ? -ENOMEM : -EINVAL;

    ntowf(hash, bk_buf_view(&name), bk_buf_view(&realm), owf);
    proof_of(owf, challenge->challenge, bk_buf_view(&blob), proof);
    hmac_md5(owf, 16, (struct bk_view){ (const char *)proof, 16 }, (struct bk_view){ 0 }, base);
    bk_rc4_init(&rc4, (struct bk_view){ (const char *)base, sizeof base });
    bk_rc4_crypt(&rc4, exported, sent, sizeof sent);
    keys_of(exported, ret);

    size_t at = ANSWER_HEAD + sizeof version;
    bk_buf_add(to, signature, sizeof signature);
    add_le(to, 3, 4);
    size_t user_at = at + realm.len, lm_at = user_at + name.len, nt_at = lm_at + 24,
           key_at = nt_at + 16 + blob.len;
    add_where(to, 24, lm_at);
    add_where(to, 16 + blob.len, nt_at);
    add_where(to, realm.len, at);
    add_where(to, name.len, user_at);
    add_where(to, 0, lm_at);
    add_where(to, sizeof sent, key_at);
    add_le(to, challenge->flags & FLAGS_OFFERED, 4);
    bk_buf_add(to, version, sizeof version);
    bk_buf_add_view(to, bk_buf_view(&realm));
    bk_buf_add_view(to, bk_buf_view(&name));
    for (int i = 0; i < 3; i++) /* an answer for LAN Manager, which nobody may ask for */
        add_le(to, 0, 8);
    bk_buf_add(to, proof, sizeof proof);
    bk_buf_add_view(to, bk_buf_view(&blob));
    bk_buf_add(to, sent, sizeof sent);
    bk_wipe(owf, sizeof owf);
    bk_wipe(base, sizeof base);
    bk_wipe(exported, sizeof exported);
    bk_wipe(&rc4, sizeof rc4);
    return to->failed ? -ENOMEM : 0;
}
