/* SPDX-License-Identifier: Apache-2.0
 * The program of APIPoolNotify while it runs: at most one. */
#include "notify_program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRACE apr_time_from_sec(2)
#define PAUSE apr_time_from_msec(20)

extern char **environ;

static apr_proc_t program; /* and leader of a group of its own; its number is 0: none */
static int in = -1;        /* its standard input; -1: closed */
static char *message;      /* and how much of it was written */
static size_t written;
static apr_time_t ends_by;
static int was_stopped;

/* Its group, so that it can be stopped with what it starts. Signals are as for any program: the
 * watchdog's thread blocks them all, and httpd ignores some. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    int rv = posix_spawnattr_setpgroup(attributes, 0);
    rv = rv ? rv : posix_spawnattr_setsigmask(attributes, &none);
    rv = rv ? rv : posix_spawnattr_setsigdefault(attributes, &all);
    return rv ? rv
              : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP |
                                                         POSIX_SPAWN_SETSIGMASK |
                                                         POSIX_SPAWN_SETSIGDEF);
}

static int set_files(posix_spawn_file_actions_t *files, int from)
{
    int rv = posix_spawn_file_actions_adddup2(files, from, STDIN_FILENO);
    rv = rv ? rv : posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    rv = rv ? rv : posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
#endif
    return rv;
}

static int spawn(char *const *words, int from)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
    int rv = posix_spawnattr_init(&attributes);
    if (rv) {
        return rv;
    }
    rv = posix_spawn_file_actions_init(&files);
    if (!rv) {
        rv = set_attributes(&attributes);
        rv = rv ? rv : set_files(&files, from);
        rv = rv ? rv : posix_spawn(&program.pid, words[0], &files, &attributes, words, environ);
        posix_spawn_file_actions_destroy(&files);
    }
    posix_spawnattr_destroy(&attributes);
    return rv;
}

static void close_input(void)
{
    if (in >= 0) {
        close(in);
    }
    in = -1;
    free(message);
    message = NULL;
}

/* A program that reads nothing is no fault of the message's. */
static void write_on(void)
{
    size_t len = message ? strlen(message) : 0;
    ssize_t some = 0;
    while (written < len && some >= 0) {
        some = write(in, message + written, len - written);
        written += some > 0 ? (size_t)some : 0;
    }
    if (written == len || (errno != EAGAIN && errno != EINTR)) {
        close_input();
    }
}

apr_status_t apipool_notify_program_start(char *const *words, const char *text,
                                          apr_interval_time_t longest, apr_time_t now)
{
    int ends[2];
    message = strdup(text);
    if (!message || pipe2(ends, O_CLOEXEC)) {
        int rv = errno;
        close_input();
        return rv;
    }
    int rv = spawn(words, ends[0]);
    close(ends[0]);
    in = ends[1];
    written = 0;
    if (rv) {
        program.pid = 0;
        close_input();
        return rv;
    }
    ends_by = now + longest;
    was_stopped = 0;
    fcntl(in, F_SETFL, O_NONBLOCK);
    write_on();
    return APR_SUCCESS;
}

int apipool_notify_program_runs(void)
{
    return program.pid != 0;
}

/* The group has its leader's number; it may be gone. */
static void stop(void)
{
    was_stopped = 1;
    kill(-program.pid, SIGKILL);
}

apipool_program_end_t apipool_notify_program_look(apr_time_t now)
{
    apipool_program_end_t end = {0};
    if (!program.pid) {
        return end;
    }
    write_on();
    apr_status_t rv = apr_proc_wait(&program, &end.status, &end.why, APR_NOWAIT);
    if (rv != APR_CHILD_NOTDONE && rv != APR_EINTR) {
        end.has_ended = 1;
        end.was_stopped = was_stopped;
        program.pid = 0;
        close_input();
    }
    else if (!was_stopped && (now >= ends_by || ends_by - now > apr_time_from_sec(3600))) {
        stop();
    }
    return end;
}

apipool_program_end_t apipool_notify_program_finish(void)
{
    apr_time_t begin = apr_time_now();
    apipool_program_end_t end = apipool_notify_program_look(begin);
    for (int i = 0; program.pid && i < GRACE / PAUSE; i++) {
        apr_sleep(PAUSE);
        end = apipool_notify_program_look(begin);
    }
    if (program.pid) {
        stop();
        apr_proc_wait(&program, &end.status, &end.why, APR_WAIT);
        end.has_ended = end.was_stopped = 1;
        program.pid = 0;
        close_input();
    }
    return end;
}
