#include "privacy/secagg/coordinator_internal.h"

#include "base/check.h"
#include "base/le.h"
#include "base/mem.h"

void csl_secagg__coordinator_emit(struct csl_secagg_coordinator *c,
                                  const struct csl_secagg_coordinator_action *a)
{
    if (!c->is_restoring)
        c->out->emit(c->out->ctx, a);
}

void csl_secagg__coordinator_journal(struct csl_secagg_coordinator *c,
                                     enum csl_secagg_coordinator_record record,
                                     struct csl_span bytes)
{
    struct csl_secagg_coordinator_action a = {
        .kind = CSL_SECAGG_CA_JOURNAL, .record = record, .bytes = bytes};
    csl_secagg__coordinator_emit(c, &a);
}

void csl_secagg__coordinator_send(struct csl_secagg_coordinator *c, uint32_t site,
                                  const struct csl_msg *m)
{
    struct csl_secagg_coordinator_action a = {
        .kind = CSL_SECAGG_CA_SEND, .site = site, .bytes = csl_msg_span(m)};
    csl_secagg__coordinator_emit(c, &a);
}

void csl_secagg__coordinator_name(struct csl_secagg_coordinator *c, uint32_t site, const char *text)
{
    struct csl_secagg_coordinator_action a = {
        .kind = CSL_SECAGG_CA_NAME, .site = site, .text = text};
    csl_secagg__coordinator_emit(c, &a);
}

bool csl_secagg__said(const struct csl_secagg_coordinator *c, uint32_t place, uint8_t type,
                      struct csl_secagg_message *out)
{
    const struct csl_msg *m = &c->members[c->rows[place]].said[type];
    if (m->p == NULL)
        return false;
    enum csl_code code = csl_secagg_decode(out, csl_msg_span(m), NULL);
    CSL_ASSERT(code == CSL_OK); /* it was accepted */
    return true;
}

uint32_t csl_secagg__coordinator_place(const struct csl_secagg_coordinator *c, uint32_t site)
{
    for (uint32_t i = 0; i < c->n1; i++)
        if (c->ids[i] == site)
            return i;
    return UINT32_MAX;
}

struct csl_secagg_set csl_secagg__revealed(const struct csl_secagg_coordinator *c, uint32_t place)
{
    struct csl_secagg_set s = c->peers[place];
    csl_secagg_set_put(&s, place);
    return csl_secagg_set_both(&s, &c->u2);
}

uint32_t csl_secagg__count_votes(const struct csl_secagg_coordinator *c, uint8_t choice)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n1; i++) {
        struct csl_secagg_message vote;
        if (csl_secagg__said(c, i, CSL_SECAGG_VOTE, &vote) && vote.u.vote.choice == choice)
            n++;
    }
    return n;
}

