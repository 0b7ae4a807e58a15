/* SPDX-License-Identifier: Apache-2.0
 * The tokens of an answer: what is read along of it as it passes, and what that comes to. */
#include "token_count.h"

#include "body.h"
#include "content_type.h"
#include "sse.h"

#define READ_PIECE  (16 * 1024)
#define DECODED_MAX (64 * 1024 * 1024) /* more is no answer but an attack */

enum { READS_NOTHING, READS_ALL, READS_PIECE };

static int is_sound(const apipool_request_t *req)
{
    return req->kind == APIPOOL_ENDPOINT_SPEECH && !req->gate.count.is_stream &&
           !apipool_content_is_of_type(req->r, "application/json");
}

/* How the answers of an endpoint are read and estimated; streams of all that is no text are as streams of
 * text. JSON is kept by the scan for usage, and need not be read as it passes. */
static int how_to_read(const apipool_request_t *req, apipool_estimate_kind_e *kind)
{
    int is_stream = req->gate.count.is_stream;
    *kind = APIPOOL_ESTIMATE_ANSWER;
    switch (req->kind) {
    case APIPOOL_ENDPOINT_TEXT:
        return !is_stream ? READS_NOTHING
               : apipool_pool_habit(apipool_lifecycle_segment(), req->attempt.upstream->index) ==
                       APIPOOL_HABIT_REPORTS
                   ? READS_PIECE
                   : READS_ALL;
    case APIPOOL_ENDPOINT_IMAGES:
        *kind = is_stream ? *kind : APIPOOL_ESTIMATE_IMAGES;
        return READS_ALL;
    case APIPOOL_ENDPOINT_TRANSCRIPTION:
        *kind = is_stream || apipool_content_is_of_type(req->r, "application/json")
                    ? *kind
                    : APIPOOL_ESTIMATE_TEXT;
        return READS_ALL;
    case APIPOOL_ENDPOINT_SPEECH:
        return is_sound(req) ? READS_NOTHING : READS_ALL;
    default:
        return READS_NOTHING;
    }
}

/* The last segment of a path; 0 if there is none. */
static apr_uint64_t id_in_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? apipool_hash(slash + 1) : 0;
}

static int may_be_due(const apipool_request_t *req)
{
    return req->r->method_number == M_GET && req->kind == APIPOOL_ENDPOINT_FREE && !req->probing &&
           apipool_pool_is_put_off(apipool_lifecycle_segment(), id_in_path(req->path));
}

static apr_status_t forget_usage(void *data)
{
    apipool_usage_end(data);
    return APR_SUCCESS;
}

void apipool_token_count_begin(apipool_request_t *req)
{
    apipool_token_count_t *count = &req->gate.count;
    count->is_stream =
        req->gate.is_events || apipool_content_is_of_type(req->r, "text/event-stream");
    count->due = may_be_due(req) ? APIPOOL_DUE_UNKNOWN : APIPOOL_DUE_NOTHING;
    count->active = apipool_endpoint_generates(req->kind) || count->due;
    const char *coding = apipool_content_coding(req->r);
    count->decoder = coding ? apipool_decoder_make(coding, DECODED_MAX, req->r->pool) : NULL;
    count->readable = !coding || count->decoder;
    count->reads = READS_NOTHING;
    count->passed = 0;
    apipool_usage_end(&count->usage);
    if (!count->readable || (!count->active && !count->is_stream)) {
        return;
    }
    apipool_usage_begin(&count->usage, count->is_stream);
    apr_pool_cleanup_register(req->r->pool, &count->usage, forget_usage, apr_pool_cleanup_null);
    apipool_estimate_kind_e kind;
    count->reads = (unsigned char)how_to_read(req, &kind);
    if (count->reads == READS_PIECE) {
        count->pieces = apr_palloc(req->r->pool, 2 * sizeof(*count->pieces));
        count->pieces[0].len = count->pieces[1].len = 0;
        count->pieces[1].at = 0;
    }
    else if (count->reads) {
        apipool_estimate_begin(&count->estimate, kind);
    }
}

