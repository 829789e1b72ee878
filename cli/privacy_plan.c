/* cli/privacy_plan.c - `consilium privacy plan`: every site's noise, what it will have spent after
 * every round, who runs out first, and what the smallest site adds to the noise of all. */
#include "cli/privacy_plan.h"

#include "base/mem.h"
#include "base/progress.h"

#include <math.h>
#include <string.h>

enum csl_code csl_plan_epsilon(const struct csl_plan *p, uint32_t site, uint64_t rounds,
                               double *epsilon, struct csl_err *err)
{
    const struct csl_privacy_plan *plan = &p->sites[site].plan;
    struct csl_dp_event events[CSL_DOMAINS_MAX];
    struct csl_price price;

    csl_privacy_plan_events(plan, rounds, events);
    enum csl_code code = csl_account(events, plan->event_count, plan->delta, &price, err);
    if (code == CSL_OK)
        *epsilon = price.epsilon;
    return code;
}

/* The last round that the budget pays for: epsilon never falls with the rounds. */
static enum csl_code find_last_round(struct csl_plan *p, uint32_t site, struct csl_err *err)
{
    struct csl_plan_site *s = &p->sites[site];
    uint64_t low = 0, high = p->study->rounds;
    double epsilon = 0;
    enum csl_code code = CSL_OK;

    s->lasts = high;
    if (p->budget <= 0 || s->plan.epsilon <= p->budget)
        return CSL_OK;
    while (code == CSL_OK && high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        code = csl_plan_epsilon(p, site, middle, &epsilon, err);
        if (epsilon <= p->budget)
            low = middle;
        else
            high = middle;
    }
    s->lasts = low;
    return code;
}

static enum csl_code plan_site(struct csl_plan *p, uint32_t site, struct csl_err *err)
{
    struct csl_plan_site *s = &p->sites[site];
    struct csl_err why = {0};
    enum csl_code code = csl_privacy_plan_make(&s->plan, p->study, s->patients, &why);

    if (code != CSL_OK)
        return CSL_FAIL(err, code, "site %s: %.300s", s->id, why.msg);
    s->has_large_delta = p->study->privacy.mode != CSL_PRIVACY_SITE &&
                         p->study->privacy.delta * (double)s->total >= 1;
    return find_last_round(p, site, err);
}

static void find_first_out(struct csl_plan *p)
{
    for (uint32_t i = 1; i < p->count; i++) {
        const struct csl_plan_site *s = &p->sites[i], *first = &p->sites[p->first_out];
        if (s->lasts < first->lasts ||
            (s->lasts == first->lasts && s->plan.epsilon > first->plan.epsilon))
            p->first_out = i;
    }
}

/* --- noise in the mean --- */

static double weight_of(const struct csl_study *study, const struct csl_plan_site *s, uint32_t d)
{
    const struct csl_aggregation *a = &study->aggregation;

    if (a->weights == CSL_WEIGHTS_SAMPLES)
        return (double)s->patients[d];
    for (uint32_t i = 0; a->weights == CSL_WEIGHTS_GIVEN && i < a->given_count; i++)
        if (strcmp(a->given[i].site, s->id) == 0)
            return a->given[i].weight;
    return a->weights == CSL_WEIGHTS_EQUAL ? 1 : 0;
}

/* Per parameter of the site's update. Mode local: one draw a step, added up by plain descent at the
 * full rate, which no schedule exceeds; to first order, since later steps shrink or stretch it. */
static double update_std(const struct csl_study *study, const struct csl_plan_site *s, uint32_t d)
{
    const struct csl_privacy_plan *p = &s->plan;
    double clip = study->privacy.clip;

    if (p->mode == CSL_PRIVACY_SITE)
        return p->noise_multiplier * clip;
    for (uint32_t i = 0; i < p->domain_count; i++)
        if (study->input_count > 0 || p->domains[i].domain == d)
            return study->local.learning_rate * sqrt((double)study->local.steps) *
                   p->events[i].noise_multiplier * clip / p->domains[i].expected_batch;
    return 0;
}

static void spread_noise(struct csl_plan *p, uint32_t d)
{
    bool is_known =
        p->study->privacy.mode == CSL_PRIVACY_SITE || p->study->local.optimizer == CSL_OPT_KIND_SGD;
    bool is_sent = p->study->schema.blocks[d].kind == CSL_BLOCK_SHARED; /* block d is domain d's */
    double weights = 0, variance = 0;

    p->smallest[d] = UINT32_MAX;
    for (uint32_t i = 0; i < p->count; i++) {
        struct csl_plan_site *s = &p->sites[i];
        s->noise[d].is_there = is_sent && s->patients[d] > 0;
        if (!s->noise[d].is_there)
            continue;
        weights += weight_of(p->study, s, d);
        if (p->smallest[d] == UINT32_MAX || s->patients[d] < p->sites[p->smallest[d]].patients[d])
            p->smallest[d] = i;
    }
    for (uint32_t i = 0; i < p->count; i++) {
        struct csl_plan_noise *n = &p->sites[i].noise[d];
        if (!n->is_there || weights <= 0)
            continue;
        n->weight = weight_of(p->study, &p->sites[i], d) / weights;
        n->std = n->weight * update_std(p->study, &p->sites[i], d);
        variance += n->std * n->std;
    }
    for (uint32_t i = 0; i < p->count; i++) {
        struct csl_plan_noise *n = &p->sites[i].noise[d];
        n->share = variance > 0 ? n->std * n->std / variance : 0;
        if (!is_known)
            n->std = (double)NAN;
    }
}

