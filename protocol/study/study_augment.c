/* protocol/study/study_augment.c - the key `augment` of a domain or an input. */
#include "base/buf.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#define UNITS_MAX 100 /* a hundred standard deviations: the input is gone */

#define AT(field) .offset = offsetof(struct csl_study_augment, field)

static const struct csl_option augment_rows[] = {
    {.name = "shift",
     .type = CSL_OPT_U32,
     AT(shift),
     .max = CSL_FEATURES_MAX,
     .fallback = "0",
     .help = "Moved by up to so many pixels in each direction, or samples earlier or later."},
    {.name = "mirror",
     .type = CSL_OPT_BOOL,
     AT(may_mirror),
     .fallback = "false",
     .help = "Left and right change places one time in two (image2d)."},
    {.name = "brightness",
     .type = CSL_OPT_F64,
     AT(brightness),
     .min = 0,
     .max = UNITS_MAX,
     .fallback = "0",
     .help = "Up to so much is added to all values, or taken off them (image2d)."},
    {.name = "gain",
     .type = CSL_OPT_F64,
     AT(gain),
     .min = 0,
     .max = 0.99,
     .fallback = "0",
     .help = "All values times 1 plus or minus up to so much (signal)."},
    {.name = "noise",
     .type = CSL_OPT_F64,
     AT(noise),
     .min = 0,
     .max = UNITS_MAX,
     .fallback = "0",
     .help = "Standard deviation of what is added to every value (signal)."},
    {.name = "lead_dropout",
     .type = CSL_OPT_F64,
     AT(lead_dropout),
     .min = 0,
     .max = 0.95,
     .fallback = "0",
     .help = "How often a lead becomes zero, but never all of them (signal)."},
    {.name = "dropout",
     .type = CSL_OPT_F64,
     AT(dropout),
     .min = 0,
     .max = 0.95,
     .fallback = "0",
     .help = "How often a value becomes its centre (tabular, ehr_series, embedding)."},
    CSL_OPTION_END,
};

static enum csl_code check_shift(const struct csl_study_reader *r,
                                 const struct csl_yaml_node *section, const struct csl_domain *d)
{
    uint32_t axis = d->shape[0];

    if (d->modality == CSL_IMAGE2D && d->shape[1] < axis)
        axis = d->shape[1];
    if (d->augment.shift == 0 || d->augment.shift < axis)
        return CSL_OK;
    return csl_yaml_fail(r->err, r->y, csl_study__at(section, "shift"),
                         "found %u; less than the %u values of an axis would be right",
                         d->augment.shift, axis);
}

static enum csl_code refuse_other_modalities(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *section,
                                             enum csl_modality modality)
{
    static const char *const image_keys[] = {"mirror", "brightness", NULL};
    static const char *const signal_keys[] = {"gain", "noise", "lead_dropout", NULL};
    static const char *const placed_keys[] = {"shift", NULL};
    static const char *const value_keys[] = {"dropout", NULL};
    bool is_image = modality == CSL_IMAGE2D, is_signal = modality == CSL_SIGNAL;
    enum csl_code code = CSL_OK;

    if (!is_image)
        code = csl_study__refuse_keys(r, section, image_keys, "for modality: image2d only");
    if (code == CSL_OK && !is_signal)
        code = csl_study__refuse_keys(r, section, signal_keys, "for modality: signal only");
    if (code == CSL_OK && !is_image && !is_signal)
        code = csl_study__refuse_keys(r, section, placed_keys,
                                      "for modality: image2d and signal only");
    if (code == CSL_OK && (is_image || is_signal))
        code = csl_study__refuse_keys(r, section, value_keys,
                                      "for modality: tabular, ehr_series and embedding only");
    return code;
}

enum csl_code csl_study__read_augment(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *parent,
                                      const struct csl_yaml_node *section, struct csl_domain *d)
{
    struct csl_study_augment raw = {0};

    if (!section)
        return CSL_OK;
    if (d->modality == CSL_TEXT || d->modality == CSL_IMAGE3D)
        return csl_yaml_fail(r->err, r->y, section,
                             "inputs of modality %s are not changed; leaving the key out would be "
                             "right",
                             csl_modality_name(d->modality));
    enum csl_code code = csl_study__section(r, augment_rows, &raw, parent, section, "augment");
    if (code == CSL_OK)
        code = refuse_other_modalities(r, section, d->modality);
    if (code != CSL_OK)
        return code;
    raw.is_on = raw.shift > 0 || raw.may_mirror || raw.brightness > 0 || raw.gain > 0 ||
                raw.noise > 0 || raw.lead_dropout > 0 || raw.dropout > 0;
    if (!raw.is_on)
        return csl_yaml_fail(r->err, r->y, section,
                             "it changes nothing; for example {shift: 2} would be right");
    d->augment = raw;
    return check_shift(r, section, d);
}

void csl_study__explain_augment(const struct csl_domain *d, struct csl_buf *out)
{
    const struct csl_study_augment *a = &d->augment;
    bool is_image = d->modality == CSL_IMAGE2D;

    if (!a->is_on)
        return;
    csl_buf_str(out, "    In training they are changed anew in every step:");
    if (a->shift > 0)
        csl_buf_printf(out, " moved by up to %u %s%s;", a->shift, is_image ? "pixel" : "sample",
                       csl_str_plural(a->shift));
    if (a->may_mirror)
        csl_buf_str(out, " mirrored one time in two;");
    if (a->brightness > 0)
        csl_buf_printf(out, " brighter or darker by up to %g;", a->brightness);
    if (a->gain > 0)
        csl_buf_printf(out, " times 1 +- %g at most;", a->gain);
    if (a->noise > 0)
        csl_buf_printf(out, " with noise of deviation %g;", a->noise);
    if (a->lead_dropout > 0)
        csl_buf_printf(out, " leads left out at a rate of %g;", a->lead_dropout);
    if (a->dropout > 0)
        csl_buf_printf(out, " values left out at a rate of %g;", a->dropout);
    csl_buf_str(out, " tests and predictions read them as they are.\n");
}
