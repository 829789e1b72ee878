#include "tests/unit/wire/samples.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t sample_random(uint64_t *random)
{
    uint64_t z = *random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

enum csl_direction sample_direction(enum csl_message_kind kind)
{
    return kind < CSL_MSG_STUDY_OFFER ? CSL_TO_COORDINATOR : CSL_TO_SITE;
}

static uint64_t below(uint64_t *random, uint64_t bound)
{
    return sample_random(random) % bound;
}

/* Numbers of all lengths, not only long ones. */
static uint64_t number(uint64_t *random, uint64_t min, uint64_t max)
{
    uint64_t v = sample_random(random) >> below(random, 64);
    return max - min == UINT64_MAX ? v : min + v % (max - min + 1);
}

static double real(uint64_t *random)
{
    return ((double)sample_random(random) - 0x1p63) / (double)(1 + number(random, 0, 1u << 30));
}

static void bytes(uint64_t *random, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)sample_random(random);
}

static void text(uint64_t *random, char *p, size_t capacity)
{
    static const char *const pieces[] = {
        "a", "Z", "~", " ", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xab\x80"};
    size_t n = (size_t)below(random, capacity), used = 0;
    while (used < n) {
        const char *piece = pieces[below(random, sizeof(pieces) / sizeof(pieces[0]))];
        size_t length = strlen(piece);
        if (used + length >= capacity)
            break;
        memcpy(p + used, piece, length);
        used += length;
    }
    p[used] = '\0';
}

static uint32_t blocks(uint64_t *random, struct csl_block_count *p, uint32_t min)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < CSL_BLOCKS_MAX; i++) {
        if (below(random, 4) == 0 || (n < min && i == CSL_BLOCKS_MAX - 1))
            p[n++] = (struct csl_block_count){i, number(random, 1, CSL_RECORDS_MAX)};
    }
    return n;
}

static void eval_block(uint64_t *random, struct csl_eval_block *b)
{
    b->examples = number(random, 0, CSL_RECORDS_MAX);
    b->loss_sum = real(random);
    uint64_t left = b->examples;
    uint64_t *confusion[] = {&b->true_positive, &b->false_positive, &b->true_negative,
                             &b->false_negative};
    for (int i = 0; i < 4; i++) {
        *confusion[i] = below(random, left + 1);
        left -= *confusion[i];
    }
    b->metric_count = (uint32_t)below(random, 13);
    for (uint32_t i = 0; i < b->metric_count; i++) {
        struct csl_eval_metric *m = &b->metrics[i];
        memcpy(m->name, "metric-a", 9);
        m->name[7] = (char)('a' + i);
        m->value = real(random);
        m->low = real(random);
        m->high = -m->low;
    }
    if (below(random, 2) == 0) {
        b->judged = number(random, 1, CSL_RECORDS_MAX);
        b->judged_loss = fabs(real(random));
        b->class_count = (uint32_t)number(random, 0, CSL_CLASSES_MAX);
        for (uint32_t i = 0; i < b->class_count; i++)
            b->class_mass[i] = (double)b->judged / (CSL_CLASSES_MAX + i);
    }
    if (below(random, 2) == 0)
        return;
    b->bin_count = 2 * CSL_SCORE_BINS;
    left = b->examples;
    for (uint32_t i = 0; i < b->bin_count; i++) {
        b->bins[i] = below(random, left / 64 + 1);
        left -= b->bins[i];
    }
    b->group_count = (uint32_t)number(random, 0, CSL_GROUP_COUNTS_STUDY / CSL_DOMAINS_MAX);
    for (uint32_t i = 0; i < b->group_count; i++)
        b->groups[i] = (uint32_t)number(random, 0, UINT32_MAX);
}

static void evaluation(uint64_t *random, struct csl_msg_evaluation *e)
{
    e->round = number(random, 0, CSL_ROUNDS_MAX);
    uint32_t n = (uint32_t)below(random, CSL_DOMAINS_MAX + 1);
    e->blocks = n == 0 ? NULL : csl_alloc_array(n, sizeof(*e->blocks));
    if (n > 0 && e->blocks == NULL)
        abort();
    e->block_count = n;
    for (uint32_t i = 0; i < n; i++) {
        e->blocks[i].block = 2 * i + (uint32_t)below(random, 2);
        eval_block(random, &e->blocks[i]);
    }
}

