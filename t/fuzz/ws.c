/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: frames of a WebSocket cut anywhere, and the events in them. The first byte selects
 * the direction. */
#include <jansson.h>
#include <string.h>

#include "fuzz.h"
#include "websocket_event.h"
#include "websocket_frame.h"
#include "websocket_models.h"

/* The results of a run of bytes. */
typedef struct {
    int frames, begun, ended, faulty, between;
    size_t control, payload_len;
    unsigned sum;       /* of all results, in order */
    char text[1 << 16]; /* payload of text messages, unmasked */
    size_t text_len;
    apipool_websocket_event_t event; /* the last one */
} run_t;

static void add(run_t *run, unsigned byte)
{
    run->sum = run->sum * 31 + byte;
}

static void take_payload(run_t *run, const apipool_websocket_frame_t *reader,
                         const apipool_websocket_frame_part_t *part)
{
    static char plain[1 << 20]; /* libFuzzer makes no longer input */
    MUST(part->payload_len <= sizeof(plain));
    apipool_websocket_frame_unmask(reader, part, 0, plain, part->payload_len);
    for (size_t i = 0; i < part->payload_len; i++) {
        add(run, (unsigned char)plain[i]);
    }
    if (part->message == APIPOOL_WS_TEXT) {
        size_t room = sizeof(run->text) - run->text_len;
        size_t len = part->payload_len < room ? part->payload_len : room;
        memcpy(run->text + run->text_len, plain, len);
        run->text_len += len;
        apipool_websocket_event_feed(&run->event, plain, part->payload_len);
    }
}

static void take_part(run_t *run, const apipool_websocket_frame_t *reader,
                      const apipool_websocket_frame_part_t *part)
{
    MUST(part->is_control == (part->opcode >= APIPOOL_WS_CLOSE));
    MUST(part->message == APIPOOL_WS_TEXT || part->message == APIPOOL_WS_BINARY ||
         part->is_control);
    MUST(!part->begins || part->header_len);
    MUST(!part->header_len || !part->payload_len);
    if (part->begins && part->message == APIPOOL_WS_TEXT) {
        apipool_websocket_event_begin(&run->event);
        run->text_len = 0;
    }
    run->frames += part->header_len > 0;
    run->begun += part->begins;
    run->ended += part->ends;
    run->control += part->is_control ? part->payload_len : 0;
    run->payload_len += part->payload_len;
    if (part->begins) {
        add(run, 256U + part->opcode);
    }
    take_payload(run, reader, part);
    if (part->ends) {
        add(run, 512);
    }
}

/* Feeds pieces of 1 to most bytes, each in memory of exactly its size; with most 0 in one. */
static void go(run_t *run, int is_masked, const char *data, size_t len, size_t most)
{
    apipool_websocket_frame_t reader;
    unsigned seed = (unsigned)len;
    memset(run, 0, sizeof(*run));
    apipool_websocket_event_begin(&run->event);
    apipool_websocket_frame_begin(&reader, is_masked);
    for (size_t at = 0; at < len && !run->faulty;) {
        seed = seed * 1664525 + 1013904223;
        size_t size = most ? 1 + (seed >> 8) % most : len;
        size = size < len - at ? size : len - at;
        char *exact = malloc(size);
        MUST(exact);
        memcpy(exact, data + at, size);
        for (size_t done = 0; done < size && !run->faulty;) {
            apipool_websocket_frame_part_t part;
            apr_size_t used;
            int what =
                apipool_websocket_frame_take(&reader, exact + done, size - done, &part, &used);
            MUST(what < 0 ? reader.is_faulty : used > 0 && used <= size - done);
            run->faulty = what < 0;
            done += used;
            if (what > 0) {
                take_part(run, &reader, &part);
            }
        }
        MUST(!memcmp(exact, data + at, size));
        free(exact);
        at += size;
    }
    run->between = apipool_websocket_frame_is_between(&reader);
    MUST(!run->between || run->begun == run->ended);
}

static void must_be_alike(const run_t *a, const run_t *b)
{
    MUST(a->frames == b->frames && a->begun == b->begun && a->ended == b->ended);
    MUST(a->faulty == b->faulty && a->between == b->between && a->sum == b->sum);
    MUST(a->text_len == b->text_len && !memcmp(a->text, b->text, a->text_len));
    for (int i = 0; i < APIPOOL_WEBSOCKET_EVENT_FIELDS; i++) {
        MUST(apipool_websocket_event_length(&a->event, i) ==
             apipool_websocket_event_length(&b->event, i));
        MUST(!strcmp(apipool_websocket_event_text(&a->event, i),
                     apipool_websocket_event_text(&b->event, i)));
    }
}

static int allows(void *ctx, const char *model)
{
    MUST(ctx && model);
    return 1;
}

/* If jansson reads an object with a type, the reader must too. */
static void compare(const run_t *run)
{
    json_t *event = json_loadb(run->text, run->text_len, JSON_REJECT_DUPLICATES, NULL);
    const char *type = json_string_value(json_object_get(event, "type"));
    int is_whole = run->text_len < sizeof(run->text);
    if (json_is_object(event) && is_whole && type && strlen(type) < APIPOOL_SNIFF_TEXT_SIZE) {
        MUST(apipool_websocket_event_is(&run->event, type));
    }
    if (json_is_object(event)) {
        apipool_websocket_models_allowed(event, allows, (void *)&event);
    }
    json_decref(event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static run_t whole, cut;
    if (size < 1) {
        return 0;
    }
    int is_masked = data[0] == 'c';
    const char *bytes = (const char *)data + 1;
    go(&whole, is_masked, bytes, size - 1, 0);
    compare(&whole);
    for (size_t most = 1; most <= 27; most *= 3) {
        go(&cut, is_masked, bytes, size - 1, most);
        must_be_alike(&whole, &cut);
    }
    return 0;
}
