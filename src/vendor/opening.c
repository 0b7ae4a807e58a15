/* SPDX-License-Identifier: Apache-2.0
 * Tells an answer of status 200 that is an error from one with content. */
#include "opening.h"

#include <jansson.h>
#include <string.h>

#include "ascii.h"
#include "error_answer.h"

#define LATE_MAX   (64 * 1024) /* an error, and what follows it */
#define LATE_TRIES 16          /* members of its name */

static int is_one_of(const char *text, const char *const *words)
{
    while (*words && strcmp(text, *words)) {
        words++;
    }
    return *words != NULL;
}

/* Types of events that precede content. Sources: Anthropic's guide to streaming; OpenAI's
 * reference of the streaming events of responses; "keepalive" is of ChatGPT's. */
static const char *const preludes[] = {
    "ping",
    "keepalive",
    "message_start",
    "content_block_start",
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    NULL,
};

static int holds_something(const json_t *value)
{
    return json_is_string(value)   ? json_string_length(value) > 0
           : json_is_object(value) ? json_object_size(value) > 0
           : json_is_array(value)  ? json_array_size(value) > 0
                                   : json_is_true(value) || json_is_number(value);
}

/* Whatever a delta holds beside the role is content: text, reasoning, tool calls, audio. */
static int holds_content(json_t *delta)
{
    const char *name;
    json_t *value;
    json_object_foreach(delta, name, value)
    {
        if (strcmp(name, "role") && holds_something(value)) {
            return 1;
        }
    }
    return 0;
}

/* OpenAI's chunks: with a delta, or in completions with a text. */
static apipool_opens_e judge_choices(const json_t *choices)
{
    size_t i;
    json_t *choice;
    json_array_foreach(choices, i, choice)
    {
        if (holds_content(json_object_get(choice, "delta")) ||
            holds_something(json_object_get(choice, "text")) ||
            holds_something(json_object_get(choice, "message")) ||
            holds_something(json_object_get(choice, "finish_reason"))) {
            return APIPOOL_OPENS_CONTENT;
        }
    }
    return APIPOOL_OPENS_NEITHER;
}

/* DashScope, SiliconFlow: {"code","message"} and nothing that could be content. */
static int is_bare_error(const json_t *top)
{
    static const char *const fine[] = {"0", "200", "success", "Success", "OK", "ok", NULL};
    static const char *const others[] = {"output", "candidates", "content", "delta",   "result",
                                         "data",   "text",       "status",  "success", NULL};
    const json_t *code = json_object_get(top, "code");
    const char *text = json_string_value(code);
    json_int_t number = json_integer_value(code);
    int has_code =
        text ? *text && !is_one_of(text, fine) : number && number != 200 && number != 20000;
    for (const char *const *name = others; *name; name++) {
        has_code &= !holds_something(json_object_get(top, *name));
    }
    return has_code && json_string_length(json_object_get(top, "message")) > 0;
}

static apipool_opens_e judge_object(const json_t *top, apipool_ends_e *ends)
{
    const char *type = json_string_value(json_object_get(top, "type"));
    const json_t *choices = json_object_get(top, "choices");
    if (apipool_error_answer_is_said(top) || (!type && !choices && is_bare_error(top))) {
        return APIPOOL_OPENS_ERROR;
    }
    if (json_is_array(choices)) {
        *ends = APIPOOL_ENDS_FINISHED;
        return judge_choices(choices);
    }
    if (type && is_one_of(type, preludes)) {
        if (!strcmp(type, "message_start") || !strcmp(type, "response.created")) {
            *ends = APIPOOL_ENDS_MARKED;
        }
        return APIPOOL_OPENS_NEITHER;
    }
    return APIPOOL_OPENS_CONTENT;
}

