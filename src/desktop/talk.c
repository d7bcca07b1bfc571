/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/talk_private.h"

#include <errno.h>
#include <string.h>

enum {
    PAGE = 50,        /* lines read from the history at once */
    CONTEXT = 20,     /* lines in front of one that was looked for */
    DRAFT_MS = 1000,  /* so late at most a draft is on disk */
    AGAIN_MAX = 1000, /* so far back a message that comes again is looked for */
};

struct _BkTalk {
    GObject parent;
    BkTalks *talks; /* NULL: the session is over */
    BkPerson *person;
    GPtrArray *lines; /* of BkLine */
    unsigned unread, missed;
    char *draft;
    guint draft_timer;
    bool typing, looked_at;
    bool read_unseen; /* read before its lines were loaded */
    int64_t rank;

    bool loading, has_older;
    unsigned loads;     /* counted; what was asked for before a forget is dropped */
    int64_t first_row;  /* the oldest loaded; 0: none yet */
    int64_t wanted_row; /* load up to this one; 0: none */
};

static void talk_list_init(GListModelInterface *list);
G_DEFINE_TYPE_WITH_CODE(BkTalk, bk_talk, G_TYPE_OBJECT,
                        G_IMPLEMENT_INTERFACE(G_TYPE_LIST_MODEL, talk_list_init))

enum {
    PROP_PERSON = 1,
    PROP_UNREAD,
    PROP_MISSED,
    PROP_DRAFT,
    PROP_TYPING,
    PROP_HAS_OLDER,
    PROP_COUNT,
};
static GParamSpec *props[PROP_COUNT];

static void notify(BkTalk *talk, int prop)
{
    g_object_notify_by_pspec(G_OBJECT(talk), props[prop]);
}

static const char *address_of(BkTalk *talk)
{
    return bk_person_address(talk->person);
}

static BkHistory *history_of(BkTalk *talk)
{
    return talk->talks ? bk_talks_history(talk->talks) : NULL;
}

/* ---- the list ---- */

static GType get_item_type(GListModel *list)
{
    (void)list;
    return BK_TYPE_LINE;
}

static guint get_n_items(GListModel *list)
{
    return BK_TALK(list)->lines->len;
}

static gpointer get_item(GListModel *list, guint i)
{
    BkTalk *talk = BK_TALK(list);
    return i < talk->lines->len ? g_object_ref(talk->lines->pdata[i]) : NULL;
}

static void talk_list_init(GListModelInterface *list)
{
    list->get_item_type = get_item_type;
    list->get_n_items = get_n_items;
    list->get_item = get_item;
}

static BkLine *line_at(BkTalk *talk, unsigned i)
{
    return talk->lines->pdata[i];
}

static void mark(BkTalk *talk, unsigned i)
{
    if (i >= talk->lines->len)
        return;
    BkLine *line = line_at(talk, i);
    BkLine *before = i ? line_at(talk, i - 1) : NULL;
    BkLine *after = i + 1 < talk->lines->len ? line_at(talk, i + 1) : NULL;
    bool opens_day = !before || before->day != line->day;
    bool opens = opens_day || !bk_line_same_group(before, line);
    bool closes = !after || after->day != line->day || !bk_line_same_group(line, after);
    bk_line_set_marks(line, (opens_day ? BK_LINE_OPENS_DAY : 0) |
                                (opens ? BK_LINE_OPENS_GROUP : 0) |
                                (closes ? BK_LINE_CLOSES_GROUP : 0));
}

static void append(BkTalk *talk, BkLine *line)
{
    g_ptr_array_add(talk->lines, g_object_ref(line));
    unsigned n = talk->lines->len;
    mark(talk, n - 1);
    g_list_model_items_changed(G_LIST_MODEL(talk), n - 1, 0, 1);
    if (n > 1)
        mark(talk, n - 2);
}

static void remove_at(BkTalk *talk, unsigned i)
{
    g_ptr_array_remove_index(talk->lines, i);
    g_list_model_items_changed(G_LIST_MODEL(talk), i, 1, 0);
    mark(talk, i);
    if (i)
        mark(talk, i - 1);
}

static bool find(BkTalk *talk, BkLine *line, unsigned *ret)
{
    for (unsigned i = talk->lines->len; i-- > 0;) {
        if (line_at(talk, i) != line)
            continue;
        *ret = i;
        return true;
    }
    return false;
}

/* ---- the disk ---- */

