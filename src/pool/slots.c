/* SPDX-License-Identifier: Apache-2.0
 * Slots of keys: limits, secret, texts, holders. */
#include "slots.h"

#include <openssl/crypto.h>
#include <string.h>

#include "arena.h"
#include "fault.h"
#include "health.h"
#include "members.h"

#define SERVED_LATELY apr_time_from_sec(300)

static apr_time_t window_admits_at(apipool_slot_t *slot, const apipool_key_limits_t *defaults,
                                   int window, apr_uint32_t tokens, apr_time_t now)
{
    apr_uint32_t amount = window == APIPOOL_RPM || window == APIPOOL_RPD ? 1 : tokens;
    return apipool_window_next_free(&slot->windows[window], apipool_window_span(window), now,
                                    apipool_slot_limit(slot, defaults, window), amount);
}

apr_time_t apipool_slot_admits_at_locked(apipool_slot_t *slot, const apipool_key_limits_t *defaults,
                                         apr_uint32_t tokens, apr_time_t now)
{
    apr_time_t at = now;
    for (int i = 0; i < APIPOOL_WINDOWS && apipool_slot_has_limits(slot, defaults); i++) {
        apr_time_t free = window_admits_at(slot, defaults, i, tokens, now);
        at = free > at ? free : at;
    }
    return at;
}

int apipool_slot_last_limit_locked(apipool_slot_t *slot, const apipool_key_limits_t *defaults,
                                   apr_time_t now)
{
    apr_time_t at[APIPOOL_WINDOWS];
    int last = 0;
    for (int i = 0; i < APIPOOL_WINDOWS; i++) {
        at[i] = window_admits_at(slot, defaults, i, 1, now);
        last = at[i] > at[last] ? i : last;
    }
    return last;
}

/* When all entries are taken, which is unlikely, leases have no holder and would be lost with
 * their process. */
apr_uint32_t apipool_slot_hold_locked(apipool_segment_t *segment, apr_uint32_t index,
                                      apipool_purpose_e purpose, apr_uint64_t serial)
{
    apr_uint32_t i = apipool_hash_table_take(&segment->holder_table);
    if (i == APIPOOL_NONE) {
        return i;
    }
    APIPOOL_FAULT("hold-taken");
    segment->holders[i].slot = index;
    segment->holders[i].purpose = purpose;
    segment->holders[i].serial = (apr_uint32_t)serial;
    segment->holders[i].tokens = 0;
    APIPOOL_IN_ORDER(); /* the process puts the entry in use */
    segment->holders[i].process = segment->process;
    return i;
}

void apipool_slot_note_reserved_locked(apipool_segment_t *segment, apr_uint32_t holder,
                                       apr_uint32_t tokens, apr_time_t at)
{
    if (holder != APIPOOL_NONE) {
        segment->holders[holder].at = at;
        APIPOOL_IN_ORDER();
        segment->holders[holder].tokens = tokens;
    }
}

void apipool_slot_let_go_locked(apipool_segment_t *segment, apr_uint32_t holder)
{
    if (holder != APIPOOL_NONE) {
        segment->holders[holder].process = 0;
        apipool_hash_table_give(&segment->holder_table, holder);
    }
}

apipool_client_slot_t *apipool_slot_held_client(const apipool_segment_t *segment,
                                                const apipool_holder_t *holder)
{
    const apipool_clients_t *clients = &segment->clients;
    if (!holder->process || holder->purpose != APIPOOL_FOR_CLIENT) {
        return NULL;
    }
    apipool_client_slot_t *client = &clients->slots[holder->slot];
    return client->serial && (apr_uint32_t)client->serial == holder->serial ? client : NULL;
}

/* --- Slots without a key ---------------------------------------------------------------------- */

void apipool_slot_empty_locked(apipool_slot_t *slot)
{
    OPENSSL_cleanse(slot, sizeof(*slot));
    slot->state = APIPOOL_STATE_DISABLED; /* no late result leads out of this state */
    slot->list_index = APIPOOL_NONE;
    memset(slot->place, 0xff, sizeof(slot->place));
}

