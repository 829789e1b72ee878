/* What crosses the transport of each site, seen from outside: linked with
 * -Wl,--wrap=csl_inproc_client, sites in the order in which they are opened. */
#ifndef CSL_TEST_WATCH_H
#define CSL_TEST_WATCH_H
#include "protocol/transport/transport.h"

#define WATCHES_MAX 9

struct watch {
    struct csl_transport *client;
    struct csl_transport_ops ops; /* the client's, but for two */
    const struct csl_transport_ops *real;
    struct csl_bulk_sink sink;
    uint8_t first[1 << 16]; /* the first download */
    uint64_t first_bytes, downloads, up_bytes, uploads;
};
extern struct watch watches[WATCHES_MAX];
extern uint32_t watch_count; /* 0 before each run, and all watches zero */

#endif
