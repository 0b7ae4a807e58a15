/* SPDX-License-Identifier: Apache-2.0
 * Routes: the keys of a pool, as a list and one by one. */
#include "admin.h"

#include <apr_strings.h>

#include "health.h"
#include "key.h"
#include "throttle.h"

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
            const char *name = apipool_state_name((apipool_state_e)state);
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

static void translate(request_rec *r, json_t *key)
{
    apipool_admin_translate(r, key, "reason");
    apipool_admin_translate(r, json_object_get(key, "last_error"), "message");
}

static int read_query(apipool_admin_request_t *request, apipool_key_query_t *keys,
                      apipool_input_error_t *flaw)
{
    apipool_query_t query;
    memset(keys, 0, sizeof(*keys));
    apipool_query_open(&query, request->r->pool, request->r->args, flaw);
    const char *states = apipool_query_string(&query, "state", 255);
    keys->filter.text = apipool_query_string(&query, "q", APIPOOL_ADMIN_FILTER_TEXT_MAX);
    keys->filter.upstream = apipool_query_string(&query, "upstream", 255);
    keys->sort = (apipool_key_sort_e)apipool_query_choice(&query, "sort", sort_names,
                                                          APIPOOL_SORT_COUNT, APIPOOL_SORT_ADDED);
    keys->descending = apipool_query_choice(&query, "order", orders, 2, 0);
    keys->offset = (apr_uint32_t)apipool_query_integer(&query, "offset", 0, APR_INT32_MAX, 0);
    keys->limit = (apr_uint32_t)apipool_query_integer(&query, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT);
    if (!apipool_admin_key_states(states, &keys->filter.states)) {
        apipool_query_refuse(&query, "state", "Unknown state.");
    }
    return apipool_query_close(&query);
}

static int send_page(apipool_admin_request_t *request, const apipool_key_query_t *query)
{
    request_rec *r = request->r;
    json_t *page, *key;
    size_t i;
    apr_status_t rv = apipool_admin_api->keys(r->server, request->pool, query, r->pool, &page);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "the keys cannot be listed", NULL);
    }
    json_array_foreach(json_object_get(page, "keys"), i, key)
    {
        translate(r, key);
        apipool_throttle();
    }
    return apipool_admin_reply(r, HTTP_OK, page);
}

int apipool_admin_keys_list(apipool_admin_request_t *request)
{
    apipool_key_query_t query;
    apipool_input_error_t flaw;
    return read_query(request, &query, &flaw)
               ? send_page(request, &query)
               : apipool_admin_refuse(request->r, flaw.field, flaw.message);
}

/* The text to search for, which may be a key, is in the body: addresses are logged. */
int apipool_admin_keys_search(apipool_admin_request_t *request)
{
    static const apipool_json_member_t text_member[] = {
        {"q", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .max = APIPOOL_KEY_MAX}, {NULL}};
    apipool_key_query_t query;
    apipool_input_error_t flaw;
    unsigned present;
    if (!read_query(request, &query, &flaw)) {
        return apipool_admin_refuse(request->r, flaw.field, flaw.message);
    }
    int status = apipool_admin_read_object(request->r, APIPOOL_ADMIN_BODY_MAX, text_member,
                                           &query.filter.text, &present);
    return status == DECLINED ? send_page(request, &query) : status;
}

int apipool_admin_key_show(apipool_admin_request_t *request)
{
    json_t *key;
    apr_status_t rv = apipool_admin_api->key(request->r->server, request->pool, request->id,
                                             request->r->pool, &key);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "the key cannot be shown", NULL);
    }
    translate(request->r, key);
    return apipool_admin_reply(request->r, HTTP_OK, key);
}

#define TO(member) offsetof(apipool_key_edit_t, member)
/* null clears a text or limit; the object replaces all limits. In the order of
 * apipool_key_set_e. */
