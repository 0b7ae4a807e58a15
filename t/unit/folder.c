/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/folder: committed generations are loaded, whatever happens to files and
 * writers. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include "folder_fixture.h"

const char *__lsan_default_suppressions(void);

/* libgdbm 1.23 leaks a block of memory when the disk is full at creation. */
const char *__lsan_default_suppressions(void)
{
    return "leak:gdbm_fd_open\n";
}

/* New store with generations 1 and 2, with serials 1 and 2. */
static store_t two_generations(const char *name, const char *type)
{
    store_t store = open_store(name, type);
    assert_int_equal(write_serial(&store, KEYS, 1), APR_SUCCESS);
    assert_int_equal(write_serial(&store, KEYS, 2), APR_SUCCESS);
    return store;
}

static void a_new_store_is_empty_and_what_is_committed_is_loaded(void **unused)
{
    store_t store = open_store("new", "gdbm");
    assert_true(apipool_folder_is_new(store.folder, pool));
    assert_int_equal(load_serial(&store, KEYS), 0);
    for (int serial = 1; serial < 20; serial++) {
        assert_int_equal(write_serial(&store, KEYS, serial), APR_SUCCESS);
        assert_int_equal(write_serial(&store, STATS, serial + 100), APR_SUCCESS);
        assert_int_equal(load_serial(&store, KEYS), serial);
        assert_int_equal(load_serial(&store, STATS), serial + 100);
        assert_int_equal(reports, 0);
    }
    assert_false(apipool_folder_is_new(store.folder, pool));
    close_store(&store);
    store = open_store("new", "gdbm");
    assert_int_equal(load_serial(&store, KEYS), 19);
    assert_int_equal(load_serial(&store, STATS), 119);
    assert_int_equal(write_serial(&store, KEYS, 20), APR_SUCCESS);
    assert_int_equal(load_serial(&store, KEYS), 20);
    close_store(&store);
}

static void one_generation_before_the_current_one_stays(void **unused)
{
    store_t store = open_store("stays", "gdbm");
    for (int serial = 1; serial <= 4; serial++) {
        write_serial(&store, KEYS, serial);
    }
    assert_true(exists("stays/keys-000004.seal") && exists("stays/keys-000004"));
    assert_true(exists("stays/keys-000003.seal") && exists("stays/keys-000003"));
    assert_false(exists("stays/keys-000002.seal") || exists("stays/keys-000002"));
    assert_false(exists("stays/keys-000001"));
    close_store(&store);
}

static void flip(int file, size_t at)
{
    unsigned char byte;
    assert_int_equal(pread(file, &byte, 1, (off_t)at), 1);
    byte ^= (unsigned char)(1 + at % 255);
    assert_int_equal(pwrite(file, &byte, 1, (off_t)at), 1);
}

static void flip_each_byte(store_t *store, const char *name)
{
    int file = open(stored(name), O_RDWR);
    size_t len = (size_t)lseek(file, 0, SEEK_END);
    assert_true(file >= 0 && len > 0);
    for (size_t i = 0; i < len; i++) {
        size_t other = (i + 1 + i % 97) % len;
        flip(file, i);
        assert_int_equal(load_serial(store, KEYS), 1);
        assert_int_equal(reports, 2);
        flip(file, other);
        assert_int_equal(load_serial(store, KEYS), other == i ? 2 : 1);
        flip(file, other);
        flip(file, i);
    }
    close(file);
    assert_int_equal(load_serial(store, KEYS), 2);
    assert_int_equal(reports, 0);
}

static void one_or_two_wrong_bytes_anywhere_are_seen(void **unused)
{
    store_t store = two_generations("flips-g", "gdbm");
    flip_each_byte(&store, "flips-g/keys-000002");
    flip_each_byte(&store, "flips-g/keys-000002.seal");
    close_store(&store);
}

static const char *const gdbm_files[] = {"keys-000002", "keys-000002.seal"};

