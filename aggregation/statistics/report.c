#include "aggregation/statistics/report.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void csl_statistics_report_release(struct csl_statistics_report *r)
{
    for (uint32_t d = 0; r->domains != NULL && d < r->domain_count; d++) {
        csl_free(r->domains[d].cells);
        csl_free(r->domains[d].features);
    }
    csl_free(r->domains);
    memset(r, 0, sizeof(*r));
}

const struct csl_statistics_domain *
csl_statistics_find_domain(const struct csl_statistics_report *r, const char *id)
{
    for (uint32_t d = 0; d < r->domain_count; d++)
        if (strcmp(r->domains[d].id, id) == 0)
            return &r->domains[d];
    return NULL;
}

const struct csl_statistics_feature *
csl_statistics_find_feature(const struct csl_statistics_domain *d, const char *name)
{
    for (uint32_t f = 0; f < d->feature_count; f++)
        if (strcmp(d->features[f].name, name) == 0)
            return &d->features[f];
    return NULL;
}

/* --- JSON --- */

static void put(struct csl_json *j, const char *key, const struct csl_statistic *s)
{
    if (key != NULL)
        csl_json_key(j, key);
    csl_json_object(j);
    if (s->is_shown) {
        csl_json_put_f64(j, "value", s->value);
        csl_json_put_f64(j, "low", s->low);
        csl_json_put_f64(j, "high", s->high);
    } else {
        csl_json_put_bool(j, "suppressed", true);
        if (isfinite(s->high))
            csl_json_put_f64(j, "at_most", s->high);
    }
    csl_json_end(j);
}

static void put_feature(struct csl_json *j, const struct csl_statistics_feature *f)
{
    char band[32];
    csl_json_object(j);
    csl_json_put_str(j, "name", f->name);
    csl_json_put_str(j, "unit", f->unit);
    csl_json_key(j, "range");
    csl_json_array(j);
    csl_json_f64(j, f->range.low);
    csl_json_f64(j, f->range.high);
    csl_json_end(j);
    put(j, "missing", &f->figures.missing);
    put(j, "outside", &f->figures.outside);
    csl_statistics_band(&f->figures.outside, band, sizeof(band));
    csl_json_put_str(j, "outside_band", band);
    put(j, "mean", &f->figures.mean);
    put(j, "standard_deviation", &f->figures.deviation);
    csl_json_key(j, "quantiles");
    csl_json_array(j);
    for (int i = 0; i < CSL_STATISTICS_QUANTILES; i++)
        put(j, NULL, &f->figures.quantiles[i]);
    csl_json_end(j);
    csl_json_end(j);
}

static void put_domain(struct csl_json *j, const struct csl_statistics_domain *d)
{
    csl_json_object(j);
    csl_json_put_str(j, "id", d->id);
    csl_json_put_u64(j, "sites", d->sum.sites);
    csl_json_put_u64(j, "sites_min", d->sum.sites_min);
    csl_json_put_f64(j, "noise_std_patients", d->sum.sigma);
    csl_json_put_u64(j, "minimum_cell", d->sum.minimum_cell);
    csl_json_put_f64(j, "shown_from_patients", csl_statistics_least(&d->sum, 1));
    put(j, "patients", &d->patients);
    csl_json_put_u64(j, "answers", d->answers);
    csl_json_key(j, "cells");
    csl_json_array(j);
    for (uint32_t i = 0; i < d->cell_count; i++) {
        csl_json_object(j);
        csl_json_put_str(j, "name", d->cells[i].name);
        put(j, "patients", &d->cells[i].patients);
        csl_json_end(j);
    }
    csl_json_end(j);
    csl_json_key(j, "features");
    csl_json_array(j);
    for (uint32_t i = 0; i < d->feature_count; i++)
        put_feature(j, &d->features[i]);
    csl_json_end(j);
    csl_json_end(j);
}

static void put_finding(void *ctx, const char *domain, const char *feature, const char *text)
{
    struct csl_json *j = ctx;
    csl_json_object(j);
    csl_json_put_str(j, "domain", domain);
    if (feature[0] != '\0')
        csl_json_put_str(j, "feature", feature);
    csl_json_put_str(j, "text", text);
    csl_json_end(j);
}

