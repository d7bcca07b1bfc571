/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/xml.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "base/xml.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>

#define NS_XSI "http://www.w3.org/2001/XMLSchema-instance"
#define NS_XML "http://www.w3.org/XML/1998/namespace"
#define NS_SOAP "http://schemas.xmlsoap.org/soap/envelope/"
#define NS_SIP "http://schemas.microsoft.com/winrtc/2002/11/sip"

/* ---- reading ---- */

struct reader {
    XML_Parser parser;
    struct bk_arena *arena;
    struct bk_ms_xml *root;
    struct bk_ms_xml *open[BK_MS_XML_DEPTH_MAX]; /* outermost first */
    struct bk_ms_xml **tail[BK_MS_XML_DEPTH_MAX];
    int depth, n_nodes;
    struct bk_buf text;
    const char *why;
    bool no_memory;
};

static void stop(struct reader *r, const char *why)
{
    if (!r->why)
        r->why = why;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

static void no_memory(struct reader *r)
{
    r->no_memory = true;
    stop(r, "out of memory");
}

static struct bk_view keep(struct reader *r, struct bk_view v)
{
    struct bk_view copy = bk_arena_copy(r->arena, v);
    if (!v.len)
        return BK_VIEW("");
    if (!copy.at)
        no_memory(r);
    return copy;
}

/* expat hands out "namespace|name"; a name without a namespace has no bar, and no name holds one. */
static void split_name(struct reader *r, const char *full, struct bk_view *ret_ns,
                       struct bk_view *ret_name)
{
    const char *bar = strrchr(full, '|');
    *ret_ns = bar ? keep(r, bk_view_between(full, bar)) : (struct bk_view){ 0 };
    *ret_name = keep(r, bk_view_of_str(bar ? bar + 1 : full));
}

static struct bk_ms_xml *add_node(struct reader *r)
{
    if (r->n_nodes++ >= BK_MS_XML_NODES_MAX) {
        stop(r, "too many elements");
        return NULL;
    }
    struct bk_ms_xml *node = bk_arena_alloc(r->arena, sizeof *node);
    if (!node) {
        no_memory(r);
        return NULL;
    }
    if (r->depth) {
        *r->tail[r->depth - 1] = node;
        r->tail[r->depth - 1] = &node->next;
    }
    return node;
}

/* White space beside elements is only how somebody laid the document out. */
static void flush_text(struct reader *r, bool at_end)
{
    struct bk_view text = bk_buf_view(&r->text);
    if (r->depth && text.len &&
        (bk_view_trim(text).len || (at_end && !r->open[r->depth - 1]->first))) {
        struct bk_ms_xml *node = add_node(r);
        if (node)
            node->text = keep(r, text);
    }
    bk_buf_clear(&r->text);
}

static void XMLCALL on_begin(void *user, const char *full, const char **attributes)
{
    struct reader *r = user;
    flush_text(r, false);
    if (r->why)
        return;
    if (r->depth >= BK_MS_XML_DEPTH_MAX) {
        stop(r, "elements are nested too deep");
        return;
    }
    struct bk_ms_xml *node = add_node(r);
    if (!node)
        return;
    split_name(r, full, &node->ns, &node->name);
    struct bk_ms_xml_attribute **tail = &node->attributes;
    for (int n = 0; attributes[2 * n]; n++) {
        if (n == BK_MS_XML_ATTRIBUTES_MAX) {
            stop(r, "an element has too many attributes");
            return;
        }
        struct bk_ms_xml_attribute *a = bk_arena_alloc(r->arena, sizeof *a);
        if (!a) {
            no_memory(r);
            return;
        }
        split_name(r, attributes[2 * n], &a->ns, &a->name);
        a->value = keep(r, bk_view_of_str(attributes[2 * n + 1]));
        *tail = a;
        tail = &a->next;
    }
    if (!r->root)
        r->root = node;
    r->open[r->depth] = node;
    r->tail[r->depth++] = &node->first;
}

static void XMLCALL on_end(void *user, const char *full)
{
    struct reader *r = user;
    (void)full;
    if (r->why || !r->depth)
        return;
    flush_text(r, true);
    r->depth--;
}

static void XMLCALL on_text(void *user, const char *at, int len)
{
    struct reader *r = user;
    if (r->why || len <= 0)
        return;
    bk_buf_add(&r->text, at, (size_t)len);
    if (r->text.failed)
        no_memory(r);
}

/* A document type could define entities that blow up or read files: none is taken. */
static void XMLCALL on_doctype(void *user, const char *name, const char *sysid, const char *pubid,
                               int internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)internal;
    stop(user, "a document type is not allowed");
}

