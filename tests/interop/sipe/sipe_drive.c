/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sipe_drive - the stock pidgin-sipe plugin of libpurple without a window: a Lync-compatible client for tests.
 *
 * Signs in through the real "prpl-sipe" plugin with a private libpurple home,
 * prints one JSON object per line on stdout for everything that happens and
 * reads one command per line on stdin.  See README.md beside this file.
 */
#include <glib-unix.h>
#include <glib.h>
#include <purple.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UI_ID "sipe-drive"
#define PRPL "prpl-sipe"

static GMainLoop *loop;
static PurpleAccount *account;
static gint64 t0;
static int exit_code = 3; /* 0 ok, 2 login error, 3 never connected */
static gboolean was_online = FALSE;
static gboolean cert_accept = TRUE;
static gboolean ask_accept = TRUE;
static gboolean stay = FALSE;
static FILE *debug_fp;

/* ---- output ---- */
static void put_json_string(GString *s, const char *v)
{
    const unsigned char *p = (const unsigned char *)v;
    g_string_append_c(s, '"');
    for (; p && *p; p++) {
        switch (*p) {
        case '"':
            g_string_append(s, "\\\"");
            break;
        case '\\':
            g_string_append(s, "\\\\");
            break;
        case '\n':
            g_string_append(s, "\\n");
            break;
        case '\r':
            g_string_append(s, "\\r");
            break;
        case '\t':
            g_string_append(s, "\\t");
            break;
        default:
            if (*p < 0x20)
                g_string_append_printf(s, "\\u%04x", *p);
            else
                g_string_append_c(s, *p);
        }
    }
    g_string_append_c(s, '"');
}

/* ev("name", "key", "value", ..., NULL): NULL values become JSON null */
static void ev(const char *name, ...)
{
    GString *s = g_string_new(NULL);
    va_list ap;
    const char *k;
    g_string_append_printf(s, "{\"t\":%.3f,\"ev\":", (g_get_monotonic_time() - t0) / 1e6);
    put_json_string(s, name);
    va_start(ap, name);
    while ((k = va_arg(ap, const char *)) != NULL) {
        const char *v = va_arg(ap, const char *);
        g_string_append_c(s, ',');
        put_json_string(s, k);
        g_string_append_c(s, ':');
        if (v)
            put_json_string(s, v);
        else
            g_string_append(s, "null");
    }
    va_end(ap);
    g_string_append(s, "}");
    puts(s->str);
    fflush(stdout);
    g_string_free(s, TRUE);
}

/* ---- event loop ---- */
struct io_closure {
    PurpleInputFunction f;
    gpointer d;
};

static gboolean io_invoke(GIOChannel *src, GIOCondition c, gpointer data)
{
    struct io_closure *x = data;
    PurpleInputCondition pc = 0;
    if (c & (G_IO_IN | G_IO_HUP | G_IO_ERR))
        pc |= PURPLE_INPUT_READ;
    if (c & (G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL))
        pc |= PURPLE_INPUT_WRITE;
    x->f(x->d, g_io_channel_unix_get_fd(src), pc);
    return TRUE;
}

static guint io_add(gint fd, PurpleInputCondition c, PurpleInputFunction f, gpointer d)
{
    struct io_closure *x = g_new0(struct io_closure, 1);
    GIOChannel *ch = g_io_channel_unix_new(fd);
    GIOCondition gc = 0;
    guint id;
    x->f = f;
    x->d = d;
    if (c & PURPLE_INPUT_READ)
        gc |= G_IO_IN | G_IO_HUP | G_IO_ERR;
    if (c & PURPLE_INPUT_WRITE)
        gc |= G_IO_OUT | G_IO_HUP | G_IO_ERR | G_IO_NVAL;
    id = g_io_add_watch_full(ch, G_PRIORITY_DEFAULT, gc, io_invoke, x, g_free);
    g_io_channel_unref(ch);
    return id;
}

static PurpleEventLoopUiOps loop_ops = { g_timeout_add, g_source_remove,
                                         io_add,        g_source_remove,
                                         NULL,          g_timeout_add_seconds,
                                         NULL,          NULL,
                                         NULL };

/* ---- debug sink ---- */
static void dbg_print(PurpleDebugLevel l, const char *cat, const char *arg)
{
    if (debug_fp) {
        fprintf(debug_fp, "%s: %s", cat ? cat : "", arg);
        fflush(debug_fp);
    }
    (void)l;
}
static gboolean dbg_on(PurpleDebugLevel l, const char *c)
{
    (void)l;
    (void)c;
    return debug_fp != NULL;
}
static PurpleDebugUiOps dbg_ops = { dbg_print, dbg_on, NULL, NULL, NULL, NULL };

