#include "privacy/secagg/messages.h"

#include "base/check.h"
#include "base/le.h"
#include "privacy/crypto/prg.h"
#include "privacy/secagg/config.h"
#include "privacy/secagg/wire.h"

_Static_assert(sizeof(struct csl_point) == 32 && _Alignof(struct csl_point) == 1, "bytes");
_Static_assert(sizeof(struct csl_scalar) == 32 && _Alignof(struct csl_scalar) == 1, "bytes");
_Static_assert((int)CSL_SECAGG_MANIFEST_BLOCKS_MAX == (int)CSL_SECAGG_CONFIG_BLOCKS_MAX + 1,
               "the blocks and the scalars");

static bool is_carrier(uint8_t type)
{
    return type == CSL_SECAGG_DELIVERY || type == CSL_SECAGG_SPARSE_DELIVERY ||
           type == CSL_SECAGG_QUORUM || type == CSL_SECAGG_DISPUTE ||
           type == CSL_SECAGG_ABANDONED || type == CSL_SECAGG_AUDITED ||
           type == CSL_SECAGG_AUDIT_UPLOAD || type == CSL_SECAGG_SPARSE_AUDITED;
}

static uint32_t get_count(struct csl_secagg_reader *r, uint32_t max)
{
    uint32_t n = csl_secagg__u32(r);
    if (n > max) {
        csl_secagg__fault(r, "a count beyond its limit");
        return 0;
    }
    return n;
}

static uint32_t get_sites(struct csl_secagg_reader *r)
{
    uint32_t n = get_count(r, CSL_SECAGG_SITES_MAX);
    if (n == 0)
        csl_secagg__fault(r, "no site at all");
    return n;
}

static void read_header(struct csl_secagg_reader *r, struct csl_secagg_message *m)
{
    m->type = csl_secagg__u8(r);
    if (csl_secagg__u8(r) != CSL_SECAGG_VERSION)
        csl_secagg__fault(r, "an unknown version");
    csl_secagg__get(r, m->id, sizeof(m->id));
    m->site = csl_secagg__u32(r);
    bool is_coordinator = m->type == CSL_SECAGG_ROUND_KEYS ||
                          m->type == CSL_SECAGG_SPARSE_SENDERS || m->type == CSL_SECAGG_SEEDS ||
                          m->type == CSL_SECAGG_SENDERS || m->type == CSL_SECAGG_SURVIVORS ||
                          m->type == CSL_SECAGG_QUORUM || m->type == CSL_SECAGG_RESULT ||
                          m->type == CSL_SECAGG_GIVE_UP || m->type == CSL_SECAGG_ABANDONED ||
                          m->type == CSL_SECAGG_AUDITED || m->type == CSL_SECAGG_AUDIT_UPLOAD ||
                          m->type == CSL_SECAGG_SPARSE_AUDITED;
    if ((m->site == 0) != is_coordinator)
        csl_secagg__fault(r, "it is not for this side to say it");
}

static void read_advertise(struct csl_secagg_reader *r, struct csl_secagg_advertise *a)
{
    csl_secagg__get(r, a->mask_key.bytes, 32);
    csl_secagg__get(r, a->channel_key, 32);
    csl_secagg__get(r, a->nonce, 32);
    csl_secagg__get(r, a->head, 32);
}

/* The parts of one kind and length that a message carries: type, version and order. */
static void check_parts(struct csl_secagg_reader *r, const uint8_t *parts, uint32_t count,
                        size_t part_bytes, const uint8_t id[32], uint8_t type)
{
    uint64_t last = 0;
    for (uint32_t i = 0; r->fault == NULL && i < count; i++) {
        struct csl_secagg_reader part = {.bytes = CSL_SPAN(parts + i * part_bytes, part_bytes)};
        struct csl_secagg_message m = {0};
        read_header(&part, &m);
        uint64_t key = (uint64_t)m.site << 32;
        if (type == CSL_SECAGG_OPENING)
            key |= csl_secagg__u32(&part);
        if (part.fault != NULL || m.type != type || memcmp(m.id, id, 32) != 0)
            csl_secagg__fault(r, "a part that is not of this message");
        if (key <= last)
            csl_secagg__fault(r, "ids that do not ascend");
        last = key;
    }
}

