/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's doors: creation, the commands of other threads, the end. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A command on its way to the engine's thread. Owns its texts; they are wiped, one may be a password. */
struct command {
    struct bk_client *client;
    void (*run)(struct bk_client *c, const struct command *command);
    char *a, *b, *c, *d;
    int n;
    void *pointer;
};

/* A connection asked for by bk_client_set_connection. */
struct wish {
    struct bk_answer_server manual[BK_CLIENT_MANUAL_MAX];
    int n_manual;
    bool keep_nothing;
    char *ca_file;
    struct bk_tls_client *tls_web, *tls_probe; /* NULL: the roots stay as they are */
};

static void free_secret(char *text)
{
    if (text)
        bk_wipe(text, strlen(text));
    free(text);
}

static void free_command(struct command *command)
{
    free_secret(command->a);
    free_secret(command->b);
    free_secret(command->c);
    free_secret(command->d);
    free(command);
}

static void run_command(void *arg)
{
    struct command *command = arg;
    command->run(command->client, command);
    free_command(command);
}

static int submit(struct bk_client *client, struct command fill)
{
    struct command *command = calloc(1, sizeof *command);
    if (!command)
        return -ENOMEM;
    *command = fill;
    command->client = client;
    const char *const texts[] = { fill.a, fill.b, fill.c, fill.d };
    char **const copies[] = { &command->a, &command->b, &command->c, &command->d };
    bool failed = false;
    for (size_t i = 0; i < BK_COUNT_OF(texts); i++) {
        *copies[i] = texts[i] ? strdup(texts[i]) : NULL;
        failed |= texts[i] && !*copies[i];
    }
    int r = failed ? -ENOMEM : bk_loop_post(client->loop, run_command, command);
    if (r < 0)
        free_command(command);
    return r;
}

#define TEXT(text) ((char *)(uintptr_t)(text)) /* submit copies: nothing is written to it */

/* ---- what runs on the engine's thread ---- */

static void run_sign_in(struct bk_client *c, const struct command *k)
{
    bk_client_do_sign_in(c, PURPOSE_SIGN_IN, k->a, k->b, k->c, NULL);
}

static void run_change_password(struct bk_client *c, const struct command *k)
{
    bk_client_do_sign_in(c, PURPOSE_PASSWORD, k->a, k->b, k->c, k->d);
}

static void run_credential(struct bk_client *c, const struct command *k)
{
    bk_client_do_credential(c, k->a, k->b);
}

static void run_trust(struct bk_client *c, const struct command *k)
{
    bk_client_do_trust(c, (enum bk_client_trust_answer)k->n);
}

static void run_sign_out(struct bk_client *c, const struct command *k)
{
    (void)k;
    bk_conversation_close(c, NULL); /* while there is a connection to say so */
    bk_client_feed(c, IN_SIGN_OUT);
}

static void run_delete(struct bk_client *c, const struct command *k)
{
    if (strcmp(k->a, c->address) == 0)
        bk_conversation_close(c, NULL);
    bk_erase_begin(c, k->a);
}

static void run_retry(struct bk_client *c, const struct command *k)
{
    (void)k;
    if (c->proxies) /* the person tries anew, perhaps with the same login */
        bk_proxies_forget_refusals(c->proxies);
    bk_client_feed(c, IN_RETRY_DUE);
}

static void run_network_changed(struct bk_client *c, const struct command *k)
{
    (void)k;
    bk_client_do_network_changed(c);
}

static void run_proxy_found(struct bk_client *c, const struct command *k)
{
    uint64_t token = 0;
    if (c->proxies && bk_view_to_u64(bk_view_of_str(k->c), UINT64_MAX, &token) == 0)
        bk_proxies_answer(c->proxies, token, k->a, k->b);
}

static void run_status(struct bk_client *c, const struct command *k)
{
    c->manual_status = (enum bk_pidf_manual)k->n;
    c->manual_open = true;
    bk_presence_publish(c);
}

static void run_machine(struct bk_client *c, const struct command *k)
{
    if (c->machine == (enum bk_pidf_machine)k->n)
        return;
    c->machine = (enum bk_pidf_machine)k->n;
    c->machine_open = true;
    bk_presence_publish(c);
}

