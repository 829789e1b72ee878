/* The coordinator's side of secure aggregation on disk: secagg.journal, of the attempt that is
 * open; secagg.results, the last results of the chain. */
#include "coordinator/service_secagg.h"
#include "coordinator/service_secagg_audit.h"
#include "coordinator/service_secagg_internal.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"

#include <string.h>

/* The service's own records, among the machine's. */
enum {
    ROOT_RECORD = 0x200, /* of the sum that was opened; before its model is committed */
    CERTIFICATE_RECORD,  /* of an earlier attempt of the round; before M0 of the next */
    GIVEN_UP_RECORD      /* nothing in it; before the sites are asked to abandon the attempt */
};
#define RESULTS_BYTES_MAX                                                                          \
    ((size_t)8 + CSL_SECAGG_RESULTS_KEPT * ((size_t)4 + CSL_SECAGG_BYTES_MAX) + CSL_SHA256_BYTES)

static enum csl_code path_of(const struct csl_service *s, const char *name, char out[CSL_PATH_MAX],
                             struct csl_err *err)
{
    return csl_path_join(out, CSL_PATH_MAX, s->config.state_dir, name, err);
}

/* --- results --- */

static uint64_t oldest_result(const struct csl_service_secagg *g)
{
    return g->result_count > CSL_SECAGG_RESULTS_KEPT ? g->result_count - CSL_SECAGG_RESULTS_KEPT
                                                     : 0;
}

/* le64 how many there ever were, {le32 length, M13} of those kept, SHA-256 of all that. */
static enum csl_code save_results(const struct csl_service *s, struct csl_err *err)
{
    const struct csl_service_secagg *g = s->secagg;
    char path[CSL_PATH_MAX];
    struct csl_buf out;
    uint8_t digest[CSL_SHA256_BYTES];
    csl_buf_init(&out, RESULTS_BYTES_MAX);
    csl_buf_le64(&out, g->result_count);
    for (uint64_t i = oldest_result(g); i < g->result_count; i++) {
        const struct csl_msg *m = &g->results[i % CSL_SECAGG_RESULTS_KEPT];
        csl_buf_le32(&out, (uint32_t)m->n);
        csl_buf_append(&out, m->p, m->n);
    }
    enum csl_code code = csl_buf_status(&out, err);
    if (code == CSL_OK) {
        csl_sha256_digest(out.p, out.n, digest);
        csl_buf_append(&out, digest, sizeof(digest));
        code = csl_buf_status(&out, err);
    }
    if (code == CSL_OK)
        code = path_of(s, "secagg.results", path, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, CSL_SPAN(out.p, out.n), 0600, err);
    csl_buf_release(&out);
    return code;
}

static const char *trouble_of(const struct csl_service *s, bool is_first, struct csl_span bytes,
                              struct csl_secagg_message *m)
{
    if (csl_secagg_decode(m, bytes, NULL) != CSL_OK || m->type != CSL_SECAGG_RESULT)
        return "is no result";
    if (!csl_secagg_is_signed(m, s->config.secagg_key->public_key))
        return "is not signed by this coordinator's key";
    if (!is_first && memcmp(m->u.result.previous_head, s->secagg->head, 32) != 0)
        return "does not continue the one before it";
    return NULL;
}

static enum csl_code load_result(struct csl_service *s, const char *path, uint64_t index,
                                 struct csl_span bytes, struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_secagg_message m;
    const char *trouble = trouble_of(s, index == oldest_result(g), bytes, &m);
    if (trouble != NULL)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: result %llu of %llu %s; a chain of results (M13) that the key of "
                        "secure_aggregation.key signed would be right",
                        path, (unsigned long long)index + 1, (unsigned long long)g->result_count,
                        trouble);
    memcpy(g->head, m.u.result.head, sizeof(g->head));
    return csl_msg_copy(&g->results[index % CSL_SECAGG_RESULTS_KEPT], bytes, err);
}

static enum csl_code parse_results(struct csl_service *s, const char *path, struct csl_span all,
                                   struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    uint8_t digest[CSL_SHA256_BYTES];
    enum csl_code code = CSL_OK;
    bool is_good = all.n >= 8 + sizeof(digest);
    size_t end = is_good ? all.n - sizeof(digest) : 0, at = 8;
    csl_sha256_digest(all.p, end, digest);
    if (!is_good || memcmp(digest, all.p + end, sizeof(digest)) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: %zu bytes that do not have the SHA-256 at their end; the file as it "
                        "was written, or none of it and of the study's other files, would be right",
                        path, all.n);
    g->result_count = csl_load_le64(all.p);
    for (uint64_t i = oldest_result(g); code == CSL_OK && i < g->result_count; i++) {
        size_t n = end - at < 4 ? SIZE_MAX : csl_load_le32(all.p + at);
        if (end - at < 4 || n > end - at - 4)
            return CSL_FAIL(err, CSL_E_CORRUPT,
                            "%s: ends within result %llu; %llu of them would be right", path,
                            (unsigned long long)i + 1, (unsigned long long)g->result_count);
        code = load_result(s, path, i, CSL_SPAN(all.p + at + 4, n), err);
        at += 4 + n;
    }
    return code;
}

