#include "aggregation/evaluate/sums.h"

#include "aggregation/evaluate/sums_internal.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/mem.h"

#include <string.h>

size_t csl_sums_count(uint32_t classes, uint32_t bins)
{
    size_t c = classes, heads = classes == 2 ? 1 : c + 1; /* + 1: the confidence of decisions */
    return CSL_SUMS__HEAD + c * c + heads * 2 * bins;
}

enum csl_code csl_sums_init(struct csl_sums *s, uint32_t classes, uint32_t bins,
                            struct csl_err *err)
{
    if (classes < 2 || classes > CSL_CLASSES_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "%u classes; 2 to %d would be right", classes,
                        CSL_CLASSES_MAX);
    if (bins != 0 && bins != 256 && bins != 1024)
        return CSL_FAIL(err, CSL_E_INVAL, "%u bins; 0, 256 or 1024 would be right", bins);
    uint64_t *counts = csl_alloc_array(csl_sums_count(classes, bins), sizeof(*counts));
    if (counts == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "counts of %u classes", classes);
    *s = (struct csl_sums){classes, bins, counts};
    return CSL_OK;
}

void csl_sums_release(struct csl_sums *s)
{
    csl_free(s->counts);
    memset(s, 0, sizeof(*s));
}

static uint32_t bin_of(const struct csl_sums *s, float score)
{
    uint32_t bin = (uint32_t)((double)score * s->bins);
    return bin < s->bins ? bin : s->bins - 1;
}

enum csl_code csl_sums_add(struct csl_sums *s, const float *scores, uint8_t label,
                           bool is_new_patient, struct csl_err *err)
{
    uint32_t heads = csl_sums__heads(s), decision = 0;
    for (uint32_t h = 0; h < heads; h++) {
        if (!(scores[h] >= 0 && scores[h] <= 1))
            return CSL_FAIL(err, CSL_E_INVAL, "a score from 0 to 1 would be right");
        decision = scores[h] > scores[decision] ? h : decision;
    }
    if (label >= s->classes)
        return CSL_FAIL(err, CSL_E_INVAL, "label %u; one below %u would be right", label,
                        s->classes);
    if (!is_new_patient && s->counts[CSL_SUMS__PATIENTS] == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "a record before its patient");
    if (heads == 1)
        decision = (double)scores[0] > 0.5;
    else if (s->bins > 0)
        csl_sums__confidence(s, decision == label)[bin_of(s, scores[decision])]++;
    for (uint32_t h = 0; h < heads && s->bins > 0; h++)
        csl_sums__histogram(s, h, heads == 1 ? label == 1 : label == h)[bin_of(s, scores[h])]++;
    csl_sums__confusion(s)[label * s->classes + decision]++;
    s->counts[CSL_SUMS__PATIENTS] += is_new_patient;
    s->counts[CSL_SUMS__SITES] = 1;
    return CSL_OK;
}

/* false: more than CSL_RECORDS_MAX */
static bool add_up(const uint64_t *counts, size_t n, uint64_t *sum)
{
    *sum = 0;
    for (size_t i = 0; i < n; i++)
        if (!csl_add_u64(*sum, counts[i], sum) || *sum > CSL_RECORDS_MAX)
            return false;
    return true;
}

static enum csl_code check_histograms(const struct csl_sums *s, const struct csl_sums__tally *t,
                                      struct csl_err *err)
{
    uint32_t heads = csl_sums__heads(s);
    uint64_t of_class, rest, hits = 0;
    for (uint32_t h = 0; h < heads; h++) {
        uint64_t labelled = t->labelled[heads == 1 ? 1 : h];
        if (!add_up(csl_sums__histogram(s, h, true), s->bins, &of_class) ||
            !add_up(csl_sums__histogram(s, h, false), s->bins, &rest) || of_class != labelled ||
            rest != t->n - labelled)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "histogram %u: it counts other records than the confusion counts", h);
    }
    for (uint32_t k = 0; k < s->classes; k++)
        hits += t->right[k];
    if (heads > 1 && (!add_up(csl_sums__confidence(s, true), s->bins, &of_class) ||
                      !add_up(csl_sums__confidence(s, false), s->bins, &rest) || of_class != hits ||
                      rest != t->n - hits))
        return CSL_FAIL(err, CSL_E_INVAL,
                        "confidence: it counts other records than the confusion counts");
    return CSL_OK;
}

enum csl_code csl_sums_check(const struct csl_sums *s, struct csl_err *err)
{
    uint32_t c = s->classes;
    uint64_t n;
    struct csl_sums__tally t;
    if (!add_up(csl_sums__confusion(s), (size_t)c * c, &n))
        return CSL_FAIL(err, CSL_E_INVAL, "confusion counts of more than %llu records",
                        (unsigned long long)CSL_RECORDS_MAX);
    csl_sums__tally_of(s, &t);
    enum csl_code code = s->bins > 0 ? check_histograms(s, &t, err) : CSL_OK;
    if (code != CSL_OK)
        return code;
    uint64_t sites = s->counts[CSL_SUMS__SITES], patients = s->counts[CSL_SUMS__PATIENTS];
    if (sites > patients || patients > n || sites > CSL_SITES_MAX || (n > 0 && sites == 0))
        return CSL_FAIL(err, CSL_E_INVAL, "%llu sites with %llu patients and %llu records",
                        (unsigned long long)sites, (unsigned long long)patients,
                        (unsigned long long)n);
    return CSL_OK;
}

enum csl_code csl_sums_join(struct csl_sums *into, const struct csl_sums *from, struct csl_err *err)
{
    if (into->classes != from->classes || into->bins != from->bins)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "counts of %u classes in %u bins; %u in %u would be right", from->classes,
                        from->bins, into->classes, into->bins);
    enum csl_code code = csl_sums_check(from, err);
    if (code != CSL_OK)
        return code;
    if (csl_sums_records(into) + csl_sums_records(from) > CSL_RECORDS_MAX ||
        csl_sums_sites(into) + csl_sums_sites(from) > CSL_SITES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "more records or sites than one evaluation counts");
    /* no entry of either is above the number of its records */
    for (size_t i = 0; i < csl_sums_count(into->classes, into->bins); i++)
        into->counts[i] += from->counts[i];
    return CSL_OK;
}

uint64_t csl_sums_patients(const struct csl_sums *s)
{
    return s->counts[CSL_SUMS__PATIENTS];
}

uint64_t csl_sums_records(const struct csl_sums *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < (size_t)s->classes * s->classes; i++)
        n += csl_sums__confusion(s)[i];
    return n;
}

const uint64_t *csl_sums_confusion(const struct csl_sums *s)
{
    return csl_sums__confusion(s);
}

uint32_t csl_sums_sites(const struct csl_sums *s)
{
    return (uint32_t)s->counts[CSL_SUMS__SITES];
}

void csl_sums__tally_of(const struct csl_sums *s, struct csl_sums__tally *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t label = 0; label < s->classes; label++)
        for (uint32_t decision = 0; decision < s->classes; decision++)
            csl_sums__tally_add(out, label, decision,
                                csl_sums__confusion(s)[label * s->classes + decision]);
}

uint64_t csl_sums__rebuild(const struct csl_sums *s, uint8_t group, struct csl_sums__record *out,
                           uint64_t at)
{
    for (uint32_t label = 0; label < s->classes; label++)
        for (uint32_t decision = 0; decision < s->classes; decision++)
            for (uint64_t i = csl_sums__confusion(s)[label * s->classes + decision]; i > 0; i--)
                out[at++] = (struct csl_sums__record){(uint8_t)label, (uint8_t)decision, group};
    return at;
}
