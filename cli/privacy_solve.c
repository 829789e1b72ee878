/* cli/privacy_solve.c - `consilium privacy noise|steps|rate`: the parameter that keeps an epsilon.
 * Each answer was itself priced and keeps it. */
#include "cli/privacy.h"

#include "base/str.h"
#include "privacy/dp/calibrate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum unknown { NOISE, STEPS, RATE };
static const char *const names[] = {"noise_multiplier", "steps", "sampling_rate"};

/* A setting whose unknown parameter holds anything that is allowed. */
static struct csl_dp_event event_of(const struct csl_privacy_flags *f, enum unknown unknown)
{
    return csl_privacy_event(
        csl_privacy_sampler(f->sampler), unknown == NOISE ? 1 : f->noise_multiplier,
        unknown == RATE ? 1 : f->sampling_rate, unknown == STEPS ? 1 : f->steps);
}

/* From what is charged back to what people give: csl_privacy_event the other way round. */
static enum csl_code solve(struct csl_privacy_flags *f, enum unknown unknown, struct csl_err *err)
{
    const struct csl_dp_event e = event_of(f, unknown);
    double noise = 0, rate = 0;
    uint64_t steps = 0;
    enum csl_code code = CSL_OK;

    if (unknown == NOISE)
        code = csl_dp_calibrate_noise(&e, f->epsilon, f->delta, &noise, err);
    else if (unknown == STEPS)
        code = csl_dp_calibrate_steps(&e, f->epsilon, f->delta, &steps, err);
    else
        code = csl_dp_calibrate_rate(&e, f->epsilon, f->delta, &rate, err);
    if (code == CSL_E_LIMIT)
        return CSL_FAIL(err, CSL_E_BUDGET,
                        "no %s keeps epsilon %g at delta %g with everything else as it is",
                        names[unknown], f->epsilon, f->delta);
    if (code != CSL_OK)
        return code;
    bool is_shuffled = e.sampler == CSL_DP_SHUFFLED;
    if (unknown == NOISE)
        f->noise_multiplier = e.sampler == CSL_DP_FIXED_SIZE ? 2 * noise : noise;
    else if (unknown == STEPS)
        f->steps = is_shuffled ? steps * (uint64_t)floor(1 / f->sampling_rate) : steps;
    else
        f->sampling_rate = rate;
    return CSL_OK;
}

static void put_answer(const struct csl_privacy_flags *f, enum unknown unknown, struct csl_buf *out)
{
    char text[CSL_ROUNDED_MAX];

    csl_round_up(text, f->noise_multiplier);
    if (unknown == NOISE)
        csl_buf_printf(out, "noise multiplier %s (rounded up)\n", text);
    else if (unknown == STEPS)
        csl_buf_printf(out, "%" PRIu64 " step%s\n", f->steps, csl_str_plural(f->steps));
    else
        csl_buf_printf(out, "sampling rate %.9f (rounded down)\n",
                       floor(f->sampling_rate * 1e9) / 1e9);
}

static void put_json(const struct csl_privacy_flags *f, const struct csl_bounds *b,
                     enum unknown unknown, struct csl_buf *out)
{
    struct csl_json j;

    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "solved", names[unknown]);
    csl_json_put_f64(&j, "epsilon_wanted", f->epsilon);
    csl_privacy_setting_json(f, &j);
    csl_bounds_json(b, &j);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

static int answer(const struct csl_privacy_flags *flags, enum unknown unknown)
{
    static struct csl_privacy_flags f; /* too large for the stack of a small thread */
    struct csl_err err = {0};
    struct csl_bounds b;
    struct csl_buf out;

    f = *flags;
    enum csl_code code = solve(&f, unknown, &err);
    if (code == CSL_OK)
        code = csl_bounds_make(&b, &f, &err);
    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_privacy, &err, f.json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (f.json) {
        put_json(&f, &b, unknown, &out);
    } else {
        put_answer(&f, unknown, &out);
        csl_bounds_text(&b, &out);
    }
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

int csl_cli_privacy_noise(const struct csl_privacy_flags *flags)
{
    return answer(flags, NOISE);
}

int csl_cli_privacy_steps(const struct csl_privacy_flags *flags)
{
    return answer(flags, STEPS);
}

int csl_cli_privacy_rate(const struct csl_privacy_flags *flags)
{
    enum csl_dp_sampler sampler = csl_privacy_sampler(flags->sampler);

    if (sampler == CSL_DP_SHUFFLED || sampler == CSL_DP_FULL_BATCH)
        return csl_cli_misuse(&csl_doc_privacy,
                              "found --sampler %s, which no rate amplifies; poisson or fixed-size "
                              "would be right",
                              csl_privacy_samplers[flags->sampler]);
    return answer(flags, RATE);
}
