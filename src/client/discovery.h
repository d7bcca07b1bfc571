/* SPDX-License-Identifier: Apache-2.0 */
/* client/discovery.h - from the domain of an address to servers, in the order of docs/behaviour.md, "Discovery". */
#ifndef BK_CLIENT_DISCOVERY_H
#define BK_CLIENT_DISCOVERY_H

#include "client/answers.h"
#include "client/fault.h"

/* Something worth trying. Names come from DNS or a document: trust in them is decided later. */
struct bk_offer {
    char kind[12];  /* "cached", "manual", "https", "SRV", "A" */
    char name[288]; /* the name that led here */
    struct bk_answer_server servers[BK_ANSWER_SERVERS_MAX];
    int n_servers;
    char services[1025]; /* "": not known yet, the server's 401 names it */
    unsigned methods;    /* enum bk_answer_method; 0: not known */
    bool user_required;
    char min_client[32]; /* "": not known */
    /*
     * The server speaks the Lync dialect and has no sign-in service of ours: its document said so, or its 401. Then sts_uri is where the
     * certificate is to be had; "": not known yet, the 401 names it.
     */
    bool lync;
    char sts_uri[1025];
    char ticket_host
        [256]; /* where a web ticket is to be asked for, when that lies outside the domain */
};

struct bk_discovery_config {
    struct bk_loop *loop;
    struct bk_dns *dns;
    struct bk_tls_client *tls;
    struct bk_proxies *proxies; /* of the HTTPS steps; NULL: none */
    const char *domain;         /* lower case; copied */
    uint16_t https_port;        /* 0: 443 */
    int http_ms;
    int silence_ms; /* the walk ends when nobody, neither name server nor host, has said a word by then; 0: never */
    struct bk_tried *tried; /* each step adds its row */
    void (*offer)(void *ctx, const struct bk_offer *offer);
    void (*exhausted)(void *ctx);
    void (*date)(void *ctx, struct bk_view date); /* Date field of an HTTPS answer */
    void *ctx;
};

/*
 * One walk through the steps. bk_discovery_next goes on to the next step that finds something, and is
 * called again when that did not lead to a server. Its callbacks come from the loop, never from
 * within bk_discovery_next; one of offer and exhausted for each call. Destroying ends what is under way.
 */
struct bk_discovery;
int bk_discovery_create(const struct bk_discovery_config *config, struct bk_discovery **ret);
void bk_discovery_next(struct bk_discovery *discovery);
struct bk_discovery *bk_discovery_destroy(struct bk_discovery *discovery);

#endif
