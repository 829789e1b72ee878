/* A coordinator or site that cheats, continued: offsets of lanes, the round's configuration field
 * by field, sizes, and what refusals tell. */
#include "base/file.h"
#include "base/le.h"
#include "base/mem.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/lanes.h"
#include "tests/unit/secagg/attack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct world w;

static int after_each(void **state)
{
    (void)state;
    world_remove(&w);
    return 0;
}

/* For tests with more than one world: each is removed when the next is needed. */
static void next_world(void)
{
    world_remove(&w);
    memset(&w, 0, sizeof(w));
}

static void finish(void)
{
    world_run(&w);
    assert_int_equal(csl_secagg_coordinator_stage(w.coordinator), CSL_SECAGG_STAGE_RELEASED);
    assert_true(world_sum_is_exact(&w));
}

/* ---- lanes through a whole round ---- */

enum { LANE_SITES = 7, LANE_ENTRIES = 41 };

/* All at the largest value (extreme 1), the smallest (-1), or by turns (0). */
static int64_t value_of(const struct csl_lanes *l, int extreme, uint32_t site, uint32_t entry)
{
    return extreme != 0 ? extreme * l->level : ((site + entry) % 2 == 0 ? l->level : -l->level);
}

/* One site is lost between U2 and U3. The sum that is released decodes with |U3|, and with |U2| it
 * does not. */
static void sum_lanes(uint8_t bits, int extreme)
{
    struct world_plan plan = {.n = LANE_SITES, .colluding = 2, .blocks = 1, .entries_max = 1};
    struct csl_lanes l;
    int64_t values[LANE_ENTRIES], sums[LANE_ENTRIES];
    uint64_t words[LANE_ENTRIES] = {0};
    world_make(&w, 17, &plan);
    w.config.blocks[0].entries = LANE_ENTRIES;
    w.config.blocks[0].lane_bits = bits;
    assert_int_equal(csl_lanes_plan(&l, bits, LANE_SITES, 0, NULL), CSL_OK);
    size_t count = csl_lanes_words(&l, LANE_ENTRIES);
    world_train(&w);
    for (uint32_t i = 0; i < LANE_SITES; i++) {
        for (uint32_t k = 0; k < LANE_ENTRIES; k++)
            values[k] = value_of(&l, extreme, i, k);
        csl_lanes_pack(&l, values, NULL, LANE_ENTRIES, w.sites[i].x.block[0]);
    }
    world_open(&w, 1, 1);
    world_run_to(&w, CSL_SECAGG_STAGE_UPLOADING);
    w.sites[2].is_dead = true;
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    finish(); /* the words released are those of the survivors, to the bit */
    for (uint32_t i = 0; i < LANE_SITES; i++)
        if (csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[i].id))
            csl_lanes_add(words, w.sites[i].x.block[0], count);
    assert_int_equal(csl_lanes_unpack(&l, words, LANE_ENTRIES, LANE_SITES - 1, sums), 0);
    for (uint32_t k = 0; k < LANE_ENTRIES; k++) {
        int64_t right = 0;
        for (uint32_t i = 0; i < LANE_SITES; i++)
            right += i == 2 ? 0 : value_of(&l, extreme, i, k);
        assert_int_equal(sums[k], right);
    }
    int64_t right_first = sums[0];
    (void)csl_lanes_unpack(&l, words, LANE_ENTRIES, LANE_SITES, sums);
    assert_int_not_equal(sums[0], right_first);
    next_world();
}

static void test_secagg_pitfall_16__maxima_of_all_survivors__exact_in_every_lane(void **state)
{
    static const uint8_t widths[] = {10, 12, 16, 21, 32, 64};
    (void)state;
    for (size_t i = 0; i < sizeof(widths); i++)
        sum_lanes(widths[i], 1);
}

static void
test_secagg_pitfall_17__minima_and_fewer_survivors__offset_of_the_survivors(void **state)
{
    static const uint8_t widths[] = {10, 12, 16, 21, 32, 64};
    (void)state;
    for (size_t i = 0; i < sizeof(widths); i++) {
        sum_lanes(widths[i], -1);
        sum_lanes(widths[i], 0);
    }
}

/* ---- M0, field by field ---- */

