/* protocol/transport/grpc.h - the transport between hospitals: gRPC over TLS 1.3 with certificates
 * on both sides. The only header of the gRPC transport; no gRPC type leaks out of grpc_*.c.
 *
 *     /consilium.v1.Coordinator/Session    one long stream per site; control messages both ways
 *     /consilium.v1.Coordinator/Upload     Chunks in, one UploadReceipt after sink.finish succeeded
 *     /consilium.v1.Coordinator/Download   one Chunk with head in, Chunks out
 *     /grpc.health.v1.Health/{Check,Watch}
 *     /grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo   when has_reflection
 *
 * Identity: a call is served only when its connection shows exactly one SPIFFE id
 * spiffe://<trust-domain>/site/<id> and `admit` accepts that id and key pin; asked at every call,
 * and again and again while a session lasts. Health and reflection also answer the coordinator's
 * own certificate. Everyone else is refused before any upcall.
 *
 * A peer sees a code, its public text and a random id in the trailing metadata `csl-trace`; the
 * detail is in the local log under the same id.
 *
 * Threads: one poller per transport makes all session upcalls; a few workers make all bulk upcalls
 * (opening, reading, writing, finishing), one step of one transfer at a time, so any number of
 * sessions and transfers share them. Memory: per session at most CSL_OUTBOX_MESSAGES messages, per
 * transfer one HTTP/2 window and one chunk; `chunks_ahead` of a sender is bounded by the window. */
#ifndef CSL_TRANSPORT_GRPC_H
#define CSL_TRANSPORT_GRPC_H
#include "base/file.h"
#include "protocol/identity/pki.h"
#include "protocol/transport/transport.h"

/* Process-wide, before any thread is started: removes GRPC_* and proxy variables from the
 * environment, restricts OpenSSL to TLS 1.3, checks the library's version and sends its log to
 * ours. Never fork afterwards. Any number of times; each needs its csl_grpc_shutdown. */
enum csl_code csl_grpc_init(struct csl_err *err) CSL_MUST_CHECK;
void csl_grpc_shutdown(void); /* after every transport was freed */

struct csl_grpc_tls { /* PEM files; read again on every connection, so renewal needs no restart */
    char key_path[CSL_PATH_MAX];
    char chain_path[CSL_PATH_MAX]; /* own certificate first */
    char roots_path[CSL_PATH_MAX]; /* the authority that vouches for the other side */
    char trust_domain[CSL_TRUST_DOMAIN_MAX];
};

struct csl_grpc_server_config {
    char listen[128]; /* "127.0.0.1:0": port chosen by the system */
    struct csl_grpc_tls tls;
    /* Is this site, with this key, on the roster and active? Any thread, must not block. */
    bool (*admit)(void *ctx, const struct csl_peer *peer);
    void *admit_ctx;
    bool has_reflection;
    uint32_t workers_max; /* threads for bulk transfers, 1 to 32; 0: 4 */
};
/* CSL_E_CRYPTO: key, chain and roots do not fit together. A later unfit set is logged and the last
 * good one stays in use. */
enum csl_code csl_grpc_server_new(struct csl_transport **out,
                                  const struct csl_grpc_server_config *config,
                                  struct csl_err *err) CSL_MUST_CHECK;
uint16_t csl_grpc_server_port(const struct csl_transport *t); /* after start; 0 before */
void csl_grpc_server_set_serving(struct csl_transport *t, bool is_serving); /* health; any thread */

struct csl_grpc_client_config {
    char target[256]; /* "host:port" */
    struct csl_grpc_tls tls;
    char
        server_name[128]; /* checked against the coordinator's certificate; "": the target's host */
    char http_proxy[256]; /* "http://host:port"; "": none, whatever the environment says */
    uint64_t backoff_min_ms, backoff_max_ms; /* 0: 1 s and 5 min */
};
/* Besides its host name the coordinator must show spiffe://<trust-domain>/coordinator. A refusal
 * that retrying cannot heal (not on the roster, not permitted) is logged as an error and tried
 * again at the longest back-off. `closed` tells the code the coordinator gave. */
enum csl_code csl_grpc_client_new(struct csl_transport **out,
                                  const struct csl_grpc_client_config *config,
                                  struct csl_err *err) CSL_MUST_CHECK;

#endif
