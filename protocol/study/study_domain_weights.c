/* protocol/study/study_domain_weights.c - fairness.domain_weights: domains that are rare or that
 * the model does badly in count more on the inputs that several domains read. */
#include "base/check.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

struct raw_weights {
    int kind;
    struct csl_study_domain_weights w;
};
#define AT(field) .offset = offsetof(struct raw_weights, field)

static const char *const kinds[] = {"none", "balanced", "domain", "drpo", NULL};

const char *csl_domain_weights_name(enum csl_domain_weights_kind kind)
{
    CSL_ASSERT(kind < CSL_DOMAIN_WEIGHTS_COUNT);
    return kinds[kind];
}

static const struct csl_option weight_rows[] = {
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(kind),
     .choices = kinds + CSL_DOMAIN_WEIGHTS_BALANCED, /* a study without says nothing */
     .help = "balanced: by rarity alone; domain: by rarity and difficulty, with a cap; drpo: "
             "without a bound, for comparison."},
    {.name = "alpha",
     .type = CSL_OPT_F64,
     AT(w.alpha),
     .min = 0,
     .max = 1,
     .fallback = "0.5",
     .help = "How much rarity counts: patients of a domain to this power, inverted."},
    {.name = "beta",
     .type = CSL_OPT_F64,
     AT(w.beta),
     .min = 0.01,
     .max = 4,
     .fallback = "1",
     .help = "How much difficulty counts: the model's skill in a domain to this power, inverted."},
    {.name = "cap",
     .type = CSL_OPT_F64,
     AT(w.cap),
     .min = 1,
     .max = 16,
     .fallback = "2",
     .help = "A weight is at most this and at least its inverse."},
    {.name = "every",
     .type = CSL_OPT_U32,
     AT(w.every),
     .min = 1,
     .max = CSL_ROUNDS_MAX,
     .fallback = "10",
     .unit = "rounds",
     .help = "After how many rounds new weights come from new evaluations."},
    {.name = "smoothing",
     .type = CSL_OPT_F64,
     AT(w.smoothing),
     .min = 0.001,
     .max = 1,
     .fallback = "0.1",
     .help = "Share of a new value in the logarithm of a weight; 1: no memory."},
    {.name = "step_max",
     .type = CSL_OPT_F64,
     AT(w.step_max),
     .min = 1.001,
     .max = 1000000,
     .fallback = "1.5",
     .help = "A weight changes by at most this factor at once."},
    {.name = "shrinkage",
     .type = CSL_OPT_F64,
     AT(w.shrinkage),
     .min = 0,
     .max = 1000000,
     .fallback = "200",
     .unit = "patients",
     .help = "So many patients with the mean skill of all domains are added to each domain."},
    {.name = "gate_rounds",
     .type = CSL_OPT_U32,
     AT(w.gate_rounds),
     .min = 0,
     .max = CSL_ROUNDS_MAX,
     .fallback = "10",
     .unit = "rounds",
     .help = "A domain whose skill does not rise for so long goes back to 1; 0: never."},
    {.name = "minimum_patients",
     .type = CSL_OPT_U32,
     AT(w.minimum_patients),
     .min = 1,
     .max = 1000000,
     .fallback = "1",
     .unit = "patients",
     .help = "A domain with fewer training patients has weight 1."},
    {.name = "minimum_sites",
     .type = CSL_OPT_U32,
     AT(w.minimum_sites),
     .min = 1,
     .max = CSL_SITES_MAX,
     .fallback = "1",
     .unit = "sites",
     .help = "A domain at fewer sites has weight 1."},
    {.name = "largest_site",
     .type = CSL_OPT_U32,
     AT(w.largest_site),
     .min = 0,
     .max = 1000000000,
     .fallback = "0",
     .unit = "patients",
     .help = "With at most so many patients one site counts in a block; 0: with all."},
    {.name = "effective_sites",
     .type = CSL_OPT_F64,
     AT(w.effective_sites),
     .min = 1,
     .max = CSL_SITES_MAX,
     .fallback = "1",
     .help = "A site refuses weights that may be those of fewer contributors; needs largest_site."},
    CSL_OPTION_END,
};

