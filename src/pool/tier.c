/* SPDX-License-Identifier: Apache-2.0
 * Priority tier: the upstreams of one priority, and the choice of a key among them. */
#include "tier.h"

#include "breaker.h"
#include "consistent_hash.h"
#include "members.h"
#include "slots.h"
#include "wake.h"

#define SPREAD_ALL     16 /* up to this many keys, all are compared */
#define SPREAD_FEW     2  /* of more, this many and the last winner are compared */
#define DRAWS          4  /* random tries before the next usable key is taken */
#define WEIGHTED_DRAWS 16
#define AFFINITY_TRIES 4
#define UNPROVED_MAX   8
#define BUSY_FOR       apr_time_from_sec(1)

/* --- Why there is no key ---------------------------------------------------------------------- */

void apipool_why_not_note(apipool_why_not_t *why_not, apr_time_t at)
{
    if (at && (!why_not->retry_at || at < why_not->retry_at)) {
        why_not->retry_at = at;
    }
}

/* Time when the first key of an upstream is back, or half open and may be tried; 0: never by the
 * clock. */
static apr_time_t wakes_at(const apipool_tier_t *tier, const apipool_source_t *source,
                           apr_uint32_t model_slot, apr_time_t after, apr_time_t *proof)
{
    apipool_wake_for_t who = {tier->request, source->model, tier->now};
    apr_time_t wake = apipool_wake_first_locked(tier->segment, source->upstream, model_slot, &who);
    *proof = apipool_wake_proof_locked(tier->segment, source->upstream, model_slot, &who, after);
    return *proof && (!wake || *proof < wake) ? *proof : wake;
}

void apipool_tier_resume_locked(apipool_tier_t *alone, const apipool_tier_t *tier,
                                const apipool_part_t *part, const apipool_lend_request_t *request)
{
    alone->segment = tier->segment;
    alone->request = request;
    alone->pool = tier->pool;
    alone->now = tier->now;
    alone->parts[0] = *part;
    alone->parts[0].offset = 0;
    alone->parts[0].closed = 0;
    alone->count = 1;
    alone->total = part->upstream->list_used;
    alone->usable = part->upstream->usable;
    alone->skipped_count = 0;
    alone->last_resort = tier->last_resort;
}

void apipool_tier_note_pause_locked(const apipool_tier_t *alone, int found, apr_time_t skipped,
                                    apipool_why_not_t *why_not)
{
    const apipool_part_t *part = alone->parts;
    const apipool_upstream_t *u = part->upstream;
    apr_uint64_t model = part->source->model, client = alone->request->client;
    int fault = apipool_breaker_is_fault_locked(u, model, client, alone->now);
    apr_time_t named = fault ? 0 : apipool_breaker_named_locked(u, model, client);
    apr_time_t until = named > part->paused_until ? named : part->paused_until, ready = until;
    if (!found && !u->held_up) {
        apr_time_t proof, wake = wakes_at(alone, part->source, part->model_slot, 0, &proof);
        ready = skipped && (!wake || skipped < wake) ? skipped : wake;
        fault &= proof != 0;
    }
    if (ready) {
        apipool_why_not_note(why_not, ready > part->paused_until ? ready : part->paused_until);
        why_not->paused |= fault;
        why_not->cooling |= !fault;
    }
}

/* Returns 1 if a slot is a usable member of the part. It may have got another key since it was
 * tried. */
static int is_usable_in(const apipool_tier_t *tier, const apipool_part_t *part, apr_uint32_t index)
{
    apr_uint32_t upstream = part->source->upstream;
    const apipool_slot_t *slot = &tier->segment->slots[index];
    return slot->upstream == upstream &&
           apipool_members_is_usable_locked(tier->segment, upstream, part->model_slot,
                                            slot->list_index) &&
           apipool_members_at_locked(tier->segment, upstream, slot->list_index) == index;
}

void apipool_tier_note_why_not_locked(const apipool_tier_t *tier, apipool_why_not_t *why_not)
{
    for (const apipool_part_t *part = tier->parts; part < tier->parts + tier->count; part++) {
        if (part->closed) {
            continue;
        }
        apr_time_t proof, wake = wakes_at(tier, part->source, part->model_slot, tier->now, &proof);
        for (int i = tier->request->doubted_count; i < tier->request->tried_count; i++) {
            why_not->tried |= is_usable_in(tier, part, tier->request->tried[i]);
        }
        apipool_why_not_note(why_not, wake);
        why_not->cooling |= wake != 0;
        if (part->upstream->held_up) { /* for an unknown time */
            why_not->busy = 1;
            apipool_why_not_note(why_not, tier->now + BUSY_FOR);
        }
    }
}