/* ---- requests ---- */
/* All dialogs are answered by policy so that nothing ever blocks. */
static void *rq_action(const char *title, const char *primary, const char *secondary, int def,
                       PurpleAccount *a, const char *who, PurpleConversation *c, void *ud, size_t n,
                       va_list ap)
{
    gboolean cert = (primary && (strstr(primary, "ertificate"))) || (title && strstr(title, "SSL"));
    gboolean yes = cert ? cert_accept : ask_accept;
    PurpleRequestActionCb chosen = NULL;
    const char *chosen_label = NULL;
    size_t i, want = 0;
    /* SIPE and the TLS verifier both put the accepting button first */
    for (i = 0; i < n; i++) {
        const char *label = va_arg(ap, const char *);
        PurpleRequestActionCb cb = va_arg(ap, PurpleRequestActionCb);
        gboolean neg = strstr(label, "eject") || strstr(label, "ancel") ||
                       strstr(label, "ecline") || strstr(label, "_No") || strstr(label, "View");
        if (!chosen && (yes ? !neg : (strstr(label, "eject") || strstr(label, "ecline")))) {
            chosen = cb;
            chosen_label = label;
            want = i;
        }
    }
    ev(cert ? "certificate" : "ask", "title", title, "primary", primary, "secondary", secondary,
       "answer", chosen_label, NULL);
    if (chosen)
        chosen(ud, (int)want);
    (void)def;
    (void)a;
    (void)who;
    (void)c;
    return NULL;
}
static void *rq_fields(const char *title, const char *primary, const char *secondary,
                       PurpleRequestFields *f, const char *ok, GCallback okcb, const char *cancel,
                       GCallback cancelcb, PurpleAccount *a, const char *who, PurpleConversation *c,
                       void *ud)
{
    ev("ask-fields", "title", title, "primary", primary, "secondary", secondary, NULL);
    (void)f;
    (void)ok;
    (void)okcb;
    (void)cancel;
    (void)cancelcb;
    (void)a;
    (void)who;
    (void)c;
    (void)ud;
    return NULL;
}
static void *rq_input(const char *title, const char *primary, const char *secondary,
                      const char *def, gboolean ml, gboolean mask, gchar *hint, const char *ok,
                      GCallback okcb, const char *cancel, GCallback cancelcb, PurpleAccount *a,
                      const char *who, PurpleConversation *c, void *ud)
{
    ev("ask-input", "title", title, "primary", primary, "secondary", secondary, NULL);
    (void)def;
    (void)ml;
    (void)mask;
    (void)hint;
    (void)ok;
    (void)okcb;
    (void)cancel;
    (void)cancelcb;
    (void)a;
    (void)who;
    (void)c;
    (void)ud;
    return NULL;
}
static PurpleRequestUiOps rq_ops = { rq_input, NULL, rq_action, rq_fields, NULL, NULL,
                                     NULL,     NULL, NULL,      NULL,      NULL };

/* ---- notifications ---- */
static void *nt_message(PurpleNotifyMsgType t, const char *title, const char *primary,
                        const char *secondary)
{
    ev("notify", "level",
       t == PURPLE_NOTIFY_MSG_ERROR     ? "error"
       : t == PURPLE_NOTIFY_MSG_WARNING ? "warning"
                                        : "info",
       "title", title, "primary", primary, "secondary", secondary, NULL);
    return NULL;
}
static void *nt_formatted(const char *title, const char *primary, const char *secondary,
                          const char *text)
{
    char *plain = purple_markup_strip_html(text);
    ev("notify-text", "title", title, "primary", primary, "secondary", secondary, "text", plain,
       NULL);
    g_free(plain);
    return NULL;
}
static void *nt_userinfo(PurpleConnection *gc, const char *who, PurpleNotifyUserInfo *ui)
{
    GList *l;
    for (l = purple_notify_user_info_get_entries(ui); l; l = l->next) {
        PurpleNotifyUserInfoEntry *e = l->data;
        const char *label = purple_notify_user_info_entry_get_label(e);
        const char *value = purple_notify_user_info_entry_get_value(e);
        if (label || value)
            ev("userinfo", "who", who, "label", label, "value", value, NULL);
    }
    ev("userinfo-end", "who", who, NULL);
    (void)gc;
    return NULL;
}
static void *nt_search(PurpleConnection *gc, const char *title, const char *primary,
                       const char *secondary, PurpleNotifySearchResults *r, gpointer ud)
{
    GList *row;
    for (row = r->rows; row; row = row->next) {
        GList *cell, *col = r->columns;
        GString *s = g_string_new(NULL);
        for (cell = row->data; cell; cell = cell->next, col = col ? col->next : NULL)
            g_string_append_printf(s, "%s%s", s->len ? "\t" : "",
                                   cell->data ? (char *)cell->data : "");
        ev("search-row", "cells", s->str, NULL);
        g_string_free(s, TRUE);
    }
    ev("search-end", "primary", primary, "secondary", secondary, NULL);
    (void)gc;
    (void)title;
    (void)ud;
    return g_malloc0(1);
}
static PurpleNotifyUiOps nt_ops = { nt_message, NULL,        NULL, nt_formatted, nt_search,
                                    NULL,       nt_userinfo, NULL, NULL,         NULL,
                                    NULL,       NULL,        NULL };

