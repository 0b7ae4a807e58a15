/* SPDX-License-Identifier: Apache-2.0
 * The admin module's own header: its configuration, one request to it, and what all its files use. */
#ifndef APIPOOL_ADMIN_ADMIN_H
#define APIPOOL_ADMIN_ADMIN_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "input_error.h"
#include "json.h"
#include "language.h"
#include "mod_apipool.h"
#include "query.h"

#ifndef APIPOOL_MODULE_RECORD
APLOG_USE_MODULE(apipool_admin);
#endif

/* The only symbol the DSO exports: everything else is built with hidden visibility. */
extern module AP_MODULE_DECLARE_DATA apipool_admin_module __attribute__((visibility("default")));

/* A tag is never reused: operators search for it. One per call site. */
#define APIPOOL_LOG(number) "AP" #number ": "

#define APIPOOL_ADMIN_HANDLER "apipool-admin"

#define APIPOOL_ADMIN_USER_MAX     255 /* bytes */
#define APIPOOL_ADMIN_PASSWORD_MAX 1024

/* --- Configuration: config.c --- */

typedef enum {
    APIPOOL_ADMIN_AUTH_UNSET,
    APIPOOL_ADMIN_AUTH_SESSION, /* own login */
    APIPOOL_ADMIN_AUTH_HTTPD    /* whoever httpd authenticated */
} apipool_admin_auth_e;

/* Of a location; NULL, 0 or, for flags, -1: not said. Lists are of const char *. */
typedef struct {
    const char *root;  /* APIPoolAdminRoot; NULL: where make install put the files */
    const char *mount; /* path of the <Location> with SetHandler, without a slash at its end */
    const char *user_file;
    apipool_admin_auth_e auth;
    apr_array_header_t *pools;   /* the only ones; NULL: all that the server sees */
    apr_array_header_t *viewers; /* who may not change */
    int session_seconds;         /* 0: APIPOOL_ADMIN_SESSION_DEFAULT */
    int reveal;
} apipool_admin_conf_t;

#define APIPOOL_ADMIN_SESSION_DEFAULT 86400

void *apipool_admin_create_dir(apr_pool_t *p, char *path);
void *apipool_admin_merge_dir(apr_pool_t *p, void *base, void *add);
void *apipool_admin_create_server(apr_pool_t *p, server_rec *s);

/** SetHandler, which is httpd's own and served by it: where it names ours, there the paths of requests
 *  begin. */
const char *apipool_admin_note_handler(cmd_parms *cmd, void *dir, const char *handler);
const char *apipool_admin_set_root(cmd_parms *cmd, void *dir, const char *path);
const char *apipool_admin_set_user_file(cmd_parms *cmd, void *dir, const char *path);
const char *apipool_admin_set_auth(cmd_parms *cmd, void *dir, const char *word);
const char *apipool_admin_set_pools(cmd_parms *cmd, void *dir, const char *name);
const char *apipool_admin_set_viewers(cmd_parms *cmd, void *dir, const char *name);
const char *apipool_admin_set_session(cmd_parms *cmd, void *dir, const char *seconds);
const char *apipool_admin_set_reveal(cmd_parms *cmd, void *dir, int on);

/** The server whose location answers: the virtual host's where it says anything of its own about the admin
 *  API, else the main server, whose location is then the same one for all of these virtual hosts. */
const server_rec *apipool_admin_owner(const request_rec *r);

/** How many viewers of events each location may have, so that one cannot take all threads: a share of 32, but
 *  no less than 4. */
int apipool_admin_viewers_each(void);

/** Whether a list of const char * has a text. */
int apipool_admin_names(const apr_array_header_t *list, const char *name);

/** What needs all of the configuration: unknown pools, and how many locations there are. Returns OK or a
 *  status. */
int apipool_admin_check_config(apr_pool_t *ptemp, server_rec *main_server);

/** Says at start which locations nobody can use. */
void apipool_admin_warn(server_rec *main_server);

/* --- One request --- */

typedef enum {
    APIPOOL_ROLE_NOBODY,
    APIPOOL_ROLE_VIEWER,
    APIPOOL_ROLE_ADMIN,
} apipool_role_e;

