/* SPDX-License-Identifier: Apache-2.0
 * What the upstream says of responses in a WebSocket: that one has begun, goes on, is done or has failed. */
#include <apr_strings.h>
#include <jansson.h>
#include <stdlib.h>

#include "websocket_parts.h"

void apipool_websocket_note_session(apipool_websocket_t *ws, const apipool_wsevent_t *event)
{
    apipool_websocket_copy_name(ws->model,
                                apipool_wsevent_text(event, APIPOOL_WSEVENT_SESSION_MODEL));
    apipool_websocket_copy_name(ws->transcription,
                                apipool_wsevent_text(event, APIPOOL_WSEVENT_TRANSCRIPTION));
}

/* The upstream has begun something by itself. Returns its turn. */
static int add_unasked(apipool_websocket_t *ws, const char *model)
{
    apipool_asking_t asking = {.max_tokens = -1, .model = model, .has_begun = 1};
    apipool_reply_e ignored;
    apr_time_t at;
    return apipool_websocket_ask(ws, &asking, &ignored, &at) ? ws->turn_count - 1 : -1;
}

/* The first turn of which the upstream has said that it has begun, or has not; or -1. */
static int first_turn(const apipool_websocket_t *ws, int has_begun)
{
    for (int i = 0; i < ws->turn_count; i++) {
        if (ws->turns[i].has_begun == has_begun) {
            return i;
        }
    }
    return -1;
}

static int turn_of(const apipool_websocket_t *ws, const char *id)
{
    for (int i = 0; i < ws->turn_count; i++) {
        if (*id && ws->turns[i].has_begun && !strcmp(ws->turns[i].id, id)) {
            return i;
        }
    }
    return -1;
}

static void note_begun(apipool_websocket_t *ws)
{
    int i = first_turn(ws, 0);
    const char *model = apipool_wsevent_text(&ws->told, APIPOOL_WSEVENT_RESPONSE_MODEL);
    i = i < 0 ? add_unasked(ws, "") : i;
    if (i >= 0) {
        apipool_turn_t *turn = &ws->turns[i];
        turn->has_begun = 1;
        apr_cpystrn(turn->id, apipool_wsevent_text(&ws->told, APIPOOL_WSEVENT_RESPONSE_ID),
                    sizeof(turn->id));
        apipool_websocket_copy_name(turn->model, *turn->model ? "" : model);
    }
}

/* The event's error in the shape that verdicts are made of. */
static apipool_verdict_t judge(const apipool_websocket_t *ws, int *status, apr_time_t now)
{
    const apipool_wsevent_t *told = &ws->told;
    apr_int64_t named = apipool_wsevent_number(told, APIPOOL_WSEVENT_STATUS);
    json_t *error = json_pack("{s:{s:s,s:s,s:s}}", "error", "type",
                              apipool_wsevent_text(told, APIPOOL_WSEVENT_ERROR_TYPE), "code",
                              apipool_wsevent_text(told, APIPOOL_WSEVENT_ERROR_CODE), "message",
                              apipool_wsevent_text(told, APIPOOL_WSEVENT_ERROR_MESSAGE));
    char *body = error ? json_dumps(error, JSON_COMPACT) : NULL;
    *status = named >= 400 && named < 600 ? (int)named : HTTP_OK;
    apipool_evidence_t evidence = {.phase = APIPOOL_PHASE_ANSWERED,
                                   .provider = ws->req->attempt.upstream->provider,
                                   .status = *status,
                                   .in_band = *status == HTTP_OK,
                                   .body = body,
                                   .body_len = body ? strlen(body) : 0,
                                   .custom =
                                       (const apipool_custom_rule_t *)ws->req->pool->rules->elts,
                                   .custom_count = ws->req->pool->rules->nelts,
                                   .now = now};
    apipool_verdict_t verdict = apipool_verdict(&evidence);
    free(body);
    json_decref(error);
    return verdict;
}

static void note_failed(apipool_websocket_t *ws, int index, apr_time_t now)
{
    apipool_ended_t ended = {.ending = APIPOOL_ENDED_FAILED, .usage = {-1, -1, -1, -1}};
    ended.verdict = judge(ws, &ended.status, now);
    if (apipool_usage_result(&ws->usage, &ended.usage)) {
        ended.kind = APIPOOL_TOKENS_REPORTED;
    }
    if (index >= 0) {
        apipool_websocket_settle(ws, index, &ended, now);
        return;
    }
    if (apipool_rule(ended.verdict.rule)->blames == APIPOOL_BLAMES_KEY) {
        apipool_websocket_report_error(ws, &ended, now);
    }
}

