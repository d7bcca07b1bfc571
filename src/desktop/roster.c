/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/roster.h"
#include "desktop/person_private.h"

#include <errno.h>
#include <glib/gi18n.h>

#define OTHERS "~"

/* ---- groups ---- */

struct _BkGroup {
    GObject parent;
    char *name;
};
G_DEFINE_TYPE(BkGroup, bk_group, G_TYPE_OBJECT)

const char *bk_group_name(BkGroup *group)
{
    return group->name;
}

char *bk_group_title(BkGroup *group)
{
    if (strcmp(group->name, OTHERS) == 0)
        return g_strdup(_("Other Contacts"));
    if (strcmp(group->name, BK_ROSTER_FAVOURITES) == 0)
        return g_strdup(_("Favorites"));
    return g_strdup(group->name);
}

static void group_get(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    (void)id;
    (void)spec;
    g_value_set_string(value, BK_GROUP(object)->name);
}

static void group_finalize(GObject *object)
{
    g_free(BK_GROUP(object)->name);
    G_OBJECT_CLASS(bk_group_parent_class)->finalize(object);
}

static void bk_group_class_init(BkGroupClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    object->get_property = group_get;
    object->finalize = group_finalize;
    g_object_class_install_property(
        object, 1,
        g_param_spec_string("name", NULL, NULL, "", G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

static void bk_group_init(BkGroup *group)
{
    (void)group;
}

BkGroup *bk_group_new(const char *name)
{
    BkGroup *group = g_object_new(BK_TYPE_GROUP, NULL);
    group->name = g_strdup(name);
    return group;
}

/* ---- the roster ---- */

struct _BkRoster {
    GObject parent;
    BkEngine *engine;
    BkSettings *settings; /* NULL: what is tagged lasts as long as the roster */
    gulong on_event;
    char *address; /* whose session this is; "" */
    bool no_lists, contacts_told, asked_for_lists;
    BkPerson *self;
    BkPerson *writer;   /* of the last message: named before the conversation with them is made */
    GHashTable *people; /* address -> struct entry; holds none of them */
    GHashTable *relations; /* address or "@domain" -> level */
    GHashTable *tagged;    /* set of addresses */
    GHashTable *announced; /* followers told by signal in this session */
    GListStore *contacts, *groups, *followers;
};
G_DEFINE_TYPE(BkRoster, bk_roster, G_TYPE_OBJECT)

enum { PROP_HAS_LISTS = 1, PROP_COUNT };
static GParamSpec *props[PROP_COUNT];
enum { BECAME_AVAILABLE, FOLLOWER, SIGNAL_COUNT };
static guint signals[SIGNAL_COUNT];

struct entry {
    BkRoster *roster;
    BkPerson *person; /* not held: on_gone hears of its end */
    char *address;
    bool watched; /* the engine was asked to, by us */
};

static bool is_live(enum bk_client_state state)
{
    return state == BK_CLIENT_SETTINGS || state == BK_CLIENT_CONTACTS ||
           state == BK_CLIENT_PRESENCE || state == BK_CLIENT_SIGNED_IN;
}

/* ---- people ---- */

static void set_watched(struct entry *entry, bool watched)
{
    if (entry->watched == watched)
        return;
    int r = watched ? bk_engine_watch(entry->roster->engine, entry->address)
                    : bk_engine_unwatch(entry->roster->engine, entry->address);
    entry->watched = watched && r == 0;
}

static void on_gone(gpointer data, GObject *person)
{
    struct entry *entry = data;
    (void)person;
    entry->person = NULL;
    set_watched(entry, false);
    (void)g_hash_table_remove(entry->roster->people, entry->address);
}

static void free_entry(gpointer data)
{
    struct entry *entry = data;
    if (entry->person)
        g_object_weak_unref(G_OBJECT(entry->person), on_gone, entry);
    g_free(entry->address);
    g_free(entry);
}

static int relation_of(BkRoster *roster, const char *address)
{
    gpointer level = g_hash_table_lookup(roster->relations, address);
    const char *domain = strrchr(address, '@');
    if (!level && domain)
        level = g_hash_table_lookup(roster->relations, domain);
    return GPOINTER_TO_INT(level);
}

/* As the engine names people: without "sip:", in small letters. */
static char *plain_address(const char *address)
{
    if (address && g_ascii_strncasecmp(address, "sip:", 4) == 0)
        address += 4;
    return g_ascii_strdown(address ? address : "", -1);
}

/* Borrowed; NULL: nobody holds such a person. */
static BkPerson *known(BkRoster *roster, const char *address)
{
    if (*roster->address && strcmp(address, roster->address) == 0)
        return roster->self;
    struct entry *entry = g_hash_table_lookup(roster->people, address);
    return entry ? entry->person : NULL;
}

/* A reference of the caller's. Not watched yet. */
static BkPerson *hold(BkRoster *roster, const char *address)
{
    BkPerson *person = known(roster, address);
    if (person)
        return g_object_ref(person);
    person = bk_person_new(address);
    bk_person_set_relation(person, relation_of(roster, address));
    bk_person_set_tagged(person, g_hash_table_contains(roster->tagged, address));
    struct entry *entry = g_new0(struct entry, 1);
    entry->roster = roster;
    entry->person = person;
    entry->address = g_strdup(address);
    g_object_weak_ref(G_OBJECT(person), on_gone, entry);
    (void)g_hash_table_insert(roster->people, entry->address, entry);
    return person;
}

/* Who is on the list is watched by the server's list; who else is held, by us. */
static int watch_where_needed(BkRoster *roster, BkPerson *person)
{
    struct entry *entry = g_hash_table_lookup(roster->people, bk_person_address(person));
    if (!entry || entry->watched == !bk_person_is_contact(person))
        return 0;
    if (!*roster->address) /* nobody to watch for: the next session makes them anew */
        return 0;
    if (bk_person_is_contact(person)) {
        set_watched(entry, false);
        return 0;
    }
    int r = bk_engine_watch(roster->engine, entry->address);
    entry->watched = r == 0;
    return r;
}

BkPerson *bk_roster_person(BkRoster *roster, const char *address)
{
    g_autofree char *plain = plain_address(address);
    const char *at = strchr(plain, '@');
    if (!at || at == plain || !at[1] || strpbrk(plain, " \t\r\n"))
        return NULL;
    g_autoptr(BkPerson) person = hold(roster, plain);
    if (watch_where_needed(roster, person) == -EINVAL)
        return NULL;
    return g_steal_pointer(&person);
}

/* ---- what is tagged ---- */

static void read_tagged(BkRoster *roster)
{
    g_auto(GStrv) words =
        roster->settings
            ? g_strsplit_set(bk_settings_string(roster->settings, BK_SETTING_TAGGED), " \t", -1)
            : NULL;
    for (char **word = words; word && *word; word++)
        if (**word)
            (void)g_hash_table_add(roster->tagged, g_ascii_strdown(*word, -1));
}

static void write_tagged(BkRoster *roster)
{
    if (!roster->settings)
        return;
    g_autoptr(GList) keys =
        g_list_sort(g_hash_table_get_keys(roster->tagged), (GCompareFunc)strcmp);
    g_autoptr(GString) text = g_string_new("");
    for (GList *at = keys; at; at = at->next)
        g_string_append_printf(text, "%s%s", text->len ? " " : "", (char *)at->data);
    (void)bk_settings_set_string(roster->settings, BK_SETTING_TAGGED, text->str);
}

void bk_roster_forget_tagged(BkRoster *roster)
{
    g_hash_table_remove_all(roster->tagged);
    write_tagged(roster);
}

void bk_roster_set_tagged(BkRoster *roster, BkPerson *person, bool tagged)
{
    const char *address = bk_person_address(person);
    bool changed = tagged ? g_hash_table_add(roster->tagged, g_strdup(address))
                          : g_hash_table_remove(roster->tagged, address);
    bk_person_set_tagged(person, tagged);
    if (changed)
        write_tagged(roster);
}

/* ---- the contact list ---- */

/* No longer on the list: whoever still holds them keeps seeing them. */
static void drop_contact_at(BkRoster *roster, guint at)
{
    g_autoptr(BkPerson) person = g_list_model_get_item(G_LIST_MODEL(roster->contacts), at);
    g_autofree char *address = g_strdup(bk_person_address(person));
    bk_person_set_groups(person, NULL);
    bk_person_set_label(person, NULL);
    g_list_store_remove(roster->contacts, at);
    g_clear_object(&person);
    BkPerson *still = known(roster, address);
    if (still)
        (void)watch_where_needed(roster, still);
}

static void drop_contacts(BkRoster *roster, GHashTable *but)
{
    for (guint i = g_list_model_get_n_items(G_LIST_MODEL(roster->contacts)); i-- > 0;) {
        g_autoptr(BkPerson) person = g_list_model_get_item(G_LIST_MODEL(roster->contacts), i);
        bool stays = g_hash_table_contains(but, bk_person_address(person));
        g_clear_object(&person);
        if (!stays)
            drop_contact_at(roster, i);
    }
}

static void drop_contact(BkRoster *roster, const char *address)
{
    BkPerson *person = known(roster, address);
    guint at;
    if (person && g_list_store_find(roster->contacts, person, &at))
        drop_contact_at(roster, at);
}

static void take_contact(BkRoster *roster, const struct bk_client_contact *row, GPtrArray *added)
{
    g_autoptr(BkPerson) person = hold(roster, row->address);
    g_autoptr(GStrvBuilder) groups = g_strv_builder_new();
    for (int i = 0; i < row->n_groups; i++)
        g_strv_builder_add(groups, row->groups[i]);
    if (row->n_groups == 0)
        g_strv_builder_add(groups, OTHERS);
    g_auto(GStrv) names = g_strv_builder_end(groups);
    bool was = bk_person_is_contact(person);
    bk_person_set_label(person, row->name);
    bk_person_set_groups(person, (const char *const *)names);
    (void)watch_where_needed(roster, person);
    if (!was)
        g_ptr_array_add(added, g_steal_pointer(&person));
}

static int by_place(gconstpointer a, gconstpointer b)
{
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    return (strcmp(left, OTHERS) == 0) - (strcmp(right, OTHERS) == 0);
}

static BkGroup *group_named(BkRoster *roster, const char *name)
{
    for (guint i = 0; i < g_list_model_get_n_items(G_LIST_MODEL(roster->groups)); i++) {
        g_autoptr(BkGroup) group = g_list_model_get_item(G_LIST_MODEL(roster->groups), i);
        if (strcmp(group->name, name) == 0)
            return g_steal_pointer(&group);
    }
    return bk_group_new(name);
}

static void take_groups(BkRoster *roster, const char *const *names, int n)
{
    guint had = g_list_model_get_n_items(G_LIST_MODEL(roster->groups));
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    g_autoptr(GPtrArray) now = g_ptr_array_new_with_free_func(g_object_unref);
    for (int i = 0; i < n; i++)
        g_ptr_array_add(sorted, (gpointer)(uintptr_t)names[i]);
    g_ptr_array_sort(sorted, by_place); /* a merge sort: the others keep their order */
    bool same = had == sorted->len;
    for (guint i = 0; i < sorted->len; i++) {
        BkGroup *group = group_named(roster, sorted->pdata[i]);
        g_ptr_array_add(now, group);
        if (same) {
            g_autoptr(BkGroup) here = g_list_model_get_item(G_LIST_MODEL(roster->groups), i);
            same = here == group;
        }
    }
    if (!same)
        g_list_store_splice(roster->groups, 0, had, now->pdata, now->len);
}

static void set_no_lists(BkRoster *roster, bool no_lists)
{
    if (roster->no_lists == no_lists)
        return;
    roster->no_lists = no_lists;
    g_object_notify_by_pspec(G_OBJECT(roster), props[PROP_HAS_LISTS]);
}

static void take_contacts(BkRoster *roster, const struct bk_client_event *event)
{
    bool whole = event->contacts.whole;
    g_autoptr(GPtrArray) added = g_ptr_array_new_with_free_func(g_object_unref);
    roster->contacts_told = true;
    set_no_lists(roster, false);
    if (whole) {
        g_autoptr(GHashTable) named = g_hash_table_new(g_str_hash, g_str_equal);
        for (int i = 0; i < event->contacts.n_contacts; i++)
            (void)g_hash_table_add(named, (gpointer)(uintptr_t)event->contacts.contacts[i].address);
        take_groups(roster, event->contacts.groups, event->contacts.n_groups);
        drop_contacts(roster, named);
    }
    for (int i = 0; i < event->contacts.n_contacts; i++)
        take_contact(roster, &event->contacts.contacts[i], added);
    for (int i = 0; !whole && i < event->contacts.n_gone; i++)
        drop_contact(roster, event->contacts.gone[i]);
    if (added->len)
        g_list_store_splice(roster->contacts,
                            g_list_model_get_n_items(G_LIST_MODEL(roster->contacts)), 0,
                            added->pdata, added->len);
}

/* ---- presence ---- */

static void take_presence(BkRoster *roster, const struct bk_client_event *event)
{
    BkPerson *person = known(roster, event->presence.address);
    enum bk_pidf_shown shown = event->presence.shown;
    if (!person)
        return;
    if (shown == BK_PIDF_SHOWN_MISSING)
        shown = BK_PIDF_SHOWN_UNKNOWN;
    if (*event->presence.name)
        bk_person_set_told_name(person, event->presence.name);
    enum bk_pidf_shown before = bk_person_last_known(person);
    bool away = shown == BK_PIDF_SHOWN_UNKNOWN && !is_live(bk_engine_state(roster->engine));
    bk_person_set_presence(person, shown, away ? bk_person_note(person) : event->presence.note,
                           event->presence.since_ms);
    if (shown == BK_PIDF_SHOWN_AVAILABLE && before != BK_PIDF_SHOWN_AVAILABLE &&
        before != BK_PIDF_SHOWN_UNKNOWN && bk_person_is_tagged(person))
        g_signal_emit(roster, signals[BECAME_AVAILABLE], 0, person);
}

static void make_unknown(BkPerson *person)
{
    bk_person_set_presence(person, BK_PIDF_SHOWN_UNKNOWN, bk_person_note(person), 0);
}

/* Handlers of notify may let people go, so they are held while all are walked. */
static GPtrArray *everybody(BkRoster *roster)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(g_object_unref);
    GHashTableIter it;
    gpointer entry;
    g_hash_table_iter_init(&it, roster->people);
    while (g_hash_table_iter_next(&it, NULL, &entry))
        g_ptr_array_add(all, g_object_ref(((struct entry *)entry)->person));
    g_ptr_array_add(all, g_object_ref(roster->self));
    return all;
}

static void all_unknown(BkRoster *roster)
{
    g_autoptr(GPtrArray) all = everybody(roster);
    for (guint i = 0; i < all->len; i++)
        make_unknown(all->pdata[i]);
}

/* ---- relations, followers ---- */

static void take_relations(BkRoster *roster, const struct bk_client_event *event)
{
    g_autoptr(GPtrArray) all = everybody(roster);
    g_hash_table_remove_all(roster->relations);
    for (int i = 0; i < event->relations.n_rows; i++)
        (void)g_hash_table_insert(roster->relations,
                                  g_ascii_strdown(event->relations.rows[i].subject, -1),
                                  GINT_TO_POINTER(event->relations.rows[i].level));
    for (guint i = 0; i < all->len; i++)
        bk_person_set_relation(all->pdata[i],
                               relation_of(roster, bk_person_address(all->pdata[i])));
}

static void take_followers(BkRoster *roster, const struct bk_client_event *event)
{
    guint had = g_list_model_get_n_items(G_LIST_MODEL(roster->followers));
    g_autoptr(GPtrArray) now = g_ptr_array_new_with_free_func(g_object_unref);
    g_autoptr(GPtrArray) fresh = g_ptr_array_new_with_free_func(g_object_unref);
    for (int i = 0; i < event->followers.n_rows; i++) {
        const struct bk_client_follower *row = &event->followers.rows[i];
        BkPerson *person = known(roster, row->address);
        if (person && *row->name)
            bk_person_set_told_name(person, row->name);
        if (row->acknowledged)
            continue;
        person = bk_roster_person(roster, row->address);
        if (!person)
            continue;
        if (*row->name)
            bk_person_set_told_name(person, row->name);
        g_ptr_array_add(now, person);
        if (g_hash_table_add(roster->announced, g_strdup(row->address)))
            g_ptr_array_add(fresh, g_object_ref(person));
    }
    bool same = had == now->len;
    for (guint i = 0; same && i < now->len; i++) {
        g_autoptr(BkPerson) here = g_list_model_get_item(G_LIST_MODEL(roster->followers), i);
        same = here == now->pdata[i];
    }
    if (!same)
        g_list_store_splice(roster->followers, 0, had, now->pdata, now->len);
    for (guint i = 0; i < fresh->len; i++)
        g_signal_emit(roster, signals[FOLLOWER], 0, fresh->pdata[i]);
}

/* ---- sessions ---- */

static void empty(GListStore *store)
{
    if (g_list_model_get_n_items(G_LIST_MODEL(store)))
        g_list_store_remove_all(store);
}

static void end_session(BkRoster *roster)
{
    g_autoptr(GPtrArray) all = everybody(roster);
    GHashTableIter it;
    gpointer entry;
    g_hash_table_iter_init(&it, roster->people);
    while (g_hash_table_iter_next(&it, NULL, &entry))
        set_watched(entry, false);
    /* Out first: who holds them longer sees them unknown, and the next session makes new ones. */
    g_hash_table_remove_all(roster->people);
    g_hash_table_remove_all(roster->relations);
    g_hash_table_remove_all(roster->announced);
    empty(roster->contacts);
    empty(roster->groups);
    empty(roster->followers);
    for (guint i = 0; i < all->len; i++) {
        bk_person_set_presence(all->pdata[i], BK_PIDF_SHOWN_UNKNOWN, "", 0);
        bk_person_set_groups(all->pdata[i], NULL);
        bk_person_set_relation(all->pdata[i], 0);
    }
    bk_person_set_label(roster->self, NULL);
    bk_person_set_told_name(roster->self, NULL);
    bk_person_forget(roster->self);
    roster->contacts_told = roster->asked_for_lists = false;
    set_no_lists(roster, false);
}

static void set_address(BkRoster *roster, const char *address)
{
    if (strcmp(roster->address, address) == 0)
        return;
    end_session(roster);
    g_free(roster->address);
    roster->address = g_strdup(address);
    bk_person_set_address(roster->self, address);
}

static void on_told(GObject *object, GAsyncResult *result, gpointer data)
{
    g_autoptr(BkRoster) roster = data;
    g_autoptr(GError) error = NULL;
    BkEngine *engine = BK_ENGINE(object);
    if (!bk_engine_edit_finish(engine, result, &error) && !roster->contacts_told &&
        bk_engine_state(engine) == BK_CLIENT_SIGNED_IN)
        set_no_lists(roster, true);
}

static void take_state(BkRoster *roster, const struct bk_client_event *event)
{
    set_address(roster, bk_engine_address(roster->engine));
    if (!is_live(event->state.state))
        all_unknown(roster);
    /* A server without lists says so when it is asked for them. */
    if (event->state.state == BK_CLIENT_SIGNED_IN && !roster->contacts_told &&
        !roster->asked_for_lists) {
        struct bk_client_edit wish = { .kind = BK_CLIENT_EDIT_TELL };
        roster->asked_for_lists = true;
        bk_engine_edit_async(roster->engine, &wish, NULL, on_told, g_object_ref(roster));
    }
}

static void on_event(BkEngine *engine, const struct bk_client_event *event, BkRoster *roster)
{
    BkPerson *person;
    (void)engine;
    switch (event->type) {
    case BK_CLIENT_EVENT_STATE:
        take_state(roster, event);
        return;
    case BK_CLIENT_EVENT_PRESENCE:
        take_presence(roster, event);
        return;
    case BK_CLIENT_EVENT_CONTACTS:
        take_contacts(roster, event);
        return;
    case BK_CLIENT_EVENT_RELATIONS:
        take_relations(roster, event);
        return;
    case BK_CLIENT_EVENT_FOLLOWERS:
        take_followers(roster, event);
        return;
    case BK_CLIENT_EVENT_MESSAGE:
        person = bk_roster_person(roster, event->message.from);
        if (person && *event->message.from_name)
            bk_person_set_told_name(person, event->message.from_name);
        g_set_object(&roster->writer, person);
        g_clear_object(&person);
        return;
    default:
        return;
    }
}

/* ---- the directory ---- */

static void on_searched(GObject *object, GAsyncResult *result, gpointer data)
{
    g_autoptr(GTask) task = data;
    BkRoster *roster = g_task_get_source_object(task);
    g_autoptr(GError) error = NULL;
    if (!bk_engine_edit_finish(BK_ENGINE(object), result, &error)) {
        g_task_return_error(task, g_steal_pointer(&error));
        return;
    }
    const struct bk_client_event *event = bk_engine_edit_found(result);
    GListStore *people = g_list_store_new(BK_TYPE_PERSON);
    for (int i = 0; event && i < event->found.n_rows; i++) {
        const struct bk_client_found *row = &event->found.rows[i];
        g_autoptr(BkPerson) person = bk_roster_person(roster, row->address);
        if (!person)
            continue;
        if (*row->name)
            bk_person_set_told_name(person, row->name);
        bk_person_set_card(person, &(struct bk_person_card){ row->title, row->office, row->phone,
                                                             row->company, row->email });
        g_list_store_append(people, person);
    }
    g_task_set_task_data(task, GINT_TO_POINTER(event && event->found.more), NULL);
    g_task_return_pointer(task, people, g_object_unref);
}

void bk_roster_search_async(BkRoster *roster, const char *text, GCancellable *cancellable,
                            GAsyncReadyCallback done, gpointer user_data)
{
    struct bk_client_edit wish = { .kind = BK_CLIENT_EDIT_SEARCH, .text = text };
    GTask *task = g_task_new(roster, cancellable, done, user_data);
    bk_engine_edit_async(roster->engine, &wish, cancellable, on_searched, task);
}

GListModel *bk_roster_search_finish(BkRoster *roster, GAsyncResult *result, bool *ret_more,
                                    GError **error)
{
    g_return_val_if_fail(g_task_is_valid(result, roster), NULL);
    GListModel *found = g_task_propagate_pointer(G_TASK(result), error);
    if (found && ret_more)
        *ret_more = GPOINTER_TO_INT(g_task_get_task_data(G_TASK(result))) != 0;
    return found;
}

/* ---- the object ---- */

BkPerson *bk_roster_self(BkRoster *roster)
{
    return roster->self;
}

GListModel *bk_roster_contacts(BkRoster *roster)
{
    return G_LIST_MODEL(roster->contacts);
}

GListModel *bk_roster_groups(BkRoster *roster)
{
    return G_LIST_MODEL(roster->groups);
}

GListModel *bk_roster_followers(BkRoster *roster)
{
    return G_LIST_MODEL(roster->followers);
}

bool bk_roster_has_lists(BkRoster *roster)
{
    return !roster->no_lists;
}

static void roster_get(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    (void)id;
    (void)spec;
    g_value_set_boolean(value, !BK_ROSTER(object)->no_lists);
}

static void dispose(GObject *object)
{
    BkRoster *roster = BK_ROSTER(object);
    if (roster->engine) {
        g_clear_signal_handler(&roster->on_event, roster->engine);
        end_session(roster);
    }
    g_clear_object(&roster->writer);
    g_clear_object(&roster->engine);
    g_clear_object(&roster->settings);
    G_OBJECT_CLASS(bk_roster_parent_class)->dispose(object);
}

static void finalize(GObject *object)
{
    BkRoster *roster = BK_ROSTER(object);
    g_hash_table_unref(roster->people);
    g_hash_table_unref(roster->relations);
    g_hash_table_unref(roster->tagged);
    g_hash_table_unref(roster->announced);
    g_object_unref(roster->contacts);
    g_object_unref(roster->groups);
    g_object_unref(roster->followers);
    g_object_unref(roster->self);
    g_free(roster->address);
    G_OBJECT_CLASS(bk_roster_parent_class)->finalize(object);
}

static void bk_roster_class_init(BkRosterClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    object->get_property = roster_get;
    object->dispose = dispose;
    object->finalize = finalize;
    props[PROP_HAS_LISTS] =
        g_param_spec_boolean("has-lists", NULL, NULL, TRUE,
                             G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
    g_object_class_install_properties(object, PROP_COUNT, props);
    signals[BECAME_AVAILABLE] =
        g_signal_new("became-available", BK_TYPE_ROSTER, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                     g_cclosure_marshal_VOID__OBJECT, G_TYPE_NONE, 1, BK_TYPE_PERSON);
    signals[FOLLOWER] =
        g_signal_new("follower", BK_TYPE_ROSTER, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                     g_cclosure_marshal_VOID__OBJECT, G_TYPE_NONE, 1, BK_TYPE_PERSON);
}

static void bk_roster_init(BkRoster *roster)
{
    roster->address = g_strdup("");
    roster->self = bk_person_new("");
    roster->people = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_entry);
    roster->relations = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    roster->tagged = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    roster->announced = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    roster->contacts = g_list_store_new(BK_TYPE_PERSON);
    roster->groups = g_list_store_new(BK_TYPE_GROUP);
    roster->followers = g_list_store_new(BK_TYPE_PERSON);
}

BkRoster *bk_roster_new(BkEngine *engine, BkSettings *settings)
{
    BkRoster *roster = g_object_new(BK_TYPE_ROSTER, NULL);
    roster->engine = g_object_ref(engine);
    roster->settings = settings ? g_object_ref(settings) : NULL;
    read_tagged(roster);
    roster->on_event = g_signal_connect(engine, "event", G_CALLBACK(on_event), roster);
    set_address(roster, bk_engine_address(engine));
    return roster;
}
