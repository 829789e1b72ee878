/* protocol/study/study_schedule.c - how the learning rate of a study changes. */
#include "base/buf.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <inttypes.h>

#define WARMUP_MAX 1000000000

static const char *const kind_names[] = {"constant", "cosine", "step", NULL};

struct raw_schedule {
    int kind;
    uint64_t warmup, every;
    double floor, factor;
};

#define AT(field) .offset = offsetof(struct raw_schedule, field)

static const struct csl_option schedule_rows[] = {
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(kind),
     .choices = kind_names,
     .fallback = "constant",
     .help = "What the rate does after the warm-up."},
    {.name = "warmup",
     .type = CSL_OPT_U64,
     AT(warmup),
     .max = WARMUP_MAX,
     .unit = "steps",
     .fallback = "0",
     .help = "Over the first so many steps the rate rises evenly."},
    {.name = "floor",
     .type = CSL_OPT_F64,
     AT(floor),
     .min = 0,
     .max = 1,
     .fallback = "0",
     .help = "Part of the rate at the end (kind cosine)."},
    {.name = "every",
     .type = CSL_OPT_U64,
     AT(every),
     .min = 1,
     .max = WARMUP_MAX,
     .unit = "steps",
     .fallback = "1",
     .help = "The rate falls after each so many steps (kind step)."},
    {.name = "factor",
     .type = CSL_OPT_F64,
     AT(factor),
     .min = 0,
     .max = 1,
     .fallback = "0.1",
     .help = "To this part of what it was (kind step)."},
    CSL_OPTION_END,
};

enum csl_code csl_study__read_schedule(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *parent,
                                       const struct csl_yaml_node *section,
                                       struct csl_schedule *out)
{
    static const char *const cosine_keys[] = {"floor", NULL};
    static const char *const step_keys[] = {"every", "factor", NULL};
    struct raw_schedule raw = {0};
    enum csl_code code;

    if (!section)
        return CSL_OK;
    code = csl_study__section(r, schedule_rows, &raw, parent, section, "schedule");
    if (code == CSL_OK && raw.kind != CSL_SCHEDULE_COSINE)
        code = csl_study__refuse_keys(r, section, cosine_keys, "only kind: cosine has it");
    if (code == CSL_OK && raw.kind != CSL_SCHEDULE_STEP)
        code = csl_study__refuse_keys(r, section, step_keys, "only kind: step has it");
    if (code != CSL_OK)
        return code;
    if (raw.kind == CSL_SCHEDULE_STEP && !csl_yaml_get(section, "every"))
        return csl_yaml_fail(r->err, r->y, section,
                             "kind: step needs 'every', the number of steps after which the rate "
                             "falls");
    if (raw.kind == CSL_SCHEDULE_STEP && !(raw.factor > 0))
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "factor"),
                             "found %g; a number above 0 would be right", raw.factor);
    out->kind = (enum csl_schedule_kind)raw.kind;
    out->warmup = raw.warmup;
    if (raw.kind == CSL_SCHEDULE_COSINE)
        out->floor = raw.floor;
    if (raw.kind == CSL_SCHEDULE_STEP) {
        out->every = raw.every;
        out->factor = raw.factor;
    }
    return CSL_OK;
}

void csl_study__explain_schedule(const struct csl_schedule *s, struct csl_buf *out)
{
    if (s->kind == CSL_SCHEDULE_COSINE)
        csl_buf_printf(out, ", falling along a cosine to %g of that", s->floor);
    if (s->kind == CSL_SCHEDULE_STEP)
        csl_buf_printf(out, ", times %g after every %" PRIu64 " steps", s->factor, s->every);
    if (s->warmup > 0)
        csl_buf_printf(out, ", warming up over %" PRIu64 " step%s", s->warmup,
                       csl_str_plural(s->warmup));
}
