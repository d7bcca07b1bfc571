/* SPDX-License-Identifier: Apache-2.0 */
#include "client/profile.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "client/personal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 256 * 1024, SHOWN_FILE_MAX = 4 * 1024 * 1024, SHOWN_LINES_MAX = 2000 };

static char *join(const char *a, const char *b)
{
    char *text = NULL;
    return asprintf(&text, "%s/%s", a, b) < 0 ? NULL : text;
}

char *bk_profile_root(const char *configured)
{
    if (configured)
        return strdup(configured);
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (xdg && *xdg == '/')
        return join(xdg, "beckon");
    return home && *home ? join(home, ".local/share/beckon") : NULL;
}

static int make_folder(const char *path)
{
    BK_AUTO_FREE char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    for (char *slash = strchr(copy + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = 0;
        if (mkdir(copy, 0700) < 0 && errno != EEXIST && (!slash || errno != EACCES))
            return -errno;
        if (!slash)
            return 0;
        *slash = '/';
    }
}

/* ---- files with a first line that says what they are ---- */

static void add_sum(struct bk_buf *to, struct bk_view content)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(content.at ? content.at : "", content.len, sum, &len, EVP_sha256(), NULL) != 1)
        to->failed = true;
    else
        bk_buf_add_hex(to, sum, len);
}

static void add_first_line(struct bk_buf *to, const char *kind, struct bk_view content)
{
    bk_buf_addf(to, "beckon-%s 1 ", kind);
    add_sum(to, content);
    bk_buf_add_char(to, '\n');
}

static int write_file(const char *dir, const char *name, const char *kind, struct bk_view content)
{
    int r = make_folder(dir);
    if (r < 0)
        return r;
    BK_AUTO_FREE char *path = join(dir, name);
    BK_AUTO_BUF struct bk_buf whole = { 0 };
    add_first_line(&whole, kind, content);
    bk_buf_add_view(&whole, content);
    r = !path || whole.failed ? -ENOMEM : bk_file_replace(path, bk_buf_view(&whole), 0600);
    if (whole.at)
        bk_wipe(whole.at, whole.len);
    return r;
}

/* -EBADMSG where the first line does not fit what follows. */
static int read_file(const char *dir, const char *name, const char *kind, struct bk_buf *ret)
{
    BK_AUTO_FREE char *path = join(dir, name);
    if (!path)
        return -ENOMEM;
    int r = bk_file_read(path, FILE_MAX, ret);
    if (r < 0)
        return r;
    struct bk_view content = bk_buf_view(ret);
    size_t line = bk_view_find(content, '\n');
    if (line == content.len)
        return -EBADMSG;
    content = bk_view_skip(content, line + 1);
    BK_AUTO_BUF struct bk_buf expected = { 0 };
    add_first_line(&expected, kind, content);
    if (expected.failed)
        return -ENOMEM;
    if (!bk_view_equal(bk_buf_view(&expected), bk_view_head(bk_buf_view(ret), line + 1)))
        return -EBADMSG;
    bk_buf_drop(ret, line + 1);
    return 0;
}

static void put_aside(const char *dir, const char *name)
{
    BK_AUTO_FREE char *path = join(dir, name);
    BK_AUTO_FREE char *aside = NULL;
    if (path && asprintf(&aside, "%s.damaged", path) >= 0 && rename(path, aside) < 0)
        (void)unlink(path);
}

int bk_profile_make_folder(const struct bk_profile *p)
{
    return make_folder(p->dir);
}

void bk_profile_put_aside(const struct bk_profile *p, const char *name)
{
    put_aside(p->dir, name);
}

/* ---- state.json ---- */

static void read_text(const json_t *object, const char *field, char *to, size_t size)
{
    const json_t *value = json_object_get(object, field);
    size_t len = json_is_string(value) ? json_string_length(value) : 0;
    if (len >= size)
        len = 0;
    if (len)
        memcpy(to, json_string_value(value), len);
    to[len] = 0;
}

static int64_t read_number(const json_t *object, const char *field, int64_t max)
{
    json_int_t n = json_integer_value(json_object_get(object, field));
    return n < 0 || n > max ? 0 : n;
}

