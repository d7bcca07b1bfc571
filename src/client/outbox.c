/* SPDX-License-Identifier: Apache-2.0 */
#include "client/outbox.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SUM_DIGITS = 16,
    /* Each byte of a text takes six at most (\u001f); as much again for lines whose message is gone. */
    FILE_MAX = 12 * BK_OUTBOX_BYTES_MAX,
    TEXT_MAX = 20000,
};

static const char first_line[] = "beckon-outgoing 1\n";

static void drop_json(json_t **json)
{
    json_decref(*json);
}
#define AUTO_JSON BK_CLEANUP(drop_json) json_t

static void free_text(char **text)
{
    free(*text);
}

static char *path_of(const struct bk_profile *p)
{
    char *path = NULL;
    return asprintf(&path, "%s/outgoing", p->dir) < 0 ? NULL : path;
}

/* ---- lines ---- */

static int sum_of(struct bk_view text, char ret[SUM_DIGITS + 1])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(text.at, text.len, sum, &len, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    bk_hex_encode(sum, SUM_DIGITS / 2, ret);
    return 0;
}

static void add_line(struct bk_buf *to, char kind, struct bk_view text)
{
    char sum[SUM_DIGITS + 1];
    if (sum_of(text, sum) < 0) {
        to->failed = true;
        return;
    }
    bk_buf_addf(to, "%c%s ", kind, sum);
    bk_buf_add_view(to, text);
    bk_buf_add_char(to, '\n');
}

static void add_row(struct bk_buf *to, const struct bk_outbox_row *row)
{
    AUTO_JSON *json = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I}", "to", row->to, "call_id", row->call_id,
                                "tag", row->tag, "text", row->text, "written",
                                (json_int_t)row->written_ms, "sent", (json_int_t)row->sent_ms);
    if (json && row->key.cseq &&
        (json_object_set_new(json, "key_call_id", json_string(row->key.call_id)) < 0 ||
         json_object_set_new(json, "key_tag", json_string(row->key.tag)) < 0 ||
         json_object_set_new(json, "key_cseq", json_integer(row->key.cseq)) < 0)) {
        to->failed = true;
        return;
    }
    BK_CLEANUP(free_text) char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text)
        add_line(to, '+', bk_view_of_str(text));
    else
        to->failed = true;
}

/* ---- reading ---- */

/* A row being put together from its lines. */
struct draft {
    struct bk_outbox_row row;
    char *text;
    bool gone;
};

struct drafts {
    struct draft *at;
    size_t n, cap;
};

static void drop_drafts(struct drafts *all)
{
    for (size_t i = 0; i < all->n; i++)
        free(all->at[i].text);
    free(all->at);
    *all = (struct drafts){ 0 };
}

static bool is_hex(const char *text, size_t len)
{
    return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

static bool take_text(const json_t *json, const char *field, char *to, size_t size)
{
    const json_t *value = json_object_get(json, field);
    size_t len = json_string_length(value);
    if (!json_is_string(value) || len >= size || strlen(json_string_value(value)) != len)
        return false;
    memcpy(to, json_string_value(value), len + 1);
    return true;
}

/* One word that can stand in a field of a message; false: too long, or something else. */
static bool take_key_text(struct bk_view text, char to[BK_OUTBOX_KEY_TEXT])
{
    if (!text.len || text.len >= BK_OUTBOX_KEY_TEXT)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] >= 0x7f)
            return false;
    memcpy(to, text.at, text.len);
    to[text.len] = 0;
    return true;
}

static bool take_row_key(const json_t *json, struct bk_outbox_key *ret)
{
    json_int_t cseq = json_integer_value(json_object_get(json, "key_cseq"));
    if (!json_object_get(json, "key_cseq"))
        return true;
    if (cseq < 1 || cseq > UINT32_MAX)
        return false;
    ret->cseq = (uint32_t)cseq;
    return take_key_text(bk_view_of_str(json_string_value(json_object_get(json, "key_call_id"))),
                         ret->call_id) &&
           take_key_text(bk_view_of_str(json_string_value(json_object_get(json, "key_tag"))),
                         ret->tag);
}

