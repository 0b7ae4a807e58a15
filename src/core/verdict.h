/* SPDX-License-Identifier: Apache-2.0
 * What one attempt at an upstream means: whose fault, and what to do next. */
#ifndef APIPOOL_CORE_VERDICT_H
#define APIPOOL_CORE_VERDICT_H

#include <apr_tables.h>

#include "health.h"
#include "provider.h"

/* How far an attempt came. */
typedef enum {
    APIPOOL_PHASE_ANSWERED,  /* a final status and headers arrived, and the body with it */
    APIPOOL_PHASE_NOT_SENT,  /* name resolution, connect or TLS failed: no byte was sent */
    APIPOOL_PHASE_NO_ANSWER, /* something was sent, no usable answer came */
    APIPOOL_PHASE_BROKE,     /* the answer ended early after its first byte went to the client */
    APIPOOL_PHASE_CLIENT_GONE
} apipool_phase_e;

/* Stable rule ids: logged, counted, shown. Those of a pool's own rules follow the built-in ones. */
typedef enum {
    APIPOOL_RULE_SUCCESS,        /* success */
    APIPOOL_RULE_CLIENT_GONE,    /* client went away */
    APIPOOL_RULE_BROKE_OFF,      /* broke after the first byte */
    APIPOOL_RULE_NOT_SENT,       /* never sent */
    APIPOOL_RULE_NO_ANSWER,      /* sent, no answer */
    APIPOOL_RULE_QUOTA,          /* quota or balance spent */
    APIPOOL_RULE_CREDENTIAL,     /* credential rejected */
    APIPOOL_RULE_RATE_LIMIT,     /* rate limited */
    APIPOOL_RULE_SHARED_FATE,    /* the upstream refuses everyone: known to src/pool alone */
    APIPOOL_RULE_FORBIDDEN,      /* forbidden for another reason: region, model, terms */
    APIPOOL_RULE_NO_MODEL,       /* model not found */
    APIPOOL_RULE_CLIENT_ERROR,   /* the client's own error */
    APIPOOL_RULE_UPSTREAM_ERROR, /* the upstream's own error */
    APIPOOL_RULE_OVERLOADED,     /* overloaded, slow down */
    APIPOOL_RULE_ALL_COOLING,    /* all usable keys are cooling: no attempt */
    APIPOOL_RULE_EXHAUSTED,      /* nothing can recover by waiting: no attempt */
    APIPOOL_RULE_CUSTOM,         /* the first APIPoolRule of the pool, and so on */
    APIPOOL_RULE_COUNT = APIPOOL_RULE_CUSTOM + 16
} apipool_rule_e;

#define APIPOOL_CUSTOM_MAX (APIPOOL_RULE_COUNT - APIPOOL_RULE_CUSTOM)

typedef enum {
    APIPOOL_PASS,   /* the answer goes to the client as it is */
    APIPOOL_ROTATE, /* another key, at once */
    APIPOOL_RETRY,  /* again after a pause, with another key where there is one */
    APIPOOL_STOP    /* nothing else is tried; an answer goes to the client as it is */
} apipool_action_e;

typedef enum {
    APIPOOL_SCOPE_NONE,
    APIPOOL_SCOPE_CLIENT,
    APIPOOL_SCOPE_MODEL, /* the key, for one model alone */
    APIPOOL_SCOPE_KEY,
    APIPOOL_SCOPE_ACCOUNT,
    APIPOOL_SCOPE_UPSTREAM
} apipool_scope_e;

/* Which other attempts an action to rotate or retry allows. */
typedef enum {
    APIPOOL_AGAIN_WITHIN_BUDGET, /* as many as the pool allows */
    APIPOOL_AGAIN_ONCE,
    APIPOOL_AGAIN_ELSEWHERE /* once, and at another upstream: this one would say the same */
} apipool_again_e;

/* Whether the error is the key's, whatever the request was. */
typedef enum {
    APIPOOL_BLAMES_NOBODY,
    APIPOOL_BLAMES_KEY,
    APIPOOL_BLAMES_KEY_LATER /* if another key succeeds with the same request */
} apipool_blames_e;

