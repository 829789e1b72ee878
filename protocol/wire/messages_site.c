/* What a site says: between struct csl_message and consilium.v1.SiteMessage. */
#include "protocol/wire/codec.h"

#include "base/check.h"

#include <string.h>

static enum csl_code pack_answer(const struct csl_msg_study_answer *s,
                                 Consilium__V1__StudyAnswer *d, struct csl_arena *a)
{
    d->study_digest = csl_codec__put_bytes(s->study_digest, sizeof(s->study_digest));
    d->accepted = s->accepted;
    d->reason = csl_codec__put_text(s->reason);
    d->n_blocks = s->block_count;
    d->blocks = csl_codec__put_blocks(a, s->blocks, s->block_count);
    return d->blocks == NULL ? CSL_E_NOMEM : CSL_OK;
}

static enum csl_code pack_ready(const struct csl_msg_update_ready *s, Consilium__V1__UpdateReady *d,
                                struct csl_arena *a)
{
    d->round = s->round;
    d->bytes_total = s->bytes_total;
    d->digest = csl_codec__put_bytes(s->digest, sizeof(s->digest));
    d->train_loss = s->train_loss;
    d->ledger_head = csl_codec__put_text(s->ledger_head);
    d->ledger_key = csl_codec__put_optional(s->ledger_key, sizeof(s->ledger_key));
    d->ledger_proof = csl_codec__put_bytes(s->ledger_proof[0],
                                           (size_t)s->ledger_proof_count * CSL_LEDGER_HASH_BYTES);
    d->n_blocks = s->block_count;
    d->blocks = csl_codec__put_blocks(a, s->blocks, s->block_count);
    return d->blocks == NULL ? CSL_E_NOMEM : CSL_OK;
}

static enum csl_code pack_eval_block(const struct csl_eval_block *s, Consilium__V1__EvalBlock *d,
                                     struct csl_arena *a)
{
    consilium__v1__eval_block__init(d);
    d->block = s->block;
    d->examples = s->examples;
    d->loss_sum = s->loss_sum;
    d->true_positive = s->true_positive;
    d->false_positive = s->false_positive;
    d->true_negative = s->true_negative;
    d->false_negative = s->false_negative;
    d->n_metrics = s->metric_count;
    d->metrics = csl_codec__array(a, s->metric_count, sizeof(**d->metrics));
    if (d->metrics == NULL)
        return CSL_E_NOMEM;
    for (uint32_t i = 0; i < s->metric_count; i++) {
        Consilium__V1__EvalMetric *m = d->metrics[i];
        consilium__v1__eval_metric__init(m);
        m->name = csl_codec__put_text(s->metrics[i].name);
        m->value = s->metrics[i].value;
        m->low = s->metrics[i].low;
        m->high = s->metrics[i].high;
    }
    d->n_bins = s->bin_count;
    d->bins = csl_arena_alloc(a, sizeof(s->bins));
    if (d->bins == NULL)
        return CSL_E_NOMEM;
    for (uint32_t i = 0; i < s->bin_count; i++)
        d->bins[i] = s->bins[i];
    d->judged = s->judged;
    d->judged_loss = s->judged_loss;
    d->n_class_mass = s->class_count;
    d->class_mass = csl_arena_alloc(a, sizeof(s->class_mass));
    if (d->class_mass == NULL)
        return CSL_E_NOMEM;
    for (uint32_t i = 0; i < s->class_count; i++)
        d->class_mass[i] = s->class_mass[i];
    d->n_groups = s->group_count;
    d->groups = csl_arena_alloc(a, (size_t)s->group_count * sizeof(*d->groups));
    if (d->groups == NULL)
        return CSL_E_NOMEM;
    for (uint32_t i = 0; i < s->group_count; i++)
        d->groups[i] = s->groups[i];
    return CSL_OK;
}

