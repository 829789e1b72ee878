/* Strategies that see single updates: a round's held updates of one block, compared, chosen and
 * combined, from their spools. Slices are read once to compare and once to combine, so that memory
 * is one slice per site whatever the model's size. */
#include "coordinator/service_internal.h"

#include "base/mem.h"

#define ROW_COUNT 4096u /* parameters per slice of one update */

struct csl_service_rows {
    struct csl_service *s;
    uint32_t block, count;
    uint32_t sites[CSL_STRATEGY_UPDATES_MAX];
    uint64_t at[CSL_STRATEGY_UPDATES_MAX]; /* of the block, in the spool */
    double weights[CSL_STRATEGY_UPDATES_MAX], losses[CSL_STRATEGY_UPDATES_MAX];
    double norms2[CSL_STRATEGY_UPDATES_MAX], coefficients[CSL_STRATEGY_UPDATES_MAX];
    const float *rows[CSL_STRATEGY_UPDATES_MAX], *kept[CSL_STRATEGY_UPDATES_MAX];
    float scratch[CSL_STRATEGY_UPDATES_MAX];
    double mixture[CSL_STRATEGY_UPDATES_MAX];
    double *distances2; /* [count, count] */
    float *values;      /* [count, ROW_COUNT] */
};

void csl_service_rows_free__(struct csl_service_rows *r)
{
    if (r == NULL)
        return;
    csl_free(r->distances2);
    csl_free(r->values);
    csl_free(r);
}

/* In the order of the sites, which is that of their ids. */
static void find_updates(struct csl_service_rows *r)
{
    struct csl_service *s = r->s;
    double total = 0;
    for (uint32_t i = 0; i < s->site_count && r->count < CSL_STRATEGY_UPDATES_MAX; i++) {
        const struct csl_coord_site *site = csl_coord_site(s->core, i);
        double weight = csl_coord_weight(s->core, i, r->block);
        if (site->progress != CSL_SITE_HELD || !(weight > 0) ||
            !csl_service_find_block__(s, &site->update, 0, r->block, &r->at[r->count]))
            continue;
        r->sites[r->count] = i;
        r->weights[r->count] = weight;
        r->losses[r->count] = site->update.train_loss;
        if (s->mixture != NULL)
            r->mixture[r->count] = *csl_service_mixture__(s, r->block, i);
        total += weight;
        r->count++;
    }
    for (uint32_t a = 0; a < r->count; a++)
        r->weights[a] /= total;
}

static enum csl_code read_slice(struct csl_service_rows *r, uint64_t first, uint64_t n,
                                struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t a = 0; code == CSL_OK && a < r->count; a++)
        code = csl_blob_read(r->s->spool, r->s->io[r->sites[a]].spool,
                             r->at[a] + first * sizeof(float), r->values + (size_t)a * ROW_COUNT,
                             (size_t)n * sizeof(float), err);
    return code;
}

static enum csl_code measure(struct csl_service_rows *r, struct csl_err *err)
{
    uint64_t all = r->s->study->schema.blocks[r->block].count;
    enum csl_code code = CSL_OK;
    for (uint64_t first = 0; code == CSL_OK && first < all; first += ROW_COUNT) {
        uint64_t n = all - first < ROW_COUNT ? all - first : ROW_COUNT;
        code = read_slice(r, first, n, err);
        if (code == CSL_OK)
            csl_updates_measure(r->count, r->rows, n, r->norms2, r->distances2);
    }
    return code;
}

enum csl_code csl_service_rows_open__(struct csl_service *s, uint32_t block,
                                      struct csl_service_rows **out, struct csl_err *err)
{
    struct csl_service_rows *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to compare updates");
    r->s = s;
    r->block = block;
    find_updates(r);
    r->distances2 = csl_alloc_array((size_t)r->count * r->count, sizeof(double));
    r->values = csl_alloc_array((size_t)r->count * ROW_COUNT, sizeof(float));
    enum csl_code code = CSL_OK;
    if (r->distances2 == NULL || r->values == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to compare %u updates", r->count);
    for (uint32_t a = 0; a < r->count; a++)
        r->rows[a] = r->values == NULL ? NULL : r->values + (size_t)a * ROW_COUNT;
    if (code == CSL_OK && s->strategy->measures)
        code = measure(r, err);
    const struct csl_updates u = {.count = r->count,
                                  .weights = r->weights,
                                  .losses = r->losses,
                                  .norms2 = r->norms2,
                                  .distances2 = r->distances2,
                                  .mixture = r->mixture};
    if (code == CSL_OK)
        code = s->strategy->choose(&s->strategy_config, &u, r->coefficients, err);
    for (uint32_t a = 0; code == CSL_OK && s->mixture != NULL && a < r->count; a++)
        *csl_service_mixture__(s, block, r->sites[a]) = r->mixture[a];
    if (code != CSL_OK) {
        csl_service_rows_free__(r);
        return code;
    }
    *out = r;
    return CSL_OK;
}

enum csl_code csl_service_rows_mean__(struct csl_service_rows *r, uint64_t first, uint64_t count,
                                      float *mean, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint64_t done = 0; code == CSL_OK && done < count; done += ROW_COUNT) {
        uint64_t n = count - done < ROW_COUNT ? count - done : ROW_COUNT;
        code = read_slice(r, first + done, n, err);
        if (code == CSL_OK)
            csl_strategy_combine(r->s->strategy, &r->s->strategy_config, r->count, r->coefficients,
                                 r->rows, r->kept, n, r->scratch, mean + done);
    }
    return code;
}
