#include "privacy/secagg/messages.h"

#include "base/check.h"
#include "base/le.h"
#include "privacy/secagg/config.h"
#include "privacy/secagg/wire.h"

enum { VOTE_BYTES = 4 + CSL_SIGN_SIGNATURE_BYTES };

static void write_header(struct csl_buf *out, uint8_t type, const uint8_t id[32], uint32_t site)
{
    csl_buf_u8(out, type);
    csl_buf_u8(out, CSL_SECAGG_VERSION);
    csl_buf_append(out, id, 32);
    csl_buf_le32(out, site);
}

static void write_set(struct csl_buf *out, uint32_t n, const struct csl_secagg_set *s)
{
    csl_buf_append(out, s->bits, csl_secagg_set_bytes(n));
}

/* A message within another. */
static void write_span(struct csl_buf *out, struct csl_span bytes)
{
    csl_buf_le32(out, (uint32_t)bytes.n);
    csl_buf_append(out, bytes.p, bytes.n);
}

static void write_advertise(struct csl_buf *out, const struct csl_secagg_advertise *a)
{
    csl_buf_append(out, a->mask_key.bytes, 32);
    csl_buf_append(out, a->channel_key, 32);
    csl_buf_append(out, a->nonce, 32);
    csl_buf_append(out, a->head, 32);
}

static void write_round_keys(struct csl_buf *out, const struct csl_secagg_round_keys *k)
{
    csl_buf_le32(out, k->quorum);
    csl_buf_le32(out, k->threshold);
    csl_buf_append(out, k->graph_seed, 32);
    csl_buf_le32(out, k->count);
    csl_buf_append(out, k->advertised, (size_t)k->count * CSL_SECAGG_ADVERTISE_BYTES);
}

static void write_commitments(struct csl_buf *out, const struct csl_secagg_shares *s)
{
    csl_buf_le32(out, s->threshold);
    csl_buf_append(out, s->b, (size_t)32 * s->threshold);
    csl_buf_append(out, s->s, (size_t)32 * s->threshold);
    if (s->r != NULL)
        csl_buf_append(out, s->r, (size_t)32 * s->threshold);
}

static void write_delivery(struct csl_buf *out, const struct csl_secagg_message *m)
{
    const struct csl_secagg_delivery *d = &m->u.delivery;
    bool is_sparse = m->type == CSL_SECAGG_SPARSE_DELIVERY;
    size_t bytes = CSL_SECAGG_HEADER_BYTES + 4 + (size_t)(is_sparse ? 96 : 64) * d->threshold +
                   CSL_SIGN_SIGNATURE_BYTES +
                   (is_sparse ? (size_t)CSL_SEAL3_BYTES : (size_t)CSL_SEAL_BYTES);
    csl_buf_le32(out, d->threshold);
    csl_buf_le32(out, d->count);
    csl_buf_append(out, d->dealers, bytes * d->count);
}

static void write_ack(struct csl_buf *out, const struct csl_secagg_ack *a)
{
    csl_buf_le32(out, a->count);
    write_set(out, a->count, &a->accepted);
    write_set(out, a->count, &a->complaints);
}

static void write_senders(struct csl_buf *out, const struct csl_secagg_senders *s)
{
    csl_buf_le32(out, s->count);
    write_set(out, s->count, &s->members);
    csl_buf_le32(out, s->block_count);
    csl_buf_append(out, s->block_bits, (size_t)s->block_count * csl_secagg_set_bytes(s->count));
    csl_buf_append(out, s->commitments, 32);
    if (s->dealings != NULL)
        csl_buf_append(out, s->dealings, (size_t)64 * csl_secagg_set_count(&s->members));
    csl_buf_le32(out, s->opening_count);
    csl_buf_append(out, s->openings, (size_t)s->opening_count * csl_secagg_opening_bytes());
}

static void write_manifest(struct csl_buf *out, const struct csl_secagg_manifest *s)
{
    csl_buf_append(out, s->senders, 32);
    csl_buf_append(out, s->plain, 32);
    csl_buf_le32(out, s->block_count);
    for (uint32_t i = 0; i < s->block_count; i++) {
        csl_buf_le64(out, s->blocks[i].entries);
        csl_buf_le32(out, s->blocks[i].chunks);
        csl_buf_append(out, s->blocks[i].root, 32);
    }
}

