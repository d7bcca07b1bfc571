/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/contact_model.h"
#include "desktop/roster.h"
#include "desktop/words.h"
#include <glib/gi18n.h>
#include <string.h>

/* Above so many at once the whole list is laid out anew instead of row by row. */
enum { ROW_BY_ROW_MAX = 32 };

/* ---- one row ---- */

struct _BkContactItem {
    GObject parent;
    enum bk_contact_kind kind;
    BkPerson *person;
    char *title, *key;
    char *sort; /* PERSON: where it stands in its section */
    unsigned count, reachable;
    bool expanded;
};
G_DEFINE_FINAL_TYPE(BkContactItem, bk_contact_item, G_TYPE_OBJECT)

static unsigned item_changed;

static void item_finalize(GObject *object)
{
    BkContactItem *item = BK_CONTACT_ITEM(object);
    g_clear_object(&item->person);
    g_free(item->title);
    g_free(item->key);
    g_free(item->sort);
    G_OBJECT_CLASS(bk_contact_item_parent_class)->finalize(object);
}

static void bk_contact_item_class_init(BkContactItemClass *class)
{
    G_OBJECT_CLASS(class)->finalize = item_finalize;
    item_changed = g_signal_new("changed", BK_TYPE_CONTACT_ITEM, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                NULL, G_TYPE_NONE, 0);
}

static void bk_contact_item_init(BkContactItem *item)
{
    item->expanded = true;
}

static BkContactItem *item_new(enum bk_contact_kind kind, const char *key, BkPerson *person,
                               const char *title)
{
    BkContactItem *item = g_object_new(BK_TYPE_CONTACT_ITEM, NULL);
    item->kind = kind;
    item->key = g_strdup(key);
    item->title = g_strdup(title ? title : "");
    if (person)
        item->person = g_object_ref(person);
    return item;
}

enum bk_contact_kind bk_contact_item_kind(BkContactItem *item)
{
    return item->kind;
}

BkPerson *bk_contact_item_person(BkContactItem *item)
{
    return item->person;
}

const char *bk_contact_item_title(BkContactItem *item)
{
    return item->title;
}

const char *bk_contact_item_key(BkContactItem *item)
{
    return item->key;
}

const char *bk_contact_item_group(BkContactItem *item)
{
    return g_str_has_prefix(item->key, "g:") ? item->key + 2 : NULL;
}

unsigned bk_contact_item_count(BkContactItem *item)
{
    return item->count;
}

unsigned bk_contact_item_reachable(BkContactItem *item)
{
    return item->reachable;
}

bool bk_contact_item_is_expanded(BkContactItem *item)
{
    return item->expanded;
}

/* ---- texts ---- */

char *bk_contact_fold(const char *text)
{
    g_autofree char *apart = g_utf8_normalize(text, -1, G_NORMALIZE_ALL);
    if (!apart)
        return g_strdup("");
    GString *bare = g_string_new(NULL);
    for (const char *at = apart; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (!g_unichar_ismark(c))
            g_string_append_unichar(bare, c);
    }
    char *folded = g_utf8_casefold(bare->str, -1);
    g_string_free(bare, TRUE);
    return folded;
}

char *bk_contact_address_of(const char *text)
{
    g_autofree char *address = g_strstrip(g_strdup(text));
    const char *bare = g_ascii_strncasecmp(address, "sip:", 4) == 0 ? address + 4 : address;
    const char *at = strchr(bare, '@');
    if (!at || at == bare || strchr(at + 1, '@') || strpbrk(bare, " \t<>\"'(),;:\\/?&="))
        return NULL;
    /* A name of at least two parts, or a person would be asked for at each letter of the domain. */
    const char *dot = strchr(at + 1, '.');
    size_t len = strlen(bare);
    if (!dot || dot == at + 1 || bare[len - 1] == '.' || strstr(at, "..") || len > 255)
        return NULL;
    for (const char *c = bare; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 127)
            return NULL;
    return g_strdup(bare);
}

