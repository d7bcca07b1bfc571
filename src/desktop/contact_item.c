/* SPDX-License-Identifier: Apache-2.0 */
/* One row of the contact list. */
#include "desktop/contact_private.h"

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

BkContactItem *bk_contact_item_new(enum bk_contact_kind kind, const char *key, BkPerson *person,
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

void bk_contact_item_tell(BkContactItem *item)
{
    g_signal_emit(item, item_changed, 0);
}
