/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/diagnostics.h"
#include "ms/endpoint.h"
#include "ms_test.h"
#include "sip/fields.h"

#include <errno.h>

/* epid, instance and GRUU of two endpoints as they were recorded. */
static const struct {
    const char *epid, *instance, *address, *gruu;
} recorded[] = {
    { "cf0b98dadeb9", "b7878522-d7fe-5c33-b30d-265f6618ae78", "alice@example.com",
      "sip:alice@example.com;opaque=user:epid:t4eFItf-XDOzDSZfZhiueAAA;gruu" },
    { "6a5dd544d8bb", "c74661f8-b226-586a-a01d-6cd3e9f2b9cc", "bob@example.com",
      "sip:bob@example.com;opaque=user:epid:x0Zh-LImWGqgHWzT6fK5zAAA;gruu" },
};

static void an_epid_names_the_instance_that_the_client_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(recorded); i++) {
        char uuid[BK_UUID_TEXT_SIZE];
        bk_ms_instance_of_epid(bk_view_of_str(recorded[i].epid), uuid);
        assert_string_equal(uuid, recorded[i].instance);
    }
}

static void a_gruu_is_the_recorded_one_and_names_its_instance_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(recorded); i++) {
        BK_AUTO_BUF struct bk_buf quoted = { 0 }, gruu = { 0 };
        uint8_t uuid[16], again[16];
        struct bk_sip_uri uri;
        bk_buf_addf(&quoted, "\"<urn:uuid:%s>\"", recorded[i].instance);
        assert_int_equal(bk_ms_instance_parse(bk_buf_view(&quoted), uuid), 0);
        bk_ms_gruu_write(&gruu, bk_view_of_str(recorded[i].address), uuid);
        expect_view(bk_buf_view(&gruu), recorded[i].gruu);
        assert_int_equal(bk_sip_uri_parse(bk_buf_view(&gruu), &uri), 0);
        assert_int_equal(bk_ms_gruu_parse(&uri, again), 0);
        assert_memory_equal(uuid, again, sizeof uuid);
    }
}

static void what_is_no_gruu_of_an_endpoint_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        int r;
    } rows[] = {
        { "sip:alice@example.com", -ENOENT },
        { "sip:alice@example.com;gruu", -ENOENT },
        { "sip:alice@example.com;opaque=user:epid:t4eFItf-XDOzDSZfZhiueAAA", -ENOENT },
        { "sip:focus@example.com;gruu;opaque=app:conf:focusfactory", -ENOENT },
        { "sip:alice@example.com;opaque=user:epid:t4eFItf;gruu", -EBADMSG },
        { "sip:alice@example.com;opaque=user:epid:;gruu", -EBADMSG },
        { "sip:alice@example.com;opaque=user:epid:t4eFItf-XDOzDSZfZhiueAAB;gruu", -EBADMSG },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_sip_uri uri;
        uint8_t uuid[16];
        assert_int_equal(bk_sip_uri_parse(bk_view_of_str(rows[i].uri), &uri), 0);
        assert_int_equal(bk_ms_gruu_parse(&uri, uuid), rows[i].r);
    }
}

static void instances_of_other_shapes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "\"<urn:uuid:>\"",
                                       "<urn:isbn:1>",
                                       "urn:uuid:b7878522d7fe5c33b30d265f6618ae78",
                                       "urn:uuid:b7878522-d7fe-5c33-b30d-265f6618ae7g",
                                       "urn:uuid:b7878522-d7fe-5c33-b30d_265f6618ae78" };
    uint8_t uuid[16];
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++)
        assert_int_equal(bk_ms_instance_parse(bk_view_of_str(bad[i]), uuid), -EBADMSG);
}

static void an_epid_is_short_and_plain(void **state)
{
    (void)state;
    assert_true(bk_ms_epid_valid(BK_VIEW("cf0b98dadeb9")));
    assert_false(bk_ms_epid_valid(BK_VIEW("")));
    assert_false(bk_ms_epid_valid(BK_VIEW("cf0b98dadeb9cf0b9")));
    assert_false(bk_ms_epid_valid(BK_VIEW("a\"b")));
}

static void diagnostics_read_back_and_hold_no_foreign_quote(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf value = { 0 };
    struct bk_ms_diagnostics what = { .record = bk_record_find(202, 0),
                                      .reason = BK_VIEW("say \"no\"\\\r\n"),
                                      .source = BK_VIEW("srv.example.com"),
                                      .case_code = BK_VIEW("K7QF-3M2P") };
    struct bk_sip_diagnostics read;
    bk_ms_diagnostics_write(&value, &what);
    assert_int_equal(bk_sip_diagnostics_parse(bk_buf_view(&value), &read), 0);
    assert_int_equal(read.id, what.record->diagnostics);
    expect_view(read.reason, "say 'no'/  ");
    expect_view(read.source, "srv.example.com");
    expect_view(read.record, "SI-202");
    expect_view(read.case_code, "K7QF-3M2P");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epid_names_the_instance_that_the_client_names),
        cmocka_unit_test(a_gruu_is_the_recorded_one_and_names_its_instance_again),
        cmocka_unit_test(what_is_no_gruu_of_an_endpoint_is_told_apart),
        cmocka_unit_test(instances_of_other_shapes_are_refused),
        cmocka_unit_test(an_epid_is_short_and_plain),
        cmocka_unit_test(diagnostics_read_back_and_hold_no_foreign_quote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
