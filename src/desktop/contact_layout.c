/* SPDX-License-Identifier: Apache-2.0 */
/* Which sections and rows there are, and in which order; rows that were there stay the same objects. */
#include "desktop/contact_private.h"

#include "desktop/roster.h"
#include "desktop/words.h"

#include <glib/gi18n.h>
#include <string.h>

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

bool bk_contact_is_reachable(BkPerson *person)
{
    const char *key = state_key(bk_person_shown(person));
    return strcmp(key, "s:offline") != 0 && strcmp(key, "s:unknown") != 0;
}

char *bk_contact_sort_of(BkPerson *person)
{
    g_autofree char *folded = g_utf8_casefold(bk_person_name(person), -1);
    g_autofree char *collated = g_utf8_collate_key(folded, -1);
    return g_strdup_printf("%s\x01%s", collated, bk_person_address(person));
}

char *bk_contact_folded_of(BkPerson *person)
{
    g_autofree char *both =
        g_strconcat(bk_person_name(person), "\n", bk_person_address(person), NULL);
    return bk_contact_fold(both);
}

void bk_contact_section_free(void *data)
{
    struct bk_contact_section *section = data;
    g_free(section->key);
    g_clear_object(&section->header);
    g_ptr_array_unref(section->items);
    g_free(section);
}

bool bk_contact_has_header(const struct bk_contact_section *section)
{
    return section->header && (section->stays || section->items->len > 0 || section->count > 0);
}

unsigned bk_contact_size_of(const struct bk_contact_section *section)
{
    bool open = section->expanded || !section->header;
    return (bk_contact_has_header(section) ? 1 : 0) + (open ? section->items->len : 0);
}

unsigned bk_contact_size_before(BkContactModel *model, const struct bk_contact_section *until)
{
    unsigned n = 0;
    for (guint i = 0; i < model->sections->len; i++) {
        const struct bk_contact_section *section = model->sections->pdata[i];
        if (section == until)
            break;
        n += bk_contact_size_of(section);
    }
    return n;
}

struct bk_contact_section *bk_contact_section_of(BkContactModel *model, const char *key)
{
    for (guint i = 0; i < model->sections->len; i++) {
        struct bk_contact_section *section = model->sections->pdata[i];
        if (strcmp(section->key, key) == 0)
            return section;
    }
    return NULL;
}

guint bk_contact_place_of(const struct bk_contact_section *section, const char *sort,
                          bool *ret_there)
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

void bk_contact_tell_header(struct bk_contact_section *section)
{
    BkContactItem *header = section->header;
    if (!header ||
        (header->count == section->count && header->reachable == section->count_reachable &&
         header->expanded == section->expanded))
        return;
    header->count = section->count;
    header->reachable = section->count_reachable;
    header->expanded = section->expanded;
    bk_contact_item_tell(header);
}

/* ---- who stands where ---- */

static bool matches(BkContactModel *model, const struct bk_contact_known *known)
{
    for (char **word = model->words; *word; word++)
        if (!strstr(known->folded, *word))
            return false;
    return true;
}

bool bk_contact_is_searching(BkContactModel *model)
{
    return model->words && model->words[0];
}

void bk_contact_each_section(BkContactModel *model, struct bk_contact_known *known,
                             void (*add)(struct bk_contact_known *known,
                                         struct bk_contact_section *section, bool row))
{
    struct bk_contact_section *section;
    if (bk_contact_is_searching(model)) {
        section = bk_contact_section_of(model, "q:contacts");
        if (section && matches(model, known))
            add(known, section, true);
        return;
    }
    if (model->view == BK_CONTACTS_BY_STATUS) {
        section = bk_contact_section_of(model, state_key(bk_person_shown(known->person)));
        if (section)
            add(known, section, true);
        return;
    }
    bool row = model->show_offline || bk_person_shown(known->person) != BK_PIDF_SHOWN_OFFLINE;
    const char *const *groups = bk_person_groups(known->person);
    for (; groups && *groups; groups++) {
        g_autofree char *key = g_strconcat("g:", *groups, NULL);
        section = bk_contact_section_of(model, key);
        if (section && !g_ptr_array_find(known->sections, section, NULL))
            add(known, section, row);
    }
    section = bk_contact_section_of(model, "g:~");
    if (known->sections->len == 0 && section)
        add(known, section, row);
}

void bk_contact_stand_in(struct bk_contact_known *known, struct bk_contact_section *section,
                         bool row)
{
    g_ptr_array_add(known->sections, section);
    known->row = row;
}

BkContactItem *bk_contact_person_row(struct bk_contact_section *section, BkPerson *person,
                                     const char *sort)
{
    BkContactItem *item = bk_contact_item_new(BK_CONTACT_PERSON, section->key, person, NULL);
    item->sort = g_strdup(sort);
    return item;
}

/* Laying out anew: rows are collected first and sorted once. */
static void collect(struct bk_contact_known *known, struct bk_contact_section *section, bool row)
{
    bk_contact_stand_in(known, section, row);
    section->count++;
    section->count_reachable += known->counted_reachable;
    if (row)
        g_ptr_array_add(section->items, bk_contact_person_row(section, known->person, known->sort));
}

static int by_sort(const void *a, const void *b)
{
    const BkContactItem *one = *(BkContactItem *const *)a, *other = *(BkContactItem *const *)b;
    return strcmp(one->sort, other->sort);
}

