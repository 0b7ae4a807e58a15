/* SPDX-License-Identifier: Apache-2.0
 * Comparison of usable keys by strategy. */
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

/* Sort key, computed once per candidate: least load, then next share, then longest idle. */
typedef struct {
    double load, finish;
    apr_time_t last_used_at;
} rank_t;

/* Load is the number of requests in flight per weight. Totals are not compared: a new or
 * returning key would get every request until it had caught up. */
static rank_t rank_of(apipool_strategy_e strategy, const apipool_candidate_t *c, double clock)
{
    return (rank_t){strategy == APIPOOL_STRATEGY_LEAST_USED ? c->in_flight / c->weight : 0,
                    apipool_select_finish(strategy, c, clock), c->last_used_at};
}

static int is_before(const rank_t *a, const rank_t *b)
{
    if (a->load != b->load) {
        return a->load < b->load;
    }
    return a->finish != b->finish ? a->finish < b->finish : a->last_used_at < b->last_used_at;
}

int apipool_select(apipool_strategy_e strategy, const apipool_candidate_t *candidates, int count,
                   double clock)
{
    rank_t best = rank_of(strategy, &candidates[0], clock);
    int found = 0;
    for (int i = 1; i < count; i++) {
        rank_t rank = rank_of(strategy, &candidates[i], clock);
        if (is_before(&rank, &best)) {
            best = rank;
            found = i;
        }
    }
    return found;
}

static const char *const names[APIPOOL_STRATEGY_COUNT] = {
    [APIPOOL_STRATEGY_SMART] = "smart",           [APIPOOL_STRATEGY_ROUND_ROBIN] = "round-robin",
    [APIPOOL_STRATEGY_LEAST_USED] = "least-used", [APIPOOL_STRATEGY_RANDOM] = "random",
    [APIPOOL_STRATEGY_FILL_FIRST] = "fill-first",
};

int apipool_strategy_by_name(const char *name)
{
    for (int i = 0; i < APIPOOL_STRATEGY_COUNT; i++) {
        if (!strcmp(name, names[i])) {
            return i;
        }
    }
    return -1;
}

const char *apipool_strategy_name(apipool_strategy_e strategy)
{
    return names[strategy];
}

const char *apipool_strategy_names(void)
{
    return "smart, round-robin, least-used, random, fill-first";
}
