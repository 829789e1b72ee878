#include "tests/unit/secagg/attack.h"

#include "base/check.h"

void attack_begin(struct world *w, uint32_t n, uint32_t colluding, enum csl_secagg_stage stage)
{
    struct world_plan plan = {
        .n = n, .colluding = colluding, .blocks = 2, .scalars = 1, .entries_max = 20};
    world_make(w, 77, &plan);
    world_open(w, 1, 1);
    if (stage > CSL_SECAGG_STAGE_OPEN)
        world_run_to(w, stage);
    if (stage != CSL_SECAGG_STAGE_VOTING)
        world_run(w);
}

struct csl_secagg_message attack_view(const struct csl_msg *m)
{
    struct csl_secagg_message view;
    CSL_ASSERT(csl_secagg_decode(&view, csl_msg_span(m), NULL) == CSL_OK);
    return view;
}

const struct parcel *attack_find(const struct world *w, uint8_t type, uint32_t to)
{
    for (uint32_t i = 0; i < w->queued; i++)
        if (w->queue[i].kind == PARCEL_MESSAGE && w->queue[i].to == to &&
            w->queue[i].bytes.p[0] == type)
            return &w->queue[i];
    return NULL;
}

void attack_swallow(struct world *w, uint8_t type)
{
    for (uint32_t i = w->queued; i > 0; i--)
        if (w->queue[i - 1].kind == PARCEL_MESSAGE && w->queue[i - 1].bytes.p[0] == type)
            world_drop(w, i - 1);
}

struct csl_msg attack_hold(struct world *w, uint8_t type, uint32_t site)
{
    struct csl_msg held = {0};
    if (attack_find(w, type, site) == NULL)
        CSL_ASSERT(world_close(w) == CSL_OK);
    const struct parcel *p = attack_find(w, type, site);
    CSL_ASSERT(p != NULL);
    CSL_ASSERT(csl_msg_copy(&held, csl_msg_span(&p->bytes), NULL) == CSL_OK);
    attack_swallow(w, type);
    return held;
}

struct csl_msg attack_forge(const struct csl_secagg_message *m, const struct csl_sign_key *key)
{
    struct csl_buf out;
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    CSL_ASSERT(csl_secagg_encode(m, key, &out, NULL) == CSL_OK);
    return csl_buf_take(&out);
}

enum csl_code attack_tell(struct world *w, uint32_t index, const struct csl_msg *m)
{
    return world_tell_site(w, &w->sites[index], csl_msg_span(m));
}

struct csl_msg attack_votes(const struct world *w, const uint8_t sid[32], uint8_t choice,
                            const uint8_t transcript[32], const uint32_t *voters, uint32_t count)
{
    struct csl_buf votes;
    struct csl_secagg_message m = {.type = choice == CSL_SECAGG_VOTE_FOR ? CSL_SECAGG_QUORUM
                                                                         : CSL_SECAGG_ABANDONED};
    csl_buf_init(&votes, 1 << 20);
    memcpy(m.id, sid, 32);
    if (choice == CSL_SECAGG_VOTE_FOR)
        memcpy(m.u.votes.transcript, transcript, 32);
    for (uint32_t i = 0; i < count; i++) {
        const struct world_site *s = &w->sites[voters[i]];
        struct csl_secagg_message vote = {
            .type = CSL_SECAGG_VOTE, .site = s->id, .u.vote = {.choice = choice}};
        memcpy(vote.id, sid, 32);
        memcpy(vote.u.vote.transcript, m.u.votes.transcript, 32);
        struct csl_msg bytes = attack_forge(&vote, &s->key);
        csl_buf_le32(&votes, s->id);
        csl_buf_append(&votes, bytes.p + bytes.n - CSL_SIGN_SIGNATURE_BYTES,
                       CSL_SIGN_SIGNATURE_BYTES);
        csl_msg_release(&bytes);
    }
    m.u.votes.count = count;
    m.u.votes.votes = votes.p;
    struct csl_msg out = attack_forge(&m, NULL);
    csl_buf_release(&votes);
    return out;
}

void attack_transcript(const struct world *w, const struct csl_msg *senders,
                       const struct csl_msg *survivors, uint8_t transcript[32])
{
    uint32_t ids[CSL_SECAGG_SITES_MAX];
    struct csl_secagg_message u2 = attack_view(senders), u3 = attack_view(survivors);
    for (uint32_t i = 0; i < w->n; i++)
        ids[i] = w->sites[i].id;
    csl_secagg_transcript(&u3, u2.u.senders.commitments, &u2.u.senders.members, ids, transcript);
}

/* M0 to one site, re-signed by the coordinator, with weights and hashes that fit. */
enum csl_code attack_offer(struct world *w, struct world_site *s, struct csl_secagg_config *c,
                           const uint32_t *weights)
{
    struct csl_buf out;
    uint8_t secret[32] = {1};
    csl_secagg_weights_hash(weights, c->roster_count, c->block_count, c->weights_hash);
    csl_buf_init(&out, CSL_SECAGG_CONFIG_BYTES_MAX);
    CSL_ASSERT(csl_secagg_config_encode(c, &w->coordinator_key, &out, NULL) == CSL_OK);
    struct csl_secagg_site_event ev = {.kind = CSL_SECAGG_SE_CONFIG,
                                       .bytes = CSL_SPAN(out.p, out.n),
                                       .weights = weights,
                                       .model_hash = c->model_hash,
                                       .plan_hash = c->plan_hash,
                                       .secret = secret};
    enum csl_code code = world_step_site(w, s, &ev);
    csl_buf_release(&out);
    return code;
}
