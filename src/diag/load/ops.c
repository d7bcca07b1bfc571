/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/ops.h"

#include <errno.h>
#include <stdlib.h>

int bk_load_ops_init(struct bk_load_ops *ops, uint32_t room)
{
    *ops =
        (struct bk_load_ops){ .room = room, .oldest = BK_LOAD_OP_NONE, .newest = BK_LOAD_OP_NONE };
    ops->slots = calloc(room, sizeof *ops->slots);
    ops->idle = calloc(room, sizeof *ops->idle);
    if (!ops->slots || !ops->idle) {
        bk_load_ops_finish(ops);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < room; i++)
        ops->idle[i] = room - 1 - i;
    ops->idle_count = room;
    return 0;
}

void bk_load_ops_finish(struct bk_load_ops *ops)
{
    free(ops->slots);
    free(ops->idle);
    *ops = (struct bk_load_ops){ .oldest = BK_LOAD_OP_NONE, .newest = BK_LOAD_OP_NONE };
}

uint32_t bk_load_ops_take(struct bk_load_ops *ops, uint64_t now_ns, uint64_t timeout_ns)
{
    if (ops->idle_count == 0)
        return BK_LOAD_OP_NONE;
    uint32_t at = ops->idle[--ops->idle_count];
    struct bk_load_slot *slot = &ops->slots[at];
    slot->generation++;
    slot->live = true;
    slot->started_ns = now_ns;
    slot->deadline_ns = now_ns + timeout_ns;
    slot->older = ops->newest;
    slot->newer = BK_LOAD_OP_NONE;
    if (ops->newest == BK_LOAD_OP_NONE)
        ops->oldest = at;
    else
        ops->slots[ops->newest].newer = at;
    ops->newest = at;
    ops->live_count++;
    return at;
}

void bk_load_ops_give(struct bk_load_ops *ops, uint32_t at)
{
    struct bk_load_slot *slot = &ops->slots[at];
    if (!slot->live)
        return;
    slot->live = false;
    if (slot->older == BK_LOAD_OP_NONE)
        ops->oldest = slot->newer;
    else
        ops->slots[slot->older].newer = slot->newer;
    if (slot->newer == BK_LOAD_OP_NONE)
        ops->newest = slot->older;
    else
        ops->slots[slot->newer].older = slot->older;
    ops->idle[ops->idle_count++] = at;
    ops->live_count--;
}

bool bk_load_ops_is_live(const struct bk_load_ops *ops, const struct bk_load_token *token)
{
    return token->slot < ops->room && ops->slots[token->slot].live &&
           ops->slots[token->slot].generation == token->generation;
}

static char *write_hex(char *to, uint32_t n, int digits)
{
    while (digits-- > 0)
        *to++ = "0123456789abcdef"[n >> (4 * digits) & 15];
    return to;
}

/* "bl" slot(8) "." generation(8) "." leg(1) tries(1) */
void bk_load_token_write(const struct bk_load_token *token, char ret[BK_LOAD_TOKEN_SIZE])
{
    char *at = ret;
    *at++ = 'b';
    *at++ = 'l';
    at = write_hex(at, token->slot, 8);
    *at++ = '.';
    at = write_hex(at, token->generation, 8);
    *at++ = '.';
    *at++ = token->leg;
    at = write_hex(at, token->tries, 1);
    *at = '\0';
}

static int read_hex(const char *at, int digits, uint32_t *ret)
{
    uint32_t n = 0;
    for (int i = 0; i < digits; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9')
            n = n << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            n = n << 4 | (uint32_t)(c - 'a' + 10);
        else
            return -EINVAL;
    }
    *ret = n;
    return 0;
}

int bk_load_token_read(struct bk_view text, struct bk_load_token *ret)
{
    const char *at = text.at;
    uint32_t slot, generation, tries;
    if (text.len != BK_LOAD_TOKEN_SIZE - 1 || at[0] != 'b' || at[1] != 'l' || at[10] != '.' ||
        at[19] != '.' || at[20] < 'a' || at[20] > 'z' || read_hex(at + 2, 8, &slot) < 0 ||
        read_hex(at + 11, 8, &generation) < 0 || read_hex(at + 21, 1, &tries) < 0)
        return -EINVAL;
    *ret = (struct bk_load_token){ slot, generation, at[20], (uint8_t)tries };
    return 0;
}
