/* SPDX-License-Identifier: Apache-2.0
 * Reads RateLimit and RateLimit-Policy, the header fields of the IETF's draft. */
#ifndef APIPOOL_VENDOR_RATE_LIMIT_H
#define APIPOOL_VENDOR_RATE_LIMIT_H

/* One limit; -1 where the fields do not say. */
typedef struct {
    double limit, remaining;
    double reset; /* in seconds; else the length of the limit's window */
} apipool_rate_limit_t;

/**
 * Reads the next limit of a RateLimit field: "burst";r=0;t=30, one for each comma, or the older
 * limit=10, remaining=0, reset=30. Pure, thread-safe.
 * @param at     in the field's value; moved behind the limit
 * @param policy the value of RateLimit-Policy, which has the limit and its window under the same
 *               name: "burst";q=100;w=60; or NULL
 * @return 0 if there is none any more
 */
int apipool_rate_limit_next(const char **at, const char *policy, apipool_rate_limit_t *limit);

#endif
