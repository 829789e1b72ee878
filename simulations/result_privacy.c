/* simulations/result_privacy.c - what a run says about privacy: its words, its sums, and its
 * members of summary.json and metrics.csv. */
#include "base/check.h"
#include "base/str.h"
#include "simulations/result_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

bool csl_result_has_privacy(const struct csl_result *r)
{
    return strcmp(r->privacy, csl_privacy_mode_name(CSL_PRIVACY_NONE)) != 0;
}

bool csl_result_spent(const struct csl_result *r, struct csl_result_spent *out)
{
    struct csl_result_spent all = {.is_verified = true};
    for (uint32_t s = 0; s < r->site_count; s++) {
        const struct csl_result_privacy *p = &r->sites[s].privacy;
        if (!p->is_present)
            continue;
        all.sites++;
        all.epsilon = fmax(all.epsilon, p->epsilon);
        all.delta = fmax(all.delta, p->delta);
        all.entries += p->entries;
        all.is_verified = all.is_verified && p->is_verified;
        all.is_rehearsal = all.is_rehearsal || p->is_rehearsal;
        all.has_audit = all.has_audit || p->canaries > 0;
    }
    if (all.sites == 0)
        return false;
    *out = all;
    return true;
}

void csl_result_protection(const struct csl_result *r, char *dst, size_t dst_bytes)
{
    struct csl_result_spent spent;
    bool is_rehearsal = csl_result_spent(r, &spent) && spent.is_rehearsal;
    if (csl_result_has_privacy(r))
        (void)snprintf(dst, dst_bytes,
                       "This run %s differential privacy (mode %s) and %s%s aggregation.",
                       is_rehearsal ? "rehearsed" : "had", r->privacy, is_rehearsal ? "had " : "",
                       r->has_secure_aggregation ? "secure" : "no secure");
    else
        (void)snprintf(dst, dst_bytes, "This run had %s.",
                       r->has_secure_aggregation
                           ? "secure aggregation and no differential privacy"
                           : "no differential privacy and no secure aggregation");
}

const char *csl_result_mode_words(const struct csl_result *r)
{
    if (strcmp(r->privacy, csl_privacy_mode_name(CSL_PRIVACY_LOCAL)) == 0)
        return "Mode local protects each patient from everyone outside the patient's hospital, the "
               "coordinator and the other hospitals included: the noise is added inside the "
               "hospital, step by step, before an update leaves.";
    if (strcmp(r->privacy, csl_privacy_mode_name(CSL_PRIVACY_SITE)) == 0)
        return "Mode site protects each hospital as a whole from everyone outside it, the "
               "coordinator and the other hospitals included: its update is clipped and noise is "
               "added inside the hospital, before the update leaves.";
    if (strcmp(r->privacy, csl_privacy_mode_name(CSL_PRIVACY_JOINT)) == 0)
        return "Mode joint protects each patient from the coordinator together with as many "
               "colluding sites as the study allows for, and from outsiders: every hospital adds "
               "its share of one noise before its sum is masked. A hospital that takes part knows "
               "its own share; it is covered like a colluding site.";
    return "";
}

void csl_epsilon_text(char *dst, size_t dst_bytes, double epsilon, bool is_upper)
{
    /* A thousandth that was meant must not become the next one for its last bit. */
    double grain = 1e-9, thousands = epsilon * 1000.0;
    double shown = is_upper ? ceil(thousands - grain) : floor(thousands + grain);
    if (!isfinite(epsilon))
        (void)snprintf(dst, dst_bytes, "no bound");
    else if (epsilon < 1e6)
        (void)snprintf(dst, dst_bytes, "%.3f", shown > 0 ? shown / 1000.0 : 0.0);
    else
        (void)snprintf(dst, dst_bytes, "%.6g", epsilon);
}

/* --- metrics.csv --- */

static enum csl_code add_row(struct csl_result *r, uint32_t site, const char *metric, double value,
                             struct csl_err *err)
{
    struct csl_result_row row = {.round = r->rounds, .value = value};
    CSL_ASSERT(csl_str_copy(row.scope, sizeof(row.scope), "privacy_site"));
    CSL_ASSERT(csl_str_copy(row.site, sizeof(row.site), r->sites[site].id));
    CSL_ASSERT(csl_str_copy(row.metric, sizeof(row.metric), metric));
    return isfinite(value) ? csl_result_add_row(r, &row, err) : CSL_OK;
}

