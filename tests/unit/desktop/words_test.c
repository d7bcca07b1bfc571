/* SPDX-License-Identifier: Apache-2.0 */
/* Run once as it is and once with "de": what things are called, in both languages. */
#include "unit/desktop/model_test.h"

#include "desktop/words.h"

#include <libintl.h>
#include <locale.h>

static bool german;

#define SAYS(text, english, deutsch)                                                               \
    do {                                                                                           \
        g_autofree char *said_ = (text);                                                           \
        assert_string_equal(said_, german ? (deutsch) : (english));                                \
    } while (0)

static const int64_t now = 1795348800000; /* 2026-11-22 12:00 UTC */
enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static void every_state_has_a_word_an_icon_and_a_class(void **state)
{
    (void)state;
    static const char *const classes[] = { "available", "inactive", "busy",   "dnd",
                                           "away",      "offline",  "unknown" };
    g_autoptr(GHashTable) words = g_hash_table_new(g_str_hash, g_str_equal);
    for (int i = BK_PIDF_SHOWN_UNKNOWN; i < BK_PIDF_SHOWN_COUNT; i++) {
        const char *class = bk_css_shown((enum bk_pidf_shown)i);
        g_autofree char *icon = g_strdup_printf("beckon-status-%s", class);
        bool known = false;
        for (size_t j = 0; j < G_N_ELEMENTS(classes); j++)
            known |= strcmp(class, classes[j]) == 0;
        assert_true(known);
        assert_string_equal(bk_icon_shown((enum bk_pidf_shown)i), icon);
        /* No two states read alike: the dot alone is not enough to tell them apart. */
        assert_true(g_hash_table_add(words, (gpointer)bk_word_shown((enum bk_pidf_shown)i)));
    }
    assert_string_equal(bk_word_shown(BK_PIDF_SHOWN_BRB),
                        german ? "Bin gleich zurück" : "Be Right Back");
    assert_string_equal(bk_word_shown(BK_PIDF_SHOWN_MISSING), bk_word_shown(BK_PIDF_SHOWN_UNKNOWN));
    assert_string_equal(bk_word_shown((enum bk_pidf_shown)99),
                        bk_word_shown(BK_PIDF_SHOWN_UNKNOWN));
}

static void every_status_one_can_choose_has_a_word(void **state)
{
    (void)state;
    g_autoptr(GHashTable) words = g_hash_table_new(g_str_hash, g_str_equal);
    for (int i = BK_PIDF_MANUAL_NONE; i < BK_PIDF_MANUAL_COUNT; i++)
        assert_true(g_hash_table_add(words, (gpointer)bk_word_manual((enum bk_pidf_manual)i)));
    assert_string_equal(bk_word_manual(BK_PIDF_MANUAL_NONE),
                        german ? "Status zurücksetzen" : "Reset Status");
    assert_string_equal(bk_word_manual((enum bk_pidf_manual)99),
                        bk_word_manual(BK_PIDF_MANUAL_NONE));
}

static void how_long_is_told_from_a_minute_on(void **state)
{
    (void)state;
    enum bk_pidf_shown busy = BK_PIDF_SHOWN_BUSY, gone = BK_PIDF_SHOWN_OFFLINE;
    SAYS(bk_word_since(busy, now - 59 * SECOND, now), "", "");
    SAYS(bk_word_since(busy, now - 60 * SECOND, now), "for 1 minute", "seit 1 Minute");
    SAYS(bk_word_since(busy, now - 12 * MINUTE, now), "for 12 minutes", "seit 12 Minuten");
    SAYS(bk_word_since(busy, now - 60 * MINUTE, now), "for 1 hour", "seit 1 Stunde");
    SAYS(bk_word_since(busy, now - 23 * HOUR, now), "for 23 hours", "seit 23 Stunden");
    SAYS(bk_word_since(busy, now - 24 * HOUR, now), "for 1 day", "seit 1 Tag");
    SAYS(bk_word_since(busy, now - 72 * HOUR, now), "for 3 days", "seit 3 Tagen");
    SAYS(bk_word_since(gone, now - MINUTE, now), "last seen 1 minute ago",
         "zuletzt gesehen vor 1 Minute");
    SAYS(bk_word_since(gone, now - 5 * HOUR, now), "last seen 5 hours ago",
         "zuletzt gesehen vor 5 Stunden");
    SAYS(bk_word_since(gone, now - 48 * HOUR, now), "last seen 2 days ago",
         "zuletzt gesehen vor 2 Tagen");
}

