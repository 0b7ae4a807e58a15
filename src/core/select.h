/* SPDX-License-Identifier: Apache-2.0
 * Which of several usable keys a request gets. */
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

/* What a strategy knows of a key. */
typedef struct {
    apr_uint32_t in_flight;
    double weight;   /* above 0; 1 is normal */
    double success;  /* moving average, 0 to 1 */
    double headroom; /* 1: no limit near, 0: the fullest of its windows is full */
    unsigned streak; /* consecutive errors */
    double served;   /* up to where it has had its share; see apipool_select_finish */
    apr_time_t last_used_at;
} apipool_candidate_t;

/** The strategy of that name as the configuration spells it, or -1. */
int apipool_strategy_by_name(const char *name);

/** Its name. */
const char *apipool_strategy_name(apipool_strategy_e strategy);

/** The names of all strategies, for messages: "smart, round-robin, …". */
const char *apipool_strategy_names(void);

/**
 * How good a key is: weight * success^2 * headroom / (1 + in_flight / weight), halved per consecutive error.
 * Squared, since shares are in proportion to it: a key that fails half of its requests is to get far less
 * than half. Never below a twentieth of its weight, so that it gets to show that it works again.
 */
double apipool_select_score(const apipool_candidate_t *candidate);

/**
 * Where a key stands when it has served one more request: fair queueing (Goyal, Vin and Cheng, 1996), in
 * which a request costs a key what its share is the inverse of. The best score alone would starve all
 * but one key, and give weights no meaning as long as no two requests overlap.
 * @param clock where the key served last stood before that; one that was out of rotation comes back there
 */
double apipool_select_finish(apipool_strategy_e strategy, const apipool_candidate_t *candidate,
                             double clock);

/**
 * The best of the candidates, for the strategies that compare: smart and least-used. Pure.
 * @param count at least 1
 * @return an index below count
 */
int apipool_select(apipool_strategy_e strategy, const apipool_candidate_t *candidates, int count,
                   double clock);

#endif
