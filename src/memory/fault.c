/* SPDX-License-Identifier: Apache-2.0
 * Points at which a build made for tests can be killed; part of no other build. */
#include "fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 64

/* Whether this is the time to die that a wish, NAME or NAME:N, speaks of. The lock guards the count. */
static int is_wished(const char *wish, const char *name)
{
    static unsigned long times;
    size_t len = strlen(name);
    if (strncmp(wish, name, len) || (wish[len] != ':' && wish[len] != '\0')) {
        return 0;
    }
    return wish[len] == '\0' || ++times == strtoul(wish + len + 1, NULL, 10);
}

/* The first line of the file. */
static int read_wish(const char *file, char *wish, int size)
{
    FILE *f = fopen(file, "re");
    int got = f && fgets(wish, size, f);
    if (f) {
        fclose(f);
    }
    wish[got ? strcspn(wish, "\n") : 0] = '\0';
    return got;
}

void apipool_fault(const char *name)
{
    const char *file = getenv("APIPOOL_FAULT_FILE"), *said = getenv("APIPOOL_FAULT");
    char wish[NAME_MAX_BYTES];
    if (said && is_wished(said, name)) {
        kill(getpid(), SIGKILL);
    }
    if (file && read_wish(file, wish, sizeof(wish)) && is_wished(wish, name) && unlink(file) == 0) {
        kill(getpid(), SIGKILL);
    }
}
