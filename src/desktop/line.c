/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/talk_private.h"

G_DEFINE_TYPE(BkLine, bk_line, G_TYPE_OBJECT)

enum {
    PROP_TEXT = 1,
    PROP_MINE,
    PROP_AT_MS,
    PROP_STATE,
    PROP_DELAYED,
    PROP_WHY,
    PROP_DOES,
    PROP_CASE_CODE,
    PROP_RETRYABLE,
    PROP_OPENS_DAY,
    PROP_OPENS_GROUP,
    PROP_CLOSES_GROUP,
    PROP_OPENS_UNREAD,
    PROP_COUNT,
};
static GParamSpec *props[PROP_COUNT];

static int day_of(int64_t at_ms)
{
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(at_ms / 1000);
    g_autoptr(GDateTime) local = utc ? g_date_time_to_local(utc) : NULL;
    return local ? g_date_time_get_year(local) * 366 + g_date_time_get_day_of_year(local) : 0;
}

BkLine *bk_line_new(const char *text, bool mine, int64_t at_ms, bool delayed)
{
    BkLine *line = g_object_new(BK_TYPE_LINE, NULL);
    line->text = g_strdup(text);
    line->mine = mine;
    line->at_ms = at_ms;
    line->day = day_of(at_ms);
    line->delayed = delayed;
    line->state = mine ? BK_CLIENT_SENDING : BK_CLIENT_SENT;
    return line;
}

BkLine *bk_line_of_row(const struct bk_history_line *row)
{
    BkLine *line = bk_line_new(row->text, row->mine, row->at_ms, row->delayed);
    bool known = row->state >= BK_CLIENT_SENDING && row->state <= BK_CLIENT_FAILED;
    line->state = known ? (enum bk_client_message_state)row->state : BK_CLIENT_SENT;
    line->why = g_strdup(row->why);
    line->does = g_strdup(row->does);
    line->case_code = g_strdup(row->case_code);
    line->key = g_strdup(row->key);
    line->row = row->row;
    return line;
}

static void set_text(BkLine *line, char **member, const char *text, int prop)
{
    if (g_strcmp0(*member ? *member : "", text ? text : "") == 0)
        return;
    g_free(*member);
    *member = g_strdup(text);
    g_object_notify_by_pspec(G_OBJECT(line), props[prop]);
}

void bk_line_set_state(BkLine *line, enum bk_client_message_state state, const char *why,
                       const char *does, const char *case_code)
{
    g_object_freeze_notify(G_OBJECT(line));
    set_text(line, &line->why, why, PROP_WHY);
    set_text(line, &line->does, does, PROP_DOES);
    set_text(line, &line->case_code, case_code, PROP_CASE_CODE);
    if (line->state != state) {
        line->state = state;
        g_object_notify_by_pspec(G_OBJECT(line), props[PROP_STATE]);
        g_object_notify_by_pspec(G_OBJECT(line), props[PROP_RETRYABLE]);
    }
    g_object_thaw_notify(G_OBJECT(line));
}

void bk_line_set_at(BkLine *line, int64_t at_ms)
{
    line->at_ms = at_ms;
    line->day = day_of(at_ms);
    g_object_notify_by_pspec(G_OBJECT(line), props[PROP_AT_MS]);
}

static void set_flag(BkLine *line, bool *member, bool value, int prop)
{
    if (*member == value)
        return;
    *member = value;
    g_object_notify_by_pspec(G_OBJECT(line), props[prop]);
}

void bk_line_set_marks(BkLine *line, unsigned marks)
{
    set_flag(line, &line->opens_day, marks & BK_LINE_OPENS_DAY, PROP_OPENS_DAY);
    set_flag(line, &line->opens_group, marks & BK_LINE_OPENS_GROUP, PROP_OPENS_GROUP);
    set_flag(line, &line->closes_group, marks & BK_LINE_CLOSES_GROUP, PROP_CLOSES_GROUP);
}

void bk_line_set_opens_unread(BkLine *line, bool opens)
{
    set_flag(line, &line->opens_unread, opens, PROP_OPENS_UNREAD);
}

