/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a server sends: refused with a reason and the answer untouched, or read into what is safe to use: hosts
 * that are hosts, ports that are ports, texts that end, codes and record ids in their one spelling.
 */
#include "base/text.h"
#include "client/answers.h"
#include "record/record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_servers(const struct bk_answer_server *servers, int n)
{
    if (n < 0 || n > BK_ANSWER_SERVERS_MAX)
        abort();
    for (int i = 0; i < n; i++) {
        struct bk_view host = bk_view_of_str(servers[i].host);
        struct bk_answer_server again;
        if (!host.len || !servers[i].port)
            abort();
        if (bk_answer_host_port(host, servers[i].port, &again) < 0 ||
            !bk_view_equal(bk_view_of_str(again.host), host))
            abort();
    }
}

static void check_refusal(struct bk_view body, struct bk_view header)
{
    struct bk_arena arena = { 0 };
    struct bk_answer_refusal r;
    if (bk_answer_refusal_parse(body, header, &arena, &r) == 0) {
        char code[BK_CASE_CODE_SIZE];
        if (*r.record && !bk_record_parse(bk_view_of_str(r.record)))
            abort();
        if (*r.case_code && (bk_case_code_parse(bk_view_of_str(r.case_code), code) < 0 ||
                             strcmp(code, r.case_code) != 0))
            abort();
        if (!bk_utf8_valid(bk_view_of_str(r.text)) || r.retry_after_s < 0 ||
            r.retry_after_s > 86400)
            abort();
    }
    bk_arena_finish(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view text = { (const char *)data, size };
    struct bk_arena arena = { 0 };
    struct bk_answer_discovery doc = { .n_servers = 77 };
    struct bk_answer_signin answer = { .n_servers = 77 };
    const char *why = NULL;

    if (bk_answer_discovery_parse(text, &arena, &doc, &why) == 0) {
        check_servers(doc.servers, doc.n_servers);
        if (!bk_view_starts_with(bk_view_of_str(doc.services), BK_VIEW("https://")))
            abort();
    } else if (!why || doc.n_servers != 77) {
        abort();
    }
    why = NULL;
    if (bk_answer_signin_parse(text, &arena, &answer, &why) == 0) {
        check_servers(answer.servers, answer.n_servers);
        if (!*answer.certificate)
            abort();
    } else if (!why || answer.n_servers != 77) {
        abort();
    }
    check_refusal(text, (struct bk_view){ 0 });
    check_refusal((struct bk_view){ 0 }, text);
    bk_arena_finish(&arena);
    return 0;
}