/* ---- conversations ---- */
static void cv_write(PurpleConversation *c, const char *name, const char *alias, const char *msg,
                     PurpleMessageFlags f, time_t when)
{
    char *plain = purple_markup_strip_html(msg);
    const char *kind = purple_conversation_get_type(c) == PURPLE_CONV_TYPE_CHAT ? "chat" : "im";
    if (f & PURPLE_MESSAGE_ERROR)
        ev("conv-error", "kind", kind, "with", purple_conversation_get_name(c), "text", plain,
           NULL);
    else if (f & PURPLE_MESSAGE_SYSTEM)
        ev("conv-system", "kind", kind, "with", purple_conversation_get_name(c), "text", plain,
           NULL);
    else if (f & PURPLE_MESSAGE_RECV)
        ev(kind[0] == 'c' ? "chat-in" : "im-in", "conv", purple_conversation_get_name(c), "from",
           name, "text", plain, "html", msg, NULL);
    else if (f & PURPLE_MESSAGE_SEND)
        ev(kind[0] == 'c' ? "chat-out" : "im-out", "conv", purple_conversation_get_name(c), "text",
           plain, NULL);
    g_free(plain);
    (void)alias;
    (void)when;
}
static PurpleConversationUiOps cv_ops; /* only write_conv is set */

/* ---- signals ---- */
static const char *prim(PurpleStatus *s)
{
    return purple_primitive_get_id_from_type(
        purple_status_type_get_primitive(purple_status_get_type(s)));
}
static void report_presence(PurpleBuddy *b)
{
    PurplePresence *p = purple_buddy_get_presence(b);
    PurpleStatus *s = purple_presence_get_active_status(p);
    PurplePlugin *pl = purple_find_prpl(PRPL);
    PurplePluginProtocolInfo *pi = pl ? PURPLE_PLUGIN_PROTOCOL_INFO(pl) : NULL;
    char *text = pi && pi->status_text ? pi->status_text(b) : NULL;
    ev("presence", "uri", purple_buddy_get_name(b), "status", purple_status_get_id(s), "primitive",
       prim(s), "online", purple_presence_is_online(p) ? "1" : "0", "idle",
       purple_presence_is_idle(p) ? "1" : "0", "text", text, "alias", purple_buddy_get_alias(b),
       NULL);
    g_free(text);
}
static void on_status(PurpleBuddy *b, PurpleStatus *o, PurpleStatus *n)
{
    (void)o;
    (void)n;
    report_presence(b);
}
static void on_buddy(PurpleBuddy *b)
{
    report_presence(b);
}
static void on_idle(PurpleBuddy *b, gint o, gint n)
{
    (void)o;
    (void)n;
    report_presence(b);
}
static void on_blist_add(PurpleBlistNode *n)
{
    if (PURPLE_BLIST_NODE_IS_BUDDY(n)) {
        PurpleBuddy *b = (PurpleBuddy *)n;
        PurpleGroup *g = purple_buddy_get_group(b);
        ev("buddy", "uri", purple_buddy_get_name(b), "group", g ? purple_group_get_name(g) : NULL,
           "alias", purple_buddy_get_alias(b), NULL);
    }
}
static void on_blist_del(PurpleBlistNode *n)
{
    if (PURPLE_BLIST_NODE_IS_BUDDY(n))
        ev("buddy-removed", "uri", purple_buddy_get_name((PurpleBuddy *)n), NULL);
}
static void on_alias(PurpleBlistNode *n, const char *old)
{
    if (PURPLE_BLIST_NODE_IS_BUDDY(n))
        ev("buddy-alias", "uri", purple_buddy_get_name((PurpleBuddy *)n), "alias",
           purple_buddy_get_alias((PurpleBuddy *)n), NULL);
    (void)old;
}
static void on_signed_on(PurpleConnection *gc)
{
    was_online = TRUE;
    exit_code = 0;
    ev("connected", "account", purple_account_get_username(purple_connection_get_account(gc)),
       NULL);
}
static void on_signed_off(PurpleConnection *gc)
{
    ev("disconnected", NULL);
    if (!stay)
        g_main_loop_quit(loop);
    (void)gc;
}
static void on_conn_error(PurpleConnection *gc, PurpleConnectionError r, const char *d)
{
    char num[12];
    static const char *names[] = { "network_error",
                                   "invalid_username",
                                   "authentication_failed",
                                   "authentication_impossible",
                                   "no_ssl_support",
                                   "encryption_error",
                                   "name_in_use",
                                   "invalid_settings",
                                   "cert_not_provided",
                                   "cert_untrusted",
                                   "cert_expired",
                                   "cert_not_activated",
                                   "cert_hostname_mismatch",
                                   "cert_fingerprint_mismatch",
                                   "cert_self_signed",
                                   "cert_other_error",
                                   "other_error" };
    g_snprintf(num, sizeof(num), "%d", (int)r);
    ev("error", "reason", num, "name", (unsigned)r < G_N_ELEMENTS(names) ? names[r] : "?", "text",
       d, NULL);
    exit_code = was_online ? 4 : 2;
    (void)gc;
}
static void on_typing(PurpleAccount *a, const char *who)
{
    ev("typing", "from", who, "state", "typing", NULL);
    (void)a;
}
static void on_typing_stop(PurpleAccount *a, const char *who)
{
    ev("typing", "from", who, "state", "stopped", NULL);
    (void)a;
}
static void on_chat_joined(PurpleConversation *c)
{
    ev("chat-joined", "conv", purple_conversation_get_name(c), "title",
       purple_conversation_get_title(c), NULL);
}
static void on_chat_user(PurpleConversation *c, const char *who, PurpleConvChatBuddyFlags f,
                         gboolean na)
{
    ev("chat-user-joined", "conv", purple_conversation_get_name(c), "who", who, NULL);
    (void)f;
    (void)na;
}
static void on_chat_left(PurpleConversation *c, const char *who, const char *why)
{
    ev("chat-user-left", "conv", purple_conversation_get_name(c), "who", who, NULL);
    (void)why;
}
static void on_chat_topic(PurpleConversation *c, const char *who, const char *topic)
{
    ev("chat-topic", "conv", purple_conversation_get_name(c), "topic", topic, NULL);
    (void)who;
}
static void on_self_status(PurpleAccount *a, PurpleStatus *o, PurpleStatus *n)
{
    if (a == account)
        ev("self-status", "status", purple_status_get_id(n), "message",
           purple_status_get_attr_string(n, "message"), NULL);
    (void)o;
}
static void on_file_recv(PurpleXfer *x, gpointer d)
{
    char *path = g_build_filename(purple_user_dir(), "received.bin", NULL);
    ev("file-offer", "from", purple_xfer_get_remote_user(x), "name", purple_xfer_get_filename(x),
       NULL);
    purple_xfer_request_accepted(x, path);
    g_free(path);
    (void)d;
}
static void on_file_done(PurpleXfer *x, gpointer d)
{
    ev("file-done", "name", purple_xfer_get_filename(x), NULL);
    (void)d;
}

