/* simulations/evaluate.h - models on the test patients of every site, per domain: one site at a
 * time, all sites' scores joined, and by patient group. */
#ifndef CSL_SIM_EVALUATE_H
#define CSL_SIM_EVALUATE_H
#include "simulations/result.h"
#include "simulations/world.h"
#include "site-agent/training/train.h"

/* The data of a simulation, loaded once for every model and every repeat. */
struct csl_sim_data {
    const struct csl_study *study; /* borrowed */
    struct csl_dataset **sites;    /* [site_count]; owned */
    struct csl_dataset *pooled;    /* all records as one site's; NULL until asked for; owned */
    uint32_t site_count;
    uint64_t *patients; /* [site_count] training patients of the record file; owned */
    /* Of the model that is judged, where blocks are local: [site_count] as each site has it, in
     * place of the one that is given; NULL: the same everywhere; borrowed */
    float *const *own;
    /* Attributes of the test records, for groups. Domain-major: [domain_count, site_count]. */
    struct csl_sim_attributes *attributes; /* owned */
};
enum csl_code csl_sim_data_load(struct csl_sim_data *out, const struct csl_study *study,
                                const struct csl_world_site *sites, uint32_t site_count,
                                struct csl_err *err) CSL_MUST_CHECK;
enum csl_code csl_sim_data_load_pooled(struct csl_sim_data *d, const struct csl_world_site *sites,
                                       struct csl_err *err) CSL_MUST_CHECK;
void csl_sim_data_release(struct csl_sim_data *d);

/* --- trainable.c --- */
/* Why nothing can be learned from these examples; NULL when something can. */
const char *csl_sim_refuse_training(const struct csl_domain *d, const struct csl_examples *e);
/* The domains a site can train, into wanted: [domain_count]; false: none, and why. */
bool csl_sim_trainable(const struct csl_sim_data *d, uint32_t site, bool *wanted,
                       const char **reason);

/* The released model on `d`, of r->external's sites: fills r->external->federated. */
enum csl_code csl_evaluate_external(struct csl_result *r, const struct csl_sim_data *d,
                                    struct csl_trainer *trainer, const float *parameters,
                                    struct csl_err *err) CSL_MUST_CHECK;

/* Probabilities or risks of one model for every test record. */
struct csl_predictions {
    uint32_t site_count, domain_count;
    float **cells; /* [site_count, domain_count][records * width]; NULL: none; each owned */
};
enum csl_code csl_predictions_init(struct csl_predictions *p, const struct csl_sim_data *d,
                                   struct csl_err *err) CSL_MUST_CHECK;
/* Moves what `from` has of a site; `to` has none of that. */
void csl_predictions_move(struct csl_predictions *to, struct csl_predictions *from, uint32_t site);
void csl_predictions_release(struct csl_predictions *p);
/* Floats per record of a domain: its classes for several classes, else 1. */
uint32_t csl_prediction_width(const struct csl_domain *d);
/* `wanted` (may be NULL: all): [domain_count], false leaves out a domain the model knows nothing
 * of. only_site UINT32_MAX: every site. */
enum csl_code csl_predict_sites(struct csl_predictions *out, const struct csl_sim_data *d,
                                struct csl_trainer *trainer, const float *parameters,
                                const bool *wanted, uint32_t only_site,
                                struct csl_err *err) CSL_MUST_CHECK;
/* The same on the pooled data set, under its own scaling, cut back into sites. */
enum csl_code csl_predict_pooled(struct csl_predictions *out, const struct csl_sim_data *d,
                                 struct csl_trainer *trainer, const float *parameters,
                                 struct csl_err *err) CSL_MUST_CHECK;

/* One site, one domain. examples 0 when there is nothing to evaluate. */
enum csl_code csl_evaluate_cell(struct csl_metrics *out, const struct csl_sim_data *d,
                                const struct csl_predictions *p, uint32_t site, uint32_t domain,
                                uint64_t seed, struct csl_err *err) CSL_MUST_CHECK;
/* Initialises *out. has_cells false: only the joined figures. */
enum csl_code csl_evaluate_predictions(struct csl_evaluation *out, const struct csl_sim_data *d,
                                       const struct csl_predictions *p, bool has_cells,
                                       uint64_t seed, struct csl_err *err) CSL_MUST_CHECK;
/* Adds the groups of every domain to r: attribute by attribute, value by value, all sites joined.
 * Groups of fewer than CSL_GROUP_RECORDS_MIN test records are left out. */
#define CSL_GROUP_RECORDS_MIN 10
#define CSL_GROUP_VALUES_MAX  16 /* values of one attribute */
enum csl_code csl_evaluate_groups(struct csl_result *r, const struct csl_sim_data *d,
                                  const struct csl_predictions *p, uint64_t seed,
                                  struct csl_err *err) CSL_MUST_CHECK;

/* The values of an attribute at one site, one per test record of the domain, "" for unknown; NULL:
 * the site does not have the attribute. */
const char (*csl_sim_values(const struct csl_sim_data *d, uint32_t site, uint32_t domain,
                            const char *attribute))[32];
/* Its values at all sites, in order; further ones are left out. */
uint32_t csl_sim_list_values(const struct csl_sim_data *d, uint32_t domain, const char *attribute,
                             char out[CSL_GROUP_VALUES_MAX + 1][32]);
/* Evaluates from counts (aggregation/evaluate/sums.h): every site counts its own test records,
 * domain by domain and group by group; the counts are added up, and all that follows comes from
 * the sums. Fills r->fairness, and with study->fairness r->groups in place of csl_evaluate_groups.
 * Survival has no such counts and is left out, as are several labels. (simulations/evaluate_sums.c)
 */
enum csl_code csl_evaluate_by_counts(struct csl_result *r, const struct csl_sim_data *d,
                                     const struct csl_predictions *p, uint64_t seed,
                                     struct csl_err *err) CSL_MUST_CHECK;
/* Fills r->labels: every label of a domain of several, over all sites' test records with a known
 * answer. (simulations/evaluate_labels.c) */
enum csl_code csl_evaluate_by_label(struct csl_result *r, const struct csl_sim_data *d,
                                    const struct csl_predictions *p, uint64_t seed,
                                    struct csl_err *err) CSL_MUST_CHECK;
/* Adds for every domain of several inputs, and each of them, the joined test records as if none had
 * it: as groups of the attribute "input left out". */
enum csl_code csl_evaluate_without_inputs(struct csl_result *r, const struct csl_sim_data *d,
                                          struct csl_trainer *trainer, const float *parameters,
                                          struct csl_err *err) CSL_MUST_CHECK;

/* --- attributes (simulations/attributes.c) --- */
struct csl_sim_attributes { /* of the test records of one domain at one site */
    uint32_t count;         /* attributes; 0: none, or the records could not be matched */
    uint32_t records;
    char (*names)[CSL_ID_MAX]; /* [count]; owned */
    char (*values)[32];        /* [count, records]; "": unknown; owned */
};
/* Reads the attributes of a record file and matches them with the examples of `data`: the record
 * file and the data set keep records in the same order, and the match is only taken when the labels
 * agree one by one. out: [domain_count] with `stride` between them. */
struct csl_records;
enum csl_code csl_sim_attributes_match(struct csl_sim_attributes *out, uint32_t stride,
                                       const struct csl_records *r, const struct csl_dataset *data,
                                       struct csl_err *err) CSL_MUST_CHECK;
void csl_sim_attributes_release(struct csl_sim_attributes *a);

#endif
