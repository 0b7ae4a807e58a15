/* SPDX-License-Identifier: Apache-2.0
 * APIPoolCORS: which pages may read answers, and what browsers ask before they send a request. */
#include "cors.h"

#include <apr_strings.h>

#define ALLOWED_METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
#define MAX_AGE         "86400" /* seconds; browsers have limits of their own */
#define EXPOSED         "Retry-After, X-Request-Id, X-Should-Retry, X-APIPool-Key, X-APIPool-Attempts"

/* Asked for where a browser does not say what it wants to send. */
#define USUAL_FIELDS "Authorization, Content-Type, X-API-Key"

#define FIELDS_MAX 4096

/* What the answer says of the request's origin; NULL: that of a page which may not read it. */
static const char *allowed_origin(const apipool_cors_t *cors, const char *origin)
{
    if (cors->any) {
        return "*";
    }
    for (int i = 0; origin && i < cors->origins->nelts; i++) {
        if (!ap_cstr_casecmp(APR_ARRAY_IDX(cors->origins, i, const char *), origin)) {
            return origin;
        }
    }
    return NULL;
}

/* Names of header fields, and nothing else, go back to who has sent them. */
static const char *requested_fields(request_rec *r)
{
    const char *fields = apr_table_get(r->headers_in, "Access-Control-Request-Headers");
    if (!fields || !*fields || strlen(fields) > FIELDS_MAX ||
        fields[strspn(fields, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.,"
                              " ")]) {
        return USUAL_FIELDS;
    }
    return fields;
}

static int is_preflight(request_rec *r)
{
    return r->method_number == M_OPTIONS && apr_table_get(r->headers_in, "Origin") &&
           apr_table_get(r->headers_in, "Access-Control-Request-Method");
}

static int answer_preflight(request_rec *r, const char *allowed)
{
    if (allowed) {
        apr_table_setn(r->err_headers_out, "Access-Control-Allow-Methods", ALLOWED_METHODS);
        apr_table_setn(r->err_headers_out, "Access-Control-Allow-Headers", requested_fields(r));
        apr_table_setn(r->err_headers_out, "Access-Control-Max-Age", MAX_AGE);
    }
    apr_table_mergen(r->err_headers_out, "Vary",
                     "Access-Control-Request-Method, Access-Control-Request-Headers");
    r->status = HTTP_NO_CONTENT;
    return DONE;
}

/* err_headers_out are sent with every answer, whoever makes it. */
int apipool_cors_header_parser(request_rec *r)
{
    const apipool_dir_conf_t *dir = ap_get_module_config(r->per_dir_config, &apipool_module);
    const apipool_cors_t *cors = dir->cors;
    if (!cors || (!cors->any && !cors->origins->nelts)) {
        return DECLINED;
    }
    const char *allowed = allowed_origin(cors, apr_table_get(r->headers_in, "Origin"));
    if (!cors->any) {
        apr_table_setn(r->err_headers_out, "Vary", "Origin");
    }
    if (allowed) {
        apr_table_setn(r->err_headers_out, "Access-Control-Allow-Origin", allowed);
    }
    if (is_preflight(r)) {
        return answer_preflight(r, allowed);
    }
    if (allowed) {
        apr_table_setn(r->err_headers_out, "Access-Control-Expose-Headers", EXPOSED);
    }
    return DECLINED;
}

void apipool_cors_strip(request_rec *r)
{
    static const char *const fields[] = {
        "Access-Control-Allow-Origin",  "Access-Control-Allow-Credentials",
        "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
        "Access-Control-Max-Age",       "Access-Control-Expose-Headers"};
    for (apr_size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        apr_table_unset(r->headers_out, fields[i]);
    }
}
