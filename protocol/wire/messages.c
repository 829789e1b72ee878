#include "protocol/wire/messages.h"

#include "base/check.h"
#include "base/le.h"
#include "privacy/crypto/sha256.h"
#include "protocol/wire/codec.h"

#include <string.h>

/* Decoding an EVALUATION needs its blocks beside the parser's memory; together at most the budget.
 */
#define EVALUATION_HEAP_MAX (CSL_DOMAINS_MAX * sizeof(struct csl_eval_block))
#define PARSER_HEAP_MAX     (CSL_MSG_HEAP_MAX - EVALUATION_HEAP_MAX)

const char *csl_message_kind_name(enum csl_message_kind kind)
{
    static const char *const names[] = {
        [CSL_MSG_HELLO] = "HELLO",
        [CSL_MSG_STUDY_ANSWER] = "STUDY_ANSWER",
        [CSL_MSG_MODEL_REQUEST] = "MODEL_REQUEST",
        [CSL_MSG_UPDATE_READY] = "UPDATE_READY",
        [CSL_MSG_EVALUATION] = "EVALUATION",
        [CSL_MSG_TASK_FAILED] = "TASK_FAILED",
        [CSL_MSG_PING] = "PING",
        [CSL_MSG_SECAGG] = "SECAGG",
        [CSL_MSG_SECAGG_TO_SITE] = "SECAGG",
        [CSL_MSG_STUDY_OFFER] = "STUDY_OFFER",
        [CSL_MSG_TASK] = "TASK",
        [CSL_MSG_MODEL_GRANT] = "MODEL_GRANT",
        [CSL_MSG_UPDATE_GRANT] = "UPDATE_GRANT",
        [CSL_MSG_UPDATE_ACCEPTED] = "UPDATE_ACCEPTED",
        [CSL_MSG_EVALUATION_ACCEPTED] = "EVALUATION_ACCEPTED",
        [CSL_MSG_STUDY_ENDED] = "STUDY_ENDED",
        [CSL_MSG_REFUSED] = "REFUSED",
        [CSL_MSG_DRAIN] = "DRAIN",
        [CSL_MSG_PONG] = "PONG",
    };
    size_t index = (size_t)kind;
    if (index >= sizeof(names) / sizeof(names[0]) || names[index] == NULL)
        return "?";
    return names[index];
}

void csl_message_release(struct csl_message *m)
{
    if (m == NULL)
        return;
    if (m->kind == CSL_MSG_STUDY_OFFER) {
        csl_msg_release(&m->u.study_offer.manifest);
    } else if (m->kind == CSL_MSG_SECAGG || m->kind == CSL_MSG_SECAGG_TO_SITE) {
        csl_msg_release(&m->u.secagg.body);
    } else if (m->kind == CSL_MSG_EVALUATION) {
        csl_free(m->u.evaluation.blocks);
        m->u.evaluation.blocks = NULL;
        m->u.evaluation.block_count = 0;
    }
}

enum csl_code csl_message_encode(const struct csl_message *m, struct csl_msg *out,
                                 struct csl_err *err)
{
    enum csl_code code = csl_message__check(m, CSL_E_INVAL, err);
    if (code != CSL_OK)
        return code;
    if (m->kind >= CSL_MSG_STUDY_OFFER)
        return csl_message__coordinator_pack(m, out, err);
    struct csl_arena arena;
    csl_arena_init(&arena, CSL_MSG_HEAP_MAX);
    code = csl_message__site_pack(m, &arena, out, err);
    csl_arena_release(&arena);
    return code;
}

enum csl_code csl_message_decode(struct csl_message *out, enum csl_direction direction,
                                 struct csl_span bytes, struct csl_err *err)
{
    struct csl_arena arena;
    struct csl_message m = {0};
    csl_arena_init(&arena, PARSER_HEAP_MAX);
    enum csl_code code = direction == CSL_TO_COORDINATOR
                             ? csl_message__site_unpack(&m, &arena, bytes, err)
                             : csl_message__coordinator_unpack(&m, &arena, bytes, err);
    if (code == CSL_OK)
        code = csl_message__check(&m, CSL_E_PROTO, err);
    csl_arena_release(&arena);
    if (code == CSL_OK)
        *out = m;
    else
        csl_message_release(&m);
    return code;
}

static void put_f64(struct csl_sha256 *h, double v)
{
    uint64_t bits;
    uint8_t le[8];
    memcpy(&bits, &v, sizeof(bits));
    csl_store_le64(le, bits);
    csl_sha256_update(h, le, sizeof(le));
}

bool csl_task_factors(const struct csl_msg_task *t, uint8_t out[CSL_DIGEST_BYTES])
{
    static const char label[] = "consilium factors";
    struct csl_sha256 h;
    uint8_t le[8];
    if (t->weight_count == 0 && t->prior_count == 0 && t->group_count == 0)
        return false;
    csl_sha256_init(&h);
    csl_sha256_update(&h, label, sizeof(label) - 1);
    csl_store_le64(le, t->weights_round);
    csl_sha256_update(&h, le, 8);
    csl_store_le32(le, t->weight_count);
    csl_sha256_update(&h, le, 4);
    for (uint32_t i = 0; i < t->weight_count; i++) {
        put_f64(&h, t->weights[i].log_weight);
        put_f64(&h, t->weights[i].patients);
    }
    csl_store_le32(le, t->prior_count);
    csl_sha256_update(&h, le, 4);
    for (uint32_t i = 0; i < t->prior_count; i++)
        put_f64(&h, t->prior_loss[i]);
    csl_store_le32(le, t->group_count);
    if (t->group_count > 0)
        csl_sha256_update(&h, le, 4);
    for (uint32_t i = 0; i < t->group_count; i++)
        put_f64(&h, t->group_log_weight[i]);
    csl_sha256_final(&h, out);
    return true;
}
