/* The limits of messages.h on plain values: the same function refuses what we would send and what
 * we were sent. */
#include "protocol/wire/codec.h"

#include "base/clock.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* A broadcast or an update is a few vectors (SCAFFOLD: two) of at most CSL_PARAMETERS_MAX float32.
 */
#define VECTORS_MAX    4u
#define VALUE_BYTES    4u
#define BULK_BYTES_MAX (CSL_PARAMETERS_MAX * VALUE_BYTES * VECTORS_MAX)

struct check {
    const char *kind; /* of the message, for error texts */
    enum csl_code code;
    struct csl_err *err;
};

static enum csl_code check_range(const struct check *c, const char *field, uint64_t v, uint64_t min,
                                 uint64_t max)
{
    if (v < min || v > max)
        return CSL_FAIL(c->err, c->code, "%s.%s: %" PRIu64 ", must be %" PRIu64 " to %" PRIu64,
                        c->kind, field, v, min, max);
    return CSL_OK;
}

static enum csl_code check_finite(const struct check *c, const char *field, double v)
{
    if (!isfinite(v))
        return CSL_FAIL(c->err, c->code, "%s.%s: not a finite number", c->kind, field);
    return CSL_OK;
}

static enum csl_code check_bulk_bytes(const struct check *c, const char *field, uint64_t v)
{
    if (v == 0 || v > BULK_BYTES_MAX || v % VALUE_BYTES != 0)
        return CSL_FAIL(c->err, c->code,
                        "%s.%s: %" PRIu64 " bytes, must be a multiple of %u from %u to %" PRIu64,
                        c->kind, field, v, VALUE_BYTES, VALUE_BYTES, (uint64_t)BULK_BYTES_MAX);
    return CSL_OK;
}

/* One code point at p, of which n > 0 bytes may be read: its length, or 0 if it is not
 * shortest-form UTF-8 (RFC 3629). */
static size_t decode_utf8(const uint8_t *p, size_t n, uint32_t *out)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = p[0] < 0x80                    ? 1
                    : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
                    : p[0] >= 0xe0 && p[0] <= 0xef ? 3
                    : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                   : 0;
    if (length == 0 || length > n)
        return 0;
    uint32_t v = length == 1 ? p[0] : p[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = (v << 6) | (p[i] & 0x3fu);
    }
    if (v < smallest[length] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return 0;
    *out = v;
    return length;
}

/* Controls, line separators and the marks that reorder text: what could forge a line of a log. */
static bool is_printable(uint32_t v)
{
    return v >= 0x20 && !(v >= 0x7f && v <= 0x9f) && !(v >= 0x200e && v <= 0x200f) &&
           !(v >= 0x2028 && v <= 0x202e) && !(v >= 0x2066 && v <= 0x2069) && v != 0xfeff;
}

static enum csl_code check_text(const struct check *c, const char *field, const char *text,
                                size_t capacity)
{
    const char *end = memchr(text, 0, capacity);
    if (end == NULL)
        return CSL_FAIL(c->err, c->code, "%s.%s: not terminated within %zu bytes", c->kind, field,
                        capacity);
    size_t n = (size_t)(end - text);
    for (size_t i = 0; i < n;) {
        uint32_t v = 0;
        size_t length = decode_utf8((const uint8_t *)text + i, n - i, &v);
        if (length == 0 || !is_printable(v))
            return CSL_FAIL(c->err, c->code, "%s.%s: byte %zu is not printable UTF-8", c->kind,
                            field, i);
        i += length;
    }
    return CSL_OK;
}

static enum csl_code check_blocks(const struct check *c, const struct csl_block_count *blocks,
                                  uint32_t count, uint32_t min)
{
    enum csl_code code = check_range(c, "block_count", count, min, CSL_BLOCKS_MAX);
    for (uint32_t i = 0; code == CSL_OK && i < count; i++) {
        if (i > 0 && blocks[i].block <= blocks[i - 1].block)
            return CSL_FAIL(c->err, c->code, "%s.blocks[%u]: block %u after %u, must ascend",
                            c->kind, i, blocks[i].block, blocks[i - 1].block);
        code = check_range(c, "blocks.block", blocks[i].block, 0, CSL_BLOCKS_MAX - 1);
        if (code == CSL_OK)
            code = check_range(c, "blocks.patients", blocks[i].patients, 1, CSL_RECORDS_MAX);
    }
    return code;
}

