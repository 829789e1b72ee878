#include "base/bytes.h"
#include "base/json.h"
#include "privacy/ledger/entry.h"

#include <stdio.h>

const char *csl_ledger_kind_name(enum csl_ledger_kind k)
{
    static const char *const names[] = {
        "open", "policy",  "approve",     "reserve",    "charge",  "settle", "refuse",
        "stop", "publish", "countersign", "withdrawal", "recover", "clock"};
    return k >= CSL_LEDGER_OPEN && k <= CSL_LEDGER_CLOCK ? names[k - CSL_LEDGER_OPEN] : "unknown";
}

static const char *reason_name(enum csl_ledger_stop_reason r)
{
    return r == CSL_LEDGER_STOP_REQUEST  ? "the request differs from the plan"
           : r == CSL_LEDGER_STOP_CHARGE ? "what ran differs from the plan"
                                         : "operator";
}

uint32_t csl_ledger_band(uint64_t patients)
{
    if (patients == 0)
        return 0;
    uint32_t band = 1;
    uint64_t decade = 10; /* bounds 10, 30, 100, 300, ... */
    for (;;) {
        if (patients < decade)
            return band;
        if (patients < 3 * decade)
            return band + 1;
        if (decade > UINT64_MAX / 30)
            return band + 2;
        band += 2;
        decade *= 10;
    }
}

void csl_ledger_band_text(uint32_t band, char *out, size_t out_bytes)
{
    if (band < 2) {
        snprintf(out, out_bytes, "%s", band == 0 ? "0" : "1-9");
        return;
    }
    uint64_t decade = 10;
    for (uint32_t i = 2; i + 1 < band && decade <= UINT64_MAX / 1000; i += 2)
        decade *= 10;
    if (band % 2 == 0)
        snprintf(out, out_bytes, "%llu-%llu", (unsigned long long)decade,
                 (unsigned long long)(3 * decade - 1));
    else
        snprintf(out, out_bytes, "%llu-%llu", (unsigned long long)(3 * decade),
                 (unsigned long long)(10 * decade - 1));
}

static void put_hex(struct csl_json *j, const char *key, const uint8_t *p, size_t n)
{
    char text[2 * CSL_SIGN_SIGNATURE_BYTES + 1];
    csl_hex(p, n, text);
    csl_json_put_str(j, key, text);
}

