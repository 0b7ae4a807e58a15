/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/record: bytes that stay what they are, other versions' fields, records cut or malformed.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "record.h"

#define BYTES(literal) literal, sizeof(literal) - 1
#define COUNT(array)   (sizeof(array) / sizeof(*(array)))

/* Memory of exactly that size, so that a checker sees every access beyond it. */
static unsigned char *exactly(const void *bytes, size_t len)
{
    unsigned char *memory = malloc(len ? len : 1);
    assert_non_null(memory);
    memcpy(memory, bytes, len);
    return memory;
}

static void begin(apipool_record_writer_t *writer, unsigned char *memory, size_t room)
{
    memset(memory, 0xee, room);
    apipool_record_begin(writer, memory, room);
}

static size_t end(const apipool_record_writer_t *writer)
{
    apr_size_t len;
    assert_true(apipool_record_end(writer, &len));
    return len;
}

/* The only field of a record. */
static apipool_record_field_t only_field(const apipool_record_writer_t *writer)
{
    apipool_record_reader_t reader;
    apipool_record_field_t field, none;
    assert_true(apipool_record_open(&reader, writer->data, end(writer)));
    assert_true(apipool_record_next(&reader, &field));
    assert_false(apipool_record_next(&reader, &none));
    assert_true(apipool_record_is_whole(&reader));
    return field;
}

static void put_number(apipool_record_writer_t *w)
{
    apipool_record_put_u64(w, 1, 5);
}

static void put_long_number(apipool_record_writer_t *w)
{
    apipool_record_put_u64(w, 31, 300);
}

static void put_far_tag(apipool_record_writer_t *w)
{
    apipool_record_put_u64(w, 255, 0);
}

static void put_largest(apipool_record_writer_t *w)
{
    apipool_record_put_u64(w, 32, APR_UINT64_MAX);
}

static void put_minus(apipool_record_writer_t *w)
{
    apipool_record_put_i64(w, 2, -3);
}

static void put_real(apipool_record_writer_t *w)
{
    apipool_record_put_double(w, 3, -1.5);
}

static void put_bytes(apipool_record_writer_t *w)
{
    apipool_record_put_bytes(w, 4, "a\0b", 3);
}

static void put_no_bytes(apipool_record_writer_t *w)
{
    apipool_record_put_bytes(w, 4, NULL, 0);
}

static void put_text(apipool_record_writer_t *w)
{
    apipool_record_put_text(w, 5, "gpt");
}

static void put_no_text(apipool_record_writer_t *w)
{
    apipool_record_put_text(w, 5, NULL);
}

static void put_numbers(apipool_record_writer_t *w)
{
    static const apr_uint64_t values[] = {0, 127, 128, 1};
    apipool_record_put_u64s(w, 6, values, COUNT(values));
}

static void put_nothing(apipool_record_writer_t *w)
{
    (void)w;
}

/* Stored records must stay readable, so these bytes never change. */
static const struct {
    const char *name;
    void (*put)(apipool_record_writer_t *w);
    const char *bytes;
    size_t len;
} layouts[] = {
    {"nothing", put_nothing, BYTES("\1")},
    {"a number", put_number, BYTES("\1\x04\x05")},
    {"a number of two bytes, the last tag of one", put_long_number, BYTES("\1\x7c\xac\x02")},
    {"the last tag", put_far_tag, BYTES("\1\xfc\x07\0")},
    {"the largest number, the first tag of two bytes", put_largest,
     BYTES("\1\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\1")},
    {"a number below 0", put_minus, BYTES("\1\x08\x05")},
    {"a real number", put_real, BYTES("\1\x0d\0\0\0\0\0\0\xf8\xbf")},
    {"bytes", put_bytes, BYTES("\1\x12\3a\0b")},
    {"no bytes", put_no_bytes, BYTES("\1\x12\0")},
    {"text", put_text, BYTES("\1\x16\3gpt")},
    {"no text", put_no_text, BYTES("\1")},
    {"numbers", put_numbers, BYTES("\1\x1a\5\0\x7f\x80\1\1")},
};

static void the_bytes_of_a_record_stay_what_they_are(void **unused)
{
    unsigned char memory[64];
    apipool_record_writer_t writer;
    for (size_t i = 0; i < COUNT(layouts); i++) {
        begin(&writer, memory, sizeof(memory));
        layouts[i].put(&writer);
        if (end(&writer) != layouts[i].len || memcmp(memory, layouts[i].bytes, layouts[i].len)) {
            fail_msg("%s is written otherwise", layouts[i].name);
        }
    }
}

