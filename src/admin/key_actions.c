/* SPDX-License-Identifier: Apache-2.0
 * Routes: actions on keys: import, bulk actions, check and reveal. */
#include "access.h"

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "key.h"
#include "render.h"

static const char *const action_names[] = {"enable", "disable", "delete", "check", "reset", "move"};

enum { ENABLE, DISABLE, DELETE, CHECK, RESET, MOVE, ACTIONS };

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

static json_t *key_objects(request_rec *r, const apr_array_header_t *keys)
{
    static const char *const results[] = {"new", "changed", "known"};
    json_t *array = json_array();
    for (int i = 0; keys && i < keys->nelts; i++) {
        const apipool_import_key_t *key = &APR_ARRAY_IDX(keys, i, apipool_import_key_t);
        const char *doubt = key->doubt ? apipool_admin_text(r, key->doubt) : NULL;
        json_array_append_new(array, json_pack("{s:I,s:s,s:s?,s:s?,s:s,s:s?}", "line",
                                               (json_int_t)key->line, "masked", key->masked,
                                               "label", key->label, "account", key->account,
                                               "result", results[key->result], "doubt", doubt));
    }
    return array;
}

static int import_answer(apipool_admin_request_t *request, const apipool_import_t *import)
{
    request_rec *r = request->r;
    json_t *object = json_pack(
        "{s:I,s:I,s:I,s:o,s:I,s:o,s:o,s:o}", "added", (json_int_t)import->added, "duplicates",
        (json_int_t)import->duplicates, "updated", (json_int_t)import->updated, "invalid",
        fault_objects(r, import->invalid), "invalid_count", (json_int_t)import->invalid_count,
        "doubtful", key_objects(r, import->doubtful), "keys", key_objects(r, import->keys), "ids",
        apipool_render_ids(import->ids));
    return apipool_admin_reply(request->r, HTTP_OK, object);
}

static const char *const truths[] = {"false", "true"};
static const char *const doubt_choices[] = {"list", "add"};

int apipool_admin_keys_import(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    apipool_admin_incoming_t *body;
    apipool_import_source_t source;
    apipool_query_t query;
    apipool_input_error_t flaw;
    apipool_import_t import = {0};
    apipool_query_open(&query, r->pool, r->args, &flaw);
    const char *upstream = apipool_query_string(&query, "upstream", 255);
    unsigned options =
        (apipool_query_choice(&query, "preview", truths, 2, 0) ? APIPOOL_IMPORT_PREVIEW : 0) |
        (apipool_query_choice(&query, "doubtful", doubt_choices, 2, 0) ? APIPOOL_IMPORT_DOUBTFUL
                                                                       : 0);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, flaw.field, flaw.message);
    }
    int status = apipool_admin_open_body(r, APIPOOL_ADMIN_IMPORT_MAX, 1, &body, &source);
    if (status != DECLINED) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->key_import(request->pool, upstream, &source, options,
                                                    r->pool, &import, &flaw);
    status = apipool_admin_check_body(body);
    if (status != DECLINED) {
        return status;
    }
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "keys cannot be imported", &flaw);
    }
    if (options & APIPOOL_IMPORT_PREVIEW) {
        return import_answer(request, &import);
    }
    apipool_admin_audit(request,
                        apr_psprintf(r->pool,
                                     "keys imported into pool %s (%u added, %u updated, %u "
                                     "duplicates, %u invalid)",
                                     request->pool_name, import.added, import.updated,
                                     import.duplicates, import.invalid_count),
                        import.ids);
    return import_answer(request, &import);
}

/* --- Bulk actions --- */

/* The body of a bulk action. */
typedef struct {
    const char *action, *states, *upstream;
    apr_array_header_t *ids; /* const char * */
    apipool_key_filter_t filter;
} bulk_action_t;

#define TO(member) offsetof(bulk_action_t, member)

static const apipool_json_member_t filter_members[] = {
    {"state", APIPOOL_JSON_STRING, .offset = TO(states), .max = 255},
    {"q", APIPOOL_JSON_STRING, .offset = TO(filter.text), .max = APIPOOL_KEY_MAX},
    {"upstream", APIPOOL_JSON_STRING, .offset = TO(filter.upstream), .max = 255},
    {NULL}};
static const apipool_json_member_t members[] = {
    {"action", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(action), .max = 16},
    {"ids", APIPOOL_JSON_STRINGS, APIPOOL_JSON_OPTIONAL, .offset = TO(ids),
     .max = APIPOOL_ID_SIZE - 1, .count = APIPOOL_JSON_VALUES},
    {"filter", APIPOOL_JSON_OBJECT, APIPOOL_JSON_OPTIONAL, .members = filter_members},
    {"upstream", APIPOOL_JSON_STRING, APIPOOL_JSON_OPTIONAL, .offset = TO(upstream), .max = 255},
    {NULL}};
#define HAS_IDS    2
#define HAS_FILTER 4

/* Returns 0 if one of them is not an id. */
static int read_ids(const apr_array_header_t *texts, apr_pool_t *p, apipool_key_change_t *change)
{
    apr_uint64_t *ids = apr_palloc(p, sizeof(*ids) * (apr_size_t)(texts->nelts + 1));
    change->ids = ids;
    change->id_count = (apr_size_t)texts->nelts;
    for (int i = 0; i < texts->nelts; i++) {
        ids[i] = apipool_key_id_read(APR_ARRAY_IDX(texts, i, const char *));
        if (!ids[i]) {
            return 0;
        }
    }
    return 1;
}

static const char *text_or_null(const char *text)
{
    return text && *text ? text : NULL;
}

