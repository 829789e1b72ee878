/* cli/privacy_solve.c - `consilium privacy noise|steps|rate`: what keeps an epsilon, by bisection
 * on the certified upper bound; each answer was itself priced and keeps it. */
#include "cli/privacy.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define NOISE_MIN 1e-2
#define NOISE_MAX 1e6
#define RATE_MIN  1e-9
#define PRECISION 1e-5 /* relative, of noise and rate */
#define STEPS_MAX (UINT64_C(1) << 40)

static enum csl_code price(const struct csl_privacy_flags *f, double *epsilon, struct csl_err *err)
{
    struct csl_price p;
    const struct csl_dp_event e = csl_privacy_event(
        csl_privacy_sampler(f->sampler), f->noise_multiplier, f->sampling_rate, f->steps);
    enum csl_code code = csl_account(&e, 1, f->delta, &p, err);

    if (code == CSL_OK)
        *epsilon = p.epsilon;
    return code;
}

static enum csl_code no_answer(const struct csl_privacy_flags *f, const char *what,
                               struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_BUDGET, "%s keeps epsilon %g at delta %g", what, f->epsilon,
                    f->delta);
}

/* More noise never costs more: `high` keeps the epsilon from when it is found on. */
static enum csl_code solve_noise(struct csl_privacy_flags *f, struct csl_err *err)
{
    double low = NOISE_MIN, high = 1, epsilon = HUGE_VAL;
    enum csl_code code;

    for (f->noise_multiplier = high;; f->noise_multiplier = high) {
        code = price(f, &epsilon, err);
        if (code != CSL_OK || epsilon <= f->epsilon)
            break;
        if (high >= NOISE_MAX)
            return no_answer(f, "no noise multiplier up to 1e6", err);
        low = high;
        high *= 4;
    }
    while (code == CSL_OK && high / low > 1 + PRECISION) {
        double middle = sqrt(low * high);
        f->noise_multiplier = middle;
        code = price(f, &epsilon, err);
        if (epsilon <= f->epsilon)
            high = middle;
        else
            low = middle;
    }
    f->noise_multiplier = ceil(high * 1e6) / 1e6;
    return code;
}

static enum csl_code solve_steps(struct csl_privacy_flags *f, struct csl_err *err)
{
    uint64_t low = 0, high = 1; /* low keeps the epsilon, high does not */
    double epsilon = 0;
    enum csl_code code;

    for (f->steps = high;; f->steps = high) {
        code = price(f, &epsilon, err);
        if (code != CSL_OK || epsilon > f->epsilon || high >= STEPS_MAX)
            break;
        low = high;
        high *= 2;
    }
    while (code == CSL_OK && high - low > 1) {
        f->steps = low + (high - low) / 2;
        code = price(f, &epsilon, err);
        if (epsilon <= f->epsilon)
            low = f->steps;
        else
            high = f->steps;
    }
    f->steps = low;
    if (code == CSL_OK && low == 0)
        return no_answer(f, "not even one step", err);
    return code;
}

static enum csl_code solve_rate(struct csl_privacy_flags *f, struct csl_err *err)
{
    double low = RATE_MIN, high = 1, epsilon = 0;
    enum csl_code code;

    f->sampling_rate = 1;
    code = price(f, &epsilon, err);
    if (code != CSL_OK || epsilon <= f->epsilon)
        return code;
    f->sampling_rate = low;
    code = price(f, &epsilon, err);
    if (code == CSL_OK && epsilon > f->epsilon)
        return no_answer(f, "no sampling rate down to 1e-9", err);
    while (code == CSL_OK && high / low > 1 + PRECISION) {
        f->sampling_rate = sqrt(low * high);
        code = price(f, &epsilon, err);
        if (epsilon <= f->epsilon)
            low = f->sampling_rate;
        else
            high = f->sampling_rate;
    }
    f->sampling_rate = low;
    return code;
}

/* Fixed places after the point, never above v. */
static void put_rate(char out[CSL_ROUNDED_MAX], double v)
{
    (void)snprintf(out, CSL_ROUNDED_MAX, "%.9f", floor(v * 1e9) / 1e9);
}

static void put_answer(const struct csl_privacy_flags *f, const char *what, struct csl_buf *out)
{
    char text[CSL_ROUNDED_MAX];

    if (strcmp(what, "noise_multiplier") == 0) {
        csl_round_up(text, f->noise_multiplier);
        csl_buf_printf(out, "noise multiplier %s (rounded up)\n", text);
    } else if (strcmp(what, "steps") == 0) {
        csl_buf_printf(out, "%" PRIu64 " step%s\n", f->steps, f->steps == 1 ? "" : "s");
    } else {
        put_rate(text, f->sampling_rate);
        csl_buf_printf(out, "sampling rate %s (rounded down)\n", text);
    }
}

static int answer(const struct csl_privacy_flags *f, const char *what, enum csl_code code,
                  struct csl_err *err)
{
    struct csl_bounds b;
    struct csl_buf out;
    struct csl_json j;

    if (code == CSL_OK)
        code = csl_bounds_make(&b, csl_privacy_sampler(f->sampler), f->noise_multiplier,
                               f->sampling_rate, f->steps, f->delta, err);
    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_privacy, err, f->json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (!f->json) {
        put_answer(f, what, &out);
        csl_bounds_text(&b, &out);
        return csl_cli_print(&out, CSL_EXIT_DONE);
    }
    csl_json_init(&j, &out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "solved", what);
    csl_json_put_f64(&j, "epsilon_wanted", f->epsilon);
    csl_json_put_f64(&j, "noise_multiplier", f->noise_multiplier);
    csl_json_put_f64(&j, "sampling_rate", f->sampling_rate);
    csl_json_put_u64(&j, "steps", f->steps);
    csl_json_put_f64(&j, "delta", f->delta);
    csl_json_put_str(&j, "sampler", csl_privacy_samplers[f->sampler]);
    csl_bounds_json(&b, &j);
    csl_json_end(&j);
    csl_buf_str(&out, "\n");
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

int csl_privacy_noise(const struct csl_privacy_flags *flags)
{
    struct csl_err err = {0};
    static struct csl_privacy_flags f;

    f = *flags;
    enum csl_code code = solve_noise(&f, &err);
    return answer(&f, "noise_multiplier", code, &err);
}

int csl_privacy_steps(const struct csl_privacy_flags *flags)
{
    struct csl_err err = {0};
    static struct csl_privacy_flags f;

    f = *flags;
    enum csl_code code = solve_steps(&f, &err);
    return answer(&f, "steps", code, &err);
}

int csl_privacy_rate(const struct csl_privacy_flags *flags)
{
    struct csl_err err = {0};
    static struct csl_privacy_flags f;

    f = *flags;
    enum csl_code code = solve_rate(&f, &err);
    return answer(&f, "sampling_rate", code, &err);
}
