/* SPDX-License-Identifier: Apache-2.0
 * Free request that checks a key, and the meaning of its answer. */
#include "probe_request.h"

#include <apr_strings.h>

#include "ascii.h"

#define TOO_EARLY 425 /* RFC 8470 */

int apipool_probe_request_has_balance(const apipool_pool_conf_t *pool,
                                      const apipool_upstream_conf_t *upstream)
{
    return pool->balance.interval &&
           (apipool_provider_balance(upstream->provider) || pool->balance.path);
}

const char *apipool_probe_request_origin(apr_pool_t *p, const apipool_upstream_conf_t *upstream)
{
    const char *host = ap_strstr_c(upstream->url, "//") + 2;
    return apr_pstrmemdup(p, upstream->url,
                          (apr_size_t)(host - upstream->url) + strcspn(host, "/"));
}

static const char *url_of(apr_pool_t *p, const apipool_upstream_conf_t *upstream, const char *path,
                          int from_root)
{
    const char *base = from_root ? apipool_probe_request_origin(p, upstream) : upstream->url;
    return apr_pstrcat(p, base, path, NULL);
}

static const char *upstream_currency(apr_pool_t *p, const apipool_upstream_conf_t *upstream)
{
    const char *host = ap_strstr_c(upstream->url, "//") + 2;
    return apipool_provider_currency(apr_pstrmemdup(p, host, strcspn(host, ":/")));
}

/* A known vendor's own balance request takes precedence over the configured one. */
apipool_question_t apipool_probe_request(apr_pool_t *p, const apipool_pool_conf_t *pool,
                                         const apipool_upstream_conf_t *upstream,
                                         apipool_state_e state, int for_balance)
{
    apipool_question_t question = {.url = NULL};
    const apipool_balance_t *known = apipool_provider_balance(upstream->provider);
    const apipool_probe_t *probe = apipool_provider_probe(upstream->provider);
    if (!apipool_probe_request_has_balance(pool, upstream) ||
        (!for_balance && state != APIPOOL_STATE_QUOTA)) {
        question.url = probe ? url_of(p, upstream, probe->path, probe->from_root) : NULL;
        return question;
    }
    question.for_balance = 1;
    question.place = known ? known->place
                           : (apipool_balance_place_t){.amount = pool->balance.pointer,
                                                       .currency = pool->balance.currency};
    if (known && upstream_currency(p, upstream)) {
        question.place.currency = upstream_currency(p, upstream);
    }
    question.url = known ? url_of(p, upstream, known->request.path, known->request.from_root)
                         : url_of(p, upstream, pool->balance.path, 0);
    return question;
}

/* A 200 with a page of some intermediate proxy is inconclusive. */
static int looks_like_json(const apipool_probe_answer_t *answer)
{
    apr_size_t at = 0;
    while (at < answer->len && apipool_ascii_is_space(answer->body[at])) {
        at++;
    }
    return at < answer->len && (answer->body[at] == '{' || answer->body[at] == '[');
}

/* The operator's minimum and the vendor's own word decide. A number alone does not: vouchers,
 * granted credit and later payment let a key work at zero and below. */
static apipool_probed_e judge_balance(const apipool_balance_check_t *check,
                                      const apipool_balances_t *balances)
{
    double most = balances->count ? balances->of[0].amount : 0;
    if (!balances->is_available ||
        (check->has_minimum && balances->count && most < check->minimum)) {
        return APIPOOL_PROBED_SPENT;
    }
    int is_told = balances->is_available > 0 || check->has_minimum || !balances->count;
    return is_told || most > 0 ? APIPOOL_PROBED_ACCEPTED : APIPOOL_PROBED_EMPTY;
}

static apipool_probed_e read_balance(const apipool_question_t *question,
                                     const apipool_balance_check_t *check,
                                     const apipool_probe_answer_t *answer,
                                     apipool_probe_report_t *report)
{
    switch (answer->whole ? apipool_balance_read(answer->body, answer->len, &question->place,
                                                 &report->balances)
                          : APIPOOL_BALANCE_UNREADABLE) {
    case APIPOOL_BALANCE_NONE:
        return APIPOOL_PROBED_ACCEPTED;
    case APIPOOL_BALANCE_READ:
        report->has_balance = 1;
        return judge_balance(check, &report->balances);
    default: /* a page is not the vendor's */
        return looks_like_json(answer) ? APIPOOL_PROBED_NOT_FOUND : APIPOOL_PROBED_UNKNOWN;
    }
}

/* What passes by itself says nothing about the next probe; all else would be said again. */
static int is_temporary(int status)
{
    return !status || status == HTTP_REQUEST_TIME_OUT || status == TOO_EARLY ||
           status == HTTP_TOO_MANY_REQUESTS ||
           (status > HTTP_NOT_IMPLEMENTED && status != HTTP_VERSION_NOT_SUPPORTED);
}

static apipool_probed_e read_error(const apipool_probe_answer_t *answer)
{
    return answer->verdict.event == APIPOOL_EVENT_QUOTA_SPENT ? APIPOOL_PROBED_SPENT
           : answer->verdict.event == APIPOOL_EVENT_REJECTED  ? APIPOOL_PROBED_REJECTED
           : is_temporary(answer->status)                     ? APIPOOL_PROBED_UNKNOWN
                                                              : APIPOOL_PROBED_NOT_FOUND;
}

apipool_probe_report_t apipool_probe_request_judge(const apipool_question_t *question,
                                                   const apipool_pool_conf_t *pool,
                                                   const apipool_probe_answer_t *answer,
                                                   int for_balance)
{
    apipool_probe_report_t report = {.upstream_failed = answer->verdict.upstream_fault,
                                     .is_check = for_balance,
                                     .asked_balance = question->for_balance,
                                     .status = answer->status,
                                     .rule = answer->verdict.rule,
                                     .words = answer->verdict.words,
                                     .policy = &pool->policy};
    report.result = answer->verdict.event != APIPOOL_EVENT_SUCCESS ? read_error(answer)
                    : !ap_is_HTTP_SUCCESS(answer->status)          ? APIPOOL_PROBED_NOT_FOUND
                    : question->for_balance
                        ? read_balance(question, &pool->balance, answer, &report)
                    : looks_like_json(answer) ? APIPOOL_PROBED_ACCEPTED
                                              : APIPOOL_PROBED_UNKNOWN;
    if (for_balance && !report.has_balance) {
        report.result = APIPOOL_PROBED_UNKNOWN;
    }
    return report;
}
