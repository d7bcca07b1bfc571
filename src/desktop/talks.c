/* SPDX-License-Identifier: Apache-2.0 */
/* All conversations: which there are, whose line an event is about, and what an earlier run of the program left. */
#include "desktop/person_private.h"
#include "desktop/talk_private.h"
#include "desktop/words.h"

#include <glib/gi18n.h>
#include <string.h>

enum {
    RECENT = 20,        /* conversations of earlier days that are there from the start */
    WRITE_AGAIN_S = 10, /* the disk was full */
};
/* Ranks of what happens now are above all rows of the history. */
static const int64_t now_rank = INT64_C(1) << 48;

struct _BkTalks {
    GObject parent;
    BkEngine *engine;
    BkRoster *roster;
    BkHistory *history;
    BkSettings *settings;
    GPtrArray *list;        /* of BkTalk, the highest rank first */
    GHashTable *by_address; /* address of the talk's person -> BkTalk, the list's */
    int64_t last_rank;
    unsigned unread, missed;
    char *trouble;

    GHashTable *sending; /* uint64_t * id -> BkLine */
    GHashTable *left;    /* int64_t * row -> BkLine: on its way when an earlier run ended */
    GPtrArray *left_in_order;
    bool ready;       /* what the earlier run left is known */
    bool closed;      /* the session is over */
    GQueue waiting;   /* events kept until then */
    GPtrArray *write; /* struct unwritten */
    guint write_timer;
};

struct unwritten {
    BkTalk *talk;
    BkLine *line;
};

static void talks_list_init(GListModelInterface *list);
G_DEFINE_TYPE_WITH_CODE(BkTalks, bk_talks, G_TYPE_OBJECT,
                        G_IMPLEMENT_INTERFACE(G_TYPE_LIST_MODEL, talks_list_init))

enum { PROP_UNREAD = 1, PROP_MISSED, PROP_TROUBLE, PROP_COUNT };
static GParamSpec *props[PROP_COUNT];
static guint incoming_signal;

/* ---- the list ---- */

static GType get_item_type(GListModel *list)
{
    (void)list;
    return BK_TYPE_TALK;
}

static guint get_n_items(GListModel *list)
{
    return BK_TALKS(list)->list->len;
}

static gpointer get_item(GListModel *list, guint i)
{
    BkTalks *talks = BK_TALKS(list);
    return i < talks->list->len ? g_object_ref(talks->list->pdata[i]) : NULL;
}

static void talks_list_init(GListModelInterface *list)
{
    list->get_item_type = get_item_type;
    list->get_n_items = get_n_items;
    list->get_item = get_item;
}

/* Takes the reference. */
static void insert(BkTalks *talks, BkTalk *talk)
{
    unsigned i = 0;
    while (i < talks->list->len && bk_talk_rank(talks->list->pdata[i]) > bk_talk_rank(talk))
        i++;
    g_ptr_array_insert(talks->list, (int)i, talk);
    g_list_model_items_changed(G_LIST_MODEL(talks), i, 0, 1);
}

static void set_rank(BkTalks *talks, BkTalk *talk, int64_t rank)
{
    unsigned i;
    if (!g_ptr_array_find(talks->list, talk, &i) || bk_talk_rank(talk) >= rank)
        return;
    bk_talk_set_rank(talk, rank);
    if (i == 0 || bk_talk_rank(talks->list->pdata[i - 1]) > rank)
        return;
    (void)g_ptr_array_steal_index(talks->list, i);
    g_list_model_items_changed(G_LIST_MODEL(talks), i, 1, 0);
    insert(talks, talk);
}

void bk_talks_to_front(BkTalks *talks, BkTalk *talk)
{
    set_rank(talks, talk, ++talks->last_rank);
}

static BkTalk *add_talk(BkTalks *talks, BkPerson *person, int64_t rank)
{
    BkTalk *talk = bk_talk_new(talks, person);
    bk_talk_set_rank(talk, rank);
    (void)g_hash_table_insert(talks->by_address, g_strdup(bk_person_address(person)), talk);
    insert(talks, talk);
    return talk;
}

static BkTalk *talk_with(BkTalks *talks, const char *address, int64_t rank)
{
    g_autoptr(BkPerson) person = bk_roster_person(talks->roster, address);
    if (!person)
        return NULL;
    BkTalk *talk = g_hash_table_lookup(talks->by_address, bk_person_address(person));
    return talk ? talk : add_talk(talks, person, rank);
}

