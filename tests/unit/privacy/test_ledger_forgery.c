/* Forgeries, by somebody without the site's key (raw, chained again, signed with another key) and
 * by the site itself: every one is found, and the first bad entry is the one named. */
#include "tests/unit/privacy/ledger_forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ORIGIN "consilium-ledger/north"

static struct world w;
static struct csl_sign_key site_key, peer_key, other_key;
static struct forge good, f;
static struct csl_ledger_peer peer;
static struct csl_checkpoint known[2];
static struct csl_ledger_verify_options options;
static struct csl_ledger_verdict verdict;

static int make(void **state)
{
    (void)state;
    world_make(&w);
    csl_sign_keygen(&peer_key);
    csl_sign_keygen(&other_key);
    world_open(&w);
    make_every_kind(&w, &peer_key);
    must(csl_sign_load(&site_key, w.key, &w.err), &w.err);
    forge_read(&good, w.out);
    snprintf(peer.id, sizeof(peer.id), "hub");
    memcpy(peer.public_key, peer_key.public_key, sizeof(peer.public_key));
    options = (struct csl_ledger_verify_options){
        .public_key = site_key.public_key, .price = zcdp_price, .peers = &peer, .peer_count = 1};
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    world_remove(&w);
    return 0;
}

static enum csl_code verify(const struct forge *x)
{
    struct csl_msg text = forge_text(x);
    enum csl_code code = verify_bytes(csl_msg_span(&text), &options, &verdict);
    csl_msg_release(&text);
    return code;
}

static void assert_bad(const char *name, size_t at)
{
    enum csl_code code = verify(&f);
    if (code != CSL_E_CORRUPT || verdict.bad_entry != at)
        fail_msg("%s: %s, entry %lld (%s); entry %zu would be right", name, csl_code_name(code),
                 (long long)verdict.bad_entry, verdict.why, at);
}

static void test_ledger_forgery__nothing_forged__sound(void **state)
{
    (void)state;
    assert_int_equal(verify(&good), CSL_OK);
    assert_int_equal(verdict.entries, AT_END);
    assert_int_equal(verdict.charges, 4);
    assert_int_equal(verdict.refusals, 1);
    assert_int_equal(verdict.countersignatures, 2);
    assert_int_equal(verdict.countersigned_size, AT_COUNTERSIGN_2);
    assert_string_equal(verdict.site, "north");
    f = good; /* the tools of the forger put a sound export together too */
    forge_chain(&f, 0, ORIGIN, &site_key);
    assert_int_equal(verify(&f), CSL_OK);
}

/* One field of one entry. */
#define EDIT(name, statement)                                                                      \
    static void name(struct csl_ledger_entry *e)                                                   \
    {                                                                                              \
        statement;                                                                                 \
    }
