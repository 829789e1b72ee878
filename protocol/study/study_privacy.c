/* protocol/study/study_privacy.c - what one patient or one site may cost, and what a study with
 * such a promise must not ask for. */
#include "base/check.h"
#include "protocol/study/study_internal.h"

#include <string.h>

static const char *const mode_names[] = {"none", "local", "site", "joint", NULL};
static const char *const unit_names[] = {"patient", "site", NULL};

const char *csl_privacy_mode_name(enum csl_privacy_mode m)
{
    CSL_ASSERT(m <= CSL_PRIVACY_JOINT);
    return mode_names[m];
}

struct raw_privacy {
    int mode, unit;
    double epsilon, noise_multiplier, delta, clip, sampling_rate;
};

struct raw_secagg {
    int protocol;
    int graph;
    uint32_t colluding, minimum_sites, audit_chunks, losses_max;
    const struct csl_yaml_node *encoding;
};
static const char *const protocol_names[] = {"fsa-1", NULL};
static const char *const graph_names[] = {"complete", "sparse", NULL};

#define AT(field) .offset = offsetof(struct raw_privacy, field)

static const struct csl_option privacy_rows[] = {
    {.name = "mode",
     .type = CSL_OPT_ENUM,
     AT(mode),
     .choices = mode_names,
     .help = "Who is protected by noise: nobody, each patient at each site, or each site."},
    {.name = "unit",
     .type = CSL_OPT_ENUM,
     AT(unit),
     .choices = unit_names,
     .fallback = "patient",
     .help = "What is added or removed: patient with mode local, site with mode site."},
    {.name = "epsilon",
     .type = CSL_OPT_F64,
     AT(epsilon),
     .min = 0,
     .max = 1000,
     .fallback = "0",
     .help = "What each site spends over all rounds; every site solves for its own noise."},
    {.name = "noise_multiplier",
     .type = CSL_OPT_F64,
     AT(noise_multiplier),
     .min = 0,
     .max = 1e6,
     .fallback = "0",
     .help = "Noise standard deviation over clip, in place of epsilon."},
    {.name = "delta",
     .type = CSL_OPT_F64,
     AT(delta),
     .min = 0,
     .max = 0.1,
     .fallback = "0",
     .help = "Probability with which the promise may fail; below one over the number of patients."},
    {.name = "clip",
     .type = CSL_OPT_F64,
     AT(clip),
     .min = 0,
     .max = 1e6,
     .fallback = "0",
     .help = "L2 norm to which one unit's contribution to a step is clipped."},
    {.name = "sampling_rate",
     .type = CSL_OPT_F64,
     AT(sampling_rate),
     .min = 0,
     .max = 1,
     .fallback = "0",
     .help = "With mode joint: the rate at which every site draws its patients in a step."},
    CSL_OPTION_END,
};

static enum csl_code need_positive(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *section, const char *key,
                                   double value)
{
    if (value > 0)
        return CSL_OK;
    if (!csl_yaml_get(section, key))
        return csl_yaml_fail(r->err, r->y, section,
                             "key '%s' is missing; a number above 0 would "
                             "be right",
                             key);
    return csl_yaml_fail(r->err, r->y, csl_study__at(section, key),
                         "found %g; a number above 0 would be right", value);
}

