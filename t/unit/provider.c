/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/vendor/provider: names, hosts, credentials and the requests that cost nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>

#include "provider.h"

static void every_profile_has_one_name(void **unused)
{
    const char *names = apipool_provider_names();
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        const char *name = apipool_provider_name(p);
        assert_int_equal(apipool_provider_by_name(name), p);
        assert_int_equal(strncmp(names, name, strlen(name)), 0);
        names += strlen(name);
        assert_true(*names == '\0' || !strncmp(names, ", ", 2));
        names += *names ? 2 : 0;
    }
    assert_string_equal(names, "");
    assert_int_equal(apipool_provider_by_name("OpenAI"), APIPOOL_PROVIDER_OPENAI);
    assert_int_equal(apipool_provider_by_name(""), -1);
    assert_int_equal(apipool_provider_by_name("openai "), -1);
    assert_int_equal(apipool_provider_by_name("open"), -1);
}

static const struct {
    const char *host;
    apipool_provider_e provider;
} hosts[] = {
    {"api.openai.com", APIPOOL_PROVIDER_OPENAI},
    {"API.OpenAI.COM", APIPOOL_PROVIDER_OPENAI},
    {"eu.api.openai.com", APIPOOL_PROVIDER_OPENAI},
    {"api.openai.com.", APIPOOL_PROVIDER_OPENAI},
    {"evilapi.openai.com", APIPOOL_PROVIDER_GENERIC},
    {"openai.com", APIPOOL_PROVIDER_GENERIC},
    {"evilopenai.com", APIPOOL_PROVIDER_GENERIC},
    {"api.openai.com.evil.org", APIPOOL_PROVIDER_GENERIC},
    {"api-openai.com", APIPOOL_PROVIDER_GENERIC},
    {"apixopenai.com", APIPOOL_PROVIDER_GENERIC},
    {"mine.openai.azure.com", APIPOOL_PROVIDER_AZURE},
    {"mine.cognitiveservices.azure.com", APIPOOL_PROVIDER_AZURE},
    {"mine.services.ai.azure.com", APIPOOL_PROVIDER_AZURE},
    {"mine.azure.com", APIPOOL_PROVIDER_GENERIC},
    {"mineopenai.azure.com", APIPOOL_PROVIDER_GENERIC},
    {"api.anthropic.com", APIPOOL_PROVIDER_ANTHROPIC},
    {"generativelanguage.googleapis.com", APIPOOL_PROVIDER_GEMINI},
    {"storage.googleapis.com", APIPOOL_PROVIDER_GENERIC},
    {"api.siliconflow.cn", APIPOOL_PROVIDER_SILICONFLOW},
    {"api.siliconflow.com", APIPOOL_PROVIDER_SILICONFLOW},
    {"api.deepseek.com", APIPOOL_PROVIDER_DEEPSEEK},
    {"openrouter.ai", APIPOOL_PROVIDER_OPENROUTER},
    {"myopenrouter.ai", APIPOOL_PROVIDER_GENERIC},
    {"api.moonshot.cn", APIPOOL_PROVIDER_MOONSHOT},
    {"api.moonshot.ai", APIPOOL_PROVIDER_MOONSHOT},
    {"api.groq.com", APIPOOL_PROVIDER_GROQ},
    {"api.mistral.ai", APIPOOL_PROVIDER_MISTRAL},
    {"open.bigmodel.cn", APIPOOL_PROVIDER_ZHIPU},
    {"api.z.ai", APIPOOL_PROVIDER_ZHIPU},
    {"apiz.ai", APIPOOL_PROVIDER_GENERIC},
    {"127.0.0.1", APIPOOL_PROVIDER_GENERIC},
    {"::1", APIPOOL_PROVIDER_GENERIC},
    {"localhost", APIPOOL_PROVIDER_GENERIC},
    {".", APIPOOL_PROVIDER_GENERIC},
    {"", APIPOOL_PROVIDER_GENERIC},
    {NULL, APIPOOL_PROVIDER_GENERIC},
};

static void a_host_is_the_vendors_or_below_it(void **unused)
{
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
        apipool_provider_e got = apipool_provider_guess(hosts[i].host);
        if (got != hosts[i].provider) {
            fail_msg("%s: %s", hosts[i].host, apipool_provider_name(got));
        }
    }
}

