/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/main_window.h"

#include "desktop/leave.h"
#include "desktop/main_page.h"

#include <glib/gi18n.h>

enum {
    TOAST_S = 6,
    TOAST_LETTERS_A_S = 15, /* sentences, not words, read calmly */
    NARROWEST = 340,        /* pixels; main_window.ui */
};

struct _BkMainWindow {
    AdwApplicationWindow parent;
    BkApp *app; /* outlives the window */
    AdwToastOverlay *toasts;
    GtkStack *pages;
    GtkWidget *signin_page, *main_page;
    AdwToast *offered; /* shown, with what somebody wrote; NULL: none */
};
G_DEFINE_TYPE(BkMainWindow, bk_main_window, ADW_TYPE_APPLICATION_WINDOW)

/* As many letters as stand in a line before the button: a toast cuts off what does not fit. */
static int letters_a_line(BkMainWindow *window, const char *button)
{
    enum { AROUND = 92, AROUND_BUTTON = 46, MANY = 30, FEW = 8 }; /* pixels; letters */
    PangoContext *context = gtk_widget_get_pango_context(GTK_WIDGET(window));
    PangoFontMetrics *metrics = pango_context_get_metrics(context, NULL, NULL);
    int letter = MAX(pango_font_metrics_get_approximate_char_width(metrics),
                     pango_font_metrics_get_approximate_digit_width(metrics)) /
                 PANGO_SCALE;
    pango_font_metrics_unref(metrics);
    int width = gtk_widget_get_width(GTK_WIDGET(window->toasts)), taken = 0;
    if (button) {
        PangoLayout *layout = gtk_widget_create_pango_layout(GTK_WIDGET(window), button);
        pango_layout_get_pixel_size(layout, &taken, NULL);
        g_object_unref(layout);
        taken += taken / 10 + AROUND_BUTTON; /* it is bold */
    }
    int room = (width ? width : NARROWEST) - AROUND - taken;
    return CLAMP(room / MAX(letter, 1), FEW, MANY);
}

/* A toast's own title is one line, cut off: what is said once must be readable, however long it is. */
static AdwToast *make_toast(BkMainWindow *window, const char *text, const char *button)
{
    AdwToast *toast = adw_toast_new("");
    GtkWidget *label = gtk_label_new(text);
    gtk_label_set_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR); /* a link is one word */
    gtk_label_set_max_width_chars(GTK_LABEL(label), letters_a_line(window, button));
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_widget_set_margin_top(label, 6);
    gtk_widget_set_margin_bottom(label, 6);
    adw_toast_set_custom_title(toast, label);
    adw_toast_set_timeout(toast, TOAST_S + (unsigned)g_utf8_strlen(text, -1) / TOAST_LETTERS_A_S);
    return toast;
}

void bk_main_window_toast(BkMainWindow *window, const char *text)
{
    adw_toast_overlay_add_toast(window->toasts, make_toast(window, text, NULL));
}

void bk_main_window_offer(BkMainWindow *window, const char *text, const char *button,
                          const char *action)
{
    AdwToast *toast = make_toast(window, text, button);
    adw_toast_set_button_label(toast, button);
    adw_toast_set_action_name(toast, action);
    g_set_weak_pointer(&window->offered, toast);
    adw_toast_overlay_add_toast(window->toasts, toast);
}

void bk_main_window_focus_search(BkMainWindow *window)
{
    if (gtk_widget_get_visible(window->main_page))
        bk_main_page_focus_search(BK_MAIN_PAGE(window->main_page));
}

static void show_page(BkMainWindow *window)
{
    bool session = bk_engine_has_session(bk_app_engine(window->app));
    /* What was written to them is for nobody who stands before the sign-in page. */
    if (!session && window->offered)
        adw_toast_dismiss(window->offered);
    GtkWidget *shown = session ? window->main_page : window->signin_page;
    GtkWidget *hidden = session ? window->signin_page : window->main_page;
    if (gtk_stack_get_visible_child(window->pages) == shown && gtk_widget_get_visible(shown))
        return;
    gtk_widget_set_visible(shown, TRUE);
    gtk_stack_set_visible_child(window->pages, shown);
    gtk_widget_set_visible(hidden, FALSE);
    gtk_widget_grab_focus(shown);
}

static void focus_page(BkMainWindow *window)
{
    gtk_widget_grab_focus(gtk_stack_get_visible_child(window->pages));
}

static gboolean close_request(GtkWindow *gtk_window)
{
    BkMainWindow *window = BK_MAIN_WINDOW(gtk_window);
    if (!bk_tray_is_present(bk_app_tray(window->app)) &&
        !bk_settings_bool(bk_app_settings(window->app), BK_SETTING_CLOSE_EXPLAINED))
        bk_leave_explain_close(window->app, gtk_window);
    else
        gtk_widget_set_visible(GTK_WIDGET(window), FALSE);
    return TRUE; /* the session goes on */
}

static void dispose(GObject *object)
{
    g_clear_weak_pointer(&BK_MAIN_WINDOW(object)->offered);
    G_OBJECT_CLASS(bk_main_window_parent_class)->dispose(object);
}

static void bk_main_window_class_init(BkMainWindowClass *class)
{
    G_OBJECT_CLASS(class)->dispose = dispose;
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    GTK_WINDOW_CLASS(class)->close_request = close_request;
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/main_window.ui");
    gtk_widget_class_bind_template_child(widget, BkMainWindow, toasts);
    gtk_widget_class_bind_template_child(widget, BkMainWindow, pages);
}

static void bk_main_window_init(BkMainWindow *window)
{
    gtk_widget_init_template(GTK_WIDGET(window));
}

BkMainWindow *bk_main_window_new(BkApp *app, GtkWidget *signin_page)
{
    BkMainWindow *window = g_object_new(BK_TYPE_MAIN_WINDOW, "application", app, NULL);
    window->app = app;
    window->signin_page = signin_page;
    window->main_page = GTK_WIDGET(bk_main_page_new(app));
    gtk_stack_add_child(window->pages, window->signin_page);
    gtk_stack_add_child(window->pages, window->main_page);
    gtk_widget_set_visible(window->main_page, FALSE);
    g_signal_connect_object(bk_app_engine(app), "event::state", G_CALLBACK(show_page), window,
                            G_CONNECT_SWAPPED);
    /* What was said while nobody looked may have moved the place to go on at. */
    g_signal_connect(window, "map", G_CALLBACK(focus_page), NULL);
    show_page(window);
    return window;
}
