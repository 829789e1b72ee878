/* simulations/result.h - everything a run is able to say about itself: what was run, how good the
 * model is at every site, and how good the alternatives are.
 *
 * The report is drawn from this struct alone, and the struct is written to and read back from
 * summary.json and metrics.csv (docs: product page, "what a run leaves behind"), so a report can be
 * drawn again without the data. A value that was not measured is absent: metrics with count 0, a
 * digest of "", a NULL array. An epsilon of INFINITY is no bound, and is absent as well. One
 * thread.
 */
#ifndef CSL_RESULT_H
#define CSL_RESULT_H
#include "aggregation/evaluate/metrics.h"
#include "aggregation/statistics/report.h"
#include "base/buf.h"
#include "protocol/study/study.h"
#include "simulations/result_attack.h"
#include "simulations/result_evaluation.h"
#include "simulations/result_fairness.h"
#include "simulations/result_labels.h"
#include "simulations/result_realised.h"
#include "simulations/result_transfer.h"

#define CSL_SUMMARY_FORMAT    "consilium.summary/1"
#define CSL_SUMMARY_BYTES_MAX (256u * 1024u * 1024u)
#define CSL_CROSS_SITES_MAX   32 /* sites up to which local models are tried on every site */

struct csl_result_domain {
    char id[CSL_ID_MAX], modality[16], label[CSL_ID_MAX], positive[CSL_ID_MAX];
    enum csl_task_kind task;
    uint32_t classes;
};
/* From one site's ledger (simulations/world.h, struct csl_world_privacy). */
struct csl_result_privacy {
    bool is_present, is_verified, is_rehearsal;
    double epsilon, delta;                   /* spent; epsilon INFINITY: no bound is known */
    double statistics_epsilon;               /* of that; 0: none */
    double budget_epsilon, noise_multiplier; /* 0: none was stated */
    uint64_t entries;
    char head[2 * 32 + 1];               /* root of the last signed head, hexadecimal */
    uint32_t canaries, guesses, correct; /* audit; canaries 0: none */
    double audit_epsilon_lower, audit_confidence;
};
struct csl_result_site {
    char id[CSL_ID_MAX];
    uint64_t patients, rounds_completed;
    struct csl_result_privacy privacy;
    struct csl_result_attack attack;
};
struct csl_result_group { /* the federated model on the test patients with one attribute value */
    uint32_t domain;
    char attribute[CSL_ID_MAX], value[32];
    struct csl_metrics metrics;
    uint64_t patients;  /* 0: only records were counted */
    uint32_t collapsed; /* classes that are, where counted (csl_sum_figures) */
};
#define CSL_RESULT_WEIGHTS  "domain_weight"
#define CSL_RESULT_REJECTED "rejected"
/* A row of metrics.csv. Scopes: "federation" (train_loss, contributions by round), "round_site",
 * "round_pooled" and "round_mean" (what the sites reported at that round; from the sum of their
 * counts; unweighted; under masks "round_pooled" alone, of the sum that was opened), "round_gap"
 * and "round_group" (what they reported by patient group; result_fairness.h), "test_site",
 * "test_pooled", "test_mean", "test_group", "test_gap" (the released model; result_fairness.h),
 * "privacy_site" (epsilon, statistics_epsilon, budget_epsilon, noise_multiplier of the whole run),
 * "privacy_sum" (of all sums opened up to that round: epsilon_coordinator, epsilon_colluding,
 * epsilon_planned; result_realised.h), "domain_weight" (weight, patients and skill of a domain, by
 * the round of the model that was evaluated; from the next one on), "left_out_site",
 * "left_out_pooled" (each site's test patients, judged by the model of the study without that
 * site), "few_8_head_site", "few_8_local_pooled", ... (that model with its head fitted to so many
 * labelled patients of each class there; the site's model of these alone), "personal_whole_site",
 * "personal_head_pooled", ... (the released model fitted to the site), "rejected" (a round that was
 * not applied; norm of the mean update and its limit, of the block that was furthest beyond; or
 * whose model was taken back: worse and voters, of no domain). */