int bk_ms_xml_parse(struct bk_view text, struct bk_arena *arena, struct bk_ms_xml **ret,
                    const char **ret_why)
{
    if (!text.len || text.len > BK_MS_XML_BYTES_MAX) {
        *ret_why = text.len ? "the document is too large" : "the document is empty";
        return -EBADMSG;
    }
    struct reader r = { .arena = arena };
    r.parser = XML_ParserCreateNS(NULL, '|');
    if (!r.parser)
        return -ENOMEM;
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_begin, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    enum XML_Status status = XML_Parse(r.parser, text.at, (int)text.len, XML_TRUE);
    bool out = r.no_memory || XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY;
    XML_ParserFree(r.parser);
    bk_buf_finish(&r.text);
    if (out)
        return -ENOMEM;
    if (r.why || status != XML_STATUS_OK || !r.root) {
        *ret_why = r.why ? r.why : "not well-formed XML";
        return -EBADMSG;
    }
    *ret = r.root;
    return 0;
}

/* ---- asking ---- */

bool bk_ms_xml_is(const struct bk_ms_xml *node, const char *name)
{
    return node && node->name.len && (!name || bk_view_equal(node->name, bk_view_of_str(name)));
}

static const struct bk_ms_xml *find(const struct bk_ms_xml *node, const char *name)
{
    while (node && !bk_ms_xml_is(node, name))
        node = node->next;
    return node;
}

const struct bk_ms_xml *bk_ms_xml_child(const struct bk_ms_xml *node, const char *name)
{
    return node ? find(node->first, name) : NULL;
}

const struct bk_ms_xml *bk_ms_xml_next(const struct bk_ms_xml *node, const char *name)
{
    return node ? find(node->next, name) : NULL;
}

struct bk_view bk_ms_xml_attribute(const struct bk_ms_xml *node, const char *name)
{
    for (const struct bk_ms_xml_attribute *a = node ? node->attributes : NULL; a; a = a->next)
        if (bk_view_equal(a->name, bk_view_of_str(name)))
            return a->value;
    return (struct bk_view){ 0 };
}

struct bk_view bk_ms_xml_text(const struct bk_ms_xml *node)
{
    for (const struct bk_ms_xml *it = node ? node->first : NULL; it; it = it->next)
        if (!it->name.len)
            return it->text;
    return (struct bk_view){ 0 };
}

struct bk_view bk_ms_xml_child_text(const struct bk_ms_xml *node, const char *name)
{
    return bk_view_trim(bk_ms_xml_text(bk_ms_xml_child(node, name)));
}

/* ---- writing ---- */

void bk_ms_xml_add_attribute(struct bk_buf *to, const char *name, struct bk_view value)
{
    bk_buf_add_char(to, ' ');
    bk_buf_add_str(to, name);
    bk_buf_add_lit(to, "=\"");
    bk_xml_escape(to, value);
    bk_buf_add_char(to, '"');
}

void bk_ms_xml_add_element(struct bk_buf *to, const char *name, struct bk_view text)
{
    bk_buf_add_char(to, '<');
    bk_buf_add_str(to, name);
    bk_buf_add_char(to, '>');
    bk_xml_escape(to, text);
    bk_buf_add_lit(to, "</");
    bk_buf_add_str(to, name);
    bk_buf_add_char(to, '>');
}

