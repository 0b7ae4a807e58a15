/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/vendor/usage: every vendor's answers, whole and split anywhere, and look-alikes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "usage.h"

#define NONE         -1
#define COUNTED(...) .usage = {__VA_ARGS__}
#define ALONE(total) COUNTED(NONE, NONE, NONE, total)
#define NOTHING      ALONE(NONE)

typedef struct {
    const char *name, *text;
    apipool_usage_t usage;
    int done;
} row_t;

/* Feeds memory of exactly its size, so that a checker notices any overrun. */
static void feed(apipool_usage_scan_t *scan, const char *text, size_t len)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    apipool_usage_feed(scan, exact, len);
    assert_memory_equal(exact, text, len);
    free(exact);
}

static int is_same(const apipool_usage_t *a, const apipool_usage_t *b)
{
    return a->prompt == b->prompt && a->completion == b->completion && a->cached == b->cached &&
           a->total == b->total;
}

/* Checks the result of a scan, and ends it. */
static void check_scan(const row_t *row, apipool_usage_scan_t *scan, const char *how, size_t at)
{
    static const apipool_usage_t nothing = {NONE, NONE, NONE, NONE};
    apipool_usage_t usage;
    int done = apipool_usage_is_done(scan), reported = apipool_usage_result(scan, &usage);
    if (reported != !is_same(&usage, &nothing) || !is_same(&usage, &row->usage) ||
        done != row->done) {
        fail_msg("%s, %s %zu: %d, prompt %ld, completion %ld, cached %ld, total %ld, done %d",
                 row->name, how, at, reported, (long)usage.prompt, (long)usage.completion,
                 (long)usage.cached, (long)usage.total, done);
    }
    apipool_usage_end(scan);
}

static void check_splits(const row_t *row, const char *text, int is_event_stream)
{
    apipool_usage_scan_t scan;
    size_t len = strlen(text);

    for (size_t at = 0; at <= len; at++) {
        apipool_usage_begin(&scan, is_event_stream);
        feed(&scan, text, at);
        feed(&scan, text + at, len - at);
        check_scan(row, &scan, "split at", at);
    }
    for (size_t step = 1; step < 18; step++) {
        apipool_usage_begin(&scan, is_event_stream);
        for (size_t at = 0; at < len; at += step) {
            feed(&scan, text + at, len - at < step ? len - at : step);
        }
        check_scan(row, &scan, "in steps of", step);
    }
}

static void check_documents(const row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_splits(&rows[i], rows[i].text, 0);
    }
}

/* Checks a stream whole, or cut anywhere. */
static void check_stream(const row_t *row, const char *stream, size_t len, const char *how,
                         int all_cuts)
{
    apipool_usage_scan_t scan;
    for (size_t cut = 0; cut <= (all_cuts ? len : 0); cut++) {
        apipool_usage_begin(&scan, 1);
        feed(&scan, stream, cut);
        feed(&scan, stream + cut, len - cut);
        check_scan(row, &scan, how, cut);
    }
}

/* Checks the text among skipped events of different lengths. The stream is complete if none
 * follows. */
static void check_among_events(const row_t *row, const char *text)
{
    static const char begin[] = "event: x\ndata: {\"type\":\"x\",\"delta\":\"",
                      end[] = "\",\"usage\" : null}\r\n\r\n";
    static char stream[20000], blanks[131];
    row_t followed = *row;

    followed.done = 0;
    if (text[0] == '\xef') {
        return;
    }
    for (size_t pad = 0; pad < sizeof(blanks); pad++) {
        int all_cuts = pad + 1 == sizeof(blanks);
        memset(blanks, ' ', pad);
        size_t len =
            (size_t)snprintf(stream, sizeof(stream), "%s%s%s%s\n\n", begin, blanks, end, text);
        assert_true(len < sizeof(stream));
        check_stream(row, stream, len, "behind events, split at", all_cuts);
        len += (size_t)snprintf(stream + len, sizeof(stream) - len, "%s%s%s%s%s", begin, blanks,
                                end, begin, end);
        assert_true(len < sizeof(stream));
        check_stream(&followed, stream, len, "among events, split at", all_cuts);
    }
}

/* Checks streams with all three kinds of line ends. */
static void check_streams(const row_t *rows, size_t count)
{
    static char text[16384];
    for (size_t i = 0; i < count; i++) {
        check_splits(&rows[i], rows[i].text, 1);
        check_among_events(&rows[i], rows[i].text);
        size_t used = 0;
        for (const char *p = rows[i].text; *p; p++) {
            assert_true(used + 3 < sizeof(text));
            if (*p == '\n') {
                text[used++] = '\r';
            }
            text[used++] = *p;
        }
        text[used] = '\0';
        check_splits(&rows[i], text, 1);
        check_among_events(&rows[i], text);
        for (char *p = text + strlen(rows[i].text); p >= text; p--) {
            size_t at = (size_t)(p - text);
            *p = rows[i].text[at] == '\n' ? '\r' : rows[i].text[at];
        }
        check_splits(&rows[i], text, 1);
        check_among_events(&rows[i], text);
    }
}

#define CHECK_DOCUMENTS(rows) check_documents(rows, sizeof(rows) / sizeof(*(rows)))
#define CHECK_STREAMS(rows)   check_streams(rows, sizeof(rows) / sizeof(*(rows)))

