#include "privacy/ledger/rules.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct csl_rules *csl_rules__new(csl_ledger_price price)
{
    struct csl_rules *s = csl_alloc(sizeof(*s));
    if (s != NULL)
        s->price = price;
    return s;
}

void csl_rules__free(struct csl_rules *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->study_count; i++)
        csl_free(s->studies[i]);
    csl_free(s->spare);
    csl_free(s->studies);
    csl_free(s->slots);
    csl_free(s);
}

struct csl_rules_study *csl_rules__find(const struct csl_rules *s,
                                        const uint8_t digest[CSL_DIGEST_BYTES])
{
    for (size_t i = s->study_count; i > 0; i--) /* the latest are asked for most */
        if (memcmp(s->studies[i - 1]->plan.digest, digest, CSL_DIGEST_BYTES) == 0)
            return s->studies[i - 1];
    return NULL;
}

/* Of an entry that was checked: it is there. */
static struct csl_rules_study *must_find(const struct csl_rules *s,
                                         const uint8_t digest[CSL_DIGEST_BYTES])
{
    struct csl_rules_study *study = csl_rules__find(s, digest);
    CSL_ASSERT(study != NULL);
    return study;
}

bool csl_rules__find_open(const struct csl_rules *s, uint64_t reservation,
                          struct csl_rules_study **study, uint32_t *at)
{
    for (size_t i = s->study_count; i > 0; i--)
        for (uint32_t k = 0; k < s->studies[i - 1]->open_count; k++)
            if (s->studies[i - 1]->open[k].id == reservation) {
                *study = s->studies[i - 1];
                *at = k;
                return true;
            }
    return false;
}

/* A study's number: where it is in the list, from 1. Studies are never removed. */
static uint64_t number_of(const struct csl_rules *s, const struct csl_rules_study *study)
{
    for (size_t i = s->study_count; i > 0; i--)
        if (s->studies[i - 1] == study)
            return i;
    CSL_ASSERT(false);
    return 0;
}

static size_t slot_of(const struct csl_rules *s, uint64_t study, uint64_t round)
{
    /* Fibonacci hashing, linear probing; at least half of the slots are free. */
    size_t mask = s->slot_capacity - 1;
    uint64_t h = (round ^ study << 40) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(h >> 20) & mask;
    while (s->slots[at].study != 0 && (s->slots[at].study != study || s->slots[at].round != round))
        at = (at + 1) & mask;
    return at;
}

uint64_t csl_rules__next_attempt(const struct csl_rules *s, const struct csl_rules_study *study,
                                 uint64_t round)
{
    return s->slot_capacity == 0 ? 0
                                 : s->slots[slot_of(s, number_of(s, study), round)].next_attempt;
}

