#include "site-agent/training/augmented.h"

#include "base/mem.h"

#define ROWS_AT_ONCE 32u

enum csl_code csl_augmented_open(struct csl_augmented *a, const struct csl_domain *d,
                                 struct csl_err *err)
{
    *a = (struct csl_augmented){.domain = d};
    if (!d->augment.is_on)
        return CSL_OK;
    a->room = csl_alloc_array((size_t)d->width, ROWS_AT_ONCE * sizeof(*a->room));
    return a->room != NULL
               ? CSL_OK
               : CSL_FAIL(err, CSL_E_NOMEM, "no memory for changed inputs of width %u", d->width);
}

void csl_augmented_close(struct csl_augmented *a)
{
    csl_free(a->room);
    *a = (struct csl_augmented){0};
}

static void change(const struct csl_domain *d, const struct csl_augment_label *l, const float *from,
                   float *to)
{
    const struct csl_study_augment *a = &d->augment;
    if (d->modality == CSL_IMAGE2D) {
        const struct csl_augment_image image = {
            .shift_max = a->shift, .may_mirror = a->may_mirror, .brightness_max = a->brightness};
        csl_augment_image(&image, l, d->shape, from, to);
        return;
    }
    if (d->modality != CSL_SIGNAL) {
        csl_augment_values(a->dropout, l, d->width, from, to);
        return;
    }
    const struct csl_augment_signal signal = {.shift_max = a->shift,
                                              .gain_max = a->gain,
                                              .noise = a->noise,
                                              .lead_dropout = a->lead_dropout};
    csl_augment_signal(&signal, l, d->shape, from, to);
}

void csl_augmented_put(const struct csl_augmented *a, const struct csl_compute_ops *ops,
                       struct csl_dev *dev, struct csl_view dst, const float *x,
                       const uint32_t *patient, const uint32_t *rows, uint64_t count,
                       const struct csl_augment_label *step)
{
    uint64_t width = a->domain->width;
    for (uint64_t at = 0, n; at < count; at += n) {
        n = count - at < ROWS_AT_ONCE ? count - at : ROWS_AT_ONCE;
        for (uint64_t i = 0; i < n; i++) {
            struct csl_augment_label l = *step;
            l.record = rows[at + i];
            l.patient = patient[l.record];
            change(a->domain, &l, x + l.record * width, a->room + i * width);
        }
        ops->put(dev, dst.buf, (dst.first + at * width) * sizeof(float), a->room,
                 n * width * sizeof(float));
    }
}
