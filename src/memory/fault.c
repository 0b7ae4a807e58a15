/* SPDX-License-Identifier: Apache-2.0
 * Fault points at which a test build can be killed; not part of other builds. */
#include "fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 64

/* Returns 1 if the wish, NAME or NAME:N, asks to die at this point now. The lock guards the
 * counter. */
static int is_wished(const char *wish, const char *name)
{
    static unsigned long times;
    size_t len = strlen(name);
    if (strncmp(wish, name, len) || (wish[len] != ':' && wish[len] != '\0')) {
        return 0;
    }
    return wish[len] == '\0' || ++times == strtoul(wish + len + 1, NULL, 10);
}

/* Reads the first line of the file. */
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
    const char *file = getenv("APIPOOL_FAULT_FILE"), *wish = getenv("APIPOOL_FAULT");
    char line[NAME_MAX_BYTES];
    if (wish && is_wished(wish, name)) {
        kill(getpid(), SIGKILL);
    }
    if (file && read_wish(file, line, sizeof(line)) && is_wished(line, name) && unlink(file) == 0) {
        kill(getpid(), SIGKILL);
    }
}