static void read_round_keys(struct csl_secagg_reader *r, struct csl_secagg_message *m)
{
    struct csl_secagg_round_keys *k = &m->u.round_keys;
    k->quorum = csl_secagg__u32(r);
    k->threshold = csl_secagg__u32(r);
    csl_secagg__get(r, k->graph_seed, 32);
    k->count = get_sites(r);
    if (k->quorum == 0 || k->quorum > k->count || k->threshold == 0 || k->threshold > k->count)
        csl_secagg__fault(r, "a threshold beyond the number of sites");
    k->advertised = csl_secagg__take_array(r, k->count, CSL_SECAGG_ADVERTISE_BYTES);
    check_parts(r, k->advertised, k->count, CSL_SECAGG_ADVERTISE_BYTES, m->id,
                CSL_SECAGG_ADVERTISE);
}

static const struct csl_point *take_points(struct csl_secagg_reader *r, uint32_t count)
{
    return (const struct csl_point *)csl_secagg__take_array(r, count, sizeof(struct csl_point));
}

static void read_commitments(struct csl_secagg_reader *r, bool is_sparse,
                             struct csl_secagg_shares *s)
{
    s->threshold = get_sites(r);
    s->b = take_points(r, s->threshold);
    s->s = take_points(r, s->threshold);
    s->r = is_sparse ? take_points(r, s->threshold) : NULL;
}

static size_t sealed_bytes(bool is_sparse)
{
    return is_sparse ? (size_t)CSL_SEAL3_BYTES : (size_t)CSL_SEAL_BYTES;
}

static size_t dealer_bytes(uint32_t threshold, bool is_sparse)
{
    return CSL_SECAGG_HEADER_BYTES + 4 + (size_t)(is_sparse ? 96 : 64) * threshold +
           CSL_SIGN_SIGNATURE_BYTES + sealed_bytes(is_sparse);
}

static void read_delivery(struct csl_secagg_reader *r, struct csl_secagg_message *m)
{
    struct csl_secagg_delivery *d = &m->u.delivery;
    d->threshold = get_sites(r);
    d->count = get_count(r, CSL_SECAGG_SITES_MAX);
    bool is_sparse = m->type == CSL_SECAGG_SPARSE_DELIVERY;
    size_t bytes = dealer_bytes(d->threshold, is_sparse);
    d->dealers = csl_secagg__take_array(r, d->count, bytes);
    check_parts(r, d->dealers, d->count, bytes, m->id,
                is_sparse ? CSL_SECAGG_SPARSE_SHARES : CSL_SECAGG_SHARES);
    for (uint32_t i = 0; r->fault == NULL && i < d->count; i++)
        if (csl_load_le32(d->dealers + i * bytes + CSL_SECAGG_HEADER_BYTES) != d->threshold)
            csl_secagg__fault(r, "a dealer with another threshold");
}

static void read_ack(struct csl_secagg_reader *r, struct csl_secagg_ack *a)
{
    a->count = get_sites(r);
    csl_secagg__get_set(r, a->count, &a->accepted);
    csl_secagg__get_set(r, a->count, &a->complaints);
    struct csl_secagg_set both = csl_secagg_set_both(&a->accepted, &a->complaints);
    if (csl_secagg_set_count(&both) != 0)
        csl_secagg__fault(r, "a dealer both accepted and complained about");
}

static uint32_t get_blocks(struct csl_secagg_reader *r)
{
    uint32_t n = get_count(r, CSL_SECAGG_MANIFEST_BLOCKS_MAX);
    if (n == 0)
        csl_secagg__fault(r, "no block at all");
    return n;
}

static const uint8_t *take_block_bits(struct csl_secagg_reader *r, uint32_t count,
                                      uint32_t block_count, const struct csl_secagg_set *members)
{
    const uint8_t *bits = csl_secagg__take_array(r, block_count, csl_secagg_set_bytes(count));
    for (uint32_t b = 0; r->fault == NULL && b < block_count; b++) {
        struct csl_secagg_set s;
        csl_secagg_block_set(bits, count, b, &s);
        if (!csl_secagg_set_within(&s, members))
            csl_secagg__fault(r, "a block of a site that is not a member");
    }
    return bits;
}