struct csl_result_row {
    uint64_t round;
    char scope[24], site[CSL_ID_MAX], domain[CSL_ID_MAX], metric[CSL_ID_MAX], method[16];
    double value, low, high;
    bool has_interval;
};
struct csl_result_local { /* the model a site trains alone */
    bool is_absent;
    char reason[160]; /* why it is absent */
    struct csl_evaluation evaluation;
    struct csl_metrics *own; /* [domain_count] on the site's own test patients; owned */
};
struct csl_result_baselines {
    bool is_present;
    char reason[160];                /* why not */
    struct csl_result_local *locals; /* [site_count]; owned */
    /* per domain, index of the site whose local model has the best pooled headline metric: chosen
     * on the test patients and hence optimistic; UINT32_MAX: none; [domain_count]; owned */
    uint32_t *best_site;
    struct csl_evaluation best_local, ensemble, pooled_training;
    bool has_best_local, has_ensemble, has_pooled_training;
    char pooled_reason[160];
};

struct csl_repeats {
    uint64_t first_seed, last_seed;
    uint32_t count; /* 0: the run was not repeated */
    struct csl_evaluation_spread federated, best_local, ensemble, pooled_training;
    struct csl_evaluation_spread *locals; /* [local_count]; owned */
    uint32_t local_count;
    struct csl_evaluation_spread transfer[CSL_TRANSFER_COUNT];
    struct csl_evaluation_spread external; /* of its sites */
};

/* The same study at another price: `simulate --epsilon LIST`. */
#define CSL_PRICES_MAX 16
struct csl_result_price {
    double epsilon;               /* INFINITY: without privacy */
    double noise_low, noise_high; /* smallest and largest noise multiplier of the sites; 0: none */
    struct csl_repeats repeats;   /* over the same seeds; baselines are left out */
};

struct csl_result {
    char version[24], study[CSL_ID_MAX], question[256], strategy[CSL_ID_MAX];
    char study_digest[2 * CSL_DIGEST_BYTES + 1], model_digest[2 * CSL_DIGEST_BYTES + 1];
    char initial_model_digest[2 * CSL_DIGEST_BYTES + 1]; /* "": drawn from the seed */
    char transport[16], backend[24], privacy[16];
    struct csl_result_realised realised;
    bool has_secure_aggregation, was_interrupted;
    bool has_plain_sums; /* the study has secure aggregation, and the run left the masks out */
    uint64_t seed, rounds, rounds_planned, parameters;
    double wall_s, cpu_s;                          /* 0: not measured */
    uint64_t peak_rss_bytes, bytes_up, bytes_down; /* 0: not measured */
    struct csl_result_domain *domains;             /* [domain_count]; owned */
    struct csl_result_site *sites;                 /* [site_count]; owned */
    uint32_t domain_count, site_count;
    struct csl_evaluation federated;
    struct csl_result_group *groups; /* [group_count]; owned */
    uint32_t group_count;
    struct csl_result_labels labels;
    struct csl_result_fairness fairness;
    struct csl_study_release release; /* what the study asks of a model that is handed out */
    struct csl_result_baselines baselines;
    struct csl_result_transfer transfer;
    /* The released model at sites that never trained: their ids and training patients, the run's
     * domains, and `federated`; the rest is empty. NULL: none; owned */
    struct csl_result *external;
    struct csl_result_row *rows; /* [row_count]; owned */
    uint32_t row_count, row_capacity;
    struct csl_statistics_report statistics; /* of a census; else no domains; owned */
    struct csl_repeats repeats;
    struct csl_result_price *prices; /* [price_count] ascending by epsilon; owned */
    uint32_t price_count;
};

void csl_result_release(struct csl_result *r); /* accepts one that is all zero */
/* Gives r its sites and domains and empty evaluations. */
enum csl_code csl_result_init(struct csl_result *r, uint32_t site_count, uint32_t domain_count,
                              struct csl_err *err) CSL_MUST_CHECK;
