#include "tests/unit/world/attacked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct csl_study *attacked_study(uint32_t rounds, const char *sections, const char *attack)
{
    char yaml[2048];
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    snprintf(
        yaml, sizeof(yaml),
        "study: attacked\nquestion: Is this patient ill?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"
        "rounds: %u\n%ssites: {minimum: 3}\nsimulation:\n  sites:\n"
        "    - {id: aarhus, records: a.h5%s}\n    - {id: brno, records: b.h5}\n"
        "    - {id: cork, records: c.h5}\n",
        rounds, sections, attack);
    if (csl_study_parse(&s, "attacked.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(s->schema.parameters, ATTACKED_PARAMETERS);
    return s;
}

enum csl_code attacked_run(const struct fixture *f, const struct csl_study *study, bool is_unmasked,
                           struct csl_world_result *out, struct csl_err *err)
{
    struct csl_world_site sites[FIXTURE_SITES];
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        snprintf(sites[i].id, sizeof(sites[i].id), "%s", f->ids[i]);
        snprintf(sites[i].record_path, sizeof(sites[i].record_path), "%.1000s", f->records[i]);
    }
    const struct csl_world_config config = {.study = study,
                                            .sites = sites,
                                            .site_count = FIXTURE_SITES,
                                            .seed = 7,
                                            .backend = "cpu-ref",
                                            .is_unmasked = is_unmasked};
    return csl_world_run(&config, out, err);
}
