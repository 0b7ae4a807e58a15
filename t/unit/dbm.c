/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/dbm: every record comes out once, with any type and size. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <sys/resource.h>

#include "dbm.h"
#include "scratch.h"

#define MANY 10000

static apr_pool_t *pool;
static const char *error;
#define TYPE "gdbm"

typedef struct {
    unsigned char seen[MANY];
    apr_size_t size; /* of values; 0: depends on the record */
    int stop_after;
    int count;
} check_t;

static apr_size_t size_of(const check_t *check, int record)
{
    static const apr_size_t sizes[] = {0,   1,   199,  200,  201,  399,  400,   401,  600,
                                       996, 997, 1008, 1009, 2000, 8192, 65535, 65536};
    return check->size ? check->size : sizes[(size_t)record % (sizeof(sizes) / sizeof(*sizes))];
}

/* Different at each position and in each record. */
static void fill_value(char *value, int record, apr_size_t len)
{
    for (apr_size_t i = 0; i < len; i++) {
        value[i] = (char)((unsigned)record * 31 + i * 7 + i / 200);
    }
}

/* Hex digits, like ids, which sdbm distributes unevenly; some keys continue with arbitrary bytes
 * up to the maximum. */
static apr_size_t make_key(char *key, int record)
{
    memset(key, record % 7 ? 0 : 255, APIPOOL_DBM_KEY_MAX);
    apr_snprintf(key, 17, "%016x", (unsigned)record * 2654435761u);
    return record % 199 == 3 ? APIPOOL_DBM_KEY_MAX : 16;
}

static int record_of(const char *key)
{
    char digits[17];
    apr_cpystrn(digits, key, sizeof(digits));
    return (int)((unsigned)strtoul(digits, NULL, 16) * 244002641u); /* multiplied with the other
                                                                     * constant: 1 */
}

static apipool_dbm_t *begin(const char *type, const char *path, apr_pool_t *p)
{
    apipool_dbm_t *dbm;
    assert_int_equal(apipool_dbm_begin(&dbm, type, path, &error, p), APR_SUCCESS);
    return dbm;
}

static void write_records(const char *type, const char *path, int count, const check_t *check)
{
    static char value[APIPOOL_DBM_VALUE_MAX];
    char key[APIPOOL_DBM_KEY_MAX];
    apipool_dbm_t *dbm = begin(type, path, pool);

    for (int record = 0; record < count; record++) {
        apr_size_t len = size_of(check, record);
        fill_value(value, record, len);
        assert_int_equal(apipool_dbm_put(dbm, key, make_key(key, record), value, len), APR_SUCCESS);
    }
    assert_int_equal(apipool_dbm_finish(dbm, &error), APR_SUCCESS);
    assert_null(error);
    apipool_dbm_abandon(dbm);
}

static apr_status_t check_record(void *ctx, const char *key, apr_size_t key_len, const char *value,
                                 apr_size_t len)
{
    static char expected[APIPOOL_DBM_VALUE_MAX];
    char name[APIPOOL_DBM_KEY_MAX];
    check_t *check = ctx;
    int record = record_of(key);
    assert_in_range(record, 0, MANY - 1);
    assert_int_equal(key_len, make_key(name, record));
    assert_memory_equal(key, name, key_len);
    assert_int_equal(len, size_of(check, record));
    fill_value(expected, record, len);
    assert_true(len == 0 || memcmp(value, expected, len) == 0);
    assert_int_equal(check->seen[record]++, 0);
    return ++check->count == check->stop_after ? APR_EINTR : APR_SUCCESS;
}

static apr_status_t read_records(const char *type, const char *path, check_t *check)
{
    apr_uint64_t records;
    memset(check->seen, 0, sizeof(check->seen));
    check->count = 0;
    apr_status_t rv = apipool_dbm_read(type, path, check_record, check, &records, &error, pool);
    assert_int_equal(records, check->count);
    return rv;
}

static void records_of_any_size_come_out_once(void **unused)
{
    static check_t check;
    const char *path = apr_pstrdup(pool, path_of(TYPE));
    check.size = 0;
    for (int count = 0; count < 200; count = count * 2 + 1) {
        write_records(TYPE, path, count, &check);
        assert_int_equal(read_records(TYPE, path, &check), APR_SUCCESS);
        assert_int_equal(check.count, count);
    }
}

static void many_records_come_out_once(void **unused)
{
    static check_t check;
    check.size = 600;
    const char *path = apr_pstrdup(pool, path_of(TYPE));
    write_records(TYPE, path, MANY, &check);
    assert_int_equal(read_records(TYPE, path, &check), APR_SUCCESS);
    assert_int_equal(check.count, MANY);
}

