/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/talk_markup.h - what somebody wrote, as Pango markup in which nothing is alive but links. No widget. */
#ifndef BK_DESKTOP_TALK_MARKUP_H
#define BK_DESKTOP_TALK_MARKUP_H

/*
 * Every character of the text stands in the markup as itself; addresses beginning with http://, https://, mailto:, sip:, sips: or www. are
 * links to just what is shown. A link ends before blanks, quotes, angle brackets, characters that turn the direction of writing,
 * and the punctuation of the sentence around it. Caller frees.
 */
char *bk_talk_markup(const char *text);
/*
 * Whom a sip: or sips: link leads to: what stands before parameters, header fields and a port. NULL: it is no such link, or names
 * nobody. Caller frees.
 */
char *bk_talk_link_address(const char *uri);
/* A piece of the text around the first of the words searched for, on one line, each of them bold. */
char *bk_talk_found_markup(const char *text, const char *words);

#endif
