/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/person_private.h"
#include "desktop/roster.h"

enum { RELATION_BLOCKED = 32000 };
enum { TITLE, OFFICE, PHONE, COMPANY, EMAIL, CARD_COUNT };

struct _BkPerson {
    GObject parent;
    char *address;
    char *label; /* NULL: none */
    char *told_name;
    char *local; /* the part before the @ */
    enum bk_pidf_shown shown, last_known;
    char *note;
    int64_t since_ms;
    char **groups; /* never NULL */
    bool contact, tagged, favourite;
    int relation;
    char *card[CARD_COUNT]; /* NULL: not known */
};
G_DEFINE_TYPE(BkPerson, bk_person, G_TYPE_OBJECT)

enum {
    PROP_ADDRESS = 1,
    PROP_NAME,
    PROP_SHOWN,
    PROP_NOTE,
    PROP_SINCE,
    PROP_GROUPS,
    PROP_CONTACT,
    PROP_BLOCKED,
    PROP_RELATION,
    PROP_TAGGED,
    PROP_FAVOURITE,
    PROP_TITLE, /* the card, in its order */
    PROP_OFFICE,
    PROP_PHONE,
    PROP_COMPANY,
    PROP_EMAIL,
    PROP_COUNT,
};
static GParamSpec *props[PROP_COUNT];

static void tell(BkPerson *person, guint prop)
{
    g_object_notify_by_pspec(G_OBJECT(person), props[prop]);
}

static const char *text_of(const char *text)
{
    return text ? text : "";
}

/* True: it is another now. "" is kept as NULL. */
static bool set_text(char **to, const char *text)
{
    const char *now = text && *text ? text : NULL;
    if (g_strcmp0(*to, now) == 0)
        return false;
    g_free(*to);
    *to = g_strdup(now);
    return true;
}

/* ---- reading ---- */

const char *bk_person_address(BkPerson *person)
{
    return text_of(person->address);
}

const char *bk_person_name(BkPerson *person)
{
    return person->label       ? person->label
           : person->told_name ? person->told_name
                               : text_of(person->local);
}

enum bk_pidf_shown bk_person_shown(BkPerson *person)
{
    return person->shown;
}

const char *bk_person_note(BkPerson *person)
{
    return text_of(person->note);
}

int64_t bk_person_since_ms(BkPerson *person)
{
    return person->since_ms;
}

const char *const *bk_person_groups(BkPerson *person)
{
    return (const char *const *)person->groups;
}

bool bk_person_is_contact(BkPerson *person)
{
    return person->contact;
}

bool bk_person_is_blocked(BkPerson *person)
{
    return person->relation == RELATION_BLOCKED;
}

bool bk_person_is_favourite(BkPerson *person)
{
    return person->favourite;
}

bool bk_person_is_tagged(BkPerson *person)
{
    return person->tagged;
}

int bk_person_relation(BkPerson *person)
{
    return person->relation;
}

const char *bk_person_title(BkPerson *person)
{
    return text_of(person->card[TITLE]);
}

const char *bk_person_office(BkPerson *person)
{
    return text_of(person->card[OFFICE]);
}

const char *bk_person_phone(BkPerson *person)
{
    return text_of(person->card[PHONE]);
}

const char *bk_person_company(BkPerson *person)
{
    return text_of(person->card[COMPANY]);
}

const char *bk_person_email(BkPerson *person)
{
    return text_of(person->card[EMAIL]);
}

/* ---- the roster's ---- */

static char *local_part(const char *address)
{
    const char *at = strrchr(address, '@');
    return at ? g_strndup(address, (gsize)(at - address)) : g_strdup(address);
}

void bk_person_set_address(BkPerson *person, const char *address)
{
    if (!set_text(&person->address, address))
        return;
    g_free(person->local);
    person->local = local_part(text_of(person->address));
    tell(person, PROP_ADDRESS);
    tell(person, PROP_NAME);
}

void bk_person_set_label(BkPerson *person, const char *label)
{
    if (set_text(&person->label, label))
        tell(person, PROP_NAME);
}

void bk_person_set_told_name(BkPerson *person, const char *name)
{
    if (set_text(&person->told_name, name) && !person->label)
        tell(person, PROP_NAME);
}

void bk_person_set_presence(BkPerson *person, enum bk_pidf_shown shown, const char *note,
                            int64_t since_ms)
{
    bool other_shown = person->shown != shown, other_since = person->since_ms != since_ms;
    g_object_freeze_notify(G_OBJECT(person));
    person->shown = shown;
    person->since_ms = since_ms;
    if (shown != BK_PIDF_SHOWN_UNKNOWN)
        person->last_known = shown;
    if (set_text(&person->note, note))
        tell(person, PROP_NOTE);
    if (other_since)
        tell(person, PROP_SINCE);
    if (other_shown)
        tell(person, PROP_SHOWN);
    g_object_thaw_notify(G_OBJECT(person));
}

enum bk_pidf_shown bk_person_last_known(BkPerson *person)
{
    return person->last_known;
}

void bk_person_forget(BkPerson *person)
{
    static const struct bk_person_card none;
    person->last_known = BK_PIDF_SHOWN_UNKNOWN;
    bk_person_set_card(person, &none);
}

