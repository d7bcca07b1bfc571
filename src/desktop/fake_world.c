/* SPDX-License-Identifier: Apache-2.0 */
/* What a server would know: people, the contact list, relations; learned from what is told, changed by edits. */
#include "desktop/fake_private.h"

#include <string.h>

void bk_fake_learn(struct bk_fake *fake, json_t *event, const struct bk_fake_told *told)
{
    const struct bk_client_event *e = &told->pub;
    if (e->type == BK_CLIENT_EVENT_STATE && *e->state.address) {
        g_free(fake->address);
        fake->address = g_strdup(e->state.address);
    } else if (e->type == BK_CLIENT_EVENT_PRESENCE) {
        json_t *copy = json_copy(event);
        (void)json_object_del(copy, "after");
        (void)json_object_set_new(fake->people, e->presence.address, copy);
    } else if (e->type == BK_CLIENT_EVENT_CONTACTS) {
        if (e->contacts.whole) {
            json_decref(fake->groups);
            fake->groups = json_array();
            (void)json_object_clear(fake->contacts);
        }
        for (int i = 0; e->contacts.whole && i < e->contacts.n_groups; i++)
            (void)json_array_append_new(fake->groups, json_string(e->contacts.groups[i]));
        for (int i = 0; i < e->contacts.n_contacts; i++) {
            const struct bk_client_contact *c = &e->contacts.contacts[i];
            json_t *row = json_array();
            (void)json_array_append_new(row, json_string(c->name));
            for (int j = 0; j < c->n_groups; j++)
                (void)json_array_append_new(row, json_string(c->groups[j]));
            (void)json_object_set_new(fake->contacts, c->address, row);
        }
        for (int i = 0; i < e->contacts.n_gone; i++)
            (void)json_object_del(fake->contacts, e->contacts.gone[i]);
    } else if (e->type == BK_CLIENT_EVENT_RELATIONS) {
        (void)json_object_clear(fake->levels);
        for (int i = 0; i < e->relations.n_rows; i++)
            (void)json_object_set_new(fake->levels, e->relations.rows[i].subject,
                                      json_integer(e->relations.rows[i].level));
    }
}

json_t *bk_fake_contacts_event(struct bk_fake *fake)
{
    json_t *rows = json_array(), *row;
    const char *address;
    json_object_foreach(fake->contacts, address, row)
    {
        json_t *copy = json_copy(row);
        (void)json_array_insert_new(copy, 0, json_string(address));
        (void)json_array_append_new(rows, copy);
    }
    return json_pack("{s:s,s:O,s:o}", "type", "contacts", "groups", fake->groups, "contacts", rows);
}

json_t *bk_fake_relations_event(struct bk_fake *fake)
{
    json_t *rows = json_array(), *level;
    const char *subject;
    json_object_foreach(fake->levels, subject, level)
        json_array_append_new(rows, json_pack("[s,O]", subject, level));
    return json_pack("{s:s,s:o}", "type", "relations", "rows", rows);
}

json_t *bk_fake_own_presence(struct bk_fake *fake, const char *shown, const char *note)
{
    json_t *had = json_object_get(fake->people, fake->address);
    const char *had_shown = json_string_value(json_object_get(had, "shown"));
    const char *had_note = json_string_value(json_object_get(had, "note"));
    return json_pack("{s:s,s:s,s:b,s:s,s:s}", "type", "presence", "address", fake->address, "own",
                     1, "shown",
                     shown       ? shown
                     : had_shown ? had_shown
                                 : "available",
                     "note",
                     note       ? note
                     : had_note ? had_note
                                : "");
}

/* Where that text is in an array, from `first` on; the array's size: nowhere. */
static size_t place_of(json_t *array, size_t first, const char *text)
{
    size_t i = first;
    while (i < json_array_size(array) &&
           g_strcmp0(json_string_value(json_array_get(array, i)), text) != 0)
        i++;
    return i;
}