static const row_t documents[] = {
    {"chat completion",
     "{\n  \"id\": \"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\n  \"object\": "
     "\"chat.completion\",\n"
     "  \"created\": 1741569952,\n  \"model\": \"gpt-5.4\",\n  \"choices\": [\n    {\n"
     "      \"index\": 0,\n      \"message\": {\n        \"role\": \"assistant\",\n"
     "        \"content\": \"Hello! How can I assist you today?\",\n        \"refusal\": null,\n"
     "        \"annotations\": []\n      },\n      \"logprobs\": null,\n"
     "      \"finish_reason\": \"stop\"\n    }\n  ],\n  \"usage\": {\n    \"prompt_tokens\": "
     "1219,\n"
     "    \"completion_tokens\": 10,\n    \"total_tokens\": 1229,\n"
     "    \"prompt_tokens_details\": {\n      \"cached_tokens\": 1024,\n      \"audio_tokens\": 0\n"
     "    },\n    \"completion_tokens_details\": {\n      \"reasoning_tokens\": 0,\n"
     "      \"cached_tokens\": 7,\n      \"accepted_prediction_tokens\": 0\n    }\n  },\n"
     "  \"service_tier\": \"default\"\n}\n",
     COUNTED(1219, 10, 1024, 1229), 0},
    {"completion, one line",
     "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"choices\":[{\"text\":\"hi\",\"index\":0,"
     "\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":5,"
     "\"completion_tokens\":7,\"total_tokens\":12}}",
     COUNTED(5, 7, NONE, 12), 0},
    {"response",
     "{\"id\":\"resp_67ccd2bed1ec8190\",\"object\":\"response\",\"status\":\"completed\",\"error\":"
     "null,\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"In "
     "a "
     "peaceful grove\",\"annotations\":[]}]}],\"usage\":{\"input_tokens\":36,"
     "\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":87,"
     "\"output_tokens_details\":{\"reasoning_tokens\":64},\"total_tokens\":123},\"user\":null}",
     COUNTED(36, 87, 0, 123), 0},
    {"embeddings",
     "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"embedding\":[0.0023064255,"
     "-0.009327292,-2.8842222e-05],\"index\":0}],\"model\":\"text-embedding-3-small\",\"usage\":{"
     "\"prompt_tokens\":8,\"total_tokens\":8}}",
     COUNTED(8, NONE, NONE, 8), 0},
    {"image",
     "{\"created\":1713833628,\"data\":[{\"b64_json\":\"iVBORw0KGgo=\"}],\"usage\":{"
     "\"total_tokens\":100,\"input_tokens\":50,\"output_tokens\":50,\"input_tokens_details\":{"
     "\"text_tokens\":10,\"image_tokens\":40}}}",
     COUNTED(50, 50, NONE, 100), 0},
    {"transcription by tokens",
     "{\"text\":\"Imagine the wildest idea\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,"
     "\"input_token_details\":{\"text_tokens\":0,\"audio_tokens\":14},\"output_tokens\":45,"
     "\"total_tokens\":59}}",
     COUNTED(14, 45, NONE, 59), 0},
    {"transcription by the second",
     "{\"text\":\"Hi\",\"usage\":{\"type\":\"duration\",\"seconds\":8.47}}", NOTHING, 0},
    {"Anthropic message",
     "{\"id\":\"msg_013Zva2CMHLNnXjNJJKqJ2EF\",\"type\":\"message\",\"role\":\"assistant\","
     "\"model\":"
     "\"claude-sonnet-4-5\",\"content\":[{\"type\":\"text\",\"text\":\"Hi! My name is Claude.\"}],"
     "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":50,"
     "\"cache_creation_input_tokens\":248,\"cache_read_input_tokens\":1800,\"cache_creation\":{"
     "\"ephemeral_5m_input_tokens\":248,\"ephemeral_1h_input_tokens\":0},\"output_tokens\":503,"
     "\"service_tier\":\"standard\"}}",
     COUNTED(2098, 503, 1800, 2601), 0},
    {"Anthropic message without a cache",
     "{\"type\":\"message\",\"usage\":{\"input_tokens\":2095,\"cache_creation_input_tokens\":null,"
     "\"cache_read_input_tokens\":null,\"output_tokens\":0}}",
     COUNTED(2095, 0, NONE, 2095), 0},
    {"Gemini",
     "{\n  \"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Hi\"}], \"role\": \"model\"},"
     "\"finishReason\": \"STOP\", \"index\": 0}],\n  \"usageMetadata\": {\n"
     "    \"promptTokenCount\": 2152,\n    \"candidatesTokenCount\": 28,\n"
     "    \"totalTokenCount\": 2494,\n    \"cachedContentTokenCount\": 2027,\n"
     "    \"promptTokensDetails\": [{\"modality\": \"TEXT\", \"tokenCount\": 2152}],\n"
     "    \"thoughtsTokenCount\": 314\n  },\n  \"modelVersion\": \"gemini-2.5-flash\"\n}\n",
     COUNTED(2152, 342, 2027, 2494), 0},
    {"Gemini's stream as an array",
     "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a]\"}]}}],\"usageMetadata\":{"
     "\"promptTokenCount\":4,\"totalTokenCount\":4}}\n,\r\n{\"candidates\":[{\"content\":{"
     "\"parts\":"
     "[{\"text\":\"b\"}]}}],\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":9,"
     "\"totalTokenCount\":13}}\n]\n",
     COUNTED(4, 9, NONE, 13), 0},
    {"Cohere's rerank",
     "{\"id\":\"07734bd2\",\"results\":[{\"index\":3,\"relevance_score\":0.999}],\"meta\":{"
     "\"api_version\":{\"version\":\"2\"},\"billed_units\":{\"search_units\":1}}}",
     NOTHING, 0},
    {"SiliconFlow's rerank",
     "{\"id\":\"019\",\"results\":[{\"index\":0,\"relevance_score\":0.99,\"document\":{\"text\":"
     "\"apple\"}}],\"meta\":{\"billed_units\":{\"input_tokens\":29,\"output_tokens\":1,"
     "\"search_units\":0,\"classifications\":0},\"tokens\":{\"input_tokens\":28,"
     "\"output_tokens\":0}}}",
     COUNTED(28, 0, NONE, 28), 0},
    {"the other way round",
     "{\"meta\":{\"tokens\":{\"input_tokens\":28,\"output_tokens\":0},\"billed_units\":{"
     "\"input_tokens\":29,\"output_tokens\":1}}}",
     COUNTED(28, 0, NONE, 28), 0},
    {"only what was billed",
     "{\"meta\":{\"billed_units\":{\"input_tokens\":29,\"output_tokens\":1}},\"results\":[]}",
     COUNTED(29, 1, NONE, 30), 0},
    {"Jina's rerank",
     "{\"model\":\"jina-reranker-v2\",\"usage\":{\"total_tokens\":815},\"results\":[]}", ALONE(815),
     0},
    {"DeepSeek, with blank lines while queued",
     "\n\n\n\n{\"choices\":[{\"index\":0,\"message\":{\"content\":\"\"}}],\"usage\":{"
     "\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120,"
     "\"prompt_cache_hit_tokens\":64,\"prompt_cache_miss_tokens\":36}}",
     COUNTED(100, 20, 64, 120), 0},
    {"Moonshot", "{\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":21,\"cached_tokens\":10}}",
     COUNTED(19, 21, 10, 40), 0},
    {"a relay that fills both names, those of others with zero",
     "{\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":21,\"total_tokens\":40,"
     "\"input_tokens\":0,\"output_tokens\":0,\"input_tokens_details\":null}}",
     COUNTED(19, 21, NONE, 40), 0},
    {"a relay that fills both names, those of others with counts",
     "{\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":110,\"input_"
     "tokens\":50,\"output_tokens\":60}}",
     COUNTED(50, 60, NONE, 110), 0},
    {"a relay that counts the cache in prompt_tokens",
     "{\"usage\":{\"prompt_tokens\":119,\"completion_tokens\":21,\"total_tokens\":140,"
     "\"cache_read_input_tokens\":100,\"cache_creation_input_tokens\":0}}",
     COUNTED(119, 21, 100, 140), 0},
    {"Cohere's chat, version 2",
     "{\"id\":\"c14c80c3\",\"finish_reason\":\"COMPLETE\",\"message\":{\"role\":\"assistant\","
     "\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]},\"usage\":{\"billed_units\":{"
     "\"input_tokens\":5,\"output_tokens\":418},\"tokens\":{\"input_tokens\":71,"
     "\"output_tokens\":419},\"cached_tokens\":64}}",
     COUNTED(71, 419, 64, 490), 0},
    {"Cohere's chat, of which only is told what was billed",
     "{\"usage\":{\"billed_units\":{\"input_tokens\":5,\"output_tokens\":418}}}",
     COUNTED(5, 418, NONE, 423), 0},
    {"Cohere's stream, version 1",
     "{\"is_finished\":false,\"event_type\":\"text-generation\",\"text\":\"Hi\"}\n"
     "{\"is_finished\":true,\"event_type\":\"stream-end\",\"response\":{\"text\":\"Hi\",\"meta\":{"
     "\"billed_units\":{\"input_tokens\":5,\"output_tokens\":2},\"tokens\":{\"input_tokens\":71,"
     "\"output_tokens\":3}}}}\n",
     COUNTED(71, 3, NONE, 74), 0},
    {"Ollama",
     "{\"model\":\"llama3.2\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":"
     "true,"
     "\"total_duration\":4883583458,\"prompt_eval_count\":26,\"prompt_eval_duration\":342546000,"
     "\"eval_count\":282,\"eval_duration\":4535599000}",
     COUNTED(26, 282, NONE, 308), 0},
    {"Ollama's stream",
     "{\"message\":{\"content\":\"H\"},\"done\":false}\n{\"message\":{\"content\":\"i\"},"
     "\"done\":false}\n{\"message\":{\"content\":\"\"},\"done\":true,\"prompt_eval_count\":26,"
     "\"eval_count\":2}\n",
     COUNTED(26, 2, NONE, 28), 0},
    {"Ollama's embeddings",
     "{\"model\":\"all-minilm\",\"embeddings\":[[0.01,-0.001]],\"prompt_eval_count\":8}",
     COUNTED(8, NONE, NONE, 8), 0},
    {"Cloudflare",
     "{\"result\":{\"response\":\"Hi\",\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,"
     "\"total_tokens\":15}},\"success\":true,\"errors\":[],\"messages\":[]}",
     COUNTED(12, 3, NONE, 15), 0},
    {"Gemini with tools",
     "{\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":11,\"candidatesTokenCount\":73,"
     "\"toolUsePromptTokenCount\":1200,\"thoughtsTokenCount\":16,\"totalTokenCount\":1300}}",
     COUNTED(1211, 89, NONE, 1300), 0},
    {"Gemini's interaction",
     "{\"id\":\"v1_Chd\",\"status\":\"completed\",\"usage\":{\"total_input_tokens\":7,"
     "\"total_cached_tokens\":4,\"total_output_tokens\":20,\"total_tool_use_tokens\":5,"
     "\"total_thought_tokens\":22,\"total_tokens\":54}}",
     COUNTED(12, 42, 4, 54), 0},
    {"numbers as strings",
     "{\"usage\":{\"prompt_tokens\":\"19\",\"completion_tokens\":\"21\",\"total_tokens\":\"40\","
     "\"prompt_tokens_details\":{\"cached_tokens\":\"10\"}}}",
     COUNTED(19, 21, 10, 40), 0},
    {"zeros after numbers, in documents that follow each other",
     "{\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":21,\"total_tokens\":40}}\n"
     "{\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}}",
     COUNTED(19, 21, NONE, 40), 0},
};

