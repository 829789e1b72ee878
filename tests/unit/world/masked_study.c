/* What the federation's sites have on disk, and the study that they are asked for. */
#include "tests/unit/world/masked_internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "site-agent/data/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

uint64_t masked_patients[MASKED_SITES] = {18, 15, 12, 9, 6};
char masked_ids[MASKED_SITES][CSL_ID_MAX] = {"aarhus", "brno", "cork", "delft", "evora"};

/* --- on disk --- */

void masked_records_path(const struct fixture *f, uint32_t site, char out[CSL_PATH_MAX])
{
    char name[80];
    snprintf(name, sizeof(name), "masked-%s.h5", masked_ids[site]);
    fixture_path(f, name, out);
}

static void add_label(struct csl_records *r, const char *name, bool is_known)
{
    struct csl_record_label *l = &r->labels[r->label_count++];
    csl_str_copy(l->name, sizeof(l->name), name);
    l->classes = 2;
    l->value = csl_alloc_array(r->record_count, sizeof(*l->value));
    assert_non_null(l->value);
    for (uint32_t i = 0; i < r->record_count; i++)
        l->value[i] = is_known ? (int16_t)(i / 2 % 2) : -1;
}

/* Of who tests, ten women and ten men at the first five sites. */
static void add_sexes(struct csl_records *r, bool begins_with_men)
{
    struct csl_record_attribute *a = &r->attributes[r->attribute_count++];
    csl_str_copy(a->name, sizeof(a->name), "sex");
    a->value = csl_alloc_array(r->patient_count, sizeof(*a->value));
    assert_non_null(a->value);
    for (uint32_t p = 0; p < r->patient_count; p++)
        csl_str_copy(a->value[p], sizeof(a->value[p]),
                     p / 4 % 2 == (begins_with_men ? 1 : 0) ? "female" : "male");
}

/* The fixture's records, fewer at every site; every fourth patient tests. */
void masked_open(struct fixture *f)
{
    struct csl_err err = {.code = CSL_OK};
    fixture_open(f, "fedavg", 2);
    for (uint32_t i = 5; i < MASKED_SITES; i++) {
        snprintf(masked_ids[i], CSL_ID_MAX, "site-%03u", i);
        masked_patients[i] = 6 + 3 * (i % 4);
    }
    for (uint32_t i = 0; i < MASKED_SITES; i++) {
        struct csl_records r;
        char path[CSL_PATH_MAX];
        masked_must(csl_records_read(&r, f->records[i % FIXTURE_SITES], &err), &err);
        csl_str_copy(r.site, sizeof(r.site), masked_ids[i]);
        r.patient_count = r.record_count = (uint32_t)masked_patients[i] * 4 / 3;
        for (uint32_t k = 0; k < 2 * r.record_count; k++)
            r.modalities[0].values[k] += 0.25f * (float)i;
        add_label(&r, "severe", i > 1);
        add_label(&r, "rare", i < 2);
        add_label(&r, "partly", i > 1);
        for (uint32_t k = 0; k < r.record_count; k += 3)
            r.labels[r.label_count - 1].value[k] = -1;
        add_sexes(&r, i == 1);
        masked_records_path(f, i, path);
        masked_must(csl_records_write(&r, path, &err), &err);
        csl_records_release(&r);
    }
}

void masked_validate(const struct fixture *f, uint32_t site)
{
    char path[CSL_PATH_MAX];
    masked_records_path(f, site, path);
    fixture_validate(path);
}

struct csl_study *masked_study(const struct masked_plan *plan)
{
    char yaml[2048];
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    const char *local = plan->local != NULL
                            ? plan->local
                            : "{optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}";
    const char *model = plan->model != NULL ? plan->model : "{kind: linear}";
    char usual[1024] = "";
    snprintf(usual, sizeof(usual),
             "domains:\n  - id: illness\n    modality: tabular\n"
             "    task: {kind: binary, label: ill, positive: 1}\n"
             "    features: [first, second]\n    scaling: constants\n    model: %s\n",
             model);
    if (plan->domain != NULL)
        snprintf(usual + strlen(usual), sizeof(usual) - strlen(usual),
                 "  - id: %s\n    modality: tabular\n"
                 "    task: {kind: binary, label: %s, positive: 1}\n"
                 "    features: [second]\n    scaling: constants\n    model: {kind: linear}\n",
                 plan->domain, plan->domain);
    if (plan->has_third)
        snprintf(usual + strlen(usual), sizeof(usual) - strlen(usual),
                 "  - id: again\n    modality: tabular\n"
                 "    task: {kind: binary, label: ill, positive: 1}\n"
                 "    features: [first]\n    scaling: constants\n    model: {kind: linear}\n");
    snprintf(yaml, sizeof(yaml),
             "study: masked\nquestion: Is this patient ill?\n"
             "%straining: {local: %s}\nrounds: %u\n%s\n"
             "sites: {minimum: %u, round_deadline: 1h}\nevaluation: {every: %d}\n",
             plan->study != NULL ? plan->study : usual, local, plan->rounds, plan->sections,
             plan->minimum_sites, plan->judges_last ? 0 : 1);
    masked_must(csl_study_parse(&s, "masked.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
    return s;
}
