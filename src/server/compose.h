/* SPDX-License-Identifier: Apache-2.0 */
/* server/compose.h - the truth table of presence (docs/behaviour.md, "Presence: truth table"). Pure. */
#ifndef BK_SERVER_COMPOSE_H
#define BK_SERVER_COMPOSE_H

#include "pidf/pidf.h"

/* Everything that is known of a person; the order in which it became known cannot matter, for it is not here. */
struct bk_presence_input {
    int n_endpoints;  /* registered, and not published as closed */
    bool unreachable; /* the home of this person cannot be asked */
    enum bk_pidf_manual manual;
    bool busy_by_endpoint; /* a plain client published busy for itself */
    bool presenting, in_call, in_conference;
    bool in_meeting;
    bool any_active, any_inactive; /* over all endpoints; neither: all are away or locked */
};
enum bk_pidf_shown bk_presence_compose(const struct bk_presence_input *in);

#endif
