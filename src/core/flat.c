/* SPDX-License-Identifier: Apache-2.0
 * Numbers as rows of integers, for records: what is counted, written out and read back. */
#include "flat.h"

#include <math.h>
#include <string.h>

static apr_uint64_t bits_of(double value)
{
    apr_uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double real_of(apr_uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return isfinite(value) && value > 0 ? value : 0;
}

apr_uint32_t apipool_flat_u32(apr_uint64_t value)
{
    return value < UINT32_MAX ? (apr_uint32_t)value : UINT32_MAX;
}

apr_uint64_t *apipool_flat_window(apr_uint64_t *row, const apipool_window_t *window)
{
    *row++ = window->newest;
    for (int i = 0; i < APIPOOL_WINDOW_BUCKETS; i++) {
        *row++ = window->counts[i];
    }
    return row;
}

const apr_uint64_t *apipool_unflat_window(const apr_uint64_t *row, apipool_window_t *window)
{
    window->newest = apipool_flat_u32(*row++);
    for (int i = 0; i < APIPOOL_WINDOW_BUCKETS; i++) {
        window->counts[i] = apipool_flat_u32(*row++);
    }
    return row;
}

apr_uint64_t *apipool_flat_counts(apr_uint64_t *row, const apipool_counts_t *counts)
{
    const apr_uint64_t values[APIPOOL_FLAT_COUNTS] = {
        counts->requests,
        counts->attempts,
        counts->successes,
        counts->errors,
        counts->prompt,
        counts->completion,
        counts->cached,
        counts->total,
        counts->estimated,
        bits_of(counts->success),
        bits_of(counts->latency),
        bits_of(counts->first_byte),
        counts->timed,
        counts->begun,
    };
    memcpy(row, values, sizeof(values));
    return row + APIPOOL_FLAT_COUNTS;
}

const apr_uint64_t *apipool_unflat_counts(const apr_uint64_t *row, apipool_counts_t *counts)
{
    double success = real_of(row[9]);
    *counts = (apipool_counts_t){
        .requests = row[0],
        .attempts = row[1],
        .successes = row[2],
        .errors = row[3],
        .prompt = row[4],
        .completion = row[5],
        .cached = row[6],
        .total = row[7],
        .estimated = row[8],
        .success = success < 1 ? success : 1,
        .latency = real_of(row[10]),
        .first_byte = real_of(row[11]),
        .timed = apipool_flat_u32(row[12]),
        .begun = apipool_flat_u32(row[13]),
    };
    return row + APIPOOL_FLAT_COUNTS;
}

apr_uint64_t *apipool_flat_numbers(apr_uint64_t *row, const apipool_numbers_t *numbers)
{
    row = apipool_flat_counts(row, &numbers->counts);
    for (int i = 0; i < APIPOOL_NUMBERS_WINDOWS; i++) {
        row = apipool_flat_window(row, &numbers->windows[i]);
    }
    return row;
}

const apr_uint64_t *apipool_unflat_numbers(const apr_uint64_t *row, apipool_numbers_t *numbers)
{
    row = apipool_unflat_counts(row, &numbers->counts);
    for (int i = 0; i < APIPOOL_NUMBERS_WINDOWS; i++) {
        row = apipool_unflat_window(row, &numbers->windows[i]);
    }
    return row;
}

apr_uint64_t *apipool_flat_histogram(apr_uint64_t *row, const apipool_histogram_t *histogram)
{
    memcpy(row, histogram->counts, sizeof(histogram->counts));
    row[APIPOOL_HISTOGRAM_BUCKETS + 1] = histogram->sum;
    return row + APIPOOL_FLAT_HISTOGRAM;
}

const apr_uint64_t *apipool_unflat_histogram(const apr_uint64_t *row,
                                             apipool_histogram_t *histogram)
{
    memcpy(histogram->counts, row, sizeof(histogram->counts));
    histogram->sum = row[APIPOOL_HISTOGRAM_BUCKETS + 1];
    return row + APIPOOL_FLAT_HISTOGRAM;
}
