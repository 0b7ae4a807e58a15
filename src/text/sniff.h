/* SPDX-License-Identifier: Apache-2.0
 * Reads along a body: the values of a few members or fields, and where in it they stand. */
#ifndef APIPOOL_TEXT_SNIFF_H
#define APIPOOL_TEXT_SNIFF_H

#include <apr_pools.h>

#include "strict.h"

/* A body passes in pieces of any size and nothing of it is kept. What is looked for are members of the
 * outermost object of a JSON text (RFC 8259), members of its members, or fields of a form
 * (multipart/form-data, RFC 7578); what is found has its place, so that a value can be replaced on the wire
 * while every other byte stays as the client wrote it. How the body is cut into pieces makes no difference.
 *
 * The caller owns all structs; nothing is allocated, nothing needs to be freed. One thread at a time. */

#define APIPOOL_SNIFF_WANTED_MAX   64
#define APIPOOL_SNIFF_LEVELS       6 /* names in a path */
#define APIPOOL_SNIFF_TEXT_SIZE    512
#define APIPOOL_SNIFF_TEXT_USUAL   255
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

/* What to look for. */
typedef struct {
    const char *name;       /* UTF-8, no two alike; a path is shorter than 256 bytes */
    unsigned char any_case; /* in JSON its letters may be capitals; the name has none then */
    unsigned char is_path;  /* slashes stand between the names of objects in each other */
    unsigned char slot;     /* which one of found tells of it; several names may share one */
} apipool_sniff_name_t;

/* A member or field. Its value is known once it has passed whole; of several the last one counts, as for most
 * readers.
 *
 * The text of a string or field is decoded, that of a number as written, any other empty. It is valid
 * UTF-8: U+FFFD stands for \u0000 and for half a surrogate pair, '?' for a byte that cannot be. */
typedef struct {
    apipool_sniff_kind_e kind;
    int times;     /* how often it occurs */
    apr_off_t at;  /* offset of the value as it is written, from the body's first byte */
    apr_off_t len; /* bytes; with quotes, brackets and braces in JSON */
    int truncated; /* text is not all of it; it ends with a whole character */
    const char *text;
    char *room; /* text_max + 1 bytes for it; NULL: comes from the pool once there is a text */
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

    /* Bytes of a value's text that are kept: APIPOOL_SNIFF_TEXT_USUAL. The caller may set another number,
     * below APIPOOL_SNIFF_TEXT_SIZE, and the room of each slot before the first piece. */
    apr_size_t text_max;

    /* The rest is of no use to the caller. */
    const apipool_sniff_name_t *names;
    apipool_sniffed_t *found;
    apr_pool_t *pool;
    apipool_strict_t *strict;
    int is_exact; /* there is no doubt so far, and somebody asks */
    int count;
    int state;
    int current;        /* whose value is being read, or -1 */
    apr_size_t matched; /* bytes of a name, or of the delimiter */
    apr_off_t at;       /* where the value began */
    apipool_sniff_kind_e kind;
    apr_size_t used;         /* of text, or of the header's line */
    unsigned char truncated; /* that is not all of it */

    /* JSON: brackets and braces around; of those whose members may be wanted, which names may be among them,
     * and where in these names the last part begins. */
    int depth, level;
    apr_uint64_t candidates[APIPOOL_SNIFF_LEVELS];
    unsigned char prefix[APIPOOL_SNIFF_LEVELS];
    apr_uint64_t matching; /* those that begin like the name being read */
    apr_uint64_t inner;    /* those that have a member of the one being read */
    int of_name;           /* the string being read is a member's name */
    int escape;            /* 1 after a backslash, 2 to 5 where a hex digit is due */
    unsigned unit, high;   /* UTF-16 being read; first half of a pair, or 0 */
    const char *literal;   /* what is still to come of it; NULL: a number */
    int number;            /* what of it has passed */
    apr_uint64_t skipped;  /* brackets and braces open in a value whose end alone counts */
    char opener;           /* the outermost of those */
    char in_string;        /* inside of them */

    /* forms */
    char is_file;           /* the part has a file name, or no usable header */
    unsigned char has_part; /* a delimiter has passed */
    unsigned char has_disposition, has_type, is_text; /* of the part's head, as the next ones */
    unsigned char has_file_name, is_model;
    apr_off_t data_length; /* as that has it, or -1 */
    const char *due;       /* what is still to come behind a delimiter, to all readers */
    apr_size_t delimiter_len;
    char delimiter[APIPOOL_SNIFF_BOUNDARY_MAX +
                   5]; /* CR LF and two hyphens first (RFC 2046 5.1.1) */
    char text[APIPOOL_SNIFF_LINE_MAX + 1];
} apipool_sniff_t;

/**
 * Starts with a new body.
 * @param content_type the request's; NULL if it has none. Only multipart/form-data with a boundary is
 *                     taken at its word
 * @param names        what to look for; must last as long as s
 * @param count        of names; beyond APIPOOL_SNIFF_WANTED_MAX nothing is looked for
 * @param found        what is found, by the slots of the names; must last as long as s
 * @param strict       set to whether all readers take the body alike; NULL: nobody asks. Must last as long
 *                     as s. What is found does not depend on it
 * @param pool         holds the texts that are found; NULL: only those are kept that have room
 */
void apipool_sniff_begin(apipool_sniff_t *s, const char *content_type,
                         const apipool_sniff_name_t *names, int count, apipool_sniffed_t *found,
                         apipool_strict_t *strict, apr_pool_t *pool);

/** Takes the next piece. It is not written to and not kept. */
void apipool_sniff_feed(apipool_sniff_t *s, const char *data, apr_size_t len);

/** Says that the body is over: one that ends inside of something is malformed. An empty one leaves no
 *  doubt. */
void apipool_sniff_end(apipool_sniff_t *s);

#endif
