/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/signin_page.h"

#include "desktop/deleted_view.h"
#include "desktop/failure_card.h"
#include "desktop/words.h"

#include <glib/gi18n.h>
#include <stdlib.h>

/* What the page shows; one at a time, the others are hidden (a screen reader reads what is not). */
enum view { VIEW_FORM, VIEW_PROGRESS, VIEW_TRUST, VIEW_CHANGE, VIEW_DELETED, VIEW_COUNT };

struct _BkSigninPage {
    GtkWidget parent;
    BkApp *app; /* outlives the page */
    GtkWidget *menu, *scrolled, *form, *progress, *trust, *change;
    BkDeletedView *deleted;
    GtkWidget *logo, *welcome;
    BkFailureCard *failure;
    GtkWidget *address, *accounts, *password, *user, *status, *hint, *keep_row, *keep;
    GtkWidget *sign_in, *user_differs, *forget;
    GtkWidget *progress_address, *spinner, *progress_text, *cancel, *try_now;
    GtkWidget *trust_text, *trust_always, *trust_once, *trust_no;
    GtkWidget *change_group, *old_password, *new_password, *repeat_password, *change_hint,
        *change_button;

    enum view view;
    char *asked;       /* the address whose password the engine waits for; NULL: for none */
    bool user_opened;  /* the person said that the user name differs */
    bool user_needed;  /* the server did */
    bool left_address; /* what is typed there may be called incomplete */
    bool changing;     /* a password change is under way */
    bool keep_changed; /* since the password was asked for: the sign-in begins anew with it */
    char *new_secret;  /* to sign in with, once it counts; wiped */
};
G_DEFINE_TYPE(BkSigninPage, bk_signin_page, GTK_TYPE_WIDGET)

static const enum bk_pidf_manual first_states[] = {
    BK_PIDF_MANUAL_MISSING, BK_PIDF_MANUAL_BUSY, BK_PIDF_MANUAL_DND,     BK_PIDF_MANUAL_BRB,
    BK_PIDF_MANUAL_OFFWORK, BK_PIDF_MANUAL_AWAY, BK_PIDF_MANUAL_OFFLINE,
};

/* What the engine says about an address (its words are English), for the translators. */
G_GNUC_UNUSED static const char *const address_words[] = {
    N_("a space"),
    N_("an apostrophe"),
    N_("a control character"),
    N_("a character that is not ASCII"),
    N_("an unsupported character"),
    N_("a dot at the start"),
    N_("a second dot in a row"),
    N_("a dot in front of the @"),
    N_("more than 64 characters before the @"),
    N_("more than 255 characters behind the @"),
    N_("a dot behind the @"),
    N_("a dot at the end"),
    N_("a hyphen in front of a dot"),
    N_("a hyphen at the start of a part of the domain"),
    N_("a hyphen at the end"),
    N_("more than 63 characters between two dots"),
    N_("a number at the end of the domain"),
};

/* ---- small things ---- */

static char *text_of(GtkWidget *entry)
{
    return g_strstrip(g_strdup(gtk_editable_get_text(GTK_EDITABLE(entry))));
}

/* Passwords are taken as they were typed. */
static const char *secret_of(GtkWidget *entry)
{
    return gtk_editable_get_text(GTK_EDITABLE(entry));
}

static void clear_secret(GtkWidget *entry)
{
    gtk_editable_set_text(GTK_EDITABLE(entry), "");
}

static void clear_secrets(BkSigninPage *page)
{
    clear_secret(page->password);
    clear_secret(page->old_password);
    clear_secret(page->new_password);
    clear_secret(page->repeat_password);
}

static void wipe(char **secret)
{
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    g_clear_pointer(secret, g_free);
}

static bool is_shown(GtkWidget *widget)
{
    return gtk_widget_get_visible(widget);
}

static void set_class(GtkWidget *widget, const char *class, bool on)
{
    if (on)
        gtk_widget_add_css_class(widget, class);
    else
        gtk_widget_remove_css_class(widget, class);
}

static void enable(BkSigninPage *page, const char *name, bool enabled)
{
    gtk_widget_action_set_enabled(GTK_WIDGET(page), name, enabled);
}

/* ---- the address ---- */

static bool is_address(const char *text)
{
    size_t at;
    const char *why;
    return bk_client_check_address(text, &at, &why) == 0;
}