/* ---- commands ---- */
static void uri_fix(char **w)
{
    if (strncmp(*w, "sip:", 4)) {
        char *n = g_strconcat("sip:", *w, NULL);
        *w = n;
    }
}

static PurpleConversation *im_conv(char *who)
{
    PurpleConversation *c =
        purple_find_conversation_with_account(PURPLE_CONV_TYPE_IM, who, account);
    return c ? c : purple_conversation_new(PURPLE_CONV_TYPE_IM, account, who);
}
static void menu_action(const char *who, const char *label)
{
    /* runs a SIPE buddy-menu entry whose label contains the given text */
    PurpleBuddy *b = purple_find_buddy(account, who);
    PurplePluginProtocolInfo *pi = PURPLE_PLUGIN_PROTOCOL_INFO(purple_find_prpl(PRPL));
    GList *l = b && pi->blist_node_menu ? pi->blist_node_menu((PurpleBlistNode *)b) : NULL;
    for (; l; l = l->next) {
        PurpleMenuAction *m = l->data;
        if (!m)
            continue;
        if (!*label) {
            ev("menu", "label", m->label, NULL);
            continue;
        }
        if (m->label && strstr(m->label, label) && m->callback) {
            ((void (*)(PurpleBlistNode *, gpointer))m->callback)((PurpleBlistNode *)b, m->data);
            ev("menu-run", "label", m->label, NULL);
            return;
        }
    }
    if (*label)
        ev("command-error", "text", "no such menu entry", NULL);
}

static PurpleGroup *group_named(const char *name)
{
    PurpleGroup *g = purple_find_group(name);
    if (!g) {
        g = purple_group_new(name);
        purple_blist_add_group(g, NULL);
    }
    return g;
}

#ifdef USE_VV_CALLS
static void hang_up(void)
{
    GList *all = g_list_copy(purple_media_manager_get_media(purple_media_manager_get()));
    for (GList *l = all; l; l = l->next)
        purple_media_stream_info(l->data, PURPLE_MEDIA_INFO_HANGUP, NULL, NULL, TRUE);
    if (!all)
        ev("command-error", "text", "no call", NULL);
    g_list_free(all);
}
#endif

