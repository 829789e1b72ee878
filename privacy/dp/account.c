#include "privacy/dp/account.h"

#include "base/mem.h"
#include "privacy/dp/discrete.h"
#include "privacy/dp/gaussian.h"
#include "privacy/dp/numeric.h"
#include "privacy/dp/pld_epsilon.h"
#include "privacy/dp/rdp.h"
#include "privacy/dp/rdp_internal.h"

#include <math.h>

#define BRIDGE_LOSS_MAX 0.5

/* The events as loss distributions: full batches of Gaussian noise together are one Gaussian,
 * equal samplings are one part. */
struct losses {
    struct csl_dp_part *parts;
    size_t count;
    double mu2; /* sum of 1 / sigma^2 of the full batches */
    bool has_all, is_discrete;
    bool has_lower; /* the events' worst pair is known, not only dominated */
    struct csl_dp_bridge bridge;
};

/* Add or remove against replace: no bound composes the two. */
static enum csl_code check_events(const struct csl_dp_event *events, size_t count, double delta,
                                  struct csl_err *err)
{
    if (!(delta > 0.0) || !(delta < 1.0))
        return CSL_FAIL(err, CSL_E_INVAL, "account: delta %g; above 0 and below 1 would be right",
                        delta);
    for (size_t i = 0; i < count; i++) {
        enum csl_code code = csl_dp_event_check(&events[i], err);
        if (code != CSL_OK)
            return code;
        if ((events[i].sampler == CSL_DP_FIXED_SIZE) != (events[0].sampler == CSL_DP_FIXED_SIZE))
            return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                            "account: the sampler fixed-size is priced for the replacement of a "
                            "unit, the others for its removal; no bound composes the two");
    }
    return CSL_OK;
}

static bool is_same(const struct csl_dp_part *a, const struct csl_dp_part *b)
{
    return a->pure_epsilon == b->pure_epsilon && a->pair.std == b->pair.std &&
           a->pair.p_count == b->pair.p_count && a->pair.p_weight[0] == b->pair.p_weight[0];
}

static void add_part(struct losses *l, struct csl_dp_part part)
{
    for (size_t i = 0; i < l->count; i++)
        if (is_same(&l->parts[i], &part) && l->parts[i].steps <= UINT64_MAX - part.steps) {
            l->parts[i].steps += part.steps;
            return;
        }
    l->parts[l->count++] = part;
}

static void add_event(struct losses *l, const struct csl_dp_event *e)
{
    double steps = (double)e->steps, sigma = csl_dp_rdp__sigma(e);
    bool is_full = e->sampling_rate == 1.0 && e->sampler != CSL_DP_FIXED_SIZE;
    if (e->steps == 0)
        return;
    if (e->sampler == CSL_DP_SHUFFLED)
        l->has_lower = false;
    if (e->mechanism == CSL_DP_DISCRETE_GAUSSIAN && e->std_units >= CSL_DP_BRIDGE_STD_MIN) {
        l->is_discrete = true;
        l->has_lower = false;
        csl_dp_bridge_add(&l->bridge, steps * (double)e->dimensions, e->std_units);
    } else if (e->mechanism == CSL_DP_DISCRETE_LAPLACE && is_full) {
        add_part(l, (struct csl_dp_part){.pure_epsilon = csl_dp_rdp__laplace_epsilon(e),
                                         .steps = e->steps});
        return;
    } else if (e->mechanism != CSL_DP_GAUSSIAN) {
        l->has_all = false;
        return;
    }
    if (is_full)
        l->mu2 = csl_dp_more(l->mu2 + steps / (sigma * sigma), 8.0);
    else if (e->sampler == CSL_DP_POISSON)
        add_part(l, (struct csl_dp_part){.pair = csl_dp_pair_poisson(sigma, e->sampling_rate),
                                         .steps = e->steps});
    else
        l->has_all = false;
}

