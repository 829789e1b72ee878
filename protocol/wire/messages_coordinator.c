/* What the coordinator says: between struct csl_message and consilium.v1.CoordinatorMessage. */
#include "protocol/wire/codec.h"

#include "base/check.h"

#include <string.h>

/* Wraps `body`, which is the member of the oneof that `which` names, and encodes. */
static enum csl_code seal(const struct csl_message *m,
                          Consilium__V1__CoordinatorMessage__BodyCase which, ProtobufCMessage *body,
                          struct csl_msg *out, struct csl_err *err)
{
    Consilium__V1__CoordinatorMessage envelope = CONSILIUM__V1__COORDINATOR_MESSAGE__INIT;
    envelope.sequence = m->sequence;
    envelope.body_case = which;
    envelope.drain = (Consilium__V1__Drain *)(void *)body; /* every member is one pointer */
    return csl_codec__pack(&envelope.base, out, err);
}

static enum csl_code pack_study(const struct csl_message *m, struct csl_msg *out,
                                struct csl_err *err)
{
    if (m->kind == CSL_MSG_STUDY_OFFER) {
        const struct csl_msg_study_offer *s = &m->u.study_offer;
        Consilium__V1__StudyOffer d = CONSILIUM__V1__STUDY_OFFER__INIT;
        d.study_digest = csl_codec__put_bytes(s->study_digest, sizeof(s->study_digest));
        d.manifest = csl_codec__put_bytes(s->manifest.p, s->manifest.n);
        return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_STUDY_OFFER, &d.base, out, err);
    }
    CSL_ASSERT(m->kind == CSL_MSG_STUDY_ENDED);
    const struct csl_msg_study_ended *s = &m->u.study_ended;
    Consilium__V1__StudyEnded d = CONSILIUM__V1__STUDY_ENDED__INIT;
    d.released = s->released;
    d.round = s->round;
    d.model_digest = s->released
                         ? csl_codec__put_bytes(s->model_digest, sizeof(s->model_digest))
                         : csl_codec__put_optional(s->model_digest, sizeof(s->model_digest));
    d.reason = csl_codec__put_text(s->reason);
    return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_STUDY_ENDED, &d.base, out, err);
}

static enum csl_code pack_task(const struct csl_message *m, struct csl_msg *out,
                               struct csl_err *err)
{
    const struct csl_msg_task *s = &m->u.task;
    Consilium__V1__DomainWeight weights[CSL_DOMAINS_MAX], *list[CSL_DOMAINS_MAX];
    Consilium__V1__Task d = CONSILIUM__V1__TASK__INIT;
    d.type = s->type == CSL_TASK_TRAIN ? CONSILIUM__V1__TASK_TYPE__TASK_TRAIN
                                       : CONSILIUM__V1__TASK_TYPE__TASK_EVALUATE;
    d.round = s->round;
    d.seed = s->seed;
    d.model_digest = csl_codec__put_bytes(s->model_digest, sizeof(s->model_digest));
    d.model_bytes = s->model_bytes;
    d.deadline_ms = s->deadline_ms;
    d.ledger_head = csl_codec__put_text(s->ledger_head);
    d.weights_round = s->weights_round;
    d.n_weights = s->weight_count;
    d.weights = list;
    for (uint32_t i = 0; i < s->weight_count; i++) {
        consilium__v1__domain_weight__init(&weights[i]);
        weights[i].log_weight = s->weights[i].log_weight;
        weights[i].patients = s->weights[i].patients;
        list[i] = &weights[i];
    }
    double priors[CSL_DOMAINS_MAX], groups[CSL_GROUP_WEIGHTS_MAX];
    memcpy(priors, s->prior_loss, sizeof(priors));
    d.n_prior_losses = s->prior_count;
    d.prior_losses = priors;
    memcpy(groups, s->group_log_weight, sizeof(groups));
    d.n_group_weights = s->group_count;
    d.group_weights = groups;
    return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_TASK, &d.base, out, err);
}