EDIT(site_name, e->u.open.site[0] = 's')
EDIT(site_public_key, e->u.open.public_key[3] ^= 1)
EDIT(time_later, e->time_s += 1)
EDIT(link_bit, e->link[9] ^= 4)
EDIT(budget_wider, e->u.policy.budgets[0].epsilon = 11)
EDIT(budget_delta, e->u.policy.budgets[0].delta = 0.5)
EDIT(budget_window, e->u.policy.budgets[0].window_s = 60)
EDIT(budget_cohort, e->u.policy.budgets[0].cohort[0] = 'x')
EDIT(budget_added, e->u.policy.budgets[e->u.policy.budget_count++] = e->u.policy.budgets[0])
EDIT(policy_digest, e->u.policy.digest[0] ^= 1)
EDIT(plan_rounds, e->u.approve.rounds = 1000)
EDIT(plan_delta, e->u.approve.delta = 1e-2)
EDIT(plan_steps, e->u.approve.events[0].steps = 400)
EDIT(plan_noise, e->u.approve.events[0].noise_multiplier = 1)
EDIT(plan_cohort, e->u.approve.cohort[0] = 'x')
EDIT(plan_study, e->u.approve.digest[8] ^= 1)
EDIT(plan_rehearsal, e->u.approve.is_rehearsal = true)
EDIT(request_steps, e->u.request.events[0].steps = 1)
EDIT(request_round, e->u.request.round += 1)
EDIT(request_attempt, e->u.request.attempt += 1)
EDIT(request_study, e->u.request.study_digest[0] ^= 1)
EDIT(entry_policy, e->policy_digest[1] ^= 1)
EDIT(epsilon_smaller, e->epsilon_after *= 0.5)
EDIT(epsilon_before_smaller, e->epsilon_before *= 0.5)
EDIT(charge_steps, e->u.charge.events[0].steps -= 1)
EDIT(charge_noise, e->u.charge.events[0].noise_multiplier *= 2)
EDIT(charge_mechanism, e->u.charge.events[0].mechanism = CSL_DP_SKELLAM)
EDIT(charge_sampler, e->u.charge.events[0].sampler = CSL_DP_POISSON)
EDIT(charge_rate, e->u.charge.events[0].sampling_rate = 0.5)
EDIT(charge_grid, e->u.charge.events[0].l2_units = 1)
EDIT(charge_clip, e->u.charge.clip = 1)
EDIT(charge_normaliser, e->u.charge.normaliser = 65)
EDIT(charge_band, e->u.charge.cohort_band += 1)
EDIT(charge_cohort, e->u.charge.cohort_digest[31] ^= 1)
EDIT(charge_update, e->u.charge.update_digest[0] ^= 128)
EDIT(charge_software, e->u.charge.software[9] = 'f')
EDIT(charge_rehearsal, e->u.charge.is_rehearsal = true)
EDIT(charge_round, e->u.charge.round += 1)
EDIT(charge_attempt, e->u.charge.attempt += 1)
EDIT(charge_reservation, e->reservation = 1)
EDIT(settle_turned, e->u.settle.was_released = !e->u.settle.was_released)
EDIT(settle_reservation, e->reservation = AT_RESERVE)
EDIT(refuse_budget, e->budget = 1)
EDIT(stop_reason, e->u.stop.reason = CSL_LEDGER_STOP_CHARGE)
EDIT(stop_study, e->u.stop.study_digest[0] ^= 1)
EDIT(counter_name, e->u.countersign.peer[0] = 'p')
EDIT(counter_key, e->u.countersign.public_key[0] ^= 1)
EDIT(counter_size, e->u.countersign.size -= 1)
EDIT(counter_root, e->u.countersign.root[0] ^= 1)
EDIT(counter_signature, e->u.countersign.signature[7] ^= 1)
EDIT(withdrawal_band, e->u.withdrawal.cohort_band = 9)
EDIT(withdrawal_digest, e->u.withdrawal.cohort_digest[0] ^= 1)
EDIT(clock_wall, e->u.clock.wall_s -= 86400)