/* --- Row of positions ------------------------------------------------------------------------- */

/* Adds an upstream to the row. */
static void add_part(apipool_tier_t *tier, const apipool_source_t *source,
                     apipool_why_not_t *why_not)
{
    apipool_upstream_t *u = &tier->segment->upstreams[source->upstream];
    apr_uint32_t model_slot =
        apipool_members_model_slot_locked(tier->segment, source->upstream, source->model);
    apipool_members_wake_locked(tier->segment, source->upstream, model_slot, tier->now);
    apr_time_t until =
        apipool_breaker_until_locked(u, source->model, tier->request->client, tier->now);
    int avoided = !tier->last_resort && apipool_breaker_is_last_resort_locked(
                                            u, source->model, tier->request->client, tier->now);
    why_not->avoided |= avoided;
    if (u->list_used) {
        tier->parts[tier->count++] =
            (apipool_part_t){source, u, model_slot, tier->total, until || avoided, until};
        tier->total += u->list_used;
        tier->usable += until || avoided ? 0 : u->usable;
    }
}

void apipool_tier_open_locked(apipool_tier_t *tier, apipool_segment_t *segment,
                              const apipool_lend_request_t *request, apr_time_t now, int *next,
                              apipool_why_not_t *why_not)
{
    int priority = request->sources[*next].priority;
    tier->segment = segment;
    tier->request = request;
    tier->pool = &segment->pools[request->pool];
    tier->now = now;
    tier->count = tier->skipped_count = 0;
    tier->total = tier->usable = 0;
    for (; *next < request->source_count && request->sources[*next].priority == priority; ++*next) {
        add_part(tier, &request->sources[*next], why_not);
    }
}

static const apipool_part_t *part_of(const apipool_tier_t *tier, apr_uint32_t position)
{
    const apipool_part_t *part = &tier->parts[tier->count - 1];
    while (part->offset > position) {
        part--;
    }
    return part;
}

static apr_uint32_t slot_at(const apipool_tier_t *tier, apr_uint32_t position)
{
    const apipool_part_t *part = part_of(tier, position);
    return apipool_members_at_locked(tier->segment, part->source->upstream,
                                     position - part->offset);
}

static int holds(const apr_uint32_t *slots, int count, apr_uint32_t index)
{
    for (int i = 0; i < count; i++) {
        if (slots[i] == index) {
            return 1;
        }
    }
    return 0;
}

static int is_passed_over(const apipool_tier_t *tier, apr_uint32_t index)
{
    return holds(tier->request->tried, tier->request->tried_count, index) ||
           holds(tier->skipped, tier->skipped_count, index);
}

/* Most requests pass over no key. Then the slot is not looked up, which would cost a cache miss. */
static int is_passed_over_at(const apipool_tier_t *tier, apr_uint32_t position)
{
    return (tier->request->tried_count || tier->skipped_count) &&
           is_passed_over(tier, slot_at(tier, position));
}

/* First free position in [from, end), or APIPOOL_NONE. */
static apr_uint32_t free_between(const apipool_tier_t *tier, apr_uint32_t from, apr_uint32_t end)
{
    const apipool_part_t *last = tier->parts + tier->count;
    for (const apipool_part_t *part = from < end ? part_of(tier, from) : last; part < last;
         part++) {
        apr_uint32_t list_index = from > part->offset ? from - part->offset : 0;
        for (; !part->closed; list_index++) {
            list_index = apipool_members_next_locked(tier->segment, part->source->upstream,
                                                     part->model_slot, list_index);
            if (list_index == APIPOOL_NONE) {
                break;
            }
            if (part->offset + list_index >= end) {
                return APIPOOL_NONE;
            }
            if (!is_passed_over_at(tier, part->offset + list_index)) {
                return part->offset + list_index;
            }
        }
    }
    return APIPOOL_NONE;
}

static int is_free(const apipool_tier_t *tier, apr_uint32_t position)
{
    const apipool_part_t *part = part_of(tier, position);
    return !part->closed &&
           apipool_members_is_usable_locked(tier->segment, part->source->upstream, part->model_slot,
                                            position - part->offset) &&
           !is_passed_over_at(tier, position);
}