/* Of what has come, the last piece that began at twice the place of the one before is typical: streams begin
 * and end with events that have no text. A piece is kept until the next one is full. */
static void keep_piece(apipool_token_count_t *count, const char *data, apr_size_t len)
{
    apipool_piece_t *full = &count->pieces[0], *next = &count->pieces[1];
    apr_size_t room;

    if (next->len == sizeof(next->text) && count->passed >= 2 * next->at) {
        *full = *next;
        next->len = 0;
    }
    if (next->len == 0) {
        apr_size_t skipped = len > sizeof(next->text) ? (len - sizeof(next->text)) / 2 : 0;
        data += skipped;
        len -= skipped;
        next->at = count->passed + (apr_off_t)skipped;
    }
    room = sizeof(next->text) - next->len;
    len = len < room ? len : room;
    memcpy(next->text + next->len, data, len);
    next->len += len;
}

static void read_along(void *ctx, const char *data, apr_size_t len)
{
    apipool_token_count_t *count = ctx;
    apipool_usage_feed(&count->usage, data, len);
    if (count->reads == READS_ALL) {
        apipool_estimate_feed(&count->estimate, data, len);
    }
    else if (count->reads == READS_PIECE) {
        keep_piece(count, data, len);
    }
    count->passed += (apr_off_t)len;
}

void apipool_token_count_feed(apipool_token_count_t *count, apr_bucket_brigade *bb)
{
    if (!count->readable || (!count->active && !count->is_stream)) {
        return;
    }
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;
        if (APR_BUCKET_IS_METADATA(b) ||
            apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            continue;
        }
        if (!count->decoder) {
            read_along(count, data, len);
        }
        else if (!apipool_decoder_feed(count->decoder, data, len, read_along, count)) {
            count->readable = 0;
            return;
        }
    }
}

const char *apipool_token_count_tail(const apipool_token_count_t *count, apr_size_t *len)
{
    int is_read = count->active && count->readable && !count->is_stream;
    return is_read ? apipool_usage_tail(&count->usage, len) : NULL;
}

int apipool_token_count_is_done(const apipool_token_count_t *count)
{
    return count->is_stream && count->readable && apipool_usage_is_done(&count->usage);
}

/* The whole events of a piece, or all of it where it has none, from the first line that begins in it. */
static const char *typical_part(const apipool_piece_t *piece, apr_size_t *len)
{
    static const char none[2] = {0};
    const char *text = piece->text, *line = memchr(text, '\n', piece->len);
    apr_size_t left = piece->len;
    if (piece->at > 0 && line) {
        left -= (apr_size_t)(line + 1 - text);
        text = line + 1;
    }
    apr_size_t whole = apipool_sse_whole(text, left, none);
    *len = whole ? whole : left;
    return text;
}

/* Of an answer or a part of it, which stands for all that has passed. */
static apr_int64_t estimate_part(const apipool_token_count_t *count, const char *text,
                                 apr_size_t len)
{
    apipool_estimate_t estimate;
    apipool_estimate_begin(&estimate, APIPOOL_ESTIMATE_ANSWER);
    apipool_estimate_feed(&estimate, text, len);
    apr_int64_t tokens = apipool_estimate_tokens(&estimate);
    return len > 0 && (apr_off_t)len < count->passed
               ? (apr_int64_t)((double)tokens * (double)count->passed / (double)len)
               : tokens;
}

static apr_int64_t estimate_piece(const apipool_token_count_t *count)
{
    const apipool_piece_t *pieces = count->pieces;
    int next_is_better = !pieces[0].len || pieces[1].len == sizeof(pieces[1].text);
    const apipool_piece_t *piece = &pieces[next_is_better ? 1 : 0];
    apr_size_t len = piece->len;
    const char *text = (apr_off_t)len == count->passed ? piece->text : typical_part(piece, &len);
    return estimate_part(count, text, len);
}

