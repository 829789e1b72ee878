/* Deterministic answers on public data, computed elsewhere by Newton's method in double: the
 * logistic regression of Fed-Heart-Disease and the ridge Cox models of Fed-TCGA-BRCA (splits and
 * preprocessing of FLamby, Ogier du Terrail et al. 2022). Full-batch descent of this engine must
 * reach the same optimum, which checks losses, gradients, ridge and risk sets at once.
 *
 * The data is not part of the tree: CONSILIUM_DATA names its folder (default ../shared/data). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/unit/training/fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 64
#define ROWS_MAX   1200
#define SITES_MAX  6

struct row {
    double x[FIELDS_MAX];
    double time;
    uint8_t label;
    bool is_test;
    unsigned site;
};
struct table {
    struct row rows[ROWS_MAX];
    size_t count;
    uint32_t width;
};

static FILE *open_data(const char *name)
{
    char path[512];
    const char *folder = getenv("CONSILIUM_DATA");
    snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : "../shared/data", name);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        print_message("SKIPPED: no %s; set CONSILIUM_DATA to the folder of public data\n", path);
    return f;
}

/* Cuts a line without quotes at its commas; returns the number of fields. */
static size_t split(char *line, char **fields)
{
    size_t n = 0;
    fields[n++] = line;
    for (char *p = line; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\r') {
            *p = '\0';
            break;
        }
        if (*p == ',' && n < FIELDS_MAX) {
            *p = '\0';
            fields[n++] = p + 1;
        }
    }
    return n;
}

static bool read_heart(struct table *t)
{
    FILE *f = open_data("uci-heart-disease/flamby_fed_heart_disease.csv");
    if (f == NULL)
        return false;
    char line[2048], *fields[FIELDS_MAX];
    *t = (struct table){.width = 13};
    assert_non_null(fgets(line, sizeof(line), f));
    while (fgets(line, sizeof(line), f) != NULL) {
        assert_int_equal(split(line, fields), 17); /* center, set, source_row, 13 features, label */
        assert_true(t->count < ROWS_MAX);
        struct row *r = &t->rows[t->count++];
        r->site = (unsigned)strtoul(fields[0], NULL, 10);
        r->is_test = strcmp(fields[1], "test") == 0;
        for (uint32_t c = 0; c < t->width; c++)
            r->x[c] = strtod(fields[3 + c], NULL);
        r->label = (uint8_t)strtoul(fields[16], NULL, 10);
    }
    fclose(f);
    assert_int_equal(t->count, 740);
    return true;
}

/* "train_3" or "test_0" of a patient, empty when the split does not hold it. */
static void find_fold(FILE *f, const char *pid, char *fold, size_t bytes)
{
    char line[256], *fields[FIELDS_MAX];
    rewind(f);
    fold[0] = '\0';
    while (fgets(line, sizeof(line), f) != NULL)
        if (split(line, fields) == 3 && strcmp(fields[0], pid) == 0)
            snprintf(fold, bytes, "%s", fields[2]);
}

static bool read_brca(struct table *t)
{
    FILE *f = open_data("tcga-brca/brca.csv"), *s = open_data("tcga-brca/train_test_split.csv");
    if (f == NULL || s == NULL)
        return false;
    char line[2048], *fields[FIELDS_MAX], fold[32];
    *t = (struct table){.width = 39};
    assert_non_null(fgets(line, sizeof(line), f));
    while (fgets(line, sizeof(line), f) != NULL) {
        assert_int_equal(split(line, fields), 42); /* pid, 39 features, E, T */
        find_fold(s, fields[0], fold, sizeof(fold));
        if (fold[0] == '\0')
            continue;
        assert_true(t->count < ROWS_MAX);
        struct row *r = &t->rows[t->count++];
        r->is_test = strncmp(fold, "test_", 5) == 0;
        r->site = (unsigned)strtoul(fold + (r->is_test ? 5 : 6), NULL, 10);
        for (uint32_t c = 0; c < t->width; c++)
            r->x[c] = strtod(fields[1 + c], NULL);
        r->label = strtod(fields[40], NULL) > 0.5;
        r->time = strtod(fields[41], NULL);
    }
    fclose(f);
    fclose(s);
    assert_int_equal(t->count, 1088);
    return true;
}

static bool is_of(const struct row *r, int site)
{
    return site < 0 || r->site == (unsigned)site;
}

