/* M14: whoever alters the sum, an upload or a secret is caught; and nothing is served but what was
 * promised (pitfall 51 of the design). */
#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/audit.h"
#include "tests/unit/secagg/attack.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { BLOCKS = 3, CHUNKS_MAX = 8, LOST = 2 };

/* A whole attempt in which site LOST vanishes while uploading; blocks 0 and 1, and the scalars. */
struct audited {
    struct world w;
    uint64_t *sum[BLOCKS]; /* as published */
    uint8_t hashes[BLOCKS][CHUNKS_MAX][32], roots[BLOCKS][32], result_root[32];
    struct csl_msg result;
    struct csl_secagg_audit_session session;
};

static void hash_chunks(const struct world *w, uint32_t block, const uint64_t *words,
                        uint8_t hashes[CHUNKS_MAX][32], uint8_t root[32])
{
    uint32_t chunks = csl_secagg_block_chunks(&w->config, block);
    assert_true(chunks <= CHUNKS_MAX);
    for (uint32_t c = 0; c < chunks; c++)
        csl_sha256_digest(words + (size_t)c * CSL_PRG_CHUNK_WORDS,
                          csl_secagg_chunk_words(&w->config, block, c) * sizeof(*words), hashes[c]);
    csl_secagg_root_of(hashes[0], chunks, root);
}

static void sum_block(struct audited *a, const struct csl_secagg_masks *masks, struct csl_prg *prg,
                      uint32_t b)
{
    struct world *w = &a->w;
    uint64_t words = csl_secagg_block_words(&w->config, b);
    a->sum[b] = csl_alloc_array(words, sizeof(uint64_t));
    assert_non_null(a->sum[b]);
    for (uint32_t i = 0; i < w->n; i++)
        for (uint64_t k = 0;
             k < words && csl_secagg_coordinator_is_in_block(w->coordinator, w->sites[i].id, b);
             k++)
            a->sum[b][k] += w->received[i].block[b][k];
    for (uint32_t c = 0; c < csl_secagg_block_chunks(&w->config, b); c++)
        assert_int_equal(csl_secagg_masks_apply(masks, prg, b, csl_secagg_block_id(&w->config, b),
                                                c, a->sum[b] + (size_t)c * CSL_PRG_CHUNK_WORDS,
                                                csl_secagg_chunk_words(&w->config, b, c), NULL),
                         CSL_OK);
}

/* To RELEASED, with the sum opened as a coordinator does. */
static void release(struct audited *a, uint32_t n, uint64_t entries)
{
    const struct world_plan plan = {
        .n = n, .colluding = 1, .blocks = 2, .scalars = 2, .entries_max = 30};
    struct csl_secagg_masks *masks;
    struct csl_prg *prg;
    memset(a, 0, sizeof(*a));
    world_make(&a->w, 51, &plan);
    a->w.config.blocks[0].lane_bits = 64;
    a->w.config.blocks[0].entries = entries;
    world_train(&a->w);
    world_open(&a->w, 1, 1);
    world_run_to(&a->w, CSL_SECAGG_STAGE_UPLOADING);
    a->w.sites[LOST].is_dead = true;
    world_run_to(&a->w, CSL_SECAGG_STAGE_VOTING);
    world_run(&a->w);
    assert_int_equal(csl_secagg_coordinator_masks(a->w.coordinator, &masks, NULL), CSL_OK);
    assert_int_equal(csl_prg_new(&prg, NULL), CSL_OK);
    for (uint32_t b = 0; b < BLOCKS; b++)
        sum_block(a, masks, prg, b);
    csl_prg_free(prg);
    csl_secagg_masks_free(masks);
}

