/* SPDX-License-Identifier: Apache-2.0
 * Routes: the pools visible here. */
#include "admin.h"

#include <apr_strings.h>

apr_array_header_t *apipool_admin_pools(const apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    const apr_array_header_t *all = apipool_admin_api->pools(r->server, r->pool);
    apr_array_header_t *pools = apr_array_make(r->pool, all->nelts, sizeof(apipool_pool_info_t));
    for (int i = 0; i < all->nelts; i++) {
        const apipool_pool_info_t *pool = &APR_ARRAY_IDX(all, i, apipool_pool_info_t);
        if (!request->conf->pools || ap_array_str_contains(request->conf->pools, pool->name)) {
            APR_ARRAY_PUSH(pools, apipool_pool_info_t) = *pool;
        }
    }
    return pools;
}

const apipool_pool_info_t *apipool_admin_find_pool(const apr_array_header_t *pools,
                                                   const char *name)
{
    for (int i = 0; i < pools->nelts; i++) {
        const apipool_pool_info_t *pool = &APR_ARRAY_IDX(pools, i, apipool_pool_info_t);
        if (!strcmp(pool->name, name)) {
            return pool;
        }
    }
    return NULL;
}

json_t *apipool_admin_pool_object(const apipool_admin_request_t *request, apr_uint32_t pool,
                                  apr_pool_t *p)
{
    json_t *object = NULL;
    apr_status_t rv = apipool_admin_api->pool(request->r->server, pool, p, &object);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, request->r,
                      APIPOOL_LOG(0116) "could not read a "
                                        "pool");
    }
    return object;
}

int apipool_admin_pools_list(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    const apr_array_header_t *pools = apipool_admin_pools(request);
    json_t *array = json_array();
    for (int i = 0; i < pools->nelts; i++) {
        apr_uint32_t index = APR_ARRAY_IDX(pools, i, apipool_pool_info_t).index;
        json_array_append_new(array, apipool_admin_pool_object(request, index, r->pool));
    }
    if (json_array_size(array) != (apr_size_t)pools->nelts) {
        json_decref(array);
        return apipool_admin_failed(request, APR_EGENERAL, "the pools cannot be listed", NULL);
    }
    return apipool_admin_reply(r, HTTP_OK, json_pack("{s:o}", "pools", array));
}

int apipool_admin_pool_show(apipool_admin_request_t *request)
{
    json_t *object = apipool_admin_pool_object(request, request->pool, request->r->pool);
    return object ? apipool_admin_reply(request->r, HTTP_OK, object)
                  : apipool_admin_failed(request, APR_EGENERAL, "the pool cannot be shown", NULL);
}

typedef struct {
    const char *message;
    apr_time_t until;
    int is_on;
} maintenance_t;

/* null ends the maintenance. */
static const apipool_json_member_t maintenance_members[] = {
    {"until", APIPOOL_JSON_TIME, .offset = offsetof(maintenance_t, until)},
    {"message", APIPOOL_JSON_STRING, .offset = offsetof(maintenance_t, message),
     .max = APIPOOL_MAINTENANCE_MESSAGE_MAX},
    {NULL}};
static const apipool_json_member_t members[] = {{"maintenance", APIPOOL_JSON_OBJECT,
                                                 .offset = offsetof(maintenance_t, is_on),
                                                 .members = maintenance_members},
                                                {NULL}};

int apipool_admin_pool_edit(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    maintenance_t wanted = {.message = ""};
    apipool_input_error_t flaw = {NULL};
    unsigned given;
    int status = apipool_admin_read_object(r, APIPOOL_ADMIN_BODY_MAX, members, &wanted, &given);
    if (status != DECLINED) {
        return status;
    }
    if (!given) {
        return apipool_admin_refuse(r, NULL, "Nothing to change: send maintenance.");
    }
    if (wanted.until && wanted.until <= apr_time_now()) {
        return apipool_admin_refuse(r, "maintenance.until", "Must be in the future.");
    }
    apipool_maintenance_t maintenance = {.until = wanted.until, .is_on = wanted.is_on};
    apr_cpystrn(maintenance.message, wanted.message, sizeof(maintenance.message));
    apr_status_t rv = apipool_admin_api->pool_maintain(request->pool, &maintenance, r->pool, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "the pool cannot be changed", &flaw);
    }
    apipool_admin_audit(request,
                        apr_psprintf(r->pool, "maintenance of pool %s %s", request->pool_name,
                                     wanted.is_on ? "begun" : "ended"),
                        NULL);
    return apipool_admin_pool_show(request);
}
