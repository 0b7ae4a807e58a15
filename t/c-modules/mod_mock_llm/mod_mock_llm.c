/* SPDX-License-Identifier: Apache-2.0
 * A scripted upstream that speaks the OpenAI API: the words in a key say how it behaves. */

/* Apache::Test builds it; no configuration comes with it, since each test has its own:
 *
 *     SetHandler      mock-llm    in a <Location> or a virtual host
 *     MockLLMRecord   PATH        append every request to PATH, one JSON line each
 *     MockLLMDelay    MS          wait before each answer
 *     MockLLMWords    PATH        lines "KEY WORDS": more words for a key, or for all with "*"; read for
 *                                 every request, so that a test may change them
 *     MockLLMFlap     SECONDS     the word "flap" means 503 in each second period of that length
 */
#define HTTPD_TEST_REQUIRE_APACHE 2

#if CONFIG_FOR_HTTPD_TEST
#endif

#include <httpd.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include <apr_base64.h>
#include <apr_escape.h>
#include <apr_lib.h>
#include <apr_sha1.h>
#include <apr_strings.h>

#define CREATED          "1700000000"
#define JSON_TYPE        "application/json"
#define SSE_TYPE         "text/event-stream"
#define KEPT_MAX         65536 /* a longer body is counted and hashed, but not recorded */
#define READ_SIZE        65536
#define SIZE_MAX_ARG     (256 * 1024 * 1024)
#define EVENTS_MAX_ARG   1000000
#define BIG_SIZE         200000
#define BIG_STRADDLE     65536
#define COMPLETION_COUNT 7
#define FLAP_SECONDS     10 /* unless MockLLMFlap says otherwise */
#define APART_MS         10
#define WEBSOCKET_GUID   "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* The float32 values 0.1, 0.2, 0.3 and 0.4, little-endian. */
#define VECTOR_BASE64 "\"zczMPc3MTD6amZk+zczMPg==\""
#define VECTOR_PLAIN  "[0.1,0.2,0.3,0.4]"

#define DONE_EVENT "data: [DONE]\n\n"

/* An OpenAI-shaped error. */
#define OPENAI_ERROR(message, type, code)                                                          \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"param\":null,\"code\":" code  \
    "}}"
#define SERVER_ERROR OPENAI_ERROR("The server had an error.", "server_error", "null")

typedef struct {
    const char *record;
    const char *words;
    int delay_ms;
    int flap_seconds;
} mock_conf_t;

/* What the answers depend on in a JSON request body. */
enum field { FIELD_MODEL, FIELD_STREAM, FIELD_INCLUDE_USAGE, FIELD_ENCODING, FIELD_COUNT };

/* A body is scanned as it arrives, since it may be far too long to keep. A string's text stays as
 * it was written, escapes and all, so it can be put into an answer without escaping it again. */
typedef struct {
    int depth;
    int in_string;
    int escaped;
    char token[256];
    apr_size_t length;
    char names[3][32]; /* the member's name at depth 1 and 2 */
    char values[FIELD_COUNT][256];
    int inputs; /* elements of the array "input" */
} scan_t;

typedef struct {
    request_rec *r;
    const mock_conf_t *conf;
    const char *key;
    const char *words; /* "-word-word-" */
    scan_t scan;
    apr_off_t bytes;
    char sha1[2 * APR_SHA1_DIGESTSIZE + 1];
    char *kept;
    apr_size_t kept_length;

    /* The answer: a body, or events, or a WebSocket. Status 0 stands for no answer at all. */
    int status;
    const char *status_line;
    const char *type;
    const char *body;
    apr_size_t length;
    apr_array_header_t *events;
    int retry_after; /* -1 for none */

    /* What the answer reports, if it reports any. */
    int has_usage;
    int prompt, completion;
    int cached; /* -1 for none */
} mock_t;

extern module AP_MODULE_DECLARE_DATA mock_llm_module;

APLOG_USE_MODULE(mock_llm);

/* ---- JSON out ---- */

/* The length of the UTF-8 sequence at s, 0 when it is none. */
static apr_size_t utf8_length(const unsigned char *s, apr_size_t left)
{
    apr_size_t i, n;

    if (s[0] < 0x80) {
        return 1;
    }
    n = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (n > left) {
        return 0;
    }
    for (i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) {
        return 0;
    }
    return n;
}

/* The text inside the quotes of a JSON string. Bytes that are not UTF-8 are taken as Latin-1, and
 * *valid, if wanted, tells of them. */
static const char *json_bytes(apr_pool_t *pool, const char *text, apr_size_t length, int *valid)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *s = (const unsigned char *)text;
    char *out = apr_palloc(pool, 6 * length + 1), *o = out;
    apr_size_t i, n;
    int all_valid = 1;

    for (i = 0; i < length; i += n ? n : 1) {
        n = utf8_length(s + i, length - i);
        if (s[i] == '"' || s[i] == '\\') {
            *o++ = '\\';
            *o++ = (char)s[i];
        }
        else if (s[i] < 0x20 || s[i] == 0x7f || !n) {
            memcpy(o, "\\u00", 4);
            o[4] = hex[s[i] >> 4];
            o[5] = hex[s[i] & 15];
            o += 6;
            all_valid = all_valid && n;
        }
        else {
            memcpy(o, s + i, n);
            o += n;
        }
    }
    *o = '\0';
    if (valid) {
        *valid = all_valid;
    }
    return out;
}

static const char *json_text(apr_pool_t *pool, const char *text)
{
    return text ? json_bytes(pool, text, strlen(text), NULL) : "";
}

/* ---- JSON in ---- */

static const struct {
    const char *outer;
    const char *name;
} field_names[FIELD_COUNT] = {
    {"", "model"},
    {"", "stream"},
    {"stream_options", "include_usage"},
    {"", "encoding_format"},
};

/* A member's value, or an array's element, has ended. */
static void scan_value(scan_t *s)
{
    const char *outer = s->depth == 2 ? s->names[1] : "";
    const char *name = s->depth == 1 || s->depth == 2 ? s->names[s->depth] : "";
    int i;

    if (s->depth == 2 && !strcmp(outer, "input")) {
        s->inputs++;
    }
    for (i = 0; s->length && i < FIELD_COUNT; i++) {
        if (!strcmp(outer, field_names[i].outer) && !strcmp(name, field_names[i].name)) {
            apr_cpystrn(s->values[i], s->token, sizeof(s->values[i]));
        }
    }
    s->length = 0;
}

static void scan_append(scan_t *s, char c)
{
    if (s->length < sizeof(s->token) - 1) {
        s->token[s->length++] = c;
        s->token[s->length] = '\0';
    }
    else {
        /* Part of it would be no valid JSON text, were it cut in an escape. */
        s->token[0] = '\0';
    }
}

static void scan_string(scan_t *s, char c)
{
    if (!s->escaped && c == '"') {
        s->in_string = 0;
        return;
    }
    s->escaped = !s->escaped && c == '\\';
    scan_append(s, c);
}

static void scan_structure(scan_t *s, char c)
{
    switch (c) {
    case '"':
        s->in_string = 1;
        s->escaped = 0;
        s->length = 0;
        break;
    case ':':
        if (s->depth == 1 || s->depth == 2) {
            apr_cpystrn(s->names[s->depth], s->length ? s->token : "", sizeof(s->names[0]));
        }
        s->length = 0;
        break;
    case '{':
    case '[':
        s->depth++;
        if (s->depth <= 2) {
            s->names[s->depth][0] = '\0';
        }
        s->length = 0;
        break;
    case ',':
    case '}':
    case ']':
        scan_value(s);
        s->depth -= c != ',' && s->depth > 0;
        break;
    default:
        if (!apr_isspace(c)) {
            scan_append(s, c);
        }
    }
}

static void scan_bytes(scan_t *s, const char *data, apr_size_t length)
{
    apr_size_t i;

    for (i = 0; i < length; i++) {
        if (s->in_string) {
            scan_string(s, data[i]);
        }
        else {
            scan_structure(s, data[i]);
        }
    }
}

