#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/coordinator.h"
#include "privacy/secagg/derive.h"
#include "privacy/secagg/joint.h"
#include "privacy/secagg/policy.h"
#include "privacy/secagg/scalar.h"

#include <string.h>

#define NO_SITE UINT32_MAX

/* --- life --- */

static enum csl_code allocate(struct csl_service_secagg *g, const struct csl_service *s,
                              struct csl_err *err)
{
    g->places = csl_alloc_array(s->site_count, sizeof(*g->places));
    g->sites = csl_alloc_array(s->config.secagg_roster->count, sizeof(*g->sites));
    g->weights = csl_alloc_array(csl_service_secagg_table__(s), sizeof(*g->weights));
    g->joined = csl_alloc_array(s->site_count, sizeof(*g->joined));
    g->manifests = csl_alloc_array(s->site_count, sizeof(*g->manifests));
    g->mean = csl_alloc_array((size_t)s->study->schema.parameters, sizeof(*g->mean));
    g->words = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*g->words));
    g->sum = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*g->sum));
    if (g->joined == NULL || g->weights == NULL || g->manifests == NULL || g->mean == NULL ||
        g->words == NULL || g->sum == NULL || g->places == NULL || g->sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for secure aggregation over %u sites",
                        s->site_count);
    return CSL_OK;
}

enum csl_code csl_service_open_secagg__(struct csl_service *s, struct csl_err *err)
{
    if (!s->study->secagg.is_on)
        return CSL_OK;
    const struct csl_secagg_roster *roster = s->config.secagg_roster;
    if (s->config.secagg_key == NULL || roster == NULL)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "the study has secure_aggregation, and this coordinator has no keys for "
                        "it; a section secure_aggregation (key, roster, root) would be right");
    enum csl_code code = csl_service_secagg_check_size__(s, err);
    if (code != CSL_OK)
        return code;
    s->secagg = csl_alloc(sizeof(*s->secagg));
    if (s->secagg == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for secure aggregation");
    s->secagg->only_site = NO_SITE;
    code = allocate(s->secagg, s, err);
    if (code == CSL_OK)
        code = csl_service_secagg_match__(s, err);
    return code == CSL_OK ? csl_service_secagg_restore__(s, err) : code;
}

void csl_service_free_secagg__(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    if (g == NULL)
        return;
    csl_secagg_coordinator_free(g->fsm);
    csl_secagg_journal_close(g->journal);
    for (uint32_t i = 0; i < CSL_SECAGG_RESULTS_KEPT; i++)
        csl_msg_release(&g->results[i]);
    csl_free(g->places);
    csl_free(g->sites);
    csl_service_secagg_forget_certificates__(g);
    csl_free(g->joined);
    csl_free(g->weights);
    csl_free(g->manifests);
    csl_free(g->mean);
    csl_free(g->words);
    csl_free(g->sum);
    csl_free(g);
    s->secagg = NULL;
}

/* --- what the protocol asks for --- */

/* As the site reads it: 0, length of M0, M0, weights; or 1 and any other message. */
static void send_bytes(struct csl_service *s, uint32_t site, struct csl_span bytes)
{
    const struct csl_service_secagg *g = s->secagg;
    struct csl_message m = {.kind = CSL_MSG_SECAGG_TO_SITE};
    struct csl_buf b;
    struct csl_err err;
    bool is_elsewhere = g->only_site != NO_SITE && g->only_site != site;
    if (s->io[site].conn == 0 || !csl_coord_site(s->core, site)->has_greeted || is_elsewhere ||
        s->failure.code != CSL_OK)
        return;
    csl_buf_init(&b, CSL_SECAGG_BYTES_MAX);
    bool is_config = bytes.p[0] == CSL_SECAGG_CONFIG;
    csl_buf_u8(&b, is_config ? 0 : 1);
    if (is_config)
        csl_buf_le32(&b, (uint32_t)bytes.n);
    csl_buf_append(&b, bytes.p, bytes.n);
    for (size_t i = 0; is_config && i < csl_service_secagg_table__(s); i++)
        csl_buf_le32(&b, g->weights[i]);
    if (csl_buf_status(&b, &err) == CSL_OK) {
        m.u.secagg.body = csl_buf_take(&b);
        csl_service_send__(s, site, &m);
        csl_msg_release(&m.u.secagg.body);
    } else {
        csl_service_fail__(s, &err);
    }
    csl_buf_release(&b);
}

