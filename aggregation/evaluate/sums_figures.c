/* aggregation/evaluate/sums_figures.c - how good a model is, from counts. */
#include "aggregation/evaluate/interval.h"
#include "aggregation/evaluate/sums_internal.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* --- AUC --- */

/* Running sums over the bins of one side: how its records rank against the other side. */
struct placements {
    double n, sum, squares;
};

static void place(struct placements *p, double count, double share)
{
    p->n += count;
    p->sum += count * share;
    p->squares += count * share * share;
}

/* Sample variance of the placements over the size of the side (DeLong). */
static double variance_of(const struct placements *p)
{
    double centred = p->squares - p->sum * p->sum / p->n;
    return p->n > 1 && centred > 0 ? centred / (p->n - 1) / p->n : 0;
}

struct binned_auc {
    double value, error, sd;
};

static bool auc_of(const struct csl_sums *s, uint32_t head, struct binned_auc *out)
{
    const uint64_t *rest = csl_sums__histogram(s, head, false);
    const uint64_t *of_class = csl_sums__histogram(s, head, true);
    double positives = 0, negatives = 0, below = 0, reached = 0, tied = 0;
    struct placements pos = {0}, neg = {0};
    for (uint32_t b = 0; b < s->bins; b++) {
        positives += (double)of_class[b];
        negatives += (double)rest[b];
    }
    if (!(positives > 0 && negatives > 0))
        return false;
    for (uint32_t b = 0; b < s->bins; b++) {
        double p = (double)of_class[b], n = (double)rest[b];
        place(&pos, p, (below + 0.5 * n) / negatives);
        place(&neg, n, (positives - reached - 0.5 * p) / positives);
        below += n;
        reached += p;
        tied += p * n;
    }
    out->value = pos.sum / positives;
    out->error = 0.5 * tied / (positives * negatives);
    out->sd = sqrt(variance_of(&pos) + variance_of(&neg));
    return true;
}

/* The exact AUC lies within the error of the binned one: the interval is as much wider. */
static void add_auc(const struct csl_sums *s, uint64_t smallest, struct csl_sum_figures *out)
{
    struct binned_auc sum = {0, 0, 0}, one;
    double low, high;
    uint32_t count = 0;
    for (uint32_t h = 0; h < csl_sums__heads(s); h++) {
        if (!auc_of(s, h, &one))
            continue;
        sum.value += one.value;
        sum.error += one.error;
        sum.sd += one.sd;
        count++;
    }
    if (count == 0)
        return;
    double value = fmin(1.0, sum.value / count), sd = sum.sd / count;
    out->auc_error = sum.error / count;
    const char *method = csl_evaluate__auc_limits(value, sd * sd, smallest, &low, &high);
    low = fmax(0.0, low - out->auc_error);
    high = fmin(1.0, high + out->auc_error);
    csl_evaluate__add(&out->metrics, "auc", value, low, high,
                      strcmp(method, "delong") == 0 ? "delong-binned" : method);
}

/* --- confusion --- */

enum { BALANCED_ACCURACY, SPECIFICITY, MACRO_F1, CONFUSION_MEASURES };

struct confusion {
    const struct csl_sums__record *records;
    uint32_t classes;
};

static void measure_tally(const struct csl_sums__tally *t, uint32_t classes, double *values)
{
    double recall = 0, specificity = 0, f1 = 0;
    uint32_t present = 0;
    for (uint32_t c = 0; c < classes; c++) {
        double right = (double)t->right[c], decided = (double)t->decided[c];
        double labelled = (double)t->labelled[c], others = (double)t->n - labelled;
        if (t->labelled[c] == 0)
            continue;
        present++;
        recall += right / labelled;
        specificity += others > 0 ? 1 - (decided - right) / others : 0;
        f1 += 2 * right / (labelled + decided);
    }
    values[BALANCED_ACCURACY] = present >= 2 ? recall / present : (double)NAN;
    values[SPECIFICITY] = present >= 2 ? specificity / present : (double)NAN;
    values[MACRO_F1] = present >= 2 ? f1 / present : (double)NAN;
}