static int field_is(const mock_t *m, enum field field, const char *value)
{
    return !strcmp(m->scan.values[field], value);
}

static const char *model_of(const mock_t *m)
{
    return *m->scan.values[FIELD_MODEL] ? m->scan.values[FIELD_MODEL] : "mock-model";
}

/* ---- The request ---- */

static void take_bytes(mock_t *m, apr_sha1_ctx_t *sha1, const char *data, apr_size_t length)
{
    apr_sha1_update(sha1, data, (unsigned int)length);
    scan_bytes(&m->scan, data, length);
    if (m->kept && m->kept_length + length <= KEPT_MAX) {
        memcpy(m->kept + m->kept_length, data, length);
        m->kept_length += length;
    }
    else {
        m->kept = NULL;
    }
    m->bytes += (apr_off_t)length;
}

/* Takes the data of one brigade; sets *ended at the body's end. */
static apr_status_t take_brigade(mock_t *m, apr_sha1_ctx_t *sha1, apr_bucket_brigade *bb,
                                 int *ended)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t length;
        apr_status_t rv;

        if (APR_BUCKET_IS_EOS(b)) {
            *ended = 1;
            break;
        }
        if (APR_BUCKET_IS_METADATA(b)) {
            continue;
        }
        rv = apr_bucket_read(b, &data, &length, APR_BLOCK_READ);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        take_bytes(m, sha1, data, length);
    }
    return APR_SUCCESS;
}

static int read_body(mock_t *m)
{
    request_rec *r = m->r;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    unsigned char digest[APR_SHA1_DIGESTSIZE];
    apr_sha1_ctx_t sha1;
    int ended = 0;

    apr_sha1_init(&sha1);
    if (m->conf->record) {
        m->kept = apr_palloc(r->pool, KEPT_MAX);
    }
    while (!ended) {
        apr_status_t rv =
            ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ, READ_SIZE);

        if (rv == APR_SUCCESS) {
            rv = take_brigade(m, &sha1, bb, &ended);
        }
        if (rv != APR_SUCCESS) {
            return ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
        }
        apr_brigade_cleanup(bb);
    }
    apr_sha1_final(digest, &sha1);
    apr_escape_hex(m->sha1, digest, sizeof(digest), 0, NULL);
    return OK;
}

static const char *credential(request_rec *r)
{
    const char *value = apr_table_get(r->headers_in, "Authorization");

    if (value && !ap_cstr_casecmpn(value, "Bearer ", 7)) {
        value += 7;
        while (*value == ' ') {
            value++;
        }
        return value;
    }
    return apr_table_get(r->headers_in, "x-api-key");
}

/* What the file of words has for the key. */
static const char *filed_words(mock_t *m)
{
    apr_file_t *file;
    char line[1024];
    const char *words = "";

    if (!m->conf->words || apr_file_open(&file, m->conf->words, APR_FOPEN_READ | APR_FOPEN_BUFFERED,
                                         APR_FPROT_OS_DEFAULT, m->r->pool) != APR_SUCCESS) {
        return words;
    }
    while (apr_file_gets(line, sizeof(line), file) == APR_SUCCESS) {
        const char *rest = line;
        const char *key = ap_getword_white(m->r->pool, &rest);

        if (!strcmp(key, "*") || (m->key && !strcmp(key, m->key))) {
            words = apr_pstrcat(m->r->pool, words, "-", ap_getword_white(m->r->pool, &rest), NULL);
        }
    }
    apr_file_close(file);
    return words;
}

/* The words of the key, of the header X-Mock and of the file, between dashes. */
static const char *script_words(mock_t *m)
{
    const char *more = apr_table_get(m->r->headers_in, "X-Mock");
    const char *own = m->key && !strncmp(m->key, "sk-", 3) ? m->key + 3 : "";
    char *words = apr_pstrcat(m->r->pool, "-", own, "-", more ? more : "", "-", filed_words(m), "-",
                              NULL),
         *w;

    for (w = words; *w; w++) {
        if (*w == ' ' || *w == ',') {
            *w = '-';
        }
    }
    return words;
}

static int has_word(const mock_t *m, const char *word)
{
    apr_size_t length = strlen(word);
    const char *at = m->words;

    while ((at = strchr(at, '-')) != NULL) {
        at++;
        if (!strncmp(at, word, length) && at[length] == '-') {
            return 1;
        }
    }
    return 0;
}

/* The number N of a word such as "retryN", -1 without one. */
static int word_number(const mock_t *m, const char *word)
{
    apr_size_t length = strlen(word);
    const char *at = m->words;

    while ((at = strchr(at, '-')) != NULL) {
        at++;
        if (!strncmp(at, word, length) && apr_isdigit(at[length]) &&
            at[length + strspn(at + length, "0123456789")] == '-') {
            return atoi(at + length);
        }
    }
    return -1;
}

/* A number below 100: by chance, or, when the word names a seed, the same for the same request with
 * the same key. */
static int draw(const mock_t *m, const char *word)
{
    int seed = word_number(m, word);
    const char *s;
    apr_uint32_t hash = 2166136261u; /* FNV-1a */

    if (seed < 0) {
        return (int)ap_random_pick(0, 99);
    }
    for (s = apr_psprintf(m->r->pool, "%d %s %s", seed, m->key ? m->key : "", m->sha1); *s; s++) {
        hash = (hash ^ (unsigned char)*s) * 16777619u;
    }
    return (int)(hash % 100);
}

/* The word "only429NAME" means the model of that name, which loses what is no letter or digit. */
static int is_limited_model(const mock_t *m)
{
    static const char word[] = "-only429";
    const char *at = strstr(m->words, word), *model = m->scan.values[FIELD_MODEL];

    if (!at) {
        return 0;
    }
    at += sizeof(word) - 1;
    for (; *model; model++) {
        if (apr_isalnum(*model) && *model != *at++) {
            return 0;
        }
    }
    return *at == '-';
}

/* The number of a query argument, 0 without one, at most max. */
static int query_number(const mock_t *m, const char *name, int max)
{
    apr_size_t length = strlen(name);
    const char *at = m->r->args;

    while (at && *at) {
        if (!strncmp(at, name, length) && at[length] == '=') {
            apr_int64_t n = apr_atoi64(at + length + 1);

            return n < 0 ? 0 : n > max ? max : (int)n;
        }
        at = strchr(at, '&');
        at += at != NULL;
    }
    return 0;
}

/* ---- The answers ---- */

static void answer_bytes(mock_t *m, const char *type, const char *body, apr_size_t length)
{
    m->type = type;
    m->body = body;
    m->length = length;
}

static void answer_json(mock_t *m, const char *body)
{
    answer_bytes(m, JSON_TYPE, body, strlen(body));
}

static int number_or(const mock_t *m, const char *word, int otherwise)
{
    int number = word_number(m, word);

    return number >= 0 ? number : otherwise;
}

/* What there is to report: the words "promptN", "completionN" and "cachedN" say it, and the second argument what
 * is completed without them, 0 where nothing is. */
static void count_tokens(mock_t *m, int completion)
{
    m->has_usage = 1;
    m->prompt = number_or(m, "prompt", (int)(m->bytes / 4));
    m->completion = completion ? number_or(m, "completion", completion) : 0;
    m->cached = completion ? word_number(m, "cached") : -1;
}

static const char *usage(mock_t *m)
{
    const char *details = "";

    if (has_word(m, "nousage")) {
        return "null";
    }
    count_tokens(m, COMPLETION_COUNT);
    if (m->cached >= 0) {
        details = apr_psprintf(m->r->pool, ",\"prompt_tokens_details\":{\"cached_tokens\":%d}",
                               m->cached);
    }
    return apr_psprintf(m->r->pool,
                        "{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d%s}",
                        m->prompt, m->completion, m->prompt + m->completion, details);
}