static void numbers_are_read_as_they_were_put(void **unused)
{
    unsigned char memory[16];
    apipool_record_writer_t writer;
    for (int bit = 0; bit <= 64; bit++) {
        for (int more = -1; more <= 1; more++) {
            apr_uint64_t value = (bit < 64 ? APR_UINT64_C(1) << bit : 0) + (apr_uint64_t)more;
            begin(&writer, memory, sizeof(memory));
            apipool_record_put_u64(&writer, 7, value);
            apipool_record_field_t field = only_field(&writer);
            assert_int_equal(field.type, APIPOOL_RECORD_NUMBER);
            assert_int_equal(field.tag, 7);
            assert_true(field.number == value);
            begin(&writer, memory, sizeof(memory));
            apipool_record_put_i64(&writer, 7, (apr_int64_t)value);
            field = only_field(&writer);
            assert_true(apipool_record_i64(&field) == (apr_int64_t)value);
        }
    }
}

static void real_numbers_keep_every_bit(void **unused)
{
    static const apr_uint64_t bits[] = {
        0,
        APR_UINT64_C(0x8000000000000000), /* -0 */
        APR_UINT64_C(0x3ff0000000000000), /* 1 */
        APR_UINT64_C(0x3fb999999999999a), /* 0.1 */
        APR_UINT64_C(0x0000000000000001), /* the smallest */
        APR_UINT64_C(0x7fefffffffffffff), /* the largest */
        APR_UINT64_C(0xfff0000000000000), /* -infinity */
        APR_UINT64_C(0x7ff8000000000123), /* not a number */
    };
    unsigned char memory[16];
    apipool_record_writer_t writer;
    for (size_t i = 0; i < COUNT(bits); i++) {
        double value;
        memcpy(&value, &bits[i], sizeof(value));
        begin(&writer, memory, sizeof(memory));
        apipool_record_put_double(&writer, 200, value);
        apipool_record_field_t field = only_field(&writer);
        assert_int_equal(field.type, APIPOOL_RECORD_REAL);
        assert_int_equal(field.tag, 200);
        assert_memory_equal(&field.real, &bits[i], sizeof(value));
    }
}

static void bytes_are_read_as_they_were_put(void **unused)
{
    static const size_t lengths[] = {0, 1, 127, 128, 16383, 16384, 70000};
    unsigned char *memory = malloc(70016), *text = malloc(70000);
    apipool_record_writer_t writer;
    assert_non_null(memory);
    assert_non_null(text);
    memset(text, 0xa5, 70000);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        begin(&writer, memory, 70016);
        apipool_record_put_bytes(&writer, 9, text, lengths[i]);
        apipool_record_field_t field = only_field(&writer);
        assert_int_equal(field.type, APIPOOL_RECORD_BYTES);
        assert_int_equal(field.len, lengths[i]);
        assert_memory_equal(field.bytes, text, lengths[i]);
    }
    free(memory);
    free(text);
}

static void every_tag_can_be_used_and_fields_come_in_order(void **unused)
{
    unsigned char memory[2048];
    apipool_record_writer_t writer;
    apipool_record_reader_t reader;
    apipool_record_field_t field;
    begin(&writer, memory, sizeof(memory));
    for (int tag = 255; tag >= 1; tag--) {
        apipool_record_put_u64(&writer, (unsigned char)tag, (apr_uint64_t)tag * 1000);
    }
    assert_true(apipool_record_open(&reader, memory, end(&writer)));
    for (int tag = 255; tag >= 1; tag--) {
        assert_true(apipool_record_next(&reader, &field));
        assert_int_equal(field.tag, tag);
        assert_int_equal(field.number, tag * 1000);
    }
    assert_false(apipool_record_next(&reader, &field));
    assert_true(apipool_record_is_whole(&reader));
}

/* Record of two versions of a program: the older one knows tags 1 and 2, the newer one all four. */
typedef struct {
    apr_uint64_t weight;
    char label[8];
    double score;
    apr_int64_t balance;
} thing_t;

static const thing_t unset = {.weight = 1, .label = "none", .score = 0.5, .balance = -1};

