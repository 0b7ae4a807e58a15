/* SPDX-License-Identifier: Apache-2.0
 * Alarms for operators: events, and the message that tells of one. */
#ifndef APIPOOL_CORE_ALARM_H
#define APIPOOL_CORE_ALARM_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>

/* Events; their names are part of the contract. */
typedef enum {
    APIPOOL_ALARM_KEY_LOST,       /* quota, invalid or tripped */
    APIPOOL_ALARM_KEY_BACK,       /* in rotation again */
    APIPOOL_ALARM_POOL_LOW,       /* fewer usable keys than the operator wants */
    APIPOOL_ALARM_POOL_EXHAUSTED, /* no key can serve a request */
    APIPOOL_ALARM_UPSTREAM_PAUSED,
    APIPOOL_ALARM_UPSTREAM_BACK,
    APIPOOL_ALARM_BALANCE_LOW,
    APIPOOL_ALARM_CLIENT_NEAR_LIMIT,
    APIPOOL_ALARM_CLIENT_OVER_LIMIT,
    APIPOOL_ALARM_STORE_NOT_SAVED,
    APIPOOL_ALARM_COUNT
} apipool_alarm_e;

#define APIPOOL_ALARM_ROWS 20         /* things that a message lists */
#define APIPOOL_ALARM_TEXT (2048 + 1) /* bytes of its text with NUL: what WeCom takes */

/** Name of an event, for example "key_lost". */
const char *apipool_alarm_name(apipool_alarm_e event);

/* One message: an event that happened to some things of one kind. */
typedef struct {
    apipool_alarm_e event;
    apr_time_t at;
    const char *host;          /* name of this machine */
    const char *pool;          /* NULL: of no pool */
    const char *server;        /* of the pool; "" for the main one */
    apr_uint32_t count;        /* things that it happened to, of which the rows are the first */
    const char *members;       /* name of the array of these rows; NULL: there is none */
    json_t *rows;              /* an array of objects; or one object, whose members are added */
    apr_array_header_t *lines; /* const char *: what is said of each row */
} apipool_alarm_t;

/**
 * The message as a JSON object of lines, each with one whole member, so that a shell can read it.
 * "text" has neither "<" nor ">", which chats take for markup, and fits APIPOOL_ALARM_TEXT.
 * @param alarm its rows are released
 */
const char *apipool_alarm_message(apr_pool_t *p, const apipool_alarm_t *alarm);

#endif
