/* An update's words: written plain, and then once more under the masks of one session. */
#include "site-agent/agent_secagg_internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"
#include "privacy/secagg/joint.h"
#include "privacy/secagg/scalar.h"

#include <math.h>
#include <string.h>

/* --- words --- */

struct words { /* an update on its way into its file */
    struct csl_agent *a;
    const struct csl_msg_task *task;
    char name[CSL_ID_MAX];
    uint64_t at; /* bytes */
    struct csl_sha256 hash;
    uint64_t *buffer; /* [CSL_PRG_CHUNK_WORDS] */
};

static enum csl_code put_words(struct words *w, size_t count, struct csl_err *err)
{
    struct csl_span s = CSL_SPAN((const uint8_t *)w->buffer, count * sizeof(*w->buffer));
    enum csl_code code = csl_blob_write(w->a->blobs, w->name, w->at, s, err);
    csl_sha256_update(&w->hash, s.p, s.n);
    w->at += s.n;
    return code;
}

/* A study with inputs has one noise for all blocks. */
static double unit_of(const struct csl_agent *a, uint32_t block)
{
    if (a->study->input_count > 0)
        return a->plan.domains[0].noise.unit;
    for (uint32_t i = 0; i < a->plan.domain_count; i++)
        if (a->plan.domains[i].domain == block) /* one block per domain, in order */
            return a->plan.domains[i].noise.unit;
    CSL_ASSERT(false); /* a block the plan was not made for */
    return 0;
}

static enum csl_code encode(struct words *w, uint32_t block, const float *update,
                            const int64_t *sum, double weight, size_t n, struct csl_err *err)
{
    const struct csl_agent *a = w->a;
    uint32_t sites = csl_agent_secagg_sites__(a);
    if (sum != NULL)
        return csl_joint_encode(a->study->privacy.clip, unit_of(a, block), sites, sum, n, w->buffer,
                                err);
    enum csl_code code = CSL_OK;
    for (size_t i = 0; code == CSL_OK && i < n; i++)
        code = csl_scalar_encode((double)update[i] * weight, sites, &w->buffer[i], err);
    return code;
}

static double weight_of(const struct words *w, uint32_t block)
{
    const struct csl_agent *a = w->a;
    bool counts = a->study->aggregation.weights == CSL_WEIGHTS_SAMPLES;
    uint32_t cap = a->study->secagg.weight_cap;
    double patients = (double)csl_dataset_block_patients(a->data, block);
    bool has_divisor = a->study->privacy.mode == CSL_PRIVACY_JOINT && !a->study->census.is_on;
    if (has_divisor) /* of every block those who are drawn, and not who of them has the input */
        return csl_agent_mass__(a, w->task, block, (double)a->plan.domains[0].patients);
    if (!counts)
        return 1;
    if (cap > 0 && patients > cap)
        patients = (double)cap;
    return csl_agent_mass__(a, w->task, block, patients);
}

/* Clipped, then weighed with at most 1: what is cut at the ends of a lane does not depend on how
 * many patients there are. Encoded once, here; every attempt of the round sends these words. */
static enum csl_code put_lanes(struct words *w, uint32_t block, const float *update,
                               struct csl_err *err)
{
    const struct csl_agent *a = w->a;
    double cap = csl_study_mass_cap(a->study);
    /* A mass is rounded, and a table may be at its cap up to rounding: 1 is the most all the same.
     */
    double weight = cap > 0 ? fmin(weight_of(w, block), cap) / cap : 1;
    struct csl_encoding e;
    struct csl_encoder encoder;
    uint8_t coins[32];
    size_t have = 0, cut = 0;
    enum csl_code code = csl_agent_secagg_encoding__(a, w->task, block, &e, err);
    csl_agent_secagg_coins__(a, w->task, block, coins);
    if (code == CSL_OK)
        code = csl_encoder_start_weighted(
            &encoder, &e, update + a->study->schema.blocks[block].first, weight, coins, err);
    csl_wipe(coins, sizeof(coins));
    if (code != CSL_OK)
        return code;
    for (uint64_t slice = 0; code == CSL_OK && slice < csl_encoding_slices(&e); slice++) {
        size_t words = csl_encoding_slice_words(&e, slice);
        if (have + words > CSL_PRG_CHUNK_WORDS) {
            code = put_words(w, have, err);
            have = 0;
        }
        cut += csl_encoder_slice(&encoder, slice, NULL, w->buffer + have);
        have += words;
    }
    csl_encoder_wipe(&encoder);
    if (cut > 0) /* how much would be a figure about the patients that no noise covers */
        csl_log(CSL_LOG_WARN, "secagg.cut", CSL_STR("domain", a->study->schema.blocks[block].name),
                CSL_STR("remedy", "a larger clip_norm of the study cuts less"));
    return code == CSL_OK ? put_words(w, have, err) : code;
}

