/* SPDX-License-Identifier: Apache-2.0
 * An event stream on its way to the client: whole lines only, and an end that says so when it breaks. */
#include "stream.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <jansson.h>

#include "reply.h"

#define REST_MAX (64 * 1024) /* a longer line passes in pieces */

/* The end of the line at text, and in *next where the one after it begins: CR LF, LF or CR end it. NULL
 * when it is not complete. */
static const char *line_end(const char *text, const char *end, const char **next)
{
    const char *at = text;
    while (at < end && *at != '\n' && *at != '\r') {
        at++;
    }
    if (at == end || (*at == '\r' && at + 1 == end)) {
        return NULL;
    }
    *next = at + (at[0] == '\r' && at[1] == '\n' ? 2 : 1);
    return at;
}

int apipool_stream_first_event(const char *text, apr_size_t len, apr_pool_t *pool, char **event)
{
    const char *end = text + len, *next, *eol;
    *event = NULL;
    for (; (eol = line_end(text, end, &next)); text = next) {
        if (eol == text && *event) {
            return 1;
        }
        if (eol - text >= 5 && !strncmp(text, "data:", 5)) {
            const char *data = text + 5;
            data += data < eol && *data == ' ';
            char *line = apr_pstrmemdup(pool, data, (apr_size_t)(eol - data));
            *event = *event ? apr_pstrcat(pool, *event, "\n", line, NULL) : line;
        }
    }
    return 0;
}

int apipool_stream_is_error(const char *data, apr_size_t len)
{
    json_error_t ignored;
    json_t *root = json_loadb(data, len, 0, &ignored);
    const json_t *top = json_is_array(root) ? json_array_get(root, 0) : root;
    const json_t *error = json_object_get(top, "error");
    const char *type = json_string_value(json_object_get(top, "type"));
    int is_error = json_is_object(error) || (json_is_string(error) && json_string_length(error)) ||
                   (type && !strcmp(type, "error"));
    json_decref(root);
    return is_error;
}

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

/* Where a bucket's last line ends: the length up to and with its line feed, 0 without one. */
static apr_size_t lines_in(const char *data, apr_size_t len)
{
    while (len && data[len - 1] != '\n') {
        len--;
    }
    return len;
}

/* Whether data ends in an empty line, given the two bytes before it. */
static int ends_event(const char *data, apr_size_t len, const char *before)
{
    char last = len > 1 ? data[len - 2] : before[1];
    char one_before = len > 2 ? data[len - 3] : len > 1 ? before[1] : before[0];
    return data[len - 1] == '\n' && (last == '\n' || (last == '\r' && one_before == '\n'));
}

/* The same for its last event, of a stream in which some are not for the client. */
static apr_size_t events_in(const char *data, apr_size_t len, const char *before)
{
    while (len && !ends_event(data, len, before)) {
        len--;
    }
    return len;
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
            lines = events_in(data, len, bytes);
        }
        else {
            lines = lines_in(data, len);
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

/* The end of the first empty array, or of one that may have begun before; NULL without one. */
static const char *find_empty_array(const char *data, apr_size_t len)
{
    const char *at = data;
    while ((at = memchr(at, ']', len - (apr_size_t)(at - data))) != NULL) {
        if (at == data || at[-1] == '[' || apr_isspace(at[-1])) {
            return at;
        }
        at++;
    }
    return NULL;
}

/* Whether an event is the chunk that a client gets only if it asks for usage: it has that, and no choices.
 * Azure's first chunk has no choices, but no usage either. */
static int is_usage_chunk(const char *text, apr_size_t len, apr_pool_t *p)
{
    json_error_t ignored;
    char *data;
    if (!apipool_stream_first_event(text, len, p, &data)) {
        return 0;
    }
    json_t *root = json_loads(data, 0, &ignored);
    const json_t *choices = json_object_get(root, "choices");
    int found = json_is_object(json_object_get(root, "usage")) && json_is_array(choices) &&
                json_array_size(choices) == 0;
    json_decref(root);
    return found;
}

/* The end of the event that begins at text: behind its empty line, or at the end of all. */
static const char *event_end(const char *text, const char *end)
{
    const char *next, *eol;
    for (; (eol = line_end(text, end, &next)); text = next) {
        if (eol == text) {
            return next;
        }
    }
    return end;
}

/* Where the event begins that a byte is in: behind an empty line, or at the beginning of all. */
static const char *event_start(const char *text, const char *at)
{
    static const char before[2] = {0};
    while (at > text && !ends_event(text, (apr_size_t)(at - text), before)) {
        at--;
    }
    return at;
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
            find_empty_array(data, len)) {
            return 1;
        }
    }
    return 0;
}

/* Takes the events that are not for the client out of the text; returns what is left. Only events with an
 * empty array are looked at. */
static apr_size_t drop_usage_chunks(char *text, apr_size_t len, apr_pool_t *pool)
{
    apr_pool_t *scratch;
    apr_size_t done = 0;
    const char *at;
    apr_pool_create(&scratch, pool);
    while ((at = find_empty_array(text + done, len - done)) != NULL) {
        apr_size_t start = (apr_size_t)(event_start(text + done, at) - text);
        apr_size_t end = (apr_size_t)(event_end(text + start, text + len) - text);
        if (is_usage_chunk(text + start, end - start, scratch)) {
            memmove(text + start, text + end, len - end);
            len -= end - start;
            end = start;
        }
        done = end;
    }
    apr_pool_destroy(scratch);
    return len;
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
    len = drop_usage_chunks(text, len, pool);
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
