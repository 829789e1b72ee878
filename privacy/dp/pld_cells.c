#include "base/check.h"
#include "base/mem.h"
#include "privacy/dp/numeric.h"
#include "privacy/dp/pld.h"

#include <math.h>

static enum csl_code allocate(struct csl_dp_cells *c, double base, double width, double count,
                              struct csl_err *err)
{
    if (!(count <= CSL_DP_CELLS_MAX))
        return CSL_FAIL(err, CSL_E_LIMIT, "pld: %g cells of width %g, at most %d", count, width,
                        CSL_DP_CELLS_MAX);
    size_t n = (size_t)fmax(count, 2.0);
    n += n % 2;
    double *block = csl_alloc_array(4 * n, sizeof(double));
    if (block == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "pld: no memory for %zu cells", n);
    *c = (struct csl_dp_cells){.base = base,
                               .width = width,
                               .count = n,
                               .p = block,
                               .q = block + n,
                               .p_error = block + 2 * n,
                               .q_error = block + 3 * n};
    return CSL_OK;
}

void csl_dp_cells_release(struct csl_dp_cells *c)
{
    csl_free(c->p); /* the block of all four */
    *c = (struct csl_dp_cells){0};
}

/* Both tails of every component at one boundary. */
struct tails {
    double low[CSL_DP_COMPONENTS_MAX], high[CSL_DP_COMPONENTS_MAX];
};

static void tails_at(struct tails *t, const double *mean, size_t count, double std, double x)
{
    for (size_t i = 0; i < count; i++) {
        double z = (x - mean[i]) / std;
        double small = csl_dp_normal_tail(fabs(z));
        t->high[i] = z > 0.0 ? small : 1.0 - small;
        t->low[i] = z > 0.0 ? 1.0 - small : small;
    }
}

/* Mass between two boundaries from the smaller tails. erfc is right to an ulp and its argument to
 * another, which costs z^2 of them. */
static double mass_between(const struct tails *a, const struct tails *b, const double *weight,
                           size_t count, double *error)
{
    double mass = 0.0, wrong = 0.0;
    for (size_t i = 0; i < count; i++) {
        double part, size;
        if (a->low[i] > a->high[i]) {
            part = a->high[i] - b->high[i];
            size = a->high[i];
        } else if (b->low[i] < b->high[i]) {
            part = b->low[i] - a->low[i];
            size = b->low[i];
        } else {
            part = 1.0 - a->low[i] - b->high[i];
            size = 1.0;
        }
        mass += weight[i] * part;
        wrong += weight[i] * size * (4.0 - 2.0 * log(fmax(size, 1e-300)));
    }
    *error = wrong * 2.0 * CSL_DP_ULP;
    return fmax(mass, 0.0);
}

static double weighted(const double *tail, const double *weight, size_t count)
{
    double total = 0.0;
    for (size_t i = 0; i < count; i++)
        total += weight[i] * tail[i];
    return total;
}

static void extremes(const struct csl_dp_pair *p, double reach, double *low, double *high)
{
    *low = p->q_mean[0];
    *high = p->q_mean[0];
    for (size_t i = 0; i < p->p_count + p->q_count; i++) {
        double mean = i < p->p_count ? p->p_mean[i] : p->q_mean[i - p->p_count];
        *low = fmin(*low, mean);
        *high = fmax(*high, mean);
    }
    *low -= reach;
    *high += reach;
}

static void fill(struct csl_dp_cells *c, const struct csl_dp_pair *pair, double x_low,
                 bool is_bounded_below)
{
    struct tails p[2], q[2];
    double x = is_bounded_below ? -HUGE_VAL : csl_dp_pair_inverse(pair, c->base, x_low);
    tails_at(&p[0], pair->p_mean, pair->p_count, pair->std, x);
    tails_at(&q[0], pair->q_mean, pair->q_count, pair->std, x);
    c->p_low = weighted(p[0].low, pair->p_weight, pair->p_count);
    c->q_low = weighted(q[0].low, pair->q_weight, pair->q_count);
    double guess = x_low;
    for (size_t i = 0; i < c->count; i++) {
        struct tails *from_p = &p[i % 2], *to_p = &p[(i + 1) % 2];
        struct tails *from_q = &q[i % 2], *to_q = &q[(i + 1) % 2];
        x = csl_dp_pair_inverse(pair, c->base + (double)(i + 1) * c->width, guess);
        guess = isfinite(x) ? x : guess;
        tails_at(to_p, pair->p_mean, pair->p_count, pair->std, x);
        tails_at(to_q, pair->q_mean, pair->q_count, pair->std, x);
        c->p[i] = mass_between(from_p, to_p, pair->p_weight, pair->p_count, &c->p_error[i]);
        c->q[i] = mass_between(from_q, to_q, pair->q_weight, pair->q_count, &c->q_error[i]);
    }
    c->p_high = weighted(p[c->count % 2].high, pair->p_weight, pair->p_count);
    c->q_high = weighted(q[c->count % 2].high, pair->q_weight, pair->q_count);
}

enum csl_code csl_dp_cells_of_pair(struct csl_dp_cells *out, const struct csl_dp_pair *pair,
                                   double width, double tail, struct csl_err *err)
{
    double x_low, x_high, floor_loss = csl_dp_pair_loss_floor(pair);
    CSL_ASSERT(width > 0.0 && tail > 0.0 && tail < 1.0);
    extremes(pair, pair->std * sqrt(-2.0 * log(tail)), &x_low, &x_high);
    double low = csl_dp_pair_loss(pair, x_low), high = csl_dp_pair_loss(pair, x_high);
    bool is_bounded_below = low - floor_loss < width;
    double base = is_bounded_below ? csl_dp_less(floor_loss, 8.0) : low;
    struct csl_dp_cells cells;
    enum csl_code code = allocate(&cells, base, width, ceil((high - base) / width), err);
    if (code != CSL_OK)
        return code;
    fill(&cells, pair, x_low, is_bounded_below);
    *out = cells;
    return CSL_OK;
}

enum csl_code csl_dp_cells_of_atoms(struct csl_dp_cells *out, const double *loss,
                                    const double *mass, size_t count, double width,
                                    struct csl_err *err)
{
    CSL_ASSERT(count >= 1 && width > 0.0);
    double base = csl_dp_less(loss[0], 8.0), total_p = 0.0;
    struct csl_dp_cells cells;
    enum csl_code code =
        allocate(&cells, base, width, floor((loss[count - 1] - base) / width) + 1.0, err);
    if (code != CSL_OK)
        return code;
    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)fmin((loss[i] - base) / width, (double)(cells.count - 1));
        double q = mass[i] * exp(-loss[i]);
        cells.p[at] += mass[i];
        cells.q[at] += q;
        cells.p_error[at] += 4.0 * CSL_DP_ULP * mass[i];
        cells.q_error[at] += (8.0 + 2.0 * fabs(loss[i])) * CSL_DP_ULP * q;
        total_p += mass[i];
    }
    cells.p_high = fmax(0.0, 1.0 - total_p);
    cells.p_high = cells.p_high < 64.0 * CSL_DP_ULP ? 0.0 : cells.p_high;
    *out = cells;
    return CSL_OK;
}