/* Is that only for not being typed to its end? */
static bool is_incomplete(const char *text, const char *why)
{
    static const char *const unfinished[] = { "no @",
                                              "nothing before the @",
                                              "nothing behind the @",
                                              "a dot at the end",
                                              "a hyphen at the end",
                                              "a number at the end of the domain",
                                              NULL };
    return g_strv_contains(unfinished, why) ||
           (strcmp(why, "a dot in front of the @") == 0 && !strchr(text, '@'));
}

/* What to say about it; NULL: nothing (yet). */
static char *address_complaint(BkSigninPage *page, const char *text)
{
    size_t at;
    const char *why;
    if (!*text || bk_client_check_address(text, &at, &why) == 0 ||
        (is_incomplete(text, why) && !page->left_address))
        return NULL;
    if (strcmp(why, "no @") == 0)
        return g_strdup(_("The @ and what stands behind it are missing, as in name@example.org."));
    if (strcmp(why, "nothing before the @") == 0)
        return g_strdup(_("The name before the @ is missing, as in name@example.org."));
    if (strcmp(why, "nothing behind the @") == 0)
        return g_strdup(_("Your organisation behind the @ is missing, as in name@example.org."));
    return g_strdup_printf(_("A sign-in address cannot contain %s."), _(why));
}

static void show_hint(BkSigninPage *page, GtkWidget *row, const char *text)
{
    set_class(page->address, "error", text && row == page->address);
    set_class(page->password, "error", text && row == page->password);
    set_class(page->user, "error", text && row == page->user);
    gtk_label_set_label(GTK_LABEL(page->hint), text ? text : "");
    gtk_widget_set_visible(page->hint, text != NULL);
}

static void update_form(BkSigninPage *page)
{
    g_autofree char *address = text_of(page->address);
    g_autofree char *complaint = address_complaint(page, address);
    bool good = is_address(address);
    BkAccount *account = bk_accounts_find(bk_app_accounts(page->app), address);
    bool keeps = gtk_switch_get_active(GTK_SWITCH(page->keep));
    bool asked = page->asked && g_ascii_strcasecmp(page->asked, address) == 0;
    bool saved = account && bk_account_is_saved(account) && keeps;
    bool has_user = account && *bk_account_user(account);

    show_hint(page, complaint ? page->address : NULL, complaint);
    gtk_widget_set_visible(page->password, good && (!saved || asked));
    gtk_widget_set_visible(page->user,
                           good && (page->user_opened || (asked && page->user_needed) || has_user));
    gtk_widget_set_visible(page->user_differs, good && !is_shown(page->user) && !saved);
    gtk_widget_set_visible(page->forget, account != NULL);
    enable(page, "signin.sign-in", good);
}

static void address_changed(BkSigninPage *page)
{
    g_autofree char *address = text_of(page->address);
    BkAccount *account = bk_accounts_find(bk_app_accounts(page->app), address);
    if (account)
        gtk_editable_set_text(GTK_EDITABLE(page->user), bk_account_user(account));
    else if (!page->user_opened) /* it was that of the address before */
        gtk_editable_set_text(GTK_EDITABLE(page->user), "");
    update_form(page);
}

static void address_left(BkSigninPage *page)
{
    g_autofree char *address = text_of(page->address);
    page->left_address = *address != 0;
    update_form(page);
}

/* The user name to go with a new password; NULL: the address says it. Caller frees. */
static char *user_of_change(BkSigninPage *page)
{
    g_autofree char *user = text_of(page->user);
    bool counts = is_shown(page->user) || page->user_needed;
    return *user && counts ? g_steal_pointer(&user) : NULL;
}

static void fill_accounts(BkSigninPage *page)
{
    GListModel *model = G_LIST_MODEL(bk_app_accounts(page->app));
    g_autoptr(GMenu) menu = g_menu_new();
    guint n = g_list_model_get_n_items(model);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkAccount) account = g_list_model_get_item(model, i);
        g_auto(GStrv) parts = g_strsplit(bk_account_address(account), "_", -1);
        g_autofree char *label = g_strjoinv("__", parts); /* no mnemonic */
        g_autoptr(GMenuItem) item = g_menu_item_new(label, NULL);
        g_menu_item_set_action_and_target(item, "signin.account", "s", bk_account_address(account));
        g_menu_append_item(menu, item);
    }
    gtk_menu_button_set_menu_model(GTK_MENU_BUTTON(page->accounts), G_MENU_MODEL(menu));
    gtk_widget_set_visible(page->accounts, n > 0);
    if (page->view == VIEW_FORM)
        update_form(page);
}

