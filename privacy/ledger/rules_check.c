#include "privacy/ledger/rules.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

#define PRICE_TOLERANCE 1e-9 /* relative: libm differs between machines in the last digits */

#define BROKEN(err, ...) CSL_FAIL(err, CSL_E_CORRUPT, __VA_ARGS__)

static bool is_positive(double v)
{
    return v > 0 && isfinite(v);
}

bool csl_rules__is_text(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x21 || *text > 0x7e)
            return false;
    return true;
}

static bool is_group(const char *text)
{
    return strchr(text, '=') != NULL && csl_rules__is_text(text);
}

const char *csl_rules__plan_fault(const struct csl_ledger_study *p, struct csl_err *err)
{
    if (!csl_id_valid(p->cohort))
        return "the cohort is no id";
    if (p->event_count == 0 || p->event_count > CSL_LEDGER_EVENTS_MAX)
        return "the number of events";
    for (uint32_t i = 0; i < p->event_count; i++)
        if (p->events[i].steps == 0 || csl_dp_event_check(&p->events[i], err) != CSL_OK)
            return "an event is not possible, or has no steps";
    if (p->rounds == 0 || p->rounds > CSL_ROUNDS_MAX)
        return "the number of rounds";
    if (!(p->delta > 0) || !(p->delta < 1))
        return "delta is not between 0 and 1";
    if (!is_positive(p->clip) || !is_positive(p->normaliser))
        return "clip or normaliser is not a positive number";
    return NULL;
}

const char *csl_rules__policy_fault(const struct csl_ledger_policy *p)
{
    if (p->composition != CSL_LEDGER_BASIC)
        return "the composition is unknown";
    if (p->budget_count > CSL_LEDGER_BUDGETS_MAX)
        return "too many budgets";
    for (uint32_t i = 0; i < p->budget_count; i++) {
        const struct csl_ledger_budget *b = &p->budgets[i];
        if (strcmp(b->cohort, "*") != 0 && !csl_id_valid(b->cohort))
            return "a budget's cohort is neither an id nor *";
        if (b->group[0] != '\0' && !is_group(b->group))
            return "a budget's group is not attribute=value";
        if (!(b->epsilon >= 0) || !isfinite(b->epsilon) || !(b->delta >= 0) || !(b->delta < 1))
            return "a budget's epsilon or delta is out of range";
    }
    return NULL;
}

/* All but the steps. */
static bool is_same_mechanism(const struct csl_dp_event *a, const struct csl_dp_event *b)
{
    return a->mechanism == b->mechanism && a->sampler == b->sampler &&
           a->noise_multiplier == b->noise_multiplier && a->sampling_rate == b->sampling_rate &&
           a->dimensions == b->dimensions && a->std_units == b->std_units &&
           a->l1_units == b->l1_units && a->l2_units == b->l2_units;
}

static const char *events_fault(const struct csl_ledger_study *plan, uint32_t count,
                                const struct csl_dp_event *events,
                                const uint64_t limit[CSL_LEDGER_EVENTS_MAX])
{
    if (count != plan->event_count)
        return "another number of events than planned";
    for (uint32_t i = 0; i < count; i++) {
        if (!is_same_mechanism(&events[i], &plan->events[i]))
            return "another mechanism, sampler, rate or noise than planned";
        if (events[i].steps > limit[i])
            return "more steps than allowed";
    }
    return NULL;
}

const char *csl_rules__request_fault(const struct csl_ledger_study *plan,
                                     const struct csl_ledger_request *r)
{
    uint64_t limit[CSL_LEDGER_EVENTS_MAX], any = 0;
    if (r->round == 0 || r->round > plan->rounds)
        return "a round that is not planned";
    if (strcmp(r->cohort, plan->cohort) != 0)
        return "another cohort than planned";
    if (r->clip != plan->clip || r->normaliser != plan->normaliser)
        return "another clip or normaliser than planned";
    csl_rules__steps(plan->event_count, plan->events, limit);
    const char *fault = events_fault(plan, r->event_count, r->events, limit);
    for (uint32_t i = 0; fault == NULL && i < r->event_count; i++)
        any |= r->events[i].steps;
    return fault != NULL ? fault : any == 0 ? "no steps" : NULL;
}