static void write_attributes(struct bk_buf *to, const struct bk_ms_xml *node)
{
    int n = 0;
    for (const struct bk_ms_xml_attribute *a = node->attributes; a; a = a->next) {
        char prefix[16] = "";
        if (bk_view_equal(a->ns, BK_VIEW(NS_XML))) {
            snprintf(prefix, sizeof prefix, "xml:");
        } else if (a->ns.len) {
            /* The one prefix that is everywhere by custom; each other attribute gets a prefix of its own. */
            bool xsi = bk_view_equal(a->ns, BK_VIEW(NS_XSI)), declared = false;
            if (xsi)
                snprintf(prefix, sizeof prefix, "xsi:");
            else
                snprintf(prefix, sizeof prefix, "n%d:", ++n);
            for (const struct bk_ms_xml_attribute *b = node->attributes; xsi && b != a; b = b->next)
                declared |= bk_view_equal(b->ns, a->ns);
            if (!declared) {
                bk_buf_addf(to, " xmlns:%.*s", (int)strlen(prefix) - 1, prefix);
                bk_buf_add_lit(to, "=\"");
                bk_xml_escape(to, a->ns);
                bk_buf_add_char(to, '"');
            }
        }
        bk_buf_add_char(to, ' ');
        bk_buf_add_str(to, prefix);
        bk_buf_add_view(to, a->name);
        bk_buf_add_lit(to, "=\"");
        bk_xml_escape(to, a->value);
        bk_buf_add_char(to, '"');
    }
}

void bk_ms_xml_write(struct bk_buf *to, const struct bk_ms_xml *node, struct bk_view inherited)
{
    if (!node->name.len) {
        bk_xml_escape(to, node->text);
        return;
    }
    /* An element of this namespace cannot be the default one: it always has its prefix. */
    const char *prefix = bk_view_equal(node->ns, BK_VIEW(NS_XML)) ? "xml:" : "";
    struct bk_view ns = prefix[0] ? inherited : node->ns;
    bk_buf_add_char(to, '<');
    bk_buf_add_str(to, prefix);
    bk_buf_add_view(to, node->name);
    if (!bk_view_equal(ns, inherited))
        bk_ms_xml_add_attribute(to, "xmlns", ns);
    write_attributes(to, node);
    if (!node->first) {
        bk_buf_add_lit(to, "/>");
        return;
    }
    bk_buf_add_char(to, '>');
    for (const struct bk_ms_xml *it = node->first; it; it = it->next)
        bk_ms_xml_write(to, it, ns);
    bk_buf_add_lit(to, "</");
    bk_buf_add_str(to, prefix);
    bk_buf_add_view(to, node->name);
    bk_buf_add_char(to, '>');
}

/* ---- SOAP ---- */

int bk_ms_soap_parse(struct bk_view text, struct bk_arena *arena,
                     const struct bk_ms_xml **ret_method, const struct bk_ms_xml **ret_body,
                     const char **ret_why)
{
    struct bk_ms_xml *root;
    int r = bk_ms_xml_parse(text, arena, &root, ret_why);
    if (r < 0)
        return r;
    const struct bk_ms_xml *body =
        bk_ms_xml_is(root, "Envelope") ? bk_ms_xml_child(root, "Body") : NULL;
    const struct bk_ms_xml *method = bk_ms_xml_child(body, NULL);
    if (!method) {
        *ret_why = "no method in a SOAP envelope";
        return -EBADMSG;
    }
    *ret_method = method;
    if (ret_body)
        *ret_body = body;
    return 0;
}

void bk_ms_soap_begin(struct bk_buf *to, struct bk_view method)
{
    bk_buf_add_lit(to, "<SOAP-ENV:Envelope xmlns:SOAP-ENV=\"" NS_SOAP "\"><SOAP-ENV:Body><m:");
    bk_buf_add_view(to, method);
    bk_buf_add_lit(to, " xmlns:m=\"" NS_SIP "\">");
}

void bk_ms_soap_end(struct bk_buf *to, struct bk_view method)
{
    bk_buf_add_lit(to, "</m:");
    bk_buf_add_view(to, method);
    bk_buf_add_lit(to, "></SOAP-ENV:Body></SOAP-ENV:Envelope>");
}

void bk_ms_soap_fault(struct bk_buf *to, const char *code, const char *text, int64_t delta)
{
    bk_buf_add_lit(to, "<SOAP-ENV:Envelope xmlns:SOAP-ENV=\"" NS_SOAP
                       "\"><SOAP-ENV:Body><SOAP-ENV:Fault>");
    bk_buf_addf(to, "<faultcode>SOAP-ENV:%s</faultcode>", code);
    bk_ms_xml_add_element(to, "faultstring", bk_view_of_str(text));
    if (delta >= 0)
        bk_buf_addf(to, "<detail><m:deltaNum xmlns:m=\"" NS_SIP "\">%lld</m:deltaNum></detail>",
                    (long long)delta);
    bk_buf_add_lit(to, "</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>");
}