static void how_long_is_not_told_where_it_says_nothing(void **state)
{
    (void)state;
    SAYS(bk_word_since(BK_PIDF_SHOWN_BUSY, 0, now), "", "");
    SAYS(bk_word_since(BK_PIDF_SHOWN_BUSY, now + HOUR, now), "",
         ""); /* the server's clock is ahead */
    SAYS(bk_word_since(BK_PIDF_SHOWN_UNKNOWN, now - HOUR, now), "", "");
    SAYS(bk_word_since(BK_PIDF_SHOWN_BUSY, INT64_MIN, now), "", "");
    SAYS(bk_word_since(BK_PIDF_SHOWN_BUSY, 1, now), "", ""); /* 1970 */
}

static void progress_says_what_is_waited_for(void **state)
{
    (void)state;
    SAYS(bk_word_progress(BK_CLIENT_RESOLVING, "", 0), "Looking for your server",
         "Ihr Server wird gesucht");
    SAYS(bk_word_progress(BK_CLIENT_CONTACTING, "srv.example.org:5061", 0),
         "Contacting srv.example.org", "Verbindung mit srv.example.org wird hergestellt");
    SAYS(bk_word_progress(BK_CLIENT_CONTACTING, "srv.example.org:443", 0),
         "Contacting srv.example.org:443", "Verbindung mit srv.example.org:443 wird hergestellt");
    SAYS(bk_word_progress(BK_CLIENT_RECONNECTING, NULL, 1), "Trying again in 1 second",
         "Neuer Versuch in 1 Sekunde");
    SAYS(bk_word_progress(BK_CLIENT_RECONNECTING, "", 8), "Trying again in 8 seconds",
         "Neuer Versuch in 8 Sekunden");
    SAYS(bk_word_progress(BK_CLIENT_CONTACTING, "still waiting for a connection: srv:5061", 0),
         "Still waiting for a connection (srv)", "Es wird noch auf eine Verbindung gewartet (srv)");
    SAYS(bk_word_progress(BK_CLIENT_REGISTERING, "still waiting for the server's answer", 0),
         "Still waiting for the server's answer",
         "Es wird noch auf die Antwort des Servers gewartet");
    SAYS(bk_word_progress(BK_CLIENT_IDLE, "", 0), "", "");
    for (int i = BK_CLIENT_RESOLVING; i < BK_CLIENT_SIGNED_OUT; i++) {
        g_autofree char *said = bk_word_progress((enum bk_client_state)i, "", 0);
        assert_true(*said);
    }
}

/* ---- failures ---- */

static const struct bk_client_value values[] = {
    { "server", "srv.example.org:5061" },
    { "minutes", "15" },
    { "domain", "example.org" },
    { "address", ANN },
    { "seconds", "9" },
    { "why", "it is too short" },
};

static struct bk_client_failure failure_of(const struct bk_record *record)
{
    return (struct bk_client_failure){
        .record = record,
        .id = "SI-000",
        .case_code = "K7QF-3M2P",
        .user_text = "?",
        .user_does = "?",
        .admin_text = "for the administrator",
        .detail = "",
        .values = values,
        .n_values = G_N_ELEMENTS(values),
    };
}

static void a_failure_is_told_with_its_values(void **state)
{
    (void)state;
    struct bk_client_failure f = failure_of(bk_record_find(207, 0));
    f.user_text = "There were too many wrong tries; signing in is paused for 15 minutes.";
    f.user_does = "Wait, then try again with care, or ask support.";
    SAYS(bk_word_failure(&f), f.user_text,
         "Es gab zu viele falsche Versuche. Die Anmeldung ist für 15 Minuten gesperrt.");
    SAYS(bk_word_failure_does(&f), f.user_does,
         "Warten Sie, versuchen Sie es dann mit Bedacht erneut, oder fragen Sie den Support.");
}

static void reasons_in_a_sentence_are_translated_too(void **state)
{
    (void)state;
    struct bk_client_failure f = failure_of(bk_record_find(224, 0));
    f.user_text = "The new password was not accepted: it is too short.";
    SAYS(bk_word_failure(&f), f.user_text,
         "Das neue Passwort wurde nicht angenommen: es ist zu kurz.");
}

static void the_servers_own_words_stay_as_they_are(void **state)
{
    (void)state;
    struct bk_client_failure f = failure_of(bk_record_find(208, 0));
    f.user_text = "Closed on Friday; call 4711.";
    f.other_words = true;
    SAYS(bk_word_failure(&f), "Closed on Friday; call 4711.", "Closed on Friday; call 4711.");
}

static void no_record_leaves_a_placeholder_open(void **state)
{
    (void)state;
    for (size_t i = 0; bk_record_at(i); i++) {
        struct bk_client_failure f = failure_of(bk_record_at(i));
        g_autofree char *says = bk_word_failure(&f);
        g_autofree char *does = bk_word_failure_does(&f);
        assert_true(*says && *does);
        assert_null(strpbrk(says, "{}"));
        if (german && (strchr(says, '?') || strchr(does, '?')))
            fail_msg("%s: not translated, or without its values: %s %s", bk_record_at(i)->slug,
                     says, does);
    }
}

