/* A site's records of three inputs (a table, an embedding, a text) and two labels, for tests of
 * studies with inputs: patients with several records, records without an input, patient 4 without
 * any known label. */
#ifndef CSL_TEST_FUSED_FIXTURE_H
#define CSL_TEST_FUSED_FIXTURE_H
#include "site-agent/training/fused_train.h"

#define ROWS     10u
#define PATIENTS 7u
#define TABLE    4u
#define VECTOR   3u
#define TOKENS   5u
#define BUCKETS  9u
#define WIDTH    4u
#define CLASSES  3u
#define MOST     512u /* parameters */

struct bench {
    struct csl_study *study;
    struct csl_multimodal multimodal;
    struct csl_inputs inputs[3];
    struct csl_targets targets[2];
    struct csl_dataset data;
    struct csl_examples examples[2][CSL_SPLIT_COUNT];
    uint64_t input_patients[3];
    uint32_t patient[ROWS], row[2][ROWS], example_patient[2][ROWS];
    uint8_t label[2][ROWS], present[3][ROWS];
    int16_t value[2][ROWS];
    float table[ROWS * TABLE], vector[ROWS * VECTOR];
    uint32_t tokens[ROWS * TOKENS];
    float weights[MOST];
    struct csl_trainer *trainer;
    const double *domain_weights; /* [D], or NULL */
    const double *group_weights;  /* as in csl_train_task, or NULL */
    int64_t *joint_sum;           /* [P] out, in mode joint; else NULL */
};

/* Every input with an encoder of its own, in the study `yaml`: two domains, the first of all three
 * inputs, the second of the last two; three input blocks and `more_blocks`. */
void bench_open(struct bench *b, const char *yaml, uint32_t more_blocks);
void bench_close(struct bench *b);
/* The view of each domain and of each input's patients, from what is present. */
void bench_view(struct bench *b);
/* Record r counts in domain d. */
bool bench_counts(const struct bench *b, uint32_t d, uint32_t r);
/* One round of the study's local training from b->weights. */
void bench_run(struct bench *b, struct csl_private_run *privacy, float *update,
               struct csl_train_report *report);

#endif
