/* tests/unit/wire/process.h - a coordinator or a site that writes down what its transport tells it.
 */
#ifndef CSL_TESTS_WIRE_PROCESS_H
#define CSL_TESTS_WIRE_PROCESS_H
#include "protocol/transport/inproc.h"

#define OBJECT_MAX 2000000
#define LOG_MAX    4096

/* One process: a coordinator or a site that writes down what it is told. */
struct process {
    struct csl_inproc *net;
    struct csl_transport *t;
    csl_conn conn; /* the last one opened; 0 after closed */
    uint32_t opened, closed, messages, done;
    enum csl_code why, done_code;
    uint64_t done_id;
    char log[LOG_MAX];
    size_t log_bytes;
    /* bulk */
    uint8_t *object; /* what it sends */
    size_t object_bytes, position, read_max;
    uint8_t *received;
    size_t received_bytes, fail_after; /* 0: never */
    uint32_t finished, abandoned, source_closed;
    enum csl_code refuse, finish_code, abandon_code, read_code;
    struct csl_bulk_head head;
    char peer[CSL_ID_MAX];
    /* reactions */
    bool wants_echo, wants_drop, wants_cut_in_write, wants_cut_in_open;
};

/* Each starts the process; halt stops it and frees what it holds. */
void boot_server(struct process *p, struct csl_inproc *net);
void boot_site(struct process *p, struct csl_inproc *net, const char *id);
void halt(struct process *p);
struct csl_inproc *new_net(struct csl_inproc_config c);
uint64_t drain(struct csl_inproc *net, uint64_t until_ns); /* events delivered */

enum csl_code say(struct process *p, const char *text); /* on its last connection */
/* `from` holds an object of so many bytes, `to` has room for one. */
void give_object(struct process *from, struct process *to, size_t bytes);
struct csl_bulk_sink sink_of(struct process *p);
struct csl_bulk_source source_of(struct process *p);
void upload(struct process *site, uint64_t id, uint64_t offset);
void download(struct process *site, uint64_t id, uint64_t total, uint64_t offset);

#endif
