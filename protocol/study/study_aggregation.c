/* protocol/study/study_aggregation.c - section 'aggregation' of a study. */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"
#include "protocol/study/study_rounds_internal.h"

#include <string.h>

static const char *const weights_names[] = {"samples", "equal", "given", NULL};

struct raw_aggregation {
    char strategy[CSL_ID_MAX];
    double server_learning_rate, momentum, beta1, beta2, tau;
    double fairness_q, tilt, trim, mixture_rate;
    uint32_t byzantine, keep;
    const struct csl_yaml_node *weights, *averaging, *gate, *vote, *buffer;
};
struct raw_weights {
    int kind;
    const struct csl_yaml_node *sites;
};

#define AT(type, field)   .offset = offsetof(struct type, field)
#define TEXT(type, field) AT(type, field), .size = sizeof(((struct type *)0)->field)

static const struct csl_option aggregation_rows[] = {
    {.name = "strategy",
     .type = CSL_OPT_STR,
     TEXT(raw_aggregation, strategy),
     .help = "How updates become the next model."},
    {.name = "server_learning_rate",
     .type = CSL_OPT_F64,
     AT(raw_aggregation, server_learning_rate),
     .min = 0,
     .max = 1000,
     .fallback = "1",
     .help = "Step of the server; fedadam, fedyogi and fedadagrad must state it."},
    {.name = "momentum",
     .type = CSL_OPT_F64,
     AT(raw_aggregation, momentum),
     .min = 0,
     .max = 0.999999,
     .fallback = "0.9",
     .help = "Share of the last step that is kept (fedavgm)."},
    {.name = "beta1",
     .type = CSL_OPT_F64,
     AT(raw_aggregation, beta1),
     .min = 0,
     .max = 0.999999,
     .fallback = "0.9",
     .help = "Memory of the mean (fedadam, fedyogi, fedadagrad)."},
    {.name = "beta2",
     .type = CSL_OPT_F64,
     AT(raw_aggregation, beta2),
     .min = 0,
     .max = 0.99999999,
     .fallback = "0.999",
     .help = "Memory of the mean square (fedadam, fedyogi)."},
    {.name = "tau",
     .type = CSL_OPT_F64,
     AT(raw_aggregation, tau),
     .min = 0,
     .max = 1,
     .fallback = "1e-3",
     .help = "Added to the root of the mean square (fedadam, fedyogi, fedadagrad)."},
    {.name = "fairness_q",
     .type = CSL_OPT_F64,
     AT(raw_aggregation, fairness_q),
     .min = 0,
     .max = 20,
     .fallback = "0",
     .help = "Power of a site's loss by which it counts (qffl); 0 is fedavg."},
    {.name = "tilt",
     .type = CSL_OPT_F64,
     AT(raw_aggregation, tilt),
     .min = -20,
     .max = 20,
     .fallback = "0",
     .help = "Exponent per unit of a site's loss by which it counts (term); 0 is fedavg."},
    {.name = "trim",
     .type = CSL_OPT_F64,
     AT(raw_aggregation, trim),
     .min = 0,
     .max = 0.49,
     .fallback = "0",
     .help = "Share of the updates cut off at either end (trimmed-mean)."},
    {.name = "mixture_rate",
     .type = CSL_OPT_F64,
     AT(raw_aggregation, mixture_rate),
     .min = 1e-6,
     .max = 100,
     .fallback = "1",
     .help = "Step of the mixture over sites per unit of loss (afl)."},
    {.name = "byzantine",
     .type = CSL_OPT_U32,
     AT(raw_aggregation, byzantine),
     .min = 0,
     .max = 63,
     .fallback = "0",
     .help = "Updates that may be arbitrary (krum, multi-krum, bulyan)."},
    {.name = "keep",
     .type = CSL_OPT_U32,
     AT(raw_aggregation, keep),
     .min = 1,
     .max = 256,
     .fallback = "1",
     .help = "Updates that are averaged (multi-krum)."},
    {.name = "weights",
     .type = CSL_OPT_NODE,
     AT(raw_aggregation, weights),
     .help = "How much each site counts."},
    {.name = "averaging",
     .type = CSL_OPT_NODE,
     AT(raw_aggregation, averaging),
     .help = "Evaluate and release an average of the models of rounds."},
    {.name = "gate",
     .type = CSL_OPT_NODE,
     AT(raw_aggregation, gate),
     .help = "What the sum of a round has to pass before it changes the model."},
    {.name = "vote",
     .type = CSL_OPT_NODE,
     AT(raw_aggregation, vote),
     .help = "What the sites' votes on a model have to say before more rounds build on it."},
    {.name = "buffer",
     .type = CSL_OPT_NODE,
     AT(raw_aggregation, buffer),
     .help = "When an asynchronous step is made (fedbuff)."},
    CSL_OPTION_END,
};
static const struct csl_option weights_rows[] = {
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(raw_weights, kind),
     .choices = weights_names,
     .fallback = "samples",
     .help = "By training patients, all alike, or as listed."},
    {.name = "sites",
     .type = CSL_OPT_NODE,
     AT(raw_weights, sites),
     .help = "Weights of kind given: a list of {site, weight}."},
    CSL_OPTION_END,
};
static const struct csl_option given_rows[] = {
    {.name = "site", .type = CSL_OPT_ID, AT(csl_given_weight, site), .help = "Name of the site."},
    {.name = "weight",
     .type = CSL_OPT_F64,
     AT(csl_given_weight, weight),
     /* So that no site's share of 4,096 sites vanishes in the accumulator's units of 2^-40. */
     .min = 1e-3,
     .max = 1e3,
     .help = "Its weight relative to the others."},
    CSL_OPTION_END,
};

