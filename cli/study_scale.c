/* cli/study_scale.c - `consilium study scale`: published statistics become the fixed centre and
 * scale of a study's features, so that no site's data scale anything for free. The file is changed
 * where features and scaling stand, and is otherwise the same bytes. */
#include "cli/study_scale.h"

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EDITS_MAX (2 * (CSL_DOMAINS_MAX + CSL_STUDY_INPUTS_MAX))

struct edit { /* lines [from, to) become text */
    uint32_t from, to;
    size_t at, bytes; /* in scaler.text */
};
struct scaler {
    const struct csl_study *study;
    const struct csl_statistics_report *report;
    const char *path;
    const struct csl_yaml *yaml;
    struct csl_span bytes; /* of the file */
    struct edit edits[EDITS_MAX];
    size_t edit_count;
    struct csl_buf text;  /* of all edits */
    struct csl_buf *told; /* what was used, for people */
    struct csl_err *err;
};

/* --- lines --- */

static size_t line_start(struct csl_span bytes, uint32_t line)
{
    size_t at = 0;
    for (uint32_t i = 1; i < line && at < bytes.n; at++)
        i += bytes.p[at] == '\n';
    return at;
}

static bool is_blank(struct csl_span bytes, uint32_t line)
{
    const uint8_t *p = bytes.p;
    size_t at = line_start(bytes, line);
    while (at < bytes.n && (p[at] == ' ' || p[at] == '\r'))
        at++;
    return at >= bytes.n || p[at] == '\n' || p[at] == '#';
}

static uint32_t count_lines(struct csl_span bytes)
{
    uint32_t n = 1;
    for (size_t i = 0; i < bytes.n; i++)
        n += bytes.p[i] == '\n';
    return n;
}

/* The first line behind `value`, of `item` in the list `list`; comments before what follows stay.
 */
static uint32_t end_of(const struct scaler *s, const struct csl_yaml_node *list,
                       const struct csl_yaml_node *item, const struct csl_yaml_node *value)
{
    uint32_t end = value->next != NULL  ? value->next->key_line
                   : item->next != NULL ? item->next->line
                   : list->next != NULL ? list->next->key_line
                                        : count_lines(s->bytes) + 1;
    while (end > value->key_line + 1 && is_blank(s->bytes, end - 1))
        end--;
    return end;
}

/* A key that shares its line cannot be replaced with it. */
static enum csl_code check_alone(const struct scaler *s, const struct csl_yaml_node *item,
                                 const struct csl_yaml_node *value)
{
    const uint8_t *p = s->bytes.p;
    size_t first = line_start(s->bytes, value->key_line);
    for (size_t at = first; at + 1 < first + value->key_column; at++)
        if (p[at] != ' ')
            return csl_yaml_fail(s->err, s->yaml, item,
                                 "'%s' must stand on a line of its own to be changed", value->key);
    for (const struct csl_yaml_node *n = item->first_child; n != NULL; n = n->next)
        if (n != value && n->key_line == value->key_line)
            return csl_yaml_fail(s->err, s->yaml, item,
                                 "'%s' and '%s' must stand on lines of their own to be changed",
                                 value->key, n->key);
    return CSL_OK;
}

static void begin_edit(struct scaler *s, uint32_t from, uint32_t to)
{
    CSL_ASSERT(s->edit_count < EDITS_MAX);
    s->edits[s->edit_count++] = (struct edit){.from = from, .to = to, .at = s->text.n};
}

static void end_edit(struct scaler *s)
{
    struct edit *e = &s->edits[s->edit_count - 1];
    e->bytes = s->text.n - e->at;
}

/* --- features --- */

struct constants {
    double centre, scale;
};

/* The published figures; without them the range, which is public; of a feature that was not asked
 * for, what the study says. */
