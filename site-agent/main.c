/* consilium-site: one hospital's agent. Dials out to the coordinator; nothing listens here. */
#include "base/clock.h"
#include "base/log.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/party.h"
#include "protocol/transport/grpc.h"
#include "site-agent/agent.h"
#include "site-agent/config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_NS  (CSL_NS_PER_S / 4) /* how soon a signal is noticed */
#define GRACE_MS 2000u
#define USAGE    "usage: consilium-site --config FILE | --print-defaults | --version | --help\n"

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

static enum csl_code open_transport(struct csl_transport **out, const struct csl_site_config *c,
                                    struct csl_err *err)
{
    struct csl_grpc_client_config g = {.backoff_min_ms = c->reconnect.minimum_ms,
                                       .backoff_max_ms = c->reconnect.maximum_ms};
    memcpy(g.target, c->coordinator, sizeof(g.target));
    memcpy(g.server_name, c->server_name, sizeof(g.server_name));
    memcpy(g.http_proxy, c->http_proxy, sizeof(g.http_proxy));
    memcpy(g.tls.key_path, c->tls.key, sizeof(g.tls.key_path));
    memcpy(g.tls.chain_path, c->tls.chain, sizeof(g.tls.chain_path));
    memcpy(g.tls.roots_path, c->tls.roots, sizeof(g.tls.roots_path));
    memcpy(g.tls.trust_domain, c->tls.trust_domain, sizeof(g.tls.trust_domain));
    return csl_grpc_client_new(out, &g, err);
}

static enum csl_code serve(struct csl_agent *agent, struct csl_err *err)
{
    while (!stop_asked && !csl_agent_is_finished(agent)) {
        uint64_t until = csl_clock_monotonic_ns() + POLL_NS, wakeup = csl_agent_wakeup_ns(agent);
        csl_agent_wait(agent, wakeup < until ? wakeup : until);
    }
    if (csl_agent_is_finished(agent))
        return csl_agent_outcome(agent, err);
    return CSL_FAIL(err, CSL_E_CANCELLED,
                    "stopped; start it again with the same configuration to resume");
}

/* NULL: the file has no section secure_aggregation. */
static enum csl_code open_party(struct csl_secagg_party **out, const struct csl_site_config *c,
                                struct csl_err *err)
{
    const struct csl_secagg_party_files files = {.key = c->secagg.key,
                                                 .roster = c->secagg.roster,
                                                 .root = c->secagg.root,
                                                 .epoch = c->secagg.epoch,
                                                 .state_dir = c->state,
                                                 .site = c->site};
    if (c->secagg.key[0] == '\0')
        return CSL_OK;
    enum csl_code code = csl_secagg_party_open(out, &files, err);
    if (code == CSL_OK)
        csl_log(CSL_LOG_INFO, "secagg.roster", CSL_U64("epoch", (*out)->roster.epoch),
                CSL_U64("active", csl_secagg_roster_active(&(*out)->roster)));
    if (code == CSL_OK && !csl_secagg_party_is_locked(*out))
        csl_log(CSL_LOG_WARN, "secagg.memory",
                CSL_STR("what",
                        "keys may be swapped to disk: memory cannot be locked; a higher "
                        "limit (LimitMEMLOCK, ulimit -l) or encrypted swap would be right"));
    return code;
}

static enum csl_code open_agent(struct csl_agent **out, const struct csl_site_config *c,
                                struct csl_transport *transport, const struct csl_agent_keys *keys,
                                struct csl_err *err)
{
    struct csl_agent_config a = {.site_id = c->site,
                                 .record_path = c->records,
                                 .state_dir = c->state,
                                 .initial_model =
                                     c->initial_model[0] != '\0' ? c->initial_model : NULL,
                                 .backend = csl_site_backends[c->backend],
                                 .training_threads = c->training_threads,
                                 .policy = &c->policy,
                                 .transport = transport,
                                 .secagg = keys->key != NULL ? keys : NULL,
                                 .has_worker = true};
#ifdef CSL_TEST_SEEDS
    if (c->test_only_noise_seed != 0) {
        csl_log(CSL_LOG_WARN, "noise.repeatable",
                CSL_STR("what", "test-only: the noise has a seed and protects nobody"));
        a.noise_seed = &c->test_only_noise_seed;
    }
#endif
    return csl_agent_new(out, &a, err);
}

