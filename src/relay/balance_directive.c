/* SPDX-License-Identifier: Apache-2.0
 * APIPoolBalance: how often balances are read, what is enough, and where an unknown vendor tells it. */
#include "directives.h"

#include <apr_strings.h>

#include "balance.h"

static const char *set_interval(cmd_parms *cmd, apipool_balance_check_t *check, const char *word)
{
    apr_int64_t seconds = 0;
    if (!ap_cstr_casecmp(word, "off")) {
        return NULL;
    }
    const char *err = apipool_directive_number(cmd, word, 1, 604800, &seconds);
    check->interval = apr_time_from_sec(seconds);
    return err ? apr_pstrcat(cmd->pool, err, ", or off", NULL) : NULL;
}

static const char *set_minimum(cmd_parms *cmd, apipool_balance_check_t *check, const char *value)
{
    check->has_minimum = 1;
    return apipool_balance_number(value, &check->minimum)
               ? NULL
               : apr_psprintf(cmd->pool, "%s minimum=%s: a decimal number is needed",
                              cmd->cmd->name, value);
}

static const char *set_path(cmd_parms *cmd, apipool_balance_check_t *check, const char *value)
{
    const char *c = value;
    check->path = value;
    while (*c > ' ' && *c < 0x7f && *c != '#') {
        c++;
    }
    return *value == '/' && !*c
               ? NULL
               : apr_psprintf(cmd->pool,
                              "%s url=%s: a path is needed that begins with '/' and has no blanks; "
                              "it is appended to the upstream's URL",
                              cmd->cmd->name, value);
}

static const char *set_pointer(cmd_parms *cmd, apipool_balance_check_t *check, const char *value)
{
    check->pointer = value;
    return apipool_balance_is_pointer(value)
               ? NULL
               : apr_psprintf(cmd->pool,
                              "%s pointer=%s: a JSON pointer (RFC 6901) is needed, such as "
                              "/data/balance",
                              cmd->cmd->name, value);
}

static const char *set_currency(cmd_parms *cmd, apipool_balance_check_t *check, const char *value)
{
    check->currency = value;
    return apipool_balance_is_currency(value) ||
                   (*value == '/' && apipool_balance_is_pointer(value))
               ? NULL
               : apr_psprintf(cmd->pool,
                              "%s currency=%s: 1 to %d letters or digits are needed, or a JSON "
                              "pointer to them",
                              cmd->cmd->name, value, APIPOOL_CURRENCY_SIZE - 1);
}

static const char *set_option(cmd_parms *cmd, apipool_balance_check_t *check, const char *word)
{
    static const struct {
        const char *name;
        const char *(*set)(cmd_parms *, apipool_balance_check_t *, const char *);
    } options[] = {{"minimum=", set_minimum},
                   {"url=", set_path},
                   {"pointer=", set_pointer},
                   {"currency=", set_currency}};
    for (apr_size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        apr_size_t len = strlen(options[i].name);
        if (!strncmp(word, options[i].name, len)) {
            return options[i].set(cmd, check, word + len);
        }
    }
    return apr_psprintf(cmd->pool,
                        "%s: unknown option '%s'; allowed are minimum=N, url=PATH, "
                        "pointer=JSON-POINTER and currency=",
                        cmd->cmd->name, word);
}

const char *apipool_directive_balance(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    apipool_balance_check_t check = {.interval = 0};

    if (err) {
        return err;
    }
    err = set_interval(cmd, &check, ap_getword_conf(cmd->pool, &args));
    if (!err && !check.interval && *args) {
        err =
            apr_psprintf(cmd->pool, "%s off: nothing may follow, '%s' does", cmd->cmd->name, args);
    }
    while (!err && *args) {
        err = set_option(cmd, &check, ap_getword_conf(cmd->pool, &args));
    }
    if (!err && (!check.path != !check.pointer || (check.currency && !check.path))) {
        err = apr_psprintf(cmd->pool,
                           "%s: url=PATH and pointer=JSON-POINTER belong together, and "
                           "currency= to both",
                           cmd->cmd->name);
    }
    if (!err) {
        pool->balance = check;
    }
    return err;
}
