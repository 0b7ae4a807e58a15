/* SPDX-License-Identifier: Apache-2.0
 * Sessions that were ended, as records: kept with the keys, so that a restart does not bring them back. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "sessions.h"
#include "store_parts.h"

enum { SESSION_UNTIL = 1 };

#define NAME_LEN 17 /* "s0123456789abcdef" */
#define BATCH    256

static void save(apipool_saving_t *saving, const apipool_revoked_t *session)
{
    apipool_record_writer_t writer;
    char name[NAME_LEN + 1];
    apr_snprintf(name, sizeof(name), "s%016" APR_UINT64_T_HEX_FMT, session->jti);
    apipool_record_begin(&writer, saving->record, sizeof(saving->record));
    apipool_record_put_i64(&writer, SESSION_UNTIL, session->until);
    apipool_saving_put(saving, name, &writer);
}

apr_status_t apipool_store_write_sessions(apipool_saving_t *saving)
{
    const apipool_revoked_t *ended = saving->change ? saving->change->session : NULL;
    apipool_revoked_t rows[BATCH];
    apr_uint32_t from = 0, count;
    while (from != APIPOOL_NONE) {
        apr_status_t rv = apipool_sessions_read(saving->store->segment, apr_time_now(), &from, rows,
                                                BATCH, &count);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        for (apr_uint32_t i = 0; i < count; i++) {
            if (!ended || ended->jti != rows[i].jti) {
                save(saving, &rows[i]);
            }
        }
    }
    if (ended) {
        save(saving, ended);
    }
    return APR_SUCCESS;
}

void apipool_store_read_session(apipool_stored_keys_t *keys, const char *name, apr_size_t name_len,
                                const char *value, apr_size_t len)
{
    apipool_revoked_t session = {.jti = 0};
    apipool_record_reader_t reader;
    apipool_record_field_t field;
    char hex[NAME_LEN] = "";
    if (name_len != NAME_LEN || name[0] != 's' || !apipool_record_open(&reader, value, len)) {
        return;
    }
    memcpy(hex, name + 1, NAME_LEN - 1);
    session.jti = strtoull(hex, NULL, 16);
    while (apipool_record_next(&reader, &field)) {
        session.until = field.tag == SESSION_UNTIL ? apipool_record_i64(&field) : session.until;
    }
    if (apipool_record_is_whole(&reader) && session.jti) {
        APR_ARRAY_PUSH(keys->sessions, apipool_revoked_t) = session;
    }
}

apr_status_t apipool_store_put_sessions(apipool_segment_t *segment,
                                        const apipool_stored_keys_t *keys)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < keys->sessions->nelts; i++) {
        const apipool_revoked_t *session = &APR_ARRAY_IDX(keys->sessions, i, apipool_revoked_t);
        rv = apipool_sessions_revoke(segment, session->jti, session->until, apr_time_now());
    }
    return rv;
}
