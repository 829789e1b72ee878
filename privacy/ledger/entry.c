#include "privacy/ledger/entry.h"

#include "base/check.h"
#include "base/le.h"

#include <math.h>
#include <string.h>

#define MAGIC   "CSLE"
#define VERSION 1

/* Walks one entry field by field, in one direction or the other, so that what is written and what
 * is read cannot come apart. The first fault sticks. */
struct cursor {
    uint8_t *out; /* NULL: reading */
    const uint8_t *in;
    size_t at, n;
    const char *fault; /* static text */
};

static void fault(struct cursor *c, const char *what)
{
    if (c->fault == NULL)
        c->fault = what;
}

static void field_bytes(struct cursor *c, uint8_t *p, size_t n)
{
    if (n > c->n - c->at)
        fault(c, "cut short");
    if (c->fault != NULL)
        return;
    if (c->out != NULL)
        memcpy(c->out + c->at, p, n);
    else
        memcpy(p, c->in + c->at, n);
    c->at += n;
}

static void field_u32(struct cursor *c, uint32_t *v)
{
    uint8_t raw[4] = {0};
    csl_store_le32(raw, *v);
    field_bytes(c, raw, sizeof(raw));
    *v = csl_load_le32(raw);
}

static void field_u64(struct cursor *c, uint64_t *v)
{
    uint8_t raw[8] = {0};
    csl_store_le64(raw, *v);
    field_bytes(c, raw, sizeof(raw));
    *v = csl_load_le64(raw);
}

/* IEEE 754 binary64; no NaN, because it compares with nothing. */
static void field_f64(struct cursor *c, double *v)
{
    uint64_t bits;
    memcpy(&bits, v, sizeof(bits));
    field_u64(c, &bits);
    memcpy(v, &bits, sizeof(bits));
    if (isnan(*v))
        fault(c, "not a number");
}

static void field_bool(struct cursor *c, bool *v)
{
    uint8_t byte = *v ? 1 : 0;
    field_bytes(c, &byte, 1);
    if (byte > 1)
        fault(c, "a flag that is neither 0 nor 1");
    *v = byte == 1;
}

static void field_count(struct cursor *c, uint32_t *v, uint32_t max)
{
    field_u32(c, v);
    if (*v > max) {
        fault(c, "a list that is too long");
        *v = 0;
    }
}

/* Fixed length: printable ASCII, then zeros to the end, at least one. */
static void field_text(struct cursor *c, char *text, size_t capacity)
{
    uint8_t raw[CSL_LEDGER_TEXT_MAX] = {0};
    CSL_ASSERT(capacity <= sizeof(raw));
    size_t n = 0;
    if (c->out != NULL)
        while (n + 1 < capacity && text[n] != '\0') {
            raw[n] = (uint8_t)text[n];
            n++;
        }
    field_bytes(c, raw, capacity);
    for (n = 0; n < capacity && raw[n] != 0; n++)
        if (raw[n] < 0x21 || raw[n] > 0x7e)
            fault(c, "a text with something else than printable ASCII");
    if (n == capacity)
        fault(c, "a text without an end");
    for (size_t i = n; i < capacity; i++)
        if (raw[i] != 0)
            fault(c, "a text with something behind its end");
    if (c->out == NULL && c->fault == NULL)
        memcpy(text, raw, capacity);
}

static void field_events(struct cursor *c, uint32_t *count, struct csl_dp_event *events)
{
    field_count(c, count, CSL_LEDGER_EVENTS_MAX);
    for (uint32_t i = 0; i < *count; i++) {
        struct csl_dp_event *e = &events[i];
        uint32_t mechanism = (uint32_t)e->mechanism, sampler = (uint32_t)e->sampler;
        field_u32(c, &mechanism);
        field_u32(c, &sampler);
        if (mechanism < CSL_DP_GAUSSIAN || mechanism > CSL_DP_DISCRETE_LAPLACE)
            fault(c, "an unknown mechanism");
        if (sampler < CSL_DP_FULL_BATCH || sampler > CSL_DP_SHUFFLED)
            fault(c, "an unknown sampler");
        e->mechanism = (enum csl_dp_mechanism)mechanism;
        e->sampler = (enum csl_dp_sampler)sampler;
        field_f64(c, &e->noise_multiplier);
        field_f64(c, &e->sampling_rate);
        field_u64(c, &e->steps);
        field_u64(c, &e->dimensions);
        field_f64(c, &e->std_units);
        field_f64(c, &e->l1_units);
        field_f64(c, &e->l2_units);
    }
}

