/* SPDX-License-Identifier: Apache-2.0
 * Verdict on an attempt: who is at fault, and what to do next. */
#ifndef APIPOOL_CORE_VERDICT_H
#define APIPOOL_CORE_VERDICT_H

#include <apr_tables.h>

#include "counters.h"
#include "health.h"
#include "provider.h"
#include "words.h"

/* How far an attempt got. */
typedef enum {
    APIPOOL_PHASE_ANSWERED,  /* final status, headers and body arrived */
    APIPOOL_PHASE_NOT_SENT,  /* name resolution, connect or TLS failed: nothing was sent */
    APIPOOL_PHASE_NO_ANSWER, /* something was sent, but no usable answer came */
    APIPOOL_PHASE_BROKE,     /* the answer ended early, after its first byte went to the client */
    APIPOOL_PHASE_CLIENT_GONE
} apipool_phase_e;

/* Stable rules, whose ids are logged, counted and shown. A pool's own rules follow the built-in
 * ones. */
typedef enum {
    APIPOOL_RULE_SUCCESS,      /* R00 */
    APIPOOL_RULE_CLIENT_GONE,  /* R01: the client left */
    APIPOOL_RULE_BROKE_OFF,    /* R02: the answer broke off after its first byte */
    APIPOOL_RULE_NOT_SENT,     /* R03: nothing was sent */
    APIPOOL_RULE_NO_ANSWER,    /* R04: sent, no answer */
    APIPOOL_RULE_QUOTA,        /* R05: quota or balance spent */
    APIPOOL_RULE_CREDENTIAL,   /* R06: credential rejected */
    APIPOOL_RULE_RATE_LIMIT,   /* R07: rate limit */
    APIPOOL_RULE_SHARED_FATE,  /* R08: the upstream refuses all keys; only src/pool decides that */
    APIPOOL_RULE_FORBIDDEN,    /* R09: forbidden for another reason: region, model, terms */
    APIPOOL_RULE_NO_MODEL,     /* R10: unknown model */
    APIPOOL_RULE_CLIENT_ERROR, /* R11: error of the client */
    APIPOOL_RULE_UPSTREAM_ERROR, /* R12: error of the upstream */
    APIPOOL_RULE_OVERLOADED,     /* R13: overloaded */
    APIPOOL_RULE_ALL_COOLING,    /* R14: all usable keys are cooling, no attempt */
    APIPOOL_RULE_EXHAUSTED,      /* R15: waiting would not help, no attempt */
    APIPOOL_RULE_CUSTOM,         /* C01: first APIPoolRule of the pool; more follow */
    APIPOOL_RULE_COUNT = APIPOOL_RULE_CUSTOM + 16
} apipool_rule_e;

#define APIPOOL_CUSTOM_MAX (APIPOOL_RULE_COUNT - APIPOOL_RULE_CUSTOM)

typedef enum {
    APIPOOL_PASS,   /* pass the answer to the client as it is */
    APIPOOL_ROTATE, /* try another key at once */
    APIPOOL_RETRY,  /* try again after a pause, with another key if there is one */
    APIPOOL_STOP    /* stop; an answer goes to the client as it is */
} apipool_action_e;

typedef enum {
    APIPOOL_SCOPE_NONE,
    APIPOOL_SCOPE_CLIENT,
    APIPOOL_SCOPE_MODEL, /* the key, for one model */
    APIPOOL_SCOPE_KEY,
    APIPOOL_SCOPE_ACCOUNT,
    APIPOOL_SCOPE_UPSTREAM
} apipool_scope_e;

/* Further attempts that a rotate or retry allows. */
typedef enum {
    APIPOOL_AGAIN_WITHIN_BUDGET, /* as many as the pool allows */
    APIPOOL_AGAIN_ELSEWHERE      /* once, at another upstream: this one would answer the same */
} apipool_again_e;

/* Blame for the error, for any request. */
typedef enum {
    APIPOOL_BLAMES_NOBODY,
    APIPOOL_BLAMES_KEY,
    APIPOOL_BLAMES_KEY_LATER /* once another key has succeeded with the same request */
} apipool_blames_e;

