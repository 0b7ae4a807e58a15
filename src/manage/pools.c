/* SPDX-License-Identifier: Apache-2.0
 * Pools in the operator's API: visibility, settings, state. */
#include "manage.h"

#include <apr_strings.h>

#include "configured.h"
#include "lifecycle.h"
#include "locations.h"
#include "maintenance.h"
#include "render.h"
#include "stats.h"
#include "view.h"

/* Adds those pools of one server's configuration that another server sees. */
static void add_seen(apr_array_header_t *seen, server_rec *s, const apr_array_header_t *pools)
{
    for (int i = 0; i < pools->nelts; i++) {
        apipool_pool_conf_t *pool = APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *);
        if (apipool_config_find_pool(s, pool->name) == pool) {
            APR_ARRAY_PUSH(seen, apipool_pool_conf_t *) = pool;
        }
    }
}

/* Pools (apipool_pool_conf_t *) that a server sees. A virtual host without directives of this
 * module shares the main server's configuration. */
static apr_array_header_t *seen_by(server_rec *s, apr_pool_t *p)
{
    apr_array_header_t *seen = apr_array_make(p, 4, sizeof(apipool_pool_conf_t *));
    add_seen(seen, s, apipool_config_server(s)->pools);
    if (s->is_virtual && apipool_config_server(s) != apipool_config_server(ap_server_conf)) {
        add_seen(seen, s, apipool_config_server(ap_server_conf)->pools);
    }
    return seen;
}

apr_array_header_t *apipool_manage_pools(server_rec *s, apr_pool_t *p)
{
    const apr_array_header_t *seen = seen_by(s, p);
    apr_array_header_t *pools = apr_array_make(p, seen->nelts, sizeof(apipool_pool_info_t));
    for (int i = 0; i < seen->nelts; i++) {
        const apipool_pool_conf_t *pool = APR_ARRAY_IDX(seen, i, apipool_pool_conf_t *);
        APR_ARRAY_PUSH(pools, apipool_pool_info_t) = (apipool_pool_info_t){pool->name, pool->index};
    }
    return pools;
}

static const char *affinity_of(const apipool_pool_conf_t *pool, apr_pool_t *p)
{
    switch (pool->affinity) {
    case APIPOOL_AFFINITY_CLIENT:
        return "client";
    case APIPOOL_AFFINITY_HEADER:
        return apr_pstrcat(p, "header:", pool->affinity_name, NULL);
    case APIPOOL_AFFINITY_BODY:
        return apr_pstrcat(p, "body:", pool->affinity_name, NULL);
    default:
        return "off";
    }
}

/* Times are in seconds, as in the directives. */
static json_t *settings_of(const apipool_pool_conf_t *pool, apr_pool_t *p)
{
    const struct {
        const char *name;
        apr_interval_time_t time;
    } times[] = {
        {"deadline", pool->deadline},
        {"wait", pool->wait},
        {"first_byte_timeout", pool->first_byte_timeout},
        {"idle_timeout", pool->idle_timeout},
        {"cooldown_min", pool->policy.cooldown_min},
        {"cooldown_max", pool->policy.cooldown_max},
        {"recover_min", pool->policy.recover_min},
        {"recover_max", pool->policy.recover_max},
        {"balance_interval", pool->balance.interval},
    };
    json_t *object = json_pack(
        "{s:s,s:s,s:I,s:I,s:I}", "strategy", apipool_strategy_name(pool->strategy), "affinity",
        affinity_of(pool, p), "rotations", (json_int_t)pool->rotations, "retries",
        (json_int_t)pool->retries, "max_errors", (json_int_t)pool->policy.max_errors);
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        json_object_set_new(object, times[i].name, apipool_render_seconds(times[i].time));
    }
    json_object_set_new(object, "body_limit", json_integer(pool->body_limit));
    json_object_set_new(object, "stream_usage", json_boolean(pool->stream_usage));
    json_object_set_new(object, "failover", json_string(pool->resends ? "resend" : "safe"));
    json_object_set_new(object, "on_abort", json_string(pool->finishes ? "finish" : "close"));
    json_object_set_new(object, "limits", apipool_render_limits(&pool->limits));
    return object;
}

/* As the directive says, or a <Proxy> section, or the defaults. */
static json_t *connections_of(const apipool_upstream_conf_t *u)
{
    return json_pack(
        "{s:o,s:o,s:o,s:b,s:b,s:I}", "connect_timeout", apipool_render_seconds(u->connect_timeout),
        "ttl", apipool_render_seconds(u->ttl), "max", u->max ? json_integer(u->max) : json_null(),
        "keepalive", u->keepalive == APIPOOL_FLAG_ON, "disablereuse",
        u->disablereuse == APIPOOL_FLAG_ON, "responsefieldsize", (json_int_t)u->field_size);
}