static void the_counts_of_a_document_are_found(void **unused)
{
    CHECK_DOCUMENTS(documents);
}

#define CHUNK(delta, usage)                                                                        \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,"    \
    "\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[" delta       \
    "],\"usage\":" usage "}\n\n"
#define DELTA(text) "{\"index\":0,\"delta\":{\"content\":\"" text "\"},\"finish_reason\":null}"

static const row_t streams[] = {
    {"chat completion",
     CHUNK(DELTA("Hel"), "null") CHUNK(DELTA("lo"), "null") CHUNK(
         "", "{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21,"
             "\"prompt_tokens_details\":{\"cached_tokens\":4,\"audio_tokens\":0}}") "data: "
                                                                                    "[DONE]\n\n",
     COUNTED(9, 12, 4, 21), 1},
    {"chat completion whose usage was not asked for",
     CHUNK(DELTA("Hel"), "null") "data: [DONE]\n\n", NOTHING, 1},
    {"chat completion that breaks off",
     CHUNK(DELTA("Hel"), "null") "data: {\"choices\":[{\"index\":0,\"delta\":{\"con", NOTHING, 0},
    {"a usage in every chunk",
     CHUNK(DELTA("a"), "{\"prompt_tokens\":38,\"completion_tokens\":1,\"total_tokens\":39}")
         CHUNK(DELTA("b"), "{\"prompt_tokens\":38,\"completion_tokens\":2,\"total_tokens\":40}")
             CHUNK("", "null") "data: [DONE]\n\n",
     COUNTED(38, 2, NONE, 40), 1},
    {"Groq",
     "data: {\"choices\":[],\"x_groq\":{\"id\":\"req_01\"}}\n\ndata: {\"choices\":[{\"index\":0,"
     "\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"req_01\",\"usage\":{"
     "\"queue_time\":0.01,\"prompt_tokens\":18,\"prompt_time\":0.0007,\"completion_tokens\":556,"
     "\"total_tokens\":574,\"total_time\":0.46}}}\n\ndata: [DONE]\n\n",
     COUNTED(18, 556, NONE, 574), 1},
    {"DeepSeek and OpenRouter, with comments while queued",
     ": keep-alive\n\n: OPENROUTER PROCESSING\n\n:data: {\"usage\":{\"total_tokens\":1}}\n\n" CHUNK(
         DELTA("a"), "{\"prompt_tokens\":16,\"completion_tokens\":1,\"total_tokens\":17,"
                     "\"prompt_cache_hit_tokens\":0}") "data: [DONE]\n\n",
     COUNTED(16, 1, 0, 17), 1},
    {"response",
     "event: response.created\ndata: "
     "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\","
     "\"status\":\"in_progress\",\"output\":[],\"usage\":null}}\n\nevent: "
     "response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}"
     "\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":"
     "\"resp_1\",\"output\":[{\"type\":\"message\",\"usage\":{\"input_tokens\":1}}],\"usage\":{"
     "\"input_tokens\":37,\"output_tokens\":11,\"input_tokens_details\":{\"cached_tokens\":5},"
     "\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":48}}}\n\n",
     COUNTED(37, 11, 5, 48), 1},
    {"response cut short",
     "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":{\"usage\":{"
     "\"input_tokens\":294,\"output_tokens\":256,\"total_tokens\":550}}}\n\n",
     COUNTED(294, 256, NONE, 550), 1},
    {"response that failed",
     "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\"},"
     "\"usage\":null}}\n\n",
     NOTHING, 1},
    {"Anthropic",
     "event: message_start\ndata: "
     "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":"
     "\"message\",\"content\":[],\"usage\":{\"input_tokens\":472,\"cache_creation_input_tokens\":"
     "20,"
     "\"cache_read_input_tokens\":1000,\"output_tokens\":2}}}\n\nevent: ping\ndata: {\"type\": "
     "\"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
     "\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"usage\\\":{\\\"output_tokens"
     "\\\":7}}\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
     "\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":40}}\n\nevent: "
     "message_delta\ndata: "
     "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{"
     "\"output_tokens\":89}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
     COUNTED(1492, 89, 1000, 1581), 1},
    {"Moonshot",
     "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n"
     "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{"
     "\"prompt_tokens\":19,\"completion_tokens\":13,\"total_tokens\":32,\"cached_tokens\":8}}]}\n\n"
     "data: [DONE]\n\n",
     COUNTED(19, 13, 8, 32), 1},
    {"both in a choice and at the top",
     "data: {\"choices\":[{\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":12}}]}\n\n"
     "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":13}}\n\n",
     COUNTED(19, 13, NONE, 32), 0},
    {"cached under two names, one of them zero",
     "data: {\"usage\":{\"prompt_tokens\":30,\"prompt_tokens_details\":{\"cached_tokens\":20},"
     "\"prompt_cache_hit_tokens\":0,\"completion_tokens\":1}}\n\n",
     COUNTED(30, 1, 20, 31), 0},
    {"the same the other way around",
     "data: {\"usage\":{\"prompt_tokens\":30,\"prompt_cache_hit_tokens\":20,\"cached_tokens\":0,"
     "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens\":1}}\n\n",
     COUNTED(30, 1, 20, 31), 0},
    {"Anthropic, overloaded amidst",
     "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{"
     "\"input_tokens\":25,\"output_tokens\":1}}}\n\nevent: error\ndata: {\"type\": \"error\", "
     "\"error\": {\"type\": \"overloaded_error\", \"message\": \"Overloaded\"}}\n\n",
     COUNTED(25, 1, NONE, 26), 0},
    {"Gemini",
     "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Hi\"}]}}],\"usageMetadata\": "
     "{\"promptTokenCount\": 8,\"thoughtsTokenCount\": 20,\"totalTokenCount\": 28}}\n\ndata: {"
     "\"candidates\": [{\"finishReason\": \"STOP\"}],\"usageMetadata\": {\"promptTokenCount\": 8,"
     "\"candidatesTokenCount\": 30,\"thoughtsTokenCount\": 25,\"totalTokenCount\": 63}}\n\n",
     COUNTED(8, 55, NONE, 63), 0},
    {"transcription",
     "event: transcript.text.delta\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\"I\"}\n\n"
     "event: transcript.text.done\ndata: "
     "{\"type\":\"transcript.text.done\",\"text\":\"I\",\"usage\":"
     "{\"type\":\"tokens\",\"input_tokens\":14,\"input_token_details\":{\"text_tokens\":0,"
     "\"audio_tokens\":14},\"output_tokens\":45,\"total_tokens\":59}}\n\n",
     COUNTED(14, 45, NONE, 59), 1},
    {"speech",
     "data: {\"type\":\"speech.audio.delta\",\"audio\":\"//uQxA==\"}\n\ndata: {\"type\":"
     "\"speech.audio.done\",\"usage\":{\"input_tokens\":14,\"output_tokens\":101,\"total_tokens\":"
     "115}"
     "}\n\n",
     COUNTED(14, 101, NONE, 115), 1},
    {"image",
     "event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\","
     "\"b64_json\":\"iVBORw0KGgo=\",\"partial_image_index\":0}\n\nevent: "
     "image_generation.completed\n"
     "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"iVBORw0KGgo=\",\"usage\":{"
     "\"total_tokens\":100,\"input_tokens\":50,\"output_tokens\":50,\"input_tokens_details\":{"
     "\"text_tokens\":10,\"image_tokens\":40}}}\n\n",
     COUNTED(50, 50, NONE, 100), 1},
    {"response cut short without counts",
     "data: {\"type\":\"response.incomplete\",\"response\":{\"usage\":null}}\n\n", NOTHING, 1},
    {"speech without counts", "data: {\"type\":\"speech.audio.done\"}\n\n", NOTHING, 1},
    {"transcription without counts", "data: {\"type\":\"transcript.text.done\",\"text\":\"I\"}\n\n",
     NOTHING, 1},
    {"edit of an image",
     "data: {\"type\":\"image_edit.partial_image\",\"b64_json\":\"iVBORw0KGgo=\"}\n\ndata: {"
     "\"type\":\"image_edit.completed\",\"b64_json\":\"iVBORw0KGgo=\"}\n\n",
     NOTHING, 1},
    {"rerank, which no one streams",
     "data: {\"results\":[],\"meta\":{\"tokens\":{\"input_tokens\":28,\"output_tokens\":0}}}\n\n"
     "data: {\"results\":[],\"meta\" : {\"billed_units\":{\"input_tokens\":29}}}\n\n",
     COUNTED(28, 0, NONE, 28), 0},
    {"run of an assistant",
     "event: thread.run.completed\ndata: {\"id\":\"run_123\",\"usage\":{\"prompt_tokens\":20,"
     "\"completion_tokens\":11,\"total_tokens\":31}}\n\nevent: done\ndata: {}\n\n",
     COUNTED(20, 11, NONE, 31), 1},
    {"Anthropic whose last event has zeros",
     "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{"
     "\"input_tokens\":25,\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":2,"
     "\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
     "\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":0,\"cache_creation_input_tokens\":"
     "0,"
     "\"cache_read_input_tokens\":0,\"output_tokens\":15}}\n\nevent: message_delta\ndata: "
     "{\"type\":"
     "\"message_delta\",\"usage\":{\"output_tokens\":0}}\n\nevent: message_stop\ndata: {\"type\":"
     "\"message_stop\"}\n\n",
     COUNTED(30, 15, 2, 45), 1},
    {"Anthropic that tells its output in the beginning alone",
     "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,"
     "\"output_tokens\":7}}}\n\ndata: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":0,"
     "\"output_tokens\":0}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
     COUNTED(25, 7, NONE, 32), 1},
    {"zeros in the chunk after the one that counts",
     CHUNK("", "{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}")
         CHUNK("", "{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}") "data: "
                                                                                       "[DONE]\n\n",
     COUNTED(9, 12, NONE, 21), 1},
    {"Cohere's chat, version 2",
     "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{"
     "\"content\":{\"text\":\"Hi\"}}}}\n\nevent: message-end\ndata: {\"type\":\"message-end\","
     "\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"billed_units\":{\"input_tokens\":3,"
     "\"output_tokens\":14},\"tokens\":{\"input_tokens\":69,\"output_tokens\":15}}}}\n\n",
     COUNTED(69, 15, NONE, 84), 1},
    {"Cloudflare",
     "data: {\"response\":\"Hi\",\"p\":\"ab\"}\n\ndata: {\"response\":\"\",\"usage\":{"
     "\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15}}\n\ndata: [DONE]\n\n",
     COUNTED(12, 3, NONE, 15), 1},
    {"Gemini's interaction",
     "event: interaction.completed\ndata: {\"interaction\":{\"id\":\"v1_Chd\",\"usage\":{"
     "\"total_input_tokens\":7,\"total_output_tokens\":20,\"total_tokens\":27}}}\n\n",
     COUNTED(7, 20, NONE, 27), 1},
};

