/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/talk_private.h - between lines, one conversation and all of them (line.c, talk.c, talks.c). */
#ifndef BK_DESKTOP_TALK_PRIVATE_H
#define BK_DESKTOP_TALK_PRIVATE_H

#include "desktop/talk.h"

struct _BkLine {
    GObject parent;
    char *text, *why, *does, *case_code;
    bool mine, delayed;
    int64_t at_ms;
    int day; /* of the local calendar, counted */
    enum bk_client_message_state state;
    bool opens_day, opens_group, closes_group, opens_unread;

    int64_t row;                         /* 0: not on disk */
    char *key;                           /* NULL: none */
    uint64_t id;                         /* of MESSAGE_STATE events; 0: none */
    bool writing;                        /* its row is on the way to the disk */
    bool forgotten;                      /* meanwhile: the row goes when it is there */
    const struct bk_client_event *event; /* kept until it is on disk or was read; NULL: none */
};

BkLine *bk_line_new(const char *text, bool mine, int64_t at_ms, bool delayed);
BkLine *bk_line_of_row(const struct bk_history_line *row);
void bk_line_set_state(BkLine *line, enum bk_client_message_state state, const char *why,
                       const char *does, const char *case_code);
void bk_line_set_at(BkLine *line, int64_t at_ms);
enum bk_line_mark {
    BK_LINE_OPENS_DAY = 1 << 0,
    BK_LINE_OPENS_GROUP = 1 << 1,
    BK_LINE_CLOSES_GROUP = 1 << 2,
};
void bk_line_set_marks(BkLine *line, unsigned marks);
void bk_line_set_opens_unread(BkLine *line, bool opens);
bool bk_line_same_group(const BkLine *a, const BkLine *b);

/* talk.c, for talks.c. A talk outlives the list only in a window, and does nothing then. */
BkTalk *bk_talk_new(BkTalks *talks, BkPerson *person);
void bk_talk_orphan(BkTalk *talk);
int64_t bk_talk_rank(BkTalk *talk);
void bk_talk_set_rank(BkTalk *talk, int64_t rank);
void bk_talk_restore_draft(BkTalk *talk, const char *draft);
void bk_talk_restore_unread(BkTalk *talk, unsigned n);
void bk_talk_save_draft(BkTalk *talk);
void bk_talk_set_typing(BkTalk *talk, bool typing);
void bk_talk_receive(BkTalk *talk, const struct bk_client_event *event);
/* The user's own, from before this program began. */
void bk_talk_append_own(BkTalk *talk, BkLine *line);
void bk_talk_write(BkTalk *talk, BkLine *line);

/* talks.c, for talk.c. */
BkEngine *bk_talks_engine(BkTalks *talks);
void bk_talks_track(BkTalks *talks, uint64_t id, BkLine *line);
/* The line of this row where it is known already, else NULL. */
BkLine *bk_talks_left_line(BkTalks *talks, int64_t row);
void bk_talks_count(BkTalks *talks); /* unread or missed changed */
void bk_talks_to_front(BkTalks *talks, BkTalk *talk);
void bk_talks_incoming(BkTalks *talks, BkTalk *talk, BkLine *line);
/* Could not be written: again in a while. */
void bk_talks_write_later(BkTalks *talks, BkTalk *talk, BkLine *line);

#endif