/* Publishes a->sum, true or not. */
static void publish(struct audited *a)
{
    struct world *w = &a->w;
    uint8_t model[32] = {9};
    for (uint32_t b = 0; b < BLOCKS; b++)
        hash_chunks(w, b, a->sum[b], a->hashes[b], a->roots[b]);
    csl_secagg_result_root(a->roots[0], BLOCKS, a->result_root);
    const struct csl_secagg_coordinator_event ev = {
        .kind = CSL_SECAGG_CE_RESULT, .result_root = a->result_root, .model_hash = model};
    assert_int_equal(world_step_coordinator(w, &ev), CSL_OK);
    const struct parcel *p = attack_find(w, CSL_SECAGG_RESULT, w->sites[0].id);
    assert_non_null(p);
    assert_int_equal(csl_msg_copy(&a->result, csl_msg_span(&p->bytes), NULL), CSL_OK);
    a->session =
        (struct csl_secagg_audit_session){.roster = &w->roster, .result = csl_msg_span(&a->result)};
    struct csl_span *next[] = {&a->session.keys, &a->session.senders, &a->session.survivors};
    uint32_t decisions = 0;
    for (uint32_t i = 0; i < w->journal.count; i++) {
        struct csl_span bytes = csl_msg_span(&w->journal.items[i].bytes);
        if (w->journal.items[i].record == CSL_SECAGG_CJ_OPEN)
            a->session.config = bytes;
        if (w->journal.items[i].record == CSL_SECAGG_CJ_DECISION)
            *next[decisions++] = bytes;
    }
    assert_int_equal(decisions, 3);
}

static void make(struct audited *a, uint32_t n, uint64_t entries)
{
    release(a, n, entries);
    publish(a);
}

static void unmake(struct audited *a)
{
    for (uint32_t b = 0; b < BLOCKS; b++)
        csl_free(a->sum[b]);
    csl_msg_release(&a->result);
    world_remove(&a->w);
}

static struct csl_msg answer(const struct audited *a, uint32_t block, uint32_t chunk)
{
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    assert_int_equal(csl_secagg_coordinator_audit_answer(a->w.coordinator, block, chunk,
                                                         a->roots[0], a->hashes[block][0], &out,
                                                         NULL),
                     CSL_OK);
    return csl_buf_take(&out);
}

static enum csl_code serve(const struct audited *a, uint32_t index, uint32_t block, uint32_t chunk,
                           const uint64_t *words, struct csl_msg *out)
{
    struct csl_buf bytes;
    uint8_t hashes[CHUNKS_MAX][32], root[32];
    csl_buf_init(&bytes, CSL_SECAGG_MESSAGE_BYTES_MAX);
    hash_chunks(&a->w, block, words, hashes, root);
    enum csl_code code = csl_secagg_coordinator_audit_upload(
        a->w.coordinator, a->w.sites[index].id, block, chunk, hashes[0],
        words + (size_t)chunk * CSL_PRG_CHUNK_WORDS, &bytes, NULL);
    *out = csl_buf_take(&bytes);
    return code;
}

static struct csl_msg upload(const struct audited *a, uint32_t index, uint32_t block,
                             uint32_t chunk)
{
    struct csl_msg out;
    assert_int_equal(serve(a, index, block, chunk, a->w.received[index].block[block], &out),
                     CSL_OK);
    return out;
}

static struct csl_secagg_audit *begin(const struct audited *a, uint32_t block, uint32_t chunk)
{
    struct csl_secagg_audit *audit;
    struct csl_err err;
    assert_int_equal(csl_secagg_audit_new(&audit, &a->session, block, chunk, &err), CSL_OK);
    return audit;
}

static enum csl_code give(struct csl_secagg_audit *audit, struct csl_msg m)
{
    struct csl_err err;
    enum csl_code code = csl_secagg_audit_take(audit, csl_msg_span(&m), &err);
    csl_msg_release(&m);
    return code;
}

