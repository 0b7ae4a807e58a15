/* SPDX-License-Identifier: Apache-2.0
 * Tells an answer of status 200 that is an error from one with content, by as little of its
 * beginning as that takes. */
#ifndef APIPOOL_VENDOR_OPENING_H
#define APIPOOL_VENDOR_OPENING_H

#include "sse.h"

typedef enum {
    APIPOOL_OPENS_NEITHER, /* nothing yet that a client waits for */
    APIPOOL_OPENS_ERROR,
    APIPOOL_OPENS_CONTENT
} apipool_opens_e;

/* What an API always sends at the end of a complete stream. */
typedef enum {
    APIPOOL_ENDS_ANYHOW,   /* nothing is known */
    APIPOOL_ENDS_FINISHED, /* OpenAI's chat and completions: a finish_reason, [DONE] or both */
    APIPOOL_ENDS_MARKED /* Anthropic, OpenAI's responses: an event that apipool_usage_is_done() knows */
} apipool_ends_e;

/**
 * Judges an event of a stream. Pings, a role without content, message_start, response.created and
 * their like are neither; whatever is not known counts as content. Pure, thread-safe.
 * @param ends set if the event shows what ends the stream, else unchanged
 */
apipool_opens_e apipool_opening_of_event(const apipool_sse_event_t *event, apipool_ends_e *ends);

/**
 * Judges a JSON document by its first members: an error, or a member that holds content. If it has
 * neither it is judged when it is complete, or its first object is; then it is one of the two. If all
 * of it is here, an error behind the content counts as well. Pure, thread-safe.
 * @param only_first only a first member is an error: an object that was made earlier, such as a
 *                   job, may have one of its own
 */
apipool_opens_e apipool_opening_of_document(const char *text, apr_size_t len, int is_complete,
                                            int only_first);

/**
 * Finds an error behind the content of a JSON document: among the members of the document, of the
 * last one of several in lines or of the last element of an array. Only the last 64 KiB are looked at.
 * Thread-safe.
 * @param text the end of the document, from anywhere on
 * @param pool for the result
 * @return an object with the error and the members after it, terminated; NULL if there is none
 */
const char *apipool_opening_late_error(const char *text, apr_size_t len, apr_pool_t *pool);

/** Tests whether a text has a finish_reason that is a string. */
int apipool_opening_finishes(const char *text, apr_size_t len);

#endif