BkTalk *bk_talks_with(BkTalks *talks, const char *address)
{
    return talk_with(talks, address, ++talks->last_rank);
}

/* Also with who has no address that could be watched (a gateway's): nothing that was said may be lost. */
static BkTalk *talk_with_anybody(BkTalks *talks, const char *address)
{
    BkTalk *talk = talk_with(talks, address, 0);
    if (!talk)
        talk = g_hash_table_lookup(talks->by_address, address);
    if (talk)
        return talk;
    g_autoptr(BkPerson) person = bk_person_new(address);
    return add_talk(talks, person, 0);
}

/* ---- for the conversations ---- */

BkEngine *bk_talks_engine(BkTalks *talks)
{
    return talks->engine;
}

BkHistory *bk_talks_history(BkTalks *talks)
{
    return talks->history;
}

static gpointer copy_number(uint64_t number)
{
    return g_memdup2(&number, sizeof number);
}

void bk_talks_track(BkTalks *talks, uint64_t id, BkLine *line)
{
    (void)g_hash_table_insert(talks->sending, copy_number(id), g_object_ref(line));
}

BkLine *bk_talks_left_line(BkTalks *talks, int64_t row)
{
    return g_hash_table_lookup(talks->left, &row);
}

void bk_talks_count(BkTalks *talks)
{
    unsigned unread = 0, missed = 0;
    for (unsigned i = 0; i < talks->list->len; i++) {
        unread += bk_talk_unread(talks->list->pdata[i]);
        missed += bk_talk_missed(talks->list->pdata[i]);
    }
    bool changed = unread != talks->unread, also = missed != talks->missed;
    talks->unread = unread;
    talks->missed = missed;
    if (changed)
        g_object_notify_by_pspec(G_OBJECT(talks), props[PROP_UNREAD]);
    if (also)
        g_object_notify_by_pspec(G_OBJECT(talks), props[PROP_MISSED]);
}

void bk_talks_incoming(BkTalks *talks, BkTalk *talk, BkLine *line)
{
    g_signal_emit(talks, incoming_signal, 0, talk, line);
}

static void unwritten_free(gpointer data)
{
    struct unwritten *u = data;
    g_object_unref(u->talk);
    g_object_unref(u->line);
    g_free(u);
}

static gboolean write_again(gpointer data)
{
    BkTalks *talks = data;
    g_autoptr(GPtrArray) all = g_steal_pointer(&talks->write);
    talks->write = g_ptr_array_new_with_free_func(unwritten_free);
    talks->write_timer = 0;
    for (unsigned i = 0; i < all->len; i++) {
        struct unwritten *u = all->pdata[i];
        bk_talk_write(u->talk, u->line);
    }
    return G_SOURCE_REMOVE;
}

void bk_talks_write_later(BkTalks *talks, BkTalk *talk, BkLine *line)
{
    struct unwritten *u = g_new(struct unwritten, 1);
    *u = (struct unwritten){ g_object_ref(talk), g_object_ref(line) };
    g_ptr_array_add(talks->write, u);
    if (!talks->write_timer)
        talks->write_timer = g_timeout_add_seconds(WRITE_AGAIN_S, write_again, talks);
}

/* ---- events ---- */

static void on_message(BkEngine *engine, const struct bk_client_event *event, BkTalks *talks)
{
    (void)engine;
    bk_talk_receive(talk_with_anybody(talks, event->message.from), event);
}

static void on_typing(BkEngine *engine, const struct bk_client_event *event, BkTalks *talks)
{
    (void)engine;
    g_autofree char *from = g_ascii_strdown(event->typing.from, -1);
    BkTalk *talk = g_hash_table_lookup(talks->by_address, from);
    if (talk)
        bk_talk_set_typing(talk, event->typing.typing);
}

static void set_line_state(BkTalks *talks, BkLine *line, enum bk_client_message_state state,
                           const struct bk_client_failure *failure)
{
    g_autofree char *why = failure ? bk_word_failure(failure) : NULL;
    g_autofree char *does = failure ? bk_word_failure_does(failure) : NULL;
    if (state == BK_CLIENT_FAILED && (!why || !*why)) {
        g_free(why);
        why = g_strdup(_("The message was not sent."));
    }
    bk_line_set_state(line, state, why, does, failure ? failure->case_code : NULL);
    if (line->row && talks->history)
        bk_history_set_state(talks->history, line->row, (int)state, 0, line->why, line->does,
                             line->case_code);
}