static void the_counts_of_a_stream_are_found_and_its_end(void **unused)
{
    CHECK_STREAMS(streams);
}

#define USAGE9 "{\"prompt_tokens\":9,\"completion_tokens\":9,\"total_tokens\":9}"
#define TEXT9  "{\\\"usage\\\":{\\\"prompt_tokens\\\":9,\\\"total_tokens\\\":9}}"

static const row_t lookalikes[] = {
    {"in generated text", "{\"choices\":[{\"message\":{\"content\":\"" TEXT9 "\"}}]}", NOTHING, 0},
    {"in a string at the top", "{\"text\":\"" TEXT9 "\",\"n\":\"\\\\\",\"m\":\"\\\"usage\\\":\"}",
     NOTHING, 0},
    {"in a string in the usage", "{\"usage\":{\"note\":\"\\\",\\\"total_tokens\\\":9\"}}", NOTHING,
     0},
    {"in arguments of a tool call",
     "{\"choices\":[{\"message\":{\"tool_calls\":[{\"function\":{\"arguments\":{\"usage\":" USAGE9
     "}}}]}}],\"content\":[{\"type\":\"tool_use\",\"input\":{\"usage\":" USAGE9 "}}]}",
     NOTHING, 0},
    {"in places no vendor has",
     "{\"item\":{\"usage\":" USAGE9 "},\"response\":{\"message\":{\"usage\":" USAGE9
     "},\"body\":{\"usage\":" USAGE9 "}},\"usage_breakdown\":{\"usage\":" USAGE9 "}}",
     NOTHING, 0},
    {"in an array", "{\"usage\":[" USAGE9 "],\"response\":[{\"usage\":" USAGE9 "}]}", NOTHING, 0},
    {"deeper in the usage",
     "{\"usage\":{\"a\":" USAGE9 ",\"b\":[" USAGE9 "],\"usage\":" USAGE9 "}}", NOTHING, 0},
    {"an array of arrays", "[[{\"usage\":" USAGE9 "}]]", NOTHING, 0},
    {"an array that begins with numbers",
     "{\"a\":[-1,2,\"]\",{\"b\":[3]},{\"usage\":" USAGE9 "}],\"c\":[4,[5],6,{\"usage\":" USAGE9
     "}]}",
     NOTHING, 0},
    {"names at the top", USAGE9, NOTHING, 0},
    {"a value like the name", "{\"a\":\"usage\",\"b\":{\"total_tokens\":9},\"c\":\"usage\"}",
     NOTHING, 0},
    {"names that begin or end alike",
     "{\"usag\":" USAGE9 ",\"usages\":" USAGE9 ",\"ausage\":" USAGE9 ",\"Usage\":" USAGE9
     ",\"\":" USAGE9 ",\"usage_of_an_excessive_length_to_remember\":" USAGE9 "}",
     NOTHING, 0},
    {"a name with an escape",
     "{\"\\\"usage\":" USAGE9 ",\"usage\\n\":" USAGE9 ",\"usa\\ge\":" USAGE9 "}", NOTHING, 0},
    {"HTML", "<html>{\"usage\":" USAGE9 "}</html>", NOTHING, 0},
    {"a string", "\"{\\\"usage\\\":\" {\"usage\":" USAGE9 "}", NOTHING, 0},
    {"an event stream taken for a document", "data: {\"usage\":" USAGE9 "}\n\n", NOTHING, 0},
    {"nothing", "", NOTHING, 0},
    {"after all of these",
     "{\"a\":{\"usage\":" USAGE9
     "},\"b\":[[{}],\"]}\"],\"c\":\"\\\\\",\"message\":\"usage\",\"meta\":[],"
     "\"type\":\"message_stop\",\"usage\":{\"total_tokens\":3}}",
     ALONE(3), 0},
};

