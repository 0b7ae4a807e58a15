/* SPDX-License-Identifier: Apache-2.0
 * Reads token counts from an answer as it passes: keeps the bytes to be read, and interprets the
 * counts. */
#include "usage_parts.h"

#include <stdlib.h>
#include <string.h>

#include "ascii.h"

#define ROOM_FIRST 1024

/* The values of "event:" and "type" in events that end a stream. */
static const char *const last_events[] = {
    "response.completed",
    "response.incomplete",
    "response.failed",
    "message_stop",
    "speech.audio.done",
    "transcript.text.done",
    "done",
    "image_edit.completed",
    "image_generation.completed",
    "message-end",
    "stream-end",
    "interaction.complete",
    "interaction.completed",
    NULL,
};

/* Returns what follows a token; NULL if p is NULL or the text is another. */
static const char *behind(const char *p, const char *end, const char *token)
{
    size_t len = strlen(token);
    while (p && p < end && apipool_ascii_is_space(*p)) {
        p++;
    }
    return p && (size_t)(end - p) >= len && !memcmp(p, token, len) ? p + len : NULL;
}

static int is_last(const char *name, const char *end)
{
    for (const char *const *last = last_events; *last; last++) {
        if (strlen(*last) == (size_t)(end - name) && !memcmp(name, *last, (size_t)(end - name))) {
            return 1;
        }
    }
    return 0;
}

/* Tests whether data marks the stream as complete. Vendors send its type first. */
static int is_last_data(const char *data, const char *end)
{
    const char *type = behind(behind(data, end, "{"), end, "\"type\"");
    type = behind(behind(type, end, ":"), end, "\"");
    const char *quote = type ? memchr(type, '"', (size_t)(end - type)) : NULL;
    return (quote && is_last(type, quote)) ||
           ((size_t)(end - data) >= 6 && !memcmp(data, "[DONE]", 6));
}

/* Whether the last event with data ends the stream: 1 or 0, or -1 if no event has data. */
static int find_done(const char *text, const char *end)
{
    const char *eol, *next, *value;
    int done = -1, has_data = 0, is = 0;
    for (; text < end; text = next) {
        apipool_sse_line(text, end, &eol, &next);
        if (eol == text) {
            done = has_data ? is : done;
            has_data = is = 0;
        }
        else if ((value = apipool_sse_field(text, eol, "data")) != NULL) {
            has_data = 1;
            is |= is_last_data(value, eol);
        }
        else if ((value = apipool_sse_field(text, eol, "event")) != NULL) {
            is |= is_last(value, eol);
        }
    }
    return has_data ? is : done;
}

/* Examines the last event with data, searching from the end. */
static void note_done(apipool_usage_scan_t *scan, const char *text, const char *end)
{
    int done = -1;
    while (done < 0 && text < end) {
        const char *start = apipool_sse_start(text, end - 1);
        done = find_done(start, end);
        end = start;
    }
    scan->done = done >= 0 ? done != 0 : scan->done;
}

/* The last line ends with the data: a number there may have been cut off. */
static void take_event(apipool_usage_scan_t *scan, const char *text, const char *end)
{
    char *data = malloc((size_t)(end - text) + 1);
    if (data) {
        apr_size_t len = apipool_sse_join(data, text, (size_t)(end - text));
        apipool_usage_read(scan, data, data + len - (len > 0));
        free(data);
    }
}

/* The number of bytes of the beginning that stay. */
static apr_size_t head_max(const apipool_usage_scan_t *scan)
{
    return (scan->is_event_stream ? APIPOOL_USAGE_EVENT_MAX : APIPOOL_USAGE_DOCUMENT_MAX) / 4;
}

static int make_room(apipool_usage_scan_t *scan, apr_size_t len)
{
    apr_size_t size = scan->kept_size ? scan->kept_size : ROOM_FIRST;
    while (size < len) {
        size *= 2;
    }
    if (size > scan->kept_size) {
        char *kept = realloc(scan->kept, size);
        if (!kept) {
            return 0;
        }
        scan->kept = kept;
        scan->kept_size = size;
    }
    return 1;
}

