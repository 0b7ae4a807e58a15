/* SPDX-License-Identifier: Apache-2.0
 * APIPoolBalance: how often balances are read, the minimum, and where an unknown vendor reports
 * it. */
#include "directives.h"

#include <apr_strings.h>

#include "balance.h"

static const char *set_interval(cmd_parms *cmd, apipool_balance_check_t *check, const char *word)
{
    static const apipool_number_t interval =
        APIPOOL_NUMBER(apipool_balance_check_t, interval, 1, 604800, APR_USEC_PER_SEC);
    const char *err =
        ap_cstr_casecmp(word, "off") ? apipool_directive_number(cmd, word, &interval, check) : NULL;
    return err ? apr_pstrcat(cmd->pool, err, ", or off", NULL) : NULL;
}

/* The message for a wrong option value. */
static const char *fault(cmd_parms *cmd, const char *option, const char *value, const char *what)
{
    return apr_psprintf(cmd->pool, "%s %s=%s: %s", cmd->cmd->name, option, value, what);
}

static const char *set_minimum(cmd_parms *cmd, void *data, const char *value)
{
    apipool_balance_check_t *check = data;
    check->has_minimum = 1;
    return apipool_balance_number(value, &check->minimum)
               ? NULL
               : fault(cmd, "minimum", value, "a decimal number is needed");
}

static const char *set_path(cmd_parms *cmd, void *data, const char *value)
{
    const char *c = value;
    ((apipool_balance_check_t *)data)->path = value;
    while (*c > ' ' && *c < 0x7f && *c != '#') {
        c++;
    }
    return *value == '/' && !*c ? NULL
                                : fault(cmd, "url", value,
                                        "a path is needed that begins with '/' and has no blanks; "
                                        "it is appended to the upstream's URL");
}

static const char *set_pointer(cmd_parms *cmd, void *data, const char *value)
{
    ((apipool_balance_check_t *)data)->pointer = value;
    return apipool_balance_is_pointer(value)
               ? NULL
               : fault(cmd, "pointer", value,
                       "a JSON pointer (RFC 6901) is needed, such as /data/balance");
}

static const char *set_currency(cmd_parms *cmd, void *data, const char *value)
{
    ((apipool_balance_check_t *)data)->currency = value;
    return apipool_balance_is_currency(value) ||
                   (*value == '/' && apipool_balance_is_pointer(value))
               ? NULL
               : fault(cmd, "currency", value,
                       apr_psprintf(cmd->pool,
                                    "1 to %d letters or digits are needed, or a JSON pointer to "
                                    "them",
                                    APIPOOL_CURRENCY_SIZE - 1));
}

static const apipool_option_t options[] = {{.name = "minimum=", .set = set_minimum},
                                           {.name = "url=", .set = set_path},
                                           {.name = "pointer=", .set = set_pointer},
                                           {.name = "currency=", .set = set_currency},
                                           {NULL}};

const char *apipool_directive_balance(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err;
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
    apipool_balance_check_t check = {.interval = 0};

    if (err) {
        return err;
    }
    err = set_interval(cmd, &check, ap_getword_conf(cmd->pool, &args));
    if (!err && !check.interval && *args) {
        return apr_psprintf(cmd->pool, "%s off: nothing may follow, '%s' does", cmd->cmd->name,
                            args);
    }
    while (!err && *args) {
        err = apipool_directive_option(
            cmd, ap_getword_conf(cmd->pool, &args), options, &check, "option",
            "are minimum=N, url=PATH, pointer=JSON-POINTER and currency=");
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
