/* SPDX-License-Identifier: Apache-2.0
 * The table of endpoints, by the ends of their paths. */
#include "endpoint.h"

#include <apr.h>
#include <string.h>
#include <strings.h>

#include "percent.h"

typedef struct {
    const char *end; /* of the path */
    apipool_endpoint_e kind;
} row_t;

/* The first match counts. Names are those of OpenAI's, Anthropic's, Cohere's, Jina's and Voyage's API
 * references. */
static const row_t segments[] = {
    {"/chat/completions", APIPOOL_ENDPOINT_TEXT},
    {"/completions", APIPOOL_ENDPOINT_TEXT},
    {"/responses", APIPOOL_ENDPOINT_TEXT},
    {"/responses/compact", APIPOOL_ENDPOINT_TEXT},
    {"/messages", APIPOOL_ENDPOINT_TEXT},
    {"/chat", APIPOOL_ENDPOINT_TEXT},
    {"/runs", APIPOOL_ENDPOINT_RUN},
    {"/embeddings", APIPOOL_ENDPOINT_EMBEDDINGS},
    {"/embed", APIPOOL_ENDPOINT_EMBEDDINGS},
    {"/rerank", APIPOOL_ENDPOINT_RERANK},
    {"/images/generations", APIPOOL_ENDPOINT_IMAGES},
    {"/images/edits", APIPOOL_ENDPOINT_IMAGES},
    {"/images/variations", APIPOOL_ENDPOINT_IMAGES},
    {"/audio/speech", APIPOOL_ENDPOINT_SPEECH},
    {"/audio/transcriptions", APIPOOL_ENDPOINT_TRANSCRIPTION},
    {"/audio/translations", APIPOOL_ENDPOINT_TRANSCRIPTION},
    {NULL, APIPOOL_ENDPOINT_FREE},
};

/* What follows the colon behind a model, in the Gemini API. */
static const row_t methods[] = {
    {"generateContent", APIPOOL_ENDPOINT_TEXT},
    {"streamGenerateContent", APIPOOL_ENDPOINT_TEXT},
    {"embedContent", APIPOOL_ENDPOINT_EMBEDDINGS},
    {"batchEmbedContents", APIPOOL_ENDPOINT_EMBEDDINGS},
    {"predict", APIPOOL_ENDPOINT_IMAGES},
    {NULL, APIPOOL_ENDPOINT_FREE},
};

static int ends_with(const char *path, apr_size_t len, const char *end)
{
    apr_size_t tail = strlen(end);
    return len >= tail && !strncasecmp(path + len - tail, end, tail);
}

static apipool_endpoint_e find_method(const char *path, apr_size_t len)
{
    const row_t *row = methods;
    for (; row->end; row++) {
        apr_size_t tail = strlen(row->end);
        if (!ends_with(path, len, row->end)) {
            continue;
        }
        int plain = len > tail && path[len - tail - 1] == ':';
        int encoded = len > tail + 2 && !strncasecmp(path + len - tail - 3, "%3a", 3);
        if (plain || encoded) {
            break;
        }
    }
    return row->kind;
}

/* A message of a thread, of OpenAI's assistants, is only kept. */
static int is_kept(const char *path, apr_size_t len)
{
    return ends_with(path, len, "/messages") && strstr(path, "/threads/");
}

apipool_endpoint_e apipool_endpoint_find(const char *method, const char *path)
{
    apr_size_t len = strlen(path);
    const row_t *row = segments;

    if (strcmp(method, "POST")) {
        return APIPOOL_ENDPOINT_FREE;
    }
    len -= len > 0 && path[len - 1] == '/';
    if (is_kept(path, len)) {
        return APIPOOL_ENDPOINT_FREE;
    }
    while (row->end && !ends_with(path, len, row->end)) {
        row++;
    }
    return row->end ? row->kind : find_method(path, len);
}

/* The length of a path without a slash at its end. */
static apr_size_t length_of(const char *path)
{
    apr_size_t len = strlen(path);
    return len - (len > 0 && path[len - 1] == '/');
}

int apipool_endpoint_is_responses(const char *path)
{
    return ends_with(path, length_of(path), "/responses");
}

int apipool_endpoint_speaks_events(const char *path)
{
    apr_size_t len = length_of(path);
    return apipool_endpoint_is_responses(path) || ends_with(path, len, "/realtime") ||
           ends_with(path, len, "/realtime/translations");
}

int apipool_endpoint_is_plain(const char *path)
{
    return !strpbrk(path, "%\\;") && !strstr(path, "//");
}

void apipool_endpoint_make_plain(char *path)
{
    const char *at = path;
    char *end = path;
    while (*at) {
        if (*at == ';') {
            at += strcspn(at, "/");
            continue;
        }
        char c = apipool_percent_next(&at);
        c = c == '\\' ? '/' : c;
        if (c != '/' || end == path || end[-1] != '/') {
            *end++ = c;
        }
    }
    *end = '\0';
}
