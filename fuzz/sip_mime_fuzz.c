/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First line: a Content-Type; the rest: a body. Parts lie inside the body, one behind the other; written again
 * they read the same.
 */
#include "sip/fields.h"
#include "sip/mime.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool held)
{
    if (!held)
        abort();
}

static void check_inside(struct bk_view part, struct bk_view whole)
{
    check(part.at ? part.at >= whole.at && part.at + part.len <= whole.at + whole.len
                  : part.len == 0);
}

static void check_parts(struct bk_view body, struct bk_view boundary)
{
    struct bk_mime_part part, same;
    struct bk_view rest = body, parts[BK_MIME_PARTS_MAX];
    struct bk_buf again = { 0 };
    int count = 0, r;

    while ((r = bk_mime_next(&rest, boundary, &count, &part)) > 0) {
        check(count >= 1 && count <= BK_MIME_PARTS_MAX);
        check_inside(part.head, body);
        check_inside(part.body, body);
        check_inside(part.content_type, part.head);
        check_inside(part.content_id, part.head);
        check(count == 1 || part.head.at >= parts[count - 2].at + parts[count - 2].len);
        parts[count - 1] = part.body;
        bk_mime_add(&again, boundary, BK_VIEW("a/b"), (struct bk_view){ 0 }, part.body);
    }
    check(r == 0 || r == -EBADMSG);
    if (r == 0) {
        int n = count;
        bk_mime_end(&again, boundary);
        rest = bk_buf_view(&again);
        count = 0;
        for (int i = 0; i < n; i++) {
            check(bk_mime_next(&rest, boundary, &count, &same) == 1);
            check(bk_view_equal(bk_view_head(same.body, parts[i].len), parts[i]));
            check(same.body.len == parts[i].len + 2);
        }
        check(bk_mime_next(&rest, boundary, &count, &same) == 0);
    }
    bk_buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view body = { (const char *)data, size };
    struct bk_view type = bk_view_trim(bk_view_cut(&body, '\n'));
    struct bk_sip_content_type parsed;
    struct bk_mime_part found;

    int r = bk_mime_find(type, body, BK_VIEW("text/plain"), &found);
    check(r == 0 || r == -ENOENT || r == -EBADMSG);
    if (r == 0) {
        check_inside(found.body, body);
        struct bk_view name = found.content_type.len ? found.content_type : BK_VIEW("text/plain");
        check(bk_sip_content_type_parse(name, &parsed) == 0);
        check(bk_view_equal_nocase(parsed.type, BK_VIEW("text")));
    }
    if (bk_sip_content_type_parse(type, &parsed) == 0 && parsed.boundary.len)
        check_parts(body, parsed.boundary);
    return 0;
}
