/* A federation in which sites hold different modalities trains one multimodal model by blocks. What
 * crosses the transport is looked at from outside: no site is sent a byte of a block it has no data
 * for, nor sends one, and all of this at once with masks. */
#include "tests/unit/world/fixture.h"

#include "aggregation/tensor/part.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/hash.h"
#include "privacy/crypto/init.h"
#include "simulations/world.h"
#include "site-agent/data/record.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SITES 9
#define SEED  UINT64_C(9)

static const char study_text[] =
    "study: mixed\n"
    "inputs:\n"
    "  - {id: xray, modality: image2d, shape: [16, 16, 1], encoder: {kind: cnn2d, channels: [4]}}\n"
    "  - {id: ultrasound, modality: image2d, shape: [16, 16, 1], encoder: {kind: linear}}\n"
    "  - {id: ecg, modality: signal, shape: [64, 3], encoder: {kind: cnn1d, channels: [4]}}\n"
    "  - id: heart\n    modality: tabular\n    scaling: site\n"
    "    features: [systolic_pressure, cholesterol]\n    encoder: {kind: linear}\n"
    "domains:\n"
    "  - {id: chest, inputs: [xray, heart], task: {kind: binary, label: xray}}\n"
    "  - {id: breast, inputs: [ultrasound], task: {kind: binary, label: ultrasound}}\n"
    "  - {id: rhythm, inputs: [ecg, heart], task: {kind: binary, label: ecg}}\n"
    "model: {kind: multimodal, width: 6, modality_dropout: 0.2}\n"
    "training: {local: {optimizer: adam, learning_rate: 0.01, batch_patients: 16, steps: 8}}\n"
    "rounds: 3\naggregation: {strategy: fedavg, averaging: {kind: ema, decay: 0.9}}\n"
    "sites: {minimum: 9}\n%s";

enum { CHEST, BREAST, RHYTHM, XRAY, ULTRASOUND, ECG, HEART, BLOCKS };

/* By site: modalities and labels it keeps, and the blocks that follow. */
static const char *const keeps[SITES][2] = {{"xray", "heart"}, {"xray", "heart"}, {"xray"},
                                            {"ecg", "heart"},  {"ecg", "heart"},  {"ecg"},
                                            {"ultrasound"},    {"ultrasound"},    {"ultrasound"}};
static const bool blocks_of[SITES][BLOCKS] = {
    {1, 0, 0, 1, 0, 0, 1}, {1, 0, 0, 1, 0, 0, 1}, {1, 0, 0, 1, 0, 0, 0},
    {0, 0, 1, 0, 0, 1, 1}, {0, 0, 1, 0, 0, 1, 1}, {0, 0, 1, 0, 0, 1, 0},
    {0, 1, 0, 0, 1, 0, 0}, {0, 1, 0, 0, 1, 0, 0}, {0, 1, 0, 0, 1, 0, 0}};

/* --- what crosses the transport --- */

struct watch {
    struct csl_transport *client;
    struct csl_transport_ops ops; /* the client's, but for two */
    const struct csl_transport_ops *real;
    struct csl_bulk_sink sink;
    uint8_t first[1 << 16]; /* the first download */
    uint64_t first_bytes, downloads, up_bytes, uploads;
};
static struct watch watches[SITES];
static uint32_t watch_count;

static struct watch *watch_of(const struct csl_transport *t)
{
    for (uint32_t i = 0; i < watch_count; i++)
        if (watches[i].client == t)
            return &watches[i];
    abort();
}

static enum csl_code watched_write(void *self, struct csl_span s, struct csl_err *err)
{
    struct watch *w = self;
    if (w->downloads == 1) {
        CSL_ASSERT(w->first_bytes + s.n <= sizeof(w->first));
        memcpy(w->first + w->first_bytes, s.p, s.n);
        w->first_bytes += s.n;
    }
    return w->sink.write(w->sink.self, s, err);
}

static enum csl_code watched_finish(void *self, const uint8_t digest[32], struct csl_err *err)
{
    struct watch *w = self;
    return w->sink.finish(w->sink.self, digest, err);
}

static void watched_abandon(void *self, enum csl_code why)
{
    struct watch *w = self;
    w->sink.abandon(w->sink.self, why);
}

