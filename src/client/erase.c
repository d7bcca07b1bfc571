/* SPDX-License-Identifier: Apache-2.0 */
/* "Delete my sign-in info" (docs/behaviour.md): sign out, revoke at the server, remove, tell line by line. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS_MAX = 8 };

struct erasure {
    struct bk_client_deleted rows[ROWS_MAX];
    int n;
};

static void add_row(struct erasure *e, const char *what, const char *result, bool ok)
{
    if (e->n < ROWS_MAX)
        e->rows[e->n++] = (struct bk_client_deleted){ what, result, ok };
}

static void add_removed(struct erasure *e, const char *what, int r)
{
    if (r < 0)
        add_row(e, what, strerror(-r), false);
    else
        add_row(e, what, r ? BK_SAY("removed") : BK_SAY("was not there"), true);
}

static void tell(struct bk_client *c, const char *address, const struct erasure *e)
{
    struct bk_event *event = bk_event_new(c, BK_CLIENT_EVENT_DELETED);
    if (!event)
        return;
    struct bk_client_deleted *rows = bk_arena_alloc(&event->arena, sizeof e->rows);
    if (!rows) {
        bk_event_free(event);
        return;
    }
    for (int i = 0; i < e->n; i++)
        rows[i] =
            (struct bk_client_deleted){ bk_event_text(event, e->rows[i].what),
                                        bk_event_text(event, e->rows[i].result), e->rows[i].ok };
    event->pub.deleted.address = bk_event_text(event, address);
    event->pub.deleted.rows = rows;
    event->pub.deleted.n_rows = e->n;
    bk_event_post(c, event);
}

/* Where there is no store there is no secret of ours in it. Left behind, it opens nothing: the key is gone. */
static void drop_secret(struct bk_client *c, const char *address, struct erasure *e)
{
    static const char what[] = BK_SAY("secret in the password store");
    int r = c->guard->drop(c->guard->ctx, address);
    if (r >= 0 || r == -ENOTSUP)
        add_removed(e, what, r > 0);
    else
        add_row(e, what, BK_SAY("not removed: the password store is locked or does not answer"),
                false);
}

/* revoked: what came of it, NULL: there was no certificate to revoke. */
static void remove_all(struct bk_client *c, const char *revoked, bool revoked_ok)
{
    BK_AUTO_FREE char *address = c->erase_address;
    c->erase_address = NULL;
    if (c->profile_open)
        bk_profile_close(&c->profile);
    c->profile_open = false;
    c->tls_own = bk_tls_client_unref(c->tls_own);
    struct erasure e = { 0 };
    add_row(&e, BK_SAY("saved password"), BK_SAY("never kept on this computer"), true);
    add_row(&e, BK_SAY("certificate at the server"),
            revoked ? revoked : BK_SAY("there was none on this computer"), revoked_ok);
    if (c->root) {
        add_removed(&e, BK_SAY("key and certificate"),
                    bk_profile_delete_identity(c->root, address));
        if (c->guard)
            drop_secret(c, address, &e);
        add_removed(&e, BK_SAY("server, number of this computer, user name and trust decisions"),
                    bk_profile_delete_state(c->root, address));
        add_removed(&e, BK_SAY("marks of messages shown"),
                    bk_profile_delete_shown(c->root, address));
        add_removed(&e, BK_SAY("messages not sent yet"),
                    bk_profile_delete_outgoing(c->root, address));
        add_removed(&e, BK_SAY("address in the list"),
                    bk_profile_delete_last_address(c->root, address));
    }
    tell(c, address, &e);
}

static void on_revoked(void *ctx, const struct bk_http_result *result)
{
    struct bk_client *c = ctx;
    char text[96];
    c->call = NULL;
    if (!c->erase_address)
        return;
    if (!result || result->failure != BK_HTTP_OK) {
        remove_all(c, BK_SAY("not revoked: the server could not be reached"), false);
    } else if (result->status / 100 == 2) {
        remove_all(c, BK_SAY("revoked"), true);
    } else if (result->status == 401 || result->status == 403) {
        remove_all(c, BK_SAY("was of no use any more"), true);
    } else {
        (void)snprintf(text, sizeof text, "not revoked: HTTP status %d", result->status);
        remove_all(c, text, false);
    }
}

void bk_erase_go_on(struct bk_client *c)
{
    if (!c->erase_address)
        return;
    struct bk_personal_info info;
    if (bk_profile_open(&c->profile, c->root, c->erase_address, c->random, c->guard) < 0) {
        remove_all(c, BK_SAY("not revoked: out of memory"), false);
        return;
    }
    c->profile_open = true;
    struct bk_view pem = bk_buf_view(&c->profile.identity);
    if (c->profile.locked) {
        remove_all(c,
                   BK_SAY("not revoked: the password store of this computer does not give its key"),
                   false);
        return;
    }
    if (!pem.len || bk_personal_check(pem, bk_view_of_str(c->erase_address), &info) != 0) {
        remove_all(c, NULL, true);
        return;
    }
    if (c->profile.sts_uri[0]) {
        remove_all(
            c,
            BK_SAY("not revoked, this server takes none back: without its key, which was here "
                   "alone, it is worth nothing"),
            true);
        return;
    }
    if (!c->profile.services[0] || bk_services_use_identity(c) < 0) {
        remove_all(c, BK_SAY("not revoked: no server is known"), false);
        return;
    }
    bk_services_revoke(c, c->profile.services, c->tls_own, on_revoked);
}

void bk_erase_finish(struct bk_client *c)
{
    if (!c->erase_address)
        return;
    if (c->call)
        bk_http_call_cancel(c->call);
    c->call = NULL;
    remove_all(c, BK_SAY("not revoked: the server could not be reached"), false);
}

void bk_erase_begin(struct bk_client *c, const char *address)
{
    free(c->erase_address);
    c->erase_address = strdup(address);
    if (!c->erase_address)
        return;
    if (c->state == BK_CLIENT_IDLE || c->state == BK_CLIENT_SIGNED_OUT)
        bk_erase_go_on(c);
    else if (strcmp(c->address, address) == 0)
        bk_client_feed(c, IN_SIGN_OUT);           /* what follows is called from there */
    else if (c->state != BK_CLIENT_SIGNING_OUT) { /* else it goes on where that session ends */
        free(c->erase_address);
        c->erase_address = NULL;
        bk_tell_notice(c,
                       BK_SAY("Sign out first, then delete the sign-in info of another address."));
    }
}
