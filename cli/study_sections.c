/* cli/study_sections.c - the sections of a study that it may lack, with every default filled in,
 * for programs: under the names of the study file, absent where the study has none. */
#include "cli/study_json.h"

#include <math.h>

static void put_texts(struct csl_json *j, const char *key, const char *texts, size_t stride,
                      uint32_t count)
{
    csl_json_key(j, key);
    csl_json_array(j);
    for (uint32_t i = 0; i < count; i++)
        csl_json_str(j, texts + i * stride);
    csl_json_end(j);
}

/* A bound of infinity is none. */
static void put_bound(struct csl_json *j, const char *key, double v)
{
    if (v < HUGE_VAL)
        csl_json_put_f64(j, key, v);
}

static void put_domain_weights(struct csl_json *j, const struct csl_study_domain_weights *w)
{
    static const char *const kinds[] = {"none", "balanced", "domain", "drpo"};

    csl_json_key(j, "domain_weights");
    csl_json_object(j);
    csl_json_put_str(j, "kind", kinds[w->kind]);
    csl_json_put_f64(j, "alpha", w->alpha);
    csl_json_put_f64(j, "beta", w->beta);
    put_bound(j, "cap", w->cap);
    csl_json_put_f64(j, "smoothing", w->smoothing);
    put_bound(j, "step_max", w->step_max);
    csl_json_put_f64(j, "shrinkage", w->shrinkage);
    csl_json_put_u64(j, "gate_rounds", w->gate_rounds);
    csl_json_put_u64(j, "every", w->every);
    csl_json_put_u64(j, "minimum_patients", w->minimum_patients);
    csl_json_put_u64(j, "minimum_sites", w->minimum_sites);
    csl_json_put_u64(j, "largest_site", w->largest_site);
    csl_json_put_f64(j, "effective_sites", w->effective_sites);
    csl_json_end(j);
}

static void put_groups(struct csl_json *j, const struct csl_study_fairness *f)
{
    put_texts(j, "attributes", f->attributes[0], sizeof(f->attributes[0]), f->attribute_count);
    if (f->value_count[0] > 0) {
        csl_json_key(j, "groups");
        csl_json_object(j);
        for (uint32_t a = 0; a < f->attribute_count; a++)
            put_texts(j, f->attributes[a], f->values[a][0], sizeof(f->values[a][0]),
                      f->value_count[a]);
        csl_json_end(j);
    }
    csl_json_put_u64(j, "minimum_group", f->minimum_group);
    csl_json_put_u64(j, "minimum_sites", f->minimum_sites);
    if (!f->weights.is_on)
        return;
    csl_json_key(j, "weights");
    csl_json_object(j);
    csl_json_put_f64(j, "alpha", f->weights.alpha);
    csl_json_put_f64(j, "beta", f->weights.beta);
    csl_json_put_f64(j, "cap", f->weights.cap);
    csl_json_end(j);
}

static void put_fairness(struct csl_json *j, const struct csl_study_fairness *f)
{
    if (f->attribute_count == 0 && f->domains.kind == CSL_DOMAIN_WEIGHTS_NONE)
        return;
    csl_json_key(j, "fairness");
    csl_json_object(j);
    if (f->attribute_count > 0)
        put_groups(j, f);
    if (f->domains.kind != CSL_DOMAIN_WEIGHTS_NONE)
        put_domain_weights(j, &f->domains);
    csl_json_end(j);
}

static void put_release(struct csl_json *j, const struct csl_study_release *r)
{
    if (!r->is_on)
        return;
    csl_json_key(j, "release");
    csl_json_object(j);
    csl_json_put_f64(j, "minimum_auc", r->minimum_auc);
    csl_json_put_f64(j, "worst_group_floor", r->worst_group_floor);
    csl_json_put_str(j, "collapsed_class", r->refuses_collapsed ? "refuse" : "allow");
    csl_json_put_str(j, "model_card", r->needs_card ? "required" : "optional");
    csl_json_put_str(j, "intended_use", r->intended_use);
    csl_json_put_str(j, "not_for", r->not_for);
    csl_json_end(j);
}

static void put_secagg(struct csl_json *j, const struct csl_study_secagg *g)
{
    if (!g->is_on)
        return;
    csl_json_key(j, "secure_aggregation");
    csl_json_object(j);
    csl_json_put_str(j, "protocol", "fsa-1");
    csl_json_put_u64(j, "colluding", g->colluding);
    csl_json_put_u64(j, "minimum_sites", g->minimum_sites);
    csl_json_put_u64(j, "audit_chunks", g->audit_chunks);
    csl_json_put_str(j, "graph", g->is_sparse ? "sparse" : "complete");
    if (g->is_sparse)
        csl_json_put_u64(j, "losses_max", g->losses_max);
    csl_json_key(j, "encoding");
    csl_json_object(j);
    csl_json_put_u64(j, "lane_bits", g->lane_bits);
    if (g->lane_bits < 64) {
        csl_json_put_f64(j, "clip_norm", g->clip_norm);
        csl_json_put_bool(j, "rotation", g->is_rotated);
        csl_json_put_u64(j, "weight_cap", g->weight_cap);
    }
    csl_json_end(j);
    csl_json_end(j);
}

static void put_personal(struct csl_json *j, const struct csl_study_personal *p)
{
    if (!p->is_on)
        return;
    csl_json_key(j, "personalisation");
    csl_json_object(j);
    csl_json_key(j, "methods");
    csl_json_array(j);
    for (int m = 0; m < CSL_PERSONAL_COUNT; m++)
        if (p->methods[m])
            csl_json_str(j, csl_personal_name((enum csl_personal_method)m));
    csl_json_end(j);
    if (p->methods[CSL_PERSONAL_DITTO])
        csl_json_put_f64(j, "lambda", p->lambda);
    csl_cli_put_baseline(j, "training", &p->training);
    csl_json_end(j);
}

void csl_cli_put_sections(struct csl_json *j, const struct csl_study *s)
{
    put_fairness(j, &s->fairness);
    put_release(j, &s->release);
    put_secagg(j, &s->secagg);
    put_personal(j, &s->personal);
}
