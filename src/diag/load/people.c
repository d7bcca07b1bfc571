/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/people.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void bk_load_people_finish(struct bk_load_people *people)
{
    for (uint32_t i = 0; i < people->count; i++) {
        struct bk_load_person *person = &people->at[i];
        free(person->address);
        free(person->user);
        if (person->password && person->password != people->shared_password) {
            bk_wipe(person->password, strlen(person->password));
            free(person->password);
        }
    }
    free(people->at);
    if (people->shared_password)
        bk_wipe(people->shared_password, strlen(people->shared_password));
    free(people->shared_password);
    *people = (struct bk_load_people){ 0 };
}

/* What goes into a SIP URI and a header without escapes; the rest is refused, not repaired. */
static bool is_plain(const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= ' ' || c >= 127 || strchr("\"<>;,:?\\%", *text))
            return false;
    }
    return true;
}

int bk_load_people_from_pattern(const char *pattern, const char *domain, const char *password,
                                uint32_t count, struct bk_load_people *ret)
{
    const char *mark = strstr(pattern, "%d");
    if (!mark || strchr(pattern, '%') != mark || strchr(mark + 1, '%') || strchr(pattern, '@'))
        return -EINVAL;
    struct bk_load_people people = { .at = calloc(count, sizeof *people.at),
                                     .shared_password = strdup(password) };
    if (!people.at || !people.shared_password)
        goto no_memory;
    for (; people.count < count; people.count++) {
        struct bk_load_person *person = &people.at[people.count];
        if (asprintf(&person->user, "%.*s%u%s", (int)(mark - pattern), pattern, people.count,
                     mark + 2) < 0)
            goto no_memory;
        if (asprintf(&person->address, "%s@%s", person->user, domain) < 0) {
            free(person->user);
            goto no_memory;
        }
        person->password = people.shared_password;
    }
    if (count > 0 && (!is_plain(people.at[0].user) || !is_plain(domain))) {
        bk_load_people_finish(&people);
        return -EINVAL;
    }
    *ret = people;
    return 0;

no_memory:
    bk_load_people_finish(&people);
    return -ENOMEM;
}

/* Takes one column off the front of *line into a new string. */
static int next_column(struct bk_view *line, char **ret)
{
    char *text = malloc(line->len + 1);
    if (!text)
        return -ENOMEM;
    size_t len = 0, at = 0;
    if (line->len > 0 && line->at[0] == '"') {
        for (at = 1;; at++) {
            if (at == line->len) {
                free(text);
                return -EBADMSG;
            }
            if (line->at[at] == '"') {
                if (at + 1 == line->len || line->at[at + 1] != '"')
                    break;
                at++;
            }
            text[len++] = line->at[at];
        }
        at++;
        if (at < line->len && line->at[at] != ',') {
            free(text);
            return -EBADMSG;
        }
    } else {
        for (; at < line->len && line->at[at] != ','; at++)
            text[len++] = line->at[at];
    }
    text[len] = '\0';
    *line = at < line->len ? bk_view_skip(*line, at + 1) : (struct bk_view){ 0 };
    *ret = text;
    return 0;
}

/* 1: a person, 0: a line to pass over, or negative errno. */
static int read_line(struct bk_view line, struct bk_load_person *ret)
{
    char *address = NULL, *password = NULL;
    int r = next_column(&line, &address);
    if (r == 0 && strcasecmp(address, "address") == 0) {
        free(address);
        return 0;
    }
    if (r == 0)
        r = line.at ? next_column(&line, &password) : -EBADMSG;
    if (r < 0) {
        free(address);
        return r;
    }
    if (strncasecmp(address, "sip:", 4) == 0)
        memmove(address, address + 4, strlen(address + 4) + 1);
    const char *at = strchr(address, '@');
    char *user = at ? strndup(address, (size_t)(at - address)) : NULL;
    if (!user || !*user || !at[1] || strchr(at + 1, '@') || !is_plain(address)) {
        free(user);
        free(address);
        free(password);
        return -EBADMSG;
    }
    *ret = (struct bk_load_person){ address, user, password };
    return 1;
}

int bk_load_people_from_csv(struct bk_view text, uint32_t max, struct bk_load_people *ret,
                            unsigned *ret_line)
{
    struct bk_load_people people = { .at = calloc(max, sizeof *people.at) };
    if (!people.at)
        return -ENOMEM;
    unsigned number = 0;
    while (text.at && people.count < max) {
        struct bk_view line = bk_view_trim(bk_view_cut(&text, '\n'));
        number++;
        if (line.len == 0 || line.at[0] == '#')
            continue;
        int r = read_line(line, &people.at[people.count]);
        if (r < 0) {
            bk_load_people_finish(&people);
            *ret_line = number;
            return r;
        }
        people.count += (uint32_t)r;
    }
    *ret = people;
    return 0;
}
