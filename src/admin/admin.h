/* SPDX-License-Identifier: Apache-2.0
 * The admin module's own header: its configuration, one request to it, and what its files share. */
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

/* The only exported symbol of the DSO: everything else has hidden visibility. */
extern module AP_MODULE_DECLARE_DATA apipool_admin_module __attribute__((visibility("default")));

/* A tag is never reused, since operators search for it. Each call site has its own. */
#define APIPOOL_LOG(number) "AP" #number ": "

#define APIPOOL_ADMIN_HANDLER "apipool-admin"

#define APIPOOL_ADMIN_USER_MAX     255 /* bytes */
#define APIPOOL_ADMIN_PASSWORD_MAX 1024

/* --- Configuration: config.c --- */

typedef enum {
    APIPOOL_ADMIN_AUTH_UNSET,
    APIPOOL_ADMIN_AUTH_SESSION, /* login by this module */
    APIPOOL_ADMIN_AUTH_HTTPD    /* any user authenticated by httpd */
} apipool_admin_auth_e;

/* Configuration of a location; NULL, 0 or, for flags, -1 mean not set. Lists are of const char
 * *. */
typedef struct {
    const char *root;  /* APIPoolAdminRoot; NULL: the folder of make install */
    const char *mount; /* path of the <Location> with SetHandler, without a trailing slash */
    const char *user_file;
    apipool_admin_auth_e auth;
    apr_array_header_t *pools;   /* the only pools shown; NULL: all that the server sees */
    apr_array_header_t *viewers; /* users with read-only access */
    int session_seconds;         /* 0: APIPOOL_ADMIN_SESSION_DEFAULT */
    int reveal;
} apipool_admin_conf_t;

#define APIPOOL_ADMIN_SESSION_DEFAULT 86400

void *apipool_admin_create_dir(apr_pool_t *p, char *path);
void *apipool_admin_merge_dir(apr_pool_t *p, void *base, void *add);
void *apipool_admin_create_server(apr_pool_t *p, server_rec *s);

/** Handles SetHandler along with httpd: if it names this module, its location becomes the mount. */
const char *apipool_admin_note_handler(cmd_parms *cmd, void *dir, const char *handler);
const char *apipool_admin_set_root(cmd_parms *cmd, void *dir, const char *path);
const char *apipool_admin_set_user_file(cmd_parms *cmd, void *dir, const char *path);
const char *apipool_admin_set_auth(cmd_parms *cmd, void *dir, const char *word);
const char *apipool_admin_set_pools(cmd_parms *cmd, void *dir, const char *name);
const char *apipool_admin_set_viewers(cmd_parms *cmd, void *dir, const char *name);
const char *apipool_admin_set_session(cmd_parms *cmd, void *dir, const char *seconds);
const char *apipool_admin_set_reveal(cmd_parms *cmd, void *dir, int on);

/** Returns the server whose location answers: a virtual host with admin directives of its own, else
 *  the main server, whose location all other virtual hosts share. */
const server_rec *apipool_admin_owner(const request_rec *r);

/** Returns the maximum number of event streams per location, so that no location can take all
 *  threads: a share of 32, but at least 4. */
int apipool_admin_viewers_each(void);

/** Checks what needs the whole configuration: unknown pools, and the number of locations. Returns
 *  OK or a status. */
int apipool_admin_check_config(apr_pool_t *ptemp, server_rec *main_server);

/** Warns at start about locations that nobody can use. */
void apipool_admin_warn(server_rec *main_server, apr_pool_t *ptemp);

/* --- One request --- */

typedef enum {
    APIPOOL_ROLE_NOBODY,
    APIPOOL_ROLE_VIEWER,
    APIPOOL_ROLE_ADMIN,
} apipool_role_e;

/* The user who sent a request. */
typedef struct {
    const char *user; /* NULL: unknown */
    apipool_role_e role;
    int presented;       /* a credential was sent, valid or not */
    int is_ambient;      /* a browser may have sent the credential on its own */
    apr_uint64_t number; /* of the session; 0: none */
    const char *entry;   /* fingerprint of the password entry at sign-in */
    apr_time_t expires;  /* end of the session */
} apipool_caller_t;