static void write_survivors(struct csl_buf *out, const struct csl_secagg_survivors *s)
{
    csl_buf_le32(out, s->count);
    write_set(out, s->count, &s->members);
    csl_buf_le32(out, s->block_count);
    csl_buf_append(out, s->block_bits, (size_t)s->block_count * csl_secagg_set_bytes(s->count));
    csl_buf_append(out, s->roots, (size_t)32 * csl_secagg_set_count(&s->members));
}

static void write_votes(struct csl_buf *out, const struct csl_secagg_votes *v)
{
    csl_buf_le32(out, v->count);
    csl_buf_append(out, v->votes, (size_t)v->count * VOTE_BYTES);
}

static void write_result(struct csl_buf *out, const struct csl_secagg_result *s)
{
    csl_buf_append(out, s->quorum.transcript, 32);
    csl_buf_append(out, s->previous_head, 32);
    csl_buf_append(out, s->result_root, 32);
    csl_buf_append(out, s->model_hash, 32);
    csl_buf_append(out, s->head, 32);
    write_votes(out, &s->quorum);
}

static void write_opening(struct csl_buf *out, const struct csl_secagg_opening *o)
{
    csl_buf_le32(out, o->receiver);
    csl_buf_append(out, o->shares.b.bytes, 32);
    csl_buf_append(out, o->shares.s.bytes, 32);
}

static void write_unmask(struct csl_buf *out, const struct csl_secagg_unmask *s)
{
    csl_buf_append(out, s->transcript, 32);
    csl_buf_le32(out, s->count);
    csl_buf_append(out, s->shares, (size_t)32 * s->count);
}

static void write_audit(struct csl_buf *out, const struct csl_secagg_audit_request *a)
{
    csl_buf_le32(out, a->count);
    csl_buf_append(out, a->chunks, (size_t)8 * a->count);
}

static void write_audited(struct csl_buf *out, const struct csl_secagg_audited *a)
{
    csl_buf_append(out, a->transcript, 32);
    csl_buf_le32(out, a->block);
    csl_buf_le32(out, a->chunk);
    csl_buf_le32(out, a->count);
    csl_buf_le32(out, a->threshold);
    csl_buf_append(out, a->secrets, (size_t)32 * a->count);
    csl_buf_append(out, a->commitments, (size_t)(a->r != NULL ? 96 : 64) * a->count * a->threshold);
    if (a->r != NULL)
        csl_buf_append(out, a->r, (size_t)32 * a->count);
    csl_buf_le32(out, a->block_count);
    csl_buf_append(out, a->roots, (size_t)32 * a->block_count);
    csl_buf_le32(out, a->chunk_count);
    csl_buf_append(out, a->hashes, (size_t)32 * a->chunk_count);
}

static void write_audit_upload(struct csl_buf *out, const struct csl_secagg_audit_upload *a)
{
    csl_buf_le32(out, a->block);
    csl_buf_le32(out, a->chunk);
    write_span(out, a->manifest);
    csl_buf_le32(out, a->chunk_count);
    csl_buf_append(out, a->hashes, (size_t)32 * a->chunk_count);
    csl_buf_le32(out, (uint32_t)(a->words.n / 8));
    csl_buf_append(out, a->words.p, a->words.n);
}

/* What only some sessions have; false: another type. */
static bool write_rare(struct csl_buf *out, const struct csl_secagg_message *m)
{
    switch ((int)m->type) {
    case CSL_SECAGG_REVEAL:
        csl_buf_append(out, m->u.reveal.r->bytes, 32);
        csl_buf_le32(out, m->u.reveal.count);
        csl_buf_append(out, m->u.reveal.shares, (size_t)32 * m->u.reveal.count);
        return true;
    case CSL_SECAGG_SEEDS:
        csl_buf_le32(out, m->u.seeds.count);
        csl_buf_append(out, m->u.seeds.r, (size_t)32 * m->u.seeds.count);
        return true;
    case CSL_SECAGG_AUDIT:
        write_audit(out, &m->u.audit);
        return true;
    case CSL_SECAGG_AUDITED:
    case CSL_SECAGG_SPARSE_AUDITED:
        write_audited(out, &m->u.audited);
        return true;
    case CSL_SECAGG_AUDIT_UPLOAD:
        write_audit_upload(out, &m->u.audit_upload);
        return true;
    case CSL_SECAGG_EPOCH_COMMIT:
    case CSL_SECAGG_EPOCH_REVEAL:
        csl_buf_append(out, m->u.epoch.value, 32);
        return true;
    default:
        return false;
    }
}

