/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/manage/listing and src/pool/view: pages of many keys, compared with a plain sort. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "listing.h"
#include "pool_fixture.h"
#include "slots.h"

#define MANY  100000
#define OTHER 500 /* keys of another pool */

static apr_pool_t *memory; /* for one test */
static apr_uint32_t random_state;

static apr_uint32_t draw(apr_uint32_t bound)
{
    return next_random(&random_state) % bound;
}

/* Few different values, so that many keys share one. */
static void dress(apipool_slot_t *slot)
{
    slot->added_at = NOW - SEC(draw(1000));
    slot->last_used_at = draw(3) ? NOW - SEC(draw(500)) : 0;
    slot->weight = 1 + draw(5);
    slot->in_flight = draw(4);
    slot->error_streak = draw(4);
    slot->counts.requests = 2000 + draw(100);
    slot->counts.errors = draw(2) ? draw(1000) : 0;
    slot->counts.successes = draw(2) ? 1000 : 0;
    slot->counts.success = draw(100) / 100.0;
    slot->counts.total = draw(100000);
    slot->counts.timed = draw(2);
    slot->counts.latency = draw(300) / 100.0;
    slot->read_at = draw(2) ? NOW : 0;
    slot->balance = (double)draw(1000) - 500;
    for (int i = 0; i < APIPOOL_WINDOWS; i++) {
        apipool_window_charge(&slot->windows[i], apipool_window_span(i), NOW, draw(50));
    }
}

/* States like those that requests leave. */
static void move(apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    slot->state = (apipool_state_e)draw(APIPOOL_STATE_COUNT);
    slot->until[0] = slot->state == APIPOOL_STATE_ACTIVE ? 0 : NOW - SEC(50) + SEC(draw(100));
    apipool_members_settle_locked(segment, index);
}

static void add_keys(apr_uint32_t upstream, const char *prefix, int count)
{
    char key[64];
    for (int i = 0; i < count; i++) {
        char label[64];
        apipool_key_item_t item = {.key = key,
                                   .enabled = 1,
                                   .label = i % 3 ? label : NULL,
                                   .account = i % 7 ? "Team\xc3\xa9" : NULL};
        snprintf(label, sizeof(label), "%s %d", i % 2 ? "No." : "no.", i % 5000);
        item.len =
            (apr_size_t)snprintf(key, sizeof(key), "sk-%s-%06d-%08x", prefix, i, i * 2654435761u);
        assert_int_equal(add_item(upstream, &item), APIPOOL_ADDED);
    }
}

static int open_many(void **state)
{
    fixture_t *f = open_with(MANY + OTHER + 1);
    random_state = 20261123;
    assert_int_equal(apr_pool_create(&memory, NULL), APR_SUCCESS);
    add_keys(upstream_b, "other", MANY / 4);
    add_keys(upstream_of(attach("example.org", "main"), "a"), "elsewhere", OTHER);
    add_keys(upstream_a, "many", MANY - MANY / 4);
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        dress(&segment->slots[i]);
        move(i);
    }
    *state = f;
    return 0;
}

static int close_many(void **state)
{
    apr_pool_destroy(memory);
    fixture_close(*state);
    return 0;
}

/* --- Expected results, computed differently --- */

typedef struct {
    const apipool_slot_t *slot;
    const char *text; /* of a sort by text */
    double value;
    int known;
} expected_t;

static int descending, by_id_alone;

static int in_order(const void *a, const void *b)
{
    const expected_t *first = a, *second = b;
    double left = first->value, right = second->value;
    int ids = first->slot->id < second->slot->id ? -1 : 1;
    if (by_id_alone) {
        return descending ? -ids : ids;
    }
    if (first->known != second->known) {
        return first->known ? -1 : 1;
    }
    if (first->text && second->text) {
        int texts = strcasecmp(first->text, second->text);
        texts = texts ? texts : strcmp(first->text, second->text);
        return !texts ? ids : descending ? -texts : texts;
    }
    if (!first->known || left == right) {
        return ids;
    }
    return (left < right) == descending ? 1 : -1;
}