static void on_action(void *ctx, const struct csl_secagg_coordinator_action *a)
{
    struct csl_service *s = ctx;
    uint32_t site = csl_service_secagg_site__(s, a->site);
    if (s->failure.code != CSL_OK)
        return; /* after a record that was not written nothing more may happen */
    switch (a->kind) {
    case CSL_SECAGG_CA_JOURNAL:
        csl_service_secagg_record__(s, a);
        break;
    case CSL_SECAGG_CA_SEND:
        if (a->bytes.p[0] == CSL_SECAGG_RESULT)
            csl_service_secagg_keep_result__(s, a->bytes);
        if (site != CSL_SECAGG_NOWHERE) /* another study's sites are in the roster too */
            send_bytes(s, site, a->bytes);
        break;
    case CSL_SECAGG_CA_RELEASE:
        s->secagg->is_released = true;
        break;
    case CSL_SECAGG_CA_NAME:
    case CSL_SECAGG_CA_ALARM:
        csl_log(
            CSL_LOG_WARN, "secagg.fault",
            CSL_STR("site", site == CSL_SECAGG_NOWHERE ? "" : csl_coord_site(s->core, site)->id),
            CSL_STR("what", a->text));
        break;
    case CSL_SECAGG_CA_CERTIFICATE:
        csl_service_secagg_keep_certificate__(s, a->bytes);
        break;
    case CSL_SECAGG_CA_RECEIVE: /* the upload is announced and granted as every other */
        break;
    }
}

enum csl_code csl_service_secagg_step__(struct csl_service *s,
                                        const struct csl_secagg_coordinator_event *ev,
                                        struct csl_err *err)
{
    const struct csl_secagg_coordinator_out out = {s, on_action};
    if (s->failure.code != CSL_OK) {
        *err = s->failure;
        return s->failure.code;
    }
    return csl_secagg_coordinator_step(s->secagg->fsm, ev, &out, err);
}

void csl_service_secagg_resume__(struct csl_service *s)
{
    const struct csl_secagg_coordinator_out out = {s, on_action};
    csl_secagg_coordinator_resume(s->secagg->fsm, &out);
}

/* --- a round begins --- */

enum csl_code csl_service_secagg_machine__(const struct csl_service *s,
                                           struct csl_secagg_coordinator **out, struct csl_err *err)
{
    const struct csl_secagg_coordinator_setup setup = {.key = s->config.secagg_key,
                                                       .roster = s->config.secagg_roster,
                                                       .memory = CSL_SECRET_MAY_SWAP};
    return csl_secagg_coordinator_new(out, &setup, err);
}

static void begin(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    csl_service_secagg_next_attempt__(s);
    if (s->failure.code != CSL_OK)
        return;
    csl_service_secagg_describe__(s, &g->config);
    enum csl_code code = csl_service_secagg_check_floors__(s, false, &err);
    if (code == CSL_OK)
        code = csl_service_secagg_machine__(s, &g->fsm, &err);
    if (code == CSL_OK)
        code = csl_service_secagg_step__(s,
                                         &(struct csl_secagg_coordinator_event){
                                             .kind = CSL_SECAGG_CE_OPEN, .config = &g->config},
                                         &err);
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
}

/* The tasks of the round leave first: a site joins for the model that its task names. */
void csl_service_secagg_open_round__(struct csl_service *s, uint64_t round)
{
    struct csl_service_secagg *g = s->secagg;
    if (g->fsm == NULL || g->round != round || g->is_reopening)
        g->due_round = round;
    else if (!g->is_over) /* else it is reopened first */
        csl_service_secagg_go_on__(s);
}