static enum csl_code put_block(struct words *w, uint32_t block, const float *update,
                               const int64_t *sum, struct csl_err *err)
{
    const struct csl_block_spec *b = &w->a->study->schema.blocks[block];
    enum csl_code code = CSL_OK;
    if (w->a->study->secagg.lane_bits != 64) /* never in mode joint: update is there */
        return put_lanes(w, block, update, err);
    for (uint64_t at = 0; code == CSL_OK && at < b->count; at += CSL_PRG_CHUNK_WORDS) {
        uint64_t left = b->count - at;
        size_t n = left < CSL_PRG_CHUNK_WORDS ? (size_t)left : CSL_PRG_CHUNK_WORDS;
        code = encode(w, block, sum != NULL ? NULL : update + b->first + at,
                      sum != NULL ? sum + b->first + at : NULL, weight_of(w, block), n, err);
        if (code == CSL_OK)
            code = put_words(w, n, err);
    }
    return code;
}

/* Two words that a site which has no vote leaves at 0. */
static enum csl_code put_vote(struct words *w, uint32_t at, struct csl_err *err)
{
    enum csl_msg_vote vote = csl_agent_vote_on_base__(w->a, w->task->round);
    uint32_t sites = csl_agent_secagg_sites__(w->a);
    enum csl_code code = CSL_OK;
    if (vote == CSL_VOTE_NONE)
        return CSL_OK;
    code = csl_scalar_encode(1, sites, &w->buffer[at], err);
    if (code == CSL_OK && vote == CSL_VOTE_WORSE)
        code = csl_scalar_encode(1, sites, &w->buffer[at + 1], err);
    return code;
}

/* A word for the weight of every block of the study, one for the loss, and those of a vote. */
static enum csl_code put_scalars(struct words *w, const struct csl_train_report *report,
                                 struct csl_err *err)
{
    const struct csl_agent *a = w->a;
    uint32_t blocks = a->study->schema.block_count, sites = csl_agent_secagg_sites__(a);
    double total = 0;
    enum csl_code code = CSL_OK;
    memset(w->buffer, 0, csl_study_scalars(a->study) * sizeof(*w->buffer));
    for (uint32_t i = 0; code == CSL_OK && i < report->block_count; i++) {
        double weight = weight_of(w, report->blocks[i].block);
        total += weight;
        code = csl_scalar_encode(weight, sites, &w->buffer[report->blocks[i].block], err);
    }
    if (code == CSL_OK)
        code = csl_scalar_encode(report->mean_loss * total, sites, &w->buffer[blocks], err);
    if (code == CSL_OK)
        code = put_vote(w, blocks + 1, err);
    return code == CSL_OK ? put_words(w, csl_study_scalars(a->study), err) : code;
}

/* A model that cannot be judged here must not cost the site its update. */
static enum csl_code put_evaluations(struct words *w, const float *global, struct csl_outbox *out,
                                     struct csl_err *err)
{
    struct csl_agent *a = w->a;
    enum csl_code code = CSL_OK;
    if (!csl_study_is_evaluated_in(a->study, w->task->round))
        return CSL_OK;
    for (uint32_t d = 0; code == CSL_OK && d < a->study->domain_count; d++) {
        size_t words = (size_t)csl_study_evaluation_words(a->study, d);
        struct csl_err why = {.code = CSL_OK};
        CSL_ASSERT(words <= CSL_PRG_CHUNK_WORDS);
        if (csl_agent_examples_to_judge__(a, d).records == 0)
            continue;
        if (csl_agent_secagg_judge__(a, d, global, w->buffer, &why) != CSL_OK) {
            csl_log_err(CSL_LOG_WARN, "evaluation.failed", &why);
            continue;
        }
        code = put_words(w, words, err);
        out->blocks[out->block_count++] = (struct csl_block_count){
            .block = csl_study_evaluation_block(a->study, d), .patients = 1};
    }
    return code;
}

static enum csl_code put_statistics(struct words *w, const float *global, struct csl_outbox *out,
                                    struct csl_err *err)
{
    struct csl_agent *a = w->a;
    enum csl_code code = CSL_OK;
    if (!a->statistics.is_due)
        return CSL_OK;
    for (uint32_t d = 0; code == CSL_OK && d < a->study->domain_count; d++) {
        if (!csl_agent_publishes__(a, d))
            continue;
        code = csl_agent_count_statistics__(a, w->task, d, global, w->buffer, err);
        if (code == CSL_OK)
            code = put_words(w, (size_t)csl_study_statistics_words(a->study, d), err);
        out->blocks[out->block_count++] = (struct csl_block_count){
            .block = csl_study_statistics_block(a->study, d), .patients = 1};
    }
    return code;
}

