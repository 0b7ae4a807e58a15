/* SPDX-License-Identifier: Apache-2.0
 * A WebSocket on its way to the client: what the upstream says, and what we have to say in between. */
#include <apr_strings.h>
#include <http_protocol.h>
#include <stdlib.h>

#include "blame.h"
#include "client_conn.h"
#include "websocket_parts.h"

#define NEWS_MAX     (64 * 1024) /* that a client may make wait */
#define BAD_UPSTREAM 1011 /* close code: the server met something that keeps it from going on */

int apipool_websocket_is_asked(const apipool_request_t *req)
{
    const char *upgrade = apr_table_get(req->r->headers_in, "Upgrade");
    return upgrade && ap_find_token(req->r->pool, upgrade, "websocket");
}

int apipool_websocket_is_read(const apipool_request_t *req)
{
    return apipool_endpoint_speaks_events(req->path) || apipool_endpoint_speaks_events(req->plain);
}

/* The model in the query, which the handshake was judged by. */
static const char *model_in_query(const request_rec *r)
{
    const char *args = r->args;
    while (args && *args) {
        const char *arg = ap_getword(r->pool, &args, '&');
        char *name = ap_getword(r->pool, &arg, '='), *model = apr_pstrdup(r->pool, arg);
        if ((!ap_cstr_casecmp(name, "model") || !ap_cstr_casecmp(name, "deployment")) &&
            ap_unescape_urlencoded(model) == OK) {
            return model;
        }
    }
    return "";
}

/* A session that only transcribes has the model of its transcription, which session.update names; one of
 * a call has the model that the call was made with. */
static int needs_no_model(const request_rec *r)
{
    return r->args && (strstr(r->args, "intent=transcription") || strstr(r->args, "call_id="));
}

static apr_status_t forget_held(void *data)
{
    apipool_websocket_t *ws = data;
    free(ws->held);
    free(ws->news);
    ws->held = ws->news = NULL;
    apipool_usage_end(&ws->usage);
    return APR_SUCCESS;
}

apipool_websocket_t *apipool_websocket_make(apipool_request_t *req)
{
    request_rec *r = req->r;
    if (req->probing || !apipool_websocket_is_asked(req) || !apipool_websocket_is_read(req)) {
        return NULL;
    }
    apipool_websocket_t *ws = apr_pcalloc(r->pool, sizeof(*ws));
    const char *model = model_in_query(r);
    ws->req = req;
    ws->is_responses =
        apipool_endpoint_is_responses(req->path) || apipool_endpoint_is_responses(req->plain);
    ws->has_model = *model || needs_no_model(r);
    ws->has_list =
        req->client && apipool_client_restricts(&req->client->terms, APIPOOL_CLIENT_MODELS);
    apipool_name_clean(ws->model, sizeof(ws->model), model, strlen(model));
    memcpy(ws->sum.model, ws->model, sizeof(ws->sum.model));
    apipool_websocket_frame_begin(&ws->from_client, 1);
    apipool_websocket_frame_begin(&ws->from_upstream, 0);
    apipool_usage_begin(&ws->usage, 0);
    ws->lease = apr_pcalloc(r->pool, sizeof(*ws->lease));
    ws->sum.tokens = (apipool_usage_t){-1, -1, -1, -1};
    ws->in = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    /* when one side has closed, it is over, and its key is free for others */
    apr_table_setn(r->subprocess_env, "proxy-nohalfclose", "1");
    apr_pool_cleanup_register(r->pool, ws, forget_held, apr_pool_cleanup_null);
    return ws;
}

const apipool_websocket_sum_t *apipool_websocket_sum(const apipool_request_t *req)
{
    return req->websocket ? &req->websocket->sum : NULL;
}

static void add_news(apipool_websocket_t *ws, apipool_websocket_frame_opcode_e opcode,
                     const char *text, apr_size_t len)
{
    char header[APIPOOL_WEBSOCKET_FRAME_HEADER_MAX];
    apr_size_t header_len = apipool_websocket_frame_write_header(header, opcode, len);
    char *news = realloc(ws->news, ws->news_len + header_len + len);
    if (!news) {
        return;
    }
    memcpy(news + ws->news_len, header, header_len);
    memcpy(news + ws->news_len + header_len, text, len);
    ws->news = news;
    ws->news_len += header_len + len;
}

