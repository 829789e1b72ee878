/* Sites that are left out of training, and the few patients they begin with. */
#include "base/mem.h"
#include "simulations/few_shot.h"
#include "simulations/leave_out.h"
#include "simulations/run.h"
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
    "baselines: {optimizer: sgd, learning_rate: 1, batch_patients: full, epochs: 500}\n"           \
    "personalisation: {training: {optimizer: sgd, learning_rate: 1, batch_patients: full, "        \
    "epochs: 500}}\n"

static struct csl_err err;
static struct csl_world_site sites[3];

struct world {
    struct csl_study *study;
    struct csl_trainer *trainer;
    struct csl_sim_data data;
    struct csl_result r;
    uint32_t calls, cancels_at;
};

static void open_world(struct world *w)
{
    memset(w, 0, sizeof(*w));
    fixture_records(&sites[0], "a", "T0f T0m T1f T1m E0f E1f E0m E1m");
    fixture_records(&sites[1], "b", "T1m T0f E1m E0f");
    fixture_records(&sites[2], "c", "T1f T1m E0f E1f");
    w->study = fixture_study(STUDY);
    w->cancels_at = UINT32_MAX;
    assert_int_equal(csl_trainer_new(&w->trainer, w->study, "cpu-ref", &err), CSL_OK);
    assert_int_equal(csl_sim_data_load(&w->data, w->study, sites, 3, &err), CSL_OK);
    assert_int_equal(csl_result_init(&w->r, 3, 1, &err), CSL_OK);
}

static void close_world(struct world *w)
{
    csl_result_release(&w->r);
    csl_sim_data_release(&w->data);
    csl_trainer_free(w->trainer);
    csl_study_free(w->study);
}

/* The model without site a ranks the ill first, every other one last. */
static enum csl_code federate(void *ctx, uint32_t left_out, struct csl_world_result *out,
                              struct csl_err *e)
{
    struct world *w = ctx;
    if (w->calls++ == w->cancels_at)
        return CSL_FAIL(e, CSL_E_CANCELLED, "stopped");
    *out = (struct csl_world_result){.parameters = csl_alloc_array(2, sizeof(float))};
    if (out->parameters == NULL)
        return CSL_FAIL(e, CSL_E_NOMEM, "no memory");
    out->parameters[0] = left_out == 0 ? 1.0f : -1.0f;
    return CSL_OK;
}

static struct csl_leave_out_config config_of(struct world *w, bool asks_few)
{
    return (struct csl_leave_out_config){.data = &w->data,
                                         .trainer = w->trainer,
                                         .seed = 7,
                                         .federate = federate,
                                         .federate_ctx = w,
                                         .asks_few = asks_few};
}

static const struct csl_metric *auc(const struct world *w, int t, uint32_t site)
{
    return csl_metrics_find(csl_evaluation_cell(&w->r.transfer.models[t], site, 0), "auc");
}

