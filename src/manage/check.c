/* SPDX-License-Identifier: Apache-2.0
 * Check of one key while an operator waits. */
#include "manage.h"

#include <apr_strings.h>

#include "configured.h"
#include "health.h"
#include "lifecycle.h"
#include "probe_request.h"
#include "render.h"
#include "view.h"

static const apipool_upstream_conf_t *upstream_of(const apipool_pool_conf_t *pool,
                                                  apr_uint32_t index)
{
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        const apipool_upstream_conf_t *upstream =
            &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t);
        if (upstream->index == index) {
            return upstream;
        }
    }
    return NULL;
}

/* If the vendor reports balances, one request answers both questions. */
static apipool_probe_report_t send_probe(apipool_pool_conf_t *pool,
                                         const apipool_upstream_conf_t *upstream,
                                         apipool_lease_t *lease, apr_pool_t *p, int *asked)
{
    apipool_question_t question = apipool_probe_request(p, pool, upstream, APIPOOL_STATE_QUOTA, 0);
    apipool_probe_report_t report = {.result = APIPOOL_PROBED_UNKNOWN, .policy = &pool->policy};
    *asked = question.url != NULL;
    if (question.url) {
        apipool_probing_t probing = {.upstream = upstream, .url = question.url, .with_request = 1};
        apipool_probe_answer_t answer = apipool_probe_send(p, pool, &probing, lease, NULL);
        report = apipool_probe_request_judge(&question, pool, &answer, 0);
    }
    report.is_check = 1;
    return report;
}

static const char *describe(const apipool_probe_report_t *report, int asked, apr_pool_t *p)
{
    const char *rule = apipool_rule_name(report->rule);
    if (!asked) {
        return "There is no request that would check a key at this upstream without cost.";
    }
    switch (report->result) {
    case APIPOOL_PROBED_ACCEPTED:
        return "The upstream accepts the key.";
    case APIPOOL_PROBED_REJECTED:
        return apr_psprintf(p, "The upstream rejects the key (%d, %s).", report->status, rule);
    case APIPOOL_PROBED_SPENT:
        return report->has_balance
                   ? "The upstream accepts the key, but its balance is too low."
                   : apr_psprintf(p, "Quota or balance is spent (%d, %s).", report->status, rule);
    case APIPOOL_PROBED_EMPTY:
        return "The upstream accepts the key; its balance is not above zero.";
    case APIPOOL_PROBED_NOT_FOUND:
        return report->asked_balance
                   ? apr_psprintf(p, "The upstream does not tell the balance (%d, %s).",
                                  report->status, rule)
                   : apr_psprintf(p, "The upstream does not answer this question (%d, %s).",
                                  report->status, rule);
    case APIPOOL_PROBED_UNKNOWN:
        break;
    }
    return report->status ? apr_psprintf(p, "The answer says nothing about the key (%d, %s).",
                                         report->status, rule)
                          : apr_psprintf(p, "The upstream did not answer (%s).", rule);
}

/* found sums it up; valid is null if the result is inconclusive. */
static json_t *render(const apipool_probe_report_t *report, const char *detail)
{
    static const char *const words[] = {
        [APIPOOL_PROBED_ACCEPTED] = "usable",    [APIPOOL_PROBED_REJECTED] = "refused",
        [APIPOOL_PROBED_SPENT] = "spent",        [APIPOOL_PROBED_EMPTY] = "spent",
        [APIPOOL_PROBED_NOT_FOUND] = "not_told", [APIPOOL_PROBED_UNKNOWN] = "not_told"};
    int known =
        report->result != APIPOOL_PROBED_UNKNOWN && report->result != APIPOOL_PROBED_NOT_FOUND;
    const apipool_balances_t *balances = &report->balances;
    const apipool_amount_t *largest = balances->count ? balances->of : NULL;
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "found",
                     apipool_render_text(words[report->result]), "valid",
                     known ? json_boolean(report->result != APIPOOL_PROBED_REJECTED) : json_null(),
                     "balance", largest ? json_real(largest->amount) : json_null(), "currency",
                     apipool_render_text(largest ? largest->currency : NULL), "balances",
                     apipool_render_balances(balances), "detail", apipool_render_text(detail),
                     "status", report->status ? json_integer(report->status) : json_null(),
                     "vendor", apipool_render_vendor(report->status, report->words.text));
}

/* Adds the key's state after the check, which need not be what was found: a key in quota whose
 * balance is still too low is accepted, and stays there. */
static apr_status_t add_state(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t id,
                              json_t *result)
{
    apipool_view_key_t key;
    apr_status_t rv = apipool_view_keys(segment, pool, &id, NULL, 1, apr_time_now(), &key);
    if (rv == APR_SUCCESS && !key.found) {
        rv = APR_NOTFOUND;
    }
    if (rv != APR_SUCCESS) {
        json_decref(result);
        return rv;
    }
    apipool_render_add(result,
                       json_pack("{s:s,s:o,s:o}", "state", apipool_state_name(key.info.state),
                                 "cooling_until", apipool_render_time(key.info.cooling_until),
                                 "next_probe_at", apipool_render_time(key.info.next_probe_at)));
    return APR_SUCCESS;
}

apr_status_t apipool_manage_key_check(server_rec *s, apr_uint32_t pool, apr_uint64_t id,
                                      apr_pool_t *p, json_t **result)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apipool_lease_t *lease = apr_pcalloc(p, sizeof(*lease));
    apipool_pool_conf_t *conf = apipool_manage_configured(s, pool, p);
    apipool_outcome_t outcome;
    apipool_probe_report_t report = {.result = APIPOOL_PROBED_UNKNOWN};
    int asked = 0;
    apr_status_t rv = conf
                          ? apipool_recovery_lend(segment, pool, id, apipool_lifecycle_now(), lease)
                          : APR_NOTFOUND;
    if (rv == APR_EBUSY) {
        *result = render(&report, "The key is already being checked.");
        return add_state(segment, pool, id, *result);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    const apipool_upstream_conf_t *upstream = upstream_of(conf, lease->upstream);
    report.policy = &conf->policy;
    if (upstream) {
        report = send_probe(conf, upstream, lease, p, &asked);
    }
    rv = apipool_recovery_probed(segment, lease, &report, apipool_lifecycle_now(), &outcome);
    apipool_lease_wipe(lease);
    if (rv == APR_SUCCESS) {
        *result = render(&report,
                         upstream ? describe(&report, asked, p)
                                  : "The configuration no longer names the upstream of this key.");
        rv = add_state(segment, pool, id, *result);
    }
    return rv;
}
