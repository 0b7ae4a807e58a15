/* SPDX-License-Identifier: Apache-2.0
 * Routes: the history of a pool, and the last requests. */
#include "admin.h"

#define REQUESTS_DEFAULT 100
#define REQUESTS_MAX     1000

static const char *const ranges[] = {"1h", "24h"};

int apipool_admin_stats_show(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    apipool_query_t query;
    apipool_input_error_t flaw;
    json_t *history;
    apipool_query_open(&query, r->pool, r->args, &flaw);
    int by_hour = apipool_query_choice(&query, "range", ranges, 2, 0);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, flaw.field, flaw.message);
    }
    apr_status_t rv = apipool_admin_api->stats(request->pool, by_hour, r->pool, &history);
    return rv == APR_SUCCESS
               ? apipool_admin_reply(r, HTTP_OK, history)
               : apipool_admin_failed(request, rv, "statistics cannot be shown", NULL);
}

int apipool_admin_requests_list(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    apipool_query_t query;
    apipool_input_error_t flaw;
    json_t *requests;
    apipool_query_open(&query, r->pool, r->args, &flaw);
    const char *name = apipool_query_string(&query, "pool", 255);
    apr_int64_t limit = apipool_query_integer(&query, "limit", 1, REQUESTS_MAX, REQUESTS_DEFAULT);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, flaw.field, flaw.message);
    }
    apr_array_header_t *pools = apipool_admin_pools(request);
    if (name) {
        const apipool_pool_info_t *pool = apipool_admin_find_pool(pools, name);
        apr_array_clear(pools);
        if (pool) {
            APR_ARRAY_PUSH(pools, apipool_pool_info_t) = *pool;
        }
    }
    if (name && !pools->nelts) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "pool_not_found", "There is no such pool.");
    }
    apr_status_t rv = apipool_admin_api->requests(pools, (apr_uint32_t)limit, r->pool, &requests);
    return rv == APR_SUCCESS
               ? apipool_admin_reply(r, HTTP_OK, json_pack("{s:o}", "requests", requests))
               : apipool_admin_failed(request, rv, "requests cannot be listed", NULL);
}
