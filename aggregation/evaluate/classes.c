#include "aggregation/evaluate/interval.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

struct patient { /* what a resample needs of one patient */
    double gap;  /* (decision is right) - confidence */
    double squared, log_loss;
    uint8_t label, decision, bin;
};
struct context {
    const struct patient *patients;
    uint32_t classes;
    double gaps[CSL_EVALUATE__ECE_BINS]; /* of all patients */
};
enum { BALANCED_ACCURACY, SPECIFICITY, MACRO_F1, ECE, ECE_NOISE, BRIER, LOG_LOSS, MEASURES };

/* Per class: its patients, how often it was decided, how often rightly. */
struct tally {
    uint64_t labelled[CSL_CLASSES_MAX], decided[CSL_CLASSES_MAX], right[CSL_CLASSES_MAX];
};

static void average_classes(const struct tally *t, uint32_t classes, uint64_t n,
                            double values[CSL_EVALUATE__MEASURES])
{
    double recall = 0, specificity = 0, f1 = 0;
    uint32_t present = 0;
    for (uint32_t c = 0; c < classes; c++) {
        if (t->labelled[c] == 0)
            continue;
        double right = (double)t->right[c], decided = (double)t->decided[c];
        double labelled = (double)t->labelled[c], others = (double)n - labelled;
        present++;
        recall += right / labelled;
        specificity += others > 0 ? 1 - (decided - right) / others : 0;
        f1 += 2 * right / (labelled + decided);
    }
    bool is_defined = present >= 2;
    values[BALANCED_ACCURACY] = is_defined ? recall / present : (double)NAN;
    values[SPECIFICITY] = is_defined ? specificity / present : (double)NAN;
    values[MACRO_F1] = is_defined ? f1 / present : (double)NAN;
}

static void measure(void *context, const uint32_t *draws, uint64_t n,
                    double values[CSL_EVALUATE__MEASURES])
{
    const struct context *c = context;
    struct tally t;
    double gaps[CSL_EVALUATE__ECE_BINS] = {0}, squared = 0, log_loss = 0;
    memset(&t, 0, sizeof(t));
    for (uint64_t i = 0; i < n; i++) {
        const struct patient *p = &c->patients[draws[i]];
        t.labelled[p->label]++;
        t.decided[p->decision]++;
        t.right[p->label] += p->label == p->decision;
        gaps[p->bin] += p->gap;
        squared += p->squared;
        log_loss += p->log_loss;
    }
    values[ECE] = csl_evaluate__ece(gaps, c->gaps, n, &values[ECE_NOISE]);
    values[BRIER] = squared / (double)n;
    values[LOG_LOSS] = log_loss / (double)n;
    average_classes(&t, c->classes, n, values);
}

/* One row of probabilities; the first of equal largest ones decides. */
static bool read_row(const float *row, uint8_t label, uint32_t classes, struct patient *out)
{
    uint32_t best = 0;
    double squared = 0;
    if (label >= classes)
        return false;
    for (uint32_t c = 0; c < classes; c++) {
        double p = (double)row[c], off = p - (c == label);
        if (!(p >= 0 && p <= 1))
            return false;
        squared += off * off;
        best = row[c] > row[best] ? c : best;
    }
    double confidence = (double)row[best];
    *out = (struct patient){.gap = (best == label) - confidence,
                            .squared = squared,
                            .log_loss = csl_evaluate__log_loss((double)row[label]),
                            .label = label,
                            .decision = (uint8_t)best,
                            .bin = (uint8_t)csl_evaluate__ece_bin(confidence)};
    return true;
}