/* What DRPO says is not the study's to change; balanced averaging looks at no evaluation. */
static enum csl_code check_keys(const struct csl_study_reader *r,
                                const struct csl_yaml_node *section,
                                enum csl_domain_weights_kind kind)
{
    static const char *const bounds[] = {"cap", NULL};
    static const char *const evaluated[] = {"every", NULL};
    static const char *const guards[] = {"alpha",     "beta",        "smoothing", "step_max",
                                         "shrinkage", "gate_rounds", NULL};
    enum csl_code code = CSL_OK;

    if (kind != CSL_DOMAIN_WEIGHTS_DOMAIN)
        code = csl_study__refuse_keys(r, section, guards, "only kind: domain has a choice");
    if (code == CSL_OK && kind == CSL_DOMAIN_WEIGHTS_DRPO)
        code = csl_study__refuse_keys(r, section, bounds, "drpo has no bound");
    if (code == CSL_OK && kind == CSL_DOMAIN_WEIGHTS_BALANCED)
        code = csl_study__refuse_keys(r, section, evaluated,
                                      "counts do not change once training has begun");
    return code;
}

enum csl_code csl_study__read_domain_weights(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *parent,
                                             const struct csl_yaml_node *section)
{
    struct raw_weights raw = {0};
    struct csl_study_domain_weights *w = &raw.w;
    if (section == NULL)
        return CSL_OK;
    enum csl_code code =
        csl_study__section(r, weight_rows, &raw, parent, section, "domain_weights");
    if (code != CSL_OK)
        return code;
    w->kind = (enum csl_domain_weights_kind)(raw.kind + CSL_DOMAIN_WEIGHTS_BALANCED);
    code = check_keys(r, section, w->kind);
    if (code != CSL_OK)
        return code;
    if (w->effective_sites > 1 && w->largest_site == 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "effective_sites"),
                             "no number of contributors is certain while a site may have any "
                             "number of patients; 'largest_site' beside it would be right");
    if (w->kind != CSL_DOMAIN_WEIGHTS_DOMAIN) {
        w->alpha = 1;
        w->beta = w->kind == CSL_DOMAIN_WEIGHTS_DRPO ? 2 : 0;
        w->shrinkage = 0;
        w->smoothing = 1;
        w->step_max = HUGE_VAL;
        w->gate_rounds = 0;
        if (csl_yaml_get(section, "cap") == NULL)
            w->cap = HUGE_VAL;
    }
    if (w->kind == CSL_DOMAIN_WEIGHTS_BALANCED)
        w->every = 0;
    r->s->fairness.domains = *w;
    return CSL_OK;
}

static bool has_shared_input(const struct csl_study *s)
{
    for (uint32_t i = 0; i < s->input_count; i++) {
        uint32_t readers = 0;
        for (uint32_t d = 0; d < s->domain_count; d++)
            readers += csl_domain_has_input(&s->domains[d], i);
        bool is_sent = s->inputs[i].block_kind == CSL_BLOCK_SHARED || s->inputs[i].adapter.rank > 0;
        if (readers > 1 && is_sent)
            return true;
    }
    return false;
}

static enum csl_code check_counted(const struct csl_study_reader *r, const struct csl_yaml_node *at)
{
    const struct csl_study *s = r->s;
    for (uint32_t d = 0; d < s->domain_count; d++)
        if (!csl_domain_is_counted(&s->domains[d]))
            return csl_yaml_fail(r->err, r->y, at,
                                 "the skill of domain %s, whose records have no single class, is "
                                 "not measured in this version; kind: balanced would be right",
                                 s->domains[d].id);
    return CSL_OK;
}

