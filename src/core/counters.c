/* SPDX-License-Identifier: Apache-2.0
 * Counters of requests and tokens: sums, rates, moving averages, histograms. */
#include "counters.h"

#include <math.h>

#define BUCKETS APIPOOL_HISTOGRAM_BUCKETS

const double apipool_histogram_bounds[BUCKETS] = {0.05, 0.1, 0.2, 0.5, 1,   2,   5,
                                                  10,   20,  30,  60,  120, 180, 300};

const char *apipool_kind_name(apipool_kind_e kind)
{
    static const char *const names[APIPOOL_KINDS] = {NULL, "client", "key", "upstream"};
    return kind < APIPOOL_KINDS ? names[kind] : NULL;
}

static apr_uint64_t known(apr_int64_t tokens)
{
    return tokens > 0 ? (apr_uint64_t)tokens : 0;
}

static double seconds(apr_interval_time_t time)
{
    return (double)time / APR_USEC_PER_SEC;
}

/* n includes this value. */
static void average(double *mean, apr_uint64_t n, double value)
{
    *mean += (value - *mean) /
             (double)(n < APIPOOL_COUNTERS_AVERAGE_OF ? n : APIPOOL_COUNTERS_AVERAGE_OF);
}

static void average_time(double *mean, apr_uint32_t *n, apr_interval_time_t time)
{
    if (time >= 0) {
        *n += *n < APIPOOL_COUNTERS_AVERAGE_OF;
        average(mean, *n, seconds(time));
    }
}

apr_uint64_t apipool_finished_tokens(const apipool_finished_t *finished)
{
    const apipool_usage_t *tokens = &finished->tokens;
    return tokens->total >= 0 ? (apr_uint64_t)tokens->total
                              : known(tokens->prompt) + known(tokens->completion);
}

void apipool_counts_add(apipool_counts_t *counts, const apipool_finished_t *finished)
{
    counts->requests++;
    counts->attempts += finished->attempts;
    counts->successes += finished->success != 0;
    counts->errors += finished->error != 0;
    if (finished->success || finished->error) {
        average(&counts->success, counts->successes + counts->errors, finished->success != 0);
    }
    if (finished->estimated) {
        counts->estimated += apipool_finished_tokens(finished);
    }
    else {
        counts->prompt += known(finished->tokens.prompt);
        counts->completion += known(finished->tokens.completion);
        counts->cached += known(finished->tokens.cached);
        counts->total += apipool_finished_tokens(finished);
    }
    average_time(&counts->latency, &counts->timed, finished->latency);
    average_time(&counts->first_byte, &counts->begun, finished->first_byte);
}

static apr_uint32_t hour_of(apr_time_t when)
{
    return when > 0 ? (apr_uint32_t)(apr_time_sec(when) / 3600) : 0;
}

static void note_largest(apipool_counters_t *counters, const apipool_finished_t *finished,
                         apr_time_t now)
{
    apr_uint32_t hour = hour_of(now);
    if (!finished->success || finished->tokens.completion <= 0) {
        return;
    }
    if (counters->largest_hour != hour) {
        counters->largest[1] = hour - counters->largest_hour == 1 ? counters->largest[0] : 0;
        counters->largest[0] = 0;
        counters->largest_hour = hour;
    }
    if (finished->tokens.completion > counters->largest[0]) {
        counters->largest[0] = finished->tokens.completion < APR_UINT32_MAX
                                   ? (apr_uint32_t)finished->tokens.completion
                                   : APR_UINT32_MAX;
    }
}

apr_uint32_t apipool_counters_largest(const apipool_counters_t *counters, apr_time_t now)
{
    apr_uint32_t age = hour_of(now) - __atomic_load_n(&counters->largest_hour, __ATOMIC_RELAXED);
    apr_uint32_t latest = __atomic_load_n(&counters->largest[0], __ATOMIC_RELAXED);
    apr_uint32_t before = __atomic_load_n(&counters->largest[1], __ATOMIC_RELAXED);
    return age > 1 ? 0 : age == 1 || latest > before ? latest : before;
}

