/* SPDX-License-Identifier: Apache-2.0
 * The responses of a WebSocket: charged when they are asked for, followed by what the upstream says of them,
 * settled and counted when they end. */
#include <apr_strings.h>
#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>

#include "authz.h"
#include "blame.h"
#include "client_conn.h"
#include "facts.h"
#include "request_accounting.h"
#include "websocket_parts.h"

static const apipool_usage_t nothing = {-1, -1, -1, -1};

/* How a turn has ended. */
typedef struct {
    apipool_verdict_t verdict;
    apipool_ending_e ending;
    int status;
    apipool_tokens_e kind;
    apipool_usage_t usage;
} ended_t;

/* Copies a model's name, clean; "" changes nothing. */
static void copy_name(char to[APIPOOL_NAMED_MAX], const char *name)
{
    if (*name) {
        apipool_name_clean(to, APIPOOL_NAMED_MAX, name, strlen(name));
    }
}

/* --- Settling --- */

/* What is counted of a turn that has ended; without a lease it has reached no upstream. */
static void describe(const apipool_websocket_t *ws, const apipool_turn_t *turn,
                     const ended_t *ended, const apipool_lease_t *lease, apr_time_t now,
                     apipool_request_stats_t *stats)
{
    *stats = (apipool_request_stats_t){
        .entry = {.at = turn->at,
                  .usage = (unsigned char)ended->kind,
                  .tokens = ended->usage,
                  .ending = (unsigned char)ended->ending,
                  .status = (apr_uint16_t)ended->status,
                  .streamed = 1,
                  .first_byte = turn->first_byte_at ? turn->first_byte_at - turn->at : -1,
                  .total = now - turn->at},
        .rule = ended->verdict.rule,
        .upstream = APIPOOL_NONE,
        .used.charge = turn->charge};
    if (lease) {
        stats->upstream = lease->upstream;
        stats->entry.key = lease->id;
        stats->entry.attempt_count = 1;
        stats->entry.attempts[0] =
            (apipool_recent_attempt_t){.key = lease->id,
                                       .upstream = lease->upstream,
                                       .rule = (apr_uint16_t)ended->verdict.rule,
                                       .status = (apr_uint16_t)ended->status};
        apipool_recent_said(&stats->entry, &ended->verdict.words);
        stats->used.reached = 1;
        stats->used.tokens = ended->usage.total >= 0                   ? ended->usage.total
                             : ended->ending == APIPOOL_ENDED_COMPLETE ? -1
                                                                       : 0;
    }
    apipool_outcome_complete(ws->req, turn->model, stats);
}

/* The sum of what is known, or -1. */
static apr_int64_t sum(apr_int64_t a, apr_int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a + b;
}

static void add_up(apipool_websocket_t *ws, const apipool_turn_t *turn, const ended_t *ended)
{
    apipool_websocket_sum_t *all = &ws->sum;
    all->count++;
    all->ending = ended->ending;
    all->usage = ended->kind > all->usage ? ended->kind : all->usage;
    all->tokens.prompt = sum(all->tokens.prompt, ended->usage.prompt);
    all->tokens.completion = sum(all->tokens.completion, ended->usage.completion);
    all->tokens.cached = sum(all->tokens.cached, ended->usage.cached);
    all->tokens.total = sum(all->tokens.total, ended->usage.total);
    copy_name(all->model, turn->model);
}

static void complain(const apipool_websocket_t *ws, apr_status_t rv)
{
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, ws->req->r,
                      APIPOOL_LOG(0152) "could not acquire the shared-memory lock; a response of a "
                                        "WebSocket was not recorded");
    }
}

static void count_refused(apipool_websocket_t *ws, const apipool_turn_t *turn,
                          apipool_reply_e which)
{
    const ended_t ended = {.verdict.rule = which == APIPOOL_REPLY_KEY_LIMIT
                                               ? APIPOOL_RULE_ALL_COOLING
                                               : APIPOOL_RULE_SUCCESS,
                           .ending = APIPOOL_ENDED_REFUSED,
                           .status = apipool_reply_status(which),
                           .usage = nothing};
    apipool_request_stats_t stats;
    describe(ws, turn, &ended, NULL, turn->at, &stats);
    add_up(ws, turn, &ended);
    complain(ws, apipool_stats_record(apipool_lifecycle_segment(), &stats, turn->at));
}

