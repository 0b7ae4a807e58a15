/* SPDX-License-Identifier: Apache-2.0
 * Clients and their keys: who they are, what they may do, and what they have used. */
#ifndef APIPOOL_POOL_CLIENT_H
#define APIPOOL_POOL_CLIENT_H

#include <apr_tables.h>

#include "client_table.h"
#include "segment.h"

/* Every function takes the segment's lock itself, holds it for work in memory alone and returns an APR status
 * for what is said below or when the lock could not be had, unless its name ends with "locked". Any thread of
 * any process; times are parameters. A client belongs to a server, "" for the main one. */

/* Who has asked, as it was when the key was verified. */
typedef struct {
    apr_uint32_t index;
    apr_uint64_t serial;
    int is_of_also; /* and not of the server that was asked about first */
    char name[APIPOOL_CLIENT_NAME_MAX];
    apipool_client_terms_t terms; /* no more than lists_len bytes of its lists */
} apipool_client_pass_t;

/** Whether a list of the terms allows a text: it has it, or is empty. Pure. */
int apipool_client_allows(const apipool_client_terms_t *terms, int list, const char *text);

/** Whether a list of the terms says anything. Pure. */
int apipool_client_restricts(const apipool_client_terms_t *terms, int list);

/** The first text of a list; each is followed by the next one, "" is the end. Pure. */
const char *apipool_client_list(const apipool_client_terms_t *terms, int list);

/**
 * Packs three lists of const char *, in the order of the table; NULL is an empty one. Pure.
 * @return 1, or 0 when they take more than APIPOOL_CLIENT_LISTS_MAX bytes or one of the texts is empty
 */
int apipool_client_pack(apipool_client_terms_t *terms,
                        apr_array_header_t *const lists[APIPOOL_CLIENT_LISTS]);

/* What a request was admitted with, to be settled when it is over. */
typedef struct {
    apr_uint32_t index;
    apr_uint64_t serial;      /* 0: nobody's */
    apr_uint32_t tokens;      /* reserved */
    apr_uint32_t concurrency; /* the limit of a client that has none of its own; 0: none */
    apr_time_t at;            /* when; 0: it was not admitted */
    int has_begun;       /* nobody can stop it any more: it is admitted whatever the limits say */
    int is_in_flight;    /* it has a place, which has to be given back */
    apr_uint32_t holder; /* that names this process, with a place */
} apipool_client_charge_t;

typedef enum {
    APIPOOL_CLIENT_ADMITTED,
    APIPOOL_CLIENT_GONE,     /* removed or switched off since it was recognised */
    APIPOOL_CLIENT_OVER_RPM, /* the limit that is in the way for longest */
    APIPOOL_CLIENT_OVER_TPM,
    APIPOOL_CLIENT_OVER_TPD,
    APIPOOL_CLIENT_OVER_CONCURRENCY /* where no window is in the way */
} apipool_client_admitted_e;

/* A place for a request whose body has not come yet. */
typedef struct {
    apipool_client_charge_t
        *charge; /* its concurrency is set; its client and its place are noted there */
    apipool_client_admitted_e result; /* whether there is a place, where there is a limit to them */
    apr_time_t
        retry_at; /* where there is none: no clock tells when one comes free, so a second later */
} apipool_client_entry_t;

/**
 * Finds out whose key has a digest: of a client that is switched on and has not expired. O(1).
 * @param server of which server it may be
 * @param also   of which other one, or NULL
 * @param entry  NULL, or how a client that is found and has a limit to what it has in flight takes a place.
 *               The place is given back when the request is settled, or else by apipool_client_leave.
 * @return APR_NOTFOUND when there is no such client
 */
apr_status_t apipool_client_recognise(apipool_segment_t *segment, const unsigned char *digest,
                                      const char *server, const char *also, apr_time_t now,
                                      apipool_client_pass_t *pass, apipool_client_entry_t *entry);

/**
 * Admits a request to all limits of a client, or to none, and charges it; one that has no place yet takes
 * one. O(1).
 * @param charge   its client, tokens and concurrency; the rest is set when it is admitted
 * @param retry_at set to when all of them would admit it, where one does not
 */
apr_status_t apipool_client_admit(apipool_segment_t *segment, apipool_client_charge_t *charge,
                                  apr_time_t now, apipool_client_admitted_e *result,
                                  apr_time_t *retry_at);

/* What came of a client's request. */
typedef struct {
    apipool_client_charge_t charge;
    int reached;        /* an upstream: otherwise it is as if it had never been */
    apr_int64_t tokens; /* used; -1 where nobody knows: what was reserved stays charged */
} apipool_client_used_t;

/** Gives back the place of a request that nobody has settled, if it has one. */
apr_status_t apipool_client_leave(apipool_segment_t *segment, apipool_client_charge_t *charge);

/** The same by its holder; where the client has gone, only that is free again. Call with the lock held. */
void apipool_client_leave_locked(apipool_segment_t *segment, apr_uint32_t holder);

/** Puts what was used in the place of what was reserved, gives back its place and counts the request; of a
 *  client that has gone, nothing. The caller knows then that the charge has no place any more. Call with the
 *  lock held. */
void apipool_client_settle_locked(apipool_segment_t *segment, const apipool_client_used_t *used,
                                  const apipool_finished_t *finished, apr_time_t now);

/* A client, for operators. */
typedef struct {
    apipool_client_image_t image;
    apr_time_t last_used_at; /* 0: never */
    apr_uint32_t in_flight;
    apipool_counters_snapshot_t numbers;
} apipool_client_row_t;

/** One client. APR_NOTFOUND: there is none of that name. */
apr_status_t apipool_client_read(apipool_segment_t *segment, const char *server, const char *name,
                                 apr_time_t now, apipool_client_row_t *row);

/**
 * Copies out a server's clients in portions.
 * @param from  where to begin, 0 at first; set to where to go on, APIPOOL_NONE at the end
 * @param rows  result, room for max; NULL to count them alone
 * @param count how many there are; 0 does not mean the end
 */
apr_status_t apipool_client_rows(apipool_segment_t *segment, const char *server, apr_time_t now,
                                 apr_uint32_t *from, apipool_client_row_t *rows, apr_uint32_t max,
                                 apr_uint32_t *count);

/** How many clients a server has. */
apr_status_t apipool_client_count(apipool_segment_t *segment, const char *server,
                                  apr_uint32_t *count);

/** What a slot holds of a client, for saving. APR_NOTFOUND: it is free. */
apr_status_t apipool_client_image(apipool_segment_t *segment, apr_uint32_t index,
                                  apipool_client_image_t *image);

/* Of what follows only the store's changes and tests are callers: what is not written down first is lost at
 * the next start. */

/** Adds a client. APR_EEXIST: its server has one of that name, or there is one with that key; APR_ENOMEM:
 *  there is no room. The second one only asks. */
apr_status_t apipool_client_add(apipool_segment_t *segment, const apipool_client_image_t *image);
apr_status_t apipool_client_may_add(apipool_segment_t *segment,
                                    const apipool_client_image_t *image);

/** Gives a client other terms. APR_NOTFOUND: there is none of that name. */
apr_status_t apipool_client_set_terms(apipool_segment_t *segment, const char *server,
                                      const char *name, const apipool_client_terms_t *terms);

/** Removes a client; requests of it that are in flight go on. APR_NOTFOUND: there is none of that name. */
apr_status_t apipool_client_remove(apipool_segment_t *segment, const char *server,
                                   const char *name);

#endif
