/* SPDX-License-Identifier: Apache-2.0
 * The request body: captured once, replayed for every attempt. */
#include "body.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

#define READ_SIZE    (64 * 1024)
#define READ_PIECE   (16 * 1024)
#define DECODED_MAX  (64 * 1024 * 1024) /* of a compressed body; less where bodies must be shorter */
#define SMALL_BUCKET 4096 /* copied together: small ones may each hold a large block in memory */

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

/* Behind a bucket that was kept as it came there may be room, but that is the connection's. */
static apr_status_t add_copy(apipool_body_t *body, const char *data, apr_size_t len)
{
    if (!body->copying) {
        apr_bucket_alloc_t *alloc = body->brigade->bucket_alloc;
        APR_BRIGADE_INSERT_TAIL(body->brigade, apr_bucket_heap_create(data, len, NULL, alloc));
        body->copying = 1;
        return APR_SUCCESS;
    }
    return apr_brigade_write(body->brigade, NULL, NULL, data, len);
}

/* A body that comes in one piece, as most do, stays where it is. */
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
    if (len < SMALL_BUCKET && !APR_BRIGADE_EMPTY(body->brigade)) {
        return add_copy(body, data, len);
    }
    rv = apr_bucket_setaside(b, p);
    if (rv == APR_SUCCESS) {
        APR_BUCKET_REMOVE(b);
        APR_BRIGADE_INSERT_TAIL(body->brigade, b);
        body->copying = 0;
    }
    return rv;
}

static apr_status_t spill(apipool_body_t *body, apr_pool_t *p)
{
    apr_status_t rv = open_file(&body->file, p);
    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(body->brigade)) {
        apr_bucket *b = APR_BRIGADE_FIRST(body->brigade);
        rv = keep_bucket(body, b, p);
        apr_bucket_delete(b);
    }
    apr_brigade_cleanup(body->brigade);
    return rv;
}

/* Takes over a bucket, which is removed if its bytes are kept as they are. Returns OK or an HTTP status. */
static int take_bucket(apipool_request_t *req, apipool_sniff_t *sniff, apr_bucket *b)
{
    apipool_body_t *body = &req->body;
    apr_pool_t *p = req->r->pool;
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
    apipool_sniff_feed(sniff, data, len);
    if (!body->file && body->length > APIPOOL_BODY_MEMORY_MAX) {
        rv = spill(body, p);
    }
    rv = rv == APR_SUCCESS ? keep_bucket(body, b, p) : rv;
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, req->r,
                      APIPOOL_LOG(0010) "could not keep the request body");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

/* Takes over what one read has brought. Returns OK or an HTTP status; sets *done at the end. */
static int keep_brigade(apipool_request_t *req, apipool_sniff_t *sniff, apr_bucket_brigade *bb,
                        int *done)
{
    int status = OK;
    while (status == OK && !*done && !APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        *done = APR_BUCKET_IS_EOS(b);
        status = APR_BUCKET_IS_METADATA(b) ? OK : take_bucket(req, sniff, b);
        if (b == APR_BRIGADE_FIRST(bb)) {
            apr_bucket_delete(b);
        }
    }
    return status;
}

static int is_announced_too_large(const apipool_request_t *req)
{
    const char *text = apr_table_get(req->r->headers_in, "Content-Length");
    apr_off_t length;
    char *end;
    return text && apr_strtoff(&length, text, &end, 10) == APR_SUCCESS &&
           length > req->pool->body_limit;
}

static const char *const wanted[] = {
    [APIPOOL_BODY_MODEL] = "model",
    [APIPOOL_BODY_MAX_TOKENS] = "max_tokens",
    [APIPOOL_BODY_MAX_COMPLETION_TOKENS] = "max_completion_tokens",
    [APIPOOL_BODY_MAX_OUTPUT_TOKENS] = "max_output_tokens",
    [APIPOOL_BODY_N] = "n",
    [APIPOOL_BODY_BEST_OF] = "best_of",
    [APIPOOL_BODY_GENERATION_CONFIG] = "generationconfig",
    [APIPOOL_BODY_GENERATION_CONFIG_SNAKE] = "generation_config",
    [APIPOOL_BODY_STREAM] = "stream",
    [APIPOOL_BODY_STREAM_OPTIONS] = "stream_options",
    [APIPOOL_BODY_BACKGROUND] = "background",
};

