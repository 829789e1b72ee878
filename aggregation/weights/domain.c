#include "aggregation/weights/domain.h"

#include <math.h>
#include <stddef.h>

/* More skill than patients, without noise, can only be a mistake; rounding is none. */
#define SKILL_EXCESS 1e-9

void csl_domain_rule_preset(enum csl_domain_preset preset, struct csl_domain_rule *out)
{
    *out = (struct csl_domain_rule){.cap = HUGE_VAL,
                                    .skill_min = 0.05,
                                    .cell_cap = HUGE_VAL,
                                    .smoothing = 1,
                                    .step_max = HUGE_VAL,
                                    .patients_min = 1};
    switch (preset) {
    case CSL_DOMAINS_FEDAVG:
        break;
    case CSL_DOMAINS_BALANCED:
        out->alpha = 1;
        break;
    case CSL_DOMAINS_WEIGHTED:
        out->alpha = 0.5;
        out->beta = 1;
        out->cap = 2;
        out->cell_cap = 2;
        out->shrinkage = 200;
        out->smoothing = 0.1;
        out->step_max = log(1.5);
        out->gate_rounds = 10;
        break;
    case CSL_DOMAINS_DRPO:
        out->alpha = 1;
        out->beta = 2;
        out->cell_alpha = 0.5;
        out->cell_beta = 1;
        break;
    }
}

static enum csl_code check_range(const char *name, double value, double low, double high,
                                 struct csl_err *err)
{
    if (!(value >= low && value <= high))
        return CSL_FAIL(err, CSL_E_INVAL, "domain weights, %s: found %g; %g to %g would be right",
                        name, value, low, high);
    return CSL_OK;
}

enum csl_code csl_domain_rule_check(const struct csl_domain_rule *r, struct csl_err *err)
{
    const struct {
        const char *name;
        double value, low, high;
    } rows[] = {
        {"alpha", r->alpha, 0, 1},
        {"beta", r->beta, 0, 4},
        {"cap", r->cap, 1, HUGE_VAL},
        {"skill_min", r->skill_min, 1e-3, 1},
        {"cell_alpha", r->cell_alpha, 0, 1},
        {"cell_beta", r->cell_beta, 0, 4},
        {"cell_cap", r->cell_cap, 1, HUGE_VAL},
        {"shrinkage", r->shrinkage, 0, 1e9},
        {"smoothing", r->smoothing, 1e-3, 1},
        {"step_max", r->step_max, 1e-3, HUGE_VAL},
        {"patients_min", r->patients_min, 1, 1e9},
        {"noise_std", r->noise_std, 0, 1e9},
    };
    if (r->alpha > 1)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "domain weights, alpha: found %g; above 1 a site gains weight by hiding "
                        "patients, so 0 to 1 would be right",
                        r->alpha);
    enum csl_code code = CSL_OK;
    for (size_t i = 0; code == CSL_OK && i < sizeof(rows) / sizeof(rows[0]); i++)
        code = check_range(rows[i].name, rows[i].value, rows[i].low, rows[i].high, err);
    return code;
}

