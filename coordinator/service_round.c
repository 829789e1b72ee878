/* What happens to tensors in a round: grants, and the strategy's step. */
#include "coordinator/service_kept.h"
#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_audit.h"
#include "coordinator/service_vote.h"

#include "aggregation/tensor/part.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/crypto/rng.h"
#include "privacy/crypto/sha256.h"
#include "protocol/study/evaluation.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define UNOPENED_NS (60 * CSL_NS_PER_S)

uint64_t csl_service_broadcast_bytes__(const struct csl_service *s)
{
    return s->study->schema.parameters * sizeof(float) * s->strategy->broadcast_vectors;
}

const uint8_t *csl_service_task_digest__(const struct csl_service *s, uint64_t round)
{
    return csl_study_only_evaluates_in(s->study, round) ? s->evaluated_digest : s->broadcast_digest;
}

const float *csl_service_vector__(const struct csl_service *s, bool is_evaluated, uint32_t v)
{
    if (v > 0)
        return s->state[v - 1];
    return is_evaluated && s->average != NULL ? s->average : s->global;
}

/* A study with inputs: of the blocks' digests, which stand in front of every download. */
static void digest_parts(struct csl_service *s, bool is_evaluated, uint8_t out[CSL_DIGEST_BYTES])
{
    const struct csl_schema *schema = &s->study->schema;
    uint8_t *first = s->part_digests[is_evaluated], *to = first;
    for (uint32_t v = 0; v < s->strategy->broadcast_vectors; v++) {
        const float *vector = csl_service_vector__(s, is_evaluated, v);
        for (uint32_t b = 0; b < schema->block_count; b++, to += CSL_DIGEST_BYTES)
            csl_sha256_digest(vector + schema->blocks[b].first,
                              schema->blocks[b].count * sizeof(float), to);
    }
    csl_sha256_digest(first, (size_t)(to - first), out);
}

static void digest_vectors(const struct csl_service *s, bool is_evaluated,
                           uint8_t out[CSL_DIGEST_BYTES])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    for (uint32_t v = 0; v < s->strategy->broadcast_vectors; v++)
        csl_sha256_update(&h, csl_service_vector__(s, is_evaluated, v),
                          s->study->schema.parameters * sizeof(float));
    csl_sha256_final(&h, out);
}

void csl_service_digest_broadcast__(struct csl_service *s)
{
    uint8_t *const digests[2] = {s->broadcast_digest, s->evaluated_digest};
    CSL_ASSERT(s->strategy->broadcast_vectors <= CSL_SERVICE_BROADCAST_MAX);
    for (int is_evaluated = 0; is_evaluated < (s->average != NULL ? 2 : 1); is_evaluated++) {
        if (s->study->input_count > 0)
            digest_parts(s, is_evaluated, digests[is_evaluated]);
        else
            digest_vectors(s, is_evaluated, digests[is_evaluated]);
    }
    if (s->average == NULL) { /* the same bytes */
        memcpy(s->evaluated_digest, s->broadcast_digest, CSL_DIGEST_BYTES);
        memcpy(s->part_digests[1], s->part_digests[0], sizeof(s->part_digests[0]));
    }
    bool is_model = s->study->input_count == 0 && s->strategy->broadcast_vectors == 1;
    if (is_model) /* the same bytes */
        memcpy(s->model_digest, s->evaluated_digest, CSL_DIGEST_BYTES);
    else
        csl_sha256_digest(csl_service_vector__(s, true, 0),
                          s->study->schema.parameters * sizeof(float), s->model_digest);
}

/* The core thread only; the transport's threads work on a download's own list. */
uint64_t csl_service_download_bytes__(const struct csl_service *s, uint32_t site,
                                      bool has[CSL_BLOCKS_MAX])
{
    const struct csl_coord_site *from = csl_coord_site(s->core, site);
    memset(has, 0, CSL_BLOCKS_MAX * sizeof(*has));
    for (uint32_t i = 0; i < from->block_count; i++)
        if (from->blocks[i].block <
            s->study->schema.block_count) /* else an evaluation under masks */
            has[from->blocks[i].block] = true;
    if (s->study->input_count == 0)
        return csl_service_broadcast_bytes__(s);
    return csl_part_bytes(&s->study->schema, s->strategy->broadcast_vectors, has);
}

/* Named by the update it holds, so that a transfer resumes even after a restart, and an update that
 * was made anew starts from nothing. */
