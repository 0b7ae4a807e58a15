/* SPDX-License-Identifier: Apache-2.0
 * Incremental reader of key lists, as text or JSON. */
#ifndef APIPOOL_CORE_KEY_LIST_H
#define APIPOOL_CORE_KEY_LIST_H

#include <apr_pools.h>

#include "key.h"

/* A list arrives in pieces, cut anywhere. The reader only holds one key, or one element of an
 * array, and wipes both at the end. A list of APIPOOL_KEY_LIST_FILE is either
 *
 *   keys separated by newlines or commas; blanks around a key are trimmed, empty items and lines
 *   starting with '#' are skipped; or
 *   a JSON array of strings or objects, as apipool_key_element() reads them.
 *
 * Other forms are what people paste and what other tools export:
 *
 *   words between blanks, newlines, quotes, commas, semicolons and vertical bars, also those of
 *   full width; "NAME=", "NAME:", "export" and "Bearer" before a key are skipped;
 *   a table (CSV) whose first line names its columns, one of them "key";
 *   YAML, of which only the values of "api_key" and its like are read, as in LiteLLM's config.yaml;
 *   JSON: an array as above, or an object with keys anywhere in it: "key", "api_key", "key_value",
 *   "keys", "data", "items". Each key may be several, separated like words.
 *
 * A leading byte order mark is ignored. Invalid items are passed to on_invalid and do not stop
 * the rest. Malformed JSON does: then the keys delivered so far must not be used. */

#define APIPOOL_KEY_LIST_ELEMENT_MAX 65536             /* bytes of an array element of a file */
#define APIPOOL_KEY_LIST_EXPORT_MAX  (8 * 1024 * 1024) /* bytes of one of an import, or an object */
#define APIPOOL_KEY_LIST_LINE_MAX    1024              /* bytes of a line that names columns */
#define APIPOOL_KEY_LIST_COLUMNS     32

typedef enum {
    APIPOOL_KEY_LIST_FILE,   /* an array if it begins like one, else text */
    APIPOOL_KEY_LIST_IMPORT, /* all that is described above */
    APIPOOL_KEY_LIST_JSON,   /* the same, but only JSON */
    APIPOOL_KEY_LIST_WORDS   /* the same, but only words */
} apipool_key_list_form_e;

/* State of the reader; callers may only read what is wrong. */
typedef struct {
    /* error of the list as a whole */
    int is_broken;
    const char *reason;  /* for a list of invalid items, with the line */
    const char *message; /* for the sender; NULL: invalid JSON, with line and column */
    long line, column;   /* of the error, or of the reader */

    const apipool_key_sink_t *sink;
    apipool_key_list_form_e form;
    enum {
        APIPOOL_KEY_LIST_BEFORE, /* only blanks so far */
        APIPOOL_KEY_LIST_TEXT,
        APIPOOL_KEY_LIST_IN_ARRAY,
        APIPOOL_KEY_LIST_AFTER_ARRAY,
        APIPOOL_KEY_LIST_IN_OBJECT,
        APIPOOL_KEY_LIST_REFUSED, /* already reported */
        APIPOOL_KEY_LIST_IN_HEAD, /* the first line, which may name columns */
        APIPOOL_KEY_LIST_IN_WORDS,
        APIPOOL_KEY_LIST_IN_YAML,
        APIPOOL_KEY_LIST_IN_TABLE
    } where;
    int mark; /* bytes of a byte order mark so far; -1: none, or complete */

    /* for text */
    int in_line, in_comment; /* the line has begun with something other than blanks */
    apr_size_t key_len;      /* bytes of the item without trailing blanks */
    char key[APIPOOL_KEY_MAX];

    /* for words */
    apr_uint32_t tail; /* the last 3 bytes */
    int gap;           /* after a blank, or at the beginning of a line */
    int quoted;        /* the word stands in quotes */
    int is_named;      /* YAML: the words are values of a name that keys have */
    apr_size_t head_len;
    char head[APIPOOL_KEY_LIST_LINE_MAX];

    /* for a table; its row is kept as an element, with NUL behind each cell */
    char delimiter;
    int in_quotes, after_quote, at_cell;
    int column_count;
    signed char columns[APIPOOL_KEY_LIST_COLUMNS]; /* meaning of each; -1: none */

    /* for JSON */
    int depth, in_string, escaped;
    long elements, begin_line, begin_column; /* number and beginning of the last element */
    char *element;                           /* malloc */
    apr_size_t element_size;

    apr_size_t used; /* bytes of the item or element so far; not all may be stored */
    apr_size_t values;
} apipool_key_list_t;

/** Begins to read. The sink must live until apipool_key_list_wipe(), which is always needed. */
void apipool_key_list_begin(apipool_key_list_t *list, apipool_key_list_form_e form,
                            const apipool_key_sink_t *sink);

/** Reads a piece. Returns 0 once the list is broken; the rest need not be read. */
int apipool_key_list_feed(apipool_key_list_t *list, const char *piece, apr_size_t len);

/** Ends the list. Returns 0 if it is broken. */
int apipool_key_list_end(apipool_key_list_t *list);

/** Wipes all keys. The error stays readable. */
void apipool_key_list_wipe(apipool_key_list_t *list);

/** Sentence for the sender that tells what is wrong with a broken list. */
const char *apipool_key_list_explain(const apipool_key_list_t *list, apr_pool_t *p);

/** Reads a complete list. If it is broken, only the error is reported, to on_invalid. */
void apipool_key_list_read(const char *text, apr_size_t len, const apipool_key_sink_t *sink);

#endif
