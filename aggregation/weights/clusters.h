/* aggregation/weights/clusters.h - patients by how hard they are, where a site has no attribute to
 * group them by. Never leaves the site.
 *
 * NOT a group of people: a weight by clusters may raise performance on hard patients and is no
 * evidence of fairness to anybody. Whatever shows it has to say so.
 *
 * k-means with k = 1, 2 or 3 on each patient's mean over the last losses, every cluster of at least
 * patients_min. k is the smallest whose gap statistic (Tibshirani, Walther, Hastie 2001) is within
 * a standard error of the largest one. Its reference needs no draws here: of n uniform values on a
 * line the sum of squares in k clusters is that in one divided by k^2, with a relative deviation of
 * sqrt(.8 / n). So patients that differ no more than chance stay one cluster, which an "elbow" can
 * never find.
 * Deterministic. Any thread. */
#ifndef CSL_WEIGHTS_CLUSTERS_H
#define CSL_WEIGHTS_CLUSTERS_H
#include "aggregation/weights/groups.h"

#define CSL_CLUSTERS_MAX 3

/* losses: [patients, history], oldest first. cluster: [patients], from 1 (the easiest); *count: how
 * many there are. CSL_E_INVAL: a loss that is not finite; CSL_E_LIMIT: no patient, no history;
 * CSL_E_NOMEM. */
enum csl_code csl_cluster_patients(uint32_t patients, uint32_t history, const float *losses,
                                   uint32_t patients_min, uint8_t *cluster, uint32_t *count,
                                   struct csl_err *err) CSL_MUST_CHECK;

#endif