void csl_service_name_spool__(struct csl_service *s, uint32_t site,
                              const uint8_t digest[CSL_DIGEST_BYTES])
{
    const char *id = csl_coord_site(s->core, site)->id;
    uint8_t id_digest[CSL_DIGEST_BYTES];
    csl_digest(id, strlen(id), id_digest);
    char id_hex[17], hex[17];
    csl_hex(id_digest, 8, id_hex);
    csl_hex(digest, 8, hex);
    snprintf(s->io[site].spool, sizeof(s->io[site].spool), "update-%s-%s", id_hex, hex);
}

static void new_ticket(struct csl_ticket *t)
{
    struct csl_rng rng;
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, t->bytes, sizeof(t->bytes));
    csl_rng_wipe(&rng);
    t->is_valid = true;
}

static void grant_update(struct csl_service *s, uint32_t site, uint64_t round)
{
    struct csl_site_io *io = &s->io[site];
    io->granted_ns = s->now_ns;
    const struct csl_coord_update *u = &csl_coord_site(s->core, site)->update;
    struct csl_ticket t = {.round = round, .bytes_total = u->bytes_total};
    memcpy(t.digest, u->digest, CSL_DIGEST_BYTES);
    new_ticket(&t);
    csl_mutex_lock(&io->lock);
    io->generation++;
    csl_service_name_spool__(s, site, u->digest);
    uint64_t held = csl_blob_size(s->spool, io->spool);
    if (held > u->bytes_total) {
        csl_blob_remove(s->spool, io->spool);
        held = 0;
    }
    /* Buffers of float32 stay aligned when a transfer resumes at a whole buffer. */
    t.offset = held - held % CSL_SERVICE_IO_BYTES;
    if (held == u->bytes_total)
        t.offset = held;
    csl_mutex_lock(&s->lock);
    io->upload = t;
    io->verified_round = 0;
    csl_mutex_unlock(&s->lock);
    csl_mutex_unlock(&io->lock);
    struct csl_message m = {.kind = CSL_MSG_UPDATE_GRANT};
    m.u.update_grant.round = round;
    m.u.update_grant.offset = t.offset;
    memcpy(m.u.update_grant.ticket, t.bytes, CSL_TICKET_BYTES);
    csl_service_send__(s, site, &m);
}

/* A site that announced an update and is still there. */
static bool is_sending(const struct csl_service *s, uint32_t site)
{
    return s->io[site].conn != 0 && csl_coord_site(s->core, site)->progress == CSL_SITE_SENDING;
}

/* A site that was granted an upload and does not open it within a minute keeps nobody waiting. */
static bool holds_slot(struct csl_service *s, uint32_t site)
{
    struct csl_site_io *io = &s->io[site];
    if (!io->has_grant || !is_sending(s, site))
        return false;
    csl_mutex_lock(&s->lock);
    bool is_unopened = io->upload.is_valid;
    csl_mutex_unlock(&s->lock);
    return !is_unopened || s->now_ns - io->granted_ns < UNOPENED_NS;
}

/* What is in flight for each upload costs memory, so only so many run at once; the others have
 * announced theirs and wait, which costs nothing. */
static bool has_room(struct csl_service *s)
{
    uint32_t under_way = 0;
    for (uint32_t i = 0; s->config.uploads_max > 0 && i < s->site_count; i++)
        under_way += holds_slot(s, i);
    return s->config.uploads_max == 0 || under_way < s->config.uploads_max;
}

static void stop_waiting(struct csl_service *s, uint32_t site)
{
    s->waiting_count -= s->io[site].awaits_grant;
    s->io[site].awaits_grant = false;
}

void csl_service_grant_update__(struct csl_service *s, uint32_t site, uint64_t round)
{
    struct csl_site_io *io = &s->io[site];
    stop_waiting(s, site);
    io->has_grant = false; /* of an earlier announcement */
    io->has_grant = has_room(s);
    if (io->has_grant) {
        grant_update(s, site, round);
        return;
    }
    io->grant_round = round;
    io->awaits_grant = true;
    s->waiting_count++;
}

void csl_service_admit__(struct csl_service *s)
{
    if (s->failure.code != CSL_OK)
        return; /* nothing more may leave */
    for (uint32_t i = 0; i < s->site_count && s->waiting_count > 0 && has_room(s); i++) {
        if (!s->io[i].awaits_grant)
            continue;
        stop_waiting(s, i);
        if (!is_sending(s, i))
            continue; /* it went away, and announces again when it comes back */
        s->io[i].has_grant = true;
        grant_update(s, i, s->io[i].grant_round);
    }
}

