/* cli/privacy_plan_show.c - a privacy plan for people (size bands, a few rounds) and for programs
 * (every number of every round). */
#include "cli/privacy_plan.h"

#include "base/progress.h"
#include "base/str.h"
#include "privacy/ledger/entry.h"
#include "privacy/secagg/published_terms.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define COLUMNS_MAX 5 /* rounds shown to people */

static void put_band(uint64_t patients, char out[32])
{
    csl_ledger_band_text(csl_ledger_band(patients), out, 32);
}

/* The first round, quarters, the last one; each once. */
static uint32_t choose_rounds(uint64_t rounds, uint64_t out[COLUMNS_MAX])
{
    uint32_t count = 0;

    for (uint64_t quarter = 0; quarter < COLUMNS_MAX; quarter++) {
        uint64_t round = quarter == 0 ? 1 : rounds * quarter / (COLUMNS_MAX - 1);
        if (round > 0 && (count == 0 || round > out[count - 1]))
            out[count++] = round;
    }
    return count;
}

/* Of the domain that is sampled most, or 1. */
static double highest_rate(const struct csl_plan_site *s)
{
    double rate = 0;

    for (uint32_t i = 0; i < s->plan.event_count; i++)
        rate = fmax(rate, s->plan.events[i].sampling_rate);
    return rate;
}

/* --- for people --- */

static void put_head(const struct csl_plan *p, struct csl_buf *out)
{
    const struct csl_study *s = p->study;
    char text[CSL_ROUNDED_MAX];

    csl_buf_printf(out, "study %s: privacy mode %s, %u round%s of %u step%s, delta %g, clip %g\n",
                   s->id, csl_privacy_mode_name(s->privacy.mode), s->rounds,
                   csl_str_plural(s->rounds), s->local.steps, csl_str_plural(s->local.steps),
                   s->privacy.delta, s->privacy.clip);
    if (!p->is_noise_fixed) {
        csl_buf_printf(out, "Every site solves for the noise that spends at most epsilon %g.\n\n",
                       s->privacy.epsilon);
        return;
    }
    csl_buf_printf(out, "The noise multiplier is %g at every site", s->privacy.noise_multiplier);
    csl_round_down(text, p->budget);
    if (p->budget > 0)
        csl_buf_printf(out, "; each may spend epsilon %s", text);
    csl_buf_str(out, ".\n\n");
}

static enum csl_code put_sites(const struct csl_plan *p, struct csl_buf *out, struct csl_err *err)
{
    uint64_t rounds[COLUMNS_MAX];
    uint32_t columns = choose_rounds(p->study->rounds, rounds);
    char text[CSL_ROUNDED_MAX];

    csl_buf_printf(out, "%-20s %11s %8s %10s %8s %10s | epsilon after round\n%72s |", "site",
                   "patients", "rate", "noise", "steps", "lasts", "");
    for (uint32_t c = 0; c < columns; c++)
        csl_buf_printf(out, " %10" PRIu64, rounds[c]);
    csl_buf_str(out, "\n");
    for (uint32_t i = 0; i < p->count; i++) {
        const struct csl_plan_site *s = &p->sites[i];
        char band[32], lasts[48];
        put_band(s->total, band);
        csl_round_up(text, s->plan.noise_multiplier);
        (void)snprintf(lasts, sizeof(lasts), "%" PRIu64 "/%u", s->lasts, p->study->rounds);
        csl_buf_printf(out, "%-20s %11s %8.4f %10s %8" PRIu64 " %10s |", s->id, band,
                       highest_rate(s), text, s->plan.events[0].steps * p->study->rounds, lasts);
        for (uint32_t c = 0; c < columns; c++) {
            double epsilon = 0;
            enum csl_code code = csl_plan_epsilon(p, i, rounds[c], &epsilon, err);
            if (code != CSL_OK)
                return code;
            csl_round_up(text, epsilon);
            csl_buf_printf(out, " %10s", text);
        }
        csl_buf_str(out, "\n");
    }
    return CSL_OK;
}

static void put_first_out(const struct csl_plan *p, struct csl_buf *out)
{
    const struct csl_plan_site *s = &p->sites[p->first_out];
    char text[CSL_ROUNDED_MAX];

    csl_round_up(text, s->plan.epsilon);
    if (!p->is_noise_fixed)
        csl_buf_str(out, "\nEvery budget lasts to the last round.\n");
    else if (s->lasts == 0)
        csl_buf_printf(out,
                       "\n%s runs out first: its budget does not pay for one round. All %u rounds "
                       "would cost it epsilon %s.\n",
                       s->id, p->study->rounds, text);
    else if (s->lasts < p->study->rounds)
        csl_buf_printf(out,
                       "\n%s runs out first: its budget pays for %" PRIu64 " of %u rounds. All "
                       "rounds would cost it epsilon %s.\n",
                       s->id, s->lasts, p->study->rounds, text);
    else
        csl_buf_printf(out, "\n%s spends most: epsilon %s after the last round.\n", s->id, text);
}

