/* SPDX-License-Identifier: Apache-2.0 */
#include "server/compose.h"

static bool offline_manual(const struct bk_presence_input *in)
{
    return in->manual == BK_PIDF_MANUAL_OFFLINE;
}
static bool nobody_there(const struct bk_presence_input *in)
{
    return in->n_endpoints == 0;
}
static bool unreachable(const struct bk_presence_input *in)
{
    return in->unreachable;
}
static bool dnd(const struct bk_presence_input *in)
{
    return in->manual == BK_PIDF_MANUAL_DND;
}
static bool presenting(const struct bk_presence_input *in)
{
    return in->presenting;
}
static bool in_conference(const struct bk_presence_input *in)
{
    return in->in_conference;
}
static bool in_call(const struct bk_presence_input *in)
{
    return in->in_call;
}
static bool busy(const struct bk_presence_input *in)
{
    return in->manual == BK_PIDF_MANUAL_BUSY || in->busy_by_endpoint;
}
static bool brb(const struct bk_presence_input *in)
{
    return in->manual == BK_PIDF_MANUAL_BRB;
}
static bool away_manual(const struct bk_presence_input *in)
{
    return in->manual == BK_PIDF_MANUAL_AWAY;
}
static bool offwork(const struct bk_presence_input *in)
{
    return in->manual == BK_PIDF_MANUAL_OFFWORK;
}
static bool meeting_active(const struct bk_presence_input *in)
{
    return in->in_meeting && in->any_active;
}
static bool meeting_inactive(const struct bk_presence_input *in)
{
    return in->in_meeting && in->any_inactive;
}
static bool active(const struct bk_presence_input *in)
{
    return in->any_active;
}
static bool inactive(const struct bk_presence_input *in)
{
    return in->any_inactive;
}

/*
 * Rows 2 to 12 of 13a in their order, first match wins; row 1 (who may see at all) is decided per
 * watcher, row 13 is what is left.
 */
static const struct {
    bool (*when)(const struct bk_presence_input *in);
    enum bk_pidf_shown shown;
} rows[] = {
    { nobody_there, BK_PIDF_SHOWN_OFFLINE },           /* 2 */
    { unreachable, BK_PIDF_SHOWN_UNKNOWN },            /* 3 */
    { offline_manual, BK_PIDF_SHOWN_OFFLINE },         /* 4 */
    { dnd, BK_PIDF_SHOWN_DND },                        /* 5 */
    { presenting, BK_PIDF_SHOWN_PRESENTING },          /* 5 */
    { in_conference, BK_PIDF_SHOWN_IN_CONFERENCE },    /* 6 */
    { in_call, BK_PIDF_SHOWN_IN_CALL },                /* 6 */
    { busy, BK_PIDF_SHOWN_BUSY },                      /* 7 */
    { brb, BK_PIDF_SHOWN_BRB },                        /* 8 */
    { away_manual, BK_PIDF_SHOWN_AWAY },               /* 8 */
    { offwork, BK_PIDF_SHOWN_OFFWORK },                /* 8 */
    { meeting_active, BK_PIDF_SHOWN_IN_MEETING },      /* 9 */
    { meeting_inactive, BK_PIDF_SHOWN_BUSY_INACTIVE }, /* 10 */
    { active, BK_PIDF_SHOWN_AVAILABLE },               /* 11 */
    { inactive, BK_PIDF_SHOWN_AVAILABLE_INACTIVE },    /* 12 */
};

enum bk_pidf_shown bk_presence_compose(const struct bk_presence_input *in)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].when(in))
            return rows[i].shown;
    return BK_PIDF_SHOWN_AWAY; /* 13 */
}