void csl_service_grant_model__(struct csl_service *s, uint32_t site, uint64_t round)
{
    CSL_ASSERT(round == s->version || csl_study_is_buffered(s->study));
    bool has[CSL_BLOCKS_MAX];
    struct csl_ticket t = {.round = round,
                           .is_evaluated = csl_coord_phase(s->core) == CSL_PHASE_EVALUATE ||
                                           csl_study_only_evaluates_in(s->study, s->version + 1),
                           .bytes_total = csl_service_download_bytes__(s, site, has)};
    memcpy(t.digest, csl_coord_site(s->core, site)->task_digest, CSL_DIGEST_BYTES);
    new_ticket(&t);
    csl_mutex_lock(&s->lock);
    s->io[site].download = t;
    memcpy(s->io[site].download_has, has, sizeof(has));
    csl_mutex_unlock(&s->lock);
    struct csl_message m = {.kind = CSL_MSG_MODEL_GRANT};
    m.u.model_grant.round = round;
    memcpy(m.u.model_grant.ticket, t.bytes, CSL_TICKET_BYTES);
    csl_service_send__(s, site, &m);
}

bool csl_service_has_sum__(const struct csl_service *s, uint32_t block)
{
    return s->secagg != NULL ? csl_service_secagg_has_block__(s, block)
                             : csl_accumulator_sites(s->accumulator, block) > 0;
}

void csl_service_mean__(const struct csl_service *s, uint32_t vector, uint32_t block,
                        uint64_t first, uint64_t n, float *out)
{
    if (s->secagg != NULL)
        csl_service_secagg_mean__(s, block, first, n, out);
    else
        csl_accumulator_mean(s->accumulator, vector, block, first, n, out);
}

/* One slice of what the strategy calls the mean. rows: NULL, or it sees single updates. */
static enum csl_code mean_slice(struct csl_service *s, struct csl_service_rows *rows,
                                uint32_t vector, uint32_t block, uint64_t first, uint64_t n,
                                float *slice, struct csl_err *err)
{
    if (rows != NULL)
        return csl_service_rows_mean__(rows, first, n, slice, err);
    csl_service_mean__(s, vector, block, first, n, slice);
    return CSL_OK;
}

/* The strategy on one block, a slice at a time so that no second model is held. */
static enum csl_code apply_slices(struct csl_service *s, uint64_t round, uint32_t index,
                                  struct csl_service_rows *rows, float *mean, struct csl_err *err)
{
    const struct csl_block_spec *block = &s->study->schema.blocks[index];
    enum csl_code code = CSL_OK;
    CSL_ASSERT(s->strategy->update_vectors <= 2);
    for (uint64_t first = 0; code == CSL_OK && first < block->count; first += CSL_SERVICE_SLICE) {
        uint64_t n = block->count - first;
        n = n < CSL_SERVICE_SLICE ? n : CSL_SERVICE_SLICE;
        const float *means[2];
        float *states[CSL_SERVICE_STATE_MAX];
        for (uint32_t v = 0; code == CSL_OK && v < s->strategy->update_vectors; v++) {
            float *slice = mean + (size_t)v * CSL_SERVICE_SLICE;
            code = mean_slice(s, rows, v, index, first, n, slice, err);
            means[v] = slice;
        }
        for (uint32_t v = 0; v < s->strategy->state_vectors; v++)
            states[v] = s->state[v] + block->first + first;
        if (code == CSL_OK)
            s->strategy->apply(&s->strategy_config, round, n, means,
                               s->global + block->first + first, states);
    }
    return code;
}

/* A block with too few updates for what its strategy promises stays as it is. */
static enum csl_code apply_block(struct csl_service *s, uint64_t round, uint32_t index, float *mean,
                                 struct csl_err *err)
{
    struct csl_service_rows *rows = NULL;
    enum csl_code code = CSL_OK;
    s->strategy_config.freshness = csl_coord_freshness(s->core, index);
    if (s->strategy->choose != NULL)
        code = csl_service_rows_open__(s, index, &rows, err);
    if (code == CSL_E_STATE) {
        csl_log(CSL_LOG_WARN, "block.unchanged", CSL_U64("round", round),
                CSL_STR("block", s->study->schema.blocks[index].name), CSL_STR("why", err->msg));
        return CSL_OK;
    }
    if (code == CSL_OK)
        code = apply_slices(s, round, index, rows, mean, err);
    csl_service_rows_free__(rows);
    return code;
}

static double round_loss(const struct csl_service *s, uint32_t *contributions)
{
    double loss = 0, patients = 0;
    *contributions = 0;
    for (uint32_t i = 0; i < s->site_count; i++) {
        const struct csl_coord_site *site = csl_coord_site(s->core, i);
        if (site->progress != CSL_SITE_HELD)
            continue;
        double n = 0;
        for (uint32_t b = 0; b < site->update.block_count; b++)
            n += (double)site->update.blocks[b].patients;
        loss += n * site->update.train_loss;
        patients += n;
        ++*contributions;
    }
    double mean = patients > 0 ? loss / patients : 0;
    if (s->secagg != NULL)
        mean = csl_service_secagg_loss__(s);
    return isfinite(mean) ? mean : DBL_MAX; /* absurd losses of two sites; the store takes no NaN */
}

