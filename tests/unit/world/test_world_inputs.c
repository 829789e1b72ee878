/* A federation in which sites hold different modalities trains one multimodal model by blocks. What
 * crosses the transport is looked at from outside: no site is sent a byte of a block it has no data
 * for, nor sends one, and all of this at once with masks. Blocks that are frozen or local are
 * neither sent to anybody nor by anybody. */
#include "tests/unit/world/fixture.h"
#include "tests/unit/world/mixed_records.h"
#include "tests/unit/world/watch.h"
#include "tests/unit/world/weights_file.h"

#include "aggregation/tensor/part.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/hash.h"
#include "privacy/crypto/init.h"
#include "simulations/world.h"
#include "site-agent/agent.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SITES          9
#define SEED           UINT64_C(9)
#define PARAMETERS_MAX 4096

static const char study_text[] =
    "study: mixed\n"
    "inputs:\n"
    "  - {id: xray, modality: image2d, shape: [16, 16, 1], encoder: {kind: cnn2d, channels: "
    "[4]%s}}\n"
    "  - {id: ultrasound, modality: image2d, shape: [16, 16, 1], encoder: {kind: linear}}\n"
    "  - {id: ecg, modality: signal, shape: [64, 3], encoder: {kind: cnn1d, channels: [4]}}\n"
    "  - id: heart\n    modality: tabular\n"
    "    features: [{name: systolic_pressure, centre: 132, scale: 18},\n"
    "               {name: cholesterol, centre: 215, scale: 40}]\n    encoder: {kind: linear}\n"
    "domains:\n"
    "  - {id: chest, inputs: [xray, heart], task: {kind: binary, label: xray}}\n"
    "  - {id: breast, inputs: [ultrasound], task: {kind: binary, label: ultrasound}}\n"
    "  - {id: rhythm, inputs: [ecg, heart], task: {kind: binary, label: ecg}%s}\n"
    "model: {kind: multimodal, width: 6, modality_dropout: 0.2}\n"
    "training: {local: %s}\n"
    "rounds: 3\naggregation: {strategy: fedavg%s}\n"
    "sites: {minimum: %u}\n%s";

enum { CHEST, BREAST, RHYTHM, XRAY, ULTRASOUND, ECG, HEART, BLOCKS };

/* By site: modalities and labels it keeps, and the blocks that follow. */
static const char *const keeps[SITES][2] = {{"xray", "heart"}, {"xray", "heart"}, {"xray"},
                                            {"ecg", "heart"},  {"ecg", "heart"},  {"ecg"},
                                            {"ultrasound"},    {"ultrasound"},    {"ultrasound"}};
static const bool blocks_of[SITES][BLOCKS] = {
    {1, 0, 0, 1, 0, 0, 1}, {1, 0, 0, 1, 0, 0, 1}, {1, 0, 0, 1, 0, 0, 0},
    {0, 0, 1, 0, 0, 1, 1}, {0, 0, 1, 0, 0, 1, 1}, {0, 0, 1, 0, 0, 1, 0},
    {0, 1, 0, 0, 1, 0, 0}, {0, 1, 0, 0, 1, 0, 0}, {0, 1, 0, 0, 1, 0, 0}};

#define MASKS "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n"

/* --- the federation --- */

