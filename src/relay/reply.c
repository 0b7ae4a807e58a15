/* SPDX-License-Identifier: Apache-2.0
 * What we say ourselves: one table of errors in OpenAI's shape. */
#include "reply.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <jansson.h>
#include <stdlib.h>

#include "ascii.h"

/* The texts hold nothing that JSON would have to escape. */
static const struct {
    int status;
    const char *code, *message;
} errors[APIPOOL_REPLY_COUNT] = {
    [APIPOOL_REPLY_TOO_LARGE] = {413, "request_too_large",
                                 "The request body is larger than this server accepts."},
    [APIPOOL_REPLY_ALL_COOLING] = {429, "rate_limit_exceeded",
                                   "All keys of this pool are rate-limited; try again later."},
    [APIPOOL_REPLY_EXHAUSTED] = {503, "pool_exhausted",
                                 "No key of this pool is usable; waiting will not help."},
    [APIPOOL_REPLY_UNREACHABLE] = {502, "upstream_unreachable",
                                   "The upstream could not be reached, or broke off before it "
                                   "answered."},
    [APIPOOL_REPLY_TIMEOUT] = {504, "upstream_timeout", "The upstream did not answer in time."},
    [APIPOOL_REPLY_FULL] = {503, "upstream_busy",
                            "All connections that this server may have to the upstream are in "
                            "use; try again later."},
    [APIPOOL_REPLY_INVALID_KEY] = {401, "invalid_api_key",
                                   "The API key is missing or not valid here."},
    [APIPOOL_REPLY_ENDPOINT_NOT_ALLOWED] = {403, "endpoint_not_allowed",
                                            "This API key may not use this endpoint."},
    [APIPOOL_REPLY_ENDPOINT_UNLISTED] = {403, "endpoint_unlisted",
                                         "This endpoint is unknown here; an API key with a list of "
                                         "models or token limits may use known endpoints only."},
    [APIPOOL_REPLY_ENDPOINT_CLOSED] = {403, "endpoint_not_allowed",
                                       "Endpoints that administer an account or make credentials "
                                       "are closed here."},
    [APIPOOL_REPLY_MODEL_NOT_ALLOWED] = {403, "model_not_allowed",
                                         "This API key may not use this model."},
    [APIPOOL_REPLY_CLIENT_RPM] = {429, "rate_limit_exceeded",
                                  "This API key has used up its requests per minute (rpm)."},
    [APIPOOL_REPLY_CLIENT_TPM] = {429, "rate_limit_exceeded",
                                  "This API key has used up its tokens per minute (tpm)."},
    [APIPOOL_REPLY_CLIENT_TPD] = {429, "rate_limit_exceeded",
                                  "This API key has used up its tokens per day (tokens_per_day)."},
    [APIPOOL_REPLY_KEY_LIMIT] = {429, "rate_limit_exceeded",
                                 "The key of this connection has used up a limit; try again later, "
                                 "or over a new connection."},
    [APIPOOL_REPLY_CLIENT_CONCURRENCY] = {429, "rate_limit_exceeded",
                                          "This API key has as many requests in flight as it may "
                                          "(concurrency)."},
    [APIPOOL_REPLY_BATCH_TOO_LARGE] = {413, "request_too_large",
                                       "A batch of an API key with a list of models or token "
                                       "limits may have 1 MiB at most; send several."},
    [APIPOOL_REPLY_UNAVAILABLE] = {503, "pool_unavailable",
                                   "This server could not read the keys of this pool; its operator "
                                   "has to put that right."},
    [APIPOOL_REPLY_MAINTENANCE] = {503, "pool_maintenance",
                                   "This pool is down for maintenance; try again later."},
};

static const char *type_of_status(int status)
{
    return status >= 500                      ? "server_error"
           : status == HTTP_TOO_MANY_REQUESTS ? "rate_limit_error"
                                              : "invalid_request_error";
}

static const char *type_of(apipool_reply_e which)
{
    return type_of_status(errors[which].status);
}

static const char *retry_after(apr_pool_t *p, apr_time_t retry_at)
{
    apr_time_t wait = retry_at - apipool_lifecycle_now();
    return apr_psprintf(p, "%" APR_TIME_T_FMT,
                        wait > 0 ? (wait + APR_USEC_PER_SEC - 1) / APR_USEC_PER_SEC : 1);
}

static const char *print_body(apr_pool_t *p, int status, const char *code, const char *message)
{
    return apr_psprintf(
        p, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}\n",
        message, type_of_status(status), code);
}

static const char *make_body(apr_pool_t *p, apipool_reply_e which, const char *message)
{
    return print_body(p, errors[which].status, errors[which].code, message);
}

/* The code is the reason in small letters: "Bad Request" is bad_request. */
const char *apipool_reply_page(apr_pool_t *p, int status)
{
    const char *reason = ap_get_status_line(status) + 4;
    char *code = apr_pstrdup(p, reason);
    for (char *c = code; *c; c++) {
        *c = apipool_ascii_is_alnum(*c) ? apipool_ascii_lower(*c) : '_';
    }
    return print_body(p, status, code,
                      apr_psprintf(p, "This server, not an upstream, answered: %s.", reason));
}

