/* The roster that the federation's root signs, out of the coordinator's list; and showing it. */
#include "base/bytes.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/enrol.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/party.h"
#include "protocol/identity/roster.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct signing {
    struct csl_sign_key root;
    struct csl_secagg_roster previous, next; /* previous.epoch 0: none was signed yet */
    char kept[CSL_PATH_MAX];                 /* the last one, in the federation's folder */
};

static int print_signed(const struct csl_secagg_roster *r, const char *path, bool is_json)
{
    struct csl_buf out;
    struct csl_json j;
    char hex[2 * CSL_SIGN_PUBLIC_BYTES + 1];

    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    csl_hex(r->federation_id, sizeof(r->federation_id), hex);
    if (is_json) {
        csl_json_init(&j, &out, true);
        csl_json_object(&j);
        csl_json_put_str(&j, "format", CSL_ENROL_SIGNED_FORMAT);
        csl_json_put_str(&j, "roster", path);
        csl_json_put_str(&j, "federation", hex);
        csl_json_put_u64(&j, "epoch", r->epoch);
        csl_hex(r->coordinator_key, sizeof(r->coordinator_key), hex);
        csl_json_put_str(&j, "coordinator_key", hex);
        csl_json_key(&j, "sites");
        csl_json_array(&j);
    } else {
        csl_buf_printf(&out, "federation %s, epoch %" PRIu64 ", signed by the root\n", hex,
                       r->epoch);
        csl_hex(r->coordinator_key, sizeof(r->coordinator_key), hex);
        csl_buf_printf(&out, "coordinator's key %s\n%-8s %-24s %-7s %s\n", hex, "number", "site",
                       "active", "key");
    }
    for (uint32_t i = 0; i < r->count; i++) {
        const struct csl_secagg_roster_site *s = &r->sites[i];
        csl_hex(s->key, sizeof(s->key), hex);
        if (!is_json) {
            csl_buf_printf(&out, "%-8u %-24s %-7s %s\n", s->id, s->name,
                           s->is_active ? "yes" : "no", hex);
            continue;
        }
        csl_json_object(&j);
        csl_json_put_u64(&j, "number", s->id);
        csl_json_put_str(&j, "id", s->name);
        csl_json_put_bool(&j, "active", s->is_active);
        csl_json_put_str(&j, "signing_key", hex);
        csl_json_end(&j);
    }
    if (is_json) {
        csl_json_end(&j);
        csl_json_end(&j);
        csl_buf_str(&out, "\n");
    }
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

/* Ascending by number; the list itself is sorted by name. */
static void insert(struct csl_secagg_roster *r, const struct csl_roster_site *site)
{
    uint32_t at = r->count++;
    for (; at > 0 && r->sites[at - 1].id > site->number; at--)
        r->sites[at] = r->sites[at - 1];
    struct csl_secagg_roster_site *s = &r->sites[at];
    *s = (struct csl_secagg_roster_site){.id = site->number, .is_active = site->is_active};
    memcpy(s->name, site->id, sizeof(s->name));
    memcpy(s->key, site->signing_key, sizeof(s->key));
}

static enum csl_code collect(struct signing *g, const char *path, struct csl_err *err)
{
    struct csl_roster *list = NULL;
    enum csl_code code = csl_roster_load(&list, path, err);
    for (size_t i = 0; code == CSL_OK && i < csl_roster_count(list); i++) {
        const struct csl_roster_site *site = csl_roster_at(list, i);
        if (site->number == 0)
            continue; /* no key: it takes part in studies without masks only */
        if (g->next.count == CSL_SECAGG_SITES_MAX)
            code = CSL_FAIL(err, CSL_E_LIMIT, "%s: more than %d sites with a signing key", path,
                            CSL_SECAGG_SITES_MAX);
        else
            insert(&g->next, site);
    }
    csl_roster_free(list);
    if (code == CSL_OK && g->next.count == 0)
        code =
            CSL_FAIL(err, CSL_E_INVAL,
                     "%s: no site has a signing key; roster add --signing-key records one", path);
    return code;
}

/* Names and numbers belong together for ever, and nobody disappears. */
static enum csl_code check_continuity(const struct signing *g, struct csl_err *err)
{
    for (uint32_t i = 0; i < g->previous.count; i++) {
        const struct csl_secagg_roster_site *old = &g->previous.sites[i];
        uint32_t at = csl_secagg_roster_find(&g->next, old->id);
        if (at == UINT32_MAX || strcmp(g->next.sites[at].name, old->name) != 0)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "number %u was signed as site '%s'; the same site, deactivated if it "
                            "left, would be right",
                            old->id, old->name);
    }
    return CSL_OK;
}

