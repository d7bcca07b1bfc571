/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a person in a row, and how texts are compared in a search. */
#include "desktop/contact_model.h"

#include "desktop/words.h"

#include <glib/gi18n.h>
#include <string.h>

char *bk_contact_fold(const char *text)
{
    g_autofree char *apart = g_utf8_normalize(text, -1, G_NORMALIZE_ALL);
    if (!apart)
        return g_strdup("");
    GString *bare = g_string_new(NULL);
    for (const char *at = apart; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (!g_unichar_ismark(c))
            g_string_append_unichar(bare, c);
    }
    char *folded = g_utf8_casefold(bare->str, -1);
    g_string_free(bare, TRUE);
    return folded;
}

char *bk_contact_address_of(const char *text)
{
    g_autofree char *address = g_strstrip(g_strdup(text));
    const char *bare = g_ascii_strncasecmp(address, "sip:", 4) == 0 ? address + 4 : address;
    const char *at = strchr(bare, '@');
    if (!at || at == bare || strchr(at + 1, '@') || strpbrk(bare, " \t<>\"'(),;:\\/?&="))
        return NULL;
    /* A name of at least two parts, or a person would be asked for at each letter of the domain. */
    const char *dot = strchr(at + 1, '.');
    size_t len = strlen(bare);
    if (!dot || dot == at + 1 || bare[len - 1] == '.' || strstr(at, "..") || len > 255)
        return NULL;
    for (const char *c = bare; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 127)
            return NULL;
    return g_strdup(bare);
}

char *bk_contact_status(BkPerson *person, int64_t now_ms)
{
    if (bk_person_is_blocked(person))
        return g_strdup(C_("person", "Blocked"));
    enum bk_pidf_shown shown = bk_person_shown(person);
    g_autofree char *since =
        now_ms ? bk_word_since(shown, bk_person_since_ms(person), now_ms) : NULL;
    if (!since || !*since)
        return g_strdup(bk_word_shown(shown));
    if (shown == BK_PIDF_SHOWN_OFFLINE)
        /* TRANSLATORS: a state and when it began: "Offline", "last seen 2 hours ago". */
        return g_strdup_printf(C_("state and time", "%s, %s"), bk_word_shown(shown), since);
    /* TRANSLATORS: a state and how long it lasts: "Away", "for 12 minutes". */
    return g_strdup_printf(C_("state and time", "%s %s"), bk_word_shown(shown), since);
}

/* A note of several lines in one; "" where it is the note of a blocked person or of a time when the connection was there. */
static char *note_of(BkPerson *person)
{
    bool counts = !bk_person_is_blocked(person) && bk_person_shown(person) > BK_PIDF_SHOWN_UNKNOWN;
    const char *note = counts ? bk_person_note(person) : "";
    char *line = g_strstrip(g_strdelimit(g_strdup(note), "\r\n\t", ' '));
    return line;
}

char *bk_contact_subtitle(BkPerson *person, int64_t now_ms)
{
    g_autofree char *note = note_of(person);
    if (!*note)
        return bk_contact_status(person, now_ms);
    return g_strdup_printf("%s \302\267 %s", bk_word_shown(bk_person_shown(person)), note);
}

char *bk_contact_found_subtitle(BkPerson *person)
{
    const char *title = bk_person_title(person), *office = bk_person_office(person);
    const char *between = *title && *office ? ", " : "";
    g_autofree char *what = *title || *office ? g_strconcat(title, between, office, NULL)
                                              : g_strdup(bk_person_address(person));
    if (bk_person_shown(person) <= BK_PIDF_SHOWN_UNKNOWN)
        return g_steal_pointer(&what);
    return g_strdup_printf("%s \302\267 %s", bk_word_shown(bk_person_shown(person)), what);
}

char *bk_contact_label(BkPerson *person)
{
    g_autofree char *note = note_of(person);
    g_autofree char *status = bk_contact_status(person, 0);
    if (!*note)
        return g_strdup_printf("%s, %s", bk_person_name(person), status);
    return g_strdup_printf("%s, %s, %s", bk_person_name(person), status, note);
}
