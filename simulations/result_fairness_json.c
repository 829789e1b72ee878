/* simulations/result_fairness_json.c - what comes from summed counts, and what a release asks for,
 * in summary.json. */
#include "base/check.h"
#include "base/str.h"
#include "simulations/release.h"
#include "simulations/result_parts.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

typedef const struct csl_json_value *json;

/* --- writing --- */

static void put_metric(struct csl_json *j, const char *key, const struct csl_metric *m)
{
    csl_json_key(j, key);
    csl_json_object(j);
    csl_json_put_f64(j, "value", m->value);
    if (m->method != NULL) {
        csl_json_put_f64(j, "low", m->low);
        csl_json_put_f64(j, "high", m->high);
        csl_json_put_str(j, "method", m->method);
    }
    csl_json_end(j);
}

static void put_classes(struct csl_json *j, const struct csl_sum_figures *f)
{
    csl_json_key(j, "classes");
    csl_json_array(j);
    for (uint32_t c = 0; c < f->classes; c++) {
        const struct csl_class_figures *at = &f->by_class[c];
        csl_json_object(j);
        csl_json_put_u64(j, "class", c);
        csl_json_put_u64(j, "records", at->records);
        csl_json_put_u64(j, "decided", at->decided);
        if (at->sensitivity.name != NULL)
            put_metric(j, "sensitivity", &at->sensitivity);
        if (at->specificity.name != NULL)
            put_metric(j, "specificity", &at->specificity);
        if (at->is_collapsed)
            csl_json_put_bool(j, "collapsed", true);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_calibration(struct csl_json *j, const struct csl_sum_figures *f)
{
    csl_json_key(j, "calibration");
    csl_json_array(j);
    for (uint32_t b = 0; b < CSL_CALIBRATION_BINS; b++) {
        csl_json_object(j);
        csl_json_put_u64(j, "records", f->calibration[b].records);
        if (f->calibration[b].records > 0) {
            csl_json_put_f64(j, "predicted", f->calibration[b].predicted);
            csl_json_put_f64(j, "observed", f->calibration[b].observed);
        }
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_counts(struct csl_json *j, const struct csl_result *r)
{
    csl_json_key(j, "from_counts");
    csl_json_array(j);
    for (uint32_t d = 0; d < r->domain_count; d++) {
        const struct csl_sum_figures *f = &r->fairness.sums[d];
        if (f->metrics.count == 0)
            continue;
        csl_json_object(j);
        csl_json_put_str(j, "domain", r->domains[d].id);
        csl_json_put_u64(j, "sites", f->sites);
        csl_json_put_u64(j, "patients", f->patients);
        csl_json_put_f64(j, "auc_error", f->auc_error);
        csl_json_put_f64(j, "ece_error", f->ece_error);
        csl_result__put_metrics(j, &f->metrics);
        put_classes(j, f);
        put_calibration(j, f);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_gap(struct csl_json *j, const struct csl_result *r, const struct csl_result_gap *g)
{
    csl_json_put_str(j, "attribute", g->attribute);
    csl_json_put_str(j, "domain", r->domains[g->domain].id);
    csl_json_put_u64(j, "groups_shown", g->shown);
    csl_json_put_u64(j, "groups_hidden", g->hidden);
    csl_result__put_metrics(j, &g->metrics);
}

static void put_told(struct csl_json *j, const struct csl_result *r)
{
    csl_json_key(j, "reported_gaps");
    csl_json_array(j);
    for (uint32_t i = 0; i < r->fairness.told_count; i++) {
        const struct csl_result_told *t = &r->fairness.told[i];
        csl_json_object(j);
        put_gap(j, r, &t->gap);
        if (t->worst[0] != 0) {
            csl_json_key(j, "worst");
            csl_json_object(j);
            csl_json_put_str(j, "value", t->worst);
            csl_json_put_u64(j, "patients", t->worst_patients);
            put_metric(j, "macro_f1", &t->worst_f1);
            csl_json_end(j);
        }
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_gaps(struct csl_json *j, const struct csl_result *r)
{
    const struct csl_study_fairness *asked = &r->fairness.asked;
    csl_json_key(j, "fairness");
    csl_json_object(j);
    csl_json_key(j, "attributes");
    csl_json_array(j);
    for (uint32_t i = 0; i < asked->attribute_count; i++)
        csl_json_str(j, asked->attributes[i]);
    csl_json_end(j);
    csl_json_put_u64(j, "minimum_group", asked->minimum_group);
    csl_json_put_u64(j, "minimum_sites", asked->minimum_sites);
    if (asked->weights.is_on) {
        csl_json_key(j, "weights");
        csl_json_object(j);
        csl_json_put_f64(j, "alpha", asked->weights.alpha);
        csl_json_put_f64(j, "beta", asked->weights.beta);
        csl_json_put_f64(j, "cap", asked->weights.cap);
        csl_json_end(j);
    }
    csl_json_end(j);
    csl_json_key(j, "gaps");
    csl_json_array(j);
    for (uint32_t i = 0; i < r->fairness.gap_count; i++) {
        csl_json_object(j);
        put_gap(j, r, &r->fairness.gaps[i]);
        csl_json_end(j);
    }
    csl_json_end(j);
    if (r->fairness.told_count > 0)
        put_told(j, r);
}

/* By how well patients are told apart, and by macro-F1. */
static void put_worst(struct csl_json *j, const struct csl_result *r)
{
    static const char *const names[] = {NULL, "macro_f1"};
    csl_json_key(j, "worst");
    csl_json_object(j);
    for (size_t i = 0; i < 2; i++) {
        uint32_t d = csl_result_worst_domain(r, names[i]);
        uint32_t g = csl_result_worst_group(r, UINT32_MAX, names[i]);
        if (d == UINT32_MAX)
            continue;
        const struct csl_metrics *m = &r->federated.pooled[d];
        csl_json_key(j, i == 0 ? "discrimination" : "macro_f1");
        csl_json_object(j);
        csl_json_put_str(j, "domain", r->domains[d].id);
        put_metric(j, "of_domain",
                   names[i] != NULL ? csl_metrics_find(m, names[i]) : csl_discrimination(m));
        if (g != UINT32_MAX) {
            m = &r->groups[g].metrics;
            csl_json_put_str(j, "group_domain", r->domains[r->groups[g].domain].id);
            csl_json_put_str(j, "attribute", r->groups[g].attribute);
            csl_json_put_str(j, "value", r->groups[g].value);
            put_metric(j, "of_group",
                       names[i] != NULL ? csl_metrics_find(m, names[i]) : csl_discrimination(m));
        }
        csl_json_end(j);
    }
    csl_json_end(j);
}

void csl_result__put_fairness(struct csl_json *j, const struct csl_result *r)
{
    bool has_counts = false;
    for (uint32_t d = 0; d < r->domain_count; d++)
        has_counts = has_counts || r->fairness.sums[d].metrics.count > 0;
    if (has_counts)
        put_counts(j, r);
    if (r->fairness.asked.attribute_count > 0)
        put_gaps(j, r);
    put_worst(j, r);
}

void csl_result__put_release(struct csl_json *j, const struct csl_result *r)
{
    const struct csl_study_release *asked = &r->release;
    struct csl_release_verdict v;
    if (!asked->is_on)
        return;
    csl_release_judge(r, &v);
    csl_json_key(j, "release");
    csl_json_object(j);
    if (asked->minimum_auc > 0)
        csl_json_put_f64(j, "minimum_auc", asked->minimum_auc);
    if (asked->worst_group_floor > 0)
        csl_json_put_f64(j, "worst_group_floor", asked->worst_group_floor);
    csl_json_put_bool(j, "refuses_collapsed", asked->refuses_collapsed);
    csl_json_put_bool(j, "needs_card", asked->needs_card);
    csl_json_put_str(j, "intended_use", asked->intended_use);
    csl_json_put_str(j, "not_for", asked->not_for);
    csl_json_put_bool(j, "allowed", v.count == 0);
    csl_json_key(j, "blocked_by");
    csl_json_array(j);
    for (uint32_t i = 0; i < v.count; i++)
        csl_json_str(j, v.reasons[i]);
    csl_json_end(j);
    csl_json_end(j);
}

/* --- reading --- */

static enum csl_code read_classes(const struct csl_result_reader *rd, json list,
                                  struct csl_sum_figures *f)
{
    static const char *const keys[] = {"sensitivity", "specificity"};
    enum csl_code code = CSL_OK;
    if (csl_json_count(list) != f->classes)
        return csl_result__bad(rd, "classes", "the classes of the domain");
    for (uint32_t c = 0; c < f->classes && code == CSL_OK; c++) {
        struct csl_class_figures *to = &f->by_class[c];
        struct csl_metric *rates[] = {&to->sensitivity, &to->specificity};
        json at = csl_json_at(list, c);
        if (!csl_json_as_u64(csl_json_get(at, "records"), &to->records) ||
            !csl_json_as_u64(csl_json_get(at, "decided"), &to->decided))
            return csl_result__bad(rd, "classes", "numbers of 'records' and 'decided'");
        for (size_t i = 0; i < 2 && code == CSL_OK; i++)
            if (csl_json_get(at, keys[i]) != NULL)
                code = csl_result__read_metric(rd, keys[i], csl_json_get(at, keys[i]), rates[i]);
        if (!csl_json_as_bool(csl_json_get(at, "collapsed"), &to->is_collapsed))
            to->is_collapsed = false;
        f->collapsed += to->is_collapsed;
    }
    return code;
}

static enum csl_code read_calibration(const struct csl_result_reader *rd, json list,
                                      struct csl_sum_figures *f)
{
    if (csl_json_count(list) != CSL_CALIBRATION_BINS)
        return csl_result__bad(rd, "calibration", "16 bins");
    for (uint32_t b = 0; b < CSL_CALIBRATION_BINS; b++) {
        struct csl_calibration_bin *to = &f->calibration[b];
        json at = csl_json_at(list, b);
        if (!csl_json_as_u64(csl_json_get(at, "records"), &to->records))
            return csl_result__bad(rd, "calibration", "a number of 'records'");
        if (to->records > 0 && (!csl_json_as_f64(csl_json_get(at, "predicted"), &to->predicted) ||
                                !csl_json_as_f64(csl_json_get(at, "observed"), &to->observed) ||
                                !(to->predicted >= 0 && to->predicted <= 1) ||
                                !(to->observed >= 0 && to->observed <= 1)))
            return csl_result__bad(rd, "calibration", "'predicted' and 'observed' from 0 to 1");
    }
    return CSL_OK;
}

static enum csl_code read_counts(const struct csl_result_reader *rd, json v)
{
    uint64_t sites;
    uint32_t domain;
    if (!csl_result__find_domain(rd->r, v, "domain", &domain))
        return csl_result__bad(rd, "from_counts", "a domain of the run");
    struct csl_sum_figures *f = &rd->r->fairness.sums[domain];
    if (f->classes > 0 || rd->r->domains[domain].classes < 2)
        return csl_result__bad(rd, "from_counts", "each domain with classes once");
    if (!csl_json_as_u64(csl_json_get(v, "sites"), &sites) || sites > CSL_SITES_MAX ||
        !csl_json_as_u64(csl_json_get(v, "patients"), &f->patients) ||
        !csl_json_as_f64(csl_json_get(v, "auc_error"), &f->auc_error) ||
        !csl_json_as_f64(csl_json_get(v, "ece_error"), &f->ece_error))
        return csl_result__bad(rd, "from_counts", "'sites', 'patients' and two errors");
    f->sites = (uint32_t)sites;
    f->classes = rd->r->domains[domain].classes;
    enum csl_code code = csl_result__read_metrics(rd, v, &f->metrics);
    if (code == CSL_OK)
        code = read_classes(rd, csl_json_get(v, "classes"), f);
    return code == CSL_OK ? read_calibration(rd, csl_json_get(v, "calibration"), f) : code;
}

static enum csl_code read_asked(const struct csl_result_reader *rd, json v)
{
    struct csl_study_fairness *f = &rd->r->fairness.asked;
    json list = csl_json_get(v, "attributes");
    uint64_t group, sites;
    const char *name;
    if (csl_json_count(list) == 0 || csl_json_count(list) > CSL_FAIRNESS_ATTRIBUTES_MAX ||
        !csl_json_as_u64(csl_json_get(v, "minimum_group"), &group) || group > UINT32_MAX ||
        !csl_json_as_u64(csl_json_get(v, "minimum_sites"), &sites) || sites > CSL_SITES_MAX)
        return csl_result__bad(rd, "fairness", "attributes and the smallest group");
    for (size_t i = 0; i < csl_json_count(list); i++)
        if (!csl_json_as_str(csl_json_at(list, i), &name) ||
            !csl_str_copy(f->attributes[f->attribute_count++], CSL_ID_MAX, name))
            return csl_result__bad(rd, "attributes", "names");
    f->minimum_group = (uint32_t)group;
    f->minimum_sites = (uint32_t)sites;
    json weights = csl_json_get(v, "weights");
    if (weights == NULL)
        return CSL_OK;
    f->weights.is_on = true;
    if (!csl_json_as_f64(csl_json_get(weights, "alpha"), &f->weights.alpha) ||
        !csl_json_as_f64(csl_json_get(weights, "beta"), &f->weights.beta) ||
        !csl_json_as_f64(csl_json_get(weights, "cap"), &f->weights.cap))
        return csl_result__bad(rd, "weights", "'alpha', 'beta' and 'cap'");
    return CSL_OK;
}

static enum csl_code read_gap(const struct csl_result_reader *rd, json v,
                              struct csl_result_gap *out)
{
    struct csl_result_gap g = {.domain = 0};
    uint64_t shown, hidden;
    const char *name;
    if (!csl_result__find_domain(rd->r, v, "domain", &g.domain) ||
        !csl_json_as_str(csl_json_get(v, "attribute"), &name) ||
        !csl_str_copy(g.attribute, sizeof(g.attribute), name) ||
        !csl_json_as_u64(csl_json_get(v, "groups_shown"), &shown) || shown > CSL_SUM_GROUPS_MAX ||
        !csl_json_as_u64(csl_json_get(v, "groups_hidden"), &hidden) || hidden > CSL_SUM_GROUPS_MAX)
        return csl_result__bad(rd, "gaps", "domain, attribute and numbers of groups");
    g.shown = (uint32_t)shown;
    g.hidden = (uint32_t)hidden;
    enum csl_code code = csl_result__read_metrics(rd, v, &g.metrics);
    if (code == CSL_OK)
        *out = g;
    return code;
}

static enum csl_code read_told(const struct csl_result_reader *rd, json v)
{
    struct csl_result_told t = {.worst_patients = 0};
    json worst = csl_json_get(v, "worst");
    const char *value;
    enum csl_code code = read_gap(rd, v, &t.gap);
    if (code == CSL_OK && worst != NULL) {
        if (!csl_json_as_str(csl_json_get(worst, "value"), &value) || value[0] == 0 ||
            !csl_str_copy(t.worst, sizeof(t.worst), value) ||
            !csl_json_as_u64(csl_json_get(worst, "patients"), &t.worst_patients))
            return csl_result__bad(rd, "worst", "a group and its patients");
        code =
            csl_result__read_metric(rd, "macro_f1", csl_json_get(worst, "macro_f1"), &t.worst_f1);
    }
    return code == CSL_OK ? csl_result_add_told(rd->r, &t, rd->err) : code;
}

static enum csl_code read_release(const struct csl_result_reader *rd, json v)
{
    struct csl_study_release *r = &rd->r->release;
    const char *use, *not_for;
    if (!csl_json_as_bool(csl_json_get(v, "refuses_collapsed"), &r->refuses_collapsed) ||
        !csl_json_as_bool(csl_json_get(v, "needs_card"), &r->needs_card) ||
        !csl_json_as_str(csl_json_get(v, "intended_use"), &use) ||
        !csl_str_copy(r->intended_use, sizeof(r->intended_use), use) ||
        !csl_json_as_str(csl_json_get(v, "not_for"), &not_for) ||
        !csl_str_copy(r->not_for, sizeof(r->not_for), not_for))
        return csl_result__bad(rd, "release", "what the study asks of a release");
    if (!csl_json_as_f64(csl_json_get(v, "minimum_auc"), &r->minimum_auc))
        r->minimum_auc = 0;
    if (!csl_json_as_f64(csl_json_get(v, "worst_group_floor"), &r->worst_group_floor))
        r->worst_group_floor = 0;
    r->is_on = true;
    return CSL_OK;
}

enum csl_code csl_result__read_fairness(const struct csl_result_reader *rd, json root)
{
    json counts = csl_json_get(root, "from_counts"), gaps = csl_json_get(root, "gaps");
    json told = csl_json_get(root, "reported_gaps");
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < csl_json_count(counts) && code == CSL_OK; i++)
        code = read_counts(rd, csl_json_at(counts, i));
    if (code == CSL_OK && csl_json_get(root, "fairness") != NULL)
        code = read_asked(rd, csl_json_get(root, "fairness"));
    for (size_t i = 0; i < csl_json_count(gaps) && code == CSL_OK; i++) {
        struct csl_result_gap g;
        code = read_gap(rd, csl_json_at(gaps, i), &g);
        if (code == CSL_OK)
            code = csl_result_add_gap(rd->r, &g, rd->err);
    }
    for (size_t i = 0; i < csl_json_count(told) && code == CSL_OK; i++)
        code = read_told(rd, csl_json_at(told, i));
    if (code == CSL_OK && csl_json_get(root, "release") != NULL)
        code = read_release(rd, csl_json_get(root, "release"));
    return code;
}
