/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work-around for Debian 12: libxml2 2.9.14 silently drops the SAX1 callbacks
 * (startElement/endElement) of a handler marked XML_SAX2_MAGIC.  The stock
 * pidgin-sipe 1.25.0 plugin uses exactly such a handler, so without this shim
 * it signs in but understands no XML body at all (no contacts, no presence).
 *
 * Linked into sipe_drive, or preloaded: LD_PRELOAD=./sax1fix.so finch
 * SIPE_NO_SAX1FIX=1 switches it off.
 */
#include <dlfcn.h>
#include <libxml/parser.h>
#include <stdlib.h>

int xmlSAXUserParseMemory(xmlSAXHandlerPtr sax, void *user, const char *buf, int size)
{
    static int (*real)(xmlSAXHandlerPtr, void *, const char *, int);
    xmlSAXHandler copy;
    if (!real)
        real = (int (*)(xmlSAXHandlerPtr, void *, const char *, int))dlsym(RTLD_NEXT,
                                                                           "xmlSAXUserParseMemory");
    if (sax && sax->initialized == XML_SAX2_MAGIC && sax->startElement && !sax->startElementNs &&
        !getenv("SIPE_NO_SAX1FIX")) {
        copy = *sax;
        copy.initialized = 1;
        sax = &copy;
    }
    return real(sax, user, buf, size);
}
