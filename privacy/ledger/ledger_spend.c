/* Policy, plans, and the order reserve, charge, settle. */
#include "privacy/ledger/ledger_internal.h"

#include <string.h>

#define N CSL_LEDGER_EVENTS_MAX

static bool is_same_bytes(const struct csl_ledger_entry *a, const struct csl_ledger_entry *b)
{
    uint8_t left[CSL_LEDGER_ENTRY_MAX], right[CSL_LEDGER_ENTRY_MAX];
    size_t n = csl_ledger_entry_encode(a, left);
    return n == csl_ledger_entry_encode(b, right) && memcmp(left, right, n) == 0;
}

enum csl_code csl_ledger_set_policy(struct csl_ledger *l, const struct csl_ledger_policy *p,
                                    struct csl_err *err)
{
    const char *fault = csl_rules__policy_fault(p);
    if (fault != NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "policy: %s", fault);
    struct csl_ledger_entry now = {.kind = CSL_LEDGER_POLICY, .u.policy = *p};
    struct csl_ledger_entry old = {.kind = CSL_LEDGER_POLICY, .u.policy = l->rules->policy};
    if (l->rules->has_policy && is_same_bytes(&now, &old))
        return CSL_OK;
    enum csl_code code = csl_ledger__ready(l, err);
    return code != CSL_OK ? code : csl_ledger__append(l, &now, csl_ledger__time(l), err);
}

enum csl_code csl_ledger_register(struct csl_ledger *l, const struct csl_ledger_study *s,
                                  struct csl_err *err)
{
    struct csl_err why = {.msg = ""};
    const char *fault = csl_rules__plan_fault(s, &why);
    if (fault != NULL)
        return CSL_FAIL(err, CSL_E_INVAL, "plan: %s%s%s", fault, why.msg[0] != '\0' ? ": " : "",
                        why.msg);
    struct csl_ledger_entry now = {.kind = CSL_LEDGER_APPROVE, .u.approve = *s};
    const struct csl_rules_study *known = csl_rules__find(l->rules, s->digest);
    if (known != NULL) {
        struct csl_ledger_entry old = {.kind = CSL_LEDGER_APPROVE, .u.approve = known->plan};
        if (known->is_stopped || is_same_bytes(&now, &old))
            return CSL_OK;
        return csl_ledger__other_plan(&known->plan, s, err);
    }
    enum csl_code code = csl_ledger__ready(l, err);
    return code != CSL_OK ? code : csl_ledger__append(l, &now, csl_ledger__time(l), err);
}

enum csl_code csl_ledger_stop(struct csl_ledger *l, const uint8_t study_digest[CSL_DIGEST_BYTES],
                              enum csl_ledger_stop_reason reason, struct csl_err *err)
{
    const struct csl_rules_study *study = csl_rules__find(l->rules, study_digest);
    if (study == NULL)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "the study is not registered");
    if (study->is_stopped)
        return CSL_OK;
    if (reason < CSL_LEDGER_STOP_REQUEST || reason > CSL_LEDGER_STOP_OPERATOR)
        return CSL_FAIL(err, CSL_E_INVAL, "stop: unknown reason %d", (int)reason);
    enum csl_code code = csl_ledger__ready(l, err);
    if (code != CSL_OK)
        return code;
    struct csl_ledger_entry e = {.kind = CSL_LEDGER_STOP, .u.stop.reason = reason};
    memcpy(e.u.stop.study_digest, study_digest, CSL_DIGEST_BYTES);
    return csl_ledger__append(l, &e, csl_ledger__time(l), err);
}

/* The study differs from what was approved: that is its end. CSL_E_DENIED with the reason. */
static enum csl_code stop_for(struct csl_ledger *l, const struct csl_rules_study *study,
                              enum csl_ledger_stop_reason reason, const char *fault,
                              struct csl_err *err)
{
    enum csl_code code = csl_ledger_stop(l, study->plan.digest, reason, err);
    if (code != CSL_OK)
        return code;
    return CSL_FAIL(err, CSL_E_DENIED, "the study is stopped: %s", fault);
}

