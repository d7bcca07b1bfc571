/* SPDX-License-Identifier: Apache-2.0 */
/* pidf/names_private.h - the names that reader and writer share. */
#ifndef BK_PIDF_NAMES_PRIVATE_H
#define BK_PIDF_NAMES_PRIVATE_H

#include "pidf/pidf.h"

#define NS_PIDF "urn:ietf:params:xml:ns:pidf"          /* RFC 3863 */
#define NS_DM "urn:ietf:params:xml:ns:pidf:data-model" /* RFC 4479 */
#define NS_RPID "urn:ietf:params:xml:ns:pidf:rpid"     /* RFC 4480 */
#define NS_BECKON "urn:beckon:presence"

/* Elements inside rpid:activities. What is not listed, but stands there, counts as OTHER. */
struct bk_pidf_activity_name {
    const char *name;
    enum bk_pidf_activity activity;
    bool alias; /* read, but written under the other name */
};
extern const struct bk_pidf_activity_name bk_pidf_activity_names[];
extern const size_t bk_pidf_activity_names_len;

#endif