bool csl_rules__exceeds_plan(const struct csl_rules_study *study,
                             const uint64_t steps[CSL_LEDGER_EVENTS_MAX])
{
    for (uint32_t i = 0; i < study->plan.event_count; i++) {
        uint64_t sum, whole;
        if (__builtin_mul_overflow(study->plan.rounds, study->plan.events[i].steps, &whole))
            whole = UINT64_MAX;
        if (__builtin_add_overflow(study->counted[i], steps[i], &sum) || sum > whole)
            return true;
    }
    return false;
}

const char *csl_rules__charge_fault(const struct csl_ledger_study *plan,
                                    const struct csl_ledger_charge *c,
                                    const uint64_t limit[CSL_LEDGER_EVENTS_MAX])
{
    if (c->round == 0 || c->round > plan->rounds)
        return "a round that is not planned";
    if (c->clip != plan->clip || c->normaliser != plan->normaliser)
        return "another clip or normaliser than planned";
    if (memcmp(c->cohort_digest, plan->cohort_digest, sizeof(c->cohort_digest)) != 0)
        return "another cohort than planned";
    if (c->is_rehearsal != plan->is_rehearsal)
        return "a rehearsal that is none, or the reverse";
    return events_fault(plan, c->event_count, c->events, limit);
}

static enum csl_code check_price(const struct csl_rules *s, const struct csl_rules_study *study,
                                 const uint64_t steps[CSL_LEDGER_EVENTS_MAX], bool is_less,
                                 const struct csl_ledger_entry *e, struct csl_err *err)
{
    if (e->epsilon_before != study->epsilon)
        return BROKEN(err, "epsilon before is %.17g; %.17g would be right", e->epsilon_before,
                      study->epsilon);
    if (is_less ? !(e->epsilon_after <= e->epsilon_before && e->epsilon_after >= 0)
                : !(e->epsilon_after >= e->epsilon_before))
        return BROKEN(err, "epsilon goes from %.17g to %.17g", e->epsilon_before, e->epsilon_after);
    if (s->price == NULL)
        return CSL_OK;
    double price = 0;
    enum csl_code code = csl_rules__price(s, study, steps, is_less, &price, err);
    if (code != CSL_OK)
        return code == CSL_E_NOMEM ? code : BROKEN(err, "what ran has no price");
    if (e->epsilon_after != price &&
        !(fabs(e->epsilon_after - price) <= PRICE_TOLERANCE * fabs(price)))
        return BROKEN(err, "epsilon after is %.17g; %.17g would be right", e->epsilon_after, price);
    return CSL_OK;
}

/* What reserve, refuse and publish share. */
static enum csl_code check_reservable(struct csl_rules *s, const struct csl_rules_study *study,
                                      const struct csl_ledger_entry *e, uint64_t round,
                                      uint32_t attempt, const uint64_t steps[CSL_LEDGER_EVENTS_MAX],
                                      struct csl_err *err)
{
    if (study->is_stopped)
        return BROKEN(err, "the study was stopped");
    if (!s->has_policy || memcmp(e->policy_digest, s->policy.digest, sizeof(e->policy_digest)) != 0)
        return BROKEN(err, "not under the policy in force");
    if (attempt < csl_rules__next_attempt(s, study, round))
        return BROKEN(err, "round %llu attempt %u was reserved before", (unsigned long long)round,
                      attempt);
    return check_price(s, study, steps, false, e, err);
}

static enum csl_code check_request(struct csl_rules *s, const struct csl_ledger_entry *e,
                                   struct csl_err *err)
{
    const struct csl_ledger_request *r = &e->u.request;
    struct csl_rules_study *study = csl_rules__find(s, r->study_digest);
    uint64_t steps[CSL_LEDGER_EVENTS_MAX], budget = 0;
    if (study == NULL)
        return BROKEN(err, "the study was not approved before");
    const char *fault = csl_rules__request_fault(&study->plan, r);
    if (fault != NULL)
        return BROKEN(err, "%s", fault);
    csl_rules__steps(r->event_count, r->events, steps);
    enum csl_code code = check_reservable(s, study, e, r->round, r->attempt, steps, err);
    if (code != CSL_OK)
        return code;
    bool fits = csl_rules__fits(s, study, e->epsilon_after, e->time_s, &budget);
    if (e->kind == CSL_LEDGER_REFUSE)
        return !fits && budget == e->budget ? csl_rules__make_slot(s, err)
                                            : BROKEN(err, "refused for a budget that holds");
    if (!fits)
        return BROKEN(err, "budget %llu would be exceeded", (unsigned long long)budget);
    if (csl_rules__exceeds_plan(study, steps))
        return BROKEN(err, "more steps than all rounds of the plan have");
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < study->open_count; i++)
        waiting += study->open[i].is_charged ? 0 : 1;
    if (waiting == CSL_RULES_OPEN_MAX)
        return BROKEN(err, "too many open reservations");
    return csl_rules__make_slot(s, err);
}