static enum csl_code check_metrics(const struct check *c, const struct csl_eval_block *b)
{
    enum csl_code code = check_range(c, "blocks.metric_count", b->metric_count, 0,
                                     sizeof(b->metrics) / sizeof(b->metrics[0]));
    for (uint32_t i = 0; code == CSL_OK && i < b->metric_count; i++) {
        const struct csl_eval_metric *m = &b->metrics[i];
        if (memchr(m->name, 0, sizeof(m->name)) == NULL || !csl_id_valid(m->name))
            return CSL_FAIL(c->err, c->code,
                            "%s.blocks.metrics[%u].name: must be 1 to %d of a-z 0-9 . _ -", c->kind,
                            i, CSL_ID_MAX - 1);
        code = check_finite(c, "blocks.metrics.value", m->value);
        if (code == CSL_OK)
            code = check_finite(c, "blocks.metrics.low", m->low);
        if (code == CSL_OK)
            code = check_finite(c, "blocks.metrics.high", m->high);
    }
    return code;
}

/* The sum of `count` values may not exceed `most`; written so that it cannot wrap. */
static enum csl_code check_sum(const struct check *c, const char *field, const uint64_t *values,
                               size_t count, uint64_t most)
{
    uint64_t left = most;
    for (size_t i = 0; i < count; i++) {
        if (values[i] > left)
            return CSL_FAIL(c->err, c->code, "%s.%s: sums to more than the %" PRIu64 " examples",
                            c->kind, field, most);
        left -= values[i];
    }
    return CSL_OK;
}

/* What weights of domains come from. */
static enum csl_code check_judged(const struct check *c, const struct csl_eval_block *b)
{
    double mass = 0, most = (double)b->judged * (1 + 1e-9);
    enum csl_code code = check_range(c, "blocks.judged", b->judged, 0, CSL_RECORDS_MAX);
    if (code == CSL_OK)
        code = check_range(c, "blocks.class_count", b->class_count, 0, CSL_CLASSES_MAX);
    if (code != CSL_OK)
        return code;
    if (!isfinite(b->judged_loss) || b->judged_loss < 0)
        return CSL_FAIL(c->err, c->code, "%s.blocks.judged_loss: %g", c->kind, b->judged_loss);
    for (uint32_t i = 0; i < b->class_count; i++) {
        if (!(b->class_mass[i] >= 0 && b->class_mass[i] <= most))
            return CSL_FAIL(c->err, c->code, "%s.blocks.class_mass[%u]: %g of %" PRIu64 " patients",
                            c->kind, i, b->class_mass[i], b->judged);
        mass += b->class_mass[i];
    }
    if (mass > most)
        return CSL_FAIL(c->err, c->code, "%s.blocks.class_mass: %g of %" PRIu64 " patients",
                        c->kind, mass, b->judged);
    return CSL_OK;
}

static enum csl_code check_eval_block(const struct check *c, const struct csl_eval_block *b)
{
    enum csl_code code = check_range(c, "blocks.block", b->block, 0, CSL_BLOCKS_MAX - 1);
    if (code == CSL_OK)
        code = check_range(c, "blocks.examples", b->examples, 0, CSL_RECORDS_MAX);
    if (code == CSL_OK)
        code = check_finite(c, "blocks.loss_sum", b->loss_sum);
    const uint64_t confusion[] = {b->true_positive, b->false_positive, b->true_negative,
                                  b->false_negative};
    if (code == CSL_OK)
        code = check_sum(c, "blocks.confusion", confusion, 4, b->examples);
    if (code == CSL_OK)
        code = check_metrics(c, b);
    if (code == CSL_OK)
        code = check_judged(c, b);
    if (code != CSL_OK)
        return code;
    if (b->bin_count != 0 && b->bin_count != sizeof(b->bins) / sizeof(b->bins[0]))
        return CSL_FAIL(c->err, c->code, "%s.blocks.bin_count: %u, must be 0 or %d", c->kind,
                        b->bin_count, 2 * CSL_SCORE_BINS);
    code = check_range(c, "blocks.group_count", b->group_count, 0, CSL_GROUP_COUNTS_MAX);
    if (code != CSL_OK)
        return code;
    return check_sum(c, "blocks.bins", b->bins, b->bin_count, b->examples);
}

static enum csl_code check_evaluation(const struct check *c, const struct csl_msg_evaluation *e)
{
    enum csl_code code = check_range(c, "round", e->round, 0, CSL_ROUNDS_MAX);
    if (code == CSL_OK)
        code = check_range(c, "vote", (uint64_t)e->vote, 0, CSL_VOTE_WORSE);
    if (code == CSL_OK)
        code = check_range(c, "block_count", e->block_count, 0, CSL_DOMAINS_MAX);
    for (uint32_t i = 0; code == CSL_OK && i < e->block_count; i++) {
        if (i > 0 && e->blocks[i].block <= e->blocks[i - 1].block)
            return CSL_FAIL(c->err, c->code, "%s.blocks[%u]: block %u after %u, must ascend",
                            c->kind, i, e->blocks[i].block, e->blocks[i - 1].block);
        code = check_eval_block(c, &e->blocks[i]);
    }
    return code;
}