char *bk_contact_status(BkPerson *person, int64_t now_ms)
{
    if (bk_person_is_blocked(person))
        return g_strdup(C_("person", "Blocked"));
    enum bk_pidf_shown shown = bk_person_shown(person);
    g_autofree char *since =
        now_ms ? bk_word_since(shown, bk_person_since_ms(person), now_ms) : NULL;
    if (!since || !*since)
        return g_strdup(bk_word_shown(shown));
    if (shown == BK_PIDF_SHOWN_OFFLINE)
        /* TRANSLATORS: a state and when it began: "Offline", "last seen 2 hours ago". */
        return g_strdup_printf(C_("state and time", "%s, %s"), bk_word_shown(shown), since);
    /* TRANSLATORS: a state and how long it lasts: "Away", "for 12 minutes". */
    return g_strdup_printf(C_("state and time", "%s %s"), bk_word_shown(shown), since);
}

/* A note of several lines in one; "" where it is the note of a blocked person or of a time when the connection was there. */
static char *note_of(BkPerson *person)
{
    bool counts = !bk_person_is_blocked(person) && bk_person_shown(person) > BK_PIDF_SHOWN_UNKNOWN;
    const char *note = counts ? bk_person_note(person) : "";
    char *line = g_strstrip(g_strdelimit(g_strdup(note), "\r\n\t", ' '));
    return line;
}

char *bk_contact_subtitle(BkPerson *person, int64_t now_ms)
{
    g_autofree char *note = note_of(person);
    if (!*note)
        return bk_contact_status(person, now_ms);
    return g_strdup_printf("%s \302\267 %s", bk_word_shown(bk_person_shown(person)), note);
}

char *bk_contact_found_subtitle(BkPerson *person)
{
    const char *title = bk_person_title(person), *office = bk_person_office(person);
    const char *between = *title && *office ? ", " : "";
    g_autofree char *what = *title || *office ? g_strconcat(title, between, office, NULL)
                                              : g_strdup(bk_person_address(person));
    if (bk_person_shown(person) <= BK_PIDF_SHOWN_UNKNOWN)
        return g_steal_pointer(&what);
    return g_strdup_printf("%s \302\267 %s", bk_word_shown(bk_person_shown(person)), what);
}

char *bk_contact_label(BkPerson *person)
{
    g_autofree char *note = note_of(person);
    g_autofree char *status = bk_contact_status(person, 0);
    if (!*note)
        return g_strdup_printf("%s, %s", bk_person_name(person), status);
    return g_strdup_printf("%s, %s, %s", bk_person_name(person), status, note);
}

/* ---- the list ---- */

/* Somebody with rows in groups or states. */
struct known {
    BkPerson *person;
    BkContactModel *model;
    gulong changed;
    char *sort;          /* by name, then by address: how the rows are found */
    char *folded;        /* name and address for searches */
    GPtrArray *sections; /* where this person counts */
    bool row;            /* with a row there */
    bool counted_reachable;
    int pass; /* which pass over the contacts met them last */
};

struct section {
    char *key;
    BkContactItem *header;           /* NULL: rows without one */
    GPtrArray *items;                /* of BkContactItem, by ->sort */
    unsigned count, count_reachable; /* with those who have no row */
    bool expanded;
    bool stays; /* its header is shown without rows, too */
};

struct _BkContactModel {
    GObject parent;
    GListModel *contacts, *groups, *followers, *found;
    GHashTable *known;     /* BkPerson -> struct known */
    GPtrArray *sections;   /* of struct section */
    GHashTable *collapsed; /* set of keys */
    enum bk_contact_view view;
    bool show_offline;
    char *query;
    char **words; /* of the query, folded */
    BkPerson *typed;
    char *hint;
    unsigned n_matches;
    int pass;
};

