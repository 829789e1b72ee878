/* cli/privacy_bounds.c - one setting priced by every accountant, and numbers rounded outwards. */
#include "cli/privacy.h"

#include "base/str.h"
#include "privacy/dp/estimate.h"
#include "privacy/dp/gaussian.h"
#include "privacy/dp/rdp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define DECIMALS     4 /* and more where a loss is small */
#define DECIMALS_MAX 15

const char *csl_adjacency_name(enum csl_adjacency a)
{
    return a == CSL_ADD_REMOVE ? "add-remove" : "replace-one";
}

/* --- rounding --- */

/* printf rounds to nearest: where that went the wrong way, one unit of the last place is added. */
static void round_text(char out[CSL_ROUNDED_MAX], double v, double direction)
{
    double shown, size = fabs(v);
    int decimals = DECIMALS;

    if (isnan(v)) {
        (void)snprintf(out, CSL_ROUNDED_MAX, "-");
        return;
    }
    if (isinf(v) || fabs(v) > 1e15) {
        (void)snprintf(out, CSL_ROUNDED_MAX, v > 0 ? "not bounded" : "none");
        return;
    }
    if (size > 0 && size < 1e-3)
        decimals = (int)fmin(DECIMALS - 1 - floor(log10(size)), DECIMALS_MAX);
    (void)snprintf(out, CSL_ROUNDED_MAX, "%.*f", decimals, v);
    if (csl_parse_f64(out, &shown) && (shown - v) * direction < 0)
        (void)snprintf(out, CSL_ROUNDED_MAX, "%.*f", decimals,
                       shown + direction * pow(10, -decimals));
}

void csl_round_up(char out[CSL_ROUNDED_MAX], double v)
{
    round_text(out, v, 1);
}

void csl_round_down(char out[CSL_ROUNDED_MAX], double v)
{
    round_text(out, v, -1);
}

/* --- pricing --- */

struct csl_dp_event csl_privacy_event(enum csl_dp_sampler sampler, double noise_multiplier,
                                      double sampling_rate, uint64_t steps)
{
    struct csl_dp_event e = {.mechanism = CSL_DP_GAUSSIAN,
                             .sampler = sampler,
                             .noise_multiplier = noise_multiplier,
                             .sampling_rate = csl_dp_rate(sampling_rate),
                             .steps = steps};

    if (sampler == CSL_DP_FIXED_SIZE)
        e.noise_multiplier /= 2;
    if (sampler == CSL_DP_SHUFFLED && sampling_rate > 0 && sampling_rate <= 1) {
        double batches = floor(1 / sampling_rate);
        /* Fewer batches make more epochs: the careful side of what does not divide. */
        e.steps = (uint64_t)ceil((double)steps / batches);
        e.sampling_rate = 1;
    }
    return e;
}

static bool is_plain_gaussian(const struct csl_dp_event *e)
{
    return e->mechanism == CSL_DP_GAUSSIAN && e->sampling_rate == 1;
}

static double eps_of_mu(double mu, double delta)
{
    if (mu == 0)
        return 0;
    return isfinite(mu * mu) ? csl_dp_gaussian_eps_upper(mu, delta) : HUGE_VAL;
}

static void price_closed_forms(struct csl_bounds *b, double delta)
{
    const struct csl_dp_event *e = &b->event;
    double outward = 1 + 1e-12;

    if (is_plain_gaussian(e)) {
        double mu = sqrt((double)e->steps) / e->noise_multiplier * outward, rho = mu * mu / 2;
        b->analytic = eps_of_mu(mu, delta);
        b->zcdp = (rho + 2 * sqrt(rho * log(1 / delta))) * outward;
    } else if (e->mechanism == CSL_DP_GAUSSIAN && e->sampler == CSL_DP_POISSON) {
        b->gdp_clt_estimate =
            csl_dp_clt_estimate(e->noise_multiplier, e->sampling_rate, (double)e->steps, delta);
    }
}

