/* SPDX-License-Identifier: Apache-2.0 */
/* beckon-cli as scripts meet it: what it prints, what it reads, how it ends. The program under test is argv[1]. */
#include "unit/client/client_test.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program;
static struct place p;
static char password_file[96], wrong_file[96];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int make(void **state)
{
    (void)state;
    static const char *const proxies[] = { "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY" };
    for (size_t i = 0; i < BK_COUNT_OF(proxies); i++)
        assert_int_equal(unsetenv(proxies[i]), 0);
    place_make(&p, NULL);
    (void)snprintf(password_file, sizeof password_file, "%s/password", p.dir);
    (void)snprintf(wrong_file, sizeof wrong_file, "%s/wrong", p.dir);
    write_file(password_file, "secret\nsecond line\n");
    write_file(wrong_file, "wrong\n");
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    place_free(&p);
    return 0;
}

/*
 * Runs it with the place's options and these (NULL-ended), input on its standard input. Both outputs are left
 * in *ret_out. Returns the exit status.
 */
static int run(const char *input, struct bk_buf *ret_out, const char *const *arguments)
{
    char port[16];
    const char *argv[40] = { program, "--profile", p.profile,
                             "--ca",  p.ca,        "--only-ca",
                             "--dns", p.dns,       "--discover-port",
                             port,    "--address", ANN };
    int n = 12, in[2], out[2], status;
    (void)snprintf(port, sizeof port, "%u", uc_server_port(p.server));
    while (*arguments)
        argv[n++] = *arguments++;
    argv[n] = NULL;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(out[1], STDERR_FILENO);
        (void)setsid(); /* no terminal to ask for a password */
        (void)execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    if (write(in[1], input, strlen(input)) < 0)
        fail_msg("nobody reads the input");
    (void)close(in[1]);
    bk_buf_clear(ret_out);
    for (;;) {
        char *to = bk_buf_reserve(ret_out, 4096);
        assert_non_null(to);
        ssize_t got = read(out[0], to, 4096);
        if (got <= 0)
            break;
        ret_out->len += (size_t)got;
    }
    (void)close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_non_null(bk_buf_cstr(ret_out));
    if (!WIFEXITED(status))
        fail_msg("it was killed: %s", ret_out->at);
    return WEXITSTATUS(status);
}

#define RUN(input, out, ...) run(input, out, (const char *const[]){ __VA_ARGS__, NULL })

static void expect(const struct bk_buf *out, const char *text)
{
    if (!strstr(out->at, text))
        fail_msg("\"%s\" is not in:\n%s", text, out->at);
}

static void the_exit_status_says_whose_fault_it_was(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    assert_int_equal(RUN("", &out, "--password-file", wrong_file, "send", "bob@" DOMAIN, "x"), 11);
    expect(&out, "The address or the password is wrong.");
    expect(&out, "WR0N-GPW1");
    assert_int_equal(RUN("", &out, "send", "bob@" DOMAIN, "x"), 11); /* nobody to ask */
    expect(&out, "a password is needed");
    assert_int_equal(RUN("", &out, "--password-file", password_file, "send", "bob@" DOMAIN, "x"),
                     0);
    expect(&out, "delivered to bob@" DOMAIN);
    assert_int_equal(RUN("", &out, "send", "bob@" DOMAIN, "x"),
                     0); /* the certificate is enough now */
    uc_server_answer(p.server, "MESSAGE", "480 Away", "", 1);
    assert_int_equal(RUN("", &out, "send", "bob@" DOMAIN, "x"), 14);
    expect(&out, "This person cannot be reached.");
    uc_server_answer(p.server, "REGISTER", "503 Busy", "", 1);
    assert_int_equal(RUN("", &out, "send", "bob@" DOMAIN, "x"), 13);
    assert_int_equal(RUN("", &out, "--address", "o'hara@" DOMAIN, "sign-out"), 10);
    expect(&out, "apostrophe");
    uc_server_down(p.server, true);
    assert_int_equal(RUN("", &out, "send", "bob@" DOMAIN, "x"), 12);
    uc_server_down(p.server, false);
    assert_int_equal(RUN("", &out, "sign-out"), 0);
}