/* An error of the realtime protocol may be about any event; where a response waits to begin it is taken
 * for its answer. In that of responses it ends the turn. */
static void note_error(apipool_websocket_t *ws, apr_time_t now)
{
    int index = first_turn(ws, 0);
    if (index < 0 && ws->is_responses) {
        index = first_turn(ws, 1);
    }
    note_failed(ws, index, now);
}

static void note_complete(apipool_websocket_t *ws, int index, apr_time_t now)
{
    apipool_evidence_t evidence = {.phase = APIPOOL_PHASE_ANSWERED, .status = HTTP_OK, .now = now};
    apipool_ended_t ended = {
        .verdict = apipool_verdict(&evidence), .ending = APIPOOL_ENDED_COMPLETE, .status = HTTP_OK};
    if (apipool_usage_result(&ws->usage, &ended.usage)) {
        ended.kind = APIPOOL_TOKENS_REPORTED;
    }
    else if (ws->turns[index].text || ws->turns[index].audio) {
        ended.kind = APIPOOL_TOKENS_ESTIMATED;
        ended.usage = apipool_websocket_estimate(&ws->turns[index]);
    }
    apipool_websocket_settle(ws, index, &ended, now);
}

static void note_done(apipool_websocket_t *ws, apr_time_t now)
{
    int index = turn_of(ws, apipool_wsevent_text(&ws->told, APIPOOL_WSEVENT_RESPONSE_ID));
    index = index < 0 ? first_turn(ws, 1) : index;
    index = index < 0 ? first_turn(ws, 0) : index;
    index = index < 0 ? add_unasked(ws, "") : index;
    if (index < 0) {
        return;
    }
    if (!strcmp(apipool_wsevent_text(&ws->told, APIPOOL_WSEVENT_RESPONSE_STATUS), "failed") ||
        apipool_wsevent_is(&ws->told, "response.failed")) {
        note_failed(ws, index, now);
    }
    else {
        note_complete(ws, index, now);
    }
}

/* The model that writes down what was said costs tokens of its own. */
static void note_transcribed(apipool_websocket_t *ws, apr_time_t now)
{
    int index = add_unasked(ws, ws->transcription);
    if (index >= 0) {
        note_complete(ws, index, now);
    }
}

static void note_delta(apipool_websocket_t *ws, const char *type, apr_time_t now)
{
    int index = first_turn(ws, 1);
    if (index < 0) {
        return;
    }
    apipool_turn_t *turn = &ws->turns[index];
    int is_audio = strstr(type, "audio.delta") != NULL;
    *(is_audio ? &turn->audio : &turn->text) +=
        apipool_wsevent_length(&ws->told, APIPOOL_WSEVENT_DELTA);
    turn->first_byte_at = turn->first_byte_at ? turn->first_byte_at : now;
    ws->sum.first_byte_at = ws->sum.first_byte_at ? ws->sum.first_byte_at : now;
}

static int is_last(const char *type)
{
    return !strcmp(type, "response.done") || !strcmp(type, "response.completed") ||
           !strcmp(type, "response.incomplete") || !strcmp(type, "response.failed");
}

void apipool_websocket_told(apipool_websocket_t *ws, apr_time_t now)
{
    const char *type = apipool_wsevent_text(&ws->told, APIPOOL_WSEVENT_TYPE);
    apr_size_t len = strlen(type);
    if (len > 6 && !strcmp(type + len - 6, ".delta")) {
        if (!strncmp(type, "response.", 9)) {
            note_delta(ws, type, now);
        }
    }
    else if (!strcmp(type, "response.created")) {
        note_begun(ws);
    }
    else if (is_last(type)) {
        note_done(ws, now);
    }
    else if (!strcmp(type, "error")) {
        note_error(ws, now);
    }
    else if (!strcmp(type, "conversation.item.input_audio_transcription.completed")) {
        note_transcribed(ws, now);
    }
    else if (!strncmp(type, "session.", 8) || !strncmp(type, "transcription_session.", 22)) {
        apipool_websocket_note_session(ws, &ws->told);
    }
}