static void read_thing(const unsigned char *data, size_t len, int newer, thing_t *thing)
{
    apipool_record_reader_t reader;
    apipool_record_field_t field;
    *thing = unset;
    assert_true(apipool_record_open(&reader, data, len));
    while (apipool_record_next(&reader, &field)) {
        if (field.tag == 1) {
            thing->weight = field.number;
        }
        else if (field.tag == 2) {
            assert_true(field.len < sizeof(thing->label));
            memcpy(thing->label, field.bytes, field.len);
            thing->label[field.len] = '\0';
        }
        else if (newer && field.tag == 3) {
            thing->score = field.real;
        }
        else if (newer && field.tag == 40) {
            thing->balance = apipool_record_i64(&field);
        }
    }
    assert_true(apipool_record_is_whole(&reader));
}

static void older_and_newer_records_can_be_read(void **unused)
{
    static const apr_uint64_t hours[] = {1, 2, 3};
    unsigned char memory[128];
    apipool_record_writer_t writer;
    thing_t thing;

    begin(&writer, memory, sizeof(memory));
    apipool_record_put_double(&writer, 3, 0.25);
    apipool_record_put_u64s(&writer, 250, hours, COUNT(hours));
    apipool_record_put_u64(&writer, 1, 7);
    apipool_record_put_i64(&writer, 40, -12);
    apipool_record_put_text(&writer, 2, "mine");
    read_thing(memory, end(&writer), 0, &thing);
    assert_int_equal(thing.weight, 7);
    assert_string_equal(thing.label, "mine");
    assert_true(thing.score == unset.score && thing.balance == unset.balance);

    begin(&writer, memory, sizeof(memory));
    apipool_record_put_u64(&writer, 1, 9);
    read_thing(memory, end(&writer), 1, &thing);
    assert_int_equal(thing.weight, 9);
    assert_string_equal(thing.label, unset.label);
    assert_true(thing.score == unset.score && thing.balance == unset.balance);
}

/* One of each type, with heads and values of one byte and of more. */
static void put_all(apipool_record_writer_t *writer)
{
    put_number(writer);
    put_largest(writer);
    put_minus(writer);
    put_real(writer);
    put_bytes(writer);
    put_text(writer);
    put_numbers(writer);
    put_no_bytes(writer);
    put_far_tag(writer);
}

#define ALL_FIELDS 9

/* Reads a record of put_all and checks each field that it has. Returns their number. */
static int read_all(const unsigned char *data, size_t len, int *whole, const unsigned char **end_of)
{
    static const unsigned char tags[ALL_FIELDS] = {1, 32, 2, 3, 4, 5, 6, 4, 255};
    static const size_t lengths[ALL_FIELDS] = {0, 0, 0, 0, 3, 3, 5, 0, 0};
    apipool_record_reader_t reader;
    apipool_record_field_t field;
    int n = 0;
    *end_of = data;
    if (apipool_record_open(&reader, data, len)) {
        *end_of = reader.at;
        while (apipool_record_next(&reader, &field)) {
            assert_true(n < ALL_FIELDS);
            assert_int_equal(field.tag, tags[n]);
            assert_int_equal(field.len, lengths[n]);
            assert_true(n != 1 || field.number == APR_UINT64_MAX);
            assert_true(n != 3 || field.real == -1.5);
            assert_true(n != 5 || !memcmp(field.bytes, "gpt", 3));
            *end_of = reader.at;
            n++;
        }
        assert_false(apipool_record_next(&reader, &field));
        assert_int_equal(field.tag, 0);
    }
    *whole = apipool_record_is_whole(&reader);
    return n;
}

static void a_record_cut_anywhere_gives_its_first_fields(void **unused)
{
    unsigned char memory[128];
    const unsigned char *end_of;
    apipool_record_writer_t writer;
    int whole, last = 0, cuts_seen_whole = 0;
    begin(&writer, memory, sizeof(memory));
    put_all(&writer);
    size_t len = end(&writer);
    for (size_t cut = 0; cut <= len; cut++) {
        unsigned char *exact = exactly(memory, cut);
        int n = read_all(exact, cut, &whole, &end_of);
        assert_true(n == last || n == last + 1);
        assert_int_equal(whole, cut > 0 && end_of == exact + cut);
        cuts_seen_whole += whole;
        last = n;
        free(exact);
    }
    assert_int_equal(last, ALL_FIELDS);
    assert_int_equal(cuts_seen_whole, ALL_FIELDS + 1);
}

