#include "base/check.h"
#include "base/mem.h"
#include "tests/unit/secagg/world.h"

void world_mask(struct world_site *s)
{
    const struct csl_secagg_config *c = csl_secagg_site_config(s->machine);
    struct csl_secagg_masks *masks;
    struct csl_prg *prg;
    if (csl_secagg_site_masks(s->machine, &masks, NULL) != CSL_OK)
        return; /* too late: the file stays as it is */
    CSL_ASSERT(csl_prg_new(&prg, NULL) == CSL_OK);
    words_free(&s->file);
    memset(&s->masked, 0, sizeof(s->masked));
    s->masked.block_count = csl_secagg_block_total(c);
    for (uint32_t b = 0; b < s->masked.block_count; b++) {
        if (b < c->block_count && !csl_secagg_set_has(&s->blocks, b))
            continue;
        uint64_t words = csl_secagg_block_words(c, b);
        uint64_t *p = csl_alloc_array(words, sizeof(*p));
        struct csl_secagg_root root;
        CSL_ASSERT(p != NULL);
        memcpy(p, s->x.block[b], words * sizeof(*p));
        csl_secagg_root_init(&root);
        for (uint64_t chunk = 0, at = 0; at < words; chunk++, at += CSL_PRG_CHUNK_WORDS) {
            size_t n = words - at < CSL_PRG_CHUNK_WORDS ? (size_t)(words - at)
                                                        : (size_t)CSL_PRG_CHUNK_WORDS;
            CSL_ASSERT(csl_secagg_masks_apply(masks, prg, b, csl_secagg_block_id(c, b), chunk,
                                              p + at, n, NULL) == CSL_OK);
            csl_secagg_root_add(&root, p + at, n);
        }
        s->file.block[b] = p;
        s->masked.blocks[b].entries = csl_secagg_block_entries(c, b);
        s->masked.blocks[b].chunks = csl_secagg_block_chunks(c, b);
        csl_secagg_root_final(&root, s->masked.blocks[b].root);
    }
    csl_prg_free(prg);
    csl_secagg_masks_free(masks);
}

void world_upload(struct world *w, uint32_t index)
{
    const struct world_site *s = &w->sites[index];
    words_free(&w->received[index]);
    for (uint32_t b = 0; b < csl_secagg_block_total(&w->config); b++) {
        uint64_t words = csl_secagg_block_words(&w->config, b);
        if (s->file.block[b] == NULL)
            continue;
        w->received[index].block[b] = csl_alloc_array(words, sizeof(uint64_t));
        CSL_ASSERT(w->received[index].block[b] != NULL);
        memcpy(w->received[index].block[b], s->file.block[b], words * sizeof(uint64_t));
        if (w->records_traffic)
            csl_buf_append(&w->traffic, s->file.block[b], words * sizeof(uint64_t));
    }
}

/* (I6): the released sum against the plain sum of the survivors' updates, bit for bit. */
static bool block_is_exact(struct world *w, const struct csl_secagg_masks *masks,
                           struct csl_prg *prg, uint32_t b)
{
    uint64_t words = csl_secagg_block_words(&w->config, b);
    uint64_t *sum = csl_alloc_array(words, sizeof(*sum));
    uint64_t *plain = csl_alloc_array(words, sizeof(*plain));
    bool is_sent = false;
    CSL_ASSERT(sum != NULL && plain != NULL);
    for (uint32_t i = 0; i < w->n; i++) {
        if (!csl_secagg_coordinator_is_in_block(w->coordinator, w->sites[i].id, b))
            continue;
        is_sent = true;
        for (uint64_t k = 0; k < words; k++) { /* modulo 2^64 */
            sum[k] += w->received[i].block[b][k];
            plain[k] += w->sites[i].x.block[b][k];
        }
    }
    for (uint64_t chunk = 0, at = 0; is_sent && at < words; chunk++, at += CSL_PRG_CHUNK_WORDS) {
        size_t n =
            words - at < CSL_PRG_CHUNK_WORDS ? (size_t)(words - at) : (size_t)CSL_PRG_CHUNK_WORDS;
        CSL_ASSERT(csl_secagg_masks_apply(masks, prg, b, csl_secagg_block_id(&w->config, b), chunk,
                                          sum + at, n, NULL) == CSL_OK);
    }
    bool is_exact = memcmp(sum, plain, words * sizeof(*sum)) == 0;
    csl_free(sum);
    csl_free(plain);
    return is_exact;
}

bool world_sum_is_exact(struct world *w)
{
    struct csl_secagg_masks *masks;
    struct csl_prg *prg;
    bool is_exact = true;
    if (csl_secagg_coordinator_masks(w->coordinator, &masks, NULL) != CSL_OK)
        return false;
    CSL_ASSERT(csl_prg_new(&prg, NULL) == CSL_OK);
    for (uint32_t b = 0; b < csl_secagg_block_total(&w->config); b++)
        is_exact = is_exact && block_is_exact(w, masks, prg, b);
    csl_prg_free(prg);
    csl_secagg_masks_free(masks);
    uint8_t root[32] = {1}, model[32];
    csl_rng_bytes(&w->rng, model, sizeof(model));
    struct csl_secagg_coordinator_event ev = {
        .kind = CSL_SECAGG_CE_RESULT, .result_root = root, .model_hash = model};
    if (csl_secagg_coordinator_stage(w->coordinator) == CSL_SECAGG_STAGE_RELEASED)
        (void)world_step_coordinator(w, &ev);
    return is_exact;
}
