/* What was spent, reading entries, withdrawals. */
#include "privacy/ledger/ledger_internal.h"

#include "base/str.h"

#include <string.h>

uint64_t csl_ledger_size(const struct csl_ledger *l)
{
    return l->rules->count;
}

const uint8_t *csl_ledger_public_key(const struct csl_ledger *l)
{
    return l->rules->public_key;
}

const char *csl_ledger_trouble(const struct csl_ledger *l)
{
    return l->trouble[0] == '\0' ? NULL : l->trouble;
}

const struct csl_ledger_policy *csl_ledger_current_policy(const struct csl_ledger *l)
{
    return l->rules->has_policy ? &l->rules->policy : NULL;
}

enum csl_code csl_ledger_read(struct csl_ledger *l, uint64_t index, struct csl_ledger_entry *out,
                              struct csl_err *err)
{
    struct csl_span bytes;
    uint8_t signature[CSL_SIGN_SIGNATURE_BYTES];
    csl_ledger_store__seek(l->store, index);
    enum csl_code code = csl_ledger_store__next(l->store, &bytes, signature, err);
    if (code == CSL_E_END)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "there is no entry %llu", (unsigned long long)index);
    return code == CSL_OK ? csl_ledger_entry_decode(out, bytes, err) : code;
}

bool csl_ledger_find_charge(struct csl_ledger *l, const uint8_t study_digest[CSL_DIGEST_BYTES],
                            uint64_t round, struct csl_ledger_charge *out)
{
    struct csl_ledger_entry e;
    if (csl_ledger_store__find_charge(l->store, study_digest, round, &e, NULL) != CSL_OK)
        return false;
    bool is_it = (e.kind == CSL_LEDGER_CHARGE || e.kind == CSL_LEDGER_PUBLISH) &&
                 e.u.charge.round == round &&
                 memcmp(e.u.charge.study_digest, study_digest, CSL_DIGEST_BYTES) == 0;
    if (is_it)
        *out = e.u.charge;
    return is_it;
}

size_t csl_ledger_open_reservations(const struct csl_ledger *l,
                                    struct csl_ledger_open_reservation *out, size_t capacity)
{
    size_t n = 0;
    for (size_t i = 0; i < l->rules->study_count; i++) {
        const struct csl_rules_study *study = l->rules->studies[i];
        for (uint32_t k = 0; k < study->open_count; k++) {
            const struct csl_rules_reservation *r = &study->open[k];
            if (r->is_charged)
                continue;
            if (n < capacity) {
                out[n] = (struct csl_ledger_open_reservation){
                    .reservation = r->id, .round = r->round, .attempt = r->attempt};
                memcpy(out[n].study_digest, study->plan.digest, CSL_DIGEST_BYTES);
            }
            n++;
        }
    }
    return n;
}

enum csl_code csl_ledger_spent_by_study(const struct csl_ledger *l,
                                        const uint8_t study_digest[CSL_DIGEST_BYTES],
                                        struct csl_ledger_spent *out, struct csl_err *err)
{
    const struct csl_rules_study *study = csl_rules__find(l->rules, study_digest);
    if (study == NULL)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "the study is not registered");
    *out = (struct csl_ledger_spent){.epsilon = study->epsilon,
                                     .delta = study->epsilon > 0 ? study->plan.delta : 0,
                                     .studies = 1,
                                     .charges = study->charges,
                                     .steps_charged = study->steps_charged,
                                     .is_stopped = study->is_stopped};
    return CSL_OK;
}

void csl_ledger_spent_by_cohort(const struct csl_ledger *l, const char *cohort, uint64_t window_s,
                                struct csl_ledger_spent *out)
{
    struct csl_ledger_budget b = {.window_s = window_s};
    struct csl_ledger_spent none = {.epsilon = 0};
    if (csl_str_copy(b.cohort, sizeof(b.cohort), cohort))
        csl_rules__sum(l->rules, &b, csl_ledger__time(l), NULL, 0, out);
    else
        *out = none; /* too long a name for any study to have */
}

enum csl_code csl_ledger_withdraw(struct csl_ledger *l, const char *cohort,
                                  const uint8_t cohort_digest[CSL_DIGEST_BYTES],
                                  uint32_t cohort_band, struct csl_err *err)
{
    struct csl_ledger_entry e = {.kind = CSL_LEDGER_WITHDRAWAL,
                                 .u.withdrawal.cohort_band = cohort_band};
    enum csl_code code = csl_ledger__ready(l, err);
    if (code != CSL_OK)
        return code;
    if (!csl_id_valid(cohort))
        return CSL_FAIL(err, CSL_E_INVAL, "withdrawal: the cohort is no id");
    csl_str_copy(e.u.withdrawal.cohort, sizeof(e.u.withdrawal.cohort), cohort);
    memcpy(e.u.withdrawal.cohort_digest, cohort_digest, CSL_DIGEST_BYTES);
    return csl_ledger__append(l, &e, csl_ledger__time(l), err);
}