static void torn_and_missing_files_are_seen(void **unused)
{
    store_t store = two_generations("torn", "gdbm");
    for (int i = 0; i < 2; i++) {
        const char *path = stored(apr_pstrcat(pool, "torn/", gdbm_files[i], NULL));
        size_t len;
        char *bytes = get_file(path, &len);
        const size_t lengths[] = {0, 1, len / 3, len / 2, len - 2, len - 1};
        for (size_t n = 0; n < sizeof(lengths) / sizeof(*lengths); n++) {
            put_file(path, bytes, lengths[n], 0600);
            assert_int_equal(load_serial(&store, KEYS), 1);
            assert_int_equal(reports, 2);
        }
        unlink(path);
        assert_int_equal(load_serial(&store, KEYS), 1);
        put_file(path, bytes, len, 0600);
        assert_int_equal(truncate(path, (off_t)len + 1), 0);
        assert_int_equal(load_serial(&store, KEYS), 1);
        put_file(path, bytes, len, 0600);
        assert_int_equal(load_serial(&store, KEYS), 2);
        free(bytes);
    }
    close_store(&store);
}

static void a_seal_holds_for_its_own_generation(void **unused)
{
    store_t store = two_generations("swapped", "gdbm");
    const char *path = apr_pstrdup(pool, path_of("swapped/keys-000002.seal"));
    size_t len;
    char *bytes = get_file(path_of("swapped/keys-000001.seal"), &len);
    put_file(path, bytes, len, 0600);
    assert_int_equal(load_serial(&store, KEYS), 1);
    assert_int_equal(reports, 2);
    free(bytes);
    close_store(&store);
}

static void with_nothing_whole_the_start_is_refused(void **unused)
{
    store_t store = two_generations("broken", "gdbm");
    assert_int_equal(truncate(stored("broken/keys-000002"), 100), 0);
    assert_int_equal(unlink(stored("broken/keys-000001")), 0);
    load_fails(&store, KEYS, " is not as it was sealed");
    assert_int_equal(reports, 2);
    assert_int_equal(load_serial(&store, STATS), 0);
    for (int i = 0; i < 2; i++) {
        unlink(stored(apr_pstrcat(pool, "broken/", gdbm_files[i], NULL)));
    }
    unlink(path_of("broken/keys-000001.seal"));
    load_fails(&store, KEYS, "it has no seal");
    assert_false(apipool_folder_is_new(store.folder, pool));
    close_store(&store);
}

/* Names without a random part, as in version 0.1.0. */
static void a_store_with_names_that_can_be_guessed_is_read(void **unused)
{
    char text[APIPOOL_SEAL_MAX];
    apipool_seal_t seal;
    size_t len;
    store_t store = two_generations("earlier", "gdbm");
    char *bytes = get_file(path_of("earlier/keys-000002.seal"), &len);
    assert_int_equal(apipool_seal_parse(&seal, mac_key, bytes, len), APIPOOL_SEAL_GOOD);
    free(bytes);
    assert_int_equal(rename(stored("earlier/keys-000002"), path_of("earlier/keys-000002")), 0);
    snprintf(seal.files[0].name, sizeof(seal.files[0].name), "keys-000002");
    put_file(path_of("earlier/keys-000002.seal"), text, apipool_seal_format(&seal, mac_key, text),
             0600);
    assert_int_equal(load_serial(&store, KEYS), 2);
    assert_int_equal(reports, 0);
    assert_int_equal(write_serial(&store, KEYS, 3), APR_SUCCESS);
    assert_int_equal(write_serial(&store, KEYS, 4), APR_SUCCESS);
    assert_int_equal(load_serial(&store, KEYS), 4);
    assert_int_equal(access(path_of("earlier/keys-000002"), F_OK), -1);
    close_store(&store);
}

static void what_another_secret_sealed_is_not_taken(void **unused)
{
    store_t store = two_generations("foreign", "gdbm");
    mac_key[3] ^= 1;
    load_fails(&store, KEYS, "sealed with another secret");
    mac_key[3] ^= 1;
    assert_int_equal(load_serial(&store, KEYS), 2);
    close_store(&store);
}

static void without_a_whole_current_the_newest_whole_generation_is_used(void **unused)
{
    static const char *const texts[] = {"", "apipool-current 1\nkeys 2\n", "\xff\xfe garbage\n"};
    store_t store = two_generations("current", "gdbm");
    const char *path = apr_pstrdup(pool, path_of("current/CURRENT"));

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        put_file(path, texts[i], strlen(texts[i]), 0600);
        assert_int_equal(load_serial(&store, KEYS), 2);
        assert_int_equal(reports, 1);
        assert_non_null(strstr(last_report, "CURRENT is damaged"));
    }
    unlink(path);
    assert_int_equal(load_serial(&store, KEYS), 2);
    assert_int_equal(reports, 1);
    assert_non_null(strstr(last_report, "CURRENT is missing"));
    assert_false(apipool_folder_is_new(store.folder, pool));
    close_store(&store);
    store = open_store("current", NULL);
    assert_false(exists("current/CURRENT"));
    assert_int_equal(truncate(stored("current/keys-000002"), 100), 0);
    assert_int_equal(load_serial(&store, KEYS), 1);
    unlink(path_of("current/keys-000001.seal"));
    unlink(path_of("current/keys-000002.seal"));
    load_fails(&store, KEYS, "CURRENT is missing");
    close_store(&store);
}

