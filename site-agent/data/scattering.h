/* site-agent/data/scattering.h - wavelet scattering coefficients of an image: fixed features that
 * no data have shaped, for the small models that privacy leaves room for.
 *
 * SOURCE: Bruna and Mallat 2013, sections 2 and 3, with two scales, four directions and second
 * order, wavelets as in Andreux et al. 2020 (Kymatio); under privacy Tramer and Boneh 2021,
 * sections 2 and 3 (there eight directions, and no logarithm).
 *
 * Each channel by itself: the image x, minus its mean and over its standard deviation; then
 *
 *   w(j, t)      (exp(i f_j p) - c) g: p = u cos(a_t) + v sin(a_t), q = v cos(a_t) - u sin(a_t), u
 *                along a row, v from row to row; a_t = pi t / 4, f_j = 3 pi / 4 / 2^j; g the
 *                Gaussian of deviation s_j = 0.8 2^j in p and 2 s_j in q, cut off at 3 deviations,
 *                sum 1; c such that the sum of the wavelet is 0 (Morlet)
 *   U(j, t)      |x * w(j, t)|, j = 0, 1
 *   U(t, t')     |U(0, t) * w(1, t')|
 *   S            x, each U(0, .), each U(1, .), each U(t, t') smoothed by a Gaussian of deviation
 *                1.6 around the middle of each 4 x 4 pixels, cut off at 4.5 pixels
 *
 * where every filter sees its input continued by reflection at the border, but the last, whose
 * weights within the image sum to one. Of all but x the logarithm of 0.1 + S; then each of the four
 * kinds above, over positions and paths together, minus its mean and over the root of its variance
 * plus 1e-5, so that all records measure about the same and none depends on another. */
#ifndef CSL_DATA_SCATTERING_H
#define CSL_DATA_SCATTERING_H
#include "protocol/study/study.h"

struct csl_scattering;
/* Of images of height, width, channels; height and width as a study with `scattering` has them.
 * CSL_E_NOMEM. */
enum csl_code csl_scattering_new(struct csl_scattering **out, const uint32_t shape[3],
                                 struct csl_err *err) CSL_MUST_CHECK;
void csl_scattering_free(struct csl_scattering *s); /* NULL is fine */
/* image: [height, width, channels], finite or NaN, which counts as the channel's mean. to: [height
 * / CSL_SCATTERING_STEP, width / CSL_SCATTERING_STEP, channels, CSL_SCATTERING_PATHS], finite, the
 * paths as listed above, t before t'; all 0 of a channel of one value. Works in memory of *s: one
 * thread at a time. */
void csl_scattering_run(struct csl_scattering *s, const float *image, float *to);

#endif