static int read_state(struct bk_profile *p, struct bk_view text)
{
    json_t *json = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return -EBADMSG;
    }
    read_text(json, "endpoint", p->endpoint, sizeof p->endpoint);
    read_text(json, "user", p->user, sizeof p->user);
    read_text(json, "server", p->server, sizeof p->server);
    read_text(json, "services", p->services, sizeof p->services);
    read_text(json, "sts_uri", p->sts_uri, sizeof p->sts_uri);
    p->server_port = (uint16_t)read_number(json, "port", 65535);
    p->renew_after_ms = read_number(json, "renew_after", INT64_MAX);
    const json_t *trusted = json_object_get(json, "trusted");
    for (size_t i = 0; i < json_array_size(trusted); i++)
        bk_profile_trust(p, bk_view_of_str(json_string_value(json_array_get(trusted, i))));
    json_decref(json);
    return strlen(p->endpoint) == 36 ? 0 : -EBADMSG;
}

int bk_profile_save_state(struct bk_profile *p)
{
    if (!p->dir)
        return 0;
    json_t *trusted = json_array();
    for (int i = 0; i < p->n_trusted; i++)
        (void)json_array_append_new(trusted, json_string(p->trusted[i]));
    json_t *json =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:I,s:o}", "address", p->address, "endpoint",
                  p->endpoint, "user", p->user, "server", p->server, "services", p->services,
                  "sts_uri", p->sts_uri, "port", (int)p->server_port, "renew_after",
                  (json_int_t)p->renew_after_ms, "trusted", trusted);
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    json_decref(json);
    int r = text ? write_file(p->dir, "state.json", "state", bk_view_of_str(text)) : -ENOMEM;
    free(text);
    return r;
}

static void new_endpoint(struct bk_profile *p, const struct bk_random *random)
{
    uint8_t b[16];
    bk_random_uuid(random, b);
    bk_uuid_text(b, p->endpoint);
}

static void forget_state(struct bk_profile *p)
{
    p->endpoint[0] = p->user[0] = p->server[0] = p->services[0] = p->sts_uri[0] = 0;
    p->server_port = 0;
    p->renew_after_ms = 0;
    p->n_trusted = 0;
}

static int open_state(struct bk_profile *p, const struct bk_random *random)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    int r = p->dir ? read_file(p->dir, "state.json", "state", &text) : -ENOENT;
    if (r == 0)
        r = read_state(p, bk_buf_view(&text));
    if (r == 0)
        return 0;
    if (r == -ENOMEM)
        return r;
    forget_state(p);
    if (r != -ENOENT) {
        p->damage |= BK_PROFILE_STATE_DAMAGED;
        put_aside(p->dir, "state.json");
    }
    new_endpoint(p, random);
    return 0;
}

/* ---- identity.pem ---- */

static void wipe_buf(struct bk_buf *secret)
{
    if (secret->at)
        bk_wipe(secret->at, secret->cap);
    bk_buf_finish(secret);
}

/* The guard's secret, asked for once. */
static int know_secret(struct bk_profile *p)
{
    if (p->has_secret)
        return 0;
    if (!p->guard)
        return -ENOTSUP;
    int r = p->guard->get(p->guard->ctx, p->address, p->secret);
    p->has_secret = r == 0;
    return r;
}

/* -EBADMSG: encrypted with another secret than the guard keeps, or no key at all. */
static int decrypt_identity(struct bk_profile *p)
{
    struct bk_buf plain = { 0 };
    int r = know_secret(p);
    if (r == -ENOENT)
        r = bk_personal_key_strip(bk_buf_view(&p->identity), &plain);
    else if (r == 0)
        r = bk_personal_key_decrypt(bk_buf_view(&p->identity), p->secret, &plain);
    else if (r != -ENOMEM) {
        p->locked = r;
        r = 0;
    }
    wipe_buf(&p->identity);
    if (r == 0)
        p->identity = plain;
    else
        wipe_buf(&plain);
    return r;
}

static int open_identity(struct bk_profile *p)
{
    int r = p->dir ? read_file(p->dir, "identity.pem", "identity", &p->identity) : -ENOENT;
    if (r == 0) {
        p->encrypted = bk_personal_key_is_encrypted(bk_buf_view(&p->identity));
        p->plain = !p->encrypted;
    }
    if (r == 0 && p->encrypted)
        r = decrypt_identity(p);
    if (r == 0 || r == -ENOMEM)
        return r;
    wipe_buf(&p->identity);
    p->encrypted = p->plain = false;
    if (r != -ENOENT) {
        p->damage |= BK_PROFILE_IDENTITY_DAMAGED;
        put_aside(p->dir, "identity.pem");
    }
    return 0;
}

