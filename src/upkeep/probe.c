/* SPDX-License-Identifier: Apache-2.0
 * Request to an upstream without a client. */
#include "probe.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "result.h"

#define NOBODY "upkeep" /* replaces the client's address in mod_proxy's log messages */

static ap_filter_rec_t *no_body_handle, *collect_handle;

/* Data collected by the output filter. */
typedef struct {
    char *body;
    apr_size_t len;
    int ended, cut;
} collected_t;

/* The request has no body: only its end can be read. */
static apr_status_t no_body(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t readbytes)
{
    if (mode != AP_MODE_INIT) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(f->c->bucket_alloc));
    }
    return APR_SUCCESS;
}

/* Stops reading an answer that is too long. */
static apr_status_t collect(ap_filter_t *f, apr_bucket_brigade *bb)
{
    collected_t *collected = f->ctx;
    apr_size_t room = APIPOOL_PROBE_BODY_MAX - collected->len, len = room;
    apr_off_t came = 0;
    apr_status_t rv = apr_brigade_length(bb, 1, &came);
    if (rv == APR_SUCCESS) {
        rv = apr_brigade_flatten(bb, collected->body + collected->len, &len);
    }
    if (rv == APR_SUCCESS) {
        collected->len += len;
        collected->cut |= came > (apr_off_t)room;
        collected->ended |= !APR_BRIGADE_EMPTY(bb) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb));
    }
    apr_brigade_cleanup(bb);
    return collected->cut ? APR_ECONNABORTED : rv;
}

void apipool_probe_register_filters(void)
{
    no_body_handle = ap_register_input_filter("APIPOOL_NO_BODY", no_body, NULL, AP_FTYPE_NETWORK);
    collect_handle = ap_register_output_filter("APIPOOL_COLLECT", collect, NULL, AP_FTYPE_NETWORK);
}

/* Makes a connection that leads nowhere. */
static conn_rec *make_connection(apr_pool_t *p, server_rec *s, collected_t *collected,
                                 apr_thread_t *thread)
{
    conn_rec *c = apr_pcalloc(p, sizeof(*c));
    c->pool = p;
    c->base_server = s;
    c->bucket_alloc = apr_bucket_alloc_create(p);
    c->conn_config = ap_create_conn_config(p);
    c->notes = apr_table_make(p, 1);
    apr_sockaddr_info_get(&c->client_addr, NULL, APR_INET, 0, 0, p);
    c->local_addr = c->client_addr;
    c->client_ip = c->local_ip = apr_pstrdup(p, NOBODY);
    c->log_id = NOBODY;
    c->keepalive = AP_CONN_CLOSE;
    c->current_thread = thread;
    ap_add_input_filter_handle(no_body_handle, NULL, NULL, c);
    ap_add_output_filter_handle(collect_handle, collected, NULL, c);
    return c;
}

static void set_request_line(request_rec *r, const char *url)
{
    r->method = apr_pstrdup(r->pool, "GET");
    r->method_number = M_GET;
    r->the_request = apr_pstrcat(r->pool, "GET ", url, " HTTP/1.1", NULL);
    r->protocol = apr_pstrdup(r->pool, "HTTP/1.1");
    r->proto_num = HTTP_VERSION(1, 1);
    r->uri = r->unparsed_uri = apr_pstrdup(r->pool, url);
    apr_uri_parse(r->pool, url, &r->parsed_uri);
    r->hostname = r->parsed_uri.hostname;
    r->filename = apr_pstrcat(r->pool, "proxy:", url, NULL);
    r->handler = "proxy-server";
    r->proxyreq = PROXYREQ_REVERSE;
    apr_table_setn(r->headers_in, "Accept", "application/json");
    apr_table_setn(r->headers_in, "User-Agent", "mod_apipool/" APIPOOL_VERSION);
    apr_table_setn(r->notes, "proxy-nocanon", "1");
}

static request_rec *make_request(conn_rec *c, server_rec *s, const char *url)
{
    apr_pool_t *p = c->pool;
    request_rec *r = apr_pcalloc(p, sizeof(*r));
    r->pool = p;
    r->connection = c;
    r->server = s;
    r->headers_in = apr_table_make(p, 8);
    r->trailers_in = apr_table_make(p, 1);
    r->headers_out = apr_table_make(p, 8);
    r->err_headers_out = apr_table_make(p, 1);
    r->trailers_out = apr_table_make(p, 1);
    r->subprocess_env = apr_table_make(p, 4);
    r->notes = apr_table_make(p, 4);
    r->request_config = ap_create_request_config(p);
    r->per_dir_config = s->lookup_defaults;
    r->status = HTTP_OK;
    r->request_time = apr_time_now();
    r->useragent_addr = c->client_addr;
    r->useragent_ip = c->client_ip;
    r->input_filters = r->proto_input_filters = c->input_filters;
    r->output_filters = r->proto_output_filters = c->output_filters;
    apr_thread_mutex_create(&r->invoke_mtx, APR_THREAD_MUTEX_DEFAULT, p);
    set_request_line(r, url);
    return r;
}

/* The gate keeps an error answer; a good one has passed to the collector. */
static apipool_probe_answer_t read_answer(apipool_request_t *req, collected_t *collected)
{
    apipool_probe_answer_t answer = {.body = collected->body, .len = collected->len};
    if (!req->attempts) { /* mod_proxy did not send it */
        answer.verdict.rule = APIPOOL_RULE_NOT_SENT;
        answer.verdict.upstream_fault = 1;
        return answer;
    }
    answer.verdict = apipool_result_judge(req, apipool_lifecycle_now());
    answer.status = req->attempt.answering ? req->r->status : 0;
    answer.whole = collected->ended && !collected->cut && !req->gate.broke;
    return answer;
}

apipool_probe_answer_t apipool_probe_send(apr_pool_t *p, apipool_pool_conf_t *pool,
                                          const apipool_probing_t *probing, apipool_lease_t *lease,
                                          apr_thread_t *thread)
{
    collected_t collected = {.body = apr_palloc(p, APIPOOL_PROBE_BODY_MAX)};
    conn_rec *c = make_connection(p, pool->server, &collected, thread);
    request_rec *r = make_request(c, pool->server, probing->url);
    apipool_request_t *req = apr_pcalloc(p, sizeof(*req));

    req->r = r;
    req->pool = pool;
    req->path = "";
    req->probing = probing;
    req->attempt.lease = lease;
    ap_set_module_config(r->request_config, &apipool_module, req);
    ap_run_map_to_storage(r); /* applies the TLS settings of <Proxy> sections */
    ap_run_handler(r);
    return read_answer(req, &collected);
}