/* --- messages --- */

void csl_service_secagg_message__(struct csl_service *s, uint32_t site, struct csl_span bytes)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    struct csl_secagg_message m;
    if (g->fsm == NULL)
        return; /* of a round that nobody collects any more */
    enum csl_code code = csl_service_secagg_step__(
        s,
        &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_MESSAGE,
                                               .site = csl_service_secagg_number__(s, site),
                                               .bytes = bytes},
        &err);
    bool is_taken = code == CSL_OK && csl_secagg_decode(&m, bytes, NULL) == CSL_OK;
    /* It knows the head of this round. Said again later it may come from an old journal. */
    if (is_taken && m.type == CSL_SECAGG_ADVERTISE &&
        csl_secagg_coordinator_stage(g->fsm) == CSL_SECAGG_STAGE_OPEN)
        g->joined[site] = g->result_count;
    if (is_taken && m.type == CSL_SECAGG_MANIFEST)
        g->manifests[site] = m.u.manifest;
    if (code == CSL_E_NOMEM) /* the machine may be half way; a restart reads its journal */
        csl_service_fail__(s, &err);
    else if (code != CSL_OK)
        csl_log(CSL_LOG_INFO, "secagg.refused", CSL_STR("site", csl_coord_site(s->core, site)->id),
                CSL_STR("why", err.msg));
}

void csl_service_secagg_greet__(struct csl_service *s, uint32_t site)
{
    struct csl_service_secagg *g = s->secagg;
    if (!csl_coord_site(s->core, site)->has_greeted)
        return;
    uint64_t oldest =
        g->result_count > CSL_SECAGG_RESULTS_KEPT ? g->result_count - CSL_SECAGG_RESULTS_KEPT : 0;
    for (uint64_t i = g->joined[site]; i >= oldest && i < g->result_count; i++)
        send_bytes(s, site, csl_msg_span(&g->results[i % CSL_SECAGG_RESULTS_KEPT]));
    if (g->fsm == NULL)
        return;
    g->only_site = site;
    csl_service_secagg_resume__(s);
    csl_service_secagg_remind__(s);
    g->only_site = NO_SITE;
}

/* What frees the site's update for another attempt comes before the task to send it again. */
void csl_service_secagg_brief__(struct csl_service *s, uint32_t site)
{
    const struct csl_service_secagg *g = s->secagg;
    for (uint32_t i = 0; i < g->certificate_count; i++)
        send_bytes(s, site, csl_msg_span(&g->certificates[i]));
}

/* --- vectors --- */

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
    if (g->fsm == NULL || m->block_count == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "a masked update without a manifest");
    if (csl_secagg_coordinator_stage(g->fsm) != CSL_SECAGG_STAGE_UPLOADING &&
        !csl_secagg_coordinator_is_survivor(g->fsm, csl_service_secagg_number__(s, site)))
        return CSL_FAIL(err, CSL_E_STATE, "a masked update that is late");
    for (uint32_t b = 0; b < m->block_count; b++)
        words += m->blocks[b].entries > 0 ? csl_secagg_block_words(&g->config, b) : 0;
    if (words * sizeof(uint64_t) != csl_coord_site(s->core, site)->update.bytes_total)
        return CSL_FAIL(err, CSL_E_INVAL, "a masked update with other blocks than its manifest");
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
    if (s->failure.code == CSL_OK &&
        csl_service_secagg_step__(
            s,
            &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_RECEIVED,
                                                   .site = csl_service_secagg_number__(s, site)},
            &err) != CSL_OK)
        csl_service_fail__(s, &err);
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
        if (!csl_secagg_coordinator_is_in_block(g->fsm, csl_service_secagg_number__(s, i), index))
            continue;
        enum csl_code code = read_chunk(s, i, index, chunk, err);
        if (code != CSL_OK)
            return code;
        for (size_t k = 0; k < n; k++)
            g->sum[k] += g->words[k];
    }
    return csl_secagg_masks_apply(masks, prg, index, csl_secagg_block_id(&g->config, index), chunk,
                                  g->sum, n, err);
}