/* A JSON answer that holds a text between head and tail; with size=N it is N bytes long. */
static void answer_text(mock_t *m, const char *head, const char *tail)
{
    const char *text = "Hello from the mock upstream.";
    int size = query_number(m, "size", SIZE_MAX_ARG);
    apr_size_t rest = strlen(head) + strlen(tail);

    if ((apr_size_t)size >= rest + 1) {
        char *padding = apr_palloc(m->r->pool, (apr_size_t)size - rest + 1);

        memset(padding, 'x', (apr_size_t)size - rest);
        padding[(apr_size_t)size - rest] = '\0';
        text = padding;
    }
    answer_json(m, apr_pstrcat(m->r->pool, head, text, tail, NULL));
}

static void begin_events(mock_t *m)
{
    m->type = SSE_TYPE;
    m->events = apr_array_make(m->r->pool, 16, sizeof(const char *));
}

static void add_event(mock_t *m, const char *event)
{
    APR_ARRAY_PUSH(m->events, const char *) = event;
}

/* An event's lines as they are, before all others. */
static void put_first(mock_t *m, const char *lines)
{
    apr_array_header_t *rest = m->events;

    begin_events(m);
    add_event(m, lines);
    apr_array_cat(m->events, rest);
}

/* The pieces of text that a stream carries. */
static apr_array_header_t *stream_words(mock_t *m)
{
    static const char *const words[] = {"Hello", " from", " the", " mock", " upstream."};
    const int known = sizeof(words) / sizeof(words[0]);
    int i, count = query_number(m, "events", EVENTS_MAX_ARG);
    apr_array_header_t *list;

    count = count ? count : known;
    list = apr_array_make(m->r->pool, count, sizeof(const char *));
    for (i = 0; i < count; i++) {
        APR_ARRAY_PUSH(list, const char *) = words[i % known];
    }
    return list;
}

/* The two endpoints that answer with choices differ in these texts only. */
typedef struct {
    const char *id;
    const char *object;
    const char *head; /* a choice up to its text */
    const char *tail;
    const char *chunk_object;
    const char *first; /* the choice before any text, if there is one */
    const char *chunk_head;
    const char *chunk_tail;
    const char *last;
} choices_t;

static const choices_t chat = {
    "chatcmpl-mock",
    "chat.completion",
    "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
    "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}",
    "chat.completion.chunk",
    "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
    "\"finish_reason\":null}",
    "{\"index\":0,\"delta\":{\"content\":\"",
    "\"},\"logprobs\":null,\"finish_reason\":null}",
    "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}",
};

static const choices_t completion = {
    "cmpl-mock",
    "text_completion",
    "{\"index\":0,\"text\":\"",
    "\",\"logprobs\":null,\"finish_reason\":\"stop\"}",
    "text_completion",
    NULL,
    "{\"index\":0,\"text\":\"",
    "\",\"logprobs\":null,\"finish_reason\":null}",
    "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"stop\"}",
};

static const char *choices_head(mock_t *m, const char *id, const char *object)
{
    return apr_pstrcat(m->r->pool, "{\"id\":\"", id, "\",\"object\":\"", object,
                       "\",\"created\":" CREATED ",\"model\":\"", model_of(m), "\",\"choices\":[",
                       NULL);
}

static void stream_choices(mock_t *m, const choices_t *c)
{
    apr_pool_t *pool = m->r->pool;
    int wants_usage = field_is(m, FIELD_INCLUDE_USAGE, "true");
    const char *head = apr_pstrcat(pool, "data: ", choices_head(m, c->id, c->chunk_object), NULL);
    const char *tail = wants_usage ? "],\"usage\":null}\n\n" : "]}\n\n";
    apr_array_header_t *words = stream_words(m);
    int i;

    begin_events(m);
    if (c->first) {
        add_event(m, apr_pstrcat(pool, head, c->first, tail, NULL));
    }
    for (i = 0; i < words->nelts; i++) {
        add_event(m, apr_pstrcat(pool, head, c->chunk_head, APR_ARRAY_IDX(words, i, const char *),
                                 c->chunk_tail, tail, NULL));
    }
    if (has_word(m, "lastusage")) {
        tail = apr_pstrcat(pool, "],\"usage\":", usage(m), "}\n\n", NULL);
    }
    add_event(m, apr_pstrcat(pool, head, c->last, tail, NULL));
    if (wants_usage && !has_word(m, "nousage")) {
        add_event(m, apr_pstrcat(pool, head, "],\"usage\":", usage(m), "}\n\n", NULL));
    }
    add_event(m, DONE_EVENT);
}

static void answer_choices(mock_t *m, const choices_t *c)
{
    if (field_is(m, FIELD_STREAM, "true")) {
        stream_choices(m, c);
        return;
    }
    answer_text(m, apr_pstrcat(m->r->pool, choices_head(m, c->id, c->object), c->head, NULL),
                apr_pstrcat(m->r->pool, c->tail, "],\"usage\":", usage(m), "}", NULL));
}

static void answer_chat(mock_t *m)
{
    answer_choices(m, &chat);
}

static void answer_completion(mock_t *m)
{
    answer_choices(m, &completion);
}

#define PART_HEAD "{\"type\":\"output_text\",\"annotations\":[],\"text\":\""
#define PART_TAIL "\"}"
#define ITEM_HEAD(status)                                                                          \
    "{\"id\":\"msg_mock\",\"type\":\"message\",\"status\":\"" status                               \
    "\",\"role\":\"assistant\",\"content\":["
#define ITEM_TAIL "]}"

/* A Response object up to its output's items, and after them. */
static const char *response_head(mock_t *m, const char *status)
{
    return apr_pstrcat(m->r->pool,
                       "{\"id\":\"resp_mock\",\"object\":\"response\",\"created_at\":" CREATED
                       ",\"status\":\"",
                       status,
                       "\",\"error\":null,\"incomplete_details\":null,\"instructions\":null,"
                       "\"metadata\":{},\"parallel_tool_calls\":true,\"tool_choice\":\"auto\","
                       "\"tools\":[],\"model\":\"",
                       model_of(m), "\",\"output\":[", NULL);
}

static const char *response_tail(mock_t *m)
{
    if (has_word(m, "nousage")) {
        return "],\"usage\":null}";
    }
    count_tokens(m, COMPLETION_COUNT);
    return apr_psprintf(m->r->pool,
                        "],\"usage\":{\"input_tokens\":%d,"
                        "\"input_tokens_details\":{\"cached_tokens\":%d},\"output_tokens\":%d,"
                        "\"output_tokens_details\":{\"reasoning_tokens\":0},"
                        "\"total_tokens\":%d}}",
                        m->prompt, m->cached > 0 ? m->cached : 0, m->completion,
                        m->prompt + m->completion);
}

/* A typed event; the text of its own members is given in three pieces. */
static void add_typed(mock_t *m, const char *type, const char *a, const char *b, const char *c)
{
    const char *number = apr_itoa(m->r->pool, m->events->nelts);

    add_event(m, apr_pstrcat(m->r->pool, "event: ", type, "\ndata: {\"type\":\"", type,
                             "\",\"sequence_number\":", number, ",", a, b, c, "}\n\n", NULL));
}

#define AT_ITEM "\"output_index\":0,"
#define IN_ITEM "\"item_id\":\"msg_mock\",\"output_index\":0,\"content_index\":0,"

