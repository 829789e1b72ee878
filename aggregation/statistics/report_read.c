#include "aggregation/statistics/report.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

struct reading {
    const char *name;
    struct csl_err *err;
};

static enum csl_code fail(const struct reading *rd, const char *what)
{
    return CSL_FAIL(rd->err, CSL_E_CORRUPT,
                    "%s: '%s' is not what a file of statistics (" CSL_STATISTICS_FORMAT
                    ") has there",
                    rd->name, what);
}

/* Texts come from whoever made the file and go to terminals and into studies: no line ends, no
 * terminal's commands (C0, DEL, C1), nothing that turns what is read around. */
static bool is_plain(const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        const unsigned char *p = (const unsigned char *)text;
        size_t n = csl_utf8_next(text, left);
        bool is_c1 = n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
        bool is_break = n == 3 && p[0] == 0xe2 && p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae;
        bool is_isolate = n == 3 && p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9;
        if (n == 0 || p[0] < 0x20 || p[0] == 0x7f || is_c1 || is_break || is_isolate)
            return false;
        text += n;
        left -= n;
    }
    return true;
}

static bool get_text(const struct csl_json_value *of, const char *key, char *dst, size_t bytes)
{
    const char *text;
    return csl_json_as_str(csl_json_get(of, key), &text) && is_plain(text) &&
           csl_str_copy(dst, bytes, text);
}

static bool get_id(const struct csl_json_value *of, const char *key, char *dst, size_t bytes)
{
    return get_text(of, key, dst, bytes) && csl_id_valid(dst);
}

static bool get_digest(const struct csl_json_value *of, const char *key, char *dst, size_t bytes)
{
    return get_text(of, key, dst, bytes) && strlen(dst) == bytes - 1 &&
           strspn(dst, "0123456789abcdef") == bytes - 1;
}