static apipool_state_e state_of(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_COOLING && slot->until[0] <= NOW ? APIPOOL_STATE_ACTIVE
                                                                         : slot->state;
}

static double charged(const apipool_slot_t *slot, int window)
{
    double sum = 0;
    for (int i = 0; i < APIPOOL_WINDOW_BUCKETS; i++) {
        sum += slot->windows[window].counts[i];
    }
    return sum;
}

static double value_of(const apipool_slot_t *slot, apipool_key_sort_e sort, int *known)
{
    const apipool_counts_t *c = &slot->counts;
    const struct {
        double value;
        int known;
    } values[APIPOOL_SORT_COUNT] = {
        [APIPOOL_SORT_ADDED] = {(double)slot->added_at, 1},
        [APIPOOL_SORT_UPSTREAM] = {slot->upstream == upstream_b, 1}, /* "a", "b" */
        [APIPOOL_SORT_STATE] = {state_of(slot), 1},
        [APIPOOL_SORT_WEIGHT] = {slot->weight, 1},
        [APIPOOL_SORT_IN_FLIGHT] = {slot->in_flight, 1},
        [APIPOOL_SORT_REQUESTS] = {(double)c->requests, 1},
        [APIPOOL_SORT_ERRORS] = {(double)c->errors, 1},
        [APIPOOL_SORT_ERROR_STREAK] = {slot->error_streak, 1},
        [APIPOOL_SORT_SUCCESS_RATE] = {c->success, c->successes || c->errors},
        [APIPOOL_SORT_RPM] = {charged(slot, APIPOOL_RPM), 1},
        [APIPOOL_SORT_RPD] = {charged(slot, APIPOOL_RPD), 1},
        [APIPOOL_SORT_TPM] = {charged(slot, APIPOOL_TPM), 1},
        [APIPOOL_SORT_TPD] = {charged(slot, APIPOOL_TPD), 1},
        [APIPOOL_SORT_TOTAL_TOKENS] = {(double)c->total, 1},
        [APIPOOL_SORT_BALANCE] = {slot->balance, slot->read_at != 0},
        [APIPOOL_SORT_LAST_USED] = {(double)slot->last_used_at, slot->last_used_at != 0},
        [APIPOOL_SORT_LATENCY] = {c->latency, c->timed != 0},
    };
    *known = values[sort].known;
    return values[sort].value;
}

static const char *text_of(const apipool_slot_t *slot, apipool_key_sort_e sort)
{
    const char *text = sort == APIPOOL_SORT_LABEL     ? apipool_slot_label_locked(segment, slot)
                       : sort == APIPOOL_SORT_ACCOUNT ? apipool_slot_account_locked(segment, slot)
                                                      : "";
    return *text ? text : NULL;
}

static expected_t *expect(apipool_key_sort_e sort, unsigned states, apr_uint32_t upstream,
                          apr_uint32_t *count)
{
    expected_t *all = apr_palloc(memory, MANY * sizeof(*all));
    *count = 0;
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (slot->id && slot->pool == main_pool &&
            (upstream == APIPOOL_NONE || slot->upstream == upstream) &&
            (!states || states & (1u << state_of(slot)))) {
            expected_t *one = &all[(*count)++];
            one->slot = slot;
            one->value = value_of(slot, sort, &one->known);
            one->text = text_of(slot, sort);
            one->known |= one->text != NULL;
        }
    }
    by_id_alone = sort == APIPOOL_SORT_ID;
    qsort(all, *count, sizeof(*all), in_order);
    return all;
}

static apr_array_header_t *find(const apipool_key_filter_t *filter, apipool_key_sort_e sort)
{
    apr_array_header_t *listed;
    assert_int_equal(apipool_listing_find(segment, main_pool, filter, sort, NOW, memory, &listed),
                     APR_SUCCESS);
    return listed;
}

