/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "pidf/pidf.h"

static const char *const manual_names[BK_PIDF_MANUAL_COUNT] = {
    [BK_PIDF_MANUAL_MISSING] = "",        [BK_PIDF_MANUAL_NONE] = "none",
    [BK_PIDF_MANUAL_BUSY] = "busy",       [BK_PIDF_MANUAL_DND] = "dnd",
    [BK_PIDF_MANUAL_BRB] = "brb",         [BK_PIDF_MANUAL_AWAY] = "away",
    [BK_PIDF_MANUAL_OFFWORK] = "offwork", [BK_PIDF_MANUAL_OFFLINE] = "offline",
};

static const char *const machine_names[BK_PIDF_MACHINE_COUNT] = {
    [BK_PIDF_MACHINE_MISSING] = "",
    [BK_PIDF_MACHINE_ACTIVE] = "active",
    [BK_PIDF_MACHINE_INACTIVE] = "inactive",
    [BK_PIDF_MACHINE_AWAY] = "away",
};

/*
 * One row per state, and what a plain client is shown for it. baresip 1.0 knows only away, busy and
 * on-the-phone (and shows who is away as offline), so a meeting is busy as well, off work away.
 */
static const struct shown {
    const char *name, *title;
    enum bk_pidf_basic basic;
    unsigned activities;
    const char *other;
    bool idle;
} shown_rows[BK_PIDF_SHOWN_COUNT] = {
    [BK_PIDF_SHOWN_MISSING] = { "", "", BK_PIDF_BASIC_NONE, 0, "", false },
    [BK_PIDF_SHOWN_UNKNOWN] = { "unknown", "Unknown", BK_PIDF_BASIC_NONE, 0, "", false },
    [BK_PIDF_SHOWN_OFFLINE] = { "offline", "Offline", BK_PIDF_CLOSED, 0, "", false },
    [BK_PIDF_SHOWN_AVAILABLE] = { "available", "Available", BK_PIDF_OPEN, 0, "", false },
    [BK_PIDF_SHOWN_AVAILABLE_INACTIVE] = { "available-inactive", "Inactive", BK_PIDF_OPEN, 0, "",
                                           true },
    [BK_PIDF_SHOWN_BUSY] = { "busy", "Busy", BK_PIDF_OPEN, BK_PIDF_BUSY, "", false },
    [BK_PIDF_SHOWN_BUSY_INACTIVE] = { "busy-inactive", "Busy (inactive)", BK_PIDF_OPEN,
                                      BK_PIDF_BUSY, "", true },
    [BK_PIDF_SHOWN_IN_CALL] = { "in-call", "In a call", BK_PIDF_OPEN, BK_PIDF_ON_THE_PHONE, "",
                                false },
    [BK_PIDF_SHOWN_IN_CONFERENCE] = { "in-conference", "In a conference", BK_PIDF_OPEN,
                                      BK_PIDF_ON_THE_PHONE, "", false },
    [BK_PIDF_SHOWN_IN_MEETING] = { "in-meeting", "In a meeting", BK_PIDF_OPEN,
                                   BK_PIDF_BUSY | BK_PIDF_MEETING, "", false },
    [BK_PIDF_SHOWN_DND] = { "dnd", "Do not disturb", BK_PIDF_OPEN, BK_PIDF_BUSY | BK_PIDF_OTHER,
                            "dnd", false },
    [BK_PIDF_SHOWN_PRESENTING] = { "presenting", "Presenting", BK_PIDF_OPEN,
                                   BK_PIDF_BUSY | BK_PIDF_PRESENTATION | BK_PIDF_OTHER, "dnd",
                                   false },
    [BK_PIDF_SHOWN_BRB] = { "brb", "Be right back", BK_PIDF_OPEN, BK_PIDF_AWAY, "", false },
    [BK_PIDF_SHOWN_AWAY] = { "away", "Away", BK_PIDF_OPEN, BK_PIDF_AWAY, "", false },
    [BK_PIDF_SHOWN_OFFWORK] = { "offwork", "Off work", BK_PIDF_OPEN,
                                BK_PIDF_AWAY | BK_PIDF_PERMANENT_ABSENCE, "", false },
};

const char *bk_pidf_manual_name(enum bk_pidf_manual manual)
{
    return manual < BK_PIDF_MANUAL_COUNT ? manual_names[manual] : "";
}

