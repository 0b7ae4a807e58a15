/* SPDX-License-Identifier: Apache-2.0
 * One event of OpenAI's realtime and responses protocols, read as its bytes pass: the few members that
 * count. */
#ifndef APIPOOL_CORE_WSEVENT_H
#define APIPOOL_CORE_WSEVENT_H

#include "sniff.h"

/* Both directions speak in JSON objects, one to a message: OpenAI API reference, "Realtime client events",
 * "Realtime server events" and "Responses WebSocket events". Nothing of an event is kept but these. */
typedef enum {
    APIPOOL_WSEVENT_TYPE,
    APIPOOL_WSEVENT_EVENT_ID,        /* event_id */
    APIPOOL_WSEVENT_STATUS,          /* number: of an error, "status" or "status_code" */
    APIPOOL_WSEVENT_MODEL,           /* model */
    APIPOOL_WSEVENT_MAX_TOKENS,      /* number: max_output_tokens, response.max_output_tokens */
    APIPOOL_WSEVENT_DELTA,           /* only its length is of use */
    APIPOOL_WSEVENT_RESPONSE_ID,     /* response.id */
    APIPOOL_WSEVENT_RESPONSE_MODEL,  /* response.model */
    APIPOOL_WSEVENT_RESPONSE_STATUS, /* response.status */
    APIPOOL_WSEVENT_SESSION_MODEL,   /* session.model */
    APIPOOL_WSEVENT_TRANSCRIPTION, /* session.audio.input.transcription.model and its older name */
    APIPOOL_WSEVENT_ERROR_TYPE,    /* of error, response.error or response.status_details.error */
    APIPOOL_WSEVENT_ERROR_CODE,    /* the same, and code */
    APIPOOL_WSEVENT_ERROR_MESSAGE, /* the same, and message */
    APIPOOL_WSEVENT_FIELDS
} apipool_wsevent_field_e;

/* A reader. The caller owns it; it holds no other memory, and only the functions below use what is in it. */
typedef struct {
    apipool_sniff_t sniff;
    apipool_sniffed_t found[APIPOOL_WSEVENT_FIELDS];
    char texts[APIPOOL_WSEVENT_FIELDS][APIPOOL_SNIFF_TEXT_SIZE];
} apipool_wsevent_t;

/** Starts with an event's first byte. */
void apipool_wsevent_begin(apipool_wsevent_t *event);

/** Takes the next bytes, which may begin and end anywhere. Nothing is an error: of what is no JSON object
 *  nothing is found. Of several members of one name the last one counts. */
void apipool_wsevent_feed(apipool_wsevent_t *event, const char *data, apr_size_t len);

/** A field's text, of which the first APIPOOL_SNIFF_TEXT_SIZE - 1 bytes are kept; "" where it is absent or
 *  has not passed whole. */
const char *apipool_wsevent_text(const apipool_wsevent_t *event, apipool_wsevent_field_e field);

/** Bytes of a field's text as it is written, or 0. */
apr_uint64_t apipool_wsevent_length(const apipool_wsevent_t *event, apipool_wsevent_field_e field);

/** A field's number, or -1 where it is absent or none. */
apr_int64_t apipool_wsevent_number(const apipool_wsevent_t *event, apipool_wsevent_field_e field);

/** Whether the event has that type. */
int apipool_wsevent_is(const apipool_wsevent_t *event, const char *type);

#endif
