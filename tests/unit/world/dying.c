#include "tests/unit/world/dying.h"

#include "base/check.h"
#include "privacy/crypto/rng.h"

#include <string.h>

static struct {
    struct dying_plan plan;
    uint32_t party, deaths;
    bool is_dead[DYING_PARTIES];
    uint64_t writes[DYING_PARTIES];
    struct csl_rng rng;
} d = {.party = DYING_NOBODY};

void dying_begin(const struct dying_plan *plan)
{
    memset(&d, 0, sizeof(d));
    d.plan = *plan;
    d.party = DYING_NOBODY;
    csl_rng_init_label(&d.rng, plan->seed, "dying", 0, 0, 0);
}

void dying_enter(uint32_t party)
{
    d.party = party;
}

uint32_t dying_party(void)
{
    return d.party;
}

enum dying_fate dying_write(void)
{
    if (d.party == DYING_NOBODY)
        return DYING_NOT;
    CSL_ASSERT(d.party < DYING_PARTIES);
    if (d.is_dead[d.party])
        return DYING_BEFORE;
    d.writes[d.party]++;
    bool is_due = d.plan.at != 0 && d.party == d.plan.party && d.writes[d.party] == d.plan.at;
    bool is_after = d.plan.is_after;
    if (d.plan.probability > 0) {
        is_due = csl_rng_uniform(&d.rng) < d.plan.probability;
        is_after = csl_rng_below(&d.rng, 2) == 0;
    }
    if (!is_due)
        return DYING_NOT;
    d.is_dead[d.party] = true;
    d.deaths++;
    return is_after ? DYING_AFTER : DYING_BEFORE;
}

bool dying_is_dead(uint32_t party)
{
    return d.is_dead[party];
}

void dying_revive(uint32_t party)
{
    d.is_dead[party] = false;
}

uint64_t dying_count(uint32_t party)
{
    return d.writes[party];
}

uint32_t dying_deaths(void)
{
    return d.deaths;
}