static enum csl_code choose(struct scaler *s, const struct csl_domain *d,
                            const struct csl_feature *f, const struct csl_statistics_feature *from,
                            struct constants *out)
{
    char mean[80], deviation[80];
    if (from == NULL && d->scaling == CSL_SCALING_SITE)
        return CSL_FAIL(s->err, CSL_E_INVAL,
                        "%s: feature '%s' of '%s' is scaled by each site's own data, and the "
                        "statistics of study %s do not have it",
                        s->path, f->name, d->id, s->report->study);
    if (from == NULL) {
        *out = (struct constants){f->centre, f->scale};
        csl_buf_printf(s->told, "  %s: not in the statistics; stays at centre %.6g, scale %.6g\n",
                       f->name, f->centre, f->scale);
        return CSL_OK;
    }
    if (f->unit[0] != '\0' && from->unit[0] != '\0' && strcmp(f->unit, from->unit) != 0)
        return CSL_FAIL(s->err, CSL_E_INVAL,
                        "%s: feature '%s' of '%s' is in %s, in the statistics of study %s in %s",
                        s->path, f->name, d->id, f->unit, s->report->study, from->unit);
    const struct csl_feature_figures *g = &from->figures;
    if (g->mean.is_shown && g->deviation.is_shown) {
        *out = (struct constants){g->mean.value, g->deviation.value};
        csl_statistics_text(&g->mean, 1, mean, sizeof(mean));
        csl_statistics_text(&g->deviation, 1, deviation, sizeof(deviation));
        csl_buf_printf(s->told, "  %s: centre %s, scale %s\n", f->name, mean, deviation);
        return CSL_OK;
    }
    *out = (struct constants){from->range.low + (from->range.high - from->range.low) / 2,
                              (from->range.high - from->range.low) / 4};
    csl_buf_printf(s->told,
                   "  %s: mean or deviation was not published; middle and quarter of its range, "
                   "centre %.6g, scale %.6g\n",
                   f->name, out->centre, out->scale);
    return CSL_OK;
}

static void put_quoted(struct csl_buf *out, const char *text)
{
    csl_buf_str(out, "'");
    for (; *text != '\0'; text++)
        csl_buf_append(out, *text == '\'' ? "''" : text, *text == '\'' ? 2 : 1);
    csl_buf_str(out, "'");
}

/* Six digits: more than any published mean is known to. */
static void put_number(struct csl_buf *out, const char *key, double v)
{
    csl_buf_printf(out, ", %s: %.6g", key, v);
}

static void put_feature(struct scaler *s, const struct csl_feature *f,
                        const struct csl_statistics_feature *from, const struct constants *c)
{
    char low[32], high[32];
    bool has_range = f->range_min < f->range_max;
    csl_buf_str(&s->text, "{name: ");
    put_quoted(&s->text, f->name);
    if (f->unit[0] != '\0' || (from != NULL && from->unit[0] != '\0')) {
        csl_buf_str(&s->text, ", unit: ");
        put_quoted(&s->text, f->unit[0] != '\0' ? f->unit : from->unit);
    }
    put_number(&s->text, "centre", c->centre);
    put_number(&s->text, "scale", c->scale);
    if (f->clip > 0)
        put_number(&s->text, "clip", f->clip);
    if (has_range || from != NULL) {
        csl_str_f64(low, sizeof(low), has_range ? f->range_min : from->range.low);
        csl_str_f64(high, sizeof(high), has_range ? f->range_max : from->range.high);
        csl_buf_printf(&s->text, ", range: [%s, %s]", low, high);
    }
    csl_buf_str(&s->text, "}\n");
}

static enum csl_code edit_features(struct scaler *s, const struct csl_yaml_node *value,
                                   const struct csl_domain *d,
                                   const struct csl_statistics_domain *from)
{
    int indent = (int)value->key_column - 1;
    csl_buf_printf(&s->text,
                   "%*s# centre and scale: statistics of study %s, digest %.16s\n%*sfeatures:\n",
                   indent, "", s->report->study, s->report->study_digest, indent, "");
    csl_buf_printf(s->told, "%s\n", d->id);
    for (uint32_t i = 0; i < d->feature_count; i++) {
        const struct csl_statistics_feature *f =
            csl_statistics_find_feature(from, d->features[i].name);
        struct constants c = {0, 1};
        enum csl_code code = choose(s, d, &d->features[i], f, &c);
        if (code != CSL_OK)
            return code;
        csl_buf_printf(&s->text, "%*s  - ", indent, "");
        put_feature(s, &d->features[i], f, &c);
    }
    return CSL_OK;
}