static void list_model_init(GListModelInterface *iface);
G_DEFINE_FINAL_TYPE_WITH_CODE(BkContactModel, bk_contact_model, G_TYPE_OBJECT,
                              G_IMPLEMENT_INTERFACE(G_TYPE_LIST_MODEL, list_model_init))

static const struct {
    const char *key;
    enum bk_pidf_shown shown; /* whose word is the title */
} states[] = {
    { "s:available", BK_PIDF_SHOWN_AVAILABLE }, { "s:busy", BK_PIDF_SHOWN_BUSY },
    { "s:away", BK_PIDF_SHOWN_AWAY },           { "s:offline", BK_PIDF_SHOWN_OFFLINE },
    { "s:unknown", BK_PIDF_SHOWN_UNKNOWN },
};

static const char *state_key(enum bk_pidf_shown shown)
{
    switch (shown) {
    case BK_PIDF_SHOWN_AVAILABLE:
    case BK_PIDF_SHOWN_AVAILABLE_INACTIVE:
        return "s:available";
    case BK_PIDF_SHOWN_BUSY:
    case BK_PIDF_SHOWN_BUSY_INACTIVE:
    case BK_PIDF_SHOWN_IN_CALL:
    case BK_PIDF_SHOWN_IN_CONFERENCE:
    case BK_PIDF_SHOWN_IN_MEETING:
    case BK_PIDF_SHOWN_DND:
    case BK_PIDF_SHOWN_PRESENTING:
        return "s:busy";
    case BK_PIDF_SHOWN_BRB:
    case BK_PIDF_SHOWN_AWAY:
    case BK_PIDF_SHOWN_OFFWORK:
        return "s:away";
    case BK_PIDF_SHOWN_OFFLINE:
        return "s:offline";
    default:
        return "s:unknown";
    }
}

static bool is_reachable(BkPerson *person)
{
    const char *key = state_key(bk_person_shown(person));
    return strcmp(key, "s:offline") != 0 && strcmp(key, "s:unknown") != 0;
}

static char *sort_of(BkPerson *person)
{
    g_autofree char *folded = g_utf8_casefold(bk_person_name(person), -1);
    g_autofree char *collated = g_utf8_collate_key(folded, -1);
    return g_strdup_printf("%s\x01%s", collated, bk_person_address(person));
}

static char *folded_of(BkPerson *person)
{
    g_autofree char *both =
        g_strconcat(bk_person_name(person), "\n", bk_person_address(person), NULL);
    return bk_contact_fold(both);
}

static void section_free(void *data)
{
    struct section *section = data;
    g_free(section->key);
    g_clear_object(&section->header);
    g_ptr_array_unref(section->items);
    g_free(section);
}

static bool has_header(const struct section *section)
{
    return section->header && (section->stays || section->items->len > 0 || section->count > 0);
}

static unsigned size_of(const struct section *section)
{
    bool open = section->expanded || !section->header;
    return (has_header(section) ? 1 : 0) + (open ? section->items->len : 0);
}

static unsigned size_before(BkContactModel *model, const struct section *until)
{
    unsigned n = 0;
    for (guint i = 0; i < model->sections->len; i++) {
        const struct section *section = model->sections->pdata[i];
        if (section == until)
            break;
        n += size_of(section);
    }
    return n;
}

static struct section *section_of(BkContactModel *model, const char *key)
{
    for (guint i = 0; i < model->sections->len; i++) {
        struct section *section = model->sections->pdata[i];
        if (strcmp(section->key, key) == 0)
            return section;
    }
    return NULL;
}

