/* What answers to audits are made of, in memory and on disk. */
#include "coordinator/service_secagg_audit.h"

#include "base/buf.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "coordinator/service_secagg.h"
#include "protocol/study/evaluation.h"

#include <stdio.h>
#include <string.h>

enum {
    UPLOADS_RECORD = CSL_SERVICE_AUDIT_RECORDS, /* le64 round, {le32 site, u8 length, spool} */
    ASKED_RECORD                                /* le32 site, digest of its M14 */
};

static enum csl_code path_of(const struct csl_service *s, const char *name, char out[CSL_PATH_MAX],
                             struct csl_err *err)
{
    return csl_path_join(out, CSL_PATH_MAX, s->config.state_dir, name, err);
}

void csl_service_audit_sum_name__(uint64_t round, uint32_t block, char out[CSL_ID_MAX])
{
    snprintf(out, CSL_ID_MAX, "sum-%llu-%u", (unsigned long long)round, block);
}

/* Spools are update-SITE-DIGEST (service_round.c). */
void csl_service_audit_hash_name__(const struct csl_service *s, uint32_t site, uint32_t block,
                                   char out[CSL_ID_MAX])
{
    const char *spool = s->secagg->audit->spools[site];
    snprintf(out, CSL_ID_MAX, "hash%s-%u", strchr(spool, '-'), block);
}

/* --- life --- */

