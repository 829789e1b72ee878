/* What the site's machine decided, and which words it was about, on disk: a journal for each study
 * in the state folder. The agent's own record stands among the machine's. */
#include "site-agent/agent_secagg_internal.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* le64 round, le64 run, le64 bytes, model digest, digest of the plain words, le32 attempt in the
 * ledger, le32 blocks, {le32 block, le64 patients}, csl_task_factors if the task told some */
#define WORDS_RECORD 0x100u
enum {
    WORDS_FIXED = 8 + 8 + 8 + 2 * CSL_DIGEST_BYTES + 4 + 4,
    WORDS_BLOCK = 4 + 8,
    OLD_NAME_BYTES = 8
};

#define CONFIRMED_FILE "secagg-confirmed"

static void check(struct csl_agent *a, enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        csl_agent_fail__(a, err);
}

/* --- writing --- */

static void write_words(const struct csl_agent_secagg *g, struct csl_buf *out)
{
    const struct csl_outbox *o = &g->update.outbox;
    csl_buf_init(out, WORDS_FIXED + (size_t)CSL_BLOCKS_MAX * WORDS_BLOCK + CSL_DIGEST_BYTES);
    csl_buf_le64(out, o->round);
    csl_buf_le64(out, g->update.run);
    csl_buf_le64(out, o->bytes_total);
    csl_buf_append(out, o->model_digest, CSL_DIGEST_BYTES);
    csl_buf_append(out, g->words_digest, CSL_DIGEST_BYTES);
    csl_buf_le32(out, g->ledger_attempt);
    csl_buf_le32(out, o->block_count);
    for (uint32_t i = 0; i < o->block_count; i++) {
        csl_buf_le32(out, o->blocks[i].block);
        csl_buf_le64(out, o->blocks[i].patients);
    }
    if (g->update.has_factors)
        csl_buf_append(out, g->update.factors, CSL_DIGEST_BYTES);
}

/* The snapshot, and the words beside it where the next attempt may need them, in one step. */
static enum csl_code begin_anew(struct csl_agent *a, struct csl_span snapshot, struct csl_err *err)
{
    struct csl_agent_secagg *g = a->secagg;
    struct csl_buf words;
    struct csl_secagg_journal_record r[2] = {{.type = CSL_SECAGG_SJ_SNAPSHOT, .payload = snapshot},
                                             {.type = WORDS_RECORD}};
    const struct csl_outbox *o = &g->update.outbox;
    bool is_needed = g->has_words && o->round == g->opening_round &&
                     memcmp(o->model_digest, g->opening_model, CSL_DIGEST_BYTES) == 0;
    write_words(g, &words);
    enum csl_code code = csl_buf_status(&words, err);
    r[1].payload = CSL_SPAN(words.p, words.n);
    if (code == CSL_OK)
        code = csl_secagg_journal_replace(g->journal, r, is_needed ? 2 : 1, err);
    csl_buf_release(&words);
    return code;
}

void csl_agent_secagg_record__(struct csl_agent *a, const struct csl_secagg_site_action *action)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_secagg_journal_record r = {.type = (uint16_t)action->record,
                                          .is_secret = action->record == CSL_SECAGG_SJ_CONFIG,
                                          .payload = action->bytes};
    if (a->secagg->journal == NULL)
        return;
    enum csl_code code = action->record == CSL_SECAGG_SJ_SNAPSHOT
                             ? begin_anew(a, action->bytes, &err)
                             : csl_secagg_journal_append(a->secagg->journal, &r, &err);
    check(a, code, &err);
}

void csl_agent_secagg_record_words__(struct csl_agent *a)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_buf words;
    if (a->secagg->journal == NULL)
        return;
    write_words(a->secagg, &words);
    struct csl_secagg_journal_record r = {.type = WORDS_RECORD,
                                          .payload = CSL_SPAN(words.p, words.n)};
    enum csl_code code = csl_buf_status(&words, &err);
    if (code == CSL_OK)
        code = csl_secagg_journal_append(a->secagg->journal, &r, &err);
    csl_buf_release(&words);
    check(a, code, &err);
}

