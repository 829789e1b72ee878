#include "privacy/dp/pld_compose.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/dp/fft.h"
#include "privacy/dp/numeric.h"

#include <math.h>

/* One distribution under the tilt. */
struct tilted {
    const struct csl_dp_pld *d;
    double *share;     /* tilted masses, sum 1 */
    double log_moment; /* log of their sum before */
    size_t heaviest;   /* the largest share: the origin of its transform */
};

/* What one composition works with. Index i of the composed grid is the loss base + i * step. */
struct work {
    const struct csl_dp_composition *c;
    struct tilted *parts;
    double step, base;
    double log_total; /* K(tilt): log of the composed, tilted mass */
    double variance;  /* of the tilted composition */
    double slack;     /* relative error of every composed mass by rounding the tilt */
    double infinity;  /* mass of an infinite loss */
    double wrap_log;  /* log of the tilted mass beyond either end of the window, at most */
    double high;      /* loss at the window's upper end */
    int64_t first;    /* index of the window's first point */
    size_t n;
    struct csl_dp_fft fft;
    double *spectrum; /* [n] composed half spectrum, as csl_dp_fft_forward packs it */
    double *wrong;    /* [n/2 + 1] bounds on its error */
    double *buffer;   /* [n] one part's spectrum; then the composed masses */
    double bin_error; /* bound on the error of every composed, tilted mass */
};

/* Tilts one distribution; adds its moments to the work's. */
static enum csl_code tilt_part(struct work *w, size_t j, struct csl_err *err)
{
    struct tilted *t = &w->parts[j];
    const struct csl_dp_pld *d = &w->c->parts[j];
    double tilt = w->c->tilt, steps = (double)w->c->steps[j], top = -HUGE_VAL;
    *t = (struct tilted){.d = d, .share = csl_alloc_array(d->count, sizeof(double))};
    if (t->share == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "pld: no memory for %zu grid points", d->count);
    for (size_t i = 0; i < d->count; i++) {
        t->share[i] = d->mass[i] > 0.0 ? log(d->mass[i]) + tilt * ((double)i * d->step) : -HUGE_VAL;
        if (t->share[i] > top) {
            top = t->share[i];
            t->heaviest = i;
        }
    }
    struct csl_dp_sum total = {0, 0}, mean = {0, 0}, square = {0, 0};
    for (size_t i = 0; i < d->count; i++) {
        double share = exp(t->share[i] - top), away = ((double)i - (double)t->heaviest) * d->step;
        t->share[i] = share;
        csl_dp_sum_add(&total, share);
        csl_dp_sum_add(&mean, share * away);
        csl_dp_sum_add(&square, share * away * away);
    }
    double sum = csl_dp_sum_get(&total), m = csl_dp_sum_get(&mean) / sum;
    for (size_t i = 0; i < d->count; i++)
        t->share[i] /= sum;
    t->log_moment = top + log(sum) + tilt * d->first;
    w->log_total += steps * t->log_moment;
    w->variance += steps * fmax(0.0, csl_dp_sum_get(&square) / sum - m * m);
    w->base += steps * (d->first + (double)t->heaviest * d->step);
    w->infinity += steps * log1p(-d->infinity);
    double reach = fmax(fabs(d->first), fabs(d->first + (double)d->count * d->step));
    w->slack += steps * CSL_DP_ULP * (64.0 + 8.0 * tilt * reach);
    return CSL_OK;
}

/* K(tilt + t) - K(tilt) */
static double log_moment_beyond(const struct work *w, double t)
{
    double total = 0.0;
    for (size_t j = 0; j < w->c->count; j++) {
        const struct tilted *p = &w->parts[j];
        double sum = 0.0, origin = (double)p->heaviest;
        for (size_t i = 0; i < p->d->count; i++)
            if (p->share[i] > 0.0)
                sum += p->share[i] * exp(t * ((double)i - origin) * w->step);
        total += (double)w->c->steps[j] * (log(sum) + t * (p->d->first + origin * w->step));
    }
    return total;
}

/* Chernoff: the tilted mass beyond the returned loss is at most e^-depth. The best exponent of a
 * normal law first, then smaller ones while they help: jumps have heavy tails. */
static double window_end(const struct work *w, double depth, double sign)
{
    double t = sqrt(2.0 * depth / fmax(w->variance, w->step * w->step)), best = HUGE_VAL;
    for (int i = 0; i < 60; i++) {
        double distance = (log_moment_beyond(w, sign * t) + depth) / t;
        if (distance >= best && isfinite(best))
            break;
        best = fmin(best, distance);
        t *= 0.6;
    }
    return sign * best;
}

