/* SPDX-License-Identifier: Apache-2.0
 * What has come from an upstream and has not been asked for yet. */
#ifndef APIPOOL_RELAY_UPSTREAM_BUFFER_H
#define APIPOOL_RELAY_UPSTREAM_BUFFER_H

#include <httpd.h>
#include <util_filter.h>

#include "pool.h"

/* httpd's filters are asked for a line at a time, and take what has come apart for each. Here it stays in one
 * piece, which lines are shown from and bodies are taken from. One for each connection, which belongs to one
 * thread at a time; all of it lives as long as the connection. */
typedef struct {
    apr_bucket_brigade *buckets; /* of the heap; the first is empty when its last line was shown */
    apr_socket_t *socket;        /* to read from; NULL: the filters below do more than pass on */
    int started;                 /* that is known */
    int ended;                   /* the upstream has said its last */
    apr_size_t vetted;           /* length of the next line if it may be handed out; else 0 */
} apipool_upstream_buffer_t;

/** Of a connection that is being made, for a filter that stands above those of TLS. */
apipool_upstream_buffer_t *apipool_upstream_buffer_make(conn_rec *c);

/** To be called first, each time that the filter is asked for something.
 *  @param below the filter that it would ask */
void apipool_upstream_buffer_begin(apipool_upstream_buffer_t *intake, const ap_filter_t *below);

/** Bytes that wait. */
apr_size_t apipool_upstream_buffer_length(const apipool_upstream_buffer_t *intake);

/** Whether a read of the socket would bring something at once, be it an end or a fault. */
int apipool_upstream_buffer_is_readable(const apipool_upstream_buffer_t *intake);

/**
 * Reads once, as long as the socket's timeout allows if it may block.
 * @return APR_SUCCESS: something has come; APR_EOF; APR_EAGAIN; or what the socket or a filter says
 */
apr_status_t apipool_upstream_buffer_fill(apipool_upstream_buffer_t *intake, ap_filter_t *below,
                                          apr_read_type_e block);

/**
 * The next line with its line feed, or HUGE_STRING_LEN bytes of a long one, or after the end what there is.
 * @param line valid until the next line, or the next call of apipool_upstream_buffer_begin()
 * @return its length, or 0 if more has to come first
 */
apr_size_t apipool_upstream_buffer_line(apipool_upstream_buffer_t *intake, const char **line);

/** Masks the key in a line that apipool_upstream_buffer_line() has found. */
void apipool_upstream_buffer_redact(apipool_upstream_buffer_t *intake, apr_size_t len,
                                    const apipool_lease_t *lease);

/** The byte behind that many, if it has come with them; else -1. */
int apipool_upstream_buffer_behind(const apipool_upstream_buffer_t *intake, apr_size_t len);

/** Goes on behind a line or a part of it, which stays valid. */
void apipool_upstream_buffer_skip(apipool_upstream_buffer_t *intake, apr_size_t len);

/** Adds up to that many of the next bytes, which stay where they are, to a brigade, for the moment only. */
void apipool_upstream_buffer_show(const apipool_upstream_buffer_t *intake, apr_bucket_brigade *bb,
                                  apr_off_t max);

/** Moves up to that many bytes to the end of a brigade, without copying them. There must be some. */
apr_status_t apipool_upstream_buffer_take(apipool_upstream_buffer_t *intake, apr_bucket_brigade *bb,
                                          apr_off_t max);

#endif
