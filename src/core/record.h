/* SPDX-License-Identifier: Apache-2.0
 * Records as bytes, for databases: readable by versions of the module that know more or fewer fields. */
#ifndef APIPOOL_CORE_RECORD_H
#define APIPOOL_CORE_RECORD_H

#include <apr.h>
#include <stddef.h>

/* A version byte, then fields in the order they were put: a varint of tag * 4 + type, then
 *   number  a varint: 7 bits per byte, lowest first, the top bit set in all but the last; as short as can be
 *   real    8 bytes, IEEE 754, little-endian
 *   bytes   their count as a varint, then the bytes
 * The version changes only with this layout. What a record means may grow: readers skip tags that they do
 * not know and keep their default for those that are absent, so a tag keeps its meaning and its type for
 * good. A tag may stand there several times. Nothing here allocates; thread-safe as far as each thread has
 * its own writer or reader. */

#define APIPOOL_RECORD_VERSION 1

typedef enum {
    APIPOOL_RECORD_NUMBER,
    APIPOOL_RECORD_REAL,
    APIPOOL_RECORD_BYTES
} apipool_record_type_e;

/* Fields are for record.c. The caller owns data, and wipes it where a secret was put. */
typedef struct {
    unsigned char *data;
    apr_size_t room, used; /* used counts on beyond room */
} apipool_record_writer_t;

/** Begins a record in room bytes at data. With room 0, data may be NULL: the record is only measured. */
void apipool_record_begin(apipool_record_writer_t *writer, void *data, apr_size_t room);

/* Each puts one field under a tag from 1 to 255. What does not fit is not written, which
 * apipool_record_end tells. */

/** Puts a number; small ones take few bytes. */
void apipool_record_put_u64(apipool_record_writer_t *writer, unsigned char tag, apr_uint64_t value);

/** Small amounts of either sign take few bytes (zigzag); read by apipool_record_i64. */
void apipool_record_put_i64(apipool_record_writer_t *writer, unsigned char tag, apr_int64_t value);

/** Puts a real number, of which every bit is kept. */
void apipool_record_put_double(apipool_record_writer_t *writer, unsigned char tag, double value);

/** Puts bytes.
 *  @param bytes may be NULL with length 0 */
void apipool_record_put_bytes(apipool_record_writer_t *writer, unsigned char tag, const void *bytes,
                              apr_size_t len);

/** Puts the bytes before the terminating NUL; nothing, so that the field is absent, where text is NULL. */
void apipool_record_put_text(apipool_record_writer_t *writer, unsigned char tag, const char *text);

/** Puts numbers as one field of bytes, a varint each; read by apipool_record_u64s. */
void apipool_record_put_u64s(apipool_record_writer_t *writer, unsigned char tag,
                             const apr_uint64_t *values, apr_size_t count);

/**
 * Ends a record.
 * @param len set to the bytes of the whole record, also where they did not fit: begin again with that much
 * @return 1, or 0 when it did not fit: what stands in the memory is no record then
 */
int apipool_record_end(const apipool_record_writer_t *writer, apr_size_t *len);

/* Fields are for record.c. */
typedef struct {
    const unsigned char *at, *end;
    int whole;
} apipool_record_reader_t;

/* One field; what is not of its type is 0 or NULL. */
typedef struct {
    unsigned char tag;
    apipool_record_type_e type;
    apr_uint64_t number;
    double real;
    const unsigned char *bytes; /* in the record, without a terminating NUL */
    apr_size_t len;
} apipool_record_field_t;

/**
 * Begins to read a record, which must stay where it is meanwhile.
 * @param data may be NULL with length 0, which is no record
 * @return 1, or 0 when its version is another: there is no field to read then and it is not whole
 */
int apipool_record_open(apipool_record_reader_t *reader, const void *data, apr_size_t len);

/** Reads the next field. Returns 0 at the end and from where something malformed begins: the field is empty,
 *  of tag 0, then. */
int apipool_record_next(apipool_record_reader_t *reader, apipool_record_field_t *field);

/** Whether nothing malformed was met, to be asked when apipool_record_next has returned 0. A record cut off
 *  between two fields is whole as far as can be told: whoever stores it knows its length. */
int apipool_record_is_whole(const apipool_record_reader_t *reader);

/** The number of a field that apipool_record_put_i64 has put. */
apr_int64_t apipool_record_i64(const apipool_record_field_t *field);

/**
 * The numbers of a field that apipool_record_put_u64s has put.
 * @param values the first room numbers; where there are fewer, the rest stays as it was
 * @param count  set to how many there are, which may be more than room
 * @return 1, or 0 when the field is malformed or not of type bytes: values may be changed then, *count is 0
 */
int apipool_record_u64s(const apipool_record_field_t *field, apr_uint64_t *values, apr_size_t room,
                        apr_size_t *count);

/* --- Members of structures ---
 *
 * A table says which members of a structure are the fields of a record, and is what the record is written
 * and read by. It ends with tag 0. Members that follow each other under one tag are one row, in that order:
 * what is added to it later goes to its end, and readers of shorter rows find zeros there. */

typedef enum {
    APIPOOL_AS_NUMBER, /* a field of its own, unsigned */
    APIPOOL_AS_SIGNED, /* the same, of apr_int64_t */
    APIPOOL_AS_REAL,   /* the same, of double */
    APIPOOL_AS_TEXT,   /* of char[], with NUL; absent when it is empty, cut where it does not fit */
    APIPOOL_AS_BYTES,  /* of unsigned char[], as many as there are */
    APIPOOL_AS_FIELD,  /* bytes, of apipool_record_field_t: read without a copy */
    APIPOOL_AS_ROW     /* one or more numbers of 1, 2, 4 or 8 bytes, or doubles as their bits */
} apipool_record_as_e;

typedef struct {
    unsigned char tag;
    unsigned char as;
    unsigned char size;  /* bytes of one */
    apr_uint16_t count;  /* side by side, in memory as in the record */
    apr_uint32_t offset; /* of the first one */
} apipool_record_member_t;

#define APIPOOL_RECORD_ROW_MAX 540 /* numbers of the longest row */

/** A member of a structure of type T; of an array, all of it. */
#define APIPOOL_RECORD_MEMBER(tag, as, T, member, type)                                            \
    APIPOOL_RECORD_SPAN(tag, as, T, member, member, type)

/** Members of a structure of type T from the first to the last one, with none of another type between. */
#define APIPOOL_RECORD_SPAN(tag, as, T, first, last, type)                                         \
    {                                                                                              \
        tag, as, sizeof(type),                                                                     \
            (offsetof(T, last) + sizeof(((T *)0)->last) - offsetof(T, first)) / sizeof(type),      \
            offsetof(T, first)                                                                     \
    }

/** Writes the members of a row. Returns where it ends. */
apr_uint64_t *apipool_record_to_row(const apipool_record_member_t *member, const void *of,
                                    apr_uint64_t *row);

/** Reads the members of a row of count numbers; what is not in it is 0, what a place cannot hold is cut. */
void apipool_record_from_row(const apipool_record_member_t *member, void *to,
                             const apr_uint64_t *row, apr_size_t count);

/** Puts members of a structure. */
void apipool_record_put_members(apipool_record_writer_t *writer,
                                const apipool_record_member_t *members, const void *of);

/**
 * Reads a whole record. What is not in it, or is of another type, stays as it was.
 * @return whether it is whole, and of this version
 */
int apipool_record_read_members(const void *data, apr_size_t len,
                                const apipool_record_member_t *members, void *to);

#endif
