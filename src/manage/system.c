/* SPDX-License-Identifier: Apache-2.0
 * State of the module in the operator's API: capacity and saving. */
#include "manage.h"

#include <apr_file_io.h>

#include "lifecycle.h"
#include "render.h"
#include "rights.h"
#include "segment.h"
#include "store.h"

apr_status_t apipool_manage_system(json_t **result)
{
    const apipool_segment_t *segment = apipool_lifecycle_segment();
    const apipool_store_t *store = apipool_lifecycle_store();
    apipool_store_health_t health;
    const char *fault = apipool_lifecycle_fault();
    if (!segment || (!store && !fault)) {
        return APR_EGENERAL;
    }
    apipool_segment_store_health(segment, &health);
    *result =
        json_pack("{s:{s:I,s:I,s:I},s:{s:I,s:I,s:f,s:o,s:b,s:s?}}", "capacity", "keys",
                  (json_int_t)apipool_segment_capacity(segment), "clients",
                  (json_int_t)apipool_segment_clients(segment), "requests",
                  (json_int_t)apipool_segment_recent(segment), "store", "saves",
                  (json_int_t)health.saves, "errors", (json_int_t)health.errors, "save_seconds",
                  health.seconds, "last_saved_at", apipool_render_time(health.last_at),
                  "unsaved_keys", store && apipool_store_has_unsaved_keys(store), "fault", fault);
    return APR_SUCCESS;
}

apr_status_t apipool_manage_can_read(struct server_rec *s, const char *path, apr_pool_t *p)
{
    apipool_store_settings_t settings;
    apipool_rights_t rights;
    apr_file_t *file;
    apipool_config_store(s, &settings);
    apr_status_t rv = apipool_rights_drop(&settings.owner, &rights, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, p);
    apipool_rights_restore(&rights);
    if (rv == APR_SUCCESS) {
        apr_file_close(file);
    }
    return rv;
}
