#include "privacy/secagg/site_internal.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"

enum { DIGESTS_MAX = 4 * CSL_ROUNDS_MAX, SNAPSHOT_FIXED = 8 + 2 + 32 + 1 };

bool csl_secagg__digests_have(const struct csl_secagg_digests *d, const uint8_t digest[32])
{
    for (uint32_t i = 0; i < d->count; i++)
        if (memcmp(d->items[i], digest, 32) == 0)
            return true;
    return false;
}

enum csl_code csl_secagg__digests_add(struct csl_secagg_digests *d, const uint8_t digest[32],
                                      struct csl_err *err)
{
    if (csl_secagg__digests_have(d, digest))
        return CSL_OK;
    if (d->count == d->capacity) {
        uint32_t capacity = d->capacity == 0 ? 16 : d->capacity * 2;
        if (d->count >= DIGESTS_MAX)
            return CSL_FAIL(err, CSL_E_LIMIT, "more than %d votes or rounds", DIGESTS_MAX);
        uint8_t(*items)[32] = csl_realloc_array(d->items, capacity, 32);
        if (items == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for what was signed");
        d->items = items;
        d->capacity = capacity;
    }
    memcpy(d->items[d->count++], digest, 32);
    return CSL_OK;
}

void csl_secagg__digests_remove(struct csl_secagg_digests *d, const uint8_t digest[32])
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (memcmp(d->items[i], digest, 32) == 0) {
            d->count--;
            memmove(d->items[i], d->items[d->count], 32);
            return;
        }
    }
}

void csl_secagg__vote_digest(const uint8_t sid[32], uint8_t choice, const uint8_t transcript[32],
                             uint8_t out[32])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, sid, 32);
    csl_sha256_update(&h, &choice, 1);
    csl_sha256_update(&h, transcript, 32);
    csl_sha256_final(&h, out);
}

void csl_secagg__pair_digest(const struct csl_secagg_site *s, const struct csl_secagg_config *c,
                             uint8_t out[32])
{
    struct csl_sha256 h;
    uint8_t round[8];
    csl_sha256_init(&h);
    csl_sha256_update(&h, c->model_hash, 32);
    csl_sha256_update(&h, c->plan_hash, 32);
    csl_store_le64(round, c->round);
    if (s->setup.repeats_models)
        csl_sha256_update(&h, round, sizeof(round));
    csl_sha256_final(&h, out);
}

uint32_t csl_secagg__place(uint32_t n1, const uint32_t *ids, uint32_t site)
{
    uint32_t lo = 0, hi = n1;
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (ids[middle] < site)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < n1 && ids[lo] == site ? lo : UINT32_MAX;
}

const uint8_t *csl_secagg__site_key(const struct csl_secagg_site *s, uint32_t place)
{
    return s->setup.roster->sites[s->at.rows[place]].key;
}

void csl_secagg__site_emit(struct csl_secagg_site *s, enum csl_secagg_site_action_kind kind,
                           enum csl_secagg_site_record record, struct csl_span bytes,
                           const char *text)
{
    if (s->is_restoring)
        return;
    struct csl_secagg_site_action a = {
        .kind = kind, .record = record, .bytes = bytes, .text = text};
    s->out->emit(s->out->ctx, &a);
}

void csl_secagg__site_journal(struct csl_secagg_site *s, enum csl_secagg_site_record record,
                              struct csl_span bytes)
{
    csl_secagg__site_emit(s, CSL_SECAGG_SA_JOURNAL, record, bytes, NULL);
}

void csl_secagg__site_suspend(struct csl_secagg_site *s, const uint8_t *vote, const char *text)
{
    /* Known from now on, or the message that shows it would suspend the site again and again. */
    bool is_new = vote != NULL && csl_secagg__digests_add(&s->votes, vote, NULL) == CSL_OK;
    if (!s->is_suspended || is_new)
        csl_secagg__site_journal(s, CSL_SECAGG_SJ_ALARM, CSL_SPAN(vote, vote != NULL ? 32 : 0));
    s->is_suspended = true;
    csl_secagg__site_emit(s, CSL_SECAGG_SA_ALARM, CSL_SECAGG_SJ_ALARM, CSL_SPAN(NULL, 0), text);
}

