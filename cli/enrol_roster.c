/* The coordinator's list of sites: roster.yaml. */
#include "base/bytes.h"
#include "base/str.h"
#include "cli/enrol.h"
#include "privacy/crypto/sign.h"
#include "protocol/identity/roster.h"

#include <stdio.h>
#include <string.h>

static int print_roster(const struct csl_roster *r, const char *path, bool is_json)
{
    struct csl_buf out;
    struct csl_json j;
    char pin[2 * CSL_PIN_BYTES + 1], key[2 * CSL_ROSTER_SIGNING_BYTES + 1], number[16];

    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (is_json) {
        csl_json_init(&j, &out, true);
        csl_json_object(&j);
        csl_json_put_str(&j, "format", CSL_ENROL_ROSTER_FORMAT);
        csl_json_put_str(&j, "roster", path);
        csl_json_key(&j, "sites");
        csl_json_array(&j);
    } else {
        csl_buf_printf(&out, "%-24s %-7s %-7s %s\n", "site", "active", "number", "pin");
    }
    for (size_t i = 0; i < csl_roster_count(r); i++) {
        const struct csl_roster_site *s = csl_roster_at(r, i);
        csl_hex(s->pin, CSL_PIN_BYTES, pin);
        if (!is_json) {
            snprintf(number, sizeof(number), s->number == 0 ? "-" : "%u", s->number);
            csl_buf_printf(&out, "%-24s %-7s %-7s %s\n", s->id, s->is_active ? "yes" : "no", number,
                           pin);
            continue;
        }
        csl_json_object(&j);
        csl_json_put_str(&j, "id", s->id);
        csl_json_put_str(&j, "pin", pin);
        csl_json_put_bool(&j, "active", s->is_active);
        if (s->number != 0) {
            csl_hex(s->signing_key, sizeof(s->signing_key), key);
            csl_json_put_u64(&j, "number", s->number);
            csl_json_put_str(&j, "signing_key", key);
        }
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

/* A number is given once, with the first signing key, and stays. */
static enum csl_code read_signing_key(struct csl_roster_site *site, const struct csl_roster *r,
                                      const char *path, struct csl_err *err)
{
    char role[CSL_SIGN_ROLE_MAX];
    snprintf(role, sizeof(role), "site %s", site->id);
    enum csl_code code = csl_sign_load_public(site->signing_key, role, path, err);
    if (code == CSL_OK && site->number == 0)
        site->number = csl_roster_next_number(r);
    return code;
}

static enum csl_code change_site(struct csl_roster *r, const struct csl_enrol *flags, bool is_add,
                                 struct csl_err *err)
{
    struct csl_roster_site site = {.is_active = false};
    const struct csl_roster_site *known = csl_roster_find(r, flags->site);

    if (known)
        site = *known;
    (void)csl_str_copy(site.id, sizeof(site.id), flags->site); /* same size */
    if (is_add) {
        enum csl_code code = read_pin(&site, flags->certificate, err);
        if (code == CSL_OK && flags->signing_key[0] != '\0')
            code = read_signing_key(&site, r, flags->signing_key, err);
        if (code != CSL_OK)
            return code;
    } else if (known) {
        site.is_active = false;
    } else {
        return CSL_FAIL(err, CSL_E_NOTFOUND,
                        "%s lists no site '%s'; `consilium enrol roster show` "
                        "lists those it has",
                        flags->roster, flags->site);
    }
    return csl_roster_put(r, &site, err);
}

int csl_enrol_roster_change(const struct csl_enrol *flags, bool is_add)
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

int csl_enrol_roster_show(const struct csl_enrol *flags)
{
    struct csl_err err = {0};
    struct csl_roster *r = NULL;

    if (csl_roster_load(&r, flags->roster, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
    int status = print_roster(r, flags->roster, flags->json);
    csl_roster_free(r);
    return status;
}
