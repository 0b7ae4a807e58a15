/* SPDX-License-Identifier: Apache-2.0
 * Between the files of estimate: what reads JSON, forms, names and text. */
#ifndef APIPOOL_CORE_ESTIMATE_PARTS_H
#define APIPOOL_CORE_ESTIMATE_PARTS_H

#include "estimate.h"

#define APIPOOL_ESTIMATE_TOKEN 64 /* parts of a token in a sum */

/* Where a reader is, that of a form from APIPOOL_ESTIMATE_FORM on. */
enum {
    APIPOOL_ESTIMATE_START,  /* of a document */
    APIPOOL_ESTIMATE_IGNORE, /* until the end, or the event's */
    APIPOOL_ESTIMATE_OWN,
    APIPOOL_ESTIMATE_FORM = 16
};

/* What is known about a member by its name. */
enum {
    APIPOOL_RULE_NONE,
    APIPOOL_RULE_ROLE,     /* makes a message */
    APIPOOL_RULE_SETTING,  /* does not count if it is a string */
    APIPOOL_RULE_NOTHING,  /* does not count, nor anything inside */
    APIPOOL_RULE_ECHO,     /* NOTHING in an answer */
    APIPOOL_RULE_REPEATED, /* NOTHING at the top of an event */
    APIPOOL_RULE_DELTA,    /* at the top of an event: later ones have nothing else */
    APIPOOL_RULE_BLOCK,    /* goes with DELTA */
    APIPOOL_RULE_IMAGE,    /* so is each element of an array */
    APIPOOL_RULE_AUDIO,
    APIPOOL_RULE_DATA,  /* an image in base64, or text */
    APIPOOL_RULE_WHOLE, /* in an object names count */
    APIPOOL_RULE_INPUT, /* numbers count at the top, as WHOLE further in */
    APIPOOL_RULE_PROMPT /* numbers count at the top, as ECHO in an answer */
};

static inline int apipool_estimate_is_request(const apipool_estimate_t *e)
{
    return e->kind == APIPOOL_ESTIMATE_REQUEST || e->kind == APIPOOL_ESTIMATE_RECORDING;
}

/** The rule for a member, or field of a form, of that name. */
int apipool_estimate_rule(const char *name, apr_size_t len);

/** Another text begins: what comes does not go on with the word before. */
void apipool_estimate_text_begin(apipool_estimate_text_t *t);

/** Takes a UTF-16 unit, as an escape has it. The second half of a pair adds nothing to the first. */
void apipool_estimate_text_unit(apipool_estimate_text_t *t, unsigned unit);

/** Takes a byte of UTF-8. */
void apipool_estimate_text_byte(apipool_estimate_text_t *t, char byte);

/**
 * Takes UTF-8 up to a semicolon, or in JSON to a quote or backslash.
 * @return where it stopped, or end
 */
const char *apipool_estimate_text_run(apipool_estimate_text_t *t, const char *p, const char *end,
                                      int is_json);

/**
 * A string or field begins that counts.
 * @param is_data 1 where base64 is an image
 */
void apipool_estimate_string_begin(apipool_estimate_t *e, int is_data);

/** Takes a UTF-16 unit that was written as an escape. */
void apipool_estimate_string_unit(apipool_estimate_t *e, unsigned unit);

/**
 * Takes UTF-8 up to a quote or backslash in JSON, or all.
 * @return where it stopped
 */
const char *apipool_estimate_string_run(apipool_estimate_t *e, const char *p, const char *end,
                                        int is_json);

/** Adds whole tokens. */
void apipool_estimate_add(apipool_estimate_t *e, unsigned tokens);

/** Forgets what is unfinished: a document begins. */
void apipool_estimate_json_begin(apipool_estimate_t *e);

/** Read on. A document that begins like a form makes a request one. */
void apipool_estimate_json_feed(apipool_estimate_t *e, const char *p, const char *end);
void apipool_estimate_form_feed(apipool_estimate_t *e, const char *p, const char *end);

#endif
