/* SPDX-License-Identifier: Apache-2.0
 * The responses of a WebSocket: charged when they are asked for, settled and counted when they end. */
#include <apr_strings.h>
#include <stddef.h>

#include "blame.h"
#include "reserve.h"
#include "websocket_parts.h"

void apipool_websocket_copy_name(char *to, const char *name)
{
    if (*name) {
        apipool_name_clean(to, APIPOOL_NAMED_MAX, name, strlen(name));
    }
}

static void fill_entry(const apipool_websocket_t *ws, const apipool_turn_t *turn,
                       const apipool_ended_t *ended, apr_time_t now, apipool_request_stats_t *stats)
{
    const apipool_request_t *req = ws->req;
    const char *endpoint = req->endpoint ? req->endpoint : req->path;
    apipool_recent_entry_t *entry = &stats->entry;

    entry->at = turn->at;
    entry->pool = req->pool->index;
    entry->usage = (unsigned char)ended->kind;
    entry->tokens = ended->usage;
    entry->ending = (unsigned char)ended->ending;
    entry->status = (apr_uint16_t)ended->status;
    entry->streamed = 1;
    entry->first_byte = turn->first_byte_at ? turn->first_byte_at - turn->at : -1;
    entry->total = now - turn->at;
    apipool_name_clean(entry->client, sizeof(entry->client), stats->client.text,
                       strlen(stats->client.text));
    apipool_name_clean(entry->endpoint, sizeof(entry->endpoint), endpoint, strlen(endpoint));
    memcpy(entry->model, stats->model.text, sizeof(entry->model));
}

static void describe(const apipool_websocket_t *ws, const apipool_turn_t *turn,
                     const apipool_ended_t *ended, apr_time_t now, apipool_request_stats_t *stats)
{
    const char *user = ws->req->r->user;
    memset(stats, 0, sizeof(*stats));
    if (user) {
        apipool_name_make(&stats->client, user, strlen(user));
    }
    apipool_name_make(&stats->model, turn->model, strlen(turn->model));
    fill_entry(ws, turn, ended, now, stats);
    stats->finished = (apipool_finished_t){.success = ended->ending == APIPOOL_ENDED_COMPLETE,
                                           .error = ended->ending != APIPOOL_ENDED_COMPLETE &&
                                                    ended->ending != APIPOOL_ENDED_CLIENT_ABORT,
                                           .estimated = ended->kind == APIPOOL_TOKENS_ESTIMATED,
                                           .tokens = ended->usage,
                                           .first_byte = stats->entry.first_byte,
                                           .latency = stats->entry.total};
    stats->rule = ended->verdict.rule;
    stats->group = APIPOOL_NONE;
    stats->used.charge = turn->charge;
}

/* The sum of what is known, or -1. */
static apr_int64_t sum(apr_int64_t a, apr_int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a + b;
}

static void add_up(apipool_websocket_t *ws, const apipool_turn_t *turn,
                   const apipool_ended_t *ended)
{
    apipool_websocket_sum_t *all = &ws->sum;
    all->count++;
    all->ending = ended->ending;
    all->usage = ended->kind > all->usage ? ended->kind : all->usage;
    all->tokens.prompt = sum(all->tokens.prompt, ended->usage.prompt);
    all->tokens.completion = sum(all->tokens.completion, ended->usage.completion);
    all->tokens.cached = sum(all->tokens.cached, ended->usage.cached);
    all->tokens.total = sum(all->tokens.total, ended->usage.total);
    apipool_websocket_copy_name(all->model, turn->model);
}

static void complain(const apipool_websocket_t *ws, apr_status_t rv)
{
    ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, ws->req->r,
                  APIPOOL_LOG(0152) "could not acquire the shared-memory lock; a response of a "
                                    "WebSocket was not recorded");
}

/* A turn that has reached no upstream. */
static void count_refused(apipool_websocket_t *ws, const apipool_turn_t *turn,
                          apipool_reply_e which, apr_time_t now)
{
    const apipool_ended_t ended = {.verdict.rule =
                                       which == APIPOOL_REPLY_KEY_LIMIT ? APIPOOL_R14 : APIPOOL_R00,
                                   .ending = APIPOOL_ENDED_REFUSED,
                                   .status = apipool_reply_status(which),
                                   .usage = {-1, -1, -1, -1}};
    apipool_request_stats_t stats;
    describe(ws, turn, &ended, now, &stats);
    add_up(ws, turn, &ended);
    apr_status_t rv = apipool_stats_record(apipool_relay_segment(), &stats, now);
    if (rv != APR_SUCCESS) {
        complain(ws, rv);
    }
}

