/* protocol/study/study_vote.c - the key `vote` of a study's aggregation. */
#include "base/buf.h"
#include "protocol/study/study_rounds_internal.h"

#include <string.h>

struct raw_vote {
    double worse_max, tolerance;
    uint32_t minimum_sites, rejected_max;
};

#define AT(field) .offset = offsetof(struct raw_vote, field)

static const struct csl_option vote_rows[] = {
    {.name = "worse_max",
     .type = CSL_OPT_F64,
     AT(worse_max),
     .min = 0,
     .max = 1,
     .fallback = "0.5",
     .help = "A model that more than this share of the voting sites find worse is not kept."},
    {.name = "tolerance",
     .type = CSL_OPT_F64,
     AT(tolerance),
     .min = 0,
     .max = 10,
     .fallback = "0.02",
     .help = "A site finds it worse once its loss has grown by more than this share of itself."},
    {.name = "minimum_sites",
     .type = CSL_OPT_U32,
     AT(minimum_sites),
     .min = 2,
     .max = 4096,
     .fallback = "3",
     .unit = "sites",
     .help = "With fewer votes there is no verdict."},
    {.name = "rejected_max",
     .type = CSL_OPT_U32,
     AT(rejected_max),
     .min = 1,
     .max = 1000,
     .fallback = "3",
     .unit = "models",
     .help = "So many rejected models in a row abort the study."},
    CSL_OPTION_END,
};

enum csl_code csl_study__read_vote(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *parent,
                                   const struct csl_yaml_node *section)
{
    struct raw_vote raw = {0};
    enum csl_code code;

    if (!section)
        return CSL_OK;
    code = csl_study__section(r, vote_rows, &raw, parent, section, "vote");
    if (code != CSL_OK)
        return code;
    if (!(raw.worse_max < 1))
        return csl_yaml_fail(
            r->err, r->y, csl_study__at(section, "worse_max"),
            "found %g; a share below 1 would be right, or no vote rejects anything", raw.worse_max);
    r->s->aggregation.vote = (struct csl_study_vote){.is_on = true,
                                                     .worse_max = raw.worse_max,
                                                     .tolerance = raw.tolerance,
                                                     .minimum_sites = raw.minimum_sites,
                                                     .rejected_max = raw.rejected_max};
    return CSL_OK;
}

/* What cannot be taken back with the model, or is not the model that was voted on. */
static enum csl_code check_model(const struct csl_study_reader *r,
                                 const struct csl_yaml_node *section)
{
    const struct csl_aggregation *a = &r->s->aggregation;
    static const char *const kept[] = {"scaffold", "afl", "cyclic"};

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (strcmp(a->strategy, kept[i]) == 0)
            return csl_yaml_fail(r->err, r->y, section,
                                 "strategy %s keeps more of a round than the model, which going "
                                 "back would not take back; fedavg or another that keeps nothing "
                                 "of single sites would be right",
                                 a->strategy);
    if (a->averaging.kind != CSL_AVERAGING_NONE)
        return csl_yaml_fail(r->err, r->y, section,
                             "the sites vote on what a round begins with, and an average of rounds "
                             "would be released; leaving the vote or averaging out would be right");
    if (csl_study_has_kind(r->s, CSL_BLOCK_LOCAL))
        return csl_yaml_fail(r->err, r->y, section,
                             "blocks that stay at the sites have moved on when the model goes "
                             "back; leaving the vote or the local blocks out would be right");
    return CSL_OK;
}

/* Under masks the sum is one of all senders, and no site sends a second update of one model
 * without noise that is paid for (pitfall 50). */
static enum csl_code check_masks(const struct csl_study_reader *r,
                                 const struct csl_yaml_node *section)
{
    const struct csl_study *s = r->s;
    const struct csl_study_vote *v = &s->aggregation.vote;

    if (!s->secagg.is_on)
        return CSL_OK;
    if (v->minimum_sites < s->secagg.minimum_sites)
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "minimum_sites"),
                             "found %u; at least the %u of secure_aggregation would be right",
                             v->minimum_sites, s->secagg.minimum_sites);
    if (v->rejected_max > 1)
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "rejected_max"),
                             "found %u; 1 would be right: the study would go back to a model that "
                             "was trained on before, and under masks without noise no site sends a "
                             "second update of it",
                             v->rejected_max);
    return CSL_OK;
}

enum csl_code csl_study__check_vote(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *section = csl_study__at(csl_study__at(root, "aggregation"), "vote");

    if (!s->aggregation.vote.is_on)
        return CSL_OK;
    if (s->privacy.mode != CSL_PRIVACY_NONE)
        return csl_yaml_fail(r->err, r->y, section,
                             "with privacy nothing about validation patients leaves a site, and a "
                             "vote has no noise; leaving it out, or mode none, would be right");
    if (s->evaluate_every != 1)
        return csl_yaml_fail(r->err, r->y, section,
                             "needs evaluation: {every: 1}; found %u, and a model that is not "
                             "judged cannot be voted on",
                             s->evaluate_every);
    enum csl_code code = check_model(r, section);
    return code == CSL_OK ? check_masks(r, section) : code;
}

void csl_study__explain_vote(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_vote *v = &s->aggregation.vote;

    if (!v->is_on)
        return;
    csl_buf_printf(
        out,
        "  Each site says of every model, in one bit, whether its own validation patients "
        "fare worse with it than with the one before (by more than %g %% of the loss)%s. "
        "Where more than %g %% of at least %u votes say so, the study goes back to the "
        "last accepted model, and %u such model%s end%s it.\n",
        100 * v->tolerance,
        s->secagg.is_on ? "; only the sum of these bits, and how many there are, is seen"
                        : "; the coordinator sees each site's",
        100 * v->worse_max, v->minimum_sites, v->rejected_max,
        v->rejected_max == 1 ? "" : "s in a row", v->rejected_max == 1 ? "s" : "");
}