static enum csl_code read_given(const struct csl_study_reader *r, const struct csl_yaml_node *list,
                                struct csl_aggregation *a)
{
    enum csl_code code = csl_study__check_list(r, list, 1, CSL_SITES_MAX, "{site, weight} pairs");

    if (code != CSL_OK)
        return code;
    a->given = csl_alloc_array(list->child_count, sizeof(*a->given));
    if (!a->given)
        return CSL_FAIL(r->err, CSL_E_NOMEM, "no memory for %u weights", list->child_count);
    for (const struct csl_yaml_node *item = list->first_child; item; item = item->next) {
        struct csl_given_weight *g = &a->given[a->given_count];
        code = csl_study__section(r, given_rows, g, item, item, "sites");
        for (uint32_t i = 0; i < a->given_count && code == CSL_OK; i++) {
            if (strcmp(a->given[i].site, g->site) == 0)
                code = csl_yaml_fail(r->err, r->y, csl_study__at(item, "site"),
                                     "site '%s' is listed twice", g->site);
        }
        if (code != CSL_OK)
            return code;
        a->given_count++;
    }
    return CSL_OK;
}

static enum csl_code read_weights(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *parent,
                                  const struct csl_yaml_node *section)
{
    static const char *const given_keys[] = {"sites", NULL};
    struct csl_aggregation *a = &r->s->aggregation;
    struct raw_weights raw = {0};
    enum csl_code code = csl_study__section(r, weights_rows, &raw, parent, section, "weights");

    if (code != CSL_OK)
        return code;
    a->weights = (enum csl_weights_kind)raw.kind;
    if (a->weights != CSL_WEIGHTS_GIVEN)
        return csl_study__refuse_keys(r, section, given_keys, "only kind: given lists weights");
    if (!raw.sites)
        return csl_yaml_fail(r->err, r->y, section,
                             "kind: given needs 'sites', a list of {site, weight}");
    return read_given(r, raw.sites, a);
}

static bool is_adaptive(const char *strategy)
{
    return strcmp(strategy, "fedadam") == 0 || strcmp(strategy, "fedyogi") == 0 ||
           strcmp(strategy, "fedadagrad") == 0;
}

static enum csl_code check_strategy(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *section, const char *strategy)
{
    char names[256] = "one of ";
    size_t n = strlen(names), first = n;