static int make_secret(struct bk_profile *p, const struct bk_random *random)
{
    int r = know_secret(p);
    if (r != -ENOENT)
        return r;
    bk_random_fill(random, p->secret, sizeof p->secret);
    r = p->guard->put(p->guard->ctx, p->address, p->secret);
    p->has_secret = r == 0;
    return r;
}

static int save_encrypted(struct bk_profile *p)
{
    struct bk_buf locked = { 0 };
    int r = bk_personal_key_encrypt(bk_buf_view(&p->identity), p->secret, &locked);
    if (r == 0)
        r = write_file(p->dir, "identity.pem", "identity", bk_buf_view(&locked));
    bk_buf_finish(&locked);
    if (r == 0) {
        p->encrypted = true;
        p->plain = false;
        p->locked = 0;
    }
    return r;
}

int bk_profile_save_identity(struct bk_profile *p, const struct bk_random *random)
{
    if (!p->dir)
        return 0;
    int r = p->guard ? make_secret(p, random) : -ENOTSUP;
    if (r == 0)
        return save_encrypted(p);
    if (p->encrypted)
        return r;
    r = write_file(p->dir, "identity.pem", "identity", bk_buf_view(&p->identity));
    if (r < 0)
        return r;
    bool is_new = p->guard && !p->plain;
    p->plain = true;
    return is_new ? BK_PROFILE_UNPROTECTED : 0;
}

static void forget_identity(struct bk_profile *p)
{
    wipe_buf(&p->identity);
    p->renew_after_ms = 0;
    p->locked = 0;
    p->encrypted = p->plain = false;
}

void bk_profile_drop_identity(struct bk_profile *p)
{
    forget_identity(p);
    if (p->root)
        (void)bk_profile_delete_identity(p->root, p->address);
}

/* ---- shown ---- */

static const char shown_first_line[] = "beckon-shown 1\n";

static void remember_shown(struct bk_profile *p, const uint8_t key[BK_PROFILE_KEY_SIZE])
{
    memcpy(p->shown[p->next_shown], key, BK_PROFILE_KEY_SIZE);
    p->next_shown = (p->next_shown + 1) % BK_PROFILE_SHOWN_MAX;
    if (p->n_shown < BK_PROFILE_SHOWN_MAX)
        p->n_shown++;
}

bool bk_profile_was_shown(const struct bk_profile *p, const uint8_t key[BK_PROFILE_KEY_SIZE])
{
    for (size_t i = 0; i < p->n_shown; i++)
        if (memcmp(p->shown[i], key, BK_PROFILE_KEY_SIZE) == 0)
            return true;
    return false;
}

/* Writes the ring anew, oldest first. */
static int rewrite_shown(struct bk_profile *p)
{
    int r = make_folder(p->dir);
    BK_AUTO_FREE char *path = join(p->dir, "shown");
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_buf_add_str(&text, shown_first_line);
    size_t oldest = p->n_shown < BK_PROFILE_SHOWN_MAX ? 0 : p->next_shown;
    for (size_t i = 0; i < p->n_shown; i++) {
        bk_buf_add_hex(&text, p->shown[(oldest + i) % BK_PROFILE_SHOWN_MAX], BK_PROFILE_KEY_SIZE);
        bk_buf_add_char(&text, '\n');
    }
    if (r == 0)
        r = !path || text.failed ? -ENOMEM : bk_file_replace(path, bk_buf_view(&text), 0600);
    if (r == 0)
        p->shown_lines = p->n_shown;
    return r;
}

static int append_line(const char *path, struct bk_view line)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, line.at, line.len);
    int r = n < 0 ? -errno : (size_t)n < line.len ? -ENOSPC : 0;
    if (r == 0 && fdatasync(fd) < 0)
        r = -errno;
    (void)close(fd);
    return r;
}

