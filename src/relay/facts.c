/* SPDX-License-Identifier: Apache-2.0
 * What a request asks of its pool: which upstreams, for which model, bound to which session, and how many
 * tokens are set aside until it is known how many it took. */
#include "facts.h"

#include <apr_strings.h>
#include <jansson.h>
#include <stdlib.h>

#include "body.h"
#include "model_path.h"

#define OPTIONS_MAX 4096 /* bytes of stream_options that are looked at */

/* Four bytes of a prompt make about one token, and those of an image's text form fewer. */
#define BYTES_PER_TOKEN 4
#define PROMPT_MAX      32768
#define ANSWER_MIN      1024
#define ANSWER_UNKNOWN  4096 /* where no model has answered lately */
#define ANSWER_MAX      131072
#define ANSWERS_MAX     128 /* to one request */
#define PIECE           4096

static const char *text_of(const apipool_sniffed_t *sniffed)
{
    return sniffed->kind == APIPOOL_SNIFF_STRING && *sniffed->text ? sniffed->text : NULL;
}

static const char *find_model(const apipool_request_t *req)
{
    char name[APIPOOL_SNIFF_TEXT_USUAL + 1];
    return apipool_model_in_path(req->path, name, sizeof(name))
               ? apr_pstrdup(req->r->pool, name)
               : text_of(&req->body.sniffed[APIPOOL_BODY_MODEL]);
}

/* Who authenticated, else the address. */
static const char *client_of(const request_rec *r)
{
    return r->user ? r->user : r->useragent_ip;
}

static apr_uint64_t find_session(const apipool_request_t *req)
{
    const request_rec *r = req->r;
    const char *session = NULL;
    switch (req->pool->affinity) {
    case APIPOOL_AFFINITY_OFF:
        return 0;
    case APIPOOL_AFFINITY_CLIENT:
        session = client_of(r);
        break;
    case APIPOOL_AFFINITY_HEADER:
        session = apr_table_get(r->headers_in, req->pool->affinity_name);
        break;
    case APIPOOL_AFFINITY_BODY:
        session = text_of(&req->body.sniffed[apipool_body_session(req->pool)]);
        break;
    }
    return session ? apipool_hash(session) : 0;
}

/* Puts include_usage into stream_options, unless the client has said what it wants. */
static const char *add_to_options(apipool_request_t *req, const apipool_sniffed_t *options)
{
    char text[OPTIONS_MAX];
    json_error_t ignored;
    const char *added = NULL;
    if (options->len > OPTIONS_MAX ||
        apipool_body_read(req, options->at, text, (apr_size_t)options->len) != APR_SUCCESS) {
        return NULL;
    }
    json_t *root = json_loadb(text, (apr_size_t)options->len, 0, &ignored);
    if (json_is_object(root) && !json_object_get(root, "include_usage")) {
        added = json_object_size(root) ? "\"include_usage\":true," : "\"include_usage\":true";
    }
    json_decref(root);
    return added;
}

/* For streamed chat/completions and completions whose client does not ask for usage. */
static apipool_splice_t ask_usage(apipool_request_t *req)
{
    const apipool_sniffed_t *options = &req->body.sniffed[APIPOOL_BODY_STREAM_OPTIONS];
    apipool_splice_t splice = {.at = options->at};
    apr_size_t len = strlen(req->path);

    if (!req->pool->stream_usage || req->body.wire || req->body.kind != APIPOOL_SNIFF_JSON ||
        len < 12 || strcmp(req->path + len - 12, "/completions") ||
        req->body.sniffed[APIPOOL_BODY_STREAM].kind != APIPOOL_SNIFF_TRUE || options->times > 1) {
        return splice;
    }
    switch (options->kind) {
    case APIPOOL_SNIFF_ABSENT:
        splice.at = req->body.inside;
        splice.text = "\"stream_options\":{\"include_usage\":true},";
        break;
    case APIPOOL_SNIFF_NULL:
        splice.len = options->len;
        splice.text = "{\"include_usage\":true}";
        break;
    case APIPOOL_SNIFF_OBJECT:
        splice.at++;
        splice.text = add_to_options(req, options);
        break;
    default:
        break;
    }
    return splice;
}

/* What a request says of its answers; 0 where it says nothing, or what its upstream is going to refuse. */
typedef struct {
    double tokens, answers;
} said_t;

/* Forms have text for numbers, and so may Gemini's JSON. */
static double number_of(const apipool_sniffed_t *sniffed)
{
    char *end;
    if (sniffed->times > 1) { /* nobody knows which of them counts */
        return ANSWER_MAX;
    }
    if (sniffed->kind != APIPOOL_SNIFF_NUMBER && sniffed->kind != APIPOOL_SNIFF_STRING) {
        return 0;
    }
    double number = strtod(sniffed->text, &end);
    return end[strspn(end, " \t\r\n")] || !(number > 0) ? 0 : number;
}

static void take_larger(double *number, const apipool_sniffed_t *sniffed)
{
    double other = number_of(sniffed);
    *number = other > *number ? other : *number;
}