enum csl_code csl_secagg_coordinator_new(struct csl_secagg_coordinator **out,
                                         const struct csl_secagg_coordinator_setup *setup,
                                         struct csl_err *err)
{
    if (memcmp(setup->key->public_key, setup->roster->coordinator_key, CSL_SIGN_PUBLIC_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_DENIED, "the roster names another key for the coordinator");
    struct csl_secagg_coordinator *c = csl_alloc(sizeof(*c));
    if (c == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for the coordinator");
    c->setup = *setup;
    c->members = csl_alloc_array(setup->roster->count, sizeof(*c->members));
    if (c->members == NULL) {
        csl_secagg_coordinator_free(c);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u sites", setup->roster->count);
    }
    *out = c;
    return CSL_OK;
}

void csl_secagg_coordinator_free(struct csl_secagg_coordinator *c)
{
    if (c == NULL)
        return;
    for (uint32_t i = 0; c->members != NULL && i < c->setup.roster->count; i++)
        for (uint32_t t = 0; t < CSL_SECAGG_SAID_MAX; t++)
            csl_msg_release(&c->members[i].said[t]);
    for (uint32_t i = 0; i < c->opening_count; i++)
        csl_msg_release(&c->openings[i].opening);
    csl_msg_release(&c->seeds);
    struct csl_msg *own[] = {&c->open,   &c->keys,   &c->senders,    &c->survivors,
                             &c->quorum, &c->result, &c->certificate};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        csl_msg_release(own[i]);
    csl_secret_free(c->memory);
    csl_free(c->openings);
    csl_free(c->peers);
    csl_free(c->members);
    csl_free(c);
}

static enum csl_code tell_member(struct csl_secagg_coordinator *c, uint32_t place,
                                 struct csl_err *err)
{
    uint32_t site = c->ids[place];
    bool is_sender = csl_secagg_set_has(&c->u2, place);
    enum csl_code code;
    switch (c->stage) {
    case CSL_SECAGG_STAGE_SHARING:
        csl_secagg__coordinator_send(c, site, &c->keys);
        break;
    case CSL_SECAGG_STAGE_PREPARING:
        if (!csl_secagg_set_has(&c->dealers, place))
            break;
        code = csl_secagg__coordinator_send_delivery(c, place, err);
        return code == CSL_OK ? csl_secagg__coordinator_send_disputes(c, place, err) : code;
    case CSL_SECAGG_STAGE_SEEDING:
        if (is_sender)
            csl_secagg__coordinator_send(c, site, &c->senders);
        break;
    case CSL_SECAGG_STAGE_UPLOADING:
        if (is_sender && (c->is_resuming || c->seeds.p == NULL))
            csl_secagg__coordinator_send(c, site, &c->senders);
        if (is_sender && c->seeds.p != NULL)
            csl_secagg__coordinator_send(c, site, &c->seeds);
        break;
    case CSL_SECAGG_STAGE_VOTING:
    case CSL_SECAGG_STAGE_UNMASKING:
    case CSL_SECAGG_STAGE_RELEASED:
    case CSL_SECAGG_STAGE_DONE:
        if (is_sender && (c->is_resuming || c->stage == CSL_SECAGG_STAGE_VOTING))
            csl_secagg__coordinator_send(c, site, &c->survivors);
        if (is_sender && c->quorum.p != NULL &&
            (c->is_resuming || c->stage == CSL_SECAGG_STAGE_UNMASKING))
            csl_secagg__coordinator_send(c, site, &c->quorum);
        break;
    case CSL_SECAGG_STAGE_ABANDONED:
        csl_secagg__coordinator_send(c, site, &c->certificate);
        break;
    case CSL_SECAGG_STAGE_NEW:
    case CSL_SECAGG_STAGE_OPEN:
    default:
        CSL_ASSERT(false);
    }
    return CSL_OK;
}

enum csl_code csl_secagg__coordinator_tell(struct csl_secagg_coordinator *c, uint32_t row,
                                           struct csl_err *err)
{
    const struct csl_secagg_roster_site *site = &c->setup.roster->sites[row];
    if (c->is_restoring || !site->is_active || c->stage == CSL_SECAGG_STAGE_NEW)
        return CSL_OK;
    if (c->stage == CSL_SECAGG_STAGE_OPEN) {
        csl_secagg__coordinator_send(c, site->id, &c->open);
        return CSL_OK;
    }
    uint32_t place = csl_secagg__coordinator_place(c, site->id);
    enum csl_code code = place == UINT32_MAX ? CSL_OK : tell_member(c, place, err);
    if (code == CSL_OK && c->stage == CSL_SECAGG_STAGE_DONE)
        csl_secagg__coordinator_send(c, site->id, &c->result);
    return code;
}

enum csl_code csl_secagg__coordinator_tell_all(struct csl_secagg_coordinator *c,
                                               struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < c->setup.roster->count; i++)
        code = csl_secagg__coordinator_tell(c, i, err);
    return code;
}

static enum csl_code adopt_open(struct csl_secagg_coordinator *c, struct csl_span bytes,
                                struct csl_err *err)
{
    enum csl_code code = csl_secagg_config_decode(&c->config, bytes, err);
    if (code == CSL_OK && memcmp(c->config.roster_hash, c->setup.roster->hash, 32) != 0)
        code = CSL_FAIL(err, CSL_E_INVAL, "a configuration of another roster");
    if (code == CSL_OK && c->config.roster_count != c->setup.roster->count)
        code = CSL_FAIL(err, CSL_E_INVAL, "a configuration of %u sites", c->config.roster_count);
    if (code == CSL_OK && c->config.graph != 0 && c->setup.epoch_seed == NULL)
        code = CSL_FAIL(err, CSL_E_INVAL, "sparse graphs without a seed of the roster's epoch");
    if (code == CSL_OK && c->config.graph != 0) /* what every site would refuse */
        code = csl_secagg_graph_check_shares(csl_secagg_roster_active(c->setup.roster),
                                             c->config.colluding, c->config.share_degree,
                                             c->config.share_threshold, c->config.attempt, err);
    if (code == CSL_OK)
        code = csl_msg_copy(&c->open, bytes, err);
    if (code != CSL_OK)
        return code;
    csl_secagg__coordinator_journal(c, CSL_SECAGG_CJ_OPEN, bytes);
    csl_secagg_config_ctx(bytes, c->ctx);
    c->stage = CSL_SECAGG_STAGE_OPEN;
    return csl_secagg__coordinator_tell_all(c, err);
}

static enum csl_code open_round(struct csl_secagg_coordinator *c,
                                const struct csl_secagg_config *config, struct csl_err *err)
{
    struct csl_buf out;
    if (c->stage != CSL_SECAGG_STAGE_NEW)
        return CSL_FAIL(err, CSL_E_STATE, "an attempt is opened once");
    csl_buf_init(&out, CSL_SECAGG_CONFIG_BYTES_MAX);
    enum csl_code code = csl_secagg_config_encode(config, c->setup.key, &out, err);
    if (code == CSL_OK)
        code = adopt_open(c, CSL_SPAN(out.p, out.n), err);
    csl_buf_release(&out);
    return code;
}

static enum csl_code received(struct csl_secagg_coordinator *c, uint32_t site, struct csl_err *err)
{
    uint32_t place = csl_secagg__coordinator_place(c, site);
    struct csl_secagg_message m;
    uint8_t record[4];
    if (place == UINT32_MAX || c->stage < CSL_SECAGG_STAGE_UPLOADING ||
        !csl_secagg__said(c, place, CSL_SECAGG_MANIFEST, &m))
        return CSL_FAIL(err, CSL_E_STATE, "no manifest of site %u was accepted", site);
    struct csl_secagg_member *member = &c->members[c->rows[place]];
    if (member->is_received)
        return CSL_OK;
    if (c->stage != CSL_SECAGG_STAGE_UPLOADING)
        return CSL_FAIL(err, CSL_E_STATE, "the vector of site %u is late", site);
    csl_store_le32(record, site);
    csl_secagg__coordinator_journal(c, CSL_SECAGG_CJ_RECEIVED, CSL_SPAN(record, 4));
    member->is_received = true;
    return CSL_OK;
}

static enum csl_code give_up(struct csl_secagg_coordinator *c, struct csl_err *err)
{
    struct csl_buf out;
    if (c->stage < CSL_SECAGG_STAGE_SHARING || c->stage > CSL_SECAGG_STAGE_VOTING)
        return CSL_FAIL(err, CSL_E_STATE, "nothing to give up, or too late");
    struct csl_secagg_message m = {.type = CSL_SECAGG_GIVE_UP};
    memcpy(m.id, c->sid, 32);
    csl_buf_init(&out, CSL_SECAGG_MESSAGE_BYTES_MAX);
    enum csl_code code = csl_secagg_encode(&m, c->setup.key, &out, err);
    struct csl_msg bytes = csl_buf_take(&out);
    for (uint32_t i = 0; code == CSL_OK && i < c->n1; i++)
        csl_secagg__coordinator_send(c, c->ids[i], &bytes);
    csl_msg_release(&bytes);
    return code;
}

static enum csl_code take_result(struct csl_secagg_coordinator *c, const uint8_t *result_root,
                                 const uint8_t *model_hash, struct csl_err *err)
{
    uint8_t record[64];
    if (c->stage != CSL_SECAGG_STAGE_RELEASED)
        return CSL_FAIL(err, CSL_E_STATE, "no sum is released, or its result is known");
    memcpy(record, result_root, 32);
    memcpy(record + 32, model_hash, 32);
    csl_secagg__coordinator_journal(c, CSL_SECAGG_CJ_RESULT, CSL_SPAN(record, 64));
    memcpy(c->result_root, result_root, 32);
    memcpy(c->model_hash, model_hash, 32);
    enum csl_code code = csl_secagg__coordinator_result(c, err);
    if (code != CSL_OK)
        return code;
    c->stage = CSL_SECAGG_STAGE_DONE;
    return csl_secagg__coordinator_tell_all(c, err);
}

enum csl_code csl_secagg_coordinator_step(struct csl_secagg_coordinator *c,
                                          const struct csl_secagg_coordinator_event *ev,
                                          const struct csl_secagg_coordinator_out *out,
                                          struct csl_err *err)
{
    enum csl_code code = CSL_E_BUG;
    c->out = out;
    switch (ev->kind) {
    case CSL_SECAGG_CE_OPEN:
        code = open_round(c, ev->config, err);
        break;
    case CSL_SECAGG_CE_MESSAGE:
        code = csl_secagg__coordinator_message(c, ev->site, ev->bytes, err);
        break;
    case CSL_SECAGG_CE_CLOSE:
        code = csl_secagg__coordinator_close(c, err);
        break;
    case CSL_SECAGG_CE_RECEIVED:
        code = received(c, ev->site, err);
        break;
    case CSL_SECAGG_CE_GIVE_UP:
        code = give_up(c, err);
        break;
    case CSL_SECAGG_CE_RESULT:
        code = take_result(c, ev->result_root, ev->model_hash, err);
        break;
    default:
        CSL_ASSERT(false);
    }
    c->out = NULL;
    return code;
}

static enum csl_code restore(struct csl_secagg_coordinator *c,
                             enum csl_secagg_coordinator_record record, struct csl_span bytes,
                             struct csl_err *err)
{
    struct csl_secagg_message m;
    enum csl_code code;
    switch (record) {
    case CSL_SECAGG_CJ_OPEN:
        return adopt_open(c, bytes, err);
    case CSL_SECAGG_CJ_INPUT:
        code = csl_secagg_decode(&m, bytes, err);
        return code == CSL_OK ? csl_secagg__coordinator_message(c, m.site, bytes, err) : code;
    case CSL_SECAGG_CJ_DECISION:
        return csl_secagg__coordinator_adopt(c, bytes, err);
    case CSL_SECAGG_CJ_DELIVER:
        csl_secagg__coordinator_begin_delivery(c);
        return CSL_OK;
    case CSL_SECAGG_CJ_RECEIVED:
        return bytes.n == 4 ? received(c, csl_load_le32(bytes.p), err) : CSL_E_CORRUPT;
    case CSL_SECAGG_CJ_RESULT:
        return bytes.n == 64 ? take_result(c, bytes.p, bytes.p + 32, err) : CSL_E_CORRUPT;
    default:
        return CSL_FAIL(err, CSL_E_CORRUPT, "record %d", (int)record);
    }
}

enum csl_code csl_secagg_coordinator_restore(struct csl_secagg_coordinator *c,
                                             enum csl_secagg_coordinator_record record,
                                             struct csl_span bytes, struct csl_err *err)
{
    c->is_restoring = true;
    enum csl_code code = restore(c, record, bytes, err);
    c->is_restoring = false;
    if (code != CSL_OK && code != CSL_E_NOMEM)
        return CSL_FAIL(err, CSL_E_CORRUPT, "the journal does not fit itself at a record %d (%s)",
                        (int)record, csl_code_name(code));
    return code;
}

void csl_secagg_coordinator_resume(struct csl_secagg_coordinator *c,
                                   const struct csl_secagg_coordinator_out *out)
{
    c->out = out;
    c->is_resuming = true;
    enum csl_code code = csl_secagg__coordinator_tell_all(c, NULL);
    c->is_resuming = false;
    (void)code; /* no memory: sites ask again by repeating themselves */
    for (uint32_t i = 0; c->stage == CSL_SECAGG_STAGE_UPLOADING && i < c->n1; i++) {
        const struct csl_secagg_member *m = &c->members[c->rows[i]];
        struct csl_secagg_coordinator_action a = {.kind = CSL_SECAGG_CA_RECEIVE, .site = c->ids[i]};
        if (m->said[CSL_SECAGG_MANIFEST].p != NULL && !m->is_received)
            csl_secagg__coordinator_emit(c, &a);
    }
    struct csl_secagg_coordinator_action a = {.kind = CSL_SECAGG_CA_RELEASE};
    if (c->stage == CSL_SECAGG_STAGE_RELEASED)
        csl_secagg__coordinator_emit(c, &a);
    struct csl_secagg_coordinator_action certificate = {.kind = CSL_SECAGG_CA_CERTIFICATE,
                                                        .bytes = csl_msg_span(&c->certificate)};
    if (c->stage == CSL_SECAGG_STAGE_ABANDONED)
        csl_secagg__coordinator_emit(c, &certificate);
    c->out = NULL;
}

enum csl_secagg_stage csl_secagg_coordinator_stage(const struct csl_secagg_coordinator *c)
{
    return c->stage;
}

const struct csl_secagg_config *
csl_secagg_coordinator_config(const struct csl_secagg_coordinator *c)
{
    return &c->config;
}

const uint8_t *csl_secagg_coordinator_sid(const struct csl_secagg_coordinator *c)
{
    return c->keys.p != NULL ? c->sid : NULL;
}

static bool has_said(const struct csl_secagg_coordinator *c, uint32_t row)
{
    const struct csl_secagg_member *m = &c->members[row];
    switch (c->stage) {
    case CSL_SECAGG_STAGE_OPEN:
        return m->said[CSL_SECAGG_ADVERTISE].p != NULL;
    case CSL_SECAGG_STAGE_SHARING:
        return m->said[CSL_SECAGG_SHARES].p != NULL;
    case CSL_SECAGG_STAGE_PREPARING:
        return m->said[CSL_SECAGG_READY].p != NULL && m->said[CSL_SECAGG_ACK].p != NULL;
    case CSL_SECAGG_STAGE_SEEDING:
        return m->said[CSL_SECAGG_REVEAL].p != NULL;
    case CSL_SECAGG_STAGE_UPLOADING:
        return m->is_received;
    case CSL_SECAGG_STAGE_VOTING:
        return m->said[CSL_SECAGG_VOTE].p != NULL;
    case CSL_SECAGG_STAGE_UNMASKING:
        return m->said[CSL_SECAGG_UNMASK].p != NULL;
    case CSL_SECAGG_STAGE_NEW:
    case CSL_SECAGG_STAGE_RELEASED:
    case CSL_SECAGG_STAGE_DONE:
    case CSL_SECAGG_STAGE_ABANDONED:
    default:
        return false;
    }
}

uint32_t csl_secagg_coordinator_ready_count(const struct csl_secagg_coordinator *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->setup.roster->count; i++)
        n += has_said(c, i);
    return n;
}