int bk_profile_note_shown(struct bk_profile *p, const uint8_t key[BK_PROFILE_KEY_SIZE])
{
    remember_shown(p, key);
    if (!p->dir)
        return 0;
    if (!p->shown_lines || p->shown_lines >= SHOWN_LINES_MAX)
        return rewrite_shown(p);
    BK_AUTO_FREE char *path = join(p->dir, "shown");
    BK_AUTO_BUF struct bk_buf line = { 0 };
    bk_buf_add_hex(&line, key, BK_PROFILE_KEY_SIZE);
    bk_buf_add_char(&line, '\n');
    if (!path || line.failed)
        return -ENOMEM;
    int r = append_line(path, bk_buf_view(&line));
    if (r < 0)
        return rewrite_shown(p);
    p->shown_lines++;
    return 0;
}

/* A last line without its end is what a power cut leaves: it was never acknowledged, so it is no damage. */
static void read_shown(struct bk_profile *p, struct bk_view text)
{
    if (!bk_view_starts_with(text, bk_view_of_str(shown_first_line))) {
        p->damage |= BK_PROFILE_SHOWN_DAMAGED;
        return;
    }
    text = bk_view_skip(text, strlen(shown_first_line));
    while (text.len) {
        size_t end = bk_view_find(text, '\n');
        uint8_t key[BK_PROFILE_KEY_SIZE];
        if (bk_hex_decode(bk_view_head(text, end), key, sizeof key) == 0 && end < text.len) {
            remember_shown(p, key);
            p->shown_lines++;
        } else if (end < text.len) {
            p->damage |= BK_PROFILE_SHOWN_DAMAGED;
        } else {
            p->shown_lines = 0; /* the next note writes the file anew */
            return;
        }
        text = bk_view_skip(text, end + 1);
    }
}

static int open_shown(struct bk_profile *p)
{
    p->shown = calloc(BK_PROFILE_SHOWN_MAX, sizeof *p->shown);
    if (!p->shown)
        return -ENOMEM;
    if (!p->dir)
        return 0;
    BK_AUTO_FREE char *path = join(p->dir, "shown");
    BK_AUTO_BUF struct bk_buf text = { 0 };
    int r = path ? bk_file_read(path, SHOWN_FILE_MAX, &text) : -ENOMEM;
    if (r == -ENOMEM)
        return r;
    if (r == 0)
        read_shown(p, bk_buf_view(&text));
    else if (r != -ENOENT)
        p->damage |= BK_PROFILE_SHOWN_DAMAGED;
    if (p->damage & BK_PROFILE_SHOWN_DAMAGED) {
        put_aside(p->dir, "shown");
        p->shown_lines = 0;
    }
    return 0;
}

/* ---- the whole ---- */

int bk_profile_open(struct bk_profile *profile, const char *root, const char *address,
                    const struct bk_random *random, const struct bk_client_guard *guard)
{
    struct bk_profile p = { .address = strdup(address), .guard = guard };
    int r = p.address ? 0 : -ENOMEM;
    if (r == 0 && root) {
        p.root = strdup(root);
        p.dir = join(root, address);
        r = p.root && p.dir ? 0 : -ENOMEM;
    }
    if (r == 0)
        r = open_state(&p, random);
    if (r == 0)
        r = open_identity(&p);
    if (r == 0)
        r = open_shown(&p);
    if (r < 0) {
        bk_profile_close(&p);
        return r;
    }
    *profile = p;
    return 0;
}

void bk_profile_close(struct bk_profile *p)
{
    forget_identity(p);
    bk_wipe(p->secret, sizeof p->secret);
    free(p->shown);
    free(p->dir);
    free(p->root);
    free(p->address);
    *p = (struct bk_profile){ 0 };
}

bool bk_profile_trusts(const struct bk_profile *p, struct bk_view host)
{
    for (int i = 0; i < p->n_trusted; i++)
        if (bk_view_equal_nocase(bk_view_of_str(p->trusted[i]), host))
            return true;
    return false;
}

void bk_profile_trust(struct bk_profile *p, struct bk_view host)
{
    if (!host.len || host.len >= sizeof p->trusted[0] || bk_profile_trusts(p, host))
        return;
    if (p->n_trusted == BK_PROFILE_TRUSTED_MAX) { /* the oldest decision is asked for again */
        memmove(p->trusted[0], p->trusted[1], sizeof p->trusted - sizeof p->trusted[0]);
        p->n_trusted--;
    }
    char *to = p->trusted[p->n_trusted++];
    memcpy(to, host.at, host.len);
    to[host.len] = 0;
}

