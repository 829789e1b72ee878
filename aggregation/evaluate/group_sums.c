#include "aggregation/evaluate/group_sums.h"

#include "aggregation/evaluate/sums_internal.h"
#include "base/check.h"
#include "base/mem.h"

#include <string.h>

size_t csl_group_sums_count(const struct csl_group_plan *p)
{
    size_t parts = 0;
    for (uint32_t a = 0; a < p->attribute_count; a++)
        parts += (size_t)p->values[a] + 1;
    return parts * csl_sums_count(p->classes, 0);
}

struct csl_sums csl_group_sums_part(const struct csl_group_plan *p, uint64_t *counts,
                                    uint32_t attribute, uint32_t value)
{
    size_t before = value;
    CSL_ASSERT(attribute < p->attribute_count && value <= p->values[attribute]);
    for (uint32_t a = 0; a < attribute; a++)
        before += (size_t)p->values[a] + 1;
    return (struct csl_sums){p->classes, 0, counts + before * csl_sums_count(p->classes, 0)};
}

enum csl_code csl_group_sums_add(const struct csl_group_plan *p, uint64_t *counts,
                                 const float *scores, uint8_t label, const uint8_t *group,
                                 bool is_new_patient, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t a = 0; a < p->attribute_count && code == CSL_OK; a++) {
        bool is_known = group[a] > 0 && group[a] <= p->values[a];
        struct csl_sums part =
            csl_group_sums_part(p, counts, a, is_known ? group[a] - 1U : p->values[a]);
        /* fails for the first attribute or for none: it is the same record */
        code = csl_sums_add(&part, scores, label, is_new_patient, err);
    }
    return code;
}

static uint64_t most_sites(const struct csl_group_plan *p, uint64_t *counts)
{
    uint64_t most = 0;
    for (uint32_t a = 0; a < p->attribute_count; a++) {
        for (uint32_t v = 0; v <= p->values[a]; v++) {
            uint64_t n = csl_group_sums_part(p, counts, a, v).counts[CSL_SUMS__SITES];
            most = n > most ? n : most;
        }
    }
    return most;
}

enum csl_code csl_group_sums_total(const struct csl_group_plan *p, uint64_t *counts,
                                   struct csl_sums *all, struct csl_err *err)
{
    size_t n = csl_sums_count(p->classes, 0);
    CSL_ASSERT(p->attribute_count > 0 && all->classes == p->classes && all->bins == 0);
    memset(all->counts, 0, n * sizeof(*all->counts));
    for (uint32_t v = 0; v <= p->values[0]; v++) {
        const struct csl_sums part = csl_group_sums_part(p, counts, 0, v);
        enum csl_code code = csl_sums_check(&part, err);
        if (code != CSL_OK)
            return code;
        for (size_t i = 0; i < n; i++)
            all->counts[i] += part.counts[i];
    }
    all->counts[CSL_SUMS__SITES] = most_sites(p, counts);
    return csl_sums_check(all, err);
}

static enum csl_code check_attribute(const struct csl_group_plan *p, uint64_t *counts,
                                     const struct csl_sums *all, uint32_t attribute,
                                     struct csl_sums *left, struct csl_err *err)
{
    size_t n = csl_sums_count(p->classes, 0);
    uint64_t sites = 0;
    memcpy(left->counts, all->counts, n * sizeof(*left->counts)); /* both begin alike */
    for (uint32_t v = 0; v <= p->values[attribute]; v++) {
        const struct csl_sums part = csl_group_sums_part(p, counts, attribute, v);
        enum csl_code code = csl_sums_check(&part, err);
        if (code != CSL_OK)
            return code;
        sites += csl_sums_sites(&part);
        if (csl_sums_sites(&part) > csl_sums_sites(all))
            return CSL_FAIL(err, CSL_E_INVAL, "attribute %u, group %u: %u sites of %u", attribute,
                            v, csl_sums_sites(&part), csl_sums_sites(all));
        for (size_t i = CSL_SUMS__PATIENTS; i < n; i++) {
            if (part.counts[i] > left->counts[i])
                return CSL_FAIL(err, CSL_E_INVAL,
                                "attribute %u, group %u counts records that are not there",
                                attribute, v);
            left->counts[i] -= part.counts[i];
        }
    }
    for (size_t i = CSL_SUMS__PATIENTS; i < n; i++)
        if (left->counts[i] > 0)
            return CSL_FAIL(err, CSL_E_INVAL, "attribute %u: its groups are not all records",
                            attribute);
    return sites >= csl_sums_sites(all)
               ? CSL_OK
               : CSL_FAIL(err, CSL_E_INVAL, "attribute %u: its groups are at %llu of %u sites",
                          attribute, (unsigned long long)sites, csl_sums_sites(all));
}

