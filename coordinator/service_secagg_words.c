/* The words of one round: uploads against their manifests, the sum over the survivors, its mean. */
#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_audit.h"
#include "coordinator/service_secagg_internal.h"

#include "base/check.h"
#include "privacy/secagg/coordinator.h"
#include "privacy/secagg/derive.h"
#include "privacy/secagg/joint.h"
#include "privacy/secagg/scalar.h"

#include <math.h>
#include <string.h>

/* Where block `index` of the list stands in a site's upload, in words; false: not sent. */
static bool find_words(const struct csl_service_secagg *g, uint32_t site, uint32_t index,
                       uint64_t *at)
{
    const struct csl_secagg_manifest *m = &g->manifests[site];
    *at = 0;
    for (uint32_t b = 0; b < index; b++)
        *at += m->blocks[b].entries > 0 ? csl_secagg_block_words(&g->config, b) : 0;
    return index < m->block_count && m->blocks[index].entries > 0;
}

static enum csl_code read_chunk(struct csl_service *s, uint32_t site, uint32_t index,
                                uint64_t chunk, struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    uint64_t at;
    CSL_ASSERT(find_words(g, site, index, &at));
    return csl_blob_read(s->spool, s->io[site].spool,
                         (at + chunk * CSL_PRG_CHUNK_WORDS) * sizeof(uint64_t), (uint8_t *)g->words,
                         csl_secagg_chunk_words(&g->config, index, chunk) * sizeof(uint64_t), err);
}

static enum csl_code check_root(struct csl_service *s, uint32_t site, uint32_t index,
                                struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_secagg_root root;
    uint8_t actual[32];
    enum csl_code code = CSL_OK;
    csl_secagg_root_init(&root);
    for (uint32_t c = 0; code == CSL_OK && c < csl_secagg_block_chunks(&g->config, index); c++) {
        code = read_chunk(s, site, index, c, err);
        csl_secagg_root_add(&root, g->words, csl_secagg_chunk_words(&g->config, index, c));
    }
    csl_secagg_root_final(&root, actual);
    if (code == CSL_OK && memcmp(actual, g->manifests[site].blocks[index].root, 32) != 0)
        code = CSL_FAIL(err, CSL_E_INVAL, "block %u is not the one the manifest promised", index);
    return code;
}

enum csl_code csl_service_secagg_received__(struct csl_service *s, uint32_t site,
                                            struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    const struct csl_secagg_manifest *m = &g->manifests[site];
    uint64_t words = 0, at;
    if (s->config.is_unmasked)
        csl_service_secagg_promise__(s, site);
    if ((g->fsm == NULL && !s->config.is_unmasked) || m->block_count == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "a masked update without a manifest");
    if (g->fsm != NULL && csl_secagg_coordinator_stage(g->fsm) != CSL_SECAGG_STAGE_UPLOADING &&
        !csl_secagg_coordinator_is_survivor(g->fsm, csl_service_secagg_number__(s, site)))
        return CSL_FAIL(err, CSL_E_STATE, "a masked update that is late");
    for (uint32_t b = 0; b < m->block_count; b++)
        words += m->blocks[b].entries > 0 ? csl_secagg_block_words(&g->config, b) : 0;
    if (words * sizeof(uint64_t) != csl_coord_site(s->core, site)->update.bytes_total)
        return CSL_FAIL(err, CSL_E_INVAL, "a masked update with other blocks than its manifest");
    if (s->config.is_unmasked)
        return CSL_OK;
    for (uint32_t b = 0; b < m->block_count; b++) {
        enum csl_code code = find_words(g, site, b, &at) ? check_root(s, site, b, err) : CSL_OK;
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

void csl_service_secagg_held__(struct csl_service *s, uint32_t site)
{
    struct csl_err err = {.code = CSL_OK};
    if (s->failure.code == CSL_OK && !s->config.is_unmasked &&
        csl_service_secagg_step__(
            s,
            &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_RECEIVED,
                                                   .site = csl_service_secagg_number__(s, site)},
            &err) != CSL_OK)
        csl_service_fail__(s, &err);
}

static bool is_in(const struct csl_service *s, uint32_t site, uint32_t index)
{
    return s->config.is_unmasked ? csl_service_secagg_is_held__(s, site, index)
                                 : csl_secagg_coordinator_is_in_block(
                                       s->secagg->fsm, csl_service_secagg_number__(s, site), index);
}

static uint32_t contributors_of(const struct csl_service *s, uint32_t index)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->site_count; i++)
        n += is_in(s, i, index);
    return n;
}

