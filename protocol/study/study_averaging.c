/* protocol/study/study_averaging.c - the key `averaging` of a study's aggregation. */
#include "base/buf.h"
#include "protocol/study/study_rounds_internal.h"

static const char *const kind_names[] = {"ema", "mean", NULL};

struct raw_averaging {
    int kind;
    double decay;
    uint32_t from_round;
};

#define AT(field) .offset = offsetof(struct raw_averaging, field)

static const struct csl_option averaging_rows[] = {
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(kind),
     .choices = kind_names,
     .help = "How the models of rounds are averaged: older ones less, or all alike."},
    {.name = "decay",
     .type = CSL_OPT_F64,
     AT(decay),
     .min = 0,
     .max = 0.999999,
     .fallback = "0.9",
     .help = "What is left of the average when the next model is added (kind ema)."},
    {.name = "from_round",
     .type = CSL_OPT_U32,
     AT(from_round),
     .min = 1,
     .max = CSL_ROUNDS_MAX,
     .fallback = "1",
     .help = "The first model in it."},
    CSL_OPTION_END,
};

enum csl_code csl_study__read_averaging(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *parent,
                                        const struct csl_yaml_node *section)
{
    static const char *const ema_keys[] = {"decay", NULL};
    struct raw_averaging raw = {0};
    enum csl_code code;

    if (!section)
        return CSL_OK;
    code = csl_study__section(r, averaging_rows, &raw, parent, section, "averaging");
    bool is_ema = raw.kind + 1 == CSL_AVERAGING_EMA;
    if (code == CSL_OK && !is_ema)
        code = csl_study__refuse_keys(r, section, ema_keys, "only kind: ema has it");
    if (code != CSL_OK)
        return code;
    if (is_ema && !(raw.decay > 0))
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "decay"),
                             "found %g; a number above 0 would be right", raw.decay);
    r->s->aggregation.averaging =
        (struct csl_averaging){.kind = (enum csl_averaging_kind)(raw.kind + 1),
                               .decay = is_ema ? raw.decay : 0,
                               .from_round = raw.from_round};
    return CSL_OK;
}

enum csl_code csl_study__check_averaging(const struct csl_study_reader *r,
                                         const struct csl_yaml_node *root)
{
    const struct csl_averaging *a = &r->s->aggregation.averaging;

    if (a->kind == CSL_AVERAGING_NONE || a->from_round < r->s->rounds)
        return CSL_OK;
    const struct csl_yaml_node *section =
        csl_study__at(csl_study__at(root, "aggregation"), "averaging");
    return csl_yaml_fail(r->err, r->y, csl_study__at(section, "from_round"),
                         "found %u; a round before the last of %u would be right, or there is "
                         "nothing to average",
                         a->from_round, r->s->rounds);
}

void csl_study__explain_averaging(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_averaging *a = &s->aggregation.averaging;

    if (a->kind == CSL_AVERAGING_NONE)
        return;
    csl_buf_printf(out,
                   "  What is evaluated and released is the average of the models from round "
                   "%u on, ",
                   a->from_round);
    if (a->kind == CSL_AVERAGING_EMA)
        csl_buf_printf(out, "%g of it kept when the next is added", a->decay);
    else
        csl_buf_str(out, "all alike");
    csl_buf_str(out, "; sites train on from the last model itself.\n");
}
