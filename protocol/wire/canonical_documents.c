/* The documents of canonical.h. A change here is a new protocol version: old signatures must keep
 * their meaning (tests/vectors/wire). */
#include "protocol/wire/canonical.h"

#include "base/str.h"

static bool read_bool(struct csl_canonical_reader *r)
{
    uint8_t v = csl_canonical_read_u8(r);
    if (v > 1)
        csl_canonical_read_fault(r, "a truth value that is neither 0 nor 1");
    return v == 1;
}

static void read_site_id(struct csl_canonical_reader *r, char out[CSL_ID_MAX])
{
    csl_canonical_read_text(r, out, CSL_ID_MAX);
    if (!csl_id_valid(out))
        csl_canonical_read_fault(r, "no site id");
}

void csl_canonical_write_hello(struct csl_buf *out, const struct csl_canonical_hello *d)
{
    struct csl_canonical_writer w;
    csl_canonical_begin(&w, out, "hello");
    csl_canonical_text(&w, d->site_id);
    csl_canonical_u32(&w, d->hello.protocol_version);
    csl_canonical_text(&w, d->hello.software);
    csl_canonical_bytes(&w, d->hello.study_digest, CSL_DIGEST_BYTES);
}

enum csl_code csl_canonical_read_hello(struct csl_canonical_hello *out, struct csl_span bytes,
                                       struct csl_err *err)
{
    struct csl_canonical_reader r;
    struct csl_canonical_hello d = {0};
    csl_canonical_read_begin(&r, bytes, "hello");
    read_site_id(&r, d.site_id);
    d.hello.protocol_version = csl_canonical_read_u32(&r);
    csl_canonical_read_text(&r, d.hello.software, sizeof(d.hello.software));
    csl_canonical_read_bytes(&r, d.hello.study_digest, CSL_DIGEST_BYTES);
    enum csl_code code = csl_canonical_read_end(&r, err);
    if (code == CSL_OK)
        *out = d;
    return code;
}

void csl_canonical_write_task(struct csl_buf *out, const struct csl_canonical_task *d)
{
    struct csl_canonical_writer w;
    csl_canonical_begin(&w, out, "task");
    csl_canonical_bytes(&w, d->study_digest, CSL_DIGEST_BYTES);
    csl_canonical_u8(&w, (uint8_t)d->task.type);
    csl_canonical_u64(&w, d->task.round);
    csl_canonical_u64(&w, d->task.seed);
    csl_canonical_bytes(&w, d->task.model_digest, CSL_DIGEST_BYTES);
    csl_canonical_u64(&w, d->task.model_bytes);
}

enum csl_code csl_canonical_read_task(struct csl_canonical_task *out, struct csl_span bytes,
                                      struct csl_err *err)
{
    struct csl_canonical_reader r;
    struct csl_canonical_task d = {0};
    csl_canonical_read_begin(&r, bytes, "task");
    csl_canonical_read_bytes(&r, d.study_digest, CSL_DIGEST_BYTES);
    uint8_t type = csl_canonical_read_u8(&r);
    if (type != CSL_TASK_TRAIN && type != CSL_TASK_EVALUATE)
        csl_canonical_read_fault(&r, "an unknown task type");
    d.task.type = type == CSL_TASK_TRAIN ? CSL_TASK_TRAIN : CSL_TASK_EVALUATE;
    d.task.round = csl_canonical_read_u64(&r);
    d.task.seed = csl_canonical_read_u64(&r);
    csl_canonical_read_bytes(&r, d.task.model_digest, CSL_DIGEST_BYTES);
    d.task.model_bytes = csl_canonical_read_u64(&r);
    enum csl_code code = csl_canonical_read_end(&r, err);
    if (code == CSL_OK)
        *out = d;
    return code;
}

void csl_canonical_write_update(struct csl_buf *out, const struct csl_canonical_update *d)
{
    struct csl_canonical_writer w;
    csl_canonical_begin(&w, out, "update");
    csl_canonical_bytes(&w, d->study_digest, CSL_DIGEST_BYTES);
    csl_canonical_text(&w, d->site_id);
    csl_canonical_u64(&w, d->update.round);
    csl_canonical_u64(&w, d->update.bytes_total);
    csl_canonical_bytes(&w, d->update.digest, CSL_DIGEST_BYTES);
    csl_canonical_open(&w);
    for (uint32_t i = 0; i < d->update.block_count; i++) {
        csl_canonical_u32(&w, d->update.blocks[i].block);
        csl_canonical_u64(&w, d->update.blocks[i].patients);
    }
    csl_canonical_close(&w);
}

enum csl_code csl_canonical_read_update(struct csl_canonical_update *out, struct csl_span bytes,
                                        struct csl_err *err)
{
    struct csl_canonical_reader r;
    struct csl_canonical_update d = {0};
    csl_canonical_read_begin(&r, bytes, "update");
    csl_canonical_read_bytes(&r, d.study_digest, CSL_DIGEST_BYTES);
    read_site_id(&r, d.site_id);
    d.update.round = csl_canonical_read_u64(&r);
    d.update.bytes_total = csl_canonical_read_u64(&r);
    csl_canonical_read_bytes(&r, d.update.digest, CSL_DIGEST_BYTES);
    csl_canonical_read_open(&r);
    while (csl_canonical_read_more(&r)) {
        if (d.update.block_count == CSL_BLOCKS_MAX) {
            csl_canonical_read_fault(&r, "too many blocks");
            break;
        }
        struct csl_block_count *b = &d.update.blocks[d.update.block_count];
        b->block = csl_canonical_read_u32(&r);
        b->patients = csl_canonical_read_u64(&r);
        if (b->block >= CSL_BLOCKS_MAX || (d.update.block_count > 0 && b->block <= b[-1].block))
            csl_canonical_read_fault(&r, "blocks that do not ascend below their maximum");
        d.update.block_count++;
    }
    csl_canonical_read_close(&r);
    enum csl_code code = csl_canonical_read_end(&r, err);
    if (code == CSL_OK)
        *out = d;
    return code;
}

void csl_canonical_write_study_ended(struct csl_buf *out, const struct csl_canonical_study_ended *d)
{
    struct csl_canonical_writer w;
    csl_canonical_begin(&w, out, "study-ended");
    csl_canonical_bytes(&w, d->study_digest, CSL_DIGEST_BYTES);
    csl_canonical_u8(&w, d->ended.released ? 1 : 0);
    csl_canonical_u64(&w, d->ended.round);
    csl_canonical_bytes(&w, d->ended.model_digest, CSL_DIGEST_BYTES);
    csl_canonical_text(&w, d->ended.reason);
}

enum csl_code csl_canonical_read_study_ended(struct csl_canonical_study_ended *out,
                                             struct csl_span bytes, struct csl_err *err)
{
    struct csl_canonical_reader r;
    struct csl_canonical_study_ended d = {0};
    csl_canonical_read_begin(&r, bytes, "study-ended");
    csl_canonical_read_bytes(&r, d.study_digest, CSL_DIGEST_BYTES);
    d.ended.released = read_bool(&r);
    d.ended.round = csl_canonical_read_u64(&r);
    csl_canonical_read_bytes(&r, d.ended.model_digest, CSL_DIGEST_BYTES);
    csl_canonical_read_text(&r, d.ended.reason, sizeof(d.ended.reason));
    enum csl_code code = csl_canonical_read_end(&r, err);
    if (code == CSL_OK)
        *out = d;
    return code;
}