struct writing {
    BkTalk *talk;
    BkLine *line;
    BkEngine *engine;
    enum bk_client_message_state state; /* what is written */
    bool arrives;                       /* it comes into the list once it is written */
};

static void let_go(BkEngine *engine, BkLine *line)
{
    const struct bk_client_event *event = line->event;
    line->event = NULL;
    bk_engine_done(engine, event);
}

static void arrive(BkTalk *talk, BkLine *line);

static void on_written(GObject *source, GAsyncResult *result, gpointer data)
{
    struct writing *w = data;
    BkTalk *talk = w->talk;
    BkLine *line = w->line;
    BkHistory *history = BK_HISTORY(source);
    bool is_new = true;
    int64_t row = bk_history_add_finish(history, result, &is_new, NULL);
    line->writing = false;
    if (row >= 0)
        let_go(w->engine, line);
    else if (talk->talks)
        bk_talks_write_later(talk->talks, talk, line);
    if (row > 0 && is_new) {
        line->row = row;
        if (line->forgotten)
            bk_history_remove(history, row);
        else if (line->state != w->state)
            bk_history_set_state(history, row, (int)line->state, 0, line->why, line->does,
                                 line->case_code);
        else if (!line->mine && !w->arrives && !talk->unread)
            bk_history_set_read(history, address_of(talk), row);
    }
    /* One that was there before came again after a crash; its row was or will be loaded. */
    if (w->arrives && is_new)
        arrive(talk, line);
    g_object_unref(w->talk);
    g_object_unref(w->line);
    g_object_unref(w->engine);
    g_free(w);
}

static void write_line(BkTalk *talk, BkLine *line, bool arrives)
{
    BkHistory *history = history_of(talk);
    if (!history) {
        if (talk->talks)
            let_go(bk_talks_engine(talk->talks), line);
        if (arrives)
            arrive(talk, line);
        return;
    }
    struct writing *w = g_new(struct writing, 1);
    *w = (struct writing){ .talk = g_object_ref(talk),
                           .line = g_object_ref(line),
                           .engine = g_object_ref(bk_talks_engine(talk->talks)),
                           .state = line->state,
                           .arrives = arrives };
    struct bk_history_line row = { .key = line->key,
                                   .peer = (char *)(uintptr_t)address_of(talk),
                                   .text = line->text,
                                   .mine = line->mine,
                                   .delayed = line->delayed,
                                   .state = (int)line->state,
                                   .at_ms = line->at_ms,
                                   .why = line->why,
                                   .does = line->does,
                                   .case_code = line->case_code };
    line->writing = true;
    bk_history_add_async(history, &row, on_written, w);
}

void bk_talk_write(BkTalk *talk, BkLine *line)
{
    if (!line->writing && !line->row && !line->forgotten)
        write_line(talk, line, false);
}

/* ---- what comes ---- */

static bool has_key(BkTalk *talk, const char *key)
{
    unsigned n = talk->lines->len;
    for (unsigned i = n; key && i-- > (n > AGAIN_MAX ? n - AGAIN_MAX : 0);)
        if (g_strcmp0(line_at(talk, i)->key, key) == 0)
            return true;
    return false;
}

static void set_unread(BkTalk *talk, unsigned unread, unsigned missed)
{
    bool changed = talk->unread != unread, also = talk->missed != missed;
    talk->unread = unread;
    talk->missed = missed;
    if (changed)
        notify(talk, PROP_UNREAD);
    if (also)
        notify(talk, PROP_MISSED);
    if ((changed || also) && talk->talks)
        bk_talks_count(talk->talks);
}

static void set_opens_unread(BkTalk *talk, unsigned at)
{
    for (unsigned i = 0; i < talk->lines->len; i++)
        bk_line_set_opens_unread(line_at(talk, i), i == at);
}

static void arrive(BkTalk *talk, BkLine *line)
{
    if (has_key(talk, line->key))
        return;
    append(talk, line);
    bk_talk_set_typing(talk, false);
    if (!talk->talks)
        return;
    bk_talks_to_front(talk->talks, talk);
    if (talk->looked_at) {
        bk_talk_mark_read(talk);
        return;
    }
    if (!talk->unread)
        set_opens_unread(talk, talk->lines->len - 1);
    set_unread(talk, talk->unread + 1, talk->missed + line->delayed);
    bk_talks_incoming(talk->talks, talk, line);
}

