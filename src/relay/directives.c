/* SPDX-License-Identifier: Apache-2.0
 * The table of directives, and those that are one setting of a pool. */
#include "directives.h"

#include <apr_strings.h>
#include <stddef.h>

static int is_path(const char *path)
{
    const char *c = path;
    while (*c > ' ' && *c < 0x7f && *c != '?' && *c != '#') {
        c++;
    }
    return *path == '/' && !*c;
}

static const char *add_endpoint(cmd_parms *cmd, void *dir, const char *alias, const char *path)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);

    if (!err) {
        err = apipool_directive_name(cmd, alias);
    }
    if (!err && !strcmp(alias, APIPOOL_CLIENT_UNLISTED)) {
        err = apr_psprintf(cmd->pool,
                           "%s %s: this name stands for paths that are not known, among the "
                           "endpoints of a client",
                           cmd->cmd->name, alias);
    }
    if (err) {
        return err;
    }
    if (!is_path(path)) {
        return apr_psprintf(cmd->pool,
                            "%s %s %s: the path must begin with '/' and have no query and no "
                            "blanks",
                            cmd->cmd->name, alias, path);
    }
    apipool_config_set_endpoint(pool, alias, path);
    return NULL;
}

static const char *allow(cmd_parms *cmd, void *dir, const char *path)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);

    if (!err && (!is_path(path) || !path[1])) {
        err = apr_psprintf(cmd->pool,
                           "%s %s: a path must begin with '/', say more than that, and have no "
                           "query and no blanks",
                           cmd->cmd->name, path);
    }
    if (!err) {
        APR_ARRAY_PUSH(pool->allowed, const char *) = path;
    }
    return err;
}

static const char *set_strategy(cmd_parms *cmd, void *dir, const char *name, const char *endpoint)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    int strategy = apipool_strategy_by_name(name);

    if (err) {
        return err;
    }
    if (strategy < 0) {
        return apr_psprintf(cmd->pool, "%s %s: unknown strategy; allowed are %s", cmd->cmd->name,
                            name, apipool_strategy_names());
    }
    if (!endpoint) {
        pool->strategy = (apipool_strategy_e)strategy;
        return NULL;
    }
    apipool_endpoint_strategy_t *entry = apr_array_push(pool->strategies);
    entry->endpoint = endpoint;
    entry->strategy = (apipool_strategy_e)strategy;
    return NULL;
}

/* A setting of a pool that is one whole number. */
typedef struct {
    apr_size_t offset; /* of an apr_int64_t in apipool_pool_t */
    apr_int64_t min, max;
    apr_int64_t unit; /* what one stands for */
} number_t;

static number_t rotations = {offsetof(apipool_pool_t, rotations), 0, 100, 1};
static number_t retries = {offsetof(apipool_pool_t, retries), 0, 10, 1};
static number_t deadline = {offsetof(apipool_pool_t, deadline), 0, 86400, APR_USEC_PER_SEC};
static number_t body_limit = {offsetof(apipool_pool_t, body_limit), 1, APR_INT64_C(1) << 40, 1};
static number_t max_errors = {offsetof(apipool_pool_t, max_errors), 1, 1000, 1};
static number_t wait_for_key = {offsetof(apipool_pool_t, wait), 0, 3600, APR_USEC_PER_SEC};
static number_t first_byte = {offsetof(apipool_pool_t, first_byte_timeout), 1, 86400,
                              APR_USEC_PER_SEC};
static number_t idle = {offsetof(apipool_pool_t, idle_timeout), 1, 86400, APR_USEC_PER_SEC};

static const char *set_number(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    const number_t *number = cmd->info;
    apr_int64_t value;

    if (!err) {
        err = apipool_directive_number(cmd, arg, number->min, number->max, &value);
    }
    if (!err) {
        *(apr_int64_t *)((char *)pool + number->offset) = value * number->unit;
    }
    return err;
}

/* A setting that is a shortest and a longest time. */
typedef struct {
    apr_size_t min, max; /* offsets of apr_interval_time_t in apipool_pool_t */
} range_t;

static range_t cooldown = {offsetof(apipool_pool_t, policy.cooldown_min),
                           offsetof(apipool_pool_t, policy.cooldown_max)};
static range_t recovery = {offsetof(apipool_pool_t, policy.recover_min),
                           offsetof(apipool_pool_t, policy.recover_max)};

static const char *set_range(cmd_parms *cmd, void *dir, const char *shortest, const char *longest)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    const range_t *range = cmd->info;
    apr_int64_t min, max;

    if (!err) {
        err = apipool_directive_number(cmd, shortest, 1, 86400, &min);
    }
    if (!err) {
        err = apipool_directive_number(cmd, longest, 1, 86400, &max);
    }
    if (!err && min > max) {
        err = apr_psprintf(cmd->pool, "%s %s %s: the shortest time comes first", cmd->cmd->name,
                           shortest, longest);
    }
    if (!err) {
        *(apr_interval_time_t *)((char *)pool + range->min) = apr_time_from_sec(min);
        *(apr_interval_time_t *)((char *)pool + range->max) = apr_time_from_sec(max);
    }
    return err;
}

