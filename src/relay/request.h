/* SPDX-License-Identifier: Apache-2.0
 * One client request on its way through a pool: what all files of this room know about it. */
#ifndef APIPOOL_RELAY_REQUEST_H
#define APIPOOL_RELAY_REQUEST_H

#include <apr_thread_mutex.h>

#include "client.h"
#include "config.h"
#include "decoder.h"
#include "endpoint.h"
#include "estimate.h"
#include "lifecycle.h"
#include "opening.h"
#include "sniff.h"
#include "sse.h"
#include "stats.h"
#include "usage.h"
#include "verdict.h"

/* What is looked for in a request body. */
enum {
    APIPOOL_BODY_MODEL,
    APIPOOL_BODY_MAX_TOKENS, /* of one answer, in several vendors' words */
    APIPOOL_BODY_MAX_COMPLETION_TOKENS,
    APIPOOL_BODY_MAX_OUTPUT_TOKENS,
    APIPOOL_BODY_N, /* answers to one request */
    APIPOOL_BODY_BEST_OF,
    APIPOOL_BODY_GENERATION_CONFIG, /* an object with both, as Gemini has it */
    APIPOOL_BODY_GENERATION_CONFIG_SNAKE,
    APIPOOL_BODY_STREAM,
    APIPOOL_BODY_STREAM_OPTIONS,
    APIPOOL_BODY_BACKGROUND, /* the answer comes later, when somebody asks for it */
    APIPOOL_BODY_SESSION,    /* APIPoolAffinity body:MEMBER */
    APIPOOL_BODY_SNIFFED
};

/* The captured request body: in memory, or in a file that has no name any more. */
typedef struct apipool_body_t {
    apr_bucket_brigade *brigade; /* NULL once it is in the file */
    apr_file_t *file;
    apr_off_t length;
    const apipool_sniffed_t *sniffed; /* APIPOOL_BODY_SNIFFED of them; NULL until it is captured */
    apipool_sniff_body_e kind;
    apr_int64_t tokens; /* estimated; -1: not yet */
    int malformed;      /* what follows some fault was not looked at */
    int broke;          /* the client left inside of it */
    const char *doubt;  /* what readers disagree about; NULL: nothing, or nobody asks */
    int copying;        /* the last bucket is a copy, which may grow */
    apr_off_t inside;   /* where a member could be put in, of a JSON object */
    const struct apipool_body_t
        *wire; /* as it came, if it was compressed and all of this is decoded */
} apipool_body_t;

/* A part of the body that an attempt sends otherwise. */
typedef struct {
    apr_off_t at, len;
    const char *text; /* NULL: there is none */
} apipool_splice_t;

/* What the request asks of its pool; see facts.h. */
typedef struct {
    const char *model; /* as the client calls it, or NULL */
    apr_uint64_t session;
    apr_uint64_t client;        /* hash of who asks */
    apr_uint32_t tokens;        /* to be set aside */
    apipool_splice_t ask_usage; /* makes a stream tell its usage, where the client has not asked */
    apr_uint32_t refused_by;    /* index of the one that may have refused that, or APIPOOL_NONE */
    apr_interval_time_t refused_for; /* how long that is remembered, should it be so */
} apipool_facts_t;

typedef enum {
    APIPOOL_GATE_WAITING, /* nothing has come yet */
    APIPOOL_GATE_HOLDING, /* an error answer is being kept back */
    APIPOOL_GATE_PASSING, /* the client gets everything */
    APIPOOL_GATE_DROPPING /* what comes is thrown away */
} apipool_gate_mode_e;

/* An event stream that passes; see stream.h. */
typedef struct {
    int active;
    int hiding;               /* the chunk that tells the usage is not for the client */
    int finished;             /* it has said that it is complete */
    int failing;              /* the data of an event called "error" is still to come */
    const char *gap;          /* what is missing of the end of an event in what has passed */
    char last[2];             /* bytes that came */
    apr_bucket_brigade *rest; /* what came of a line that is not complete */
    apr_off_t rest_len;
} apipool_stream_t;