static void sample_secagg(struct csl_message *m, uint64_t *r)
{
    uint32_t total = (uint32_t)number(r, 1, 3 * CSL_SECAGG_BYTES_MAX);
    uint32_t offset = (uint32_t)below(r, 3) * CSL_SECAGG_BYTES_MAX;
    offset = offset < total ? offset : 0;
    size_t n = total - offset < CSL_SECAGG_BYTES_MAX ? total - offset : CSL_SECAGG_BYTES_MAX;
    m->u.secagg = (struct csl_msg_secagg){{csl_alloc(n), n}, offset, total};
    if (m->u.secagg.body.p == NULL)
        abort();
    bytes(r, m->u.secagg.body.p, n);
}

static void sample_site(struct csl_message *m, uint64_t *r)
{
    if (m->kind == CSL_MSG_SECAGG) {
        sample_secagg(m, r);
        return;
    }
    if (m->kind == CSL_MSG_HELLO) {
        m->u.hello.protocol_version = (uint32_t)number(r, 1, UINT32_MAX);
        text(r, m->u.hello.software, sizeof(m->u.hello.software));
        if (below(r, 2) == 0)
            bytes(r, m->u.hello.study_digest, CSL_DIGEST_BYTES);
    } else if (m->kind == CSL_MSG_STUDY_ANSWER) {
        bytes(r, m->u.study_answer.study_digest, CSL_DIGEST_BYTES);
        m->u.study_answer.accepted = below(r, 2) == 0;
        text(r, m->u.study_answer.reason, sizeof(m->u.study_answer.reason));
        m->u.study_answer.block_count = blocks(r, m->u.study_answer.blocks, 0);
    } else if (m->kind == CSL_MSG_MODEL_REQUEST) {
        m->u.model_request.round = number(r, 0, CSL_ROUNDS_MAX);
    } else if (m->kind == CSL_MSG_UPDATE_READY) {
        m->u.update_ready.round = number(r, 1, CSL_ROUNDS_MAX);
        m->u.update_ready.bytes_total = 4 * number(r, 1, CSL_PARAMETERS_MAX);
        bytes(r, m->u.update_ready.digest, CSL_DIGEST_BYTES);
        m->u.update_ready.block_count = blocks(r, m->u.update_ready.blocks, 1);
        m->u.update_ready.train_loss = real(r);
        text(r, m->u.update_ready.ledger_head, sizeof(m->u.update_ready.ledger_head));
        if (below(r, 2) == 0)
            bytes(r, m->u.update_ready.ledger_key, CSL_LEDGER_KEY_BYTES);
        m->u.update_ready.ledger_proof_count = (uint32_t)number(r, 0, CSL_LEDGER_PROOF_MAX);
        bytes(r, m->u.update_ready.ledger_proof[0],
              (size_t)m->u.update_ready.ledger_proof_count * CSL_LEDGER_HASH_BYTES);
    } else if (m->kind == CSL_MSG_EVALUATION) {
        evaluation(r, &m->u.evaluation);
    } else if (m->kind == CSL_MSG_TASK_FAILED) {
        m->u.task_failed.round = number(r, 0, CSL_ROUNDS_MAX);
        m->u.task_failed.code = (enum csl_code)number(r, 1, CSL_E_END);
        text(r, m->u.task_failed.reason, sizeof(m->u.task_failed.reason));
    } else {
        m->u.ping.nonce = number(r, 0, UINT64_MAX);
    }
}

static void sample_study(struct csl_message *m, uint64_t *r)
{
    if (m->kind == CSL_MSG_STUDY_OFFER) {
        bytes(r, m->u.study_offer.study_digest, CSL_DIGEST_BYTES);
        size_t n = (size_t)number(r, 1, CSL_MANIFEST_BYTES_MAX);
        m->u.study_offer.manifest = (struct csl_msg){csl_alloc(n), n};
        if (m->u.study_offer.manifest.p == NULL)
            abort();
        bytes(r, m->u.study_offer.manifest.p, n);
    } else {
        m->u.study_ended.released = below(r, 2) == 0;
        m->u.study_ended.round = number(r, 0, CSL_ROUNDS_MAX);
        if (m->u.study_ended.released || below(r, 2) == 0)
            bytes(r, m->u.study_ended.model_digest, CSL_DIGEST_BYTES);
        text(r, m->u.study_ended.reason, sizeof(m->u.study_ended.reason));
    }
}

