/* Statistics of the study's domains and patient groups as words of a sum (protocol/study/
 * evaluation.h): what this site counts, its share of the noise, and the ledger's entries about it.
 *
 * All publications are one plan of their own in the ledger, under a digest that follows from the
 * study's. The whole of it is reserved when the study is accepted. A publication is charged once,
 * before anything of its words leaves; the words are drawn once, lie beside those of the update and
 * go where these go. Words that are made anew after the charge hold no statistics: other noise on
 * the same patients would be another release. */
#include "site-agent/agent_secagg.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/secagg/published_terms.h"
#include "protocol/study/evaluation.h"
#include "site-agent/training/judged.h"
#include "site-agent/training/statistics.h"

#include <string.h>

static bool is_noised(const struct csl_agent *a)
{
    return a->study != NULL && a->statistics.is_noised;
}

/* --- the plan --- */

enum csl_code csl_agent_open_statistics__(struct csl_agent *a, struct csl_err *err)
{
    struct csl_published_terms terms;
    csl_agent_close_statistics__(a);
    if (!a->study->statistics.is_on || a->study->privacy.mode == CSL_PRIVACY_NONE)
        return CSL_OK;
    csl_publication_terms(a->study, &terms);
    enum csl_code code = csl_published_plan(&a->statistics.noise, &terms, err);
    a->statistics.is_noised = code == CSL_OK;
    csl_study_statistics_digest(a->study, a->statistics.digest);
    return code;
}

void csl_agent_close_statistics__(struct csl_agent *a)
{
    csl_published_release(&a->statistics.noise);
    a->statistics.is_noised = a->statistics.is_due = false;
}

static double clip_of(const struct csl_agent *a) /* in patients */
{
    return a->statistics.noise.event.l2_units / CSL_PUBLICATION_ONE;
}

/* --- reservations --- */

#define ATTEMPTS_MAX 1000u /* of one publication */

struct reserved {
    uint64_t id;
    uint32_t attempt;
};

static bool is_charged(struct csl_agent *a, uint64_t publication)
{
    struct csl_ledger_charge c;
    return csl_ledger_find_charge(a->ledger, a->statistics.digest, publication, &c);
}

/* What waits for its charge; else anew, above attempts that were given back, as by a site that
 * declined the study and is offered it again. CSL_E_EXISTS: it was charged. */
static enum csl_code reserve(struct csl_agent *a, uint64_t publication, struct reserved *out,
                             struct csl_err *err)
{
    struct csl_ledger_request r = {.round = publication,
                                   .event_count = 1,
                                   .events = {a->statistics.noise.event},
                                   .clip = clip_of(a),
                                   .normaliser = 1};
    memcpy(r.study_digest, a->statistics.digest, sizeof(r.study_digest));
    csl_str_copy(r.cohort, sizeof(r.cohort), a->policy.cohort);
    if (is_charged(a, publication))
        return CSL_FAIL(err, CSL_E_EXISTS, "publication %llu was charged before",
                        (unsigned long long)publication);
    enum csl_code code;
    do {
        code = csl_ledger_reserve(a->ledger, &r, &out->id, err);
    } while (code == CSL_E_EXISTS && ++r.attempt < ATTEMPTS_MAX);
    out->attempt = r.attempt;
    if (code != CSL_E_EXISTS)
        return code;
    return CSL_FAIL(err, CSL_E_BUDGET, "publication %llu was reserved and given back %u times",
                    (unsigned long long)publication, ATTEMPTS_MAX);
}

static enum csl_code register_plan(struct csl_agent *a, struct csl_err *err)
{
    struct csl_ledger_study s = {.event_count = 1,
                                 .events = {a->statistics.noise.event},
                                 .rounds = csl_study_publications(a->study),
                                 .delta = a->study->statistics.delta,
                                 .clip = clip_of(a),
                                 .normaliser = 1,
                                 .is_rehearsal = a->config.noise_seed != NULL};
    memcpy(s.digest, a->statistics.digest, sizeof(s.digest));
    memcpy(s.cohort_digest, a->cohort_digest, sizeof(s.cohort_digest));
    csl_str_copy(s.cohort, sizeof(s.cohort), a->policy.cohort);
    return csl_ledger_register(a->ledger, &s, err);
}

enum csl_code csl_agent_register_statistics__(struct csl_agent *a, struct csl_err *err)
{
    uint64_t made[CSL_STATISTICS_PUBLICATIONS_MAX];
    uint32_t count = 0;
    if (!is_noised(a))
        return CSL_OK;
    enum csl_code code = register_plan(a, err);
    if (code != CSL_OK || csl_ledger_trouble(a->ledger) != NULL)
        return code; /* in trouble: nothing is reserved, and nothing will be counted */
    for (uint32_t k = 1; code == CSL_OK && k <= csl_study_publications(a->study); k++) {
        uint64_t size = csl_ledger_size(a->ledger);
        struct reserved r;
        code = reserve(a, k, &r, err);
        if (code == CSL_OK && r.id >= size) /* else it was there */
            made[count++] = r.id;
        else if (code == CSL_E_EXISTS || code == CSL_E_DENIED) /* over, or the plan was stopped */
            code = CSL_OK;
    }
    struct csl_err why;
    enum csl_code undone = CSL_OK;
    for (uint32_t i = 0; code == CSL_E_BUDGET && undone == CSL_OK && i < count; i++)
        undone = csl_ledger_settle(a->ledger, made[i], false, &why);
    if (code == CSL_E_BUDGET) /* may be told: it depends on policy and public numbers only */
        return CSL_FAIL(err, undone == CSL_OK ? CSL_E_DENIED : undone,
                        "this site's privacy budget does not allow the study's statistics");
    return code;
}