void apipool_counters_add(apipool_counters_t *counters, const apipool_finished_t *finished,
                          apr_time_t now)
{
    apipool_counts_add(&counters->counts, finished);
    apipool_window_charge_four(counters->windows, now,
                               finished->estimated ? 0 : apipool_finished_tokens(finished));
    note_largest(counters, finished, now);
}

static apr_int64_t rate(const apipool_window_t *windows, int which, apr_time_t now)
{
    return (apr_int64_t)apipool_window_rate(&windows[which], apipool_window_span(which), now);
}

void apipool_counts_read(const apipool_counts_t *counts, const apipool_window_t *windows,
                         apr_time_t now, apipool_counters_snapshot_t *snapshot)
{
    *snapshot = (apipool_counters_snapshot_t){
        .requests = counts->requests,
        .attempts = counts->attempts,
        .successes = counts->successes,
        .errors = counts->errors,
        .prompt = counts->prompt,
        .completion = counts->completion,
        .cached = counts->cached,
        .total = counts->total,
        .estimated = counts->estimated,
        .rpm = rate(windows, APIPOOL_RPM, now),
        .rpd = rate(windows, APIPOOL_RPD, now),
        .tpm = rate(windows, APIPOOL_TPM, now),
        .tpd = rate(windows, APIPOOL_TPD, now),
        .success_rate = counts->successes || counts->errors ? counts->success : -1,
        .latency_ms = counts->timed ? counts->latency * 1000 : -1,
        .first_byte_ms = counts->begun ? counts->first_byte * 1000 : -1,
    };
}

void apipool_counters_read(const apipool_counters_t *counters, apr_time_t now,
                           apipool_counters_snapshot_t *snapshot)
{
    apipool_counts_read(&counters->counts, counters->windows, now, snapshot);
}

void apipool_histogram_add(apipool_histogram_t *histogram, apr_interval_time_t time)
{
    double value = seconds(time);
    int bucket = 0;

    if (time < 0) {
        return;
    }
    while (bucket < BUCKETS && value > apipool_histogram_bounds[bucket]) {
        bucket++;
    }
    histogram->counts[bucket]++;
    histogram->sum += (apr_uint64_t)time;
}

void apipool_histogram_read(const apipool_histogram_t *histogram,
                            apipool_histogram_snapshot_t *snapshot)
{
    apr_uint64_t count = 0;

    for (int i = 0; i < BUCKETS; i++) {
        count += histogram->counts[i];
        snapshot->at_most[i] = count;
    }
    snapshot->count = count + histogram->counts[BUCKETS];
    snapshot->sum = (double)histogram->sum / APR_USEC_PER_SEC;
}

static double within(double value, double least, double most, double instead)
{
    return isfinite(value) && value >= least && value <= most ? value : instead;
}

void apipool_counts_mend(apipool_counts_t *counts)
{
    apr_uint64_t *const all[] = {&counts->requests, &counts->attempts, &counts->successes,
                                 &counts->errors,   &counts->prompt,   &counts->completion,
                                 &counts->cached,   &counts->total,    &counts->estimated};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        *all[i] = *all[i] <= APIPOOL_COUNTERS_MAX / 2 ? *all[i] : 0; /* their sums are valid */
    }
    if (counts->requests < counts->successes + counts->errors) {
        counts->requests = counts->successes + counts->errors;
    }
    counts->success = within(counts->success, 0, 1, 0);
    counts->latency = within(counts->latency, 0, APIPOOL_COUNTERS_SECONDS_MAX, 0);
    counts->first_byte = within(counts->first_byte, 0, APIPOOL_COUNTERS_SECONDS_MAX, 0);
    counts->timed = counts->timed <= APIPOOL_COUNTERS_AVERAGE_OF ? counts->timed : 0;
    counts->begun = counts->begun <= APIPOOL_COUNTERS_AVERAGE_OF ? counts->begun : 0;
}
