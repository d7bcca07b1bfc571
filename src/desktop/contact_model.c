/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/contact_model.h"

#include "desktop/contact_private.h"
#include "desktop/roster.h"
#include "desktop/words.h"

#include <glib/gi18n.h>
#include <string.h>

/* Above so many at once the whole list is laid out anew instead of row by row. */
enum { ROW_BY_ROW_MAX = 32 };

static void list_model_init(GListModelInterface *iface);
G_DEFINE_FINAL_TYPE_WITH_CODE(BkContactModel, bk_contact_model, G_TYPE_OBJECT,
                              G_IMPLEMENT_INTERFACE(G_TYPE_LIST_MODEL, list_model_init))

/* ---- one person moves ---- */

/* Puts a row in or takes it out, counts, and tells the views exactly that. */
static void change_section(BkContactModel *model, struct bk_contact_section *section,
                           BkContactItem *add, BkContactItem *remove, int members, int reachable)
{
    unsigned start = bk_contact_size_before(model, section), before = bk_contact_size_of(section);
    bool had_header = bk_contact_has_header(section), there;
    guint at = 0;
    if (remove) {
        at = bk_contact_place_of(section, remove->sort, &there);
        g_ptr_array_remove_index(section->items, at);
    }
    if (add) {
        at = bk_contact_place_of(section, add->sort, &there);
        g_ptr_array_insert(section->items, (int)at, add);
    }
    section->count += members;
    section->count_reachable += reachable;
    unsigned after = bk_contact_size_of(section);
    if (had_header != bk_contact_has_header(section))
        g_list_model_items_changed(G_LIST_MODEL(model), start, before, after);
    else if (before != after)
        g_list_model_items_changed(G_LIST_MODEL(model), start + (had_header ? 1 : 0) + at,
                                   remove ? 1 : 0, add ? 1 : 0);
}

static BkContactItem *row_in(struct bk_contact_section *section, const char *sort)
{
    bool there;
    guint at = bk_contact_place_of(section, sort, &there);
    return there ? section->items->pdata[at] : NULL;
}

static void leave_section(BkContactModel *model, struct bk_contact_known *known,
                          struct bk_contact_section *section)
{
    change_section(model, section, NULL, row_in(section, known->sort), -1,
                   known->counted_reachable ? -1 : 0);
    bk_contact_tell_header(section);
}

/* Where somebody belongs is compared with where they stand; rows are made, moved and taken away accordingly. */
static void place(BkContactModel *model, struct bk_contact_known *known, bool gone)
{
    g_autofree char *sort = bk_contact_sort_of(known->person);
    bool moved = strcmp(sort, known->sort) != 0;
    bool reachable = bk_contact_is_reachable(known->person);
    if (moved) {
        g_free(known->folded);
        known->folded = bk_contact_folded_of(known->person);
    }

    g_autoptr(GPtrArray) stood = g_steal_pointer(&known->sections);
    known->sections = g_ptr_array_new();
    known->row = false;
    if (!gone)
        bk_contact_each_section(model, known, bk_contact_stand_in);

    for (guint i = 0; i < stood->len; i++)
        if (!g_ptr_array_find(known->sections, stood->pdata[i], NULL))
            leave_section(model, known, stood->pdata[i]);
    for (guint i = 0; i < known->sections->len; i++) {
        struct bk_contact_section *section = known->sections->pdata[i];
        bool stays = g_ptr_array_find(stood, section, NULL);
        g_autoptr(BkContactItem) row = stays ? row_in(section, known->sort) : NULL;
        if (row)
            g_object_ref(row);
        int more = stays ? 0 : 1;
        int more_reachable = reachable - (stays && known->counted_reachable ? 1 : 0);
        if (row && known->row && !moved) {
            section->count_reachable += more_reachable;
        } else {
            if (row) {
                change_section(model, section, NULL, row, 0, 0);
                g_free(row->sort);
                row->sort = g_strdup(sort);
            }
            BkContactItem *now = NULL;
            if (known->row)
                now = row ? g_object_ref(row) : bk_contact_person_row(section, known->person, sort);
            change_section(model, section, now, NULL, more, more_reachable);
        }
        bk_contact_tell_header(section);
    }
    known->counted_reachable = reachable;
    g_free(known->sort);
    known->sort = g_steal_pointer(&sort);
    if (bk_contact_section_of(model, "q:contacts"))
        model->n_matches = bk_contact_section_of(model, "q:contacts")->items->len;
}