/* 0; -EBADMSG: these are no words of ours; -ENOMEM. */
static int take_row(struct drafts *all, struct bk_view text)
{
    AUTO_JSON *json = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
    const char *body = json_string_value(json_object_get(json, "text"));
    struct draft d = { 0 };
    size_t at;
    const char *why;
    if (!body || json_string_length(json_object_get(json, "text")) != strlen(body) || !*body ||
        strlen(body) > TEXT_MAX || !take_text(json, "to", d.row.to, sizeof d.row.to) ||
        !take_text(json, "call_id", d.row.call_id, sizeof d.row.call_id) ||
        !take_text(json, "tag", d.row.tag, sizeof d.row.tag) ||
        !is_hex(d.row.call_id, BK_OUTBOX_CALL_ID) || !is_hex(d.row.tag, BK_OUTBOX_TAG) ||
        bk_sip_address_check(bk_view_of_str(d.row.to), &at, &why) < 0 ||
        !take_row_key(json, &d.row.key))
        return -EBADMSG;
    d.row.written_ms = json_integer_value(json_object_get(json, "written"));
    d.row.sent_ms = json_integer_value(json_object_get(json, "sent"));
    if (all->n == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 16;
        struct draft *more = realloc(all->at, cap * sizeof *more);
        if (!more)
            return -ENOMEM;
        all->at = more;
        all->cap = cap;
    }
    d.text = strdup(body);
    if (!d.text)
        return -ENOMEM;
    d.row.text = d.text;
    all->at[all->n++] = d;
    return 0;
}

static struct draft *find(struct drafts *all, struct bk_view call_id)
{
    for (size_t i = all->n; i > 0; i--)
        if (bk_view_equal(bk_view_of_str(all->at[i - 1].row.call_id), call_id))
            return &all->at[i - 1];
    return NULL;
}

static int take_line(struct drafts *all, struct bk_view line)
{
    char sum[SUM_DIGITS + 1];
    if (line.len < SUM_DIGITS + 2 || line.at[SUM_DIGITS + 1] != ' ')
        return -EBADMSG;
    struct bk_view text = bk_view_skip(line, SUM_DIGITS + 2);
    if (sum_of(text, sum) < 0)
        return -ENOMEM;
    if (memcmp(sum, line.at + 1, SUM_DIGITS) != 0)
        return -EBADMSG;
    if (line.at[0] == '+')
        return take_row(all, text);
    struct draft *draft = find(all, bk_view_cut(&text, ' '));
    uint64_t ms;
    if (line.at[0] == '-') {
        if (draft)
            draft->gone = true;
        return 0;
    }
    if (line.at[0] != '*' || bk_view_to_u64(bk_view_cut(&text, ' '), INT64_MAX, &ms) < 0)
        return -EBADMSG;
    struct bk_outbox_key key = { 0 };
    if (text.at) {
        struct bk_view tag = bk_view_cut(&text, ' ');
        uint64_t cseq;
        if (bk_view_to_u64(bk_view_cut(&text, ' '), UINT32_MAX, &cseq) < 0 || !cseq ||
            !take_key_text(tag, key.tag) || !take_key_text(text, key.call_id))
            return -EBADMSG;
        key.cseq = (uint32_t)cseq;
    }
    if (draft) {
        draft->row.sent_ms = (int64_t)ms;
        draft->row.key = key;
    }
    return 0;
}

/* *ret_whole: each line was one of ours. The last one may lack its end. */
static int read_rows(struct bk_view text, struct drafts *ret, bool *ret_whole)
{
    *ret_whole = bk_view_starts_with(text, bk_view_of_str(first_line)) ||
                 bk_view_starts_with(bk_view_of_str(first_line), text);
    if (!bk_view_starts_with(text, bk_view_of_str(first_line)))
        return 0;
    text = bk_view_skip(text, strlen(first_line));
    while (text.len) {
        size_t end = bk_view_find(text, '\n');
        if (end == text.len)
            return 0;
        int r = take_line(ret, bk_view_head(text, end));
        if (r == -ENOMEM)
            return r;
        *ret_whole &= r == 0;
        text = bk_view_skip(text, end + 1);
    }
    return 0;
}

static int read_file(const char *path, struct drafts *ret, bool *ret_whole)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    int r = bk_file_read(path, FILE_MAX, &text);
    return r < 0 ? r : read_rows(bk_buf_view(&text), ret, ret_whole);
}

/* ---- writing ---- */

/* Whole and anew, only what is left; without anything left it goes. */
static int rewrite(const char *path, const struct drafts *all)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bool any = false;
    bk_buf_add_str(&text, first_line);
    for (size_t i = 0; i < all->n; i++) {
        if (all->at[i].gone)
            continue;
        any = true;
        add_row(&text, &all->at[i].row);
    }
    if (!any)
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
    return text.failed ? -ENOMEM : bk_file_replace(path, bk_buf_view(&text), 0600);
}