/* The name has more bytes than any known one, one of them NUL. */
static void a_name_with_nul_is_none_that_is_known(void **unused)
{
    static const char text[] = "{\"usage\0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\":{\"total_tokens\":12},"
                               "\"usage\":{\"total_tokens\0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\":12}}";
    apipool_usage_scan_t scan;
    apipool_usage_t usage;
    apipool_usage_begin(&scan, 0);
    feed(&scan, text, sizeof(text) - 1);
    assert_int_equal(apipool_usage_result(&scan, &usage), 0);
    apipool_usage_end(&scan);
}

static void what_only_looks_like_usage_is_not_counted(void **unused)
{
    CHECK_DOCUMENTS(lookalikes);
}

#define TOTAL(value) "{\"usage\":{\"total_tokens\":" value "}}"

static const row_t numbers[] = {
    {"zero", TOTAL("0"), ALONE(0), 0},
    {"minus zero", TOTAL("-0"), ALONE(0), 0},
    {"with a fraction of nothing", TOTAL("12.0"), ALONE(12), 0},
    {"with a fraction", TOTAL("12.999"), ALONE(12), 0},
    {"with an exponent", TOTAL("1.5e+03"), ALONE(1500), 0},
    {"with a negative exponent", TOTAL("12345E-2"), ALONE(123), 0},
    {"the largest", TOTAL("1000000000000000"), ALONE(1000000000000000), 0},
    {"with many digits", TOTAL("1.0000000000000000000000000000"), ALONE(1), 0},
    {"with more digits than matter", TOTAL("123456789012345678901234e-12"), ALONE(123456789012), 0},
    {"one more", TOTAL("1000000000000001"), NOTHING, 0},
    {"too large by its exponent", TOTAL("1e16"), NOTHING, 0},
    {"larger than any", TOTAL("9e999999999999"), NOTHING, 0},
    {"with very many digits", TOTAL("99999999999999999999999999999999"), NOTHING, 0},
    {"with digits without end", TOTAL("1.00000000000000000000000000000000"), ALONE(1), 0},
    {"smaller than any", TOTAL("9e-999999999999"), ALONE(0), 0},
    {"negative", TOTAL("-1"), NOTHING, 0},
    {"null", TOTAL("null"), NOTHING, 0},
    {"true", TOTAL("true"), NOTHING, 0},
    {"an array", TOTAL("[12]"), NOTHING, 0},
    {"an object", TOTAL("{\"total_tokens\":12}"), NOTHING, 0},
    {"two numbers", TOTAL("12-12"), NOTHING, 0},
    {"two signs", TOTAL("--12"), NOTHING, 0},
    {"two points", TOTAL("1.2.3"), NOTHING, 0},
    {"two exponents", TOTAL("1e2e3"), NOTHING, 0},
    {"letters before", TOTAL("x12"), NOTHING, 0},
    {"a point before", TOTAL(".12"), NOTHING, 0},
    {"blanks around", TOTAL(" \r\n\t12\t\n\r "), ALONE(12), 0},
    {"cut off", "{\"usage\":{\"total_tokens\":12", NOTHING, 0},
    {"cut off after it", "{\"usage\":{\"total_tokens\":12,", ALONE(12), 0},
    {"cut off after all of them", "{\"usage\":{\"total_tokens\":12},", ALONE(12), 0},
    {"no number after one",
     "{\"usage\":{\"total_tokens\":12,\"total_tokens\":null,\"total_tokens\":-1}}", ALONE(12), 0},
    {"a zero after one", "{\"usage\":{\"total_tokens\":12,\"total_tokens\":0}}", ALONE(12), 0},
    {"a fraction of nothing after one", "{\"usage\":{\"total_tokens\":12,\"total_tokens\":0.5}}",
     ALONE(12), 0},
    {"a string", TOTAL("\"12\""), ALONE(12), 0},
    {"a string of zeros", TOTAL("\"00\""), ALONE(0), 0},
    {"a string with a word", TOTAL("\"12 tokens\""), NOTHING, 0},
    {"a string with a sign", TOTAL("\"-12\""), NOTHING, 0},
    {"an empty string", TOTAL("\"\""), NOTHING, 0},
    {"a string that is cut off", "{\"usage\":{\"total_tokens\":\"12", NOTHING, 0},
    {"a number after one", "{\"usage\":{\"total_tokens\":12,\"total_tokens\":13}}", ALONE(13), 0},
};

