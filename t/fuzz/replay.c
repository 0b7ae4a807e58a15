/* SPDX-License-Identifier: Apache-2.0
 * Runs a fuzz target over files, so that what a fuzzer found stays tested with any compiler. */
#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned long ran;

/* The input is put into memory of exactly its size, so that a checker sees every step beyond it. */
static int run_file(const char *path, size_t size)
{
    uint8_t *data = malloc(size ? size : 1);
    FILE *file = fopen(path, "rb");
    int whole = data && file && fread(data, 1, size, file) == size;
    if (file) {
        fclose(file);
    }
    if (whole) {
        LLVMFuzzerTestOneInput(data, size);
        ran++;
    }
    free(data);
    return whole ? 0 : EIO;
}

static int visit(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)where;
    if (type == FTW_F && S_ISREG(info->st_mode)) {
        int rv = run_file(path, (size_t)info->st_size);
        if (rv) {
            fprintf(stderr, "%s: %s\n", path, strerror(rv));
        }
        return rv;
    }
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int rv = nftw(argv[i], visit, 16, FTW_PHYS);
        if (rv) {
            fprintf(stderr, "%s: %s\n", argv[i], rv < 0 ? strerror(errno) : "cannot be read");
            return 1;
        }
    }
    printf("%lu inputs\n", ran);
    return ran ? 0 : 1;
}