enum csl_code csl_secagg__site_send(struct csl_secagg_site *s, struct csl_secagg_message *m,
                                    struct csl_err *err)
{
    if (s->is_restoring)
        return CSL_OK;
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    m->site = s->setup.site;
    enum csl_code code = csl_secagg_encode(m, s->setup.key, &out, err);
    if (code == CSL_OK)
        csl_secagg__site_emit(s, CSL_SECAGG_SA_SEND, CSL_SECAGG_SJ_MESSAGE, CSL_SPAN(out.p, out.n),
                              NULL);
    csl_buf_release(&out);
    return code;
}

enum csl_code csl_secagg__keep(struct csl_secagg_kept *k, const struct csl_secagg_message *m,
                               struct csl_err *err)
{
    struct csl_secagg_kept kept = {0};
    enum csl_code code = csl_msg_copy(&kept.bytes, m->whole, err);
    if (code != CSL_OK)
        return code;
    code = csl_secagg_decode(&kept.view, csl_msg_span(&kept.bytes), NULL);
    CSL_ASSERT(code == CSL_OK); /* it decoded before */
    csl_msg_release(&k->bytes);
    *k = kept;
    return CSL_OK;
}

bool csl_secagg__is_kept(const struct csl_secagg_kept *k, const struct csl_secagg_message *m)
{
    return k->bytes.p != NULL && csl_span_equal(csl_msg_span(&k->bytes), m->whole);
}

void csl_secagg__attempt_release(struct csl_secagg_attempt *a)
{
    csl_secret_free(a->memory);
    csl_msg_release(&a->config_bytes);
    csl_free(a->weights);
    struct csl_secagg_kept *kept[] = {&a->keys,      &a->delivery, &a->senders,
                                      &a->survivors, &a->quorum,   &a->seeds};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        csl_msg_release(&kept[i]->bytes);
    csl_free(a->ids);
    csl_free(a->rows);
    csl_free(a->dealings);
    csl_free(a->own_commitments);
    memset(a, 0, sizeof(*a));
}

