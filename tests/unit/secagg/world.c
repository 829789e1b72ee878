#include "tests/unit/secagg/world.h"

#include "base/check.h"
#include "base/mem.h"

static void keep(struct journal *j, int record, struct csl_span bytes)
{
    if (j->count == j->capacity) {
        j->capacity = j->capacity == 0 ? 16 : 2 * j->capacity;
        j->items = csl_realloc_array(j->items, j->capacity, sizeof(*j->items));
        CSL_ASSERT(j->items != NULL);
    }
    struct entry *e = &j->items[j->count++];
    *e = (struct entry){.record = record};
    CSL_ASSERT(csl_msg_copy(&e->bytes, bytes, NULL) == CSL_OK);
}

static void forget(struct journal *j)
{
    for (uint32_t i = 0; i < j->count; i++)
        csl_msg_release(&j->items[i].bytes);
    csl_free(j->items);
    *j = (struct journal){0};
}

void words_free(struct words *x)
{
    for (uint32_t b = 0; b < WORLD_BLOCKS_MAX; b++)
        csl_free(x->block[b]);
    *x = (struct words){{0}};
}

bool words_are_there(const struct words *x)
{
    for (uint32_t b = 0; b < WORLD_BLOCKS_MAX; b++)
        if (x->block[b] != NULL)
            return true;
    return false;
}

struct world_site *world_site(struct world *w, uint32_t id)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (w->sites[i].id == id)
            return &w->sites[i];
    return NULL;
}

void world_push(struct world *w, enum parcel_kind kind, uint32_t from, uint32_t to,
                struct csl_span bytes)
{
    if (w->queued == w->queue_capacity) {
        w->queue_capacity = w->queue_capacity == 0 ? 64 : 2 * w->queue_capacity;
        w->queue = csl_realloc_array(w->queue, w->queue_capacity, sizeof(*w->queue));
        CSL_ASSERT(w->queue != NULL);
    }
    struct parcel *p = &w->queue[w->queued++];
    *p = (struct parcel){.kind = kind, .from = from, .to = to};
    CSL_ASSERT(csl_msg_copy(&p->bytes, bytes, NULL) == CSL_OK);
}

/* ---- executors ---- */

struct emitter {
    struct world *w;
    struct world_site *s;
};

/* Only what the machines allocate counts and fails, not what this file does for them. */
static void begin_machine(const struct world *w)
{
    (void)csl_mem_fail_after(w->fail_in);
}

static void end_machine(struct world *w)
{
    uint64_t asked = csl_mem_fail_after(0);
    w->fail_in = asked < w->fail_in ? w->fail_in - asked : 0;
}

/* A crash during a write: the record is there or it is not; nothing after it happens. */
static bool burn_fuse(struct world *w, uint32_t *fuse, bool *is_crashed)
{
    if (*fuse == WORLD_NEVER || (*fuse)-- > 0)
        return true;
    *fuse = WORLD_NEVER;
    *is_crashed = true;
    w->crashes++;
    return csl_rng_below(&w->rng, 2) == 0;
}

static void site_act(void *ctx, const struct csl_secagg_site_action *a)
{
    struct emitter *e = ctx;
    struct world *w = e->w;
    struct world_site *s = e->s;
    if (s->is_crashed)
        return;
    switch (a->kind) {
    case CSL_SECAGG_SA_JOURNAL:
        if (!burn_fuse(w, &s->fuse, &s->is_crashed))
            break;
        if (w->drops_records && a->record == CSL_SECAGG_SJ_SNAPSHOT)
            forget(&s->journal);
        keep(&s->journal, (int)a->record, a->bytes);
        break;
    case CSL_SECAGG_SA_SEND:
        w->longest[1] = a->bytes.n > w->longest[1] ? a->bytes.n : w->longest[1];
        monitor_sent(w, s->id, a->bytes);
        world_push(w, PARCEL_MESSAGE, s->id, 0, a->bytes);
        if (a->bytes.p[0] == CSL_SECAGG_SHARES || a->bytes.p[0] == CSL_SECAGG_SPARSE_SHARES ||
            a->bytes.p[0] == CSL_SECAGG_ACK)
            world_push(w, PARCEL_TRAINED, s->id, s->id, CSL_SPAN(NULL, 0));
        break;
    case CSL_SECAGG_SA_MASK:
        world_push(w, PARCEL_MASKED, s->id, s->id, CSL_SPAN(NULL, 0));
        break;
    case CSL_SECAGG_SA_UPLOAD:
        world_push(w, PARCEL_UPLOAD, s->id, 0, CSL_SPAN(csl_secagg_site_sid(s->machine), 32));
        break;
    case CSL_SECAGG_SA_SETTLED:
        break;
    case CSL_SECAGG_SA_ALARM:
        s->alarms++;
        break;
    default:
        CSL_ASSERT(false);
    }
}