static void run_command(char *line)
{
    char *w[3] = { NULL, NULL, NULL };
    gchar **parts;
    PurpleConnection *gc = purple_account_get_connection(account);
    g_strstrip(line);
    if (!*line || *line == '#')
        return;
    parts = g_strsplit(line, " ", 3);
    w[0] = parts[0];
    w[1] = parts[0] ? parts[1] : NULL;
    w[2] = w[1] ? parts[2] : NULL;
    if (!strcmp(w[0], "quit")) {
        purple_account_disconnect(account);
        if (!gc)
            g_main_loop_quit(loop);
    } else if (!strcmp(w[0], "status") && w[1]) {
        PurpleStatusType *st = purple_account_get_status_type(account, w[1]);
        if (!st)
            ev("command-error", "text", "unknown status id", NULL);
        else if (w[2])
            purple_account_set_status(account, w[1], TRUE, "message", w[2], NULL);
        else
            purple_account_set_status(account, w[1], TRUE, NULL);
    } else if (!strcmp(w[0], "connect")) {
        purple_account_connect(account);
    } else if (!gc) {
        ev("command-error", "text", "not connected", NULL);
    } else if (!strcmp(w[0], "im") && w[1] && w[2]) {
        uri_fix(&w[1]);
        purple_conv_im_send(PURPLE_CONV_IM(im_conv(w[1])), w[2]);
    } else if (!strcmp(w[0], "typing") && w[1]) {
        uri_fix(&w[1]);
        serv_send_typing(gc, w[1], PURPLE_TYPING);
    } else if (!strcmp(w[0], "close") && w[1]) {
        uri_fix(&w[1]);
        purple_conversation_destroy(im_conv(w[1]));
    } else if (!strcmp(w[0], "add") && w[1]) {
        uri_fix(&w[1]);
        PurpleBuddy *b = purple_buddy_new(account, w[1], NULL);
        purple_blist_add_buddy(b, NULL, group_named(w[2] ? w[2] : "Other Contacts"), NULL);
        purple_account_add_buddy(account, b);
    } else if (!strcmp(w[0], "remove") && w[1]) {
        PurpleBuddy *b;
        uri_fix(&w[1]);
        b = purple_find_buddy(account, w[1]);
        if (b) {
            purple_account_remove_buddy(account, b, purple_buddy_get_group(b));
            purple_blist_remove_buddy(b);
        } else
            ev("command-error", "text", "no such buddy", NULL);
    } else if (!strcmp(w[0], "alias") && w[1] && w[2]) {
        PurpleBuddy *b;
        uri_fix(&w[1]);
        b = purple_find_buddy(account, w[1]);
        if (b) {
            purple_blist_alias_buddy(b, w[2]);
            serv_alias_buddy(b);
        }
    } else if (!strcmp(w[0], "move") && w[1] && w[2]) {
        uri_fix(&w[1]);
        PurpleBuddy *b = purple_find_buddy(account, w[1]);
        if (b)
            purple_blist_add_buddy(b, NULL, group_named(w[2]), NULL);
        else
            ev("command-error", "text", "no such buddy", NULL);
    } else if (!strcmp(w[0], "group-rename") && w[1] && w[2]) {
        PurpleGroup *g = purple_find_group(w[1]);
        if (g)
            purple_blist_rename_group(g, w[2]);
        else
            ev("command-error", "text", "no such group", NULL);
    } else if (!strcmp(w[0], "group-remove") && w[1]) {
        PurpleGroup *g = purple_find_group(w[1]);
        if (g) {
            purple_account_remove_group(account, g);
            purple_blist_remove_group(g);
        } else {
            ev("command-error", "text", "no such group", NULL);
        }
    } else if (!strcmp(w[0], "idle") && w[1]) {
        gboolean idle = !strcmp(w[1], "on");
        purple_presence_set_idle(purple_account_get_presence(account), idle,
                                 idle ? time(NULL) - 600 : 0);
    } else if (!strcmp(w[0], "info") && w[1]) {
        uri_fix(&w[1]);
        serv_get_info(gc, w[1]);
    } else if (!strcmp(w[0], "block") && w[1]) {
        uri_fix(&w[1]);
        purple_privacy_deny_add(account, w[1], FALSE);
    } else if (!strcmp(w[0], "unblock") && w[1]) {
        uri_fix(&w[1]);
        purple_privacy_deny_remove(account, w[1], FALSE);
    } else if (!strcmp(w[0], "menu") && w[1]) {
        uri_fix(&w[1]);
        menu_action(w[1], w[2] ? w[2] : "");
    } else if (!strcmp(w[0], "join") && w[1]) {
        GHashTable *h = g_hash_table_new(g_str_hash, g_str_equal);
        g_hash_table_insert(h, "uri", w[1]);
        serv_join_chat(gc, h);
    } else if (!strcmp(w[0], "chat") && w[1]) {
        /* chat <text...>: to the newest joined chat */
        GList *l = purple_get_chats();
        char *text = w[2] ? g_strdup_printf("%s %s", w[1], w[2]) : g_strdup(w[1]);
        if (l)
            purple_conv_chat_send(PURPLE_CONV_CHAT((PurpleConversation *)l->data), text);
        else
            ev("command-error", "text", "no chat joined", NULL);
        g_free(text);
    } else if (!strcmp(w[0], "sendfile") && w[1] && w[2]) {
        uri_fix(&w[1]);
        serv_send_file(gc, w[1], w[2]);
#ifdef USE_VV_CALLS
    } else if (!strcmp(w[0], "call") && w[1]) {
        gboolean video = w[2] && !strcmp(w[2], "video");
        uri_fix(&w[1]);
        purple_prpl_initiate_media(
            account, w[1], video ? PURPLE_MEDIA_AUDIO | PURPLE_MEDIA_VIDEO : PURPLE_MEDIA_AUDIO);
    } else if (!strcmp(w[0], "hangup")) {
        hang_up();
#endif
    } else if (!strcmp(w[0], "list")) {
        GSList *l, *all = purple_find_buddies(account, NULL);
        for (l = all; l; l = l->next)
            report_presence(l->data);
        g_slist_free(all);
        ev("list-end", NULL);
    } else {
        ev("command-error", "text", line, NULL);
    }
    g_strfreev(parts);
}