enum csl_code csl_secagg_site_new(struct csl_secagg_site **out,
                                  const struct csl_secagg_site_setup *setup, struct csl_err *err)
{
    enum csl_code code = csl_secagg_policy_check(&setup->policy, err);
    if (code != CSL_OK)
        return code;
    uint32_t row = csl_secagg_roster_find(setup->roster, setup->site);
    if (row == UINT32_MAX || !setup->roster->sites[row].is_active ||
        memcmp(setup->roster->sites[row].key, setup->key->public_key, CSL_SIGN_PUBLIC_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "site %u is not in the roster, is revoked there, or has another key there",
                        setup->site);
    struct csl_secagg_site *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the site");
    s->setup = *setup;
    s->row = row;
    memcpy(s->head, setup->head, sizeof(s->head));
    *out = s;
    return CSL_OK;
}

void csl_secagg_site_free(struct csl_secagg_site *s)
{
    if (s == NULL)
        return;
    csl_secagg__attempt_release(&s->at);
    csl_free(s->votes.items);
    csl_free(s->contributed.items);
    csl_free(s);
}

static enum csl_code message(struct csl_secagg_site *s, struct csl_span bytes, struct csl_err *err)
{
    struct csl_secagg_message m;
    enum csl_code code = csl_secagg_decode(&m, bytes, err);
    if (code != CSL_OK)
        return code;
    if (m.type == CSL_SECAGG_RESULT)
        return csl_secagg__site_result(s, &m, err);
    if (!s->at.exists)
        return CSL_FAIL(err, CSL_E_STATE, "a message before any round");
    if (m.type == CSL_SECAGG_ROUND_KEYS)
        return csl_secagg__site_round_keys(s, &m, err);
    if (s->at.keys.bytes.p == NULL || memcmp(m.id, s->at.sid, 32) != 0)
        return CSL_FAIL(err, CSL_E_STATE, "a message of another session");
    switch ((int)m.type) {
    case CSL_SECAGG_DELIVERY:
    case CSL_SECAGG_SPARSE_DELIVERY:
        return csl_secagg__site_delivery(s, &m, err);
    case CSL_SECAGG_DISPUTE:
        return csl_secagg__site_dispute(s, &m, err);
    case CSL_SECAGG_SENDERS:
    case CSL_SECAGG_SPARSE_SENDERS:
        return csl_secagg__site_senders(s, &m, err);
    case CSL_SECAGG_SEEDS:
        return csl_secagg__site_seeds(s, &m, err);
    case CSL_SECAGG_SURVIVORS:
        return csl_secagg__site_survivors(s, &m, err);
    case CSL_SECAGG_QUORUM:
        return csl_secagg__site_quorum(s, &m, err);
    case CSL_SECAGG_ABANDONED:
        return csl_secagg__site_abandoned(s, &m, err);
    case CSL_SECAGG_GIVE_UP:
        if (!csl_secagg_is_signed(&m, s->setup.roster->coordinator_key))
            return CSL_FAIL(err, CSL_E_CRYPTO, "not signed by the coordinator");
        return csl_secagg__site_give_up(s, err);
    default:
        return CSL_FAIL(err, CSL_E_PROTO, "a message of type %u to a site", m.type);
    }
}

enum csl_code csl_secagg_site_step(struct csl_secagg_site *s,
                                   const struct csl_secagg_site_event *ev,
                                   const struct csl_secagg_site_out *out, struct csl_err *err)
{
    enum csl_code code = CSL_E_BUG;
    s->out = out;
    if (s->is_suspended && ev->kind != CSL_SECAGG_SE_CONFIRMED)
        return CSL_FAIL(err, CSL_E_STATE,
                        "this site signed something that its journal does not know; an operator "
                        "has to confirm first");
    if (s->is_out && ev->kind != CSL_SECAGG_SE_FORGET)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "this site's journal was rolled back, and it takes no part in the rounds "
                        "of this study any more");
    switch (ev->kind) {
    case CSL_SECAGG_SE_CONFIG:
        code = csl_secagg__site_config(s, ev, err);
        break;
    case CSL_SECAGG_SE_MESSAGE:
        code = message(s, ev->bytes, err);
        break;
    case CSL_SECAGG_SE_TRAINED:
        code = csl_secagg__site_trained(s, &ev->blocks, err);
        break;
    case CSL_SECAGG_SE_MASKED:
        code = csl_secagg__site_masked(s, ev->masked, err);
        break;
    case CSL_SECAGG_SE_GIVE_UP:
        code = csl_secagg__site_give_up(s, err);
        break;
    case CSL_SECAGG_SE_CONFIRMED:
        csl_secagg__site_confirmed(s);
        code = CSL_OK;
        break;
    case CSL_SECAGG_SE_FORGET:
        code = csl_secagg__site_forget(s, err);
        break;
    default:
        CSL_ASSERT(false);
    }
    s->out = NULL;
    return code;
}

