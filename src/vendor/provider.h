/* SPDX-License-Identifier: Apache-2.0
 * Facts about each vendor: how a key is sent, and the meaning of words and header fields. */
#ifndef APIPOOL_VENDOR_PROVIDER_H
#define APIPOOL_VENDOR_PROVIDER_H

#include <apr_pools.h>

#include "balance.h"

/* All of this is read-only data, one table row per fact, with its source beside it. A vendor's
 * facts hold for its profile and for the generic one, which stands for unknown gateways in front of
 * any vendor; facts of all vendors hold for every profile. Thread-safe. */

typedef enum {
    APIPOOL_PROVIDER_GENERIC,
    APIPOOL_PROVIDER_OPENAI,
    APIPOOL_PROVIDER_AZURE,
    APIPOOL_PROVIDER_ANTHROPIC,
    APIPOOL_PROVIDER_GEMINI,
    APIPOOL_PROVIDER_SILICONFLOW,
    APIPOOL_PROVIDER_DEEPSEEK,
    APIPOOL_PROVIDER_OPENROUTER,
    APIPOOL_PROVIDER_MOONSHOT,
    APIPOOL_PROVIDER_GROQ,
    APIPOOL_PROVIDER_MISTRAL,
    APIPOOL_PROVIDER_ZHIPU,
    APIPOOL_PROVIDER_COUNT
} apipool_provider_e;

/** Returns the profile by its name in the configuration, or -1. */
int apipool_provider_by_name(const char *name);

const char *apipool_provider_name(apipool_provider_e provider);

/** Lists all names, for messages: "generic, openai, azure, …". */
const char *apipool_provider_names(void);

/** Returns the profile of a host: the vendor with its domain or a parent domain; else generic. */
apipool_provider_e apipool_provider_guess(const char *host);

/* A header field that is set on requests. */
typedef struct {
    const char *name;
    const char *prefix; /* goes before the key; of a fixed field, its value */
} apipool_field_t;

/**
 * Returns the field that carries the key.
 * @param base_path of the upstream's base URL: Gemini's OpenAI-compatible one needs a Bearer token
 * @param key       Anthropic's OAuth tokens are Bearer tokens
 */
const apipool_field_t *apipool_provider_credential(apipool_provider_e provider,
                                                   const char *base_path, const char *key);

/** Returns a field without which the vendor refuses keys of this kind, or NULL. Its value is one
 *  of a list that the client may send as well. */
const apipool_field_t *apipool_provider_key_field(apipool_provider_e provider, const char *key);

/** Returns a field that the vendor requires but a client may leave out (anthropic-version), or
 *  NULL. */
const apipool_field_t *apipool_provider_default_field(apipool_provider_e provider);

/* Fields and arguments that a client must not send to the vendor: its own credentials, its
 * identity, a different method. Names are compared without regard to case, and all characters
 * except letters and digits are equal: some servers read X_API_KEY as X-Api-Key. */

/** Tests whether a header field must not reach the vendor or a gateway in front of it. */
int apipool_provider_is_private_field(apipool_provider_e provider, const char *name);

/**
 * Removes the arguments that must not reach the vendor from a query. Names are compared in decoded
 * form, and ';' separates arguments as '&' does. The rest is kept byte for byte.
 * @param args a query string without '?', or NULL
 * @return args itself if it has no such argument; NULL if nothing is left; else allocated from p
 */
const char *apipool_provider_public_query(apr_pool_t *p, apipool_provider_e provider,
                                          const char *args);

/* A request that costs nothing. */
typedef struct {
    const char *path; /* below the base URL, or from the host's root with from_root */
    int from_root;
} apipool_probe_t;

/** Returns the request that shows whether a key is accepted; NULL if none is known. */
const apipool_probe_t *apipool_provider_probe(apipool_provider_e provider);

/* A request for the balance of a key, and where it is in the JSON answer. */
typedef struct {
    apipool_probe_t request;
    apipool_balance_place_t place;
} apipool_balance_t;

