#include "privacy/secagg/remaining.h"

#include "privacy/crypto/agree.h"

static enum csl_code add_lost(const struct csl_secagg_remaining *r, struct csl_secagg_masks *m,
                              uint32_t lost, struct csl_err *err)
{
    uint8_t prk[CSL_AGREE_KEY_BYTES];
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < r->n1; i++) {
        if (!csl_secagg_set_has(r->survivors, i))
            continue;
        struct csl_secagg_set blocks = csl_secagg_set_both(&r->blocks[i], &r->blocks[lost]);
        blocks = csl_secagg_linked_blocks(r->rings, &blocks, i, lost);
        if (r->rings != NULL && csl_secagg_set_count(&blocks) == 0)
            continue;
        code = csl_agree_mask(r->ids[lost], &r->secrets[lost], &r->mask_keys[lost], r->ids[i],
                              &r->mask_keys[i], r->sid, prk, err);
        /* The survivor added it when its id is the lower one: taken off again. */
        if (code == CSL_OK)
            csl_secagg_masks_pair(m, prk, r->ids[lost], r->ids[i],
                                  r->ids[i] < r->ids[lost] ? CSL_PRG_SUBTRACT : CSL_PRG_ADD,
                                  &blocks);
    }
    csl_wipe(prk, sizeof(prk));
    return code;
}

static enum csl_code add_self(const struct csl_secagg_remaining *r, struct csl_secagg_masks *m,
                              uint32_t place, struct csl_err *err)
{
    uint8_t prk[CSL_AGREE_KEY_BYTES];
    enum csl_code code = csl_agree_self(&r->secrets[place], r->sid, prk, err);
    if (code == CSL_OK)
        csl_secagg_masks_self(m, prk, r->ids[place], CSL_PRG_SUBTRACT, &r->blocks[place]);
    csl_wipe(prk, sizeof(prk));
    return code;
}

enum csl_code csl_secagg__remaining_masks(const struct csl_secagg_remaining *r,
                                          struct csl_secagg_masks **out, struct csl_err *err)
{
    struct csl_secagg_masks *m;
    uint32_t kept = csl_secagg_set_count(r->survivors);
    uint32_t lost = csl_secagg_set_count(r->senders) - kept;
    enum csl_code code = csl_secagg_masks_new(&m, kept + kept * lost, r->memory, err);
    if (code != CSL_OK)
        return code;
    for (uint32_t i = 0; code == CSL_OK && i < r->n1; i++) {
        if (csl_secagg_set_has(r->survivors, i))
            code = add_self(r, m, i, err);
        else if (csl_secagg_set_has(r->senders, i))
            code = add_lost(r, m, i, err);
    }
    if (code != CSL_OK) {
        csl_secagg_masks_free(m);
        return code;
    }
    *out = m;
    return CSL_OK;
}