static enum csl_code pack_round(const struct csl_message *m, struct csl_msg *out,
                                struct csl_err *err)
{
    if (m->kind == CSL_MSG_TASK)
        return pack_task(m, out, err);
    if (m->kind == CSL_MSG_MODEL_GRANT) {
        Consilium__V1__ModelGrant d = CONSILIUM__V1__MODEL_GRANT__INIT;
        d.round = m->u.model_grant.round;
        d.ticket = csl_codec__put_bytes(m->u.model_grant.ticket, CSL_TICKET_BYTES);
        return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_MODEL_GRANT, &d.base, out, err);
    }
    if (m->kind == CSL_MSG_UPDATE_GRANT) {
        Consilium__V1__UpdateGrant d = CONSILIUM__V1__UPDATE_GRANT__INIT;
        d.round = m->u.update_grant.round;
        d.ticket = csl_codec__put_bytes(m->u.update_grant.ticket, CSL_TICKET_BYTES);
        d.offset = m->u.update_grant.offset;
        return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_UPDATE_GRANT, &d.base, out, err);
    }
    if (m->kind == CSL_MSG_UPDATE_ACCEPTED) {
        const struct csl_msg_update_accepted *s = &m->u.update_accepted;
        Consilium__V1__UpdateAccepted d = CONSILIUM__V1__UPDATE_ACCEPTED__INIT;
        d.round = s->round;
        d.digest = csl_codec__put_bytes(s->digest, CSL_DIGEST_BYTES);
        d.countersignature =
            csl_codec__put_optional(s->countersignature, sizeof(s->countersignature));
        d.ledger_key = csl_codec__put_optional(s->ledger_key, sizeof(s->ledger_key));
        return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_UPDATE_ACCEPTED, &d.base, out, err);
    }
    CSL_ASSERT(m->kind == CSL_MSG_EVALUATION_ACCEPTED);
    Consilium__V1__EvaluationAccepted d = CONSILIUM__V1__EVALUATION_ACCEPTED__INIT;
    d.round = m->u.evaluation_accepted.round;
    return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_EVALUATION_ACCEPTED, &d.base, out, err);
}

enum csl_code csl_message__coordinator_pack(const struct csl_message *m, struct csl_msg *out,
                                            struct csl_err *err)
{
    if (m->kind == CSL_MSG_STUDY_OFFER || m->kind == CSL_MSG_STUDY_ENDED)
        return pack_study(m, out, err);
    if (m->kind == CSL_MSG_REFUSED) {
        Consilium__V1__Refused d = CONSILIUM__V1__REFUSED__INIT;
        d.code = csl_codec__put_code(m->u.refused.code);
        d.reason = csl_codec__put_text(m->u.refused.reason);
        return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_REFUSED, &d.base, out, err);
    }
    if (m->kind == CSL_MSG_DRAIN) {
        Consilium__V1__Drain d = CONSILIUM__V1__DRAIN__INIT;
        return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_DRAIN, &d.base, out, err);
    }
    if (m->kind == CSL_MSG_SECAGG_TO_SITE) {
        Consilium__V1__SecAgg d = CONSILIUM__V1__SEC_AGG__INIT;
        d.body = csl_codec__put_bytes(m->u.secagg.body.p, m->u.secagg.body.n);
        d.offset = m->u.secagg.offset;
        d.total = m->u.secagg.total;
        return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_SECAGG, &d.base, out, err);
    }
    if (m->kind == CSL_MSG_PONG) {
        Consilium__V1__Pong d = CONSILIUM__V1__PONG__INIT;
        d.nonce = m->u.pong.nonce;
        return seal(m, CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_PONG, &d.base, out, err);
    }
    return pack_round(m, out, err);
}

