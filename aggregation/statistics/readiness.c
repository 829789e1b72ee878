#include "aggregation/statistics/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define MISSING_TOLD 0.05 /* from this share on, by the lower limit */
#define OUTSIDE_TOLD 0.01

struct telling {
    csl_statistics_tell *tell;
    void *ctx;
    const char *domain, *feature;
};

static void tell(const struct telling *t, const char *fmt, ...) CSL_PRINTF(2, 3);
static void tell(const struct telling *t, const char *fmt, ...)
{
    char text[320];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    t->tell(t->ctx, t->domain, t->feature, text);
}

void csl_statistics_band(const struct csl_statistic *share, char *dst, size_t dst_bytes)
{
    static const double limits[] = {0, 0.01, 0.05, 0.20, 1};
    double low = share->is_shown ? share->low : 0;
    int from = 0, to = 0;
    if (!(share->high < 1) && !share->is_shown) {
        (void)snprintf(dst, dst_bytes, "not known");
        return;
    }
    while (from < 3 && low >= limits[from + 1])
        from++;
    while (to < 3 && share->high >= limits[to + 1])
        to++;
    if (to == 3 && from == 0)
        (void)snprintf(dst, dst_bytes, "not known");
    else if (to == 3)
        (void)snprintf(dst, dst_bytes, "%g %% or more", 100 * limits[from]);
    else if (from == 0)
        (void)snprintf(dst, dst_bytes, "below %g %%", 100 * limits[to + 1]);
    else
        (void)snprintf(dst, dst_bytes, "%g to %g %%", 100 * limits[from], 100 * limits[to + 1]);
}

static void look_at_cells(const struct csl_statistics_domain *d, const struct telling *t)
{
    for (uint32_t i = 0; i < d->cell_count; i++) {
        const struct csl_statistic *c = &d->cells[i].patients;
        if (c->is_shown || !isfinite(c->high))
            continue;
        if (d->sum.sigma > 0)
            tell(t, "'%s': at most %.0f patients, and perhaps none: the noise hides how many",
                 d->cells[i].name, c->high);
        else
            tell(t,
                 "'%s': fewer than %.0f patients, and perhaps none: too few to learn it from, and "
                 "a site may have the other class alone",
                 d->cells[i].name, c->high);
    }
}

static void look_at_feature(const struct csl_statistics_feature *f, const struct telling *t)
{
    const struct csl_feature_figures *g = &f->figures;
    char band[32];
    if (g->missing.is_shown && g->missing.low >= MISSING_TOLD)
        tell(t, "%.0f to %.0f %% of the patients have no value", 100 * g->missing.low,
             100 * g->missing.high);
    csl_statistics_band(&g->outside, band, sizeof(band));
    if (g->outside.is_shown && g->outside.low >= OUTSIDE_TOLD)
        tell(t, "%s of the values are outside %g to %g%s%s: another unit at some site?", band,
             f->range.low, f->range.high, f->unit[0] != '\0' ? " " : "", f->unit);
    if (!g->mean.is_shown) {
        tell(t, "too few patients have a value, or another value than most, to say anything of it");
        return;
    }
    if (!g->deviation.is_shown)
        tell(t, "no spread that can be told from %s: it cannot be scaled by this",
             g->mean.high > g->mean.low ? "the noise and the rounding" : "none");
    else if (g->mean.high - g->mean.low > g->deviation.value)
        tell(t,
             "the mean is only known to within %.3g, more than the standard deviation of %.3g; a "
             "narrower range, fewer features or a larger epsilon would help",
             g->mean.high - g->mean.low, g->deviation.value);
}

void csl_statistics_readiness(const struct csl_statistics_report *r, csl_statistics_tell *to,
                              void *ctx)
{
    for (uint32_t d = 0; d < r->domain_count; d++) {
        const struct csl_statistics_domain *at = &r->domains[d];
        struct telling t = {to, ctx, at->id, ""};
        if (at->sum.sites < at->sum.sites_min) {
            tell(&t, "%u of the %u sites that a figure needs have it: nothing is shown",
                 at->sum.sites, at->sum.sites_min);
            continue;
        }
        if (!at->patients.is_shown) {
            tell(&t, "fewer than %.0f patients: nothing is shown",
                 csl_statistics_least(&at->sum, 1));
            continue;
        }
        look_at_cells(at, &t);
        for (uint32_t f = 0; f < at->feature_count; f++) {
            t.feature = at->features[f].name;
            look_at_feature(&at->features[f], &t);
        }
    }
}