static apipool_turn_t make_turn(const apipool_websocket_t *ws, const char *model)
{
    apipool_turn_t turn = {.at = apipool_lifecycle_now()};
    if (ws->req->client) {
        turn.charge.index = ws->req->client->index;
        turn.charge.serial = ws->req->client->serial;
    }
    copy_name(turn.model, *model ? model : ws->model);
    return turn;
}

void apipool_websocket_count_refused(apipool_websocket_t *ws, const char *model,
                                     apipool_reply_e which)
{
    const apipool_turn_t turn = make_turn(ws, model);
    count_refused(ws, &turn, which);
}

/* The lease as it is for one turn; all but its secret. */
static void take_lease(apipool_websocket_t *ws, const apipool_turn_t *turn)
{
    memcpy(ws->lease, ws->req->attempt.lease, offsetof(apipool_lease_t, key));
    ws->lease->proving = 0;
    ws->lease->model = *turn->model ? apipool_hash(turn->model) : 0;
    ws->lease->tokens = turn->tokens;
    ws->lease->lent_at = turn->at;
}

static void log_turn(const apipool_websocket_t *ws, const apipool_outcome_t *outcome)
{
    char id[APIPOOL_ID_SIZE];
    int level = outcome->lost                            ? APLOG_WARNING
                : outcome->state == APIPOOL_STATE_ACTIVE ? APLOG_DEBUG
                                                         : APLOG_INFO;
    apipool_key_id_hex(ws->lease->id, id);
    ap_log_rerror(
        APLOG_MARK, level, 0, ws->req->r,
        APIPOOL_LOG(0153) "pool %s, a response of a WebSocket, upstream %s, key %s: %s, %s%s",
        ws->req->pool->name, ws->req->attempt.upstream->name, id, apipool_rule_name(outcome->rule),
        apipool_state_name(outcome->state), outcome->doubted ? ", in doubt" : "");
}

/* Tells the pool what came of a turn, or of an error without one, where stats is NULL. */
static void report(apipool_websocket_t *ws, const ended_t *ended,
                   const apipool_request_stats_t *stats, apr_time_t now)
{
    apipool_outcome_t outcome = {.rule = ended->verdict.rule};
    apipool_report_t what = {.verdict = &ended->verdict,
                             .client = ws->req->demand.client,
                             .finished = {.first_byte = -1, .tokens = ended->usage},
                             .status = ended->status,
                             .tokens = ended->usage.total > 0 ? ended->usage.total : 0,
                             .headroom = -1,
                             .may_doubt = 1,
                             .policy = &ws->req->pool->policy,
                             .goes_on = 1,
                             .request = stats};
    if (stats) {
        what.finished = stats->finished;
        what.tokens = stats->used.tokens;
    }
    apr_status_t rv =
        apipool_pool_report(apipool_lifecycle_segment(), ws->lease, &what, now, &outcome);
    if (rv != APR_SUCCESS) {
        complain(ws, rv);
        return;
    }
    log_turn(ws, &outcome);
    if (outcome.doubted) {
        apipool_blame_turn(ws->req, ws->lease, &ended->verdict, ended->status);
    }
    if (outcome.rule == APIPOOL_RULE_SUCCESS) {
        apipool_pool_proved(apipool_lifecycle_segment(), ws->req->attempt.lease, now);
    }
}

/* Settles a turn with the client and the key, and counts it. Its place is free afterwards. */
static void settle(apipool_websocket_t *ws, int index, const ended_t *ended, apr_time_t now)
{
    apipool_turn_t *turn = &ws->turns[index];
    apipool_request_stats_t stats;
    take_lease(ws, turn);
    describe(ws, turn, ended, ws->lease, now, &stats);
    report(ws, ended, &stats, now);
    add_up(ws, turn, ended);
    ws->turn_count--;
    memmove(turn, turn + 1, (apr_size_t)(ws->turn_count - index) * sizeof(*turn));
}