static enum csl_code unpack_offer(struct csl_msg_study_offer *d, const Consilium__V1__StudyOffer *s,
                                  struct csl_err *err)
{
    enum csl_code code = csl_codec__get_bytes(d->study_digest, sizeof(d->study_digest), false,
                                              s->study_digest, "STUDY_OFFER.study_digest", err);
    if (code != CSL_OK)
        return code;
    if (s->manifest.len == 0 || s->manifest.len > CSL_MANIFEST_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "STUDY_OFFER.manifest: %zu bytes, must be 1 to %u",
                        s->manifest.len, CSL_MANIFEST_BYTES_MAX);
    return csl_msg_copy(&d->manifest, CSL_SPAN(s->manifest.data, s->manifest.len), err);
}

static enum csl_code unpack_task(struct csl_msg_task *d, const Consilium__V1__Task *s,
                                 struct csl_err *err)
{
    if (s->type == CONSILIUM__V1__TASK_TYPE__TASK_TRAIN)
        d->type = CSL_TASK_TRAIN;
    else if (s->type == CONSILIUM__V1__TASK_TYPE__TASK_EVALUATE)
        d->type = CSL_TASK_EVALUATE;
    else
        return CSL_FAIL(err, CSL_E_PROTO, "TASK.type: not set");
    if (s->n_weights > CSL_DOMAINS_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "TASK.weights: %zu entries, at most %d", s->n_weights,
                        CSL_DOMAINS_MAX);
    for (size_t i = 0; i < s->n_weights; i++)
        d->weights[i] =
            (struct csl_domain_weight){s->weights[i]->log_weight, s->weights[i]->patients};
    d->weight_count = (uint32_t)s->n_weights;
    if (s->n_prior_losses > CSL_DOMAINS_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "TASK.prior_losses: %zu entries, at most %d",
                        s->n_prior_losses, CSL_DOMAINS_MAX);
    d->prior_count = (uint32_t)s->n_prior_losses;
    if (d->prior_count > 0)
        memcpy(d->prior_loss, s->prior_losses, d->prior_count * sizeof(d->prior_loss[0]));
    if (s->n_group_weights > CSL_GROUP_WEIGHTS_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "TASK.group_weights: %zu entries, at most %d",
                        s->n_group_weights, CSL_GROUP_WEIGHTS_MAX);
    d->group_count = (uint32_t)s->n_group_weights;
    if (d->group_count > 0)
        memcpy(d->group_log_weight, s->group_weights,
               d->group_count * sizeof(d->group_log_weight[0]));
    d->weights_round = s->weights_round;
    d->round = s->round;
    d->seed = s->seed;
    d->model_bytes = s->model_bytes;
    d->deadline_ms = s->deadline_ms;
    enum csl_code code = csl_codec__get_bytes(d->model_digest, sizeof(d->model_digest), false,
                                              s->model_digest, "TASK.model_digest", err);
    return code == CSL_OK ? csl_codec__get_text(d->ledger_head, sizeof(d->ledger_head),
                                                s->ledger_head, "TASK.ledger_head", err)
                          : code;
}

static enum csl_code unpack_accepted(struct csl_msg_update_accepted *d,
                                     const Consilium__V1__UpdateAccepted *s, struct csl_err *err)
{
    d->round = s->round;
    enum csl_code code = csl_codec__get_bytes(d->digest, sizeof(d->digest), false, s->digest,
                                              "UPDATE_ACCEPTED.digest", err);
    if (code == CSL_OK)
        code = csl_codec__get_bytes(d->countersignature, sizeof(d->countersignature), true,
                                    s->countersignature, "UPDATE_ACCEPTED.countersignature", err);
    if (code == CSL_OK)
        code = csl_codec__get_bytes(d->ledger_key, sizeof(d->ledger_key), true, s->ledger_key,
                                    "UPDATE_ACCEPTED.ledger_key", err);
    return code;
}