static json_t *upstreams_of(const apipool_pool_conf_t *pool, const apr_time_t *paused_until)
{
    json_t *array = json_array();
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        const apipool_upstream_conf_t *u =
            &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t);
        json_array_append_new(array,
                              json_pack("{s:s,s:s,s:s,s:I,s:i,s:o,s:o}", "name", u->name, "url",
                                        u->url, "provider", apipool_provider_name(u->provider),
                                        "weight", (json_int_t)u->weight, "priority", u->priority,
                                        "paused_until", apipool_render_time(paused_until[u->index]),
                                        "connections", connections_of(u)));
    }
    return array;
}

static json_t *key_counts(const apr_uint32_t *keys)
{
    json_t *object = json_pack("{s:i}", "total", 0);
    json_int_t total = 0;
    for (int i = 0; i < APIPOOL_STATE_COUNT; i++) {
        total += keys[i];
        json_object_set_new(object, apipool_state_name((apipool_state_e)i), json_integer(keys[i]));
    }
    json_integer_set(json_object_get(object, "total"), total);
    return object;
}

apipool_pool_conf_t *apipool_manage_configured(server_rec *s, apr_uint32_t index, apr_pool_t *p)
{
    const apr_array_header_t *seen = seen_by(s, p);
    for (int i = 0; i < seen->nelts; i++) {
        apipool_pool_conf_t *pool = APR_ARRAY_IDX(seen, i, apipool_pool_conf_t *);
        if (pool->index == index) {
            return pool;
        }
    }
    return NULL;
}

/* Includes upstreams that are no longer configured, which may still have keys. */
apr_status_t apipool_manage_totals(apr_uint32_t pool, apr_time_t now, apipool_totals_t *sum,
                                   apr_time_t *paused_until)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apipool_totals_t totals;
    memset(sum, 0, sizeof(*sum));
    for (apr_uint32_t u = apipool_view_next_upstream(segment, pool, 0); u != APIPOOL_NONE;
         u = apipool_view_next_upstream(segment, pool, u + 1)) {
        apr_status_t rv = apipool_pool_totals(segment, u, now, &totals);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        for (int i = 0; i < APIPOOL_STATE_COUNT; i++) {
            sum->keys[i] += totals.keys[i];
        }
        sum->in_flight += totals.in_flight;
        if (paused_until) {
            paused_until[u] = totals.paused_until;
        }
    }
    return APR_SUCCESS;
}

static json_t *render_maintenance(const apipool_maintenance_t *maintenance)
{
    return maintenance->is_on
               ? json_pack("{s:o,s:o}", "until", apipool_render_time(maintenance->until), "message",
                           *maintenance->message ? json_string(maintenance->message) : json_null())
               : json_null();
}

apr_status_t apipool_manage_pool(server_rec *s, apr_uint32_t index, apr_pool_t *p, json_t **result)
{
    const apipool_pool_conf_t *pool = apipool_manage_configured(s, index, p);
    apr_time_t now = apr_time_now(),
               *paused = apr_pcalloc(p, APIPOOL_UPSTREAMS_MAX * sizeof(*paused));
    apipool_pool_snapshot_t stats;
    apipool_totals_t sum;
    apipool_maintenance_t maintenance;
    if (!pool) {
        return APR_NOTFOUND;
    }
    apr_status_t rv = apipool_stats_pool(apipool_lifecycle_segment(), index, now, &stats);
    if (rv == APR_SUCCESS) {
        rv = apipool_manage_totals(index, now, &sum, paused);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_pool_maintenance(apipool_lifecycle_segment(), index, now, &maintenance);
    }
    if (rv == APR_SUCCESS) {
        *result = json_pack("{s:s,s:o,s:o,s:I,s:o,s:s?}", "name", pool->name, "upstreams",
                            upstreams_of(pool, paused), "keys", key_counts(sum.keys), "in_flight",
                            (json_int_t)sum.in_flight, "maintenance",
                            render_maintenance(&maintenance), "fault", apipool_lifecycle_fault());
        apipool_render_counters(*result, &stats.counters);
        json_object_set_new(*result, "locations", apipool_manage_locations(s, pool));
        json_object_set_new(*result, "settings", settings_of(pool, p));
    }
    return rv;
}

static apr_status_t maintain(void *ctx)
{
    const apipool_maintenance_change_t *change = ctx;
    return apipool_pool_maintain(apipool_lifecycle_segment(), change->pool, &change->to);
}

apr_status_t apipool_manage_pool_maintain(apr_uint32_t pool,
                                          const apipool_maintenance_t *maintenance, apr_pool_t *p,
                                          apipool_input_error_t *flaw)
{
    apipool_maintenance_change_t to = {.pool = pool, .to = *maintenance};
    apipool_store_change_t change = {.maintenance = &to, .apply = maintain, .ctx = &to};
    return apipool_lifecycle_change(&change, &flaw->message, p);
}
