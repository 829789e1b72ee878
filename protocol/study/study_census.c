/* protocol/study/study_census.c - section 'census', and a study of it in plain words. */
#include "protocol/study/study_census.h"

#include "aggregation/statistics/statistics.h"
#include "base/buf.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define AT(field) .offset = offsetof(struct csl_study_census, field)

static const struct csl_option census_rows[] = {
    {.name = "bins",
     .type = CSL_OPT_U32,
     AT(bins),
     .min = CSL_STATISTICS_BINS_MIN,
     .max = CSL_STATISTICS_BINS_MAX,
     .fallback = "32",
     .help = "Of the histogram over each feature's range that its quantiles come from."},
    {.name = "minimum_cell",
     .type = CSL_OPT_U32,
     AT(minimum_cell),
     .min = 1,
     .max = 1000000,
     .fallback = "10",
     .unit = "patients",
     .help = "Counts of fewer patients are not published."},
    CSL_OPTION_END,
};

enum csl_code csl_study__read_census(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *root,
                                     const struct csl_yaml_node *section)
{
    struct csl_study *s = r->s;
    enum csl_code code = csl_study__section(r, census_rows, &s->census, root, section, "census");

    if (code != CSL_OK)
        return code;
    s->census.is_on = true;
    s->rounds = 1;
    s->local =
        (struct csl_local_training){.optimizer = CSL_OPT_KIND_SGD, .learning_rate = 1, .steps = 1};
    csl_str_copy(s->aggregation.strategy, sizeof(s->aggregation.strategy), "fedavg");
    s->aggregation.server_learning_rate = 1;
    s->aggregation.weights = CSL_WEIGHTS_EQUAL;
    return CSL_OK;
}

static enum csl_code check_feature(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *item, const struct csl_feature *f)
{
    static const char *const scaled[] = {"centre", "scale", "clip", NULL};
    const struct csl_statistics_range range = {f->range_min, f->range_max};
    enum csl_code code =
        item->kind == CSL_YAML_MAPPING
            ? csl_study__refuse_keys(r, item, scaled, "statistics are of the values as they are")
            : CSL_OK;

    if (code != CSL_OK || csl_statistics_range_is_valid(&range))
        return code;
    return csl_yaml_fail(r->err, r->y, item,
                         "feature '%s' needs 'range: [smallest, largest]': it bounds what one "
                         "patient adds",
                         f->name);
}

enum csl_code csl_study__check_census_domain(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *item,
                                             const struct csl_domain *d)
{
    static const char *const trained[] = {"model",   "scaling", "centre",  "scale", "clip",
                                          "missing", "windows", "augment", NULL};
    const struct csl_yaml_node *list = csl_yaml_get(item, "features");
    enum csl_code code = csl_study__refuse_keys(r, item, trained, "a census trains nothing");

    if (code == CSL_OK && d->feature_count == 0)
        return CSL_OK;
    const struct csl_yaml_node *at = code == CSL_OK ? list->first_child : NULL;
    for (uint32_t i = 0; i < d->feature_count && code == CSL_OK; i++, at = at->next)
        code = check_feature(r, at, &d->features[i]);
    return code;
}

void csl_study_census_shape(const struct csl_study *s, const struct csl_domain *d,
                            struct csl_statistics_shape *out)
{
    bool has_labels = d->task == CSL_TASK_LABELS;

    *out = (struct csl_statistics_shape){.questions = has_labels ? d->label_count : 1,
                                         .answers = d->task == CSL_TASK_CLASSES ? d->classes : 2,
                                         .features = d->feature_count,
                                         .bins = s->census.bins};
}

struct csl_statistics_range csl_study_census_range(const struct csl_domain *d, uint32_t i)
{
    return (struct csl_statistics_range){d->features[i].range_min, d->features[i].range_max};
}

/* A little above: the grid of the noise takes half a step of each entry away. */
double csl_study_census_clip(const struct csl_study *s)
{
    uint64_t most = 1;

    for (uint32_t i = 0; i < s->domain_count; i++) {
        struct csl_statistics_shape shape;
        csl_study_census_shape(s, &s->domains[i], &shape);
        uint64_t own = csl_statistics_sensitivity2(&shape);
        most = own > most ? own : most;
    }
    return sqrt((double)most) * (1 + 0x1p-12);
}

enum csl_code csl_study__add_census(struct csl_schema *schema, const struct csl_study *s,
                                    const struct csl_domain *d, struct csl_err *err)
{
    struct csl_statistics_shape shape;
    char name[2 * CSL_ID_MAX];

    csl_study_census_shape(s, d, &shape);
    const uint64_t words = csl_statistics_words(&shape);
    snprintf(name, sizeof(name), "%s.counts", d->id);
    enum csl_code code = csl_schema_add_block(schema, d->id, CSL_BLOCK_SHARED, err);
    return code == CSL_OK ? csl_schema_add_tensor(schema, name, 1, &words, CSL_INIT_ZEROS, 0, err)
                          : code;
}

