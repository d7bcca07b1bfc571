/* SPDX-License-Identifier: Apache-2.0 */
/* What the service says of itself: help, health and metrics. */
#include "server/services_private.h"

#include "base/cleanup.h"
#include "server/json.h"

#include <stdio.h>

void services_help(struct bk_services *s, struct bk_http_exchange *x,
                   const struct bk_http_request *request, const struct services_route *route)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    const struct services_route *r;
    (void)route;
    if (services_wants_json(request)) {
        bk_buf_add_lit(&to, "{\"v\":1,\"service\":\"beckon\",\"services\":");
        bk_json_add_string(&to, bk_view_of_str(s->config.services_url));
        bk_buf_add_lit(&to, ",\"requests\":[");
        for (size_t i = 0; (r = services_route_at(i)) != NULL; i++)
            if (r->help && services_route_on(s, r))
                bk_buf_addf(&to, "%s\"%s\"", i ? "," : "", r->path);
        bk_buf_add_lit(&to, "]}");
        services_answer(x, 200, bk_buf_view(&to));
        return;
    }
    bk_buf_addf(
        &to,
        "This is a Beckon server. Programs sign in here; there is nothing to see for a browser.\r\n"
        "\r\n"
        "Sign in with a Beckon client and your address (name@your-domain). If that does not work, "
        "give\r\n"
        "the case code that the client shows to your administrator: `beckonctl case CODE` tells "
        "the rest.\r\n"
        "\r\n"
        "For programs: POST JSON to %s followed by\r\n",
        s->config.services_url);
    for (size_t i = 0; (r = services_route_at(i)) != NULL; i++)
        if (r->help && services_route_on(s, r))
            bk_buf_addf(&to, "  %-10s %s\r\n", r->path, r->help);
    bk_http_answer(x, 200, "text/plain; charset=utf-8", bk_buf_view(&to));
}

void services_health(struct bk_services *s, struct bk_http_exchange *x,
                     const struct bk_http_request *request, const struct services_route *route)
{
    (void)request, (void)route;
    BK_AUTO_BUF struct bk_buf members = { 0 }, to = { 0 };
    int store = bk_store_health(s->config.store);
    bool well = store == 0;
    if (s->config.health && !s->config.health(s->config.ctx, &members))
        well = false;
    bk_buf_addf(&to, "{\"status\":\"%s\",\"version\":\"%s\",\"store\":", well ? "ok" : "degraded",
                BK_VERSION);
    bk_json_add_string(&to, bk_view_of_str(store == 0 ? "ok" : strerror(-store)));
    bk_buf_addf(&to, ",\"workers_waiting\":%zu", bk_work_waiting(s->config.work));
    bk_buf_add_view(&to, bk_buf_view(&members));
    bk_buf_add_char(&to, '}');
    services_answer(x, 200, bk_buf_view(&to));
}

void services_metrics(struct bk_services *s, struct bk_http_exchange *x,
                      const struct bk_http_request *request, const struct services_route *route)
{
    (void)request, (void)route;
    static const char *const outcomes[OUTCOME_COUNT] = { "ok", "refused", "bad" };
    BK_AUTO_BUF struct bk_buf to = { 0 };
    struct bk_store_stats stats;

    if (s->config.metrics)
        s->config.metrics(s->config.ctx, &to);
    bk_buf_add_lit(&to, "# TYPE beckon_https_requests counter\n"
                        "# HELP beckon_https_requests Requests under the services' address, by "
                        "what became of them.\n");
    const struct services_route *r;
    for (size_t i = 0; (r = services_route_at(i)) != NULL; i++)
        for (int o = 0; r->op && o < OUTCOME_COUNT; o++)
            bk_buf_addf(&to, "beckon_https_requests_total{request=\"%s\",outcome=\"%s\"} %llu\n",
                        r->path, outcomes[o], (unsigned long long)services_counts(s, r)[o]);
    bk_buf_addf(
        &to,
        "# TYPE beckon_discoveries counter\n"
        "# HELP beckon_discoveries Discovery requests.\n"
        "beckon_discoveries_total %llu\n"
        "# TYPE beckon_workers_waiting gauge\n"
        "# HELP beckon_workers_waiting Password hashes and signatures that wait for a worker.\n"
        "beckon_workers_waiting %zu\n",
        (unsigned long long)s->discoveries, bk_work_waiting(s->config.work));
    bk_store_stats(s->config.store, &stats);
    bk_buf_addf(&to,
                "# TYPE beckon_store_batches counter\n"
                "# HELP beckon_store_batches Changes handed to the store.\n"
                "beckon_store_batches_total %llu\n"
                "# TYPE beckon_store_commits counter\n"
                "# HELP beckon_store_commits Commits that reached the disk.\n"
                "beckon_store_commits_total %llu\n"
                "# TYPE beckon_store_failures counter\n"
                "# HELP beckon_store_failures Changes that could not be written.\n"
                "beckon_store_failures_total %llu\n"
                "# TYPE beckon_store_healthy gauge\n"
                "# HELP beckon_store_healthy 1 while the store takes writes.\n"
                "beckon_store_healthy %d\n"
                "# EOF\n",
                (unsigned long long)stats.batches, (unsigned long long)stats.commits,
                (unsigned long long)stats.failures, bk_store_health(s->config.store) == 0);
    bk_http_answer(x, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8",
                   bk_buf_view(&to));
}
