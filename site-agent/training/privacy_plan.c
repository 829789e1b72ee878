#include "site-agent/training/privacy_plan.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define NOISE_MIN       1e-3 /* searched between these */
#define NOISE_MAX       1e5
#define NOISE_PRECISION 1e-5 /* relative; what is found is rounded up */

/* The sum of so many independent shares: their discrete Gaussians of 2^18 grid units and more sum
 * to one (Kairouz, Liu, Steinke 2021, Thm 11: tau is below 2^-1000 there). Rounded down. */
static void scale_to_shares(struct csl_dp_event *e, uint32_t shares)
{
    e->std_units = nextafter(e->std_units * nextafter(sqrt((double)shares), 0), 0);
    e->noise_multiplier = nextafter(e->std_units / e->l2_units, 0);
}

/* The event of one round of `domain`'s noise, sampled as planned. */
static struct csl_dp_event round_event(const struct csl_privacy_plan *p, uint32_t i,
                                       const struct csl_study *study)
{
    struct csl_dp_event e = {.sampler = CSL_DP_FULL_BATCH, .sampling_rate = 1, .steps = 1};
    if (p->mode == CSL_PRIVACY_SITE) {
        csl_noise_event(&p->site_noise, &e);
        return e;
    }
    csl_noise_event(&p->domains[i].noise, &e);
    if (p->shares > 0)
        scale_to_shares(&e, p->shares);
    e.steps = study->local.steps;
    e.sampling_rate = p->domains[i].sampling_rate;
    if (e.sampling_rate < 1)
        e.sampler = CSL_DP_POISSON;
    return e;
}

static void release_noises(struct csl_privacy_plan *p)
{
    for (uint32_t i = 0; i < p->domain_count; i++)
        csl_noise_release(&p->domains[i].noise);
    csl_noise_release(&p->site_noise);
}

/* Noise and events for one noise multiplier. */
static enum csl_code open_noises(struct csl_privacy_plan *p, const struct csl_study *study,
                                 double noise_multiplier, struct csl_err *err)
{
    uint64_t trained = 0;
    enum csl_code code = CSL_OK;
    release_noises(p);
    for (uint32_t i = 0; code == CSL_OK && i < p->domain_count; i++) {
        struct csl_private_domain *d = &p->domains[i];
        uint64_t count = d->parameters;
        double share =
            p->shares > 0 ? noise_multiplier / sqrt((double)p->shares) : noise_multiplier;
        trained += count;
        if (p->mode != CSL_PRIVACY_SITE)
            code = csl_noise_plan(&d->noise, study->privacy.clip, share, count, err);
    }
    if (code == CSL_OK && p->mode == CSL_PRIVACY_SITE)
        code = csl_noise_plan(&p->site_noise, study->privacy.clip, noise_multiplier, trained, err);
    if (code != CSL_OK)
        return code;
    p->event_count = p->mode == CSL_PRIVACY_SITE ? 1 : p->domain_count;
    for (uint32_t i = 0; i < p->event_count; i++)
        p->events[i] = round_event(p, i, study);
    p->noise_multiplier = p->events[0].noise_multiplier;
    return CSL_OK;
}

void csl_privacy_plan_events(const struct csl_privacy_plan *p, uint64_t rounds,
                             struct csl_dp_event *out)
{
    for (uint32_t i = 0; i < p->event_count; i++) {
        out[i] = p->events[i];
        out[i].steps *= rounds;
    }
}

/* Epsilon of all rounds if the noise were scaled to `noise_multiplier`; the grid stays. */
static enum csl_code price_at(const struct csl_privacy_plan *p, const struct csl_study *study,
                              double noise_multiplier, double *epsilon, struct csl_err *err)
{
    struct csl_dp_event events[CSL_DOMAINS_MAX];
    struct csl_price price;
    csl_privacy_plan_events(p, study->rounds, events);
    for (uint32_t i = 0; i < p->event_count; i++) {
        events[i].std_units = noise_multiplier * events[i].l2_units;
        events[i].noise_multiplier = nextafter(events[i].std_units / events[i].l2_units, 0.0);
    }
    enum csl_code code = csl_account(events, p->event_count, study->privacy.delta, &price, err);
    if (code == CSL_OK)
        *epsilon = price.epsilon;
    return code;
}

/* Bisection in the logarithm; `high` always satisfies the target. */
static enum csl_code solve_noise(const struct csl_privacy_plan *p, const struct csl_study *study,
                                 double *out, struct csl_err *err)
{
    double target = study->privacy.epsilon, low = NOISE_MIN, high = 1, epsilon = HUGE_VAL;
    enum csl_code code = price_at(p, study, high, &epsilon, err);
    while (code == CSL_OK && epsilon > target && high < NOISE_MAX) {
        low = high;
        high = fmin(4 * high, NOISE_MAX);
        code = price_at(p, study, high, &epsilon, err);
    }
    if (code == CSL_OK && epsilon > target)
        return CSL_FAIL(
            err, CSL_E_BUDGET,
            "no noise multiplier up to %g keeps epsilon %g at delta %g over %u rounds of "
            "%u steps; fewer steps or smaller batches would be right",
            NOISE_MAX, target, study->privacy.delta, study->rounds, study->local.steps);
    while (code == CSL_OK && high / low > 1 + NOISE_PRECISION) {
        double middle = sqrt(low * high);
        code = price_at(p, study, middle, &epsilon, err);
        if (epsilon > target)
            low = middle;
        else
            high = middle;
    }
    if (code == CSL_OK)
        *out = high;
    return code;
}

/* What a patient's contribution has in a study with inputs: the blocks of the site that learn; 0:
 * the site has none. In
 * mode joint those of all sites, of which it has zeros where this site has no block: then sites
 * that differ in their blocks find one noise, on one grid, at one price. */
