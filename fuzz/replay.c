/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hands every file of the folders (or the files) named on the command line to a fuzz target once,
 * in the order of their names. The copy handed over ends where its heap block ends, so that a
 * sanitizer sees a read one byte too far. A folder without inputs is a failure: nothing was tested.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static _Noreturn void give_up(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(1);
}

static void replay_file(const char *path, size_t size)
{
    FILE *in = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);
    if (!in || !data)
        give_up(path);
    if (fread(data, 1, size, in) != size) {
        fprintf(stderr, "%s: shorter than it says\n", path);
        exit(1);
    }
    fclose(in);
    fprintf(stderr, "%s\n", path); /* the last line before a crash names the input */
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Returns the number of inputs. */
static size_t replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        give_up(path);
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path, (size_t)st.st_size);
        return 1;
    }
    struct dirent **entries;
    int n = scandir(path, &entries, is_visible, alphasort);
    if (n < 0)
        give_up(path);
    size_t inputs = 0;
    for (int i = 0; i < n; i++) {
        char *inside;
        if (asprintf(&inside, "%s/%s", path, entries[i]->d_name) < 0)
            give_up(path);
        inputs += replay(inside);
        free(inside);
        free(entries[i]);
    }
    free(entries);
    return inputs;
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    size_t inputs = 0;
    for (int i = 1; i < argc; i++)
        inputs += replay(argv[i]);
    if (inputs == 0) {
        fprintf(stderr, "usage: %s <folder or file>...  (no input found)\n", argv[0]);
        return 1;
    }
    printf("%zu inputs\n", inputs);
    return 0;
}
