/* SPDX-License-Identifier: Apache-2.0
 * What an error answer's body says: the few fields that all error shapes have in common. */
#ifndef APIPOOL_VENDOR_ERROR_ANSWER_H
#define APIPOOL_VENDOR_ERROR_ANSWER_H

#include <apr_time.h>

/* Bounded copies, so that nothing here depends on the lifetime of the body. Empty when absent. */
typedef struct {
    char type[64];     /* OpenAI, Anthropic: error.type; Gemini: error.status */
    char code[64];     /* error.code or code, numbers in decimal */
    char reason[64];   /* Gemini: details[].reason; OpenRouter: metadata.reason, .limit_source */
    char quota[256];   /* Gemini: details[].violations[].quotaId, each after a blank */
    char reset[40];    /* OpenRouter: metadata.headers.X-RateLimit-Reset */
    char message[512]; /* error.message, message, a bare string, or the text itself */
    apr_interval_time_t retry_in; /* Gemini: details[].retryDelay; -1 when absent */
} apipool_error_answer_t;

/**
 * Reads an error body: {"error":{…}}, {"error":"…"}, {"response":{"error":{…}}},
 * {"code","message"}, any of them wrapped in an array, a bare JSON string, or text of any kind.
 * Never fails: what is not understood is message, and what is no text, a compressed body for
 * example, says nothing. Pure, thread-safe.
 */
void apipool_error_answer_read(const char *body, apr_size_t len, apipool_error_answer_t *answer);

/**
 * Whether JSON that came with status 200, an event's data for example, is an error: it has one that is no
 * null, itself or in its "response", or it is of the type "error". Pure, thread-safe.
 */
int apipool_error_answer_is_error(const char *body, apr_size_t len);

#endif
