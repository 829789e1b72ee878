/* A whole attempt of FSA-1 on one core: 37 sites, 12 of them colluding at most, 10^7 entries in
 * 16-bit lanes, 4 sites lost after sharing. Real keys, shares, votes and masks through both state
 * machines; the sum that comes out is checked word by word. Printed: CPU of one site and of the
 * coordinator beside the bound of the same run, which is the key stream they need at the speed of
 * plain AES-256-CTR of the same OpenSSL plus one pass over memory; and the bytes of the messages as
 * they were sent, at 37 and at 100 sites.
 *
 *     bench_secagg                            all figures, for people
 *     bench_secagg csv ENTRIES LANES REPEATS  one line for compare_flower.py: CPU ms of a site and
 *                                             of its encoding, of the coordinator and of its
 *                                             decoding, control bytes up and down, bytes of the
 *                                             vector, levels to either side of zero
 *
 * Not counted: journals on disk, sockets, and whatever one process shares between its sites. CPU
 * time, the best of the surviving sites and of several rounds. The figures depend on the machine
 * and its load, so none of them fails the program; a wrong sum does. */
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/init.h"
#include "privacy/secagg/encode.h"
#include "privacy/secagg/scalar.h"
#include "tests/unit/secagg/world.h"

#include <openssl/evp.h>
#include <stdio.h>

enum { SITES_MAX = 100, TYPES = 24, CIPHER_BYTES = 64 << 20, SLICE = 8192 };

static const uint64_t step_of_site = UINT64_C(0x9E3779B97F4A7C15);

struct traffic {
    uint64_t up[TYPES], down[TYPES];
};
struct site_cost {                              /* ns of CPU */
    uint64_t control, checking, masking, roots; /* checking: of control, M4 with its shares */
};
struct coordinator_cost {
    uint64_t control, roots, adding, keys, unmasking;
};
struct round {
    struct world w; /* its keys, roster, machines and queue */
    struct csl_prg *prg;
    uint32_t lost;
    uint64_t words;
    uint64_t *file, *sum; /* [words] */
    struct traffic traffic[SITES_MAX];
    struct site_cost site[SITES_MAX];
    struct coordinator_cost coordinator;
};
struct figures { /* the best of several rounds */
    struct site_cost site;
    struct coordinator_cost coordinator;
    uint32_t survivors;
    uint32_t streams; /* taken off by the coordinator */
    struct traffic traffic;
    uint64_t words;
};
struct speeds { /* bytes per ns */
    double cipher, memory;
};

static uint32_t place_of(const struct world *w, uint32_t id)
{
    uint32_t i = 0;
    while (w->sites[i].id != id)
        i++;
    return i;
}

/* ---- what the machines ask for ---- */

struct emitter {
    struct round *r;
    uint32_t place;
};

static void site_emit(void *ctx, const struct csl_secagg_site_action *a)
{
    const struct emitter *e = ctx;
    uint32_t id = e->r->w.sites[e->place].id;
    CSL_ASSERT(a->kind != CSL_SECAGG_SA_ALARM);
    if (a->kind == CSL_SECAGG_SA_MASK)
        world_push(&e->r->w, PARCEL_MASKED, id, id, CSL_SPAN(NULL, 0));
    if (a->kind != CSL_SECAGG_SA_SEND)
        return;
    e->r->traffic[e->place].up[a->bytes.p[0]] += a->bytes.n;
    world_push(&e->r->w, PARCEL_MESSAGE, id, 0, a->bytes);
    if (a->bytes.p[0] == CSL_SECAGG_ACK)
        world_push(&e->r->w, PARCEL_TRAINED, id, id, CSL_SPAN(NULL, 0));
}