static void sample_coordinator(struct csl_message *m, uint64_t *r)
{
    if (m->kind == CSL_MSG_TASK) {
        m->u.task.type = below(r, 2) == 0 ? CSL_TASK_TRAIN : CSL_TASK_EVALUATE;
        m->u.task.round = number(r, 1, CSL_ROUNDS_MAX);
        m->u.task.seed = number(r, 0, UINT64_MAX);
        bytes(r, m->u.task.model_digest, CSL_DIGEST_BYTES);
        m->u.task.model_bytes = 4 * number(r, 1, CSL_PARAMETERS_MAX);
        m->u.task.deadline_ms = number(r, 0, UINT64_MAX / 1000000);
        text(r, m->u.task.ledger_head, sizeof(m->u.task.ledger_head));
        m->u.task.weights_round = number(r, 0, CSL_ROUNDS_MAX);
        m->u.task.weight_count = (uint32_t)number(r, 0, CSL_DOMAINS_MAX);
        for (uint32_t i = 0; i < m->u.task.weight_count; i++)
            m->u.task.weights[i] = (struct csl_domain_weight){real(r), fabs(real(r))};
        m->u.task.prior_count = (uint32_t)number(r, 0, CSL_DOMAINS_MAX);
        for (uint32_t i = 0; i < m->u.task.prior_count; i++)
            m->u.task.prior_loss[i] = fabs(real(r));
        m->u.task.group_count = (uint32_t)number(r, 0, CSL_GROUP_WEIGHTS_MAX);
        for (uint32_t i = 0; i < m->u.task.group_count; i++)
            m->u.task.group_log_weight[i] = real(r);
    } else if (m->kind == CSL_MSG_MODEL_GRANT) {
        m->u.model_grant.round = number(r, 0, CSL_ROUNDS_MAX);
        bytes(r, m->u.model_grant.ticket, CSL_TICKET_BYTES);
    } else if (m->kind == CSL_MSG_UPDATE_GRANT) {
        m->u.update_grant.round = number(r, 1, CSL_ROUNDS_MAX);
        bytes(r, m->u.update_grant.ticket, CSL_TICKET_BYTES);
        m->u.update_grant.offset = number(r, 0, 4 * CSL_PARAMETERS_MAX);
    } else if (m->kind == CSL_MSG_UPDATE_ACCEPTED) {
        m->u.update_accepted.round = number(r, 1, CSL_ROUNDS_MAX);
        bytes(r, m->u.update_accepted.digest, CSL_DIGEST_BYTES);
        if (below(r, 2) == 0)
            bytes(r, m->u.update_accepted.countersignature, CSL_COUNTERSIGNATURE_BYTES);
        if (below(r, 2) == 0)
            bytes(r, m->u.update_accepted.ledger_key, CSL_LEDGER_KEY_BYTES);
    } else if (m->kind == CSL_MSG_EVALUATION_ACCEPTED) {
        m->u.evaluation_accepted.round = number(r, 0, CSL_ROUNDS_MAX);
    } else if (m->kind == CSL_MSG_REFUSED) {
        m->u.refused.code = (enum csl_code)number(r, 1, CSL_E_END);
        text(r, m->u.refused.reason, sizeof(m->u.refused.reason));
    } else if (m->kind == CSL_MSG_PONG) {
        m->u.pong.nonce = number(r, 0, UINT64_MAX);
    }
}

void sample_message(struct csl_message *m, enum csl_message_kind kind, uint64_t *random)
{
    memset(m, 0, sizeof(*m));
    m->kind = kind;
    m->sequence = number(random, 1, UINT64_MAX);
    if (sample_direction(kind) == CSL_TO_COORDINATOR)
        sample_site(m, random);
    else if (kind == CSL_MSG_SECAGG_TO_SITE)
        sample_secagg(m, random);
    else if (kind == CSL_MSG_STUDY_OFFER || kind == CSL_MSG_STUDY_ENDED)
        sample_study(m, random);
    else
        sample_coordinator(m, random);
}

static void largest_blocks(struct csl_block_count *p, uint32_t *count)
{
    *count = CSL_BLOCKS_MAX;
    for (uint32_t i = 0; i < CSL_BLOCKS_MAX; i++)
        p[i] = (struct csl_block_count){i, CSL_RECORDS_MAX};
}

