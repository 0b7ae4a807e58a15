/* SPDX-License-Identifier: Apache-2.0
 * Sessions of operators: signing key, ended sessions, wrong passwords, viewers. */
#include "manage.h"

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "lifecycle.h"
#include "sessions.h"
#include "vault.h"

apr_status_t apipool_manage_session_secret(unsigned char secret[32])
{
    if (apipool_vault_session_key(apipool_segment_store(apipool_lifecycle_segment())->sealed_with,
                                  secret)) {
        return APR_SUCCESS;
    }
    OPENSSL_cleanse(secret, 32);
    return APR_EGENERAL;
}

static apr_status_t end_session(void *ctx)
{
    const apipool_revoked_t *session = ctx;
    return apipool_sessions_revoke(apipool_lifecycle_segment(), session->jti, session->until,
                                   apr_time_now());
}

static apr_status_t prepare_end(void *ctx, int *changes, const char **error)
{
    const apipool_revoked_t *session = ctx;
    *changes = session->until > apr_time_now() &&
               session->until > apipool_sessions_until(apipool_lifecycle_segment(), session->jti);
    return APR_SUCCESS;
}

/* If the change cannot be saved, the session is at least ended in memory. */
apr_status_t apipool_manage_session_revoke(apr_uint64_t jti, apr_time_t until, apr_pool_t *p,
                                           apipool_input_error_t *flaw)
{
    apipool_revoked_t session = {.jti = jti, .until = until};
    apipool_store_change_t change = {
        .prepare = prepare_end, .session = &session, .apply = end_session, .ctx = &session};
    apipool_store_t *store = apipool_lifecycle_store();
    apr_status_t rv = store && jti ? apipool_store_change(store, &change, &flaw->message, p)
                                   : end_session(&session);
    if (rv != APR_SUCCESS && end_session(&session) == APR_SUCCESS) {
        flaw->message =
            apr_psprintf(p, "the session ended in memory, but would be back after a full stop (%s)",
                         flaw->message ? flaw->message : "it could not be saved");
    }
    else if (rv != APR_SUCCESS && !flaw->message) {
        flaw->message = "the session could not be ended";
    }
    return rv;
}

int apipool_manage_session_is_revoked(apr_uint64_t jti)
{
    return apipool_sessions_is_revoked(apipool_lifecycle_segment(), jti);
}

/* Stored like an ended session, for the longest life time of a session. Each call sets a new
 * time. */
apr_status_t apipool_manage_sessions_end(apr_uint64_t place, apr_pool_t *p,
                                         apipool_input_error_t *flaw)
{
    apr_time_t before = apipool_sessions_until(apipool_lifecycle_segment(), place);
    apr_time_t until = apr_time_now() + apr_time_from_sec(APIPOOL_SESSION_LONGEST);
    return apipool_manage_session_revoke(place, until > before ? until : before + 1, p, flaw);
}

apr_time_t apipool_manage_sessions_ended(apr_uint64_t place)
{
    return apipool_sessions_until(apipool_lifecycle_segment(), place);
}

apr_interval_time_t apipool_manage_login_wait(apr_uint64_t address, apr_time_t now)
{
    return apipool_sessions_login_wait(apipool_lifecycle_segment(), address, now);
}

void apipool_manage_login_result(apr_uint64_t address, int right, apr_time_t now)
{
    apipool_sessions_login_result(apipool_lifecycle_segment(), address, right, now);
}

int apipool_manage_viewer_enter(apr_uint64_t place, int max)
{
    return apipool_sessions_viewer_enter(apipool_lifecycle_segment(), place, max);
}

void apipool_manage_viewer_leave(apr_uint64_t place)
{
    apipool_sessions_viewer_leave(apipool_lifecycle_segment(), place);
}
