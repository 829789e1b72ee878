/* protocol/study/study_personal.c - what each site makes of the released model for itself. */
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <stddef.h>
#include <string.h>

#define AT(field) .offset = offsetof(struct raw_personal, field)

struct raw_personal {
    const struct csl_yaml_node *methods, *training;
    double lambda;
};

static const char *const names[] = {"whole", "head", "ditto"};

static const struct csl_option personal_rows[] = {
    {.name = "methods",
     .type = CSL_OPT_NODE,
     AT(methods),
     .help = "A list of whole, head and ditto; without it whole and head."},
    {.name = "lambda",
     .type = CSL_OPT_F64,
     AT(lambda),
     .min = 0,
     .max = 1e6,
     .fallback = "0.1",
     .help = "How strongly ditto pulls a site's model towards the released one."},
    {.name = "training",
     .type = CSL_OPT_NODE,
     AT(training),
     .help = "How the site trains, as in baselines, from the released model on."},
    CSL_OPTION_END,
};

const char *csl_personal_name(enum csl_personal_method m)
{
    return names[m];
}

static enum csl_code read_methods(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *list, struct csl_study_personal *p)
{
    if (!list) {
        p->methods[CSL_PERSONAL_WHOLE] = p->methods[CSL_PERSONAL_HEAD] = true;
        return CSL_OK;
    }
    enum csl_code code = csl_study__check_list(r, list, 1, CSL_PERSONAL_COUNT, "methods");
    for (const struct csl_yaml_node *item = code == CSL_OK ? list->first_child : NULL; item;
         item = item->next) {
        int m = 0;
        while (m < CSL_PERSONAL_COUNT &&
               (item->kind != CSL_YAML_SCALAR || strcmp(item->text, names[m]) != 0))
            m++;
        if (m == CSL_PERSONAL_COUNT)
            return csl_study__found(r, item, "whole, head or ditto");
        if (p->methods[m])
            return csl_yaml_fail(r->err, r->y, item, "method '%s' is listed twice", names[m]);
        p->methods[m] = true;
    }
    return code;
}

enum csl_code csl_study__read_personal(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root,
                                       const struct csl_yaml_node *section)
{
    static const char *const lambda_keys[] = {"lambda", NULL};
    struct csl_study_personal p = {.is_on = true};
    struct raw_personal raw = {0};
    enum csl_code code;

    if (!section)
        return CSL_OK;
    code = csl_study__section(r, personal_rows, &raw, root, section, "personalisation");
    if (code == CSL_OK)
        code = read_methods(r, raw.methods, &p);
    if (code == CSL_OK && !p.methods[CSL_PERSONAL_DITTO])
        code = csl_study__refuse_keys(r, section, lambda_keys, "only method ditto has it");
    if (code == CSL_OK && p.methods[CSL_PERSONAL_DITTO] && !(raw.lambda > 0))
        code = csl_study__found(r, csl_study__at(section, "lambda"),
                                "a number above 0, or 'whole' in place of 'ditto',");
    if (code == CSL_OK)
        code = csl_study__read_baselines(r, section, raw.training, "training", &p.training);
    if (code != CSL_OK)
        return code;
    p.lambda = p.methods[CSL_PERSONAL_DITTO] ? raw.lambda : 0;
    r->s->personal = p;
    return CSL_OK;
}

void csl_study__explain_personal(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_personal *p = &s->personal;
    char lambda[32];

    if (!p->is_on)
        return;
    csl_buf_printf(out,
                   "What a site makes of the released model for itself\n  In a simulation every "
                   "site trains the released model further on its own training patients, for %u "
                   "epoch%s.\n    Over the network nothing of this is done. No noise is added and "
                   "no ledger is charged: no epsilon covers these\n    models.\n",
                   p->training.epochs, csl_str_plural(p->training.epochs));
    if (p->methods[CSL_PERSONAL_WHOLE])
        csl_buf_str(out, "  whole: every parameter. The model stays at the site; whoever had it "
                         "could ask it about patients of the site.\n");
    if (p->methods[CSL_PERSONAL_HEAD])
        csl_buf_str(out, "  head: the last layer of each domain, which stays at the site and is "
                         "all that tells of its patients; the rest\n    is as released.\n");
    csl_str_f64(lambda, sizeof(lambda), p->lambda);
    if (p->methods[CSL_PERSONAL_DITTO])
        csl_buf_printf(out,
                       "  ditto: every parameter, pulled towards the released one (lambda %s). "
                       "The model stays at the site, as with whole.\n",
                       lambda);
    csl_buf_str(out, "  Revealed, in the report of the simulation, is how good each of these "
                     "models is for the site's own test patients.\n    Neither the coordinator "
                     "nor another site gets any of them.\n");
}
