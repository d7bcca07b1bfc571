/* SPDX-License-Identifier: Apache-2.0 */
/* What was said is on disk when it is called so, survives the end of the program, and goes when it shall. */
#include "client/client.h"
#include "desktop/history.h"
#include "fakes/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANN "ann@example.org"
#define BOB "bob@example.org"
#define CAROL "carol@example.org"

static char folder[FOLDER_SIZE];
static const char *program;

static int make(void **state)
{
    (void)state;
    folder_make(folder, "history");
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    assert_true(bk_history_wait(10000));
    return folder_remove(folder);
}

/* ---- waiting ---- */

static void take_result(GObject *source, GAsyncResult *result, gpointer user_data)
{
    (void)source;
    *(GAsyncResult **)user_data = g_object_ref(result);
}

static GAsyncResult *wait_result(GAsyncResult **result)
{
    while (!*result)
        g_main_context_iteration(NULL, TRUE);
    return *result;
}

static void flush(BkHistory *history)
{
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GError) error = NULL;
    bk_history_flush_async(history, take_result, &result);
    assert_true(bk_history_flush_finish(history, wait_result(&result), &error));
}

static void close_history(BkHistory *history)
{
    g_object_unref(history);
    assert_true(bk_history_wait(10000));
}

static int64_t add_line(BkHistory *history, const struct bk_history_line *line, bool *ret_new,
                        GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;
    bk_history_add_async(history, line, take_result, &result);
    return bk_history_add_finish(history, wait_result(&result), ret_new, error);
}

static int64_t add(BkHistory *history, const char *peer, const char *text, bool mine)
{
    struct bk_history_line line = { .peer = (char *)(uintptr_t)peer,
                                    .text = (char *)(uintptr_t)text,
                                    .mine = mine,
                                    .state = BK_CLIENT_SENT,
                                    .at_ms = 1700000000000 };
    g_autoptr(GError) error = NULL;
    int64_t row = add_line(history, &line, NULL, &error);
    if (error)
        fail_msg("%s", error->message);
    return row;
}

static GPtrArray *load(BkHistory *history, const char *peer, int64_t before, unsigned n)
{
    g_autoptr(GAsyncResult) result = NULL;
    bk_history_load_async(history, peer, before, n, take_result, &result);
    GPtrArray *lines = bk_history_lines_finish(history, wait_result(&result), NULL);
    assert_non_null(lines);
    return lines;
}

static GPtrArray *search(BkHistory *history, const char *text)
{
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GError) error = NULL;
    bk_history_search_async(history, text, NULL, take_result, &result);
    GPtrArray *lines = bk_history_lines_finish(history, wait_result(&result), &error);
    assert_null(error);
    return lines;
}

static const struct bk_history_line *at(GPtrArray *lines, unsigned i)
{
    assert_true(i < lines->len);
    return lines->pdata[i];
}

static char *path_of(const char *end)
{
    return g_strdup_printf("%s/%s/history.db%s", folder, ANN, end);
}

/* Is it anywhere in the files? */
static bool is_on_disk(const char *text)
{
    static const char *const ends[] = { "", "-wal" };
    bool found = false;
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        g_autofree char *path = path_of(ends[i]);
        g_autofree char *bytes = NULL;
        size_t len;
        if (g_file_get_contents(path, &bytes, &len, NULL))
            found |= memmem(bytes, len, text, strlen(text)) != NULL;
    }
    return found;
}

/* ---- the promises ---- */

