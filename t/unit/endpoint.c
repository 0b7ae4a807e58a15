/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/vendor/endpoint: what generates, and what is only read or free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "endpoint.h"

#define FREE          APIPOOL_ENDPOINT_FREE
#define UNLISTED      APIPOOL_ENDPOINT_UNLISTED
#define TEXT          APIPOOL_ENDPOINT_TEXT
#define RUN           APIPOOL_ENDPOINT_RUN
#define EMBEDDINGS    APIPOOL_ENDPOINT_EMBEDDINGS
#define IMAGES        APIPOOL_ENDPOINT_IMAGES
#define TRANSCRIPTION APIPOOL_ENDPOINT_TRANSCRIPTION
#define JOB           APIPOOL_ENDPOINT_JOB
#define BATCH         APIPOOL_ENDPOINT_BATCH
#define BLIND         APIPOOL_ENDPOINT_BLIND
#define ADMIN         APIPOOL_ENDPOINT_ADMIN

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
        {"//chat//Completions", TEXT},
        {"/any/prefix/at/all/chat/completions", TEXT},
        {"/openai/deployments/gpt-x/chat/completions", TEXT},
        {"/completions", TEXT},
        {"/responses", TEXT},
        {"/responses/compact", TEXT},
        {"/v1/messages", TEXT},
        {"/v2/chat", TEXT},
        {"/api/generate", TEXT},
        {"/v1/complete", TEXT},
        {"/client/v4/accounts/0a1b/ai/run/@cf/meta/llama-3.1-8b-instruct", TEXT},
        {"/accounts/0a1b/ai/run/@hf/llama", TEXT},
        {"/v1beta/interactions", TEXT},
        {"/v1beta/models/gemini-x:generateContent", TEXT},
        {"/v1beta/models/gemini-x:STREAMgenerateContent", TEXT},
        {"/v1beta/tunedModels/mine:generateContent", TEXT},
        {"/v1/projects/p/locations/l/publishers/google/models/m:rawPredict", TEXT},
        {"/threads/runs", RUN},
        {"/threads/thread_1/runs", RUN},
        {"/threads/thread_1/runs/run_1/submit_tool_outputs", RUN},
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
        {"/videos", JOB},
        {"/video/submit", JOB},
        {"/v1/ocr", JOB},
        {"/fine_tuning/jobs", JOB},
        {"/v1beta/models/veo-x:predictLongRunning", JOB},
        {"/v1beta/cachedContents", JOB},
        {"/realtime", JOB},
        {"/v1/messages/batches", BATCH},
        {"/v1beta/models/gemini-x:batchGenerateContent", BATCH},
        {"/batches", BLIND},
        {"/evals/eval_1/runs", BLIND},
        {"/realtime/calls", BLIND},
        {"/videos/video_1/remix", BLIND},
        {"/v1/text-to-speech/voice_1", BLIND},
        {"/v1/text-to-speech/voice_1/stream", BLIND},
        {"/v1/music", BLIND},
    };
    check("POST", rows, sizeof(rows) / sizeof(*rows));
}

static void what_is_kept_listed_or_counted_is_free(void **unused)
{
    static const row_t rows[] = {
        {"/messages/count_tokens", FREE},
        {"/threads/thread_1/messages", FREE},
        {"/threads/thread_1/runs/run_1/cancel", FREE},
        {"/moderations", FREE},
        {"/files", FREE},
        {"/upload/v1beta/files", FREE},
        {"/api/paas/v4/files", FREE},
        {"/openai/deployments/x/files", FREE},
        {"/vector_stores", FREE},
        {"/vector_stores/vs_1/search", FREE},
        {"/responses/resp_1/cancel", FREE},
        {"/responses/input_tokens", FREE},
        {"/chat/completions/chatcmpl-1", FREE},
        {"/v1beta/models/gemini-x:countTokens", FREE},
        {"/v1/projects/p/locations/l/publishers/google/models/m:countTokens", FREE},
    };
    static const row_t read[] = {
        {"", FREE},
        {"/", FREE},
        {"/models", FREE},
        {"/v1/models/gpt-x", FREE},
        {"/v1/models/author/name", FREE},
        {"/chat/completions", FREE},
        {"/responses", FREE},
        {"/responses/resp_1", FREE},
        {"/realtime", FREE},
        {"/threads/thread_1/runs", FREE},
        {"/user/info", FREE},
        {"/v1/users/me/balance", FREE},
        {"/batches", FREE},
        {"/messages/batches/b_1/results", FREE},
    };
    check("POST", rows, sizeof(rows) / sizeof(*rows));
    check("GET", read, sizeof(read) / sizeof(*read));
    check("HEAD", read, sizeof(read) / sizeof(*read));
    check("OPTIONS", read, sizeof(read) / sizeof(*read));
}