static void counts_are_numbers_that_make_sense(void **unused)
{
    CHECK_DOCUMENTS(numbers);
}

static const row_t broken[] = {
    {"documents that follow each other", TOTAL("1") "\n" TOTAL("2"), ALONE(2), 0},
    {"a byte order mark", "\xef\xbb\xbf" TOTAL("1"), ALONE(1), 0},
    {"a bracket too many", "]}" TOTAL("1"), NOTHING, 0},
    {"brackets too many at the end", TOTAL("1") "}}]]}", ALONE(1), 0},
    {"no name", "{:{\"total_tokens\":1}}", NOTHING, 0},
    {"no colon", "{\"usage\"{\"total_tokens\":1}}", NOTHING, 0},
    {"no comma", "{\"usage\":1{\"total_tokens\":1}}", NOTHING, 0},
    {"no comma between numbers", TOTAL("12 13"), ALONE(12), 0},
    {"names in an array", "{\"usage\":[\"total_tokens\":1]}", NOTHING, 0},
    {"no quotes", "{usage:{total_tokens:1}}", NOTHING, 0},
    {"a string that does not end", "{\"a\":\"}" TOTAL("1"), NOTHING, 0},
    {"bytes that are not UTF-8", "{\"a\":\"\xe4\xbd\",\"usage\":{\"total_tokens\":1}}", ALONE(1),
     0},
    {"an end that is missing",
     "{\"usage\":{\"total_tokens\":1},\"a\":[{\"usage\":{\"total_tokens\":2", ALONE(1), 0},
    {"a second document that is cut off", TOTAL("1") "\n{\"usage\":{\"total_tokens\":2},\"a\":\"b",
     ALONE(2), 0},
};

