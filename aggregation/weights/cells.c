#include "aggregation/weights/cells.h"

#include <math.h>
#include <stddef.h>

static enum csl_code check_cells(uint32_t domains, const struct csl_cell *cells, uint32_t count,
                                 bool needs_skill, struct csl_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct csl_cell *c = &cells[i], *before = i > 0 ? &cells[i - 1] : NULL;
        if (c->domain >= domains)
            return CSL_FAIL(err, CSL_E_INVAL, "cell %u is of domain %u of %u", i, c->domain,
                            domains);
        if (before != NULL &&
            !(before->site < c->site || (before->site == c->site && before->domain < c->domain)))
            return CSL_FAIL(err, CSL_E_INVAL, "cell %u is not after its predecessor", i);
        if (!isfinite(c->patients) || c->patients < 0)
            return CSL_FAIL(err, CSL_E_INVAL, "cell %u has %g patients", i, c->patients);
        if (needs_skill && !(c->skill >= 0 && c->skill <= 1))
            return CSL_FAIL(err, CSL_E_INVAL, "cell %u has skill %g; 0 to 1 would be right", i,
                            c->skill);
    }
    return CSL_OK;
}

struct domain_sums {
    double cells, patients, skill; /* of cells with patients; skill times patients */
};

static double skill_of(const struct csl_domain_rule *rule, const struct csl_cell *c)
{
    return c->skill > rule->skill_min ? c->skill : rule->skill_min;
}

static double log_kappa(const struct csl_domain_rule *rule, const struct csl_cell *c,
                        const struct domain_sums *sums)
{
    double x = 0, bound = log(rule->cell_cap);
    if (rule->cell_alpha > 0)
        x -= rule->cell_alpha * (log(c->patients) + log(sums->cells) - log(sums->patients));
    if (rule->cell_beta > 0)
        x -= rule->cell_beta * (log(skill_of(rule, c)) - log(sums->skill / sums->patients));
    return x < -bound ? -bound : x > bound ? bound : x;
}

enum csl_code csl_cell_masses(const struct csl_domain_rule *rule, uint32_t domains,
                              const double *log_lambda, const struct csl_cell *cells,
                              uint32_t count, double *log_mass, struct csl_err *err)
{
    struct domain_sums sums[CSL_DOMAINS_MAX] = {{0}};
    enum csl_code code = csl_domain_rule_check(rule, err);
    if (code == CSL_OK && (domains == 0 || domains > CSL_DOMAINS_MAX))
        code = CSL_FAIL(err, CSL_E_LIMIT, "cells of %u domains", domains);
    for (uint32_t d = 0; code == CSL_OK && d < domains; d++)
        if (!isfinite(log_lambda[d]))
            code = CSL_FAIL(err, CSL_E_INVAL, "domain %u has the log weight %g", d, log_lambda[d]);
    if (code == CSL_OK)
        code = check_cells(domains, cells, count, rule->cell_beta > 0, err);
    if (code != CSL_OK)
        return code;
    for (uint32_t i = 0; i < count; i++) {
        if (!(cells[i].patients > 0))
            continue;
        struct domain_sums *s = &sums[cells[i].domain];
        s->cells++;
        s->patients += cells[i].patients;
        s->skill += rule->cell_beta > 0 ? cells[i].patients * skill_of(rule, &cells[i]) : 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t d = cells[i].domain;
        log_mass[i] = cells[i].patients > 0 ? log(cells[i].patients) + log_lambda[d] +
                                                  log_kappa(rule, &cells[i], &sums[d])
                                            : -HUGE_VAL;
    }
    return CSL_OK;
}

enum csl_code csl_cell_shares(const struct csl_cell *cells, uint32_t count, const double *log_mass,
                              const bool *has_block, double *share, struct csl_err *err)
{
    double largest = -HUGE_VAL, total = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (isnan(log_mass[i]) || log_mass[i] == HUGE_VAL)
            return CSL_FAIL(err, CSL_E_INVAL, "cell %u has the log mass %g", i, log_mass[i]);
        if ((has_block == NULL || has_block[cells[i].domain]) && log_mass[i] > largest)
            largest = log_mass[i];
    }
    if (!(largest > -HUGE_VAL))
        return CSL_FAIL(err, CSL_E_STATE, "no cell of this block has any weight");
    for (uint32_t i = 0; i < count; i++) {
        bool is_in = has_block == NULL || has_block[cells[i].domain];
        share[i] = is_in ? exp(log_mass[i] - largest) : 0;
        total += share[i];
    }
    for (uint32_t i = 0; i < count; i++)
        share[i] /= total;
    return CSL_OK;
}

double csl_effective_number(const double *share, uint32_t count)
{
    double squares = 0;
    for (uint32_t i = 0; i < count; i++)
        squares += share[i] * share[i];
    return squares > 0 ? 1 / squares : 0;
}