/* A part of an event stream, kept for an estimate. */
#define APIPOOL_PIECE_MAX 1024
typedef struct {
    apr_off_t at; /* of the stream */
    apr_size_t len;
    char text[APIPOOL_PIECE_MAX];
} apipool_piece_t;

/* A read of what was begun earlier, which may be the first one to tell what that took. */
typedef enum { APIPOOL_DUE_NOTHING, APIPOOL_DUE_UNKNOWN, APIPOOL_DUE_HERE } apipool_due_e;

/* The tokens of a good answer; see token_count.h. */
typedef struct {
    unsigned char active;    /* the endpoint costs tokens */
    unsigned char readable;  /* it is not compressed, or can be decoded */
    unsigned char is_stream; /* of events */
    unsigned char reads;     /* what is read for an estimate */
    unsigned char due;       /* apipool_due_e */
    apipool_usage_scan_t usage;
    apipool_decoder_t *decoder; /* NULL: it is not compressed */
    apr_off_t passed;           /* bytes, decoded */
    apipool_piece_t *pieces;    /* two: the last one that is full, and the next */
    apipool_estimate_t estimate;
} apipool_token_count_t;

struct apipool_request_t;

/* What the output filter has seen of the current attempt's answer. */
typedef struct {
    ap_filter_t *filter;
    int (*goes_on)(struct apipool_request_t *req); /* whether another attempt follows this answer */
    apr_bucket_brigade *held;
    apipool_gate_mode_e mode; /* from here on to count all is 0 when an attempt begins */
    apr_off_t held_len;
    apipool_decoder_t *decoder; /* of a beginning that is held; NULL: it is not compressed */
    apr_pool_t *decoding;       /* lives as long */
    apr_bucket_brigade *plain;  /* what it says */
    apr_off_t read_len;         /* bytes of the beginning that can be read */
    int unreadable;             /* nothing more of it can be decoded */
    int complete;               /* the end of the answer came */
    int flushed;                /* what is held was to go out at once */
    int broke;                  /* the answer ended early, or an error bucket came instead of one */
    int is_events;              /* an event stream that can be read, whatever its type says */
    int peeking;                /* what is held is the beginning of an event stream */
    apipool_sse_at_t peek;
    int has_event;       /* an event with data has ended since the last look */
    int peeking_json;    /* what is held is the beginning of a JSON document */
    apr_off_t looked_at; /* bytes that were looked at, of whole events or of the document */
    apipool_ends_e ends; /* of the event stream */
    int in_band;         /* what is held is an error inside a 200 */
    int failed;          /* content has passed, and then an error */
    const char *event;   /* the data of its event, where it is one */
    apr_size_t event_len;
    apr_time_t held_since;     /* of apipool_monotonic_now() */
    int masking;               /* the body may hold the key as text */
    apr_bucket_brigade *carry; /* the end of it that may be the beginning of a key */
    apipool_stream_t stream;
    apipool_token_count_t count;
} apipool_gate_t;

/* By which another thread ends at once whatever an attempt waits for on its connection. */
typedef struct {
    apr_thread_mutex_t *mutex;
    int socket; /* -1: none is in use */
    int pulled;
} apipool_plug_t;

/* One try with one key. Reset before each. */
typedef struct {
    apipool_lease_t *lease;
    const apipool_upstream_conf_t *upstream;
    apr_time_t deadline; /* for the response's first byte; of apipool_monotonic_now(); 0: none */
    apr_interval_time_t idle_timeout, first_byte_timeout;
    apipool_plug_t *plug;            /* of a probe; NULL otherwise */
    int asks_usage;                  /* other than the client */
    const apipool_verdict_t *judged; /* if that was done before the answer's end */
    int answering;                   /* the final head of an answer was read */
    int passing;                     /* the client has begun to get it */
    apipool_phase_e phase;           /* how far it came, once it has ended */
    int timed_out;
    int is_out_of_time; /* a limit of ours was over, not the upstream's own time */
    int is_full;        /* ... that of waiting for one of its connections (max=) */
} apipool_attempt_t;

