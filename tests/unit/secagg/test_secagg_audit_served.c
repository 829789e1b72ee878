/* M14: nothing is served but what was promised, and nothing before M13 (pitfall 51 of the design).
 */
#include "base/le.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "tests/unit/secagg/audited.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MEMBERS = 5 };

static struct csl_msg request(const struct audited *a, uint32_t index, uint32_t block,
                              uint32_t chunk)
{
    uint8_t chunks[8];
    csl_store_le32(chunks, block);
    csl_store_le32(chunks + 4, chunk);
    struct csl_secagg_message m = {.type = CSL_SECAGG_AUDIT,
                                   .site = a->w.sites[index].id,
                                   .u.audit = {.count = 1, .chunks = chunks}};
    memcpy(m.id, csl_secagg_coordinator_sid(a->w.coordinator), 32);
    return attack_forge(&m, &a->w.sites[index].key);
}

static enum csl_code ask(const struct audited *a, uint32_t from, struct csl_msg m)
{
    struct csl_secagg_message out;
    struct csl_err err;
    enum csl_code code =
        csl_secagg_coordinator_audit_check(a->w.coordinator, from, csl_msg_span(&m), &out, &err);
    csl_msg_release(&m);
    return code;
}

static void test_secagg_pitfall_51__audit_before_the_result__nothing_is_served(void **state)
{
    struct audited a;
    struct csl_buf out;
    struct csl_msg m;
    (void)state;
    audited_release(&a, 5, 3); /* every secret is known to the coordinator already */
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    assert_int_equal(ask(&a, a.w.sites[0].id, request(&a, 0, 0, 0)), CSL_E_STATE);
    assert_int_equal(csl_secagg_coordinator_audit_answer(a.w.coordinator, 0, 0, a.roots[0],
                                                         a.hashes[0][0], &out, NULL),
                     CSL_E_STATE);
    assert_int_equal(audited_serve(&a, 0, 0, 0, a.w.received[0].block[0], &m), CSL_E_STATE);
    assert_int_equal(out.n, 0);
    assert_int_equal(m.n, 0);
    audited_publish(&a);
    assert_int_equal(ask(&a, a.w.sites[0].id, request(&a, 0, 0, 0)), CSL_OK);
    audited_unmake(&a);
}

static void test_secagg_pitfall_51__requests__only_whole_and_signed_ones(void **state)
{
    struct audited a;
    (void)state;
    audited_make(&a, 5, 3);
    uint32_t id = a.w.sites[0].id;
    assert_int_equal(ask(&a, id, request(&a, 0, 0, 0)), CSL_OK);
    assert_int_equal(ask(&a, a.w.sites[AUDITED_LOST].id, request(&a, AUDITED_LOST, 2, 0)),
                     CSL_OK); /* any site */
    assert_int_equal(ask(&a, id, request(&a, 0, 0, 1)), CSL_E_INVAL);
    assert_int_equal(ask(&a, id, request(&a, 0, AUDITED_BLOCKS, 0)), CSL_E_INVAL);
    assert_int_equal(ask(&a, id, request(&a, 1, 0, 0)), CSL_E_UNAUTH);
    struct csl_msg m = request(&a, 0, 0, 0);
    struct csl_secagg_message view = attack_view(&m);
    assert_int_equal(ask(&a, id, attack_forge(&view, &a.w.sites[1].key)), CSL_E_CRYPTO);
    view.id[0] ^= 1;
    assert_int_equal(ask(&a, id, attack_forge(&view, &a.w.sites[0].key)), CSL_E_STATE);
    view.id[0] ^= 1;
    view.site = 4000;
    assert_int_equal(ask(&a, 4000, attack_forge(&view, &a.w.sites[0].key)), CSL_E_DENIED);
    view.site = id;
    view.u.audit.count = 0;
    assert_int_equal(ask(&a, id, attack_forge(&view, &a.w.sites[0].key)), CSL_E_PROTO);
    uint8_t twice[16] = {0}; /* the same chunk twice: not ascending */
    view.u.audit.count = 2;
    view.u.audit.chunks = twice;
    assert_int_equal(ask(&a, id, attack_forge(&view, &a.w.sites[0].key)), CSL_E_PROTO);
    assert_int_equal(world_tell_coordinator(&a.w, id, csl_msg_span(&m)), CSL_E_PROTO);
    csl_msg_release(&m);
    audited_unmake(&a);
}

/* With c = 0 nothing is claimed against a coordinator that one site helps; an auditor would be it.
 */
static void test_secagg_pitfall_51__no_colluding_site_assumed__no_audit(void **state)
{
    struct audited a;
    struct csl_buf out;
    struct csl_msg m;
    (void)state;
    audited_release_with(&a, 5, 0, 3);
    audited_publish(&a);
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    assert_int_equal(ask(&a, a.w.sites[0].id, request(&a, 0, 0, 0)), CSL_E_DENIED);
    assert_int_equal(csl_secagg_coordinator_audit_answer(a.w.coordinator, 0, 0, a.roots[0],
                                                         a.hashes[0][0], &out, NULL),
                     CSL_E_DENIED);
    assert_int_equal(audited_serve(&a, 0, 0, 0, a.w.received[0].block[0], &m), CSL_E_DENIED);
    assert_int_equal(out.n + m.n, 0);
    audited_unmake(&a);
}

/* y of U3 only, b of U3, s of the lost: no other secret of any site is in an answer. */
static void test_secagg_pitfall_51__answer__holds_what_was_promised(void **state)
{
    struct audited a;
    struct csl_msg m;
    (void)state;
    audited_make(&a, 5, 3);
    world_upload(&a.w, AUDITED_LOST); /* it came late: its upload is here, and stays here */
    a.w.received[AUDITED_LOST].block[0] = a.w.received[AUDITED_LOST].block[0] != NULL
                                              ? a.w.received[AUDITED_LOST].block[0]
                                              : csl_alloc_array(3, sizeof(uint64_t));
    assert_non_null(a.w.received[AUDITED_LOST].block[0]);
    assert_int_equal(audited_serve(&a, AUDITED_LOST, 0, 0, a.w.received[AUDITED_LOST].block[0], &m),
                     CSL_E_DENIED);
    m = audited_answer(&a, 0, 0);
    const struct csl_secagg_message view = attack_view(&m);
    const struct csl_secagg_audited *k = &view.u.audited;
    assert_int_equal(k->count, MEMBERS);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct csl_point is;
        const struct csl_point *b = k->commitments + (size_t)2 * k->threshold * i;
        assert_int_equal(csl_point_base(&k->secrets[i], &is, NULL), CSL_OK);
        assert_true(csl_point_equal(&is, i == AUDITED_LOST ? b + k->threshold : b));
    }
    /* Nothing else has room in it. */
    size_t fixed = CSL_SECAGG_HEADER_BYTES + 32 + 4 * 6;
    assert_int_equal(m.n, fixed + 32 * MEMBERS + (size_t)64 * MEMBERS * k->threshold +
                              32 * AUDITED_BLOCKS + 32);
    csl_msg_release(&m);
    audited_unmake(&a);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secagg_pitfall_51__audit_before_the_result__nothing_is_served),
        cmocka_unit_test(test_secagg_pitfall_51__requests__only_whole_and_signed_ones),
        cmocka_unit_test(test_secagg_pitfall_51__no_colluding_site_assumed__no_audit),
        cmocka_unit_test(test_secagg_pitfall_51__answer__holds_what_was_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
