/* Moving bytes: the broadcast into a blob, the outbox out of one. Sinks and sources run on the
 * transport's threads and touch nothing but blobs and themselves. */
#include "site-agent/agent_secagg.h"

#include "aggregation/tensor/part.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"

#include <stdio.h>
#include <string.h>

void csl_agent_blob_name__(char out[CSL_ID_MAX], const char *kind, uint64_t round)
{
    snprintf(out, CSL_ID_MAX, "%s-%llu", kind, (unsigned long long)round);
}

void csl_agent_run_name__(char out[CSL_ID_MAX], const char *kind, uint64_t round, uint64_t run)
{
    snprintf(out, CSL_ID_MAX, "%s-%llu-%llu", kind, (unsigned long long)round,
             (unsigned long long)run);
}

void csl_agent_model_name__(char out[CSL_ID_MAX], const uint8_t digest[CSL_DIGEST_BYTES])
{
    char hex[33];
    csl_hex(digest, 16, hex);
    snprintf(out, CSL_ID_MAX, "model-%s", hex);
}

void csl_agent_bulk_done__(void *ctx, uint64_t bulk_id, enum csl_code code)
{
    struct csl_agent_event *e = csl_agent_event_new__(CSL_SE_FETCHED); /* or UPLOADED: by its id */
    if (e != NULL) {
        e->bulk_id = bulk_id;
        e->ev.code = code;
    }
    csl_agent_post__(ctx, e);
}

/* A transfer that could not even start ends like one that broke. */
static void fail_transfer(struct csl_agent *a, uint64_t bulk_id, enum csl_code code,
                          const struct csl_err *err)
{
    csl_log_err(CSL_LOG_INFO, "transfer.not_started", err);
    csl_agent_bulk_done__(a, bulk_id, code);
}

/* --- download --- */

struct fetch {
    struct csl_blobs *blobs;
    char name[CSL_ID_MAX];
    uint8_t digest[CSL_DIGEST_BYTES];
    uint64_t position, total;
    struct csl_sha256 hash;
    /* Where a part of the model comes; blocks 0: all of it. Copied: another study may be opened
     * while a download ends. */
    uint32_t vectors, blocks;
    uint64_t block_bytes[CSL_BLOCKS_MAX]; /* of one that does not come: 0 */
};

static enum csl_code fetch_write(void *self, struct csl_span s, struct csl_err *err)
{
    struct fetch *f = self;
    if (s.n > f->total - f->position)
        return CSL_FAIL(err, CSL_E_LIMIT, "the model is longer than the %llu bytes announced",
                        (unsigned long long)f->total);
    enum csl_code code = csl_blob_write(f->blobs, f->name, f->position, s, err);
    if (code != CSL_OK)
        return code;
    csl_sha256_update(&f->hash, s.p, s.n);
    f->position += s.n;
    return CSL_OK;
}

/* Bytes [from, from + bytes) of a blob into a hash, through `buffer` of CSL_AGENT_IO_BYTES. */
static enum csl_code hash_range(struct csl_blobs *blobs, const char *name, uint64_t from,
                                uint64_t bytes, uint8_t *buffer, struct csl_sha256 *h,
                                struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint64_t at = 0; code == CSL_OK && at < bytes;) {
        size_t n = bytes - at < CSL_AGENT_IO_BYTES ? (size_t)(bytes - at) : CSL_AGENT_IO_BYTES;
        code = csl_blob_read(blobs, name, from + at, buffer, n, err);
        if (code == CSL_OK)
            csl_sha256_update(h, buffer, n);
        at += n;
    }
    return code;
}

/* CSL_E_CORRUPT: the range has another digest than `named`. */
static enum csl_code check_range(struct fetch *f, uint64_t from, uint64_t bytes, uint8_t *buffer,
                                 const uint8_t named[CSL_DIGEST_BYTES], struct csl_err *err)
{
    struct csl_sha256 h;
    uint8_t actual[CSL_DIGEST_BYTES];
    csl_sha256_init(&h);
    enum csl_code code = hash_range(f->blobs, f->name, from, bytes, buffer, &h, err);
    csl_sha256_final(&h, actual);
    if (code == CSL_OK && memcmp(actual, named, sizeof(actual)) != 0)
        code = CSL_FAIL(err, CSL_E_CORRUPT, "the model does not have the digest the task names");
    return code;
}

/* The digests in front are those of the model that the task names, and of the blocks behind them.
 */
