#include "site-agent/training/batch.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum csl_code check_examples(const struct csl_examples *e, const char *domain,
                                    uint32_t classes, struct csl_err *err)
{
    if (e->records == 0 || e->patients == 0 || e->patients > e->records)
        return CSL_FAIL(err, CSL_E_INVAL, "domain %s: %u records of %u patients", domain,
                        e->records, e->patients);
    if (classes == 0 && e->time == NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "domain %s: survival records without times", domain);
    uint32_t label_end = classes == 0 ? 2 : classes;
    for (uint32_t r = 0; r < e->records; r++) {
        uint32_t before = r == 0 ? 0 : e->patient[r - 1];
        if (e->patient[r] != before && (r == 0 || e->patient[r] != before + 1))
            return CSL_FAIL(err, CSL_E_INVAL,
                            "domain %s: record %u is of patient %u, after patient %u", domain, r,
                            e->patient[r], before);
        for (size_t i = (size_t)r * e->answer_count; i < (r + (size_t)1) * e->answer_count; i++)
            if (e->answer[i] > 1 || e->answer_known[i] > 1)
                return CSL_FAIL(err, CSL_E_INVAL,
                                "domain %s: an answer of record %u is neither 0 nor 1", domain, r);
        if (e->label[r] >= label_end)
            return CSL_FAIL(err, CSL_E_INVAL, "domain %s: the label of record %u is not below %u",
                            domain, r, label_end);
        if (classes == 0 && !isfinite(e->time[r]))
            return CSL_FAIL(err, CSL_E_INVAL, "domain %s: the time of record %u is not finite",
                            domain, r);
    }
    if (e->patient[e->records - 1] != e->patients - 1)
        return CSL_FAIL(err, CSL_E_INVAL, "domain %s: the last record is of patient %u of %u",
                        domain, e->patient[e->records - 1], e->patients);
    return CSL_OK;
}

static enum csl_code alloc_arrays(struct csl_batches *b, struct csl_err *err)
{
    const struct csl_examples *e = b->examples;
    b->first = csl_alloc_array((size_t)e->patients + 1, sizeof(*b->first));
    b->permutation = csl_alloc_array(e->patients, sizeof(*b->permutation));
    if (b->has_repeats) {
        b->rows = csl_alloc_array(e->records, sizeof(*b->rows));
        b->weights = csl_alloc_array(e->records, sizeof(*b->weights));
    }
    if (b->first == NULL || b->permutation == NULL ||
        (b->has_repeats && (b->rows == NULL || b->weights == NULL)))
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the batch order of %u records",
                        e->records);
    return CSL_OK;
}

enum csl_code csl_batches_init(struct csl_batches *b, const struct csl_examples *e,
                               const char *purpose, const char *domain, uint32_t classes,
                               const char *site, uint64_t seed, uint32_t batch_patients,
                               struct csl_err *err)
{
    *b = (struct csl_batches){.examples = e, .seed = seed, .epoch = UINT64_MAX};
    enum csl_code code = check_examples(e, domain, classes, err);
    if (code != CSL_OK)
        return code;
    b->has_repeats = e->records > e->patients;
    code = alloc_arrays(b, err);
    if (code != CSL_OK) {
        csl_batches_release(b);
        return code;
    }
    snprintf(b->label, sizeof(b->label), "training/%s/%s", purpose, domain);
    snprintf(b->site, sizeof(b->site), "%s", site);
    b->is_full = batch_patients == 0 || batch_patients >= e->patients;
    b->patients = b->is_full ? e->patients : batch_patients;
    b->per_epoch = ((uint64_t)e->patients + b->patients - 1) / b->patients;
    for (uint32_t r = e->records; r-- > 0;)
        b->first[e->patient[r]] = r;
    b->first[e->patients] = e->records;
    uint32_t most = 0;
    for (uint32_t p = 0; p < e->patients; p++) {
        b->permutation[p] = p;
        most = csl_batches_records(b, p) > most ? csl_batches_records(b, p) : most;
    }
    b->rows_max = (uint64_t)most * b->patients;
    if (b->rows_max > e->records)
        b->rows_max = e->records;
    for (uint32_t r = 0; b->has_repeats && r < e->records; r++)
        b->weights[r] = 1.0f / (float)csl_batches_records(b, e->patient[r]);
    return CSL_OK;
}

enum csl_code csl_batches_weigh(struct csl_batches *b, const float *patient_weight,
                                struct csl_err *err)
{
    const struct csl_examples *e = b->examples;
    if (b->weights == NULL) {
        b->weights = csl_alloc_array(e->records, sizeof(*b->weights));
        if (b->weights == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the weights of %u records",
                            e->records);
        for (uint32_t r = 0; r < e->records; r++)
            b->weights[r] = 1;
    }
    for (uint32_t r = 0; r < e->records; r++)
        b->weights[r] *= patient_weight[e->patient[r]];
    return CSL_OK;
}

void csl_batches_release(struct csl_batches *b)
{
    csl_free(b->first);
    csl_free(b->permutation);
    csl_free(b->rows);
    csl_free(b->weights);
    *b = (struct csl_batches){0};
}

static void permute(struct csl_batches *b, uint64_t epoch)
{
    if (b->is_full || b->epoch == epoch)
        return;
    struct csl_rng rng;
    csl_rng_init_named(&rng, b->seed, b->label, b->site, epoch);
    for (uint32_t p = 0; p < b->examples->patients; p++)
        b->permutation[p] = p;
    csl_rng_shuffle_u32(&rng, b->permutation, b->examples->patients);
    csl_rng_wipe(&rng);
    b->epoch = epoch;
}

struct csl_batch csl_batches_at(struct csl_batches *b, uint64_t position)
{
    permute(b, position / b->per_epoch);
    uint64_t from = position % b->per_epoch * b->patients;
    uint64_t left = b->examples->patients - from;
    struct csl_batch out = {.patients = left < b->patients ? (uint32_t)left : b->patients};
    if (!b->has_repeats) { /* patient p is record p */
        out.rows = b->permutation + from;
        out.count = out.patients;
        return out;
    }
    for (uint32_t i = 0; i < out.patients; i++) {
        uint32_t p = b->permutation[from + i];
        for (uint32_t r = b->first[p]; r < b->first[p + 1]; r++)
            b->rows[out.count++] = r;
    }
    CSL_ASSERT(out.count <= b->rows_max);
    out.rows = b->rows;
    return out;
}

static int by_falling_time(const void *left, const void *right)
{
    const struct csl_time_key *a = left, *b = right;
    if (a->time > b->time || a->time < b->time)
        return a->time > b->time ? -1 : 1;
    return a->position < b->position ? -1 : a->position > b->position;
}

void csl_risk_order(const float *time, const uint32_t *rows, uint64_t count,
                    struct csl_time_key *scratch, uint32_t *order, uint32_t *tie_end)
{
    for (uint64_t i = 0; i < count; i++)
        scratch[i] = (struct csl_time_key){time[rows != NULL ? rows[i] : i], (uint32_t)i};
    qsort(scratch, (size_t)count, sizeof(*scratch), by_falling_time);
    uint32_t end = (uint32_t)count;
    for (uint64_t i = count; i-- > 0;) {
        if (i + 1 < count && scratch[i].time > scratch[i + 1].time)
            end = (uint32_t)i + 1;
        order[i] = scratch[i].position;
        tie_end[i] = end;
    }
}