static bool get_u32(const struct csl_json_value *of, const char *key, uint32_t *out)
{
    uint64_t v;
    if (!csl_json_as_u64(csl_json_get(of, key), &v) || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool get_statistic(const struct csl_json_value *v, struct csl_statistic *out)
{
    struct csl_statistic s = {.high = HUGE_VAL};
    bool is_suppressed = false;
    if (csl_json_as_bool(csl_json_get(v, "suppressed"), &is_suppressed)) {
        const struct csl_json_value *most = csl_json_get(v, "at_most");
        if (!is_suppressed || (most != NULL && !csl_json_as_f64(most, &s.high)))
            return false;
    } else {
        s.is_shown = true;
        if (!csl_json_as_f64(csl_json_get(v, "value"), &s.value) ||
            !csl_json_as_f64(csl_json_get(v, "low"), &s.low) ||
            !csl_json_as_f64(csl_json_get(v, "high"), &s.high) || !(s.low <= s.high))
            return false;
    }
    *out = s;
    return true;
}

static bool read_feature(const struct csl_json_value *v, struct csl_statistics_feature *f)
{
    const struct csl_json_value *range = csl_json_get(v, "range");
    const struct csl_json_value *quantiles = csl_json_get(v, "quantiles");
    bool is_right = get_text(v, "name", f->name, sizeof(f->name)) &&
                    get_text(v, "unit", f->unit, sizeof(f->unit)) && csl_json_count(range) == 2 &&
                    csl_json_as_f64(csl_json_at(range, 0), &f->range.low) &&
                    csl_json_as_f64(csl_json_at(range, 1), &f->range.high) &&
                    csl_statistics_range_is_valid(&f->range) &&
                    get_statistic(csl_json_get(v, "missing"), &f->figures.missing) &&
                    get_statistic(csl_json_get(v, "outside"), &f->figures.outside) &&
                    get_statistic(csl_json_get(v, "mean"), &f->figures.mean) &&
                    get_statistic(csl_json_get(v, "standard_deviation"), &f->figures.deviation) &&
                    csl_json_count(quantiles) == CSL_STATISTICS_QUANTILES;
    for (int i = 0; is_right && i < CSL_STATISTICS_QUANTILES; i++)
        is_right = get_statistic(csl_json_at(quantiles, (size_t)i), &f->figures.quantiles[i]);
    return is_right;
}

static enum csl_code read_domain(const struct reading *rd, const struct csl_json_value *v,
                                 struct csl_statistics_domain *d)
{
    const struct csl_json_value *cells = csl_json_get(v, "cells");
    const struct csl_json_value *features = csl_json_get(v, "features");
    size_t cell_count = csl_json_count(cells), feature_count = csl_json_count(features);
    if (!get_id(v, "id", d->id, sizeof(d->id)) || !get_u32(v, "sites", &d->sum.sites) ||
        !get_u32(v, "sites_min", &d->sum.sites_min) ||
        !get_u32(v, "minimum_cell", &d->sum.minimum_cell) || !get_u32(v, "answers", &d->answers) ||
        !csl_json_as_f64(csl_json_get(v, "noise_std_patients"), &d->sum.sigma) ||
        !(d->sum.sigma >= 0) || !get_statistic(csl_json_get(v, "patients"), &d->patients) ||
        cell_count > 2 * CSL_CLASSES_MAX || feature_count > CSL_NAMED_FEATURES_MAX)
        return fail(rd, "domains");
    d->cells = csl_alloc_array(cell_count + 1, sizeof(*d->cells));
    d->features = csl_alloc_array(feature_count + 1, sizeof(*d->features));
    if (d->cells == NULL || d->features == NULL)
        return CSL_FAIL(rd->err, CSL_E_NOMEM, "no memory for the statistics of domain %s", d->id);
    for (; d->cell_count < cell_count; d->cell_count++) {
        const struct csl_json_value *at = csl_json_at(cells, d->cell_count);
        struct csl_statistics_cell *to = &d->cells[d->cell_count];
        if (!get_text(at, "name", to->name, sizeof(to->name)) ||
            !get_statistic(csl_json_get(at, "patients"), &to->patients))
            return fail(rd, "cells");
    }
    for (; d->feature_count < feature_count; d->feature_count++)
        if (!read_feature(csl_json_at(features, d->feature_count), &d->features[d->feature_count]))
            return fail(rd, "features");
    return CSL_OK;
}

static enum csl_code read_root(const struct reading *rd, const struct csl_json_value *root,
                               struct csl_statistics_report *r)
{
    const struct csl_json_value *domains = csl_json_get(root, "domains");
    const char *format = "";
    size_t count = csl_json_count(domains);
    if (!csl_json_as_str(csl_json_get(root, "format"), &format) ||
        strcmp(format, CSL_STATISTICS_FORMAT) != 0)
        return fail(rd, "format");
    if (!get_id(root, "study", r->study, sizeof(r->study)) ||
        !get_digest(root, "study_digest", r->study_digest, sizeof(r->study_digest)) ||
        !get_id(root, "privacy", r->privacy, sizeof(r->privacy)) ||
        !csl_json_as_bool(csl_json_get(root, "masked"), &r->is_masked) ||
        !csl_json_as_bool(csl_json_get(root, "rehearsal"), &r->is_rehearsal))
        return fail(rd, "study");
    if (csl_json_get(root, "delta") != NULL &&
        (!csl_json_as_f64(csl_json_get(root, "epsilon"), &r->epsilon) ||
         !csl_json_as_f64(csl_json_get(root, "delta"), &r->delta)))
        return fail(rd, "epsilon");
    if (count == 0 || count > CSL_DOMAINS_MAX)
        return fail(rd, "domains");
    r->domains = csl_alloc_array(count, sizeof(*r->domains));
    if (r->domains == NULL)
        return CSL_FAIL(rd->err, CSL_E_NOMEM, "no memory for %zu domains", count);
    enum csl_code code = CSL_OK;
    while (code == CSL_OK && r->domain_count < count) {
        uint32_t d = r->domain_count++;
        code = read_domain(rd, csl_json_at(domains, d), &r->domains[d]);
    }
    return code;
}

enum csl_code csl_statistics_read(struct csl_statistics_report *out, const char *path,
                                  struct csl_err *err)
{
    struct csl_msg bytes = {NULL, 0};
    enum csl_code code = csl_file_read(&bytes, path, CSL_STATISTICS_BYTES_MAX, err);
    if (code == CSL_OK)
        code = csl_statistics_parse(out, path, csl_msg_span(&bytes), err);
    csl_msg_release(&bytes);
    return code;
}

enum csl_code csl_statistics_parse(struct csl_statistics_report *out, const char *name,
                                   struct csl_span json, struct csl_err *err)
{
    const struct reading rd = {name, err};
    struct csl_statistics_report r = {.domains = NULL};
    struct csl_json_doc *doc = NULL;
    enum csl_code code = csl_json_parse(&doc, name, json, err);
    if (code == CSL_OK)
        code = read_root(&rd, csl_json_root(doc), &r);
    csl_json_free(doc);
    if (code == CSL_OK)
        *out = r;
    else
        csl_statistics_report_release(&r);
    return code;
}
