/* SPDX-License-Identifier: Apache-2.0
 * Routes: what is done with keys: import, actions on many, a check, and showing one. */
#include "access.h"

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "key.h"
#include "render.h"

static const char *const action_names[] = {"enable", "disable", "delete", "check", "reset"};

enum { ENABLE, DISABLE, DELETE, CHECK, RESET, ACTIONS };

/* --- Import --- */

static json_t *fault_objects(request_rec *r, const apr_array_header_t *faults)
{
    json_t *array = json_array();
    for (int i = 0; faults && i < faults->nelts; i++) {
        const apipool_import_fault_t *fault = &APR_ARRAY_IDX(faults, i, apipool_import_fault_t);
        json_array_append_new(array, json_pack("{s:I,s:s}", "line", (json_int_t)fault->line,
                                               "reason", apipool_admin_text(r, fault->reason)));
    }
    return array;
}

static int import_answer(apipool_ask_t *ask, const apipool_import_t *import)
{
    json_t *object =
        json_pack("{s:I,s:I,s:I,s:o,s:I,s:o}", "added", (json_int_t)import->added, "duplicates",
                  (json_int_t)import->duplicates, "updated", (json_int_t)import->updated, "invalid",
                  fault_objects(ask->r, import->invalid), "invalid_count",
                  (json_int_t)import->invalid_count, "ids", apipool_render_ids(import->ids));
    return apipool_admin_reply(ask->r, HTTP_OK, object);
}

static int import_failed(request_rec *r, apr_status_t rv, const char *error)
{
    apipool_flaw_t flaw = {.field = rv == APR_NOTFOUND ? "upstream" : NULL};
    if (rv == APR_NOTFOUND || rv == APR_BADARG) {
        flaw.message = rv == APR_NOTFOUND ? "The pool has no such upstream." : error;
        return apipool_admin_refuse(r, &flaw);
    }
    if (rv == APR_ENOMEM) {
        return apipool_admin_error(r, HTTP_INSUFFICIENT_STORAGE, "no_room",
                                   error ? error : "There is no room for so many keys.");
    }
    return apipool_admin_failed(r, rv, "keys cannot be imported", error);
}

static const char *const truths[] = {"false", "true"};

int apipool_admin_keys_import(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_admin_incoming_t *body;
    apipool_import_source_t source;
    apipool_query_t query;
    apipool_flaw_t flaw;
    apipool_import_t import = {0};
    const char *error = NULL;
    int status;
    apipool_query_open(&query, r->pool, r->args, &flaw);
    const char *upstream = apipool_query_string(&query, "upstream", 255);
    int preview = apipool_query_choice(&query, "preview", truths, 2, 0);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, &flaw);
    }
    if (!apipool_admin_open_body(r, APIPOOL_ADMIN_IMPORT_MAX, &body, &source, &status)) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->key_import(ask->pool, upstream, &source, preview, r->pool,
                                                    &import, &error);
    if (!apipool_admin_body_is_whole(body, &status)) {
        return status;
    }
    if (rv != APR_SUCCESS) {
        return import_failed(r, rv, error);
    }
    if (preview) {
        return import_answer(ask, &import);
    }
    apipool_admin_audit_ids(ask,
                            apr_psprintf(r->pool,
                                         "keys imported into pool %s (%u added, %u updated, %u "
                                         "duplicates, %u invalid)",
                                         ask->pool_name, import.added, import.updated,
                                         import.duplicates, import.invalid_count),
                            import.ids);
    return import_answer(ask, &import);
}

/* --- Actions on many --- */

static void read_ids(apipool_json_t *json, apipool_key_change_t *change, apipool_json_e *given)
{
    apr_array_header_t *texts = NULL;
    *given = apipool_json_strings(json, "ids", APIPOOL_JSON_VALUES, APIPOOL_ID_SIZE - 1, &texts);
    if (*given != APIPOOL_JSON_GIVEN) {
        return;
    }
    apr_uint64_t *ids = apr_palloc(json->p, sizeof(*ids) * (apr_size_t)(texts->nelts + 1));
    for (int i = 0; i < texts->nelts; i++) {
        ids[i] = apipool_admin_read_id(APR_ARRAY_IDX(texts, i, const char *));
        if (!ids[i]) {
            apipool_json_refuse(json, "ids", "Each id must have 16 hex digits.");
            return;
        }
    }
    change->ids = ids;
    change->id_count = (apr_size_t)texts->nelts;
}

static void read_filter(apipool_json_t *json, apipool_key_filter_t *filter, apipool_json_e *given)
{
    apipool_json_t member;
    const char *states = NULL, *text = NULL;
    *given = apipool_json_object(json, "filter", &member);
    if (*given != APIPOOL_JSON_GIVEN) {
        return;
    }
    apipool_json_string(&member, "state", 255, &states);
    apipool_json_string(&member, "q", APIPOOL_ADMIN_FILTER_TEXT_MAX, &text);
    apipool_json_string(&member, "upstream", 255, &filter->upstream);
    filter->text = text && *text ? text : NULL;
    if (filter->upstream && !*filter->upstream) {
        filter->upstream = NULL;
    }
    if (!apipool_admin_key_states(states, &filter->states)) {
        apipool_json_refuse(&member, "state", "Unknown state.");
    }
    apipool_json_close(&member);
}

static int read_action(apipool_json_t *json)
{
    const char *text = NULL;
    int action = 0;
    apipool_json_require(json, "action", apipool_json_string(json, "action", 16, &text));
    while (text && action < ACTIONS && strcmp(text, action_names[action])) {
        action++;
    }
    if (action == ACTIONS) {
        apipool_json_refuse(json, "action", "Must be enable, disable, delete, check or reset.");
    }
    return action;
}

