/* protocol/study/study_privacy.h - what a study says of noise and of masks: what a patient may
 * cost, and who sees what of a site's update. */
#ifndef CSL_STUDY_PRIVACY_H
#define CSL_STUDY_PRIVACY_H
#include <stdbool.h>
#include <stdint.h>

enum csl_privacy_mode {
    CSL_PRIVACY_NONE,  /* no noise, no promise */
    CSL_PRIVACY_LOCAL, /* DP-SGD inside every site: each update is private by itself; unit: patient
                        */
    CSL_PRIVACY_SITE,  /* every site clips and noises its whole update; unit: the site */
    CSL_PRIVACY_JOINT  /* every site adds a share of one noise inside the masked sum; unit: patient
                        */
};

/* What one unit (a patient, or with CSL_PRIVACY_SITE a whole site) may cost. Add/remove adjacency;
 * the number of patients a site trains on is taken as public. */
struct csl_study_privacy {
    enum csl_privacy_mode mode; /* the rest is 0 with CSL_PRIVACY_NONE */
    double epsilon; /* every site spends at most this over all rounds, and solves for its noise; 0:
                       the noise multiplier is stated instead */
    double
        noise_multiplier; /* noise standard deviation / clip, the same at every site; 0: solved */
    double delta;         /* (0, 1) */
    double clip;          /* L2 norm of one unit's contribution to one step; > 0 */
    double sampling_rate; /* joint: of patients, the same at every site; (0, 1] */
};

/* Sums under masks (protocol FSA-1): the coordinator learns the sum over the surviving sites and
 * nothing of a single one. */
struct csl_study_secagg {
    bool is_on;             /* the rest is 0 without */
    uint32_t colluding;     /* c: sites that may work with the coordinator */
    uint32_t minimum_sites; /* survivors of a sum; >= colluding + 2 */
    uint32_t lane_bits;     /* of a parameter: 16, 21, 32; 64: a word each, and the rest is 0 */
    double clip_norm; /* L2 norm to which a site's update of each domain is scaled down; > 0 */
    bool is_rotated;
    uint32_t weight_cap;   /* weights by patients: one site counts with at most so many; else 0 */
    uint32_t audit_chunks; /* of each sum, that every site checks; 0: none */
    bool is_sparse;        /* sparse graphs (FSA-1/k) where the roster has 129 sites or more */
    uint32_t losses_max;   /* sparse: sites that may be lost once the senders are known */
};
/* A study with lanes needs so many steps between -clip and clip in every lane. */
#define CSL_STUDY_LEVELS_MIN 512

#endif