bool csl_secagg_coordinator_is_ready(const struct csl_secagg_coordinator *c, uint32_t site)
{
    uint32_t row = csl_secagg_roster_find(c->setup.roster, site);
    return row != UINT32_MAX && has_said(c, row);
}

bool csl_secagg_coordinator_takes_part(const struct csl_secagg_coordinator *c, uint32_t site)
{
    uint32_t place = csl_secagg__coordinator_place(c, site);
    switch (c->stage) {
    case CSL_SECAGG_STAGE_OPEN:
        return csl_secagg_roster_find(c->setup.roster, site) != UINT32_MAX;
    case CSL_SECAGG_STAGE_SHARING:
        return place != UINT32_MAX;
    case CSL_SECAGG_STAGE_PREPARING:
        return csl_secagg_set_has(&c->dealers, place);
    case CSL_SECAGG_STAGE_SEEDING:
    case CSL_SECAGG_STAGE_UPLOADING:
        return csl_secagg_set_has(&c->u2, place);
    case CSL_SECAGG_STAGE_VOTING:
    case CSL_SECAGG_STAGE_UNMASKING:
        return csl_secagg_set_has(&c->u3, place);
    case CSL_SECAGG_STAGE_NEW:
    case CSL_SECAGG_STAGE_RELEASED:
    case CSL_SECAGG_STAGE_DONE:
    case CSL_SECAGG_STAGE_ABANDONED:
    default:
        return false;
    }
}

bool csl_secagg_coordinator_is_member(const struct csl_secagg_coordinator *c, uint32_t site)
{
    return csl_secagg__coordinator_place(c, site) != UINT32_MAX;
}

bool csl_secagg_coordinator_is_survivor(const struct csl_secagg_coordinator *c, uint32_t site)
{
    return csl_secagg_set_has(&c->u3, csl_secagg__coordinator_place(c, site));
}

bool csl_secagg_coordinator_is_in_block(const struct csl_secagg_coordinator *c, uint32_t site,
                                        uint32_t block)
{
    uint32_t place = csl_secagg__coordinator_place(c, site);
    struct csl_secagg_message ready;
    return csl_secagg_set_has(&c->u3, place) &&
           csl_secagg__said(c, place, CSL_SECAGG_READY, &ready) &&
           csl_secagg_set_has(&ready.u.ready.blocks, block);
}