/* What the sum of a block is divided by to be the mean, or the step of mode joint: one plain
 * gradient step over the patients expected in a batch, down the gradient. */
static double factor_of(const struct csl_study *study, double weight)
{
    if (study->privacy.mode == CSL_PRIVACY_JOINT)
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
    struct csl_secagg_root hash;
    enum csl_code code = CSL_OK;
    csl_secagg_root_init(&hash);
    for (uint32_t c = 0; code == CSL_OK && c < csl_secagg_block_chunks(&g->config, block); c++) {
        size_t n = csl_secagg_chunk_words(&g->config, block, c);
        code = open_chunk(s, masks, prg, block, c, err);
        csl_secagg_root_add(&hash, g->sum, n);
        if (code == CSL_OK && block < g->config.block_count)
            decode(s, block, (uint64_t)c * CSL_PRG_CHUNK_WORDS, n, weight);
    }
    csl_secagg_root_final(&hash, root);
    return code;
}

static enum csl_code open_sum(struct csl_service *s, uint8_t root[32], struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    uint32_t blocks = g->config.block_count;
    struct csl_secagg_masks *masks = NULL;
    struct csl_prg *prg = NULL;
    uint8_t roots[CSL_BLOCKS_MAX + 1][32] = {{0}};
    double weights[CSL_BLOCKS_MAX + 1], total = 0;
    enum csl_code code = csl_secagg_coordinator_masks(g->fsm, &masks, err);
    if (code == CSL_OK)
        code = csl_prg_new(&prg, err);
    if (code == CSL_OK) /* the scalars first, which fit one chunk: they hold the weights */
        code = open_block(s, masks, prg, blocks, 0, roots[blocks], err);
    for (uint32_t b = 0; code == CSL_OK && b <= blocks; b++)
        weights[b] = csl_scalar_decode(g->sum[b]);
    for (uint32_t b = 0; code == CSL_OK && b < blocks; b++) {
        total += weights[b];
        g->has_block[b] = weights[b] > 0;
        if (g->has_block[b])
            code = open_block(s, masks, prg, b, weights[b], roots[b], err);
    }
    if (code == CSL_OK)
        g->loss = total > 0 ? weights[blocks] / total : 0;
    csl_secagg_result_root(roots[0], blocks + 1, root);
    csl_prg_free(prg);
    csl_secagg_masks_free(masks);
    return code;
}

static void release(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    uint8_t root[32];
    g->is_released = false;
    enum csl_code code = open_sum(s, root, &err);
    if (code == CSL_OK)
        code = csl_service_secagg_record_root__(s, root, &err);
    if (code != CSL_OK) {
        csl_service_fail__(s, &err);
        return;
    }
    csl_service_secagg_log_sum__(s);
    csl_service_aggregate__(s, g->round);
    if (s->failure.code != CSL_OK)
        return;
    csl_service_secagg_result__(s);
}

/* --- when a stage closes --- */

static bool collects(enum csl_secagg_stage stage)
{
    return stage == CSL_SECAGG_STAGE_OPEN || stage == CSL_SECAGG_STAGE_SHARING ||
           stage == CSL_SECAGG_STAGE_PREPARING;
}

/* Keys and shares by two fifths of the round's time, trained by four fifths; what is left is for
 * the uploads. */
static uint64_t stage_deadline_ns(const struct csl_service *s, enum csl_secagg_stage stage)
{
    uint64_t fifth = s->study->round_deadline_ms * CSL_NS_PER_MS / 5;
    if (fifth == 0)
        return UINT64_MAX;
    uint64_t fifths = stage == CSL_SECAGG_STAGE_OPEN      ? 1
                      : stage == CSL_SECAGG_STAGE_SHARING ? 2
                                                          : 4;
    return s->secagg->opened_ns + fifths * fifth;
}

