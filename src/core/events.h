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

/* Looks for the end of the first event that has data as the bytes come, so that none is looked at twice.
 * Full of zeros at first; nothing in it is for callers. */
typedef struct {
    unsigned char matched; /* bytes of "data:" that the line begins with, or more if it does not */
    unsigned char after_cr, has_data, complete;
} apipool_events_peek_t;

/**
 * Takes the next bytes.
 * @return 1 once apipool_events_first() may find a complete event in all that came: it does, unless the
 *         last byte is a CR of which it is not known yet whether an LF belongs to it
 */
int apipool_events_peek(apipool_events_peek_t *peek, const char *text, apr_size_t len);

/** Bytes up to and with the last line feed; 0 without one. */
apr_size_t apipool_events_lines(const char *text, apr_size_t len);

/** Bytes up to the end of the last event whose empty line ends in LF; 0 when none ends.
 *  @param before the two bytes before text, NULs where there are none */
apr_size_t apipool_events_whole(const char *text, apr_size_t len, const char before[2]);

/** Whether text, of at least one byte, ends with such an end of an event. */
int apipool_events_end(const char *text, apr_size_t len, const char before[2]);

/**
 * Takes out, in place, the chunks that a client gets only if it asks for usage: with an object as usage,
 * whatever is in it, and with no choices, whether they are empty, null or missing (OpenAI API reference,
 * stream_options). Azure's first chunk has no choices, but no usage either. Where the data of an event is no
 * JSON as a whole, each of its lines is taken for a chunk: not all vendors have an empty line before
 * "data: [DONE]". A name that is written with escapes is not recognised.
 * @param text whole events, or the end of a stream
 * @param pool for scratch memory, given back at the end
 * @return bytes that are left
 */
apr_size_t apipool_events_drop_usage(char *text, apr_size_t len, apr_pool_t *pool);

#endif
