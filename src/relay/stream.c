/* SPDX-License-Identifier: Apache-2.0
 * An event stream on its way to the client: whole lines only, and an end that says so when it breaks. */
#include "stream.h"

#include <http_protocol.h>
#include <jansson.h>

#include "ascii.h"
#include "content_type.h"
#include "reply.h"
#include "sse.h"
#include "token_count.h"

#define REST_MAX (64 * 1024) /* a longer line passes in pieces */

/* Whether text begins with a field of an event, or might if there was more of it. */
static int begins_as_event(const char *text, apr_size_t len)
{
    static const char *const fields[] = {"data:", "event:", "id:", "retry:", ":"};
    for (apr_size_t i = 0; len && i < sizeof(fields) / sizeof(*fields); i++) {
        apr_size_t size = strlen(fields[i]);
        if (!memcmp(text, fields[i], len < size ? len : size)) {
            return 1;
        }
    }
    return 0;
}

/* No JSON begins as an event does, nor does a text that somebody has not asked for as a stream. */
static int may_be_mistyped(const apipool_request_t *req)
{
    const request_rec *r = req->r;
    return r->status == HTTP_OK && req->body.sniffed &&
           req->body.sniffed[APIPOOL_BODY_STREAM].kind == APIPOOL_SNIFF_TRUE &&
           (!r->content_type || apipool_content_is_of_type(r, "application/json") ||
            apipool_content_is_of_type(r, "text/plain") ||
            apipool_content_is_of_type(r, "application/octet-stream"));
}

int apipool_stream_is_one(const apipool_request_t *req, apr_bucket_brigade *bb)
{
    const char *data = "";
    apr_size_t len = 0;
    if (apipool_content_is_encoded(req->r)) {
        return 0;
    }
    if (apipool_content_is_of_type(req->r, "text/event-stream")) {
        return 1;
    }
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb);
         may_be_mistyped(req) && !len && b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        if (!APR_BUCKET_IS_METADATA(b) &&
            apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            return 0;
        }
    }
    if (len >= 3 && !memcmp(data, "\xef\xbb\xbf", 3)) {
        data += 3;
        len -= 3;
    }
    const char *begin = apipool_ascii_skip_space(data, data + len);
    return begins_as_event(begin, (apr_size_t)(data + len - begin));
}

void apipool_stream_begin(apipool_request_t *req)
{
    apipool_stream_t *stream = &req->gate.stream;
    memset(stream, 0, sizeof(*stream));
    stream->active = 1;
    stream->gap = "";
    stream->hiding = req->attempt.asks_usage;
    if (stream->hiding) { /* the client may get less than the upstream has announced */
        apr_table_unset(req->r->headers_out, "Content-Length");
        req->r->clength = 0;
    }
    stream->rest = apr_brigade_create(req->r->pool, req->r->connection->bucket_alloc);
}

/* The bucket that the last line, or event, ends in which may pass, and in *part how many of its bytes may;
 * NULL where none ends in what has come now. */
static apr_bucket *find_end(apipool_stream_t *stream, apr_bucket_brigade *bb, apr_size_t *part)
{
    apr_bucket *end = NULL;
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;
        if (APR_BUCKET_IS_METADATA(b) ||
            apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS || !len) {
            continue;
        }
        apr_size_t whole = stream->hiding ? apipool_sse_whole(data, len, stream->last)
                                          : apipool_sse_lines(data, len);
        if (whole) {
            stream->gap = apipool_sse_end(data, whole, stream->last) ? "" : "\n";
            *part = whole;
            end = b;
        }
        stream->last[0] = len > 1 ? data[len - 2] : stream->last[1];
        stream->last[1] = data[len - 1];
    }
    return end;
}

/* Small pieces are put together, so that a line that comes byte by byte does not cost a bucket for each. */
static void keep_from(apipool_stream_t *stream, apr_bucket_brigade *bb, apr_bucket *b)
{
    apr_bucket *next;
    for (; b != APR_BRIGADE_SENTINEL(bb); b = next) {
        const char *data;
        apr_size_t len;
        next = APR_BUCKET_NEXT(b);
        if (APR_BUCKET_IS_METADATA(b) ||
            apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            continue;
        }
        if (APR_BRIGADE_EMPTY(stream->rest)) {
            APR_BRIGADE_INSERT_TAIL(stream->rest,
                                    apr_bucket_heap_create(data, len, NULL, bb->bucket_alloc));
        }
        else {
            apr_brigade_write(stream->rest, NULL, NULL, data, len);
        }
        stream->rest_len += (apr_off_t)len;
        apr_bucket_delete(b);
    }
}

static void pass_rest(apipool_stream_t *stream, apr_bucket_brigade *bb)
{
    APR_BRIGADE_PREPEND(bb, stream->rest);
    stream->rest_len = 0;
}