static enum csl_code edit_domain(struct scaler *s, const struct csl_yaml_node *list,
                                 const struct csl_yaml_node *item, const struct csl_domain *d)
{
    const struct csl_statistics_domain *from = csl_statistics_find_domain(s->report, d->id);
    const struct csl_yaml_node *features = csl_yaml_get(item, "features");
    const struct csl_yaml_node *scaling = csl_yaml_get(item, "scaling");
    if (from == NULL || features == NULL)
        return CSL_OK;
    enum csl_code code = check_alone(s, item, features);
    if (code != CSL_OK)
        return code;
    begin_edit(s, features->key_line, end_of(s, list, item, features));
    code = edit_features(s, features, d, from);
    end_edit(s);
    if (code != CSL_OK || scaling == NULL)
        return code;
    code = check_alone(s, item, scaling);
    if (code != CSL_OK)
        return code;
    begin_edit(s, scaling->key_line, scaling->key_line + 1);
    csl_buf_printf(&s->text, "%*sscaling: constants\n", (int)scaling->key_column - 1, "");
    end_edit(s);
    return CSL_OK;
}

static enum csl_code edit_list(struct scaler *s, const char *key, const struct csl_domain *domains)
{
    const struct csl_yaml_node *list = csl_yaml_get(csl_yaml_root(s->yaml), key);
    enum csl_code code = CSL_OK;
    const struct csl_yaml_node *item = list != NULL ? list->first_child : NULL;
    for (; item != NULL && code == CSL_OK; item = item->next)
        code = edit_domain(s, list, item, domains++);
    return code;
}

/* --- the file --- */

static int compare_edits(const void *a, const void *b)
{
    const struct edit *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

static void apply(struct scaler *s, struct csl_buf *out)
{
    const uint8_t *p = s->bytes.p;
    size_t kept = 0;
    qsort(s->edits, s->edit_count, sizeof(s->edits[0]), compare_edits);
    for (size_t i = 0; i < s->edit_count; i++) {
        const struct edit *e = &s->edits[i];
        size_t from = line_start(s->bytes, e->from);
        csl_buf_append(out, p + kept, from - kept);
        csl_buf_append(out, s->text.p + e->at, e->bytes);
        kept = line_start(s->bytes, e->to);
    }
    csl_buf_append(out, p + kept, s->bytes.n - kept);
}

static enum csl_code scale(struct scaler *s, struct csl_buf *out)
{
    struct csl_study *result = NULL;
    enum csl_code code = edit_list(s, "domains", s->study->domains);
    if (code == CSL_OK)
        code = edit_list(s, "inputs", s->study->inputs);
    if (code == CSL_OK && s->edit_count == 0)
        return CSL_FAIL(s->err, CSL_E_INVAL,
                        "%s: no domain with features is in the statistics of study %s", s->path,
                        s->report->study);
    if (code == CSL_OK)
        code = csl_buf_status(&s->text, s->err);
    if (code != CSL_OK)
        return code;
    apply(s, out);
    code = csl_buf_status(out, s->err);
    if (code == CSL_OK) /* what is written is a study */
        code = csl_study_parse(&result, s->path, CSL_SPAN(out->p, out->n), s->err);
    csl_study_free(result);
    return code;
}

enum csl_code csl_cli_study_scale(const struct csl_study *study, const char *path,
                                  const struct csl_statistics_report *report, struct csl_buf *out,
                                  struct csl_buf *told, struct csl_err *err)
{
    struct csl_yaml *yaml = NULL;
    struct scaler *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to scale a study");
    *s = (struct scaler){.study = study,
                         .report = report,
                         .path = path,
                         .bytes = csl_msg_span(&study->manifest),
                         .told = told,
                         .err = err};
    csl_buf_init(&s->text, CSL_MANIFEST_BYTES_MAX);
    enum csl_code code = csl_yaml_parse(&yaml, path, s->bytes, err);
    s->yaml = yaml;
    if (code == CSL_OK)
        code = scale(s, out);
    csl_yaml_free(yaml);
    csl_buf_release(&s->text);
    csl_free(s);
    return code;
}