static uint64_t count_parameters(const struct csl_study *study, const uint64_t *patients)
{
    bool is_joint = study->privacy.mode == CSL_PRIVACY_JOINT;
    uint64_t own = 0, all = 0;
    for (uint32_t i = 0; i < study->schema.block_count; i++) {
        const struct csl_block_spec *block = &study->schema.blocks[i];
        all += block->kind != CSL_BLOCK_FROZEN ? block->count : 0;
        own += block->kind != CSL_BLOCK_FROZEN && patients[i] > 0 ? block->count : 0;
    }
    return is_joint && own > 0 ? all : own;
}

static enum csl_code plan_domains(struct csl_privacy_plan *p, const struct csl_study *study,
                                  const uint64_t *patients, struct csl_err *err)
{
    bool is_fused = study->input_count > 0;
    for (uint32_t d = 0; d < study->domain_count; d++) {
        uint64_t own = is_fused ? patients[study->schema.block_count] : patients[d];
        if (own == 0 || (is_fused && d > 0))
            continue;
        uint64_t batch = study->local.batch_patients;
        bool is_full = batch == 0 || batch >= own;
        struct csl_private_domain *to = &p->domains[p->domain_count++];
        to->domain = d;
        to->parameters = is_fused ? count_parameters(study, patients)
                                  : study->schema.blocks[d].count; /* block d is domain d's */
        to->patients = own;
        to->expected_batch = (double)(is_full ? own : batch);
        to->sampling_rate = is_full ? 1 : csl_dp_rate((double)batch / (double)own);
        if (p->mode == CSL_PRIVACY_JOINT) { /* the divisor is of all sites: the coordinator's */
            to->sampling_rate = csl_dp_rate(study->privacy.sampling_rate);
            to->expected_batch = 1;
        }
    }
    if (p->domain_count == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "no training patients to make a privacy plan for");
    if (is_fused && p->domains[0].parameters == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "no training patients for a block that is trained");
    return CSL_OK;
}

static enum csl_code make(struct csl_privacy_plan *p, const struct csl_study *study,
                          const uint64_t *patients, struct csl_err *err)
{
    const struct csl_study_privacy *c = &study->privacy;
    struct csl_dp_event events[CSL_DOMAINS_MAX];
    struct csl_price price = {0};
    if (c->mode == CSL_PRIVACY_NONE)
        return CSL_FAIL(err, CSL_E_INVAL, "the study has no privacy to plan");
    p->mode = c->mode;
    p->delta = c->delta;
    if (c->mode == CSL_PRIVACY_JOINT)
        p->shares = study->secagg.minimum_sites - study->secagg.colluding;
    enum csl_code code = plan_domains(p, study, patients, err);
    double noise = c->epsilon > 0 ? 1 : c->noise_multiplier;
    if (code == CSL_OK)
        code = open_noises(p, study, noise, err);
    if (code == CSL_OK && c->epsilon > 0)
        code = solve_noise(p, study, &noise, err);
    /* The grid of the noise found can differ from that of the search: what it is is priced again.
     */
    for (bool is_priced = false; code == CSL_OK && !is_priced; noise *= 1 + NOISE_PRECISION) {
        code = open_noises(p, study, noise, err);
        csl_privacy_plan_events(p, study->rounds, events);
        if (code == CSL_OK)
            code = csl_account(events, p->event_count, c->delta, &price, err);
        is_priced = c->epsilon == 0 || price.epsilon <= c->epsilon;
    }
    p->epsilon = price.epsilon;
    return code;
}

enum csl_code csl_privacy_plan_make(struct csl_privacy_plan *out, const struct csl_study *study,
                                    const uint64_t *patients, struct csl_err *err)
{
    memset(out, 0, sizeof(*out));
    enum csl_code code = make(out, study, patients, err);
    if (code != CSL_OK)
        csl_privacy_plan_release(out);
    return code;
}

/* One step for each sum, those with equally many unknown shares together. Returns the events. */
static size_t count_sums(const struct csl_privacy_plan *p, uint32_t known,
                         const uint32_t *survivors, size_t rounds, struct csl_dp_event *events)
{
    size_t count = 0;
    for (size_t i = 0; i < rounds; i++) {
        struct csl_dp_event e = p->events[0];
        csl_noise_event(&p->domains[0].noise, &e);
        scale_to_shares(&e, survivors[i] - known);
        size_t at = 0;
        while (at < count && events[at].std_units != e.std_units)
            at++;
        if (at < count)
            events[at].steps += e.steps;
        else
            events[count++] = e;
    }
    return count;
}

enum csl_code csl_privacy_plan_realised(const struct csl_privacy_plan *p, uint32_t known,
                                        const uint32_t *survivors, size_t rounds, double *epsilon,
                                        struct csl_err *err)
{
    if (p->mode != CSL_PRIVACY_JOINT || p->domain_count != 1 || p->event_count != 1)
        return CSL_FAIL(err, CSL_E_INVAL, "only sums of mode joint hold shares of a noise");
    for (size_t i = 0; i < rounds; i++)
        if (survivors[i] <= known)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "sum %zu: found %u survivors, of whom %u are known; more would be "
                            "right: there is no noise left in it",
                            i + 1, survivors[i], known);
    struct csl_dp_event *events = csl_alloc_array(rounds > 0 ? rounds : 1, sizeof(*events));
    if (events == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the price of %zu rounds", rounds);
    size_t count = count_sums(p, known, survivors, rounds, events);
    enum csl_code code = csl_account_epsilon(events, count, p->delta, epsilon, err);
    csl_free(events);
    return code;
}

void csl_privacy_plan_release(struct csl_privacy_plan *p)
{
    release_noises(p);
    memset(p, 0, sizeof(*p));
}
