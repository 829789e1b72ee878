#include "simulations/federation.h"

#include "base/mem.h"
#include "privacy/crypto/secret.h"
#include "simulations/ceremony.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const struct csl_secagg_roster_site *left = a, *right = b;
    return strcmp(left->name, right->name);
}

void csl_sim_roster_number(struct csl_secagg_roster *r)
{
    qsort(r->sites, r->count, sizeof(r->sites[0]), by_name);
    for (uint32_t i = 0; i < r->count; i++) {
        r->sites[i].id = i + 1;
        r->sites[i].is_active = true;
    }
}

/* Signed by a root and read back under it, as a site would. */
static enum csl_code sign_roster(struct csl_sim_federation *f, const char (*ids)[CSL_ID_MAX],
                                 struct csl_err *err)
{
    struct csl_sign_key root;
    struct csl_buf bytes;
    struct csl_secagg_roster *r = &f->roster;
    r->epoch = 1;
    r->count = f->count;
    memcpy(r->coordinator_key, f->coordinator.public_key, sizeof(r->coordinator_key));
    for (uint32_t i = 0; i < f->count; i++) {
        memcpy(r->sites[i].name, ids[i], sizeof(r->sites[i].name));
        memcpy(r->sites[i].key, f->keys[i].public_key, sizeof(r->sites[i].key));
    }
    csl_sim_roster_number(r);
    csl_sign_keygen(&root);
    csl_buf_init(&bytes, CSL_SECAGG_ROSTER_BYTES_MAX);
    enum csl_code code = csl_secagg_roster_encode(r, &root, &bytes, err);
    if (code == CSL_OK)
        code = csl_secagg_roster_decode(&f->roster, CSL_SPAN(bytes.p, bytes.n), root.public_key, 1,
                                        err);
    csl_buf_release(&bytes);
    csl_sign_wipe(&root);
    return code;
}

struct keys_by_place {
    const struct csl_sim_federation *f;
    const char (*ids)[CSL_ID_MAX];
};

static enum csl_code key_at(void *ctx, uint32_t place, struct csl_sign_key *out,
                            struct csl_err *err)
{
    const struct keys_by_place *k = ctx;
    (void)err;
    for (uint32_t i = 0; i < k->f->count; i++)
        if (strcmp(k->ids[i], k->f->roster.sites[place].name) == 0)
            *out = k->f->keys[i];
    return CSL_OK;
}

static enum csl_code draw_seed(struct csl_sim_federation *f, const char (*ids)[CSL_ID_MAX],
                               struct csl_err *err)
{
    struct keys_by_place keys = {f, ids};
    struct csl_buf said;
    csl_buf_init(&said, CSL_SECAGG_EPOCH_BYTES_MAX);
    enum csl_code code = csl_sim_ceremony(&f->roster, key_at, &keys, &said, f->epoch_seed, err);
    csl_buf_release(&said);
    f->has_epoch = code == CSL_OK;
    return code;
}

enum csl_code csl_sim_federation_make(struct csl_sim_federation *out, const struct csl_study *study,
                                      const char (*ids)[CSL_ID_MAX], uint32_t count,
                                      struct csl_err *err)
{
    memset(out, 0, sizeof(*out));
    if (!study->secagg.is_on)
        return CSL_OK;
    if (count > CSL_SECAGG_SITES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%u sites under masks; at most %d", count,
                        CSL_SECAGG_SITES_MAX);
    out->count = count;
    out->keys = csl_alloc_array(count, sizeof(*out->keys));
    out->site = csl_alloc_array(count, sizeof(*out->site));
    enum csl_code code = CSL_OK;
    if (out->keys == NULL || out->site == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for the keys of %u sites", count);
    csl_sign_keygen(&out->coordinator);
    for (uint32_t i = 0; code == CSL_OK && i < count; i++) {
        csl_sign_keygen(&out->keys[i]);
        out->site[i] = (struct csl_agent_keys){.key = &out->keys[i], .roster = &out->roster};
    }
    if (code == CSL_OK)
        code = sign_roster(out, ids, err);
    if (code == CSL_OK && study->secagg.is_sparse)
        code = draw_seed(out, ids, err);
    for (uint32_t i = 0; code == CSL_OK && out->has_epoch && i < count; i++)
        out->site[i].epoch_seed = out->epoch_seed;
    if (code != CSL_OK)
        csl_sim_federation_release(out);
    return code;
}

void csl_sim_federation_release(struct csl_sim_federation *f)
{
    for (uint32_t i = 0; f->keys != NULL && i < f->count; i++)
        csl_sign_wipe(&f->keys[i]);
    csl_sign_wipe(&f->coordinator);
    csl_free(f->keys);
    csl_free(f->site);
    memset(f, 0, sizeof(*f));
}

const struct csl_agent_keys *csl_sim_federation_site(const struct csl_sim_federation *f,
                                                     uint32_t index)
{
    return f->site == NULL ? NULL : &f->site[index];
}