static const struct {
    const char *name, *bytes;
    size_t len;
    int fields; /* before the fault; -1: not a record */
} malformed[] = {
    {"nothing", BYTES(""), -1},
    {"version 0", BYTES("\0\x04\x05"), -1},
    {"a later version", BYTES("\2\x04\x05"), -1},
    {"tag 0", BYTES("\1\0\0"), 0},
    {"zeros behind a record", BYTES("\1\x04\x05\0\0\0"), 1},
    {"tag 256", BYTES("\1\x80\x08\0"), 0},
    {"a tag of 64 bits", BYTES("\1\xfc\xff\xff\xff\xff\xff\xff\xff\xff\1\0"), 0},
    {"a type that is none", BYTES("\1\x07\0"), 0},
    {"a type that is none before a number", BYTES("\1\x07\x04\x05"), 0},
    {"a tag longer than needed", BYTES("\1\x84\0\5"), 0},
    {"a number longer than needed", BYTES("\1\x04\x85\0"), 0},
    {"a zero longer than needed", BYTES("\1\x04\x80\0"), 0},
    {"a number without an end", BYTES("\1\x04\x80\x80\x80"), 0},
    {"a number of 65 bits", BYTES("\1\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\2"), 0},
    {"a number of 11 bytes", BYTES("\1\x04\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\1"), 0},
    {"a head without a number", BYTES("\1\x04\x05\x04"), 1},
    {"a real number of 7 bytes", BYTES("\1\x0d\0\0\0\0\0\0\xf8"), 0},
    {"bytes without a count", BYTES("\1\x12"), 0},
    {"one byte less than counted", BYTES("\1\x04\x05\x12\4abc"), 1},
    {"2^31 bytes", BYTES("\1\x12\x80\x80\x80\x80\x08xyz"), 0},
    {"2^32 + 3 bytes", BYTES("\1\x12\x83\x80\x80\x80\x10xyz"), 0},
    {"2^63 + 3 bytes", BYTES("\1\x12\x83\x80\x80\x80\x80\x80\x80\x80\x80\1xyz"), 0},
    {"2^64 - 1 bytes", BYTES("\1\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\1xyz"), 0},
};

static void what_is_malformed_is_told_and_what_was_before_it_read(void **unused)
{
    static const apipool_record_field_t empty;
    for (size_t i = 0; i < COUNT(malformed); i++) {
        unsigned char *exact = exactly(malformed[i].bytes, malformed[i].len);
        apipool_record_reader_t reader;
        apipool_record_field_t field;
        int fields = apipool_record_open(&reader, exact, malformed[i].len) ? 0 : -1;
        while (apipool_record_next(&reader, &field)) {
            fields++;
        }
        if (fields != malformed[i].fields || apipool_record_is_whole(&reader)) {
            fail_msg("%s: %d fields", malformed[i].name, fields);
        }
        if (memcmp(&field, &empty, sizeof(field)) || apipool_record_next(&reader, &field)) {
            fail_msg("%s: read on", malformed[i].name);
        }
        free(exact);
    }
}

static void no_memory_is_no_record(void **unused)
{
    apipool_record_reader_t reader;
    apipool_record_field_t field;
    assert_false(apipool_record_open(&reader, NULL, 0));
    assert_false(apipool_record_next(&reader, &field));
    assert_false(apipool_record_is_whole(&reader));
}

static void what_does_not_fit_is_told_with_the_size_that_does(void **unused)
{
    unsigned char whole[128];
    apipool_record_writer_t writer;
    apr_size_t len;
    begin(&writer, whole, sizeof(whole));
    put_all(&writer);
    size_t wanted = end(&writer);
    for (size_t room = 0; room <= wanted + 1; room++) {
        unsigned char *exact = exactly(whole, room);
        begin(&writer, exact, room);
        put_all(&writer);
        assert_int_equal(apipool_record_end(&writer, &len), room >= wanted);
        assert_int_equal(len, wanted);
        assert_true(room < wanted || !memcmp(exact, whole, wanted));
        free(exact);
    }
    apipool_record_begin(&writer, NULL, 0);
    put_all(&writer);
    assert_false(apipool_record_end(&writer, &len));
    assert_int_equal(len, wanted);
}

static void sizes_beyond_all_memory_do_not_wrap(void **unused)
{
    unsigned char memory[16];
    apipool_record_writer_t writer;
    apr_size_t len;
    begin(&writer, memory, sizeof(memory));
    apipool_record_put_bytes(&writer, 1, memory, APR_SIZE_MAX - 4);
    apipool_record_put_u64(&writer, 2, 1);
    apipool_record_put_bytes(&writer, 1, memory, 64);
    assert_false(apipool_record_end(&writer, &len));
    assert_true(len == APR_SIZE_MAX);
}

