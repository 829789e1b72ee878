#include "coordinator/core/weigh.h"

#include "aggregation/weights/cells.h"
#include "aggregation/weights/publication.h"
#include "base/check.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

struct statistic { /* of one site and domain */
    double judged, loss;
};

struct csl_weigher {
    const struct csl_study *study;
    struct csl_domain_rule rule;
    uint32_t sites, domains, classes; /* classes: of all domains together */
    uint32_t first_class[CSL_DOMAINS_MAX], class_count[CSL_DOMAINS_MAX];
    double *patients; /* [sites, domains] as they count; 0: the site has none */
    uint64_t reported_round;
    struct statistic *reported; /* [sites, domains] */
    double *class_mass;         /* [sites, classes] */
    struct csl_domain_memory memory[CSL_DOMAINS_MAX];
    bool has_table;
    struct csl_weights_table table;
    double *kappa;          /* [sites, domains] within a domain; 1 but for DRPO */
    struct csl_cell *cells; /* [sites * domains] scratch */
    double *log_mass;       /* likewise */
};

static void make_rule(const struct csl_study_domain_weights *w, struct csl_domain_rule *out)
{
    csl_domain_rule_preset(
        w->kind == CSL_DOMAIN_WEIGHTS_DRPO ? CSL_DOMAINS_DRPO : CSL_DOMAINS_FEDAVG, out);
    out->alpha = w->alpha;
    out->beta = w->beta;
    out->cap = w->cap;
    out->shrinkage = w->shrinkage;
    out->smoothing = w->smoothing;
    out->step_max = log(w->step_max);
    out->patients_min = w->minimum_patients;
    out->gate_rounds = w->gate_rounds;
}

enum csl_code csl_weigher_new(struct csl_weigher **out, const struct csl_study *study,
                              uint32_t sites, struct csl_err *err)
{
    struct csl_weigher *w = csl_alloc(sizeof(*w));
    if (w == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for weights of domains");
    w->study = study;
    w->sites = sites;
    w->domains = study->domain_count;
    for (uint32_t d = 0; d < w->domains; d++) {
        w->first_class[d] = w->classes;
        w->class_count[d] = study->domains[d].classes;
        w->classes += w->class_count[d];
    }
    size_t cells = (size_t)sites * w->domains;
    w->patients = csl_alloc_array(cells, sizeof(*w->patients));
    w->reported = csl_alloc_array(cells, sizeof(*w->reported));
    w->class_mass = csl_alloc_array((size_t)sites * w->classes, sizeof(*w->class_mass));
    w->kappa = csl_alloc_array(cells, sizeof(*w->kappa));
    w->cells = csl_alloc_array(cells, sizeof(*w->cells));
    w->log_mass = csl_alloc_array(cells, sizeof(*w->log_mass));
    if (w->patients == NULL || w->reported == NULL || w->class_mass == NULL || w->kappa == NULL ||
        w->cells == NULL || w->log_mass == NULL) {
        csl_weigher_free(w);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for weights of %u domains at %u sites",
                        study->domain_count, sites);
    }
    make_rule(&study->fairness.domains, &w->rule);
    enum csl_code code = csl_domain_rule_check(&w->rule, err);
    if (code != CSL_OK) {
        csl_weigher_free(w);
        return code;
    }
    *out = w;
    return CSL_OK;
}

void csl_weigher_free(struct csl_weigher *w)
{
    if (w == NULL)
        return;
    csl_free(w->patients);
    csl_free(w->reported);
    csl_free(w->class_mass);
    csl_free(w->kappa);
    csl_free(w->cells);
    csl_free(w->log_mass);
    csl_free(w);
}

static double counted(const struct csl_weigher *w, uint64_t patients)
{
    uint32_t most = w->study->fairness.domains.largest_site;
    return most > 0 && patients > most ? (double)most : (double)patients;
}

static double *patients_of(const struct csl_weigher *w, uint32_t site, uint32_t domain)
{
    return &w->patients[(size_t)site * w->domains + domain];
}

void csl_weigher_enrol(struct csl_weigher *w, uint32_t site, uint32_t count,
                       const struct csl_block_count *blocks)
{
    CSL_ASSERT(site < w->sites);
    memset(patients_of(w, site, 0), 0, w->domains * sizeof(*w->patients));
    for (uint32_t i = 0; i < count; i++)
        if (blocks[i].block < w->domains)
            *patients_of(w, site, blocks[i].block) = counted(w, blocks[i].patients);
}

/* --- statistics --- */

/* Of the round of a model, when a table comes from its evaluations. */
static bool is_due(const struct csl_weigher *w, uint64_t round)
{
    uint32_t every = w->study->fairness.domains.every;
    return round == 0 || (every > 0 && round % every == 0 && round < w->study->rounds);
}

static void begin_round(struct csl_weigher *w, uint64_t round)
{
    if (w->reported_round == round)
        return;
    memset(w->reported, 0, (size_t)w->sites * w->domains * sizeof(*w->reported));
    memset(w->class_mass, 0, (size_t)w->sites * w->classes * sizeof(*w->class_mass));
    w->reported_round = round;
}

