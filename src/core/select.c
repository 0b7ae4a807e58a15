/* SPDX-License-Identifier: Apache-2.0
 * Which of several usable keys a request gets: one row per strategy. */
#include "select.h"

#include <string.h>

/* Fewest requests in flight, then idle for longest. Totals do not count: a key that comes late, or comes
 * back, would get every request until it has caught up. */
static int less_used(const apipool_candidate_t *a, const apipool_candidate_t *b)
{
    if (a->in_flight != b->in_flight) {
        return a->in_flight < b->in_flight;
    }
    return a->last_used_at < b->last_used_at;
}

/* The turn decides before candidates are drawn; there is nothing left to compare. */
static int first_come(const apipool_candidate_t *a, const apipool_candidate_t *b)
{
    (void)a;
    (void)b;
    return 0;
}

static const struct {
    const char *name;
    apipool_sample_e sample;
    int (*better)(const apipool_candidate_t *a, const apipool_candidate_t *b);
} strategies[APIPOOL_STRATEGY_COUNT] = {
    [APIPOOL_STRATEGY_ROUND_ROBIN] = {"round-robin", APIPOOL_SAMPLE_NEXT, first_come},
    [APIPOOL_STRATEGY_LEAST_USED] = {"least-used", APIPOOL_SAMPLE_SPREAD, less_used},
};

int apipool_strategy_by_name(const char *name)
{
    for (int i = 0; i < APIPOOL_STRATEGY_COUNT; i++) {
        if (!strcmp(name, strategies[i].name)) {
            return i;
        }
    }
    return -1;
}

const char *apipool_strategy_names(void)
{
    return "round-robin, least-used";
}

apipool_sample_e apipool_strategy_sample(apipool_strategy_e strategy)
{
    return strategies[strategy].sample;
}

int apipool_select(apipool_strategy_e strategy, const apipool_candidate_t *candidates, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++) {
        if (strategies[strategy].better(&candidates[i], &candidates[best])) {
            best = i;
        }
    }
    return best;
}
