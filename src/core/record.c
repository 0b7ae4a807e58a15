/* SPDX-License-Identifier: Apache-2.0
 * Binary records: tagged fields, written to and read from the caller's memory. */
#include "record.h"

#include <apr_strings.h>
#include <string.h>

#define VARINT_MAX 10 /* bytes of 64 bits, 7 bits each */
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

static apr_size_t write_head(unsigned char *out, unsigned char tag, apipool_record_type_e type)
{
    return write_varint(out, (apr_uint64_t)tag << TYPE_BITS | type);
}

/* When the size overflows, used stays at the maximum. */
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

/* Writes the head of a field of bytes. */
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
        len += write_varint(varint, values[i]);
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

/* Reads a varint and moves *at behind it. Returns 0 if it is cut off, exceeds 64 bits or is not
 * minimal. */
static int read_varint(const unsigned char **at, const unsigned char *end, apr_uint64_t *value)
{
    const unsigned char *p = *at;
    *value = 0;
    for (int shift = 0; p < end; shift += 7) {
        unsigned char byte = *p++;
        if (shift == 63 && byte > 1) { /* room for one more bit, and none may follow */
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

/* --- Members of structures --- */

/* For sizes known to the compiler: a save does this some hundred times for each key. */
static apr_uint64_t load(const void *at, apr_size_t size)
{
    apr_uint64_t value;
    switch (size) {
    case 1:
        return *(const unsigned char *)at;
    case 2:
        return *(const apr_uint16_t *)at;
    case 4:
        return *(const apr_uint32_t *)at;
    default:
        memcpy(&value, at, sizeof(value));
        return value;
    }
}

static void save(void *at, apr_size_t size, apr_uint64_t value)
{
    switch (size) {
    case 1:
        *(unsigned char *)at = (unsigned char)(value < UINT8_MAX ? value : UINT8_MAX);
        break;
    case 2:
        *(apr_uint16_t *)at = (apr_uint16_t)(value < UINT16_MAX ? value : UINT16_MAX);
        break;
    case 4:
        *(apr_uint32_t *)at = (apr_uint32_t)(value < UINT32_MAX ? value : UINT32_MAX);
        break;
    default:
        memcpy(at, &value, sizeof(value));
        break;
    }
}

apr_uint64_t *apipool_record_to_row(const apipool_record_member_t *member, const void *of,
                                    apr_uint64_t *row)
{
    const unsigned char tag = member->tag;
    for (; member->tag == tag; member++) {
        for (apr_size_t i = 0; i < member->count; i++) {
            *row++ = load((const char *)of + member->offset + i * member->size, member->size);
        }
    }
    return row;
}

void apipool_record_from_row(const apipool_record_member_t *member, void *to,
                             const apr_uint64_t *row, apr_size_t count)
{
    const unsigned char tag = member->tag;
    const apr_uint64_t *end = row + count;
    for (; member->tag == tag; member++) {
        for (apr_size_t i = 0; i < member->count; i++) {
            save((char *)to + member->offset + i * member->size, member->size,
                 row < end ? *row++ : 0);
        }
    }
}

static void put_row(apipool_record_writer_t *writer, const apipool_record_member_t *member,
                    const void *of)
{
    apr_uint64_t row[APIPOOL_RECORD_ROW_MAX];
    const apr_uint64_t *end = apipool_record_to_row(member, of, row);
    apipool_record_put_u64s(writer, member->tag, row, (apr_size_t)(end - row));
}

static void put_member(apipool_record_writer_t *writer, const apipool_record_member_t *member,
                       const void *of)
{
    const void *at = (const char *)of + member->offset;
    const apipool_record_field_t *field = at;
    switch (member->as) {
    case APIPOOL_AS_NUMBER:
        apipool_record_put_u64(writer, member->tag, load(at, member->size));
        break;
    case APIPOOL_AS_SIGNED:
        apipool_record_put_i64(writer, member->tag, *(const apr_int64_t *)at);
        break;
    case APIPOOL_AS_REAL:
        apipool_record_put_double(writer, member->tag, *(const double *)at);
        break;
    case APIPOOL_AS_TEXT:
        apipool_record_put_text(writer, member->tag, *(const char *)at ? at : NULL);
        break;
    case APIPOOL_AS_BYTES:
        apipool_record_put_bytes(writer, member->tag, at, member->count);
        break;
    case APIPOOL_AS_FIELD:
        apipool_record_put_bytes(writer, member->tag, field->bytes, field->len);
        break;
    case APIPOOL_AS_ROW:
        put_row(writer, member, of);
        break;
    }
}

void apipool_record_put_members(apipool_record_writer_t *writer,
                                const apipool_record_member_t *members, const void *of)
{
    for (unsigned char before = 0; members->tag; before = members++->tag) {
        if (members->tag != before) {
            put_member(writer, members, of);
        }
    }
}

static void take_row(const apipool_record_member_t *member, const apipool_record_field_t *field,
                     void *to)
{
    apr_uint64_t row[APIPOOL_RECORD_ROW_MAX];
    apr_size_t count;
    if (apipool_record_u64s(field, row, APIPOOL_RECORD_ROW_MAX, &count)) {
        apipool_record_from_row(member, to, row, count);
    }
}

static apipool_record_type_e type_of(unsigned char as)
{
    return as <= APIPOOL_AS_SIGNED ? APIPOOL_RECORD_NUMBER
           : as == APIPOOL_AS_REAL ? APIPOOL_RECORD_REAL
                                   : APIPOOL_RECORD_BYTES;
}

static void take_field(const apipool_record_member_t *member, const apipool_record_field_t *field,
                       void *to)
{
    void *at = (char *)to + member->offset;
    apr_size_t len = field->len < member->count ? field->len : member->count;
    switch (member->as) {
    case APIPOOL_AS_NUMBER:
        save(at, member->size, field->number);
        break;
    case APIPOOL_AS_SIGNED:
        *(apr_int64_t *)at = apipool_record_i64(field);
        break;
    case APIPOOL_AS_REAL:
        *(double *)at = field->real;
        break;
    case APIPOOL_AS_TEXT:
        apr_cpystrn(at, (const char *)field->bytes, len < member->count ? len + 1 : len);
        break;
    case APIPOOL_AS_BYTES:
        memcpy(at, field->bytes, len);
        break;
    case APIPOOL_AS_FIELD:
        *(apipool_record_field_t *)at = *field;
        break;
    case APIPOOL_AS_ROW:
        take_row(member, field, to);
        break;
    }
}

int apipool_record_read_members(const void *data, apr_size_t len,
                                const apipool_record_member_t *members, void *to)
{
    apipool_record_reader_t reader;
    apipool_record_field_t field;
    if (!apipool_record_open(&reader, data, len)) {
        return 0;
    }
    while (apipool_record_next(&reader, &field)) {
        const apipool_record_member_t *member = members;
        while (member->tag && member->tag != field.tag) {
            member++;
        }
        if (member->tag && field.type == type_of(member->as)) {
            take_field(member, &field, to);
        }
    }
    return reader.whole;
}