static void act_account(GtkWidget *widget, const char *name, GVariant *target)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    (void)name;
    clear_secrets(page); /* one person's password is not for another's server */
    gtk_editable_set_text(GTK_EDITABLE(page->address), g_variant_get_string(target, NULL));
    gtk_widget_grab_focus(is_shown(page->password) ? page->password : page->sign_in);
}

/* Who signed in last; else what the organisation expects here. */
static void fill_address(BkSigninPage *page)
{
    g_autoptr(BkAccount) account =
        g_list_model_get_item(G_LIST_MODEL(bk_app_accounts(page->app)), 0);
    const char *set = bk_settings_string(bk_app_settings(page->app), BK_SETTING_ADDRESS);
    g_autoptr(GString) expected = g_string_new(set);
    g_string_replace(expected, "{user}", g_get_user_name(), 0);
    gtk_editable_set_text(GTK_EDITABLE(page->address),
                          account ? bk_account_address(account) : expected->str);
    gtk_editable_set_position(GTK_EDITABLE(page->address), -1);
}

/* ---- the error ---- */

/* Who never signed in here is told with what; a failure needs the room. */
static void show_head(BkSigninPage *page)
{
    bool failed = gtk_widget_get_visible(GTK_WIDGET(page->failure));
    bool known = g_list_model_get_n_items(G_LIST_MODEL(bk_app_accounts(page->app))) > 0;
    gtk_widget_set_visible(page->logo, page->view != VIEW_DELETED && !failed);
    gtk_widget_set_visible(page->welcome, page->view == VIEW_FORM && !failed && !known);
}

static void hide_error(BkSigninPage *page)
{
    bk_failure_card_hide(page->failure);
    show_head(page);
}

static void failure_is_shown(BkSigninPage *page)
{
    show_head(page);
    gtk_adjustment_set_value(
        gtk_scrolled_window_get_vadjustment(GTK_SCROLLED_WINDOW(page->scrolled)), 0);
}

static bool is_about(const struct bk_client_failure *failure, unsigned number)
{
    return failure->record && failure->record->number == number;
}

/* ---- views ---- */

static GtkWidget *widget_of(BkSigninPage *page, enum view view)
{
    GtkWidget *const widgets[VIEW_COUNT] = { page->form, page->progress, page->trust, page->change,
                                             GTK_WIDGET(page->deleted) };
    return widgets[view];
}

static void focus_in_form(BkSigninPage *page)
{
    g_autofree char *address = text_of(page->address);
    if (!is_address(address))
        gtk_widget_grab_focus(page->address);
    else if (is_shown(page->user) && page->user_needed && !*secret_of(page->user))
        gtk_widget_grab_focus(page->user);
    else if (is_shown(page->password) && !*secret_of(page->password))
        gtk_widget_grab_focus(page->password);
    else
        gtk_widget_grab_focus(page->sign_in);
}

static void show_view(BkSigninPage *page, enum view view)
{
    bool other = page->view != view;
    page->view = view;
    for (int i = 0; i < VIEW_COUNT; i++)
        gtk_widget_set_visible(widget_of(page, (enum view)i), i == (int)view);
    show_head(page);
    gtk_spinner_set_spinning(GTK_SPINNER(page->spinner), view == VIEW_PROGRESS);
    if (view == VIEW_FORM)
        update_form(page);
    if (!other)
        return;
    if (view == VIEW_FORM)
        focus_in_form(page);
    else if (view == VIEW_PROGRESS)
        gtk_widget_grab_focus(page->cancel);
    else if (view == VIEW_TRUST)
        gtk_widget_grab_focus(page->trust_no);
    else if (view == VIEW_CHANGE)
        gtk_widget_grab_focus(*secret_of(page->old_password) ? page->new_password
                                                             : page->old_password);
    else
        gtk_widget_grab_focus(GTK_WIDGET(page->deleted));
}

/* ---- signing in ---- */