static void stream_response(mock_t *m)
{
    apr_array_header_t *words = stream_words(m);
    const char *text = apr_array_pstrcat(m->r->pool, words, 0);
    int i;

    begin_events(m);
    add_typed(m, "response.created", "\"response\":", response_head(m, "in_progress"),
              "],\"usage\":null}");
    add_typed(m, "response.output_item.added", AT_ITEM "\"item\":", ITEM_HEAD("in_progress"),
              ITEM_TAIL);
    add_typed(m, "response.content_part.added", IN_ITEM "\"part\":", PART_HEAD, PART_TAIL);
    for (i = 0; i < words->nelts; i++) {
        add_typed(m, "response.output_text.delta", IN_ITEM "\"logprobs\":[],\"delta\":\"",
                  APR_ARRAY_IDX(words, i, const char *), "\"");
    }
    add_typed(m, "response.output_text.done", IN_ITEM "\"logprobs\":[],\"text\":\"", text, "\"");
    add_typed(m, "response.content_part.done", IN_ITEM "\"part\":" PART_HEAD, text, PART_TAIL);
    add_typed(m, "response.output_item.done", AT_ITEM "\"item\":" ITEM_HEAD("completed") PART_HEAD,
              text, PART_TAIL ITEM_TAIL);
    add_typed(m, "response.completed",
              apr_pstrcat(m->r->pool, "\"response\":", response_head(m, "completed"),
                          ITEM_HEAD("completed") PART_HEAD, NULL),
              text, apr_pstrcat(m->r->pool, PART_TAIL ITEM_TAIL, response_tail(m), NULL));
}

static void answer_response(mock_t *m)
{
    if (field_is(m, FIELD_STREAM, "true")) {
        stream_response(m);
        return;
    }
    answer_text(m,
                apr_pstrcat(m->r->pool, response_head(m, "completed"),
                            ITEM_HEAD("completed") PART_HEAD, NULL),
                apr_pstrcat(m->r->pool, PART_TAIL ITEM_TAIL, response_tail(m), NULL));
}

static void answer_embeddings(mock_t *m)
{
    apr_pool_t *pool = m->r->pool;
    const char *vector = field_is(m, FIELD_ENCODING, "base64") ? VECTOR_BASE64 : VECTOR_PLAIN;
    int i, count = m->scan.inputs ? m->scan.inputs : 1;
    apr_array_header_t *list = apr_array_make(pool, count, sizeof(const char *));

    for (i = 0; i < count; i++) {
        APR_ARRAY_PUSH(list, const char *) = apr_psprintf(
            pool, "{\"object\":\"embedding\",\"index\":%d,\"embedding\":%s}", i, vector);
    }
    count_tokens(m, 0);
    answer_json(m, apr_psprintf(pool,
                                "{\"object\":\"list\",\"data\":[%s],\"model\":\"%s\",\"usage\":{"
                                "\"prompt_tokens\":%d,\"total_tokens\":%d}}",
                                apr_array_pstrcat(pool, list, ','), model_of(m), m->prompt,
                                m->prompt));
}

static void answer_image(mock_t *m)
{
    answer_json(m, "{\"created\":" CREATED
                   ",\"data\":[{\"url\":\"https://mock.example/image.png\"}]}");
}

static void answer_transcription(mock_t *m)
{
    answer_json(m, apr_psprintf(m->r->pool,
                                "{\"text\":\"mock transcription of %" APR_OFF_T_FMT " bytes\"}",
                                m->bytes));
}

static void answer_speech(mock_t *m)
{
    const apr_size_t length = 4096;
    char *sound = apr_palloc(m->r->pool, length);
    apr_size_t i;

    for (i = 0; i < length; i++) {
        sound[i] = (char)(i & 255);
    }
    answer_bytes(m, "audio/mpeg", sound, length);
}

static void answer_moderation(mock_t *m)
{
    answer_json(m, apr_psprintf(m->r->pool,
                                "{\"id\":\"modr-mock\",\"model\":\"%s\",\"results\":[{"
                                "\"flagged\":false,\"categories\":{\"hate\":false,"
                                "\"violence\":false},\"category_scores\":{\"hate\":0.01,"
                                "\"violence\":0.01}}]}",
                                model_of(m)));
}

static void answer_rerank(mock_t *m)
{
    answer_json(m, apr_psprintf(m->r->pool,
                                "{\"id\":\"rerank-mock\",\"model\":\"%s\",\"results\":["
                                "{\"index\":0,\"relevance_score\":0.9}],\"usage\":{"
                                "\"total_tokens\":%" APR_OFF_T_FMT "}}",
                                model_of(m), m->bytes / 4));
}

static void answer_upload(mock_t *m)
{
    answer_json(m, apr_psprintf(m->r->pool,
                                "{\"id\":\"file-mock\",\"object\":\"file\","
                                "\"bytes\":%" APR_OFF_T_FMT
                                ",\"filename\":\"mock\",\"purpose\":\"assistants\","
                                "\"created_at\":1,\"status\":\"processed\"}",
                                m->bytes));
}

#define MODEL(id) "{\"id\":\"" id "\",\"object\":\"model\",\"created\":1,\"owned_by\":\"mock\"}"

static void answer_models(mock_t *m)
{
    answer_json(m,
                "{\"object\":\"list\",\"data\":[" MODEL("mock-small") "," MODEL("mock-large") "]}");
}

/* The path after a folder, decoded here since r->uri may or may not hold a decoded slash. */
static const char *id_after(mock_t *m, const char *folder)
{
    const char *at = strstr(m->r->unparsed_uri, folder);
    const char *id;

    if (!at) {
        return "";
    }
    at += strlen(folder);
    at = apr_pstrndup(m->r->pool, at, strcspn(at, "?#"));
    id = apr_punescape_url(m->r->pool, at, NULL, NULL, 0);
    return json_text(m->r->pool, id ? id : at);
}

static void answer_model(mock_t *m)
{
    answer_json(m, apr_psprintf(m->r->pool, MODEL("%s"), id_after(m, "/models/")));
}

static void answer_delete(mock_t *m)
{
    answer_json(m, apr_psprintf(m->r->pool, "{\"id\":\"%s\",\"object\":\"file\",\"deleted\":true}",
                                id_after(m, "/files/")));
}

/* The words "balanceN" and "debtN" say it. */
static const char *balance(mock_t *m)
{
    if (word_number(m, "debt") > 0) {
        return apr_psprintf(m->r->pool, "-%d.00", word_number(m, "debt"));
    }
    return word_number(m, "balance") >= 0
               ? apr_psprintf(m->r->pool, "%d.00", word_number(m, "balance"))
               : "88.88";
}

/* The balance in a vendor's answer, between head and tail; with "nobalance" a page instead. */
static void answer_balance(mock_t *m, const char *head, const char *tail)
{
    if (has_word(m, "nobalance")) {
        static const char page[] = "<html><body>Please log in.</body></html>";

        answer_bytes(m, "text/html", page, sizeof(page) - 1);
        return;
    }
    answer_json(m, apr_pstrcat(m->r->pool, head, balance(m), tail, NULL));
}

static void answer_account(mock_t *m)
{
    answer_balance(m,
                   "{\"code\":20000,\"message\":\"OK\",\"status\":true,\"data\":{\"id\":\"u\","
                   "\"name\":\"mock\",\"balance\":\"0.88\",\"chargeBalance\":\"88.00\","
                   "\"totalBalance\":\"",
                   "\",\"status\":\"normal\"}}");
}

/* With "unavailable" the account may not be used; with "currencies" it has dollars besides. */
static void answer_deepseek(mock_t *m)
{
    answer_balance(
        m,
        apr_pstrcat(
            m->r->pool, "{\"is_available\":", has_word(m, "unavailable") ? "false" : "true",
            ",\"balance_infos\":[",
            has_word(m, "currencies") ? "{\"currency\":\"USD\",\"total_balance\":\"12.34\"}," : "",
            "{\"currency\":\"CNY\",\"total_balance\":\"", NULL),
        "\",\"granted_balance\":\"0.00\",\"topped_up_balance\":\"0.00\"}]}");
}

static void answer_moonshot(mock_t *m)
{
    answer_balance(m, "{\"code\":0,\"data\":{\"available_balance\":",
                   ",\"voucher_balance\":0,\"cash_balance\":0},\"scode\":\"0x0\",\"status\":true}");
}

