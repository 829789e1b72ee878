#include "tests/unit/secagg/world.h"

#include "base/check.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"

static const struct seen *find(const struct world *w, uint8_t what, uint32_t site,
                               const uint8_t id[32])
{
    for (uint32_t i = 0; i < w->book_count; i++) {
        const struct seen *s = &w->book[i];
        if (s->what == what && s->site == site && memcmp(s->id, id, 32) == 0)
            return s;
    }
    return NULL;
}

static void note(struct world *w, uint8_t what, uint32_t site, const uint8_t id[32],
                 const uint8_t value[32])
{
    if (w->book_count == w->book_capacity) {
        w->book_capacity = w->book_capacity == 0 ? 64 : 2 * w->book_capacity;
        w->book = csl_realloc_array(w->book, w->book_capacity, sizeof(*w->book));
        CSL_ASSERT(w->book != NULL);
    }
    struct seen *s = &w->book[w->book_count++];
    s->what = what;
    s->site = site;
    memcpy(s->id, id, 32);
    memcpy(s->value, value, 32);
}

uint32_t monitor_count(const struct world *w, uint8_t what, uint32_t site)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->book_count; i++)
        n += w->book[i].what == what && (site == 0 || w->book[i].site == site) ? 1 : 0;
    return n;
}

/* (I4): before a share leaves, t_g sites had voted for that transcript. */
static void check_quorum(const struct world *w, const struct csl_secagg_message *m)
{
    uint8_t vote[33] = {CSL_SECAGG_VOTE_FOR}, digest[32];
    uint32_t votes = 0;
    memcpy(vote + 1, m->u.unmask.transcript, 32);
    csl_sha256_digest(vote, sizeof(vote), digest);
    for (uint32_t i = 0; i < w->book_count; i++)
        if (w->book[i].what == CSL_SECAGG_VOTE && memcmp(w->book[i].id, m->id, 32) == 0 &&
            memcmp(w->book[i].value, digest, 32) == 0)
            votes++;
    const struct seen *quorum = find(w, MONITOR_QUORUM, 0, m->id);
    CSL_ASSERT(quorum != NULL);
    CSL_ASSERT(votes + w->corrupted >=
               (uint32_t)quorum->value[0] + ((uint32_t)quorum->value[1] << 8));
}

/* What the monitor has to know of the coordinator's messages. */
static void note_coordinator(struct world *w, const struct csl_secagg_message *m)
{
    uint8_t sid[32], value[32] = {0};
    if (m->type == CSL_SECAGG_RESULT)
        memcpy(w->config.previous_head, m->u.result.head, 32); /* for the next round */
    if (m->type == CSL_SECAGG_SPARSE_SENDERS && find(w, MONITOR_SENDERS, 0, m->id) == NULL)
        note(w, MONITOR_SENDERS, 0, m->id, value);
    if (m->type != CSL_SECAGG_ROUND_KEYS)
        return;
    csl_secagg_sid(m, sid);
    uint32_t quorum = csl_secagg_quorum(m->u.round_keys.count, w->config.colluding);
    value[0] = (uint8_t)quorum;
    value[1] = (uint8_t)(quorum >> 8);
    if (find(w, MONITOR_QUORUM, 0, sid) == NULL)
        note(w, MONITOR_QUORUM, 0, sid, value);
}

void monitor_sent(struct world *w, uint32_t from, struct csl_span bytes)
{
    struct csl_secagg_message m;
    uint8_t digest[32];
    if (w->records_traffic)
        csl_buf_append(&w->traffic, bytes.p, bytes.n);
    if (bytes.p[0] == CSL_SECAGG_CONFIG) /* has a decoder of its own, and says nothing secret */
        return;
    CSL_ASSERT(csl_secagg_decode(&m, bytes, NULL) == CSL_OK); /* what an honest machine sends */
    if (from == 0) {
        note_coordinator(w, &m);
        return;
    }
    CSL_ASSERT(m.site == from);
    if (m.type == CSL_SECAGG_VOTE)
        csl_sha256_digest(m.body.p + CSL_SECAGG_HEADER_BYTES, m.body.n - CSL_SECAGG_HEADER_BYTES,
                          digest);
    else
        csl_sha256_digest(m.whole.p, m.whole.n, digest);
    if (m.type == CSL_SECAGG_OPENING) /* one per receiver */
        memcpy(m.id, m.body.p + CSL_SECAGG_HEADER_BYTES, 4);
    const struct seen *before = find(w, m.type, from, m.id);
    /* (I1) one M1 per ctx, one manifest per sid; (I2) one vote; (I3) one set of revealed shares.
     * The same holds for everything a site says. */
    if (before != NULL) {
        CSL_ASSERT(memcmp(before->value, digest, 32) == 0);
        return;
    }
    if (m.type == CSL_SECAGG_UNMASK)
        check_quorum(w, &m);
    /* What draws the masks' graph, or a share of it, stays until the senders are closed. */
    if (m.type == CSL_SECAGG_REVEAL)
        CSL_ASSERT(find(w, MONITOR_SENDERS, 0, m.id) != NULL);
    note(w, m.type, from, m.id, digest);
}

void monitor_released(struct world *w)
{
    uint8_t x[32] = {0};
    csl_sha256_digest(&w->training, sizeof(w->training), x);
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t site = w->sites[i].id;
        if (!csl_secagg_coordinator_is_survivor(w->coordinator, site))
            continue;
        CSL_ASSERT(find(w, MONITOR_RELEASED, site, x) == NULL); /* (I5) */
        note(w, MONITOR_RELEASED, site, x, x);
    }
}
