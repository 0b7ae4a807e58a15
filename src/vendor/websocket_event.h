/* SPDX-License-Identifier: Apache-2.0
 * One event of OpenAI's realtime and responses protocols, read as its bytes pass: the few members that
 * count. */
#ifndef APIPOOL_VENDOR_WEBSOCKET_EVENT_H
#define APIPOOL_VENDOR_WEBSOCKET_EVENT_H

#include "sniff.h"

/* Both directions speak in JSON objects, one to a message: OpenAI API reference, "Realtime client events",
 * "Realtime server events" and "Responses WebSocket events". Nothing of an event is kept but these. */
typedef enum {
    APIPOOL_WEBSOCKET_EVENT_TYPE,
    APIPOOL_WEBSOCKET_EVENT_EVENT_ID,    /* event_id */
    APIPOOL_WEBSOCKET_EVENT_STATUS,      /* number: of an error, "status" or "status_code" */
    APIPOOL_WEBSOCKET_EVENT_MODEL,       /* model */
    APIPOOL_WEBSOCKET_EVENT_MAX_TOKENS,  /* number: max_output_tokens, response.max_output_tokens */
    APIPOOL_WEBSOCKET_EVENT_DELTA,       /* only its length is of use */
    APIPOOL_WEBSOCKET_EVENT_RESPONSE_ID, /* response.id */
    APIPOOL_WEBSOCKET_EVENT_RESPONSE_MODEL,  /* response.model */
    APIPOOL_WEBSOCKET_EVENT_RESPONSE_STATUS, /* response.status */
    APIPOOL_WEBSOCKET_EVENT_SESSION_MODEL,   /* session.model */
    APIPOOL_WEBSOCKET_EVENT_TRANSCRIPTION, /* session.audio.input.transcription.model and its older name */
    APIPOOL_WEBSOCKET_EVENT_ERROR_TYPE, /* of error, response.error or response.status_details.error */
    APIPOOL_WEBSOCKET_EVENT_ERROR_CODE,    /* the same, and code */
    APIPOOL_WEBSOCKET_EVENT_ERROR_MESSAGE, /* the same, and message */
    APIPOOL_WEBSOCKET_EVENT_FIELDS
} apipool_websocket_event_field_e;

/* A reader. The caller owns it; it holds no other memory, and only the functions below use what is in it. */
typedef struct {
    apipool_sniff_t sniff;
    apipool_sniffed_t found[APIPOOL_WEBSOCKET_EVENT_FIELDS];
    char texts[APIPOOL_WEBSOCKET_EVENT_FIELDS][APIPOOL_SNIFF_TEXT_SIZE];
} apipool_websocket_event_t;

/** Starts with an event's first byte. */
void apipool_websocket_event_begin(apipool_websocket_event_t *event);

/** Takes the next bytes, which may begin and end anywhere. Nothing is an error: of what is no JSON object
 *  nothing is found. Of several members of one name the last one counts. */
void apipool_websocket_event_feed(apipool_websocket_event_t *event, const char *data,
                                  apr_size_t len);

/** A field's text, of which the first APIPOOL_SNIFF_TEXT_SIZE - 1 bytes are kept; "" where it is absent or
 *  has not passed whole. */
const char *apipool_websocket_event_text(const apipool_websocket_event_t *event,
                                         apipool_websocket_event_field_e field);

/** Bytes of a field's text as it is written, or 0. */
apr_uint64_t apipool_websocket_event_length(const apipool_websocket_event_t *event,
                                            apipool_websocket_event_field_e field);

/** A field's number, or -1 where it is absent or none. */
apr_int64_t apipool_websocket_event_number(const apipool_websocket_event_t *event,
                                           apipool_websocket_event_field_e field);

/** Whether the event has that type. */
int apipool_websocket_event_is(const apipool_websocket_event_t *event, const char *type);

#endif
