/* What comes from summed counts, gaps between groups, and a release that nothing stands against. */
#include "tests/unit/simulations/made_up.h"

#include "base/check.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

#define COPY(to, from) CSL_ASSERT(csl_str_copy((to), sizeof(to), (from)))

static struct csl_metric rate(const char *name, double value)
{
    return (struct csl_metric){csl_metric_intern(name), csl_method_intern("wilson"), value,
                               value - 0.05, value + 0.05};
}

static void fill_sums(struct csl_sum_figures *f, const struct csl_metrics *pooled, uint32_t classes)
{
    f->metrics = *pooled;
    f->auc_error = 0.0021;
    f->ece_error = 1.0 / 512;
    f->sites = 4;
    f->patients = 250;
    f->classes = classes;
    for (uint32_t c = 0; c < classes; c++) {
        f->by_class[c].records = 40 + c;
        f->by_class[c].decided = 44 - c;
        f->by_class[c].sensitivity = rate("sensitivity", 0.6 + 0.05 * c);
        f->by_class[c].specificity = rate("specificity", 0.8 - 0.05 * c);
    }
    for (uint32_t b = 2; b < 14; b++)
        f->calibration[b] = (struct csl_calibration_bin){20, ((double)b + 0.5) / 16,
                                                         fmin(1.0, ((double)b + 0.5) / 14)};
}

static void add_gap(struct csl_result *r, uint32_t domain, const char *attribute, uint32_t hidden)
{
    static const char *const names[] = {"eod", "pp", "fpr_gap", "f1_gap", "f1_sd"};
    struct csl_result_gap g = {.domain = domain, .shown = 2, .hidden = hidden};
    struct csl_err err;
    COPY(g.attribute, attribute);
    g.metrics.examples = 200;
    for (uint32_t i = 0; i < 5; i++)
        g.metrics.items[g.metrics.count++] =
            (struct csl_metric){csl_metric_intern(names[i]), csl_method_intern("bootstrap-gap"),
                                0.06 + 0.02 * i, 0.01, 0.14 + 0.02 * i};
    CSL_ASSERT(csl_result_add_gap(r, &g, &err) == CSL_OK);
    struct csl_result_told t = {.gap = g};
    if (hidden == 0) {
        COPY(t.worst, "a group");
        t.worst_patients = 41;
        t.worst_f1 = rate("macro_f1", 0.71);
    }
    CSL_ASSERT(csl_result_add_told(r, &t, &err) == CSL_OK);
}

void made_up_fairness(struct csl_result *r)
{
    struct csl_study_fairness *asked = &r->fairness.asked;
    asked->attribute_count = 2;
    asked->minimum_group = 30;
    asked->minimum_sites = 3;
    asked->weights = (struct csl_study_group_weights){true, 0.5, 1, 2};
    COPY(asked->attributes[0], "sex");
    COPY(asked->attributes[1], "age_band");
    for (uint32_t d = 0; d < r->domain_count; d++) {
        if (r->domains[d].task == CSL_TASK_SURVIVAL)
            continue;
        fill_sums(&r->fairness.sums[d], &r->federated.pooled[d], r->domains[d].classes);
        add_gap(r, d, "sex", 0);
        add_gap(r, d, "age_band", d == 0 ? 2 : 0);
    }
    for (uint32_t g = 0; g < r->group_count; g++)
        r->groups[g].patients = 40 + 20 * g;
    r->release = (struct csl_study_release){.is_on = true,
                                            .minimum_auc = 0.5,
                                            .worst_group_floor = 0.5,
                                            .refuses_collapsed = true,
                                            .needs_card = true};
    COPY(r->release.intended_use, "A second look at patients whom a cardiologist has seen.");
    COPY(r->release.not_for, "Any decision without a cardiologist.");
}
