/* SPDX-License-Identifier: Apache-2.0
 * Statistics read again: what this version knows of a record, for what is still there. */
#include <math.h>
#include <string.h>

#include "keys.h"
#include "store_stats_parts.h"

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
    apipool_numbers_mend(numbers);
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
        if ((apr_time_t)row[i + 1] > now) {
            apipool_members_cool_locked(segment, index, row[i], (apr_time_t)row[i + 1], now);
        }
    }
}

static double get_share(const stat_t *stat, int tag, double otherwise)
{
    double value = stat->fields[tag].real;
    return stat->fields[tag].tag && value >= 0 && value <= 1 ? value : otherwise;
}

static void take_history(apipool_slot_t *slot, const stat_t *stat)
{
    apr_uint64_t row[STREAKS_ROW];
    get_row(stat, STAT_STREAKS, row, STREAKS_ROW);
    slot->limited_streak = apipool_flat_u32(row[0]);
    slot->error_streak = apipool_flat_u32(row[1]);
    slot->failed_streak = apipool_flat_u32(row[2]);
    slot->recover_tries = apipool_flat_u32(row[3]);
    slot->others_succeeded = (apr_uint32_t)row[4];
    slot->others_failed = (apr_uint32_t)row[5];
    get_row(stat, STAT_TIMES, row, TIMES_ROW);
    slot->last_used_at = (apr_time_t)row[0];
    slot->last_error_at = (apr_time_t)row[1];
    slot->limited_at = (apr_time_t)row[2];
    slot->rests_until = (apr_time_t)row[3];
    slot->headroom_until = (apr_time_t)row[4];
    get_row(stat, STAT_ERROR, row, 2);
    slot->last_status = (apr_uint16_t)apipool_flat_u32(row[0]);
    slot->last_rule = row[1] < APIPOOL_RULE_COUNT ? (apr_uint16_t)row[1] : 0;
    slot->success = get_share(stat, STAT_SUCCESS, slot->success);
    slot->headroom = get_share(stat, STAT_HEADROOM, slot->headroom);
    slot->low = stat->fields[STAT_LOW].number != 0;
}

static void take_balance(apipool_slot_t *slot, const stat_t *stat)
{
    const apipool_record_field_t *balance = &stat->fields[STAT_BALANCE];
    if (balance->tag && isfinite(balance->real)) {
        slot->balance = balance->real;
        apipool_store_text(slot->currency, sizeof(slot->currency), &stat->fields[STAT_CURRENCY]);
        slot->read_at = apipool_record_i64(&stat->fields[STAT_READ_AT]);
    }
}

static void take_slot(apipool_segment_t *segment, apr_uint32_t index, const stat_t *stat)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint64_t row[WINDOWS_ROW];
    const apr_uint64_t *at = row;

    take_state(segment, index, stat);
    take_history(slot, stat);
    take_balance(slot, stat);
    get_row(stat, STAT_WINDOWS, row, WINDOWS_ROW);
    for (int i = 0; i < APIPOOL_WINDOWS; i++) {
        at = apipool_unflat_window(at, &slot->windows[i]);
    }
    get_row(stat, STAT_COUNTS, row, APIPOOL_FLAT_COUNTS);
    apipool_unflat_counts(row, &slot->counts);
    apipool_counts_mend(&slot->counts);
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
            g->failing = get_share(stat, STAT_FAILING, 0);
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

/* Names that find no place any more are counted together, and how fast they grew is lost. */
static void add_counts(apipool_counts_t *to, const apipool_counts_t *from)
{
    to->requests += from->requests;
    to->attempts += from->attempts;
    to->successes += from->successes;
    to->errors += from->errors;
    to->prompt += from->prompt;
    to->completion += from->completion;
    to->cached += from->cached;
    to->total += from->total;
    to->estimated += from->estimated;
}

static void take_name(apipool_segment_t *segment, apr_uint32_t pool, const stat_t *stat)
{
    const apipool_record_field_t *text = &stat->fields[STAT_TEXT];
    apr_uint64_t kind = stat->fields[STAT_KIND].number;
    apipool_numbers_t numbers = {0};
    apipool_name_t name;
    if (!text->bytes || kind >= APIPOOL_NAMED_KINDS) { /* of a later version */
        return;
    }
    get_numbers(stat, &numbers);
    apipool_name_make(&name, (const char *)text->bytes, text->len);
    apipool_numbers_t *to =
        apipool_names_at_locked(&segment->names, pool, (apipool_named_e)kind, &name, 1);
    if (to->counts.requests) {
        add_counts(&to->counts, &numbers.counts);
    }
    else {
        *to = numbers;
    }
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

/* One with the same name and another key is another client. */
static void take_client(apipool_segment_t *segment, const stat_t *stat)
{
    const apipool_record_field_t *digest = &stat->fields[STAT_DIGEST];
    apr_uint64_t row[WINDOWS_ROW];
    const apr_uint64_t *at = row;
    apipool_client_slot_t *slot =
        digest->len == APIPOOL_CLIENTKEY_DIGEST
            ? apipool_clients_by_digest_locked(&segment->clients, digest->bytes)
            : NULL;
    if (!slot) {
        return;
    }
    get_row(stat, STAT_WINDOWS, row, WINDOWS_ROW);
    for (int i = 0; i < APIPOOL_CLIENT_WINDOWS; i++) {
        at = apipool_unflat_window(at, &slot->windows[i]);
    }
    get_numbers(stat, &slot->numbers);
    slot->last_used_at = apipool_record_i64(&stat->fields[STAT_USED_AT]);
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
    case OF_NAME:
        take_name(segment, pool, stat);
        break;
    case OF_HIT:
        take_hit(segment, pool, stat);
        break;
    case OF_CLIENT:
        take_client(segment, stat);
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
    apr_uint32_t pool = 0;
    if (!key_len || !read_stat(value, len, &stat)) {
        return APR_EGENERAL;
    }
    apr_status_t rv = *key == OF_CLIENT
                          ? APR_SUCCESS /* it is of no pool */
                          : apipool_pool_attach(segment, stat.server, stat.pool, &pool);
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
    return rv == APR_ENOSPC ? APR_SUCCESS : rv; /* numbers of more pools than there is room for */
}
