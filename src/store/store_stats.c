/* SPDX-License-Identifier: Apache-2.0
 * Statistics as records: counters, and the states and limits that a restart must not reset. */
#include <apr_strings.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "account.h"
#include "keys.h"
#include "members.h"
#include "slots.h"
#include "store_parts.h"
#include "throttle.h"

/* The first byte of a record's name is its kind; the rest makes it unique. */
#define APIPOOL_OF_KEY           'k'
#define APIPOOL_OF_UPSTREAM      'g'
#define APIPOOL_OF_POOL          'p'
#define APIPOOL_OF_NAME          'n'
#define APIPOOL_OF_ACCOUNT_LIMIT 'h'
#define APIPOOL_OF_CLIENT        'c'

/* --- Members of records with their tags; core/record.h tells what may change --- */

/* Tags that are also used outside the tables. */
enum {
    APIPOOL_STAT_SERVER = 1,
    APIPOOL_STAT_POOL = 2,
    APIPOOL_STAT_MODEL_SLOTS = 13,
    APIPOOL_STAT_COUNTERS = 14,
    APIPOOL_STAT_MINUTES = 18,
    APIPOOL_STAT_HOURS = 19,
    APIPOOL_STAT_KIND = 23,
    APIPOOL_STAT_TEXT = 24,
    APIPOOL_STAT_WORDS = 37,
    APIPOOL_STAT_MINUTE_KINDS = 60,
    APIPOOL_STAT_HOUR_KINDS = 61,
    APIPOOL_STAT_KINDS = 62
};

#define MEMBER            APIPOOL_RECORD_MEMBER
#define NUMBER(tag, T, m) APIPOOL_RECORD_MEMBER(tag, APIPOOL_AS_NUMBER, T, m, ((T *)0)->m)
#define SIGNED(tag, T, m) APIPOOL_RECORD_MEMBER(tag, APIPOOL_AS_SIGNED, T, m, apr_int64_t)
#define REAL(tag, T, m)   APIPOOL_RECORD_MEMBER(tag, APIPOOL_AS_REAL, T, m, double)
#define TEXT(tag, T, m)   APIPOOL_RECORD_MEMBER(tag, APIPOOL_AS_TEXT, T, m, char)
#define FIELD(tag, T, m)  APIPOOL_RECORD_MEMBER(tag, APIPOOL_AS_FIELD, T, m, ((T *)0)->m)
#define ROW(tag, T, first, last, type)                                                             \
    APIPOOL_RECORD_SPAN(tag, APIPOOL_AS_ROW, T, first, last, type)

/* Counts, averages and rates at an offset. */
#define COUNTS(tag, at)                                                                            \
    {tag, APIPOOL_AS_ROW, 8, offsetof(apipool_counts_t, timed) / 8, at},                           \
    {                                                                                              \
        tag, APIPOOL_AS_ROW, 4, 2, (at) + offsetof(apipool_counts_t, timed)                        \
    }
#define COUNTERS(at)                                                                               \
    COUNTS(APIPOOL_STAT_COUNTERS, (at) + offsetof(apipool_counters_t, counts)),                    \
    {                                                                                              \
        APIPOOL_STAT_COUNTERS, APIPOOL_AS_ROW, 4, sizeof(((apipool_counters_t *)0)->windows) / 4,  \
            (at) + offsetof(apipool_counters_t, windows)                                           \
    }

/* Subject of a record, and fields that are not members of a structure. */
typedef struct {
    char server[APIPOOL_SERVER_NAME_MAX], pool[APIPOOL_NAME_MAX], upstream[APIPOOL_NAME_MAX];
    apr_uint64_t id;
    apr_uint32_t kind;
    apipool_record_field_t text, digest, model_slots, minutes, hours, words, minute_kinds,
        hour_kinds;
} about_t;

