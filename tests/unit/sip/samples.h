/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/sip/samples.h - every message there is on disk: torture messages and captures of stock clients. */
#ifndef BK_TESTS_SAMPLES_H
#define BK_TESTS_SAMPLES_H

#include "tests/unit/sip/sip_test.h"

#include <dirent.h>

struct sample {
    char name[300];
    struct bk_buf bytes;
};

struct samples {
    struct sample *at;
    size_t n;
};

static inline void samples_add_folder(struct samples *s, const char *folder, const char *suffix)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        struct bk_view name = bk_view_of_str(entries[i]->d_name);
        if (bk_view_ends_with(name, bk_view_of_str(suffix))) {
            char path[1000];
            s->at = realloc(s->at, (s->n + 1) * sizeof *s->at);
            assert_non_null(s->at);
            struct sample *sample = &s->at[s->n++];
            *sample = (struct sample){ 0 };
            snprintf(sample->name, sizeof sample->name, "%s", entries[i]->d_name);
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            assert_int_equal(bk_file_read(path, 1 << 20, &sample->bytes), 0);
        }
        free(entries[i]);
    }
    free(entries);
}

/* BK_TESTS_DIR is the tests/ folder of the source. */
static inline struct samples samples_load(void)
{
    struct samples s = { 0 };
    samples_add_folder(&s, BK_TESTS_DIR "/data/rfc4475", ".dat");
    samples_add_folder(&s, BK_TESTS_DIR "/data/rfc5118", ".dat");
    samples_add_folder(&s, BK_TESTS_DIR "/interop/captures", ".sip");
    return s;
}

static inline void samples_free(struct samples *s)
{
    for (size_t i = 0; i < s->n; i++)
        bk_buf_finish(&s->at[i].bytes);
    free(s->at);
}
#define SAMPLES(name) BK_CLEANUP(samples_free) struct samples name = samples_load()

#endif
