/* SPDX-License-Identifier: Apache-2.0
 * Tells a program of the operator's what has happened. */
#include "notify.h"

#include <apr_network_io.h>
#include <apr_strings.h>
#include <math.h>

#include "alarm.h"
#include "health.h"
#include "notify_program.h"
#include "render.h"
#include "view.h"
#include "watch.h"
#include "words.h"

/* For the singleton process; only the watchdog's thread uses them. */
static const apipool_upkeep_t *of; /* whose pools these are */
static apipool_watch_pool_t watched[APIPOOL_POOLS_MAX];
static apr_time_t quiet_until[APIPOOL_POOLS_MAX + 1][APIPOOL_ALARM_COUNT];
static apr_uint32_t next_key, next_client;
static apipool_alarm_e event; /* that the running program was started for */

#define NO_POOL APIPOOL_POOLS_MAX

static const apipool_notify_conf_t *conf_of(const apipool_upkeep_t *upkeep)
{
    return &apipool_config_server(upkeep->server)->notify;
}

static const apipool_pool_conf_t *pool_of(const apipool_upkeep_t *upkeep, apr_uint32_t index)
{
    const apipool_pool_conf_t *pool = NULL;
    for (int i = 0; i < upkeep->pools->nelts && (!pool || pool->index != index); i++) {
        pool = APR_ARRAY_IDX(upkeep->pools, i, apipool_pool_conf_t *);
    }
    return pool;
}

/* A time that is too far off was noted before the clock was set back. */
static unsigned muted(const apipool_upkeep_t *upkeep, apr_uint32_t pool, apr_time_t now)
{
    unsigned bits = 0;
    for (int i = 0; i < APIPOOL_ALARM_COUNT; i++) {
        apr_interval_time_t left = quiet_until[pool][i] - now;
        bits |= left > 0 && left <= conf_of(upkeep)->every ? 1u << i : 0;
    }
    return bits;
}

/* A pool's own marks, else the server's; for a balance then the minimum below which a key is out
 * of quota. */
static void watch(const apipool_upkeep_t *upkeep, apr_time_t now)
{
    const apipool_notify_marks_t *marks = &conf_of(upkeep)->marks;
    if (of != upkeep) {
        memset(watched, 0, sizeof(watched));
        of = upkeep;
    }
    for (int i = 0; i < upkeep->pools->nelts; i++) {
        const apipool_pool_conf_t *pool = APR_ARRAY_IDX(upkeep->pools, i, apipool_pool_conf_t *);
        double minimum = pool->balance.has_minimum ? pool->balance.minimum : NAN;
        double balance = isnan(marks->balance) ? minimum : marks->balance;
        apr_int64_t low = pool->notify.low < 0 ? marks->low : pool->notify.low;
        watched[pool->index] = (apipool_watch_pool_t){
            .is_watched = 1,
            .low = (apr_uint32_t)low,
            .balance = isnan(pool->notify.balance) ? balance : pool->notify.balance,
            .muted = muted(upkeep, pool->index, now)};
    }
}

/* --- Messages --------------------------------------------------------------------------------- */

static apipool_alarm_t make(apipool_alarm_e what, apr_time_t now, apr_pool_t *p)
{
    char *host = apr_palloc(p, APRMAXHOSTLEN + 1);
    apr_status_t rv = apr_gethostname(host, APRMAXHOSTLEN + 1, p);
    return (apipool_alarm_t){.event = what,
                             .at = now,
                             .host = rv == APR_SUCCESS ? host : "localhost",
                             .count = 1,
                             .rows = json_object(),
                             .lines = apr_array_make(p, 4, sizeof(const char *))};
}

static void set_pool(apipool_alarm_t *alarm, const apipool_upkeep_t *upkeep, apr_uint32_t index,
                     apr_pool_t *p)
{
    const apipool_pool_conf_t *pool = pool_of(upkeep, index);
    alarm->pool = pool->name;
    alarm->server = apipool_config_scope(pool->server);
}

static void set_rows(apipool_alarm_t *alarm, const char *members, apr_uint32_t count)
{
    json_decref(alarm->rows);
    alarm->rows = json_array();
    alarm->members = members;
    alarm->count = count;
}

static void say(apipool_alarm_t *alarm, const char *line)
{
    APR_ARRAY_PUSH(alarm->lines, const char *) = line;
}

static const char *balance_of(const apipool_key_info_t *key, apr_pool_t *p)
{
    const apipool_amount_t *most = &key->balances.of[0];
    return apr_psprintf(p, "%.2f %s", most->amount, most->currency);
}

