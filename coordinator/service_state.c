/* Start-up from the store, saving what the core says, checkpoints and the status file. */
#include "coordinator/service_groups.h"
#include "coordinator/service_internal.h"
#include "coordinator/service_vote.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "coordinator/model/model_file.h"
#include "protocol/initial/weights.h"
#include "protocol/study/evaluation.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATUS_INTERVAL_NS (CSL_NS_PER_S / 2)

static enum csl_code path_in_state(const struct csl_service *s, const char *name,
                                   char path[CSL_PATH_MAX], struct csl_err *err)
{
    return csl_path_join(path, CSL_PATH_MAX, s->config.state_dir, name, err);
}

static enum csl_code checkpoint_path(const struct csl_service *s, uint64_t round,
                                     char path[CSL_PATH_MAX], struct csl_err *err)
{
    char name[64];
    snprintf(name, sizeof(name), "model-%llu.h5", (unsigned long long)round);
    return path_in_state(s, name, path, err);
}

/* --- start-up --- */

enum csl_code csl_service_stored_seed__(struct csl_service *s, uint64_t *seed, struct csl_err *err)
{
    if (s->config.state_dir == NULL)
        return csl_blobs_new_memory(&s->spool, err);
    char path[CSL_PATH_MAX];
    enum csl_code code = csl_dir_make(s->config.state_dir, err);
    if (code == CSL_OK)
        code = csl_dir_lock(s->config.state_dir, &s->state_lock, err);
    if (code == CSL_OK)
        code = path_in_state(s, "spool", path, err);
    if (code == CSL_OK)
        code = csl_blobs_open_dir(&s->spool, path, err);
    if (code == CSL_OK)
        code = path_in_state(s, "state.db", path, err);
    if (code == CSL_OK)
        code = csl_store_open(&s->store, path, err);
    struct csl_store_study study;
    bool found = false;
    if (code == CSL_OK)
        code = csl_store_load_study(s->store, &study, &found, err);
    if (code != CSL_OK || !found)
        return code;
    if (memcmp(study.digest, s->study->digest, CSL_DIGEST_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_STATE,
                        "%s holds another study ('%s'); use another state folder for '%s'", path,
                        study.id, s->study->id);
    *seed = study.seed;
    return CSL_OK;
}

static enum csl_code restore_member(void *ctx, const struct csl_store_member *m,
                                    struct csl_err *err)
{
    struct csl_service *s = ctx;
    return csl_coord_restore_member(s->core, m->site, (enum csl_membership)m->membership,
                                    m->block_count, m->blocks, m->rounds_contributed, err);
}

static enum csl_code restore_update(void *ctx, const struct csl_store_update *u,
                                    struct csl_err *err)
{
    struct csl_service *s = ctx;
    struct csl_coord_update update = {.round = u->round,
                                      .bytes_total = u->bytes_total,
                                      .train_loss = u->train_loss,
                                      .block_count = u->block_count};
    memcpy(update.digest, u->digest, CSL_DIGEST_BYTES);
    memcpy(update.blocks, u->blocks, sizeof(update.blocks));
    enum csl_code code = csl_coord_restore_update(s->core, u->site, &update, err);
    if (code == CSL_OK)
        csl_service_name_spool__(s, csl_coord_find_site(s->core, u->site), u->digest);
    return code;
}

static enum csl_code restore_task(void *ctx, const struct csl_store_task *t, struct csl_err *err)
{
    struct csl_service *s = ctx;
    return csl_coord_restore_task(s->core, t->site, t->round, t->model_digest, err);
}

static enum csl_code restore_evaluation(void *ctx, const struct csl_store_evaluation *e,
                                        struct csl_err *err)
{
    struct csl_service *s = ctx;
    uint32_t site = 0;
    while (site < s->site_count && strcmp(csl_coord_site(s->core, site)->id, e->site) != 0)
        site++;
    bool is_known = e->block.block < s->study->domain_count &&
                    (e->block.group_count == 0 ||
                     e->block.group_count == csl_study_group_counts(s->study, e->block.block)) &&
                    (site < s->site_count || e->site[0] == 0);
    if (!is_known)
        return CSL_FAIL(err, CSL_E_CORRUPT, "stored evaluation of site '%s' is not of this study",
                        e->site);
    csl_service_groups_add__(s, site < s->site_count ? site : CSL_SERVICE_ALL_SITES, e->round,
                             &e->block);
    return s->study->fairness.domains.every == 0
               ? CSL_OK
               : csl_coord_restore_evaluation(s->core, e->site, e->round, &e->block, err);
}

/* Vectors of a checkpoint: the strategy's, then the average. */
static uint32_t state_count(const struct csl_service *s)
{
    return s->strategy->state_vectors + (s->average != NULL ? 1 : 0);
}

static float **state_at(struct csl_service *s, uint32_t i)
{
    return i < s->strategy->state_vectors ? &s->state[i] : &s->average;
}

static enum csl_code load_checkpoint(struct csl_service *s, uint64_t round, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    enum csl_code code = checkpoint_path(s, round, path, err);
    struct csl_model_file file;
    if (code == CSL_OK)
        code = csl_model_read(path, &s->study->schema, &file, err);
    if (code != CSL_OK)
        return code;
    if (file.info.round != round || file.state_count != state_count(s) ||
        memcmp(file.info.study_digest, s->study->digest, CSL_DIGEST_BYTES) != 0) {
        csl_model_file_release(&file);
        return CSL_FAIL(err, CSL_E_CORRUPT, "%s is not the checkpoint of round %llu of this study",
                        path, (unsigned long long)round);
    }
    csl_free(s->global);
    s->global = file.parameters;
    file.parameters = NULL;
    for (uint32_t i = 0; i < file.state_count; i++) {
        csl_free(*state_at(s, i));
        *state_at(s, i) = file.state[i];
        file.state[i] = NULL;
    }
    csl_model_file_release(&file);
    return CSL_OK;
}

static enum csl_code load_initial(struct csl_service *s, struct csl_err *err)
{
    float *parameters = NULL;
    enum csl_code code =
        csl_weights_read(&parameters, s->config.initial_model, &s->study->schema, err);
    if (code != CSL_OK)
        return code;
    csl_free(s->global);
    s->global = parameters;
    uint8_t digest[CSL_DIGEST_BYTES];
    char hex[2 * CSL_DIGEST_BYTES + 1];
    csl_sha256_digest(parameters, s->study->schema.parameters * sizeof(*parameters), digest);
    csl_hex(digest, CSL_DIGEST_BYTES, hex);
    csl_log(CSL_LOG_INFO, "model.initial", CSL_STR("path", s->config.initial_model),
            CSL_STR("digest", hex));
    return CSL_OK;
}

/* A study nobody has begun: its first model, and a row that names it. */
static enum csl_code begin(struct csl_service *s, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    if (s->config.initial_model == NULL && csl_study_has_kind(s->study, CSL_BLOCK_FROZEN))
        code = CSL_FAIL(err, CSL_E_INVAL,
                        "study '%s' has frozen blocks; the key initial_model, a file of their "
                        "weights that every site has too, would be right",
                        s->study->id);
    else if (s->config.initial_model != NULL)
        code = load_initial(s, err);
    else
        csl_schema_init_parameters(&s->study->schema, s->seed, s->global);
    if (code == CSL_OK && s->average != NULL)
        memcpy(s->average, s->global, s->study->schema.parameters * sizeof(*s->average));
    if (code == CSL_OK)
        code = csl_service_checkpoint__(s, 0, err);
    if (code == CSL_OK)
        csl_service_save_study__(s);
    return code == CSL_OK ? s->failure.code : code;
}

/* What a vote needs: the model before the one on trial, or that one where it was taken back and the
 * process died before it had written so. */
static enum csl_code resume_vote(struct csl_service *s, uint64_t round, struct csl_err *err)
{
    bool is_on_trial = csl_service_is_on_trial__(s);
    bool was_taken_back = csl_service_was_taken_back__(s, round);
    if (!is_on_trial && !was_taken_back)
        return CSL_OK;
    if (round == 0)
        return CSL_FAIL(err, CSL_E_CORRUPT, "gate-0.json has a vote on a model before any round");
    enum csl_code code = load_checkpoint(s, round - 1, err);
    if (code == CSL_OK && was_taken_back)
        return csl_service_checkpoint__(s, round, err);
    if (code == CSL_OK) {
        csl_service_keep_accepted__(s);
        code = load_checkpoint(s, round, err);
    }
    return code;
}

static enum csl_code resume(struct csl_service *s, const struct csl_store_study *study,
                            struct csl_err *err)
{
    if (study->state > CSL_STUDY_ABORTED || study->rounds_done > s->study->rounds)
        return CSL_FAIL(err, CSL_E_CORRUPT, "the stored state of study '%s' is out of range",
                        study->id);
    enum csl_code code = csl_service_load_gate__(s, study->rounds_done, err);
    if (code != CSL_OK)
        return code;
    /* It was judged, and the process died before the study's row said that this was the end. */
    bool is_shut = study->state < CSL_STUDY_RELEASED && csl_service_gate_end__(s) != NULL;
    struct csl_coord_snapshot snapshot = {.state = is_shut ? CSL_STUDY_ABORTED
                                                           : (enum csl_study_state)study->state,
                                          .rounds_done = study->rounds_done,
                                          .is_evaluating = study->is_evaluating && !is_shut};
    s->version = study->rounds_done;
    csl_coord_restore(s->core, &snapshot);
    if (is_shut)
        csl_service_save_study__(s);
    code = load_checkpoint(s, study->rounds_done, err);
    if (code == CSL_OK)
        code = csl_service_load_mixture__(s, study->rounds_done, err);
    if (code == CSL_OK)
        code = resume_vote(s, study->rounds_done, err);
    if (code == CSL_OK)
        code = csl_store_each_member(s->store, restore_member, s, err);
    if (code == CSL_OK)
        code = csl_store_each_update(s->store, restore_update, s, err);
    if (code == CSL_OK && csl_study_is_buffered(s->study))
        code = csl_store_each_task(s->store, restore_task, s, err);
    bool is_read =
        s->groups != NULL || (s->study->fairness.domains.every > 0 && !s->study->secagg.is_on);
    if (code == CSL_OK && is_read)
        code = csl_store_each_evaluation(s->store, restore_evaluation, s, err);
    return code;
}

enum csl_code csl_service_load__(struct csl_service *s, struct csl_err *err)
{
    struct csl_store_study study;
    bool found = false;
    enum csl_code code = CSL_OK;
    if (s->store != NULL)
        code = csl_store_load_study(s->store, &study, &found, err);
    if (code == CSL_OK)
        code = found ? resume(s, &study, err) : begin(s, err);
    s->config.initial_model = NULL; /* was borrowed */
    if (code != CSL_OK)
        return code;
    csl_service_digest_broadcast__(s);
    csl_coord_set_model(s->core, s->broadcast_digest, csl_service_broadcast_bytes__(s));
    csl_coord_set_evaluated(s->core, s->evaluated_digest);
    return CSL_OK;
}

/* --- saving --- */

static void check(struct csl_service *s, enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        csl_service_fail__(s, err);
}

static struct csl_store_study study_row(const struct csl_service *s)
{
    struct csl_store_study row = {.state = (uint32_t)csl_coord_state(s->core),
                                  .rounds_done = csl_coord_rounds_done(s->core),
                                  .is_evaluating = csl_coord_phase(s->core) == CSL_PHASE_EVALUATE,
                                  .seed = s->seed};
    csl_str_copy(row.id, sizeof(row.id), s->study->id);
    memcpy(row.digest, s->study->digest, CSL_DIGEST_BYTES);
    return row;
}

void csl_service_save_study__(struct csl_service *s)
{
    csl_log(CSL_LOG_INFO, "study.state",
            CSL_STR("state", csl_study_state_name(csl_coord_state(s->core))),
            CSL_U64("rounds_done", csl_coord_rounds_done(s->core)));
    if (s->store == NULL)
        return;
    struct csl_err err;
    struct csl_store_study row = study_row(s);
    check(s, csl_store_save_study(s->store, &row, &err), &err);
}

void csl_service_save_member__(struct csl_service *s, uint32_t site)
{
    const struct csl_coord_site *c = csl_coord_site(s->core, site);
    bool accepted = c->membership == CSL_MEMBER_ACCEPTED;
    csl_log(CSL_LOG_INFO, accepted ? "site.accepted" : "site.declined", CSL_STR("site", c->id),
            CSL_STR("reason", c->last_error));
    if (s->store == NULL)
        return;
    struct csl_store_member row = {.membership = (uint32_t)c->membership,
                                   .rounds_contributed = c->rounds_contributed,
                                   .block_count = c->block_count};
    memcpy(row.site, c->id, sizeof(row.site));
    memcpy(row.blocks, c->blocks, sizeof(row.blocks));
    struct csl_err err;
    check(s, csl_store_save_member(s->store, &row, &err), &err);
}

void csl_service_save_update__(struct csl_service *s, uint32_t site)
{
    if (s->store == NULL)
        return;
    const struct csl_coord_site *c = csl_coord_site(s->core, site);
    struct csl_store_update row = {.round = c->update.round,
                                   .bytes_total = c->update.bytes_total,
                                   .train_loss = c->update.train_loss,
                                   .block_count = c->update.block_count};
    memcpy(row.site, c->id, sizeof(row.site));
    memcpy(row.digest, c->update.digest, CSL_DIGEST_BYTES);
    memcpy(row.blocks, c->update.blocks, sizeof(row.blocks));
    struct csl_err err;
    check(s, csl_store_save_update(s->store, &row, &err), &err);
}

void csl_service_save_task__(struct csl_service *s, uint32_t site)
{
    if (s->store == NULL)
        return;
    const struct csl_coord_site *c = csl_coord_site(s->core, site);
    struct csl_store_task row = {.round = c->task_round};
    memcpy(row.site, c->id, sizeof(row.site));
    memcpy(row.model_digest, c->task_digest, CSL_DIGEST_BYTES);
    struct csl_err err;
    check(s, csl_store_save_task(s->store, &row, &err), &err);
}

void csl_service_save_evaluation__(struct csl_service *s, uint32_t site,
                                   const struct csl_msg_evaluation *e)
{
    const char *id = site == CSL_SERVICE_ALL_SITES ? "" : csl_coord_site(s->core, site)->id;
    if (s->config.observer.evaluation != NULL)
        s->config.observer.evaluation(s->config.observer.ctx, id, e);
    for (uint32_t i = 0; s->store != NULL && i < e->block_count; i++) {
        struct csl_store_evaluation row = {.round = e->round, .block = e->blocks[i]};
        csl_str_copy(row.site, sizeof(row.site), id);
        struct csl_err err;
        check(s, csl_store_save_evaluation(s->store, &row, &err), &err);
    }
    for (uint32_t i = 0; i < e->block_count; i++)
        csl_service_groups_add__(s, site, e->round, &e->blocks[i]);
}

enum csl_code csl_service_commit_round__(struct csl_service *s, uint64_t round,
                                         uint32_t contributions, double train_loss,
                                         struct csl_err *err)
{
    if (s->store == NULL)
        return CSL_OK;
    struct csl_coord_snapshot after = csl_coord_after(s->study, round);
    struct csl_store_study study = study_row(s);
    study.state = (uint32_t)after.state;
    study.rounds_done = round;
    study.is_evaluating = after.is_evaluating;
    if (csl_service_gate_end__(s) != NULL) { /* AGGREGATED says so, if this process gets that far */
        study.state = CSL_STUDY_ABORTED;
        study.is_evaluating = false;
    }
    struct csl_store_round row = {round, contributions, train_loss};
    const char **sites = csl_alloc_array(s->site_count, sizeof(*sites));
    if (sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to commit round %llu",
                        (unsigned long long)round);
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->site_count; i++)
        if (csl_coord_site(s->core, i)->progress == CSL_SITE_HELD)
            sites[count++] = csl_coord_site(s->core, i)->id;
    enum csl_code code = csl_store_commit_round(s->store, &study, &row, sites, count, err);
    csl_free(sites);
    if (code != CSL_OK || round < 2)
        return code;
    char old[CSL_PATH_MAX]; /* the one before the last committed one stays: two are always there */
    if (checkpoint_path(s, round - 2, old, NULL) == CSL_OK)
        unlink(old);
    csl_service_forget_mixture__(s, round - 2);
    csl_service_forget_gate__(s, round - 2);
    return CSL_OK;
}

