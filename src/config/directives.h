/* SPDX-License-Identifier: Apache-2.0
 * Shared by the files that read directives. */
#ifndef APIPOOL_CONFIG_DIRECTIVES_H
#define APIPOOL_CONFIG_DIRECTIVES_H

#include <stddef.h>

#include "config.h"

/* Every function that returns a string returns NULL on success, else an error message with the
 * directive, the value and what is allowed. httpd adds file and line. */

/** Returns the pool that a directive is in; NULL and an error message outside of any. */
apipool_pool_conf_t *apipool_directive_pool(cmd_parms *cmd, const char **fault);

/**
 * Checks that a directive is outside of pools.
 * @param forbidden other contexts where it is not allowed, as for ap_check_cmd_context()
 */
const char *apipool_directive_outside(cmd_parms *cmd, unsigned forbidden);

/* A setting that is a single whole number. */
typedef struct {
    apr_size_t offset, size; /* of an integer of 4 or 8 bytes */
    apr_int64_t min, max;
    apr_int64_t unit; /* factor from the directive to the setting */
} apipool_number_t;

/* Describes such a setting as a member of a struct. */
#define APIPOOL_NUMBER(type, member, min, max, unit)                                               \
    {                                                                                              \
        offsetof(type, member), sizeof(((type *)0)->member), min, max, unit                        \
    }

/** Reads a whole number within bounds into a member of a struct. */
const char *apipool_directive_number(cmd_parms *cmd, const char *text,
                                     const apipool_number_t *number, void *target);

/* An option of a directive, NAME=VALUE. */
typedef struct {
    const char *name; /* including '='; NULL ends a table */
    const char *(*set)(cmd_parms *cmd, void *target, const char *value); /* NULL: a number */
    apipool_number_t number;
} apipool_option_t;

/**
 * Reads an option into a struct.
 * @param kind    the word for an option in the error message for an unknown one
 * @param allowed the known options, for that message
 */
const char *apipool_directive_option(cmd_parms *cmd, const char *word,
                                     const apipool_option_t *options, void *target,
                                     const char *kind, const char *allowed);

/** Returns the value if a word has this name; NULL if the name differs or no value follows. */
const char *apipool_directive_value(const char *word, const char *name);

/** Checks the name of a pool, an upstream or an alias. */
const char *apipool_directive_name(cmd_parms *cmd, const char *name);

/* Handlers of directives that are not in the table's file. */
const char *apipool_directive_section(cmd_parms *cmd, void *dir, const char *args);
const char *apipool_directive_upstream(cmd_parms *cmd, void *dir, const char *args);
const char *apipool_directive_key_file(cmd_parms *cmd, void *dir, const char *path,
                                       const char *option);
const char *apipool_directive_balance(cmd_parms *cmd, void *dir, const char *args);
const char *apipool_directive_notify(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *apipool_directive_store(cmd_parms *cmd, void *dir, const char *path,
                                    const char *option);
const char *apipool_directive_secret_file(cmd_parms *cmd, void *dir, const char *path);
const char *apipool_directive_use(cmd_parms *cmd, void *dir, const char *name);
const char *apipool_directive_expose(cmd_parms *cmd, void *dir, int on);
const char *apipool_directive_rewrite(cmd_parms *cmd, void *dir, int on);
const char *apipool_directive_cors(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

#endif
