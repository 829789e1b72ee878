/* Keys and certificates of the parties. */
#include "base/bytes.h"
#include "base/str.h"
#include "cli/enrol.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/roster.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PARTY_DAYS 365

struct party { /* the files of one party in its folder */
    char key[CSL_PATH_MAX], certificate[CSL_PATH_MAX], roots[CSL_PATH_MAX];
    char signing[CSL_PATH_MAX], public_key[CSL_PATH_MAX]; /* "": the authority signs nothing else */
};

/* NAME.key and NAME.pub in the folder; neither is there. */
static enum csl_code open_signing(struct party *p, const char *dir, const char *name,
                                  struct csl_err *err)
{
    char file[32];
    snprintf(file, sizeof(file), "%s.key", name);
    enum csl_code code = csl_path_join(p->signing, sizeof(p->signing), dir, file, err);
    snprintf(file, sizeof(file), "%s.pub", name);
    if (code == CSL_OK)
        code = csl_path_join(p->public_key, sizeof(p->public_key), dir, file, err);
    if (code == CSL_OK)
        code = csl_enrol_refuse_existing(p->signing, err);
    return code == CSL_OK ? csl_enrol_refuse_existing(p->public_key, err) : code;
}

static enum csl_code make_signing(const struct party *p, const char *role, struct csl_err *err)
{
    struct csl_sign_key key;
    enum csl_code code = csl_crypto_init(err);
    if (code != CSL_OK)
        return code;
    csl_sign_keygen(&key);
    code = csl_sign_store(&key, p->signing, err);
    if (code == CSL_OK)
        code = csl_sign_store_public(&key, role, p->public_key, err);
    csl_sign_wipe(&key);
    return code;
}

enum csl_code csl_enrol_refuse_existing(const char *path, struct csl_err *err)
{
    if (!csl_file_exists(path))
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_EXISTS,
                    "%s is there already and is not replaced; another folder would be right", path);
}

static enum csl_code open_party(struct party *p, const char *dir, const char *who,
                                struct csl_err *err)
{
    char name[32];

    enum csl_code code = csl_path_join(p->roots, sizeof(p->roots), dir, "authority.pem", err);
    snprintf(name, sizeof(name), "%s.key", who);
    if (code == CSL_OK)
        code = csl_path_join(p->key, sizeof(p->key), dir, name, err);
    snprintf(name, sizeof(name), "%s.pem", who);
    if (code == CSL_OK)
        code = csl_path_join(p->certificate, sizeof(p->certificate), dir, name, err);
    if (code == CSL_OK)
        code = csl_enrol_refuse_existing(p->key, err);
    if (code == CSL_OK)
        code = csl_enrol_refuse_existing(p->certificate, err);
    return code == CSL_OK ? csl_dir_make(dir, err) : code;
}

/* The authority's certificate, copied beside the party's own, so that its folder is complete. */
static enum csl_code copy_roots(const struct party *p, const char *from, struct csl_err *err)
{
    struct csl_msg ours = {NULL, 0}, theirs = {NULL, 0};
    enum csl_code code = csl_file_read(&ours, from, CSL_PEM_BYTES_MAX, err);

    if (code == CSL_OK && csl_file_exists(p->roots)) {
        code = csl_file_read(&theirs, p->roots, CSL_PEM_BYTES_MAX, err);
        if (code == CSL_OK && (ours.n != theirs.n || memcmp(ours.p, theirs.p, ours.n) != 0))
            code = CSL_FAIL(err, CSL_E_EXISTS,
                            "%s is another authority's; another folder would be right", p->roots);
    } else if (code == CSL_OK) {
        code = csl_file_write_atomic(p->roots, csl_msg_span(&ours), 0600, err);
    }
    csl_msg_release(&ours);
    csl_msg_release(&theirs);
    return code;
}

/* The authority's files, and whether they are those of this trust domain. */
static enum csl_code open_authority(struct party *a, const struct csl_enrol *flags,
                                    struct csl_err *err)
{
    struct csl_certificate c;
    char expected[CSL_SPIFFE_MAX];

    enum csl_code code =
        csl_path_join(a->key, sizeof(a->key), flags->authority, "authority.key", err);
    if (code == CSL_OK)
        code = csl_path_join(a->certificate, sizeof(a->certificate), flags->authority,
                             "authority.pem", err);
    if (code == CSL_OK)
        code = csl_certificate_read(&c, a->certificate, err);
    if (code != CSL_OK)
        return code;
    snprintf(expected, sizeof(expected), "spiffe://%s", flags->trust_domain);
    if (strcmp(c.spiffe_id, expected) != 0)
        return CSL_FAIL(err, CSL_E_INVAL, "%s speaks for '%s'; '%s' would be right", a->certificate,
                        c.spiffe_id, expected);
    if (c.seconds_left <= 0)
        return CSL_FAIL(err, CSL_E_INVAL, "%s is past its end; a new authority would be right",
                        a->certificate);
    return CSL_OK;
}

