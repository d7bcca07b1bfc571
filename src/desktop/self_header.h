/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/self_header.h - the user at the top of the main window: picture, name, status to choose, note to write. */
#ifndef BK_DESKTOP_SELF_HEADER_H
#define BK_DESKTOP_SELF_HEADER_H

#include "desktop/app.h"

/* The status is chosen by the application's action "status"; the note goes to the engine with Enter, the button or when the entry is left. */
#define BK_TYPE_SELF_HEADER (bk_self_header_get_type())
G_DECLARE_FINAL_TYPE(BkSelfHeader, bk_self_header, BK, SELF_HEADER, GtkWidget)
/* Once, after the template that has it was made. */
void bk_self_header_set_app(BkSelfHeader *header, BkApp *app);

/* Bytes of UTF-8 in a note (client.h). */
enum { BK_SELF_NOTE_MAX = 4096 };

#endif