void csl_weigher_report(struct csl_weigher *w, uint64_t round, uint32_t site,
                        const struct csl_eval_block *b)
{
    CSL_ASSERT(site < w->sites);
    bool is_made = w->has_table && w->table.round >= round;
    if (round == 0 || !is_due(w, round) || is_made || b->block >= w->domains)
        return;
    csl_weigher_catch_up(w, round - 1);
    begin_round(w, round);
    uint32_t d = b->block;
    double trains_on = *patients_of(w, site, d);
    if (!(trains_on > 0) || b->judged == 0 || b->class_count != w->class_count[d])
        return;
    double judged = (double)b->judged, scale = judged > trains_on ? trains_on / judged : 1;
    w->reported[(size_t)site * w->domains + d] =
        (struct statistic){judged * scale, b->judged_loss * scale};
    double *mass = w->class_mass + (size_t)site * w->classes + w->first_class[d];
    for (uint32_t k = 0; k < b->class_count; k++)
        mass[k] = b->class_mass[k] * scale;
}

/* Over the sites with the domain. */
struct domain_sums {
    double patients, judged, loss, prior; /* prior: entropy of the classes; 0: one class only */
    uint32_t sites;
};

static struct domain_sums add_up(const struct csl_weigher *w, uint32_t d)
{
    struct domain_sums sum = {0};
    double mass[CSL_CLASSES_MAX] = {0}, all = 0;
    for (uint32_t s = 0; s < w->sites; s++) {
        const struct statistic *r = &w->reported[(size_t)s * w->domains + d];
        double n = *patients_of(w, s, d);
        sum.patients += n;
        sum.sites += n > 0;
        sum.judged += r->judged;
        sum.loss += r->loss;
        for (uint32_t k = 0; k < w->class_count[d]; k++)
            mass[k] += w->class_mass[(size_t)s * w->classes + w->first_class[d] + k];
    }
    for (uint32_t k = 0; k < w->class_count[d]; k++)
        all += mass[k];
    for (uint32_t k = 0; k < w->class_count[d]; k++)
        if (mass[k] > 0 && mass[k] < all)
            sum.prior -= mass[k] / all * log(mass[k] / all);
    return sum;
}

/* 1 - loss / prior loss, the prior loss being that of the predictor that knows the classes' shares
 * in the federation and nothing else. */
static double skill_of(double judged, double loss, double prior)
{
    double skill = 1 - loss / judged / prior;
    return skill > 0 ? skill : 0;
}

/* --- tables --- */

/* kappa of every site and domain, from the cells' own numbers (literal DRPO). */
static void fill_kappa(struct csl_weigher *w, const struct domain_sums *sums)
{
    static const double no_weight[CSL_DOMAINS_MAX];
    struct csl_err err;
    uint32_t count = 0;
    for (uint32_t s = 0; s < w->sites; s++) {
        for (uint32_t d = 0; d < w->domains; d++) {
            const struct statistic *r = &w->reported[(size_t)s * w->domains + d];
            const struct domain_sums *all = &sums[d];
            bool is_known = all->judged > 0 && all->prior > 0;
            double skill = is_known ? skill_of(all->judged, all->loss, all->prior) : 1;
            if (is_known && r->judged > 0)
                skill = skill_of(r->judged, r->loss, all->prior);
            w->kappa[(size_t)s * w->domains + d] = 1;
            if (*patients_of(w, s, d) > 0)
                w->cells[count++] = (struct csl_cell){s, d, *patients_of(w, s, d), skill};
        }
    }
    if (count == 0)
        return;
    enum csl_code code =
        csl_cell_masses(&w->rule, w->domains, no_weight, w->cells, count, w->log_mass, &err);
    CSL_ASSERT(code == CSL_OK); /* the rule was checked, and the cells are ours */
    for (uint32_t i = 0; i < count; i++)
        w->kappa[(size_t)w->cells[i].site * w->domains + w->cells[i].domain] =
            exp(w->log_mass[i] - log(w->cells[i].patients));
}

