/* tests/unit/world/weighed.h - studies under masks whose domains, or groups of patients, are
 * weighed by published statistics: what tasks said, what sites counted with, and a coordinator that
 * lies. */
#ifndef CSL_TEST_WORLD_WEIGHED_H
#define CSL_TEST_WORLD_WEIGHED_H
#include "tests/unit/world/masked_internal.h"

/* Five sites know who is ill, three of them who is severe; both are read from one input. */
#define DOMAINS                                                                                    \
    "inputs:\n"                                                                                    \
    "  - {id: table, modality: tabular, features: [first, second], encoder: {kind: linear}}\n"     \
    "domains:\n  - {id: illness, inputs: [table], task: {kind: binary, label: ill}}\n"             \
    "  - {id: severity, inputs: [table], task: {kind: binary, label: severe}}\n"                   \
    "model: {kind: multimodal, width: 3}\n"
#define SAMPLES "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
#define MASKS   "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3}\n"
#define LANES                                                                                      \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, encoding: {lane_bits: " \
    "32, clip_norm: 20, rotation: true, weight_cap: 100}}\n"
#define FEW_IN_LANES                                                                               \
    "secure_aggregation: {protocol: fsa-1, colluding: 1, minimum_sites: 3, encoding: {lane_bits: " \
    "32, clip_norm: 20, rotation: true, weight_cap: 6}}\n"
#define COUNTED "statistics: {every: 1}\n"
#define NOISY   "statistics: {every: 1, epsilon: 1, delta: 1e-3}\n"
#define LOCAL   "privacy: {mode: local, epsilon: 2, delta: 1e-3, clip: 1}\n"
#define JOINT   "privacy: {mode: joint, epsilon: 8, delta: 1e-3, clip: 0.5, sampling_rate: 1}\n"
#define CLEAR   "statistics: {every: 1, epsilon: 100, delta: 0.1}\n" /* 60 patients are usable */
#define WEIGHED                                                                                    \
    "fairness: {domain_weights: {kind: domain, alpha: 0.5, beta: 1, cap: 3, smoothing: 1, "        \
    "step_max: 9, shrinkage: 0, gate_rounds: 0}}\n"
#define GROUPED                                                                                    \
    "statistics: {every: 1, epsilon: 100, delta: 0.1, groups: {sex: [female, male]}}\n"            \
    "fairness: {attributes: [sex], minimum_group: 10, weights: {alpha: 0.5, beta: 1, cap: 2}}\n"
#define WEIGHED_ABOVE_3                                                                            \
    "fairness: {domain_weights: {kind: domain, alpha: 0.5, beta: 1, cap: 3.0001, smoothing: 1, "   \
    "step_max: 9, shrinkage: 0, gate_rounds: 0}}\n"
#define BALANCED "fairness: {domain_weights: {kind: balanced, cap: 4}}\n"
enum { ROUNDS = 5, BLOCKS = 3, INPUT = 2 /* its block */, VICTIM = 1 /* has one domain */ };

extern struct fixture weighed_fixture;
/* What the tasks of each round said to a site, before anybody meddles. */
struct weighed_told {
    uint32_t count, site_count;
    uint64_t of_round;
    double log_weight[2], patients[2];
    uint32_t group_count;
    double group_log_weight[2];
};
extern struct weighed_told weighed_told[ROUNDS + 2];
/* What is told to the victim instead in one round; how often, and what it did then. */
struct weighed_asked {
    void (*change)(struct csl_msg_task *t);
    uint64_t round;
    uint32_t changed, followed;
};
extern struct weighed_asked weighed_asked;

bool weighed_listen(enum csl_direction to, uint32_t site, struct csl_message *m);
struct masked_plan weighed_plan(const char *sections);
void weighed_run(const struct masked_plan *plan, struct masked_result *out);
const struct csl_published *weighed_published(const struct masked_result *r, uint64_t round,
                                              uint32_t domain);
/* The scalars of a site's words: what it counts with in each block, and the loss. */
double weighed_weight(const struct masked_result *r, uint32_t site, uint64_t round, uint32_t block);
double weighed_mass(double mass);
/* Of the site that is lied to in round 4: how many messages of masks it sent there. */
uint32_t weighed_lie(const char *sections, void (*change)(struct csl_msg_task *t),
                     struct masked_result *r);

#endif