static void measure_confusion(void *context, const uint32_t *draws, uint64_t n,
                              double values[CSL_EVALUATE__MEASURES])
{
    const struct confusion *c = context;
    struct csl_sums__tally t;
    memset(&t, 0, sizeof(t));
    for (uint64_t i = 0; i < n; i++)
        csl_sums__tally_add(&t, c->records[draws[i]].label, c->records[draws[i]].decision, 1);
    measure_tally(&t, c->classes, values);
}

static uint64_t smallest_class(const struct csl_sums__tally *t, uint32_t classes)
{
    uint64_t smallest = t->n;
    for (uint32_t c = 0; c < classes; c++)
        if (t->labelled[c] > 0 && t->labelled[c] < smallest)
            smallest = t->labelled[c];
    return smallest;
}

static void add_proportions(const struct csl_sums__tally *t, uint32_t classes,
                            struct csl_metrics *m)
{
    uint64_t right = 0;
    for (uint32_t c = 0; c < classes; c++)
        right += t->right[c];
    csl_evaluate__add_proportion(m, "accuracy", right, t->n);
    if (classes > 2)
        return;
    m->positives = t->labelled[1];
    csl_evaluate__add_proportion(m, "sensitivity", t->right[1], t->labelled[1]);
    csl_evaluate__add_proportion(m, "specificity", t->right[0], t->labelled[0]);
}

static enum csl_code add_confusion(const struct csl_sums *s, const struct csl_sums__tally *t,
                                   uint64_t seed, struct csl_metrics *m, struct csl_err *err)
{
    double values[CSL_EVALUATE__MEASURES];
    struct csl_evaluate__spread spreads[CONFUSION_MEASURES];
    struct csl_sums__record *records = csl_alloc_array(t->n, sizeof(*records));
    struct confusion context = {records, s->classes};
    if (records == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "%llu records", (unsigned long long)t->n);
    (void)csl_sums__rebuild(s, 0, records, 0);
    enum csl_code code = csl_evaluate__bootstrap(measure_confusion, &context, t->n, seed,
                                                 CONFUSION_MEASURES, values, spreads, err);
    csl_free(records);
    if (code != CSL_OK)
        return code;
    uint64_t smallest = smallest_class(t, s->classes);
    add_proportions(t, s->classes, m);
    csl_evaluate__add_spread(m, "balanced_accuracy", values[BALANCED_ACCURACY],
                             &spreads[BALANCED_ACCURACY], smallest);
    if (s->classes > 2) { /* the macro mean of the sensitivities is the balanced accuracy */
        csl_evaluate__add_spread(m, "sensitivity", values[BALANCED_ACCURACY],
                                 &spreads[BALANCED_ACCURACY], smallest);
        csl_evaluate__add_spread(m, "specificity", values[SPECIFICITY], &spreads[SPECIFICITY],
                                 smallest);
    }
    csl_evaluate__add_spread(m, "macro_f1", values[MACRO_F1], &spreads[MACRO_F1], smallest);
    return CSL_OK;
}

static void describe_classes(const struct csl_sums__tally *t, uint32_t classes,
                             struct csl_sum_figures *out)
{
    for (uint32_t c = 0; c < classes; c++) {
        struct csl_class_figures *f = &out->by_class[c];
        struct csl_metrics rates = {.count = 0};
        uint64_t others = t->n - t->labelled[c], wrong = t->decided[c] - t->right[c];
        f->records = t->labelled[c];
        f->decided = t->decided[c];
        csl_evaluate__add_proportion(&rates, "sensitivity", t->right[c], t->labelled[c]);
        csl_evaluate__add_proportion(&rates, "specificity", others - wrong, others);
        for (uint32_t i = 0; i < rates.count; i++) {
            bool is_sensitivity = strcmp(rates.items[i].name, "sensitivity") == 0;
            *(is_sensitivity ? &f->sensitivity : &f->specificity) = rates.items[i];
            f->is_collapsed = f->is_collapsed || rates.items[i].value < CSL_COLLAPSED_BELOW;
        }
        out->collapsed += f->is_collapsed;
    }
}

/* --- calibration --- */

