#include "bare_tls.h"

#include "base/clock.h"
#include "base/file.h"
#include "privacy/crypto/bulk_hash.h"
#include "protocol/identity/pki.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DOMAIN      "bench.consilium"
#define WRITE_BYTES ((size_t)256 * 1024)

struct files {
    char dir[64], ca_key[128], ca_cert[128], server_key[128], server[128], site_key[128], site[128];
};

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool make_files(struct files *f)
{
    struct csl_err err;
    snprintf(f->dir, sizeof(f->dir), "/tmp/csl-bare-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return false;
    snprintf(f->ca_key, sizeof(f->ca_key), "%s/ca.key", f->dir);
    snprintf(f->ca_cert, sizeof(f->ca_cert), "%s/ca.pem", f->dir);
    snprintf(f->server_key, sizeof(f->server_key), "%s/server.key", f->dir);
    snprintf(f->server, sizeof(f->server), "%s/server.pem", f->dir);
    snprintf(f->site_key, sizeof(f->site_key), "%s/site.key", f->dir);
    snprintf(f->site, sizeof(f->site), "%s/site.pem", f->dir);
    struct csl_pki_authority ca = {f->ca_key, f->ca_cert};
    return csl_pki_make_authority(DOMAIN, 2, f->ca_key, f->ca_cert, &err) == CSL_OK &&
           csl_pki_issue_coordinator(&ca, DOMAIN, CSL_COORDINATOR_NAMES, 2, f->server_key,
                                     f->server, &err) == CSL_OK &&
           csl_pki_issue_site(&ca, DOMAIN, "a", 2, f->site_key, f->site, &err) == CSL_OK;
}

static void remove_files(const struct files *f)
{
    unlink(f->ca_key);
    unlink(f->ca_cert);
    unlink(f->server_key);
    unlink(f->server);
    unlink(f->site_key);
    unlink(f->site);
    rmdir(f->dir);
}

static SSL_CTX *context(const SSL_METHOD *method, const char *key, const char *chain,
                        const char *roots)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") == 1 &&
        SSL_CTX_use_certificate_chain_file(ctx, chain) == 1 &&
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_load_verify_locations(ctx, roots, NULL) == 1) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        return ctx;
    }
    SSL_CTX_free(ctx);
    return NULL;
}

static int listen_on_loopback(struct sockaddr_in *a)
{
    socklen_t n = sizeof(*a);
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)a, n) == 0 && listen(fd, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)a, &n) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The child: connects, sends, and waits until the other side closes. */
static int send_all(const struct files *f, const struct sockaddr_in *to, uint64_t bytes, int out)
{
    static uint8_t data[WRITE_BYTES];
    int status = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    SSL_CTX *ctx = context(TLS_client_method(), f->site_key, f->site, f->ca_cert);
    SSL *ssl = ctx == NULL ? NULL : SSL_new(ctx);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31);
    if (ssl != NULL && fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0 &&
        SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1) {
        double start = cpu_s();
        uint64_t left = bytes;
        while (left > 0) {
            int n = SSL_write(ssl, data, left < WRITE_BYTES ? (int)left : (int)WRITE_BYTES);
            if (n <= 0)
                break;
            left -= (uint64_t)n;
        }
        double used = cpu_s() - start;
        uint8_t byte;
        (void)SSL_read(ssl, &byte, 1);
        status = left == 0 && write(out, &used, sizeof(used)) == (ssize_t)sizeof(used) ? 0 : 1;
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return status;
}

/* An SSL_read gives a TLS record, 16 KiB: the buffer is filled before it is used. */
static bool receive_block(SSL *ssl, uint8_t *data, size_t n)
{
    size_t have = 0;
    for (int got; have < n; have += (size_t)got) {
        got = SSL_read(ssl, data + have, (int)(n - have));
        if (got <= 0)
            return false;
    }
    return true;
}

/* file -1: dropped */
static bool receive_bytes(SSL *ssl, uint64_t bytes, int file)
{
    static uint8_t data[WRITE_BYTES];
    struct csl_bulk_hash hash;
    uint8_t digest[CSL_DIGEST_BYTES];
    csl_bulk_hash_init(&hash);
    for (uint64_t at = 0, n; at < bytes; at += n) {
        n = bytes - at < WRITE_BYTES ? bytes - at : WRITE_BYTES;
        if (!receive_block(ssl, data, (size_t)n))
            return false;
        if (file < 0)
            continue;
        csl_bulk_hash_update(&hash, data, (size_t)n);
        if (pwrite(file, data, (size_t)n, (off_t)at) != (ssize_t)n)
            return false;
    }
    csl_bulk_hash_final(&hash, digest);
    return true;
}

static int new_file(void)
{
    const char *dir = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof(path), "%s/csl-bare-file-XXXXXX", dir != NULL ? dir : "/tmp");
    int file = mkstemp(path);
    if (file >= 0)
        unlink(path); /* gone when it is closed */
    return file;
}

static bool receive_all(const struct files *f, int listener, uint64_t bytes, enum bare_tls_use use,
                        struct bare_tls_result *out)
{
    bool is_whole = false;
    int file = use == BARE_TLS_KEEPS ? new_file() : -1;
    int fd = accept(listener, NULL, NULL);
    SSL_CTX *ctx = context(TLS_server_method(), f->server_key, f->server, f->ca_cert);
    SSL *ssl = ctx == NULL ? NULL : SSL_new(ctx);
    if (ssl != NULL && fd >= 0 && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1) {
        double cpu = cpu_s();
        uint64_t start = csl_clock_monotonic_ns();
        is_whole = receive_bytes(ssl, bytes, file);
        out->seconds = (double)(csl_clock_monotonic_ns() - start) * 1e-9;
        out->receive_cpu_s = cpu_s() - cpu;
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    if (fd >= 0)
        close(fd);
    if (file >= 0)
        close(file);
    return is_whole && (file >= 0) == (use == BARE_TLS_KEEPS);
}

bool bare_tls_run(uint64_t bytes, enum bare_tls_use use, struct bare_tls_result *out)
{
    struct files f;
    struct sockaddr_in address;
    int results[2] = {-1, -1}, status = -1, listener = listen_on_loopback(&address);
    bool is_well = listener >= 0 && make_files(&f) && pipe(results) == 0;
    signal(SIGPIPE, SIG_IGN);
    fflush(NULL);
    pid_t pid = is_well ? fork() : -1;
    if (pid == 0)
        _exit(send_all(&f, &address, bytes, results[1]));
    is_well = pid > 0 && receive_all(&f, listener, bytes, use, out);
    if (pid > 0)
        waitpid(pid, &status, 0);
    is_well = is_well && status == 0 &&
              read(results[0], &out->send_cpu_s, sizeof(out->send_cpu_s)) ==
                  (ssize_t)sizeof(out->send_cpu_s);
    close(results[0]);
    close(results[1]);
    close(listener);
    remove_files(&f);
    if (!is_well)
        fprintf(stderr, "bare_tls: the transfer failed\n");
    return is_well;
}
