/* SPDX-License-Identifier: Apache-2.0
 * Tables of the meaning of the vendors' error answers and rate-limit fields. */
#include "provider.h"

#define ALL         APIPOOL_OF_ALL
#define OPENAI      APIPOOL_OF(APIPOOL_PROVIDER_OPENAI)
#define AZURE       APIPOOL_OF(APIPOOL_PROVIDER_AZURE)
#define ANTHROPIC   APIPOOL_OF(APIPOOL_PROVIDER_ANTHROPIC)
#define GEMINI      APIPOOL_OF(APIPOOL_PROVIDER_GEMINI)
#define SILICONFLOW APIPOOL_OF(APIPOOL_PROVIDER_SILICONFLOW)
#define DEEPSEEK    APIPOOL_OF(APIPOOL_PROVIDER_DEEPSEEK)
#define OPENROUTER  APIPOOL_OF(APIPOOL_PROVIDER_OPENROUTER)
#define MOONSHOT    APIPOOL_OF(APIPOOL_PROVIDER_MOONSHOT)
#define GROQ        APIPOOL_OF(APIPOOL_PROVIDER_GROQ)
#define MISTRAL     APIPOOL_OF(APIPOOL_PROVIDER_MISTRAL)
#define ZHIPU       APIPOOL_OF(APIPOOL_PROVIDER_ZHIPU)
#define UNKNOWN     0U /* gateways and vendors without a profile: generic only */

/* Names for the columns of the table below. */
#define QUOTA          APIPOOL_MEANS_QUOTA
#define PENDING        APIPOOL_MEANS_PENDING
#define CREDENTIAL     APIPOOL_MEANS_CREDENTIAL
#define NO_MODEL       APIPOOL_MEANS_NO_MODEL
#define REFUSED        APIPOOL_MEANS_REFUSED
#define FORBIDDEN      APIPOOL_MEANS_FORBIDDEN
#define OVERLOADED     APIPOOL_MEANS_OVERLOADED
#define DAILY_LIMIT    APIPOOL_MEANS_DAILY_LIMIT
#define RATE_LIMIT     APIPOOL_MEANS_RATE_LIMIT
#define IN_FIELDS      APIPOOL_IN_FIELDS
#define IN_QUOTA       APIPOOL_IN_QUOTA
#define STARTS_MESSAGE APIPOOL_STARTS_MESSAGE
#define IN_MESSAGE     APIPOOL_IN_MESSAGE
#define IN_KEY_MESSAGE APIPOOL_IN_KEY_MESSAGE
#define OPENS_MESSAGE  APIPOOL_OPENS_MESSAGE
#define IN_REFUSAL     APIPOOL_IN_REFUSAL

/* Quota precedes credential, and both precede rate limit: vendors word a spent quota as any of
 * them. Within each, fields precede messages. Markers that other vendors imitate along with
 * OpenAI's error shape are of all vendors. Numbers belong to the vendor that uses them, some with
 * one status only, since other vendors use the same numbers.
 *
 * The comment is the source. A name with a number is a thread of that public issue tracker in
 * which the words are quoted; where none was found, the comment says so. "guide" is the vendor's
 * own page on errors or limits:
 *   OpenAI       https://platform.openai.com/docs/guides/error-codes
 *   Anthropic    https://docs.anthropic.com/en/api/errors
 *   Azure        https://learn.microsoft.com/azure/ai-services/openai/quotas-limits
 *   Gemini       https://ai.google.dev/gemini-api/docs/troubleshooting
 *   SiliconFlow  https://docs.siliconflow.cn/cn/faqs/error-code
 *   DeepSeek     https://api-docs.deepseek.com/quick_start/error_codes
 *   OpenRouter   https://openrouter.ai/docs/api-reference/errors
 *   Moonshot     https://platform.moonshot.ai/docs/api/chat
 *   Groq         https://console.groq.com/docs/errors and /docs/spend-limits
 *   Mistral      https://docs.mistral.ai/api
 *   Zhipu        https://docs.bigmodel.cn/cn/api/api-code
 *   DashScope    https://www.alibabacloud.com/help/en/model-studio/error-code
 *   MiniMax      https://platform.minimax.io/docs/api-reference/errorcode
 *   xAI          https://docs.x.ai/docs/key-information/debugging
 *   Fireworks    https://docs.fireworks.ai/guides/inference-error-codes
 *   new-api      https://github.com/QuantumNous/new-api: types/error.go, model/token.go, and
 *                setting/operation_setting for the words by which it disables keys itself; one-api,
 *                of which it and many hubs are made, uses the same words */