/* The whole audit of a chunk, by the honest API. */
static enum csl_code verify(const struct audited *a, uint32_t block, uint32_t chunk)
{
    struct csl_secagg_audit *audit = begin(a, block, chunk);
    assert_int_equal(give(audit, answer(a, block, chunk)), CSL_OK);
    for (uint32_t i = 0; i < a->w.n; i++)
        if (i != LOST)
            assert_int_equal(give(audit, upload(a, i, block, chunk)), CSL_OK);
    enum csl_code code = csl_secagg_audit_finish(audit, NULL);
    csl_secagg_audit_free(audit);
    return code;
}

static void test_secagg_audit__honest_coordinator__every_chunk_passes(void **state)
{
    struct audited a;
    (void)state;
    make(&a, 5, 2 * CSL_PRG_CHUNK_WORDS + 5);
    for (uint32_t b = 0; b < BLOCKS; b++)
        for (uint32_t c = 0; c < csl_secagg_block_chunks(&a.w.config, b); c++)
            assert_int_equal(verify(&a, b, c), CSL_OK);
    unmake(&a);
}

/* The session is the one that a restarted coordinator serves, too. */
static void test_secagg_audit__coordinator_restarted__it_serves_the_same(void **state)
{
    struct audited a;
    (void)state;
    make(&a, 5, 3);
    struct csl_msg before = answer(&a, 0, 0);
    world_restart_coordinator(&a.w);
    struct csl_msg after = answer(&a, 0, 0);
    assert_true(csl_span_equal(csl_msg_span(&before), csl_msg_span(&after)));
    csl_msg_release(&before);
    csl_msg_release(&after);
    unmake(&a);
}

static void test_secagg_audit__one_word_of_the_sum_altered__that_chunk_is_caught(void **state)
{
    struct audited a;
    (void)state;
    release(&a, 5, 2 * CSL_PRG_CHUNK_WORDS + 5);
    a.sum[0][CSL_PRG_CHUNK_WORDS + 77] ^= 1;
    publish(&a);
    assert_int_equal(verify(&a, 0, 0), CSL_OK);
    assert_int_equal(verify(&a, 0, 1), CSL_E_CORRUPT);
    assert_int_equal(verify(&a, 0, 2), CSL_OK);
    assert_int_equal(verify(&a, 2, 0), CSL_OK);
    unmake(&a);
}

/* 2 of 8 chunks altered: of all pairs of chunks that an auditor may draw, those with an altered one
 * are caught; the share of them is not below 1 - (1 - f)^a with f = 1/4, a = 2. Exact, all pairs.
 */
static void test_secagg_audit__fraction_altered__detection_as_promised(void **state)
{
    struct audited a;
    bool is_caught[8];
    uint32_t caught = 0, pairs = 0;
    (void)state;
    release(&a, 4, 8 * CSL_PRG_CHUNK_WORDS);
    a.sum[0][1 * CSL_PRG_CHUNK_WORDS] += 1;
    a.sum[0][6 * CSL_PRG_CHUNK_WORDS + 3] += 1;
    publish(&a);
    for (uint32_t c = 0; c < 8; c++) {
        is_caught[c] = verify(&a, 0, c) == CSL_E_CORRUPT;
        assert_true(is_caught[c] == (c == 1 || c == 6));
    }
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t j = 0; j < i; j++, pairs++)
            caught += is_caught[i] || is_caught[j] ? 1 : 0;
    assert_true(16 * caught >= (16 - 9) * pairs);
    unmake(&a);
}

/* ---- what a coordinator may try in its answers ---- */

