/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/contact_model.h"

#include "desktop/person_private.h"
#include "desktop/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after those */
#include <cmocka.h>
#include <locale.h>

/* ---- a list of people, and what a view sees of it ---- */

struct world {
    GListStore *contacts, *groups, *followers;
    BkContactModel *model;
    GPtrArray *seen; /* what a view has after every items-changed; must be what the model says */
    unsigned changes, changed_rows;
};

static void view_changed(GListModel *list, guint position, guint removed, guint added,
                         struct world *world)
{
    world->changes++;
    world->changed_rows += removed + added;
    assert_in_range(position + removed, 0, world->seen->len);
    for (guint i = 0; i < removed; i++)
        g_ptr_array_remove_index(world->seen, position);
    for (guint i = 0; i < added; i++)
        g_ptr_array_insert(world->seen, (int)(position + i),
                           g_list_model_get_item(list, position + i));
}

static void assert_view_is_right(struct world *world)
{
    GListModel *list = G_LIST_MODEL(world->model);
    assert_int_equal(g_list_model_get_n_items(list), world->seen->len);
    for (guint i = 0; i < world->seen->len; i++) {
        g_autoptr(BkContactItem) item = g_list_model_get_item(list, i);
        assert_ptr_equal(item, world->seen->pdata[i]);
    }
    assert_null(g_list_model_get_item(list, world->seen->len));
}

static void add_group(struct world *world, const char *name)
{
    g_autoptr(BkGroup) made = bk_group_new(name);
    g_list_store_append(world->groups, made);
}

static BkPerson *add(struct world *world, const char *address, const char *name,
                     enum bk_pidf_shown shown, const char *in)
{
    BkPerson *person = bk_person_new(address);
    bk_person_set_told_name(person, name);
    bk_person_set_presence(person, shown, "", 0);
    g_auto(GStrv) groups = g_strsplit(in, ",", -1);
    bk_person_set_groups(person, (const char *const *)groups);
    g_list_store_append(world->contacts, person);
    g_object_unref(person);
    return person; /* the list keeps it */
}

static void watch(struct world *world)
{
    world->model = bk_contact_model_new(G_LIST_MODEL(world->contacts), G_LIST_MODEL(world->groups),
                                        G_LIST_MODEL(world->followers));
    world->seen = g_ptr_array_new_with_free_func(g_object_unref);
    view_changed(G_LIST_MODEL(world->model), 0, 0,
                 g_list_model_get_n_items(G_LIST_MODEL(world->model)), world);
    world->changes = world->changed_rows = 0;
    g_signal_connect(world->model, "items-changed", G_CALLBACK(view_changed), world);
}

static int make(void **state)
{
    struct world *world = g_new0(struct world, 1);
    world->contacts = g_list_store_new(BK_TYPE_PERSON);
    world->groups = g_list_store_new(BK_TYPE_GROUP);
    world->followers = g_list_store_new(BK_TYPE_PERSON);
    *state = world;
    return 0;
}

static int unmake(void **state)
{
    struct world *world = *state;
    g_clear_object(&world->model);
    g_clear_pointer(&world->seen, g_ptr_array_unref);
    g_object_unref(world->contacts);
    g_object_unref(world->groups);
    g_object_unref(world->followers);
    g_free(world);
    return 0;
}

/* "[Work 1/2]" for a header, closed ones with "+", names of people, "?Ann" for followers, "(text)" for hints. */
static char *rows(struct world *world)
{
    assert_view_is_right(world);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < world->seen->len; i++) {
        BkContactItem *item = world->seen->pdata[i];
        if (text->len)
            g_string_append(text, " ");
        switch (bk_contact_item_kind(item)) {
        case BK_CONTACT_HEADER:
            g_string_append_printf(text, "[%s%s %u/%u]",
                                   bk_contact_item_is_expanded(item) ? "" : "+",
                                   bk_contact_item_title(item), bk_contact_item_reachable(item),
                                   bk_contact_item_count(item));
            break;
        case BK_CONTACT_PERSON:
            g_string_append(text, bk_person_name(bk_contact_item_person(item)));
            break;
        case BK_CONTACT_FOLLOWER:
            g_string_append_printf(text, "?%s", bk_person_name(bk_contact_item_person(item)));
            break;
        case BK_CONTACT_HINT:
            g_string_append_printf(text, "(%s)", bk_contact_item_title(item));
            break;
        }
    }
    return g_string_free(text, FALSE);
}

