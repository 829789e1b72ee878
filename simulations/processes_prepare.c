/* Keys, certificates and configuration files for a federation of processes on this machine. */
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/party.h"
#include "protocol/identity/pki.h"
#include "protocol/identity/roster.h"
#include "simulations/ceremony.h"
#include "simulations/federation.h"
#include "simulations/processes.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRUST_DOMAIN "simulation.consilium"
#define DAYS         30

/* A port that is free now; the coordinator keeps it over restarts so that sites find it again. */
static enum csl_code free_port(uint16_t *out, struct csl_err *err)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has_port = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 &&
                    getsockname(fd, (struct sockaddr *)&a, &n) == 0;
    enum csl_code code =
        has_port ? CSL_OK : CSL_FAIL_SYS(err, CSL_E_IO, "no free port on loopback");
    if (fd >= 0)
        close(fd);
    if (has_port)
        *out = ntohs(a.sin_port);
    return code;
}

static enum csl_code write_text(const char *dir, const char *name, const struct csl_buf *text,
                                struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    enum csl_code code = csl_buf_status(text, err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), dir, name, err);
    return code == CSL_OK ? csl_file_write_atomic(path, CSL_SPAN(text->p, text->n), 0600, err)
                          : code;
}

/* A YAML scalar, whatever characters a path has. */
static void put_quoted(struct csl_buf *b, const char *text)
{
    csl_buf_u8(b, '"');
    for (const char *p = text; *p != '\0'; p++)
        csl_buf_printf(b, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
    csl_buf_u8(b, '"');
}

/* Of a site's files in pki/: its id may be "authority" or "coordinator". */
static void site_party(const char *id, char out[CSL_ID_MAX + 8])
{
    snprintf(out, CSL_ID_MAX + 8, "site-%s", id);
}

static void put_tls(struct csl_buf *b, const char *pki, const char *who)
{
    csl_buf_printf(
        b,
        "tls:\n  key: \"%s/%s.key\"\n  chain: \"%s/%s.pem\"\n  roots: \"%s/authority.pem\"\n"
        "  trust_domain: " TRUST_DOMAIN "\n",
        pki, who, pki, who, pki);
}

/* A path as this process sees it, for a file in another folder. */
static enum csl_code from_here(const char *path, char out[CSL_PATH_MAX], struct csl_err *err)
{
    char here[CSL_PATH_MAX];
    if (getcwd(here, sizeof(here)) == NULL)
        return CSL_FAIL_SYS(err, CSL_E_IO, "the working folder");
    return csl_path_join(out, CSL_PATH_MAX, here, path, err);
}

/* The weights that a party starts from, where there are any. */
static enum csl_code put_initial(struct csl_buf *b, const struct csl_world_config *c,
                                 struct csl_err *err)
{
    char initial[CSL_PATH_MAX];
    if (c->initial_model == NULL)
        return CSL_OK;
    enum csl_code code = from_here(c->initial_model, initial, err);
    csl_buf_str(b, "initial_model: ");
    put_quoted(b, code == CSL_OK ? initial : "");
    csl_buf_u8(b, '\n');
    return code;
}

/* Where a party of a study under masks finds its keys; `who` is its name in pki/. */
static void put_secagg(struct csl_buf *b, const struct csl_study *study, const char *above,
                       const char *who)
{
    if (study->secagg.is_on)
        csl_buf_printf(b,
                       "secure_aggregation:\n  key: \"%s/pki/%s.signing.key\"\n"
                       "  roster: \"%s/federation.roster\"\n  root: \"%s/pki/federation.pub\"\n",
                       above, who, above, above);
    if (study->secagg.is_sparse)
        csl_buf_printf(b, "  epoch: \"%s/federation.epoch\"\n", above);
}

static enum csl_code prepare_coordinator(const struct csl_world_config *c, uint16_t port,
                                         struct csl_err *err)
{
    struct csl_buf b;
    csl_buf_init(&b, (size_t)64 * 1024);
    csl_buf_printf(&b, "study: ../study.yaml\nroster: ../roster.yaml\nstate: state\n");
    csl_buf_printf(&b, "listen: \"127.0.0.1:%u\"\nseed: %llu\nlinger: 20s\nrehearsal: true\n",
                   (unsigned)port, (unsigned long long)c->seed);
    put_tls(&b, "../pki", "coordinator");
    put_secagg(&b, c->study, "..", "coordinator");
    char dir[CSL_PATH_MAX];
    enum csl_code code = put_initial(&b, c, err);
    if (code == CSL_OK)
        code = csl_path_join(dir, sizeof(dir), c->state_dir, "coordinator", err);
    if (code == CSL_OK)
        code = csl_dir_make(dir, err);
    if (code == CSL_OK)
        code = write_text(dir, "coordinator.yaml", &b, err);
    csl_buf_release(&b);
    return code;
}

/* What a simulated hospital allows is what the study asks for, and not more. */
static void put_policy(struct csl_buf *b, const struct csl_study *study)
{
    const struct csl_study_privacy *p = &study->privacy;
    csl_buf_printf(b, "policy:\n  approval: automatic\n  minimum_sites: 1\n  privacy_modes: [%s]\n",
                   csl_privacy_mode_name(p->mode));
    if (study->secagg.is_on)
        csl_buf_printf(b,
                       "  masked_only: true\n  masked_colluding: %u\n"
                       "  masked_minimum_sites: %u\n",
                       study->secagg.colluding, study->secagg.minimum_sites);
    if (p->mode != CSL_PRIVACY_NONE)
        csl_buf_printf(b,
                       "  allow_large_delta: true\n  budgets: [{epsilon: %.17g, delta: %.17g}]\n",
                       csl_world_budget(study), csl_world_budget_delta(study));
}

static enum csl_code prepare_site(const struct csl_world_config *c,
                                  const struct csl_world_site *site, uint16_t port,
                                  struct csl_err *err)
{
    char dir[CSL_PATH_MAX], name[CSL_ID_MAX + 8], party[CSL_ID_MAX + 8];
    char records[CSL_PATH_MAX];
    snprintf(name, sizeof(name), "sites/%s", site->id);
    site_party(site->id, party);
    enum csl_code code = from_here(site->record_path, records, err);
    if (code == CSL_OK)
        code = csl_path_join(dir, sizeof(dir), c->state_dir, name, err);
    if (code == CSL_OK)
        code = csl_dir_make(dir, err);
    if (code != CSL_OK)
        return code;
    struct csl_buf b;
    csl_buf_init(&b, (size_t)64 * 1024);
    csl_buf_printf(&b, "site: %s\ncoordinator: \"127.0.0.1:%u\"\nstate: state\nrecords: ", site->id,
                   (unsigned)port);
    put_quoted(&b, records);
    csl_buf_printf(&b, "\nbackend: %s\nreconnect: {minimum: 50ms, maximum: 1s}\n", c->backend);
    put_policy(&b, c->study);
    put_tls(&b, "../../pki", party);
    put_secagg(&b, c->study, "../..", party);
#ifdef CSL_TEST_SEEDS
    csl_buf_printf(&b, "test_only_noise_seed: %llu\n", (unsigned long long)c->seed);
#endif
    code = put_initial(&b, c, err);
    if (code == CSL_OK)
        code = write_text(dir, "site.yaml", &b, err);
    csl_buf_release(&b);
    return code;
}

struct pki {
    char dir[CSL_PATH_MAX], ca_key[CSL_PATH_MAX], ca_cert[CSL_PATH_MAX];
    char key[CSL_PATH_MAX], cert[CSL_PATH_MAX];
};

static enum csl_code pair_paths(const struct pki *p, const char *who, char key[CSL_PATH_MAX],
                                char cert[CSL_PATH_MAX], struct csl_err *err)
{
    char name[CSL_ID_MAX + 16];
    snprintf(name, sizeof(name), "%s.key", who);
    enum csl_code code = csl_path_join(key, CSL_PATH_MAX, p->dir, name, err);
    snprintf(name, sizeof(name), "%s.pem", who);
    return code == CSL_OK ? csl_path_join(cert, CSL_PATH_MAX, p->dir, name, err) : code;
}

static enum csl_code enrol_site(struct pki *p, const char *id, struct csl_roster *roster,
                                struct csl_err *err)
{
    struct csl_pki_authority ca = {p->ca_key, p->ca_cert};
    struct csl_roster_site row = {.is_active = true};
    char party[CSL_ID_MAX + 8];
    csl_str_copy(row.id, sizeof(row.id), id);
    site_party(id, party);
    enum csl_code code = pair_paths(p, party, p->key, p->cert, err);
    if (code == CSL_OK)
        code = csl_pki_issue_site(&ca, TRUST_DOMAIN, id, DAYS, p->key, p->cert, err);
    if (code == CSL_OK)
        code = csl_pki_pin_read(row.pin, p->cert, err);
    return code == CSL_OK ? csl_roster_put(roster, &row, err) : code;
}

static enum csl_code prepare_identity(const struct csl_world_config *c, struct csl_err *err)
{
    struct pki p;
    struct csl_roster *roster = NULL;
    char path[CSL_PATH_MAX];
    enum csl_code code = csl_path_join(p.dir, sizeof(p.dir), c->state_dir, "pki", err);
    if (code == CSL_OK)
        code = csl_dir_make(p.dir, err);
    if (code == CSL_OK)
        code = pair_paths(&p, "authority", p.ca_key, p.ca_cert, err);
    if (code == CSL_OK)
        code = csl_pki_make_authority(TRUST_DOMAIN, DAYS, p.ca_key, p.ca_cert, err);
    struct csl_pki_authority ca = {p.ca_key, p.ca_cert};
    if (code == CSL_OK)
        code = pair_paths(&p, "coordinator", p.key, p.cert, err);
    if (code == CSL_OK)
        code = csl_pki_issue_coordinator(&ca, TRUST_DOMAIN, CSL_COORDINATOR_NAMES, DAYS, p.key,
                                         p.cert, err);
    if (code == CSL_OK)
        code = csl_roster_new(&roster, err);
    for (uint32_t i = 0; code == CSL_OK && i < c->site_count; i++)
        code = enrol_site(&p, c->sites[i].id, roster, err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), c->state_dir, "roster.yaml", err);
    if (code == CSL_OK)
        code = csl_roster_write(roster, path, err);
    csl_roster_free(roster);
    return code;
}

