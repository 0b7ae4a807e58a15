/* SPDX-License-Identifier: Apache-2.0
 * The text of event streams: where lines and events end, what they say, and the one that tells usage. */
#ifndef APIPOOL_TEXT_SSE_H
#define APIPOOL_TEXT_SSE_H

#include <apr_pools.h>

/* WHATWG HTML, section 9.2: lines end with CR LF, LF or CR, an event ends with an empty line, its data
 * stands in "data:" fields. All functions are pure but for what they are given to write to; thread-safe. */

/**
 * Looks for the end of a line.
 * @param eol  set to the end of its text, or of what there is of it
 * @param next set to where the next line begins; end where the line is not complete
 * @return whether it is complete; a CR as the last byte does not make it so, for an LF may follow
 */
int apipool_sse_line(const char *text, const char *end, const char **eol, const char **next);

/** What the line's field of that name holds, without the blank behind the colon; NULL if it is another. */
const char *apipool_sse_field(const char *line, const char *eol, const char *name);

/** The end of the event that begins at text: behind its empty line, or end. */
const char *apipool_sse_next(const char *text, const char *end);

/** Where the event begins that a byte is in: behind an empty line that ends in LF, or at text. */
const char *apipool_sse_start(const char *text, const char *at);

/**
 * Joins the data of all lines, even if the last one is not complete, each with an LF behind it.
 * @param to room for len bytes
 * @return bytes; 0 without any data
 */
apr_size_t apipool_sse_join(char *to, const char *text, apr_size_t len);

/**
 * Looks for the first event that has data.
 * @param data set to it, its lines joined by LF, allocated from pool; NULL without any
 * @return 1 when the event is complete, 0 when more has to come
 */
int apipool_sse_first(const char *text, apr_size_t len, apr_pool_t *pool, char **data);

/* Where a stream is whose bytes are taken event by event, so that none is looked at twice. Full of zeros at
 * first. */
typedef struct {
    unsigned char ended;    /* what was taken last ends an event */
    unsigned char has_data; /* so far, of the event */
    unsigned char matched;  /* bytes of "data:" that the line begins with, or more if it does not */
    unsigned char after_cr; /* an LF still belongs to the line before */
} apipool_sse_at_t;

/** Takes bytes up to and with the end of the event, or all. @return how many */
apr_size_t apipool_sse_take(apipool_sse_at_t *at, const char *text, apr_size_t len);

/**
 * Takes the next bytes up to the end of the first event that has data, or all.
 * @return 1 once apipool_sse_first() may find a complete event in all that came: it does, unless the
 *         last byte is a CR of which it is not known yet whether an LF belongs to it
 */
int apipool_sse_peek(apipool_sse_at_t *at, const char *text, apr_size_t len);

/** Bytes up to and with the last line feed; 0 without one. */
apr_size_t apipool_sse_lines(const char *text, apr_size_t len);

/** Bytes up to the end of the last event whose empty line ends in LF; 0 when none ends.
 *  @param before the two bytes before text, NULs where there are none */
apr_size_t apipool_sse_whole(const char *text, apr_size_t len, const char before[2]);

/** Whether text, of at least one byte, ends with such an end of an event. */
int apipool_sse_end(const char *text, apr_size_t len, const char before[2]);

/**
 * Looks for the first object that is the value of a member under which vendors report usage: "usage",
 * "usageMetadata" or "meta". A name that is written with escapes is not recognised, so the text of a string
 * never looks like one.
 * @param text JSON, or events with JSON as data
 * @return its brace; NULL without one
 */
const char *apipool_sse_find_usage(const char *text, const char *end);

/**
 * Takes out, in place, the chunks that a client gets only if it asks for usage: with an object as usage,
 * whatever is in it, and with no choices, whether they are empty, null or missing (OpenAI API reference,
 * stream_options). Azure's first chunk has no choices, but no usage either. Where the data of an event is no
 * JSON as a whole, each of its lines is taken for a chunk: not all vendors have an empty line before
 * "data: [DONE]".
 * @param text whole events, or the end of a stream
 * @param pool for scratch memory, given back at the end
 * @return bytes that are left
 */
apr_size_t apipool_sse_drop_usage(char *text, apr_size_t len, apr_pool_t *pool);

#endif