struct mixed {
    char dir[64];
    struct csl_study *study;
    struct csl_world_site sites[SITES];
    struct csl_world_result result;
};
/* What a run has beside the blocks that all are trained and sent. */
struct choice {
    const char *xray, *rhythm; /* more keys of the encoder, and of the domain */
    const char *averaging;     /* more keys of the section aggregation */
    const char *more;          /* sections */
    const char *local;         /* of training; NULL: steps of adam */
    bool is_unmasked;
    uint32_t sites; /* the first so many; 0: all */
    bool has_initial;
    const char *other; /* initial model of the first site, below the run's folder; "": none */
    bool dies;         /* after two rounds, and is started again */
    const char *fails; /* ends with an error that says this */
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

/* --- sites with another initial model --- */

static const char *other_initial; /* of the first site; NULL: the same */
enum csl_code __real_csl_agent_new(struct csl_agent **out, const struct csl_agent_config *config,
                                   struct csl_err *err);
enum csl_code __wrap_csl_agent_new(struct csl_agent **out, const struct csl_agent_config *config,
                                   struct csl_err *err);
enum csl_code __wrap_csl_agent_new(struct csl_agent **out, const struct csl_agent_config *config,
                                   struct csl_err *err)
{
    struct csl_agent_config c = *config;
    if (other_initial != NULL && strcmp(c.site_id, "site-0") == 0)
        c.initial_model = other_initial[0] != '\0' ? other_initial : NULL;
    return __real_csl_agent_new(out, &c, err);
}

/* Asked after every round. */
static bool dies_after_the_second(void *ctx)
{
    uint32_t *rounds = ctx;
    if (++*rounds == 2)
        _exit(0);
    return false;
}

/* In a process of its own, which ends without a goodbye; what it wrote stays. */
static void die_in_the_middle(const struct csl_world_config *config)
{
    uint32_t rounds = 0;
    int status;
    struct csl_world_config c = *config;
    c.interrupted = dies_after_the_second;
    c.interrupted_ctx = &rounds;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct csl_world_result r = {0};
        _exit(csl_world_run(&c, &r, NULL) == CSL_OK ? 1 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Once, or with a death and a second start on the same folder. */
static void run_world(struct mixed *m, const struct choice *how, struct csl_world_config *c)
{
    struct csl_err err = {.code = CSL_OK};
    char state[96];
    snprintf(state, sizeof(state), "%s/state", m->dir);
    if (how->dies) {
        c->state_dir = state;
        die_in_the_middle(c);
    }
    watch_count = 0;
    enum csl_code code = csl_world_run(c, &m->result, &err);
    if (how->fails != NULL) {
        assert_int_not_equal(code, CSL_OK);
        if (strstr(err.msg, how->fails) == NULL)
            fail_msg("%s", err.msg);
        return;
    }
    must(code, &err);
    assert_int_equal(m->result.rounds, 3);
}

/* The model as it begins, into first: [PARAMETERS_MAX]. */
static void mixed_run(struct mixed *m, const struct choice *how, float *first)
{
    struct csl_err err = {.code = CSL_OK};
    uint32_t sites = how->sites > 0 ? how->sites : SITES;
    char yaml[4096], initial[96], other[96];
    float unused[PARAMETERS_MAX];
    memset(m, 0, sizeof(*m));
    memset(watches, 0, sizeof(watches));
    watch_count = 0;
    must(csl_crypto_init(&err), &err);
    snprintf(m->dir, sizeof(m->dir), "/tmp/csl-inputs-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    snprintf(
        yaml, sizeof(yaml), study_text, how->xray != NULL ? how->xray : "",
        how->rhythm != NULL ? how->rhythm : "",
        how->local != NULL ? how->local
                           : "{optimizer: adam, learning_rate: 0.01, batch_patients: 16, steps: 8}",
        how->averaging != NULL ? how->averaging : "", sites, how->more != NULL ? how->more : "");
    must(csl_study_parse(&m->study, "mixed.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
    assert_true(m->study->schema.parameters <= PARAMETERS_MAX);
    for (uint32_t i = 0; i < sites; i++) {
        snprintf(m->sites[i].id, sizeof(m->sites[i].id), "site-%u", i);
        snprintf(m->sites[i].record_path, sizeof(m->sites[i].record_path), "%s/%u.h5", m->dir, i);
        mixed_records(m->sites[i].record_path, SEED + i, keeps[i]);
    }
    snprintf(initial, sizeof(initial), "%s/first.safetensors", m->dir);
    if (how->has_initial)
        write_weights_file(&m->study->schema, SEED + 1, initial, first);
    else
        csl_schema_init_parameters(&m->study->schema, SEED, first);
    snprintf(other, sizeof(other), "%s/%s", m->dir, how->other != NULL ? how->other : "");
    other_initial = how->other == NULL ? NULL : how->other[0] == '\0' ? "" : other;
    if (how->other != NULL && how->other[0] != '\0')
        write_weights_file(&m->study->schema, SEED + 2, other, unused);
    struct csl_world_config c = {.study = m->study,
                                 .sites = m->sites,
                                 .site_count = sites,
                                 .seed = SEED,
                                 .backend = "cpu-ref",
                                 .initial_model = how->has_initial ? initial : NULL,
                                 .is_unmasked = how->is_unmasked};
    run_world(m, how, &c);
}

static void mixed_close(struct mixed *m)
{
    csl_world_result_release(&m->result);
    csl_study_free(m->study);
    fixture_remove(m->dir);
}

static bool contains(const uint8_t *all, uint64_t bytes, const void *what, size_t n)
{
    for (uint64_t i = 0; i + n <= bytes; i++)
        if (memcmp(all + i, what, n) == 0)
            return true;
    return false;
}

/* The values of a block that are not constants, as the model begins. */
static const float *random_part(const struct csl_schema *s, uint32_t block, const float *initial)
{
    for (uint32_t i = 0; i < s->tensor_count; i++)
        if (s->tensors[i].block == block && s->tensors[i].init == CSL_INIT_UNIFORM &&
            s->tensors[i].count >= 6)
            return initial + s->tensors[i].first;
    fail_msg("block %u has no random tensor", block);
    return NULL;
}

/* What is sent to a site, and by it. */
static bool is_sent(const struct mixed *m, uint32_t site, uint32_t block)
{
    uint32_t of = block < BLOCKS ? block : XRAY; /* whose adapter it is */
    return blocks_of[site][of] && m->study->schema.blocks[block].kind == CSL_BLOCK_SHARED;
}

static void expect_downloads(const struct mixed *m, const float *first)
{
    const struct csl_schema *s = &m->study->schema;
    for (uint32_t i = 0; i < SITES; i++) {
        bool sent[CSL_BLOCKS_MAX];
        for (uint32_t b = 0; b < m->study->schema.block_count; b++)
            sent[b] = is_sent(m, i, b);
        assert_true(watches[i].downloads >= 3);
        assert_int_equal(watches[i].first_bytes, csl_part_bytes(s, 1, sent));
        for (uint32_t b = 0; b < m->study->schema.block_count; b++)
            if (contains(watches[i].first, watches[i].first_bytes, random_part(s, b, first),
                         6 * sizeof(float)) != sent[b])
                fail_msg("site %u, block %s: %s", i, s->blocks[b].name,
                         sent[b] ? "not sent" : "sent");
    }
}

/* As many bytes as the floats of the site's blocks, in each of three rounds. */
static void expect_uploads(const struct mixed *m)
{
    for (uint32_t i = 0; i < SITES; i++) {
        uint64_t own = 0;
        for (uint32_t b = 0; b < m->study->schema.block_count; b++)
            own += is_sent(m, i, b) ? m->study->schema.blocks[b].count * sizeof(float) : 0;
        assert_int_equal(watches[i].uploads, 3);
        assert_int_equal(watches[i].up_bytes, 3 * own);
    }
}

static bool has_moved(const struct mixed *m, uint32_t block, const float *from, const float *to)
{
    const struct csl_block_spec *b = &m->study->schema.blocks[block];
    return memcmp(from + b->first, to + b->first, (size_t)b->count * sizeof(float)) != 0;
}

/* Of the last model every site judges the domains whose head it has: two classes, 256 bins. */
static uint64_t evaluation_words(uint32_t site)
{
    uint64_t words = 0;
    for (uint32_t d = CHEST; d <= RHYTHM; d++)
        words += blocks_of[site][d] ? 1 + 1 + 2 * 2 + 2 * 256 + 1 : 0;
    return words;
}

/* Every block is known at three sites or more; the same sum as without them. The fourth round
 * trains nothing. */
static void expect_masked(const struct choice *how)
{
    struct choice choice = *how;
    struct mixed m, plain;
    float first[PARAMETERS_MAX];
    uint64_t bytes[SITES];
    choice.more = MASKS;
    choice.is_unmasked = true;
    mixed_run(&plain, &choice, first);
    for (uint32_t i = 0; i < SITES; i++)
        bytes[i] = watches[i].up_bytes;
    choice.is_unmasked = false;
    mixed_run(&m, &choice, first);
    const struct csl_schema *s = &m.study->schema;
    expect_downloads(&m, first);
    for (uint32_t i = 0; i < SITES; i++) {
        uint64_t words = s->block_count + 1; /* weights of the blocks, and the loss */
        for (uint32_t b = 0; b < s->block_count; b++)
            words += is_sent(&m, i, b) ? s->blocks[b].count : 0;
        uint64_t judged = s->block_count + 1 + evaluation_words(i);
        assert_int_equal(watches[i].uploads, 4);
        assert_int_equal(watches[i].up_bytes, (3 * words + judged) * sizeof(uint64_t));
        assert_int_equal(bytes[i], watches[i].up_bytes);
    }
    assert_memory_equal(m.result.model_digest, plain.result.model_digest, CSL_DIGEST_BYTES);
    for (uint32_t i = 0; i < m.result.own_count; i++)
        assert_memory_equal(m.result.own[i], plain.result.own[i],
                            (size_t)s->parameters * sizeof(float));
    mixed_close(&plain);
    mixed_close(&m);
}

static void test_world_inputs__sites_of_different_modalities__move_only_their_blocks(void **state)
{
    (void)state;
    struct mixed m;
    float first[PARAMETERS_MAX];
    mixed_run(&m, &(struct choice){0}, first);
    expect_downloads(&m, first);
    expect_uploads(&m);
    for (uint32_t b = 0; b < BLOCKS; b++) /* every block was trained by somebody */
        assert_true(has_moved(&m, b, first, m.result.parameters));
    mixed_close(&m);
}

#define FROZEN  ", train: frozen"
#define ADAPTED ", train: frozen, adapter: {rank: 2}"
#define LOCAL   ", model: {kind: multimodal, width: 6, modality_dropout: 0.2, train: local}"

/* The X-ray encoder is frozen, the head of the rhythm stays at each of the three sites that have
 * ECGs. */
static void test_world_inputs__frozen_and_local_blocks__are_sent_by_nobody(void **state)
{
    (void)state;
    struct mixed m;
    float first[PARAMETERS_MAX];
    mixed_run(&m, &(struct choice){.xray = FROZEN, .rhythm = LOCAL, .has_initial = true}, first);
    expect_downloads(&m, first);
    expect_uploads(&m);
    for (uint32_t b = 0; b < BLOCKS; b++)
        assert_int_equal(has_moved(&m, b, first, m.result.parameters), b != XRAY && b != RHYTHM);
    assert_int_equal(m.result.own_count, SITES);
    for (uint32_t i = 0; i < SITES; i++) {
        assert_int_equal(has_moved(&m, RHYTHM, first, m.result.own[i]), blocks_of[i][RHYTHM]);
        assert_false(has_moved(&m, ECG, m.result.parameters, m.result.own[i]));
        for (uint32_t k = 0; k < i; k++)
            assert_int_equal(has_moved(&m, RHYTHM, m.result.own[k], m.result.own[i]),
                             blocks_of[i][RHYTHM] || blocks_of[k][RHYTHM]);
    }
    mixed_close(&m);
}

/* In the place of the frozen encoder travels what is trained beside it. */
static void test_world_inputs__adapter_of_a_frozen_block__is_sent_alone(void **state)
{
    (void)state;
    struct mixed m;
    float first[PARAMETERS_MAX];
    mixed_run(&m, &(struct choice){.xray = ADAPTED, .has_initial = true}, first);
    assert_int_equal(m.study->schema.block_count, BLOCKS + 1);
    assert_true(m.study->schema.blocks[BLOCKS].count < m.study->schema.blocks[XRAY].count);
    expect_downloads(&m, first);
    expect_uploads(&m);
    for (uint32_t b = 0; b <= BLOCKS; b++)
        assert_int_equal(has_moved(&m, b, first, m.result.parameters), b != XRAY);
    mixed_close(&m);
}

static void test_world_inputs__adapter_under_masks__has_words_of_its_own(void **state)
{
    (void)state;
    expect_masked(&(struct choice){.xray = ADAPTED, .has_initial = true});
}

/* What a site has trained for itself outlives its process. */
static void expect_same_after_death(const char *more)
{
    struct choice how = {.xray = FROZEN, .rhythm = LOCAL, .has_initial = true, .more = more};
    struct mixed whole, broken;
    float first[PARAMETERS_MAX];
    mixed_run(&whole, &how, first);
    how.dies = true;
    mixed_run(&broken, &how, first);
    size_t bytes = (size_t)whole.study->schema.parameters * sizeof(float);
    for (uint32_t i = 0; i < SITES; i++)
        assert_memory_equal(whole.result.own[i], broken.result.own[i], bytes);
    mixed_close(&whole);
    mixed_close(&broken);
}

static void test_world_inputs__run_begun_again__has_the_same_local_blocks(void **state)
{
    (void)state;
    expect_same_after_death("");
}

static void test_world_inputs__private_run_begun_again__has_the_same_local_blocks(void **state)
{
    (void)state;
    expect_same_after_death("privacy: {mode: local, epsilon: 4, delta: 0.001, clip: 1}\n");
}

static void test_world_inputs__frozen_without_initial_model__does_not_begin(void **state)
{
    (void)state;
    struct mixed m;
    float first[PARAMETERS_MAX];
    mixed_run(&m, &(struct choice){.xray = FROZEN, .fails = "has frozen blocks"}, first);
    mixed_close(&m);
}

/* The first site has none, or another one: it declines, or does not train. */
static void test_world_inputs__site_without_the_frozen_block__takes_no_part(void **state)
{
    (void)state;
    static const char *const others[2][2] = {{"", "too few sites accepted"},
                                             {"other.safetensors", "after 0 of 3 rounds"}};
    struct mixed m;
    float first[PARAMETERS_MAX];
    for (size_t i = 0; i < 2; i++) {
        mixed_run(
            &m,
            &(struct choice){
                .xray = FROZEN, .has_initial = true, .other = others[i][0], .fails = others[i][1]},
            first);
        assert_int_equal(watches[0].uploads, 0);
        mixed_close(&m);
    }
}

/* The only site that has ECGs trains their head for itself just as it would for all: through all
 * rounds, with the same noise. */
static void expect_same_as_shared(const char *more)
{
    struct mixed shared, local;
    float first[PARAMETERS_MAX];
    mixed_run(&shared, &(struct choice){.more = more, .sites = 4}, first);
    mixed_run(&local, &(struct choice){.rhythm = LOCAL, .more = more, .sites = 4}, first);
    for (uint32_t b = 0; b < BLOCKS; b++)
        assert_false(has_moved(&local, b, shared.result.parameters, local.result.own[3]));
    assert_true(has_moved(&local, RHYTHM, first, local.result.own[3]));
    assert_false(has_moved(&local, RHYTHM, first, local.result.parameters));
    mixed_close(&shared);
    mixed_close(&local);
}

static void test_world_inputs__local_block_of_one_site__learns_as_a_shared_one(void **state)
{
    (void)state;
    expect_same_as_shared("");
}

static void test_world_inputs__local_block_with_privacy__has_the_same_noise(void **state)
{
    (void)state;
    expect_same_as_shared("privacy: {mode: local, epsilon: 4, delta: 0.001, clip: 1}\n");
}

static void test_world_inputs__under_masks__words_are_those_of_the_sites_blocks(void **state)
{
    (void)state;
    expect_masked(&(struct choice){0});
}

#define AVERAGED ", averaging: {kind: ema, decay: 0.9}"

/* The average is judged in the round after the last, and released. */
static void test_world_inputs__averaged_under_masks__is_that_of_plain_sums(void **state)
{
    (void)state;
    expect_masked(&(struct choice){.averaging = AVERAGED});
}

static void test_world_inputs__frozen_and_local_under_masks__have_no_words(void **state)
{
    (void)state;
    expect_masked(&(struct choice){.xray = FROZEN, .rhythm = LOCAL, .has_initial = true});
}

/* One clip over all blocks of a site, and a ledger that says so: one event a round. */
static void test_world_inputs__with_privacy__every_site_pays_what_the_study_says(void **state)
{
    (void)state;
    struct mixed m;
    float first[PARAMETERS_MAX];
    mixed_run(
        &m,
        &(struct choice){.xray = ADAPTED,
                         .has_initial = true,
                         .more = "privacy: {mode: local, epsilon: 4, delta: 0.001, clip: 1}\n"},
        first);
    for (uint32_t i = 0; i < SITES; i++) {
        assert_true(m.result.privacy[i].is_present);
        assert_true(m.result.privacy[i].epsilon > 0 && m.result.privacy[i].epsilon <= 4);
    }
    mixed_close(&m);
}

#define JOINT                                                                                      \
    MASKS "privacy: {mode: joint, epsilon: 4, delta: 0.001, clip: 1, sampling_rate: 0.5}\n"

static void expect_joint(const struct mixed *m)
{
    for (uint32_t i = 0; i < SITES; i++) {
        const struct csl_schema *s = &m->study->schema;
        uint64_t words = s->block_count + 1; /* weights of the blocks, and the loss */
        for (uint32_t b = 0; b < s->block_count; b++)
            words += is_sent(m, i, b) ? s->blocks[b].count : 0;
        assert_int_equal(watches[i].uploads, 3);
        assert_int_equal(watches[i].up_bytes, 3 * words * sizeof(uint64_t));
        /* one price at all sites, whatever they have */
        assert_true(m->result.privacy[i].is_present);
        assert_true(m->result.privacy[i].epsilon > 3.9 && m->result.privacy[i].epsilon <= 4);
        assert_true(fabs(m->result.privacy[i].epsilon / m->result.privacy[0].epsilon - 1) < 1e-12);
    }
    for (uint64_t r = 0; r < m->result.rounds; r++) {
        assert_int_equal(m->result.round_rows[r].contributions, SITES);
        assert_int_equal(m->result.round_rows[r].fewest, 3);
    }
}

/* One noise for all, each block with the shares of those who have it, beside a frozen encoder and
 * what is trained beside that: under masks and without, and in a process that dies in the middle,
 * the same model. */
static void test_world_inputs__joint_noise__is_the_same_under_masks_and_after_death(void **state)
{
    struct choice how = {.xray = ADAPTED,
                         .has_initial = true,
                         .local = "{optimizer: sgd, learning_rate: 0.5, batch_patients: full, "
                                  "steps: 1}",
                         .more = JOINT};
    struct mixed masked, plain, broken;
    float first[PARAMETERS_MAX];
    (void)state;
    mixed_run(&masked, &how, first);
    expect_downloads(&masked, first);
    expect_joint(&masked);
    for (uint32_t b = 0; b <= BLOCKS; b++)
        assert_int_equal(has_moved(&masked, b, first, masked.result.parameters), b != XRAY);
    how.is_unmasked = true;
    mixed_run(&plain, &how, first);
    expect_joint(&plain);
    how.dies = true; /* under masks: test_world_secagg_blocks */
    mixed_run(&broken, &how, first);
    assert_memory_equal(masked.result.model_digest, plain.result.model_digest, CSL_DIGEST_BYTES);
    assert_memory_equal(masked.result.model_digest, broken.result.model_digest, CSL_DIGEST_BYTES);
    mixed_close(&masked);
    mixed_close(&plain);
    mixed_close(&broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_inputs__sites_of_different_modalities__move_only_their_blocks),
        cmocka_unit_test(test_world_inputs__frozen_and_local_blocks__are_sent_by_nobody),
        cmocka_unit_test(test_world_inputs__adapter_of_a_frozen_block__is_sent_alone),
        cmocka_unit_test(test_world_inputs__adapter_under_masks__has_words_of_its_own),
        cmocka_unit_test(test_world_inputs__run_begun_again__has_the_same_local_blocks),
        cmocka_unit_test(test_world_inputs__private_run_begun_again__has_the_same_local_blocks),
        cmocka_unit_test(test_world_inputs__frozen_without_initial_model__does_not_begin),
        cmocka_unit_test(test_world_inputs__site_without_the_frozen_block__takes_no_part),
        cmocka_unit_test(test_world_inputs__local_block_of_one_site__learns_as_a_shared_one),
        cmocka_unit_test(test_world_inputs__local_block_with_privacy__has_the_same_noise),
        cmocka_unit_test(test_world_inputs__frozen_and_local_under_masks__have_no_words),
        cmocka_unit_test(test_world_inputs__averaged_under_masks__is_that_of_plain_sums),
        cmocka_unit_test(test_world_inputs__under_masks__words_are_those_of_the_sites_blocks),
        cmocka_unit_test(test_world_inputs__joint_noise__is_the_same_under_masks_and_after_death),
        cmocka_unit_test(test_world_inputs__with_privacy__every_site_pays_what_the_study_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