/* --- keys for sums under masks --- */

struct keys_on_disk {
    const struct csl_world_config *c;
    const struct csl_secagg_roster *roster;
};
struct federation {
    struct csl_sign_key root;
    struct csl_secagg_roster roster;
};

/* pki/WHO.signing.key, and its public half into *out. One that is there is of a preparation that
 * was interrupted. */
static enum csl_code make_signing_key(const struct csl_world_config *c, const char *who,
                                      uint8_t out[CSL_SIGN_PUBLIC_BYTES], struct csl_err *err)
{
    char name[CSL_ID_MAX + 32], path[CSL_PATH_MAX];
    struct csl_sign_key key;
    snprintf(name, sizeof(name), "pki/%s.signing.key", who);
    enum csl_code code = csl_path_join(path, sizeof(path), c->state_dir, name, err);
    csl_sign_keygen(&key);
    if (code == CSL_OK)
        code = csl_file_exists(path) ? csl_sign_load(&key, path, err)
                                     : csl_sign_store(&key, path, err);
    memcpy(out, key.public_key, CSL_SIGN_PUBLIC_BYTES);
    csl_sign_wipe(&key);
    return code;
}

/* Numbers follow the ids, as in a run in one process: nothing that is summed depends on them. */
static enum csl_code fill_roster(const struct csl_world_config *c, struct csl_secagg_roster *r,
                                 struct csl_err *err)
{
    enum csl_code code = make_signing_key(c, "coordinator", r->coordinator_key, err);
    r->epoch = 1;
    r->count = c->site_count;
    for (uint32_t i = 0; code == CSL_OK && i < c->site_count; i++) {
        char party[CSL_ID_MAX + 8];
        struct csl_secagg_roster_site *s = &r->sites[i];
        csl_str_copy(s->name, sizeof(s->name), c->sites[i].id);
        site_party(c->sites[i].id, party);
        code = make_signing_key(c, party, s->key, err);
    }
    csl_sim_roster_number(r);
    return code;
}