struct calibration {
    const struct calibrated {
        double gap; /* what was observed less the middle of the bin */
        uint8_t bin;
    } * records;
    double all[CSL_CALIBRATION_BINS];
};

static void measure_calibration(void *context, const uint32_t *draws, uint64_t n,
                                double values[CSL_EVALUATE__MEASURES])
{
    const struct calibration *c = context;
    double gaps[CSL_CALIBRATION_BINS] = {0};
    values[0] = values[1] = 0;
    for (uint64_t i = 0; i < n; i++)
        gaps[c->records[draws[i]].bin] += c->records[draws[i]].gap;
    for (uint32_t b = 0; b < CSL_CALIBRATION_BINS; b++) {
        values[0] += fabs(gaps[b]) / (double)n;
        values[1] += fabs(gaps[b] - c->all[b]) / (double)n;
    }
}

static void fill_calibration(const struct csl_sums *s, struct calibrated *records,
                             struct calibration *context, struct csl_sum_figures *out)
{
    uint32_t wide = s->bins / CSL_CALIBRATION_BINS;
    uint64_t n = 0;
    for (uint32_t b = 0; b < s->bins; b++) {
        double middle = ((double)b + 0.5) / s->bins;
        struct csl_calibration_bin *at = &out->calibration[b / wide];
        for (int is_class = 0; is_class < 2; is_class++) {
            const uint64_t *h = s->classes == 2 ? csl_sums__histogram(s, 0, is_class)
                                                : csl_sums__confidence(s, is_class);
            at->records += h[b];
            at->predicted += middle * (double)h[b];
            at->observed += is_class * (double)h[b];
            context->all[b / wide] += (is_class - middle) * (double)h[b];
            for (uint64_t i = h[b]; i > 0; i--)
                records[n++] = (struct calibrated){is_class - middle, (uint8_t)(b / wide)};
        }
    }
    for (uint32_t b = 0; b < CSL_CALIBRATION_BINS; b++) {
        struct csl_calibration_bin *at = &out->calibration[b];
        if (at->records == 0)
            continue;
        at->predicted /= (double)at->records;
        at->observed /= (double)at->records;
    }
}

static enum csl_code add_calibration(const struct csl_sums *s, uint64_t n, uint64_t seed,
                                     struct csl_sum_figures *out, struct csl_err *err)
{
    double values[CSL_EVALUATE__MEASURES];
    struct csl_evaluate__spread spreads[2];
    struct calibrated *records = csl_alloc_array(n, sizeof(*records));
    struct calibration context = {.records = records};
    if (records == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "%llu records", (unsigned long long)n);
    fill_calibration(s, records, &context, out);
    enum csl_code code =
        csl_evaluate__bootstrap(measure_calibration, &context, n, seed, 2, values, spreads, err);
    csl_free(records);
    if (code != CSL_OK)
        return code;
    csl_evaluate__add_basic(&out->metrics, "ece", values[0], &spreads[0], &spreads[1]);
    out->ece_error = 0.5 / s->bins;
    return CSL_OK;
}

enum csl_code csl_sums_evaluate(const struct csl_sums *s, uint64_t seed,
                                struct csl_sum_figures *out, struct csl_err *err)
{
    struct csl_sums__tally t;
    enum csl_code code = csl_sums_check(s, err);
    if (code != CSL_OK)
        return code;
    csl_sums__tally_of(s, &t);
    code = csl_evaluate__check_size(t.n, err);
    struct csl_sum_figures *made = csl_alloc(sizeof(*made));
    if (code == CSL_OK && made == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "figures of %u classes", s->classes);
    if (code == CSL_OK) {
        made->metrics.examples = t.n;
        made->sites = csl_sums_sites(s);
        made->patients = csl_sums_patients(s);
        made->classes = s->classes;
    }
    if (code == CSL_OK && t.n > 0) {
        add_auc(s, smallest_class(&t, s->classes), made);
        describe_classes(&t, s->classes, made);
        code = add_confusion(s, &t, seed, &made->metrics, err);
        if (code == CSL_OK && s->bins > 0)
            code = add_calibration(s, t.n, seed, made, err);
    }
    if (code == CSL_OK)
        *out = *made;
    csl_free(made);
    return code;
}