static void put_current(const char *name, apr_uint64_t keys, apr_uint64_t stats)
{
    char text[APIPOOL_SEAL_MAX];
    apipool_current_t current = {{keys, stats}};
    put_file(path_of(name), text, apipool_current_format(&current, text), 0600);
}

static void a_current_that_names_what_is_not_there_is_reported(void **unused)
{
    store_t store = two_generations("named", "gdbm");
    put_current("named/CURRENT", 9, 0);
    assert_int_equal(load_serial(&store, KEYS), 2);
    assert_int_equal(reports, 2);
    assert_int_equal(write_serial(&store, KEYS, 3), APR_SUCCESS);
    assert_true(exists("named/keys-000010.seal") && exists("named/keys-000002.seal"));
    assert_int_equal(load_serial(&store, KEYS), 3);
    close_store(&store);
}

static void what_was_never_acknowledged_is_used_only_when_nothing_else_is_whole(void **unused)
{
    store_t store = two_generations("unacknowledged", "gdbm");
    put_current("unacknowledged/CURRENT", 1, 0);
    assert_int_equal(load_serial(&store, KEYS), 1);
    assert_int_equal(reports, 0);
    assert_int_equal(truncate(stored("unacknowledged/keys-000001"), 100), 0);
    assert_int_equal(load_serial(&store, KEYS), 2);
    assert_int_equal(reports, 2);
    assert_int_equal(write_serial(&store, KEYS, 3), APR_SUCCESS);
    assert_true(exists("unacknowledged/keys-000002.seal"));
    assert_false(exists("unacknowledged/keys-000001"));
    close_store(&store);
}

static void what_was_loaded_stays_beside_the_next_generation(void **unused)
{
    store_t store = two_generations("fallback", "gdbm");
    assert_int_equal(truncate(stored("fallback/keys-000002"), 100), 0);
    assert_int_equal(load_serial(&store, KEYS), 1);
    assert_int_equal(write_serial(&store, KEYS, 3), APR_SUCCESS);
    assert_false(exists("fallback/keys-000002"));
    assert_int_equal(truncate(stored("fallback/keys-000003"), 100), 0);
    assert_int_equal(load_serial(&store, KEYS), 1);
    close_store(&store);
}

static void a_commit_beside_a_damaged_current_loses_neither_kind(void **unused)
{
    store_t store = two_generations("guess", "gdbm");
    unlink(path_of("guess/CURRENT"));
    assert_int_equal(write_serial(&store, STATS, 5), APR_SUCCESS);
    assert_int_equal(load_serial(&store, KEYS), 2);
    assert_int_equal(load_serial(&store, STATS), 5);
    assert_int_equal(reports, 0);
    assert_true(exists("guess/keys-000001.seal"));
    close_store(&store);
}

static void what_a_killed_first_writer_left_is_no_data(void **unused)
{
    store_t store = open_store("leftover", "gdbm");
    put_file(path_of("leftover/keys-000001"), "half", 4, 0600);
    put_file(path_of("leftover/keys-000001.seal.new"), "half", 4, 0600);
    assert_int_equal(load_serial(&store, KEYS), 0);
    assert_true(apipool_folder_is_new(store.folder, pool));
    assert_int_equal(write_serial(&store, KEYS, 3), APR_SUCCESS);
    assert_false(exists("leftover/keys-000001") || exists("leftover/keys-000001.seal.new"));
    put_file(path_of("leftover/keys-000007"), "half", 4, 0600);
    put_file(path_of("leftover/CURRENT.new"), "half", 4, 0400);
    assert_int_equal(load_serial(&store, KEYS), 3);
    assert_int_equal(reports, 0);
    assert_int_equal(write_serial(&store, KEYS, 4), APR_SUCCESS);
    assert_false(exists("leftover/keys-000007"));
    assert_true(exists("leftover/keys-000008.seal") && exists("leftover/keys-000002.seal"));
    close_store(&store);
}