static void begin_sign_in(BkSigninPage *page)
{
    g_autofree char *address = text_of(page->address);
    g_autofree char *user = text_of(page->user);
    const char *password = secret_of(page->password);
    BkEngine *engine = bk_app_engine(page->app);
    bool wants_user = is_shown(page->user), wants_password = is_shown(page->password);
    if (!is_address(address)) {
        page->left_address = true;
        update_form(page);
        gtk_widget_grab_focus(page->address);
        return;
    }
    if (wants_user && page->user_needed && !*user) {
        show_hint(page, page->user, _("Enter the user name that your organisation gave you."));
        gtk_widget_grab_focus(page->user);
        return;
    }
    if (wants_password && !*password) {
        show_hint(page, page->password, _("Enter your password."));
        gtk_widget_grab_focus(page->password);
        return;
    }
    hide_error(page);
    bool answers = !page->keep_changed && page->asked &&
                   g_ascii_strcasecmp(page->asked, address) == 0 &&
                   bk_engine_state(engine) == BK_CLIENT_ASKING_CREDENTIAL;
    g_clear_pointer(&page->asked, g_free);
    const char *name = wants_user && *user ? user : NULL;
    g_autofree char *why = NULL;
    int r = answers
                ? bk_engine_credential(engine, password, name)
                : bk_app_sign_in(page->app, address, wants_password ? password : NULL, name, &why);
    if (r >= 0)
        return;
    bk_failure_card_say(page->failure, page->app, why ? why : g_strerror(-r),
                        _("Look at the connection settings in the options."));
    failure_is_shown(page);
}

static void act_sign_in(GtkWidget *widget, const char *name, GVariant *target)
{
    (void)name;
    (void)target;
    begin_sign_in(BK_SIGNIN_PAGE(widget));
}

static void act_cancel(GtkWidget *widget, const char *name, GVariant *target)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    (void)name;
    (void)target;
    page->changing = false;
    wipe(&page->new_secret);
    clear_secrets(page);
    hide_error(page);
    (void)bk_engine_sign_out(bk_app_engine(page->app));
}

static void act_automatic(GtkWidget *widget, const char *name, GVariant *target)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    (void)name;
    (void)target;
    if (bk_settings_set_bool(bk_app_settings(page->app), BK_SETTING_AUTOMATIC_SERVER, true))
        begin_sign_in(page);
}

static void act_user_differs(GtkWidget *widget, const char *name, GVariant *target)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    (void)name;
    (void)target;
    page->user_opened = true;
    update_form(page);
    gtk_widget_grab_focus(page->user);
}

static void act_forget(GtkWidget *widget, const char *name, GVariant *target)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    g_autofree char *address = text_of(page->address);
    (void)name;
    (void)target;
    bk_app_delete_sign_in_info(page->app, address);
}

static void act_back(GtkWidget *widget, const char *name, GVariant *target)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    (void)name;
    (void)target;
    clear_secret(page->old_password);
    clear_secret(page->new_password);
    clear_secret(page->repeat_password);
    if (page->view == VIEW_DELETED)
        fill_address(page);
    hide_error(page);
    show_view(page, VIEW_FORM);
}

/* ---- trust (SI-114) ---- */

static void act_trust(GtkWidget *widget, const char *name, GVariant *target)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    const char *word = g_variant_get_string(target, NULL);
    (void)name;
    (void)bk_engine_trust(bk_app_engine(page->app),
                          strcmp(word, "always") == 0 ? BK_CLIENT_TRUST_ALWAYS
                          : strcmp(word, "once") == 0 ? BK_CLIENT_TRUST_ONCE
                                                      : BK_CLIENT_TRUST_NO);
}

static void on_trust(BkSigninPage *page, const struct bk_client_event *event)
{
    g_autofree char *text =
        /* Translators: first an address, then a server */
        g_strdup_printf(_("For %s Beckon found the server %s. The connection is secure, but this "
                          "server belongs to another domain than your address. If you did not "
                          "expect that, ask your support first."),
                        event->trust.address, event->trust.server);
    gtk_label_set_label(GTK_LABEL(page->trust_text), text);
    show_view(page, VIEW_TRUST);
}

/* ---- a new password (SI-206) ---- */

static void ask_for_change(BkSigninPage *page, const char *address)
{
    g_autofree char *escaped = g_markup_escape_text(address, -1);
    g_autofree char *text = g_strdup_printf(_("For %s"), escaped);
    adw_preferences_group_set_description(ADW_PREFERENCES_GROUP(page->change_group), text);
    gtk_editable_set_text(GTK_EDITABLE(page->old_password), secret_of(page->password));
    clear_secret(page->password);
    clear_secret(page->new_password);
    clear_secret(page->repeat_password);
    gtk_widget_set_visible(page->change_hint, FALSE);
    show_view(page, VIEW_CHANGE);
}

