/* cli/cmd_enrol.c - `consilium enrol authority|coordinator|site|roster`: what daemons on different
 * machines need to know each other. Keys are made here and never replaced. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/cli.h"
#include "protocol/identity/pki.h"
#include "protocol/identity/roster.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ENROL_FORMAT   "consilium.enrol/1"
#define ROSTER_FORMAT  "consilium.roster/1"
#define AUTHORITY_DAYS 3650
#define PARTY_DAYS     365

struct flags {
    bool json;
    uint32_t days;
    char trust_domain[CSL_TRUST_DOMAIN_MAX];
    char names[900];
    char authority[1000], out[1000], roster[1000], certificate[1000];
    char site[CSL_ID_MAX];
};
#define AT(field)   .offset = offsetof(struct flags, field)
#define TEXT(field) AT(field), .size = sizeof(((struct flags *)0)->field)

static const struct csl_option options[] = {
    {.name = "trust-domain",
     .type = CSL_OPT_STR,
     TEXT(trust_domain),
     .fallback = "",
     .help = "The federation's name in every certificate: a-z 0-9 . - (all but roster)."},
    {.name = "authority",
     .type = CSL_OPT_PATH,
     TEXT(authority),
     .fallback = "",
     .help = "Folder that `enrol authority` made (coordinator, site)."},
    {.name = "names",
     .type = CSL_OPT_STR,
     TEXT(names),
     .fallback = "",
     .help = "Host names and addresses the sites will dial, separated by commas (coordinator)."},
    {.name = "out",
     .type = CSL_OPT_PATH,
     TEXT(out),
     .fallback = "",
     .help = "Folder for the key and the certificates; a key in it is never replaced."},
    {.name = "days",
     .type = CSL_OPT_U32,
     AT(days),
     .min = 0,
     .max = AUTHORITY_DAYS,
     .unit = "days",
     .fallback = "0",
     .help = "Validity; 0: 3650 for the authority, 365 for the others."},
    {.name = "roster",
     .type = CSL_OPT_PATH,
     TEXT(roster),
     .fallback = "",
     .help = "The coordinator's file of sites; the first `roster add` makes it (roster)."},
    {.name = "site",
     .type = CSL_OPT_STR,
     TEXT(site),
     .fallback = "",
     .help = "Which site (roster add, roster deactivate)."},
    {.name = "certificate",
     .type = CSL_OPT_PATH,
     TEXT(certificate),
     .fallback = "",
     .help = "The site's certificate; the pin of its key is read from it (roster add)."},
    {.name = "json",
     .type = CSL_OPT_BOOL,
     AT(json),
     .fallback = "false",
     .help = "Print JSON for programs."},
    CSL_OPTION_END,
};
static const char *const usage[] = {
    "authority --trust-domain DOMAIN --out FOLDER [--days N]",
    "coordinator --authority FOLDER --trust-domain DOMAIN --names HOST,... --out FOLDER [--days N]",
    "site ID --authority FOLDER --trust-domain DOMAIN --out FOLDER [--days N]",
    "roster add --roster FILE --site ID --certificate FILE",
    "roster show --roster FILE",
    "roster deactivate --roster FILE --site ID",
    NULL};
static const char *const verbs[] = {"authority", "coordinator", "site", "roster", NULL};
static const char *const examples[] = {
    "consilium enrol authority --trust-domain heart.example.org --out authority",
    "consilium enrol coordinator --authority authority --trust-domain heart.example.org --names "
    "coordinator.example.org --out coordinator",
    "consilium enrol site lyon --authority authority --trust-domain heart.example.org --out lyon",
    "consilium enrol roster add --roster roster.yaml --site lyon --certificate lyon/site.pem",
    "consilium enrol roster show --roster roster.yaml --json",
    "consilium enrol roster deactivate --roster roster.yaml --site lyon",
    NULL};

const struct csl_cli_doc csl_doc_enrol = {
    .name = "enrol",
    .summary = "make keys and certificates, and keep the list of sites that may take part",
    .usage = usage,
    .verbs = verbs,
    .options = options,
    .examples = examples,
    .notes = "In this version the authority makes the site's private key too, so that key\n"
             "travels: hand the site's folder over on a safe channel and delete it where it\n"
             "was made. A certificate request made at the site, so that its key never leaves\n"
             "it, comes in a later version.\n\n"
             "Files have mode 0600. Whoever holds authority.key can make a certificate for any\n"
             "name, the coordinator's too: keep it away from the network. A site's certificate\n"
             "is not enough to take part: the roster pins each site's key. A coordinator that\n"
             "runs reads a changed roster when it is started again.",
};

/* --- keys and certificates --- */

