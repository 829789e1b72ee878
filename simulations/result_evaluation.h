/* simulations/result_evaluation.h - one model, or one recipe, at every site; its averages, and
 * their spread over repeats. One thread. */
#ifndef CSL_RESULT_EVALUATION_H
#define CSL_RESULT_EVALUATION_H
#include "aggregation/evaluate/metrics.h"

/* One model on the test patients of every site. */
struct csl_evaluation {
    uint32_t site_count, domain_count;
    struct csl_metrics *cells;  /* [site_count, domain_count]; NULL: not measured; owned */
    struct csl_metrics *pooled; /* [domain_count], all sites' test scores together; owned */
};
/* An unweighted mean of one metric over the sites (then over the domains) that have it. */
struct csl_mean {
    const char *name; /* static */
    double value, low, high;
    uint32_t count;    /* sites, or domains, that have the metric */
    bool has_interval; /* normal approximation from the intervals of its parts */
};

enum csl_code csl_evaluation_init(struct csl_evaluation *e, uint32_t site_count,
                                  uint32_t domain_count, bool has_cells,
                                  struct csl_err *err) CSL_MUST_CHECK;
void csl_evaluation_release(struct csl_evaluation *e);
/* NULL when the evaluation has no cells. */
const struct csl_metrics *csl_evaluation_cell(const struct csl_evaluation *e, uint32_t site,
                                              uint32_t domain);
/* Over the sites of one domain; false when no site has the metric. */
bool csl_evaluation_mean(const struct csl_evaluation *e, uint32_t domain, const char *name,
                         struct csl_mean *out);
/* Over domains of the mean over sites: site -> domain -> overall, each unweighted. */
bool csl_evaluation_overall(const struct csl_evaluation *e, const char *name, struct csl_mean *out);

/* Mean and standard deviation over repeats of one number. */
struct csl_spread {
    const char *name; /* static */
    uint32_t count;
    double mean, squares; /* sum of squared distances from the mean (Welford) */
};
struct csl_spread_set {
    struct csl_spread items[CSL_METRICS_MAX];
    uint32_t count;
};
struct csl_evaluation_spread {
    uint32_t site_count, domain_count;
    struct csl_spread_set *cells;  /* [site_count, domain_count] or NULL; owned */
    struct csl_spread_set *pooled; /* [domain_count]; owned */
    struct csl_spread_set *means;  /* [domain_count], mean over sites; owned */
    struct csl_spread_set overall;
};
/* Adds one evaluation; the first call sizes *s. */
enum csl_code csl_evaluation_spread_add(struct csl_evaluation_spread *s,
                                        const struct csl_evaluation *e,
                                        struct csl_err *err) CSL_MUST_CHECK;
void csl_evaluation_spread_release(struct csl_evaluation_spread *s);
const struct csl_spread *csl_spread_find(const struct csl_spread_set *s, const char *name);
bool csl_spread_sd(const struct csl_spread *s, double *sd); /* sample; false below two values */
enum csl_code csl_evaluation_spread_init(struct csl_evaluation_spread *s, uint32_t site_count,
                                         uint32_t domain_count, bool has_cells,
                                         struct csl_err *err) CSL_MUST_CHECK;

#endif
