/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/desktop/model_test.h"

#include "desktop/roster.h"

#include <glib/gstdio.h>

static struct bk_fake *fake;
static BkEngine *engine;
static BkRoster *roster;
static BkSettings *settings;
static char *folder;

static void make_roster(const char *script)
{
    fake = make_fake(script);
    engine = bk_engine_new(&bk_fake_engine_ops, fake);
    roster = bk_roster_new(engine, settings);
}

static int setup(void **state)
{
    (void)state;
    folder = g_dir_make_tmp("beckon-roster-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(folder, "desktop.conf", NULL);
    g_autofree char *policy = g_build_filename(folder, "policy.conf", NULL);
    settings = bk_settings_new(file, policy);
    make_roster("{}");
    return 0;
}

static void drop_roster(void)
{
    gpointer gone = roster;
    g_object_add_weak_pointer(G_OBJECT(roster), &gone);
    g_clear_object(&roster);
    settle();
    assert_null(gone); /* nothing of it is left */
    gone = engine;
    g_object_add_weak_pointer(G_OBJECT(engine), &gone);
    close_engine(engine);
    AWAIT(!gone); /* the thread that closed it lets it go last */
}

static int teardown(void **state)
{
    (void)state;
    drop_roster();
    g_autofree char *file = g_build_filename(folder, "desktop.conf", NULL);
    bk_settings_flush(settings);
    g_clear_object(&settings);
    (void)g_remove(file);
    (void)g_rmdir(folder);
    g_free(folder);
    return 0;
}

#define LIST                                                                                       \
    "{'type':'contacts','groups':['~','Work','Favorites'],'contacts':["                            \
    "['bob@example.org','Bob','Work','Favorites'],['cem@example.org','','~']]}"

static BkPerson *person(const char *address)
{
    BkPerson *p = bk_roster_person(roster, address);
    assert_non_null(p);
    return p;
}

static guint n_contacts(void)
{
    return g_list_model_get_n_items(bk_roster_contacts(roster));
}

static bool was_heard(const char *line)
{
    g_auto(GStrv) lines = g_strsplit(bk_fake_heard(fake), "\n", -1);
    return g_strv_contains((const char *const *)lines, line);
}

static char *groups_in_order(void)
{
    GString *text = g_string_new("");
    GListModel *groups = bk_roster_groups(roster);
    for (guint i = 0; i < g_list_model_get_n_items(groups); i++) {
        g_autoptr(BkGroup) group = g_list_model_get_item(groups, i);
        g_string_append_printf(text, "%s ", bk_group_name(group));
    }
    return g_string_free(text, FALSE);
}

/* ---- the list ---- */

static void a_whole_list_makes_contacts_with_names_and_groups(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    tell(fake, LIST);
    assert_int_equal(n_contacts(), 2);
    g_autoptr(BkPerson) bob = person(BOB);
    g_autoptr(BkPerson) cem = person(CEM);
    assert_string_equal(bk_person_name(bob), "Bob");
    assert_string_equal(bk_person_name(cem), "cem");
    assert_true(bk_person_is_contact(bob));
    assert_true(bk_person_is_favourite(bob));
    assert_false(bk_person_is_favourite(cem));
    assert_true(g_strv_contains(bk_person_groups(bob), "Work"));
    assert_true(g_strv_contains(bk_person_groups(cem), "~"));
    g_autofree char *groups = groups_in_order();
    assert_string_equal(groups, "Work Favorites ~ ");
    assert_false(was_heard("watch " BOB)); /* the list has them watched */
}

static guint changes;

static void count_changes(GListModel *model, guint at, guint gone, guint added, gpointer data)
{
    (void)model;
    (void)at;
    (void)gone;
    (void)added;
    (void)data;
    changes++;
}

static void the_same_list_again_changes_nothing(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    tell(fake, LIST);
    changes = 0;
    g_signal_connect(bk_roster_contacts(roster), "items-changed", G_CALLBACK(count_changes), NULL);
    g_signal_connect(bk_roster_groups(roster), "items-changed", G_CALLBACK(count_changes), NULL);
    g_autoptr(BkGroup) work = g_list_model_get_item(bk_roster_groups(roster), 0);
    tell(fake, LIST);
    assert_int_equal(changes, 0);
    tell(fake, "{'type':'contacts','groups':['New','Work','~'],'contacts':[['cem@example.org','C','"
               "Work']]}");
    assert_int_equal(changes, 2);
    assert_int_equal(n_contacts(), 1);
    g_autoptr(BkGroup) same = g_list_model_get_item(bk_roster_groups(roster), 1);
    assert_ptr_equal(work, same);
}

static void a_partial_list_adds_changes_and_removes(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    tell(fake, LIST);
    g_autoptr(BkPerson) bob = person(BOB);
    tell(fake, "{'type':'contacts','whole':false,'contacts':[['bob@example.org','Robert','~'],"
               "['dan@example.org','Dan','Work']],'gone':['cem@example.org']}");
    assert_int_equal(n_contacts(), 2);
    assert_string_equal(bk_person_name(bob), "Robert");
    assert_false(bk_person_is_favourite(bob));
    g_autoptr(BkPerson) cem = person(CEM);
    assert_false(bk_person_is_contact(cem));
    g_autofree char *groups = groups_in_order();
    assert_string_equal(groups, "Work Favorites ~ ");
}

static void a_thousand_contacts_come_in_one_change(void **state)
{
    (void)state;
    changes = 0;
    g_signal_connect(bk_roster_contacts(roster), "items-changed", G_CALLBACK(count_changes), NULL);
    tell(fake, SIGNED_IN);
    tell(fake, "{'type':'crowd','n':1000,'first':['A','B'],'last':['C'],'groups':['~','X'],'shown':"
               "['busy']}");
    assert_int_equal(n_contacts(), 1000);
    assert_int_equal(changes, 1);
    g_autoptr(BkPerson) last = person("person1000@example.org");
    assert_int_equal(bk_person_shown(last), BK_PIDF_SHOWN_BUSY);
}

static void groups_of_ours_have_titles_and_others_their_name(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    tell(fake, LIST);
    static const char *const titles[] = { "Work", "Favorites", "Other Contacts" };
    for (guint i = 0; i < 3; i++) {
        g_autoptr(BkGroup) group = g_list_model_get_item(bk_roster_groups(roster), i);
        g_autofree char *title = bk_group_title(group);
        assert_string_equal(title, titles[i]);
    }
}

/* ---- presence ---- */

static void everybody_is_unknown_while_the_connection_is_away(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    tell(fake, LIST);
    tell(fake,
         "[{'type':'presence','address':'" BOB "','shown':'busy','note':'Paris','since-ago':90},"
         "{'type':'presence','address':'" ANN "','own':true,'shown':'available'}]");
    g_autoptr(BkPerson) bob = person(BOB);
    assert_int_equal(bk_person_shown(bob), BK_PIDF_SHOWN_BUSY);
    assert_true(bk_person_since_ms(bob) > 0);
    assert_int_equal(bk_person_shown(bk_roster_self(roster)), BK_PIDF_SHOWN_AVAILABLE);
    tell(fake, "{'type':'state','state':'reconnecting','retry-in':5}");
    assert_int_equal(bk_person_shown(bob), BK_PIDF_SHOWN_UNKNOWN);
    assert_int_equal(bk_person_since_ms(bob), 0);
    assert_string_equal(bk_person_note(bob), "Paris");
    assert_int_equal(bk_person_shown(bk_roster_self(roster)), BK_PIDF_SHOWN_UNKNOWN);
    assert_int_equal(n_contacts(), 2);
    tell(fake,
         "{'type':'presence','address':'" BOB "','shown':'unknown'}"); /* the engine says so too */
    assert_string_equal(bk_person_note(bob), "Paris");
    tell(fake, SIGNED_IN);
    tell(fake, "{'type':'presence','address':'" BOB "','shown':'away'}");
    assert_int_equal(bk_person_shown(bob), BK_PIDF_SHOWN_AWAY);
    assert_string_equal(bk_person_note(bob), "");
}

static void a_name_told_with_presence_stands_behind_the_users_own_word(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    tell(fake, LIST);
    tell(fake, "[{'type':'presence','address':'" BOB "','shown':'busy','name':'Robert Łuczak'},"
               "{'type':'presence','address':'" CEM "','shown':'busy','name':'Cem Yılmaz'},"
               "{'type':'presence','address':'" CEM "','shown':'unknown'}]");
    g_autoptr(BkPerson) bob = person(BOB);
    g_autoptr(BkPerson) cem = person(CEM);
    assert_string_equal(bk_person_name(bob), "Bob");
    assert_string_equal(bk_person_name(cem), "Cem Yılmaz");
    tell(fake, "{'type':'contacts','whole':false,'contacts':[['bob@example.org','','Work']]}");
    assert_string_equal(bk_person_name(bob), "Robert Łuczak");
}

static void somebody_elses_person_is_watched_while_held(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    BkPerson *dan = person("sip:Dan@Example.org");
    assert_string_equal(bk_person_address(dan), "dan@example.org");
    assert_true(was_heard("watch dan@example.org"));
    BkPerson *again = person("dan@example.org");
    assert_ptr_equal(dan, again);
    g_object_unref(again);
    assert_false(was_heard("unwatch dan@example.org"));
    tell(fake, "{'type':'presence','address':'dan@example.org','shown':'dnd'}");
    assert_int_equal(bk_person_shown(dan), BK_PIDF_SHOWN_DND);
    g_object_unref(dan);
    assert_true(was_heard("unwatch dan@example.org"));
}

static void a_held_person_is_watched_again_when_off_the_list(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    g_autoptr(BkPerson) bob = person(BOB);
    assert_true(was_heard("watch " BOB));
    tell(fake, LIST);
    assert_true(was_heard("unwatch " BOB));
    bk_fake_forget_heard(fake);
    tell(fake, "{'type':'contacts','groups':['~'],'contacts':[]}");
    assert_true(was_heard("watch " BOB));
    assert_false(was_heard("watch " CEM)); /* nobody holds them */
    assert_false(bk_person_is_contact(bob));
    assert_string_equal(bk_person_name(bob), "bob");
}

static void what_is_no_address_is_nobody(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    static const char *const bad[] = { "",     "bob", "@example.org", "bob@", "b ob@example.org",
                                       "a@b@c" };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_null(bk_roster_person(roster, bad[i]));
    assert_null(bk_roster_person(roster, NULL));
}

static void asking_for_oneself_gives_oneself(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    g_autoptr(BkPerson) me = person(ANN);
    assert_ptr_equal(me, bk_roster_self(roster));
    assert_false(was_heard("watch " ANN));
    assert_string_equal(bk_person_address(me), ANN);
}

/* ---- sessions ---- */

static void signing_out_empties_the_list_and_watches_nobody(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    tell(fake, LIST);
    g_autoptr(BkPerson) bob = person(BOB);
    g_autoptr(BkPerson) dan = person("dan@example.org");
    tell(fake, "{'type':'presence','address':'" BOB "','shown':'busy'}");
    tell(fake, "[{'type':'state','state':'signing-out'},{'type':'state','state':'signed-out'}]");
    assert_int_equal(n_contacts(), 0);
    assert_int_equal(g_list_model_get_n_items(bk_roster_groups(roster)), 0);
    assert_string_equal(bk_person_address(bk_roster_self(roster)), "");
    assert_int_equal(bk_person_shown(bob), BK_PIDF_SHOWN_UNKNOWN);
    assert_false(bk_person_is_contact(bob));
    assert_int_equal(bk_person_shown(dan), BK_PIDF_SHOWN_UNKNOWN);
    assert_true(was_heard("unwatch dan@example.org"));
    tell(fake, "{'type':'state','state':'signed-in','address':'eve@example.org'}");
    g_autoptr(BkPerson) other = person(BOB);
    assert_ptr_not_equal(other, bob);
    assert_string_equal(bk_person_address(bk_roster_self(roster)), "eve@example.org");
}

static void a_person_may_outlive_the_roster(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    tell(fake, LIST);
    BkPerson *bob = person(BOB);
    drop_roster();
    assert_int_equal(bk_person_shown(bob), BK_PIDF_SHOWN_UNKNOWN);
    g_object_unref(bob);
    make_roster("{}");
}

static void a_server_without_lists_is_noticed(void **state)
{
    (void)state;
    drop_roster();
    make_roster("{\"answers\":{\"edit\":[{\"if\":{\"kind\":\"tell\"},\"then\":["
                "{\"type\":\"edited\",\"text\":\"This server offers no contact lists.\"}]}]}}");
    assert_true(bk_roster_has_lists(roster));
    tell(fake, SIGNED_IN);
    assert_false(bk_roster_has_lists(roster));
    tell(fake, "{'type':'state','state':'signed-out'}");
    assert_true(bk_roster_has_lists(roster));
}

/* ---- relations, followers, tags, the directory ---- */

static void relations_are_of_the_person_before_the_domain(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    g_autoptr(BkPerson) bob = person(BOB);
    g_autoptr(BkPerson) spam = person("x@spam.example");
    g_autoptr(BkPerson) good = person("good@spam.example");
    tell(fake, "{'type':'relations','rows':[['bob@example.org',300],['@spam.example',32000],"
               "['good@spam.example',400],['=sameEnterprise',200]]}");
    assert_int_equal(bk_person_relation(bob), 300);
    assert_true(bk_person_is_blocked(spam));
    assert_int_equal(bk_person_relation(good), 400);
    g_autoptr(BkPerson) later = person("later@spam.example");
    assert_true(bk_person_is_blocked(later));
    tell(fake, "{'type':'relations','rows':[]}");
    assert_int_equal(bk_person_relation(bob), 0);
    assert_false(bk_person_is_blocked(spam));
}

static int n_signals;
static char signalled[64];

static void on_person(BkRoster *from, BkPerson *who, gpointer data)
{
    (void)from;
    (void)data;
    n_signals++;
    (void)snprintf(signalled, sizeof signalled, "%s", bk_person_address(who));
}

#define FOLLOWERS                                                                                  \
    "{'type':'followers','rows':[['bob@example.org','Bob "                                         \
    "Smith',false],['cem@example.org','',true]]}"

static void each_new_follower_is_told_once(void **state)
{
    (void)state;
    n_signals = 0;
    g_signal_connect(roster, "follower", G_CALLBACK(on_person), NULL);
    tell(fake, SIGNED_IN);
    tell(fake, FOLLOWERS);
    assert_int_equal(n_signals, 1);
    assert_string_equal(signalled, BOB);
    assert_int_equal(g_list_model_get_n_items(bk_roster_followers(roster)), 1);
    g_autoptr(BkPerson) bob = person(BOB);
    assert_string_equal(bk_person_name(bob), "Bob Smith");
    tell(fake, FOLLOWERS);
    assert_int_equal(n_signals, 1);
    tell(fake, "{'type':'followers','rows':[['bob@example.org','Bob Smith',true]]}");
    assert_int_equal(g_list_model_get_n_items(bk_roster_followers(roster)), 0);
}

static void a_tagged_person_who_becomes_available_is_told(void **state)
{
    (void)state;
    n_signals = 0;
    g_signal_connect(roster, "became-available", G_CALLBACK(on_person), NULL);
    tell(fake, SIGNED_IN);
    tell(fake, LIST);
    g_autoptr(BkPerson) bob = person(BOB);
    bk_roster_set_tagged(roster, bob, true);
    assert_true(bk_person_is_tagged(bob));
    assert_string_equal(bk_settings_string(settings, BK_SETTING_TAGGED), BOB);
    tell(fake,
         "{'type':'presence','address':'" BOB "','shown':'available'}"); /* was so before us */
    assert_int_equal(n_signals, 0);
    tell(fake, "{'type':'presence','address':'" BOB "','shown':'away'}");
    tell(fake, "{'type':'presence','address':'" BOB "','shown':'available'}");
    assert_int_equal(n_signals, 1);
    tell(fake, "{'type':'state','state':'reconnecting'}"); /* available before and after: no news */
    tell(fake, SIGNED_IN);
    tell(fake, "{'type':'presence','address':'" BOB "','shown':'available'}");
    assert_int_equal(n_signals, 1);
    bk_roster_set_tagged(roster, bob, false);
    tell(fake, "{'type':'presence','address':'" BOB "','shown':'offline'}");
    tell(fake, "{'type':'presence','address':'" BOB "','shown':'available'}");
    assert_int_equal(n_signals, 1);
    assert_string_equal(bk_settings_string(settings, BK_SETTING_TAGGED), "");
}

static void tags_are_there_again_at_the_next_start(void **state)
{
    (void)state;
    tell(fake, SIGNED_IN);
    g_autoptr(BkPerson) bob = person(BOB);
    g_autoptr(BkPerson) cem = person(CEM);
    bk_roster_set_tagged(roster, cem, true);
    bk_roster_set_tagged(roster, bob, true);
    assert_string_equal(bk_settings_string(settings, BK_SETTING_TAGGED), BOB " " CEM);
    drop_roster();
    make_roster("{}");
    tell(fake, SIGNED_IN);
    g_autoptr(BkPerson) again = person(BOB);
    assert_ptr_not_equal(again, bob);
    assert_true(bk_person_is_tagged(again));
}

struct search {
    bool done, more;
    GListModel *found;
    GError *error;
};

static void on_found(GObject *object, GAsyncResult *result, gpointer data)
{
    struct search *s = data;
    s->done = true;
    s->found = bk_roster_search_finish(BK_ROSTER(object), result, &s->more, &s->error);
}

static void a_search_finds_people_with_their_cards(void **state)
{
    (void)state;
    struct search s = { 0 };
    drop_roster();
    make_roster(
        "{\"answers\":{\"edit\":[{\"if\":{\"kind\":\"search\"},\"then\":["
        "{\"type\":\"found\",\"more\":true,\"rows\":[[\"zoe@example.org\",\"Zoë $text\",\"Boss\","
        "\"2.17\",\"+49 1\",\"ACME\",\"zoe@mail.example\"]]},{\"type\":\"edited\"}]}]}}");
    tell(fake, SIGNED_IN);
    bk_roster_search_async(roster, "Miller", NULL, on_found, &s);
    settle();
    assert_true(s.done);
    assert_true(s.more);
    assert_int_equal(g_list_model_get_n_items(s.found), 1);
    BkPerson *zoe = g_list_model_get_item(s.found, 0);
    assert_string_equal(bk_person_name(zoe), "Zoë Miller");
    assert_string_equal(bk_person_title(zoe), "Boss");
    assert_string_equal(bk_person_office(zoe), "2.17");
    assert_string_equal(bk_person_phone(zoe), "+49 1");
    assert_string_equal(bk_person_company(zoe), "ACME");
    assert_string_equal(bk_person_email(zoe), "zoe@mail.example");
    assert_true(was_heard("watch zoe@example.org"));
    g_object_unref(zoe);
    g_object_unref(s.found);
    assert_true(was_heard("unwatch zoe@example.org"));
}

static void a_search_that_fails_says_why(void **state)
{
    (void)state;
    struct search s = { 0 };
    drop_roster();
    make_roster("{\"answers\":{\"edit\":[{\"type\":\"edited\",\"text\":\"Not now.\"}]}}");
    tell(fake, SIGNED_IN);
    bk_roster_search_async(roster, "x", NULL, on_found, &s);
    settle();
    assert_null(s.found);
    assert_string_equal(s.error->message, "Not now.");
    g_clear_error(&s.error);
}

int main(void)
{
    g_setenv("LC_ALL", "C", TRUE);
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(a_whole_list_makes_contacts_with_names_and_groups),
        T(the_same_list_again_changes_nothing),
        T(a_partial_list_adds_changes_and_removes),
        T(a_thousand_contacts_come_in_one_change),
        T(groups_of_ours_have_titles_and_others_their_name),
        T(everybody_is_unknown_while_the_connection_is_away),
        T(a_name_told_with_presence_stands_behind_the_users_own_word),
        T(somebody_elses_person_is_watched_while_held),
        T(a_held_person_is_watched_again_when_off_the_list),
        T(what_is_no_address_is_nobody),
        T(asking_for_oneself_gives_oneself),
        T(signing_out_empties_the_list_and_watches_nobody),
        T(a_person_may_outlive_the_roster),
        T(a_server_without_lists_is_noticed),
        T(relations_are_of_the_person_before_the_domain),
        T(each_new_follower_is_told_once),
        T(a_tagged_person_who_becomes_available_is_told),
        T(tags_are_there_again_at_the_next_start),
        T(a_search_finds_people_with_their_cards),
        T(a_search_that_fails_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