static void names_of_other_files_are_left_alone(void **unused)
{
    static const char *const others[] = {"secret",       "keys-",  "keys-x",
                                         "keys-000001x", "keys-0", "keys-99999999999999999999999",
                                         "skeys-000001", "keys"};
    store_t store = open_store("others", "gdbm");
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        put_file(apr_pstrcat(pool, path_of("others"), "/", others[i], NULL), "x", 1, 0600);
    }
    for (int serial = 1; serial < 4; serial++) {
        assert_int_equal(write_serial(&store, KEYS, serial), APR_SUCCESS);
    }
    assert_true(exists("others/keys-000003"));
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        assert_true(exists(apr_pstrcat(pool, "others/", others[i], NULL)));
    }
    close_store(&store);
}

static void a_write_that_fails_leaves_the_old_generation(void **unused)
{
    struct rlimit was, is;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    store_t store = two_generations("full", "gdbm");
    for (rlim_t limit = 0; limit < 4000; limit = limit * 3 + 100) {
        is = was;
        is.rlim_cur = limit;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &is), 0);
        apr_status_t rv = write_serial(&store, KEYS, 3);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        assert_int_equal(rv, APR_FROM_OS_ERROR(EFBIG));
        assert_non_null(strstr(error, "File too large"));
        assert_int_equal(load_serial(&store, KEYS), 2);
        assert_int_equal(reports, 0);
    }
    assert_false(exists("full/keys-000003"));
    assert_int_equal(write_serial(&store, KEYS, 3), APR_SUCCESS);
    assert_int_equal(load_serial(&store, KEYS), 3);
    close_store(&store);
}

static void a_current_that_cannot_be_swapped_leaves_the_old_generation(void **unused)
{
    store_t store = two_generations("unswapped", "gdbm");
    size_t len;
    char *bytes = get_file(path_of("unswapped/CURRENT"), &len);
    unlink(path_of("unswapped/CURRENT"));
    mkdir(path_of("unswapped/CURRENT"), 0700);
    assert_int_not_equal(write_serial(&store, KEYS, 3), APR_SUCCESS);
    assert_non_null(strstr(error, "CURRENT"));
    assert_false(exists("unswapped/keys-000003") || exists("unswapped/keys-000003.seal"));
    rmdir(path_of("unswapped/CURRENT"));
    put_file(path_of("unswapped/CURRENT"), bytes, len, 0600);
    free(bytes);
    assert_int_equal(load_serial(&store, KEYS), 2);
    assert_int_equal(write_serial(&store, KEYS, 3), APR_SUCCESS);
    close_store(&store);
}

/* Root may write anywhere, so it becomes another user for a while. */
static void a_folder_that_is_read_only_leaves_the_old_generation(void **unused)
{
    content_t content = {0};
    apr_uint64_t loaded;
    mkdir(path_of("read-only"), 0700);
    if (getuid() == 0) {
        assert_int_equal(chmod(scratch, 0711), 0);
        assert_int_equal(chown(path_of("read-only"), 12345, getegid()), 0);
        assert_int_equal(seteuid(12345), 0);
    }
    store_t store = two_generations("read-only", "gdbm");
    assert_int_equal(chmod(path_of("read-only"), 0500), 0);
    assert_int_equal(write_serial(&store, KEYS, 3), APR_FROM_OS_ERROR(EACCES));
    assert_int_equal(load_serial(&store, KEYS), 2);
    /* an error that can be repaired does not lead to an older generation */
    assert_int_equal(chmod(stored("read-only/keys-000002"), 0), 0);
    apr_status_t rv =
        apipool_folder_load(store.folder, KEYS, read_record, &content, &loaded, &error, pool);
    assert_int_equal(rv, APR_FROM_OS_ERROR(EACCES));
    assert_int_equal(content.count, 0);
    assert_int_equal(chmod(path_of("read-only"), 0700), 0);
    assert_int_equal(seteuid(getuid()), 0);
    close_store(&store);
}

static void a_key_put_twice_is_no_generation(void **unused)
{
    apipool_generation_t *generation;
    store_t store = two_generations("twice", "gdbm");
    apipool_folder_begin(store.folder, KEYS, &generation, &error, store.pool);
    apipool_generation_put(generation, "key", 3, "value", 5);
    apipool_generation_put(generation, "key", 3, "other", 5);
    assert_int_equal(apipool_generation_commit(generation, &error), APR_EGENERAL);
    assert_non_null(strstr(error, "1 records instead of the 2"));
    assert_int_equal(load_serial(&store, KEYS), 2);
    close_store(&store);
}