apr_uint32_t apipool_slot_take_locked(apipool_segment_t *segment)
{
    apr_uint32_t index = apipool_hash_table_take(&segment->slot_table);
    if (index != APIPOOL_NONE) {
        apipool_slot_empty_locked(&segment->slots[index]);
    }
    return index;
}

apr_size_t apipool_slot_text_size_locked(const apipool_segment_t *segment, apipool_offset_t text)
{
    const char *label = apipool_arena_at(segment, text);
    apr_size_t size = strlen(label) + 1;
    return size + strlen(label + size) + 1;
}

static void free_text(apipool_segment_t *segment, apipool_offset_t text)
{
    if (text) {
        apipool_arena_free_locked(segment, text, apipool_slot_text_size_locked(segment, text));
    }
}

void apipool_slot_clear_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    apr_uint32_t in_flight = slot->in_flight, proving = slot->proving, probing = slot->probing;
    if (slot->secret_off) {
        OPENSSL_cleanse(apipool_arena_at(segment, slot->secret_off), slot->secret_len);
        apipool_arena_free_locked(segment, slot->secret_off, slot->secret_len);
    }
    free_text(segment, slot->text_off);
    APIPOOL_FAULT("slot-half-cleared");
    apipool_slot_empty_locked(slot);
    slot->in_flight = in_flight;
    slot->proving = (unsigned char)proving;
    slot->probing = (unsigned char)probing;
    apipool_slot_reuse_locked(segment, index);
}

void apipool_slot_reuse_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_slot_t *slot = &segment->slots[index];
    if (!slot->id && !slot->in_flight && !slot->probing && !slot->spare) {
        slot->spare = 1;
        apipool_hash_table_give(&segment->slot_table, index);
    }
}

/* --- Data of a slot's key --------------------------------------------------------------------- */

const char *apipool_slot_label_locked(const apipool_segment_t *segment, const apipool_slot_t *slot)
{
    return slot->text_off ? apipool_arena_at(segment, slot->text_off) : "";
}

const char *apipool_slot_account_locked(const apipool_segment_t *segment,
                                        const apipool_slot_t *slot)
{
    const char *label = apipool_slot_label_locked(segment, slot);
    return slot->text_off ? label + strlen(label) + 1 : "";
}

/* The old text is freed after the new one is in place, so that a killed process leaves one of
 * them. */
int apipool_slot_describe_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                 const char *label, const char *account)
{
    apipool_offset_t old = slot->text_off, new = 0;
    apr_size_t label_size = strlen(label) + 1, account_size = strlen(account) + 1;
    if (!strcmp(label, apipool_slot_label_locked(segment, slot)) &&
        !strcmp(account, apipool_slot_account_locked(segment, slot))) {
        return 1; /* needs no room either */
    }
    if (*label || *account) {
        new = apipool_arena_get_locked(segment, label_size + account_size);
        if (!new) {
            return 0;
        }
        char *text = apipool_arena_at(segment, new);
        memcpy(text, label, label_size);
        APIPOOL_FAULT("text-half-written");
        memcpy(text + label_size, account, account_size);
    }
    APIPOOL_IN_ORDER();
    slot->text_off = new;
    APIPOOL_FAULT("text-unfreed");
    free_text(segment, old);
    return 1;
}

int apipool_slot_store_secret_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                     const char *key, apr_size_t len)
{
    char *where = slot->secret;
    slot->secret_len = (apr_uint32_t)len;
    slot->secret_off = 0;
    if (len > APIPOOL_KEY_INLINE) {
        slot->secret_off = apipool_arena_get_locked(segment, len);
        if (!slot->secret_off) {
            return 0;
        }
        APIPOOL_FAULT("secret-unwritten");
        where = apipool_arena_at(segment, slot->secret_off);
    }
    memcpy(where, key, len);
    return 1;
}

const char *apipool_slot_secret_locked(const apipool_segment_t *segment, const apipool_slot_t *slot)
{
    return slot->secret_off ? apipool_arena_at(segment, slot->secret_off) : slot->secret;
}