static enum csl_code choose_window(struct work *w, double delta, struct csl_err *err)
{
    double depth = w->log_total - w->c->tilt * w->c->epsilon - log(delta);
    depth = fmax(depth, 0.0) + 16.0; /* e^-16 of delta at either end */
    double high = window_end(w, depth, 1.0), low = window_end(w, depth, -1.0);
    double points = (high - low) / w->step + 3.0;
    if (!(points <= CSL_DP_FFT_MAX) || !(w->slack < 0.01))
        return CSL_FAIL(err, CSL_E_LIMIT, "pld: a window of %g points, relative rounding of %g",
                        points, w->slack);
    w->n = CSL_DP_FFT_MIN;
    while ((double)w->n < points)
        w->n *= 2;
    w->first = (int64_t)floor((low - w->base) / w->step);
    w->high = w->base + (double)(w->first + (int64_t)w->n) * w->step;
    w->wrap_log = -depth;
    return CSL_OK;
}

/* Puts the part's spectrum in the buffer. The heaviest share stays out of the transform: it is the
 * same for every frequency, and what is left loses less to rounding. Returns the error bound. */
static double transform_part(struct work *w, const struct tilted *t)
{
    double rest = 0.0;
    CSL_ASSERT(w->n >= CSL_DP_FFT_MIN);
    for (size_t i = 0; i < w->n; i++)
        w->buffer[i] = 0.0;
    size_t at = (w->n - t->heaviest % w->n) % w->n;
    for (size_t i = 0; i < t->d->count; i++) {
        if (i != t->heaviest) {
            w->buffer[at] += t->share[i];
            rest += t->share[i];
        }
        at = at + 1 == w->n ? 0 : at + 1;
    }
    csl_dp_fft_forward(&w->fft, w->buffer);
    for (size_t k = 0; k < w->n; k += 2)
        w->buffer[k] += t->share[t->heaviest];
    w->buffer[1] += t->share[t->heaviest]; /* the last frequency is real and lies there */
    return csl_dp_fft_error(w->n) * rest + 4.0 * CSL_DP_ULP;
}

struct power {
    uint64_t steps;
    double error;      /* of a frequency */
    double negligible; /* squared modulus below which the power is taken as 0 */
    double skipped;    /* and the error of that */
};

static struct power power_of(uint64_t steps, double error)
{
    struct power p = {.steps = steps, .error = error};
    if (steps > 1) {
        p.negligible = exp(-160.0 / (double)steps);
        p.skipped = exp((double)steps * log(sqrt(p.negligible) + error));
    }
    return p;
}

/* (re, im)^steps and a bound on its error: of the base, |a^k - b^k| <= k |a - b| max^(k-1), and of
 * the multiplications, 3 roundings each. */
static void raise(const struct power *p, double re, double im, double out[2], double *error)
{
    double modulus2 = re * re + im * im, k = (double)p->steps;
    if (modulus2 < p->negligible) {
        out[0] = out[1] = 0.0;
        *error = p->skipped;
        return;
    }
    double r = 1.0, i = 0.0, br = re, bi = im;
    for (uint64_t left = p->steps; left > 0; left >>= 1) {
        if (left & 1) {
            double t = r * br - i * bi;
            i = r * bi + i * br;
            r = t;
        }
        double t = br * br - bi * bi;
        bi = 2.0 * br * bi;
        br = t;
    }
    out[0] = r;
    out[1] = i;
    double modulus = sqrt(modulus2), size = sqrt(r * r + i * i);
    double base = p->error + 3.0 * CSL_DP_ULP * modulus;
    if (p->steps == 1)
        *error = base;
    else if (k * base <= 0.01 * modulus)
        *error = 1.02 * k * base * (size / modulus);
    else
        *error = k * base * pow(modulus + base, k - 1.0);
}

static void multiply(double *z, double *wrong, const double v[2], double error)
{
    double size = sqrt(z[0] * z[0] + z[1] * z[1]), v_size = sqrt(v[0] * v[0] + v[1] * v[1]);
    double re = z[0] * v[0] - z[1] * v[1];
    *wrong = *wrong * (v_size + error) + size * (error + 3.0 * CSL_DP_ULP * v_size);
    z[1] = z[0] * v[1] + z[1] * v[0];
    z[0] = re;
}

/* Multiplies the composed spectrum by the power of what is in the buffer. */
static void compose_part(struct work *w, uint64_t steps, double error)
{
    struct power p = power_of(steps, error);
    double v[2], e, edge[2][2] = {{w->spectrum[0], 0.0}, {w->spectrum[1], 0.0}};
    raise(&p, w->buffer[0], 0.0, v, &e);
    multiply(edge[0], &w->wrong[0], v, e);
    raise(&p, w->buffer[1], 0.0, v, &e);
    multiply(edge[1], &w->wrong[w->n / 2], v, e);
    for (size_t k = 1; k < w->n / 2; k++) {
        raise(&p, w->buffer[2 * k], w->buffer[2 * k + 1], v, &e);
        multiply(w->spectrum + 2 * k, &w->wrong[k], v, e);
    }
    w->spectrum[0] = edge[0][0];
    w->spectrum[1] = edge[1][0];
}

