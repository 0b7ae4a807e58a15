/* SPDX-License-Identifier: Apache-2.0
 * Work that needs no request, done once a second: most in a single process, some in each child. A
 * clock that is set stops none of it. */
#include "clock.h"

#include <mod_watchdog.h>

#include "clock_step.h"
#include "idle_conns.h"
#include "notify.h"
#include "probe_schedule.h"
#include "saver.h"
#include "upkeep.h"

#define NAME "apipool"

/* mod_watchdog looks ten times a second whether an interval is over, by the system's clock; if that
 * is set at the wrong moment, the interval is as much longer. This one is always over. */
#define EACH_SLICE    (-apr_time_from_sec(APR_INT64_C(1) << 40))
#define ONCE_A_SECOND apr_time_from_sec(1)

/* One for each watchdog, whose thread alone uses it. */
static apr_time_t work_due, sweep_due;

static int is_due(apr_time_t *due)
{
    apr_time_t now = apipool_clock_steady();
    if (now < *due) {
        return 0;
    }
    *due = now + ONCE_A_SECOND;
    return 1;
}

static void follow_clock(const apipool_upkeep_t *upkeep)
{
    apr_interval_time_t step;
    apr_status_t rv =
        apipool_clock_step(upkeep->segment, apr_time_now() - apipool_clock_steady(), &step);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, upkeep->server,
                     APIPOOL_LOG(0166) "could not acquire the shared-memory lock; cooldowns may "
                                       "end early or late because the system's clock was set");
    }
    else if (step) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, upkeep->server,
                     APIPOOL_LOG(0167) "the system's clock was set by %" APR_TIME_T_FMT
                                       " seconds; cooldowns, probes and limits go on as before",
                     apr_time_sec(step + (step > 0 ? 1 : -1) * APR_USEC_PER_SEC / 2));
    }
}

/* Must not block: all modules share the watchdog's thread, and httpd waits for it when the
 * process ends. A result other than APR_SUCCESS would end the calls in this process. */
static apr_status_t on_watchdog(int state, void *data, apr_pool_t *scratch)
{
    apipool_upkeep_t *upkeep = data;
    apr_status_t rv;
    switch (state) {
    case AP_WATCHDOG_STATE_STARTING:
        rv = apipool_probe_schedule_start(upkeep);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, upkeep->server,
                         APIPOOL_LOG(0062) "could not start probes; continuing without them");
        }
        break;
    case AP_WATCHDOG_STATE_RUNNING:
        follow_clock(upkeep);
        if (is_due(&work_due)) {
            apipool_saver_run(upkeep, apr_time_now());
            apipool_probe_schedule_run(upkeep, apipool_clock_now(upkeep->segment));
            apipool_notify_run(upkeep, apr_time_now(), scratch);
        }
        break;
    case AP_WATCHDOG_STATE_STOPPING:
        apipool_probe_schedule_stop(upkeep);
        apipool_saver_stop(upkeep);
        apipool_notify_stop(upkeep);
        break;
    default:
        break;
    }
    return APR_SUCCESS;
}

/* In every child: connections are each child's own. */
static apr_status_t on_child_watchdog(int state, void *data, apr_pool_t *scratch)
{
    if (state == AP_WATCHDOG_STATE_RUNNING && is_due(&sweep_due)) {
        apipool_idle_conns_sweep();
    }
    return APR_SUCCESS;
}

int apipool_clock_register(apr_pool_t *pconf, server_rec *main_server, apipool_segment_t *segment,
                           const apr_array_header_t *pools)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get_instance =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *register_callback =
        APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;

    if (!get_instance || !register_callback) {
        ap_log_error(
            APLOG_MARK, APLOG_EMERG, 0, main_server,
            APIPOOL_LOG(0063) "mod_apipool needs mod_watchdog, which is not loaded: without it, "
                              "keys that were taken out of use would never be tried again; add "
                              "LoadModule watchdog_module modules/mod_watchdog.so");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apipool_upkeep_t *upkeep = apr_pcalloc(pconf, sizeof(*upkeep));
    upkeep->server = main_server;
    upkeep->segment = segment;
    upkeep->pools = pools;
    apr_status_t rv = get_instance(&watchdog, NAME, 0, 1, pconf);
    if (rv == APR_SUCCESS) {
        rv = register_callback(watchdog, EACH_SLICE, upkeep, on_watchdog);
    }
    if (rv == APR_SUCCESS) {
        rv = get_instance(&watchdog, NAME "-connections", 0, 0, pconf);
    }
    if (rv == APR_SUCCESS) {
        rv = register_callback(watchdog, EACH_SLICE, upkeep, on_child_watchdog);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, main_server,
                     APIPOOL_LOG(0064) "could not register with mod_watchdog");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}
