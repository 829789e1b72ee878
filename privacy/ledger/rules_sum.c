/* What is spent, and whether more fits. Sums of losses are rounded up. */
#include "privacy/ledger/rules.h"

#include <math.h>
#include <string.h>

/* a + b, or the next number when rounding went down (Knuth's two-sum gives the error exactly). */
static double add_up(double a, double b)
{
    double s = a + b;
    if (!isfinite(s))
        return s;
    double t = s - a, error = (a - (s - t)) + (b - t);
    return error > 0 ? nextafter(s, (double)INFINITY) : s;
}

/* Whatever the budget's group: any study of the cohort may have used any of its patients. */
static bool matches(const struct csl_ledger_budget *b, const struct csl_ledger_study *plan)
{
    return strcmp(b->cohort, "*") == 0 || strcmp(b->cohort, plan->cohort) == 0;
}

static bool is_inside(uint64_t then_s, uint64_t now_s, uint64_t window_s)
{
    return window_s == 0 || now_s < then_s || now_s - then_s < window_s;
}

static bool counts(const struct csl_rules_study *t, uint64_t now_s, uint64_t window_s)
{
    uint64_t any = 0;
    for (size_t i = 0; i < CSL_LEDGER_EVENTS_MAX; i++)
        any |= t->counted[i];
    return any != 0 && (t->open_count > 0 || is_inside(t->last_s, now_s, window_s));
}

void csl_rules__sum(const struct csl_rules *s, const struct csl_ledger_budget *b, uint64_t now_s,
                    const struct csl_rules_study *study, double epsilon,
                    struct csl_ledger_spent *out)
{
    struct csl_ledger_spent sum = {.epsilon = 0};
    if (s->recovered_count > 0 && is_inside(s->lost_s, now_s, b->window_s)) {
        sum.epsilon = s->lost_epsilon;
        sum.delta = s->lost_delta;
    }
    for (size_t i = 0; i < s->study_count; i++) {
        const struct csl_rules_study *t = s->studies[i];
        if (!matches(b, &t->plan))
            continue;
        sum.charges += t->charges;
        sum.steps_charged += t->steps_charged;
        if (t != study && !counts(t, now_s, b->window_s))
            continue;
        sum.studies++;
        sum.epsilon = add_up(sum.epsilon, t == study ? epsilon : t->epsilon);
        sum.delta = add_up(sum.delta, t->plan.delta);
    }
    *out = sum;
}

bool csl_rules__fits(const struct csl_rules *s, const struct csl_rules_study *study, double epsilon,
                     uint64_t now_s, uint64_t *budget)
{
    bool is_covered = false;
    for (uint32_t i = 0; s->has_policy && i < s->policy.budget_count; i++) {
        const struct csl_ledger_budget *b = &s->policy.budgets[i];
        struct csl_ledger_spent sum;
        if (!matches(b, &study->plan))
            continue;
        is_covered = true;
        csl_rules__sum(s, b, now_s, study, epsilon, &sum);
        if (!(sum.epsilon <= b->epsilon) || !(sum.delta <= b->delta)) {
            *budget = i;
            return false;
        }
    }
    if (!is_covered)
        *budget = CSL_LEDGER_NONE;
    return is_covered;
}

enum csl_code csl_rules__price(const struct csl_rules *s, const struct csl_rules_study *study,
                               const uint64_t steps[CSL_LEDGER_EVENTS_MAX], bool is_less,
                               double *epsilon, struct csl_err *err)
{
    struct csl_dp_event events[CSL_LEDGER_EVENTS_MAX];
    size_t n = 0;
    for (uint32_t i = 0; i < study->plan.event_count; i++) {
        events[n] = study->plan.events[i];
        bool is_bad = is_less
                          ? __builtin_sub_overflow(study->counted[i], steps[i], &events[n].steps)
                          : __builtin_add_overflow(study->counted[i], steps[i], &events[n].steps);
        if (is_bad)
            return CSL_FAIL(err, CSL_E_LIMIT, "a study of more than 2^64 steps");
        if (events[n].steps > 0)
            n++;
    }
    double price = 0;
    enum csl_code code = n == 0 ? CSL_OK : s->price(events, n, study->plan.delta, &price, err);
    if (code != CSL_OK)
        return code;
    if (!(price >= 0)) /* NaN too */
        return CSL_FAIL(err, CSL_E_BUG, "the accountant's price %g is no epsilon", price);
    /* Figures already written down stay: more steps never look cheaper, fewer never dearer. */
    *epsilon = is_less ? fmin(price, study->epsilon) : fmax(price, study->epsilon);
    return CSL_OK;
}