/* A message of an earlier run: its line is one of those left on their way, the oldest that says the same. */
static BkLine *adopt(BkTalks *talks, const struct bk_client_event *event)
{
    uint64_t id = event->message_state.id;
    BkTalk *talk = talk_with_anybody(talks, event->message_state.to);
    for (unsigned i = 0; i < talks->left_in_order->len; i++) {
        BkLine *line = talks->left_in_order->pdata[i];
        const char *peer = g_object_get_data(G_OBJECT(line), "peer");
        if (line->id || strcmp(line->text, event->message_state.text) != 0 ||
            strcmp(peer, bk_person_address(bk_talk_person(talk))) != 0)
            continue;
        line->id = id;
        bk_talks_track(talks, id, line);
        return line;
    }
    g_autoptr(BkLine) line = bk_line_new(event->message_state.text, true, event->at_ms, false);
    line->id = id;
    bk_talks_track(talks, id, line);
    bk_talk_append_own(talk, line);
    return line;
}

static void take_state(BkTalks *talks, const struct bk_client_event *event)
{
    uint64_t id = event->message_state.id;
    BkLine *line = g_hash_table_lookup(talks->sending, &id);
    if (!line && event->message_state.kept)
        line = adopt(talks, event);
    if (!line)
        return;
    if (line->state != event->message_state.state)
        set_line_state(talks, line, event->message_state.state, event->message_state.failure);
    if (event->message_state.state != BK_CLIENT_SENDING)
        (void)g_hash_table_remove(talks->sending, &id);
}

static void on_message_state(BkEngine *engine, const struct bk_client_event *event, BkTalks *talks)
{
    if (talks->ready) {
        take_state(talks, event);
        return;
    }
    bk_engine_keep(engine, event);
    g_queue_push_tail(&talks->waiting, (gpointer)(uintptr_t)event);
}

/* The engine told of all it kept before it signed in: what it does not know of had its end, or never reached it. */
static void give_up_left(BkTalks *talks)
{
    if (!talks->ready || talks->closed || bk_engine_state(talks->engine) != BK_CLIENT_SIGNED_IN)
        return;
    for (unsigned i = 0; i < talks->left_in_order->len; i++) {
        BkLine *line = talks->left_in_order->pdata[i];
        if (line->id || line->state != BK_CLIENT_SENDING)
            continue;
        bk_line_set_state(line, BK_CLIENT_FAILED,
                          _("Beckon ended while this was being sent, so it is not known whether it "
                            "arrived."),
                          NULL, NULL);
        bk_history_set_state(talks->history, line->row, BK_CLIENT_FAILED, 0, line->why, NULL, NULL);
    }
}

static void on_state(BkTalks *talks)
{
    bool here = bk_engine_state(talks->engine) == BK_CLIENT_SIGNED_IN;
    for (unsigned i = 0; !here && i < talks->list->len; i++)
        bk_talk_set_typing(talks->list->pdata[i], false); /* nobody would tell that they stopped */
    give_up_left(talks);
}

/* ---- what an earlier run left ---- */

static void take_unread(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BkTalks) talks = data;
    g_autoptr(GHashTable) unread = bk_history_unread_finish(BK_HISTORY(source), result, NULL);
    GHashTableIter it;
    gpointer peer, n;
    if (!unread || !talks->engine)
        return;
    g_hash_table_iter_init(&it, unread);
    while (g_hash_table_iter_next(&it, &peer, &n))
        bk_talk_restore_unread(talk_with_anybody(talks, peer), GPOINTER_TO_UINT(n));
}

static void take_drafts(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BkTalks) talks = data;
    g_autoptr(GHashTable) drafts = bk_history_drafts_finish(BK_HISTORY(source), result, NULL);
    GHashTableIter it;
    gpointer peer, draft;
    if (!drafts || !talks->engine)
        return;
    g_hash_table_iter_init(&it, drafts);
    while (g_hash_table_iter_next(&it, &peer, &draft))
        bk_talk_restore_draft(talk_with_anybody(talks, peer), draft);
}

