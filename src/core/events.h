/* SPDX-License-Identifier: Apache-2.0
 * The text of event streams: where lines and events end, what an event says, and the one that tells usage. */
#ifndef APIPOOL_CORE_EVENTS_H
#define APIPOOL_CORE_EVENTS_H

#include <apr_pools.h>

/* WHATWG HTML, section 9.2: lines end with CR LF, LF or CR, an event ends with an empty line, its data
 * stands in "data:" fields. All functions are pure; thread-safe. */

/**
 * Looks for the first event that has data.
 * @param data set to it, its lines joined by LF, allocated from pool; NULL without any
 * @return 1 when the event is complete, 0 when more has to come
 */
int apipool_events_first(const char *text, apr_size_t len, apr_pool_t *pool, char **data);

/** Bytes up to and with the last line feed; 0 without one. */
apr_size_t apipool_events_lines(const char *text, apr_size_t len);

/** Bytes up to the end of the last event whose empty line ends in LF; 0 when none ends.
 *  @param before the two bytes before text, NULs where there are none */
apr_size_t apipool_events_whole(const char *text, apr_size_t len, const char before[2]);

/** Whether there may be a chunk in it as apipool_events_drop_usage looks for; fast, and rarely wrong. */
int apipool_events_may_tell_usage(const char *text, apr_size_t len);

/**
 * Takes out, in place, the chunks that a client gets only if it asks for usage: with a usage and with no
 * choices (OpenAI API reference, stream_options). Azure's first chunk has no choices, but no usage either.
 * Where lines end in CR alone, as no vendor's do, nothing is taken out.
 * @param text whole events
 * @param pool for scratch memory, given back at the end
 * @return bytes that are left
 */
apr_size_t apipool_events_drop_usage(char *text, apr_size_t len, apr_pool_t *pool);

#endif