bool bk_line_same_group(const BkLine *a, const BkLine *b)
{
    enum { MINUTE_MS = 60 * 1000 };
    return a->mine == b->mine && a->at_ms / MINUTE_MS == b->at_ms / MINUTE_MS;
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    BkLine *line = BK_LINE(object);
    switch (id) {
    case PROP_TEXT:
        g_value_set_string(value, line->text);
        break;
    case PROP_MINE:
        g_value_set_boolean(value, line->mine);
        break;
    case PROP_AT_MS:
        g_value_set_int64(value, line->at_ms);
        break;
    case PROP_STATE:
        g_value_set_int(value, (int)line->state);
        break;
    case PROP_DELAYED:
        g_value_set_boolean(value, line->delayed);
        break;
    case PROP_WHY:
        g_value_set_string(value, bk_line_why(line));
        break;
    case PROP_DOES:
        g_value_set_string(value, bk_line_does(line));
        break;
    case PROP_CASE_CODE:
        g_value_set_string(value, bk_line_case_code(line));
        break;
    case PROP_RETRYABLE:
        g_value_set_boolean(value, bk_line_is_retryable(line));
        break;
    case PROP_OPENS_DAY:
        g_value_set_boolean(value, line->opens_day);
        break;
    case PROP_OPENS_GROUP:
        g_value_set_boolean(value, line->opens_group);
        break;
    case PROP_CLOSES_GROUP:
        g_value_set_boolean(value, line->closes_group);
        break;
    case PROP_OPENS_UNREAD:
        g_value_set_boolean(value, line->opens_unread);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void finalize(GObject *object)
{
    BkLine *line = BK_LINE(object);
    g_free(line->text);
    g_free(line->why);
    g_free(line->does);
    g_free(line->case_code);
    g_free(line->key);
    G_OBJECT_CLASS(bk_line_parent_class)->finalize(object);
}

static void bk_line_class_init(BkLineClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
    object->get_property = get_property;
    object->finalize = finalize;
    props[PROP_TEXT] = g_param_spec_string("text", NULL, NULL, "", flags);
    props[PROP_MINE] = g_param_spec_boolean("mine", NULL, NULL, FALSE, flags);
    props[PROP_AT_MS] = g_param_spec_int64("at-ms", NULL, NULL, G_MININT64, G_MAXINT64, 0, flags);
    props[PROP_STATE] =
        g_param_spec_int("state", NULL, NULL, 0, BK_CLIENT_FAILED, BK_CLIENT_SENDING, flags);
    props[PROP_DELAYED] = g_param_spec_boolean("delayed", NULL, NULL, FALSE, flags);
    props[PROP_WHY] = g_param_spec_string("why", NULL, NULL, "", flags);
    props[PROP_DOES] = g_param_spec_string("does", NULL, NULL, "", flags);
    props[PROP_CASE_CODE] = g_param_spec_string("case-code", NULL, NULL, "", flags);
    props[PROP_RETRYABLE] = g_param_spec_boolean("retryable", NULL, NULL, FALSE, flags);
    props[PROP_OPENS_DAY] = g_param_spec_boolean("opens-day", NULL, NULL, FALSE, flags);
    props[PROP_OPENS_GROUP] = g_param_spec_boolean("opens-group", NULL, NULL, FALSE, flags);
    props[PROP_CLOSES_GROUP] = g_param_spec_boolean("closes-group", NULL, NULL, FALSE, flags);
    props[PROP_OPENS_UNREAD] = g_param_spec_boolean("opens-unread", NULL, NULL, FALSE, flags);
    g_object_class_install_properties(object, PROP_COUNT, props);
}

static void bk_line_init(BkLine *line)
{
    (void)line;
}

const char *bk_line_text(BkLine *line)
{
    return line->text;
}

bool bk_line_is_mine(BkLine *line)
{
    return line->mine;
}

int64_t bk_line_at_ms(BkLine *line)
{
    return line->at_ms;
}

enum bk_client_message_state bk_line_state(BkLine *line)
{
    return line->state;
}

bool bk_line_is_delayed(BkLine *line)
{
    return line->delayed;
}

const char *bk_line_why(BkLine *line)
{
    return line->why ? line->why : "";
}

const char *bk_line_does(BkLine *line)
{
    return line->does ? line->does : "";
}

const char *bk_line_case_code(BkLine *line)
{
    return line->case_code ? line->case_code : "";
}

bool bk_line_is_retryable(BkLine *line)
{
    return line->mine && line->state == BK_CLIENT_FAILED;
}

bool bk_line_opens_day(BkLine *line)
{
    return line->opens_day;
}

bool bk_line_opens_group(BkLine *line)
{
    return line->opens_group;
}

bool bk_line_closes_group(BkLine *line)
{
    return line->closes_group;
}

bool bk_line_opens_unread(BkLine *line)
{
    return line->opens_unread;
}

int64_t bk_line_row(BkLine *line)
{
    return line->row;
}