/* What a turn took that did not tell: by the bytes that came. */
static apipool_usage_t estimate(const apipool_turn_t *turn)
{
    apr_int64_t completion =
        (apr_int64_t)(turn->text / APIPOOL_ESTIMATE_ASCII + turn->audio / APIPOOL_ESTIMATE_BASE64);
    return (apipool_usage_t){.prompt = turn->prompt,
                             .completion = completion,
                             .cached = -1,
                             .total = turn->prompt + completion};
}

/* A turn that breaks off. */
static void abandon(apipool_websocket_t *ws, int index, int by_client, apr_time_t now)
{
    apipool_evidence_t evidence = {
        .phase = by_client ? APIPOOL_PHASE_CLIENT_GONE : APIPOOL_PHASE_BROKE, .now = now};
    ended_t ended = {.verdict = apipool_verdict(&evidence),
                     .ending = by_client ? APIPOOL_ENDED_CLIENT_ABORT : APIPOOL_ENDED_TRUNCATED,
                     .status = HTTP_OK,
                     .kind = APIPOOL_TOKENS_ESTIMATED,
                     .usage = estimate(&ws->turns[index])};
    settle(ws, index, &ended, now);
}

/* Whether it was the client that ended the connection, be it by what it has asked for. */
static int has_client_ended(const apipool_websocket_t *ws)
{
    return !ws->upstream_has_closed && !ws->from_upstream.is_faulty &&
           (ws->client_has_closed || ws->is_over || apipool_client_conn_is_gone(ws->req));
}

void apipool_websocket_end(apipool_websocket_t *ws, apr_time_t now)
{
    while (ws->turn_count) {
        abandon(ws, 0, has_client_ended(ws), now);
    }
}

/* --- Asking --- */

static int is_admitted(apipool_websocket_t *ws, apipool_turn_t *turn)
{
    apipool_client_admitted_e result = APIPOOL_CLIENT_ADMITTED;
    if (!ws->req->client) {
        return 1;
    }
    turn->charge.tokens = turn->tokens;
    apr_status_t rv = apipool_client_admit(apipool_lifecycle_segment(), &turn->charge, turn->at,
                                           &result, &ws->retry_at);
    complain(ws, rv);
    ws->refusal = rv == APR_SUCCESS ? apipool_authz_replies[result] : APIPOOL_REPLY_EXHAUSTED;
    return rv == APR_SUCCESS && result == APIPOOL_CLIENT_ADMITTED;
}

static int has_key_room(apipool_websocket_t *ws, const apipool_turn_t *turn)
{
    const apipool_further_t further = {.tokens = turn->tokens,
                                       .limits = &ws->req->pool->limits,
                                       .has_begun = turn->charge.has_begun};
    take_lease(ws, turn);
    apr_status_t rv = apipool_pool_charge(apipool_lifecycle_segment(), ws->lease, &further,
                                          turn->at, &ws->retry_at);
    complain(ws, rv);
    ws->retry_at = rv == APR_SUCCESS ? ws->retry_at : turn->at;
    return !ws->retry_at;
}

int apipool_websocket_ask(apipool_websocket_t *ws, const char *model, apr_uint64_t bytes,
                          apr_int64_t max_tokens, int has_begun)
{
    apipool_turn_t turn = make_turn(ws, model);
    turn.tokens = apipool_reserve_turn(ws->req, *turn.model ? turn.model : NULL, bytes, max_tokens);
    turn.prompt = (apr_int64_t)(bytes / APIPOOL_ESTIMATE_ASCII);
    turn.charge.has_begun = has_begun;
    ws->retry_at = 0;
    int refused =
        !is_admitted(ws, &turn) && (!has_begun || ws->refusal == APIPOOL_REPLY_INVALID_KEY);
    if (!refused && !has_key_room(ws, &turn)) {
        ws->refusal = APIPOOL_REPLY_KEY_LIMIT;
        refused = 1;
    }
    if (refused) {
        count_refused(ws, &turn, ws->refusal);
        return 0;
    }
    if (ws->turn_count == APIPOOL_WEBSOCKET_TURNS) {
        abandon(ws, 0, 0, turn.at);
    }
    ws->turns[ws->turn_count++] = turn;
    return 1;
}

