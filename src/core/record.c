/* SPDX-License-Identifier: Apache-2.0
 * Records as bytes: tagged fields, written into and read from the caller's memory. */
#include "record.h"

#include <string.h>

#define VARINT_MAX 10 /* bytes of 64 bits, 7 in each */
#define TYPE_BITS  2
#define TAG_MAX    255

static apr_size_t write_varint(unsigned char *out, apr_uint64_t value)
{
    apr_size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (unsigned char)value;
    return n;
}

static apr_size_t varint_size(apr_uint64_t value)
{
    apr_size_t n = 1;
    while (value >= 0x80) {
        value >>= 7;
        n++;
    }
    return n;
}

static apr_size_t write_head(unsigned char *out, unsigned char tag, apipool_record_type_e type)
{
    return write_varint(out, (apr_uint64_t)tag << TYPE_BITS | type);
}

/* Once beyond room, used never comes back: it stops at the largest size there is. */
static void append(apipool_record_writer_t *writer, const void *bytes, apr_size_t len)
{
    if (len && writer->used <= writer->room && len <= writer->room - writer->used) {
        memcpy(writer->data + writer->used, bytes, len);
    }
    writer->used = len <= APR_SIZE_MAX - writer->used ? writer->used + len : APR_SIZE_MAX;
}

void apipool_record_begin(apipool_record_writer_t *writer, void *data, apr_size_t room)
{
    static const unsigned char version = APIPOOL_RECORD_VERSION;
    writer->data = data;
    writer->room = room;
    writer->used = 0;
    append(writer, &version, 1);
}

void apipool_record_put_u64(apipool_record_writer_t *writer, unsigned char tag, apr_uint64_t value)
{
    unsigned char field[2 * VARINT_MAX];
    apr_size_t n = write_head(field, tag, APIPOOL_RECORD_NUMBER);
    n += write_varint(field + n, value);
    append(writer, field, n);
}

void apipool_record_put_i64(apipool_record_writer_t *writer, unsigned char tag, apr_int64_t value)
{
    apr_uint64_t bits = (apr_uint64_t)value;
    apipool_record_put_u64(writer, tag, value < 0 ? ~(bits << 1) : bits << 1);
}

void apipool_record_put_double(apipool_record_writer_t *writer, unsigned char tag, double value)
{
    unsigned char field[VARINT_MAX + 8];
    apr_uint64_t bits;
    apr_size_t n = write_head(field, tag, APIPOOL_RECORD_REAL);
    memcpy(&bits, &value, sizeof(bits));
    for (int i = 0; i < 8; i++) {
        field[n++] = (unsigned char)(bits >> 8 * i);
    }
    append(writer, field, n);
}

/* What stands before the bytes of a field. */
static void begin_bytes(apipool_record_writer_t *writer, unsigned char tag, apr_size_t len)
{
    unsigned char head[2 * VARINT_MAX];
    apr_size_t n = write_head(head, tag, APIPOOL_RECORD_BYTES);
    n += write_varint(head + n, len);
    append(writer, head, n);
}

void apipool_record_put_bytes(apipool_record_writer_t *writer, unsigned char tag, const void *bytes,
                              apr_size_t len)
{
    begin_bytes(writer, tag, len);
    append(writer, bytes, len);
}

void apipool_record_put_text(apipool_record_writer_t *writer, unsigned char tag, const char *text)
{
    if (text) {
        apipool_record_put_bytes(writer, tag, text, strlen(text));
    }
}

void apipool_record_put_u64s(apipool_record_writer_t *writer, unsigned char tag,
                             const apr_uint64_t *values, apr_size_t count)
{
    unsigned char varint[VARINT_MAX];
    apr_size_t len = 0;
    for (apr_size_t i = 0; i < count; i++) {
        len += varint_size(values[i]);
    }
    begin_bytes(writer, tag, len);
    for (apr_size_t i = 0; i < count; i++) {
        append(writer, varint, write_varint(varint, values[i]));
    }
}

