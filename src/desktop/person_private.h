/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/person_private.h - who may change a person: the roster. */
#ifndef BK_DESKTOP_PERSON_PRIVATE_H
#define BK_DESKTOP_PERSON_PRIVATE_H

#include "desktop/person.h"
#include "desktop/roster.h"

BkPerson *bk_person_new(const char *address);
void bk_person_set_address(BkPerson *person, const char *address); /* of the user alone */
/* label: the user's own word; told: how they call themselves. "" or NULL: none. */
void bk_person_set_label(BkPerson *person, const char *label);
void bk_person_set_told_name(BkPerson *person, const char *name);
void bk_person_set_presence(BkPerson *person, enum bk_pidf_shown shown, const char *note,
                            int64_t since_ms);
/* The last state that was not UNKNOWN; UNKNOWN: there was none. */
enum bk_pidf_shown bk_person_last_known(BkPerson *person);
/* Another session, another person: nothing of the last one is left but the address. */
void bk_person_forget(BkPerson *person);
/* contact, with groups; NULL: on no list. */
void bk_person_set_groups(BkPerson *person, const char *const *groups);
void bk_person_set_relation(BkPerson *person, int level);
void bk_person_set_tagged(BkPerson *person, bool tagged);
struct bk_person_card {
    const char *title, *office, *phone, *company, *email;
};
void bk_person_set_card(BkPerson *person, const struct bk_person_card *card);

BkGroup *bk_group_new(const char *name);

#endif
