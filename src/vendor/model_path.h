/* SPDX-License-Identifier: Apache-2.0
 * Finds the model in a request's path, where some vendors' APIs have it instead of in the body. */
#ifndef APIPOOL_VENDOR_MODEL_PATH_H
#define APIPOOL_VENDOR_MODEL_PATH_H

#include <apr.h>

/**
 * Finds NAME in ".../models/NAME:generateContent" (Gemini and Vertex: any method that generates,
 * embeds, predicts or counts), in ".../deployments/NAME/..." (Azure), and likewise
 * "tunedModels/NAME". A path that only describes models, such as "/models" or "/models/NAME", uses
 * none; nor does "/models/ft:gpt-4o:org::id", where the colons belong to the name. Thread-safe.
 * @param path as the client sent it, percent-encoded (RFC 3986); ends at the NUL or at "?" or "#"
 * @param out  the name, decoded and NUL-terminated; empty if there is none
 * @param size of out, at least 1; the method must fit in it too
 * @return 1; 0 if there is none, it does not fit, or it decodes to control characters
 */
int apipool_model_in_path(const char *path, char *out, apr_size_t size);

#endif
