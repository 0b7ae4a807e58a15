/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/secret: created once, always readable, refused if unsafe or invalid. */
#include <setjmp.h>
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
#include <dirent.h>
#include <sys/wait.h>

#include "scratch.h"
#include "secret.h"

static apr_pool_t *pool;
static unsigned char secret[APIPOOL_SECRET_SIZE];
static const char *error;

static apr_status_t read_secret(const char *path, int may_make)
{
    memset(secret, 'x', sizeof(secret));
    return apipool_secret_read(path, may_make, secret, &error, pool);
}

/* Is refused, with a sentence that contains the path and certain words, and without a secret. */
static void is_refused(const char *path, apr_status_t rv, const char *words)
{
    static const unsigned char none[APIPOOL_SECRET_SIZE];
    assert_int_equal(read_secret(path, 0), rv);
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, words));
    assert_memory_equal(secret, none, sizeof(none));
    assert_int_equal(read_secret(path, 1), rv);
}

static int count_files(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count - 2;
}

static void a_missing_secret_is_made_once_if_it_may_be(void **unused)
{
    unsigned char first[APIPOOL_SECRET_SIZE];
    struct stat info;
    mkdir(path_of("new"), 0700);
    const char *path = apr_pstrdup(pool, path_of("new/secret"));
    mode_t mask = umask(0);

    assert_int_equal(read_secret(path, 0), APR_ENOENT);
    assert_non_null(strstr(error, path));
    assert_int_equal(read_secret(path, 1), APR_SUCCESS);
    umask(mask);
    assert_null(error);
    memcpy(first, secret, sizeof(first));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(info.st_size, APIPOOL_SECRET_SIZE);
    assert_int_equal(read_secret(path, 1), APR_SUCCESS);
    assert_memory_equal(secret, first, sizeof(first));
    assert_int_equal(count_files(path_of("new")), 1);
    assert_int_equal(read_secret(path_of("other"), 1), APR_SUCCESS);
    assert_memory_not_equal(secret, first, sizeof(first));
}

static void those_who_make_it_at_once_get_the_same(void **unused)
{
    unsigned char got[8][APIPOOL_SECRET_SIZE];
    const char *path = apr_pstrdup(pool, path_of("raced"));
    int results[2];

    assert_int_equal(pipe(results), 0);
    for (int i = 0; i < 8; i++) {
        if (fork() == 0) {
            apr_status_t rv = read_secret(path, 1);
            _exit(rv == APR_SUCCESS && write(results[1], secret, 32) == 32 ? 0 : 1);
        }
    }
    for (int i = 0; i < 8; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
        assert_int_equal(read(results[0], got[i], 32), 32);
        assert_memory_equal(got[i], got[0], 32);
    }
    close(results[0]);
    close(results[1]);
}

static void others_may_not_use_it_in_any_way(void **unused)
{
    const char *path = apr_pstrdup(pool, path_of("open"));
    for (mode_t bit = 1; bit <= 040; bit <<= 1) {
        put_file(path, secret, APIPOOL_SECRET_SIZE, 0600 | bit);
        is_refused(path, APR_EACCES, "chmod 600");
    }
    put_file(path, secret, APIPOOL_SECRET_SIZE, 0644);
    is_refused(path, APR_EACCES, "readable by others (mode 0644)");
    put_file(path, secret, APIPOOL_SECRET_SIZE, 0400);
    assert_int_equal(read_secret(path, 0), APR_SUCCESS);
}

static void other_users_may_not_own_it(void **unused)
{
    const char *path = apr_pstrdup(pool, path_of("theirs"));
    if (geteuid() != 0) {
        return; /* only root can give files to other users */
    }
    put_file(path, secret, APIPOOL_SECRET_SIZE, 0600);
    assert_int_equal(chown(path, 12345, 0), 0);
    is_refused(path, APR_EACCES, "uid 12345");
}

static void another_size_is_refused(void **unused)
{
    static const unsigned char bytes[64] = "something";
    const char *path = apr_pstrdup(pool, path_of("sized"));
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        if (size != APIPOOL_SECRET_SIZE) {
            put_file(path, bytes, size, 0600);
            is_refused(path, APR_EINVAL, "32 bytes");
        }
    }
    put_file(path, bytes, APIPOOL_SECRET_SIZE, 0600);
    assert_int_equal(read_secret(path, 0), APR_SUCCESS);
    assert_memory_equal(secret, bytes, APIPOOL_SECRET_SIZE);
}

