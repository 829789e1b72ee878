/* M14: whoever alters the sum, an upload or a secret is caught. */
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "tests/unit/secagg/audited.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_secagg_audit__honest_coordinator__every_chunk_passes(void **state)
{
    struct audited a;
    (void)state;
    audited_make(&a, 5, 2 * CSL_PRG_CHUNK_WORDS + 5);
    for (uint32_t b = 0; b < AUDITED_BLOCKS; b++)
        for (uint32_t c = 0; c < csl_secagg_block_chunks(&a.w.config, b); c++)
            assert_int_equal(audited_verify(&a, b, c), CSL_OK);
    audited_unmake(&a);
}

/* Nine of a roster of 129: shares on a sparse graph. Every word of the answer is checked. */
static void test_secagg_audit__graph_1__passes_and_each_false_answer_is_caught(void **state)
{
    const struct world_plan plan = {.n = 9,
                                    .colluding = 1,
                                    .blocks = 2,
                                    .scalars = 2,
                                    .entries_max = 30,
                                    .has_sparse_graphs = true,
                                    .revoked = 120,
                                    .share_degree = 4,
                                    .share_threshold = 3};
    struct audited a;
    (void)state;
    audited_release_plan(&a, &plan, CSL_PRG_CHUNK_WORDS + 5);
    a.sum[1][0] ^= 1;
    audited_publish(&a);
    assert_int_equal(audited_verify(&a, 0, 0), CSL_OK);
    assert_int_equal(audited_verify(&a, 0, 1), CSL_OK);
    assert_int_equal(audited_verify(&a, 1, 0), CSL_E_CORRUPT);
    assert_int_equal(audited_verify(&a, 2, 0), CSL_OK);
    struct csl_secagg_audit *audit = audited_begin(&a, 0, 0);
    struct csl_msg m = audited_answer(&a, 0, 0);
    const struct csl_secagg_message right = attack_view(&m);
    struct csl_secagg_message view = right;
    struct csl_scalar values[9];
    struct csl_point points[9 * 3 * 3];
    assert_int_equal(view.type, CSL_SECAGG_SPARSE_AUDITED);
    assert_int_equal(view.u.audited.count, 9);
    memcpy(values, right.u.audited.r, sizeof(values));
    values[4] = values[5];
    view.u.audited.r = values;
    assert_int_equal(audited_give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    view = right;
    memcpy(values, right.u.audited.secrets, sizeof(values));
    values[4] = values[5];
    view.u.audited.secrets = values;
    assert_int_equal(audited_give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    for (uint32_t i = 0; i < 3; i++) { /* of b, of s, of r */
        view = right;
        memcpy(points, right.u.audited.commitments, sizeof(points));
        points[4 * 9 + 3 * i + 2] = points[0];
        view.u.audited.commitments = points;
        assert_int_equal(audited_give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    }
    view = right; /* as on the complete graph */
    view.type = CSL_SECAGG_AUDITED;
    view.u.audited.r = NULL;
    assert_int_equal(audited_give(audit, attack_forge(&view, NULL)), CSL_E_PROTO);
    assert_int_equal(audited_give(audit, m), CSL_OK);
    csl_secagg_audit_free(audit);
    audited_unmake(&a);
}

/* The session is the one that a restarted coordinator serves, too. */
static void test_secagg_audit__coordinator_restarted__it_serves_the_same(void **state)
{
    struct audited a;
    (void)state;
    audited_make(&a, 5, 3);
    struct csl_msg before = audited_answer(&a, 0, 0);
    world_restart_coordinator(&a.w);
    struct csl_msg after = audited_answer(&a, 0, 0);
    assert_true(csl_span_equal(csl_msg_span(&before), csl_msg_span(&after)));
    csl_msg_release(&before);
    csl_msg_release(&after);
    audited_unmake(&a);
}

static void test_secagg_audit__one_word_of_the_sum_altered__that_chunk_is_caught(void **state)
{
    struct audited a;
    (void)state;
    audited_release(&a, 5, 2 * CSL_PRG_CHUNK_WORDS + 5);
    a.sum[0][CSL_PRG_CHUNK_WORDS + 77] ^= 1;
    audited_publish(&a);
    assert_int_equal(audited_verify(&a, 0, 0), CSL_OK);
    assert_int_equal(audited_verify(&a, 0, 1), CSL_E_CORRUPT);
    assert_int_equal(audited_verify(&a, 0, 2), CSL_OK);
    assert_int_equal(audited_verify(&a, 2, 0), CSL_OK);
    audited_unmake(&a);
}

/* 2 of 8 chunks altered: of all pairs of chunks that an auditor may draw, those with an altered one
 * are caught; the share of them is not below 1 - (1 - f)^a with f = 1/4, a = 2. Exact, all pairs.
 */
static void test_secagg_audit__fraction_altered__detection_as_promised(void **state)
{
    struct audited a;
    bool is_caught[8];
    uint32_t caught = 0, pairs = 0;
    (void)state;
    audited_release(&a, 4, 8 * CSL_PRG_CHUNK_WORDS);
    a.sum[0][1 * CSL_PRG_CHUNK_WORDS] += 1;
    a.sum[0][6 * CSL_PRG_CHUNK_WORDS + 3] += 1;
    audited_publish(&a);
    for (uint32_t c = 0; c < 8; c++) {
        is_caught[c] = audited_verify(&a, 0, c) == CSL_E_CORRUPT;
        assert_true(is_caught[c] == (c == 1 || c == 6));
    }
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t j = 0; j < i; j++, pairs++)
            caught += is_caught[i] || is_caught[j] ? 1 : 0;
    assert_true(16 * caught >= (16 - 9) * pairs);
    audited_unmake(&a);
}

/* ---- what a coordinator may try in its answers ---- */

static void test_secagg_audit__altered_upload__caught(void **state)
{
    struct audited a;
    struct csl_msg m, forged;
    (void)state;
    audited_make(&a, 5, 3);
    a.w.received[1].block[0][2] += 1; /* its own side of the API does not even serve it */
    assert_int_equal(audited_serve(&a, 1, 0, 0, a.w.received[1].block[0], &m), CSL_E_INVAL);
    a.w.received[1].block[0][2] -= 1;
    struct csl_secagg_audit *audit = audited_begin(&a, 0, 0);
    assert_int_equal(audited_give(audit, audited_answer(&a, 0, 0)), CSL_OK);
    m = audited_upload(&a, 1, 0, 0);
    struct csl_secagg_message view = attack_view(&m);
    uint64_t words[3];
    uint8_t hash[32];
    memcpy(words, view.u.audit_upload.words.p, sizeof(words));
    words[2] += 1;
    view.u.audit_upload.words = CSL_SPAN((const uint8_t *)words, sizeof(words));
    assert_int_equal(audited_give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    csl_sha256_digest(words, sizeof(words), hash); /* with the hash of what it became */
    view.u.audit_upload.hashes = hash;
    assert_int_equal(audited_give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    struct csl_secagg_message manifest; /* and with a manifest that fits, signed by the site */
    assert_int_equal(csl_secagg_decode(&manifest, view.u.audit_upload.manifest, NULL), CSL_OK);
    csl_secagg_root_of(hash, 1, manifest.u.manifest.blocks[0].root);
    forged = attack_forge(&manifest, &a.w.sites[1].key);
    view.u.audit_upload.manifest = csl_msg_span(&forged);
    assert_int_equal(audited_give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    csl_msg_release(&forged);
    csl_msg_release(&m);
    csl_secagg_audit_free(audit);
    audited_unmake(&a);
}

enum { MEMBERS = 5 };

/* An answer with other secrets or commitments. */
static enum csl_code give_secrets(const struct audited *a, const struct csl_scalar *secrets,
                                  const struct csl_point *commitments)
{
    struct csl_secagg_audit *audit = audited_begin(a, 0, 0);
    struct csl_msg m = audited_answer(a, 0, 0);
    struct csl_secagg_message view = attack_view(&m);
    view.u.audited.secrets = secrets;
    view.u.audited.commitments = commitments;
    enum csl_code code = audited_give(audit, attack_forge(&view, NULL));
    assert_int_equal(csl_secagg_audit_finish(audit, NULL), CSL_E_STATE); /* nothing was taken */
    csl_msg_release(&m);
    csl_secagg_audit_free(audit);
    return code;
}

static void test_secagg_audit__swapped_or_wrong_secrets__caught(void **state)
{
    struct audited a;
    struct csl_scalar secrets[MEMBERS], other;
    struct csl_point commitments[MEMBERS * 2 * MEMBERS];
    uint8_t z[32] = {3};
    (void)state;
    audited_make(&a, MEMBERS, 3);
    struct csl_msg m = audited_answer(&a, 0, 0);
    const struct csl_secagg_message view = attack_view(&m);
    const struct csl_secagg_audited *k = &view.u.audited;
    assert_int_equal(k->count, MEMBERS); /* U2, the lost one too */
    size_t points = (size_t)2 * k->threshold;
    assert_int_equal(csl_scalar_derive(z, "b", 0, &other, NULL), CSL_OK);
    memcpy(secrets, k->secrets, sizeof(secrets));
    memcpy(commitments, k->commitments, sizeof(*commitments) * points * MEMBERS);

    secrets[0] = k->secrets[1]; /* b of two survivors */
    secrets[1] = k->secrets[0];
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    memcpy(secrets, k->secrets, sizeof(secrets));
    secrets[AUDITED_LOST] = other; /* s of the lost site */
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    memset(&secrets[AUDITED_LOST], 0xff, 32); /* not canonical */
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    memset(&secrets[AUDITED_LOST], 0, 32);
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    /* A secret with a commitment to it: not the one that T binds. */
    memcpy(secrets, k->secrets, sizeof(secrets));
    secrets[3] = other;
    assert_int_equal(csl_point_base(&other, &commitments[3 * points], NULL), CSL_OK);
    assert_int_equal(give_secrets(&a, secrets, commitments), CSL_E_CRYPTO);
    csl_msg_release(&m);
    audited_unmake(&a);
}

static void test_secagg_audit__other_roots_than_announced__caught(void **state)
{
    struct audited a;
    struct csl_buf out;
    uint8_t hashes[AUDITED_CHUNKS_MAX][32];
    (void)state;
    audited_make(&a, 5, 2 * CSL_PRG_CHUNK_WORDS);
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    memcpy(hashes, a.hashes[0], sizeof(hashes));
    hashes[1][0] ^= 1;
    assert_int_equal(csl_secagg_coordinator_audit_answer(a.w.coordinator, 0, 0, a.roots[0],
                                                         hashes[0], &out, NULL),
                     CSL_E_INVAL);
    csl_buf_release(&out);
    struct csl_msg m = audited_answer(&a, 0, 0);
    struct csl_secagg_message view = attack_view(&m);
    uint8_t roots[AUDITED_BLOCKS][32];
    memcpy(roots, a.roots, sizeof(roots));
    csl_secagg_root_of(hashes[0], 2, roots[0]);
    view.u.audited.hashes = hashes[0];
    struct csl_secagg_audit *audit = audited_begin(&a, 0, 0);
    assert_int_equal(audited_give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    view.u.audited.roots = roots[0]; /* consistent in itself, but not what M13 says */
    assert_int_equal(audited_give(audit, attack_forge(&view, NULL)), CSL_E_CRYPTO);
    csl_secagg_audit_free(audit);
    csl_msg_release(&m);
    audited_unmake(&a);
}

static void test_secagg_audit__answer_incomplete_or_of_another_chunk__refused(void **state)
{
    struct audited a;
    (void)state;
    audited_make(&a, 5, CSL_PRG_CHUNK_WORDS + 1);
    struct csl_secagg_audit *audit = audited_begin(&a, 0, 1);
    assert_int_equal(audited_give(audit, audited_upload(&a, 0, 0, 1)),
                     CSL_E_STATE); /* before the answer */
    assert_int_equal(audited_give(audit, audited_answer(&a, 0, 0)), CSL_E_PROTO);
    assert_int_equal(audited_give(audit, audited_answer(&a, 1, 0)), CSL_E_PROTO);
    assert_int_equal(audited_give(audit, audited_answer(&a, 0, 1)), CSL_OK);
    assert_int_equal(audited_give(audit, audited_answer(&a, 0, 1)), CSL_E_STATE);
    assert_int_equal(audited_give(audit, audited_upload(&a, 0, 0, 0)), CSL_E_PROTO);
    assert_int_equal(audited_give(audit, audited_upload(&a, 0, 0, 1)), CSL_OK);
    assert_int_equal(audited_give(audit, audited_upload(&a, 0, 0, 1)), CSL_E_STATE); /* twice */
    assert_int_equal(audited_give(audit, audited_upload(&a, 1, 0, 1)), CSL_OK);
    assert_int_equal(audited_give(audit, audited_upload(&a, 3, 0, 1)), CSL_OK);
    assert_int_equal(csl_secagg_audit_finish(audit, NULL), CSL_E_STATE); /* one is missing */
    assert_int_equal(audited_give(audit, audited_upload(&a, 4, 0, 1)), CSL_OK);
    assert_int_equal(csl_secagg_audit_finish(audit, NULL), CSL_OK);
    csl_secagg_audit_free(audit);
    audited_unmake(&a);
}

/* ---- the session that an auditor starts from ---- */

static void test_secagg_audit__messages_of_no_one_session__refused(void **state)
{
    struct audited a;
    struct csl_secagg_audit *audit;
    struct csl_err err;
    (void)state;
    audited_make(&a, 5, 3);
    assert_int_equal(csl_secagg_audit_new(&audit, &a.session, 0, 1, &err), CSL_E_INVAL);
    assert_int_equal(csl_secagg_audit_new(&audit, &a.session, AUDITED_BLOCKS, 0, &err),
                     CSL_E_INVAL);
    struct csl_secagg_message m = attack_view(&a.result);
    struct csl_secagg_audit_session session = a.session;
    m.u.result.quorum.count--; /* below the quorum: 4 survivors are just enough */
    struct csl_msg forged = attack_forge(&m, &a.w.coordinator_key);
    session.result = csl_msg_span(&forged);
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_CRYPTO);
    csl_msg_release(&forged);
    m = attack_view(&a.result); /* another sum, signed by a site */
    m.u.result.result_root[0] ^= 1;
    forged = attack_forge(&m, &a.w.sites[0].key);
    session.result = csl_msg_span(&forged);
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_CRYPTO);
    csl_msg_release(&forged);
    m = attack_view(&a.result); /* votes on another transcript */
    m.u.result.quorum.transcript[0] ^= 1;
    forged = attack_forge(&m, &a.w.coordinator_key);
    session.result = csl_msg_span(&forged);
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_PROTO);
    csl_msg_release(&forged);
    session = a.session; /* other survivors give another T */
    assert_int_equal(csl_secagg_decode(&m, a.session.survivors, &err), CSL_OK);
    uint8_t roots[MEMBERS][32];
    memcpy(roots, m.u.survivors.roots, sizeof(roots[0]) * (MEMBERS - 1));
    roots[0][0] ^= 1;
    m.u.survivors.roots = roots[0];
    forged = attack_forge(&m, &a.w.coordinator_key);
    session.survivors = csl_msg_span(&forged);
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_PROTO);
    csl_msg_release(&forged);
    session.survivors = a.session.senders;
    assert_int_equal(csl_secagg_audit_new(&audit, &session, 0, 0, &err), CSL_E_PROTO);
    audited_unmake(&a);
}

/* T does not hold which blocks the lost have sent: without their masks taken off the sum is noise,
 * and an M7 that hides them would make the noise pass. The manifests name the true M7. */
static void test_secagg_audit__other_senders_than_were_masked_against__caught(void **state)
{
    struct audited a;
    uint8_t bits[AUDITED_BLOCKS];
    (void)state;
    audited_make(&a, 5, 3);
    struct csl_secagg_message m;
    assert_int_equal(csl_secagg_decode(&m, a.session.senders, NULL), CSL_OK);
    memcpy(bits, m.u.senders.block_bits, sizeof(bits)); /* one byte a block: 5 sites */
    assert_int_equal(bits[0], 0x1f);
    bits[0] = 0x1f & ~(1U << AUDITED_LOST);
    m.u.senders.block_bits = bits;
    struct csl_msg forged = attack_forge(&m, &a.w.coordinator_key);
    a.session.senders = csl_msg_span(&forged);
    struct csl_secagg_audit *audit = audited_begin(&a, 0, 0);
    assert_int_equal(audited_give(audit, audited_answer(&a, 0, 0)), CSL_OK);
    assert_int_equal(audited_give(audit, audited_upload(&a, 0, 0, 0)), CSL_E_CRYPTO);
    csl_secagg_audit_free(audit);
    csl_msg_release(&forged);
    audited_unmake(&a);
}

/* Whichever allocation fails: no memory is told, nothing leaks, and the next audit is right. */
static void test_secagg_audit__an_allocation_fails__told_and_released(void **state)
{
    struct audited a;
    uint32_t failures = 0;
    (void)state;
    audited_make(&a, 4, 3);
    struct csl_msg answered = audited_answer(&a, 0, 0);
    for (uint64_t k = 1;; k++) {
        struct csl_secagg_audit *audit = NULL;
        (void)csl_mem_fail_after(k);
        enum csl_code code = csl_secagg_audit_new(&audit, &a.session, 0, 0, NULL);
        if (code == CSL_OK)
            code = csl_secagg_audit_take(audit, csl_msg_span(&answered), NULL);
        bool is_through = csl_mem_fail_after(0) < k;
        csl_secagg_audit_free(audit);
        if (is_through)
            break;
        assert_int_equal(code, CSL_E_NOMEM);
        failures++;
    }
    assert_true(failures > 5);
    assert_int_equal(audited_verify(&a, 0, 0), CSL_OK);
    csl_msg_release(&answered);
    audited_unmake(&a);
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secagg_audit__honest_coordinator__every_chunk_passes),
        cmocka_unit_test(test_secagg_audit__graph_1__passes_and_each_false_answer_is_caught),
        cmocka_unit_test(test_secagg_audit__coordinator_restarted__it_serves_the_same),
        cmocka_unit_test(test_secagg_audit__one_word_of_the_sum_altered__that_chunk_is_caught),
        cmocka_unit_test(test_secagg_audit__fraction_altered__detection_as_promised),
        cmocka_unit_test(test_secagg_audit__altered_upload__caught),
        cmocka_unit_test(test_secagg_audit__swapped_or_wrong_secrets__caught),
        cmocka_unit_test(test_secagg_audit__other_roots_than_announced__caught),
        cmocka_unit_test(test_secagg_audit__answer_incomplete_or_of_another_chunk__refused),
        cmocka_unit_test(test_secagg_audit__messages_of_no_one_session__refused),
        cmocka_unit_test(test_secagg_audit__other_senders_than_were_masked_against__caught),
        cmocka_unit_test(test_secagg_audit__an_allocation_fails__told_and_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