    for (const char *const *name = csl_study__strategies; *name; name++) {
        if (strcmp(*name, strategy) == 0)
            return CSL_OK;
        size_t length = strlen(*name);
        if (n + length + 3 < sizeof(names)) {
            memcpy(names + n, ", ", 2);
            n += n > first ? 2 : 0;
            memcpy(names + n, *name, length + 1);
            n += length;
        }
    }
    return csl_study__found(r, csl_study__at(section, "strategy"), names);
}

/* A setting that a strategy does not read is refused, not ignored. */
static enum csl_code check_settings(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *section,
                                    const struct raw_aggregation *raw)
{
    static const char *const momentum_keys[] = {"momentum", NULL};
    static const char *const moment_keys[] = {"beta1", "beta2", "tau", NULL};
    static const char *const beta2_keys[] = {"beta2", NULL};
    static const char *const cyclic_keys[] = {"server_learning_rate", "weights", NULL};
    enum csl_code code = CSL_OK;

    if (strcmp(raw->strategy, "fedavgm") != 0)
        code = csl_study__refuse_keys(r, section, momentum_keys, "only strategy: fedavgm has it");
    if (code == CSL_OK && !is_adaptive(raw->strategy))
        code = csl_study__refuse_keys(r, section, moment_keys,
                                      "only fedadam, fedyogi and fedadagrad have it");
    if (code == CSL_OK && strcmp(raw->strategy, "fedadagrad") == 0)
        code = csl_study__refuse_keys(r, section, beta2_keys,
                                      "fedadagrad sums squares without forgetting");
    if (code == CSL_OK && strcmp(raw->strategy, "cyclic") == 0)
        code = csl_study__refuse_keys(r, section, cyclic_keys,
                                      "with cyclic one site at a time hands its model on");
    if (code == CSL_OK && is_adaptive(raw->strategy) &&
        !csl_yaml_get(section, "server_learning_rate"))
        code = csl_yaml_fail(r->err, r->y, section, "strategy %s needs 'server_learning_rate'",
                             raw->strategy);
    return code;
}

enum csl_code csl_study__read_aggregation(const struct csl_study_reader *r,
                                          const struct csl_yaml_node *root,
                                          const struct csl_yaml_node *section)
{
    struct csl_aggregation *a = &r->s->aggregation;
    struct raw_aggregation raw = {0};
    enum csl_code code =
        csl_study__section(r, aggregation_rows, &raw, root, section, "aggregation");

    if (code == CSL_OK)
        code = check_strategy(r, section, raw.strategy);
    if (code == CSL_OK)
        code = check_settings(r, section, &raw);
    if (code == CSL_OK)
        code = csl_study__check_strategy_keys(r, section, raw.strategy);
    if (code == CSL_OK)
        code =
            csl_study__check_positive(r, section, "server_learning_rate", raw.server_learning_rate);
    if (code == CSL_OK)
        code = csl_study__check_positive(r, section, "tau", raw.tau);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(csl_str_copy(a->strategy, sizeof(a->strategy), raw.strategy));
    a->server_learning_rate = raw.server_learning_rate;
    a->momentum = raw.momentum;
    a->beta1 = raw.beta1;
    a->beta2 = raw.beta2;
    a->tau = raw.tau;
    a->fairness_q = raw.fairness_q;
    a->tilt = raw.tilt;
    a->trim = raw.trim;
    a->mixture_rate = raw.mixture_rate;
    a->byzantine = raw.byzantine;
    a->keep = csl_yaml_get(section, "keep") ? raw.keep : 0;
    code = read_weights(r, section, raw.weights);
    if (code == CSL_OK)
        code = csl_study__read_averaging(r, section, raw.averaging);
    if (code == CSL_OK)
        code = csl_study__read_gate(r, section, raw.gate);
    if (code == CSL_OK)
        code = csl_study__read_vote(r, section, raw.vote);
    if (code == CSL_OK)
        code = csl_study__read_buffer(r, section, raw.buffer);
    return code == CSL_OK ? csl_study__check_strategy_weights(r, section) : code;
}
