/* simulations/result_transfer.h - the released model beyond the sites and the form it was trained
 * in: made each site's own, at a site that was left out of training, and at that site once it has a
 * few labelled patients. Included by result.h. */
#ifndef CSL_RESULT_TRANSFER_H
#define CSL_RESULT_TRANSFER_H
#include "protocol/study/study.h"
#include "simulations/result_evaluation.h"

#define CSL_FEW_LEVELS 3
extern const uint32_t csl_few_levels[CSL_FEW_LEVELS]; /* labelled patients of each class, at most */

/* Evaluations whose model at site s is another one for every s: cell (s, domain) is that model on
 * the test patients of s, "pooled" all test patients each judged by the model of their site. */
enum csl_transfer {
    /* In the order of enum csl_personal_method: the released model, fitted to the site. */
    CSL_TRANSFER_WHOLE,
    CSL_TRANSFER_HEAD,
    CSL_TRANSFER_DITTO,
    /* The model of the same study without the site. */
    CSL_TRANSFER_LEFT_OUT,
    /* That model with its head fitted to a few patients of the site, one for each level; */
    CSL_TRANSFER_FEW_HEAD,
    /* and what the site makes of the same patients alone. */
    CSL_TRANSFER_FEW_LOCAL = CSL_TRANSFER_FEW_HEAD + CSL_FEW_LEVELS,
    CSL_TRANSFER_COUNT = CSL_TRANSFER_FEW_LOCAL + CSL_FEW_LEVELS
};
struct csl_result_transfer {
    bool asks_personal, asks_left_out, asks_few;
    /* Why what was asked for is not there; "" otherwise. */
    char personal_reason[160], left_out_reason[160];
    char training[160];                               /* how sites fit the model, in words */
    double lambda;                                    /* of ditto; 0 without */
    struct csl_evaluation models[CSL_TRANSFER_COUNT]; /* pooled NULL: not measured; owned */
    /* [site_count, domain_count] nothing could be learned from the site's training patients: its
     * own version is the released model. NULL: nobody was asked to; owned */
    bool *keeps;
    uint32_t *labelled; /* [CSL_FEW_LEVELS, site_count, domain_count] patients whose labels were
                           used; NULL unless few were asked for; owned */
};
struct csl_result;
enum csl_code csl_result_transfer_init_personal(struct csl_result *r,
                                                struct csl_err *err) CSL_MUST_CHECK;
/* Room for the levels: sets asks_few; r has its sites and domains. */
enum csl_code csl_result_transfer_init_few(struct csl_result *r,
                                           struct csl_err *err) CSL_MUST_CHECK;
void csl_result_transfer_release(struct csl_result_transfer *t);
/* "Fine-tuned", "Head only", ...: for tables. */
const char *csl_transfer_title(enum csl_transfer t);
#define CSL_PERSONAL_WORDS                                                                         \
    "Each site's own model is fitted to its training patients after the last round and stays at "  \
    "the site: it costs nobody any privacy. Handed out, it would tell of those patients without "  \
    "any bound."

#endif