/* ---- last-address ---- */

int bk_profile_save_last_address(const struct bk_profile *p)
{
    if (!p->root)
        return 0;
    return write_file(p->root, "last-address", "address", bk_view_of_str(p->address));
}

int bk_profile_last_address(const char *root, struct bk_buf *ret)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    int r = read_file(root, "last-address", "address", &text);
    if (r < 0)
        return r == -ENOMEM ? r : -ENOENT;
    bk_buf_add_view(ret, bk_view_trim(bk_buf_view(&text)));
    return ret->failed ? -ENOMEM : 0;
}

int bk_profile_peek(const char *root, const char *address, struct bk_profile_kept *ret)
{
    BK_AUTO_FREE char *dir = join(root, address);
    BK_AUTO_BUF struct bk_buf text = { 0 }, identity = { 0 };
    struct bk_profile_kept kept = { 0 };
    if (!dir)
        return -ENOMEM;
    int r = read_file(dir, "state.json", "state", &text);
    int identity_r = r == -ENOMEM ? r : read_file(dir, "identity.pem", "identity", &identity);
    if (r == -ENOMEM || identity_r == -ENOMEM)
        return -ENOMEM;
    if (r < 0 && identity_r < 0 && identity_r != -EBADMSG)
        return -ENOENT;
    json_t *json = r == 0 ? json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    read_text(json, "user", kept.user, sizeof kept.user);
    read_text(json, "server", kept.server, sizeof kept.server);
    read_text(json, "services", kept.services, sizeof kept.services);
    read_text(json, "endpoint", kept.endpoint, sizeof kept.endpoint);
    kept.server_port = (uint16_t)read_number(json, "port", 65535);
    json_decref(json);
    bool whole = identity_r == 0;
    kept.saved = whole || identity_r == -EBADMSG;
    kept.guarded = whole && bk_personal_key_is_encrypted(bk_buf_view(&identity));
    kept.not_after_ms = whole ? bk_personal_not_after_ms(bk_buf_view(&identity)) : 0;
    if (identity.at)
        bk_wipe(identity.at, identity.len);
    *ret = kept;
    return 0;
}

bool bk_profile_has_outgoing(const char *root, const char *address)
{
    BK_AUTO_FREE char *dir = join(root, address);
    BK_AUTO_FREE char *path = dir ? join(dir, "outgoing") : NULL;
    struct stat st;
    return path && stat(path, &st) == 0 && st.st_size > 0;
}

/* ---- deletion ---- */

static int remove_file(const char *dir, const char *name)
{
    BK_AUTO_FREE char *path = join(dir, name);
    if (!path)
        return -ENOMEM;
    if (unlink(path) == 0)
        return 1;
    return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
}

/* The file, what was put aside of it, and the copies that a cut-off replacement left behind. */
static int remove_kinds(const char *root, const char *address, const char *name)
{
    BK_AUTO_FREE char *path = join(root, address);
    if (!path)
        return -ENOMEM;
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    int result = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t len = strlen(name);
        if (strncmp(entry->d_name, name, len) != 0 ||
            (entry->d_name[len] && entry->d_name[len] != '.'))
            continue;
        int r = remove_file(path, entry->d_name);
        if (r < 0 || result == 0)
            result = result < 0 ? result : r;
    }
    (void)closedir(dir);
    (void)rmdir(path); /* succeeds once it is empty */
    return result;
}

int bk_profile_delete_identity(const char *root, const char *address)
{
    return remove_kinds(root, address, "identity.pem");
}

int bk_profile_delete_state(const char *root, const char *address)
{
    return remove_kinds(root, address, "state.json");
}

int bk_profile_delete_shown(const char *root, const char *address)
{
    return remove_kinds(root, address, "shown");
}

int bk_profile_delete_outgoing(const char *root, const char *address)
{
    return remove_kinds(root, address, "outgoing");
}

int bk_profile_delete_last_address(const char *root, const char *address)
{
    BK_AUTO_BUF struct bk_buf last = { 0 };
    if (bk_profile_last_address(root, &last) < 0 ||
        !bk_view_equal_nocase(bk_buf_view(&last), bk_view_of_str(address)))
        return 0;
    return remove_file(root, "last-address");
}
