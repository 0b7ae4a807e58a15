/* SPDX-License-Identifier: Apache-2.0
 * Layout of the segment behind its header; private to src/memory and src/pool. */
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

#define APIPOOL_KEY_INLINE        256 /* longer keys lie in the arena */
#define APIPOOL_MODEL_SLOTS       8   /* per upstream; see apipool_model_slot_t */
#define APIPOOL_REVOKED_MAX       8192
#define APIPOOL_GUESSERS_MAX      1024
#define APIPOOL_VIEWERS_MAX       1024
#define APIPOOL_MODEL_SLOT_OTHERS (APIPOOL_MODEL_SLOTS - 1)

/* A pool is identified by server and name, so that an edited configuration finds its keys again. */
struct apipool_pool_t {
    char server[APIPOOL_SERVER_NAME_MAX];
    char name[APIPOOL_NAME_MAX];
    apr_uint32_t configured; /* in the running generation */
    apr_uint32_t turn;       /* round robin: position served last; APIPOOL_NONE before */
    apr_uint32_t turn_left;  /* requests that it may still serve in a row */
    double clock;            /* fair queueing: virtual time of the key served last */
    double heaviest;         /* largest weight of a key seen */
    apr_uint32_t cursor;     /* where the next comparison of a few of many keys begins */
    apr_uint32_t winner;     /* position that won the last comparison */
    apr_uint32_t unreported; /* requests without a key that were not logged */
    apr_time_t reported_at;  /* time of the last such log line */
    apr_uint32_t told;       /* what an alarm has told; see watch.c. So are the next ones */
    apr_uint32_t unused;
    apipool_maintenance_t maintenance;
};

/* Statistics of a pool, by requests of clients. */
struct apipool_pool_stats_t {
    apipool_counters_t counters;
    apipool_series_t series;
    apipool_histogram_t duration, first_byte;
    apr_uint64_t endings[APIPOOL_ENDINGS];     /* requests for which no upstream was asked */
    apr_uint64_t refusals[APIPOOL_RULE_COUNT]; /* the same, by rule */
    apr_uint64_t kinds[APIPOOL_KINDS];         /* all requests, by kind */
};

/* Cooldowns of one upstream's keys, for all models (model slot 0) or for one model. A bitset
 * holds the members that this model slot lets through (model slot 0: those that are usable at
 * all), a heap orders the cooling members by until[model_slot]. A model slot without cooling
 * members can be given to another model. When all are taken, the last one stands for all other
 * models together. */
typedef struct {
    apr_uint64_t model;
    apr_uint32_t waiting; /* members in the heap; 0: the model slot is free */
    apr_uint32_t unused;
} apipool_model_slot_t;

/* Circuit breaker: an upstream that fails, or refuses all keys, gets only one request a second. */
typedef struct {
    apr_time_t since;        /* refusals: time of the first one; 0: none */
    apr_time_t paused_until; /* when the next request may go */
    apr_time_t named;        /* refusals: when they end, as the upstream says; 0: it does not */
    apr_uint64_t client;     /* only client affected, 0: several; others do not pause */
    apr_uint32_t count;
    int pausing;
} apipool_breaker_t;

/* Faults of an upstream with one model; see breaker.h. */
#define APIPOOL_FAULT_MODELS 16 /* per upstream; the one that failed longest ago makes room */
typedef struct {
    apr_time_t at;        /* last fault */
    apr_time_t served_at; /* last success since the entry was made; 0: none */
    apipool_breaker_t breaker;
} apipool_model_faults_t;

/* Key in doubt after a request; see doubt.h. */
#define APIPOOL_DOUBTS 16 /* per upstream */
typedef struct {
    apr_uint64_t id;     /* of the key */
    apr_uint64_t client; /* client of the first such request, and its model */
    apr_uint64_t model;
    apr_time_t asked_at; /* time of the last probe; 0: none */
    apr_uint32_t slot;
    apr_uint16_t stage;
    apr_uint16_t of_quota; /* the key seems to be out of quota, not rejected */
} apipool_doubt_t;

/* Keys of one upstream of one pool. Each member has a list index while it is one; indices of
 * removed members are chained for reuse. Besides the heaps of the model slots there is one of
 * half-open keys that are not lent, and one of keys that wait for a probe: there may be many of
 * these, and no request should have to step over them. */