/* A request to the API on its way to a route's function. */
typedef struct {
    request_rec *r;
    const apipool_admin_conf_t *conf;
    const char *mount; /* path of the location, without a trailing slash */
    apipool_caller_t caller;
    const char *pool_name, *key,
        *name;         /* taken from the path, or NULL: a pool, a key's id, a client */
    apr_uint32_t pool; /* index of that pool */
    apr_uint64_t id;   /* that id; 0: none */
} apipool_admin_request_t;

/** The pool module's function table; set once, when the configuration is checked. */
extern const apipool_api_t *apipool_admin_api;

/** Handler hook: serves locations with SetHandler apipool-admin. */
int apipool_admin_handler(request_rec *r);

/** Sends a file of the dashboard; path is relative to the root and does not begin with '/'. */
int apipool_admin_send_page(request_rec *r, const char *root, const char *path);

/** Lists the pools visible here: apipool_pool_info_t. */
apr_array_header_t *apipool_admin_pools(const apipool_admin_request_t *request);

/** Finds a pool in such a list by name; NULL if there is none. */
const apipool_pool_info_t *apipool_admin_find_pool(const apr_array_header_t *pools,
                                                   const char *name);

/* --- Languages: language.c --- */

/** The API's messages in Chinese, one row per sentence. t/check_messages knows their sources. */
extern const apipool_phrase_t apipool_messages_zh[];

/** Translates an English sentence into the client's preferred language (RFC 9110 section 12.5.4);
 *  English is the fallback. Sets the answer's language fields. NULL stays NULL. */
const char *apipool_admin_text(request_rec *r, const char *english);

/** Translates a member of an object in place if it is a string. */
void apipool_admin_translate(request_rec *r, json_t *object, const char *member);

/* --- Answers: reply.c. All functions return OK: the answer has been sent. --- */

/** Sends a JSON value and frees it. */
int apipool_admin_reply(request_rec *r, int status, json_t *value);

/** Sends a JSON value with a secret in it, and overwrites the text. */
int apipool_admin_reply_secret(request_rec *r, int status, json_t *value);

/** 204 */
int apipool_admin_reply_nothing(request_rec *r);

/** Sends {"error":{"code","message"}}. Pass an English message, never client input; it is
 *  translated here. */
int apipool_admin_error(request_rec *r, int status, const char *code, const char *message);

/** Sends 401: there is no valid session. */
int apipool_admin_unauthorized(request_rec *r);

/** Sends a 400 error with the name of a member or parameter, or NULL. */
int apipool_admin_refuse(request_rec *r, const char *field, const char *message);

/**
 * Answers for a failed function of the table: 404 for what the path names, 400, 409, 507, or 500.
 * @param what what failed, for the log: "the keys of pool main cannot be listed"
 * @param flaw the function's error, or NULL
 */
int apipool_admin_failed(const apipool_admin_request_t *request, apr_status_t rv, const char *what,
                         const apipool_input_error_t *flaw);

/** Sends 429 or 503 with Retry-After. */
int apipool_admin_retry_later(request_rec *r, int status, const char *code, const char *message,
                              apr_interval_time_t wait);

/* --- Bodies: body.c --- */

#define APIPOOL_ADMIN_BODY_MAX   ((apr_off_t)8 * 1024 * 1024)
#define APIPOOL_ADMIN_IMPORT_MAX ((apr_off_t)64 * 1024 * 1024)
#define APIPOOL_ADMIN_LOGIN_MAX  ((apr_off_t)16 * 1024) /* open to anybody */

/* Each function returns DECLINED, or the status of an error answer already sent: return that from
 * the handler. */

/**
 * Reads a body that must be a JSON object into a struct; see apipool_json_read(). Overwrites its
 * text.
 * @param given result: the members that are present
 */
int apipool_admin_read_object(request_rec *r, apr_off_t max, const apipool_json_member_t *members,
                              void *to, unsigned *given);

/* A body being read, of which only one piece is kept at a time. */
typedef struct apipool_admin_incoming_t apipool_admin_incoming_t;

/**
 * Prepares to read a body piece by piece: JSON or, with plain, plain text.
 * @param source result: supplies its pieces
 */