static struct bk_contact_section *add_section(BkContactModel *model, const char *key,
                                              const char *title)
{
    struct bk_contact_section *section = g_new0(struct bk_contact_section, 1);
    section->key = g_strdup(key);
    section->items = g_ptr_array_new_with_free_func(g_object_unref);
    if (title)
        section->header = bk_contact_item_new(BK_CONTACT_HEADER, key, NULL, title);
    section->expanded = !g_hash_table_contains(model->collapsed, key);
    g_ptr_array_add(model->sections, section);
    return section;
}

static void add_group_section(BkContactModel *model, BkGroup *group)
{
    const char *name = bk_group_name(group);
    g_autofree char *key = g_strconcat("g:", name, NULL);
    g_autofree char *title = bk_group_title(group);
    if (!bk_contact_section_of(model, key))
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
    bool alone = model->sections->len == 0 ||
                 (model->sections->len == 1 && bk_contact_section_of(model, "f"));
    add_section(model, "g:~", alone ? _("Contacts") : _("Other Contacts"));
}

static void add_followers(BkContactModel *model)
{
    struct bk_contact_section *section = add_section(model, "f", _("Added You to Their List"));
    guint n = g_list_model_get_n_items(model->followers);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkPerson) person = g_list_model_get_item(model->followers, i);
        BkContactItem *item = bk_contact_item_new(BK_CONTACT_FOLLOWER, "f", person, NULL);
        item->sort = bk_contact_sort_of(person);
        g_ptr_array_add(section->items, item);
    }
    section->count = n;
}

static void add_search_sections(BkContactModel *model)
{
    if (model->typed && !bk_person_is_contact(model->typed)) {
        struct bk_contact_section *section = add_section(model, "q:address", _("This Address"));
        BkContactItem *item =
            bk_contact_item_new(BK_CONTACT_PERSON, "q:address", model->typed, NULL);
        item->sort = bk_contact_sort_of(model->typed);
        g_ptr_array_add(section->items, item);
        section->count = 1;
    }
    add_section(model, "q:contacts", _("Your Contacts"));
}

static bool stands_in(const struct bk_contact_section *section, BkPerson *person)
{
    for (guint i = 0; section && i < section->items->len; i++)
        if (((BkContactItem *)section->items->pdata[i])->person == person)
            return true;
    return false;
}

/* Behind the contacts: who of the directory is not among them, and the hint. */
static void add_found_sections(BkContactModel *model)
{
    struct bk_contact_section *own = bk_contact_section_of(model, "q:contacts");
    model->n_matches = own ? own->items->len : 0;
    struct bk_contact_section *section = add_section(model, "q:directory", _("Directory"));
    guint n = model->found ? g_list_model_get_n_items(model->found) : 0;
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkPerson) person = g_list_model_get_item(model->found, i);
        if (stands_in(own, person) || person == model->typed)
            continue;
        BkContactItem *item = bk_contact_item_new(BK_CONTACT_PERSON, section->key, person, NULL);
        item->sort = g_strdup_printf("%06u", i); /* the server's order */
        g_ptr_array_add(section->items, item);
        section->count++;
    }
    if (model->hint && *model->hint) {
        section = add_section(model, "q:hint", NULL);
        BkContactItem *item = bk_contact_item_new(BK_CONTACT_HINT, section->key, NULL, model->hint);
        item->sort = g_strdup("");
        g_ptr_array_add(section->items, item);
    }
}

BkContactItem *bk_contact_row_at(GPtrArray *sections, unsigned position)
{
    for (guint i = 0; i < sections->len; i++) {
        const struct bk_contact_section *section = sections->pdata[i];
        unsigned size = bk_contact_size_of(section);
        if (position >= size) {
            position -= size;
            continue;
        }
        if (!bk_contact_has_header(section))
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
        const struct bk_contact_section *section = sections->pdata[i];
        if (bk_contact_has_header(section))
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
        struct bk_contact_section *section = before->pdata[i];
        if (section->header)
            g_hash_table_add(old, section->header);
        for (guint k = 0; k < section->items->len; k++)
            g_hash_table_add(old, section->items->pdata[k]);
    }
    for (guint i = 0; i < after->len; i++) {
        struct bk_contact_section *section = after->pdata[i];
        if (section->header)
            section->header = kept_row(old, section->header);
        for (guint k = 0; k < section->items->len; k++)
            section->items->pdata[k] = kept_row(old, section->items->pdata[k]);
    }
}

void bk_contact_lay_out(BkContactModel *model)
{
    GPtrArray *before = model->sections;
    model->sections = g_ptr_array_new_with_free_func(bk_contact_section_free);
    model->n_matches = 0;
    if (bk_contact_is_searching(model)) {
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
        struct bk_contact_known *known = value;
        known->counted_reachable = bk_contact_is_reachable(known->person);
        g_ptr_array_set_size(known->sections, 0);
        bk_contact_each_section(model, known, collect);
    }
    for (guint i = 0; i < model->sections->len; i++) {
        struct bk_contact_section *section = model->sections->pdata[i];
        g_ptr_array_sort(section->items, by_sort);
    }
    if (bk_contact_is_searching(model))
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
        bk_contact_tell_header(model->sections->pdata[i]);
    g_ptr_array_unref(before);
}
