#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/secagg/bounds.h"
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
    size_t table = (size_t)s->site_count * s->study->schema.block_count;
    g->weights = csl_alloc_array(table, sizeof(*g->weights));
    g->joined = csl_alloc_array(s->site_count, sizeof(*g->joined));
    g->manifests = csl_alloc_array(s->site_count, sizeof(*g->manifests));
    g->mean = csl_alloc_array((size_t)s->study->schema.parameters, sizeof(*g->mean));
    g->words = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*g->words));
    g->sum = csl_alloc_array(CSL_PRG_CHUNK_WORDS, sizeof(*g->sum));
    g->takes_part = csl_alloc_array(s->site_count, sizeof(*g->takes_part));
    g->is_ready = csl_alloc_array(s->site_count, sizeof(*g->is_ready));
    if (g->takes_part == NULL || g->is_ready == NULL || g->joined == NULL || g->weights == NULL ||
        g->manifests == NULL || g->mean == NULL || g->words == NULL || g->sum == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for secure aggregation over %u sites",
                        s->site_count);
    return CSL_OK;
}

enum csl_code csl_service_open_secagg__(struct csl_service *s, struct csl_err *err)
{
    if (!s->study->secagg.is_on)
        return CSL_OK;
    const struct csl_secagg_roster *roster = s->config.secagg_roster;
    bool is_unmasked = s->config.is_unmasked;
    if (!is_unmasked && (s->config.secagg_key == NULL || roster == NULL))
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "secure_aggregation: this version has it in simulations in one process "
                        "only, where the keys of the federation are made");
    if (!is_unmasked && roster->count != s->site_count)
        return CSL_FAIL(err, CSL_E_INVAL, "a signed roster of %u sites for a study of %u",
                        roster->count, s->site_count);
    enum csl_code code = csl_service_secagg_check_size__(s, err);
    if (code != CSL_OK)
        return code;
    s->secagg = csl_alloc(sizeof(*s->secagg));
    if (s->secagg == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for secure aggregation");
    s->secagg->only_site = NO_SITE;
    return allocate(s->secagg, s, err);
}

void csl_service_free_secagg__(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    if (g == NULL)
        return;
    csl_secagg_coordinator_free(g->fsm);
    for (uint32_t i = 0; i < CSL_SECAGG_RESULTS_KEPT; i++)
        csl_msg_release(&g->results[i]);
    csl_free(g->joined);
    csl_free(g->weights);
    csl_free(g->manifests);
    csl_free(g->mean);
    csl_free(g->words);
    csl_free(g->sum);
    csl_free(g->takes_part);
    csl_free(g->is_ready);
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
    struct csl_err err = {.code = CSL_OK};
    bool is_elsewhere = g->only_site != NO_SITE && g->only_site != site;
    if (s->io[site].conn == 0 || !csl_coord_site(s->core, site)->has_greeted || is_elsewhere)
        return;
    csl_buf_init(&b, CSL_SECAGG_WHOLE_MAX);
    bool is_config = bytes.p[0] == CSL_SECAGG_CONFIG;
    csl_buf_u8(&b, is_config ? 0 : 1);
    if (is_config)
        csl_buf_le32(&b, (uint32_t)bytes.n);
    csl_buf_append(&b, bytes.p, bytes.n);
    size_t table = (size_t)s->site_count * s->study->schema.block_count;
    for (size_t i = 0; is_config && i < table; i++)
        csl_buf_le32(&b, g->weights[i]);
    enum csl_code code = csl_buf_status(&b, &err);
    for (size_t at = 0; code == CSL_OK && at < b.n; at += CSL_SECAGG_BYTES_MAX) {
        code = csl_parts_cut(&m.u.secagg, CSL_SPAN(b.p, b.n), at, &err);
        if (code == CSL_OK)
            csl_service_send__(s, site, &m);
        csl_message_release(&m);
    }
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
    csl_buf_release(&b);
}