/* What is left of delta for the continuous mechanism, and what is to be added to its epsilon. */
static bool cross_bridge(const struct losses *l, double cap, double *delta, double *extra)
{
    double share = 0x1p-10; /* of delta, for the transcripts where the two laws differ more */
    double log_failure =
        log(*delta * share) - csl_dp_log_add(0.0, cap + BRIDGE_LOSS_MAX) - 64.0 * CSL_DP_ULP;
    double loss = csl_dp_bridge_loss(&l->bridge, log_failure);
    if (!(loss <= BRIDGE_LOSS_MAX))
        return false;
    *delta = csl_dp_less(*delta * (1.0 - share) * exp(-loss), 8.0);
    *extra = csl_dp_more(2.0 * loss, 8.0);
    return true;
}

/* Loss distributions; what cannot be done stays +inf above and 0 below. */
static enum csl_code price_losses(struct losses *l, double delta, double cap,
                                  struct csl_price *price, struct csl_err *err)
{
    struct csl_dp_bounds b = {0};
    double extra = 0.0;
    if (!l->has_all || (l->is_discrete && !cross_bridge(l, cap, &delta, &extra)))
        return CSL_OK;
    if (l->count == 0 && l->mu2 > 0.0) { /* the closed form; delta 1 - 1e-16 is no use to a grid */
        b.upper = csl_dp_gaussian_eps_upper(csl_dp_more(sqrt(l->mu2), 2.0), delta);
        b.lower = csl_dp_gaussian_eps_lower(csl_dp_less(sqrt(l->mu2), 64.0), delta);
    } else if (l->count > 0) {
        if (l->mu2 > 0.0)
            l->parts[l->count++] = (struct csl_dp_part){
                .pair = csl_dp_pair_poisson(1.0 / csl_dp_more(sqrt(l->mu2), 4.0), 1.0), .steps = 1};
        enum csl_code code = csl_dp_pld_epsilon(l->parts, l->count, delta, 0.0, &b, err);
        if (code == CSL_E_LIMIT)
            return CSL_OK;
        if (code != CSL_OK)
            return code;
    }
    if (l->is_discrete && !(b.upper <= cap))
        return CSL_OK;
    price->epsilon_pld = l->is_discrete ? csl_dp_more(b.upper + extra, 4.0) : b.upper;
    price->epsilon_lower = l->has_lower ? b.lower : 0.0;
    return CSL_OK;
}

enum csl_code csl_account(const struct csl_dp_event *events, size_t count, double delta,
                          struct csl_price *out, struct csl_err *err)
{
    struct csl_price price = {0};
    enum csl_code code = check_events(events, count, delta, err);
    if (code != CSL_OK)
        return code;
    if (count > 0) {
        struct losses l = {.has_all = true, .has_lower = true};
        l.parts = csl_alloc_array(count + 1, sizeof(struct csl_dp_part));
        if (l.parts == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "account: no memory for %zu events", count);
        for (size_t i = 0; i < count; i++)
            add_event(&l, &events[i]);
        price.epsilon_pld = HUGE_VAL;
        price.epsilon_rdp = csl_dp_rdp_best(events, count, delta, NULL);
        double cap = l.is_discrete ? csl_dp_rdp_best(events, count, 0.5 * delta, NULL) : 0.0;
        code = price_losses(&l, delta, cap, &price, err);
        csl_free(l.parts);
    }
    if (code != CSL_OK)
        return code;
    price.epsilon = fmin(price.epsilon_rdp, price.epsilon_pld);
    price.epsilon_lower = fmin(price.epsilon_lower, price.epsilon);
    *out = price;
    return CSL_OK;
}

enum csl_code csl_account_epsilon(const struct csl_dp_event *events, size_t count, double delta,
                                  double *epsilon, struct csl_err *err)
{
    struct csl_price price;
    enum csl_code code = csl_account(events, count, delta, &price, err);
    if (code == CSL_OK)
        *epsilon = price.epsilon;
    return code;
}
