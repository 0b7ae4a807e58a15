/* SPDX-License-Identifier: Apache-2.0
 * What the files that read directives share. */
#ifndef APIPOOL_RELAY_DIRECTIVES_H
#define APIPOOL_RELAY_DIRECTIVES_H

#include "config.h"

/* Every function that returns a sentence returns NULL when all is well, and otherwise what is wrong: the
 * directive, the value and what is allowed. httpd adds file and line. */

apipool_server_conf_t *apipool_directive_server(cmd_parms *cmd);

/** The pool that a directive stands in; NULL and a sentence outside of any. */
apipool_pool_t *apipool_directive_pool(cmd_parms *cmd, const char **fault);

/** Reads a whole number within bounds. */
const char *apipool_directive_number(cmd_parms *cmd, const char *text, apr_int64_t min,
                                     apr_int64_t max, apr_int64_t *value);

/** Checks the name of a pool, an upstream or an alias. */
const char *apipool_directive_name(cmd_parms *cmd, const char *name);

/* Handlers of directives that stand in other files than the table. */
const char *apipool_directive_section(cmd_parms *cmd, void *dir, const char *args);
const char *apipool_directive_upstream(cmd_parms *cmd, void *dir, const char *args);
const char *apipool_directive_key_file(cmd_parms *cmd, void *dir, const char *path,
                                       const char *option);
const char *apipool_directive_balance(cmd_parms *cmd, void *dir, const char *args);
const char *apipool_directive_capacity(cmd_parms *cmd, void *dir, const char *arg);
const char *apipool_directive_client_capacity(cmd_parms *cmd, void *dir, const char *arg);
const char *apipool_directive_recent(cmd_parms *cmd, void *dir, const char *arg);
const char *apipool_directive_store(cmd_parms *cmd, void *dir, const char *path,
                                    const char *option);
const char *apipool_directive_secret_file(cmd_parms *cmd, void *dir, const char *path);
const char *apipool_directive_save_interval(cmd_parms *cmd, void *dir, const char *arg);
const char *apipool_directive_max_pending(cmd_parms *cmd, void *dir, const char *arg);
const char *apipool_directive_use(cmd_parms *cmd, void *dir, const char *name);
const char *apipool_directive_expose(cmd_parms *cmd, void *dir, int on);
const char *apipool_directive_cors(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

#endif