struct apipool_upstream_t {
    apr_uint32_t pool;
    char name[APIPOOL_NAME_MAX];
    apr_uint32_t configured;
    apr_uint32_t size;       /* capacity of the list, a multiple of 64 */
    apr_uint32_t list_used;  /* list indices used so far */
    apr_uint32_t members;    /* list indices in use now */
    apr_uint32_t spare;      /* first list index to reuse; APIPOOL_NONE: none */
    apr_uint32_t usable;     /* members in the bitset of model slot 0 */
    apr_uint32_t held_up;    /* members that are only kept back by their requests in flight */
    apr_uint32_t half_open;  /* members in that heap */
    apr_uint32_t recovering; /* members in that heap */
    apipool_offset_t rows;   /* members, heaps and sets: see members.h */
    apipool_model_slot_t model_slots[APIPOOL_MODEL_SLOTS];
    apr_uint32_t unanswered;        /* the last probe got no answer */
    apr_uint32_t not_found;         /* consecutive probes that the upstream did not understand */
    apr_uint32_t balance_not_found; /* the same of questions about a balance */
    apr_uint32_t checks_left;       /* list indices still to be searched for keys to check */
    apr_uint32_t doubts_open;       /* doubts that are not settled */
    apipool_doubt_t doubts[APIPOOL_DOUBTS];
    apr_uint32_t walked;        /* list indices checked for their balance in this round */
    apr_time_t walked_since;    /* beginning of the round */
    apr_time_t refuses_usage;   /* until then, streams are requested without usage; or the next */
#define APIPOOL_ACCEPTS_USAGE 1 /* the upstream has served a request for it; 0: not known */
    apr_uint32_t habit;         /* apipool_habit_e, for streams */
    apipool_breaker_t faults;   /* consecutive R02, R03, R04, R12, R13 with any model */
    apr_uint32_t unsent;        /* of these, R03: no model is to blame for it */
    apr_uint32_t fault_models_used;
    apr_uint64_t fault_models[APIPOOL_FAULT_MODELS]; /* models that have failed */
    apipool_model_faults_t model_faults[APIPOOL_FAULT_MODELS];
    apipool_breaker_t refusals; /* consecutive R05, R06, R07 and R09 of different keys */
    apr_uint32_t refused_as;    /* kinds of refusals in the round: see breaker.c */
    apr_uint32_t round;         /* number of the current round of refusals */
    apr_uint64_t pardoned;      /* bit i: in round - i, all keys were refused */
    apr_uint32_t usable_then;   /* usable members when the round began */
    apr_uint64_t refused_model; /* only model of the round, or 0 */
    apr_uint64_t successes, failures;
    double failing; /* moving average of results of keys without a failure streak */
    apr_uint32_t told, unused;
    apr_uint64_t rules[APIPOOL_RULE_COUNT]; /* attempts by verdict */
    apipool_counters_t counters;            /* by attempts */
    apr_uint64_t endings[APIPOOL_ENDINGS];  /* requests whose last attempt was here, by ending */
};

/* Purpose of a lease: serve a request, prove a key with a request, or probe a key. The last one
 * is not for keys: it is a client's place for one request. */
typedef enum {
    APIPOOL_FOR_REQUEST,
    APIPOOL_FOR_PROOF,
    APIPOOL_FOR_PROBE,
    APIPOOL_FOR_CLIENT
} apipool_purpose_e;

/* Holder of a lease or place, so that those of a dead child can be reclaimed. */
struct apipool_holder_t {
    apr_uint32_t process; /* 0: free */
    apr_uint32_t slot;    /* of the key or client */
    apr_uint32_t purpose; /* apipool_purpose_e */
    apr_uint32_t serial;  /* a client's serial number, lower bits */
    apr_time_t at;        /* when tokens were reserved */
    apr_uint32_t tokens;  /* reserved; 0: none, or settled */
};

/* Limit that applies to all keys of an account for some time. When all places are taken, an
 * expired limit is replaced, else one of the oldest. */
struct apipool_account_limit_t {
    apr_uint64_t account; /* 0: free */
    apr_uint64_t model;   /* 0: all */
    apr_uint32_t pool;
    apr_uint32_t spent; /* quota, not rate limit */
    apr_time_t begun_at, until;
};

/* Request that waits for a key; see queue.h. */
struct apipool_waiter_t {
    apr_uint32_t process; /* 0: free */
    apr_uint32_t pool;
    apr_uint64_t model;  /* that the request is for */
    apr_uint64_t ticket; /* its place in the queue */
    apr_uint32_t queue, next, prev;
    apr_uint32_t unused;
};

/* Queue of requests that wait for the same; see queue.h. */
struct apipool_queue_t {
    apr_uint32_t pool;
    apr_uint32_t first, last;
    apr_uint64_t model;
    apr_uint64_t tickets; /* given out */
};

/* Address that sent wrong passwords; see sessions.h. */
typedef struct {
    apr_uint64_t address;  /* hash */
    apr_time_t failed_at;  /* time of the last wrong password */
    apr_uint32_t failures; /* in a row; 0: free */
} apipool_guesser_t;

