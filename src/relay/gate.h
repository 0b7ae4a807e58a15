/* SPDX-License-Identifier: Apache-2.0
 * The output filter between an attempt's answer and the client. */
#ifndef APIPOOL_RELAY_GATE_H
#define APIPOOL_RELAY_GATE_H

#include "request.h"

/* Answers below 400 pass untouched; the beginning of an event stream or a JSON document of status 200 is
 * held until it has content, or is an error. Error answers are held, up to APIPOOL_VERDICT_BODY_MAX bytes,
 * until attempt.c has decided what becomes of them. All functions are called by the request's thread. */

/**
 * Puts the gate in front of all other output filters; once per request.
 * @param goes_on whether another attempt follows the answer that is held
 */
void apipool_gate_install(apipool_request_t *req, int (*goes_on)(apipool_request_t *req));

/** Forgets what the last attempt brought. */
void apipool_gate_reset(apipool_request_t *req);

/** Sends a held answer to the client, the key in it masked. */
void apipool_gate_release(apipool_request_t *req);

/** Lets everything pass from now on: for answers of our own. */
void apipool_gate_open(apipool_request_t *req);

/** Whether ProxyErrorOverride wants a page of httpd's instead of the answer that is held. */
int apipool_gate_is_overridden(const apipool_request_t *req);

/** The held part of an error answer, in one piece. */
void apipool_gate_held(apipool_request_t *req, char **body, apr_size_t *len);

/** How long the beginning of an answer that is held may still be held, in microseconds; -1: none is. */
apr_interval_time_t apipool_gate_patience(const apipool_request_t *req);

/** That time is over while the upstream is silent: what is held goes to the client. */
void apipool_gate_expire(apipool_request_t *req);

void apipool_gate_register_filter(void);

#endif
