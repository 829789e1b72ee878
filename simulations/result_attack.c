/* simulations/result_attack.c - what a simulated attacker did, in summary.json and in words. */
#include "simulations/result_parts.h"

#include <string.h>

void csl_result__put_attack(struct csl_json *j, const struct csl_result_attack *a)
{
    if (a->kind == CSL_ATTACK_NONE)
        return;
    csl_json_key(j, "attack");
    csl_json_object(j);
    csl_json_put_str(j, "kind", csl_attack_name(a->kind));
    csl_json_put_f64(j, "factor", a->factor);
    csl_json_put_f64(j, "share", a->share);
    if (a->records > 0) {
        csl_json_put_u64(j, "records", a->records);
        csl_json_put_u64(j, "with_trigger", a->with_trigger);
        csl_json_put_u64(j, "without_trigger", a->without_trigger);
        csl_json_put_f64(j, "success", (double)a->with_trigger / (double)a->records);
    }
    csl_json_end(j);
}

static bool read_kind(const struct csl_json_value *v, enum csl_attack_kind *out)
{
    const char *name;
    if (!csl_json_as_str(csl_json_get(v, "kind"), &name))
        return false;
    for (int k = CSL_ATTACK_SCALED; k <= CSL_ATTACK_BACKDOOR; k++) {
        *out = (enum csl_attack_kind)k;
        if (strcmp(csl_attack_name(*out), name) == 0)
            return true;
    }
    return false;
}

enum csl_code csl_result__read_attack(const struct csl_result_reader *rd,
                                      const struct csl_json_value *v, struct csl_result_attack *out)
{
    struct csl_result_attack a = {.kind = CSL_ATTACK_NONE};
    if (v == NULL)
        return CSL_OK;
    bool is_well = read_kind(v, &a.kind) && csl_json_as_f64(csl_json_get(v, "factor"), &a.factor) &&
                   csl_json_as_f64(csl_json_get(v, "share"), &a.share);
    if (is_well && csl_json_get(v, "records") != NULL)
        is_well = csl_json_as_u64(csl_json_get(v, "records"), &a.records) && a.records > 0 &&
                  csl_json_as_u64(csl_json_get(v, "with_trigger"), &a.with_trigger) &&
                  csl_json_as_u64(csl_json_get(v, "without_trigger"), &a.without_trigger) &&
                  a.with_trigger <= a.records && a.without_trigger <= a.records;
    if (!is_well)
        return csl_result__bad(rd, "attack", "kind, factor, share and counts of records");
    *out = a;
    return CSL_OK;
}

void csl_result_attack_words(const struct csl_result *r, struct csl_buf *out)
{
    for (uint32_t s = 0; s < r->site_count; s++) {
        const struct csl_result_attack *a = &r->sites[s].attack;
        if (a->kind == CSL_ATTACK_NONE)
            continue;
        csl_buf_printf(out, "  ATTACK: site %s, %s, factor %g, share %g", r->sites[s].id,
                       csl_attack_name(a->kind), a->factor, a->share);
        if (a->records > 0)
            csl_buf_printf(out,
                           "; the model gives %.3f of the honest sites' other test records to its "
                           "class with the trigger, %.3f without",
                           (double)a->with_trigger / (double)a->records,
                           (double)a->without_trigger / (double)a->records);
        csl_buf_str(out, "\n");
    }
}