/* z-score by the training rows of one site (-1: of all), mean and std with ddof 1. */
static void standardise(struct table *t, int site)
{
    for (uint32_t c = 0; c < t->width; c++) {
        double sum = 0, squares = 0, n = 0;
        for (size_t i = 0; i < t->count; i++)
            if (is_of(&t->rows[i], site) && !t->rows[i].is_test) {
                sum += t->rows[i].x[c];
                n++;
            }
        double mean = sum / n;
        for (size_t i = 0; i < t->count; i++)
            if (is_of(&t->rows[i], site) && !t->rows[i].is_test)
                squares += (t->rows[i].x[c] - mean) * (t->rows[i].x[c] - mean);
        double std = sqrt(squares / (n - 1));
        for (size_t i = 0; i < t->count; i++)
            if (is_of(&t->rows[i], site))
                t->rows[i].x[c] = (t->rows[i].x[c] - mean) / (std + 1e-9);
    }
}

static void take_rows(const struct table *t, int site, bool is_test, struct csl_examples *e)
{
    *e = (struct csl_examples){.width = t->width};
    e->x = csl_alloc_array(t->count * t->width, sizeof(float));
    e->patient = csl_alloc_array(t->count, sizeof(uint32_t));
    e->label = csl_alloc_array(t->count, 1);
    e->time = csl_alloc_array(t->count, sizeof(float));
    for (size_t i = 0; i < t->count; i++) {
        const struct row *r = &t->rows[i];
        if (!is_of(r, site) || r->is_test != is_test)
            continue;
        for (uint32_t c = 0; c < t->width; c++)
            e->x[(size_t)e->records * t->width + c] = (float)r->x[c];
        e->patient[e->records] = e->records;
        e->label[e->records] = r->label;
        e->time[e->records++] = (float)r->time;
    }
    e->patients = e->records;
}

static double accuracy(const struct csl_examples *e, const float *p)
{
    double right = 0;
    for (uint32_t r = 0; r < e->records; r++)
        right += (p[r] > 0.5f) == (e->label[r] != 0);
    return right / e->records;
}

static double area(const struct csl_examples *e, const float *p)
{
    double won = 0, pairs = 0;
    for (uint32_t i = 0; i < e->records; i++)
        for (uint32_t j = 0; j < e->records; j++)
            if (e->label[i] != 0 && e->label[j] == 0) {
                won += p[i] > p[j] ? 1 : p[i] < p[j] ? 0 : 0.5;
                pairs++;
            }
    return won / pairs;
}

/* Harrell: of the pairs whose order is known, the share in which the earlier event has the higher
 * risk. At equal times only event against censored is known. */
static double concordance(const struct csl_examples *e, const float *risk)
{
    double won = 0, pairs = 0;
    for (uint32_t i = 0; i < e->records; i++)
        for (uint32_t j = 0; j < e->records; j++) {
            bool is_known = e->time[i] < e->time[j] ||
                            (!(e->time[i] > e->time[j]) && e->label[j] == 0 && i != j);
            if (e->label[i] == 0 || !is_known)
                continue;
            won += risk[i] > risk[j] ? 1 : risk[i] < risk[j] ? 0 : 0.5;
            pairs++;
        }
    return won / pairs;
}

static void expect_near(const char *what, int site, double have, double want, double allowed)
{
    if (!(fabs(have - want) <= allowed))
        fail_msg("%s at site %d is %.5f, expected %.5f +- %g", what, site, have, want, allowed);
}

static void start_study(struct fx *f, enum csl_task_kind task, uint32_t width)
{
    fx_init(f);
    fx_add_domain(f, task, width, 2, 0);
    fx_seal(f);
    f->study.local.batch_patients = 0;
    f->study.local.steps = 1;
}

static void check_heart(struct table *t, double l2_of_sum, const double *areas)
{
    static const double accuracies[] = {0.7500, 0.7528, 0.7500, 0.6000};
    struct fx f;
    struct csl_trainer *trainer = NULL;
    float parameters[14] = {0}, out[128];
    start_study(&f, CSL_TASK_BINARY, 13);
    take_rows(t, -1, false, &f.examples[0][CSL_SPLIT_TRAIN]);
    assert_int_equal(f.examples[0][CSL_SPLIT_TRAIN].records, 486);
    struct csl_baseline c = {
        .optimizer = CSL_OPT_KIND_SGD, .learning_rate = 1, .l2 = l2_of_sum / 486, .epochs = 4000};
    assert_int_equal(csl_trainer_new(&trainer, &f.study, "auto", NULL), CSL_OK);
    assert_int_equal(csl_trainer_fit(trainer, &f.data, &c, 1, parameters, NULL), CSL_OK);
    for (int site = 0; site < 4; site++) {
        struct csl_examples *e = &f.examples[0][CSL_SPLIT_TEST];
        take_rows(t, site, true, e);
        assert_int_equal(csl_trainer_predict(trainer, 0, e, parameters, out, NULL, NULL), CSL_OK);
        expect_near("accuracy", site, accuracy(e, out), accuracies[site], 5e-5);
        expect_near("AUC", site, area(e, out), areas[site], 6e-6);
        fx_free_examples(e);
    }
    csl_trainer_free(trainer);
    fx_release(&f);
}

