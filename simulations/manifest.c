/* simulations/manifest.c - rewrites whole top-level sections of a study file, leaving every other
 * line as it is. */
#include "simulations/manifest.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "site-agent/data/record.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

struct edit {
    const struct csl_study *study;
    const struct csl_yaml *yaml;
    uint32_t rounds;
    double epsilon;             /* as wanted; INFINITY: no privacy */
    struct csl_sim_site *sites; /* [site_count], as wanted; NULL: as in the file */
    uint32_t site_count;
    bool changes_rounds, changes_epsilon, names_sites;
};

static bool is_replaced(const struct edit *e, const char *key)
{
    if (strcmp(key, "rounds") == 0 || strcmp(key, "evaluation") == 0)
        return e->changes_rounds;
    if (strcmp(key, "privacy") == 0)
        return e->changes_epsilon;
    if (strcmp(key, "sites") == 0 || strcmp(key, "simulation") == 0)
        return e->sites != NULL;
    return false;
}

/* Copies the lines [from, to) of the manifest, counted from 1. */
static void copy_lines(struct csl_buf *out, const struct csl_msg *text, uint32_t from, uint32_t to)
{
    uint32_t line = 1;
    for (size_t i = 0; i < text->n && line < to; i++) {
        if (line >= from)
            csl_buf_u8(out, text->p[i]);
        line += text->p[i] == '\n';
    }
}

/* A YAML scalar in double quotes. */
static void put_quoted(struct csl_buf *out, const char *text)
{
    csl_buf_u8(out, '"');
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\')
            csl_buf_u8(out, '\\');
        csl_buf_u8(out, (uint8_t)*text);
    }
    csl_buf_u8(out, '"');
}

static void put_member(struct csl_buf *out, const char *key, const char *text)
{
    if (text[0] == 0)
        return;
    csl_buf_printf(out, ", %s: ", key);
    put_quoted(out, text);
}

static void put_number(struct csl_buf *out, const char *key, double v)
{
    char text[32];
    csl_str_f64(text, sizeof(text), v);
    csl_buf_printf(out, ", %s: %s", key, text);
}

static void put_attack(struct csl_buf *out, const struct csl_sim_attack *a)
{
    if (a->kind == CSL_ATTACK_NONE)
        return;
    csl_buf_printf(out, ", attack: {kind: %s", csl_attack_name(a->kind));
    if (a->kind != CSL_ATTACK_LABEL_FLIP)
        put_number(out, "factor", a->factor);
    if (a->kind == CSL_ATTACK_LABEL_FLIP || a->kind == CSL_ATTACK_BACKDOOR)
        put_number(out, "share", a->share);
    if (a->kind == CSL_ATTACK_BACKDOOR) {
        put_member(out, "trigger", a->trigger);
        put_number(out, "value", a->value);
        csl_buf_printf(out, ", target: %u", a->target);
    }
    if (a->vote != CSL_ATTACK_VOTE_HONEST)
        csl_buf_printf(out, ", vote: %s", a->vote == CSL_ATTACK_VOTE_FINE ? "fine" : "worse");
    csl_buf_str(out, "}");
}

static void put_sim_site(struct csl_buf *out, const struct csl_sim_site *s)
{
    csl_buf_printf(out, "    - {id: %s", s->id);
    if (s->is_synth)
        csl_buf_printf(out, ", synth: %u", s->synth_index);
    put_member(out, "csv", s->csv);
    put_member(out, "npz", s->npz);
    put_member(out, "mapping", s->mapping);
    put_member(out, "records", s->records);
    if (s->where_column[0] != 0) {
        csl_buf_str(out, ", where: {column: ");
        put_quoted(out, s->where_column);
        csl_buf_str(out, ", any_of: [");
        for (uint32_t i = 0; i < s->where_count; i++) {
            csl_buf_str(out, i == 0 ? "" : ", ");
            put_quoted(out, s->where_any_of[i]);
        }
        csl_buf_str(out, "]}");
    }
    put_attack(out, &s->attack);
    csl_buf_str(out, "}\n");
}

