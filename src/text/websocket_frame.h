/* SPDX-License-Identifier: Apache-2.0
 * Reads one direction of a WebSocket frame by frame (RFC 6455 section 5.2), as its bytes pass. */
#ifndef APIPOOL_TEXT_WEBSOCKET_FRAME_H
#define APIPOOL_TEXT_WEBSOCKET_FRAME_H

#include <apr.h>

#define APIPOOL_WEBSOCKET_FRAME_HEADER_MAX 14
#define APIPOOL_WEBSOCKET_FRAME_SHORT      125 /* largest payload of a two-byte header */

typedef enum {
    APIPOOL_WS_CONTINUATION = 0x0,
    APIPOOL_WS_TEXT = 0x1,
    APIPOOL_WS_BINARY = 0x2,
    APIPOOL_WS_CLOSE = 0x8,
    APIPOOL_WS_PING = 0x9,
    APIPOOL_WS_PONG = 0xa
} apipool_websocket_frame_opcode_e;

/* Close codes (RFC 6455, section 7.4.1). */
#define APIPOOL_WS_PROTOCOL_ERROR   1002
#define APIPOOL_WS_POLICY_VIOLATION 1008
#define APIPOOL_WS_TOO_BIG          1009

/* A reader. Callers use only its first three members. The caller owns it; it holds no other
 * memory. */
typedef struct {
    int is_faulty;         /* an invalid frame came; nothing after it can be read */
    unsigned char message; /* opcode of the open message, or 0 */
    unsigned char header[APIPOOL_WEBSOCKET_FRAME_HEADER_MAX]; /* of the frame, as received */

    unsigned char header_len, header_need;
    unsigned char is_masked; /* all frames must be masked, or none may be */
    unsigned char opcode, is_final;
    unsigned char mask[4];
    apr_uint64_t left;   /* bytes of payload to come */
    apr_uint64_t passed; /* bytes of payload read */
} apipool_websocket_frame_t;

/* A part read by apipool_websocket_frame_take(): a whole header, or some payload. */
typedef struct {
    unsigned char opcode;  /* of the frame */
    unsigned char message; /* opcode of its message; of a control frame its own */
    unsigned char is_control;
    unsigned char begins;     /* header of a message's first frame, or of a control frame */
    unsigned char ends;       /* the message or control frame is complete */
    unsigned char header_len; /* length in reader->header if this is a header; else 0 */
    const char *payload;      /* still masked if the direction is */
    apr_size_t payload_len;
    unsigned phase; /* of the mask, at payload */
} apipool_websocket_frame_part_t;

/** Begins at a frame's first byte. Frames of clients are masked, those of servers are not. */
void apipool_websocket_frame_begin(apipool_websocket_frame_t *reader, int is_masked);

/**
 * Reads the next part.
 * @param len  at least 1
 * @param part set if the result is 1. If it is 0, all bytes belong to an incomplete header
 * @param used bytes taken, at least 1 unless there is a fault
 * @return 1, 0, or -1 for a fault: reserved bits, an unknown opcode, a missing or unexpected mask,
 *         a control frame that is too long or fragmented, a continuation without a message, a
 *         message within a message, or a length of more than 63 bits
 */
int apipool_websocket_frame_take(apipool_websocket_frame_t *reader, const char *data,
                                 apr_size_t len, apipool_websocket_frame_part_t *part,
                                 apr_size_t *used);

/** Tests whether a message from elsewhere may be inserted here: no frame and no message is open. */
int apipool_websocket_frame_is_between(const apipool_websocket_frame_t *reader);

/** Copies some or all of a part's payload, unmasked. */
void apipool_websocket_frame_unmask(const apipool_websocket_frame_t *reader,
                                    const apipool_websocket_frame_part_t *part, apr_size_t at,
                                    char *out, apr_size_t len);

/** Writes the header of a final, unmasked frame; returns its length. */
apr_size_t apipool_websocket_frame_write_header(char out[APIPOOL_WEBSOCKET_FRAME_HEADER_MAX],
                                                apipool_websocket_frame_opcode_e opcode,
                                                apr_size_t len);

#endif