static void leave_group(json_t *row, const char *group)
{
    size_t at = place_of(row, 1, group);
    if (at < json_array_size(row))
        (void)json_array_remove(row, at);
    if (json_array_size(row) == 1)
        (void)json_array_append_new(row, json_string(BK_FAKE_OTHERS));
}

static void join_group(json_t *row, const char *group)
{
    size_t others = place_of(row, 1, BK_FAKE_OTHERS);
    if (others < json_array_size(row) && strcmp(group, BK_FAKE_OTHERS) != 0)
        (void)json_array_remove(row, others);
    if (place_of(row, 1, group) == json_array_size(row))
        (void)json_array_append_new(row, json_string(group));
}

static void change_group(struct bk_fake *fake, const char *group, const char *now)
{
    size_t at = place_of(fake->groups, 0, group);
    const char *address;
    json_t *row;
    if (at == json_array_size(fake->groups))
        return;
    if (now)
        (void)json_array_set_new(fake->groups, at, json_string(now));
    else
        (void)json_array_remove(fake->groups, at);
    json_object_foreach(fake->contacts, address, row)
    {
        size_t in = place_of(row, 1, group);
        if (in < json_array_size(row) && now)
            (void)json_array_set_new(row, in, json_string(now));
        else
            leave_group(row, group);
    }
}

void bk_fake_change(struct bk_fake *fake, const struct bk_client_edit *wish, const char *address)
{
    json_t *row = address ? json_object_get(fake->contacts, address) : NULL;
    switch (wish->kind) {
    case BK_CLIENT_EDIT_ADD_CONTACT:
        if (!row) {
            row = json_pack("[s]", wish->name ? wish->name : "");
            (void)json_object_set_new(fake->contacts, address, row);
        }
        join_group(row, wish->group ? wish->group : BK_FAKE_OTHERS);
        return;
    case BK_CLIENT_EDIT_REMOVE_CONTACT:
        if (wish->group && json_array_size(row) > 2)
            leave_group(row, wish->group);
        else
            (void)json_object_del(fake->contacts, address);
        return;
    case BK_CLIENT_EDIT_RENAME_CONTACT:
        if (row)
            (void)json_array_set_new(row, 0, json_string(wish->name));
        return;
    case BK_CLIENT_EDIT_MOVE_CONTACT:
        if (row) {
            leave_group(row, wish->group);
            join_group(row, wish->to_group);
        }
        return;
    case BK_CLIENT_EDIT_ADD_GROUP:
        (void)json_array_append_new(fake->groups, json_string(wish->group));
        return;
    case BK_CLIENT_EDIT_RENAME_GROUP:
        change_group(fake, wish->group, wish->to_group);
        return;
    case BK_CLIENT_EDIT_DELETE_GROUP:
        change_group(fake, wish->group, NULL);
        return;
    case BK_CLIENT_EDIT_BLOCK:
    case BK_CLIENT_EDIT_RELATION:
    case BK_CLIENT_EDIT_UNBLOCK: {
        int level = wish->kind == BK_CLIENT_EDIT_BLOCK      ? 32000
                    : wish->kind == BK_CLIENT_EDIT_RELATION ? wish->level
                                                            : 0;
        if (level)
            (void)json_object_set_new(fake->levels, address, json_integer(level));
        else
            (void)json_object_del(fake->levels, address);
        return;
    }
    default:
        return;
    }
}

json_t *bk_fake_found_event(struct bk_fake *fake, const char *text)
{
    json_t *rows = json_array(), *row;
    const char *address;
    g_autofree char *wanted = g_utf8_casefold(text ? text : "", -1);
    json_object_foreach(fake->contacts, address, row)
    {
        const char *name = json_string_value(json_array_get(row, 0));
        g_autofree char *folded = g_utf8_casefold(name ? name : "", -1);
        if (strstr(folded, wanted) || strstr(address, wanted))
            (void)json_array_append_new(rows, json_pack("[s,s,s,s,s,s,s]", address,
                                                        name ? name : "", "", "", "", "", address));
    }
    return json_pack("{s:s,s:o}", "type", "found", "rows", rows);
}
