/* SPDX-License-Identifier: Apache-2.0 */
/* ms/category.h - enhanced presence: publications by category, what watchers and the person's own endpoints are told. */
#ifndef BK_MS_CATEGORY_H
#define BK_MS_CATEGORY_H

#include "ms/xml.h"
#include "pidf/pidf.h"

#define BK_MS_PUBLISH_CONTENT_TYPE "application/msrtc-category-publish+xml"
#define BK_MS_CATEGORIES_CONTENT_TYPE "application/msrtc-event-categories+xml"
#define BK_MS_SELF_CONTENT_TYPE "application/vnd-microsoft-roaming-self+xml"
#define BK_MS_FAULT_CONTENT_TYPE "application/msrtc-fault+xml"

enum {
    BK_MS_PUBLICATIONS_MAX = 64, /* in one request */
    BK_MS_CATEGORY_NAME_MAX = 64,
    BK_MS_CATEGORY_BYTES_MAX = 64 * 1024, /* of one publication's content */
    BK_MS_NOTE_MAX = 1024,
};

/* How long a publication lives: with the account, the endpoint's sign-in, the last endpoint's, or some seconds. */
enum bk_ms_expire {
    BK_MS_EXPIRE_STATIC,
    BK_MS_EXPIRE_ENDPOINT,
    BK_MS_EXPIRE_USER,
    BK_MS_EXPIRE_TIME,
    BK_MS_EXPIRE_COUNT,
};
const char *bk_ms_expire_name(enum bk_ms_expire expire); /* "static" */

/* ---- publishing ---- */
/* One wish of a <publish>. The key is category, instance, container; version is what the client believes is there now. */
struct bk_ms_publication {
    struct bk_view category; /* "state", "note", "device" ... */
    uint32_t instance;
    uint32_t container;
    uint32_t version;
    enum bk_ms_expire expire;
    int64_t expires_s;               /* -1: not given */
    bool removes;                    /* expires="0" */
    const struct bk_ms_xml *content; /* NULL: nothing inside, or removes */
};
struct bk_ms_publish {
    struct bk_view address; /* whose, lower case */
    int n;
    struct bk_ms_publication items[BK_MS_PUBLICATIONS_MAX];
};
/* 0; -EBADMSG with *ret_why static; -ENOMEM. Views and trees live in the arena. */
int bk_ms_publish_parse(struct bk_view body, struct bk_arena *arena, struct bk_ms_publish *ret,
                        const char **ret_why);

/* The 409: which wish (counted from 1) met which version. */
struct bk_ms_conflict {
    int index;
    uint32_t version;
};
void bk_ms_fault_write(struct bk_buf *to, const struct bk_ms_conflict *conflicts, int n);

/* ---- what is inside ---- */
enum bk_ms_state_type {
    BK_MS_STATE_OTHER,
    BK_MS_STATE_MACHINE,
    BK_MS_STATE_USER,
    BK_MS_STATE_PHONE,
    BK_MS_STATE_CALENDAR,
    BK_MS_STATE_CONFERENCE,
    BK_MS_STATE_AGGREGATE,
};
struct bk_ms_state {
    enum bk_ms_state_type type;
    int availability;        /* 3500 and so on; 0: none */
    struct bk_view activity; /* token: "on-the-phone"; empty: none */
    int64_t until_ms;        /* calendarState endTime; 0: not given */
};
/* 0, or -EBADMSG: no <state> with a number. Views point into the tree. */
int bk_ms_state_read(const struct bk_ms_xml *content, struct bk_ms_state *ret);
/* The personal text of a <note>; at == NULL: it has none. */
struct bk_view bk_ms_note_read(const struct bk_ms_xml *content);

/* docs/behaviour.md, "Presence: documents"; numbers are read by their ranges. */
enum bk_pidf_manual
bk_ms_manual_of(const struct bk_ms_state *state); /* of a userState; never MISSING */
enum bk_pidf_machine
bk_ms_machine_of(const struct bk_ms_state *state);          /* of a machineState; never MISSING */
bool bk_ms_machine_closed(const struct bk_ms_state *state); /* it says that it is not there */
int bk_ms_availability_of(enum bk_pidf_shown shown);
const char *bk_ms_activity_of(enum bk_pidf_shown shown); /* NULL: none */
/* The other way: what a watcher reads. Never MISSING. */
enum bk_pidf_shown bk_ms_shown_of(int availability, struct bk_view activity);
/* The number of a manual choice, as a userState has it: 0 for none. */
int bk_ms_availability_of_manual(enum bk_pidf_manual manual);

/* ---- documents ---- */
/* <categories uri="sip:...">; between them <category> elements. */
void bk_ms_categories_begin(struct bk_buf *to, struct bk_view address);
void bk_ms_categories_end(struct bk_buf *to);
struct bk_ms_category {
    struct bk_view name;
    uint32_t instance;
    int64_t published_ms; /* real time; 0: not told */
    bool own; /* for the person's own endpoints: container, version and expiry are told */
    uint32_t container, version;
    enum bk_ms_expire expire;
    struct bk_view content; /* one element as XML; empty: the category holds nothing */
};
void bk_ms_category_write(struct bk_buf *to, const struct bk_ms_category *category);
/* "Nothing of this name is left", for the person's own endpoints. */
void bk_ms_category_gone(struct bk_buf *to, struct bk_view name);

/* Contents. active_ms 0: the time of the last activity is not told. */
void bk_ms_aggregate_write(struct bk_buf *to, enum bk_pidf_shown shown, int64_t active_ms);
/* Empty text: a note that is taken away. */
void bk_ms_note_write(struct bk_buf *to, struct bk_view text);
void bk_ms_user_state_write(struct bk_buf *to, enum bk_pidf_manual manual);

struct bk_ms_card {
    struct bk_view display_name, email;                /* for everybody, the blocked too */
    struct bk_view company, department, title, office; /* empty: not told */
};
void bk_ms_card_write(struct bk_buf *to, const struct bk_ms_card *card);
/*
 * A contact card somebody published himself, cut to what a relation sees (docs/behaviour.md, "Relations"): phones by their type,
 * titles and office not for the blocked. relation: 100, 200, 300, 400, 32000.
 */
void bk_ms_card_filter(struct bk_buf *to, const struct bk_ms_xml *card, int relation);

/* ---- roaming self ---- */
enum bk_ms_self_part {
    BK_MS_SELF_CATEGORIES = 1,
    BK_MS_SELF_CONTAINERS = 2,
    BK_MS_SELF_SUBSCRIBERS = 4
};
/* What a <roamingList> asks for, or'ed; all of it where the body is empty. -EBADMSG, -ENOMEM. */
int bk_ms_self_parse(struct bk_view body, struct bk_arena *arena, unsigned *ret,
                     const char **ret_why);
void bk_ms_self_begin(struct bk_buf *to);
void bk_ms_self_end(struct bk_buf *to);

#endif