static double clip(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* Patients behind the skill. */
static double judged(const struct csl_domain_statistic *s)
{
    return s->judged > 0 ? s->judged : s->patients;
}

static enum csl_domain_status classify(const struct csl_domain_rule *r,
                                       const struct csl_domain_statistic *s)
{
    if (s->is_absent)
        return CSL_DOMAIN_SMALL;
    if (!isfinite(s->patients) || !isfinite(s->skill_sum) || s->patients < 0 || s->skill_sum < 0)
        return CSL_DOMAIN_REJECTED;
    if (!isfinite(s->judged) || s->judged < 0)
        return CSL_DOMAIN_REJECTED;
    if (!(r->noise_std > 0) && s->skill_sum > judged(s) * (1 + SKILL_EXCESS))
        return CSL_DOMAIN_REJECTED;
    return s->patients < r->patients_min ? CSL_DOMAIN_SMALL : CSL_DOMAIN_USED;
}

/* Of the domains whose statistic is used. */
struct summary {
    double skill[CSL_DOMAINS_MAX]; /* mu_d */
    double mean_log_patients, mean_log_skill;
};

static void summarise(const struct csl_domain_rule *r, uint32_t count,
                      const struct csl_domain_statistic *s, const enum csl_domain_status *status,
                      struct summary *out)
{
    double patients = 0, skill = 0, used = 0, log_patients = 0, log_skill = 0;
    for (uint32_t d = 0; d < count; d++) {
        if (status[d] != CSL_DOMAIN_USED)
            continue;
        patients += judged(&s[d]);
        skill += s[d].skill_sum;
    }
    double overall = patients > 0 ? clip(skill / patients, r->skill_min, 1) : 1;
    for (uint32_t d = 0; d < count; d++) {
        if (status[d] != CSL_DOMAIN_USED)
            continue;
        out->skill[d] =
            clip((s[d].skill_sum + r->shrinkage * overall) / (judged(&s[d]) + r->shrinkage),
                 r->skill_min, 1);
        log_patients += log(s[d].patients);
        log_skill += log(out->skill[d]);
        used++;
    }
    out->mean_log_patients = used > 0 ? log_patients / used : 0;
    out->mean_log_skill = used > 0 ? log_skill / used : 0;
}

/* True: the skill (as measured: a shrunk one rises with the other domains') has not risen for too
 * long. Of a value in [0, 1] with mean mu the variance is at
 * most mu (1 - mu) (Bhatia and Davis 2000); the noise of S and N adds (1 + mu^2) sigma^2 / N^2. */
static bool is_stalled(const struct csl_domain_rule *r, uint64_t round,
                       const struct csl_domain_statistic *s, struct csl_domain_memory *m)
{
    double patients = judged(s), mu = clip(s->skill_sum / patients, r->skill_min, 1);
    double noise = r->noise_std / patients;
    double variance = mu * (1 - mu) / patients + noise * noise * (1 + mu * mu);
    if (r->gate_rounds == 0)
        return false;
    if (!m->has_reference || mu - m->reference_skill > 2 * sqrt(variance + m->reference_variance)) {
        m->has_reference = true;
        m->reference_skill = mu;
        m->reference_variance = variance;
        m->reference_round = round;
        return false;
    }
    return round >= m->reference_round && round - m->reference_round >= r->gate_rounds;
}

enum csl_code csl_domain_update(const struct csl_domain_rule *rule, uint64_t round, uint32_t count,
                                const struct csl_domain_statistic *statistics,
                                struct csl_domain_memory *memory, enum csl_domain_status *status,
                                struct csl_err *err)
{
    enum csl_code code = csl_domain_rule_check(rule, err);
    if (code != CSL_OK)
        return code;
    if (count == 0 || count > CSL_DOMAINS_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "weights of %u domains; 1 to %d would be right", count,
                        CSL_DOMAINS_MAX);
    enum csl_domain_status found[CSL_DOMAINS_MAX];
    struct summary sum;
    for (uint32_t d = 0; d < count; d++)
        found[d] = classify(rule, &statistics[d]);
    summarise(rule, count, statistics, found, &sum);
    double bound = log(rule->cap);
    for (uint32_t d = 0; d < count; d++) {
        struct csl_domain_memory *m = &memory[d];
        double target = 0, share = 1;
        if (found[d] == CSL_DOMAIN_USED) {
            target = clip(-rule->alpha * (log(statistics[d].patients) - sum.mean_log_patients) -
                              rule->beta * (log(sum.skill[d]) - sum.mean_log_skill),
                          -bound, bound);
            share = m->has_moved ? rule->smoothing : 1;
            if (is_stalled(rule, round, &statistics[d], m)) {
                found[d] = CSL_DOMAIN_STALLED;
                target = 0;
            }
            m->has_moved = true;
        }
        if (found[d] != CSL_DOMAIN_REJECTED) {
            double next = (1 - share) * m->log_lambda + share * target;
            next = clip(next, m->log_lambda - rule->step_max, m->log_lambda + rule->step_max);
            m->log_lambda = clip(next, -bound, bound);
        }
        if (status != NULL)
            status[d] = found[d];
    }
    return CSL_OK;
}
