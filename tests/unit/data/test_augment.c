/* Augmentation: what each change does alone, and that a label gives the same bits. */
#include "privacy/crypto/hash.h"
#include "privacy/crypto/init.h"
#include "site-agent/data/augment.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { H = 4, W = 5, T = 50, LEADS = 3 };
static const uint32_t image_shape[3] = {H, W, 2}, signal_shape[2] = {T, LEADS};
static float image[H * W * 2], signal[T * LEADS];

static int fill(void **state)
{
    (void)state;
    for (int i = 0; i < H * W * 2; i++)
        image[i] = (float)i;
    for (int i = 0; i < T * LEADS; i++)
        signal[i] = (float)(i + 1);
    return csl_crypto_init(NULL) != CSL_OK;
}

static struct csl_augment_label label_of(uint32_t record)
{
    return (struct csl_augment_label){42, "lyon", 3, record / 2, record};
}

static void test_image__nothing_asked_for__is_a_copy(void **state)
{
    (void)state;
    const struct csl_augment_image a = {0, false, 0.0};
    float to[H * W * 2];
    for (uint32_t i = 0; i < 20; i++) {
        struct csl_augment_label l = label_of(i);
        csl_augment_image(&a, &l, image_shape, image, to);
        assert_memory_equal(to, image, sizeof(to));
    }
}

static void test_image__mirror__is_half_the_time_and_keeps_channels(void **state)
{
    (void)state;
    const struct csl_augment_image a = {0, true, 0.0};
    uint32_t mirrored = 0;
    for (uint32_t i = 0; i < 4000; i++) {
        float to[H * W * 2];
        struct csl_augment_label l = label_of(i);
        csl_augment_image(&a, &l, image_shape, image, to);
        bool is = to[0] > 0.5f;
        mirrored += is;
        for (uint32_t y = 0; y < H; y++)
            for (uint32_t x = 0; x < W; x++)
                for (uint32_t c = 0; c < 2; c++)
                    assert_true(to[(y * W + x) * 2 + c] ==
                                image[(y * W + (is ? W - 1 - x : x)) * 2 + c]);
    }
    /* 4000 fair coins: more than 7 deviations of 31.6 away has probability below 1e-11 */
    assert_true(mirrored > 2000 - 222 && mirrored < 2000 + 222);
}

static void test_image__shift__moves_within_bounds_and_repeats_the_edge(void **state)
{
    (void)state;
    const struct csl_augment_image a = {1, false, 0.0};
    bool seen[3][3] = {{false}};
    for (uint32_t i = 0; i < 400; i++) { /* missing one of nine: below 400 * (8/9)^400 < 1e-17 */
        float to[H * W * 2];
        struct csl_augment_label l = label_of(i);
        csl_augment_image(&a, &l, image_shape, image, to);
        int32_t at = (int32_t)to[(1 * W + 1) * 2] / 2; /* pixel (1, 1) is an inner one */
        int32_t down = 1 - at / W, right = 1 - at % W;
        assert_true(down >= -1 && down <= 1 && right >= -1 && right <= 1);
        seen[down + 1][right + 1] = true;
        int32_t y = H - 1 - down, x = W - 1 - right; /* where the last pixel comes from */
        y = y > H - 1 ? H - 1 : y;
        x = x > W - 1 ? W - 1 : x;
        assert_true(to[H * W * 2 - 1] == image[(y * W + x) * 2 + 1]);
    }
    for (int i = 0; i < 9; i++)
        assert_true(seen[i / 3][i % 3]);
}

static void test_image__brightness__adds_one_number_within_bounds(void **state)
{
    (void)state;
    const struct csl_augment_image a = {0, false, 0.25};
    float least = 1.0f, most = -1.0f;
    for (uint32_t i = 0; i < 1000; i++) {
        float to[H * W * 2];
        struct csl_augment_label l = label_of(i);
        csl_augment_image(&a, &l, image_shape, image, to);
        for (int k = 0; k < H * W * 2; k++)
            assert_true(to[k] == image[k] + to[0]);
        least = fminf(least, to[0]);
        most = fmaxf(most, to[0]);
    }
    assert_true(least >= -0.25f && most <= 0.25f);
    assert_true(least < -0.2f && most > 0.2f); /* else 1000 draws missed a tenth: 0.9^1000 */
}