/* The noise of the mean if one site stayed away and the weights of the others were stretched. */
static double std_without(const struct csl_plan *p, uint32_t d, uint32_t site)
{
    double variance = 0, weight = 0;

    for (uint32_t i = 0; i < p->count; i++) {
        const struct csl_plan_noise *n = &p->sites[i].noise[d];
        if (i == site || !n->is_there)
            continue;
        variance += n->std * n->std;
        weight += n->weight;
    }
    return weight > 0 ? sqrt(variance) / weight : (double)NAN;
}

static void put_domain_noise(const struct csl_plan *p, uint32_t d, struct csl_buf *out)
{
    uint32_t smallest = p->smallest[d];
    double variance = 0;

    if (smallest == UINT32_MAX || p->study->census.is_on) /* a sum: statistics.json says it */
        return;
    csl_buf_printf(out,
                   "\nNoise in the weighted mean of a round, domain %s:\n%-20s %11s %8s %12s %8s\n",
                   p->study->domains[d].id, "site", "patients", "weight", "std", "share");
    for (uint32_t i = 0; i < p->count; i++) {
        const struct csl_plan_noise *n = &p->sites[i].noise[d];
        char band[32], std[24] = "-";
        if (!n->is_there)
            continue;
        variance += n->std * n->std;
        put_band(p->sites[i].patients[d], band);
        if (!isnan(n->std))
            (void)snprintf(std, sizeof(std), "%.3g", n->std);
        csl_buf_printf(out, "%-20s %11s %6.1f %% %12s %6.1f %%%s\n", p->sites[i].id, band,
                       100 * n->weight, std, 100 * n->share, i == smallest ? "  smallest" : "");
    }
    const struct csl_plan_noise *n = &p->sites[smallest].noise[d];
    csl_buf_printf(out, "%s brings %.1f %% of the weight and %.1f %% of the noise",
                   p->sites[smallest].id, 100 * n->weight, 100 * n->share);
    double without = std_without(p, d, smallest);
    if (!isnan(without))
        csl_buf_printf(out, "; the mean carries %.3g with it and %.3g without", sqrt(variance),
                       without);
    csl_buf_str(out, ".\n");
}

/* Mode joint: one step down the noisy sum over the sites that have the block, so one noise. Returns
 * its std per parameter of the model. */
static double joint_std(const struct csl_plan *p, uint32_t block, uint32_t *sites)
{
    const struct csl_study *s = p->study;
    const struct csl_noise *noise = &p->sites[0].plan.domains[0].noise;
    double patients = 0;
    *sites = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->sites[i].patients[block] == 0)
            continue;
        patients += (double)p->sites[i].total;
        ++*sites;
    }
    return s->local.learning_rate / (s->privacy.sampling_rate * patients) * sqrt((double)*sites) *
           noise->std_units * noise->unit;
}

static void put_joint_noise(const struct csl_plan *p, struct csl_buf *out)
{
    const struct csl_study *s = p->study;
    uint32_t sites;
    csl_buf_printf(
        out,
        "\nEvery site adds a share of one noise inside the masked sum; the price counts %u shares, "
        "of the %u sites\nof the smallest sum less the %u that may collude.",
        s->secagg.minimum_sites - s->secagg.colluding, s->secagg.minimum_sites,
        s->secagg.colluding);
    if (s->input_count == 0) {
        double std = joint_std(p, 0, &sites);
        csl_buf_printf(out, " A step over all %u sites carries std %.3g per parameter.\n", sites,
                       std);
        return;
    }
    csl_buf_str(out, " A step carries, per parameter:\n");
    for (uint32_t b = 0; b < s->schema.block_count; b++) {
        if (s->schema.blocks[b].kind != CSL_BLOCK_SHARED)
            continue;
        double std = joint_std(p, b, &sites);
        csl_buf_printf(out, "  %-24s std %.3g, over %u site%s that ha%s it\n",
                       s->schema.blocks[b].name, std, sites, csl_str_plural(sites),
                       sites == 1 ? "s" : "ve");
        if (sites < s->secagg.minimum_sites)
            csl_buf_printf(out, "    fewer than minimum_sites %u: the study cannot run\n",
                           s->secagg.minimum_sites);
    }
}