static enum csl_code watched_download(struct csl_transport *t, uint64_t bulk_id,
                                      const struct csl_bulk_head *head,
                                      const struct csl_bulk_sink *sink, struct csl_err *err)
{
    struct watch *w = watch_of(t);
    const struct csl_bulk_sink own = {w, watched_write, watched_finish, watched_abandon};
    w->sink = *sink;
    w->downloads++;
    return w->real->download(t, bulk_id, head, &own, err);
}

static enum csl_code watched_upload(struct csl_transport *t, uint64_t bulk_id,
                                    const struct csl_bulk_head *head,
                                    const struct csl_bulk_source *source, struct csl_err *err)
{
    struct watch *w = watch_of(t);
    w->uploads++;
    w->up_bytes += head->bytes_total;
    return w->real->upload(t, bulk_id, head, source, err);
}

enum csl_code __real_csl_inproc_client(struct csl_inproc *n, const char *site_id,
                                       struct csl_transport **out, struct csl_err *err);
enum csl_code __wrap_csl_inproc_client(struct csl_inproc *n, const char *site_id,
                                       struct csl_transport **out, struct csl_err *err);
enum csl_code __wrap_csl_inproc_client(struct csl_inproc *n, const char *site_id,
                                       struct csl_transport **out, struct csl_err *err)
{
    enum csl_code code = __real_csl_inproc_client(n, site_id, out, err);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(watch_count < SITES);
    struct watch *w = &watches[watch_count++];
    w->client = *out;
    w->real = (*out)->ops;
    w->ops = *w->real;
    w->ops.download = watched_download;
    w->ops.upload = watched_upload;
    (*out)->ops = &w->ops;
    return CSL_OK;
}

/* --- the federation --- */

struct mixed {
    char dir[64];
    struct csl_study *study;
    struct csl_world_site sites[SITES];
    struct csl_world_result result;
};

static void must(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        fail_msg("%s", err->msg);
}

static bool is_kept(uint32_t site, const char *name)
{
    for (uint32_t i = 0; i < 2 && keeps[site][i] != NULL; i++)
        if (strcmp(keeps[site][i], name) == 0)
            return true;
    return false;
}

static void take_away(struct csl_record_modality *m, uint32_t records)
{
    size_t values = records;
    for (uint32_t i = 0; i < m->rank; i++)
        values *= m->shape[i];
    for (size_t i = 0; i < values; i++)
        m->values[i] = NAN;
    memset(m->available, 0, records);
}

/* Lyon has every modality; what the site does not keep is in none of its records. */
static void write_records(uint32_t site, const char *path)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_records *r = csl_alloc(sizeof(*r));
    const struct csl_synth_config c = {.seed = SEED + site, .patients = 60};
    assert_non_null(r);
    must(csl_synth_hospital(r, 0, &c, &err), &err);
    for (uint32_t k = 0; k < r->modality_count; k++)
        if (!is_kept(site, r->modalities[k].name))
            take_away(&r->modalities[k], r->record_count);
    for (uint32_t k = 0; k < r->label_count; k++)
        for (uint32_t i = 0; i < r->record_count && r->labels[k].value != NULL; i++)
            if (!is_kept(site, r->labels[k].name))
                r->labels[k].value[i] = -1;
    must(csl_records_write(r, path, &err), &err);
    csl_records_release(r);
    csl_free(r);
}

