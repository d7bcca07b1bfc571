/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates: of people's devices, of the server, and the domain's own authority. */
#include "server/admin_private.h"

#include "server/authority.h"

#include <stdio.h>
#include <string.h>

enum {
    NAMES_MAX = 128, /* of one server certificate */
    CERTIFICATE_DAYS = 825,
};

static bool certificate_row(void *ctx, const struct bk_certificate *row)
{
    json_array_append_new(
        ctx,
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "serial", admin_view(row->serial),
                  "device", admin_view(row->device_name), "issued", admin_when(row->issued_at),
                  "not_after", admin_when(row->not_after), "revoked", admin_when(row->revoked_at),
                  "revoked_by", admin_view(row->revoked_by), "why", admin_view(row->revoked_why)));
    return true;
}

void admin_certificate_list(struct call *call)
{
    struct bk_user user;
    if (!admin_user_arg(call, &user))
        return;
    call->result = json_array();
    bk_store_certificates(admin_store(call), user.id, &call->arena, certificate_row, call->result);
}

struct revoking {
    struct call *call;
    int n;
};

static bool revoke_row(void *ctx, const struct bk_certificate *row)
{
    struct revoking *r = ctx;
    if (!row->revoked_at && r->call->admin->config.core)
        json_array_append_new(r->call->result, admin_view(row->serial));
    r->n += !row->revoked_at;
    return true;
}

void admin_certificate_revoke(struct call *call)
{
    struct bk_view serial = admin_arg_lower(call, "serial");
    struct bk_view why = admin_arg(call, "why");
    struct bk_certificate row;
    struct bk_user user;
    if (!why.len)
        why = BK_VIEW("revoked by an administrator");
    if (serial.len) {
        if (bk_store_certificate(admin_store(call), serial, &call->arena, &row) < 0)
            FAIL(call, "missing", "serial", "There is no certificate %.*s.", BK_VIEW_ARGS(serial));
        bk_store_revoke_certificate(admin_batch(call), serial, admin_now(call),
                                    bk_view_of_str(call->actor), why);
        call->result = json_array();
        json_array_append_new(call->result, admin_view(serial));
        return;
    }
    if (!admin_user_arg(call, &user))
        return;
    struct revoking r = { call, 0 };
    call->result = json_array();
    bk_store_certificates(admin_store(call), user.id, &call->arena, revoke_row, &r);
    bk_store_revoke_certificates_of(admin_batch(call), user.id, admin_now(call),
                                    bk_view_of_str(call->actor), why);
}

void admin_authority_show(struct call *call)
{
    struct bk_view pem;
    if (bk_store_secret(admin_store(call), BK_VIEW("authority.crt"), &call->arena, &pem) < 0)
        FAIL(call, "missing", NULL, "This store has no certificate authority: run beckonctl init.");
    call->result = json_pack("{s:o}", "pem", admin_view(pem));
}

/* A new certificate for the server, by the domain's own authority; its key is made here and kept by the caller. */
void admin_authority_certify(struct call *call)
{
    const json_t *names = json_object_get(call->args, "names");
    struct bk_view views[NAMES_MAX], key, certificate;
    struct bk_authority *authority = NULL;
    struct bk_buf new_key = { 0 }, new_certificate = { 0 };
    const char *why = NULL;
    size_t n = json_array_size(names);
    if (!n || n > NAMES_MAX)
        FAIL(call, "usage", "names", "Between 1 and %d host names are needed.", NAMES_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || !*name || strlen(name) > 253 ||
            name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.*")])
            FAIL(call, "invalid", "names", "Number %zu is no host name.", i + 1);
        views[i] = bk_view_of_str(name);
    }
    if (bk_store_secret(admin_store(call), BK_VIEW("authority.key"), &call->arena, &key) < 0 ||
        bk_store_secret(admin_store(call), BK_VIEW("authority.crt"), &call->arena, &certificate) <
            0)
        FAIL(call, "missing", NULL, "This store has no certificate authority: run beckonctl init.");
    int r = bk_authority_load(key, certificate, &authority, &why);
    if (r == 0)
        r = bk_authority_server_certificate(authority, views, n, admin_now(call), CERTIFICATE_DAYS,
                                            &new_key, &new_certificate);
    if (r == 0)
        call->result =
            json_pack("{s:o, s:o}", "certificate", admin_view(bk_buf_view(&new_certificate)), "key",
                      admin_view(bk_buf_view(&new_key)));
    bk_authority_destroy(authority);
    if (new_key.at)
        bk_wipe(new_key.at, new_key.cap);
    bk_buf_finish(&new_key);
    bk_buf_finish(&new_certificate);
    if (r < 0)
        FAIL(call, "store", NULL, "The certificate cannot be made: %s.", why ? why : strerror(-r));
    admin_batch(call); /* nothing but the audit's row goes there */
}