/* Where a row with this key stands or would stand. */
static guint place_of(const struct section *section, const char *sort, bool *ret_there)
{
    guint low = 0, high = section->items->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        const BkContactItem *item = section->items->pdata[middle];
        if (strcmp(item->sort, sort) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_there = low < section->items->len &&
                 strcmp(((BkContactItem *)section->items->pdata[low])->sort, sort) == 0;
    return low;
}

static void tell_header(struct section *section)
{
    BkContactItem *header = section->header;
    if (!header ||
        (header->count == section->count && header->reachable == section->count_reachable &&
         header->expanded == section->expanded))
        return;
    header->count = section->count;
    header->reachable = section->count_reachable;
    header->expanded = section->expanded;
    g_signal_emit(header, item_changed, 0);
}

/* ---- who stands where ---- */

static bool matches(BkContactModel *model, const struct known *known)
{
    for (char **word = model->words; *word; word++)
        if (!strstr(known->folded, *word))
            return false;
    return true;
}

static bool is_searching(BkContactModel *model)
{
    return model->words && model->words[0];
}

/*
 * Calls add for each section this contact belongs to; row: with a row, else it only counts.
 * A group the list of groups does not name (yet) counts as none.
 */
static void each_section(BkContactModel *model, struct known *known,
                         void (*add)(struct known *known, struct section *section, bool row))
{
    struct section *section;
    if (is_searching(model)) {
        section = section_of(model, "q:contacts");
        if (section && matches(model, known))
            add(known, section, true);
        return;
    }
    if (model->view == BK_CONTACTS_BY_STATUS) {
        section = section_of(model, state_key(bk_person_shown(known->person)));
        if (section)
            add(known, section, true);
        return;
    }
    bool row = model->show_offline || bk_person_shown(known->person) != BK_PIDF_SHOWN_OFFLINE;
    const char *const *groups = bk_person_groups(known->person);
    for (; groups && *groups; groups++) {
        g_autofree char *key = g_strconcat("g:", *groups, NULL);
        section = section_of(model, key);
        if (section && !g_ptr_array_find(known->sections, section, NULL))
            add(known, section, row);
    }
    section = section_of(model, "g:~");
    if (known->sections->len == 0 && section)
        add(known, section, row);
}

static void stand_in(struct known *known, struct section *section, bool row)
{
    g_ptr_array_add(known->sections, section);
    known->row = row;
}

static BkContactItem *person_row(struct section *section, BkPerson *person, const char *sort)
{
    BkContactItem *item = item_new(BK_CONTACT_PERSON, section->key, person, NULL);
    item->sort = g_strdup(sort);
    return item;
}

/* Laying out anew: rows are collected first and sorted once. */
static void collect(struct known *known, struct section *section, bool row)
{
    stand_in(known, section, row);
    section->count++;
    section->count_reachable += known->counted_reachable;
    if (row)
        g_ptr_array_add(section->items, person_row(section, known->person, known->sort));
}

static int by_sort(const void *a, const void *b)
{
    const BkContactItem *one = *(BkContactItem *const *)a, *other = *(BkContactItem *const *)b;
    return strcmp(one->sort, other->sort);
}

static struct section *add_section(BkContactModel *model, const char *key, const char *title)
{
    struct section *section = g_new0(struct section, 1);
    section->key = g_strdup(key);
    section->items = g_ptr_array_new_with_free_func(g_object_unref);
    if (title)
        section->header = item_new(BK_CONTACT_HEADER, key, NULL, title);
    section->expanded = !g_hash_table_contains(model->collapsed, key);
    g_ptr_array_add(model->sections, section);
    return section;
}

static void add_group_section(BkContactModel *model, BkGroup *group)
{
    const char *name = bk_group_name(group);
    g_autofree char *key = g_strconcat("g:", name, NULL);
    g_autofree char *title = bk_group_title(group);
    if (!section_of(model, key))
        add_section(model, key, title)->stays = strcmp(name, "~") != 0;
}

static void add_group_sections(BkContactModel *model)
{
    guint n = g_list_model_get_n_items(model->groups);
    for (int favourites = 1; favourites >= 0; favourites--) {
        for (guint i = 0; i < n; i++) {
            g_autoptr(BkGroup) group = g_list_model_get_item(model->groups, i);
            bool favourite = strcmp(bk_group_name(group), BK_ROSTER_FAVOURITES) == 0;
            if (favourite == (favourites == 1) && strcmp(bk_group_name(group), "~") != 0)
                add_group_section(model, group);
        }
    }
    bool alone = model->sections->len == 0 || (model->sections->len == 1 && section_of(model, "f"));
    add_section(model, "g:~", alone ? _("Contacts") : _("Other Contacts"));
}

static void add_followers(BkContactModel *model)
{
    struct section *section = add_section(model, "f", _("Added You to Their List"));
    guint n = g_list_model_get_n_items(model->followers);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkPerson) person = g_list_model_get_item(model->followers, i);
        BkContactItem *item = item_new(BK_CONTACT_FOLLOWER, "f", person, NULL);
        item->sort = sort_of(person);
        g_ptr_array_add(section->items, item);
    }
    section->count = n;
}