static enum csl_code check_section(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *section,
                                   const struct raw_privacy *raw)
{
    static const char *const all[] = {
        "unit", "epsilon", "noise_multiplier", "delta", "clip", "sampling_rate", NULL};
    static const char *const joint_keys[] = {"sampling_rate", NULL};
    static const char *const derived[] = {"clip", "sampling_rate", NULL};
    bool has_epsilon = csl_yaml_get(section, "epsilon") != NULL;
    bool has_noise = csl_yaml_get(section, "noise_multiplier") != NULL;
    bool is_site = raw->mode == CSL_PRIVACY_SITE;
    enum csl_code code;

    if (raw->mode == CSL_PRIVACY_NONE)
        return csl_study__refuse_keys(r, section, all, "mode: none promises nothing");
    if (r->s->census.is_on) {
        code = csl_study__refuse_keys(r, section, derived,
                                      "what one patient adds to statistics follows from the "
                                      "features and their ranges, and every patient is counted");
        if (code == CSL_OK && is_site)
            code = csl_yaml_fail(r->err, r->y, csl_study__at(section, "mode"),
                                 "noise that hides a whole site leaves no statistics; local or "
                                 "joint would be right");
        if (code != CSL_OK)
            return code;
    }
    if (has_epsilon == has_noise)
        return csl_yaml_fail(r->err, r->y, section,
                             "found %s; either 'epsilon' or 'noise_multiplier' would be right",
                             has_epsilon ? "both epsilon and noise_multiplier"
                                         : "neither epsilon nor noise_multiplier");
    code = has_epsilon ? need_positive(r, section, "epsilon", raw->epsilon)
                       : need_positive(r, section, "noise_multiplier", raw->noise_multiplier);
    if (code == CSL_OK)
        code = need_positive(r, section, "delta", raw->delta);
    if (code == CSL_OK)
        code = need_positive(r, section, "clip", raw->clip);
    if (code == CSL_OK && raw->mode == CSL_PRIVACY_JOINT)
        code = need_positive(r, section, "sampling_rate", raw->sampling_rate);
    else if (code == CSL_OK)
        code = csl_study__refuse_keys(r, section, joint_keys,
                                      "with this mode the rate follows from batch_patients");
    if (code == CSL_OK && csl_yaml_get(section, "unit") && (raw->unit == 1) != is_site)
        code = csl_study__found(r, csl_study__at(section, "unit"),
                                is_site ? "mode site protects sites: unit: site"
                                        : "this mode protects patients: unit: patient");
    return code;
}

enum csl_code csl_study__read_privacy(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root,
                                      const struct csl_yaml_node *section)
{
    struct raw_privacy raw = {0};
    enum csl_code code;

    if (!section) /* nothing is asked, nothing is promised: `study check` says so in words */
        return CSL_OK;
    code = csl_study__section(r, privacy_rows, &raw, root, section, "privacy");
    if (r->s->census.is_on && raw.mode != CSL_PRIVACY_NONE) { /* neither is the file's */
        raw.clip = csl_study_census_clip(r->s);
        raw.sampling_rate = raw.mode == CSL_PRIVACY_JOINT ? 1 : 0;
    }
    if (code == CSL_OK)
        code = check_section(r, section, &raw);
    if (code != CSL_OK)
        return code;
    r->s->privacy = (struct csl_study_privacy){.mode = (enum csl_privacy_mode)raw.mode,
                                               .epsilon = raw.epsilon,
                                               .noise_multiplier = raw.noise_multiplier,
                                               .delta = raw.delta,
                                               .clip = raw.clip,
                                               .sampling_rate = raw.sampling_rate};
    return CSL_OK;
}

/* Privacy of a patient is a property of one patient's gradient: what mixes patients cannot keep it.
 */
static enum csl_code check_domains(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *root)
{
    const struct csl_yaml_node *list = csl_study__at(root, "domains");

    for (uint32_t i = 0; i < r->s->domain_count; i++) {
        const struct csl_domain *d = &r->s->domains[i];
        if (d->task == CSL_TASK_SURVIVAL)
            return csl_yaml_fail(r->err, r->y, list,
                                 "domain %s: the Cox partial likelihood of one patient depends on "
                                 "the others, so one patient's influence has no bound; a binary, "
                                 "classes or labels task would be right with privacy",
                                 d->id);
        if (d->scaling == CSL_SCALING_SITE)
            return csl_yaml_fail(r->err, r->y, list,
                                 "domain %s: scaling by the site's own means and deviations uses "
                                 "patients' data outside the budget; scaling: constants would be "
                                 "right with privacy",
                                 d->id);
    }
    for (uint32_t i = 0; i < r->s->input_count; i++)
        if (r->s->inputs[i].scaling == CSL_SCALING_SITE)
            return csl_yaml_fail(r->err, r->y, csl_study__at(root, "inputs"),
                                 "input %s: scaling by the site's own means and deviations uses "
                                 "patients' data outside the budget; scaling: constants would be "
                                 "right with privacy",
                                 r->s->inputs[i].id);
    return CSL_OK;
}