static void run_note(struct bk_client *c, const struct command *k)
{
    char *note = strdup(k->a);
    if (!note)
        return;
    free(c->note);
    c->note = note;
    c->note_open = true;
    bk_presence_publish(c);
}

static void run_watch(struct bk_client *c, const struct command *k)
{
    bk_presence_watch(c, k->a, false);
}

static void run_unwatch(struct bk_client *c, const struct command *k)
{
    bk_presence_unwatch(c, k->a);
}

static void run_edit(struct bk_client *c, const struct command *k)
{
    bk_edit_submit(c, k->pointer);
}

static void run_message(struct bk_client *c, const struct command *k)
{
    bk_message_submit(c, k->pointer);
}

static void run_typing(struct bk_client *c, const struct command *k)
{
    bk_conversation_typing(c, k->a, k->n != 0);
}

static void run_close(struct bk_client *c, const struct command *k)
{
    bk_conversation_close(c, k->a);
}

static void run_shown(struct bk_client *c, const struct command *k)
{
    bk_message_shown(c, k->pointer);
}

static void wish_free(struct wish *wish)
{
    if (!wish)
        return;
    (void)bk_tls_client_unref(wish->tls_web);
    (void)bk_tls_client_unref(wish->tls_probe);
    free(wish->ca_file);
    free(wish);
}

static void run_connection(struct bk_client *c, const struct command *k)
{
    struct wish *wish = k->pointer, *old = c->wish;
    if (old && old->tls_web && !wish->tls_web) { /* the roots asked for before still wait */
        wish->tls_web = BK_TAKE(old->tls_web);
        wish->tls_probe = BK_TAKE(old->tls_probe);
        wish->ca_file = BK_TAKE(old->ca_file);
    }
    wish_free(old);
    c->wish = wish;
}

void bk_client_take_connection(struct bk_client *c)
{
    struct wish *wish = c->wish;
    if (!wish)
        return;
    c->wish = NULL;
    memcpy(c->manual, wish->manual, sizeof c->manual);
    c->n_manual = wish->n_manual;
    c->keep_nothing = wish->keep_nothing;
    if (wish->tls_web) {
        struct bk_tls_client *web = c->tls_web, *probe = c->tls_probe;
        c->tls_web = wish->tls_web;
        c->tls_probe = wish->tls_probe;
        wish->tls_web = web;
        wish->tls_probe = probe;
        char *ca_file = c->ca_file;
        c->ca_file = wish->ca_file;
        wish->ca_file = ca_file;
    }
    wish_free(wish);
}

static void run_stop(struct bk_client *c, const struct command *k)
{
    (void)k;
    bk_loop_stop(c->loop);
}

/* ---- commands ---- */

/* Lower case, without "sip:", in fresh memory. NULL: no address, or out of memory. */
static char *plain_address(const char *address)
{
    size_t at;
    const char *why;
    if (!address || bk_sip_address_check(bk_view_of_str(address), &at, &why) < 0)
        return NULL;
    if (strncasecmp(address, "sip:", 4) == 0)
        address += 4;
    char *copy = strdup(address);
    if (copy)
        bk_text_lower(copy, strlen(copy));
    return copy;
}

int bk_client_sign_in(struct bk_client *client, const char *address, const char *password,
                      const char *user)
{
    if (!address)
        return -EINVAL;
    return submit(
        client, (struct command){
                    .run = run_sign_in, .a = TEXT(address), .b = TEXT(password), .c = TEXT(user) });
}

int bk_client_change_password(struct bk_client *client, const char *address, const char *user,
                              const char *old_password, const char *new_password)
{
    if (!address || !old_password || !new_password)
        return -EINVAL;
    return submit(client, (struct command){ .run = run_change_password,
                                            .a = TEXT(address),
                                            .b = TEXT(old_password),
                                            .c = TEXT(user),
                                            .d = TEXT(new_password) });
}

int bk_client_credential(struct bk_client *client, const char *password, const char *user)
{
    return submit(client,
                  (struct command){ .run = run_credential, .a = TEXT(password), .b = TEXT(user) });
}

int bk_client_trust(struct bk_client *client, enum bk_client_trust_answer answer)
{
    return submit(client, (struct command){ .run = run_trust, .n = (int)answer });
}

