/* SPDX-License-Identifier: Apache-2.0 */
/* A new password, asked for on the terminal: because somebody wants one, or because signing in demands it (SI-206). */
#include "base/cleanup.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES = 3 };

static struct {
    char *old, *fresh;
    int tries;         /* new passwords that policy may still refuse */
    bool under_way;    /* the engine was asked */
    bool then_sign_in; /* it stood between somebody and signing in */
    bool changed;
} change;

static void forget(void)
{
    cli_wipe(change.old);
    cli_wipe(change.fresh);
    memset(&change, 0, sizeof change);
}

/* The same twice. NULL: no terminal, or an empty line, which means no. */
static char *ask_twice(void)
{
    for (int i = 0; i < TRIES; i++) {
        char *one = cli_ask("New password: ", false);
        char *other = one && *one ? cli_ask("New password, once more: ", false) : NULL;
        bool typed = other != NULL;
        bool same = typed && strcmp(one, other) == 0;
        cli_wipe(other);
        if (same)
            return one;
        cli_wipe(one);
        if (!typed)
            return NULL;
        (void)puts("  The two differ, so once again.");
    }
    return NULL;
}

/* False: nothing was chosen. */
static bool submit(struct cli *cli)
{
    cli_wipe(change.fresh);
    change.fresh = ask_twice();
    change.under_way =
        change.fresh && bk_client_change_password(cli->client, cli->address, cli->user, change.old,
                                                  change.fresh) == 0;
    if (!change.under_way)
        forget();
    return change.under_way;
}

bool cli_password_begin(struct cli *cli, bool then_sign_in)
{
    forget();
    if (!cli->address)
        return false;
    if (then_sign_in)
        (void)puts("  Change it now: type the present one, then the new one twice.");
    change.old = !then_sign_in && cli->password ? strdup(cli->password)
                                                : cli_ask("Present password: ", false);
    change.then_sign_in = then_sign_in;
    change.tries = TRIES;
    if (!change.old || !*change.old) {
        forget();
        return false;
    }
    return submit(cli);
}

enum cli_password_step cli_password_event(struct cli *cli, const struct bk_client_event *event)
{
    if (!change.under_way)
        return CLI_PASSWORD_NONE;
    if (event->type == BK_CLIENT_EVENT_FAILURE) {
        /* The present one was right, the new one is not what policy wants: only that is asked again. */
        if (strcmp(event->failure.id, "SI-224") == 0 && --change.tries > 0 && submit(cli))
            return CLI_PASSWORD_GOES_ON;
        forget();
        return CLI_PASSWORD_FAILED;
    }
    if (event->type == BK_CLIENT_EVENT_NOTICE && !*event->failure.id)
        change.changed = true;
    if (event->type != BK_CLIENT_EVENT_STATE || event->state.state != BK_CLIENT_SIGNED_OUT ||
        !change.changed)
        return CLI_PASSWORD_GOES_ON; /* also the end of the sign-in that led here */
    bool then_sign_in = change.then_sign_in;
    if (then_sign_in)
        (void)bk_client_sign_in(cli->client, cli->address, change.fresh, cli->user);
    forget();
    return then_sign_in ? CLI_PASSWORD_GOES_ON : CLI_PASSWORD_DONE;
}

void cli_password_end(void)
{
    forget();
}
