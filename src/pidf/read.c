/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/text.h"
#include "pidf/names_private.h"

#include <errno.h>
#include <expat.h>

/*
 * In the order in which they are written. linphonec shows the last one and calls several of them
 * "Moved" (other, permanent-absence, ...): those come first, so that what it understands wins.
 */
const struct bk_pidf_activity_name bk_pidf_activity_names[] = {
    { "other", BK_PIDF_OTHER, false },
    { "permanent-absence", BK_PIDF_PERMANENT_ABSENCE, false },
    { "dinner", BK_PIDF_DINNER, false },
    { "sleeping", BK_PIDF_SLEEPING, false },
    { "vacation", BK_PIDF_VACATION, false },
    { "holiday", BK_PIDF_VACATION, true },
    { "away", BK_PIDF_AWAY, false },
    { "busy", BK_PIDF_BUSY, false },
    { "meeting", BK_PIDF_MEETING, false },
    { "appointment", BK_PIDF_MEETING, true },
    { "on-the-phone", BK_PIDF_ON_THE_PHONE, false },
    { "presentation", BK_PIDF_PRESENTATION, false },
};
const size_t bk_pidf_activity_names_len = BK_COUNT_OF(bk_pidf_activity_names);

/* Where the reader stands. What holds only text or attributes is a LEAF. */
enum place {
    ANYWHERE, /* in rules: any of the places that may hold RPID */
    OUTSIDE,
    PRESENCE,
    TUPLE,
    STATUS,
    PERSON,
    DEVICE,
    ACTIVITIES,
    LEAF,
};

struct rule;

struct reader {
    XML_Parser parser;
    struct bk_arena *arena;
    struct bk_pidf doc;
    struct bk_pidf_tuple tuple;                 /* the one being read */
    struct bk_view notes[3];                    /* person, document, tuple */
    const struct rule *open[BK_PIDF_DEPTH_MAX]; /* elements we know, outermost first */
    int depth;
    int skipping; /* elements open inside one that nobody knows */
    bool saw_presence;
    struct bk_buf text;
    const char *why;
    bool no_memory;
};