static void what_was_said_comes_back_as_it_was(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    struct bk_history_line line = {
        .key = "k1",
        .peer = BOB,
        .text = "Gr\303\274\303\237e \360\237\231\202\n'; DROP TABLE line; --",
        .delayed = true,
        .state = BK_CLIENT_SENT,
        .at_ms = 1700000000123
    };
    bool is_new = false;
    int64_t first = add_line(history, &line, &is_new, NULL);
    assert_true(first > 0 && is_new);
    int64_t second = add(history, BOB, "and then", true);
    bk_history_set_state(history, second, BK_CLIENT_FAILED, 1800000000000, "why", "does", "BK-1");
    add(history, CAROL, "somebody else", false);
    close_history(history);

    history = bk_history_new(folder, ANN);
    g_autoptr(GPtrArray) lines = load(history, BOB, 0, 10);
    assert_int_equal(lines->len, 2);
    assert_int_equal(at(lines, 0)->row, first);
    assert_string_equal(at(lines, 0)->text, line.text);
    assert_string_equal(at(lines, 0)->key, "k1");
    assert_true(at(lines, 0)->delayed && !at(lines, 0)->mine);
    assert_int_equal(at(lines, 0)->at_ms, line.at_ms);
    assert_true(at(lines, 1)->mine);
    assert_int_equal(at(lines, 1)->state, BK_CLIENT_FAILED);
    assert_int_equal(at(lines, 1)->at_ms, 1800000000000);
    assert_string_equal(at(lines, 1)->why, "why");
    assert_string_equal(at(lines, 1)->does, "does");
    assert_string_equal(at(lines, 1)->case_code, "BK-1");
    close_history(history);
}

static void older_lines_come_in_pages(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    for (int i = 0; i < 25; i++) {
        g_autofree char *text = g_strdup_printf("line %d", i);
        add(history, i % 2 ? CAROL : BOB, text, i % 3 == 0);
    }
    int64_t before = 0;
    GString *seen = g_string_new(NULL);
    for (;;) {
        g_autoptr(GPtrArray) lines = load(history, BOB, before, 5);
        if (!lines->len)
            break;
        before = at(lines, 0)->row;
        GString *page = g_string_new(NULL);
        for (unsigned i = 0; i < lines->len; i++)
            g_string_append_printf(page, "%s,", at(lines, i)->text + 5);
        g_string_prepend(seen, page->str);
        g_string_free(page, TRUE);
    }
    assert_string_equal(seen->str, "0,2,4,6,8,10,12,14,16,18,20,22,24,");
    g_string_free(seen, TRUE);

    g_autoptr(GPtrArray) all = load(history, BOB, 0, 100);
    g_autoptr(GAsyncResult) result = NULL;
    bk_history_load_from_async(history, BOB, at(all, 3)->row, at(all, 7)->row, take_result,
                               &result);
    g_autoptr(GPtrArray) some = bk_history_lines_finish(history, wait_result(&result), NULL);
    g_clear_object(&result);
    assert_int_equal(some->len, 4);
    assert_int_equal(at(some, 0)->row, at(all, 3)->row);
    assert_int_equal(at(some, 3)->row, at(all, 6)->row);
    close_history(history);
}

static void a_message_that_comes_again_has_one_row(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    struct bk_history_line line = { .key = "one", .peer = BOB, .text = "once" };
    bool is_new = false;
    int64_t row = add_line(history, &line, &is_new, NULL);
    assert_true(is_new);
    close_history(history);
    history = bk_history_new(folder, ANN);
    assert_int_equal(add_line(history, &line, &is_new, NULL), row);
    assert_false(is_new);
    line.key = NULL; /* the user's own have none, and may say the same twice */
    assert_true(add_line(history, &line, &is_new, NULL) > row && is_new);
    assert_true(add_line(history, &line, &is_new, NULL) > row + 1 && is_new);
    g_autoptr(GPtrArray) lines = load(history, BOB, 0, 10);
    assert_int_equal(lines->len, 3);
    close_history(history);
}

