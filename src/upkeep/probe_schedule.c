/* SPDX-License-Identifier: Apache-2.0
 * Schedule of probes: which keys are due, with limits for threads and for probes per host. */
#include "probe_schedule.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <apr_thread_pool.h>

#include "probe_request.h"
#include "exchange.h"
#include "workers.h"

#define PROBES_MAX 8

/* Upstream of a pool. */
typedef struct source_t {
    apipool_pool_conf_t *pool;
    const apipool_upstream_conf_t *upstream;
    const char *origin;    /* scheme, host and port */
    struct source_t *host; /* first source with that origin; it counts for all of them: */
    int probes;            /* probes in progress */
    int failing;           /* one of its upstreams fails */
} source_t;

/* Probe, used by one thread at a time. */
typedef struct {
    struct apipool_probe_schedule_t *due;
    source_t *source;
    apipool_lease_t lease;
    apipool_state_e state;
    int for_balance, for_check;
    apipool_plug_t plug;
    int taken;
} job_t;

/* Lives as long as this process is the singleton. */
struct apipool_probe_schedule_t {
    apipool_segment_t *segment;
    apr_pool_t *pool; /* with a mutex in its allocator */
    apr_thread_pool_t *threads;
    apr_thread_mutex_t *mutex; /* guards everything below */
    source_t *sources;
    int source_count;
    int next_source; /* where the next search begins */
    int per_host;    /* probes at once to a host that does not fail */
    job_t jobs[PROBES_MAX];
    int stopping;
};

static source_t *host_of(const struct apipool_probe_schedule_t *due, const char *origin)
{
    source_t *host = due->sources;
    while (ap_cstr_casecmp(host->origin, origin)) {
        host++;
    }
    return host;
}

/* Virtual hosts of one ServerName may have the same pool. */
static int has_source(const struct apipool_probe_schedule_t *due, apr_uint32_t upstream)
{
    int i = 0;
    while (i < due->source_count && due->sources[i].upstream->index != upstream) {
        i++;
    }
    return i < due->source_count;
}

static void add_sources(struct apipool_probe_schedule_t *due, const apr_array_header_t *pools)
{
    int count = 0;
    for (int i = 0; i < pools->nelts; i++) {
        count += APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *)->upstreams->nelts;
    }
    due->sources = apr_pcalloc(due->pool, sizeof(source_t) * (apr_size_t)(count + 1));
    for (int i = 0; i < pools->nelts; i++) {
        apipool_pool_conf_t *pool = APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *);
        for (int k = 0; k < pool->upstreams->nelts; k++) {
            const apipool_upstream_conf_t *upstream =
                &APR_ARRAY_IDX(pool->upstreams, k, apipool_upstream_conf_t);
            if (has_source(due, upstream->index)) {
                continue;
            }
            source_t *source = &due->sources[due->source_count++];
            source->pool = pool;
            source->upstream = upstream;
            source->origin = apipool_probe_request_origin(due->pool, source->upstream);
            source->host = host_of(due, source->origin);
        }
    }
}

/* In prefork's children, threads share a pool without a lock, and with it a worker's single
 * connection. */
static apr_status_t make_pool(apr_abortfunc_t abort_fn, apr_pool_t **pool)
{
    apr_thread_mutex_t *mutex;
    apr_status_t rv = apr_pool_create_unmanaged_ex(pool, abort_fn, NULL);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_tag(*pool, "apipool_upkeep");
    rv = apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, *pool);
    if (rv == APR_SUCCESS) {
        apr_allocator_mutex_set(apr_pool_allocator_get(*pool), mutex);
    }
    else {
        apr_pool_destroy(*pool);
    }
    return rv;
}

static apr_status_t make_threads(struct apipool_probe_schedule_t *due)
{
    apr_status_t rv = apr_thread_mutex_create(&due->mutex, APR_THREAD_MUTEX_DEFAULT, due->pool);
    for (int i = 0; i < PROBES_MAX && rv == APR_SUCCESS; i++) {
        due->jobs[i].due = due;
        due->jobs[i].plug.socket = -1;
        rv = apr_thread_mutex_create(&due->jobs[i].plug.mutex, APR_THREAD_MUTEX_DEFAULT, due->pool);
    }
    return rv == APR_SUCCESS ? apr_thread_pool_create(&due->threads, 0, PROBES_MAX, due->pool) : rv;
}