static int run(const char *path)
{
    struct csl_err err = {.code = CSL_OK};
    static struct csl_site_config c;
    struct csl_transport *transport = NULL;
    struct csl_agent *agent = NULL;
    struct csl_secagg_party *party = NULL;
    struct csl_agent_keys keys = {.key = NULL};
    enum csl_code code = csl_site_config_read(&c, path, &err);
    if (code != CSL_OK) {
        fprintf(stderr, "consilium-site: %s\n", err.msg);
        return 2;
    }
    csl_log_setup(stderr, (enum csl_log_format)c.log.format, (enum csl_log_level)c.log.level);
    code = csl_secret_harden_process(&err);
    if (code == CSL_OK)
        code = csl_crypto_init(&err);
    if (code == CSL_OK)
        code = open_party(&party, &c, &err);
    if (party != NULL)
        keys = (struct csl_agent_keys){.key = party->key,
                                       .roster = &party->roster,
                                       .epoch_seed = party->has_epoch ? party->epoch_seed : NULL};
    bool has_grpc = code == CSL_OK && (code = csl_grpc_init(&err)) == CSL_OK;
    if (code == CSL_OK)
        code = open_transport(&transport, &c, &err);
    if (code == CSL_OK)
        code = open_agent(&agent, &c, transport, &keys, &err);
    if (code == CSL_OK)
        code = csl_agent_start(agent, csl_clock_monotonic_ns(), &err);
    int status = code == CSL_OK ? 0 : code == CSL_E_INVAL || code == CSL_E_LIMIT ? 2 : 3;
    if (code == CSL_OK) {
        code = serve(agent, &err);
        status = code == CSL_OK ? 0 : code == CSL_E_CANCELLED ? 1 : 3;
    }
    if (transport != NULL)
        transport->ops->stop(transport, GRACE_MS);
    csl_agent_free(agent);
    if (transport != NULL)
        transport->ops->free(transport);
    csl_secagg_party_close(party);
    if (has_grpc)
        csl_grpc_shutdown();
    if (code != CSL_OK)
        fprintf(stderr, "consilium-site: %s\n", err.msg);
    return status;
}

static void print_table(bool as_defaults)
{
    struct csl_buf out;
    csl_buf_init(&out, (size_t)64 * 1024);
    if (as_defaults) {
        csl_option_default_yaml(csl_site_options, &out);
    } else {
        csl_buf_str(
            &out, USAGE
            "\n"
            "Runs one hospital's agent: it dials out to the coordinator, trains on the\n"
            "site's own records and sends updates. Nothing listens here.\n"
            "example: consilium-site --config site.yaml\n\n"
            "Keys of the configuration file (tls.key: the key 'key' within the mapping 'tls'):\n");
        csl_option_help_keys(csl_site_options, &out);
    }
    fputs(csl_buf_text(&out), stdout);
    csl_buf_release(&out);
}

static int usage_error(const char *what, const char *word)
{
    fprintf(stderr,
            "consilium-site: %s%s\n" USAGE "'consilium-site --help' lists what the file says\n",
            what, word);
    return 2;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    bool wants_help = argc >= 2 && strcmp(argv[1], "--help") == 0;
    bool wants_defaults = argc == 2 && strcmp(argv[1], "--print-defaults") == 0;
    if (wants_help || wants_defaults) {
        print_table(wants_defaults);
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("consilium-site %s\n", CSL_VERSION);
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