void apipool_slot_fill_lease_locked(const apipool_segment_t *segment, apr_uint32_t index,
                                    apr_time_t now, apipool_lease_t *lease)
{
    const apipool_slot_t *slot = &segment->slots[index];
    lease->slot = index;
    lease->upstream = slot->upstream;
    lease->id = slot->id;
    lease->model = 0;
    lease->tokens = 0;
    lease->lent_at = now;
    lease->proving = 0;
    lease->len = slot->secret_len;
    lease->longest = lease->longest > lease->len ? lease->longest : lease->len;
    memcpy(lease->key, apipool_slot_secret_locked(segment, slot), slot->secret_len);
    lease->key[slot->secret_len] = '\0';
}

void apipool_lease_wipe(apipool_lease_t *lease)
{
    OPENSSL_cleanse(lease->key,
                    lease->longest < APIPOOL_KEY_MAX ? lease->longest : APIPOOL_KEY_MAX);
    lease->len = lease->longest = 0;
}

apr_time_t apipool_slot_rests_until(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_COOLING  ? slot->until[0]
           : slot->state == APIPOOL_STATE_ACTIVE ? 0
                                                 : slot->rests_until;
}

apipool_state_e apipool_slot_state(const apipool_segment_t *segment, const apipool_slot_t *slot,
                                   apr_time_t now)
{
    if (!segment->upstreams[slot->upstream].configured || !segment->pools[slot->pool].configured) {
        return APIPOOL_STATE_ORPHANED;
    }
    int is_over = slot->state == APIPOOL_STATE_COOLING && slot->until[0] <= now;
    return is_over ? apipool_health_next(slot->state, APIPOOL_EVENT_EXPIRED) : slot->state;
}

/* The place of a key's words: its own, as long as no other key has taken it; else the one that was
 * taken longest ago. The id, written last, puts it in use. */
static apipool_key_words_t *words_place(apipool_segment_t *segment, apipool_slot_t *slot)
{
    apipool_key_words_t *place = &segment->words[slot->words];
    if (place->id != slot->id) {
        slot->words = (apr_uint16_t)(segment->header->words_next++ % APIPOOL_KEY_WORDS_MAX);
        place = &segment->words[slot->words];
    }
    return place;
}

static void forget_words(apipool_segment_t *segment, const apipool_slot_t *slot)
{
    if (segment->words[slot->words].id == slot->id) {
        segment->words[slot->words].id = 0;
    }
}

void apipool_slot_keep_words_locked(apipool_segment_t *segment, apipool_slot_t *slot,
                                    const apipool_words_t *words)
{
    apipool_key_words_t *place = words_place(segment, slot);
    place->id = 0;
    APIPOOL_IN_ORDER();
    place->words = *words;
    APIPOOL_IN_ORDER();
    place->id = slot->id;
}

void apipool_slot_note_error_locked(apipool_segment_t *segment, apipool_slot_t *slot, int status,
                                    apipool_rule_e rule, const apipool_words_t *words,
                                    apr_time_t now)
{
    slot->last_status = (apr_uint16_t)status;
    slot->last_rule = (apr_uint16_t)rule;
    slot->last_error_at = now;
    if (words && *words->text) {
        apipool_slot_keep_words_locked(segment, slot, words);
    }
    else {
        forget_words(segment, slot);
    }
}

const char *apipool_slot_words_locked(const apipool_segment_t *segment, const apipool_slot_t *slot)
{
    const apipool_key_words_t *place = &segment->words[slot->words];
    return place->id == slot->id ? place->words.text : "";
}

/* By what follows the rules. */
static const struct {
    const char *code, *meaning;
} reasons[] = {
    {"rpm", "the limit of its requests per minute (rpm) is reached"},
    {"rpd", "the limit of its requests per day (rpd) is reached"},
    {"tpm", "the limit of its tokens per minute (tpm) is reached"},
    {"tpd", "the limit of its tokens per day (tpd) is reached"},
    {"account", "another key of its account has met a limit"},
    {"balance", "its balance is not sufficient"},
};

