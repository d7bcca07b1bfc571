/* SPDX-License-Identifier: Apache-2.0 */
/* The way to the store: the running server's socket, or, where none runs, the store itself. */
#include "base/cleanup.h"
#include "ctl/ctl_private.h"
#include "server/admin.h"
#include "server/admin_socket.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    BUSY_MS = 5000, /* patience with a store that somebody has */
    LOOK_AGAIN_MS = 20,
    ANSWER_MOST_S = 120,                       /* a backup of a large store takes that long */
    ANSWER_MAX_BYTES = 64 * BK_ADMIN_LINE_MAX, /* a list of a thousand users is 400 kB */
};

struct ctl_door {
    int fd; /* of the socket; -1: the store is open here */
    struct bk_buf in;
    struct bk_store *store;
    struct bk_directory *directory;
    struct bk_admin *admin;
    struct bk_log log;
};

const char *ctl_actor(void)
{
    /* Behind sudo the person counts, not root. */
    const char *sudo = geteuid() == 0 ? getenv("SUDO_USER") : NULL;
    struct passwd *user = sudo && *sudo ? getpwnam(sudo) : getpwuid(geteuid());
    return user ? user->pw_name : "?";
}

int ctl_load_settings(struct ctl *ctl)
{
    char *why = NULL;
    if (ctl->has_settings)
        return CTL_OK;
    int r = bk_settings_load(ctl->config, &ctl->settings, &why);
    if (r == 0) {
        ctl->has_settings = true;
        return CTL_OK;
    }
    r = ctl_fail(ctl, CTL_CONFIG, r == -ENOENT ? "%s%s" : "%s",
                 why ? why : "the configuration cannot be read",
                 ": beckonctl init DOMAIN makes one, --config FILE names another");
    free(why);
    return r;
}

/* ---- the server's socket ---- */

/* 0 and *ret_fd; -ECONNREFUSED, -ENOENT: nobody listens; another errno. */
static int reach_server(const char *path, int *ret_fd)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct timeval most = { .tv_sec = ANSWER_MOST_S };
    if (!*path)
        return -ENOENT;
    if (strlen(path) >= sizeof at.sun_path)
        return -ENAMETOOLONG;
    memcpy(at.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0) {
        int r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    *ret_fd = fd;
    return 0;
}

