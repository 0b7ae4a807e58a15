/* SPDX-License-Identifier: Apache-2.0
 * What one attempt at an upstream means: whose fault, and what to do next. */
#ifndef APIPOOL_CORE_VERDICT_H
#define APIPOOL_CORE_VERDICT_H

#include <apr_tables.h>

#include "health.h"

/* How far an attempt came. */
typedef enum {
    APIPOOL_PHASE_ANSWERED, /* a final status and headers arrived, and the body that belongs to it */
    APIPOOL_PHASE_NOT_SENT, /* name resolution, connect or TLS failed: no byte of the request left */
    APIPOOL_PHASE_NO_ANSWER, /* something was sent, no usable answer came */
    APIPOOL_PHASE_BROKE,     /* the answer ended early after its first byte went to the client */
    APIPOOL_PHASE_CLIENT_GONE
} apipool_phase_e;

/* Stable rule ids: logged, counted, shown. */
typedef enum {
    APIPOOL_R00, /* success */
    APIPOOL_R01, /* client went away */
    APIPOOL_R02, /* broke after the first byte */
    APIPOOL_R03, /* never sent */
    APIPOOL_R04, /* sent, no answer */
    APIPOOL_R05, /* quota or balance spent */
    APIPOOL_R06, /* credential rejected */
    APIPOOL_R07, /* rate limited */
    APIPOOL_R11, /* the client's own error */
    APIPOOL_R12, /* the upstream's own error */
    APIPOOL_R14, /* all usable keys are cooling */
    APIPOOL_R15, /* nothing can recover by waiting */
    APIPOOL_RULE_COUNT
} apipool_rule_e;

typedef enum {
    APIPOOL_PASS,   /* the answer goes to the client as it is */
    APIPOOL_ROTATE, /* another key, at once */
    APIPOOL_RETRY,  /* again after a pause, with another key where there is one */
    APIPOOL_STOP    /* no answer to pass and nothing to try */
} apipool_action_e;

typedef enum {
    APIPOOL_SCOPE_NONE,
    APIPOOL_SCOPE_CLIENT,
    APIPOOL_SCOPE_KEY,
    APIPOOL_SCOPE_ACCOUNT,
    APIPOOL_SCOPE_UPSTREAM
} apipool_scope_e;

/* What is known of an attempt when it is over. Everything but phase may be left zero. */
typedef struct {
    apipool_phase_e phase;
    int status;                 /* of an answer */
    const apr_table_t *headers; /* of an answer */
    const char *body;           /* of an error answer, as much as was held */
    apr_size_t body_len;
    int replay_safe; /* without an answer: sending it again cannot do it twice */
    apr_time_t now;
} apipool_evidence_t;

typedef struct {
    apipool_rule_e rule;
    apipool_action_e action;
    apipool_scope_e scope; /* whom it concerns */
    apipool_event_e event; /* what the key's health is told */
    apr_time_t retry_at;   /* R07: when the upstream said to come back; 0 when it said nothing */
} apipool_verdict_t;

/** Judges an attempt by the first rule that matches. Pure, thread-safe. */
apipool_verdict_t apipool_verdict(const apipool_evidence_t *evidence);

/** "R05" and so on. */
const char *apipool_rule_name(apipool_rule_e rule);

/** Bytes of an error answer's body that a verdict looks at. */
#define APIPOOL_VERDICT_BODY_MAX (64 * 1024)

#endif
