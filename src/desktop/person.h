/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/person.h - somebody: address, name, presence, and what the user decided about them. */
#ifndef BK_DESKTOP_PERSON_H
#define BK_DESKTOP_PERSON_H

#include "pidf/pidf.h"
#include <gio/gio.h>

/*
 * One object per address for the life of a session (roster.h), shared by every window that shows this person. All of it are
 * properties with notify; read only but to roster.c.
 *   "address" string
 *   "name" string: the user's own word for them, else how they call themselves, else the part before the @
 *   "shown" int (enum bk_pidf_shown): UNKNOWN where it is not known, while the connection is away always
 *   "note" string, "since-ms" int64 (real time; 0: not told)
 *   "groups" GStrv of group names ("~" is Other Contacts); empty: not a contact
 *   "contact" boolean, "blocked" boolean, "relation" int (100, 200, 300, 400; 32000 blocked; 0 the usual)
 *   "tagged" boolean: alert me when they become available (kept in settings)
 *   "favourite" boolean
 */
#define BK_TYPE_PERSON (bk_person_get_type())
G_DECLARE_FINAL_TYPE(BkPerson, bk_person, BK, PERSON, GObject)

const char *bk_person_address(BkPerson *person);
const char *bk_person_name(BkPerson *person);
enum bk_pidf_shown bk_person_shown(BkPerson *person);
const char *bk_person_note(BkPerson *person);
int64_t bk_person_since_ms(BkPerson *person);
const char *const *bk_person_groups(BkPerson *person);
bool bk_person_is_contact(BkPerson *person);
bool bk_person_is_blocked(BkPerson *person);
bool bk_person_is_favourite(BkPerson *person);
bool bk_person_is_tagged(BkPerson *person);
int bk_person_relation(BkPerson *person);
/* Title, office, phone, company, e-mail from the directory; "" where not known. */
const char *bk_person_title(BkPerson *person);
const char *bk_person_office(BkPerson *person);
const char *bk_person_phone(BkPerson *person);
const char *bk_person_company(BkPerson *person);
const char *bk_person_email(BkPerson *person);

#endif
