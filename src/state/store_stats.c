/* SPDX-License-Identifier: Apache-2.0
 * Statistics as records: what has been counted, and the states and limits that a restart must not reset. */
#include <apr_strings.h>
#include <stddef.h>
#include <string.h>

#include "pace.h"
#include "store_stats_parts.h"

static void put_place(apipool_record_writer_t *writer, const apipool_segment_t *segment,
                      apr_uint32_t pool)
{
    apipool_record_put_text(writer, STAT_SERVER, segment->pools[pool].server);
    apipool_record_put_text(writer, STAT_POOL, segment->pools[pool].name);
}

static void put_lanes(apipool_record_writer_t *writer, const apipool_segment_t *segment,
                      const apipool_slot_t *slot)
{
    const apipool_group_t *g = &segment->groups[slot->group];
    apr_uint64_t row[2 * APIPOOL_LANES];
    apr_size_t count = 0;
    for (int lane = 1; lane < APIPOOL_LANES; lane++) {
        if (slot->place[lane] != APIPOOL_NONE && g->lanes[lane].model) {
            row[count++] = g->lanes[lane].model;
            row[count++] = (apr_uint64_t)slot->until[lane];
        }
    }
    if (count) {
        apipool_record_put_u64s(writer, STAT_LANES, row, count);
    }
}

static void put_history(apipool_record_writer_t *writer, const apipool_slot_t *slot)
{
    const apr_uint64_t streaks[STREAKS_ROW] = {slot->limited_streak,   slot->error_streak,
                                               slot->failed_streak,    slot->recover_tries,
                                               slot->others_succeeded, slot->others_failed};
    const apr_uint64_t times[TIMES_ROW] = {
        (apr_uint64_t)slot->last_used_at, (apr_uint64_t)slot->last_error_at,
        (apr_uint64_t)slot->limited_at, (apr_uint64_t)slot->rests_until,
        (apr_uint64_t)slot->headroom_until};
    const apr_uint64_t error[] = {slot->last_status, slot->last_rule};

    apipool_record_put_u64s(writer, STAT_STREAKS, streaks, STREAKS_ROW);
    apipool_record_put_double(writer, STAT_SUCCESS, slot->success);
    apipool_record_put_u64s(writer, STAT_TIMES, times, TIMES_ROW);
    apipool_record_put_u64s(writer, STAT_ERROR, error, 2);
    apipool_record_put_double(writer, STAT_HEADROOM, slot->headroom);
    apipool_record_put_u64(writer, STAT_LOW, slot->low);
    if (slot->read_at) {
        apipool_record_put_double(writer, STAT_BALANCE, slot->balance);
        apipool_record_put_text(writer, STAT_CURRENCY, slot->currency);
        apipool_record_put_i64(writer, STAT_READ_AT, slot->read_at);
    }
}

static void save_slot(apipool_saving_t *saving, int n)
{
    const apipool_segment_t *segment = saving->store->segment;
    const apipool_slot_t *slot = &saving->slots[n];
    apr_uint64_t row[WINDOWS_ROW], *end = row;
    char name[APIPOOL_STORE_NAME_SIZE];
    apipool_record_writer_t writer;

    apipool_store_key_name(name, slot->id, segment->pools[slot->pool].server,
                           segment->pools[slot->pool].name);
    apipool_record_begin(&writer, saving->record, sizeof(saving->record));
    put_place(&writer, segment, slot->pool);
    apipool_record_put_u64(&writer, STAT_ID, slot->id);
    apipool_record_put_u64(&writer, STAT_STATE, (apr_uint64_t)slot->state);
    apipool_record_put_i64(&writer, STAT_UNTIL, slot->until[0]);
    put_history(&writer, slot);
    for (int i = 0; i < APIPOOL_WINDOWS; i++) {
        end = apipool_flat_window(end, &slot->windows[i]);
    }
    apipool_record_put_u64s(&writer, STAT_WINDOWS, row, WINDOWS_ROW);
    apipool_flat_counts(row, &slot->counts);
    apipool_record_put_u64s(&writer, STAT_COUNTS, row, APIPOOL_FLAT_COUNTS);
    put_lanes(&writer, segment, slot);
    apipool_saving_put(saving, name, &writer);
}

static void put_numbers(apipool_record_writer_t *writer, const apipool_numbers_t *numbers)
{
    apr_uint64_t row[APIPOOL_FLAT_NUMBERS];
    apipool_flat_numbers(row, numbers);
    apipool_record_put_u64s(writer, STAT_NUMBERS, row, APIPOOL_FLAT_NUMBERS);
}