static int write_line(int fd, const char *line)
{
    for (size_t left = strlen(line); left;) {
        ssize_t n = send(fd, line, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EPIPE;
        line += n;
        left -= (size_t)n;
    }
    return 0;
}

/* The next line without its end, in door->in until it is dropped. */
static int read_line(struct ctl_door *door, size_t *ret_len)
{
    size_t searched = 0;
    for (;;) {
        struct bk_view rest = bk_view_skip(bk_buf_view(&door->in), searched);
        size_t end = bk_view_find(rest, '\n');
        if (end < rest.len) {
            *ret_len = searched + end;
            return 0;
        }
        searched = door->in.len;
        char *to = bk_buf_reserve(&door->in, 65536);
        if (!to)
            return -ENOMEM;
        ssize_t n = recv(door->fd, to, 65536, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EPIPE;
        door->in.len += (size_t)n;
    }
}

static int ask_server(struct ctl *ctl, json_t *request, json_t **ret_answer)
{
    struct ctl_door *door = ctl->door;
    size_t len;
    json_error_t error;
    BK_AUTO_FREE char *line = json_dumps(request, JSON_COMPACT);
    int r = line ? write_line(door->fd, line) : -ENOMEM;
    if (r == 0)
        r = write_line(door->fd, "\n");
    if (r == 0)
        r = read_line(door, &len);
    if (r == -EAGAIN)
        return ctl_fail(ctl, CTL_NOT_REACHABLE,
                        "the server took the request at %s but did not answer in %d seconds",
                        ctl->settings.admin_socket, ANSWER_MOST_S);
    if (r < 0)
        return ctl_fail(ctl, CTL_NOT_REACHABLE, "the server ended the conversation at %s: %s",
                        ctl->settings.admin_socket,
                        r == -EPIPE || r == -ECONNRESET ? "it did not let you in, or it stopped"
                                                        : strerror(-r));
    *ret_answer = json_loadb(door->in.at, len, 0, &error);
    bk_buf_drop(&door->in, len + 1);
    if (!*ret_answer)
        return ctl_fail(ctl, CTL_FAILED, "the server's answer is no JSON: %s", error.text);
    return CTL_OK;
}

/* ---- the store in this process ---- */

static void load_directory(void *ctx)
{
    struct ctl_door *door = ctx;
    struct bk_directory *fresh;
    if (bk_directory_load(door->store, &fresh) < 0)
        return; /* the next look-up of a policy shows what was there before */
    bk_directory_unref(door->directory);
    door->directory = fresh;
}

static const struct bk_directory *present_directory(void *ctx)
{
    return ((struct ctl_door *)ctx)->directory;
}

/* What root made belongs to whom the store belongs, or the server could not open it. */
static void give_lock_to_owner(const char *store)
{
    BK_AUTO_FREE char *lock = NULL;
    struct stat at;
    if (geteuid() == 0 && stat(store, &at) == 0 && asprintf(&lock, "%s.lock", store) > 0 &&
        lchown(lock, at.st_uid, at.st_gid) < 0)
        return;
}

/*
 * -EBUSY is often a passing state: the server has the store before it has its socket, and after, and another
 * beckonctl has it for a moment. So both ways are tried for a while. 0: door->fd or door->store is there.
 */
static int take_either(struct ctl *ctl, int *ret_server_said, const char **ret_why)
{
    struct ctl_door *door = ctl->door;
    struct bk_store_config config = {
        .path = ctl->settings.store,
        .clock = &bk_clock_system,
        .log = &door->log,
    };
    int64_t until = bk_clock_mono_ms(&bk_clock_system) + BUSY_MS;
    for (;;) {
        *ret_server_said = reach_server(ctl->settings.admin_socket, &door->fd);
        if (*ret_server_said != -ENOENT && *ret_server_said != -ECONNREFUSED)
            return *ret_server_said;
        if (access(config.path, F_OK) < 0)
            return -errno;
        int r = bk_store_open(&config, &door->store, ret_why);
        if (r != -EBUSY || bk_clock_mono_ms(&bk_clock_system) >= until)
            return r;
        nanosleep(&(struct timespec){ .tv_nsec = LOOK_AGAIN_MS * 1000000L }, NULL);
    }
}

static int start_admin(struct ctl *ctl)
{
    struct ctl_door *door = ctl->door;
    give_lock_to_owner(ctl->settings.store);
    load_directory(door);
    struct bk_admin_config admin = {
        .store = door->store,
        .clock = &bk_clock_system,
        .random = &bk_random_system,
        .directory_changed = load_directory,
        .directory = present_directory,
        .ctx = door,
    };
    if (!door->directory || bk_admin_create(&admin, &door->admin) < 0)
        return ctl_fail(ctl, CTL_FAILED, "%s: what it holds cannot be read", ctl->settings.store);
    return CTL_OK;
}

static int connect_door(struct ctl *ctl)
{
    const char *socket = ctl->settings.admin_socket, *store = ctl->settings.store, *why = NULL;
    int said, r = take_either(ctl, &said, &why);
    if (r == 0)
        return ctl->door->store ? start_admin(ctl) : CTL_OK;
    if (said != -ENOENT && said != -ECONNREFUSED)
        return ctl_fail(ctl, CTL_NOT_REACHABLE, "%s: %s%s", socket, strerror(-said),
                        said == -EACCES ? "; only root and the server's own user may administer"
                                        : "");
    if (r == -EBUSY)
        return ctl_fail(ctl, CTL_NOT_REACHABLE,
                        "%s is in use, but the server that has it does not answer at %s (%s)",
                        store, socket, strerror(-said));
    return ctl_fail(ctl, CTL_NOT_REACHABLE,
                    "no server answers at %s, and its store %s cannot be opened: %s", socket, store,
                    why ? why : strerror(-r));
}

static void keep_answer(void *ctx, json_t *answer)
{
    *(json_t **)ctx = answer;
}

static int ask_store(struct ctl *ctl, json_t *request, json_t **ret_answer)
{
    json_t *answer = NULL;
    bk_admin_call(ctl->door->admin, ctl_actor(), request, keep_answer, &answer);
    bk_store_pump(ctl->door->store);
    if (!answer)
        return ctl_fail(ctl, CTL_FAILED, "the store did not answer");
    *ret_answer = answer;
    return CTL_OK;
}

/* ---- both ---- */

static int open_door(struct ctl *ctl)
{
    if (ctl->door)
        return CTL_OK;
    int r = ctl_load_settings(ctl);
    if (r != CTL_OK)
        return r;
    ctl->door = calloc(1, sizeof *ctl->door);
    if (!ctl->door)
        return ctl_fail(ctl, CTL_FAILED, "out of memory");
    ctl->door->fd = -1;
    ctl->door->in.max = ANSWER_MAX_BYTES;
    ctl->door->log = (struct bk_log){ .level = BK_LOG_ERROR, .to = ctl->err };
    r = connect_door(ctl);
    if (r != CTL_OK)
        ctl_close(ctl);
    return r;
}

int ctl_ask(struct ctl *ctl, const char *op, json_t *args, json_t **ret_answer)
{
    int r = open_door(ctl);
    json_t *request = json_pack("{s:s, s:o}", "op", op, "args", args ? args : json_object());
    if (r == CTL_OK && !request)
        r = ctl_fail(ctl, CTL_FAILED, "an argument is not written in UTF-8");
    if (r == CTL_OK)
        r = ctl->door->fd >= 0 ? ask_server(ctl, request, ret_answer)
                               : ask_store(ctl, request, ret_answer);
    json_decref(request);
    return r;
}

int ctl_call(struct ctl *ctl, const char *op, json_t *args, json_t **ret_result)
{
    json_t *answer = NULL;
    int r = ctl_ask(ctl, op, args, &answer);
    if (r != CTL_OK)
        return r;
    json_t *result = json_object_get(answer, "result");
    if (json_is_true(json_object_get(answer, "ok")) && result) {
        *ret_result = json_incref(result);
        json_decref(answer);
        return CTL_OK;
    }
    json_t *error = json_object_get(answer, "error");
    const char *code = json_string_value(json_object_get(error, "code")),
               *text = json_string_value(json_object_get(error, "text"));
    bool json = ctl->json;
    ctl->json = false; /* the answer itself says more than ctl_fail would */
    r = ctl_fail(ctl, code && !strcmp(code, "usage") ? CTL_USAGE : CTL_FAILED, "%s",
                 text ? text : "refused without a reason");
    ctl->json = json;
    if (json && error)
        ctl_print_json(ctl, answer);
    json_decref(answer);
    return r;
}

int ctl_server_runs(struct ctl *ctl, bool *ret)
{
    int r = open_door(ctl);
    if (r == CTL_OK)
        *ret = ctl->door->fd >= 0;
    return r;
}

void ctl_close(struct ctl *ctl)
{
    struct ctl_door *door = ctl->door;
    ctl->door = NULL;
    if (!door)
        return;
    if (door->fd >= 0)
        close(door->fd);
    bk_buf_finish(&door->in);
    bk_admin_destroy(door->admin);
    bk_directory_unref(door->directory);
    bk_store_close(door->store);
    free(door);
}
