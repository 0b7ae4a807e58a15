/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: foreign bytes as an archive, as what somebody who knows the passphrase has put into one, and as the
 * lines inside; the first byte says which. */
#include <apr_strings.h>
#include <openssl/evp.h>
#include <string.h>

#include "archive.h"
#include "archive_entry.h"
#include "fuzz.h"

#define PASSPHRASE "correct horse battery", 21
#define SUM        32
#define AT_COST    9

static const apipool_archive_cost_t cheap = {4, 2, 3};

static apipool_archive_e open_it(const uint8_t *data, size_t size, apr_pool_t *p, char **text,
                                 apr_size_t *len)
{
    *text = NULL;
    *len = 0;
    apipool_archive_e result = apipool_archive_open(data, size, PASSPHRASE, p, text, len);
    MUST((result == APIPOOL_ARCHIVE_GOOD) == (*text != NULL));
    MUST((result == APIPOOL_ARCHIVE_GOOD) == (apipool_archive_explain(result) == NULL));
    return result;
}

/* An entry that was read is written and read again as the same. */
static void read_line(const char *line, apr_size_t len, apr_pool_t *p)
{
    static char first[APIPOOL_ARCHIVE_LINE_MAX], second[APIPOOL_ARCHIVE_LINE_MAX];
    apipool_archive_entry_t entry, again;
    if (!apipool_archive_entry_read(line, len, p, &entry)) {
        return;
    }
    apr_size_t written = apipool_archive_entry_write(&entry, first);
    if (written) { /* else escapes made it too long */
        MUST(apipool_archive_entry_read(first, written - 1, p, &again));
        MUST(apipool_archive_entry_write(&again, second) == written);
        MUST(!memcmp(first, second, written));
    }
}

static void read_lines(const char *text, apr_size_t len, apr_pool_t *p)
{
    while (len) {
        const char *end = memchr(text, '\n', len);
        apr_size_t one = end ? (apr_size_t)(end - text) : len;
        read_line(text, one, p);
        one += end != NULL;
        text += one;
        len -= one;
    }
}

/* With its checksum in order, and a cheap one, so that the rest is reached. */
static void open_forged(const uint8_t *data, size_t size, apr_pool_t *p)
{
    uint8_t *copy = apr_pmemdup(p, data, size);
    char *text;
    apr_size_t len;
    if (size < APIPOOL_ARCHIVE_OVERHEAD) {
        return;
    }
    copy[AT_COST] = copy[AT_COST] < 8 || copy[AT_COST] > 18 ? copy[AT_COST] : 8;
    copy[AT_COST + 1] = copy[AT_COST + 1] < 8 ? copy[AT_COST + 1] : 255;
    copy[AT_COST + 2] %= 4;
    MUST(EVP_Digest(copy, size - SUM, copy + size - SUM, NULL, EVP_sha256(), NULL) == 1);
    if (open_it(copy, size, p, &text, &len) == APIPOOL_ARCHIVE_GOOD) {
        read_lines(text, len, p);
    }
}

static void seal_and_open(const uint8_t *data, size_t size, apr_pool_t *p)
{
    const unsigned char *archive;
    apr_size_t len, text_len;
    char *text;
    apipool_archive_writer_t *writer = apipool_archive_begin(cheap, PASSPHRASE, p);
    MUST(writer && apipool_archive_add(writer, data, size) &&
         apipool_archive_end(writer, &archive, &len));
    MUST(open_it(archive, len, p, &text, &text_len) == APIPOOL_ARCHIVE_GOOD);
    MUST(text_len == size && !memcmp(text, data, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;
    apr_size_t len;
    if (size == 0) {
        return 0;
    }
    apr_pool_t *p = fuzz_pool();
    switch (data[0] % 4) {
    case 0:
        open_it(data + 1, size - 1, p, &text, &len);
        break;
    case 1:
        open_forged(data + 1, size - 1, p);
        break;
    case 2:
        seal_and_open(data + 1, size - 1, p);
        break;
    default:
        read_lines((const char *)data + 1, size - 1, p);
    }
    apr_pool_destroy(p);
    return 0;
}