static void act_change_password(GtkWidget *widget, const char *name, GVariant *target)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    g_autofree char *address = text_of(page->address);
    g_autofree char *user = user_of_change(page);
    const char *old = secret_of(page->old_password), *new = secret_of(page->new_password);
    (void)name;
    (void)target;
    GtkWidget *wrong = NULL;
    const char *why = NULL;
    if (!*old)
        wrong = page->old_password, why = _("Enter the password you have now.");
    else if (!*new)
        wrong = page->new_password, why = _("Enter a new password.");
    else if (strcmp(old, new) == 0)
        wrong = page->new_password, why = _("The new password is the old one.");
    else if (strcmp(new, secret_of(page->repeat_password)) != 0)
        wrong = page->repeat_password, why = _("The two new passwords differ.");
    set_class(page->old_password, "error", wrong == page->old_password);
    set_class(page->new_password, "error", wrong == page->new_password);
    set_class(page->repeat_password, "error", wrong == page->repeat_password);
    if (wrong) {
        gtk_label_set_label(GTK_LABEL(page->change_hint), why);
        gtk_widget_set_visible(page->change_hint, TRUE);
        gtk_widget_grab_focus(wrong);
        return;
    }
    hide_error(page);
    if (bk_engine_change_password(bk_app_engine(page->app), address, user, old, new) < 0)
        return;
    page->changing = true;
    wipe(&page->new_secret);
    page->new_secret = g_strdup(new);
    clear_secret(page->old_password);
    clear_secret(page->new_password);
    clear_secret(page->repeat_password);
}

/* The password was changed: on with the new one. */
static void changed(BkSigninPage *page)
{
    g_autofree char *address = text_of(page->address);
    g_autofree char *user = user_of_change(page);
    page->changing = false;
    if (page->new_secret)
        (void)bk_app_sign_in(page->app, address, page->new_secret, user, NULL);
    wipe(&page->new_secret);
}

/* ---- what was deleted ---- */

static void on_deleted(BkSigninPage *page, const struct bk_client_event *event)
{
    bk_deleted_view_show(page->deleted, page->app, event);
    hide_error(page);
    g_clear_pointer(&page->asked, g_free);
    page->user_opened = page->user_needed = false;
    clear_secrets(page);
    gtk_editable_set_text(GTK_EDITABLE(page->user), "");
    gtk_editable_set_text(GTK_EDITABLE(page->address), "");
    show_view(page, VIEW_DELETED);
}

/* ---- what the engine tells ---- */

static void update_progress(BkSigninPage *page, enum bk_client_state state, const char *detail)
{
    BkEngine *engine = bk_app_engine(page->app);
    int retry_in = 0;
    g_object_get(engine, "retry-in", &retry_in, NULL);
    g_autofree char *text = bk_word_progress(state, detail, retry_in);
    gtk_label_set_label(GTK_LABEL(page->progress_text), text);
    gtk_label_set_label(GTK_LABEL(page->progress_address), bk_engine_address(engine));
    /* Nothing goes on while the seconds are counted. */
    gtk_widget_set_visible(page->spinner, state != BK_CLIENT_RECONNECTING || retry_in <= 0);
    gtk_widget_set_visible(page->try_now, state == BK_CLIENT_RECONNECTING);
}

static void on_state(BkSigninPage *page, const struct bk_client_event *event)
{
    enum bk_client_state state = event->state.state;
    switch (state) {
    case BK_CLIENT_IDLE:
    case BK_CLIENT_SIGNED_OUT:
        if (page->view == VIEW_PROGRESS || page->view == VIEW_TRUST)
            show_view(page, VIEW_FORM);
        return;
    case BK_CLIENT_ASKING_TRUST:
    case BK_CLIENT_ASKING_CREDENTIAL: /* their events follow */
        return;
    case BK_CLIENT_SIGNED_IN:
        hide_error(page);
        clear_secrets(page);
        page->user_opened = false;
        g_clear_pointer(&page->asked, g_free);
        /* For the next time, when they did not type it here. */
        if (!*gtk_editable_get_text(GTK_EDITABLE(page->address)))
            gtk_editable_set_text(GTK_EDITABLE(page->address), event->state.address);
        break;
    default:
        break;
    }
    if (bk_engine_has_session(bk_app_engine(page->app)) && state != BK_CLIENT_SIGNED_IN)
        return; /* the main page tells about it */
    update_progress(page, state, event->state.detail);
    show_view(page, state == BK_CLIENT_SIGNED_IN ? VIEW_FORM : VIEW_PROGRESS);
}

static void retry_ticks(BkSigninPage *page)
{
    enum bk_client_state state = bk_engine_state(bk_app_engine(page->app));
    if (page->view == VIEW_PROGRESS && state == BK_CLIENT_RECONNECTING)
        update_progress(page, state, "");
}

