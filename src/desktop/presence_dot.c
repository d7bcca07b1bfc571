/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/presence_dot.h"
#include "desktop/words.h"
#include <math.h>

/* ---- the dot ---- */

struct _BkPresenceDot {
    GtkWidget parent;
    int shown;
};
G_DEFINE_FINAL_TYPE(BkPresenceDot, bk_presence_dot, GTK_TYPE_WIDGET)

enum { SIZE = 13, RING = 2 };

static void measure(GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum,
                    int *natural, int *minimum_baseline, int *natural_baseline)
{
    (void)widget;
    (void)orientation;
    (void)for_size;
    *minimum = *natural = SIZE;
    *minimum_baseline = *natural_baseline = -1;
}

static void circle(cairo_t *cr, double middle, double radius)
{
    cairo_new_sub_path(cr);
    cairo_arc(cr, middle, middle, radius, 0, 2 * G_PI);
}

/* What is left out of the full circle is seen through to the widget's background. */
static void draw_sign(cairo_t *cr, int shown, double middle, double radius)
{
    double thin = radius * 0.36;
    cairo_set_line_width(cr, thin);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    switch (shown) {
    case BK_PIDF_SHOWN_AVAILABLE:
        cairo_set_operator(cr, CAIRO_OPERATOR_CLEAR);
        cairo_move_to(cr, middle - radius * 0.46, middle + radius * 0.04);
        cairo_line_to(cr, middle - radius * 0.12, middle + radius * 0.38);
        cairo_line_to(cr, middle + radius * 0.48, middle - radius * 0.32);
        cairo_stroke(cr);
        break;
    case BK_PIDF_SHOWN_DND:
    case BK_PIDF_SHOWN_PRESENTING:
        cairo_set_operator(cr, CAIRO_OPERATOR_CLEAR);
        cairo_move_to(cr, middle - radius * 0.48, middle);
        cairo_line_to(cr, middle + radius * 0.48, middle);
        cairo_stroke(cr);
        break;
    case BK_PIDF_SHOWN_BRB:
    case BK_PIDF_SHOWN_AWAY:
    case BK_PIDF_SHOWN_OFFWORK:
        cairo_set_operator(cr, CAIRO_OPERATOR_CLEAR);
        cairo_move_to(cr, middle, middle - radius * 0.55);
        cairo_line_to(cr, middle, middle);
        cairo_line_to(cr, middle + radius * 0.42, middle + radius * 0.28);
        cairo_stroke(cr);
        break;
    case BK_PIDF_SHOWN_AVAILABLE_INACTIVE:
    case BK_PIDF_SHOWN_BUSY_INACTIVE:
        cairo_set_operator(cr, CAIRO_OPERATOR_CLEAR);
        cairo_arc(cr, middle, middle, radius - thin, -G_PI / 2, G_PI / 2);
        cairo_close_path(cr);
        cairo_fill(cr);
        break;
    default:
        break;
    }
}

static void snapshot(GtkWidget *widget, GtkSnapshot *to)
{
    BkPresenceDot *dot = BK_PRESENCE_DOT(widget);
    int size = MIN(gtk_widget_get_width(widget), gtk_widget_get_height(widget));
    GdkRGBA colour;
    gtk_style_context_get_color(gtk_widget_get_style_context(widget), &colour);
    cairo_t *cr =
        gtk_snapshot_append_cairo(to, &GRAPHENE_RECT_INIT(0, 0, (float)size, (float)size));
    double middle = size / 2.0, radius = middle - RING / 2.0;
    bool hollow = dot->shown == BK_PIDF_SHOWN_OFFLINE || dot->shown == BK_PIDF_SHOWN_UNKNOWN ||
                  dot->shown == BK_PIDF_SHOWN_MISSING;
    gdk_cairo_set_source_rgba(cr, &colour);
    if (hollow) {
        cairo_set_line_width(cr, radius * 0.36);
        circle(cr, middle, radius * 0.8);
        cairo_stroke(cr);
        if (dot->shown != BK_PIDF_SHOWN_OFFLINE) {
            circle(cr, middle, radius * 0.24);
            cairo_fill(cr);
        }
    } else {
        /* A group of its own, so that CLEAR takes away nothing but the circle. */
        cairo_push_group(cr);
        gdk_cairo_set_source_rgba(cr, &colour);
        circle(cr, middle, radius);
        cairo_fill(cr);
        draw_sign(cr, dot->shown, middle, radius);
        cairo_pop_group_to_source(cr);
        cairo_paint(cr);
    }
    cairo_destroy(cr);
}

void bk_presence_dot_set(BkPresenceDot *dot, enum bk_pidf_shown shown)
{
    if (dot->shown == (int)shown)
        return;
    gtk_widget_remove_css_class(GTK_WIDGET(dot), bk_css_shown(dot->shown));
    dot->shown = (int)shown;
    gtk_widget_add_css_class(GTK_WIDGET(dot), bk_css_shown(shown));
    gtk_widget_queue_draw(GTK_WIDGET(dot));
}

static void dot_set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    if (id == 1)
        bk_presence_dot_set(BK_PRESENCE_DOT(object), (enum bk_pidf_shown)g_value_get_int(value));
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

