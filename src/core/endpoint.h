/* SPDX-License-Identifier: Apache-2.0
 * What an endpoint is for, by its path: whether its answers cost tokens, and of what kind they are. */
#ifndef APIPOOL_CORE_ENDPOINT_H
#define APIPOOL_CORE_ENDPOINT_H

typedef enum {
    APIPOOL_ENDPOINT_FREE, /* costs no tokens, or tells of those that another request cost */
    APIPOOL_ENDPOINT_TEXT, /* generates text, in JSON or an event stream */
    APIPOOL_ENDPOINT_RUN,  /* the same, later on: its answer may tell usage, but has no text */
    APIPOOL_ENDPOINT_EMBEDDINGS,    /* only what is asked costs tokens */
    APIPOOL_ENDPOINT_RERANK,        /* the same */
    APIPOOL_ENDPOINT_IMAGES,        /* generates images */
    APIPOOL_ENDPOINT_SPEECH,        /* text to audio */
    APIPOOL_ENDPOINT_TRANSCRIPTION, /* audio to text */
    APIPOOL_ENDPOINT_KINDS
} apipool_endpoint_e;

/**
 * The kind of a request. Only a POST creates anything; the same path with another method, and one that has
 * an id behind it, read or change what is there. Paths are known by their last segments, so that any base
 * URL may stand before them; one that is not in the table is free.
 * @param method HTTP's, in capitals
 * @param path   as a client encoded it, without query; a slash at its end makes no difference, nor does it
 *               whether the colon before Gemini's methods is encoded, nor case
 */
apipool_endpoint_e apipool_endpoint_find(const char *method, const char *path);

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