enum csl_code csl_group_sums_check(const struct csl_group_plan *p, uint64_t *counts,
                                   const struct csl_sums *all, struct csl_err *err)
{
    struct csl_sums left;
    if (all->classes != p->classes)
        return CSL_FAIL(err, CSL_E_INVAL, "%u classes; %u would be right", all->classes,
                        p->classes);
    enum csl_code code = csl_sums_check(all, err);
    if (code != CSL_OK || p->attribute_count == 0)
        return code;
    code = csl_sums_init(&left, p->classes, 0, err);
    if (code != CSL_OK)
        return code;
    for (uint32_t a = 0; a < p->attribute_count && code == CSL_OK; a++)
        code = check_attribute(p, counts, all, a, &left, err);
    csl_sums_release(&left);
    return code;
}

static enum csl_code find_worst(const struct csl_sums *groups, uint32_t count, uint64_t seed,
                                struct csl_group_figures *out, struct csl_err *err)
{
    struct csl_sum_figures *f = csl_alloc(sizeof(*f));
    enum csl_code code = CSL_OK;
    if (f == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "figures of %u groups", count);
    out->worst = UINT32_MAX;
    for (uint32_t v = 0; v < count && code == CSL_OK; v++) {
        if (!out->is_shown[v])
            continue;
        code = csl_sums_evaluate(&groups[v], seed, f, err);
        const struct csl_metric *m =
            code == CSL_OK ? csl_metrics_find(&f->metrics, "macro_f1") : NULL;
        if (m == NULL || (out->worst != UINT32_MAX && !(m->value < out->worst_f1.value)))
            continue;
        out->worst = v;
        out->worst_f1 = *m;
        out->worst_patients = f->patients;
    }
    csl_free(f);
    return code;
}

enum csl_code csl_group_sums_evaluate(const struct csl_group_plan *p, uint64_t *counts,
                                      const struct csl_sums *all, uint32_t attribute,
                                      uint64_t minimum, uint32_t sites_min, uint64_t seed,
                                      struct csl_group_figures *out, struct csl_err *err)
{
    struct csl_sums groups[CSL_SUM_GROUPS_MAX], shown[CSL_SUM_GROUPS_MAX];
    uint32_t count = p->values[attribute];
    struct csl_group_figures f = {.worst = UINT32_MAX};
    enum csl_code code = csl_group_sums_check(p, counts, all, err);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(count <= CSL_SUM_GROUPS_MAX);
    for (uint32_t v = 0; v < count; v++)
        groups[v] = csl_group_sums_part(p, counts, attribute, v);
    const struct csl_sums unknown = csl_group_sums_part(p, counts, attribute, count);
    csl_sums_suppress(all, groups, count, minimum, sites_min, csl_sums_sites(&unknown), f.is_shown);
    for (uint32_t v = 0; v < count; v++) {
        if (f.is_shown[v])
            shown[f.shown++] = groups[v];
        else
            f.hidden += csl_sums_records(&groups[v]) > 0;
    }
    code = csl_sums_gaps(all, shown, f.shown, seed, &f.gaps, err);
    if (code == CSL_OK)
        code = find_worst(groups, count, seed, &f, err);
    if (code == CSL_OK)
        *out = f;
    return code;
}