static void add_search_sections(BkContactModel *model)
{
    if (model->typed && !bk_person_is_contact(model->typed)) {
        struct section *section = add_section(model, "q:address", _("This Address"));
        BkContactItem *item = item_new(BK_CONTACT_PERSON, "q:address", model->typed, NULL);
        item->sort = sort_of(model->typed);
        g_ptr_array_add(section->items, item);
        section->count = 1;
    }
    add_section(model, "q:contacts", _("Your Contacts"));
}

static bool stands_in(const struct section *section, BkPerson *person)
{
    for (guint i = 0; section && i < section->items->len; i++)
        if (((BkContactItem *)section->items->pdata[i])->person == person)
            return true;
    return false;
}

/* Behind the contacts: who of the directory is not among them, and the hint. */
static void add_found_sections(BkContactModel *model)
{
    struct section *own = section_of(model, "q:contacts");
    model->n_matches = own ? own->items->len : 0;
    struct section *section = add_section(model, "q:directory", _("Directory"));
    guint n = model->found ? g_list_model_get_n_items(model->found) : 0;
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkPerson) person = g_list_model_get_item(model->found, i);
        if (stands_in(own, person) || person == model->typed)
            continue;
        BkContactItem *item = item_new(BK_CONTACT_PERSON, section->key, person, NULL);
        item->sort = g_strdup_printf("%06u", i); /* the server's order */
        g_ptr_array_add(section->items, item);
        section->count++;
    }
    if (model->hint && *model->hint) {
        section = add_section(model, "q:hint", NULL);
        BkContactItem *item = item_new(BK_CONTACT_HINT, section->key, NULL, model->hint);
        item->sort = g_strdup("");
        g_ptr_array_add(section->items, item);
    }
}

static BkContactItem *row_at(GPtrArray *sections, unsigned position)
{
    for (guint i = 0; i < sections->len; i++) {
        const struct section *section = sections->pdata[i];
        unsigned size = size_of(section);
        if (position >= size) {
            position -= size;
            continue;
        }
        if (!has_header(section))
            return section->items->pdata[position];
        return position == 0 ? section->header : section->items->pdata[position - 1];
    }
    return NULL;
}

/* All rows in their order; no references. */
static GPtrArray *all_rows(GPtrArray *sections)
{
    GPtrArray *rows = g_ptr_array_new();
    for (guint i = 0; i < sections->len; i++) {
        const struct section *section = sections->pdata[i];
        if (has_header(section))
            g_ptr_array_add(rows, section->header);
        for (guint k = 0; (section->expanded || !section->header) && k < section->items->len; k++)
            g_ptr_array_add(rows, section->items->pdata[k]);
    }
    return rows;
}

static bool is_same_row(const BkContactItem *a, const BkContactItem *b)
{
    return a->kind == b->kind && a->person == b->person && strcmp(a->key, b->key) == 0 &&
           strcmp(a->title, b->title) == 0;
}

static guint hash_row(const void *data)
{
    const BkContactItem *item = data;
    return g_direct_hash(item->person) ^ g_str_hash(item->key);
}

