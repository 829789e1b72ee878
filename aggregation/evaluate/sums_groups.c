/* aggregation/evaluate/sums_groups.c - how unequal a model is between patient groups. */
#include "aggregation/evaluate/interval.h"
#include "aggregation/evaluate/sums_internal.h"
#include "base/check.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* Of one group; the last three of class 1 alone. */
enum { FDR, TPR, FPR, F1, ACCURACY, FDR_1, TPR_1, FPR_1, RATES };

struct rates {
    double of[RATES]; /* NAN: no denominator */
};

/* Each rate of one class. */
static void class_rates(const struct csl_sums__tally *t, uint32_t c, double of[RATES])
{
    double right = (double)t->right[c], decided = (double)t->decided[c];
    double labelled = (double)t->labelled[c], others = (double)t->n - labelled;
    of[FDR] = decided > 0 ? (decided - right) / decided : (double)NAN;
    of[TPR] = labelled > 0 ? right / labelled : (double)NAN;
    of[FPR] = others > 0 ? (decided - right) / others : (double)NAN;
    of[F1] = labelled + decided > 0 ? 2 * right / (labelled + decided) : (double)NAN;
}

static void rates_of(const struct csl_sums__tally *t, uint32_t classes, struct rates *out)
{
    double sums[F1 + 1] = {0}, of[RATES], right = 0;
    uint32_t counts[F1 + 1] = {0};
    for (uint32_t c = 0; c < classes; c++) {
        class_rates(t, c, of);
        right += (double)t->right[c];
        for (int k = FDR; k <= F1; k++) {
            sums[k] += isnan(of[k]) ? 0 : of[k];
            counts[k] += isnan(of[k]) ? 0U : 1U;
        }
        if (c == 1)
            memcpy(&out->of[FDR_1], &of[FDR], 3 * sizeof(of[0]));
    }
    for (int k = FDR; k <= F1; k++)
        out->of[k] = counts[k] > 0 ? sums[k] / counts[k] : (double)NAN;
    out->of[ACCURACY] = t->n > 0 ? right / (double)t->n : (double)NAN;
}

double csl_equity_scaled(double value, double sd)
{
    return value / (1 + sd);
}

/* Largest less smallest over the groups, of the rate less its reference; NAN for fewer than two. */
static double gap_of(const struct rates *groups, const struct rates *references, uint32_t count,
                     int rate)
{
    double low = 0, high = 0;
    uint32_t defined = 0;
    for (uint32_t g = 0; g < count; g++) {
        double v = groups[g].of[rate] - (references != NULL ? references[g].of[rate] : 0);
        if (isnan(v))
            continue;
        low = defined > 0 ? fmin(low, v) : v;
        high = defined > 0 ? fmax(high, v) : v;
        defined++;
    }
    return defined >= 2 ? high - low : (double)NAN;
}

static double sd_of(const struct rates *groups, const struct rates *references, uint32_t count,
                    int rate)
{
    double mean = 0, squares = 0;
    uint32_t defined = 0;
    for (uint32_t g = 0; g < count; g++) {
        double v = groups[g].of[rate] - (references != NULL ? references[g].of[rate] : 0);
        if (isnan(v))
            continue;
        defined++;
        double off = v - mean;
        mean += off / defined;
        squares += off * (v - mean);
    }
    return defined >= 2 ? sqrt(squares / (defined - 1)) : (double)NAN;
}

/* In the order of what one resample gives: gaps, then what chance alone makes of each, then the
 * rest. */
static const struct gap {
    const char *name;
    int rate;
    bool is_sd, is_binary;
} gaps[] = {{"pp", FDR, false, false},
            {"eod", TPR, false, false},
            {"fpr_gap", FPR, false, false},
            {"f1_gap", F1, false, false},
            {"f1_sd", F1, true, false},
            {"pp_positive", FDR_1, false, true},
            {"eod_positive", TPR_1, false, true},
            {"fpr_gap_positive", FPR_1, false, true}};