static void broken_documents_do_no_harm(void **unused)
{
    CHECK_DOCUMENTS(broken);
}

static const row_t events[] = {
    {"an event's data in several lines",
     "data: {\"usage\":\ndata\ndata:{\"total_tokens\":12\ndata: , \"prompt_tokens\":\n"
     "data: 7}}\n\n",
     COUNTED(7, NONE, NONE, 12), 0},
    {"no blank after the colon", "data:" TOTAL("1") "\n\ndata:[DONE]\n\n", ALONE(1), 1},
    {"several blanks after the colon", "data:  \t " TOTAL("1") "\n\n", ALONE(1), 0},
    {"other fields",
     "id: 1\nretry: 10\nfoo: " TOTAL("1") "\ndataa: " TOTAL("1") "\ndat: " TOTAL(
         "1") "\n data: " TOTAL("1") "\nDATA: " TOTAL("1") "\na-field-of-some-length\n\n",
     NOTHING, 0},
    {"a number in two lines", "data: {\"usage\":{\"total_tokens\":1\ndata: 2}}\n\n", ALONE(1), 0},
    {"fields around the data",
     "id: 1\ndata: {\"usage\":{\nevent: x\n: comment\ndata: \"total_tokens\":1}}\n\n", ALONE(1), 0},
    {"a byte order mark",
     "\xef\xbb\xbf"
     "data: " TOTAL("1") "\n\n",
     ALONE(1), 0},
    {"a byte order mark later",
     "\n\xef\xbb\xbf"
     "data: " TOTAL("1") "\n\n",
     NOTHING, 0},
    {"a name of an event", "event: usage\n\nevent: message_stop\n\n", NOTHING, 0},
    {"broken data before",
     "data: {\"a\":\"\\\n\ndata: {\"choices\":[[[\n\ndata: oops\n\ndata: {\"usage\":{\n\n"
     "data: {\"usage\":{\"total_tokens\":1\n\ndata: " TOTAL("2") "\n\n",
     ALONE(2), 0},
    {"a document in two events", "data: {\"usage\":{\n\ndata: \"total_tokens\":1}}\n\n", NOTHING,
     0},
    {"no blank lines", "data: " TOTAL("1") "\ndata: " TOTAL("2") "\ndata: [DONE]\n", ALONE(2), 1},
    {"no end of the last line", "data: " TOTAL("2") "\n\ndata: [DONE]", ALONE(2), 1},
    {"an end that is none",
     "data: [\n\ndata: [DON\n\ndata: [DONT]\n\ndata: \"[DONE]\"\n\n"
     "data: {\"a\":\"[DONE]\"}\n\nevent: [DONE]\n: [DONE]\n\n",
     NOTHING, 0},
    {"a type that ends nothing",
     "data: {\"type\":\"response.complete\"}\n\ndata: {\"type\":null,\"a\":"
     "\"message_stop\",\"b\":{\"type\":\"message_stop\"},\"message_stop\":\"type\"}\n\n"
     "data: [\"type\",\"message_stop\"]\n\ndata: {\"type\":[\"message_stop\"]}\n\n"
     "data: {\"type\":\"message\\u005fstop\"}\n\nevent: done-with-it\n\nevent: don\nid: done\n\n",
     NOTHING, 0},
    {"counts on the next line",
     "data: {\"usage\"\ndata: :{\"total_tokens\":1}}\n\n"
     "data: {\"usageMetadata\" :\ndata:{\"promptTokenCount\":2}}\n\n",
     COUNTED(2, NONE, NONE, 1), 0},
    {"a name in a later line", "data: {\"a\":[1],\ndata: \"usage\":\t{\"total_tokens\":4}}\n\n",
     ALONE(4), 0},
    {"an end in a later line", "data: {\"a\":[\ndata: [DONE]\n\n", NOTHING, 1},
    {"names without counts",
     "data: {\"usage\":null}\n\ndata: {\"usage\" :\t null}\n\ndata: {\"usage\":[]}\n\n"
     "data: {\"usageMetadata\":\"usage\",\"meta\":1,\"response\":\"done\",\"a\":\"failed\"}\n\n"
     "data: {\"a\":\"completed\",\"b\":\"usage:{\",\"c\":\"it is done\"}\n\n",
     NOTHING, 0},
    {"data of nothing", "data\n\ndata:\n\ndata: \n\n", NOTHING, 0},
    {"a document taken for an event stream", TOTAL("1"), NOTHING, 0},
};

static void events_are_read_line_by_line(void **unused)
{
    CHECK_STREAMS(events);
}

static void containers_of_any_depth_are_passed(void **unused)
{
    static const row_t row = {"deep", "", ALONE(5), 0};
    static const char begin[] = "{\"a\":", end[] = ",\"usage\":{\"total_tokens\":5}}";
    apipool_usage_scan_t scan;
    size_t depth = 100000;
    char *text = malloc(2 * depth);

    assert_non_null(text);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    apipool_usage_begin(&scan, 0);
    feed(&scan, begin, sizeof(begin) - 1);
    feed(&scan, text, 2 * depth);
    feed(&scan, end, sizeof(end) - 1);
    check_scan(&row, &scan, "depth", depth);
    free(text);
}

