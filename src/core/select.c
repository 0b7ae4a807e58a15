/* SPDX-License-Identifier: Apache-2.0
 * Which of several usable keys a request gets: one row per strategy. */
#include "select.h"

#include <string.h>

#define SCORE_MIN  0.05 /* of the weight */
#define STREAK_MAX 5    /* halvings */

double apipool_select_score(const apipool_candidate_t *candidate)
{
    unsigned streak = candidate->streak < STREAK_MAX ? candidate->streak : STREAK_MAX;
    double success = candidate->success;
    double score = success * success * success * candidate->headroom /
                   (1.0 + candidate->in_flight / candidate->weight) / (double)(1u << streak);
    return candidate->weight * (score > SCORE_MIN ? score : SCORE_MIN);
}

double apipool_select_finish(apipool_strategy_e strategy, const apipool_candidate_t *candidate,
                             double clock)
{
    double share =
        strategy == APIPOOL_STRATEGY_SMART ? apipool_select_score(candidate) : candidate->weight;
    double finish = candidate->served + 1.0 / share;
    return finish > clock ? finish : clock;
}

/* Whose share is next; where that is equal, who has been idle for longest. */
static int fairer(apipool_strategy_e strategy, const apipool_candidate_t *a,
                  const apipool_candidate_t *b, double clock)
{
    double finish_a = apipool_select_finish(strategy, a, clock);
    double finish_b = apipool_select_finish(strategy, b, clock);
    return finish_a != finish_b ? finish_a < finish_b : a->last_used_at < b->last_used_at;
}

static int smart(const apipool_candidate_t *a, const apipool_candidate_t *b, double clock)
{
    return fairer(APIPOOL_STRATEGY_SMART, a, b, clock);
}

/* Fewest requests in flight for its weight, then fair shares. Totals do not count: a key that comes late,
 * or comes back, would get every request until it has caught up. */
static int less_used(const apipool_candidate_t *a, const apipool_candidate_t *b, double clock)
{
    double load_a = a->in_flight / a->weight, load_b = b->in_flight / b->weight;
    return load_a != load_b ? load_a < load_b : fairer(APIPOOL_STRATEGY_LEAST_USED, a, b, clock);
}

/* The candidate was the choice already. */
static int first_come(const apipool_candidate_t *a, const apipool_candidate_t *b, double clock)
{
    (void)a;
    (void)b;
    (void)clock;
    return 0;
}

static const struct {
    const char *name;
    apipool_sample_e sample;
    int (*better)(const apipool_candidate_t *a, const apipool_candidate_t *b, double clock);
} strategies[APIPOOL_STRATEGY_COUNT] = {
    [APIPOOL_STRATEGY_SMART] = {"smart", APIPOOL_SAMPLE_SPREAD, smart},
    [APIPOOL_STRATEGY_ROUND_ROBIN] = {"round-robin", APIPOOL_SAMPLE_NEXT, first_come},
    [APIPOOL_STRATEGY_LEAST_USED] = {"least-used", APIPOOL_SAMPLE_SPREAD, less_used},
    [APIPOOL_STRATEGY_RANDOM] = {"random", APIPOOL_SAMPLE_ONE, first_come},
    [APIPOOL_STRATEGY_FILL_FIRST] = {"fill-first", APIPOOL_SAMPLE_FIRST, first_come},
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

const char *apipool_strategy_name(apipool_strategy_e strategy)
{
    return strategies[strategy].name;
}

const char *apipool_strategy_names(void)
{
    return "smart, round-robin, least-used, random, fill-first";
}

apipool_sample_e apipool_strategy_sample(apipool_strategy_e strategy)
{
    return strategies[strategy].sample;
}

int apipool_select(apipool_strategy_e strategy, const apipool_candidate_t *candidates, int count,
                   double clock)
{
    int best = 0;
    for (int i = 1; i < count; i++) {
        if (strategies[strategy].better(&candidates[i], &candidates[best], clock)) {
            best = i;
        }
    }
    return best;
}