enum csl_code csl_bounds_price(struct csl_bounds *out, const struct csl_dp_event *event,
                               double delta, struct csl_err *err)
{
    struct csl_bounds b = {.event = *event,
                           .adjacency = event->sampler == CSL_DP_FIXED_SIZE ? CSL_REPLACE_ONE
                                                                            : CSL_ADD_REMOVE,
                           .pld = (double)NAN,
                           .lower = (double)NAN,
                           .analytic = (double)NAN,
                           .zcdp = (double)NAN,
                           .gdp_clt_estimate = (double)NAN};
    struct csl_price price;
    enum csl_code code = csl_account(event, 1, delta, &price, err);

    if (code != CSL_OK)
        return code;
    b.epsilon = price.epsilon;
    b.rdp = csl_dp_rdp_best(event, 1, delta, &b.rdp_order);
    if (isfinite(price.epsilon_pld)) {
        b.pld = price.epsilon_pld;
        b.lower = price.epsilon_lower;
    }
    price_closed_forms(&b, delta);
    *out = b;
    return CSL_OK;
}

enum csl_code csl_bounds_make(struct csl_bounds *out, const struct csl_privacy_flags *f,
                              struct csl_err *err)
{
    if (f->sampling_rate <= 0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "--sampling-rate: found %g; above 0 and at most 1 would be right",
                        f->sampling_rate);
    struct csl_dp_event e = csl_privacy_event(csl_privacy_sampler(f->sampler), f->noise_multiplier,
                                              f->sampling_rate, f->steps);
    return csl_bounds_price(out, &e, f->delta, err);
}

/* --- showing --- */

void csl_privacy_setting_json(const struct csl_privacy_flags *f, struct csl_json *j)
{
    csl_json_put_f64(j, "noise_multiplier", f->noise_multiplier);
    csl_json_put_f64(j, "sampling_rate", f->sampling_rate);
    csl_json_put_u64(j, "steps", f->steps);
    csl_json_put_f64(j, "delta", f->delta);
    csl_json_put_str(j, "sampler", csl_privacy_samplers[f->sampler]);
}

static void put_bound(struct csl_json *j, const char *key, double v)
{
    if (!isnan(v))
        csl_json_put_f64(j, key, v); /* not bounded: null */
}

void csl_bounds_json(const struct csl_bounds *b, struct csl_json *j)
{
    csl_json_put_str(j, "adjacency", csl_adjacency_name(b->adjacency));
    csl_json_put_f64(j, "epsilon", b->epsilon);
    csl_json_key(j, "rdp");
    csl_json_object(j);
    csl_json_put_f64(j, "epsilon", b->rdp);
    if (isfinite(b->rdp))
        csl_json_put_f64(j, "order", b->rdp_order);
    csl_json_end(j);
    if (!isnan(b->pld)) {
        csl_json_key(j, "pld");
        csl_json_object(j);
        csl_json_put_f64(j, "epsilon", b->pld);
        csl_json_put_f64(j, "lower", b->lower);
        csl_json_end(j);
    }
    put_bound(j, "analytic", b->analytic);
    put_bound(j, "zcdp", b->zcdp);
    put_bound(j, "gdp_clt_estimate", b->gdp_clt_estimate);
}

static void put_row(struct csl_buf *out, const char *name, double v, const char *note)
{
    char text[CSL_ROUNDED_MAX];

    if (isnan(v))
        return;
    csl_round_up(text, v);
    csl_buf_printf(out, "  %-26s %12s%s%s\n", name, text, note[0] ? "  " : "", note);
}

void csl_bounds_text(const struct csl_bounds *b, struct csl_buf *out)
{
    char text[CSL_ROUNDED_MAX], note[80];

    csl_round_up(text, b->epsilon);
    csl_buf_printf(out, "epsilon %s (%s), certified and rounded up: the one to decide with\n\n",
                   text,
                   b->adjacency == CSL_ADD_REMOVE ? "one patient added or removed"
                                                  : "one patient replaced by another");
    (void)snprintf(note, sizeof(note), "at order %.4g", b->rdp_order);
    put_row(out, "Renyi (RDP)", b->rdp, isfinite(b->rdp) ? note : "");
    put_row(out, "loss distribution (PLD)", b->pld, "upper bound");
    if (!isnan(b->lower)) {
        csl_round_down(text, b->lower);
        csl_buf_printf(out, "  %-26s %12s  lower bound: the truth is not below\n", "", text);
    }
    put_row(out, "analytic Gaussian", b->analytic, "exact for noise without sampling");
    put_row(out, "zCDP", b->zcdp, "");
    put_row(out, "GDP by the CLT", b->gdp_clt_estimate,
            "ESTIMATE, not a bound: can lie below the truth");
}
