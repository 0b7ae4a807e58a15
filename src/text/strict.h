/* SPDX-License-Identifier: Apache-2.0
 * What tells whether every reader takes a request body, or the name of an argument, alike. */
#ifndef APIPOOL_TEXT_STRICT_H
#define APIPOOL_TEXT_STRICT_H

#include "utf8.h"

/* A body that one reader takes for an allowed model and another for a forbidden one evades a list of models.
 * Only a narrow form of JSON and of multipart/form-data passes: what clients really send, and what all known
 * readers understand alike. apipool_sniff_begin() takes one of these for a body that is to be read so. */

#define APIPOOL_STRICT_DEPTH        512
#define APIPOOL_STRICT_LINE_MAX     2047 /* of a part's head, and a Content-Type */
#define APIPOOL_STRICT_BOUNDARY_MAX 70   /* RFC 2046 section 5.1.1 */

typedef struct {
    const char *doubt; /* what readers disagree about, in a few words; NULL: nothing so far */

    /* The rest is of no use to the caller. */
    apipool_utf8_t utf8;                                 /* of a string in JSON */
    unsigned char is_object[APIPOOL_STRICT_DEPTH / 8];   /* a bit for each open bracket or brace */
    int matched;                                         /* bytes of a delimiter */
    unsigned char back[APIPOOL_STRICT_BOUNDARY_MAX + 2]; /* where a broken match goes on */
    char line[APIPOOL_STRICT_LINE_MAX + 2];              /* of a part's head, with its CR */
} apipool_strict_t;

typedef enum {
    APIPOOL_NAME_OTHER,
    APIPOOL_NAME_MODEL, /* a model's, in any case of letters */
    APIPOOL_NAME_DOUBT  /* some readers take it for a model's */
} apipool_name_e;

/** What a decoded name of a field or an argument stands for. */
apipool_name_e apipool_strict_name(const char *name);

/** Whether all readers take a decoded name of an argument alike: visible ASCII, a model's or none. */
int apipool_strict_is_argument(const char *name);

#endif
