/* The ceremony that draws the seed of sparse graphs for one signed roster (privacy/secagg/epoch.h),
 * by files that the hospitals hand to each other: every site commits, and when all have, reveals.
 */
#include "base/mem.h"
#include "cli/enrol.h"
#include "privacy/crypto/init.h"
#include "privacy/crypto/rng.h"
#include "privacy/crypto/secret.h"
#include "privacy/secagg/party.h"

#include <string.h>

struct ceremony {
    struct csl_secagg_roster roster;
    struct csl_secagg_epoch epoch;
    struct csl_sign_key key;
    uint32_t site; /* number */
    uint8_t r[32];
};

static enum csl_code open_ceremony(struct ceremony *c, const struct csl_enrol *flags,
                                   struct csl_err *err)
{
    uint8_t root[CSL_SIGN_PUBLIC_BYTES];
    enum csl_code code = csl_crypto_init(err);
    if (code == CSL_OK)
        code = csl_sign_load_public(root, "federation", flags->root, err);
    if (code == CSL_OK)
        code = csl_secagg_roster_load(&c->roster, flags->roster, root, 0, err);
    if (code == CSL_OK)
        csl_secagg_epoch_init(&c->epoch, &c->roster);
    return code;
}

static enum csl_code read_site(struct ceremony *c, const struct csl_enrol *flags,
                               struct csl_err *err)
{
    uint32_t place;
    enum csl_code code = csl_secagg_roster_member(&c->roster, flags->site, &place, err);
    if (code == CSL_OK)
        code = csl_sign_load(&c->key, flags->signing_key, err);
    if (code != CSL_OK)
        return code;
    if (memcmp(c->key.public_key, c->roster.sites[place].key, CSL_SIGN_PUBLIC_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "%s: the signed roster has another key for %s; the signing.key of that "
                        "site would be right",
                        flags->signing_key, flags->site);
    c->site = c->roster.sites[place].id;
    return CSL_OK;
}

static enum csl_code read_secret(struct ceremony *c, const char *path, struct csl_err *err)
{
    struct csl_msg bytes = {NULL, 0};
    enum csl_code code = csl_file_read(&bytes, path, sizeof(c->r), err);
    if (code != CSL_OK)
        return code;
    if (bytes.n == sizeof(c->r))
        memcpy(c->r, bytes.p, sizeof(c->r));
    else
        code = CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: found %zu bytes; the 32 that `enrol epoch commit` wrote would be "
                        "right",
                        path, bytes.n);
    csl_wipe(bytes.p, bytes.n);
    csl_msg_release(&bytes);
    return code;
}

/* Drawn once for a roster: a second commitment of a site is refused by the others. A secret that is
 * there is of a call that did not get as far as its message, and gives the same one. */
static enum csl_code draw_secret(struct ceremony *c, const char *path, struct csl_err *err)
{
    struct csl_rng rng;
    if (csl_file_exists(path))
        return read_secret(c, path, err);
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, c->r, sizeof(c->r));
    csl_rng_wipe(&rng);
    return csl_file_write_atomic(path, CSL_SPAN(c->r, sizeof(c->r)), 0600, err);
}

static enum csl_code commit(struct ceremony *c, const struct csl_enrol *flags, struct csl_buf *out,
                            struct csl_err *err)
{
    enum csl_code code = draw_secret(c, flags->secret, err);
    return code == CSL_OK ? csl_secagg_epoch_commit(&c->epoch, c->site, c->r, &c->key, out, err)
                          : code;
}

static enum csl_code reveal(struct ceremony *c, const struct csl_enrol *flags, struct csl_buf *out,
                            struct csl_err *err)
{
    enum csl_code code = csl_secagg_epoch_load(&c->epoch, flags->commitments, err);
    if (code == CSL_OK)
        code = read_secret(c, flags->secret, err);
    return code == CSL_OK ? csl_secagg_epoch_reveal(&c->epoch, c->site, c->r, &c->key, out, err)
                          : code;
}