/* First free position from there on, wrapping around. */
static apr_uint32_t next_free(const apipool_tier_t *tier, apr_uint32_t from)
{
    apr_uint32_t found = free_between(tier, from, tier->total);
    return found == APIPOOL_NONE ? free_between(tier, 0, from) : found;
}

/* --- Strategies ------------------------------------------------------------------------------- */

static apr_uint32_t draw_free(const apipool_tier_t *tier)
{
    apr_uint32_t position = 0;
    for (int i = 0; i < DRAWS; i++) {
        position = apipool_segment_draw_locked(tier->segment, tier->total);
        if (is_free(tier, position)) {
            return position;
        }
    }
    return next_free(tier, position);
}

static double weight_at(const apipool_tier_t *tier, apr_uint32_t position)
{
    const apipool_slot_t *slot = &tier->segment->slots[slot_at(tier, position)];
    return (double)slot->weight * part_of(tier, position)->source->weight;
}

/* Next position, wrapping around. */
static apr_uint32_t behind(const apipool_tier_t *tier, apr_uint32_t position)
{
    return position < tier->total - 1 ? position + 1 : 0;
}

/* Each key serves as many consecutive requests as its weight. */
static apr_uint32_t choose_next(const apipool_tier_t *tier)
{
    apipool_pool_t *pool = tier->pool;
    if (pool->turn < tier->total && pool->turn_left && is_free(tier, pool->turn)) {
        pool->turn_left -= !tier->request->look_only;
        return pool->turn;
    }
    apr_uint32_t position = next_free(tier, behind(tier, pool->turn));
    if (position != APIPOOL_NONE && !tier->request->look_only) {
        pool->turn = position;
        pool->turn_left = (apr_uint32_t)weight_at(tier, position) - 1;
    }
    return position;
}

/* Draws again while a heavier key would have been the more likely draw. */
static apr_uint32_t choose_one(const apipool_tier_t *tier)
{
    apr_uint32_t position = draw_free(tier);
    double heaviest = tier->pool->heaviest;
    for (int i = 1; i < WEIGHTED_DRAWS && position != APIPOOL_NONE; i++) {
        double weight = weight_at(tier, position);
        heaviest = heaviest > weight ? heaviest : weight;
        if (weight >= heaviest ||
            apipool_segment_draw_locked(tier->segment, 1u << 20) < weight / heaviest * (1u << 20)) {
            break;
        }
        position = draw_free(tier);
    }
    tier->pool->heaviest = heaviest;
    return position;
}

/* Smallest remaining share of the key's windows and of the headroom that its upstream reported. */
static double headroom_of(const apipool_tier_t *tier, const apipool_slot_t *slot)
{
    double least = slot->headroom_until > tier->now ? slot->headroom : 1;
    if (!apipool_slot_has_limits(slot, tier->request->limits)) {
        return least;
    }
    for (int i = 0; i < APIPOOL_WINDOWS; i++) {
        apr_uint32_t limit = apipool_slot_limit(slot, tier->request->limits, i);
        if (limit) {
            double used =
                (double)apipool_window_sum(&slot->windows[i], apipool_window_span(i), tier->now);
            double left = used < limit ? 1 - used / limit : 0;
            least = left < least ? left : least;
        }
    }
    return least;
}

apipool_candidate_t apipool_tier_look_at_locked(const apipool_tier_t *tier, apr_uint32_t index,
                                                const apipool_part_t *part)
{
    const apipool_slot_t *slot = &tier->segment->slots[index];
    int pardoned = apipool_breaker_pardons_locked(&tier->segment->upstreams[slot->upstream], slot);
    return (apipool_candidate_t){.in_flight = slot->in_flight,
                                 .weight = (double)slot->weight * part->source->weight,
                                 .success = slot->success,
                                 .headroom = headroom_of(tier, slot),
                                 .streak = pardoned ? 0 : slot->error_streak,
                                 .served = slot->served,
                                 .last_used_at = slot->last_used_at};
}

/* Chooses the next keys from a few places far from each other, which advance by one per request,
 * so that every key is compared equally often. The last winner is compared again, so that a
 * heavy key gets its share among any number of others. */