static apr_uint64_t id_at(const apr_array_header_t *listed, apr_uint32_t i)
{
    return APR_ARRAY_IDX(listed, i, apipool_listed_t).id;
}

static void check_page(const apipool_key_filter_t *filter, apipool_key_sort_e sort,
                       const expected_t *right, apr_uint32_t count, apr_uint32_t offset,
                       apr_uint32_t limit)
{
    apr_array_header_t *listed = find(filter, sort);
    apr_uint32_t left = offset < count ? count - offset : 0;
    assert_int_equal(listed->nelts, count);
    apr_uint32_t shown = apipool_listing_sort(listed, sort, descending, offset, limit);
    assert_int_equal(shown, left < limit ? left : limit);
    for (apr_uint32_t i = offset; i < offset + shown; i++) {
        assert_int_equal(id_at(listed, i), right[i].slot->id);
    }
}

static void every_sort_has_the_right_pages_both_ways(void **unused)
{
    static const apipool_key_filter_t all;
    for (int sort = 0; sort < APIPOOL_SORT_COUNT; sort++) {
        for (descending = 0; descending <= 1; descending++) {
            apr_uint32_t count;
            const expected_t *right = expect((apipool_key_sort_e)sort, 0, APIPOOL_NONE, &count);
            assert_int_equal(count, MANY);
            check_page(&all, (apipool_key_sort_e)sort, right, count, 0, 100);
            check_page(&all, (apipool_key_sort_e)sort, right, count, MANY / 2 + 17, 1000);
            check_page(&all, (apipool_key_sort_e)sort, right, count, MANY - 30, 100);
            apr_pool_clear(memory);
        }
    }
}

static void a_page_may_be_everything_or_nothing(void **unused)
{
    static const apipool_key_filter_t all;
    apr_uint32_t count;
    descending = 1;
    const expected_t *right = expect(APIPOOL_SORT_BALANCE, 0, APIPOOL_NONE, &count);
    check_page(&all, APIPOOL_SORT_BALANCE, right, count, 0, MANY);
    check_page(&all, APIPOOL_SORT_BALANCE, right, count, 0, APR_UINT32_MAX);
    check_page(&all, APIPOOL_SORT_BALANCE, right, count, MANY, 10);
    check_page(&all, APIPOOL_SORT_BALANCE, right, count, APR_UINT32_MAX, APR_UINT32_MAX);
    check_page(&all, APIPOOL_SORT_BALANCE, right, count, 7, 0);
}

static void filters_combine(void **unused)
{
    static const unsigned states[] = {0, 1u << APIPOOL_STATE_ACTIVE, 1u << APIPOOL_STATE_COOLING,
                                      1u << APIPOOL_STATE_INVALID | 1u << APIPOOL_STATE_QUOTA};
    static const char *const names[] = {NULL, "a", "b"};
    const apr_uint32_t upstreams[] = {APIPOOL_NONE, upstream_a, upstream_b};
    apr_uint32_t sum = 0;
    descending = 0;
    for (int s = 0; s < 4; s++) {
        for (int u = 0; u < 3; u++) {
            apipool_key_filter_t filter = {.states = states[s], .upstream = names[u]};
            apr_uint32_t count;
            const expected_t *right =
                expect(APIPOOL_SORT_REQUESTS, states[s], upstreams[u], &count);
            check_page(&filter, APIPOOL_SORT_REQUESTS, right, count, count / 3, 50);
            sum += s ? 0 : count;
            apr_pool_clear(memory);
        }
    }
    assert_int_equal(sum, 2 * MANY);
}

static void an_unknown_upstream_has_no_keys(void **unused)
{
    apipool_key_filter_t filter = {.upstream = "elsewhere"};
    assert_int_equal(find(&filter, APIPOOL_SORT_ID)->nelts, 0);
}

