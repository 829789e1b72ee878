#include "aggregation/evaluate/interval.h"
#include "base/mem.h"

#include <math.h>

struct patient { /* what a resample needs of one patient */
    double gap;  /* label - score: calibration is the sum of it in a bin */
    double squared, log_loss;
    uint32_t cell; /* 2 * label + decision */
    uint32_t bin;
};
struct context {
    const struct patient *patients;
    double gaps[CSL_EVALUATE__ECE_BINS]; /* of all patients */
};
enum { BALANCED_ACCURACY, MACRO_F1, ECE, ECE_NOISE, BRIER, LOG_LOSS, MEASURES };

static double f1(double hits, double wrong)
{
    return 2 * hits / (2 * hits + wrong);
}

static void measure(void *context, const uint32_t *draws, uint64_t n,
                    double values[CSL_EVALUATE__MEASURES])
{
    const struct context *c = context;
    uint64_t cells[4] = {0};
    double gaps[CSL_EVALUATE__ECE_BINS] = {0}, squared = 0, log_loss = 0;
    for (uint64_t i = 0; i < n; i++) {
        const struct patient *p = &c->patients[draws[i]];
        cells[p->cell]++;
        gaps[p->bin] += p->gap;
        squared += p->squared;
        log_loss += p->log_loss;
    }
    values[ECE] = csl_evaluate__ece(gaps, c->gaps, n, &values[ECE_NOISE]);
    values[BRIER] = squared / (double)n;
    values[LOG_LOSS] = log_loss / (double)n;
    double tn = (double)cells[0], fp = (double)cells[1];
    double fn = (double)cells[2], tp = (double)cells[3];
    if (tn + fp < 1 || tp + fn < 1) {
        values[BALANCED_ACCURACY] = values[MACRO_F1] = (double)NAN;
        return;
    }
    values[BALANCED_ACCURACY] = 0.5 * (tp / (tp + fn) + tn / (tn + fp));
    values[MACRO_F1] = 0.5 * (f1(tp, fp + fn) + f1(tn, fp + fn));
}

static enum csl_code read_patients(const float *scores, const uint8_t *labels, uint64_t n,
                                   double threshold, struct patient *patients, uint64_t cells[4],
                                   struct csl_err *err)
{
    for (uint64_t i = 0; i < n; i++) {
        double s = (double)scores[i];
        if (!(s >= 0 && s <= 1) || labels[i] > 1)
            return CSL_FAIL(
                err, CSL_E_INVAL,
                "example %llu: a score from 0 to 1 and a label of 0 or 1 would be right",
                (unsigned long long)i);
        double y = (double)labels[i];
        patients[i] = (struct patient){.gap = y - s,
                                       .squared = (y - s) * (y - s),
                                       .log_loss = csl_evaluate__log_loss(labels[i] ? s : 1 - s),
                                       .cell = 2U * labels[i] + (s > threshold),
                                       .bin = csl_evaluate__ece_bin(s)};
        cells[patients[i].cell]++;
    }
    return CSL_OK;
}

static enum csl_code add_auc(const float *scores, const uint8_t *labels, uint64_t n,
                             struct csl_metrics *out, struct csl_err *err)
{
    struct csl_evaluate__scored *work = csl_alloc_array(n, sizeof(*work));
    double *influence = csl_alloc_array(n, sizeof(*influence)), auc;
    enum csl_code code = CSL_OK;
    if (work == NULL || influence == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "ranks of %llu scores", (unsigned long long)n);
    else if (csl_evaluate__auc(scores, 1, labels, 1, n, work, 1.0, influence, &auc))
        csl_evaluate__add_auc(out, auc, labels, n, 2, influence);
    csl_free(work);
    csl_free(influence);
    return code;
}

enum csl_code csl_evaluate_binary(const float *scores, const uint8_t *labels, uint64_t n,
                                  double threshold, uint64_t seed, struct csl_metrics *out,
                                  struct csl_err *err)
{
    struct csl_metrics m = {.examples = n};
    double values[MEASURES];
    struct csl_evaluate__spread spreads[MEASURES];
    uint64_t cells[4] = {0};
    enum csl_code code = csl_evaluate__check_size(n, err);
    if (code != CSL_OK)
        return code;
    if (n == 0) {
        *out = m;
        return CSL_OK;
    }
    struct patient *patients = csl_alloc_array(n, sizeof(*patients));
    if (patients == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "%llu examples", (unsigned long long)n);
    code = read_patients(scores, labels, n, threshold, patients, cells, err);
    if (code == CSL_OK)
        code = add_auc(scores, labels, n, &m, err);
    struct context context = {.patients = patients};
    for (uint64_t i = 0; code == CSL_OK && i < n; i++)
        context.gaps[patients[i].bin] += patients[i].gap;
    if (code == CSL_OK)
        code = csl_evaluate__bootstrap(measure, &context, n, seed, MEASURES, values, spreads, err);
    csl_free(patients);
    if (code != CSL_OK)
        return code;
    uint64_t positives = cells[2] + cells[3], negatives = cells[0] + cells[1];
    uint64_t smallest = positives < negatives ? positives : negatives;
    m.positives = positives;
    csl_evaluate__add_proportion(&m, "accuracy", cells[0] + cells[3], n);
    csl_evaluate__add_spread(&m, "balanced_accuracy", values[BALANCED_ACCURACY],
                             &spreads[BALANCED_ACCURACY], smallest);
    csl_evaluate__add_proportion(&m, "sensitivity", cells[3], positives);
    csl_evaluate__add_proportion(&m, "specificity", cells[0], negatives);
    csl_evaluate__add_spread(&m, "macro_f1", values[MACRO_F1], &spreads[MACRO_F1], smallest);
    csl_evaluate__add_basic(&m, "ece", values[ECE], &spreads[ECE], &spreads[ECE_NOISE]);
    csl_evaluate__add_spread(&m, "brier", values[BRIER], &spreads[BRIER], 0);
    csl_evaluate__add_spread(&m, "log_loss", values[LOG_LOSS], &spreads[LOG_LOSS], 0);
    *out = m;
    return CSL_OK;
}