static void numbers_in_one_field_are_read_as_far_as_there_is_room(void **unused)
{
    static const apr_uint64_t values[] = {3, 0, APR_UINT64_MAX, 128};
    unsigned char memory[64];
    apipool_record_writer_t writer;
    apr_uint64_t read[6];
    apr_size_t count;

    begin(&writer, memory, sizeof(memory));
    apipool_record_put_u64s(&writer, 8, values, COUNT(values));
    apipool_record_field_t field = only_field(&writer);
    for (size_t room = 0; room <= COUNT(read); room++) {
        memset(read, 0xee, sizeof(read));
        assert_true(apipool_record_u64s(&field, room ? read : NULL, room, &count));
        assert_int_equal(count, COUNT(values));
        for (size_t i = 0; i < COUNT(read); i++) {
            apr_uint64_t wanted =
                i < room && i < count ? values[i] : APR_UINT64_C(0xeeeeeeeeeeeeeeee);
            assert_true(read[i] == wanted);
        }
    }
}

static void no_numbers_are_numbers_too(void **unused)
{
    unsigned char memory[64];
    apipool_record_writer_t writer;
    apr_uint64_t read[2];
    apr_size_t count = 1;

    begin(&writer, memory, sizeof(memory));
    apipool_record_put_u64s(&writer, 8, NULL, 0);
    apipool_record_field_t field = only_field(&writer);
    assert_true(apipool_record_u64s(&field, read, COUNT(read), &count));
    assert_int_equal(count, 0);
}

static void fields_that_hold_no_numbers_are_refused(void **unused)
{
    static const struct {
        const char *name, *bytes;
        size_t len;
    } rows[] = {
        {"without an end", BYTES("\1\x12\2\1\x80")},
        {"longer than needed", BYTES("\1\x12\2\x81\0")},
        {"a number", BYTES("\1\x04\1")},
        {"a real number", BYTES("\1\x0d\0\0\0\0\0\0\xf8\xbf")},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        apipool_record_reader_t reader;
        apipool_record_field_t field;
        apr_uint64_t read[4];
        apr_size_t count = 1;
        assert_true(apipool_record_open(&reader, rows[i].bytes, rows[i].len));
        assert_true(apipool_record_next(&reader, &field));
        if (apipool_record_u64s(&field, read, COUNT(read), &count) || count) {
            fail_msg("%s: read", rows[i].name);
        }
    }
}

/* One member of each form, and a row of members that are not adjacent. */
typedef struct {
    apr_uint16_t small[2];
    apr_uint32_t first, between, last[2];
    apr_uint64_t large;
    unsigned char tiny, digest[4];
    char text[6];
    apr_int64_t time;
    double real, average;
    apipool_record_field_t rest;
} sample_t;

#define MEMBER(tag, as, member, type) APIPOOL_RECORD_MEMBER(tag, as, sample_t, member, type)
static const apipool_record_member_t members[] = {
    MEMBER(1, APIPOOL_AS_NUMBER, large, apr_uint64_t),
    MEMBER(2, APIPOOL_AS_NUMBER, tiny, unsigned char),
    MEMBER(3, APIPOOL_AS_SIGNED, time, apr_int64_t),
    MEMBER(4, APIPOOL_AS_REAL, real, double),
    MEMBER(5, APIPOOL_AS_TEXT, text, char),
    MEMBER(6, APIPOOL_AS_BYTES, digest, unsigned char),
    MEMBER(7, APIPOOL_AS_FIELD, rest, apipool_record_field_t),
    MEMBER(8, APIPOOL_AS_ROW, first, apr_uint32_t),
    MEMBER(8, APIPOOL_AS_ROW, last, apr_uint32_t),
    MEMBER(8, APIPOOL_AS_ROW, small, apr_uint16_t),
    MEMBER(8, APIPOOL_AS_ROW, average, double),
    {0}};

static const sample_t sample = {.small = {1, 65535},
                                .first = 2,
                                .last = {3, UINT32_MAX},
                                .large = UINT64_MAX,
                                .tiny = 200,
                                .digest = {0xde, 0xad, 0, 0xff},
                                .text = "label",
                                .time = -5,
                                .real = -1.5,
                                .average = 0.0625,
                                .rest = {.bytes = (const unsigned char *)"sealed", .len = 6}};

