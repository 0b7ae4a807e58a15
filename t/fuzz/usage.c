/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the usage scanner, split in many ways, as a stream and not, compared with another
 * reader. */
#include <jansson.h>
#include <string.h>

#include "fuzz.h"
#include "usage.h"

#define COUNT_MAX 1000000000000000

typedef struct {
    apipool_usage_t usage;
    int reported;
    int done;
} outcome_t;

/* Copies each piece to memory of exactly its size, so that a checker notices any overrun. */
static void feed(apipool_usage_scan_t *scan, const char *data, size_t len)
{
    char *exact = malloc(len ? len : 1);
    MUST(exact);
    memcpy(exact, data, len);
    apipool_usage_feed(scan, exact, len);
    MUST(!memcmp(exact, data, len));
    free(exact);
}

/* Ends the scan. */
static outcome_t outcome_of(apipool_usage_scan_t *scan)
{
    outcome_t outcome;
    memset(&outcome, 0, sizeof(outcome));
    outcome.done = apipool_usage_is_done(scan);
    outcome.reported = apipool_usage_result(scan, &outcome.usage);
    MUST(scan->kept_size <= APIPOOL_USAGE_DOCUMENT_MAX);
    apipool_usage_end(scan);
    return outcome;
}

static int is_same(const outcome_t *a, const outcome_t *b)
{
    return !memcmp(a, b, sizeof(*a));
}

/* Feeds pieces of one size or, with a seed, of sizes from 0 to 2 * step. */
static outcome_t scan_pieces(const char *data, size_t size, int is_event_stream, size_t step,
                             uint32_t seed)
{
    apipool_usage_scan_t scan;
    apipool_usage_begin(&scan, is_event_stream);
    for (size_t at = 0; at < size;) {
        size_t len = step;
        if (seed) {
            seed = seed * 1664525 + 1013904223;
            len = (seed >> 8) % (2 * step + 1);
        }
        len = len < size - at ? len : size - at;
        feed(&scan, data + at, len);
        at += len;
    }
    return outcome_of(&scan);
}

static void check_bounds(const outcome_t *outcome, int is_event_stream)
{
    const apipool_usage_t *usage = &outcome->usage;
    int any =
        usage->prompt >= 0 || usage->completion >= 0 || usage->cached >= 0 || usage->total >= 0;
    MUST(outcome->reported == any);
    MUST(usage->prompt >= -1 && usage->prompt <= 3 * (int64_t)COUNT_MAX);
    MUST(usage->completion >= -1 && usage->completion <= 2 * (int64_t)COUNT_MAX);
    MUST(usage->cached >= -1 && usage->cached <= COUNT_MAX);
    MUST(usage->total >= -1 && usage->total <= 5 * (int64_t)COUNT_MAX);
    MUST(is_event_stream || !outcome->done);
}

static outcome_t check_splits(const char *data, size_t size, int is_event_stream)
{
    static const size_t steps[] = {1, 2, 3, 5, 8, 13, 64};
    uint32_t seed = 1;
    outcome_t whole = scan_pieces(data, size, is_event_stream, size, 0);

    check_bounds(&whole, is_event_stream);
    for (size_t i = 0; i < size; i++) {
        seed = (seed ^ (unsigned char)data[i]) * 16777619;
    }
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        outcome_t pieces = scan_pieces(data, size, is_event_stream, steps[i], 0);
        MUST(is_same(&whole, &pieces));
        pieces = scan_pieces(data, size, is_event_stream, steps[i], seed | 1);
        MUST(is_same(&whole, &pieces));
    }
    return whole;
}

static size_t append(char *text, size_t used, const char *part, size_t len)
{
    memcpy(text + used, part, len);
    return used + len;
}

/* As one of many events, of which those that report nothing are skipped, unless they come byte by
 * byte. The input decides alignment and splits. */
