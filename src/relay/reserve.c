/* SPDX-License-Identifier: Apache-2.0
 * Tokens that are set aside for a request until it is known how many it took. */
#include "reserve.h"

#include <stdlib.h>
#include <string.h>

#include "body.h"

/* Four bytes of a prompt make about one token, and those of an image's text form fewer. */
#define BYTES_PER_TOKEN 4
#define PROMPT_MAX      32768
#define ANSWER_MIN      1024
#define ANSWER_UNKNOWN  4096 /* where no model has answered lately */
#define ANSWER_MAX      131072
#define ANSWERS_MAX     128 /* to one request */
#define PIECE           4096

/* What a request says of its answers; 0 where it says nothing, or what its upstream is going to refuse. */
typedef struct {
    double tokens, answers;
} said_t;

/* Forms have text for numbers, and so may Gemini's JSON. */
static double number_of(const apipool_sniffed_t *sniffed)
{
    char *end;
    if (sniffed->times > 1) { /* nobody knows which of them counts */
        return ANSWER_MAX;
    }
    if (sniffed->kind != APIPOOL_SNIFF_NUMBER && sniffed->kind != APIPOOL_SNIFF_STRING) {
        return 0;
    }
    double number = strtod(sniffed->text, &end);
    return end[strspn(end, " \t\r\n")] || !(number > 0) ? 0 : number;
}

static void take_larger(double *number, const apipool_sniffed_t *sniffed)
{
    double other = number_of(sniffed);
    *number = other > *number ? other : *number;
}

static void read_config(const apipool_request_t *req, const apipool_sniffed_t *config, said_t *said)
{
    static const apipool_sniff_name_t names[] = {
        {.name = "maxoutputtokens", .any_case = 1, .slot = 0},
        {.name = "max_output_tokens", .any_case = 1, .slot = 1},
        {.name = "candidatecount", .any_case = 1, .slot = 2},
        {.name = "candidate_count", .any_case = 1, .slot = 3}};
    apipool_sniffed_t wanted[4];
    apipool_sniff_t sniff;
    char piece[PIECE];

    apipool_sniff_begin(&sniff, NULL, names, 4, wanted, NULL, req->r->pool);
    for (apr_off_t at = 0; at < config->len; at += PIECE) {
        apr_off_t left = config->len - at;
        apr_size_t len = left < PIECE ? (apr_size_t)left : PIECE;
        if (apipool_body_read(req, config->at + at, piece, len) != APR_SUCCESS) {
            break;
        }
        apipool_sniff_feed(&sniff, piece, len);
    }
    for (int i = 0; i < 4; i++) {
        take_larger(i < 2 ? &said->tokens : &said->answers, &wanted[i]);
    }
}

static said_t find_said(const apipool_request_t *req)
{
    const apipool_sniffed_t *sniffed = req->body.sniffed;
    said_t said = {0, 0};
    take_larger(&said.tokens, &sniffed[APIPOOL_BODY_MAX_TOKENS]);
    take_larger(&said.tokens, &sniffed[APIPOOL_BODY_MAX_COMPLETION_TOKENS]);
    take_larger(&said.tokens, &sniffed[APIPOOL_BODY_MAX_OUTPUT_TOKENS]);
    take_larger(&said.answers, &sniffed[APIPOOL_BODY_N]);
    take_larger(&said.answers, &sniffed[APIPOOL_BODY_BEST_OF]);
    for (int i = APIPOOL_BODY_GENERATION_CONFIG; i <= APIPOOL_BODY_GENERATION_CONFIG_SNAKE; i++) {
        if (sniffed[i].times > 1) {
            said.tokens = ANSWER_MAX;
        }
        if (sniffed[i].kind == APIPOOL_SNIFF_OBJECT) {
            read_config(req, &sniffed[i], &said);
        }
    }
    return said;
}

apr_uint32_t apipool_reserve_usual(const apipool_request_t *req, const char *model)
{
    apr_uint32_t largest = apipool_stats_largest_answer(apipool_relay_segment(), req->pool->index,
                                                        model, apr_time_now());
    return !largest               ? ANSWER_UNKNOWN
           : largest < ANSWER_MIN ? ANSWER_MIN
           : largest > ANSWER_MAX ? ANSWER_MAX
                                  : largest;
}

static apr_uint32_t reserve_prompt(apr_uint64_t bytes)
{
    apr_uint64_t prompt = bytes / BYTES_PER_TOKEN;
    return (apr_uint32_t)(prompt < PROMPT_MAX ? prompt : PROMPT_MAX) + 1;
}

apr_uint32_t apipool_reserve_prompt(const apipool_request_t *req)
{
    return reserve_prompt((apr_uint64_t)req->body.length);
}

apr_uint32_t apipool_reserve_turn(const apipool_request_t *req, const char *model,
                                  apr_uint64_t bytes, apr_int64_t answer)
{
    return reserve_prompt(bytes) + (answer < 1            ? apipool_reserve_usual(req, model)
                                    : answer > ANSWER_MAX ? ANSWER_MAX
                                                          : (apr_uint32_t)answer);
}

static apr_uint32_t reserve_answers(const apipool_request_t *req)
{
    said_t said = find_said(req);
    double answers = said.answers < 1 ? 1 : said.answers > ANSWERS_MAX ? ANSWERS_MAX : said.answers;
    double tokens = said.tokens > ANSWER_MAX ? ANSWER_MAX : said.tokens;
    return (apr_uint32_t)((tokens >= 1 ? tokens : apipool_reserve_usual(req, req->demand.model)) *
                          answers);
}

apr_uint32_t apipool_reserve_tokens(const apipool_request_t *req)
{
    if (!req->body.length || !apipool_endpoint_generates(req->kind)) {
        return 1;
    }
    int answers = req->kind != APIPOOL_ENDPOINT_EMBEDDINGS && req->kind != APIPOOL_ENDPOINT_RERANK;
    return apipool_reserve_prompt(req) + (answers ? reserve_answers(req) : 0);
}