static const struct {
    apipool_provider_e provider;
    const char *path, *name, *prefix;
} credentials[] = {
    {APIPOOL_PROVIDER_AZURE, "/openai/v1", "api-key", ""},
    {APIPOOL_PROVIDER_ANTHROPIC, "/v1", "x-api-key", ""},
    {APIPOOL_PROVIDER_GEMINI, "/v1beta", "x-goog-api-key", ""},
    {APIPOOL_PROVIDER_GEMINI, "/v1beta/openai", "Authorization", "Bearer "},
    {APIPOOL_PROVIDER_GEMINI, "/v1beta/openai/", "Authorization", "Bearer "},
    {APIPOOL_PROVIDER_GEMINI, "/openai/v1beta", "Authorization", "Bearer "},
    {APIPOOL_PROVIDER_GEMINI, "openai", "Authorization", "Bearer "},
    {APIPOOL_PROVIDER_GEMINI, "/v1beta//openai", "Authorization", "Bearer "},
    {APIPOOL_PROVIDER_GEMINI, "/v1beta/openai2", "x-goog-api-key", ""},
    {APIPOOL_PROVIDER_GEMINI, "/v1beta/myopenai", "x-goog-api-key", ""},
    {APIPOOL_PROVIDER_GEMINI, "/", "x-goog-api-key", ""},
    {APIPOOL_PROVIDER_GEMINI, "", "x-goog-api-key", ""},
    {APIPOOL_PROVIDER_GEMINI, NULL, "x-goog-api-key", ""},
    {APIPOOL_PROVIDER_GENERIC, "/v1", "Authorization", "Bearer "},
    {APIPOOL_PROVIDER_OPENAI, "/v1", "Authorization", "Bearer "},
};

static void a_key_is_sent_as_the_vendor_wants_it(void **unused)
{
    for (size_t i = 0; i < sizeof(credentials) / sizeof(*credentials); i++) {
        const apipool_field_t *field =
            apipool_provider_credential(credentials[i].provider, credentials[i].path, "");
        assert_string_equal(field->name, credentials[i].name);
        assert_string_equal(field->prefix, credentials[i].prefix);
    }
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        const apipool_field_t *field = apipool_provider_credential(p, "/v1", "");
        int is_bearer = !strcmp(field->name, "Authorization");
        assert_string_equal(field->prefix, is_bearer ? "Bearer " : "");
    }
}

static const char *name_of_credential(const char *key)
{
    return apipool_provider_credential(APIPOOL_PROVIDER_ANTHROPIC, "/v1", key)->name;
}

static void an_oauth_token_of_anthropic_is_a_bearer_token(void **unused)
{
    assert_string_equal(name_of_credential("sk-ant-oat01-abc"), "Authorization");
    assert_string_equal(name_of_credential("sk-ant-api03-abc"), "x-api-key");
    assert_string_equal(name_of_credential("x-sk-ant-oat01-abc"), "x-api-key");
    const apipool_field_t *field =
        apipool_provider_key_field(APIPOOL_PROVIDER_ANTHROPIC, "sk-ant-oat01-abc");
    assert_string_equal(field->name, "anthropic-beta");
    assert_string_equal(field->prefix, "oauth-2025-04-20");
    assert_null(apipool_provider_key_field(APIPOOL_PROVIDER_ANTHROPIC, "sk-ant-api03-abc"));
    assert_null(apipool_provider_key_field(APIPOOL_PROVIDER_GENERIC, "sk-ant-oat01-abc"));
}

static void anthropic_alone_demands_a_version(void **unused)
{
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        const apipool_field_t *field = apipool_provider_default_field(p);
        if (p == APIPOOL_PROVIDER_ANTHROPIC) {
            assert_string_equal(field->name, "anthropic-version");
            assert_string_equal(field->prefix, "2023-06-01");
        }
        else {
            assert_null(field);
        }
    }
}

static void every_profile_can_be_probed(void **unused)
{
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        const apipool_probe_t *probe = apipool_provider_probe(p);
        assert_non_null(probe);
        assert_int_equal(probe->path[0], '/');
    }
    assert_string_equal(apipool_provider_probe(APIPOOL_PROVIDER_OPENROUTER)->path, "/key");
    assert_true(apipool_provider_probe(APIPOOL_PROVIDER_AZURE)->from_root);
}