static void check_among_events(const char *data, size_t size)
{
    static const char other[] =
        "event: x\ndata: {\"type\":\"x\",\"a\":[{\"b\":\"\\\"usage\\\"\"}],\"c\":"
        "\"01234567890123456789012345678901234567890123456789\","
        "\"usage\":null}\r\n\r\n";
    static const char begin[] = "data: ", end[] = "\n\n";
    const size_t other_len = sizeof(other) - 1;
    size_t cut = size ? (unsigned char)data[0] % other_len : 0, len = 0;
    char *stream = malloc(size + 4 * sizeof(other));

    MUST(stream);
    len = append(stream, len, other + cut, other_len - cut);
    len = append(stream, len, other, other_len);
    len = append(stream, len, begin, sizeof(begin) - 1);
    len = append(stream, len, data, size);
    len = append(stream, len, end, sizeof(end) - 1);
    len = append(stream, len, other, other_len);

    outcome_t slow = scan_pieces(stream, len, 1, 1, 0);
    outcome_t whole = scan_pieces(stream, len, 1, len, 0);
    MUST(is_same(&slow, &whole));
    for (uint32_t seed = 1; seed < 8; seed++) {
        outcome_t pieces = scan_pieces(stream, len, 1, other_len, seed + (uint32_t)size);
        MUST(is_same(&slow, &pieces));
    }
    free(stream);
}

/* The reader to compare with: the same rules over a whole tree. */
enum {
    PROMPT,
    COMPLETION,
    INPUT,
    OUTPUT,
    OUTPUT_BEGUN,
    WRITTEN,
    READ,
    CACHED,
    CACHED_HIT,
    CACHED_DETAIL,
    CANDIDATES,
    THOUGHTS,
    TOOL_USE,
    TOTAL,
    CHOICE_PROMPT,
    CHOICE_COMPLETION,
    CHOICE_CACHED,
    CHOICE_TOTAL,
    KINDS
};

typedef struct {
    int64_t count[KINDS];
    int64_t billed_input, billed_output;
} tree_t;

static const struct {
    const char *name;
    int kind;
} names[] = {
    {"prompt_tokens", PROMPT},
    {"completion_tokens", COMPLETION},
    {"input_tokens", INPUT},
    {"output_tokens", OUTPUT},
    {"total_tokens", TOTAL},
    {"cache_creation_input_tokens", WRITTEN},
    {"cache_read_input_tokens", READ},
    {"prompt_cache_hit_tokens", CACHED_HIT},
    {"cached_tokens", CACHED},
    {"promptTokenCount", PROMPT},
    {"candidatesTokenCount", CANDIDATES},
    {"thoughtsTokenCount", THOUGHTS},
    {"cachedContentTokenCount", CACHED},
    {"totalTokenCount", TOTAL},
    {"toolUsePromptTokenCount", TOOL_USE},
    {"total_input_tokens", PROMPT},
    {"total_tool_use_tokens", TOOL_USE},
    {"total_cached_tokens", CACHED},
    {"total_output_tokens", CANDIDATES},
    {"total_thought_tokens", THOUGHTS},
};

static double number_of(const json_t *value)
{
    const char *text = json_string_value(value);
    int is_digits = text && *text && strspn(text, "0123456789") == strlen(text);
    return is_digits ? strtod(text, NULL) : json_is_number(value) ? json_number_value(value) : -1;
}

static void take(const json_t *value, int64_t *count)
{
    double number = number_of(value);
    if (number >= 0 && number <= COUNT_MAX && (number >= 1 || *count < 0)) {
        *count = (int64_t)number;
    }
}

static void take_details(tree_t *tree, json_t *usage)
{
    static const char *const details[] = {"prompt_tokens_details", "input_tokens_details",
                                          "input_token_details"};
    for (size_t i = 0; i < 3; i++) {
        json_t *detail = json_object_get(usage, details[i]);
        take(json_object_get(detail, "cached_tokens"), &tree->count[CACHED_DETAIL]);
    }
}

static void take_usage(tree_t *tree, json_t *usage, int is_begun)
{
    const char *name;
    json_t *value;
    json_object_foreach(usage, name, value)
    {
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
            int kind = is_begun && names[i].kind == OUTPUT ? OUTPUT_BEGUN : names[i].kind;
            if (!strcmp(name, names[i].name)) {
                take(value, &tree->count[kind]);
            }
        }
    }
    take_details(tree, usage);
}

