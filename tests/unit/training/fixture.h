/* tests/unit/training/fixture.h - studies and records made by hand for the tests of training. */
#ifndef CSL_TEST_TRAINING_FIXTURE_H
#define CSL_TEST_TRAINING_FIXTURE_H
#include "site-agent/training/train.h"

#define FX_DOMAINS 3

/* A study of up to FX_DOMAINS domains whose storage lives here, with one data set. */
struct fx {
    struct csl_study study;
    struct csl_domain domains[FX_DOMAINS];
    struct csl_dataset data;
    struct csl_examples examples[FX_DOMAINS][CSL_SPLIT_COUNT];
};
void fx_init(struct fx *f);
void fx_release(struct fx *f);
/* Adds a domain (its id is "d0", "d1", ...) and its tensors; returns its index. hidden 0: linear.
 */
uint32_t fx_add_domain(struct fx *f, enum csl_task_kind task, uint32_t width, uint32_t classes,
                       uint32_t hidden);
void fx_seal(struct fx *f); /* seals the schema; afterwards no more domains */
/* Synthetic records whose label depends on the inputs; patient p has 1 + p % repeats records. */
void fx_fill(struct fx *f, uint32_t domain, enum csl_split split, uint32_t patients,
             uint32_t repeats, uint64_t seed);
void fx_free_examples(struct csl_examples *e);
/* Owned [P] vectors. */
float *fx_vector(const struct fx *f, uint64_t seed, double scale);

/* A run of one task and everything it wrote. */
struct fx_outcome {
    float *update, *site_control, *control_change;
    struct csl_train_report report;
};
void fx_outcome_free(struct fx_outcome *o);
/* One round (seed 42) on a trainer of its own; control NULL: without SCAFFOLD. */
enum csl_code fx_run(struct fx *f, const char *backend, uint64_t round, const float *global,
                     const float *control, const float *site_control, struct fx_outcome *o,
                     struct csl_err *err);
/* d0 binary logistic, d1 a classes mlp with several records for a patient, d2 cox; adam. */
void fx_three_domains(struct fx *f);

/* The mean loss of parameters w (double) on records, written independently of the engine: the
 * definition the gradients are checked against by central differences. rows NULL: all. */
double fx_loss(const struct fx *f, uint32_t domain, const struct csl_examples *e,
               const uint32_t *rows, uint32_t count, const double *w);

#endif
