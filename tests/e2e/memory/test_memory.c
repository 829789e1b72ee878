/* The coordinator's memory does not grow with the number of sites: the peak resident set of a real
 * coordinator process that receives one update from every site, all sent at once, for few and for
 * many sites.
 *
 *     test_memory UPLOAD-SITES COORDINATOR full     100 MB model, 4 and 64 sites
 *     test_memory UPLOAD-SITES COORDINATOR small    8 MB model, 4 and 16 sites
 *
 * Of the model the coordinator holds itself (float32, 4 bytes a parameter) and the sum (int64, 8):
 * three times the model. The full run's bound of four models leaves one for everything else. The
 * small run's model is no larger than the program, so its bound is what the transfers that run at
 * once may take beside three models and the program. */
#include "run_upload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MB UINT64_C(1000000)

static const char *upload_sites, *coordinator;

struct scale {
    uint32_t width, hidden; /* (width + 2) * hidden + 1 parameters */
    uint32_t few, many;
    uint64_t model_bytes;
    uint64_t most_bytes; /* of the peak with many sites */
};

static uint64_t peak_of(const struct scale *c, uint32_t sites)
{
    struct run_upload_config config = {upload_sites, coordinator, sites, c->width, c->hidden, 1};
    struct run_upload_result r;
    assert_true(run_upload(&config, &r));
    assert_int_equal(r.parameters * sizeof(float), c->model_bytes);
    assert_true(r.peak_bytes > 3 * c->model_bytes); /* else the figure is not of this process */
    printf("%3u sites, %llu MB model: peak %.1f MB, %.2f models; %.1f MB/s aggregated\n", sites,
           (unsigned long long)(c->model_bytes / MB), (double)r.peak_bytes / (double)MB,
           (double)r.peak_bytes / (double)c->model_bytes,
           (double)(c->model_bytes * sites) / r.rounds[0].seconds / (double)MB);
    (void)fflush(stdout);
    return r.peak_bytes;
}

/* Checks the bounds, or says what it lacks. */
static void check(const struct scale *c)
{
    uint64_t need = (c->many + 4) * c->model_bytes; /* spool and checkpoints */
    if (run_upload_room() < need) {
        printf("SKIPPED: %llu MB of free disk below TMPDIR needed, %llu MB are there\n",
               (unsigned long long)(need / MB), (unsigned long long)(run_upload_room() / MB));
        skip();
    }
    uint64_t few = peak_of(c, c->few), many = peak_of(c, c->many);
    printf("%u sites against %u: %.2f times the memory\n", c->many, c->few,
           (double)many / (double)few);
    assert_true(many * 2 <= few * 3);
    assert_true(many <= c->most_bytes);
}

static void test_memory__64_sites_100_mb__within_four_models(void **state)
{
    (void)state;
    check(&(struct scale){4999, 4999, 4, 64, 100 * MB, 400 * MB});
}

static void test_memory__16_sites_8_mb__within_the_transfers(void **state)
{
    (void)state;
    check(&(struct scale){1205, 1657, 4, 16, 8 * MB, 100 * MB});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest full[] = {
        cmocka_unit_test(test_memory__64_sites_100_mb__within_four_models)};
    const struct CMUnitTest small[] = {
        cmocka_unit_test(test_memory__16_sites_8_mb__within_the_transfers)};
    if (argc != 4) {
        (void)fprintf(stderr, "usage: test_memory UPLOAD-SITES COORDINATOR full|small\n");
        return 2;
    }
    upload_sites = argv[1];
    coordinator = argv[2];
    return strcmp(argv[3], "full") == 0 ? cmocka_run_group_tests(full, NULL, NULL)
                                        : cmocka_run_group_tests(small, NULL, NULL);
}
