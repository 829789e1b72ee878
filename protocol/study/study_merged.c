/* protocol/study/study_merged.c - labels that stand for several classes at once, of sites that do
 * not tell them apart. */
#include "base/buf.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <string.h>

/* One set: two classes or more, and not all of them, which would say nothing. */
static enum csl_code read_set(const struct csl_study_reader *r, const struct csl_yaml_node *list,
                              uint32_t classes, uint64_t *set)
{
    enum csl_code code = csl_study__check_list(r, list, 2, classes - 1, "classes, from 0,");

    *set = 0;
    for (const struct csl_yaml_node *item = code == CSL_OK ? list->first_child : NULL; item;
         item = item->next) {
        uint64_t v = 0;
        if (item->kind != CSL_YAML_SCALAR || !csl_parse_u64(item->text, &v) || v >= classes)
            return csl_study__found(r, item, "a class from 0, below their number,");
        if (*set >> v & 1)
            return csl_yaml_fail(r->err, r->y, item, "class %u is listed twice", (unsigned)v);
        *set |= UINT64_C(1) << v;
    }
    return code;
}

enum csl_code csl_study__read_merged(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *list, struct csl_domain *d)
{
    if (d->classes < 3 || d->classes >= CSL_CLASSES_MAX)
        return csl_yaml_fail(r->err, r->y, list,
                             "%u classes leave nothing to merge; 3 to %d would be right",
                             d->classes, CSL_CLASSES_MAX - 1);
    enum csl_code code =
        csl_study__check_list(r, list, 1, CSL_CLASSES_MAX - d->classes, "sets of classes");
    const struct csl_yaml_node *item = code == CSL_OK ? list->first_child : NULL;
    for (; item && code == CSL_OK; item = item->next) {
        uint64_t set = 0;
        code = read_set(r, item, d->classes, &set);
        for (uint32_t i = 0; i < d->merged_count && code == CSL_OK; i++)
            if (d->merged[i] == set)
                code = csl_yaml_fail(r->err, r->y, item, "the same classes are listed before");
        if (code == CSL_OK)
            d->merged[d->merged_count++] = set;
    }
    return code;
}

void csl_study__explain_merged(const struct csl_domain *d, struct csl_buf *out)
{
    for (uint32_t i = 0; i < d->merged_count; i++) {
        csl_buf_printf(out, "%s%u one of", i > 0 ? ", " : "; label ", d->classes + i);
        for (uint32_t c = 0, n = 0; c < d->classes; c++)
            if (d->merged[i] >> c & 1)
                csl_buf_printf(out, "%s%u", n++ > 0 ? " or " : " ", c);
    }
}
