/* SPDX-License-Identifier: Apache-2.0
 * What a request may still spend: further keys, retries, time. */
#ifndef APIPOOL_RELAY_BUDGET_H
#define APIPOOL_RELAY_BUDGET_H

#include "request.h"

/* An attempt that met R09. */
typedef struct apipool_forbidden_t {
    apipool_lease_t *lease; /* without its secret */
    apipool_verdict_t verdict;
    struct apipool_forbidden_t *next;
} apipool_forbidden_t;

/* What a request may still spend, and what every attempt starts from. */
struct apipool_budget_t {
    proxy_server_conf *conf;
    apr_time_t deadline;   /* of apipool_monotonic_now(); 0: none */
    apr_time_t wait_until; /* the same clock */
    apr_int64_t rotations, retries;
    apipool_verdict_t verdict;      /* on the last attempt */
    int not_found;                  /* answers R10 so far: one is worth another try */
    int proving;                    /* a key had to prove itself */
    struct apipool_line_t *line;    /* acquire.c's, while the request waits for a key; or NULL */
    apr_interval_time_t pause;      /* before the next attempt */
    apipool_forbidden_t *forbidden; /* the last of them; NULL: none */
    apr_uint32_t *tried;
    int tried_count, doubted_count; /* keys in doubt come first */
    apr_table_t *headers_out; /* before the first attempt: a head is put into a table of its own */
};

/** The budget of a request that begins now; what mod_proxy's handler was called with goes along. */
struct apipool_budget_t *apipool_budget_make(const apipool_request_t *req, proxy_server_conf *conf);

/** Whether it allows another attempt after that verdict. */
int apipool_budget_allows(const apipool_request_t *req, const apipool_verdict_t *verdict);

/** Takes from it what the next attempt costs, and sets the pause before a retry. Returns 0 when
 *  there shall be no other attempt. */
int apipool_budget_spend(apipool_request_t *req, const apipool_verdict_t *verdict);

#endif