#define assert_rows(world, expected)                                                               \
    do {                                                                                           \
        g_autofree char *is_ = rows(world);                                                        \
        assert_string_equal(is_, expected);                                                        \
    } while (0)

/* ---- groups ---- */

static void make_office(struct world *world)
{
    add_group(world, "Work");
    add_group(world, BK_ROSTER_FAVOURITES);
    add_group(world, "Empty");
    add_group(world, "~");
    add(world, "cara@example.org", "Cara", BK_PIDF_SHOWN_AVAILABLE, "Work");
    add(world, "bob@example.org", "bob", BK_PIDF_SHOWN_OFFLINE, "Work,Favorites");
    add(world, "ann@example.org", "Ann", BK_PIDF_SHOWN_BUSY, "Work");
    add(world, "dan@example.org", "Dan", BK_PIDF_SHOWN_UNKNOWN, "~");
    watch(world);
}

static void groups_stand_with_favourites_first_and_others_last(void **state)
{
    struct world *world = *state;
    make_office(world);
    assert_rows(world, "[Favorites 0/1] bob [Work 2/3] Ann bob Cara [Empty 0/0] "
                       "[Other Contacts 0/1] Dan");
}

static void a_group_nobody_named_counts_as_none(void **state)
{
    struct world *world = *state;
    add(world, "ann@example.org", "Ann", BK_PIDF_SHOWN_BUSY, "Gone");
    watch(world);
    assert_rows(world, "[Contacts 1/1] Ann");
    add_group(world, "Gone");
    assert_rows(world, "[Gone 1/1] Ann");
}

static void others_have_no_header_where_nobody_is_there(void **state)
{
    struct world *world = *state;
    add_group(world, "Work");
    add_group(world, "~");
    watch(world);
    assert_rows(world, "[Work 0/0]");
}

static void a_change_of_group_moves_one_row(void **state)
{
    struct world *world = *state;
    make_office(world);
    g_autoptr(BkPerson) dan = g_list_model_get_item(G_LIST_MODEL(world->contacts), 3);
    bk_person_set_groups(dan, (const char *const[]){ "Work", NULL });
    assert_rows(world, "[Favorites 0/1] bob [Work 2/4] Ann bob Cara Dan [Empty 0/0]");
    assert_int_equal(world->changed_rows, 3); /* header and row go, the row comes */
    bk_person_set_groups(dan, (const char *const[]){ "Work", "Empty", NULL });
    assert_rows(world, "[Favorites 0/1] bob [Work 2/4] Ann bob Cara Dan [Empty 0/1] Dan");
}

static void a_new_name_moves_the_rows_of_that_person(void **state)
{
    struct world *world = *state;
    make_office(world);
    g_autoptr(BkPerson) bob = g_list_model_get_item(G_LIST_MODEL(world->contacts), 1);
    bk_person_set_label(bob, "Zoe");
    assert_rows(world, "[Favorites 0/1] Zoe [Work 2/3] Ann Cara Zoe [Empty 0/0] "
                       "[Other Contacts 0/1] Dan");
    bk_person_set_label(bob, "");
    assert_rows(world, "[Favorites 0/1] bob [Work 2/3] Ann bob Cara [Empty 0/0] "
                       "[Other Contacts 0/1] Dan");
}

static void contacts_come_and_go(void **state)
{
    struct world *world = *state;
    make_office(world);
    add(world, "abe@example.org", "Abe", BK_PIDF_SHOWN_AVAILABLE, "Work");
    assert_rows(world, "[Favorites 0/1] bob [Work 3/4] Abe Ann bob Cara [Empty 0/0] "
                       "[Other Contacts 0/1] Dan");
    g_list_store_remove(world->contacts, 1);
    assert_rows(world, "[Favorites 0/0] [Work 3/3] Abe Ann Cara [Empty 0/0] "
                       "[Other Contacts 0/1] Dan");
    g_list_store_remove_all(world->contacts);
    assert_rows(world, "[Favorites 0/0] [Work 0/0] [Empty 0/0]");
}

