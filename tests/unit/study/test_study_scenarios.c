/* Every study that ships is valid, and what a study may name exists. */
#include "aggregation/strategy/strategy.h"
#include "base/str.h"
#include "protocol/study/study.h"
#include "protocol/study/study_rounds_internal.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER "simulations/scenarios"

static bool is_study(const char *name)
{
    size_t n = strlen(name);

    return n > 5 && strcmp(name + n - 5, ".yaml") == 0 &&
           !(n > 13 && strcmp(name + n - 13, ".mapping.yaml") == 0);
}

static void test_study_scenarios__every_file__is_valid_and_named_like_its_file(void **state)
{
    DIR *folder = opendir(FOLDER);
    unsigned count = 0, wrong = 0;

    (void)state;
    assert_non_null(folder);
    for (struct dirent *e = readdir(folder); e; e = readdir(folder)) {
        struct csl_study *s = NULL;
        struct csl_err err = {0};
        char path[512];
        if (!is_study(e->d_name))
            continue;
        count++;
        snprintf(path, sizeof(path), FOLDER "/%s", e->d_name);
        if (csl_study_read(&s, path, &err) != CSL_OK) {
            print_error("%s\n", err.msg);
            wrong++;
            continue;
        }
        if (strncmp(s->id, e->d_name, strlen(s->id)) != 0 ||
            strlen(s->id) + 5 != strlen(e->d_name) || s->sim_site_count == 0) {
            print_error("%s: study %s, %u simulated sites\n", path, s->id, s->sim_site_count);
            wrong++;
        }
        csl_study_free(s);
    }
    closedir(folder);
    assert_int_equal(wrong, 0);
    assert_true(count >= 24);
}

/* Sites that agreed to a study know it by its digest: what a later version adds must not change
 * that of a study that does not use it. These are of the version before the first networks. */
static void test_study_scenarios__digest__is_that_of_earlier_versions(void **state)
{
    static const struct {
        const char *file, *digest;
    } rows[] = {
        {"heart-local", "52f64608a52fdb9c8bdb30dd8394a334535e8ef1bc1dc8fa5b95b4adcb8da4f1"},
        {"synthetic-federation",
         "722e06e66a771ca03950a821b7f0caec1ab3893e04a17f36ccb6eaae99f5117d"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_study *s = NULL;
        char path[512], found[2 * CSL_DIGEST_BYTES + 1];
        snprintf(path, sizeof(path), FOLDER "/%s.yaml", rows[i].file);
        assert_int_equal(csl_study_read(&s, path, NULL), CSL_OK);
        csl_hex(s->digest, CSL_DIGEST_BYTES, found);
        assert_string_equal(found, rows[i].digest);
        csl_study_free(s);
    }
}

static void test_study_scenarios__strategies__are_those_of_the_aggregation(void **state)
{
    size_t n = 0;

    (void)state;
    for (; csl_study__strategies[n]; n++)
        assert_non_null(csl_strategy_find(csl_study__strategies[n]));
    for (size_t i = 0; csl_strategies[i]->name; i++) {
        assert_true(i < n);
        assert_true(csl_study__sees_updates(csl_strategies[i]->name) ==
                    (csl_strategies[i]->choose != NULL));
    }
    assert_null(csl_strategies[n]->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_study_scenarios__every_file__is_valid_and_named_like_its_file),
        cmocka_unit_test(test_study_scenarios__digest__is_that_of_earlier_versions),
        cmocka_unit_test(test_study_scenarios__strategies__are_those_of_the_aggregation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
