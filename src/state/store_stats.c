/* SPDX-License-Identifier: Apache-2.0
 * Statistics as records: what has been counted, and the states and limits that a restart must not reset. */
#include <apr_strings.h>
#include <string.h>

#include "account.h"
#include "flat.h"
#include "members.h"
#include "store_parts.h"

/* The first byte of a record's name says what it is about; the rest only makes it different from others. */
#define OF_KEY   'k'
#define OF_GROUP 'g'
#define OF_POOL  'p'
#define OF_NAME  'n'
#define OF_HIT   'h'

/* Tags; see core/record.h for what may change. */
enum {
    STAT_SERVER = 1,
    STAT_POOL,
    STAT_UPSTREAM,
    STAT_ID,
    STAT_STATE,
    STAT_UNTIL,
    STAT_STREAKS, /* limited, error, failed, tries to recover */
    STAT_SUCCESS,
    STAT_TIMES, /* last used, last error, last limited */
    STAT_ERROR, /* status, rule */
    STAT_WINDOWS,
    STAT_COUNTS,
    STAT_LANES, /* model, until, … */
    STAT_NUMBERS,
    STAT_RULES,
    STAT_ENDINGS,
    STAT_REFUSALS,
    STAT_MINUTES,
    STAT_HOURS,
    STAT_DURATION,
    STAT_FIRST_BYTE,
    STAT_RESULTS, /* successes, failures */
    STAT_KIND,
    STAT_TEXT,
    STAT_ACCOUNT,
    STAT_MODEL,
    STAT_SPENT
};

#define WINDOWS_ROW (APIPOOL_WINDOWS * APIPOOL_FLAT_WINDOW)
#define POINT_ROW   9
#define ROW_MAX     (APIPOOL_SERIES_MINUTES * POINT_ROW)

/* --- writing --- */

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
    for (int lane = 1; lane < APIPOOL_LANE_OTHERS; lane++) {
        if (slot->place[lane] != APIPOOL_NONE && g->lanes[lane].model) {
            row[count++] = g->lanes[lane].model;
            row[count++] = (apr_uint64_t)slot->until[lane];
        }
    }
    if (count) {
        apipool_record_put_u64s(writer, STAT_LANES, row, count);
    }
}