static void wrong_usage_is_named(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    assert_int_equal(RUN("", &out, "frob"), 2);
    expect(&out, "frob");
    assert_int_equal(RUN("", &out, "send", "bob@" DOMAIN), 2);
    expect(&out, "TO TEXT");
    assert_int_equal(RUN("", &out, "--wait", "soon", "sign-out"), 2);
    expect(&out, "--wait: soon");
    assert_int_equal(RUN("", &out, "--password-file", "/nowhere", "sign-out"), 2);
    expect(&out, "/nowhere");
    assert_int_equal(RUN("", &out, "--server", "a:port", "sign-out"), 2);
    expect(&out, "a:port");
    assert_int_equal(RUN("", &out, "watch", "nobody"), 2);
    expect(&out, "nobody");
    assert_int_equal(RUN("", &out, "--help"), 0);
    expect(&out, "usage: beckon-cli");
}

static void a_message_waits_for_a_slow_start(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    uc_server_answer(p.server, "REGISTER", "503 Busy", "", 1);
    assert_int_equal(RUN("", &out, "--wait", "20", "--password-file", password_file, "send",
                         "bob@" DOMAIN, "two", "words"),
                     0);
    char *message = uc_server_seen(p.server, "MESSAGE", 0);
    assert_non_null(strstr(message, "\r\n\r\ntwo words"));
    free(message);
}

static void json_lines_go_both_ways(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    assert_int_equal(
        RUN("{\"command\":\"send\",\"to\":\"bob@" DOMAIN "\",\"text\":\"a\\nb\",\"tag\":[7]}\n"
            "{\"command\":\"frob\"}\n{\"command\":\"status\",\"state\":\"asleep\"}\n{nonsense\n",
            &out, "--json", "--password-file", password_file, "sign-in", ANN),
        0);
    expect(&out, "\"event\":\"state\"");
    expect(&out, "\"state\":\"signed-in\"");
    expect(&out, "{\"event\":\"accepted\",\"id\":1,\"tag\":[7]}");
    expect(&out, "\"state\":\"sent\"");
    expect(&out, "\"where\":\"frob\"");
    expect(&out, "\"where\":\"state: none, busy");
    expect(&out, "\"event\":\"error\"");
    const char *line = out.at;
    while (*line) { /* and nothing but JSON */
        assert_int_equal(*line, '{');
        line += strcspn(line, "\n");
        assert_int_equal(line[-1], '}');
        line++;
    }
}

static void lines_without_a_terminal_are_a_conversation_too(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    assert_int_equal(RUN("/frob\nhello?\n/to bob\nhello bob\n/msg carol hello carol\n", &out,
                         "--password-file", password_file, "sign-in", ANN),
                     0);
    expect(&out, "There is no /frob");
    expect(&out, "To whom?");
    expect(&out, "delivered to bob@" DOMAIN);
    expect(&out, "delivered to carol@" DOMAIN);
}

static void the_password_is_in_no_file_and_on_no_line(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    assert_int_equal(RUN("", &out, "--debug", "--password-file", password_file, "send",
                         "bob@" DOMAIN, "my confidential text"),
                     0);
    expect(&out, "debug");
    assert_null(strstr(out.at, "secret"));
    assert_null(strstr(out.at, "confidential")); /* messages are not logged either */
    assert_false(folder_holds(p.profile, "secret"));
}

static void deletion_says_what_went(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    assert_int_equal(RUN("", &out, "--password-file", password_file, "sign-out"), 0);
    assert_int_equal(RUN("", &out, "delete-sign-in-info"), 0);
    expect(&out, "revoked");
    expect(&out, "removed");
    assert_int_equal(folder_files(p.profile), 0);
    assert_int_equal(RUN("", &out, "delete-sign-in-info"), 0);
    expect(&out, "was not there");
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        IN_PLACE(the_exit_status_says_whose_fault_it_was),
        IN_PLACE(wrong_usage_is_named),
        IN_PLACE(a_message_waits_for_a_slow_start),
        IN_PLACE(json_lines_go_both_ways),
        IN_PLACE(lines_without_a_terminal_are_a_conversation_too),
        IN_PLACE(the_password_is_in_no_file_and_on_no_line),
        IN_PLACE(deletion_says_what_went),
    };
    if (argc != 2) {
        (void)fputs("usage: cli_test PROGRAM\n", stderr);
        return 2;
    }
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