/* Under masks weights come from published statistics, and sites multiply: a weight without a bound
 * fits no word, and what depends on one site's own skill is not in a sum. In mode joint patients
 * are weighed one by one, behind their clip, and nothing may bound what one site has of them. */
static enum csl_code check_masked(const struct csl_study_reader *r, const struct csl_yaml_node *at)
{
    struct csl_study *s = r->s;
    struct csl_study_domain_weights *w = &s->fairness.domains;
    const struct csl_yaml_node *every = csl_yaml_get(at, "every");
    if (w->kind == CSL_DOMAIN_WEIGHTS_DRPO)
        return csl_yaml_fail(r->err, r->y, csl_study__at(at, "kind"),
                             "drpo weighs sites by their own skill, which nobody sees under masks; "
                             "kind: domain or balanced would be right");
    if (!s->statistics.is_on)
        return csl_yaml_fail(r->err, r->y, at,
                             "under masks weights come from sums that the sites publish; a section "
                             "'statistics' would be right");
    if (s->privacy.mode == CSL_PRIVACY_JOINT && w->largest_site > 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(at, "largest_site"),
                             "in mode joint each patient is weighed, clipped, whatever else the "
                             "site has; leaving it out would be right");
    if (!(w->cap < HUGE_VAL))
        return csl_yaml_fail(r->err, r->y, at,
                             "under masks sites multiply in words of bounded size; a 'cap' would "
                             "be right");
    if (w->effective_sites > 1)
        return csl_yaml_fail(r->err, r->y, csl_study__at(at, "effective_sites"),
                             "published numbers of patients are not cut at largest_site, so they "
                             "bound no number of contributors; leaving it out would be right under "
                             "masks");
    if (every != NULL && w->every != s->statistics.every)
        return csl_yaml_fail(r->err, r->y, every,
                             "found %u, but weights come from statistics, every %u rounds; leaving "
                             "it out would be right",
                             w->every, s->statistics.every);
    w->every = s->statistics.every;
    return w->kind == CSL_DOMAIN_WEIGHTS_DOMAIN ? check_counted(r, at) : CSL_OK;
}

/* What each domain's weight comes from has to reach the coordinator, and may. (Mode site, which
 * hides numbers of patients, has weights of kind equal and does not come here.) */
static enum csl_code check_statistics(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *at)
{
    const struct csl_study *s = r->s;
    const struct csl_study_domain_weights *w = &s->fairness.domains;
    if (s->secagg.is_on)
        return check_masked(r, at);
    if (w->kind != CSL_DOMAIN_WEIGHTS_BALANCED && s->privacy.mode != CSL_PRIVACY_NONE)
        return csl_yaml_fail(r->err, r->y, at,
                             "the skill of a domain comes from losses of validation patients, "
                             "which nothing noises and no ledger is charged for; privacy mode "
                             "none, or kind: balanced, would be right");
    if (w->kind == CSL_DOMAIN_WEIGHTS_BALANCED)
        return CSL_OK;
    enum csl_code code = check_counted(r, at);
    if (code != CSL_OK)
        return code;
    if (w->every >= s->rounds)
        return csl_yaml_fail(r->err, r->y, csl_study__at(at, "every"),
                             "found %u, but the study has %u rounds; no round would have weights",
                             w->every, s->rounds);
    if (s->evaluate_every == 0 || w->every % s->evaluate_every != 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(at, "every"),
                             "found %u, a multiple of evaluation.every (%u; 0: at the end only) "
                             "would be right, because weights come from evaluations",
                             w->every, s->evaluate_every);
    return CSL_OK;
}

