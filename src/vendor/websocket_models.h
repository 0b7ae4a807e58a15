/* SPDX-License-Identifier: Apache-2.0
 * The models that a whole event of a WebSocket's client names, wherever it may name one. */
#ifndef APIPOOL_VENDOR_WEBSOCKET_MODELS_H
#define APIPOOL_VENDOR_WEBSOCKET_MODELS_H

#include <jansson.h>

/**
 * Asks about every model that an event names: the value of "model", spelt in any case, in the event and in
 * the objects within it: model, response.model, session.model, session.audio.input.transcription.model and
 * the like. What stands in arrays, in metadata, in the variables of a prompt and in schemas is no model of
 * the event's.
 * @param allows whether a model may be used
 * @return 1; 0 where one is not allowed, or is neither text nor null
 */
int apipool_websocket_models_allowed(const json_t *event,
                                     int (*allows)(void *ctx, const char *model), void *ctx);

#endif