enum field {
    FIELD_FEDERATION,
    FIELD_ROUND,
    FIELD_ATTEMPT,
    FIELD_ROSTER,
    FIELD_MODEL,
    FIELD_PLAN,
    FIELD_HEAD,
    FIELD_WEIGHTS,
    FIELD_MINIMUM,
    FIELD_COLLUDING,
    FIELD_ROSTER_COUNT,
    FIELD_BLOCK_COUNT,
    FIELD_BLOCK_ID,
    FIELD_ENTRIES,
    FIELD_LANE,
    FIELD_LEVELS,
    FIELD_CLIP,
    FIELD_ROTATION,
    FIELD_BLOCK_MINIMUM,
    FIELD_ELIGIBLE,
    FIELD_SCALAR_COUNT,
    FIELD_SCALAR_NAME,
    FIELD_SCALAR_SCALE,
    FIELD_NONCE,
    FIELDS
};

static void alter_block(struct csl_secagg_block *b, enum field field)
{
    b->id += field == FIELD_BLOCK_ID ? 1 : 0;
    b->entries += field == FIELD_ENTRIES ? 2 : 0;
    b->levels += field == FIELD_LEVELS ? 1 : 0;
    b->clip_q32 += field == FIELD_CLIP ? 1 : 0;
    b->sites_min += field == FIELD_BLOCK_MINIMUM ? 1 : 0;
    if (field == FIELD_ROTATION)
        b->rotation_log2 = 1;
    if (field == FIELD_LANE)
        b->lane_bits = 21;
    if (field == FIELD_ELIGIBLE)
        b->eligible.bits[0] ^= 8;
}

static void alter(struct csl_secagg_config *c, uint32_t *weights, enum field field)
{
    c->federation_id[3] ^= field == FIELD_FEDERATION ? 1 : 0;
    c->round += field == FIELD_ROUND ? 1 : 0;
    c->attempt = (uint16_t)(c->attempt + (field == FIELD_ATTEMPT ? 1 : 0));
    c->roster_hash[3] ^= field == FIELD_ROSTER ? 1 : 0;
    c->model_hash[3] ^= field == FIELD_MODEL ? 1 : 0;
    c->plan_hash[3] ^= field == FIELD_PLAN ? 1 : 0;
    c->previous_head[3] ^= field == FIELD_HEAD ? 1 : 0;
    weights[0] += field == FIELD_WEIGHTS ? 1 : 0;
    c->sites_min += field == FIELD_MINIMUM ? 1 : 0;
    c->colluding += field == FIELD_COLLUDING ? 1 : 0;
    c->roster_count += field == FIELD_ROSTER_COUNT ? 1 : 0;
    c->block_count -= field == FIELD_BLOCK_COUNT ? 1 : 0;
    c->scalar_count += field == FIELD_SCALAR_COUNT ? 1 : 0;
    c->scalars[0].name_hash[3] ^= field == FIELD_SCALAR_NAME ? 1 : 0;
    c->scalars[0].scale_q32 += field == FIELD_SCALAR_SCALE ? 1 : 0;
    c->nonce[3] ^= field == FIELD_NONCE ? 1 : 0;
    alter_block(&c->blocks[0], field);
}

/* Site 0 alone is told another configuration, signed by the coordinator, with the model, plan and
 * weights that belong to it. What the site said to that. */
static enum csl_code tell_another(enum field field)
{
    struct world_plan plan = {.n = 5, .colluding = 1, .blocks = 2, .scalars = 1, .entries_max = 9};
    struct csl_secagg_config c;
    uint32_t weights[16] = {0};
    world_make(&w, 27, &plan);
    w.config.blocks[0].entries = 8;
    w.config.blocks[0].lane_bits = 16;
    world_train(&w);
    world_open(&w, 1, 1);
    for (uint32_t i = w.queued; i > 0; i--)
        if (w.queue[i - 1].to == w.sites[0].id)
            world_drop(&w, i - 1);
    memcpy(weights, w.weights, 10 * sizeof(*weights));
    c = w.config;
    alter(&c, weights, field);
    enum csl_code code = attack_offer(&w, &w.sites[0], &c, weights);
    world_run(&w);
    struct csl_msg keys = attack_hold(&w, CSL_SECAGG_ROUND_KEYS, w.sites[1].id);
    enum csl_code told = attack_tell(&w, 0, &keys); /* the list of the others */
    assert_int_not_equal(told, CSL_OK);
    for (uint32_t i = 1; i < 5; i++)
        assert_int_equal(attack_tell(&w, i, &keys), CSL_OK);
    csl_msg_release(&keys);
    world_run_to(&w, CSL_SECAGG_STAGE_VOTING);
    finish();
    assert_false(csl_secagg_coordinator_is_survivor(w.coordinator, w.sites[0].id));
    assert_int_equal(monitor_count(&w, CSL_SECAGG_SHARES, w.sites[0].id), 0);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_VOTE, w.sites[0].id), 0);
    assert_int_equal(monitor_count(&w, CSL_SECAGG_VOTE, 0), 4);
    return code;
}