static void bk_presence_dot_class_init(BkPresenceDotClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    widget->measure = measure;
    widget->snapshot = snapshot;
    G_OBJECT_CLASS(class)->set_property = dot_set_property;
    g_object_class_install_property(G_OBJECT_CLASS(class), 1,
                                    g_param_spec_int("shown", NULL, NULL, 0,
                                                     BK_PIDF_SHOWN_COUNT - 1, 0,
                                                     G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS));
    gtk_widget_class_set_css_name(widget, "presence");
    gtk_widget_class_set_accessible_role(widget, GTK_ACCESSIBLE_ROLE_PRESENTATION);
}

static void bk_presence_dot_init(BkPresenceDot *dot)
{
    gtk_widget_set_valign(GTK_WIDGET(dot), GTK_ALIGN_CENTER);
    gtk_widget_set_halign(GTK_WIDGET(dot), GTK_ALIGN_CENTER);
    gtk_widget_set_can_target(GTK_WIDGET(dot), FALSE);
    gtk_widget_add_css_class(GTK_WIDGET(dot), bk_css_shown(dot->shown));
}

GtkWidget *bk_presence_dot_new(void)
{
    return g_object_new(BK_TYPE_PRESENCE_DOT, NULL);
}

/* ---- the picture with it ---- */

struct _BkPersonAvatar {
    GtkWidget parent;
    GtkWidget *overlay, *picture, *dot;
    BkPerson *person;
    gulong changed;
};
G_DEFINE_FINAL_TYPE(BkPersonAvatar, bk_person_avatar, GTK_TYPE_WIDGET)

static void show_person(BkPersonAvatar *avatar)
{
    BkPerson *person = avatar->person;
    adw_avatar_set_text(ADW_AVATAR(avatar->picture), person ? bk_person_name(person) : "");
    /* Of who is blocked no window says how they are, and neither does their picture. */
    bool counts = person && !bk_person_is_blocked(person);
    bk_presence_dot_set(BK_PRESENCE_DOT(avatar->dot),
                        counts ? bk_person_shown(person) : BK_PIDF_SHOWN_UNKNOWN);
}

static void person_notify(BkPerson *person, GParamSpec *what, BkPersonAvatar *avatar)
{
    (void)person;
    static const char *const seen[] = { "name", "shown", "blocked", NULL };
    if (g_strv_contains(seen, what->name))
        show_person(avatar);
}

void bk_person_avatar_set_person(BkPersonAvatar *avatar, BkPerson *person)
{
    if (avatar->person == person)
        return;
    if (avatar->person)
        g_clear_signal_handler(&avatar->changed, avatar->person);
    g_set_object(&avatar->person, person);
    if (person)
        avatar->changed = g_signal_connect(person, "notify", G_CALLBACK(person_notify), avatar);
    show_person(avatar);
}

enum { PROPERTY_SIZE = 1, PROPERTY_PERSON };

static void avatar_set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    BkPersonAvatar *avatar = BK_PERSON_AVATAR(object);
    if (id == PROPERTY_SIZE)
        adw_avatar_set_size(ADW_AVATAR(avatar->picture), g_value_get_int(value));
    else if (id == PROPERTY_PERSON)
        bk_person_avatar_set_person(avatar, g_value_get_object(value));
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

static void avatar_dispose(GObject *object)
{
    BkPersonAvatar *avatar = BK_PERSON_AVATAR(object);
    if (avatar->person)
        g_clear_signal_handler(&avatar->changed, avatar->person);
    g_clear_object(&avatar->person);
    g_clear_pointer(&avatar->overlay, gtk_widget_unparent);
    G_OBJECT_CLASS(bk_person_avatar_parent_class)->dispose(object);
}

static void bk_person_avatar_class_init(BkPersonAvatarClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    GObjectClass *object = G_OBJECT_CLASS(class);
    object->set_property = avatar_set_property;
    object->dispose = avatar_dispose;
    g_object_class_install_property(object, PROPERTY_SIZE,
                                    g_param_spec_int("size", NULL, NULL, 8, 512, 36,
                                                     G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS));
    g_object_class_install_property(object, PROPERTY_PERSON,
                                    g_param_spec_object("person", NULL, NULL, BK_TYPE_PERSON,
                                                        G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS));
    gtk_widget_class_set_layout_manager_type(widget, GTK_TYPE_BIN_LAYOUT);
    gtk_widget_class_set_accessible_role(widget, GTK_ACCESSIBLE_ROLE_PRESENTATION);
}

static void bk_person_avatar_init(BkPersonAvatar *avatar)
{
    avatar->overlay = gtk_overlay_new();
    avatar->picture = g_object_new(ADW_TYPE_AVATAR, "size", 36, "show-initials", TRUE,
                                   "accessible-role", GTK_ACCESSIBLE_ROLE_PRESENTATION, NULL);
    avatar->dot = bk_presence_dot_new();
    gtk_widget_add_css_class(avatar->dot, "corner");
    gtk_widget_set_halign(avatar->dot, GTK_ALIGN_END);
    gtk_widget_set_valign(avatar->dot, GTK_ALIGN_END);
    gtk_overlay_set_child(GTK_OVERLAY(avatar->overlay), avatar->picture);
    gtk_overlay_add_overlay(GTK_OVERLAY(avatar->overlay), avatar->dot);
    gtk_widget_set_parent(avatar->overlay, GTK_WIDGET(avatar));
    gtk_widget_set_valign(GTK_WIDGET(avatar), GTK_ALIGN_CENTER);
    gtk_widget_set_halign(GTK_WIDGET(avatar), GTK_ALIGN_CENTER);
}

GtkWidget *bk_person_avatar_new(int size)
{
    return g_object_new(BK_TYPE_PERSON_AVATAR, "size", size, NULL);
}