static gboolean equal_row(const void *a, const void *b)
{
    return is_same_row(a, b);
}

static BkContactItem *kept_row(GHashTable *old, BkContactItem *item)
{
    BkContactItem *same = g_hash_table_lookup(old, item);
    if (!same)
        return item;
    g_free(same->sort);
    same->sort = g_strdup(item->sort);
    g_object_ref(same);
    g_object_unref(item);
    return same;
}

/* Rows that were there stay the same objects, so that a view keeps its place, its focus and what is selected. */
static void keep_rows(GPtrArray *before, GPtrArray *after)
{
    g_autoptr(GHashTable) old = g_hash_table_new(hash_row, equal_row);
    for (guint i = 0; i < before->len; i++) {
        struct section *section = before->pdata[i];
        if (section->header)
            g_hash_table_add(old, section->header);
        for (guint k = 0; k < section->items->len; k++)
            g_hash_table_add(old, section->items->pdata[k]);
    }
    for (guint i = 0; i < after->len; i++) {
        struct section *section = after->pdata[i];
        if (section->header)
            section->header = kept_row(old, section->header);
        for (guint k = 0; k < section->items->len; k++)
            section->items->pdata[k] = kept_row(old, section->items->pdata[k]);
    }
}

static void lay_out(BkContactModel *model)
{
    GPtrArray *before = model->sections;
    model->sections = g_ptr_array_new_with_free_func(section_free);
    model->n_matches = 0;
    if (is_searching(model)) {
        add_search_sections(model);
    } else {
        add_followers(model);
        if (model->view == BK_CONTACTS_BY_GROUP)
            add_group_sections(model);
        else
            for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
                add_section(model, states[i].key, bk_word_shown(states[i].shown));
    }
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, model->known);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct known *known = value;
        known->counted_reachable = is_reachable(known->person);
        g_ptr_array_set_size(known->sections, 0);
        each_section(model, known, collect);
    }
    for (guint i = 0; i < model->sections->len; i++) {
        struct section *section = model->sections->pdata[i];
        g_ptr_array_sort(section->items, by_sort);
    }
    if (is_searching(model))
        add_found_sections(model);

    keep_rows(before, model->sections);
    g_autoptr(GPtrArray) old = all_rows(before);
    g_autoptr(GPtrArray) new = all_rows(model->sections);
    guint first = 0, last = 0;
    while (first < old->len && first < new->len && old->pdata[first] == new->pdata[first])
        first++;
    while (last < old->len - first && last < new->len - first &&
           old->pdata[old->len - 1 - last] == new->pdata[new->len - 1 - last])
        last++;
    if (old->len - first - last || new->len - first - last)
        g_list_model_items_changed(G_LIST_MODEL(model), first, old->len - first - last,
                                   new->len - first - last);
    for (guint i = 0; i < model->sections->len; i++)
        tell_header(model->sections->pdata[i]);
    g_ptr_array_unref(before);
}

/* ---- one person moves ---- */

/* Puts a row in or takes it out, counts, and tells the views exactly that. */
static void change_section(BkContactModel *model, struct section *section, BkContactItem *add,
                           BkContactItem *remove, int members, int reachable)
{
    unsigned start = size_before(model, section), before = size_of(section);
    bool had_header = has_header(section), there;
    guint at = 0;
    if (remove) {
        at = place_of(section, remove->sort, &there);
        g_ptr_array_remove_index(section->items, at);
    }
    if (add) {
        at = place_of(section, add->sort, &there);
        g_ptr_array_insert(section->items, (int)at, add);
    }
    section->count += members;
    section->count_reachable += reachable;
    unsigned after = size_of(section);
    if (had_header != has_header(section))
        g_list_model_items_changed(G_LIST_MODEL(model), start, before, after);
    else if (before != after)
        g_list_model_items_changed(G_LIST_MODEL(model), start + (had_header ? 1 : 0) + at,
                                   remove ? 1 : 0, add ? 1 : 0);
}

