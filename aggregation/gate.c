#include "aggregation/gate.h"

#include "base/check.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum csl_code csl_gate_new(struct csl_gate **out, const struct csl_gate_config *c,
                           uint32_t block_count, struct csl_err *err)
{
    CSL_ASSERT(c->factor > 1 && c->window >= 1 && c->window <= CSL_GATE_WINDOW_MAX);
    CSL_ASSERT(c->rejected_max >= 1);
    struct csl_gate *g = csl_alloc(sizeof(*g));
    if (g != NULL)
        g->blocks = csl_alloc_array(block_count, sizeof(*g->blocks));
    if (g == NULL || g->blocks == NULL) {
        csl_gate_free(g);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the norms of %u blocks", block_count);
    }
    g->config = *c;
    g->block_count = block_count;
    *out = g;
    return CSL_OK;
}

void csl_gate_free(struct csl_gate *g)
{
    if (g == NULL)
        return;
    csl_free(g->blocks);
    csl_free(g);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* HUGE_VAL: the history says nothing. */
static double limit_of_history(const struct csl_gate *g, uint32_t block)
{
    const struct csl_gate_history *h = &g->blocks[block];
    double sorted[CSL_GATE_WINDOW_MAX];
    uint32_t n = g->config.window;
    if (h->count < n)
        return HUGE_VAL;
    memcpy(sorted, h->norms, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_size);
    double median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    return median > 0 ? g->config.factor * median : HUGE_VAL;
}

static void remember(struct csl_gate *g, uint32_t block, double norm)
{
    struct csl_gate_history *h = &g->blocks[block];
    if (h->count == g->config.window) {
        h->count--;
        memmove(h->norms, h->norms + 1, h->count * sizeof(*h->norms));
    }
    h->norms[h->count++] = norm;
}

/* How far beyond its limit; 0: it is within. */
static double excess(double norm, double limit)
{
    if (!isfinite(norm))
        return HUGE_VAL;
    if (norm <= limit)
        return 0;
    return limit > 0 ? norm / limit : HUGE_VAL;
}

struct csl_gate_verdict csl_gate_judge(struct csl_gate *g, const double *norms,
                                       const double *bounds)
{
    struct csl_gate_verdict v = {.is_rejected = false};
    double worst = 0;
    for (uint32_t b = 0; b < g->block_count; b++) {
        double limit = limit_of_history(g, b);
        bool is_by_bound = bounds[b] < limit;
        limit = is_by_bound ? bounds[b] : limit;
        double beyond = norms[b] < 0 ? 0 : excess(norms[b], limit);
        if (!(beyond > worst))
            continue;
        worst = beyond;
        v = (struct csl_gate_verdict){.is_rejected = true,
                                      .is_by_bound = is_by_bound,
                                      .block = b,
                                      .norm = isfinite(norms[b]) ? norms[b] : HUGE_VAL,
                                      .limit = limit};
    }
    g->rejected_in_a_row = v.is_rejected ? g->rejected_in_a_row + 1 : 0;
    for (uint32_t b = 0; !v.is_rejected && b < g->block_count; b++)
        if (norms[b] >= 0)
            remember(g, b, norms[b]);
    return v;
}

bool csl_gate_is_shut(const struct csl_gate *g)
{
    return g->rejected_in_a_row >= g->config.rejected_max;
}
