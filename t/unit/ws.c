/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/websocket_frame, websocket_event and websocket_models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "websocket_event.h"
#include "websocket_frame.h"
#include "websocket_models.h"

#define BYTES(text) text, sizeof(text) - 1

/* Describes the frames in a run of bytes: opcodes, '(' where a message begins and ')' where it
 * ends. */
static const char *frames_of(int is_masked, const char *data, apr_size_t len, apr_size_t step)
{
    static char said[256];
    apipool_websocket_frame_t reader;
    char *at = said;
    apipool_websocket_frame_begin(&reader, is_masked);
    for (apr_size_t i = 0; i < len;) {
        apipool_websocket_frame_part_t part;
        apr_size_t used, piece = step && step < len - i ? step : len - i;
        int what = apipool_websocket_frame_take(&reader, data + i, piece, &part, &used);
        if (what < 0) {
            *at++ = '!';
            break;
        }
        i += used;
        if (what && part.begins) {
            *at++ = '(';
        }
        if (what && part.header_len) {
            *at++ = (char)('0' + part.opcode);
        }
        for (apr_size_t n = 0; what && n < part.payload_len; n++) {
            apipool_websocket_frame_unmask(&reader, &part, n, at++, 1);
        }
        if (what && part.ends) {
            *at++ = ')';
        }
    }
    *at++ = apipool_websocket_frame_is_between(&reader) ? '.' : '~';
    *at = '\0';
    return said;
}

static void frames_are_read(void **unused)
{
    static const struct {
        int is_masked;
        const char *data;
        apr_size_t len;
        const char *said;
    } rows[] = {
        {0, BYTES("\x81\x02hi"), "(1hi)."},
        {0, BYTES("\x81\x00"), "(1)."},
        {1, BYTES("\x81\x82\x01\x02\x03\x04\x69\x6b"), "(1hi)."},
        {0, BYTES("\x01\x01h\x80\x01i"), "(1h0i)."},
        {0, BYTES("\x01\x01h\x89\x01p\x00\x00\x80\x01i"), "(1h(9p)00i)."},
        {0, BYTES("\x81\x7e\x00\x02hi"), "(1hi)."},
        {0, BYTES("\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x02hi"), "(1hi)."},
        {0, BYTES("\x82\x01x\x88\x02\x03\xe8"), "(2x)(8\x03\xe8)."},
        {0, BYTES("\x81\x05hi"), "(1hi~"},
        {0, BYTES("\x01\x01h"), "(1h~"},
        {0, BYTES("\x81"), "~"},
        {0, BYTES("\xc1\x02hi"), "!~"},
        {0, BYTES("\x91\x02hi"), "!~"},
        {0, BYTES("\x83\x02hi"), "!~"},
        {0, BYTES("\x8b\x02hi"), "!~"},
        {0, BYTES("\x80\x02hi"), "!~"},
        {0, BYTES("\x01\x01h\x81\x01i"), "(1h!~"},
        {0, BYTES("\x09\x01h"), "!~"},
        {0, BYTES("\x89\x7e\x00\x7e"), "!~"},
        {0, BYTES("\x81\x82\x01\x02\x03\x04\x69\x6b"), "!~"},
        {1, BYTES("\x81\x02hi"), "!~"},
        {0, BYTES("\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x02hi"), "!~"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        for (apr_size_t step = 0; step < 4; step++) {
            assert_string_equal(frames_of(rows[i].is_masked, rows[i].data, rows[i].len, step),
                                rows[i].said);
        }
    }
}

static void headers_are_written(void **unused)
{
    static const apr_size_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536, 1 << 20};
    (void)unused;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        char header[APIPOOL_WEBSOCKET_FRAME_HEADER_MAX];
        apr_size_t len = apipool_websocket_frame_write_header(header, APIPOOL_WS_TEXT, lengths[i]),
                   used;
        apipool_websocket_frame_t reader;
        apipool_websocket_frame_part_t part;
        apipool_websocket_frame_begin(&reader, 0);
        assert_int_equal(apipool_websocket_frame_take(&reader, header, len, &part, &used), 1);
        assert_int_equal(used, len);
        assert_int_equal(part.opcode, APIPOOL_WS_TEXT);
        assert_int_equal(reader.left, lengths[i]);
    }
}

static const apipool_websocket_event_t *read_event(const char *text, apr_size_t step)
{
    static apipool_websocket_event_t event;
    apr_size_t len = strlen(text);
    apipool_websocket_event_begin(&event);
    for (apr_size_t i = 0; i < len; i += step) {
        apipool_websocket_event_feed(&event, text + i, step < len - i ? step : len - i);
    }
    return &event;
}

