/* SPDX-License-Identifier: Apache-2.0
 * One direction of a WebSocket, frame by frame (RFC 6455, section 5.2), as its bytes pass. */
#ifndef APIPOOL_TEXT_WEBSOCKET_FRAME_H
#define APIPOOL_TEXT_WEBSOCKET_FRAME_H

#include <apr.h>

#define APIPOOL_WEBSOCKET_FRAME_HEADER_MAX 14
#define APIPOOL_WEBSOCKET_FRAME_SHORT      125 /* bytes of payload that a header of two bytes can tell */

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

/* A reader. Only the first three members are for callers. The caller owns it; it holds no other memory. */
typedef struct {
    int is_faulty;         /* what came is no frame; nothing behind it can be read */
    unsigned char message; /* opcode of the message that is open, or 0 */
    unsigned char header[APIPOOL_WEBSOCKET_FRAME_HEADER_MAX]; /* of the frame, as it came */

    unsigned char header_len, header_need;
    unsigned char is_masked; /* all frames must be, or none may */
    unsigned char opcode, is_final;
    unsigned char mask[4];
    apr_uint64_t left;   /* of the payload */
    apr_uint64_t passed; /* of the payload */
} apipool_websocket_frame_t;

/* What apipool_websocket_frame_take() has read: a whole header, or some of a payload. */
typedef struct {
    unsigned char opcode; /* of the frame */
    unsigned char
        message; /* opcode of the message that it belongs to; of a control frame its own */
    unsigned char is_control;
    unsigned char begins;     /* the header of a message's first frame, or of a control frame */
    unsigned char ends;       /* the message, or the control frame, is whole */
    unsigned char header_len; /* if this is a header, as reader->header holds it; else 0 */
    const char *payload;      /* still masked if the direction is */
    apr_size_t payload_len;
    unsigned phase; /* of the mask, at payload */
} apipool_websocket_frame_part_t;

/** Starts with a frame's first byte. Frames of clients are masked, those of servers are not. */
void apipool_websocket_frame_begin(apipool_websocket_frame_t *reader, int is_masked);

/**
 * Reads the next part.
 * @param len  at least 1
 * @param part set if the result is 1: a part; where it is 0, all bytes belong to a header that goes on
 * @param used how many bytes were taken, at least 1 unless there is a fault
 * @return 1, 0, or -1 for a fault: reserved bits, an opcode that nobody knows, a mask that is missing or
 *         should not be there, a control frame that is too long or in pieces, a continuation of nothing, a
 *         message inside of a message, or a length of more than 63 bits
 */
int apipool_websocket_frame_take(apipool_websocket_frame_t *reader, const char *data,
                                 apr_size_t len, apipool_websocket_frame_part_t *part,
                                 apr_size_t *used);

/** Whether a message of someone else's could be put in here: no frame and no message is open. */
int apipool_websocket_frame_is_between(const apipool_websocket_frame_t *reader);

/** Copies a part's payload, or less of it, without its mask. */
void apipool_websocket_frame_unmask(const apipool_websocket_frame_t *reader,
                                    const apipool_websocket_frame_part_t *part, apr_size_t at,
                                    char *out, apr_size_t len);

/** Writes the header of an unmasked frame in one piece; returns its length. */
apr_size_t apipool_websocket_frame_write_header(char out[APIPOOL_WEBSOCKET_FRAME_HEADER_MAX],
                                                apipool_websocket_frame_opcode_e opcode,
                                                apr_size_t len);

#endif