static apipool_opens_e judge_text(const char *text, apr_size_t len, apipool_ends_e *ends)
{
    json_error_t ignored;
    json_t *root = json_loadb(text, len, 0, &ignored);
    json_t *top = json_is_array(root) ? json_array_get(root, 0) : root; /* Gemini */
    apipool_opens_e opens = json_is_object(top) ? judge_object(top, ends) : APIPOOL_OPENS_CONTENT;
    json_decref(root);
    return opens;
}

apipool_opens_e apipool_opening_of_event(const apipool_sse_event_t *event, apipool_ends_e *ends)
{
    const char *end = event->data + event->len;
    if (apipool_ascii_skip_space(event->data, end) == end) {
        return APIPOOL_OPENS_NEITHER;
    }
    if (!strcmp(event->name, "error")) {
        return APIPOOL_OPENS_ERROR;
    }
    return judge_text(event->data, event->len, ends);
}

/* ---- documents ---- */

/* The position after a string whose opening quote precedes p; NULL if it does not end. */
static const char *skip_string(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (*p == '"') {
            return p + 1;
        }
        if (*p == '\\' && ++p == end) {
            break;
        }
    }
    return NULL;
}

/* The position after a value; NULL if it does not end. */
static const char *skip_value(const char *p, const char *end)
{
    int depth = 0;
    while (p && p < end) {
        char c = *p++;
        if (c == '"') {
            p = skip_string(p, end);
        }
        else if (c == '{' || c == '[') {
            depth++;
        }
        else if (!depth && (c == ',' || c == '}' || c == ']')) {
            return p - 1;
        }
        else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return NULL;
}

/* Members that hold content, in any vendor's words, if they hold anything. */
static const char *const contents[] = {
    "choices", "data",   "output", "candidates",  "content", "embeddings", "embedding",
    "results", "result", "images", "predictions", "text",    "audio",      NULL,
};

/* The value and what follows it have begun. */
static apipool_opens_e judge_member(const char *name, apr_size_t len, const char *value,
                                    const char *end)
{
    char text[16];
    const char *inside = apipool_ascii_skip_space(value + 1, end);
    int is_open = *value == '{' || *value == '[' || *value == '"';
    if (len >= sizeof(text) || !is_open || inside == end) {
        return APIPOOL_OPENS_NEITHER;
    }
    memcpy(text, name, len);
    text[len] = '\0';
    int is_empty = *value == '"' ? value[1] == '"' : *inside == '}' || *inside == ']';
    if (!strcmp(text, "error")) {
        return !is_empty && *value != '[' ? APIPOOL_OPENS_ERROR : APIPOOL_OPENS_NEITHER;
    }
    return !is_empty && is_one_of(text, contents) ? APIPOOL_OPENS_CONTENT : APIPOOL_OPENS_NEITHER;
}

/* Where documents follow each other in lines, as Ollama's do, the first one decides. */
static apipool_opens_e judge_whole(const char *object, const char *end)
{
    apipool_ends_e ignored;
    apipool_opens_e opens = judge_text(object, (apr_size_t)(end - object), &ignored);
    return opens == APIPOOL_OPENS_ERROR ? opens : APIPOOL_OPENS_CONTENT;
}

static apipool_opens_e judge_beginning(const char *text, const char *end, int only_first)
{
    const char *p = apipool_ascii_skip_space(text, end);
    apipool_opens_e opens = APIPOOL_OPENS_NEITHER;
    if (p < end && *p == '[') {
        p = apipool_ascii_skip_space(p + 1, end);
    }
    if (p < end && *p != '{') {
        return APIPOOL_OPENS_CONTENT;
    }
    const char *object = p;
    while (p && p < end) {
        const char *name = apipool_ascii_skip_space(p + 1, end);
        if (name == end || *name != '"') {
            break;
        }
        const char *behind = skip_string(name + 1, end);
        const char *value = behind ? apipool_ascii_skip_space(behind, end) : end;
        value = value < end ? apipool_ascii_skip_space(value + 1, end) : end; /* the colon */
        if (value == end) {
            break;
        }
        opens = judge_member(name + 1, (apr_size_t)(behind - name - 2), value, end);
        if (opens != APIPOOL_OPENS_NEITHER) {
            break;
        }
        p = skip_value(value, end);
        if (p && only_first) {
            return APIPOOL_OPENS_CONTENT;
        }
        if (p && *p == '}') {
            return judge_whole(object, p + 1);
        }
        p = p && *p == ',' ? p : NULL;
    }
    return opens;
}

static const char *const errors[] = {"\"error\"", "\"base_resp\"", NULL};

/* The next place where a member of that name is not null; NULL if there is none. */
static const char *find_error(const char *text, const char *end, const char *name)
{
    apr_size_t len = strlen(name);
    while ((text = memmem(text, (apr_size_t)(end - text), name, len)) != NULL) {
        const char *value = apipool_ascii_skip_space(text + len, end);
        value = value < end && *value == ':' ? apipool_ascii_skip_space(value + 1, end) : value;
        if (value < end && (*value == '{' || *value == '"')) {
            return text;
        }
        text += len;
    }
    return NULL;
}

/* Whether there is an error at any place: hardly any answer has one. */
static int names_error(const char *text, apr_size_t len)
{
    const char *const *name = errors;
    while (*name && !find_error(text, text + len, *name)) {
        name++;
    }
    return *name != NULL;
}

apipool_opens_e apipool_opening_of_document(const char *text, apr_size_t len, int is_complete,
                                            int only_first)
{
    apipool_ends_e ignored;
    apipool_opens_e opens = judge_beginning(text, text + len, only_first);
    if (is_complete && opens != APIPOOL_OPENS_ERROR) {
        int may_be = !only_first && (opens == APIPOOL_OPENS_NEITHER || names_error(text, len));
        opens = may_be ? judge_text(text, len, &ignored) : APIPOOL_OPENS_CONTENT;
        opens = opens == APIPOOL_OPENS_ERROR ? opens : APIPOOL_OPENS_CONTENT;
    }
    return opens;
}

/* Where a document ends, or the last object of an array. */
static const char *find_last(const char *text, const char *end)
{
    while (end > text && (apipool_ascii_is_space(end[-1]) || end[-1] == ']')) {
        end--;
    }
    return end;
}

/* If the member is deeper inside, more than the end of its object follows it, and that is no JSON. */
const char *apipool_opening_late_error(const char *text, apr_size_t len, apr_pool_t *pool)
{
    const char *end = find_last(text, text + len);
    char *object = NULL;
    text = end - text > LATE_MAX ? end - LATE_MAX : text;
    for (const char *const *name = errors; *name; name++) {
        const char *last[LATE_TRIES];
        int count = 0, first;
        for (const char *at = text; (at = find_error(at, end, *name)) != NULL; at++) {
            last[count++ % LATE_TRIES] = at;
        }
        for (first = count > LATE_TRIES ? count - LATE_TRIES : 0; count > first;) {
            const char *member = last[--count % LATE_TRIES];
            apr_size_t size = (apr_size_t)(end - member);
            object = object ? object : apr_palloc(pool, (apr_size_t)(end - text) + 2);
            *object = '{';
            memcpy(object + 1, member, size);
            object[size + 1] = '\0';
            if (apipool_error_answer_is_error(object, size + 1)) {
                return object;
            }
        }
    }
    return NULL;
}

int apipool_opening_finishes(const char *text, apr_size_t len)
{
    static const char name[] = "\"finish_reason\"";
    const char *end = text + len, *at = text;
    while ((at = memmem(at, (apr_size_t)(end - at), name, sizeof(name) - 1)) != NULL) {
        at = apipool_ascii_skip_space(at + sizeof(name) - 1, end);
        at = at < end && *at == ':' ? apipool_ascii_skip_space(at + 1, end) : at;
        if (at < end && *at == '"') {
            return 1;
        }
    }
    return 0;
}