/* The study, when it may still spend. */
static enum csl_code find_active(const struct csl_ledger *l, const uint8_t digest[CSL_DIGEST_BYTES],
                                 struct csl_rules_study **out, struct csl_err *err)
{
    enum csl_code code = csl_ledger__ready(l, err);
    if (code != CSL_OK)
        return code;
    *out = csl_rules__find(l->rules, digest);
    if (*out == NULL)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "the study is not registered");
    if ((*out)->is_stopped)
        return CSL_FAIL(err, CSL_E_DENIED, "the study was stopped");
    return CSL_OK;
}

static enum csl_code over_budget(const struct csl_ledger *l, uint64_t budget, double epsilon,
                                 struct csl_err *err)
{
    if (budget == CSL_LEDGER_NONE)
        return CSL_FAIL(err, CSL_E_BUDGET, "no budget of the policy covers this cohort");
    const struct csl_ledger_budget *b = &l->rules->policy.budgets[budget];
    return CSL_FAIL(err, CSL_E_BUDGET,
                    "budget %llu (cohort %s%s%s: epsilon %.6g, delta %.3g) would be exceeded by a "
                    "study with epsilon %.6g",
                    (unsigned long long)budget, b->cohort, b->group[0] != '\0' ? ", " : "",
                    b->group, b->epsilon, b->delta, epsilon * (1 + 1e-5)); /* printed: up */
}

/* Prices `steps` more of the study into *e and asks the budgets. CSL_E_BUDGET: *e has the budget.
 */
static enum csl_code ask_budgets(const struct csl_ledger *l, const struct csl_rules_study *study,
                                 const uint64_t steps[N], uint64_t time_s,
                                 struct csl_ledger_entry *e, struct csl_err *err)
{
    double epsilon = 0;
    enum csl_code code = csl_rules__price(l->rules, study, steps, false, &epsilon, err);
    if (code != CSL_OK)
        return code;
    e->epsilon_before = study->epsilon;
    e->epsilon_after = epsilon;
    memcpy(e->policy_digest, l->rules->policy.digest, sizeof(e->policy_digest));
    if (csl_rules__fits(l->rules, study, epsilon, time_s, &e->budget))
        return CSL_OK;
    return over_budget(l, e->budget, epsilon, err);
}

/* Once in the log for each round and attempt, however often it is asked. */
static enum csl_code note_refusal(struct csl_ledger *l, const struct csl_rules_study *study,
                                  struct csl_ledger_entry *e, uint64_t time_s, struct csl_err *err)
{
    bool is_noted =
        csl_rules__is_refused(l->rules, study, e->u.request.round, e->u.request.attempt);
    if (is_noted || !l->rules->has_policy)
        return CSL_E_BUDGET;
    e->kind = CSL_LEDGER_REFUSE;
    struct csl_err why = {.code = CSL_OK};
    enum csl_code code = csl_ledger__append(l, e, time_s, &why);
    return code != CSL_OK ? CSL_FAIL(err, code, "%s", why.msg) : CSL_E_BUDGET;
}

/* Is the attempt waiting for its charge already? Then that is the answer. */
static bool is_waiting(const struct csl_rules_study *study, const struct csl_ledger_request *r,
                       const uint64_t steps[N], uint64_t *reservation)
{
    for (uint32_t i = 0; i < study->open_count; i++) {
        const struct csl_rules_reservation *o = &study->open[i];
        if (!o->is_charged && o->round == r->round && o->attempt == r->attempt &&
            memcmp(o->unspent, steps, sizeof(o->unspent)) == 0) {
            *reservation = o->id;
            return true;
        }
    }
    return false;
}

static enum csl_code check_attempt(const struct csl_ledger *l, const struct csl_rules_study *study,
                                   uint64_t round, uint32_t attempt, struct csl_err *err)
{
    uint64_t next = csl_rules__next_attempt(l->rules, study, round);
    if (attempt >= next)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_EXISTS,
                    "round %llu attempt %u was reserved before; attempt %llu or above would be "
                    "right, and is charged again",
                    (unsigned long long)round, attempt, (unsigned long long)next);
}