void bk_talk_receive(BkTalk *talk, const struct bk_client_event *event)
{
    BkLine *line =
        bk_line_new(event->message.text, false, event->message.sent_ms, event->message.delayed);
    if (event->message.key && *event->message.key)
        line->key = g_strdup(event->message.key);
    bk_engine_keep(bk_talks_engine(talk->talks), event);
    line->event = event;
    write_line(talk, line, true);
    g_object_unref(line);
}

void bk_talk_set_typing(BkTalk *talk, bool typing)
{
    if (talk->typing == typing)
        return;
    talk->typing = typing;
    notify(talk, PROP_TYPING);
}

void bk_talk_mark_read(BkTalk *talk)
{
    int64_t newest = 0;
    unsigned left = talk->unread;
    for (unsigned i = talk->lines->len; i-- > 0 && (left || !newest);) {
        BkLine *line = line_at(talk, i);
        if (line->mine)
            continue;
        if (talk->talks && line->event && !line->writing)
            let_go(bk_talks_engine(talk->talks), line);
        newest = newest ? newest : line->row;
        left -= left > 0;
    }
    if (history_of(talk) && newest)
        bk_history_set_read(history_of(talk), address_of(talk), newest);
    talk->read_unseen = !newest && talk->loading;
    set_unread(talk, 0, 0);
}

void bk_talk_set_looked_at(BkTalk *talk, bool looked_at)
{
    talk->looked_at = looked_at;
    if (looked_at && talk->unread)
        bk_talk_mark_read(talk);
}

/* ---- what goes ---- */

static int64_t now_ms(void)
{
    return g_get_real_time() / 1000;
}

static bool is_blank(const char *text)
{
    for (; *text; text = g_utf8_next_char(text))
        if (!g_unichar_isspace(g_utf8_get_char(text)))
            return false;
    return true;
}

void bk_talk_append_own(BkTalk *talk, BkLine *line)
{
    append(talk, line);
    write_line(talk, line, false);
    bk_talks_to_front(talk->talks, talk);
}

static int send_text(BkTalk *talk, const char *text, uint64_t *ret_id)
{
    if (!talk->talks)
        return -ESHUTDOWN;
    if (strlen(text) > BK_TALK_TEXT_MAX)
        return -EMSGSIZE;
    if (!g_utf8_validate(text, -1, NULL) || is_blank(text))
        return -EINVAL;
    return bk_engine_send_message(bk_talks_engine(talk->talks), address_of(talk), text, ret_id);
}

int bk_talk_send(BkTalk *talk, const char *text)
{
    uint64_t id;
    int r = send_text(talk, text, &id);
    if (r < 0)
        return r;
    g_autoptr(BkLine) line = bk_line_new(text, true, now_ms(), false);
    line->id = id;
    bk_talks_track(talk->talks, id, line);
    bk_talk_append_own(talk, line);
    return 0;
}

static void drop_row(BkTalk *talk, BkLine *line)
{
    if (line->row && history_of(talk))
        bk_history_remove(history_of(talk), line->row);
    line->forgotten = line->writing;
    line->row = 0;
}

int bk_talk_retry(BkTalk *talk, BkLine *line)
{
    unsigned at;
    uint64_t id;
    if (!bk_line_is_retryable(line) || !find(talk, line, &at))
        return -EINVAL;
    int r = send_text(talk, line->text, &id);
    if (r < 0)
        return r;
    g_autoptr(BkLine) again = bk_line_new(line->text, true, now_ms(), false);
    again->id = id;
    bk_talks_track(talk->talks, id, again);
    g_autoptr(BkLine) old = g_object_ref(line);
    remove_at(talk, at);
    bk_talk_append_own(talk, again); /* on disk before the old one goes: a crash must not lose it */
    drop_row(talk, old);
    return 0;
}

/* ---- drafts ---- */

void bk_talk_save_draft(BkTalk *talk)
{
    if (!talk->draft_timer)
        return;
    g_clear_handle_id(&talk->draft_timer, g_source_remove);
    if (history_of(talk))
        bk_history_set_draft(history_of(talk), address_of(talk), talk->draft);
}

static gboolean on_draft_timer(gpointer data)
{
    bk_talk_save_draft(data);
    return G_SOURCE_REMOVE;
}

static bool take_draft(BkTalk *talk, const char *draft)
{
    if (strcmp(talk->draft, draft) == 0)
        return false;
    g_free(talk->draft);
    talk->draft = g_strdup(draft);
    notify(talk, PROP_DRAFT);
    return true;
}