static void groups_come_and_go(void **state)
{
    struct world *world = *state;
    make_office(world);
    BkContactItem *row = world->seen->pdata[3];
    g_list_store_remove(world->groups, 2);
    assert_rows(world, "[Favorites 0/1] bob [Work 2/3] Ann bob Cara [Other Contacts 0/1] Dan");
    assert_ptr_equal(world->seen->pdata[3], row); /* the rest is the same rows as before */
    assert_int_equal(world->changed_rows, 1);
    g_list_store_remove(world->groups, 0);
    assert_rows(world, "[Favorites 0/1] bob [Other Contacts 2/3] Ann Cara Dan");
}

/* ---- open and closed, shown and hidden ---- */

static void a_closed_group_keeps_counting(void **state)
{
    struct world *world = *state;
    make_office(world);
    bk_contact_model_set_expanded(world->model, "g:Work", false);
    assert_rows(world, "[Favorites 0/1] bob [+Work 2/3] [Empty 0/0] [Other Contacts 0/1] Dan");
    g_autoptr(BkPerson) cara = g_list_model_get_item(G_LIST_MODEL(world->contacts), 0);
    bk_person_set_presence(cara, BK_PIDF_SHOWN_OFFLINE, "", 0);
    bk_person_set_label(cara, "Aaron");
    assert_rows(world, "[Favorites 0/1] bob [+Work 1/3] [Empty 0/0] [Other Contacts 0/1] Dan");
    bk_contact_model_set_expanded(world->model, "g:Work", true);
    assert_rows(world, "[Favorites 0/1] bob [Work 1/3] Aaron Ann bob [Empty 0/0] "
                       "[Other Contacts 0/1] Dan");
}

static void closed_groups_are_remembered_whatever_they_are_called(void **state)
{
    struct world *world = *state;
    add_group(world, "Zwei Wörter: 100 %");
    add_group(world, "Work");
    watch(world);
    bk_contact_model_set_expanded(world->model, "g:Zwei Wörter: 100 %", false);
    bk_contact_model_set_expanded(world->model, "s:offline", false);
    g_autofree char *collapsed = bk_contact_model_collapsed(world->model);
    bk_contact_model_set_collapsed(world->model, "g:Work");
    assert_rows(world, "[Zwei Wörter: 100 % 0/0] [+Work 0/0]");
    bk_contact_model_set_collapsed(world->model, collapsed);
    assert_rows(world, "[+Zwei Wörter: 100 % 0/0] [Work 0/0]");
    g_autofree char *again = bk_contact_model_collapsed(world->model);
    assert_string_equal(again, collapsed);
    bk_contact_model_set_collapsed(world->model, "%ff %zz  ");
    assert_rows(world, "[Zwei Wörter: 100 % 0/0] [Work 0/0]");
}

static void hidden_offline_people_count_and_unknown_ones_are_shown(void **state)
{
    struct world *world = *state;
    make_office(world);
    bk_contact_model_set_show_offline(world->model, false);
    assert_rows(world, "[Favorites 0/1] [Work 2/3] Ann Cara [Empty 0/0] [Other Contacts 0/1] Dan");
    g_autoptr(BkPerson) bob = g_list_model_get_item(G_LIST_MODEL(world->contacts), 1);
    bk_person_set_presence(bob, BK_PIDF_SHOWN_AVAILABLE, "", 0);
    assert_rows(world, "[Favorites 1/1] bob [Work 3/3] Ann bob Cara [Empty 0/0] "
                       "[Other Contacts 0/1] Dan");
    bk_person_set_presence(bob, BK_PIDF_SHOWN_OFFLINE, "", 0);
    bk_person_set_label(bob, "Abe");
    assert_rows(world, "[Favorites 0/1] [Work 2/3] Ann Cara [Empty 0/0] [Other Contacts 0/1] Dan");
    bk_contact_model_set_view(world->model, BK_CONTACTS_BY_STATUS);
    assert_rows(world, "[Available 1/1] Cara [Busy 1/1] Ann [Offline 0/1] Abe [Unknown 0/1] Dan");
}

/* ---- states ---- */

