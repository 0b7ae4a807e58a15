/* SPDX-License-Identifier: Apache-2.0
 * Secrets of a store: the present one, one inside the store from an earlier version, and a new
 * one. */
#include <apr_strings.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>

#include "secret.h"
#include "store_parts.h"

static void report(const apipool_store_t *store, const char *sentence)
{
    store->settings.report(store->settings.ctx, sentence);
}

static int exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static apr_status_t open_vault(apipool_vault_t *vault, const unsigned char *secret,
                               const char **error)
{
    if (apipool_vault_open(vault, secret)) {
        return APR_SUCCESS;
    }
    *error = "libcrypto cannot derive keys from the secret";
    return APR_EGENERAL;
}

/* A restart must not stop the server because of the file of a secret that it already has. */
static void keep_in_use(apipool_store_t *store, const char *error, apr_pool_t *pool)
{
    const apipool_store_settings_t *settings = &store->settings;
    if (!error && CRYPTO_memcmp(store->secret, settings->in_use, sizeof(store->secret))) {
        error = apr_psprintf(pool, "secret file %s is not the one that the store was made with",
                             settings->secret_path);
    }
    if (error) {
        report(store, apr_pstrcat(pool, error,
                                  "; httpd goes on with the secret that it has, but after a full "
                                  "stop the pools would not serve",
                                  NULL));
    }
    memcpy(store->secret, settings->in_use, sizeof(store->secret));
}

apr_status_t apipool_store_refuse_empty(const apipool_store_t *store, const char **error,
                                        apr_pool_t *pool)
{
    const char *mark = apipool_secret_mark(store->settings.secret_path, store->path, pool);
    if (!exists(mark)) {
        return APR_SUCCESS;
    }
    *error = apr_psprintf(pool,
                          "store %s is empty, but %s says that it had data, and no pool starts "
                          "empty in its place; put back its files from a backup, or begin anew: "
                          "rm %s",
                          store->path, mark, mark);
    return APR_EGENERAL;
}

/* A missing secret is created only if there is nothing that it would have to open. A secret
 * inside the store, from an earlier version, must open the store before it is moved. A store
 * with a mark has had its secret elsewhere, so a secret inside it was planted. */
