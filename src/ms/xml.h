/* SPDX-License-Identifier: Apache-2.0 */
/* ms/xml.h - the documents of the Lync dialect: small trees read within limits, and text written so that it stays text. */
#ifndef BK_MS_XML_H
#define BK_MS_XML_H

#include "base/arena.h"
#include "base/buf.h"

/* From the security limits: a document over one of these is refused, not cut. */
enum {
    BK_MS_XML_BYTES_MAX = 256 * 1024,
    BK_MS_XML_DEPTH_MAX = 24,
    BK_MS_XML_NODES_MAX =
        16384, /* elements and texts; a batch of a thousand contacts has about 3,000 */
    BK_MS_XML_ATTRIBUTES_MAX = 64,
};

struct bk_ms_xml_attribute {
    struct bk_ms_xml_attribute *next;
    struct bk_view ns; /* empty: none */
    struct bk_view name, value;
};

/* An element, or a text (name empty). In the order of the document; all of it lives in the arena. */
struct bk_ms_xml {
    struct bk_ms_xml *next, *first; /* the next one in the same element; what stands inside */
    struct bk_view ns, name;        /* local name; ns empty: none */
    struct bk_view text;            /* of a text: without escapes */
    struct bk_ms_xml_attribute *attributes;
};

/*
 * Reads a whole document. 0; -EBADMSG with *ret_why a static text that names the fault (not well-formed, a document type,
 * a limit above); -ENOMEM. Comments, instructions and the white space between elements are not kept. *ret is
 * untouched on failure.
 */
int bk_ms_xml_parse(struct bk_view text, struct bk_arena *arena, struct bk_ms_xml **ret,
                    const char **ret_why);

/*
 * Names are local names: peers of this dialect use what namespace prefixes they like, and one of them ignores namespaces
 * altogether. NULL is a fine node to ask: it has nothing.
 */
bool bk_ms_xml_is(const struct bk_ms_xml *node, const char *name);
/* The first element of that name in node; of any name where name is NULL. */
const struct bk_ms_xml *bk_ms_xml_child(const struct bk_ms_xml *node, const char *name);
/* The next one beside it. */
const struct bk_ms_xml *bk_ms_xml_next(const struct bk_ms_xml *node, const char *name);
#define BK_MS_XML_EACH(it, node, name)                                                             \
    for (const struct bk_ms_xml *it = bk_ms_xml_child((node), (name)); it;                         \
         it = bk_ms_xml_next(it, (name)))
/* at == NULL: no such attribute. */
struct bk_view bk_ms_xml_attribute(const struct bk_ms_xml *node, const char *name);
/* The text directly inside, as it stands there; the empty view where there is none. */
struct bk_view bk_ms_xml_text(const struct bk_ms_xml *node);
/* The text of the first child of that name, trimmed. */
struct bk_view bk_ms_xml_child_text(const struct bk_ms_xml *node, const char *name);

/*
 * The element with all it holds, its namespaces declared, so that it can stand in any other document. Reading that
 * gives the same tree. inherited: the default namespace where it is put.
 */
void bk_ms_xml_write(struct bk_buf *to, const struct bk_ms_xml *node, struct bk_view inherited);

/* ` name="value"` and `<name>text</name>`, escaped (base/xml.h). */
void bk_ms_xml_add_attribute(struct bk_buf *to, const char *name, struct bk_view value);
void bk_ms_xml_add_element(struct bk_buf *to, const char *name, struct bk_view text);

/* ---- SOAP 1.1, as contact list changes use it ---- */
#define BK_MS_SOAP_CONTENT_TYPE "application/SOAP+xml"

/* The method in Envelope/Body; -EBADMSG as above. *ret_body: its neighbours are there ("Array" of a search); may be NULL. */
int bk_ms_soap_parse(struct bk_view text, struct bk_arena *arena,
                     const struct bk_ms_xml **ret_method, const struct bk_ms_xml **ret_body,
                     const char **ret_why);
/* Between them the caller writes the children of <m:method>. */
void bk_ms_soap_begin(struct bk_buf *to, struct bk_view method);
void bk_ms_soap_end(struct bk_buf *to, struct bk_view method);
/* code: "Client.BadCall.WrongDelta"; delta < 0: none is told. */
void bk_ms_soap_fault(struct bk_buf *to, const char *code, const char *text, int64_t delta);

#endif