int apipool_body_session(const apipool_pool_conf_t *pool)
{
    int i = 0;
    while (i < APIPOOL_BODY_SESSION && strcmp(wanted[i], pool->affinity_name)) {
        i++;
    }
    return i;
}

static void begin_sniffing(apipool_request_t *req, apipool_sniff_t *sniff,
                           apipool_sniff_name_t names[APIPOOL_BODY_SNIFFED],
                           apipool_strict_t *strict)
{
    apipool_sniffed_t *found = apr_palloc(req->r->pool, APIPOOL_BODY_SNIFFED * sizeof(*found));
    int is_more = req->pool->affinity == APIPOOL_AFFINITY_BODY &&
                  apipool_body_session(req->pool) == APIPOOL_BODY_SESSION;
    int count = is_more ? APIPOOL_BODY_SNIFFED : APIPOOL_BODY_SESSION;
    /* only a list of models is evaded by what readers disagree about */
    int is_strict =
        req->client && apipool_client_restricts(&req->client->terms, APIPOOL_CLIENT_MODELS);
    req->body.sniffed = found;
    for (int i = 0; i < count; i++) {
        names[i] = (apipool_sniff_name_t){
            .name = i < APIPOOL_BODY_SESSION ? wanted[i] : req->pool->affinity_name,
            .any_case = i < APIPOOL_BODY_STREAM, /* as upstreams written in Go read them */
            .slot = (unsigned char)i};
    }
    apipool_sniff_begin(sniff, apr_table_get(req->r->headers_in, "Content-Type"), names, count,
                        found, is_strict ? strict : NULL, req->r->pool);
}

static void end_sniffing(apipool_request_t *req, apipool_sniff_t *sniff)
{
    apipool_sniff_end(sniff);
    req->body.kind = sniff->body;
    req->body.inside = sniff->inside;
    req->body.malformed = sniff->malformed;
    req->body.tokens = -1;
    req->body.doubt = sniff->strict ? sniff->strict->ambiguity : NULL;
}

/* What is malformed is refused, with APR_EGENERAL or a status of httpd's own. */
static int has_left(const request_rec *r, apr_status_t rv)
{
    return r->connection->aborted || APR_STATUS_IS_EOF(rv) || APR_STATUS_IS_ECONNRESET(rv) ||
           APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_EPIPE(rv) || APR_STATUS_IS_TIMEUP(rv) ||
           rv == APR_INCOMPLETE;
}

/* httpd takes off the last coding, and would leave the others to whoever reads the body
 * (RFC 9112 section 6.1). */
static int is_coded(const request_rec *r)
{
    const char *codings = apr_table_get(r->headers_in, "Transfer-Encoding");
    return codings && ap_cstr_casecmp(codings, "chunked");
}

/* What comes out of a compressed body, which is read in its stead. */
typedef struct {
    apipool_body_t body;
    apipool_sniff_t sniff;
    apr_pool_t *p;
    apr_status_t rv;
} decoded_t;

static void keep_decoded(void *ctx, const char *data, apr_size_t len)
{
    decoded_t *decoded = ctx;
    apipool_body_t *body = &decoded->body;
    body->length += (apr_off_t)len;
    apipool_sniff_feed(&decoded->sniff, data, len);
    if (decoded->rv == APR_SUCCESS && !body->file && body->length > APIPOOL_BODY_MEMORY_MAX) {
        decoded->rv = spill(body, decoded->p);
    }
    if (decoded->rv == APR_SUCCESS) {
        decoded->rv = body->file ? apr_file_write_full(body->file, data, len, NULL)
                                 : add_copy(body, data, len);
    }
}