static const struct {
    const char *name;
    size_t at;
    void (*edit)(struct csl_ledger_entry *);
} edits[] = {
#define E(at, edit)                                                                                \
    {                                                                                              \
#edit, at, edit                                                                            \
    }
    E(AT_OPEN, site_name),
    E(AT_OPEN, site_public_key),
    E(AT_CHARGE, time_later),
    E(AT_CHARGE, link_bit),
    E(AT_POLICY, budget_wider),
    E(AT_POLICY_2, budget_wider),
    E(AT_POLICY, budget_delta),
    E(AT_POLICY, budget_window),
    E(AT_POLICY, budget_cohort),
    E(AT_POLICY, budget_added),
    E(AT_POLICY, policy_digest),
    E(AT_APPROVE_A, plan_rounds),
    E(AT_APPROVE_A, plan_delta),
    E(AT_APPROVE_A, plan_steps),
    E(AT_APPROVE_A, plan_noise),
    E(AT_APPROVE_A, plan_cohort),
    E(AT_APPROVE_B, plan_study),
    E(AT_APPROVE_B, plan_rehearsal),
    E(AT_RESERVE, request_steps),
    E(AT_RESERVE, request_round),
    E(AT_RESERVE, request_attempt),
    E(AT_RESERVE, request_study),
    E(AT_RESERVE, entry_policy),
    E(AT_RESERVE_2, epsilon_smaller),
    E(AT_RESERVE_2, epsilon_before_smaller),
    E(AT_CHARGE, charge_steps),
    E(AT_CHARGE, charge_noise),
    E(AT_CHARGE, charge_mechanism),
    E(AT_CHARGE, charge_sampler),
    E(AT_CHARGE, charge_rate),
    E(AT_CHARGE, charge_grid),
    E(AT_CHARGE, charge_clip),
    E(AT_CHARGE, charge_normaliser),
    E(AT_CHARGE, charge_band),
    E(AT_CHARGE, charge_cohort),
    E(AT_CHARGE, charge_update),
    E(AT_CHARGE, charge_software),
    E(AT_CHARGE, charge_rehearsal),
    E(AT_CHARGE, charge_round),
    E(AT_CHARGE, charge_attempt),
    E(AT_CHARGE, charge_reservation),
    E(AT_CHARGE, entry_policy),
    E(AT_CHARGE_2, epsilon_smaller),
    E(AT_PUBLISH, charge_steps),
    E(AT_PUBLISH, charge_update),
    E(AT_SETTLE, settle_turned),
    E(AT_SETTLE_BACK, settle_turned),
    E(AT_SETTLE, settle_reservation),
    E(AT_SETTLE_BACK, epsilon_smaller),
    E(AT_REFUSE, refuse_budget),
    E(AT_REFUSE, request_round),
    E(AT_STOP, stop_reason),
    E(AT_STOP, stop_study),
    E(AT_COUNTERSIGN, counter_name),
    E(AT_COUNTERSIGN, counter_key),
    E(AT_COUNTERSIGN, counter_size),
    E(AT_COUNTERSIGN, counter_root),
    E(AT_COUNTERSIGN, counter_signature),
    E(AT_COUNTERSIGN_2, counter_signature),
    E(AT_WITHDRAWAL, withdrawal_band),
    E(AT_WITHDRAWAL, withdrawal_digest),
    E(AT_CLOCK, clock_wall),
};
#define EDITS (sizeof(edits) / sizeof(edits[0]))

static void apply_edit(size_t i)
{
    f = good;
    struct csl_ledger_entry e = forge_entry(&f, edits[i].at);
    edits[i].edit(&e);
    forge_set(&f, edits[i].at, &e);
}

static void test_ledger_forgery__one_field_changed__named(void **state)
{
    (void)state;
    _Static_assert(EDITS >= 51, "kinds of forgery");
    for (size_t i = 0; i < EDITS; i++) {
        apply_edit(i);
        assert_bad(edits[i].name, edits[i].at);
    }
}

static void test_ledger_forgery__one_field_changed_and_chained_again__named(void **state)
{
    (void)state;
    for (size_t i = 0; i < EDITS; i++) {
        if (edits[i].edit == link_bit)
            continue; /* chaining again repairs it */
        apply_edit(i);
        forge_chain(&f, edits[i].at + 1, ORIGIN, NULL);
        assert_bad(edits[i].name, edits[i].at);
    }
}

static void test_ledger_forgery__one_field_changed_and_signed_by_another_key__named(void **state)
{
    (void)state;
    for (size_t i = 0; i < EDITS; i++) {
        if (edits[i].edit == link_bit)
            continue;
        apply_edit(i);
        forge_chain(&f, edits[i].at, ORIGIN, &other_key);
        assert_bad(edits[i].name, edits[i].at);
    }
}

/* The site rewrites its own history with its own key: what breaks a rule is found at once, and what
 * does not is found by the head that the hub countersigned. */
