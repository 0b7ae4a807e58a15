/* SPDX-License-Identifier: Apache-2.0
 * What is known of each vendor: how a key is sent, and which words and header fields mean what. */
#ifndef APIPOOL_VENDOR_PROVIDER_H
#define APIPOOL_VENDOR_PROVIDER_H

#include <apr_pools.h>

/* Everything here is read-only data, one table row per fact, with the fact's source beside it.
 * Facts of one vendor hold for its profile and for the generic one, which stands for unknown
 * gateways in front of any vendor; facts of all hold for every profile. Thread-safe. */

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

/** The profile of that name as the configuration spells it, or -1. */
int apipool_provider_by_name(const char *name);

const char *apipool_provider_name(apipool_provider_e provider);

/** All names, for messages: "generic, openai, azure, …". */
const char *apipool_provider_names(void);

/** The profile that a host belongs to: the vendor's domain or one below it; else generic. */
apipool_provider_e apipool_provider_guess(const char *host);

/* A header field that is set on requests. */
typedef struct {
    const char *name;
    const char *prefix; /* before the key; or, of a fixed field, its value */
} apipool_field_t;

/**
 * The field that carries the key.
 * @param base_path of the upstream's base URL: Gemini's OpenAI-compatible one takes a Bearer
 */
const apipool_field_t *apipool_provider_credential(apipool_provider_e provider,
                                                   const char *base_path);

/** A field that the vendor demands and a client may have left out (anthropic-version), or NULL. */
const apipool_field_t *apipool_provider_default_field(apipool_provider_e provider);

/* What a client must not say to the vendor: its own credentials, who it is, another method than that of the
 * request. Names are compared without regard to case, and with all characters alike that are neither letters
 * nor digits: some servers read X_API_KEY as X-Api-Key. */

/** Whether a header field of that name must not reach the vendor, or a gateway in front of it. */
int apipool_provider_is_private_field(apipool_provider_e provider, const char *name);

/**
 * A query without the arguments that must not reach the vendor. Names count as they read once decoded, and
 * ';' separates arguments as '&' does; what is kept is kept byte for byte.
 * @param args a query string without '?', or NULL
 * @return args itself where there is no such argument; NULL where nothing is left; else allocated from p
 */
const char *apipool_provider_public_query(apr_pool_t *p, apipool_provider_e provider,
                                          const char *args);

/* A request that costs nothing. */
typedef struct {
    const char *path; /* below the base URL; from the host's root where from_root */
    int from_root;
} apipool_probe_t;

/** What shows whether a key is accepted; NULL where no such request is known. */
const apipool_probe_t *apipool_provider_probe(apipool_provider_e provider);

/* What shows the balance of a key: a request, and where its JSON answer has what (RFC 6901). */
typedef struct {
    apipool_probe_t request;
    const char *amount;   /* pointer; the value may be a number or a string */
    const char *currency; /* pointer, or a currency's code where it is fixed */
} apipool_balance_t;

/** NULL where the vendor has no such request for API keys. */
const apipool_balance_t *apipool_provider_balance(apipool_provider_e provider);

/* What answers say. Tables, walked by core/verdict and vendor/retry_after. */

#define APIPOOL_OF(provider) (1U << (provider))
#define APIPOOL_OF_ALL       (~0U)

/** Whether a fact of those vendors holds for a profile. */
static inline int apipool_provider_holds(unsigned of, apipool_provider_e provider)
{
    return provider == APIPOOL_PROVIDER_GENERIC || (of & APIPOOL_OF(provider)) != 0;
}

/* What a marker in an error answer means. */
typedef enum {
    APIPOOL_MEANS_QUOTA,       /* quota or balance spent */
    APIPOOL_MEANS_PENDING,     /* says 402, but this one request alone was too much, or too early */
    APIPOOL_MEANS_CREDENTIAL,  /* the key is not accepted */
    APIPOOL_MEANS_NO_MODEL,    /* no such model there */
    APIPOOL_MEANS_REFUSED,     /* what the client asked for is not allowed, or not possible */
    APIPOOL_MEANS_FORBIDDEN,   /* not for this key: region, terms */
    APIPOOL_MEANS_OVERLOADED,  /* the vendor has too much to do, whoever asks */
    APIPOOL_MEANS_DAILY_LIMIT, /* a rate limit that ends at midnight in California */
    APIPOOL_MEANS_RATE_LIMIT,
    APIPOOL_MEANS_COUNT
} apipool_meaning_e;

/* Where a marker is looked for, ignoring case. A message is free text in which a vendor may quote
 * what the client sent, so only its beginning counts where the status does not already speak of
 * the key. */
typedef enum {
    APIPOOL_IN_FIELDS,      /* equals type, code or reason */
    APIPOOL_IN_QUOTA,       /* in the names of the quotas that were hit */
    APIPOOL_STARTS_MESSAGE, /* the message begins with it */
    APIPOOL_IN_MESSAGE,     /* in the message, outside quotation marks, of the row's status alone */
    APIPOOL_IN_KEY_MESSAGE, /* the same, of 401, 402, 403 and 429 */
    APIPOOL_IN_REFUSAL      /* in the fields or the message, of 401 and 403 */
} apipool_where_e;

typedef struct {
    apipool_meaning_e means;
    apipool_where_e where;
    unsigned of;      /* vendors */
    const char *text; /* ASCII or UTF-8 */
    int status;       /* the only one it counts at; 0: any */
} apipool_marker_t;

/** All markers, in the order in which they are tried. */
const apipool_marker_t *apipool_provider_markers(apr_size_t *count);

/* Error types of answers that have no status of their own, and the status that belongs to them. */
typedef struct {
    const char *type;
    int status;
} apipool_error_type_t;

const apipool_error_type_t *apipool_provider_error_types(apr_size_t *count);

/* The name of a header field, with its length, which rules most names out at once. */
typedef struct {
    const char *text;
    apr_size_t len;
} apipool_field_name_t;

/* The fields of one rate limit. */
typedef struct {
    unsigned of;
    apipool_field_name_t limit, remaining, reset; /* len 0: there is none */
} apipool_limit_fields_t;

#define APIPOOL_LIMITS_MAX 16

/** All rate limits, at most APIPOOL_LIMITS_MAX. */
const apipool_limit_fields_t *apipool_provider_limits(apr_size_t *count);

/* A field that says when to come back. */
typedef struct {
    unsigned of;
    const char *name;
    int is_milliseconds; /* else seconds or a date */
} apipool_retry_field_t;

const apipool_retry_field_t *apipool_provider_retry_fields(apr_size_t *count);

#endif