static const apipool_marker_t markers[] = {
    {QUOTA, IN_FIELDS, ALL, "insufficient_quota", 0},                /* OpenAI's guide */
    {QUOTA, IN_FIELDS, ALL, "credit_balance_exhausted", 0},          /* OpenAI's guide */
    {QUOTA, IN_FIELDS, ALL, "organization_spend_limit_exceeded", 0}, /* OpenAI's guide */
    {QUOTA, IN_FIELDS, ALL, "project_spend_limit_exceeded", 0},      /* OpenAI's guide */
    {QUOTA, IN_FIELDS, ALL, "organization_usage_limit_exceeded", 0}, /* OpenAI's guide */
    {QUOTA, IN_FIELDS, OPENAI, "billing_hard_limit_reached", 0},     /* images: PowerShellAI 127 */
    {QUOTA, IN_FIELDS, OPENAI, "billing_not_active", 0},             /* litellm 2743 */
    {QUOTA, IN_FIELDS, ALL, "blocked_api_access", 0},  /* Groq's guide to spend limits */
    {QUOTA, IN_FIELDS, ANTHROPIC, "billing_error", 0}, /* guide */
    {QUOTA, IN_FIELDS, ANTHROPIC, "enforced_spend_limit_reached", 0}, /* guide */
    {QUOTA, IN_FIELDS, MOONSHOT, "exceeded_current_quota_error", 0},  /* guide */
    {QUOTA, IN_FIELDS, SILICONFLOW, "30001", 0},                      /* words: one-api 2063 */
    {QUOTA, IN_FIELDS, ZHIPU, "1113", 0},                             /* guide: in arrears */
    {QUOTA, IN_FIELDS, ZHIPU, "1309", 429},                           /* guide: plan expired */
    {QUOTA, IN_FIELDS, ZHIPU, "1310", 429},                    /* guide: weekly or monthly limit */
    {QUOTA, IN_FIELDS, OPENROUTER, "openrouter_key_limit", 0}, /* guide */
    {QUOTA, IN_FIELDS, OPENROUTER, "openrouter_workspace_budget", 0},  /* guide */
    {QUOTA, IN_FIELDS, OPENROUTER, "openrouter_guardrail_budget", 0},  /* guide */
    {PENDING, IN_FIELDS, OPENROUTER, "in_flight_budget_exhausted", 0}, /* guide: retryable */
    {PENDING, IN_FIELDS, OPENROUTER, "weight_exceeds_budget", 0},      /* guide */
    {PENDING, STARTS_MESSAGE, OPENROUTER, "This request requires more credits", 0}, /* Agora 8 */
    /* Vendors without a profile, and hubs. */
    {QUOTA, IN_FIELDS, ALL, "insufficient_user_quota", 0},        /* new-api, one-api */
    {QUOTA, IN_FIELDS, ALL, "pre_consume_token_quota_failed", 0}, /* the same */
    {QUOTA, IN_FIELDS, ALL, "Arrearage", 0},                      /* DashScope's guide */
    {QUOTA, IN_FIELDS, ALL, "AccountOverdueError", 0},            /* Volcengine, coze-studio 2195 */
    {QUOTA, IN_FIELDS, ALL, "insufficient_balance_error", 0},     /* MiniMax, modelscope 1691 */
    {QUOTA, IN_FIELDS, ALL, "INSUFFICIENT_BALANCE", 0},           /* Venice, api-docs 149 */
    {QUOTA, IN_FIELDS, UNKNOWN, "personal-team-blocked:spending-limit", 0}, /* xAI, agenc 2483 */
    {QUOTA, IN_FIELDS, UNKNOWN, "quota_exceeded", 401},                     /* ElevenLabs' guide */
    {QUOTA, IN_FIELDS, ALL, "base_resp.1008", 0},                           /* MiniMax's guide */

    {NO_MODEL, IN_FIELDS, ALL, "model_not_found", 0},      /* OpenAI's guide */
    {NO_MODEL, IN_FIELDS, ALL, "unknown_model", 0},        /* GitHub Models, gh-models 65 */
    {NO_MODEL, IN_FIELDS, AZURE, "DeploymentNotFound", 0}, /* guide */
    {NO_MODEL, IN_FIELDS, SILICONFLOW, "20012", 0},        /* guide: status 400 */
    {NO_MODEL, IN_FIELDS, SILICONFLOW, "30003", 0},        /* disabled: continue 10839 */
    {NO_MODEL, IN_FIELDS, MISTRAL, "invalid_model", 0},    /* langchaingo 1233 */
    {NO_MODEL, IN_FIELDS, ZHIPU, "1211", 0},               /* guide */
    {NO_MODEL, STARTS_MESSAGE, ALL, "The model ", 404},    /* vllm 3485; Groq: continue 10832 */
    {NO_MODEL, STARTS_MESSAGE, ANTHROPIC, "model: ", 404}, /* mattermost-plugin-agents 257 */
    {NO_MODEL, STARTS_MESSAGE, GEMINI, "models/", 404},    /* gptel 667 */
    {NO_MODEL, STARTS_MESSAGE, MOONSHOT, "Not found the model", 404},   /* guide */
    {NO_MODEL, STARTS_MESSAGE, OPENROUTER, "No endpoints found", 404},  /* chatbox 2743 */
    {NO_MODEL, IN_MESSAGE, OPENROUTER, "is not a valid model ID", 400}, /* picoclaw 1790 */
    {NO_MODEL, STARTS_MESSAGE, DEEPSEEK, "Model Not Exist", 400},       /* easy-dataset 9 */

    {REFUSED, STARTS_MESSAGE, ALL, "Request too large for", 0}, /* continue 10602, 10218 */
    {REFUSED, IN_FIELDS, ALL, "content_filter", 0}, /* Azure, helm 3327; Moonshot's guide */
    {REFUSED, IN_FIELDS, ALL, "content_policy_violation", 0},      /* OpenAI's guide */
    {REFUSED, IN_FIELDS, OPENROUTER, "flagged_input", 0},          /* guide: moderation */
    {REFUSED, IN_FIELDS, ZHIPU, "1301", 0},                        /* guide: unsafe content */
    {REFUSED, IN_REFUSAL, ALL, "permission_error", 0},             /* Anthropic's guide */
    {REFUSED, IN_REFUSAL, ALL, "missing scopes", 0},               /* OpenAI, PowerToys 32989 */
    {REFUSED, IN_REFUSAL, ALL, "insufficient permissions", 0},     /* OpenAI, PowerToys 32989 */
    {REFUSED, IN_REFUSAL, MOONSHOT, "permission_denied_error", 0}, /* guide */
    {REFUSED, STARTS_MESSAGE, GEMINI, "You do not have permission to access",
     403},                                                          /* python-genai 1218 */
    {FORBIDDEN, IN_FIELDS, GROQ, "model_terms_required", 0},        /* langflow 11120, status 400 */
    {FORBIDDEN, IN_FIELDS, ZHIPU, "1311", 429},                     /* guide: not in this plan */
    {FORBIDDEN, IN_FIELDS, ALL, "AllocationQuota.FreeTierOnly", 0}, /* DashScope's guide: a model */
    {FORBIDDEN, IN_FIELDS, ALL, "base_resp.2061", 0},  /* MiniMax's client: not in this plan */
    {FORBIDDEN, IN_FIELDS, SILICONFLOW, "30011", 403}, /* paid models, OpenManus 438 */
    {FORBIDDEN, IN_FIELDS, ALL, "ModelError", 401},    /* OpenCode's Zen, opencode 29568 */
    {FORBIDDEN, IN_FIELDS, ALL, "key_model_access_denied", 401},  /* LiteLLM, opcode 358 */
    {FORBIDDEN, IN_FIELDS, ALL, "team_model_access_denied", 401}, /* LiteLLM's proxy/_types.py */
    {REFUSED, IN_FIELDS, ALL, "base_resp.1026", 0},   /* MiniMax's guide: sensitive input */
    {REFUSED, IN_FIELDS, ALL, "base_resp.1027", 0},   /* the same: sensitive output */
    {REFUSED, IN_FIELDS, ALL, "base_resp.1042", 0},   /* the same: invisible characters */
    {REFUSED, IN_FIELDS, ALL, "base_resp.2013", 0},   /* the same: invalid parameters */
    {REFUSED, IN_FIELDS, ALL, "InvalidParameter", 0}, /* DashScope's guide */

    {QUOTA, STARTS_MESSAGE, ALL, "Your credit balance is too low", 0}, /* claude-code 4684 */
    {QUOTA, STARTS_MESSAGE, ALL, "You have reached your specified API usage limits",
     0},                                                     /* claude-code 2127 */
    {QUOTA, IN_KEY_MESSAGE, ALL, "credit balance", 0},       /* Anthropic, claude-code 4684 */
    {QUOTA, IN_KEY_MESSAGE, ALL, "spend limit", 0},          /* OpenAI's guide; no message found */
    {QUOTA, IN_KEY_MESSAGE, ALL, "spending cap", 0},         /* Gemini's guide */
    {QUOTA, IN_KEY_MESSAGE, ALL, "api usage limits", 0},     /* Anthropic, claude-code 2127 */
    {QUOTA, IN_KEY_MESSAGE, ALL, "prepayment credits", 0},   /* Gemini's guide */
    {QUOTA, IN_KEY_MESSAGE, ALL, "credits are depleted", 0}, /* Gemini, dyad 3626 */
    {QUOTA, IN_KEY_MESSAGE, ALL, "requires billing to be enabled", 0}, /* UnityCloudVision 6 */
    {QUOTA, IN_KEY_MESSAGE, ALL, "key limit exceeded", 0},         /* OpenRouter, Roo-Code 515 */
    {QUOTA, IN_KEY_MESSAGE, ALL, "account is not active", 0},      /* OpenAI, litellm 2743 */
    {QUOTA, OPENS_MESSAGE, ALL, "insufficient balance", 0},        /* DeepSeek, continue 9853 */
    {QUOTA, OPENS_MESSAGE, ALL, "account is in good standing", 0}, /* DashScope's guide */
    {QUOTA, OPENS_MESSAGE, ALL, "overdue account", 0},             /* DashScope, Roo-Code 12309 */
    {QUOTA, OPENS_MESSAGE, ALL, "account has an overdue balance", 0}, /* coze-studio 2195 */
    {QUOTA, OPENS_MESSAGE, ALL, "used all available credits", 0},     /* xAI, continue 10373 */
    {QUOTA, OPENS_MESSAGE, ALL, "run out of credits", 0},             /* xAI, sub2api 4069 */
    {QUOTA, OPENS_MESSAGE, ALL, "doesn't have any credits", 0},       /* xAI, continue 12670 */
    {QUOTA, OPENS_MESSAGE, ALL, "user quota is not enough", 0},       /* one-api, FastGPT 916 */
    {QUOTA, OPENS_MESSAGE, ALL, "token quota is not enough", 0},      /* the same */
    {QUOTA, IN_MESSAGE, ALL, "is suspended", 412},                    /* Fireworks, gaia 3766 */
    {QUOTA, OPENS_MESSAGE, ALL, "余额不足", 0},   /* balance insufficient: Zhipu, QwenPaw 202 */
    {QUOTA, OPENS_MESSAGE, ALL, "额度不足", 0},   /* quota insufficient: new-api 6929 */
    {QUOTA, OPENS_MESSAGE, ALL, "配额不足", 0},   /* the same: dmxapi, error 1491 */
    {QUOTA, OPENS_MESSAGE, ALL, "额度已用尽", 0}, /* quota used up: new-api, model/token.go */
    {QUOTA, OPENS_MESSAGE, ALL, "额度已用完", 0}, /* the same: one-api 204 */
    {QUOTA, OPENS_MESSAGE, ALL, "余额已用尽", 0}, /* balance used up: like the last, no report */
    {QUOTA, OPENS_MESSAGE, ALL, "欠费", 0},       /* in arrears: Zhipu, dify 5850 */
    {QUOTA, IN_KEY_MESSAGE, SILICONFLOW, "balance is insufficient", 0}, /* OpenManus 438 */
    {QUOTA, IN_KEY_MESSAGE, AZURE, "out of call volume quota", 0},      /* node-bing-api 34 */
    {QUOTA, IN_KEY_MESSAGE, MOONSHOT, "usage limit for this billing cycle", 0}, /* guide */

    {CREDENTIAL, IN_FIELDS, ALL, "invalid_api_key", 0},                   /* OpenAI's guide */
    {CREDENTIAL, IN_FIELDS, ALL, "authentication_error", 0},              /* Anthropic's guide */
    {CREDENTIAL, IN_FIELDS, ALL, "account_deactivated", 0},               /* OpenAI's guide */
    {CREDENTIAL, IN_FIELDS, GROQ, "organization_restricted", 0},          /* one-api 1764 */
    {CREDENTIAL, IN_FIELDS, MOONSHOT, "invalid_authentication_error", 0}, /* guide */
    {CREDENTIAL, IN_FIELDS, MOONSHOT, "incorrect_api_key_error", 0},      /* guide */
    {CREDENTIAL, IN_FIELDS, GEMINI, "UNAUTHENTICATED", 0},                /* google.rpc.Code */
    {CREDENTIAL, IN_FIELDS, GEMINI, "API_KEY_INVALID", 0},            /* google.api.ErrorReason */
    {CREDENTIAL, IN_FIELDS, GEMINI, "CONSUMER_SUSPENDED", 0},         /* the same */
    {CREDENTIAL, IN_FIELDS, GEMINI, "SERVICE_DISABLED", 0},           /* the same */
    {CREDENTIAL, IN_FIELDS, GEMINI, "API_KEY_SERVICE_BLOCKED", 0},    /* the same */
    {CREDENTIAL, IN_FIELDS, GEMINI, "API_KEY_IP_ADDRESS_BLOCKED", 0}, /* the same */
    {CREDENTIAL, IN_FIELDS, GEMINI, "API_KEY_HTTP_REFERRER_BLOCKED", 0}, /* the same */
    {CREDENTIAL, IN_FIELDS, ZHIPU, "1110", 429},               /* guide: account not active */
    {CREDENTIAL, IN_FIELDS, ZHIPU, "1111", 429},               /* guide: no such account */
    {CREDENTIAL, IN_FIELDS, ZHIPU, "1112", 429},               /* guide: account locked */
    {CREDENTIAL, IN_FIELDS, ZHIPU, "1121", 429},               /* guide: account locked */
    {CREDENTIAL, STARTS_MESSAGE, ALL, "API key not valid", 0}, /* Gemini, continue 10290 */
    {CREDENTIAL, STARTS_MESSAGE, ALL, "API key expired", 0},   /* Gemini, continue 11336 */
    {CREDENTIAL, STARTS_MESSAGE, ANTHROPIC, "This organization has been disabled",
     0},                                                         /* claude-code 9941 */
    {CREDENTIAL, IN_MESSAGE, GEMINI, "reported as leaked", 403}, /* continue 11541 */
    {CREDENTIAL, IN_FIELDS, ALL, "access_terminated", 0},        /* OpenAI, gpt_academic 985 */
    {CREDENTIAL, IN_FIELDS, ALL, "InvalidApiKey", 0},            /* DashScope's guide */
    {CREDENTIAL, IN_FIELDS, ALL, "base_resp.1004", 0},           /* MiniMax's guide */
    {CREDENTIAL, IN_FIELDS, ALL, "base_resp.2049", 0},           /* the same */
    {CREDENTIAL, OPENS_MESSAGE, ALL, "Incorrect API key provided", 0}, /* xAI, continue 10778 */
    {CREDENTIAL, OPENS_MESSAGE, ALL, "Incorrect%20API%20key%20provided", 0}, /* beeai 447 */
    {CREDENTIAL, OPENS_MESSAGE, ALL, "Invalid API key", 0},                  /* DashScope's guide */
    {CREDENTIAL, OPENS_MESSAGE, ALL, "Your access was terminated", 0},       /* gpt_academic 985 */
    {CREDENTIAL, OPENS_MESSAGE, ALL, "security token included in the request is invalid",
     0},                                                   /* AWS, new-api's words */
    {CREDENTIAL, OPENS_MESSAGE, ALL, "无效的令牌", 0},     /* invalid token: new-api */
    {CREDENTIAL, OPENS_MESSAGE, ALL, "令牌已过期", 0},     /* token expired: the same */
    {CREDENTIAL, OPENS_MESSAGE, ALL, "令牌状态不可用", 0}, /* token disabled: the same */

    {OVERLOADED, IN_FIELDS, ALL, "slow_down", 0},                    /* OpenAI's guide */
    {OVERLOADED, IN_FIELDS, ALL, "server_is_overloaded", 0},         /* OpenAI's guide */
    {OVERLOADED, IN_FIELDS, ALL, "overloaded_error", 0},             /* Anthropic's guide */
    {OVERLOADED, IN_FIELDS, MOONSHOT, "engine_overloaded_error", 0}, /* guide, status 429 */
    {OVERLOADED, IN_FIELDS, AZURE, "NoCapacity", 0}, /* code of the next, no report found */
    {OVERLOADED, STARTS_MESSAGE, AZURE, "The system is currently experiencing high demand",
     0},                                               /* pollinations 6260, status 429 */
    {OVERLOADED, IN_FIELDS, GEMINI, "UNAVAILABLE", 0}, /* google.rpc.Code */
    {OVERLOADED, IN_FIELDS, SILICONFLOW, "50505", 0},  /* like 50508, no report */
    {OVERLOADED, IN_FIELDS, SILICONFLOW, "50508", 0},  /* ragflow 5676 */
    {OVERLOADED, IN_FIELDS, DEEPSEEK, "service_unavailable_error", 0}, /* 503, no report found */
    {OVERLOADED, IN_FIELDS, ZHIPU, "1312", 0}, /* guide: this model is too busy */
    {OVERLOADED, STARTS_MESSAGE, MISTRAL, "Service tier capacity exceeded", 0}, /* continue 6185 */
    {OVERLOADED, IN_FIELDS, MISTRAL, "service_tier_capacity_exceeded", 0}, /* no report found */
    {OVERLOADED, STARTS_MESSAGE, OPENAI, "That model is currently overloaded", 0}, /* dust 428 */
    {OVERLOADED, STARTS_MESSAGE, OPENAI, "The engine is currently overloaded", 0}, /* guide */
    {OVERLOADED, IN_KEY_MESSAGE, ALL, "上游负载已饱和", 0}, /* upstreams saturated: new-api */

    {DAILY_LIMIT, IN_QUOTA, GEMINI, "PerDay", 0},                     /* guide: RPD ends then */
    {RATE_LIMIT, IN_FIELDS, ALL, "rate_limit_exceeded", 0},           /* OpenAI's guide */
    {RATE_LIMIT, IN_FIELDS, ALL, "rate_limit_error", 0},              /* Anthropic's guide */
    {RATE_LIMIT, IN_FIELDS, MOONSHOT, "rate_limit_reached_error", 0}, /* guide */
    {RATE_LIMIT, IN_FIELDS, MISTRAL, "rate_limited", 0},              /* cline 9085 */
    {RATE_LIMIT, IN_FIELDS, GEMINI, "RESOURCE_EXHAUSTED", 0},         /* google.rpc.Code */
    {RATE_LIMIT, IN_FIELDS, ZHIPU, "1302", 0},                        /* guide: concurrency */
    {RATE_LIMIT, IN_FIELDS, ZHIPU, "1303", 0},                        /* guide: frequency */
    {RATE_LIMIT, IN_FIELDS, ZHIPU, "1304", 0},                        /* guide: daily */
    {RATE_LIMIT, IN_FIELDS, ZHIPU, "1305", 0},                        /* guide */
    {RATE_LIMIT, IN_FIELDS, ZHIPU, "1308", 0},                        /* guide: every few hours */
    {RATE_LIMIT, IN_FIELDS, ALL, "Throttling", 0},                    /* DashScope's guide */
    {RATE_LIMIT, IN_FIELDS, ALL, "Throttling.RateQuota", 0},          /* the same */
    {RATE_LIMIT, IN_FIELDS, ALL, "Throttling.BurstRate", 0},          /* the same */
    {RATE_LIMIT, IN_FIELDS, ALL, "Throttling.AllocationQuota", 0},    /* the same */
    {RATE_LIMIT, IN_FIELDS, ALL, "limit_requests", 0},         /* the same, compatible mode */
    {RATE_LIMIT, IN_FIELDS, ALL, "limit_burst_rate", 0},       /* the same */
    {RATE_LIMIT, IN_FIELDS, ALL, "base_resp.1002", 0},         /* MiniMax's guide */
    {RATE_LIMIT, IN_FIELDS, ALL, "base_resp.1039", 0},         /* the same: tokens */
    {RATE_LIMIT, IN_FIELDS, ALL, "base_resp.1041", 0},         /* the same: connections */
    {RATE_LIMIT, IN_FIELDS, ALL, "base_resp.2056", 0},         /* the same: a plan's window */
    {RATE_LIMIT, OPENS_MESSAGE, ALL, "too many requests", 0},  /* RFC 6585, section 4 */
    {RATE_LIMIT, OPENS_MESSAGE, ALL, "rate limit", 0},         /* Mistral: cline 9085; others */
    {RATE_LIMIT, IN_KEY_MESSAGE, ALL, "tokens per minute", 0}, /* Groq, eliza 4040 */
    {RATE_LIMIT, OPENS_MESSAGE, ALL, "throttl", 0},            /* Bedrock: litellm 589 */
    {RATE_LIMIT, OPENS_MESSAGE, ALL, "请求过于频繁", 0}, /* requests too frequent: no report */
};

