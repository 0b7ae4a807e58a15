/* SPDX-License-Identifier: Apache-2.0
 * Tells whether all readers understand a request body, or an argument's name, in the same way. */
#ifndef APIPOOL_TEXT_STRICT_H
#define APIPOOL_TEXT_STRICT_H

#include "utf8.h"

/* A body that one reader takes for an allowed model and another for a forbidden one would evade a
 * model list. So only a narrow form of JSON and multipart/form-data passes: what clients really
 * send and all known readers understand alike. Pass an apipool_strict_t to apipool_sniff_begin() to
 * check a body this way. */

#define APIPOOL_STRICT_DEPTH        512
#define APIPOOL_STRICT_LINE_MAX     2047 /* of a part header, and of a Content-Type */
#define APIPOOL_STRICT_BOUNDARY_MAX 70   /* RFC 2046 section 5.1.1 */

typedef struct {
    const char *ambiguity; /* what readers disagree about, in a few words; NULL: nothing so far */

    /* Internal from here on. */
    apipool_utf8_t utf8;                                 /* of a string in JSON */
    unsigned char is_object[APIPOOL_STRICT_DEPTH / 8];   /* a bit for each open bracket or brace */
    int matched;                                         /* bytes of a delimiter */
    unsigned char back[APIPOOL_STRICT_BOUNDARY_MAX + 2]; /* where a broken match resumes */
    char line[APIPOOL_STRICT_LINE_MAX + 2];              /* of a part header, with its CR */
} apipool_strict_t;

typedef enum {
    APIPOOL_NAME_OTHER,
    APIPOOL_NAME_MODEL,    /* a model name, in any case */
    APIPOOL_NAME_AMBIGUOUS /* some readers take it for a model name */
} apipool_name_e;

/** Classifies a decoded field or argument name. */
apipool_name_e apipool_strict_name(const char *name);

/** Tests whether all readers take a decoded argument name alike: visible ASCII, not ambiguous as a
 *  model name. */
int apipool_strict_is_argument(const char *name);

#endif
