/* SPDX-License-Identifier: Apache-2.0
 * Between the files of sniff: what a reader of one kind of body does, and what it may call. */
#ifndef APIPOOL_CORE_SNIFF_PARTS_H
#define APIPOOL_CORE_SNIFF_PARTS_H

#include "sniff.h"

/* States that all readers know; each has its own from APIPOOL_SNIFF_OWN on. */
enum {
    APIPOOL_SNIFF_BEGIN,
    APIPOOL_SNIFF_TRAILER, /* the end may come */
    APIPOOL_SNIFF_IGNORE,  /* nothing more is looked at */
    APIPOOL_SNIFF_OWN
};

/**
 * Looks at the first byte or at more.
 * @param len at least 1
 * @return how many bytes are done with; 0 where the state has changed and the byte is the next state's
 */
apr_size_t apipool_sniff_json_step(apipool_sniff_t *s, const char *data, apr_size_t len);
apr_size_t apipool_sniff_form_step(apipool_sniff_t *s, const char *data, apr_size_t len);

/** Takes the delimiter from a content type; where that is no form's, nothing changes. */
void apipool_sniff_form_begin(apipool_sniff_t *s, const char *content_type);

/** Blanks of JSON and of header fields: space, tab, CR, LF. */
static inline int apipool_sniff_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/** The body is malformed: ignores the rest. */
void apipool_sniff_give_up(apipool_sniff_t *s);

/** A value of that kind begins at that offset. */
void apipool_sniff_begin_value(apipool_sniff_t *s, apipool_sniff_kind_e kind, apr_off_t at);

/** Adds to text, up to max bytes; cuts in front of a character that does not fit as a whole. */
void apipool_sniff_append(apipool_sniff_t *s, const char *data, apr_size_t len, apr_size_t max);

/** The value is whole: tells the one who wants it. */
void apipool_sniff_end_value(apipool_sniff_t *s, apr_off_t end);

#endif