static void test_ledger_forgery__one_field_changed_by_the_site__found(void **state)
{
    (void)state;
    forge_head(&good, AT_END, ORIGIN, &site_key, &known[0]);
    options.known_heads = known;
    options.known_head_count = 1;
    for (size_t i = 0; i < EDITS; i++) {
        if (edits[i].edit == link_bit)
            continue;
        apply_edit(i);
        forge_chain(&f, edits[i].at, ORIGIN, &site_key);
        enum csl_code code = verify(&f);
        if (code != CSL_E_CORRUPT || verdict.bad_entry < edits[i].at)
            fail_msg("%s: %s, entry %lld", edits[i].name, csl_code_name(code),
                     (long long)verdict.bad_entry);
    }
}

/* Countersignatures stand for themselves: no other head and no peer list is needed. */
static void test_ledger_forgery__countersignature_changed_by_the_site__named(void **state)
{
    (void)state;
    options.peer_count = 0;
    for (size_t i = 0; i < EDITS; i++) {
        bool is_countersignature = edits[i].at == AT_COUNTERSIGN || edits[i].at == AT_COUNTERSIGN_2;
        if (!is_countersignature || edits[i].edit == counter_name)
            continue; /* the name is the site's word until a peer list says otherwise */
        apply_edit(i);
        forge_chain(&f, edits[i].at, ORIGIN, &site_key);
        assert_bad(edits[i].name, edits[i].at);
    }
}

/* Everything made consistent again, the countersignatures taken out: only what the hub kept tells.
 */
static void test_ledger_forgery__history_rewritten_by_the_site__the_hubs_head_tells(void **state)
{
    (void)state;
    struct csl_ledger_entry e = forge_entry(&good, AT_CHARGE);
    forge_head(&good, AT_COUNTERSIGN, ORIGIN, &site_key, &known[0]);
    e.u.charge.update_digest[0] ^= 1;
    f = good;
    forge_set(&f, AT_CHARGE, &e);
    forge_remove(&f, AT_COUNTERSIGN_2);
    e = forge_entry(&good, AT_CLOCK); /* keeps the reservations' numbers right */
    e.time_s = forge_entry(&good, AT_SETTLE).time_s;
    forge_set(&f, AT_COUNTERSIGN, &e);
    forge_chain(&f, AT_CHARGE, ORIGIN, &site_key);
    assert_int_equal(verify(&f), CSL_OK);
    options.known_heads = known;
    options.known_head_count = 1;
    assert_bad("rewritten", AT_COUNTERSIGN - 1);
    known[0].size++; /* no head that the site signed */
    assert_int_equal(verify(&f), CSL_E_INVAL);
}

static void test_ledger_forgery__every_entry_dropped_doubled_or_moved__named(void **state)
{
    (void)state;
    for (size_t at = 0; at < AT_END; at++) {
        bool is_last = at + 1 == AT_END;
        f = good;
        forge_remove(&f, at);
        assert_bad("dropped", at);
        f = good;
        memmove(&f.records[at + 1], &f.records[at], (f.count - at) * sizeof(f.records[0]));
        f.count++;
        assert_bad("doubled", at + 1);
        f = good;
        f.records[at].byte_count--;
        assert_bad("cut", at);
        f = good;
        f.records[at].signature[40] ^= 1;
        assert_bad("signature", at);
        if (is_last)
            continue;
        f = good;
        f.records[at] = good.records[at + 1];
        f.records[at + 1] = good.records[at];
        assert_bad("swapped", at);
        f = good;
        memcpy(f.records[at].signature, good.records[at + 1].signature, 64);
        assert_bad("signature of another", at);
        f = good;
        f.records[at].byte_count = good.records[at + 1].byte_count;
        memcpy(f.records[at].bytes, good.records[at + 1].bytes, CSL_LEDGER_ENTRY_MAX);
        assert_bad("replaced", at);
        f = good;
        forge_remove(&f, at);
        forge_chain(&f, at, ORIGIN, &other_key);
        assert_bad("dropped and signed by another key", at);
    }
}

