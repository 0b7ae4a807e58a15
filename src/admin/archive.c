/* SPDX-License-Identifier: Apache-2.0
 * Routes: export and import of all keys and clients, encrypted under a passphrase. */
#include "access.h"

#include <apr_strings.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "archive.h"

#define AT_ONCE 1 /* over all processes: each takes a processor and up to 256 MiB */
#define WAIT    apr_time_from_sec(2)
#define PADDING 2 /* at most, in base64 */

typedef struct {
    const char *password, *passphrase, *archive;
} archive_body_t;

#define TO(member) offsetof(archive_body_t, member)

static const apipool_json_member_t export_members[] = {
    {"passphrase", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(passphrase),
     .max = APIPOOL_ARCHIVE_PASSPHRASE_MAX},
    {"password", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(password),
     .max = APIPOOL_ADMIN_PASSWORD_MAX},
    {NULL}};
static const apipool_json_member_t import_members[] = {
    {"passphrase", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(passphrase),
     .max = APIPOOL_ARCHIVE_PASSPHRASE_MAX},
    {"archive", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(archive),
     .max = APIPOOL_ADMIN_IMPORT_MAX},
    {NULL}};

/* --- One at a time --- */

static apr_uint64_t gate(void)
{
    return apipool_caller_hash("archives", 8);
}

/* Returns DECLINED, or the status of the error sent. Leave with apipool_admin_api->viewer_leave. */
static int enter(request_rec *r)
{
    return apipool_admin_api->viewer_enter(gate(), AT_ONCE)
               ? DECLINED
               : apipool_admin_retry_later(r, HTTP_SERVICE_UNAVAILABLE, "busy",
                                           "Another archive is being made or read. Wait as long as "
                                           "Retry-After says.",
                                           WAIT);
}

/* An archive has all that the server has, so it is no matter of a location that sees a part. */
static int check_place(const apipool_admin_request_t *request)
{
    return request->conf->pools
               ? apipool_admin_error(request->r, HTTP_FORBIDDEN, "restricted",
                                     "Archives are made and read only where all pools are visible: "
                                     "APIPoolAdminPools limits this location.")
               : DECLINED;
}

/* --- Export --- */

static json_t *text_of(const apipool_archived_t *archived)
{
    apr_size_t room = (archived->len + 2) / 3 * 4 + 1;
    char *text = archived->len < INT_MAX / 2 ? malloc(room) : NULL;
    int len =
        text ? EVP_EncodeBlock((unsigned char *)text, archived->bytes, (int)archived->len) : 0;
    json_t *value = text ? json_stringn_nocheck(text, (size_t)len) : NULL;
    free(text);
    return value;
}

static int send_archive(apipool_admin_request_t *request, const char *passphrase)
{
    request_rec *r = request->r;
    apipool_archived_t archived;
    apipool_input_error_t flaw = {NULL};
    apr_status_t rv =
        apipool_admin_api->archive_export(r->server, passphrase, r->pool, &archived, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "an archive cannot be made", &flaw);
    }
    apipool_admin_audit(request,
                        apr_psprintf(r->pool, "archive exported (%u whole keys, %u clients)",
                                     archived.keys, archived.clients),
                        NULL);
    return apipool_admin_reply(r, HTTP_OK,
                               json_pack("{s:I,s:I,s:o}", "keys", (json_int_t)archived.keys,
                                         "clients", (json_int_t)archived.clients, "archive",
                                         text_of(&archived)));
}