/** Returns NULL if the vendor has no such request for API keys. */
const apipool_balance_t *apipool_provider_balance(apipool_provider_e provider);

/** Returns the currency of a host's balances if it is not that of its vendor's profile, as at the
 *  international sites of Chinese vendors; else NULL. */
const char *apipool_provider_currency(const char *host);

/* Meaning of answers: tables used by core/verdict and vendor/retry_after. */

#define APIPOOL_OF(provider) (1U << (provider))
#define APIPOOL_OF_ALL       (~0U)

/** Tests whether a fact of some vendors holds for a profile. */
static inline int apipool_provider_holds(unsigned vendors, apipool_provider_e provider)
{
    return provider == APIPOOL_PROVIDER_GENERIC || (vendors & APIPOOL_OF(provider)) != 0;
}

/* The meaning of a marker in an error answer. */
typedef enum {
    APIPOOL_MEANS_QUOTA,       /* quota or balance spent */
    APIPOOL_MEANS_PENDING,     /* status 402, but only this request was too large or too early */
    APIPOOL_MEANS_CREDENTIAL,  /* the key was rejected */
    APIPOOL_MEANS_NO_MODEL,    /* unknown model */
    APIPOOL_MEANS_REFUSED,     /* the request is not allowed or not possible */
    APIPOOL_MEANS_FORBIDDEN,   /* not for this key: region, terms */
    APIPOOL_MEANS_OVERLOADED,  /* the vendor is overloaded, for all clients */
    APIPOOL_MEANS_DAILY_LIMIT, /* a rate limit that ends at midnight in California */
    APIPOOL_MEANS_RATE_LIMIT,
    APIPOOL_MEANS_COUNT
} apipool_meaning_e;

/* Where a marker is searched, ignoring case. A message is free text in which a vendor may quote the
 * client, so only its beginning counts unless the status is about the key. */
typedef enum {
    APIPOOL_IN_FIELDS,      /* equals type, code or reason */
    APIPOOL_IN_QUOTA,       /* in the names of the exceeded quotas */
    APIPOOL_STARTS_MESSAGE, /* at the beginning of the message */
    APIPOOL_IN_MESSAGE,     /* in the message, outside quotation marks, with the row's status */
    APIPOOL_IN_KEY_MESSAGE, /* the same, with status 401, 402, 403 or 429 */
    APIPOOL_OPENS_MESSAGE,  /* the same, and in what precedes its first colon, with status 400, 412
                               or 500 and in an error inside a 200 */
    APIPOOL_IN_REFUSAL      /* in the fields or the message, with status 401 or 403 */
} apipool_where_e;

typedef struct {
    apipool_meaning_e means;
    apipool_where_e where;
    unsigned vendors;
    const char *text; /* ASCII or UTF-8 */
    int status;       /* the only status for which it counts; 0: any */
} apipool_marker_t;

/** Returns all markers, in the order in which they are tried. */
const apipool_marker_t *apipool_provider_markers(apr_size_t *count);

/* Error types of answers without a status of their own, and the status they stand for. */
typedef struct {
    const char *type;
    int status;
} apipool_error_type_t;

const apipool_error_type_t *apipool_provider_error_types(apr_size_t *count);

/* A header field's name and its length, which rules out most names at once. */
typedef struct {
    const char *text;
    apr_size_t len;
} apipool_field_name_t;

/* The fields of one rate limit. */
typedef struct {
    unsigned vendors;
    apipool_field_name_t limit, remaining, reset; /* len 0: none */
} apipool_limit_fields_t;

#define APIPOOL_LIMITS_MAX 20

/** Returns all rate limits, at most APIPOOL_LIMITS_MAX. */
const apipool_limit_fields_t *apipool_provider_limits(apr_size_t *count);

/* A field that says when to retry. */
typedef struct {
    unsigned vendors;
    const char *name;
    int is_milliseconds; /* else seconds or a date */
} apipool_retry_field_t;

const apipool_retry_field_t *apipool_provider_retry_fields(apr_size_t *count);

#endif
