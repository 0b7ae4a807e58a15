/* SPDX-License-Identifier: Apache-2.0
 * Bodies that hold many requests: the model that each of them names, and what they may take. */
#include "batch.h"

#include <jansson.h>
#include <stdlib.h>

#include "ascii.h"
#include "facts.h"

typedef struct {
    const apipool_request_t *req;
    int (*has_model)(const apipool_request_t *req, const char *model);
    int refused;
    apr_uint32_t count; /* requests */
    double tokens;
} batch_t;

/* As the laxest reader compares names: capitals and underscores make no difference. */
static int is_named(const char *name, const char *wanted)
{
    for (; *name; name++) {
        if (*name != '_' && apipool_ascii_lower(*name) != *wanted++) {
            return 0;
        }
    }
    return !*wanted;
}

/* Which of several members of a name an upstream takes is its own business. Returns how many there are. */
static int each_member(batch_t *batch, json_t *object, const char *wanted,
                       void (*visit)(batch_t *batch, json_t *value))
{
    const char *name;
    json_t *value;
    int count = 0;
    json_object_foreach(object, name, value)
    {
        if (is_named(name, wanted)) {
            visit(batch, value);
            count++;
        }
    }
    return count;
}

static void check_model(batch_t *batch, json_t *value)
{
    batch->refused |=
        !json_is_string(value) || !batch->has_model(batch->req, json_string_value(value));
}

static void refuse(batch_t *batch, json_t *value)
{
    batch->refused = 1;
}

static void take_limit(batch_t *batch, json_t *value)
{
    double tokens =
        json_is_string(value) ? strtod(json_string_value(value), NULL) : json_number_value(value);
    batch->tokens += tokens > 0 ? tokens : 0;
}

static void take_config(batch_t *batch, json_t *value)
{
    each_member(batch, value, "maxoutputtokens", take_limit);
}

/* One request. Where none names a model, that of the path is meant. */
static void take_request(batch_t *batch, json_t *request)
{
    double before = batch->tokens;
    batch->count++;
    if (!each_member(batch, request, "model", check_model) && !batch->req->demand.model) {
        batch->refused = 1;
    }
    each_member(batch, request, "maxtokens", take_limit);
    each_member(batch, request, "generationconfig", take_config);
    if (!(batch->tokens > before)) {
        batch->tokens += apipool_reserve_usual(batch->req, batch->req->demand.model);
    }
}

static void take_params(batch_t *batch, json_t *element)
{
    if (!each_member(batch, element, "request", take_request) &&
        !each_member(batch, element, "params", take_request)) {
        batch->refused = 1;
    }
}

/* An array of requests, or an object with one. */
static void take_requests(batch_t *batch, json_t *value)
{
    size_t i;
    json_t *element;
    json_array_foreach(value, i, element)
    {
        take_params(batch, element);
    }
    each_member(batch, value, "requests", take_requests);
}

/* What lies in a file cannot be read here. */
static void take_input(batch_t *batch, json_t *value)
{
    each_member(batch, value, "filename", refuse);
    each_member(batch, value, "requests", take_requests);
}

static void take_batch(batch_t *batch, json_t *value)
{
    each_member(batch, value, "model", check_model);
    each_member(batch, value, "inputconfig", take_input);
}

static json_t *load(const apipool_request_t *req)
{
    apr_size_t len = (apr_size_t)req->body.length;
    char *text = malloc(len + 1);
    json_t *root = NULL;
    if (text && apipool_body_read(req, 0, text, len) == APR_SUCCESS) {
        root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    }
    free(text);
    return root;
}

apipool_batch_e apipool_batch_read(const apipool_request_t *req,
                                   int (*has_model)(const apipool_request_t *req,
                                                    const char *model),
                                   apr_uint32_t *tokens)
{
    int has_list = apipool_client_restricts(&req->client->terms, APIPOOL_CLIENT_MODELS);
    batch_t batch = {.req = req, .has_model = has_model};
    *tokens = req->demand.tokens;
    if (req->body.length > APIPOOL_BATCH_SIZE_MAX) {
        return APIPOOL_BATCH_TOO_LARGE;
    }
    json_t *root = load(req);
    each_member(&batch, root, "requests", take_requests);
    each_member(&batch, root, "batch", take_batch);
    json_decref(root);
    if (batch.count) {
        double sum = apipool_reserve_prompt(req) + batch.tokens;
        *tokens = sum < APIPOOL_RESERVE_MAX ? (apr_uint32_t)sum : APIPOOL_RESERVE_MAX;
    }
    return has_list && (!batch.count || batch.refused) ? APIPOOL_BATCH_REFUSED
                                                       : APIPOOL_BATCH_ALLOWED;
}