static void test_secagg_audit__altered_upload__caught(void **state)
{
    struct audited a;
    struct csl_msg m, forged;
    (void)state;
    make(&a, 5, 3);
    a.w.received[1].block[0][2] += 1; /* its own side of the API does not even serve it */
    assert_int_equal(serve(&a, 1, 0, 0, a.w.received[1].block[0], &m), CSL_E_INVAL);
    a.w.received[1].block[0][2] -= 1;
    struct csl_secagg_audit *audit = begin(&a, 0, 0);
    assert_int_equal(give(audit, answer(&a, 0, 0)), CSL_OK);
    m = upload(&a, 1, 0, 0);
    struct csl_secagg_message view = attack_view(&m);
    uint64_t words[3];
    uint8_t hash[32];
    memcpy(words, view.u.audit_upload.words.p, sizeof(words));
    words[2] += 1;
    view.u.audit_upload.words = CSL_SPAN((const uint8_t *)words, sizeof(words));
    assert_int_equal(give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    csl_sha256_digest(words, sizeof(words), hash); /* with the hash of what it became */
    view.u.audit_upload.hashes = hash;
    assert_int_equal(give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    struct csl_secagg_message manifest; /* and with a manifest that fits, signed by the site */
    assert_int_equal(csl_secagg_decode(&manifest, view.u.audit_upload.manifest, NULL), CSL_OK);
    csl_secagg_root_of(hash, 1, manifest.u.manifest.blocks[0].root);
    forged = attack_forge(&manifest, &a.w.sites[1].key);
    view.u.audit_upload.manifest = csl_msg_span(&forged);
    assert_int_equal(give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    csl_msg_release(&forged);
    csl_msg_release(&m);
    csl_secagg_audit_free(audit);
    unmake(&a);
}

enum { MEMBERS = 5 };

/* An answer with other secrets or commitments. */
static enum csl_code give_secrets(const struct audited *a, const struct csl_scalar *secrets,
                                  const struct csl_point *commitments)
{
    struct csl_secagg_audit *audit = begin(a, 0, 0);
    struct csl_msg m = answer(a, 0, 0);
    struct csl_secagg_message view = attack_view(&m);
    view.u.audited.secrets = secrets;
    view.u.audited.commitments = commitments;
    enum csl_code code = give(audit, attack_forge(&view, NULL));
    assert_int_equal(csl_secagg_audit_finish(audit, NULL), CSL_E_STATE); /* nothing was taken */
    csl_msg_release(&m);
    csl_secagg_audit_free(audit);
    return code;
}

static void test_secagg_audit__swapped_or_wrong_secrets__caught(void **state)
{
    struct audited a;
    struct csl_scalar secrets[MEMBERS], other;
    struct csl_point commitments[MEMBERS * 2 * MEMBERS];
    uint8_t z[32] = {3};
    (void)state;
    make(&a, MEMBERS, 3);
    struct csl_msg m = answer(&a, 0, 0);
    const struct csl_secagg_message view = attack_view(&m);
    const struct csl_secagg_audited *k = &view.u.audited;
    assert_int_equal(k->count, MEMBERS); /* U2, the lost one too */
    size_t points = (size_t)2 * k->threshold;
    assert_int_equal(csl_scalar_derive(z, "b", 0, &other, NULL), CSL_OK);
    memcpy(secrets, k->secrets, sizeof(secrets));
    memcpy(commitments, k->commitments, sizeof(*commitments) * points * MEMBERS);

    secrets[0] = k->secrets[1]; /* b of two survivors */
    secrets[1] = k->secrets[0];
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    memcpy(secrets, k->secrets, sizeof(secrets));
    secrets[LOST] = other; /* s of the lost site */
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    memset(&secrets[LOST], 0xff, 32); /* not canonical */
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    memset(&secrets[LOST], 0, 32);
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    /* A secret with a commitment to it: not the one that T binds. */
    memcpy(secrets, k->secrets, sizeof(secrets));
    secrets[3] = other;
    assert_int_equal(csl_point_base(&other, &commitments[3 * points], NULL), CSL_OK);
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    csl_msg_release(&m);
    unmake(&a);
}

static void test_secagg_audit__other_roots_than_announced__caught(void **state)
{
    struct audited a;
    struct csl_buf out;
    uint8_t hashes[CHUNKS_MAX][32];
    (void)state;
    make(&a, 5, 2 * CSL_PRG_CHUNK_WORDS);
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    memcpy(hashes, a.hashes[0], sizeof(hashes));
    hashes[1][0] ^= 1;
    assert_int_equal(csl_secagg_coordinator_audit_answer(a.w.coordinator, 0, 0, a.roots[0],
                                                         hashes[0], &out, NULL),
                     CSL_E_INVAL);
    csl_buf_release(&out);
    struct csl_msg m = answer(&a, 0, 0);
    struct csl_secagg_message view = attack_view(&m);
    uint8_t roots[BLOCKS][32];
    memcpy(roots, a.roots, sizeof(roots));
    csl_secagg_root_of(hashes[0], 2, roots[0]);
    view.u.audited.hashes = hashes[0];
    struct csl_secagg_audit *audit = begin(&a, 0, 0);
    assert_int_equal(give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    view.u.audited.roots = roots[0]; /* consistent in itself, but not what M13 says */
    assert_int_equal(give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    csl_secagg_audit_free(audit);
    csl_msg_release(&m);
    unmake(&a);
}

static void test_secagg_audit__answer_incomplete_or_of_another_chunk__refused(void **state)
{
    struct audited a;
    (void)state;
    make(&a, 5, CSL_PRG_CHUNK_WORDS + 1);
    struct csl_secagg_audit *audit = begin(&a, 0, 1);
    assert_int_equal(give(audit, upload(&a, 0, 0, 1)), CSL_E_STATE); /* before the answer */
    assert_int_equal(give(audit, answer(&a, 0, 0)), CSL_E_PROTO);
    assert_int_equal(give(audit, answer(&a, 1, 0)), CSL_E_PROTO);
    assert_int_equal(give(audit, answer(&a, 0, 1)), CSL_OK);
    assert_int_equal(give(audit, answer(&a, 0, 1)), CSL_E_STATE);
    assert_int_equal(give(audit, upload(&a, 0, 0, 0)), CSL_E_PROTO);
    assert_int_equal(give(audit, upload(&a, 0, 0, 1)), CSL_OK);
    assert_int_equal(give(audit, upload(&a, 0, 0, 1)), CSL_E_STATE); /* twice */
    assert_int_equal(give(audit, upload(&a, 1, 0, 1)), CSL_OK);
    assert_int_equal(give(audit, upload(&a, 3, 0, 1)), CSL_OK);
    assert_int_equal(csl_secagg_audit_finish(audit, NULL), CSL_E_STATE); /* one is missing */
    assert_int_equal(give(audit, upload(&a, 4, 0, 1)), CSL_OK);
    assert_int_equal(csl_secagg_audit_finish(audit, NULL), CSL_OK);
    csl_secagg_audit_free(audit);
    unmake(&a);
}

/* ---- the session that an auditor starts from ---- */

static void test_secagg_audit__messages_of_no_one_session__refused(void **state)
{
    struct audited a;
    struct csl_secagg_audit *audit;
    struct csl_err err;
    (void)state;
    make(&a, 5, 3);
    assert_int_equal(csl_secagg_audit_new(&audit, &a.session, 0, 1, &err), CSL_E_INVAL);
    assert_int_equal(csl_secagg_audit_new(&audit, &a.session, BLOCKS, 0, &err), CSL_E_INVAL);
    struct csl_secagg_message m = attack_view(&a.result);
    struct csl_secagg_audit_session session = a.session;
    m.u.result.quorum.count--; /* below the quorum: 4 survivors are just enough */
    struct csl_msg forged = attack_forge(&m, &a.w.coordinator_key);
    session.result = csl_msg_span(&forged);
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_CRYPTO);
    csl_msg_release(&forged);
    m = attack_view(&a.result); /* another sum, signed by a site */
    m.u.result.result_root[0] ^= 1;
    forged = attack_forge(&m, &a.w.sites[0].key);
    session.result = csl_msg_span(&forged);
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_CRYPTO);
    csl_msg_release(&forged);
    m = attack_view(&a.result); /* votes on another transcript */
    m.u.result.quorum.transcript[0] ^= 1;
    forged = attack_forge(&m, &a.w.coordinator_key);
    session.result = csl_msg_span(&forged);
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_PROTO);
    csl_msg_release(&forged);
    session = a.session; /* other survivors give another T */
    assert_int_equal(csl_secagg_decode(&m, a.session.survivors, &err), CSL_OK);
    uint8_t roots[MEMBERS][32];
    memcpy(roots, m.u.survivors.roots, sizeof(roots[0]) * (MEMBERS - 1));
    roots[0][0] ^= 1;
    m.u.survivors.roots = roots[0];
    forged = attack_forge(&m, &a.w.coordinator_key);
    session.survivors = csl_msg_span(&forged);
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_PROTO);
    csl_msg_release(&forged);
    session.survivors = a.session.senders;
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_PROTO);
    unmake(&a);
}