struct party { /* the files of one party in its folder */
    char key[CSL_PATH_MAX], certificate[CSL_PATH_MAX], roots[CSL_PATH_MAX];
};

static enum csl_code refuse_existing(const char *path, struct csl_err *err)
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
        code = refuse_existing(p->key, err);
    if (code == CSL_OK)
        code = refuse_existing(p->certificate, err);
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
static enum csl_code open_authority(struct party *a, const struct flags *flags, struct csl_err *err)
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
        csl_json_put_str(&j, "format", ENROL_FORMAT);
        csl_json_put_str(&j, "spiffe_id", c.spiffe_id);
        csl_json_put_str(&j, "key", p->key);
        csl_json_put_str(&j, "certificate", p->certificate);
        csl_json_put_str(&j, "authority", p->roots);
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
    csl_buf_printf(&out, "  pin          %s\n  valid for    %" PRId64 " days\n", pin,
                   csl_certificate_days_left(&c));
    if (is_site)
        csl_buf_str(&out, "This folder holds the site's private key: hand it over on a safe "
                          "channel, then delete it here.\n");
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

static int make_authority(const struct flags *flags)
{
    struct csl_err err = {0};
    struct party p;
    int days = flags->days > 0 ? (int)flags->days : AUTHORITY_DAYS;

    if (flags->trust_domain[0] == '\0' || flags->out[0] == '\0')
        return csl_cli_misuse(&csl_doc_enrol, "authority needs --trust-domain and --out");
    enum csl_code code = open_party(&p, flags->out, "authority", &err);
    if (code == CSL_OK)
        code = csl_pki_make_authority(flags->trust_domain, days, p.key, p.certificate, &err);
    return code == CSL_OK ? print_party(&p, false, flags->json)
                          : csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
}

/* site_id NULL: the coordinator. */
static int make_party(const struct flags *flags, const char *site_id)
{
    struct csl_err err = {0};
    struct party a, p;
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
        code = copy_roots(&p, a.certificate, &err);
    const struct csl_pki_authority ca = {a.key, a.certificate};
    if (code == CSL_OK && site_id)
        code =
            csl_pki_issue_site(&ca, flags->trust_domain, site_id, days, p.key, p.certificate, &err);
    else if (code == CSL_OK)
        code = csl_pki_issue_coordinator(&ca, flags->trust_domain, flags->names, days, p.key,
                                         p.certificate, &err);
    return code == CSL_OK ? print_party(&p, site_id != NULL, flags->json)
                          : csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
}

/* --- the roster --- */