static void the_files_are_private(void **state)
{
    (void)state;
    mode_t mask = umask(0);
    BkHistory *history = bk_history_new(folder, ANN);
    add(history, BOB, "x", true);
    static const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        g_autofree char *path = path_of(ends[i]);
        GStatBuf st;
        assert_int_equal(g_stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    g_autofree char *dir = g_build_filename(folder, ANN, NULL);
    GStatBuf st;
    assert_int_equal(g_stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    umask(mask);
    close_history(history);
}

static void addresses_that_are_no_folder_names_are_refused(void **state)
{
    (void)state;
    assert_null(bk_history_new(folder, "../ann@example.org"));
    assert_null(bk_history_new(folder, "a/b@example.org"));
    assert_null(bk_history_new(folder, ".."));
    assert_null(bk_history_new(folder, ""));
    assert_int_equal(bk_history_delete(folder, ".."), -EINVAL);
}

static void who_only_asks_leaves_no_file(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    g_autoptr(GPtrArray) none = load(history, BOB, 0, 10);
    assert_int_equal(none->len, 0);
    bk_history_set_draft(history, BOB, "");
    bk_history_set_enabled(history, false);
    assert_int_equal(add(history, BOB, "off", true), 0);
    flush(history);
    g_autofree char *dir = g_build_filename(folder, ANN, NULL);
    assert_false(g_file_test(dir, G_FILE_TEST_EXISTS));
    bk_history_set_enabled(history, true);
    assert_true(add(history, BOB, "on", true) > 0);
    assert_true(is_on_disk("on"));
    close_history(history);
}

/* The program that is killed: says the number of each line that is on disk. */
static int write_until_killed(const char *where)
{
    (void)snprintf(folder, sizeof folder, "%s", where);
    BkHistory *history = bk_history_new(folder, ANN);
    g_autofree char *filler = g_strnfill(3000, 'x');
    for (int i = 0;; i++) {
        g_autofree char *text = g_strdup_printf("%d %s", i, filler);
        bk_history_set_draft(history, BOB, text);
        if (add(history, BOB, text, i % 2) <= 0)
            return 1;
        printf("%d\n", i);
        fflush(stdout);
    }
}

static int kill_after(int n)
{
    g_autofree char *command = g_strdup_printf("exec '%s' --write '%s'", program, folder);
    GPid pid;
    int out;
    char *argv[] = { "sh", "-c", command, NULL };
    assert_true(g_spawn_async_with_pipes(NULL, argv, NULL,
                                         G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                         NULL, &pid, NULL, &out, NULL, NULL));
    FILE *lines = fdopen(out, "r");
    char line[32];
    int last = -1, status;
    while (fgets(line, sizeof line, lines)) {
        last = atoi(line);
        if (last == n)
            kill(pid, SIGKILL); /* and what it managed to say until then counts, too */
    }
    fclose(lines);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    return last;
}

static void what_was_answered_survives_a_kill(void **state)
{
    (void)state;
    unsigned whole = 0;
    for (int round = 0; round < 3; round++) {
        int last = kill_after(20 + 17 * round);
        BkHistory *history = bk_history_new(folder, ANN);
        g_autoptr(GPtrArray) lines = load(history, BOB, 0, 10000);
        assert_true(lines->len >= whole + (unsigned)last + 1);
        assert_true(lines->len <= whole + (unsigned)last + 2); /* one written, not yet said */
        for (unsigned i = whole; i < lines->len; i++)
            assert_int_equal(atoi(at(lines, i)->text), i - whole);
        whole = lines->len;
        g_autoptr(GPtrArray) found = search(history, "xxxx");
        assert_int_equal(found->len, MIN(whole, 200));
        close_history(history);
    }
}

static void count(BkHistory *history, gpointer n)
{
    (void)history;
    ++*(int *)n;
}

static void damage_at(long offset)
{
    g_autofree char *path = path_of("");
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    for (int i = 0; i < 4096; i++)
        fputc("garbage "[i % 8], file);
    fclose(file);
}

static void a_damaged_file_is_put_aside_and_told(void **state)
{
    (void)state;
    static const long offsets[] = { 0, 4096, 8192 };
    for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
        BkHistory *history = bk_history_new(folder, ANN);
        for (int n = 0; n < 20; n++)
            add(history, BOB, "an old line that is long enough to fill some pages of the file",
                true);
        close_history(history);
        damage_at(offsets[i]);

        int damaged = 0;
        history = bk_history_new(folder, ANN);
        g_signal_connect(history, "damaged", G_CALLBACK(count), &damaged);
        assert_true(add(history, BOB, "a new line", true) > 0);
        g_autoptr(GPtrArray) lines = load(history, BOB, 0, 100);
        assert_true(lines->len >= 1);
        assert_string_equal(at(lines, lines->len - 1)->text, "a new line");
        flush(history);
        assert_int_equal(damaged, 1);
        g_autofree char *aside = path_of(".damaged");
        g_autofree char *bytes = NULL;
        assert_true(g_file_get_contents(aside, &bytes, NULL, NULL));
        close_history(history);
        assert_true(bk_history_size(folder, ANN) > 8192);
        assert_int_equal(bk_history_delete(folder, ANN), 1);
        assert_int_equal(bk_history_size(folder, ANN), 0);
        assert_int_equal(bk_history_delete(folder, ANN), 0);
    }
}

static void take_trouble(BkHistory *history, const char *text, gpointer user_data)
{
    (void)history;
    g_string_append_printf(user_data, "%s", text ? text : "fine");
}

static void a_file_of_a_newer_program_is_left_alone(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    add(history, BOB, "kept", true);
    close_history(history);
    g_autofree char *path = path_of("");
    FILE *file = fopen(path, "r+");
    assert_int_equal(fseek(file, 60 + 3, SEEK_SET), 0); /* user_version, in the file's header */
    fputc(9, file);
    fclose(file);

    GString *trouble = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    struct bk_history_line line = { .peer = BOB, .text = "not written" };
    history = bk_history_new(folder, ANN);
    g_signal_connect(history, "trouble", G_CALLBACK(take_trouble), trouble);
    assert_int_equal(add_line(history, &line, NULL, &error), -1);
    assert_true(g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED));
    while (!trouble->len)
        g_main_context_iteration(NULL, TRUE);
    assert_non_null(strstr(trouble->str, "newer version"));
    close_history(history);
    assert_true(is_on_disk("kept"));
    g_string_free(trouble, TRUE);
}

