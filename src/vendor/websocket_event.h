/* SPDX-License-Identifier: Apache-2.0
 * Reads the few members of interest from one event of OpenAI's realtime and responses protocols, as
 * it passes. */
#ifndef APIPOOL_VENDOR_WEBSOCKET_EVENT_H
#define APIPOOL_VENDOR_WEBSOCKET_EVENT_H

#include "sniff.h"

/* Each message is one JSON object in both directions: OpenAI API reference, "Realtime client
 * events", "Realtime server events" and "Responses WebSocket events". Only these members of an
 * event are kept. */
typedef enum {
    APIPOOL_WEBSOCKET_EVENT_TYPE,
    APIPOOL_WEBSOCKET_EVENT_EVENT_ID,    /* event_id */
    APIPOOL_WEBSOCKET_EVENT_STATUS,      /* number: of an error, "status" or "status_code" */
    APIPOOL_WEBSOCKET_EVENT_MODEL,       /* model */
    APIPOOL_WEBSOCKET_EVENT_MAX_TOKENS,  /* number: max_output_tokens, response.max_output_tokens */
    APIPOOL_WEBSOCKET_EVENT_DELTA,       /* only its length is used */
    APIPOOL_WEBSOCKET_EVENT_RESPONSE_ID, /* response.id */
    APIPOOL_WEBSOCKET_EVENT_RESPONSE_MODEL,  /* response.model */
    APIPOOL_WEBSOCKET_EVENT_RESPONSE_STATUS, /* response.status */
    APIPOOL_WEBSOCKET_EVENT_SESSION_MODEL,   /* session.model */
    APIPOOL_WEBSOCKET_EVENT_TRANSCRIPTION,   /* session.audio.input.transcription.model */
    APIPOOL_WEBSOCKET_EVENT_ERROR_TYPE,      /* of error, response.error or status_details.error */
    APIPOOL_WEBSOCKET_EVENT_ERROR_CODE,      /* the same, and code */
    APIPOOL_WEBSOCKET_EVENT_ERROR_MESSAGE,   /* the same, and message */
    APIPOOL_WEBSOCKET_EVENT_FIELDS
} apipool_websocket_event_field_e;

/* A reader. Internal to the functions below. The caller owns it; it holds no other memory. */
typedef struct {
    apipool_sniff_t sniff;
    apipool_sniffed_t found[APIPOOL_WEBSOCKET_EVENT_FIELDS];
    char texts[APIPOOL_WEBSOCKET_EVENT_FIELDS][APIPOOL_SNIFF_TEXT_SIZE];
} apipool_websocket_event_t;

/** Begins at an event's first byte. */
void apipool_websocket_event_begin(apipool_websocket_event_t *event);

/** Takes the next bytes, split anywhere. There are no errors: nothing is found in anything but a
 *  JSON object. If a member occurs more than once, the last one counts. */
void apipool_websocket_event_feed(apipool_websocket_event_t *event, const char *data,
                                  apr_size_t len);

/** Returns a field's text, its first APIPOOL_SNIFF_TEXT_SIZE - 1 bytes; "" if it is absent or
 *  incomplete. */
const char *apipool_websocket_event_text(const apipool_websocket_event_t *event,
                                         apipool_websocket_event_field_e field);

/** Returns the length of a field's text as written, in bytes, or 0. */
apr_uint64_t apipool_websocket_event_length(const apipool_websocket_event_t *event,
                                            apipool_websocket_event_field_e field);

/** Returns a field's number, or -1 if it is absent or not a number. */
apr_int64_t apipool_websocket_event_number(const apipool_websocket_event_t *event,
                                           apipool_websocket_event_field_e field);

/** Tests whether the event has a type. */
int apipool_websocket_event_is(const apipool_websocket_event_t *event, const char *type);

#endif
