/* SPDX-License-Identifier: Apache-2.0
 * A WebSocket on its way to the upstream: what the client may ask for. */
#include <apr_strings.h>
#include <http_protocol.h>
#include <jansson.h>
#include <stdlib.h>

#include "websocket_models.h"
#include "websocket_parts.h"

#define PIECE 4096 /* bytes that are read without their mask at a time */

static int has_limits(const apipool_websocket_t *ws)
{
    const apipool_request_t *req = ws->req;
    for (int i = 0; req->client && i < APIPOOL_CLIENT_LIMITS; i++) {
        if (req->client->terms.limits[i]) {
            return 1;
        }
    }
    return apipool_pool_limits(apipool_lifecycle_segment(), req->attempt.lease, &req->pool->limits);
}

static int allows(void *ctx, const char *model)
{
    const apipool_websocket_t *ws = ctx;
    return apipool_client_allows(&ws->req->client->terms, APIPOOL_CLIENT_MODELS, model);
}

/* The message that is held, for jansson: its payload without masks. */
typedef struct {
    const apipool_websocket_t *ws;
    apipool_websocket_frame_t reader;
    apipool_websocket_frame_part_t part;
    apr_size_t at, given; /* bytes of what is held, and of the part */
} held_t;

static size_t read_held(void *buffer, size_t size, void *data)
{
    held_t *held = data;
    const apipool_websocket_t *ws = held->ws;
    apr_size_t used;
    while (held->given == held->part.payload_len) {
        if (held->at == ws->held_len ||
            apipool_websocket_frame_take(&held->reader, ws->held + held->at,
                                         ws->held_len - held->at, &held->part, &used) < 1) {
            return 0;
        }
        held->at += used;
        held->given = 0;
    }
    apr_size_t left = held->part.payload_len - held->given, len = left < size ? left : size;
    apipool_websocket_frame_unmask(&held->reader, &held->part, held->given, buffer, len);
    held->given += len;
    return len;
}

