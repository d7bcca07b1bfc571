/* SPDX-License-Identifier: Apache-2.0 */
/* server/settings.h - the configuration file: addresses, certificates, where the store is, and the limits. */
#ifndef BK_SERVER_SETTINGS_H
#define BK_SERVER_SETTINGS_H

#include "server/core.h"

#include <stdio.h>

/*
 * An INI file. One table (settings.c) names every key with kind, default, range and a sentence; the
 * parser, `beckond --help-settings` and the man page come from it. Everything else about a
 * running server lives in the store and is changed with beckonctl.
 */
struct bk_settings {
    char *
        name; /* our host name: in Via where there is no address, source= of diagnostics, certificates */
    char *store;        /* database file */
    char *admin_socket; /* where beckonctl finds us */
    char *tls, *tcp, *udp, *https, *https_ask,
        *http;               /* listen addresses "127.0.0.1:5061,[::1]:5061"; empty: off */
    char *certificate, *key; /* PEM files */
    char *dsk_min, *dsk_max; /* "1.0": of the inner TLS of TLS-DSK */
    bool beckon_road, dsk_road; /* of [sign-in] */
    char *
        public_url; /* "https://host:port" under which clients reach us; empty: made from name and https or tls */
    char *advertise; /* "host:port" of SIP over TLS in discovery; empty: name and the tls port */
    char *user;      /* to become after the ports are bound; empty: stay */
    char *log_level;
    bool log_json;
    int64_t shards, hash_workers, hash_queue;
    char *own_networks; /* "10.0.0.0/8,..."; empty: loopback and private ranges */
    int64_t strangers_per_ip, connections_per_ip, new_per_ip_s, own_strangers_per_ip,
        own_new_per_ip_s;
    int64_t handshake_ms, first_request_ms, torn_ms, out_queue, udp_peers;
    int64_t memory_max; /* bytes; 0: no limit: 75 % no new sign-ins, 90 % nothing new */
    struct bk_core_limits limits;
};

/* Reads the file over the defaults. -EINVAL with *ret_why "file:line: what is wrong" (caller frees). */
int bk_settings_load(const char *path, struct bk_settings *ret, char **ret_why);
void bk_settings_finish(struct bk_settings *settings);
/* One line per key: name, default, sentence; as the man page has it. */
void bk_settings_help(FILE *to);
/* A commented file with these few values filled in, for `beckonctl init`. */
struct bk_settings_value {
    const char *section_key; /* "listen.tls" */
    const char *value;
};
void bk_settings_write(FILE *to, const struct bk_settings_value *values, size_t n);

#endif
