/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/deleted_view.h - what Delete my sign-in info did, row by row, and what was said here as the second step. */
#ifndef BK_DESKTOP_DELETED_VIEW_H
#define BK_DESKTOP_DELETED_VIEW_H

#include "desktop/app.h"

/* Its Done activates "signin.back" where it stands, and has the focus when the view is given it. */
#define BK_TYPE_DELETED_VIEW (bk_deleted_view_get_type())
G_DECLARE_FINAL_TYPE(BkDeletedView, bk_deleted_view, BK, DELETED_VIEW, GtkBox)

/* event: BK_CLIENT_EVENT_DELETED; nothing of it is kept. */
void bk_deleted_view_show(BkDeletedView *view, BkApp *app, const struct bk_client_event *event);

#endif