static enum csl_code write_model(const struct csl_service *s, const char *path, uint64_t round,
                                 const float *parameters, const float *const *states,
                                 uint32_t count, struct csl_err *err)
{
    struct csl_model_info info = {.round = round};
    csl_str_copy(info.study, sizeof(info.study), s->study->id);
    memcpy(info.study_digest, s->study->digest, CSL_DIGEST_BYTES);
    return csl_model_write(path, &s->study->schema, &info, parameters, states, count, NULL, err);
}

enum csl_code csl_service_checkpoint__(struct csl_service *s, uint64_t round, struct csl_err *err)
{
    if (s->store == NULL)
        return CSL_OK;
    char path[CSL_PATH_MAX];
    const float *states[CSL_SERVICE_STATE_MAX + 1];
    for (uint32_t i = 0; i < state_count(s); i++)
        states[i] = *state_at(s, i);
    enum csl_code code = checkpoint_path(s, round, path, err);
    if (code == CSL_OK)
        code = csl_service_save_mixture__(s, round, err);
    if (code == CSL_OK)
        code = csl_service_save_gate__(s, round, err);
    return code == CSL_OK ? write_model(s, path, round, s->global, states, state_count(s), err)
                          : code;
}

void csl_service_release_model__(struct csl_service *s)
{
    if (s->store == NULL || csl_coord_state(s->core) != CSL_STUDY_RELEASED)
        return;
    char path[CSL_PATH_MAX];
    struct csl_err err;
    enum csl_code code = path_in_state(s, "model.h5", path, &err);
    if (code == CSL_OK)
        code = write_model(s, path, s->version, csl_service_parameters(s), NULL, 0, &err);
    check(s, code, &err);
    char hex[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(s->model_digest, CSL_DIGEST_BYTES, hex);
    csl_log(CSL_LOG_INFO, "model.released", CSL_STR("path", path), CSL_STR("digest", hex));
}

/* In a file of its own, ended.txt, because status.json is written anew at every start. */
void csl_service_note_end__(struct csl_service *s, const char *reason)
{
    char path[CSL_PATH_MAX];
    struct csl_msg kept = {NULL, 0};
    struct csl_err err = {.code = CSL_OK};
    csl_str_copy(s->end_reason, sizeof(s->end_reason), reason != NULL ? reason : "");
    if (s->store == NULL || csl_coord_state(s->core) != CSL_STUDY_ABORTED)
        return;
    enum csl_code code = path_in_state(s, "ended.txt", path, &err);
    if (code == CSL_OK && reason != NULL)
        code = csl_file_write_atomic(path, CSL_SPAN(reason, strlen(reason)), 0644, &err);
    else if (code == CSL_OK && csl_file_exists(path))
        code = csl_file_read(&kept, path, sizeof(s->end_reason) - 1, &err);
    const char *gate = csl_service_gate_end__(s);
    if (code == CSL_OK && reason == NULL && kept.n == 0 &&
        gate != NULL) /* died before it was kept */
        csl_str_copy(s->end_reason, sizeof(s->end_reason), gate);
    if (code == CSL_OK && kept.n > 0)
        snprintf(s->end_reason, sizeof(s->end_reason), "%.*s", (int)kept.n, (const char *)kept.p);
    if (code != CSL_OK) /* the state itself is durable */
        csl_log_err(CSL_LOG_WARN, "study.reason_not_kept", &err);
    csl_msg_release(&kept);
}

/* --- status.json --- */

static const char *site_state(const struct csl_coord_site *c)
{
    static const char *const names[] = {
        [CSL_SITE_IDLE] = "idle",         [CSL_SITE_TASKED] = "training",
        [CSL_SITE_SENDING] = "uploading", [CSL_SITE_RECEIVED] = "uploaded",
        [CSL_SITE_FOLDING] = "uploaded",  [CSL_SITE_HELD] = "uploaded",
        [CSL_SITE_DONE] = "evaluated",    [CSL_SITE_FAILED] = "failed"};
    if (c->membership == CSL_MEMBER_DECLINED)
        return "declined";
    if (c->membership == CSL_MEMBER_UNKNOWN)
        return "not enrolled";
    CSL_ASSERT((size_t)c->progress < sizeof(names) / sizeof(names[0]));
    return names[c->progress];
}

static void put_site(struct csl_json *j, const struct csl_coord_site *c, uint32_t of_model)
{
    uint64_t patients = 0;
    for (uint32_t i = 0; i < c->block_count; i++)
        patients += c->blocks[i].block < of_model ? c->blocks[i].patients : 0;
    csl_json_object(j);
    csl_json_put_str(j, "id", c->id);
    csl_json_put_bool(j, "connected", c->conn != 0);
    csl_json_put_str(j, "state", site_state(c));
    csl_json_put_u64(j, "patients", patients);
    csl_json_put_u64(j, "rounds_contributed", c->rounds_contributed);
    if (c->last_error[0] != '\0')
        csl_json_put_str(j, "last_error", c->last_error);
    csl_json_end(j);
}

void csl_service_write_status__(struct csl_service *s)
{
    bool is_due = s->is_finished || s->now_ns - s->status_written_ns >= STATUS_INTERVAL_NS;
    if (s->store == NULL || !s->is_status_stale || !is_due)
        return;
    struct csl_buf out;
    csl_buf_init(&out, (size_t)4 * 1024 * 1024);
    struct csl_json j;
    csl_json_init(&j, &out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.status/1");
    csl_json_put_str(&j, "study", s->study->id);
    csl_json_put_str(&j, "state", csl_study_state_name(csl_coord_state(s->core)));
    if (s->end_reason[0] != '\0')
        csl_json_put_str(&j, "reason", s->end_reason);
    csl_json_put_u64(&j, "round", csl_coord_rounds_done(s->core));
    csl_json_put_u64(&j, "rounds", s->study->rounds);
    csl_json_put_u64(&j, "updated_unix_ms", csl_clock_unix_ms());
    csl_json_key(&j, "sites");
    csl_json_array(&j);
    for (uint32_t i = 0; i < s->site_count; i++)
        put_site(&j, csl_coord_site(s->core, i), s->study->schema.block_count);
    csl_json_end(&j);
    csl_service_evaluation_status__(s, &j);
    csl_service_groups_status__(s, &j);
    csl_service_statistics_status__(s, &j);
    csl_service_gate_status__(s, &j);
    csl_json_end(&j);
    char path[CSL_PATH_MAX];
    struct csl_err err;
    enum csl_code code = csl_buf_status(&out, &err);
    if (code == CSL_OK)
        code = path_in_state(s, "status.json", path, &err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, CSL_SPAN(out.p, out.n), 0644, &err);
    if (code != CSL_OK) /* a page that is out of date must not stop a study */
        csl_log_err(CSL_LOG_WARN, "status.not_written", &err);
    csl_buf_release(&out);
    s->status_written_ns = s->now_ns;
    s->is_status_stale = false;
}
