#include "aggregation/weights/clusters.h"

#include "base/mem.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

struct line { /* sorted values, with sums of the first i of them and of their squares */
    uint32_t count, least; /* of one cluster */
    double *values, *sums, *squares;
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of values from..to-1 around their mean. */
static double within(const struct line *l, uint32_t from, uint32_t to)
{
    double n = to - from, sum = l->sums[to] - l->sums[from];
    double w = l->squares[to] - l->squares[from] - sum * sum / n;
    return w > 0 ? w : 0;
}

/* Where to cut from..to-1 in two with the least sum; to where neither part would be large enough.
 */
static uint32_t best_cut(const struct line *l, uint32_t from, uint32_t to, double *sum)
{
    uint32_t best = to;
    *sum = HUGE_VAL;
    for (uint32_t at = from + l->least; at + l->least <= to; at++) {
        double w = within(l, from, at) + within(l, at, to);
        if (w < *sum) {
            *sum = w;
            best = at;
        }
    }
    return best;
}

/* Three clusters: cuts that are each the best given the other. The sum falls with every change. */
static double cut_twice(const struct line *l, uint32_t cuts[2])
{
    double total = HUGE_VAL, part;
    uint32_t second = l->count - l->count / 3;
    if (l->count < 3 * l->least)
        return total;
    for (;;) {
        uint32_t a = best_cut(l, 0, second, &part);
        uint32_t b = a < second ? best_cut(l, a, l->count, &part) : l->count;
        if (a >= second || b >= l->count)
            return total;
        double now = within(l, 0, a) + within(l, a, b) + within(l, b, l->count);
        if (!(now < total))
            return total;
        total = now;
        second = b;
        cuts[0] = a;
        cuts[1] = b;
    }
}

/* Gap(k) - Gap(1): by how much k clusters reduce the sum more than on uniform values. */
static double gap(uint32_t k, double one, double sum)
{
    if (!(sum < HUGE_VAL) || !(one > 0))
        return -HUGE_VAL;
    return sum > 0 ? log(one / sum) - 2 * log((double)k) : HUGE_VAL;
}

static uint32_t choose(const struct line *l, uint32_t cuts[2])
{
    double one = within(l, 0, l->count), two, three, gaps[CSL_CLUSTERS_MAX];
    uint32_t cut = best_cut(l, 0, l->count, &two);
    three = cut_twice(l, cuts);
    gaps[0] = 0;
    gaps[1] = gap(2, one, two);
    gaps[2] = gap(3, one, three);
    double largest = fmax(gaps[0], fmax(gaps[1], gaps[2]));
    double enough = largest - sqrt(0.8 / l->count);
    if (gaps[0] >= enough)
        return 1;
    if (gaps[1] < enough)
        return 3;
    cuts[0] = cut;
    return 2;
}

static enum csl_code fill(struct line *l, uint32_t history, const float *losses, double *means,
                          struct csl_err *err)
{
    for (uint32_t i = 0; i < l->count; i++) {
        double sum = 0;
        for (uint32_t t = 0; t < history; t++)
            sum += (double)losses[(size_t)i * history + t];
        if (!isfinite(sum))
            return CSL_FAIL(err, CSL_E_INVAL, "patient %u has a loss that is not finite", i);
        means[i] = l->values[i] = sum / history;
    }
    qsort(l->values, l->count, sizeof(*l->values), ascending);
    double centre = l->values[l->count / 2]; /* less to cancel in the sums of squares */
    for (uint32_t i = 0; i < l->count; i++) {
        double v = l->values[i] - centre;
        l->sums[i + 1] = l->sums[i] + v;
        l->squares[i + 1] = l->squares[i] + v * v;
    }
    return CSL_OK;
}

enum csl_code csl_cluster_patients(uint32_t patients, uint32_t history, const float *losses,
                                   uint32_t patients_min, uint8_t *cluster, uint32_t *count,
                                   struct csl_err *err)
{
    if (patients == 0 || history == 0)
        return CSL_FAIL(err, CSL_E_LIMIT, "clusters of %u patients with %u losses each", patients,
                        history);
    struct line l = {.count = patients, .least = patients_min > 0 ? patients_min : 1};
    double *means = csl_alloc_array(patients, sizeof(*means));
    l.values = csl_alloc_array(patients, sizeof(*l.values));
    l.sums = csl_alloc_array((size_t)patients + 1, sizeof(*l.sums));
    l.squares = csl_alloc_array((size_t)patients + 1, sizeof(*l.squares));
    enum csl_code code = CSL_OK;
    if (means == NULL || l.values == NULL || l.sums == NULL || l.squares == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for clusters of %u patients", patients);
    if (code == CSL_OK)
        code = fill(&l, history, losses, means, err);
    if (code == CSL_OK) {
        uint32_t cuts[2] = {0, 0};
        *count = choose(&l, cuts);
        for (uint32_t i = 0; i < patients; i++) {
            uint32_t above = 0;
            for (uint32_t k = 0; k + 1 < *count; k++)
                above += means[i] >= l.values[cuts[k]];
            cluster[i] = (uint8_t)(1 + above);
        }
    }
    csl_free(l.squares);
    csl_free(l.sums);
    csl_free(l.values);
    csl_free(means);
    return code;
}