static const apipool_record_member_t about_members[] = {
    TEXT(APIPOOL_STAT_SERVER, about_t, server),
    TEXT(APIPOOL_STAT_POOL, about_t, pool),
    TEXT(3, about_t, upstream),
    NUMBER(4, about_t, id),
    NUMBER(APIPOOL_STAT_KIND, about_t, kind),
    FIELD(APIPOOL_STAT_TEXT, about_t, text),
    FIELD(34, about_t, digest),
    FIELD(APIPOOL_STAT_MODEL_SLOTS, about_t, model_slots),
    FIELD(APIPOOL_STAT_MINUTES, about_t, minutes),
    FIELD(APIPOOL_STAT_HOURS, about_t, hours),
    FIELD(APIPOOL_STAT_WORDS, about_t, words),
    FIELD(APIPOOL_STAT_MINUTE_KINDS, about_t, minute_kinds),
    FIELD(APIPOOL_STAT_HOUR_KINDS, about_t, hour_kinds),
    {0}};

static const apipool_record_member_t slot_members[] = {
    NUMBER(4, apipool_slot_t, id),
    NUMBER(5, apipool_slot_t, state),
    SIGNED(6, apipool_slot_t, until[0]),
    ROW(7, apipool_slot_t, limited_streak, limited_streak, apr_uint32_t),
    ROW(7, apipool_slot_t, error_streak, error_streak, apr_uint32_t),
    ROW(7, apipool_slot_t, failed_streak, recover_tries, apr_uint32_t),
    ROW(7, apipool_slot_t, others_succeeded, others_failed, apr_uint32_t),
    REAL(8, apipool_slot_t, success),
    ROW(9, apipool_slot_t, last_used_at, last_used_at, apr_time_t),
    ROW(9, apipool_slot_t, last_error_at, last_error_at, apr_time_t),
    ROW(9, apipool_slot_t, limited_at, limited_at, apr_time_t),
    ROW(9, apipool_slot_t, rests_until, rests_until, apr_time_t),
    ROW(9, apipool_slot_t, headroom_until, headroom_until, apr_time_t),
    ROW(10, apipool_slot_t, last_status, last_rule, apr_uint16_t),
    REAL(28, apipool_slot_t, headroom),
    NUMBER(29, apipool_slot_t, low),
    REAL(30, apipool_slot_t, balance),
    TEXT(31, apipool_slot_t, currency),
    SIGNED(32, apipool_slot_t, read_at),
    NUMBER(36, apipool_slot_t, reason),
    NUMBER(48, apipool_slot_t, told),
    TEXT(38, apipool_slot_t, currencies[1]),
    ROW(39, apipool_slot_t, other_cents, other_cents, apr_int32_t),
    ROW(11, apipool_slot_t, windows, windows, apr_uint32_t),
    COUNTS(12, offsetof(apipool_slot_t, counts)),
    {0}};

static const apipool_record_member_t upstream_members[] = {
    TEXT(3, apipool_upstream_t, name),
    COUNTERS(offsetof(apipool_upstream_t, counters)),
    ROW(15, apipool_upstream_t, rules, rules, apr_uint64_t),
    ROW(16, apipool_upstream_t, endings, endings, apr_uint64_t),
    ROW(22, apipool_upstream_t, successes, failures, apr_uint64_t),
    REAL(33, apipool_upstream_t, failing),
    {0}};

static const apipool_record_member_t pool_members[] = {
    COUNTERS(offsetof(apipool_pool_stats_t, counters)),
    ROW(20, apipool_pool_stats_t, duration, duration, apr_uint64_t),
    ROW(21, apipool_pool_stats_t, first_byte, first_byte, apr_uint64_t),
    ROW(16, apipool_pool_stats_t, endings, endings, apr_uint64_t),
    ROW(17, apipool_pool_stats_t, refusals, refusals, apr_uint64_t),
    ROW(APIPOOL_STAT_KINDS, apipool_pool_stats_t, kinds, kinds, apr_uint64_t),
    {0}};