/* ---- requests, and what is never served (51) ---- */

static struct csl_msg request(const struct audited *a, uint32_t index, uint32_t block,
                              uint32_t chunk)
{
    uint8_t chunks[8];
    csl_store_le32(chunks, block);
    csl_store_le32(chunks + 4, chunk);
    struct csl_secagg_message m = {.type = CSL_SECAGG_AUDIT,
                                   .site = a->w.sites[index].id,
                                   .u.audit = {.count = 1, .chunks = chunks}};
    memcpy(m.id, csl_secagg_coordinator_sid(a->w.coordinator), 32);
    return attack_forge(&m, &a->w.sites[index].key);
}

static enum csl_code ask(const struct audited *a, uint32_t from, struct csl_msg m)
{
    struct csl_secagg_message out;
    struct csl_err err;
    enum csl_code code =
        csl_secagg_coordinator_audit_check(a->w.coordinator, from, csl_msg_span(&m), &out, &err);
    csl_msg_release(&m);
    return code;
}

static void test_secagg_pitfall_51__audit_before_the_result__nothing_is_served(void **state)
{
    struct audited a;
    struct csl_buf out;
    struct csl_msg m;
    (void)state;
    release(&a, 5, 3); /* every secret is known to the coordinator already */
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    assert_int_equal(ask(&a, a.w.sites[0].id, request(&a, 0, 0, 0)), CSL_E_STATE);
    assert_int_equal(csl_secagg_coordinator_audit_answer(a.w.coordinator, 0, 0, a.roots[0],
                                                         a.hashes[0][0], &out, NULL),
                     CSL_E_STATE);
    assert_int_equal(serve(&a, 0, 0, 0, a.w.received[0].block[0], &m), CSL_E_STATE);
    assert_int_equal(out.n, 0);
    assert_int_equal(m.n, 0);
    publish(&a);
    assert_int_equal(ask(&a, a.w.sites[0].id, request(&a, 0, 0, 0)), CSL_OK);
    unmake(&a);
}