static int decode_file(const apipool_body_t *body, apipool_decoder_t *decoder, decoded_t *decoded)
{
    char piece[READ_PIECE];
    apr_off_t begin = 0;
    apr_status_t rv = apr_file_seek(body->file, APR_SET, &begin);
    for (apr_off_t left = body->length; rv == APR_SUCCESS && left > 0;) {
        apr_size_t len = left < READ_PIECE ? (apr_size_t)left : READ_PIECE;
        rv = apr_file_read_full(body->file, piece, len, NULL);
        if (rv != APR_SUCCESS ||
            !apipool_decoder_feed(decoder, piece, len, keep_decoded, decoded)) {
            return 0;
        }
        left -= (apr_off_t)len;
    }
    return rv == APR_SUCCESS;
}

static int decode(const apipool_body_t *body, apipool_decoder_t *decoder, decoded_t *decoded)
{
    if (body->file) {
        return decode_file(body, decoder, decoded);
    }
    for (apr_bucket *b = APR_BRIGADE_FIRST(body->brigade); b != APR_BRIGADE_SENTINEL(body->brigade);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;
        if (apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS ||
            !apipool_decoder_feed(decoder, data, len, keep_decoded, decoded)) {
            return 0;
        }
    }
    return 1;
}

/* A compressed body is read decoded, and kept as it came beside that. One that is of another coding, broken,
 * or too long when decoded stays as it is, and nothing in it is known. */
static void read_compressed(apipool_request_t *req)
{
    apr_pool_t *p = req->r->pool;
    const char *coding = apr_table_get(req->r->headers_in, "Content-Encoding");
    apr_uint64_t most = (apr_uint64_t)apipool_shorter(req->pool->body_limit, DECODED_MAX);
    apipool_sniff_name_t names[APIPOOL_BODY_SNIFFED];
    apipool_strict_t strict;
    if (!req->body.length || !coding || !ap_cstr_casecmp(coding, "identity") ||
        !ap_cstr_casecmpn(coding, "deflate", 7)) { /* which may be read in two ways */
        return;
    }
    apipool_decoder_t *decoder = apipool_decoder_make(coding, most, p);
    apipool_body_t *wire = apr_pmemdup(p, &req->body, sizeof(*wire));
    decoded_t decoded = {.p = p};
    if (!decoder) {
        return;
    }
    decoded.body.brigade = apr_brigade_create(p, req->r->connection->bucket_alloc);
    begin_sniffing(req, &decoded.sniff, names, &strict);
    int is_whole = decode(wire, decoder, &decoded) && decoded.rv == APR_SUCCESS &&
                   apipool_decoder_is_complete(decoder);
    if (!is_whole) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, decoded.rv, req->r,
                      APIPOOL_LOG(0175) "could not decode the request body; it is sent as it came");
        req->body.sniffed = wire->sniffed;
        return;
    }
    decoded.body.sniffed = req->body.sniffed;
    req->body = decoded.body;
    end_sniffing(req, &decoded.sniff);
    req->body.wire = wire;
}

int apipool_body_capture(apipool_request_t *req)
{
    request_rec *r = req->r;
    apr_bucket_brigade *bb;
    apipool_sniff_t sniff;
    apipool_sniff_name_t names[APIPOOL_BODY_SNIFFED];
    apipool_strict_t strict;
    int done = 0;
    int status = OK;

    if (is_coded(r)) {
        r->connection->keepalive = AP_CONN_CLOSE; /* nobody knows where the body ends */
        return HTTP_NOT_IMPLEMENTED;
    }
    if (is_announced_too_large(req)) {
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    req->body.brigade = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    begin_sniffing(req, &sniff, names, &strict);
    while (!done && status == OK) {
        apr_status_t rv =
            ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ, READ_SIZE);
        if (rv != APR_SUCCESS) {
            ap_log_rerror(APLOG_MARK, APLOG_INFO, rv, r,
                          APIPOOL_LOG(0011) "could not read the request body");
            status = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
            req->body.broke = has_left(r, rv);
            break;
        }
        status = keep_brigade(req, &sniff, bb, &done);
        apr_brigade_cleanup(bb);
    }
    apr_brigade_destroy(bb);
    end_sniffing(req, &sniff);
    if (status == OK) {
        read_compressed(req);
    }
    return status;
}