/* Sources: Anthropic's guide to errors, for its types; OpenAI's; google.rpc.Code with the HTTP
 * mapping given beside its codes. */
static const apipool_error_type_t error_types[] = {
    {"invalid_request_error", 400},
    {"authentication_error", 401},
    {"billing_error", 402},
    {"permission_error", 403},
    {"not_found_error", 404},
    {"request_too_large", 413},
    {"rate_limit_error", 429},
    {"api_error", 500},
    {"server_error", 500},
    {"timeout_error", 504},
    {"overloaded_error", 529},
    {"rate_limit_exceeded", 429},
    {"INVALID_ARGUMENT", 400},
    {"FAILED_PRECONDITION", 400},
    {"UNAUTHENTICATED", 401},
    {"PERMISSION_DENIED", 403},
    {"NOT_FOUND", 404},
    {"RESOURCE_EXHAUSTED", 429},
    {"INTERNAL", 500},
    {"UNAVAILABLE", 503},
    {"DEADLINE_EXCEEDED", 504},
    {"invalid_prompt", 400}, /* OpenAI, responses */
    {"image_parse_error", 400},
    {"context_length_exceeded", 400},
};

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define TRIPLE(start, end)                                                                         \
    NAME(start "limit" end), NAME(start "remaining" end), NAME(start "reset" end)