static enum csl_code transform(struct work *w, struct csl_err *err)
{
    enum csl_code code = csl_dp_fft_init(&w->fft, w->n, err);
    if (code != CSL_OK)
        return code;
    w->spectrum = csl_alloc_array(w->n, sizeof(double));
    w->buffer = csl_alloc_array(w->n, sizeof(double));
    w->wrong = csl_alloc_array(w->n / 2 + 1, sizeof(double));
    if (w->spectrum == NULL || w->buffer == NULL || w->wrong == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "pld: no memory for %zu frequencies", w->n);
    for (size_t k = 0; k < w->n; k += 2)
        w->spectrum[k] = 1.0;
    w->spectrum[1] = 1.0;
    for (size_t j = 0; j < w->c->count; j++)
        compose_part(w, w->c->steps[j], transform_part(w, &w->parts[j]));
    double wrong = w->wrong[0] + w->wrong[w->n / 2];
    double size = fabs(w->spectrum[0]) + fabs(w->spectrum[1]);
    for (size_t k = 1; k < w->n / 2; k++) {
        wrong += 2.0 * w->wrong[k];
        size += 2.0 * (fabs(w->spectrum[2 * k]) + fabs(w->spectrum[2 * k + 1]));
    }
    csl_dp_fft_inverse(&w->fft, w->spectrum);
    w->bin_error = (wrong + csl_dp_fft_error(w->n) * size) / (double)w->n;
    return CSL_OK;
}

/* From the top of the window down: above = sum of the masses at and above point i, and discounted =
 * the same with the factor e^(loss_i - loss), so that
 *     delta(loss_i - t) = above - e^-t discounted   for t from 0 to a step. */
static double scan(const struct work *w, double delta, bool is_upper)
{
    double above = 0.0, discounted = 0.0, decay = exp(-w->step), growth = exp(w->c->tilt * w->step);
    double factor = is_upper ? 1.0 + w->slack : 1.0 - w->slack, weight = 0.0;
    double beyond = exp(w->log_total - w->c->tilt * w->high + w->wrap_log) + w->infinity;
    double wrapped = 2.0 * exp(w->wrap_log) * growth;
    if (is_upper && beyond >= delta)
        return HUGE_VAL;
    for (size_t k = 0; k < w->n; k++) {
        int64_t i = w->first + (int64_t)(w->n - 1 - k);
        double loss = w->base + (double)i * w->step;
        if (loss <= 0.0)
            return 0.0;
        int64_t place = i % (int64_t)w->n;
        double mass = w->spectrum[place < 0 ? place + (int64_t)w->n : place];
        weight = k % 256 == 0 ? exp(w->log_total - w->c->tilt * loss) : weight * growth;
        mass = is_upper ? fmax(mass, 0.0) + w->bin_error : fmax(mass - w->bin_error, 0.0);
        mass *= weight * factor;
        above += mass;
        discounted = discounted * decay + mass;
        double rounding = (double)(k + 400) * 2.0 * CSL_DP_ULP;
        double a = is_upper ? above * (1.0 + rounding) + beyond
                            : above * (1.0 - rounding) - wrapped * weight;
        double b = is_upper ? discounted * (1.0 - rounding) : discounted * (1.0 + rounding);
        if (a - decay * b > delta) {
            double t = a - delta >= b ? 0.0 : -log((a - delta) / b);
            return fmax(0.0, loss - fmin(t, w->step));
        }
    }
    return 0.0;
}

static void release(struct work *w)
{
    for (size_t j = 0; w->parts != NULL && j < w->c->count; j++)
        csl_free(w->parts[j].share);
    csl_free(w->parts);
    csl_dp_fft_release(&w->fft);
    csl_free(w->spectrum);
    csl_free(w->buffer);
    csl_free(w->wrong);
}

enum csl_code csl_dp_compose(const struct csl_dp_composition *c, double delta, bool is_upper,
                             double *epsilon_out, struct csl_err *err)
{
    CSL_ASSERT(c->count >= 1 && c->tilt >= 0.0);
    struct work w = {.c = c, .step = c->parts[0].step};
    enum csl_code code = CSL_OK;
    w.parts = csl_alloc_array(c->count, sizeof(struct tilted));
    if (w.parts == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "pld: no memory for %zu parts", c->count);
    for (size_t j = 0; code == CSL_OK && j < c->count; j++)
        code = tilt_part(&w, j, err);
    w.infinity = csl_dp_more(-expm1(w.infinity), 64.0);
    if (code == CSL_OK)
        code = choose_window(&w, delta, err);
    if (code == CSL_OK)
        code = transform(&w, err);
    if (code == CSL_OK)
        *epsilon_out = scan(&w, delta, is_upper);
    release(&w);
    return code;
}
