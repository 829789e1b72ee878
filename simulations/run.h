/* simulations/run.h - a whole run: the federation, its evaluation, the baselines, for one seed or
 * for several, and the files it leaves behind. */
#ifndef CSL_SIM_RUN_H
#define CSL_SIM_RUN_H
#include "simulations/prepare.h"
#include "simulations/result.h"

/* The same study with another epsilon (csl_manifest_adapt). */
struct csl_run_price {
    double epsilon; /* INFINITY: without privacy */
    const struct csl_study *study;
};
struct csl_run_config {
    const struct csl_study *study;
    const struct csl_prepared *prepared;
    /* Runs the federation: csl_world_run, or the same as processes. */
    enum csl_code (*federate)(void *ctx, const struct csl_world_config *c,
                              struct csl_world_result *out, struct csl_err *err);
    void *federate_ctx;
    const char *transport, *backend, *version, *out_dir;
    const char *initial_model; /* weights that training starts from; NULL: drawn from the seed */
    bool needs_state_dir;      /* federate wants a folder of its own below OUT/state */
    bool has_baselines, is_unmasked; /* csl_world_config */
    /* Run after the study, with the same seeds and without baselines; ascending by epsilon. */
    const struct csl_run_price *prices; /* [price_count], borrowed */
    uint32_t price_count;
    /* The study without each site: all are run with every seed of the study (leave_out.h).
     * [prepared->count], borrowed; NULL: none */
    const struct csl_study *const *left_out;
    bool has_few_shot;              /* with left_out: those sites with a few labelled patients */
    uint32_t audit_canaries;        /* per site, in every run of the study but not of the prices */
    uint64_t first_seed, last_seed; /* the first one is shown, all go into "repeats" if several */
    FILE *progress;
    bool (*interrupted)(void *ctx);
    void *interrupted_ctx;
};
/* Also writes OUT/model.h5 of the first seed, if one was trained, and, with privacy, its ledgers to
 * OUT/ledger. An interrupted run ends after the round or repeat in hand, with was_interrupted set;
 * a price that no seed finished is left out. */
enum csl_code csl_run_study(struct csl_result *out, const struct csl_run_config *c,
                            struct csl_err *err) CSL_MUST_CHECK;
/* summary.json, metrics.csv, report.html, study.yaml, and model_card.md and model_card.json or, of
 * a census, statistics.json. */
enum csl_code csl_run_write_files(const struct csl_result *r, const struct csl_study *study,
                                  const char *out_dir, struct csl_err *err) CSL_MUST_CHECK;
/* Reads RUN/summary.json and RUN/metrics.csv, and RUN/statistics.json where there is one. */
enum csl_code csl_run_read_files(struct csl_result *out, const char *run_dir,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* model_card.md and model_card.json (simulations/release.h). */
enum csl_code csl_run_write_card(const struct csl_result *r, const char *out_dir,
                                 struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_run_write_report(const struct csl_result *r, const char *path,
                                   struct csl_err *err) CSL_MUST_CHECK;

/* --- steps, used by run.c and its tests --- */
/* Names, domains, sites of a study that is about to run. */
enum csl_code csl_run_describe(struct csl_result *r, const struct csl_run_config *c,
                               struct csl_err *err) CSL_MUST_CHECK;
/* Rounds, bytes, the rows of what the sites reported, and what their ledgers say. */
enum csl_code csl_run_take_world(struct csl_result *r, const struct csl_study *study,
                                 const struct csl_world_result *w,
                                 struct csl_err *err) CSL_MUST_CHECK;
/* r->fairness.told and its rows; none where the study lists no groups (run_groups.c). */
enum csl_code csl_run_take_groups(struct csl_result *r, const struct csl_study *study,
                                  const struct csl_world_result *w,
                                  struct csl_err *err) CSL_MUST_CHECK;
/* Rows "domain_weight"; none where the study has no weights of domains (run_weights.c). */
enum csl_code csl_run_take_weights(struct csl_result *r, const struct csl_study *study,
                                   const struct csl_world_result *w,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* r->statistics, from the sum that the round of a census left; nothing in other
 * studies (run_statistics.c). */
enum csl_code csl_run_take_statistics(struct csl_result *r, const struct csl_study *study,
                                      const struct csl_world_result *w,
                                      struct csl_err *err) CSL_MUST_CHECK;
/* Which sites attack, and how (run_attack.c). */
void csl_run_describe_attacks(struct csl_result *r, const struct csl_study *study);
/* How often each backdoor opens in the model, on the test records of honest sites. */
struct csl_sim_data;
struct csl_trainer;
enum csl_code csl_run_measure_attacks(struct csl_result *r, const struct csl_sim_data *data,
                                      struct csl_trainer *trainer, const float *parameters,
                                      struct csl_err *err) CSL_MUST_CHECK;
/* Mode joint: r->realised, and its rows. Nothing in other modes, and where it is not known for
 * every round how many sites its sum holds. Some milliseconds for each of at most a hundred rounds.
 */
enum csl_code csl_run_take_realised(struct csl_result *r, const struct csl_study *study,
                                    const struct csl_world_result *w,
                                    struct csl_err *err) CSL_MUST_CHECK;

#endif