static enum csl_code read_digests(struct csl_secagg_digests *d, const uint8_t **p,
                                  const uint8_t *end, struct csl_err *err)
{
    if (end - *p < 4 || (size_t)(end - *p - 4) / 32 < csl_load_le32(*p))
        return CSL_FAIL(err, CSL_E_CORRUPT, "a snapshot that ends too early");
    uint32_t n = csl_load_le32(*p);
    *p += 4;
    d->count = 0;
    for (uint32_t i = 0; i < n; i++, *p += 32) {
        enum csl_code code = csl_secagg__digests_add(d, *p, err);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

static enum csl_code restore_snapshot(struct csl_secagg_site *s, struct csl_span bytes,
                                      struct csl_err *err)
{
    if (bytes.n < SNAPSHOT_FIXED + 8)
        return CSL_FAIL(err, CSL_E_CORRUPT, "a snapshot of %zu bytes", bytes.n);
    const uint8_t *p = bytes.p, *end = bytes.p + bytes.n;
    csl_secagg__attempt_release(&s->at);
    s->last_round = csl_load_le64(p);
    s->last_attempt = csl_load_le16(p + 8);
    memcpy(s->head, p + 10, 32);
    if (p[42] > (CSL_SECAGG__SUSPENDED | CSL_SECAGG__OUT))
        return CSL_FAIL(err, CSL_E_CORRUPT, "a snapshot with the state %u", p[42]);
    s->is_suspended = (p[42] & CSL_SECAGG__SUSPENDED) != 0;
    s->is_out = (p[42] & CSL_SECAGG__OUT) != 0;
    p += SNAPSHOT_FIXED;
    enum csl_code code = read_digests(&s->votes, &p, end, err);
    return code == CSL_OK ? read_digests(&s->contributed, &p, end, err) : code;
}

static enum csl_code restore_config(struct csl_secagg_site *s, struct csl_span bytes,
                                    struct csl_err *err)
{
    if (bytes.n < 36 || csl_load_le32(bytes.p + 32) > bytes.n - 36)
        return CSL_FAIL(err, CSL_E_CORRUPT, "a record of a configuration of %zu bytes", bytes.n);
    size_t n = csl_load_le32(bytes.p + 32);
    size_t words = (bytes.n - 36 - n) / 4;
    struct csl_secagg_config c;
    enum csl_code code = csl_secagg_config_decode(&c, CSL_SPAN(bytes.p + 36, n), err);
    if (code != CSL_OK)
        return code;
    if (words != (size_t)c.roster_count * c.block_count)
        return CSL_FAIL(err, CSL_E_CORRUPT, "a table of %zu weights", words);
    uint32_t *weights = csl_alloc_array(words + 1, sizeof(*weights));
    if (weights == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the weights");
    for (size_t i = 0; i < words; i++)
        weights[i] = csl_load_le32(bytes.p + 36 + n + 4 * i);
    struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_CONFIG,
                                       .bytes = CSL_SPAN(bytes.p + 36, n),
                                       .weights = weights,
                                       .model_hash = c.model_hash,
                                       .plan_hash = c.plan_hash,
                                       .secret = bytes.p};
    code = csl_secagg__site_config(s, &ev, err);
    csl_free(weights);
    return code;
}

static enum csl_code restore_masked(struct csl_secagg_site *s, struct csl_span bytes,
                                    struct csl_err *err)
{
    struct csl_secagg_masked masked;
    if (bytes.n != sizeof(masked))
        return CSL_FAIL(err, CSL_E_CORRUPT, "a record of a manifest of %zu bytes", bytes.n);
    memcpy(&masked, bytes.p, sizeof(masked));
    return csl_secagg__site_masked(s, &masked, err);
}

static enum csl_code restore(struct csl_secagg_site *s, enum csl_secagg_site_record record,
                             struct csl_span bytes, struct csl_err *err)
{
    struct csl_secagg_set blocks;
    switch (record) {
    case CSL_SECAGG_SJ_SNAPSHOT:
        return restore_snapshot(s, bytes, err);
    case CSL_SECAGG_SJ_CONFIG:
        return restore_config(s, bytes, err);
    case CSL_SECAGG_SJ_MESSAGE:
        return message(s, bytes, err);
    case CSL_SECAGG_SJ_TRAINED:
        if (bytes.n != sizeof(blocks))
            break;
        memcpy(&blocks, bytes.p, sizeof(blocks));
        return csl_secagg__site_trained(s, &blocks, err);
    case CSL_SECAGG_SJ_MASKED:
        return restore_masked(s, bytes, err);
    case CSL_SECAGG_SJ_VOTE:
        if (bytes.n != 33 || !s->at.exists || s->at.keys.bytes.p == NULL)
            break;
        return csl_secagg__site_set_vote(s, bytes.p[0], bytes.p + 1, err);
    case CSL_SECAGG_SJ_ALARM:
        if (bytes.n != 0 && bytes.n != 32)
            break;
        s->is_suspended = true;
        return bytes.n == 32 ? csl_secagg__digests_add(&s->votes, bytes.p, err) : CSL_OK;
    case CSL_SECAGG_SJ_CONFIRMED:
        csl_secagg__site_confirmed(s);
        return CSL_OK;
    default:
        break;
    }
    return CSL_FAIL(err, CSL_E_CORRUPT, "record %d of %zu bytes", (int)record, bytes.n);
}

enum csl_code csl_secagg_site_restore(struct csl_secagg_site *s, enum csl_secagg_site_record record,
                                      struct csl_span bytes, struct csl_err *err)
{
    s->is_restoring = true;
    enum csl_code code = restore(s, record, bytes, err);
    s->is_restoring = false;
    if (code != CSL_OK && code != CSL_E_NOMEM && code != CSL_E_CORRUPT)
        return CSL_FAIL(err, CSL_E_CORRUPT, "the journal does not fit itself at a record %d (%s)",
                        (int)record, csl_code_name(code));
    return code;
}

void csl_secagg_site_resume(struct csl_secagg_site *s, const struct csl_secagg_site_out *out)
{
    const struct csl_secagg_attempt *a = &s->at;
    enum csl_code code = CSL_OK;
    if (!a->exists || s->is_suspended || s->is_out)
        return;
    s->out = out;
    switch (csl_secagg_site_phase(s)) {
    case CSL_SECAGG_IDLE:
    case CSL_SECAGG_CLOSED:
        break;
    case CSL_SECAGG_ADVERTISED:
        code = csl_secagg__site_send_advertise(s, NULL);
        break;
    case CSL_SECAGG_KEYED:
        code = csl_secagg__site_send_shares(s, NULL);
        break;
    case CSL_SECAGG_DEALT:
    case CSL_SECAGG_WAITING:
        code = csl_secagg__site_send_ack(s, NULL);
        break;
    case CSL_SECAGG_SEEDING:
        code = csl_secagg__site_send_reveal(s, NULL);
        break;
    case CSL_SECAGG_MASKING:
        csl_secagg__site_emit(s, CSL_SECAGG_SA_MASK, CSL_SECAGG_SJ_MASKED, CSL_SPAN(NULL, 0), NULL);
        break;
    case CSL_SECAGG_UPLOADED:
        code = csl_secagg__site_send_manifest(s, NULL);
        break;
    case CSL_SECAGG_VOTED:
    case CSL_SECAGG_ABANDONING:
        code = csl_secagg__site_send_vote(s, NULL);
        break;
    case CSL_SECAGG_REVEALED:
        code = csl_secagg__site_send_unmask(s, NULL);
        break;
    default:
        CSL_ASSERT(false);
    }
    s->out = NULL;
    (void)code; /* no memory: the coordinator asks again */
}

enum csl_secagg_phase csl_secagg_site_phase(const struct csl_secagg_site *s)
{
    const struct csl_secagg_attempt *a = &s->at;
    if (!a->exists)
        return CSL_SECAGG_IDLE;
    if (a->quorum.bytes.p != NULL && a->vote == CSL_SECAGG_VOTE_FOR)
        return CSL_SECAGG_REVEALED;
    if (a->quorum.bytes.p != NULL || a->is_certified)
        return CSL_SECAGG_CLOSED;
    if (a->vote != 0)
        return a->vote == CSL_SECAGG_VOTE_FOR ? CSL_SECAGG_VOTED : CSL_SECAGG_ABANDONING;
    if (a->is_masked)
        return CSL_SECAGG_UPLOADED;
    if (a->senders.bytes.p != NULL)
        return a->config.graph == 0 || a->seeds.bytes.p != NULL ? CSL_SECAGG_MASKING
                                                                : CSL_SECAGG_SEEDING;
    if (a->delivery.bytes.p != NULL)
        return a->is_trained ? CSL_SECAGG_WAITING : CSL_SECAGG_DEALT;
    return a->keys.bytes.p != NULL ? CSL_SECAGG_KEYED : CSL_SECAGG_ADVERTISED;
}

enum csl_secagg_update csl_secagg_site_update(const struct csl_secagg_site *s)
{
    return s->at.update;
}

bool csl_secagg_site_is_suspended(const struct csl_secagg_site *s)
{
    return s->is_suspended;
}

bool csl_secagg_site_is_out(const struct csl_secagg_site *s)
{
    return s->is_out;
}

const struct csl_secagg_config *csl_secagg_site_config(const struct csl_secagg_site *s)
{
    return s->at.exists ? &s->at.config : NULL;
}

const uint8_t *csl_secagg_site_sid(const struct csl_secagg_site *s)
{
    return s->at.keys.bytes.p != NULL ? s->at.sid : NULL;
}