static void read_config(const apipool_request_t *req, const apipool_sniffed_t *config, said_t *said)
{
    static const apipool_sniff_name_t names[] = {
        {.name = "maxoutputtokens", .any_case = 1, .slot = 0},
        {.name = "max_output_tokens", .any_case = 1, .slot = 1},
        {.name = "candidatecount", .any_case = 1, .slot = 2},
        {.name = "candidate_count", .any_case = 1, .slot = 3}};
    apipool_sniffed_t wanted[4];
    apipool_sniff_t sniff;
    char piece[PIECE];

    apipool_sniff_begin(&sniff, NULL, names, 4, wanted, NULL, req->r->pool);
    for (apr_off_t at = 0; at < config->len; at += PIECE) {
        apr_off_t left = config->len - at;
        apr_size_t len = left < PIECE ? (apr_size_t)left : PIECE;
        if (apipool_body_read(req, config->at + at, piece, len) != APR_SUCCESS) {
            break;
        }
        apipool_sniff_feed(&sniff, piece, len);
    }
    for (int i = 0; i < 4; i++) {
        take_larger(i < 2 ? &said->tokens : &said->answers, &wanted[i]);
    }
}

static said_t find_said(const apipool_request_t *req)
{
    const apipool_sniffed_t *sniffed = req->body.sniffed;
    said_t said = {0, 0};
    for (int i = APIPOOL_BODY_MAX_TOKENS; i <= APIPOOL_BODY_BEST_OF; i++) {
        take_larger(i < APIPOOL_BODY_N ? &said.tokens : &said.answers, &sniffed[i]);
    }
    for (int i = APIPOOL_BODY_GENERATION_CONFIG; i <= APIPOOL_BODY_GENERATION_CONFIG_SNAKE; i++) {
        if (sniffed[i].times > 1) {
            said.tokens = ANSWER_MAX;
        }
        if (sniffed[i].kind == APIPOOL_SNIFF_OBJECT) {
            read_config(req, &sniffed[i], &said);
        }
    }
    return said;
}

apr_uint32_t apipool_reserve_usual(const apipool_request_t *req, const char *model)
{
    apr_uint32_t largest = apipool_stats_largest_answer(
        apipool_lifecycle_segment(), req->pool->index, model, apipool_lifecycle_now());
    return !largest               ? ANSWER_UNKNOWN
           : largest < ANSWER_MIN ? ANSWER_MIN
           : largest > ANSWER_MAX ? ANSWER_MAX
                                  : largest;
}

static apr_uint32_t reserve_prompt(apr_uint64_t bytes)
{
    apr_uint64_t prompt = bytes / BYTES_PER_TOKEN;
    return (apr_uint32_t)(prompt < PROMPT_MAX ? prompt : PROMPT_MAX) + 1;
}

apr_uint32_t apipool_reserve_prompt(const apipool_request_t *req)
{
    return reserve_prompt((apr_uint64_t)req->body.length);
}

apr_uint32_t apipool_reserve_turn(const apipool_request_t *req, const char *model,
                                  apr_uint64_t bytes, apr_int64_t answer)
{
    return reserve_prompt(bytes) + (answer < 1            ? apipool_reserve_usual(req, model)
                                    : answer > ANSWER_MAX ? ANSWER_MAX
                                                          : (apr_uint32_t)answer);
}

static apr_uint32_t reserve_tokens(const apipool_request_t *req)
{
    if (!req->body.length || !apipool_endpoint_generates(req->kind)) {
        return 1;
    }
    apr_uint32_t prompt = apipool_reserve_prompt(req);
    if (req->kind == APIPOOL_ENDPOINT_EMBEDDINGS || req->kind == APIPOOL_ENDPOINT_RERANK) {
        return prompt;
    }
    said_t said = find_said(req);
    double answers = said.answers < 1 ? 1 : said.answers > ANSWERS_MAX ? ANSWERS_MAX : said.answers;
    double tokens = said.tokens > ANSWER_MAX ? ANSWER_MAX : said.tokens;
    tokens = tokens >= 1 ? tokens : apipool_reserve_usual(req, req->demand.model);
    return prompt + (apr_uint32_t)(tokens * answers);
}

void apipool_facts_make(apipool_request_t *req)
{
    req->demand.model = find_model(req);
    req->demand.session = find_session(req);
    req->demand.tokens = reserve_tokens(req);
    req->demand.client = apipool_hash(client_of(req->r));
    req->demand.ask_usage = ask_usage(req);
    req->demand.refused_by = APIPOOL_NONE;
}

static apr_uint64_t model_at(const apipool_request_t *req, const apipool_upstream_conf_t *upstream)
{
    const apipool_model_name_t *renamed = apipool_config_renamed(upstream, req->demand.model);
    const char *model = renamed ? renamed->to : req->demand.model;
    return model ? apipool_hash(model) : 0;
}

void apipool_facts_wanted(const apipool_request_t *req, apr_uint32_t without,
                          apipool_source_t *sources, apipool_lend_request_t *wanted)
{
    const apipool_pool_conf_t *pool = req->pool;
    memset(wanted, 0, sizeof(*wanted));
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        const apipool_upstream_conf_t *upstream =
            &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t);
        if (upstream->index != without) {
            apipool_source_t *source = &sources[wanted->source_count++];
            source->upstream = upstream->index;
            source->weight = upstream->weight;
            source->priority = upstream->priority;
            source->model = model_at(req, upstream);
        }
    }
    wanted->pool = pool->index;
    wanted->sources = sources;
    wanted->strategy = apipool_config_strategy(pool, req->endpoint);
    wanted->affinity = req->demand.session;
    wanted->tokens = req->demand.tokens;
    wanted->client = req->demand.client;
    wanted->limits = &pool->limits;
    wanted->waits_for = req->demand.model ? apipool_hash(req->demand.model) : 0;
    wanted->waiter = APIPOOL_NONE;
}
