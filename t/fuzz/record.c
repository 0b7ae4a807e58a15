/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: foreign bytes as a record; what was read is written again and must be the same bytes. */
#include <string.h>

#include "fuzz.h"
#include "record.h"

/* Values of another type than the field's are empty. */
static void check_field(const apipool_record_field_t *field, const uint8_t *data, size_t size)
{
    static const double zero;
    MUST(field->tag > 0);
    MUST(field->type == APIPOOL_RECORD_NUMBER || field->number == 0);
    MUST(field->type == APIPOOL_RECORD_REAL || !memcmp(&field->real, &zero, sizeof(zero)));
    if (field->type == APIPOOL_RECORD_BYTES) {
        MUST(field->bytes > data && field->len <= size);
        MUST(field->bytes + field->len <= data + size);
    }
    else {
        MUST(!field->bytes && !field->len);
    }
}

/* Numbers in the bytes are written and read again. */
static int write_numbers(const apipool_record_field_t *field, apipool_record_writer_t *writer)
{
    apr_size_t count, again;
    if (!apipool_record_u64s(field, NULL, 0, &count)) {
        MUST(count == 0);
        return 0;
    }
    MUST(count <= field->len);
    apr_uint64_t *values = malloc((count ? count : 1) * sizeof(*values));
    MUST(values);
    MUST(apipool_record_u64s(field, values, count, &again) && again == count);
    apipool_record_put_u64s(writer, field->tag, values, count);
    free(values);
    return 1;
}

static void write_field(const apipool_record_field_t *field, apipool_record_writer_t *writer)
{
    switch (field->type) {
    case APIPOOL_RECORD_NUMBER:
        if (field->number & 1) {
            apipool_record_put_i64(writer, field->tag, apipool_record_i64(field));
        }
        else {
            apipool_record_put_u64(writer, field->tag, field->number);
        }
        break;
    case APIPOOL_RECORD_REAL:
        apipool_record_put_double(writer, field->tag, field->real);
        break;
    case APIPOOL_RECORD_BYTES:
        if (!write_numbers(field, writer)) {
            apipool_record_put_bytes(writer, field->tag, field->bytes, field->len);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apipool_record_reader_t reader;
    apipool_record_writer_t writer;
    apipool_record_field_t field;
    apr_size_t len;
    uint8_t *again = malloc(size ? size : 1);

    MUST(again);
    MUST(apipool_record_open(&reader, data, size) == (size && data[0] == APIPOOL_RECORD_VERSION));
    apipool_record_begin(&writer, again, size);
    size_t read = size ? 1 : 0;
    while (apipool_record_next(&reader, &field)) {
        check_field(&field, data, size);
        write_field(&field, &writer);
        MUST(apipool_record_end(&writer, &len) && len > read && len <= size);
        MUST(!memcmp(again, data, len));
        read = len;
    }
    MUST(!apipool_record_next(&reader, &field));
    MUST(!apipool_record_is_whole(&reader) || read == size);
    free(again);
    return 0;
}
