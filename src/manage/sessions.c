/* SPDX-License-Identifier: Apache-2.0
 * Sessions of operators: what they are signed with, which were ended, who may try a password, who watches. */
#include "manage.h"

#include <openssl/crypto.h>
#include <string.h>

#include "lasting.h"
#include "sessions.h"
#include "vault.h"

apr_status_t apipool_manage_session_secret(unsigned char secret[32])
{
    if (apipool_vault_session_key(apipool_lasting_segment()->header->secret, secret)) {
        return APR_SUCCESS;
    }
    OPENSSL_cleanse(secret, 32);
    return APR_EGENERAL;
}

apr_status_t apipool_manage_session_revoke(apr_uint64_t jti, apr_time_t until, apr_pool_t *p,
                                           const char **error)
{
    (void)p;
    apr_status_t rv =
        apipool_sessions_revoke(apipool_lasting_segment(), jti, until, apr_time_now());
    *error = rv == APR_SUCCESS ? NULL : "the session cannot be ended: shared memory is not usable";
    return rv;
}

int apipool_manage_session_is_revoked(apr_uint64_t jti)
{
    return apipool_sessions_is_revoked(apipool_lasting_segment(), jti);
}

apr_interval_time_t apipool_manage_login_wait(apr_uint64_t address, apr_time_t now)
{
    return apipool_sessions_login_wait(apipool_lasting_segment(), address, now);
}

void apipool_manage_login_result(apr_uint64_t address, int right, apr_time_t now)
{
    apipool_sessions_login_result(apipool_lasting_segment(), address, right, now);
}

int apipool_manage_viewer_enter(int max)
{
    return apipool_sessions_viewer_enter(apipool_lasting_segment(), max);
}

void apipool_manage_viewer_leave(void)
{
    apipool_sessions_viewer_leave(apipool_lasting_segment());
}