static const apipool_record_member_t point_members[] = {
    ROW(APIPOOL_STAT_MINUTES, apipool_series_slot_t, number, timed, apr_uint32_t),
    ROW(APIPOOL_STAT_MINUTES, apipool_series_slot_t, first_byte, completion, apr_uint64_t),
    {0}};
#define APIPOOL_POINT_ROW 9

/* Beside them, since earlier versions read rows of nine. */
static const apipool_record_member_t kind_members[] = {
    ROW(APIPOOL_STAT_MINUTE_KINDS, apipool_series_slot_t, number, number, apr_uint32_t),
    ROW(APIPOOL_STAT_MINUTE_KINDS, apipool_series_slot_t, of_clients, of_keys, apr_uint32_t),
    {0}};
#define APIPOOL_KIND_ROW 3

static const apipool_record_member_t name_members[] = {COUNTERS(0), {0}};

static const apipool_record_member_t account_limit_members[] = {
    NUMBER(25, apipool_account_limit_t, account),  NUMBER(26, apipool_account_limit_t, model),
    NUMBER(27, apipool_account_limit_t, spent),    SIGNED(6, apipool_account_limit_t, until),
    SIGNED(40, apipool_account_limit_t, begun_at), {0}};

static const apipool_record_member_t client_members[] = {
    MEMBER(34, APIPOOL_AS_BYTES, apipool_client_slot_t, digest, unsigned char),
    ROW(11, apipool_client_slot_t, windows, windows, apr_uint32_t),
    COUNTERS(offsetof(apipool_client_slot_t, counters)),
    SIGNED(35, apipool_client_slot_t, last_used_at),
    NUMBER(48, apipool_client_slot_t, told),
    ROW(49, apipool_client_slot_t, told_at, told_at, apr_time_t),
    {0}};

/* --- Writing --- */

static apipool_record_writer_t *begin(apipool_saving_t *saving, apr_uint32_t pool)
{
    const apipool_pool_t *of = &saving->store->segment->pools[pool];
    apipool_record_writer_t *writer = apipool_saving_begin(saving);
    apipool_record_put_text(writer, APIPOOL_STAT_SERVER, of->server);
    apipool_record_put_text(writer, APIPOOL_STAT_POOL, of->name);
    return writer;
}

static void end(apipool_saving_t *saving, char about, apr_uint32_t index)
{
    char name[16];
    apr_snprintf(name, sizeof(name), "%c%u", about, index);
    apipool_saving_put(saving, name);
}

/* Model and end of each cooldown for a single model. */
static void put_model_slots(apipool_record_writer_t *writer, const apipool_segment_t *segment,
                            const apipool_slot_t *slot)
{
    const apipool_upstream_t *u = &segment->upstreams[slot->upstream];
    apr_uint64_t row[2 * APIPOOL_MODEL_SLOTS];
    apr_size_t count = 0;
    for (int model_slot = 1; model_slot < APIPOOL_MODEL_SLOTS; model_slot++) {
        if (slot->place[model_slot] != APIPOOL_NONE && u->model_slots[model_slot].model) {
            row[count++] = u->model_slots[model_slot].model;
            row[count++] = (apr_uint64_t)slot->until[model_slot];
        }
    }
    if (count) {
        apipool_record_put_u64s(writer, APIPOOL_STAT_MODEL_SLOTS, row, count);
    }
}

static void save_slot(apipool_saving_t *saving, int n)
{
    const apipool_segment_t *segment = saving->store->segment;
    const apipool_slot_t *slot = &saving->slots[n];
    const apipool_pool_t *pool = &segment->pools[slot->pool];
    char name[APIPOOL_STORE_NAME_SIZE];
    apipool_record_writer_t *writer = begin(saving, slot->pool);
    apipool_record_put_members(writer, slot_members, slot);
    put_model_slots(writer, segment, slot);
    apipool_record_put_text(writer, APIPOOL_STAT_WORDS, apipool_slot_words_locked(segment, slot));
    apipool_store_key_name(name, slot->id, pool->server, pool->name);
    apipool_saving_put(saving, name);
}

