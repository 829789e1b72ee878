/* The data plane: uploads into the spool and downloads of the model, on the transport's threads.
 * Nothing here touches the core; what happened is posted to it as an event. */
#include "coordinator/service_internal.h"
#include "coordinator/service_kept.h"

#include "aggregation/tensor/part.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"

#include <math.h>
#include <sodium.h>
#include <string.h>

/* --- uploads --- */

struct upload {
    struct csl_service *s;
    uint32_t site;
    uint64_t generation;
    char spool[CSL_ID_MAX];
    struct csl_ticket ticket;
    uint64_t position; /* bytes in the spool */
    uint32_t used;     /* bytes in the buffer, not yet in the spool */
    struct csl_sha256 hash;
    uint32_t capacity; /* CSL_SERVICE_IO_BYTES, or the whole update if that is less */
    uint8_t *buffer;   /* [capacity], 64-byte aligned */
};

/* The accumulator's conditions, checked before anything is added: every value finite and below its
 * bound. Works on whole floats: the buffer starts at a multiple of its size. */
static enum csl_code check_values(const struct upload *u, struct csl_err *err)
{
    const float *values = (const float *)(const void *)u->buffer;
    uint32_t bad = 0;
    if (u->s->secagg != NULL)
        return CSL_OK; /* words under masks: every value is as good as any other */
    for (uint32_t i = 0; i < u->used / sizeof(float); i++)
        bad |= !(fabsf(values[i]) < (float)CSL_ACC_ABS_MAX); /* a NaN fails the comparison too */
    if (bad != 0)
        return CSL_FAIL(
            err, CSL_E_INVAL,
            "the update has a value that is not finite or above 2^20 between bytes %llu "
            "and %llu",
            (unsigned long long)u->position, (unsigned long long)u->position + u->used);
    return CSL_OK;
}

/* Buffer to spool, unless a newer grant has taken the spool over. */
static enum csl_code flush(struct upload *u, struct csl_err *err)
{
    struct csl_site_io *io = &u->s->io[u->site];
    csl_mutex_lock(&io->lock);
    enum csl_code code =
        io->generation == u->generation
            ? csl_blob_write(u->s->spool, u->spool, u->position, CSL_SPAN(u->buffer, u->used), err)
            : CSL_FAIL(err, CSL_E_CANCELLED, "this upload was replaced by a newer one");
    csl_mutex_unlock(&io->lock);
    if (code != CSL_OK)
        return code;
    csl_sha256_update(&u->hash, u->buffer, u->used);
    u->position += u->used;
    u->used = 0;
    return CSL_OK;
}

static bool post(const struct upload *u, enum csl_coord_event_kind kind, enum csl_code code,
                 const char *reason)
{
    return csl_service_post__(u->s,
                              &(struct csl_coord_event){.kind = kind,
                                                        .site_index = u->site,
                                                        .round = u->ticket.round,
                                                        .code = code,
                                                        .reason = reason},
                              NULL, NULL);
}

static void upload_free(struct upload *u)
{
    csl_free(u->buffer);
    csl_free(u);
}

static enum csl_code upload_write(void *self, struct csl_span span, struct csl_err *err)
{
    struct upload *u = self;
    if (span.n > u->ticket.bytes_total - u->position - u->used)
        return CSL_FAIL(err, CSL_E_LIMIT, "more bytes than the %llu announced",
                        (unsigned long long)u->ticket.bytes_total);
    while (span.n > 0) {
        size_t take = u->capacity - u->used;
        take = take < span.n ? take : span.n;
        memcpy(u->buffer + u->used, span.p, take);
        u->used += (uint32_t)take;
        span.p += take;
        span.n -= take;
        if (u->used < u->capacity)
            continue;
        enum csl_code code = check_values(u, err);
        if (code == CSL_OK)
            code = flush(u, err);
        if (code != CSL_OK)
            return code;
    }
    return CSL_OK;
}