static void coordinator_act(void *ctx, const struct csl_secagg_coordinator_action *a)
{
    struct emitter *e = ctx;
    struct world *w = e->w;
    if (w->is_crashed)
        return;
    switch (a->kind) {
    case CSL_SECAGG_CA_JOURNAL:
        if (burn_fuse(w, &w->fuse, &w->is_crashed))
            keep(&w->journal, (int)a->record, a->bytes);
        break;
    case CSL_SECAGG_CA_SEND:
        w->longest[0] = a->bytes.n > w->longest[0] ? a->bytes.n : w->longest[0];
        monitor_sent(w, 0, a->bytes);
        world_push(w, PARCEL_MESSAGE, 0, a->site, a->bytes);
        break;
    case CSL_SECAGG_CA_RECEIVE:
        for (uint32_t i = 0; i < w->n; i++)
            if (w->sites[i].id == a->site) {
                w->is_announced[i] = true;
                if (words_are_there(&w->received[i]))
                    world_push(w, PARCEL_RECEIVED, a->site, 0, CSL_SPAN(NULL, 0));
            }
        break;
    case CSL_SECAGG_CA_RELEASE:
        break;
    case CSL_SECAGG_CA_CERTIFICATE:
        csl_msg_release(&w->certificate);
        CSL_ASSERT(csl_msg_copy(&w->certificate, a->bytes, NULL) == CSL_OK);
        break;
    case CSL_SECAGG_CA_NAME:
        w->named++;
        break;
    case CSL_SECAGG_CA_ALARM:
        w->alarms++;
        break;
    default:
        CSL_ASSERT(false);
    }
}

static void site_emit(void *ctx, const struct csl_secagg_site_action *a)
{
    struct emitter *e = ctx;
    end_machine(e->w);
    site_act(ctx, a);
    begin_machine(e->w);
}

static void coordinator_emit(void *ctx, const struct csl_secagg_coordinator_action *a)
{
    struct emitter *e = ctx;
    end_machine(e->w);
    coordinator_act(ctx, a);
    begin_machine(e->w);
}

static struct csl_secagg_site *new_site(struct world *w, struct world_site *s)
{
    struct csl_secagg_site_setup setup = {.site = s->id,
                                          .key = &s->key,
                                          .roster = &w->roster,
                                          .policy = s->policy,
                                          .repeats_models = s->repeats_models,
                                          .epoch_seed =
                                              w->config.graph != 0 ? w->epoch_seed : NULL};
    struct csl_secagg_site *machine;
    CSL_ASSERT(csl_secagg_site_new(&machine, &setup, NULL) == CSL_OK);
    return machine;
}

static struct csl_secagg_coordinator *new_coordinator(struct world *w)
{
    struct csl_secagg_coordinator_setup setup = {.key = &w->coordinator_key,
                                                 .roster = &w->roster,
                                                 .epoch_seed =
                                                     w->config.graph != 0 ? w->epoch_seed : NULL};
    struct csl_secagg_coordinator *machine;
    CSL_ASSERT(csl_secagg_coordinator_new(&machine, &setup, NULL) == CSL_OK);
    return machine;
}

