/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords: read without echo, made, and turned into what may leave this process. */
#include "base/cleanup.h"
#include "base/random.h"
#include "base/text.h"
#include "ctl/ctl_private.h"
#include "server/password.h"
#include "sip/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

/* RFC 4648 base32 in lower case: no letter that is taken for a digit. */
static void add_letters(struct bk_buf *to, int n, int group)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t bytes[32];
    bk_random_fill(&bk_random_system, bytes, sizeof bytes);
    for (int i = 0; i < n; i++) {
        if (group && i && i % group == 0)
            bk_buf_add_char(to, '-');
        bk_buf_add_char(to, letters[bytes[i] & 31]);
    }
    bk_wipe(bytes, sizeof bytes);
}

void ctl_make_password(struct bk_buf *ret)
{
    add_letters(ret, 20, 5);
}

void ctl_make_device_password(struct bk_buf *ret)
{
    add_letters(ret, 26, 0);
}

static int read_line(struct ctl *ctl, struct bk_buf *ret)
{
    int c;
    ret->max = 4096;
    while ((c = fgetc(ctl->in)) != EOF && c != '\n')
        bk_buf_add_char(ret, (char)c);
    if (ret->len && ret->at[ret->len - 1] == '\r')
        ret->len--;
    if (ret->failed)
        return ctl_fail(ctl, CTL_USAGE, "the password is longer than 4096 bytes");
    if (!ret->len)
        return ctl_fail(ctl, CTL_USAGE, "standard input holds no password");
    return CTL_OK;
}

static int ask_once(struct ctl *ctl, const char *prompt, struct bk_buf *ret)
{
    struct termios before, silent;
    int fd = fileno(ctl->in);
    bool known = tcgetattr(fd, &before) == 0;
    fputs(prompt, ctl->err);
    fflush(ctl->err);
    if (known) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(fd, TCSAFLUSH, &silent);
    }
    int r = read_line(ctl, ret);
    if (known)
        tcsetattr(fd, TCSAFLUSH, &before);
    fputc('\n', ctl->err);
    return r;
}

static void wipe(struct bk_buf *buf)
{
    if (buf->at)
        bk_wipe(buf->at, buf->cap);
    bk_buf_finish(buf);
}

int ctl_read_secret(struct ctl *ctl, const char *what, struct bk_buf *ret)
{
    BK_CLEANUP(wipe) struct bk_buf again = { 0 };
    char prompt[128];
    int fd = fileno(ctl->in);
    if (fd < 0 || !isatty(fd))
        return read_line(ctl, ret);
    snprintf(prompt, sizeof prompt, "New %s: ", what);
    int r = ask_once(ctl, prompt, ret);
    snprintf(prompt, sizeof prompt, "The same %s again: ", what);
    if (r == CTL_OK)
        r = ask_once(ctl, prompt, &again);
    if (r == CTL_OK && !bk_view_equal(bk_buf_view(ret), bk_buf_view(&again)))
        r = ctl_fail(ctl, CTL_FAILED, "the two are not the same: nothing was changed");
    return r;
}

json_t *ctl_device(const char *address, const char *label, bool md5, struct bk_view password)
{
    BK_AUTO_FREE char *lower = strdup(address);
    char ha1_user[BK_DIGEST_HEX_MAX + 1], ha1_address[BK_DIGEST_HEX_MAX + 1];
    enum bk_digest_algorithm algorithm = md5 ? BK_DIGEST_MD5 : BK_DIGEST_SHA256;
    if (!lower)
        return NULL;
    bk_text_lower(lower, strlen(lower));
    struct bk_view whole = bk_view_of_str(lower);
    if (bk_view_starts_with(whole, BK_VIEW("sip:")))
        whole = bk_view_skip(whole, 4);
    size_t at = bk_view_find(whole, '@');
    struct bk_view domain = bk_view_skip(whole, at + 1);
    if (bk_digest_ha1(algorithm, bk_view_head(whole, at), domain, password, ha1_user) < 0 ||
        bk_digest_ha1(algorithm, whole, domain, password, ha1_address) < 0)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:s}", "label", label, "algorithm", md5 ? "MD5" : "SHA-256",
                     "ha1_user", ha1_user, "ha1_address", ha1_address);
}
