#include "privacy/dp/pld_epsilon.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/dp/numeric.h"
#include "privacy/dp/pld_compose.h"

#include <math.h>

#define ATTEMPTS 4 /* grids, each finer than the one before */

/* Where one direction is composed: about its saddle point. */
struct saddle {
    double tilt;
    double epsilon; /* an upper bound by Renyi divergence */
};

struct list {
    const struct csl_dp_part *parts;
    size_t count;
    double delta;
    double steps; /* of all parts */
};

static double response_log_moment(double epsilon, double tilt)
{
    double t = tilt * epsilon, log_p = -log1p(exp(-epsilon));
    return csl_dp_log_add(log_p + t, log_p - epsilon - t);
}

/* K(tilt) of all steps, or +infinity */
static double log_moment(const struct list *l, enum csl_dp_direction direction, double tilt)
{
    double total = 0.0;
    for (size_t i = 0; i < l->count; i++) {
        const struct csl_dp_part *p = &l->parts[i];
        double one =
            p->pure_epsilon > 0.0
                ? response_log_moment(p->pure_epsilon, tilt)
                : csl_dp_pair_log_moment(&p->pair, direction == CSL_DP_REMOVE ? 1.0 + tilt : -tilt);
        total += one * (double)p->steps;
    }
    return total;
}

/* What is minimised: the Renyi bound of epsilon; or, where epsilon is about known, the log of the
 * integrand whose contour integral is delta (Alghamdi et al. 2023, Theorem 3.1) on the real line.
 */
struct objective {
    const struct list *list;
    enum csl_dp_direction direction;
    double about;
};

static double objective(const void *ctx, double log_tilt)
{
    const struct objective *o = ctx;
    double t = exp(log_tilt), k = log_moment(o->list, o->direction, t);
    if (o->about >= 0.0)
        return k - t * o->about - log_tilt - log1p(t);
    return (k - log(o->list->delta) + t * log_tilt - (1.0 + t) * log1p(t)) / t;
}

/* Both objectives are quasi-convex: downhill by factors of e, then golden section, roughly.
 * `about`: where epsilon is, or below 0 while that is not known; then the value is the Renyi bound.
 */
static struct saddle find_saddle(const struct list *l, enum csl_dp_direction direction,
                                 double about)
{
    const double lowest = -7.0, highest = 10.0, tolerance = 0.05;
    const struct objective o = {l, direction, about};
    double at = 1.0, here = objective(&o, at), step = 1.0;
    double up = objective(&o, at + step);
    if (!(up < here))
        step = -step;
    while (at + step >= lowest && at + step <= highest) {
        double next = objective(&o, at + step);
        if (!(next < here) && isfinite(here))
            break;
        at += step;
        here = next;
    }
    double refined_at;
    double refined = csl_dp_minimise(objective, &o, at - 1.0, at + 1.0, tolerance, &refined_at);
    struct saddle s = {.tilt = exp(at), .epsilon = here};
    if (refined < here)
        s = (struct saddle){.tilt = exp(refined_at), .epsilon = refined};
    s.epsilon = fmax(0.0, csl_dp_more(s.epsilon, 1024.0));
    return s;
}

/* The cells of every part, shared by both directions and both bounds. */
struct grids {
    struct csl_dp_cells *cells;
    struct csl_dp_pld *plds;
    uint64_t *steps;
    double wrong; /* loss by which rounding the cells' boundaries may mislead, all steps together */
};

static void grids_release(const struct list *l, struct grids *g)
{
    for (size_t i = 0; g->cells != NULL && i < l->count; i++)
        csl_dp_cells_release(&g->cells[i]);
    csl_free(g->cells);
    csl_free(g->plds);
    csl_free(g->steps);
}

static enum csl_code make_cells(const struct list *l, double interval, struct grids *g,
                                struct csl_err *err)
{
    double tail = fmax(1e-6 * l->delta / l->steps, 1e-290);
    g->cells = csl_alloc_array(l->count, sizeof(struct csl_dp_cells));
    g->plds = csl_alloc_array(l->count, sizeof(struct csl_dp_pld));
    g->steps = csl_alloc_array(l->count, sizeof(uint64_t));
    if (g->cells == NULL || g->plds == NULL || g->steps == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "pld: no memory for %zu parts", l->count);
    for (size_t i = 0; i < l->count; i++) {
        const struct csl_dp_part *p = &l->parts[i];
        double e = p->pure_epsilon, keep = 1.0 / (1.0 + exp(-e));
        double loss[2] = {-e, e}, mass[2] = {1.0 - keep, keep};
        enum csl_code code =
            e > 0.0 ? csl_dp_cells_of_atoms(&g->cells[i], loss, mass, 2, 0.5 * interval, err)
                    : csl_dp_cells_of_pair(&g->cells[i], &p->pair, 0.5 * interval, tail, err);
        if (code != CSL_OK)
            return code;
        const struct csl_dp_cells *c = &g->cells[i];
        double reach = fmax(fabs(c->base), fabs(c->base + (double)c->count * c->width));
        g->wrong += (double)p->steps * 32.0 * CSL_DP_ULP * (1.0 + reach);
    }
    return CSL_OK;
}