static void read_senders(struct csl_secagg_reader *r, struct csl_secagg_message *m)
{
    struct csl_secagg_senders *s = &m->u.senders;
    s->count = get_sites(r);
    csl_secagg__get_set(r, s->count, &s->members);
    s->block_count = get_blocks(r);
    s->block_bits = take_block_bits(r, s->count, s->block_count, &s->members);
    csl_secagg__get(r, s->commitments, 32);
    if (m->type == CSL_SECAGG_SPARSE_SENDERS)
        s->dealings = csl_secagg__take_array(r, csl_secagg_set_count(&s->members), 64);
    s->opening_count = get_count(r, CSL_SECAGG_SITES_MAX * CSL_SECAGG_SITES_MAX);
    s->openings = csl_secagg__take_array(r, s->opening_count, csl_secagg_opening_bytes());
    check_parts(r, s->openings, s->opening_count, csl_secagg_opening_bytes(), m->id,
                CSL_SECAGG_OPENING);
}

static void read_manifest(struct csl_secagg_reader *r, struct csl_secagg_manifest *s)
{
    static const uint8_t zero[32];
    csl_secagg__get(r, s->senders, 32);
    csl_secagg__get(r, s->plain, 32);
    s->block_count = get_blocks(r);
    for (uint32_t i = 0; i < s->block_count; i++) {
        struct csl_secagg_manifest_block *b = &s->blocks[i];
        b->entries = csl_secagg__u64(r);
        b->chunks = csl_secagg__u32(r);
        csl_secagg__get(r, b->root, 32);
        if ((b->entries == 0) != (b->chunks == 0) ||
            (b->entries == 0 && memcmp(b->root, zero, 32) != 0))
            csl_secagg__fault(r, "a block that is half there");
    }
}

static void read_survivors(struct csl_secagg_reader *r, struct csl_secagg_survivors *s)
{
    s->count = get_sites(r);
    csl_secagg__get_set(r, s->count, &s->members);
    s->block_count = get_blocks(r);
    s->block_bits = take_block_bits(r, s->count, s->block_count, &s->members);
    s->roots = csl_secagg__take_array(r, csl_secagg_set_count(&s->members), 32);
}

static void read_vote(struct csl_secagg_reader *r, struct csl_secagg_vote *v)
{
    static const uint8_t zero[32];
    v->choice = csl_secagg__u8(r);
    csl_secagg__get(r, v->transcript, 32);
    if (v->choice != CSL_SECAGG_VOTE_FOR && v->choice != CSL_SECAGG_VOTE_ABANDON)
        csl_secagg__fault(r, "neither of the two votes");
    if (v->choice == CSL_SECAGG_VOTE_ABANDON && memcmp(v->transcript, zero, 32) != 0)
        csl_secagg__fault(r, "a transcript in a vote to abandon");
}

static void read_votes(struct csl_secagg_reader *r, struct csl_secagg_votes *v)
{
    v->count = get_sites(r);
    v->votes = csl_secagg__take_array(r, v->count, 4 + CSL_SIGN_SIGNATURE_BYTES);
    uint32_t last = 0;
    for (uint32_t i = 0; r->fault == NULL && i < v->count; i++) {
        uint32_t site = csl_load_le32(v->votes + i * (4 + CSL_SIGN_SIGNATURE_BYTES));
        if (site <= last)
            csl_secagg__fault(r, "ids that do not ascend");
        last = site;
    }
}

static void read_unmask(struct csl_secagg_reader *r, struct csl_secagg_unmask *s)
{
    csl_secagg__get(r, s->transcript, 32);
    s->count = get_sites(r);
    s->shares = (const struct csl_scalar *)csl_secagg__take_array(r, s->count, 32);
}

