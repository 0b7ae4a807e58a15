/* SPDX-License-Identifier: Apache-2.0
 * Reads RateLimit and RateLimit-Policy, the header fields of the IETF's draft. */
#include "rate_limit.h"

#include <apr.h>
#include <apr_lib.h>
#include <string.h>

#include "ascii.h"

#define SEPARATORS ",; \t"

/* Length of an item: up to the next comma outside quotation marks. */
static apr_size_t item_len(const char *text)
{
    const char *at = text;
    for (int quoted = 0; *at && (quoted || *at != ','); at++) {
        quoted ^= *at == '"';
    }
    return (apr_size_t)(at - text);
}

/* Reads a whole number of at most nine digits; -1 if it is none. */
static double number(const char *text, const char *end)
{
    double value = 0;
    const char *at = text;
    while (at < end && at - text < 10 && apr_isdigit(*at)) {
        value = value * 10 + (*at++ - '0');
    }
    int ends = at == end || strchr(SEPARATORS, *at);
    return at > text && at - text < 10 && ends ? value : -1;
}

/* Value of a parameter; -1 if there is none. */
static double parameter(const char *text, const char *end, const char *name)
{
    apr_size_t len = strlen(name);
    for (const char *at = text; at < end; at += strcspn(at, SEPARATORS)) {
        at += strspn(at, SEPARATORS);
        if (at < end && apipool_ascii_begins(at, name) && at[len] == '=') {
            return number(at + len + 1, end);
        }
    }
    return -1;
}

/* Finds the policy with the name of a limit: what stands before the parameters of both. */
static const char *find_policy(const char *policy, const char *item, apr_size_t len)
{
    const char *end = memchr(item, ';', len);
    apr_size_t name = end ? (apr_size_t)(end - item) : len;
    while (*policy) {
        policy += strspn(policy, ", \t");
        if (!strncmp(policy, item, name) && policy[name] == ';') {
            return policy;
        }
        policy += item_len(policy);
    }
    return NULL;
}

/* The older form is one limit, with commas. */
static int read_old(const char **at, apipool_rate_limit_t *limit)
{
    const char *end = *at + strlen(*at);
    limit->limit = parameter(*at, end, "limit");
    limit->remaining = parameter(*at, end, "remaining");
    limit->reset = parameter(*at, end, "reset");
    if (limit->limit < 0 && limit->remaining < 0 && limit->reset < 0) {
        return 0;
    }
    *at = end;
    return 1;
}

int apipool_rate_limit_next(const char **at, const char *policy, apipool_rate_limit_t *limit)
{
    *at += strspn(*at, ", \t");
    if (!**at) {
        return 0;
    }
    if (read_old(at, limit)) {
        return 1;
    }
    apr_size_t len = item_len(*at);
    const char *end = *at + len, *known = policy ? find_policy(policy, *at, len) : NULL;
    const char *known_end = known ? known + item_len(known) : NULL;
    double window = known ? parameter(known, known_end, "w") : -1;
    limit->remaining = parameter(*at, end, "r");
    limit->reset = parameter(*at, end, "t");
    limit->reset = limit->reset < 0 ? window : limit->reset;
    limit->limit = known ? parameter(known, known_end, "q") : -1;
    *at = end;
    return 1;
}
