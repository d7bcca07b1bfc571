/* SPDX-License-Identifier: Apache-2.0 */
/* pidf/pidf.h - presence documents: PIDF (RFC 3863) with RPID (RFC 4480) and our own few elements. */
#ifndef BK_PIDF_PIDF_H
#define BK_PIDF_PIDF_H

#include "base/arena.h"
#include "base/buf.h"

/*
 * One model, read and written here by server and client. Plain clients understand the PIDF and RPID
 * part; elements in the namespace "urn:beckon:presence" (written with the prefix b) say exactly
 * what PIDF cannot (docs/behaviour.md, "Presence: documents"):
 *
 *   <b:manual state="busy"/>                      what the person chose; in PUBLISH; left out: no change
 *   <b:machine state="inactive"/>                 what this computer saw;  in PUBLISH
 *   <b:shown state="in-call" since="2026-..Z"/>   what the server decided; in NOTIFY
 */
enum bk_pidf_basic {
    BK_PIDF_BASIC_NONE, /* no tuple says anything: unknown */
    BK_PIDF_OPEN,
    BK_PIDF_CLOSED,
};

enum bk_pidf_manual {
    BK_PIDF_MANUAL_MISSING, /* no such element: not our client */
    BK_PIDF_MANUAL_NONE,    /* "none": reset, the automatic states count */
    BK_PIDF_MANUAL_BUSY,
    BK_PIDF_MANUAL_DND,
    BK_PIDF_MANUAL_BRB,
    BK_PIDF_MANUAL_AWAY,
    BK_PIDF_MANUAL_OFFWORK,
    BK_PIDF_MANUAL_OFFLINE, /* appear offline */
    BK_PIDF_MANUAL_COUNT,
};

enum bk_pidf_machine {
    BK_PIDF_MACHINE_MISSING,
    BK_PIDF_MACHINE_ACTIVE,
    BK_PIDF_MACHINE_INACTIVE,
    BK_PIDF_MACHINE_AWAY, /* also: the screen is locked */
    BK_PIDF_MACHINE_COUNT,
};

enum bk_pidf_shown {
    BK_PIDF_SHOWN_MISSING,
    BK_PIDF_SHOWN_UNKNOWN,
    BK_PIDF_SHOWN_OFFLINE,
    BK_PIDF_SHOWN_AVAILABLE,
    BK_PIDF_SHOWN_AVAILABLE_INACTIVE,
    BK_PIDF_SHOWN_BUSY,
    BK_PIDF_SHOWN_BUSY_INACTIVE,
    BK_PIDF_SHOWN_IN_CALL,
    BK_PIDF_SHOWN_IN_CONFERENCE,
    BK_PIDF_SHOWN_IN_MEETING,
    BK_PIDF_SHOWN_DND,
    BK_PIDF_SHOWN_PRESENTING,
    BK_PIDF_SHOWN_BRB,
    BK_PIDF_SHOWN_AWAY,
    BK_PIDF_SHOWN_OFFWORK,
    BK_PIDF_SHOWN_COUNT,
};

/* The words above as they stand in documents, commands and JSON; "" for MISSING. */
const char *bk_pidf_manual_name(enum bk_pidf_manual manual);
const char *bk_pidf_machine_name(enum bk_pidf_machine machine);
const char *bk_pidf_shown_name(enum bk_pidf_shown shown);
/* MISSING for any other word. */
enum bk_pidf_manual bk_pidf_manual_of(struct bk_view name);
enum bk_pidf_machine bk_pidf_machine_of(struct bk_view name);
enum bk_pidf_shown bk_pidf_shown_of(struct bk_view name);
/* "In a call", for people. */
const char *bk_pidf_shown_title(enum bk_pidf_shown shown);

/* RPID activities, a set. Those without a name here that RFC 4480 has count as OTHER. */
enum bk_pidf_activity {
    BK_PIDF_AWAY = 1 << 0,
    BK_PIDF_BUSY = 1 << 1,
    BK_PIDF_DINNER = 1 << 2,
    BK_PIDF_MEETING = 1 << 3, /* also appointment */
    BK_PIDF_ON_THE_PHONE = 1 << 4,
    BK_PIDF_PERMANENT_ABSENCE = 1 << 5,
    BK_PIDF_PRESENTATION = 1 << 6,
    BK_PIDF_SLEEPING = 1 << 7,
    BK_PIDF_VACATION = 1 << 8, /* also holiday */
    BK_PIDF_OTHER = 1 << 9,
};

/* From the security limits: a document over one of these is refused, not cut. */
enum {
    BK_PIDF_BYTES_MAX = 256 * 1024,
    BK_PIDF_DEPTH_MAX = 32,
    BK_PIDF_ATTRIBUTES_MAX = 64,
    BK_PIDF_TEXT_MAX = 4096, /* bytes of one note, contact, id */
    BK_PIDF_TUPLES_MAX = 16, /* further tuples count for basic, but are not listed */
};

struct bk_pidf_tuple {
    struct bk_view id;
    enum bk_pidf_basic basic;
    struct bk_view contact; /* empty: none */
    struct bk_view note;    /* empty: none */
    int64_t timestamp_ms;   /* real time; 0: none */
};

/* {0} is the empty document. Texts are UTF-8 without escapes, owned by whoever filled them in. */
struct bk_pidf {
    struct bk_view entity; /* "sip:ann@example.org" or "pres:..." as written */
    struct bk_pidf_tuple tuples[BK_PIDF_TUPLES_MAX];
    int n_tuples;
    enum bk_pidf_basic basic; /* read: open when any tuple is; written only through tuples */
    unsigned activities;      /* enum bk_pidf_activity, or'ed, of person, tuples and devices */
    struct bk_view other;     /* text of <rpid:other>, "dnd" for do not disturb */
    bool idle;                /* rpid:user-input idle */
    int64_t idle_since_ms;    /* its last-input; 0: not given */
    /*
     * Of the person, else of the document, else of the first tuple that has one. at == NULL: there is
     * none, a publication leaves the kept note alone; not NULL and empty: it takes the note away.
     */
    struct bk_view note;
    enum bk_pidf_manual manual;
    enum bk_pidf_machine machine;
    enum bk_pidf_shown shown;
    int64_t since_ms; /* of shown; 0: not given */
};

/*
 * Reads; texts are copied to the arena. 0; -EBADMSG with *ret_why a static text that names the fault
 * (not well-formed, no presence element, a document type, a limit above); -ENOMEM. Unknown
 * elements and attributes are skipped with all they hold. *ret is untouched on failure.
 */
int bk_pidf_parse(struct bk_view text, struct bk_arena *arena, struct bk_pidf *ret,
                  const char **ret_why);

/*
 * Writes; what XML cannot hold (control bytes, broken UTF-8) becomes U+FFFD, so any text from a
 * person gives a well-formed document. Reading it gives the same model again, but for texts
 * over BK_PIDF_TEXT_MAX.
 */
void bk_pidf_write(struct bk_buf *to, const struct bk_pidf *doc);

/*
 * The state a document shows: its own b:shown, else what docs/behaviour.md, "Presence: documents" reads from a plain
 * client's PIDF. Never MISSING.
 */
enum bk_pidf_shown bk_pidf_read_shown(const struct bk_pidf *doc);

/*
 * The other way, for a NOTIFY: fills shown, activities, other, idle, and one tuple (none for
 * UNKNOWN), as 13b renders the state for plain clients. entity, note, since_ms stay the caller's.
 */
void bk_pidf_render_shown(struct bk_pidf *doc, enum bk_pidf_shown shown);

#define BK_PIDF_CONTENT_TYPE "application/pidf+xml"

#endif