/* Only what is new is looked at: there is no end in what was kept back. */
void apipool_stream_pass_lines(apipool_stream_t *stream, apr_bucket_brigade *bb)
{
    apr_bucket *last = APR_BRIGADE_LAST(bb);
    apr_size_t part = 0;
    apr_off_t len = 0;

    if (last != APR_BRIGADE_SENTINEL(bb) && APR_BUCKET_IS_EOS(last)) {
        pass_rest(stream, bb);
        return;
    }
    apr_bucket *b = find_end(stream, bb, &part);
    if (!b) {
        apr_brigade_length(bb, 1, &len);
        if (stream->rest_len + len <= REST_MAX) {
            keep_from(stream, bb, APR_BRIGADE_FIRST(bb));
            return;
        }
        pass_rest(stream, bb);
    }
    else {
        if (part < b->length) {
            apr_bucket_split(b, part);
        }
        pass_rest(stream, bb);
        keep_from(stream, bb, APR_BUCKET_NEXT(b));
        if (stream->rest_len <= REST_MAX) {
            return;
        }
        APR_BRIGADE_CONCAT(bb, stream->rest);
        stream->rest_len = 0;
    }
    stream->gap = stream->last[1] == '\n' ? "\n" : "\n\n";
}

/* ---- what passes is read ---- */

/* An event that is an error stays in the request: it is what is judged. */
static void note_error(apipool_request_t *req, const apipool_sse_event_t *event)
{
    apipool_gate_t *gate = &req->gate;
    apipool_ends_e ignored;
    if (apipool_opening_of_event(event, &ignored) == APIPOOL_OPENS_ERROR) {
        gate->failed = 1;
        gate->event = apr_pstrmemdup(req->r->pool, event->data, event->len);
        gate->event_len = event->len;
    }
}

/* Whether a word stands where an error has it: as a name or a value, not in a text. */
static int is_worth_reading(const char *text, const char *at, const char *end, apr_size_t len)
{
    if (at == text || at + len >= end) {
        return 0;
    }
    if (at[-1] != '"') {
        return at - text >= 6 && (!memcmp(at - 6, "event:", 6) || !memcmp(at - 6, "vent: ", 6));
    }
    const char *colon = at[len] == '"' ? apipool_ascii_skip_space(at + len + 1, end) : end;
    if (colon == end || *colon != ':') {
        return at[len] == '"';
    }
    const char *value = apipool_ascii_skip_space(colon + 1, end);
    return value < end && *value != 'n'; /* null */
}

/* Hardly any event has the word, so that nearly all are passed over. */
static void find_error(apipool_request_t *req, const char *text, apr_size_t len, const char *word)
{
    const char *at = text, *end = text + len;
    apr_size_t word_len = strlen(word);
    apr_pool_t *scratch = NULL;
    while (!req->gate.failed && at < end &&
           (at = memmem(at, (apr_size_t)(end - at), word, word_len)) != NULL) {
        apipool_sse_event_t event;
        if (!is_worth_reading(text, at, end, word_len)) {
            at += word_len;
            continue;
        }
        if (!scratch) {
            apr_pool_create(&scratch, req->r->pool);
        }
        const char *next = apipool_sse_start(text, at);
        do {
            next = apipool_sse_read(next, end, scratch, &event);
        } while (next && next <= at);
        note_error(req, &event);
        req->gate.stream.failing = !next && !event.len && !strcmp(event.name, "error");
        at = next ? next : end;
    }
    if (scratch) {
        apr_pool_destroy(scratch);
    }
}

/* The name of an event came alone. */
static void read_data_of_error(apipool_request_t *req, const char *text, apr_size_t len)
{
    apr_pool_t *scratch;
    apipool_sse_event_t event;
    apr_pool_create(&scratch, req->r->pool);
    apipool_sse_read(text, text + len, scratch, &event);
    event.name = "error";
    req->gate.stream.failing = 0;
    note_error(req, &event);
    apr_pool_destroy(scratch);
}

static void watch(apipool_request_t *req, const char *text, apr_size_t len)
{
    apipool_stream_t *stream = &req->gate.stream;
    if (!stream->finished && req->gate.ends == APIPOOL_ENDS_FINISHED) {
        stream->finished = apipool_opening_finishes(text, len);
    }
    if (stream->failing) {
        read_data_of_error(req, text, len);
    }
    find_error(req, text, len, "error");
    find_error(req, text, len, "base_resp");
}