static void test_ledger_forgery__end_cut_off__named(void **state)
{
    (void)state;
    struct csl_checkpoint head;
    for (size_t size = 0; size < AT_END; size++) {
        f = good;
        f.count = size;
        assert_bad("end cut off", size);
        if (size == 0)
            continue;
        /* With a head that the site did sign when it was that long, only others' heads tell. */
        forge_head(&f, size, ORIGIN, &site_key, &head);
        csl_checkpoint_write(&head, site_key.public_key, f.checkpoint);
        assert_int_equal(verify(&f), CSL_OK);
        forge_head(&good, AT_END, ORIGIN, &site_key, &known[0]);
        options.known_heads = known;
        options.known_head_count = 1;
        assert_bad("end cut off with an old head", size);
        options.known_head_count = 0;
    }
}

static void test_ledger_forgery__signed_head_of_another_ledger__named(void **state)
{
    (void)state;
    struct csl_checkpoint head;
    f = good;
    forge_head(&f, AT_END - 1, ORIGIN, &site_key, &head);
    csl_checkpoint_write(&head, site_key.public_key, f.checkpoint);
    assert_bad("an older head", AT_END);
    forge_head(&f, AT_END, "consilium-ledger/south", &site_key, &head);
    csl_checkpoint_write(&head, site_key.public_key, f.checkpoint);
    assert_bad("another site's head", AT_END);
    forge_head(&f, AT_END, ORIGIN, &other_key, &head);
    csl_checkpoint_write(&head, other_key.public_key, f.checkpoint);
    assert_bad("another key's head", AT_END);
    forge_head(&f, AT_END, ORIGIN, &site_key, &head);
    head.root[5] ^= 1;
    csl_checkpoint_sign(&head, &site_key);
    csl_checkpoint_write(&head, site_key.public_key, f.checkpoint);
    assert_bad("another root", AT_END);
    f.checkpoint[0] = '\0';
    assert_bad("no head", AT_END);
}

static void test_ledger_forgery__whole_ledger_of_another_site__named(void **state)
{
    (void)state;
    f = good;
    forge_chain(&f, 0, ORIGIN, &other_key);
    assert_bad("signed anew by another", AT_OPEN);
    struct csl_ledger_entry e = forge_entry(&good, AT_OPEN);
    memcpy(e.u.open.public_key, other_key.public_key, 32);
    f = good;
    forge_set(&f, AT_OPEN, &e);
    forge_chain(&f, 0, ORIGIN, &other_key);
    assert_bad("another's ledger", AT_OPEN);
    struct world south; /* its entries behind ours */
    world_make(&south);
    south.config.site = "south";
    world_open(&south);
    make_every_kind(&south, &peer_key);
    struct forge theirs;
    forge_read(&theirs, south.out);
    f = good;
    for (size_t at = 1; at < AT_END; at++) {
        memcpy(&f, &good, sizeof(f));
        f.records[at] = theirs.records[at];
        assert_bad("another site's entry", at);
    }
    world_remove(&south);
}

/* Rules that the site itself breaks, with its own key and nobody watching. */
static void insert_by_site(const char *name, size_t from, size_t at,
                           void (*edit)(struct csl_ledger_entry *))
{
    struct csl_ledger_entry e = forge_entry(&good, from);
    f = good;
    e.time_s = forge_entry(&good, at < AT_END ? at : AT_END - 1).time_s;
    if (edit != NULL)
        edit(&e);
    forge_insert(&f, at, &e);
    forge_chain(&f, at, ORIGIN, &site_key);
    assert_bad(name, at);
}

static void remove_by_site(const char *name, size_t at, size_t expected)
{
    f = good;
    forge_remove(&f, at);
    forge_chain(&f, at, ORIGIN, &site_key);
    assert_bad(name, expected);
}

EDIT(time_back, e->time_s -= 1)
EDIT(charge_more, e->u.charge.events[0].steps += 1)
EDIT(settle_less, e->epsilon_after *= 0.9)
EDIT(recover_negative, e->kind = CSL_LEDGER_RECOVER; memset(&e->u, 0, sizeof(e->u));
     e->u.recover.epsilon = -1)
