/* SPDX-License-Identifier: Apache-2.0
 * Routes: the keys of a pool, as a list and one by one. */
#include "admin.h"

#include <apr_strings.h>

#include "key.h"
#include "pace.h"
#include "render.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000

static const char *const sort_names[APIPOOL_SORT_COUNT] = {
    [APIPOOL_SORT_ADDED] = "added_at",
    [APIPOOL_SORT_ID] = "id",
    [APIPOOL_SORT_LABEL] = "label",
    [APIPOOL_SORT_ACCOUNT] = "account",
    [APIPOOL_SORT_UPSTREAM] = "upstream",
    [APIPOOL_SORT_STATE] = "state",
    [APIPOOL_SORT_WEIGHT] = "weight",
    [APIPOOL_SORT_IN_FLIGHT] = "in_flight",
    [APIPOOL_SORT_REQUESTS] = "requests",
    [APIPOOL_SORT_ERRORS] = "errors",
    [APIPOOL_SORT_ERROR_STREAK] = "consecutive_errors",
    [APIPOOL_SORT_SUCCESS_RATE] = "success_rate",
    [APIPOOL_SORT_RPM] = "rpm",
    [APIPOOL_SORT_RPD] = "rpd",
    [APIPOOL_SORT_TPM] = "tpm",
    [APIPOOL_SORT_TPD] = "tpd",
    [APIPOOL_SORT_TOTAL_TOKENS] = "total_tokens",
    [APIPOOL_SORT_BALANCE] = "balance",
    [APIPOOL_SORT_LAST_USED] = "last_used_at",
    [APIPOOL_SORT_LATENCY] = "latency_ms",
};

static const char *const orders[] = {"asc", "desc"};

int apipool_admin_key_states(const char *text, unsigned *states)
{
    *states = 0;
    while (text && *text) {
        apr_size_t len = strcspn(text, ",");
        int state = 0;
        while (state < APIPOOL_STATE_COUNT) {
            const char *name = apipool_render_state((apipool_state_e)state);
            if (strlen(name) == len && !strncmp(text, name, len)) {
                break;
            }
            state++;
        }
        if (state == APIPOOL_STATE_COUNT) {
            return 0;
        }
        *states |= 1u << state;
        text += len + (text[len] == ',');
    }
    return 1;
}

/* What is known of its last error, or null. */
static json_t *last_error(const apipool_ask_t *ask, const apipool_key_info_t *key)
{
    return key->last_error_at
               ? json_pack("{s:o,s:o,s:o,s:o}", "at", apipool_render_time(key->last_error_at),
                           "status",
                           key->last_status ? json_integer(key->last_status) : json_null(), "rule",
                           apipool_render_text(key->last_rule), "message",
                           apipool_render_text(apipool_admin_text(ask->r, key->last_message)))
               : json_null();
}

static json_t *balance(const apipool_key_info_t *key)
{
    return key->balance_at ? json_pack("{s:f,s:o,s:o}", "amount", key->balance, "currency",
                                       apipool_render_text(key->currency), "checked_at",
                                       apipool_render_time(key->balance_at))
                           : json_null();
}

static json_t *key_object(const apipool_ask_t *ask, const apipool_key_info_t *key)
{
    json_t *object = json_pack(
        "{s:o,s:s,s:s,s:o,s:o,s:o,s:I,s:s,s:b}", "id", apipool_render_id(key->id), "masked",
        key->masked, "pool", ask->pool_name, "upstream", apipool_render_text(key->upstream),
        "label", apipool_render_text(key->label), "account", apipool_render_text(key->account),
        "weight", (json_int_t)key->weight, "state", apipool_render_state(key->state), "enabled",
        key->state != APIPOOL_STATE_DISABLED);
    json_object_set_new(object, "reason",
                        key->state == APIPOOL_STATE_ACTIVE || key->state == APIPOOL_STATE_DISABLED
                            ? json_null()
                            : apipool_render_text(apipool_admin_text(ask->r, key->last_message)));
    json_object_set_new(object, "cooling_until", apipool_render_time(key->cooling_until));
    json_object_set_new(object, "next_probe_at", apipool_render_time(key->next_probe_at));
    json_object_set_new(object, "added_at", apipool_render_time(key->added_at));
    json_object_set_new(object, "last_used_at", apipool_render_time(key->last_used_at));
    json_object_set_new(object, "last_error", last_error(ask, key));
    json_object_set_new(object, "successes", json_integer((json_int_t)key->numbers.successes));
    json_object_set_new(object, "consecutive_errors", json_integer(key->error_streak));
    json_object_set_new(object, "in_flight", json_integer(key->in_flight));
    apipool_render_numbers(object, &key->numbers);
    json_object_set_new(object, "balance", balance(key));
    json_object_set_new(object, "limits", apipool_render_limits(&key->limits));
    return object;
}

