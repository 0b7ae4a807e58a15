/* SPDX-License-Identifier: Apache-2.0
 * The program of APIPoolNotify while it runs: at most one. */
#ifndef APIPOOL_UPKEEP_NOTIFY_PROGRAM_H
#define APIPOOL_UPKEEP_NOTIFY_PROGRAM_H

#include <apr_thread_proc.h>

/* For the watchdog's thread of the singleton process. No function waits but the last. */

/* How it ended. */
typedef struct {
    int has_ended;   /* 0: it runs; or none was started since the last end */
    int was_stopped; /* it took too long, or httpd's child ends */
    int status;      /* exit status, or the signal that ended it */
    apr_exit_why_e why;
} apipool_program_end_t;

/**
 * Starts it with httpd's environment, the message on standard input and standard error in httpd's
 * error log, and no other descriptor. None may run.
 * @param words   program, absolute, and arguments; NULL ends them
 * @param longest time after which it is stopped, with what it has started
 */
apr_status_t apipool_notify_program_start(char *const *words, const char *message,
                                          apr_interval_time_t longest, apr_time_t now);

/** Returns 1 if it runs. */
int apipool_notify_program_runs(void);

/** Passes on what it has not read of the message so far; stops it when it is time. */
apipool_program_end_t apipool_notify_program_look(apr_time_t now);

/** Gives it two more seconds, then stops it. */
apipool_program_end_t apipool_notify_program_finish(void);

#endif