/* Who asks. */
typedef struct {
    const char *user; /* NULL: nobody */
    apipool_role_e role;
    int presented;       /* there was a credential, whether it is valid or not */
    int by_itself;       /* a browser may have sent what this was known by without being asked */
    apr_uint64_t number; /* of the session; 0: there is none */
    const char *entry;   /* fingerprint of the password entry that it was opened with */
    apr_time_t expires;  /* of the session */
} apipool_caller_t;

/* A request to the API on its way to a route's function. */
typedef struct {
    request_rec *r;
    const apipool_admin_conf_t *conf;
    const char *mount; /* path of the location, without a slash at its end */
    apipool_caller_t caller;
    const char *pool_name, *key,
        *name;         /* what the path names, or NULL: a pool, a key's id, a client */
    apr_uint32_t pool; /* the index of that pool */
    apr_uint64_t id;   /* that id; 0: none */
} apipool_admin_request_t;

/** The table of functions; set once, when the configuration is checked. */
extern const apipool_api_t *apipool_admin_api;

/** Handler hook: serves locations with SetHandler apipool-admin. */
int apipool_admin_handler(request_rec *r);

/** Sends a file of the dashboard; path is relative to the root and does not begin with '/'. */
int apipool_admin_send_page(request_rec *r, const char *root, const char *path);

/** The pools that may be seen here: apipool_pool_info_t. */
apr_array_header_t *apipool_admin_pools(const apipool_admin_request_t *ask);

/** One of such a list by its name; NULL: there is none. */
const apipool_pool_info_t *apipool_admin_find_pool(const apr_array_header_t *pools,
                                                   const char *name);

/* --- Languages: language.c --- */

/** What the API says to people, in Chinese: a row for each sentence. t/check_messages knows where they come
 *  from. */
extern const apipool_phrase_t apipool_messages_zh[];

/** An English sentence in the language that the client prefers (RFC 9110 section 12.5.4), English where
 *  there is no other; the answer's head says which language it is. NULL stays NULL. */
const char *apipool_admin_text(request_rec *r, const char *english);

/** Puts that in the place of a member of an object, if it is a string. */
void apipool_admin_translate(request_rec *r, json_t *object, const char *member);

/* --- Answers: reply.c. All return OK: the answer is on its way. --- */

/** Sends a JSON value, and gives it back. */
int apipool_admin_reply(request_rec *r, int status, json_t *value);

/** The same for a value with a secret in it: what was written is overwritten. */
int apipool_admin_reply_secret(request_rec *r, int status, json_t *value);

/** 204 */
int apipool_admin_reply_nothing(request_rec *r);

/** {"error":{"code","message"}}; code and message are ours, and the message is in English: whatever answers
 *  translates it. */
int apipool_admin_error(request_rec *r, int status, const char *code, const char *message);

/** 401: there is no valid session. */
int apipool_admin_unauthorized(request_rec *r);

/** The same as 400 with the name of a member or parameter, or NULL. */
int apipool_admin_refuse(request_rec *r, const char *field, const char *message);

/**
 * What a function of the table could not do: 404 of what the path names, 400, 409, 507, or 500.
 * @param what what was wanted, for the log: "the keys of pool main cannot be listed"
 * @param flaw what the function said, or NULL
 */
int apipool_admin_failed(const apipool_admin_request_t *ask, apr_status_t rv, const char *what,
                         const apipool_input_error_t *flaw);

/** Answers 429 or 503 with Retry-After. */
int apipool_admin_later(request_rec *r, int status, const char *code, const char *message,
                        apr_interval_time_t wait);

/* --- Bodies: body.c --- */

#define APIPOOL_ADMIN_BODY_MAX   ((apr_off_t)8 * 1024 * 1024)
#define APIPOOL_ADMIN_IMPORT_MAX ((apr_off_t)64 * 1024 * 1024)
#define APIPOOL_ADMIN_LOGIN_MAX  ((apr_off_t)16 * 1024) /* which anybody may send */