static void test_leave_out__each_site__is_judged_by_the_model_without_it(void **state)
{
    struct world w;
    (void)state;
    open_world(&w);
    const struct csl_leave_out_config c = config_of(&w, false);
    if (csl_leave_out_run(&w.r, &c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(w.calls, 3);
    assert_true(auc(&w, CSL_TRANSFER_LEFT_OUT, 0)->value == 1.0);
    assert_true(auc(&w, CSL_TRANSFER_LEFT_OUT, 1)->value == 0.0);
    assert_true(auc(&w, CSL_TRANSFER_LEFT_OUT, 2)->value == 0.0);
    for (int t = CSL_TRANSFER_FEW_HEAD; t < CSL_TRANSFER_COUNT; t++)
        assert_null(w.r.transfer.models[t].pooled);
    assert_false(w.r.transfer.asks_few);
    close_world(&w);
}

static void test_leave_out__few_patients__mend_the_head_where_they_can(void **state)
{
    struct world w;
    (void)state;
    open_world(&w);
    const struct csl_leave_out_config c = config_of(&w, true);
    if (csl_leave_out_run(&w.r, &c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    for (int l = 0; l < CSL_FEW_LEVELS; l++) {
        int head = CSL_TRANSFER_FEW_HEAD + l, local = CSL_TRANSFER_FEW_LOCAL + l;
        assert_true(auc(&w, head, 1)->value == 1.0); /* was 0 */
        assert_true(auc(&w, local, 1)->value == 1.0);
        /* site c has ill patients only: its head stays, and it has no model of its own */
        assert_true(auc(&w, head, 2)->value == 0.0);
        assert_null(auc(&w, local, 2));
        assert_int_equal(w.r.transfer.labelled[3 * l], 4);
        assert_int_equal(w.r.transfer.labelled[3 * l + 1], 2);
        assert_int_equal(w.r.transfer.labelled[3 * l + 2], 2);
    }
    close_world(&w);
}

static void test_leave_out__interrupted__leaves_no_models(void **state)
{
    struct world w;
    (void)state;
    open_world(&w);
    w.cancels_at = 1;
    const struct csl_leave_out_config c = config_of(&w, true);
    assert_int_equal(csl_leave_out_run(&w.r, &c, &err), CSL_E_CANCELLED);
    for (int t = 0; t < CSL_TRANSFER_COUNT; t++)
        assert_null(w.r.transfer.models[t].pooled);
    close_world(&w);
}

static void test_leave_out__any_allocation_failing__is_reported(void **state)
{
    enum csl_code code = CSL_E_NOMEM;
    (void)state;
    for (uint64_t n = 1; code != CSL_OK; n += 1 + n / 8) {
        struct world w;
        open_world(&w);
        w.study->personal.training.epochs = w.study->baseline.epochs = 1;
        const struct csl_leave_out_config c = config_of(&w, true);
        (void)csl_mem_fail_after(n);
        code = csl_leave_out_run(&w.r, &c, &err);
        (void)csl_mem_fail_after(0);
        assert_true(code == CSL_OK || code == CSL_E_NOMEM);
        assert_true(n < 100000);
        close_world(&w);
    }
}

/* --- as part of a run --- */

struct script {
    uint32_t calls, interrupts_at; /* the call that is interrupted, from 1; 0: none */
    uint32_t sites[8];             /* of each call */
    uint64_t seeds[8];
};

static enum csl_code federate_script(void *ctx, const struct csl_world_config *c,
                                     struct csl_world_result *out, struct csl_err *e)
{
    struct script *s = ctx;
    (void)e;
    assert_true(s->calls < 8);
    s->sites[s->calls] = c->site_count;
    s->seeds[s->calls++] = c->seed;
    *out = (struct csl_world_result){
        .parameters = csl_alloc_array(2, sizeof(float)),
        .site_rounds = csl_alloc_array(c->site_count, sizeof(uint32_t)),
        .was_interrupted = s->calls == s->interrupts_at,
    };
    out->parameters[0] = 1.0f;
    return CSL_OK;
}

static void run_script(struct csl_result *r, struct script *s, bool asks_few)
{
    struct csl_study *study = fixture_study(STUDY);
    const struct csl_study *const left_out[] = {study, study, study};
    const struct csl_prepared prepared = {
        .sites = sites, .count = 3, .external = &sites[1], .external_count = 1};
    struct world w;
    open_world(&w); /* writes the record files */
    const struct csl_run_config c = {.study = study,
                                     .prepared = &prepared,
                                     .federate = federate_script,
                                     .federate_ctx = s,
                                     .transport = "inproc",
                                     .backend = "cpu-ref",
                                     .version = "0.0.0",
                                     .out_dir = fixture_dir,
                                     .has_baselines = true,
                                     .left_out = left_out,
                                     .has_few_shot = asks_few,
                                     .first_seed = 1,
                                     .last_seed = 2};
    if (csl_run_study(r, &c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    close_world(&w);
    csl_study_free(study);
}

/* How many rows have the scope; each of the site (of all: "") has the value of m. */
static uint32_t rows_of(const struct csl_result *r, const char *scope, const char *site,
                        const struct csl_metrics *m)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->row_count; i++) {
        const struct csl_result_row *row = &r->rows[i];
        if (strcmp(row->scope, scope) != 0 || strcmp(row->site, site) != 0)
            continue;
        const struct csl_metric *figure = csl_metrics_find(m, row->metric);
        assert_non_null(figure);
        assert_memory_equal(&row->value, &figure->value, sizeof(row->value));
        assert_int_equal(row->round, r->rounds);
        count++;
    }
    return count;
}

static void assert_rows(const struct csl_result *r, const char *name, enum csl_transfer t)
{
    const struct csl_evaluation *e = &r->transfer.models[t];
    char site[32], pooled[32];
    (void)snprintf(site, sizeof(site), "%s_site", name);
    (void)snprintf(pooled, sizeof(pooled), "%s_pooled", name);
    assert_true(e->pooled[0].count > 0);
    assert_int_equal(rows_of(r, pooled, "", &e->pooled[0]), e->pooled[0].count);
    for (uint32_t s = 0; s < r->site_count; s++) {
        const struct csl_metrics *m = csl_evaluation_cell(e, s, 0);
        assert_int_equal(rows_of(r, site, r->sites[s].id, m), m->count);
    }
}

static void test_run__left_out__trains_the_study_without_each_site(void **state)
{
    struct script s = {.calls = 0};
    struct csl_result r;
    (void)state;
    run_script(&r, &s, true);
    assert_int_equal(s.calls, 8); /* with all and without each; twice */
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(s.sites[i], i % 4 == 0 ? 3 : 2);
        assert_int_equal(s.seeds[i], 1 + i / 4);
    }
    assert_true(r.transfer.asks_left_out && r.transfer.asks_few);
    assert_int_equal(r.transfer.models[CSL_TRANSFER_LEFT_OUT].pooled[0].examples, 8);
    assert_int_equal(r.transfer.labelled[1], 2);
    assert_int_equal(r.repeats.count, 2);
    /* site b plays the external one as well: it is no further site of the federation */
    assert_int_equal(r.site_count, 3);
    assert_int_equal(r.external->site_count, 1);
    assert_string_equal(r.external->sites[0].id, "b");
    assert_int_equal(r.external->federated.pooled[0].examples, 2);
    assert_non_null(r.repeats.external.pooled);
    assert_non_null(r.repeats.transfer[CSL_TRANSFER_LEFT_OUT].pooled);
    assert_non_null(r.repeats.transfer[CSL_TRANSFER_FEW_LOCAL].pooled);
    assert_rows(&r, "left_out", CSL_TRANSFER_LEFT_OUT);
    assert_rows(&r, "few_8_head", CSL_TRANSFER_FEW_HEAD);
    assert_rows(&r, "few_64_local", CSL_TRANSFER_FEW_LOCAL + CSL_FEW_LEVELS - 1);
    csl_result_release(&r);
}

static void test_run__interrupted_while_sites_are_left_out__says_so(void **state)
{
    struct script s = {.interrupts_at = 3};
    struct csl_result r;
    (void)state;
    run_script(&r, &s, true);
    assert_int_equal(s.calls, 3);
    assert_true(r.was_interrupted);
    assert_true(r.baselines.is_present);
    assert_non_null(r.transfer.models[CSL_TRANSFER_HEAD].pooled);
    assert_string_equal(r.transfer.left_out_reason, "the run was interrupted");
    assert_null(r.transfer.models[CSL_TRANSFER_LEFT_OUT].pooled);
    assert_rows(&r, "personal_head", CSL_TRANSFER_HEAD);
    assert_int_equal(rows_of(&r, "left_out_pooled", "", &r.federated.pooled[0]), 0);
    csl_result_release(&r);
}

/* --- the few --- */

#define PATIENTS 40

/* Three healthy patients to one ill one; every fourth patient has two records. x says which. */
struct many {
    struct csl_dataset data;
    struct csl_examples examples[1][CSL_SPLIT_COUNT];
    float x[2 * PATIENTS];
    uint32_t patient[2 * PATIENTS];
    uint8_t label[2 * PATIENTS];
};

static void fill(struct many *m)
{
    struct csl_examples *e = &m->examples[0][CSL_SPLIT_TRAIN];
    memset(m, 0, sizeof(*m));
    *e = (struct csl_examples){
        .width = 1, .patients = PATIENTS, .x = m->x, .patient = m->patient, .label = m->label};
    for (uint32_t p = 0; p < PATIENTS; p++) {
        for (uint32_t k = 0; k < (p % 4 == 3 ? 2 : 1); k++) {
            m->x[e->records] = (float)p;
            m->patient[e->records] = p;
            m->label[e->records++] = p % 4 == 0;
        }
    }
    m->data = (struct csl_dataset){.site = "here", .domain_count = 1, .domains = m->examples};
}

static bool holds(const struct csl_examples *e, float x)
{
    for (uint32_t r = 0; r < e->records; r++)
        if (e->x[r] == x)
            return true;
    return false;
}

static void test_few__more_patients__hold_those_of_fewer(void **state)
{
    static const uint32_t per_class[] = {1, 3, 8, 100}, wanted[] = {2, 6, 16, 40};
    struct many m;
    struct csl_dataset *few[4] = {NULL};
    (void)state;
    fill(&m);
    for (int i = 0; i < 4; i++) {
        uint32_t used = 0;
        assert_int_equal(csl_few_draw(&few[i], &m.data, per_class[i], 5, &used, &err), CSL_OK);
        const struct csl_examples *e = &few[i]->domains[0][CSL_SPLIT_TRAIN];
        uint32_t ill = 0;
        assert_int_equal(used, wanted[i]);
        assert_int_equal(e->patients, wanted[i]);
        for (uint32_t r = 0; r < e->records; r++) {
            uint32_t p = (uint32_t)e->x[r];
            bool is_new = r == 0 || e->patient[r] != e->patient[r - 1];
            assert_int_equal(e->label[r], p % 4 == 0);
            assert_true(!is_new || r == 0 || e->patient[r] == e->patient[r - 1] + 1);
            assert_true(is_new || e->x[r] == e->x[r - 1]);
            assert_true(p % 4 != 3 || (r > 0 && e->x[r - 1] == e->x[r]) || e->x[r + 1] == e->x[r]);
            ill += is_new && e->label[r] == 1;
        }
        assert_int_equal(ill, per_class[i] < 10 ? per_class[i] : 10);
        const struct csl_examples *fewer = i > 0 ? &few[i - 1]->domains[0][CSL_SPLIT_TRAIN] : NULL;
        for (uint32_t r = 0; fewer != NULL && r < fewer->records; r++)
            assert_true(holds(e, fewer->x[r]));
    }
    for (int i = 0; i < 4; i++)
        csl_dataset_free(few[i]);
}

static void test_few__another_seed__draws_others(void **state)
{
    struct many m;
    struct csl_dataset *a = NULL, *b = NULL, *again = NULL;
    uint32_t used, same = 0;
    (void)state;
    fill(&m);
    assert_int_equal(csl_few_draw(&a, &m.data, 4, 5, &used, &err), CSL_OK);
    assert_int_equal(csl_few_draw(&again, &m.data, 4, 5, &used, &err), CSL_OK);
    assert_int_equal(csl_few_draw(&b, &m.data, 4, 6, &used, &err), CSL_OK);
    const struct csl_examples *first = &a->domains[0][CSL_SPLIT_TRAIN];
    assert_int_equal(first->records, again->domains[0][CSL_SPLIT_TRAIN].records);
    assert_memory_equal(first->x, again->domains[0][CSL_SPLIT_TRAIN].x,
                        first->records * sizeof(float));
    for (uint32_t r = 0; r < first->records; r++)
        same += holds(&b->domains[0][CSL_SPLIT_TRAIN], first->x[r]);
    assert_true(same < first->records); /* of a fixed pair of seeds */
    csl_dataset_free(a);
    csl_dataset_free(b);
    csl_dataset_free(again);
}

static void test_few__study_with_inputs__is_refused(void **state)
{
    struct many m;
    struct csl_dataset *few = NULL;
    uint32_t used;
    (void)state;
    fill(&m);
    m.data.multimodal = (struct csl_multimodal *)&m;
    assert_int_equal(csl_few_draw(&few, &m.data, 4, 5, &used, &err), CSL_E_UNSUPPORTED);
    assert_null(few);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leave_out__each_site__is_judged_by_the_model_without_it),
        cmocka_unit_test(test_leave_out__few_patients__mend_the_head_where_they_can),
        cmocka_unit_test(test_leave_out__interrupted__leaves_no_models),
        cmocka_unit_test(test_leave_out__any_allocation_failing__is_reported),
        cmocka_unit_test(test_run__left_out__trains_the_study_without_each_site),
        cmocka_unit_test(test_run__interrupted_while_sites_are_left_out__says_so),
        cmocka_unit_test(test_few__more_patients__hold_those_of_fewer),
        cmocka_unit_test(test_few__another_seed__draws_others),
        cmocka_unit_test(test_few__study_with_inputs__is_refused),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