/* --- reading --- */

static enum csl_code read_words(struct csl_agent *a, struct csl_span s, struct csl_err *err)
{
    struct csl_agent_secagg *g = a->secagg;
    struct csl_outbox o = {.round = 0};
    uint32_t blocks = s.n < WORDS_FIXED ? UINT32_MAX : csl_load_le32(s.p + WORDS_FIXED - 4);
    size_t end = WORDS_FIXED + (size_t)blocks * WORDS_BLOCK;
    bool has_factors = s.n == end + CSL_DIGEST_BYTES;
    if (blocks > CSL_BLOCKS_MAX || (s.n != end && !has_factors))
        return CSL_FAIL(err, CSL_E_CORRUPT, "a record of words of %zu bytes", s.n);
    o.round = csl_load_le64(s.p);
    o.bytes_total = csl_load_le64(s.p + 16);
    memcpy(o.model_digest, s.p + 24, CSL_DIGEST_BYTES);
    memcpy(g->words_digest, s.p + 24 + CSL_DIGEST_BYTES, CSL_DIGEST_BYTES);
    g->ledger_attempt = csl_load_le32(s.p + WORDS_FIXED - 8);
    o.block_count = blocks;
    for (uint32_t i = 0; i < blocks; i++) {
        o.blocks[i].block = csl_load_le32(s.p + WORDS_FIXED + (size_t)i * WORDS_BLOCK);
        o.blocks[i].patients = csl_load_le64(s.p + WORDS_FIXED + (size_t)i * WORDS_BLOCK + 4);
    }
    g->update = (struct csl_agent_event){.ev = {.kind = CSL_SE_TRAINED, .round = o.round},
                                         .outbox = o,
                                         .run = csl_load_le64(s.p + 8),
                                         .has_factors = has_factors};
    if (has_factors)
        memcpy(g->update.factors, s.p + end, CSL_DIGEST_BYTES);
    return CSL_OK;
}

static enum csl_code restore_record(void *ctx, const struct csl_secagg_journal_record *r,
                                    struct csl_err *err)
{
    struct csl_agent *a = ctx;
    a->secagg->is_fresh = false;
    if (r->type == WORDS_RECORD)
        return read_words(a, r->payload, err);
    if (r->type == CSL_SECAGG_SJ_SNAPSHOT || r->type == CSL_SECAGG_SJ_CONFIG)
        a->secagg->is_told = false;
    if (r->type == CSL_SECAGG_SJ_TRAINED)
        a->secagg->is_told = true;
    return csl_secagg_site_restore(a->secagg->fsm, (enum csl_secagg_site_record)r->type, r->payload,
                                   err);
}

/* The report of the training was not kept: what was planned and reserved is charged, which is at
 * least what ran. */
static void restore_report(struct csl_agent *a)
{
    struct csl_train_report *report = &a->secagg->update.report;
    report->event_count = a->plan.event_count;
    report->is_noise_secret = a->config.noise_seed == NULL;
    if (a->study->privacy.mode != CSL_PRIVACY_NONE)
        csl_privacy_plan_events(&a->plan, 1, report->events);
}

/* An administrator says so by making a file; it is taken away once that is written down. The study
 * is over for this site: in the lost time anything may have been signed about it. */
static void take_confirmation(struct csl_agent *a)
{
    char path[CSL_PATH_MAX];
    if (csl_path_join(path, sizeof(path), a->config.state_dir, CONFIRMED_FILE, NULL) != CSL_OK ||
        !csl_file_exists(path))
        return;
    if (csl_secagg_site_is_suspended(a->secagg->fsm)) {
        (void)csl_agent_secagg_step__(
            a, &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_CONFIRMED});
        csl_log(CSL_LOG_WARN, "secagg.confirmed", CSL_STR("site", a->site_id));
    }
    if (a->secagg->audit.state == CSL_AUDIT_FAILED) {
        csl_agent_audit_clear__(&a->secagg->audit);
        csl_agent_audit_save__(a);
        csl_log(CSL_LOG_WARN, "secagg.audit_confirmed", CSL_STR("site", a->site_id));
    }
    if (a->failure.code == CSL_OK)
        unlink(path);
}