static const char *set_limit(cmd_parms *cmd, void *dir, const char *arg)
{
    static const struct {
        const char *name;
        apr_size_t offset; /* of an apr_uint32_t in apipool_key_limits_t */
    } limits[] = {{"rpm=", offsetof(apipool_key_limits_t, rpm)},
                  {"rpd=", offsetof(apipool_key_limits_t, rpd)},
                  {"tpm=", offsetof(apipool_key_limits_t, tpm)},
                  {"tpd=", offsetof(apipool_key_limits_t, tpd)},
                  {"concurrency=", offsetof(apipool_key_limits_t, concurrency)}};
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    apr_int64_t value;

    for (apr_size_t i = 0; !err && i < sizeof(limits) / sizeof(*limits); i++) {
        apr_size_t len = strlen(limits[i].name);
        if (!strncmp(arg, limits[i].name, len)) {
            err = apipool_directive_number(cmd, arg + len, 1, 4000000000, &value);
            if (!err) {
                *(apr_uint32_t *)((char *)&pool->limits + limits[i].offset) = (apr_uint32_t)value;
            }
            return err;
        }
    }
    return err ? err
               : apr_psprintf(cmd->pool,
                              "%s: unknown limit '%s'; allowed are rpm=N, rpd=N, tpm=N, tpd=N and "
                              "concurrency=N",
                              cmd->cmd->name, arg);
}

static const char *set_client_limit(cmd_parms *cmd, void *dir, const char *arg)
{
    static const char concurrency[] = "concurrency=";
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    apr_int64_t value;

    if (!err && strncmp(arg, concurrency, sizeof(concurrency) - 1)) {
        err = apr_psprintf(cmd->pool, "%s: unknown limit '%s'; allowed is concurrency=N",
                           cmd->cmd->name, arg);
    }
    if (!err) {
        err = apipool_directive_number(cmd, arg + sizeof(concurrency) - 1, 1, 4000000000, &value);
    }
    if (!err) {
        pool->client_concurrency = (apr_uint32_t)value;
    }
    return err;
}

static const char *set_affinity(cmd_parms *cmd, void *dir, const char *arg)
{
    static const struct {
        const char *word;
        apipool_affinity_e affinity;
        int named;
    } words[] = {{"off", APIPOOL_AFFINITY_OFF, 0},
                 {"client", APIPOOL_AFFINITY_CLIENT, 0},
                 {"header:", APIPOOL_AFFINITY_HEADER, 1},
                 {"body:", APIPOOL_AFFINITY_BODY, 1}};
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);

    for (apr_size_t i = 0; !err && i < sizeof(words) / sizeof(*words); i++) {
        apr_size_t len = strlen(words[i].word);
        if (words[i].named ? !strncmp(arg, words[i].word, len) && arg[len]
                           : !strcmp(arg, words[i].word)) {
            pool->affinity = words[i].affinity;
            pool->affinity_name = arg + len;
            return NULL;
        }
    }
    return err ? err
               : apr_psprintf(cmd->pool,
                              "%s: '%s' is unknown; allowed are off, client, header:NAME and "
                              "body:MEMBER",
                              cmd->cmd->name, arg);
}

static const char *set_stream_usage(cmd_parms *cmd, void *dir, int on)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    if (!err) {
        pool->stream_usage = on;
    }
    return err;
}

static const char *add_rule(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    const char *words[5];
    int count = 0;

    if (err) {
        return err;
    }
    if (pool->rules->nelts == APIPOOL_CUSTOM_MAX) {
        return apr_psprintf(cmd->pool, "%s: a pool has at most %d", cmd->cmd->name,
                            APIPOOL_CUSTOM_MAX);
    }
    while (*args && count < 5) {
        words[count++] = ap_getword_conf(cmd->pool, &args);
    }
    apipool_custom_rule_t rule;
    err = apipool_custom_rule_parse(cmd->pool, words, count, &rule);
    if (err) {
        return apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name, err);
    }
    APR_ARRAY_PUSH(pool->rules, apipool_custom_rule_t) = rule;
    return NULL;
}

