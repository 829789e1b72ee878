/* Requests for chunks of the sum, and their answers, message by message. */
#include "coordinator/service_secagg_audit.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "coordinator/service_secagg.h"
#include "privacy/secagg/audit.h"
#include "privacy/secagg/derive.h"

#include <string.h>

/* Sites at once: what waits for them is in memory. */
#define SERVED_MAX 4u
/* Messages that wait for a site before the next of an answer, which has up to CSL_SECAGG_PARTS_MAX
 * parts: other messages come too. */
#define WAITING_MAX 8u
#define STALLED_NS  (10 * CSL_NS_PER_S) /* who does not read for so long keeps nobody waiting */
#define LOOK_NS     (20 * CSL_NS_PER_MS)

/* --- requests --- */

static enum csl_code take(struct csl_service *s, uint32_t site, struct csl_span bytes,
                          struct csl_err *err)
{
    struct csl_service_audit_job *job = &s->secagg->audit->jobs[site];
    const struct csl_secagg_coordinator *fsm = csl_service_audit_machine__(s);
    struct csl_secagg_message m;
    uint8_t digest[CSL_SHA256_BYTES];
    if (fsm == NULL)
        return CSL_FAIL(err, CSL_E_STATE, "an audit before there is a result");
    enum csl_code code = csl_secagg_coordinator_audit_check(
        fsm, csl_service_secagg_number__(s, site), bytes, &m, err);
    if (code != CSL_OK)
        return code;
    if (m.u.audit.count > s->study->secagg.audit_chunks)
        return CSL_FAIL(err, CSL_E_DENIED, "%u chunks; at most %u in this study", m.u.audit.count,
                        s->study->secagg.audit_chunks);
    csl_sha256_digest(m.whole.p, m.whole.n, digest);
    if (job->has_asked &&
        (memcmp(job->digest, digest, sizeof(digest)) != 0 || job->asked_on == s->io[site].conn))
        return CSL_FAIL(err, CSL_E_DENIED, "a second request in one round");
    bool is_new = !job->has_asked;
    *job = (struct csl_service_audit_job){.conn = s->io[site].conn,
                                          .asked_on = s->io[site].conn,
                                          .moved_ns = s->now_ns,
                                          .count = m.u.audit.count,
                                          .has_asked = true};
    memcpy(job->digest, digest, sizeof(digest));
    memcpy(job->chunks, m.u.audit.chunks, (size_t)8 * m.u.audit.count);
    if (is_new && csl_service_audit_record_asked__(s, site, err) != CSL_OK)
        csl_service_fail__(s, err);
    return CSL_OK;
}

void csl_service_audit_ask__(struct csl_service *s, uint32_t site, struct csl_span bytes)
{
    struct csl_err err = {.code = CSL_OK};
    enum csl_code code = s->secagg->audit == NULL
                             ? CSL_FAIL(&err, CSL_E_DENIED, "the study has no audits")
                             : take(s, site, bytes, &err);
    if (code != CSL_OK)
        csl_service_log_site__(s, site, &s->io[site].audit_refusals, CSL_LOG_WARN,
                               "secagg.audit_refused", err.msg);
}

/* --- answers --- */

static enum csl_code read_sum(struct csl_service *s, const struct csl_secagg_config *c,
                              uint32_t block, uint8_t **hashes, struct csl_err *err)
{
    char name[CSL_ID_MAX];
    size_t n = (size_t)32 * csl_secagg_block_chunks(c, block);
    csl_service_audit_sum_name__(c->round, block, name);
    *hashes = csl_alloc(n);
    if (*hashes == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the hashes of a sum");
    return csl_blob_read(s->spool, name, 0, *hashes, n, err);
}

/* Of every block of the sum; zeros for a block that has none. */
static enum csl_code read_roots(struct csl_service *s, const struct csl_secagg_config *c,
                                uint8_t roots[CSL_BLOCKS_MAX + 1][32], struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t b = 0; code == CSL_OK && b < csl_secagg_block_total(c); b++) {
        uint8_t *hashes = NULL;
        char name[CSL_ID_MAX];
        memset(roots[b], 0, 32);
        csl_service_audit_sum_name__(c->round, b, name);
        if (csl_blob_size(s->spool, name) == 0)
            continue;
        code = read_sum(s, c, b, &hashes, err);
        if (code == CSL_OK)
            csl_secagg_root_of(hashes, csl_secagg_block_chunks(c, b), roots[b]);
        csl_free(hashes);
    }
    return code;
}