static void test_secagg_pitfall_51__requests__only_whole_and_signed_ones(void **state)
{
    struct audited a;
    (void)state;
    make(&a, 5, 3);
    uint32_t id = a.w.sites[0].id;
    assert_int_equal(ask(&a, id, request(&a, 0, 0, 0)), CSL_OK);
    assert_int_equal(ask(&a, a.w.sites[LOST].id, request(&a, LOST, 2, 0)), CSL_OK); /* any site */
    assert_int_equal(ask(&a, id, request(&a, 0, 0, 1)), CSL_E_INVAL);
    assert_int_equal(ask(&a, id, request(&a, 0, BLOCKS, 0)), CSL_E_INVAL);
    assert_int_equal(ask(&a, id, request(&a, 1, 0, 0)), CSL_E_UNAUTH);
    struct csl_msg m = request(&a, 0, 0, 0);
    struct csl_secagg_message view = attack_view(&m);
    assert_int_equal(ask(&a, id, attack_forge(&view, &a.w.sites[1].key)), CSL_E_CRYPTO);
    view.id[0] ^= 1;
    assert_int_equal(ask(&a, id, attack_forge(&view, &a.w.sites[0].key)), CSL_E_STATE);
    view.id[0] ^= 1;
    view.site = 4000;
    assert_int_equal(ask(&a, 4000, attack_forge(&view, &a.w.sites[0].key)), CSL_E_DENIED);
    view.site = id;
    view.u.audit.count = 0;
    assert_int_equal(ask(&a, id, attack_forge(&view, &a.w.sites[0].key)), CSL_E_PROTO);
    uint8_t twice[16] = {0}; /* the same chunk twice: not ascending */
    view.u.audit.count = 2;
    view.u.audit.chunks = twice;
    assert_int_equal(ask(&a, id, attack_forge(&view, &a.w.sites[0].key)), CSL_E_PROTO);
    assert_int_equal(world_tell_coordinator(&a.w, id, csl_msg_span(&m)), CSL_E_PROTO);
    csl_msg_release(&m);
    unmake(&a);
}

