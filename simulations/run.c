/* simulations/run.c - one study, one or several seeds, one or several prices. */
#include "simulations/run.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "coordinator/model/model_file.h"
#include "privacy/crypto/sha256.h"
#include "protocol/initial/weights.h"
#include "simulations/baselines.h"
#include "simulations/leave_out.h"
#include "simulations/personal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/banned.h"

struct run {
    const struct csl_run_config *c;
    struct csl_sim_data data, external; /* external: of those that never train; may be empty */
    struct csl_trainer *trainer;
    float *initial; /* [P], the weights training starts from; NULL: drawn from the seed */
    char initial_digest[2 * CSL_DIGEST_BYTES + 1]; /* "": drawn */
    bool is_price;                                 /* nothing of it is shown but its figures */
};

struct left_out_run {
    const struct run *run;
    uint64_t seed;
};

static bool is_interrupted(const struct csl_run_config *c)
{
    return c->interrupted != NULL && c->interrupted(c->interrupted_ctx);
}

static enum csl_code state_dir(const struct run *run, uint64_t seed, char out[CSL_PATH_MAX],
                               struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    char name[64], digest[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(c->study->digest, CSL_DIGEST_BYTES, digest);
    /* Of study, seed and initial weights: the same command resumes, another one starts afresh. */
    (void)snprintf(name, sizeof(name), "state/%.8s-%llu%s%.8s", digest, (unsigned long long)seed,
                   run->initial != NULL ? "-" : "", run->initial_digest);
    enum csl_code code = csl_path_join(out, CSL_PATH_MAX, c->out_dir, name, err);
    return code == CSL_OK ? csl_dir_make(out, err) : code;
}

/* The run whose model, ledgers and figures are shown. */
static bool is_shown(const struct run *run, uint64_t seed)
{
    return !run->is_price && seed == run->c->first_seed;
}

static enum csl_code ledger_dir(const struct csl_run_config *c, char out[CSL_PATH_MAX],
                                struct csl_err *err)
{
    enum csl_code code = csl_path_join(out, CSL_PATH_MAX, c->out_dir, "ledger", err);
    return code == CSL_OK ? csl_dir_make(out, err) : code;
}

static enum csl_code federate(const struct run *run, uint64_t seed, struct csl_world_result *out,
                              struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    char dir[CSL_PATH_MAX], ledgers[CSL_PATH_MAX];
    bool has_ledgers = is_shown(run, seed) && c->study->privacy.mode != CSL_PRIVACY_NONE;
    const struct csl_world_config config = {.study = c->study,
                                            .sites = c->prepared->sites,
                                            .site_count = c->prepared->count,
                                            .seed = seed,
                                            .initial_model = c->initial_model,
                                            .backend = c->backend,
                                            .state_dir = c->needs_state_dir ? dir : NULL,
                                            .ledger_dir = has_ledgers ? ledgers : NULL,
                                            .is_unmasked = c->is_unmasked,
                                            .audit_canaries = c->audit_canaries,
                                            .progress = c->progress,
                                            .interrupted = c->interrupted,
                                            .interrupted_ctx = c->interrupted_ctx};
    enum csl_code code = c->needs_state_dir ? state_dir(run, seed, dir, err) : CSL_OK;
    if (code == CSL_OK && has_ledgers)
        code = ledger_dir(c, ledgers, err);
    return code == CSL_OK ? c->federate(c->federate_ctx, &config, out, err) : code;
}

static enum csl_code write_model(const struct csl_run_config *c, const struct csl_world_result *w,
                                 struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    struct csl_model_info info = {.round = w->rounds};
    uint8_t digest[CSL_DIGEST_BYTES];
    CSL_ASSERT(csl_str_copy(info.study, sizeof(info.study), c->study->id));
    memcpy(info.study_digest, c->study->digest, sizeof(info.study_digest));
    enum csl_code code = csl_path_join(path, sizeof(path), c->out_dir, "model.h5", err);
    if (code == CSL_OK)
        code = csl_model_write(path, &c->study->schema, &info, w->parameters, NULL, 0, digest, err);
    return code;
}

/* What only the run that is shown has; of the others their spread is kept. */
static enum csl_code evaluate_more(struct csl_result *r, struct run *run,
                                   const struct csl_predictions *p, const float *parameters,
                                   struct csl_err *err)
{
    enum csl_code code = csl_evaluate_by_counts(r, &run->data, p, r->seed, err);
    if (code == CSL_OK && run->data.study->fairness.attribute_count == 0)
        code = csl_evaluate_groups(r, &run->data, p, r->seed, err);
    if (code == CSL_OK)
        code = csl_evaluate_by_label(r, &run->data, p, r->seed, err);
    if (code == CSL_OK)
        code = csl_evaluate_without_inputs(r, &run->data, run->trainer, parameters, err);
    if (code == CSL_OK)
        code = csl_run_measure_attacks(r, &run->data, run->trainer, parameters, err);
    return code;
}

static enum csl_code evaluate(struct csl_result *r, struct run *run, const float *parameters,
                              struct csl_err *err)
{
    struct csl_predictions p = {0};
    enum csl_code code =
        csl_predict_sites(&p, &run->data, run->trainer, parameters, NULL, UINT32_MAX, err);
    if (code != CSL_OK)
        return code;
    csl_evaluation_release(&r->federated);
    code = csl_evaluate_predictions(&r->federated, &run->data, &p, true, r->seed, err);
    if (code == CSL_OK && is_shown(run, r->seed))
        code = evaluate_more(r, run, &p, parameters, err);
    if (code == CSL_OK)
        code = csl_result_add_test_rows(r, err);
    if (code == CSL_OK)
        code = csl_result_add_group_rows(r, err);
    if (code == CSL_OK && r->external != NULL)
        code = csl_evaluate_external(r, &run->external, run->trainer, parameters, err);
    csl_predictions_release(&p);
    return code;
}

static enum csl_code run_baselines(struct csl_result *r, struct run *run, struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    const struct csl_baselines_config config = {.data = &run->data,
                                                .sites = c->prepared->sites,
                                                .trainer = run->trainer,
                                                .seed = r->seed,
                                                .initial = run->initial,
                                                .progress = c->progress,
                                                .interrupted = c->interrupted,
                                                .interrupted_ctx = c->interrupted_ctx};
    const char *reason = !c->has_baselines             ? "--no-baselines was given"
                         : !c->study->baseline.enabled ? "the study has no section 'baselines'"
                         : r->was_interrupted          ? "the run was interrupted"
                                                       : NULL;
    if (reason == NULL) {
        enum csl_code code = csl_baselines_run(r, &config, err);
        if (code != CSL_E_CANCELLED)
            return code;
        r->was_interrupted = true;
        reason = "the run was interrupted";
    }
    CSL_ASSERT(csl_str_copy(r->baselines.reason, sizeof(r->baselines.reason), reason));
    return CSL_OK;
}

static enum csl_code run_personal(struct csl_result *r, struct run *run, const float *released,
                                  struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    const struct csl_personal_config config = {.data = &run->data,
                                               .trainer = run->trainer,
                                               .seed = r->seed,
                                               .released = released,
                                               .progress = c->progress,
                                               .interrupted = c->interrupted,
                                               .interrupted_ctx = c->interrupted_ctx};
    if (!c->study->personal.is_on || run->is_price)
        return CSL_OK;
    enum csl_code code = r->was_interrupted ? CSL_E_CANCELLED : csl_personal_run(r, &config, err);
    if (code != CSL_E_CANCELLED)
        return code;
    r->was_interrupted = true;
    CSL_ASSERT(csl_str_copy(r->transfer.personal_reason, sizeof(r->transfer.personal_reason),
                            "the run was interrupted"));
    return CSL_OK;
}

/* What the model that came out is good for. */
static enum csl_code judge(struct csl_result *r, struct run *run, const struct csl_world_result *w,
                           struct csl_err *err)
{
    run->data.own = w->own;
    enum csl_code code = evaluate(r, run, w->parameters, err);
    run->data.own = NULL;
    return code == CSL_OK ? run_personal(r, run, w->parameters, err) : code;
}

/* The study without a site, as one whose ledgers and model nobody is shown. */
static enum csl_code federate_without(void *ctx, uint32_t left_out, struct csl_world_result *out,
                                      struct csl_err *err)
{
    const struct left_out_run *l = ctx;
    const struct csl_run_config *c = l->run->c;
    struct csl_run_config config = *c;
    struct run one = *l->run;
    struct csl_prepared others = {.sites = NULL};
    others.sites = csl_alloc_array(c->prepared->count, sizeof(*others.sites));
    if (others.sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", c->prepared->count);
    for (uint32_t s = 0; s < c->prepared->count; s++)
        if (s != left_out)
            others.sites[others.count++] = c->prepared->sites[s];
    config.study = c->left_out[left_out];
    config.prepared = &others;
    config.audit_canaries = 0;
    one.c = &config;
    one.is_price = true;
    if (c->progress != NULL)
        (void)fprintf(c->progress, "without %s, seed %llu\n", c->prepared->sites[left_out].id,
                      (unsigned long long)l->seed);
    enum csl_code code = federate(&one, l->seed, out, err);
    csl_free(others.sites);
    if (code != CSL_OK || !out->was_interrupted)
        return code;
    csl_world_result_release(out);
    return CSL_FAIL(err, CSL_E_CANCELLED, "interrupted while a site was left out");
}

static enum csl_code run_left_out(struct csl_result *r, struct run *run, struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    struct left_out_run ctx = {run, r->seed};
    const struct csl_leave_out_config config = {.data = &run->data,
                                                .trainer = run->trainer,
                                                .seed = r->seed,
                                                .federate = federate_without,
                                                .federate_ctx = &ctx,
                                                .initial = run->initial,
                                                .asks_few = c->has_few_shot};
    if (c->left_out == NULL || run->is_price)
        return CSL_OK;
    r->transfer.asks_left_out = true;
    enum csl_code code = r->was_interrupted ? CSL_E_CANCELLED : csl_leave_out_run(r, &config, err);
    if (code != CSL_E_CANCELLED)
        return code;
    r->was_interrupted = true;
    CSL_ASSERT(csl_str_copy(r->transfer.left_out_reason, sizeof(r->transfer.left_out_reason),
                            "the run was interrupted"));
    return CSL_OK;
}

static uint64_t peak_rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss > 0
               ? (uint64_t)usage.ru_maxrss * 1024u
               : 0;
}

/* One seed: everything of *r but the repeats. */
static enum csl_code run_seed(struct csl_result *r, struct run *run, uint64_t seed,
                              struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    struct csl_world_result w = {0};
    uint64_t wall_ns = csl_clock_monotonic_ns(), cpu_ns = csl_clock_cpu_ns();
    enum csl_code code = csl_run_describe(r, c, err);
    r->seed = seed;
    memcpy(r->initial_model_digest, run->initial_digest, sizeof(r->initial_model_digest));
    for (uint32_t s = 0; code == CSL_OK && s < r->site_count; s++)
        r->sites[s].patients = run->data.patients[s];
    for (uint32_t s = 0; code == CSL_OK && r->external != NULL && s < r->external->site_count; s++)
        r->external->sites[s].patients = run->external.patients[s];
    if (code == CSL_OK)
        CSL_ASSERT(csl_str_copy(r->backend, sizeof(r->backend), csl_trainer_backend(run->trainer)));
    if (code == CSL_OK)
        code = federate(run, seed, &w, err);
    if (code != CSL_OK)
        return code;
    csl_log(CSL_LOG_INFO, "simulation.trained", CSL_U64("seed", seed), CSL_U64("rounds", w.rounds));
    code = csl_run_take_world(r, c->study, &w, err);
    if (code == CSL_OK)
        code = csl_run_take_weights(r, c->study, &w, err);
    if (code == CSL_OK && is_shown(run, seed))
        code = csl_run_take_groups(r, c->study, &w, err);
    if (code == CSL_OK && is_shown(run, seed))
        code = csl_run_take_realised(r, c->study, &w, err);
    if (code == CSL_OK && is_shown(run, seed) && !c->study->census.is_on)
        code = write_model(c, &w, err);
    if (code == CSL_OK && c->study->census.is_on)
        code = csl_run_take_statistics(r, c->study, &w, err);
    else if (code == CSL_OK)
        code = judge(r, run, &w, err);
    csl_world_result_release(&w);
    if (code == CSL_OK)
        code = run_baselines(r, run, err);
    if (code == CSL_OK)
        code = run_left_out(r, run, err);
    if (code == CSL_OK)
        code = csl_result_add_transfer_rows(r, err);
    r->wall_s = (double)(csl_clock_monotonic_ns() - wall_ns) / 1e9;
    r->cpu_s = (double)(csl_clock_cpu_ns() - cpu_ns) / 1e9;
    r->peak_rss_bytes = peak_rss_bytes();
    return code;
}

/* The seeds after the first, into the repeats of *first. */
static enum csl_code run_others(struct csl_result *first, struct run *run, struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    struct csl_result *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for repeats");
    enum csl_code code = csl_repeats_add(&first->repeats, first, err);
    for (uint64_t seed = c->first_seed + 1; seed <= c->last_seed && code == CSL_OK; seed++) {
        if (is_interrupted(c)) {
            first->was_interrupted = true;
            break;
        }
        if (c->progress != NULL)
            (void)fprintf(c->progress, "seed %llu of %llu..%llu\n", (unsigned long long)seed,
                          (unsigned long long)c->first_seed, (unsigned long long)c->last_seed);
        code = run_seed(r, run, seed, err);
        if (code == CSL_OK && r->was_interrupted)
            first->was_interrupted = true;
        else if (code == CSL_OK)
            code = csl_repeats_add(&first->repeats, r, err);
        csl_result_release(r);
    }
    csl_free(r);
    return code;
}

static void take_noise(struct csl_result_price *price, const struct csl_result *r)
{
    for (uint32_t s = 0; s < r->site_count; s++) {
        double noise = r->sites[s].privacy.noise_multiplier;
        if (!r->sites[s].privacy.is_present || !(noise > 0))
            continue;
        if (!(price->noise_high > 0) || noise < price->noise_low)
            price->noise_low = noise;
        if (noise > price->noise_high)
            price->noise_high = noise;
    }
}

static void show_price(const struct csl_run_config *c, double epsilon, uint64_t seed)
{
    char text[40] = "without privacy";
    if (c->progress == NULL)
        return;
    if (isfinite(epsilon))
        (void)snprintf(text, sizeof(text), "epsilon %g", epsilon);
    (void)fprintf(c->progress, "%s, seed %llu of %llu..%llu\n", text, (unsigned long long)seed,
                  (unsigned long long)c->first_seed, (unsigned long long)c->last_seed);
}

/* All seeds of one price; *stops: interrupted. */
static enum csl_code run_price(struct csl_result_price *price, struct run *run, bool *stops,
                               struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    enum csl_code code = CSL_OK;
    struct csl_result *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the price of privacy");
    for (uint64_t seed = c->first_seed; seed <= c->last_seed && code == CSL_OK; seed++) {
        *stops = is_interrupted(c);
        if (*stops)
            break;
        show_price(c, price->epsilon, seed);
        code = run_seed(r, run, seed, err);
        *stops = code == CSL_OK && r->was_interrupted;
        if (code == CSL_OK && !*stops) {
            take_noise(price, r);
            code = csl_repeats_add(&price->repeats, r, err);
        }
        csl_result_release(r);
        if (*stops)
            break;
    }
    csl_free(r);
    return code;
}

static enum csl_code run_prices(struct csl_result *shown, const struct run *run,
                                struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    enum csl_code code = CSL_OK;
    bool stops = false;
    if (c->price_count == 0)
        return CSL_OK;
    shown->prices = csl_alloc_array(c->price_count, sizeof(*shown->prices));
    if (shown->prices == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u prices", c->price_count);
    for (uint32_t i = 0; i < c->price_count && code == CSL_OK && !stops; i++) {
        struct csl_run_config config = *c;
        struct run one = *run; /* the same records and the same networks */
        struct csl_result_price *price = &shown->prices[shown->price_count++];
        config.study = c->prices[i].study;
        config.has_baselines = false;
        config.audit_canaries = 0;
        one.c = &config;
        one.is_price = true;
        price->epsilon = c->prices[i].epsilon;
        code = run_price(price, &one, &stops, err);
        shown->was_interrupted = shown->was_interrupted || stops;
        if (price->repeats.count == 0) {
            csl_repeats_release(&price->repeats);
            shown->price_count--;
        }
    }
    return code;
}

static enum csl_code read_initial(struct run *run, struct csl_err *err)
{
    const struct csl_run_config *c = run->c;
    uint8_t digest[CSL_DIGEST_BYTES];
    if (c->initial_model == NULL && csl_study_has_kind(c->study, CSL_BLOCK_FROZEN))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "study '%s' has frozen blocks; --initial-model FILE, with their weights, "
                        "would be right",
                        c->study->id);
    if (c->initial_model == NULL)
        return CSL_OK;
    enum csl_code code = csl_weights_read(&run->initial, c->initial_model, &c->study->schema, err);
    if (code != CSL_OK)
        return code;
    csl_sha256_digest(run->initial, c->study->schema.parameters * sizeof(float), digest);
    csl_hex(digest, sizeof(digest), run->initial_digest);
    return CSL_OK;
}

enum csl_code csl_run_study(struct csl_result *out, const struct csl_run_config *c,
                            struct csl_err *err)
{
    struct run run = {.c = c};
    struct csl_result *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the result");
    enum csl_code code = read_initial(&run, err);
    if (code == CSL_OK)
        code = csl_trainer_new(&run.trainer, c->study, c->backend, err);
    if (code == CSL_OK)
        code = csl_sim_data_load(&run.data, c->study, c->prepared->sites, c->prepared->count, err);
    if (code == CSL_OK && c->prepared->external_count > 0)
        code = csl_sim_data_load(&run.external, c->study, c->prepared->external,
                                 c->prepared->external_count, err);
    if (code == CSL_OK)
        code = run_seed(r, &run, c->first_seed, err);
    if (code == CSL_OK && c->last_seed > c->first_seed && !r->was_interrupted)
        code = run_others(r, &run, err);
    if (code == CSL_OK && !r->was_interrupted)
        code = run_prices(r, &run, err);
    if (code == CSL_OK)
        *out = *r;
    else
        csl_result_release(r);
    csl_free(r);
    csl_sim_data_release(&run.data);
    csl_sim_data_release(&run.external);
    csl_trainer_free(run.trainer);
    csl_free(run.initial);
    return code;
}