static void save_upstream(apipool_saving_t *saving, apr_uint32_t index)
{
    apipool_upstream_t u;
    if (apipool_saving_copy(saving, &u, &saving->store->segment->upstreams[index], sizeof(u))) {
        apipool_record_put_members(begin(saving, u.pool), upstream_members, &u);
        end(saving, APIPOOL_OF_UPSTREAM, index);
    }
}

static void put_points(apipool_record_writer_t *writer, unsigned char tag,
                       const apipool_record_member_t *members, const apipool_series_slot_t *points,
                       int count)
{
    apr_uint64_t row[APIPOOL_RECORD_ROW_MAX], *at = row;
    for (int i = 0; i < count; i++) {
        at = points[i].number ? apipool_record_to_row(members, &points[i], at) : at;
    }
    apipool_record_put_u64s(writer, tag, row, (apr_size_t)(at - row));
}

static void save_pool(apipool_saving_t *saving, apr_uint32_t index)
{
    apipool_pool_stats_t stats;
    if (apipool_saving_copy(saving, &stats, &saving->store->segment->stats[index], sizeof(stats))) {
        apipool_record_writer_t *writer = begin(saving, index);
        apipool_record_put_members(writer, pool_members, &stats);
        const apipool_series_t *series = &stats.series;
        put_points(writer, APIPOOL_STAT_MINUTES, point_members, series->minutes,
                   APIPOOL_SERIES_MINUTES);
        put_points(writer, APIPOOL_STAT_HOURS, point_members, series->hours, APIPOOL_SERIES_HOURS);
        put_points(writer, APIPOOL_STAT_MINUTE_KINDS, kind_members, series->minutes,
                   APIPOOL_SERIES_MINUTES);
        put_points(writer, APIPOOL_STAT_HOUR_KINDS, kind_members, series->hours,
                   APIPOOL_SERIES_HOURS);
        end(saving, APIPOOL_OF_POOL, index);
    }
}

static void save_account_limit(apipool_saving_t *saving, apr_uint32_t index)
{
    apipool_account_limit_t account_limit;
    if (apipool_saving_copy(saving, &account_limit, &saving->store->segment->account_limits[index],
                            sizeof(account_limit)) &&
        account_limit.account && account_limit.until > apr_time_now()) {
        apipool_record_put_members(begin(saving, account_limit.pool), account_limit_members,
                                   &account_limit);
        end(saving, APIPOOL_OF_ACCOUNT_LIMIT, index);
    }
}

/* Saves a place of the table of clients and models, if it is used. */
static void save_name(apipool_saving_t *saving, apr_uint32_t place)
{
    apipool_segment_t *segment = saving->store->segment;
    apr_uint32_t next = place, count = 0;
    apipool_names_row_t row;
    apipool_name_t named;
    apipool_counters_t counters;
    if (apipool_saving_lock(saving)) {
        count = apipool_names_read_locked(&segment->names, APIPOOL_NAMED_OF_ANY, apr_time_now(),
                                          &next, &row, 1);
        if (count) {
            apipool_name_make(&named, row.text, strlen(row.text));
            counters = *apipool_names_at_locked(&segment->names, row.pool, row.kind, &named, 0);
        }
        apipool_segment_unlock(segment);
    }
    if (count) {
        apipool_record_writer_t *writer = begin(saving, row.pool);
        apipool_record_put_u64(writer, APIPOOL_STAT_KIND, (apr_uint64_t)row.kind);
        apipool_record_put_text(writer, APIPOOL_STAT_TEXT, row.text);
        apipool_record_put_members(writer, name_members, &counters);
        end(saving, APIPOOL_OF_NAME, place);
    }
}

