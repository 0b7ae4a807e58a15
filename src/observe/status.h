/* SPDX-License-Identifier: Apache-2.0
 * Section of mod_status with the pools. */
#ifndef APIPOOL_OBSERVE_STATUS_H
#define APIPOOL_OBSERVE_STATUS_H

#include <httpd.h>

#include "pool.h"

/**
 * Writes the section: a table, or lines of "Name: value" for ?auto. Takes the segment's lock for
 * short times.
 * @param server name of the server; its pools and the main server's are shown
 */
int apipool_status_write(request_rec *r, int flags, apipool_segment_t *segment, const char *server);

#endif
