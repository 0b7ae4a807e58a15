/* SPDX-License-Identifier: Apache-2.0
 * What has come from an upstream and has not been asked for yet. */
#include "upstream_buffer.h"

#include <apr_portable.h>
#include <http_core.h>
#include <sys/socket.h>

#include "key.h"

apipool_upstream_buffer_t *apipool_upstream_buffer_make(conn_rec *c)
{
    apipool_upstream_buffer_t *intake = apr_pcalloc(c->pool, sizeof(*intake));
    intake->buckets = apr_brigade_create(c->pool, c->bucket_alloc);
    return intake;
}

/* Whether nothing stands before the socket but mod_logio's count, which is of interest for clients only. */
static int is_socket_next(const ap_filter_t *below)
{
    while (below && !strcmp(below->frec->name, "log_input_output")) {
        below = below->next;
    }
    return below && !strcmp(below->frec->name, "core_in");
}

void apipool_upstream_buffer_begin(apipool_upstream_buffer_t *intake, const ap_filter_t *below)
{
    apr_bucket *first = APR_BRIGADE_FIRST(intake->buckets);
    if (first != APR_BRIGADE_SENTINEL(intake->buckets) && first->length == 0) {
        apr_bucket_delete(first);
    }
    if (!intake->started) {
        intake->started = 1;
        intake->socket = is_socket_next(below) ? ap_get_conn_socket(below->c) : NULL;
    }
}

apr_size_t apipool_upstream_buffer_length(const apipool_upstream_buffer_t *intake)
{
    apr_size_t length = 0;
    for (const apr_bucket *b = APR_BRIGADE_FIRST(intake->buckets);
         b != APR_BRIGADE_SENTINEL(intake->buckets); b = APR_BUCKET_NEXT(b)) {
        length += b->length;
    }
    return length;
}

int apipool_upstream_buffer_is_readable(const apipool_upstream_buffer_t *intake)
{
    apr_os_sock_t fd;
    char byte;
    return apr_os_sock_get(&fd, intake->socket) ||
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
           (errno != EAGAIN && errno != EWOULDBLOCK);
}

static apr_status_t receive(apipool_upstream_buffer_t *intake, apr_read_type_e block)
{
    apr_bucket_alloc_t *alloc = intake->buckets->bucket_alloc;
    apr_size_t len = APR_BUCKET_BUFF_SIZE;
    char *text = apr_bucket_alloc(len, alloc);
    apr_interval_time_t timeout = 0;

    if (block == APR_NONBLOCK_READ) {
        apr_socket_timeout_get(intake->socket, &timeout);
        apr_socket_timeout_set(intake->socket, 0);
    }
    apr_status_t rv = apr_socket_recv(intake->socket, text, &len);
    if (block == APR_NONBLOCK_READ) {
        apr_socket_timeout_set(intake->socket, timeout);
    }
    if (rv != APR_SUCCESS || len == 0) {
        apr_bucket_free(text);
        return rv == APR_SUCCESS ? APR_EOF : rv;
    }
    APR_BRIGADE_INSERT_TAIL(intake->buckets,
                            apr_bucket_heap_create(text, len, apr_bucket_free, alloc));
    return APR_SUCCESS;
}

/* What filters hand out may be theirs for the moment only, and end with an EOS of its own. */
static apr_status_t ask(apipool_upstream_buffer_t *intake, ap_filter_t *below,
                        apr_read_type_e block)
{
    apr_bucket_brigade *bb = intake->buckets;
    apr_bucket *last = APR_BRIGADE_LAST(bb);
    apr_size_t before = apipool_upstream_buffer_length(intake);
    apr_status_t rv = ap_get_brigade(below, bb, AP_MODE_READBYTES, block, APR_BUCKET_BUFF_SIZE);

    for (apr_bucket *b = APR_BUCKET_NEXT(last), *next; b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (rv == APR_SUCCESS && APR_BUCKET_IS_EOS(b)) {
            rv = APR_EOF;
        }
        if (rv != APR_SUCCESS || APR_BUCKET_IS_METADATA(b) || b->length == 0) {
            apr_bucket_delete(b);
        }
        else {
            rv = apr_bucket_setaside(b, bb->p);
        }
    }
    return rv == APR_SUCCESS && apipool_upstream_buffer_length(intake) == before ? APR_EAGAIN : rv;
}