static void save_client(apipool_saving_t *saving, apr_uint32_t index)
{
    apipool_client_slot_t client;
    char name[APIPOOL_STORE_NAME_SIZE];
    if (apipool_saving_copy(saving, &client, &saving->store->segment->clients.slots[index],
                            offsetof(apipool_client_slot_t, terms)) &&
        client.serial) {
        apipool_record_put_members(apipool_saving_begin(saving), client_members, &client);
        apipool_store_client_name(name, client.digest);
        apipool_saving_put(saving, name);
    }
}

void apipool_store_write_stats(apipool_saving_t *saving)
{
    const apipool_segment_t *segment = saving->store->segment;
    const struct {
        apr_uint32_t count;
        void (*save)(apipool_saving_t *saving, apr_uint32_t index);
    } parts[] = {{apipool_segment_upstreams_used(saving->store->segment), save_upstream},
                 {apipool_segment_pools_used(saving->store->segment), save_pool},
                 {apipool_names_places(&segment->names), save_name},
                 {apipool_clients_used(&segment->clients), save_client},
                 {apipool_segment_account_limits_until(saving->store->segment) > apr_time_now()
                      ? APIPOOL_ACCOUNT_LIMITS_MAX
                      : 0,
                  save_account_limit}};
    apipool_saving_slots(saving, save_slot);
    for (apr_size_t part = 0; part < sizeof(parts) / sizeof(*parts); part++) {
        for (apr_uint32_t i = 0; saving->rv == APR_SUCCESS && i < parts[part].count; i++) {
            parts[part].save(saving, i);
            apipool_throttle();
        }
    }
}

/* --- Reading what this version knows, for what still exists --- */

typedef struct {
    apipool_segment_t *segment;
    const char *value; /* len bytes */
    apr_size_t len;
    about_t about;
    apr_uint32_t pool;
} stat_t;

/* The record was checked as a whole before. */
static void take(const stat_t *stat, const apipool_record_member_t *members, void *to)
{
    apipool_record_read_members(stat->value, stat->len, members, to);
}

static int is_share(double value)
{
    return value >= 0 && value <= 1;
}

static void take_model_slots(const stat_t *stat, apr_uint32_t index)
{
    apr_uint64_t row[2 * APIPOOL_MODEL_SLOTS];
    apr_size_t len;
    apr_time_t now = apr_time_now();
    apipool_record_u64s(&stat->about.model_slots, row, 2 * APIPOOL_MODEL_SLOTS, &len);
    for (apr_size_t i = 0; i + 1 < len && i < 2 * APIPOOL_MODEL_SLOTS; i += 2) {
        if ((apr_time_t)row[i + 1] > now) {
            apipool_members_cool_locked(stat->segment, index, row[i], (apr_time_t)row[i + 1], now);
        }
    }
}

static void take_words(const stat_t *stat, apipool_slot_t *slot)
{
    const apipool_record_field_t *field = &stat->about.words;
    apipool_words_t words = {.text = ""};
    if (field->bytes && field->len && field->len < sizeof(words.text)) {
        memcpy(words.text, field->bytes, field->len);
        apipool_slot_keep_words_locked(stat->segment, slot, &words);
    }
}

/* The clock has been set back since a wait began: nobody knows how much of it is left, so it is
 * over, and a lost key is asked about at once. A wait begins with a rate limit, an error, or the
 * last request that a limit of ours allowed. Returns 1 if waits are over. */
static int forget_the_future(apipool_slot_t *slot, apr_time_t now)
{
    if (slot->limited_at <= now && slot->last_error_at <= now && slot->last_used_at <= now) {
        return 0;
    }
    slot->limited_at = slot->limited_at > now ? 0 : slot->limited_at;
    slot->rests_until = slot->headroom_until = 0;
    if (slot->state == APIPOOL_STATE_COOLING || apipool_health_is_recovering(slot->state)) {
        slot->until[0] = now;
    }
    return 1;
}