/* --- What the upstream says --- */

void apipool_websocket_note_session(apipool_websocket_t *ws, const apipool_websocket_event_t *event)
{
    copy_name(ws->model,
              apipool_websocket_event_text(event, APIPOOL_WEBSOCKET_EVENT_SESSION_MODEL));
    copy_name(ws->transcription,
              apipool_websocket_event_text(event, APIPOOL_WEBSOCKET_EVENT_TRANSCRIPTION));
}

/* The upstream has begun something by itself. Returns its turn. */
static int add_unasked(apipool_websocket_t *ws, const char *model)
{
    return apipool_websocket_ask(ws, model, 0, -1, 1) ? ws->turn_count - 1 : -1;
}

/* The first turn of which the upstream has said that it has begun, or has not; or -1.
 * id: NULL for any */
static int find_turn(const apipool_websocket_t *ws, int has_begun, const char *id)
{
    for (int i = 0; i < ws->turn_count; i++) {
        if (ws->turns[i].has_begun == has_begun && (!id || !strcmp(ws->turns[i].id, id))) {
            return i;
        }
    }
    return -1;
}

static void note_begun(apipool_websocket_t *ws)
{
    int i = find_turn(ws, 0, NULL);
    i = i < 0 ? add_unasked(ws, "") : i;
    if (i >= 0) {
        apipool_turn_t *turn = &ws->turns[i];
        turn->has_begun = 1;
        apr_cpystrn(turn->id,
                    apipool_websocket_event_text(&ws->told, APIPOOL_WEBSOCKET_EVENT_RESPONSE_ID),
                    sizeof(turn->id));
        if (!*turn->model) {
            copy_name(turn->model, apipool_websocket_event_text(
                                       &ws->told, APIPOOL_WEBSOCKET_EVENT_RESPONSE_MODEL));
        }
    }
}

/* The event's error in the shape that verdicts are made of. */
static apipool_verdict_t judge(const apipool_websocket_t *ws, int *status, apr_time_t now)
{
    const apipool_websocket_event_t *told = &ws->told;
    const apr_array_header_t *rules = ws->req->pool->rules;
    apr_int64_t named = apipool_websocket_event_number(told, APIPOOL_WEBSOCKET_EVENT_STATUS);
    json_t *error =
        json_pack("{s:{s:s,s:s,s:s}}", "error", "type",
                  apipool_websocket_event_text(told, APIPOOL_WEBSOCKET_EVENT_ERROR_TYPE), "code",
                  apipool_websocket_event_text(told, APIPOOL_WEBSOCKET_EVENT_ERROR_CODE), "message",
                  apipool_websocket_event_text(told, APIPOOL_WEBSOCKET_EVENT_ERROR_MESSAGE));
    char *body = error ? json_dumps(error, JSON_COMPACT) : NULL;
    *status = named >= 400 && named < 600 ? (int)named : HTTP_OK;
    apipool_evidence_t evidence = {.phase = APIPOOL_PHASE_ANSWERED,
                                   .provider = ws->req->attempt.upstream->provider,
                                   .status = *status,
                                   .in_band = *status == HTTP_OK,
                                   .body = body,
                                   .body_len = body ? strlen(body) : 0,
                                   .custom = (const apipool_custom_rule_t *)rules->elts,
                                   .custom_count = rules->nelts,
                                   .now = now};
    apipool_verdict_t verdict = apipool_verdict(&evidence);
    apipool_words_mask(&verdict.words, ws->req->attempt.lease->key, ws->req->attempt.lease->len);
    free(body);
    json_decref(error);
    return verdict;
}