static bool is_placed_right(BkContactModel *model, struct bk_contact_known *known)
{
    if (known->counted_reachable != bk_contact_is_reachable(known->person))
        return false;
    bool row = known->row;
    g_autoptr(GPtrArray) stood = g_steal_pointer(&known->sections);
    known->sections = g_ptr_array_new();
    known->row = false;
    bk_contact_each_section(model, known, bk_contact_stand_in);
    bool same = known->sections->len == stood->len && (row == known->row || stood->len == 0);
    for (guint i = 0; same && i < stood->len; i++)
        same = stood->pdata[i] == known->sections->pdata[i];
    g_ptr_array_unref(known->sections);
    known->sections = g_steal_pointer(&stood);
    known->row = row;
    return same;
}

static void person_changed(BkPerson *person, GParamSpec *what, struct bk_contact_known *known)
{
    (void)person;
    if (g_str_equal(what->name, "name") || !is_placed_right(known->model, known))
        place(known->model, known, false);
}

/* ---- what the list is made of ---- */

static void known_free(void *data)
{
    struct bk_contact_known *known = data;
    g_signal_handler_disconnect(known->person, known->changed);
    g_object_unref(known->person);
    g_clear_pointer(&known->sections, g_ptr_array_unref);
    g_free(known->sort);
    g_free(known->folded);
    g_free(known);
}

static struct bk_contact_known *know(BkContactModel *model, BkPerson *person)
{
    struct bk_contact_known *known = g_new0(struct bk_contact_known, 1);
    known->model = model;
    known->person = g_object_ref(person);
    known->changed = g_signal_connect(person, "notify", G_CALLBACK(person_changed), known);
    known->sort = bk_contact_sort_of(person);
    known->folded = bk_contact_folded_of(person);
    known->sections = g_ptr_array_new();
    g_hash_table_insert(model->known, person, known);
    return known;
}

/* contacts is in no order and does not say who left: who is not met any more. */
static void contacts_changed(GListModel *contacts, guint position, guint removed, guint added,
                             BkContactModel *model)
{
    /* In a search who is a contact now stood elsewhere a moment ago. */
    bool few = removed + added <= ROW_BY_ROW_MAX && !bk_contact_is_searching(model);
    for (guint i = position; i < position + added; i++) {
        g_autoptr(BkPerson) person = g_list_model_get_item(contacts, i);
        if (g_hash_table_contains(model->known, person))
            continue;
        struct bk_contact_known *known = know(model, person);
        if (few)
            place(model, known, false);
    }
    if (removed) {
        model->pass++;
        guint n = g_list_model_get_n_items(contacts);
        for (guint i = 0; i < n; i++) {
            g_autoptr(BkPerson) person = g_list_model_get_item(contacts, i);
            struct bk_contact_known *known = g_hash_table_lookup(model->known, person);
            if (known)
                known->pass = model->pass;
        }
        GHashTableIter iter;
        void *value;
        g_hash_table_iter_init(&iter, model->known);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            struct bk_contact_known *known = value;
            if (known->pass == model->pass)
                continue;
            if (few)
                place(model, known, true);
            g_hash_table_iter_remove(&iter);
        }
    }
    if (!few)
        bk_contact_lay_out(model);
}

static void others_changed(GListModel *list, guint position, guint removed, guint added,
                           BkContactModel *model)
{
    (void)list;
    (void)position;
    (void)removed;
    (void)added;
    bk_contact_lay_out(model);
}

