/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/failure_card.h"

#include "desktop/proxy_dialog.h"
#include "desktop/words.h"

#include <glib/gi18n.h>

struct _BkFailureCard {
    GtkBox parent;
    BkApp *app; /* outlives the card; set once something failed */
    GtkWidget *text, *does, *for_support, *code, *copy, *expander, *details;
    GtkWidget *buttons, *fix, *retry, *help;
    char *copied; /* the details, for the clipboard */
};
G_DEFINE_TYPE(BkFailureCard, bk_failure_card, GTK_TYPE_BOX)

static bool is_about(const struct bk_client_failure *failure, unsigned number)
{
    return failure->record && failure->record->number == number;
}

static void set_text(GtkWidget *label, const char *text)
{
    gtk_label_set_label(GTK_LABEL(label), text);
    gtk_widget_set_visible(label, *text != 0);
}

/* What one press can do about it, besides trying again. */
static void show_fix(BkFailureCard *card, const struct bk_client_failure *failure)
{
    const char *label = NULL, *name = NULL;
    if (is_about(failure, 109) &&
        !bk_settings_is_managed(bk_app_settings(card->app), BK_SETTING_AUTOMATIC_SERVER)) {
        label = _("Use Automatic Settings");
        name = "signin.automatic";
    } else if (bk_proxy_dialog_wanted(failure)) {
        label = _("Log In to the Proxy");
        name = "app.proxy-login";
    } else if (is_about(failure, 301) || is_about(failure, 306)) {
        label = _("Connection Settings");
        name = "app.options";
    }
    gtk_widget_set_visible(card->fix, label != NULL);
    if (!label)
        return;
    gtk_button_set_label(GTK_BUTTON(card->fix), label);
    gtk_actionable_set_action_name(GTK_ACTIONABLE(card->fix), name);
}

static void show_help(BkFailureCard *card)
{
    const char *link = bk_settings_string(bk_app_settings(card->app), BK_SETTING_HELP_LINK);
    bool good = g_str_has_prefix(link, "https://") || g_str_has_prefix(link, "http://") ||
                g_str_has_prefix(link, "mailto:");
    if (good)
        gtk_link_button_set_uri(GTK_LINK_BUTTON(card->help), link);
    gtk_widget_set_visible(card->help, good);
}

static char *code_of(const struct bk_client_failure *failure)
{
    if (!*failure->id)
        return g_strdup("");
    /* Translators: what support asks for, and the number of the cause in the manual: "Code K7QF-3M2P, SI-202" */
    return *failure->case_code ? g_strdup_printf(_("Code %s, %s"), failure->case_code, failure->id)
                               : g_strdup_printf(_("Code %s"), failure->id);
}

void bk_failure_card_show(BkFailureCard *card, BkApp *app, const struct bk_client_failure *failure)
{
    card->app = app;
    g_autofree char *text = bk_word_failure(failure);
    g_autofree char *does = bk_word_failure_does(failure);
    g_autofree char *code = code_of(failure);
    g_free(card->copied);
    card->copied = bk_word_failure_details(failure);
    gtk_label_set_label(GTK_LABEL(card->text), text);
    set_text(card->does, does);
    gtk_label_set_label(GTK_LABEL(card->code), code);
    /* The sentence stands above already. */
    const char *rest = strstr(card->copied, "\n\n");
    g_autofree char *details = g_strchomp(g_strdup(rest ? rest + 2 : card->copied));
    gtk_label_set_label(GTK_LABEL(card->details), details);
    /* What is tried again by itself and fails as before does not close what somebody reads. */
    if (!gtk_widget_get_visible(GTK_WIDGET(card)))
        gtk_expander_set_expanded(GTK_EXPANDER(card->expander), FALSE);
    gtk_widget_set_visible(card->retry, failure->record && failure->next == BK_CLIENT_NEXT_STOP &&
                                            !is_about(failure, 111) && !is_about(failure, 202) &&
                                            !is_about(failure, 206) && !is_about(failure, 224));
    show_fix(card, failure);
    show_help(card);
    gtk_widget_set_visible(card->buttons, gtk_widget_get_visible(card->retry) ||
                                              gtk_widget_get_visible(card->fix) ||
                                              gtk_widget_get_visible(card->help));
    gtk_widget_set_visible(GTK_WIDGET(card), TRUE);
}

void bk_failure_card_say(BkFailureCard *card, BkApp *app, const char *text, const char *does)
{
    struct bk_client_failure failure = { .id = "",
                                         .case_code = "",
                                         .user_text = text,
                                         .user_does = does,
                                         .admin_text = "",
                                         .detail = "" };
    bk_failure_card_show(card, app, &failure);
}

void bk_failure_card_hide(BkFailureCard *card)
{
    gtk_widget_set_visible(GTK_WIDGET(card), FALSE);
    g_clear_pointer(&card->copied, g_free);
}

GtkWidget *bk_failure_card_button(BkFailureCard *card)
{
    return gtk_widget_get_visible(card->fix)     ? card->fix
           : gtk_widget_get_visible(card->retry) ? card->retry
                                                 : NULL;
}

static void act_copy(GtkWidget *widget, const char *name, GVariant *target)
{
    BkFailureCard *card = BK_FAILURE_CARD(widget);
    (void)name;
    (void)target;
    if (!card->copied)
        return;
    gdk_clipboard_set_text(gtk_widget_get_clipboard(widget), card->copied);
    bk_app_toast(card->app, _("Copied"));
}

static void finalize(GObject *object)
{
    g_free(BK_FAILURE_CARD(object)->copied);
    G_OBJECT_CLASS(bk_failure_card_parent_class)->finalize(object);
}

static void bk_failure_card_class_init(BkFailureCardClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = finalize;
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/failure_card.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, BkFailureCard, name)
    CHILD(text);
    CHILD(does);
    CHILD(for_support);
    CHILD(code);
    CHILD(copy);
    CHILD(expander);
    CHILD(details);
    CHILD(buttons);
    CHILD(fix);
    CHILD(retry);
    CHILD(help);
#undef CHILD
    gtk_widget_class_install_action(widget, "failure.copy", NULL, act_copy);
}

/* Labels of buttons in a narrow window, in languages of long words. */
static void wrap(GtkWidget *button)
{
    GtkWidget *label = gtk_button_get_child(GTK_BUTTON(button));
    gtk_label_set_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_justify(GTK_LABEL(label), GTK_JUSTIFY_CENTER);
}

static void bk_failure_card_init(BkFailureCard *card)
{
    gtk_widget_init_template(GTK_WIDGET(card));
    wrap(card->fix);
    wrap(card->retry);
}
