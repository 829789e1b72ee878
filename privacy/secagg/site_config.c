#include "privacy/secagg/site_internal.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"

/* What a site asks of a new configuration. Not asked again on a restart. */
static enum csl_code check_fate(const struct csl_secagg_site *s, const struct csl_secagg_config *c,
                                struct csl_err *err)
{
    uint8_t pair[32];
    if (c->round < s->last_round || (c->round == s->last_round && c->attempt <= s->last_attempt))
        return CSL_FAIL(err, CSL_E_DENIED, "round %llu, attempt %u came before",
                        (unsigned long long)c->round, c->attempt);
    if (c->round == s->last_round && s->at.update == CSL_SECAGG_UPDATE_PENDING)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the update of this round was sent in an earlier attempt, and neither a "
                        "certificate that it was abandoned nor a quorum without it was shown");
    if (c->round == s->last_round && s->at.update == CSL_SECAGG_UPDATE_INCLUDED)
        return CSL_FAIL(err, CSL_E_DENIED, "the update of this round is in a sum already");
    csl_secagg__pair_digest(s, c, pair);
    if (csl_secagg__digests_have(&s->contributed, pair))
        return CSL_FAIL(err, CSL_E_DENIED,
                        "this site contributed to this model and plan before; training again "
                        "would give the same update for another sum");
    if (memcmp(c->previous_head, s->head, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round follows a ledger head that this site does not know");
    return CSL_OK;
}

static bool is_bound(const struct csl_secagg_config *c, const uint32_t *weights,
                     const uint8_t *factors)
{
    uint8_t hash[32];
    csl_secagg_weights_hash(weights, c->roster_count, c->block_count, hash);
    if (factors != NULL)
        csl_secagg_weights_bind(hash, factors);
    return memcmp(c->weights_hash, hash, 32) == 0;
}

bool csl_secagg_site_binds(const struct csl_secagg_site *s, const uint8_t *factors)
{
    return s->at.exists && is_bound(&s->at.config, s->at.weights, factors);
}

static enum csl_code check_config(const struct csl_secagg_site *s,
                                  const struct csl_secagg_config *c,
                                  const struct csl_secagg_site_event *ev, struct csl_err *err)
{
    if (!csl_secagg_config_is_signed(ev->bytes, s->setup.roster->coordinator_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "the configuration is not signed by the coordinator");
    enum csl_code code = check_fate(s, c, err);
    if (code != CSL_OK)
        return code;
    if (memcmp(c->model_hash, ev->model_hash, 32) != 0 ||
        memcmp(c->plan_hash, ev->plan_hash, 32) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round is of another model or plan than this site received");
    if (!is_bound(c, ev->weights, ev->factors))
        return CSL_FAIL(err, CSL_E_DENIED, "the table of weights is not the one that is signed");
    code = csl_secagg_policy_check_config(&s->setup.policy, c, ev->weights, err);
    if (code != CSL_OK || c->graph == 0)
        return code;
    return csl_secagg_graph_check_shares(csl_secagg_roster_active(s->setup.roster), c->colluding,
                                         c->share_degree, c->share_threshold, c->attempt, err);
}

static enum csl_code open_attempt(struct csl_secagg_attempt *a, struct csl_secagg_site *s,
                                  const struct csl_secagg_site_event *ev, struct csl_err *err)
{
    uint32_t n = a->config.roster_count;
    size_t words = (size_t)n * a->config.block_count;
    a->weights = csl_alloc_array(words + 1, sizeof(*a->weights));
    if (a->weights == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the weights");
    if (words > 0)
        memcpy(a->weights, ev->weights, words * sizeof(*a->weights));
    enum csl_code code = csl_msg_copy(&a->config_bytes, ev->bytes, err);
    if (code == CSL_OK)
        code = csl_secret_new(&a->memory, 512 + (size_t)(a->config.graph == 0 ? 128 : 192) * n,
                              s->setup.memory, err);
    if (code != CSL_OK)
        return code;
    a->z = csl_secret_alloc(a->memory, 32);
    a->e = csl_secret_alloc(a->memory, CSL_AGREE_X25519_BYTES);
    a->b = csl_secret_alloc(a->memory, sizeof(*a->b) * n);
    a->s = csl_secret_alloc(a->memory, sizeof(*a->s) * n);
    a->received = csl_secret_alloc(a->memory, sizeof(*a->received) * n);
    CSL_ASSERT(a->z != NULL && a->e != NULL && a->b != NULL && a->s != NULL && a->received != NULL);
    if (a->config.graph != 0) {
        a->r = csl_secret_alloc(a->memory, sizeof(*a->r) * n);
        a->received_r = csl_secret_alloc(a->memory, sizeof(*a->received_r) * n);
        CSL_ASSERT(a->r != NULL && a->received_r != NULL);
        memset(a->received_r, 0, sizeof(*a->received_r) * n);
    }
    memcpy(a->z, ev->secret, 32);
    csl_secagg_config_ctx(ev->bytes, a->ctx);
    a->exists = true;
    return csl_secagg_derive_advertise(a->z, s->head, a->e, &a->own, err);
}

static enum csl_code journal_snapshot(struct csl_secagg_site *s, struct csl_err *err)
{
    struct csl_buf out;
    csl_buf_init(&out, SIZE_MAX / 2);
    csl_buf_le64(&out, s->last_round);
    csl_buf_le16(&out, s->last_attempt);
    csl_buf_append(&out, s->head, 32);
    csl_buf_u8(&out, (uint8_t)((s->is_suspended ? CSL_SECAGG__SUSPENDED : 0) |
                               (s->is_out ? CSL_SECAGG__OUT : 0)));
    csl_buf_le32(&out, s->votes.count);
    csl_buf_append(&out, s->votes.items, (size_t)32 * s->votes.count);
    csl_buf_le32(&out, s->contributed.count);
    csl_buf_append(&out, s->contributed.items, (size_t)32 * s->contributed.count);
    enum csl_code code = csl_buf_status(&out, err);
    if (code == CSL_OK)
        csl_secagg__site_journal(s, CSL_SECAGG_SJ_SNAPSHOT, CSL_SPAN(out.p, out.n));
    csl_buf_release(&out);
    return code;
}

enum csl_code csl_secagg__site_forget(struct csl_secagg_site *s, struct csl_err *err)
{
    enum csl_code code = journal_snapshot(s, err);
    if (code == CSL_OK)
        csl_secagg__attempt_release(&s->at);
    return code;
}

void csl_secagg__site_confirmed(struct csl_secagg_site *s)
{
    csl_secagg__site_journal(s, CSL_SECAGG_SJ_CONFIRMED, CSL_SPAN(NULL, 0));
    csl_secagg__attempt_release(&s->at);
    s->is_suspended = false;
    s->is_out = true;
}

/* z || le32 length || M0 || weights, in one piece of memory that is wiped. */
static enum csl_code journal_config(struct csl_secagg_site *s, const struct csl_secagg_attempt *a,
                                    struct csl_err *err)
{
    size_t words = (size_t)a->config.roster_count * a->config.block_count;
    size_t n = 36 + a->config_bytes.n + 4 * words;
    uint8_t *p = csl_alloc(n);
    if (p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a record");
    memcpy(p, a->z, 32);
    csl_store_le32(p + 32, (uint32_t)a->config_bytes.n);
    memcpy(p + 36, a->config_bytes.p, a->config_bytes.n);
    for (size_t i = 0; i < words; i++)
        csl_store_le32(p + 36 + a->config_bytes.n + 4 * i, a->weights[i]);
    enum csl_code code = journal_snapshot(s, err);
    if (code == CSL_OK)
        csl_secagg__site_journal(s, CSL_SECAGG_SJ_CONFIG, CSL_SPAN(p, n));
    csl_wipe(p, n);
    csl_free(p);
    return code;
}

enum csl_code csl_secagg__site_send_advertise(struct csl_secagg_site *s, struct csl_err *err)
{
    struct csl_secagg_message m = {.type = CSL_SECAGG_ADVERTISE, .u.advertise = s->at.own};
    memcpy(m.id, s->at.ctx, 32);
    return csl_secagg__site_send(s, &m, err);
}

enum csl_code csl_secagg__site_config(struct csl_secagg_site *s,
                                      const struct csl_secagg_site_event *ev, struct csl_err *err)
{
    struct csl_secagg_attempt a = {0};
    if (s->at.exists && csl_span_equal(csl_msg_span(&s->at.config_bytes), ev->bytes))
        return csl_secagg__site_send_advertise(s, err);
    enum csl_code code = csl_secagg_config_decode(&a.config, ev->bytes, err);
    if (code != CSL_OK)
        return code;
    const struct csl_secagg_roster *roster = s->setup.roster;
    if (memcmp(a.config.roster_hash, roster->hash, 32) != 0 ||
        a.config.roster_count != roster->count ||
        memcmp(a.config.federation_id, roster->federation_id, 16) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the round is of another roster than the one the root signed for us");
    if (a.config.graph != 0 && s->setup.epoch_seed == NULL)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "sparse graphs, and no seed was drawn for this epoch of the roster");
    if (!s->is_restoring)
        code = check_config(s, &a.config, ev, err);
    if (code == CSL_OK)
        code = open_attempt(&a, s, ev, err);
    if (code == CSL_OK && !s->is_restoring)
        code = journal_config(s, &a, err);
    if (code != CSL_OK) {
        csl_secagg__attempt_release(&a);
        return code;
    }
    csl_secagg__attempt_release(&s->at);
    s->at = a;
    s->last_round = a.config.round;
    s->last_attempt = a.config.attempt;
    return csl_secagg__site_send_advertise(s, err);
}