static void read_reveal(struct csl_secagg_reader *r, struct csl_secagg_reveal *s)
{
    s->r = (const struct csl_scalar *)csl_secagg__take(r, 32);
    s->count = get_count(r, CSL_SECAGG_SITES_MAX);
    s->shares = (const struct csl_scalar *)csl_secagg__take_array(r, s->count, 32);
}

static void read_seeds(struct csl_secagg_reader *r, struct csl_secagg_seeds *s)
{
    s->count = get_sites(r);
    s->r = (const struct csl_scalar *)csl_secagg__take_array(r, s->count, 32);
}

static void read_result(struct csl_secagg_reader *r, struct csl_secagg_result *s)
{
    csl_secagg__get(r, s->quorum.transcript, 32);
    csl_secagg__get(r, s->previous_head, 32);
    csl_secagg__get(r, s->result_root, 32);
    csl_secagg__get(r, s->model_hash, 32);
    csl_secagg__get(r, s->head, 32);
    read_votes(r, &s->quorum);
}

static void read_opening(struct csl_secagg_reader *r, struct csl_secagg_opening *o)
{
    o->receiver = csl_secagg__u32(r);
    csl_secagg__get(r, o->shares.b.bytes, 32);
    csl_secagg__get(r, o->shares.s.bytes, 32);
}

static void read_dispute(struct csl_secagg_reader *r, struct csl_secagg_message *m)
{
    uint32_t n = csl_secagg__u32(r);
    m->u.dispute.ack = CSL_SPAN(csl_secagg__take(r, n), n);
    check_parts(r, m->u.dispute.ack.p, 1, n, m->id, CSL_SECAGG_ACK);
}

static void read_audit(struct csl_secagg_reader *r, struct csl_secagg_audit_request *a)
{
    a->count = get_count(r, CSL_SECAGG_AUDIT_CHUNKS_MAX);
    if (a->count == 0)
        csl_secagg__fault(r, "no chunk is asked for");
    a->chunks = csl_secagg__take_array(r, a->count, 8);
    uint64_t last = 0;
    for (uint32_t i = 0; r->fault == NULL && i < a->count; i++) {
        uint32_t block, chunk;
        csl_secagg_audit_at(a, i, &block, &chunk);
        uint64_t key = ((uint64_t)block << 32 | chunk) + 1;
        if (block >= CSL_SECAGG_MANIFEST_BLOCKS_MAX || chunk >= CSL_SECAGG_BLOCK_CHUNKS_MAX ||
            key <= last)
            csl_secagg__fault(r, "chunks that do not ascend, or beyond what a block can have");
        last = key;
    }
}

static const uint8_t *take_hashes(struct csl_secagg_reader *r, uint32_t chunk, uint32_t *count)
{
    *count = get_count(r, CSL_SECAGG_BLOCK_CHUNKS_MAX);
    if (chunk >= *count)
        csl_secagg__fault(r, "a chunk that the block does not have");
    return csl_secagg__take_array(r, *count, 32);
}

static void read_audited(struct csl_secagg_reader *r, bool is_sparse, struct csl_secagg_audited *a)
{
    csl_secagg__get(r, a->transcript, 32);
    a->block = csl_secagg__u32(r);
    a->chunk = csl_secagg__u32(r);
    a->count = get_sites(r);
    a->threshold = get_sites(r);
    a->secrets = (const struct csl_scalar *)csl_secagg__take_array(r, a->count, 32);
    a->commitments = take_points(r, (is_sparse ? 3 : 2) * a->count * a->threshold);
    if (is_sparse)
        a->r = (const struct csl_scalar *)csl_secagg__take_array(r, a->count, 32);
    a->block_count = get_blocks(r);
    a->roots = csl_secagg__take_array(r, a->block_count, 32);
    a->hashes = take_hashes(r, a->chunk, &a->chunk_count);
    if (a->block >= a->block_count)
        csl_secagg__fault(r, "a block that is none");
}