static const apipool_json_member_t limits[] = {
    {"rpm", APIPOOL_JSON_INTEGER, .offset = TO(limits.rpm), .max = APR_UINT32_MAX},
    {"rpd", APIPOOL_JSON_INTEGER, .offset = TO(limits.rpd), .max = APR_UINT32_MAX},
    {"tpm", APIPOOL_JSON_INTEGER, .offset = TO(limits.tpm), .max = APR_UINT32_MAX},
    {"tpd", APIPOOL_JSON_INTEGER, .offset = TO(limits.tpd), .max = APR_UINT32_MAX},
    {"concurrency", APIPOOL_JSON_INTEGER, .offset = TO(limits.concurrency), .max = APR_UINT32_MAX},
    {NULL}};
static const apipool_json_member_t members[] = {
    {"enabled", APIPOOL_JSON_BOOLEAN, APIPOOL_JSON_NOT_NULL, .offset = TO(enabled)},
    {"label", APIPOOL_JSON_STRING, .offset = TO(label), .max = APIPOOL_LABEL_MAX},
    {"weight", APIPOOL_JSON_INTEGER, APIPOOL_JSON_NOT_NULL, .offset = TO(weight),
     .max = APIPOOL_WEIGHT_MAX},
    {"account", APIPOOL_JSON_STRING, .offset = TO(account), .max = APIPOOL_ACCOUNT_MAX},
    {"limits", APIPOOL_JSON_OBJECT, .members = limits},
    {NULL}};

const char *apipool_admin_listed(apr_pool_t *p, const apipool_key_changed_t *changed)
{
    return changed->listed ? apr_psprintf(p, ", %u of them in key files", changed->listed) : "";
}

/* Changes the key in the path. Returns DECLINED, or the status of the error sent. */
static int change_one(apipool_admin_request_t *request, apipool_key_change_t *change,
                      const char *what, apr_uint32_t *listed)
{
    request_rec *r = request->r;
    apipool_key_changed_t changed = {0};
    apipool_input_error_t flaw = {NULL};
    change->ids = &request->id;
    change->id_count = 1;
    apr_status_t rv =
        apipool_admin_api->key_change(request->pool, change, r->pool, &changed, &flaw);
    if (rv == APR_SUCCESS && !changed.matched) {
        rv = APR_NOTFOUND;
    }
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "the key cannot be changed", &flaw);
    }
    *listed = changed.listed;
    apipool_admin_audit(request,
                        apr_psprintf(r->pool, "%s in pool %s%s", what, request->pool_name,
                                     changed.listed ? ", although a key file has it" : ""),
                        changed.done_ids);
    return DECLINED;
}

int apipool_admin_key_edit(apipool_admin_request_t *request)
{
    apipool_key_change_t change = {.action = APIPOOL_DO_EDIT, .edit = {.label = "", .account = ""}};
    apipool_key_edit_t *edit = &change.edit;
    apr_pool_t *p = request->r->pool;
    int status =
        apipool_admin_read_object(request->r, APIPOOL_ADMIN_BODY_MAX, members, edit, &edit->set);
    if (status != DECLINED) {
        return status;
    }
    if (!edit->set) {
        return apipool_admin_refuse(
            request->r, NULL, "Nothing to change: send enabled, label, weight, account or limits.");
    }
    const char *what = apr_psprintf(p, "key edited (%s )",
                                    apipool_admin_name_set(p, members, edit->set, edit->enabled));
    apr_uint32_t ignored;
    status = change_one(request, &change, what, &ignored);
    return status == DECLINED ? apipool_admin_key_show(request) : status;
}

int apipool_admin_key_delete(apipool_admin_request_t *request)
{
    apipool_key_change_t change = {.action = APIPOOL_DO_DELETE};
    apr_uint32_t listed = 0;
    int status = change_one(request, &change, "key deleted", &listed);
    if (status != DECLINED) {
        return status;
    }
    return listed ? apipool_admin_reply(request->r, HTTP_OK,
                                        json_pack("{s:I}", "in_key_files", (json_int_t)listed))
                  : apipool_admin_reply_nothing(request->r);
}