static apr_status_t read_current(apipool_store_t *store, const char **error, apr_pool_t *pool)
{
    const apipool_store_settings_t *settings = &store->settings;
    const char *path = settings->secret_path;
    const char *mark = apipool_secret_mark(path, store->path, pool);
    int is_new = !settings->in_use && apipool_folder_is_new(store->folder, pool);

    if (is_new && apipool_store_refuse_empty(store, error, pool) != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    if (!is_new && !settings->in_use && !exists(path) && !exists(mark) &&
        apipool_folder_secret(store->folder, path, store->secret) == APR_SUCCESS) {
        store->is_carried = 1;
        return APR_SUCCESS;
    }
    apr_status_t rv =
        apipool_secret_read(path, is_new && !settings->looks, store->secret, error, pool);
    if (settings->looks && is_new && rv == APR_ENOENT) { /* a start would make it */
        return APR_SUCCESS;
    }
    if (settings->in_use) {
        keep_in_use(store, *error, pool);
        rv = APR_SUCCESS;
    }
    return rv;
}

/* Also accepts seals made with the new secret: a replacement may have been interrupted. */
static apr_status_t read_next(apipool_store_t *store, const char **error, apr_pool_t *pool)
{
    const char *path = apipool_secret_next(store->settings.secret_path, pool);
    if (!exists(path)) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apipool_secret_read(path, 0, store->next_secret, error, pool);
    if (rv == APR_SUCCESS && !apipool_vault_open(&store->next_vault, store->next_secret)) {
        *error = "libcrypto cannot derive keys from the new secret";
        rv = APR_EGENERAL;
    }
    store->has_next = rv == APR_SUCCESS;
    if (store->has_next) {
        apipool_folder_use_other(store->folder, store->next_vault.mac_key);
    }
    else if (store->settings.in_use) {
        report(store,
               apr_pstrcat(pool, *error, "; httpd goes on with the secret that it has", NULL));
        rv = APR_SUCCESS;
    }
    return rv;
}

apr_status_t apipool_store_read_secrets(apipool_store_t *store, const char **error,
                                        apr_pool_t *pool)
{
    apr_status_t rv = read_current(store, error, pool);
    if (rv == APR_SUCCESS) {
        rv = open_vault(&store->vault, store->secret, error);
    }
    return rv == APR_SUCCESS ? read_next(store, error, pool) : rv;
}

apr_status_t apipool_store_follow_secret(apipool_store_t *store, const char **error)
{
    const unsigned char *current = apipool_segment_store(store->segment)->sealed_with;
    if (CRYPTO_memcmp(store->secret, current, sizeof(store->secret)) == 0) {
        return APR_SUCCESS;
    }
    memcpy(store->secret, current, sizeof(store->secret));
    return open_vault(&store->vault, store->secret, error);
}

/* --- After the store was read --- */

/* Moves the secret out of the store, also after an interruption between copy and removal, but
 * only if the content of the store has proved that it is the right one. */
static void carry_over(apipool_store_t *store, apr_pool_t *pool)
{
    unsigned char old[APIPOOL_SECRET_SIZE];
    const char *error = NULL, *path = store->settings.secret_path;
    apr_status_t rv = apipool_folder_secret(store->folder, path, old);
    int is_current = rv == APR_SUCCESS && CRYPTO_memcmp(old, store->secret, sizeof(old)) == 0;

    OPENSSL_cleanse(old, sizeof(old));
    if (!is_current) {
        return;
    }
    if (store->is_carried && !apipool_folder_has_loaded(store->folder)) {
        error = apr_psprintf(pool,
                             "there is nothing in the store %s that shows its secret to be the "
                             "right one",
                             store->path);
        rv = APR_EGENERAL;
    }
    else if (store->is_carried) {
        rv = apipool_secret_put(path, store->secret, &error, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_folder_remove_secret(store->folder, pool);
        error = "it cannot be removed from the store";
    }
    report(store, rv == APR_SUCCESS
                      ? apr_psprintf(pool,
                                     "the secret file has moved from %s/secret to %s; keep a copy "
                                     "of it apart from the copies of the store",
                                     store->path, path)
                      : apr_psprintf(pool,
                                     "the secret file stays in the store %s, where it is not "
                                     "safe from httpd's children: %s",
                                     store->path, error));
}

/* Writes both kinds twice, so that the previous generation is sealed with the new secret as
 * well, and the old one opens none. */
static apr_status_t replace_secret_held(apipool_store_t *store, const char **error,
                                        apr_pool_t *pool)
{
    const char *ignored;
    apr_status_t rv = APR_SUCCESS;
    memcpy(store->secret, store->next_secret, sizeof(store->secret));
    store->vault = store->next_vault;
    for (int i = 0; rv == APR_SUCCESS && i < 2 * APIPOOL_STORE_KINDS; i++) {
        rv = apipool_store_write(store, (apipool_store_kind_e)(i / 2), NULL, error, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_secret_replace(store->settings.secret_path, error, pool);
    }
    if (rv == APR_SUCCESS) { /* children follow at their next write */
        memcpy(apipool_segment_store(store->segment)->sealed_with, store->secret,
               sizeof(store->secret));
        store->has_next = 0;
    }
    else {
        apipool_store_follow_secret(store, &ignored);
    }
    return rv;
}

static void replace_secret(apipool_store_t *store, apr_pool_t *pool)
{
    const char *error = NULL, *path = store->settings.secret_path;
    apr_status_t rv = apipool_store_hold(store, &error, pool);
    if (rv == APR_SUCCESS) {
        rv = replace_secret_held(store, &error, pool);
        apipool_store_release(store);
    }
    report(store,
           rv == APR_SUCCESS
               ? apr_psprintf(pool,
                              "the secret was replaced: %s.new is %s now, and the whole store "
                              "is sealed with it; all operators have to sign in again",
                              path, path)
               : apr_psprintf(pool,
                              "the secret was not replaced by %s.new, will retry "
                              "at the next restart; keep both files: %s",
                              path, error));
}

apr_status_t apipool_store_settle(apipool_store_t *store, const char **error, apr_pool_t *pool)
{
    const char *unmarked;
    apr_status_t rv = APR_SUCCESS;
    carry_over(store, pool);
    if (store->has_next) {
        replace_secret(store, pool);
    }
    if (apipool_store_has_unsaved_keys(store) || apipool_folder_is_new(store->folder, pool)) {
        rv = apipool_store_save_keys(store, error, pool);
    }
    if (rv == APR_SUCCESS && apipool_secret_put_mark(store->settings.secret_path, store->path,
                                                     &unmarked, pool) != APR_SUCCESS) {
        report(store, apr_pstrcat(pool, unmarked,
                                  "; should the store be lost, that would not be noticed", NULL));
    }
    return rv;
}
