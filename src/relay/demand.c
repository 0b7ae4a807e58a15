/* SPDX-License-Identifier: Apache-2.0
 * What a request asks of its pool: which upstreams, for which model, bound to which session. */
#include "demand.h"

#include <apr_strings.h>
#include <jansson.h>

#include "body.h"
#include "modelpath.h"
#include "reserve.h"

#define OPTIONS_MAX 4096 /* bytes of stream_options that are looked at */

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

    if (!req->pool->stream_usage || req->body.kind != APIPOOL_SNIFF_JSON || len < 12 ||
        strcmp(req->path + len - 12, "/completions") ||
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

void apipool_demand_make(apipool_request_t *req)
{
    req->demand.model = find_model(req);
    req->demand.session = find_session(req);
    req->demand.tokens = apipool_reserve_tokens(req);
    req->demand.client = apipool_hash(client_of(req->r));
    req->demand.ask_usage = ask_usage(req);
    req->demand.refused_by = APIPOOL_NONE;
}

static apr_uint64_t model_at(const apipool_request_t *req, const apipool_upstream_t *upstream)
{
    const apipool_model_name_t *renamed = apipool_config_renamed(upstream, req->demand.model);
    const char *model = renamed ? renamed->to : req->demand.model;
    return model ? apipool_hash(model) : 0;
}

void apipool_demand_wanted(const apipool_request_t *req, apr_uint32_t without,
                           apipool_source_t *sources, apipool_wanted_t *wanted)
{
    const apipool_pool_t *pool = req->pool;
    memset(wanted, 0, sizeof(*wanted));
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        const apipool_upstream_t *upstream = &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t);
        if (upstream->group != without) {
            apipool_source_t *source = &sources[wanted->source_count++];
            source->group = upstream->group;
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