/* What a vendor said of a key's last error. The places are taken in turn. */
#define APIPOOL_KEY_WORDS_MAX 4096
struct apipool_key_words_t {
    apr_uint64_t id; /* of the key; 0: free */
    apipool_words_t words;
};

/* Viewer of events. */
typedef struct {
    apr_uint64_t place;   /* location that is watched */
    apr_uint32_t process; /* 0: free */
} apipool_viewer_t;

struct apipool_sessions_t {
    apr_uint32_t revoked_used; /* used places, always the first ones */
    apipool_revoked_t revoked[APIPOOL_REVOKED_MAX];
    apipool_guesser_t guessers[APIPOOL_GUESSERS_MAX];
    apipool_viewer_t viewers[APIPOOL_VIEWERS_MAX];
};

/* A key. A slot without id has no key: the key was removed, or is incomplete. Requests that had
 * the key keep the slot until they end; then it is spare.
 *
 * Fields used for lending and reporting come first, in few cache lines: with many keys these
 * lines are rarely cached, and a request waits for them. */
struct apipool_slot_t {
    apr_uint64_t id;
    apr_uint64_t account; /* hash of its name; 0: none */
    apr_uint32_t pool, upstream;
    apr_uint32_t list_index; /* in its upstream's list; APIPOOL_NONE: not in it */
    apipool_state_e state;
    apr_uint32_t in_flight;
    apr_uint32_t concurrency; /* in force; 0: none */
    apr_uint32_t weight;
    apr_uint32_t round; /* last round of refusals that it took part in */
    apr_uint32_t secret_len;
    apr_uint32_t error_streak; /* consecutive errors of any cause */
    unsigned char heap;        /* heap of the upstream that it is in, apart from those of models */
    unsigned char usable;      /* in the bitset of model slot 0 */
    unsigned char held;        /* counted in the upstream's held_up */
    unsigned char proving;     /* half open and lent */
    unsigned char probing;     /* lent to a probe */
    unsigned char check;       /* probe it out of turn */
    unsigned char low;         /* out of quota only because of its balance */
    unsigned char spare;       /* in the free list of slots */
    double success;            /* moving average */
    double served;             /* fair queueing: virtual finish time */
    double headroom;           /* as reported by the upstream, valid until the time below */
    apr_time_t headroom_until;
    apr_time_t last_used_at;
    apipool_key_limits_t limits; /* own limits; 0: those of the pool */
    apr_uint32_t limited_streak; /* consecutive rate limits */
    apr_time_t limited_at;
    apr_uint64_t served_model; /* last model that it has served, and when; 0: none */
    apr_time_t served_at;
    apr_uint64_t refused_model; /* refused to it, though not to another key; 0: none since */
    apr_time_t refused_at;
    apipool_offset_t secret_off; /* of a long key in the arena; 0: inline */
    apr_uint32_t failed_streak;  /* consecutive errors that may be the key's fault */
    apr_uint32_t recover_tries;  /* failed attempts to recover */
    apipool_counts_t counts;     /* of finished attempts */
    apipool_window_t windows[APIPOOL_WINDOWS];
    char secret[APIPOOL_KEY_INLINE];

    apipool_offset_t text_off;           /* label and account name, each with NUL; 0: neither */
    apr_uint16_t last_status, last_rule; /* of the last error */
    apr_int32_t other_cents;             /* balance in the other currency */
    apr_time_t added_at, last_error_at;
    double balance;                          /* as read last */
    apr_time_t read_at;                      /* when; 0: never */
    apr_time_t until[APIPOOL_MODEL_SLOTS];   /* end of its cooldown; [0]: time of the next try */
    apr_uint32_t place[APIPOOL_MODEL_SLOTS]; /* in each heap; APIPOOL_NONE: not in it */
    apr_uint32_t others_succeeded, others_failed; /* of the upstream, when failed_streak began */
    apr_time_t failed_since;
    apr_time_t rests_until; /* end of the cooldown that was running when the key was lost */
    union {
        char currency[APIPOOL_CURRENCY_SIZE];
        char currencies[APIPOOL_CURRENCIES][APIPOOL_CURRENCY_SIZE / APIPOOL_CURRENCIES];
    };
    apr_uint16_t reason; /* why it left the rotation last; see reason.h */
    apr_uint16_t words;  /* place of what the vendor said of the last error */
    apr_uint16_t told;
    apr_uint16_t unused;
    apr_uint64_t also_unused[3];
};

static_assert(sizeof(apipool_slot_t) % APIPOOL_LINE == 0, "each begins with a cache line");

#endif
