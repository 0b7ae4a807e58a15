/* SPDX-License-Identifier: Apache-2.0
 * Reads along a request body and tells whether every reader takes it alike. */
#ifndef APIPOOL_CORE_STRICT_H
#define APIPOOL_CORE_STRICT_H

#include <apr.h>

/* A body that one reader takes for an allowed model and another for a forbidden one evades a list of models.
 * Only a narrow form of JSON and of multipart/form-data passes: what clients really send, and what all known
 * readers understand alike. How the body is cut into pieces makes no difference.
 *
 * The caller owns the struct; nothing is allocated. One thread at a time. */

#define APIPOOL_STRICT_DEPTH        512
#define APIPOOL_STRICT_LINE_MAX     2047 /* of a part's head */
#define APIPOOL_STRICT_BOUNDARY_MAX 70   /* RFC 2046 section 5.1.1 */

typedef struct {
    const char *doubt; /* what readers disagree about, in a few words; NULL: nothing so far */
    apr_off_t seen;    /* bytes of the body */

    /* The rest is of no use to the caller. */
    int is_form;
    int state;
    unsigned char pattern[APIPOOL_STRICT_BOUNDARY_MAX + 2]; /* two hyphens and the boundary */
    unsigned char back[APIPOOL_STRICT_BOUNDARY_MAX + 2]; /* where a broken match goes on */
    int pattern_len, matched, is_after_line;
    char before[2];        /* the last two bytes that passed */
    apr_off_t data_at;     /* where the part's data began */
    apr_off_t data_length; /* as the part's head has it; -1: it does not say */
    unsigned char has_disposition, has_type, is_text, is_file, is_model;
    unsigned char of_name, escape, low, high, more; /* of a string in JSON */
    unsigned unit;
    int depth, number;
    const char *literal;
    unsigned char is_object[APIPOOL_STRICT_DEPTH / 8];
    apr_size_t used;
    char line[APIPOOL_STRICT_LINE_MAX + 1];
} apipool_strict_t;

/**
 * Starts with a new body.
 * @param content_type the request's; NULL if it has none
 */
void apipool_strict_begin(apipool_strict_t *s, const char *content_type);

/** Takes the next piece. It is not written to and not kept. */
void apipool_strict_feed(apipool_strict_t *s, const char *data, apr_size_t len);

/** Says that the body is over. An empty one leaves no doubt. */
void apipool_strict_end(apipool_strict_t *s);

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