/* --- the command --- */

/* What the flags put in place of the study's own words. */
static void override(struct csl_plan *p, struct csl_study *changed,
                     const struct csl_privacy_flags *flags)
{
    struct csl_study_privacy *privacy = &changed->privacy;

    p->budget = flags->epsilon > 0 ? flags->epsilon : privacy->epsilon;
    if (flags->rounds > 0)
        changed->rounds = flags->rounds;
    if (flags->noise > 0) {
        privacy->noise_multiplier = flags->noise;
        privacy->epsilon = 0;
    } else if (flags->epsilon > 0) {
        privacy->epsilon = flags->epsilon;
        privacy->noise_multiplier = 0;
    }
    p->is_noise_fixed = privacy->epsilon == 0;
}

static enum csl_code make_plan(struct csl_plan *p, const char *path,
                               const struct csl_privacy_flags *flags, struct csl_err *err)
{
    struct csl_progress progress;
    enum csl_code code = csl_plan_take_survivors(p, flags->survivors, err);

    if (code == CSL_OK)
        code = csl_plan_find_sites(p, path, flags, err);

    if (code != CSL_OK)
        return code;
    csl_progress_start(&progress, stderr, "privacy plan", "sites", p->count);
    for (uint32_t i = 0; i < p->count && code == CSL_OK; i++) {
        code = plan_site(p, i, err);
        csl_progress_update(&progress, i + 1);
    }
    csl_progress_finish(&progress);
    if (code != CSL_OK)
        return code;
    find_first_out(p);
    for (uint32_t d = 0; d < p->study->domain_count; d++)
        spread_noise(p, d);
    return CSL_OK;
}

static int print_plan(struct csl_plan *p, bool is_json)
{
    struct csl_err err = {0};
    struct csl_buf out;

    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    enum csl_code code = is_json ? csl_plan_json(p, &out, &err) : csl_plan_text(p, &out, &err);
    if (code != CSL_OK) {
        csl_buf_release(&out);
        return csl_cli_fail_as(&csl_doc_privacy, &err, is_json);
    }
    bool is_enough = p->sites[p->first_out].lasts >= p->study->rounds;
    return csl_cli_print(&out, is_enough ? CSL_EXIT_DONE : CSL_EXIT_NEGATIVE);
}

static int no_privacy(const struct csl_study *study, bool is_json)
{
    struct csl_err err = {0};

    (void)CSL_FAIL(&err, CSL_E_STATE,
                   "study %s has no privacy (mode none): no noise is added, no epsilon can be "
                   "stated and there is nothing to plan; privacy: {mode: local, epsilon: ..., "
                   "delta: ..., clip: ...} would be right",
                   study->id);
    (void)csl_cli_fail_as(&csl_doc_privacy, &err, is_json);
    return CSL_EXIT_NEGATIVE;
}

static int plan_study(const struct csl_study *study, const struct csl_privacy_flags *flags,
                      const char *path)
{
    struct csl_study *changed = csl_alloc(sizeof(*changed));
    struct csl_plan p = {0};
    struct csl_err err = {0};
    enum csl_code code;

    if (changed == NULL) {
        (void)CSL_FAIL(&err, CSL_E_NOMEM, "no memory for the study");
        return csl_cli_fail_as(&csl_doc_privacy, &err, flags->json);
    }
    *changed = *study; /* borrows everything; the study itself stays as it was read */
    override(&p, changed, flags);
    p.study = changed;
    code = make_plan(&p, path, flags, &err);
    int status = code == CSL_OK ? print_plan(&p, flags->json)
                                : csl_cli_fail_as(&csl_doc_privacy, &err, flags->json);
    csl_plan_release(&p);
    csl_free(changed);
    return status;
}

int csl_cli_privacy_plan(const struct csl_privacy_flags *flags, const char *path)
{
    struct csl_study *study = NULL;
    struct csl_err err = {0};

    if (csl_study_read(&study, path, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_privacy, &err, flags->json);
    int status = study->privacy.mode == CSL_PRIVACY_NONE ? no_privacy(study, flags->json)
                                                         : plan_study(study, flags, path);
    csl_study_free(study);
    return status;
}