static void whoever_reads_may_stop(void **unused)
{
    static check_t check;
    const char *path = apr_pstrdup(pool, path_of(TYPE));
    check.stop_after = 0;
    write_records(TYPE, path, 100, &check);
    for (check.stop_after = 1; check.stop_after < 100; check.stop_after *= 3) {
        assert_int_equal(read_records(TYPE, path, &check), APR_EINTR);
        assert_int_equal(check.count, check.stop_after);
        assert_null(error);
    }
}

static void keys_and_values_have_limits_and_a_failure_lasts(void **unused)
{
    static char bytes[APIPOOL_DBM_VALUE_MAX + 1];
    static const struct {
        apr_size_t key_len, len;
    } cases[] = {{0, 1}, {APIPOOL_DBM_KEY_MAX + 1, 1}, {1, APIPOOL_DBM_VALUE_MAX + 1}};
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        apipool_dbm_t *dbm = begin(TYPE, path_of("limits"), pool);
        assert_int_equal(apipool_dbm_put(dbm, bytes, cases[c].key_len, bytes, cases[c].len),
                         APR_EINVAL);
        assert_int_equal(apipool_dbm_put(dbm, "key", 3, "value", 5), APR_EINVAL);
        assert_int_equal(apipool_dbm_finish(dbm, &error), APR_EINVAL);
        assert_non_null(strstr(error, "takes no record"));
    }
}

static void its_files_are_named_and_only_for_their_owner(void **unused)
{
    const char *files[APIPOOL_DBM_FILES];
    mode_t mask = umask(0);
    apipool_dbm_t *dbm = begin(TYPE, apr_pstrdup(pool, path_of("named")), pool);
    int count = apipool_dbm_files(TYPE, path_of("named"), files, pool);
    assert_int_equal(count, 1);
    apipool_dbm_abandon(dbm);
    for (int f = 0; f < count; f++) {
        struct stat info;
        assert_int_equal(stat(files[f], &info), 0);
        assert_int_equal(info.st_mode & 07777, 0600);
    }
    umask(mask);
    assert_int_equal(apipool_dbm_files("nosuch", "/", files, pool), 0);
}

static void a_type_is_chosen_that_is_there(void **unused)
{
    static const char *const small[] = {"sdbm", "ndbm", "default"};
    const char *type;
    error = NULL;
    assert_int_equal(apipool_dbm_choose("gdbm", &type, &error, pool), APR_SUCCESS);
    assert_string_equal(type, "gdbm");
    assert_int_equal(apipool_dbm_choose(NULL, &type, &error, pool), APR_SUCCESS);
    assert_string_equal(type, "gdbm");
    for (size_t i = 0; i < sizeof(small) / sizeof(*small); i++) {
        assert_int_equal(apipool_dbm_choose(small[i], &type, &error, pool), APR_ENOTIMPL);
        assert_non_null(strstr(error, small[i]));
    }
    assert_int_not_equal(apipool_dbm_choose("nosuch", &type, &error, pool), APR_SUCCESS);
    assert_non_null(strstr(error, "nosuch"));
}

static void what_cannot_be_made_or_opened_says_why(void **unused)
{
    static check_t check;
    apipool_dbm_t *dbm;
    assert_int_equal(apipool_dbm_begin(&dbm, TYPE, path_of("no/such/folder"), &error, pool),
                     APR_ENOENT);
    assert_non_null(strstr(error, "no/such/folder"));
    assert_int_equal(read_records(TYPE, path_of("nothing"), &check), APR_ENOENT);
    assert_non_null(strstr(error, "nothing cannot be opened"));
}

/* Makes write() fail in the middle of a record, like a full disk. */
static void a_failing_write_is_an_error(void **unused)
{
    static char value[600];
    struct rlimit was, is;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    is = was;
    is.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &is), 0);
    apr_status_t rv = APR_SUCCESS;
    apipool_dbm_t *dbm = begin(TYPE, path_of("full"), pool);
    for (int record = 0; rv == APR_SUCCESS && record < 1000; record++) {
        rv = apipool_dbm_put(dbm, (char *)&record, sizeof(record), value, sizeof(value));
    }
    assert_int_equal(rv, APR_FROM_OS_ERROR(EFBIG));
    assert_int_equal(apipool_dbm_finish(dbm, &error), rv);
    assert_non_null(strstr(error, "cannot be written: File too large"));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_any_size_come_out_once),
        cmocka_unit_test(many_records_come_out_once),
        cmocka_unit_test(whoever_reads_may_stop),
        cmocka_unit_test(keys_and_values_have_limits_and_a_failure_lasts),
        cmocka_unit_test(its_files_are_named_and_only_for_their_owner),
        cmocka_unit_test(a_type_is_chosen_that_is_there),
        cmocka_unit_test(what_cannot_be_made_or_opened_says_why),
        cmocka_unit_test(a_failing_write_is_an_error),
    };
    apr_initialize();
    apr_pool_create(&pool, NULL);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("dbm", tests, make_scratch, remove_scratch);
}