EDIT(huge, e->u.request.events[0].steps = UINT64_MAX)

static void test_ledger_forgery__site_breaks_a_rule__named(void **state)
{
    (void)state;
    insert_by_site("opened twice", AT_OPEN, 5, NULL);
    insert_by_site("approved twice", AT_APPROVE_A, 9, NULL);
    insert_by_site("reserved before approval", AT_RESERVE, AT_APPROVE_A, NULL);
    insert_by_site("reserved under no policy", AT_RESERVE, AT_POLICY, NULL);
    insert_by_site("reserved twice", AT_RESERVE, AT_CHARGE, NULL);
    insert_by_site("charged before reservation", AT_CHARGE, AT_RESERVE, NULL);
    insert_by_site("charged twice", AT_CHARGE, AT_RESERVE_2, NULL);
    insert_by_site("charged after settling", AT_CHARGE_2, AT_COUNTERSIGN, NULL);
    insert_by_site("charged more than reserved", AT_CHARGE, AT_CHARGE, charge_more);
    insert_by_site("settled twice", AT_SETTLE, AT_COUNTERSIGN, NULL);
    insert_by_site("settled for more than it was", AT_SETTLE_BACK, AT_SETTLE_BACK, settle_less);
    insert_by_site("published twice", AT_PUBLISH, AT_RESERVE_4, NULL);
    insert_by_site("published after the stop", AT_PUBLISH, AT_CHARGE_4, charge_round);
    insert_by_site("stopped twice", AT_STOP, AT_CHARGE_4, NULL);
    insert_by_site("refused though it fits", AT_REFUSE, AT_STOP, refuse_budget);
    insert_by_site("more steps than planned", AT_RESERVE, AT_RESERVE, huge);
    insert_by_site("countersigned a head that lies ahead", AT_COUNTERSIGN_2, AT_COUNTERSIGN, NULL);
    insert_by_site("negative loss", AT_CLOCK, AT_CLOCK, recover_negative);
    insert_by_site("time goes back", AT_CLOCK, AT_END, time_back);
    remove_by_site("no opening", AT_OPEN, 0);
    remove_by_site("no policy", AT_POLICY, AT_RESERVE - 1);
    remove_by_site("no approval", AT_APPROVE_A, AT_RESERVE - 1);
    remove_by_site("charge without reservation", AT_RESERVE_4, AT_CHARGE_4 - 1);
    remove_by_site("charge removed, head was countersigned", AT_CHARGE, AT_CHARGE_2 - 1);
    remove_by_site("withdrawal removed, head was countersigned", AT_WITHDRAWAL,
                   AT_COUNTERSIGN_2 - 1);
}

static void test_ledger_forgery__site_spends_over_its_budget__named(void **state)
{
    (void)state;
    /* The refused reservation as a granted one. */
    struct csl_ledger_entry e = forge_entry(&good, AT_REFUSE);
    e.kind = CSL_LEDGER_RESERVE;
    f = good;
    forge_set(&f, AT_REFUSE, &e);
    forge_chain(&f, AT_REFUSE, ORIGIN, &site_key);
    assert_bad("over budget", AT_REFUSE);
    e.epsilon_after = 0.1; /* and with a kinder price */
    forge_set(&f, AT_REFUSE, &e);
    forge_chain(&f, AT_REFUSE, ORIGIN, &site_key);
    assert_bad("understated", AT_REFUSE);
}

static void test_ledger_forgery__countersigner_with_another_key__named(void **state)
{
    (void)state;
    struct csl_ledger_entry e = forge_entry(&good, AT_COUNTERSIGN);
    struct csl_checkpoint head;
    f = good;
    forge_head(&f, AT_COUNTERSIGN, ORIGIN, &site_key, &head);
    csl_checkpoint_countersign(&head, &other_key, e.u.countersign.signature);
    memcpy(e.u.countersign.public_key, other_key.public_key, 32);
    forge_set(&f, AT_COUNTERSIGN, &e);
    forge_chain(&f, AT_COUNTERSIGN, ORIGIN, &site_key);
    assert_bad("countersigned by another key in the hub's name", AT_COUNTERSIGN);
    options.peer_count = 0; /* and without knowing the hub it is somebody's, not the hub's */
    memcpy(&f, &good, sizeof(f));
    assert_int_equal(verify(&f), CSL_OK);
    assert_int_equal(verdict.countersignatures, 0);
    assert_int_equal(verdict.countersignatures_unknown, 2);
}

