/* SPDX-License-Identifier: Apache-2.0
 * Says what is wrong with the segment. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "repair.h"
#include "slots.h"

static int is_text(const char *text, apr_size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static int is_share(double value)
{
    return isfinite(value) && value >= 0 && value <= 1;
}

static int is_time(double value)
{
    return isfinite(value) && value >= 0 && value <= APIPOOL_NUMBERS_SECONDS_MAX;
}

static const char *check_counts(const apipool_counts_t *counts)
{
    int sane = counts->requests >= counts->successes + counts->errors &&
               counts->requests <= APIPOOL_NUMBERS_MAX && counts->attempts <= APIPOOL_NUMBERS_MAX &&
               counts->prompt <= APIPOOL_NUMBERS_MAX && counts->completion <= APIPOOL_NUMBERS_MAX &&
               counts->cached <= APIPOOL_NUMBERS_MAX && counts->total <= APIPOOL_NUMBERS_MAX &&
               counts->estimated <= APIPOOL_NUMBERS_MAX && is_share(counts->success) &&
               is_time(counts->latency) && is_time(counts->first_byte) &&
               counts->timed <= APIPOOL_NUMBERS_AVERAGE_OF &&
               counts->begun <= APIPOOL_NUMBERS_AVERAGE_OF;
    return sane ? NULL : "numbers make no sense";
}

static const char *check_header(const apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    return header->pools_used > APIPOOL_POOLS_MAX     ? "there are more pools than room"
           : header->groups_used > APIPOOL_GROUPS_MAX ? "there are more groups than room"
           : header->slots_used > header->capacity    ? "there are more slots than room"
           : !header->random                          ? "nothing can be drawn any longer"
                                                      : NULL;
}

static const char *check_pools(const apipool_segment_t *segment)
{
    const char *fault = NULL;
    for (apr_uint32_t i = 0; !fault && i < segment->header->pools_used; i++) {
        const apipool_shared_pool_t *pool = &segment->pools[i];
        int sane = is_text(pool->server, sizeof(pool->server)) &&
                   is_text(pool->name, sizeof(pool->name)) && isfinite(pool->clock) &&
                   isfinite(pool->heaviest);
        fault = sane ? check_counts(&segment->stats[i].numbers.counts) : "a pool makes no sense";
    }
    for (apr_uint32_t i = 0; !fault && i < segment->header->groups_used; i++) {
        const apipool_group_t *g = &segment->groups[i];
        int sane = is_text(g->name, sizeof(g->name)) && g->pool < segment->header->pools_used &&
                   is_share(g->failing) && (g->faults.pausing & ~1) == 0 &&
                   (g->refusals.pausing & ~1) == 0 && g->unanswered <= 1 &&
                   g->habits[0] <= APIPOOL_HABIT_SILENT && g->habits[1] <= APIPOOL_HABIT_SILENT;
        fault = sane ? check_counts(&g->numbers.counts) : "a group makes no sense";
    }
    return fault;
}

/* A key is the one that its id stands for. */
static const char *check_key(const apipool_segment_t *segment, const apipool_slot_t *slot)
{
    const apipool_arena_t *arena = &segment->header->arena;
    if (slot->secret_len > APIPOOL_KEY_MAX ||
        (slot->secret_len > APIPOOL_KEY_INLINE) != (slot->secret_off != 0) ||
        (slot->secret_off && (slot->secret_off >= arena->top || arena->top > arena->size ||
                              slot->secret_len > arena->top - slot->secret_off))) {
        return "a key lies nowhere";
    }
    if (slot->text_off && !apipool_slot_has_texts(segment, slot)) {
        return "the texts of a key are torn";
    }
    const char *key = slot->secret_off ? apipool_arena_at(segment, slot->secret_off) : slot->secret;
    return apipool_key_id(segment->header->secret, key, slot->secret_len) == slot->id
               ? NULL
               : "a key is not the one that it was";
}

static const char *check_slots(const apipool_segment_t *segment)
{
    const char *fault = NULL;
    for (apr_uint32_t i = 0; !fault && i < segment->header->slots_used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (!slot->id) {
            fault =
                slot->secret_len || slot->text_off ? "a key that was removed is still there" : NULL;
            continue;
        }
        int sane = slot->state < APIPOOL_STATE_COUNT && slot->weight && is_share(slot->success) &&
                   isfinite(slot->served) && isfinite(slot->headroom) && slot->low <= 1 &&
                   isfinite(slot->balance) && is_text(slot->currency, sizeof(slot->currency));
        fault = sane ? check_counts(&slot->counts) : "a slot makes no sense";
        fault = fault ? fault : check_key(segment, slot);
    }
    return fault;
}

