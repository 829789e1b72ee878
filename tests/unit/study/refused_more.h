/* Mistakes about what sites do by themselves: epochs, models of their own, sites that never train.
 * For test_study_refused.c, after refused_rows.h. */
#ifndef CSL_TEST_REFUSED_MORE_H
#define CSL_TEST_REFUSED_MORE_H
#include "tests/unit/study/refused_rows.h"

#define TWO       "    - {id: b, synth: 0}\n"
#define TAU       "    effective_steps: 9\n"
#define NOVA(key) "    epochs: 1\n" key "rounds: 15\naggregation:\n  strategy: fednova"
#define FITTED    "{learning_rate: 1, batch_patients: full, epochs: 1}"

static const struct row more_rows[] = {
    {16, 0, "rounds: 15\npersonalisation: {}",
     "s.yaml:17:18: personalisation: section 'training' is missing; at least"},
    {16, 0, "rounds: 15\npersonalisation: {training: {learning_rate: 1}}",
     "s.yaml:17:29: training: key 'batch_patients' is missing"},
    {16, 0, "rounds: 15\npersonalisation: {methods: [], training: " FITTED "}",
     "s.yaml:17:28: methods: found 0 methods; 1 to 3 would be right"},
    {16, 0, "rounds: 15\npersonalisation: {methods: [tail], training: " FITTED "}",
     "s.yaml:17:29: found 'tail'; whole, head or ditto would be right"},
    {16, 0, "rounds: 15\npersonalisation: {methods: [[head]], training: " FITTED "}",
     "s.yaml:17:29: found a list"},
    {16, 0, "rounds: 15\npersonalisation: {methods: [head, head], training: " FITTED "}",
     "s.yaml:17:35: method 'head' is listed twice"},
    {16, 0, "rounds: 15\npersonalisation: {lambda: 1, training: " FITTED "}",
     "s.yaml:17:27: lambda: has no effect here: only method ditto has it"},
    {16, 0, "rounds: 15\npersonalisation: {methods: [ditto], lambda: 0, training: " FITTED "}",
     "s.yaml:17:45: lambda: found '0'; a number above 0"},
    {30, 0, TWO "  external: []", "s.yaml:31:13: external: found 0 sites"},
    {30, 0, TWO "  external:\n    - {id: b, synth: 1}",
     "s.yaml:32:12: id: site 'b' trains, and is not external then"},
    {30, 0, TWO "  external:\n    - {id: c, synth: 1}\n    - {id: c, synth: 2}",
     "s.yaml:33:12: id: site 'c' is listed twice"},
    {30, 0, TWO "  external:\n    - {id: c, synth: 1, attack: {kind: label_flip}}",
     "s.yaml:32:33: attack: has no effect here: an external site sends no update"},
    {15, 0, "", "s.yaml:12:5: local: key 'steps' is missing"},
    {15, 0, "    steps: 100\n    epochs: 1",
     "s.yaml:15:12: steps: has no effect here: 'epochs' says how many"},
    {15, 0, "    epochs: 0", "s.yaml:15:13: epochs: found '0'"},
    {15, 0, "    steps: 100\n    effective_steps: 5",
     "s.yaml:16:22: effective_steps: has no effect here: only strategy: fednova has it"},
    {18, 0, "  strategy: fednova", "s.yaml:15:12: steps: every site makes as many steps, and"},
    {15, 18, NOVA(""), "s.yaml:12:5: local: strategy fednova needs 'effective_steps' above 0"},
    {15, 18, NOVA("    effective_steps: 0\n"),
     "s.yaml:16:22: effective_steps: strategy fednova needs 'effective_steps' above 0"},
    {12, 18, "    optimizer: adam\n    learning_rate: 0.01\n    batch_patients: 4\n" NOVA(TAU),
     "s.yaml:12:16: optimizer: adam's steps have no size of their own"},
    {15, 18, NOVA(TAU "    schedule: {kind: cosine}\n"),
     "s.yaml:17:15: schedule: steps of different rates are not brought"},
    {15, 18, "    epochs: 1\nrounds: 15\naggregation:\n  strategy: scaffold",
     "s.yaml:15:13: epochs: scaffold's control is a mean over steps that all sites share"},
    {15, 20,
     "    epochs: 1\nrounds: 15\naggregation: {strategy: fedavg}\n"
     "privacy: {mode: local, epsilon: 1, delta: 1e-6, clip: 1}",
     "s.yaml:15:13: epochs: the noise of a study with privacy is made for a number of steps"},
    {5, 0, "    modality: tabular\n    measured_scale: 0.2",
     "s.yaml:6:21: measured_scale: has no effect here: for modality: ehr_series only"},
    {5, 0, "    modality: ehr_series\n    shape: [4]\n    measured_scale: 0.2",
     "s.yaml:7:21: measured_scale: has no effect here: for windows only"},
    {5, 0, "    modality: ehr_series\n    shape: [4]\n    windows: 2\n    measured_scale: 0",
     "s.yaml:8:21: measured_scale: found 0; a number above 0 would be right"},
};

#endif