void bk_talk_set_draft(BkTalk *talk, const char *draft)
{
    if (!take_draft(talk, draft ? draft : ""))
        return;
    if (!talk->draft_timer)
        talk->draft_timer = g_timeout_add(DRAFT_MS, on_draft_timer, talk);
    /* How often that is worth a message, and when it ends by itself, the engine knows. */
    if (talk->talks)
        (void)bk_engine_typing(bk_talks_engine(talk->talks), address_of(talk),
                               !is_blank(talk->draft));
}

void bk_talk_restore_draft(BkTalk *talk, const char *draft)
{
    if (!*talk->draft && !talk->draft_timer)
        (void)take_draft(talk, draft);
}

/* ---- older lines ---- */

static void set_has_older(BkTalk *talk, bool has_older)
{
    if (talk->has_older == has_older)
        return;
    talk->has_older = has_older;
    notify(talk, PROP_HAS_OLDER);
}

/* Which lines those are that were counted as unread before this program began. */
static void mark_unread(BkTalk *talk)
{
    unsigned left = talk->unread, missed = 0, i = talk->lines->len;
    while (left && i > 0) {
        BkLine *line = line_at(talk, --i);
        left -= !line->mine;
        missed += !line->mine && line->delayed;
    }
    set_opens_unread(talk, talk->unread ? i : talk->lines->len);
    set_unread(talk, talk->unread, missed);
}

struct load {
    BkTalk *talk;
    unsigned number;
    int64_t row; /* all from there on; 0: a page */
};

static void put_in_front(BkTalk *talk, GPtrArray *rows)
{
    for (unsigned i = 0; i < rows->len; i++) {
        const struct bk_history_line *row = rows->pdata[i];
        BkLine *known = bk_talks_left_line(talk->talks, row->row);
        g_ptr_array_insert(talk->lines, (int)i, known ? g_object_ref(known) : bk_line_of_row(row));
    }
    for (unsigned i = 0; i < rows->len; i++)
        mark(talk, i);
    if (rows->len) {
        talk->first_row = ((struct bk_history_line *)rows->pdata[0])->row;
        g_list_model_items_changed(G_LIST_MODEL(talk), 0, 0, rows->len);
    }
    mark(talk, rows->len);
}

static void load(BkTalk *talk, int64_t from_row);

static void on_loaded(GObject *source, GAsyncResult *result, gpointer data)
{
    struct load *l = data;
    BkTalk *talk = l->talk;
    g_autoptr(GPtrArray) rows = bk_history_lines_finish(BK_HISTORY(source), result, NULL);
    if (l->number == talk->loads && talk->talks) {
        bool first = !talk->first_row;
        talk->loading = false;
        if (rows)
            put_in_front(talk, rows);
        if (rows && !l->row)
            set_has_older(talk, rows->len == PAGE);
        if (first && rows)
            mark_unread(talk);
        if (talk->read_unseen || talk->looked_at)
            bk_talk_mark_read(talk);
        if (l->row && talk->has_older)
            load(talk, 0);
        else if (talk->wanted_row)
            bk_talk_load_to(talk, talk->wanted_row);
    }
    g_object_unref(talk);
    g_free(l);
}

static void load(BkTalk *talk, int64_t from_row)
{
    BkHistory *history = history_of(talk);
    if (!history || talk->loading)
        return;
    struct load *l = g_new(struct load, 1);
    *l = (struct load){ g_object_ref(talk), talk->loads, from_row };
    talk->loading = true;
    if (from_row)
        bk_history_load_from_async(history, address_of(talk), from_row, talk->first_row, on_loaded,
                                   l);
    else
        bk_history_load_async(history, address_of(talk), talk->first_row, PAGE, on_loaded, l);
}

bool bk_talk_has_older(BkTalk *talk)
{
    return talk->has_older;
}

void bk_talk_load_older(BkTalk *talk)
{
    if (talk->has_older)
        load(talk, 0);
}

unsigned bk_talk_find_row(BkTalk *talk, int64_t row)
{
    for (unsigned i = talk->lines->len; row && i-- > 0;)
        if (line_at(talk, i)->row == row)
            return i;
    return G_MAXUINT;
}

void bk_talk_load_to(BkTalk *talk, int64_t row)
{
    talk->wanted_row = talk->loading ? row : 0;
    if (!talk->loading && talk->has_older && row < talk->first_row)
        load(talk, row);
}

