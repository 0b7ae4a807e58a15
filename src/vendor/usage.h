/* SPDX-License-Identifier: Apache-2.0
 * Reads token counts from an answer as it passes: JSON and event streams, split anywhere. */
#ifndef APIPOOL_VENDOR_USAGE_H
#define APIPOOL_VENDOR_USAGE_H

#include "sse.h"

/* What each vendor reports, and where (in members of the document itself unless noted):
 *
 * OpenAI API reference, objects "chat completion", "chat completion chunk", "completion",
 * "embedding":
 *   usage {prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details {cached_tokens}};
 *   in a stream it is null in every chunk but the last; the stream ends with "data: [DONE]".
 * OpenAI API reference, "response" and its streaming events: usage {input_tokens, output_tokens,
 *   total_tokens, input_tokens_details {cached_tokens}}; in a stream it is in the "response" of
 *   response.completed, response.incomplete and response.failed, which end the stream.
 * OpenAI API reference, images and audio: usage {input_tokens, output_tokens, total_tokens}, in a
 *   stream in the event that ends it; a usage of type "duration" has seconds and no tokens. Runs of
 *   assistants: the run's usage, and "event: done" at the end.
 * Anthropic API, "Messages" and "Streaming messages": usage {input_tokens, output_tokens,
 *   cache_creation_input_tokens, cache_read_input_tokens}; in a stream it is in "message" of
 *   message_start, where output_tokens is only a first value, and then cumulative in message_delta;
 *   message_stop ends the stream. input_tokens excludes those read from the cache or written to it.
 * Gemini API, "GenerateContentResponse": usageMetadata {promptTokenCount, candidatesTokenCount,
 *   thoughtsTokenCount, toolUsePromptTokenCount, cachedContentTokenCount, totalTokenCount} in every
 *   chunk; promptTokenCount excludes what tools have put into the prompt. A stream without alt=sse is
 *   an array of chunks. Nothing marks its end.
 * Gemini API, "Interactions": usage {total_input_tokens, total_tool_use_tokens,
 *   total_cached_tokens, total_output_tokens, total_thought_tokens, total_tokens}; in a stream it is
 *   in the "interaction" of the event that ends it.
 * Cohere API, "Rerank", and SiliconFlow's of the same name: meta {tokens, billed_units}, each
 *   {input_tokens, output_tokens}. billed_units count only if there are no tokens. Jina, Voyage and
 *   vLLM: usage {total_tokens}.
 * Cohere API, "Chat", version 2: usage {tokens, billed_units}, each {input_tokens, output_tokens};
 *   in a stream it is in "delta" of message-end, which ends the stream. Version 1: meta, as above; in
 *   a stream it is in "response" of stream-end.
 * Ollama API, "Generate a chat completion": prompt_eval_count and eval_count, in the document
 *   itself; a stream is a document in each line, and the last one has them.
 * Cloudflare API, "Workers AI": usage, as OpenAI's, in "result"; in a stream in the document.
 * DeepSeek API, "Context caching": usage.prompt_cache_hit_tokens. Moonshot API:
 *   usage.cached_tokens, and in a stream the usage of the last chunk's choice, which counts if
 *   there is none at the top.
 * Groq API, streams: usage in "x_groq". */

#define APIPOOL_USAGE_COUNTS 20

/* Maximum bytes kept of a document, or of an event that arrives in pieces. Of a longer one a
 * quarter of that from the beginning, and the end, are kept, and the last usage in them counts. */
#define APIPOOL_USAGE_DOCUMENT_MAX (1024 * 1024)
#define APIPOOL_USAGE_EVENT_MAX    (32 * 1024)

/* Tokens; -1 means not reported, which is not zero. */
typedef struct {
    apr_int64_t prompt;     /* all input, cached or not */
    apr_int64_t completion; /* all output, thoughts included */
    apr_int64_t cached;     /* input read from the upstream's cache, included in prompt */
    apr_int64_t total;      /* as reported, or the sum of the known counts */
} apipool_usage_t;

/* A scan of one answer. Internal; callers use none of it. */
typedef struct {
    unsigned char is_event_stream;
    unsigned char begun;   /* something other than blanks and a byte order mark has come */
    unsigned char ignored; /* the answer is not JSON */
    unsigned char unread;  /* some of what is kept has not been read */
    unsigned char done;
    apipool_sse_at_t at;
    char *kept; /* the document, or the event, so far; from malloc */
    apr_size_t kept_len, kept_size;
    apr_uint64_t missing; /* bytes left out between its beginning and its end */
    apr_int64_t count[APIPOOL_USAGE_COUNTS];
} apipool_usage_scan_t;

/**
 * Starts a scan.
 * @param is_event_stream 1 for text/event-stream, 0 for JSON of any kind
 */
void apipool_usage_begin(apipool_usage_scan_t *scan, int is_event_stream);

/** Frees what a scan has kept. Its counts stay. Does nothing if it is all zeros. */
void apipool_usage_end(apipool_usage_scan_t *scan);

/**
 * Reads the next bytes of the answer, split anywhere. Text that is not JSON, or not an event
 * stream, is no error: it reports nothing. Counts are read only at the places in the table above,
 * not in generated text, in tool call arguments or deeper, unless the document is broken or too
 * long to be read completely. They must be numbers from 0 to 1e15, or such a number as a string;
 * fractions are dropped. Other values, and null, leave a count unchanged, and so does a zero after
 * another number: some vendors report zeros in an event that has nothing to report. A name with
 * escapes, which no vendor sends, is not recognised.
 */
void apipool_usage_feed(apipool_usage_scan_t *scan, const char *data, apr_size_t len);

/**
 * Returns the counts so far; of a stream that reports more than once, the latest of each. A
 * document is read now, once.
 * @return 1 if there is any count, else 0 and all of usage is -1
 */
int apipool_usage_result(apipool_usage_scan_t *scan, apipool_usage_t *usage);

/** Tests whether the completion count is final, and not the first value in an Anthropic stream. */
int apipool_usage_is_final(const apipool_usage_scan_t *scan);

/** Tests whether the last event marked the stream as complete, as its protocol does. */
int apipool_usage_is_done(const apipool_usage_scan_t *scan);

/** Returns the kept beginning of a document: all of it, unless it is too long. */
const char *apipool_usage_head(const apipool_usage_scan_t *scan, apr_size_t *len);

/** Returns the kept end of a document: all of it, unless it is too long. */
const char *apipool_usage_tail(const apipool_usage_scan_t *scan, apr_size_t *len);

#endif
