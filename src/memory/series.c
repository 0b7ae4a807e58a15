/* SPDX-License-Identifier: Apache-2.0
 * History of a pool in two rings, by minute and by hour. */
#include "series.h"

#include <string.h>

static const apr_interval_time_t widths[] = {
    [APIPOOL_SERIES_BY_MINUTE] = APR_INT64_C(60000000),
    [APIPOOL_SERIES_BY_HOUR] = APR_INT64_C(3600000000),
};

static const int sizes[] = {
    [APIPOOL_SERIES_BY_MINUTE] = APIPOOL_SERIES_MINUTES,
    [APIPOOL_SERIES_BY_HOUR] = APIPOOL_SERIES_HOURS,
};

static apr_uint32_t number_of(apipool_series_step_e step, apr_time_t when)
{
    apr_time_t number = when > 0 ? when / widths[step] : 0;
    return number < APR_UINT32_MAX ? (apr_uint32_t)number : APR_UINT32_MAX;
}

static void add(apipool_series_slot_t *ring, apipool_series_step_e step,
                const apipool_finished_t *finished, apr_time_t now)
{
    apr_uint32_t number = number_of(step, now);
    apipool_series_slot_t *slot = &ring[number % (apr_uint32_t)sizes[step]];

    if (slot->number != number) {
        memset(slot, 0, sizeof(*slot));
        slot->number = number;
    }
    slot->requests++;
    slot->errors += finished->error != 0;
    slot->of_clients += finished->kind == APIPOOL_KIND_CLIENT;
    slot->of_keys += finished->kind == APIPOOL_KIND_KEY;
    if (!finished->estimated && finished->tokens.prompt > 0) {
        slot->prompt += (apr_uint64_t)finished->tokens.prompt;
    }
    if (!finished->estimated && finished->tokens.completion > 0) {
        slot->completion += (apr_uint64_t)finished->tokens.completion;
    }
    if (finished->first_byte >= 0) {
        slot->begun++;
        slot->first_byte += (apr_uint64_t)finished->first_byte;
    }
    if (finished->latency >= 0) {
        slot->timed++;
        slot->latency += (apr_uint64_t)finished->latency;
    }
}

void apipool_series_add_locked(apipool_series_t *series, const apipool_finished_t *finished,
                               apr_time_t now)
{
    add(series->minutes, APIPOOL_SERIES_BY_MINUTE, finished, now);
    add(series->hours, APIPOOL_SERIES_BY_HOUR, finished, now);
}

int apipool_series_read_locked(const apipool_series_t *series, apipool_series_step_e step,
                               apr_time_t now, apipool_series_point_t *points, int count)
{
    const apipool_series_slot_t *ring =
        step == APIPOOL_SERIES_BY_MINUTE ? series->minutes : series->hours;
    apr_int64_t newest = number_of(step, now);

    count = count < sizes[step] ? count : sizes[step];
    for (int i = 0; i < count; i++) {
        apr_int64_t number = newest - (count - 1 - i);
        points[i] = (apipool_series_point_t){.at = number * widths[step]};
        if (number < 0 || ring[number % sizes[step]].number != number) {
            continue;
        }
        const apipool_series_slot_t *slot = &ring[number % sizes[step]];
        points[i].requests = slot->requests;
        points[i].errors = slot->errors;
        points[i].of_clients = slot->of_clients;
        points[i].of_keys = slot->of_keys;
        points[i].prompt = slot->prompt;
        points[i].completion = slot->completion;
        points[i].begun = slot->begun;
        points[i].timed = slot->timed;
        points[i].first_byte = slot->first_byte;
        points[i].latency = slot->latency;
    }
    return count > 0 ? count : 0;
}

double apipool_series_success_rate(const apipool_series_point_t *point)
{
    apr_uint64_t left =
        point->requests > point->of_clients ? point->requests - point->of_clients : 0;
    apr_uint64_t errors = point->errors < left ? point->errors : left;
    return left ? (double)(left - errors) / (double)left : -1;
}

double apipool_series_mean_ms(apr_uint64_t sum, apr_uint64_t requests)
{
    return requests ? (double)sum / (double)requests / 1000 : -1;
}