static enum csl_code load_results(struct csl_service *s, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    struct csl_msg bytes = {NULL, 0};
    enum csl_code code = path_of(s, "secagg.results", path, err);
    if (code != CSL_OK || !csl_file_exists(path))
        return code;
    code = csl_file_read(&bytes, path, RESULTS_BYTES_MAX, err);
    if (code == CSL_OK)
        code = parse_results(s, path, csl_msg_span(&bytes), err);
    csl_msg_release(&bytes);
    return code;
}

void csl_service_secagg_keep_result__(struct csl_service *s, struct csl_span bytes)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_secagg_message m;
    struct csl_err err = {.code = CSL_OK};
    struct csl_msg copy = {NULL, 0};
    if (csl_secagg_decode(&m, bytes, NULL) != CSL_OK ||
        memcmp(m.u.result.head, g->head, sizeof(g->head)) == 0)
        return;
    enum csl_code code = csl_msg_copy(&copy, bytes, &err);
    if (code == CSL_OK) {
        memcpy(g->head, m.u.result.head, sizeof(g->head));
        struct csl_msg *place = &g->results[g->result_count++ % CSL_SECAGG_RESULTS_KEPT];
        csl_msg_release(place);
        *place = copy;
    }
    if (code == CSL_OK && s->config.state_dir != NULL)
        code = save_results(s, &err);
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
}

/* --- writing --- */

/* The certificates beside M0, in one step with the end of the attempt before. */
static enum csl_code begin_anew(struct csl_service *s, struct csl_span m0, struct csl_err *err)
{
    const struct csl_service_secagg *g = s->secagg;
    struct csl_secagg_journal_record r[CSL_SECAGG_ATTEMPTS_MAX + 1];
    uint32_t n = 0;
    for (; n < g->certificate_count; n++)
        r[n] = (struct csl_secagg_journal_record){.type = CERTIFICATE_RECORD,
                                                  .payload = csl_msg_span(&g->certificates[n])};
    r[n++] = (struct csl_secagg_journal_record){.type = CSL_SECAGG_CJ_OPEN, .payload = m0};
    return csl_secagg_journal_replace(g->journal, r, n, err);
}

void csl_service_secagg_record__(struct csl_service *s,
                                 const struct csl_secagg_coordinator_action *a)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_secagg_journal_record r = {.type = (uint16_t)a->record,
                                          .is_secret = a->record == CSL_SECAGG_CJ_INPUT &&
                                                       a->bytes.p[0] == CSL_SECAGG_UNMASK,
                                          .payload = a->bytes};
    if (s->secagg->journal == NULL)
        return;
    enum csl_code code = a->record == CSL_SECAGG_CJ_OPEN
                             ? begin_anew(s, a->bytes, &err)
                             : csl_secagg_journal_append(s->secagg->journal, &r, &err);
    if (code != CSL_OK)
        csl_service_fail__(s, &err);
}

enum csl_code csl_service_secagg_record_root__(struct csl_service *s, const uint8_t root[32],
                                               struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_secagg_journal_record r = {.type = ROOT_RECORD, .payload = CSL_SPAN(root, 32)};
    if (g->has_root && memcmp(g->root, root, 32) != 0)
        return CSL_FAIL(err, CSL_E_BUG, "the sum of round %llu was another before the restart",
                        (unsigned long long)g->round);
    enum csl_code code =
        g->has_root || g->journal == NULL ? CSL_OK : csl_secagg_journal_append(g->journal, &r, err);
    memcpy(g->root, root, 32);
    g->has_root = true;
    return code;
}

enum csl_code csl_service_secagg_record_given_up__(struct csl_service *s, struct csl_err *err)
{
    const struct csl_secagg_journal_record r = {.type = GIVEN_UP_RECORD};
    struct csl_secagg_journal *journal = s->secagg->journal;
    return journal == NULL ? CSL_OK : csl_secagg_journal_append(journal, &r, err);
}

void csl_service_secagg_result__(struct csl_service *s)
{
    struct csl_err err = {.code = CSL_OK};
    if (csl_service_secagg_step__(s,
                                  &(struct csl_secagg_coordinator_event){
                                      .kind = CSL_SECAGG_CE_RESULT,
                                      .result_root = s->secagg->root,
                                      .model_hash = csl_service_task_digest__(s, s->secagg->round)},
                                  &err) != CSL_OK)
        csl_service_fail__(s, &err);
}

/* --- reading --- */

static enum csl_code note_input(struct csl_service *s, struct csl_span bytes, struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    struct csl_secagg_message m;
    if (csl_secagg_decode(&m, bytes, NULL) != CSL_OK)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "secagg.journal: a record of type %d holds %zu bytes that are no message; "
                        "one message of a site would be right",
                        (int)CSL_SECAGG_CJ_INPUT, bytes.n);
    uint32_t site = csl_service_secagg_site__(s, m.site);
    if (site == CSL_SECAGG_NOWHERE)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "secagg.journal: a message of type %d is of site %u, which is not in this "
                        "study; a site of the study and its signed roster would be right",
                        (int)m.type, m.site);
    if (m.type == CSL_SECAGG_MANIFEST)
        g->manifests[site] = m.u.manifest;
    return CSL_OK;
}