enum csl_code csl_service_audit_open__(struct csl_service *s, struct csl_err *err)
{
    if (s->study->secagg.audit_chunks == 0 || s->config.is_unmasked)
        return CSL_OK;
    struct csl_service_audit *a = s->secagg->audit = csl_alloc(sizeof(*a));
    if (a != NULL) {
        a->spools = csl_alloc_array(s->site_count, sizeof(*a->spools));
        a->jobs = csl_alloc_array(s->site_count, sizeof(*a->jobs));
        a->told = csl_alloc_array(s->site_count, sizeof(*a->told));
    }
    if (a == NULL || a->spools == NULL || a->jobs == NULL || a->told == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for audits by %u sites", s->site_count);
    return CSL_OK;
}

void csl_service_audit_free__(struct csl_service *s)
{
    struct csl_service_audit *a = s->secagg->audit;
    if (a == NULL)
        return;
    csl_secagg_coordinator_free(a->fsm);
    csl_secagg_journal_close(a->journal);
    csl_free(a->spools);
    csl_free(a->jobs);
    csl_free(a->told);
    csl_free(a);
    s->secagg->audit = NULL;
}

struct csl_secagg_coordinator *csl_service_audit_machine__(const struct csl_service *s)
{
    const struct csl_service_secagg *g = s->secagg;
    const struct csl_service_audit *a = g->audit;
    if (a == NULL || a->round == 0 || a->fsm != NULL)
        return a == NULL ? NULL : a->fsm;
    bool is_in_place = g->fsm != NULL && g->round == a->round &&
                       csl_secagg_coordinator_stage(g->fsm) == CSL_SECAGG_STAGE_DONE;
    return is_in_place ? g->fsm : NULL;
}

/* --- what is kept --- */

enum csl_code csl_service_audit_note__(struct csl_service *s, uint32_t block, uint32_t chunk,
                                       size_t n, struct csl_err *err)
{
    const struct csl_service_secagg *g = s->secagg;
    char name[CSL_ID_MAX];
    uint8_t hash[32];
    if (g->audit == NULL)
        return CSL_OK;
    csl_service_audit_sum_name__(g->round, block, name);
    csl_sha256_digest(g->sum, n * sizeof(*g->sum), hash);
    return csl_blob_write(s->spool, name, (uint64_t)32 * chunk, CSL_SPAN(hash, 32), err);
}

static enum csl_code record_uploads(struct csl_service *s, struct csl_err *err)
{
    const struct csl_service_audit *a = s->secagg->audit;
    struct csl_buf b;
    if (s->secagg->journal == NULL)
        return CSL_OK;
    csl_buf_init(&b, 8 + (size_t)s->site_count * (5 + CSL_ID_MAX));
    csl_buf_le64(&b, a->round);
    for (uint32_t i = 0; i < s->site_count; i++) {
        size_t n = strlen(a->spools[i]);
        if (n == 0)
            continue;
        csl_buf_le32(&b, csl_service_secagg_number__(s, i));
        csl_buf_u8(&b, (uint8_t)n);
        csl_buf_append(&b, a->spools[i], n);
    }
    enum csl_code code = csl_buf_status(&b, err);
    struct csl_secagg_journal_record r = {.type = UPLOADS_RECORD, .payload = CSL_SPAN(b.p, b.n)};
    if (code == CSL_OK)
        code = csl_secagg_journal_append(s->secagg->journal, &r, err);
    csl_buf_release(&b);
    return code;
}

enum csl_code csl_service_audit_begin__(struct csl_service *s, struct csl_err *err)
{
    const struct csl_service_secagg *g = s->secagg;
    struct csl_service_audit *a = g->audit;
    char name[CSL_ID_MAX];
    enum csl_code code = CSL_OK;
    if (a == NULL)
        return CSL_OK;
    if (a->round != g->round) /* else it was opened before a restart, from the same uploads */
        csl_service_audit_drop__(s);
    a->round = g->round;
    for (uint32_t i = 0; i < s->site_count; i++) {
        bool is_in = csl_secagg_coordinator_is_survivor(g->fsm, csl_service_secagg_number__(s, i));
        csl_mutex_lock(&s->io[i].lock);
        memset(a->spools[i], 0, sizeof(a->spools[i]));
        if (is_in)
            memcpy(a->spools[i], s->io[i].spool, sizeof(a->spools[i]));
        csl_mutex_unlock(&s->io[i].lock);
    }
    for (uint32_t b = 0; code == CSL_OK && b < csl_secagg_block_total(&g->config); b++) {
        csl_service_audit_sum_name__(a->round, b, name);
        if (csl_blob_size(s->spool, name) > 0)
            code = csl_blob_sync(s->spool, name, err);
    }
    return code == CSL_OK ? record_uploads(s, err) : code;
}

static enum csl_code refuse_record(void *ctx, const struct csl_secagg_journal_record *r,
                                   struct csl_err *err)
{
    (void)ctx;
    return CSL_FAIL(err, CSL_E_CORRUPT, "a record of type %u in a journal that is new", r->type);
}

static enum csl_code move_journal(struct csl_service *s, struct csl_err *err)
{
    const struct csl_secagg_journal_reader reader = {NULL, refuse_record};
    struct csl_service_secagg *g = s->secagg;
    char path[CSL_PATH_MAX];
    if (g->journal == NULL)
        return CSL_OK;
    enum csl_code code = path_of(s, "secagg-audit.journal", path, err);
    if (code == CSL_OK)
        code = csl_secagg_journal_move(g->journal, path, err);
    if (code != CSL_OK)
        return code;
    g->audit->journal = g->journal;
    g->journal = NULL;
    code = path_of(s, "secagg.journal", path, err);
    return code == CSL_OK ? csl_secagg_journal_open(&g->journal, path, &reader, err) : code;
}

void csl_service_audit_set_aside__(struct csl_service *s)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_err err = {.code = CSL_OK};
    if (csl_service_audit_machine__(s) == NULL || g->audit->fsm != NULL)
        return;
    g->audit->fsm = g->fsm;
    g->fsm = NULL;
    if (move_journal(s, &err) != CSL_OK)
        csl_service_fail__(s, &err);
}

/* The uploads with the hashes of their blocks, and those of the sum's; room for all of them. */
static uint32_t name_kept(const struct csl_service *s, char (*names)[CSL_ID_MAX])
{
    const struct csl_service_audit *a = s->secagg->audit;
    uint32_t blocks = csl_study_block_ids(s->study) + 1, count = 0;
    for (uint32_t i = 0; i < s->site_count; i++) {
        if (a->spools[i][0] == '\0')
            continue;
        memcpy(names[count++], a->spools[i], CSL_ID_MAX);
        for (uint32_t b = 0; b < blocks; b++)
            csl_service_audit_hash_name__(s, i, b, names[count++]);
    }
    for (uint32_t b = 0; b < blocks; b++)
        csl_service_audit_sum_name__(a->round, b, names[count++]);
    return count;
}

