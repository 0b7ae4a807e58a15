/* SPDX-License-Identifier: Apache-2.0
 * Free request that checks a key, and the meaning of its answer. */
#include "probe_request.h"

#include <apr_strings.h>

#include "ascii.h"

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
    question.pointer = known ? known->amount : pool->balance.pointer;
    question.currency = known ? known->currency : pool->balance.currency;
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

/* Without a configured minimum, any positive balance is sufficient. */
static apipool_probed_e read_balance(const apipool_question_t *question,
                                     const apipool_balance_check_t *check,
                                     const apipool_probe_answer_t *answer,
                                     apipool_probe_report_t *report)
{
    apipool_balance_e result =
        answer->whole ? apipool_balance_read(answer->body, answer->len, question->pointer,
                                             question->currency, &report->balance)
                      : APIPOOL_BALANCE_UNREADABLE;
    if (result == APIPOOL_BALANCE_NONE || result == APIPOOL_BALANCE_UNREADABLE) {
        return result == APIPOOL_BALANCE_NONE ? APIPOOL_PROBED_ACCEPTED : APIPOOL_PROBED_UNKNOWN;
    }
    report->has_balance = 1;
    double amount = report->balance.amount;
    int is_enough = check->has_minimum ? amount >= check->minimum : amount > 0;
    return is_enough ? APIPOOL_PROBED_ACCEPTED : APIPOOL_PROBED_SPENT;
}

static apipool_probed_e read_error(const apipool_probe_answer_t *answer)
{
    int is_unknown = answer->status == HTTP_NOT_FOUND || answer->status == HTTP_METHOD_NOT_ALLOWED;
    return answer->verdict.event == APIPOOL_EVENT_QUOTA_SPENT ? APIPOOL_PROBED_SPENT
           : answer->verdict.event == APIPOOL_EVENT_REJECTED  ? APIPOOL_PROBED_REJECTED
           : is_unknown                                       ? APIPOOL_PROBED_NOT_FOUND
                                                              : APIPOOL_PROBED_UNKNOWN;
}

apipool_probe_report_t apipool_probe_request_judge(const apipool_question_t *question,
                                                   const apipool_pool_conf_t *pool,
                                                   const apipool_probe_answer_t *answer,
                                                   int for_balance)
{
    apipool_probe_report_t report = {.upstream_failed = answer->verdict.upstream_fault,
                                     .is_check = for_balance,
                                     .status = answer->status,
                                     .rule = answer->verdict.rule,
                                     .words = answer->verdict.words,
                                     .policy = &pool->policy};
    report.result = answer->verdict.event != APIPOOL_EVENT_SUCCESS ? read_error(answer)
                    : !ap_is_HTTP_SUCCESS(answer->status)          ? APIPOOL_PROBED_UNKNOWN
                    : question->pointer ? read_balance(question, &pool->balance, answer, &report)
                    : looks_like_json(answer) ? APIPOOL_PROBED_ACCEPTED
                                              : APIPOOL_PROBED_UNKNOWN;
    if (for_balance && !report.has_balance) {
        report.result = APIPOOL_PROBED_UNKNOWN;
    }
    return report;
}
