/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/fake_private.h - the three parts of the engine that plays a script: fake_script.c reads its events, fake_world.c is what a
 * server would know, fake_engine.c has the queue and the commands. */
#ifndef BK_DESKTOP_FAKE_PRIVATE_H
#define BK_DESKTOP_FAKE_PRIVATE_H

#include "base/arena.h"
#include "desktop/fake_engine.h"

#include <glib.h>
#include <jansson.h>

enum { BK_FAKE_ROWS_MAX = 100000 };
/* The group of those who are in none. */
#define BK_FAKE_OTHERS "~"

struct bk_fake {
    int fd; /* a timer: readable from the time on when the first event is due */
    json_t *script;
    GPtrArray *queue; /* struct waiting, in the order of their time */
    uint64_t seq, ids;
    bool hurried;
    unsigned n_out;
    GString *heard;
    /* What a server would know, for commands the script has no answer to. */
    char *address;
    json_t *people;   /* address -> its last presence event */
    json_t *groups;   /* names */
    json_t *contacts; /* address -> [name, group ...] */
    json_t *levels;   /* subject -> relation */
};

/* ---- fake_script.c ---- */

struct bk_fake_told {
    struct bk_client_event pub;
    struct bk_client_failure failure; /* of a message */
    struct bk_arena arena;
};

/* An event of the script with the words of the command that it answers. NULL with *ret_why: it is no event. */
struct bk_fake_told *bk_fake_told_make(struct bk_fake *fake, json_t *event, json_t *words,
                                       uint64_t id, const char **ret_why);
void bk_fake_told_free(struct bk_fake_told *told);
int bk_fake_int_at(json_t *object, const char *key);
/* NULL: all of them are events; else what is wrong (g_free). */
char *bk_fake_check_events(struct bk_fake *fake, json_t *events, const char *where);
char *bk_fake_check_script(struct bk_fake *fake);

/* ---- fake_world.c ---- */

/* What was told is what the server knows from then on. */
void bk_fake_learn(struct bk_fake *fake, json_t *event, const struct bk_fake_told *told);
/* What an edit changes; the list is told where it is another then. */
void bk_fake_change(struct bk_fake *fake, const struct bk_client_edit *wish, const char *address);
/* New events, the caller's. */
json_t *bk_fake_contacts_event(struct bk_fake *fake);
json_t *bk_fake_relations_event(struct bk_fake *fake);
json_t *bk_fake_own_presence(struct bk_fake *fake, const char *shown, const char *note);
/* Contacts whose name or address holds the text. */
json_t *bk_fake_found_event(struct bk_fake *fake, const char *text);

#endif
