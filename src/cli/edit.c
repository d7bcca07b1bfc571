/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>

static const struct cli_edit edits[] = {
    { "contacts", "", "show the contact list", BK_CLIENT_EDIT_TELL, 0, 0, "" },
    { "relations", "", "show who sees how much of you", BK_CLIENT_EDIT_TELL, 0, 0, "" },
    { "add", "ADDRESS [GROUP]", "put somebody on the contact list", BK_CLIENT_EDIT_ADD_CONTACT, 1,
      2, "ag" },
    { "remove", "ADDRESS [GROUP]", "take somebody off it, or out of one group",
      BK_CLIENT_EDIT_REMOVE_CONTACT, 1, 2, "ag" },
    { "rename", "ADDRESS NAME", "call somebody something else; \"\": as they do",
      BK_CLIENT_EDIT_RENAME_CONTACT, 2, 2, "an" },
    { "move", "ADDRESS GROUP GROUP", "from one group to another", BK_CLIENT_EDIT_MOVE_CONTACT, 3, 3,
      "agt" },
    { "add-group", "GROUP", "make a group", BK_CLIENT_EDIT_ADD_GROUP, 1, 1, "g" },
    { "rename-group", "GROUP NAME", "rename a group", BK_CLIENT_EDIT_RENAME_GROUP, 2, 2, "gt" },
    { "delete-group", "GROUP", "delete a group; its contacts stay", BK_CLIENT_EDIT_DELETE_GROUP, 1,
      1, "g" },
    { "relation", "ADDRESS LEVEL", "none, external, colleague, workgroup, friend or blocked",
      BK_CLIENT_EDIT_RELATION, 2, 2, "al" },
    { "block", "ADDRESS", "be offline and silent for somebody", BK_CLIENT_EDIT_BLOCK, 1, 1, "a" },
    { "unblock", "ADDRESS", "no longer", BK_CLIENT_EDIT_UNBLOCK, 1, 1, "a" },
    { "ok", "ADDRESS", "it is fine that somebody put you on the contact list",
      BK_CLIENT_EDIT_ACKNOWLEDGE, 1, 1, "a" },
    { "search", "TEXT...", "find people in the directory", BK_CLIENT_EDIT_SEARCH, 1, -1, "s" },
};

const struct cli_edit *cli_edit_at(size_t index)
{
    return index < BK_COUNT_OF(edits) ? &edits[index] : NULL;
}

const struct cli_edit *cli_edit_find(const char *name)
{
    for (size_t i = 0; i < BK_COUNT_OF(edits); i++)
        if (strcmp(edits[i].name, name) == 0)
            return &edits[i];
    return NULL;
}

static int level_of(const char *word)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = { { "none", 0 },        { "external", 100 }, { "colleague", 200 },
                   { "workgroup", 300 }, { "friend", 400 },   { "blocked", 32000 } };
    for (size_t i = 0; i < BK_COUNT_OF(levels); i++)
        if (strcmp(word, levels[i].name) == 0)
            return levels[i].level;
    return -1;
}

int cli_edit_do(struct cli *cli, const struct cli_edit *edit, char **words, int n, uint64_t *ret_id)
{
    struct bk_client_edit wish = { .kind = edit->kind };
    BK_AUTO_BUF struct bk_buf text = { 0 };
    if (n < edit->n_min || (edit->n_max >= 0 && n > edit->n_max))
        return -EINVAL;
    for (int i = 0; i < n; i++) {
        switch (edit->order[0] == 's' ? 's' : edit->order[i]) {
        case 'a':
            wish.address = words[i];
            break;
        case 'n':
            wish.name = words[i];
            break;
        case 'g':
            wish.group = words[i];
            break;
        case 't':
            wish.to_group = words[i];
            break;
        case 'l':
            wish.level = level_of(words[i]);
            break;
        default:
            bk_buf_add_str(&text, i ? " " : "");
            bk_buf_add_str(&text, words[i]);
            break;
        }
    }
    wish.text = text.len ? bk_buf_cstr(&text) : NULL;
    if (text.failed)
        return -ENOMEM;
    cli->tells_contacts = strcmp(edit->name, "contacts") == 0;
    cli->tells_relations = strcmp(edit->name, "relations") == 0;
    return bk_client_edit(cli->client, &wish, ret_id);
}