static const struct csl_option secagg_rows[] = {
    {.name = "protocol",
     .type = CSL_OPT_ENUM,
     .offset = offsetof(struct raw_secagg, protocol),
     .choices = protocol_names,
     .help = "How sums are masked; fsa-1 is the one there is."},
    {.name = "colluding",
     .type = CSL_OPT_U32,
     .offset = offsetof(struct raw_secagg, colluding),
     .max = CSL_SITES_MAX,
     .help = "Sites that may work together with the coordinator without seeing a single update."},
    {.name = "minimum_sites",
     .type = CSL_OPT_U32,
     .offset = offsetof(struct raw_secagg, minimum_sites),
     .min = 3,
     .max = CSL_SITES_MAX,
     .help = "A sum of fewer sites is never opened."},
    {.name = "encoding",
     .type = CSL_OPT_NODE,
     .offset = offsetof(struct raw_secagg, encoding),
     .help = "How many bits a parameter is sent in; without it 64."},
    {.name = "audit_chunks",
     .type = CSL_OPT_U32,
     .offset = offsetof(struct raw_secagg, audit_chunks),
     .max = CSL_SECAGG_AUDITS_MAX,
     .fallback = "0",
     .help = "Chunks of 1 MiB of each sum that every site checks against the uploads, at random."},
    {.name = "graph",
     .type = CSL_OPT_ENUM,
     .offset = offsetof(struct raw_secagg, graph),
     .choices = graph_names,
     .fallback = "complete",
     .help = "Who shares masks with whom: every two sites; or, from 129 sites on, some."},
    {.name = "losses_max",
     .type = CSL_OPT_U32,
     .offset = offsetof(struct raw_secagg, losses_max),
     .max = CSL_SITES_MAX,
     .fallback = "0",
     .help = "With graph sparse: sites that may be lost while they upload."},
    CSL_OPTION_END,
};

static enum csl_code check_graph(const struct csl_study_reader *r,
                                 const struct csl_yaml_node *section, const struct raw_secagg *raw)
{
    static const char *const losses[] = {"losses_max", NULL};

    if (raw->graph == 0)
        return csl_study__refuse_keys(r, section, losses,
                                      "on the complete graph minimum_sites says how many may be "
                                      "lost");
    if (!csl_yaml_get(section, "losses_max"))
        return csl_yaml_fail(r->err, r->y, section,
                             "key 'losses_max' is missing; the sites that may be lost while they "
                             "upload would be right: the sparser the graph, the fewer");
    return CSL_OK;
}

enum csl_code csl_study__read_secagg(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *root,
                                     const struct csl_yaml_node *section)
{
    static const char *const encoding[] = {"encoding", NULL};
    struct raw_secagg raw = {0};
    enum csl_code code;

    if (!section)
        return CSL_OK;
    code = csl_study__section(r, secagg_rows, &raw, root, section, "secure_aggregation");
    if (code == CSL_OK && r->s->census.is_on)
        code = csl_study__refuse_keys(r, section, encoding, "counts are whole numbers of 64 bits");
    if (code == CSL_OK && raw.minimum_sites < raw.colluding + 2)
        code = csl_yaml_fail(r->err, r->y, csl_study__at(section, "minimum_sites"),
                             "found %u with %u colluding; at least %u would be right, so that two "
                             "honest sites are in every sum",
                             raw.minimum_sites, raw.colluding, raw.colluding + 2);
    if (code == CSL_OK && raw.audit_chunks > 0 && raw.colluding == 0)
        code = csl_yaml_fail(r->err, r->y, csl_study__at(section, "audit_chunks"),
                             "found %u with colluding 0; 0 would be right: a site that audits sees "
                             "what the coordinator sees, so at least 1 must be assumed to collude",
                             raw.audit_chunks);
    if (code == CSL_OK)
        code = check_graph(r, section, &raw);
    if (code != CSL_OK)
        return code;
    r->s->secagg = (struct csl_study_secagg){.is_on = true,
                                             .colluding = raw.colluding,
                                             .minimum_sites = raw.minimum_sites,
                                             .audit_chunks = raw.audit_chunks,
                                             .is_sparse = raw.graph == 1,
                                             .losses_max = raw.losses_max};
    return csl_study__read_encoding(r, section, raw.encoding);
}