static void put_events(struct csl_json *j, uint32_t count, const struct csl_dp_event *events)
{
    csl_json_key(j, "events");
    csl_json_array(j);
    for (uint32_t i = 0; i < count; i++) {
        const struct csl_dp_event *e = &events[i];
        csl_json_object(j);
        csl_json_put_str(j, "mechanism", csl_dp_mechanism_name(e->mechanism));
        csl_json_put_str(j, "sampler", csl_dp_sampler_name(e->sampler));
        csl_json_put_f64(j, "noise_multiplier", e->noise_multiplier);
        csl_json_put_f64(j, "sampling_rate", e->sampling_rate);
        csl_json_put_u64(j, "steps", e->steps);
        if (e->mechanism != CSL_DP_GAUSSIAN) {
            csl_json_put_u64(j, "dimensions", e->dimensions);
            csl_json_put_f64(j, "std_units", e->std_units);
            csl_json_put_f64(j, "l1_units", e->l1_units);
            csl_json_put_f64(j, "l2_units", e->l2_units);
        }
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_band(struct csl_json *j, uint32_t band)
{
    char text[48];
    csl_ledger_band_text(band, text, sizeof(text));
    csl_json_put_str(j, "cohort_patients", text);
}

static void put_policy(struct csl_json *j, const struct csl_ledger_policy *p)
{
    put_hex(j, "policy_digest", p->digest, sizeof(p->digest));
    csl_json_put_str(j, "composition", "basic");
    csl_json_key(j, "budgets");
    csl_json_array(j);
    for (uint32_t i = 0; i < p->budget_count; i++) {
        const struct csl_ledger_budget *b = &p->budgets[i];
        csl_json_object(j);
        csl_json_put_str(j, "cohort", b->cohort);
        csl_json_put_str(j, "group", b->group);
        csl_json_put_f64(j, "epsilon", b->epsilon);
        csl_json_put_f64(j, "delta", b->delta);
        csl_json_put_u64(j, "window_s", b->window_s);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_study(struct csl_json *j, const struct csl_ledger_study *s)
{
    put_hex(j, "study", s->digest, sizeof(s->digest));
    csl_json_put_str(j, "cohort", s->cohort);
    put_events(j, s->event_count, s->events);
    csl_json_put_u64(j, "rounds", s->rounds);
    csl_json_put_f64(j, "delta", s->delta);
    csl_json_put_f64(j, "clip", s->clip);
    csl_json_put_f64(j, "normaliser", s->normaliser);
    put_hex(j, "cohort_digest", s->cohort_digest, sizeof(s->cohort_digest));
    csl_json_put_bool(j, "is_rehearsal", s->is_rehearsal);
}

static void put_request(struct csl_json *j, const struct csl_ledger_entry *e)
{
    const struct csl_ledger_request *r = &e->u.request;
    put_hex(j, "study", r->study_digest, sizeof(r->study_digest));
    csl_json_put_u64(j, "round", r->round);
    csl_json_put_u64(j, "attempt", r->attempt);
    csl_json_put_str(j, "cohort", r->cohort);
    put_events(j, r->event_count, r->events);
    csl_json_put_f64(j, "clip", r->clip);
    csl_json_put_f64(j, "normaliser", r->normaliser);
    put_hex(j, "policy_digest", e->policy_digest, sizeof(e->policy_digest));
    if (e->kind != CSL_LEDGER_REFUSE)
        return;
    csl_json_key(j, "budget");
    if (e->budget == CSL_LEDGER_NONE)
        csl_json_null(j);
    else
        csl_json_u64(j, e->budget);
}

static void put_charge(struct csl_json *j, const struct csl_ledger_entry *e)
{
    const struct csl_ledger_charge *c = &e->u.charge;
    if (e->kind == CSL_LEDGER_CHARGE)
        csl_json_put_u64(j, "reservation", e->reservation);
    put_hex(j, "study", c->study_digest, sizeof(c->study_digest));
    csl_json_put_u64(j, "round", c->round);
    csl_json_put_u64(j, "attempt", c->attempt);
    put_events(j, c->event_count, c->events);
    csl_json_put_f64(j, "clip", c->clip);
    csl_json_put_f64(j, "normaliser", c->normaliser);
    put_band(j, c->cohort_band);
    put_hex(j, "cohort_digest", c->cohort_digest, sizeof(c->cohort_digest));
    put_hex(j, "update_digest", c->update_digest, sizeof(c->update_digest));
    csl_json_put_str(j, "software", c->software);
    csl_json_put_bool(j, "is_rehearsal", c->is_rehearsal);
    put_hex(j, "policy_digest", e->policy_digest, sizeof(e->policy_digest));
}

static void put_rare(struct csl_json *j, const struct csl_ledger_entry *e)
{
    switch ((int)e->kind) {
    case CSL_LEDGER_OPEN:
        csl_json_put_str(j, "site", e->u.open.site);
        put_hex(j, "public_key", e->u.open.public_key, sizeof(e->u.open.public_key));
        break;
    case CSL_LEDGER_SETTLE:
        csl_json_put_u64(j, "reservation", e->reservation);
        csl_json_put_bool(j, "was_released", e->u.settle.was_released);
        break;
    case CSL_LEDGER_STOP:
        put_hex(j, "study", e->u.stop.study_digest, sizeof(e->u.stop.study_digest));
        csl_json_put_str(j, "reason", reason_name(e->u.stop.reason));
        break;
    case CSL_LEDGER_COUNTERSIGN:
        csl_json_put_str(j, "peer", e->u.countersign.peer);
        put_hex(j, "public_key", e->u.countersign.public_key, sizeof(e->u.countersign.public_key));
        csl_json_put_u64(j, "size", e->u.countersign.size);
        put_hex(j, "root", e->u.countersign.root, sizeof(e->u.countersign.root));
        put_hex(j, "signature", e->u.countersign.signature, sizeof(e->u.countersign.signature));
        break;
    case CSL_LEDGER_WITHDRAWAL:
        csl_json_put_str(j, "cohort", e->u.withdrawal.cohort);
        put_band(j, e->u.withdrawal.cohort_band);
        put_hex(j, "cohort_digest", e->u.withdrawal.cohort_digest,
                sizeof(e->u.withdrawal.cohort_digest));
        break;
    case CSL_LEDGER_RECOVER:
        csl_json_put_u64(j, "abandoned_size", e->u.recover.size);
        put_hex(j, "abandoned_root", e->u.recover.root, sizeof(e->u.recover.root));
        csl_json_put_f64(j, "lost_epsilon", e->u.recover.epsilon); /* null: infinite */
        csl_json_put_f64(j, "lost_delta", e->u.recover.delta);
        break;
    default:
        csl_json_put_u64(j, "wall_s", e->u.clock.wall_s);
    }
}

enum csl_code csl_ledger_entry_json(const struct csl_ledger_entry *e, struct csl_msg *out,
                                    struct csl_err *err)
{
    struct csl_buf b;
    struct csl_json j;
    csl_buf_init(&b, 65536);
    csl_json_init(&j, &b, false);
    csl_json_object(&j);
    csl_json_put_u64(&j, "index", e->index);
    csl_json_put_str(&j, "kind", csl_ledger_kind_name(e->kind));
    csl_json_put_u64(&j, "time_s", e->time_s);
    bool is_request = e->kind == CSL_LEDGER_RESERVE || e->kind == CSL_LEDGER_REFUSE;
    bool is_charge = e->kind == CSL_LEDGER_CHARGE || e->kind == CSL_LEDGER_PUBLISH;
    if (e->kind == CSL_LEDGER_POLICY)
        put_policy(&j, &e->u.policy);
    else if (e->kind == CSL_LEDGER_APPROVE)
        put_study(&j, &e->u.approve);
    else if (is_request)
        put_request(&j, e);
    else if (is_charge)
        put_charge(&j, e);
    else
        put_rare(&j, e);
    if (is_request || is_charge || e->kind == CSL_LEDGER_SETTLE) {
        csl_json_put_f64(&j, "epsilon_before", e->epsilon_before);
        csl_json_put_f64(&j, "epsilon_after", e->epsilon_after);
    }
    csl_json_end(&j);
    enum csl_code code = csl_buf_status(&b, err);
    if (code == CSL_OK)
        *out = csl_buf_take(&b);
    csl_buf_release(&b);
    return code;
}

static uint64_t total_steps(uint32_t count, const struct csl_dp_event *events)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        n += events[i].steps; /* for show: wrapping harms nobody */
    return n;
}

/* What is particular to the kind; epsilon is rounded up, as every printed figure of a loss. */
static void describe(const struct csl_ledger_entry *e, char *out, size_t n)
{
    const struct csl_ledger_request *r = &e->u.request;
    const struct csl_ledger_charge *c = &e->u.charge;
    char study[9];
    switch ((int)e->kind) {
    case CSL_LEDGER_OPEN:
        snprintf(out, n, "site %s", e->u.open.site);
        break;
    case CSL_LEDGER_POLICY:
        snprintf(out, n, "%u budgets", e->u.policy.budget_count);
        break;
    case CSL_LEDGER_APPROVE:
        csl_hex(e->u.approve.digest, 4, study);
        snprintf(out, n, "study %s cohort %s rounds %llu delta %.3g%s", study, e->u.approve.cohort,
                 (unsigned long long)e->u.approve.rounds, e->u.approve.delta,
                 e->u.approve.is_rehearsal ? " rehearsal" : "");
        break;
    case CSL_LEDGER_RESERVE:
    case CSL_LEDGER_REFUSE:
        csl_hex(r->study_digest, 4, study);
        snprintf(out, n, "study %s round %llu attempt %u steps %llu", study,
                 (unsigned long long)r->round, r->attempt,
                 (unsigned long long)total_steps(r->event_count, r->events));
        break;
    case CSL_LEDGER_CHARGE:
    case CSL_LEDGER_PUBLISH:
        csl_hex(c->study_digest, 4, study);
        snprintf(out, n, "study %s round %llu attempt %u steps %llu%s", study,
                 (unsigned long long)c->round, c->attempt,
                 (unsigned long long)total_steps(c->event_count, c->events),
                 c->is_rehearsal ? " rehearsal" : "");
        break;
    case CSL_LEDGER_SETTLE:
        snprintf(out, n, "reservation %llu %s", (unsigned long long)e->reservation,
                 e->u.settle.was_released ? "released" : "not released");
        break;
    case CSL_LEDGER_STOP:
        csl_hex(e->u.stop.study_digest, 4, study);
        snprintf(out, n, "study %s: %s", study, reason_name(e->u.stop.reason));
        break;
    case CSL_LEDGER_COUNTERSIGN:
        snprintf(out, n, "by %s, head of size %llu", e->u.countersign.peer,
                 (unsigned long long)e->u.countersign.size);
        break;
    case CSL_LEDGER_WITHDRAWAL:
        snprintf(out, n, "cohort %s", e->u.withdrawal.cohort);
        break;
    case CSL_LEDGER_RECOVER:
        snprintf(out, n, "head of size %llu given up, epsilon %.17g written off",
                 (unsigned long long)e->u.recover.size, e->u.recover.epsilon);
        break;
    default:
        snprintf(out, n, "wall clock %llu", (unsigned long long)e->u.clock.wall_s);
    }
}

void csl_ledger_entry_text(const struct csl_ledger_entry *e, char *out, size_t out_bytes)
{
    char what[256], price[64] = "";
    describe(e, what, sizeof(what));
    bool has_price = e->kind == CSL_LEDGER_RESERVE || e->kind == CSL_LEDGER_CHARGE ||
                     e->kind == CSL_LEDGER_SETTLE || e->kind == CSL_LEDGER_REFUSE ||
                     e->kind == CSL_LEDGER_PUBLISH;
    if (has_price) /* nine digits, then one unit up in the last place: never below */
        snprintf(price, sizeof(price), " epsilon %.8e",
                 e->epsilon_after == 0 ? 0 : e->epsilon_after * (1 + 1e-8));
    snprintf(out, out_bytes, "%llu %llu %s %s%s", (unsigned long long)e->index,
             (unsigned long long)e->time_s, csl_ledger_kind_name(e->kind), what, price);
}