int bk_client_sign_out(struct bk_client *client)
{
    return submit(client, (struct command){ .run = run_sign_out });
}

int bk_client_delete_sign_in_info(struct bk_client *client, const char *address)
{
    BK_AUTO_FREE char *plain = plain_address(address);
    if (!plain)
        return -EINVAL;
    return submit(client, (struct command){ .run = run_delete, .a = plain });
}

int bk_client_retry_now(struct bk_client *client)
{
    return submit(client, (struct command){ .run = run_retry });
}

int bk_client_network_changed(struct bk_client *client)
{
    return submit(client, (struct command){ .run = run_network_changed });
}

int bk_client_proxy_found(struct bk_client *client, uint64_t token, const char *list,
                          const char *why)
{
    char number[24];
    (void)snprintf(number, sizeof number, "%" PRIu64, token);
    return submit(
        client,
        (struct command){ .run = run_proxy_found, .a = TEXT(list), .b = TEXT(why), .c = number });
}

int bk_client_set_status(struct bk_client *client, enum bk_pidf_manual manual)
{
    if (manual <= BK_PIDF_MANUAL_MISSING || manual >= BK_PIDF_MANUAL_COUNT)
        return -EINVAL;
    return submit(client, (struct command){ .run = run_status, .n = (int)manual });
}

int bk_client_set_machine(struct bk_client *client, enum bk_pidf_machine machine)
{
    if (machine <= BK_PIDF_MACHINE_MISSING || machine >= BK_PIDF_MACHINE_COUNT)
        return -EINVAL;
    return submit(client, (struct command){ .run = run_machine, .n = (int)machine });
}

int bk_client_set_note(struct bk_client *client, const char *note)
{
    struct bk_view v = bk_view_of_str(note);
    if (!note || v.len > BK_PIDF_TEXT_MAX || !bk_utf8_valid(v))
        return -EINVAL;
    return submit(client, (struct command){ .run = run_note, .a = TEXT(note) });
}

static int submit_address(struct bk_client *client, const char *address,
                          void (*run)(struct bk_client *c, const struct command *command))
{
    BK_AUTO_FREE char *plain = plain_address(address);
    if (!plain)
        return -EINVAL;
    return submit(client, (struct command){ .run = run, .a = plain });
}

int bk_client_watch(struct bk_client *client, const char *address)
{
    return submit_address(client, address, run_watch);
}

int bk_client_unwatch(struct bk_client *client, const char *address)
{
    return submit_address(client, address, run_unwatch);
}

int bk_client_send_message(struct bk_client *client, const char *to, const char *text,
                           uint64_t *ret_id)
{
    BK_AUTO_FREE char *plain = plain_address(to);
    struct bk_view v = bk_view_of_str(text);
    if (!plain || !v.len || !bk_utf8_valid(v))
        return -EINVAL;
    if (v.len > MESSAGE_BYTES_MAX)
        return -EMSGSIZE;
    uint64_t id = atomic_fetch_add(&client->next_message_id, 1) + 1;
    struct bk_outgoing *message = bk_message_new(client, id, plain, text);
    int r = message ? submit(client, (struct command){ .run = run_message, .pointer = message })
                    : -ENOMEM;
    if (r == 0)
        *ret_id = id;
    else
        bk_message_free(message);
    return r;
}

int bk_client_typing(struct bk_client *client, const char *to, bool typing)
{
    BK_AUTO_FREE char *plain = plain_address(to);
    if (!plain)
        return -EINVAL;
    return submit(client, (struct command){ .run = run_typing, .a = plain, .n = typing });
}

int bk_client_close_conversation(struct bk_client *client, const char *address)
{
    return submit_address(client, address, run_close);
}

int bk_client_edit(struct bk_client *client, const struct bk_client_edit *wish, uint64_t *ret_id)
{
    BK_AUTO_FREE char *plain = NULL;
    const char *address = wish->address;
    if (address && address[0] != '@') {
        plain = plain_address(address);
        if (!plain)
            return -EINVAL;
        address = plain;
    }
    const char *const texts[] = { wish->name, wish->group, wish->to_group, wish->text };
    for (size_t i = 0; i < BK_COUNT_OF(texts); i++)
        if (texts[i] &&
            (strlen(texts[i]) > EDIT_TEXT_MAX || !bk_utf8_valid(bk_view_of_str(texts[i]))))
            return -EINVAL;
    if (!bk_edit_complete(wish))
        return -EINVAL;
    uint64_t id = atomic_fetch_add(&client->next_edit_id, 1) + 1;
    struct edit *edit = bk_edit_new(id, wish, address);
    int r = edit ? submit(client, (struct command){ .run = run_edit, .pointer = edit }) : -ENOMEM;
    if (r == 0)
        *ret_id = id;
    else
        bk_edit_free(edit);
    return r;
}