enum { GAPS = sizeof(gaps) / sizeof(gaps[0]), F1_ES = 2 * GAPS, ACCURACY_ES, MEASURES };

struct context {
    const struct csl_sums__record *records;
    struct csl_sums__tally *tallies; /* [count + 2]: the groups, the rest, all */
    struct rates rates[CSL_SUM_GROUPS_MAX], seen[CSL_SUM_GROUPS_MAX]; /* seen: on the records */
    uint32_t count, classes;
    bool is_first; /* the records as they are come before the resamples */
};

static double measure_gap(const struct context *c, const struct gap *g,
                          const struct rates *references)
{
    return g->is_sd ? sd_of(c->rates, references, c->count, g->rate)
                    : gap_of(c->rates, references, c->count, g->rate);
}

static void measure(void *context, const uint32_t *draws, uint64_t n,
                    double values[CSL_EVALUATE__MEASURES])
{
    struct context *c = context;
    struct rates all;
    memset(c->tallies, 0, (c->count + 2) * sizeof(*c->tallies));
    for (uint64_t i = 0; i < n; i++) {
        const struct csl_sums__record *p = &c->records[draws[i]];
        csl_sums__tally_add(&c->tallies[p->group], p->label, p->decision, 1);
        csl_sums__tally_add(&c->tallies[c->count + 1], p->label, p->decision, 1);
    }
    for (uint32_t g = 0; g < c->count; g++)
        rates_of(&c->tallies[g], c->classes, &c->rates[g]);
    rates_of(&c->tallies[c->count + 1], c->classes, &all);
    if (c->is_first)
        memcpy(c->seen, c->rates, sizeof(c->seen));
    c->is_first = false;
    for (uint32_t k = 0; k < GAPS; k++) {
        values[k] = measure_gap(c, &gaps[k], NULL);
        values[GAPS + k] = measure_gap(c, &gaps[k], c->seen);
    }
    values[F1_ES] = csl_equity_scaled(all.of[F1], sd_of(c->rates, NULL, c->count, F1));
    values[ACCURACY_ES] =
        csl_equity_scaled(all.of[ACCURACY], sd_of(c->rates, NULL, c->count, ACCURACY));
}

/* The records of the groups and, as group `count`, those of no group. */
static enum csl_code rebuild(const struct csl_sums *all, const struct csl_sums *groups,
                             uint32_t count, struct csl_sums__record *out, uint64_t *known,
                             struct csl_err *err)
{
    size_t cells = (size_t)all->classes * all->classes;
    struct csl_sums rest;
    enum csl_code code = csl_sums_init(&rest, all->classes, all->bins, err);
    if (code != CSL_OK)
        return code;
    uint64_t *left = csl_sums__confusion(&rest);
    memcpy(left, csl_sums__confusion(all), cells * sizeof(*left));
    *known = 0;
    for (uint32_t g = 0; g < count && code == CSL_OK; g++) {
        const uint64_t *taken = csl_sums__confusion(&groups[g]);
        for (size_t i = 0; i < cells && code == CSL_OK; i++) {
            if (taken[i] > left[i])
                code = CSL_FAIL(err, CSL_E_INVAL, "group %u counts records that are not there", g);
            else
                left[i] -= taken[i];
        }
        if (code == CSL_OK)
            *known = csl_sums__rebuild(&groups[g], (uint8_t)g, out, *known);
    }
    if (code == CSL_OK)
        (void)csl_sums__rebuild(&rest, (uint8_t)count, out, *known);
    csl_sums_release(&rest);
    return code;
}

static enum csl_code check(const struct csl_sums *all, const struct csl_sums *groups,
                           uint32_t count, struct csl_err *err)
{
    enum csl_code code = csl_sums_check(all, err);
    if (code == CSL_OK && count > CSL_SUM_GROUPS_MAX)
        code = CSL_FAIL(err, CSL_E_LIMIT, "%u groups; at most %d", count, CSL_SUM_GROUPS_MAX);
    for (uint32_t g = 0; g < count && code == CSL_OK; g++) {
        if (groups[g].classes != all->classes)
            code = CSL_FAIL(err, CSL_E_INVAL, "group %u: %u classes; %u would be right", g,
                            groups[g].classes, all->classes);
        else
            code = csl_sums_check(&groups[g], err);
    }
    return code == CSL_OK ? csl_evaluate__check_size(csl_sums_records(all), err) : code;
}

