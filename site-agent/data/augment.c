#include "site-agent/data/augment.h"

#include "base/check.h"
#include "base/limits.h"
#include "privacy/crypto/rng.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static void rng_of(struct csl_rng *r, const struct csl_augment_label *l, const char *what)
{
    char label[CSL_ID_MAX + 32];
    int n = snprintf(label, sizeof(label), "augment %s %s", what, l->site);
    CSL_ASSERT(n > 0 && (size_t)n < sizeof(label));
    csl_rng_init_label(r, l->seed, label, l->round, l->patient, l->record);
}

/* Uniform on -most..most. */
static int64_t draw_shift(struct csl_rng *r, uint32_t most)
{
    return (int64_t)csl_rng_below(r, 2 * (uint64_t)most + 1) - (int64_t)most;
}

/* Uniform on [-most, most). */
static float draw_between(struct csl_rng *r, double most)
{
    return (float)(most * (2.0 * csl_rng_uniform(r) - 1.0));
}

/* Position `at` of `count` after a shift, held at the ends. */
static uint32_t moved(uint32_t at, int64_t shift, uint32_t count)
{
    int64_t v = (int64_t)at - shift;
    return v < 0 ? 0 : v >= (int64_t)count ? count - 1 : (uint32_t)v;
}

void csl_augment_image(const struct csl_augment_image *a, const struct csl_augment_label *l,
                       const uint32_t shape[3], const float *from, float *to)
{
    struct csl_rng r;
    uint32_t height = shape[0], width = shape[1], channels = shape[2];
    rng_of(&r, l, "image");
    int64_t down = draw_shift(&r, a->shift_max), right = draw_shift(&r, a->shift_max);
    bool is_mirrored = csl_rng_below(&r, 2) == 1 && a->may_mirror;
    float brighter = draw_between(&r, a->brightness_max);
    for (uint32_t y = 0; y < height; y++) {
        const float *row = from + (size_t)moved(y, down, height) * width * channels;
        for (uint32_t x = 0; x < width; x++) {
            uint32_t at = moved(x, right, width);
            const float *pixel = row + (size_t)(is_mirrored ? width - 1 - at : at) * channels;
            for (uint32_t c = 0; c < channels; c++)
                *to++ = pixel[c] + brighter;
        }
    }
}

/* Whether each lead stays. When chance takes all of them, one of them is given back. */
static void draw_leads(struct csl_rng *r, double dropout, uint32_t leads, float *stays)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < leads; i++) {
        stays[i] = csl_rng_uniform(r) >= dropout ? 1.0f : 0.0f;
        left += stays[i] > 0.0f;
    }
    uint64_t saved = csl_rng_below(r, leads);
    if (left == 0)
        stays[saved] = 1.0f;
}

void csl_augment_signal(const struct csl_augment_signal *a, const struct csl_augment_label *l,
                        const uint32_t shape[2], const float *from, float *to)
{
    struct csl_rng r;
    uint32_t samples = shape[0], leads = shape[1];
    float *stays = to; /* the first row of the output keeps the leads until it is written, last */
    rng_of(&r, l, "signal");
    int64_t later = draw_shift(&r, a->shift_max);
    float gain = 1.0f + draw_between(&r, a->gain_max);
    draw_leads(&r, a->lead_dropout, leads, stays);
    for (uint32_t t = samples; t-- > 0;) {
        const float *row = from + (size_t)moved(t, later, samples) * leads;
        for (uint32_t i = 0; i < leads; i++) {
            float jitter = a->noise > 0.0 ? (float)(a->noise * csl_rng_normal(&r)) : 0.0f;
            to[(size_t)t * leads + i] = stays[i] > 0.0f ? row[i] * gain + jitter : 0.0f;
        }
    }
}

void csl_augment_values(double dropout, const struct csl_augment_label *l, uint32_t count,
                        const float *from, float *to)
{
    struct csl_rng r;
    rng_of(&r, l, "values");
    for (uint32_t i = 0; i < count; i++)
        to[i] = csl_rng_uniform(&r) >= dropout ? from[i] : 0.0f;
}