static enum csl_code check_head(const struct check *c, const char *head)
{
    if (memchr(head, 0, CSL_HEAD_TEXT_MAX) == NULL)
        return CSL_FAIL(c->err, c->code, "%s.ledger_head: more than %d bytes", c->kind,
                        CSL_HEAD_TEXT_MAX - 1);
    return CSL_OK;
}

static enum csl_code check_ready(const struct check *c, const struct csl_msg_update_ready *m)
{
    enum csl_code code = check_range(c, "round", m->round, 1, CSL_ROUNDS_MAX);
    if (code == CSL_OK)
        code = check_bulk_bytes(c, "bytes_total", m->bytes_total);
    if (code == CSL_OK)
        code = check_blocks(c, m->blocks, m->block_count, 1);
    if (code == CSL_OK)
        code = check_finite(c, "train_loss", m->train_loss);
    if (code == CSL_OK)
        code = check_head(c, m->ledger_head);
    if (code == CSL_OK)
        code = check_range(c, "ledger_proof_count", m->ledger_proof_count, 0, CSL_LEDGER_PROOF_MAX);
    return code;
}

static enum csl_code check_weights(const struct check *c, const struct csl_msg_task *m)
{
    enum csl_code code = check_range(c, "weights_round", m->weights_round, 0, CSL_ROUNDS_MAX);
    if (code == CSL_OK)
        code = check_range(c, "weight_count", m->weight_count, 0, CSL_DOMAINS_MAX);
    for (uint32_t i = 0; code == CSL_OK && i < m->weight_count; i++) {
        code = check_finite(c, "weights.log_weight", m->weights[i].log_weight);
        if (code == CSL_OK)
            code = check_finite(c, "weights.patients", m->weights[i].patients);
        if (code == CSL_OK && m->weights[i].patients < 0)
            code = CSL_FAIL(c->err, c->code, "%s.weights[%u].patients: %g", c->kind, i,
                            m->weights[i].patients);
    }
    return code;
}

static enum csl_code check_priors_and_groups(const struct check *c, const struct csl_msg_task *m)
{
    enum csl_code code = check_range(c, "prior_count", m->prior_count, 0, CSL_DOMAINS_MAX);
    for (uint32_t i = 0; code == CSL_OK && i < m->prior_count; i++) {
        code = check_finite(c, "prior_losses", m->prior_loss[i]);
        if (code == CSL_OK && m->prior_loss[i] < 0)
            code =
                CSL_FAIL(c->err, c->code, "%s.prior_losses[%u]: %g", c->kind, i, m->prior_loss[i]);
    }
    if (code == CSL_OK)
        code = check_range(c, "group_count", m->group_count, 0, CSL_GROUP_WEIGHTS_MAX);
    for (uint32_t i = 0; code == CSL_OK && i < m->group_count; i++)
        code = check_finite(c, "group_weights", m->group_log_weight[i]);
    return code;
}

static enum csl_code check_task(const struct check *c, const struct csl_msg_task *m)
{
    if (m->type != CSL_TASK_TRAIN && m->type != CSL_TASK_EVALUATE)
        return CSL_FAIL(c->err, c->code, "%s.type: %d, must be train or evaluate", c->kind,
                        (int)m->type);
    enum csl_code code =
        check_range(c, "round", m->round, m->type == CSL_TASK_TRAIN ? 1 : 0, CSL_ROUNDS_MAX);
    if (code == CSL_OK)
        code = check_bulk_bytes(c, "model_bytes", m->model_bytes);
    if (code == CSL_OK) /* so that it fits in nanoseconds */
        code = check_range(c, "deadline_ms", m->deadline_ms, 0, UINT64_MAX / CSL_NS_PER_MS);
    if (code == CSL_OK)
        code = check_weights(c, m);
    if (code == CSL_OK)
        code = check_priors_and_groups(c, m);
    if (code == CSL_OK)
        code = check_head(c, m->ledger_head);
    return code;
}

static enum csl_code check_failure(const struct check *c, enum csl_code failure, const char *reason,
                                   size_t capacity)
{
    if (failure <= CSL_OK || failure > CSL_E_END)
        return CSL_FAIL(c->err, c->code, "%s.code: %d, must be the code of a failure", c->kind,
                        (int)failure);
    return check_text(c, "reason", reason, capacity);
}

