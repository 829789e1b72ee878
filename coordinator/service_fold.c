/* Folding: verified updates, from their spools into the sum. All updates that are due at the same
 * time are folded together, slice by slice, so that a slice of the sum (twice the size of the
 * values) passes through memory once and not once per site; and on several threads, each with its
 * own slices. The sum is of integers: neither the order nor the threads show in it. */
#include "coordinator/service_secagg.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"

#include <string.h>
#include <unistd.h>

#define THREADS_MAX  4u
#define THREAD_BYTES (UINT64_C(8) * 1024 * 1024) /* of updates: less is not worth a thread */
#define SLICE_COUNT  (CSL_SERVICE_IO_BYTES / sizeof(float))

/* After a restart the spool has to prove itself again: the power may have taken some of it. */
static enum csl_code verify_spool(struct csl_service *s, uint32_t site,
                                  const struct csl_coord_update *u, struct csl_err *err)
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    for (uint64_t at = 0; at < u->bytes_total;) {
        uint64_t left = u->bytes_total - at;
        size_t n = left < CSL_SERVICE_IO_BYTES ? (size_t)left : CSL_SERVICE_IO_BYTES;
        enum csl_code code = csl_blob_read(s->spool, s->io[site].spool, at, s->io_buffer, n, err);
        if (code != CSL_OK)
            return code;
        csl_sha256_update(&h, s->io_buffer, n);
        at += n;
    }
    uint8_t digest[CSL_DIGEST_BYTES];
    csl_sha256_final(&h, digest);
    if (memcmp(digest, u->digest, CSL_DIGEST_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT, "the spooled update does not have its digest");
    return CSL_OK;
}

bool csl_service_find_block__(const struct csl_service *s, const struct csl_coord_update *u,
                              uint32_t vector, uint32_t block, uint64_t *at)
{
    uint64_t before = 0, all = 0;
    bool is_there = false;
    for (uint32_t i = 0; i < u->block_count; i++) {
        if (u->blocks[i].block == block) {
            before = all;
            is_there = true;
        }
        all += s->study->schema.blocks[u->blocks[i].block].count;
    }
    *at = (vector * all + before) * sizeof(float);
    return is_there;
}

struct part { /* of the slices: those whose number is `index` modulo `of` */
    struct csl_service *s;
    uint32_t index, of;
    uint8_t *buffer; /* [CSL_SERVICE_IO_BYTES] */
    struct csl_thread thread;
    enum csl_code code;
    struct csl_err err;
};

/* One slice of every pending update. */
static enum csl_code fold_slice(struct part *p, uint32_t vector, uint32_t block, uint64_t first)
{
    struct csl_service *s = p->s;
    uint64_t left = s->study->schema.blocks[block].count - first, at;
    size_t n = left < SLICE_COUNT ? (size_t)left : SLICE_COUNT;
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < s->fold_count; i++) {
        uint32_t site = s->folds[i];
        double weight = csl_coord_weight(s->core, site, block);
        if (!csl_service_find_block__(s, &csl_coord_site(s->core, site)->update, vector, block,
                                      &at) ||
            !(weight > 0))
            continue;
        code = csl_blob_read(s->spool, s->io[site].spool, at + first * sizeof(float), p->buffer,
                             n * sizeof(float), &p->err);
        if (code == CSL_OK)
            code = csl_accumulator_add(s->accumulator, vector, block, first,
                                       (const float *)(const void *)p->buffer, n, weight, &p->err);
    }
    return code;
}

static void run_part(void *arg)
{
    struct part *p = arg;
    const struct csl_schema *schema = &p->s->study->schema;
    uint64_t slice = 0;
    for (uint32_t v = 0; v < p->s->strategy->update_vectors; v++)
        for (uint32_t b = 0; b < schema->block_count; b++)
            for (uint64_t first = 0; first < schema->blocks[b].count; first += SLICE_COUNT)
                if (slice++ % p->of == p->index && p->code == CSL_OK)
                    p->code = fold_slice(p, v, b, first);
}

/* Blobs in memory (simulations) are of one thread. */
static uint32_t part_count(const struct csl_service *s)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->fold_count; i++)
        bytes += csl_coord_site(s->core, s->folds[i])->update.bytes_total;
    long processors = s->config.state_dir == NULL ? 1 : sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t n = 1 + bytes / THREAD_BYTES;
    n = processors > 0 && n > (uint64_t)processors ? (uint64_t)processors : n;
    return n < THREADS_MAX ? (uint32_t)n : THREADS_MAX;
}

