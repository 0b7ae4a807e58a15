/* SPDX-License-Identifier: Apache-2.0
 * What is told of the module as a whole: how saving goes, and how much room there is. */
#include "manage.h"

#include "lasting.h"
#include "segment.h"
#include "store.h"

apr_status_t apipool_manage_system(apipool_system_info_t *info)
{
    const apipool_segment_t *segment = apipool_lasting_segment();
    const apipool_store_t *store = apipool_lasting_store();
    apipool_store_health_t health;
    if (!segment || !store) {
        return APR_EGENERAL;
    }
    apipool_store_health(segment, &health);
    info->key_capacity = segment->header->capacity;
    info->client_capacity = segment->header->clients;
    info->request_capacity = segment->header->recent;
    info->saves = health.saves;
    info->save_errors = health.errors;
    info->save_seconds = health.seconds;
    info->saved_at = health.last_at;
    info->unsaved_keys = apipool_store_has_unsaved_keys(store);
    return APR_SUCCESS;
}