static void a_full_disk_is_told_and_so_is_its_end(void **state)
{
    (void)state;
    GString *trouble = g_string_new(NULL);
    BkHistory *history = bk_history_new(folder, ANN);
    g_signal_connect(history, "trouble", G_CALLBACK(take_trouble), trouble);
    add(history, BOB, "before", true);

    struct rlimit old, small = { .rlim_cur = 200 * 1024 };
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    g_autofree char *big = g_strnfill(300 * 1024, 'b');
    struct bk_history_line line = { .peer = BOB, .text = big };
    g_autoptr(GError) error = NULL;
    assert_int_equal(add_line(history, &line, NULL, &error), -1);
    assert_non_null(error);
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GError) flush_error = NULL;
    bk_history_flush_async(history, take_result, &result);
    assert_false(bk_history_flush_finish(history, wait_result(&result), &flush_error));
    g_clear_object(&result);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);

    assert_true(add_line(history, &line, NULL, NULL) > 0);
    while (!g_str_has_suffix(trouble->str, "fine"))
        g_main_context_iteration(NULL, TRUE);
    assert_true(trouble->len > 4);
    g_autoptr(GPtrArray) lines = load(history, BOB, 0, 10);
    assert_int_equal(lines->len, 2);
    flush(history);
    close_history(history);
    g_string_free(trouble, TRUE);
}

static void switched_off_it_writes_nothing_but_drafts(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    bk_history_set_enabled(history, false);
    assert_int_equal(add(history, BOB, "a secret line", true), 0);
    bk_history_set_draft(history, BOB, "half a sentence");
    flush(history);
    assert_false(is_on_disk("secret"));
    assert_true(is_on_disk("half a sentence"));
    bk_history_set_enabled(history, true);
    assert_true(add(history, BOB, "an open line", true) > 0);
    assert_true(is_on_disk("an open line"));
    close_history(history);
}

static void drafts_stay_until_they_are_emptied(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    bk_history_set_draft(history, BOB, "one");
    bk_history_set_draft(history, BOB, "two");
    bk_history_set_draft(history, CAROL, "three");
    bk_history_set_draft(history, CAROL, "");
    close_history(history);
    history = bk_history_new(folder, ANN);
    g_autoptr(GAsyncResult) result = NULL;
    bk_history_drafts_async(history, take_result, &result);
    g_autoptr(GHashTable) drafts = bk_history_drafts_finish(history, wait_result(&result), NULL);
    g_clear_object(&result);
    assert_int_equal(g_hash_table_size(drafts), 1);
    assert_string_equal(g_hash_table_lookup(drafts, BOB), "two");
    close_history(history);
}

