/* SPDX-License-Identifier: Apache-2.0
 * Parser of APIPoolRule. */
#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "verdict.h"

typedef struct {
    const char *word;
    int value;
} word_t;

static const word_t actions[] = {{"pass", APIPOOL_PASS},
                                 {"rotate", APIPOOL_ROTATE},
                                 {"retry", APIPOOL_RETRY},
                                 {"stop", APIPOOL_STOP}};

static const word_t scopes[] = {{"none", APIPOOL_SCOPE_NONE},
                                {"key", APIPOOL_SCOPE_KEY},
                                {"model", APIPOOL_SCOPE_MODEL},
                                {"account", APIPOOL_SCOPE_ACCOUNT},
                                {"upstream", APIPOOL_SCOPE_UPSTREAM}};

static int find_word(const word_t *words, apr_size_t count, const char *word)
{
    for (apr_size_t i = 0; i < count; i++) {
        if (!apr_cstr_casecmp(words[i].word, word)) {
            return words[i].value;
        }
    }
    return -1;
}

/* Reads three digits; returns 0 if there is something else. */
static int read_status(const char **text)
{
    const char *at = *text;
    for (int i = 0; i < 3; i++) {
        if (!apr_isdigit(at[i])) {
            return 0;
        }
    }
    *text += 3;
    return (at[0] - '0') * 100 + (at[1] - '0') * 10 + at[2] - '0';
}

static int is_error(int status)
{
    return status >= 400 && status <= 599;
}

/* Reads a status or a range A-B. Returns its end, or NULL. */
static const char *read_range(const char *text, int *from, int *to)
{
    *from = *to = read_status(&text);
    if (*text == '-') {
        text++;
        *to = read_status(&text);
        return is_error(*from) && is_error(*to) && *from <= *to ? text : NULL;
    }
    return is_error(*from) || *from == 200 ? text : NULL;
}

static const char *parse_statuses(apr_pool_t *pool, const char *word, apipool_custom_rule_t *rule)
{
    const char *at = word;
    do {
        int from, to;
        at += at > word;
        const char *end = read_range(at, &from, &to);
        if (!end || (*end && *end != ',')) {
            return apr_psprintf(pool,
                                "'%s' is not a list of statuses; allowed are 200 (an error inside "
                                "a 200), 400 to 599 and ranges of these as in 401,500-504",
                                word);
        }
        if (rule->status_count == APIPOOL_CUSTOM_RANGES) {
            return apr_psprintf(pool, "'%s' has more than %d statuses and ranges", word,
                                APIPOOL_CUSTOM_RANGES);
        }
        rule->statuses[rule->status_count].from = from;
        rule->statuses[rule->status_count++].to = to;
        at = end;
    } while (*at);
    return NULL;
}

const char *apipool_custom_rule_parse(apr_pool_t *pool, const char *const *words, int count,
                                      apipool_custom_rule_t *rule)
{
    memset(rule, 0, sizeof(*rule));
    if (count != 3 && count != 4) {
        return apr_psprintf(pool,
                            "%d words where 3 or 4 are needed: "
                            "STATUS[,STATUS|A-B] [\"marker\"] ACTION SCOPE",
                            count);
    }
    const char *fault = parse_statuses(pool, words[0], rule);
    if (fault) {
        return fault;
    }
    if (count == 4) {
        rule->marker = words[1];
        if (!*rule->marker) {
            return "the marker is empty; leave it out to match whatever the answer says";
        }
    }
    int action = find_word(actions, sizeof(actions) / sizeof(*actions), words[count - 2]);
    if (action < 0) {
        return apr_psprintf(pool, "'%s' is not an action; allowed are pass, rotate, retry, stop",
                            words[count - 2]);
    }
    int scope = find_word(scopes, sizeof(scopes) / sizeof(*scopes), words[count - 1]);
    if (scope < 0) {
        return apr_psprintf(pool,
                            "'%s' is not a scope; allowed are none, key, model, account, upstream",
                            words[count - 1]);
    }
    rule->action = (apipool_action_e)action;
    rule->scope = (apipool_scope_e)scope;
    return NULL;
}
