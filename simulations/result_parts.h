/* simulations/result_parts.h - what the writers and readers of summary.json share; used by
 * result_*.c only. */
#ifndef CSL_RESULT_PARTS_H
#define CSL_RESULT_PARTS_H
#include "base/json.h"
#include "simulations/result.h"

struct csl_result_reader {
    const char *name; /* of the file */
    struct csl_result *r;
    struct csl_err *err;
};
/* CSL_E_CORRUPT that names the file and the member. */
enum csl_code csl_result__bad(const struct csl_result_reader *rd, const char *member,
                              const char *wanted);

/* "examples", "positives" and "metrics" into the open object (result_json.c), and back
 * (result_read.c). */
void csl_result__put_metrics(struct csl_json *j, const struct csl_metrics *m);
enum csl_code csl_result__read_metrics(const struct csl_result_reader *rd,
                                       const struct csl_json_value *object,
                                       struct csl_metrics *m) CSL_MUST_CHECK;
enum csl_code csl_result__read_metric(const struct csl_result_reader *rd, const char *name,
                                      const struct csl_json_value *v,
                                      struct csl_metric *out) CSL_MUST_CHECK;
/* "domains" with their cells, "mean_over_sites" and, of a study with one domain, "pooled". */
void csl_result__put_evaluation(struct csl_json *j, const struct csl_result *r,
                                const struct csl_evaluation *e);
/* *e is new, or was initialised with cells. */
enum csl_code csl_result__read_evaluation(const struct csl_result_reader *rd,
                                          const struct csl_json_value *object,
                                          struct csl_evaluation *e) CSL_MUST_CHECK;
/* key NULL: into the open object. Nothing for a spread of nothing. */
void csl_result__put_evaluation_spread(struct csl_json *j, const struct csl_result *r,
                                       const char *key, const struct csl_evaluation_spread *e);
enum csl_code csl_result__read_evaluation_spread(const struct csl_result_reader *rd,
                                                 const struct csl_json_value *object,
                                                 struct csl_evaluation_spread *s) CSL_MUST_CHECK;
bool csl_result__find_site(const struct csl_result *r, const struct csl_json_value *object,
                           const char *key, uint32_t *site);
bool csl_result__find_domain(const struct csl_result *r, const struct csl_json_value *object,
                             const char *key, uint32_t *domain);

/* --- result_transfer.c: members "personalisation", "leave_one_out"; absent where not asked for ---
 */
void csl_result__put_transfer(struct csl_json *j, const struct csl_result *r);
enum csl_code csl_result__read_transfer(const struct csl_result_reader *rd,
                                        const struct csl_json_value *root) CSL_MUST_CHECK;
/* Member "transfer" of "repeats"; `v` may be NULL. */
void csl_result__put_transfer_repeats(struct csl_json *j, const struct csl_result *r,
                                      const struct csl_repeats *p);
enum csl_code csl_result__read_transfer_repeats(const struct csl_result_reader *rd,
                                                const struct csl_json_value *v,
                                                struct csl_repeats *p) CSL_MUST_CHECK;
uint32_t *csl_result__labelled(const struct csl_result *r, uint32_t level, uint32_t site,
                               uint32_t domain);

/* --- result_external.c: member "external_validation", of the run and of "repeats" --- */
void csl_result__put_external(struct csl_json *j, const struct csl_result *r);
void csl_result__put_external_repeats(struct csl_json *j, const struct csl_result *r,
                                      const struct csl_repeats *p);
/* `v` is the member and may be NULL. */
enum csl_code csl_result__read_external(const struct csl_result_reader *rd,
                                        const struct csl_json_value *v) CSL_MUST_CHECK;
enum csl_code csl_result__read_external_repeats(const struct csl_result_reader *rd,
                                                const struct csl_json_value *v,
                                                struct csl_repeats *p) CSL_MUST_CHECK;

/* --- result_fairness_json.c --- */
/* Members "fairness", "from_counts", "gaps", "reported_gaps", "worst"; "release". Absent where
 * there is nothing. */
void csl_result__put_fairness(struct csl_json *j, const struct csl_result *r);
void csl_result__put_release(struct csl_json *j, const struct csl_result *r);
enum csl_code csl_result__read_fairness(const struct csl_result_reader *rd,
                                        const struct csl_json_value *root) CSL_MUST_CHECK;

/* --- report_weights.c: member "domain_weights"; none where the study has none. `v` may be NULL ---
 */
void csl_result__put_weights(struct csl_json *j, const struct csl_result *r);
enum csl_code csl_result__read_weights(const struct csl_result_reader *rd,
                                       const struct csl_json_value *v) CSL_MUST_CHECK;

/* --- result_rejected.c: member "rejected_rounds", from the rows; none where there is none. A
 * reader has it from metrics.csv --- */
void csl_result__put_rejected(struct csl_json *j, const struct csl_result *r);

/* --- result_labels.c: member "labels"; none without a domain of several --- */
void csl_result__put_labels(struct csl_json *j, const struct csl_result *r);
/* `list` may be NULL. */
enum csl_code csl_result__read_labels(const struct csl_result_reader *rd,
                                      const struct csl_json_value *list) CSL_MUST_CHECK;

/* --- result_privacy.c --- */
/* Member "privacy" of the run and of a site; "ledger" of the run, when any site has one. */
void csl_result__put_privacy(struct csl_json *j, const struct csl_result *r);
void csl_result__put_site_privacy(struct csl_json *j, const struct csl_result *r, uint32_t site);
void csl_result__put_ledger(struct csl_json *j, const struct csl_result *r);
/* `privacy` is the run's and may be NULL. */
enum csl_code csl_result__read_mode(const struct csl_result_reader *rd,
                                    const struct csl_json_value *privacy) CSL_MUST_CHECK;
/* `v` is a site's "privacy" and may be NULL: nothing is known. rd->r->privacy is known. */
enum csl_code csl_result__read_site_privacy(const struct csl_result_reader *rd,
                                            const struct csl_json_value *v,
                                            struct csl_result_privacy *out) CSL_MUST_CHECK;

/* --- result_realised.c: member "realised" of the run's "privacy"; none where nothing is known ---
 */
void csl_result__put_realised(struct csl_json *j, const struct csl_result_realised *p);
/* `v` may be NULL: nothing is known. */
enum csl_code csl_result__read_realised(const struct csl_result_reader *rd,
                                        const struct csl_json_value *v) CSL_MUST_CHECK;

/* --- result_attack.c: member "attack" of a site; none for an honest one --- */
void csl_result__put_attack(struct csl_json *j, const struct csl_result_attack *a);
/* `v` may be NULL: an honest site. */
enum csl_code csl_result__read_attack(const struct csl_result_reader *rd,
                                      const struct csl_json_value *v,
                                      struct csl_result_attack *out) CSL_MUST_CHECK;

#endif
