/* SPDX-License-Identifier: Apache-2.0
 * The configuration that the directives make: pools, upstreams, and where they are used. */
#ifndef APIPOOL_CONFIG_CONFIG_H
#define APIPOOL_CONFIG_CONFIG_H

#include <apr_hash.h>
#include <mod_proxy.h>

#include "module.h"
#include "pool.h"
#include "store.h"

/* Everything here is built while the configuration is read, lives in pconf, is completed in
 * post_config (segment indices, workers) and is read-only in children. */

/* On, Off, or not said. */
typedef enum { APIPOOL_FLAG_UNSET, APIPOOL_FLAG_OFF, APIPOOL_FLAG_ON } apipool_flag_e;

/* A model that an upstream knows by another name. */
typedef struct {
    const char *from, *to;
    const char *quoted; /* to, as a JSON string */
} apipool_model_name_t;

typedef struct {
    const char *name;
    const char *url;       /* without trailing slash or query */
    const char *base_path; /* the path of url */
    apipool_provider_e provider;
    apr_uint32_t weight;
    int priority;
    apr_array_header_t *models; /* apipool_model_name_t */
    /* Where the directive does not say, ProxySet of a <Proxy> section does; see relay/workers.h. */
    apr_interval_time_t timeout; /* of a read or write; 0: the pool's timeouts */
    apr_interval_time_t connect_timeout;
    apr_interval_time_t ttl;  /* how long an idle connection is kept */
    apr_uint32_t max;         /* connections of a process; 0: one for each thread */
    apr_uint32_t field_size;  /* longest field of a response, in bytes */
    apipool_flag_e keepalive; /* TCP's */
    apipool_flag_e disablereuse;
    proxy_worker *worker;       /* private, not in mod_proxy's own list */
    proxy_worker *probe_worker; /* for probes, which take no connection from requests */
    apr_uint32_t index;
} apipool_upstream_conf_t;

typedef enum {
    APIPOOL_AFFINITY_OFF,
    APIPOOL_AFFINITY_CLIENT, /* the authenticated user, else the address */
    APIPOOL_AFFINITY_HEADER,
    APIPOOL_AFFINITY_BODY
} apipool_affinity_e;

typedef struct {
    const char *path;
    const char *upstream;
    char *text; /* as read with the configuration; wiped after the import */
    apr_size_t len;
} apipool_key_file_t;

/* APIPoolBalance. */
typedef struct {
    apr_interval_time_t interval; /* 0: off */
    int has_minimum;
    double minimum;                 /* set if has_minimum */
    const char *path;               /* below the base URL of an unknown vendor; or NULL */
    const char *pointer, *currency; /* with path; see apipool_balance_read */
} apipool_balance_check_t;

typedef struct {
    const char *alias, *path;
} apipool_endpoint_t;

/* APIPoolNotify: what operators are told of a pool; or of all whose own directive does not say. */
typedef struct {
    apr_int64_t low; /* fewer usable keys; -1: not said */
    double balance;  /* a key has less; NaN: not said */
} apipool_notify_marks_t;

/* The same in the main server. */
typedef struct {
    apipool_notify_marks_t marks;
    char *const *program;        /* with its arguments, and NULL; NULL: none */
    apr_uint32_t percent;        /* share of a client's limit that is near it */
    apr_interval_time_t every;   /* between calls for the same event of a pool */
    apr_interval_time_t longest; /* that the program may take */
} apipool_notify_conf_t;

typedef struct {
    const char *name;
    server_rec *server;
    const char *file; /* file with the <APIPool> */
    int line;
    apr_array_header_t *upstreams;  /* apipool_upstream_conf_t, sorted by priority */
    apr_array_header_t *key_files;  /* apipool_key_file_t */
    apr_hash_t *key_ids;            /* ids of the keys in key_files, each once */
    apr_array_header_t *endpoints;  /* apipool_endpoint_t */
    apr_array_header_t *strategies; /* apipool_endpoint_strategy_t; the last of an alias counts */
    apipool_strategy_e strategy;
    apr_int64_t rotations, retries;
    apr_int64_t deadline;                         /* microseconds; 0: none */
    apr_int64_t body_limit;                       /* bytes */
    apr_int64_t wait;                             /* microseconds, as are all times here */
    apr_int64_t first_byte_timeout, idle_timeout; /* 0 until post_config: not said */
    apipool_policy_t policy;
    apipool_balance_check_t balance;
    apipool_notify_marks_t notify;
    apipool_key_limits_t limits;
    apr_uint32_t client_concurrency; /* for clients without a limit of their own; 0: none */
    apr_array_header_t *allowed;     /* const char *: APIPoolAllow paths, closed by default */
    int stream_usage;                /* ask for usage on streams */
    int resends;                     /* APIPoolFailover resend */
    int finishes;                    /* APIPoolOnAbort finish */
    apipool_affinity_e affinity;
    const char *affinity_name; /* of the header field or body member */
    apr_array_header_t *rules; /* apipool_custom_rule_t */
    apr_uint32_t index;        /* in the segment */
} apipool_pool_conf_t;

typedef struct {
    const char *endpoint;
    apipool_strategy_e strategy;
} apipool_endpoint_strategy_t;

