/* SPDX-License-Identifier: Apache-2.0 */
/* base/xml.h - text that goes into an XML document. Documents themselves are pidf/'s and ms/'s. */
#ifndef BK_BASE_XML_H
#define BK_BASE_XML_H

#include "base/buf.h"

/*
 * Appended so that it is text there, or the value of an attribute, whatever it holds. What XML 1.0 cannot hold (control bytes, broken
 * UTF-8, U+FFFE) becomes U+FFFD, so any text from a person gives a well-formed document.
 */
void bk_xml_escape(struct bk_buf *to, struct bk_view text);

#endif