static void answer_openrouter(mock_t *m)
{
    if (has_word(m, "nolimit")) {
        answer_json(m, "{\"data\":{\"label\":\"mock\",\"limit\":null,\"limit_remaining\":null,"
                       "\"usage\":1.5,\"is_free_tier\":false}}");
        return;
    }
    answer_balance(m, "{\"data\":{\"label\":\"mock\",\"limit\":100,\"limit_remaining\":",
                   ",\"usage\":1.5,\"is_free_tier\":false}}");
}

static void answer_echo(mock_t *m)
{
    apr_pool_t *pool = m->r->pool;

    answer_json(m, apr_psprintf(pool, "{\"path\":\"%s\",\"method\":\"%s\",\"args\":\"%s\"}",
                                json_text(pool, m->r->uri), json_text(pool, m->r->method),
                                json_text(pool, m->r->args)));
}

static const char *websocket_accept(apr_pool_t *pool, const char *key)
{
    const char *text = apr_pstrcat(pool, key, WEBSOCKET_GUID, NULL);
    unsigned char digest[APR_SHA1_DIGESTSIZE];
    apr_sha1_ctx_t sha1;
    char *accept = apr_palloc(pool, (apr_size_t)apr_base64_encode_len(sizeof(digest)));

    apr_sha1_init(&sha1);
    apr_sha1_update(&sha1, text, (unsigned int)strlen(text));
    apr_sha1_final(digest, &sha1);
    apr_base64_encode_binary(accept, digest, sizeof(digest));
    return accept;
}

static void answer_realtime(mock_t *m)
{
    request_rec *r = m->r;
    const char *key = apr_table_get(r->headers_in, "Sec-WebSocket-Key");
    const char *protocols = apr_table_get(r->headers_in, "Sec-WebSocket-Protocol");

    if (!key || !ap_find_token(r->pool, apr_table_get(r->headers_in, "Upgrade"), "websocket")) {
        answer_echo(m);
        return;
    }
    m->status = HTTP_SWITCHING_PROTOCOLS;
    apr_table_setn(r->headers_out, "Upgrade", "websocket");
    apr_table_mergen(r->headers_out, "Connection", "Upgrade");
    apr_table_setn(r->headers_out, "Sec-WebSocket-Accept", websocket_accept(r->pool, key));
    if (protocols) {
        apr_table_setn(r->headers_out, "Sec-WebSocket-Protocol",
                       ap_get_token(r->pool, &protocols, 0));
    }
}

/* A path that ends with a slash names a folder: anything may follow it. The first match counts. */
static const struct {
    const char *method;
    const char *path;
    void (*answer)(mock_t *m);
} endpoints[] = {
    {"POST", "/chat/completions", answer_chat},
    {"POST", "/completions", answer_completion},
    {"POST", "/responses", answer_response},
    {"POST", "/embeddings", answer_embeddings},
    {"POST", "/images/generations", answer_image},
    {"POST", "/audio/transcriptions", answer_transcription},
    {"POST", "/audio/speech", answer_speech},
    {"POST", "/moderations", answer_moderation},
    {"POST", "/rerank", answer_rerank},
    {"POST", "/files", answer_upload},
    {"GET", "/models", answer_models},
    {"GET", "/models/", answer_model},
    {"GET", "/user/info", answer_account},
    {"GET", "/user/balance", answer_deepseek},
    {"GET", "/users/me/balance", answer_moonshot},
    {"GET", "/key", answer_openrouter},
    {"GET", "/realtime", answer_realtime},
    {"GET", "/socket", answer_realtime}, /* whose events nobody knows */
    {"DELETE", "/files/", answer_delete},
};

static int path_matches(const char *path, const char *wanted)
{
    apr_size_t length = strlen(path), tail = strlen(wanted);

    if (wanted[tail - 1] == '/') {
        const char *at = strstr(path, wanted);

        return at && at[tail];
    }
    return length >= tail && !strcmp(path + length - tail, wanted);
}

static void answer_endpoint(mock_t *m)
{
    apr_size_t i;

    for (i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        if (!strcmp(m->r->method, endpoints[i].method) &&
            path_matches(m->r->uri, endpoints[i].path)) {
            endpoints[i].answer(m);
            return;
        }
    }
    answer_echo(m);
}

/* ---- The scripted failures ---- */

/* An answer that has begun well and then tells of an error: in its first event, or as its body. */
static void answer_in_band(mock_t *m, const char *name, const char *error)
{
    if (!field_is(m, FIELD_STREAM, "true")) {
        answer_json(m, error);
        return;
    }
    begin_events(m);
    add_event(m, apr_pstrcat(m->r->pool, name, "data: ", error, "\n\n", NULL));
}

/* Tells the whole key, on purpose: masking it is for the pool to do. */
static const char *incorrect_key(mock_t *m)
{
    return apr_psprintf(m->r->pool,
                        OPENAI_ERROR("Incorrect API key provided: %s. You can find your API key "
                                     "in your account's settings.",
                                     "invalid_request_error", "\"invalid_api_key\""),
                        json_text(m->r->pool, m->key));
}

/* Has the key across the offset BIG_STRADDLE and once more near its end. */
static const char *big_error(mock_t *m)
{
    static const char head[] = "{\"error\":{\"type\":\"invalid_request_error\",\"param\":null,"
                               "\"code\":\"unprocessable\",\"message\":\"";
    static const char tail[] = " Please correct the request.\"}}";
    const char *key = json_text(m->r->pool, m->key);
    const apr_size_t length = strlen(key), end = BIG_SIZE - (sizeof(tail) - 1);
    char *body = apr_palloc(m->r->pool, BIG_SIZE + 1);

    memset(body, '.', BIG_SIZE);
    memcpy(body, head, sizeof(head) - 1);
    memcpy(body + BIG_STRADDLE - length / 2, key, length);
    memcpy(body + end - length, key, length);
    memcpy(body + end, tail, sizeof(tail));
    return body;
}

#define OVERLOADED                                                                                 \
    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"
#define TOO_LONG                                                                                   \
    OPENAI_ERROR("This model's maximum context length is 8192 tokens.", "invalid_request_error",   \
                 "\"context_length_exceeded\"")
#define NO_MODEL                                                                                   \
    OPENAI_ERROR("The model does not exist or you do not have access to it.",                      \
                 "invalid_request_error", "\"model_not_found\"")
#define NO_REGION                                                                                  \
    OPENAI_ERROR("Country, region, or territory not supported", "request_forbidden",               \
                 "\"unsupported_country_region_territory\"")

typedef struct {
    const char *word;
    const char *status_line;
    const char *body;
    const char *(*make)(mock_t *m); /* when the body depends on the request */
} failure_t;

static const failure_t failures[] = {
    {"401", "401 Unauthorized", NULL, incorrect_key},
    {"429", "429 Too Many Requests",
     OPENAI_ERROR("Rate limit reached for requests", "requests", "\"rate_limit_exceeded\""), NULL},
    {"quota", "429 Too Many Requests",
     OPENAI_ERROR("You exceeded your current quota, please check your plan and billing details.",
                  "insufficient_quota", "\"insufficient_quota\""),
     NULL},
    {"quota400", "400 Bad Request",
     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your credit "
     "balance is too low to access the Anthropic API.\"}}",
     NULL},
    {"quota402", "402 Payment Required",
     OPENAI_ERROR("Insufficient Balance", "unknown_error", "\"invalid_request_error\""), NULL},
    {"gemini400", "400 Bad Request",
     "[{\"error\":{\"code\":400,\"message\":\"API key not valid. Please pass a valid API key.\","
     "\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"@type\":"
     "\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"API_KEY_INVALID\"}]}}]",
     NULL},
    {"400", "400 Bad Request", TOO_LONG, NULL},
    {"ctx400", "400 Bad Request", TOO_LONG, NULL},
    {"policy400", "400 Bad Request",
     OPENAI_ERROR("Your request was rejected as a result of our safety system.",
                  "invalid_request_error", "\"content_policy_violation\""),
     NULL},
    {"422big", "422 Unprocessable Entity", NULL, big_error},
    {"404", "404 Not Found", NO_MODEL, NULL},
    {"model404", "404 Not Found", NO_MODEL, NULL},
    {"410", "410 Gone", "{\"code\":20060,\"message\":\"This API is discontinued\",\"data\":null}",
     NULL},
    {"403", "403 Forbidden", NO_REGION, NULL},
    {"key403", "403 Forbidden",
     OPENAI_ERROR("Invalid API key", "invalid_request_error", "\"invalid_api_key\""), NULL},
    {"405", "405 Method Not Allowed", "{\"detail\":\"Method Not Allowed\"}", NULL},
    {"501", "501 Not Implemented", SERVER_ERROR, NULL},
    {"region403", "403 Forbidden", NO_REGION, NULL},
    {"500", "500 Internal Server Error", SERVER_ERROR, NULL},
    {"502", "502 Bad Gateway",
     "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>\n", NULL},
    {"503", "503 Service Unavailable", SERVER_ERROR, NULL},
    {"529", "529 Overloaded", SERVER_ERROR, NULL},
    {"overloaded", "529 Overloaded", OVERLOADED, NULL},
    {"slowdown", "429 Too Many Requests",
     OPENAI_ERROR("Your request rate grew too fast. Please slow down.", "requests",
                  "\"slow_down\""),
     NULL},
};

