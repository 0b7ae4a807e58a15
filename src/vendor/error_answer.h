/* SPDX-License-Identifier: Apache-2.0
 * Reads an error answer's body: the few fields that all error shapes have in common. */
#ifndef APIPOOL_VENDOR_ERROR_ANSWER_H
#define APIPOOL_VENDOR_ERROR_ANSWER_H

#include <apr_time.h>
#include <jansson.h>

/* Bounded copies, independent of the body's lifetime. Empty when absent. */
typedef struct {
    char type[64];     /* OpenAI, Anthropic: error.type; Gemini: error.status */
    char code[64];     /* error.code or code, numbers in decimal */
    char reason[64];   /* Gemini: details[].reason; OpenRouter: metadata.reason, .limit_source;
                          MiniMax: "base_resp." and its status_code */
    char quota[256];   /* Gemini: details[].violations[].quotaId, each preceded by a blank */
    char message[512]; /* error.message, message, a bare string, or the whole text */
    apr_interval_time_t retry_in; /* how long the limit takes, the longest time; -1 when absent */
    apr_time_t reset_at;          /* when the limit ends, the latest date; 0 when absent */
} apipool_error_answer_t;

/**
 * Reads an error body: {"error":{…}}, {"error":"…"}, {"response":{"error":{…}}},
 * {"choices":[{"error":{…}}]}, {"detail":{…}}, {"base_resp":{…}}, {"code","message"}, any of them
 * in an array, a bare JSON string, or any other text. Never fails:
 * unknown text becomes the message; anything that is not text, such as a compressed body, leaves
 * all fields empty. Pure, thread-safe.
 */
void apipool_error_answer_read(const char *body, apr_size_t len, apipool_error_answer_t *answer);

/**
 * Tests whether JSON with status 200, such as an event's data, is an error: it, its "response" or
 * its first choice has an error that is not empty, its base_resp has a status_code other than 0, or
 * its type is "error". Pure, thread-safe.
 */
int apipool_error_answer_is_error(const char *body, apr_size_t len);

/** The same for JSON that has been parsed. */
int apipool_error_answer_is_said(const json_t *top);

#endif
