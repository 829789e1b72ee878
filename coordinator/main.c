/* consilium-coordinator: runs one study for the sites of its roster. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "coordinator/config.h"
#include "coordinator/service.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "privacy/secagg/party.h"
#include "protocol/identity/roster.h"
#include "protocol/transport/grpc.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_NS  (CSL_NS_PER_S / 4) /* how soon a signal is noticed */
#define GRACE_MS 2000u
#define USAGE    "usage: consilium-coordinator --config FILE | --print-defaults | --version | --help\n"

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

static bool admit(void *ctx, const struct csl_peer *peer)
{
    return csl_roster_admits(ctx, peer->site_id, peer->spki_sha256);
}

struct coordinator {
    struct csl_coordinator_config config;
    struct csl_study *study;
    struct csl_roster *roster;
    struct csl_transport *transport;
    struct csl_service *service;
    char (*ids)[CSL_ID_MAX];
    bool *is_refused;
    struct csl_secagg_party *party; /* NULL: no section secure_aggregation */
};

static enum csl_code open_party(struct coordinator *c, struct csl_err *err)
{
    const struct csl_secagg_party_files files = {.key = c->config.secagg.key,
                                                 .roster = c->config.secagg.roster,
                                                 .root = c->config.secagg.root,
                                                 .epoch = c->config.secagg.epoch,
                                                 .state_dir = c->config.state};
    if (c->config.secagg.key[0] == '\0')
        return CSL_OK;
    enum csl_code code = csl_secagg_party_open(&c->party, &files, err);
    if (code == CSL_OK)
        csl_log(CSL_LOG_INFO, "secagg.roster", CSL_U64("epoch", c->party->roster.epoch),
                CSL_U64("active", csl_secagg_roster_active(&c->party->roster)));
    if (code == CSL_OK && !csl_secagg_party_is_locked(c->party))
        csl_log(CSL_LOG_WARN, "secagg.memory",
                CSL_STR("what",
                        "keys may be swapped to disk: memory cannot be locked; a higher "
                        "limit (LimitMEMLOCK, ulimit -l) or encrypted swap would be right"));
    return code;
}

static enum csl_code open_transport(struct coordinator *c, struct csl_err *err)
{
    struct csl_grpc_server_config g = {
        .admit = admit, .admit_ctx = c->roster, .has_reflection = c->config.has_reflection};
    memcpy(g.listen, c->config.listen, sizeof(g.listen));
    memcpy(g.tls.key_path, c->config.tls.key, sizeof(g.tls.key_path));
    memcpy(g.tls.chain_path, c->config.tls.chain, sizeof(g.tls.chain_path));
    memcpy(g.tls.roots_path, c->config.tls.roots, sizeof(g.tls.roots_path));
    memcpy(g.tls.trust_domain, c->config.tls.trust_domain, sizeof(g.tls.trust_domain));
    return csl_grpc_server_new(&c->transport, &g, err);
}

static enum csl_code open_service(struct coordinator *c, struct csl_err *err)
{
    uint32_t count = (uint32_t)csl_roster_count(c->roster);
    c->ids = csl_alloc_array(count, sizeof(*c->ids));
    c->is_refused = csl_alloc_array(count, sizeof(*c->is_refused));
    if (c->ids == NULL || c->is_refused == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", count);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(c->ids[i], csl_roster_at(c->roster, i)->id, sizeof(c->ids[i]));
        c->is_refused[i] = !csl_roster_at(c->roster, i)->is_active;
    }
    uint64_t seed = c->config.seed;
    if (seed == 0) {
        struct csl_rng rng;
        csl_rng_init_os(&rng);
        seed = csl_rng_u64(&rng) >> 1; /* SQLite and YAML can both write it as a plain number */
        csl_rng_wipe(&rng);
    }
    struct csl_service_config s = {
        .study = c->study,
        .roster = (const char(*)[CSL_ID_MAX])c->ids,
        .roster_count = count,
        .is_refused = c->is_refused,
        .seed = seed,
        .open_wait_ms = c->config.open_wait_ms,
        .is_rehearsal = c->config.is_rehearsal,
        .uploads_max = (uint32_t)c->config.uploads_max,
        .state_dir = c->config.state,
        .initial_model = c->config.initial_model[0] != '\0' ? c->config.initial_model : NULL,
        .secagg_key = c->party != NULL ? c->party->key : NULL,
        .secagg_roster = c->party != NULL ? &c->party->roster : NULL,
        .secagg_epoch_seed = c->party != NULL && c->party->has_epoch ? c->party->epoch_seed : NULL,
        .transport = c->transport};
    enum csl_code code = csl_service_new(&c->service, &s, err);
    if (code == CSL_OK)
        code = csl_service_start(c->service, csl_clock_monotonic_ns(), err);
    return code;
}

