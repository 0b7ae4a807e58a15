/* SPDX-License-Identifier: Apache-2.0
 * What lies in the segment behind its header; private to src/memory and src/pool. */
#ifndef APIPOOL_MEMORY_SEGMENT_LAYOUT_H
#define APIPOOL_MEMORY_SEGMENT_LAYOUT_H

#include <apr_time.h>
#include <assert.h>
#include <stddef.h>

#include "balance.h"
#include "counters.h"
#include "mod_apipool.h"
#include "segment.h"
#include "series.h"
#include "verdict.h"
#include "window.h"

#define APIPOOL_UPSTREAMS_PER_POOL 16
#define APIPOOL_KEY_INLINE         256 /* longer keys lie in the arena */
#define APIPOOL_MODEL_SLOTS        8   /* per group; see apipool_model_slot_t */
#define APIPOOL_REVOKED_MAX        8192
#define APIPOOL_GUESSERS_MAX       1024
#define APIPOOL_VIEWERS_MAX        1024
#define APIPOOL_MODEL_SLOT_OTHERS  (APIPOOL_MODEL_SLOTS - 1)

/* A pool is known by server and name, so that an edited configuration finds its own keys again. */
struct apipool_pool_t {
    char server[APIPOOL_SERVER_NAME_MAX];
    char name[APIPOOL_NAME_MAX];
    apr_uint32_t configured; /* by the generation that runs */
    apr_uint32_t turn; /* round robin: the position that was served last; APIPOOL_NONE before */
    apr_uint32_t turn_left; /* requests that it may still have in a row, for its weight */
    double clock;           /* fair queueing: where the key that was served last stood */
    double heaviest;        /* weight of a key, of those seen */
    apr_uint32_t cursor;    /* from where a few of many keys are compared next */
    apr_uint32_t winner;    /* of the last comparison */
    apr_uint32_t untold;    /* requests without a key, of which no log tells */
    apr_time_t told_at;     /* when one last did */
};

/* What has been counted of a pool, by requests of clients. */
struct apipool_pool_stats_t {
    apipool_counters_t numbers;
    apipool_series_t series;
    apipool_histogram_t duration, first_byte;
    apr_uint64_t endings[APIPOOL_ENDINGS];     /* of requests that no upstream was asked about */
    apr_uint64_t refusals[APIPOOL_RULE_COUNT]; /* of these, by rule */
};

/* Cooldowns of one group's keys, for all models (model slot 0) or for one of them. A set of members says who
 * may be used as far as this model slot is concerned (of model slot 0: whether the key is usable at all), a
 * heap of slots by until[model_slot] who comes back when. A model slot is given to another model when nobody
 * cools in it. When all are taken, the last one stands for all other models together. */
typedef struct {
    apr_uint64_t model;
    apr_uint32_t waiting; /* in the heap; 0: the model slot is free */
    apr_uint32_t unused;
} apipool_model_slot_t;

/* An upstream that fails, or refuses everyone, is left alone but for one request a second. */
typedef struct {
    apr_time_t since;        /* of refusals: when the first of them came; 0: none has */
    apr_time_t paused_until; /* the next request may go then */
    apr_uint64_t client; /* the only one that has met them; 0: several. The others do not pause */
    apr_uint32_t count;
    int pausing;
} apipool_breaker_t;

/* A key that a request has left in doubt; see doubt.h. */
#define APIPOOL_DOUBTS 16 /* of a group */
typedef struct {
    apr_uint64_t id;     /* of the key */
    apr_uint64_t client; /* whose request it was, of the first if there were several */
    apr_time_t asked_at; /* when a probe asked last; 0: none has */
    apr_uint32_t slot;
    apr_uint16_t stage;
    apr_uint16_t of_quota; /* it seems to be spent, not rejected */
} apipool_doubt_t;

/* The keys of one upstream of one pool. A member has an ordinal for as long as it is one; those of removed
 * members are chained for reuse. Besides those of the model slots there is a heap of half-open keys that no
 * request has, and one of those that wait for a probe: there may be many, which no request shall have to step
 * over. */