/* The messages that were checked are those that are written, whatever becomes of the file. */
static enum csl_code take_file(struct ceremony *c, const char *path, struct csl_buf *out,
                               struct csl_err *err)
{
    struct csl_msg bytes = {NULL, 0};
    struct csl_err why = {.code = CSL_OK};
    enum csl_code code = csl_file_read(&bytes, path, CSL_SECAGG_EPOCH_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    code = csl_secagg_epoch_take_all(&c->epoch, csl_msg_span(&bytes), &why);
    if (code == CSL_OK)
        csl_buf_append(out, bytes.p, bytes.n);
    csl_msg_release(&bytes);
    return code == CSL_OK ? code : CSL_FAIL(err, code, "%s: %s", path, why.msg);
}

static enum csl_code close_ceremony(struct ceremony *c, const struct csl_enrol *flags,
                                    struct csl_buf *out, struct csl_err *err)
{
    uint8_t seed[32];
    enum csl_code code = take_file(c, flags->commitments, out, err);
    if (code == CSL_OK)
        code = take_file(c, flags->reveals, out, err);
    return code == CSL_OK ? csl_secagg_epoch_seed(&c->epoch, seed, err) : code;
}

enum verb { COMMIT, REVEAL, CLOSE };

static enum csl_code say(struct ceremony *c, enum verb verb, const struct csl_enrol *flags,
                         struct csl_err *err)
{
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_EPOCH_BYTES_MAX);
    enum csl_code code = csl_enrol_refuse_existing(flags->out, err);
    if (code == CSL_OK)
        code = open_ceremony(c, flags, err);
    if (code == CSL_OK && verb != CLOSE)
        code = read_site(c, flags, err);
    if (code == CSL_OK)
        code = verb == COMMIT   ? commit(c, flags, &out, err)
               : verb == REVEAL ? reveal(c, flags, &out, err)
                                : close_ceremony(c, flags, &out, err);
    if (code == CSL_OK)
        code = csl_buf_status(&out, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(flags->out, CSL_SPAN(out.p, out.n), 0644, err);
    csl_buf_release(&out);
    return code;
}

static const char *next_step(enum verb verb)
{
    switch (verb) {
    case COMMIT:
        return "Give it to all sites, keep the secret here, and reveal when all have committed.";
    case REVEAL:
        return "Give it to all sites; the secret is none any more.";
    case CLOSE:
        return "Every site and the coordinator name it in secure_aggregation.epoch.";
    }
    return "";
}

static int print_said(const struct ceremony *c, enum verb verb, const struct csl_enrol *flags)
{
    struct csl_buf out;
    struct csl_json j;
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (flags->json) {
        csl_json_init(&j, &out, true);
        csl_json_object(&j);
        csl_json_put_str(&j, "format", CSL_ENROL_EPOCH_FORMAT);
        csl_json_put_str(&j, "file", flags->out);
        csl_json_put_u64(&j, "sites", csl_secagg_roster_active(&c->roster));
        csl_json_end(&j);
        csl_buf_str(&out, "\n");
    } else {
        csl_buf_printf(&out, "%s\n%s\n", flags->out, next_step(verb));
    }
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

int csl_enrol_epoch(const struct csl_enrol *flags, const char *action)
{
    static const char *const actions[] = {"commit", "reveal", "close"};
    struct csl_err err = {0};
    unsigned verb = 0;
    while (verb < 3 && strcmp(action, actions[verb]) != 0)
        verb++;
    if (verb == 3)
        return csl_cli_misuse(&csl_doc_enrol,
                              "found 'epoch %s'; commit, reveal or close would be right", action);
    bool is_whole = flags->roster[0] != '\0' && flags->root[0] != '\0' && flags->out[0] != '\0';
    if (verb != CLOSE)
        is_whole = is_whole && flags->site[0] != '\0' && flags->signing_key[0] != '\0' &&
                   flags->secret[0] != '\0';
    if (verb != COMMIT)
        is_whole = is_whole && flags->commitments[0] != '\0';
    if (verb == CLOSE)
        is_whole = is_whole && flags->reveals[0] != '\0';
    if (!is_whole)
        return csl_cli_misuse(&csl_doc_enrol, "epoch %s needs --roster, --root, --out%s", action,
                              verb == COMMIT   ? ", --site, --signing-key and --secret"
                              : verb == REVEAL ? ", --site, --signing-key, --secret and "
                                                 "--commitments"
                                               : ", --commitments and --reveals");
    struct ceremony *c = csl_alloc(sizeof(*c));
    if (c == NULL)
        return CSL_EXIT_FAILED;
    int status = say(c, (enum verb)verb, flags, &err) == CSL_OK
                     ? print_said(c, (enum verb)verb, flags)
                     : csl_cli_fail_as(&csl_doc_enrol, &err, flags->json);
    csl_wipe(c->r, sizeof(c->r));
    csl_sign_wipe(&c->key);
    csl_free(c);
    return status;
}
