/* SPDX-License-Identifier: Apache-2.0
 * What an endpoint is for, by method and path: whether its answers cost tokens, and who may use it. */
#ifndef APIPOOL_VENDOR_ENDPOINT_H
#define APIPOOL_VENDOR_ENDPOINT_H

/* Of two readings of a path the greater kind counts: more may hide behind it. */
typedef enum {
    APIPOOL_ENDPOINT_FREE,          /* known to cost no tokens: what is stored, listed or counted */
    APIPOOL_ENDPOINT_UNLISTED,      /* in no table: nobody knows */
    APIPOOL_ENDPOINT_EMBEDDINGS,    /* only what is asked costs tokens */
    APIPOOL_ENDPOINT_RERANK,        /* the same */
    APIPOOL_ENDPOINT_SPEECH,        /* text to audio */
    APIPOOL_ENDPOINT_TRANSCRIPTION, /* audio to text */
    APIPOOL_ENDPOINT_IMAGES,        /* generates images */
    APIPOOL_ENDPOINT_TEXT,          /* generates text, in JSON or an event stream */
    APIPOOL_ENDPOINT_RUN,   /* the same, later on: its answer may tell usage, but has no text */
    APIPOOL_ENDPOINT_JOB,   /* generates something else, now or later */
    APIPOOL_ENDPOINT_BATCH, /* many requests in one body, each with its own model */
    APIPOOL_ENDPOINT_BLIND, /* generates, but its model stands where it cannot be read */
    APIPOOL_ENDPOINT_ADMIN  /* administers an account, or makes or shows credentials */
} apipool_endpoint_e;

/** Whether answers of that kind are known to cost tokens. */
static inline int apipool_endpoint_generates(apipool_endpoint_e kind)
{
    return kind > APIPOOL_ENDPOINT_UNLISTED && kind < APIPOOL_ENDPOINT_ADMIN;
}

/** Whether requests of that kind name their model for themselves, and have to. */
static inline int apipool_endpoint_needs_model(apipool_endpoint_e kind)
{
    return apipool_endpoint_generates(kind) && kind < APIPOOL_ENDPOINT_BATCH;
}

/**
 * The kind of a request. What generates is known by the last segments of its path, whatever stands before
 * them. What is free is known by the whole path, behind versions and other usual beginnings of base URLs.
 * Nothing is allocated; O(segments + rows of the table).
 * @param method HTTP's, in capitals
 * @param path   without query; case makes no difference, nor do empty segments. What is percent-encoded is
 *               not decoded: ask again with what apipool_endpoint_make_plain() makes of it, and take the
 *               greater one
 */
apipool_endpoint_e apipool_endpoint_find(const char *method, const char *path);

/** Whether a path is prefix, or lies below it; case makes no difference. */
int apipool_endpoint_is_below(const char *path, const char *prefix);

/** Whether a path reads the same to every upstream: apipool_endpoint_make_plain() would leave it as it is. */
int apipool_endpoint_is_plain(const char *path);

/**
 * Rewrites a path, as a client encoded it, to what some upstream may read in it: what is percent-encoded
 * decoded, backslashes as slashes, several slashes as one, and segments without what follows a ';'.
 */
void apipool_endpoint_make_plain(char *path);

/** Whether a WebSocket at a path, decoded or not, speaks in OpenAI's events: realtime or responses. */
int apipool_endpoint_speaks_events(const char *path);

/** Whether these are events of responses, where each turn names its model. */
int apipool_endpoint_is_responses(const char *path);

#endif
