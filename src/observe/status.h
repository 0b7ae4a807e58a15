/* SPDX-License-Identifier: Apache-2.0
 * The pools' section in mod_status. */
#ifndef APIPOOL_OBSERVE_STATUS_H
#define APIPOOL_OBSERVE_STATUS_H

#include <httpd.h>

#include "pool.h"

/**
 * Writes the section: a table, or lines of "Name: value" for ?auto. Takes the segment's lock for short times.
 * @param server the name of the server whose pools, and the main server's, are shown
 */
int apipool_status_write(request_rec *r, int flags, apipool_segment_t *segment, const char *server);

#endif