/* If there is no room left, drops the older half of what follows the beginning. */
static void keep(apipool_usage_scan_t *scan, const char *data, apr_size_t len)
{
    const apr_size_t head = head_max(scan), most = 4 * head, half = (most - head) / 2;
    while (len) {
        if (scan->kept_len == most) {
            memmove(scan->kept + head, scan->kept + head + half, most - head - half);
            scan->kept_len -= half;
            scan->missing += half;
        }
        apr_size_t part = len < most - scan->kept_len ? len : most - scan->kept_len;
        if (!make_room(scan, scan->kept_len + part)) {
            return;
        }
        memcpy(scan->kept + scan->kept_len, data, part);
        scan->kept_len += part;
        data += part;
        len -= part;
        scan->unread = 1;
    }
}

/* Ollama's are in no object of their own. Nobody sends them as events. */
static int has_counts(const apipool_usage_scan_t *scan, const char *text, apr_size_t len)
{
    static const char name[] = "eval_count\"";
    return apipool_sse_find_usage(text, text + len) ||
           (!scan->is_event_stream && memmem(text, len, name, sizeof(name) - 1));
}

static void read_kept(apipool_usage_scan_t *scan)
{
    apr_size_t len;
    const char *head = apipool_usage_head(scan, &len);
    scan->unread = 0;
    if (has_counts(scan, head, len)) {
        (scan->is_event_stream ? take_event : apipool_usage_read)(scan, head, head + len);
    }
    apipool_usage_read_end(scan, head + len, head + scan->kept_len);
}

static void end_kept(apipool_usage_scan_t *scan)
{
    apr_size_t len;
    const char *head = apipool_usage_head(scan, &len);
    read_kept(scan);
    note_done(scan, head, head + len);
    scan->kept_len = 0;
    scan->missing = 0;
}

/* Reads whole events. Hardly any reports usage, so nearly all are skipped at once. */
static void read_whole(apipool_usage_scan_t *scan, const char *text, const char *end)
{
    const char *usage = apipool_sse_find_usage(text, end), *next;
    note_done(scan, text, end);
    for (text = usage ? apipool_sse_start(text, usage) : end; text < end; text = next) {
        next = apipool_sse_next(text, end);
        keep(scan, text, (apr_size_t)(next - text));
        end_kept(scan);
    }
}

/* Keeps bytes until the end of their event is known. */
static void feed_events(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    static const char none[2] = {0};
    const char *whole = NULL;
    while (p < end) {
        if (!whole && !scan->kept_len) {
            whole = p + apipool_sse_whole(p, (apr_size_t)(end - p), none);
            if (whole > p) {
                read_whole(scan, p, whole);
                memset(&scan->at, 0, sizeof(scan->at));
                p = whole;
                continue;
            }
        }
        apr_size_t used = apipool_sse_take(&scan->at, p, (apr_size_t)(end - p));
        keep(scan, p, used);
        p += used;
        if (scan->at.ended) {
            end_kept(scan);
        }
    }
}

void apipool_usage_begin(apipool_usage_scan_t *scan, int is_event_stream)
{
    memset(scan, 0, sizeof(*scan));
    scan->is_event_stream = is_event_stream != 0;
    memset(scan->count, 0xff, sizeof(scan->count));
}

void apipool_usage_end(apipool_usage_scan_t *scan)
{
    free(scan->kept);
    scan->kept = NULL;
    scan->kept_len = scan->kept_size = 0;
    scan->missing = 0;
    scan->unread = 0;
}

/* Skips what may precede the first event or document. */
static const char *skip_mark(const apipool_usage_scan_t *scan, const char *p, const char *end)
{
    while (p < end && ((*p && strchr("\xef\xbb\xbf", *p)) ||
                       (!scan->is_event_stream && apipool_ascii_is_space(*p)))) {
        p++;
    }
    return p;
}

void apipool_usage_feed(apipool_usage_scan_t *scan, const char *data, apr_size_t len)
{
    const char *end = data + len;
    if (!scan->begun) {
        data = skip_mark(scan, data, end);
        if (data == end) {
            return;
        }
        scan->begun = 1;
        scan->ignored = !scan->is_event_stream && *data != '{' && *data != '[';
    }
    if (scan->is_event_stream) {
        feed_events(scan, data, end);
    }
    else if (!scan->ignored) {
        keep(scan, data, (apr_size_t)(end - data));
    }
}

