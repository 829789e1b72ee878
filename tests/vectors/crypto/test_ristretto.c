/* ristretto255. RFC 9496, appendix A.1 (multiples of the generator) and A.2 (encodings that must be
 * refused); RFC 9591, appendix E.3, FROST(ristretto255, SHA-512): key, coefficient, shares and
 * commitments. All values compared with fsa1_kat.py, which shares no code with libsodium. */
#include "privacy/crypto/init.h"
#include "privacy/crypto/vss.h"
#include "tests/vectors/crypto/bytes_of.h"

static int start(void **state)
{
    (void)state;
    return csl_crypto_init(NULL) == CSL_OK ? 0 : 1;
}

static struct csl_scalar scalar_of(const char *hex)
{
    struct csl_scalar s;
    bytes_of(hex, s.bytes, sizeof(s.bytes));
    return s;
}

static struct csl_point point_of(const char *hex)
{
    struct csl_point p;
    bytes_of(hex, p.bytes, sizeof(p.bytes));
    return p;
}

static void test_ristretto__rfc9496_a1__multiples_of_the_generator(void **state)
{
    static const char *const multiples[] = {
        "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
        "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
        "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
        "da80862773358b466ffadfe0b3293ab3d9fd53c5ea6c955358f568322daf6a57",
        "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
        "f64746d3c92b13050ed8d80236a7f0007c3b3f962f5ba793d19a601ebb1df403",
        "44f53520926ec81fbd5a387845beb7df85a96a24ece18738bdcfa6a7822a176d",
        "903293d8f2287ebe10e2374dc1a53e0bc887e592699f02d077d5263cdd55601c",
        "02622ace8f7303a31cafc63f8fc48fdc16e1c8c8d234b2f0d6685282a9076031",
        "20706fd788b2720a1ed2a5dad4952b01f413bcf0e7564de8cdc816689e2db95f",
        "bce83f8ba5dd2fa572864c24ba1810f9522bc6004afe95877ac73241cafdab42",
        "e4549ee16b9aa03099ca208c67adafcafa4c3f3e4e5303de6026e3ca8ff84460",
        "aa52e000df2e16f55fb1032fc33bc42742dad6bd5a8fc0be0167436c5948501f",
        "46376b80f409b29dc2b5f6f0c52591990896e5716f41477cd30085ab7f10301e",
        "e0c418f7c8d9c4cdd7395b93ea124f3ad99021bb681dfc3302a9d99a2e53e64e",
    };
    (void)state;
    for (size_t k = 0; k < sizeof(multiples) / sizeof(multiples[0]); k++) {
        struct csl_scalar s = {{(uint8_t)(k + 1)}};
        struct csl_point p;
        assert_int_equal(csl_point_base(&s, &p, NULL), CSL_OK);
        assert_bytes(p.bytes, multiples[k]);
        assert_true(csl_point_is_valid(&p));
    }
}

static void test_ristretto__rfc9496_a2__bad_encodings_refused(void **state)
{
    static const char *const bad[] = {
        /* not canonical field elements */
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        /* negative field elements */
        "0100000000000000000000000000000000000000000000000000000000000000",
        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
        "c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
        "c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78",
        "47cfc5497c53dc8e61c91d17fd626ffb1c49e2bca94eed052281b510b1117a24",
        "f1c6165d33367351b0da8f6e4511010c68174a03b6581212c71c0e1d026c3c72",
        "87260f7a2f12495118360f02c26a470f450dadf34a413d21042b43b9d93e1309",
        /* x^2 is no square */
        "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
        "4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f",
        "de6a7b00deadc788eb6b6c8d20c0ae96c2f2019078fa604fee5b87d6e989ad7b",
        "bcab477be20861e01e4a0e295284146a510150d9817763caf1a6f4b422d67042",
        "2a292df7e32cababbd9de088d1d1abec9fc0440f637ed2fba145094dc14bea08",
        "f4a9e534fc0d216c44b218fa0c42d99635a0127ee2e53c712f70609649fdff22",
        "8268436f8c4126196cf64b3c7ddbda90746a378625f9813dd9b8457077256731",
        "2810e5cbc2cc4d4eece54f61c6f69758e289aa7ab440b3cbeaa21995c2f4232b",
        /* negative x y */
        "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
        "a45fdc55c76448c049a1ab33f17023edfb2be3581e9c7aade8a6125215e04220",
        "d483fe813c6ba647ebbfd3ec41adca1c6130c2beeee9d9bf065c8d151c5f396e",
        "8a2e1d30050198c65a54483123960ccc38aef6848e1ec8f5f780e8523769ba32",
        "32888462f8b486c68ad7dd9610be5192bbeaf3b443951ac1a8118419d9fa097b",
        "227142501b9d4355ccba290404bde41575b037693cef1f438c47f8fbf35d1165",
        "5c37cc491da847cfeb9281d407efc41e15144c876e0170b499a96a22ed31e01e",
        "445425117cb8c90edcbc7c1cc0e74f747f2c1efa5630a967c64f287792a48a4b",
        /* s = -1: y = 0 */
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct csl_scalar one = {{1}};
    (void)state;
    assert_int_equal(sizeof(bad) / sizeof(bad[0]), 29);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct csl_point p[2] = {point_of(bad[i]), point_of(bad[i])};
        assert_false(csl_point_is_valid(p));
        assert_int_equal(csl_vss_check_commitments(p, 1, NULL), CSL_E_CRYPTO);
        assert_int_equal(csl_vss_verify(&one, 0, p, 1, NULL), CSL_E_CRYPTO);
        assert_int_equal(csl_point_base(&one, &p[0], NULL), CSL_OK);
        assert_int_equal(csl_vss_check_commitments(p, 2, NULL), CSL_E_CRYPTO);
        assert_int_equal(csl_vss_verify(&one, 0, p, 2, NULL), CSL_E_CRYPTO);
    }
}