static void add_close(apipool_websocket_t *ws, int code)
{
    const char text[2] = {(char)(code >> 8), (char)code};
    add_news(ws, APIPOOL_WS_CLOSE, text, sizeof(text));
    ws->is_over = 1;
}

static apr_bucket *take_news(apipool_websocket_t *ws, apr_bucket_alloc_t *alloc)
{
    apr_bucket *news = apr_bucket_heap_create(ws->news, ws->news_len, free, alloc);
    ws->news = NULL;
    ws->news_len = 0;
    return news;
}

/* Sends what there is to say; the connection's end comes after it. */
static apr_status_t send_news(apipool_websocket_t *ws)
{
    conn_rec *c = ws->req->r->connection;
    if (ws->news_len) {
        APR_BRIGADE_INSERT_TAIL(ws->in, take_news(ws, c->bucket_alloc));
    }
    APR_BRIGADE_INSERT_TAIL(ws->in, apr_bucket_flush_create(c->bucket_alloc));
    apr_status_t rv = ap_pass_brigade(c->output_filters, ws->in);
    apr_brigade_cleanup(ws->in);
    if (ws->is_over) {
        apipool_request_hush(ws->req->r);
        return APR_ECONNABORTED;
    }
    return rv;
}

/* In the middle of a message of the upstream's it has to wait for the end of that. */
static apr_status_t tell_client(apipool_websocket_t *ws)
{
    return apipool_websocket_frame_is_between(&ws->from_upstream) ? send_news(ws) : APR_SUCCESS;
}

apr_status_t apipool_websocket_refuse(apipool_websocket_t *ws, apipool_reply_e which,
                                      apr_time_t retry_at, int close_code)
{
    const request_rec *r = ws->req->r;
    apr_pool_t *scratch;
    apr_pool_create(&scratch, r->pool);
    const char *event = apipool_reply_event(
        scratch, which, apipool_websocket_event_text(&ws->asked, APIPOOL_WEBSOCKET_EVENT_EVENT_ID),
        retry_at);
    add_news(ws, APIPOOL_WS_TEXT, event, strlen(event));
    apr_pool_destroy(scratch);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  APIPOOL_LOG(0150) "pool %s, client %s: refused in a WebSocket, %s",
                  ws->req->pool->name, ws->req->client ? ws->req->client->name : "unknown",
                  apipool_reply_code(which));
    if (close_code || ws->news_len > NEWS_MAX) {
        add_close(ws, close_code ? close_code : APIPOOL_WS_POLICY_VIOLATION);
    }
    return tell_client(ws);
}

apr_status_t apipool_websocket_fail(apipool_websocket_t *ws)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, ws->req->r,
                  APIPOOL_LOG(0151) "pool %s: the %s breaks the WebSocket protocol",
                  ws->req->pool->name, ws->from_upstream.is_faulty ? "upstream" : "client");
    add_close(ws, ws->from_upstream.is_faulty ? BAD_UPSTREAM : APIPOOL_WS_PROTOCOL_ERROR);
    return ws->from_upstream.is_faulty ? APR_ECONNABORTED : tell_client(ws);
}

static void hear(apipool_websocket_t *ws, const apipool_websocket_frame_part_t *part)
{
    if (part->opcode == APIPOOL_WS_CLOSE) {
        ws->upstream_has_closed |= !ws->client_has_closed;
    }
    if (part->message != APIPOOL_WS_TEXT) {
        return;
    }
    if (part->begins) {
        apipool_websocket_event_begin(&ws->told);
        apipool_usage_begin(&ws->usage, 0);
    }
    apipool_websocket_event_feed(&ws->told, part->payload, part->payload_len);
    apipool_usage_feed(&ws->usage, part->payload, part->payload_len);
    if (part->ends) {
        apipool_websocket_told(ws, apipool_lifecycle_now());
        apipool_usage_end(&ws->usage);
    }
}