apr_status_t apipool_probe_schedule_start(apipool_upkeep_t *upkeep)
{
    apr_pool_t *pool;
    int is_threaded = 0;
    apr_status_t rv = make_pool(apr_pool_abort_get(upkeep->server->process->pool), &pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    struct apipool_probe_schedule_t *due = upkeep->due = apr_pcalloc(pool, sizeof(*due));
    due->segment = upkeep->segment;
    due->pool = pool;
    ap_mpm_query(AP_MPMQ_IS_THREADED, &is_threaded);
    due->per_host = is_threaded ? PROBES_MAX : 1;
    add_sources(due, upkeep->pools);
    for (int i = 0; i < upkeep->pools->nelts && rv == APR_SUCCESS; i++) {
        rv = apipool_workers_init(APR_ARRAY_IDX(upkeep->pools, i, apipool_pool_conf_t *), 1, pool);
    }
    rv = rv == APR_SUCCESS ? make_threads(due) : rv;
    if (rv != APR_SUCCESS) {
        apipool_probe_schedule_stop(upkeep);
    }
    return rv;
}

/* Lends a key of the upstream that is due. Returns 0 if there is none or the lock failed. */
static int lend(struct apipool_probe_schedule_t *due, source_t *source, apr_time_t now, job_t *job)
{
    int has_balance = apipool_probe_request_has_balance(source->pool, source->upstream);
    apipool_recovery_search_t search = {.upstream = source->upstream->index,
                                        .reasons = APIPOOL_PROBE_DUE | APIPOOL_PROBE_CHECK |
                                                   (has_balance ? APIPOOL_PROBE_BALANCE : 0),
                                        .policy = &source->pool->policy,
                                        .interval = source->pool->balance.interval};
    unsigned reason = 0;
    apipool_recovery_next(due->segment, &search, now, &job->lease, &job->state, &reason);
    job->for_check = reason == APIPOOL_PROBE_CHECK;
    job->for_balance = reason == APIPOOL_PROBE_BALANCE;
    return reason != 0;
}

static void find_failing(struct apipool_probe_schedule_t *due)
{
    for (source_t *source = due->sources; source < due->sources + due->source_count; source++) {
        source->failing = 0; /* a host precedes the other sources that it counts for */
        source->host->failing |= apipool_recovery_is_failing(due->segment, source->upstream->index);
    }
}

/* Searches all upstreams in turn. Returns 0 if nothing that is due may be probed now. */
static int take_locked(struct apipool_probe_schedule_t *due, apr_time_t now, job_t *job)
{
    find_failing(due);
    for (int i = 0; i < due->source_count && !due->stopping; i++) {
        source_t *source = &due->sources[(due->next_source + i) % due->source_count];
        int at_once = source->host->failing ? 1 : due->per_host;
        if (source->host->probes < at_once && lend(due, source, now, job)) {
            due->next_source = (due->next_source + i + 1) % due->source_count;
            source->host->probes++;
            job->source = source;
            job->taken = 1;
            return 1;
        }
    }
    return 0;
}

/* Ends a thread's last probe and finds the next one. */
static int take_next(job_t *job)
{
    struct apipool_probe_schedule_t *due = job->due;
    apr_thread_mutex_lock(due->mutex);
    job->source->host->probes--;
    int found = job->taken = take_locked(due, apipool_lifecycle_now(), job);
    apr_thread_mutex_unlock(due->mutex);
    return found;
}

static void tell(job_t *job, const apipool_probe_report_t *report)
{
    const source_t *source = job->source;
    char id[APIPOOL_ID_SIZE], status[16] = "no answer";
    apipool_outcome_t outcome;
    apr_status_t rv = apipool_recovery_probed(job->due->segment, &job->lease, report,
                                              apipool_lifecycle_now(), &outcome);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, source->pool->server,
                     APIPOOL_LOG(0061) "could not acquire the shared-memory lock; the result of "
                                       "a probe was not recorded");
        return;
    }
    apipool_key_id_hex(job->lease.id, id);
    if (report->status) {
        apr_snprintf(status, sizeof(status), "%d", report->status);
    }
    ap_log_error(APLOG_MARK,
                 outcome.lost                  ? APLOG_WARNING
                 : outcome.state == job->state ? APLOG_DEBUG
                                               : APLOG_INFO,
                 0, source->pool->server,
                 APIPOOL_LOG(0060) "pool %s, upstream %s, key %s: asked about its %s, %s (%s), "
                                   "%s",
                 source->pool->name, source->upstream->name, id,
                 job->for_balance ? "balance"
                 : job->for_check ? "health"
                                  : "recovery",
                 apipool_rule_name(report->rule), status, apipool_state_name(outcome.state));
}

