/* SPDX-License-Identifier: Apache-2.0
 * Profiles of the vendors: hosts, credentials, probes and balance requests. */
#include "provider.h"

#include <apr_cstr.h>
#include <string.h>

/* The default credential. */
static const apipool_field_t bearer = {"Authorization", "Bearer "};

/* Anthropic's OAuth tokens; its SDKs send both fields with them ("auth_token", "oauth"). */
#define ANTHROPIC_OAUTH "sk-ant-oat"
static const apipool_field_t anthropic_oauth = {"anthropic-beta", "oauth-2025-04-20"};

static const apipool_probe_t models = {"/models", 0};

/* Sources, per vendor: its API reference, chapters "authentication", "models" and "balance".
 *
 * SiliconFlow has ended its balance request in China on 14 August 2026, as its release notes say:
 * api.siliconflow.cn answers 410 to API keys and offers nothing instead. api.siliconflow.com still
 * answers it, in USD.
 *
 * A probe asks for something that needs a valid key and is not billed: the list of models, unless
 * that is public, as OpenRouter's is. Azure's list belongs to the resource, whichever deployment
 * the base URL names. */
static const struct {
    const char *name;
    apipool_field_t credential, default_field;
    apipool_probe_t probe;
    apipool_balance_t balance;
} profiles[APIPOOL_PROVIDER_COUNT] = {
    [APIPOOL_PROVIDER_GENERIC] = {.name = "generic"},
    [APIPOOL_PROVIDER_OPENAI] = {.name = "openai"},
    [APIPOOL_PROVIDER_AZURE] = {.name = "azure",
                                .credential = {"api-key", ""},
                                .probe = {"/openai/models?api-version=2024-10-21", 1}},
    [APIPOOL_PROVIDER_ANTHROPIC] = {.name = "anthropic",
                                    .credential = {"x-api-key", ""},
                                    .default_field = {"anthropic-version", "2023-06-01"},
                                    .probe = {"/v1/models", 1}},
    [APIPOOL_PROVIDER_GEMINI] = {.name = "gemini", .credential = {"x-goog-api-key", ""}},
    [APIPOOL_PROVIDER_SILICONFLOW] = {.name = "siliconflow",
                                      .balance = {{"/user/info", 0},
                                                  {"/data/totalBalance", "CNY"}}},
    [APIPOOL_PROVIDER_DEEPSEEK] = {.name = "deepseek",
                                   .balance = {{"/user/balance", 1},
                                               {.each = "/balance_infos",
                                                .amount = "/total_balance",
                                                .currency = "/currency",
                                                .available = "/is_available"}}},
    [APIPOOL_PROVIDER_OPENROUTER] = {.name = "openrouter",
                                     .probe = {"/key", 0},
                                     .balance = {{"/key", 0}, {"/data/limit_remaining", "USD"}}},
    [APIPOOL_PROVIDER_MOONSHOT] = {.name = "moonshot",
                                   .balance = {{"/users/me/balance", 0},
                                               {"/data/available_balance", "CNY"}}},
    [APIPOOL_PROVIDER_GROQ] = {.name = "groq"},
    [APIPOOL_PROVIDER_MISTRAL] = {.name = "mistral"},
    [APIPOOL_PROVIDER_ZHIPU] = {.name = "zhipu"},
};

/* A vendor's domain; subdomains are the vendor's as well. */
static const struct {
    const char *domain;
    apipool_provider_e provider;
} hosts[] = {
    {"api.openai.com", APIPOOL_PROVIDER_OPENAI},
    {"openai.azure.com", APIPOOL_PROVIDER_AZURE},
    {"cognitiveservices.azure.com", APIPOOL_PROVIDER_AZURE},
    {"services.ai.azure.com", APIPOOL_PROVIDER_AZURE},
    {"api.anthropic.com", APIPOOL_PROVIDER_ANTHROPIC},
    {"generativelanguage.googleapis.com", APIPOOL_PROVIDER_GEMINI},
    {"api.siliconflow.cn", APIPOOL_PROVIDER_SILICONFLOW},
    {"api.siliconflow.com", APIPOOL_PROVIDER_SILICONFLOW},
    {"api.deepseek.com", APIPOOL_PROVIDER_DEEPSEEK},
    {"openrouter.ai", APIPOOL_PROVIDER_OPENROUTER},
    {"api.moonshot.cn", APIPOOL_PROVIDER_MOONSHOT},
    {"api.moonshot.ai", APIPOOL_PROVIDER_MOONSHOT},
    {"api.groq.com", APIPOOL_PROVIDER_GROQ},
    {"api.mistral.ai", APIPOOL_PROVIDER_MISTRAL},
    {"open.bigmodel.cn", APIPOOL_PROVIDER_ZHIPU},
    {"api.z.ai", APIPOOL_PROVIDER_ZHIPU},
};

