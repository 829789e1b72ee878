#include "privacy/audit/one_run.h"

#include "privacy/audit/one_run_internal.h"
#include "privacy/audit/tail_internal.h"

#include <math.h>
#include <stdbool.h>

#define EPSILON_MAX 500.0 /* e^-500 is still a normal number */
#define MU_MAX      30.0  /* beyond it the normal tails underflow */
#define STEP        1e-10 /* of the bisections; results are lowered by one more */

static enum csl_code check_counts(const struct csl_one_run *g, struct csl_err *err)
{
    if (g->canaries > CSL_ONE_RUN_CANARIES_MAX || g->guesses > g->canaries ||
        g->correct > g->guesses)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "audit: %llu canaries, %llu guesses, %llu correct; at most %u canaries and "
                        "each number at most the one before would be right",
                        (unsigned long long)g->canaries, (unsigned long long)g->guesses,
                        (unsigned long long)g->correct, CSL_ONE_RUN_CANARIES_MAX);
    return CSL_OK;
}

static enum csl_code check_unit(const char *what, double x, double low, double high,
                                struct csl_err *err)
{
    if (!(x >= low) || !(x <= high))
        return CSL_FAIL(err, CSL_E_INVAL, "audit: %s is %g; %g to %g would be right", what, x, low,
                        high);
    return CSL_OK;
}

static enum csl_code check_confidence(double confidence, struct csl_err *err)
{
    if (!(confidence > 0.0) || !(confidence < 1.0))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "audit: confidence is %g; above 0 and below 1 would be right", confidence);
    return CSL_OK;
}

/* max over i of the mean of P[X = correct - 1], ..., P[X = correct - i]. The terms rise to the mode
 * and fall after it, so the running mean rises until a term lies below it. Scaled, because the
 * first terms may be below the smallest double and still matter. */
static double largest_mean(const struct csl_one_run *g, double p, double q)
{
    if (g->correct == 0)
        return 0.0;
    double n = (double)g->guesses, term = 1.0, sum = 1.0;
    double log_scale = csl_audit__binomial_log(g->correct - 1, g->guesses, p, q);
    uint64_t i = 1;
    for (uint64_t j = g->correct - 1; j > 0; j--, i++) {
        term *= (double)j * q / ((n - (double)j + 1.0) * p);
        if (term * (double)i < sum)
            break;
        sum += term;
        if (sum > 0x1p600) {
            sum *= 0x1p-600;
            term *= 0x1p-600;
            log_scale += 600.0 * 0.69314718055994530942;
        }
    }
    return exp(log_scale + log(sum / (double)i));
}

static double p_value(const struct csl_one_run *g, double epsilon, double delta)
{
    double q = 1.0 / (1.0 + exp(epsilon)), p = 1.0 / (1.0 + exp(-epsilon));
    double beta = exp(csl_audit__binomial_log_upper(g->correct, g->guesses, p, q));
    if (delta == 0.0 || beta >= 1.0)
        return beta;
    return fmin(1.0, beta + 2.0 * (double)g->canaries * delta * largest_mean(g, p, q));
}

enum csl_code csl_one_run_p_value(const struct csl_one_run *g, double epsilon, double delta,
                                  double *out, struct csl_err *err)
{
    enum csl_code rc = check_counts(g, err);
    if (rc == CSL_OK)
        rc = check_unit("epsilon", epsilon, 0.0, EPSILON_MAX, err);
    if (rc == CSL_OK)
        rc = check_unit("delta", delta, 0.0, 1.0, err);
    if (rc == CSL_OK)
        *out = p_value(g, epsilon, delta);
    return rc;
}

struct hypothesis {
    const struct csl_one_run *guesses;
    double delta, significance;
};

/* Every promise below a disproved one is disproved with it, so any rejected point is a bound
 * whether or not the p-value is monotone. */
static double largest_rejected(const struct hypothesis *h, double floor, double max,
                               bool (*is_rejected)(const struct hypothesis *h, double x))
{
    if (!is_rejected(h, floor))
        return floor;
    double low = floor, high = floor + 1.0;
    while (high < max && is_rejected(h, high)) {
        low = high;
        high = fmin(2.0 * high, max);
    }
    while (high - low > STEP) {
        double middle = 0.5 * (low + high);
        if (is_rejected(h, middle))
            low = middle;
        else
            high = middle;
    }
    return fmax(floor, low - STEP);
}