struct apipool_upstream_t {
    apr_uint32_t pool;
    char name[APIPOOL_NAME_MAX];
    apr_uint32_t configured;
    apr_uint32_t size;       /* ordinals that there is room for, a multiple of 64 */
    apr_uint32_t ordinals;   /* given out so far */
    apr_uint32_t members;    /* that have one of them */
    apr_uint32_t spare;      /* the first one to be reused, APIPOOL_NONE: none */
    apr_uint32_t usable;     /* members in model slot 0's set */
    apr_uint32_t held_up;    /* members that would be, but for what they have in flight */
    apr_uint32_t half_open;  /* in their heap */
    apr_uint32_t recovering; /* in theirs */
    apipool_offset_t rows;   /* members, heaps and sets: see members.h */
    apipool_model_slot_t model_slots[APIPOOL_MODEL_SLOTS];
    apr_uint32_t unanswered;  /* its upstream failed the last probe */
    apr_uint32_t not_found;   /* probes in a row that it did not know what to do with */
    apr_uint32_t checks_left; /* ordinals that are looked at for keys to be checked */
    apr_uint32_t doubts_open; /* of these, those that are not settled */
    apipool_doubt_t doubts[APIPOOL_DOUBTS];
    apr_uint32_t walked;        /* ordinals whose balance was looked at in this round */
    apr_time_t walked_since;    /* when the round began */
    apr_time_t refuses_usage;   /* until then its upstream is not asked for the usage of streams */
    apr_uint32_t habit;         /* apipool_habit_e of its upstream, for streams */
    apipool_breaker_t faults;   /* R03, R04, R12, R13 in a row */
    apipool_breaker_t refusals; /* R07 and R09 of distinct keys in a row */
    apr_uint32_t round;         /* of refusals: counts them up */
    apr_uint64_t pardoned;      /* bit i: round - i turned out to be everyone's fate */
    apr_uint32_t usable_then;   /* members usable when the round began */
    apr_uint64_t refused_model; /* the only one that the round is about, or 0 */
    apr_uint64_t successes, failures;
    double failing; /* moving average of the results of keys that have no streak of failures */
    apr_uint64_t rules[APIPOOL_RULE_COUNT]; /* attempts by verdict */
    apipool_counters_t numbers;             /* by attempts */
    apr_uint64_t
        endings[APIPOOL_ENDINGS]; /* requests whose last attempt was here, by how they ended */
};

/* What a key is lent for: to serve a request, to let that prove it, or to be asked about. The last one is no
 * key's, but a client's place for one request. */
typedef enum {
    APIPOOL_FOR_REQUEST,
    APIPOOL_FOR_PROOF,
    APIPOOL_FOR_PROBE,
    APIPOOL_FOR_CLIENT
} apipool_purpose_e;

/* The holder of one lease or place, so that those of a child that died can be given back. */
struct apipool_holder_t {
    apr_uint32_t process; /* 0: free */
    apr_uint32_t slot;    /* the key's or client's */
    apr_uint32_t purpose; /* apipool_purpose_e */
    apr_uint32_t serial;  /* a client's, as far as it fits */
};

/* What holds for all keys of an account until some time. When all are taken, one that has ended makes room,
 * or one of the oldest. */
struct apipool_account_limit_t {
    apr_uint64_t account; /* 0: free */
    apr_uint64_t model;   /* 0: all */
    apr_uint32_t pool;
    apr_uint32_t spent; /* quota, not rate */
    apr_time_t until;
};

/* A request that waits for a key; see queue.h. */
struct apipool_waiter_t {
    apr_uint32_t process; /* 0: free */
    apr_uint32_t pool;
    apr_uint64_t model;  /* that it waits for */
    apr_uint64_t ticket; /* its place in the queue */
    apr_uint32_t queue, next, prev;
    apr_uint32_t unused;
};