static void test_signal__gain_and_shift__keep_the_shape_of_a_lead(void **state)
{
    (void)state;
    const struct csl_augment_signal a = {5, 0.5, 0.0, 0.0};
    for (uint32_t i = 0; i < 500; i++) {
        float to[T * LEADS];
        struct csl_augment_label l = label_of(i);
        csl_augment_signal(&a, &l, signal_shape, signal, to);
        float gain = (to[11 * LEADS] - to[10 * LEADS]) / LEADS; /* the slope of every lead */
        assert_true(gain > 0.49f && gain < 1.51f);
        double at = (double)to[10 * LEADS] / (double)gain; /* the sample that came to place 10 */
        double shift = 10.0 - (at - 1.0) / LEADS;
        assert_true(shift > -5.01 && shift < 5.01 && fabs(shift - nearbyint(shift)) < 1e-3);
    }
}

static void test_signal__dropout__takes_leads_but_never_all(void **state)
{
    (void)state;
    const struct csl_augment_signal all = {0, 0.0, 1.0, 0.0}, some = {0, 0.0, 0.5, 0.0};
    uint32_t kept[LEADS] = {0}, lost = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        float to[T * LEADS];
        struct csl_augment_label l = label_of(i);
        csl_augment_signal(&all, &l, signal_shape, signal, to);
        uint32_t left = 0;
        for (uint32_t k = 0; k < LEADS; k++) {
            bool is_there = to[k] > 0.0f;
            left += is_there;
            kept[k] += is_there;
            for (uint32_t t = 0; t < T; t++)
                assert_true(to[t * LEADS + k] == (is_there ? signal[t * LEADS + k] : 0.0f));
        }
        assert_int_equal(left, 1);
        csl_augment_signal(&some, &l, signal_shape, signal, to);
        for (uint32_t k = 0; k < LEADS; k++)
            lost += !(to[k] > 0.0f);
    }
    /* 3000 draws of one in three, deviation 25.8: 7 of them is below 1e-11 */
    for (uint32_t k = 0; k < LEADS; k++)
        assert_true(kept[k] > 1000 - 181 && kept[k] < 1000 + 181);
    /* 9000 coins less the 3000 / 8 saved leads: 4125; 7 deviations of 50 */
    assert_true(lost > 4125 - 350 && lost < 4125 + 350);
}

static void test_signal__noise__is_of_its_deviation_and_of_leads_that_stay(void **state)
{
    (void)state;
    const struct csl_augment_signal a = {0, 0.0, 0.5, 0.25}, calm = {0, 0.0, 0.5, 0.0};
    double sum = 0, square = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < 200; i++) {
        float to[T * LEADS], same[T * LEADS];
        struct csl_augment_label l = label_of(i);
        csl_augment_signal(&a, &l, signal_shape, signal, to);
        csl_augment_signal(&calm, &l, signal_shape, signal, same);
        for (uint32_t k = 0; k < T * LEADS; k++) {
            if (!(same[k] > 0.0f)) {
                assert_true(!(fabsf(to[k]) > 0.0f));
                continue;
            }
            double moved = (double)to[k] - (double)same[k];
            sum += moved;
            square += moved * moved;
            count++;
        }
    }
    /* some 16,000 draws: 7 deviations of the mean, and of the mean square (relative sqrt(2 / n)) */
    assert_true(count > 10000 && fabs(sum / count) < 7 * 0.25 / sqrt((double)count));
    assert_true(fabs(square / count / 0.0625 - 1) < 7 * sqrt(2.0 / (double)count));
}