static int print_roster(const struct csl_roster *r, const char *path, bool is_json)
{
    struct csl_buf out;
    struct csl_json j;
    char pin[2 * CSL_PIN_BYTES + 1];

    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (is_json) {
        csl_json_init(&j, &out, true);
        csl_json_object(&j);
        csl_json_put_str(&j, "format", ROSTER_FORMAT);
        csl_json_put_str(&j, "roster", path);
        csl_json_key(&j, "sites");
        csl_json_array(&j);
    } else {
        csl_buf_printf(&out, "%-24s %-7s %s\n", "site", "active", "pin");
    }
    for (size_t i = 0; i < csl_roster_count(r); i++) {
        const struct csl_roster_site *s = csl_roster_at(r, i);
        csl_hex(s->pin, CSL_PIN_BYTES, pin);
        if (!is_json) {
            csl_buf_printf(&out, "%-24s %-7s %s\n", s->id, s->is_active ? "yes" : "no", pin);
            continue;
        }
        csl_json_object(&j);
        csl_json_put_str(&j, "id", s->id);
        csl_json_put_str(&j, "pin", pin);
        csl_json_put_bool(&j, "active", s->is_active);
        csl_json_end(&j);
    }
    if (is_json) {
        csl_json_end(&j);
        csl_json_end(&j);
        csl_buf_str(&out, "\n");
    }
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

/* The pin of a certificate that names this site and is within its time. */
static enum csl_code read_pin(struct csl_roster_site *site, const char *path, struct csl_err *err)
{
    struct csl_certificate c;
    char id[CSL_ID_MAX], domain[CSL_TRUST_DOMAIN_MAX] = "";
    const size_t scheme = strlen("spiffe://");

    enum csl_code code = csl_certificate_read(&c, path, err);
    if (code == CSL_E_CRYPTO) { /* here the certificate is what the operator gave */
        err->code = CSL_E_INVAL;
        return CSL_E_INVAL;
    }
    if (code != CSL_OK)
        return code;
    if (strncmp(c.spiffe_id, "spiffe://", scheme) == 0) {
        size_t n = strcspn(c.spiffe_id + scheme, "/");
        if (n < sizeof(domain))
            memcpy(domain, c.spiffe_id + scheme, n);
    }
    if (csl_spiffe_site(id, c.spiffe_id, domain, NULL) != CSL_OK || strcmp(id, site->id) != 0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s names '%s'; the certificate of site '%s' would be "
                        "right",
                        path, c.spiffe_id, site->id);
    if (c.seconds_left <= 0)
        return CSL_FAIL(err, CSL_E_INVAL, "%s is past its end; a new certificate would be right",
                        path);
    memcpy(site->pin, c.pin, sizeof(site->pin));
    site->is_active = true;
    return CSL_OK;
}

static enum csl_code change_site(struct csl_roster *r, const struct flags *flags, bool is_add,
                                 struct csl_err *err)
{
    struct csl_roster_site site = {.is_active = false};
    const struct csl_roster_site *known = csl_roster_find(r, flags->site);

    (void)csl_str_copy(site.id, sizeof(site.id), flags->site); /* same size */
    if (is_add) {
        enum csl_code code = read_pin(&site, flags->certificate, err);
        if (code != CSL_OK)
            return code;
    } else if (known) {
        memcpy(site.pin, known->pin, sizeof(site.pin));
    } else {
        return CSL_FAIL(err, CSL_E_NOTFOUND,
                        "%s lists no site '%s'; `consilium enrol roster show` "
                        "lists those it has",
                        flags->roster, flags->site);
    }
    return csl_roster_put(r, &site, err);
}

static int change_roster(const struct flags *flags, bool is_add)
{
    struct csl_err err = {0};
    struct csl_roster *r = NULL;
    int status = CSL_EXIT_DONE;

    if (!csl_id_valid(flags->site) || (is_add && flags->certificate[0] == '\0'))
        return csl_cli_misuse(&csl_doc_enrol, "roster %s needs --site%s",
                              is_add ? "add" : "deactivate", is_add ? " and --certificate" : "");
    enum csl_code code = is_add && !csl_file_exists(flags->roster)
                             ? csl_roster_new(&r, &err)
                             : csl_roster_load(&r, flags->roster, &err);
    if (code == CSL_OK)
        code = change_site(r, flags, is_add, &err);
    if (code == CSL_OK)
        code = csl_roster_write(r, flags->roster, &err);
    if (code != CSL_OK) {
        status = csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
    } else {
        status = print_roster(r, flags->roster, flags->json);
    }
    csl_roster_free(r);
    return status;
}

static int show_roster(const struct flags *flags)
{
    struct csl_err err = {0};
    struct csl_roster *r = NULL;

    if (csl_roster_load(&r, flags->roster, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
    int status = print_roster(r, flags->roster, flags->json);
    csl_roster_free(r);
    return status;
}

static int roster(const struct flags *flags, const char *action)
{
    if (flags->roster[0] == '\0')
        return csl_cli_misuse(&csl_doc_enrol, "roster needs --roster, the coordinator's file");
    if (strcmp(action, "add") == 0 || strcmp(action, "deactivate") == 0)
        return change_roster(flags, strcmp(action, "add") == 0);
    if (strcmp(action, "show") == 0)
        return show_roster(flags);
    return csl_cli_misuse(&csl_doc_enrol,
                          "found 'roster %s'; add, show or deactivate would be "
                          "right",
                          action);
}

int csl_cmd_enrol(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    struct flags flags = {0};
    int status = 0;

    if (!csl_cli_start(&csl_doc_enrol, &flags, argc, argv, &line, &status))
        return status;
    const char *verb = line.positional_count > 0 ? line.positional[0] : "";
    if (strcmp(verb, "authority") == 0 && line.positional_count == 1)
        return make_authority(&flags);
    if (strcmp(verb, "coordinator") == 0 && line.positional_count == 1)
        return make_party(&flags, NULL);
    if (strcmp(verb, "site") == 0 && line.positional_count == 2)
        return make_party(&flags, line.positional[1]);
    if (strcmp(verb, "roster") == 0 && line.positional_count == 2)
        return roster(&flags, line.positional[1]);
    return csl_cli_misuse(&csl_doc_enrol,
                          "found %zu words%s%s; authority, coordinator, site ID or roster ACTION "
                          "would be right",
                          line.positional_count, verb[0] ? " that begin with " : "", verb);
}
