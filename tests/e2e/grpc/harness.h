/* tests/e2e/grpc/harness.h - a small federation on loopback: certificates in a temporary folder, a
 * coordinator that keeps what is uploaded and serves what was put there, sites that record what
 * they are told, and a relay that can cut the line between them. Waiting is on conditions, never on
 * time; a deadline only turns a hang into a failure. */
#ifndef CSL_GRPC_HARNESS_H
#define CSL_GRPC_HARNESS_H
#include "base/thread.h"
#include "protocol/transport/grpc.h"

#include <stdatomic.h>

#define H_DOMAIN       "fl.test"
#define H_WAIT_MS      20000u
#define H_SITES_MAX    80u
#define H_OBJECT_MAX   ((size_t)96 * 1024 * 1024)
#define H_MESSAGES_MAX 512u

struct h_place { /* the temporary folder and its authority */
    char dir[64];
    char ca_key[160], ca_cert[160];
};
void h_place_make(struct h_place *p);
void h_place_remove(struct h_place *p);
/* days < 0: expired. Files are <name>.key and <name>.pem. */
void h_issue_site(const struct h_place *p, const char *name, const char *site_id, int days);
void h_issue_coordinator(const struct h_place *p, const char *name, int days);
void h_tls(const struct h_place *p, const char *name, struct csl_grpc_tls *out);

/* Byte i of every object of the tests. */
uint8_t h_byte(uint64_t i);

struct h_log { /* what one transport told, and a lock for everything in its owner */
    struct csl_mutex mu;
    struct csl_cond changed;
    atomic_uint opened, closed, messages, bulks;
    csl_conn conn;                   /* last opened */
    _Atomic enum csl_code why;       /* last closed */
    _Atomic enum csl_code bulk_code; /* last bulk_done */
    uint32_t got[H_MESSAGES_MAX];    /* first four bytes of each message, in order */
    bool is_blocked;                 /* message upcalls wait */
};

struct h_server {
    struct csl_transport *t;
    struct h_log log;
    char last_site[CSL_ID_MAX];
    csl_conn conns[H_SITES_MAX]; /* of "site-<i>", by number */
    char revoked[CSL_ID_MAX];    /* refused by admit; "": nobody. guarded by log.mu */
    bool must_echo;
    uint8_t ticket[16];
    /* the one object: uploads are appended, downloads read it */
    uint8_t *object;
    uint64_t object_bytes;
    atomic_uint_fast64_t written;
    atomic_uint finished, abandoned;
    bool is_sink_blocked;   /* writes wait from sink_block_at on; guarded by log.mu */
    uint64_t sink_block_at; /* guarded by log.mu */
    bool is_parallel;       /* uploads are checked byte by byte and counted, not kept */
    uint16_t port;
};
/* port 0: any. name: certificate. */
void h_server_config(const struct h_place *p, const char *name, uint16_t port, struct h_server *s,
                     struct csl_grpc_server_config *out);
void h_server_init(struct h_server *s, uint64_t object_bytes);
void h_server_start(struct h_server *s, const struct h_place *p, uint16_t port);
void h_server_stop(struct h_server *s, uint32_t grace_ms); /* stop and free the transport */
void h_server_release(struct h_server *s);

struct h_site {
    struct csl_transport *t;
    struct h_log log;
    bool must_echo;
    /* the object sent */
    atomic_uint_fast64_t position;
    uint64_t bytes, fail_at; /* fail_at: source fails there; UINT64_MAX: never */
    uint64_t block_at;       /* guarded by log.mu */
    bool is_source_blocked;  /* reads wait from block_at on; guarded by log.mu */
    bool is_digest_wrong, is_ticket_wrong;
    /* the object received */
    uint64_t received;
    bool is_received_wrong, was_finished, was_abandoned, was_closed;
};
void h_site_init(struct h_site *c);
void h_site_config(const struct h_place *p, const char *name, uint16_t port,
                   struct csl_grpc_client_config *out);
void h_site_start(struct h_site *c, const struct h_place *p, const char *name, uint16_t port);
void h_site_stop(struct h_site *c, uint32_t grace_ms);
enum csl_code h_upload(struct h_site *c, const struct h_server *s, uint64_t bytes, uint64_t offset,
                       struct csl_err *err);
enum csl_code h_download(struct h_site *c, const struct h_server *s, uint64_t bytes,
                         uint64_t offset, struct csl_err *err);

/* Waits until *counter reaches n; false after H_WAIT_MS. */
bool h_wait(struct h_log *log, const atomic_uint *counter, uint32_t n);
bool h_wait_bytes(struct h_log *log, const atomic_uint_fast64_t *counter, uint64_t n);
void h_set(struct h_log *log, bool *flag, bool value);
/* A message that starts with `number` and has `bytes` bytes in all (at least 4). */
enum csl_code h_send(struct csl_transport *t, csl_conn c, uint32_t number, size_t bytes);

/* Forwards one TCP connection after the other from its own port to another; as an HTTP proxy it
 * answers a CONNECT first, wherever that asks to go. */
struct h_relay {
    struct csl_thread thread;
    struct csl_mutex mu;
    int listen_fd, wake[2];
    uint16_t port, to_port;
    bool is_proxy;
    uint64_t cut_after; /* bytes of the connecting side; UINT64_MAX: never; guarded by mu */
    uint64_t forwarded; /* guarded by mu */
    uint32_t cuts;      /* guarded by mu */
    char asked[200];    /* first line of the last CONNECT; guarded by mu */
};
void h_relay_start(struct h_relay *r, uint16_t to_port, bool is_proxy);
void h_relay_cut_after(struct h_relay *r, uint64_t bytes);
uint32_t h_relay_cuts(struct h_relay *r);
void h_relay_stop(struct h_relay *r);

#endif