static void what_is_no_file_is_refused_at_once(void **unused)
{
    const char *path = apr_pstrdup(pool, path_of("pipe"));
    assert_int_equal(mkfifo(path, 0600), 0);
    is_refused(path, APR_EINVAL, "is not a file");
    path = apr_pstrdup(pool, path_of("folder"));
    assert_int_equal(mkdir(path, 0700), 0);
    is_refused(path, APR_EINVAL, "is not a file");
    path = apr_pstrdup(pool, path_of("link"));
    assert_int_equal(symlink("nothing", path), 0);
    is_refused(path, APR_EINVAL, "is a symbolic link");
    put_file(path_of("target"), "0123456789abcdef0123456789abcdef", APIPOOL_SECRET_SIZE, 0600);
    path = apr_pstrdup(pool, path_of("link-to-a-file"));
    assert_int_equal(symlink("target", path), 0);
    is_refused(path, APR_EINVAL, "is a symbolic link");
    is_refused(apr_pstrdup(pool, path_of("sized/secret")), APR_ENOTDIR, "cannot be");
}

static void its_folder_is_made_with_it(void **unused)
{
    struct stat info;
    assert_int_equal(read_secret(path_of("etc/apipool/secret"), 0), APR_ENOENT);
    assert_int_not_equal(stat(path_of("etc"), &info), 0);
    assert_int_equal(read_secret(path_of("etc/apipool/secret"), 1), APR_SUCCESS);
    assert_int_equal(stat(path_of("etc/apipool"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0755);
}

static void root_takes_none_from_a_folder_that_others_can_write_to(void **unused)
{
    static const mode_t modes[] = {0775, 0757, 01777};
    if (geteuid() != 0) {
        return; /* other users trust their folders */
    }
    assert_int_equal(mkdir(path_of("shared"), 0755), 0);
    const char *path = apr_pstrdup(pool, path_of("shared/secret"));
    put_file(path, secret, APIPOOL_SECRET_SIZE, 0600);
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        assert_int_equal(chmod(path_of("shared"), modes[i]), 0);
        is_refused(path, APR_EACCES, "not root's alone");
    }
    assert_int_equal(chmod(path_of("shared"), 0755), 0);
    assert_int_equal(read_secret(path, 0), APR_SUCCESS);
    assert_int_equal(chown(path_of("shared"), 12345, 0), 0);
    is_refused(path, APR_EACCES, "not root's alone");
}

static void a_new_one_takes_its_place(void **unused)
{
    const char *path = apr_pstrdup(pool, path_of("replaced"));
    assert_int_equal(apipool_secret_replace(path, &error, pool), APR_ENOENT);
    assert_non_null(strstr(error, path));
    assert_int_equal(apipool_secret_put(path,
                                        (const unsigned char *)"0123456789abcdef0123456789abcdef",
                                        &error, pool),
                     APR_SUCCESS);
    put_file(apipool_secret_next(path, pool), "fedcba98765432100123456789abcdef", 32, 0600);
    assert_int_equal(apipool_secret_replace(path, &error, pool), APR_SUCCESS);
    assert_int_equal(read_secret(path, 0), APR_SUCCESS);
    assert_memory_equal(secret, "fedcba98", 8);
    assert_int_equal(access(apipool_secret_next(path, pool), F_OK), -1);
}

static void a_secret_that_cannot_be_made_is_an_error(void **unused)
{
    assert_int_not_equal(read_secret(path_of("target/secret"), 1), APR_SUCCESS);
    assert_non_null(strstr(error, "cannot be made"));
    if (geteuid() == 0) {
        return; /* root may write anywhere */
    }
    assert_int_equal(mkdir(path_of("locked"), 0500), 0);
    assert_int_equal(read_secret(path_of("locked/secret"), 1), APR_EACCES);
    assert_non_null(strstr(error, "cannot be made"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_secret_is_made_once_if_it_may_be),
        cmocka_unit_test(those_who_make_it_at_once_get_the_same),
        cmocka_unit_test(others_may_not_use_it_in_any_way),
        cmocka_unit_test(other_users_may_not_own_it),
        cmocka_unit_test(another_size_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused_at_once),
        cmocka_unit_test(its_folder_is_made_with_it),
        cmocka_unit_test(root_takes_none_from_a_folder_that_others_can_write_to),
        cmocka_unit_test(a_new_one_takes_its_place),
        cmocka_unit_test(a_secret_that_cannot_be_made_is_an_error),
    };
    apr_initialize();
    apr_pool_create(&pool, NULL);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("secret", tests, make_scratch, remove_scratch);
}