static void stop(struct reader *r, const char *why)
{
    if (!r->why)
        r->why = why;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

static struct bk_view keep(struct reader *r, struct bk_view v)
{
    if (v.len > BK_PIDF_TEXT_MAX) {
        stop(r, "a text is too long");
        return (struct bk_view){ 0 };
    }
    struct bk_view copy = bk_arena_copy(r->arena, v);
    if (v.len && !copy.at) {
        r->no_memory = true;
        stop(r, "out of memory");
    }
    return copy;
}

/* attributes: name, value pairs ended by NULL; names without a namespace are plain. */
static struct bk_view attribute(const char **attributes, const char *name)
{
    for (; attributes[0]; attributes += 2)
        if (strcmp(attributes[0], name) == 0)
            return bk_view_of_str(attributes[1]);
    return (struct bk_view){ 0 };
}

static void begin_presence(struct reader *r, const char **attributes)
{
    r->saw_presence = true;
    r->doc.entity = keep(r, attribute(attributes, "entity"));
}

static void begin_tuple(struct reader *r, const char **attributes)
{
    r->tuple = (struct bk_pidf_tuple){ .id = keep(r, attribute(attributes, "id")) };
}

static void begin_user_input(struct reader *r, const char **attributes)
{
    int64_t at;
    if (bk_time_iso_parse(attribute(attributes, "last-input"), &at) == 0)
        r->doc.idle_since_ms = at;
}

static void begin_manual(struct reader *r, const char **attributes)
{
    r->doc.manual = bk_pidf_manual_of(attribute(attributes, "state"));
}

static void begin_machine(struct reader *r, const char **attributes)
{
    r->doc.machine = bk_pidf_machine_of(attribute(attributes, "state"));
}

static void begin_shown(struct reader *r, const char **attributes)
{
    int64_t at;
    r->doc.shown = bk_pidf_shown_of(attribute(attributes, "state"));
    r->doc.since_ms = 0;
    if (r->doc.shown != BK_PIDF_SHOWN_MISSING &&
        bk_time_iso_parse(attribute(attributes, "since"), &at) == 0)
        r->doc.since_ms = at;
}

static void end_tuple(struct reader *r, struct bk_view text)
{
    (void)text;
    if (r->tuple.basic == BK_PIDF_OPEN ||
        (r->tuple.basic == BK_PIDF_CLOSED && r->doc.basic == BK_PIDF_BASIC_NONE))
        r->doc.basic = r->tuple.basic;
    if (r->doc.n_tuples < BK_PIDF_TUPLES_MAX)
        r->doc.tuples[r->doc.n_tuples++] = r->tuple;
}

static void end_basic(struct reader *r, struct bk_view text)
{
    text = bk_view_trim(text);
    if (bk_view_equal(text, BK_VIEW("open")))
        r->tuple.basic = BK_PIDF_OPEN;
    else if (bk_view_equal(text, BK_VIEW("closed")))
        r->tuple.basic = BK_PIDF_CLOSED;
}

static void end_contact(struct reader *r, struct bk_view text)
{
    r->tuple.contact = keep(r, bk_view_trim(text));
}

static void end_timestamp(struct reader *r, struct bk_view text)
{
    int64_t at;
    if (bk_time_iso_parse(bk_view_trim(text), &at) == 0)
        r->tuple.timestamp_ms = at;
}

/* A document may hold the same note in several languages: the first counts. */
static void keep_note(struct reader *r, struct bk_view *note, struct bk_view text)
{
    if (!note->len)
        *note = bk_view_trim(text).len ? keep(r, text) : BK_VIEW("");
}

static void end_person_note(struct reader *r, struct bk_view text)
{
    keep_note(r, &r->notes[0], text);
}

static void end_presence_note(struct reader *r, struct bk_view text)
{
    keep_note(r, &r->notes[1], text);
}

static void end_tuple_note(struct reader *r, struct bk_view text)
{
    keep_note(r, &r->tuple.note, text);
    if (!r->notes[2].len)
        r->notes[2] = r->tuple.note;
}

static void end_other(struct reader *r, struct bk_view text)
{
    r->doc.activities |= BK_PIDF_OTHER;
    if (!r->doc.other.len)
        r->doc.other = keep(r, bk_view_trim(text));
}

static void end_user_input(struct reader *r, struct bk_view text)
{
    if (bk_view_equal(bk_view_trim(text), BK_VIEW("idle")))
        r->doc.idle = true;
    else if (!r->doc.idle)
        r->doc.idle_since_ms = 0;
}

/*
 * What may stand where. RPID elements are looked for wherever clients have put them: RFC 4480 has
 * them in person, tuple and device, drafts had them in status. A name that no row knows is skipped
 * with all it holds.
 */
static const struct rule {
    enum place in;
    const char *ns, *name;
    enum place to;
    void (*begin)(struct reader *r, const char **attributes);
    void (*end)(struct reader *r, struct bk_view text); /* LEAF: gets its text */
} rules[] = {
    { OUTSIDE, NS_PIDF, "presence", PRESENCE, begin_presence, NULL },
    { PRESENCE, NS_PIDF, "tuple", TUPLE, begin_tuple, end_tuple },
    { PRESENCE, NS_PIDF, "note", LEAF, NULL, end_presence_note },
    { PRESENCE, NS_DM, "person", PERSON, NULL, NULL },
    { PRESENCE, NS_DM, "device", DEVICE, NULL, NULL },
    { TUPLE, NS_PIDF, "status", STATUS, NULL, NULL },
    { STATUS, NS_PIDF, "basic", LEAF, NULL, end_basic },
    { TUPLE, NS_PIDF, "contact", LEAF, NULL, end_contact },
    { TUPLE, NS_PIDF, "note", LEAF, NULL, end_tuple_note },
    { TUPLE, NS_PIDF, "timestamp", LEAF, NULL, end_timestamp },
    { PERSON, NS_DM, "note", LEAF, NULL, end_person_note },
    { PERSON, NS_RPID, "note", LEAF, NULL, end_person_note },
    { ACTIVITIES, NS_RPID, "other", LEAF, NULL, end_other },
    { ANYWHERE, NS_RPID, "activities", ACTIVITIES, NULL, NULL },
    { ANYWHERE, NS_RPID, "user-input", LEAF, begin_user_input, end_user_input },
    { ANYWHERE, NS_BECKON, "manual", LEAF, begin_manual, NULL },
    { ANYWHERE, NS_BECKON, "machine", LEAF, begin_machine, NULL },
    { ANYWHERE, NS_BECKON, "shown", LEAF, begin_shown, NULL },
};

static bool may_stand(enum place in, enum place at)
{
    if (in == ANYWHERE)
        return at == PERSON || at == TUPLE || at == STATUS || at == DEVICE;
    return in == at;
}

/* expat hands out "namespace|name"; a name without a namespace has no bar. */
static bool is_named(const char *full, const char *ns, const char *name)
{
    size_t len = strlen(ns);
    return strncmp(full, ns, len) == 0 && full[len] == '|' && strcmp(full + len + 1, name) == 0;
}

static const struct rule *find_rule(enum place at, const char *full)
{
    for (size_t i = 0; i < BK_COUNT_OF(rules); i++)
        if (may_stand(rules[i].in, at) && is_named(full, rules[i].ns, rules[i].name))
            return &rules[i];
    return NULL;
}

static enum place place_of(const struct reader *r)
{
    return r->depth ? r->open[r->depth - 1]->to : OUTSIDE;
}

static void note_activity(struct reader *r, const char *full)
{
    for (size_t i = 0; i < bk_pidf_activity_names_len; i++) {
        if (is_named(full, NS_RPID, bk_pidf_activity_names[i].name)) {
            r->doc.activities |= bk_pidf_activity_names[i].activity;
            return;
        }
    }
    if (!is_named(full, NS_RPID, "unknown") && !is_named(full, NS_RPID, "note") &&
        !is_named(full, NS_DM, "note"))
        r->doc.activities |= BK_PIDF_OTHER;
}

static void XMLCALL on_begin(void *user, const char *full, const char **attributes)
{
    struct reader *r = user;
    int n = 0;
    while (attributes[2 * n])
        n++;
    if (n > BK_PIDF_ATTRIBUTES_MAX) {
        stop(r, "an element has too many attributes");
        return;
    }
    if (r->depth + r->skipping >= BK_PIDF_DEPTH_MAX) {
        stop(r, "elements are nested too deep");
        return;
    }
    const struct rule *rule = r->skipping ? NULL : find_rule(place_of(r), full);
    if (!rule && !r->skipping && place_of(r) == ACTIVITIES)
        note_activity(r, full);
    if (!rule) {
        r->skipping++;
        return;
    }
    r->open[r->depth++] = rule;
    bk_buf_clear(&r->text);
    if (rule->begin)
        rule->begin(r, attributes);
}

static void XMLCALL on_end(void *user, const char *full)
{
    struct reader *r = user;
    (void)full;
    if (r->skipping) {
        r->skipping--;
        return;
    }
    if (!r->depth)
        return;
    const struct rule *rule = r->open[--r->depth];
    if (rule->end)
        rule->end(r, bk_buf_view(&r->text));
    bk_buf_clear(&r->text);
}

static void XMLCALL on_text(void *user, const char *at, int len)
{
    struct reader *r = user;
    if (r->skipping || len <= 0 || place_of(r) != LEAF)
        return;
    bk_buf_add(&r->text, at, (size_t)len);
    if (r->text.failed) {
        r->no_memory = true;
        stop(r, "out of memory");
    } else if (r->text.len > BK_PIDF_TEXT_MAX) {
        stop(r, "a text is too long");
    }
}

/* A document type could define entities that blow up or read files: none is taken. */
static void XMLCALL on_doctype(void *user, const char *name, const char *sysid, const char *pubid,
                               int internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)internal;
    stop(user, "a document type is not allowed");
}

