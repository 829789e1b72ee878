/* site-agent/training/privacy_plan.h - what a study with privacy costs one site's units, with which
 * noise the site trains, and what one round will have done to them: fixed before the first batch is
 * drawn, from the study and the site's number of patients (which the promise takes as public).
 *
 * A site that trains several domains charges all of them to every patient: a patient may have
 * records in each. A study with inputs trains all domains in each step, with one contribution of a
 * patient over all blocks of the site: it has one row and one event, whatever the domains. */
#ifndef CSL_PRIVACY_PLAN_H
#define CSL_PRIVACY_PLAN_H
#include "privacy/dp/account.h"
#include "privacy/dp/noise.h"
#include "protocol/study/study.h"

/* Mode local: DP-SGD on one domain; mode site: which domain is trained, noise empty. */
struct csl_private_domain {
    uint32_t domain;
    uint64_t patients;     /* N, the training patients: slots, whose number is public */
    double sampling_rate;  /* q = batch / N, rounded up to a multiple of 2^-64 */
    double expected_batch; /* q N, the divisor of a step's sum */
    uint64_t parameters;   /* of one contribution: the domain's block, or all blocks of the site; in
                              mode joint of a study with inputs all blocks of all sites */
    struct csl_noise noise;
};

struct csl_privacy_plan {
    enum csl_privacy_mode mode;
    double noise_multiplier; /* as the accountants see it: std / charged sensitivity */
    double epsilon, delta;   /* of all rounds together; epsilon rounded up */
    uint32_t domain_count;   /* domains this site trains */
    struct csl_private_domain domains[CSL_DOMAINS_MAX];
    uint32_t shares; /* mode joint: sites whose noise the price counts on, in every block of a sum;
                        else 0. The noise of a domain is then one site's share, the events are those
                        of the sum */
    struct csl_noise site_noise;                 /* mode site: of the whole update */
    uint32_t event_count;                        /* one per domain, or one for mode site */
    struct csl_dp_event events[CSL_DOMAINS_MAX]; /* of ONE round */
};

/* patients: [study->domain_count] training patients of the site, 0: it lacks the domain; of a study
 * with inputs [schema.block_count + 1]: of each block, then all the site has. With
 * epsilon in the study, solves for the smallest noise whose certified price over all rounds is at
 * most that. CSL_E_INVAL: no privacy in the study, no patients at all; CSL_E_BUDGET: no noise
 * multiplier up to 1e5 is enough (says what would be right). Tens of milliseconds. *out is empty on
 * failure; it is not to be copied, and ends in csl_privacy_plan_release. Any thread. */
enum csl_code csl_privacy_plan_make(struct csl_privacy_plan *out, const struct csl_study *study,
                                    const uint64_t *patients, struct csl_err *err) CSL_MUST_CHECK;
void csl_privacy_plan_release(struct csl_privacy_plan *p); /* accepts an empty one */
/* The events of `rounds` rounds into out: [event_count]. */
void csl_privacy_plan_events(const struct csl_privacy_plan *p, uint64_t rounds,
                             struct csl_dp_event *out);

/* Mode joint: epsilon, rounded up, of `rounds` sums that were opened, at the plan's delta. Sum i
 * holds the shares of survivors[i] sites (of a study with inputs, where each block has senders of
 * its own: of the block with the fewest, since every other has more noise), of which an adversary
 * knows `known` (0: the coordinator alone; the study's colluding: the coordinator with as many
 * sites) and subtracts them, so that survivors[i] - known shares of variance are priced. Never
 * above the plan's price where no sum has fewer than minimum_sites survivors and at most the
 * study's colluding are known. It says what was lost, after the fact: who decides what may still be
 * spent counts the plan's. CSL_E_INVAL: another mode, a sum with nothing but known shares;
 * CSL_E_NOMEM. 0 for no rounds. Milliseconds for each number of survivors. Any thread. */
enum csl_code csl_privacy_plan_realised(const struct csl_privacy_plan *p, uint32_t known,
                                        const uint32_t *survivors, size_t rounds, double *epsilon,
                                        struct csl_err *err) CSL_MUST_CHECK;

#endif