/* What the study's statistics cost beside its updates; the same at every site. */
static enum csl_code put_statistics(const struct csl_plan *p, struct csl_buf *out,
                                    struct csl_err *err)
{
    const struct csl_study *s = p->study;
    struct csl_published_terms terms;
    struct csl_published_noise noise;
    char text[CSL_ROUNDED_MAX], digest[2 * CSL_DIGEST_BYTES + 1];
    uint8_t plan[CSL_DIGEST_BYTES];
    if (!(s->statistics.epsilon > 0))
        return CSL_OK;
    csl_publication_terms(s, &terms);
    enum csl_code code = csl_published_plan(&noise, &terms, err);
    if (code != CSL_OK)
        return code;
    double std = noise.event.std_units / CSL_PUBLICATION_ONE;
    csl_round_up(text, noise.epsilon);
    csl_study_statistics_digest(s, plan);
    csl_hex(plan, sizeof(plan), digest);
    csl_buf_printf(
        out,
        "\nStatistics: %u publication%s cost epsilon %s at delta %g on top, at every site "
        "alike. Each count carries noise of\nstandard deviation %.1f patients or more, and "
        "one below %.0f is not used. In the ledger: plan %.16s...\n",
        terms.publications, csl_str_plural(terms.publications), text, terms.delta, std,
        ceil(CSL_PUBLICATION_USABLE * std), digest);
    const struct csl_plan_site *first = &p->sites[p->first_out];
    csl_round_up(text, first->plan.epsilon + noise.epsilon);
    csl_buf_printf(out, "Updates and statistics together: at most epsilon %s at delta %g.\n", text,
                   s->privacy.delta + terms.delta);
    csl_published_release(&noise);
    return CSL_OK;
}

static void put_warnings(const struct csl_plan *p, struct csl_buf *out)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->sites[i].has_large_delta)
            csl_buf_printf(out,
                           "warning: %s: delta %g is not below one over its number of patients: "
                           "the promise may fail\n    for one of them outright; a smaller delta "
                           "would be right\n",
                           p->sites[i].id, p->study->privacy.delta);
}

static const char *unit_words(enum csl_privacy_mode mode)
{
    if (mode == CSL_PRIVACY_SITE)
        return "\nEpsilon is for one whole site, rounded up.\n";
    if (mode == CSL_PRIVACY_JOINT)
        return "\nEpsilon is for one patient with all records at one hospital, rounded up; a "
               "patient of two hospitals is\ntwo patients of one sum: epsilon doubles, and delta "
               "grows by the factor 1 + e^epsilon.\n";
    return "\nEpsilon is for one patient with all records at one hospital, rounded up; a patient "
           "of "
           "two hospitals\npays at both.";
}

/* Of the noise in a mean, which mode local adds step by step. */
static const char *std_words(const struct csl_local_training *local)
{
    if (local->optimizer != CSL_OPT_KIND_SGD)
        return " std is not stated: it depends on what the optimiser makes of the steps before.\n";
    return csl_schedule_is_flat(&local->schedule)
               ? " std is per parameter, to first order in the learning rate.\n"
               : " std is per parameter, to first order in the learning rate,\nin a round at the "
                 "schedule's full rate; in other rounds it is less, and the shares are the same.\n";
}

enum csl_code csl_plan_text(const struct csl_plan *p, struct csl_buf *out, struct csl_err *err)
{
    put_head(p, out);
    enum csl_code code = put_sites(p, out, err);
    if (code != CSL_OK)
        return code;
    put_first_out(p, out);
    bool is_joint = p->study->privacy.mode == CSL_PRIVACY_JOINT;
    if (is_joint)
        put_joint_noise(p, out);
    for (uint32_t d = 0; !is_joint && d < p->study->domain_count; d++)
        put_domain_noise(p, d, out);
    code = csl_plan_survivors_text(p, out, err);
    if (code == CSL_OK)
        code = put_statistics(p, out, err);
    csl_buf_str(out, unit_words(p->study->privacy.mode));
    if (p->study->privacy.mode == CSL_PRIVACY_LOCAL)
        csl_buf_str(out, std_words(&p->study->local));
    put_warnings(p, out);
    return code;
}

/* --- for programs --- */

static enum csl_code put_rounds_json(const struct csl_plan *p, uint32_t site,
                                     struct csl_progress *progress, struct csl_json *j,
                                     struct csl_err *err)
{
    enum csl_code code = CSL_OK;

    csl_json_key(j, "epsilon_by_round");
    csl_json_array(j);
    for (uint64_t r = 1; r <= p->study->rounds && code == CSL_OK; r++) {
        double epsilon = 0;
        code = csl_plan_epsilon(p, site, r, &epsilon, err);
        csl_json_f64(j, epsilon);
        csl_progress_update(progress, (uint64_t)site * p->study->rounds + r);
    }
    csl_json_end(j);
    return code;
}

