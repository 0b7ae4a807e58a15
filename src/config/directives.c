/* SPDX-License-Identifier: Apache-2.0
 * The table of directives, and the directives that are one setting of a pool. */
#include "directives.h"

#include <apr_strings.h>

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
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);

    err = err ? err : apipool_directive_name(cmd, alias);
    if (err) {
        return err;
    }
    if (!strcmp(alias, APIPOOL_CLIENT_UNLISTED)) {
        return apr_psprintf(cmd->pool,
                            "%s %s: this name stands for paths that are not known, among the "
                            "endpoints of a client",
                            cmd->cmd->name, alias);
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
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);

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
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
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
    APR_ARRAY_PUSH(pool->strategies, apipool_endpoint_strategy_t) =
        (apipool_endpoint_strategy_t){endpoint, (apipool_strategy_e)strategy};
    return NULL;
}

#define SECONDS APR_USEC_PER_SEC
#define POOL_NUMBER(member, min, max, unit)                                                        \
    APIPOOL_NUMBER(apipool_pool_conf_t, member, min, max, unit)

/* Entries for the table: a number in the surrounding pool, or in a server. */
#define OF_POOL(member, min, max, unit) &(apipool_number_t)POOL_NUMBER(member, min, max, unit)
#define OF_SERVER(member, min, max, unit)                                                          \
    &(apipool_number_t)APIPOOL_NUMBER(apipool_server_conf_t, member, min, max, unit)

static const char *set_pool_number(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err;
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
    return err ? err : apipool_directive_number(cmd, arg, cmd->info, pool);
}

/* Pairs of a minimum and a maximum time. */
static apipool_number_t cooldown[2] = {POOL_NUMBER(policy.cooldown_min, 1, 86400, SECONDS),
                                       POOL_NUMBER(policy.cooldown_max, 1, 86400, SECONDS)};
static apipool_number_t recovery[2] = {POOL_NUMBER(policy.recover_min, 1, 86400, SECONDS),
                                       POOL_NUMBER(policy.recover_max, 1, 86400, SECONDS)};

static const char *set_range(cmd_parms *cmd, void *dir, const char *shortest, const char *longest)
{
    const char *err;
    char *pool = (char *)apipool_directive_pool(cmd, &err);
    const apipool_number_t *range = cmd->info;

    err = err ? err : apipool_directive_number(cmd, shortest, &range[0], pool);
    err = err ? err : apipool_directive_number(cmd, longest, &range[1], pool);
    if (!err && *(apr_interval_time_t *)(pool + range[0].offset) >
                    *(apr_interval_time_t *)(pool + range[1].offset)) {
        err = apr_psprintf(cmd->pool, "%s %s %s: the shortest time comes first", cmd->cmd->name,
                           shortest, longest);
    }
    return err;
}

/* Sets the main server's capacity, or a virtual host's share of it. */
static const char *set_share(cmd_parms *cmd, void *dir, const char *arg)
{
    apipool_number_t number = *(const apipool_number_t *)cmd->info;
    const char *err = apipool_directive_outside(cmd, NOT_IN_DIR_CONTEXT);
    number.min = cmd->server->is_virtual ? 1 : number.min;
    return err ? err
               : apipool_directive_number(cmd, arg, &number, apipool_config_server(cmd->server));
}

static const char *set_server_number(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = apipool_directive_outside(cmd, GLOBAL_ONLY);
    return err ? err
               : apipool_directive_number(cmd, arg, cmd->info, apipool_config_server(cmd->server));
}

static const char *set_async(cmd_parms *cmd, void *dir, int on)
{
    const char *err = apipool_directive_outside(cmd, GLOBAL_ONLY);
    apipool_config_server(cmd->server)->async = on;
    return err;
}

#define LIMIT(name, member)                                                                        \
    {                                                                                              \
        name, NULL, POOL_NUMBER(member, 1, 4000000000, 1)                                          \
    }