static void test_secagg_pitfall_27__any_field_other_for_one_site__not_in_the_sum(void **state)
{
    uint32_t accepted = 0;
    (void)state;
    for (int field = 0; field < FIELDS; field++) {
        accepted += tell_another((enum field)field) == CSL_OK ? 1 : 0;
        next_world();
    }
    assert_true(accepted >= 12 && accepted < FIELDS); /* some it cannot see through, and need not */
}

static void test_secagg_threat__another_model_for_one_site__not_in_the_sum(void **state)
{
    (void)state;
    assert_int_equal(tell_another(FIELD_MODEL), CSL_OK); /* it received that model */
}

/* ---- sizes ---- */

static void test_secagg_pitfall_39__a_billion_entries__sizes_are_right(void **state)
{
    static const struct {
        uint8_t bits;
        uint64_t words, chunks; /* of 1e9 entries; ceil(1e9 / floor(64 / bits)), / 131072 */
    } rows[] = {{10, 166666667, 1272}, {12, 200000000, 1526}, {16, 250000000, 1908},
                {21, 333333334, 2544}, {32, 500000000, 3815}, {64, 1000000000, 7630}};
    (void)state;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct csl_secagg_config c = w.config;
        struct csl_buf out;
        c.blocks[0].entries = 1000000000;
        c.blocks[0].lane_bits = rows[i].bits;
        csl_buf_init(&out, CSL_SECAGG_CONFIG_BYTES_MAX);
        assert_int_equal(csl_secagg_config_encode(&c, &w.coordinator_key, &out, NULL), CSL_OK);
        assert_int_equal(csl_secagg_config_decode(&c, CSL_SPAN(out.p, out.n), NULL), CSL_OK);
        assert_true(csl_secagg_block_words(&c, 0) == rows[i].words);
        assert_int_equal(csl_secagg_block_chunks(&c, 0), rows[i].chunks);
        csl_buf_release(&out);
    }
}

static bool is_message(struct csl_span bytes)
{
    struct csl_secagg_message m;
    struct csl_secagg_config c;
    return csl_secagg_decode(&m, bytes, NULL) == CSL_OK ||
           csl_secagg_config_decode(&c, bytes, NULL) == CSL_OK;
}

/* Every message there is (one of each is a seed of the fuzz target), 4 billion in every place. */
static uint32_t overstate(struct csl_msg *bytes)
{
    static struct csl_secagg_roster roster;
    struct csl_secagg_message m;
    struct csl_secagg_config c;
    uint32_t refused = 0;
    (void)csl_mem_fail_after(0);
    for (size_t i = 0; i + 4 <= bytes->n; i++) {
        uint8_t kept[4];
        struct csl_span span = csl_msg_span(bytes);
        memcpy(kept, bytes->p + i, 4);
        memset(bytes->p + i, 0xff, 4);
        bool is_read = csl_secagg_decode(&m, span, NULL) == CSL_OK;
        is_read = csl_secagg_config_decode(&c, span, NULL) == CSL_OK || is_read;
        is_read = csl_secagg_roster_decode(&roster, span, w.root.public_key, 0, NULL) == CSL_OK ||
                  is_read;
        refused += is_read ? 0 : 1;
        memcpy(bytes->p + i, kept, 4);
    }
    assert_int_equal(csl_mem_fail_after(0), 0); /* nothing was asked for */
    return refused;
}

static void test_secagg_pitfall_40__four_billion_in_every_message__refused_without_memory(void **s)
{
    static const char *const names[] = {
        "m00", "m01", "m02",         "m03",        "m03_sparse",  "m04",        "m04_sparse", "m05",
        "m06", "m07", "m07_opening", "m07_sparse", "m07r_reveal", "m07r_seeds", "m08",        "m09",
        "m10", "m11", "m12",         "m13",        "m14",         "m20",        "m21",        "m22",
        "m23", "m24", "m25",         "m26",        "m30",         "m31",        "roster"};
    (void)s;
    attack_begin(&w, 5, 1, CSL_SECAGG_STAGE_NEW);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        struct csl_msg bytes = {0};
        (void)snprintf(path, sizeof(path), "tests/fuzz/secagg/corpus/fuzz_secagg/%s", names[i]);
        assert_int_equal(csl_file_read(&bytes, path, 1 << 20, NULL), CSL_OK);
        assert_true(is_message(csl_msg_span(&bytes)) || strcmp(names[i], "roster") == 0);
        assert_true(overstate(&bytes) >= 2); /* type and version, at least */
        csl_msg_release(&bytes);
    }
}

