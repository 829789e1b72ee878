/* cli/data_compare.c - `consilium data check FILE --study FILE --statistics FILE`. */
#include "cli/data_compare.h"

#include "base/mem.h"
#include "base/str.h"
#include "site-agent/training/count.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHIFT_TOLD   0.5 /* standard deviations of the federation */
#define SPREAD_TOLD  2.0 /* the site's deviation over the federation's, or the other way round */
#define MISSING_TOLD 0.2 /* share */
#define OUTSIDE_TOLD 0.01

struct comparison {
    const struct csl_statistics_domain *all; /* the federation's */
    struct csl_buf *out;
    uint32_t differences;
};

static void find(struct comparison *c, const char *what, const char *fmt, ...) CSL_PRINTF(3, 4);
static void find(struct comparison *c, const char *what, const char *fmt, ...)
{
    char text[320];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    csl_buf_printf(c->out, "warning: %s, %s: %s\n", c->all->id, what, text);
    c->differences++;
}

/* How far apart, and whether the interval of the federation already says that it is far. */
static void compare_mean(struct comparison *c, const struct csl_statistics_feature *all,
                         const struct csl_feature_figures *own)
{
    const struct csl_feature_figures *g = &all->figures;
    if (!own->mean.is_shown || !g->mean.is_shown || !g->deviation.is_shown)
        return;
    double shift = (own->mean.value - g->mean.value) / g->deviation.value;
    double sure = own->mean.value > g->mean.value ? own->mean.value - g->mean.high
                                                  : g->mean.low - own->mean.value;
    if (fabs(shift) >= SHIFT_TOLD && sure > 0)
        find(c, all->name,
             "the mean here is %.1f standard deviations %s the federation's %.4g: other patients, "
             "another unit, or another way to measure?",
             fabs(shift), shift > 0 ? "above" : "below", g->mean.value);
    if (!own->deviation.is_shown)
        find(c, all->name, "it hardly varies here");
    else if (own->deviation.low > SPREAD_TOLD * g->deviation.high ||
             SPREAD_TOLD * own->deviation.high < g->deviation.low)
        find(c, all->name, "it varies by %.4g here and by %.4g in the federation",
             own->deviation.value, g->deviation.value);
}

static void compare_feature(struct comparison *c, const struct csl_statistics_feature *all,
                            const struct csl_feature_figures *own)
{
    char mean[80], of_all[80], missing[80], outside[80];
    csl_statistics_text(&own->mean, 1, mean, sizeof(mean));
    csl_statistics_text(&all->figures.mean, 1, of_all, sizeof(of_all));
    csl_statistics_text(&own->missing, 100, missing, sizeof(missing));
    csl_statistics_text(&own->outside, 100, outside, sizeof(outside));
    csl_buf_printf(c->out, "  %-20s %-28s %-28s %-24s %s\n", all->name, mean, of_all, missing,
                   outside);
}

static void look_at(struct comparison *c, const struct csl_statistics_feature *all,
                    const struct csl_feature_figures *own)
{
    compare_mean(c, all, own);
    if (own->outside.is_shown && own->outside.value >= OUTSIDE_TOLD)
        find(c, all->name, "%.1f %% of the values are outside %g to %g%s%s",
             100 * own->outside.value, all->range.low, all->range.high,
             all->unit[0] != '\0' ? " " : "", all->unit);
    if (own->missing.is_shown && own->missing.value >= MISSING_TOLD)
        find(c, all->name, "%.0f %% of the patients have no value", 100 * own->missing.value);
}

/* A site with one class alone learns nothing from its own patients. */
static void look_at_cells(struct comparison *c, const struct csl_statistics_shape *shape,
                          const int64_t *sum)
{
    for (uint32_t q = 0; q < shape->questions; q++) {
        uint32_t present = 0, last = 0;
        for (uint32_t a = 0; a < shape->answers; a++) {
            uint32_t cell = q * shape->answers + a;
            present += sum[1 + cell] > 0;
            last = sum[1 + cell] > 0 ? cell : last;
        }
        if (present == 1 && last < c->all->cell_count)
            find(c, c->all->cells[last].name, "every training patient here is of this class");
    }
}

