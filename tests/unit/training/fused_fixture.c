#include "tests/unit/training/fused_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "privacy/crypto/rng.h"

#include <string.h>

/* The last record has nothing of domain which; patient 4 has no known label at all. */
static const uint32_t patient_of[ROWS] = {0, 1, 1, 1, 2, 3, 3, 4, 5, 6};
static const uint8_t available[3][ROWS] = {
    {1, 0, 1, 1, 0, 1, 1, 1, 0, 1}, {1, 1, 0, 1, 1, 0, 1, 1, 0, 0}, {0, 1, 1, 1, 1, 0, 1, 1, 1, 0}};
static const int16_t truth[2][ROWS] = {{0, 1, -1, 1, 0, 1, 0, -1, 1, 0},
                                       {2, 0, 1, -1, 2, 1, 0, -1, -1, 1}};

static void fill_values(struct bench *b)
{
    struct csl_rng rng;
    csl_rng_init_label(&rng, 5, "test/fused", 0, 0, 0);
    for (uint32_t i = 0; i < ROWS * TABLE; i++)
        b->table[i] = (float)csl_rng_normal(&rng);
    for (uint32_t i = 0; i < ROWS * VECTOR; i++)
        b->vector[i] = (float)csl_rng_normal(&rng);
    for (uint32_t i = 0; i < ROWS * TOKENS; i++)
        b->tokens[i] = (uint32_t)(csl_rng_u64(&rng) % BUCKETS); /* 0: none */
    for (uint32_t i = 0; i < MOST; i++)
        b->weights[i] = 0.5f * (float)csl_rng_normal(&rng);
    for (uint32_t r = 0; r < ROWS; r++) { /* as the loader leaves what is not there */
        memset(b->table + r * TABLE, 0, available[0][r] ? 0 : TABLE * sizeof(float));
        memset(b->vector + r * VECTOR, 0, available[1][r] ? 0 : VECTOR * sizeof(float));
        memset(b->tokens + r * TOKENS, 0, available[2][r] ? 0 : TOKENS * sizeof(uint32_t));
    }
}

static const uint32_t reads[2][3] = {{0, 1, 2}, {1, 2, 2}};
static const uint32_t reads_count[2] = {3, 2};

bool bench_counts(const struct bench *b, uint32_t d, uint32_t r)
{
    bool has_input = false;
    for (uint32_t i = 0; i < reads_count[d]; i++)
        has_input = has_input || b->present[reads[d][i]][r] != 0;
    return has_input && b->value[d][r] >= 0;
}

void bench_view(struct bench *b)
{
    for (uint32_t d = 0; d < 2; d++) {
        struct csl_examples *e = &b->examples[d][CSL_SPLIT_TRAIN];
        uint32_t last = UINT32_MAX;
        *e = (struct csl_examples){.width = b->study->domains[d].width,
                                   .patient = b->example_patient[d],
                                   .label = b->label[d],
                                   .row = b->row[d],
                                   .of = &b->multimodal.splits[CSL_SPLIT_TRAIN]};
        for (uint32_t r = 0; r < ROWS; r++) {
            if (!bench_counts(b, d, r))
                continue;
            e->patients += b->patient[r] != last;
            last = b->patient[r];
            e->row[e->records] = r;
            e->label[e->records] = (uint8_t)b->value[d][r];
            e->patient[e->records++] = e->patients - 1;
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t last = UINT32_MAX;
        b->input_patients[i] = 0;
        for (uint32_t r = 0; r < ROWS; r++) {
            bool is_read = (i > 0 && bench_counts(b, 1, r)) || bench_counts(b, 0, r);
            if (b->present[i][r] == 0 || !is_read || b->patient[r] == last)
                continue;
            last = b->patient[r];
            b->input_patients[i]++;
        }
    }
}

void bench_open(struct bench *b, const char *yaml, uint32_t more_blocks)
{
    struct csl_err err = {.code = CSL_OK};
    memset(b, 0, sizeof(*b));
    if (csl_study_parse(&b->study, "fused.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_true(b->study->schema.parameters <= MOST);
    assert_int_equal(b->study->schema.block_count, 5 + more_blocks);
    fill_values(b);
    memcpy(b->patient, patient_of, sizeof(patient_of));
    memcpy(b->present, available, sizeof(available));
    memcpy(b->value, truth, sizeof(truth));
    b->inputs[0] = (struct csl_inputs){.width = TABLE, .x = b->table};
    b->inputs[1] = (struct csl_inputs){.width = VECTOR, .x = b->vector};
    b->inputs[2] = (struct csl_inputs){.width = TOKENS, .tokens = b->tokens};
    for (uint32_t i = 0; i < 3; i++)
        b->inputs[i].available = b->present[i];
    for (uint32_t d = 0; d < 2; d++)
        b->targets[d] = (struct csl_targets){.labels = 1, .value = b->value[d]};
    b->multimodal.input_count = 3;
    b->multimodal.target_count = 2;
    b->multimodal.splits[CSL_SPLIT_TRAIN] = (struct csl_multimodal_split){.records = ROWS,
                                                                          .patients = PATIENTS,
                                                                          .patient = b->patient,
                                                                          .inputs = b->inputs,
                                                                          .targets = b->targets};
    b->data = (struct csl_dataset){.site = "here",
                                   .study = b->study,
                                   .domain_count = 2,
                                   .domains = b->examples,
                                   .multimodal = &b->multimodal,
                                   .input_patients = b->input_patients};
    bench_view(b);
    assert_int_equal(csl_trainer_new(&b->trainer, b->study, "cpu-ref", NULL), CSL_OK);
}

void bench_close(struct bench *b)
{
    csl_trainer_free(b->trainer);
    csl_study_free(b->study);
}

void bench_run(struct bench *b, struct csl_private_run *privacy, float *update,
               struct csl_train_report *report)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_train_task task = {.data = &b->data,
                                  .privacy = privacy,
                                  .seed = 3,
                                  .round = 1,
                                  .global = b->weights,
                                  .domain_weights = b->domain_weights,
                                  .group_weights = b->group_weights,
                                  .joint_sum = b->joint_sum,
                                  .update = update};
    if (csl_trainer_run(b->trainer, &task, report, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}