static apr_int64_t known(apr_int64_t first, apr_int64_t second)
{
    return first >= 0 ? first : second;
}

/* Relays fill in both of two names for the same count, one of them with zero. */
static apr_int64_t either(apr_int64_t first, apr_int64_t second)
{
    return first > 0 || second < 0 ? first : second;
}

/* The sum of the known counts, or -1. */
static apr_int64_t sum(apr_int64_t a, apr_int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a + b;
}

/* Used if there is no other count. */
static void take_from_choice(const apr_int64_t *count, apipool_usage_t *usage)
{
    if (usage->prompt < 0 && usage->completion < 0 && usage->total < 0) {
        usage->prompt = count[APIPOOL_COUNT_CHOICE_PROMPT];
        usage->completion = count[APIPOOL_COUNT_CHOICE_COMPLETION];
        usage->cached = either(usage->cached, count[APIPOOL_COUNT_CHOICE_CACHED]);
        usage->total = count[APIPOOL_COUNT_CHOICE_TOTAL];
    }
}

int apipool_usage_result(apipool_usage_scan_t *scan, apipool_usage_t *usage)
{
    const apr_int64_t *count = scan->count;
    if (scan->unread) {
        read_kept(scan);
    }
    apr_int64_t input = count[APIPOOL_COUNT_INPUT];
    if (input >= 0) {
        input =
            sum(input, sum(count[APIPOOL_COUNT_CACHE_WRITTEN], count[APIPOOL_COUNT_CACHE_READ]));
    }
    apr_int64_t prompt = sum(count[APIPOOL_COUNT_PROMPT], count[APIPOOL_COUNT_TOOL_USE]);
    usage->prompt = known(either(prompt, input), count[APIPOOL_COUNT_BILLED_INPUT]);
    apr_int64_t output = either(count[APIPOOL_COUNT_OUTPUT], count[APIPOOL_COUNT_OUTPUT_BEGUN]);
    apr_int64_t parts = sum(count[APIPOOL_COUNT_CANDIDATES], count[APIPOOL_COUNT_THOUGHTS]);
    usage->completion = known(either(count[APIPOOL_COUNT_COMPLETION], output),
                              known(parts, count[APIPOOL_COUNT_BILLED_OUTPUT]));
    usage->cached =
        either(either(count[APIPOOL_COUNT_CACHED_DETAIL], count[APIPOOL_COUNT_CACHED]),
               either(count[APIPOOL_COUNT_CACHED_HIT], count[APIPOOL_COUNT_CACHE_READ]));
    usage->total = count[APIPOOL_COUNT_TOTAL];
    take_from_choice(count, usage);
    usage->total = known(usage->total, sum(usage->prompt, usage->completion));
    return usage->prompt >= 0 || usage->completion >= 0 || usage->cached >= 0 || usage->total >= 0;
}

int apipool_usage_is_final(const apipool_usage_scan_t *scan)
{
    return scan->count[APIPOOL_COUNT_OUTPUT_BEGUN] < 0 || scan->count[APIPOOL_COUNT_OUTPUT] >= 0 ||
           apipool_usage_is_done(scan);
}

int apipool_usage_is_done(const apipool_usage_scan_t *scan)
{
    apr_size_t len;
    const char *head = apipool_usage_head(scan, &len);
    return scan->done || (scan->is_event_stream && find_done(head, head + len) > 0);
}

const char *apipool_usage_head(const apipool_usage_scan_t *scan, apr_size_t *len)
{
    *len = scan->missing ? head_max(scan) : scan->kept_len;
    return scan->kept ? scan->kept : "";
}

const char *apipool_usage_tail(const apipool_usage_scan_t *scan, apr_size_t *len)
{
    apr_size_t left_out = scan->missing ? head_max(scan) : 0;
    *len = scan->kept_len - left_out;
    return scan->kept ? scan->kept + left_out : "";
}