/* Each slot is in the chain of its id, and in no other. */
static const char *check_chains(const apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    apr_uint32_t count = 0, spare = 0, taken = 0;
    for (apr_uint32_t head = 0; head < header->heads; head++) {
        for (apr_uint32_t i = segment->heads[head]; i != APIPOOL_NONE; i = segment->slots[i].next) {
            if (i >= header->slots_used || (segment->slots[i].id & (header->heads - 1)) != head ||
                ++count > header->slots_used) {
                return "a chain of ids is broken";
            }
        }
    }
    for (apr_uint32_t i = header->slots_spare; i != APIPOOL_NONE; i = segment->slots[i].next) {
        if (i >= header->slots_used || segment->slots[i].id || !segment->slots[i].spare ||
            ++spare > header->slots_used) {
            return "the chain of spare slots is broken";
        }
    }
    for (apr_uint32_t i = 0; i < header->slots_used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        taken += !slot->id && (slot->in_flight || slot->probing);
    }
    if (spare != header->spares) {
        return "spare slots are counted wrongly";
    }
    return count + spare + taken != header->slots_used ? "a slot is in no chain"
           : count != header->keys                     ? "keys are counted wrongly"
                                                       : NULL;
}

/* What the holders say of one slot. */
typedef struct {
    apr_uint32_t held, proving, probing;
} leases_t;

static const char *check_free_holders(const apipool_segment_t *segment, apr_uint32_t taken)
{
    const apipool_header_t *header = segment->header;
    apr_uint32_t free = 0;
    for (apr_uint32_t i = header->holders_free; i != APIPOOL_NONE; i = segment->holders[i].slot) {
        if (i >= header->holders_used || segment->holders[i].process ||
            ++free > header->holders_used) {
            return "the chain of free holders is broken";
        }
    }
    return taken + free == header->holders_used ? NULL : "a holder is lost";
}

static const char *compare_leases(const apipool_segment_t *segment, leases_t *leases)
{
    const apipool_header_t *header = segment->header;
    apr_uint32_t taken = 0;
    for (apr_uint32_t i = 0; i < header->holders_used; i++) {
        const apipool_holder_t *holder = &segment->holders[i];
        int is_keys = holder->process && holder->purpose != APIPOOL_FOR_CLIENT;
        if (is_keys && holder->slot >= header->slots_used) {
            return "a slot that does not exist is held";
        }
        taken += holder->process != 0;
        if (is_keys) {
            leases[holder->slot].held += holder->purpose != APIPOOL_FOR_PROBE;
            leases[holder->slot].proving += holder->purpose == APIPOOL_FOR_PROOF;
            leases[holder->slot].probing += holder->purpose == APIPOOL_FOR_PROBE;
        }
    }
    for (apr_uint32_t i = 0; i < header->slots_used; i++) {
        const apipool_slot_t *slot = &segment->slots[i];
        if (slot->in_flight != leases[i].held) {
            return "a slot has not as many requests in flight as holders";
        }
        if (leases[i].proving > 1 || slot->proving != leases[i].proving) {
            return "a slot is not proved by one request at most";
        }
        if (leases[i].probing > 1 || slot->probing != leases[i].probing) {
            return "a slot is not probed once at most";
        }
    }
    return check_free_holders(segment, taken);
}

static const char *check_clients_places(const apipool_segment_t *segment)
{
    const apipool_clients_t *clients = &segment->clients;
    for (apr_uint32_t i = 0; i < clients->head->used && i < clients->capacity; i++) {
        const apipool_client_slot_t *client = &clients->slots[i];
        apr_uint32_t held = 0;
        for (apr_uint32_t h = 0; h < segment->header->holders_used; h++) {
            held += apipool_slot_held_client(segment, &segment->holders[h]) == client;
        }
        if (client->serial && held != client->in_flight) {
            return "a client has not as many requests in flight as holders";
        }
    }
    return NULL;
}

static const char *check_holders(const apipool_segment_t *segment)
{
    leases_t *leases = calloc(segment->header->slots_used + 1, sizeof(*leases));
    const char *fault = !leases ? "no memory"
                        : segment->header->holders_used > APIPOOL_HOLDERS_MAX
                            ? "there are more holders than room"
                            : compare_leases(segment, leases);
    free(leases);
    return fault ? fault : check_clients_places(segment);
}

/* One queue: in the order of tickets, linked both ways. */
static const char *check_queue(const apipool_segment_t *segment, apr_uint32_t queue,
                               apr_uint32_t *waiting)
{
    const apipool_queue_t *q = &segment->queues[queue];
    apr_uint32_t last = APIPOOL_NONE;
    for (apr_uint32_t i = q->first; i != APIPOOL_NONE; i = segment->waiters[i].next) {
        if (i >= segment->header->waiters_used || ++*waiting > segment->header->waiters_used) {
            return "a queue is broken";
        }
        const apipool_waiter_t *waiter = &segment->waiters[i];
        if (!waiter->process || waiter->queue != queue || waiter->prev != last ||
            waiter->ticket >= q->tickets ||
            (last != APIPOOL_NONE && segment->waiters[last].ticket >= waiter->ticket)) {
            return "a queue is broken";
        }
        last = i;
    }
    return q->last == last ? NULL : "a queue does not know its end";
}

