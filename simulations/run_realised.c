/* simulations/run_realised.c - mode joint: what the sums that a run opened cost, after its rounds.
 */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "simulations/run.h"
#include "site-agent/training/privacy_plan.h"

#include "base/banned.h"

enum { ROWS_MAX = 100 }; /* rounds that are priced by themselves, spread evenly over all */

struct sums {
    const struct csl_study *study;
    struct csl_privacy_plan plan;
    uint32_t *survivors, *fewest; /* [rounds]; fewest: as few as the study allows; owned */
};

static enum csl_code add_row(struct csl_result *r, uint64_t round, const char *metric, double value,
                             struct csl_err *err)
{
    struct csl_result_row row = {.round = round, .value = value};
    CSL_ASSERT(csl_str_copy(row.scope, sizeof(row.scope), "privacy_sum"));
    CSL_ASSERT(csl_str_copy(row.metric, sizeof(row.metric), metric));
    return csl_result_add_row(r, &row, err);
}

/* Of the first `rounds` rounds, into r->realised and a row each. */
static enum csl_code price(struct csl_result *r, const struct sums *s, uint64_t rounds,
                           struct csl_err *err)
{
    struct csl_result_realised *p = &r->realised;
    uint32_t known = s->study->secagg.colluding;
    enum csl_code code =
        csl_privacy_plan_realised(&s->plan, 0, s->survivors, rounds, &p->coordinator, err);
    if (code == CSL_OK)
        code = csl_privacy_plan_realised(&s->plan, known, s->survivors, rounds, &p->colluding, err);
    if (code == CSL_OK)
        code = csl_privacy_plan_realised(&s->plan, known, s->fewest, rounds, &p->planned, err);
    if (code == CSL_OK)
        code = add_row(r, rounds, "epsilon_coordinator", p->coordinator, err);
    if (code == CSL_OK)
        code = add_row(r, rounds, "epsilon_colluding", p->colluding, err);
    return code == CSL_OK ? add_row(r, rounds, "epsilon_planned", p->planned, err) : code;
}

static bool has_block(const struct csl_world_blocks *site, uint32_t block)
{
    for (uint32_t k = 0; k < site->count; k++)
        if (site->blocks[k].block == block)
            return true;
    return false;
}

/* Sites whose noise is in the sum of round i, wherever in it there is the least; 0: not known. A
 * patient is in the blocks of one site only, and pays no more than this. */
static uint32_t noisy_sites(const struct sums *s, const struct csl_world_result *w, uint32_t sites,
                            uint64_t i)
{
    const struct csl_world_round *row = &w->round_rows[i];
    uint32_t fewest = row->contributions, all = 0;
    if (s->study->input_count == 0 || row->fewest > 0)
        return s->study->input_count == 0 ? row->contributions : row->fewest;
    for (uint32_t k = 0; k < sites; k++)
        all += w->site_blocks[k].count > 0;
    if (row->contributions < all)
        return 0; /* of somebody who was lost it is not known who */
    for (uint32_t b = 0; b < s->study->schema.block_count; b++) {
        uint32_t n = 0;
        if (s->study->schema.blocks[b].kind != CSL_BLOCK_SHARED)
            continue;
        for (uint32_t k = 0; k < sites; k++)
            n += has_block(&w->site_blocks[k], b);
        fewest = n > 0 && n < fewest ? n : fewest;
    }
    return fewest;
}

/* False: a round of which it is not known who was in its sum, as before a restart. */
static bool take_survivors(struct csl_result *r, struct sums *s, const struct csl_world_result *w)
{
    struct csl_result_realised *p = &r->realised;
    p->floor = s->study->secagg.minimum_sites;
    p->colluding_sites = s->study->secagg.colluding;
    p->fewest = UINT32_MAX;
    for (uint64_t i = 0; i < w->rounds; i++) {
        uint32_t n = noisy_sites(s, w, r->site_count, i);
        if (n < p->floor)
            return false;
        s->survivors[i] = n;
        s->fewest[i] = p->floor;
        p->fewest = n < p->fewest ? n : p->fewest;
        p->most = n > p->most ? n : p->most;
    }
    return true;
}

static enum csl_code take(struct csl_result *r, struct sums *s, const struct csl_world_result *w,
                          struct csl_err *err)
{
    uint64_t patients[CSL_BLOCKS_MAX + 1];
    s->survivors = csl_alloc_array(w->rounds, sizeof(*s->survivors));
    s->fewest = csl_alloc_array(w->rounds, sizeof(*s->fewest));
    if (s->survivors == NULL || s->fewest == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %llu rounds",
                        (unsigned long long)w->rounds);
    if (!take_survivors(r, s, w)) {
        r->realised = (struct csl_result_realised){.is_present = false};
        return CSL_OK;
    }
    for (uint32_t b = 0; b <= s->study->schema.block_count; b++)
        patients[b] = 1; /* the price of one sum asks for no number */
    uint64_t step = (w->rounds + ROWS_MAX - 1) / ROWS_MAX;
    enum csl_code code = csl_privacy_plan_make(&s->plan, s->study, patients, err);
    for (uint64_t round = step; code == CSL_OK && round < w->rounds; round += step)
        code = price(r, s, round, err);
    if (code == CSL_OK)
        code = price(r, s, w->rounds, err);
    r->realised.is_present = code == CSL_OK;
    return code;
}

enum csl_code csl_run_take_realised(struct csl_result *r, const struct csl_study *study,
                                    const struct csl_world_result *w, struct csl_err *err)
{
    struct sums s = {.study = study};
    if (study->privacy.mode != CSL_PRIVACY_JOINT || w->rounds == 0)
        return CSL_OK;
    enum csl_code code = take(r, &s, w, err);
    csl_privacy_plan_release(&s.plan);
    csl_free(s.survivors);
    csl_free(s.fewest);
    return code;
}
