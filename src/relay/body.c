/* SPDX-License-Identifier: Apache-2.0
 * The request body: captured once, replayed for every attempt. */
#include "body.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

#define READ_SIZE    (64 * 1024)
#define SMALL_BUCKET 4096 /* copied together: small ones may each hold a large block in memory */

/* mod_proxy_http keeps here what it has not sent of a body; see ap_proxy_http_prefetch. */
#define PROXY_LEFTOVER "proxy-req-input"

static ap_filter_rec_t *replay_handle;

static apr_status_t open_file(apr_file_t **file, apr_pool_t *p)
{
    const char *dir;
    apr_status_t rv = apr_temp_dir_get(&dir, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    char *name = apr_pstrcat(p, dir, "/apipool.XXXXXX", NULL);
    rv = apr_file_mktemp(
        file, name,
        APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_EXCL | APR_FOPEN_BINARY, p);
    /* without a name it is gone with the process, however that ends */
    return rv == APR_SUCCESS ? apr_file_remove(name, p) : rv;
}

static apr_status_t write_brigade(apr_file_t *file, apr_bucket_brigade *bb)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;
        apr_status_t rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
        if (rv == APR_SUCCESS) {
            rv = apr_file_write_full(file, data, len, NULL);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t keep_bucket(apipool_body_t *body, apr_bucket *b, apr_pool_t *p)
{
    const char *data;
    apr_size_t len;
    apr_status_t rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (body->file) {
        return apr_file_write_full(body->file, data, len, NULL);
    }
    if (len < SMALL_BUCKET) {
        return apr_brigade_write(body->brigade, NULL, NULL, data, len);
    }
    rv = apr_bucket_setaside(b, p);
    if (rv == APR_SUCCESS) {
        APR_BUCKET_REMOVE(b);
        APR_BRIGADE_INSERT_TAIL(body->brigade, b);
    }
    return rv;
}

static apr_status_t spill(apipool_body_t *body, apr_pool_t *p)
{
    apr_status_t rv = open_file(&body->file, p);
    if (rv == APR_SUCCESS) {
        rv = write_brigade(body->file, body->brigade);
    }
    apr_brigade_cleanup(body->brigade);
    return rv;
}

/* Takes over what one read has brought. Returns OK or an HTTP status; sets *done at the end. */
static int keep_brigade(apipool_request_t *req, apr_bucket_brigade *bb, int *done)
{
    apipool_body_t *body = &req->body;
    apr_pool_t *p = req->r->pool;

    while (!APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        if (APR_BUCKET_IS_EOS(b)) {
            *done = 1;
            break;
        }
        if (!APR_BUCKET_IS_METADATA(b)) {
            const char *data;
            apr_size_t len;
            apr_status_t rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
            if (rv != APR_SUCCESS) {
                return HTTP_BAD_REQUEST;
            }
            if ((apr_off_t)len > req->pool->body_limit - body->length) {
                return HTTP_REQUEST_ENTITY_TOO_LARGE;
            }
            body->length += (apr_off_t)len;
            if (!body->file && body->length > APIPOOL_BODY_MEMORY_MAX) {
                rv = spill(body, p);
            }
            if (rv == APR_SUCCESS) {
                rv = keep_bucket(body, b, p);
            }
            if (rv != APR_SUCCESS) {
                ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, req->r,
                              APIPOOL_LOG(0010) "cannot keep the request body");
                return HTTP_INTERNAL_SERVER_ERROR;
            }
        }
        if (b == APR_BRIGADE_FIRST(bb)) {
            apr_bucket_delete(b);
        }
    }
    return OK;
}

static int is_announced_too_large(const apipool_request_t *req)
{
    const char *text = apr_table_get(req->r->headers_in, "Content-Length");
    apr_off_t length;
    char *end;
    return text && apr_strtoff(&length, text, &end, 10) == APR_SUCCESS &&
           length > req->pool->body_limit;
}

int apipool_body_capture(apipool_request_t *req)
{
    request_rec *r = req->r;
    apr_bucket_brigade *bb;
    int done = 0;
    int status = OK;

    if (is_announced_too_large(req)) {
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    req->body.brigade = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    while (!done && status == OK) {
        apr_status_t rv =
            ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ, READ_SIZE);
        if (rv != APR_SUCCESS) {
            ap_log_rerror(APLOG_MARK, APLOG_INFO, rv, r,
                          APIPOOL_LOG(0011) "the request body could not be read");
            status = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
            break;
        }
        status = keep_brigade(req, bb, &done);
        apr_brigade_cleanup(bb);
    }
    apr_brigade_destroy(bb);
    if (status == OK && req->body.length > 0) {
        ap_add_input_filter_handle(replay_handle, req, r, r->connection);
    }
    return status;
}

void apipool_body_rewind(apipool_request_t *req)
{
    apr_pool_t *p = req->r->pool;
    void *leftover = NULL;
    apr_pool_userdata_get(&leftover, PROXY_LEFTOVER, p);
    if (leftover) {
        apr_brigade_cleanup(leftover);
        apr_pool_userdata_setn(NULL, PROXY_LEFTOVER, NULL, p);
    }
}

/* Hands out the whole body in one call, whatever size is asked for: mod_proxy_http then knows its
 * exact length and neither spools nor chunks it. File buckets are read as they are sent. */
static apr_status_t replay(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                           apr_read_type_e block, apr_off_t readbytes)
{
    apipool_request_t *req = f->ctx;
    (void)block;
    (void)readbytes;

    if (mode != AP_MODE_READBYTES || !req->inside) {
        return ap_get_brigade(f->next, bb, mode, block, readbytes);
    }
    if (req->body.file) {
        /* mapped pages would count as this process's memory */
        apr_bucket_file_enable_mmap(
            apr_brigade_insert_file(bb, req->body.file, 0, req->body.length, f->r->pool), 0);
    }
    else {
        for (apr_bucket *b = APR_BRIGADE_FIRST(req->body.brigade);
             b != APR_BRIGADE_SENTINEL(req->body.brigade); b = APR_BUCKET_NEXT(b)) {
            apr_bucket *copy;
            apr_status_t rv = apr_bucket_copy(b, &copy);
            if (rv != APR_SUCCESS) {
                return rv;
            }
            APR_BRIGADE_INSERT_TAIL(bb, copy);
        }
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return APR_SUCCESS;
}

void apipool_body_register_filter(void)
{
    replay_handle = ap_register_input_filter("APIPOOL_REPLAY", replay, NULL, AP_FTYPE_RESOURCE);
}