static enum csl_code write_address(const struct coordinator *c, struct csl_err *err)
{
    char path[CSL_PATH_MAX], text[192];
    const char *colon = strrchr(c->config.listen, ':');
    int host = colon == NULL ? (int)strlen(c->config.listen) : (int)(colon - c->config.listen);
    snprintf(text, sizeof(text), "%.*s:%u\n", host, c->config.listen,
             (unsigned)csl_grpc_server_port(c->transport));
    enum csl_code code = csl_path_join(path, sizeof(path), c->config.state, "address", err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, CSL_SPAN(text, strlen(text)), 0644, err);
    if (code == CSL_OK)
        csl_log(CSL_LOG_INFO, "coordinator.listening", CSL_STR("address", text));
    return code;
}

static enum csl_code start(struct coordinator *c, struct csl_err *err)
{
    enum csl_code code = csl_study_read(&c->study, c->config.study, err);
    if (code == CSL_OK)
        code = csl_roster_load(&c->roster, c->config.roster, err);
    if (code == CSL_OK)
        code = open_party(c, err);
    if (code == CSL_OK)
        code = open_transport(c, err);
    if (code == CSL_OK)
        code = open_service(c, err);
    if (code == CSL_OK)
        code = write_address(c, err);
    if (code == CSL_OK)
        csl_grpc_server_set_serving(c->transport, true);
    return code;
}

/* Every member that is connected was told of the end; those that went away have heard it. */
static bool everyone_left(const struct csl_service *s)
{
    const struct csl_coord *core = csl_service_core(s);
    for (uint32_t i = 0; i < csl_coord_site_count(core); i++)
        if (csl_coord_site(core, i)->conn != 0)
            return false;
    return true;
}

static enum csl_code serve(struct coordinator *c, struct csl_err *err)
{
    uint64_t leave_ns = UINT64_MAX;
    bool was_finished =
        csl_service_is_finished(c->service); /* then nobody has heard it from here */
    while (!stop_asked) {
        uint64_t now = csl_clock_monotonic_ns(), until = now + POLL_NS;
        if (csl_service_is_finished(c->service)) {
            if (leave_ns == UINT64_MAX)
                leave_ns = now + c->config.linger_ms * CSL_NS_PER_MS;
            if (now >= leave_ns || (!was_finished && everyone_left(c->service)))
                return csl_service_outcome(c->service, err);
        }
        uint64_t wakeup = csl_service_wakeup_ns(c->service);
        csl_service_wait(c->service, wakeup < until ? wakeup : until);
    }
    if (csl_service_is_finished(c->service))
        return csl_service_outcome(c->service, err);
    return CSL_FAIL(err, CSL_E_CANCELLED,
                    "stopped; start it again with the same configuration to resume the study");
}