static int read_change(apipool_ask_t *ask, apipool_key_change_t *change, int *action, int *status)
{
    static const apipool_key_action_e actions[ACTIONS] = {
        APIPOOL_DO_EDIT, APIPOOL_DO_EDIT, APIPOOL_DO_DELETE, APIPOOL_DO_CHECK, APIPOOL_DO_RESET};
    apipool_json_t json;
    apipool_flaw_t flaw;
    apipool_json_e ids, filter;
    memset(change, 0, sizeof(*change));
    if (!apipool_admin_read_object(ask->r, APIPOOL_ADMIN_BODY_MAX, &json, &flaw, status)) {
        return 0;
    }
    *action = read_action(&json);
    read_ids(&json, change, &ids);
    read_filter(&json, &change->filter, &filter);
    if ((ids == APIPOOL_JSON_GIVEN) == (filter == APIPOOL_JSON_GIVEN)) {
        apipool_json_refuse(&json, "ids", "Either ids or filter is required, not both.");
    }
    if (!apipool_json_close(&json)) {
        *status = apipool_admin_refuse(ask->r, &flaw);
        return 0;
    }
    change->action = actions[*action];
    change->edit.set = change->action == APIPOOL_DO_EDIT ? APIPOOL_SET_ENABLED : 0;
    change->edit.enabled = *action == ENABLE;
    return 1;
}

int apipool_admin_keys_act(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_key_change_t change;
    apipool_key_changed_t changed = {0};
    const char *error = NULL;
    int status, action;
    if (!read_change(ask, &change, &action, &status)) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->key_change(ask->pool, &change, r->pool, &changed, &error);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(r, rv, "keys cannot be changed", error);
    }
    apipool_admin_audit_ids(ask,
                            apr_psprintf(r->pool, "action %s on keys of pool %s (%u)",
                                         action_names[action], ask->pool_name, changed.done),
                            changed.done_ids);
    return apipool_admin_reply(r, HTTP_OK,
                               json_pack("{s:I,s:I,s:o}", "matched", (json_int_t)changed.matched,
                                         "done", (json_int_t)changed.done, "failed",
                                         apipool_render_ids(changed.failed)));
}

/* --- One key --- */

int apipool_admin_key_check(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_check_t check = {0};
    apr_status_t rv = apipool_admin_api->key_check(r->server, ask->pool, ask->id, r->pool, &check);
    if (rv == APR_NOTFOUND) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "key_not_found", "There is no such key.");
    }
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(r, rv, "a key cannot be checked", NULL);
    }
    apr_array_header_t *ids = apr_array_make(r->pool, 1, sizeof(apr_uint64_t));
    APR_ARRAY_PUSH(ids, apr_uint64_t) = ask->id;
    apipool_admin_audit_ids(ask, apr_psprintf(r->pool, "key checked in pool %s", ask->pool_name),
                            ids);
    return apipool_admin_reply(
        r, HTTP_OK,
        json_pack("{s:o,s:o,s:o,s:o}", "valid",
                  check.valid < 0 ? json_null() : json_boolean(check.valid), "balance",
                  check.has_balance ? json_real(check.balance) : json_null(), "currency",
                  check.has_balance ? apipool_render_text(check.currency) : json_null(), "detail",
                  apipool_render_text(apipool_admin_text(r, check.detail))));
}

static int read_password(apipool_ask_t *ask, const char **password, int *status)
{
    apipool_json_t json;
    apipool_flaw_t flaw;
    if (!apipool_admin_read_object(ask->r, APIPOOL_ADMIN_LOGIN_MAX, &json, &flaw, status)) {
        return 0;
    }
    apipool_password_member(&json, password);
    if (!apipool_json_close(&json)) {
        *status = apipool_admin_refuse(ask->r, &flaw);
        return 0;
    }
    return 1;
}

/* The only answer of the API that holds a key, written without a copy that stays. */
static int show_key(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    char *key = NULL;
    apr_status_t rv = apipool_admin_api->key_reveal(ask->pool, ask->id, r->pool, &key);
    if (rv == APR_NOTFOUND) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "key_not_found", "There is no such key.");
    }
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(r, rv, "a key cannot be shown", NULL);
    }
    apr_array_header_t *ids = apr_array_make(r->pool, 1, sizeof(apr_uint64_t));
    APR_ARRAY_PUSH(ids, apr_uint64_t) = ask->id;
    apipool_admin_audit_ids(ask, apr_psprintf(r->pool, "key revealed in pool %s", ask->pool_name),
                            ids);
    int status = apipool_admin_reply_secret(r, HTTP_OK, json_pack("{s:s}", "key", key));
    OPENSSL_cleanse(key, strlen(key));
    return status;
}

int apipool_admin_key_reveal(apipool_ask_t *ask)
{
    const char *password = NULL, *entry = NULL;
    apr_interval_time_t wait = 0;
    int status;
    if (ask->conf->reveal != 1 || !ask->conf->user_file) {
        return apipool_admin_error(ask->r, HTTP_FORBIDDEN, "reveal_off",
                                   "Keys cannot be shown here: APIPoolAdminReveal is off, or "
                                   "APIPoolAdminUserFile is not set.");
    }
    if (!read_password(ask, &password, &status)) {
        return status;
    }
    apipool_password_e result =
        apipool_password_check(ask, ask->caller.user, password, &entry, &wait);
    return result == APIPOOL_PASSWORD_RIGHT ? show_key(ask)
                                            : apipool_password_answer(ask, result, wait);
}
