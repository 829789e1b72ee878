/* tests/property/dp/contour.h - delta(eps) of the Poisson-sampled Gaussian without any grid of
 * losses: the contour integral of Alghamdi et al. 2023, Theorem 3.1, delta(eps) = 1/(2 pi i) int_{c
 * - i inf}^{c + i inf} e^(K(z) - z eps) / (z (z + 1)) dz, by the trapezoid rule, whose aliases are
 * e^(cmB) delta(eps + mB) for a period B. An oracle for tests that shares nothing with the loss
 * distributions but libm. */
#ifndef CSL_TESTS_PROPERTY_DP_CONTOUR_H
#define CSL_TESTS_PROPERTY_DP_CONTOUR_H
#include <stdbool.h>
#include <stddef.h>

#define CONTOUR_PARTS_MAX 4
struct contour_part { /* so many equal steps */
    double sigma, q, steps;
};
/* All steps together; parts: [count], at most CONTOUR_PARTS_MAX. The rest as below. */
bool contour_delta_of(const struct contour_part *parts, size_t count, bool is_add, double eps,
                      double *delta_out);
/* false: it would take too many nodes. Relative error about 1e-8. is_add: the direction. */
bool contour_delta(double sigma, double q, double steps, bool is_add, double eps,
                   double *delta_out);

#endif
