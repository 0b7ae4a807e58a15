/* SPDX-License-Identifier: Apache-2.0
 * Clients: identity, permissions and usage. */
#ifndef APIPOOL_POOL_CLIENT_H
#define APIPOOL_POOL_CLIENT_H

#include <apr_tables.h>

#include "client_table.h"
#include "segment.h"

/* Unless its name ends with "locked", every function takes the segment's lock, holds it only for
 * work in memory, and returns an APR status: one that its comment names, or an error of the
 * lock. All may be called by any thread of any process. Times are parameters. A client belongs
 * to a server, "" for the main one. */

/* Client of a request, as of the time when its key was verified. */
typedef struct {
    apr_uint32_t index;
    apr_uint64_t serial;
    int is_of_also; /* the client belongs to "also", not to "server" */
    char name[APIPOOL_CLIENT_NAME_MAX];
    apipool_client_terms_t terms; /* only lists_len bytes of the lists are set */
} apipool_client_pass_t;

/** Returns 1 if a list of the terms contains a text or is empty. Pure. */
int apipool_client_allows(const apipool_client_terms_t *terms, int list, const char *text);

/** Returns 1 if a list of the terms is not empty. Pure. */
int apipool_client_restricts(const apipool_client_terms_t *terms, int list);

/** First text of a list. Each text is followed by the next one, "" is the end. Pure. */
const char *apipool_client_list(const apipool_client_terms_t *terms, int list);

/**
 * Packs three lists of const char *, in the order of client_table.h; NULL is an empty list.
 * Pure.
 * @return 0 if they take more than APIPOOL_CLIENT_LISTS_MAX bytes or a text is empty, else 1
 */
int apipool_client_pack(apipool_client_terms_t *terms,
                        apr_array_header_t *const lists[APIPOOL_CLIENT_LISTS]);

/* Charge of an admitted request, to be settled at its end. */
typedef struct {
    apr_uint32_t index;
    apr_uint64_t serial;      /* 0: no client */
    apr_uint32_t tokens;      /* reserved */
    apr_uint32_t concurrency; /* limit for a client without its own; 0: none */
    apr_time_t at;            /* time of admission; 0: not admitted */
    int has_begun;    /* it cannot be stopped any more, so it is admitted whatever the limits say */
    int is_in_flight; /* it has a place that must be given back */
    apr_uint32_t holder; /* names this process, with a place */
} apipool_client_charge_t;

typedef enum {
    APIPOOL_CLIENT_ADMITTED,
    APIPOOL_CLIENT_GONE,     /* removed or disabled since it was recognised */
    APIPOOL_CLIENT_OVER_RPM, /* the limit that blocks for the longest time */
    APIPOOL_CLIENT_OVER_TPM,
    APIPOOL_CLIENT_OVER_TPD,
    APIPOOL_CLIENT_OVER_CONCURRENCY /* only if no window blocks */
} apipool_client_admitted_e;

/* Place for a request whose body has not arrived yet. */
typedef struct {
    apipool_client_charge_t *charge;  /* concurrency is given */
    apipool_client_admitted_e result; /* of taking a place, if these are limited */
    apr_time_t retry_at;              /* if there is none: a second later */
} apipool_client_entry_t;

/**
 * Finds the enabled, unexpired client that a key's digest belongs to, as its key or as its old key
 * that has not ended. O(1).
 * @param server server that the client may belong to
 * @param also   another such server, or NULL
 * @param entry  NULL, or takes a place if the client has a concurrency limit. The place is given
 *               back when the request is settled, or by apipool_client_leave
 * @return APR_NOTFOUND when there is no such client
 */
apr_status_t apipool_client_recognise(apipool_segment_t *segment, const unsigned char *digest,
                                      const char *server, const char *also, apr_time_t now,
                                      apipool_client_pass_t *pass, apipool_client_entry_t *entry);

/**
 * Admits a request to all limits of a client, or to none, and charges it. A request without a
 * place takes one. O(1).
 * @param charge   client, tokens and concurrency; the rest is set on admission
 * @param retry_at time when all limits would admit the request, if one does not
 */
apr_status_t apipool_client_admit(apipool_segment_t *segment, apipool_client_charge_t *charge,
                                  apr_time_t now, apipool_client_admitted_e *result,
                                  apr_time_t *retry_at);