static void test_values__dropout__takes_its_share_and_leaves_the_rest(void **state)
{
    (void)state;
    uint32_t lost = 0;
    float to[T * LEADS], again[T * LEADS];
    for (uint32_t i = 0; i < 200; i++) {
        struct csl_augment_label l = label_of(i);
        csl_augment_values(0.25, &l, T * LEADS, signal, to);
        csl_augment_values(0.25, &l, T * LEADS, signal, again);
        assert_memory_equal(to, again, sizeof(to));
        for (uint32_t k = 0; k < T * LEADS; k++) {
            lost += !(to[k] > 0.0f);
            assert_true(!(to[k] > 0.0f) || !(fabsf(to[k] - signal[k]) > 0.0f));
        }
        csl_augment_values(0.0, &l, T * LEADS, signal, to);
        assert_memory_equal(to, signal, sizeof(to));
    }
    /* 30,000 draws of one in four: 7500, deviation 75; 7 of them is below 1e-11 */
    assert_true(lost > 7500 - 525 && lost < 7500 + 525);
}

static void test_augment__same_label__same_bits_and_every_part_of_it_counts(void **state)
{
    (void)state;
    const struct csl_augment_signal a = {7, 0.3, 0.3, 0.0};
    const struct csl_augment_label base = {42, "lyon", 3, 5, 8};
    struct csl_augment_label others[6] = {base, base, base, base, base, base};
    float first[T * LEADS], to[T * LEADS];
    others[1].seed++;
    others[2].site = "turin";
    others[3].round++;
    others[4].patient++;
    others[5].record++;
    csl_augment_signal(&a, &base, signal_shape, signal, first);
    for (int i = 0; i < 6; i++) {
        csl_augment_signal(&a, &others[i], signal_shape, signal, to);
        assert_int_equal(memcmp(to, first, sizeof(to)) == 0, i == 0);
    }
}

static void test_augment__one_change_switched_on__leaves_the_others(void **state)
{
    (void)state;
    const struct csl_augment_image shift = {2, false, 0.0}, both = {2, false, 0.5};
    for (uint32_t i = 0; i < 50; i++) {
        float a[H * W * 2], b[H * W * 2];
        struct csl_augment_label l = label_of(i);
        csl_augment_image(&shift, &l, image_shape, image, a);
        csl_augment_image(&both, &l, image_shape, image, b);
        for (int k = 1; k < H * W * 2; k++)
            assert_true(fabsf((b[k] - b[0]) - (a[k] - a[0])) < 1e-4f);
    }
}

/* Written by this implementation: replays must stay replays, here and on other machines. */
static void test_augment__known_answer__stays(void **state)
{
    (void)state;
    const struct csl_augment_signal s = {7, 0.3, 0.3, 0.0};
    const struct csl_augment_image p = {2, true, 0.5};
    float to[T * LEADS + H * W * 2];
    uint8_t digest[CSL_DIGEST_BYTES];
    char text[2 * CSL_DIGEST_BYTES + 1];
    struct csl_augment_label l = label_of(8);
    csl_augment_signal(&s, &l, signal_shape, signal, to);
    csl_augment_image(&p, &l, image_shape, image, to + T * LEADS);
    csl_digest(to, sizeof(to), digest);
    csl_hex(digest, CSL_DIGEST_BYTES, text);
    assert_string_equal(text, "5bcfeaa80015544259609ffc4ef978ebf9705dfe37431f9d174c76c21c2090ea");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image__nothing_asked_for__is_a_copy),
        cmocka_unit_test(test_image__mirror__is_half_the_time_and_keeps_channels),
        cmocka_unit_test(test_image__shift__moves_within_bounds_and_repeats_the_edge),
        cmocka_unit_test(test_image__brightness__adds_one_number_within_bounds),
        cmocka_unit_test(test_signal__gain_and_shift__keep_the_shape_of_a_lead),
        cmocka_unit_test(test_signal__dropout__takes_leads_but_never_all),
        cmocka_unit_test(test_signal__noise__is_of_its_deviation_and_of_leads_that_stay),
        cmocka_unit_test(test_values__dropout__takes_its_share_and_leaves_the_rest),
        cmocka_unit_test(test_augment__same_label__same_bits_and_every_part_of_it_counts),
        cmocka_unit_test(test_augment__one_change_switched_on__leaves_the_others),
        cmocka_unit_test(test_augment__known_answer__stays),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
