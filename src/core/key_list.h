/* SPDX-License-Identifier: Apache-2.0
 * Lists of keys, as text or as JSON, read while they arrive. */
#ifndef APIPOOL_CORE_KEY_LIST_H
#define APIPOOL_CORE_KEY_LIST_H

#include <apr_pools.h>

#include "key.h"

/* A list comes in pieces, cut anywhere, and none of them is kept: there is room for one key, or for one
 * element of an array, and both are overwritten at the end. It is either
 *
 *   keys separated by newlines or commas; blanks around a key are trimmed, empty items and lines starting
 *   with '#' are skipped; or
 *   a JSON array of strings or of objects, as apipool_key_element() reads them.
 *
 * A leading byte order mark is ignored. Invalid items are told to on_invalid and do not stop the rest. JSON
 * that is broken anywhere does: what has been told of such a list before is not to be used. */

#define APIPOOL_KEY_LIST_ELEMENT_MAX 65536 /* bytes of an element of an array */

typedef enum {
    APIPOOL_KEY_LIST_ANY,  /* an array if it begins as one, else text */
    APIPOOL_KEY_LIST_ARRAY /* of JSON, and nothing else */
} apipool_key_list_form_e;

/* Only the functions below use what is in it, but for what is wrong. */
typedef struct {
    /* what is wrong with the list as a whole */
    int is_broken;
    const char *reason; /* as a list of invalid items says it, with the line */
    const char *said;   /* to whoever sent it; NULL: that it is no JSON, with line and column */
    long line, column;  /* where that is, or where reading has come to */

    const apipool_key_sink_t *sink;
    apipool_key_list_form_e form;
    enum {
        APIPOOL_KEY_LIST_BEFORE, /* nothing but blanks so far */
        APIPOOL_KEY_LIST_TEXT,
        APIPOOL_KEY_LIST_IN_ARRAY,
        APIPOOL_KEY_LIST_AFTER_ARRAY,
        APIPOOL_KEY_LIST_REFUSED /* told already */
    } where;
    int mark; /* bytes of a byte order mark so far; -1: there is none, or it is over */

    /* of text */
    int in_line, in_comment; /* whether the line has anything but blanks yet */
    apr_size_t key_len;      /* bytes of the item, without blanks at its end */
    char key[APIPOOL_KEY_MAX];

    /* of an array */
    int depth, in_string, escaped;
    long elements, begin_line, begin_column; /* of the last one */
    char *element;                           /* malloc */

    apr_size_t used; /* bytes of the item or element so far, of which the first ones are kept */
    apr_size_t values;
} apipool_key_list_t;

/** Begins to read. The sink lives as long as that. Whatever comes of it, apipool_key_list_wipe() ends it. */
void apipool_key_list_begin(apipool_key_list_t *list, apipool_key_list_form_e form,
                            const apipool_key_sink_t *sink);

/** Reads a piece. Returns 0 once the list is broken; the rest need not be read then. */
int apipool_key_list_feed(apipool_key_list_t *list, const char *piece, apr_size_t len);

/** Says that there are no more. Returns 0 if the list is broken. */
int apipool_key_list_end(apipool_key_list_t *list);

/** Overwrites what is kept of keys. What was wrong stays to be seen. */
void apipool_key_list_wipe(apipool_key_list_t *list);

/** What is wrong with a list that is broken, a sentence for whoever sent it. */
const char *apipool_key_list_explain(const apipool_key_list_t *list, apr_pool_t *p);

/** Reads a list that is there as a whole. If it is broken only that is told, to on_invalid. */
void apipool_key_list_read(const char *text, apr_size_t len, const apipool_key_sink_t *sink);

#endif