static enum csl_code write_answer(struct csl_service *s, uint32_t block, uint32_t chunk,
                                  struct csl_buf *out, struct csl_err *err)
{
    const struct csl_secagg_coordinator *fsm = csl_service_audit_machine__(s);
    const struct csl_secagg_config *c = csl_secagg_coordinator_config(fsm);
    uint8_t roots[CSL_BLOCKS_MAX + 1][32], *hashes = NULL;
    enum csl_code code = read_roots(s, c, roots, err);
    if (code == CSL_OK)
        code = read_sum(s, c, block, &hashes, err);
    if (code == CSL_OK)
        code = csl_secagg_coordinator_audit_answer(fsm, block, chunk, roots[0], hashes, out, err);
    csl_free(hashes);
    return code;
}

/* secagg->words = one chunk of an upload, in which only the blocks that the site sent stand. */
static enum csl_code read_chunk(struct csl_service *s, uint32_t site, uint32_t block,
                                uint32_t chunk, struct csl_err *err)
{
    const struct csl_secagg_coordinator *fsm = csl_service_audit_machine__(s);
    const struct csl_secagg_config *c = csl_secagg_coordinator_config(fsm);
    uint32_t number = csl_service_secagg_number__(s, site);
    uint64_t at = (uint64_t)chunk * CSL_PRG_CHUNK_WORDS;
    for (uint32_t b = 0; b < block; b++)
        if (csl_secagg_coordinator_is_in_block(fsm, number, b))
            at += csl_secagg_block_words(c, b);
    return csl_blob_read(s->spool, s->secagg->audit->spools[site], at * sizeof(uint64_t),
                         s->secagg->words,
                         csl_secagg_chunk_words(c, block, chunk) * sizeof(uint64_t), err);
}

/* One pass over the block; the hashes then stay until its round is dropped. */
static enum csl_code hash_upload(struct csl_service *s, uint32_t site, uint32_t block,
                                 const char *name, uint32_t chunks, struct csl_err *err)
{
    const struct csl_secagg_config *c =
        csl_secagg_coordinator_config(csl_service_audit_machine__(s));
    enum csl_code code = CSL_OK;
    csl_blob_remove(s->spool, name);
    for (uint32_t k = 0; code == CSL_OK && k < chunks; k++) {
        uint8_t hash[32];
        code = read_chunk(s, site, block, k, err);
        if (code != CSL_OK)
            break;
        csl_sha256_digest(s->secagg->words, csl_secagg_chunk_words(c, block, k) * sizeof(uint64_t),
                          hash);
        code = csl_blob_write(s->spool, name, (uint64_t)32 * k, CSL_SPAN(hash, 32), err);
    }
    return code;
}

