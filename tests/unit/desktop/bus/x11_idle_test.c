/* SPDX-License-Identifier: Apache-2.0 */
/* A display of the test's own (Xvfb) and input by XTest (xdotool); skipped where they are not installed. */
#include "desktop/x11_idle.h"

#include "bus_test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char display[32];
static GPid server;
static int64_t last;
static int answers;

static void take(void *ctx, int64_t ms)
{
    (void)ctx;
    last = ms;
    answers++;
}

static bool has_answer(void *ctx)
{
    return answers > *(int *)ctx;
}

static int64_t ask(struct bk_x11_idle *idle)
{
    int before = answers;
    bk_x11_idle_ask(idle);
    bk_x11_idle_ask(idle); /* counts as the one under way */
    assert_true(wait_until(has_answer, &before));
    return last;
}

static void press_a_key(void)
{
    const char *const command[] = { "xdotool", "key", "shift", NULL };
    int status = -1;
    assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)command, NULL, G_SPAWN_SEARCH_PATH, NULL,
                             NULL, NULL, NULL, &status, NULL));
    assert_int_equal(status, 0);
}

static int start_display(void **state)
{
    int fds[2];
    char number[16] = "", fd[16];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    (void)g_snprintf(fd, sizeof fd, "%d", fds[1]);
    const char *const command[] = { "Xvfb",    "-displayfd", fd,         "-nolisten", "tcp",
                                    "-screen", "0",          "64x64x24", NULL };
    assert_true(g_spawn_async(NULL, (char **)(uintptr_t)command, NULL,
                              G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                                  G_SPAWN_LEAVE_DESCRIPTORS_OPEN | G_SPAWN_STDERR_TO_DEV_NULL,
                              NULL, NULL, &server, NULL));
    (void)close(fds[1]);
    /* The number and the end of its line come apart; the pipe's end would end the server. */
    for (size_t n = 0; n + 1 < sizeof number && !strchr(number, '\n');) {
        ssize_t got = read(fds[0], number + n, sizeof number - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
    }
    (void)close(fds[0]);
    (void)g_snprintf(display, sizeof display, ":%d", atoi(number));
    g_setenv("DISPLAY", display, TRUE);
    return 0;
}

static int stop_display(void **state)
{
    (void)state;
    if (server) {
        (void)kill(server, SIGTERM);
        (void)waitpid(server, NULL, 0);
        g_spawn_close_pid(server);
    }
    server = 0;
    return 0;
}

static void idle_time_grows_until_somebody_touches_something(void **state)
{
    (void)state;
    struct bk_x11_idle *idle = bk_x11_idle_create(display, take, NULL);
    assert_non_null(idle);
    int64_t longest = 0, now;
    while (longest < 300) {
        now = ask(idle);
        assert_true(now >= longest); /* nobody is here */
        longest = now;
        g_usleep(20000);
    }
    /* Without input it would only grow; on a computer that stood still a while, once more. */
    bool shorter = false;
    for (int i = 0; i < 20 && !shorter; i++) {
        press_a_key();
        shorter = ask(idle) < longest;
    }
    assert_true(shorter);
    assert_null(bk_x11_idle_destroy(idle));
}

static void a_display_that_ends_is_told_once(void **state)
{
    (void)state;
    struct bk_x11_idle *idle = bk_x11_idle_create(display, take, NULL);
    int before = answers;
    assert_non_null(idle);
    (void)stop_display(NULL);
    assert_true(wait_until(has_answer, &before));
    assert_int_equal(last, -1);
    bk_x11_idle_ask(idle);
    assert_int_equal(answers, before + 1);
    assert_null(bk_x11_idle_destroy(idle));
    assert_null(bk_x11_idle_create(display, take, NULL));
    assert_null(bk_x11_idle_destroy(NULL));
}

int main(void)
{
    g_autofree char *xvfb = g_find_program_in_path("Xvfb");
    g_autofree char *xdotool = g_find_program_in_path("xdotool");
    if (!xvfb || !xdotool)
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_time_grows_until_somebody_touches_something),
        cmocka_unit_test(a_display_that_ends_is_told_once),
    };
    return cmocka_run_group_tests(tests, start_display, stop_display);
}