apr_status_t apipool_upstream_buffer_fill(apipool_upstream_buffer_t *intake, ap_filter_t *below,
                                          apr_read_type_e block)
{
    if (intake->ended) {
        return APR_EOF;
    }
    apr_status_t rv = intake->socket ? receive(intake, block) : ask(intake, below, block);
    intake->ended = APR_STATUS_IS_EOF(rv);
    return rv;
}

/* Makes one bucket of the first two. */
static void join(apipool_upstream_buffer_t *intake)
{
    apr_bucket *old[2] = {APR_BRIGADE_FIRST(intake->buckets)};
    apr_size_t total = 0;
    old[1] = APR_BUCKET_NEXT(old[0]);
    char *text = apr_bucket_alloc(old[0]->length + old[1]->length, old[0]->list);

    for (int i = 0; i < 2; i++) {
        const char *part;
        apr_size_t len;
        if (apr_bucket_read(old[i], &part, &len, APR_BLOCK_READ) == APR_SUCCESS) {
            memcpy(text + total, part, len);
            total += len;
        }
    }
    APR_BUCKET_INSERT_BEFORE(old[0],
                             apr_bucket_heap_create(text, total, apr_bucket_free, old[0]->list));
    apr_bucket_delete(old[0]);
    apr_bucket_delete(old[1]);
}

apr_size_t apipool_upstream_buffer_line(apipool_upstream_buffer_t *intake, const char **line)
{
    for (;;) {
        apr_bucket *first = APR_BRIGADE_FIRST(intake->buckets);
        apr_size_t len;
        if (first == APR_BRIGADE_SENTINEL(intake->buckets) ||
            apr_bucket_read(first, line, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            return 0;
        }
        if (intake->vetted) {
            return intake->vetted;
        }
        len = len < HUGE_STRING_LEN ? len : HUGE_STRING_LEN;
        const char *end = memchr(*line, '\n', len);
        if (end) {
            return (apr_size_t)(end - *line) + 1;
        }
        if (len == HUGE_STRING_LEN) {
            return len;
        }
        if (APR_BUCKET_NEXT(first) == APR_BRIGADE_SENTINEL(intake->buckets)) {
            return intake->ended ? len : 0;
        }
        join(intake);
    }
}

void apipool_upstream_buffer_redact(apipool_upstream_buffer_t *intake, apr_size_t len,
                                    const apipool_lease_t *lease)
{
    const apr_bucket *first = APR_BRIGADE_FIRST(intake->buckets);
    if (APR_BUCKET_IS_HEAP(first)) {
        char *line = ((apr_bucket_heap *)first->data)->base + first->start;
        apipool_key_redact(line, len, lease->key, lease->len);
    }
}

int apipool_upstream_buffer_behind(const apipool_upstream_buffer_t *intake, apr_size_t len)
{
    const char *text;
    apr_size_t has;
    int read = apr_bucket_read(APR_BRIGADE_FIRST(intake->buckets), &text, &has, APR_BLOCK_READ);
    return read == APR_SUCCESS && len < has ? (unsigned char)text[len] : -1;
}

void apipool_upstream_buffer_skip(apipool_upstream_buffer_t *intake, apr_size_t len)
{
    apr_bucket *first = APR_BRIGADE_FIRST(intake->buckets);
    first->start += (apr_off_t)len;
    first->length -= len;
    intake->vetted = 0;
}

void apipool_upstream_buffer_show(const apipool_upstream_buffer_t *intake, apr_bucket_brigade *bb,
                                  apr_off_t max)
{
    const char *text;
    apr_size_t len;
    if (apr_bucket_read(APR_BRIGADE_FIRST(intake->buckets), &text, &len, APR_BLOCK_READ) ==
        APR_SUCCESS) {
        len = (apr_off_t)len < max ? len : (apr_size_t)max;
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_transient_create(text, len, bb->bucket_alloc));
    }
}

apr_status_t apipool_upstream_buffer_take(apipool_upstream_buffer_t *intake, apr_bucket_brigade *bb,
                                          apr_off_t max)
{
    apr_bucket *first = APR_BRIGADE_FIRST(intake->buckets);
    apr_status_t rv = APR_SUCCESS;
    if ((apr_off_t)first->length > max) {
        rv = apr_bucket_split(first, (apr_size_t)max);
    }
    if (rv == APR_SUCCESS) {
        APR_BUCKET_REMOVE(first);
        APR_BRIGADE_INSERT_TAIL(bb, first);
        intake->vetted = 0;
    }
    return rv;
}
