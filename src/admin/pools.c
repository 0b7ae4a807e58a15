/* SPDX-License-Identifier: Apache-2.0
 * Routes: the pools that may be seen here. */
#include "admin.h"

#include <apr_strings.h>

#include "render.h"

static int is_allowed(const apipool_admin_conf_t *conf, const char *name)
{
    for (int i = 0; conf->pools && i < conf->pools->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(conf->pools, i, const char *), name)) {
            return 1;
        }
    }
    return !conf->pools;
}

apr_array_header_t *apipool_admin_pools(const apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    const apr_array_header_t *all = apipool_admin_api->pools(r->server, r->pool);
    apr_array_header_t *pools = apr_array_make(r->pool, all->nelts, sizeof(apipool_pool_info_t));
    for (int i = 0; i < all->nelts; i++) {
        const apipool_pool_info_t *pool = &APR_ARRAY_IDX(all, i, apipool_pool_info_t);
        if (is_allowed(ask->conf, pool->name)) {
            APR_ARRAY_PUSH(pools, apipool_pool_info_t) = *pool;
        }
    }
    return pools;
}

const apipool_pool_info_t *apipool_admin_find_pool(const apipool_ask_t *ask, const char *name)
{
    const apr_array_header_t *pools = apipool_admin_pools(ask);
    for (int i = 0; i < pools->nelts; i++) {
        const apipool_pool_info_t *pool = &APR_ARRAY_IDX(pools, i, apipool_pool_info_t);
        if (!strcmp(pool->name, name)) {
            return pool;
        }
    }
    return NULL;
}

static json_t *upstream_objects(const apr_array_header_t *upstreams)
{
    json_t *array = json_array();
    for (int i = 0; i < upstreams->nelts; i++) {
        const apipool_upstream_info_t *u = &APR_ARRAY_IDX(upstreams, i, apipool_upstream_info_t);
        json_array_append_new(
            array, json_pack("{s:s,s:s,s:s,s:I,s:i,s:o}", "name", u->name, "url", u->url,
                             "provider", u->provider, "weight", (json_int_t)u->weight, "priority",
                             u->priority, "paused_until", apipool_render_time(u->paused_until)));
    }
    return array;
}

static json_t *key_counts(const apr_uint32_t *keys)
{
    json_t *object = json_object();
    apr_uint64_t total = 0;
    for (int i = 0; i < APIPOOL_STATE_COUNT; i++) {
        total += keys[i];
    }
    json_object_set_new(object, "total", json_integer((json_int_t)total));
    for (int i = 0; i < APIPOOL_STATE_COUNT; i++) {
        json_object_set_new(object, apipool_render_state((apipool_state_e)i),
                            json_integer(keys[i]));
    }
    return object;
}

/* Times in seconds, as the directives have them. */
static json_t *settings_object(const apipool_settings_info_t *s)
{
    json_t *object = json_object();
    json_object_set_new(object, "strategy", apipool_render_text(s->strategy));
    json_object_set_new(object, "affinity", apipool_render_text(s->affinity));
    json_object_set_new(object, "rotations", json_integer(s->rotations));
    json_object_set_new(object, "retries", json_integer(s->retries));
    json_object_set_new(object, "max_errors", json_integer(s->max_errors));
    json_object_set_new(object, "deadline", apipool_render_seconds(s->deadline));
    json_object_set_new(object, "wait", apipool_render_seconds(s->wait));
    json_object_set_new(object, "first_byte_timeout",
                        apipool_render_seconds(s->first_byte_timeout));
    json_object_set_new(object, "idle_timeout", apipool_render_seconds(s->idle_timeout));
    json_object_set_new(object, "cooldown_min", apipool_render_seconds(s->cooldown_min));
    json_object_set_new(object, "cooldown_max", apipool_render_seconds(s->cooldown_max));
    json_object_set_new(object, "recover_min", apipool_render_seconds(s->recover_min));
    json_object_set_new(object, "recover_max", apipool_render_seconds(s->recover_max));
    json_object_set_new(object, "balance_interval", apipool_render_seconds(s->balance_interval));
    json_object_set_new(object, "body_limit", json_integer(s->body_limit));
    json_object_set_new(object, "stream_usage", json_boolean(s->stream_usage));
    json_object_set_new(object, "limits", apipool_render_limits(&s->limits));
    return object;
}

json_t *apipool_admin_pool_object(const apipool_ask_t *ask, apr_uint32_t pool, apr_pool_t *p,
                                  apipool_pool_info_t *info)
{
    apr_status_t rv = apipool_admin_api->pool(ask->r->server, pool, p, info);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, ask->r, APIPOOL_LOG(0116) "a pool cannot be read");
        return NULL;
    }
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(info->name));
    json_object_set_new(object, "upstreams", upstream_objects(info->upstreams));
    json_object_set_new(object, "keys", key_counts(info->keys));
    json_object_set_new(object, "in_flight", json_integer(info->in_flight));
    apipool_render_numbers(object, &info->numbers);
    json_object_set_new(object, "settings", settings_object(&info->settings));
    return object;
}

int apipool_admin_pools_list(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_query_t query;
    apipool_flaw_t flaw;
    apipool_query_open(&query, r->pool, r->args, &flaw);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, &flaw);
    }
    const apr_array_header_t *pools = apipool_admin_pools(ask);
    json_t *array = json_array();
    for (int i = 0; i < pools->nelts; i++) {
        apipool_pool_info_t info;
        apr_uint32_t index = APR_ARRAY_IDX(pools, i, apipool_pool_info_t).index;
        json_array_append_new(array, apipool_admin_pool_object(ask, index, r->pool, &info));
    }
    if (json_array_size(array) != (apr_size_t)pools->nelts) {
        json_decref(array);
        return apipool_admin_failed(r, APR_EGENERAL, "the pools cannot be listed", NULL);
    }
    return apipool_admin_reply(r, HTTP_OK, json_pack("{s:o}", "pools", array));
}

int apipool_admin_pool_show(apipool_ask_t *ask)
{
    apipool_pool_info_t info;
    json_t *object = apipool_admin_pool_object(ask, ask->pool, ask->r->pool, &info);
    return object ? apipool_admin_reply(ask->r, HTTP_OK, object)
                  : apipool_admin_failed(ask->r, APR_EGENERAL, "the pool cannot be shown", NULL);
}
