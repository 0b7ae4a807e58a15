/* SPDX-License-Identifier: Apache-2.0
 * An event stream on its way to the client: whole lines only, and an end that says so when it breaks. */
#include "stream.h"

#include <http_protocol.h>

#include "events.h"
#include "reply.h"

#define REST_MAX (64 * 1024) /* a longer line passes in pieces */

void apipool_stream_begin(apipool_request_t *req)
{
    apipool_stream_t *stream = &req->gate.stream;
    stream->active = 1;
    stream->blank = 1;
    stream->hiding = req->attempt.asks_usage;
    if (stream->hiding) { /* the client may get less than the upstream has announced */
        apr_table_unset(req->r->headers_out, "Content-Length");
        req->r->clength = 0;
    }
    stream->rest_len = 0;
    stream->rest = apr_brigade_create(req->r->pool, req->r->connection->bucket_alloc);
}

/* The last two bytes of the data before a bucket, or NULs. */
static void bytes_before(apr_bucket_brigade *bb, apr_bucket *b, char *before)
{
    int missing = 2;
    before[0] = before[1] = '\0';
    for (b = APR_BUCKET_PREV(b); missing && b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_PREV(b)) {
        const char *data;
        apr_size_t len;
        if (APR_BUCKET_IS_METADATA(b) ||
            apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            continue;
        }
        while (missing && len) {
            before[--missing] = data[--len];
        }
    }
}

/* Whether what has been passed ends with an empty line, so that a new event may begin. */
static void note_end(apipool_stream_t *stream, const char *data, apr_size_t len)
{
    stream->blank = len > 1 ? data[len - 2] == '\n' || data[len - 2] == '\r' : stream->blank;
}

static void keep(apipool_stream_t *stream, apr_bucket *b, apr_size_t len)
{
    if (apr_bucket_setaside(b, stream->rest->p) == APR_SUCCESS) {
        APR_BUCKET_REMOVE(b);
        APR_BRIGADE_INSERT_HEAD(stream->rest, b);
        stream->rest_len += (apr_off_t)len;
    }
}

void apipool_stream_pass_lines(apipool_stream_t *stream, apr_bucket_brigade *bb)
{
    apr_bucket *b, *before;

    APR_BRIGADE_PREPEND(bb, stream->rest);
    stream->rest_len = 0;
    for (b = APR_BRIGADE_LAST(bb); b != APR_BRIGADE_SENTINEL(bb); b = before) {
        const char *data;
        apr_size_t len;
        before = APR_BUCKET_PREV(b);
        if (APR_BUCKET_IS_EOS(b)) {
            return;
        }
        if (APR_BUCKET_IS_METADATA(b) ||
            apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            continue;
        }
        apr_size_t lines;
        if (stream->hiding) {
            char bytes[2];
            bytes_before(bb, b, bytes);
            lines = apipool_events_whole(data, len, bytes);
        }
        else {
            lines = apipool_events_lines(data, len);
        }
        if (lines) {
            note_end(stream, data, lines);
        }
        if (lines == len || stream->rest_len + (apr_off_t)(len - lines) > REST_MAX) {
            return;
        }
        if (lines) {
            apr_bucket_split(b, lines);
            b = APR_BUCKET_NEXT(b);
        }
        keep(stream, b, len - lines);
        if (lines) {
            return;
        }
    }
}

/* Hardly any event has one, so most of what passes need not be copied. */
static int may_hold_usage_chunk(apr_bucket_brigade *bb)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;
        if (!APR_BUCKET_IS_METADATA(b) &&
            apr_bucket_read(b, &data, &len, APR_BLOCK_READ) == APR_SUCCESS &&
            apipool_events_may_tell_usage(data, len)) {
            return 1;
        }
    }
    return 0;
}

void apipool_stream_hide_usage(apr_bucket_brigade *bb, apr_pool_t *pool)
{
    apr_off_t total = 0;
    if (!may_hold_usage_chunk(bb) || apr_brigade_length(bb, 1, &total) != APR_SUCCESS) {
        return;
    }
    apr_size_t len = (apr_size_t)total;
    char *text = apr_bucket_alloc(len, bb->bucket_alloc);
    apr_brigade_flatten(bb, text, &len);
    len = apipool_events_drop_usage(text, len, pool);
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb), *next; b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (!APR_BUCKET_IS_METADATA(b)) {
            apr_bucket_delete(b);
        }
    }
    APR_BRIGADE_INSERT_HEAD(bb,
                            apr_bucket_heap_create(text, len, apr_bucket_free, bb->bucket_alloc));
}

/* Without the error bucket httpd closes the chunked body properly, and the client's parser gets to see
 * the event. */
void apipool_stream_break(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apr_bucket *b = APR_BRIGADE_FIRST(bb);
    while (b != APR_BRIGADE_SENTINEL(bb) && !(APR_BUCKET_IS_METADATA(b) && AP_BUCKET_IS_ERROR(b))) {
        b = APR_BUCKET_NEXT(b);
    }
    while (b != APR_BRIGADE_SENTINEL(bb)) {
        apr_bucket *next = APR_BUCKET_NEXT(b);
        apr_bucket_delete(b);
        b = next;
    }
    apipool_stream_pass_lines(&req->gate.stream, bb);
    apr_brigade_cleanup(req->gate.stream.rest);
    apr_brigade_puts(bb, NULL, NULL, req->gate.stream.blank ? "" : "\n");
    apr_brigade_puts(bb, NULL, NULL, apipool_reply_truncated_event());
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    req->r->connection->keepalive = AP_CONN_CLOSE;
}
