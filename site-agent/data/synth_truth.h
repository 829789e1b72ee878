/* site-agent/data/synth_truth.h - what is true of the synthetic federation, by construction.
 *
 * Binary tasks. In standard units an input is (y - 1/2) d t + n with a known unit vector t and
 * noise n that is standard normal along t and of any size across it. The scores t . x of the two
 * classes are normal, d apart, with variance 1, so no model beats AUC = Phi(d / sqrt 2), and t
 * reaches it (Neyman-Pearson; Green and Swets 1966, chapter 1). Prevalence may depend on hospital,
 * sex and age without changing this, because given y the input does not. A device's gain and offset
 * are one monotone map per hospital, and its extra noise lies across t, so the optimum within each
 * hospital is the same.
 *
 * Survival. The log hazard ratio is s t . x with standard normal x; times and censoring are
 * exponential with rates l exp(.) and r l. For risks a and b a pair is comparable with probability
 * (a + b) / (a + b + 2 r) and then in the right order with probability max(a, b) / (a + b); the
 * best C-index is the ratio of the two expectations, integrated numerically. */
#ifndef CSL_SYNTH_TRUTH_H
#define CSL_SYNTH_TRUTH_H
#include <stdbool.h>
#include <stdint.h>

enum csl_synth_kind { CSL_SYNTH_TABLE, CSL_SYNTH_IMAGE, CSL_SYNTH_SIGNAL };
#define CSL_SYNTH_TASKS     6
#define CSL_SYNTH_WIDTH_MAX 256
#define CSL_SYNTH_CENSORING 0.8 /* r */

struct csl_synth_feature {
    const char *name, *unit;
    double centre, spread; /* value = centre + spread * standard unit */
    double weight;         /* share in t, before it is made a unit vector; 0: says nothing */
};
struct csl_synth_task {
    const char *label; /* also the name of its modality */
    enum csl_synth_kind kind;
    bool is_survival;
    uint32_t shape[3], rank, width;
    double strength;                          /* d, or s for survival */
    const struct csl_synth_feature *features; /* [width] tables only */
};
extern const struct csl_synth_task csl_synth_tasks[CSL_SYNTH_TASKS];

/* t: [width], a unit vector. For images and signals it sums to 0 and is orthogonal to the
 * background. */
void csl_synth_direction(const struct csl_synth_task *task, double *t);
/* What every image or signal shows, healthy or not: [width]. Zero for tables. */
void csl_synth_background(const struct csl_synth_task *task, double *b);

#endif