void csl_agent_prepare_statistics__(struct csl_agent *a, const struct csl_msg_task *task)
{
    uint64_t publication = csl_study_published_in(a->study, task->round);
    struct reserved r;
    struct csl_err err;
    a->statistics.is_due = publication > 0;
    if (publication == 0 || !is_noised(a))
        return;
    enum csl_code code = reserve(a, publication, &r, &err);
    a->statistics.is_due = code == CSL_OK;
    if (code == CSL_E_IO || code == CSL_E_NOMEM)
        csl_agent_fail__(a, &err); /* the ledger must be opened again: a restart does that */
    else if (code != CSL_OK)
        csl_log_err(CSL_LOG_WARN, "statistics.left_out", &err);
}

/* For good, as far as this ledger is concerned. */
static bool is_refused(enum csl_code code)
{
    return code == CSL_E_DENIED || code == CSL_E_EXISTS || code == CSL_E_BUDGET;
}

/* Which publication the outbox holds; 0: none. */
static uint64_t publication_in(const struct csl_agent *a, const struct csl_outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->block_count; i++)
        if (csl_study_is_statistic(a->study, outbox->blocks[i].block))
            return csl_study_published_in(a->study, outbox->round);
    return 0;
}

bool csl_agent_are_statistics_charged__(struct csl_agent *a, const struct csl_outbox *outbox)
{
    uint64_t publication = is_noised(a) ? publication_in(a, outbox) : 0;
    return publication == 0 || is_charged(a, publication);
}

bool csl_agent_repeats_statistics__(struct csl_agent *a, const struct csl_outbox *fresh)
{
    uint64_t publication = is_noised(a) ? publication_in(a, fresh) : 0;
    return publication > 0 && is_charged(a, publication);
}

enum csl_code csl_agent_charge_statistics__(struct csl_agent *a, const struct csl_outbox *outbox,
                                            struct csl_err *err)
{
    struct reserved r;
    if (csl_agent_are_statistics_charged__(a, outbox))
        return CSL_OK;
    struct csl_ledger_charge c = {.round = publication_in(a, outbox),
                                  .event_count = 1,
                                  .events = {a->statistics.noise.event},
                                  .clip = clip_of(a),
                                  .normaliser = 1,
                                  .cohort_band =
                                      csl_ledger_band(csl_dataset_patients_at_most(a->data)),
                                  .software = "consilium-site/0.1.0",
                                  .is_rehearsal = a->config.noise_seed != NULL};
    memcpy(c.study_digest, a->statistics.digest, sizeof(c.study_digest));
    memcpy(c.cohort_digest, a->cohort_digest, sizeof(c.cohort_digest));
    memcpy(c.update_digest, outbox->digest, sizeof(c.update_digest));
    enum csl_code code = reserve(a, c.round, &r, err); /* the one that waits */
    if (code != CSL_OK)
        return code;
    c.attempt = r.attempt;
    return csl_ledger_charge(a->ledger, r.id, &c, err);
}

bool csl_agent_has_unpaid_statistics__(struct csl_agent *a, const struct csl_outbox *outbox)
{
    struct reserved r;
    return !csl_agent_are_statistics_charged__(a, outbox) &&
           is_refused(reserve(a, publication_in(a, outbox), &r, NULL));
}

bool csl_agent_is_of_statistics__(const struct csl_agent *a,
                                  const struct csl_ledger_open_reservation *r)
{
    return is_noised(a) && memcmp(r->study_digest, a->statistics.digest, CSL_DIGEST_BYTES) == 0;
}

bool csl_agent_awaits_statistics__(const struct csl_agent *a, uint64_t publication, uint64_t round)
{
    uint64_t due = csl_study_publication_round(a->study, publication);
    return round <= due || csl_agent_secagg_words_round__(a) == due;
}

/* --- counting --- */

bool csl_agent_publishes__(const struct csl_agent *a, uint32_t domain)
{
    return csl_agent_shares__(a, domain) && a->data->domains[domain][CSL_SPLIT_TRAIN].patients > 0;
}

/* Secret, but for a simulation that wants to be repeated. One draw for every publication that is
 * charged: a round that is trained again before that sent nothing. */
static void add_noise(struct csl_agent *a, uint64_t round, uint32_t domain, uint64_t *words,
                      size_t count)
{
    struct csl_rng rng;
    if (a->config.noise_seed == NULL)
        csl_rng_init_os(&rng);
    else
        csl_rng_init_named(&rng, *a->config.noise_seed, "rehearsal/statistics", a->site_id,
                           round << 16 | domain);
    csl_published_add(&a->statistics.noise, &rng, words, count);
    csl_rng_wipe(&rng);
}

enum csl_code csl_agent_count_statistics__(struct csl_agent *a, const struct csl_msg_task *task,
                                           uint32_t domain, const float *global, uint64_t *words,
                                           struct csl_err *err)
{
    const struct csl_examples here = csl_agent_examples_to_count__(a, domain), *e = &here;
    double prior = domain < task->prior_count ? task->prior_loss[domain] : 0;
    bool has_skill = prior > 0 && csl_domain_is_counted(&a->study->domains[domain]);
    double *losses = csl_alloc_array(e->patients, sizeof(*losses));
    enum csl_code code = CSL_OK;
    if (losses == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to count %u patients", e->patients);
    if (code == CSL_OK && has_skill)
        code = csl_trainer_patient_losses(a->trainer, domain, e, global, losses, err);
    if (code == CSL_OK)
        code =
            csl_statistics_count(a->study, domain, e, has_skill ? losses : NULL, prior, words, err);
    if (code == CSL_OK && is_noised(a))
        add_noise(a, task->round, domain, words,
                  (size_t)csl_study_statistics_words(a->study, domain));
    csl_free(losses);
    return code;
}