static enum csl_code check_publish(struct csl_rules *s, const struct csl_ledger_entry *e,
                                   struct csl_err *err)
{
    const struct csl_ledger_charge *c = &e->u.charge;
    struct csl_rules_study *study = csl_rules__find(s, c->study_digest);
    uint64_t steps[CSL_LEDGER_EVENTS_MAX], limit[CSL_LEDGER_EVENTS_MAX], budget = 0;
    if (study == NULL)
        return BROKEN(err, "the study was not approved before");
    csl_rules__steps(study->plan.event_count, study->plan.events, limit);
    const char *fault = csl_rules__charge_fault(&study->plan, c, limit);
    if (fault != NULL)
        return BROKEN(err, "%s", fault);
    csl_rules__steps(c->event_count, c->events, steps);
    enum csl_code code = check_reservable(s, study, e, c->round, c->attempt, steps, err);
    if (code != CSL_OK)
        return code;
    if (!csl_rules__fits(s, study, e->epsilon_after, e->time_s, &budget))
        return BROKEN(err, "budget %llu would be exceeded", (unsigned long long)budget);
    return csl_rules__make_slot(s, err);
}

static enum csl_code check_charge(const struct csl_rules *s, const struct csl_ledger_entry *e,
                                  struct csl_err *err)
{
    const struct csl_ledger_charge *c = &e->u.charge;
    struct csl_rules_study *study = NULL;
    uint32_t at = 0;
    if (!csl_rules__find_open(s, e->reservation, &study, &at) || study->open[at].is_charged)
        return BROKEN(err, "reservation %llu is not open", (unsigned long long)e->reservation);
    const struct csl_rules_reservation *r = &study->open[at];
    if (memcmp(c->study_digest, study->plan.digest, CSL_DIGEST_BYTES) != 0 ||
        c->round != r->round || c->attempt != r->attempt)
        return BROKEN(err, "the reservation is of another study, round or attempt");
    if (study->is_stopped)
        return BROKEN(err, "the study was stopped");
    if (memcmp(e->policy_digest, s->policy.digest, sizeof(e->policy_digest)) != 0)
        return BROKEN(err, "not under the policy in force");
    const char *fault = csl_rules__charge_fault(&study->plan, c, r->unspent);
    if (fault != NULL)
        return BROKEN(err, "%s", fault);
    if (e->epsilon_before != study->epsilon || e->epsilon_after != study->epsilon)
        return BROKEN(err, "a charge of what was reserved changes no epsilon");
    return CSL_OK;
}

static enum csl_code check_settle(const struct csl_rules *s, const struct csl_ledger_entry *e,
                                  struct csl_err *err)
{
    struct csl_rules_study *study = NULL;
    uint32_t at = 0;
    if (!csl_rules__find_open(s, e->reservation, &study, &at))
        return BROKEN(err, "reservation %llu has nothing to settle",
                      (unsigned long long)e->reservation);
    if (!e->u.settle.was_released)
        return check_price(s, study, study->open[at].unspent, true, e, err);
    if (e->epsilon_before != study->epsilon || e->epsilon_after != study->epsilon)
        return BROKEN(err, "what was released gives nothing back");
    return CSL_OK;
}