static void body_policy(struct cursor *c, struct csl_ledger_policy *p)
{
    field_bytes(c, p->digest, sizeof(p->digest));
    uint32_t composition = (uint32_t)p->composition;
    field_u32(c, &composition);
    if (composition != CSL_LEDGER_BASIC)
        fault(c, "an unknown composition");
    p->composition = CSL_LEDGER_BASIC;
    field_count(c, &p->budget_count, CSL_LEDGER_BUDGETS_MAX);
    for (uint32_t i = 0; i < p->budget_count; i++) {
        struct csl_ledger_budget *b = &p->budgets[i];
        field_text(c, b->cohort, sizeof(b->cohort));
        field_text(c, b->group, sizeof(b->group));
        field_f64(c, &b->epsilon);
        field_f64(c, &b->delta);
        field_u64(c, &b->window_s);
    }
}

static void body_approve(struct cursor *c, struct csl_ledger_study *s)
{
    field_bytes(c, s->digest, sizeof(s->digest));
    field_text(c, s->cohort, sizeof(s->cohort));
    field_events(c, &s->event_count, s->events);
    field_u64(c, &s->rounds);
    field_f64(c, &s->delta);
    field_f64(c, &s->clip);
    field_f64(c, &s->normaliser);
    field_bytes(c, s->cohort_digest, sizeof(s->cohort_digest));
    field_bool(c, &s->is_rehearsal);
}

static void body_request(struct cursor *c, struct csl_ledger_request *r)
{
    field_bytes(c, r->study_digest, sizeof(r->study_digest));
    field_u64(c, &r->round);
    field_u32(c, &r->attempt);
    field_text(c, r->cohort, sizeof(r->cohort));
    field_events(c, &r->event_count, r->events);
    field_f64(c, &r->clip);
    field_f64(c, &r->normaliser);
}

static void body_charge(struct cursor *c, struct csl_ledger_charge *g)
{
    field_bytes(c, g->study_digest, sizeof(g->study_digest));
    field_u64(c, &g->round);
    field_u32(c, &g->attempt);
    field_events(c, &g->event_count, g->events);
    field_f64(c, &g->clip);
    field_f64(c, &g->normaliser);
    field_u32(c, &g->cohort_band);
    field_bytes(c, g->cohort_digest, sizeof(g->cohort_digest));
    field_bytes(c, g->update_digest, sizeof(g->update_digest));
    field_text(c, g->software, sizeof(g->software));
    field_bool(c, &g->is_rehearsal);
}

static void body_rare(struct cursor *c, struct csl_ledger_entry *e)
{
    uint32_t reason = (uint32_t)e->u.stop.reason;
    switch ((int)e->kind) {
    case CSL_LEDGER_OPEN:
        field_text(c, e->u.open.site, sizeof(e->u.open.site));
        field_bytes(c, e->u.open.public_key, sizeof(e->u.open.public_key));
        break;
    case CSL_LEDGER_STOP:
        field_bytes(c, e->u.stop.study_digest, sizeof(e->u.stop.study_digest));
        field_u32(c, &reason);
        if (reason < CSL_LEDGER_STOP_REQUEST || reason > CSL_LEDGER_STOP_OPERATOR)
            fault(c, "an unknown reason");
        e->u.stop.reason = (enum csl_ledger_stop_reason)reason;
        break;
    case CSL_LEDGER_COUNTERSIGN:
        field_text(c, e->u.countersign.peer, sizeof(e->u.countersign.peer));
        field_bytes(c, e->u.countersign.public_key, sizeof(e->u.countersign.public_key));
        field_u64(c, &e->u.countersign.size);
        field_bytes(c, e->u.countersign.root, sizeof(e->u.countersign.root));
        field_bytes(c, e->u.countersign.signature, sizeof(e->u.countersign.signature));
        break;
    case CSL_LEDGER_WITHDRAWAL:
        field_text(c, e->u.withdrawal.cohort, sizeof(e->u.withdrawal.cohort));
        field_bytes(c, e->u.withdrawal.cohort_digest, sizeof(e->u.withdrawal.cohort_digest));
        field_u32(c, &e->u.withdrawal.cohort_band);
        break;
    case CSL_LEDGER_RECOVER:
        field_u64(c, &e->u.recover.size);
        field_bytes(c, e->u.recover.root, sizeof(e->u.recover.root));
        field_f64(c, &e->u.recover.epsilon);
        field_f64(c, &e->u.recover.delta);
        break;
    case CSL_LEDGER_CLOCK:
        field_u64(c, &e->u.clock.wall_s);
        break;
    default:
        fault(c, "an unknown kind");
    }
}