enum csl_code csl_study__check_domain_weights(const struct csl_study_reader *r,
                                              const struct csl_yaml_node *root)
{
    static const char *const allowed[] = {"fedavg",  "fedprox", "fedavgm",
                                          "fedadam", "fedyogi", "fedadagrad"};
    const struct csl_study *s = r->s;
    bool is_allowed = false;
    if (s->fairness.domains.kind == CSL_DOMAIN_WEIGHTS_NONE)
        return CSL_OK;
    const struct csl_yaml_node *at =
        csl_study__at(csl_study__at(root, "fairness"), "domain_weights");
    for (uint32_t d = 0; d < s->domain_count; d++)
        if (s->input_count > 0 && s->domains[d].block_kind != CSL_BLOCK_SHARED)
            return csl_yaml_fail(r->err, r->y, at,
                                 "how many patients domain %s has is not in what sites enrol with, "
                                 "since its head is not sent; train: all would be right",
                                 s->domains[d].id);
    if (!has_shared_input(s))
        return csl_yaml_fail(r->err, r->y, at,
                             "a domain's weight acts on inputs that two domains read, and cancels "
                             "on what one domain has for itself; this study has no such input");
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        is_allowed = is_allowed || strcmp(s->aggregation.strategy, allowed[i]) == 0;
    if (!is_allowed)
        return csl_yaml_fail(r->err, r->y, at,
                             "strategy %s has weights of its own; fedavg, fedprox, fedavgm, "
                             "fedadam, fedyogi or fedadagrad would be right",
                             s->aggregation.strategy);
    if (s->aggregation.weights != CSL_WEIGHTS_SAMPLES)
        return csl_yaml_fail(r->err, r->y, at,
                             "weights of domains multiply numbers of patients; "
                             "aggregation.weights: {kind: samples} would be right");
    return check_statistics(r, at);
}

static void number(char out[32], double v)
{
    if (v < HUGE_VAL)
        csl_str_f64(out, 32, v);
    else
        csl_str_copy(out, 32, "no bound");
}

void csl_study__explain_domain_weights(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_domain_weights *w = &s->fairness.domains;
    char alpha[32], beta[32], cap[32];

    if (w->kind == CSL_DOMAIN_WEIGHTS_NONE)
        return;
    number(alpha, w->alpha);
    number(beta, w->beta);
    number(cap, w->cap);
    csl_buf_printf(out,
                   "Weights of domains: %s\n  On inputs that several domains read, a site counts "
                   "by its patients times the weight of its domains: the\n    patients of a domain "
                   "in the federation to the power -%s, its skill to the power -%s, relative to "
                   "the\n    other domains; cap: %s.\n",
                   csl_domain_weights_name(w->kind), alpha, beta, cap);
    if (s->secagg.is_on)
        csl_buf_str(out,
                    "  They come from the published statistics, and hold from the round after "
                    "a publication on. Until the first\n    all weights are 1. Each site "
                    "multiplies inside its masks; what it signs covers the table, so that all\n"
                    "    sites of a sum have the same one.\n");
    if (s->privacy.mode == CSL_PRIVACY_JOINT)
        csl_buf_str(out,
                    "  A patient's clipped gradient in such an input counts by the weight over the "
                    "largest one, so that no patient\n    counts more than the clip. The noise "
                    "stays what it is, and counts against the weighted mean for as much more\n"
                    "    as the largest weight is above the mean one.\n");
    else if (w->kind == CSL_DOMAIN_WEIGHTS_BALANCED)
        csl_buf_str(out, "  The weights come from what the sites enrol with.\n");
    else
        csl_buf_printf(out,
                       "  Every %u rounds each site reports, for each domain, how many validation "
                       "patients it has (training patients\n    where it has none), their loss "
                       "added up, and how many are of each class. Until then all weights are 1.\n",
                       w->every);
    csl_buf_str(out, "  Every site is told the weights and the patients of each domain in the "
                     "whole federation, and checks the\n    weights before it trains.\n");
    if (w->kind == CSL_DOMAIN_WEIGHTS_DRPO)
        csl_buf_str(out, "  Without a bound a small domain with wrong labels can take over what "
                         "domains share: for comparison only.\n");
}
