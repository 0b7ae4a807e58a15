/* SPDX-License-Identifier: Apache-2.0
 * Members whose values do not count as they stand, by name. */
#include "estimate_parts.h"

#include <string.h>

#define LONGEST 22

typedef struct {
    const char *name;
    unsigned char rule;
} row_t;

#define ROLE     APIPOOL_RULE_ROLE
#define SETTING  APIPOOL_RULE_SETTING
#define NOTHING  APIPOOL_RULE_NOTHING
#define ECHO     APIPOOL_RULE_ECHO
#define REPEATED APIPOOL_RULE_REPEATED
#define IMAGE    APIPOOL_RULE_IMAGE
#define WHOLE    APIPOOL_RULE_WHOLE

/* By the length of the names, for there are many in a stream. They are those of OpenAI's, Anthropic's,
 * Gemini's, Cohere's and Ollama's API references, and of OpenRouter's where it adds to OpenAI's. */
#define ROWS(...)                                                                                  \
    (const row_t[])                                                                                \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }

static const row_t *const names[LONGEST + 1] = {
    [2] = ROWS({"id", SETTING}),
    [4] = ROWS({"role", ROLE}, {"type", SETTING}, {"user", SETTING}, {"stop", NOTHING},
               {"item", REPEATED}, {"part", REPEATED}, {"args", WHOLE}, {"mask", IMAGE},
               {"data", APIPOOL_RULE_DATA}),
    [5] = ROWS({"model", SETTING}, {"voice", SETTING}, {"event", SETTING}, {"usage", NOTHING},
               {"tools", ECHO}, {"error", ECHO}, {"words", ECHO}, {"texts", ECHO}, {"image", IMAGE},
               {"video", IMAGE}, {"audio", APIPOOL_RULE_AUDIO}, {"delta", APIPOOL_RULE_DELTA},
               {"input", APIPOOL_RULE_INPUT}),
    [6] = ROWS({"object", SETTING}, {"status", SETTING}, {"format", SETTING}, {"detail", SETTING},
               {"effort", SETTING}, {"x_groq", NOTHING}, {"images", IMAGE}, {"schema", WHOLE},
               {"prompt", APIPOOL_RULE_PROMPT}),
    [7] = ROWS({"call_id", SETTING}, {"item_id", SETTING}, {"purpose", SETTING},
               {"quality", SETTING}, {"created", NOTHING}, {"include", NOTHING}, {"results", ECHO},
               {"file_id", IMAGE}, {"fileUri", IMAGE}),
    [8] = ROWS({"event_id", SETTING}, {"language", SETTING}, {"provider", SETTING},
               {"owned_by", SETTING}, {"mimeType", SETTING}, {"logprobs", NOTHING},
               {"b64_json", NOTHING}, {"metadata", NOTHING}, {"response", REPEATED},
               {"segments", ECHO}, {"document", ECHO}, {"file_url", IMAGE}, {"file_uri", IMAGE},
               {"fileData", IMAGE}),
    [9] = ROWS({"mime_type", SETTING}, {"signature", SETTING}, {"verbosity", SETTING},
               {"embedding", NOTHING}, {"citations", NOTHING}, {"documents", ECHO},
               {"image_url", IMAGE}, {"video_url", IMAGE}, {"file_data", IMAGE}),
    [10] = ROWS({"media_type", SETTING}, {"message_id", SETTING}, {"request_id", SETTING},
                {"responseId", SETTING}, {"truncation", SETTING}, {"created_at", NOTHING},
                {"embeddings", NOTHING}, {"modalities", NOTHING}, {"parameters", WHOLE}),
    [11] = ROWS({"stop_reason", SETTING}, {"response_id", SETTING}, {"tool_choice", SETTING},
                {"tool_use_id", SETTING}, {"annotations", NOTHING}, {"obfuscation", NOTHING},
                {"inputSchema", WHOLE}, {"input_audio", APIPOOL_RULE_AUDIO}),
    [12] = ROWS({"finishReason", SETTING}, {"modelVersion", SETTING}, {"service_tier", SETTING},
                {"tool_call_id", SETTING}, {"conversation", SETTING}, {"instructions", ECHO},
                {"input_schema", WHOLE}),
    [13] = ROWS({"finish_reason", SETTING}, {"stop_sequence", SETTING}, {"output_format", SETTING},
                {"cache_control", NOTHING}, {"usageMetadata", NOTHING}, {"safetyRatings", NOTHING},
                {"content_block", APIPOOL_RULE_BLOCK}),
    [14] =
        ROWS({"safetySettings", NOTHING}, {"search_results", NOTHING}, {"stop_sequences", NOTHING}),
    [15] = ROWS({"encoding_format", SETTING}, {"response_format", SETTING}),
    [16] = ROWS({"reasoning_effort", SETTING}, {"prompt_cache_key", SETTING},
                {"thoughtSignature", SETTING}, {"citationMetadata", NOTHING}),
    [17] = ROWS({"safety_identifier", SETTING}, {"encrypted_content", SETTING},
                {"thought_signature", SETTING}, {"reasoning_details", NOTHING},
                {"partial_image_b64", NOTHING}, {"groundingMetadata", NOTHING}),
    [18] = ROWS({"system_fingerprint", SETTING}),
    [20] = ROWS({"previous_response_id", SETTING}, {"native_finish_reason", SETTING},
                {"parametersJsonSchema", WHOLE}),
    [21] = ROWS({"prompt_filter_results", NOTHING}),
    [22] = ROWS({"content_filter_results", NOTHING}),
};

int apipool_estimate_rule(const char *name, apr_size_t len)
{
    const row_t *row = len <= LONGEST ? names[len] : NULL;

    while (row && row->name) {
        if (!memcmp(row->name, name, len)) {
            return row->rule;
        }
        row++;
    }
    return APIPOOL_RULE_NONE;
}
