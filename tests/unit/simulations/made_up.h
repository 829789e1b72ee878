/* tests/unit/simulations/made_up.h - a result nobody measured, for the tests of what is written
 * about results. */
#ifndef CSL_TEST_MADE_UP_H
#define CSL_TEST_MADE_UP_H
#include "simulations/result.h"

/* `domains` 1 to 3: binary, survival, classes. Site 0 lacks the AUC of domain 0, the last site has
 * no local model. With `repeats`, five seeds. */
void made_up_result(struct csl_result *r, uint32_t sites, uint32_t domains, bool repeats);

/* Gives r a ledger per site (none for the last one, which never accepted the study), and with
 * `prices` a sweep over epsilon .5, 1, 2, 8 and none with five seeds. canaries 0: no audit. */
void made_up_privacy(struct csl_result *r, const char *mode, uint32_t canaries, bool prices);
/* What the sums of a run in mode joint cost: seven and eight sites, one of which may collude. */
void made_up_realised(struct csl_result *r);

/* Some metrics for every site, of another value for another salt. */
void made_up_evaluation(struct csl_evaluation *e, const struct csl_result *r, uint32_t salt);
/* Adds every site's own model by every method, sites left out, and few patients; with r->repeats
 * their spread over five seeds. The last site keeps the released model for domain 0. */
void made_up_transfer(struct csl_result *r);

/* Adds two external sites, oslo and "x<y"; with r->repeats their spread over five seeds. */
void made_up_external(struct csl_result *r);

/* Adds what comes from summed counts, gaps, and a section 'release' that nothing stands against as
 * long as there is one domain. */
void made_up_fairness(struct csl_result *r);

#endif
