/* SPDX-License-Identifier: Apache-2.0
 * What the files that read directives share. */
#ifndef APIPOOL_CONFIG_DIRECTIVES_H
#define APIPOOL_CONFIG_DIRECTIVES_H

#include <stddef.h>

#include "config.h"

/* Every function that returns a sentence returns NULL when all is well, and otherwise what is wrong: the
 * directive, the value and what is allowed. httpd adds file and line. */

/** The pool that a directive stands in; NULL and a sentence outside of any. */
apipool_pool_conf_t *apipool_directive_pool(cmd_parms *cmd, const char **fault);

/** Checks that a directive stands outside of pools.
 *  @param forbidden where else it must not stand, as for ap_check_cmd_context() */
const char *apipool_directive_outside(cmd_parms *cmd, unsigned forbidden);

/* A setting that is one whole number. */
typedef struct {
    apr_size_t offset, size; /* of an integer of 4 or 8 bytes */
    apr_int64_t min, max;
    apr_int64_t unit; /* what one stands for */
} apipool_number_t;

/* The one of a member of a struct. */
#define APIPOOL_NUMBER(type, member, min, max, unit)                                               \
    {                                                                                              \
        offsetof(type, member), sizeof(((type *)0)->member), min, max, unit                        \
    }

/** Reads a whole number within bounds into its member of a struct. */
const char *apipool_directive_number(cmd_parms *cmd, const char *text,
                                     const apipool_number_t *number, void *target);

/* One word of a directive's, NAME=VALUE. */
typedef struct {
    const char *name; /* with its '='; NULL ends a table of them */
    const char *(*set)(cmd_parms *cmd, void *target, const char *value); /* NULL: it is a number */
    apipool_number_t number;
} apipool_option_t;

/** Reads such a word into a struct.
 *  @param kind    what it is called where it is unknown
 *  @param allowed what is said then of those that are known */
const char *apipool_directive_option(cmd_parms *cmd, const char *word,
                                     const apipool_option_t *options, void *target,
                                     const char *kind, const char *allowed);

/** What follows a name in a word; NULL: the word is another one, or nothing follows. */
const char *apipool_directive_value(const char *word, const char *name);

/** Checks the name of a pool, an upstream or an alias. */
const char *apipool_directive_name(cmd_parms *cmd, const char *name);

/* Handlers of directives that stand in other files than the table. */
const char *apipool_directive_section(cmd_parms *cmd, void *dir, const char *args);
const char *apipool_directive_upstream(cmd_parms *cmd, void *dir, const char *args);
const char *apipool_directive_key_file(cmd_parms *cmd, void *dir, const char *path,
                                       const char *option);
const char *apipool_directive_balance(cmd_parms *cmd, void *dir, const char *args);
const char *apipool_directive_store(cmd_parms *cmd, void *dir, const char *path,
                                    const char *option);
const char *apipool_directive_secret_file(cmd_parms *cmd, void *dir, const char *path);
const char *apipool_directive_use(cmd_parms *cmd, void *dir, const char *name);
const char *apipool_directive_expose(cmd_parms *cmd, void *dir, int on);
const char *apipool_directive_cors(cmd_parms *cmd, void *dir, int argc, char *const argv[]);

#endif
