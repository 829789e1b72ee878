#include "protocol/transport/inproc.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/transport/inproc_net.h"

#include <math.h>
#include <string.h>

#define CHUNK_BYTES_DEFAULT ((size_t)256 * 1024)

/* FNV-1a: spreads site ids over buckets and random streams; nobody attacks a simulation. */
static uint64_t hash_text(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (const char *p = text; *p != '\0'; p++)
        h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    return h;
}

/* SplitMix64 (Steele, Lea and Flood 2014): one add and a mix per number. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double next_uniform(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

/* The queue: a binary heap of timers that know their place in it. */

static bool is_before(const struct csl_inproc_timer *a, const struct csl_inproc_timer *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void put(struct csl_inproc *net, size_t index, struct csl_inproc_timer *t)
{
    net->queue[index] = t;
    t->place = index + 1;
}

static void sift_up(struct csl_inproc *net, size_t index)
{
    struct csl_inproc_timer *t = net->queue[index];
    while (index > 0 && is_before(t, net->queue[(index - 1) / 2])) {
        put(net, index, net->queue[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    put(net, index, t);
}

static void sift_down(struct csl_inproc *net, size_t index)
{
    struct csl_inproc_timer *t = net->queue[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= net->queue_count)
            break;
        if (child + 1 < net->queue_count && is_before(net->queue[child + 1], net->queue[child]))
            child++;
        if (!is_before(net->queue[child], t))
            break;
        put(net, index, net->queue[child]);
        index = child;
    }
    put(net, index, t);
}

void csl_inproc__cancel(struct csl_inproc *net, struct csl_inproc_timer *t)
{
    if (t->place == 0)
        return;
    size_t index = t->place - 1;
    t->place = 0;
    struct csl_inproc_timer *last = net->queue[--net->queue_count];
    if (last == t)
        return;
    put(net, index, last);
    sift_up(net, index);
    sift_down(net, last->place - 1);
}

void csl_inproc__set_in_order(struct csl_inproc *net, struct csl_inproc_timer *t, uint64_t at_ns,
                              uint64_t order)
{
    csl_inproc__cancel(net, t);
    CSL_ASSERT(net->queue_count < net->queue_capacity);
    t->at_ns = at_ns;
    t->order = order;
    put(net, net->queue_count, t);
    sift_up(net, net->queue_count++);
}

void csl_inproc__set(struct csl_inproc *net, struct csl_inproc_timer *t, uint64_t at_ns)
{
    csl_inproc__set_in_order(net, t, at_ns, net->orders++);
}

uint64_t csl_inproc__later(uint64_t at_ns, uint64_t by_ns)
{
    return by_ns > UINT64_MAX - at_ns ? UINT64_MAX : at_ns + by_ns;
}

uint64_t csl_inproc__depart(struct csl_inproc_link *l, enum csl_inproc_side to, size_t bytes,
                            uint64_t ready_ns)
{
    struct csl_inproc_lane *lane = &l->lane[to];
    uint64_t start = lane->wire_free_ns > ready_ns ? lane->wire_free_ns : ready_ns;
    double rate = l->net->config.bytes_per_s;
    double busy = rate > 0 ? (double)bytes / rate * (double)CSL_NS_PER_S : 0.0;
    uint64_t busy_ns = busy < 0x1p63 ? (uint64_t)busy : UINT64_MAX;
    lane->wire_free_ns = csl_inproc__later(start, busy_ns);
    return lane->wire_free_ns;
}

uint64_t csl_inproc__travel_ns(struct csl_inproc_link *l)
{
    const struct csl_inproc_config *c = &l->net->config;
    if (c->jitter_ns == 0)
        return c->delay_ns;
    double jitter = next_uniform(&l->rng) * (double)c->jitter_ns;
    return csl_inproc__later(c->delay_ns, jitter < 0x1p63 ? (uint64_t)jitter : c->jitter_ns);
}

bool csl_inproc__is_cut(struct csl_inproc_link *l)
{
    double p = l->net->config.cut_probability;
    return p > 0 && next_uniform(&l->rng) < p;
}

void csl_inproc__count_bytes(struct csl_inproc *net, enum csl_inproc_side to, size_t bytes)
{
    if (to == CSL_INPROC_SERVER)
        net->stats.bytes_up += bytes;
    else
        net->stats.bytes_down += bytes;
}

/* Where the site's index stands, or the empty place where it would. */
static uint16_t *find_bucket(struct csl_inproc *net, const char *site_id)
{
    size_t i = (size_t)(hash_text(site_id) % CSL_INPROC_BUCKETS);
    while (net->bucket[i] != 0 &&
           strcmp(net->links[net->bucket[i] - 1]->peer.site_id, site_id) != 0)
        i = (i + 1) % CSL_INPROC_BUCKETS;
    return &net->bucket[i];
}

struct csl_inproc_link *csl_inproc__find(struct csl_inproc *net, const char *site_id)
{
    uint16_t *bucket = find_bucket(net, site_id);
    return *bucket == 0 ? NULL : net->links[*bucket - 1];
}

static enum csl_code reserve_timers(struct csl_inproc *net, struct csl_err *err)
{
    size_t need = ((size_t)net->link_count + 1) * CSL_INPROC_LINK_TIMERS;
    if (need <= net->queue_capacity)
        return CSL_OK;
    size_t capacity = need * 2;
    struct csl_inproc_timer **queue =
        csl_realloc_array(net->queue, capacity, sizeof(struct csl_inproc_timer *));
    if (queue == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %zu timers", capacity);
    net->queue = queue;
    net->queue_capacity = capacity;
    return CSL_OK;
}

/* NULL: see *err. */
static struct csl_inproc_link *add_link(struct csl_inproc *net, const char *site_id,
                                        enum csl_code *code, struct csl_err *err)
{
    struct csl_inproc_link *l = NULL;
    if (!csl_id_valid(site_id))
        *code =
            CSL_FAIL(err, CSL_E_INVAL, "not a site id: 1 to %d of a-z 0-9 . _ -", CSL_ID_MAX - 1);
    else if (net->link_count == CSL_SITES_MAX)
        *code = CSL_FAIL(err, CSL_E_LIMIT, "site %s would be number %d, at most %d", site_id,
                         CSL_SITES_MAX + 1, CSL_SITES_MAX);
    else
        *code = reserve_timers(net, err);
    if (*code != CSL_OK)
        return NULL;
    l = csl_alloc(sizeof(*l));
    if (l == NULL) {
        *code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for the link of %s", site_id);
        return NULL;
    }
    l->net = net;
    l->index = net->link_count;
    bool is_copied = csl_str_copy(l->peer.site_id, sizeof(l->peer.site_id), site_id);
    CSL_ASSERT(is_copied);
    uint64_t id = hash_text(site_id);
    l->rng = net->config.seed ^ id;
    for (size_t i = 0; i < sizeof(l->peer.spki_sha256); i++)
        l->peer.spki_sha256[i] = (uint8_t)next_random(&id); /* stands for the pin of its key */
    csl_inproc__link_init(l);
    uint16_t *bucket = find_bucket(net, site_id);
    net->links[net->link_count++] = l;
    *bucket = (uint16_t)net->link_count;
    return l;
}

enum csl_code csl_inproc_new(struct csl_inproc **out, const struct csl_inproc_config *c,
                             struct csl_err *err)
{
    if (!isfinite(c->bytes_per_s) || c->bytes_per_s < 0)
        return CSL_FAIL(err, CSL_E_INVAL, "bytes_per_s: %g, must be 0 or more", c->bytes_per_s);
    if (!(c->cut_probability >= 0 && c->cut_probability <= 1))
        return CSL_FAIL(err, CSL_E_INVAL, "cut_probability: %g, must be 0 to 1",
                        c->cut_probability);
    if (c->chunk_bytes > CSL_CHUNK_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "chunk_bytes: %zu, at most %u", c->chunk_bytes,
                        CSL_CHUNK_BYTES_MAX);
    struct csl_inproc *net = csl_alloc(sizeof(*net));
    size_t chunk_bytes = c->chunk_bytes == 0 ? CHUNK_BYTES_DEFAULT : c->chunk_bytes;
    uint8_t *chunk = csl_alloc(chunk_bytes);
    if (net == NULL || chunk == NULL) {
        csl_free(net);
        csl_free(chunk);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a net");
    }
    net->config = *c;
    net->config.chunk_bytes = chunk_bytes;
    net->chunk = chunk;
    *out = net;
    return CSL_OK;
}

void csl_inproc_free(struct csl_inproc *net)
{
    if (net == NULL)
        return;
    CSL_ASSERT(net->server == NULL && !net->is_stepping);
    for (uint32_t i = 0; i < net->link_count; i++) {
        CSL_ASSERT(net->links[i]->client == NULL);
        csl_inproc__link_release(net->links[i]);
        csl_free(net->links[i]);
    }
    csl_free(net->queue);
    csl_free(net->chunk);
    csl_free(net);
}

enum csl_code csl_inproc_server(struct csl_inproc *net, struct csl_transport **out,
                                struct csl_err *err)
{
    if (net->server != NULL)
        return CSL_FAIL(err, CSL_E_EXISTS, "this net has a server already");
    struct csl_inproc_server *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a server");
    s->base.ops = &csl_inproc__server_ops;
    s->net = net;
    net->server = s;
    *out = &s->base;
    return CSL_OK;
}

enum csl_code csl_inproc_client(struct csl_inproc *net, const char *site_id,
                                struct csl_transport **out, struct csl_err *err)
{
    struct csl_inproc_link *l = csl_inproc__find(net, site_id);
    if (l != NULL && l->client != NULL)
        return CSL_FAIL(err, CSL_E_EXISTS, "site %s has a transport already", site_id);
    struct csl_inproc_client *c = csl_alloc(sizeof(*c));
    if (c == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the transport of %s", site_id);
    enum csl_code code = CSL_OK;
    if (l == NULL)
        l = add_link(net, site_id, &code, err);
    if (l == NULL) {
        csl_free(c);
        return code;
    }
    c->base.ops = &csl_inproc__client_ops;
    c->link = l;
    l->client = c;
    *out = &c->base;
    return CSL_OK;
}

uint64_t csl_inproc_now_ns(const struct csl_inproc *net)
{
    return net->now_ns;
}

uint64_t csl_inproc_next_ns(const struct csl_inproc *net)
{
    return net->queue_count == 0 ? UINT64_MAX : net->queue[0]->at_ns;
}

bool csl_inproc_step(struct csl_inproc *net, uint64_t until_ns)
{
    CSL_ASSERT(!net->is_stepping);
    if (net->queue_count == 0 || net->queue[0]->at_ns > until_ns) {
        if (until_ns != UINT64_MAX && until_ns > net->now_ns)
            net->now_ns = until_ns;
        return false;
    }
    struct csl_inproc_timer *t = net->queue[0];
    csl_inproc__cancel(net, t);
    if (t->at_ns > net->now_ns)
        net->now_ns = t->at_ns;
    net->is_stepping = true;
    t->fire(t->owner, t->argument);
    net->is_stepping = false;
    return true;
}

void csl_inproc_cut(struct csl_inproc *net, const char *site_id)
{
    struct csl_inproc_link *l = csl_inproc__find(net, site_id);
    if (l != NULL)
        csl_inproc__break(l);
}

struct csl_inproc_stats csl_inproc_stats(const struct csl_inproc *net)
{
    return net->stats;
}