/* What makes a request without a client: it goes to one upstream, with one key, once. What comes of it says
 * nothing about requests, so neither the pool nor its numbers are told. */
typedef struct {
    const apipool_upstream_conf_t *upstream;
    const char *url;
    apipool_plug_t *plug;
    int with_request; /* somebody waits for it: by the connections of requests, in any process */
} apipool_probing_t;

/* What an attempt changes of the request, and puts back. */
typedef struct {
    char *filename;
    ap_conf_vector_t *per_dir_config;
    const struct ap_logconf *log;
} apipool_before_t;

/* Lives in the request's request_config from pre_translate_name on. */
typedef struct apipool_request_t {
    request_rec *r;
    apipool_pool_conf_t *pool;
    const char *encoded_uri; /* r->uri before it was decoded */
    const char *mount;       /* of the location, decoded; "" or beginning with '/' */
    const char *path;        /* below the upstream's base URL; "" or beginning with '/' */
    const char *plain;    /* that as some upstream may read it; the same where all read it alike */
    const char *endpoint; /* the alias used, or NULL */
    apipool_endpoint_e kind; /* what the endpoint is for */
    const char *query_key; /* a client key that the query had, which is masked by now; NULL: none */
    int expose;
    int rewrites;                        /* APIPoolRewriteURLs */
    int cors;                            /* the upstream does not say who may read its answers */
    const apipool_client_pass_t *client; /* whose client key it carries; NULL: nobody's */
    apipool_client_charge_t charge;      /* what its limits were charged with */
    apipool_client_entry_t entry;        /* whether there is a place for it */
    int asked;                           /* an upstream was reached */
    apr_int64_t tokens;                  /* that the last attempt used; -1: nobody knows */
    const apipool_probing_t *probing;    /* NULL: a client has asked */
    int reached;            /* httpd has let it in: who has asked is known, and it counts */
    int client_half_closed; /* it sends nothing more, and waits for the response */
    int client_left;        /* the response is read without it: APIPoolOnAbort finish */
    int attempts;
    struct apipool_budget_t *budget;       /* attempt.c's */
    struct apipool_doubts_t *doubts;       /* blame.c's; NULL: no key is in doubt */
    struct apipool_websocket_t *websocket; /* of a request for one; see websocket.h */
    apipool_rule_e rule;                   /* of the last attempt */
    apipool_recent_attempt_t trail[APIPOOL_RECENT_ATTEMPTS];
    apr_array_header_t *said;               /* apipool_words_t: what the upstreams said of these */
    const apipool_request_stats_t *counted; /* NULL: it is yet to be */
    apr_time_t first_byte_at; /* when the client began to get an upstream's answer; 0: not yet */
    apipool_body_t body;
    apipool_facts_t demand;
    apipool_gate_t gate;
    apipool_attempt_t attempt;
    apr_uint32_t lease_room; /* for a key, in bytes, in the attempt's lease */
    apipool_before_t before;
    struct apipool_exchange_t *exchange; /* of the attempt; NULL: none is in progress */
} apipool_request_t;

/** The request's context; NULL when no pool serves it. */
apipool_request_t *apipool_request_get(request_rec *r);

/** Makes the request log at the level that was set at run time, where that says more than the configuration.
 *  httpd forgets it whenever it merges the sections of a location, so it takes one call for each phase. */
void apipool_request_raise_log_level(request_rec *r);

/** Keeps mod_proxy from logging errors of a tunnel that this module ends. */
void apipool_request_hush(request_rec *r);

/** The URL of this request at an upstream. */
char *apipool_request_url(const apipool_request_t *req, const apipool_upstream_conf_t *upstream);

/* pre_translate_name keeps the path as the client encoded it, and refuses what must not go upstream;
 * translate_name hands the request to mod_proxy. */
int apipool_request_pre_translate(request_rec *r);
int apipool_request_translate(request_rec *r);

#endif
