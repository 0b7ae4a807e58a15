/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/provider: names, hosts, credentials and the requests that cost nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

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
            apipool_provider_credential(credentials[i].provider, credentials[i].path);
        assert_string_equal(field->name, credentials[i].name);
        assert_string_equal(field->prefix, credentials[i].prefix);
    }
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        const apipool_field_t *field = apipool_provider_credential(p, "/v1");
        int is_bearer = !strcmp(field->name, "Authorization");
        assert_string_equal(field->prefix, is_bearer ? "Bearer " : "");
    }
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
    {APIPOOL_PROVIDER_DEEPSEEK, "/user/balance", 1, "/balance_infos/0/total_balance",
     "/balance_infos/0/currency"},
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
        assert_string_equal(balance->amount, balances[i].amount);
        assert_string_equal(balance->currency, balances[i].currency);
    }
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

static void tables_are_whole(void **unused)
{
    apr_size_t markers, types, limits, retries;
    const apipool_marker_t *marker = apipool_provider_markers(&markers);
    const apipool_error_type_t *type = apipool_provider_error_types(&types);
    const apipool_limit_fields_t *limit = apipool_provider_limits(&limits);
    assert_non_null(apipool_provider_retry_fields(&retries));
    assert_true(markers && types && limits && retries && limits <= APIPOOL_LIMITS_MAX);
    for (size_t i = 0; i < markers; i++) {
        assert_true(*marker[i].text && marker[i].of && marker[i].means < APIPOOL_MEANS_COUNT);
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
        cmocka_unit_test(anthropic_alone_demands_a_version),
        cmocka_unit_test(every_profile_can_be_probed),
        cmocka_unit_test(four_vendors_tell_the_balance),
        cmocka_unit_test(facts_hold_for_their_vendors_and_generic),
        cmocka_unit_test(tables_are_whole),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("provider", tests, NULL, NULL);
}
