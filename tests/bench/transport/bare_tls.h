/* tests/bench/transport/bare_tls.h - what OpenSSL alone moves between two processes. */
#ifndef CSL_BARE_TLS_H
#define CSL_BARE_TLS_H
#include <stdbool.h>
#include <stdint.h>

struct bare_tls_result {
    double seconds; /* from the first byte to the last, handshake left out */
    double send_cpu_s, receive_cpu_s;
};
enum bare_tls_use {
    BARE_TLS_DROPS, /* what was received is thrown away */
    BARE_TLS_KEEPS  /* it has its bulk digest taken and is written to a new file, removed after */
};
/* One loopback TCP connection, TLS 1.3 with AES-256-GCM and certificates on both sides; the
 * receiver reads `bytes` on one thread. false: it failed and said why. Forks. */
bool bare_tls_run(uint64_t bytes, enum bare_tls_use use, struct bare_tls_result *out);

#endif