/* Checks a text with so many letters in the middle, in one piece and in pieces as they are read. */
static void check_long(const row_t *row, const char *begin, size_t letters, const char *end,
                       int is_event_stream)
{
    static const size_t pieces[] = {SIZE_MAX, 8000, 977};
    size_t len = strlen(begin) + letters + strlen(end);
    char *text = malloc(len + 1);
    assert_non_null(text);
    strcpy(text, begin);
    memset(text + strlen(begin), 'x', letters);
    strcpy(text + strlen(begin) + letters, end);
    for (int i = 0; i < 3; i++) {
        apipool_usage_scan_t scan;
        apipool_usage_begin(&scan, is_event_stream);
        for (size_t at = 0, piece; at < len; at += piece) {
            piece = len - at < pieces[i] ? len - at : pieces[i];
            feed(&scan, text + at, piece);
            assert_true(scan.kept_size <=
                        (is_event_stream ? APIPOOL_USAGE_EVENT_MAX : APIPOOL_USAGE_DOCUMENT_MAX));
        }
        check_scan(row, &scan, "in pieces of", pieces[i]);
    }
    free(text);
}

#define INNER "{\"choices\":[{\"usage\":{\"total_tokens\":7}}],\"a\":\""

static void of_long_documents_the_beginning_and_the_end_are_read(void **unused)
{
    static const row_t whole = {"a document that is just short enough", "", ALONE(5), 0},
                       behind = {"a long document with usage behind", "", ALONE(5), 0},
                       before = {"a long document with usage before", "", ALONE(5), 0},
                       between = {"a long document with usage in the middle", "", NOTHING, 0},
                       lines = {"long lines", "", COUNTED(3, 2, NONE, 5), 0},
                       event = {"a long event", "", ALONE(5), 1},
                       other = {"a long event without usage, and one with it", "", ALONE(5), 0};
    static const char end[] = "\",\"usage\":{\"total_tokens\":5}}";
    const size_t most = APIPOOL_USAGE_DOCUMENT_MAX - sizeof(INNER) - sizeof(end) + 2;
    static char middle[2 * APIPOOL_USAGE_DOCUMENT_MAX];

    check_long(&whole, INNER, most, end, 0);
    check_long(&behind, INNER, most + 1, end, 0);
    check_long(&behind, "{\"a\":\"", 3 * most, end, 0);
    check_long(&before, "{\"usage\":{\"total_tokens\":5},\"a\":\"", 3 * most, "\"}", 0);
    memset(middle, 'y', sizeof(middle) - 1);
    memcpy(middle, "{\"a\":\"", 6);
    memcpy(middle + sizeof(middle) / 2, end, sizeof(end) - 1);
    check_long(&between, middle, 2 * most, "\"}", 0);
    check_long(&lines, "{\"message\":{\"content\":\"", 3 * most,
               "\"}}\n{\"done\":true,\"prompt_eval_count\":3,\"eval_count\":2}\n", 0);
    check_long(&event, "event: response.completed\ndata: {\"response\":{\"a\":\"", 100000,
               "\",\"usage\":{\"total_tokens\":5}}}\n\n", 1);
    check_long(&event, "data: {\"type\":\"message_stop\",\"usage\":{\"total_tokens\":5},\"a\":\"",
               100000, "\"}\r\n\r\n", 1);
    check_long(&other, "data: {\"a\":\"", 100000, "\"}\n\ndata: " TOTAL("5") "\n\n", 1);
}

static void a_scan_is_small(void **unused)
{
    static const char event[] =
        "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}],\"usage\":null}\n\n";
    apipool_usage_scan_t scan;

    assert_true(sizeof(apipool_usage_scan_t) <= 256);
    apipool_usage_begin(&scan, 1);
    for (int i = 0; i < 1000; i++) {
        feed(&scan, event, sizeof(event) - 1);
    }
    assert_null(scan.kept); /* whole events that report nothing are not kept */
    for (int i = 0; i < 1000; i++) {
        feed(&scan, event, 17);
        feed(&scan, event + 17, sizeof(event) - 1 - 17);
    }
    assert_true(scan.kept_size <= 1024);
    apipool_usage_end(&scan);
    apipool_usage_end(&scan);
    assert_null(scan.kept);
}

#define MESSAGE_START                                                                              \
    "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,"               \
    "\"output_tokens\":1}}}\n\n"

static void what_a_stream_begins_with_is_not_what_it_came_to(void **unused)
{
    static const struct {
        const char *text;
        int is_final;
    } rows[] = {
        {"", 1},
        {"data: {\"usage\":{\"output_tokens\":1}}\n\n", 1},
        {MESSAGE_START, 0},
        {MESSAGE_START "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"a\"}}\n\n",
         0},
        {MESSAGE_START "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n", 1},
        {MESSAGE_START "data: {\"type\":\"message_stop\"}\n\n", 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        apipool_usage_scan_t scan;
        apipool_usage_begin(&scan, 1);
        feed(&scan, rows[i].text, strlen(rows[i].text));
        assert_int_equal(apipool_usage_is_final(&scan), rows[i].is_final);
        apipool_usage_end(&scan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counts_of_a_document_are_found),
        cmocka_unit_test(the_counts_of_a_stream_are_found_and_its_end),
        cmocka_unit_test(what_only_looks_like_usage_is_not_counted),
        cmocka_unit_test(a_name_with_nul_is_none_that_is_known),
        cmocka_unit_test(counts_are_numbers_that_make_sense),
        cmocka_unit_test(broken_documents_do_no_harm),
        cmocka_unit_test(events_are_read_line_by_line),
        cmocka_unit_test(containers_of_any_depth_are_passed),
        cmocka_unit_test(what_a_stream_begins_with_is_not_what_it_came_to),
        cmocka_unit_test(of_long_documents_the_beginning_and_the_end_are_read),
        cmocka_unit_test(a_scan_is_small),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