static void every_state_has_its_section(void **state)
{
    struct world *world = *state;
    static const char *const expected[BK_PIDF_SHOWN_COUNT] = {
        [BK_PIDF_SHOWN_MISSING] = "Unknown",
        [BK_PIDF_SHOWN_UNKNOWN] = "Unknown",
        [BK_PIDF_SHOWN_OFFLINE] = "Offline",
        [BK_PIDF_SHOWN_AVAILABLE] = "Available",
        [BK_PIDF_SHOWN_AVAILABLE_INACTIVE] = "Available",
        [BK_PIDF_SHOWN_BUSY] = "Busy",
        [BK_PIDF_SHOWN_BUSY_INACTIVE] = "Busy",
        [BK_PIDF_SHOWN_IN_CALL] = "Busy",
        [BK_PIDF_SHOWN_IN_CONFERENCE] = "Busy",
        [BK_PIDF_SHOWN_IN_MEETING] = "Busy",
        [BK_PIDF_SHOWN_DND] = "Busy",
        [BK_PIDF_SHOWN_PRESENTING] = "Busy",
        [BK_PIDF_SHOWN_BRB] = "Away",
        [BK_PIDF_SHOWN_AWAY] = "Away",
        [BK_PIDF_SHOWN_OFFWORK] = "Away",
    };
    BkPerson *ann = add(world, "ann@example.org", "Ann", BK_PIDF_SHOWN_UNKNOWN, "~");
    watch(world);
    bk_contact_model_set_view(world->model, BK_CONTACTS_BY_STATUS);
    for (int shown = BK_PIDF_SHOWN_UNKNOWN; shown < BK_PIDF_SHOWN_COUNT; shown++) {
        bk_person_set_presence(ann, (enum bk_pidf_shown)shown, "", 0);
        assert_view_is_right(world);
        assert_int_equal(world->seen->len, 2);
        assert_string_equal(bk_contact_item_title(world->seen->pdata[0]), expected[shown]);
    }
}

static void a_lost_connection_moves_everybody_to_unknown_and_none_to_offline(void **state)
{
    struct world *world = *state;
    make_office(world);
    bk_contact_model_set_view(world->model, BK_CONTACTS_BY_STATUS);
    for (guint i = 0; i < 4; i++) {
        g_autoptr(BkPerson) person = g_list_model_get_item(G_LIST_MODEL(world->contacts), i);
        bk_person_set_presence(person, BK_PIDF_SHOWN_UNKNOWN, "", 0);
    }
    assert_rows(world, "[Unknown 0/4] Ann bob Cara Dan");
}

/* ---- a thousand ---- */

static void a_thousand_contacts_are_laid_out_once(void **state)
{
    struct world *world = *state;
    add_group(world, "Work");
    watch(world);
    g_autoptr(GPtrArray) people = g_ptr_array_new_with_free_func(g_object_unref);
    for (int i = 0; i < 1000; i++) {
        g_autofree char *address = g_strdup_printf("p%d@example.org", i);
        BkPerson *person = bk_person_new(address);
        bk_person_set_presence(person, BK_PIDF_SHOWN_UNKNOWN, "", 0);
        bk_person_set_groups(person, (const char *const[]){ "Work", NULL });
        g_ptr_array_add(people, person);
    }
    g_list_store_splice(world->contacts, 0, 0, people->pdata, people->len);
    assert_int_equal(world->changes, 1);
    assert_view_is_right(world);
    assert_int_equal(world->seen->len, 1001);
}