/* Ignores states that are unknown or that only an operator sets, and impossible values. */
static void take_slot(const stat_t *stat)
{
    apr_uint32_t index = apipool_pool_find_locked(stat->segment, stat->pool, stat->about.id);
    if (index == APIPOOL_NONE) {
        return;
    }
    apipool_slot_t *slot = &stat->segment->slots[index];
    const apipool_state_e state = slot->state;
    const apr_time_t until = slot->until[0];
    const double success = slot->success, headroom = slot->headroom;
    take(stat, slot_members, slot);
    if (state == APIPOOL_STATE_DISABLED || slot->state >= APIPOOL_STATE_DISABLED) {
        slot->state = state;
        slot->until[0] = until;
    }
    slot->success = is_share(slot->success) ? slot->success : success;
    slot->headroom = is_share(slot->headroom) ? slot->headroom : headroom;
    slot->last_rule = slot->last_rule < APIPOOL_RULE_COUNT ? slot->last_rule : 0;
    if (!isfinite(slot->balance)) {
        slot->balance = 0;
        slot->read_at = 0;
    }
    apipool_counts_mend(&slot->counts);
    take_words(stat, slot);
    int is_over = forget_the_future(slot, apr_time_now());
    apipool_members_settle_locked(stat->segment, index);
    if (!is_over) {
        take_model_slots(stat, index);
    }
}

static void take_upstream(const stat_t *stat)
{
    for (apr_uint32_t i = 0; i < apipool_segment_upstreams_used(stat->segment); i++) {
        apipool_upstream_t *u = &stat->segment->upstreams[i];
        if (u->pool == stat->pool && !strcmp(u->name, stat->about.upstream)) {
            take(stat, upstream_members, u);
            u->failing = is_share(u->failing) ? u->failing : 0;
            apipool_counters_mend(&u->counters);
        }
    }
}

static void take_points(const apipool_record_field_t *field, apipool_series_slot_t *points,
                        apr_uint64_t count)
{
    apr_uint64_t row[APIPOOL_RECORD_ROW_MAX];
    apr_size_t len;
    apipool_record_u64s(field, row, APIPOOL_RECORD_ROW_MAX, &len);
    for (apr_size_t i = 0; i + APIPOOL_POINT_ROW <= len && i < APIPOOL_RECORD_ROW_MAX;
         i += APIPOOL_POINT_ROW) {
        apipool_record_from_row(point_members, &points[row[i] % count], &row[i], APIPOOL_POINT_ROW);
    }
}

/* Points of earlier versions have no kinds: their errors are told as the upstream's. */
static void take_kinds(const apipool_record_field_t *field, apipool_series_slot_t *points,
                       apr_uint64_t count)
{
    apr_uint64_t row[APIPOOL_RECORD_ROW_MAX];
    apr_size_t len;
    apipool_record_u64s(field, row, APIPOOL_RECORD_ROW_MAX, &len);
    for (apr_size_t i = 0; i + APIPOOL_KIND_ROW <= len && i < APIPOOL_RECORD_ROW_MAX;
         i += APIPOOL_KIND_ROW) {
        apipool_series_slot_t *point = &points[row[i] % count];
        if (point->number == row[i]) {
            apipool_record_from_row(kind_members, point, &row[i], APIPOOL_KIND_ROW);
        }
    }
}

static void take_pool(const stat_t *stat)
{
    apipool_pool_stats_t *stats = &stat->segment->stats[stat->pool];
    take(stat, pool_members, stats);
    apipool_counters_mend(&stats->counters);
    take_points(&stat->about.minutes, stats->series.minutes, APIPOOL_SERIES_MINUTES);
    take_points(&stat->about.hours, stats->series.hours, APIPOOL_SERIES_HOURS);
    take_kinds(&stat->about.minute_kinds, stats->series.minutes, APIPOOL_SERIES_MINUTES);
    take_kinds(&stat->about.hour_kinds, stats->series.hours, APIPOOL_SERIES_HOURS);
}

/* Names that find no entry any more are counted together; their rates are lost. */
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

