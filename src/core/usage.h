/* SPDX-License-Identifier: Apache-2.0
 * Token counts out of an answer as it passes: JSON and event streams, split anywhere, nothing kept. */
#ifndef APIPOOL_CORE_USAGE_H
#define APIPOOL_CORE_USAGE_H

#include <apr.h>

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

/* Tokens; -1 is not reported, which is not zero. */
typedef struct {
    apr_int64_t prompt;     /* all that went in, cached or not */
    apr_int64_t completion; /* all that came out, thoughts included */
    apr_int64_t cached;     /* the part of prompt that came from the upstream's cache */
    apr_int64_t total;      /* as reported, or else the sum of what is known */
} apipool_usage_t;

struct apipool_usage_member;

/* A scan of one answer. Only the first two are for callers. */
typedef struct {
    unsigned char done; /* the stream said, in its protocol's way, that it was complete */
    unsigned char told; /* there was an object for counts, whatever is in it */

    unsigned char is_event_stream;
    unsigned char line_at, line_len, line_field, after_cr, later_line, mark;
    unsigned char at, depth, escaped, named, text_len;
    unsigned char place[6]; /* the containers around the current byte, as far as they matter */
    char line[8];           /* a field's name, or an event's, so far */
    char text[32];          /* a member's name, a number, or the value of "type", so far */
    const struct apipool_usage_member *member;
    apr_uint64_t skipped; /* depth within a container that does not matter */
    apr_int64_t count[APIPOOL_USAGE_COUNTS];
} apipool_usage_scan_t;

/**
 * Starts a scan. It needs no memory but its own and nothing at its end.
 * @param is_event_stream 1 for text/event-stream, 0 for JSON of any kind
 */
void apipool_usage_begin(apipool_usage_scan_t *scan, int is_event_stream);

/**
 * Reads the next bytes of the answer, which may begin and end anywhere. What is not JSON, or not an
 * event stream, is no error: it reports nothing. Counts stand where the table above has them; the same
 * names in generated text, in arguments of tool calls or deeper are not looked at. They must be numbers
 * from 0 to 1e15 in at most 32 bytes, of which fractions are dropped; other values, and null, leave a
 * count as it was. A name written with escapes, as no vendor does, is not recognised.
 */
void apipool_usage_feed(apipool_usage_scan_t *scan, const char *data, apr_size_t len);

/**
 * What has been reported so far; where a stream reports more than once, the latest of each count.
 * @return 1 if there is any count, else 0 and all of usage is -1
 */
int apipool_usage_result(const apipool_usage_scan_t *scan, apipool_usage_t *usage);

/** Whether the completion is what it was in the end, and not what Anthropic's streams begin with. */
int apipool_usage_is_final(const apipool_usage_scan_t *scan);

#endif