void bk_client_event_done(struct bk_client *client, const struct bk_client_event *event)
{
    if (!event)
        return;
    struct bk_event *whole =
        bk_container_of((struct bk_client_event *)(uintptr_t)event, struct bk_event, pub);
    if (whole->show) /* not taken for lack of memory: the server repeats the message */
        (void)submit(client, (struct command){ .run = run_shown, .pointer = whole->show });
    bk_event_free(whole);
}

int bk_client_check_address(const char *address, size_t *ret_at, const char **ret_why)
{
    return bk_sip_address_check(bk_view_of_str(address), ret_at, ret_why);
}

int bk_client_last_address(const char *profile_dir, struct bk_buf *ret)
{
    BK_AUTO_FREE char *root = bk_profile_root(profile_dir);
    return root ? bk_profile_last_address(root, ret) : -ENOENT;
}

/* ---- life ---- */

static void fill_timing(struct bk_client_timing *t)
{
    static const struct bk_client_timing fallback = {
        .cached_try_ms = 2000,
        .connect_ms = 4000,
        .http_ms = 10000,
        .answer_ms = 10000,
        .ping_ms = 120000,
        .pong_ms = 10000,
        .retry_first_ms = 1000,
        .retry_max_ms = 60000,
        .silence_ms = 10000,
        .waiting_text_ms = 10000,
        .message_life_ms = 480000,
        .expires_s = 600,
        .prove_ms = 8 * 3600 * 1000,
        .session_idle_ms = 600000,
    };
    int *const have[] = { &t->cached_try_ms,  &t->connect_ms,      &t->http_ms,
                          &t->answer_ms,      &t->ping_ms,         &t->pong_ms,
                          &t->retry_first_ms, &t->retry_max_ms,    &t->waiting_text_ms,
                          &t->silence_ms,     &t->message_life_ms, &t->expires_s,
                          &t->prove_ms,       &t->session_idle_ms };
    const int *const want[] = { &fallback.cached_try_ms,   &fallback.connect_ms,
                                &fallback.http_ms,         &fallback.answer_ms,
                                &fallback.ping_ms,         &fallback.pong_ms,
                                &fallback.retry_first_ms,  &fallback.retry_max_ms,
                                &fallback.waiting_text_ms, &fallback.silence_ms,
                                &fallback.message_life_ms, &fallback.expires_s,
                                &fallback.prove_ms,        &fallback.session_idle_ms };
    for (size_t i = 0; i < BK_COUNT_OF(have); i++)
        if (*have[i] <= 0)
            *have[i] = *want[i];
}

static int copy_text(char **to, const char *text)
{
    *to = text ? strdup(text) : NULL;
    return text && !*to ? -ENOMEM : 0;
}

static int read_manual(const char *text, struct bk_answer_server servers[BK_CLIENT_MANUAL_MAX],
                       int *ret_n, char **ret_why)
{
    struct bk_view rest = bk_view_trim(bk_view_of_str(text));
    int n = 0;
    while (rest.len) {
        struct bk_view one = bk_view_head(rest, bk_view_find(rest, ' '));
        rest = bk_view_trim(bk_view_skip(rest, one.len));
        if (n < BK_CLIENT_MANUAL_MAX && bk_answer_host_port(one, 5061, &servers[n]) == 0) {
            n++;
            continue;
        }
        if (asprintf(ret_why, "%s: not a server name with an optional port", text) < 0)
            *ret_why = NULL;
        return -EINVAL;
    }
    *ret_n = n;
    return 0;
}