static void test_ledger_forgery__every_byte_of_a_small_export_flipped__found(void **state)
{
    (void)state;
    struct forge small = good;
    struct csl_checkpoint head;
    small.count = AT_SETTLE + 1;
    forge_head(&small, small.count, ORIGIN, &site_key, &head);
    csl_checkpoint_write(&head, site_key.public_key, small.checkpoint);
    assert_int_equal(verify(&small), CSL_OK);
    struct csl_msg text = forge_text(&small);
    for (size_t i = 0; i < text.n; i++) {
        text.p[i] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(verify_bytes(csl_msg_span(&text), &options, &verdict), CSL_E_CORRUPT);
        text.p[i] ^= (uint8_t)(1u << i % 8);
        if (i % 16 == 0) /* and every way of cutting it off */
            assert_int_equal(verify_bytes(CSL_SPAN(text.p, i), &options, &verdict), CSL_E_CORRUPT);
    }
    csl_msg_release(&text);
}

static void test_ledger_forgery__diff__common_start_and_who_is_longer(void **state)
{
    (void)state;
    char other[CSL_PATH_MAX];
    struct csl_ledger_difference d;
    snprintf(other, sizeof(other), "%s/other.export", w.dir);
    struct csl_ledger_study s = study_number(9, 1);
    world_register(&w, &s);
    must(csl_ledger_export(w.l, other, &w.err), &w.err);
    FILE *a = fopen(w.out, "r"), *b = fopen(other, "r");
    must(csl_ledger_diff(a, b, &d, &w.err), &w.err);
    assert_int_equal(d.common, AT_END);
    assert_int_equal(d.size_a, AT_END);
    assert_int_equal(d.size_b, AT_END + 1);
    FILE *again = fopen(other, "r");
    must(csl_ledger_diff(b, again, &d, &w.err), &w.err);
    assert_int_equal(d.common, AT_END + 1);
    fclose(again);
    f = good;
    apply_edit(20);
    struct csl_msg text = forge_text(&f);
    FILE *c = fmemopen(text.p, text.n, "r");
    must(csl_ledger_diff(a, c, &d, &w.err), &w.err);
    assert_int_equal(d.common, edits[20].at);
    assert_int_equal(d.size_b, AT_END);
    fclose(a);
    fclose(b);
    fclose(c);
    csl_msg_release(&text);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
    const struct CMUnitTest tests[] = {
        T(test_ledger_forgery__nothing_forged__sound),
        T(test_ledger_forgery__one_field_changed__named),
        T(test_ledger_forgery__one_field_changed_and_chained_again__named),
        T(test_ledger_forgery__one_field_changed_and_signed_by_another_key__named),
        T(test_ledger_forgery__one_field_changed_by_the_site__found),
        T(test_ledger_forgery__countersignature_changed_by_the_site__named),
        T(test_ledger_forgery__history_rewritten_by_the_site__the_hubs_head_tells),
        T(test_ledger_forgery__every_entry_dropped_doubled_or_moved__named),
        T(test_ledger_forgery__end_cut_off__named),
        T(test_ledger_forgery__signed_head_of_another_ledger__named),
        T(test_ledger_forgery__whole_ledger_of_another_site__named),
        T(test_ledger_forgery__site_breaks_a_rule__named),
        T(test_ledger_forgery__site_spends_over_its_budget__named),
        T(test_ledger_forgery__countersigner_with_another_key__named),
        T(test_ledger_forgery__every_byte_of_a_small_export_flipped__found),
        T(test_ledger_forgery__diff__common_start_and_who_is_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