static void on_credential(BkSigninPage *page, const struct bk_client_event *event)
{
    page->keep_changed = false;
    page->user_needed = event->credential.need_user;
    g_free(page->asked);
    page->asked = g_strdup(event->credential.address);
    g_autofree char *typed = text_of(page->address);
    if (g_ascii_strcasecmp(typed, page->asked) != 0)
        gtk_editable_set_text(GTK_EDITABLE(page->address), page->asked);
    if (*event->credential.user)
        gtk_editable_set_text(GTK_EDITABLE(page->user), event->credential.user);
    /* A wrong one is typed anew; where only the user name is missing the password stays. */
    if (!event->credential.need_user)
        clear_secret(page->password);
    show_view(page, VIEW_FORM);
    update_form(page);
    focus_in_form(page);
}

/* Where the person goes on. */
static GtkWidget *wrong_row(BkSigninPage *page, const struct bk_client_failure *failure)
{
    switch (failure->record ? failure->record->number : 0) {
    case 111:
    case 201:
    case 220:
    case 301:
        return page->address;
    case 106:
    case 202:
        return is_shown(page->password) ? page->password : page->sign_in;
    case 203:
        return is_shown(page->user) ? page->user : page->sign_in;
    default:
        return bk_failure_card_button(page->failure) ? bk_failure_card_button(page->failure)
                                                     : page->sign_in;
    }
}

static void on_failure(BkSigninPage *page, const struct bk_client_event *event)
{
    const struct bk_client_failure *failure = &event->failure;
    if (bk_engine_has_session(bk_app_engine(page->app)) && failure->next == BK_CLIENT_NEXT_RETRY)
        return;
    bk_failure_card_show(page->failure, page->app, failure);
    failure_is_shown(page);
    bool was_changing = page->changing;
    page->changing = false;
    wipe(&page->new_secret);
    if (failure->next != BK_CLIENT_NEXT_STOP)
        return;
    if (is_about(failure, 206) ||
        (was_changing && (is_about(failure, 202) || is_about(failure, 224)))) {
        ask_for_change(page, bk_engine_address(bk_app_engine(page->app)));
        return;
    }
    if (is_about(failure, 202) || is_about(failure, 106))
        clear_secret(page->password);
    show_view(page, VIEW_FORM);
    gtk_widget_grab_focus(wrong_row(page, failure));
}

/* It is told before the sign-in begins, and stays until that succeeds: the person may be asked for the password because of it. */
bool bk_signin_page_tells(BkEngine *engine, const struct bk_client_failure *notice)
{
    enum bk_client_state state = bk_engine_state(engine);
    return (is_about(notice, 105) || is_about(notice, 112)) &&
           (state == BK_CLIENT_IDLE || state == BK_CLIENT_SIGNED_OUT);
}

static void on_notice(BkSigninPage *page, const struct bk_client_event *event)
{
    if (bk_signin_page_tells(bk_app_engine(page->app), &event->failure)) {
        struct bk_client_failure shown = event->failure;
        shown.next = BK_CLIENT_NEXT_ASK; /* it goes on: nothing to press */
        bk_failure_card_show(page->failure, page->app, &shown);
        failure_is_shown(page);
    }
    if (page->changing && !event->failure.record)
        changed(page);
}

static void on_event(BkEngine *engine, const struct bk_client_event *event, BkSigninPage *page)
{
    (void)engine;
    switch (event->type) {
    case BK_CLIENT_EVENT_STATE:
        on_state(page, event);
        return;
    case BK_CLIENT_EVENT_CREDENTIAL:
        on_credential(page, event);
        return;
    case BK_CLIENT_EVENT_TRUST:
        on_trust(page, event);
        return;
    case BK_CLIENT_EVENT_FAILURE:
    case BK_CLIENT_EVENT_ENDED:
        on_failure(page, event);
        return;
    case BK_CLIENT_EVENT_NOTICE:
        on_notice(page, event);
        return;
    case BK_CLIENT_EVENT_DELETED:
        on_deleted(page, event);
        return;
    default:
        return;
    }
}

/* ---- options that stand on the page ---- */

static void status_chosen(BkSigninPage *page)
{
    guint i = adw_combo_row_get_selected(ADW_COMBO_ROW(page->status));
    if (i >= G_N_ELEMENTS(first_states))
        return;
    const char *word = first_states[i] == BK_PIDF_MANUAL_MISSING
                           ? "automatic"
                           : bk_pidf_manual_name(first_states[i]);
    (void)bk_settings_set_string(bk_app_settings(page->app), BK_SETTING_STATUS_AT_SIGN_IN, word);
}