static enum csl_code check_part(struct fetch *f, struct csl_err *err)
{
    uint8_t *buffer = csl_alloc(CSL_AGENT_IO_BYTES), named[CSL_DIGEST_BYTES];
    uint64_t head = (uint64_t)f->vectors * f->blocks * CSL_DIGEST_BYTES, at = head, entry = 0;
    if (buffer == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to check a download");
    enum csl_code code = check_range(f, 0, head, buffer, f->digest, err);
    for (uint32_t v = 0; v < f->vectors; v++) {
        for (uint32_t b = 0; code == CSL_OK && b < f->blocks; b++, entry++) {
            uint64_t bytes = f->block_bytes[b];
            if (bytes == 0)
                continue;
            code = csl_blob_read(f->blobs, f->name, entry * CSL_DIGEST_BYTES, named,
                                 CSL_DIGEST_BYTES, err);
            if (code == CSL_OK)
                code = check_range(f, at, bytes, buffer, named, err);
            at += bytes;
        }
    }
    csl_free(buffer);
    return code;
}

bool csl_agent_has_part__(const struct csl_agent *a)
{
    return a->study->input_count > 0;
}

static void describe_part(const struct csl_agent *a, struct fetch *f)
{
    const struct csl_schema *s = &a->study->schema;
    f->vectors = a->strategy->broadcast_vectors;
    f->blocks = s->block_count;
    f->total = csl_part_head_bytes(s, f->vectors);
    for (uint32_t b = 0; b < f->blocks; b++) {
        f->block_bytes[b] = csl_agent_shares__(a, b) ? s->blocks[b].count * sizeof(float) : 0;
        f->total += f->vectors * f->block_bytes[b];
    }
}

static enum csl_code fetch_finish(void *self, const uint8_t digest[32], struct csl_err *err)
{
    struct fetch *f = self;
    uint8_t actual[CSL_DIGEST_BYTES];
    csl_sha256_final(&f->hash, actual);
    enum csl_code code = CSL_OK;
    if (f->position != f->total)
        code = CSL_FAIL(err, CSL_E_PROTO, "the model ended at byte %llu of %llu",
                        (unsigned long long)f->position, (unsigned long long)f->total);
    else if (memcmp(actual, digest, CSL_DIGEST_BYTES) != 0 ||
             (f->blocks == 0 && memcmp(actual, f->digest, CSL_DIGEST_BYTES) != 0))
        code = CSL_FAIL(err, CSL_E_CORRUPT, "the model does not have the digest the task names");
    else if (f->blocks > 0)
        code = check_part(f, err);
    if (code == CSL_E_CORRUPT)
        csl_blob_remove(f->blobs, f->name); /* from the beginning next time */
    csl_free(f);
    return code;
}

static void fetch_abandon(void *self, enum csl_code why)
{
    (void)why; /* what arrived stays for the resume */
    csl_free(self);
}

static enum csl_code hash_prefix(struct fetch *f, struct csl_err *err)
{
    uint64_t size = csl_blob_size(f->blobs, f->name);
    if (size > f->total)
        csl_blob_remove(f->blobs, f->name);
    if (size == 0 || size > f->total)
        return CSL_OK;
    uint8_t *buffer = csl_alloc(CSL_AGENT_IO_BYTES);
    if (buffer == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to resume a download");
    enum csl_code code = hash_range(f->blobs, f->name, 0, size, buffer, &f->hash, err);
    f->position = size;
    csl_free(buffer);
    return code;
}

/* Only what is still of use stays: the model to come, the outbox, the control variate, the local
 * blocks, what a vote compares with, and words that may have to be masked. */
static void tidy(struct csl_agent *a, const char *model, uint64_t round)
{
    char update[CSL_ID_MAX], control[CSL_ID_MAX], plain[CSL_ID_MAX];
    char local[CSL_ID_MAX], local_of_words[CSL_ID_MAX];
    char judged[CSL_ID_MAX], judged_before[CSL_ID_MAX]; /* by the task's round */
    uint64_t words = csl_agent_secagg_words_round__(a); /* not the task's: they may be older */
    csl_agent_blob_name__(update, "update", a->memory.outbox.round);
    csl_agent_run_name__(control, "control", a->memory.control_round, a->memory.control_run);
    csl_agent_run_name__(local, "local", a->memory.control_round, a->memory.control_run);
    csl_agent_blob_name__(plain, "plain", words);
    csl_agent_run_name__(local_of_words, "local", words, csl_agent_secagg_words_run__(a));
    csl_agent_blob_name__(judged, "judged", round);
    csl_agent_blob_name__(judged_before, "judged", round > 0 ? round - 1 : 0);
    const char *keep[] = {model,  update,        control, local,
                          judged, judged_before, plain,   local_of_words};
    csl_blobs_keep_only(a->blobs, keep, words != 0 ? 8 : 6);
}

void csl_agent_fetch__(struct csl_agent *a, const struct csl_site_action *action)
{
    struct csl_err err = {.code = CSL_OK};
    a->fetch_id = ++a->next_bulk_id;
    a->fetch_task = action->task;
    uint64_t expected =
        a->strategy->broadcast_vectors * a->study->schema.parameters * sizeof(float);
    enum csl_code code = CSL_OK;
    struct fetch *f = csl_alloc(sizeof(*f));
    if (f == NULL)
        code = CSL_FAIL(&err, CSL_E_NOMEM, "no memory for a download");
    else if (action->task.model_bytes != expected)
        code = CSL_FAIL(&err, CSL_E_PROTO, "the task's model has %llu bytes; this study's has %llu",
                        (unsigned long long)action->task.model_bytes, (unsigned long long)expected);
    if (code != CSL_OK) {
        csl_free(f);
        fail_transfer(a, a->fetch_id, code, &err);
        return;
    }
    f->blobs = a->blobs;
    f->total = expected;
    if (csl_agent_has_part__(a))
        describe_part(a, f);
    memcpy(f->digest, action->task.model_digest, CSL_DIGEST_BYTES);
    csl_agent_model_name__(f->name, f->digest);
    csl_sha256_init(&f->hash);
    tidy(a, f->name, action->task.round);
    code = hash_prefix(f, &err);
    struct csl_bulk_head head = {.bytes_total = f->total, .bytes_offset = f->position};
    memcpy(head.ticket, action->ticket, CSL_TICKET_BYTES);
    struct csl_bulk_sink sink = {f, fetch_write, fetch_finish, fetch_abandon};
    if (code == CSL_OK)
        code = a->config.transport->ops->download(a->config.transport, a->fetch_id, &head, &sink,
                                                  &err);
    if (code != CSL_OK) {
        csl_free(f);
        fail_transfer(a, a->fetch_id, code, &err);
    }
}

/* --- upload --- */

struct delivery {
    struct csl_blobs *blobs;
    char name[CSL_ID_MAX];
    uint8_t digest[CSL_DIGEST_BYTES];
    uint64_t position, total;
};

static enum csl_code delivery_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                   struct csl_err *err)
{
    struct delivery *d = self;
    uint64_t left = d->total - d->position;
    size_t take = left < capacity ? (size_t)left : capacity;
    enum csl_code code =
        take == 0 ? CSL_OK : csl_blob_read(d->blobs, d->name, d->position, buffer, take, err);
    if (code != CSL_OK)
        return code;
    d->position += take;
    *n = take;
    return CSL_OK;
}

static enum csl_code delivery_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    (void)err;
    const struct delivery *d = self;
    memcpy(out, d->digest, CSL_DIGEST_BYTES);
    return CSL_OK;
}