static enum csl_code pack_evaluation(const struct csl_msg_evaluation *s,
                                     Consilium__V1__Evaluation *d, struct csl_arena *a)
{
    d->round = s->round;
    d->vote = (uint32_t)s->vote;
    d->n_blocks = s->block_count;
    d->blocks = csl_codec__array(a, s->block_count, sizeof(**d->blocks));
    enum csl_code code = d->blocks == NULL ? CSL_E_NOMEM : CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < s->block_count; i++)
        code = pack_eval_block(&s->blocks[i], d->blocks[i], a);
    return code;
}

/* Wraps `body`, which is the member of the oneof that `which` names, and encodes. */
static enum csl_code seal(const struct csl_message *m, Consilium__V1__SiteMessage__BodyCase which,
                          ProtobufCMessage *body, struct csl_msg *out, struct csl_err *err)
{
    Consilium__V1__SiteMessage envelope = CONSILIUM__V1__SITE_MESSAGE__INIT;
    envelope.sequence = m->sequence;
    envelope.body_case = which;
    envelope.hello = (Consilium__V1__Hello *)(void *)body; /* every member is one pointer */
    return csl_codec__pack(&envelope.base, out, err);
}

static enum csl_code pack_large(const struct csl_message *m, struct csl_arena *a,
                                struct csl_msg *out, struct csl_err *err)
{
    Consilium__V1__StudyAnswer answer = CONSILIUM__V1__STUDY_ANSWER__INIT;
    Consilium__V1__UpdateReady ready = CONSILIUM__V1__UPDATE_READY__INIT;
    Consilium__V1__Evaluation evaluation = CONSILIUM__V1__EVALUATION__INIT;
    Consilium__V1__SiteMessage__BodyCase which = CONSILIUM__V1__SITE_MESSAGE__BODY_EVALUATION;
    ProtobufCMessage *body = &evaluation.base;
    enum csl_code code;
    if (m->kind == CSL_MSG_STUDY_ANSWER) {
        which = CONSILIUM__V1__SITE_MESSAGE__BODY_STUDY_ANSWER;
        body = &answer.base;
        code = pack_answer(&m->u.study_answer, &answer, a);
    } else if (m->kind == CSL_MSG_UPDATE_READY) {
        which = CONSILIUM__V1__SITE_MESSAGE__BODY_UPDATE_READY;
        body = &ready.base;
        code = pack_ready(&m->u.update_ready, &ready, a);
    } else {
        CSL_ASSERT(m->kind == CSL_MSG_EVALUATION);
        code = pack_evaluation(&m->u.evaluation, &evaluation, a);
    }
    if (code != CSL_OK)
        return CSL_FAIL(err, code, "no memory to encode %s", csl_message_kind_name(m->kind));
    return seal(m, which, body, out, err);
}

enum csl_code csl_message__site_pack(const struct csl_message *m, struct csl_arena *a,
                                     struct csl_msg *out, struct csl_err *err)
{
    Consilium__V1__Hello hello = CONSILIUM__V1__HELLO__INIT;
    Consilium__V1__ModelRequest request = CONSILIUM__V1__MODEL_REQUEST__INIT;
    Consilium__V1__TaskFailed failed = CONSILIUM__V1__TASK_FAILED__INIT;
    Consilium__V1__Ping ping = CONSILIUM__V1__PING__INIT;
    Consilium__V1__SecAgg secagg = CONSILIUM__V1__SEC_AGG__INIT;
    if (m->kind == CSL_MSG_HELLO) {
        const struct csl_msg_hello *s = &m->u.hello;
        hello.protocol_version = s->protocol_version;
        hello.software = csl_codec__put_text(s->software);
        hello.study_digest = csl_codec__put_optional(s->study_digest, sizeof(s->study_digest));
        return seal(m, CONSILIUM__V1__SITE_MESSAGE__BODY_HELLO, &hello.base, out, err);
    }
    if (m->kind == CSL_MSG_MODEL_REQUEST) {
        request.round = m->u.model_request.round;
        return seal(m, CONSILIUM__V1__SITE_MESSAGE__BODY_MODEL_REQUEST, &request.base, out, err);
    }
    if (m->kind == CSL_MSG_TASK_FAILED) {
        failed.round = m->u.task_failed.round;
        failed.code = csl_codec__put_code(m->u.task_failed.code);
        failed.reason = csl_codec__put_text(m->u.task_failed.reason);
        return seal(m, CONSILIUM__V1__SITE_MESSAGE__BODY_TASK_FAILED, &failed.base, out, err);
    }
    if (m->kind == CSL_MSG_PING) {
        ping.nonce = m->u.ping.nonce;
        return seal(m, CONSILIUM__V1__SITE_MESSAGE__BODY_PING, &ping.base, out, err);
    }
    if (m->kind == CSL_MSG_SECAGG) {
        secagg.body = csl_codec__put_bytes(m->u.secagg.body.p, m->u.secagg.body.n);
        secagg.offset = m->u.secagg.offset;
        secagg.total = m->u.secagg.total;
        return seal(m, CONSILIUM__V1__SITE_MESSAGE__BODY_SECAGG, &secagg.base, out, err);
    }
    return pack_large(m, a, out, err);
}