/* The newest of what the federation's folder and --out hold. */
static enum csl_code read_previous(struct signing *g, const char *path, struct csl_err *err)
{
    if (!csl_file_exists(path))
        return CSL_OK;
    return csl_secagg_roster_load(&g->previous, path, g->root.public_key, g->previous.epoch, err);
}

static enum csl_code open_signing(struct signing *g, const struct csl_enrol *flags,
                                  struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    enum csl_code code = csl_crypto_init(err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), flags->federation, "federation.key", err);
    if (code == CSL_OK)
        code = csl_path_join(g->kept, sizeof(g->kept), flags->federation, "federation.roster", err);
    if (code == CSL_OK)
        code = csl_sign_load(&g->root, path, err);
    if (code == CSL_OK)
        code = read_previous(g, flags->out, err);
    if (code == CSL_OK && csl_file_exists(g->kept)) {
        struct csl_err why = {.code = CSL_OK};
        code = read_previous(g, g->kept, &why);
        if (code == CSL_E_DENIED) /* the folder is an older copy; what is newer is signed too */
            code = CSL_OK;
        else if (code != CSL_OK)
            *err = why;
    }
    return code;
}

static enum csl_code write_signed(struct signing *g, const char *out, struct csl_err *err)
{
    struct csl_buf bytes;
    csl_buf_init(&bytes, CSL_SECAGG_ROSTER_BYTES_MAX);
    g->next.epoch = g->previous.epoch + 1;
    enum csl_code code = csl_secagg_roster_encode(&g->next, &g->root, &bytes, err);
    struct csl_span span = CSL_SPAN(bytes.p, bytes.n);
    /* Read back as every party will: what they would refuse is not written. */
    if (code == CSL_OK)
        code = csl_secagg_roster_decode(&g->next, span, g->root.public_key, 1, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(g->kept, span, 0600, err);
    if (code == CSL_OK && strcmp(g->kept, out) != 0)
        code = csl_file_write_atomic(out, span, 0644, err);
    csl_buf_release(&bytes);
    return code;
}

int csl_enrol_roster_sign(const struct csl_enrol *flags)
{
    struct csl_err err = {0};
    if (flags->federation[0] == '\0' || flags->coordinator[0] == '\0' || flags->out[0] == '\0')
        return csl_cli_misuse(&csl_doc_enrol,
                              "roster sign needs --federation, --coordinator and --out");
    struct signing *g = csl_alloc(sizeof(*g));
    if (g == NULL)
        return CSL_EXIT_FAILED;
    enum csl_code code = open_signing(g, flags, &err);
    if (code == CSL_OK)
        code =
            csl_sign_load_public(g->next.coordinator_key, "coordinator", flags->coordinator, &err);
    if (code == CSL_OK)
        code = collect(g, flags->roster, &err);
    if (code == CSL_OK)
        code = check_continuity(g, &err);
    if (code == CSL_OK)
        code = write_signed(g, flags->out, &err);
    int status = code == CSL_OK ? print_signed(&g->next, flags->out, flags->json)
                                : csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
    csl_sign_wipe(&g->root);
    csl_free(g);
    return status;
}

int csl_enrol_signed_show(const struct csl_enrol *flags)
{
    struct csl_err err = {0};
    uint8_t root[CSL_SIGN_PUBLIC_BYTES];
    struct csl_secagg_roster *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_EXIT_FAILED;
    enum csl_code code = csl_crypto_init(&err);
    if (code == CSL_OK)
        code = csl_sign_load_public(root, "federation", flags->root, &err);
    if (code == CSL_OK)
        code = csl_secagg_roster_load(r, flags->roster, root, 0, &err);
    int status = code == CSL_OK ? print_signed(r, flags->roster, flags->json)
                                : csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
    csl_free(r);
    return status;
}
