/* SPDX-License-Identifier: Apache-2.0
 * Allocator for the places of an array, and hash chains to find them. */
#include "hash_table.h"

#include <string.h>

#define CHAINS_MIN 16

apr_size_t apipool_hash_table_bytes(apr_uint32_t capacity, apr_uint32_t chains)
{
    return ((apr_size_t)capacity + chains) * sizeof(apr_uint32_t);
}

apr_uint32_t apipool_hash_table_chains(apr_uint32_t capacity)
{
    apr_uint32_t chains = CHAINS_MIN;
    while (chains < capacity) {
        chains *= 2;
    }
    return chains;
}

apipool_hash_table_t apipool_hash_table_view(apipool_hash_table_head_t *head, void *links,
                                             apr_uint32_t capacity, apr_uint32_t chains)
{
    apr_uint32_t *next = links;
    return (apipool_hash_table_t){head, next, next + capacity, capacity, chains};
}

apr_uint32_t apipool_hash_table_take(const apipool_hash_table_t *table)
{
    apipool_hash_table_head_t *head = table->head;
    apr_uint32_t link = head->free;
    if (!link) {
        return head->used < table->capacity ? head->used++ : APIPOOL_NONE;
    }
    head->free = table->next[link - 1];
    head->spare--;
    return link - 1;
}

void apipool_hash_table_give(const apipool_hash_table_t *table, apr_uint32_t place)
{
    apipool_hash_table_head_t *head = table->head;
    table->next[place] = head->free;
    head->free = place + 1;
    head->spare++;
}

static apr_uint32_t *chain_of(const apipool_hash_table_t *table, apr_uint64_t hash)
{
    apr_uint64_t mixed = hash * APR_UINT64_C(0x9e3779b97f4a7c15);
    return &table->first[(apr_uint32_t)(mixed >> 32) & (table->chains - 1)];
}

void apipool_hash_table_link(const apipool_hash_table_t *table, apr_uint32_t place,
                             apr_uint64_t hash)
{
    apr_uint32_t *chain = chain_of(table, hash);
    __atomic_store_n(&table->next[place], *chain, __ATOMIC_RELAXED);
    __atomic_store_n(chain, place + 1, __ATOMIC_RELEASE);
    table->head->linked++;
}

void apipool_hash_table_unlink(const apipool_hash_table_t *table, apr_uint32_t place,
                               apr_uint64_t hash)
{
    apr_uint32_t *link = chain_of(table, hash);
    while (*link != place + 1) {
        link = &table->next[*link - 1];
    }
    *link = table->next[place];
    table->head->linked--;
}

static apr_uint32_t place_of(const apr_uint32_t *link)
{
    return __atomic_load_n(link, __ATOMIC_ACQUIRE) - 1; /* 0 becomes APIPOOL_NONE */
}

apr_uint32_t apipool_hash_table_first(const apipool_hash_table_t *table, apr_uint64_t hash)
{
    return place_of(chain_of(table, hash));
}

apr_uint32_t apipool_hash_table_next(const apipool_hash_table_t *table, apr_uint32_t place)
{
    return place_of(&table->next[place]);
}

void apipool_hash_table_clear(const apipool_hash_table_t *table)
{
    table->head->free = table->head->spare = table->head->linked = 0;
    memset(table->first, 0, table->chains * sizeof(*table->first));
}