enum csl_code csl_result_add_privacy_rows(struct csl_result *r, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t s = 0; s < r->site_count && code == CSL_OK; s++) {
        const struct csl_result_privacy p = r->sites[s].privacy;
        if (!p.is_present)
            continue;
        code = add_row(r, s, "epsilon", p.epsilon, err);
        if (code == CSL_OK && p.statistics_epsilon > 0)
            code = add_row(r, s, "statistics_epsilon", p.statistics_epsilon, err);
        if (code == CSL_OK && p.budget_epsilon > 0)
            code = add_row(r, s, "budget_epsilon", p.budget_epsilon, err);
        if (code == CSL_OK && p.noise_multiplier > 0)
            code = add_row(r, s, "noise_multiplier", p.noise_multiplier, err);
    }
    return code;
}

/* --- summary.json, written --- */

static void put_known(struct csl_json *j, const char *key, double v)
{
    if (isfinite(v) && v > 0)
        csl_json_put_f64(j, key, v);
}

static void put_bound(struct csl_json *j, double epsilon, double delta)
{
    if (isfinite(epsilon))
        csl_json_put_f64(j, "epsilon", epsilon);
    csl_json_put_f64(j, "delta", delta);
}

void csl_result__put_privacy(struct csl_json *j, const struct csl_result *r)
{
    struct csl_result_spent spent;
    csl_json_key(j, "privacy");
    csl_json_object(j);
    csl_json_put_str(j, "mode", r->privacy);
    if (csl_result_spent(r, &spent))
        put_bound(j, spent.epsilon, spent.delta);
    csl_result__put_realised(j, &r->realised);
    csl_json_end(j);
}

static void put_audit(struct csl_json *j, const struct csl_result_privacy *p)
{
    csl_json_key(j, "audit");
    csl_json_object(j);
    csl_json_put_u64(j, "canaries", p->canaries);
    csl_json_put_u64(j, "guesses", p->guesses);
    csl_json_put_u64(j, "correct", p->correct);
    csl_json_put_f64(j, "epsilon_lower", p->audit_epsilon_lower);
    csl_json_put_f64(j, "confidence", p->audit_confidence);
    csl_json_end(j);
}

void csl_result__put_site_privacy(struct csl_json *j, const struct csl_result *r, uint32_t site)
{
    const struct csl_result_privacy *p = &r->sites[site].privacy;
    csl_json_key(j, "privacy");
    csl_json_object(j);
    csl_json_put_str(j, "mode", r->privacy);
    if (p->is_present) {
        put_bound(j, p->epsilon, p->delta);
        put_known(j, "statistics_epsilon", p->statistics_epsilon);
        put_known(j, "budget_epsilon", p->budget_epsilon);
        put_known(j, "noise_multiplier", p->noise_multiplier);
        csl_json_key(j, "ledger");
        csl_json_object(j);
        csl_json_put_u64(j, "entries", p->entries);
        csl_json_put_bool(j, "verified", p->is_verified);
        if (p->head[0] != 0)
            csl_json_put_str(j, "head", p->head);
        csl_json_end(j);
        csl_json_put_bool(j, "rehearsal", p->is_rehearsal);
        if (p->canaries > 0)
            put_audit(j, p);
    }
    csl_json_end(j);
}

void csl_result__put_ledger(struct csl_json *j, const struct csl_result *r)
{
    struct csl_result_spent spent;
    if (!csl_result_spent(r, &spent))
        return;
    csl_json_key(j, "ledger");
    csl_json_object(j);
    csl_json_put_u64(j, "entries", spent.entries);
    csl_json_put_bool(j, "verified", spent.is_verified);
    csl_json_end(j);
}

/* --- summary.json, read --- */

#define ENTRIES_MAX ((uint64_t)1 << 40) /* so that the sum over all sites is a JSON integer */

typedef const struct csl_json_value *json;

enum csl_code csl_result__read_mode(const struct csl_result_reader *rd, json privacy)
{
    const char *mode;
    if (csl_json_as_str(csl_json_get(privacy, "mode"), &mode))
        for (enum csl_privacy_mode m = CSL_PRIVACY_NONE; m <= CSL_PRIVACY_JOINT; m++)
            if (strcmp(mode, csl_privacy_mode_name(m)) == 0 &&
                csl_str_copy(rd->r->privacy, sizeof(rd->r->privacy), mode))
                return csl_result__read_realised(rd, csl_json_get(privacy, "realised"));
    return csl_result__bad(rd, "mode", "none, local or site");
}

/* A number that may be absent, then `otherwise`. */
static enum csl_code get_number(const struct csl_result_reader *rd, json object, const char *key,
                                double otherwise, double *out)
{
    json v = csl_json_get(object, key);
    *out = otherwise;
    if (v == NULL || (csl_json_as_f64(v, out) && *out >= 0))
        return CSL_OK;
    return csl_result__bad(rd, key, "a number from 0");
}