void sample_largest(struct csl_message *m, enum csl_message_kind kind)
{
    uint64_t random = 1;
    sample_message(m, kind, &random);
    csl_message_release(m);
    m->sequence = UINT64_MAX;
    if (kind == CSL_MSG_SECAGG || kind == CSL_MSG_SECAGG_TO_SITE) {
        m->u.secagg =
            (struct csl_msg_secagg){{csl_alloc(CSL_SECAGG_BYTES_MAX), CSL_SECAGG_BYTES_MAX},
                                    CSL_SECAGG_WHOLE_MAX - CSL_SECAGG_BYTES_MAX,
                                    CSL_SECAGG_WHOLE_MAX};
    } else if (kind == CSL_MSG_STUDY_OFFER) {
        m->u.study_offer.manifest =
            (struct csl_msg){csl_alloc(CSL_MANIFEST_BYTES_MAX), CSL_MANIFEST_BYTES_MAX};
    } else if (kind == CSL_MSG_STUDY_ANSWER) {
        memset(m->u.study_answer.reason, 'x', sizeof(m->u.study_answer.reason) - 1);
        largest_blocks(m->u.study_answer.blocks, &m->u.study_answer.block_count);
    } else if (kind == CSL_MSG_UPDATE_READY) {
        largest_blocks(m->u.update_ready.blocks, &m->u.update_ready.block_count);
    } else if (kind == CSL_MSG_EVALUATION) {
        struct csl_msg_evaluation *e = &m->u.evaluation;
        e->blocks = csl_alloc_array(CSL_DOMAINS_MAX, sizeof(*e->blocks));
        e->block_count = e->blocks == NULL ? 0 : CSL_DOMAINS_MAX;
        for (uint32_t i = 0; i < e->block_count; i++) {
            struct csl_eval_block *b = &e->blocks[i];
            b->block = CSL_BLOCKS_MAX - CSL_DOMAINS_MAX + i;
            b->examples = CSL_RECORDS_MAX;
            b->loss_sum = -1e308;
            b->true_positive = b->false_positive = b->true_negative = b->false_negative =
                CSL_RECORDS_MAX / 4;
            b->metric_count = 12;
            for (uint32_t k = 0; k < 12; k++) {
                memset(b->metrics[k].name, 'a' + (int)k, CSL_ID_MAX - 1);
                b->metrics[k].value = b->metrics[k].low = b->metrics[k].high = 1e-308;
            }
            b->bin_count = 2 * CSL_SCORE_BINS;
            for (uint32_t k = 0; k < b->bin_count; k++)
                b->bins[k] = CSL_RECORDS_MAX / (2 * CSL_SCORE_BINS);
            b->judged = CSL_RECORDS_MAX;
            b->judged_loss = 1e308;
            b->class_count = CSL_CLASSES_MAX;
            for (uint32_t k = 0; k < b->class_count; k++)
                b->class_mass[k] = (double)b->judged / CSL_CLASSES_MAX;
            b->group_count = CSL_GROUP_COUNTS_STUDY / CSL_DOMAINS_MAX;
            for (uint32_t k = 0; k < b->group_count; k++)
                b->groups[k] = UINT32_MAX;
        }
    }
}

const char *sample_difference(const struct csl_message *a, const struct csl_message *b)
{
    if (a->kind != b->kind)
        return "kind";
    if (a->sequence != b->sequence)
        return "sequence";
    if (a->kind == CSL_MSG_STUDY_OFFER) {
        const struct csl_msg_study_offer *x = &a->u.study_offer, *y = &b->u.study_offer;
        if (!csl_span_equal(csl_msg_span(&x->manifest), csl_msg_span(&y->manifest)))
            return "manifest";
        return memcmp(x->study_digest, y->study_digest, CSL_DIGEST_BYTES) == 0 ? NULL
                                                                               : "study_digest";
    }
    if (a->kind == CSL_MSG_SECAGG || a->kind == CSL_MSG_SECAGG_TO_SITE)
        return a->u.secagg.offset == b->u.secagg.offset && a->u.secagg.total == b->u.secagg.total &&
                       csl_span_equal(csl_msg_span(&a->u.secagg.body),
                                      csl_msg_span(&b->u.secagg.body))
                   ? NULL
                   : "body, offset or total";
    if (a->kind == CSL_MSG_EVALUATION) {
        const struct csl_msg_evaluation *x = &a->u.evaluation, *y = &b->u.evaluation;
        if (x->round != y->round || x->block_count != y->block_count)
            return "evaluation";
        return x->block_count == 0 ||
                       memcmp(x->blocks, y->blocks, x->block_count * sizeof(*x->blocks)) == 0
                   ? NULL
                   : "blocks";
    }
    /* The rest owns nothing, and both were zeroed before they were filled. */
    return memcmp(&a->u, &b->u, sizeof(a->u)) == 0 ? NULL : "body";
}