/* From the first `records` of the journal. */
void world_restart_site(struct world *w, struct world_site *s, uint32_t records)
{
    struct emitter e = {w, s};
    struct csl_secagg_site_out out = {&e, site_emit};
    csl_secagg_site_free(s->machine);
    s->machine = new_site(w, s);
    s->is_crashed = false;
    for (uint32_t i = 0; i < s->journal.count && i < records; i++) {
        struct csl_err err;
        enum csl_code code = csl_secagg_site_restore(
            s->machine, (enum csl_secagg_site_record)s->journal.items[i].record,
            csl_msg_span(&s->journal.items[i].bytes), &err);
        CSL_ASSERT(code == CSL_OK);
    }
    csl_secagg_site_check(s->machine);
    begin_machine(w);
    csl_secagg_site_resume(s->machine, &out);
    end_machine(w);
}

void world_nudge(struct world *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        struct emitter e = {w, &w->sites[i]};
        struct csl_secagg_site_out out = {&e, site_emit};
        if (w->sites[i].is_dead)
            continue;
        begin_machine(w);
        csl_secagg_site_resume(w->sites[i].machine, &out);
        end_machine(w);
    }
    struct emitter e = {w, NULL};
    struct csl_secagg_coordinator_out out = {&e, coordinator_emit};
    begin_machine(w);
    csl_secagg_coordinator_resume(w->coordinator, &out);
    end_machine(w);
}

static void lose_connections(struct world *w)
{
    for (uint32_t i = w->queued; i > 0; i--)
        if (w->queue[i - 1].kind == PARCEL_MESSAGE && w->queue[i - 1].from == 0)
            world_drop(w, i - 1);
}

void world_restart_coordinator(struct world *w)
{
    struct emitter e = {w, NULL};
    if (w->loses_on_restart)
        lose_connections(w);
    struct csl_secagg_coordinator_out out = {&e, coordinator_emit};
    csl_secagg_coordinator_free(w->coordinator);
    w->coordinator = new_coordinator(w);
    w->is_crashed = false;
    for (uint32_t i = 0; i < w->journal.count; i++) {
        enum csl_code code = csl_secagg_coordinator_restore(
            w->coordinator, (enum csl_secagg_coordinator_record)w->journal.items[i].record,
            csl_msg_span(&w->journal.items[i].bytes), NULL);
        CSL_ASSERT(code == CSL_OK);
    }
    csl_secagg_coordinator_check(w->coordinator);
    begin_machine(w);
    csl_secagg_coordinator_resume(w->coordinator, &out);
    end_machine(w);
}

enum csl_code world_step_site(struct world *w, struct world_site *s,
                              const struct csl_secagg_site_event *ev)
{
    struct emitter e = {w, s};
    struct csl_secagg_site_out out = {&e, site_emit};
    struct csl_err err;
    w->events++;
    begin_machine(w);
    enum csl_code code = csl_secagg_site_step(s->machine, ev, &out, &err);
    end_machine(w);
    csl_secagg_site_check(s->machine);
    w->restarts += code == CSL_E_NOMEM ? 1 : 0;
    if (s->is_crashed || code == CSL_E_NOMEM)
        world_restart_site(w, s, UINT32_MAX);
    return code;
}

enum csl_code world_step_coordinator(struct world *w, const struct csl_secagg_coordinator_event *ev)
{
    struct emitter e = {w, NULL};
    struct csl_secagg_coordinator_out out = {&e, coordinator_emit};
    struct csl_err err;
    w->events++;
    enum csl_secagg_stage before = csl_secagg_coordinator_stage(w->coordinator);
    begin_machine(w);
    enum csl_code code = csl_secagg_coordinator_step(w->coordinator, ev, &out, &err);
    end_machine(w);
    csl_secagg_coordinator_check(w->coordinator);
    w->restarts += code == CSL_E_NOMEM ? 1 : 0;
    if (w->is_crashed || code == CSL_E_NOMEM)
        world_restart_coordinator(w);
    enum csl_secagg_stage now = csl_secagg_coordinator_stage(w->coordinator);
    if (before < CSL_SECAGG_STAGE_RELEASED && now == CSL_SECAGG_STAGE_RELEASED) {
        w->releases++;
        monitor_released(w);
    }
    return code;
}