static enum csl_code unpack_hello(struct csl_msg_hello *d, const Consilium__V1__Hello *s,
                                  struct csl_err *err)
{
    if (s->protocol_version > UINT32_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "HELLO.protocol_version: %llu is no version",
                        (unsigned long long)s->protocol_version);
    d->protocol_version = (uint32_t)s->protocol_version;
    enum csl_code code =
        csl_codec__get_text(d->software, sizeof(d->software), s->software, "HELLO.software", err);
    if (code == CSL_OK)
        code = csl_codec__get_bytes(d->study_digest, sizeof(d->study_digest), true, s->study_digest,
                                    "HELLO.study_digest", err);
    return code;
}

static enum csl_code unpack_answer(struct csl_msg_study_answer *d,
                                   const Consilium__V1__StudyAnswer *s, struct csl_err *err)
{
    d->accepted = s->accepted != 0;
    enum csl_code code = csl_codec__get_bytes(d->study_digest, sizeof(d->study_digest), false,
                                              s->study_digest, "STUDY_ANSWER.study_digest", err);
    if (code == CSL_OK)
        code = csl_codec__get_text(d->reason, sizeof(d->reason), s->reason, "STUDY_ANSWER.reason",
                                   err);
    if (code == CSL_OK)
        code = csl_codec__get_blocks(d->blocks, &d->block_count, s->blocks, s->n_blocks,
                                     "STUDY_ANSWER.blocks", err);
    return code;
}

/* Whole hashes. */
static enum csl_code unpack_proof(struct csl_msg_update_ready *d, ProtobufCBinaryData s,
                                  struct csl_err *err)
{
    if (s.len > sizeof(d->ledger_proof) || s.len % CSL_LEDGER_HASH_BYTES != 0)
        return CSL_FAIL(err, CSL_E_PROTO,
                        "UPDATE_READY.ledger_proof: %zu bytes, must be a multiple of %d up to %zu",
                        s.len, CSL_LEDGER_HASH_BYTES, sizeof(d->ledger_proof));
    if (s.len > 0)
        memcpy(d->ledger_proof, s.data, s.len);
    d->ledger_proof_count = (uint32_t)(s.len / CSL_LEDGER_HASH_BYTES);
    return CSL_OK;
}

static enum csl_code unpack_ready(struct csl_msg_update_ready *d,
                                  const Consilium__V1__UpdateReady *s, struct csl_err *err)
{
    d->round = s->round;
    d->bytes_total = s->bytes_total;
    d->train_loss = s->train_loss;
    enum csl_code code = csl_codec__get_bytes(d->digest, sizeof(d->digest), false, s->digest,
                                              "UPDATE_READY.digest", err);
    if (code == CSL_OK)
        code = csl_codec__get_blocks(d->blocks, &d->block_count, s->blocks, s->n_blocks,
                                     "UPDATE_READY.blocks", err);
    if (code == CSL_OK)
        code = csl_codec__get_text(d->ledger_head, sizeof(d->ledger_head), s->ledger_head,
                                   "UPDATE_READY.ledger_head", err);
    if (code == CSL_OK)
        code = csl_codec__get_bytes(d->ledger_key, sizeof(d->ledger_key), true, s->ledger_key,
                                    "UPDATE_READY.ledger_key", err);
    if (code == CSL_OK)
        code = unpack_proof(d, s->ledger_proof, err);
    return code;
}

