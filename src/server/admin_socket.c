/* SPDX-License-Identifier: Apache-2.0 */
#include "server/admin_socket.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct bk_admin_socket {
    struct bk_loop *loop;
    struct bk_admin *admin;
    struct evconnlistener *listener;
    struct bk_list clients;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
};

struct client {
    struct bk_list in_socket;
    struct bk_admin_socket *socket; /* NULL: it closed meanwhile */
    struct bufferevent *io;         /* NULL: the client left */
    int under_way;
    char actor[64];
};

static void client_settle(struct client *client)
{
    if (client->io || client->under_way)
        return;
    free(client);
}

static void client_end(struct client *client)
{
    if (client->io)
        bufferevent_free(client->io);
    client->io = NULL;
    bk_list_remove(&client->in_socket);
    client_settle(client);
}

static void reply(void *ctx, json_t *answer)
{
    struct client *client = ctx;
    client->under_way--;
    if (client->io) {
        char *line = json_dumps(answer, JSON_COMPACT);
        if (line) {
            bufferevent_write(client->io, line, strlen(line));
            bufferevent_write(client->io, "\n", 1);
        }
        free(line);
    }
    json_decref(answer);
    client_settle(client);
}

static void on_line(struct client *client, const char *line, size_t len)
{
    json_error_t error;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    client->under_way++;
    if (!request) {
        char text[256];
        snprintf(text, sizeof text, "The request is no JSON: %s at byte %d.", error.text,
                 error.position);
        reply(client,
              json_pack("{s:b, s:{s:s, s:s}}", "ok", 0, "error", "code", "usage", "text", text));
        return;
    }
    bk_admin_call(client->socket->admin, client->actor, request, reply, client);
    json_decref(request);
}

static void on_read(struct bufferevent *io, void *ctx)
{
    struct client *client = ctx;
    struct evbuffer *in = bufferevent_get_input(io);
    size_t len;
    char *line;
    while (client->io && (line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF))) {
        on_line(client, line, len);
        free(line);
    }
    if (client->io && evbuffer_get_length(in) > BK_ADMIN_LINE_MAX)
        client_end(client);
}

static void on_event(struct bufferevent *io, short what, void *ctx)
{
    (void)io;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        client_end(ctx);
}

static bool may_enter(int fd, char actor[64])
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
        (who.uid != 0 && who.uid != geteuid()))
        return false;
    struct passwd *user = getpwuid(who.uid);
    snprintf(actor, 64, "%s", user ? user->pw_name : "?");
    return true;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int len, void *ctx)
{
    struct bk_admin_socket *socket = ctx;
    struct client *client = calloc(1, sizeof *client);
    (void)listener;
    (void)from;
    (void)len;
    if (!client || !may_enter(fd, client->actor) ||
        !(client->io =
              bufferevent_socket_new(bk_loop_base(socket->loop), fd, BEV_OPT_CLOSE_ON_FREE))) {
        free(client);
        close(fd);
        return;
    }
    client->socket = socket;
    bk_list_append(&socket->clients, &client->in_socket);
    bufferevent_setcb(client->io, on_read, NULL, on_event, client);
    bufferevent_setwatermark(client->io, EV_READ, 0, BK_ADMIN_LINE_MAX + 4096);
    bufferevent_enable(client->io, EV_READ | EV_WRITE);
}

static bool somebody_listens(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

int bk_admin_socket_open(struct bk_loop *loop, const char *path, struct bk_admin *admin,
                         struct bk_admin_socket **ret)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof at.sun_path)
        return -ENAMETOOLONG;
    memcpy(at.sun_path, path, strlen(path));
    if (somebody_listens(&at))
        return -EADDRINUSE;
    unlink(path);
    struct bk_admin_socket *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->loop = loop;
    s->admin = admin;
    bk_list_init(&s->clients);
    memcpy(s->path, path, strlen(path));
    mode_t old = umask(0177);
    s->listener = evconnlistener_new_bind(bk_loop_base(loop), on_accept, s,
                                          LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 16,
                                          (struct sockaddr *)&at, sizeof at);
    int r = s->listener ? 0 : -errno;
    umask(old);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct bk_admin_socket *bk_admin_socket_close(struct bk_admin_socket *s)
{
    if (!s)
        return NULL;
    while (!bk_list_empty(&s->clients))
        client_end(bk_container_of(s->clients.next, struct client, in_socket));
    evconnlistener_free(s->listener);
    unlink(s->path);
    free(s);
    return NULL;
}