static void coordinator_emit(void *ctx, const struct csl_secagg_coordinator_action *a)
{
    struct round *r = ctx;
    CSL_ASSERT(a->kind != CSL_SECAGG_CA_ALARM && a->kind != CSL_SECAGG_CA_NAME);
    if (a->kind == CSL_SECAGG_CA_RECEIVE)
        world_push(&r->w, PARCEL_RECEIVED, a->site, 0, CSL_SPAN(NULL, 0));
    if (a->kind != CSL_SECAGG_CA_SEND)
        return;
    uint64_t *down = r->traffic[place_of(&r->w, a->site)].down;
    down[a->bytes.p[0]] += a->bytes.n;
    if (a->bytes.p[0] == CSL_SECAGG_CONFIG) /* with it goes the table of weights */
        down[CSL_SECAGG_CONFIG] += sizeof(uint32_t) * r->w.n * r->w.config.block_count;
    world_push(&r->w, PARCEL_MESSAGE, 0, a->site, a->bytes);
}

static void step_site(struct round *r, uint32_t place, const struct csl_secagg_site_event *ev)
{
    struct emitter e = {r, place};
    struct csl_secagg_site_out out = {&e, site_emit};
    uint64_t begin = csl_clock_cpu_ns();
    CSL_ASSERT(csl_secagg_site_step(r->w.sites[place].machine, ev, &out, NULL) == CSL_OK);
    uint64_t took = csl_clock_cpu_ns() - begin;
    r->site[place].control += took;
    if (ev->bytes.n > 0 && ev->bytes.p[0] == CSL_SECAGG_DELIVERY)
        r->site[place].checking += took;
}

static void step_coordinator(struct round *r, const struct csl_secagg_coordinator_event *ev)
{
    struct csl_secagg_coordinator_out out = {r, coordinator_emit};
    uint64_t begin = csl_clock_cpu_ns();
    enum csl_code code = csl_secagg_coordinator_step(r->w.coordinator, ev, &out, NULL);
    r->coordinator.control += csl_clock_cpu_ns() - begin;
    bool is_late = ev->bytes.n > 0 && ev->bytes.p[0] == CSL_SECAGG_UNMASK && code == CSL_E_STATE;
    CSL_ASSERT(code == CSL_OK || is_late); /* with t_s shares the rest are not wanted any more */
}

/* ---- vectors ---- */

static void apply(struct round *r, const struct csl_secagg_masks *masks, uint64_t *words)
{
    for (uint64_t chunk = 0, at = 0; at < r->words; chunk++, at += CSL_PRG_CHUNK_WORDS) {
        uint64_t left = r->words - at;
        size_t n = left < CSL_PRG_CHUNK_WORDS ? (size_t)left : (size_t)CSL_PRG_CHUNK_WORDS;
        CSL_ASSERT(csl_secagg_masks_apply(masks, r->prg, 0, r->w.config.blocks[0].id, chunk,
                                          words + at, n, NULL) == CSL_OK);
    }
}

static void roots(const struct round *r, uint8_t out[32])
{
    struct csl_secagg_root root;
    csl_secagg_root_init(&root);
    for (uint64_t at = 0; at < r->words; at += CSL_PRG_CHUNK_WORDS) {
        uint64_t left = r->words - at;
        size_t n = left < CSL_PRG_CHUNK_WORDS ? (size_t)left : (size_t)CSL_PRG_CHUNK_WORDS;
        csl_secagg_root_add(&root, r->file + at, n);
    }
    csl_secagg_root_final(&root, out);
}

/* The update of a site is word k = id * step + k. Masked and hashed by the site; when the site is
 * none of the lost, checked and added by the coordinator at once, so that one file is enough. */
