/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/client/client_test.h"

#include "base/cleanup.h"
#include "base/text.h"

#include "net/conn.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void breathe(void)
{
    struct timespec moment = { .tv_nsec = 2000000 };
    (void)nanosleep(&moment, NULL);
}

static int64_t shifted_real(void *ctx)
{
    struct place *place = ctx;
    return bk_clock_real_ms(&bk_clock_system) + place->clock_off_ms;
}

static int64_t true_mono(void *ctx)
{
    (void)ctx;
    return bk_clock_mono_ms(&bk_clock_system);
}

static bool has_way(void *ctx, const struct bk_addr *from, const struct bk_addr *to)
{
    struct place *place = ctx;
    char local[64], peer[64];
    bk_addr_host_text(from, local);
    bk_addr_text(to, peer);
    return !place->no_way && strcmp(local, "127.0.0.1") == 0 && strncmp(peer, "127.", 4) == 0;
}

struct uc_server *place_server(struct place *place, const struct pki_cert *certificate,
                               const char *name)
{
    struct uc_server_config config = {
        .dir = place->dir,
        .name = name,
        .domain = DOMAIN,
        .ca = place->root,
        .certificate = certificate,
    };
    return uc_server_start(&config);
}

void place_make(struct place *place, const struct pki_request *certificate)
{
    *place = (struct place){ .timing = { .cached_try_ms = 1500,
                                         .connect_ms = 3000,
                                         .http_ms = 8000,
                                         .answer_ms = 3000,
                                         .retry_first_ms = 20,
                                         .retry_max_ms = 100 } };
    folder_make(place->dir, "client");
    (void)snprintf(place->profile, sizeof place->profile, "%s/profile", place->dir);
    (void)snprintf(place->ca, sizeof place->ca, "%s/root.pem", place->dir);
    place->clock = (struct bk_clock){ true_mono, shifted_real, place };
    place->network = (struct bk_client_network){ has_way, place };
    place->root =
        pki_make(&(struct pki_request){ .name = "Root", .subject_o = "Test", .ca = true });
    struct pki_request good = {
        .name = "srv." DOMAIN,
        .san = "DNS:srv." DOMAIN ",DNS:lyncdiscover." DOMAIN ",DNS:lyncdiscoverinternal." DOMAIN
               ",DNS:sip." DOMAIN ",DNS:" DOMAIN,
        .issuer = place->root,
    };
    if (certificate) {
        good = *certificate;
        if (!good.san)
            good.san = "DNS:srv." DOMAIN ",DNS:lyncdiscoverinternal." DOMAIN;
        if (!good.issuer)
            good.issuer = place->root;
    }
    place->certificate = pki_make(&good);
    const struct pki_cert *chain[] = { place->root, NULL };
    pki_write(place->dir, "root", chain);
    place->names = dns_server_start();
    (void)snprintf(place->dns, sizeof place->dns, "127.0.0.1:%u", dns_server_port(place->names));
    place->server = place_server(place, place->certificate, "srv." DOMAIN);
    dns_server_add(place->names, "lyncdiscoverinternal." DOMAIN, "A", "127.0.0.1");
    dns_server_add(place->names, "srv." DOMAIN, "A", "127.0.0.1");
}

void place_free(struct place *place)
{
    place->client = bk_client_destroy(place->client);
    uc_server_stop(place->server);
    dns_server_stop(place->names);
    pki_free(place->certificate);
    pki_free(place->root);
    if (place->other_root)
        pki_free(place->other_root);
    (void)folder_remove(place->dir);
}

static int fake_get(void *ctx, const char *address, uint8_t secret[BK_CLIENT_SECRET_SIZE])
{
    struct fake_guard *fake = ctx;
    assert_string_equal(address, ANN);
    fake->gets++;
    if (fake->error || !fake->has)
        return fake->error ? fake->error : -ENOENT;
    memcpy(secret, fake->secret, BK_CLIENT_SECRET_SIZE);
    return 0;
}

static int fake_put(void *ctx, const char *address, const uint8_t secret[BK_CLIENT_SECRET_SIZE])
{
    struct fake_guard *fake = ctx;
    assert_string_equal(address, ANN);
    fake->puts++;
    if (fake->error)
        return fake->error;
    memcpy(fake->secret, secret, BK_CLIENT_SECRET_SIZE);
    fake->has = true;
    return 0;
}

static int fake_drop(void *ctx, const char *address)
{
    struct fake_guard *fake = ctx;
    assert_string_equal(address, ANN);
    fake->drops++;
    if (fake->error)
        return fake->error;
    bool had = fake->has;
    fake->has = false;
    return had;
}

struct bk_client_guard fake_guard_of(struct fake_guard *fake)
{
    return (struct bk_client_guard){ fake_get, fake_put, fake_drop, fake };
}

void place_client(struct place *place)
{
    place->client = bk_client_destroy(place->client);
    struct bk_client_config config = {
        .profile_dir = place->profile,
        .name = "client-test",
        .dns_servers = place->dns,
        .ca_file = place->no_ca ? NULL : place->ca,
        .only_ca_file = !place->no_ca,
        .manual_server = place->manual,
        .discovery_port = uc_server_port(place->server),
        .plain_port = place->plain_port ? place->plain_port : 1,
        .clock = &place->clock,
        .network = &place->network,
        .guard = place->guard,
        .timing = place->timing,
    };
    char *why = NULL;
    if (bk_client_create(&config, &place->client, &why) < 0)
        fail_msg("no client: %s", why ? why : "-");
}