/* The chain's new head, from the first copy of M13. */
static void keep_result(struct csl_service_secagg *g, struct csl_span bytes)
{
    struct csl_secagg_message m;
    struct csl_msg copy = {NULL, 0};
    if (bytes.p[0] != CSL_SECAGG_RESULT || csl_secagg_decode(&m, bytes, NULL) != CSL_OK ||
        memcmp(m.u.result.head, g->head, sizeof(g->head)) == 0 ||
        csl_msg_copy(&copy, bytes, NULL) != CSL_OK)
        return;
    memcpy(g->head, m.u.result.head, sizeof(g->head));
    struct csl_msg *place = &g->results[g->result_count++ % CSL_SECAGG_RESULTS_KEPT];
    csl_msg_release(place);
    *place = copy;
}

static void on_action(void *ctx, const struct csl_secagg_coordinator_action *a)
{
    struct csl_service *s = ctx;
    switch (a->kind) {
    case CSL_SECAGG_CA_SEND:
        keep_result(s->secagg, a->bytes);
        send_bytes(s, a->site - 1, a->bytes);
        break;
    case CSL_SECAGG_CA_RELEASE:
        s->secagg->is_released = true;
        break;
    case CSL_SECAGG_CA_NAME:
    case CSL_SECAGG_CA_ALARM:
        csl_log(CSL_LOG_WARN, "secagg.fault",
                CSL_STR("site", csl_coord_site(s->core, a->site - 1)->id),
                CSL_STR("what", a->text));
        break;
    case CSL_SECAGG_CA_CERTIFICATE:
        csl_log(CSL_LOG_WARN, "secagg.abandoned", CSL_U64("round", s->secagg->round));
        break;
    case CSL_SECAGG_CA_JOURNAL: /* see the header */
    case CSL_SECAGG_CA_RECEIVE: /* the upload is announced and granted as every other */
        break;
    }
}

static enum csl_code step(struct csl_service *s, const struct csl_secagg_coordinator_event *ev,
                          struct csl_err *err)
{
    const struct csl_secagg_coordinator_out out = {s, on_action};
    return csl_secagg_coordinator_step(s->secagg->fsm, ev, &out, err);
}

/* --- a round begins --- */

static void begin(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    const struct csl_secagg_coordinator_setup setup = {.key = s->config.secagg_key,
                                                       .roster = s->config.secagg_roster,
                                                       .memory = CSL_SECRET_MAY_SWAP};
    struct csl_err err = {.code = CSL_OK};
    csl_secagg_coordinator_free(g->fsm);
    g->fsm = NULL;
    g->round = g->due_round;
    g->due_round = 0;
    g->opened_ns = s->now_ns;
    g->wants_close = g->is_released = false;
    memset(g->manifests, 0, s->site_count * sizeof(*g->manifests));
    csl_service_secagg_describe__(s, &g->config);
    enum csl_code code = csl_service_secagg_check_floors__(s, false, &err);
    if (code == CSL_OK && !s->config.is_unmasked)
        code = csl_secagg_coordinator_new(&g->fsm, &setup, &err);
    if (code == CSL_OK && g->fsm != NULL)
        code = step(s,
                    &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_OPEN,
                                                           .config = &g->config},
                    &err);
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
}

/* The tasks of the round leave first: a site joins for the model that its task names. */
void csl_service_secagg_open_round__(struct csl_service *s, uint64_t round)
{
    s->secagg->due_round = round;
}

/* --- messages --- */

static void take_message(struct csl_service *s, uint32_t site, struct csl_span bytes)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    struct csl_secagg_message m;
    if (g->fsm == NULL)
        return; /* of a round that nobody collects any more */
    enum csl_code code = step(s,
                              &(struct csl_secagg_coordinator_event){
                                  .kind = CSL_SECAGG_CE_MESSAGE, .site = site + 1, .bytes = bytes},
                              &err);
    bool is_taken = code == CSL_OK && csl_secagg_decode(&m, bytes, NULL) == CSL_OK;
    if (is_taken && m.type == CSL_SECAGG_ADVERTISE)
        g->joined[site] = g->result_count;
    if (is_taken && m.type == CSL_SECAGG_MANIFEST)
        g->manifests[site] = m.u.manifest;
    if (code != CSL_OK)
        csl_log(CSL_LOG_INFO, "secagg.refused", CSL_STR("site", csl_coord_site(s->core, site)->id),
                CSL_STR("why", err.msg));
}