static void read_audit_upload(struct csl_secagg_reader *r, struct csl_secagg_message *m)
{
    struct csl_secagg_audit_upload *a = &m->u.audit_upload;
    a->block = csl_secagg__u32(r);
    a->chunk = csl_secagg__u32(r);
    uint32_t n = csl_secagg__u32(r);
    a->manifest = CSL_SPAN(csl_secagg__take(r, n), n);
    check_parts(r, a->manifest.p, 1, n, m->id, CSL_SECAGG_MANIFEST);
    a->hashes = take_hashes(r, a->chunk, &a->chunk_count);
    n = get_count(r, CSL_PRG_CHUNK_WORDS);
    a->words = CSL_SPAN(csl_secagg__take_array(r, n, 8), (size_t)8 * n);
}

/* What only some sessions have; false: another type. */
static bool read_rare(struct csl_secagg_reader *r, struct csl_secagg_message *m)
{
    switch ((int)m->type) {
    case CSL_SECAGG_REVEAL:
        read_reveal(r, &m->u.reveal);
        return true;
    case CSL_SECAGG_SEEDS:
        read_seeds(r, &m->u.seeds);
        return true;
    case CSL_SECAGG_EPOCH_COMMIT:
    case CSL_SECAGG_EPOCH_REVEAL:
        csl_secagg__get(r, m->u.epoch.value, 32);
        return true;
    case CSL_SECAGG_AUDIT:
        read_audit(r, &m->u.audit);
        return true;
    case CSL_SECAGG_AUDITED:
    case CSL_SECAGG_SPARSE_AUDITED:
        read_audited(r, m->type == CSL_SECAGG_SPARSE_AUDITED, &m->u.audited);
        return true;
    case CSL_SECAGG_AUDIT_UPLOAD:
        read_audit_upload(r, m);
        return true;
    default:
        return false;
    }
}

static void read_body(struct csl_secagg_reader *r, struct csl_secagg_message *m)
{
    switch ((int)m->type) {
    case CSL_SECAGG_ADVERTISE:
        read_advertise(r, &m->u.advertise);
        break;
    case CSL_SECAGG_ROUND_KEYS:
        read_round_keys(r, m);
        break;
    case CSL_SECAGG_SHARES:
    case CSL_SECAGG_SPARSE_SHARES:
        read_commitments(r, m->type == CSL_SECAGG_SPARSE_SHARES, &m->u.shares);
        break;
    case CSL_SECAGG_DELIVERY:
    case CSL_SECAGG_SPARSE_DELIVERY:
        read_delivery(r, m);
        break;
    case CSL_SECAGG_ACK:
        read_ack(r, &m->u.ack);
        break;
    case CSL_SECAGG_READY:
        m->u.ready.block_count = get_blocks(r);
        csl_secagg__get_set(r, m->u.ready.block_count, &m->u.ready.blocks);
        break;
    case CSL_SECAGG_SENDERS:
    case CSL_SECAGG_SPARSE_SENDERS:
        read_senders(r, m);
        break;
    case CSL_SECAGG_MANIFEST:
        read_manifest(r, &m->u.manifest);
        break;
    case CSL_SECAGG_SURVIVORS:
        read_survivors(r, &m->u.survivors);
        break;
    case CSL_SECAGG_VOTE:
        read_vote(r, &m->u.vote);
        break;
    case CSL_SECAGG_QUORUM:
        csl_secagg__get(r, m->u.votes.transcript, 32);
        read_votes(r, &m->u.votes);
        break;
    case CSL_SECAGG_UNMASK:
        read_unmask(r, &m->u.unmask);
        break;
    case CSL_SECAGG_RESULT:
        read_result(r, &m->u.result);
        break;
    case CSL_SECAGG_DISPUTE:
        read_dispute(r, m);
        break;
    case CSL_SECAGG_OPENING:
        read_opening(r, &m->u.opening);
        break;
    case CSL_SECAGG_GIVE_UP:
        break;
    case CSL_SECAGG_ABANDONED:
        read_votes(r, &m->u.votes);
        break;
    default:
        if (!read_rare(r, m))
            csl_secagg__fault(r, "an unknown type");
        break;
    }
}