/* y of U3 only, b of U3, s of the lost: no other secret of any site is in an answer. */
static void test_secagg_pitfall_51__answer__holds_what_was_promised(void **state)
{
    struct audited a;
    struct csl_msg m;
    (void)state;
    make(&a, 5, 3);
    world_upload(&a.w, LOST); /* it came late: its upload is here, and stays here */
    a.w.received[LOST].block[0] = a.w.received[LOST].block[0] != NULL
                                      ? a.w.received[LOST].block[0]
                                      : csl_alloc_array(3, sizeof(uint64_t));
    assert_non_null(a.w.received[LOST].block[0]);
    assert_int_equal(serve(&a, LOST, 0, 0, a.w.received[LOST].block[0], &m), CSL_E_DENIED);
    m = answer(&a, 0, 0);
    const struct csl_secagg_message view = attack_view(&m);
    const struct csl_secagg_audited *k = &view.u.audited;
    assert_int_equal(k->count, MEMBERS);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct csl_point is;
        const struct csl_point *b = k->commitments + (size_t)2 * k->threshold * i;
        assert_int_equal(csl_point_base(&k->secrets[i], &is, NULL), CSL_OK);
        assert_true(csl_point_equal(&is, i == LOST ? b + k->threshold : b));
    }
    /* Nothing else has room in it. */
    size_t fixed = CSL_SECAGG_HEADER_BYTES + 32 + 4 * 6;
    assert_int_equal(m.n,
                     fixed + 32 * MEMBERS + (size_t)64 * MEMBERS * k->threshold + 32 * BLOCKS + 32);
    csl_msg_release(&m);
    unmake(&a);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secagg_audit__honest_coordinator__every_chunk_passes),
        cmocka_unit_test(test_secagg_audit__coordinator_restarted__it_serves_the_same),
        cmocka_unit_test(test_secagg_audit__one_word_of_the_sum_altered__that_chunk_is_caught),
        cmocka_unit_test(test_secagg_audit__fraction_altered__detection_as_promised),
        cmocka_unit_test(test_secagg_audit__altered_upload__caught),
        cmocka_unit_test(test_secagg_audit__swapped_or_wrong_secrets__caught),
        cmocka_unit_test(test_secagg_audit__other_roots_than_announced__caught),
        cmocka_unit_test(test_secagg_audit__answer_incomplete_or_of_another_chunk__refused),
        cmocka_unit_test(test_secagg_audit__messages_of_no_one_session__refused),
        cmocka_unit_test(test_secagg_pitfall_51__audit_before_the_result__nothing_is_served),
        cmocka_unit_test(test_secagg_pitfall_51__requests__only_whole_and_signed_ones),
        cmocka_unit_test(test_secagg_pitfall_51__answer__holds_what_was_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
