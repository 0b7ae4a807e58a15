/* SPDX-License-Identifier: Apache-2.0
 * Reads one direction of a WebSocket frame by frame (RFC 6455 section 5.2), as its bytes pass. */
#include "websocket_frame.h"

#include <string.h>

#define FINAL    0x80
#define RESERVED 0x70
#define OPCODE   0x0f
#define CONTROL  0x08
#define MASKED   0x80
#define LENGTH   0x7f

void apipool_websocket_frame_begin(apipool_websocket_frame_t *reader, int is_masked)
{
    memset(reader, 0, sizeof(*reader));
    reader->is_masked = is_masked != 0;
    reader->header_need = 2;
}

/* The payload length in the header's second byte, or in the extended length after it. */
static apr_uint64_t length_of(const apipool_websocket_frame_t *reader)
{
    unsigned in_byte = reader->header[1] & LENGTH;
    apr_uint64_t length = 0;
    int bytes = in_byte == 126 ? 2 : in_byte == 127 ? 8 : 0;
    for (int i = 0; i < bytes; i++) {
        length = length << 8 | reader->header[2 + i];
    }
    return bytes ? length : in_byte;
}

/* The length of a header, which its first two bytes determine. */
static unsigned char header_size(const apipool_websocket_frame_t *reader)
{
    unsigned in_byte = reader->header[1] & LENGTH;
    int extended = in_byte == 126 ? 2 : in_byte == 127 ? 8 : 0;
    return (unsigned char)(2 + extended + (reader->header[1] & MASKED ? 4 : 0));
}

static int is_known(unsigned opcode)
{
    return opcode <= APIPOOL_WS_BINARY || (opcode >= APIPOOL_WS_CLOSE && opcode <= APIPOOL_WS_PONG);
}

/* Tests whether a frame with these first two bytes is valid here. */
static int may_come(const apipool_websocket_frame_t *reader)
{
    unsigned first = reader->header[0], second = reader->header[1], opcode = first & OPCODE;
    if ((first & RESERVED) || !is_known(opcode) || !(second & MASKED) != !reader->is_masked) {
        return 0;
    }
    if (opcode & CONTROL) {
        return (first & FINAL) && (second & LENGTH) <= APIPOOL_WEBSOCKET_FRAME_SHORT;
    }
    return (opcode == APIPOOL_WS_CONTINUATION) == (reader->message != 0);
}

/* Ends the frame's payload. */
static void end_frame(apipool_websocket_frame_t *reader, apipool_websocket_frame_part_t *part)
{
    part->ends = reader->is_final;
    if (part->ends && !part->is_control) {
        reader->message = 0;
    }
    reader->header_len = 0;
    reader->header_need = 2;
}

static void begin_part(const apipool_websocket_frame_t *reader,
                       apipool_websocket_frame_part_t *part)
{
    memset(part, 0, sizeof(*part));
    part->opcode = reader->opcode;
    part->is_control = (reader->opcode & CONTROL) != 0;
    part->message = part->is_control ? reader->opcode : reader->message;
}

static int end_header(apipool_websocket_frame_t *reader, apipool_websocket_frame_part_t *part)
{
    unsigned char len = reader->header_len;
    reader->opcode = reader->header[0] & OPCODE;
    reader->is_final = (reader->header[0] & FINAL) != 0;
    reader->left = length_of(reader);
    reader->passed = 0;
    if (reader->left >> 63) {
        reader->is_faulty = 1;
        return -1;
    }
    if (reader->is_masked) {
        memcpy(reader->mask, reader->header + len - 4, 4);
    }
    int begins = reader->opcode != APIPOOL_WS_CONTINUATION;
    if (begins && !(reader->opcode & CONTROL)) {
        reader->message = reader->opcode;
    }
    begin_part(reader, part);
    part->begins = (unsigned char)begins;
    part->header_len = len;
    if (!reader->left) {
        end_frame(reader, part);
    }
    return 1;
}

static int take_header(apipool_websocket_frame_t *reader, const char *data, apr_size_t len,
                       apipool_websocket_frame_part_t *part, apr_size_t *used)
{
    *used = 0;
    while (*used < len && reader->header_len < reader->header_need) {
        reader->header[reader->header_len++] = (unsigned char)data[(*used)++];
        if (reader->header_len == 2) {
            if (!may_come(reader)) {
                reader->is_faulty = 1;
                return -1;
            }
            reader->header_need = header_size(reader);
        }
    }
    return reader->header_len == reader->header_need ? end_header(reader, part) : 0;
}

int apipool_websocket_frame_take(apipool_websocket_frame_t *reader, const char *data,
                                 apr_size_t len, apipool_websocket_frame_part_t *part,
                                 apr_size_t *used)
{
    *used = 0;
    if (reader->is_faulty) {
        return -1;
    }
    if (reader->header_len < reader->header_need) {
        return take_header(reader, data, len, part, used);
    }
    *used = reader->left < len ? (apr_size_t)reader->left : len;
    begin_part(reader, part);
    part->payload = data;
    part->payload_len = *used;
    part->phase = (unsigned)(reader->passed % 4);
    reader->left -= *used;
    reader->passed += *used;
    if (!reader->left) {
        end_frame(reader, part);
    }
    return 1;
}

int apipool_websocket_frame_is_between(const apipool_websocket_frame_t *reader)
{
    return !reader->is_faulty && !reader->message && !reader->header_len;
}

void apipool_websocket_frame_unmask(const apipool_websocket_frame_t *reader,
                                    const apipool_websocket_frame_part_t *part, apr_size_t at,
                                    char *out, apr_size_t len)
{
    static const unsigned char none[4] = {0};
    const unsigned char *mask = reader->is_masked ? reader->mask : none;
    for (apr_size_t i = 0; i < len; i++) {
        out[i] = (char)((unsigned char)part->payload[at + i] ^ mask[(part->phase + at + i) % 4]);
    }
}

apr_size_t apipool_websocket_frame_write_header(char out[APIPOOL_WEBSOCKET_FRAME_HEADER_MAX],
                                                apipool_websocket_frame_opcode_e opcode,
                                                apr_size_t len)
{
    int bytes = len <= APIPOOL_WEBSOCKET_FRAME_SHORT ? 0 : len <= 0xffff ? 2 : 8;
    out[0] = (char)(FINAL | opcode);
    out[1] = (char)(bytes == 0 ? len : bytes == 2 ? 126 : 127);
    for (int i = 0; i < bytes; i++) {
        out[2 + i] = (char)((apr_uint64_t)len >> 8 * (bytes - 1 - i));
    }
    return 2 + (apr_size_t)bytes;
}
