/* SPDX-License-Identifier: Apache-2.0
 * Reads along a request body: the values of a few members or fields, and where in the body they stand. */
#ifndef APIPOOL_CORE_SNIFF_H
#define APIPOOL_CORE_SNIFF_H

#include <apr.h>

/* A body passes in pieces of any size and nothing of it is kept. What is looked for are members of the
 * outermost object of a JSON text (RFC 8259) or fields of a form (multipart/form-data, RFC 7578); what
 * is found has its place, so that a value can be replaced on the wire while every other byte stays as
 * the client wrote it. How the body is cut into pieces makes no difference.
 *
 * The caller owns both structs; nothing is allocated, nothing needs to be freed. One thread at a time. */

#define APIPOOL_SNIFF_WANTED_MAX   64
#define APIPOOL_SNIFF_TEXT_SIZE    256
#define APIPOOL_SNIFF_LINE_MAX     511 /* of a part's header; a part with a longer one is no field */
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

/* JSON is what begins with '{', whatever its content type says; blanks and a byte order mark may stand
 * before it. In other bodies nothing is found. */
typedef enum { APIPOOL_SNIFF_OTHER, APIPOOL_SNIFF_JSON, APIPOOL_SNIFF_FORM } apipool_sniff_body_e;

/* A member or field. Its value is known once it has passed whole; of several of that name the last one
 * counts, as for most readers.
 *
 * The text of a string or field is decoded, that of a number as written, any other empty. It is valid
 * UTF-8: U+FFFD stands for \u0000 and for half a surrogate pair, '?' for a byte that cannot be. */
typedef struct {
    const char *name; /* set by the caller: UTF-8, no two alike */
    int any_case;     /* the same: in JSON its letters may be capitals; the name has none then */
    apipool_sniff_kind_e kind;
    int times;     /* how often it occurs */
    apr_off_t at;  /* offset of the value as it is written, from the body's first byte */
    apr_off_t len; /* bytes; with quotes, brackets and braces in JSON */
    int truncated; /* text is not all of it; it ends with a whole character */
    char text[APIPOOL_SNIFF_TEXT_SIZE];
} apipool_sniffed_t;

typedef struct {
    apipool_sniff_body_e body;

    /* A fault was met, or the end inside of something. What was found before stays, what follows is
     * not looked at. Of values that nobody wants no more is checked than where they end; a body of
     * another kind is never malformed. */
    int malformed;
    apr_off_t seen; /* bytes of the body */

    /* JSON: where another member could be put in, just after the outermost '{', and how many names there
     * are behind it: with none, no comma goes between. */
    apr_off_t inside;
    apr_off_t members;

    /* The rest is of no use to the caller. */
    apipool_sniffed_t *wanted;
    int count;
    int state;
    int current;           /* whose value is being read, or -1 */
    int of_name;           /* the string being read is a member's name */
    apr_uint64_t matching; /* a bit for each one whose name begins like the one being read */
    apr_size_t matched;    /* bytes of that name, of a literal, or of the delimiter */
    apr_off_t at;          /* where the value began */
    apr_uint64_t depth;    /* open brackets and braces inside the outermost object */
    char opener;           /* the outermost of those */
    char in_string;        /* inside of them */
    char is_file;          /* the part has a file name, or no usable header */
    char truncated;        /* text below is not all of it */
    int escape;            /* 1 after a backslash, 2 to 5 where a hex digit is due */
    int number;            /* what of a number has passed */
    apipool_sniff_kind_e kind;
    unsigned unit, high; /* UTF-16 being read; first half of a pair, or 0 */
    apr_size_t used;     /* of text */
    apr_size_t delimiter_len;
    char delimiter[APIPOOL_SNIFF_BOUNDARY_MAX +
                   5]; /* CR LF and two hyphens first (RFC 2046 5.1.1) */
    char text[APIPOOL_SNIFF_LINE_MAX + 1];
} apipool_sniff_t;

/**
 * Starts with a new body.
 * @param content_type the request's; NULL if it has none. Only multipart/form-data with a boundary is
 *                     taken at its word
 * @param wanted       what to look for; must last as long as s. All that the caller does not set is
 *                     overwritten
 * @param count        of wanted; beyond APIPOOL_SNIFF_WANTED_MAX nothing is looked for
 */
void apipool_sniff_begin(apipool_sniff_t *s, const char *content_type, apipool_sniffed_t *wanted,
                         int count);

/** Takes the next piece. It is not written to and not kept. */
void apipool_sniff_feed(apipool_sniff_t *s, const char *data, apr_size_t len);

/** Says that the body is over: one that ends inside of something is malformed. */
void apipool_sniff_end(apipool_sniff_t *s);

#endif