/* Makes r->external of r's domains, which are known. */
enum csl_code csl_result_init_external(struct csl_result *r, uint32_t site_count,
                                       struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_result_init_baselines(struct csl_result *r, struct csl_err *err) CSL_MUST_CHECK;
/* Appends a row; interval and method from m when it has one. */
enum csl_code csl_result_add_row(struct csl_result *r, const struct csl_result_row *row,
                                 struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_result_add_group(struct csl_result *r, const struct csl_result_group *g,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* Rows "test_*" of the released model. */
enum csl_code csl_result_add_test_rows(struct csl_result *r, struct csl_err *err) CSL_MUST_CHECK;
/* Rows of r->transfer, once all of it is measured; none of what was not asked for. */
enum csl_code csl_result_add_transfer_rows(struct csl_result *r,
                                           struct csl_err *err) CSL_MUST_CHECK;
/* The next round from row *at on that was not applied, or whose model was taken back; *at is moved
 * behind it. false: no more. (result_rejected.c) */
struct csl_result_rejected {
    uint64_t round;
    bool is_by_vote;
    double worse, voters; /* by vote; else HUGE_VAL */
    const char *block;    /* the one furthest beyond; borrowed; by vote "" */
    double norm, limit;   /* of the mean update; HUGE_VAL: no number; none */
};
bool csl_result_next_rejected(const struct csl_result *r, uint32_t *at,
                              struct csl_result_rejected *out);
/* Rows "privacy_site"; none for a site without a ledger. */
enum csl_code csl_result_add_privacy_rows(struct csl_result *r, struct csl_err *err) CSL_MUST_CHECK;

/* All sites' ledgers together. Sites hold disjoint patients, so that the federation costs a patient
 * what the site with the largest epsilon costs (parallel composition). */
struct csl_result_spent {
    uint32_t sites;               /* that have a ledger */
    double epsilon, delta;        /* largest of the sites */
    uint64_t entries;             /* sum */
    bool is_verified;             /* every one */
    bool is_rehearsal, has_audit; /* any one */
};
bool csl_result_spent(const struct csl_result *r, struct csl_result_spent *out); /* false: none */
bool csl_result_has_privacy(const struct csl_result *r);                         /* by its mode */
/* "This run had differential privacy (mode local) and no secure aggregation."; a rehearsal is
 * called one. */
void csl_result_protection(const struct csl_result *r, char *dst, size_t dst_bytes);
/* Whom the mode protects, against whom and how, in plain words and without a line feed; "" for
 * none. */
const char *csl_result_mode_words(const struct csl_result *r);
/* Three decimals, an upper bound rounded up and a lower one down; "no bound" for infinity. */
void csl_epsilon_text(char *dst, size_t dst_bytes, double epsilon, bool is_upper);
#define CSL_REHEARSAL_WORDS                                                                        \
    "Noise of this simulation comes from its seed and protects nobody; the price is what a real "  \
    "run would pay."

#define CSL_PLAIN_SUMS_WORDS                                                                       \
    "Masks were off: this process added up the words of every hospital in the open. The sums are " \
    "those of the study under masks, and nothing was hidden."

/* The mean over sites of each site's local model on the site's own test patients. */
bool csl_result_own_mean(const struct csl_result *r, uint32_t domain, const char *name,
                         struct csl_mean *out);

/* The metrics a task is judged by, the first one first; NULL-terminated. binary: auc, accuracy;
 * classes: macro_f1, balanced_accuracy; survival: c_index; labels: auc, balanced_accuracy. */
const char *const *csl_headline(enum csl_task_kind task);
/* The static spelling of a metric's or method's name, NULL when nobody knows it. */
const char *csl_metric_intern(const char *name);
const char *csl_method_intern(const char *name);
const char *csl_metric_title(const char *name); /* for people: "AUC"; the name when unknown */
/* Every metric name, in the order they are shown; NULL-terminated. */
const char *const *csl_metric_names(void);

/* --- repeats (simulations/repeats.c) --- */
/* Adds one finished run of the same study to r->repeats; the first call sizes it. */
enum csl_code csl_repeats_add(struct csl_repeats *p, const struct csl_result *run,
                              struct csl_err *err) CSL_MUST_CHECK;
void csl_repeats_release(struct csl_repeats *p);

/* --- files (result_json.c, result_read.c, result_csv.c) --- */
enum csl_code csl_result_write_json(const struct csl_result *r, struct csl_buf *out,
                                    struct csl_err *err) CSL_MUST_CHECK;
void csl_result_write_csv(const struct csl_result *r, struct csl_buf *out);
/* `name` is shown in errors. CSL_E_CORRUPT names the member that is wrong. */
enum csl_code csl_result_read_json(struct csl_result *out, const char *name, struct csl_span json,
                                   struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_result_read_csv(struct csl_result *r, const char *name, struct csl_span csv,
                                  struct csl_err *err) CSL_MUST_CHECK;

#endif