/* What a complete upload is worth: nothing, unless every byte is what the site announced. */
static enum csl_code verify(struct upload *u, const uint8_t digest[32], struct csl_err *err)
{
    if (u->position + u->used != u->ticket.bytes_total)
        return CSL_FAIL(err, CSL_E_PROTO, "the upload ended at byte %llu of %llu",
                        (unsigned long long)u->position + u->used,
                        (unsigned long long)u->ticket.bytes_total);
    enum csl_code code = check_values(u, err);
    if (code == CSL_OK)
        code = flush(u, err);
    if (code != CSL_OK)
        return code;
    uint8_t actual[CSL_DIGEST_BYTES];
    csl_sha256_final(&u->hash, actual);
    if (memcmp(actual, u->ticket.digest, CSL_DIGEST_BYTES) != 0 ||
        memcmp(actual, digest, CSL_DIGEST_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT, "the bytes do not have the announced digest");
    return CSL_OK;
}

/* false: the spool belongs to a newer grant, and what became of this upload means nothing. */
static bool remove_spool(const struct upload *u)
{
    struct csl_site_io *io = &u->s->io[u->site];
    csl_mutex_lock(&io->lock);
    bool is_newest = io->generation == u->generation;
    if (is_newest)
        csl_blob_remove(u->s->spool, u->spool);
    csl_mutex_unlock(&io->lock);
    return is_newest;
}

/* A grant that came between the last byte and here has taken the spool over: what is in it by the
 * time the core folds was not verified by this upload. */
static bool mark_verified(const struct upload *u)
{
    struct csl_site_io *io = &u->s->io[u->site];
    csl_mutex_lock(&io->lock);
    bool is_newest = io->generation == u->generation;
    csl_mutex_lock(&u->s->lock);
    if (is_newest)
        io->verified_round = u->ticket.round;
    csl_mutex_unlock(&u->s->lock);
    csl_mutex_unlock(&io->lock);
    return is_newest;
}

/* After a refusal for content. A resumed upload may have met a damaged first half, so it starts
 * again from zero; one that came whole from the site is refused for the round. */
static void reject(struct upload *u, enum csl_code code)
{
    if (!remove_spool(u))
        return;
    bool was_resumed = u->ticket.offset > 0;
    (void)post(u, CSL_CE_REJECTED, was_resumed ? CSL_E_AGAIN : code,
               code == CSL_E_INVAL   ? "the update has a value that is not finite or too large"
               : code == CSL_E_LIMIT ? "the update is longer than announced"
                                     : "the update does not have the announced digest");
}

static enum csl_code upload_finish(void *self, const uint8_t digest[32], struct csl_err *err)
{
    struct upload *u = self;
    enum csl_code code = verify(u, digest, err);
    if (code == CSL_OK && !mark_verified(u))
        code = CSL_FAIL(err, CSL_E_CANCELLED, "this upload was replaced by a newer one");
    if (code == CSL_OK) { /* without a receipt the site announces it again */
        if (!post(u, CSL_CE_RECEIVED, CSL_OK, NULL))
            code = CSL_FAIL(err, CSL_E_AGAIN, "too much is waiting for the coordinator");
    } else if (code == CSL_E_CORRUPT || code == CSL_E_INVAL) {
        reject(u, code);
    }
    upload_free(u);
    return code;
}

static void upload_abandon(void *self, enum csl_code why)
{
    struct upload *u = self;
    csl_log(CSL_LOG_INFO, "upload.broken", CSL_STR("site", csl_coord_site(u->s->core, u->site)->id),
            CSL_U64("round", u->ticket.round), CSL_U64("bytes", u->position + u->used),
            CSL_STR("why", csl_code_text(why)));
    if (why == CSL_E_INVAL || why == CSL_E_LIMIT)
        reject(u, why); /* write refused what came: do not keep it for a resume */
    else if (check_values(u, NULL) == CSL_OK) /* nothing unchecked may wait there for a resume */
        (void)flush(u, NULL);                 /* whatever arrived need not be sent again */
    upload_free(u);
}

static bool ticket_fits(const struct csl_ticket *t, const struct csl_bulk_head *head)
{
    return t->is_valid && sodium_memcmp(t->bytes, head->ticket, CSL_TICKET_BYTES) == 0;
}

/* The part that is there already goes through the hash again. */
static enum csl_code hash_prefix(struct upload *u, struct csl_err *err)
{
    while (u->position < u->ticket.offset) {
        uint64_t left = u->ticket.offset - u->position;
        size_t n = left < u->capacity ? (size_t)left : u->capacity;
        enum csl_code code = csl_blob_read(u->s->spool, u->spool, u->position, u->buffer, n, err);
        if (code != CSL_OK)
            return code;
        csl_sha256_update(&u->hash, u->buffer, n);
        u->position += n;
    }
    return CSL_OK;
}

enum csl_code csl_service_upload_open__(void *ctx, const struct csl_peer *peer,
                                        const struct csl_bulk_head *head, struct csl_bulk_sink *out,
                                        struct csl_err *err)
{
    struct csl_service *s = ctx;
    uint32_t site = csl_coord_find_site(s->core, peer->site_id); /* the roster never changes */
    if (site == UINT32_MAX)
        return CSL_FAIL(err, CSL_E_DENIED, "site %s is not in the roster", peer->site_id);
    struct csl_site_io *io = &s->io[site];
    csl_mutex_lock(&io->lock);
    csl_mutex_lock(&s->lock);
    struct csl_ticket ticket = io->upload;
    bool fits = ticket_fits(&ticket, head);
    io->upload.is_valid = io->upload.is_valid && !fits; /* single use */
    csl_mutex_unlock(&s->lock);
    uint64_t generation = io->generation;
    char spool[CSL_ID_MAX];
    memcpy(spool, io->spool, sizeof(spool));
    csl_mutex_unlock(&io->lock);
    if (!fits)
        return CSL_FAIL(err, CSL_E_DENIED, "the upload ticket is unknown, used or of another site");
    if (head->bytes_total != ticket.bytes_total || head->bytes_offset != ticket.offset)
        return CSL_FAIL(
            err, CSL_E_PROTO, "the upload starts at %llu of %llu bytes; granted: %llu of %llu",
            (unsigned long long)head->bytes_offset, (unsigned long long)head->bytes_total,
            (unsigned long long)ticket.offset, (unsigned long long)ticket.bytes_total);
    bool is_small = ticket.bytes_total < CSL_SERVICE_IO_BYTES;
    uint32_t capacity = is_small ? (uint32_t)ticket.bytes_total : (uint32_t)CSL_SERVICE_IO_BYTES;
    struct upload *u = csl_alloc(sizeof(*u));
    if (u == NULL || (u->buffer = csl_alloc_aligned(64, capacity)) == NULL) {
        csl_free(u);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for an upload");
    }
    u->s = s;
    u->site = site;
    u->capacity = capacity;
    u->generation = generation;
    memcpy(u->spool, spool, sizeof(spool));
    u->ticket = ticket;
    csl_sha256_init(&u->hash);
    enum csl_code code = hash_prefix(u, err);
    if (code != CSL_OK) {
        upload_free(u);
        return code;
    }
    *out = (struct csl_bulk_sink){u, upload_write, upload_finish, upload_abandon};
    return CSL_OK;
}

/* --- downloads --- */

struct download {
    struct csl_service *s;
    bool is_evaluated;
    uint64_t version, edition, position, total;
    bool has[CSL_BLOCKS_MAX];         /* a study with inputs: what the site is sent */
    uint8_t digest[CSL_DIGEST_BYTES]; /* a study that is buffered */
};

/* Bytes [from, from + n) of the broadcast: the model, then (SCAFFOLD) the server control. */
static void copy_broadcast(const struct download *d, uint64_t from, uint8_t *out, size_t n)
{
    const struct csl_service *s = d->s;
    uint64_t vector_bytes = s->study->schema.parameters * sizeof(float);
    while (n > 0) {
        uint64_t vector = from / vector_bytes, at = from % vector_bytes;
        CSL_ASSERT(vector < s->strategy->broadcast_vectors);
        const float *source = csl_service_vector__(s, d->is_evaluated, (uint32_t)vector);
        size_t take = n < vector_bytes - at ? n : (size_t)(vector_bytes - at);
        memcpy(out, (const uint8_t *)source + at, take);
        out += take;
        from += take;
        n -= take;
    }
}

/* Copies what of [at, at + length) lies in [*from, *from + *n), which follow one another. */
static void copy_overlap(const void *source, uint64_t at, uint64_t length, uint64_t *from,
                         uint8_t **out, size_t *n)
{
    if (*n == 0 || *from < at || *from >= at + length)
        return;
    uint64_t left = at + length - *from;
    size_t take = left < *n ? (size_t)left : *n;
    memcpy(*out, (const uint8_t *)source + (*from - at), take);
    *from += take;
    *out += take;
    *n -= take;
}

/* The same of a site's part: digests, then its blocks (aggregation/tensor/part.h). */
static void copy_part(const struct download *d, uint64_t from, uint8_t *out, size_t n)
{
    const struct csl_service *s = d->s;
    const struct csl_schema *schema = &s->study->schema;
    uint64_t at = csl_part_head_bytes(schema, s->strategy->broadcast_vectors);
    copy_overlap(s->part_digests[d->is_evaluated], 0, at, &from, &out, &n);
    for (uint32_t v = 0; v < s->strategy->broadcast_vectors; v++) {
        const float *vector = csl_service_vector__(s, d->is_evaluated, v);
        for (uint32_t b = 0; n > 0 && b < schema->block_count; b++) {
            uint64_t bytes = schema->blocks[b].count * sizeof(float);
            if (!d->has[b])
                continue;
            copy_overlap(vector + schema->blocks[b].first, at, bytes, &from, &out, &n);
            at += bytes;
        }
    }
    CSL_ASSERT(n == 0);
}

static void copy_download(const struct download *d, uint64_t from, uint8_t *out, size_t n)
{
    if (d->s->study->input_count > 0)
        copy_part(d, from, out, n);
    else
        copy_broadcast(d, from, out, n);
}

/* Under the model lock. */
static bool is_current(const struct download *d)
{
    return d->s->version == d->version && d->s->edition == d->edition;
}

/* Bytes [from, from + n) of the version the download began with; false: it is gone. */
static bool copy_version(const struct download *d, uint64_t from, uint8_t *out, size_t n)
{
    csl_mutex_lock(&d->s->model_lock);
    bool is_same = is_current(d);
    if (is_same)
        copy_download(d, from, out, n);
    csl_mutex_unlock(&d->s->model_lock);
    return is_same;
}

/* Of a part of the model, which nobody has hashed. Piece by piece, so that the thread that closes
 * rounds waits for a copy at most, and not for the hash of a whole model. */
static bool digest_part(const struct download *d, uint8_t out[CSL_DIGEST_BYTES])
{
    uint8_t buffer[4096];
    struct csl_sha256 h;
    csl_sha256_init(&h);
    for (uint64_t at = 0; at < d->total;) {
        size_t n = d->total - at < sizeof(buffer) ? (size_t)(d->total - at) : sizeof(buffer);
        if (!copy_version(d, at, buffer, n))
            return false;
        csl_sha256_update(&h, buffer, n);
        at += n;
    }
    csl_sha256_final(&h, out);
    return true;
}

static bool digest_whole(const struct download *d, uint8_t out[CSL_DIGEST_BYTES])
{
    const struct csl_service *s = d->s;
    csl_mutex_lock(&d->s->model_lock);
    bool is_same = is_current(d);
    if (is_same)
        memcpy(out, d->is_evaluated ? s->evaluated_digest : s->broadcast_digest, CSL_DIGEST_BYTES);
    csl_mutex_unlock(&d->s->model_lock);
    return is_same;
}

/* Not the newest any more. A study that is buffered goes on giving it away (service_kept.c). */
static enum csl_code read_kept(const struct download *d, uint8_t *buffer, size_t n,
                               struct csl_err *err)
{
    char name[CSL_SERVICE_KEPT_NAME];
    if (!csl_study_is_buffered(d->s->study))
        return CSL_FAIL(err, CSL_E_STATE, "the round closed during the download");
    csl_service_name_kept__(d->version, name);
    return csl_blob_read(d->s->spool, name, d->position, buffer, n, err);
}

static enum csl_code download_read(void *self, uint8_t *buffer, size_t capacity, size_t *n,
                                   struct csl_err *err)
{
    struct download *d = self;
    uint64_t left = d->total - d->position;
    size_t take = left < capacity ? (size_t)left : capacity;
    enum csl_code code = CSL_OK;
    if (!copy_version(d, d->position, buffer, take))
        code = read_kept(d, buffer, take, err);
    if (code != CSL_OK)
        return code;
    d->position += take;
    *n = take;
    return CSL_OK;
}

static enum csl_code download_digest(void *self, uint8_t out[32], struct csl_err *err)
{
    struct download *d = self;
    if (csl_study_is_buffered(d->s->study) && !d->is_evaluated) {
        memcpy(out, d->digest, CSL_DIGEST_BYTES);
        return CSL_OK;
    }
    bool is_same = d->s->study->input_count > 0 ? digest_part(d, out) : digest_whole(d, out);
    return is_same ? CSL_OK : CSL_FAIL(err, CSL_E_STATE, "the round closed during the download");
}

static void download_close(void *self)
{
    csl_free(self);
}

enum csl_code csl_service_download_open__(void *ctx, const struct csl_peer *peer,
                                          const struct csl_bulk_head *head,
                                          struct csl_bulk_source *out, struct csl_err *err)
{
    struct csl_service *s = ctx;
    uint32_t site = csl_coord_find_site(s->core, peer->site_id);
    if (site == UINT32_MAX)
        return CSL_FAIL(err, CSL_E_DENIED, "site %s is not in the roster", peer->site_id);
    csl_mutex_lock(&s->lock);
    struct csl_ticket ticket = s->io[site].download;
    bool fits = ticket_fits(&ticket, head), has[CSL_BLOCKS_MAX];
    memcpy(has, s->io[site].download_has, sizeof(has));
    s->io[site].download.is_valid = s->io[site].download.is_valid && !fits;
    csl_mutex_unlock(&s->lock);
    if (!fits)
        return CSL_FAIL(err, CSL_E_DENIED,
                        "the download ticket is unknown, used or of another site");
    if (head->bytes_total != ticket.bytes_total || head->bytes_offset > ticket.bytes_total)
        return CSL_FAIL(
            err, CSL_E_PROTO, "the download asks for %llu bytes from %llu; there are %llu",
            (unsigned long long)head->bytes_total, (unsigned long long)head->bytes_offset,
            (unsigned long long)ticket.bytes_total);
    struct download *d = csl_alloc(sizeof(*d));
    if (d == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a download");
    *d = (struct download){.s = s,
                           .is_evaluated = ticket.is_evaluated,
                           .version = ticket.round,
                           .position = head->bytes_offset,
                           .total = ticket.bytes_total};
    csl_mutex_lock(&s->model_lock);
    d->edition = s->edition;
    csl_mutex_unlock(&s->model_lock);
    memcpy(d->has, has, sizeof(has));
    memcpy(d->digest, ticket.digest, CSL_DIGEST_BYTES);
    *out = (struct csl_bulk_source){d, download_read, download_digest, download_close};
    return CSL_OK;
}