static int compact(const char *path)
{
    BK_CLEANUP(drop_drafts) struct drafts all = { 0 };
    bool whole;
    int r = read_file(path, &all, &whole);
    return r < 0 ? r : rewrite(path, &all);
}

/*
 * A crash may have left half a line at the end: what is added begins on a new one. If the write is cut off here, what got
 * there is taken back.
 */
static int write_end(int fd, struct bk_view line)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char last = '\n';
    if (size < 0 || (size > 0 && pread(fd, &last, 1, size - 1) < 0))
        return -errno;
    BK_AUTO_BUF struct bk_buf bytes = { 0 };
    if (size == 0)
        bk_buf_add_str(&bytes, first_line);
    if (last != '\n')
        return -EBADMSG;
    bk_buf_add_view(&bytes, line);
    if (bytes.failed)
        return -ENOMEM;
    ssize_t n = write(fd, bytes.at, bytes.len);
    int r = n < 0 ? -errno : (size_t)n < bytes.len ? -ENOSPC : 0;
    if (r == 0 && fdatasync(fd) < 0)
        r = -errno;
    if (r < 0 && ftruncate(fd, size) < 0)
        return -errno;
    return r;
}

static int append(const char *path, struct bk_view line, int flags)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | flags, 0600);
    if (fd < 0)
        return -errno;
    int r = write_end(fd, line);
    off_t size = lseek(fd, 0, SEEK_END);
    (void)close(fd);
    if (r == -EBADMSG || (r == 0 && size > FILE_MAX / 2)) {
        int c = compact(path);
        if (r == 0 || c < 0)
            return r == 0 ? 0 : c;
        fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | flags, 0600);
        r = fd < 0 ? -errno : write_end(fd, line);
        if (fd >= 0)
            (void)close(fd);
    }
    return r;
}

static int note(struct bk_profile *p, struct bk_buf *line, int flags)
{
    if (line->failed)
        return -ENOMEM;
    BK_AUTO_FREE char *path = path_of(p);
    return path ? append(path, bk_buf_view(line), flags) : -ENOMEM;
}

/* ---- what others call ---- */

int bk_outbox_add(struct bk_profile *p, const struct bk_outbox_row *row)
{
    BK_AUTO_BUF struct bk_buf line = { 0 };
    if (!p->dir)
        return 0;
    int r = bk_profile_make_folder(p);
    add_row(&line, row);
    return r < 0 ? r : note(p, &line, O_CREAT);
}

int bk_outbox_sent(struct bk_profile *p, const char *call_id, int64_t sent_ms,
                   const struct bk_outbox_key *key)
{
    BK_AUTO_BUF struct bk_buf line = { 0 };
    char text[64 + 2 * BK_OUTBOX_KEY_TEXT];
    if (!p->dir)
        return 0;
    int n = snprintf(text, sizeof text, "%s %lld", call_id, (long long)sent_ms);
    if (key)
        (void)snprintf(text + n, sizeof text - (size_t)n, " %s %u %s", key->tag, key->cseq,
                       key->call_id);
    add_line(&line, '*', bk_view_of_str(text));
    return note(p, &line, 0);
}

int bk_outbox_remove(struct bk_profile *p, const char *call_id, size_t left)
{
    BK_AUTO_BUF struct bk_buf line = { 0 };
    if (!p->dir)
        return 0;
    if (left == 0) {
        BK_AUTO_FREE char *path = path_of(p);
        if (!path)
            return -ENOMEM;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
    }
    add_line(&line, '-', bk_view_of_str(call_id));
    int r = note(p, &line, 0);
    return r == -ENOENT ? 0 : r;
}

int bk_outbox_load(struct bk_profile *p, void (*each)(void *ctx, const struct bk_outbox_row *row),
                   void *ctx)
{
    BK_CLEANUP(drop_drafts) struct drafts all = { 0 };
    bool whole = true;
    if (!p->dir)
        return 0;
    BK_AUTO_FREE char *path = path_of(p);
    int r = path ? read_file(path, &all, &whole) : -ENOMEM;
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r == -ENOMEM)
        return r;
    if (r < 0 || !whole) {
        p->damage |= BK_PROFILE_OUTBOX_DAMAGED;
        bk_profile_put_aside(p, "outgoing");
    }
    (void)rewrite(path, &all); /* where that fails the lines of before stay, which say the same */
    for (size_t i = 0; i < all.n; i++)
        if (!all.at[i].gone)
            each(ctx, &all.at[i].row);
    return 0;
}
