/* Scattering coefficients against scattering.txt (made by make_scattering.py in double precision).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "site-agent/data/scattering.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define VALUES_MAX 4096
/* Sums of up to 143 products in binary32, of values up to about 5, twice; the logarithm of at least
 * 0.1 and the scale of a kind multiply the error by up to 10 each. */
#define TOLERANCE 1e-4

static const char file_name[] = "tests/vectors/data/scattering.txt";

static uint32_t read_values(FILE *f, const char *name, float *to, uint32_t count)
{
    char word[32];
    assert_int_equal(fscanf(f, " %31s", word), 1);
    assert_string_equal(word, name);
    assert_true(count <= VALUES_MAX);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(fscanf(f, "%f", &to[i]), 1);
    return count;
}

static void test_scattering__images_of_the_file__have_its_coefficients(void **state)
{
    static float pixels[VALUES_MAX], want[VALUES_MAX], have[VALUES_MAX];
    char line[128];
    uint32_t shape[3], images = 0;
    FILE *f = fopen(file_name, "r");
    (void)state;
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    while (fscanf(f, " image %u %u %u", &shape[0], &shape[1], &shape[2]) == 3) {
        uint32_t area = shape[0] * shape[1] * shape[2];
        read_values(f, "pixels", pixels, area);
        uint32_t n = read_values(f, "coefficients", want, area / 16 * CSL_SCATTERING_PATHS);
        struct csl_scattering *s;
        assert_int_equal(csl_scattering_new(&s, shape, NULL), CSL_OK);
        for (int again = 0; again < 2; again++) { /* nothing of the first run is left */
            csl_scattering_run(s, pixels, have);
            for (uint32_t i = 0; i < n; i++)
                if (!(fabs((double)have[i] - (double)want[i]) <= TOLERANCE))
                    fail_msg("image %u: coefficient %u is %g, should be %g", images, i,
                             (double)have[i], (double)want[i]);
        }
        csl_scattering_free(s);
        images++;
    }
    assert_int_equal(images, 2);
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scattering__images_of_the_file__have_its_coefficients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