/* g->sum = the words of one chunk over the survivors, without masks. */
static enum csl_code open_chunk(struct csl_service *s, const struct csl_secagg_masks *masks,
                                struct csl_prg *prg, uint32_t index, uint64_t chunk,
                                struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    size_t n = csl_secagg_chunk_words(&g->config, index, chunk);
    memset(g->sum, 0, n * sizeof(*g->sum));
    for (uint32_t i = 0; i < s->site_count; i++) {
        if (!is_in(s, i, index))
            continue;
        enum csl_code code = read_chunk(s, i, index, chunk, err);
        if (code != CSL_OK)
            return code;
        for (size_t k = 0; k < n; k++)
            g->sum[k] += g->words[k];
    }
    if (masks == NULL)
        return CSL_OK;
    return csl_secagg_masks_apply(masks, prg, index, csl_secagg_block_id(&g->config, index), chunk,
                                  g->sum, n, err);
}

/* What the sum of a block is divided by to be the mean, or the step of mode joint: one plain
 * gradient step over the patients expected in a batch, down the gradient. */
static double factor_of(const struct csl_study *study, double weight)
{
    if (study->privacy.mode == CSL_PRIVACY_JOINT && !study->census.is_on)
        return -study->local.learning_rate / (study->privacy.sampling_rate * weight);
    return 1.0 / weight;
}

