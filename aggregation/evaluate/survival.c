#include "aggregation/evaluate/interval.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct patient {
    float risk, time;
    uint32_t index, rank; /* of the risk, dense, from 1; equal risks share one */
    uint8_t event;
};
struct context {
    const struct patient *patients; /* latest time first */
    uint32_t ranks;
    uint32_t *copies;  /* [n] how often each was drawn */
    uint64_t *at_rank; /* [ranks + 1] patients seen so far with this risk */
    uint64_t *tree;    /* [ranks + 1] Fenwick tree over at_rank */
};

static int by_risk(const void *a, const void *b)
{
    const struct patient *x = a, *y = b;
    return (x->risk > y->risk) - (x->risk < y->risk);
}

static int latest_first(const void *a, const void *b)
{
    const struct patient *x = a, *y = b;
    int order = (x->time < y->time) - (x->time > y->time);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static void insert(struct context *c, uint32_t rank, uint64_t copies)
{
    c->at_rank[rank] += copies;
    for (uint32_t r = rank; r <= c->ranks; r += r & -r)
        c->tree[r] += copies;
}

static uint64_t count_below(const struct context *c, uint32_t rank)
{
    uint64_t count = 0;
    for (uint32_t r = rank - 1; r > 0; r -= r & -r)
        count += c->tree[r];
    return count;
}

/* Walks from the latest time to the earliest. An event is compared with everyone later and with
 * those censored at the same time; it should have had the higher risk. O(n log n). */
static void measure(void *context, const uint32_t *draws, uint64_t n,
                    double values[CSL_EVALUATE__MEASURES])
{
    struct context *c = context;
    uint64_t seen = 0, pairs = 0, twice = 0;
    memset(c->copies, 0, n * sizeof(*c->copies));
    memset(c->at_rank, 0, (c->ranks + 1) * sizeof(*c->at_rank));
    memset(c->tree, 0, (c->ranks + 1) * sizeof(*c->tree));
    for (uint64_t i = 0; i < n; i++)
        c->copies[draws[i]]++;
    for (uint64_t first = 0, end; first < n; first = end) {
        float time = c->patients[first].time;
        for (end = first; end < n && !(c->patients[end].time < time); end++) {
            if (c->patients[end].event || c->copies[end] == 0)
                continue;
            insert(c, c->patients[end].rank, c->copies[end]);
            seen += c->copies[end];
        }
        for (uint64_t i = first; i < end; i++) {
            if (!c->patients[i].event || c->copies[i] == 0)
                continue;
            uint32_t rank = c->patients[i].rank;
            pairs += c->copies[i] * seen;
            twice += c->copies[i] * (2 * count_below(c, rank) + c->at_rank[rank]);
        }
        for (uint64_t i = first; i < end; i++) {
            if (!c->patients[i].event || c->copies[i] == 0)
                continue;
            insert(c, c->patients[i].rank, c->copies[i]);
            seen += c->copies[i];
        }
    }
    values[0] = pairs == 0 ? (double)NAN : 0.5 * (double)twice / (double)pairs;
}

static enum csl_code read_patients(const float *risk, const float *time, const uint8_t *event,
                                   uint64_t n, struct patient *patients, uint64_t *events,
                                   uint32_t *ranks, struct csl_err *err)
{
    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(risk[i]) || !isfinite(time[i]) || event[i] > 1)
            return CSL_FAIL(
                err, CSL_E_INVAL,
                "example %llu: a finite risk and time and an event of 0 or 1 would be right",
                (unsigned long long)i);
        patients[i] = (struct patient){
            .risk = risk[i], .time = time[i], .index = (uint32_t)i, .event = event[i]};
        *events += event[i];
    }
    qsort(patients, n, sizeof(*patients), by_risk);
    for (uint64_t i = 0; i < n; i++) {
        if (i == 0 || patients[i].risk > patients[i - 1].risk)
            ++*ranks;
        patients[i].rank = *ranks;
    }
    /* Resamples draw places in this order: the index breaks ties, so a seed means one thing. */
    qsort(patients, n, sizeof(*patients), latest_first);
    return CSL_OK;
}

enum csl_code csl_evaluate_survival(const float *risk, const float *time, const uint8_t *event,
                                    uint64_t n, uint64_t seed, struct csl_metrics *out,
                                    struct csl_err *err)
{
    struct csl_metrics m = {.examples = n};
    double value;
    struct csl_evaluate__spread spread;
    enum csl_code code = csl_evaluate__check_size(n, err);
    if (code != CSL_OK)
        return code;
    if (n == 0) {
        *out = m;
        return CSL_OK;
    }
    struct patient *patients = csl_alloc_array(n, sizeof(*patients));
    struct context c = {.patients = patients};
    c.copies = csl_alloc_array(n, sizeof(*c.copies));
    c.at_rank = csl_alloc_array(n + 1, sizeof(*c.at_rank));
    c.tree = csl_alloc_array(n + 1, sizeof(*c.tree));
    if (patients == NULL || c.copies == NULL || c.at_rank == NULL || c.tree == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "%llu examples", (unsigned long long)n);
    else
        code = read_patients(risk, time, event, n, patients, &m.positives, &c.ranks, err);
    if (code == CSL_OK)
        code = csl_evaluate__bootstrap(measure, &c, n, seed, 1, &value, &spread, err);
    if (code == CSL_OK) {
        csl_evaluate__add_spread(&m, "c_index", value, &spread, m.positives);
        *out = m;
    }
    csl_free(patients);
    csl_free(c.copies);
    csl_free(c.at_rank);
    csl_free(c.tree);
    return code;
}