int apipool_admin_open_body(request_rec *r, apr_off_t max, int plain,
                            apipool_admin_incoming_t **incoming, apipool_import_source_t *source);

/** Checks, after reading, that the body was not too large and did not break off. */
int apipool_admin_check_body(const apipool_admin_incoming_t *incoming);

/* --- Audit: audit.c --- */

/** Logs at level notice who changed what, and from where. Pass a constant text as what, never
 *  client input; the first of ids, a list of apr_uint64_t or NULL, is appended. */
void apipool_admin_audit(const apipool_admin_request_t *request, const char *what,
                         const apr_array_header_t *ids);

/** Lists the members of a table that are set, as " enabled label"; enabled selects enabled or
 *  disabled. */
const char *apipool_admin_name_set(apr_pool_t *p, const apipool_json_member_t *members,
                                   unsigned set, int enabled);

/* --- Routes: each function sends an answer and returns OK --- */

typedef int (*apipool_admin_route_fn)(apipool_admin_request_t *request);

/* session.c */
int apipool_admin_session_open(apipool_admin_request_t *request);
int apipool_admin_session_show(apipool_admin_request_t *request);
int apipool_admin_session_close(apipool_admin_request_t *request);
int apipool_admin_sessions_end(apipool_admin_request_t *request);

/* pools.c */
int apipool_admin_pools_list(apipool_admin_request_t *request);
int apipool_admin_pool_show(apipool_admin_request_t *request);
int apipool_admin_pool_edit(apipool_admin_request_t *request);

/** Returns a pool as shown to all users; NULL after sending an error. */
json_t *apipool_admin_pool_object(const apipool_admin_request_t *request, apr_uint32_t pool,
                                  apr_pool_t *p);

/* keys.c */
int apipool_admin_keys_list(apipool_admin_request_t *request);
int apipool_admin_keys_search(apipool_admin_request_t *request);
int apipool_admin_key_show(apipool_admin_request_t *request);
int apipool_admin_key_edit(apipool_admin_request_t *request);
int apipool_admin_key_delete(apipool_admin_request_t *request);

/** Reads state names separated by commas. Returns 0 if one is unknown. */
int apipool_admin_key_states(const char *text, unsigned *states);

/** For the audit line of a deletion: how many of the keys key files have; "" if none. */
const char *apipool_admin_listed(apr_pool_t *p, const apipool_key_changed_t *changed);

#define APIPOOL_ADMIN_FILTER_TEXT_MAX 255

/* key_actions.c */
int apipool_admin_keys_import(apipool_admin_request_t *request);
int apipool_admin_keys_act(apipool_admin_request_t *request);
int apipool_admin_key_check(apipool_admin_request_t *request);
int apipool_admin_key_reveal(apipool_admin_request_t *request);

/* clients.c */
int apipool_admin_clients_list(apipool_admin_request_t *request);
int apipool_admin_client_create(apipool_admin_request_t *request);
int apipool_admin_client_show(apipool_admin_request_t *request);
int apipool_admin_client_edit(apipool_admin_request_t *request);
int apipool_admin_client_delete(apipool_admin_request_t *request);
int apipool_admin_client_rotate(apipool_admin_request_t *request);
int apipool_admin_client_end_old_key(apipool_admin_request_t *request);

/* archive.c */
int apipool_admin_archive_export(apipool_admin_request_t *request);
int apipool_admin_archive_import(apipool_admin_request_t *request);

/* stats.c */
int apipool_admin_stats_show(apipool_admin_request_t *request);
int apipool_admin_requests_list(apipool_admin_request_t *request);

/* events.c */
int apipool_admin_events_send(apipool_admin_request_t *request);

/* system.c */
int apipool_admin_health(apipool_admin_request_t *request);
int apipool_admin_system_show(apipool_admin_request_t *request);
int apipool_admin_unreached_list(apipool_admin_request_t *request);
int apipool_admin_unreached_move(apipool_admin_request_t *request);
int apipool_admin_openapi(apipool_admin_request_t *request);
int apipool_admin_log_level_show(apipool_admin_request_t *request);
int apipool_admin_log_level_set(apipool_admin_request_t *request);

#endif