enum csl_code csl_secagg_decode(struct csl_secagg_message *out, struct csl_span bytes,
                                struct csl_err *err)
{
    if (bytes.n > CSL_SECAGG_MESSAGE_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "a message of %zu bytes; at most %d", bytes.n,
                        CSL_SECAGG_MESSAGE_BYTES_MAX);
    struct csl_secagg_reader r = {.bytes = bytes};
    struct csl_secagg_message m = {.whole = bytes};
    read_header(&r, &m);
    read_body(&r, &m);
    m.body = CSL_SPAN(bytes.p, r.at);
    if (!is_carrier(m.type))
        m.signature = csl_secagg__take(&r, CSL_SIGN_SIGNATURE_BYTES);
    bool is_sparse = m.type == CSL_SECAGG_SPARSE_SHARES;
    if (m.type == CSL_SECAGG_SHARES || is_sparse) {
        m.u.shares.sealed_count = get_count(&r, CSL_SECAGG_SITES_MAX);
        m.u.shares.sealed =
            csl_secagg__take_array(&r, m.u.shares.sealed_count, sealed_bytes(is_sparse));
    }
    enum csl_code code = csl_secagg__end(&r, "a message", err);
    if (code == CSL_OK)
        *out = m;
    return code;
}

bool csl_secagg_is_signed(const struct csl_secagg_message *m,
                          const uint8_t key[CSL_SIGN_PUBLIC_BYTES])
{
    return m->signature != NULL && csl_secagg__verify(key, m->type, m->body, m->signature);
}

static void part(struct csl_secagg_message *out, const uint8_t *p, size_t n)
{
    enum csl_code code = csl_secagg_decode(out, CSL_SPAN(p, n), NULL);
    CSL_ASSERT(code == CSL_OK); /* the decoder of the whole saw to it */
}

void csl_secagg_advertised_at(const struct csl_secagg_round_keys *k, uint32_t place,
                              struct csl_secagg_message *out)
{
    CSL_ASSERT(place < k->count);
    part(out, k->advertised + (size_t)place * CSL_SECAGG_ADVERTISE_BYTES,
         CSL_SECAGG_ADVERTISE_BYTES);
}

void csl_secagg_opening_at(const struct csl_secagg_senders *s, uint32_t index,
                           struct csl_secagg_message *out)
{
    CSL_ASSERT(index < s->opening_count);
    part(out, s->openings + (size_t)index * csl_secagg_opening_bytes(), csl_secagg_opening_bytes());
}

void csl_secagg_delivery_at(const struct csl_secagg_message *delivery, uint32_t index,
                            struct csl_secagg_message *out)
{
    const struct csl_secagg_delivery *d = &delivery->u.delivery;
    CSL_ASSERT(index < d->count);
    bool is_sparse = delivery->type == CSL_SECAGG_SPARSE_DELIVERY;
    size_t bytes = dealer_bytes(d->threshold, is_sparse);
    struct csl_secagg_reader r = {.bytes = CSL_SPAN(d->dealers + index * bytes, bytes)};
    struct csl_secagg_message m = {.whole = r.bytes};
    read_header(&r, &m);
    read_commitments(&r, is_sparse, &m.u.shares);
    m.body = CSL_SPAN(r.bytes.p, r.at);
    m.signature = csl_secagg__take(&r, CSL_SIGN_SIGNATURE_BYTES);
    m.u.shares.sealed_count = 1;
    m.u.shares.sealed = csl_secagg__take(&r, sealed_bytes(is_sparse));
    enum csl_code code = csl_secagg__end(&r, "a dealer", NULL);
    CSL_ASSERT(code == CSL_OK);
    *out = m;
}

void csl_secagg_audit_at(const struct csl_secagg_audit_request *a, uint32_t index, uint32_t *block,
                         uint32_t *chunk)
{
    CSL_ASSERT(index < a->count);
    *block = csl_load_le32(a->chunks + (size_t)8 * index);
    *chunk = csl_load_le32(a->chunks + (size_t)8 * index + 4);
}

void csl_secagg_block_set(const uint8_t *block_bits, uint32_t count, uint32_t block,
                          struct csl_secagg_set *out)
{
    size_t bytes = csl_secagg_set_bytes(count);
    memset(out, 0, sizeof(*out));
    memcpy(out->bits, block_bits + block * bytes, bytes);
}
