/* SPDX-License-Identifier: Apache-2.0
 * The users of an admin location: an htpasswd file of bcrypt entries. */
#include "access.h"

#include <apr_md5.h>
#include <apr_strings.h>

#include "key.h"

#define BCRYPT_LEN 60 /* "$2y$05$", 22 characters of salt, 31 of the hash */

/* Compared with if the file has no bcrypt entry at all. No known password matches. */
#define DUMMY_ENTRY "$2y$05$abcdefghijklmnopqrstuuCcCcCcCcCcCcCcCcCcCcCcCcCcCcCcC"

/* The result of a search in the file. */
typedef struct {
    const char *hash;  /* of the user; NULL: no such user */
    const char *any;   /* some bcrypt entry, for the cost of this file's passwords */
    const char *other; /* a user whose entry is not bcrypt */
} lookup_t;

static int is_bcrypt(const char *hash)
{
    return !strncmp(hash, "$2", 2) && hash[2] && strchr("aby", hash[2]) && hash[3] == '$' &&
           strlen(hash) == BCRYPT_LEN;
}

static apr_status_t look_up(apr_pool_t *p, const char *path, const char *user, lookup_t *lookup)
{
    ap_configfile_t *file;
    char line[MAX_STRING_LEN];
    apr_status_t rv = ap_pcfg_openfile(&file, p, path);
    memset(lookup, 0, sizeof(*lookup));
    if (rv != APR_SUCCESS) {
        return rv;
    }
    while (!ap_cfg_getline(line, sizeof(line), file)) {
        const char *rest = line;
        if (!*line || *line == '#') {
            continue;
        }
        const char *name = ap_getword(p, &rest, ':');
        const char *hash = ap_getword(p, &rest, ':');
        if (is_bcrypt(hash)) {
            lookup->any = lookup->any ? lookup->any : hash;
        }
        else {
            lookup->other = lookup->other ? lookup->other : name;
        }
        if (user && !lookup->hash && !strcmp(name, user)) {
            lookup->hash = hash;
        }
    }
    ap_cfg_closefile(file);
    return APR_SUCCESS;
}

const char *apipool_password_file_fault(apr_pool_t *p, const char *path, const char **other)
{
    apr_finfo_t info;
    lookup_t lookup;
    *other = NULL;
    apr_status_t rv = apr_stat(&info, path, APR_FINFO_TYPE, p);
    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        return "this is not a file";
    }
    if (rv == APR_SUCCESS) {
        rv = look_up(p, path, NULL, &lookup);
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "it cannot be read: %pm", &rv);
    }
    *other = lookup.other;
    return NULL;
}

/* Identifies an address for counting failures: an IPv4 address, or the network of an IPv6 one,
 * since one machine has all of that. A dual-stack socket writes IPv4 addresses as IPv6 (RFC 4291
 * section 2.5.5.2), all in one network. Keyed, so that nobody can choose an address with another's
 * number. */
static apr_uint64_t address_number(const request_rec *r)
{
    static const char mapped[12] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";
    const apr_sockaddr_t *address = r->useragent_addr;
    apr_size_t len = (apr_size_t)address->ipaddr_len;
    const char *bytes = address->ipaddr_ptr;
    if (len == 16 && !memcmp(bytes, mapped, sizeof(mapped))) {
        return apipool_caller_hash(bytes + sizeof(mapped), 4);
    }
    return apipool_caller_hash(bytes, len == 16 ? 8 : len);
}

/* Ending all sessions adds another number to the hash, so that older fingerprints no longer
 * match. */
static const char *fingerprint(const apipool_admin_request_t *request, apr_pool_t *p,
                               const char *user, const char *hash)
{
    char hex[APIPOOL_ID_SIZE];
    apr_time_t ended = apipool_admin_api->sessions_ended(apipool_caller_place(request));
    const char *entry = apr_pstrcat(p, user, ":", hash, NULL);
    entry = ended ? apr_psprintf(p, "%s:%" APR_TIME_T_FMT, entry, ended) : entry;
    apr_uint64_t number = apipool_caller_hash(entry, strlen(entry));
    apipool_key_id_hex(number, hex);
    return number ? apr_pstrdup(p, hex) : NULL;
}

const char *apipool_password_fingerprint(const apipool_admin_request_t *request, const char *user,
                                         apr_pool_t *p)
{
    lookup_t lookup;
    const char *path = request->conf->user_file;
    apr_status_t rv = look_up(p, path, user, &lookup);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, request->r,
                      APIPOOL_LOG(0111) "could not read APIPoolAdminUserFile %s", path);
    }
    return rv == APR_SUCCESS && lookup.hash && is_bcrypt(lookup.hash)
               ? fingerprint(request, p, user, lookup.hash)
               : NULL;
}

/* Does the same work whether or not the user exists. */
static int is_right(request_rec *r, const lookup_t *lookup, const char *user, const char *password)
{
    int usable = lookup->hash && is_bcrypt(lookup->hash);
    const char *hash = usable ? lookup->hash : lookup->any ? lookup->any : DUMMY_ENTRY;
    int valid = apr_password_validate(password, hash) == APR_SUCCESS;
    if (lookup->hash && !usable) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      APIPOOL_LOG(0112) "user \"%s\" cannot sign in: the entry is not bcrypt; "
                                        "set the password again with htpasswd -B",
                      user);
    }
    return usable && valid;
}

static int unreadable(request_rec *r)
{
    return apipool_admin_error(r, HTTP_INTERNAL_SERVER_ERROR, "failed",
                               "Passwords cannot be checked; the error log says why.");
}

int apipool_password_check(const apipool_admin_request_t *request, const char *user,
                           const char *password, const char **entry)
{
    request_rec *r = request->r;
    lookup_t lookup;
    apr_uint64_t address = address_number(r);
    apr_status_t rv =
        address ? look_up(r->pool, request->conf->user_file, user, &lookup) : APR_EGENERAL;
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      APIPOOL_LOG(0113) "nobody can sign in: could not read the secret or "
                                        "APIPoolAdminUserFile %s",
                      request->conf->user_file);
        return unreadable(r);
    }
    apr_interval_time_t wait = apipool_admin_api->login_wait(address, apr_time_now());
    if (wait > 0) {
        return apipool_admin_retry_later(r, HTTP_TOO_MANY_REQUESTS, "too_many_failures",
                                         "Too many wrong passwords from this address. Wait as long "
                                         "as Retry-After says.",
                                         wait);
    }
    int right = is_right(r, &lookup, user, password);
    apipool_admin_api->login_result(address, right, apr_time_now());
    if (!right) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                      APIPOOL_LOG(0114) "wrong password for %s%s%s from %s",
                      lookup.hash ? "user \"" : "a user that is not there", lookup.hash ? user : "",
                      lookup.hash ? "\"" : "", r->useragent_ip);
        return apipool_admin_error(r, HTTP_UNAUTHORIZED, "invalid_credentials",
                                   "The user name or the password is wrong.");
    }
    *entry = fingerprint(request, r->pool, user, lookup.hash);
    return *entry ? DECLINED : unreadable(r);
}
