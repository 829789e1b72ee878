#include "simulations/few_shot.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"

#include <string.h>

#include "base/banned.h"

/* A permutation of the site's patients of one domain; the same for every number. */
static void shuffle(const struct csl_dataset *site, uint32_t domain, uint64_t seed,
                    uint32_t *patients, uint32_t count)
{
    struct csl_rng rng;
    for (uint32_t i = 0; i < count; i++)
        patients[i] = i;
    csl_rng_init_named(&rng, seed, "simulation/few-shot", site->site, domain);
    csl_rng_shuffle_u32(&rng, patients, count);
    csl_rng_wipe(&rng);
}

/* place: [patients] where a patient goes, UINT32_MAX: not drawn. Patients keep their order. */
static uint32_t choose(const struct csl_examples *from, uint32_t per_class,
                       const uint32_t *patients, uint32_t *place)
{
    uint32_t taken[CSL_CLASSES_MAX] = {0}, count = 0;
    for (uint32_t r = from->records; r > 0; r--)
        place[from->patient[r - 1]] = r - 1; /* its first record */
    for (uint32_t i = 0; i < from->patients; i++) {
        uint32_t *at = &place[patients[i]];
        *at = taken[from->label[*at]]++ < per_class ? 0 : UINT32_MAX;
    }
    for (uint32_t i = 0; i < from->patients; i++)
        if (place[i] != UINT32_MAX)
            place[i] = count++;
    return count;
}

static enum csl_code copy_records(struct csl_examples *to, const struct csl_examples *from,
                                  const uint32_t *place, struct csl_err *err)
{
    uint32_t records = 0;
    for (uint32_t r = 0; r < from->records; r++)
        records += place[from->patient[r]] != UINT32_MAX;
    to->x = csl_alloc_array((size_t)records * from->width, sizeof(*to->x));
    to->patient = csl_alloc_array(records, sizeof(*to->patient));
    to->label = csl_alloc_array(records, sizeof(*to->label));
    to->time = from->time != NULL ? csl_alloc_array(records, sizeof(*to->time)) : NULL;
    if (to->x == NULL || to->patient == NULL || to->label == NULL ||
        (from->time != NULL && to->time == NULL))
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u records", records);
    for (uint32_t r = 0; r < from->records; r++) {
        uint32_t patient = place[from->patient[r]], at = to->records;
        if (patient == UINT32_MAX)
            continue;
        memcpy(to->x + (size_t)at * from->width, from->x + (size_t)r * from->width,
               from->width * sizeof(*to->x));
        to->patient[at] = patient;
        to->label[at] = from->label[r];
        if (to->time != NULL)
            to->time[at] = from->time[r];
        to->records++;
    }
    return CSL_OK;
}

static enum csl_code draw_domain(struct csl_dataset *to, const struct csl_dataset *site,
                                 uint32_t domain, uint32_t per_class, uint64_t seed,
                                 struct csl_err *err)
{
    const struct csl_examples *from = &site->domains[domain][CSL_SPLIT_TRAIN];
    struct csl_examples *e = &to->domains[domain][CSL_SPLIT_TRAIN];
    enum csl_code code = CSL_OK;
    e->width = from->width;
    if (from->records == 0)
        return CSL_OK;
    uint32_t *patients = csl_alloc_array(from->patients, sizeof(*patients));
    uint32_t *place = csl_alloc_array(from->patients, sizeof(*place));
    if (patients == NULL || place == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to draw from %u patients", from->patients);
    if (code == CSL_OK) {
        shuffle(site, domain, seed, patients, from->patients);
        e->patients = choose(from, per_class, patients, place);
        code = copy_records(e, from, place, err);
    }
    csl_free(patients);
    csl_free(place);
    return code;
}

enum csl_code csl_few_draw(struct csl_dataset **out, const struct csl_dataset *site,
                           uint32_t per_class, uint64_t seed, uint32_t *used, struct csl_err *err)
{
    CSL_ASSERT(per_class > 0);
    if (site->multimodal != NULL)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "a few patients are drawn domain by domain, and those of a study with "
                        "inputs belong to several");
    for (uint32_t k = 0; k < site->domain_count; k++)
        if (site->domains[k][CSL_SPLIT_TRAIN].answer_count > 0)
            return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                            "so many patients of each class are drawn, and those of several "
                            "labels have no class");
    struct csl_dataset *d = csl_alloc(sizeof(*d));
    if (d == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a data set");
    CSL_ASSERT(csl_str_copy(d->site, sizeof(d->site), site->site));
    d->study = site->study;
    d->domain_count = site->domain_count;
    d->domains = csl_alloc_array(d->domain_count, sizeof(*d->domains));
    enum csl_code code = d->domains != NULL ? CSL_OK
                                            : CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u domains",
                                                       d->domain_count);
    for (uint32_t k = 0; k < d->domain_count && code == CSL_OK; k++)
        code = draw_domain(d, site, k, per_class, seed, err);
    if (code != CSL_OK) {
        csl_dataset_free(d);
        return code;
    }
    for (uint32_t k = 0; k < d->domain_count; k++)
        used[k] = d->domains[k][CSL_SPLIT_TRAIN].patients;
    *out = d;
    return CSL_OK;
}