static void what_was_not_read_is_counted_over_starts(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    int64_t row = add(history, BOB, "1", false);
    add(history, BOB, "mine does not count", true);
    add(history, BOB, "2", false);
    add(history, CAROL, "3", false);
    bk_history_set_read(history, CAROL, add(history, CAROL, "4", false));
    bk_history_set_read(history, BOB, row);
    close_history(history);
    history = bk_history_new(folder, ANN);
    g_autoptr(GAsyncResult) result = NULL;
    bk_history_unread_async(history, take_result, &result);
    g_autoptr(GHashTable) unread = bk_history_unread_finish(history, wait_result(&result), NULL);
    g_clear_object(&result);
    assert_int_equal(g_hash_table_size(unread), 1);
    assert_int_equal(GPOINTER_TO_UINT(g_hash_table_lookup(unread, BOB)), 1);
    close_history(history);
}

static void search_finds_any_characters_in_any_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *finds;
    } rows[] = {
        { "meeting", "Meeting at ten" },
        { "EETIN", "Meeting at ten" },
        { "ten meet", "Meeting at ten" },
        { "at ten", "Meeting at ten" },
        { "\"quoted\"", "she said \"quoted\" twice" },
        { "it's", "it's OR NOT it AND (that*" },
        { "OR NOT", "it's OR NOT it AND (that*" },
        { "(that*", "it's OR NOT it AND (that*" },
        { "100%", "100% sure_thing" },
        { "sure_t", "100% sure_thing" },
        { "%", "100% sure_thing" },
        { "c:\\dir", "C:\\dir\\file -- ; DROP" },
        { "-- ;", "C:\\dir\\file -- ; DROP" },
        { "\303\234BUNG", "\303\274bung macht den Meister" },
        { "\344\274\232", "\344\270\213\345\215\210\344\274\232\350\256\256" },
        { "\345\215\210\344\274\232\350\256\256",
          "\344\270\213\345\215\210\344\274\232\350\256\256" },
        { "\360\237\231\202", "smile \360\237\231\202" },
    };
    BkHistory *history = bk_history_new(folder, ANN);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (i == 0 || strcmp(rows[i].finds, rows[i - 1].finds) != 0)
            add(history, BOB, rows[i].finds, true);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GPtrArray) found = search(history, rows[i].text);
        if (found->len != 1)
            fail_msg("%s found %u", rows[i].text, found->len);
        assert_string_equal(at(found, 0)->text, rows[i].finds);
    }
    static const char *const nothing[] = { "",   "   ",  "xyzzy", "ten xyzzy",
                                           "\"", "^ten", "zz",    "\"\"\"\"" };
    for (size_t i = 0; i < G_N_ELEMENTS(nothing); i++) {
        g_autoptr(GPtrArray) found = search(history, nothing[i]);
        bool quote = strcmp(nothing[i], "\"") == 0;
        assert_int_equal(found->len, quote ? 1 : 0);
    }
    /* Every byte, valid or not, alone and in threes. */
    for (int c = 1; c < 256; c++) {
        char one[] = { (char)c, 0 }, three[] = { (char)c, (char)c, (char)c, 0 };
        g_autoptr(GPtrArray) found = search(history, one);
        g_autoptr(GPtrArray) more = search(history, three);
        assert_non_null(found);
        assert_non_null(more);
    }
    close_history(history);
}

static void the_newest_line_of_each_is_told(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    add(history, BOB, "old", false);
    add(history, CAROL, "from carol", false);
    add(history, BOB, "new", false);
    g_autoptr(GAsyncResult) result = NULL;
    bk_history_recent_async(history, 10, take_result, &result);
    g_autoptr(GPtrArray) lines = bk_history_lines_finish(history, wait_result(&result), NULL);
    g_clear_object(&result);
    assert_int_equal(lines->len, 2);
    assert_string_equal(at(lines, 0)->text, "new");
    assert_string_equal(at(lines, 1)->text, "from carol");
    close_history(history);
}

