/* SPDX-License-Identifier: Apache-2.0
 * A growing text that may hold a secret. */
#include "buffer.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 1024

static apr_status_t wipe(void *data)
{
    apipool_buffer_wipe(data);
    return APR_SUCCESS;
}

apipool_buffer_t *apipool_buffer_make(apr_pool_t *p)
{
    apipool_buffer_t *buffer = apr_pcalloc(p, sizeof(*buffer));
    apr_pool_cleanup_register(p, buffer, wipe, apr_pool_cleanup_null);
    return buffer;
}

void apipool_buffer_wipe(apipool_buffer_t *buffer)
{
    if (buffer->text) {
        OPENSSL_cleanse(buffer->text, buffer->room);
        free(buffer->text);
    }
    buffer->text = NULL;
    buffer->len = buffer->room = 0;
}

/* Makes room for so many bytes in total. */
static int grow(apipool_buffer_t *buffer, apr_size_t room)
{
    char *text = malloc(room);
    apr_size_t len = buffer->len;
    if (!text) {
        return 0;
    }
    if (len) {
        memcpy(text, buffer->text, len);
    }
    apipool_buffer_wipe(buffer);
    *buffer = (apipool_buffer_t){text, len, room};
    return 1;
}

int apipool_buffer_add(apipool_buffer_t *buffer, const char *bytes, apr_size_t len)
{
    apr_size_t room = buffer->room ? buffer->room : FIRST_ROOM;
    while (room - buffer->len < len) {
        room *= 2;
    }
    if (room != buffer->room && !grow(buffer, room)) {
        return 0;
    }
    if (len) {
        memcpy(buffer->text + buffer->len, bytes, len);
    }
    buffer->len += len;
    return 1;
}