static const struct {
    apipool_provider_e provider;
    const char *path;
    int from_root;
    const char *amount, *currency;
} balances[] = {
    {APIPOOL_PROVIDER_SILICONFLOW, "/user/info", 0, "/data/totalBalance", "CNY"},
    {APIPOOL_PROVIDER_DEEPSEEK, "/user/balance", 1, "/total_balance", "/currency"},
    {APIPOOL_PROVIDER_OPENROUTER, "/key", 0, "/data/limit_remaining", "USD"},
    {APIPOOL_PROVIDER_MOONSHOT, "/users/me/balance", 0, "/data/available_balance", "CNY"},
};

static void four_vendors_tell_the_balance(void **unused)
{
    size_t count = 0;
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        count += apipool_provider_balance(p) != NULL;
    }
    assert_int_equal(count, sizeof(balances) / sizeof(*balances));
    for (size_t i = 0; i < count; i++) {
        const apipool_balance_t *balance = apipool_provider_balance(balances[i].provider);
        assert_string_equal(balance->request.path, balances[i].path);
        assert_int_equal(balance->request.from_root, balances[i].from_root);
        assert_string_equal(balance->place.amount, balances[i].amount);
        assert_string_equal(balance->place.currency, balances[i].currency);
    }
}

static void international_sites_have_another_currency(void **unused)
{
    assert_string_equal(apipool_provider_currency("api.siliconflow.com"), "USD");
    assert_string_equal(apipool_provider_currency("api.moonshot.ai"), "USD");
    assert_null(apipool_provider_currency("api.siliconflow.cn"));
    assert_null(apipool_provider_currency("api.moonshot.cn"));
    assert_null(apipool_provider_currency("example.test"));
}

static void facts_hold_for_their_vendors_and_generic(void **unused)
{
    unsigned of = APIPOOL_OF(APIPOOL_PROVIDER_GROQ) | APIPOOL_OF(APIPOOL_PROVIDER_ZHIPU);
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        int is_theirs = p == APIPOOL_PROVIDER_GROQ || p == APIPOOL_PROVIDER_ZHIPU;
        assert_int_equal(apipool_provider_holds(of, p), is_theirs || p == APIPOOL_PROVIDER_GENERIC);
        assert_int_equal(apipool_provider_holds(0, p), p == APIPOOL_PROVIDER_GENERIC);
        assert_true(apipool_provider_holds(APIPOOL_OF_ALL, p));
    }
}

#define ANY APIPOOL_PROVIDER_COUNT

static const struct {
    apipool_provider_e of; /* the only vendor for which it is private; ANY: for all */
    const char *names;
} private_fields[] = {
    {ANY,
     "Authorization Proxy-Authorization Cookie Cookie2 X-Api-Key Api-Key ApiKey X-Goog-Api-Key"},
    {ANY, "X-Auth-Token X-Access-Token X-Serverless-Authorization MJ-Api-Secret"},
    {ANY, "X-Amz-Security-Token Subscription-Key Ocp-Apim-Subscription-Key Ocp-Apim-Trace"},
    {ANY, "X-LiteLLM-Api-Key x-litellm-customer-id X-Portkey-Api-Key x-portkey-custom-host"},
    {ANY, "Helicone-Auth Helicone-Target-Url CF-AIG-Authorization CF-Access-Client-Secret"},
    {ANY, "OpenAI-Organization OpenAI-Project X-Goog-User-Project X-Goog-Iam-Authorization-Token"},
    {ANY, "X-Goog-Iam-Authority-Selector X-Goog-Authenticated-User-Email X-MS-Token-AAD-Id-Token"},
    {ANY, "X-MS-Client-Principal-Name X-Real-IP Forwarded X-Forwarded-For X-Forwarded-Host"},
    {ANY, "Origin Referer Sec-Fetch-Mode Accept-Encoding X-Original-URL X-Rewrite-URL"},
    {ANY, "X-HTTP-Method-Override X-HTTP-Method X-Method-Override"},
    {ANY, "x_api_key API_KEY X_Http_Method_Override ocp.apim.subscription.key x-API_key"},
    {APIPOOL_PROVIDER_GENERIC, "Token XI-Api-Key"},
    {APIPOOL_PROVIDER_OPENAI, "ChatGPT-Account-Id"},
    {APIPOOL_PROVIDER_AZURE, "X-Zumo-Auth"},
    {APIPOOL_PROVIDER_ANTHROPIC, "anthropic-organization-id"},
    {APIPOOL_PROVIDER_GEMINI,
     "X-Origin X-Referer X-Goog-AuthUser X-Goog-Quota-User X-Firebase-AppCheck"},
};