static void take_name(const stat_t *stat)
{
    const about_t *about = &stat->about;
    apipool_counters_t counters = {.counts.requests = 0};
    apipool_name_t name;
    if (!about->text.bytes || about->kind >= APIPOOL_NAMED_KINDS) { /* of a later version */
        return;
    }
    take(stat, name_members, &counters);
    apipool_counters_mend(&counters);
    apipool_name_make(&name, (const char *)about->text.bytes, about->text.len);
    apipool_counters_t *to = apipool_names_at_locked(&stat->segment->names, stat->pool,
                                                     (apipool_named_e)about->kind, &name, 1);
    if (to->counts.requests) {
        add_counts(&to->counts, &counters.counts);
    }
    else {
        *to = counters;
    }
}

static void take_account_limit(const stat_t *stat)
{
    apipool_account_limit_t account_limit = {.account = 0};
    apr_time_t now = apr_time_now();
    take(stat, account_limit_members, &account_limit);
    if (account_limit.account && account_limit.begun_at <= now && account_limit.until > now) {
        apipool_account_limit_locked(stat->segment, stat->pool, account_limit.account,
                                     account_limit.model, account_limit.spent != 0,
                                     account_limit.until, now);
    }
}

/* A client with the same name but another key is another client, unless the key was rotated since
 * these were saved. */
static void take_client(const stat_t *stat)
{
    const apipool_record_field_t *digest = &stat->about.digest;
    const apipool_clients_t *clients = &stat->segment->clients;
    apipool_client_slot_t *slot = NULL;
    if (digest->len == APIPOOL_CLIENT_KEY_DIGEST) {
        slot = apipool_clients_by_digest_locked(clients, digest->bytes);
        slot = slot ? slot : apipool_clients_by_old_digest_locked(clients, digest->bytes);
    }
    if (slot) {
        unsigned char present[APIPOOL_CLIENT_KEY_DIGEST];
        memcpy(present, slot->digest, sizeof(present));
        take(stat, client_members, slot);
        memcpy(slot->digest, present, sizeof(present));
        apipool_counters_mend(&slot->counters);
    }
}

static void take_locked(const stat_t *stat, char about)
{
    switch (about) {
    case APIPOOL_OF_KEY:
        take_slot(stat);
        break;
    case APIPOOL_OF_UPSTREAM:
        take_upstream(stat);
        break;
    case APIPOOL_OF_POOL:
        take_pool(stat);
        break;
    case APIPOOL_OF_NAME:
        take_name(stat);
        break;
    case APIPOOL_OF_ACCOUNT_LIMIT:
        take_account_limit(stat);
        break;
    case APIPOOL_OF_CLIENT:
        take_client(stat);
        break;
    default: /* of a later version */
        break;
    }
}

apr_status_t apipool_store_read_stats(void *ctx, const char *key, apr_size_t key_len,
                                      const char *value, apr_size_t len)
{
    const apipool_store_t *store = ctx;
    stat_t stat = {.segment = store->segment, .value = value, .len = len};
    apr_uint32_t upstream;
    if (!key_len || !apipool_record_read_members(value, len, about_members, &stat.about)) {
        return APR_EGENERAL;
    }
    apr_status_t rv =
        *key == APIPOOL_OF_CLIENT
            ? APR_SUCCESS /* it belongs to no pool */
            : apipool_pool_attach(stat.segment, stat.about.server, stat.about.pool, &stat.pool);
    if (rv == APR_SUCCESS && *key == APIPOOL_OF_UPSTREAM) {
        rv = apipool_pool_upstream(stat.segment, stat.pool, stat.about.upstream, &upstream);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_segment_lock(stat.segment);
    }
    if (rv == APR_SUCCESS) {
        take_locked(&stat, *key);
        apipool_segment_unlock(stat.segment);
    }
    return rv == APR_ENOSPC ? APR_SUCCESS : rv; /* more pools than there is room for */
}