/* If there is no request to send, the clock alone brings keys back, and a real request tries
 * them. */
static void ask(job_t *job, apr_pool_t *p, apr_thread_t *thread)
{
    apipool_pool_conf_t *pool = job->source->pool;
    apipool_question_t question =
        apipool_probe_request(p, pool, job->source->upstream,
                              job->for_check ? APIPOOL_STATE_QUOTA : job->state, job->for_balance);
    apipool_probe_report_t report = {.result = APIPOOL_PROBED_ACCEPTED, .policy = &pool->policy};
    if (question.url) {
        apipool_probing_t probing = {
            .upstream = job->source->upstream, .url = question.url, .plug = &job->plug};
        apipool_probe_answer_t answer = apipool_probe_send(p, pool, &probing, &job->lease, thread);
        report = apipool_probe_request_judge(&question, pool, &answer, job->for_balance);
    }
    report.is_check |= job->for_check;
    tell(job, &report);
    apipool_lease_wipe(&job->lease);
}

static void *APR_THREAD_FUNC work(apr_thread_t *thread, void *data)
{
    job_t *job = data;
    do {
        apr_pool_t *p;
        apr_pool_create(&p, job->due->pool);
        apr_pool_tag(p, "apipool_probe");
        ask(job, p, thread);
        apr_pool_destroy(p);
    } while (take_next(job));
    return NULL;
}

/* No thread is available: the key waits for the next interval. */
static void put_back_locked(job_t *job)
{
    apipool_probe_report_t report = {.result = APIPOOL_PROBED_UNKNOWN,
                                     .policy = &job->source->pool->policy};
    tell(job, &report);
    apipool_lease_wipe(&job->lease);
    job->source->host->probes--;
    job->taken = 0;
}

void apipool_probe_schedule_run(apipool_upkeep_t *upkeep, apr_time_t now)
{
    struct apipool_probe_schedule_t *due = upkeep->due;
    if (!due) {
        return;
    }
    apr_thread_mutex_lock(due->mutex);
    for (int i = 0; i < PROBES_MAX; i++) {
        job_t *job = &due->jobs[i];
        if (job->taken) {
            continue;
        }
        if (!take_locked(due, now, job)) {
            break;
        }
        if (apr_thread_pool_push(due->threads, work, job, APR_THREAD_TASK_PRIORITY_NORMAL, due) !=
            APR_SUCCESS) {
            put_back_locked(job);
            break;
        }
    }
    apr_thread_mutex_unlock(due->mutex);
}

void apipool_probe_schedule_stop(apipool_upkeep_t *upkeep)
{
    struct apipool_probe_schedule_t *due = upkeep->due;
    if (!due) {
        return;
    }
    if (due->threads) {
        apr_thread_mutex_lock(due->mutex);
        due->stopping = 1;
        apr_thread_mutex_unlock(due->mutex);
        for (int i = 0; i < PROBES_MAX; i++) {
            apipool_exchange_pull(&due->jobs[i].plug);
        }
        apr_thread_pool_destroy(due->threads);
    }
    upkeep->due = NULL;
    apr_pool_destroy(due->pool);
}