enum csl_code csl_service_secagg_part__(struct csl_service *s, uint32_t site,
                                        const struct csl_msg_secagg *part)
{
    struct csl_span whole;
    struct csl_err err;
    uint64_t bytes_max = csl_secagg_bytes_from_site(s->site_count, s->study->secagg.colluding,
                                                    s->study->schema.block_count);
    enum csl_code code = csl_parts_take(&s->io[site].parts, part, bytes_max, &whole, &err);
    if (code != CSL_OK)
        csl_log(CSL_LOG_WARN, "site.bad_message",
                CSL_STR("site", csl_coord_site(s->core, site)->id), CSL_STR("why", err.msg));
    else if (whole.n > 0)
        take_message(s, site, whole);
    return code;
}

void csl_service_secagg_greet__(struct csl_service *s, uint32_t site)
{
    struct csl_service_secagg *g = s->secagg;
    const struct csl_secagg_coordinator_out out = {s, on_action};
    if (!csl_coord_site(s->core, site)->has_greeted)
        return;
    uint64_t oldest =
        g->result_count > CSL_SECAGG_RESULTS_KEPT ? g->result_count - CSL_SECAGG_RESULTS_KEPT : 0;
    for (uint64_t i = g->joined[site]; i >= oldest && i < g->result_count; i++)
        send_bytes(s, site, csl_msg_span(&g->results[i % CSL_SECAGG_RESULTS_KEPT]));
    if (g->fsm == NULL)
        return;
    g->only_site = site;
    csl_secagg_coordinator_resume(g->fsm, &out);
    g->only_site = NO_SITE;
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

static size_t chunk_words(const struct csl_service_secagg *g, uint32_t index, uint64_t chunk)
{
    uint64_t left =
        csl_secagg_block_words(&g->config, index) - chunk * (uint64_t)CSL_PRG_CHUNK_WORDS;
    return left < CSL_PRG_CHUNK_WORDS ? (size_t)left : CSL_PRG_CHUNK_WORDS;
}

static enum csl_code read_chunk(struct csl_service *s, uint32_t site, uint32_t index,
                                uint64_t chunk, struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    uint64_t at;
    CSL_ASSERT(find_words(g, site, index, &at));
    return csl_blob_read(s->spool, s->io[site].spool,
                         (at + chunk * CSL_PRG_CHUNK_WORDS) * sizeof(uint64_t), (uint8_t *)g->words,
                         chunk_words(g, index, chunk) * sizeof(uint64_t), err);
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
        csl_secagg_root_add(&root, g->words, chunk_words(g, index, c));
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
    return step(
        s, &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_RECEIVED, .site = site + 1},
        err);
}

