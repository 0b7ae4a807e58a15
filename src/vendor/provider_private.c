/* SPDX-License-Identifier: Apache-2.0
 * Removes what a client must not tell the vendor: who it is, or that the request is another than it
 * seems. */
#include "provider.h"

#include <apr_strings.h>
#include <string.h>

#include "percent.h"

/* Where a name counts: as a header field, as a query argument, or as both. */
enum { FIELD = 1, ARGUMENT = 2, EITHER = FIELD | ARGUMENT };

typedef struct {
    unsigned vendors; /* 0: no row */
    unsigned where;
    const char *name; /* lower case, with '-' for all characters but letters and digits */
} private_t;

#define ALL       APIPOOL_OF_ALL
#define GENERIC   APIPOOL_OF(APIPOOL_PROVIDER_GENERIC)
#define OPENAI    APIPOOL_OF(APIPOOL_PROVIDER_OPENAI)
#define AZURE     APIPOOL_OF(APIPOOL_PROVIDER_AZURE)
#define ANTHROPIC APIPOOL_OF(APIPOOL_PROVIDER_ANTHROPIC)
#define GEMINI    APIPOOL_OF(APIPOOL_PROVIDER_GEMINI)

/* Credentials, fields that identify the client to a vendor or gateway, those that change the method
 * or path, and those by which a browser describes its page: a vendor that refuses pages would seem
 * to refuse the key. Grouped by length, since every field and argument of every request is looked
 * up. What gateways read is of all vendors, since a gateway may stand before any of them. A row of
 * GENERIC only has a name that a known vendor may use in another way. */
#define SAME_LENGTH_MAX 8
static const private_t names[][SAME_LENGTH_MAX] = {
    [3] = {{ALL, ARGUMENT, "key"},              /* Google's guide to system parameters */
           {GEMINI, ARGUMENT, "-ct"}},          /* $ct, the content type: Google's front end */
    [4] = {{ALL, ARGUMENT, "-key"},             /* $key: the same guide */
           {GEMINI, ARGUMENT, "-req"}},         /* $req, the body: Google's front end */
    [5] = {{GENERIC, EITHER, "token"}},         /* gateways, WebSockets of browsers */
    [6] = {{ALL, FIELD, "cookie"},              /* RFC 6265 */
           {ALL, FIELD, "origin"},              /* RFC 6454 */
           {ALL, EITHER, "apikey"},             /* Kong's guide to key authentication */
           {GEMINI, ARGUMENT, "userip"}},       /* Google's guide to standard parameters */
    [7] = {{ALL, EITHER, "api-key"},            /* Azure's guide; as an argument for WebSockets */
           {ALL, FIELD, "cookie2"},             /* RFC 2965 */
           {ALL, FIELD, "referer"},             /* RFC 9110 */
           {ALL, ARGUMENT, "-method"}},         /* _method: Rack, Express, Symfony */
    [8] = {{GEMINI, FIELD, "x-origin"}},        /* Google's front end, for keys of web pages */
    [9] = {{ALL, EITHER, "x-api-key"},          /* Anthropic's guide, Amazon's API Gateway */
           {ALL, FIELD, "x-real-ip"},           /* nginx */
           {ALL, FIELD, "forwarded"},           /* RFC 7239 */
           {GEMINI, FIELD, "x-referer"},        /* as x-origin */
           {GEMINI, ARGUMENT, "quotauser"}},    /* Google's guide to system parameters */
    [10] = {{GENERIC, EITHER, "xi-api-key"},    /* ElevenLabs' guide */
            {GEMINI, ARGUMENT, "-quotauser"}},  /* $quotaUser */
    [11] = {{ALL, ARGUMENT, "oauth-token"},     /* Google's guide to standard parameters */
            {ALL, ARGUMENT, "-httpmethod"},     /* $httpMethod: Google's front end */
            {AZURE, FIELD, "x-zumo-auth"},      /* Azure's guide to App Service authentication */
            {GEMINI, ARGUMENT, "userproject"}}, /* Google's guide to requester pays */
    [12] = {{ALL, EITHER, "access-token"},      /* RFC 6750 */
            {ALL, ARGUMENT, "bearer-token"},    /* Google's guide to standard parameters */
            {ALL, ARGUMENT, "-httpheaders"},    /* $httpHeaders, fields: Google's front end */
            {ALL, FIELD, "x-auth-token"},       /* OpenStack, gateways */
            {GEMINI, ARGUMENT, "-userproject"}},
    [13] = {{ALL, EITHER, "authorization"},            /* RFC 9110; gateways, for WebSockets */
            {ALL, FIELD, "x-http-method"},             /* OData's specification */
            {ALL, FIELD, "x-rewrite-url"},             /* IIS, Symfony */
            {ALL, FIELD, "mj-api-secret"}},            /* New API */
    [14] = {{ALL, EITHER, "x-goog-api-key"},           /* Google's guide to system parameters */
            {ALL, FIELD, "openai-project"},            /* OpenAI's guide */
            {ALL, FIELD, "x-access-token"},            /* gateways */
            {ALL, FIELD, "x-original-url"}},           /* IIS, Symfony */
    [15] = {{ALL, FIELD, "accept-encoding"},           /* answers are read on their way */
            {GEMINI, FIELD, "x-goog-authuser"},        /* Google's front end */
            {ALL, ARGUMENT, "x-amz-signature"}},       /* Amazon's guide to signed requests */
    [16] = {{ALL, EITHER, "subscription-key"},         /* Azure's guide to API Management */
            {ALL, ARGUMENT, "x-amz-credential"}},      /* as x-amz-signature */
    [17] = {{ALL, FIELD, "x-method-override"},         /* Express */
            {GEMINI, FIELD, "x-goog-quota-user"}},     /* Google's guide to system parameters */
    [18] = {{OPENAI, FIELD, "chatgpt-account-id"}},    /* Codex */
    [19] = {{ALL, FIELD, "proxy-authorization"},       /* RFC 9110 */
            {ALL, FIELD, "openai-organization"},       /* OpenAI's guide */
            {ALL, FIELD, "x-goog-user-project"},       /* Google's guide to system parameters */
            {GEMINI, FIELD, "x-firebase-appcheck"}},   /* Firebase's guide */
    [20] = {{ALL, EITHER, "x-amz-security-token"}},    /* as x-amz-signature */
    [22] = {{ALL, EITHER, "x-http-method-override"}},  /* Google's front end, Rack */
    [24] = {{ALL, FIELD, "sec-websocket-extensions"}}, /* compressed frames could not be read */
    [25] = {{ANTHROPIC, FIELD, "anthropic-organization-id"}}, /* Anthropic's, of its answers */
    [26] = {{ALL, FIELD, "x-serverless-authorization"}},      /* Google's guide to Cloud Run */
};
#define LENGTHS (sizeof(names) / sizeof(*names))

