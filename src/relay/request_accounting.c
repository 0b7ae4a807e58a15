/* SPDX-License-Identifier: Apache-2.0
 * The end of a request: what is noted for logs, and what is counted. */
#include "request_accounting.h"

#include <apr_strings.h>

#include "stats.h"
#include "token_count.h"
#include "websocket.h"

static apipool_ending_e find_ending(const apipool_request_t *req)
{
    return req->rule == APIPOOL_RULE_CLIENT_GONE || req->client_left ? APIPOOL_ENDED_CLIENT_ABORT
           : !req->attempts                                          ? APIPOOL_ENDED_REFUSED
           : req->rule == APIPOOL_RULE_SUCCESS                       ? APIPOOL_ENDED_COMPLETE
           : req->rule == APIPOOL_RULE_BROKE_OFF                     ? APIPOOL_ENDED_TRUNCATED
                                                                     : APIPOOL_ENDED_FAILED;
}

/* Nobody else makes notes of these names, so none is looked for. */
static void note(request_rec *r, const char *name, const char *value)
{
    apr_table_addn(r->notes, name, value);
}

static void note_number(request_rec *r, const char *name, apr_int64_t value)
{
    if (value >= 0) {
        note(r, name, apr_off_t_toa(r->pool, (apr_off_t)value));
    }
}

/* A WebSocket is one line of a log, and shows its responses there: their sum, and the last one. */
static const apipool_request_stats_t *show_responses(const request_rec *r,
                                                     const apipool_websocket_sum_t *sum,
                                                     const apipool_request_stats_t *counted)
{
    apipool_request_stats_t *stats = apr_pmemdup(r->pool, counted, sizeof(*counted));
    apipool_recent_entry_t *entry = &stats->entry;
    entry->tokens = sum->tokens;
    entry->usage = (unsigned char)sum->usage;
    entry->ending = (unsigned char)(sum->count ? sum->ending : entry->ending);
    entry->first_byte = sum->first_byte_at ? sum->first_byte_at - r->request_time : -1;
    memcpy(stats->model.text, sum->model, sizeof(stats->model.text));
    return stats;
}

static void set_notes(const apipool_request_t *req, const apipool_request_stats_t *stats)
{
    const apipool_websocket_sum_t *sum = apipool_websocket_sum(req);
    request_rec *r = req->r;
    if (sum) {
        stats = show_responses(r, sum, stats);
    }
    const apipool_recent_entry_t *entry = &stats->entry;
    const char *client = stats->client.text, *model = stats->model.text;

    note(r, "apipool-pool", req->pool->name);
    note_number(r, "apipool-attempts", req->attempts);
    note(r, "apipool-outcome", apipool_ending_name((apipool_ending_e)entry->ending));
    note(r, "apipool-usage", apipool_tokens_name((apipool_tokens_e)entry->usage));
    if (req->attempts) {
        char *id = apr_palloc(r->pool, APIPOOL_ID_SIZE);
        apipool_key_id_hex(entry->key, id);
        note(r, "apipool-key", id);
        note(r, "apipool-upstream", req->attempt.upstream->name);
        note(r, "apipool-rule", apipool_rule_name(req->rule));
    }
    if (*client) {
        note(r, "apipool-client", client);
    }
    if (*model) {
        note(r, "apipool-model", model);
    }
    note_number(r, "apipool-prompt-tokens", entry->tokens.prompt);
    note_number(r, "apipool-completion-tokens", entry->tokens.completion);
    note_number(r, "apipool-cached-tokens", entry->tokens.cached);
    note_number(r, "apipool-total-tokens", entry->tokens.total);
    note_number(r, "apipool-ttft-ms", entry->first_byte < 0 ? -1 : entry->first_byte / 1000);
}

/* Without a verdict the pool itself has refused it: for what the client did, or since it serves
 * nobody, as in maintenance. */
static apipool_kind_e kind_of(const apipool_request_t *req, const apipool_request_stats_t *stats)
{
    const apipool_recent_entry_t *entry = &stats->entry;
    const apr_array_header_t *own = req->pool->rules;
    return entry->ending == APIPOOL_ENDED_COMPLETE       ? APIPOOL_KIND_NONE
           : entry->ending == APIPOOL_ENDED_CLIENT_ABORT ? APIPOOL_KIND_CLIENT
           : stats->rule != APIPOOL_RULE_SUCCESS
               ? apipool_rule_kind((apipool_rule_e)stats->rule,
                                   (const apipool_custom_rule_t *)own->elts, own->nelts)
           : entry->attempt_count ? APIPOOL_KIND_UPSTREAM
           : entry->status < 500  ? APIPOOL_KIND_CLIENT
                                  : APIPOOL_KIND_KEY;
}