static void put_sites(struct csl_buf *out, const struct edit *e)
{
    const struct csl_study *s = e->study;
    uint32_t minimum = s->minimum_sites < e->site_count ? s->minimum_sites : e->site_count;
    csl_buf_printf(out, "sites:\n  minimum: %u\n  round_deadline: %llums\n", minimum,
                   (unsigned long long)s->round_deadline_ms);
    if (s->participant_count > 0 || e->names_sites) {
        csl_buf_str(out, "  participants: [");
        for (uint32_t i = 0; i < e->site_count; i++)
            csl_buf_printf(out, "%s%s", i == 0 ? "" : ", ", e->sites[i].id);
        csl_buf_str(out, "]\n");
    }
    csl_buf_str(out, "simulation:\n  sites:\n");
    for (uint32_t i = 0; i < e->site_count; i++)
        put_sim_site(out, &e->sites[i]);
    csl_buf_str(out, s->external_site_count > 0 ? "  external:\n" : "");
    for (uint32_t i = 0; i < s->external_site_count; i++)
        put_sim_site(out, &s->external_sites[i]);
}

static void put_rounds(struct csl_buf *out, const struct edit *e)
{
    uint32_t every = e->study->evaluate_every;
    csl_buf_printf(out, "rounds: %u\nevaluation: {every: %u}\n", e->rounds,
                   every > e->rounds ? 0 : every);
}

static void put_privacy(struct csl_buf *out, const struct edit *e)
{
    const struct csl_study_privacy *p = &e->study->privacy;
    char epsilon[32], delta[32], clip[32], rate[32];
    if (!isfinite(e->epsilon)) {
        csl_buf_printf(out, "privacy: {mode: %s}\n", csl_privacy_mode_name(CSL_PRIVACY_NONE));
        return;
    }
    csl_str_f64(epsilon, sizeof(epsilon), e->epsilon);
    csl_str_f64(delta, sizeof(delta), p->delta);
    csl_str_f64(clip, sizeof(clip), p->clip);
    csl_str_f64(rate, sizeof(rate), p->sampling_rate);
    bool is_joint = p->mode == CSL_PRIVACY_JOINT;
    csl_buf_printf(out, "privacy: {mode: %s, unit: %s, epsilon: %s, delta: %s, clip: %s%s%s}\n",
                   csl_privacy_mode_name(p->mode), p->mode == CSL_PRIVACY_SITE ? "site" : "patient",
                   epsilon, delta, clip, is_joint ? ", sampling_rate: " : "", is_joint ? rate : "");
}

static enum csl_code rewrite(const struct edit *e, const char *name, struct csl_buf *out,
                             struct csl_err *err)
{
    const struct csl_msg *text = &e->study->manifest;
    uint32_t last_line = 0, keep_from = 1;
    for (const struct csl_yaml_node *n = csl_yaml_root(e->yaml)->first_child; n; n = n->next) {
        if (n->key_column != 1 || n->key_line == last_line)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "%s:%u: to change rounds, sites or privacy, each section must start "
                            "on a line of its own; found '%s' in column %u",
                            name, n->key_line, n->key, n->key_column);
        last_line = n->key_line;
        if (!is_replaced(e, n->key))
            continue;
        uint32_t end = n->next != NULL ? n->next->key_line : UINT32_MAX;
        copy_lines(out, text, keep_from, n->key_line);
        keep_from = end;
    }
    copy_lines(out, text, keep_from, UINT32_MAX);
    if (out->n > 0 && out->p[out->n - 1] != '\n')
        csl_buf_u8(out, '\n');
    if (e->changes_rounds)
        put_rounds(out, e);
    if (e->sites != NULL)
        put_sites(out, e);
    if (e->changes_epsilon)
        put_privacy(out, e);
    return csl_buf_status(out, err);
}