static void take_billed(tree_t *tree, json_t *billed)
{
    take(json_object_get(billed, "input_tokens"), &tree->billed_input);
    take(json_object_get(billed, "output_tokens"), &tree->billed_output);
    take_details(tree, billed);
}

/* Cohere's, which has its counts a level deeper. */
static void take_parts(tree_t *tree, json_t *usage)
{
    take_usage(tree, json_object_get(usage, "tokens"), 0);
    take_billed(tree, json_object_get(usage, "billed_units"));
}

static void take_choice(tree_t *tree, json_t *usage)
{
    static const struct {
        const char *name;
        int kind;
    } counts[] = {{"prompt_tokens", CHOICE_PROMPT},
                  {"completion_tokens", CHOICE_COMPLETION},
                  {"cached_tokens", CHOICE_CACHED},
                  {"total_tokens", CHOICE_TOTAL}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        take(json_object_get(usage, counts[i].name), &tree->count[counts[i].kind]);
    }
    take_details(tree, usage);
}

/* What each member of a document may hold. */
static const struct {
    const char *name;
    int has_metadata, has_parts, has_meta, is_begun;
} holders[] = {{"response", 1, 0, 1, 0}, {"message", 1, 0, 0, 1}, {"x_groq", 1, 0, 0, 0},
               {"delta", 0, 1, 0, 0},    {"result", 0, 0, 0, 0},  {"interaction", 0, 0, 0, 0}};

static void take_holder(tree_t *tree, size_t which, json_t *holder)
{
    const char *name;
    json_t *value;
    json_object_foreach(holder, name, value)
    {
        if (!strcmp(name, "usage")) {
            take_usage(tree, value, holders[which].is_begun);
            if (holders[which].has_parts) {
                take_parts(tree, value);
            }
        }
        else if (holders[which].has_metadata && !strcmp(name, "usageMetadata")) {
            take_usage(tree, value, 0);
        }
        else if (holders[which].has_meta && !strcmp(name, "meta")) {
            take_parts(tree, value);
        }
    }
}

static void take_member(tree_t *tree, const char *name, json_t *value)
{
    size_t index;
    json_t *choice;
    for (size_t i = 0; i < sizeof(holders) / sizeof(*holders); i++) {
        if (!strcmp(name, holders[i].name)) {
            take_holder(tree, i, value);
        }
    }
    if (!strcmp(name, "usage") || !strcmp(name, "usageMetadata")) {
        take_usage(tree, value, 0);
    }
    if (!strcmp(name, "usage") || !strcmp(name, "meta")) {
        take_parts(tree, value);
    }
    if (!strcmp(name, "meta")) {
        take_usage(tree, json_object_get(value, "usage"), 0);
    }
    if (!strcmp(name, "choices") && json_is_array(value)) {
        json_array_foreach(value, index, choice)
        {
            take_choice(tree, json_object_get(choice, "usage"));
        }
    }
    if (!strcmp(name, "prompt_eval_count") || !strcmp(name, "eval_count")) {
        take(value, &tree->count[*name == 'p' ? PROMPT : COMPLETION]);
    }
}

static void take_document(tree_t *tree, json_t *document)
{
    const char *name;
    json_t *value;
    json_object_foreach(document, name, value)
    {
        take_member(tree, name, value);
    }
}

static int64_t or_zero(int64_t count)
{
    return count < 0 ? 0 : count;
}