static void add_key(apipool_alarm_t *alarm, const apipool_view_key_t *view, const char *upstream,
                    apr_pool_t *p)
{
    const apipool_key_info_t *key = &view->info;
    int is_lost = alarm->event == APIPOOL_ALARM_KEY_LOST;
    apipool_words_parts_t words;
    json_t *row = json_pack("{s:o,s:s,s:o,s:o,s:s,s:s}", "id", apipool_render_id(key->id), "key",
                            key->masked, "label", apipool_render_text(view->label), "account",
                            apipool_render_text(view->account), "upstream", upstream, "state",
                            apipool_state_name(key->state));
    if (is_lost) {
        json_object_set_new(row, "reason_code", apipool_render_text(key->reason_code));
        json_object_set_new(row, "reason", apipool_render_text(key->reason));
        json_object_set_new(row, "vendor",
                            apipool_render_vendor(key->last_status, key->last_words));
    }
    json_object_set_new(row, "balances", apipool_render_balances(&key->balances));
    json_array_append_new(alarm->rows, row);
    apipool_words_read(is_lost ? key->last_words : "", &words);
    const char *what = is_lost                                     ? key->reason
                       : alarm->event == APIPOOL_ALARM_BALANCE_LOW ? balance_of(key, p)
                                                                   : "";
    say(alarm,
        apr_pstrcat(p, key->masked, *view->label ? " (" : "", view->label, *view->label ? ")" : "",
                    " at ", upstream, ": ", apipool_state_name(key->state), *what ? "; " : "", what,
                    *words.message ? "; it said: " : "", words.message, NULL));
}

static apr_status_t tell_of_keys(apipool_alarm_t *alarm, const apipool_upkeep_t *upkeep,
                                 const apipool_watched_t *found, apr_pool_t *p)
{
    apipool_view_key_t *keys = apr_pcalloc(p, APIPOOL_ALARM_ROWS * sizeof(*keys));
    set_rows(alarm, "keys", found->count);
    apr_status_t rv = apipool_view_keys(upkeep->segment, found->pool, found->ids, found->slots,
                                        found->rows, alarm->at, keys);
    for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < found->rows; i++) {
        if (keys[i].found) { /* not removed meanwhile */
            add_key(alarm, &keys[i], apipool_view_upstream_name(upkeep->segment, keys[i].upstream),
                    p);
        }
    }
    return rv;
}

static void tell_of_pool(apipool_alarm_t *alarm, const apipool_watched_t *found, apr_pool_t *p)
{
    apr_uint32_t low = watched[found->pool].low;
    json_object_set_new(alarm->rows, "usable", json_integer(found->usable));
    json_object_set_new(alarm->rows, "total", json_integer(found->total));
    json_object_set_new(alarm->rows, "low", apipool_render_limit(low));
    say(alarm, apr_psprintf(p, "%u of %u keys are in rotation", found->usable, found->total));
}

static void tell_of_upstreams(apipool_alarm_t *alarm, const apipool_upkeep_t *upkeep,
                              const apipool_watched_t *found, apr_pool_t *p)
{
    set_rows(alarm, "upstreams", found->count);
    for (apr_uint32_t i = 0; i < found->rows; i++) {
        const char *name = apipool_view_upstream_name(upkeep->segment, found->slots[i]);
        const char *why = found->whys[i];
        json_array_append_new(alarm->rows, json_pack("{s:s,s:s?}", "name", name, "reason", why));
        say(alarm, apr_pstrcat(p, name, why ? ": it " : "", why ? why : "", NULL));
    }
}

static void tell_of_clients(apipool_alarm_t *alarm, const apipool_watched_clients_t *found,
                            apr_pool_t *p)
{
    static const char *const names[] = {APIPOOL_CLIENT_LIMIT_NAMES};
    set_rows(alarm, "clients", found->count);
    for (apr_uint32_t i = 0; i < found->row_count; i++) {
        const apipool_watched_client_t *row = &found->rows[i];
        const char *of_limit = row->of ? apr_psprintf(p, " of %u", row->of) : "";
        json_array_append_new(alarm->rows, json_pack("{s:s,s:s,s:s,s:I,s:o}", "server", row->server,
                                                     "name", row->name, "limit", names[row->limit],
                                                     "used", (json_int_t)row->used, "of",
                                                     apipool_render_limit(row->of)));
        say(alarm, apr_psprintf(p, "%s: %s %" APR_UINT64_T_FMT "%s", row->name, names[row->limit],
                                row->used, of_limit));
    }
}

/* --- Looking ---------------------------------------------------------------------------------- */

static apr_status_t look_at_pools(const apipool_upkeep_t *upkeep, apr_time_t now, apr_pool_t *p,
                                  apipool_alarm_t *alarm, apr_uint32_t *pool)
{
    apipool_watched_t found;
    apr_status_t rv = apipool_watch_pools(upkeep->segment, watched, now, &found);
    int of_pool = found.event != APIPOOL_ALARM_COUNT;
    if (rv == APR_SUCCESS && !of_pool) {
        rv = apipool_watch_upstreams(upkeep->segment, watched, &found);
    }
    int of_upstreams = !of_pool && found.event != APIPOOL_ALARM_COUNT;
    if (rv == APR_SUCCESS && !of_pool && !of_upstreams) {
        rv = apipool_watch_keys(upkeep->segment, watched, &next_key, &found);
    }
    if (rv != APR_SUCCESS || found.event == APIPOOL_ALARM_COUNT) {
        return rv == APR_SUCCESS ? APR_NOTFOUND : rv;
    }
    *alarm = make(found.event, now, p);
    *pool = found.pool;
    set_pool(alarm, upkeep, found.pool, p);
    if (of_pool) {
        tell_of_pool(alarm, &found, p);
    }
    else if (of_upstreams) {
        tell_of_upstreams(alarm, upkeep, &found, p);
    }
    else {
        rv = tell_of_keys(alarm, upkeep, &found, p);
    }
    return rv;
}