static void keep_toggled(BkSigninPage *page)
{
    page->keep_changed |= bk_engine_state(bk_app_engine(page->app)) == BK_CLIENT_ASKING_CREDENTIAL;
    (void)bk_settings_set_bool(bk_app_settings(page->app), BK_SETTING_SAVE_SIGN_IN,
                               gtk_switch_get_active(GTK_SWITCH(page->keep)));
    update_form(page);
}

/* What the organisation fixes may change while the page is open. */
static void mark_managed(GtkWidget *row, bool managed, const char *plain)
{
    gtk_widget_set_sensitive(row, !managed);
    set_class(row, "managed", managed);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(row),
                                managed ? _("Set by your organisation") : plain);
}

static void read_settings(BkSigninPage *page)
{
    BkSettings *settings = bk_app_settings(page->app);
    const char *word = bk_settings_string(settings, BK_SETTING_STATUS_AT_SIGN_IN);
    enum bk_pidf_manual manual = bk_pidf_manual_of(bk_view_of_str(word));
    for (guint i = 0; i < G_N_ELEMENTS(first_states); i++)
        if (first_states[i] == manual)
            adw_combo_row_set_selected(ADW_COMBO_ROW(page->status), i);
    gtk_switch_set_active(GTK_SWITCH(page->keep),
                          bk_settings_bool(settings, BK_SETTING_SAVE_SIGN_IN));
    mark_managed(page->status, bk_settings_is_managed(settings, BK_SETTING_STATUS_AT_SIGN_IN), "");
    mark_managed(page->keep_row, bk_settings_is_managed(settings, BK_SETTING_SAVE_SIGN_IN),
                 _("Leave it off on a shared computer"));
    /* A screen reader asks the switch, not the row around it. */
    gtk_widget_set_sensitive(page->keep, gtk_widget_get_sensitive(page->keep_row));
}

static void fill_status(BkSigninPage *page)
{
    g_autoptr(GtkStringList) names = gtk_string_list_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(first_states); i++)
        gtk_string_list_append(names, first_states[i] == BK_PIDF_MANUAL_MISSING
                                          ? C_("status", "Automatic")
                                          : bk_word_manual(first_states[i]));
    adw_combo_row_set_model(ADW_COMBO_ROW(page->status), G_LIST_MODEL(names));
}

/* ---- life ---- */

static void dispose(GObject *object)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(object);
    GtkWidget *child;
    while ((child = gtk_widget_get_first_child(GTK_WIDGET(page))))
        gtk_widget_unparent(child);
    G_OBJECT_CLASS(bk_signin_page_parent_class)->dispose(object);
}

static void finalize(GObject *object)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(object);
    g_free(page->asked);
    wipe(&page->new_secret);
    G_OBJECT_CLASS(bk_signin_page_parent_class)->finalize(object);
}

static gboolean on_escape(GtkWidget *widget, GVariant *arguments, gpointer data)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    (void)arguments;
    (void)data;
    if (page->view == VIEW_PROGRESS)
        act_cancel(widget, NULL, NULL);
    else if (page->view == VIEW_CHANGE || page->view == VIEW_DELETED)
        act_back(widget, NULL, NULL);
    else if (page->view == VIEW_TRUST)
        (void)bk_engine_trust(bk_app_engine(page->app), BK_CLIENT_TRUST_NO);
    else
        return FALSE;
    return TRUE;
}

static gboolean grab_focus(GtkWidget *widget)
{
    BkSigninPage *page = BK_SIGNIN_PAGE(widget);
    if (page->view != VIEW_FORM)
        return gtk_widget_grab_focus(page->view == VIEW_PROGRESS ? page->cancel
                                     : page->view == VIEW_TRUST  ? page->trust_no
                                     : page->view == VIEW_CHANGE ? page->old_password
                                                                 : GTK_WIDGET(page->deleted));
    focus_in_form(page);
    return TRUE;
}

