/* protocol/study/study_labels.c - a task of several yes/no labels at once (multi-label), each of
 * which a site may know or not. */
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <stdio.h>
#include <string.h>

static const char *const labels_names[] = {"labels", NULL};

struct raw_labels {
    int kind;
    const struct csl_yaml_node *labels;
};
static const struct csl_option labels_rows[] = {
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     .offset = offsetof(struct raw_labels, kind),
     .choices = labels_names,
     .help = "Kind of label."},
    {.name = "labels",
     .type = CSL_OPT_NODE,
     .offset = offsetof(struct raw_labels, labels),
     .help = "Names of yes/no labels in the record file; a site need not have all of them."},
    CSL_OPTION_END,
};

bool csl_study__has_labels(const struct csl_yaml_node *section)
{
    const struct csl_yaml_node *kind =
        section && section->kind == CSL_YAML_MAPPING ? csl_yaml_get(section, "kind") : NULL;
    return kind && kind->kind == CSL_YAML_SCALAR && strcmp(kind->text, "labels") == 0;
}

enum csl_code csl_study__read_labels(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *at,
                                     const struct csl_yaml_node *section, struct csl_domain *d)
{
    struct raw_labels raw = {0};
    enum csl_code code = csl_study__section(r, labels_rows, &raw, at, section, "task");

    if (code == CSL_OK && !raw.labels)
        code = csl_yaml_fail(r->err, r->y, section,
                             "kind: labels needs 'labels', the list of their names");
    if (code == CSL_OK)
        code = csl_study__check_list(r, raw.labels, 2, CSL_TASK_LABELS_MAX, "labels, by name");
    if (code != CSL_OK)
        return code;
    d->labels = csl_alloc_array(raw.labels->child_count, sizeof(*d->labels));
    if (!d->labels)
        return CSL_FAIL(r->err, CSL_E_NOMEM, "no memory for %u labels", raw.labels->child_count);
    for (const struct csl_yaml_node *item = raw.labels->first_child; item; item = item->next) {
        if (item->kind != CSL_YAML_SCALAR || !csl_id_valid(item->text))
            return csl_study__found(r, item,
                                    "the name of a label, 1 to 63 of a-z 0-9 . _ - and a letter or "
                                    "digit first,");
        if (csl_domain_asks_for(d, item->text))
            return csl_yaml_fail(r->err, r->y, item, "label '%s' is listed twice", item->text);
        CSL_ASSERT(csl_str_copy(d->labels[d->label_count++], CSL_ID_MAX, item->text));
    }
    d->task = CSL_TASK_LABELS;
    d->classes = 2;
    d->outputs = d->label_count;
    return CSL_OK;
}

bool csl_domain_asks_for(const struct csl_domain *d, const char *name)
{
    for (uint32_t i = 0; i < d->label_count; i++)
        if (strcmp(d->labels[i], name) == 0)
            return true;
    return d->label[0] && strcmp(d->label, name) == 0;
}

bool csl_domain_is_counted(const struct csl_domain *d)
{
    return d->task == CSL_TASK_BINARY || d->task == CSL_TASK_CLASSES;
}

void csl_domain_label_text(const struct csl_domain *d, char *dst, size_t dst_bytes)
{
    size_t n = 0;

    CSL_ASSERT(dst_bytes > 0);
    if (d->label_count == 0)
        (void)snprintf(dst, dst_bytes, "%s", d->label);
    for (uint32_t i = 0; i < d->label_count && n + 1 < dst_bytes; i++) {
        int more = snprintf(dst + n, dst_bytes - n, "%s%s", i > 0 ? ", " : "", d->labels[i]);
        CSL_ASSERT(more > 0);
        n += (size_t)more;
    }
}
