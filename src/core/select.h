/* SPDX-License-Identifier: Apache-2.0
 * Comparison of usable keys by strategy. */
#ifndef APIPOOL_CORE_SELECT_H
#define APIPOOL_CORE_SELECT_H

#include <apr.h>
#include <apr_time.h>

typedef enum {
    APIPOOL_STRATEGY_SMART,
    APIPOOL_STRATEGY_ROUND_ROBIN,
    APIPOOL_STRATEGY_LEAST_USED,
    APIPOOL_STRATEGY_RANDOM,
    APIPOOL_STRATEGY_FILL_FIRST,
    APIPOOL_STRATEGY_COUNT
} apipool_strategy_e;

/* Facts about a key that a strategy uses. */
typedef struct {
    apr_uint32_t in_flight;
    double weight;   /* above 0; 1 is normal */
    double success;  /* moving average, 0 to 1 */
    double headroom; /* 1: no limit near; 0: its fullest window is full */
    unsigned streak; /* consecutive errors */
    double served;   /* virtual finish time; see apipool_select_finish */
    apr_time_t last_used_at;
} apipool_candidate_t;

/** Strategy by its name in the configuration, or -1. */
int apipool_strategy_by_name(const char *name);

/** Name of a strategy. */
const char *apipool_strategy_name(apipool_strategy_e strategy);

/** Names of all strategies, for messages: "smart, round-robin, …". */
const char *apipool_strategy_names(void);

/** Score of a key: weight * success^3 * headroom / (1 + in_flight / weight), halved for each
 *  consecutive error. Shares are proportional to it, so success is cubed: a key that fails half
 *  of its requests gets far less than half. At least a twentieth of the weight, so that the key
 *  can show that it works again. */
double apipool_select_score(const apipool_candidate_t *candidate);

/**
 * Virtual time of a key after one more request: fair queueing (Goyal, Vin and Cheng, 1996),
 * where a request costs the inverse of the key's share. With the best score alone, all but one
 * key would starve, and weights would mean nothing while no two requests overlap.
 * @param clock virtual time of the key served last; a key that was out of rotation starts there
 */
double apipool_select_finish(apipool_strategy_e strategy, const apipool_candidate_t *candidate,
                             double clock);

/**
 * Best candidate, for the strategies that compare: smart and least-used. Pure.
 * @param count at least 1
 * @return an index below count
 */
int apipool_select(apipool_strategy_e strategy, const apipool_candidate_t *candidates, int count,
                   double clock);

#endif
