/* privacy/secagg/encode.h - a vector of floats as the words of a masked sum, and back.
 *
 * Site:         floats -> L2 clip -> rotation -> rounding to the grid, cut at +-level ->
 *               + this site's noise share -> lanes. In slices of 2^size_log2 coefficients, each on
 *               its own words, so that a vector of any length needs no second copy, and slices may
 *               be encoded by many threads (with a generator of noise each).
 * Coordinator:  sum of words -> lanes -> * unit / divisor -> inverse rotation -> floats.
 *
 * The grid: unit = clip_entry / level. A coefficient beyond +-clip_entry is cut; with rotation a
 * clip_entry of 5 times the root mean square of the vector cuts next to nothing, of 9 where few
 * entries hold most of the norm.
 *
 * One contribution with an L2 clip (clip_l2 > 0) is rounded conditionally (rounding.h): its
 * integers have an L2 norm of at most encoding.rounding.l2_units. Neighbouring sums differ by one
 * contribution. So where the unit of privacy is the patient, a site turns every patient's vector
 * into levels (csl_encoder_add), sums those, and packs the sum (csl_encoding_pack); cutting a sum
 * at
 * +-level moves no two sums apart. Where the unit is the site, csl_encoder_slice does it all.
 * Without an L2 clip there is no sensitivity, and noise is refused.
 *
 * Encode once, keep the words, resend the words: encoding again draws other noise, and two sums
 * with the same data and other noise are two releases. SOURCE: see lanes.h, rotation.h, rounding.h.
 */
#ifndef CSL_SECAGG_ENCODE_H
#define CSL_SECAGG_ENCODE_H
#include "privacy/secagg/lanes.h"
#include "privacy/secagg/rotation.h"
#include "privacy/secagg/rounding.h"
#include "privacy/secagg/shares.h"

#define CSL_ENCODING_COUNT_MAX (UINT64_C(1) << 32)

/* Public, the same at every site and at the coordinator: part of the round's configuration. */
struct csl_encoding {
    struct csl_lanes lanes;
    struct csl_rotation rotation; /* size_log2 is the size of a slice, rotated or not */
    bool is_rotated;
    const struct csl_shares *shares; /* of the noise; NULL: none. Borrowed */
    uint64_t count;                  /* floats in the vector */
    double clip_entry;               /* every coefficient, after the rotation */
    double clip_l2;                  /* the vector; 0: none */
    /* Filled in by csl_encoding_plan. */
    uint64_t coefficients; /* rotated: `count` padded to whole slices; else `count` */
    double unit;
    struct csl_rounding rounding; /* where clip_l2 > 0 */
};

/* Checks and completes what the caller filled in. CSL_E_INVAL, naming the field: among others,
 * shares without clip_l2 (no sensitivity), for fewer dimensions than there are coefficients, for
 * more sites than the lanes, or with a headroom below four standard deviations of their sum. */
enum csl_code csl_encoding_plan(struct csl_encoding *e, struct csl_err *err) CSL_MUST_CHECK;

/* What a release of the sum over `survivors` sites is, where one contribution is one vector with
 * clip_l2 and the encoding has shares (or it aborts): csl_shares_event with rounding.l2_units, and
 * l1_units = l2_units sqrt(coefficients). Errors as there. */
enum csl_code csl_encoding_event(const struct csl_encoding *e, uint32_t survivors,
                                 struct csl_dp_event *event, struct csl_err *err) CSL_MUST_CHECK;

uint64_t csl_encoding_slices(const struct csl_encoding *e);
/* Coefficients in a slice: 2^size_log2, or fewer in the last one without rotation. */
size_t csl_encoding_slice_size(const struct csl_encoding *e, uint64_t slice);
/* Words of a slice; slice k starts at word k * csl_encoding_slice_words(e, 0). */
size_t csl_encoding_slice_words(const struct csl_encoding *e, uint64_t slice);
uint64_t csl_encoding_words(const struct csl_encoding *e); /* of the vector */

/* A site's encoding of one vector. Borrows `encoding` and `vector` (count floats, unchanged). */
struct csl_encoder {
    const struct csl_encoding *encoding;
    const float *vector;
    uint8_t coins[32];
    double factor;       /* of the L2 clip, and the weight: at most 1 */
    uint32_t attempt;    /* of the rounding; CSL_ROUNDING_TRIES: towards zero */
    double truncated_by; /* then the coefficients are multiplied with this, 1 by all odds */
};

/* `coins`: a fresh random key for every (attempt of a round, block, vector). With an L2 clip two
 * passes and more over the vector, to find the rounding that holds the bound. CSL_E_INVAL: NaN,
 * infinity or a magnitude above 2^100 in the vector (it contributes nothing; the caller decides
 * what a site sends then). */
enum csl_code csl_encoder_start(struct csl_encoder *s, const struct csl_encoding *encoding,
                                const float *vector, const uint8_t coins[32],
                                struct csl_err *err) CSL_MUST_CHECK;
/* The same of weight * vector, clipped before it is weighed; 0 < weight <= 1, or it aborts. */
enum csl_code csl_encoder_start_weighted(struct csl_encoder *s, const struct csl_encoding *encoding,
                                         const float *vector, double weight,
                                         const uint8_t coins[32],
                                         struct csl_err *err) CSL_MUST_CHECK;
/* One slice as integers, out[csl_encoding_slice_size]; the same on every call. Returns how many
 * coefficients were cut, a private number. */
size_t csl_encoder_levels(const struct csl_encoder *s, uint64_t slice, int64_t *out);
/* Adds the whole vector's integers to sum[coefficients]; below 2^28 vectors no sum overflows. */
void csl_encoder_add(const struct csl_encoder *s, int64_t *sum);
/* One slice as words[csl_encoding_slice_words]. Where the encoding has shares, this site's share is
 * drawn from `noise`; else `noise` is NULL. Anything else aborts. Returns as above. */
size_t csl_encoder_slice(const struct csl_encoder *s, uint64_t slice, struct csl_rng *noise,
                         uint64_t *words);
void csl_encoder_wipe(struct csl_encoder *s); /* forgets the coins */

/* Packs one slice of integer sums (csl_encoding_slice_size of them, cut at +-level in the words,
 * `sums` unchanged) with the share of the noise, as above. Returns how many were cut. */
size_t csl_encoding_pack(const struct csl_encoding *e, uint64_t slice, const int64_t *sums,
                         struct csl_rng *noise, uint64_t *words);

/* One slice of the sum of `contributors` sites' words, the sites that sent THIS block, as floats:
 * out = sum of the vectors / divisor; out[min(2^size_log2, count - slice * 2^size_log2)]. Writes
 * the number of lanes outside what honest sites can sum to. CSL_E_INVAL, outputs untouched:
 * contributors 0 or above sites_max; divisor (the total weight) outside 2^-40 to 2^40. */
enum csl_code csl_encoding_decode(const struct csl_encoding *e, uint64_t slice,
                                  const uint64_t *words, uint32_t contributors, double divisor,
                                  float *out, size_t *outside, struct csl_err *err) CSL_MUST_CHECK;

#endif