static apr_status_t copy_whole(const apipool_body_t *body, apr_bucket_brigade *bb, apr_pool_t *p)
{
    if (body->file) {
        /* mapped pages would count as this process's memory */
        return apr_bucket_file_enable_mmap(
            apr_brigade_insert_file(bb, body->file, 0, body->length, p), 0);
    }
    for (apr_bucket *b = APR_BRIGADE_FIRST(body->brigade); b != APR_BRIGADE_SENTINEL(body->brigade);
         b = APR_BUCKET_NEXT(b)) {
        apr_bucket *copy;
        apr_status_t rv = apr_bucket_copy(b, &copy);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        APR_BRIGADE_INSERT_TAIL(bb, copy);
    }
    return APR_SUCCESS;
}

/* Puts text where a part of the body stands; every other byte stays. */
static apr_status_t put_in(apr_bucket_brigade *bb, const apipool_splice_t *splice)
{
    apr_bucket *from, *to;
    if (!splice->text) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apr_brigade_partition(bb, splice->at + splice->len, &to);
    if (rv == APR_SUCCESS) {
        rv = apr_brigade_partition(bb, splice->at, &from);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    while (from != to) {
        apr_bucket *next = APR_BUCKET_NEXT(from);
        apr_bucket_delete(from);
        from = next;
    }
    APR_BUCKET_INSERT_BEFORE(
        to, apr_bucket_immortal_create(splice->text, strlen(splice->text), bb->bucket_alloc));
    return APR_SUCCESS;
}

/* The upstream's own name for the model. What is named in a path may have another name in the body. */
static apipool_splice_t new_model(const apipool_request_t *req)
{
    const apipool_model_name_t *name =
        apipool_config_renamed(req->attempt.upstream, req->demand.model);
    const apipool_sniffed_t *model = &req->body.sniffed[APIPOOL_BODY_MODEL];
    apipool_splice_t splice = {.at = model->at, .len = model->len};
    if (name && model->kind == APIPOOL_SNIFF_STRING && !strcmp(name->from, model->text)) {
        splice.text = req->body.kind == APIPOOL_SNIFF_FORM ? name->to : name->quoted;
    }
    return splice;
}

apr_status_t apipool_body_read(const apipool_request_t *req, apr_off_t at, char *text,
                               apr_size_t len)
{
    if (req->body.file) {
        apr_status_t rv = apr_file_seek(req->body.file, APR_SET, &at);
        return rv == APR_SUCCESS ? apr_file_read_full(req->body.file, text, len, NULL) : rv;
    }
    for (apr_bucket *b = APR_BRIGADE_FIRST(req->body.brigade);
         len && b != APR_BRIGADE_SENTINEL(req->body.brigade); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t size;
        apr_status_t rv = apr_bucket_read(b, &data, &size, APR_BLOCK_READ);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (at >= (apr_off_t)size) {
            at -= (apr_off_t)size;
            continue;
        }
        apr_size_t part = size - (apr_size_t)at < len ? size - (apr_size_t)at : len;
        memcpy(text, data + at, part);
        text += part;
        len -= part;
        at = 0;
    }
    return len ? APR_EOF : APR_SUCCESS;
}

int apipool_body_is_sent_decoded(const apipool_request_t *req)
{
    return req->body.wire && new_model(req).text;
}

apr_status_t apipool_body_copy(const apipool_request_t *req, apr_bucket_brigade *bb)
{
    if (req->body.wire && !apipool_body_is_sent_decoded(req)) {
        return copy_whole(req->body.wire, bb, req->r->pool);
    }
    if (!req->body.length) {
        return APR_SUCCESS;
    }
    apr_status_t rv = copy_whole(&req->body, bb, req->r->pool);
    if (rv == APR_SUCCESS) {
        apipool_splice_t model = new_model(req);
        const apipool_splice_t *usage = &req->demand.ask_usage;
        int is_model_last = !req->attempt.asks_usage || model.at > usage->at;
        /* the later one first, so that the place of the other stays right */
        rv = is_model_last ? put_in(bb, &model) : put_in(bb, usage);
        if (rv == APR_SUCCESS && req->attempt.asks_usage) {
            rv = is_model_last ? put_in(bb, usage) : put_in(bb, &model);
        }
    }
    return rv;
}