static int read_query(apipool_ask_t *ask, apipool_key_query_t *wanted, apipool_flaw_t *flaw)
{
    apipool_query_t query;
    memset(wanted, 0, sizeof(*wanted));
    apipool_query_open(&query, ask->r->pool, ask->r->args, flaw);
    const char *states = apipool_query_string(&query, "state", 255);
    wanted->filter.text = apipool_query_string(&query, "q", APIPOOL_ADMIN_FILTER_TEXT_MAX);
    wanted->filter.upstream = apipool_query_string(&query, "upstream", 255);
    wanted->sort = (apipool_key_sort_e)apipool_query_choice(&query, "sort", sort_names,
                                                            APIPOOL_SORT_COUNT, APIPOOL_SORT_ADDED);
    wanted->descending = apipool_query_choice(&query, "order", orders, 2, 0);
    wanted->offset = (apr_uint32_t)apipool_query_integer(&query, "offset", 0, APR_INT32_MAX, 0);
    wanted->limit =
        (apr_uint32_t)apipool_query_integer(&query, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT);
    if (!apipool_admin_key_states(states, &wanted->filter.states)) {
        apipool_query_refuse(&query, "state", "Unknown state.");
    }
    return apipool_query_close(&query);
}

int apipool_admin_keys_list(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_key_query_t query;
    apipool_flaw_t flaw;
    apr_array_header_t *keys;
    apr_uint32_t total = 0;
    if (!read_query(ask, &query, &flaw)) {
        return apipool_admin_refuse(r, &flaw);
    }
    apr_status_t rv = apipool_admin_api->keys(ask->pool, &query, r->pool, &keys, &total);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(r, rv, "the keys cannot be listed", NULL);
    }
    json_t *array = json_array();
    for (int i = 0; i < keys->nelts; i++) {
        json_array_append_new(array, key_object(ask, &APR_ARRAY_IDX(keys, i, apipool_key_info_t)));
        apipool_pace();
    }
    return apipool_admin_reply(r, HTTP_OK,
                               json_pack("{s:I,s:I,s:o}", "total", (json_int_t)total, "offset",
                                         (json_int_t)query.offset, "keys", array));
}

int apipool_admin_key_show(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_key_info_t key;
    apr_status_t rv = apipool_admin_api->key(ask->pool, ask->id, r->pool, &key);
    if (rv == APR_NOTFOUND) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "key_not_found", "There is no such key.");
    }
    return rv == APR_SUCCESS ? apipool_admin_reply(r, HTTP_OK, key_object(ask, &key))
                             : apipool_admin_failed(r, rv, "the key cannot be shown", NULL);
}

/* null takes a limit away; the object replaces all of them. */
static void read_limit(apipool_json_t *json, const char *name, apr_uint32_t *limit)
{
    apr_int64_t number = 0;
    apipool_json_integer(json, name, 1, APR_UINT32_MAX, &number);
    *limit = (apr_uint32_t)number;
}

static void read_limits(apipool_json_t *json, apipool_key_edit_t *edit)
{
    apipool_json_t limits;
    apipool_json_e given = apipool_json_object(json, "limits", &limits);
    if (given != APIPOOL_JSON_ABSENT) {
        edit->set |= APIPOOL_SET_LIMITS;
    }
    if (given == APIPOOL_JSON_GIVEN) {
        read_limit(&limits, "rpm", &edit->limits.rpm);
        read_limit(&limits, "rpd", &edit->limits.rpd);
        read_limit(&limits, "tpm", &edit->limits.tpm);
        read_limit(&limits, "tpd", &edit->limits.tpd);
        read_limit(&limits, "concurrency", &edit->limits.concurrency);
        apipool_json_close(&limits);
    }
}

/* null takes the text away. */
static void read_text(apipool_json_t *json, const char *name, apr_size_t max, unsigned bit,
                      unsigned *set, const char **text)
{
    *text = "";
    if (apipool_json_string(json, name, max, text) != APIPOOL_JSON_ABSENT) {
        *set |= bit;
    }
}