static enum csl_code read_certificate(struct csl_service_secagg *g, struct csl_span bytes,
                                      struct csl_err *err)
{
    if (g->certificate_count >= CSL_SECAGG_ATTEMPTS_MAX)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "secagg.journal: more than %d certificates of abandoned attempts; at most "
                        "one for each attempt of a round would be right",
                        CSL_SECAGG_ATTEMPTS_MAX);
    enum csl_code code = csl_msg_copy(&g->certificates[g->certificate_count], bytes, err);
    g->certificate_count += code == CSL_OK;
    return code;
}

static enum csl_code restore_record(void *ctx, const struct csl_secagg_journal_record *r,
                                    struct csl_err *err)
{
    struct csl_service *s = ctx;
    struct csl_service_secagg *g = s->secagg;
    enum csl_code code = CSL_OK;
    if (r->type == CERTIFICATE_RECORD)
        return read_certificate(g, r->payload, err);
    if (r->type >= CSL_SERVICE_AUDIT_RECORDS)
        return csl_service_audit_restore_record__(s, r, err);
    if (r->type == GIVEN_UP_RECORD) {
        g->has_given_up = true;
        return CSL_OK;
    }
    if (r->type == ROOT_RECORD) {
        if (r->payload.n != sizeof(g->root))
            return CSL_FAIL(err, CSL_E_CORRUPT,
                            "secagg.journal: the record of the sum's root has %zu bytes; %zu "
                            "would be right",
                            r->payload.n, sizeof(g->root));
        memcpy(g->root, r->payload.p, sizeof(g->root));
        g->has_root = true;
        return CSL_OK;
    }
    if (g->fsm == NULL)
        code = csl_service_secagg_machine__(s, &g->fsm, err);
    if (code == CSL_OK)
        code = csl_secagg_coordinator_restore(g->fsm, (enum csl_secagg_coordinator_record)r->type,
                                              r->payload, err);
    return code == CSL_OK && r->type == CSL_SECAGG_CJ_INPUT ? note_input(s, r->payload, err) : code;
}

/* The model of the round was committed: what is left is to tell the result. */
static enum csl_code finish_round(struct csl_service *s, struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    enum csl_secagg_stage stage = csl_secagg_coordinator_stage(g->fsm);
    if (stage == CSL_SECAGG_STAGE_RELEASED && g->has_root)
        csl_service_secagg_result__(s);
    else if (stage == CSL_SECAGG_STAGE_DONE)
        csl_service_secagg_resume__(s); /* the chain may not have it yet */
    else
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "secagg.journal: round %llu is committed, and its sum was not opened",
                        (unsigned long long)g->round);
    return CSL_OK;
}

static enum csl_code fit(struct csl_service *s, struct csl_err *err)
{
    struct csl_service_secagg *g = s->secagg;
    csl_secagg_coordinator_check(g->fsm);
    g->config = *csl_secagg_coordinator_config(g->fsm);
    g->round = g->config.round;
    g->attempt = g->config.attempt;
    if (g->round == s->version)
        return finish_round(s, err);
    bool is_told = csl_service_only_evaluates__(s) &&
                   csl_secagg_coordinator_stage(g->fsm) == CSL_SECAGG_STAGE_DONE;
    if (g->round != s->version + 1 ||
        (!is_told && memcmp(g->config.previous_head, g->head, 32) != 0))
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "secagg.journal is of round %llu, and the state beside it has %llu rounds; "
                        "the state folder was put together from different times",
                        (unsigned long long)g->round, (unsigned long long)s->version);
    csl_service_secagg_resume__(s); /* nobody hears it; what is left to do is noted */
    return CSL_OK;
}

void csl_service_secagg_end__(struct csl_service *s)
{
    csl_service_audit_drop__(s);
    csl_secagg_journal_destroy(s->secagg->journal);
    s->secagg->journal = NULL;
}

enum csl_code csl_service_secagg_restore__(struct csl_service *s, struct csl_err *err)
{
    const struct csl_secagg_journal_reader reader = {s, restore_record};
    char path[CSL_PATH_MAX];
    if (s->config.state_dir == NULL)
        return CSL_OK;
    enum csl_code code = load_results(s, err);
    if (code ==
        CSL_OK) /* the round before first: what the journal says of a later one replaces it */
        code = csl_service_audit_restore__(s, err);
    if (code == CSL_OK)
        code = path_of(s, "secagg.journal", path, err);
    if (code == CSL_OK)
        code = csl_secagg_journal_open(&s->secagg->journal, path, &reader, err);
    if (code == CSL_OK && s->secagg->fsm != NULL)
        code = fit(s, err);
    if (code == CSL_OK && s->failure.code != CSL_OK) {
        *err = s->failure;
        code = err->code;
    }
    return code;
}