static int draw_few(const apipool_tier_t *tier, apr_uint32_t *positions)
{
    apipool_pool_t *pool = tier->pool;
    apr_uint32_t from = pool->cursor < tier->total ? pool->cursor : 0;
    int count = 0;
    for (apr_uint32_t i = 0; i < SPREAD_FEW; i++) {
        apr_uint32_t position = next_free(tier, from);
        if (position == APIPOOL_NONE) {
            return 0;
        }
        if (!holds(positions, count, position)) {
            positions[count++] = position;
        }
        from = (from + tier->total / SPREAD_FEW) % tier->total;
    }
    if (pool->winner < tier->total && !holds(positions, count, pool->winner) &&
        is_free(tier, pool->winner)) {
        positions[count++] = pool->winner;
    }
    if (!tier->request->look_only) {
        pool->cursor = behind(tier, pool->cursor);
    }
    return count;
}

static int take_all(const apipool_tier_t *tier, apr_uint32_t *positions)
{
    int count = 0;
    for (apr_uint32_t at = free_between(tier, 0, tier->total);
         at != APIPOOL_NONE && count < SPREAD_ALL; at = free_between(tier, at + 1, tier->total)) {
        positions[count++] = at;
    }
    return count;
}

static apr_uint32_t choose_spread(const apipool_tier_t *tier)
{
    apipool_candidate_t candidates[SPREAD_ALL];
    apr_uint32_t positions[SPREAD_ALL];
    int count = tier->usable > SPREAD_ALL ? draw_few(tier, positions) : take_all(tier, positions);

    for (int i = 0; i < count; i++) {
        candidates[i] = apipool_tier_look_at_locked(tier, slot_at(tier, positions[i]),
                                                    part_of(tier, positions[i]));
    }
    if (!count) {
        return APIPOOL_NONE;
    }
    apr_uint32_t winner =
        positions[apipool_select(tier->request->strategy, candidates, count, tier->pool->clock)];
    if (!tier->request->look_only) {
        tier->pool->winner = winner;
    }
    return winner;
}

/* The same session gets the same key while that is usable, else another fixed key. Only sessions
 * of the unusable key move. */
static apr_uint32_t choose_sticky(const apipool_tier_t *tier)
{
    apr_uint64_t hash = tier->request->affinity;
    apr_uint32_t position = 0;
    for (int i = 0; i < AFFINITY_TRIES; i++) {
        position = apipool_consistent_hash(hash, tier->total);
        if (is_free(tier, position)) {
            return position;
        }
        hash = (hash ^ (hash >> 29)) * APR_UINT64_C(0x9e3779b97f4a7c15);
    }
    return next_free(tier, position);
}

/* A strategy that keeps choosing keys without enough tokens gives way to a random choice. */
static apr_uint32_t choose(const apipool_tier_t *tier)
{
    if (!tier->usable) {
        return APIPOOL_NONE;
    }
    if (tier->skipped_count >= APIPOOL_SKIPPED_MAX / 2) {
        return draw_free(tier);
    }
    if (tier->request->affinity) {
        return choose_sticky(tier);
    }
    switch (tier->request->strategy) {
    case APIPOOL_STRATEGY_ROUND_ROBIN:
        return choose_next(tier);
    case APIPOOL_STRATEGY_FILL_FIRST:
        return next_free(tier, 0);
    case APIPOOL_STRATEGY_RANDOM:
        return choose_one(tier);
    default:
        return choose_spread(tier);
    }
}

static apr_uint32_t find_unproved(apipool_tier_t *tier, apipool_part_t **part)
{
    apr_uint32_t unproved[UNPROVED_MAX];
    for (*part = tier->parts; *part < tier->parts + tier->count; ++*part) {
        int count = (*part)->closed
                        ? 0
                        : apipool_members_unproved_locked(tier->segment, (*part)->source->upstream,
                                                          (*part)->model_slot, tier->now, unproved,
                                                          UNPROVED_MAX);
        for (int i = 0; i < count; i++) {
            if (!is_passed_over(tier, unproved[i])) {
                return unproved[i];
            }
        }
    }
    return APIPOOL_NONE;
}

/* A half-open key is tried first, unless the request asks for keys that are sure. */
apr_uint32_t apipool_tier_pick_locked(apipool_tier_t *tier, apipool_part_t **part)
{
    apr_uint32_t index = tier->request->sure_first ? APIPOOL_NONE : find_unproved(tier, part);
    if (index != APIPOOL_NONE) {
        return index;
    }
    apr_uint32_t position = choose(tier);
    if (position != APIPOOL_NONE) {
        *part = &tier->parts[part_of(tier, position) - tier->parts];
        return slot_at(tier, position);
    }
    return tier->request->sure_first ? find_unproved(tier, part) : APIPOOL_NONE;
}