void apipool_outcome_complete(const apipool_request_t *req, const char *model,
                              apipool_request_stats_t *stats)
{
    const char *endpoint = req->endpoint ? req->endpoint : req->path, *user = req->r->user;
    apipool_recent_entry_t *entry = &stats->entry;

    if (user) {
        apipool_name_make(&stats->client, user, strlen(user));
    }
    if (model) {
        apipool_name_make(&stats->model, model, strlen(model));
    }
    entry->pool = req->pool->index;
    apipool_name_clean(entry->endpoint, sizeof(entry->endpoint), endpoint, strlen(endpoint));
    memcpy(entry->client, stats->client.text, sizeof(entry->client)); /* which is clean */
    memcpy(entry->model, stats->model.text, sizeof(entry->model));
    apipool_kind_e kind = kind_of(req, stats);
    entry->kind = (unsigned char)kind;
    stats->finished =
        (apipool_finished_t){.success = kind == APIPOOL_KIND_NONE,
                             .error = kind == APIPOOL_KIND_KEY || kind == APIPOOL_KIND_UPSTREAM,
                             .kind = kind,
                             .attempts = entry->attempt_count,
                             .estimated = entry->usage == APIPOOL_TOKENS_ESTIMATED,
                             .tokens = entry->tokens,
                             .first_byte = entry->first_byte,
                             .latency = entry->total};
}

const apipool_request_stats_t *apipool_request_accounting_describe(apipool_request_t *req,
                                                                   apr_time_t now)
{
    const request_rec *r = req->r;
    apipool_request_stats_t *stats = apr_pcalloc(r->pool, sizeof(*stats));
    apipool_recent_entry_t *entry = &stats->entry;

    entry->at = r->request_time;
    entry->attempt_count = (apr_uint32_t)req->attempts;
    memcpy(entry->attempts, req->trail, sizeof(entry->attempts));
    for (int i = 0; req->said && i < req->said->nelts; i++) {
        apipool_recent_said(entry, &APR_ARRAY_IDX(req->said, i, apipool_words_t));
    }
    entry->key = req->attempts ? req->attempt.lease->id : 0;
    entry->usage = (unsigned char)apipool_token_count_tokens(req, &entry->tokens);
    entry->ending = (unsigned char)find_ending(req);
    entry->status = (apr_uint16_t)r->status;
    entry->streamed = req->gate.stream.active != 0;
    entry->first_byte = req->first_byte_at ? req->first_byte_at - r->request_time : -1;
    entry->total = now - r->request_time;
    stats->rule = req->rule;
    apipool_outcome_complete(req, req->demand.model, stats);
    stats->upstream = req->attempts ? req->attempt.upstream->index : APIPOOL_NONE;
    stats->used = (apipool_client_used_t){
        .charge = req->charge, .reached = req->asked, .tokens = req->tokens};
    return stats;
}

void apipool_request_accounting_count(apipool_request_t *req)
{
    if (req->counted) {
        return;
    }
    req->counted = apipool_request_accounting_describe(req, apr_time_now());
    apr_status_t rv =
        apipool_stats_record(apipool_lifecycle_segment(), req->counted, apipool_lifecycle_now());
    if (rv == APR_SUCCESS) {
        req->charge.is_in_flight = 0;
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, req->r,
                      APIPOOL_LOG(0035) "could not acquire the shared-memory lock; a request "
                                        "was not counted");
    }
}

int apipool_request_accounting_log(request_rec *r)
{
    apipool_request_t *req = apipool_request_get(r);

    if (!req || !req->pool) {
        return DECLINED;
    }
    if (!req->reached) { /* refused by httpd: nobody has verified who asks, and no pool was asked */
        note(r, "apipool-pool", req->pool->name);
        return DECLINED;
    }
    apipool_request_accounting_count(req);
    set_notes(req, req->counted);
    return DECLINED;
}