static void take_recent(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BkTalks) talks = data;
    g_autoptr(GPtrArray) rows = bk_history_lines_finish(BK_HISTORY(source), result, NULL);
    for (unsigned i = 0; rows && talks->engine && i < rows->len; i++) {
        const struct bk_history_line *row = rows->pdata[i];
        set_rank(talks, talk_with_anybody(talks, row->peer), row->row);
    }
}

static void take_sending(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BkTalks) talks = data;
    g_autoptr(GPtrArray) rows = bk_history_lines_finish(BK_HISTORY(source), result, NULL);
    if (!talks->engine)
        return;
    for (unsigned i = 0; rows && i < rows->len; i++) {
        const struct bk_history_line *row = rows->pdata[i];
        BkLine *line = bk_line_of_row(row);
        g_object_set_data_full(G_OBJECT(line), "peer", g_strdup(row->peer), g_free);
        (void)g_hash_table_insert(talks->left, copy_number((uint64_t)row->row), line);
        g_ptr_array_add(talks->left_in_order, line);
        (void)talk_with_anybody(talks, row->peer);
    }
    talks->ready = true;
    const struct bk_client_event *event;
    while ((event = g_queue_pop_head(&talks->waiting))) {
        take_state(talks, event);
        bk_engine_done(talks->engine, event);
    }
    give_up_left(talks);
}

static void on_trouble(BkHistory *history, const char *text, BkTalks *talks)
{
    (void)history;
    g_free(talks->trouble);
    talks->trouble = g_strdup(text);
    g_object_notify_by_pspec(G_OBJECT(talks), props[PROP_TROUBLE]);
    if (!text && talks->write_timer) {
        g_source_remove(talks->write_timer);
        (void)write_again(talks);
    }
}

static void on_history_setting(BkTalks *talks)
{
    bk_history_set_enabled(talks->history, bk_settings_bool(talks->settings, BK_SETTING_HISTORY));
}

/* ---- the object ---- */

BkTalks *bk_talks_new(BkEngine *engine, BkRoster *roster, BkHistory *history, BkSettings *settings)
{
    BkTalks *talks = g_object_new(BK_TYPE_TALKS, NULL);
    talks->engine = g_object_ref(engine);
    talks->roster = g_object_ref(roster);
    talks->ready = !history;
    g_signal_connect_object(engine, "event::message", G_CALLBACK(on_message), talks, 0);
    g_signal_connect_object(engine, "event::message-state", G_CALLBACK(on_message_state), talks, 0);
    g_signal_connect_object(engine, "event::typing", G_CALLBACK(on_typing), talks, 0);
    g_signal_connect_object(engine, "notify::state", G_CALLBACK(on_state), talks,
                            G_CONNECT_SWAPPED);
    if (!history)
        return talks;
    talks->history = g_object_ref(history);
    if (settings) {
        g_autofree char *changed =
            g_strdup_printf("changed::%s", bk_setting_key(BK_SETTING_HISTORY));
        talks->settings = g_object_ref(settings);
        g_signal_connect_object(settings, changed, G_CALLBACK(on_history_setting), talks,
                                G_CONNECT_SWAPPED);
        on_history_setting(talks);
    }
    g_signal_connect_object(history, "trouble", G_CALLBACK(on_trouble), talks, 0);
    /* First, and in this order: what comes now is written behind them. */
    bk_history_sending_async(history, take_sending, g_object_ref(talks));
    bk_history_unread_async(history, take_unread, g_object_ref(talks));
    bk_history_drafts_async(history, take_drafts, g_object_ref(talks));
    bk_history_recent_async(history, RECENT, take_recent, g_object_ref(talks));
    return talks;
}