static uint32_t count_filled(const struct csl_sums *groups, uint32_t count)
{
    uint32_t filled = 0;
    for (uint32_t g = 0; g < count; g++)
        filled += csl_sums_records(&groups[g]) > 0;
    return filled;
}

static void add_gaps(struct csl_metrics *m, uint32_t classes, const double *values,
                     const struct csl_evaluate__spread *spreads)
{
    for (uint32_t k = 0; k < GAPS; k++)
        if (!gaps[k].is_binary || classes == 2)
            csl_evaluate__add_basic(m, gaps[k].name, values[k], &spreads[k], &spreads[GAPS + k]);
    csl_evaluate__add_spread(m, "f1_es", values[F1_ES], &spreads[F1_ES], 0);
    csl_evaluate__add_spread(m, "accuracy_es", values[ACCURACY_ES], &spreads[ACCURACY_ES], 0);
}

enum csl_code csl_sums_gaps(const struct csl_sums *all, const struct csl_sums *groups,
                            uint32_t count, uint64_t seed, struct csl_metrics *out,
                            struct csl_err *err)
{
    double values[CSL_EVALUATE__MEASURES];
    struct csl_evaluate__spread spreads[MEASURES];
    struct csl_metrics m = {.count = 0};
    CSL_ASSERT(MEASURES <= CSL_EVALUATE__MEASURES);
    enum csl_code code = check(all, groups, count, err);
    if (code != CSL_OK)
        return code;
    if (count_filled(groups, count) < 2) {
        *out = m;
        return CSL_OK;
    }
    uint64_t n = csl_sums_records(all);
    struct csl_sums__record *records = csl_alloc_array(n, sizeof(*records));
    struct context *context = csl_alloc(sizeof(*context));
    struct csl_sums__tally *tallies = csl_alloc_array((size_t)count + 2, sizeof(*tallies));
    if (records == NULL || context == NULL || tallies == NULL)
        code =
            CSL_FAIL(err, CSL_E_NOMEM, "%llu records in %u groups", (unsigned long long)n, count);
    if (code == CSL_OK)
        code = rebuild(all, groups, count, records, &m.examples, err);
    if (code == CSL_OK) {
        *context = (struct context){.records = records,
                                    .tallies = tallies,
                                    .count = count,
                                    .classes = all->classes,
                                    .is_first = true};
        code = csl_evaluate__bootstrap(measure, context, n, seed, MEASURES, values, spreads, err);
    }
    if (code == CSL_OK) {
        add_gaps(&m, all->classes, values, spreads);
        *out = m;
    }
    csl_free(records);
    csl_free(context);
    csl_free(tallies);
    return code;
}

void csl_sums_suppress(const struct csl_sums *all, const struct csl_sums *groups, uint32_t count,
                       uint64_t minimum, uint32_t sites_min, bool *shown)
{
    uint64_t rest = csl_sums_patients(all);
    for (uint32_t g = 0; g < count; g++) {
        uint64_t n = csl_sums_patients(&groups[g]);
        /* n <= rest: what claims more patients than there are is shown to nobody */
        shown[g] = n > 0 && n >= minimum && n <= rest && csl_sums_sites(&groups[g]) >= sites_min;
        rest -= shown[g] ? n : 0;
    }
    while (rest > 0 && rest < minimum) {
        uint32_t smallest = UINT32_MAX;
        for (uint32_t g = 0; g < count; g++)
            if (shown[g] && (smallest == UINT32_MAX ||
                             csl_sums_patients(&groups[g]) < csl_sums_patients(&groups[smallest])))
                smallest = g;
        if (smallest == UINT32_MAX)
            return;
        shown[smallest] = false;
        rest += csl_sums_patients(&groups[smallest]);
    }
}