/* Converts a bulk action to a change. */
static apipool_input_error_t make_change(const bulk_action_t *bulk, unsigned present,
                                         apr_uint32_t pool, apr_pool_t *p,
                                         apipool_key_change_t *change, int *action)
{
    static const apipool_key_action_e actions[ACTIONS] = {APIPOOL_DO_EDIT,   APIPOOL_DO_EDIT,
                                                          APIPOOL_DO_DELETE, APIPOOL_DO_CHECK,
                                                          APIPOOL_DO_RESET,  APIPOOL_DO_EDIT};
    *action = 0;
    while (*action < ACTIONS && strcmp(bulk->action, action_names[*action])) {
        (*action)++;
    }
    if (*action == ACTIONS) {
        return (apipool_input_error_t){"action",
                                       "Must be enable, disable, delete, check, reset or move."};
    }
    if (bulk->ids && !read_ids(bulk->ids, p, change)) {
        return (apipool_input_error_t){"ids", "Each id must have 16 hex digits."};
    }
    if (!apipool_admin_key_states(bulk->states, &change->filter.states)) {
        return (apipool_input_error_t){"filter.state", "Unknown state."};
    }
    if (!(present & HAS_IDS) == !(present & HAS_FILTER)) {
        return (apipool_input_error_t){"ids", "Either ids or filter is required, not both."};
    }
    if ((*action == MOVE) != (text_or_null(bulk->upstream) != NULL)) {
        return (apipool_input_error_t){"upstream", "Is required to move keys, and only then."};
    }
    change->filter.text = text_or_null(bulk->filter.text);
    change->filter.upstream = text_or_null(bulk->filter.upstream);
    change->action = actions[*action];
    change->edit.set = *action == MOVE                     ? APIPOOL_SET_UPSTREAM
                       : change->action == APIPOOL_DO_EDIT ? APIPOOL_SET_ENABLED
                                                           : 0;
    change->edit.enabled = *action == ENABLE;
    change->to_pool = pool;
    change->to_upstream = bulk->upstream;
    return (apipool_input_error_t){NULL};
}

int apipool_admin_keys_act(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    bulk_action_t bulk = {NULL};
    apipool_key_change_t change = {.ids = NULL};
    apipool_key_changed_t changed = {0};
    unsigned present;
    int action;
    int status = apipool_admin_read_object(r, APIPOOL_ADMIN_BODY_MAX, members, &bulk, &present);
    if (status != DECLINED) {
        return status;
    }
    apipool_input_error_t flaw =
        make_change(&bulk, present, request->pool, r->pool, &change, &action);
    if (flaw.message) {
        return apipool_admin_refuse(r, flaw.field, flaw.message);
    }
    apr_status_t rv =
        apipool_admin_api->key_change(request->pool, &change, r->pool, &changed, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "keys cannot be changed", &flaw);
    }
    apipool_admin_audit(request,
                        apr_psprintf(r->pool, "action %s on keys of pool %s (%u%s)",
                                     action_names[action], request->pool_name, changed.done,
                                     apipool_admin_listed(r->pool, &changed)),
                        changed.done_ids);
    json_t *answer =
        json_pack("{s:I,s:I,s:o}", "matched", (json_int_t)changed.matched, "done",
                  (json_int_t)changed.done, "failed", apipool_render_ids(changed.failed));
    if (action == DELETE) {
        json_object_set_new(answer, "in_key_files", json_integer(changed.listed));
    }
    return apipool_admin_reply(r, HTTP_OK, answer);
}

/* --- One key --- */

static void audit_one(const apipool_admin_request_t *request, const char *what)
{
    apr_array_header_t *ids = apr_array_make(request->r->pool, 1, sizeof(apr_uint64_t));
    APR_ARRAY_PUSH(ids, apr_uint64_t) = request->id;
    apipool_admin_audit(
        request, apr_psprintf(request->r->pool, "key %s in pool %s", what, request->pool_name),
        ids);
}

int apipool_admin_key_check(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    json_t *result;
    apr_status_t rv =
        apipool_admin_api->key_check(r->server, request->pool, request->id, r->pool, &result);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "a key cannot be checked", NULL);
    }
    audit_one(request, "checked");
    apipool_admin_translate(r, result, "detail");
    return apipool_admin_reply(r, HTTP_OK, result);
}

/* Sends the only API answer that contains a key, and leaves no copy of it. */
static int show_key(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    char *key = NULL;
    apr_status_t rv = apipool_admin_api->key_reveal(request->pool, request->id, r->pool, &key);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "a key cannot be shown", NULL);
    }
    audit_one(request, "revealed");
    int status = apipool_admin_reply_secret(r, HTTP_OK, json_pack("{s:s}", "key", key));
    OPENSSL_cleanse(key, strlen(key));
    return status;
}

int apipool_admin_key_reveal(apipool_admin_request_t *request)
{
    static const apipool_json_member_t password_member[] = {
        {"password", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .max = APIPOOL_ADMIN_PASSWORD_MAX},
        {NULL}};
    const char *password = NULL, *entry = NULL;
    unsigned present;
    if (request->conf->reveal != 1 || !request->conf->user_file) {
        return apipool_admin_error(request->r, HTTP_FORBIDDEN, "reveal_off",
                                   "Keys cannot be shown here: APIPoolAdminReveal is off, or "
                                   "APIPoolAdminUserFile is not set.");
    }
    int status = apipool_admin_read_object(request->r, APIPOOL_ADMIN_LOGIN_MAX, password_member,
                                           &password, &present);
    if (status == DECLINED) {
        status = apipool_password_check(request, request->caller.user, password, &entry);
    }
    return status == DECLINED ? show_key(request) : status;
}
