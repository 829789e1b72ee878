/* protocol/study/study_gate.c - the key `gate` of a study's aggregation. */
#include "aggregation/tensor/schema.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "protocol/study/study_rounds_internal.h"

#include <string.h>

static const char *const kind_names[] = {"norm", NULL};

struct raw_gate {
    int kind;
    double factor;
    uint32_t window, rejected_max;
};

#define AT(field) .offset = offsetof(struct raw_gate, field)

static const struct csl_option gate_rows[] = {
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(kind),
     .choices = kind_names,
     .fallback = "norm",
     .help = "What of a round's mean update is looked at: its L2 norm, block by block."},
    {.name = "factor",
     .type = CSL_OPT_F64,
     AT(factor),
     .min = 1,
     .max = 1000,
     .fallback = "3",
     .help = "A norm beyond so many times the median of accepted rounds is not applied."},
    {.name = "window",
     .type = CSL_OPT_U32,
     AT(window),
     .min = 3,
     .max = CSL_GATE_WINDOW_MAX,
     .fallback = "5",
     .unit = "rounds",
     .help = "Accepted rounds of the median; it counts once there are so many."},
    {.name = "rejected_max",
     .type = CSL_OPT_U32,
     AT(rejected_max),
     .min = 1,
     .max = 1000,
     .fallback = "3",
     .unit = "rounds",
     .help = "So many rejected rounds in a row abort the study."},
    CSL_OPTION_END,
};

enum csl_code csl_study__read_gate(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *parent,
                                   const struct csl_yaml_node *section)
{
    struct raw_gate raw = {0};
    enum csl_code code;

    if (!section)
        return CSL_OK;
    code = csl_study__section(r, gate_rows, &raw, parent, section, "gate");
    if (code != CSL_OK)
        return code;
    if (!(raw.factor > 1))
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "factor"),
                             "found %g; a number above 1 would be right, or every second honest "
                             "round is rejected",
                             raw.factor);
    r->s->aggregation.gate = (struct csl_study_gate){.is_on = true,
                                                     .factor = raw.factor,
                                                     .window = raw.window,
                                                     .rejected_max = raw.rejected_max};
    return CSL_OK;
}

/* What a site keeps of a round is not taken back when the coordinator does not apply it. */
static enum csl_code check_strategy(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *section)
{
    const char *strategy = r->s->aggregation.strategy;

    if (csl_study__sees_updates(strategy))
        return csl_yaml_fail(r->err, r->y, section,
                             "strategy %s looks at single updates; the gate is for sums, and "
                             "leaving it out would be right",
                             strategy);
    if (strcmp(strategy, "scaffold") == 0)
        return csl_yaml_fail(r->err, r->y, section,
                             "with strategy scaffold a site keeps its part of a round that is not "
                             "applied; fedavg or another that works on the sum would be right");
    if (csl_study_has_kind(r->s, CSL_BLOCK_LOCAL))
        return csl_yaml_fail(r->err, r->y, section,
                             "blocks that stay at the sites have moved on when a round is not "
                             "applied; leaving the gate or the local blocks out would be right");
    return CSL_OK;
}

/* A rejected round leaves the model where it was, and no site makes a second update of one model
 * unless each has noise of its own that is paid for: two sums without it would be told apart by
 * the one site that is in only one of them (pitfall 50). */
enum csl_code csl_study__check_gate(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_study_gate *g = &s->aggregation.gate;
    const struct csl_yaml_node *section = csl_study__at(csl_study__at(root, "aggregation"), "gate");

    if (!g->is_on)
        return CSL_OK;
    enum csl_code code = check_strategy(r, section);
    if (code == CSL_OK && g->window >= s->rounds)
        code = csl_yaml_fail(r->err, r->y, csl_study__at(section, "window"),
                             "found %u; fewer than the study's %u rounds would be right, or the "
                             "median never counts",
                             g->window, s->rounds);
    if (code == CSL_OK && s->secagg.is_on && !csl_study_repeats_models(s) && g->rejected_max > 1)
        code = csl_yaml_fail(r->err, r->y, csl_study__at(section, "rejected_max"),
                             "found %u; 1 would be right: after a rejected round the model is the "
                             "same, and under masks without noise no site sends a second update of "
                             "it",
                             g->rejected_max);
    return code;
}

bool csl_study_repeats_models(const struct csl_study *s)
{
    return s->aggregation.gate.is_on && s->privacy.mode != CSL_PRIVACY_NONE;
}

void csl_study__explain_gate(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_gate *g = &s->aggregation.gate;

    if (!g->is_on)
        return;
    csl_buf_printf(out,
                   "  A round whose mean update is longer than %g times the median of the last %u "
                   "accepted rounds%s is not applied; what it cost stays spent, and %u such "
                   "round%s end%s the study.\n",
                   g->factor, g->window,
                   s->secagg.clip_norm > 0 ? ", or than any mean of clipped updates," : "",
                   g->rejected_max, g->rejected_max == 1 ? "" : "s in a row",
                   g->rejected_max == 1 ? "s" : "");
}
