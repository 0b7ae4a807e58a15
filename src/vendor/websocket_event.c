/* SPDX-License-Identifier: Apache-2.0
 * Reads the few members of interest from one event of OpenAI's realtime and responses protocols, as
 * it passes. */
#include "websocket_event.h"

#include <stdlib.h>
#include <string.h>

#define FIELD(path, field)                                                                         \
    {                                                                                              \
        .name = (path), .is_path = 1, .slot = APIPOOL_WEBSOCKET_EVENT_##field                      \
    }
#define ERROR_IN(path)                                                                             \
    FIELD(path "/type", ERROR_TYPE), FIELD(path "/code", ERROR_CODE),                              \
        FIELD(path "/message", ERROR_MESSAGE)

static const apipool_sniff_name_t names[] = {
    FIELD("event_id", EVENT_ID),
    FIELD("type", TYPE),
    FIELD("status", STATUS),
    FIELD("status_code", STATUS),
    FIELD("model", MODEL),
    FIELD("delta", DELTA),
    FIELD("max_output_tokens", MAX_TOKENS),
    FIELD("code", ERROR_CODE),
    FIELD("message", ERROR_MESSAGE),
    FIELD("response/id", RESPONSE_ID),
    FIELD("response/model", RESPONSE_MODEL),
    FIELD("response/status", RESPONSE_STATUS),
    FIELD("response/max_output_tokens", MAX_TOKENS),
    FIELD("session/model", SESSION_MODEL),
    FIELD("session/audio/input/transcription/model", TRANSCRIPTION),
    FIELD("session/input_audio_transcription/model", TRANSCRIPTION),
    ERROR_IN("error"),
    ERROR_IN("response/error"),
    ERROR_IN("response/status_details/error"),
};

void apipool_websocket_event_begin(apipool_websocket_event_t *event)
{
    apipool_sniff_begin(&event->sniff, NULL, names, sizeof(names) / sizeof(*names), event->found,
                        NULL, NULL);
    event->sniff.text_max = APIPOOL_SNIFF_TEXT_SIZE - 1;
    for (int i = 0; i < APIPOOL_WEBSOCKET_EVENT_FIELDS; i++) {
        event->found[i].room = event->texts[i];
    }
}

void apipool_websocket_event_feed(apipool_websocket_event_t *event, const char *data,
                                  apr_size_t len)
{
    apipool_sniff_feed(&event->sniff, data, len);
}

const char *apipool_websocket_event_text(const apipool_websocket_event_t *event,
                                         apipool_websocket_event_field_e field)
{
    return event->found[field].text;
}

apr_uint64_t apipool_websocket_event_length(const apipool_websocket_event_t *event,
                                            apipool_websocket_event_field_e field)
{
    const apipool_sniffed_t *found = &event->found[field];
    return found->kind == APIPOOL_SNIFF_STRING ? (apr_uint64_t)found->len - 2 : 0;
}

apr_int64_t apipool_websocket_event_number(const apipool_websocket_event_t *event,
                                           apipool_websocket_event_field_e field)
{
    const char *text = apipool_websocket_event_text(event, field);
    char *end;
    apr_int64_t value = strtoll(text, &end, 10);
    return *text && !*end && value >= 0 ? value : -1;
}

int apipool_websocket_event_is(const apipool_websocket_event_t *event, const char *type)
{
    return !strcmp(apipool_websocket_event_text(event, APIPOOL_WEBSOCKET_EVENT_TYPE), type);
}