void apipool_stream_watch(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apipool_gate_t *gate = &req->gate;
    char *text;
    apr_off_t total = 0;
    apr_size_t len;
    gate->stream.finished |=
        gate->ends != APIPOOL_ENDS_FINISHED && apipool_token_count_is_done(&gate->count);
    apr_brigade_length(bb, 1, &total);
    if (gate->failed || gate->in_band || total <= 0) {
        return;
    }
    apr_bucket *b = APR_BRIGADE_FIRST(bb);
    if (b->length == (apr_size_t)total) {
        const char *data;
        if (apr_bucket_read(b, &data, &len, APR_BLOCK_READ) == APR_SUCCESS) {
            watch(req, data, len);
        }
        return;
    }
    len = (apr_size_t)total;
    text = apr_bucket_alloc(len, bb->bucket_alloc);
    apr_brigade_flatten(bb, text, &len);
    watch(req, text, len);
    apr_bucket_free(text);
}

/* Whether a line that no line feed ends is whole all the same. */
static int is_whole(const char *line, const char *end)
{
    json_error_t ignored;
    const char *data = apipool_sse_field(line, end, "data");
    if (!data) {
        return memchr(line, ':', (apr_size_t)(end - line)) != NULL;
    }
    data = apipool_ascii_skip_space(data, end);
    if (data == end || (*data != '{' && *data != '[') ||
        !strncmp(data, "[DONE]", (apr_size_t)(end - data))) {
        return 1;
    }
    json_t *root = json_loadb(data, (apr_size_t)(end - data), JSON_DECODE_INT_AS_REAL, &ignored);
    json_decref(root);
    return root != NULL;
}

/* Whether what is left at the end is the beginning of a line. */
static int ends_in_half_a_line(apr_bucket_brigade *bb, apr_pool_t *pool)
{
    char *text = NULL;
    apr_size_t len = 0;
    apr_brigade_pflatten(bb, &text, &len, pool);
    if (!text) {
        return 0;
    }
    apr_size_t lines = apipool_sse_lines(text, len);
    return lines < len && text[len - 1] != '\r' && !is_whole(text + lines, text + len);
}

int apipool_stream_is_cut(apipool_request_t *req, apr_bucket_brigade *bb)
{
    const apipool_gate_t *gate = &req->gate;
    apr_bucket *last = APR_BRIGADE_LAST(bb);
    if (last == APR_BRIGADE_SENTINEL(bb) || !APR_BUCKET_IS_EOS(last) || gate->failed ||
        gate->in_band || apipool_token_count_is_done(&gate->count)) {
        return 0;
    }
    return (gate->ends != APIPOOL_ENDS_ANYHOW && !gate->stream.finished) ||
           ends_in_half_a_line(bb, req->r->pool);
}

/* ---- the end ---- */

/* What comes in one bucket, as most events do, is searched where it is. */
static int may_tell_usage(apr_bucket_brigade *bb)
{
    const char *data = NULL;
    apr_size_t len = 0;
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_METADATA(b) || !b->length) {
            continue;
        }
        if (data || apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            return 1;
        }
    }
    return data && memmem(data, len, "\"usage\"", 7) != NULL;
}

void apipool_stream_hide_usage(apr_bucket_brigade *bb, apr_pool_t *pool)
{
    apr_off_t total = 0;
    if (!may_tell_usage(bb) || apr_brigade_length(bb, 1, &total) != APR_SUCCESS || total == 0) {
        return;
    }
    apr_size_t len = (apr_size_t)total;
    char *text = apr_bucket_alloc(len, bb->bucket_alloc);
    apr_brigade_flatten(bb, text, &len);
    len = apipool_sse_drop_usage(text, len, pool);
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb), *next; b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (!APR_BUCKET_IS_METADATA(b)) {
            apr_bucket_delete(b);
        }
    }
    APR_BRIGADE_INSERT_HEAD(bb,
                            apr_bucket_heap_create(text, len, apr_bucket_free, bb->bucket_alloc));
}

/* From the error bucket, or the end, on. */
static void cut_off(apr_bucket_brigade *bb)
{
    int is_cut = 0;
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb), *next; b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        is_cut |= APR_BUCKET_IS_EOS(b) || AP_BUCKET_IS_ERROR(b);
        if (is_cut) {
            apr_bucket_delete(b);
        }
    }
}

void apipool_stream_finish(apipool_stream_t *stream, apr_bucket_brigade *bb)
{
    cut_off(bb);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    apipool_stream_pass_lines(stream, bb);
}

/* Without the error bucket httpd closes the chunked body properly, and the client's parser gets to see
 * the event. */
void apipool_stream_break(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apipool_stream_t *stream = &req->gate.stream;
    cut_off(bb);
    apipool_stream_pass_lines(stream, bb);
    apr_brigade_cleanup(stream->rest);
    apr_brigade_puts(bb, NULL, NULL, stream->gap);
    apr_brigade_puts(bb, NULL, NULL, apipool_reply_truncated_event());
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    req->r->connection->keepalive = AP_CONN_CLOSE;
}