/* A key that an earlier version has stored has only its last error. */
static int reason_of(const apipool_slot_t *slot)
{
    return slot->reason ? slot->reason : slot->last_rule;
}

static int is_rule(int reason)
{
    return reason > APIPOOL_RULE_SUCCESS && reason < APIPOOL_RULE_COUNT;
}

static int is_other(int reason)
{
    return reason >= APIPOOL_REASON_LIMIT && reason < APIPOOL_REASON_COUNT;
}

const char *apipool_slot_reason_code(const apipool_slot_t *slot)
{
    int reason = reason_of(slot);
    return is_rule(reason)    ? apipool_rule_name((apipool_rule_e)reason)
           : is_other(reason) ? reasons[reason - APIPOOL_REASON_LIMIT].code
                              : "";
}

const char *apipool_slot_reason(const apipool_slot_t *slot)
{
    int reason = reason_of(slot);
    return is_rule(reason)    ? apipool_rule_meaning((apipool_rule_e)reason)
           : is_other(reason) ? reasons[reason - APIPOOL_REASON_LIMIT].meaning
                              : "";
}

static int is_code(const char *currency)
{
    const apr_size_t size = sizeof(((apipool_slot_t *)0)->currencies[0]);
    return strnlen(currency, size) == size - 1;
}

void apipool_slot_set_balances_locked(apipool_slot_t *slot, const apipool_balances_t *balances)
{
    const apipool_amount_t *other = &balances->of[1];
    double cents = balances->count > 1 ? other->amount * 100 : 0;
    slot->balance = balances->of[0].amount;
    memcpy(slot->currency, balances->of[0].currency, sizeof(slot->currency));
    slot->other_cents = (apr_int32_t)(cents > INT32_MAX   ? INT32_MAX
                                      : cents < INT32_MIN ? INT32_MIN
                                                          : cents + (cents < 0 ? -0.5 : 0.5));
    if (balances->count > 1 && is_code(slot->currency) && is_code(other->currency)) {
        memcpy(slot->currencies[1], other->currency, sizeof(slot->currencies[1]));
    }
}

void apipool_slot_balances_locked(const apipool_slot_t *slot, apipool_balances_t *balances)
{
    *balances = (apipool_balances_t){.count = slot->read_at != 0, .is_available = -1};
    if (!balances->count) {
        return;
    }
    balances->of[0].amount = slot->balance;
    memcpy(balances->of[0].currency, slot->currency, sizeof(slot->currency));
    if (is_code(slot->currency) && is_code(slot->currencies[1])) {
        balances->of[1].amount = slot->other_cents / 100.0;
        memcpy(balances->of[1].currency, slot->currencies[1], sizeof(slot->currencies[1]));
        balances->count = 2;
    }
}

int apipool_slot_is_in_use(const apipool_slot_t *slot)
{
    return slot->state == APIPOOL_STATE_ACTIVE || slot->state == APIPOOL_STATE_COOLING ||
           slot->state == APIPOOL_STATE_HALF_OPEN;
}

int apipool_slot_served_lately(const apipool_slot_t *slot, apr_uint64_t other, apr_time_t now)
{
    return slot->served_model && slot->served_model != other &&
           now - slot->served_at < SERVED_LATELY;
}

void apipool_slot_move_locked(apipool_segment_t *segment, apr_uint32_t index, apipool_state_e state,
                              apr_time_t until)
{
    segment->slots[index].until[0] = until;
    segment->slots[index].state = state;
    APIPOOL_FAULT("report-unsettled");
    apipool_members_settle_locked(segment, index);
}

void apipool_slot_lift_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    const apipool_slot_t *slot = &segment->slots[index];
    int waits = slot->state == APIPOOL_STATE_COOLING || slot->state == APIPOOL_STATE_HALF_OPEN;
    if (waits && !slot->limited_streak && apipool_window_is_edge(slot->until[0])) {
        apipool_slot_move_locked(segment, index,
                                 apipool_health_next(slot->state, APIPOOL_EVENT_EXPIRED), 0);
    }
}
