/* SPDX-License-Identifier: Apache-2.0
 * What is told of pools: which a server sees, what they are configured to do, how they are. */
#include "manage.h"

#include <apr_strings.h>

#include "configured.h"
#include "lasting.h"
#include "stats.h"
#include "view.h"

static const apipool_server_conf_t *conf_of(server_rec *s)
{
    return ap_get_module_config(s->module_config, &apipool_module);
}

/* Those of one server's configuration that another one sees. */
static void add_seen(apr_array_header_t *seen, server_rec *s, const apr_array_header_t *pools)
{
    for (int i = 0; i < pools->nelts; i++) {
        apipool_pool_t *pool = APR_ARRAY_IDX(pools, i, apipool_pool_t *);
        if (apipool_config_find_pool(s, pool->name) == pool) {
            APR_ARRAY_PUSH(seen, apipool_pool_t *) = pool;
        }
    }
}

/* apipool_pool_t *. A virtual host without directives of ours shares the main server's configuration. */
static apr_array_header_t *seen_by(server_rec *s, apr_pool_t *p)
{
    apr_array_header_t *seen = apr_array_make(p, 4, sizeof(apipool_pool_t *));
    add_seen(seen, s, conf_of(s)->pools);
    if (s->is_virtual && conf_of(s) != conf_of(ap_server_conf)) {
        add_seen(seen, s, conf_of(ap_server_conf)->pools);
    }
    return seen;
}

apr_array_header_t *apipool_manage_pools(server_rec *s, apr_pool_t *p)
{
    const apr_array_header_t *seen = seen_by(s, p);
    apr_array_header_t *pools = apr_array_make(p, seen->nelts, sizeof(apipool_pool_info_t));
    for (int i = 0; i < seen->nelts; i++) {
        const apipool_pool_t *pool = APR_ARRAY_IDX(seen, i, apipool_pool_t *);
        apipool_pool_info_t *info = apr_array_push(pools);
        memset(info, 0, sizeof(*info));
        info->name = pool->name;
        info->index = pool->index;
    }
    return pools;
}

static const char *affinity_of(const apipool_pool_t *pool, apr_pool_t *p)
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

static void fill_settings(const apipool_pool_t *pool, apr_pool_t *p, apipool_settings_info_t *info)
{
    info->strategy = apipool_strategy_name(pool->strategy);
    info->affinity = affinity_of(pool, p);
    info->rotations = pool->rotations;
    info->retries = pool->retries;
    info->max_errors = pool->policy.max_errors;
    info->deadline = pool->deadline;
    info->wait = pool->wait;
    info->first_byte_timeout = pool->first_byte_timeout;
    info->idle_timeout = pool->idle_timeout;
    info->cooldown_min = pool->policy.cooldown_min;
    info->cooldown_max = pool->policy.cooldown_max;
    info->recover_min = pool->policy.recover_min;
    info->recover_max = pool->policy.recover_max;
    info->balance_interval = pool->balance.interval;
    info->body_limit = pool->body_limit;
    info->stream_usage = pool->stream_usage;
    info->limits = pool->limits;
}

static void add_upstream(const apipool_upstream_t *upstream, apr_array_header_t *infos)
{
    apipool_upstream_info_t *info = apr_array_push(infos);
    info->name = upstream->name;
    info->url = upstream->url;
    info->provider = apipool_provider_name(upstream->provider);
    info->weight = upstream->weight;
    info->priority = upstream->priority;
    info->paused_until = 0;
}

/* Of a group whose upstream is not configured any more there are keys, but nothing else to be told. */
static void add_totals(const apipool_pool_t *pool, apr_uint32_t group,
                       const apipool_totals_t *totals, apipool_pool_info_t *info)
{
    for (int state = 0; state < APIPOOL_STATE_COUNT; state++) {
        info->keys[state] += totals->keys[state];
    }
    info->in_flight += totals->in_flight;
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        if (APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t).group == group) {
            APR_ARRAY_IDX(info->upstreams, i, apipool_upstream_info_t).paused_until =
                totals->paused_until;
        }
    }
}

static apr_status_t fill_numbers(const apipool_pool_t *pool, apipool_pool_info_t *info)
{
    apipool_segment_t *segment = apipool_lasting_segment();
    apr_time_t now = apr_time_now();
    apipool_pool_snapshot_t stats;
    apipool_totals_t totals;
    apr_status_t rv = apipool_stats_pool(segment, pool->index, now, &stats);
    if (rv == APR_SUCCESS) {
        info->numbers = stats.numbers;
    }
    apr_uint32_t group = apipool_view_next_group(segment, pool->index, 0);
    while (rv == APR_SUCCESS && group != APIPOOL_NONE) {
        rv = apipool_pool_totals(segment, group, now, &totals);
        if (rv == APR_SUCCESS) {
            add_totals(pool, group, &totals, info);
        }
        group = apipool_view_next_group(segment, pool->index, group + 1);
    }
    return rv;
}

apipool_pool_t *apipool_manage_configured(server_rec *s, apr_uint32_t index, apr_pool_t *p)
{
    const apr_array_header_t *seen = seen_by(s, p);
    for (int i = 0; i < seen->nelts; i++) {
        apipool_pool_t *pool = APR_ARRAY_IDX(seen, i, apipool_pool_t *);
        if (pool->index == index) {
            return pool;
        }
    }
    return NULL;
}

apr_status_t apipool_manage_pool(server_rec *s, apr_uint32_t index, apr_pool_t *p,
                                 apipool_pool_info_t *info)
{
    const apipool_pool_t *pool = apipool_manage_configured(s, index, p);
    if (!pool) {
        return APR_NOTFOUND;
    }
    memset(info, 0, sizeof(*info));
    info->name = pool->name;
    info->index = index;
    info->upstreams = apr_array_make(p, pool->upstreams->nelts, sizeof(apipool_upstream_info_t));
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        add_upstream(&APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t), info->upstreams);
    }
    fill_settings(pool, p, &info->settings);
    return fill_numbers(pool, info);
}