static void events_are_read(void **unused)
{
    static const struct {
        const char *text;
        apipool_websocket_event_field_e field;
        const char *value;
    } rows[] = {
        {"{\"type\":\"response.done\"}", APIPOOL_WEBSOCKET_EVENT_TYPE, "response.done"},
        {" \n{ \"x\" : [1,{\"type\":\"no\"}], \"type\" : \"yes\" }", APIPOOL_WEBSOCKET_EVENT_TYPE,
         "yes"},
        {"{\"x\":{\"type\":\"no\"},\"y\":\"\\\"type\\\":\\\"no\\\"\"}",
         APIPOOL_WEBSOCKET_EVENT_TYPE, ""},
        {"{\"type\":\"a\",\"type\":\"b\"}", APIPOOL_WEBSOCKET_EVENT_TYPE, "b"},
        {"{\"ty\\u0070e\":\"a\"}", APIPOOL_WEBSOCKET_EVENT_TYPE, "a"},
        {"{\"type\":\"a\\u002eb\\n\"}", APIPOOL_WEBSOCKET_EVENT_TYPE, "a.b\n"},
        {"{\"response\":{\"instructions\":\"}{\",\"id\":\"r1\",\"output\":[{\"id\":\"no\"}]}}",
         APIPOOL_WEBSOCKET_EVENT_RESPONSE_ID, "r1"},
        {"{\"response\":{\"usage\":{\"model\":\"no\"},\"model\":\"m\"}}",
         APIPOOL_WEBSOCKET_EVENT_RESPONSE_MODEL, "m"},
        {"{\"response\":{\"status\":\"failed\",\"status_details\":{\"error\":{\"code\":\"c\"}}}}",
         APIPOOL_WEBSOCKET_EVENT_ERROR_CODE, "c"},
        {"{\"error\":{\"message\":\"a \\\"b\\\"\"}}", APIPOOL_WEBSOCKET_EVENT_ERROR_MESSAGE,
         "a \"b\""},
        {"{\"session\":{\"audio\":{\"output\":{},\"input\":{\"transcription\":{\"model\":\"w\"}}}}"
         "}",
         APIPOOL_WEBSOCKET_EVENT_TRANSCRIPTION, "w"},
        {"{\"session\":{\"input_audio_transcription\":{\"model\":\"w\"},\"model\":\"m\"}}",
         APIPOOL_WEBSOCKET_EVENT_SESSION_MODEL, "m"},
        {"{\"status\":429,\"error\":null}", APIPOOL_WEBSOCKET_EVENT_STATUS, "429"},
        {"[{\"type\":\"no\"}]", APIPOOL_WEBSOCKET_EVENT_TYPE, ""},
        {"no", APIPOOL_WEBSOCKET_EVENT_TYPE, ""},
        {"{\"type\":\"cut", APIPOOL_WEBSOCKET_EVENT_TYPE, ""},
        {"}]{\"type\":\"no\"}", APIPOOL_WEBSOCKET_EVENT_TYPE, ""},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        for (apr_size_t step = 1; step < 40; step += 3) {
            assert_string_equal(
                apipool_websocket_event_text(read_event(rows[i].text, step), rows[i].field),
                rows[i].value);
        }
    }
    assert_int_equal(apipool_websocket_event_number(read_event("{\"max_output_tokens\":77}", 1),
                                                    APIPOOL_WEBSOCKET_EVENT_MAX_TOKENS),
                     77);
    assert_int_equal(
        apipool_websocket_event_number(read_event("{\"max_output_tokens\":\"inf\"}", 1),
                                       APIPOOL_WEBSOCKET_EVENT_MAX_TOKENS),
        -1);
    assert_int_equal(apipool_websocket_event_length(read_event("{\"delta\":\"0123456789\"}", 3),
                                                    APIPOOL_WEBSOCKET_EVENT_DELTA),
                     10);
}

static void long_values_are_cut(void **unused)
{
    char text[2000];
    (void)unused;
    memset(text, 'x', sizeof(text));
    memcpy(text, "{\"type\":\"", 9);
    memcpy(text + sizeof(text) - 3, "\"}", 3);
    const apipool_websocket_event_t *event = read_event(text, 7);
    assert_int_equal(strlen(apipool_websocket_event_text(event, APIPOOL_WEBSOCKET_EVENT_TYPE)),
                     APIPOOL_SNIFF_TEXT_SIZE - 1);
    assert_int_equal(apipool_websocket_event_length(event, APIPOOL_WEBSOCKET_EVENT_TYPE),
                     sizeof(text) - 12);
}

static int allows(void *ctx, const char *model)
{
    (void)ctx;
    return !strcmp(model, "good");
}

static void models_are_found(void **unused)
{
    static const struct {
        const char *text;
        int allowed;
    } rows[] = {
        {"{\"model\":\"good\"}", 1},
        {"{\"model\":\"bad\"}", 0},
        {"{\"MODEL\":\"bad\"}", 0},
        {"{\"model\":null}", 1},
        {"{\"model\":1}", 0},
        {"{\"model\":{}}", 0},
        {"{\"model\":\"good\\u0000\"}", 0},
        {"{\"session\":{\"audio\":{\"input\":{\"transcription\":{\"model\":\"bad\"}}}}}", 0},
        {"{\"response\":{\"model\":\"bad\"}}", 0},
        {"{\"setup\":{\"model\":\"bad\"}}", 0},
        {"{\"response\":{\"metadata\":{\"model\":\"bad\"}}}", 1},
        {"{\"input\":[{\"model\":\"bad\"}],\"client_metadata\":{\"model\":\"bad\"}}", 1},
        {"{\"text\":{\"format\":{\"schema\":{\"properties\":{\"model\":{}}}}}}", 1},
        {"{}", 1},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        json_t *event = json_loads(rows[i].text, JSON_ALLOW_NUL, NULL);
        assert_non_null(event);
        if (apipool_websocket_models_allowed(event, allows, NULL) != rows[i].allowed) {
            fail_msg("%s", rows[i].text);
        }
        json_decref(event);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_read),  cmocka_unit_test(headers_are_written),
        cmocka_unit_test(events_are_read),  cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(models_are_found),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