/* Whole keys leave here, so what protects the reveal of one does so for all. */
static int check_export(apipool_admin_request_t *request, archive_body_t *body)
{
    request_rec *r = request->r;
    const char *entry;
    unsigned present;
    int status = check_place(request);
    if (status == DECLINED && (request->conf->reveal != 1 || !request->conf->user_file)) {
        return apipool_admin_error(r, HTTP_FORBIDDEN, "reveal_off",
                                   "Keys cannot be shown here: APIPoolAdminReveal is off, or "
                                   "APIPoolAdminUserFile is not set.");
    }
    if (status == DECLINED) {
        status =
            apipool_admin_read_object(r, APIPOOL_ADMIN_LOGIN_MAX, export_members, body, &present);
    }
    if (status == DECLINED && strlen(body->passphrase) < APIPOOL_ARCHIVE_PASSPHRASE_MIN) {
        return apipool_admin_refuse(r, "passphrase",
                                    apr_psprintf(r->pool, "Must be at least %d bytes long.",
                                                 APIPOOL_ARCHIVE_PASSPHRASE_MIN));
    }
    return status == DECLINED
               ? apipool_password_check(request, request->caller.user, body->password, &entry)
               : status;
}

int apipool_admin_archive_export(apipool_admin_request_t *request)
{
    archive_body_t body = {NULL};
    int status = check_export(request, &body);
    status = status == DECLINED ? enter(request->r) : status;
    if (status != DECLINED) {
        return status;
    }
    status = send_archive(request, body.passphrase);
    apipool_admin_api->viewer_leave(gate());
    return status;
}

/* --- Import --- */

/* Decodes base64. Returns 0 if it is none. */
static int decode(const char *text, apr_pool_t *p, apipool_archive_source_t *source)
{
    apr_size_t len = strlen(text);
    if (len == 0 || len % 4 || len > INT_MAX / 2) {
        return 0;
    }
    unsigned char *bytes = apr_palloc(p, len / 4 * 3);
    int padding = 0;
    while (padding < PADDING && text[len - 1 - (apr_size_t)padding] == '=') {
        padding++;
    }
    int got = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len);
    source->bytes = bytes;
    source->len = got > padding ? (apr_size_t)(got - padding) : 0;
    return got > padding;
}

static int answer_import(apipool_admin_request_t *request, json_t *result)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_object_get(result, "items"), i, item)
    {
        apipool_admin_translate(request->r, item, "reason");
    }
    return apipool_admin_reply(request->r, HTTP_OK, result);
}

static int import_archive(apipool_admin_request_t *request, const apipool_archive_source_t *source)
{
    request_rec *r = request->r;
    apipool_input_error_t flaw = {NULL};
    apr_array_header_t *ids = NULL;
    json_t *result = NULL;
    apr_status_t rv =
        apipool_admin_api->archive_import(r->server, source, r->pool, &result, &ids, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "an archive cannot be imported", &flaw);
    }
    if (!source->only_looks) {
        int clients =
            (int)json_integer_value(json_object_get(json_object_get(result, "clients"), "added"));
        apipool_admin_audit(request,
                            apr_psprintf(r->pool, "archive imported (%d keys, %d clients added)",
                                         ids->nelts, clients),
                            ids);
    }
    return answer_import(request, result);
}

static const char *const truths[] = {"false", "true"};

int apipool_admin_archive_import(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    archive_body_t body = {NULL};
    apipool_archive_source_t source = {NULL};
    apipool_query_t query;
    apipool_input_error_t flaw;
    unsigned present;
    int status = check_place(request);
    if (status != DECLINED) {
        return status;
    }
    apipool_query_open(&query, r->pool, r->args, &flaw);
    source.only_looks = (int)apipool_query_choice(&query, "preview", truths, 2, 0);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, flaw.field, flaw.message);
    }
    status =
        apipool_admin_read_object(r, APIPOOL_ADMIN_IMPORT_MAX, import_members, &body, &present);
    if (status == DECLINED && !decode(body.archive, r->pool, &source)) {
        return apipool_admin_refuse(r, "archive", "Must be an archive in base64.");
    }
    status = status == DECLINED ? enter(r) : status;
    if (status != DECLINED) {
        return status;
    }
    source.passphrase = body.passphrase;
    status = import_archive(request, &source);
    apipool_admin_api->viewer_leave(gate());
    return status;
}