/* What is said of models whose names begin with "Pro/" alone: as vendors, gateways and hubs do. */
static const failure_t of_pro_models[] = {
    {"pro401", "401 Unauthorized",
     OPENAI_ERROR("This model is not for you", "authentication_error", "null"), NULL},
    {"pro402", "402 Payment Required",
     OPENAI_ERROR("Insufficient Balance", "unknown_error", "\"invalid_request_error\""), NULL},
    {"pro403", "403 Forbidden",
     "{\"code\":30011,\"message\":\"The selected model requires paid balance. Your paid balance is "
     "insufficient. Please top up and try again.\",\"data\":null}",
     NULL},
    {"pro429", "429 Too Many Requests", "{\"error\":{\"message\":\"insufficient balance (1008)\"}}",
     NULL},
    {"pro503", "503 Service Unavailable",
     "{\"error\":{\"message\":\"No available channel for model Pro/x under group default "
     "(distributor)\",\"type\":\"new_api_error\",\"code\":\"model_not_found\"}}",
     NULL},
};

static void answer_failure(mock_t *m, const failure_t *failure)
{
    /* The line too, for a status that httpd does not know. */
    m->status_line = failure->status_line;
    m->status = atoi(failure->status_line);
    answer_json(m, failure->make ? failure->make(m) : failure->body);
    if (m->body[0] == '<') {
        m->type = "text/html";
    }
    if (m->retry_after < 0) {
        m->retry_after = word_number(m, "retry");
    }
    if (m->retry_after >= 0) {
        apr_table_setn(m->r->headers_out, "Retry-After", apr_itoa(m->r->pool, m->retry_after));
    }
}

/* A request without a key passes when it is scripted by the header instead. */
static int key_accepted(const mock_t *m)
{
    if (!m->key) {
        return apr_table_get(m->r->headers_in, "X-Mock") != NULL;
    }
    return !strncmp(m->key, "sk-", 3);
}

static const failure_t *failure_named(const char *word)
{
    apr_size_t i;

    for (i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        if (!strcmp(failures[i].word, word)) {
            return &failures[i];
        }
    }
    return NULL;
}

/* Of a hundred answers 30 are 429, 5 are 401, 5 are 500, and the others are what was asked for. */
static const failure_t *find_storm(mock_t *m)
{
    int fate = draw(m, "storm");

    if (fate < 30) {
        m->retry_after = 1 + fate % 5;
    }
    return fate < 30   ? failure_named("429")
           : fate < 35 ? failure_named("401")
           : fate < 40 ? failure_named("500")
                       : NULL;
}

#define NO_OPTION                                                                                  \
    OPENAI_ERROR("Unknown parameter: 'stream_options'.", "invalid_request_error",                  \
                 "\"unknown_parameter\"")

/* An upstream that knows no stream_options says so in one of two ways. */
static const failure_t *refuse_option(const mock_t *m)
{
    static const failure_t refusal = {"nostreamoptions", "400 Bad Request", NO_OPTION, NULL};
    static const failure_t unprocessable = {"nostreamoptions422", "422 Unprocessable Entity",
                                            NO_OPTION, NULL};

    if (field_is(m, FIELD_INCLUDE_USAGE, "")) {
        return NULL;
    }
    return has_word(m, refusal.word)         ? &refusal
           : has_word(m, unprocessable.word) ? &unprocessable
                                             : NULL;
}

static int is_down(const mock_t *m)
{
    int seconds = m->conf->flap_seconds ? m->conf->flap_seconds : FLAP_SECONDS;

    return apr_time_sec(m->r->request_time) / seconds % 2 != 0;
}

static int is_foreign(void *ctx, const char *name, const char *value)
{
    (void)ctx;
    (void)name;
    return !strstr(value, "foreign");
}

/* An upstream that believes whatever of a request says "foreign", rather than the key. */
static const failure_t *be_fooled(const mock_t *m)
{
    const char *args = m->r->args;

    if ((args && strstr(args, "foreign")) ||
        !apr_table_do(is_foreign, NULL, m->r->headers_in, NULL)) {
        return has_word(m, "fooled")      ? failure_named("401")
               : has_word(m, "fooled402") ? failure_named("quota402")
                                          : NULL;
    }
    return NULL;
}

static const failure_t *find_failure(mock_t *m)
{
    apr_size_t i;
    const failure_t *fooled = be_fooled(m);

    if (!key_accepted(m)) {
        return &failures[0];
    }
    if (fooled) {
        return fooled;
    }
    if (has_word(m, "storm") || word_number(m, "storm") >= 0) {
        return find_storm(m);
    }
    if (has_word(m, "half") && draw(m, "half") < 50) {
        return failure_named("500");
    }
    if (has_word(m, "flap") && is_down(m)) {
        return failure_named("503");
    }
    if (is_limited_model(m)) {
        return failure_named("429");
    }
    for (i = 0; i < sizeof(of_pro_models) / sizeof(of_pro_models[0]); i++) {
        if (has_word(m, of_pro_models[i].word) &&
            !strncmp(m->scan.values[FIELD_MODEL], "Pro/", 4)) {
            return &of_pro_models[i];
        }
    }
    for (i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        const char *of_method = apr_pstrcat(m->r->pool, m->r->method, failures[i].word, NULL);

        if (has_word(m, failures[i].word) || has_word(m, of_method)) {
            return &failures[i];
        }
    }
    return refuse_option(m);
}

/* Azure's first event tells what its filters found. */
#define FILTER_EVENT                                                                               \
    "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\","              \
    "\"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n"

static const char *with_crlf(mock_t *m, const char *event)
{
    char *out = apr_palloc(m->r->pool, 2 * strlen(event) + 1), *o = out;

    for (; *event; event++) {
        if (*event == '\n') {
            *o++ = '\r';
        }
        *o++ = *event;
    }
    *o = '\0';
    return out;
}

static void alter_events(mock_t *m)
{
    int i;

    if (has_word(m, "nodone") &&
        !strcmp(APR_ARRAY_IDX(m->events, m->events->nelts - 1, const char *), DONE_EVENT)) {
        apr_array_pop(m->events);
    }
    if (has_word(m, "ssecomment")) {
        put_first(m, ": PROCESSING\n: still PROCESSING\n\n");
    }
    if (has_word(m, "azurefirst")) {
        put_first(m, FILTER_EVENT);
    }
    for (i = 0; has_word(m, "crlf") && i < m->events->nelts; i++) {
        APR_ARRAY_IDX(m->events, i, const char *) =
            with_crlf(m, APR_ARRAY_IDX(m->events, i, const char *));
    }
}

