/* SPDX-License-Identifier: Apache-2.0
 * Between the files of websocket: the state of one, and what they call of each other. */
#ifndef APIPOOL_RELAY_WEBSOCKET_PARTS_H
#define APIPOOL_RELAY_WEBSOCKET_PARTS_H

#include "reply.h"
#include "websocket.h"
#include "websocket_event.h"
#include "websocket_frame.h"

#define APIPOOL_WEBSOCKET_HELD_MAX                                                                 \
    (16 * 1024 * 1024)             /* OpenAI takes no event of more than 15 MiB */
#define APIPOOL_WEBSOCKET_TURNS 16 /* responses at a time */

/* A response that was asked for, or that the upstream has begun by itself. */
typedef struct {
    int has_begun; /* the upstream has said so */
    char id[64];   /* as the upstream calls it, once it has begun */
    apipool_client_charge_t charge;
    apr_uint32_t tokens;      /* reserved */
    apr_int64_t prompt;       /* an estimate */
    apr_uint64_t text, audio; /* bytes that came */
    apr_time_t at, first_byte_at;
    char model[APIPOOL_NAMED_MAX];
} apipool_turn_t;

struct apipool_websocket_t {
    apipool_request_t *req;
    int is_responses; /* a turn names its model; else the session has one */
    int has_model;    /* the client has named one, in the query or since */
    int has_list;     /* the client may use certain models only */

    apipool_websocket_frame_t from_client, from_upstream;
    apipool_websocket_event_t asked, told;
    apipool_usage_scan_t usage; /* of the upstream's message */
    int is_read;                /* the client's message matters, as far as is known */
    apr_uint64_t asked_len;     /* bytes of its payload */

    int holds; /* the client's message is kept back */
    char *held;
    apr_size_t held_len, held_size;
    apr_bucket_brigade *out; /* to the upstream */

    char *news; /* frames for the client that wait for a gap */
    apr_size_t news_len;
    int is_over;             /* with them the connection ends */
    int client_has_closed;   /* before the upstream has */
    int upstream_has_closed; /* or broken off */
    apr_bucket_brigade *in;  /* to the client */

    apipool_turn_t turns[APIPOOL_WEBSOCKET_TURNS];
    int turn_count;
    apipool_reply_e refusal;       /* why the last one that was asked for was not admitted */
    apr_time_t retry_at;           /* when it would be; 0: nobody knows */
    apipool_lease_t *lease;        /* without its secret: of one turn */
    char model[APIPOOL_NAMED_MAX]; /* of the session */
    char transcription[APIPOOL_NAMED_MAX];
    apipool_websocket_sum_t sum;
};

/** Sends an error to the client, and ends the connection after it if close_code is not 0. */
apr_status_t apipool_websocket_refuse(apipool_websocket_t *ws, apipool_reply_e which,
                                      apr_time_t retry_at, int close_code);

/** Ends the connection because of frames that are none. */
apr_status_t apipool_websocket_fail(apipool_websocket_t *ws);

/**
 * Charges a turn to the client and the key.
 * @param model      that it asks for; "": the session's
 * @param bytes      of the event
 * @param max_tokens of the answer; -1: unsaid
 * @param has_begun  nobody can stop it
 * @return 1; 0: it is refused, as ws->refusal and ws->retry_at say, and counted so; what has begun is refused
 *         only to a client that is none any more
 */
int apipool_websocket_ask(apipool_websocket_t *ws, const char *model, apr_uint64_t bytes,
                          apr_int64_t max_tokens, int has_begun);

/** Counts a turn that was refused for its model. */
void apipool_websocket_count_refused(apipool_websocket_t *ws, const char *model,
                                     apipool_reply_e which);

/** Reads what the upstream's event, now whole, says of turns. */
void apipool_websocket_told(apipool_websocket_t *ws, apr_time_t now);

/** Keeps a model's name: of the session, where the event has one. */
void apipool_websocket_note_session(apipool_websocket_t *ws,
                                    const apipool_websocket_event_t *event);

#endif