static enum csl_code unpack_groups(struct csl_eval_block *d, const Consilium__V1__EvalBlock *s,
                                   struct csl_err *err)
{
    if (s->n_groups > CSL_GROUP_COUNTS_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "EVALUATION.groups: %zu entries, at most %d", s->n_groups,
                        CSL_GROUP_COUNTS_MAX);
    for (size_t i = 0; i < s->n_groups; i++) {
        if (s->groups[i] > UINT32_MAX)
            return CSL_FAIL(err, CSL_E_PROTO, "EVALUATION.groups: %llu, must be below 2^32",
                            (unsigned long long)s->groups[i]);
        d->groups[i] = (uint32_t)s->groups[i];
    }
    d->group_count = (uint32_t)s->n_groups;
    return CSL_OK;
}

static enum csl_code unpack_eval_block(struct csl_eval_block *d, const Consilium__V1__EvalBlock *s,
                                       struct csl_err *err)
{
    const size_t metrics_max = sizeof(d->metrics) / sizeof(d->metrics[0]);
    const size_t bins_max = sizeof(d->bins) / sizeof(d->bins[0]);
    if (s->block >= CSL_BLOCKS_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "EVALUATION.block: %llu, must be below %d",
                        (unsigned long long)s->block, CSL_BLOCKS_MAX);
    if (s->n_metrics > metrics_max)
        return CSL_FAIL(err, CSL_E_PROTO, "EVALUATION.metrics: %zu entries, at most %zu",
                        s->n_metrics, metrics_max);
    if (s->n_bins != 0 && s->n_bins != bins_max)
        return CSL_FAIL(err, CSL_E_PROTO, "EVALUATION.bins: %zu entries, must be none or %zu",
                        s->n_bins, bins_max);
    if (s->n_class_mass > CSL_CLASSES_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "EVALUATION.class_mass: %zu entries, at most %d",
                        s->n_class_mass, CSL_CLASSES_MAX);
    d->block = (uint32_t)s->block;
    d->examples = s->examples;
    d->loss_sum = s->loss_sum;
    d->true_positive = s->true_positive;
    d->false_positive = s->false_positive;
    d->true_negative = s->true_negative;
    d->false_negative = s->false_negative;
    for (size_t i = 0; i < s->n_metrics; i++) {
        const Consilium__V1__EvalMetric *m = s->metrics[i];
        struct csl_eval_metric *to = &d->metrics[i];
        enum csl_code code = csl_codec__get_text(to->name, sizeof(to->name), m->name,
                                                 "EVALUATION.metrics.name", err);
        if (code != CSL_OK)
            return code;
        to->value = m->value;
        to->low = m->low;
        to->high = m->high;
    }
    d->metric_count = (uint32_t)s->n_metrics;
    for (size_t i = 0; i < s->n_bins; i++)
        d->bins[i] = s->bins[i];
    d->bin_count = (uint32_t)s->n_bins;
    d->judged = s->judged;
    d->judged_loss = s->judged_loss;
    d->class_count = (uint32_t)s->n_class_mass;
    for (size_t i = 0; i < s->n_class_mass; i++)
        d->class_mass[i] = s->class_mass[i];
    return unpack_groups(d, s, err);
}

