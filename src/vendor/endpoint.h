/* SPDX-License-Identifier: Apache-2.0
 * Classifies endpoints by method and path: whether their answers cost tokens, and who may use
 * them. */
#ifndef APIPOOL_VENDOR_ENDPOINT_H
#define APIPOOL_VENDOR_ENDPOINT_H

/* If a path can be read in two ways, the greater kind counts. */
typedef enum {
    APIPOOL_ENDPOINT_FREE,          /* known to cost no tokens: stored, listed or counted data */
    APIPOOL_ENDPOINT_UNLISTED,      /* in no table: unknown */
    APIPOOL_ENDPOINT_EMBEDDINGS,    /* only input costs tokens */
    APIPOOL_ENDPOINT_RERANK,        /* only input costs tokens */
    APIPOOL_ENDPOINT_SPEECH,        /* text to audio */
    APIPOOL_ENDPOINT_TRANSCRIPTION, /* audio to text */
    APIPOOL_ENDPOINT_IMAGES,        /* generates images */
    APIPOOL_ENDPOINT_TEXT,          /* generates text, in JSON or an event stream */
    APIPOOL_ENDPOINT_RUN,   /* generates text later; its answer may report usage but has no text */
    APIPOOL_ENDPOINT_JOB,   /* generates something else, now or later */
    APIPOOL_ENDPOINT_BATCH, /* many requests in one body, each with its own model */
    APIPOOL_ENDPOINT_BLIND, /* generates, but its model cannot be read */
    APIPOOL_ENDPOINT_ADMIN  /* administers an account, or creates or shows credentials */
} apipool_endpoint_e;

/** Tests whether answers of a kind are known to cost tokens. */
static inline int apipool_endpoint_generates(apipool_endpoint_e kind)
{
    return kind > APIPOOL_ENDPOINT_UNLISTED && kind < APIPOOL_ENDPOINT_ADMIN;
}

/** Tests whether requests of a kind must name a model of their own. */
static inline int apipool_endpoint_needs_model(apipool_endpoint_e kind)
{
    return apipool_endpoint_generates(kind) && kind < APIPOOL_ENDPOINT_BATCH;
}

/**
 * Classifies a request. Generating endpoints are known by the last segments of their path, whatever
 * precedes them. Free endpoints are known by the whole path after versions and other usual prefixes
 * of base URLs. Allocates nothing; O(segments + rows of the table).
 * @param method an HTTP method, in capitals
 * @param path   without query; case and empty segments do not matter. Percent-encoding is not
 *               decoded: ask again with the result of apipool_endpoint_make_plain(), and take the
 *               greater kind
 */
apipool_endpoint_e apipool_endpoint_find(const char *method, const char *path);

/** Tests whether a path is prefix or below it; case does not matter. */
int apipool_endpoint_is_below(const char *path, const char *prefix);

/** Tests whether a path reads the same to every upstream: apipool_endpoint_make_plain() would not
 *  change it. */
int apipool_endpoint_is_plain(const char *path);

/**
 * Rewrites a path, as a client encoded it, to what some upstream may read: percent-decoded,
 * backslashes as slashes, repeated slashes as one, and segments cut at ';'.
 */
void apipool_endpoint_make_plain(char *path);

/** Tests whether a WebSocket at a path, decoded or not, uses OpenAI's events: realtime or
 *  responses. */
int apipool_endpoint_speaks_events(const char *path);

/** Tests whether the events are those of responses, where each turn names its model. */
int apipool_endpoint_is_responses(const char *path);

#endif
