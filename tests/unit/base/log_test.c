/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/text.h"

#include <pthread.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

/* Everything written so far, without the time at the front, which is checked. */
struct sink {
    char *text;
    size_t len;
    struct bk_log log;
};

static void sink_open(struct sink *sink, bool json)
{
    sink->log = (struct bk_log){ BK_LOG_INFO, json, open_memstream(&sink->text, &sink->len) };
    assert_non_null(sink->log.to);
}

static void sink_close(struct sink *sink)
{
    fclose(sink->log.to);
    free(sink->text);
}

/* The last line, behind its time; the stream starts anew. */
static const char *last_line(struct sink *sink)
{
    fflush(sink->log.to);
    static char line[8192];
    size_t before = sink->log.json ? sizeof "{\"time\":\"" - 1 : 0;
    assert_true(sink->len > before + 24 && sink->len < sizeof line);
    int64_t ms;
    assert_int_equal(bk_time_iso_parse((struct bk_view){ sink->text + before, 24 }, &ms), 0);
    memcpy(line, sink->text + before + 24, sink->len - before - 24);
    line[sink->len - before - 24] = '\0';
    rewind(sink->log.to);
    return line;
}

static void a_line_has_time_level_what_and_fields(void **state)
{
    (void)state;
    struct sink sink;
    sink_open(&sink, false);
    bk_log(&sink.log, BK_LOG_NOTICE, "registration refused", "aor", "ann@example.org", "reason",
           "wrong password", "endpoint", (const char *)NULL);
    assert_string_equal(last_line(&sink),
                        " notice registration refused aor=ann@example.org reason=\"wrong password\""
                        " endpoint=-\n");
    bk_log(&sink.log, BK_LOG_ERROR, "no fields");
    assert_string_equal(last_line(&sink), " error no fields\n");
    sink_close(&sink);
}

static void values_are_quoted_where_a_reader_could_err(void **state)
{
    (void)state;
    static const struct {
        const char *value, *text, *json;
    } cases[] = {
        { "plain-value_1@x.y:5061;a=b", "plain-value_1@x.y:5061;a=b",
          "\"plain-value_1@x.y:5061;a=b\"" },
        { "", "\"\"", "\"\"" },
        { "a b", "\"a b\"", "\"a b\"" },
        { "a\"b\\c", "\"a\\\"b\\\\c\"", "\"a\\\"b\\\\c\"" },
        { "a\r\nb\t", "\"a\\r\\nb\\t\"", "\"a\\r\\nb\\t\"" },
        { "\x1b[31m\x7f", "\"\\x1b[31m\\x7f\"", "\"\\u001b[31m\\u007f\"" },
        { "J\xc3\xb6rg", "\"J\xc3\xb6rg\"", "\"J\xc3\xb6rg\"" },
        { "\xc2\x9b"
          "1m",
          "\"\\xc2\\x9b1m\"", "\"\\ufffd\\ufffd1m\"" },
        { "\xff\xc3", "\"\\xff\\xc3\"", "\"\\ufffd\\ufffd\"" },
    };
    struct sink text, json;
    sink_open(&text, false);
    sink_open(&json, true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[200];
        bk_log(&text.log, BK_LOG_INFO, "x", "k", cases[i].value);
        snprintf(want, sizeof want, " info x k=%s\n", cases[i].text);
        assert_string_equal(last_line(&text), want);
        bk_log(&json.log, BK_LOG_INFO, "x", "k", cases[i].value);
        snprintf(want, sizeof want, "\",\"level\":\"info\",\"what\":\"x\",\"k\":%s}\n",
                 cases[i].json);
        assert_string_equal(last_line(&json), want);
    }
    sink_close(&text);
    sink_close(&json);
}