static void presence_of_a_thousand_moves_only_who_changed(void **state)
{
    struct world *world = *state;
    static const enum bk_pidf_shown shown[] = { BK_PIDF_SHOWN_AVAILABLE, BK_PIDF_SHOWN_BUSY,
                                                BK_PIDF_SHOWN_AWAY, BK_PIDF_SHOWN_OFFLINE };
    BkPerson *people[1000];
    for (int i = 0; i < 1000; i++) {
        g_autofree char *address = g_strdup_printf("p%d@example.org", i);
        g_autofree char *name = g_strdup_printf("Person %03d", (i * 7) % 1000);
        people[i] = add(world, address, name, BK_PIDF_SHOWN_UNKNOWN, "~");
    }
    watch(world);
    bk_contact_model_set_view(world->model, BK_CONTACTS_BY_STATUS);
    world->changed_rows = 0;
    for (int i = 0; i < 1000; i++)
        bk_person_set_presence(people[i], shown[i % 4], "", 0);
    assert_view_is_right(world);
    assert_int_equal(world->seen->len, 1004);
    /* A row goes, a row comes; headers come with the first of theirs and one goes with its last. */
    assert_int_equal(world->changed_rows, 2000 + 4 + 1);

    unsigned last = 0;
    for (guint i = 0; i < world->seen->len; i++) {
        BkContactItem *item = world->seen->pdata[i];
        if (bk_contact_item_kind(item) == BK_CONTACT_HEADER) {
            assert_int_equal(bk_contact_item_count(item), 250);
            last = 0;
            continue;
        }
        unsigned at = (unsigned)atoi(bk_person_name(bk_contact_item_person(item)) + 7);
        assert_true(at >= last);
        last = at;
    }

    /* What does not concern the order touches no row. */
    world->changed_rows = 0;
    for (int i = 0; i < 1000; i++)
        bk_person_set_presence(people[i], shown[i % 4], "A note", 1000);
    assert_int_equal(world->changed_rows, 0);
}

/* Any order of changes ends in the list that is made anew from the same people. */
static void whatever_happened_the_list_is_as_if_made_anew(void **state)
{
    struct world *world = *state;
    static const char *const in[] = { "Work",           "Friends", "Work,Friends",
                                      "Favorites,Work", "~",       "Nowhere" };
    GRand *random = g_rand_new_with_seed(20261122);
    add_group(world, "Work");
    add_group(world, "Friends");
    add_group(world, BK_ROSTER_FAVOURITES);
    watch(world);
    for (int step = 0; step < 4000; step++) {
        guint n = g_list_model_get_n_items(G_LIST_MODEL(world->contacts));
        int what = g_rand_int_range(random, 0, 12);
        g_autoptr(BkPerson) who =
            n ? g_list_model_get_item(G_LIST_MODEL(world->contacts),
                                      (guint)g_rand_int_range(random, 0, (int)n))
              : NULL;
        enum bk_pidf_shown shown =
            (enum bk_pidf_shown)g_rand_int_range(random, 1, BK_PIDF_SHOWN_COUNT);
        const char *groups = in[g_rand_int_range(random, 0, (int)G_N_ELEMENTS(in))];
        if (what == 0 || !who) {
            g_autofree char *address = g_strdup_printf("p%d@example.org", step);
            add(world, address, "", shown, groups);
        } else if (what == 1 && n > 80) {
            g_list_store_remove(world->contacts, (guint)g_rand_int_range(random, 0, (int)n));
        } else if (what <= 5) {
            bk_person_set_presence(who, shown, "", 0);
        } else if (what <= 7) {
            g_auto(GStrv) names = g_strsplit(groups, ",", -1);
            bk_person_set_groups(who, (const char *const *)names);
        } else if (what == 8) {
            g_autofree char *name = g_strdup_printf("N%d", g_rand_int_range(random, 0, 9));
            bk_person_set_label(who, name);
        } else if (what == 9) {
            bk_contact_model_set_expanded(world->model, "g:Work", g_rand_boolean(random));
        } else if (what == 10) {
            bk_contact_model_set_view(world->model, g_rand_boolean(random) ? BK_CONTACTS_BY_GROUP
                                                                           : BK_CONTACTS_BY_STATUS);
        } else {
            bk_contact_model_set_query(world->model, g_rand_int_range(random, 0, 3) ? "" : "n1");
            bk_contact_model_set_show_offline(world->model, g_rand_boolean(random));
        }
    }
    bk_contact_model_set_view(world->model, BK_CONTACTS_BY_GROUP);
    bk_contact_model_set_query(world->model, "");
    bk_contact_model_set_expanded(world->model, "g:Work", true);
    bk_contact_model_set_show_offline(world->model, true);
    g_autofree char *grown = rows(world);

    BkContactModel *old = world->model;
    g_ptr_array_unref(world->seen);
    watch(world);
    g_autofree char *anew = rows(world);
    assert_string_equal(grown, anew);
    assert_true(strlen(anew) > 500);
    g_object_unref(old);
    g_rand_free(random);
}

/* ---- followers and searches ---- */