static void members_come_back_as_they_were(void **unused)
{
    unsigned char memory[200];
    apipool_record_writer_t writer;
    sample_t read = {.between = 77};
    begin(&writer, memory, sizeof(memory));
    apipool_record_put_members(&writer, members, &sample);
    assert_true(apipool_record_read_members(memory, writer.used, members, &read));
    assert_memory_equal(read.small, sample.small, sizeof(read.small));
    assert_memory_equal(read.last, sample.last, sizeof(read.last));
    assert_memory_equal(read.digest, sample.digest, sizeof(read.digest));
    assert_string_equal(read.text, "label");
    assert_true(read.first == 2 && read.between == 77 && read.large == UINT64_MAX);
    assert_true(read.tiny == 200 && read.time == -5 && read.real == -1.5 && read.average == 0.0625);
    assert_int_equal(read.rest.len, 6);
    assert_memory_equal(read.rest.bytes, "sealed", 6);
    assert_false(apipool_record_read_members(memory, writer.used - 1, members, &read));
}

static void a_row_of_members_has_the_order_of_the_table(void **unused)
{
    unsigned char memory[200];
    apipool_record_writer_t writer;
    apr_uint64_t row[6], average;
    apr_size_t count;
    begin(&writer, memory, sizeof(memory));
    apipool_record_put_members(&writer, members + 7, &sample);
    apipool_record_field_t field = only_field(&writer);
    assert_true(apipool_record_u64s(&field, row, COUNT(row), &count));
    assert_int_equal(count, 6);
    memcpy(&average, &sample.average, sizeof(average));
    const apr_uint64_t wanted[] = {2, 3, UINT32_MAX, 1, 65535, average};
    assert_memory_equal(row, wanted, sizeof(wanted));
}

static void what_a_member_cannot_hold_is_cut_and_what_is_not_there_stays(void **unused)
{
    static const apr_uint64_t row[] = {APR_UINT64_C(1) << 32, 9, 9, 70000};
    unsigned char memory[200];
    apipool_record_writer_t writer;
    sample_t read = sample;
    begin(&writer, memory, sizeof(memory));
    apipool_record_put_text(&writer, 1, "no number");
    apipool_record_put_u64(&writer, 2, 1000);
    apipool_record_put_u64(&writer, 4, 1);
    apipool_record_put_text(&writer, 5, "longer than that");
    apipool_record_put_u64s(&writer, 8, row, COUNT(row));
    apipool_record_put_u64(&writer, 9, 1); /* of a later version */
    assert_true(apipool_record_read_members(memory, writer.used, members, &read));
    assert_true(read.large == UINT64_MAX && read.time == -5 && read.real == -1.5);
    assert_int_equal(read.tiny, 255);
    assert_string_equal(read.text, "longe");
    assert_true(read.first == UINT32_MAX && read.last[1] == 9 && read.small[0] == 65535);
    assert_true(read.small[1] == 0 && read.average == 0); /* the row was shorter */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_a_record_stay_what_they_are),
        cmocka_unit_test(numbers_are_read_as_they_were_put),
        cmocka_unit_test(real_numbers_keep_every_bit),
        cmocka_unit_test(bytes_are_read_as_they_were_put),
        cmocka_unit_test(every_tag_can_be_used_and_fields_come_in_order),
        cmocka_unit_test(older_and_newer_records_can_be_read),
        cmocka_unit_test(a_record_cut_anywhere_gives_its_first_fields),
        cmocka_unit_test(what_is_malformed_is_told_and_what_was_before_it_read),
        cmocka_unit_test(no_memory_is_no_record),
        cmocka_unit_test(what_does_not_fit_is_told_with_the_size_that_does),
        cmocka_unit_test(sizes_beyond_all_memory_do_not_wrap),
        cmocka_unit_test(numbers_in_one_field_are_read_as_far_as_there_is_room),
        cmocka_unit_test(no_numbers_are_numbers_too),
        cmocka_unit_test(fields_that_hold_no_numbers_are_refused),
        cmocka_unit_test(members_come_back_as_they_were),
        cmocka_unit_test(a_row_of_members_has_the_order_of_the_table),
        cmocka_unit_test(what_a_member_cannot_hold_is_cut_and_what_is_not_there_stays),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