static void save_slot(apipool_saving_t *saving, int n)
{
    const apipool_segment_t *segment = saving->store->segment;
    const apipool_slot_t *slot = &saving->slots[n];
    const apr_uint64_t streaks[] = {slot->limited_streak, slot->error_streak, slot->failed_streak,
                                    slot->recover_tries};
    const apr_uint64_t times[] = {(apr_uint64_t)slot->last_used_at,
                                  (apr_uint64_t)slot->last_error_at,
                                  (apr_uint64_t)slot->limited_at};
    const apr_uint64_t error[] = {slot->last_status, slot->last_rule};
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
    apipool_record_put_u64s(&writer, STAT_STREAKS, streaks, 4);
    apipool_record_put_double(&writer, STAT_SUCCESS, slot->success);
    apipool_record_put_u64s(&writer, STAT_TIMES, times, 3);
    apipool_record_put_u64s(&writer, STAT_ERROR, error, 2);
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
    apipool_segment_t *segment = saving->store->segment;
    apipool_record_writer_t writer;
    apipool_group_t g;
    char name[16];
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    g = segment->groups[index];
    apipool_segment_unlock(segment);

    const apr_uint64_t results[] = {g.successes, g.failures};
    apr_snprintf(name, sizeof(name), "%c%u", OF_GROUP, index);
    apipool_record_begin(&writer, saving->record, sizeof(saving->record));
    put_place(&writer, segment, g.pool);
    apipool_record_put_text(&writer, STAT_UPSTREAM, g.name);
    put_numbers(&writer, &g.numbers);
    apipool_record_put_u64s(&writer, STAT_RULES, g.rules, APIPOOL_RULE_COUNT);
    apipool_record_put_u64s(&writer, STAT_ENDINGS, g.endings, APIPOOL_ENDINGS);
    apipool_record_put_u64s(&writer, STAT_RESULTS, results, 2);
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
    apipool_segment_t *segment = saving->store->segment;
    apipool_record_writer_t writer;
    apipool_pool_stats_t stats;
    char name[16];
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    stats = segment->stats[index];
    apipool_segment_unlock(segment);

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
    apipool_segment_t *segment = saving->store->segment;
    apipool_record_writer_t writer;
    apipool_hit_t hit;
    char name[16];
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    hit = segment->hits[index];
    apipool_segment_unlock(segment);
    if (!hit.account || hit.until <= apr_time_now()) {
        return APR_SUCCESS;
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

static apr_status_t save_each(apipool_saving_t *saving, apr_uint32_t count,
                              apr_status_t (*save)(apipool_saving_t *saving, apr_uint32_t index))
{
    apr_status_t rv = APR_SUCCESS;
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < count; i++) {
        rv = save(saving, i);
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
    if (rv == APR_SUCCESS && header->hits_until > apr_time_now()) {
        rv = save_each(saving, APIPOOL_HITS_MAX, save_hit);
    }
    return rv;
}

/* --- reading --- */

/* A record's fields, as far as they are there; 0 or empty where they are not. */
typedef struct {
    char server[APIPOOL_SERVER_NAME_MAX], pool[APIPOOL_NAME_MAX], upstream[APIPOOL_NAME_MAX];
    apipool_record_field_t fields[256];
} stat_t;

static int read_stat(const char *value, apr_size_t len, stat_t *stat)
{
    apipool_record_reader_t reader;
    apipool_record_field_t field;
    memset(stat, 0, sizeof(*stat));
    if (apipool_record_open(&reader, value, len)) {
        while (apipool_record_next(&reader, &field)) {
            stat->fields[field.tag] = field;
        }
    }
    apipool_store_text(stat->server, sizeof(stat->server), &stat->fields[STAT_SERVER]);
    apipool_store_text(stat->pool, sizeof(stat->pool), &stat->fields[STAT_POOL]);
    apipool_store_text(stat->upstream, sizeof(stat->upstream), &stat->fields[STAT_UPSTREAM]);
    return apipool_record_is_whole(&reader);
}

/* What is not there is 0. */
static apr_size_t get_row(const stat_t *stat, int tag, apr_uint64_t *row, apr_size_t room)
{
    apr_size_t count = 0;
    memset(row, 0, room * sizeof(*row));
    if (!stat->fields[tag].tag || !apipool_record_u64s(&stat->fields[tag], row, room, &count)) {
        return 0;
    }
    return count < room ? count : room;
}

static void get_numbers(const stat_t *stat, apipool_numbers_t *numbers)
{
    apr_uint64_t row[APIPOOL_FLAT_NUMBERS];
    get_row(stat, STAT_NUMBERS, row, APIPOOL_FLAT_NUMBERS);
    apipool_unflat_numbers(row, numbers);
}

static void get_histogram(const stat_t *stat, int tag, apipool_histogram_t *histogram)
{
    apr_uint64_t row[APIPOOL_FLAT_HISTOGRAM];
    get_row(stat, tag, row, APIPOOL_FLAT_HISTOGRAM);
    apipool_unflat_histogram(row, histogram);
}

static void get_points(const stat_t *stat, int tag, apipool_series_slot_t *points, int count)
{
    apr_uint64_t row[ROW_MAX];
    apr_size_t len = get_row(stat, tag, row, ROW_MAX);
    for (const apr_uint64_t *v = row; v + POINT_ROW <= row + len; v += POINT_ROW) {
        apipool_series_slot_t *p = &points[v[0] % (apr_uint64_t)count];
        p->number = apipool_flat_u32(v[0]);
        p->requests = apipool_flat_u32(v[1]);
        p->errors = apipool_flat_u32(v[2]);
        p->begun = apipool_flat_u32(v[3]);
        p->timed = apipool_flat_u32(v[4]);
        p->first_byte = v[5];
        p->latency = v[6];
        p->prompt = v[7];
        p->completion = v[8];
    }
}

/* A state that is no state of this version, or that only an operator gives, is not taken over. */
static void take_state(apipool_segment_t *segment, apr_uint32_t index, const stat_t *stat)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint64_t state = stat->fields[STAT_STATE].number;
    if (slot->state != APIPOOL_STATE_DISABLED && state < APIPOOL_STATE_DISABLED) {
        slot->state = (apipool_state_e)state;
        slot->until[0] = apipool_record_i64(&stat->fields[STAT_UNTIL]);
    }
}

static void take_lanes(apipool_segment_t *segment, apr_uint32_t index, const stat_t *stat)
{
    apr_uint64_t row[2 * APIPOOL_LANES];
    apr_size_t len = get_row(stat, STAT_LANES, row, 2 * APIPOOL_LANES);
    apr_time_t now = apr_time_now();
    for (apr_size_t i = 0; i + 1 < len; i += 2) {
        if ((apr_time_t)row[i + 1] > now && segment->slots[index].state == APIPOOL_STATE_ACTIVE) {
            apipool_members_cool_locked(segment, index, row[i], (apr_time_t)row[i + 1], now);
        }
    }
}

static void take_slot(apipool_segment_t *segment, apr_uint32_t index, const stat_t *stat)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint64_t row[WINDOWS_ROW];
    const apr_uint64_t *at = row;
    double success = stat->fields[STAT_SUCCESS].real;

    take_state(segment, index, stat);
    get_row(stat, STAT_STREAKS, row, 4);
    slot->limited_streak = apipool_flat_u32(row[0]);
    slot->error_streak = apipool_flat_u32(row[1]);
    slot->failed_streak = apipool_flat_u32(row[2]);
    slot->recover_tries = apipool_flat_u32(row[3]);
    if (stat->fields[STAT_SUCCESS].tag && success >= 0 && success <= 1) {
        slot->success = success;
    }
    get_row(stat, STAT_TIMES, row, 3);
    slot->last_used_at = (apr_time_t)row[0];
    slot->last_error_at = (apr_time_t)row[1];
    slot->limited_at = (apr_time_t)row[2];
    get_row(stat, STAT_ERROR, row, 2);
    slot->last_status = apipool_flat_u32(row[0]);
    slot->last_rule = row[1] < APIPOOL_RULE_COUNT ? (apr_uint32_t)row[1] : 0;
    get_row(stat, STAT_WINDOWS, row, WINDOWS_ROW);
    for (int i = 0; i < APIPOOL_WINDOWS; i++) {
        at = apipool_unflat_window(at, &slot->windows[i]);
    }
    get_row(stat, STAT_COUNTS, row, APIPOOL_FLAT_COUNTS);
    apipool_unflat_counts(row, &slot->counts);
    apipool_members_settle_locked(segment, index);
    take_lanes(segment, index, stat);
}