static void a_value_is_cut_but_no_character_in_two(void **state)
{
    (void)state;
    struct sink sink;
    sink_open(&sink, false);
    for (size_t shift = 0; shift < 3; shift++) {
        char value[600] = "", *at = value;
        for (size_t i = 0; i < shift; i++)
            *at++ = 'a';
        for (int i = 0; i < 150; i++, at += 3)
            memcpy(at, "\xe4\xbd\xa0", 4);
        bk_log(&sink.log, BK_LOG_INFO, "x", "k", value);
        const char *line = last_line(&sink);
        struct bk_view written =
            bk_view_trim(bk_view_skip(bk_view_of_str(line), strlen(" info x k=")));
        assert_in_range(written.len, 254 + 2, 256 + 2);
        assert_true(bk_utf8_valid(written));
        assert_int_equal(bk_view_find(written, '\\'), written.len);
    }
    sink_close(&sink);
}

static void a_line_too_long_leaves_out_whole_fields_and_says_so(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        struct sink sink;
        sink_open(&sink, json);
        char value[300];
        memset(value, 1, sizeof value - 1);
        value[sizeof value - 1] = '\0';
        bk_log(&sink.log, BK_LOG_INFO, "x", "a", value, "b", value, "c", value, "d", value, "e",
               value, "f", value, "g", value, "h", value);
        const char *line = last_line(&sink);
        struct bk_view v = bk_view_of_str(line);
        assert_true(
            bk_view_ends_with(v, json ? BK_VIEW("\",\"cut\":\"1\"}\n") : BK_VIEW("\" cut=1\n")));
        assert_in_range(v.len, 2000, 4096);
        assert_int_equal(bk_view_find(v, '\n'), v.len - 1);
        sink_close(&sink);
    }
}

static void less_important_lines_are_dropped(void **state)
{
    (void)state;
    struct sink sink;
    sink_open(&sink, false);
    sink.log.level = BK_LOG_WARNING;
    bk_log(&sink.log, BK_LOG_NOTICE, "dropped");
    fflush(sink.log.to);
    assert_int_equal(sink.len, 0);
    bk_log(&sink.log, BK_LOG_WARNING, "written");
    assert_string_equal(last_line(&sink), " warning written\n");
    bk_log((const struct bk_log *)NULL, BK_LOG_ERROR, "nobody listens");
    sink_close(&sink);
}

enum { LINES = 300 };

static void *write_lines(void *log)
{
    for (int i = 0; i < LINES; i++)
        bk_log((const struct bk_log *)log, BK_LOG_INFO, "line", "k", "0123456789", "l", "end");
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    struct bk_log log = { BK_LOG_INFO, false, file };
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, write_lines, &log), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    rewind(file);
    char line[200];
    int n = 0;
    for (; fgets(line, sizeof line, file); n++)
        assert_string_equal(line + 24, " info line k=0123456789 l=end\n");
    assert_int_equal(n, 3 * LINES);
    fclose(file);
}

static void levels_are_read_by_their_names(void **state)
{
    (void)state;
    assert_int_equal(bk_log_level_parse("error"), BK_LOG_ERROR);
    assert_int_equal(bk_log_level_parse("warning"), BK_LOG_WARNING);
    assert_int_equal(bk_log_level_parse("notice"), BK_LOG_NOTICE);
    assert_int_equal(bk_log_level_parse("info"), BK_LOG_INFO);
    assert_int_equal(bk_log_level_parse("debug"), BK_LOG_DEBUG);
    assert_int_equal(bk_log_level_parse("Debug"), -1);
    assert_int_equal(bk_log_level_parse("debugging"), -1);
    assert_int_equal(bk_log_level_parse(""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_what_and_fields),
        cmocka_unit_test(values_are_quoted_where_a_reader_could_err),
        cmocka_unit_test(a_value_is_cut_but_no_character_in_two),
        cmocka_unit_test(a_line_too_long_leaves_out_whole_fields_and_says_so),
        cmocka_unit_test(less_important_lines_are_dropped),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(levels_are_read_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