static bool is_epsilon_rejected(const struct hypothesis *h, double epsilon)
{
    return p_value(h->guesses, epsilon, h->delta) < h->significance;
}

double csl_one_run__epsilon_above(const struct csl_one_run *g, double delta, double significance,
                                  double floor)
{
    struct hypothesis h = {g, delta, significance};
    return largest_rejected(&h, floor, EPSILON_MAX, is_epsilon_rejected);
}

enum csl_code csl_one_run_epsilon(const struct csl_one_run *g, double delta, double confidence,
                                  double *out, struct csl_err *err)
{
    enum csl_code rc = check_counts(g, err);
    if (rc == CSL_OK)
        rc = check_unit("delta", delta, 0.0, 1.0, err);
    if (rc == CSL_OK)
        rc = check_confidence(confidence, err);
    if (rc == CSL_OK)
        *out = csl_one_run__epsilon_above(g, delta, 1.0 - confidence, 0.0);
    return rc;
}

/* The recursion of the paper's algorithm 3: `right` and `wrong` are the least shares of all
 * canaries that right and wrong guesses must have, were the tail probability the significance. */
static bool is_mu_rejected(const struct hypothesis *h, double mu)
{
    const struct csl_one_run *g = h->guesses;
    double m = (double)g->canaries;
    double right = h->significance * (double)g->correct / m;
    double wrong = h->significance * (double)(g->guesses - g->correct) / m;
    for (uint64_t i = g->correct; i-- > 0;) {
        double least = csl_audit__normal_upper(mu - csl_audit__normal_quantile(right));
        if (!(least > wrong))
            break; /* then neither changes again */
        right += (double)i / (double)(g->guesses - i) * (least - wrong);
        right = fmin(right, 1.0);
        wrong = least;
    }
    return right + wrong > (double)g->guesses / m;
}

double csl_one_run__mu_above(const struct csl_one_run *g, double significance, double floor)
{
    struct hypothesis h = {g, 0.0, significance};
    return g->correct == 0 ? floor : largest_rejected(&h, floor, MU_MAX, is_mu_rejected);
}

enum csl_code csl_one_run_mu(const struct csl_one_run *g, double confidence, double *out,
                             struct csl_err *err)
{
    enum csl_code rc = check_counts(g, err);
    if (rc == CSL_OK)
        rc = check_confidence(confidence, err);
    if (rc == CSL_OK)
        *out = csl_one_run__mu_above(g, 1.0 - confidence, 0.0);
    return rc;
}

/* P[N > x] / density(x): where both are tiny their ratio is not. */
static double mills_ratio(double x)
{
    if (x < 6.0)
        return csl_audit__normal_upper(x) / (0.39894228040143267794 * exp(-0.5 * x * x));
    double f = 0.0;
    for (int i = 60; i > 0; i--)
        f = (double)i / (x + f);
    return 1.0 / (x + f);
}

static double gaussian_delta(double mu, double epsilon)
{
    double a = epsilon / mu - 0.5 * mu, b = epsilon / mu + 0.5 * mu;
    /* e^epsilon density(b) = density(a) */
    return csl_audit__normal_upper(a) - 0.39894228040143267794 * exp(-0.5 * a * a) * mills_ratio(b);
}

enum csl_code csl_one_run_gaussian_epsilon(double mu, double delta, double *out,
                                           struct csl_err *err)
{
    enum csl_code rc = check_unit("mu", mu, 0.0, MU_MAX, err);
    if (rc != CSL_OK)
        return rc;
    if (!(delta > 0.0) || !(delta < 1.0))
        return CSL_FAIL(err, CSL_E_INVAL, "audit: delta is %g; above 0 and below 1 would be right",
                        delta);
    double low = 0.0, high = 1.0;
    if (mu == 0.0 || gaussian_delta(mu, 0.0) <= delta) {
        *out = 0.0;
        return CSL_OK;
    }
    while (gaussian_delta(mu, high) > delta) {
        low = high;
        high *= 2.0;
    }
    while (high - low > STEP && 0.5 * (low + high) > low) {
        double middle = 0.5 * (low + high);
        if (gaussian_delta(mu, middle) > delta)
            low = middle;
        else
            high = middle;
    }
    *out = fmax(0.0, low - STEP);
    return CSL_OK;
}