const char *apipool_reply_body(apr_pool_t *p, apipool_reply_e which)
{
    return make_body(p, which, errors[which].message);
}

const char *apipool_reply_code(apipool_reply_e which)
{
    return errors[which].code;
}

int apipool_reply_status(apipool_reply_e which)
{
    return errors[which].status;
}

/* Whether a client's text can stand in JSON as it is. */
static int is_plain(const char *text)
{
    while (apipool_ascii_is_alnum(*text) || *text == '_' || *text == '-') {
        text++;
    }
    return !*text;
}

const char *apipool_reply_event(apr_pool_t *p, apipool_reply_e which, const char *event_id,
                                apr_time_t retry_at)
{
    const char *id =
        *event_id && is_plain(event_id) ? apr_pstrcat(p, "\"", event_id, "\"", NULL) : "null";
    const char *headers = retry_at ? apr_pstrcat(p, ",\"headers\":{\"Retry-After\":\"",
                                                 retry_after(p, retry_at), "\"}", NULL)
                                   : "";
    return apr_psprintf(
        p,
        "{\"type\":\"error\",\"event_id\":\"event_apipool\",\"status\":%d%s,\"error\":"
        "{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\","
        "\"event_id\":%s}}",
        errors[which].status, headers, errors[which].message, type_of(which), errors[which].code,
        id);
}

static int reply(apipool_request_t *req, apipool_reply_e which, const char *body,
                 apr_time_t retry_at)
{
    request_rec *r = req->r;

    r->headers_out = apr_table_make(r->pool, 4);
    r->status = errors[which].status;
    r->status_line = NULL;
    r->content_encoding = NULL;
    r->content_languages = NULL;
    r->eos_sent = 0;
    ap_set_content_type(r, "application/json");
    ap_set_content_length(r, (apr_off_t)strlen(body));
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (retry_at) {
        apr_table_setn(r->headers_out, "Retry-After", retry_after(r->pool, retry_at));
    }
    if (errors[which].status == HTTP_UNAUTHORIZED) {
        apr_table_setn(r->err_headers_out, "WWW-Authenticate", "Bearer");
    }
    if (which == APIPOOL_REPLY_EXHAUSTED) { /* which the SDKs of OpenAI and Anthropic read */
        apr_table_setn(r->headers_out, "x-should-retry", "false");
    }
    apipool_reply_expose(req);
    ap_rputs(body, r);
    return OK;
}

int apipool_reply_error(apipool_request_t *req, apipool_reply_e which, apr_time_t retry_at)
{
    return reply(req, which, apipool_reply_body(req->r->pool, which), retry_at);
}

int apipool_reply_doubt(apipool_request_t *req, const char *doubt)
{
    const apipool_reply_e which = APIPOOL_REPLY_MODEL_NOT_ALLOWED;
    const char *message = apr_psprintf(
        req->r->pool,
        "This API key may use certain models only, and servers would read this request in "
        "different ways: %s.",
        doubt);
    return reply(req, which, make_body(req->r->pool, which, message), 0);
}

/* A text as JSON has it between quotes. */
static const char *escape(apr_pool_t *p, const char *text)
{
    json_t *value = json_string(text);
    char *quoted = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    const char *escaped = quoted ? apr_pstrmemdup(p, quoted + 1, strlen(quoted) - 2) : "";
    free(quoted);
    json_decref(value);
    return escaped;
}

int apipool_reply_maintenance(apipool_request_t *req, const char *message, apr_time_t retry_at)
{
    const apipool_reply_e which = APIPOOL_REPLY_MAINTENANCE;
    message = *message ? escape(req->r->pool, message) : errors[which].message;
    return reply(req, which, make_body(req->r->pool, which, message), retry_at);
}

void apipool_reply_advise(apipool_request_t *req, apipool_acquired_e result, apr_time_t retry_at)
{
    request_rec *r = req->r;
    if (result == APIPOOL_EXHAUSTED) {
        apr_table_setn(r->headers_out, "x-should-retry", "false");
    }
    else if (r->status == HTTP_TOO_MANY_REQUESTS) {
        apr_table_unset(r->headers_out, "retry-after-ms");
        apr_table_unset(r->headers_out, "x-ms-retry-after-ms");
        apr_table_setn(r->headers_out, "Retry-After", retry_after(r->pool, retry_at));
    }
}

void apipool_reply_expose(apipool_request_t *req)
{
    request_rec *r = req->r;
    if (!req->expose) {
        return;
    }
    apr_table_setn(r->headers_out, "X-APIPool-Attempts", apr_itoa(r->pool, req->attempts));
    if (req->attempts) {
        char *id = apr_palloc(r->pool, APIPOOL_ID_SIZE);
        apipool_key_id_hex(req->attempt.lease->id, id);
        apr_table_setn(r->headers_out, "X-APIPool-Key", id);
    }
}

const char *apipool_reply_truncated_event(void)
{
    return "data: {\"error\":{\"message\":\"The upstream ended the stream early.\","
           "\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_truncated\"}}\n\n";
}