static enum csl_code check_study(const struct check *c, const struct csl_message *m)
{
    if (m->kind == CSL_MSG_STUDY_OFFER)
        return check_range(c, "manifest", m->u.study_offer.manifest.n, 1, CSL_MANIFEST_BYTES_MAX);
    if (m->kind == CSL_MSG_STUDY_ANSWER) {
        const struct csl_msg_study_answer *a = &m->u.study_answer;
        enum csl_code code = check_text(c, "reason", a->reason, sizeof(a->reason));
        return code != CSL_OK ? code : check_blocks(c, a->blocks, a->block_count, 0);
    }
    const struct csl_msg_study_ended *e = &m->u.study_ended;
    enum csl_code code = check_range(c, "round", e->round, 0, CSL_ROUNDS_MAX);
    return code != CSL_OK ? code : check_text(c, "reason", e->reason, sizeof(e->reason));
}

static enum csl_code check_hello(const struct check *c, const struct csl_msg_hello *m)
{
    enum csl_code code = check_range(c, "protocol_version", m->protocol_version, 1, UINT32_MAX);
    return code != CSL_OK ? code : check_text(c, "software", m->software, sizeof(m->software));
}

/* Every part is full but the last one. */
static enum csl_code check_secagg(const struct check *c, const struct csl_msg_secagg *m)
{
    enum csl_code code = check_range(c, "total", m->total, 1, CSL_SECAGG_WHOLE_MAX);
    if (code == CSL_OK)
        code = check_range(c, "offset", m->offset, 0, m->total - 1);
    if (code == CSL_OK && m->offset % CSL_SECAGG_BYTES_MAX != 0)
        code = CSL_FAIL(c->err, c->code, "%s.offset: found %u; a multiple of %u would be right",
                        c->kind, m->offset, CSL_SECAGG_BYTES_MAX);
    if (code != CSL_OK)
        return code;
    uint32_t left = m->total - m->offset;
    uint32_t due = left < CSL_SECAGG_BYTES_MAX ? left : CSL_SECAGG_BYTES_MAX;
    return check_range(c, "body", m->body.n, due, due);
}

static enum csl_code check_body(const struct check *c, const struct csl_message *m)
{
    switch (m->kind) {
    case CSL_MSG_HELLO:
        return check_hello(c, &m->u.hello);
    case CSL_MSG_STUDY_OFFER:
    case CSL_MSG_STUDY_ANSWER:
    case CSL_MSG_STUDY_ENDED:
        return check_study(c, m);
    case CSL_MSG_MODEL_REQUEST:
        return check_range(c, "round", m->u.model_request.round, 0, CSL_ROUNDS_MAX);
    case CSL_MSG_MODEL_GRANT:
        return check_range(c, "round", m->u.model_grant.round, 0, CSL_ROUNDS_MAX);
    case CSL_MSG_UPDATE_READY:
        return check_ready(c, &m->u.update_ready);
    case CSL_MSG_UPDATE_GRANT: {
        enum csl_code code = check_range(c, "round", m->u.update_grant.round, 1, CSL_ROUNDS_MAX);
        return code != CSL_OK
                   ? code
                   : check_range(c, "offset", m->u.update_grant.offset, 0, BULK_BYTES_MAX);
    }
    case CSL_MSG_UPDATE_ACCEPTED:
        return check_range(c, "round", m->u.update_accepted.round, 1, CSL_ROUNDS_MAX);
    case CSL_MSG_EVALUATION:
        return check_evaluation(c, &m->u.evaluation);
    case CSL_MSG_EVALUATION_ACCEPTED:
        return check_range(c, "round", m->u.evaluation_accepted.round, 0, CSL_ROUNDS_MAX);
    case CSL_MSG_TASK:
        return check_task(c, &m->u.task);
    case CSL_MSG_TASK_FAILED: {
        const struct csl_msg_task_failed *f = &m->u.task_failed;
        enum csl_code code = check_range(c, "round", f->round, 0, CSL_ROUNDS_MAX);
        return code != CSL_OK ? code : check_failure(c, f->code, f->reason, sizeof(f->reason));
    }
    case CSL_MSG_REFUSED:
        return check_failure(c, m->u.refused.code, m->u.refused.reason,
                             sizeof(m->u.refused.reason));
    case CSL_MSG_SECAGG:
    case CSL_MSG_SECAGG_TO_SITE:
        return check_secagg(c, &m->u.secagg);
    case CSL_MSG_PING:
    case CSL_MSG_PONG:
    case CSL_MSG_DRAIN:
        return CSL_OK;
    default:
        return CSL_FAIL(c->err, c->code, "kind: %d is no message", (int)m->kind);
    }
}

enum csl_code csl_message__check(const struct csl_message *m, enum csl_code code,
                                 struct csl_err *err)
{
    struct check c = {csl_message_kind_name(m->kind), code, err};
    enum csl_code result = check_range(&c, "sequence", m->sequence, 1, UINT64_MAX);
    return result != CSL_OK ? result : check_body(&c, m);
}