bool csl_service_audit_keep__(struct csl_service *s)
{
    const struct csl_service_audit *a = s->secagg->audit;
    if (a == NULL || a->round == 0)
        return false;
    size_t blocks = (size_t)csl_study_block_ids(s->study) + 1;
    size_t most = s->site_count * (1 + blocks) + blocks;
    char(*names)[CSL_ID_MAX] = csl_alloc_array(most, sizeof(*names));
    const char **keep = csl_alloc_array(most, sizeof(*keep));
    bool has_room =
        names != NULL && keep != NULL; /* else sites that ask get no answer, and say so */
    uint32_t count = has_room ? name_kept(s, names) : 0;
    for (uint32_t i = 0; i < count; i++)
        keep[i] = names[i];
    if (has_room)
        csl_blobs_keep_only(s->spool, keep, count);
    csl_free(names);
    csl_free(keep);
    return has_room;
}

void csl_service_audit_drop__(struct csl_service *s)
{
    struct csl_service_audit *a = s->secagg->audit;
    char name[CSL_ID_MAX];
    if (a == NULL || a->round == 0)
        return;
    for (uint32_t b = 0; b <= csl_study_block_ids(s->study); b++) {
        csl_service_audit_sum_name__(a->round, b, name);
        csl_blob_remove(s->spool, name);
    }
    for (uint32_t i = 0; i < s->site_count; i++) {
        if (a->spools[i][0] == '\0')
            continue;
        for (uint32_t b = 0; b <= csl_study_block_ids(s->study); b++) {
            csl_service_audit_hash_name__(s, i, b, name);
            csl_blob_remove(s->spool, name);
        }
        csl_blob_remove(s->spool, a->spools[i]);
    }
    csl_secagg_coordinator_free(a->fsm);
    csl_secagg_journal_destroy(a->journal);
    a->fsm = NULL;
    a->journal = NULL;
    a->round = 0;
    memset(a->spools, 0, s->site_count * sizeof(*a->spools));
    memset(a->jobs, 0, s->site_count * sizeof(*a->jobs));
}

enum csl_code csl_service_audit_record_asked__(struct csl_service *s, uint32_t site,
                                               struct csl_err *err)
{
    const struct csl_service_audit *a = s->secagg->audit;
    struct csl_secagg_journal *j = a->fsm != NULL ? a->journal : s->secagg->journal;
    uint8_t payload[4 + CSL_SHA256_BYTES];
    csl_store_le32(payload, csl_service_secagg_number__(s, site));
    memcpy(payload + 4, a->jobs[site].digest, CSL_SHA256_BYTES);
    struct csl_secagg_journal_record r = {.type = ASKED_RECORD,
                                          .payload = CSL_SPAN(payload, sizeof(payload))};
    return j == NULL ? CSL_OK : csl_secagg_journal_append(j, &r, err);
}

/* --- after a restart --- */

static enum csl_code read_uploads(struct csl_service *s, struct csl_span p, struct csl_err *err)
{
    struct csl_service_audit *a = s->secagg->audit;
    uint64_t round = p.n < 8 ? 0 : csl_load_le64(p.p);
    if (round != a->round)
        csl_service_audit_drop__(s);
    a->round = round;
    for (size_t at = 8; round != 0 && at < p.n;) {
        size_t left = p.n - at, n = left < 5 ? SIZE_MAX : p.p[at + 4];
        uint32_t site =
            left < 5 ? CSL_SECAGG_NOWHERE : csl_service_secagg_site__(s, csl_load_le32(p.p + at));
        if (site == CSL_SECAGG_NOWHERE || n == 0 || n >= CSL_ID_MAX || n > left - 5)
            return CSL_FAIL(err, CSL_E_CORRUPT, "a record of uploads that is none");
        memset(a->spools[site], 0, sizeof(a->spools[site]));
        memcpy(a->spools[site], p.p + at + 5, n);
        if (strchr(a->spools[site], '-') == NULL)
            return CSL_FAIL(err, CSL_E_CORRUPT, "a record of uploads with another name");
        at += 5 + n;
    }
    return round != 0 ? CSL_OK : CSL_FAIL(err, CSL_E_CORRUPT, "a record of uploads of no round");
}