static void check_fields(const char *names, apipool_provider_e provider, int expected)
{
    char name[64];
    for (const char *at = names; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        memcpy(name, at, len);
        name[len] = '\0';
        if (apipool_provider_is_private_field(provider, name) != expected) {
            fail_msg("%s of %s", name, apipool_provider_name(provider));
        }
        at += len;
    }
}

static void what_tells_who_asks_is_no_vendors(void **unused)
{
    for (size_t i = 0; i < sizeof(private_fields) / sizeof(*private_fields); i++) {
        apipool_provider_e of = private_fields[i].of;
        for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
            check_fields(private_fields[i].names, p,
                         of == ANY || of == p || p == APIPOOL_PROVIDER_GENERIC);
        }
    }
}

static const char vendors_fields[] =
    "Host Accept User-Agent Content-Type Content-Length Content-Encoding Connection Upgrade Expect "
    "anthropic-version anthropic-beta anthropic-dangerous-direct-browser-access OpenAI-Beta "
    "X-Goog-Api-Client X-Goog-Request-Params X-Goog-Upload-Command X-Goog-Upload-Protocol "
    "X-Goog-Upload-Header-Content-Length HTTP-Referer X-Title Idempotency-Key X-Request-Id "
    "X-Client-Request-Id X-MS-Client-Request-Id X-MS-UserAgent X-Stainless-Lang "
    "X-Stainless-Retry-Count "
    "Sec-WebSocket-Protocol Sec-WebSocket-Key session_id X-Initiator Accept-Language traceparent "
    "X-Api-Version X-Api-Keys Api-Ke X Authorization2 X-Forwarded sec-fetch X-DashScope-SSE";

static void what_a_vendor_needs_of_a_client_stays(void **unused)
{
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        check_fields(vendors_fields, p, 0);
    }
}

static const struct {
    apipool_provider_e provider;
    const char *args, *kept; /* kept is NULL if nothing is left, args itself if unchanged */
} queries[] = {
    {APIPOOL_PROVIDER_OPENAI, "key=a", NULL},
    {APIPOOL_PROVIDER_OPENAI, "key", NULL},
    {APIPOOL_PROVIDER_OPENAI, "KEY=a&k%65y=b&%6bey=c&%6B%45%59=d", NULL},
    {APIPOOL_PROVIDER_OPENAI, "a=1&key=x&b=2", "a=1&b=2"},
    {APIPOOL_PROVIDER_OPENAI, "a=1;key=x;b=2&c", "a=1;b=2&c"},
    {APIPOOL_PROVIDER_OPENAI, "a=1&;key=x", "a=1&"},
    {APIPOOL_PROVIDER_OPENAI, "key=x&a=%3D&b=+", "a=%3D&b=+"},
    {APIPOOL_PROVIDER_OPENAI, "+key+=x&key[]=x&key%5B0%5D=x&key%00z=x", NULL},
    {APIPOOL_PROVIDER_OPENAI, "api_key=x&api-key=x&api+key=x&apikey=x&apiKey=x&api.key=x", NULL},
    {APIPOOL_PROVIDER_OPENAI, "access_token=x&oauth_token=x&bearer_token=x&%24key=x&$key=x", NULL},
    {APIPOOL_PROVIDER_OPENAI, "subscription-key=x&Ocp-Apim-Subscription-Key=x",
     "Ocp-Apim-Subscription-Key=x"},
    {APIPOOL_PROVIDER_OPENAI, "_method=GET&$httpMethod=GET&$httpHeaders=x&X-HTTP-Method-Override=x",
     NULL},
    {APIPOOL_PROVIDER_OPENAI, "X-Amz-Credential=x&X-Amz-Signature=x&x-amz-security-token=x", NULL},
    {APIPOOL_PROVIDER_OPENAI, "authorization=x&x-api-key=x&x-goog-api-key=x", NULL},
    {APIPOOL_PROVIDER_GEMINI,
     "$ct=x&%24req=x&quotaUser=x&$quotaUser=x&userIp=x&userProject=x&$userProject=x", NULL},
    {APIPOOL_PROVIDER_OPENAI, "quotaUser=x&$ct=x", "quotaUser=x&$ct=x"},
    {APIPOOL_PROVIDER_GENERIC, "token=x&xi-api-key=x", NULL},
    {APIPOOL_PROVIDER_MISTRAL, "token=x", "token=x"},
    {APIPOOL_PROVIDER_GEMINI,
     "alt=sse&$alt=json&key=x&pageSize=3&pageToken=a%3D%3D&uploadType=media",
     "alt=sse&$alt=json&pageSize=3&pageToken=a%3D%3D&uploadType=media"},
};