static apr_status_t save_group(apipool_saving_t *saving, apr_uint32_t index)
{
    const apipool_segment_t *segment = saving->store->segment;
    apipool_record_writer_t writer;
    apipool_group_t g;
    char name[16];
    apr_status_t rv = apipool_saving_copy(saving, &g, &segment->groups[index], sizeof(g));
    if (rv != APR_SUCCESS) {
        return rv;
    }

    const apr_uint64_t results[] = {g.successes, g.failures};
    apr_snprintf(name, sizeof(name), "%c%u", OF_GROUP, index);
    apipool_record_begin(&writer, saving->record, sizeof(saving->record));
    put_place(&writer, segment, g.pool);
    apipool_record_put_text(&writer, STAT_UPSTREAM, g.name);
    put_numbers(&writer, &g.numbers);
    apipool_record_put_u64s(&writer, STAT_RULES, g.rules, APIPOOL_RULE_COUNT);
    apipool_record_put_u64s(&writer, STAT_ENDINGS, g.endings, APIPOOL_ENDINGS);
    apipool_record_put_u64s(&writer, STAT_RESULTS, results, 2);
    apipool_record_put_double(&writer, STAT_FAILING, g.failing);
    apipool_saving_put(saving, name, &writer);
    return APR_SUCCESS;
}

static void put_points(apipool_record_writer_t *writer, unsigned char tag,
                       const apipool_series_slot_t *points, int count)
{
    apr_uint64_t row[ROW_MAX], *end = row;
    for (int i = 0; i < count; i++) {
        const apipool_series_slot_t *p = &points[i];
        const apr_uint64_t values[POINT_ROW] = {p->number,  p->requests, p->errors,
                                                p->begun,   p->timed,    p->first_byte,
                                                p->latency, p->prompt,   p->completion};
        if (p->number) {
            memcpy(end, values, sizeof(values));
            end += POINT_ROW;
        }
    }
    apipool_record_put_u64s(writer, tag, row, (apr_size_t)(end - row));
}

static void put_histogram(apipool_record_writer_t *writer, unsigned char tag,
                          const apipool_histogram_t *histogram)
{
    apr_uint64_t row[APIPOOL_FLAT_HISTOGRAM];
    apipool_flat_histogram(row, histogram);
    apipool_record_put_u64s(writer, tag, row, APIPOOL_FLAT_HISTOGRAM);
}

static apr_status_t save_pool(apipool_saving_t *saving, apr_uint32_t index)
{
    const apipool_segment_t *segment = saving->store->segment;
    apipool_record_writer_t writer;
    apipool_pool_stats_t stats;
    char name[16];
    apr_status_t rv = apipool_saving_copy(saving, &stats, &segment->stats[index], sizeof(stats));
    if (rv != APR_SUCCESS) {
        return rv;
    }

    apr_snprintf(name, sizeof(name), "%c%u", OF_POOL, index);
    apipool_record_begin(&writer, saving->record, sizeof(saving->record));
    put_place(&writer, segment, index);
    put_numbers(&writer, &stats.numbers);
    put_points(&writer, STAT_MINUTES, stats.series.minutes, APIPOOL_SERIES_MINUTES);
    put_points(&writer, STAT_HOURS, stats.series.hours, APIPOOL_SERIES_HOURS);
    put_histogram(&writer, STAT_DURATION, &stats.duration);
    put_histogram(&writer, STAT_FIRST_BYTE, &stats.first_byte);
    apipool_record_put_u64s(&writer, STAT_ENDINGS, stats.endings, APIPOOL_ENDINGS);
    apipool_record_put_u64s(&writer, STAT_REFUSALS, stats.refusals, APIPOOL_RULE_COUNT);
    apipool_saving_put(saving, name, &writer);
    return APR_SUCCESS;
}