/* Tokens that were generated; -1 where nobody can read them. */
static apr_int64_t estimate_completion(const apipool_request_t *req)
{
    const apipool_token_count_t *count = &req->gate.count;
    int generates =
        req->kind != APIPOOL_ENDPOINT_EMBEDDINGS && req->kind != APIPOOL_ENDPOINT_RERANK;
    if (!count->readable) {
        return generates ? -1 : 0;
    }
    if (count->reads != READS_NOTHING) {
        return count->reads == READS_PIECE ? estimate_piece(count)
                                           : apipool_estimate_tokens(&count->estimate);
    }
    if (req->kind == APIPOOL_ENDPOINT_TEXT) {
        apr_size_t len;
        const char *text = apipool_usage_head(&count->usage, &len);
        return estimate_part(count, text, len);
    }
    return is_sound(req) ? apipool_estimate_audio((apr_uint64_t)count->passed) : 0;
}

/* Reads a part of the captured body once more, which is only done where an answer has not told its usage. */
static void read_body(const apipool_request_t *req, apr_off_t at, apr_off_t end,
                      apipool_estimate_t *estimate, apipool_sniff_t *sniff)
{
    char piece[READ_PIECE];
    while (at < end) {
        apr_size_t len = end - at < READ_PIECE ? (apr_size_t)(end - at) : READ_PIECE;
        if (apipool_body_read(req, at, piece, len) != APR_SUCCESS) {
            break;
        }
        apipool_estimate_feed(estimate, piece, len);
        if (sniff) {
            apipool_sniff_feed(sniff, piece, len);
        }
        at += (apr_off_t)len;
    }
}

/* A form has files and a prompt. */
static apr_int64_t estimate_form(const apipool_request_t *req)
{
    static const apipool_sniff_name_t name = {.name = "prompt"};
    apipool_sniffed_t prompt;
    apipool_estimate_t files, text;
    apipool_sniff_t sniff;

    apipool_estimate_begin(&files, APIPOOL_ESTIMATE_FORM);
    apipool_sniff_begin(&sniff, apr_table_get(req->r->headers_in, "Content-Type"), &name, 1,
                        &prompt, NULL, NULL);
    read_body(req, 0, req->body.length, &files, &sniff);
    apipool_estimate_begin(&text, APIPOOL_ESTIMATE_TEXT);
    read_body(req, prompt.at, prompt.at + prompt.len, &text, NULL);
    return apipool_estimate_tokens(&files) + apipool_estimate_tokens(&text);
}

static apr_int64_t estimate_prompt(const apipool_request_t *req)
{
    apipool_estimate_t estimate;
    if (req->kind == APIPOOL_ENDPOINT_TRANSCRIPTION) {
        return apipool_estimate_audio((apr_uint64_t)req->body.length);
    }
    if (req->body.kind == APIPOOL_SNIFF_FORM) {
        return estimate_form(req);
    }
    apipool_estimate_begin(&estimate, APIPOOL_ESTIMATE_TEXT);
    if (req->body.kind == APIPOOL_SNIFF_JSON) {
        read_body(req, 0, req->body.length, &estimate, NULL);
    }
    return apipool_estimate_tokens(&estimate);
}

apr_int64_t apipool_token_count_prompt(apipool_request_t *req)
{
    if (!apipool_endpoint_generates(req->kind) || !req->body.length) {
        return 0;
    }
    if (req->body.tokens < 0) {
        req->body.tokens = estimate_prompt(req);
    }
    return req->body.tokens;
}

int apipool_token_count_is_put_off(apipool_request_t *req)
{
    apipool_token_count_t *count = &req->gate.count;
    apipool_usage_t ignored;
    int is_later = req->kind == APIPOOL_ENDPOINT_BATCH || req->kind == APIPOOL_ENDPOINT_BLIND ||
                   (req->kind == APIPOOL_ENDPOINT_TEXT && req->body.sniffed &&
                    req->body.sniffed[APIPOOL_BODY_BACKGROUND].kind == APIPOOL_SNIFF_TRUE);
    return is_later && count->active && count->readable && !count->is_stream &&
           !apipool_usage_result(&count->usage, &ignored);
}

