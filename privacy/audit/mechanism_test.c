#include "privacy/audit/mechanism_test.h"

#include "base/check.h"
#include "privacy/audit/tail_internal.h"

#include <math.h>

double csl_mechanism_test_noise(const double *noise, size_t n, double std)
{
    CSL_ASSERT(n >= 1 && std > 0.0);
    double square = 0.0;
    for (size_t i = 0; i < n; i++)
        square += noise[i] / std * (noise[i] / std);
    return csl_audit__chi_square_two_sided(square, n);
}

static double normal_two_sided(double z)
{
    return isfinite(z) ? 2.0 * csl_audit__normal_upper(fabs(z)) : 0.0;
}

double csl_mechanism_test_repeat(const double *a, const double *b, size_t n, double std)
{
    CSL_ASSERT(n >= 1 && std > 0.0);
    double product = 0.0, square = 0.0;
    for (size_t i = 0; i < n; i++) {
        product += a[i] * b[i];
        square += b[i] * b[i];
    }
    return square == 0.0 ? 1.0 : normal_two_sided(product / (std * sqrt(square)));
}

/* Whether the counts of `groups` draws of Binomial(n, rate) spread as they should: how many lie
 * from quartile to quartile is binomial itself. */
struct spread {
    uint64_t low, high; /* inclusive */
    double share;       /* probability of low to high */
    uint64_t groups, inside;
};

static struct spread spread_of(uint64_t n, double rate)
{
    struct spread s = {0, n, 1.0, 0, 0};
    if (rate >= 1.0)
        return s;
    double below = 0.0;
    for (uint64_t k = 0; k <= n; k++) {
        double p = exp(csl_audit__binomial_log(k, n, rate, 1.0 - rate));
        if (below < 0.25 && below + p >= 0.25) {
            s.low = k;
            s.share = 0.0;
        }
        if (below + p >= 0.25)
            s.share += p;
        below += p;
        if (below >= 0.75) {
            s.high = k;
            break;
        }
    }
    return s;
}

static void spread_add(struct spread *s, uint64_t count)
{
    s->groups++;
    s->inside += count >= s->low && count <= s->high;
}

static double spread_p(const struct spread *s)
{
    return csl_audit__binomial_two_sided(s->inside, s->groups, fmin(s->share, 1.0));
}

double csl_mechanism_test_sampler(const uint8_t *included, size_t steps, size_t units, double rate)
{
    CSL_ASSERT(steps >= 2 && units >= 1 && rate > 0.0 && rate <= 1.0);
    struct spread batches = spread_of(units, rate), patients = spread_of(steps, rate);
    uint64_t all = 0, both = 0;
    for (size_t t = 0; t < steps; t++) {
        const uint8_t *row = included + t * units;
        uint64_t size = 0;
        for (size_t u = 0; u < units; u++) {
            size += row[u] != 0;
            both += t % 2 == 1 && row[u] != 0 && row[u - units] != 0;
        }
        spread_add(&batches, size);
        all += size;
    }
    for (size_t u = 0; u < units; u++) {
        uint64_t count = 0;
        for (size_t t = 0; t < steps; t++)
            count += included[t * units + u] != 0;
        spread_add(&patients, count);
    }
    double p = csl_audit__binomial_two_sided(all, (uint64_t)steps * units, rate);
    p = fmin(p, csl_audit__binomial_two_sided(both, (uint64_t)(steps / 2) * units, rate * rate));
    p = fmin(p, spread_p(&batches));
    p = fmin(p, spread_p(&patients));
    return fmin(1.0, 4.0 * p);
}

double csl_mechanism_test_batch_mean(const double *released, const double *batch_size, size_t n,
                                     double contribution, double noise_std)
{
    CSL_ASSERT(n >= 2 && noise_std > 0.0);
    double mean = 0.0, product = 0.0, square = 0.0;
    for (size_t i = 0; i < n; i++)
        mean += batch_size[i];
    mean /= (double)n; /* exact where all sizes are equal */
    for (size_t i = 0; i < n; i++) {
        double d = batch_size[i] - mean;
        product += d * (released[i] - contribution * batch_size[i]);
        square += d * d;
    }
    return square == 0.0 ? 1.0 : normal_two_sided(product / (noise_std * sqrt(square)));
}
