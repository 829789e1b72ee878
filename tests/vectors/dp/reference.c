#include "tests/vectors/dp/reference.h"

#include "base/file.h"

#include <math.h>

static struct csl_msg file;

int reference_setup(void **state)
{
    struct csl_err err = {0};
    struct csl_json_doc *doc = NULL;
    const char *path = "tests/vectors/privacy/privacy_reference.json";
    if (csl_file_read(&file, path, 1 << 20, &err) != CSL_OK ||
        csl_json_parse(&doc, path, csl_msg_span(&file), &err) != CSL_OK) {
        print_error("%s\n", err.msg);
        return 1;
    }
    *state = doc;
    return 0;
}

int reference_teardown(void **state)
{
    csl_json_free(*state);
    csl_msg_release(&file);
    return 0;
}

const struct csl_json_value *member_of(const struct csl_json_value *object, const char *key)
{
    const struct csl_json_value *v = csl_json_get(object, key);
    if (v == NULL)
        fail_msg("the reference has no %s here", key);
    return v;
}

const struct csl_json_value *group_of(void *const *state, const char *name)
{
    return member_of(csl_json_root(*state), name);
}

double number_of(const struct csl_json_value *object, const char *key)
{
    double v = 0.0;
    if (!csl_json_as_f64(csl_json_get(object, key), &v))
        fail_msg("the reference has no number %s here", key);
    return v;
}

void assert_close(const char *what, double found, double right, double tolerance)
{
    if (!(fabs(found - right) <= tolerance * fabs(right)))
        fail_msg("%s: found %.17g, right is %.17g, off by %.3g of it", what, found, right,
                 fabs(found - right) / fabs(right));
}

void assert_between(const char *what, double found, double low, double high)
{
    if (!(found >= low && found <= high))
        fail_msg("%s: found %.17g, right is %.17g to %.17g", what, found, low, high);
}

struct csl_dp_event gaussian_event(double sigma, double q, double steps)
{
    return (struct csl_dp_event){.mechanism = CSL_DP_GAUSSIAN,
                                 .sampler = q == 1.0 ? CSL_DP_FULL_BATCH : CSL_DP_POISSON,
                                 .noise_multiplier = sigma,
                                 .sampling_rate = csl_dp_rate(q),
                                 .steps = (uint64_t)steps};
}