void bk_contact_model_set_view(BkContactModel *model, enum bk_contact_view view)
{
    if (model->view == view)
        return;
    model->view = view;
    bk_contact_lay_out(model);
}

void bk_contact_model_set_show_offline(BkContactModel *model, bool show)
{
    if (model->show_offline == show)
        return;
    model->show_offline = show;
    bk_contact_lay_out(model);
}

void bk_contact_model_set_query(BkContactModel *model, const char *query)
{
    if (g_strcmp0(model->query, query) == 0)
        return;
    g_free(model->query);
    model->query = g_strdup(query);
    g_strfreev(model->words);
    g_autofree char *folded = bk_contact_fold(query);
    GStrvBuilder *words = g_strv_builder_new();
    char **parts = g_strsplit_set(folded, " \t\n", -1);
    for (char **part = parts; *part; part++)
        if (**part)
            g_strv_builder_add(words, *part);
    g_strfreev(parts);
    model->words = g_strv_builder_end(words);
    g_strv_builder_unref(words);
    if (!bk_contact_is_searching(model)) {
        g_clear_object(&model->found);
        g_clear_object(&model->typed);
        g_clear_pointer(&model->hint, g_free);
    }
    bk_contact_lay_out(model);
}

unsigned bk_contact_model_n_matches(BkContactModel *model)
{
    return model->n_matches;
}

void bk_contact_model_set_found(BkContactModel *model, GListModel *found)
{
    if (g_set_object(&model->found, found))
        bk_contact_lay_out(model);
}

void bk_contact_model_set_typed(BkContactModel *model, BkPerson *person)
{
    if (g_set_object(&model->typed, person))
        bk_contact_lay_out(model);
}

void bk_contact_model_set_hint(BkContactModel *model, const char *hint)
{
    if (g_strcmp0(model->hint ? model->hint : "", hint ? hint : "") == 0)
        return;
    g_free(model->hint);
    model->hint = g_strdup(hint);
    bk_contact_lay_out(model);
}

