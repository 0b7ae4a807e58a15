/* SPDX-License-Identifier: Apache-2.0
 * Token counts out of an answer as it passes: JSON and event streams, split anywhere. */
#ifndef APIPOOL_VENDOR_USAGE_H
#define APIPOOL_VENDOR_USAGE_H

#include "sse.h"

/* What each vendor reports, and where (names of the document's top level unless said otherwise):
 *
 * OpenAI API reference, objects "chat completion", "chat completion chunk", "completion", "embedding":
 *   usage {prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details {cached_tokens}};
 *   in a stream it is null in every chunk but the last; the stream ends with "data: [DONE]".
 * OpenAI API reference, "response" and its streaming events: usage {input_tokens, output_tokens,
 *   total_tokens, input_tokens_details {cached_tokens}}; in a stream inside "response", of the events
 *   response.completed, response.incomplete and response.failed, which end it.
 * OpenAI API reference, images and audio: usage {input_tokens, output_tokens, total_tokens}, in a
 *   stream of the event that ends it; a usage of type "duration" has seconds and no tokens. Runs of
 *   assistants: the run's usage, and "event: done" at the end.
 * Anthropic API, "Messages" and "Streaming messages": usage {input_tokens, output_tokens,
 *   cache_creation_input_tokens, cache_read_input_tokens}; in a stream inside "message" of
 *   message_start, where output_tokens is no more than a beginning, then cumulative in message_delta;
 *   message_stop ends it. Its input_tokens are
 *   those that were neither read from the cache nor written to it.
 * Gemini API, "GenerateContentResponse": usageMetadata {promptTokenCount, candidatesTokenCount,
 *   thoughtsTokenCount, cachedContentTokenCount, totalTokenCount} in every chunk; a stream without
 *   alt=sse is an array of chunks. Nothing marks its end.
 * Cohere API, "Rerank", and SiliconFlow's of the same name: meta {tokens, billed_units}, each
 *   {input_tokens, output_tokens}. What was billed counts only where tokens are not told. Jina, Voyage
 *   and vLLM: usage {total_tokens}.
 * DeepSeek API, "Context caching": usage.prompt_cache_hit_tokens. Moonshot API: usage.cached_tokens,
 *   and in a stream the usage of the last chunk's choice; it counts where there is none at the top.
 * Groq API, streams: usage inside "x_groq". */

#define APIPOOL_USAGE_COUNTS 19

/* Bytes that are kept at most of a document, and of an event that does not come in one piece. Of a longer one
 * its beginning, a quarter of that, and its end are kept, and the last usage in them counts. */
#define APIPOOL_USAGE_DOCUMENT_MAX (1024 * 1024)
#define APIPOOL_USAGE_EVENT_MAX    (32 * 1024)

/* Tokens; -1 is not reported, which is not zero. */
typedef struct {
    apr_int64_t prompt;     /* all that went in, cached or not */
    apr_int64_t completion; /* all that came out, thoughts included */
    apr_int64_t cached;     /* the part of prompt that came from the upstream's cache */
    apr_int64_t total;      /* as reported, or else the sum of what is known */
} apipool_usage_t;

/* A scan of one answer. Nothing in it is for callers. */
typedef struct {
    unsigned char is_event_stream;
    unsigned char begun;   /* something has come but blanks and a byte order mark */
    unsigned char ignored; /* what has come is no JSON */
    unsigned char unread;  /* what is kept has more than was read of it */
    unsigned char told, done;
    apipool_sse_at_t at;
    char *kept; /* the document, or the event, so far; from malloc */
    apr_size_t kept_len, kept_size;
    apr_uint64_t missing; /* bytes between its beginning and its end */
    apr_int64_t count[APIPOOL_USAGE_COUNTS];
} apipool_usage_scan_t;

/**
 * Starts a scan.
 * @param is_event_stream 1 for text/event-stream, 0 for JSON of any kind
 */
void apipool_usage_begin(apipool_usage_scan_t *scan, int is_event_stream);

/** Gives back what a scan has kept. Its counts stay. Of no effect on one that is full of zeros. */
void apipool_usage_end(apipool_usage_scan_t *scan);

/**
 * Reads the next bytes of the answer, which may begin and end anywhere. What is not JSON, or not an
 * event stream, is no error: it reports nothing. Counts stand where the table above has them; the same
 * names in generated text, in arguments of tool calls or deeper are not looked at, unless the document is
 * broken or too long to be read as a whole. They must be numbers from 0 to 1e15, of which fractions are
 * dropped; other values, and null, leave a count as it was. A name written with escapes, as no vendor
 * does, is not recognised.
 */
void apipool_usage_feed(apipool_usage_scan_t *scan, const char *data, apr_size_t len);

/**
 * What has been reported so far; where a stream reports more than once, the latest of each count. A document
 * is read now, once.
 * @return 1 if there is any count, else 0 and all of usage is -1
 */
int apipool_usage_result(apipool_usage_scan_t *scan, apipool_usage_t *usage);

/** Whether the completion is what it was in the end, and not what Anthropic's streams begin with. */
int apipool_usage_is_final(const apipool_usage_scan_t *scan);

/** Whether the stream said, in its protocol's way, that it was complete: its last event did. */
int apipool_usage_is_done(const apipool_usage_scan_t *scan);

/** Whether there was an object for counts in the stream, whatever is in it. */
int apipool_usage_was_told(const apipool_usage_scan_t *scan);

/** What is kept of the beginning of a document: all of it, unless it is too long. */
const char *apipool_usage_head(const apipool_usage_scan_t *scan, apr_size_t *len);

#endif