static void make_table(struct csl_weigher *w, uint64_t round)
{
    struct csl_domain_statistic statistics[CSL_DOMAINS_MAX];
    struct domain_sums sums[CSL_DOMAINS_MAX];
    enum csl_domain_status status[CSL_DOMAINS_MAX];
    uint32_t sites[CSL_DOMAINS_MAX];
    struct csl_err err;
    const struct csl_study_domain_weights *asked = &w->study->fairness.domains;
    bool has_skill = w->rule.beta > 0;
    begin_round(w, round);
    w->table = (struct csl_weights_table){.round = round, .count = w->domains};
    for (uint32_t d = 0; d < w->domains; d++) {
        sums[d] = add_up(w, d);
        sites[d] = sums[d].sites;
        double judged = sums[d].judged;
        bool is_known = judged > 0 && sums[d].prior > 0;
        double skill = is_known ? skill_of(judged, sums[d].loss, sums[d].prior) : (double)NAN;
        w->table.rows[d].skill = skill;
        statistics[d] = (struct csl_domain_statistic){
            .patients = sums[d].patients,
            .skill_sum = has_skill ? skill * judged : sums[d].patients,
            .judged = has_skill ? judged : 0,
            .is_absent = !(sums[d].patients > 0) || (has_skill && !is_known)};
    }
    csl_publication_suppress(0, asked->minimum_sites, w->domains, sites, statistics);
    enum csl_code code =
        csl_domain_update(&w->rule, round, w->domains, statistics, w->memory, status, &err);
    CSL_ASSERT(code == CSL_OK);
    for (uint32_t d = 0; d < w->domains; d++) {
        bool is_suppressed =
            sites[d] < asked->minimum_sites || sums[d].patients < asked->minimum_patients;
        w->table.rows[d].log_weight = w->memory[d].log_lambda;
        w->table.rows[d].status = status[d];
        w->table.rows[d].patients = is_suppressed ? 0 : sums[d].patients;
    }
    fill_kappa(w, sums);
    w->has_table = true;
}

static void make_first_masked(struct csl_weigher *w)
{
    w->table = (struct csl_weights_table){.count = w->domains};
    for (uint32_t d = 0; d < w->domains; d++)
        w->table.rows[d] =
            (struct csl_weights_row){.skill = (double)NAN, .status = CSL_DOMAIN_SMALL};
    for (size_t i = 0; i < (size_t)w->sites * w->domains; i++)
        w->kappa[i] = 1;
    w->has_table = true;
}

void csl_weigher_publish(struct csl_weigher *w, uint64_t round, const struct csl_weigher_sum *sums,
                         double sigma)
{
    struct csl_domain_statistic statistics[CSL_DOMAINS_MAX];
    enum csl_domain_status status[CSL_DOMAINS_MAX];
    struct csl_err err;
    const struct csl_study_domain_weights *asked = &w->study->fairness.domains;
    csl_weigher_catch_up(w, 0);
    if (round <= w->table.round)
        return;
    w->table.round = round;
    w->rule.noise_std = sigma;
    for (uint32_t d = 0; d < w->domains; d++) {
        const struct csl_domain_statistic *sum = &sums[d].statistic;
        bool is_absent = sum->is_absent || sums[d].sites < asked->minimum_sites ||
                         sum->patients < asked->minimum_patients;
        bool has_skill = !is_absent && sums[d].has_skill;
        statistics[d] = (struct csl_domain_statistic){
            .patients = sum->patients,
            .skill_sum = w->rule.beta > 0 ? sum->skill_sum : sum->patients,
            .is_absent = is_absent || (w->rule.beta > 0 && !has_skill)};
        w->table.rows[d].patients = is_absent ? 0 : sum->patients;
        w->table.rows[d].skill = has_skill ? sum->skill_sum / sum->patients : (double)NAN;
    }
    enum csl_code code =
        csl_domain_update(&w->rule, round, w->domains, statistics, w->memory, status, &err);
    CSL_ASSERT(code == CSL_OK);
    for (uint32_t d = 0; d < w->domains; d++) {
        w->table.rows[d].log_weight = w->memory[d].log_lambda;
        w->table.rows[d].status = status[d];
    }
}

void csl_weigher_catch_up(struct csl_weigher *w, uint64_t round)
{
    if (!w->has_table && w->study->secagg.is_on)
        make_first_masked(w);
    if (!w->has_table)
        make_table(w, 0);
    if (w->study->secagg.is_on)
        return; /* tables come from publications */
    uint32_t every = w->study->fairness.domains.every;
    for (uint64_t next = w->table.round + every; every > 0 && next <= round && is_due(w, next);
         next += every)
        make_table(w, next);
}

const struct csl_weights_table *csl_weigher_table(const struct csl_weigher *w)
{
    return w->has_table ? &w->table : NULL;
}

/* Of a site's cell, before the domain's weight. */
static double cell_mass(const struct csl_weigher *w, uint32_t site, uint32_t domain)
{
    return *patients_of(w, site, domain) * w->kappa[(size_t)site * w->domains + domain];
}

double csl_weigher_mass(const struct csl_weigher *w, uint32_t site, uint32_t block,
                        uint64_t patients)
{
    CSL_ASSERT(site < w->sites);
    double n = counted(w, patients), mass = 0, all = 0;
    if (!w->has_table)
        return n;
    if (block < w->domains)
        return n * w->kappa[(size_t)site * w->domains + block];
    uint32_t input = csl_study_input_of(w->study, block); /* its adapter counts as it does */
    for (uint32_t d = 0; d < w->domains; d++) {
        if (!csl_domain_has_input(&w->study->domains[d], input))
            continue;
        mass += cell_mass(w, site, d) * exp(w->table.rows[d].log_weight);
        all += *patients_of(w, site, d);
    }
    return all > 0 ? n * (mass / all) : n;
}