static void mask(struct round *r, uint32_t place)
{
    struct world_site *s = &r->w.sites[place];
    struct csl_secagg_masks *masks;
    struct csl_secagg_masked masked = {.block_count = 1};
    uint8_t again[32];
    for (uint64_t k = 0; k < r->words; k++)
        r->file[k] = s->id * step_of_site + k;
    uint64_t begin = csl_clock_cpu_ns();
    CSL_ASSERT(csl_secagg_site_masks(s->machine, &masks, NULL) == CSL_OK);
    r->site[place].control += csl_clock_cpu_ns() - begin;
    begin = csl_clock_cpu_ns();
    apply(r, masks, r->file);
    r->site[place].masking += csl_clock_cpu_ns() - begin;
    begin = csl_clock_cpu_ns();
    roots(r, masked.blocks[0].root);
    r->site[place].roots += csl_clock_cpu_ns() - begin;
    csl_secagg_masks_free(masks);
    masked.blocks[0].entries = csl_secagg_block_entries(&r->w.config, 0);
    masked.blocks[0].chunks = csl_secagg_block_chunks(&r->w.config, 0);
    begin = csl_clock_cpu_ns();
    roots(r, again);
    r->coordinator.roots += csl_clock_cpu_ns() - begin;
    CSL_ASSERT(memcmp(again, masked.blocks[0].root, sizeof(again)) == 0);
    begin = csl_clock_cpu_ns();
    csl_lanes_add(r->sum, r->file, r->words);
    r->coordinator.adding += csl_clock_cpu_ns() - begin;
    struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_MASKED, .masked = &masked};
    step_site(r, place, &ev);
}

/* Returns the number of streams. */
static uint32_t unmask(struct round *r)
{
    struct csl_secagg_masks *masks;
    uint64_t begin = csl_clock_cpu_ns();
    CSL_ASSERT(csl_secagg_coordinator_masks(r->w.coordinator, &masks, NULL) == CSL_OK);
    r->coordinator.keys = csl_clock_cpu_ns() - begin;
    begin = csl_clock_cpu_ns();
    apply(r, masks, r->sum);
    r->coordinator.unmasking = csl_clock_cpu_ns() - begin;
    uint32_t streams = csl_secagg_masks_count(masks);
    csl_secagg_masks_free(masks);
    uint64_t ids = 0;
    for (uint32_t i = 0; i < r->w.n - r->lost; i++)
        ids += r->w.sites[i].id;
    for (uint64_t k = 0; k < r->words; k++)
        CSL_ASSERT(r->sum[k] == ids * step_of_site + (r->w.n - r->lost) * k);
    return streams;
}

/* ---- one attempt ---- */

static void tell_site(struct round *r, uint32_t place, struct csl_span bytes)
{
    uint8_t secret[32];
    struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_MESSAGE, .bytes = bytes};
    if (bytes.p[0] == CSL_SECAGG_CONFIG) {
        csl_rng_bytes(&r->w.rng, secret, sizeof(secret));
        ev.kind = CSL_SECAGG_SE_CONFIG;
        ev.weights = r->w.weights;
        ev.model_hash = r->w.config.model_hash;
        ev.plan_hash = r->w.config.plan_hash;
        ev.secret = secret;
    }
    step_site(r, place, &ev);
}

static void deliver(struct round *r, const struct parcel *p)
{
    uint32_t place = place_of(&r->w, p->to == 0 ? p->from : p->to);
    struct csl_secagg_site_event trained = {.kind = CSL_SECAGG_SE_TRAINED,
                                            .blocks = r->w.sites[place].blocks};
    struct csl_secagg_coordinator_event ev = {
        .kind = p->kind == PARCEL_RECEIVED ? CSL_SECAGG_CE_RECEIVED : CSL_SECAGG_CE_MESSAGE,
        .site = p->from,
        .bytes = csl_msg_span(&p->bytes)};
    if (r->w.sites[place].is_dead)
        return;
    if (p->kind == PARCEL_TRAINED)
        step_site(r, place, &trained);
    else if (p->kind == PARCEL_MASKED)
        mask(r, place);
    else if (p->to != 0)
        tell_site(r, place, csl_msg_span(&p->bytes));
    else
        step_coordinator(r, &ev);
}

static void run(struct round *r)
{
    while (r->w.queued > 0) {
        struct parcel p = r->w.queue[0];
        r->w.queue[0].bytes = (struct csl_msg){0};
        world_drop(&r->w, 0);
        deliver(r, &p);
        csl_msg_release(&p.bytes);
    }
}