static void what_the_core_says_is_found_again(void **state)
{
    (void)state;
    SAYS(bk_word_said("The password was changed."), "The password was changed.",
         "Das Passwort wurde geändert.");
    SAYS(bk_word_said("not revoked: HTTP status 500"), "not revoked: HTTP status 500",
         "nicht widerrufen: HTTP-Status 500");
    SAYS(bk_word_said("No server is published for the domain example.org."),
         "No server is published for the domain example.org.",
         "Für die Domäne example.org ist kein Server veröffentlicht.");
    SAYS(bk_word_said("Something unheard of."), "Something unheard of.", "Something unheard of.");
    SAYS(bk_word_said(""), "", "");
    SAYS(bk_word_said(NULL), "", "");
}

static void details_hold_what_support_needs(void **state)
{
    (void)state;
    static const struct bk_client_step steps[] = {
        { "SRV", "_sip._tls.example.org", "no such name", "" },
        { "connect", "srv:5061", "refused", "ECONNREFUSED" },
    };
    struct bk_client_failure f = failure_of(bk_record_find(302, 0));
    f.id = "SI-302";
    f.detail = "errno 111";
    f.steps = steps;
    f.n_steps = 2;
    g_autofree char *text = bk_word_failure_details(&f);
    static const char *const parts[] = { "K7QF-3M2P",
                                         "SI-302",
                                         "for the administrator",
                                         "errno 111",
                                         "Beckon " BK_VERSION,
                                         "1. SRV _sip._tls.example.org: no such name\n",
                                         "2. connect srv:5061: refused (ECONNREFUSED)\n" };
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
        if (!strstr(text, parts[i]))
            fail_msg("%s is not in: %s", parts[i], text);
}

/* ---- times ---- */

static void days_are_counted_by_the_calendar(void **state)
{
    (void)state;
    int64_t midnight = 1795305600000; /* 2026-11-22 00:00 UTC, a Sunday */
    SAYS(bk_word_day(midnight, now), "Today", "Heute");
    SAYS(bk_word_day(midnight - 1, now), "Yesterday", "Gestern");
    SAYS(bk_word_day(midnight - 24 * HOUR, now), "Yesterday", "Gestern");
    /* The names of days are the locale's, which here is C. */
    SAYS(bk_word_day(midnight - 24 * HOUR - 1, now), "Friday, 20 November", "Friday, 20. November");
    SAYS(bk_word_day(midnight - 365LL * 24 * HOUR, now), "Saturday, 22 November 2025",
         "Saturday, 22. November 2025");
    SAYS(bk_word_day(INT64_MAX, now), "", "");
    SAYS(bk_word_time(midnight + 14 * HOUR + 5 * MINUTE), "14:05", "14:05");
    SAYS(bk_word_time(INT64_MAX), "", "");
}

static void every_relation_has_a_word(void **state)
{
    (void)state;
    static const int levels[] = { 0, 100, 200, 300, 400, 32000 };
    g_autoptr(GHashTable) words = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < G_N_ELEMENTS(levels); i++)
        assert_true(g_hash_table_add(words, (gpointer)bk_word_relation(levels[i])));
    assert_string_equal(bk_word_relation(7), bk_word_relation(0));
}

int main(int argc, char **argv)
{
    german = argc > 1 && strcmp(argv[1], "de") == 0;
    g_setenv("TZ", "UTC", TRUE);
    g_setenv("LC_ALL", "C.UTF-8", TRUE);
    g_setenv("LANGUAGE", german ? "de" : "en", TRUE);
    setlocale(LC_ALL, "");
    bindtextdomain("beckon", g_getenv("BECKON_LOCALE_DIR"));
    bind_textdomain_codeset("beckon", "UTF-8");
    textdomain("beckon");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_has_a_word_an_icon_and_a_class),
        cmocka_unit_test(every_status_one_can_choose_has_a_word),
        cmocka_unit_test(how_long_is_told_from_a_minute_on),
        cmocka_unit_test(how_long_is_not_told_where_it_says_nothing),
        cmocka_unit_test(progress_says_what_is_waited_for),
        cmocka_unit_test(a_failure_is_told_with_its_values),
        cmocka_unit_test(reasons_in_a_sentence_are_translated_too),
        cmocka_unit_test(the_servers_own_words_stay_as_they_are),
        cmocka_unit_test(no_record_leaves_a_placeholder_open),
        cmocka_unit_test(what_the_core_says_is_found_again),
        cmocka_unit_test(details_hold_what_support_needs),
        cmocka_unit_test(days_are_counted_by_the_calendar),
        cmocka_unit_test(every_relation_has_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