/* One APIPoolUse. Directory configurations share it, so the name is resolved only once. */
typedef struct {
    const char *name;   /* NULL: off */
    const char *mount;  /* path of the <Location>, without trailing slash; "" for a server */
    int is_location;    /* in <Location>: goes before what is said for a whole server */
    int is_conditional; /* in <If> or <Else>, or off for a pattern of paths */
    server_rec *server;
    const char *file;
    int line;
    apipool_pool_conf_t *pool;
} apipool_use_t;

/* APIPoolCORS: the origins whose pages may read answers. */
typedef struct {
    int any;
    apr_array_header_t *origins; /* const char *; empty for "off" */
} apipool_cors_t;

typedef struct {
    apipool_use_t *use;         /* NULL: not set; its name is NULL for "off" */
    int expose;                 /* -1: not set */
    int rewrites;               /* URLs in JSON bodies; -1: not set */
    const apipool_cors_t *cors; /* NULL: not set */
} apipool_dir_conf_t;

typedef struct {
    apr_array_header_t *pools;      /* apipool_pool_conf_t * */
    apr_array_header_t *uses;       /* apipool_use_t *, in the order of the configuration */
    const char *address;            /* scheme, host and port for clients; see server_address.h */
    apipool_pool_conf_t *open_pool; /* the <APIPool> being read */
    apr_uint32_t capacity;          /* slots; of a virtual host its share, 0: all */
    apr_uint32_t client_capacity;   /* the same for clients */
    const char *scope;              /* of its pools and clients; see scopes.h */
    apr_uint32_t recent; /* entries of the ring; main server only, as are the next ones */
    const char *store, *dbm, *secret_file; /* dbm may be NULL */
    apr_interval_time_t save_interval;
    apr_uint32_t max_pending;
    int async; /* requests may wait without a thread */
    apipool_notify_conf_t notify;
} apipool_server_conf_t;

static inline apr_interval_time_t apipool_shorter(apr_interval_time_t a, apr_interval_time_t b)
{
    return a < b ? a : b;
}

extern const command_rec apipool_directives[];

void *apipool_config_create_dir(apr_pool_t *p, char *path);
void *apipool_config_merge_dir(apr_pool_t *p, void *base, void *add);
void *apipool_config_create_server(apr_pool_t *p, server_rec *s);
void *apipool_config_merge_server(apr_pool_t *p, void *base, void *add);

/** Finds a pool that a server may use by name: its own, else the main server's; NULL if there is
 *  none. */
apipool_pool_conf_t *apipool_config_find_pool(server_rec *s, const char *name);

/** Finds an upstream of a pool by name; NULL if there is none. */
apipool_upstream_conf_t *apipool_config_upstream(const apipool_pool_conf_t *pool, const char *name);

/** Creates a pool with all defaults. */
apipool_pool_conf_t *apipool_config_make_pool(apr_pool_t *p, server_rec *s, const char *name);

/** Returns a server's configuration; httpd lets virtual hosts without directives of this module
 *  share the main server's. */
apipool_server_conf_t *apipool_config_server(const server_rec *s);

/** Returns the share of the capacity that a virtual host may fill; 0: all. */
apr_uint32_t apipool_config_share(server_rec *s);
apr_uint32_t apipool_config_client_share(server_rec *s);

/** Fills in the store's settings from the configuration, except for the reporting callbacks. */
void apipool_config_store(server_rec *main_server, apipool_store_settings_t *settings);

/** Lists all pools of all servers, each once: apipool_pool_conf_t *. */
apr_array_header_t *apipool_config_all_pools(apr_pool_t *p, server_rec *main_server);

/** Sets the path of an alias, replacing an earlier one. */
void apipool_config_set_endpoint(apipool_pool_conf_t *pool, const char *alias, const char *path);

/** Returns the path of an alias, or NULL. */
const char *apipool_config_endpoint(const apipool_pool_conf_t *pool, const char *alias);

/** Returns the strategy for an endpoint alias; NULL for paths without one. */
apipool_strategy_e apipool_config_strategy(const apipool_pool_conf_t *pool, const char *endpoint);

/**
 * Returns an upstream's own name for a model, or NULL if it is the same as the client's.
 * @param model the client's name for it, or NULL
 */
const apipool_model_name_t *apipool_config_renamed(const apipool_upstream_conf_t *upstream,
                                                   const char *model);

/**
 * check_config: resolves every APIPoolUse and checks what takes more than one directive to know.
 * Logs each fault with file and line.
 * @return OK or HTTP_INTERNAL_SERVER_ERROR
 */
int apipool_config_check(apr_pool_t *p, server_rec *main_server);

/** Warns if the shares of virtual hosts add up to more than the capacity. */
void apipool_config_warn(server_rec *main_server);

/** Returns the name by which a server's pools and clients are found again after a change of the
 *  configuration; see scopes.h. */
const char *apipool_config_scope(const server_rec *s);

/** Returns a virtual host's ServerName in lower case. */
const char *apipool_config_host(apr_pool_t *p, const server_rec *s);

/** Returns the addresses of a virtual host with its ServerName, the scope of earlier versions; ""
 *  for the main server. */
const char *apipool_config_address(apr_pool_t *p, const server_rec *s);

#endif