static void stop(struct coordinator *c)
{
    if (c->transport != NULL) {
        csl_grpc_server_set_serving(c->transport, false);
        if (c->service != NULL)
            csl_service_drain(c->service);
        c->transport->ops->stop(c->transport, GRACE_MS);
    }
    csl_service_free(c->service);
    if (c->transport != NULL)
        c->transport->ops->free(c->transport);
    csl_secagg_party_close(c->party);
    csl_free(c->is_refused);
    csl_free(c->ids);
    csl_roster_free(c->roster);
    csl_study_free(c->study);
}

static void print_help(void)
{
    struct csl_buf out;
    csl_buf_init(&out, (size_t)64 * 1024);
    csl_buf_str(
        &out, USAGE
        "\n"
        "Runs one study for the sites of its roster.\n"
        "example: consilium-coordinator --config coordinator.yaml\n\n"
        "Keys of the configuration file (tls.key: the key 'key' within the mapping 'tls'):\n");
    csl_option_help_keys(csl_coordinator_options, &out);
    fputs(csl_buf_text(&out), stdout);
    csl_buf_release(&out);
}

static void print_defaults(void)
{
    struct csl_buf out;
    csl_buf_init(&out, (size_t)64 * 1024);
    csl_option_default_yaml(csl_coordinator_options, &out);
    fputs(csl_buf_text(&out), stdout);
    csl_buf_release(&out);
}

static int run(const char *path)
{
    struct csl_err err = {.code = CSL_OK};
    struct coordinator c = {.study = NULL};
    enum csl_code code = csl_coordinator_config_read(&c.config, path, &err);
    if (code != CSL_OK) {
        fprintf(stderr, "consilium-coordinator: %s\n", err.msg);
        return 2;
    }
    csl_log_setup(stderr, (enum csl_log_format)c.config.log.format,
                  (enum csl_log_level)c.config.log.level);
    code = csl_secret_harden_process(&err);
    if (code == CSL_OK)
        code = csl_crypto_init(&err);
    bool has_grpc = code == CSL_OK && (code = csl_grpc_init(&err)) == CSL_OK;
    if (code == CSL_OK)
        code = start(&c, &err);
    int status = code == CSL_OK ? 0 : code == CSL_E_INVAL || code == CSL_E_LIMIT ? 2 : 3;
    if (code == CSL_OK) {
        code = serve(&c, &err);
        status = code == CSL_OK ? 0 : code == CSL_E_CANCELLED ? 1 : 3;
    }
    stop(&c);
    if (has_grpc)
        csl_grpc_shutdown();
    if (code != CSL_OK)
        fprintf(stderr, "consilium-coordinator: %s\n", err.msg);
    return status;
}

/* Uploads come in buffers of a few hundred KiB that are allocated on one thread and freed on
 * another. glibc would keep one heap per thread, learn to serve such sizes from them, and so keep
 * what was once in use: a quarter of what the transfers need. */
static void tame_allocator(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    /* Else the top of the heap goes back to the kernel and comes again, zeroed, with every chunk.
     */
    (void)mallopt(M_TRIM_THRESHOLD, 8 * 1024 * 1024);
    (void)mallopt(M_TOP_PAD, 1024 * 1024);
#endif
}

static int usage_error(const char *what, const char *word)
{
    fprintf(stderr,
            "consilium-coordinator: %s%s\n" USAGE
            "'consilium-coordinator --help' lists what the file says\n",
            what, word);
    return 2;
}

int main(int argc, char **argv)
{
    tame_allocator();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
        print_help();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--print-defaults") == 0) {
        print_defaults();
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("consilium-coordinator %s\n", CSL_VERSION);
        return 0;
    }
    if (argc < 2)
        return usage_error("the configuration file is missing: --config FILE names it", "");
    if (strcmp(argv[1], "--config") != 0)
        return usage_error("unknown argument ", argv[1]);
    if (argc < 3)
        return usage_error("--config wants a FILE after it", "");
    if (argc > 3)
        return usage_error("one argument too many: ", argv[3]);
    return run(argv[2]);
}
