/* simulations/result_rejected.c - rounds that were not applied, from the rows of metrics.csv. */
#include "simulations/result.h"
#include "simulations/result_parts.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

static bool is_row(const struct csl_result_row *row, const char *metric)
{
    return strcmp(row->scope, CSL_RESULT_REJECTED) == 0 && strcmp(row->metric, metric) == 0;
}

/* The rows of one round follow one another, its "rejected" first. */
static double find(const struct csl_result *r, uint32_t first, const char *metric)
{
    for (uint32_t i = first; i < r->row_count && r->rows[i].round == r->rows[first].round; i++)
        if (is_row(&r->rows[i], metric))
            return r->rows[i].value;
    return HUGE_VAL;
}

bool csl_result_next_rejected(const struct csl_result *r, uint32_t *at,
                              struct csl_result_rejected *out)
{
    for (; *at < r->row_count; ++*at) {
        const struct csl_result_row *row = &r->rows[*at];
        if (!is_row(row, "rejected"))
            continue;
        *out = (struct csl_result_rejected){.round = row->round,
                                            .worse = find(r, *at, "worse"),
                                            .voters = find(r, *at, "voters"),
                                            .block = row->domain,
                                            .norm = find(r, *at, "norm"),
                                            .limit = find(r, *at, "limit")};
        out->is_by_vote = out->worse < HUGE_VAL;
        ++*at;
        return true;
    }
    return false;
}

static void put_reason(struct csl_json *j, const struct csl_result_rejected *v)
{
    if (v->is_by_vote) {
        csl_json_put_u64(j, "worse", (uint64_t)v->worse);
        csl_json_put_u64(j, "voters", (uint64_t)v->voters);
        return;
    }
    csl_json_put_str(j, "block", v->block);
    if (v->norm < HUGE_VAL)
        csl_json_put_f64(j, "norm", v->norm);
    if (v->limit < HUGE_VAL)
        csl_json_put_f64(j, "limit", v->limit);
}

void csl_result__put_rejected(struct csl_json *j, const struct csl_result *r)
{
    struct csl_result_rejected v;
    uint32_t at = 0, count = 0;
    for (; csl_result_next_rejected(r, &at, &v); count++) {
        if (count == 0) {
            csl_json_key(j, "rejected_rounds");
            csl_json_array(j);
        }
        csl_json_object(j);
        csl_json_put_u64(j, "round", v.round);
        put_reason(j, &v);
        csl_json_end(j);
    }
    if (count > 0)
        csl_json_end(j);
}