/* --- in plain words --- */

static void explain_domain(const struct csl_study *s, const struct csl_domain *d,
                           struct csl_buf *out)
{
    char label[CSL_LABEL_TEXT_MAX], low[32], high[32];

    csl_domain_label_text(d, label, sizeof(label));
    csl_buf_printf(out, "  %s: training patients, by '%s'", d->id, label);
    if (d->feature_count == 0) {
        csl_buf_str(out, ".\n");
        return;
    }
    csl_buf_printf(out,
                   "; and of %u feature%s: how many lack it, how many lie\n    outside the "
                   "range, mean, standard deviation, and quantiles from %u bins:\n    ",
                   d->feature_count, csl_str_plural(d->feature_count), s->census.bins);
    for (uint32_t i = 0; i < d->feature_count; i++) {
        const struct csl_feature *f = &d->features[i];
        csl_str_f64(low, sizeof(low), f->range_min);
        csl_str_f64(high, sizeof(high), f->range_max);
        csl_buf_printf(out, "%s%s (%s to %s%s%s)", i > 0 ? ", " : "", f->name, low, high,
                       f->unit[0] ? " " : "", f->unit);
    }
    csl_buf_str(out, ".\n");
}

static void explain_who(const struct csl_study *s, struct csl_buf *out)
{
    csl_buf_str(out,
                "What is revealed, and to whom\n"
                "  Patient records stay at their site. Of each patient a site counts one value "
                "of each feature, the mean of\n    the patient's records, cut to the range, "
                "and one answer, that of the first record that has it.\n");
    if (s->secagg.is_on)
        csl_buf_printf(out,
                       "  The coordinator sees the sums over at least %u sites, and no single "
                       "site's counts%s.\n",
                       s->secagg.minimum_sites,
                       s->privacy.mode == CSL_PRIVACY_JOINT ? "; one noise is in the sum, of which "
                                                              "every site adds a share"
                                                            : "");
    else if (s->privacy.mode == CSL_PRIVACY_LOCAL)
        csl_buf_str(out, "  The coordinator sees each site's counts, with noise that was added "
                         "inside the site, and how many\n    training patients a site has, which "
                         "this promise takes as public.\n");
    else
        csl_buf_str(out, "  The coordinator sees each site's counts as they are: of each feature "
                         "how often each bin occurs.\n    A bin with one patient shows that "
                         "patient's value, to the width of the bin.\n");
    csl_buf_printf(out,
                   "  Everybody sees what is published, of all sites together: nothing of a domain "
                   "that fewer than %u sites have,\n    no count below %u patients%s.\n",
                   s->minimum_sites, s->census.minimum_cell,
                   s->privacy.mode != CSL_PRIVACY_NONE
                       ? ", and none below 17 standard deviations of the noise"
                       : "");
}

static void explain_price(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_privacy *p = &s->privacy;
    char epsilon[32], delta[32], noise[32];

    csl_buf_str(out, "Privacy price\n");
    if (p->mode == CSL_PRIVACY_NONE) {
        csl_buf_str(out, "  privacy mode none: no noise is added. There is NO differential "
                         "privacy, and no epsilon can be stated.\n");
        return;
    }
    csl_str_f64(epsilon, sizeof(epsilon), p->epsilon);
    csl_str_f64(delta, sizeof(delta), p->delta);
    csl_str_f64(noise, sizeof(noise), p->noise_multiplier);
    csl_buf_printf(out,
                   "  privacy mode %s: the unit that is protected is one patient with all records "
                   "at one hospital.\n  One patient moves the counts of a domain by at most %.4g "
                   "patients (L2), whatever the values are.\n",
                   csl_privacy_mode_name(p->mode), p->clip);
    if (p->epsilon > 0)
        csl_buf_printf(out, "  A site spends at most epsilon %s at delta %s", epsilon, delta);
    else
        csl_buf_printf(out, "  The noise multiplier is %s", noise);
    csl_buf_str(out, ", once. It writes the charge to its own ledger before\n    anything leaves, "
                     "and refuses what would exceed its own budget. What is made of the published "
                     "figures\n    afterwards, such as scaling another study, costs nothing "
                     "more.\n");
    if (p->mode == CSL_PRIVACY_JOINT)
        csl_buf_printf(out,
                       "  The price holds against the coordinator together with %u of the "
                       "sites.\n",
                       s->secagg.colluding);
}

void csl_study__explain_census(const struct csl_study *s, struct csl_buf *out)
{
    csl_buf_str(out, "What is asked\n  Statistics of the data, of all sites together. Nothing is "
                     "trained, and no model comes of it.\n");
    for (uint32_t i = 0; i < s->domain_count; i++)
        explain_domain(s, &s->domains[i], out);
    explain_who(s, out);
    explain_price(s, out);
}