static BkContactItem *row_in(struct section *section, const char *sort)
{
    bool there;
    guint at = place_of(section, sort, &there);
    return there ? section->items->pdata[at] : NULL;
}

static void leave_section(BkContactModel *model, struct known *known, struct section *section)
{
    change_section(model, section, NULL, row_in(section, known->sort), -1,
                   known->counted_reachable ? -1 : 0);
    tell_header(section);
}

/* Where somebody belongs is compared with where they stand; rows are made, moved and taken away accordingly. */
static void place(BkContactModel *model, struct known *known, bool gone)
{
    g_autofree char *sort = sort_of(known->person);
    bool moved = strcmp(sort, known->sort) != 0;
    bool reachable = is_reachable(known->person);
    if (moved) {
        g_free(known->folded);
        known->folded = folded_of(known->person);
    }

    g_autoptr(GPtrArray) stood = g_steal_pointer(&known->sections);
    known->sections = g_ptr_array_new();
    known->row = false;
    if (!gone)
        each_section(model, known, stand_in);

    for (guint i = 0; i < stood->len; i++)
        if (!g_ptr_array_find(known->sections, stood->pdata[i], NULL))
            leave_section(model, known, stood->pdata[i]);
    for (guint i = 0; i < known->sections->len; i++) {
        struct section *section = known->sections->pdata[i];
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
                now = row ? g_object_ref(row) : person_row(section, known->person, sort);
            change_section(model, section, now, NULL, more, more_reachable);
        }
        tell_header(section);
    }
    known->counted_reachable = reachable;
    g_free(known->sort);
    known->sort = g_steal_pointer(&sort);
    if (section_of(model, "q:contacts"))
        model->n_matches = section_of(model, "q:contacts")->items->len;
}

static bool is_placed_right(BkContactModel *model, struct known *known)
{
    if (known->counted_reachable != is_reachable(known->person))
        return false;
    bool row = known->row;
    g_autoptr(GPtrArray) stood = g_steal_pointer(&known->sections);
    known->sections = g_ptr_array_new();
    known->row = false;
    each_section(model, known, stand_in);
    bool same = known->sections->len == stood->len && (row == known->row || stood->len == 0);
    for (guint i = 0; same && i < stood->len; i++)
        same = stood->pdata[i] == known->sections->pdata[i];
    g_ptr_array_unref(known->sections);
    known->sections = g_steal_pointer(&stood);
    known->row = row;
    return same;
}

static void person_changed(BkPerson *person, GParamSpec *what, struct known *known)
{
    (void)person;
    if (g_str_equal(what->name, "name") || !is_placed_right(known->model, known))
        place(known->model, known, false);
}

/* ---- what the list is made of ---- */

static void known_free(void *data)
{
    struct known *known = data;
    g_signal_handler_disconnect(known->person, known->changed);
    g_object_unref(known->person);
    g_clear_pointer(&known->sections, g_ptr_array_unref);
    g_free(known->sort);
    g_free(known->folded);
    g_free(known);
}

static struct known *know(BkContactModel *model, BkPerson *person)
{
    struct known *known = g_new0(struct known, 1);
    known->model = model;
    known->person = g_object_ref(person);
    known->changed = g_signal_connect(person, "notify", G_CALLBACK(person_changed), known);
    known->sort = sort_of(person);
    known->folded = folded_of(person);
    known->sections = g_ptr_array_new();
    g_hash_table_insert(model->known, person, known);
    return known;
}

