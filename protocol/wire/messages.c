#include "protocol/wire/messages.h"

#include "base/check.h"
#include "protocol/wire/codec.h"

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