static enum csl_code write_upload(struct csl_service *s, uint32_t site, uint32_t block,
                                  uint32_t chunk, struct csl_buf *out, struct csl_err *err)
{
    const struct csl_secagg_coordinator *fsm = csl_service_audit_machine__(s);
    uint32_t chunks = csl_secagg_block_chunks(csl_secagg_coordinator_config(fsm), block);
    char name[CSL_ID_MAX];
    uint8_t *hashes = csl_alloc((size_t)32 * chunks);
    enum csl_code code = CSL_OK;
    if (hashes == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the hashes of an upload");
    csl_service_audit_hash_name__(s, site, block, name);
    if (csl_blob_size(s->spool, name) != (uint64_t)32 * chunks)
        code = hash_upload(s, site, block, name, chunks, err);
    if (code == CSL_OK)
        code = csl_blob_read(s->spool, name, 0, hashes, (size_t)32 * chunks, err);
    if (code == CSL_OK)
        code = read_chunk(s, site, block, chunk, err);
    if (code == CSL_OK)
        code = csl_secagg_coordinator_audit_upload(fsm, csl_service_secagg_number__(s, site), block,
                                                   chunk, hashes, s->secagg->words, out, err);
    csl_free(hashes);
    return code;
}

/* The next site from job->next on whose upload is in the block's sum; site_count: none. */
static uint32_t next_upload(const struct csl_service *s, const struct csl_service_audit_job *job,
                            uint32_t block)
{
    const struct csl_secagg_coordinator *fsm = csl_service_audit_machine__(s);
    uint32_t i = job->next - 1;
    while (i < s->site_count &&
           !csl_secagg_coordinator_is_in_block(fsm, csl_service_secagg_number__(s, i), block))
        i++;
    return i;
}

static void serve(struct csl_service *s, uint32_t site)
{
    struct csl_service_audit *a = s->secagg->audit;
    struct csl_service_audit_job *job = &a->jobs[site];
    const struct csl_secagg_audit_request request = {.count = job->count, .chunks = job->chunks};
    struct csl_buf out;
    struct csl_err err = {.code = CSL_OK};
    uint32_t block, chunk;
    csl_buf_init(&out, CSL_SECAGG_WHOLE_MAX);
    csl_secagg_audit_at(&request, job->item, &block, &chunk);
    uint32_t of = job->next == 0 ? 0 : next_upload(s, job, block);
    enum csl_code code = job->next == 0 ? write_answer(s, block, chunk, &out, &err)
                                        : write_upload(s, of, block, chunk, &out, &err);
    if (code == CSL_OK)
        csl_service_secagg_tell__(s, site, CSL_SPAN(out.p, out.n));
    csl_buf_release(&out);
    job->moved_ns = s->now_ns;
    job->next = job->next == 0 ? 1 : of + 2;
    if (next_upload(s, job, block) == s->site_count) {
        job->item++;
        job->next = 0;
    }
    if (code != CSL_OK)
        csl_log(CSL_LOG_ERROR, "secagg.audit_unserved",
                CSL_STR("site", csl_coord_site(s->core, site)->id), CSL_STR("why", err.msg));
    if (code != CSL_OK || job->item == job->count) {
        job->conn = 0;
        a->first = (site + 1) % s->site_count;
    }
}

bool csl_service_audit_pump__(struct csl_service *s)
{
    struct csl_service_audit *a = s->secagg->audit;
    bool did = false;
    uint32_t served = 0;
    if (a == NULL || csl_service_audit_machine__(s) == NULL)
        return false;
    a->is_serving = false;
    for (uint32_t k = 0, from = a->first; k < s->site_count && served < SERVED_MAX; k++) {
        uint32_t site = (from + k) % s->site_count;
        struct csl_service_audit_job *job = &a->jobs[site];
        if (job->conn != s->io[site].conn)
            job->conn = 0; /* it asks again when it is back */
        if (job->conn == 0 || s->failure.code != CSL_OK)
            continue;
        a->is_serving = true;
        bool has_room =
            s->config.transport->ops->waiting(s->config.transport, job->conn) <= WAITING_MAX;
        if (has_room) {
            serve(s, site);
            did = true;
        }
        served += has_room || s->now_ns - job->moved_ns < STALLED_NS;
    }
    return did;
}

uint64_t csl_service_audit_wakeup_ns__(const struct csl_service *s)
{
    const struct csl_service_audit *a = s->secagg->audit;
    return a != NULL && a->is_serving ? s->now_ns + LOOK_NS : UINT64_MAX;
}