static void take_group(apipool_segment_t *segment, apr_uint32_t pool, const stat_t *stat)
{
    apr_uint64_t results[2];
    for (apr_uint32_t i = 0; i < segment->header->groups_used; i++) {
        apipool_group_t *g = &segment->groups[i];
        if (g->pool == pool && !strcmp(g->name, stat->upstream)) {
            get_numbers(stat, &g->numbers);
            get_row(stat, STAT_RULES, g->rules, APIPOOL_RULE_COUNT);
            get_row(stat, STAT_ENDINGS, g->endings, APIPOOL_ENDINGS);
            get_row(stat, STAT_RESULTS, results, 2);
            g->successes = results[0];
            g->failures = results[1];
        }
    }
}

static void take_pool(apipool_pool_stats_t *stats, const stat_t *stat)
{
    get_numbers(stat, &stats->numbers);
    get_points(stat, STAT_MINUTES, stats->series.minutes, APIPOOL_SERIES_MINUTES);
    get_points(stat, STAT_HOURS, stats->series.hours, APIPOOL_SERIES_HOURS);
    get_histogram(stat, STAT_DURATION, &stats->duration);
    get_histogram(stat, STAT_FIRST_BYTE, &stats->first_byte);
    get_row(stat, STAT_ENDINGS, stats->endings, APIPOOL_ENDINGS);
    get_row(stat, STAT_REFUSALS, stats->refusals, APIPOOL_RULE_COUNT);
}

static void take_hit(apipool_segment_t *segment, apr_uint32_t pool, const stat_t *stat)
{
    const apipool_record_field_t *fields = stat->fields;
    apr_time_t until = apipool_record_i64(&fields[STAT_UNTIL]), now = apr_time_now();
    if (fields[STAT_ACCOUNT].number && until > now) {
        apipool_account_hit_locked(segment, pool, fields[STAT_ACCOUNT].number,
                                   fields[STAT_MODEL].number, fields[STAT_SPENT].number != 0, until,
                                   now);
    }
}

static void take_locked(apipool_segment_t *segment, char about, apr_uint32_t pool,
                        const stat_t *stat)
{
    apr_uint32_t index;
    switch (about) {
    case OF_KEY:
        index = apipool_pool_find_locked(segment, pool, stat->fields[STAT_ID].number);
        if (index != APIPOOL_NONE) {
            take_slot(segment, index, stat);
        }
        break;
    case OF_GROUP:
        take_group(segment, pool, stat);
        break;
    case OF_POOL:
        take_pool(&segment->stats[pool], stat);
        break;
    case OF_HIT:
        take_hit(segment, pool, stat);
        break;
    default: /* of a later version */
        break;
    }
}

apr_status_t apipool_store_read_stats(void *ctx, const char *key, apr_size_t key_len,
                                      const char *value, apr_size_t len)
{
    apipool_store_t *store = ctx;
    apipool_segment_t *segment = store->segment;
    stat_t stat;
    apr_uint32_t pool;
    if (!key_len || !read_stat(value, len, &stat)) {
        return APR_EGENERAL;
    }
    apr_status_t rv = apipool_pool_attach(segment, stat.server, stat.pool, &pool);
    if (rv == APR_SUCCESS && *key == OF_GROUP) {
        apr_uint32_t group;
        rv = apipool_pool_group(segment, pool, stat.upstream, &group);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_segment_lock(segment);
    }
    if (rv == APR_SUCCESS) {
        take_locked(segment, *key, pool, &stat);
        apipool_segment_unlock(segment);
    }
    return rv;
}