static const char *check_queues(const apipool_segment_t *segment)
{
    const apipool_header_t *header = segment->header;
    apr_uint32_t waiting = 0, taken = 0, free = 0;
    const char *fault =
        header->waiters_used <= APIPOOL_WAITERS_MAX ? NULL : "there are more waiters than room";
    for (apr_uint32_t i = 0; !fault && i < APIPOOL_QUEUES_MAX; i++) {
        fault = check_queue(segment, i, &waiting);
    }
    for (apr_uint32_t i = 0; !fault && i < header->waiters_used; i++) {
        taken += segment->waiters[i].process != 0;
    }
    for (apr_uint32_t i = header->waiters_free; !fault && i != APIPOOL_NONE;
         i = segment->waiters[i].next) {
        if (i >= header->waiters_used || segment->waiters[i].process ||
            ++free > header->waiters_used) {
            return "the chain of free waiters is broken";
        }
    }
    return fault                                                      ? fault
           : taken == waiting && taken + free == header->waiters_used ? NULL
                                                                      : "a waiter is lost";
}

static const char *check_hits(const apipool_segment_t *segment)
{
    for (apr_uint32_t i = 0; i < APIPOOL_HITS_MAX; i++) {
        const apipool_hit_t *hit = &segment->hits[i];
        if (hit->spent > 1 || (hit->account && hit->until > segment->header->hits_until)) {
            return "what has hit an account is not known";
        }
    }
    return NULL;
}

/* How many places each pool's clients and models have, counted anew. */
static const char *check_places(const apipool_names_t *names)
{
    apr_uint32_t kinds = names->pools * APIPOOL_NAMED_KINDS, taken = 0;
    apr_uint32_t *used = calloc(kinds, sizeof(*used));
    if (!used) {
        return "no memory";
    }
    for (apr_uint32_t i = 0; i < names->capacity; i++) {
        if (names->hashes[i]) {
            taken++;
            used[names->entries[i].pool * APIPOOL_NAMED_KINDS + names->entries[i].kind]++;
        }
    }
    int same = taken == *names->taken && memcmp(used, names->used, kinds * sizeof(*used)) == 0;
    free(used);
    return same ? NULL : "places of names are counted wrongly";
}

static const char *check_names(const apipool_names_t *names)
{
    const char *fault = NULL;
    for (apr_uint32_t i = 0; !fault && i < names->capacity; i++) {
        const apipool_named_t *entry = &names->entries[i];
        if (names->hashes[i]) {
            int sane = entry->pool < names->pools && entry->kind < APIPOOL_NAMED_KINDS &&
                       is_text(entry->text, sizeof(entry->text));
            fault = sane ? check_counts(&entry->numbers.counts) : "a name makes no sense";
        }
    }
    for (apr_uint32_t i = 0; !fault && i < names->pools * APIPOOL_NAMED_KINDS; i++) {
        fault = check_counts(&names->others[i].counts);
    }
    return fault ? fault : check_places(names);
}

static const char *check_recent(const apipool_recent_t *recent)
{
    apr_uint32_t count = apipool_recent_count_locked(recent);
    for (apr_uint64_t n = *recent->pushed - count; n < *recent->pushed; n++) {
        const apipool_recent_entry_t *entry = &recent->entries[n % recent->size];
        if (entry->number != n + 1 || entry->ending >= APIPOOL_ENDINGS ||
            entry->usage > APIPOOL_TOKENS_ESTIMATED ||
            !is_text(entry->client, sizeof(entry->client)) ||
            !is_text(entry->endpoint, sizeof(entry->endpoint)) ||
            !is_text(entry->model, sizeof(entry->model))) {
            return "one of the last requests makes no sense";
        }
    }
    return NULL;
}

static const char *check_clients(const apipool_clients_t *clients)
{
    const char *fault = apipool_clients_check_locked(clients);
    for (apr_uint32_t i = 0; !fault && i < clients->head->used; i++) {
        fault = clients->slots[i].serial ? check_counts(&clients->slots[i].numbers.counts) : NULL;
    }
    return fault;
}

const char *apipool_repair_check_locked(const apipool_segment_t *segment)
{
    static const char *(*const checks[])(const apipool_segment_t *segment) = {
        check_header,
        check_pools,
        check_slots,
        check_chains,
        check_holders,
        check_queues,
        check_hits,
        apipool_repair_check_members_locked,
        apipool_arena_check_locked};
    const char *fault = NULL;
    for (apr_size_t i = 0; !fault && i < sizeof(checks) / sizeof(*checks); i++) {
        fault = checks[i](segment);
    }
    fault = fault ? fault : check_names(&segment->names);
    fault = fault ? fault : check_clients(&segment->clients);
    return fault ? fault : check_recent(&segment->recent);
}