enum csl_code csl_service_audit_restore_record__(struct csl_service *s,
                                                 const struct csl_secagg_journal_record *r,
                                                 struct csl_err *err)
{
    struct csl_service_audit *a = s->secagg->audit;
    if (a == NULL)
        return CSL_OK;
    if (r->type == UPLOADS_RECORD)
        return read_uploads(s, r->payload, err);
    uint32_t site = r->payload.n != 4 + CSL_SHA256_BYTES
                        ? CSL_SECAGG_NOWHERE
                        : csl_service_secagg_site__(s, csl_load_le32(r->payload.p));
    if (r->type != ASKED_RECORD || site == CSL_SECAGG_NOWHERE)
        return CSL_FAIL(err, CSL_E_CORRUPT, "a record of an audit that is none");
    a->jobs[site].has_asked = true;
    memcpy(a->jobs[site].digest, r->payload.p + 4, CSL_SHA256_BYTES);
    return CSL_OK;
}

/* Of the journal that was set aside: the machine's records and ours; the root is known from them.
 */
static enum csl_code restore_aside(void *ctx, const struct csl_secagg_journal_record *r,
                                   struct csl_err *err)
{
    struct csl_service *s = ctx;
    struct csl_service_audit *a = s->secagg->audit;
    enum csl_code code = CSL_OK;
    if (r->type >= CSL_SERVICE_AUDIT_RECORDS)
        return csl_service_audit_restore_record__(s, r, err);
    if (r->type > CSL_SECAGG_CJ_RESULT)
        return CSL_OK;
    if (a->fsm == NULL)
        code = csl_service_secagg_machine__(s, &a->fsm, err);
    return code == CSL_OK
               ? csl_secagg_coordinator_restore(a->fsm, (enum csl_secagg_coordinator_record)r->type,
                                                r->payload, err)
               : code;
}

static enum csl_code open_aside(struct csl_service *s, const char *path, struct csl_err *err)
{
    const struct csl_secagg_journal_reader reader = {s, restore_aside};
    struct csl_service_audit *a = s->secagg->audit;
    enum csl_code code = csl_secagg_journal_open(&a->journal, path, &reader, err);
    if (code != CSL_OK)
        return code;
    if (a->fsm == NULL || csl_secagg_coordinator_stage(a->fsm) != CSL_SECAGG_STAGE_DONE ||
        a->round != csl_secagg_coordinator_config(a->fsm)->round || a->round != s->version)
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s is not of round %llu", path,
                        (unsigned long long)s->version);
    return CSL_OK;
}

enum csl_code csl_service_audit_restore__(struct csl_service *s, struct csl_err *err)
{
    struct csl_service_audit *a = s->secagg->audit;
    char path[CSL_PATH_MAX], main_path[CSL_PATH_MAX];
    struct csl_err why = {.code = CSL_OK};
    if (a == NULL)
        return CSL_OK;
    enum csl_code code = path_of(s, "secagg-audit.journal", path, err);
    if (code == CSL_OK)
        code = path_of(s, "secagg.journal", main_path, err);
    if (code == CSL_OK)
        code = csl_secagg_journal_moved(main_path, path, err);
    if (code != CSL_OK || !csl_file_exists(path))
        return code;
    code = open_aside(s, path, &why);
    if (code == CSL_OK)
        return CSL_OK;
    csl_log_err(CSL_LOG_WARN, "secagg.audit_lost", &why);
    csl_service_audit_drop__(s);
    csl_secagg_coordinator_free(a->fsm); /* of a journal without uploads */
    csl_secagg_journal_close(a->journal);
    a->fsm = NULL;
    a->journal = NULL;
    csl_secagg_journal_erase(path);
    return CSL_OK;
}
