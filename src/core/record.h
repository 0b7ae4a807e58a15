/* SPDX-License-Identifier: Apache-2.0
 * Binary records for databases, readable by versions of the module that know more or fewer
 * fields. */
#ifndef APIPOOL_CORE_RECORD_H
#define APIPOOL_CORE_RECORD_H

#include <apr.h>
#include <stddef.h>

/* A record is a version byte and fields in the order in which they were written. A field is a
 * varint of tag * 4 + type, then
 *
 *   number  a varint: 7 bits per byte, lowest first, top bit set in all but the last; minimal
 *   real    8 bytes, IEEE 754, little-endian
 *   bytes   their count as a varint, then the bytes
 *
 * The version changes only with this layout. Records may gain fields: readers skip unknown tags
 * and keep their defaults for absent ones, so a tag never changes its meaning or type. A tag may
 * be repeated. Nothing here allocates. Thread-safe if each thread has its own writer or reader. */

#define APIPOOL_RECORD_VERSION 1

typedef enum {
    APIPOOL_RECORD_NUMBER,
    APIPOOL_RECORD_REAL,
    APIPOOL_RECORD_BYTES
} apipool_record_type_e;

/* Fields are private to record.c. The caller owns data, and wipes it if it holds a secret. */
typedef struct {
    unsigned char *data;
    apr_size_t room, used; /* used also counts what did not fit */
} apipool_record_writer_t;

/** Begins a record in room bytes at data. With room 0, data may be NULL: the record is only
 *  measured. */
void apipool_record_begin(apipool_record_writer_t *writer, void *data, apr_size_t room);

/* Each function writes one field with a tag from 1 to 255. What does not fit is not written;
 * apipool_record_end reports that. */

/** Writes a number; small ones take few bytes. */
void apipool_record_put_u64(apipool_record_writer_t *writer, unsigned char tag, apr_uint64_t value);

/** Writes a signed number (zigzag), so that small ones take few bytes; read it with
 *  apipool_record_i64. */
void apipool_record_put_i64(apipool_record_writer_t *writer, unsigned char tag, apr_int64_t value);

/** Writes a real number with all its bits. */
void apipool_record_put_double(apipool_record_writer_t *writer, unsigned char tag, double value);

/**
 * Writes bytes.
 * @param bytes may be NULL with length 0
 */
void apipool_record_put_bytes(apipool_record_writer_t *writer, unsigned char tag, const void *bytes,
                              apr_size_t len);

/** Writes a text without its NUL; nothing if text is NULL, so that the field is absent. */
void apipool_record_put_text(apipool_record_writer_t *writer, unsigned char tag, const char *text);

/** Writes numbers as one field of bytes, a varint each; read them with apipool_record_u64s. */
void apipool_record_put_u64s(apipool_record_writer_t *writer, unsigned char tag,
                             const apr_uint64_t *values, apr_size_t count);

/**
 * Ends a record.
 * @param len set to the size of the whole record, even if it did not fit: begin again with that
 *            much room
 * @return 1, or 0 when it did not fit: the memory then holds no record
 */
int apipool_record_end(const apipool_record_writer_t *writer, apr_size_t *len);

/* Fields are private to record.c. */
typedef struct {
    const unsigned char *at, *end;
    int whole;
} apipool_record_reader_t;

/* One field; members of other types are 0 or NULL. */
typedef struct {
    unsigned char tag;
    apipool_record_type_e type;
    apr_uint64_t number;
    double real;
    const unsigned char *bytes; /* in the record, without NUL */
    apr_size_t len;
} apipool_record_field_t;

/**
 * Begins to read a record, which must stay in place meanwhile.
 * @param data may be NULL with length 0, which is not a record
 * @return 1, or 0 for another version: then there are no fields, and the record is not whole
 */
int apipool_record_open(apipool_record_reader_t *reader, const void *data, apr_size_t len);

/** Reads the next field. Returns 0, with an empty field of tag 0, at the end or where malformed
 *  content begins. */
int apipool_record_next(apipool_record_reader_t *reader, apipool_record_field_t *field);

/** Returns 1 if nothing malformed was met; call it when apipool_record_next has returned 0. A
 *  record cut off between two fields counts as whole: its owner has to know the length. */
int apipool_record_is_whole(const apipool_record_reader_t *reader);

/** Number of a field written by apipool_record_put_i64. */
apr_int64_t apipool_record_i64(const apipool_record_field_t *field);

/**
 * Numbers of a field written by apipool_record_put_u64s.
 * @param values receives the first room numbers; if there are fewer, the rest is unchanged
 * @param count  set to the count, which may exceed room
 * @return 1, or 0 if the field is malformed or not of type bytes: values may have changed,
 *         *count is 0
 */
int apipool_record_u64s(const apipool_record_field_t *field, apr_uint64_t *values, apr_size_t room,
                        apr_size_t *count);

/* --- Members of structures ---
 *
 * A table lists the members of a structure that are fields of a record; it is used to write and
 * to read. It ends with tag 0. Consecutive members with the same tag form one row, in that order:
 * later versions add to its end, and readers find zeros there in shorter rows. */

typedef enum {
    APIPOOL_AS_NUMBER, /* one field, unsigned */
    APIPOOL_AS_SIGNED, /* one field, apr_int64_t */
    APIPOOL_AS_REAL,   /* one field, double */
    APIPOOL_AS_TEXT,   /* char[] with NUL; absent if empty, cut if it does not fit */
    APIPOOL_AS_BYTES,  /* unsigned char[], all of it */
    APIPOOL_AS_FIELD,  /* apipool_record_field_t of bytes: read without a copy */
    APIPOOL_AS_ROW     /* one or more numbers of 1, 2, 4 or 8 bytes, or the bits of doubles */
} apipool_record_as_e;

typedef struct {
    unsigned char tag;
    unsigned char as;
    unsigned char size;  /* bytes of one number */
    apr_uint16_t count;  /* consecutive numbers */
    apr_uint32_t offset; /* of the first number */
} apipool_record_member_t;

#define APIPOOL_RECORD_ROW_MAX 540 /* numbers in the longest row */

/** Member of a structure T; of an array, all of it. */
#define APIPOOL_RECORD_MEMBER(tag, as, T, member, type)                                            \
    APIPOOL_RECORD_SPAN(tag, as, T, member, member, type)

/** Members of a structure T from the first to the last, all of one type. */
#define APIPOOL_RECORD_SPAN(tag, as, T, first, last, type)                                         \
    {                                                                                              \
        tag, as, sizeof(type),                                                                     \
            (offsetof(T, last) + sizeof(((T *)0)->last) - offsetof(T, first)) / sizeof(type),      \
            offsetof(T, first)                                                                     \
    }

/** Copies the members of a row to numbers. Returns the end. */
apr_uint64_t *apipool_record_to_row(const apipool_record_member_t *member, const void *of,
                                    apr_uint64_t *row);

/** Sets the members of a row from count numbers; missing ones become 0, too large ones are
 *  capped. */
void apipool_record_from_row(const apipool_record_member_t *member, void *to,
                             const apr_uint64_t *row, apr_size_t count);

/** Writes the members of a structure. */
void apipool_record_put_members(apipool_record_writer_t *writer,
                                const apipool_record_member_t *members, const void *of);

/**
 * Reads a whole record. Members that it lacks, or has with another type, are unchanged.
 * @return 1 if it is whole and of this version
 */
int apipool_record_read_members(const void *data, apr_size_t len,
                                const apipool_record_member_t *members, void *to);

#endif
