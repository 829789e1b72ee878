#include "tests/unit/world/weighed.h"

#include "base/le.h"
#include "privacy/secagg/scalar.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture weighed_fixture;
static const uint64_t seed = 8;

struct weighed_told weighed_told[ROUNDS + 2];
struct weighed_asked weighed_asked;

bool weighed_listen(enum csl_direction to, uint32_t site, struct csl_message *m)
{
    uint64_t open = csl_coord_rounds_done(csl_service_core(masked_w.service)) + 1;
    if (to == CSL_TO_COORDINATOR)
        weighed_asked.followed +=
            m->kind == CSL_MSG_SECAGG && site == VICTIM && open == weighed_asked.round;
    if (to == CSL_TO_COORDINATOR || m->kind != CSL_MSG_TASK || m->u.task.type != CSL_TASK_TRAIN)
        return false;
    struct csl_msg_task *t = &m->u.task;
    assert_true(t->round <= ROUNDS + 1);
    for (uint32_t d = 0; d < t->weight_count; d++) { /* the same to every site, and every time */
        if (weighed_told[t->round].count > 0)
            assert_true(weighed_told[t->round].log_weight[d] == t->weights[d].log_weight);
        weighed_told[t->round].log_weight[d] = t->weights[d].log_weight;
        weighed_told[t->round].patients[d] = t->weights[d].patients;
    }
    for (uint32_t g = 0; g < t->group_count; g++) {
        if (weighed_told[t->round].group_count > 0)
            assert_true(weighed_told[t->round].group_log_weight[g] == t->group_log_weight[g]);
        weighed_told[t->round].group_log_weight[g] = t->group_log_weight[g];
    }
    weighed_told[t->round].group_count = t->group_count;
    weighed_told[t->round].of_round = t->weights_round;
    weighed_told[t->round].count = t->weight_count;
    if (weighed_asked.change == NULL || t->round != weighed_asked.round || site != VICTIM)
        return false;
    weighed_asked.change(t);
    weighed_asked.changed++;
    return true;
}

struct masked_plan weighed_plan(const char *sections)
{
    return (struct masked_plan){.rounds = ROUNDS,
                                .minimum_sites = 3,
                                .keyless_site = MASKED_NONE,
                                .chunk_bytes = 16384,
                                .noise_seed = &seed,
                                .study = DOMAINS,
                                .judges_last = true,
                                .local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: "
                                         "full, steps: 2}",
                                .meddles_with_all = true,
                                .meddle = weighed_listen,
                                .sections = sections};
}

void weighed_run(const struct masked_plan *plan, struct masked_result *out)
{
    memset(weighed_told, 0, sizeof(weighed_told));
    masked_run(&weighed_fixture, plan, out);
    if (out->code != CSL_OK)
        fail_msg("%s", out->reason);
    assert_int_equal(out->rounds, plan->rounds);
}

const struct csl_published *weighed_published(const struct masked_result *r, uint64_t round,
                                              uint32_t domain)
{
    for (uint32_t i = 0; i < r->published_count; i++)
        if (r->published[i].round == round && r->published[i].domain == domain)
            return &r->published[i];
    fail_msg("nothing was published of domain %u in round %llu", domain, (unsigned long long)round);
    abort();
}

double weighed_weight(const struct masked_result *r, uint32_t site, uint64_t round, uint32_t block)
{
    for (uint32_t i = 0; i < r->plain_count; i++) {
        size_t end = i + 1 < r->plain_count ? r->plains[i + 1].at : r->plain.n;
        if (r->plains[i].site == site && r->plains[i].round == round)
            return csl_scalar_decode(
                csl_load_le64(r->plain.p + end - (BLOCKS + 1 - block) * sizeof(uint64_t)));
    }
    fail_msg("site %u has no words of round %llu", site, (unsigned long long)round);
    return 0;
}

double weighed_mass(double mass)
{
    return round(mass * 1024) / 1024;
}

uint32_t weighed_lie(const char *sections, void (*change)(struct csl_msg_task *t),
                     struct masked_result *r)
{
    struct masked_plan plan = weighed_plan(sections);
    if (strstr(sections, "mode: joint") != NULL)
        plan.local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, steps: 1}";
    memset(&weighed_asked, 0, sizeof(weighed_asked));
    weighed_asked.change = change;
    weighed_asked.round = 4;
    weighed_run(&plan, r);
    assert_true(weighed_asked.changed > 0);
    weighed_asked.change = NULL;
    return weighed_asked.followed;
}