void bk_talk_forget(BkTalk *talk)
{
    for (unsigned i = 0; i < talk->lines->len; i++) {
        BkLine *line = line_at(talk, i);
        if (line->event && !line->writing && talk->talks)
            let_go(bk_talks_engine(talk->talks), line);
        line->forgotten = line->writing || !line->row;
        line->row = 0;
    }
    unsigned n = talk->lines->len;
    g_ptr_array_set_size(talk->lines, 0);
    talk->loads++;
    talk->loading = false;
    talk->first_row = talk->wanted_row = 0;
    set_has_older(talk, false);
    g_list_model_items_changed(G_LIST_MODEL(talk), 0, n, 0);
    set_unread(talk, 0, 0);
    if (!history_of(talk))
        return;
    bk_history_forget_async(history_of(talk), address_of(talk), NULL, NULL);
    if (*talk->draft) /* what is typed is no history */
        bk_history_set_draft(history_of(talk), address_of(talk), talk->draft);
}

/* ---- the object ---- */

BkTalk *bk_talk_new(BkTalks *talks, BkPerson *person)
{
    BkTalk *talk = g_object_new(BK_TYPE_TALK, NULL);
    talk->talks = talks;
    talk->person = g_object_ref(person);
    load(talk, 0);
    return talk;
}

void bk_talk_orphan(BkTalk *talk)
{
    bk_talk_save_draft(talk);
    bk_talk_set_typing(talk, false);
    talk->talks = NULL;
}

int64_t bk_talk_rank(BkTalk *talk)
{
    return talk->rank;
}

void bk_talk_set_rank(BkTalk *talk, int64_t rank)
{
    talk->rank = rank;
}

void bk_talk_restore_unread(BkTalk *talk, unsigned n)
{
    set_unread(talk, talk->unread + n, talk->missed);
    if (talk->first_row)
        mark_unread(talk);
    if (talk->looked_at)
        bk_talk_mark_read(talk);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    BkTalk *talk = BK_TALK(object);
    switch (id) {
    case PROP_PERSON:
        g_value_set_object(value, talk->person);
        break;
    case PROP_UNREAD:
        g_value_set_uint(value, talk->unread);
        break;
    case PROP_MISSED:
        g_value_set_uint(value, talk->missed);
        break;
    case PROP_DRAFT:
        g_value_set_string(value, talk->draft);
        break;
    case PROP_TYPING:
        g_value_set_boolean(value, talk->typing);
        break;
    case PROP_HAS_OLDER:
        g_value_set_boolean(value, talk->has_older);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    if (id == PROP_DRAFT)
        bk_talk_set_draft(BK_TALK(object), g_value_get_string(value));
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

static void finalize(GObject *object)
{
    BkTalk *talk = BK_TALK(object);
    g_clear_handle_id(&talk->draft_timer, g_source_remove);
    g_object_unref(talk->person);
    g_ptr_array_unref(talk->lines);
    g_free(talk->draft);
    G_OBJECT_CLASS(bk_talk_parent_class)->finalize(object);
}

static void bk_talk_class_init(BkTalkClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
    object->get_property = get_property;
    object->set_property = set_property;
    object->finalize = finalize;
    props[PROP_PERSON] = g_param_spec_object("person", NULL, NULL, BK_TYPE_PERSON, flags);
    props[PROP_UNREAD] = g_param_spec_uint("unread", NULL, NULL, 0, G_MAXUINT, 0, flags);
    props[PROP_MISSED] = g_param_spec_uint("missed", NULL, NULL, 0, G_MAXUINT, 0, flags);
    props[PROP_DRAFT] =
        g_param_spec_string("draft", NULL, NULL, "", flags | (GParamFlags)G_PARAM_WRITABLE);
    props[PROP_TYPING] = g_param_spec_boolean("typing", NULL, NULL, FALSE, flags);
    props[PROP_HAS_OLDER] = g_param_spec_boolean("has-older", NULL, NULL, FALSE, flags);
    g_object_class_install_properties(object, PROP_COUNT, props);
}

static void bk_talk_init(BkTalk *talk)
{
    talk->lines = g_ptr_array_new_with_free_func(g_object_unref);
    talk->draft = g_strdup("");
}

BkPerson *bk_talk_person(BkTalk *talk)
{
    return talk->person;
}

unsigned bk_talk_unread(BkTalk *talk)
{
    return talk->unread;
}

unsigned bk_talk_missed(BkTalk *talk)
{
    return talk->missed;
}

const char *bk_talk_draft(BkTalk *talk)
{
    return talk->draft;
}

bool bk_talk_is_typing(BkTalk *talk)
{
    return talk->typing;
}
