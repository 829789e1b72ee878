/* Sites that fit the released model to their own patients. */
#include "base/mem.h"
#include "simulations/personal.h"
#include "tests/unit/simulations/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define STUDY                                                                                      \
    "study: small\n"                                                                               \
    "domains:\n"                                                                                   \
    "  - {id: d, modality: tabular, task: {kind: binary, label: ill}, features: [x]}\n"            \
    "model: {kind: linear}\n"                                                                      \
    "training: {local: {learning_rate: 0.1, batch_patients: 2, steps: 2}}\n"                       \
    "rounds: 2\n"                                                                                  \
    "aggregation: {strategy: fedavg}\n"                                                            \
    "sites: {minimum: 1}\n"                                                                        \
    "personalisation: {methods: [whole, ditto], lambda: 100, training: {optimizer: sgd, "          \
    "learning_rate: 0.005, batch_patients: full, epochs: 4000}}\n"

static struct csl_err err;
static struct csl_world_site sites[3];

struct world {
    struct csl_study *study;
    struct csl_trainer *trainer;
    struct csl_sim_data data;
    struct csl_result r;
};

/* Of site a the feature says the label, of site b its opposite: patients at site b have x high when
 * healthy. Site c has ill training patients only. */
static void open_world(struct world *w)
{
    memset(w, 0, sizeof(*w));
    fixture_records(&sites[0], "a", "T0f T0m T1f T1m E0f E1f E0m E1m");
    fixture_records(&sites[1], "b", "T0m T0m T1f T1f E0f E1m E0f E1m");
    fixture_records(&sites[2], "c", "T1f T1m E0f E1f");
    w->study = fixture_study(STUDY);
    assert_int_equal(csl_trainer_new(&w->trainer, w->study, "cpu-ref", &err), CSL_OK);
    assert_int_equal(csl_sim_data_load(&w->data, w->study, sites, 3, &err), CSL_OK);
    struct csl_examples *train = &w->data.sites[1]->domains[0][CSL_SPLIT_TRAIN];
    struct csl_examples *test = &w->data.sites[1]->domains[0][CSL_SPLIT_TEST];
    for (uint32_t i = 0; i < train->records; i++)
        train->x[i] = -train->x[i];
    for (uint32_t i = 0; i < test->records; i++)
        test->x[i] = -test->x[i];
    assert_int_equal(csl_result_init(&w->r, 3, 1, &err), CSL_OK);
    assert_int_equal(csl_personal_describe(&w->r, w->study, &err), CSL_OK);
}

static void close_world(struct world *w)
{
    csl_result_release(&w->r);
    csl_sim_data_release(&w->data);
    csl_trainer_free(w->trainer);
    csl_study_free(w->study);
}

static double auc(const struct world *w, enum csl_transfer t, uint32_t site)
{
    const struct csl_metric *m =
        csl_metrics_find(csl_evaluation_cell(&w->r.transfer.models[t], site, 0), "auc");
    assert_non_null(m);
    return m->value;
}

/* The released model ranks site a right and site b the wrong way round. */
static void test_personal__site_unlike_the_others__gets_a_model_of_its_own(void **state)
{
    struct world w;
    const float released[2] = {2.0f, -1.0f};
    (void)state;
    open_world(&w);
    const struct csl_personal_config c = {
        .data = &w.data, .trainer = w.trainer, .seed = 7, .released = released};
    if (csl_personal_run(&w.r, &c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_true(auc(&w, CSL_TRANSFER_WHOLE, 0) == 1.0);
    assert_true(auc(&w, CSL_TRANSFER_WHOLE, 1) == 1.0);
    /* pulled so hard towards the released model, nothing moves */
    assert_true(auc(&w, CSL_TRANSFER_DITTO, 0) == 1.0);
    assert_true(auc(&w, CSL_TRANSFER_DITTO, 1) == 0.0);
    assert_null(w.r.transfer.models[CSL_TRANSFER_HEAD].pooled);
    assert_true(released[0] == 2.0f && released[1] == -1.0f);
    close_world(&w);
}

static void test_personal__nothing_to_learn__keeps_the_released_model(void **state)
{
    struct world w;
    const float up[2] = {2.0f, -1.0f}, down[2] = {-2.0f, 1.0f};
    (void)state;
    for (int i = 0; i < 2; i++) {
        open_world(&w);
        const struct csl_personal_config c = {
            .data = &w.data, .trainer = w.trainer, .seed = 7, .released = i == 0 ? up : down};
        assert_int_equal(csl_personal_run(&w.r, &c, &err), CSL_OK);
        assert_true(w.r.transfer.keeps[2] && !w.r.transfer.keeps[0] && !w.r.transfer.keeps[1]);
        assert_true(auc(&w, CSL_TRANSFER_WHOLE, 2) == (i == 0 ? 1.0 : 0.0));
        close_world(&w);
    }
}

static bool always(void *ctx)
{
    (void)ctx;
    return true;
}

static void test_personal__interrupted__leaves_no_models(void **state)
{
    struct world w;
    const float released[2] = {2.0f, -1.0f};
    (void)state;
    open_world(&w);
    const struct csl_personal_config c = {
        .data = &w.data, .trainer = w.trainer, .released = released, .interrupted = always};
    assert_int_equal(csl_personal_run(&w.r, &c, &err), CSL_E_CANCELLED);
    for (int t = 0; t < CSL_TRANSFER_COUNT; t++)
        assert_null(w.r.transfer.models[t].pooled);
    close_world(&w);
}

static void test_personal__any_allocation_failing__is_reported(void **state)
{
    struct world w;
    const float released[2] = {2.0f, -1.0f};
    enum csl_code code = CSL_E_NOMEM;
    (void)state;
    open_world(&w);
    w.study->personal.training.epochs = 1;
    const struct csl_personal_config c = {
        .data = &w.data, .trainer = w.trainer, .seed = 7, .released = released};
    for (uint64_t n = 1; code != CSL_OK; n++) {
        (void)csl_mem_fail_after(n);
        code = csl_personal_run(&w.r, &c, &err);
        (void)csl_mem_fail_after(0);
        assert_true(code == CSL_OK || code == CSL_E_NOMEM);
        assert_true(n < 100000);
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_personal__site_unlike_the_others__gets_a_model_of_its_own),
        cmocka_unit_test(test_personal__nothing_to_learn__keeps_the_released_model),
        cmocka_unit_test(test_personal__interrupted__leaves_no_models),
        cmocka_unit_test(test_personal__any_allocation_failing__is_reported),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