/* Outcome of a client's request. */
typedef struct {
    apipool_client_charge_t charge;
    int reached;        /* an upstream was reached; otherwise the request does not count */
    apr_int64_t tokens; /* used; -1: unknown, the reserved tokens stay charged */
} apipool_client_used_t;

/** How much of a limit (APIPOOL_CLIENT_RPM ...) is used. Pure; exact with the lock held. */
apr_uint64_t apipool_client_used(const apipool_client_slot_t *slot, int limit, apr_time_t now);

/** Gives back the place of a request that was not settled, if it has one. */
apr_status_t apipool_client_leave(apipool_segment_t *segment, apipool_client_charge_t *charge);

/** The same for a holder, whose reserved tokens are given back; if the client is gone, only the
 *  holder is freed. Call with the lock held. */
void apipool_client_leave_locked(apipool_segment_t *segment, apr_uint32_t holder, apr_time_t now);

/** Replaces reserved tokens by used ones, gives back the place and counts the request; for a
 *  client that is gone, only frees the place. Afterwards the charge has no place. Call with the
 *  lock held. */
void apipool_client_settle_locked(apipool_segment_t *segment, const apipool_client_used_t *used,
                                  const apipool_finished_t *finished, apr_time_t now);

/* Client, for operators. */
typedef struct {
    apipool_client_image_t image;
    apr_time_t last_used_at; /* 0: never */
    apr_uint32_t in_flight;
    apipool_counters_snapshot_t counters;
} apipool_client_row_t;

/** Reads one client. APR_NOTFOUND: no client of this name. */
apr_status_t apipool_client_read(apipool_segment_t *segment, const char *server, const char *name,
                                 apr_time_t now, apipool_client_row_t *row);

/**
 * Copies a server's clients in portions.
 * @param from  where to begin, 0 at first; set to where to go on, APIPOOL_NONE at the end
 * @param rows  result, room for max; NULL: only count
 * @param count number of clients; 0 does not mean the end
 */
apr_status_t apipool_client_rows(apipool_segment_t *segment, const char *server, apr_time_t now,
                                 apr_uint32_t *from, apipool_client_row_t *rows, apr_uint32_t max,
                                 apr_uint32_t *count);

/** Number of clients of a server. */
apr_status_t apipool_client_count(apipool_segment_t *segment, const char *server,
                                  apr_uint32_t *count);

/** Number of clients, of all servers, for which there is room. */
apr_status_t apipool_client_room(apipool_segment_t *segment, apr_uint32_t *room);

/** Copies what is saved of a client. APR_NOTFOUND: the slot is free. */
apr_status_t apipool_client_image(apipool_segment_t *segment, apr_uint32_t index,
                                  apipool_client_image_t *image);

/* Only the store and tests call the functions below: a change that is not written to disk first
 * is lost at the next start. */

/** Adds a client. APR_EEXIST: the name is taken on its server, or the key is in use; APR_ENOMEM:
 *  no room. apipool_client_may_add only checks. */
apr_status_t apipool_client_add(apipool_segment_t *segment, const apipool_client_image_t *image);
apr_status_t apipool_client_may_add(apipool_segment_t *segment,
                                    const apipool_client_image_t *image);

/** Replaces the keys of the image's client by those of the image. APR_NOTFOUND: no client of this
 *  name. */
apr_status_t apipool_client_set_keys(apipool_segment_t *segment,
                                     const apipool_client_image_t *image);

/** Replaces the terms of a client. APR_NOTFOUND: no client of this name. */
apr_status_t apipool_client_set_terms(apipool_segment_t *segment, const char *server,
                                      const char *name, const apipool_client_terms_t *terms);

/** Gives the client with this digest another server and name. APR_NOTFOUND: there is none;
 *  APR_EEXIST: another one has the name there. */
apr_status_t apipool_client_move(apipool_segment_t *segment, const unsigned char *digest,
                                 const char *server, const char *name);

/** Removes a client; its requests in flight go on. APR_NOTFOUND: no client of this name. */
apr_status_t apipool_client_remove(apipool_segment_t *segment, const char *server,
                                   const char *name);

#endif