static int copy_config(struct bk_client *c, const struct bk_client_config *config, char **ret_why)
{
    c->clock = config->clock ? config->clock : &bk_clock_system;
    c->random = config->random ? config->random : &bk_random_system;
    c->log = config->log;
    c->timing = config->timing;
    fill_timing(&c->timing);
    c->only_ca_file = config->only_ca_file;
    c->discovery_port = config->discovery_port;
    c->plain_port = config->plain_port ? config->plain_port : 80;
    c->machine = BK_PIDF_MACHINE_ACTIVE;
    if (gethostname(c->device_name, sizeof c->device_name - 1) < 0)
        c->device_name[0] = 0;
    const char *name = config->name ? config->name : "beckon";
    if (copy_text(&c->name, name) < 0 ||
        copy_text(&c->device_kind, config->device_kind ? config->device_kind : "other") < 0 ||
        copy_text(&c->ca_file, config->ca_file) < 0 ||
        asprintf(&c->user_agent, "%s/%s", name, BK_VERSION) < 0)
        return -ENOMEM;
    int r = read_manual(config->manual_server, c->manual, &c->n_manual, ret_why);
    if (r < 0)
        return r;
    c->keep_nothing = config->keep_nothing;
    c->allow_ntlm = config->allow_ntlm;
    if (config->guard) {
        c->guard_kept = *config->guard;
        c->guard = &c->guard_kept;
    }
    c->root = bk_profile_root(config->profile_dir);
    if (c->root || c->keep_nothing)
        return 0;
    *ret_why = strdup("no folder for the profile: neither XDG_DATA_HOME nor HOME is set");
    return -EINVAL;
}

static int make_tls(const struct bk_client *c, const char *ca_file, struct bk_tls_client **ret_web,
                    struct bk_tls_client **ret_probe, char **ret_why)
{
    static const char *const web[] = { "http/1.1", NULL };
    static const char *const sip[] = { "sip", NULL };
    struct bk_tls_client_config config = {
        .ca_file = ca_file,
        .only_ca_file = c->only_ca_file,
        .alpn = web,
        .real_ms = c->clock->real_ms,
        .real_ms_ctx = c->clock->ctx,
    };
    int r = bk_tls_client_create(&config, ret_web, ret_why);
    if (r < 0)
        return r;
    config.alpn = sip;
    return bk_tls_client_create(&config, ret_probe, ret_why);
}

/* The roots that were asked for last. Only who sets a connection looks at them, under the lock. */
static int note_ca_file(struct bk_client *c, const char *ca_file)
{
    char *copy;
    int r = copy_text(&copy, ca_file);
    if (r < 0)
        return r;
    free(c->asked_ca_file);
    c->asked_ca_file = copy;
    return 0;
}

static int fill_wish(struct bk_client *c, const struct bk_client_connection *connection,
                     struct wish *wish, char **ret_why)
{
    const char *ca_file = connection->ca_file && *connection->ca_file ? connection->ca_file : NULL;
    wish->keep_nothing = connection->keep_nothing;
    int r = read_manual(connection->manual_server, wish->manual, &wish->n_manual, ret_why);
    if (r < 0 || bk_view_equal(bk_view_of_str(ca_file), bk_view_of_str(c->asked_ca_file)))
        return r;
    r = make_tls(c, ca_file, &wish->tls_web, &wish->tls_probe, ret_why);
    if (r == 0)
        r = copy_text(&wish->ca_file, ca_file);
    return r < 0 ? r : note_ca_file(c, ca_file);
}

int bk_client_set_connection(struct bk_client *client,
                             const struct bk_client_connection *connection, char **ret_why)
{
    char *why = NULL;
    struct wish *wish = calloc(1, sizeof *wish);
    if (!wish)
        return -ENOMEM;
    (void)pthread_mutex_lock(&client->lock);
    int r = fill_wish(client, connection, wish, &why);
    (void)pthread_mutex_unlock(&client->lock);
    if (r == 0)
        r = submit(client, (struct command){ .run = run_connection, .pointer = wish });
    if (r < 0)
        wish_free(wish);
    if (r < 0 && ret_why)
        *ret_why = why;
    else
        free(why);
    return r;
}

static bool ask_kernel(void *ctx, const struct bk_addr *from, const struct bk_addr *to)
{
    (void)ctx;
    return bk_net_has_way(from, to);
}

static void on_network(void *ctx)
{
    bk_client_do_network_changed(ctx);
}