static int read_all(struct reader *r, struct bk_view text)
{
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_begin, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    enum XML_Status status = XML_Parse(r->parser, text.at, (int)text.len, XML_TRUE);
    if (r->no_memory || XML_GetErrorCode(r->parser) == XML_ERROR_NO_MEMORY)
        return -ENOMEM;
    if (r->why)
        return -EBADMSG;
    if (status != XML_STATUS_OK) {
        r->why = "not well-formed XML";
        return -EBADMSG;
    }
    if (!r->saw_presence) {
        r->why = "no presence element of PIDF";
        return -EBADMSG;
    }
    return 0;
}

int bk_pidf_parse(struct bk_view text, struct bk_arena *arena, struct bk_pidf *ret,
                  const char **ret_why)
{
    if (text.len > BK_PIDF_BYTES_MAX) {
        *ret_why = "the document is too large";
        return -EBADMSG;
    }
    if (!text.len) {
        *ret_why = "the document is empty";
        return -EBADMSG;
    }
    struct reader r = { .arena = arena };
    /* expat asks its own random source for the salt of its tables. */
    r.parser = XML_ParserCreateNS(NULL, '|');
    if (!r.parser)
        return -ENOMEM;
    int result = read_all(&r, text);
    XML_ParserFree(r.parser);
    bk_buf_finish(&r.text);
    if (result < 0) {
        if (result == -EBADMSG)
            *ret_why = r.why;
        return result;
    }
    for (size_t i = 0; i < BK_COUNT_OF(r.notes) && !r.doc.note.len; i++)
        if (r.notes[i].at)
            r.doc.note = r.notes[i];
    *ret = r.doc;
    return 0;
}