/* The mean over the classes present of the AUC of each against the rest. */
static enum csl_code add_auc(const float *scores, const uint8_t *labels, uint64_t n,
                             uint32_t classes, struct csl_metrics *out, struct csl_err *err)
{
    uint64_t sizes[CSL_CLASSES_MAX], smallest;
    uint32_t present = csl_evaluate__count_classes(labels, n, classes, sizes, &smallest);
    struct csl_evaluate__scored *work = csl_alloc_array(n, sizeof(*work));
    double *influence = csl_alloc_array(n, sizeof(*influence));
    double sum = 0;
    if (work == NULL || influence == NULL) {
        csl_free(work);
        csl_free(influence);
        return CSL_FAIL(err, CSL_E_NOMEM, "ranks of %llu scores", (unsigned long long)n);
    }
    for (uint32_t c = 0; c < classes; c++) {
        double auc;
        if (csl_evaluate__auc(scores + c, classes, labels, (uint8_t)c, n, work, 1.0 / present,
                              influence, &auc))
            sum += auc;
    }
    /* The mean of perfect AUCs must not become 1 + 2^-52. */
    csl_evaluate__add_auc(out, fmin(1.0, sum / present), labels, n, classes, influence);
    csl_free(work);
    csl_free(influence);
    return CSL_OK;
}

static void add_all(struct csl_metrics *m, const struct patient *patients, uint64_t n,
                    const double *values, const struct csl_evaluate__spread *spreads,
                    uint64_t smallest)
{
    uint64_t right = 0;
    for (uint64_t i = 0; i < n; i++)
        right += patients[i].label == patients[i].decision;
    csl_evaluate__add_proportion(m, "accuracy", right, n);
    csl_evaluate__add_spread(m, "balanced_accuracy", values[BALANCED_ACCURACY],
                             &spreads[BALANCED_ACCURACY], smallest);
    /* The macro mean of one-versus-rest sensitivities is the balanced accuracy. */
    csl_evaluate__add_spread(m, "sensitivity", values[BALANCED_ACCURACY],
                             &spreads[BALANCED_ACCURACY], smallest);
    csl_evaluate__add_spread(m, "specificity", values[SPECIFICITY], &spreads[SPECIFICITY],
                             smallest);
    csl_evaluate__add_spread(m, "macro_f1", values[MACRO_F1], &spreads[MACRO_F1], smallest);
    csl_evaluate__add_basic(m, "ece", values[ECE], &spreads[ECE], &spreads[ECE_NOISE]);
    csl_evaluate__add_spread(m, "brier", values[BRIER], &spreads[BRIER], 0);
    csl_evaluate__add_spread(m, "log_loss", values[LOG_LOSS], &spreads[LOG_LOSS], 0);
}

enum csl_code csl_evaluate_classes(const float *scores, const uint8_t *labels, uint64_t n,
                                   uint32_t classes, uint64_t seed, struct csl_metrics *out,
                                   struct csl_err *err)
{
    struct csl_metrics m = {.examples = n};
    double values[MEASURES];
    struct csl_evaluate__spread spreads[MEASURES];
    uint64_t sizes[CSL_CLASSES_MAX], smallest;
    if (classes < 2 || classes > CSL_CLASSES_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "%u classes; 2 to %d would be right", classes,
                        CSL_CLASSES_MAX);
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
    for (uint64_t i = 0; code == CSL_OK && i < n; i++)
        if (!read_row(scores + i * classes, labels[i], classes, &patients[i]))
            code = CSL_FAIL(err, CSL_E_INVAL,
                            "example %llu: scores from 0 to 1 and a label below %u would be right",
                            (unsigned long long)i, classes);
    struct context context = {.patients = patients, .classes = classes};
    for (uint64_t i = 0; code == CSL_OK && i < n; i++)
        context.gaps[patients[i].bin] += patients[i].gap;
    if (code == CSL_OK)
        code = add_auc(scores, labels, n, classes, &m, err);
    if (code == CSL_OK)
        code = csl_evaluate__bootstrap(measure, &context, n, seed, MEASURES, values, spreads, err);
    if (code == CSL_OK) {
        csl_evaluate__count_classes(labels, n, classes, sizes, &smallest);
        add_all(&m, patients, n, values, spreads, smallest);
        *out = m;
    }
    csl_free(patients);
    return code;
}