static enum csl_code compare_domain(struct comparison *c, const struct csl_study *study,
                                    uint32_t domain, const struct csl_examples *e,
                                    struct csl_err *err)
{
    const struct csl_domain *d = &study->domains[domain];
    const struct csl_statistics_sum here = {
        .sites = 1, .sites_min = 1, .minimum_cell = study->census.minimum_cell, .is_own = true};
    struct csl_statistics_shape shape;
    csl_study_census_shape(study, d, &shape);
    int64_t *sum = csl_alloc_array(csl_statistics_words(&shape), sizeof(*sum));
    struct csl_feature_figures *own = csl_alloc_array(shape.features + 1u, sizeof(*own));
    enum csl_code code = sum != NULL && own != NULL
                             ? csl_count_domain(study, domain, e, sum, err)
                             : CSL_FAIL(err, CSL_E_NOMEM, "no memory to count the patients");
    if (code == CSL_OK) {
        csl_buf_printf(c->out, "\n%s: %u training patient%s here\n  %-20s %-28s %-28s %-24s %s\n",
                       d->id, e->patients, csl_str_plural(e->patients), "feature",
                       "mean here [95 % interval]", "mean of the federation", "missing here, %",
                       "outside here, %");
        for (uint32_t f = 0; f < shape.features; f++) {
            const struct csl_statistics_range range = csl_study_census_range(d, f);
            csl_statistics_feature(&shape, &here, &range, f, sum, &own[f]);
            compare_feature(c, csl_statistics_find_feature(c->all, d->features[f].name), &own[f]);
        }
        if (e->patients < here.minimum_cell)
            find(c, "patients", "fewer than %u: too few to compare", here.minimum_cell);
        look_at_cells(c, &shape, sum);
        for (uint32_t f = 0; f < shape.features; f++)
            look_at(c, csl_statistics_find_feature(c->all, d->features[f].name), &own[f]);
    }
    csl_free(sum);
    csl_free(own);
    return code;
}

/* Whoever made the file may have written any features, in any order. */
static bool has_features(const struct csl_statistics_domain *all, const struct csl_domain *d)
{
    for (uint32_t i = 0; i < d->feature_count; i++) {
        const struct csl_statistics_feature *f =
            csl_statistics_find_feature(all, d->features[i].name);
        const struct csl_statistics_range range = csl_study_census_range(d, i);
        if (f == NULL || f->range.low != range.low || f->range.high != range.high ||
            strcmp(f->unit, d->features[i].unit) != 0)
            return false;
    }
    return true;
}

static enum csl_code check_same(const struct csl_study *study,
                                const struct csl_statistics_report *report, struct csl_err *err)
{
    char digest[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(study->digest, CSL_DIGEST_BYTES, digest);
    if (!study->census.is_on)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "--study: study %s has no section 'census'; the study that was "
                        "counted would be right",
                        study->id);
    if (strcmp(digest, report->study_digest) != 0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "--statistics: of study %s, digest %.16s, and --study is %s, %.16s",
                        report->study, report->study_digest, study->id, digest);
    return CSL_OK;
}

enum csl_code csl_cli_data_compare(const char *record_path, const struct csl_study *study,
                                   const struct csl_statistics_report *report, struct csl_buf *out,
                                   uint32_t *differences, struct csl_err *err)
{
    struct csl_dataset *data = NULL;
    struct comparison c = {.out = out};
    enum csl_code code = check_same(study, report, err);
    if (code == CSL_OK)
        code = csl_dataset_load(&data, record_path, study, err);
    for (uint32_t d = 0; code == CSL_OK && d < study->domain_count; d++) {
        const struct csl_examples *e = &data->domains[d][CSL_SPLIT_TRAIN];
        c.all = csl_statistics_find_domain(report, study->domains[d].id);
        if (c.all == NULL || !has_features(c.all, &study->domains[d]))
            code =
                CSL_FAIL(err, CSL_E_CORRUPT, "--statistics: domain %s is not as the study has it",
                         study->domains[d].id);
        else if (e->records > 0)
            code = compare_domain(&c, study, d, e, err);
    }
    csl_dataset_free(data);
    if (code == CSL_OK)
        *differences = c.differences;
    return code;
}