/* At every start, so that a crash between the steps leaves nothing of the study here. */
static void stay_out(struct csl_agent *a)
{
    csl_agent_forfeit_open__(a); /* before anything says that the words are gone */
    csl_agent_secagg_drop_words__(a);
    (void)csl_agent_secagg_step__(a, &(struct csl_secagg_site_event){.kind = CSL_SECAGG_SE_FORGET});
    csl_log(CSL_LOG_WARN, "secagg.out", CSL_STR("site", a->site_id),
            CSL_STR("remedy", "this site was set back, and takes no part in the rest of this "
                              "study; a new study would be right"));
}

/* --- names --- */

static enum csl_code path_of(const struct csl_agent *a, const char *prefix, size_t digest_bytes,
                             const char *ending, char out[CSL_PATH_MAX], struct csl_err *err)
{
    char hex[2 * CSL_DIGEST_BYTES + 1], name[96];
    csl_hex(a->secagg->study_digest, digest_bytes, hex);
    snprintf(name, sizeof(name), "%s%s%s", prefix, hex, ending);
    return csl_path_join(out, CSL_PATH_MAX, a->config.state_dir, name, err);
}

enum csl_code csl_agent_secagg_path__(const struct csl_agent *a, const char *prefix,
                                      const char *ending, char out[CSL_PATH_MAX],
                                      struct csl_err *err)
{
    return path_of(a, prefix, CSL_DIGEST_BYTES, ending, out, err);
}

/* Earlier versions named these files by 8 bytes of the digest. A site that began an empty journal
 * beside one would have forgotten what it signed, and beside an audit, what it found. Which of the
 * two is right is not guessed. */
enum csl_code csl_agent_secagg_refuse_old__(const struct csl_agent *a, const char *prefix,
                                            const char *ending, const char *path,
                                            struct csl_err *err)
{
    char old[CSL_PATH_MAX];
    enum csl_code code = path_of(a, prefix, OLD_NAME_BYTES, ending, old, err);
    if (code != CSL_OK || !csl_file_exists(old))
        return code;
    return CSL_FAIL(err, CSL_E_STATE,
                    "%s is a file as an earlier version named it; move it, and its .key if there "
                    "is one, to %s",
                    old, strrchr(path, '/') + 1);
}

enum csl_code csl_agent_secagg_restore__(struct csl_agent *a, struct csl_err *err)
{
    struct csl_agent_secagg *g = a->secagg;
    const struct csl_secagg_journal_reader reader = {a, restore_record};
    char path[CSL_PATH_MAX];
    if (a->config.state_dir == NULL)
        return CSL_OK;
    g->is_fresh = true;
    enum csl_code code = csl_agent_secagg_path__(a, "secagg-", ".journal", path, err);
    if (code == CSL_OK)
        code = csl_agent_secagg_refuse_old__(a, "secagg-", ".journal", path, err);
    if (code == CSL_OK)
        code = csl_secagg_journal_open(&g->journal, path, &reader, err);
    if (code == CSL_OK)
        code = csl_agent_audit_restore__(a, err);
    if (code != CSL_OK)
        return code;
    csl_secagg_site_check(g->fsm);
    restore_report(a);
    take_confirmation(a);
    if (csl_secagg_site_is_out(g->fsm))
        stay_out(a);
    g->has_words = g->update.outbox.round != 0 &&
                   csl_agent_secagg_has_plain__(a, &g->update.outbox, g->words_digest);
    g->must_resume = true;
    if (csl_secagg_site_is_suspended(g->fsm))
        csl_log(CSL_LOG_ERROR, "secagg.suspended", CSL_STR("site", a->site_id),
                CSL_STR("remedy", "see docs/secure-aggregation.md; once it is clear what happened, "
                                  "make a file " CONFIRMED_FILE " in the state folder and start "
                                  "again"));
    if (a->failure.code == CSL_OK)
        return CSL_OK;
    if (err != NULL)
        *err = a->failure;
    return a->failure.code;
}
