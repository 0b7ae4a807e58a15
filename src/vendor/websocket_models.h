/* SPDX-License-Identifier: Apache-2.0
 * Finds all models that a complete event of a WebSocket client names. */
#ifndef APIPOOL_VENDOR_WEBSOCKET_MODELS_H
#define APIPOOL_VENDOR_WEBSOCKET_MODELS_H

#include <jansson.h>

/**
 * Asks about every model that an event names: the value of "model", in any case, in the event and
 * in the objects within it: model, response.model, session.model,
 * session.audio.input.transcription.model and the like. "model" in arrays, metadata, prompt
 * variables and schemas does not count.
 * @param allows whether a model may be used
 * @return 1; 0 if one is not allowed, or is neither text nor null
 */
int apipool_websocket_models_allowed(const json_t *event,
                                     int (*allows)(void *ctx, const char *model), void *ctx);

#endif
