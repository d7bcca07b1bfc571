/* SPDX-License-Identifier: Apache-2.0 */
/* Writes docs/records.md from the table: build/tests/unit/record/records_doc > docs/records.md */
#include "record/record_private.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned hundred;
    const char *title;
} chapters[] = {
    { 1, "1xx: the app and its computer" }, { 2, "2xx: who it is" },
    { 3, "3xx: the network between" },      { 4, "4xx: the service" },
    { 5, "5xx: reaching somebody" },
};

static void print_row(const struct bk_record *r)
{
    char id[12];
    bk_record_id(r, id);
    printf("\n### %s %s\n\n", id, r->slug);
    printf("- **They read:** %s\n- **They do:** %s\n", r->user_text, r->user_does);
    printf("- **It means:** %s\n- **You do:** %s\n", r->admin_text, r->admin_does);
    printf("- %s; ", bk_record_category_name(r->category));
    if (r->sip_status)
        printf("SIP %u; ", r->sip_status);
    if (r->http_status)
        printf("HTTP %u; ", r->http_status);
    if (!r->sip_status && !r->http_status)
        printf("found by the client, no server sends it; ");
    printf("diagnostics %u; %s; %s\n", r->diagnostics,
           r->neutral ? "told to anybody" : "told only to whom it concerns",
           r->fatal ? "a person must act" : "the app goes on by itself");
    if (!r->live)
        puts("- **Not yet:** nothing causes it in this version.");
    bool first = true;
    for (size_t i = 0; i < bk_record_n_aliases; i++)
        if (bk_record_of_reference_code(bk_record_aliases[i].code) == r) {
            printf("%s0x%08X", first ? "- Known elsewhere as " : ", ",
                   (unsigned)bk_record_aliases[i].code);
            first = false;
        }
    if (!first)
        puts("");
}

/* For the test that looks for their causes in the sources. */
static int list(void)
{
    const struct bk_record *r;
    for (size_t i = 0; (r = bk_record_at(i)) != NULL; i++) {
        char id[12];
        bk_record_id(r, id);
        printf("%s %s\n", id, r->live ? "live" : "later");
    }
    return ferror(stdout) || fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--list") == 0)
        return list();
    puts("<!-- Made from src/record/table.c by tools/records_doc.c; change the table, not this "
         "file. -->\n"
         "# Records: every reason why somebody cannot sign in or cannot reach somebody\n\n"
         "A message that somebody reads to you over the telephone ends with a case code such as "
         "K7QF-3M2P;\n"
         "`beckonctl case K7QF-3M2P` shows its record and both halves of what happened. Words in "
         "{braces} are filled in.\n"
         "Strangers, who have not proved who they are, are told SI-202 (or SI-501) instead of any "
         "record that is not told\n"
         "to anybody; the history keeps the true one. SI-504 is always told as SI-501.\n\n"
         "Numbers that people know from the clients they leave (0x80EF0191 and the like) stand "
         "with the "
         "record they mean.\n"
         "What belongs to features that are still to come is marked; its texts are ready.");
    for (size_t c = 0; c < sizeof chapters / sizeof *chapters; c++) {
        printf("\n## %s\n", chapters[c].title);
        const struct bk_record *r;
        for (size_t i = 0; (r = bk_record_at(i)) != NULL; i++)
            if (r->number / 100 == chapters[c].hundred)
                print_row(r);
    }
    return ferror(stdout) || fflush(stdout) != 0;
}