static struct table heart, brca; /* too large for a stack */

static void test_heart__full_batch_descent__reaches_the_published_optimum(void **state)
{
    (void)state;
    static const double plain[] = {0.85342, 0.86851, 0.86667, 0.74286};
    static const double ridge[] = {0.85156, 0.86797, 0.86667, 0.74571};
    if (!read_heart(&heart))
        skip();
    for (int site = 0; site < 4; site++)
        standardise(&heart, site);
    check_heart(&heart, 0, plain);
    check_heart(&heart, 1, ridge);
}

static void check_brca(const char *what, struct csl_trainer *trainer, struct fx *f,
                       const float *parameters, const double *by_site, double pooled)
{
    static float out[ROWS_MAX];
    for (int site = -1; site < SITES_MAX; site++) {
        struct csl_examples *e = &f->examples[0][CSL_SPLIT_TEST];
        take_rows(&brca, site, true, e);
        assert_int_equal(csl_trainer_predict(trainer, 0, e, parameters, out, NULL, NULL), CSL_OK);
        if (site < 0)
            expect_near(what, site, concordance(e, out), pooled, 6e-5);
        else
            expect_near(what, site, concordance(e, out), by_site[site], 6e-5);
        fx_free_examples(e);
    }
}

static void test_brca__full_batch_descent__reaches_the_published_optima(void **state)
{
    (void)state;
    static const double stratified[] = {0.8771, 0.6136, 0.8519, 0.6458, 0.9362, 1.0};
    static const double pooled[] = {0.8575, 0.5909, 0.8426, 0.6875, 0.9362, 1.0};
    if (!read_brca(&brca))
        skip();
    standardise(&brca, -1);
    struct fx f;
    struct csl_trainer *trainer = NULL;
    struct csl_examples sites[SITES_MAX], *train;
    float parameters[40] = {0}, update[40];
    double total[40];
    start_study(&f, CSL_TASK_SURVIVAL, 39);
    train = &f.examples[0][CSL_SPLIT_TRAIN];
    f.study.local.learning_rate = 2;
    f.study.local.l2 = 10.0 / 866;
    assert_int_equal(csl_trainer_new(&trainer, &f.study, "auto", NULL), CSL_OK);
    for (int site = 0; site < SITES_MAX; site++)
        take_rows(&brca, site, false, &sites[site]);
    for (uint64_t round = 1; round <= 1500; round++) { /* one step each, weighted by patients */
        memset(total, 0, sizeof(total));
        for (int site = 0; site < SITES_MAX; site++) {
            struct csl_train_report report;
            *train = sites[site];
            struct csl_train_task task = {
                .data = &f.data, .round = round, .global = parameters, .update = update};
            assert_int_equal(csl_trainer_run(trainer, &task, &report, NULL), CSL_OK);
            for (size_t i = 0; i < 40; i++)
                total[i] += (double)update[i] * (double)report.blocks[0].patients / 866;
        }
        for (size_t i = 0; i < 40; i++)
            parameters[i] = (float)((double)parameters[i] + total[i]);
    }
    check_brca("stratified C-index", trainer, &f, parameters, stratified, 0.8498);
    for (int site = 0; site < SITES_MAX; site++)
        fx_free_examples(&sites[site]);

    take_rows(&brca, -1, false, train);
    memset(parameters, 0, sizeof(parameters));
    struct csl_baseline c = {
        .optimizer = CSL_OPT_KIND_SGD, .learning_rate = 2, .l2 = 10.0 / 866, .epochs = 1500};
    assert_int_equal(csl_trainer_fit(trainer, &f.data, &c, 1, parameters, NULL), CSL_OK);
    check_brca("pooled C-index", trainer, &f, parameters, pooled, 0.8425);
    csl_trainer_free(trainer);
    fx_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heart__full_batch_descent__reaches_the_published_optimum),
        cmocka_unit_test(test_brca__full_batch_descent__reaches_the_published_optima),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
