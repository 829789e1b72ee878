#include "tests/unit/secagg/audited.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void hash_chunks(const struct world *w, uint32_t block, const uint64_t *words,
                        uint8_t hashes[AUDITED_CHUNKS_MAX][32], uint8_t root[32])
{
    uint32_t chunks = csl_secagg_block_chunks(&w->config, block);
    assert_true(chunks <= AUDITED_CHUNKS_MAX);
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

void audited_release_plan(struct audited *a, const struct world_plan *plan, uint64_t entries)
{
    struct csl_secagg_masks *masks;
    struct csl_prg *prg;
    memset(a, 0, sizeof(*a));
    world_make(&a->w, 51, plan);
    a->w.config.blocks[0].lane_bits = 64;
    a->w.config.blocks[0].entries = entries;
    world_train(&a->w);
    world_open(&a->w, 1, 1);
    world_run_to(&a->w, CSL_SECAGG_STAGE_UPLOADING);
    a->w.sites[AUDITED_LOST].is_dead = true;
    world_run_to(&a->w, CSL_SECAGG_STAGE_VOTING);
    world_run(&a->w);
    assert_int_equal(csl_secagg_coordinator_masks(a->w.coordinator, &masks, NULL), CSL_OK);
    assert_int_equal(csl_prg_new(&prg, NULL), CSL_OK);
    for (uint32_t b = 0; b < AUDITED_BLOCKS; b++)
        sum_block(a, masks, prg, b);
    csl_prg_free(prg);
    csl_secagg_masks_free(masks);
}

void audited_release_with(struct audited *a, uint32_t n, uint32_t colluding, uint64_t entries)
{
    const struct world_plan plan = {
        .n = n, .colluding = colluding, .blocks = 2, .scalars = 2, .entries_max = 30};
    audited_release_plan(a, &plan, entries);
}

void audited_release(struct audited *a, uint32_t n, uint64_t entries)
{
    audited_release_with(a, n, 1, entries);
}

void audited_publish(struct audited *a)
{
    struct world *w = &a->w;
    uint8_t model[32] = {9};
    for (uint32_t b = 0; b < AUDITED_BLOCKS; b++)
        hash_chunks(w, b, a->sum[b], a->hashes[b], a->roots[b]);
    csl_secagg_result_root(a->roots[0], AUDITED_BLOCKS, a->result_root);
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
        if (w->journal.items[i].record == CSL_SECAGG_CJ_DECISION && bytes.p[0] != CSL_SECAGG_SEEDS)
            *next[decisions++] = bytes;
    }
    assert_int_equal(decisions, 3);
}

void audited_make(struct audited *a, uint32_t n, uint64_t entries)
{
    audited_release(a, n, entries);
    audited_publish(a);
}

void audited_unmake(struct audited *a)
{
    for (uint32_t b = 0; b < AUDITED_BLOCKS; b++)
        csl_free(a->sum[b]);
    csl_msg_release(&a->result);
    world_remove(&a->w);
}

struct csl_msg audited_answer(const struct audited *a, uint32_t block, uint32_t chunk)
{
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    assert_int_equal(csl_secagg_coordinator_audit_answer(a->w.coordinator, block, chunk,
                                                         a->roots[0], a->hashes[block][0], &out,
                                                         NULL),
                     CSL_OK);
    return csl_buf_take(&out);
}

enum csl_code audited_serve(const struct audited *a, uint32_t index, uint32_t block, uint32_t chunk,
                            const uint64_t *words, struct csl_msg *out)
{
    struct csl_buf bytes;
    uint8_t hashes[AUDITED_CHUNKS_MAX][32], root[32];
    csl_buf_init(&bytes, CSL_SECAGG_MESSAGE_BYTES_MAX);
    hash_chunks(&a->w, block, words, hashes, root);
    enum csl_code code = csl_secagg_coordinator_audit_upload(
        a->w.coordinator, a->w.sites[index].id, block, chunk, hashes[0],
        words + (size_t)chunk * CSL_PRG_CHUNK_WORDS, &bytes, NULL);
    *out = csl_buf_take(&bytes);
    return code;
}

struct csl_msg audited_upload(const struct audited *a, uint32_t index, uint32_t block,
                              uint32_t chunk)
{
    struct csl_msg out;
    assert_int_equal(audited_serve(a, index, block, chunk, a->w.received[index].block[block], &out),
                     CSL_OK);
    return out;
}

struct csl_secagg_audit *audited_begin(const struct audited *a, uint32_t block, uint32_t chunk)
{
    struct csl_secagg_audit *audit;
    struct csl_err err;
    assert_int_equal(csl_secagg_audit_new(&audit, &a->session, block, chunk, &err), CSL_OK);
    return audit;
}

enum csl_code audited_give(struct csl_secagg_audit *audit, struct csl_msg m)
{
    struct csl_err err;
    enum csl_code code = csl_secagg_audit_take(audit, csl_msg_span(&m), &err);
    csl_msg_release(&m);
    return code;
}

enum csl_code audited_verify(const struct audited *a, uint32_t block, uint32_t chunk)
{
    struct csl_secagg_audit *audit = audited_begin(a, block, chunk);
    assert_int_equal(audited_give(audit, audited_answer(a, block, chunk)), CSL_OK);
    for (uint32_t i = 0; i < a->w.n; i++)
        if (i != AUDITED_LOST)
            assert_int_equal(audited_give(audit, audited_upload(a, i, block, chunk)), CSL_OK);
    enum csl_code code = csl_secagg_audit_finish(audit, NULL);
    csl_secagg_audit_free(audit);
    return code;
}