static gboolean on_stdin(GIOChannel *ch, GIOCondition c, gpointer d)
{
    gchar *line = NULL;
    gsize len;
    GIOStatus st = g_io_channel_read_line(ch, &line, &len, NULL, NULL);
    if (st == G_IO_STATUS_NORMAL && line)
        run_command(line);
    g_free(line);
    (void)c;
    (void)d;
    return st != G_IO_STATUS_EOF; /* EOF keeps the session running */
}
static gboolean on_login_timeout(gpointer d)
{
    if (!was_online) {
        ev("timeout", "text", "not connected in time", NULL);
        exit_code = 3;
        g_main_loop_quit(loop);
    }
    (void)d;
    return FALSE;
}
static gboolean on_run_timeout(gpointer d)
{
    ev("timeout", "text", "run time over", NULL);
    g_main_loop_quit(loop);
    (void)d;
    return FALSE;
}
static gboolean on_signal(gpointer d)
{
    purple_account_disconnect(account);
    g_main_loop_quit(loop);
    (void)d;
    return FALSE;
}

#ifdef USE_VV_CALLS
#include <gst/gst.h>
#include <media-gst.h>
#include <mediamanager.h>
static GstElement *mk_src(PurpleMediaElementInfo *i, PurpleMedia *m, const gchar *s, const gchar *p)
{
    GstElement *e = gst_element_factory_make("audiotestsrc", NULL);
    g_object_set(e, "is-live", TRUE, "wave", 0, NULL);
    (void)i;
    (void)m;
    (void)s;
    (void)p;
    return e;
}
/* What arrives: told once a call, when HEARD buffers that are not silence came. Streaming thread. */
enum { HEARD = 25 };
static gboolean tell_heard(gpointer d)
{
    (void)d;
    ev("media-heard", NULL);
    return FALSE;
}
static void on_sound(GstElement *sink, GstBuffer *buffer, GstPad *pad, gint *n)
{
    GstMapInfo map;
    gboolean sound = FALSE;
    (void)sink;
    (void)pad;
    if (*n >= HEARD || !gst_buffer_map(buffer, &map, GST_MAP_READ))
        return;
    for (gsize i = 0; i < map.size && !sound; i++)
        sound = map.data[i] != 0;
    gst_buffer_unmap(buffer, &map);
    if (sound && ++*n == HEARD)
        g_idle_add(tell_heard, NULL);
}
static GstElement *mk_sink(PurpleMediaElementInfo *i, PurpleMedia *m, const gchar *s,
                           const gchar *p)
{
    GstElement *e = gst_element_factory_make("fakesink", NULL);
    gint *n = g_new0(gint, 1);
    g_object_set(e, "async", FALSE, "signal-handoffs", TRUE, NULL);
    g_signal_connect_data(e, "handoff", G_CALLBACK(on_sound), n, (GClosureNotify)g_free, 0);
    (void)i;
    (void)m;
    (void)s;
    (void)p;
    return e;
}
static void on_media_state(PurpleMedia *m, PurpleMediaState s, const char *sid, const char *who,
                           gpointer d)
{
    char n[8];
    g_snprintf(n, 8, "%d", s);
    ev("media-state", "state", n, "session", sid, "who", who, NULL);
    (void)m;
    (void)d;
}
static gboolean auto_accept(gpointer d)
{
    PurpleMedia *m = d;
    purple_media_stream_info(m, PURPLE_MEDIA_INFO_ACCEPT, NULL, NULL, TRUE);
    return FALSE;
}
static gboolean on_media(PurpleMediaManager *mm, PurpleMedia *m, PurpleAccount *a, const char *who,
                         gpointer d)
{
    gboolean init = purple_media_is_initiator(m, NULL, NULL);
    ev("media", "who", who, "initiator", init ? "1" : "0", NULL);
    g_signal_connect(m, "state-changed", G_CALLBACK(on_media_state), NULL);
    if (!init)
        g_timeout_add(500, auto_accept, m);
    (void)mm;
    (void)a;
    (void)d;
    return TRUE;
}
static void media_setup(void)
{
    PurpleMediaManager *mm;
    PurpleMediaElementInfo *src, *snk;
    gst_init(NULL, NULL);
    mm = purple_media_manager_get();
    purple_media_manager_set_ui_caps(mm, PURPLE_MEDIA_CAPS_AUDIO |
                                             PURPLE_MEDIA_CAPS_AUDIO_SINGLE_DIRECTION |
                                             PURPLE_MEDIA_CAPS_MODIFY_SESSION);
    src = g_object_new(PURPLE_TYPE_MEDIA_ELEMENT_INFO, "id", "drivesrc", "name", "drive source",
                       "type",
                       PURPLE_MEDIA_ELEMENT_AUDIO | PURPLE_MEDIA_ELEMENT_SRC |
                           PURPLE_MEDIA_ELEMENT_ONE_SRC | PURPLE_MEDIA_ELEMENT_UNIQUE,
                       "create-cb", mk_src, NULL);
    snk = g_object_new(
        PURPLE_TYPE_MEDIA_ELEMENT_INFO, "id", "drivesink", "name", "drive sink", "type",
        PURPLE_MEDIA_ELEMENT_AUDIO | PURPLE_MEDIA_ELEMENT_SINK | PURPLE_MEDIA_ELEMENT_ONE_SINK,
        "create-cb", mk_sink, NULL);
    purple_media_manager_set_active_element(mm, src);
    purple_media_manager_set_active_element(mm, snk);
    g_signal_connect(mm, "init-media", G_CALLBACK(on_media), NULL);
}
#endif

