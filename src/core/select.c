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

/* What candidates are compared by: the least load, then whose share is next, then who has been idle for
 * longest. Made once for each. */
typedef struct {
    double load, finish;
    apr_time_t last_used_at;
} rank_t;

static int is_before(const rank_t *a, const rank_t *b)
{
    if (a->load != b->load) {
        return a->load < b->load;
    }
    return a->finish != b->finish ? a->finish < b->finish : a->last_used_at < b->last_used_at;
}

static rank_t by_share(apipool_strategy_e strategy, const apipool_candidate_t *c, double clock)
{
    return (rank_t){0, apipool_select_finish(strategy, c, clock), c->last_used_at};
}

/* Fewest requests in flight for its weight, then fair shares. Totals do not count: a key that comes late,
 * or comes back, would get every request until it has caught up. */
static rank_t by_load(apipool_strategy_e strategy, const apipool_candidate_t *c, double clock)
{
    rank_t rank = by_share(strategy, c, clock);
    rank.load = c->in_flight / c->weight;
    return rank;
}

/* The candidate was the choice already. */
static rank_t by_nothing(apipool_strategy_e strategy, const apipool_candidate_t *c, double clock)
{
    return (rank_t){0, 0, 0};
}

static const struct {
    const char *name;
    apipool_sample_e sample;
    rank_t (*rank)(apipool_strategy_e strategy, const apipool_candidate_t *c, double clock);
} strategies[APIPOOL_STRATEGY_COUNT] = {
    [APIPOOL_STRATEGY_SMART] = {"smart", APIPOOL_SAMPLE_SPREAD, by_share},
    [APIPOOL_STRATEGY_ROUND_ROBIN] = {"round-robin", APIPOOL_SAMPLE_NEXT, by_nothing},
    [APIPOOL_STRATEGY_LEAST_USED] = {"least-used", APIPOOL_SAMPLE_SPREAD, by_load},
    [APIPOOL_STRATEGY_RANDOM] = {"random", APIPOOL_SAMPLE_ONE, by_nothing},
    [APIPOOL_STRATEGY_FILL_FIRST] = {"fill-first", APIPOOL_SAMPLE_FIRST, by_nothing},
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
    rank_t best = strategies[strategy].rank(strategy, &candidates[0], clock);
    int found = 0;
    for (int i = 1; i < count; i++) {
        rank_t rank = strategies[strategy].rank(strategy, &candidates[i], clock);
        if (is_before(&rank, &best)) {
            best = rank;
            found = i;
        }
    }
    return found;
}