void apipool_websocket_count_refused(apipool_websocket_t *ws, const char *model,
                                     apipool_reply_e which)
{
    apr_time_t now = apr_time_now();
    apipool_turn_t turn = {.at = now};
    if (ws->req->client) {
        turn.charge.index = ws->req->client->index;
        turn.charge.serial = ws->req->client->serial;
    }
    apipool_websocket_copy_name(turn.model, *model ? model : ws->model);
    count_refused(ws, &turn, which, now);
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

static void fill_attempt(const apipool_websocket_t *ws, const apipool_ended_t *ended, int rule,
                         apipool_request_stats_t *stats)
{
    const apipool_lease_t *lease = ws->lease;
    stats->group = lease->group;
    stats->finished.attempts = 1;
    stats->entry.key = lease->id;
    stats->entry.attempt_count = 1;
    stats->entry.attempts[0] = (apipool_recent_attempt_t){
        .key = lease->id, .group = lease->group, .rule = (apr_uint32_t)rule};
    stats->used.reached = 1;
    stats->used.tokens = ended->usage.total >= 0                   ? ended->usage.total
                         : ended->ending == APIPOOL_ENDED_COMPLETE ? -1
                                                                   : 0;
}

static void log_turn(const apipool_websocket_t *ws, const apipool_outcome_t *outcome)
{
    char id[APIPOOL_ID_SIZE];
    int level = outcome->lost                            ? APLOG_WARNING
                : outcome->state == APIPOOL_STATE_ACTIVE ? APLOG_DEBUG
                                                         : APLOG_INFO;
    if (APLOG_R_IS_LEVEL(ws->req->r, level)) {
        apipool_key_id_hex(ws->lease->id, id);
        ap_log_rerror(
            APLOG_MARK, level, 0, ws->req->r,
            APIPOOL_LOG(0153) "pool %s, a response of a WebSocket, upstream %s, key %s: %s, %s%s",
            ws->req->pool->name, ws->req->attempt.upstream->name, id,
            apipool_rule_name(outcome->rule), apipool_state_name(outcome->state),
            outcome->doubted ? ", in doubt" : "");
    }
}

/* Tells the pool what came of a turn, or of an error without one, where stats is NULL. */
static void report(apipool_websocket_t *ws, const apipool_ended_t *ended,
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
    apr_status_t rv = apipool_pool_report(apipool_relay_segment(), ws->lease, &what, now, &outcome);
    if (rv != APR_SUCCESS) {
        complain(ws, rv);
        return;
    }
    log_turn(ws, &outcome);
    if (outcome.doubted) {
        apipool_blame_turn(ws->req, ws->lease, &ended->verdict, ended->status);
    }
    if (outcome.rule == APIPOOL_R00) {
        apipool_pool_proved(apipool_relay_segment(), ws->req->attempt.lease, now);
    }
}

void apipool_websocket_report_error(apipool_websocket_t *ws, const apipool_ended_t *ended,
                                    apr_time_t now)
{
    apipool_turn_t none = {.at = now};
    apipool_websocket_copy_name(none.model, ws->model);
    take_lease(ws, &none);
    report(ws, ended, NULL, now);
}

void apipool_websocket_settle(apipool_websocket_t *ws, int index, const apipool_ended_t *ended,
                              apr_time_t now)
{
    apipool_turn_t *turn = &ws->turns[index];
    apipool_request_stats_t stats;
    describe(ws, turn, ended, now, &stats);
    take_lease(ws, turn);
    fill_attempt(ws, ended, (int)ended->verdict.rule, &stats);
    report(ws, ended, &stats, now);
    add_up(ws, turn, ended);
    ws->turn_count--;
    memmove(turn, turn + 1, (apr_size_t)(ws->turn_count - index) * sizeof(*turn));
}

apipool_usage_t apipool_websocket_estimate(const apipool_turn_t *turn)
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
    apipool_ended_t ended = {.verdict = apipool_verdict(&evidence),
                             .ending =
                                 by_client ? APIPOOL_ENDED_CLIENT_ABORT : APIPOOL_ENDED_TRUNCATED,
                             .status = HTTP_OK,
                             .kind = APIPOOL_TOKENS_ESTIMATED,
                             .usage = apipool_websocket_estimate(&ws->turns[index])};
    apipool_websocket_settle(ws, index, &ended, now);
}