static void bk_signin_page_class_init(BkSigninPageClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    G_OBJECT_CLASS(class)->finalize = finalize;
    widget->grab_focus = grab_focus;
    g_type_ensure(BK_TYPE_FAILURE_CARD);
    g_type_ensure(BK_TYPE_DELETED_VIEW);
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/signin_page.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, BkSigninPage, name)
    CHILD(menu);
    CHILD(scrolled);
    CHILD(form);
    CHILD(progress);
    CHILD(trust);
    CHILD(change);
    CHILD(deleted);
    CHILD(logo);
    CHILD(welcome);
    CHILD(failure);
    CHILD(address);
    CHILD(accounts);
    CHILD(password);
    CHILD(user);
    CHILD(status);
    CHILD(hint);
    CHILD(keep_row);
    CHILD(keep);
    CHILD(sign_in);
    CHILD(user_differs);
    CHILD(forget);
    CHILD(progress_address);
    CHILD(spinner);
    CHILD(progress_text);
    CHILD(cancel);
    CHILD(try_now);
    CHILD(trust_text);
    CHILD(trust_always);
    CHILD(trust_once);
    CHILD(trust_no);
    CHILD(change_group);
    CHILD(old_password);
    CHILD(new_password);
    CHILD(repeat_password);
    CHILD(change_hint);
    CHILD(change_button);
#undef CHILD
    gtk_widget_class_add_binding(widget, GDK_KEY_Escape, 0, on_escape, NULL);
    gtk_widget_class_install_action(widget, "signin.sign-in", NULL, act_sign_in);
    gtk_widget_class_install_action(widget, "signin.retry", NULL, act_sign_in);
    gtk_widget_class_install_action(widget, "signin.cancel", NULL, act_cancel);
    gtk_widget_class_install_action(widget, "signin.automatic", NULL, act_automatic);
    gtk_widget_class_install_action(widget, "signin.user-differs", NULL, act_user_differs);
    gtk_widget_class_install_action(widget, "signin.forget", NULL, act_forget);
    gtk_widget_class_install_action(widget, "signin.back", NULL, act_back);
    gtk_widget_class_install_action(widget, "signin.account", "s", act_account);
    gtk_widget_class_install_action(widget, "signin.trust", "s", act_trust);
    gtk_widget_class_install_action(widget, "signin.change-password", NULL, act_change_password);
}

/* A long label takes a second line; it must not make the window wider. */
static void wrap(GtkWidget *button)
{
    GtkWidget *label = gtk_button_get_child(GTK_BUTTON(button));
    gtk_label_set_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_justify(GTK_LABEL(label), GTK_JUSTIFY_CENTER);
}

static void bk_signin_page_init(BkSigninPage *page)
{
    gtk_widget_init_template(GTK_WIDGET(page));
    wrap(page->user_differs);
    wrap(page->forget);
    wrap(page->trust_always);
    wrap(page->trust_once);
    wrap(page->trust_no);
    wrap(page->change_button);
}

static void on_row_enter(BkSigninPage *page)
{
    begin_sign_in(page);
}

static void on_change_enter(BkSigninPage *page)
{
    act_change_password(GTK_WIDGET(page), NULL, NULL);
}

BkSigninPage *bk_signin_page_new(BkApp *app)
{
    BkSigninPage *page = g_object_new(BK_TYPE_SIGNIN_PAGE, NULL);
    page->app = app;
    gtk_menu_button_set_menu_model(GTK_MENU_BUTTON(page->menu), bk_app_menu(app, "primary-menu"));
    fill_status(page);
    read_settings(page);
    fill_accounts(page);
    fill_address(page);

#define SWAPPED(object, signal, handler)                                                           \
    g_signal_connect_object(object, signal, G_CALLBACK(handler), page, G_CONNECT_SWAPPED)
    SWAPPED(page->address, "changed", address_changed);
    SWAPPED(page->address, "entry-activated", on_row_enter);
    SWAPPED(page->password, "entry-activated", on_row_enter);
    SWAPPED(page->user, "entry-activated", on_row_enter);
    SWAPPED(page->repeat_password, "entry-activated", on_change_enter);
    SWAPPED(page->status, "notify::selected", status_chosen);
    SWAPPED(page->keep, "notify::active", keep_toggled);
    SWAPPED(bk_app_settings(app), "changed", read_settings);
    SWAPPED(bk_app_accounts(app), "items-changed", fill_accounts);
    SWAPPED(bk_app_engine(app), "notify::retry-in", retry_ticks);
#undef SWAPPED
    GtkEventController *focus = gtk_event_controller_focus_new();
    g_signal_connect_object(focus, "leave", G_CALLBACK(address_left), page, G_CONNECT_SWAPPED);
    gtk_widget_add_controller(page->address, focus);
    g_signal_connect_object(bk_app_engine(app), "event", G_CALLBACK(on_event), page, 0);
    show_view(page, VIEW_FORM);
    return page;
}