static enum csl_code get_count(const struct csl_result_reader *rd, json object, const char *key,
                               uint32_t max, uint32_t *out)
{
    uint64_t v;
    if (!csl_json_as_u64(csl_json_get(object, key), &v) || v > max)
        return csl_result__bad(rd, key, "a whole number, correct <= guesses <= canaries,");
    *out = (uint32_t)v;
    return CSL_OK;
}

static enum csl_code read_audit(const struct csl_result_reader *rd, json v,
                                struct csl_result_privacy *p)
{
    enum csl_code code = get_count(rd, v, "canaries", UINT32_MAX, &p->canaries);
    if (code == CSL_OK && p->canaries == 0)
        code = csl_result__bad(rd, "canaries", "at least 1, or no 'audit',");
    if (code == CSL_OK)
        code = get_count(rd, v, "guesses", p->canaries, &p->guesses);
    if (code == CSL_OK)
        code = get_count(rd, v, "correct", p->guesses, &p->correct);
    if (code == CSL_OK &&
        (!csl_json_as_f64(csl_json_get(v, "epsilon_lower"), &p->audit_epsilon_lower) ||
         !(p->audit_epsilon_lower >= 0)))
        code = csl_result__bad(rd, "epsilon_lower", "a number from 0");
    if (code == CSL_OK && (!csl_json_as_f64(csl_json_get(v, "confidence"), &p->audit_confidence) ||
                           !(p->audit_confidence > 0 && p->audit_confidence < 1)))
        code = csl_result__bad(rd, "confidence", "a number between 0 and 1");
    return code;
}

/* "" or 64 lower-case hexadecimal digits. */
static bool read_head(json v, char head[2 * 32 + 1])
{
    const char *text;
    if (v == NULL)
        return true;
    return csl_json_as_str(v, &text) && strlen(text) == 64 &&
           strspn(text, "0123456789abcdef") == 64 && csl_str_copy(head, 2 * 32 + 1, text);
}

static enum csl_code read_ledger(const struct csl_result_reader *rd, json v,
                                 struct csl_result_privacy *p)
{
    if (!csl_json_as_u64(csl_json_get(v, "entries"), &p->entries) || p->entries > ENTRIES_MAX)
        return csl_result__bad(rd, "entries", "a whole number of bounded size");
    if (!csl_json_as_bool(csl_json_get(v, "verified"), &p->is_verified))
        return csl_result__bad(rd, "verified", "true or false");
    if (!read_head(csl_json_get(v, "head"), p->head))
        return csl_result__bad(rd, "head", "64 hexadecimal digits");
    return CSL_OK;
}

enum csl_code csl_result__read_site_privacy(const struct csl_result_reader *rd, json v,
                                            struct csl_result_privacy *out)
{
    struct csl_result_privacy p = {.is_present = true};
    json ledger = csl_json_get(v, "ledger");
    const char *mode;
    if (v != NULL &&
        (!csl_json_as_str(csl_json_get(v, "mode"), &mode) || strcmp(mode, rd->r->privacy) != 0))
        return csl_result__bad(rd, "mode", "the mode of the run at every site");
    if (ledger == NULL)
        return CSL_OK;
    if (!csl_result_has_privacy(rd->r))
        return csl_result__bad(rd, "ledger", "no ledger in a run without privacy");
    enum csl_code code = get_number(rd, v, "epsilon", HUGE_VAL, &p.epsilon);
    if (code == CSL_OK &&
        (!csl_json_as_f64(csl_json_get(v, "delta"), &p.delta) || !(p.delta >= 0 && p.delta < 1)))
        code = csl_result__bad(rd, "delta", "a number from 0 to below 1");
    if (code == CSL_OK)
        code = get_number(rd, v, "statistics_epsilon", 0, &p.statistics_epsilon);
    if (code == CSL_OK)
        code = get_number(rd, v, "budget_epsilon", 0, &p.budget_epsilon);
    if (code == CSL_OK)
        code = get_number(rd, v, "noise_multiplier", 0, &p.noise_multiplier);
    if (code == CSL_OK)
        code = read_ledger(rd, ledger, &p);
    if (code == CSL_OK && !csl_json_as_bool(csl_json_get(v, "rehearsal"), &p.is_rehearsal))
        code = csl_result__bad(rd, "rehearsal", "true or false");
    if (code == CSL_OK && csl_json_get(v, "audit") != NULL)
        code = read_audit(rd, csl_json_get(v, "audit"), &p);
    if (code == CSL_OK)
        *out = p;
    return code;
}
