/* The study of a masked federation, out of its plan. */
#include "tests/unit/world/masked_internal.h"

#include <stdio.h>
#include <string.h>

struct csl_study *masked_study(const struct masked_plan *plan)
{
    char yaml[2048];
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    const char *local = plan->local != NULL
                            ? plan->local
                            : "{optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}";
    const char *model = plan->model != NULL ? plan->model : "{kind: linear}";
    char more[512] = "";
    if (plan->domain != NULL)
        snprintf(more, sizeof(more),
                 "  - id: %s\n    modality: tabular\n"
                 "    task: {kind: binary, label: %s, positive: 1}\n"
                 "    features: [second]\n    scaling: constants\n    model: {kind: linear}\n",
                 plan->domain, plan->domain);
    if (plan->has_third)
        snprintf(more + strlen(more), sizeof(more) - strlen(more),
                 "  - id: again\n    modality: tabular\n"
                 "    task: {kind: binary, label: ill, positive: 1}\n"
                 "    features: [first]\n    scaling: constants\n    model: {kind: linear}\n");
    snprintf(yaml, sizeof(yaml),
             "study: masked\nquestion: Is this patient ill?\n"
             "domains:\n  - id: illness\n    modality: tabular\n"
             "    task: {kind: binary, label: ill, positive: 1}\n"
             "    features: [first, second]\n    scaling: constants\n    model: %s\n%s"
             "training: {local: %s}\nrounds: %u\n%s\n"
             "sites: {minimum: %u, round_deadline: 1h}\nevaluation: {every: %d}\n",
             model, more, local, plan->rounds, plan->sections, plan->minimum_sites,
             plan->judges_last ? 0 : 1);
    masked_must(csl_study_parse(&s, "masked.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
    return s;
}