const char *bk_pidf_machine_name(enum bk_pidf_machine machine)
{
    return machine < BK_PIDF_MACHINE_COUNT ? machine_names[machine] : "";
}

const char *bk_pidf_shown_name(enum bk_pidf_shown shown)
{
    return shown < BK_PIDF_SHOWN_COUNT ? shown_rows[shown].name : "";
}

const char *bk_pidf_shown_title(enum bk_pidf_shown shown)
{
    return shown < BK_PIDF_SHOWN_COUNT ? shown_rows[shown].title : "";
}

enum bk_pidf_manual bk_pidf_manual_of(struct bk_view name)
{
    for (unsigned i = 1; i < BK_PIDF_MANUAL_COUNT; i++)
        if (bk_view_equal(name, bk_view_of_str(manual_names[i])))
            return (enum bk_pidf_manual)i;
    return BK_PIDF_MANUAL_MISSING;
}

enum bk_pidf_machine bk_pidf_machine_of(struct bk_view name)
{
    for (unsigned i = 1; i < BK_PIDF_MACHINE_COUNT; i++)
        if (bk_view_equal(name, bk_view_of_str(machine_names[i])))
            return (enum bk_pidf_machine)i;
    return BK_PIDF_MACHINE_MISSING;
}

enum bk_pidf_shown bk_pidf_shown_of(struct bk_view name)
{
    for (unsigned i = 1; i < BK_PIDF_SHOWN_COUNT; i++)
        if (bk_view_equal(name, bk_view_of_str(shown_rows[i].name)))
            return (enum bk_pidf_shown)i;
    return BK_PIDF_SHOWN_MISSING;
}

enum bk_pidf_shown bk_pidf_read_shown(const struct bk_pidf *doc)
{
    if (doc->shown != BK_PIDF_SHOWN_MISSING)
        return doc->shown;
    if (doc->basic == BK_PIDF_BASIC_NONE)
        return BK_PIDF_SHOWN_UNKNOWN;
    if (doc->basic == BK_PIDF_CLOSED)
        return BK_PIDF_SHOWN_OFFLINE;

    /* What interrupts least comes first, should a client name several. */
    static const struct {
        unsigned activities;
        enum bk_pidf_shown shown;
    } order[] = {
        { BK_PIDF_PRESENTATION, BK_PIDF_SHOWN_PRESENTING },
        { BK_PIDF_ON_THE_PHONE, BK_PIDF_SHOWN_IN_CALL },
        { BK_PIDF_MEETING, BK_PIDF_SHOWN_IN_MEETING },
        { BK_PIDF_PERMANENT_ABSENCE, BK_PIDF_SHOWN_OFFWORK },
        { BK_PIDF_AWAY | BK_PIDF_VACATION | BK_PIDF_SLEEPING | BK_PIDF_DINNER, BK_PIDF_SHOWN_AWAY },
    };
    if ((doc->activities & BK_PIDF_OTHER) && bk_view_equal_nocase(doc->other, BK_VIEW("dnd")) &&
        !(doc->activities & BK_PIDF_PRESENTATION))
        return BK_PIDF_SHOWN_DND;
    for (size_t i = 0; i < BK_COUNT_OF(order); i++)
        if (doc->activities & order[i].activities)
            return order[i].shown;
    if (doc->activities & BK_PIDF_BUSY)
        return doc->idle ? BK_PIDF_SHOWN_BUSY_INACTIVE : BK_PIDF_SHOWN_BUSY;
    return doc->idle ? BK_PIDF_SHOWN_AVAILABLE_INACTIVE : BK_PIDF_SHOWN_AVAILABLE;
}

void bk_pidf_render_shown(struct bk_pidf *doc, enum bk_pidf_shown shown)
{
    const struct shown *row = &shown_rows[shown < BK_PIDF_SHOWN_COUNT ? shown : 0];
    doc->shown = shown;
    doc->basic = row->basic;
    doc->activities = row->activities;
    doc->other = bk_view_of_str(row->other);
    doc->idle = row->idle;
    doc->n_tuples = row->basic == BK_PIDF_BASIC_NONE ? 0 : 1;
    doc->tuples[0] = (struct bk_pidf_tuple){ .id = BK_VIEW("beckon"), .basic = row->basic };
}