static const char *const public_queries[] = {
    "",
    "alt=sse",
    "api-version=2024-10-21&model=gpt%2D4o&deployment=x",
    "limit=20&after=batch_1&order=desc&include[]=a&include[]=b",
    "a&&b=;&=key&keys=1&monkey=2&key2=3&xkey=4&value=key&q=a%26key%3Db&%zz=1&%",
    "model=a;b=c&page_token=x&max_tokens=1",
    "a_name_that_is_longer_than_any_of_those_that_are_listed=key",
};

static void a_query_loses_credentials_and_nothing_else(void **unused)
{
    apr_pool_t *p;
    apr_pool_create(&p, NULL);
    for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
        const char *kept = apipool_provider_public_query(p, queries[i].provider, queries[i].args);
        if (!queries[i].kept) {
            assert_null(kept);
        }
        else {
            assert_string_equal(kept, queries[i].kept);
        }
    }
    for (size_t i = 0; i < sizeof(public_queries) / sizeof(*public_queries); i++) {
        for (apipool_provider_e v = 0; v < APIPOOL_PROVIDER_COUNT; v++) {
            assert_ptr_equal(apipool_provider_public_query(p, v, public_queries[i]),
                             public_queries[i]);
        }
    }
    assert_null(apipool_provider_public_query(p, APIPOOL_PROVIDER_GEMINI, NULL));
    apr_pool_destroy(p);
}

static void tables_are_whole(void **unused)
{
    apr_size_t markers, types, limits, retries;
    const apipool_marker_t *marker = apipool_provider_markers(&markers);
    const apipool_error_type_t *type = apipool_provider_error_types(&types);
    const apipool_limit_fields_t *limit = apipool_provider_limits(&limits);
    assert_non_null(apipool_provider_retry_fields(&retries));
    assert_true(markers && types && limits && retries && limits <= APIPOOL_LIMITS_MAX);
    for (size_t i = 0; i < markers; i++) {
        assert_true(*marker[i].text && marker[i].means < APIPOOL_MEANS_COUNT);
        assert_true(marker[i].where != APIPOOL_IN_MESSAGE || marker[i].status);
    }
    for (size_t i = 0; i < types; i++) {
        assert_true(type[i].status >= 400 && type[i].status < 600);
    }
    for (size_t i = 0; i < limits; i++) {
        assert_int_equal(strlen(limit[i].limit.text), limit[i].limit.len);
        assert_int_equal(strlen(limit[i].remaining.text), limit[i].remaining.len);
        assert_int_equal(strlen(limit[i].reset.text), limit[i].reset.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_profile_has_one_name),
        cmocka_unit_test(a_host_is_the_vendors_or_below_it),
        cmocka_unit_test(a_key_is_sent_as_the_vendor_wants_it),
        cmocka_unit_test(an_oauth_token_of_anthropic_is_a_bearer_token),
        cmocka_unit_test(anthropic_alone_demands_a_version),
        cmocka_unit_test(every_profile_can_be_probed),
        cmocka_unit_test(four_vendors_tell_the_balance),
        cmocka_unit_test(international_sites_have_another_currency),
        cmocka_unit_test(facts_hold_for_their_vendors_and_generic),
        cmocka_unit_test(tables_are_whole),
        cmocka_unit_test(what_tells_who_asks_is_no_vendors),
        cmocka_unit_test(what_a_vendor_needs_of_a_client_stays),
        cmocka_unit_test(a_query_loses_credentials_and_nothing_else),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("provider", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
