/* SPDX-License-Identifier: Apache-2.0
 * Reads the text of event streams: ends of lines and events, their data, and the event that reports
 * usage. */
#ifndef APIPOOL_TEXT_SSE_H
#define APIPOOL_TEXT_SSE_H

#include <apr_pools.h>

/* WHATWG HTML, section 9.2: lines end with CR LF, LF or CR; an event ends with an empty line; its
 * data is in "data:" fields. All functions write only to their arguments. Thread-safe. */

/**
 * Finds the end of a line.
 * @param eol  set to the end of its text so far
 * @param next set to the beginning of the next line, or to end if the line is incomplete
 * @return whether the line is complete. A CR as the last byte does not complete it, for an LF may
 *         follow
 */
int apipool_sse_line(const char *text, const char *end, const char **eol, const char **next);

/** Returns the value of the named field, without the blank after the colon; NULL if the line is
 *  another field. */
const char *apipool_sse_field(const char *line, const char *eol, const char *name);

/** Returns the end of the event that begins at text: after its empty line, or end. */
const char *apipool_sse_next(const char *text, const char *end);

/** Returns the beginning of the event that contains a byte: after an empty line ended by LF, or
 *  text. */
const char *apipool_sse_start(const char *text, const char *at);

/**
 * Joins the data of all lines, even of an incomplete last one, with an LF after each.
 * @param to room for len bytes
 * @return bytes written; 0 without data
 */
apr_size_t apipool_sse_join(char *to, const char *text, apr_size_t len);

/**
 * Finds the first event that has data.
 * @param data set to its lines, joined by LF, allocated from pool; NULL without data
 * @return 1 if the event is complete, 0 if more has to come
 */
int apipool_sse_first(const char *text, apr_size_t len, apr_pool_t *pool, char **data);

/* An event, or comments alone. */
typedef struct {
    const char *name; /* "" without one */
    const char *data; /* its lines, joined by LF; "" without any */
    apr_size_t len;   /* of the data */
} apipool_sse_event_t;

/**
 * Reads the event that begins at text.
 * @param event set to its complete lines so far, allocated from pool
 * @return the beginning of the next event; NULL if this one is not complete
 */
const char *apipool_sse_read(const char *text, const char *end, apr_pool_t *pool,
                             apipool_sse_event_t *event);

/* The position in a stream that is read event by event, so that no byte is read twice. All zero at
 * the beginning. */
typedef struct {
    unsigned char ended;    /* the last bytes taken end an event */
    unsigned char has_data; /* the event has data so far */
    unsigned char matched;  /* bytes of "data:"; more if the line is another field */
    unsigned char after_cr; /* a following LF belongs to the line before */
} apipool_sse_at_t;

/**
 * Takes bytes up to the end of the event, or all.
 * @return bytes taken
 */
apr_size_t apipool_sse_take(apipool_sse_at_t *at, const char *text, apr_size_t len);

/**
 * Takes all bytes.
 * @return 1 if an event with data ends in them; at a CR that an LF may follow it has ended
 */
int apipool_sse_peek(apipool_sse_at_t *at, const char *text, apr_size_t len);

/** Returns the bytes up to and including the last line feed; 0 without one. */
apr_size_t apipool_sse_lines(const char *text, apr_size_t len);

/**
 * Returns the bytes up to the end of the last event whose empty line ends in LF; 0 if none ends.
 * @param before the two bytes before text, NUL where there are none
 */
apr_size_t apipool_sse_whole(const char *text, apr_size_t len, const char before[2]);

/** Tests whether text, at least one byte long, ends with such an end of an event. */
int apipool_sse_end(const char *text, apr_size_t len, const char before[2]);

/**
 * Finds the first object that is the value of a member in which vendors report usage: "usage",
 * "usageMetadata" or "meta". A name with escapes is not recognised, so the text of a string is
 * never mistaken for one.
 * @param text JSON, or events with JSON data
 * @return its opening brace; NULL without one
 */
const char *apipool_sse_find_usage(const char *text, const char *end);

/**
 * Removes, in place, what a client gets only if it asks for usage: chunks with a usage object and
 * with choices that are empty, null or missing, and a usage of null in any chunk (OpenAI API
 * reference, stream_options). If such a chunk has anything else to say, such as llama.cpp's timings
 * or Perplexity's citations, only its usage goes. Azure's first chunk has no choices, but no usage
 * either. If an event's data is not JSON as a
 * whole, each of its lines counts as a chunk: some vendors leave out the empty line before "data:
 * [DONE]".
 * @param text whole events, or the end of a stream
 * @param pool for scratch memory, freed before the function returns
 * @return bytes left
 */
apr_size_t apipool_sse_drop_usage(char *text, apr_size_t len, apr_pool_t *pool);

#endif
