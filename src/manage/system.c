/* SPDX-License-Identifier: Apache-2.0
 * State of the module in the operator's API: capacity and saving. */
#include "manage.h"

#include "lifecycle.h"
#include "render.h"
#include "segment.h"
#include "store.h"

apr_status_t apipool_manage_system(json_t **result)
{
    const apipool_segment_t *segment = apipool_lifecycle_segment();
    const apipool_store_t *store = apipool_lifecycle_store();
    apipool_store_health_t health;
    if (!segment || !store) {
        return APR_EGENERAL;
    }
    apipool_segment_store_health(segment, &health);
    *result = json_pack(
        "{s:{s:I,s:I,s:I},s:{s:I,s:I,s:f,s:o,s:b}}", "capacity", "keys",
        (json_int_t)apipool_segment_capacity(segment), "clients",
        (json_int_t)apipool_segment_clients(segment), "requests",
        (json_int_t)apipool_segment_recent(segment), "store", "saves", (json_int_t)health.saves,
        "errors", (json_int_t)health.errors, "save_seconds", health.seconds, "last_saved_at",
        apipool_render_time(health.last_at), "unsaved_keys", apipool_store_has_unsaved_keys(store));
    return APR_SUCCESS;
}