static void who_added_the_user_stands_first(void **state)
{
    struct world *world = *state;
    make_office(world);
    g_autoptr(BkPerson) eve = bk_person_new("eve@example.com");
    bk_person_set_told_name(eve, "Eve");
    g_list_store_append(world->followers, eve);
    assert_int_equal(bk_contact_model_find_person(world->model, eve), 1);
    assert_int_equal(bk_contact_item_kind(world->seen->pdata[1]), BK_CONTACT_FOLLOWER);
    assert_rows(world, "[Added You to Their List 0/1] ?Eve [Favorites 0/1] bob [Work 2/3] Ann bob "
                       "Cara [Empty 0/0] [Other Contacts 0/1] Dan");
    g_list_store_remove_all(world->followers);
    assert_int_equal(bk_contact_model_find_header(world->model, "g:Favorites"), 0);
}

static void a_search_meets_each_person_once_in_any_case_without_accents(void **state)
{
    struct world *world = *state;
    make_office(world);
    add(world, "jm@example.com", "Jürgen Müller", BK_PIDF_SHOWN_OFFLINE, "Work");
    bk_contact_model_set_show_offline(world->model, false);
    bk_contact_model_set_query(world->model, "MULLER jur");
    assert_rows(world, "[Your Contacts 0/1] Jürgen Müller");
    assert_int_equal(bk_contact_model_n_matches(world->model), 1);
    bk_contact_model_set_query(world->model, "bob");
    assert_rows(world, "[Your Contacts 0/1] bob");
    bk_contact_model_set_query(world->model, "@example.org");
    assert_rows(world, "[Your Contacts 2/4] Ann bob Cara Dan");
    bk_contact_model_set_query(world->model, " ");
    assert_rows(world, "[Favorites 0/1] [Work 2/4] Ann Cara [Empty 0/0] [Other Contacts 0/1] Dan");
}

static void people_of_the_directory_stand_behind_contacts_once(void **state)
{
    struct world *world = *state;
    make_office(world);
    bk_contact_model_set_query(world->model, "ann");
    g_autoptr(GListStore) found = g_list_store_new(BK_TYPE_PERSON);
    g_autoptr(BkPerson) ann = g_list_model_get_item(G_LIST_MODEL(world->contacts), 2);
    g_autoptr(BkPerson) joan = bk_person_new("joann@example.org");
    g_autoptr(BkPerson) hanna = bk_person_new("hanna@example.org");
    g_list_store_append(found, joan);
    g_list_store_append(found, ann);
    g_list_store_append(found, hanna);
    bk_contact_model_set_found(world->model, G_LIST_MODEL(found));
    bk_contact_model_set_hint(world->model, "more");
    assert_rows(world, "[Your Contacts 1/1] Ann [Directory 0/2] joann hanna (more)");

    /* Added from here: now among the contacts. */
    bk_person_set_groups(joan, (const char *const[]){ "~", NULL });
    g_list_store_append(world->contacts, joan);
    assert_rows(world, "[Your Contacts 1/2] Ann joann [Directory 0/1] hanna (more)");
    bk_contact_model_set_query(world->model, "");
    assert_rows(world, "[Favorites 0/1] bob [Work 2/3] Ann bob Cara [Empty 0/0] "
                       "[Other Contacts 0/2] Dan joann");
}

static void a_typed_address_stands_alone_until_it_is_a_contact(void **state)
{
    struct world *world = *state;
    make_office(world);
    g_autoptr(BkPerson) zed = bk_person_new("zed@example.net");
    bk_contact_model_set_typed(world->model, zed);
    bk_contact_model_set_query(world->model, "zed@example.net");
    assert_rows(world, "[This Address 0/1] zed");
    bk_person_set_groups(zed, (const char *const[]){ "~", NULL });
    g_list_store_append(world->contacts, zed);
    assert_rows(world, "[Your Contacts 0/1] zed");
}

/* ---- texts ---- */