void bk_person_set_groups(BkPerson *person, const char *const *groups)
{
    static const char *const none[] = { NULL };
    const char *const *now = groups ? groups : none;
    bool contact = groups != NULL, favourite = g_strv_contains(now, BK_ROSTER_FAVOURITES);
    g_object_freeze_notify(G_OBJECT(person));
    if (!g_strv_equal(now, (const char *const *)person->groups)) {
        g_strfreev(person->groups);
        person->groups = g_strdupv((char **)(uintptr_t)now);
        tell(person, PROP_GROUPS);
    }
    if (person->contact != contact) {
        person->contact = contact;
        tell(person, PROP_CONTACT);
    }
    if (person->favourite != favourite) {
        person->favourite = favourite;
        tell(person, PROP_FAVOURITE);
    }
    g_object_thaw_notify(G_OBJECT(person));
}

void bk_person_set_relation(BkPerson *person, int level)
{
    bool blocked = bk_person_is_blocked(person);
    if (person->relation == level)
        return;
    person->relation = level;
    tell(person, PROP_RELATION);
    if (blocked != bk_person_is_blocked(person))
        tell(person, PROP_BLOCKED);
}

void bk_person_set_tagged(BkPerson *person, bool tagged)
{
    if (person->tagged == tagged)
        return;
    person->tagged = tagged;
    tell(person, PROP_TAGGED);
}

void bk_person_set_card(BkPerson *person, const struct bk_person_card *card)
{
    const char *const from[CARD_COUNT] = { card->title, card->office, card->phone, card->company,
                                           card->email };
    for (guint i = 0; i < CARD_COUNT; i++)
        if (set_text(&person->card[i], from[i]))
            tell(person, PROP_TITLE + i);
}

/* ---- the object ---- */

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    BkPerson *person = BK_PERSON(object);
    switch (id) {
    case PROP_ADDRESS:
        g_value_set_string(value, bk_person_address(person));
        return;
    case PROP_NAME:
        g_value_set_string(value, bk_person_name(person));
        return;
    case PROP_SHOWN:
        g_value_set_int(value, (int)person->shown);
        return;
    case PROP_NOTE:
        g_value_set_string(value, bk_person_note(person));
        return;
    case PROP_SINCE:
        g_value_set_int64(value, person->since_ms);
        return;
    case PROP_GROUPS:
        g_value_set_boxed(value, person->groups);
        return;
    case PROP_CONTACT:
        g_value_set_boolean(value, person->contact);
        return;
    case PROP_BLOCKED:
        g_value_set_boolean(value, bk_person_is_blocked(person));
        return;
    case PROP_RELATION:
        g_value_set_int(value, person->relation);
        return;
    case PROP_TAGGED:
        g_value_set_boolean(value, person->tagged);
        return;
    case PROP_FAVOURITE:
        g_value_set_boolean(value, person->favourite);
        return;
    case PROP_TITLE:
    case PROP_OFFICE:
    case PROP_PHONE:
    case PROP_COMPANY:
    case PROP_EMAIL:
        g_value_set_string(value, text_of(person->card[id - PROP_TITLE]));
        return;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void finalize(GObject *object)
{
    BkPerson *person = BK_PERSON(object);
    g_free(person->address);
    g_free(person->label);
    g_free(person->told_name);
    g_free(person->local);
    g_free(person->note);
    g_strfreev(person->groups);
    for (int i = 0; i < CARD_COUNT; i++)
        g_free(person->card[i]);
    G_OBJECT_CLASS(bk_person_parent_class)->finalize(object);
}

static void bk_person_class_init(BkPersonClass *class)
{
    static const struct {
        guint id;
        const char *name;
    } texts[] = { { PROP_ADDRESS, "address" }, { PROP_NAME, "name" },     { PROP_NOTE, "note" },
                  { PROP_TITLE, "title" },     { PROP_OFFICE, "office" }, { PROP_PHONE, "phone" },
                  { PROP_COMPANY, "company" }, { PROP_EMAIL, "email" } },
      flags[] = { { PROP_CONTACT, "contact" },
                  { PROP_BLOCKED, "blocked" },
                  { PROP_TAGGED, "tagged" },
                  { PROP_FAVOURITE, "favourite" } };
    GObjectClass *object = G_OBJECT_CLASS(class);
    GParamFlags read = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
    object->get_property = get_property;
    object->finalize = finalize;
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        props[texts[i].id] = g_param_spec_string(texts[i].name, NULL, NULL, "", read);
    for (guint i = 0; i < G_N_ELEMENTS(flags); i++)
        props[flags[i].id] = g_param_spec_boolean(flags[i].name, NULL, NULL, FALSE, read);
    props[PROP_SHOWN] = g_param_spec_int("shown", NULL, NULL, 0, BK_PIDF_SHOWN_COUNT - 1,
                                         BK_PIDF_SHOWN_UNKNOWN, read);
    props[PROP_SINCE] = g_param_spec_int64("since-ms", NULL, NULL, G_MININT64, G_MAXINT64, 0, read);
    props[PROP_GROUPS] = g_param_spec_boxed("groups", NULL, NULL, G_TYPE_STRV, read);
    props[PROP_RELATION] = g_param_spec_int("relation", NULL, NULL, 0, G_MAXINT, 0, read);
    g_object_class_install_properties(object, PROP_COUNT, props);
}

static void bk_person_init(BkPerson *person)
{
    person->shown = person->last_known = BK_PIDF_SHOWN_UNKNOWN;
    person->groups = g_new0(char *, 1);
}

BkPerson *bk_person_new(const char *address)
{
    BkPerson *person = g_object_new(BK_TYPE_PERSON, NULL);
    bk_person_set_address(person, address);
    return person;
}