enum csl_code csl_agent_secagg_store__(struct csl_agent *a, const struct csl_msg_task *task,
                                       const float *global, const float *update, const int64_t *sum,
                                       const struct csl_train_report *report,
                                       struct csl_outbox *out, struct csl_err *err)
{
    struct words w = {.a = a, .task = task};
    bool is_final = a->config.unmasked_sites > 0; /* else what leaves is made of it later */
    csl_sha256_init(&w.hash);
    csl_agent_blob_name__(w.name, is_final ? "update" : "plain", task->round);
    csl_blob_remove(a->blobs, w.name);
    w.buffer = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*w.buffer));
    if (w.buffer == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to encode an update");
    enum csl_code code = CSL_OK;
    *out = (struct csl_outbox){.round = task->round, .block_count = report->block_count};
    for (uint32_t i = 0; i < report->block_count; i++)
        out->blocks[i] = (struct csl_block_count){.block = report->blocks[i].block, .patients = 1};
    for (uint32_t i = 0; code == CSL_OK && i < report->block_count; i++)
        code = put_block(&w, report->blocks[i].block, update, sum, err);
    if (code == CSL_OK)
        code = put_evaluations(&w, global, out, err);
    if (code == CSL_OK)
        code = put_statistics(&w, global, out, err);
    if (code == CSL_OK && out->block_count == 0)
        code = CSL_FAIL(err, CSL_E_INVAL, "nothing to send in round %llu",
                        (unsigned long long)task->round);
    if (code == CSL_OK)
        code = put_scalars(&w, report, err);
    if (code == CSL_OK)
        code = csl_blob_sync(a->blobs, w.name, err);
    csl_wipe(w.buffer, CSL_PRG_CHUNK_WORDS * sizeof(*w.buffer));
    csl_free(w.buffer);
    out->bytes_total = w.at;
    csl_sha256_final(&w.hash, out->digest); /* of the plain words, until they are masked */
    memcpy(out->model_digest, task->model_digest, CSL_DIGEST_BYTES);
    return code;
}

/* --- masks --- */

struct masking {
    struct csl_agent *a;
    const struct csl_secagg_config *config;
    struct csl_secagg_masks *masks;
    struct csl_prg *prg;
    char plain[CSL_ID_MAX];
    uint64_t at; /* bytes of the plain words that were read */
    struct words out;
    struct csl_sha256 hash; /* of the plain words, as they are read */
    struct csl_secagg_masked masked;
};

static enum csl_code read_plain(struct masking *m, size_t bytes, struct csl_err *err)
{
    enum csl_code code =
        csl_blob_read(m->a->blobs, m->plain, m->at, (uint8_t *)m->out.buffer, bytes, err);
    if (code == CSL_OK)
        csl_sha256_update(&m->hash, m->out.buffer, bytes);
    m->at += bytes;
    return code;
}

/* An evaluation or a statistic that this attempt does not ask for: its words stay here. */
static enum csl_code skip_block(struct masking *m, uint32_t id, struct csl_err *err)
{
    size_t words = (size_t)csl_study_counted_words(m->a->study, id);
    return read_plain(m, words * sizeof(uint64_t), err);
}

static enum csl_code mask_block(struct masking *m, uint32_t index, struct csl_err *err)
{
    struct csl_secagg_manifest_block *b = &m->masked.blocks[index];
    uint64_t words = csl_secagg_block_words(m->config, index);
    struct csl_secagg_root root;
    enum csl_code code = CSL_OK;
    csl_secagg_root_init(&root);
    for (uint32_t c = 0; code == CSL_OK && c < csl_secagg_block_chunks(m->config, index); c++) {
        uint64_t left = words - (uint64_t)c * CSL_PRG_CHUNK_WORDS;
        size_t n = left < CSL_PRG_CHUNK_WORDS ? (size_t)left : CSL_PRG_CHUNK_WORDS;
        size_t bytes = n * sizeof(uint64_t);
        code = read_plain(m, bytes, err);
        if (code == CSL_OK)
            code = csl_secagg_masks_apply(m->masks, m->prg, index,
                                          csl_secagg_block_id(m->config, index), c, m->out.buffer,
                                          n, err);
        if (code != CSL_OK)
            return code;
        csl_secagg_root_add(&root, m->out.buffer, n);
        code = put_words(&m->out, n, err);
    }
    b->entries = csl_secagg_block_entries(m->config, index);
    b->chunks = csl_secagg_block_chunks(m->config, index);
    csl_secagg_root_final(&root, b->root);
    return code;
}

