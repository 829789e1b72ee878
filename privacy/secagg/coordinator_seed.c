#include "privacy/secagg/coordinator_internal.h"

#include "base/check.h"

enum csl_code csl_secagg__coordinator_check_losses(const struct csl_secagg_coordinator *c,
                                                   const struct csl_secagg_senders *senders,
                                                   const struct csl_secagg_set *survivors,
                                                   struct csl_err *err)
{
    struct csl_secagg_set sent[CSL_SECAGG_MANIFEST_BLOCKS_MAX + 1];
    if (c->config.graph == 0)
        return CSL_OK;
    for (uint32_t b = 0; b < senders->block_count; b++)
        csl_secagg_block_set(senders->block_bits, c->n1, b, &sent[b]);
    sent[senders->block_count] = senders->members;
    return csl_secagg_graph_check_losses(sent, senders->block_count + 1, survivors,
                                         c->config.colluding, c->config.mask_degree,
                                         c->config.losses_max, err);
}

/* The r of a site that did not reveal it, from t_k shares that its peers hold: nobody keeps back
 * what it committed to after it saw the others. */
static enum csl_code put_together(struct csl_secagg_coordinator *c, uint32_t member,
                                  struct csl_scalar *out, struct csl_err *err)
{
    struct csl_scalar shares[CSL_SECAGG_SITES_MAX], weights[CSL_SECAGG_SITES_MAX];
    uint32_t places[CSL_SECAGG_SITES_MAX], n = 0;
    struct csl_secagg_message dealt, m;
    bool is_dealt = csl_secagg__said(c, member, CSL_SECAGG_SHARES, &dealt);
    CSL_ASSERT(is_dealt);
    for (uint32_t i = 0; i < c->n1 && n < c->threshold; i++) {
        struct csl_secagg_set held = csl_secagg_set_both(&c->peers[i], &c->u2);
        if (!csl_secagg_set_has(&held, member) || !csl_secagg__said(c, i, CSL_SECAGG_REVEAL, &m))
            continue;
        const struct csl_scalar *share = &m.u.reveal.shares[csl_secagg_set_rank(&held, member)];
        if (csl_scalar_is_zero(share))
            continue; /* it was opened to that site, without r */
        if (csl_vss_verify(share, i, dealt.u.shares.r, c->threshold, NULL) != CSL_OK) {
            csl_secagg__coordinator_name(c, c->ids[i],
                                         "revealed a share that does not fit the commitments");
            continue;
        }
        shares[n] = *share;
        places[n++] = i;
    }
    if (n < c->threshold)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "%u shares of what site %u has not revealed; %u would do", n,
                        c->ids[member], c->threshold);
    enum csl_code code = csl_vss_weights(places, n, weights, err);
    return code == CSL_OK ? csl_vss_reconstruct(weights, shares, n, &dealt.u.shares.r[0], out, err)
                          : code;
}

enum csl_code csl_secagg__coordinator_close_seeds(struct csl_secagg_coordinator *c,
                                                  struct csl_secagg_message *m,
                                                  struct csl_scalar *r, struct csl_err *err)
{
    uint32_t n = 0;
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < c->n1; i++) {
        struct csl_secagg_message said;
        if (!csl_secagg_set_has(&c->u2, i))
            continue;
        if (csl_secagg__said(c, i, CSL_SECAGG_REVEAL, &said))
            r[n] = *said.u.reveal.r;
        else
            code = put_together(c, i, &r[n], err);
        n++;
    }
    *m = (struct csl_secagg_message){.type = CSL_SECAGG_SEEDS, .u.seeds = {.count = n, .r = r}};
    memcpy(m->id, c->sid, 32);
    return code;
}