/* Fields by the beginning of their names, grouped by first letter. Some of them make a gateway send
 * the request, with the pool's key, wherever the client wants. */
static const char *const prefixes[][8] = {
    ['c' - 'a'] = {"cf-access-",   /* Cloudflare's guide to Access */
                   "cf-aig-"},     /* Cloudflare's guide to AI Gateway */
    ['h' - 'a'] = {"helicone-"},   /* Helicone's guide to its gateway */
    ['o' - 'a'] = {"ocp-apim-"},   /* Azure's guide to API Management */
    ['s' - 'a'] = {"sec-fetch-"},  /* browsers */
    ['x' - 'a'] = {"x-forwarded-", /* proxies, of the client's address, host and user */
                   "x-goog-iam-",  /* Google's guide to system parameters */
                   "x-goog-authenticated-user", /* Google's guide to Identity-Aware Proxy */
                   "x-ms-token-",               /* Azure's guide to App Service authentication */
                   "x-ms-client-principal",     /* the same */
                   "x-litellm-",                /* LiteLLM's guide to request headers */
                   "x-portkey-"},               /* Portkey's guide to headers */
};

/* Ignores case and, as in variable names, the difference between '-' and '_'. */
static inline char fold(char c)
{
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'z' ? lower : (c >= '0' && c <= '9') || !c ? c : '-';
}

/* Tests whether a text, once folded, begins with a folded text. */
static int begins(const char *text, const char *folded)
{
    while (*folded && fold(*text) == *folded) {
        text++;
        folded++;
    }
    return !*folded;
}

static int is_listed(apipool_provider_e provider, unsigned where, const char *name, apr_size_t len)
{
    if (len >= LENGTHS) {
        return 0;
    }
    char last = len ? fold(name[len - 1]) : '\0';
    for (const private_t *row = names[len]; row < names[len] + SAME_LENGTH_MAX && row->vendors;
         row++) {
        if (last == row->name[len - 1] && (row->where & where) &&
            apipool_provider_holds(row->vendors, provider) && begins(name, row->name)) {
            return 1;
        }
    }
    return 0;
}

static int begins_listed(const char *name)
{
    unsigned letter = (unsigned)(fold(name[0]) - 'a');
    if (letter >= sizeof(prefixes) / sizeof(*prefixes) || !name[1]) {
        return 0;
    }
    char third = fold(name[2]); /* rules out most names */
    for (const char *const *row = prefixes[letter]; *row; row++) {
        if (third == (*row)[2] && begins(name, *row)) {
            return 1;
        }
    }
    return 0;
}

int apipool_provider_is_private_field(apipool_provider_e provider, const char *name)
{
    return is_listed(provider, FIELD, name, strlen(name)) || begins_listed(name);
}

/* Tests a name that may be encoded, surrounded by blanks, or followed by an index, as PHP and
 * others read it: "k%65y", "+key", "key[]". */
static int is_private_argument(apipool_provider_e provider, const char *text, apr_size_t len)
{
    char name[LENGTHS] = "";
    apr_size_t used = 0, trimmed = 0;
    const char *end = memchr(text, '=', len);
    end = end ? end : text + len;
    while (text < end && used < sizeof(name)) {
        int ends = !strncmp(text, "%00", 3);
        char c = apipool_percent_next(&text);
        c = c == '+' && text[-1] == '+' ? ' ' : c;
        if (ends || c == '[') {
            break;
        }
        if (c == ' ' && !used) {
            continue;
        }
        name[used++] = c;
        trimmed = c == ' ' ? trimmed : used;
    }
    return is_listed(provider, ARGUMENT, name, trimmed);
}

const char *apipool_provider_public_query(apr_pool_t *p, apipool_provider_e provider,
                                          const char *args)
{
    if (!args) {
        return NULL;
    }
    char *kept = apr_palloc(p, strlen(args) + 1), *to = kept;
    int dropped = 0;
    for (const char *at = args;; at++) {
        apr_size_t len = strcspn(at, "&;"); /* some readers also split at ';' */
        if (is_private_argument(provider, at, len)) {
            dropped = 1;
        }
        else {
            if (to > kept) {
                *to++ = at[-1]; /* the separator before it */
            }
            memcpy(to, at, len);
            to += len;
        }
        at += len;
        if (!*at) {
            break;
        }
    }
    *to = '\0';
    return !dropped ? args : *kept ? kept : NULL;
}