/* Those who wait for the same; see queue.h. */
struct apipool_queue_t {
    apr_uint32_t pool;
    apr_uint32_t first, last;
    apr_uint64_t model;
    apr_uint64_t tickets; /* given out */
};

/* An address from which passwords were wrong; see sessions.h. */
typedef struct {
    apr_uint64_t address;  /* a hash */
    apr_time_t failed_at;  /* the last time */
    apr_uint32_t failures; /* in a row; 0: free */
} apipool_guesser_t;

/* A viewer of events. */
typedef struct {
    apr_uint64_t place;   /* which location is watched */
    apr_uint32_t process; /* 0: free */
} apipool_viewer_t;

struct apipool_sessions_t {
    apr_uint32_t revoked_used; /* places, from the first one on */
    apipool_revoked_t revoked[APIPOOL_REVOKED_MAX];
    apipool_guesser_t guessers[APIPOOL_GUESSERS_MAX];
    apipool_viewer_t viewers[APIPOOL_VIEWERS_MAX];
};

/* A key. Without an id it is no key's: that was removed, or is not complete. Requests that had it then still
 * have it until they end, and then it is spare.
 *
 * What lending and reporting touch comes first, in as few cache lines as it fits into: of many keys
 * hardly one lies in a cache, and those lines are what such a request waits for. */
struct apipool_slot_t {
    apr_uint64_t id;
    apr_uint64_t account; /* hash of its name; 0: none */
    apr_uint32_t pool, group;
    apr_uint32_t ordinal; /* in its group; APIPOOL_NONE: it has none */
    apipool_state_e state;
    apr_uint32_t in_flight;
    apr_uint32_t concurrency; /* in force; 0: none */
    apr_uint32_t weight;
    apr_uint32_t round; /* of refusals that it has taken part in */
    apr_uint32_t secret_len;
    apr_uint32_t error_streak; /* consecutive errors, whoever is to blame */
    unsigned char heap;        /* which one of the group; not those of models */
    unsigned char usable;      /* is in model slot 0's set */
    unsigned char held;        /* counts among the group's held_up */
    unsigned char proving;     /* half open, and lent */
    unsigned char probing;     /* lent to a probe */
    unsigned char check;       /* to be asked about out of its turn */
    unsigned char low;         /* out of quota for its balance alone */
    unsigned char spare;       /* is in the chain of spare ones */
    double success;            /* moving average */
    double served;             /* fair queueing */
    double headroom;           /* as the upstream told, until then */
    apr_time_t headroom_until;
    apr_time_t last_used_at;
    apipool_key_limits_t limits; /* its own; 0: the pool's */
    apr_uint32_t limited_streak; /* consecutive rate limits */
    apr_time_t limited_at;
    apipool_offset_t secret_off; /* where a long key lies; 0 when inline */
    apr_uint32_t failed_streak;  /* consecutive errors that may be the key's */
    apr_uint32_t recover_tries;  /* that failed */
    apipool_counts_t counts;     /* by attempts that are over */
    apipool_window_t windows[APIPOOL_WINDOWS];
    char secret[APIPOOL_KEY_INLINE];

    apipool_offset_t text_off; /* its label and its account's name, each with NUL; 0: neither */
    apr_uint16_t last_status, last_rule; /* of an error */
    apr_time_t added_at, last_error_at;
    double balance;                        /* as it was last read */
    apr_time_t read_at;                    /* then; 0: it was not */
    apr_time_t until[APIPOOL_MODEL_SLOTS]; /* end of its cooldown; [0]: when it is tried again */
    apr_uint32_t
        place[APIPOOL_MODEL_SLOTS]; /* in the heap of each model slot; APIPOOL_NONE: not in it */
    apr_uint32_t others_succeeded, others_failed; /* the group's, when failed_streak began */
    apr_time_t rests_until; /* end of the cooldown that ran when it was lost */
    char currency[APIPOOL_CURRENCY_SIZE];
    apr_uint64_t unused;
};

static_assert(sizeof(apipool_slot_t) % APIPOOL_LINE == 0, "each begins with a cache line");

#endif