/* ---- what refusals tell ---- */

enum { VARIANTS = 7 };

/* Site 0 sends what is wrong in a different way each time. */
static struct csl_msg spoiled(const struct csl_msg *right, uint32_t variant)
{
    struct csl_msg m = {0};
    assert_int_equal(csl_msg_copy(&m, csl_msg_span(right), NULL), CSL_OK);
    if (variant == 0)
        m.p[m.n - 1] ^= 1; /* the signature, or what follows it */
    else if (variant == 1)
        m.p[5] ^= 1; /* another session */
    else if (variant == 2)
        m.p[0] = CSL_SECAGG_RESULT; /* what only the coordinator says */
    else if (variant == 3)
        m.p[0] = 99;
    else if (variant == 4)
        m.n--;
    else if (variant == 5)
        csl_store_le32(m.p + 34, w.sites[1].id); /* in another site's name */
    else
        csl_store_le32(m.p + 34, 123456); /* of a site that there is not */
    return m;
}

/* With `absent` sites that never come; what the coordinator answers to each variant. */
static void probe(uint32_t absent, enum csl_secagg_stage stage, enum csl_code codes[VARIANTS])
{
    static const uint8_t said[] = {[CSL_SECAGG_STAGE_SHARING] = CSL_SECAGG_SHARES,
                                   [CSL_SECAGG_STAGE_PREPARING] = CSL_SECAGG_ACK,
                                   [CSL_SECAGG_STAGE_UPLOADING] = CSL_SECAGG_MANIFEST};
    struct world_plan plan = {.n = 7, .colluding = 1, .blocks = 1, .scalars = 1, .entries_max = 9};
    world_make(&w, 49, &plan);
    for (uint32_t i = 0; i < absent; i++)
        w.sites[6 - i].is_dead = true;
    world_open(&w, 1, 1);
    world_run_to(&w, stage);
    world_run(&w);
    struct csl_msg right = {0};
    for (uint32_t i = 0; right.p == NULL && i < w.journal.count; i++) {
        struct csl_secagg_message m;
        struct csl_span bytes = csl_msg_span(&w.journal.items[i].bytes);
        if (w.journal.items[i].record == CSL_SECAGG_CJ_INPUT &&
            csl_secagg_decode(&m, bytes, NULL) == CSL_OK && m.type == said[stage] &&
            m.site == w.sites[0].id)
            assert_int_equal(csl_msg_copy(&right, bytes, NULL), CSL_OK);
    }
    assert_non_null(right.p);
    for (uint32_t v = 0; v < VARIANTS; v++) {
        struct csl_msg m = spoiled(&right, v);
        uint32_t records = w.journal.count;
        codes[v] = world_tell_coordinator(&w, w.sites[0].id, csl_msg_span(&m));
        assert_int_equal(w.queued, 0); /* no answer, to nobody */
        assert_int_equal(w.journal.count, records);
        csl_msg_release(&m);
    }
    csl_msg_release(&right);
    next_world();
}

/* A site that tries the coordinator out learns nothing about the others: no message comes back, and
 * the code is the same whether they are there or not. */
static void test_secagg_pitfall_49__wrong_messages_of_a_site__no_answer_and_the_same_code(void **s)
{
    static const enum csl_secagg_stage stages[] = {
        CSL_SECAGG_STAGE_SHARING, CSL_SECAGG_STAGE_PREPARING, CSL_SECAGG_STAGE_UPLOADING};
    (void)s;
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        enum csl_code all[VARIANTS], few[VARIANTS];
        probe(0, stages[i], all);
        probe(2, stages[i], few);
        for (uint32_t v = 0; v < VARIANTS; v++) {
            assert_int_not_equal(all[v], CSL_OK);
            assert_int_equal(all[v], few[v]);
        }
    }
}

int main(void)
{
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
#define TEST(f) cmocka_unit_test_teardown(f, after_each)
    const struct CMUnitTest tests[] = {
        TEST(test_secagg_pitfall_16__maxima_of_all_survivors__exact_in_every_lane),
        TEST(test_secagg_pitfall_17__minima_and_fewer_survivors__offset_of_the_survivors),
        TEST(test_secagg_pitfall_27__any_field_other_for_one_site__not_in_the_sum),
        TEST(test_secagg_threat__another_model_for_one_site__not_in_the_sum),
        TEST(test_secagg_pitfall_39__a_billion_entries__sizes_are_right),
        TEST(test_secagg_pitfall_40__four_billion_in_every_message__refused_without_memory),
        TEST(test_secagg_pitfall_49__wrong_messages_of_a_site__no_answer_and_the_same_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