static void attempt(struct round *r)
{
    struct csl_secagg_coordinator_setup setup = {.key = &r->w.coordinator_key,
                                                 .roster = &r->w.roster};
    struct csl_secagg_coordinator_event open = {.kind = CSL_SECAGG_CE_OPEN, .config = &r->w.config};
    struct csl_secagg_coordinator_event close = {.kind = CSL_SECAGG_CE_CLOSE};
    CSL_ASSERT(csl_secagg_coordinator_new(&r->w.coordinator, &setup, NULL) == CSL_OK);
    r->w.config.round = 1;
    r->w.config.attempt = 1;
    csl_rng_bytes(&r->w.rng, r->w.config.nonce, sizeof(r->w.config.nonce));
    step_coordinator(r, &open);
    run(r);
    while (csl_secagg_coordinator_stage(r->w.coordinator) < CSL_SECAGG_STAGE_VOTING) {
        step_coordinator(r, &close);
        if (csl_secagg_coordinator_stage(r->w.coordinator) == CSL_SECAGG_STAGE_UPLOADING)
            for (uint32_t i = 0; i < r->lost; i++) /* every site has shared and said READY */
                r->w.sites[r->w.n - 1 - i].is_dead = true;
        run(r);
    }
    CSL_ASSERT(csl_secagg_coordinator_stage(r->w.coordinator) == CSL_SECAGG_STAGE_RELEASED);
}

static void finish(struct round *r)
{
    const uint8_t root[32] = {1}, model[32] = {2};
    struct csl_secagg_coordinator_event ev = {
        .kind = CSL_SECAGG_CE_RESULT, .result_root = root, .model_hash = model};
    step_coordinator(r, &ev);
    run(r);
    CSL_ASSERT(csl_secagg_coordinator_stage(r->w.coordinator) == CSL_SECAGG_STAGE_DONE);
}

/* ---- the best of several ---- */

static void least(uint64_t *best, uint64_t value)
{
    if (*best == 0 || value < *best)
        *best = value;
}

static void keep_best(const struct round *r, struct figures *f)
{
    for (uint32_t i = 0; i < r->w.n - r->lost; i++) {
        least(&f->site.control, r->site[i].control);
        least(&f->site.checking, r->site[i].checking);
        least(&f->site.masking, r->site[i].masking);
        least(&f->site.roots, r->site[i].roots);
    }
    least(&f->coordinator.control, r->coordinator.control);
    least(&f->coordinator.roots, r->coordinator.roots);
    least(&f->coordinator.adding, r->coordinator.adding);
    least(&f->coordinator.keys, r->coordinator.keys);
    least(&f->coordinator.unmasking, r->coordinator.unmasking);
    f->traffic = r->traffic[0]; /* the sites that survive send and receive the same lengths */
    f->words = r->words;
    f->survivors = r->w.n - r->lost;
}

static void run_round(struct figures *f, uint32_t n, uint32_t colluding, uint32_t lost,
                      uint64_t entries, uint8_t lane_bits)
{
    static struct round r;
    struct world_plan plan = {.n = n, .colluding = colluding, .blocks = 1, .entries_max = 1};
    memset(&r, 0, sizeof(r));
    world_make(&r.w, n, &plan);
    r.w.config.blocks[0].lane_bits = lane_bits;
    r.w.config.blocks[0].entries = entries;
    r.lost = lost;
    r.words = csl_secagg_block_words(&r.w.config, 0);
    r.file = csl_alloc_array(r.words, sizeof(uint64_t));
    r.sum = csl_alloc_array(r.words, sizeof(uint64_t));
    CSL_ASSERT(r.file != NULL && r.sum != NULL && csl_prg_new(&r.prg, NULL) == CSL_OK);
    attempt(&r);
    f->streams = unmask(&r);
    finish(&r);
    keep_best(&r, f);
    csl_prg_free(r.prg);
    csl_free(r.file);
    csl_free(r.sum);
    world_remove(&r.w);
}