static const char *set_limit(cmd_parms *cmd, void *dir, const char *arg)
{
    static const apipool_option_t limits[] = {LIMIT("rpm=", limits.rpm),
                                              LIMIT("rpd=", limits.rpd),
                                              LIMIT("tpm=", limits.tpm),
                                              LIMIT("tpd=", limits.tpd),
                                              LIMIT("concurrency=", limits.concurrency),
                                              {NULL}};
    const char *err;
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
    return err ? err
               : apipool_directive_option(cmd, arg, limits, pool, "limit",
                                          "are rpm=N, rpd=N, tpm=N, tpd=N and concurrency=N");
}

static const char *set_client_limit(cmd_parms *cmd, void *dir, const char *arg)
{
    static const apipool_option_t limits[] = {LIMIT("concurrency=", client_concurrency), {NULL}};
    const char *err;
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
    return err ? err
               : apipool_directive_option(cmd, arg, limits, pool, "limit", "is concurrency=N");
}

static const char *set_affinity(cmd_parms *cmd, void *dir, const char *arg)
{
    static const char *const words[] = {[APIPOOL_AFFINITY_OFF] = "off",
                                        [APIPOOL_AFFINITY_CLIENT] = "client",
                                        [APIPOOL_AFFINITY_HEADER] = "header:",
                                        [APIPOOL_AFFINITY_BODY] = "body:"};
    const char *err;
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);

    for (int i = 0; !err && i <= APIPOOL_AFFINITY_BODY; i++) {
        const char *name =
            i < APIPOOL_AFFINITY_HEADER ? "" : apipool_directive_value(arg, words[i]);
        if (name && (*name || !strcmp(arg, words[i]))) {
            pool->affinity = (apipool_affinity_e)i;
            pool->affinity_name = name;
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
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
    if (!err) {
        pool->stream_usage = on;
    }
    return err;
}

/* A setting of a pool that is one of two words: 0 or 1. */
typedef struct {
    apr_size_t offset;
    const char *words[2];
} words_t;

static words_t failover = {offsetof(apipool_pool_conf_t, resends), {"safe", "resend"}};
static words_t on_abort = {offsetof(apipool_pool_conf_t, finishes), {"close", "finish"}};

static const char *set_word(cmd_parms *cmd, void *dir, const char *arg)
{
    const words_t *words = cmd->info;
    const char *err;
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
    for (int i = 0; !err && i < 2; i++) {
        if (!strcmp(arg, words->words[i])) {
            *(int *)((char *)pool + words->offset) = i;
            return NULL;
        }
    }
    return err ? err
               : apr_psprintf(cmd->pool, "%s: '%s' is unknown; allowed are %s and %s",
                              cmd->cmd->name, arg, words->words[0], words->words[1]);
}

static const char *add_rule(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err;
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
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
                     "[connecttimeout=] [ttl=] [max=] [keepalive=] [disablereuse=] "
                     "[responsefieldsize=]"),
    AP_INIT_TAKE12("APIPoolKeyFile", apipool_directive_key_file, NULL, RSRC_CONF,
                   "a file of keys, and optionally upstream=NAME"),
    AP_INIT_TAKE2("APIPoolEndpoint", add_endpoint, NULL, RSRC_CONF,
                  "an alias below the mount and the upstream path it stands for"),
    AP_INIT_TAKE12("APIPoolStrategy", set_strategy, NULL, RSRC_CONF,
                   "how a key is chosen, and optionally for which alias"),
    AP_INIT_TAKE1("APIPoolRotations", set_pool_number, OF_POOL(rotations, 0, 100, 1), RSRC_CONF,
                  "how many further keys are tried at once when one is refused"),
    AP_INIT_TAKE1("APIPoolRetries", set_pool_number, OF_POOL(retries, 0, 10, 1), RSRC_CONF,
                  "how often a fault of the upstream is retried after a pause"),
    AP_INIT_TAKE1("APIPoolFailover", set_word, &failover, RSRC_CONF,
                  "resend to send requests that got no answer to another upstream; or safe"),
    AP_INIT_TAKE1("APIPoolOnAbort", set_word, &on_abort, RSRC_CONF,
                  "finish to read the answer of a client that left to its end; or close"),
    AP_INIT_TAKE1("APIPoolDeadline", set_pool_number, OF_POOL(deadline, 0, 86400, SECONDS),
                  RSRC_CONF,
                  "seconds until the first byte of the answer, all attempts together; 0 for none"),
    AP_INIT_TAKE1("APIPoolBodyLimit", set_pool_number,
                  OF_POOL(body_limit, 1, APR_INT64_C(1) << 40, 1), RSRC_CONF,
                  "largest request body in bytes"),
    AP_INIT_TAKE1("APIPoolFirstByteTimeout", set_pool_number,
                  OF_POOL(first_byte_timeout, 1, 86400, SECONDS), RSRC_CONF,
                  "seconds that an upstream may take to begin its answer"),
    AP_INIT_TAKE1("APIPoolIdleTimeout", set_pool_number, OF_POOL(idle_timeout, 1, 86400, SECONDS),
                  RSRC_CONF, "seconds that an upstream may be silent inside an answer"),
    AP_INIT_TAKE1("APIPoolWait", set_pool_number, OF_POOL(wait, 0, 3600, SECONDS), RSRC_CONF,
                  "seconds that a request may wait for a key to come free"),
    AP_INIT_TAKE1("APIPoolMaxErrors", set_pool_number, OF_POOL(policy.max_errors, 1, 1000, 1),
                  RSRC_CONF, "consecutive errors of a key's own until it is taken out"),
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
    AP_INIT_TAKE1("APIPoolCapacity", set_share,
                  OF_SERVER(capacity, APIPOOL_CAPACITY_MIN, APIPOOL_CAPACITY_MAX, 1), RSRC_CONF,
                  "how many keys fit into shared memory"),
    AP_INIT_TAKE1(
        "APIPoolClientCapacity", set_share,
        OF_SERVER(client_capacity, APIPOOL_CLIENT_CAPACITY_MIN, APIPOOL_CLIENT_CAPACITY_MAX, 1),
        RSRC_CONF, "how many clients fit into shared memory"),
    AP_INIT_TAKE1("APIPoolRecent", set_server_number, OF_SERVER(recent, 0, APIPOOL_RECENT_MAX, 1),
                  RSRC_CONF, "how many of the last requests are remembered"),
    AP_INIT_TAKE12("APIPoolStore", apipool_directive_store, NULL, RSRC_CONF,
                   "a folder for everything that is kept, and optionally dbm=TYPE"),
    AP_INIT_TAKE1("APIPoolSecretFile", apipool_directive_secret_file, NULL, RSRC_CONF,
                  "a file of 32 random bytes that the store is sealed with"),
    AP_INIT_TAKE1("APIPoolSaveInterval", set_server_number,
                  OF_SERVER(save_interval, 1, 86400, SECONDS), RSRC_CONF,
                  "seconds between saves of statistics"),
    AP_INIT_TAKE1("APIPoolMaxPendingUpdates", set_server_number,
                  OF_SERVER(max_pending, 1, 1000000000, 1), RSRC_CONF,
                  "requests after which statistics are saved at once"),
    AP_INIT_FLAG("APIPoolAsync", set_async, NULL, RSRC_CONF,
                 "Off to let each request keep a thread while it waits for an upstream"),
    AP_INIT_TAKE_ARGV("APIPoolNotify", apipool_directive_notify, NULL, RSRC_CONF,
                      "[low=N] [balance=N] [client=PERCENT] [every=SECONDS] [timeout=SECONDS] "
                      "PROGRAM [ARGUMENT ...]; in a pool low= and balance= alone"),
    AP_INIT_TAKE1("APIPoolUse", apipool_directive_use, NULL, RSRC_CONF | ACCESS_CONF,
                  "the pool that serves requests here, or off"),
    AP_INIT_FLAG("APIPoolExpose", apipool_directive_expose, NULL, RSRC_CONF | ACCESS_CONF,
                 "On to tell clients the key's id and the number of attempts"),
    AP_INIT_FLAG("APIPoolRewriteURLs", apipool_directive_rewrite, NULL, RSRC_CONF | ACCESS_CONF,
                 "On to make addresses of upstreams in JSON lead through the pool"),
    AP_INIT_TAKE_ARGV("APIPoolCORS", apipool_directive_cors, NULL, RSRC_CONF | ACCESS_CONF,
                      "the origins whose pages may read answers, * for all, or off"),
    {NULL},
};