#define CLAUDE(kind)                                                                               \
    NAME("anthropic-ratelimit-" kind "-limit"), NAME("anthropic-ratelimit-" kind "-remaining"),    \
        NAME("anthropic-ratelimit-" kind "-reset")

static const apipool_limit_fields_t limits[] = {
    {ALL, TRIPLE("x-ratelimit-", "-requests")},        /* OpenAI, Azure and Groq: guides */
    {ALL, TRIPLE("x-ratelimit-", "-tokens")},          /* the same */
    {ALL, TRIPLE("x-ratelimit-", "")},                 /* OpenRouter: everruns 2280 */
    {ANTHROPIC, CLAUDE("requests")},                   /* guide */
    {ANTHROPIC, CLAUDE("tokens")},                     /* guide */
    {ANTHROPIC, CLAUDE("input-tokens")},               /* guide */
    {ANTHROPIC, CLAUDE("output-tokens")},              /* guide */
    {MISTRAL, TRIPLE("x-ratelimit-", "-req-minute")},  /* client-ts 169 */
    {ALL, TRIPLE("x-ratelimit-", "-tokens-minute")},   /* Mistral: client-ts 169 */
    {MISTRAL, TRIPLE("ratelimitbysize-", "")},         /* no report found */
    {ALL, TRIPLE("x-ratelimit-", "-requests-day")},    /* Cerebras: its guide to rate limits */
    {ALL, TRIPLE("x-ratelimit-", "-requests-hour")},   /* the same */
    {ALL, TRIPLE("x-ratelimit-", "-requests-minute")}, /* the same */
    {ALL, TRIPLE("x-ratelimit-", "-tokens-hour")},     /* the same */
    {ALL, TRIPLE("x-ratelimit-", "-tokens-day")},      /* the same */
    {ANTHROPIC, NAME(""), NAME("anthropic-ratelimit-unified-status"),
     NAME("anthropic-ratelimit-unified-reset")}, /* subscriptions: opencode 49653 */
    {ALL, TRIPLE("ratelimit-", "")},             /* draft 7 of the IETF; Kong */
};

static const apipool_retry_field_t retry_fields[] = {
    {ALL, "Retry-After", 0},           /* RFC 9110, section 10.2.3 */
    {ALL, "retry-after-ms", 1},        /* read by OpenAI's and Anthropic's SDKs */
    {AZURE, "x-ms-retry-after-ms", 1}, /* Azure's guide */
};

const apipool_marker_t *apipool_provider_markers(apr_size_t *count)
{
    *count = sizeof(markers) / sizeof(*markers);
    return markers;
}

const apipool_error_type_t *apipool_provider_error_types(apr_size_t *count)
{
    *count = sizeof(error_types) / sizeof(*error_types);
    return error_types;
}

const apipool_limit_fields_t *apipool_provider_limits(apr_size_t *count)
{
    _Static_assert(sizeof(limits) / sizeof(*limits) <= APIPOOL_LIMITS_MAX, "raise the maximum");
    *count = sizeof(limits) / sizeof(*limits);
    return limits;
}

const apipool_retry_field_t *apipool_provider_retry_fields(apr_size_t *count)
{
    *count = sizeof(retry_fields) / sizeof(*retry_fields);
    return retry_fields;
}