void bk_contact_model_set_expanded(BkContactModel *model, const char *key, bool expanded)
{
    if (expanded)
        g_hash_table_remove(model->collapsed, key);
    else
        g_hash_table_add(model->collapsed, g_strdup(key));
    struct bk_contact_section *section = bk_contact_section_of(model, key);
    if (!section || !section->header || section->expanded == expanded)
        return;
    section->expanded = expanded;
    unsigned start =
        bk_contact_size_before(model, section) + (bk_contact_has_header(section) ? 1 : 0);
    unsigned n = section->items->len;
    if (n)
        g_list_model_items_changed(G_LIST_MODEL(model), start, expanded ? 0 : n, expanded ? n : 0);
    bk_contact_tell_header(section);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *bk_contact_model_collapsed(BkContactModel *model)
{
    g_autofree char **keys = (char **)g_hash_table_get_keys_as_array(model->collapsed, NULL);
    g_autoptr(GPtrArray) escaped = g_ptr_array_new_with_free_func(g_free);
    for (char **key = keys; *key; key++)
        g_ptr_array_add(escaped, g_uri_escape_string(*key, ":", TRUE));
    g_ptr_array_sort(escaped, by_text);
    g_ptr_array_add(escaped, NULL);
    return g_strjoinv(" ", (char **)escaped->pdata);
}

void bk_contact_model_set_collapsed(BkContactModel *model, const char *collapsed)
{
    g_hash_table_remove_all(model->collapsed);
    g_auto(GStrv) keys = g_strsplit(collapsed, " ", -1);
    for (char **key = keys; *key; key++) {
        char *plain = g_uri_unescape_string(*key, NULL);
        if (plain && *plain && g_utf8_validate(plain, -1, NULL))
            g_hash_table_add(model->collapsed, plain);
        else
            g_free(plain);
    }
    for (guint i = 0; i < model->sections->len; i++) {
        struct bk_contact_section *section = model->sections->pdata[i];
        g_autofree char *key = g_strdup(section->key);
        bool expanded = !g_hash_table_contains(model->collapsed, key);
        if (section->header && section->expanded != expanded)
            bk_contact_model_set_expanded(model, key, expanded);
    }
}

static unsigned find(BkContactModel *model, BkPerson *person, const char *key)
{
    unsigned position = 0;
    for (guint i = 0; i < model->sections->len; i++) {
        const struct bk_contact_section *section = model->sections->pdata[i];
        if (key && bk_contact_has_header(section) && strcmp(section->key, key) == 0)
            return position;
        if (bk_contact_has_header(section))
            position++;
        bool open = section->expanded || !section->header;
        for (guint k = 0; open && k < section->items->len; k++, position++)
            if (person && ((BkContactItem *)section->items->pdata[k])->person == person)
                return position;
    }
    return G_MAXUINT;
}

unsigned bk_contact_model_find_person(BkContactModel *model, BkPerson *person)
{
    return find(model, person, NULL);
}

unsigned bk_contact_model_find_header(BkContactModel *model, const char *key)
{
    return find(model, NULL, key);
}

/* ---- as a list and an object ---- */

static GType item_type(GListModel *list)
{
    (void)list;
    return BK_TYPE_CONTACT_ITEM;
}

static guint n_items(GListModel *list)
{
    return bk_contact_size_before(BK_CONTACT_MODEL(list), NULL);
}

static void *get_item(GListModel *list, guint position)
{
    BkContactItem *item = bk_contact_row_at(BK_CONTACT_MODEL(list)->sections, position);
    return item ? g_object_ref(item) : NULL;
}

static void list_model_init(GListModelInterface *iface)
{
    iface->get_item_type = item_type;
    iface->get_n_items = n_items;
    iface->get_item = get_item;
}

static void dispose(GObject *object)
{
    BkContactModel *model = BK_CONTACT_MODEL(object);
    GListModel **lists[] = { &model->contacts, &model->groups, &model->followers };
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        if (*lists[i])
            g_signal_handlers_disconnect_by_data(*lists[i], model);
        g_clear_object(lists[i]);
    }
    g_clear_object(&model->found);
    g_clear_object(&model->typed);
    g_hash_table_remove_all(model->known);
    G_OBJECT_CLASS(bk_contact_model_parent_class)->dispose(object);
}

static void finalize(GObject *object)
{
    BkContactModel *model = BK_CONTACT_MODEL(object);
    g_hash_table_unref(model->known);
    g_hash_table_unref(model->collapsed);
    g_ptr_array_unref(model->sections);
    g_free(model->query);
    g_strfreev(model->words);
    g_free(model->hint);
    G_OBJECT_CLASS(bk_contact_model_parent_class)->finalize(object);
}

static void bk_contact_model_class_init(BkContactModelClass *class)
{
    G_OBJECT_CLASS(class)->dispose = dispose;
    G_OBJECT_CLASS(class)->finalize = finalize;
}

static void bk_contact_model_init(BkContactModel *model)
{
    model->known = g_hash_table_new_full(NULL, NULL, NULL, known_free);
    model->collapsed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    model->sections = g_ptr_array_new_with_free_func(bk_contact_section_free);
    model->show_offline = true;
}

BkContactModel *bk_contact_model_new(GListModel *contacts, GListModel *groups,
                                     GListModel *followers)
{
    BkContactModel *model = g_object_new(BK_TYPE_CONTACT_MODEL, NULL);
    model->contacts = g_object_ref(contacts);
    model->groups = g_object_ref(groups);
    model->followers = g_object_ref(followers);
    guint n = g_list_model_get_n_items(contacts);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkPerson) person = g_list_model_get_item(contacts, i);
        if (!g_hash_table_contains(model->known, person))
            know(model, person);
    }
    bk_contact_lay_out(model);
    g_signal_connect(contacts, "items-changed", G_CALLBACK(contacts_changed), model);
    g_signal_connect(groups, "items-changed", G_CALLBACK(others_changed), model);
    g_signal_connect(followers, "items-changed", G_CALLBACK(others_changed), model);
    return model;
}