static uint64_t round_end_ns(const struct csl_service *s)
{
    uint64_t wait = s->study->round_deadline_ms * CSL_NS_PER_MS;
    return wait == 0 ? UINT64_MAX : s->secagg->opened_ns + wait;
}

/* Somebody who can still say the message of the stage has not said it. */
static bool is_awaited(const struct csl_service *s)
{
    const struct csl_service_secagg *g = s->secagg;
    bool is_open = csl_secagg_coordinator_stage(g->fsm) == CSL_SECAGG_STAGE_OPEN;
    for (uint32_t i = 0; i < s->site_count; i++) {
        const struct csl_coord_site *site = csl_coord_site(s->core, i);
        bool takes_part =
            is_open ? site->in_cohort
                    : csl_secagg_coordinator_takes_part(g->fsm, csl_service_secagg_number__(s, i));
        if (takes_part && site->progress != CSL_SITE_FAILED &&
            !csl_secagg_coordinator_is_ready(g->fsm, csl_service_secagg_number__(s, i)))
            return true;
    }
    return false;
}

static bool close_stage(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    enum csl_secagg_stage stage = csl_secagg_coordinator_stage(g->fsm);
    bool is_waiting = is_awaited(s);
    if (is_waiting && s->now_ns < stage_deadline_ns(s, stage))
        return false;
    if (csl_service_secagg_step__(
            s, &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_CLOSE}, &err) ==
        CSL_OK) {
        csl_service_secagg_leave_out__(s);
        return true;
    }
    if (is_waiting && s->now_ns < round_end_ns(s))
        return false;
    /* Too few, and nobody else can come: those that are left may be a quorum by themselves. */
    if (stage == CSL_SECAGG_STAGE_OPEN || err.code != CSL_E_DENIED)
        csl_service_fail__(s, &err);
    else
        csl_service_secagg_start_over__(s);
    return false;
}

void csl_service_secagg_close__(struct csl_service *s)
{
    s->secagg->wants_close = s->secagg->is_closed = true;
}

static void close_uploads(struct csl_service *s)
{
    struct csl_err err = {.code = CSL_OK};
    s->secagg->wants_close = false;
    if (csl_secagg_coordinator_stage(s->secagg->fsm) != CSL_SECAGG_STAGE_UPLOADING)
        return; /* before a restart */
    enum csl_code code = csl_service_secagg_check_floors__(s, true, &err);
    if (code == CSL_OK)
        code = csl_service_secagg_step__(
            s, &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_CLOSE}, &err);
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
}

bool csl_service_secagg_pump__(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    bool did = false;
    if (s->is_finished)
        return false;
    if (g->due_round != 0) {
        begin(s);
        did = true;
    }
    while (g->fsm != NULL && s->failure.code == CSL_OK && !g->is_over &&
           collects(csl_secagg_coordinator_stage(g->fsm)) && close_stage(s))
        did = true;
    if (g->wants_close && s->failure.code == CSL_OK) {
        close_uploads(s);
        did = true;
    }
    if (g->is_released && g->is_closed && s->failure.code == CSL_OK) {
        release(s);
        did = true;
    }
    return csl_service_secagg_unstick__(s) || did;
}

uint64_t csl_service_secagg_wakeup_ns__(const struct csl_service *s)
{
    const struct csl_service_secagg *g = s->secagg;
    if (g->fsm == NULL)
        return UINT64_MAX;
    if (!collects(csl_secagg_coordinator_stage(g->fsm)))
        return csl_service_secagg_patience_ns__(s);
    uint64_t at = stage_deadline_ns(s, csl_secagg_coordinator_stage(g->fsm));
    if (at <= s->now_ns) /* it was tried then, and is tried again with every message */
        at = round_end_ns(s);
    return at > s->now_ns ? at : UINT64_MAX;
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

double csl_service_secagg_loss__(const struct csl_service *s)
{
    return s->secagg->loss;
}