/* ---- bounds, encoding ---- */

static void faster(double *best, double bytes, uint64_t begin)
{
    double rate = bytes / (double)(csl_clock_cpu_ns() - begin);
    *best = rate > *best ? rate : *best;
}

/* Plain AES-256-CTR into the first cache, and additions of one vector to another. */
static void measure_speeds(struct speeds *s, uint64_t words)
{
    static _Alignas(64) uint8_t zeros[SLICE], sink[SLICE];
    const uint8_t key[32] = {1}, iv[16] = {0};
    int done;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    uint64_t *a = csl_alloc_array(words, sizeof(*a)), *b = csl_alloc_array(words, sizeof(*b));
    CSL_ASSERT(cipher != NULL && a != NULL && b != NULL);
    memset(b, 1, words * sizeof(*b));
    for (int k = 0; k < 5; k++) {
        CSL_ASSERT(EVP_EncryptInit_ex2(cipher, EVP_aes_256_ctr(), key, iv, NULL) == 1);
        uint64_t begin = csl_clock_cpu_ns();
        for (size_t i = 0; i < CIPHER_BYTES / SLICE; i++)
            CSL_ASSERT(EVP_EncryptUpdate(cipher, sink, &done, zeros, SLICE) == 1);
        faster(&s->cipher, CIPHER_BYTES, begin);
        begin = csl_clock_cpu_ns();
        csl_lanes_add(a, b, words);
        faster(&s->memory, (double)words * 8.0, begin);
    }
    EVP_CIPHER_CTX_free(cipher);
    csl_free(a);
    csl_free(b);
}

/* Floats to words at a site, and the sum's words to floats: rotated, rounded with coins. */
struct encoding_cost {
    uint64_t encode, decode; /* ns */
    int64_t level;
};
static void measure_encoding(struct encoding_cost *f, uint64_t entries, uint32_t n, uint32_t bits)
{
    const uint8_t coins[32] = {1};
    struct csl_encoding e = {.rotation = {.size_log2 = CSL_ROTATION_LOG2},
                             .is_rotated = true,
                             .count = entries,
                             .clip_entry = 5.0};
    struct csl_encoder s;
    CSL_ASSERT(csl_lanes_plan(&e.lanes, bits, n, 0, NULL) == CSL_OK);
    CSL_ASSERT(csl_encoding_plan(&e, NULL) == CSL_OK);
    float *vector = csl_alloc_array(entries, sizeof(*vector));
    uint64_t *words = csl_alloc_array(csl_encoding_words(&e), sizeof(*words));
    CSL_ASSERT(vector != NULL && words != NULL);
    size_t words_per_slice = csl_encoding_slice_words(&e, 0), outside;
    size_t per_slice = csl_encoding_slice_size(&e, 0);
    for (uint64_t i = 0; i < entries; i++)
        vector[i] = (float)(i % 1000) * 1e-3F - 0.5F;
    for (int k = 0; k < 3; k++) {
        uint64_t begin = csl_clock_cpu_ns();
        CSL_ASSERT(csl_encoder_start(&s, &e, vector, coins, NULL) == CSL_OK);
        for (uint64_t i = 0; i < csl_encoding_slices(&e); i++)
            csl_encoder_slice(&s, i, NULL, words + i * words_per_slice);
        least(&f->encode, csl_clock_cpu_ns() - begin);
        begin = csl_clock_cpu_ns();
        for (uint64_t i = 0; i < csl_encoding_slices(&e); i++)
            CSL_ASSERT(csl_encoding_decode(&e, i, words + i * words_per_slice, 1, 1.0,
                                           vector + i * per_slice, &outside, NULL) == CSL_OK);
        least(&f->decode, csl_clock_cpu_ns() - begin);
    }
    f->level = e.lanes.level;
    csl_encoder_wipe(&s);
    csl_free(vector);
    csl_free(words);
}

