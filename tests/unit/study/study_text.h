/* A small valid study, line by line, for tests that change one line of it. */
#ifndef CSL_TEST_STUDY_TEXT_H
#define CSL_TEST_STUDY_TEXT_H

static const char *const study_lines[] = {
    /*  1 */ "study: heart-4",
    /*  2 */ "question: Does it work?",
    /*  3 */ "domains:",
    /*  4 */ "  - id: heart",
    /*  5 */ "    modality: tabular",
    /*  6 */ "    task: {kind: binary, label: disease, positive: present}",
    /*  7 */
    "    features: [age, {name: chol, unit: mg/dl, centre: 200, scale: 50, range: [0, 700]}]",
    /*  8 */ "    scaling: constants",
    /*  9 */ "model: {kind: linear}",
    /* 10 */ "training:",
    /* 11 */ "  local:",
    /* 12 */ "    optimizer: sgd",
    /* 13 */ "    learning_rate: 0.01",
    /* 14 */ "    batch_patients: 4",
    /* 15 */ "    steps: 100",
    /* 16 */ "rounds: 15",
    /* 17 */ "aggregation:",
    /* 18 */ "  strategy: fedavg",
    /* 19 */ "  weights: {kind: samples}",
    /* 20 */ "privacy: {mode: none}",
    /* 21 */ "sites:",
    /* 22 */ "  minimum: 2",
    /* 23 */ "  participants: [a, b]",
    /* 24 */ "  round_deadline: 10m",
    /* 25 */ "evaluation: {every: 5}",
    /* 26 */ "baselines: {optimizer: adam, learning_rate: 0.001, batch_patients: full, epochs: 50}",
    /* 27 */ "simulation:",
    /* 28 */ "  sites:",
    /* 29 */ "    - {id: a, synth: 3}",
    /* 30 */ "    - {id: b, csv: x.csv, mapping: m.yaml, where: {column: c, any_of: [\"1\", x]}}",
};

#define STUDY_LINES (sizeof(study_lines) / sizeof(study_lines[0]))

#endif
