/* SPDX-License-Identifier: Apache-2.0
 * <APIPool NAME>, and what all directives have in common. */
#include "directives.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include "ascii.h"

const char *apipool_directive_number(cmd_parms *cmd, const char *text,
                                     const apipool_number_t *number, void *target)
{
    char *end, *at = (char *)target + number->offset;
    apr_int64_t value = apr_strtoi64(text, &end, 10);
    if (errno || *end || !apr_isdigit(*text) || value < number->min || value > number->max) {
        return apr_psprintf(cmd->pool,
                            "%s %s: a whole number from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT
                            " is needed",
                            cmd->cmd->name, text, number->min, number->max);
    }
    if (number->size == sizeof(apr_uint32_t)) {
        *(apr_uint32_t *)at = (apr_uint32_t)(value * number->unit);
    }
    else {
        *(apr_int64_t *)at = value * number->unit;
    }
    return NULL;
}

const char *apipool_directive_option(cmd_parms *cmd, const char *word,
                                     const apipool_option_t *options, void *target,
                                     const char *kind, const char *allowed)
{
    for (const apipool_option_t *option = options; option->name; option++) {
        apr_size_t len = strlen(option->name);
        if (!strncmp(word, option->name, len)) {
            return option->set ? option->set(cmd, target, word + len)
                               : apipool_directive_number(cmd, word + len, &option->number, target);
        }
    }
    return apr_psprintf(cmd->pool, "%s: unknown %s '%s'; allowed %s", cmd->cmd->name, kind, word,
                        allowed);
}

const char *apipool_directive_value(const char *word, const char *name)
{
    apr_size_t len = strlen(name);
    return strncmp(word, name, len) || !word[len] ? NULL : word + len;
}

const char *apipool_directive_outside(cmd_parms *cmd, unsigned forbidden)
{
    const char *err = ap_check_cmd_context(cmd, forbidden);
    return err || !apipool_config_server(cmd->server)->open_pool
               ? err
               : apr_psprintf(cmd->pool, "%s must stand outside <APIPool>", cmd->cmd->name);
}

const char *apipool_directive_name(cmd_parms *cmd, const char *name)
{
    const char *c = name;
    while (apipool_ascii_is_alnum(*c) || (*c && strchr("_.:-", *c))) {
        c++;
    }
    if (c == name || *c || c - name >= APIPOOL_NAME_MAX) {
        return apr_psprintf(cmd->pool,
                            "%s: the name '%s' is not allowed; use 1 to %d letters, digits, '_', "
                            "'.', ':' or '-'",
                            cmd->cmd->name, name, APIPOOL_NAME_MAX - 1);
    }
    return NULL;
}

apipool_pool_conf_t *apipool_directive_pool(cmd_parms *cmd, const char **fault)
{
    apipool_pool_conf_t *pool = apipool_config_server(cmd->server)->open_pool;
    *fault = pool ? NULL
                  : apr_psprintf(cmd->pool, "%s must stand inside <APIPool NAME>", cmd->cmd->name);
    return pool;
}

/* Completes settings that depend on others of the pool: keys without upstream= get the first
 * upstream, then upstreams are sorted by priority, keeping their order within each. */
static void complete(apipool_pool_conf_t *pool)
{
    for (int i = 0; i < pool->key_files->nelts; i++) {
        apipool_key_file_t *file = &APR_ARRAY_IDX(pool->key_files, i, apipool_key_file_t);
        if (!file->upstream && pool->upstreams->nelts) {
            file->upstream = APR_ARRAY_IDX(pool->upstreams, 0, apipool_upstream_conf_t).name;
        }
    }
    for (int i = 1; i < pool->upstreams->nelts; i++) {
        apipool_upstream_conf_t *all = (apipool_upstream_conf_t *)pool->upstreams->elts,
                                moved = all[i];
        int to = i;
        for (; to > 0 && all[to - 1].priority > moved.priority; to--) {
            all[to] = all[to - 1];
        }
        all[to] = moved;
    }
}

static const char *check_strategies(cmd_parms *cmd, const apipool_pool_conf_t *pool)
{
    for (int i = 0; i < pool->strategies->nelts; i++) {
        const char *alias =
            APR_ARRAY_IDX(pool->strategies, i, apipool_endpoint_strategy_t).endpoint;
        if (!apipool_config_endpoint(pool, alias)) {
            return apr_psprintf(cmd->pool,
                                "<APIPool %s>: APIPoolStrategy for '%s', which is no alias; "
                                "APIPoolEndpoint %s PATH would make it one",
                                pool->name, alias, alias);
        }
    }
    return NULL;
}

/* <APIPool NAME>: only directives of pools are allowed inside. */
const char *apipool_directive_section(cmd_parms *cmd, void *dir, const char *args)
{
    apipool_server_conf_t *conf = apipool_config_server(cmd->server);
    const char *end = ap_strrchr_c(args, '>');

    if (!end) {
        return "<APIPool> directive missing closing '>'";
    }
    args = apr_pstrmemdup(cmd->temp_pool, args, (apr_size_t)(end - args));
    const char *name = ap_getword_conf(cmd->pool, &args);
    if (*args) {
        return apr_psprintf(cmd->pool, "<APIPool %s>: one name only, '%s' is too many", name, args);
    }
    const char *err = apipool_directive_name(cmd, name);
    if (err) {
        return err;
    }
    for (int i = 0; i < conf->pools->nelts; i++) {
        const apipool_pool_conf_t *other = APR_ARRAY_IDX(conf->pools, i, apipool_pool_conf_t *);
        if (!strcmp(other->name, name)) {
            return apr_psprintf(cmd->pool,
                                "<APIPool %s>: this server has a pool of that name already, on "
                                "line %d of %s",
                                name, other->line, other->file);
        }
    }
    for (const ap_directive_t *d = cmd->directive->first_child; d; d = d->next) {
        if (ap_cstr_casecmpn(d->directive, "APIPool", 7)) {
            return apr_psprintf(cmd->pool, "<APIPool %s>: %s is not allowed inside", name,
                                d->directive);
        }
    }
    apipool_pool_conf_t *pool = apipool_config_make_pool(cmd->pool, cmd->server, name);
    pool->file = cmd->directive->filename;
    pool->line = cmd->directive->line_num;
    conf->open_pool = pool;
    err = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
    conf->open_pool = NULL;
    if (!err) {
        err = check_strategies(cmd, pool);
    }
    if (!err) {
        complete(pool);
        APR_ARRAY_PUSH(conf->pools, apipool_pool_conf_t *) = pool;
    }
    return err;
}