static void write_body(struct csl_buf *out, const struct csl_secagg_message *m)
{
    switch ((int)m->type) {
    case CSL_SECAGG_ADVERTISE:
        write_advertise(out, &m->u.advertise);
        break;
    case CSL_SECAGG_ROUND_KEYS:
        write_round_keys(out, &m->u.round_keys);
        break;
    case CSL_SECAGG_SHARES:
    case CSL_SECAGG_SPARSE_SHARES:
        write_commitments(out, &m->u.shares);
        break;
    case CSL_SECAGG_DELIVERY:
    case CSL_SECAGG_SPARSE_DELIVERY:
        write_delivery(out, m);
        break;
    case CSL_SECAGG_ACK:
        write_ack(out, &m->u.ack);
        break;
    case CSL_SECAGG_READY:
        csl_buf_le32(out, m->u.ready.block_count);
        write_set(out, m->u.ready.block_count, &m->u.ready.blocks);
        break;
    case CSL_SECAGG_SENDERS:
    case CSL_SECAGG_SPARSE_SENDERS:
        write_senders(out, &m->u.senders);
        break;
    case CSL_SECAGG_MANIFEST:
        write_manifest(out, &m->u.manifest);
        break;
    case CSL_SECAGG_SURVIVORS:
        write_survivors(out, &m->u.survivors);
        break;
    case CSL_SECAGG_VOTE:
        csl_buf_u8(out, m->u.vote.choice);
        csl_buf_append(out, m->u.vote.transcript, 32);
        break;
    case CSL_SECAGG_QUORUM:
        csl_buf_append(out, m->u.votes.transcript, 32);
        write_votes(out, &m->u.votes);
        break;
    case CSL_SECAGG_UNMASK:
        write_unmask(out, &m->u.unmask);
        break;
    case CSL_SECAGG_RESULT:
        write_result(out, &m->u.result);
        break;
    case CSL_SECAGG_DISPUTE:
        write_span(out, m->u.dispute.ack);
        break;
    case CSL_SECAGG_OPENING:
        write_opening(out, &m->u.opening);
        break;
    case CSL_SECAGG_GIVE_UP:
        break;
    case CSL_SECAGG_ABANDONED:
        write_votes(out, &m->u.votes);
        break;
    default:
        CSL_ASSERT(write_rare(out, m));
    }
}

enum csl_code csl_secagg_encode(const struct csl_secagg_message *m, const struct csl_sign_key *key,
                                struct csl_buf *out, struct csl_err *err)
{
    size_t start = out->n;
    write_header(out, m->type, m->id, m->site);
    write_body(out, m);
    if (key != NULL)
        csl_secagg__append_signature(out, start, m->type, key);
    bool is_sparse = m->type == CSL_SECAGG_SPARSE_SHARES;
    if (m->type == CSL_SECAGG_SHARES || is_sparse) {
        csl_buf_le32(out, m->u.shares.sealed_count);
        csl_buf_append(out, m->u.shares.sealed,
                       (size_t)m->u.shares.sealed_count *
                           (is_sparse ? (size_t)CSL_SEAL3_BYTES : (size_t)CSL_SEAL_BYTES));
    }
    return csl_buf_status(out, err);
}

bool csl_secagg_vote_is_signed(const uint8_t id[32], uint32_t site, uint8_t choice,
                               const uint8_t transcript[32], const uint8_t *signature,
                               const uint8_t key[CSL_SIGN_PUBLIC_BYTES])
{
    uint8_t body[CSL_SECAGG_HEADER_BYTES + 33];
    body[0] = CSL_SECAGG_VOTE;
    body[1] = CSL_SECAGG_VERSION;
    memcpy(body + 2, id, 32);
    csl_store_le32(body + 34, site);
    body[38] = choice;
    memcpy(body + 39, transcript, 32);
    return csl_secagg__verify(key, CSL_SECAGG_VOTE, CSL_SPAN(body, sizeof(body)), signature);
}