static apr_status_t save_hit(apipool_saving_t *saving, apr_uint32_t index)
{
    const apipool_segment_t *segment = saving->store->segment;
    apipool_record_writer_t writer;
    apipool_hit_t hit;
    char name[16];
    apr_status_t rv = apipool_saving_copy(saving, &hit, &segment->hits[index], sizeof(hit));
    if (rv != APR_SUCCESS || !hit.account || hit.until <= apr_time_now()) {
        return rv;
    }
    apr_snprintf(name, sizeof(name), "%c%u", OF_HIT, index);
    apipool_record_begin(&writer, saving->record, sizeof(saving->record));
    put_place(&writer, segment, hit.pool);
    apipool_record_put_u64(&writer, STAT_ACCOUNT, hit.account);
    apipool_record_put_u64(&writer, STAT_MODEL, hit.model);
    apipool_record_put_u64(&writer, STAT_SPENT, hit.spent);
    apipool_record_put_i64(&writer, STAT_UNTIL, hit.until);
    apipool_saving_put(saving, name, &writer);
    return APR_SUCCESS;
}

/* Whatever stands at that place of the table of clients and models. */
static apr_status_t save_name(apipool_saving_t *saving, apr_uint32_t place)
{
    apipool_segment_t *segment = saving->store->segment;
    apr_uint32_t next = place, count;
    apipool_names_row_t row;
    apipool_name_t named;
    apipool_numbers_t numbers;
    apipool_record_writer_t writer;
    char name[16];
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    count = apipool_names_read_locked(&segment->names, APIPOOL_NAMED_OF_ANY, apr_time_now(), &next,
                                      &row, 1);
    if (count) {
        apipool_name_make(&named, row.text, strlen(row.text));
        numbers = *apipool_names_at_locked(&segment->names, row.pool, row.kind, &named, 0);
    }
    apipool_segment_unlock(segment);
    if (count) {
        apr_snprintf(name, sizeof(name), "%c%u", OF_NAME, place);
        apipool_record_begin(&writer, saving->record, sizeof(saving->record));
        put_place(&writer, segment, row.pool);
        apipool_record_put_u64(&writer, STAT_KIND, (apr_uint64_t)row.kind);
        apipool_record_put_text(&writer, STAT_TEXT, row.text);
        put_numbers(&writer, &numbers);
        apipool_saving_put(saving, name, &writer);
    }
    return APR_SUCCESS;
}

static apr_status_t save_client(apipool_saving_t *saving, apr_uint32_t index)
{
    const apipool_client_slot_t *slot = &saving->store->segment->clients.slots[index];
    apipool_record_writer_t writer;
    apipool_client_slot_t client;
    apr_uint64_t row[WINDOWS_ROW], *end = row;
    char name[APIPOOL_STORE_NAME_SIZE];
    apr_status_t rv =
        apipool_saving_copy(saving, &client, slot, offsetof(apipool_client_slot_t, terms));
    if (rv != APR_SUCCESS || !client.serial) {
        return rv;
    }
    apipool_store_client_name(name, client.digest);
    apipool_record_begin(&writer, saving->record, sizeof(saving->record));
    apipool_record_put_bytes(&writer, STAT_DIGEST, client.digest, sizeof(client.digest));
    for (int i = 0; i < APIPOOL_CLIENT_WINDOWS; i++) {
        end = apipool_flat_window(end, &client.windows[i]);
    }
    apipool_record_put_u64s(&writer, STAT_WINDOWS, row, (apr_size_t)(end - row));
    put_numbers(&writer, &client.numbers);
    apipool_record_put_i64(&writer, STAT_USED_AT, client.last_used_at);
    apipool_saving_put(saving, name, &writer);
    return APR_SUCCESS;
}

static apr_status_t save_each(apipool_saving_t *saving, apr_uint32_t count,
                              apr_status_t (*save)(apipool_saving_t *saving, apr_uint32_t index))
{
    apr_status_t rv = APR_SUCCESS;
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < count; i++) {
        rv = save(saving, i);
        apipool_pace();
    }
    return rv;
}

apr_status_t apipool_store_write_stats(apipool_saving_t *saving)
{
    const apipool_header_t *header = saving->store->segment->header;
    apr_status_t rv = apipool_saving_slots(saving, save_slot);
    if (rv == APR_SUCCESS) {
        rv = save_each(saving, header->groups_used, save_group);
    }
    if (rv == APR_SUCCESS) {
        rv = save_each(saving, header->pools_used, save_pool);
    }
    if (rv == APR_SUCCESS) {
        rv = save_each(saving, apipool_names_places(&saving->store->segment->names), save_name);
    }
    if (rv == APR_SUCCESS) {
        rv = save_each(saving, apipool_clients_used(&saving->store->segment->clients), save_client);
    }
    if (rv == APR_SUCCESS && header->hits_until > apr_time_now()) {
        rv = save_each(saving, APIPOOL_HITS_MAX, save_hit);
    }
    return rv;
}
