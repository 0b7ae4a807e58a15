/* SPDX-License-Identifier: Apache-2.0
 * Shared by the files of sniff: the functions of each reader, and the helpers they use. */
#ifndef APIPOOL_TEXT_SNIFF_PARTS_H
#define APIPOOL_TEXT_SNIFF_PARTS_H

#include "sniff.h"

/* States common to all readers; each reader's own begin at APIPOOL_SNIFF_OWN. */
enum {
    APIPOOL_SNIFF_BEGIN,
    APIPOOL_SNIFF_TRAILER, /* the body may end here */
    APIPOOL_SNIFF_IGNORE,  /* the rest is ignored */
    APIPOOL_SNIFF_OWN
};

/**
 * Reads one byte or more.
 * @param len at least 1
 * @return bytes consumed; 0 if the state changed and the byte belongs to the next state
 */
apr_size_t apipool_sniff_json_step(apipool_sniff_t *s, const char *data, apr_size_t len);
apr_size_t apipool_sniff_form_step(apipool_sniff_t *s, const char *data, apr_size_t len);

/** Checks, in strict mode, whether the body may end here. */
void apipool_sniff_json_end(apipool_sniff_t *s);
void apipool_sniff_form_end(apipool_sniff_t *s);

/** Reads the content type, and a form's delimiter from it. */
void apipool_sniff_type(apipool_sniff_t *s, const char *content_type);

/** Starts reading a form, whose delimiter is known. */
void apipool_sniff_form_begin(apipool_sniff_t *s);

/** Reads a whole line of a part header. It is NUL-terminated and gets modified. */
void apipool_sniff_head(apipool_sniff_t *s, char *line, apr_size_t len);

/** Checks, once a part header is complete, whether all readers accept it. */
void apipool_sniff_head_end(apipool_sniff_t *s);

/** Records, in strict mode, what readers disagree about, unless an ambiguity is already recorded.
 *  Strict mode ends with that. */
void apipool_sniff_ambiguous(apipool_sniff_t *s, const char *what);

/** Marks the body as malformed and ignores the rest. */
void apipool_sniff_give_up(apipool_sniff_t *s, const char *what);

/** Tests whether the current position is in an object that may hold the names. Other objects
 *  and arrays are parsed only in strict mode. */
static inline int apipool_sniff_is_tracked(const apipool_sniff_t *s)
{
    return s->depth == s->level;
}

/** Tests whether the content of the current string matters: a name that may match, or the start
 *  of a value. */
static inline int apipool_sniff_is_relevant(const apipool_sniff_t *s)
{
    return apipool_sniff_is_tracked(s) &&
           (s->of_name ? s->matching != 0 : s->current >= 0 && !s->truncated);
}

/** Records an ambiguity in JSON. Returns 0: the byte is read again, outside strict mode. */
apr_size_t apipool_sniff_json_ambiguous(apipool_sniff_t *s, const char *what);

/** Handles invalid JSON. In skipped values only the end matters. Returns bytes consumed. */
apr_size_t apipool_sniff_json_fail(apipool_sniff_t *s);

/** Adds unescaped bytes of a relevant string; none at its end. */
void apipool_sniff_json_append(apipool_sniff_t *s, const char *data, apr_size_t len);

/** Reads a character of an escape. Returns bytes consumed. */
apr_size_t apipool_sniff_json_escape(apipool_sniff_t *s, char c);

/** Ends a member name: selects the name that its value, or a member inside it, matches. */
void apipool_sniff_json_end_name(apipool_sniff_t *s);

/** Begins a value of a kind at an offset. */
void apipool_sniff_begin_value(apipool_sniff_t *s, apipool_sniff_kind_e kind, apr_off_t at);

/** Appends to the value's text; cuts before a character that does not fit completely. */
void apipool_sniff_append(apipool_sniff_t *s, const char *data, apr_size_t len);

/** Ends the value and stores the result. */
void apipool_sniff_end_value(apipool_sniff_t *s, apr_off_t end);

#endif