enum csl_code world_tell_site(struct world *w, struct world_site *s, struct csl_span bytes)
{
    uint8_t secret[32];
    csl_rng_bytes(&w->rng, secret, sizeof(secret));
    struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_MESSAGE, .bytes = bytes};
    if (bytes.n > 0 && bytes.p[0] == CSL_SECAGG_CONFIG) {
        ev.kind = CSL_SECAGG_SE_CONFIG;
        ev.weights = w->weights;
        ev.model_hash = w->config.model_hash;
        ev.plan_hash = w->config.plan_hash;
        ev.secret = secret;
    }
    enum csl_code code = world_step_site(w, s, &ev);
    csl_wipe(secret, sizeof(secret));
    return code;
}

enum csl_code world_tell_coordinator(struct world *w, uint32_t from, struct csl_span bytes)
{
    struct csl_secagg_coordinator_event ev = {
        .kind = CSL_SECAGG_CE_MESSAGE, .site = from, .bytes = bytes};
    return world_step_coordinator(w, &ev);
}

enum csl_code world_close(struct world *w)
{
    struct csl_secagg_coordinator_event ev = {.kind = CSL_SECAGG_CE_CLOSE};
    return world_step_coordinator(w, &ev);
}

/* ---- deliveries ---- */

void world_drop(struct world *w, uint32_t index)
{
    csl_msg_release(&w->queue[index].bytes);
    memmove(&w->queue[index], &w->queue[index + 1],
            (--w->queued - index) * sizeof(w->queue[index]));
}

static bool is_current(const struct world *w, const struct world_site *s, const uint8_t sid[32])
{
    const uint8_t *ours = csl_secagg_coordinator_sid(w->coordinator);
    const uint8_t *theirs = csl_secagg_site_sid(s->machine);
    return ours != NULL && theirs != NULL && memcmp(ours, sid, 32) == 0 &&
           memcmp(theirs, sid, 32) == 0;
}

static void handle(struct world *w, const struct parcel *p)
{
    struct world_site *s = world_site(w, p->to == 0 ? p->from : p->to);
    CSL_ASSERT(s != NULL);
    uint32_t index = (uint32_t)(s - w->sites);
    struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_TRAINED, .blocks = s->blocks};
    struct csl_secagg_coordinator_event received = {.kind = CSL_SECAGG_CE_RECEIVED, .site = s->id};
    switch (p->kind) {
    case PARCEL_MESSAGE:
        if (p->to == 0)
            (void)world_tell_coordinator(w, p->from, csl_msg_span(&p->bytes));
        else
            (void)world_tell_site(w, s, csl_msg_span(&p->bytes));
        break;
    case PARCEL_TRAINED:
        (void)world_step_site(w, s, &ev);
        break;
    case PARCEL_MASKED:
        world_mask(s);
        ev.kind = CSL_SECAGG_SE_MASKED;
        ev.masked = &s->masked;
        (void)world_step_site(w, s, &ev);
        break;
    case PARCEL_UPLOAD:
        if (!is_current(w, s, p->bytes.p))
            break; /* of an attempt that is over: its roots fit no manifest */
        world_upload(w, index);
        if (w->is_announced[index])
            (void)world_step_coordinator(w, &received);
        break;
    case PARCEL_RECEIVED:
        (void)world_step_coordinator(w, &received);
        break;
    default:
        CSL_ASSERT(false);
    }
}

void world_deliver(struct world *w, uint32_t index)
{
    struct parcel p = w->queue[index];
    w->queue[index].bytes = (struct csl_msg){0};
    world_drop(w, index);
    struct world_site *from = world_site(w, p.from), *to = world_site(w, p.to);
    if ((from == NULL || !from->is_dead) && (to == NULL || !to->is_dead))
        handle(w, &p);
    csl_msg_release(&p.bytes);
}

void world_run(struct world *w)
{
    for (uint32_t i = 0; w->queued > 0; i++) {
        CSL_ASSERT(i < 1000000); /* the machines do not talk for ever */
        world_deliver(w, 0);
    }
}

