#include "simulations/ceremony.h"

#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "privacy/crypto/secret.h"

struct ceremony {
    struct csl_secagg_epoch epoch;
    uint8_t r[CSL_SECAGG_SITES_MAX][32];
    csl_sim_key_of key_of;
    void *ctx;
};

static enum csl_code say_all(struct ceremony *c, bool is_reveal, struct csl_buf *out,
                             struct csl_err *err)
{
    const struct csl_secagg_roster *roster = c->epoch.roster;
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < roster->count; i++) {
        struct csl_sign_key key;
        uint32_t site = roster->sites[i].id;
        size_t before = out->n;
        if (!roster->sites[i].is_active)
            continue;
        code = c->key_of(c->ctx, i, &key, err);
        if (code == CSL_OK)
            code = is_reveal ? csl_secagg_epoch_reveal(&c->epoch, site, c->r[i], &key, out, err)
                             : csl_secagg_epoch_commit(&c->epoch, site, c->r[i], &key, out, err);
        csl_sign_wipe(&key);
        if (code == CSL_OK)
            code =
                csl_secagg_epoch_take(&c->epoch, CSL_SPAN(out->p + before, out->n - before), err);
    }
    return code;
}

enum csl_code csl_sim_ceremony(const struct csl_secagg_roster *roster, csl_sim_key_of key_of,
                               void *ctx, struct csl_buf *out, uint8_t seed[32],
                               struct csl_err *err)
{
    struct csl_rng rng;
    struct ceremony *c = csl_alloc(sizeof(*c));
    if (c == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the ceremony of %u sites", roster->count);
    csl_secagg_epoch_init(&c->epoch, roster);
    c->key_of = key_of;
    c->ctx = ctx;
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, (uint8_t *)c->r, sizeof(c->r));
    csl_rng_wipe(&rng);
    enum csl_code code = say_all(c, false, out, err);
    if (code == CSL_OK)
        code = say_all(c, true, out, err);
    if (code == CSL_OK)
        code = csl_secagg_epoch_seed(&c->epoch, seed, err);
    csl_wipe(c->r, sizeof(c->r));
    csl_free(c);
    return code;
}