/* Words of 64 bits, as a round sends them unless its study has lanes: one for each value. */
static void measure_words(struct encoding_cost *f, uint64_t entries, uint32_t n)
{
    float *vector = csl_alloc_array(entries, sizeof(*vector));
    uint64_t *words = csl_alloc_array(entries, sizeof(*words));
    CSL_ASSERT(vector != NULL && words != NULL);
    for (uint64_t i = 0; i < entries; i++)
        vector[i] = (float)(i % 1000) * 1e-3F - 0.5F;
    for (int k = 0; k < 3; k++) {
        uint64_t begin = csl_clock_cpu_ns();
        for (uint64_t i = 0; i < entries; i++)
            CSL_ASSERT(csl_scalar_encode((double)vector[i] * 1000.0, n, &words[i], NULL) == CSL_OK);
        least(&f->encode, csl_clock_cpu_ns() - begin);
        begin = csl_clock_cpu_ns();
        for (uint64_t i = 0; i < entries; i++)
            vector[i] = (float)(csl_scalar_decode(words[i]) / 1000.0);
        least(&f->decode, csl_clock_cpu_ns() - begin);
    }
    csl_free(vector);
    csl_free(words);
}

/* ---- printing ---- */

static double ms(uint64_t ns)
{
    return (double)ns * 1e-6;
}

static uint64_t total_of(const uint64_t bytes[TYPES])
{
    uint64_t sum = 0;
    for (int i = 0; i < TYPES; i++)
        sum += bytes[i];
    return sum;
}

static void print_costs(const struct figures *f, const struct speeds *s, uint32_t n)
{
    const struct site_cost *a = &f->site;
    const struct coordinator_cost *c = &f->coordinator;
    double bytes = (double)f->words * 8.0, pass = bytes / s->memory * 1e-6;
    double site = ms(a->control + a->masking);
    double site_bound = (double)n * bytes / s->cipher * 1e-6 + pass;
    double coordinator = ms(c->control + c->adding + c->keys + c->unmasking);
    double stream = (double)f->streams * bytes / s->cipher * 1e-6;
    printf("plain AES-256-CTR %.2f GB/s, a pass over memory (addition) %.2f GB/s of the sum\n",
           s->cipher, s->memory);
    printf("one site: messages, keys and shares %.1f ms (shares received and verified %.1f), "
           "masking (%u streams) %.1f ms, together %.1f ms\n",
           ms(a->control), ms(a->checking), n, ms(a->masking), site);
    printf("  bound %.1f ms: ratio %.2f, of the masking alone %.2f; the manifest's SHA-256 is "
           "%.1f ms more, ratio %.2f\n",
           site_bound, site / site_bound, ms(a->masking) / site_bound, ms(a->roots),
           (site + ms(a->roots)) / site_bound);
    printf("coordinator: messages and shares %.1f ms, mask keys %.1f ms, additions %.1f ms, "
           "unmasking (%u streams) %.1f ms, together %.1f ms\n",
           ms(c->control), ms(c->keys), ms(c->adding), f->streams, ms(c->unmasking), coordinator);
    printf("  bound %.1f ms: ratio %.2f, of the unmasking alone %.2f; with a pass for each of %u "
           "vectors %.1f ms: ratio %.2f\n",
           stream + pass, coordinator / (stream + pass), ms(c->unmasking) / (stream + pass),
           f->survivors, stream + f->survivors * pass,
           coordinator / (stream + f->survivors * pass));
    printf("  SHA-256 of all vectors is %.1f ms more: ratio %.2f\n", ms(c->roots),
           (coordinator + ms(c->roots)) / (stream + pass));
}

