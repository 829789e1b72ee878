/* simulations/release.h - whether a model may be handed out, by what its own study asks (section
 * 'release'), and the model card that goes with it. Drawn from a result alone. */
#ifndef CSL_RELEASE_H
#define CSL_RELEASE_H
#include "simulations/result.h"

#define CSL_RELEASE_REASONS_MAX 32

/* What stands against the release, in plain words, most general first; count 0: nothing. */
struct csl_release_verdict {
    uint32_t count;
    char reasons[CSL_RELEASE_REASONS_MAX][240];
};
/* Nothing stands against a study without the section. Otherwise: an interrupted run; a floor that a
 * figure misses or that has no figure; a collapsed class, overall or in a shown group; with
 * model_card required an empty mandatory item: question, intended_use, not_for, training patients
 * of every site, a figure with an interval for every domain, at least two shown groups for every
 * attribute in every counted domain (so a section 'fairness'), and with privacy a verified ledger
 * of every site whose noise was real. Floors are compared with the value, not with an end of its
 * interval. */
void csl_release_judge(const struct csl_result *r, struct csl_release_verdict *out);

/* The model card as Markdown and as JSON ("consilium.model-card/1"). Numbers of patients of single
 * sites and groups are given in bands. */
void csl_card_markdown(const struct csl_result *r, struct csl_buf *out);
void csl_card_json(const struct csl_result *r, struct csl_buf *out);
/* "fewer than 30", "30-99", ... "10000 or more". */
const char *csl_card_band(uint64_t patients);

/* What nobody measured, in plain sentences without a full stop. */
#define CSL_CARD_MISSING_MAX 24
struct csl_card_missing {
    uint32_t count;
    char items[CSL_CARD_MISSING_MAX][200];
};
void csl_card_list_missing(const struct csl_result *r, struct csl_card_missing *out);

#endif
