/* SPDX-License-Identifier: Apache-2.0
 * The users of an admin location: an htpasswd file of bcrypt entries. */
#include "access.h"

#include <apr_md5.h>
#include <apr_strings.h>

#include "key.h"

#define BCRYPT_LEN 60 /* "$2y$05$", 22 characters of salt, 31 of the hash */

/* What is compared with where the file has no bcrypt entry at all. No password is known that fits. */
#define NOBODYS_ENTRY "$2y$05$abcdefghijklmnopqrstuuCcCcCcCcCcCcCcCcCcCcCcCcCcCcCcC"

/* What a look through the file found. */
typedef struct {
    const char *hash;  /* of the user; NULL: there is no such user */
    const char *any;   /* a bcrypt entry: the work that a password of this file takes */
    const char *other; /* a user whose entry is of another kind */
} found_t;

static int is_bcrypt(const char *hash)
{
    return !strncmp(hash, "$2", 2) && hash[2] && strchr("aby", hash[2]) && hash[3] == '$' &&
           strlen(hash) == BCRYPT_LEN;
}

static apr_status_t look_up(apr_pool_t *p, const char *path, const char *user, found_t *found)
{
    ap_configfile_t *file;
    char line[MAX_STRING_LEN];
    apr_status_t rv = ap_pcfg_openfile(&file, p, path);
    memset(found, 0, sizeof(*found));
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
            found->any = found->any ? found->any : hash;
        }
        else {
            found->other = found->other ? found->other : name;
        }
        if (user && !found->hash && !strcmp(name, user)) {
            found->hash = hash;
        }
    }
    ap_cfg_closefile(file);
    return APR_SUCCESS;
}

const char *apipool_password_file_fault(apr_pool_t *p, const char *path, const char **other)
{
    apr_finfo_t info;
    found_t found;
    *other = NULL;
    apr_status_t rv = apr_stat(&info, path, APR_FINFO_TYPE, p);
    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        return "this is not a file";
    }
    if (rv == APR_SUCCESS) {
        rv = look_up(p, path, NULL, &found);
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "it cannot be read: %pm", &rv);
    }
    *other = found.other;
    return NULL;
}

/* By what failures are counted: an IPv4 address, or the network of an IPv6 one, of which one machine has all.
 * A socket for both writes IPv4 addresses as IPv6 (RFC 4291 section 2.5.5.2), all of one network. Keyed, so
 * that nobody can choose an address that shares another's place. */
static apr_uint64_t place_of(const request_rec *r)
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

/* All sessions here end when another number takes part in what they were opened with. */
static const char *fingerprint(const apipool_admin_request_t *ask, apr_pool_t *p, const char *user,
                               const char *hash)
{
    char hex[APIPOOL_ID_SIZE];
    apr_time_t ended = apipool_admin_api->sessions_ended(apipool_caller_place(ask));
    const char *entry = apr_pstrcat(p, user, ":", hash, NULL);
    entry = ended ? apr_psprintf(p, "%s:%" APR_TIME_T_FMT, entry, ended) : entry;
    apr_uint64_t number = apipool_caller_hash(entry, strlen(entry));
    apipool_key_id_hex(number, hex);
    return number ? apr_pstrdup(p, hex) : NULL;
}

const char *apipool_password_fingerprint(const apipool_admin_request_t *ask, const char *user,
                                         apr_pool_t *p)
{
    found_t found;
    const char *path = ask->conf->user_file;
    apr_status_t rv = look_up(p, path, user, &found);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, ask->r,
                      APIPOOL_LOG(0111) "could not read APIPoolAdminUserFile %s", path);
    }
    return rv == APR_SUCCESS && found.hash && is_bcrypt(found.hash)
               ? fingerprint(ask, p, user, found.hash)
               : NULL;
}

/* The same work whether there is such a user or not. */
static int fits(request_rec *r, const found_t *found, const char *user, const char *password)
{
    int usable = found->hash && is_bcrypt(found->hash);
    const char *hash = usable ? found->hash : found->any ? found->any : NOBODYS_ENTRY;
    int valid = apr_password_validate(password, hash) == APR_SUCCESS;
    if (found->hash && !usable) {
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

int apipool_password_is_right(const apipool_admin_request_t *ask, const char *user,
                              const char *password, const char **entry)
{
    request_rec *r = ask->r;
    found_t found;
    apr_uint64_t place = place_of(r);
    apr_status_t rv = place ? look_up(r->pool, ask->conf->user_file, user, &found) : APR_EGENERAL;
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      APIPOOL_LOG(0113) "nobody can sign in: could not read the secret or "
                                        "APIPoolAdminUserFile %s",
                      ask->conf->user_file);
        return unreadable(r);
    }
    apr_interval_time_t wait = apipool_admin_api->login_wait(place, apr_time_now());
    if (wait > 0) {
        return apipool_admin_later(r, HTTP_TOO_MANY_REQUESTS, "too_many_failures",
                                   "Too many wrong passwords from this address. Wait as long "
                                   "as Retry-After says.",
                                   wait);
    }
    int right = fits(r, &found, user, password);
    apipool_admin_api->login_result(place, right, apr_time_now());
    if (!right) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                      APIPOOL_LOG(0114) "wrong password for %s%s%s from %s",
                      found.hash ? "user \"" : "a user that is not there", found.hash ? user : "",
                      found.hash ? "\"" : "", r->useragent_ip);
        return apipool_admin_error(r, HTTP_UNAUTHORIZED, "invalid_credentials",
                                   "The user name or the password is wrong.");
    }
    *entry = fingerprint(ask, r->pool, user, found.hash);
    return *entry ? DECLINED : unreadable(r);
}