static apipool_usage_t usage_of(const tree_t *tree)
{
    const int64_t *count = tree->count;
    apipool_usage_t usage = {count[PROMPT], count[COMPLETION], -1, count[TOTAL]};
    static const int cached[] = {READ, CACHED_HIT, CACHED, CACHED_DETAIL};
    int64_t output =
        count[OUTPUT] > 0 || count[OUTPUT_BEGUN] < 0 ? count[OUTPUT] : count[OUTPUT_BEGUN];
    if (count[TOOL_USE] >= 0) {
        usage.prompt = or_zero(usage.prompt) + count[TOOL_USE];
    }
    if (count[INPUT] >= 0 && usage.prompt <= 0) {
        usage.prompt = count[INPUT] + or_zero(count[WRITTEN]) + or_zero(count[READ]);
    }
    else if (usage.prompt < 0) {
        usage.prompt = tree->billed_input;
    }
    if (output >= 0 && count[COMPLETION] <= 0) {
        usage.completion = output;
    }
    if (usage.completion < 0 && (count[CANDIDATES] >= 0 || count[THOUGHTS] >= 0)) {
        usage.completion = or_zero(count[CANDIDATES]) + or_zero(count[THOUGHTS]);
    }
    if (usage.completion < 0) {
        usage.completion = tree->billed_output;
    }
    for (size_t i = 0; i < sizeof(cached) / sizeof(*cached); i++) {
        int64_t one = count[cached[i]];
        usage.cached = one > 0 || (one == 0 && usage.cached < 0) ? one : usage.cached;
    }
    if (usage.prompt < 0 && usage.completion < 0 && usage.total < 0) {
        int64_t of_choice = count[CHOICE_CACHED];
        usage.prompt = count[CHOICE_PROMPT];
        usage.completion = count[CHOICE_COMPLETION];
        usage.total = count[CHOICE_TOTAL];
        usage.cached = of_choice >= 0 && usage.cached <= 0 ? of_choice : usage.cached;
    }
    if (usage.total < 0 && (usage.prompt >= 0 || usage.completion >= 0)) {
        usage.total = or_zero(usage.prompt) + or_zero(usage.completion);
    }
    return usage;
}

static void check_tree(const char *data, size_t size, const outcome_t *outcome)
{
    json_t *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);
    tree_t tree = {.billed_input = -1, .billed_output = -1};
    if (!root) {
        return;
    }
    memset(tree.count, 0xff, sizeof(tree.count));
    if (json_is_object(root)) {
        take_document(&tree, root);
    }
    size_t index;
    json_t *chunk;
    json_array_foreach(root, index, chunk)
    {
        take_document(&tree, chunk);
    }
    apipool_usage_t usage = usage_of(&tree);
    json_decref(root);
    int escaped_name = memmem(data, size, "\\u00", 4) != NULL;
    if (!escaped_name) {
        MUST(!memcmp(&usage, &outcome->usage, sizeof(usage)));
    }
}

/* A document gives the same result as one event's data and, if it is one object, as the chunk of an
 * array. */
static void check_wrapped(const char *data, size_t size, const outcome_t *outcome)
{
    static const char begin[] = "data:", end[] = "\n\n";
    apipool_usage_scan_t scan;

    if (memchr(data, '\n', size) || memchr(data, '\r', size) ||
        memmem(data, size, "eval_count", 10) || /* which nobody sends as an event */
        memchr(" \xef\xbb\xbf", data[0], 4)) {
        return;
    }
    apipool_usage_begin(&scan, 1);
    feed(&scan, begin, sizeof(begin) - 1);
    feed(&scan, data, size);
    feed(&scan, end, sizeof(end) - 1);
    outcome_t event = outcome_of(&scan);
    MUST(!memcmp(&event.usage, &outcome->usage, sizeof(event.usage)));

    json_t *root = json_loadb(data, size, 0, NULL);
    if (json_is_object(root)) {
        apipool_usage_begin(&scan, 0);
        feed(&scan, "[{},", 4);
        feed(&scan, data, size);
        feed(&scan, ",1]", 3);
        outcome_t chunk = outcome_of(&scan);
        MUST(is_same(&chunk, outcome));
    }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    check_splits(text, size, 1);
    check_among_events(text, size);
    outcome_t outcome = check_splits(text, size, 0);
    if (size > 0) {
        check_tree(text, size, &outcome);
        check_wrapped(text, size, &outcome);
    }
    return 0;
}