/* What an answer without a failure may still have in it. */
static void alter_answer(mock_t *m)
{
    if (has_word(m, "ssefail")) {
        answer_in_band(m, "",
                       "{\"error\":{\"code\":429,\"message\":\"Rate limit exceeded\","
                       "\"metadata\":{\"provider_name\":\"mock\"}}}");
    }
    if (has_word(m, "sseoverload")) {
        answer_in_band(m, "event: error\n", OVERLOADED);
    }
    if (m->events) {
        alter_events(m);
    }
}

static void choose_answer(mock_t *m)
{
    const failure_t *failure = find_failure(m);

    if (has_word(m, "close")) {
        return;
    }
    m->status = HTTP_OK;
    if (failure) {
        answer_failure(m, failure);
    }
    else {
        answer_endpoint(m);
        alter_answer(m);
    }
}

/* ---- The record ---- */

static int add_header(void *rec, const char *name, const char *value)
{
    apr_array_header_t *list = rec;
    char *lower = apr_pstrdup(list->pool, name);

    ap_str_tolower(lower);
    APR_ARRAY_PUSH(list, const char *) =
        apr_pstrcat(list->pool, "\"", json_text(list->pool, lower), "\":\"",
                    json_text(list->pool, value), "\"", NULL);
    return 1;
}

static const char *recorded_headers(mock_t *m)
{
    apr_array_header_t *list = apr_array_make(m->r->pool, 16, sizeof(const char *));

    apr_table_do(add_header, list, m->r->headers_in, NULL);
    return apr_array_pstrcat(m->r->pool, list, ',');
}

static const char *recorded_body(mock_t *m)
{
    int valid = 0;
    const char *text = NULL;

    if (m->kept) {
        text = json_bytes(m->r->pool, m->kept, m->kept_length, &valid);
    }
    return valid ? apr_pstrcat(m->r->pool, "\"", text, "\"", NULL) : "null";
}

static const char *recorded_usage(const mock_t *m)
{
    return m->has_usage && m->status == HTTP_OK
               ? apr_psprintf(m->r->pool, "{\"prompt\":%d,\"completion\":%d,\"cached\":%d}",
                              m->prompt, m->completion, m->cached > 0 ? m->cached : 0)
               : "null";
}

static const char *record_line(mock_t *m)
{
    request_rec *r = m->r;
    apr_pool_t *pool = r->pool;
    const char *place = apr_psprintf(
        pool, "\"method\":\"%s\",\"uri\":\"%s\",\"unparsed_uri\":\"%s\",\"args\":\"%s\"",
        json_text(pool, r->method), json_text(pool, r->uri), json_text(pool, r->unparsed_uri),
        json_text(pool, r->args));
    const char *numbers = apr_psprintf(
        pool, "\"body_bytes\":%" APR_OFF_T_FMT ",\"body_sha1\":\"%s\"", m->bytes, m->sha1);
    const char *retry_after =
        m->retry_after >= 0 ? apr_psprintf(pool, "\"retry_after\":%d,", m->retry_after) : "";
    const char *result =
        apr_psprintf(pool, "\"model\":\"%s\",\"usage\":%s,\"status\":%d,%s\"connection\":\"%u\"}\n",
                     m->scan.values[FIELD_MODEL], recorded_usage(m), m->status, retry_after,
                     (unsigned int)r->connection->client_addr->port);
    const char *time =
        apr_psprintf(pool, "{\"time\":%" APR_TIME_T_FMT ".%06d,", apr_time_sec(r->request_time),
                     (int)apr_time_usec(r->request_time));

    return apr_pstrcat(pool, time, place, ",\"key\":\"", json_text(pool, m->key),
                       "\",\"headers\":{", recorded_headers(m), "},", numbers,
                       ",\"body\":", recorded_body(m), ",", result, NULL);
}

/* Opened for each line, so that a test may remove the file between two requests. */
static void record_request(mock_t *m)
{
    const char *line;
    apr_file_t *file;
    apr_size_t length;
    apr_status_t rv;

    if (!m->conf->record) {
        return;
    }
    line = record_line(m);
    length = strlen(line);
    rv =
        apr_file_open(&file, m->conf->record, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_APPEND,
                      APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_GREAD | APR_FPROT_GWRITE |
                          APR_FPROT_WREAD | APR_FPROT_WWRITE,
                      m->r->pool);
    if (rv == APR_SUCCESS) {
        rv = apr_file_write(file, line, &length);
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS || length != strlen(line)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, m->r, "mock-llm: cannot append to %s",
                      m->conf->record);
    }
}

/* ---- Sending ---- */

static apr_interval_time_t script_pause(const mock_t *m, int seconds)
{
    int given = word_number(m, "delay"), given_ms = word_number(m, "delayms");

    if (given_ms >= 0) {
        return (apr_interval_time_t)given_ms * 1000;
    }
    return apr_time_from_sec((apr_interval_time_t)(given >= 0 ? given : seconds));
}

static void wait_before_answer(const mock_t *m)
{
    apr_interval_time_t wait = (apr_interval_time_t)m->conf->delay_ms * 1000;

    if (has_word(m, "slow")) {
        wait += script_pause(m, 2);
    }
    if (word_number(m, "first") > 0) {
        wait += apr_time_from_sec((apr_interval_time_t)word_number(m, "first"));
    }
    if (wait > 0) {
        apr_sleep(wait);
    }
}

/* What is not yet sent, such as the last chunk, is then thrown away by the core's filter. */
static void drop_connection(conn_rec *c)
{
    c->keepalive = AP_CONN_CLOSE;
    c->aborted = 1;
    apr_socket_shutdown(ap_get_conn_socket(c), APR_SHUTDOWN_READWRITE);
}

static void set_headers(mock_t *m)
{
    request_rec *r = m->r;

    if (has_word(m, "sums")) {
        apr_table_setn(r->headers_out, "X-Body-SHA1", m->sha1);
        apr_table_setn(r->headers_out, "X-Body-Bytes", apr_off_t_toa(r->pool, m->bytes));
    }
    if (has_word(m, "hdr")) {
        apr_table_setn(r->headers_out, "X-Upstream-Test", "1");
    }
    if (word_number(m, "limits") >= 0) {
        apr_table_setn(r->headers_out, "x-ratelimit-limit-requests", "100");
        apr_table_setn(r->headers_out, "x-ratelimit-remaining-requests",
                       apr_itoa(r->pool, word_number(m, "limits")));
        apr_table_setn(r->headers_out, "x-ratelimit-reset-requests", "30s");
    }
    if (has_word(m, "cookie")) {
        apr_table_setn(r->headers_out, "Set-Cookie", "a=b");
        apr_table_setn(r->headers_out, "OpenAI-Organization", "org-x");
        apr_table_mergen(r->headers_out, "Connection", "X-Hop");
        apr_table_setn(r->headers_out, "X-Hop", "1");
    }
}

/* Writes a piece and flushes it; 0 when the client has gone. */
static int send_piece(request_rec *r, const char *data, apr_size_t length)
{
    return ap_rwrite(data, (int)length, r) >= 0 && ap_rflush(r) == 0 && !r->connection->aborted;
}

/* A pause makes it likely that what comes after it is read by itself. */
static int send_apart(const mock_t *m, const char *data, apr_size_t length)
{
    if (!send_piece(m->r, data, length)) {
        return 0;
    }
    apr_sleep(APART_MS * 1000);
    return 1;
}

/* An event at once, or its bytes one by one, or with "splitN" its last N bytes by themselves. */
static int send_event(const mock_t *m, const char *event)
{
    apr_size_t length = strlen(event), i;
    int last = word_number(m, "split");

    if (has_word(m, "bytewise")) {
        for (i = 0; i < length; i++) {
            if (!(i + 4 < length ? send_piece(m->r, event + i, 1) : send_apart(m, event + i, 1))) {
                return 0;
            }
        }
        return 1;
    }
    if (last > 0 && (apr_size_t)last < length) {
        return send_apart(m, event, length - (apr_size_t)last) &&
               send_apart(m, event + length - last, (apr_size_t)last);
    }
    return send_piece(m->r, event, length);
}