static void text_is_found_in_ids_and_masked_keys(void **unused)
{
    char hex[APIPOOL_ID_SIZE], part[5] = "";
    const apipool_slot_t *slot = &segment->slots[4711];
    apipool_key_filter_t filter = {.text = hex};
    apipool_key_id_hex(slot->id, hex);
    assert_int_equal(find(&filter, APIPOOL_SORT_ADDED)->nelts, 1);
    hex[15] = '\0'; /* part of it, in capital letters */
    for (char *c = hex; *c; c++) {
        *c = *c >= 'a' && *c <= 'f' ? (char)(*c - 32) : *c;
    }
    apr_array_header_t *listed = find(&filter, APIPOOL_SORT_ADDED);
    assert_int_equal(listed->nelts, 1);
    assert_true(id_at(listed, 0) == slot->id);

    memcpy(part, slot->secret + slot->secret_len - 4, 4); /* the last four of the key */
    filter.text = part;
    listed = find(&filter, APIPOOL_SORT_ADDED);
    int found = 0;
    for (int i = 0; i < listed->nelts; i++) {
        found |= id_at(listed, (apr_uint32_t)i) == slot->id;
    }
    assert_true(found && listed->nelts < MANY);

    filter.text = "NO. 4999"; /* in one label of 5000 */
    assert_in_range(find(&filter, APIPOOL_SORT_LABEL)->nelts, 10, 20);
    filter.text = "team\xc3\xa9";
    assert_in_range(find(&filter, APIPOOL_SORT_ID)->nelts, MANY * 6 / 7 - 2, MANY * 6 / 7 + 2);
    filter.text = "many-0"; /* in the keys, but not in their visible part */
    assert_int_equal(find(&filter, APIPOOL_SORT_ADDED)->nelts, 0);
    filter.text = "";
    assert_int_equal(find(&filter, APIPOOL_SORT_ADDED)->nelts, MANY);
}

static apr_uint32_t upstream_at(const apr_array_header_t *listed, int i)
{
    return segment->slots[APR_ARRAY_IDX(listed, i, apipool_listed_t).slot].upstream;
}

static void a_key_that_was_removed_is_not_there(void **unused)
{
    char hex[APIPOOL_ID_SIZE];
    apr_uint64_t id = segment->slots[12345].id;
    apipool_key_filter_t filter = {.text = hex};
    apipool_key_id_hex(id, hex);
    assert_int_equal(find(&filter, APIPOOL_SORT_ID)->nelts, 1);
    assert_int_equal(apipool_pool_remove(segment, main_pool, id), APR_SUCCESS);
    assert_int_equal(find(&filter, APIPOOL_SORT_ID)->nelts, 0);
    filter.text = NULL;
    assert_int_equal(find(&filter, APIPOOL_SORT_ID)->nelts, MANY - 1);
}

static void upstreams_are_sorted_by_name(void **unused)
{
    static const apipool_key_filter_t all;
    add_keys(upstream_of(main_pool, "Z"), "capital", 1); /* a later upstream, an earlier name */
    apr_array_header_t *listed = find(&all, APIPOOL_SORT_UPSTREAM);
    assert_int_equal(apipool_listing_sort(listed, APIPOOL_SORT_UPSTREAM, 0, 0, 2), 2);
    assert_int_equal(upstream_at(listed, 0), upstream_of(main_pool, "Z"));
    assert_int_equal(upstream_at(listed, 1), upstream_a);
    assert_int_equal(apipool_listing_sort(listed, APIPOOL_SORT_UPSTREAM, 1, 0, 2), 2);
    assert_int_equal(upstream_at(listed, 0), upstream_b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sort_has_the_right_pages_both_ways),
        cmocka_unit_test(a_page_may_be_everything_or_nothing),
        cmocka_unit_test(filters_combine),
        cmocka_unit_test(an_unknown_upstream_has_no_keys),
        cmocka_unit_test(text_is_found_in_ids_and_masked_keys),
        cmocka_unit_test(a_key_that_was_removed_is_not_there),
        cmocka_unit_test(upstreams_are_sorted_by_name),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, open_many, close_many);
    apr_terminate();
    return failed;
}