static void addresses_are_taken_only_when_they_are_whole(void **state)
{
    (void)state;
    static const char *const no[] = { "",
                                      "ann",
                                      "ann@",
                                      "@example.org",
                                      "ann@example",
                                      "ann@example.",
                                      "ann@.org",
                                      "ann@exa..mple.org",
                                      "a b@example.org",
                                      "ann@@example.org",
                                      "ann@example.org;x=1",
                                      "Ann <ann@example.org>",
                                      "sip:" };
    for (size_t i = 0; i < G_N_ELEMENTS(no); i++) {
        g_autofree char *address = bk_contact_address_of(no[i]);
        assert_null(address);
    }
    g_autofree char *bare = bk_contact_address_of(" SIP:ann.lee@mail.example.org\t");
    assert_string_equal(bare, "ann.lee@mail.example.org");
}

static void rows_are_read_out_with_name_state_and_note(void **state)
{
    (void)state;
    enum { MINUTE_MS = 60 * 1000 };
    g_autoptr(BkPerson) alice = bk_person_new("alice@example.org");
    bk_person_set_told_name(alice, "Alice Example");
    bk_person_set_presence(alice, BK_PIDF_SHOWN_BUSY, "In a meeting\nuntil 15:00 ", 1000);
    g_autofree char *label = bk_contact_label(alice);
    assert_string_equal(label, "Alice Example, Busy, In a meeting until 15:00");
    g_autofree char *line = bk_contact_subtitle(alice, 1000);
    assert_string_equal(line, "Busy · In a meeting until 15:00");

    bk_person_set_presence(alice, BK_PIDF_SHOWN_AWAY, "", 1000);
    g_autofree char *away = bk_contact_subtitle(alice, 1000 + 12 * MINUTE_MS);
    assert_string_equal(away, "Away for 12 minutes");
    g_autofree char *short_label = bk_contact_label(alice);
    assert_string_equal(short_label, "Alice Example, Away");

    bk_person_set_presence(alice, BK_PIDF_SHOWN_OFFLINE, "", 1000);
    g_autofree char *offline = bk_contact_status(alice, 1000 + 120 * MINUTE_MS);
    assert_string_equal(offline, "Offline, last seen 2 hours ago");

    bk_person_set_presence(alice, BK_PIDF_SHOWN_UNKNOWN, "In a meeting", 1000);
    g_autofree char *lost = bk_contact_subtitle(alice, 1000);
    assert_string_equal(lost, "Unknown"); /* that note was of a time when there was a connection */

    bk_person_set_relation(alice, 32000);
    g_autofree char *blocked = bk_contact_label(alice);
    assert_string_equal(blocked, "Alice Example, Blocked");

    g_autoptr(BkPerson) namesake = bk_person_new("al@example.org");
    g_autofree char *only = bk_contact_found_subtitle(namesake);
    assert_string_equal(only, "al@example.org");
    bk_person_set_card(namesake, &(struct bk_person_card){ .title = "Engineer", .office = "B 4" });
    bk_person_set_presence(namesake, BK_PIDF_SHOWN_AVAILABLE, "", 0);
    g_autofree char *found = bk_contact_found_subtitle(namesake);
    assert_string_equal(found, "Available · Engineer, B 4");
}

int main(void)
{
    (void)setlocale(LC_ALL, "C.UTF-8");
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
        TEST(groups_stand_with_favourites_first_and_others_last),
        TEST(a_group_nobody_named_counts_as_none),
        TEST(others_have_no_header_where_nobody_is_there),
        TEST(a_change_of_group_moves_one_row),
        TEST(a_new_name_moves_the_rows_of_that_person),
        TEST(contacts_come_and_go),
        TEST(groups_come_and_go),
        TEST(a_closed_group_keeps_counting),
        TEST(closed_groups_are_remembered_whatever_they_are_called),
        TEST(hidden_offline_people_count_and_unknown_ones_are_shown),
        TEST(every_state_has_its_section),
        TEST(a_lost_connection_moves_everybody_to_unknown_and_none_to_offline),
        TEST(a_thousand_contacts_are_laid_out_once),
        TEST(presence_of_a_thousand_moves_only_who_changed),
        TEST(whatever_happened_the_list_is_as_if_made_anew),
        TEST(who_added_the_user_stands_first),
        TEST(a_search_meets_each_person_once_in_any_case_without_accents),
        TEST(people_of_the_directory_stand_behind_contacts_once),
        TEST(a_typed_address_stands_alone_until_it_is_a_contact),
        TEST(addresses_are_taken_only_when_they_are_whole),
        TEST(rows_are_read_out_with_name_state_and_note),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