/* International sites of vendors whose profile has another currency. */
static const struct {
    const char *domain, *currency;
} abroad[] = {
    {"api.siliconflow.com", "USD"}, /* guide */
    {"api.moonshot.ai", "USD"},     /* guide */
};

int apipool_provider_by_name(const char *name)
{
    for (int i = 0; i < APIPOOL_PROVIDER_COUNT; i++) {
        if (!apr_cstr_casecmp(name, profiles[i].name)) {
            return i;
        }
    }
    return -1;
}

const char *apipool_provider_name(apipool_provider_e provider)
{
    return profiles[provider].name;
}

const char *apipool_provider_names(void)
{
    return "generic, openai, azure, anthropic, gemini, siliconflow, deepseek, openrouter, "
           "moonshot, "
           "groq, mistral, zhipu";
}

/* Compares from the end, label by label: evilopenai.com is not below openai.com. */
static int is_below(const char *host, apr_size_t len, const char *domain)
{
    apr_size_t domain_len = strlen(domain);
    return len >= domain_len && !apr_cstr_casecmpn(host + len - domain_len, domain, domain_len) &&
           (len == domain_len || host[len - domain_len - 1] == '.');
}

/* Tests whether a host is that of a domain or below it. A fully qualified name may end with a
 * dot. */
static int is_of(const char *host, const char *domain)
{
    apr_size_t len = host ? strlen(host) : 0;
    len -= len > 0 && host[len - 1] == '.';
    return is_below(host, len, domain);
}

apipool_provider_e apipool_provider_guess(const char *host)
{
    for (apr_size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
        if (is_of(host, hosts[i].domain)) {
            return hosts[i].provider;
        }
    }
    return APIPOOL_PROVIDER_GENERIC;
}

const char *apipool_provider_currency(const char *host)
{
    for (apr_size_t i = 0; i < sizeof(abroad) / sizeof(*abroad); i++) {
        if (is_of(host, abroad[i].domain)) {
            return abroad[i].currency;
        }
    }
    return NULL;
}

static int has_segment(const char *path, const char *segment)
{
    apr_size_t len = strlen(segment);
    while (path && *path) {
        path += *path == '/';
        apr_size_t part = strcspn(path, "/");
        if (part == len && !apr_cstr_casecmpn(path, segment, len)) {
            return 1;
        }
        path += part;
    }
    return 0;
}

static int is_oauth(apipool_provider_e provider, const char *key)
{
    return provider == APIPOOL_PROVIDER_ANTHROPIC &&
           !strncmp(key, ANTHROPIC_OAUTH, sizeof(ANTHROPIC_OAUTH) - 1);
}

const apipool_field_t *apipool_provider_key_field(apipool_provider_e provider, const char *key)
{
    return is_oauth(provider, key) ? &anthropic_oauth : NULL;
}

const apipool_field_t *apipool_provider_credential(apipool_provider_e provider,
                                                   const char *base_path, const char *key)
{
    if (is_oauth(provider, key)) {
        return &bearer;
    }
    if (provider == APIPOOL_PROVIDER_GEMINI && has_segment(base_path, "openai")) {
        provider = APIPOOL_PROVIDER_OPENAI;
    }
    return profiles[provider].credential.name ? &profiles[provider].credential : &bearer;
}

const apipool_field_t *apipool_provider_default_field(apipool_provider_e provider)
{
    return profiles[provider].default_field.name ? &profiles[provider].default_field : NULL;
}

const apipool_probe_t *apipool_provider_probe(apipool_provider_e provider)
{
    return profiles[provider].probe.path ? &profiles[provider].probe : &models;
}

const apipool_balance_t *apipool_provider_balance(apipool_provider_e provider)
{
    return profiles[provider].balance.request.path ? &profiles[provider].balance : NULL;
}
