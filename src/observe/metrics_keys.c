/* SPDX-License-Identifier: Apache-2.0
 * The numbers of each key as Prometheus reads them, for those who ask for them. */
#include "metrics_keys.h"

#include <http_protocol.h>
#include <stddef.h>

#include "metrics.h"
#include "pace.h"

#define BATCH 256 /* keys for which the lock is held at a time */

typedef struct {
    const char *pool, *upstream;
    char id[APIPOOL_ID_SIZE];
    apipool_key_row_t row;
} shown_key_t;

apr_array_header_t *apipool_metrics_keys_make(apr_pool_t *pool)
{
    return apr_array_make(pool, BATCH, sizeof(shown_key_t));
}

apr_status_t apipool_metrics_keys_add(apr_array_header_t *keys, apipool_segment_t *segment,
                                      const char *pool, const char *upstream, apr_uint32_t group)
{
    apipool_key_row_t *rows = apr_palloc(keys->pool, BATCH * sizeof(*rows));
    apr_uint32_t from = 0, count = 0;
    while (from != APIPOOL_NONE) {
        apr_status_t rv = apipool_pool_keys(segment, group, &from, rows, BATCH, &count);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        apipool_segment_give_way(segment);
        for (apr_uint32_t i = 0; i < count; i++) {
            shown_key_t *key = apr_array_push(keys);
            key->pool = pool;
            key->upstream = upstream;
            key->row = rows[i];
            apipool_key_id_hex(rows[i].id, key->id);
        }
    }
    return APR_SUCCESS;
}

/* One series for each key. The label that they have besides is given with its value, or empty. */
static void write_numbers(request_rec *r, const apr_array_header_t *keys, const char *name,
                          const char *label, apr_size_t offset)
{
    for (int i = 0; i < keys->nelts; i++) {
        const shown_key_t *key = &APR_ARRAY_IDX(keys, i, shown_key_t);
        apr_uint64_t value = *(const apr_uint64_t *)((const char *)&key->row + offset);
        ap_rprintf(r, "%s{pool=\"%s\",upstream=\"%s\",key=\"%s\"%s} %" APR_UINT64_T_FMT "\n", name,
                   key->pool, key->upstream, key->id, label, value);
        apipool_pace();
    }
}

static void write_states(request_rec *r, const apr_array_header_t *keys)
{
    apipool_metrics_head(r, "apipool_key_state", "gauge", "1 for the state that a key is in.");
    for (int i = 0; i < keys->nelts; i++) {
        const shown_key_t *key = &APR_ARRAY_IDX(keys, i, shown_key_t);
        ap_rprintf(r, "apipool_key_state{pool=\"%s\",upstream=\"%s\",key=\"%s\",state=\"%s\"} 1\n",
                   key->pool, key->upstream, key->id, apipool_state_name(key->row.state));
        apipool_pace();
    }
}

void apipool_metrics_keys_write(request_rec *r, const apr_array_header_t *keys)
{
    static const struct {
        const char *label;
        apr_size_t offset;
    } types[] = {
        {",type=\"prompt\"", offsetof(apipool_key_row_t, prompt)},
        {",type=\"completion\"", offsetof(apipool_key_row_t, completion)},
        {",type=\"cached\"", offsetof(apipool_key_row_t, cached)},
    };

    apipool_metrics_head(r, "apipool_key_requests_total", "counter",
                         "Attempts with a key that are over.");
    write_numbers(r, keys, "apipool_key_requests_total", "", offsetof(apipool_key_row_t, requests));
    apipool_metrics_head(r, "apipool_key_errors_total", "counter",
                         "Attempts whose end was held against the key.");
    write_numbers(r, keys, "apipool_key_errors_total", "", offsetof(apipool_key_row_t, errors));
    apipool_metrics_head(r, "apipool_key_tokens_total", "counter",
                         "Tokens as upstreams reported them, by type.");
    for (apr_size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        write_numbers(r, keys, "apipool_key_tokens_total", types[i].label, types[i].offset);
    }
    apipool_metrics_head(r, "apipool_key_in_flight", "gauge", "Attempts that are under way.");
    write_numbers(r, keys, "apipool_key_in_flight", "", offsetof(apipool_key_row_t, in_flight));
    write_states(r, keys);
}