static void decode(struct csl_service *s, uint32_t block, uint64_t first, size_t n, double weight)
{
    struct csl_service_secagg *g = s->secagg;
    float *out = g->mean + s->study->schema.blocks[block].first + first;
    double factor = factor_of(s->study, weight);
    if (s->study->privacy.mode == CSL_PRIVACY_JOINT) {
        csl_joint_decode(s->study->privacy.clip, factor, g->sum, n, out);
        return;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(csl_scalar_decode(g->sum[i]) * factor);
}

static enum csl_code open_block(struct csl_service *s, const struct csl_secagg_masks *masks,
                                struct csl_prg *prg, uint32_t block, double weight,
                                uint8_t root[32], struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_service_lanes *lanes = NULL;
    struct csl_secagg_root hash;
    enum csl_code code = CSL_OK;
    bool is_scalars = block == g->config.block_count;
    uint32_t id = csl_secagg_block_id(&g->config, block);
    bool is_evaluation = !is_scalars && id >= s->study->schema.block_count;
    bool is_statistic = is_evaluation && csl_study_is_statistic(s->study, id);
    if (!is_scalars && g->config.blocks[block].lane_bits != 64)
        code = csl_service_lanes_open__(s, block, contributors_of(s, block), weight, &lanes, err);
    csl_secagg_root_init(&hash);
    for (uint32_t c = 0; code == CSL_OK && c < csl_secagg_block_chunks(&g->config, block); c++) {
        size_t n = csl_secagg_chunk_words(&g->config, block, c);
        code = open_chunk(s, masks, prg, block, c, err);
        csl_secagg_root_add(&hash, g->sum, n);
        if (code == CSL_OK)
            code = csl_service_audit_note__(s, block, c, n, err);
        if (code == CSL_OK && lanes != NULL)
            code = csl_service_lanes_add__(lanes, g->sum, n, err);
        else if (code == CSL_OK && is_statistic)
            csl_service_statistics_take__(s, id, contributors_of(s, block),
                                          (uint64_t)c * CSL_PRG_CHUNK_WORDS, g->sum, n);
        else if (code == CSL_OK && is_evaluation)
            csl_service_evaluation_take__(s, id, (uint64_t)c * CSL_PRG_CHUNK_WORDS, g->sum, n);
        else if (code == CSL_OK && !is_scalars)
            decode(s, block, (uint64_t)c * CSL_PRG_CHUNK_WORDS, n, weight);
    }
    csl_secagg_root_final(&hash, root);
    csl_service_lanes_close__(s, block, lanes);
    return code;
}

enum csl_code csl_service_secagg_open_sum__(struct csl_service *s, uint8_t root[32],
                                            struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    uint32_t blocks = g->config.block_count, of_model = s->study->schema.block_count;
    struct csl_secagg_masks *masks = NULL;
    struct csl_prg *prg = NULL;
    uint8_t roots[CSL_BLOCKS_MAX + 1][32] = {{0}};
    double weights[CSL_BLOCKS_MAX + 1], total = 0;
    enum csl_code code = CSL_OK;
    if (!s->config.is_unmasked)
        code = csl_secagg_coordinator_masks(g->fsm, &masks, err);
    if (code == CSL_OK)
        code = csl_prg_new(&prg, err);
    if (code == CSL_OK) /* the scalars first, which fit one chunk: they hold the weights */
        code = open_block(s, masks, prg, blocks, 0, roots[blocks], err);
    for (uint32_t b = 0; code == CSL_OK && b <= of_model; b++)
        weights[b] = csl_scalar_decode(g->sum[b]);
    for (uint32_t v = 0; code == CSL_OK && s->study->aggregation.vote.is_on && v < 2; v++)
        g->votes[v] = g->sum[of_model + 1 + v];
    csl_service_evaluation_begin__(s);
    csl_service_statistics_begin__(s);
    memset(g->has_block, 0, sizeof(g->has_block));
    g->fewest = s->site_count;
    for (uint32_t b = 0; code == CSL_OK && b < blocks; b++) {
        bool is_model = g->config.blocks[b].id < of_model; /* b is its id: those stand first */
        if (is_model) {
            uint32_t n = contributors_of(s, b);
            total += weights[b];
            g->has_block[b] = weights[b] > 0 && n > 0;
            g->bounds[b] = HUGE_VAL;
            g->fewest = g->has_block[b] && n < g->fewest ? n : g->fewest;
        }
        /* Under masks no site votes for fewer; without them nobody is asked. */
        if (is_model ? g->has_block[b] : contributors_of(s, b) >= g->config.blocks[b].sites_min)
            code = open_block(s, masks, prg, b, is_model ? weights[b] : 0, roots[b], err);
    }
    if (code == CSL_OK)
        g->loss = total > 0 ? weights[of_model] / total : 0;
    csl_secagg_result_root(roots[0], blocks + 1, root);
    csl_prg_free(prg);
    csl_secagg_masks_free(masks);
    return code;
}

/* --- the mean --- */

void csl_service_secagg_mean__(const struct csl_service *s, uint32_t block, uint64_t first,
                               uint64_t n, float *out)
{
    memcpy(out, s->secagg->mean + s->study->schema.blocks[block].first + first, n * sizeof(*out));
}

bool csl_service_secagg_has_block__(const struct csl_service *s, uint32_t block)
{
    return s->secagg->has_block[block];
}

/* A site can say anything of its own vote, as it can of its update: numbers that no sites could
 * have added up to are no votes. */
void csl_service_secagg_votes__(const struct csl_service *s, uint64_t *worse, uint64_t *voters)
{
    const uint64_t *words = s->secagg->votes;
    uint64_t all = words[0] >> 32, against = words[1] >> 32;
    bool is_sense = (uint32_t)words[0] == 0 && (uint32_t)words[1] == 0 && all <= s->site_count &&
                    against <= all;
    if (!is_sense)
        csl_log(CSL_LOG_WARN, "votes.senseless", CSL_U64("round", s->secagg->round));
    *voters = is_sense ? all : 0;
    *worse = is_sense ? against : 0;
}

double csl_service_secagg_bound__(const struct csl_service *s, uint32_t block)
{
    return s->secagg->bounds[block];
}

double csl_service_secagg_loss__(const struct csl_service *s)
{
    return s->secagg->loss;
}

uint32_t csl_service_secagg_fewest__(const struct csl_service *s)
{
    return s->secagg->fewest;
}