void world_run_to(struct world *w, enum csl_secagg_stage stage)
{
    world_run(w);
    while (csl_secagg_coordinator_stage(w->coordinator) < stage) {
        CSL_ASSERT(world_close(w) == CSL_OK);
        if (csl_secagg_coordinator_stage(w->coordinator) < stage)
            world_run(w);
    }
}

/* ---- making it ---- */

void world_make(struct world *w, uint64_t seed, const struct world_plan *plan)
{
    memset(w, 0, sizeof(*w));
    csl_rng_init_label(&w->rng, seed, "secagg world", plan->n, 0, 0);
    w->n = plan->n;
    w->fuse = WORLD_NEVER;
    w->sites = csl_alloc_array(plan->n, sizeof(*w->sites));
    w->received = csl_alloc_array(plan->n, sizeof(*w->received));
    w->is_announced = csl_alloc_array(plan->n, sizeof(*w->is_announced));
    CSL_ASSERT(w->sites != NULL && w->received != NULL && w->is_announced != NULL);
    csl_buf_init(&w->traffic, (size_t)1 << 30);
    world_describe(w, plan);
    for (uint32_t i = 0; i < plan->n; i++) {
        struct world_site *s = &w->sites[i];
        s->policy = (struct csl_secagg_policy){.colluding = plan->colluding,
                                               .survivors_min = 2,
                                               .honest_min = 2,
                                               .effective_min = plan->colluding + 2,
                                               .weight_share_max_permille = 600};
        s->machine = new_site(w, s);
        for (uint32_t b = 0; b < plan->blocks; b++)
            if (!plan->has_sparse_blocks || csl_rng_below(&w->rng, 4) > 0 ||
                (b == 0 && plan->scalars == 0))
                csl_secagg_set_put(&s->blocks, b);
    }
    world_train(w);
}

void world_train(struct world *w)
{
    w->training++;
    csl_rng_bytes(&w->rng, w->config.model_hash, 32);
    for (uint32_t i = 0; i < w->n; i++) {
        words_free(&w->sites[i].x);
        for (uint32_t b = 0; b < csl_secagg_block_total(&w->config); b++) {
            uint64_t words = csl_secagg_block_words(&w->config, b);
            w->sites[i].x.block[b] = csl_alloc_array(words, sizeof(uint64_t));
            CSL_ASSERT(w->sites[i].x.block[b] != NULL);
            csl_rng_bytes(&w->rng, w->sites[i].x.block[b], words * sizeof(uint64_t));
        }
    }
}

void world_open(struct world *w, uint64_t round, uint16_t attempt)
{
    w->fuse = WORLD_NEVER;
    forget(&w->journal);
    csl_secagg_coordinator_free(w->coordinator);
    w->coordinator = new_coordinator(w);
    for (uint32_t i = 0; i < w->n; i++) {
        w->is_announced[i] = false;
        words_free(&w->received[i]);
    }
    w->config.round = round;
    w->config.attempt = attempt;
    csl_rng_bytes(&w->rng, w->config.nonce, 32);
    struct csl_secagg_coordinator_event ev = {.kind = CSL_SECAGG_CE_OPEN, .config = &w->config};
    CSL_ASSERT(world_step_coordinator(w, &ev) == CSL_OK);
}

void world_remove(struct world *w)
{
    while (w->queued > 0)
        world_drop(w, w->queued - 1);
    for (uint32_t i = 0; i < w->n; i++) {
        csl_secagg_site_free(w->sites[i].machine);
        forget(&w->sites[i].journal);
        words_free(&w->sites[i].x);
        words_free(&w->sites[i].file);
        words_free(&w->received[i]);
        csl_sign_wipe(&w->sites[i].key);
    }
    csl_secagg_coordinator_free(w->coordinator);
    forget(&w->journal);
    csl_msg_release(&w->certificate);
    csl_buf_release(&w->traffic);
    csl_free(w->weights);
    csl_free(w->sites);
    csl_free(w->received);
    csl_free(w->is_announced);
    csl_free(w->queue);
    csl_free(w->book);
}