int apipool_record_end(const apipool_record_writer_t *writer, apr_size_t *len)
{
    *len = writer->used;
    return writer->used <= writer->room;
}

/* Moves *at behind the varint. Returns 0 when it does not end, has more than 64 bits or is longer than
 * needed. */
static int read_varint(const unsigned char **at, const unsigned char *end, apr_uint64_t *value)
{
    const unsigned char *p = *at;
    *value = 0;
    for (int shift = 0; p < end; shift += 7) {
        unsigned char byte = *p++;
        if (shift == 63 && byte > 1) { /* 63 bits are there: room for one, and none may follow */
            return 0;
        }
        *value |= (apr_uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *at = p;
            return byte || !shift;
        }
    }
    return 0;
}

int apipool_record_open(apipool_record_reader_t *reader, const void *data, apr_size_t len)
{
    const unsigned char *bytes = data;
    reader->whole = len > 0 && bytes[0] == APIPOOL_RECORD_VERSION;
    reader->at = reader->whole ? bytes + 1 : bytes;
    reader->end = reader->whole ? bytes + len : bytes;
    return reader->whole;
}

static int read_real(apipool_record_reader_t *reader, double *real)
{
    apr_uint64_t bits = 0;
    if (reader->end - reader->at < 8) {
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        bits |= (apr_uint64_t)*reader->at++ << 8 * i;
    }
    memcpy(real, &bits, sizeof(bits));
    return 1;
}

static int read_bytes(apipool_record_reader_t *reader, apipool_record_field_t *field)
{
    apr_uint64_t len;
    if (!read_varint(&reader->at, reader->end, &len) ||
        len > (apr_uint64_t)(reader->end - reader->at)) {
        return 0;
    }
    field->bytes = reader->at;
    field->len = (apr_size_t)len;
    reader->at += field->len;
    return 1;
}

static int read_field(apipool_record_reader_t *reader, apipool_record_field_t *field)
{
    apr_uint64_t head;
    if (!read_varint(&reader->at, reader->end, &head) || head >> TYPE_BITS == 0 ||
        head >> TYPE_BITS > TAG_MAX) {
        return 0;
    }
    field->tag = (unsigned char)(head >> TYPE_BITS);
    field->type = (apipool_record_type_e)(head & ((1 << TYPE_BITS) - 1));
    switch (field->type) {
    case APIPOOL_RECORD_NUMBER:
        return read_varint(&reader->at, reader->end, &field->number);
    case APIPOOL_RECORD_REAL:
        return read_real(reader, &field->real);
    case APIPOOL_RECORD_BYTES:
        return read_bytes(reader, field);
    }
    return 0;
}

int apipool_record_next(apipool_record_reader_t *reader, apipool_record_field_t *field)
{
    memset(field, 0, sizeof(*field));
    if (reader->at == reader->end) {
        return 0;
    }
    if (!read_field(reader, field)) {
        memset(field, 0, sizeof(*field));
        reader->whole = 0;
        reader->at = reader->end;
        return 0;
    }
    return 1;
}

int apipool_record_is_whole(const apipool_record_reader_t *reader)
{
    return reader->whole;
}

apr_int64_t apipool_record_i64(const apipool_record_field_t *field)
{
    apr_uint64_t half = field->number >> 1;
    return (apr_int64_t)(field->number & 1 ? ~half : half);
}

int apipool_record_u64s(const apipool_record_field_t *field, apr_uint64_t *values, apr_size_t room,
                        apr_size_t *count)
{
    const unsigned char *at = field->bytes;
    apr_size_t n = 0;
    apr_uint64_t value;

    *count = 0;
    if (field->type != APIPOOL_RECORD_BYTES) {
        return 0;
    }
    for (const unsigned char *end = at + field->len; at < end;) {
        if (!read_varint(&at, end, &value)) {
            return 0;
        }
        if (n < room) {
            values[n] = value;
        }
        n++;
    }
    *count = n;
    return 1;
}