/* index: -1 for an error that is no turn's; of these the pool is told what concerns the key. */
static void note_failed(apipool_websocket_t *ws, int index, apr_time_t now)
{
    ended_t ended = {.ending = APIPOOL_ENDED_FAILED, .usage = nothing};
    ended.verdict = judge(ws, &ended.status, now);
    if (apipool_usage_result(&ws->usage, &ended.usage)) {
        ended.kind = APIPOOL_TOKENS_REPORTED;
    }
    if (index >= 0) {
        settle(ws, index, &ended, now);
    }
    else if (apipool_rule(ended.verdict.rule)->blames == APIPOOL_BLAMES_KEY) {
        apipool_turn_t none = {.at = now};
        copy_name(none.model, ws->model);
        take_lease(ws, &none);
        report(ws, &ended, NULL, now);
    }
}

/* An error of the realtime protocol may be about any event; where a response waits to begin it is taken
 * for its answer. In that of responses it ends the turn. */
static void note_error(apipool_websocket_t *ws, apr_time_t now)
{
    int index = find_turn(ws, 0, NULL);
    if (index < 0 && ws->is_responses) {
        index = find_turn(ws, 1, NULL);
    }
    note_failed(ws, index, now);
}

static void note_complete(apipool_websocket_t *ws, int index, apr_time_t now)
{
    apipool_evidence_t evidence = {.phase = APIPOOL_PHASE_ANSWERED, .status = HTTP_OK, .now = now};
    ended_t ended = {
        .verdict = apipool_verdict(&evidence), .ending = APIPOOL_ENDED_COMPLETE, .status = HTTP_OK};
    if (apipool_usage_result(&ws->usage, &ended.usage)) {
        ended.kind = APIPOOL_TOKENS_REPORTED;
    }
    else if (ws->turns[index].text || ws->turns[index].audio) {
        ended.kind = APIPOOL_TOKENS_ESTIMATED;
        ended.usage = estimate(&ws->turns[index]);
    }
    settle(ws, index, &ended, now);
}

static void note_done(apipool_websocket_t *ws, apr_time_t now)
{
    const char *id = apipool_websocket_event_text(&ws->told, APIPOOL_WEBSOCKET_EVENT_RESPONSE_ID);
    int index = *id ? find_turn(ws, 1, id) : -1;
    index = index < 0 ? find_turn(ws, 1, NULL) : index;
    index = index < 0 ? find_turn(ws, 0, NULL) : index;
    index = index < 0 ? add_unasked(ws, "") : index;
    if (index < 0) {
        return;
    }
    if (!strcmp(apipool_websocket_event_text(&ws->told, APIPOOL_WEBSOCKET_EVENT_RESPONSE_STATUS),
                "failed") ||
        apipool_websocket_event_is(&ws->told, "response.failed")) {
        note_failed(ws, index, now);
    }
    else {
        note_complete(ws, index, now);
    }
}

static void note_delta(apipool_websocket_t *ws, const char *type, apr_time_t now)
{
    int index = find_turn(ws, 1, NULL);
    if (index < 0) {
        return;
    }
    apipool_turn_t *turn = &ws->turns[index];
    int is_audio = strstr(type, "audio.delta") != NULL;
    *(is_audio ? &turn->audio : &turn->text) +=
        apipool_websocket_event_length(&ws->told, APIPOOL_WEBSOCKET_EVENT_DELTA);
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
    const char *type = apipool_websocket_event_text(&ws->told, APIPOOL_WEBSOCKET_EVENT_TYPE);
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
        /* the model that writes down what was said costs tokens of its own */
        int index = add_unasked(ws, ws->transcription);
        if (index >= 0) {
            note_complete(ws, index, now);
        }
    }
    else if (!strncmp(type, "session.", 8) || !strncmp(type, "transcription_session.", 22)) {
        apipool_websocket_note_session(ws, &ws->told);
    }
}