static json_t *parse_held(const apipool_websocket_t *ws)
{
    held_t held = {.ws = ws};
    apipool_websocket_frame_begin(&held.reader, 1);
    return json_load_callback(read_held, &held, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

/* The model that the event itself asks for, as far as it was read. */
static const char *model_of(const apipool_websocket_event_t *event)
{
    const char *model = apipool_websocket_event_text(event, APIPOOL_WEBSOCKET_EVENT_MODEL);
    return *model ? model
                  : apipool_websocket_event_text(event, APIPOOL_WEBSOCKET_EVENT_RESPONSE_MODEL);
}

static int is_creation(const apipool_websocket_t *ws, const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    return type ? !strcmp(type, "response.create")
                : apipool_websocket_event_is(&ws->asked, "response.create");
}

/* Wherever an event names a model, it has to be an allowed one; and a response has to have one that was
 * named. */
static int is_model_allowed(apipool_websocket_t *ws, const json_t *event)
{
    int has_own = *model_of(&ws->asked) != '\0';
    if (!json_is_object(event) || !apipool_websocket_models_allowed(event, allows, ws)) {
        return 0;
    }
    ws->has_model |=
        has_own || *apipool_websocket_event_text(&ws->asked, APIPOOL_WEBSOCKET_EVENT_SESSION_MODEL);
    return !is_creation(ws, event) || (ws->is_responses ? has_own : ws->has_model);
}

static int ask(apipool_websocket_t *ws, apr_uint64_t bytes, int has_begun)
{
    return apipool_websocket_ask(
        ws, model_of(&ws->asked), bytes,
        apipool_websocket_event_number(&ws->asked, APIPOOL_WEBSOCKET_EVENT_MAX_TOKENS), has_begun);
}

/* Only who is no client any more loses the connection with it. */
static apr_status_t refuse_turn(apipool_websocket_t *ws)
{
    return apipool_websocket_refuse(
        ws, ws->refusal, ws->retry_at,
        ws->refusal == APIPOOL_REPLY_INVALID_KEY ? APIPOOL_WS_POLICY_VIOLATION : 0);
}

static void forget_held(apipool_websocket_t *ws)
{
    free(ws->held);
    ws->held = NULL;
    ws->held_len = ws->held_size = 0;
    ws->holds = 0;
}

/* What was held goes on its way, as it came. */
static void release(apipool_websocket_t *ws)
{
    if (ws->held_len) {
        APR_BRIGADE_INSERT_TAIL(
            ws->out, apr_bucket_heap_create(ws->held, ws->held_len, free, ws->out->bucket_alloc));
        ws->held = NULL;
    }
    forget_held(ws);
}

static apr_status_t refuse_model(apipool_websocket_t *ws)
{
    apipool_websocket_count_refused(ws, model_of(&ws->asked), APIPOOL_REPLY_MODEL_NOT_ALLOWED);
    forget_held(ws);
    return apipool_websocket_refuse(ws, APIPOOL_REPLY_MODEL_NOT_ALLOWED, 0,
                                    APIPOOL_WS_POLICY_VIOLATION);
}

/* The whole message is held: it goes on, or is answered here. */
static apr_status_t judge_held(apipool_websocket_t *ws)
{
    json_t *event = parse_held(ws);
    int is_allowed = !ws->has_list || is_model_allowed(ws, event);
    int creates = is_creation(ws, event);
    json_decref(event);
    if (!is_allowed) {
        return refuse_model(ws);
    }
    apipool_websocket_note_session(ws, &ws->asked);
    if (!creates || ask(ws, ws->held_len, 0)) {
        release(ws);
        return APR_SUCCESS;
    }
    forget_held(ws);
    return refuse_turn(ws);
}

static apr_status_t keep(apipool_websocket_t *ws, const char *data, apr_size_t len)
{
    apr_off_t limit = ws->req->pool->body_limit;
    apr_size_t max =
        limit < APIPOOL_WEBSOCKET_HELD_MAX ? (apr_size_t)limit : APIPOOL_WEBSOCKET_HELD_MAX;
    if (len > max || ws->held_len > max - len) {
        return APR_ENOSPC;
    }
    if (ws->held_len + len > ws->held_size) {
        apr_size_t size = 2 * (ws->held_len + len);
        char *held = realloc(ws->held, size);
        if (!held) {
            return APR_ENOMEM;
        }
        ws->held = held;
        ws->held_size = size;
    }
    memcpy(ws->held + ws->held_len, data, len);
    ws->held_len += len;
    return APR_SUCCESS;
}

/* Without its mask, piece by piece. What is known not to matter is not read at all. */
static void read_payload(apipool_websocket_t *ws, const apipool_websocket_frame_part_t *part)
{
    char piece[PIECE];
    for (apr_size_t at = 0; ws->is_read && at < part->payload_len; at += PIECE) {
        apr_size_t left = part->payload_len - at, len = left < PIECE ? left : PIECE;
        apipool_websocket_frame_unmask(&ws->from_client, part, at, piece, len);
        apipool_websocket_event_feed(&ws->asked, piece, len);
        const char *type = apipool_websocket_event_text(&ws->asked, APIPOOL_WEBSOCKET_EVENT_TYPE);
        ws->is_read = !*type || !strcmp(type, "response.create") ||
                      !strcmp(type, "session.update") ||
                      !strcmp(type, "transcription_session.update");
    }
}

static apr_status_t begin_message(apipool_websocket_t *ws,
                                  const apipool_websocket_frame_part_t *part)
{
    int is_text = part->message == APIPOOL_WS_TEXT;
    apipool_websocket_event_begin(&ws->asked);
    ws->is_read = is_text;
    ws->asked_len = 0;
    if (!is_text && ws->has_list) {
        return refuse_model(ws);
    }
    ws->holds = is_text && (ws->has_list || has_limits(ws));
    return APR_SUCCESS;
}

/* A message that nothing holds back passes: what it asks for has as good as begun. */
static apr_status_t note_passed(apipool_websocket_t *ws)
{
    apipool_websocket_note_session(ws, &ws->asked);
    return apipool_websocket_event_is(&ws->asked, "response.create") &&
                   !ask(ws, ws->asked_len, 1) && ws->refusal == APIPOOL_REPLY_INVALID_KEY
               ? refuse_turn(ws)
               : APR_SUCCESS;
}

static void pass(apipool_websocket_t *ws, const apipool_websocket_frame_part_t *part)
{
    apr_bucket_alloc_t *alloc = ws->out->bucket_alloc;
    if (part->header_len) {
        APR_BRIGADE_INSERT_TAIL(ws->out,
                                apr_bucket_heap_create((const char *)ws->from_client.header,
                                                       part->header_len, NULL, alloc));
    }
    if (part->payload_len) {
        APR_BRIGADE_INSERT_TAIL(
            ws->out, apr_bucket_transient_create(part->payload, part->payload_len, alloc));
    }
}

static apr_status_t take_held(apipool_websocket_t *ws, const apipool_websocket_frame_part_t *part)
{
    apr_status_t rv = keep(ws, (const char *)ws->from_client.header, part->header_len);
    if (rv == APR_SUCCESS) {
        rv = keep(ws, part->payload, part->payload_len);
    }
    if (rv != APR_SUCCESS && ws->has_list) {
        return refuse_model(ws);
    }
    if (rv != APR_SUCCESS) {
        forget_held(ws);
        return apipool_websocket_refuse(ws, APIPOOL_REPLY_TOO_LARGE, 0, APIPOOL_WS_TOO_BIG);
    }
    if (part->ends) {
        return judge_held(ws);
    }
    if (!ws->is_read && !ws->has_list) { /* it costs nothing */
        release(ws);
    }
    return APR_SUCCESS;
}

static apr_status_t take_part(apipool_websocket_t *ws, const apipool_websocket_frame_part_t *part)
{
    apr_status_t rv = APR_SUCCESS;
    if (part->is_control) {
        ws->client_has_closed |= part->opcode == APIPOOL_WS_CLOSE && !ws->upstream_has_closed;
        pass(ws, part);
        return APR_SUCCESS;
    }
    if (part->begins) {
        rv = begin_message(ws, part);
    }
    if (rv != APR_SUCCESS || ws->is_over) {
        return rv;
    }
    ws->asked_len += part->payload_len;
    read_payload(ws, part);
    if (ws->holds) {
        return take_held(ws, part);
    }
    pass(ws, part);
    return part->ends ? note_passed(ws) : APR_SUCCESS;
}

static apr_status_t take_bytes(apipool_websocket_t *ws, const char *data, apr_size_t len)
{
    apr_status_t rv = APR_SUCCESS;
    for (apr_size_t used; len > 0 && rv == APR_SUCCESS && !ws->is_over; data += used, len -= used) {
        apipool_websocket_frame_part_t part;
        int what = apipool_websocket_frame_take(&ws->from_client, data, len, &part, &used);
        rv = what < 0 ? apipool_websocket_fail(ws) : what ? take_part(ws, &part) : APR_SUCCESS;
    }
    return rv;
}

apr_status_t apipool_websocket_write(apipool_websocket_t *ws, ap_filter_t *next,
                                     apr_bucket_brigade *bb)
{
    apr_status_t rv = APR_SUCCESS;
    if (!ws->out) {
        ws->out = apr_brigade_create(ws->req->r->pool, bb->bucket_alloc);
    }
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb), *after;
         b != APR_BRIGADE_SENTINEL(bb) && rv == APR_SUCCESS && !ws->is_over; b = after) {
        const char *data;
        apr_size_t len;
        after = APR_BUCKET_NEXT(b);
        if (APR_BUCKET_IS_METADATA(b)) {
            APR_BUCKET_REMOVE(b);
            APR_BRIGADE_INSERT_TAIL(ws->out, b);
        }
        else {
            rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
            rv = rv == APR_SUCCESS ? take_bytes(ws, data, len) : rv;
        }
    }
    if (!APR_BRIGADE_EMPTY(ws->out)) { /* what came before a message that is refused, as well */
        apr_status_t passed = ap_pass_brigade(next, ws->out);
        rv = rv == APR_SUCCESS ? passed : rv;
    }
    apr_brigade_cleanup(ws->out);
    apr_brigade_cleanup(bb);
    return rv;
}