enum csl_code csl_ledger_reserve(struct csl_ledger *l, const struct csl_ledger_request *r,
                                 uint64_t *reservation, struct csl_err *err)
{
    struct csl_rules_study *study = NULL;
    enum csl_code code = find_active(l, r->study_digest, &study, err);
    if (code != CSL_OK)
        return code;
    const char *fault = csl_rules__request_fault(&study->plan, r);
    if (fault != NULL)
        return stop_for(l, study, CSL_LEDGER_STOP_REQUEST, fault, err);
    uint64_t steps[N];
    csl_rules__steps(r->event_count, r->events, steps);
    if (is_waiting(study, r, steps, reservation))
        return CSL_OK;
    code = check_attempt(l, study, r->round, r->attempt, err);
    if (code != CSL_OK)
        return code;
    if (csl_rules__exceeds_plan(study, steps))
        return CSL_FAIL(err, CSL_E_DENIED,
                        "as many attempts as the study has rounds (%llu) were counted",
                        (unsigned long long)study->plan.rounds);
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < study->open_count; i++)
        waiting += study->open[i].is_charged ? 0 : 1;
    if (waiting == CSL_RULES_OPEN_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "%u reservations of the study wait to be settled",
                        waiting);
    struct csl_ledger_entry e = {.kind = CSL_LEDGER_RESERVE, .u.request = *r};
    uint64_t time_s = csl_ledger__time(l);
    code = ask_budgets(l, study, steps, time_s, &e, err);
    if (code == CSL_E_BUDGET)
        return note_refusal(l, study, &e, time_s, err);
    if (code == CSL_OK)
        code = csl_ledger__append(l, &e, time_s, err);
    if (code == CSL_OK)
        *reservation = e.index;
    return code;
}

/* CSL_OK: the entry with this index is a reservation, *out. */
static enum csl_code read_reservation(struct csl_ledger *l, uint64_t reservation,
                                      struct csl_ledger_entry *out, struct csl_err *err)
{
    struct csl_ledger_entry e;
    if (reservation >= l->rules->count)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "there is no reservation %llu",
                        (unsigned long long)reservation);
    enum csl_code code = csl_ledger_read(l, reservation, &e, err);
    if (code != CSL_OK)
        return code;
    if (e.kind != CSL_LEDGER_RESERVE)
        return CSL_FAIL(err, CSL_E_NOTFOUND, "entry %llu is no reservation",
                        (unsigned long long)reservation);
    *out = e;
    return CSL_OK;
}

/* The reservation does not wait for a charge. The same charge once more is no mistake: the caller
 * may not have learned that it was made. */
static enum csl_code charged_already(struct csl_ledger *l, uint64_t reservation,
                                     const struct csl_ledger_charge *c, struct csl_err *err)
{
    struct csl_ledger_entry e, again;
    enum csl_code code = read_reservation(l, reservation, &e, err);
    if (code != CSL_OK)
        return code;
    code = csl_ledger_store__find_charge(l->store, e.u.request.study_digest, e.u.request.round, &e,
                                         err);
    if (code != CSL_OK && code != CSL_E_NOTFOUND)
        return code;
    again = e;
    again.u.charge = *c;
    if (code == CSL_OK && e.kind == CSL_LEDGER_CHARGE && e.reservation == reservation &&
        is_same_bytes(&e, &again))
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_STATE, "reservation %llu was charged or settled before",
                    (unsigned long long)reservation);
}

static enum csl_code check_charge_texts(const struct csl_ledger_charge *c, struct csl_err *err)
{
    if (!csl_rules__is_text(c->software))
        return CSL_FAIL(err, CSL_E_INVAL, "charge: the software digest is no text without blanks");
    if (c->event_count > CSL_LEDGER_EVENTS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "charge: %u events; at most %d", c->event_count,
                        CSL_LEDGER_EVENTS_MAX);
    return CSL_OK;
}

/* A charge that can be written down at all; the rest is for the rules. */
static bool is_writable(const struct csl_ledger_charge *c)
{
    for (uint32_t i = 0; i < c->event_count; i++)
        if (csl_dp_event_check(&c->events[i], NULL) != CSL_OK)
            return false;
    return c->clip > 0 && c->normaliser > 0;
}

