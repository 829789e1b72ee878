#include "base/check.h"
#include "base/str.h"
#include "tests/unit/simulations/made_up.h"

static void fill(struct csl_result *r, uint32_t salt)
{
    for (uint32_t i = 0; i < CSL_TRANSFER_COUNT; i++)
        made_up_evaluation(&r->transfer.models[i], r, salt + 17 * i);
}

static void add_spread(struct csl_result *r)
{
    struct csl_err err;
    for (uint32_t seed = 0; seed < 5; seed++) {
        for (uint32_t i = 0; i < CSL_TRANSFER_COUNT; i++) {
            struct csl_evaluation e = {.cells = NULL};
            made_up_evaluation(&e, r, 900 + seed + 17 * i);
            CSL_ASSERT(csl_evaluation_spread_add(&r->repeats.transfer[i], &e, &err) == CSL_OK);
            csl_evaluation_release(&e);
        }
    }
}

void made_up_transfer(struct csl_result *r)
{
    struct csl_result_transfer *t = &r->transfer;
    struct csl_err err;
    CSL_ASSERT(csl_result_transfer_init_personal(r, &err) == CSL_OK);
    CSL_ASSERT(csl_result_transfer_init_few(r, &err) == CSL_OK);
    CSL_ASSERT(csl_str_copy(t->training, sizeof(t->training),
                            "adam, learning rate 0.001, 4 patients a step, 10 epochs"));
    t->asks_left_out = true;
    t->lambda = 0.1;
    t->keeps[(r->site_count - 1) * r->domain_count] = true;
    for (uint32_t i = 0; i < CSL_FEW_LEVELS * r->site_count * r->domain_count; i++)
        t->labelled[i] = 16 + i;
    fill(r, 700);
    if (r->repeats.count > 0)
        add_spread(r);
}

void made_up_external(struct csl_result *r)
{
    static const char *const ids[] = {"oslo", "x<y"};
    struct csl_err err;
    CSL_ASSERT(csl_result_init_external(r, 2, &err) == CSL_OK);
    for (uint32_t s = 0; s < 2; s++) {
        CSL_ASSERT(
            csl_str_copy(r->external->sites[s].id, sizeof(r->external->sites[s].id), ids[s]));
        r->external->sites[s].patients = 40 + s;
    }
    made_up_evaluation(&r->external->federated, r->external, 333);
    for (uint32_t seed = 0; r->repeats.count > 0 && seed < 5; seed++) {
        struct csl_evaluation e = {.cells = NULL};
        made_up_evaluation(&e, r->external, 340 + seed);
        CSL_ASSERT(csl_evaluation_spread_add(&r->repeats.external, &e, &err) == CSL_OK);
        csl_evaluation_release(&e);
    }
}