void csl_statistics_write(const struct csl_statistics_report *r, struct csl_buf *out)
{
    struct csl_json json, *j = &json;
    csl_json_init(j, out, true);
    csl_json_object(j);
    csl_json_put_str(j, "format", CSL_STATISTICS_FORMAT);
    csl_json_put_str(j, "study", r->study);
    csl_json_put_str(j, "study_digest", r->study_digest);
    csl_json_put_str(j, "privacy", r->privacy);
    if (r->delta > 0) {
        csl_json_put_f64(j, "epsilon", r->epsilon);
        csl_json_put_f64(j, "delta", r->delta);
    }
    csl_json_put_bool(j, "masked", r->is_masked);
    csl_json_put_bool(j, "rehearsal", r->is_rehearsal);
    csl_json_key(j, "quantiles");
    csl_json_array(j);
    for (int i = 0; i < CSL_STATISTICS_QUANTILES; i++)
        csl_json_f64(j, csl_statistics_quantiles[i]);
    csl_json_end(j);
    csl_json_key(j, "domains");
    csl_json_array(j);
    for (uint32_t d = 0; d < r->domain_count; d++)
        put_domain(j, &r->domains[d]);
    csl_json_end(j);
    csl_json_key(j, "readiness");
    csl_json_array(j);
    csl_statistics_readiness(r, put_finding, j);
    csl_json_end(j);
    csl_json_end(j);
    csl_buf_str(out, "\n");
}

/* --- text --- */

void csl_statistics_text(const struct csl_statistic *s, double factor, char *dst, size_t dst_bytes)
{
    if (s->is_shown)
        (void)snprintf(dst, dst_bytes, "%.4g [%.4g, %.4g]", factor * s->value, factor * s->low,
                       factor * s->high);
    else if (isfinite(s->high))
        (void)snprintf(dst, dst_bytes, "hidden (at most %.4g)", factor * s->high);
    else
        (void)snprintf(dst, dst_bytes, "hidden");
}

static void print_feature(const struct csl_statistics_feature *f, struct csl_buf *out)
{
    char mean[80], deviation[80], median[80], missing[80], outside[32], name[CSL_ID_MAX + 32];
    csl_statistics_text(&f->figures.mean, 1, mean, sizeof(mean));
    csl_statistics_text(&f->figures.deviation, 1, deviation, sizeof(deviation));
    csl_statistics_text(&f->figures.quantiles[CSL_STATISTICS_QUANTILES / 2], 1, median,
                        sizeof(median));
    csl_statistics_text(&f->figures.missing, 100, missing, sizeof(missing));
    csl_statistics_band(&f->figures.outside, outside, sizeof(outside));
    (void)snprintf(name, sizeof(name), "%s%s%s", f->name, f->unit[0] != '\0' ? ", " : "", f->unit);
    csl_buf_printf(out, "  %-22s %-28s %-28s %-28s %-24s %s\n", name, mean, deviation, median,
                   missing, outside);
}

static void print_finding(void *ctx, const char *domain, const char *feature, const char *text)
{
    csl_buf_printf(ctx, "  %s%s%s: %s\n", domain, feature[0] != '\0' ? ", " : "", feature, text);
}

void csl_statistics_print(const struct csl_statistics_report *r, struct csl_buf *out)
{
    char text[80];
    for (uint32_t d = 0; d < r->domain_count; d++) {
        const struct csl_statistics_domain *at = &r->domains[d];
        csl_statistics_text(&at->patients, 1, text, sizeof(text));
        csl_buf_printf(
            out, "%s: %u sites, patients %s; noise %.4g patients, shown from %.4g patients\n",
            at->id, at->sum.sites, text, at->sum.sigma, csl_statistics_least(&at->sum, 1));
        for (uint32_t i = 0; i < at->cell_count; i++) {
            csl_statistics_text(&at->cells[i].patients, 1, text, sizeof(text));
            csl_buf_printf(out, "  %s: %s\n", at->cells[i].name, text);
        }
        if (at->feature_count > 0)
            csl_buf_printf(out, "  %-22s %-28s %-28s %-28s %-24s %s\n", "feature",
                           "mean [95 % interval]", "standard deviation", "median", "missing, %",
                           "outside the range");
        for (uint32_t i = 0; i < at->feature_count; i++)
            print_feature(&at->features[i], out);
    }
    csl_buf_str(out, "To look at before training\n");
    size_t before = out->n;
    csl_statistics_readiness(r, print_finding, out);
    if (out->n == before)
        csl_buf_str(out, "  nothing was found.\n");
}