/* Each returns DECLINED, or what was answered to a body that cannot be taken: return it from the handler. */

/**
 * Reads a body that must be a JSON object, into a struct; see apipool_json_read(). Its text is overwritten.
 * @param given result: which members there are
 */
int apipool_admin_read_object(request_rec *r, apr_off_t max, const apipool_json_member_t *members,
                              void *to, unsigned *given);

/* A body on its way, of which no more than a piece is kept. */
typedef struct apipool_admin_incoming_t apipool_admin_incoming_t;

/**
 * Prepares to read a body piece by piece: JSON or, with plain, plain text.
 * @param source result: where its pieces come from
 */
int apipool_admin_open_body(request_rec *r, apr_off_t max, int plain,
                            apipool_admin_incoming_t **incoming, apipool_import_source_t *source);

/** Whether it did not turn out to be too large, or to break off. */
int apipool_admin_body_is_whole(const apipool_admin_incoming_t *incoming);

/* --- Audit: audit.c --- */

/** Writes to the error log at level notice who changed what, and from where. what is ours; the first of ids,
 *  a list of apr_uint64_t or NULL, follow it. */
void apipool_admin_audit(const apipool_admin_request_t *ask, const char *what,
                         const apr_array_header_t *ids);

/** Names what of a table's members is set, as " enabled label"; enabled tells which way. */
const char *apipool_admin_name_set(apr_pool_t *p, const apipool_json_member_t *members,
                                   unsigned set, int enabled);

/* --- Routes: each function answers, and returns OK --- */

typedef int (*apipool_admin_route_fn)(apipool_admin_request_t *ask);

/* session.c */
int apipool_admin_session_open(apipool_admin_request_t *ask);
int apipool_admin_session_show(apipool_admin_request_t *ask);
int apipool_admin_session_close(apipool_admin_request_t *ask);
int apipool_admin_sessions_end(apipool_admin_request_t *ask);

/* pools.c */
int apipool_admin_pools_list(apipool_admin_request_t *ask);
int apipool_admin_pool_show(apipool_admin_request_t *ask);

/** A pool as everybody is shown it; NULL after a message if it cannot be had. */
json_t *apipool_admin_pool_object(const apipool_admin_request_t *ask, apr_uint32_t pool,
                                  apr_pool_t *p);

/* keys.c */
int apipool_admin_keys_list(apipool_admin_request_t *ask);
int apipool_admin_key_show(apipool_admin_request_t *ask);
int apipool_admin_key_edit(apipool_admin_request_t *ask);
int apipool_admin_key_delete(apipool_admin_request_t *ask);

/** Reads which states a text names, separated by commas. Returns 0 if it names another. */
int apipool_admin_key_states(const char *text, unsigned *states);

#define APIPOOL_ADMIN_FILTER_TEXT_MAX 255

/* key_actions.c */
int apipool_admin_keys_import(apipool_admin_request_t *ask);
int apipool_admin_keys_act(apipool_admin_request_t *ask);
int apipool_admin_key_check(apipool_admin_request_t *ask);
int apipool_admin_key_reveal(apipool_admin_request_t *ask);

/* clients.c */
int apipool_admin_clients_list(apipool_admin_request_t *ask);
int apipool_admin_client_create(apipool_admin_request_t *ask);
int apipool_admin_client_show(apipool_admin_request_t *ask);
int apipool_admin_client_edit(apipool_admin_request_t *ask);
int apipool_admin_client_delete(apipool_admin_request_t *ask);

/* stats.c */
int apipool_admin_stats_show(apipool_admin_request_t *ask);
int apipool_admin_requests_list(apipool_admin_request_t *ask);

/* events.c */
int apipool_admin_events_send(apipool_admin_request_t *ask);

/* system.c */
int apipool_admin_health(apipool_admin_request_t *ask);
int apipool_admin_system_show(apipool_admin_request_t *ask);
int apipool_admin_openapi(apipool_admin_request_t *ask);
int apipool_admin_log_level_show(apipool_admin_request_t *ask);
int apipool_admin_log_level_set(apipool_admin_request_t *ask);

#endif
