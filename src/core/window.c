/* SPDX-License-Identifier: Apache-2.0
 * Sliding windows as rings of buckets, each numbered by the time that it covers. */
#include "window.h"

#include <string.h>

#define BUCKETS APIPOOL_WINDOW_BUCKETS

/* Width of a bucket: a 15th of the span and its margin, rounded up. */
#define MINUTE_WIDTH APR_INT64_C(4066667)
#define DAY_WIDTH    APR_INT64_C(5764000000)

static const struct {
    apr_interval_time_t length; /* of the span */
    apr_interval_time_t width;  /* of a bucket */
} spans[] = {
    [APIPOOL_WINDOW_MINUTE] = {APR_INT64_C(60000000), MINUTE_WIDTH},
    [APIPOOL_WINDOW_DAY] = {APR_INT64_C(86400000000), DAY_WIDTH},
};

/* Divides by constants, which is far cheaper. */
static apr_uint32_t bucket_of(apipool_window_span_e span, apr_time_t when)
{
    apr_uint64_t time = when > 0 ? (apr_uint64_t)when : 0;
    apr_uint64_t number = span == APIPOOL_WINDOW_MINUTE ? time / MINUTE_WIDTH : time / DAY_WIDTH;
    return number < UINT32_MAX ? (apr_uint32_t)number : UINT32_MAX;
}

/* Number of buckets begun since the newest; 0 if the clock is behind it. */
static apr_uint32_t begun_since(const apipool_window_t *w, apr_uint32_t current)
{
    return current > w->newest ? current - w->newest : 0;
}

/* A clock that was a year ahead and is corrected must not make a full window wait for a year.
 * The newest bucket becomes the next one, not the current one: an unknown time has passed since
 * its last charge, so every charge is taken to be one bucket younger than it looks. */
static void turn_back(apipool_window_t *w, apr_uint32_t current)
{
    apr_uint32_t old[BUCKETS], newest = current + 1;

    memcpy(old, w->counts, sizeof(old));
    for (apr_uint32_t age = 0; age < BUCKETS; age++) {
        w->counts[(newest - age) % BUCKETS] = old[(w->newest - age) % BUCKETS];
    }
    w->newest = newest;
}

static inline void follow(apipool_window_t *w, apr_uint32_t current)
{
    if (w->newest >= current && w->newest - current >= BUCKETS) {
        turn_back(w, current);
    }
}

static void advance(apipool_window_t *w, apr_uint32_t current)
{
    apr_uint32_t begun = begun_since(w, current);
    for (apr_uint32_t i = 0; i < begun && i < BUCKETS; i++) {
        w->counts[(current - i) % BUCKETS] = 0;
    }
    w->newest += begun;
}

apr_uint64_t apipool_window_sum(const apipool_window_t *w, apipool_window_span_e span,
                                apr_time_t now)
{
    apr_uint64_t sum = 0;
    for (apr_uint32_t i = begun_since(w, bucket_of(span, now)); i < BUCKETS; i++) {
        sum += w->counts[(w->newest + i + 1) % BUCKETS];
    }
    return sum;
}

apr_uint64_t apipool_window_rate(const apipool_window_t *w, apipool_window_span_e span,
                                 apr_time_t now)
{
    apr_time_t width = spans[span].width, begun = (apr_time_t)w->newest * width, start;
    apr_uint64_t sum = 0;

    now = now > begun ? now : begun;
    start = now - spans[span].length;
    for (apr_uint32_t age = 0; age < BUCKETS; age++, begun -= width) {
        apr_time_t inside = width - (start - begun);
        apr_uint64_t count = w->counts[(w->newest - age) % BUCKETS];
        if (inside <= 0) {
            break;
        }
        sum += inside >= width ? count : count * (apr_uint64_t)inside / (apr_uint64_t)width;
    }
    return sum;
}

static inline void charge(apipool_window_t *w, apr_uint32_t current, apr_uint64_t amount)
{
    follow(w, current);
    advance(w, current);
    apr_uint32_t *count = &w->counts[w->newest % BUCKETS];
    *count = amount < UINT32_MAX - *count ? *count + (apr_uint32_t)amount : UINT32_MAX;
}

void apipool_window_charge(apipool_window_t *w, apipool_window_span_e span, apr_time_t now,
                           apr_uint64_t amount)
{
    charge(w, bucket_of(span, now), amount);
}

void apipool_window_charge_four(apipool_window_t *four, apr_time_t now, apr_uint64_t tokens)
{
    apr_uint32_t minute = bucket_of(APIPOOL_WINDOW_MINUTE, now);
    apr_uint32_t day = bucket_of(APIPOOL_WINDOW_DAY, now);
    charge(&four[APIPOOL_RPM], minute, 1);
    charge(&four[APIPOOL_RPD], day, 1);
    charge(&four[APIPOOL_TPM], minute, tokens);
    charge(&four[APIPOOL_TPD], day, tokens);
}

void apipool_window_refund(apipool_window_t *w, apipool_window_span_e span, apr_time_t charged_at,
                           apr_time_t now, apr_uint64_t amount)
{
    apr_uint32_t charged = bucket_of(span, charged_at), current = bucket_of(span, now);
    apr_uint32_t *count = &w->counts[charged % BUCKETS];

    advance(w, current);
    if (charged > w->newest || w->newest - charged >= BUCKETS || *count == UINT32_MAX) {
        return;
    }
    *count = amount < *count ? *count - (apr_uint32_t)amount : 0;
}

void apipool_window_settle(apipool_window_t *w, apipool_window_span_e span, apr_time_t charged_at,
                           apr_time_t now, apr_uint64_t reserved, apr_uint64_t used)
{
    if (used > reserved) {
        apipool_window_charge(w, span, now, used - reserved);
    }
    else {
        apipool_window_refund(w, span, charged_at, now, reserved - used);
    }
}

apr_time_t apipool_window_next_free(apipool_window_t *w, apipool_window_span_e span, apr_time_t now,
                                    apr_uint64_t limit, apr_uint64_t amount)
{
    apr_uint32_t current = bucket_of(span, now), age;
    apr_uint64_t sum, allowed;

    if (limit == 0) {
        return now;
    }
    follow(w, current);
    allowed = amount < limit ? limit - amount : 0;
    sum = apipool_window_sum(w, span, now);
    for (age = BUCKETS - begun_since(w, current); sum > allowed; age--) {
        sum -= w->counts[(w->newest - (age - 1)) % BUCKETS];
    }
    if (age == BUCKETS - begun_since(w, current)) {
        return now;
    }
    /* The last bucket taken off has to leave, which it does 16 widths after its beginning. */
    return ((apr_time_t)w->newest - (apr_time_t)age + BUCKETS) * spans[span].width;
}

void apipool_window_shift(apipool_window_t *w, apipool_window_span_e span, apr_interval_time_t step)
{
    apr_uint32_t old[BUCKETS], was = w->newest;
    apr_interval_time_t width = spans[span].width;
    apr_int64_t number = (apr_int64_t)was + (step > 0 ? (step + width - 1) / width : step / width);

    if (!was || number <= BUCKETS || number >= UINT32_MAX) {
        return; /* nothing was charged, or there is no such time */
    }
    memcpy(old, w->counts, sizeof(old));
    w->newest = (apr_uint32_t)number;
    for (apr_uint32_t age = 0; age < BUCKETS; age++) {
        w->counts[(w->newest - age) % BUCKETS] = old[(was - age) % BUCKETS];
    }
}

int apipool_window_is_edge(apr_time_t when)
{
    return when > 0 && (when % MINUTE_WIDTH == 0 || when % DAY_WIDTH == 0);
}