static void a_forgotten_conversation_leaves_nothing_in_the_file(void **state)
{
    (void)state;
    BkHistory *history = bk_history_new(folder, ANN);
    int64_t row = 0;
    for (int i = 0; i < 50; i++) {
        row = add(history, BOB, "Wednesdayish plan", false);
        add(history, CAROL, "stays here", false);
    }
    bk_history_set_read(history, BOB, row);
    bk_history_set_draft(history, BOB, "Thursdayish plan");
    flush(history);
    assert_true(is_on_disk("Wednesdayish") && is_on_disk("Thursdayish") && is_on_disk(BOB));
    g_autoptr(GAsyncResult) result = NULL;
    bk_history_forget_async(history, BOB, take_result, &result);
    assert_true(bk_history_forget_finish(history, wait_result(&result), NULL));
    g_clear_object(&result);
    static const char *const gone[] = { "Wednesdayish", "Thursdayish", BOB, "sda" };
    for (size_t i = 0; i < G_N_ELEMENTS(gone); i++)
        assert_false(is_on_disk(gone[i]));
    g_autoptr(GPtrArray) found = search(history, "stays");
    assert_int_equal(found->len, 50);
    g_autoptr(GPtrArray) lines = load(history, BOB, 0, 10);
    assert_int_equal(lines->len, 0);

    int64_t one = add(history, BOB, "retried", true);
    bk_history_remove(history, one);
    g_autoptr(GPtrArray) none = load(history, BOB, 0, 10);
    assert_int_equal(none->len, 0);
    close_history(history);
}

static void take_number(GObject *source, GAsyncResult *result, gpointer user_data)
{
    assert_true(bk_history_add_finish(BK_HISTORY(source), result, NULL, NULL) > 0);
    g_array_append_val((GArray *)user_data, (int){ ((GArray *)user_data)->len });
}

static void answers_come_in_order_and_the_object_may_go_before_them(void **state)
{
    (void)state;
    GArray *answers = g_array_new(FALSE, FALSE, sizeof(int));
    BkHistory *history = bk_history_new(folder, ANN);
    struct bk_history_line line = { .peer = BOB, .text = "x" };
    for (int i = 0; i < 1000; i++)
        bk_history_add_async(history, &line, take_number, answers);
    bk_history_set_draft(history, BOB, "last words");
    g_object_unref(history);
    while (answers->len < 1000)
        g_main_context_iteration(NULL, TRUE);
    g_array_unref(answers);
    assert_true(bk_history_wait(10000));
    assert_true(is_on_disk("last words"));
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return write_until_killed(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_said_comes_back_as_it_was, make, unmake),
        cmocka_unit_test_setup_teardown(older_lines_come_in_pages, make, unmake),
        cmocka_unit_test_setup_teardown(a_message_that_comes_again_has_one_row, make, unmake),
        cmocka_unit_test_setup_teardown(the_files_are_private, make, unmake),
        cmocka_unit_test_setup_teardown(addresses_that_are_no_folder_names_are_refused, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(who_only_asks_leaves_no_file, make, unmake),
        cmocka_unit_test_setup_teardown(what_was_answered_survives_a_kill, make, unmake),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_put_aside_and_told, make, unmake),
        cmocka_unit_test_setup_teardown(a_file_of_a_newer_program_is_left_alone, make, unmake),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told_and_so_is_its_end, make, unmake),
        cmocka_unit_test_setup_teardown(switched_off_it_writes_nothing_but_drafts, make, unmake),
        cmocka_unit_test_setup_teardown(drafts_stay_until_they_are_emptied, make, unmake),
        cmocka_unit_test_setup_teardown(what_was_not_read_is_counted_over_starts, make, unmake),
        cmocka_unit_test_setup_teardown(search_finds_any_characters_in_any_place, make, unmake),
        cmocka_unit_test_setup_teardown(the_newest_line_of_each_is_told, make, unmake),
        cmocka_unit_test_setup_teardown(a_forgotten_conversation_leaves_nothing_in_the_file, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(answers_come_in_order_and_the_object_may_go_before_them,
                                        make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