static enum csl_code commit(struct csl_service *s, uint64_t round, struct csl_err *err)
{
    uint32_t contributions;
    double loss = round_loss(s, &contributions);
    enum csl_code code = csl_service_checkpoint__(s, round, err);
    if (code == CSL_OK)
        code = csl_service_commit_round__(s, round, contributions, loss, err);
    if (code != CSL_OK)
        return code;
    if (s->config.study->privacy.mode == CSL_PRIVACY_NONE)
        csl_log(CSL_LOG_INFO, "round.closed", CSL_U64("round", round),
                CSL_U64("contributions", contributions), CSL_F64("train_loss", loss));
    else if (s->config.study->privacy.mode ==
             CSL_PRIVACY_JOINT) /* for `privacy plan --survivors` */
        csl_log(CSL_LOG_INFO, "round.closed", CSL_U64("round", round),
                CSL_U64("contributions", contributions),
                CSL_U64("fewest_in_a_block", csl_service_secagg_fewest__(s)));
    else /* the sites keep their losses to themselves */
        csl_log(CSL_LOG_INFO, "round.closed", CSL_U64("round", round),
                CSL_U64("contributions", contributions));
    if (s->config.observer.sum != NULL && s->secagg != NULL)
        s->config.observer.sum(s->config.observer.ctx, round, csl_service_secagg_fewest__(s));
    if (s->config.observer.round != NULL)
        s->config.observer.round(s->config.observer.ctx, round, contributions, loss);
    return CSL_OK;
}

void csl_service_aggregate__(struct csl_service *s, uint64_t round)
{
    struct csl_err err = {.code = CSL_OK};
    float *mean =
        csl_alloc_array((size_t)CSL_SERVICE_SLICE * s->strategy->update_vectors, sizeof(float));
    if (mean == NULL) {
        (void)CSL_FAIL(&err, CSL_E_NOMEM, "no memory to aggregate round %llu",
                       (unsigned long long)round);
        csl_service_fail__(s, &err);
        return;
    }
    enum csl_code code = csl_service_keep_model__(s, &err);
    bool base_stands = csl_service_base_stands__(s, round);
    bool is_applied = code == CSL_OK && base_stands && csl_service_passes_gate__(s, round);
    csl_mutex_lock(&s->model_lock);
    csl_service_begin_trial__(s, is_applied);
    for (uint32_t b = 0; is_applied && code == CSL_OK && b < s->study->schema.block_count; b++)
        if (csl_service_has_sum__(s, b))
            code = apply_block(s, round, b, mean, &err);
    if (code == CSL_OK && s->average != NULL)
        csl_averaging_add(&s->study->aggregation.averaging, round, s->study->schema.parameters,
                          s->global, s->average);
    if (code == CSL_OK) {
        s->version = round;
        csl_service_digest_broadcast__(s);
    }
    csl_mutex_unlock(&s->model_lock);
    csl_free(mean);
    if (code == CSL_OK)
        code = commit(s, round, &err);
    if (code != CSL_OK) { /* nothing was committed: a restart does the round again */
        csl_service_fail__(s, &err);
        return;
    }
    csl_service_answer__(s, &(struct csl_coord_event){.kind = CSL_CE_AGGREGATED,
                                                      .round = round,
                                                      .digest = s->broadcast_digest,
                                                      .evaluated_digest = s->evaluated_digest,
                                                      .reason = csl_service_gate_end__(s),
                                                      .bytes = csl_service_broadcast_bytes__(s)});
}

void csl_service_forget_updates__(struct csl_service *s, uint64_t round)
{
    struct csl_err err = {.code = CSL_OK};
    csl_service_fold_pending__(s); /* while their spools are there */
    if (s->store != NULL && round > s->version &&
        csl_store_forget_updates(s->store, &err) != CSL_OK) {
        csl_service_fail__(s, &err);
        return;
    }
    for (uint32_t i = 0; i < s->site_count; i++) {
        struct csl_site_io *io = &s->io[i];
        if (csl_coord_is_busy(s->core, i))
            continue; /* an upload under way is for a later buffer */
        stop_waiting(s, i);
        io->has_grant = false;
        csl_service_close_spool__(s, i);
    }
    if (csl_study_is_buffered(s->study))
        csl_service_trim_spool__(s);
    else if (s->secagg == NULL || !csl_service_audit_keep__(s))
        csl_blobs_keep_only(s->spool, NULL, 0);
}