/* Whether it was the client that ended the connection, be it by what it has asked for. */
static int has_client_ended(const apipool_websocket_t *ws)
{
    return !ws->upstream_has_closed && !ws->from_upstream.is_faulty &&
           (ws->client_has_closed || ws->is_over || apipool_link_has_left(ws->req->r->connection));
}

void apipool_websocket_end(apipool_websocket_t *ws, apr_time_t now)
{
    while (ws->turn_count) {
        abandon(ws, 0, has_client_ended(ws), now);
    }
}

static int is_admitted(apipool_websocket_t *ws, apipool_turn_t *turn, apipool_reply_e *which,
                       apr_time_t *retry_at)
{
    static const apipool_reply_e replies[] = {
        [APIPOOL_CLIENT_GONE] = APIPOOL_REPLY_INVALID_KEY,
        [APIPOOL_CLIENT_OVER_RPM] = APIPOOL_REPLY_CLIENT_RPM,
        [APIPOOL_CLIENT_OVER_TPM] = APIPOOL_REPLY_CLIENT_TPM,
        [APIPOOL_CLIENT_OVER_TPD] = APIPOOL_REPLY_CLIENT_TPD,
    };
    apipool_client_admitted_e result = APIPOOL_CLIENT_ADMITTED;
    const apipool_client_pass_t *client = ws->req->client;
    if (!client) {
        return 1;
    }
    turn->charge.index = client->index;
    turn->charge.serial = client->serial;
    turn->charge.tokens = turn->tokens;
    apr_status_t rv =
        apipool_client_admit(apipool_relay_segment(), &turn->charge, turn->at, &result, retry_at);
    if (rv != APR_SUCCESS) {
        complain(ws, rv);
        *which = APIPOOL_REPLY_EXHAUSTED;
        return 0;
    }
    *which = replies[result];
    return result == APIPOOL_CLIENT_ADMITTED;
}

static int has_key_room(apipool_websocket_t *ws, const apipool_turn_t *turn, apr_time_t *retry_at)
{
    const apipool_further_t further = {.tokens = turn->tokens,
                                       .limits = &ws->req->pool->limits,
                                       .has_begun = turn->charge.has_begun};
    take_lease(ws, turn);
    apr_status_t rv =
        apipool_pool_charge(apipool_relay_segment(), ws->lease, &further, turn->at, retry_at);
    if (rv != APR_SUCCESS) {
        complain(ws, rv);
        *retry_at = turn->at;
    }
    return !*retry_at;
}

int apipool_websocket_ask(apipool_websocket_t *ws, const apipool_asking_t *asking,
                          apipool_reply_e *which, apr_time_t *retry_at)
{
    apr_time_t now = apr_time_now();
    const char *model = *asking->model ? asking->model : ws->model;
    apipool_turn_t turn = {.at = now,
                           .tokens = apipool_reserve_turn(ws->req, *model ? model : NULL,
                                                          asking->bytes, asking->max_tokens),
                           .prompt = (apr_int64_t)(asking->bytes / APIPOOL_ESTIMATE_ASCII),
                           .charge.has_begun = asking->has_begun};
    apipool_websocket_copy_name(turn.model, model);
    *retry_at = 0;
    if (!is_admitted(ws, &turn, which, retry_at) &&
        (!asking->has_begun || *which == APIPOOL_REPLY_INVALID_KEY)) {
        count_refused(ws, &turn, *which, now);
        return 0;
    }
    if (!has_key_room(ws, &turn, retry_at)) {
        *which = APIPOOL_REPLY_KEY_LIMIT;
        count_refused(ws, &turn, *which, now);
        return 0;
    }
    if (ws->turn_count == APIPOOL_WEBSOCKET_TURNS) {
        abandon(ws, 0, 0, now);
    }
    ws->turns[ws->turn_count++] = turn;
    return 1;
}
