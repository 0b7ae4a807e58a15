/* SPDX-License-Identifier: Apache-2.0
 * Reads the values of a few members or fields, and their positions, from a body as it passes. */
#ifndef APIPOOL_TEXT_SNIFF_H
#define APIPOOL_TEXT_SNIFF_H

#include <apr_pools.h>

#include "strict.h"

/* A body passes in pieces of any size, and nothing of it is kept. The sniffer looks for members of
 * the outermost object of a JSON text (RFC 8259), for members nested in those, or for fields of a
 * form (multipart/form-data, RFC 7578). It reports their positions, so that a value can be replaced
 * on the wire while every other byte stays as the client wrote it. The result does not depend on
 * how the body is split.
 *
 * The caller owns all structs; nothing is allocated, nothing needs to be freed. One thread at a
 * time. */

#define APIPOOL_SNIFF_NAMES_MAX    64
#define APIPOOL_SNIFF_LEVELS       6 /* names in a path */
#define APIPOOL_SNIFF_TEXT_SIZE    512
#define APIPOOL_SNIFF_TEXT_USUAL   255
#define APIPOOL_SNIFF_LINE_MAX     511 /* of a part header; a longer one makes the part no field */
#define APIPOOL_SNIFF_BOUNDARY_MAX 128 /* RFC 2046 allows 70 */

typedef enum {
    APIPOOL_SNIFF_ABSENT,
    APIPOOL_SNIFF_STRING,
    APIPOOL_SNIFF_NUMBER,
    APIPOOL_SNIFF_TRUE,
    APIPOOL_SNIFF_FALSE,
    APIPOOL_SNIFF_NULL,
    APIPOOL_SNIFF_OBJECT,
    APIPOOL_SNIFF_ARRAY
} apipool_sniff_kind_e;

/* A body that begins with '{' is JSON whatever its content type; blanks and a byte order mark may
 * precede it. Nothing is found in other bodies. */
typedef enum { APIPOOL_SNIFF_OTHER, APIPOOL_SNIFF_JSON, APIPOOL_SNIFF_FORM } apipool_sniff_body_e;

/* A name to look for. */
typedef struct {
    const char *name;       /* UTF-8, all different; a path is shorter than 256 bytes */
    unsigned char any_case; /* match JSON names in any case; the name itself is lower case */
    unsigned char is_path;  /* the name is a path: nested objects' names, separated by slashes */
    unsigned char slot;     /* index in the array of results; several names may share one */
} apipool_sniff_name_t;

/* A member or field. Its value is set once it has passed completely. If it occurs more than once,
 * the last one counts, as for most readers.
 *
 * The text of a string or field is decoded, that of a number is as written; other values have none.
 * It is valid UTF-8: U+FFFD replaces \u0000 and unpaired surrogates, '?' replaces invalid bytes. */
typedef struct {
    apipool_sniff_kind_e kind;
    int times;     /* number of occurrences */
    apr_off_t at;  /* offset of the value as written, from the body's first byte */
    apr_off_t len; /* bytes, including quotes, brackets and braces in JSON */
    int truncated; /* text is cut, at a character boundary */
    const char *text;
    char *room; /* text_max + 1 bytes for it; NULL: allocated from the pool when needed */
} apipool_sniffed_t;

typedef struct {
    apipool_sniff_body_e body;

    /* The body is invalid, or ended too early. Results found before are kept; the rest is ignored.
     * Values that nobody asked for are only checked for where they end. A body of another kind is
     * never malformed. */
    int malformed;
    apr_off_t seen; /* bytes of the body so far */

    /* JSON: the offset just after the outermost '{', where another member can be inserted, and the
     * number of members after it. If there are none, no comma is needed. */
    apr_off_t inside;
    apr_off_t members;

    /* Bytes kept of a value's text: APIPOOL_SNIFF_TEXT_USUAL. Before the first piece the caller may
     * set another number, below APIPOOL_SNIFF_TEXT_SIZE, and the room of each slot. */
    apr_size_t text_max;

    /* Internal from here on. */
    const apipool_sniff_name_t *names;
    apipool_sniffed_t *found;
    apr_pool_t *pool;
    apipool_strict_t *strict;
    int is_strict; /* strict checks are on and have found no ambiguity so far */
    int count;
    int state;
    int current;        /* index of the name whose value is being read, or -1 */
    apr_size_t matched; /* bytes matched of a name or the delimiter */
    apr_off_t at;       /* offset where the value begins */
    apipool_sniff_kind_e kind;
    apr_size_t used;         /* bytes of text, or of the header line */
    unsigned char truncated; /* text or line was cut */

    /* JSON: depth counts open brackets and braces, level those that may hold the names. For
     * each level: the names that may be in it (a bit each), and where their last segment begins. */
    int depth, level;
    apr_uint64_t candidates[APIPOOL_SNIFF_LEVELS];
    unsigned char prefix[APIPOOL_SNIFF_LEVELS];
    apr_uint64_t matching; /* names that match what has been read of this one */
    apr_uint64_t inner;    /* names that lie inside the member being read */
    int of_name;           /* the string being read is a member name */
    int escape;            /* 1 after a backslash, 2 to 5 while hex digits are due */
    unsigned unit, high;   /* UTF-16 unit being read; pending high surrogate, or 0 */
    const char *literal;   /* remaining bytes of it; NULL for a number */
    int number;            /* state of the number */
    apr_uint64_t skipped;  /* open brackets and braces in a skipped value */
    char opener;           /* the outermost of them */
    char in_string;        /* in a string inside them */

    /* Forms. */
    char is_file;           /* the part has a file name, or no usable header */
    unsigned char has_part; /* a delimiter has passed */
    unsigned char has_disposition, has_type, is_text; /* of the part's header, as the next two */
    unsigned char has_file_name, is_model;
    apr_off_t data_length; /* the part's Content-Length, or -1 */
    const char *due;       /* what strict readers expect next after a delimiter */
    apr_size_t delimiter_len;
    char delimiter[APIPOOL_SNIFF_BOUNDARY_MAX +
                   5]; /* CR LF and two hyphens first (RFC 2046 5.1.1) */
    char text[APIPOOL_SNIFF_LINE_MAX + 1];
} apipool_sniff_t;

/**
 * Begins a new body.
 * @param content_type the request's, or NULL. Only multipart/form-data with a boundary is believed
 * @param names        names to look for; must outlive s
 * @param count        of names, at most APIPOOL_SNIFF_NAMES_MAX; others are ignored
 * @param found        results, indexed by the names' slots; must outlive s
 * @param strict       result: whether all readers take the body alike; NULL: not checked. Must
 *                     outlive s. Does not change what is found
 * @param pool         for the texts found; NULL: only texts with room are kept
 */
void apipool_sniff_begin(apipool_sniff_t *s, const char *content_type,
                         const apipool_sniff_name_t *names, int count, apipool_sniffed_t *found,
                         apipool_strict_t *strict, apr_pool_t *pool);

/** Reads the next piece. It is neither modified nor kept. */
void apipool_sniff_feed(apipool_sniff_t *s, const char *data, apr_size_t len);

/** Ends the body. A body that ends inside a value is malformed; an empty one is unambiguous. */
void apipool_sniff_end(apipool_sniff_t *s);

#endif