/* What the upstream's circuit breaker is told. */
typedef enum {
    APIPOOL_BREAKER_AS_FAULT, /* of a fault or a success, if it is one */
    APIPOOL_BREAKER_ANSWERED, /* it works, but has not served */
    APIPOOL_BREAKER_REFUSED /* a key; when it refuses all of them, R08 takes the place of the rule */
} apipool_breaker_e;

/* What the client is told where there is no answer of an upstream to pass on. */
typedef enum {
    APIPOOL_SAYS_UNREACHABLE, /* or that the time was over */
    APIPOOL_SAYS_COOLING,
    APIPOOL_SAYS_EXHAUSTED,
    APIPOOL_SAYS_NOTHING
} apipool_says_e;

/* A rule: all that follows from it stands in its row of one table, in verdict.c. */
typedef struct {
    const char *id;      /* "R05" and so on; "C01" for the first of a pool's own rules */
    const char *meaning; /* what it means that it has matched, for operators; without a full stop */
    apipool_action_e action;
    apipool_scope_e scope;
    apipool_event_e event;
    int upstream_fault;
    apipool_again_e again;
    apipool_blames_e blames;
    int costs_prompt; /* the upstream may have charged the key for the prompt */
    apipool_breaker_e breaker;
    apipool_says_e says;
} apipool_rule_t;

/* One APIPoolRule. */
#define APIPOOL_CUSTOM_RANGES 8
typedef struct {
    struct {
        int from, to;
    } statuses[APIPOOL_CUSTOM_RANGES]; /* inclusive; 200 stands for an error inside a 200 */
    int status_count;
    const char *marker; /* in type, code, reason or message, ignoring case; NULL: none */
    apipool_action_e action;
    apipool_scope_e scope;
} apipool_custom_rule_t;

/* What is known of an attempt when it is over. Everything but phase may be left zero. */
typedef struct {
    apipool_phase_e phase;
    apipool_provider_e provider;
    int status;                 /* of an answer */
    int in_band;                /* the answer is a 200 whose body, or first event, is an error */
    const apr_table_t *headers; /* of an answer */
    const char *body;           /* of an error answer, as much as was held; the data of the event */
    apr_size_t body_len;
    int replay_safe; /* without an answer: sending it again cannot do it twice */
    int is_out_of_time; /* without an answer: the request's own deadline was over, which is nobody's fault */
    const apipool_custom_rule_t *custom; /* tried before the built-in ones, in their order */
    int custom_count;
    apr_time_t now;
} apipool_evidence_t;

typedef struct {
    apipool_rule_e rule;
    apipool_action_e action;
    apipool_scope_e scope; /* whom it concerns */
    apipool_event_e event; /* what the key's health is told */
    int upstream_fault;    /* counts against the upstream: R02, R03, R04, R12, R13, some custom */
    apr_time_t retry_at;   /* when the upstream said to come back; 0 when it said nothing */
} apipool_verdict_t;

/** Judges an attempt by the first rule that matches. Pure, thread-safe. */
apipool_verdict_t apipool_verdict(const apipool_evidence_t *evidence);

/** What follows from a rule. What a pool's own rule does stands in its directive; the rest is as in a row
 *  that does not name it. */
const apipool_rule_t *apipool_rule(apipool_rule_e rule);

/** "R05" and so on; "C01" for the first of a pool's own rules. */
const char *apipool_rule_name(apipool_rule_e rule);

/** What it means that a rule has matched, for operators: a static text without a full stop. */
const char *apipool_rule_meaning(apipool_rule_e rule);

/**
 * Reads the words of an APIPoolRule: STATUS[,STATUS|A-B] ["marker"] ACTION SCOPE.
 * @param words count of them, 3 or 4; the marker is kept by reference
 * @return NULL, or what is wrong and what is allowed, allocated from pool
 */
const char *apipool_custom_rule_parse(apr_pool_t *pool, const char *const *words, int count,
                                      apipool_custom_rule_t *rule);

/** Bytes of an error answer's body that a verdict looks at. */
#define APIPOOL_VERDICT_BODY_MAX (64 * 1024)

#endif