/* Where the kernel tells nothing, losses are known by their life signs, later. */
static void watch_network(struct bk_client *c, const struct bk_client_network *network)
{
    if (network) {
        c->network = *network;
        return;
    }
    c->network = (struct bk_client_network){ .has_way = ask_kernel };
    int r = bk_netwatch_create(c->loop, on_network, c, &c->netwatch);
    if (r < 0)
        bk_log(c->log, BK_LOG_NOTICE, "the network is not watched", "error", strerror(-r));
}

static void on_find_proxy(void *ctx, const char *url, uint64_t token)
{
    struct bk_client *c = ctx;
    c->find_proxy(c->find_proxy_ctx, c, url, token);
}

static int make_proxies(struct bk_client *c, const struct bk_client_config *config)
{
    struct bk_proxies_config proxies = { .loop = c->loop, .ask = on_find_proxy, .ctx = c };
    c->find_proxy = config->find_proxy;
    c->find_proxy_ctx = config->find_proxy_ctx;
    return c->find_proxy ? bk_proxies_create(&proxies, &c->proxies) : 0;
}

static void *run_engine(void *arg)
{
    struct bk_client *c = arg;
    (void)bk_loop_run(c->loop);
    return NULL;
}

static int start(struct bk_client *c, const struct bk_client_config *config, char **ret_why)
{
    int r = copy_config(c, config, ret_why);
    if (r == 0)
        r = bk_loop_create(c->log, &c->loop);
    if (r == 0)
        r = make_tls(c, c->ca_file, &c->tls_web, &c->tls_probe, ret_why);
    if (r == 0)
        r = note_ca_file(c, c->ca_file);
    if (r == 0)
        r = bk_dns_create(c->loop, config->dns_servers, 2000, &c->dns);
    if (r == 0)
        r = make_proxies(c, config);
    if (r < 0)
        return r;
    c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->event_fd < 0)
        return -errno;
    bk_client_begin(c);
    if (!c->link)
        return -ENOMEM;
    watch_network(c, config->network);
    r = pthread_create(&c->thread, NULL, run_engine, c);
    c->thread_runs = r == 0;
    return -r;
}

int bk_client_create(const struct bk_client_config *config, struct bk_client **ret, char **ret_why)
{
    struct bk_client *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    char *why = NULL;
    c->event_fd = -1;
    bk_list_init(&c->events);
    bk_list_init(&c->watches);
    bk_list_init(&c->messages);
    bk_list_init(&c->shows);
    bk_list_init(&c->sessions);
    bk_list_init(&c->conversations);
    (void)pthread_mutex_init(&c->lock, NULL);
    int r = start(c, config, &why);
    if (r < 0) {
        (void)bk_client_destroy(c);
        if (ret_why)
            *ret_why = why;
        else
            free(why);
        return r;
    }
    *ret = c;
    return 0;
}

struct bk_client *bk_client_destroy(struct bk_client *c)
{
    if (!c)
        return NULL;
    if (c->thread_runs) {
        while (submit(c, (struct command){ .run = run_stop }) < 0)
            (void)usleep(10000); /* out of memory: others may free some */
        (void)pthread_join(c->thread, NULL);
    }
    c->netwatch = bk_netwatch_destroy(c->netwatch);
    bk_client_end(c);
    c->proxies = bk_proxies_destroy(c->proxies); /* a late answer finds nobody */
    (void)bk_dns_destroy(c->dns);
    /* Connections left behind write their last words and free themselves. */
    for (int i = 0; c->loop && i < 4; i++)
        (void)bk_loop_step(c->loop, 0);
    (void)bk_loop_destroy(c->loop);
    (void)bk_tls_client_unref(c->tls_web);
    (void)bk_tls_client_unref(c->tls_probe);
    BK_LIST_EACH(&c->events, it)
    bk_event_free(bk_container_of(it, struct bk_event, in));
    if (c->event_fd >= 0)
        (void)close(c->event_fd);
    (void)pthread_mutex_destroy(&c->lock);
    wish_free(c->wish);
    free(c->root);
    free(c->name);
    free(c->user_agent);
    free(c->device_kind);
    free(c->ca_file);
    free(c->asked_ca_file);
    free(c);
    return NULL;
}
