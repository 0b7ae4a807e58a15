/* SPDX-License-Identifier: Apache-2.0
 * Which scope a server's pools and clients have, and what of the store is taken over by which. */
#ifndef APIPOOL_CONFIG_SCOPES_H
#define APIPOOL_CONFIG_SCOPES_H

#include "config.h"
#include "segment.h"

/**
 * Gives each server its scope, and takes over what the store has under a name that no server has
 * any more: parent, with the segment filled, before pools are attached. What has one possible new
 * owner goes there; everything else stays, unreached.
 */
apr_status_t apipool_scopes_settle(server_rec *main_server, apipool_segment_t *segment,
                                   apr_pool_t *p);

/** Warns of keys and clients that no server reaches, and tells how to move them: parent, when the
 *  configured pools are attached. */
void apipool_scopes_warn(server_rec *main_server, apipool_segment_t *segment, apr_pool_t *p);

#endif