/* Reads along, and stops where a frame of the module could be put in, if there is any, or at what is no
 * frame. Returns how many bytes may pass. */
static apr_size_t read_along(apipool_websocket_t *ws, const char *data, apr_size_t len)
{
    apr_size_t done = 0;
    while (done < len) {
        apipool_websocket_frame_part_t part;
        apr_size_t used;
        int what =
            apipool_websocket_frame_take(&ws->from_upstream, data + done, len - done, &part, &used);
        if (what < 0) {
            return done;
        }
        done += used;
        if (what) {
            hear(ws, &part);
        }
        if (ws->news_len && apipool_websocket_frame_is_between(&ws->from_upstream)) {
            return done;
        }
    }
    return done;
}

/* The connection ends here: what stands before goes out with our last words. */
static apr_status_t end_here(apipool_websocket_t *ws, apr_bucket_brigade *bb,
                             const apr_bucket *last)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;
        if (!APR_BUCKET_IS_METADATA(b) &&
            apr_bucket_read(b, &data, &len, APR_BLOCK_READ) == APR_SUCCESS) {
            apr_brigade_write(ws->in, NULL, NULL, data, len);
        }
        if (b == last) {
            break;
        }
    }
    apr_brigade_cleanup(bb);
    return send_news(ws);
}

/* Splits a bucket where reading has stopped in it; the part before stays there. */
static apr_status_t put_news_in(apipool_websocket_t *ws, apr_bucket_brigade *bb, apr_bucket *b,
                                apr_size_t at)
{
    if (at == 0) { /* what is no frame begins with the bucket */
        apr_bucket *before = APR_BUCKET_PREV(b);
        apr_bucket_delete(b);
        return before == APR_BRIGADE_SENTINEL(bb) ? send_news(ws) : end_here(ws, bb, before);
    }
    if (at < b->length) {
        apr_bucket_split(b, at);
    }
    if (ws->is_over) {
        return end_here(ws, bb, b);
    }
    APR_BUCKET_INSERT_AFTER(b, take_news(ws, bb->bucket_alloc));
    return APR_SUCCESS;
}

static apr_status_t read_bucket(apipool_websocket_t *ws, apr_bucket_brigade *bb, apr_bucket **next)
{
    apr_bucket *b = *next;
    const char *data;
    apr_size_t len;
    apr_status_t rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_size_t done = read_along(ws, data, len);
    if (ws->from_upstream.is_faulty) {
        apipool_websocket_fail(ws);
    }
    if (ws->news_len &&
        (ws->from_upstream.is_faulty || apipool_websocket_frame_is_between(&ws->from_upstream))) {
        rv = put_news_in(ws, bb, b, done);
        b = rv == APR_SUCCESS ? APR_BUCKET_NEXT(b) : b; /* it is not the upstream's */
    }
    if (rv == APR_SUCCESS) {
        *next = APR_BUCKET_NEXT(b);
    }
    return rv;
}

apr_status_t apipool_websocket_read(apipool_websocket_t *ws, apr_bucket_brigade *bb,
                                    apr_status_t rv)
{
    apipool_blame_settle_served(ws->req); /* which need not wait for the end of the connection */
    if (rv != APR_SUCCESS) {
        ws->upstream_has_closed |= !APR_STATUS_IS_EAGAIN(rv) && !ws->client_has_closed &&
                                   !apipool_client_conn_is_gone(ws->req);
        return rv;
    }
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb);
         rv == APR_SUCCESS && b != APR_BRIGADE_SENTINEL(bb);) {
        if (APR_BUCKET_IS_METADATA(b)) {
            ws->upstream_has_closed |= APR_BUCKET_IS_EOS(b) && !ws->client_has_closed;
            b = APR_BUCKET_NEXT(b);
        }
        else {
            rv = read_bucket(ws, bb, &b);
        }
    }
    return rv;
}