enum csl_code csl_rules__make_slot(struct csl_rules *s, struct csl_err *err)
{
    if (s->slot_count < s->slot_capacity / 2)
        return CSL_OK;
    struct csl_rules old = *s;
    size_t capacity = old.slot_capacity == 0 ? 64 : old.slot_capacity * 2;
    struct csl_rules_slot *slots = csl_alloc_array(capacity, sizeof(*slots));
    if (slots == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %zu rounds", capacity);
    s->slots = slots;
    s->slot_capacity = capacity;
    for (size_t i = 0; i < old.slot_capacity; i++)
        if (old.slots[i].study != 0)
            s->slots[slot_of(s, old.slots[i].study, old.slots[i].round)] = old.slots[i];
    csl_free(old.slots);
    return CSL_OK;
}

/* The slot of this round, taken if it was free: check made room. */
static struct csl_rules_slot *take_slot(struct csl_rules *s, const struct csl_rules_study *study,
                                        uint64_t round)
{
    uint64_t number = number_of(s, study);
    struct csl_rules_slot *slot = &s->slots[slot_of(s, number, round)];
    if (slot->study == 0)
        s->slot_count++;
    slot->study = number;
    slot->round = round;
    return slot;
}

void csl_rules__set_attempt(struct csl_rules *s, const struct csl_rules_study *study,
                            uint64_t round, uint32_t attempt)
{
    take_slot(s, study, round)->next_attempt = (uint64_t)attempt + 1;
}

bool csl_rules__is_refused(const struct csl_rules *s, const struct csl_rules_study *study,
                           uint64_t round, uint32_t attempt)
{
    if (s->slot_capacity == 0)
        return false;
    const struct csl_rules_slot *slot = &s->slots[slot_of(s, number_of(s, study), round)];
    return slot->study != 0 && slot->refused_attempt == (uint64_t)attempt + 1 &&
           slot->refused_under == s->policies;
}

void csl_rules__steps(uint32_t count, const struct csl_dp_event *events,
                      uint64_t out[CSL_LEDGER_EVENTS_MAX])
{
    memset(out, 0, CSL_LEDGER_EVENTS_MAX * sizeof(*out));
    for (uint32_t i = 0; i < count; i++)
        out[i] = events[i].steps;
}

static void close_at(struct csl_rules_study *study, uint32_t at)
{
    study->open_count--;
    memmove(&study->open[at], &study->open[at + 1],
            (study->open_count - at) * sizeof(study->open[0]));
}

static bool is_unspent(const struct csl_rules_reservation *r)
{
    uint64_t any = 0;
    for (size_t i = 0; i < CSL_LEDGER_EVENTS_MAX; i++)
        any |= r->unspent[i];
    return any != 0;
}

static void add_steps(struct csl_rules_study *study, uint32_t count,
                      const struct csl_dp_event *events)
{
    for (uint32_t i = 0; i < count; i++)
        study->counted[i] += events[i].steps; /* check saw that it fits */
}

/* What ran, in the figures of the study; saturating, they decide nothing. */
static void note_charge(struct csl_rules_study *study, const struct csl_ledger_charge *c)
{
    study->charges++;
    for (uint32_t i = 0; i < c->event_count; i++)
        if (__builtin_add_overflow(study->steps_charged, c->events[i].steps, &study->steps_charged))
            study->steps_charged = UINT64_MAX;
}

static void apply_reserve(struct csl_rules *s, const struct csl_ledger_entry *e)
{
    const struct csl_ledger_request *r = &e->u.request;
    struct csl_rules_study *study = must_find(s, r->study_digest);
    /* Charged and never settled: what was not used of them stays spent from here on. */
    for (uint32_t k = study->open_count; k > 0; k--)
        if (study->open[k - 1].is_charged)
            close_at(study, k - 1);
    struct csl_rules_reservation *open = &study->open[study->open_count++];
    *open =
        (struct csl_rules_reservation){.id = e->index, .round = r->round, .attempt = r->attempt};
    csl_rules__steps(r->event_count, r->events, open->unspent);
    add_steps(study, r->event_count, r->events);
    study->epsilon = e->epsilon_after;
    csl_rules__set_attempt(s, study, r->round, r->attempt);
}

static void apply_charge(struct csl_rules *s, const struct csl_ledger_entry *e)
{
    const struct csl_ledger_charge *c = &e->u.charge;
    struct csl_rules_study *study = must_find(s, c->study_digest);
    uint32_t at = 0;
    study->last_s = e->time_s;
    study->epsilon = e->epsilon_after;
    note_charge(study, c);
    if (e->kind == CSL_LEDGER_PUBLISH) {
        add_steps(study, c->event_count, c->events);
        csl_rules__set_attempt(s, study, c->round, c->attempt);
        return;
    }
    CSL_ASSERT(csl_rules__find_open(s, e->reservation, &study, &at) && study != NULL);
    study->open[at].is_charged = true;
    for (uint32_t i = 0; i < c->event_count; i++)
        study->open[at].unspent[i] -= c->events[i].steps;
    if (!is_unspent(&study->open[at]))
        close_at(study, at); /* nothing left to settle */
}

static void apply_settle(struct csl_rules *s, const struct csl_ledger_entry *e)
{
    struct csl_rules_study *study = NULL;
    uint32_t at = 0;
    CSL_ASSERT(csl_rules__find_open(s, e->reservation, &study, &at) && study != NULL);
    if (e->u.settle.was_released)
        study->last_s = e->time_s;
    else
        for (size_t i = 0; i < CSL_LEDGER_EVENTS_MAX; i++)
            study->counted[i] -= study->open[at].unspent[i];
    study->epsilon = e->epsilon_after;
    close_at(study, at);
}

static void apply_recover(struct csl_rules *s, const struct csl_ledger_entry *e)
{
    s->lost_epsilon += e->u.recover.epsilon;
    s->lost_delta += e->u.recover.delta;
    s->lost_s = e->time_s;
    s->recovered[s->recovered_count].size = e->u.recover.size;
    memcpy(s->recovered[s->recovered_count++].root, e->u.recover.root, CSL_SHA256_BYTES);
}

static void note_refusal(struct csl_rules *s, const struct csl_ledger_request *r)
{
    struct csl_rules_slot *slot = take_slot(s, must_find(s, r->study_digest), r->round);
    slot->refused_attempt = (uint64_t)r->attempt + 1;
    slot->refused_under = s->policies;
}

static void apply_body(struct csl_rules *s, const struct csl_ledger_entry *e)
{
    switch ((int)e->kind) {
    case CSL_LEDGER_OPEN:
        memcpy(s->site, e->u.open.site, sizeof(s->site));
        snprintf(s->origin, sizeof(s->origin), "consilium-ledger/%s", s->site);
        memcpy(s->public_key, e->u.open.public_key, sizeof(s->public_key));
        break;
    case CSL_LEDGER_POLICY:
        s->policy = e->u.policy;
        s->has_policy = true;
        s->policies++;
        break;
    case CSL_LEDGER_APPROVE:
        s->spare->plan = e->u.approve; /* check allocated it */
        s->studies[s->study_count++] = s->spare;
        s->spare = NULL;
        break;
    case CSL_LEDGER_RESERVE:
        apply_reserve(s, e);
        break;
    case CSL_LEDGER_CHARGE:
    case CSL_LEDGER_PUBLISH:
        apply_charge(s, e);
        break;
    case CSL_LEDGER_SETTLE:
        apply_settle(s, e);
        break;
    case CSL_LEDGER_REFUSE:
        note_refusal(s, &e->u.request);
        break;
    case CSL_LEDGER_STOP:
        must_find(s, e->u.stop.study_digest)->is_stopped = true;
        break;
    case CSL_LEDGER_WITHDRAWAL:
        for (size_t i = 0; i < s->study_count; i++)
            if (strcmp(s->studies[i]->plan.cohort, e->u.withdrawal.cohort) == 0)
                memcpy(s->studies[i]->plan.cohort_digest, e->u.withdrawal.cohort_digest,
                       CSL_DIGEST_BYTES);
        break;
    case CSL_LEDGER_RECOVER:
        apply_recover(s, e);
        break;
    default: /* countersignatures and clocks change nothing */
        break;
    }
}

void csl_rules__apply(struct csl_rules *s, const struct csl_ledger_entry *e,
                      const uint8_t leaf[CSL_SHA256_BYTES],
                      const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES])
{
    apply_body(s, e);
    s->count++;
    s->time_s = e->time_s;
    csl_merkle_recent_add(&s->tree, leaf);
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, leaf, CSL_SHA256_BYTES);
    csl_sha256_update(&h, signature, CSL_SIGN_SIGNATURE_BYTES);
    csl_sha256_final(&h, s->link);
}