/* Paths that only resemble known ones are in no table. */
static void what_is_not_known_is_unlisted(void **unused)
{
    static const row_t rows[] = {
        {"", UNLISTED},
        {"/models", UNLISTED},
        {"/generateContent", UNLISTED},
        {"/:generateContent", UNLISTED},
        {"/v1beta/models/x:", UNLISTED},
        {"/v1beta/models/x:make", UNLISTED},
        {"/xembeddings", UNLISTED},
        {"/embeddings/x", UNLISTED},
        {"/other/files", UNLISTED},
        {"/v1/other/moderations", UNLISTED},
        {"/other/x:countTokens", UNLISTED},
        {"/responses/resp_1", UNLISTED},
        {"/deployments/x/y/files", UNLISTED},
        {"/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/1/2/3/4/5/6/7/v1/files", UNLISTED},
    };
    static const row_t changes[] = {
        {"/chat/completions", UNLISTED},
        {"/responses/resp_1", UNLISTED},
        {"/models/m", UNLISTED},
        {"/v1beta/cachedContents/c", FREE},
    };
    static const row_t read[] = {
        {"/xmodels/m", UNLISTED},
        {"/other/models/m", UNLISTED},
        {"/embeddings", UNLISTED},
        /* any method: some servers take another from a header field */
        {"/v1beta/models/gemini-x:generateContent", TEXT},
    };
    check("POST", rows, sizeof(rows) / sizeof(*rows));
    check("PUT", changes, sizeof(changes) / sizeof(*changes));
    check("PATCH", changes, sizeof(changes) / sizeof(*changes));
    check("GET", read, sizeof(read) / sizeof(*read));
    assert_int_equal(apipool_endpoint_find("BREW", "/models"), UNLISTED);
    assert_int_equal(apipool_endpoint_find("DELETE", "/models/m"), FREE);
    assert_int_equal(apipool_endpoint_find("DELETE", "/chat/completions"), UNLISTED);
}

static void accounts_and_credentials_are_closed(void **unused)
{
    static const row_t rows[] = {
        {"/organization/admin_api_keys", ADMIN},
        {"/v1/organizations/workspaces", ADMIN},
        {"/admin", ADMIN},
        {"/Admin-API/users", ADMIN},
        {"/api/v1/keys", ADMIN},
        {"/api/v1/key", ADMIN},
        {"/any/prefix/key/generate", ADMIN},
        {"/v1/projects/p/keys", ADMIN},
        {"/files/f/keys", ADMIN},
        {"/user/new", ADMIN},
        {"/team/list", ADMIN},
        {"/config/update", ADMIN},
        {"/model/m/update", ADMIN},
        {"/api/token", ADMIN},
        {"/api/user", ADMIN},
        {"/dashboard/billing/usage", ADMIN},
        {"/realtime/client_secrets", ADMIN},
        {"/realtime/sessions", ADMIN},
        {"/realtime/transcription_sessions/", ADMIN},
        {"/chatkit/sessions", ADMIN},
        {"/v1alpha/auth_tokens", ADMIN},
        {"/v1alpha/authTokens", ADMIN},
        {"/v1/auth/grant", ADMIN},
        {"/v1/single-use-token/realtime", ADMIN},
        {"/admin/chat/completions", ADMIN},
    };
    static const row_t others[] = {
        {"/models/admin-x", FREE}, {"/models/keys/admin", FREE},
        {"/files/keys", FREE},     {"/threads/admin/messages", FREE},
        {"/user/info", FREE},      {"/team", UNLISTED},
        {"/config", UNLISTED},     {"/sessions", UNLISTED},
        {"/turkeys", UNLISTED},
    };
    check("POST", rows, sizeof(rows) / sizeof(*rows));
    check("GET", rows, sizeof(rows) / sizeof(*rows));
    check("GET", others, sizeof(others) / sizeof(*others));
    assert_int_equal(apipool_endpoint_find("POST", "/openai/deployments/admin/chat/completions"),
                     TEXT);
    assert_int_equal(apipool_endpoint_find("POST", "/models/admin-x:generateContent"), TEXT);
}

static void paths_lie_below_prefixes(void **unused)
{
    assert_true(apipool_endpoint_is_below("/organization", "/organization"));
    assert_true(apipool_endpoint_is_below("/Organization/x", "/organization"));
    assert_true(apipool_endpoint_is_below("/organization/x", "/organization/"));
    assert_false(apipool_endpoint_is_below("/organizations", "/organization"));
    assert_false(apipool_endpoint_is_below("/org", "/organization"));
    assert_false(apipool_endpoint_is_below("/v1/organization", "/organization"));
}

static void kinds_say_what_they_cost(void **unused)
{
    assert_false(apipool_endpoint_generates(FREE));
    assert_false(apipool_endpoint_generates(UNLISTED));
    assert_false(apipool_endpoint_generates(ADMIN));
    assert_true(apipool_endpoint_generates(EMBEDDINGS));
    assert_true(apipool_endpoint_generates(BLIND));
    assert_true(apipool_endpoint_needs_model(JOB));
    assert_false(apipool_endpoint_needs_model(BATCH));
    assert_false(apipool_endpoint_needs_model(UNLISTED));
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
    static const char *const known[] = {"/responses", "/v1/responses/", "/realtime",
                                        "/openai/v1/Realtime", "/realtime/translations"};
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
        cmocka_unit_test(websockets_of_events_are_known),
        cmocka_unit_test(what_is_not_known_is_unlisted),
        cmocka_unit_test(accounts_and_credentials_are_closed),
        cmocka_unit_test(paths_lie_below_prefixes),
        cmocka_unit_test(kinds_say_what_they_cost),
        cmocka_unit_test(paths_are_read_as_upstreams_may_read_them),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