/* Fills e->sites with the first `sites` of the study and, beyond them, further synthetic ones. */
static enum csl_code choose_sites(struct edit *e, uint32_t sites, struct csl_err *err)
{
    const struct csl_study *s = e->study;
    uint32_t next = 0;
    for (uint32_t i = 0; i < s->sim_site_count; i++) {
        if (!s->sim_sites[i].is_synth && sites > s->sim_site_count)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "study %s has %u sites with data of their own; found --sites %u; "
                            "hospitals can only be added to a study of synthetic ones",
                            s->id, s->sim_site_count, sites);
        if (s->sim_sites[i].is_synth && s->sim_sites[i].synth_index >= next)
            next = s->sim_sites[i].synth_index + 1;
    }
    e->sites = csl_alloc_array(sites, sizeof(*e->sites));
    if (e->sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", sites);
    e->site_count = sites;
    for (uint32_t i = 0; i < sites; i++) {
        if (i < s->sim_site_count) {
            e->sites[i] = s->sim_sites[i];
            continue;
        }
        e->sites[i].is_synth = true;
        e->sites[i].synth_index = next++;
        CSL_ASSERT(csl_str_copy(e->sites[i].id, sizeof(e->sites[i].id),
                                csl_synth_site_id(e->sites[i].synth_index)));
    }
    return CSL_OK;
}

/* Fills e->sites with all but one; another digest names a study whose participants are others. */
static enum csl_code leave_out(struct edit *e, const char *id, struct csl_err *err)
{
    const struct csl_study *s = e->study;
    if (s->sim_site_count < 2)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "study %s has %u simulated site%s; without one there would be none left",
                        s->id, s->sim_site_count, csl_str_plural(s->sim_site_count));
    e->sites = csl_alloc_array((size_t)s->sim_site_count - 1, sizeof(*e->sites));
    if (e->sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", s->sim_site_count);
    e->names_sites = true;
    for (uint32_t i = 0; i < s->sim_site_count; i++) {
        if (strcmp(s->sim_sites[i].id, id) == 0)
            continue;
        if (e->site_count + 1 == s->sim_site_count)
            return CSL_FAIL(err, CSL_E_INVAL, "study %s has no simulated site %s", s->id, id);
        e->sites[e->site_count++] = s->sim_sites[i];
    }
    return CSL_OK;
}

/* A study that promises nothing has no delta and no clip to go with an epsilon. */
static enum csl_code check_epsilon(const struct edit *e, const char *name, struct csl_err *err)
{
    if (!e->changes_epsilon || e->study->privacy.mode != CSL_PRIVACY_NONE)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL,
                    "%s: privacy: study %s has none, and an epsilon needs its mode, delta and "
                    "clip; a study with a section such as 'privacy: {mode: local, epsilon: 1, "
                    "delta: 1e-5, clip: 1}' would be right",
                    name, e->study->id);
}

enum csl_code csl_manifest_adapt(struct csl_study **out, const struct csl_study *study,
                                 const char *name, const struct csl_manifest_change *change,
                                 struct csl_err *err)
{
    struct edit e = {.study = study,
                     .rounds = change->rounds,
                     .epsilon = change->epsilon,
                     .changes_rounds = change->rounds != 0 && change->rounds != study->rounds,
                     .changes_epsilon = change->epsilon > 0};
    struct csl_yaml *yaml = NULL;
    struct csl_buf text;
    csl_buf_init(&text, CSL_MANIFEST_BYTES_MAX);
    enum csl_code code = check_epsilon(&e, name, err);
    if (code == CSL_OK)
        code = csl_yaml_parse(&yaml, name, csl_msg_span(&study->manifest), err);
    e.yaml = yaml;
    if (code == CSL_OK && change->sites != 0 && change->sites != study->sim_site_count)
        code = choose_sites(&e, change->sites, err);
    if (code == CSL_OK && change->left_out != NULL) {
        CSL_ASSERT(e.sites == NULL);
        code = leave_out(&e, change->left_out, err);
    }
    if (code == CSL_OK)
        code = rewrite(&e, name, &text, err);
    if (code == CSL_OK)
        code = csl_study_parse(out, name, CSL_SPAN(text.p, text.n), err);
    csl_buf_release(&text);
    csl_free(e.sites);
    csl_yaml_free(yaml);
    return code;
}