/* g->sum = the words of one chunk over the survivors, without masks. */
static enum csl_code open_chunk(struct csl_service *s, const struct csl_secagg_masks *masks,
                                struct csl_prg *prg, uint32_t index, uint64_t chunk,
                                struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    size_t n = chunk_words(g, index, chunk);
    memset(g->sum, 0, n * sizeof(*g->sum));
    for (uint32_t i = 0; i < s->site_count; i++) {
        bool is_in = masks != NULL ? csl_secagg_coordinator_is_in_block(g->fsm, i + 1, index)
                                   : csl_service_secagg_is_held__(s, i, index);
        if (!is_in)
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

static enum csl_code open_sum(struct csl_service *s, uint8_t root[32], struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    uint32_t blocks = g->config.block_count;
    struct csl_secagg_masks *masks = NULL;
    struct csl_prg *prg = NULL;
    struct csl_sha256 hash;
    double weights[CSL_BLOCKS_MAX + 1], total = 0;
    enum csl_code code = CSL_OK;
    if (!s->config.is_unmasked)
        code = csl_secagg_coordinator_masks(g->fsm, &masks, err);
    if (code == CSL_OK)
        code = csl_prg_new(&prg, err);
    if (code == CSL_OK)
        code = open_chunk(s, masks, prg, blocks, 0, err); /* the scalars fit one chunk */
    csl_sha256_init(&hash);
    if (code == CSL_OK)
        csl_sha256_update(&hash, g->sum, g->config.scalar_count * sizeof(*g->sum));
    for (uint32_t b = 0; code == CSL_OK && b <= blocks; b++)
        weights[b] = csl_scalar_decode(g->sum[b]);
    for (uint32_t b = 0; code == CSL_OK && b < blocks; b++) {
        total += weights[b];
        g->has_block[b] = weights[b] > 0;
        for (uint32_t c = 0;
             code == CSL_OK && g->has_block[b] && c < csl_secagg_block_chunks(&g->config, b); c++) {
            size_t n = chunk_words(g, b, c);
            code = open_chunk(s, masks, prg, b, c, err);
            csl_sha256_update(&hash, g->sum, n * sizeof(*g->sum));
            if (code == CSL_OK)
                decode(s, b, (uint64_t)c * CSL_PRG_CHUNK_WORDS, n, weights[b]);
        }
    }
    if (code == CSL_OK)
        g->loss = total > 0 ? weights[blocks] / total : 0;
    csl_sha256_final(&hash, root);
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
    if (code != CSL_OK) {
        csl_service_fail__(s, &err);
        return;
    }
    csl_service_aggregate__(s, g->round);
    if (s->failure.code != CSL_OK || s->config.is_unmasked)
        return;
    code = step(s,
                &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_RESULT,
                                                       .result_root = root,
                                                       .model_hash = s->broadcast_digest},
                &err);
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
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
        bool takes_part = is_open ? site->in_cohort : g->takes_part[i];
        if (takes_part && site->progress != CSL_SITE_FAILED &&
            !csl_secagg_coordinator_is_ready(g->fsm, i + 1))
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
    for (uint32_t i = 0; i < s->site_count; i++)
        g->is_ready[i] = csl_secagg_coordinator_is_ready(g->fsm, i + 1);
    if (step(s, &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_CLOSE}, &err) ==
        CSL_OK) {
        memcpy(g->takes_part, g->is_ready, s->site_count * sizeof(*g->takes_part));
        return true;
    }
    if (!is_waiting || s->now_ns >= round_end_ns(s)) /* too few, and nobody else can come */
        csl_service_fail__(s, &err);
    return false;
}

void csl_service_secagg_close__(struct csl_service *s)
{
    s->secagg->wants_close = true;
}

static void close_uploads(struct csl_service *s)
{
    struct csl_err err = {.code = CSL_OK};
    s->secagg->wants_close = false;
    enum csl_code code = csl_service_secagg_check_floors__(s, true, &err);
    if (s->config.is_unmasked)
        s->secagg->is_released = code == CSL_OK; /* nobody has to vote on what is seen anyway */
    else if (code == CSL_OK)
        code = step(s, &(struct csl_secagg_coordinator_event){.kind = CSL_SECAGG_CE_CLOSE}, &err);
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
    while (g->fsm != NULL && s->failure.code == CSL_OK &&
           collects(csl_secagg_coordinator_stage(g->fsm)) && close_stage(s))
        did = true;
    if (g->wants_close && s->failure.code == CSL_OK) {
        close_uploads(s);
        did = true;
    }
    if (g->is_released && s->failure.code == CSL_OK) {
        release(s);
        did = true;
    }
    return did;
}

uint64_t csl_service_secagg_wakeup_ns__(const struct csl_service *s)
{
    const struct csl_service_secagg *g = s->secagg;
    if (g->fsm == NULL || !collects(csl_secagg_coordinator_stage(g->fsm)))
        return UINT64_MAX;
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