void bk_talks_close(BkTalks *talks)
{
    talks->closed = true;
    if (talks->engine)
        g_signal_handlers_disconnect_by_data(talks->engine, talks);
    for (unsigned i = 0; i < talks->list->len; i++)
        bk_talk_set_typing(talks->list->pdata[i], false);
    /* Nobody waits for the disk: the history's thread writes what is queued, and this goes at once. */
    for (unsigned i = 0; i < talks->list->len; i++)
        bk_talk_save_draft(talks->list->pdata[i]);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    BkTalks *talks = BK_TALKS(object);
    switch (id) {
    case PROP_UNREAD:
        g_value_set_uint(value, talks->unread);
        break;
    case PROP_MISSED:
        g_value_set_uint(value, talks->missed);
        break;
    case PROP_TROUBLE:
        g_value_set_string(value, bk_talks_trouble(talks));
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void dispose(GObject *object)
{
    BkTalks *talks = BK_TALKS(object);
    const struct bk_client_event *event;
    while ((event = g_queue_pop_head(&talks->waiting)))
        bk_engine_done(talks->engine, event);
    g_clear_handle_id(&talks->write_timer, g_source_remove);
    for (unsigned i = 0; i < talks->list->len; i++)
        bk_talk_orphan(talks->list->pdata[i]);
    g_hash_table_remove_all(talks->by_address);
    g_ptr_array_set_size(talks->list, 0);
    g_ptr_array_set_size(talks->write, 0);
    g_ptr_array_set_size(talks->left_in_order, 0);
    g_hash_table_remove_all(talks->sending);
    g_hash_table_remove_all(talks->left);
    g_clear_object(&talks->engine);
    g_clear_object(&talks->roster);
    g_clear_object(&talks->history);
    g_clear_object(&talks->settings);
    G_OBJECT_CLASS(bk_talks_parent_class)->dispose(object);
}

static void finalize(GObject *object)
{
    BkTalks *talks = BK_TALKS(object);
    g_ptr_array_unref(talks->list);
    g_ptr_array_unref(talks->write);
    g_ptr_array_unref(talks->left_in_order);
    g_hash_table_unref(talks->by_address);
    g_hash_table_unref(talks->sending);
    g_hash_table_unref(talks->left);
    g_free(talks->trouble);
    G_OBJECT_CLASS(bk_talks_parent_class)->finalize(object);
}

static void bk_talks_class_init(BkTalksClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
    object->get_property = get_property;
    object->dispose = dispose;
    object->finalize = finalize;
    props[PROP_UNREAD] = g_param_spec_uint("unread", NULL, NULL, 0, G_MAXUINT, 0, flags);
    props[PROP_MISSED] = g_param_spec_uint("missed", NULL, NULL, 0, G_MAXUINT, 0, flags);
    props[PROP_TROUBLE] = g_param_spec_string("trouble", NULL, NULL, "", flags);
    g_object_class_install_properties(object, PROP_COUNT, props);
    incoming_signal = g_signal_new("incoming", BK_TYPE_TALKS, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                   NULL, G_TYPE_NONE, 2, BK_TYPE_TALK, BK_TYPE_LINE);
}

static void bk_talks_init(BkTalks *talks)
{
    talks->list = g_ptr_array_new_with_free_func(g_object_unref);
    talks->by_address = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    talks->last_rank = now_rank;
    talks->sending = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_object_unref);
    talks->left = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_object_unref);
    talks->left_in_order = g_ptr_array_new();
    talks->write = g_ptr_array_new_with_free_func(unwritten_free);
    g_queue_init(&talks->waiting);
}

unsigned bk_talks_unread(BkTalks *talks)
{
    return talks->unread;
}

unsigned bk_talks_missed(BkTalks *talks)
{
    return talks->missed;
}

const char *bk_talks_trouble(BkTalks *talks)
{
    return talks->trouble ? talks->trouble : "";
}

bool bk_talks_has_unsent(BkTalks *talks)
{
    bool unsent = g_hash_table_size(talks->sending) > 0;
    for (unsigned i = 0; i < talks->list->len && !unsent; i++)
        unsent = *bk_talk_draft(talks->list->pdata[i]);
    return unsent;
}

static void on_flushed(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GTask) task = data;
    GError *error = NULL;
    if (bk_history_flush_finish(BK_HISTORY(source), result, &error))
        g_task_return_boolean(task, TRUE);
    else
        g_task_return_error(task, error);
}

void bk_talks_flush_async(BkTalks *talks, GAsyncReadyCallback done, gpointer user_data)
{
    GTask *task = g_task_new(talks, NULL, done, user_data);
    for (unsigned i = 0; i < talks->list->len; i++)
        bk_talk_save_draft(talks->list->pdata[i]);
    if (talks->history) {
        bk_history_flush_async(talks->history, on_flushed, task);
        return;
    }
    g_task_return_boolean(task, TRUE);
    g_object_unref(task);
}

bool bk_talks_flush_finish(BkTalks *talks, GAsyncResult *result, GError **error)
{
    g_return_val_if_fail(g_task_is_valid(result, talks), false);
    return g_task_propagate_boolean(G_TASK(result), error);
}
