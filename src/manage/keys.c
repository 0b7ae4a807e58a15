/* SPDX-License-Identifier: Apache-2.0
 * Keys in the operator's API: pages, single keys, and revealing a key. */
#include "manage.h"

#include <apr_strings.h>

#include "configured.h"
#include "lifecycle.h"
#include "listing.h"
#include "render.h"
#include "throttle.h"

static json_t *last_error_of(const apipool_key_info_t *key)
{
    return key->last_error_at
               ? json_pack("{s:o,s:o,s:o,s:o,s:o}", "at", apipool_render_time(key->last_error_at),
                           "status",
                           key->last_status ? json_integer(key->last_status) : json_null(), "rule",
                           apipool_render_text(key->last_rule), "message",
                           apipool_render_text(key->last_message), "vendor",
                           apipool_render_vendor(key->last_status, key->last_words))
               : json_null();
}

static json_t *balance_of(const apipool_key_info_t *key)
{
    const apipool_amount_t *largest = key->balances.of;
    return key->balance_at ? json_pack("{s:f,s:o,s:o,s:o}", "amount", largest->amount, "currency",
                                       apipool_render_text(largest->currency), "amounts",
                                       apipool_render_balances(&key->balances), "checked_at",
                                       apipool_render_time(key->balance_at))
                           : json_null();
}

/* Limits of the pool, for keys without their own; none where it is configured no more. */
static apipool_key_limits_t defaults_of(server_rec *s, apr_uint32_t pool, apr_pool_t *p)
{
    const apipool_pool_conf_t *conf = apipool_manage_configured(s, pool, p);
    return conf ? conf->limits : (apipool_key_limits_t){0};
}

static json_t *render(const apipool_segment_t *segment, apr_uint32_t pool,
                      const apipool_key_limits_t *defaults, const apipool_view_key_t *view)
{
    const apipool_key_info_t *key = &view->info;
    int has_reason = key->state != APIPOOL_STATE_ACTIVE && key->state != APIPOOL_STATE_DISABLED &&
                     key->state != APIPOOL_STATE_ORPHANED;
    const char *reason = has_reason ? key->reason : NULL;
    json_t *object =
        json_pack("{s:o,s:s,s:s,s:o,s:o,s:o,s:I,s:s,s:b,s:o}", "id", apipool_render_id(key->id),
                  "masked", key->masked, "pool", apipool_view_pool_name(segment, pool), "upstream",
                  apipool_render_text(apipool_view_upstream_name(segment, view->upstream)), "label",
                  apipool_render_text(view->label), "account", apipool_render_text(view->account),
                  "weight", (json_int_t)key->weight, "state", apipool_state_name(key->state),
                  "enabled", key->is_enabled, "reason", apipool_render_text(reason));
    apipool_render_add(
        object, json_pack("{s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:I}", "cooling_until",
                          apipool_render_time(key->cooling_until), "next_probe_at",
                          apipool_render_time(key->next_probe_at), "added_at",
                          apipool_render_time(key->added_at), "last_used_at",
                          apipool_render_time(key->last_used_at), "last_error", last_error_of(key),
                          "successes", (json_int_t)key->counters.successes, "consecutive_errors",
                          (json_int_t)key->error_streak, "in_flight", (json_int_t)key->in_flight));
    json_object_set_new(object, "reason_code",
                        apipool_render_text(reason ? key->reason_code : NULL));
    apipool_render_counters(object, &key->counters);
    json_object_set_new(object, "balance", balance_of(key));
    json_object_set_new(object, "limits", apipool_render_limits(&key->limits));
    const apipool_key_limits_t in_force = apipool_view_limits(&key->limits, defaults);
    json_object_set_new(object, "limits_in_force", apipool_render_limits(&in_force));
    return object;
}

/* Leaves out keys that were removed since the list was made. */
static apr_status_t render_page(apipool_segment_t *segment, apr_uint32_t pool,
                                const apipool_key_limits_t *defaults,
                                const apipool_listed_t *listed, apr_uint32_t count, apr_time_t now,
                                apr_pool_t *p, json_t *array)
{
    apr_uint64_t *ids = apr_palloc(p, count * sizeof(*ids));
    apr_uint32_t *slots = apr_palloc(p, count * sizeof(*slots));
    apipool_view_key_t *copies = apr_palloc(p, count * sizeof(*copies));
    for (apr_uint32_t i = 0; i < count; i++) {
        ids[i] = listed[i].id;
        slots[i] = listed[i].slot;
    }
    apr_status_t rv = apipool_view_keys(segment, pool, ids, slots, count, now, copies);
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < count; i++) {
        if (copies[i].found) {
            json_array_append_new(array, render(segment, pool, defaults, &copies[i]));
            apipool_throttle();
        }
    }
    return rv;
}

apr_status_t apipool_manage_keys(server_rec *s, apr_uint32_t pool, const apipool_key_query_t *query,
                                 apr_pool_t *p, json_t **result)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apr_time_t now = apr_time_now();
    apr_array_header_t *listed;
    apr_status_t rv =
        apipool_listing_find(segment, pool, &query->filter, query->sort, now, p, &listed);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_uint32_t shown =
        apipool_listing_sort(listed, query->sort, query->descending, query->offset, query->limit);
    json_t *array = json_array();
    if (shown) {
        const apipool_key_limits_t defaults = defaults_of(s, pool, p);
        rv = render_page(segment, pool, &defaults, (apipool_listed_t *)listed->elts + query->offset,
                         shown, now, p, array);
    }
    *result = json_pack("{s:i,s:I,s:o}", "total", listed->nelts, "offset",
                        (json_int_t)query->offset, "keys", array);
    if (rv != APR_SUCCESS) {
        json_decref(*result);
    }
    return rv;
}

apr_status_t apipool_manage_key(server_rec *s, apr_uint32_t pool, apr_uint64_t id, apr_pool_t *p,
                                json_t **result)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apipool_view_key_t key;
    apr_status_t rv = apipool_view_keys(segment, pool, &id, NULL, 1, apr_time_now(), &key);
    if (rv != APR_SUCCESS || !key.found) {
        return rv != APR_SUCCESS ? rv : APR_NOTFOUND;
    }
    const apipool_key_limits_t defaults = defaults_of(s, pool, p);
    *result = render(segment, pool, &defaults, &key);
    return APR_SUCCESS;
}

apr_status_t apipool_manage_key_reveal(apr_uint32_t pool, apr_uint64_t id, apr_pool_t *p,
                                       char **key)
{
    apipool_lease_t secret = {.longest = 0};
    apr_status_t rv = apipool_view_secret(apipool_lifecycle_segment(), pool, id, &secret);
    *key = rv == APR_SUCCESS ? apr_pstrmemdup(p, secret.key, secret.len) : NULL;
    apipool_lease_wipe(&secret);
    return rv;
}