/* contacts is in no order and does not say who left: who is not met any more. */
static void contacts_changed(GListModel *contacts, guint position, guint removed, guint added,
                             BkContactModel *model)
{
    /* In a search who is a contact now stood elsewhere a moment ago. */
    bool few = removed + added <= ROW_BY_ROW_MAX && !is_searching(model);
    for (guint i = position; i < position + added; i++) {
        g_autoptr(BkPerson) person = g_list_model_get_item(contacts, i);
        if (g_hash_table_contains(model->known, person))
            continue;
        struct known *known = know(model, person);
        if (few)
            place(model, known, false);
    }
    if (removed) {
        model->pass++;
        guint n = g_list_model_get_n_items(contacts);
        for (guint i = 0; i < n; i++) {
            g_autoptr(BkPerson) person = g_list_model_get_item(contacts, i);
            struct known *known = g_hash_table_lookup(model->known, person);
            if (known)
                known->pass = model->pass;
        }
        GHashTableIter iter;
        void *value;
        g_hash_table_iter_init(&iter, model->known);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            struct known *known = value;
            if (known->pass == model->pass)
                continue;
            if (few)
                place(model, known, true);
            g_hash_table_iter_remove(&iter);
        }
    }
    if (!few)
        lay_out(model);
}

static void others_changed(GListModel *list, guint position, guint removed, guint added,
                           BkContactModel *model)
{
    (void)list;
    (void)position;
    (void)removed;
    (void)added;
    lay_out(model);
}

void bk_contact_model_set_view(BkContactModel *model, enum bk_contact_view view)
{
    if (model->view == view)
        return;
    model->view = view;
    lay_out(model);
}

void bk_contact_model_set_show_offline(BkContactModel *model, bool show)
{
    if (model->show_offline == show)
        return;
    model->show_offline = show;
    lay_out(model);
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
    if (!is_searching(model)) {
        g_clear_object(&model->found);
        g_clear_object(&model->typed);
        g_clear_pointer(&model->hint, g_free);
    }
    lay_out(model);
}

unsigned bk_contact_model_n_matches(BkContactModel *model)
{
    return model->n_matches;
}

void bk_contact_model_set_found(BkContactModel *model, GListModel *found)
{
    if (g_set_object(&model->found, found))
        lay_out(model);
}

void bk_contact_model_set_typed(BkContactModel *model, BkPerson *person)
{
    if (g_set_object(&model->typed, person))
        lay_out(model);
}

void bk_contact_model_set_hint(BkContactModel *model, const char *hint)
{
    if (g_strcmp0(model->hint ? model->hint : "", hint ? hint : "") == 0)
        return;
    g_free(model->hint);
    model->hint = g_strdup(hint);
    lay_out(model);
}

void bk_contact_model_set_expanded(BkContactModel *model, const char *key, bool expanded)
{
    if (expanded)
        g_hash_table_remove(model->collapsed, key);
    else
        g_hash_table_add(model->collapsed, g_strdup(key));
    struct section *section = section_of(model, key);
    if (!section || !section->header || section->expanded == expanded)
        return;
    section->expanded = expanded;
    unsigned start = size_before(model, section) + (has_header(section) ? 1 : 0);
    unsigned n = section->items->len;
    if (n)
        g_list_model_items_changed(G_LIST_MODEL(model), start, expanded ? 0 : n, expanded ? n : 0);
    tell_header(section);
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
        struct section *section = model->sections->pdata[i];
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
        const struct section *section = model->sections->pdata[i];
        if (key && has_header(section) && strcmp(section->key, key) == 0)
            return position;
        if (has_header(section))
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
    return size_before(BK_CONTACT_MODEL(list), NULL);
}

static void *get_item(GListModel *list, guint position)
{
    BkContactItem *item = row_at(BK_CONTACT_MODEL(list)->sections, position);
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
    model->sections = g_ptr_array_new_with_free_func(section_free);
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
    lay_out(model);
    g_signal_connect(contacts, "items-changed", G_CALLBACK(contacts_changed), model);
    g_signal_connect(groups, "items-changed", G_CALLBACK(others_changed), model);
    g_signal_connect(followers, "items-changed", G_CALLBACK(others_changed), model);
    return model;
}
