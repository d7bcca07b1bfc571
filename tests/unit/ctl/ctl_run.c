/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_run.h"

#include "fakes/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARGS_MAX = 24 };

char dir[64], config[96];
char *out_text, *err_text;

int run_with(const char *input, const char *const *args)
{
    const char *argv[ARGS_MAX] = { "beckonctl", "--config", config };
    int argc = 3;
    size_t out_len, err_len;
    while (*args && argc < ARGS_MAX)
        argv[argc++] = *args++;
    free(out_text);
    free(err_text);
    out_text = err_text = NULL;
    FILE *in = *input ? fmemopen((void *)input, strlen(input), "r") : fopen("/dev/null", "r");
    FILE *out = open_memstream(&out_text, &out_len), *err = open_memstream(&err_text, &err_len);
    int status = ctl_main(argc, (char *const *)argv, in, out, err);
    fclose(in);
    fclose(out);
    fclose(err);
    return status;
}

void said(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

json_t *printed(void)
{
    json_error_t error;
    json_t *j = json_loads(out_text, 0, &error);
    if (!j)
        fail_msg("no JSON: %s\n%s", error.text, out_text);
    return j;
}

int ctl_run_set_up(void **state)
{
    (void)state;
    folder_make(dir, "ctl");
    snprintf(config, sizeof config, "%s/beckond.conf", dir);
    return RUN("init", "Example.org", "--dir", dir, "--tls", "127.0.0.1:5061", "--set",
               "log.level=debug");
}

int ctl_run_tear_down(void **state)
{
    (void)state;
    free(out_text);
    free(err_text);
    out_text = err_text = NULL;
    return folder_remove(dir);
}
