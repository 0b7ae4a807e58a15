/* SPDX-License-Identifier: Apache-2.0
 * The model that a request's path names, where the vendor's API puts it there and not into the body. */
#ifndef APIPOOL_VENDOR_MODEL_PATH_H
#define APIPOOL_VENDOR_MODEL_PATH_H

#include <apr.h>

/**
 * Finds NAME in ".../models/NAME:generateContent" (Gemini and Vertex: any method that generates, embeds,
 * predicts or counts) and in ".../deployments/NAME/..." (Azure), and "tunedModels/NAME" likewise. A path that
 * only asks what a model is, such as "/models" or "/models/NAME", uses none; nor does
 * "/models/ft:gpt-4o:org::id", where the colons belong to the name. Thread-safe.
 * @param path as the client sent it, percent-encoded (RFC 3986); ends at the NUL or at "?" or "#"
 * @param out  the name, decoded and NUL-terminated; empty when there is none
 * @param size of out, at least 1; it must hold the method too
 * @return 1, or 0 when there is none, when it does not fit, or when it decodes to control characters
 */
int apipool_model_in_path(const char *path, char *out, apr_size_t size);

#endif