/* A word alone takes effect at half of the events; "cutN" after N of them, and "stallN" stalls N
 * seconds at a third; with "gapN" there are N milliseconds between any two. */
static void send_events(mock_t *m)
{
    int i, half = m->events->nelts / 2, cut_at = word_number(m, "cut");
    int cut_line = has_word(m, "cutline"), stall_seconds = word_number(m, "stall");

    if (cut_line || has_word(m, "cut")) {
        cut_at = half;
    }
    for (i = 0; i < m->events->nelts; i++) {
        const char *event = APR_ARRAY_IDX(m->events, i, const char *);

        if (i > 0 && word_number(m, "gap") > 0) {
            apr_sleep((apr_interval_time_t)word_number(m, "gap") * 1000);
        }
        if (i == half && has_word(m, "stall")) {
            apr_sleep(script_pause(m, 30));
        }
        if (i == m->events->nelts / 3 && stall_seconds > 0) {
            apr_sleep(apr_time_from_sec((apr_interval_time_t)stall_seconds));
        }
        if (i == cut_at) {
            const char *line = strstr(event, "data: ");

            if (cut_line) {
                send_piece(m->r, event, (apr_size_t)(line - event) + strlen(line) / 2);
            }
            drop_connection(m->r->connection);
            return;
        }
        if (!send_event(m, event)) {
            return;
        }
    }
}

static void send_body(mock_t *m)
{
    apr_size_t half = m->length / 2;
    int cut = has_word(m, "cut") || has_word(m, "cutline"), stall = has_word(m, "stall");

    ap_set_content_length(m->r, (apr_off_t)m->length);
    if (!cut && !stall) {
        ap_rwrite(m->body, (int)m->length, m->r);
        return;
    }
    if (!send_piece(m->r, m->body, half)) {
        return;
    }
    if (stall) {
        apr_sleep(script_pause(m, 30));
    }
    if (cut) {
        drop_connection(m->r->connection);
        return;
    }
    ap_rwrite(m->body + half, (int)(m->length - half), m->r);
}

static int print_header(void *rec, const char *name, const char *value)
{
    return apr_brigade_printf(rec, NULL, NULL, "%s: %s\r\n", name, value) == APR_SUCCESS;
}

static apr_status_t send_raw(conn_rec *c, apr_bucket_brigade *bb)
{
    apr_status_t rv;

    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(c->bucket_alloc));
    rv = ap_pass_brigade(c->output_filters, bb);
    apr_brigade_cleanup(bb);
    return rv;
}

/* Past the request's own filters, which know nothing of a connection that changed its protocol. */
static void send_websocket(mock_t *m)
{
    conn_rec *c = m->r->connection;
    apr_bucket_brigade *in = apr_brigade_create(m->r->pool, c->bucket_alloc);
    apr_bucket_brigade *out = apr_brigade_create(m->r->pool, c->bucket_alloc);
    apr_status_t rv;

    apr_brigade_puts(out, NULL, NULL, "HTTP/1.1 101 Switching Protocols\r\n");
    apr_table_do(print_header, out, m->r->headers_out, NULL);
    apr_brigade_puts(out, NULL, NULL, "\r\n");
    rv = send_raw(c, out);
    while (rv == APR_SUCCESS) {
        char data[8192];
        apr_size_t length = sizeof(data);

        rv = ap_get_brigade(c->input_filters, in, AP_MODE_READBYTES, APR_BLOCK_READ, sizeof(data));
        if (rv != APR_SUCCESS || (rv = apr_brigade_flatten(in, data, &length)) != APR_SUCCESS ||
            length == 0) {
            break;
        }
        apr_brigade_cleanup(in);
        apr_brigade_write(out, NULL, NULL, data, length);
        rv = send_raw(c, out);
    }
    drop_connection(c);
}

static void send_answer(mock_t *m)
{
    request_rec *r = m->r;

    if (m->status == 0) {
        drop_connection(r->connection);
        return;
    }
    set_headers(m);
    r->status = m->status;
    r->status_line = m->status_line;
    if (m->status == HTTP_SWITCHING_PROTOCOLS) {
        send_websocket(m);
        return;
    }
    ap_set_content_type(r, m->type);
    if (m->events) {
        apr_table_setn(r->headers_out, "Cache-Control", "no-cache");
        send_events(m);
    }
    else {
        send_body(m);
    }
}

static int mock_handler(request_rec *r)
{
    mock_t *m;
    int rc;

    if (!r->handler || strcmp(r->handler, "mock-llm")) {
        return DECLINED;
    }
    m = apr_pcalloc(r->pool, sizeof(*m));
    m->r = r;
    m->conf = ap_get_module_config(r->server->module_config, &mock_llm_module);
    m->key = credential(r);
    m->words = script_words(m);
    m->retry_after = -1;
    rc = read_body(m);
    if (rc != OK) {
        return rc;
    }
    choose_answer(m);
    record_request(m);
    wait_before_answer(m);
    send_answer(m);
    return OK;
}

/* ---- The configuration ---- */

static void *create_conf(apr_pool_t *pool, server_rec *s)
{
    mock_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));

    conf->delay_ms = -1;
    return conf;
}

static void *merge_conf(apr_pool_t *pool, void *base, void *add)
{
    const mock_conf_t *outer = base, *inner = add;
    mock_conf_t *conf = apr_palloc(pool, sizeof(*conf));

    conf->record = inner->record ? inner->record : outer->record;
    conf->words = inner->words ? inner->words : outer->words;
    conf->delay_ms = inner->delay_ms >= 0 ? inner->delay_ms : outer->delay_ms;
    conf->flap_seconds = inner->flap_seconds ? inner->flap_seconds : outer->flap_seconds;
    return conf;
}

static const char *set_record(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    mock_conf_t *conf = ap_get_module_config(cmd->server->module_config, &mock_llm_module);

    conf->record = ap_server_root_relative(cmd->pool, arg);
    return conf->record ? NULL : "MockLLMRecord: invalid path";
}

static const char *set_words(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    mock_conf_t *conf = ap_get_module_config(cmd->server->module_config, &mock_llm_module);

    conf->words = ap_server_root_relative(cmd->pool, arg);
    return conf->words ? NULL : "MockLLMWords: invalid path";
}

static int is_number(const char *arg)
{
    return *arg && strlen(arg) <= 8 && !arg[strspn(arg, "0123456789")];
}

static const char *set_delay(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    mock_conf_t *conf = ap_get_module_config(cmd->server->module_config, &mock_llm_module);

    if (!is_number(arg)) {
        return "MockLLMDelay: a number of milliseconds is needed";
    }
    conf->delay_ms = atoi(arg);
    return NULL;
}

static const char *set_flap(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    mock_conf_t *conf = ap_get_module_config(cmd->server->module_config, &mock_llm_module);

    if (!is_number(arg) || atoi(arg) == 0) {
        return "MockLLMFlap: a number of seconds is needed";
    }
    conf->flap_seconds = atoi(arg);
    return NULL;
}

static const command_rec commands[] = {
    AP_INIT_TAKE1("MockLLMRecord", set_record, NULL, RSRC_CONF,
                  "the file to which every request is appended as a JSON line"),
    AP_INIT_TAKE1("MockLLMWords", set_words, NULL, RSRC_CONF, "a file of more words for keys"),
    AP_INIT_TAKE1("MockLLMDelay", set_delay, NULL, RSRC_CONF,
                  "the milliseconds to wait before each answer"),
    AP_INIT_TAKE1("MockLLMFlap", set_flap, NULL, RSRC_CONF,
                  "the seconds that an upstream with the word flap is up, and then down"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL},
};

static void register_hooks(apr_pool_t *pool)
{
    ap_hook_handler(mock_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA mock_llm_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, create_conf, merge_conf, commands, register_hooks,
    AP_MODULE_FLAG_NONE,
};