static int read_edit(apipool_ask_t *ask, apipool_key_edit_t *edit, int *status)
{
    apipool_json_t json;
    apipool_flaw_t flaw;
    apr_int64_t weight = 1;
    memset(edit, 0, sizeof(*edit));
    if (!apipool_admin_read_object(ask->r, APIPOOL_ADMIN_BODY_MAX, &json, &flaw, status)) {
        return 0;
    }
    apipool_json_e enabled = apipool_json_boolean(&json, "enabled", &edit->enabled);
    apipool_json_e weighed = apipool_json_integer(&json, "weight", 1, APIPOOL_WEIGHT_MAX, &weight);
    if (enabled == APIPOOL_JSON_NULL || weighed == APIPOOL_JSON_NULL) {
        apipool_json_refuse(&json, enabled == APIPOOL_JSON_NULL ? "enabled" : "weight",
                            "Must not be null.");
    }
    edit->weight = (apr_uint32_t)weight;
    edit->set |= enabled == APIPOOL_JSON_GIVEN ? APIPOOL_SET_ENABLED : 0;
    edit->set |= weighed == APIPOOL_JSON_GIVEN ? APIPOOL_SET_WEIGHT : 0;
    read_text(&json, "label", APIPOOL_LABEL_MAX, APIPOOL_SET_LABEL, &edit->set, &edit->label);
    read_text(&json, "account", APIPOOL_ACCOUNT_MAX, APIPOOL_SET_ACCOUNT, &edit->set,
              &edit->account);
    read_limits(&json, edit);
    if (apipool_json_close(&json) && !edit->set) {
        flaw.message = "Nothing to change: send enabled, label, weight, account or limits.";
    }
    if (flaw.message) {
        *status = apipool_admin_refuse(ask->r, &flaw);
    }
    return !flaw.message;
}

/* Changes the key of the path. Returns 1, or 0 when *status is what to return. */
static int change_one(apipool_ask_t *ask, apipool_key_change_t *change, const char *what,
                      int *status)
{
    request_rec *r = ask->r;
    apipool_key_changed_t changed = {0};
    const char *error = NULL;
    change->ids = &ask->id;
    change->id_count = 1;
    apr_status_t rv = apipool_admin_api->key_change(ask->pool, change, r->pool, &changed, &error);
    if (rv == APR_NOTFOUND || (rv == APR_SUCCESS && !changed.matched)) {
        *status = apipool_admin_error(r, HTTP_NOT_FOUND, "key_not_found", "There is no such key.");
        return 0;
    }
    if (rv == APR_ENOMEM) {
        *status = apipool_admin_error(r, HTTP_INSUFFICIENT_STORAGE, "no_room",
                                      error ? error : "There is no room for the change.");
        return 0;
    }
    if (rv != APR_SUCCESS) {
        *status = apipool_admin_failed(r, rv, "the key cannot be changed", error);
        return 0;
    }
    apipool_admin_audit_ids(ask, apr_psprintf(r->pool, "%s in pool %s", what, ask->pool_name),
                            changed.done_ids);
    return 1;
}

int apipool_admin_key_edit(apipool_ask_t *ask)
{
    apipool_key_change_t change = {.action = APIPOOL_DO_EDIT};
    int status;
    if (!read_edit(ask, &change.edit, &status)) {
        return status;
    }
    const unsigned set = change.edit.set;
    const char *what = apr_pstrcat(ask->r->pool, "key edited (",
                                   !(set & APIPOOL_SET_ENABLED) ? ""
                                   : change.edit.enabled        ? " enabled"
                                                                : " disabled",
                                   set & APIPOOL_SET_LABEL ? " label" : "",
                                   set & APIPOOL_SET_WEIGHT ? " weight" : "",
                                   set & APIPOOL_SET_ACCOUNT ? " account" : "",
                                   set & APIPOOL_SET_LIMITS ? " limits" : "", " )", NULL);
    return change_one(ask, &change, what, &status) ? apipool_admin_key_show(ask) : status;
}

int apipool_admin_key_delete(apipool_ask_t *ask)
{
    apipool_key_change_t change = {.action = APIPOOL_DO_DELETE};
    int status;
    return change_one(ask, &change, "key deleted", &status) ? apipool_admin_reply_nothing(ask->r)
                                                            : status;
}
