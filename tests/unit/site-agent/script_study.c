/* What the agent of script.c is asked, and what its administrator allows. */
#include "tests/unit/site-agent/script.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

struct csl_site_policy script_policy(double epsilon, double delta)
{
    struct csl_site_policy p = {.approval = CSL_APPROVAL_AUTOMATIC};
    csl_str_copy(p.cohort, sizeof(p.cohort), "records");
    p.ledger.composition = CSL_LEDGER_BASIC;
    p.ledger.budget_count = 1;
    csl_str_copy(p.ledger.budgets[0].cohort, sizeof(p.ledger.budgets[0].cohort), "*");
    p.ledger.budgets[0].epsilon = epsilon;
    p.ledger.budgets[0].delta = delta;
    return p;
}

struct csl_study *script_parse(const struct script_study *s)
{
    char privacy[128] = "", yaml[1024];
    struct csl_study *out = NULL;
    struct csl_err err = {.code = CSL_OK};
    if (!s->has_no_privacy)
        snprintf(privacy, sizeof(privacy),
                 "privacy: {mode: local, epsilon: %.17g, delta: %.17g, clip: 1}\n", s->epsilon,
                 s->delta);
    static const char one[] = "domains:\n  - id: illness\n    modality: tabular\n"
                              "    features: [first, second]\n    scaling: constants\n"
                              "    model: {kind: linear}\n";
    static const char local[] = "inputs:\n  - id: pair\n    modality: tabular\n"
                                "    features: [first, second]\n    encoder: {kind: linear}\n"
                                "domains:\n  - id: illness\n    inputs: [pair]\n"
                                "    model: {kind: multimodal, width: 2, train: local}\n";
    snprintf(yaml, sizeof(yaml),
             "study: %s\nquestion: Is this patient ill?\n%s"
             "    task: {kind: binary, label: ill, positive: 1}\n"
             "training: {local: {optimizer: sgd, learning_rate: %s, batch_patients: 4, "
             "steps: %d}}\n"
             "rounds: %u\naggregation: {strategy: fedavg}\n"
             "sites: {minimum: 2, round_deadline: 1h}\nevaluation: {every: 2}\n%s",
             s->name, s->has_local ? local : one, s->diverges ? "1000, l2: 2e4" : "0.1",
             s->diverges ? 12 : 3, s->rounds, privacy);
    script_must(csl_study_parse(&out, "script.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
    return out;
}
