/* simulations/result_external.c - member "external_validation" of summary.json. */
#include "base/str.h"
#include "simulations/result_parts.h"

#include <string.h>

#include "base/banned.h"

typedef const struct csl_json_value *json;

void csl_result__put_external(struct csl_json *j, const struct csl_result *r)
{
    const struct csl_result *x = r->external;
    if (x == NULL)
        return;
    csl_json_key(j, "external_validation");
    csl_json_object(j);
    csl_json_key(j, "sites");
    csl_json_array(j);
    for (uint32_t s = 0; s < x->site_count; s++) {
        csl_json_object(j);
        csl_json_put_str(j, "id", x->sites[s].id);
        csl_json_put_u64(j, "patients_not_used", x->sites[s].patients);
        csl_json_end(j);
    }
    csl_json_end(j);
    csl_result__put_evaluation(j, x, &x->federated);
    csl_json_end(j);
}

void csl_result__put_external_repeats(struct csl_json *j, const struct csl_result *r,
                                      const struct csl_repeats *p)
{
    if (r->external != NULL)
        csl_result__put_evaluation_spread(j, r->external, "external_validation", &p->external);
}

static enum csl_code read_sites(const struct csl_result_reader *rd, json sites,
                                struct csl_result *x)
{
    for (uint32_t s = 0; s < x->site_count; s++) {
        json at = csl_json_at(sites, s);
        const char *id;
        uint32_t before;
        if (!csl_json_as_str(csl_json_get(at, "id"), &id) ||
            csl_result__find_site(x, at, "id", &before) ||
            !csl_str_copy(x->sites[s].id, sizeof(x->sites[s].id), id) ||
            !csl_json_as_u64(csl_json_get(at, "patients_not_used"), &x->sites[s].patients))
            return csl_result__bad(rd, "external_validation",
                                   "sites with an 'id' of their own and 'patients_not_used'");
    }
    return CSL_OK;
}

enum csl_code csl_result__read_external(const struct csl_result_reader *rd, json v)
{
    size_t count = csl_json_count(csl_json_get(v, "sites"));
    if (v == NULL)
        return CSL_OK;
    if (count == 0 || count > CSL_SITES_MAX)
        return csl_result__bad(rd, "external_validation", "1 to 4096 sites");
    enum csl_code code = csl_result_init_external(rd->r, (uint32_t)count, rd->err);
    const struct csl_result_reader inside = {rd->name, rd->r->external, rd->err};
    if (code == CSL_OK)
        code = read_sites(&inside, csl_json_get(v, "sites"), rd->r->external);
    return code == CSL_OK ? csl_result__read_evaluation(&inside, v, &rd->r->external->federated)
                          : code;
}

enum csl_code csl_result__read_external_repeats(const struct csl_result_reader *rd, json v,
                                                struct csl_repeats *p)
{
    const struct csl_result_reader inside = {rd->name, rd->r->external, rd->err};
    if (v == NULL)
        return CSL_OK;
    if (rd->r->external == NULL)
        return csl_result__bad(rd, "external_validation", "external sites in the run");
    return csl_result__read_evaluation_spread(&inside, v, &p->external);
}