/* One bound of one direction. A lower bound leaves the pure parts out. */
static enum csl_code bound(const struct list *l, struct grids *g, enum csl_dp_direction direction,
                           const struct saddle *s, double about, bool is_upper, double *out,
                           struct csl_err *err)
{
    struct csl_dp_composition c = {
        .parts = g->plds, .steps = g->steps, .tilt = s->tilt, .epsilon = about};
    enum csl_code code = CSL_OK;
    double epsilon = 0.0;
    for (size_t i = 0; code == CSL_OK && i < l->count; i++) {
        if (!is_upper && l->parts[i].pure_epsilon > 0.0)
            continue;
        g->steps[c.count] = l->parts[i].steps;
        code = is_upper ? csl_dp_pld_upper(&g->plds[c.count], &g->cells[i], direction, err)
                        : csl_dp_pld_lower(&g->plds[c.count], &g->cells[i], direction, err);
        c.count += code == CSL_OK;
    }
    if (code == CSL_OK && c.count > 0)
        code = csl_dp_compose(&c, l->delta, is_upper, &epsilon, err);
    for (size_t i = 0; i < c.count; i++)
        csl_dp_pld_release(&g->plds[i]);
    if (code == CSL_OK)
        *out = is_upper ? csl_dp_more(epsilon + g->wrong, 16.0)
                        : fmax(0.0, csl_dp_less(epsilon - g->wrong, 16.0));
    return code;
}

static enum csl_code at_interval(const struct list *l, const struct saddle s[2], double interval,
                                 const double about[2], struct csl_dp_bounds *out,
                                 struct csl_err *err)
{
    struct grids g = {0};
    struct csl_dp_bounds b = {.interval = interval};
    enum csl_dp_direction first =
        s[CSL_DP_ADD].epsilon > s[CSL_DP_REMOVE].epsilon ? CSL_DP_ADD : CSL_DP_REMOVE;
    enum csl_dp_direction second = first == CSL_DP_ADD ? CSL_DP_REMOVE : CSL_DP_ADD;
    enum csl_code code = make_cells(l, interval, &g, err);
    if (code == CSL_OK)
        code = bound(l, &g, first, &s[first], about[first], true, &b.upper_direction[first], err);
    /* the Renyi bound of the other direction may already say that it is smaller */
    if (code == CSL_OK && s[second].epsilon > b.upper_direction[first])
        code =
            bound(l, &g, second, &s[second], about[second], true, &b.upper_direction[second], err);
    enum csl_dp_direction larger =
        b.upper_direction[second] > b.upper_direction[first] ? second : first;
    b.upper = b.upper_direction[larger];
    if (code == CSL_OK)
        code = bound(l, &g, larger, &s[larger], b.upper, false, &b.lower, err);
    grids_release(l, &g);
    if (code == CSL_OK)
        *out = b;
    return code;
}

enum csl_code csl_dp_pld_epsilon(const struct csl_dp_part *parts, size_t count, double delta,
                                 double interval, struct csl_dp_bounds *out, struct csl_err *err)
{
    struct list l = {.parts = parts, .count = count, .delta = delta};
    struct csl_dp_bounds best = {.upper = HUGE_VAL}, b;
    bool is_mixed = false;
    CSL_ASSERT(count >= 1 && delta > 0.0 && delta < 1.0);
    for (size_t i = 0; i < count; i++) {
        l.steps += (double)parts[i].steps;
        is_mixed = is_mixed || parts[i].pure_epsilon > 0.0;
    }
    struct saddle s[2] = {find_saddle(&l, CSL_DP_REMOVE, -1.0), find_saddle(&l, CSL_DP_ADD, -1.0)};
    double about[2] = {s[0].epsilon, s[1].epsilon}, top = fmax(about[0], about[1]);
    if (!isfinite(top))
        return CSL_FAIL(err, CSL_E_LIMIT, "pld: no moment of the loss can be computed");
    double tilt = s[about[1] > about[0]].tilt;
    /* The upper bound inflates epsilon by about steps (1 + tilt) h^2 / 12, the lower takes off
     * about as much. */
    double h = interval > 0.0
                   ? interval
                   : sqrt(6.0 * 0.3 * CSL_DP_GAP_MAX * fmax(top, 1e-6) / (l.steps * (1.0 + tilt)));
    for (int i = 0; i < ATTEMPTS; i++) {
        enum csl_code code = at_interval(&l, s, h, about, &b, err);
        if (code != CSL_OK) {
            if (i == 0)
                return code;
            break; /* too large: the last one stands */
        }
        double lower = fmax(best.lower, b.lower);
        if (b.upper < best.upper)
            best = b;
        best.lower = lower;
        double gap = b.upper - b.lower;
        if (!isfinite(gap)) { /* the window was cut for an epsilon that is far too large */
            about[0] *= 0.25;
            about[1] *= 0.25;
            continue;
        }
        if (is_mixed || (interval > 0.0 && i > 1) ||
            gap <= fmax(CSL_DP_GAP_MAX * b.upper, CSL_DP_GAP_SMALL))
            break;
        if (interval == 0.0)
            h *= fmin(1.0, fmax(0.2, 0.7 * sqrt(CSL_DP_GAP_MAX * b.upper / gap)));
        about[0] = about[1] = b.upper;
        for (int d = 0; d < 2; d++)
            s[d].tilt = find_saddle(&l, (enum csl_dp_direction)d, b.upper).tilt;
    }
    *out = best;
    return CSL_OK;
}