const command_rec apipool_directives[] = {
    AP_INIT_RAW_ARGS("<APIPool", apipool_directive_section, NULL, RSRC_CONF,
                     "the name of a pool of keys"),
    AP_INIT_RAW_ARGS("APIPoolUpstream", apipool_directive_upstream, NULL, RSRC_CONF,
                     "URL [name=] [provider=] [weight=] [priority=] [model=FROM:TO,...] [timeout=] "
                     "[connecttimeout=]"),
    AP_INIT_TAKE12("APIPoolKeyFile", apipool_directive_key_file, NULL, RSRC_CONF,
                   "a file of keys, and optionally upstream=NAME"),
    AP_INIT_TAKE2("APIPoolEndpoint", add_endpoint, NULL, RSRC_CONF,
                  "an alias below the mount and the upstream path it stands for"),
    AP_INIT_TAKE12("APIPoolStrategy", set_strategy, NULL, RSRC_CONF,
                   "how a key is chosen, and optionally for which alias"),
    AP_INIT_TAKE1("APIPoolRotations", set_number, &rotations, RSRC_CONF,
                  "how many further keys are tried at once when one is refused"),
    AP_INIT_TAKE1("APIPoolRetries", set_number, &retries, RSRC_CONF,
                  "how often a fault of the upstream is retried after a pause"),
    AP_INIT_TAKE1("APIPoolDeadline", set_number, &deadline, RSRC_CONF,
                  "seconds until the first byte of the answer, all attempts together; 0 for none"),
    AP_INIT_TAKE1("APIPoolBodyLimit", set_number, &body_limit, RSRC_CONF,
                  "largest request body in bytes"),
    AP_INIT_TAKE1("APIPoolFirstByteTimeout", set_number, &first_byte, RSRC_CONF,
                  "seconds that an upstream may take to begin its answer"),
    AP_INIT_TAKE1("APIPoolIdleTimeout", set_number, &idle, RSRC_CONF,
                  "seconds that an upstream may be silent inside an answer"),
    AP_INIT_TAKE1("APIPoolWait", set_number, &wait_for_key, RSRC_CONF,
                  "seconds that a request may wait for a key to come free"),
    AP_INIT_TAKE1("APIPoolMaxErrors", set_number, &max_errors, RSRC_CONF,
                  "consecutive errors of a key's own until it is taken out"),
    AP_INIT_TAKE2("APIPoolCooldown", set_range, &cooldown, RSRC_CONF,
                  "shortest and longest time in seconds that a rate-limited key rests, unless its "
                  "upstream names one"),
    AP_INIT_TAKE2("APIPoolRecover", set_range, &recovery, RSRC_CONF,
                  "shortest and longest time in seconds until a lost key is tried again"),
    AP_INIT_RAW_ARGS("APIPoolBalance", apipool_directive_balance, NULL, RSRC_CONF,
                     "seconds between balance checks, or off; and optionally minimum=N "
                     "url=PATH pointer=JSON-POINTER currency="),
    AP_INIT_ITERATE("APIPoolLimits", set_limit, NULL, RSRC_CONF,
                    "what each key may be used for: rpm= rpd= tpm= tpd= concurrency="),
    AP_INIT_ITERATE("APIPoolClientLimits", set_client_limit, NULL, RSRC_CONF,
                    "what each client may do that has no limit of its own: concurrency="),
    AP_INIT_ITERATE("APIPoolAllow", allow, NULL, RSRC_CONF,
                    "paths that administer an account or make credentials, and may be used"),
    AP_INIT_TAKE1("APIPoolAffinity", set_affinity, NULL, RSRC_CONF,
                  "what stays with one key: client, header:NAME, body:MEMBER, or off"),
    AP_INIT_FLAG("APIPoolStreamUsage", set_stream_usage, NULL, RSRC_CONF,
                 "Off to ask for no usage on streams whose clients do not"),
    AP_INIT_RAW_ARGS("APIPoolRule", add_rule, NULL, RSRC_CONF,
                     "STATUS[,STATUS|A-B] [\"marker\"] pass|rotate|retry|stop "
                     "none|key|model|account|upstream"),
    AP_INIT_TAKE1("APIPoolCapacity", apipool_directive_capacity, NULL, RSRC_CONF,
                  "how many keys fit into shared memory"),
    AP_INIT_TAKE1("APIPoolClientCapacity", apipool_directive_client_capacity, NULL, RSRC_CONF,
                  "how many clients with keys of ours fit into shared memory"),
    AP_INIT_TAKE1("APIPoolRecent", apipool_directive_recent, NULL, RSRC_CONF,
                  "how many of the last requests are remembered"),
    AP_INIT_TAKE12("APIPoolStore", apipool_directive_store, NULL, RSRC_CONF,
                   "a folder for everything that is kept, and optionally dbm=TYPE"),
    AP_INIT_TAKE1("APIPoolSecretFile", apipool_directive_secret_file, NULL, RSRC_CONF,
                  "a file of 32 random bytes that the store is sealed with"),
    AP_INIT_TAKE1("APIPoolSaveInterval", apipool_directive_save_interval, NULL, RSRC_CONF,
                  "seconds between saves of statistics"),
    AP_INIT_TAKE1("APIPoolMaxPendingUpdates", apipool_directive_max_pending, NULL, RSRC_CONF,
                  "requests after which statistics are saved at once"),
    AP_INIT_TAKE1("APIPoolUse", apipool_directive_use, NULL, RSRC_CONF | ACCESS_CONF,
                  "the pool that serves requests here, or off"),
    AP_INIT_FLAG("APIPoolExpose", apipool_directive_expose, NULL, RSRC_CONF | ACCESS_CONF,
                 "On to tell clients the key's id and the number of attempts"),
    AP_INIT_TAKE_ARGV("APIPoolCORS", apipool_directive_cors, NULL, RSRC_CONF | ACCESS_CONF,
                      "the origins whose pages may read answers, * for all, or off"),
    {NULL},
};