/* The next event; APR_NOTFOUND: there is none. */
static apr_status_t look(const apipool_upkeep_t *upkeep, apr_time_t now, apr_pool_t *p,
                         apipool_alarm_t *alarm, apr_uint32_t *pool)
{
    *pool = NO_POOL;
    if (apipool_watch_store(upkeep->segment)) {
        *alarm = make(APIPOOL_ALARM_STORE_NOT_SAVED, now, p);
        say(alarm, "what changes is kept in memory alone until a save succeeds; the error log "
                   "says why (AP0056, AP0057, AP0081)");
        return APR_SUCCESS;
    }
    watch(upkeep, now);
    apr_status_t rv = look_at_pools(upkeep, now, p, alarm, pool);
    if (rv != APR_NOTFOUND) {
        return rv;
    }
    apipool_watched_clients_t *found = apr_palloc(p, sizeof(*found));
    apipool_client_watch_t of_clients = {
        .percent = conf_of(upkeep)->percent, .muted = muted(upkeep, NO_POOL, now), .now = now};
    rv = apipool_watch_clients(upkeep->segment, &of_clients, &next_client, found);
    if (rv == APR_SUCCESS && found->event != APIPOOL_ALARM_COUNT) {
        *alarm = make(found->event, now, p);
        tell_of_clients(alarm, found, p);
        return APR_SUCCESS;
    }
    return rv == APR_SUCCESS ? APR_NOTFOUND : rv;
}

/* --- Telling ---------------------------------------------------------------------------------- */

static void note_end(const apipool_upkeep_t *upkeep, const apipool_program_end_t *end)
{
    if (!end->has_ended) {
        return;
    }
    const char *program = conf_of(upkeep)->program[0], *name = apipool_alarm_name(event);
    if (end->was_stopped) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, upkeep->server,
                     APIPOOL_LOG(0185) "APIPoolNotify: %s was stopped before it had told of %s: it "
                                       "took too long, or httpd ends",
                     program, name);
    }
    else if (end->status) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, upkeep->server,
                     APIPOOL_LOG(0186) "APIPoolNotify: %s failed to tell of %s: %s %d", program,
                     name, end->why == APR_PROC_EXIT ? "exit status" : "signal", end->status);
    }
}

/* The program, its arguments, and the event. */
static char *const *words_of(const apipool_notify_conf_t *conf, const char *name, apr_pool_t *p)
{
    apr_array_header_t *words = apr_array_make(p, 8, sizeof(char *));
    for (char *const *word = conf->program; *word; word++) {
        APR_ARRAY_PUSH(words, char *) = *word;
    }
    APR_ARRAY_PUSH(words, char *) = apr_pstrdup(p, name);
    APR_ARRAY_PUSH(words, char *) = NULL;
    return (char *const *)words->elts;
}

static void tell(const apipool_upkeep_t *upkeep, const apipool_alarm_t *alarm, apr_uint32_t pool,
                 apr_pool_t *p)
{
    const apipool_notify_conf_t *conf = conf_of(upkeep);
    const char *name = apipool_alarm_name(alarm->event);
    event = alarm->event;
    quiet_until[pool][event] = alarm->at + conf->every;
    apr_status_t rv = apipool_notify_program_start(
        words_of(conf, name, p), apipool_alarm_message(p, alarm), conf->longest, alarm->at);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, upkeep->server,
                     APIPOOL_LOG(0187) "APIPoolNotify: could not start %s to tell of %s",
                     conf->program[0], name);
    }
}

void apipool_notify_run(apipool_upkeep_t *upkeep, apr_time_t now, apr_pool_t *scratch)
{
    apipool_alarm_t alarm;
    apr_uint32_t pool;
    if (!conf_of(upkeep)->program) {
        return;
    }
    apipool_program_end_t end = apipool_notify_program_look(now);
    note_end(upkeep, &end);
    if (apipool_notify_program_runs()) {
        return;
    }
    apr_status_t rv = look(upkeep, now, scratch, &alarm, &pool);
    if (rv == APR_SUCCESS) {
        tell(upkeep, &alarm, pool, scratch);
    }
    else if (rv != APR_NOTFOUND) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, upkeep->server,
                     APIPOOL_LOG(0188) "could not acquire the shared-memory lock; nobody was told "
                                       "of events");
    }
}

void apipool_notify_stop(apipool_upkeep_t *upkeep)
{
    apipool_program_end_t end = apipool_notify_program_finish();
    note_end(upkeep, &end);
}
