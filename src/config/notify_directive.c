/* SPDX-License-Identifier: Apache-2.0
 * APIPoolNotify: the program that is told of events, and what it is told of. */
#include "directives.h"

#include <apr_strings.h>

#include "balance.h"

#define NUMBER(name, member, min, max, unit)                                                       \
    {                                                                                              \
        name, NULL, APIPOOL_NUMBER(apipool_notify_conf_t, member, min, max, unit)                  \
    }

static const char *set_balance(cmd_parms *cmd, void *data, const char *value)
{
    apipool_notify_conf_t *notify = data;
    return apipool_balance_number(value, &notify->marks.balance)
               ? NULL
               : apr_psprintf(cmd->pool, "%s balance=%s: a decimal number is needed",
                              cmd->cmd->name, value);
}

/* Those that a pool has as well come last. */
static const apipool_option_t options[] = {NUMBER("client=", percent, 1, 100, 1),
                                           NUMBER("every=", every, 0, 86400, APR_USEC_PER_SEC),
                                           NUMBER("timeout=", longest, 1, 600, APR_USEC_PER_SEC),
                                           NUMBER("low=", marks.low, 0, APIPOOL_CAPACITY_MAX, 1),
                                           {.name = "balance=", .set = set_balance},
                                           {NULL}};
#define OF_POOL (options + 3)

static const char *in_pool(cmd_parms *cmd, int argc, char *const argv[])
{
    const char *err;
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
    apipool_notify_conf_t notify = {.marks = pool->notify};
    for (int i = 0; !err && i < argc; i++) {
        err = apipool_directive_option(cmd, argv[i], OF_POOL, &notify, "option",
                                       "in a pool are low=N and balance=N");
    }
    pool->notify = notify.marks;
    return err;
}

/* The program is the first word that is no option; its arguments may look like one. */
const char *apipool_directive_notify(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    apipool_server_conf_t *conf = apipool_config_server(cmd->server);
    if (!argc) {
        return apr_psprintf(cmd->pool, "%s: options or a program are needed", cmd->cmd->name);
    }
    if (conf->open_pool) {
        return in_pool(cmd, argc, argv);
    }
    const char *err = apipool_directive_outside(cmd, GLOBAL_ONLY);
    int i = 0;
    for (; !err && i < argc && *argv[i] != '/' && strchr(argv[i], '='); i++) {
        err = apipool_directive_option(
            cmd, argv[i], options, &conf->notify, "option",
            "before the program are low=N, balance=N, client=PERCENT, every=SECONDS and "
            "timeout=SECONDS");
    }
    if (!err && i == argc) {
        return apr_psprintf(cmd->pool, "%s: a program is needed behind the options",
                            cmd->cmd->name);
    }
    if (!err) {
        char **program = apr_pcalloc(cmd->pool, (apr_size_t)(argc - i + 1) * sizeof(*program));
        memcpy(program, argv + i, (apr_size_t)(argc - i) * sizeof(*program));
        program[0] = ap_server_root_relative(cmd->pool, argv[i]);
        conf->notify.program = program;
    }
    return err;
}