enum csl_code csl_ledger_charge(struct csl_ledger *l, uint64_t reservation,
                                const struct csl_ledger_charge *c, struct csl_err *err)
{
    struct csl_rules_study *study = NULL;
    uint32_t at = 0;
    enum csl_code code = csl_ledger__ready(l, err);
    if (code == CSL_OK)
        code = check_charge_texts(c, err);
    if (code != CSL_OK)
        return code;
    bool is_open = csl_rules__find_open(l->rules, reservation, &study, &at);
    if (!is_open || study->open[at].is_charged)
        return is_writable(c) ? charged_already(l, reservation, c, err)
                              : CSL_FAIL(err, CSL_E_INVAL, "charge: an event is not possible");
    const struct csl_rules_reservation *open = &study->open[at];
    if (study->is_stopped)
        return CSL_FAIL(err, CSL_E_DENIED, "the study was stopped");
    if (memcmp(c->study_digest, study->plan.digest, CSL_DIGEST_BYTES) != 0 ||
        c->round != open->round || c->attempt != open->attempt)
        return CSL_FAIL(err, CSL_E_INVAL, "reservation %llu is of another study, round or attempt",
                        (unsigned long long)reservation);
    const char *fault = csl_rules__charge_fault(&study->plan, c, open->unspent);
    if (fault != NULL)
        return stop_for(l, study, CSL_LEDGER_STOP_CHARGE, fault, err);
    struct csl_ledger_entry e = {.kind = CSL_LEDGER_CHARGE,
                                 .reservation = reservation,
                                 .epsilon_before = study->epsilon,
                                 .epsilon_after = study->epsilon,
                                 .u.charge = *c};
    memcpy(e.policy_digest, l->rules->policy.digest, sizeof(e.policy_digest));
    return csl_ledger__append(l, &e, csl_ledger__time(l), err);
}

enum csl_code csl_ledger_settle(struct csl_ledger *l, uint64_t reservation, bool was_released,
                                struct csl_err *err)
{
    struct csl_rules_study *study = NULL;
    uint32_t at = 0;
    enum csl_code code = csl_ledger__ready(l, err);
    if (code != CSL_OK)
        return code;
    struct csl_ledger_entry e = {.kind = CSL_LEDGER_SETTLE, .reservation = reservation};
    if (!csl_rules__find_open(l->rules, reservation, &study, &at))
        return read_reservation(l, reservation, &e, err); /* nothing is left to settle */
    double epsilon = study->epsilon;
    if (!was_released)
        code = csl_rules__price(l->rules, study, study->open[at].unspent, true, &epsilon, err);
    if (code != CSL_OK)
        return code;
    e.u.settle.was_released = was_released;
    e.epsilon_before = study->epsilon;
    e.epsilon_after = epsilon;
    return csl_ledger__append(l, &e, csl_ledger__time(l), err);
}

enum csl_code csl_ledger_publish(struct csl_ledger *l, const struct csl_ledger_charge *c,
                                 struct csl_err *err)
{
    struct csl_rules_study *study = NULL;
    uint64_t steps[N], limit[N];
    enum csl_code code = find_active(l, c->study_digest, &study, err);
    if (code == CSL_OK)
        code = check_charge_texts(c, err);
    if (code != CSL_OK)
        return code;
    csl_rules__steps(study->plan.event_count, study->plan.events, limit);
    const char *fault = csl_rules__charge_fault(&study->plan, c, limit);
    if (fault != NULL)
        return stop_for(l, study, CSL_LEDGER_STOP_CHARGE, fault, err);
    code = check_attempt(l, study, c->round, c->attempt, err);
    if (code != CSL_OK)
        return code;
    csl_rules__steps(c->event_count, c->events, steps);
    uint64_t any = 0;
    for (size_t i = 0; i < N; i++)
        any |= steps[i];
    if (any == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "publish: no steps");
    struct csl_ledger_entry e = {.kind = CSL_LEDGER_PUBLISH};
    uint64_t time_s = csl_ledger__time(l);
    code = ask_budgets(l, study, steps, time_s, &e, err);
    if (code == CSL_E_BUDGET) { /* noted like the reservation that it stands for */
        struct csl_ledger_request *r = &e.u.request;
        *r = (struct csl_ledger_request){.round = c->round,
                                         .attempt = c->attempt,
                                         .event_count = c->event_count,
                                         .clip = c->clip,
                                         .normaliser = c->normaliser};
        memcpy(r->study_digest, c->study_digest, sizeof(r->study_digest));
        memcpy(r->cohort, study->plan.cohort, sizeof(r->cohort));
        memcpy(r->events, c->events, sizeof(r->events));
        return note_refusal(l, study, &e, time_s, err);
    }
    if (code != CSL_OK)
        return code;
    e.u.charge = *c;
    return csl_ledger__append(l, &e, time_s, err);
}
