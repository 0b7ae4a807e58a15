/* SPDX-License-Identifier: Apache-2.0
 * Cleaning of foreign text for labels, and the table of counters by name. */
#include "names.h"

#include <apr_strings.h>
#include <string.h>

#include "consistent_hash.h"
#include "fault.h"
#include "utf8.h"

#define QUOTA 4 /* one in this many of the free entries */

/* Returns 1 for a character that would need escaping, or would end or reverse the text behind
 * it. */
static int is_unfit(apr_uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == '"' || c == '\'' || c == '`' || c == '\\' ||
           c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

void apipool_name_clean(char *out, apr_size_t size, const char *text, apr_size_t len)
{
    char *end = out + size - 1;
    while (len > 0) {
        apr_uint32_t c = (unsigned char)*text;
        apr_size_t read = c < 0x80 ? 1 : apipool_utf8_character(text, len, &c);
        int fits = read && !is_unfit(c);
        if (out + (fits ? read : 1) > end) {
            break;
        }
        if (fits && read == 1) { /* without a call */
            *out++ = *text;
        }
        else if (fits) {
            memcpy(out, text, read);
            out += read;
        }
        else {
            *out++ = read ? '_' : '?';
        }
        read = read ? read : 1;
        text += read;
        len -= read;
    }
    *out = '\0';
}

void apipool_name_make(apipool_name_t *name, const char *text, apr_size_t len)
{
    apipool_name_clean(name->text, sizeof(name->text), text, len);
    name->hash = strcmp(name->text, APIPOOL_NAMED_OTHER) ? apipool_hash(name->text) : 0;
}

apr_size_t apipool_names_bytes(apr_uint32_t capacity, apr_uint32_t pools)
{
    return sizeof(apipool_hash_table_head_t) + capacity * sizeof(apipool_named_t) +
           (apr_size_t)pools * APIPOOL_NAMED_KINDS *
               (sizeof(apipool_counters_t) + sizeof(apr_uint32_t)) +
           apipool_hash_table_bytes(capacity, apipool_hash_table_chains(capacity));
}

apipool_names_t apipool_names_view(void *memory, apr_uint32_t capacity, apr_uint32_t pools)
{
    apipool_hash_table_head_t *head = memory;
    apipool_named_t *entries = (void *)(head + 1);
    apipool_counters_t *others = (void *)(entries + capacity);
    apr_uint32_t *used = (void *)(others + (apr_size_t)pools * APIPOOL_NAMED_KINDS);
    apr_uint32_t *links = used + (apr_size_t)pools * APIPOOL_NAMED_KINDS;
    return (apipool_names_t){
        entries, others, used,
        apipool_hash_table_view(head, links, capacity, apipool_hash_table_chains(capacity)), pools};
}

static apr_uint64_t hash_of(apr_uint32_t pool, apipool_named_e kind, const apipool_name_t *name)
{
    apr_uint64_t hash = (name->hash ^ ((apr_uint64_t)pool << 8 | (apr_uint64_t)kind)) *
                        APR_UINT64_C(0x9e3779b97f4a7c15);
    return hash ? hash : 1;
}

static int is_within_quota(const apipool_names_t *names, apr_uint32_t pool, apipool_named_e kind)
{
    apr_uint32_t used = names->used[pool * APIPOOL_NAMED_KINDS + kind];
    return used == 0 || used < (names->table.capacity - names->table.head->linked) / QUOTA;
}

static void link_entry(const apipool_names_t *names, apr_uint32_t place)
{
    const apipool_named_t *entry = &names->entries[place];
    apipool_hash_table_link(&names->table, place, entry->hash);
    names->used[entry->pool * APIPOOL_NAMED_KINDS + entry->kind]++;
}

/* Fills an entry. Its hash, written last, puts it in use. */
static apipool_counters_t *take(const apipool_names_t *names, apr_uint32_t place, apr_uint64_t hash,
                                apr_uint32_t pool, apipool_named_e kind, const char *text)
{
    apipool_named_t *entry = &names->entries[place];
    memset(entry, 0, sizeof(*entry));
    entry->pool = pool;
    entry->kind = kind;
    memcpy(entry->text, text, sizeof(entry->text));
    APIPOOL_FAULT("name-unhashed");
    APIPOOL_IN_ORDER();
    entry->hash = hash;
    APIPOOL_FAULT("name-unlinked");
    link_entry(names, place);
    return &entry->counters;
}

apipool_counters_t *apipool_names_at_locked(const apipool_names_t *names, apr_uint32_t pool,
                                            apipool_named_e kind, const apipool_name_t *name,
                                            int add)
{
    apipool_counters_t *other = &names->others[pool * APIPOOL_NAMED_KINDS + kind];
    apr_uint64_t hash = hash_of(pool, kind, name);

    if (!name->hash) {
        return other;
    }
    for (apr_uint32_t place = apipool_hash_table_first(&names->table, hash); place != APIPOOL_NONE;
         place = apipool_hash_table_next(&names->table, place)) {
        apipool_named_t *entry = &names->entries[place];
        if (entry->hash == hash && entry->pool == pool && entry->kind == kind &&
            strcmp(entry->text, name->text) == 0) {
            return &entry->counters;
        }
    }
    apr_uint32_t place = add && is_within_quota(names, pool, kind)
                             ? apipool_hash_table_take(&names->table)
                             : APIPOOL_NONE;
    return place != APIPOOL_NONE ? take(names, place, hash, pool, kind, name->text) : other;
}

apr_uint32_t apipool_names_places(const apipool_names_t *names)
{
    return names->table.capacity + names->pools * APIPOOL_NAMED_KINDS;
}

apr_uint32_t apipool_names_read_locked(const apipool_names_t *names, apr_uint32_t pool,
                                       apr_time_t now, apr_uint32_t *place,
                                       apipool_names_row_t *rows, apr_uint32_t max)
{
    apr_uint32_t places = apipool_names_places(names), capacity = names->table.capacity, count = 0;

    for (apr_uint32_t n = 0; n < max && *place < places; n++, ++*place) {
        const apipool_named_t *entry = *place < capacity ? &names->entries[*place] : NULL;
        apr_uint32_t i = entry ? 0 : *place - capacity;
        const apipool_counters_t *counters = entry ? &entry->counters : &names->others[i];
        apr_uint32_t of = entry ? entry->pool : i / APIPOOL_NAMED_KINDS;
        if ((entry ? entry->hash : counters->counts.requests) &&
            (pool == APIPOOL_NAMED_OF_ANY || pool == of)) {
            apipool_names_row_t *row = &rows[count++];
            row->pool = of;
            row->kind = entry ? entry->kind : i % APIPOOL_NAMED_KINDS;
            apr_cpystrn(row->text, entry ? entry->text : APIPOOL_NAMED_OTHER, sizeof(row->text));
            apipool_counters_read(counters, now, &row->counters);
        }
    }
    return count;
}

void apipool_names_rebuild_locked(const apipool_names_t *names)
{
    apipool_hash_table_clear(&names->table);
    memset(names->used, 0, names->pools * APIPOOL_NAMED_KINDS * sizeof(*names->used));
    for (apr_uint32_t place = 0; place < names->table.head->used; place++) {
        if (names->entries[place].hash) {
            link_entry(names, place);
        }
        else {
            apipool_hash_table_give(&names->table, place);
        }
    }
}