static void what_is_aborted_is_gone_and_a_child_aborts_nothing(void **unused)
{
    store_t store = two_generations("aborted", "gdbm");
    for (int how = 0; how < 3; how++) {
        apipool_generation_t *generation;
        apr_pool_t *own;
        int status;
        apr_pool_create(&own, store.pool);
        apipool_folder_begin(store.folder, KEYS, &generation, &error, own);
        apipool_generation_put(generation, "key", 3, "value", 5);
        assert_true(exists("aborted/keys-000003"));
        if (how == 0) {
            apipool_generation_abort(generation);
        }
        else if (how == 1 && fork() == 0) {
            apr_pool_destroy(own);
            _exit(0);
        }
        else if (how == 1) {
            assert_true(wait(&status) > 0);
            assert_true(exists("aborted/keys-000003"));
        }
        apr_pool_destroy(own);
        assert_false(exists("aborted/keys-000003"));
    }
    assert_int_equal(load_serial(&store, KEYS), 2);
    close_store(&store);
}

static apr_status_t stop_at_once(void *ctx, const char *key, apr_size_t key_len, const char *value,
                                 apr_size_t len)
{
    return APR_EINTR;
}

static void whoever_loads_may_stop(void **unused)
{
    apr_uint64_t loaded;
    store_t store = two_generations("stopped", "gdbm");
    assert_int_equal(
        apipool_folder_load(store.folder, KEYS, stop_at_once, NULL, &loaded, &error, pool),
        APR_EINTR);
    assert_null(error);
    assert_int_equal(loaded, 0);
    close_store(&store);
}

static void children_write_on_where_others_left_off(void **unused)
{
    store_t store = two_generations("shared", "gdbm");
    for (int serial = 3; serial < 9; serial++) {
        int status;
        if (serial % 2) {
            assert_int_equal(write_serial(&store, KEYS, serial), APR_SUCCESS);
        }
        else if (fork() == 0) {
            _exit(write_serial(&store, KEYS, serial) == APR_SUCCESS ? 0 : 1);
        }
        else {
            assert_true(wait(&status) > 0);
            assert_int_equal(status, 0);
        }
        assert_int_equal(load_serial(&store, KEYS), serial);
    }
    assert_true(exists("shared/keys-000008") && exists("shared/keys-000007"));
    assert_false(exists("shared/keys-000006"));
    close_store(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_store_is_empty_and_what_is_committed_is_loaded),
        cmocka_unit_test(one_generation_before_the_current_one_stays),
        cmocka_unit_test(one_or_two_wrong_bytes_anywhere_are_seen),
        cmocka_unit_test(torn_and_missing_files_are_seen),
        cmocka_unit_test(a_seal_holds_for_its_own_generation),
        cmocka_unit_test(with_nothing_whole_the_start_is_refused),
        cmocka_unit_test(a_store_with_names_that_can_be_guessed_is_read),
        cmocka_unit_test(what_another_secret_sealed_is_not_taken),
        cmocka_unit_test(without_a_whole_current_the_newest_whole_generation_is_used),
        cmocka_unit_test(a_current_that_names_what_is_not_there_is_reported),
        cmocka_unit_test(what_was_never_acknowledged_is_used_only_when_nothing_else_is_whole),
        cmocka_unit_test(what_was_loaded_stays_beside_the_next_generation),
        cmocka_unit_test(a_commit_beside_a_damaged_current_loses_neither_kind),
        cmocka_unit_test(what_a_killed_first_writer_left_is_no_data),
        cmocka_unit_test(names_of_other_files_are_left_alone),
        cmocka_unit_test(a_write_that_fails_leaves_the_old_generation),
        cmocka_unit_test(a_current_that_cannot_be_swapped_leaves_the_old_generation),
        cmocka_unit_test(a_folder_that_is_read_only_leaves_the_old_generation),
        cmocka_unit_test(a_key_put_twice_is_no_generation),
        cmocka_unit_test(what_is_aborted_is_gone_and_a_child_aborts_nothing),
        cmocka_unit_test(whoever_loads_may_stop),
        cmocka_unit_test(children_write_on_where_others_left_off),
    };
    apr_initialize();
    apr_pool_create(&pool, NULL);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("folder", tests, make_scratch, remove_scratch);
}