static void delivery_close(void *self)
{
    csl_free(self);
}

/* With privacy the bytes themselves are looked at before the first one leaves: they are those that
 * were charged, whatever happened to the file since. */
static enum csl_code check_charged(struct csl_agent *a, const struct delivery *d,
                                   struct csl_err *err)
{
    struct csl_sha256 h;
    uint8_t actual[CSL_DIGEST_BYTES], *buffer;
    if (a->study->privacy.mode == CSL_PRIVACY_NONE)
        return CSL_OK;
    if (!csl_agent_is_charged__(a, &a->core.outbox) ||
        !csl_agent_are_statistics_charged__(a, &a->core.outbox))
        return CSL_FAIL(err, CSL_E_BUG, "the update of round %llu is not in the ledger",
                        (unsigned long long)a->core.outbox.round);
    buffer = csl_alloc(CSL_AGENT_IO_BYTES);
    if (buffer == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to check an update");
    csl_sha256_init(&h);
    enum csl_code code = hash_range(d->blobs, d->name, 0, d->total, buffer, &h, err);
    csl_free(buffer);
    csl_sha256_final(&h, actual);
    if (code == CSL_OK && memcmp(actual, d->digest, CSL_DIGEST_BYTES) != 0)
        code = CSL_FAIL(err, CSL_E_CORRUPT, "the stored update is not the one that was charged");
    return code;
}

void csl_agent_upload__(struct csl_agent *a, const struct csl_site_action *action)
{
    struct csl_err err = {.code = CSL_OK};
    a->upload_id = ++a->next_bulk_id;
    a->upload_task = action->task;
    struct delivery *d = csl_alloc(sizeof(*d));
    if (d == NULL) {
        (void)CSL_FAIL(&err, CSL_E_NOMEM, "no memory for an upload");
        fail_transfer(a, a->upload_id, CSL_E_NOMEM, &err);
        return;
    }
    const struct csl_outbox *outbox = &a->core.outbox;
    d->blobs = a->blobs;
    d->position = action->offset;
    d->total = outbox->bytes_total;
    memcpy(d->digest, outbox->digest, CSL_DIGEST_BYTES);
    csl_agent_blob_name__(d->name, "update", outbox->round);
    struct csl_bulk_head head = {.bytes_total = d->total, .bytes_offset = action->offset};
    memcpy(head.ticket, action->ticket, CSL_TICKET_BYTES);
    struct csl_bulk_source source = {d, delivery_read, delivery_digest, delivery_close};
    enum csl_code code = check_charged(a, d, &err);
    if (code == CSL_OK)
        code = a->config.transport->ops->upload(a->config.transport, a->upload_id, &head, &source,
                                                &err);
    if (code != CSL_OK) {
        csl_free(d);
        fail_transfer(a, a->upload_id, code, &err);
    }
}