static enum csl_code key_at(void *ctx, uint32_t place, struct csl_sign_key *out,
                            struct csl_err *err)
{
    const struct keys_on_disk *k = ctx;
    char party[CSL_ID_MAX + 8], name[CSL_ID_MAX + 32], path[CSL_PATH_MAX];
    site_party(k->roster->sites[place].name, party);
    snprintf(name, sizeof(name), "pki/%s.signing.key", party);
    enum csl_code code = csl_path_join(path, sizeof(path), k->c->state_dir, name, err);
    return code == CSL_OK ? csl_sign_load(out, path, err) : code;
}

static enum csl_code write_epoch(const struct csl_world_config *c,
                                 const struct csl_secagg_roster *roster, struct csl_err *err)
{
    struct keys_on_disk keys = {c, roster};
    uint8_t seed[32];
    struct csl_buf said;
    if (!c->study->secagg.is_sparse)
        return CSL_OK;
    csl_buf_init(&said, CSL_SECAGG_EPOCH_BYTES_MAX);
    enum csl_code code = csl_sim_ceremony(roster, key_at, &keys, &said, seed, err);
    if (code == CSL_OK)
        code = write_text(c->state_dir, "federation.epoch", &said, err);
    csl_buf_release(&said);
    return code;
}

/* The root's secret is not written: nobody else joins this run. */
static enum csl_code write_federation(const struct csl_world_config *c, struct federation *f,
                                      struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    struct csl_buf bytes;
    csl_buf_init(&bytes, CSL_SECAGG_ROSTER_BYTES_MAX);
    csl_sign_keygen(&f->root);
    enum csl_code code = fill_roster(c, &f->roster, err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), c->state_dir, "pki/federation.pub", err);
    if (code == CSL_OK)
        (void)unlink(path); /* of a preparation that was interrupted, with a root that is gone */
    if (code == CSL_OK)
        code = csl_sign_store_public(&f->root, "federation", path, err);
    if (code == CSL_OK)
        code = csl_secagg_roster_encode(&f->roster, &f->root, &bytes, err);
    if (code == CSL_OK)
        code = write_text(c->state_dir, "federation.roster", &bytes, err);
    if (code == CSL_OK) /* read back: the ceremony is about the roster's hash */
        code = csl_secagg_roster_decode(&f->roster, CSL_SPAN(bytes.p, bytes.n), f->root.public_key,
                                        1, err);
    if (code == CSL_OK)
        code = write_epoch(c, &f->roster, err);
    csl_buf_release(&bytes);
    csl_sign_wipe(&f->root);
    return code;
}