static enum csl_code unpack_ended(struct csl_msg_study_ended *d, const Consilium__V1__StudyEnded *s,
                                  struct csl_err *err)
{
    d->released = s->released != 0;
    d->round = s->round;
    enum csl_code code =
        csl_codec__get_bytes(d->model_digest, sizeof(d->model_digest), !d->released,
                             s->model_digest, "STUDY_ENDED.model_digest", err);
    if (code != CSL_OK)
        return code;
    return csl_codec__get_text(d->reason, sizeof(d->reason), s->reason, "STUDY_ENDED.reason", err);
}

static enum csl_code unpack_body(struct csl_message *out,
                                 const Consilium__V1__CoordinatorMessage *s, struct csl_err *err)
{
    switch ((int)s->body_case) { /* protobuf-c adds a value of its own to its enums */
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_STUDY_OFFER:
        out->kind = CSL_MSG_STUDY_OFFER;
        return unpack_offer(&out->u.study_offer, s->study_offer, err);
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_TASK:
        out->kind = CSL_MSG_TASK;
        return unpack_task(&out->u.task, s->task, err);
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_MODEL_GRANT:
        out->kind = CSL_MSG_MODEL_GRANT;
        out->u.model_grant.round = s->model_grant->round;
        return csl_codec__get_bytes(out->u.model_grant.ticket, CSL_TICKET_BYTES, false,
                                    s->model_grant->ticket, "MODEL_GRANT.ticket", err);
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_UPDATE_GRANT:
        out->kind = CSL_MSG_UPDATE_GRANT;
        out->u.update_grant.round = s->update_grant->round;
        out->u.update_grant.offset = s->update_grant->offset;
        return csl_codec__get_bytes(out->u.update_grant.ticket, CSL_TICKET_BYTES, false,
                                    s->update_grant->ticket, "UPDATE_GRANT.ticket", err);
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_UPDATE_ACCEPTED:
        out->kind = CSL_MSG_UPDATE_ACCEPTED;
        return unpack_accepted(&out->u.update_accepted, s->update_accepted, err);
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_EVALUATION_ACCEPTED:
        out->kind = CSL_MSG_EVALUATION_ACCEPTED;
        out->u.evaluation_accepted.round = s->evaluation_accepted->round;
        return CSL_OK;
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_STUDY_ENDED:
        out->kind = CSL_MSG_STUDY_ENDED;
        return unpack_ended(&out->u.study_ended, s->study_ended, err);
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_REFUSED:
        out->kind = CSL_MSG_REFUSED;
        out->u.refused.code = csl_codec__get_code(s->refused->code);
        return csl_codec__get_text(out->u.refused.reason, sizeof(out->u.refused.reason),
                                   s->refused->reason, "REFUSED.reason", err);
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_DRAIN:
        out->kind = CSL_MSG_DRAIN;
        return CSL_OK;
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_SECAGG:
        out->kind = CSL_MSG_SECAGG_TO_SITE;
        out->u.secagg.offset = s->secagg->offset;
        out->u.secagg.total = s->secagg->total;
        return csl_msg_copy(&out->u.secagg.body,
                            CSL_SPAN(s->secagg->body.data, s->secagg->body.len), err);
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY_PONG:
        out->kind = CSL_MSG_PONG;
        out->u.pong.nonce = s->pong->nonce;
        return CSL_OK;
    case CONSILIUM__V1__COORDINATOR_MESSAGE__BODY__NOT_SET:
    default:
        return CSL_FAIL(err, CSL_E_PROTO, "CoordinatorMessage without a body");
    }
}

enum csl_code csl_message__coordinator_unpack(struct csl_message *out, struct csl_arena *a,
                                              struct csl_span bytes, struct csl_err *err)
{
    ProtobufCMessage *root;
    enum csl_code code =
        csl_codec__unpack(a, &consilium__v1__coordinator_message__descriptor, bytes, &root, err);
    if (code != CSL_OK)
        return code;
    const Consilium__V1__CoordinatorMessage *s =
        (const Consilium__V1__CoordinatorMessage *)(const void *)root;
    out->sequence = s->sequence;
    return unpack_body(out, s, err);
}