static void ui_init(void)
{
    cv_ops.write_conv = cv_write;
    purple_conversations_set_ui_ops(&cv_ops);
    purple_request_set_ui_ops(&rq_ops);
    purple_notify_set_ui_ops(&nt_ops);
}
static PurpleCoreUiOps core_ops = { NULL, NULL, ui_init, NULL, NULL, NULL, NULL, NULL };

int main(int argc, char **argv)
{
    static gchar *server, *uri, *login, *password, *transport = "tls", *auth = "ntlm", *home,
                                                   *agent, *dbg, *email_url, *status = "available",
                                                   *set_str;
    static gboolean sso, reject_cert, decline, sf;
    static gint wait_s = 30, run_s = 0;
    GOptionEntry o[] = {
        { "server", 's', 0, G_OPTION_ARG_STRING, &server, "host[:port]; empty = autodiscovery",
          "HOST" },
        { "uri", 'u', 0, G_OPTION_ARG_STRING, &uri, "sign-in name user@example.com", "URI" },
        { "login", 'l', 0, G_OPTION_ARG_STRING, &login, "login name, DOMAIN\\user or user@REALM",
          "NAME" },
        { "password", 'p', 0, G_OPTION_ARG_STRING, &password,
          "password (or SIPE_PASSWORD in the environment)", "PW" },
        { "transport", 't', 0, G_OPTION_ARG_STRING, &transport, "tls | tcp | auto", "T" },
        { "auth", 'a', 0, G_OPTION_ARG_STRING, &auth, "ntlm | kerberos | tls-dsk | auto", "A" },
        { "sso", 0, 0, G_OPTION_ARG_NONE, &sso, "single sign-on (Kerberos ticket cache)", NULL },
        { "home", 'H', 0, G_OPTION_ARG_STRING, &home, "libpurple home (default: new temporary one)",
          "DIR" },
        { "useragent", 0, 0, G_OPTION_ARG_STRING, &agent, "User-Agent override", "UA" },
        { "email-url", 0, 0, G_OPTION_ARG_STRING, &email_url, "EWS URL", "URL" },
        { "status", 0, 0, G_OPTION_ARG_STRING, &status, "initial status id", "ID" },
        { "debug", 'd', 0, G_OPTION_ARG_STRING, &dbg, "write the full protocol trace there",
          "FILE" },
        { "wait", 'w', 0, G_OPTION_ARG_INT, &wait_s, "seconds to wait for the sign-in", "N" },
        { "run", 'r', 0, G_OPTION_ARG_INT, &run_s, "stop after N seconds (0 = until quit)", "N" },
        { "stay", 0, 0, G_OPTION_ARG_NONE, &sf, "keep running after a disconnect", NULL },
        { "reject-cert", 0, 0, G_OPTION_ARG_NONE, &reject_cert, "refuse untrusted TLS certificates",
          NULL },
        { "decline", 0, 0, G_OPTION_ARG_NONE, &decline, "decline invitations instead of accepting",
          NULL },
        { "set", 0, 0, G_OPTION_ARG_STRING, &set_str, "extra account setting key=value", "K=V" },
        { NULL, 0, 0, 0, NULL, NULL, NULL }
    };
    GOptionContext *oc = g_option_context_new("- drive the stock pidgin-sipe plugin");
    GError *err = NULL;
    PurplePlugin *prpl;
    PurpleSavedStatus *saved;
    char *user;
    void *h = &loop;
    GIOChannel *in;

    signal(SIGPIPE, SIG_IGN);
    t0 = g_get_monotonic_time();
    g_option_context_add_main_entries(oc, o, NULL);
    if (!g_option_context_parse(oc, &argc, &argv, &err)) {
        fprintf(stderr, "%s\n", err->message);
        return 1;
    }
    if (!password)
        password = g_strdup(g_getenv("SIPE_PASSWORD"));
    if (!uri) {
        fprintf(stderr, "--uri is required\n");
        return 1;
    }
    cert_accept = !reject_cert;
    ask_accept = !decline;
    stay = sf;
    if (!home) {
        home = g_strdup("/tmp/sipe-drive-XXXXXX");
        if (!mkdtemp(home))
            return 1;
    } else
        g_mkdir_with_parents(home, 0700);
    if (dbg) {
        debug_fp = fopen(dbg, "w");
        purple_debug_set_unsafe(TRUE);
        purple_debug_set_verbose(TRUE);
    }

    loop = g_main_loop_new(NULL, FALSE);
    purple_util_set_user_dir(home);
    purple_debug_set_enabled(FALSE);
    purple_debug_set_ui_ops(&dbg_ops);
    purple_core_set_ui_ops(&core_ops);
    purple_eventloop_set_ui_ops(&loop_ops);
    if (g_getenv("SIPE_PLUGIN_DIR"))
        purple_plugins_add_search_path(g_getenv("SIPE_PLUGIN_DIR"));
    if (!purple_core_init(UI_ID)) {
        fprintf(stderr, "libpurple did not start\n");
        return 1;
    }
    purple_set_blist(purple_blist_new());
    purple_blist_load();
    purple_prefs_load();
    prpl = purple_find_prpl(PRPL);
    ev("start", "libpurple", purple_core_get_version(), "plugin",
       prpl ? purple_plugin_get_version(prpl) : NULL, "home", home, NULL);
    if (!prpl) {
        ev("error", "reason", "-1", "name", "no_plugin", "text", "prpl-sipe is not installed",
           NULL);
        return 5;
    }
#ifdef USE_VV_CALLS
    media_setup();
#endif

#define SIG(hnd, name, f) purple_signal_connect(hnd, name, h, PURPLE_CALLBACK(f), NULL)
    SIG(purple_connections_get_handle(), "signed-on", on_signed_on);
    SIG(purple_connections_get_handle(), "signed-off", on_signed_off);
    SIG(purple_connections_get_handle(), "connection-error", on_conn_error);
    SIG(purple_blist_get_handle(), "buddy-status-changed", on_status);
    SIG(purple_blist_get_handle(), "buddy-signed-on", on_buddy);
    SIG(purple_blist_get_handle(), "buddy-signed-off", on_buddy);
    SIG(purple_blist_get_handle(), "buddy-idle-changed", on_idle);
    SIG(purple_blist_get_handle(), "blist-node-added", on_blist_add);
    SIG(purple_blist_get_handle(), "blist-node-removed", on_blist_del);
    SIG(purple_blist_get_handle(), "blist-node-aliased", on_alias);
    SIG(purple_conversations_get_handle(), "buddy-typing", on_typing);
    SIG(purple_conversations_get_handle(), "buddy-typing-stopped", on_typing_stop);
    SIG(purple_conversations_get_handle(), "chat-joined", on_chat_joined);
    SIG(purple_conversations_get_handle(), "chat-buddy-joined", on_chat_user);
    SIG(purple_conversations_get_handle(), "chat-buddy-left", on_chat_left);
    SIG(purple_conversations_get_handle(), "chat-topic-changed", on_chat_topic);
    SIG(purple_accounts_get_handle(), "account-status-changed", on_self_status);
    SIG(purple_xfers_get_handle(), "file-recv-request", on_file_recv);
    SIG(purple_xfers_get_handle(), "file-recv-complete", on_file_done);
    SIG(purple_xfers_get_handle(), "file-send-complete", on_file_done);

    user = login ? g_strdup_printf("%s,%s", uri, login) : g_strdup_printf("%s,", uri);
    account = purple_account_new(user, PRPL);
    if (password)
        purple_account_set_password(account, password);
    purple_account_set_remember_password(account, TRUE);
    purple_account_set_string(account, "server", server ? server : "");
    purple_account_set_string(account, "transport", transport);
    purple_account_set_string(account, "authentication",
                              !strcmp(auth, "kerberos")    ? "krb5"
                              : !strcmp(auth, "automatic") ? "auto"
                                                           : auth);
    purple_account_set_bool(account, "sso", sso);
    purple_account_set_bool(account, "dont-publish", TRUE);
    purple_account_set_bool(account, "allow-web-photo", TRUE);
    if (agent)
        purple_account_set_string(account, "useragent", agent);
    if (email_url)
        purple_account_set_string(account, "email_url", email_url);
    if (set_str) {
        gchar **kv = g_strsplit(set_str, "=", 2);
        if (kv[0] && kv[1])
            purple_account_set_string(account, kv[0], kv[1]);
        g_strfreev(kv);
    }
    purple_accounts_add(account);
    purple_account_set_enabled(account, UI_ID, TRUE);
    saved = purple_savedstatus_new(NULL, PURPLE_STATUS_AVAILABLE);
    if (strcmp(status, "available"))
        purple_account_set_status(account, status, TRUE, NULL);
    else
        purple_savedstatus_activate(saved);

    in = g_io_channel_unix_new(0);
    g_io_add_watch(in, G_IO_IN | G_IO_HUP, on_stdin, NULL);
    g_timeout_add_seconds(wait_s, on_login_timeout, NULL);
    if (run_s)
        g_timeout_add_seconds(run_s, on_run_timeout, NULL);
    g_unix_signal_add(SIGTERM, on_signal, NULL);
    g_unix_signal_add(SIGINT, on_signal, NULL);
    g_main_loop_run(loop);
    ev("exit", NULL);
    purple_core_quit();
    return exit_code;
}