static void body_prices(struct cursor *c, struct csl_ledger_entry *e)
{
    field_f64(c, &e->epsilon_before);
    field_f64(c, &e->epsilon_after);
}

static void body(struct cursor *c, struct csl_ledger_entry *e)
{
    switch ((int)e->kind) {
    case CSL_LEDGER_POLICY:
        body_policy(c, &e->u.policy);
        break;
    case CSL_LEDGER_APPROVE:
        body_approve(c, &e->u.approve);
        break;
    case CSL_LEDGER_RESERVE:
    case CSL_LEDGER_REFUSE:
        body_request(c, &e->u.request);
        field_bytes(c, e->policy_digest, sizeof(e->policy_digest));
        body_prices(c, e);
        if (e->kind == CSL_LEDGER_REFUSE)
            field_u64(c, &e->budget);
        break;
    case CSL_LEDGER_CHARGE:
    case CSL_LEDGER_PUBLISH:
        if (e->kind == CSL_LEDGER_CHARGE)
            field_u64(c, &e->reservation);
        body_charge(c, &e->u.charge);
        field_bytes(c, e->policy_digest, sizeof(e->policy_digest));
        body_prices(c, e);
        break;
    case CSL_LEDGER_SETTLE:
        field_u64(c, &e->reservation);
        field_bool(c, &e->u.settle.was_released);
        body_prices(c, e);
        break;
    default:
        body_rare(c, e);
    }
}

static void whole(struct cursor *c, struct csl_ledger_entry *e, uint32_t *length)
{
    uint8_t magic[4] = MAGIC;
    uint32_t version_kind = VERSION | (uint32_t)e->kind << 16;
    field_bytes(c, magic, sizeof(magic));
    field_u32(c, &version_kind);
    field_u32(c, length);
    if (memcmp(magic, MAGIC, sizeof(magic)) != 0)
        fault(c, "not a ledger entry");
    if ((version_kind & 0xffff) != VERSION)
        fault(c, "an entry of another version");
    e->kind = (enum csl_ledger_kind)(version_kind >> 16);
    field_u64(c, &e->index);
    field_u64(c, &e->time_s);
    field_bytes(c, e->link, sizeof(e->link));
    if (c->fault == NULL)
        body(c, e);
}

size_t csl_ledger_entry_encode(const struct csl_ledger_entry *e, uint8_t out[CSL_LEDGER_ENTRY_MAX])
{
    struct cursor c = {.out = out, .n = CSL_LEDGER_ENTRY_MAX};
    struct csl_ledger_entry copy = *e;
    uint32_t length = 0;
    whole(&c, &copy, &length);
    CSL_ASSERT(c.fault == NULL);
    csl_store_le32(out + 8, (uint32_t)c.at);
    return c.at;
}

enum csl_code csl_ledger_entry_decode(struct csl_ledger_entry *out, struct csl_span bytes,
                                      struct csl_err *err)
{
    struct cursor c = {.in = bytes.p, .n = bytes.n};
    struct csl_ledger_entry e = {.reservation = CSL_LEDGER_NONE, .budget = CSL_LEDGER_NONE};
    uint32_t length = 0;
    whole(&c, &e, &length);
    if (c.fault == NULL && length != bytes.n)
        fault(&c, "a wrong length");
    if (c.fault == NULL && c.at != bytes.n)
        fault(&c, "something behind the last field");
    if (c.fault != NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "entry: %s, at byte %zu of %zu", c.fault, c.at, bytes.n);
    *out = e;
    return CSL_OK;
}