static void mixed_run(struct mixed *m, const char *more, bool is_unmasked)
{
    struct csl_err err = {.code = CSL_OK};
    char yaml[4096];
    memset(m, 0, sizeof(*m));
    memset(watches, 0, sizeof(watches));
    watch_count = 0;
    must(csl_crypto_init(&err), &err);
    snprintf(m->dir, sizeof(m->dir), "/tmp/csl-inputs-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    snprintf(yaml, sizeof(yaml), study_text, more);
    must(csl_study_parse(&m->study, "mixed.yaml", CSL_SPAN(yaml, strlen(yaml)), &err), &err);
    assert_int_equal(m->study->schema.block_count, BLOCKS);
    for (uint32_t i = 0; i < SITES; i++) {
        snprintf(m->sites[i].id, sizeof(m->sites[i].id), "site-%u", i);
        snprintf(m->sites[i].record_path, sizeof(m->sites[i].record_path), "%s/%u.h5", m->dir, i);
        write_records(i, m->sites[i].record_path);
    }
    const struct csl_world_config c = {.study = m->study,
                                       .sites = m->sites,
                                       .site_count = SITES,
                                       .seed = SEED,
                                       .backend = "cpu-ref",
                                       .is_unmasked = is_unmasked};
    must(csl_world_run(&c, &m->result, &err), &err);
    assert_int_equal(m->result.rounds, 3);
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

static void expect_downloads(const struct mixed *m)
{
    const struct csl_schema *s = &m->study->schema;
    float *initial = csl_alloc_array((size_t)s->parameters, sizeof(*initial));
    assert_non_null(initial);
    csl_schema_init_parameters(s, SEED, initial);
    for (uint32_t i = 0; i < SITES; i++) {
        assert_true(watches[i].downloads >= 3);
        assert_int_equal(watches[i].first_bytes, csl_part_bytes(s, 1, blocks_of[i]));
        for (uint32_t b = 0; b < BLOCKS; b++)
            if (contains(watches[i].first, watches[i].first_bytes, random_part(s, b, initial),
                         6 * sizeof(float)) != blocks_of[i][b])
                fail_msg("site %u, block %s: %s", i, s->blocks[b].name,
                         blocks_of[i][b] ? "not sent" : "sent");
    }
    csl_free(initial);
}

static void test_world_inputs__sites_of_different_modalities__move_only_their_blocks(void **state)
{
    (void)state;
    struct mixed m;
    mixed_run(&m, "", false);
    const struct csl_schema *s = &m.study->schema;
    expect_downloads(&m);
    for (uint32_t i = 0; i < SITES; i++) {
        uint64_t own = 0;
        for (uint32_t b = 0; b < BLOCKS; b++)
            own += blocks_of[i][b] ? s->blocks[b].count * sizeof(float) : 0;
        assert_int_equal(watches[i].uploads, 3);
        assert_int_equal(watches[i].up_bytes, 3 * own);
    }
    float *initial = csl_alloc_array((size_t)s->parameters, sizeof(*initial));
    csl_schema_init_parameters(s, SEED, initial);
    for (uint32_t b = 0; b < BLOCKS; b++) { /* every block was trained by somebody */
        double moved = 0;
        for (uint64_t k = s->blocks[b].first; k < s->blocks[b].first + s->blocks[b].count; k++)
            moved += fabs((double)m.result.parameters[k] - (double)initial[k]);
        assert_true(moved > 0);
    }
    csl_free(initial);
    mixed_close(&m);
}

/* Every block is known at three sites or more; the same sum as without them. */
static void test_world_inputs__under_masks__words_are_those_of_the_sites_blocks(void **state)
{
    (void)state;
    static const char masks[] =
        "secure_aggregation: {protocol: fsa-1, colluding: 0, minimum_sites: 3}\n";
    struct mixed m, plain;
    uint64_t bytes[SITES];
    mixed_run(&plain, masks, true);
    for (uint32_t i = 0; i < SITES; i++)
        bytes[i] = watches[i].up_bytes;
    mixed_run(&m, masks, false);
    const struct csl_schema *s = &m.study->schema;
    expect_downloads(&m);
    for (uint32_t i = 0; i < SITES; i++) {
        uint64_t words = BLOCKS + 1; /* weights of the blocks, and the loss */
        for (uint32_t b = 0; b < BLOCKS; b++)
            words += blocks_of[i][b] ? s->blocks[b].count : 0;
        assert_int_equal(watches[i].up_bytes, 3 * words * sizeof(uint64_t));
        assert_int_equal(bytes[i], watches[i].up_bytes);
    }
    assert_memory_equal(m.result.model_digest, plain.result.model_digest, CSL_DIGEST_BYTES);
    mixed_close(&plain);
    mixed_close(&m);
}

/* One clip over all blocks of a site, and a ledger that says so: one event a round. */
static void test_world_inputs__with_privacy__every_site_pays_what_the_study_says(void **state)
{
    (void)state;
    struct mixed m;
    mixed_run(&m, "privacy: {mode: local, epsilon: 4, delta: 0.001, clip: 1}\n", false);
    for (uint32_t i = 0; i < SITES; i++) {
        assert_true(m.result.privacy[i].is_present);
        assert_true(m.result.privacy[i].epsilon > 0 && m.result.privacy[i].epsilon <= 4);
    }
    mixed_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_world_inputs__sites_of_different_modalities__move_only_their_blocks),
        cmocka_unit_test(test_world_inputs__under_masks__words_are_those_of_the_sites_blocks),
        cmocka_unit_test(test_world_inputs__with_privacy__every_site_pays_what_the_study_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
