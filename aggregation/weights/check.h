/* aggregation/weights/check.h - what a site checks of a table of domain weights that it is sent,
 * before it multiplies anything by it: a coordinator could otherwise put all weight on one site and
 * read its update from the sum. Any thread. */
#ifndef CSL_WEIGHTS_CHECK_H
#define CSL_WEIGHTS_CHECK_H
#include "aggregation/weights/domain.h"

struct csl_weights_limits {
    double cap;           /* of lambda: |ln lambda| <= ln cap */
    double step_max;      /* of the change of ln lambda since the table before; HUGE_VAL: none */
    double group_cap;     /* c_g of the site's group weights; 1: none */
    double product_max;   /* cap * group_cap at most; 4 is right: 16 to 1 between two patients */
    double patients_max;  /* one site counts with at most so many patients in a domain; > 0 */
    double effective_min; /* effective number of contributors at least; 1: not looked at */
};

/* One domain as the table and the roster show it. */
struct csl_weights_line {
    double log_lambda, log_lambda_before;
    double patients;    /* N_d as published */
    bool is_domain_new; /* of a first table: log_lambda_before is 0 */
};

/* CSL_OK: may be used. CSL_E_INVAL: a number that is not finite, or limits that contradict each
 * other; CSL_E_LIMIT, naming the domain: above the cap, a step too large, or weight so concentrated
 * that no effective number of contributors above effective_min is certain. That bound: no site has
 * more than patients_max in each domain, so no share is above
 *     p = patients_max * sum_d lambda_d / sum_d N_d lambda_d,
 * and shares of at most p that sum to 1 have an effective number of at least 1/p. */
enum csl_code csl_weights_check(const struct csl_weights_limits *limits, uint32_t count,
                                const struct csl_weights_line *lines,
                                struct csl_err *err) CSL_MUST_CHECK;

#endif
