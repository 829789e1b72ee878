/* The longest messages of a study, made as long as the rules let them be, against the bounds that
 * receivers hold them to. */
#include "privacy/secagg/bounds.h"

#include "base/limits.h"
#include "privacy/crypto/prg.h"
#include "privacy/secagg/config.h"
#include "privacy/secagg/messages.h"
#include "privacy/secagg/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SHAPE(n, c, b)                                                                             \
    &(struct csl_secagg_shape)                                                                     \
    {                                                                                              \
        .sites = (n), .colluding = (c), .blocks = (b)                                              \
    }

enum { SITES = 19, COLLUDING = 6, BLOCKS = 3, ROOM = 1 << 21 };

static struct csl_sign_key key;

static void encode(const struct csl_secagg_message *m, bool is_signed, struct csl_buf *out)
{
    struct csl_err err;
    csl_buf_init(out, ROOM);
    if (csl_secagg_encode(m, is_signed ? &key : NULL, out, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static void assert_tight(uint64_t bytes, uint64_t bound)
{
    assert_in_range(bytes, bound - bound / 4, bound); /* and not so loose that it bounds nothing */
}

/* M3 as the dealer sends it, to all others. */
static void make_shares(uint32_t site, struct csl_buf *out)
{
    static struct csl_point points[SITES];
    static uint8_t sealed[SITES * CSL_SEAL_BYTES];
    struct csl_secagg_message m = {.type = CSL_SECAGG_SHARES, .site = site};
    m.u.shares = (struct csl_secagg_shares){.threshold = csl_secagg_quorum(SITES, COLLUDING),
                                            .b = points,
                                            .s = points,
                                            .sealed_count = SITES - 1,
                                            .sealed = sealed};
    encode(&m, true, out);
}

static void test_bounds__delivery_of_all_shares__is_within(void **state)
{
    struct csl_buf dealers, out;
    (void)state;
    csl_buf_init(&dealers, ROOM);
    for (uint32_t i = 2; i <= SITES; i++) {
        struct csl_secagg_message m;
        struct csl_buf shares;
        make_shares(i, &shares);
        assert_in_range(shares.n, 1, csl_secagg_bytes_from_site(SHAPE(SITES, COLLUDING, BLOCKS)));
        assert_int_equal(csl_secagg_decode(&m, CSL_SPAN(shares.p, shares.n), NULL), CSL_OK);
        csl_buf_append(&dealers, m.body.p, m.body.n);
        csl_buf_append(&dealers, m.signature, CSL_SIGN_SIGNATURE_BYTES);
        csl_buf_append(&dealers, m.u.shares.sealed, CSL_SEAL_BYTES);
        csl_buf_release(&shares);
    }
    struct csl_secagg_message m = {.type = CSL_SECAGG_DELIVERY, .site = 1};
    m.u.delivery = (struct csl_secagg_delivery){
        .threshold = csl_secagg_quorum(SITES, COLLUDING), .count = SITES - 1, .dealers = dealers.p};
    encode(&m, false, &out);
    assert_in_range(out.n, SITES * 900, csl_secagg_bytes_to_site(SHAPE(SITES, COLLUDING, BLOCKS)));
    csl_buf_release(&dealers);
    csl_buf_release(&out);
}

/* As many shares opened as the rule against disputes allows. */
static void test_bounds__all_openings_that_may_be__are_within(void **state)
{
    uint32_t each = csl_secagg_openings_max(csl_secagg_quorum(SITES, COLLUDING), COLLUDING);
    uint8_t bits[BLOCKS * CSL_SECAGG_SET_BYTES];
    struct csl_buf openings, out;
    (void)state;
    csl_buf_init(&openings, ROOM);
    for (uint32_t dealer = 1; dealer <= SITES; dealer++) {
        for (uint32_t i = 0, receiver = 1; i < each; i++, receiver++) {
            struct csl_buf one;
            receiver += receiver == dealer;
            struct csl_secagg_message m = {.type = CSL_SECAGG_OPENING, .site = dealer};
            m.u.opening.receiver = receiver;
            encode(&m, true, &one);
            csl_buf_append(&openings, one.p, one.n);
            csl_buf_release(&one);
        }
    }
    struct csl_secagg_message m = {.type = CSL_SECAGG_SENDERS};
    m.u.senders = (struct csl_secagg_senders){.count = SITES,
                                              .block_count = BLOCKS,
                                              .block_bits = bits,
                                              .opening_count = SITES * each,
                                              .openings = openings.p};
    memset(bits, 0, sizeof(bits));
    for (uint32_t i = 0; i < SITES; i++)
        csl_secagg_set_put(&m.u.senders.members, i);
    encode(&m, true, &out);
    assert_tight(out.n, csl_secagg_bytes_to_site(SHAPE(SITES, COLLUDING, BLOCKS)));
    csl_buf_release(&openings);
    csl_buf_release(&out);
}

/* M0, and the table that travels beside it, of a model with many blocks. */
static void test_bounds__configuration_of_many_blocks__is_within(void **state)
{
    static struct csl_secagg_config c;
    enum { MANY = CSL_BLOCKS_MAX };
    struct csl_buf out;
    (void)state;
    c.suite = CSL_SECAGG_SUITE;
    c.round = c.attempt = 1;
    c.sites_min = 3;
    c.roster_count = SITES;
    c.block_count = MANY;
    c.scalar_count = MANY + 1;
    for (uint32_t i = 0; i < MANY; i++)
        c.blocks[i] = (struct csl_secagg_block){
            .id = i, .entries = 1, .lane_bits = 64, .clip_q32 = INT64_C(1) << 32, .sites_min = 3};
    for (uint32_t i = 0; i <= MANY; i++)
        c.scalars[i].scale_q32 = INT64_C(1) << 32;
    csl_buf_init(&out, ROOM);
    assert_int_equal(csl_secagg_config_encode(&c, &key, &out, NULL), CSL_OK);
    assert_in_range(out.n + 5 + 4 * SITES * MANY, SITES * MANY,
                    csl_secagg_bytes_to_site(SHAPE(SITES, 0, MANY)));
    csl_buf_release(&out);
}

/* What docs/protocol.md says: a site never has to cut what it sends, and 128 sites of which a third
 * colludes are sent no more than may travel. */
static void test_bounds__large_federations__fit_the_wire(void **state)
{
    (void)state;
    for (uint32_t colluding = 0; colluding < CSL_SECAGG_SITES_MAX; colluding += 31)
        assert_in_range(
            csl_secagg_bytes_from_site(SHAPE(CSL_SECAGG_SITES_MAX, colluding, CSL_BLOCKS_MAX)), 1,
            CSL_SECAGG_BYTES_MAX);
    assert_in_range(csl_secagg_bytes_to_site(SHAPE(128, 42, 1)), 4 * CSL_SECAGG_BYTES_MAX,
                    CSL_SECAGG_WHOLE_MAX);
    assert_in_range(csl_secagg_bytes_to_site(SHAPE(230, 76, 1)), 1, CSL_SECAGG_WHOLE_MAX);
    assert_in_range(csl_secagg_bytes_to_site(SHAPE(300, 0, 1)), 1, CSL_SECAGG_WHOLE_MAX);
    assert_true(csl_secagg_bytes_to_site(SHAPE(CSL_SECAGG_SITES_MAX, 0, 1)) > CSL_SECAGG_WHOLE_MAX);
}

/* Which graph it is is said, and not guessed from numbers of the other. */
static void test_bounds__graph__is_the_one_the_shape_names(void **state)
{
    struct csl_secagg_shape complete = *SHAPE(200, 66, BLOCKS), sparse; /* above a chunk's size */
    const uint64_t to = csl_secagg_bytes_to_site(&complete);
    const uint64_t from = csl_secagg_bytes_from_site(&complete);
    const uint64_t audit = csl_secagg_bytes_of_audit(&complete, 1);
    (void)state;
    complete.share_degree = 4;
    complete.share_threshold = 3;
    assert_int_equal(csl_secagg_bytes_to_site(&complete), to);
    assert_int_equal(csl_secagg_bytes_from_site(&complete), from);
    assert_int_equal(csl_secagg_bytes_of_audit(&complete, 1), audit);
    sparse = complete;
    sparse.is_sparse = true;
    assert_true(csl_secagg_bytes_to_site(&sparse) < to);
    assert_true(csl_secagg_bytes_from_site(&sparse) < from);
}

/* A chunk of an upload with the hashes of all others, and the answer with all that was dealt. */
static void test_bounds__messages_of_an_audit__are_within(void **state)
{
    static uint64_t words[CSL_PRG_CHUNK_WORDS];
    static struct csl_point points[SITES * 2 * SITES];
    static struct csl_scalar secrets[SITES];
    enum { CHUNKS = 40 };
    const uint64_t bound = csl_secagg_bytes_of_audit(SHAPE(SITES, COLLUDING, BLOCKS),
                                                     (uint64_t)CHUNKS * CSL_PRG_CHUNK_WORDS);
    static uint8_t hashes[CHUNKS * 32];
    struct csl_secagg_message manifest = {.type = CSL_SECAGG_MANIFEST, .site = 1};
    struct csl_buf inner, out;
    (void)state;
    manifest.u.manifest.block_count = BLOCKS + 1;
    for (uint32_t b = 0; b <= BLOCKS; b++)
        manifest.u.manifest.blocks[b] =
            (struct csl_secagg_manifest_block){.entries = 1, .chunks = 1};
    encode(&manifest, true, &inner);
    struct csl_secagg_message upload = {.type = CSL_SECAGG_AUDIT_UPLOAD};
    upload.u.audit_upload =
        (struct csl_secagg_audit_upload){.manifest = CSL_SPAN(inner.p, inner.n),
                                         .chunk_count = CHUNKS,
                                         .hashes = hashes,
                                         .words = CSL_SPAN((const uint8_t *)words, sizeof(words))};
    encode(&upload, false, &out);
    assert_tight(out.n, bound);
    csl_buf_release(&out);
    csl_buf_release(&inner);
    struct csl_secagg_message answer = {.type = CSL_SECAGG_AUDITED};
    answer.u.audited = (struct csl_secagg_audited){.count = SITES,
                                                   .threshold = csl_secagg_quorum(SITES, COLLUDING),
                                                   .secrets = secrets,
                                                   .commitments = points,
                                                   .block_count = BLOCKS + 1,
                                                   .roots = hashes,
                                                   .chunk_count = CHUNKS,
                                                   .hashes = hashes};
    encode(&answer, false, &out);
    assert_in_range(out.n, 1, bound);
    csl_buf_release(&out);
    const struct csl_secagg_shape sparse = {.sites = SITES,
                                            .colluding = COLLUDING,
                                            .blocks = BLOCKS,
                                            .is_sparse = true,
                                            .share_degree = SITES / 2,
                                            .share_threshold = SITES / 2};
    answer.type = CSL_SECAGG_SPARSE_AUDITED;
    answer.u.audited.threshold = SITES / 2;
    answer.u.audited.r = secrets;
    encode(&answer, false, &out);
    assert_in_range(out.n, 1,
                    csl_secagg_bytes_of_audit(&sparse, (uint64_t)CHUNKS * CSL_PRG_CHUNK_WORDS));
    csl_buf_release(&out);
}

int main(void)
{
    csl_sign_keygen(&key);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds__delivery_of_all_shares__is_within),
        cmocka_unit_test(test_bounds__all_openings_that_may_be__are_within),
        cmocka_unit_test(test_bounds__configuration_of_many_blocks__is_within),
        cmocka_unit_test(test_bounds__graph__is_the_one_the_shape_names),
        cmocka_unit_test(test_bounds__messages_of_an_audit__are_within),
        cmocka_unit_test(test_bounds__large_federations__fit_the_wire),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    csl_sign_wipe(&key);
    return failed;
}