/* ---- events ---- */

/* Whoever tells a failure in another language starts from the record and the values: both must say what user_text says. */
static void check_values(const struct bk_client_failure *f)
{
    const char *named[6] = { "server", "why", "address", "domain", "minutes", "seconds" }, *v[6];
    BK_AUTO_BUF struct bk_buf text = { 0 };
    for (int i = 0; i < 6; i++) {
        v[i] = NULL;
        for (int j = 0; j < f->n_values; j++)
            if (strcmp(f->values[j].name, named[i]) == 0)
                v[i] = f->values[j].value;
    }
    if (!f->record || f->other_words)
        return;
    bk_record_text(&text, f->record->user_text, "server", v[0], "why", v[1], "address", v[2],
                   "domain", v[3], "minutes", v[4], "seconds", v[5], NULL);
    assert_string_equal(bk_buf_cstr(&text), f->user_text);
}

static void write_down(struct place *place, const struct bk_client_event *e)
{
    size_t len = strlen(place->text);
    char *to = place->text + len;
    size_t room = sizeof place->text - len;
    switch (e->type) {
    case BK_CLIENT_EVENT_STATE:
        (void)snprintf(to, room, "state %s\n", bk_client_state_name(e->state.state));
        return;
    case BK_CLIENT_EVENT_FAILURE:
    case BK_CLIENT_EVENT_NOTICE:
    case BK_CLIENT_EVENT_ENDED:
        check_values(&e->failure);
        (void)snprintf(to, room, "%s %s %s [%s]\n", bk_client_event_name(e->type), e->failure.id,
                       e->failure.user_text, e->failure.detail);
        return;
    case BK_CLIENT_EVENT_PRESENCE:
        (void)snprintf(to, room, "presence %s %s %s\n", e->presence.address,
                       bk_pidf_shown_name(e->presence.shown), e->presence.note);
        return;
    case BK_CLIENT_EVENT_MESSAGE:
        (void)snprintf(to, room, "message %s %s\n", e->message.from, e->message.text);
        return;
    case BK_CLIENT_EVENT_MESSAGE_STATE:
        (void)snprintf(to, room, "message-state %s\n",
                       bk_client_message_state_name(e->message_state.state));
        return;
    default:
        (void)snprintf(to, room, "%s\n", bk_client_event_name(e->type));
    }
}

static const struct bk_client_event *next_event(struct place *place, const char *wanted)
{
    int64_t until = bk_clock_mono_ms(&bk_clock_system) + 20000;
    for (;;) {
        const struct bk_client_event *e = bk_client_event_next(place->client);
        if (e) {
            write_down(place, e);
            return e;
        }
        int64_t left = until - bk_clock_mono_ms(&bk_clock_system);
        if (left <= 0)
            fail_msg("no %s came; seen so far:\n%s", wanted, place->text);
        struct pollfd fd = { .fd = bk_client_event_fd(place->client), .events = POLLIN };
        (void)poll(&fd, 1, (int)left);
    }
}

const struct bk_client_event *await_event(struct place *place, enum bk_client_event_type type)
{
    for (;;) {
        const struct bk_client_event *e = next_event(place, bk_client_event_name(type));
        if (e->type == type)
            return e;
        bk_client_event_done(place->client, e);
    }
}

const struct bk_client_event *await_state(struct place *place, enum bk_client_state state)
{
    for (;;) {
        const struct bk_client_event *e = next_event(place, bk_client_state_name(state));
        if (e->type == BK_CLIENT_EVENT_STATE && e->state.state == state)
            return e;
        bk_client_event_done(place->client, e);
    }
}

void done(struct place *place, const struct bk_client_event *event)
{
    bk_client_event_done(place->client, event);
}

void signed_in(struct place *place)
{
    assert_int_equal(bk_client_sign_in(place->client, ANN, "secret", NULL), 0);
    done(place, await_state(place, BK_CLIENT_SIGNED_IN));
}

enum bk_client_next await_failure(struct place *place, const char *id)
{
    const struct bk_client_event *e = await_event(place, BK_CLIENT_EVENT_FAILURE);
    if (strcmp(e->failure.id, id) != 0)
        fail_msg("%s instead of %s; seen so far:\n%s", e->failure.id, id, place->text);
    enum bk_client_next next = e->failure.next;
    done(place, e);
    return next;
}

/* ---- folders ---- */

static const char *needle_sought;
static int n_found, n_files;

static int look_into(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    if (flag != FTW_F)
        return 0;
    n_files++;
    BK_AUTO_BUF struct bk_buf text = { 0 };
    if (needle_sought && bk_file_read(path, 1 << 24, &text) == 0 &&
        bk_view_find_view(bk_buf_view(&text), bk_view_of_str(needle_sought)) < text.len)
        n_found++;
    return 0;
}

bool folder_holds(const char *dir, const char *needle)
{
    needle_sought = needle;
    n_found = n_files = 0;
    (void)nftw(dir, look_into, 16, FTW_PHYS);
    return n_found > 0;
}

int folder_files(const char *dir)
{
    needle_sought = NULL;
    n_found = n_files = 0;
    (void)nftw(dir, look_into, 16, FTW_PHYS);
    return n_files;
}