#define FROST_KEY    "1b25a55e463cfd15cf14a5d3acc3d15053f08da49c8afcf3ab265f2ebc4f970b"
#define FROST_PUBLIC "e2a62f39eede11269e3bd5a7d97554f5ca384f9f6d3dd9c3c0d05083c7254f57"
static const char *const frost_shares[] = {
    "5c3430d391552f6e60ecdc093ff9f6f4488756aa6cebdbad75a768010b8f830e",
    "b06fc5eac20b4f6e1b271d9df2343d843e1e1fb03c4cbb673f2872d459ce6f01",
    "f17e505f0e2581c6acfe54d3846a622834b5e7b50cad9a2109a97ba7a80d5c04"};

static void test_ristretto__rfc9591_e3__shares_verify_and_combine(void **state)
{
    struct csl_scalar f[2] = {
        scalar_of(FROST_KEY),
        scalar_of("410f8b744b19325891d73736923525a4f596c805d060dfb9c98009d34e3fec02")};
    struct csl_scalar shares[3];
    struct csl_point commitments[2];
    (void)state;
    assert_int_equal(csl_vss_commit(f, 2, commitments, NULL), CSL_OK);
    assert_bytes(commitments[0].bytes, FROST_PUBLIC);
    assert_int_equal(csl_vss_deal(f, 2, 3, shares, NULL), CSL_OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_bytes(shares[i].bytes, frost_shares[i]);
        assert_int_equal(csl_vss_verify(&shares[i], i, commitments, 2, NULL), CSL_OK);
    }
    for (uint32_t a = 0; a < 3; a++) {
        const uint32_t pair[2] = {a, (a + 1) % 3};
        const struct csl_scalar held[2] = {shares[pair[0]], shares[pair[1]]};
        struct csl_scalar weights[2], secret;
        assert_int_equal(csl_vss_weights(pair, 2, weights, NULL), CSL_OK);
        assert_int_equal(csl_vss_reconstruct(weights, held, 2, commitments, &secret, NULL), CSL_OK);
        assert_bytes(secret.bytes, FROST_KEY);
    }
}

static void test_ristretto__rfc9591_e3__nonce_commitments(void **state)
{
    static const char *const rows[][2] = {
        {"214f2cabb86ed71427ea7ad4283b0fae26b6746c801ce824b83ceb2b99278c03",
         "965def4d0958398391fc06d8c2d72932608b1e6255226de4fb8d972dac15fd57"},
        {"c9b8f5e16770d15603f744f8694c44e335e8faef00dad182b8d7a34a62552f0c",
         "ec5170920660820007ae9e1d363936659ef622f99879898db86e5bf1d5bf2a14"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct csl_scalar s = scalar_of(rows[i][0]);
        struct csl_point p;
        assert_int_equal(csl_point_base(&s, &p, NULL), CSL_OK);
        assert_bytes(p.bytes, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ristretto__rfc9496_a1__multiples_of_the_generator),
        cmocka_unit_test(test_ristretto__rfc9496_a2__bad_encodings_refused),
        cmocka_unit_test(test_ristretto__rfc9591_e3__shares_verify_and_combine),
        cmocka_unit_test(test_ristretto__rfc9591_e3__nonce_commitments),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