/* A part that gets no thread of its own is done here. */
static enum csl_code fold_all(struct csl_service *s, struct csl_err *err)
{
    struct part parts[THREADS_MAX];
    uint32_t count = part_count(s);
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = (struct part){.s = s, .index = i, .of = count, .code = CSL_OK};
        parts[i].buffer = i == 0 ? NULL : csl_alloc_aligned(64, CSL_SERVICE_IO_BYTES);
        if (parts[i].buffer != NULL && csl_thread_start(&parts[i].thread, "fold", run_part,
                                                        &parts[i], &parts[i].err) == CSL_OK)
            continue;
        csl_free(parts[i].buffer);
        parts[i].buffer = NULL;
    }
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; i < count; i++) {
        bool is_ours = parts[i].buffer == NULL;
        if (is_ours) {
            parts[i].buffer = s->io_buffer;
            run_part(&parts[i]);
        }
        csl_thread_join(&parts[i].thread);
        if (!is_ours)
            csl_free(parts[i].buffer);
        if (code == CSL_OK && parts[i].code != CSL_OK) {
            code = parts[i].code;
            *err = parts[i].err;
        }
    }
    return code;
}

static void answer(struct csl_service *s, uint32_t site, enum csl_code code)
{
    csl_service_answer__(
        s, &(struct csl_coord_event){
               .kind = CSL_CE_FOLDED, .site_index = site, .round = s->fold_round, .code = code});
}

/* Nothing of the site is in the sum yet. *is_lost: its spool is short or damaged, and the core has
 * the answer. */
static enum csl_code prepare(struct csl_service *s, uint32_t site, bool *is_lost,
                             struct csl_err *err)
{
    const struct csl_coord_update *u = &csl_coord_site(s->core, site)->update;
    csl_mutex_lock(&s->lock);
    bool is_verified = s->io[site].verified_round == u->round;
    csl_mutex_unlock(&s->lock);
    enum csl_code code = is_verified ? CSL_OK : verify_spool(s, site, u, err);
    *is_lost = code == CSL_E_CORRUPT;
    if (*is_lost) {
        csl_log(CSL_LOG_WARN, "spool.lost", CSL_STR("site", csl_coord_site(s->core, site)->id),
                CSL_STR("why", err->msg));
        csl_blob_remove(s->spool, s->io[site].spool);
        answer(s, site, code);
        return CSL_OK;
    }
    if (s->secagg != NULL && code == CSL_OK) { /* nothing to fold: what is under masks has no sum */
        code = csl_service_secagg_received__(s, site, err);
        if (code != CSL_OK && code != CSL_E_INVAL && code != CSL_E_STATE)
            return code; /* not the site's fault */
        if (code != CSL_OK)
            csl_log(CSL_LOG_WARN, "update.refused",
                    CSL_STR("site", csl_coord_site(s->core, site)->id), CSL_STR("why", err->msg));
        answer(s, site, code);
        *is_lost = true;
        return CSL_OK;
    }
    for (uint32_t i = 0; code == CSL_OK && i < u->block_count; i++) {
        double weight = csl_coord_weight(s->core, site, u->blocks[i].block);
        if (weight > 0)
            code = csl_accumulator_begin(s->accumulator, u->blocks[i].block, weight, err);
    }
    return code;
}

/* From here on no upload of the site may write to its spool or remove it: a second one, granted
 * while the report of the first was waiting, may still be under way. */
void csl_service_close_spool__(struct csl_service *s, uint32_t site)
{
    struct csl_site_io *io = &s->io[site];
    csl_mutex_lock(&io->lock);
    io->generation++;
    csl_mutex_lock(&s->lock);
    io->upload.is_valid = false;
    csl_mutex_unlock(&s->lock);
    csl_mutex_unlock(&io->lock);
}

void csl_service_fold__(struct csl_service *s, uint32_t site, uint64_t round)
{
    /* The core closes no round and opens none while an update is being folded. */
    CSL_ASSERT(s->fold_count < s->site_count && (s->fold_count == 0 || s->fold_round == round));
    csl_service_close_spool__(s, site);
    s->folds[s->fold_count++] = site;
    s->fold_round = round;
}

void csl_service_fold_pending__(struct csl_service *s)
{
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = CSL_OK;
    uint32_t due = s->fold_count;
    s->fold_count = 0;
    if (s->failure.code != CSL_OK)
        return;
    for (uint32_t i = 0; code == CSL_OK && i < due; i++) {
        bool is_lost;
        uint32_t site = s->folds[i];
        code = prepare(s, site, &is_lost, &err);
        if (!is_lost)
            s->folds[s->fold_count++] = site;
    }
    if (code == CSL_OK && s->fold_count > 0)
        code = fold_all(s, &err);
    if (code != CSL_OK) /* a restart rebuilds the sum */
        csl_service_fail__(s, &err);
    for (uint32_t i = 0; code == CSL_OK && i < s->fold_count; i++) {
        csl_log(CSL_LOG_INFO, "update.counted",
                CSL_STR("site", csl_coord_site(s->core, s->folds[i])->id),
                CSL_U64("round", s->fold_round),
                CSL_U64("staleness", csl_coord_staleness(s->core, s->folds[i])));
        answer(s, s->folds[i], CSL_OK);
    }
    s->fold_count = 0;
}