static enum csl_code unpack_evaluation(struct csl_msg_evaluation *d,
                                       const Consilium__V1__Evaluation *s, struct csl_err *err)
{
    d->round = s->round;
    if (s->vote > CSL_VOTE_WORSE)
        return CSL_FAIL(err, CSL_E_PROTO, "EVALUATION.vote: %u, at most %d", s->vote,
                        (int)CSL_VOTE_WORSE);
    d->vote = (enum csl_msg_vote)s->vote;
    if (s->n_blocks > CSL_DOMAINS_MAX)
        return CSL_FAIL(err, CSL_E_PROTO, "EVALUATION.blocks: %zu entries, at most %d", s->n_blocks,
                        CSL_DOMAINS_MAX);
    if (s->n_blocks == 0)
        return CSL_OK;
    d->blocks = csl_alloc_array(s->n_blocks, sizeof(*d->blocks));
    if (d->blocks == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %zu evaluation blocks", s->n_blocks);
    d->block_count = (uint32_t)s->n_blocks;
    enum csl_code code = CSL_OK;
    for (size_t i = 0; code == CSL_OK && i < s->n_blocks; i++)
        code = unpack_eval_block(&d->blocks[i], s->blocks[i], err);
    return code;
}

static enum csl_code unpack_failed(struct csl_msg_task_failed *d,
                                   const Consilium__V1__TaskFailed *s, struct csl_err *err)
{
    d->round = s->round;
    d->code = csl_codec__get_code(s->code);
    return csl_codec__get_text(d->reason, sizeof(d->reason), s->reason, "TASK_FAILED.reason", err);
}

enum csl_code csl_message__site_unpack(struct csl_message *out, struct csl_arena *a,
                                       struct csl_span bytes, struct csl_err *err)
{
    ProtobufCMessage *root;
    enum csl_code code =
        csl_codec__unpack(a, &consilium__v1__site_message__descriptor, bytes, &root, err);
    if (code != CSL_OK)
        return code;
    const Consilium__V1__SiteMessage *s = (const Consilium__V1__SiteMessage *)(const void *)root;
    out->sequence = s->sequence;
    switch ((int)s->body_case) { /* protobuf-c adds a value of its own to its enums */
    case CONSILIUM__V1__SITE_MESSAGE__BODY_HELLO:
        out->kind = CSL_MSG_HELLO;
        return unpack_hello(&out->u.hello, s->hello, err);
    case CONSILIUM__V1__SITE_MESSAGE__BODY_STUDY_ANSWER:
        out->kind = CSL_MSG_STUDY_ANSWER;
        return unpack_answer(&out->u.study_answer, s->study_answer, err);
    case CONSILIUM__V1__SITE_MESSAGE__BODY_MODEL_REQUEST:
        out->kind = CSL_MSG_MODEL_REQUEST;
        out->u.model_request.round = s->model_request->round;
        return CSL_OK;
    case CONSILIUM__V1__SITE_MESSAGE__BODY_UPDATE_READY:
        out->kind = CSL_MSG_UPDATE_READY;
        return unpack_ready(&out->u.update_ready, s->update_ready, err);
    case CONSILIUM__V1__SITE_MESSAGE__BODY_EVALUATION:
        out->kind = CSL_MSG_EVALUATION;
        return unpack_evaluation(&out->u.evaluation, s->evaluation, err);
    case CONSILIUM__V1__SITE_MESSAGE__BODY_TASK_FAILED:
        out->kind = CSL_MSG_TASK_FAILED;
        return unpack_failed(&out->u.task_failed, s->task_failed, err);
    case CONSILIUM__V1__SITE_MESSAGE__BODY_PING:
        out->kind = CSL_MSG_PING;
        out->u.ping.nonce = s->ping->nonce;
        return CSL_OK;
    case CONSILIUM__V1__SITE_MESSAGE__BODY_SECAGG:
        out->kind = CSL_MSG_SECAGG;
        out->u.secagg.offset = s->secagg->offset;
        out->u.secagg.total = s->secagg->total;
        return csl_msg_copy(&out->u.secagg.body,
                            CSL_SPAN(s->secagg->body.data, s->secagg->body.len), err);
    case CONSILIUM__V1__SITE_MESSAGE__BODY__NOT_SET:
    default:
        return CSL_FAIL(err, CSL_E_PROTO, "SiteMessage without a body");
    }
}
