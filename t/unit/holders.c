/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/folder: one server per store at a time, and leftovers of killed writers. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/wait.h>

#include "folder_fixture.h"

#define ROUNDS 50

/* Sends one number to the other process, or waits for one: 0 when none will come. */
static void tell(int pipe_end, int number)
{
    if (write(pipe_end, &number, sizeof(number)) != sizeof(number)) {
        _exit(2);
    }
}

static int hear(int pipe_end)
{
    int number;
    return read(pipe_end, &number, sizeof(number)) == sizeof(number) ? number : 0;
}

static void kill_and_wait(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* A killed server: its child still has the store, and lives for a while. */
static pid_t leave_a_child(const char *name, int pipe_end, unsigned microseconds)
{
    pid_t server = fork();
    if (server == 0) {
        store_t store;
        if (try_open(&store, name, "gdbm", geteuid()) != APR_SUCCESS) {
            _exit(1);
        }
        pid_t child = fork();
        if (child == 0) {
            usleep(microseconds);
            _exit(0);
        }
        tell(pipe_end, (int)child);
        pause();
    }
    return server;
}

static void a_second_server_is_refused_until_all_of_the_first_one_is_gone(void **unused)
{
    int ends[2];
    char holder[32];
    store_t store;
    assert_int_equal(pipe(ends), 0);
    pid_t server = leave_a_child("one", ends[1], 60000000);
    pid_t child = (pid_t)hear(ends[0]);
    assert_true(child > 0);
    kill_and_wait(server);

    assert_int_equal(try_open(&store, "one", "gdbm", geteuid()), APR_EAGAIN);
    snprintf(holder, sizeof(holder), "(process %d)", (int)server);
    assert_non_null(strstr(error, holder));
    assert_non_null(strstr(error, path_of("one")));
    assert_int_equal(kill(child, SIGKILL), 0);
    store = open_store("one", "gdbm");
    close_store(&store);

    server = leave_a_child("one", ends[1], 500000);
    assert_true(hear(ends[0]) > 0);
    kill_and_wait(server);
    store = open_store("one", "gdbm"); /* waits for the dying child */
    close_store(&store);
    close(ends[0]);
    close(ends[1]);
}

static void a_child_that_goes_does_not_take_the_lock_with_it(void **unused)
{
    store_t store = open_store("kept", "gdbm"), second;
    pid_t child = fork();
    if (child == 0) {
        close_store(&store);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(try_open(&second, "kept", "gdbm", geteuid()), APR_EAGAIN);
    close_store(&store);
    store = open_store("kept", "gdbm");
    close_store(&store);
}

/* Returns 1 if another server can open the store. */
static int is_free(const char *name)
{
    int status;
    pid_t other = fork();
    if (other == 0) {
        store_t store;
        if (kept_lock) {
            close(*kept_lock);
            kept_lock = NULL;
        }
        _exit(try_open(&store, name, "gdbm", geteuid()) == APR_SUCCESS ? 0 : 1);
    }
    assert_int_equal(waitpid(other, &status, 0), other);
    return status == 0;
}

static void a_restart_keeps_the_lock_as_long_as_the_folder_is_the_same(void **unused)
{
    int ends[2], lock = -1;
    char byte;
    kept_lock = &lock;
    store_t store = open_store("restarted", "gdbm");
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork(); /* finishes its requests meanwhile */
    if (child == 0) {
        close(ends[1]);
        _exit((int)read(ends[0], &byte, 1));
    }
    close_store(&store);
    assert_false(is_free("restarted"));
    store = open_store("restarted", "gdbm");
    assert_int_equal(write_serial(&store, KEYS, 1), APR_SUCCESS);
    close_store(&store);
    close(ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    store = open_store("elsewhere", "gdbm");
    assert_true(is_free("restarted"));
    assert_false(is_free("elsewhere"));
    close_store(&store);
    close(lock);
    close(ends[0]);
    kept_lock = NULL;
}

static void refused(const char *name, uid_t user, apr_status_t rv, const char *words)
{
    store_t store;
    assert_int_equal(try_open(&store, name, NULL, user), rv);
    assert_non_null(strstr(error, path_of(name)));
    assert_non_null(strstr(error, words));
}

static void a_folder_that_others_may_write_to_is_refused(void **unused)
{
    mkdir(path_of("open"), 0700);
    chmod(path_of("open"), 0702);
    refused("open", geteuid(), APR_EACCES, "chmod go-w");
    chmod(path_of("open"), 01770);
    refused("open", geteuid(), APR_EACCES, "(mode 1770)");
    chmod(path_of("open"), 0755);
    store_t store = open_store("open", NULL);
    close_store(&store);
}

static void what_is_no_folder_and_cannot_be_one_is_refused(void **unused)
{
    put_file(path_of("file"), "x", 1, 0600);
    refused("file", geteuid(), APR_ENOTDIR, "is not a folder");
    refused("file/such", geteuid(), APR_ENOTDIR, "is not a folder");
}

static void a_type_that_is_not_there_is_refused(void **unused)
{
    store_t store;
    assert_int_not_equal(try_open(&store, "types", "nosuch", geteuid()), APR_SUCCESS);
    assert_non_null(strstr(error, "nosuch"));
    assert_false(exists("types"));
}

static void is_owned(const char *name, uid_t user, mode_t mode)
{
    struct stat info;
    assert_int_equal(lstat(strchr(name, '/') ? stored(name) : path_of(name), &info), 0);
    assert_int_equal(info.st_uid, user);
    assert_int_equal(info.st_mode & 07777, mode);
}

/* Only root can give files to other users. */
static void what_is_made_belongs_to_the_run_time_user(void **unused)
{
    store_t store;
    uid_t user = geteuid() == 0 ? 12345 : geteuid();
    const apipool_owner_t owner = {.name = "nobody", .user = user, .group = getegid()};
    apipool_rights_t rights;
    mode_t mask = umask(0);
    reports = 0;
    chmod(scratch, 0755);
    assert_int_equal(try_open(&store, "owned", "gdbm", user), APR_SUCCESS);
    assert_int_equal(apipool_rights_drop(&owner, &rights, pool), APR_SUCCESS);
    assert_int_equal(write_serial(&store, KEYS, 1), APR_SUCCESS);
    apipool_rights_restore(&rights);
    assert_int_equal(geteuid(), getuid());
    umask(mask);
    is_owned("owned", user, 0700);
    is_owned("owned/lock", user, 0600);
    is_owned("owned/CURRENT", user, 0600);
    is_owned("owned/keys-000001.seal", user, 0600);
    is_owned("owned/keys-000001", user, 0600);
    assert_int_equal(reports, 0);
    close_store(&store);
    if (geteuid() == 0) {
        refused("owned", 23456, APR_EACCES, "belongs to another user (uid 12345)");
        mkdir(path_of("roots"), 0755);
        refused("roots", 12345, APR_EACCES, "run chown -R 12345");
    }
}

/* Writes both kinds endlessly, and sends each serial of keys when its commit has returned. */
static void write_on(const char *name, const char *type, int pipe_end)
{
    store_t store;
    if (try_open(&store, name, type, geteuid()) != APR_SUCCESS) {
        _exit(1);
    }
    for (int serial = load_serial(&store, KEYS) + 1;; serial++) {
        if (write_serial(&store, KEYS, serial) != APR_SUCCESS) {
            _exit(1);
        }
        tell(pipe_end, serial);
        if (serial % 3 == 0 && write_serial(&store, STATS, serial) != APR_SUCCESS) {
            _exit(1);
        }
    }
}

/* Loads what was acknowledged last, or the next one, and never a mixture. */
static void a_writer_that_is_killed_loses_nothing(void **unused)
{
    int acknowledged = 0, told = 0,
        longest = 40000; /* microseconds; more if nothing arrives in time */
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2], heard;
        assert_int_equal(pipe(ends), 0);
        pid_t writer = fork();
        if (writer == 0) {
            write_on("written", "gdbm", ends[1]);
        }
        close(ends[1]);
        usleep((useconds_t)(round * 7919 % longest));
        kill_and_wait(writer);
        int before = told;
        while ((heard = hear(ends[0])) != 0) {
            acknowledged = heard;
            told++;
        }
        longest += told == before ? 20000 : 0;
        close(ends[0]);
        store_t store = open_store("written", "gdbm");
        int loaded = load_serial(&store, KEYS);
        assert_in_range(loaded, acknowledged, acknowledged + 1);
        assert_int_equal(reports, 0);
        acknowledged = loaded;
        load_serial(&store, STATS);
        assert_int_equal(reports, 0);
        close_store(&store);
    }
    assert_true(told > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_server_is_refused_until_all_of_the_first_one_is_gone),
        cmocka_unit_test(a_child_that_goes_does_not_take_the_lock_with_it),
        cmocka_unit_test(a_restart_keeps_the_lock_as_long_as_the_folder_is_the_same),
        cmocka_unit_test(a_folder_that_others_may_write_to_is_refused),
        cmocka_unit_test(what_is_no_folder_and_cannot_be_one_is_refused),
        cmocka_unit_test(a_type_that_is_not_there_is_refused),
        cmocka_unit_test(what_is_made_belongs_to_the_run_time_user),
        cmocka_unit_test(a_writer_that_is_killed_loses_nothing),
    };
    apr_initialize();
    apr_pool_create(&pool, NULL);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("holders", tests, make_scratch, remove_scratch);
}