/* One noisy sum a round, and nothing that needs more than the sum. */
static enum csl_code check_joint(const struct csl_study_reader *r, const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *privacy = csl_study__at(root, "privacy");
    const struct csl_yaml_node *local = csl_study__at(csl_study__at(root, "training"), "local");

    if (!s->secagg.is_on)
        return csl_yaml_fail(r->err, r->y, csl_study__at(privacy, "mode"),
                             "joint noise protects nobody unless the sum is masked; a section "
                             "secure_aggregation, or mode: local, would be right");
    if (s->census.is_on)
        return s->domain_count == 1
                   ? CSL_OK
                   : csl_yaml_fail(r->err, r->y, csl_study__at(root, "domains"),
                                   "found %u; a joint noise needs every site's share, so one "
                                   "domain that all sites have, or mode: local, would be right",
                                   s->domain_count);
    if (s->aggregation.weights != CSL_WEIGHTS_SAMPLES)
        return csl_yaml_fail(r->err, r->y, csl_study__at(root, "aggregation"),
                             "mode joint takes one step over all patients alike; weights: {kind: "
                             "samples} would be right");
    if (s->local.batch_patients != 0)
        return csl_yaml_fail(
            r->err, r->y, csl_study__at(local, "batch_patients"),
            "mode joint draws patients with privacy.sampling_rate; batch_patients: "
            "full would be right");
    if (s->domain_count > 1 && s->input_count == 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(root, "domains"),
                             "mode joint clips a patient once over all domains, which only a study "
                             "with 'inputs' trains at once; one domain, or a section inputs, would "
                             "be right");
    if (s->local.steps != 1 || s->local.optimizer != CSL_OPT_KIND_SGD || s->local.l2 > 0 ||
        s->local.proximal_mu > 0)
        return csl_yaml_fail(r->err, r->y, local,
                             "mode joint sums one plain gradient step a round; optimizer: sgd, "
                             "steps: 1 and no l2 or proximal_mu would be right");
    if (!csl_schedule_is_flat(&s->local.schedule))
        return csl_yaml_fail(r->err, r->y, csl_study__at(local, "schedule"),
                             "mode joint takes one step a round, of the server; no schedule would "
                             "be right");
    return check_domains(r, root);
}

static enum csl_code check_secagg(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *aggregation = csl_study__at(root, "aggregation");
    const struct csl_yaml_node *at = csl_study__at(root, "secure_aggregation");

    if (!s->secagg.is_on)
        return CSL_OK;
    if (strcmp(s->aggregation.strategy, "cyclic") == 0 ||
        strcmp(s->aggregation.strategy, "scaffold") == 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(aggregation, "strategy"),
                             "%s needs more than one masked sum a round; fedavg would be right",
                             s->aggregation.strategy);
    if (s->aggregation.weights == CSL_WEIGHTS_GIVEN)
        return csl_yaml_fail(r->err, r->y, csl_study__at(aggregation, "weights"),
                             "under masks a site weighs its own update; samples or equal would be "
                             "right");
    if (s->minimum_sites < s->secagg.minimum_sites)
        return csl_yaml_fail(r->err, r->y, csl_study__at(at, "minimum_sites"),
                             "found %u, but a round may close with sites.minimum %u; that or more "
                             "in sites.minimum would be right",
                             s->secagg.minimum_sites, s->minimum_sites);
    return csl_study__check_encoding(r, root);
}

enum csl_code csl_study__check_privacy(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *aggregation = csl_study__at(root, "aggregation");
    enum csl_code code = check_secagg(r, root);

    if (code != CSL_OK)
        return code;
    if (s->privacy.mode == CSL_PRIVACY_LOCAL)
        return check_domains(r, root);
    if (s->privacy.mode == CSL_PRIVACY_JOINT)
        return check_joint(r, root);
    if (s->privacy.mode != CSL_PRIVACY_SITE)
        return CSL_OK;
    if (strcmp(s->aggregation.strategy, "scaffold") == 0)
        return csl_yaml_fail(r->err, r->y, csl_study__at(aggregation, "strategy"),
                             "scaffold sends a second vector that mode site does not noise; "
                             "fedavg would be right");
    if (s->aggregation.weights == CSL_WEIGHTS_SAMPLES)
        return csl_yaml_fail(r->err, r->y, csl_study__at(aggregation, "weights"),
                             "weights by patients tell about the site that mode site protects; "
                             "weights: {kind: equal} would be right");
    return CSL_OK;
}
