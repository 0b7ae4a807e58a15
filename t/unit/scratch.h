/* SPDX-License-Identifier: Apache-2.0
 * Folder for one test program, removed at its end, and its files by name. */
#ifndef APIPOOL_UNIT_SCRATCH_H
#define APIPOOL_UNIT_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[200];

static inline int make_scratch(void **unused)
{
    const char *under = getenv("TMPDIR");
    snprintf(scratch, sizeof(scratch), "%s/apipool-test.XXXXXX", under && *under ? under : "/tmp");
    return mkdtemp(scratch) ? 0 : -1;
}

static inline int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    return remove(path);
}

static inline void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int remove_scratch(void **unused)
{
    remove_tree(scratch);
    return 0;
}

/* Path of a file in the scratch folder. Valid until the third next call. */
static inline const char *path_of(const char *name)
{
    static char paths[4][400];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", scratch, name);
    return path;
}

static inline void put_file(const char *path, const void *bytes, size_t len, mode_t mode)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, len), len);
    assert_int_equal(fchmod(file, mode), 0);
    close(file);
}

/* Content of a file, in memory that the caller frees. */
static inline char *get_file(const char *path, size_t *len)
{
    struct stat info;
    int file = open(path, O_RDONLY);
    assert_true(file >= 0);
    assert_int_equal(fstat(file, &info), 0);
    *len = (size_t)info.st_size;
    char *bytes = malloc(*len + 1);
    assert_non_null(bytes);
    assert_int_equal(read(file, bytes, *len), *len);
    close(file);
    return bytes;
}

#endif
