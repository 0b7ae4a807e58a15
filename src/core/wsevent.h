/* SPDX-License-Identifier: Apache-2.0
 * One event of OpenAI's realtime and responses protocols, read as its bytes pass: the few members that
 * count. */
#ifndef APIPOOL_CORE_WSEVENT_H
#define APIPOOL_CORE_WSEVENT_H

#include <apr.h>

/* Both directions speak in JSON objects, one to a message: OpenAI API reference, "Realtime client events",
 * "Realtime server events" and "Responses WebSocket events". Nothing of an event is kept but these. */
typedef enum {
    APIPOOL_WSEVENT_TYPE,
    APIPOOL_WSEVENT_EVENT_ID,          /* event_id */
    APIPOOL_WSEVENT_STATUS,            /* number: of an error, "status" or "status_code" */
    APIPOOL_WSEVENT_MODEL,             /* model */
    APIPOOL_WSEVENT_MAX_TOKENS,        /* number: max_output_tokens, response.max_output_tokens */
    APIPOOL_WSEVENT_DELTA,             /* only its length is of use */
    APIPOOL_WSEVENT_RESPONSE_ID,       /* response.id */
    APIPOOL_WSEVENT_RESPONSE_MODEL,    /* response.model */
    APIPOOL_WSEVENT_RESPONSE_STATUS,   /* response.status */
    APIPOOL_WSEVENT_SESSION_MODEL,     /* session.model */
    APIPOOL_WSEVENT_TRANSCRIPTION,     /* session.audio.input.transcription.model and its older name */
    APIPOOL_WSEVENT_ERROR_TYPE,        /* of error, response.error or response.status_details.error */
    APIPOOL_WSEVENT_ERROR_CODE,        /* the same, and code */
    APIPOOL_WSEVENT_ERROR_MESSAGE,     /* the same, and message */
    APIPOOL_WSEVENT_FIELDS
} apipool_wsevent_field_e;

#define APIPOOL_WSEVENT_TEXT  512 /* bytes with NUL that are kept of a value */
#define APIPOOL_WSEVENT_DEPTH 8

/* A reader. The caller owns it; it holds no other memory. Only the first three members are for callers. */
typedef struct {
    char text[APIPOOL_WSEVENT_FIELDS][APIPOOL_WSEVENT_TEXT]; /* cut where it does not fit */
    apr_uint64_t len[APIPOOL_WSEVENT_FIELDS];                /* of the whole value as written */
    unsigned char is_set[APIPOOL_WSEVENT_FIELDS];            /* whole */

    unsigned char depth, place[APIPOOL_WSEVENT_DEPTH]; /* the objects around, as far as they matter */
    unsigned char at, is_named, escaped, hex;
    unsigned char child, field; /* of the last name */
    unsigned char name_len;
    char name[32];
    apr_uint64_t skipped; /* brackets open in what does not matter */
} apipool_wsevent_t;

/** Starts with an event's first byte. */
void apipool_wsevent_begin(apipool_wsevent_t *event);

/** Takes the next bytes, which may begin and end anywhere. Nothing is an error: of what is no JSON object
 *  nothing is found. A name that is written with an escape is none that is known; in values '?' stands
 *  for an escape that is not of one letter. Of several members of one name the last one counts. */
void apipool_wsevent_feed(apipool_wsevent_t *event, const char *data, apr_size_t len);

/** A field's text; "" where it is absent. */
const char *apipool_wsevent_text(const apipool_wsevent_t *event, apipool_wsevent_field_e field);

/** A field's number, or -1 where it is absent or none. */
apr_int64_t apipool_wsevent_number(const apipool_wsevent_t *event, apipool_wsevent_field_e field);

/** Whether the event has that type. */
int apipool_wsevent_is(const apipool_wsevent_t *event, const char *type);

#endif
