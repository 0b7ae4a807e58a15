/* SPDX-License-Identifier: Apache-2.0
 * Between the files of sniff: what a reader of one kind of body does, and what it may call. */
#ifndef APIPOOL_TEXT_SNIFF_PARTS_H
#define APIPOOL_TEXT_SNIFF_PARTS_H

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

/** Looks whether the end may be here, where somebody asks. */
void apipool_sniff_json_end(apipool_sniff_t *s);
void apipool_sniff_form_end(apipool_sniff_t *s);

/** Reads the content type; a form's has its delimiter. */
void apipool_sniff_type(apipool_sniff_t *s, const char *content_type);

/** A delimiter is known: the body is a form. */
void apipool_sniff_form_begin(apipool_sniff_t *s);

/** Reads a whole line of a part's head, which ends with NUL and is written to. */
void apipool_sniff_head(apipool_sniff_t *s, char *line, apr_size_t len);

/** Looks whether the head of a part, now whole, is one to all readers. */
void apipool_sniff_head_end(apipool_sniff_t *s);

/** Blanks of JSON and of header fields: space, tab, CR, LF. */
static inline int apipool_sniff_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/** Notes what readers disagree about, where somebody asks, unless something was noted before. From then on
 *  the body is read as if nobody asked. */
void apipool_sniff_doubt(apipool_sniff_t *s, const char *what);

/** The body is malformed: ignores the rest. */
void apipool_sniff_give_up(apipool_sniff_t *s, const char *what);

/** Whether what is being read of JSON stands in an object of which members may be wanted. All other objects
 *  and arrays are taken apart only as long as somebody asks for doubts. */
static inline int apipool_sniff_is_near(const apipool_sniff_t *s)
{
    return s->depth == s->level;
}

/** Whether it matters what the string says: a name that may be wanted, the first bytes of a value. */
static inline int apipool_sniff_is_wanted(const apipool_sniff_t *s)
{
    return apipool_sniff_is_near(s) &&
           (s->of_name ? s->matching != 0 : s->current >= 0 && !s->truncated);
}

/** There is a doubt about JSON. Returns 0: the same byte is looked at again, as if nobody had asked. */
apr_size_t apipool_sniff_json_lapse(apipool_sniff_t *s, const char *what);

/** This is no JSON. In what nobody wants nothing counts but where it ends. Returns how many bytes are done
 *  with. */
apr_size_t apipool_sniff_json_fail(apipool_sniff_t *s);

/** Takes bytes of a string that is wanted, without escapes; none at its end. */
void apipool_sniff_json_say(apipool_sniff_t *s, const char *data, apr_size_t len);

/** Takes a character of an escape. Returns how many bytes are done with. */
apr_size_t apipool_sniff_json_escape(apipool_sniff_t *s, char c);

/** A member's name is whole: finds out who wants its value, or a member of that. */
void apipool_sniff_json_end_name(apipool_sniff_t *s);

/** A value of that kind begins at that offset. */
void apipool_sniff_begin_value(apipool_sniff_t *s, apipool_sniff_kind_e kind, apr_off_t at);

/** Adds to the value's text; cuts in front of a character that does not fit as a whole. */
void apipool_sniff_append(apipool_sniff_t *s, const char *data, apr_size_t len);

/** The value is whole: tells the one who wants it. */
void apipool_sniff_end_value(apipool_sniff_t *s, apr_off_t end);

#endif
