/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/endpoint: what is generated, and what is only read or free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "endpoint.h"

#define FREE          APIPOOL_ENDPOINT_FREE
#define TEXT          APIPOOL_ENDPOINT_TEXT
#define EMBEDDINGS    APIPOOL_ENDPOINT_EMBEDDINGS
#define IMAGES        APIPOOL_ENDPOINT_IMAGES
#define TRANSCRIPTION APIPOOL_ENDPOINT_TRANSCRIPTION

typedef struct {
    const char *path;
    apipool_endpoint_e kind;
} row_t;

static void check(const char *method, const row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int kind = (int)apipool_endpoint_find(method, rows[i].path);
        if (kind != (int)rows[i].kind) {
            fail_msg("%s %s: %d", method, rows[i].path, kind);
        }
    }
}

static void what_is_created_costs_tokens(void **unused)
{
    static const row_t rows[] = {
        {"/chat/completions", TEXT},
        {"/v1/chat/completions", TEXT},
        {"/chat/completions/", TEXT},
        {"/openai/deployments/gpt-x/chat/completions", TEXT},
        {"/completions", TEXT},
        {"/responses", TEXT},
        {"/responses/compact", TEXT},
        {"/v1/messages", TEXT},
        {"/v2/chat", TEXT},
        {"/v1beta/models/gemini-x:generateContent", TEXT},
        {"/v1beta/models/gemini-x%3AstreamGenerateContent", TEXT},
        {"/v1beta/models/gemini-x%3astreamGenerateContent", TEXT},
        {"/threads/runs", APIPOOL_ENDPOINT_RUN},
        {"/threads/thread_1/runs", APIPOOL_ENDPOINT_RUN},
        {"/embeddings", EMBEDDINGS},
        {"/v2/embed", EMBEDDINGS},
        {"/v1beta/models/text:batchEmbedContents", EMBEDDINGS},
        {"/rerank", APIPOOL_ENDPOINT_RERANK},
        {"/images/generations", IMAGES},
        {"/images/edits", IMAGES},
        {"/v1beta/models/imagen-x:predict", IMAGES},
        {"/audio/speech", APIPOOL_ENDPOINT_SPEECH},
        {"/audio/transcriptions", TRANSCRIPTION},
        {"/audio/translations", TRANSCRIPTION},
    };
    check("POST", rows, sizeof(rows) / sizeof(*rows));
}

static void what_is_kept_listed_or_counted_is_free(void **unused)
{
    static const row_t rows[] = {
        {"", FREE},
        {"/", FREE},
        {"/messages/count_tokens", FREE},
        {"/messages/batches", FREE},
        {"/threads/thread_1/messages", FREE},
        {"/threads/thread_1/runs/run_1/cancel", FREE},
        {"/moderations", FREE},
        {"/files", FREE},
        {"/models", FREE},
        {"/batches", FREE},
        {"/vector_stores", FREE},
        {"/vector_stores/vs_1/search", FREE},
        {"/responses/resp_1/cancel", FREE},
        {"/responses/input_tokens", FREE},
        {"/chat/completions/chatcmpl-1", FREE},
        {"/v1beta/models/gemini-x:countTokens", FREE},
        {"/v1beta/cachedContents", FREE},
        {"/generateContent", FREE},
        {"/xembeddings", FREE},
    };
    check("POST", rows, sizeof(rows) / sizeof(*rows));
}

static void reading_what_was_created_costs_nothing(void **unused)
{
    static const row_t rows[] = {
        {"/chat/completions", FREE},
        {"/responses/resp_1", FREE},
        {"/responses", FREE},
        {"/threads/thread_1/runs", FREE},
        {"/v1beta/models/gemini-x:generateContent", FREE},
    };
    static const char *const methods[] = {"GET", "HEAD", "DELETE", "PUT", "PATCH", "OPTIONS"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        check(methods[i], rows, sizeof(rows) / sizeof(*rows));
    }
}

static void paths_are_read_as_upstreams_may_read_them(void **unused)
{
    static const struct {
        const char *path, *plain;
    } rows[] = {
        {"/v1/%63hat/completions", "/v1/chat/completions"},
        {"/v1/chat%2fcompletions", "/v1/chat/completions"},
        {"/v1/chat%5Ccompletions", "/v1/chat/completions"},
        {"/v1/chat\\completions", "/v1/chat/completions"},
        {"//v1%2F/chat///completions", "/v1/chat/completions"},
        {"/v1;a=b/chat;c/completions;d", "/v1/chat/completions"},
        {"/v1/a%3Bb", "/v1/a;b"},
        {"/v1/%2563hat", "/v1/%63hat"},
        {"/v1/%00%zz%", "/v1/%00%zz%"},
        {"/v1/chat/completions", "/v1/chat/completions"},
        {"", ""},
    };
    char path[64];
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        strcpy(path, rows[i].path);
        apipool_endpoint_make_plain(path);
        assert_string_equal(path, rows[i].plain);
        assert_true(!strcmp(rows[i].path, rows[i].plain) ||
                    !apipool_endpoint_is_plain(rows[i].path));
    }
    assert_true(apipool_endpoint_is_plain("/v1/chat/completions"));
}

static void websockets_of_events_are_known(void **unused)
{
    static const char *const known[] = {"/responses", "/v1/responses/", "/realtime", "/openai/v1/Realtime",
                                        "/realtime/translations"};
    static const char *const unknown[] = {"", "/", "/realtime/calls", "/responses/r1", "/socket"};
    (void)unused;
    for (size_t i = 0; i < 5; i++) {
        assert_true(apipool_endpoint_speaks_events(known[i]));
        assert_int_equal(apipool_endpoint_is_responses(known[i]), i < 2);
        assert_false(apipool_endpoint_speaks_events(unknown[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_created_costs_tokens),
        cmocka_unit_test(what_is_kept_listed_or_counted_is_free),
        cmocka_unit_test(reading_what_was_created_costs_nothing),
        cmocka_unit_test(websockets_of_events_are_known),
        cmocka_unit_test(paths_are_read_as_upstreams_may_read_them),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