static enum csl_code check_approve(struct csl_rules *s, const struct csl_ledger_study *plan,
                                   struct csl_err *err)
{
    const char *fault = csl_rules__plan_fault(plan, NULL);
    if (fault != NULL)
        return BROKEN(err, "plan: %s", fault);
    if (csl_rules__find(s, plan->digest) != NULL)
        return BROKEN(err, "the study was approved before");
    if (s->study_count == CSL_RULES_STUDIES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "more than %d studies", CSL_RULES_STUDIES_MAX);
    if (s->study_count == s->study_capacity) {
        size_t capacity = s->study_capacity == 0 ? 16 : s->study_capacity * 2;
        struct csl_rules_study **grown = csl_realloc_array(s->studies, capacity, sizeof(*grown));
        if (grown == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %zu studies", capacity);
        s->studies = grown;
        s->study_capacity = capacity;
    }
    if (s->spare == NULL)
        s->spare = csl_alloc(sizeof(*s->spare));
    return s->spare != NULL ? CSL_OK : CSL_FAIL(err, CSL_E_NOMEM, "no memory for a study");
}

static enum csl_code check_countersign(const struct csl_rules *s, const struct csl_ledger_entry *e,
                                       struct csl_err *err)
{
    struct csl_checkpoint head = {.size = e->u.countersign.size};
    memcpy(head.origin, s->origin, sizeof(head.origin));
    memcpy(head.root, e->u.countersign.root, sizeof(head.root));
    uint8_t root[CSL_SHA256_BYTES];
    if (!csl_id_valid(e->u.countersign.peer))
        return BROKEN(err, "the countersigner's name is no id");
    if (!csl_merkle_recent_root(&s->tree, head.size, root))
        return BROKEN(err, "a countersignature of a head that lies ahead or more than %d back",
                      CSL_MERKLE_RECENT);
    if (memcmp(root, head.root, sizeof(root)) != 0)
        return BROKEN(err, "a countersignature of another log");
    if (!csl_checkpoint_verify_countersignature(&head, e->u.countersign.public_key,
                                                e->u.countersign.signature))
        return BROKEN(err, "the countersignature does not verify");
    return CSL_OK;
}

static enum csl_code check_rare(const struct csl_rules *s, const struct csl_ledger_entry *e,
                                struct csl_err *err)
{
    const char *fault;
    const struct csl_rules_study *study;
    switch ((int)e->kind) {
    case CSL_LEDGER_OPEN:
        return e->index == 0 && csl_id_valid(e->u.open.site)
                   ? CSL_OK
                   : BROKEN(err, "opened twice, or by what is no site's id");
    case CSL_LEDGER_POLICY:
        fault = csl_rules__policy_fault(&e->u.policy);
        return fault == NULL ? CSL_OK : BROKEN(err, "policy: %s", fault);
    case CSL_LEDGER_STOP:
        study = csl_rules__find(s, e->u.stop.study_digest);
        return study != NULL && !study->is_stopped
                   ? CSL_OK
                   : BROKEN(err, "a stop of a study that is stopped or unknown");
    case CSL_LEDGER_COUNTERSIGN:
        return check_countersign(s, e, err);
    case CSL_LEDGER_WITHDRAWAL:
        return csl_id_valid(e->u.withdrawal.cohort) ? CSL_OK : BROKEN(err, "the cohort is no id");
    case CSL_LEDGER_RECOVER:
        if (!(e->u.recover.epsilon >= 0) || !(e->u.recover.delta >= 0))
            return BROKEN(err, "a negative loss");
        if (s->recovered_count == CSL_RULES_RECOVERED_MAX)
            return CSL_FAIL(err, CSL_E_LIMIT, "more than %d recoveries", CSL_RULES_RECOVERED_MAX);
        return CSL_OK;
    default:
        return CSL_OK;
    }
}

enum csl_code csl_rules__check(struct csl_rules *s, const struct csl_ledger_entry *e,
                               struct csl_err *err)
{
    if (e->index != s->count)
        return BROKEN(err, "the number of the entry is %llu; %llu would be right",
                      (unsigned long long)e->index, (unsigned long long)s->count);
    if (memcmp(e->link, s->link, sizeof(e->link)) != 0)
        return BROKEN(err, "it does not continue the entry before it");
    if (e->time_s < s->time_s)
        return BROKEN(err, "time goes back from %llu to %llu", (unsigned long long)s->time_s,
                      (unsigned long long)e->time_s);
    if (e->index == 0 && e->kind != CSL_LEDGER_OPEN)
        return BROKEN(err, "a ledger starts with its opening");
    switch ((int)e->kind) {
    case CSL_LEDGER_APPROVE:
        return check_approve(s, &e->u.approve, err);
    case CSL_LEDGER_RESERVE:
    case CSL_LEDGER_REFUSE:
        return check_request(s, e, err);
    case CSL_LEDGER_PUBLISH:
        return check_publish(s, e, err);
    case CSL_LEDGER_CHARGE:
        return check_charge(s, e, err);
    case CSL_LEDGER_SETTLE:
        return check_settle(s, e, err);
    default:
        return check_rare(s, e, err);
    }
}
