/* SPDX-License-Identifier: Apache-2.0
 * The last requests in a ring whose only index is how many there ever were. */
#include "recent.h"

#include <assert.h>

static_assert(sizeof(apipool_recent_entry_t) <= 384, "an entry is bounded");

const char *apipool_ending_name(apipool_ending_e ending)
{
    static const char *const names[APIPOOL_ENDINGS] = {[APIPOOL_ENDED_COMPLETE] = "complete",
                                                       [APIPOOL_ENDED_TRUNCATED] = "truncated",
                                                       [APIPOOL_ENDED_CLIENT_ABORT] =
                                                           "client_abort",
                                                       [APIPOOL_ENDED_REFUSED] = "refused",
                                                       [APIPOOL_ENDED_FAILED] = "failed"};
    return names[ending];
}

apr_size_t apipool_recent_bytes(apr_uint32_t size)
{
    return sizeof(apr_uint64_t) + (apr_size_t)size * sizeof(apipool_recent_entry_t);
}

apipool_recent_t apipool_recent_view(void *memory, apr_uint32_t size)
{
    apr_uint64_t *pushed = memory;
    return (apipool_recent_t){pushed, (apipool_recent_entry_t *)(void *)(pushed + 1), size};
}

void apipool_recent_push_locked(const apipool_recent_t *recent, const apipool_recent_entry_t *entry)
{
    if (!recent->size) {
        return;
    }
    apipool_recent_entry_t *place = &recent->entries[*recent->pushed % recent->size];
    *place = *entry;
    place->client[sizeof(place->client) - 1] = '\0';
    place->endpoint[sizeof(place->endpoint) - 1] = '\0';
    place->model[sizeof(place->model) - 1] = '\0';
    place->number = *recent->pushed + 1;
    ++*recent
           ->pushed; /* last, so that a child that dies before leaves no half of an entry at the front */
}

apr_uint32_t apipool_recent_count_locked(const apipool_recent_t *recent)
{
    return *recent->pushed < recent->size ? (apr_uint32_t)*recent->pushed : recent->size;
}

apr_uint32_t apipool_recent_read_locked(const apipool_recent_t *recent, apr_uint32_t offset,
                                        apr_uint32_t limit, apipool_recent_entry_t *out)
{
    apr_uint32_t count = apipool_recent_count_locked(recent), n = 0;

    for (; n < limit && offset < count; n++, offset++) {
        out[n] = recent->entries[(*recent->pushed - 1 - offset) % recent->size];
    }
    return n;
}