static int print_party(const struct party *p, bool is_site, bool is_json)
{
    struct csl_certificate c;
    struct csl_err err = {0};
    struct csl_buf out;
    struct csl_json j;
    char pin[2 * CSL_PIN_BYTES + 1];

    if (csl_certificate_read(&c, p->certificate, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_enrol, &err, is_json);
    csl_hex(c.pin, CSL_PIN_BYTES, pin);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (is_json) {
        csl_json_init(&j, &out, true);
        csl_json_object(&j);
        csl_json_put_str(&j, "format", CSL_ENROL_FORMAT);
        csl_json_put_str(&j, "spiffe_id", c.spiffe_id);
        csl_json_put_str(&j, "key", p->key);
        csl_json_put_str(&j, "certificate", p->certificate);
        csl_json_put_str(&j, "authority", p->roots);
        if (p->signing[0] != '\0') {
            csl_json_put_str(&j, "signing_key", p->signing);
            csl_json_put_str(&j, "signing_public_key", p->public_key);
        }
        csl_json_put_str(&j, "pin", pin);
        csl_json_put_u64(&j, "days_left", (uint64_t)csl_certificate_days_left(&c));
        csl_json_end(&j);
        csl_buf_str(&out, "\n");
        return csl_cli_print(&out, CSL_EXIT_DONE);
    }
    csl_buf_printf(&out, "%s\n  key          %s (secret)\n  certificate  %s\n", c.spiffe_id, p->key,
                   p->certificate);
    if (strcmp(p->roots, p->certificate) != 0)
        csl_buf_printf(&out, "  authority    %s\n", p->roots);
    if (p->signing[0] != '\0')
        csl_buf_printf(&out, "  signing key  %s (secret)\n  its public   %s\n", p->signing,
                       p->public_key);
    csl_buf_printf(&out, "  pin          %s\n  valid for    %" PRId64 " days\n", pin,
                   csl_certificate_days_left(&c));
    if (is_site)
        csl_buf_str(&out, "This folder holds the site's private key: hand it over on a safe "
                          "channel, then delete it here.\n");
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

int csl_enrol_authority(const struct csl_enrol *flags)
{
    struct csl_err err = {0};
    struct party p = {.signing = ""};
    int days = flags->days > 0 ? (int)flags->days : CSL_AUTHORITY_DAYS;

    if (flags->trust_domain[0] == '\0' || flags->out[0] == '\0')
        return csl_cli_misuse(&csl_doc_enrol, "authority needs --trust-domain and --out");
    enum csl_code code = open_party(&p, flags->out, "authority", &err);
    if (code == CSL_OK)
        code = csl_pki_make_authority(flags->trust_domain, days, p.key, p.certificate, &err);
    return code == CSL_OK ? print_party(&p, false, flags->json)
                          : csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
}

int csl_enrol_party(const struct csl_enrol *flags, const char *site_id)
{
    struct csl_err err = {0};
    struct party a, p;
    char role[CSL_SIGN_ROLE_MAX] = "coordinator";
    int days = flags->days > 0 ? (int)flags->days : PARTY_DAYS;

    if (flags->authority[0] == '\0' || flags->trust_domain[0] == '\0' || flags->out[0] == '\0')
        return csl_cli_misuse(&csl_doc_enrol, "%s needs --authority, --trust-domain and --out",
                              site_id ? "site" : "coordinator");
    if (!site_id && flags->names[0] == '\0')
        return csl_cli_misuse(&csl_doc_enrol,
                              "coordinator needs --names, what the sites will dial");
    if (site_id && !csl_id_valid(site_id))
        return csl_cli_misuse(&csl_doc_enrol,
                              "the site's id is not valid; [a-z0-9][a-z0-9._-]{0,62} would be "
                              "right");
    enum csl_code code = open_authority(&a, flags, &err);
    if (code == CSL_OK)
        code = open_party(&p, flags->out, site_id ? "site" : "coordinator", &err);
    if (code == CSL_OK)
        code = open_signing(&p, flags->out, "signing", &err);
    if (site_id != NULL)
        snprintf(role, sizeof(role), "site %s", site_id);
    if (code == CSL_OK)
        code = copy_roots(&p, a.certificate, &err);
    const struct csl_pki_authority ca = {a.key, a.certificate};
    if (code == CSL_OK && site_id)
        code =
            csl_pki_issue_site(&ca, flags->trust_domain, site_id, days, p.key, p.certificate, &err);
    else if (code == CSL_OK)
        code = csl_pki_issue_coordinator(&ca, flags->trust_domain, flags->names, days, p.key,
                                         p.certificate, &err);
    if (code == CSL_OK)
        code = make_signing(&p, role, &err);
    return code == CSL_OK ? print_party(&p, site_id != NULL, flags->json)
                          : csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
}

int csl_enrol_federation(const struct csl_enrol *flags)
{
    struct csl_err err = {0};
    struct party p = {.key = ""};
    struct csl_buf out;
    struct csl_json j;
    uint8_t root[CSL_SIGN_PUBLIC_BYTES], id[16];
    char hex[33];

    if (flags->out[0] == '\0')
        return csl_cli_misuse(&csl_doc_enrol, "federation needs --out");
    enum csl_code code = open_signing(&p, flags->out, "federation", &err);
    if (code == CSL_OK)
        code = csl_dir_make(flags->out, &err);
    if (code == CSL_OK)
        code = make_signing(&p, "federation", &err);
    if (code == CSL_OK)
        code = csl_sign_load_public(root, "federation", p.public_key, &err);
    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
    csl_secagg_federation_id(root, id);
    csl_hex(id, sizeof(id), hex);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (flags->json) {
        csl_json_init(&j, &out, true);
        csl_json_object(&j);
        csl_json_put_str(&j, "format", CSL_ENROL_FORMAT);
        csl_json_put_str(&j, "federation", hex);
        csl_json_put_str(&j, "signing_key", p.signing);
        csl_json_put_str(&j, "signing_public_key", p.public_key);
        csl_json_end(&j);
        csl_buf_str(&out, "\n");
        return csl_cli_print(&out, CSL_EXIT_DONE);
    }
    csl_buf_printf(&out,
                   "federation %s\n  root key     %s (secret)\n  its public   %s\n"
                   "Whoever holds the root key decides who is a site. The federation keeps it, "
                   "offline, and never the coordinator.\n",
                   hex, p.signing, p.public_key);
    return csl_cli_print(&out, CSL_EXIT_DONE);
}