/* Effect on the upstream's circuit breaker. */
typedef enum {
    APIPOOL_BREAKER_AS_FAULT, /* counts as a fault or success, if it is one */
    APIPOOL_BREAKER_ANSWERED, /* the upstream works, but has not served */
    APIPOOL_BREAKER_REFUSED   /* a key was refused; if all are, R08 replaces the rule */
} apipool_breaker_e;

/* Error for the client when there is no upstream answer to pass on. */
typedef enum {
    APIPOOL_SAYS_UNREACHABLE, /* or timed out */
    APIPOOL_SAYS_COOLING,
    APIPOOL_SAYS_EXHAUSTED,
    APIPOOL_SAYS_NOTHING
} apipool_says_e;

/* Rule with all its consequences: a row of the table in verdict.c. */
typedef struct {
    const char *id;      /* for example "R05"; "C01" for a pool's first own rule */
    const char *meaning; /* for operators, without a full stop */
    apipool_action_e action;
    apipool_scope_e scope;
    apipool_kind_e kind; /* of a request that ends with it */
    apipool_event_e event;
    int upstream_fault;
    apipool_again_e again;
    apipool_blames_e blames;
    int costs_prompt; /* the upstream may have charged the key for the prompt */
    apipool_breaker_e breaker;
    apipool_says_e says;
} apipool_rule_t;

/* APIPoolRule directive. */
#define APIPOOL_CUSTOM_RANGES 8
typedef struct {
    struct {
        int from, to;
    } statuses[APIPOOL_CUSTOM_RANGES]; /* inclusive; 200 stands for an error inside a 200 */
    int status_count;
    const char *marker; /* text in type, code, reason or message, ignoring case; NULL: none */
    apipool_action_e action;
    apipool_scope_e scope;
} apipool_custom_rule_t;

/* Facts about a finished attempt. Everything but phase may be zero. */
typedef struct {
    apipool_phase_e phase;
    apipool_provider_e provider;
    int status;                 /* of the answer */
    int in_band;                /* the answer is a 200 whose body or first event is an error */
    const apr_table_t *headers; /* of the answer */
    const char *body; /* of an error answer, as far as it was held, or data of the event */
    apr_size_t body_len;
    int replay_safe;    /* without an answer: sending again cannot have a second effect */
    int is_out_of_time; /* without an answer: a limit of ours was over: nobody's fault */
    const apipool_custom_rule_t *custom; /* tried in their order before the built-in ones */
    int custom_count;
    apr_time_t now;
} apipool_evidence_t;

typedef struct {
    apipool_rule_e rule;
    apipool_action_e action;
    apipool_scope_e scope; /* who is concerned */
    apipool_event_e event; /* for the key's health */
    int upstream_fault;    /* R02, R03, R04, R12, R13, some custom rules */
    apr_time_t retry_at;   /* time named by the upstream; 0: none */
    int is_certain;        /* R06: the upstream has said in words that the credential is invalid */
    apipool_words_t words; /* what it said of an error; see apipool_words_mask */
} apipool_verdict_t;

/** Judges an attempt by the first rule that matches. Pure, thread-safe. */
apipool_verdict_t apipool_verdict(const apipool_evidence_t *evidence);

/** Consequences of a rule. For a pool's own rule, its directive sets them; the rest has default
 *  values. */
const apipool_rule_t *apipool_rule(apipool_rule_e rule);

/** Kind of a request that ends with a rule. The kind of a pool's own rule follows from its scope.
 *  @param custom the pool's own rules, count of them */
apipool_kind_e apipool_rule_kind(apipool_rule_e rule, const apipool_custom_rule_t *custom,
                                 int count);

/** Id of a rule, for example "R05"; "C01" for a pool's first own rule. */
const char *apipool_rule_name(apipool_rule_e rule);

/** Meaning of a rule for operators: a static text without a full stop. */
const char *apipool_rule_meaning(apipool_rule_e rule);

/**
 * Parses the words of an APIPoolRule: STATUS[,STATUS|A-B] ["marker"] ACTION SCOPE.
 * @param words count of them, 3 or 4; the marker is referenced, not copied
 * @return NULL, or an error in pool that names the allowed values
 */
const char *apipool_custom_rule_parse(apr_pool_t *pool, const char *const *words, int count,
                                      apipool_custom_rule_t *rule);

/** Bytes of an error answer's body that a verdict reads. */
#define APIPOOL_VERDICT_BODY_MAX (64 * 1024)

#endif