static void put_domains_json(const struct csl_plan *p, const struct csl_plan_site *s,
                             struct csl_json *j)
{
    csl_json_key(j, "domains");
    csl_json_array(j);
    for (uint32_t i = 0; i < s->plan.domain_count; i++) {
        const struct csl_private_domain *d = &s->plan.domains[i];
        const struct csl_plan_noise *n = &s->noise[d->domain];
        const struct csl_dp_event *e = &s->plan.events[s->plan.event_count > 1 ? i : 0];
        csl_json_object(j);
        csl_json_put_str(j, "id", p->study->domains[d->domain].id);
        csl_json_put_u64(j, "patients", d->patients);
        csl_json_put_str(j, "mechanism", csl_dp_mechanism_name(e->mechanism));
        csl_json_put_str(j, "sampler", csl_dp_sampler_name(e->sampler));
        csl_json_put_f64(j, "sampling_rate", e->sampling_rate);
        csl_json_put_u64(j, "steps", e->steps * p->study->rounds);
        csl_json_put_f64(j, "weight", n->weight);
        bool is_joint = p->study->privacy.mode == CSL_PRIVACY_JOINT; /* one noise, equal shares */
        if (!isnan(n->std) && !is_joint)
            csl_json_put_f64(j, "noise_std_in_mean", n->std);
        if (!is_joint)
            csl_json_put_f64(j, "noise_share", n->share);
        csl_json_put_bool(j, "is_smallest", &p->sites[p->smallest[d->domain]] == s);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static enum csl_code put_site_json(const struct csl_plan *p, uint32_t site,
                                   struct csl_progress *progress, struct csl_json *j,
                                   struct csl_err *err)
{
    const struct csl_plan_site *s = &p->sites[site];

    csl_json_object(j);
    csl_json_put_str(j, "id", s->id);
    csl_json_put_u64(j, "patients", s->total);
    csl_json_put_f64(j, "noise_multiplier", s->plan.noise_multiplier);
    csl_json_put_f64(j, "epsilon", s->plan.epsilon);
    csl_json_put_u64(j, "rounds_paid", s->lasts);
    csl_json_put_bool(j, "delta_too_large", s->has_large_delta);
    put_domains_json(p, s, j);
    enum csl_code code = put_rounds_json(p, site, progress, j, err);
    csl_json_end(j);
    return code;
}

static enum csl_code put_statistics_json(const struct csl_study *s, struct csl_json *j,
                                         struct csl_err *err)
{
    struct csl_published_terms terms;
    struct csl_published_noise noise;
    if (!(s->statistics.epsilon > 0))
        return CSL_OK;
    csl_publication_terms(s, &terms);
    enum csl_code code = csl_published_plan(&noise, &terms, err);
    if (code != CSL_OK)
        return code;
    csl_json_key(j, "statistics");
    csl_json_object(j);
    csl_json_put_u64(j, "publications", terms.publications);
    csl_json_put_f64(j, "epsilon", noise.epsilon);
    csl_json_put_f64(j, "delta", terms.delta);
    csl_json_put_f64(j, "std_patients", noise.event.std_units / CSL_PUBLICATION_ONE);
    csl_json_end(j);
    csl_published_release(&noise);
    return CSL_OK;
}

enum csl_code csl_plan_json(const struct csl_plan *p, struct csl_buf *out, struct csl_err *err)
{
    const struct csl_study *s = p->study;
    struct csl_progress progress;
    struct csl_json j;
    enum csl_code code = CSL_OK;

    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.privacy-plan/1");
    csl_json_put_str(&j, "study", s->id);
    csl_json_put_str(&j, "mode", csl_privacy_mode_name(s->privacy.mode));
    csl_json_put_u64(&j, "rounds", s->rounds);
    csl_json_put_u64(&j, "steps_per_round",
                     s->privacy.mode == CSL_PRIVACY_SITE ? 1 : s->local.steps);
    csl_json_put_f64(&j, "delta", s->privacy.delta);
    csl_json_put_f64(&j, "clip", s->privacy.clip);
    csl_json_put_str(&j, "solved", p->is_noise_fixed ? "epsilon" : "noise_multiplier");
    if (p->budget > 0)
        csl_json_put_f64(&j, "budget_epsilon", p->budget);
    csl_json_put_bool(&j, "enough", p->sites[p->first_out].lasts >= s->rounds);
    csl_json_put_str(&j, "first_out", p->sites[p->first_out].id);
    csl_json_key(&j, "sites");
    csl_json_array(&j);
    csl_progress_start(&progress, stderr, "rounds priced", "rounds",
                       (uint64_t)p->count * s->rounds);
    for (uint32_t i = 0; i < p->count && code == CSL_OK; i++)
        code = put_site_json(p, i, &progress, &j, err);
    csl_progress_finish(&progress);
    csl_json_end(&j);
    if (code == CSL_OK)
        code = csl_plan_survivors_json(p, &j, err);
    if (code == CSL_OK)
        code = put_statistics_json(s, &j, err);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
    return code;
}