void apipool_token_count_remember(apipool_request_t *req)
{
    static const apipool_sniff_name_t name = {.name = "id"};
    char room[APIPOOL_SNIFF_TEXT_USUAL + 1];
    apipool_sniffed_t id;
    apipool_sniff_t sniff;
    apr_size_t len;
    if (!apipool_token_count_is_put_off(req)) {
        return;
    }
    const char *text = apipool_usage_head(&req->gate.count.usage, &len);
    apipool_sniff_begin(&sniff, NULL, &name, 1, &id, NULL, NULL);
    id.room = room;
    apipool_sniff_feed(&sniff, text, len);
    if (id.kind == APIPOOL_SNIFF_STRING && !id.truncated && *room) {
        apipool_pool_put_off(apipool_lifecycle_segment(), apipool_hash(room));
    }
}

/* Of several that read the same usage, one is charged for it. */
static apipool_tokens_e take_due(apipool_request_t *req, apipool_usage_t *tokens)
{
    apipool_token_count_t *count = &req->gate.count;
    int is_told = count->readable && apipool_usage_result(&count->usage, tokens) &&
                  tokens->total > 0 && apipool_usage_is_final(&count->usage);
    if (is_told && count->due == APIPOOL_DUE_UNKNOWN) {
        int is_here = apipool_pool_take_put_off(apipool_lifecycle_segment(), id_in_path(req->path));
        count->due = is_here ? APIPOOL_DUE_HERE : APIPOOL_DUE_NOTHING;
        count->active = is_here;
    }
    if (is_told && count->due == APIPOOL_DUE_HERE) {
        return APIPOOL_TOKENS_REPORTED;
    }
    tokens->prompt = tokens->completion = tokens->cached = tokens->total = -1;
    return APIPOOL_TOKENS_NONE;
}

/* Where a stream has told what it began with and not what it came to, the prompt stands as it is. */
apipool_tokens_e apipool_token_count_tokens(apipool_request_t *req, apipool_usage_t *tokens)
{
    apipool_token_count_t *count = &req->gate.count;
    int has_begun = 0;

    if (count->active && count->due) {
        return take_due(req, tokens);
    }
    tokens->prompt = tokens->completion = tokens->cached = tokens->total = -1;
    if (count->active && count->readable) {
        has_begun = apipool_usage_result(&count->usage, tokens);
        if (has_begun && apipool_usage_is_final(&count->usage)) {
            return APIPOOL_TOKENS_REPORTED;
        }
    }
    if (!count->active || !req->body.length || req->kind >= APIPOOL_ENDPOINT_RUN ||
        apipool_token_count_is_put_off(req)) {
        return APIPOOL_TOKENS_NONE;
    }
    tokens->prompt =
        has_begun && tokens->prompt >= 0 ? tokens->prompt : apipool_token_count_prompt(req);
    tokens->completion = estimate_completion(req);
    tokens->total = tokens->prompt + (tokens->completion > 0 ? tokens->completion : 0);
    return APIPOOL_TOKENS_ESTIMATED;
}

void apipool_token_count_note_habit(apipool_request_t *req)
{
    apipool_token_count_t *count = &req->gate.count;
    apipool_usage_t ignored;
    if (count->active && count->readable && count->is_stream &&
        req->kind == APIPOOL_ENDPOINT_TEXT) {
        int tells = apipool_usage_result(&count->usage, &ignored);
        apipool_pool_note_habit(apipool_lifecycle_segment(), req->attempt.upstream->index,
                                tells ? APIPOOL_HABIT_REPORTS : APIPOOL_HABIT_SILENT);
    }
}