static enum csl_code mask_all(struct masking *m, struct csl_outbox *outbox, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    uint8_t plain[CSL_SHA256_BYTES];
    csl_sha256_init(&m->hash);
    csl_sha256_init(&m->out.hash);
    m->masked.block_count = csl_secagg_block_total(m->config);
    uint32_t sent = 0;
    for (uint32_t i = 0; code == CSL_OK && i < outbox->block_count; i++) {
        struct csl_block_count block = outbox->blocks[i];
        uint32_t index = csl_agent_secagg_index__(m->a, m->config, block.block);
        code = index == UINT32_MAX ? skip_block(m, block.block, err) : mask_block(m, index, err);
        if (index != UINT32_MAX)
            outbox->blocks[sent++] = block;
    }
    outbox->block_count = sent;
    if (code == CSL_OK)
        code = mask_block(m, m->config->block_count, err); /* the scalars */
    if (code == CSL_OK && m->at != outbox->bytes_total)
        code = CSL_FAIL(err, CSL_E_BUG, "masked %llu bytes of %llu", (unsigned long long)m->at,
                        (unsigned long long)outbox->bytes_total);
    outbox->bytes_total = m->out.at;
    csl_sha256_final(&m->hash, plain);
    if (code == CSL_OK && memcmp(plain, m->a->secagg->words_digest, sizeof(plain)) != 0)
        code = CSL_FAIL(err, CSL_E_CORRUPT, "the plain words are not those that were trained");
    if (code == CSL_OK)
        code = csl_blob_sync(m->a->blobs, m->out.name, err);
    csl_sha256_final(&m->out.hash, outbox->digest);
    return code;
}

enum csl_code csl_agent_secagg_mask__(struct csl_agent *a, struct csl_outbox *outbox,
                                      struct csl_secagg_masked *masked, struct csl_err *err)
{
    struct masking m = {.a = a, .config = csl_secagg_site_config(a->secagg->fsm), .out = {.a = a}};
    csl_agent_blob_name__(m.plain, "plain", outbox->round);
    csl_agent_blob_name__(m.out.name, "update", outbox->round);
    csl_blob_remove(a->blobs, m.out.name);
    m.out.buffer = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*m.out.buffer));
    enum csl_code code = csl_secagg_site_masks(a->secagg->fsm, &m.masks, err);
    if (code == CSL_OK && m.out.buffer == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to mask an update");
    if (code == CSL_OK)
        code = csl_prg_new(&m.prg, err);
    if (code == CSL_OK)
        code = mask_all(&m, outbox, err);
    if (code == CSL_OK)
        *masked = m.masked;
    else
        csl_blob_remove(a->blobs, m.out.name); /* nothing but the right words may lie under masks */
    csl_prg_free(m.prg);
    csl_secagg_masks_free(m.masks);
    if (m.out.buffer != NULL)
        csl_wipe(m.out.buffer, CSL_PRG_CHUNK_WORDS * sizeof(*m.out.buffer));
    csl_free(m.out.buffer);
    return code;
}

bool csl_agent_secagg_has_plain__(const struct csl_agent *a, const struct csl_outbox *words,
                                  const uint8_t digest[CSL_DIGEST_BYTES])
{
    char name[CSL_ID_MAX];
    struct csl_sha256 h;
    uint8_t actual[CSL_SHA256_BYTES];
    csl_agent_blob_name__(name, "plain", words->round);
    if (csl_blob_size(a->blobs, name) != words->bytes_total)
        return false;
    uint8_t *buffer = csl_alloc(CSL_AGENT_IO_BYTES);
    enum csl_code code = buffer != NULL ? CSL_OK : CSL_E_NOMEM;
    csl_sha256_init(&h);
    for (uint64_t at = 0; code == CSL_OK && at < words->bytes_total;) {
        uint64_t left = words->bytes_total - at;
        size_t n = left < CSL_AGENT_IO_BYTES ? (size_t)left : CSL_AGENT_IO_BYTES;
        code = csl_blob_read(a->blobs, name, at, buffer, n, NULL);
        if (code == CSL_OK)
            csl_sha256_update(&h, buffer, n);
        at += n;
    }
    csl_sha256_final(&h, actual);
    if (buffer != NULL)
        csl_wipe(buffer, CSL_AGENT_IO_BYTES);
    csl_free(buffer);
    return code == CSL_OK && memcmp(actual, digest, sizeof(actual)) == 0;
}
