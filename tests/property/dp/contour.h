/* tests/property/dp/contour.h - delta(eps) of the Poisson-sampled Gaussian without any grid of
 * losses: the contour integral of Alghamdi et al. 2023, Theorem 3.1, delta(eps) = 1/(2 pi i) int_{c
 * - i inf}^{c + i inf} e^(K(z) - z eps) / (z (z + 1)) dz, by the trapezoid rule, whose aliases are
 * e^(cmB) delta(eps + mB) for a period B. An oracle for tests that shares nothing with the loss
 * distributions but libm. */
#ifndef CSL_TESTS_PROPERTY_DP_CONTOUR_H
#define CSL_TESTS_PROPERTY_DP_CONTOUR_H
#include <stdbool.h>

/* false: it would take too many nodes. Relative error about 1e-8. is_add: the direction. */
bool contour_delta(double sigma, double q, double steps, bool is_add, double eps,
                   double *delta_out);

#endif
