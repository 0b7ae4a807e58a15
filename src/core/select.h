/* SPDX-License-Identifier: Apache-2.0
 * Which of several usable keys a request gets. */
#ifndef APIPOOL_CORE_SELECT_H
#define APIPOOL_CORE_SELECT_H

#include <apr.h>
#include <apr_time.h>

typedef enum {
    APIPOOL_STRATEGY_ROUND_ROBIN,
    APIPOOL_STRATEGY_LEAST_USED,
    APIPOOL_STRATEGY_COUNT
} apipool_strategy_e;

/* How many keys of a pool a strategy needs to see. */
typedef enum {
    APIPOOL_SAMPLE_NEXT,  /* the next one in turn */
    APIPOOL_SAMPLE_SPREAD /* all of a small pool, a few drawn at random from a large one */
} apipool_sample_e;

/* What a strategy knows of a key. */
typedef struct {
    apr_uint32_t in_flight;
    apr_time_t last_used_at;
} apipool_candidate_t;

/** The strategy of that name as the configuration spells it, or -1. */
int apipool_strategy_by_name(const char *name);

/** The names of all strategies, for messages: "round-robin, least-used". */
const char *apipool_strategy_names(void);

apipool_sample_e apipool_strategy_sample(apipool_strategy_e strategy);

/**
 * The best of the candidates. Pure.
 * @param count at least 1
 * @return an index below count
 */
int apipool_select(apipool_strategy_e strategy, const apipool_candidate_t *candidates, int count);

#endif
