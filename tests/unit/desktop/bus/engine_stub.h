/* SPDX-License-Identifier: Apache-2.0 */
/* An engine that writes down what it is told, and tells what the test says. */
#ifndef BK_TESTS_UNIT_DESKTOP_ENGINE_STUB_H
#define BK_TESTS_UNIT_DESKTOP_ENGINE_STUB_H

#include "desktop/engine.h"

struct engine_stub {
    BkEngine *engine;
    GString *told;   /* "machine away\nnetwork\nsend bob@example.org hi\n" */
    GQueue *waiting; /* of const struct bk_client_event *, the test's */
    int fd;
    uint64_t next_id;
};
void engine_stub_make(struct engine_stub *stub);
void engine_stub_free(struct engine_stub *stub);
/* event lives until the engine is done with it: static, or of the test's frame. Runs the loop until it was told. */
void engine_stub_tell(struct engine_stub *stub, const struct bk_client_event *event);
void engine_stub_state(struct engine_stub *stub, enum bk_client_state state, const char *address);

#endif