static enum csl_code prepare_federation(const struct csl_world_config *c, struct csl_err *err)
{
    if (!c->study->secagg.is_on)
        return CSL_OK;
    if (c->site_count > CSL_SECAGG_SITES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%u sites under masks; at most %d", c->site_count,
                        CSL_SECAGG_SITES_MAX);
    struct federation *f = csl_alloc(sizeof(*f));
    if (f == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the keys of %u sites", c->site_count);
    enum csl_code code = csl_crypto_init(err);
    if (code == CSL_OK)
        code = write_federation(c, f, err);
    csl_free(f);
    return code;
}

/* A folder is resumed only for the study it was prepared for. */
static enum csl_code check_prepared(const struct csl_world_config *c, const char *path,
                                    struct csl_err *err)
{
    struct csl_study *s = NULL;
    enum csl_code code = csl_study_read(&s, path, err);
    if (code == CSL_OK && memcmp(s->digest, c->study->digest, sizeof(s->digest)) != 0)
        code = CSL_FAIL(err, CSL_E_STATE,
                        "%s holds another study ('%s'); use another state folder for '%s'",
                        c->state_dir, s->id, c->study->id);
    csl_study_free(s);
    return code;
}

enum csl_code csl_processes_prepare(const struct csl_world_config *c, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    if (c->seed == 0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "a coordinator takes seed 0 for 'draw one'; any other seed would be right "
                        "for a run as processes");
    if (csl_study_has_kind(c->study, CSL_BLOCK_LOCAL))
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "study '%s' has local blocks, which processes keep to themselves, so that "
                        "nothing could be evaluated; a run in one process would be right",
                        c->study->id);
    enum csl_code code = csl_dir_make(c->state_dir, err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), c->state_dir, "study.yaml", err);
    if (code != CSL_OK)
        return code;
    if (csl_file_exists(path)) /* study.yaml is written last */
        return check_prepared(c, path, err);
    uint16_t port = 0;
    code = free_port(&port, err);
    if (code == CSL_OK)
        code = prepare_identity(c, err);
    if (code == CSL_OK)
        code = prepare_federation(c, err);
    if (code == CSL_OK)
        code = prepare_coordinator(c, port, err);
    for (uint32_t i = 0; code == CSL_OK && i < c->site_count; i++)
        code = prepare_site(c, &c->sites[i], port, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, csl_msg_span(&c->study->manifest), 0600, err);
    return code;
}