static void print_traffic(const struct figures *f, uint32_t n, uint32_t colluding)
{
    uint64_t up = total_of(f->traffic.up), down = total_of(f->traffic.down);
    printf("control messages of one site, n = %u, c = %u: %.1f KB up, %.1f KB down, %.1f KB\n", n,
           colluding, (double)up * 1e-3, (double)down * 1e-3, (double)(up + down) * 1e-3);
    printf("  bytes");
    for (int i = 0; i < TYPES; i++) {
        if (f->traffic.up[i] > 0)
            printf("  M%d up %llu", i, (unsigned long long)f->traffic.up[i]);
        if (f->traffic.down[i] > 0)
            printf("  M%d down %llu", i, (unsigned long long)f->traffic.down[i]);
    }
    printf("\n");
}

static void print_all(uint64_t entries)
{
    struct figures f = {0}, wide = {0};
    struct speeds s = {0};
    struct encoding_cost e = {0};
    struct csl_prg *prg;
    CSL_ASSERT(csl_prg_new(&prg, NULL) == CSL_OK);
    printf("FSA-1, n = 37, c = 12, %llu entries in 16-bit lanes, 4 sites lost after sharing; mask "
           "cipher %s; CPU of one core, best of 3 rounds\n",
           (unsigned long long)entries, csl_prg_cipher(prg));
    csl_prg_free(prg);
    for (int i = 0; i < 3; i++) {
        measure_speeds(&s, entries / 4);
        run_round(&f, 37, 12, 4, entries, 16);
    }
    print_costs(&f, &s, 37);
    measure_encoding(&e, entries, 37, 16);
    printf("beside the protocol: floats to words %.1f ms at a site, sum to floats %.1f ms\n",
           ms(e.encode), ms(e.decode));
    printf("vector: %.3f bytes per entry, %.1f MB\n", (double)f.words * 8.0 / (double)entries,
           (double)f.words * 8e-6);
    print_traffic(&f, 37, 12);
    run_round(&wide, 100, 33, 11, 4, 16);
    print_traffic(&wide, 100, 33);
    printf("  CPU of its messages, keys and shares: %.0f ms a site, %.0f ms the coordinator\n",
           ms(wide.site.control), ms(wide.coordinator.control + wide.coordinator.keys));
}

static void print_csv(uint64_t entries, uint64_t lane_bits, uint64_t repeats)
{
    struct figures f = {0};
    struct encoding_cost e = {0};
    for (uint64_t i = 0; i < repeats; i++)
        run_round(&f, 37, 12, 4, entries, (uint8_t)lane_bits);
    if (lane_bits == 64)
        measure_words(&e, entries, 37);
    else
        measure_encoding(&e, entries, 37, (uint32_t)lane_bits);
    const struct coordinator_cost *c = &f.coordinator;
    printf("%.3f,%.3f,%.3f,%.3f,%llu,%llu,%llu,%lld\n",
           ms(f.site.control + f.site.masking + f.site.roots), ms(e.encode),
           ms(c->control + c->roots + c->adding + c->keys + c->unmasking), ms(e.decode),
           (unsigned long long)total_of(f.traffic.up), (unsigned long long)total_of(f.traffic.down),
           (unsigned long long)f.words * 8, (long long)e.level);
}

int main(int argc, char **argv)
{
    uint64_t entries = 10000000, lane_bits = 16, repeats = 3;
    bool is_csv = argc == 5 && strcmp(argv[1], "csv") == 0;
    if (csl_crypto_init(NULL) != CSL_OK)
        return 1;
    if (argc > 1 && (!is_csv || !csl_parse_u64(argv[2], &entries) || entries < 4 ||
                     !csl_parse_u64(argv[3], &lane_bits) ||
                     (lane_bits != 16 && lane_bits != 32 && lane_bits != 64) ||
                     !csl_parse_u64(argv[4], &repeats) || repeats == 0)) {
        fprintf(stderr, "usage: bench_secagg [csv ENTRIES 16|32|64 REPEATS]\n");
        return 2;
    }
    if (is_csv)
        print_csv(entries, lane_bits, repeats);
    else
        print_all(entries);
    return 0;
}
