#include "privacy/secagg/journal.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/file.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/aead.h"
#include "privacy/crypto/rng.h"
#include "privacy/crypto/secret.h"
#include "privacy/crypto/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    ID_BYTES = 16,
    FILE_HEADER = 8 + ID_BYTES + CSL_SHA256_BYTES,
    FIELDS = 4 + 2 + 8,
    CHECK = 8,
    RECORD_EXTRA = FIELDS + CHECK + CSL_SHA256_BYTES,
    SEALED = 0x8000
};
static const char magic[8] = "FSA1jrnl";

struct csl_secagg_journal {
    char path[CSL_PATH_MAX], key_path[CSL_PATH_MAX + 4];
    int fd;
    bool is_failed;
    bool has_secrets; /* under the key in hand */
    uint64_t count, bytes;
    uint8_t chain[CSL_SHA256_BYTES];
    struct csl_secret *memory;
    uint8_t *key; /* in `memory` */
};

/* --- one record --- */

static void write_fields(uint8_t fields[FIELDS], size_t n, uint16_t type, uint64_t number)
{
    csl_store_le32(fields, (uint32_t)n);
    csl_store_le16(fields + 4, type);
    csl_store_le64(fields + 6, number);
}

static void digest_record(const uint8_t chain[CSL_SHA256_BYTES], const uint8_t fields[FIELDS],
                          struct csl_span payload, uint8_t out[CSL_SHA256_BYTES])
{
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, chain, CSL_SHA256_BYTES);
    csl_sha256_update(&h, fields, FIELDS);
    if (payload.n > 0)
        csl_sha256_update(&h, payload.p, payload.n);
    csl_sha256_final(&h, out);
}

/* What a sealed record is bound to: its place in this file. */
static void context_of(const uint8_t chain[CSL_SHA256_BYTES], uint64_t number,
                       uint8_t out[CSL_SHA256_BYTES + 8])
{
    memcpy(out, chain, CSL_SHA256_BYTES);
    csl_store_le64(out + CSL_SHA256_BYTES, number);
}

static void append_record(struct csl_buf *out, uint8_t chain[CSL_SHA256_BYTES], uint16_t type,
                          uint64_t number, struct csl_span payload)
{
    uint8_t fields[FIELDS], digest[CSL_SHA256_BYTES];
    write_fields(fields, payload.n, type, number);
    csl_buf_append(out, fields, sizeof(fields));
    digest_record(chain, fields, CSL_SPAN(NULL, 0), digest);
    csl_buf_append(out, digest, CHECK);
    csl_buf_append(out, payload.p, payload.n);
    digest_record(chain, fields, payload, digest);
    csl_buf_append(out, digest, sizeof(digest));
    memcpy(chain, digest, sizeof(digest));
}

static void append_header(struct csl_buf *out, uint8_t chain[CSL_SHA256_BYTES])
{
    uint8_t header[8 + ID_BYTES];
    struct csl_rng rng;
    memcpy(header, magic, sizeof(magic));
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, header + 8, ID_BYTES);
    csl_rng_wipe(&rng);
    csl_sha256_digest(header, sizeof(header), chain);
    csl_buf_append(out, header, sizeof(header));
    csl_buf_append(out, chain, CSL_SHA256_BYTES);
}

/* --- the key --- */

static enum csl_code write_at_once(int fd, struct csl_span s)
{
    while (s.n > 0) {
        ssize_t put = write(fd, s.p, s.n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return CSL_E_IO;
        s.p += put;
        s.n -= (size_t)put;
    }
    return CSL_OK;
}

/* Over what is there, in its place, so that a disk that overwrites loses it. */
static enum csl_code write_over(const char *path, struct csl_span bytes, struct csl_err *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot open %s", path);
    enum csl_code code = write_at_once(fd, bytes);
    if (code == CSL_OK && fdatasync(fd) != 0)
        code = CSL_E_IO;
    if (code != CSL_OK)
        code = CSL_FAIL_SYS(err, code, "cannot write %s", path);
    close(fd);
    return code;
}

/* A new key over the old one. Only while nothing that is kept is sealed: a crash in the middle
 * costs nothing. */
static enum csl_code renew_key(struct csl_secagg_journal *j, struct csl_err *err)
{
    struct csl_rng rng;
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, j->key, CSL_AEAD_KEY_BYTES);
    csl_rng_wipe(&rng);
    j->has_secrets = false;
    const struct csl_span key = CSL_SPAN(j->key, CSL_AEAD_KEY_BYTES);
    return csl_file_exists(j->key_path) ? write_over(j->key_path, key, err)
                                        : csl_file_write_atomic(j->key_path, key, 0600, err);
}

static enum csl_code read_key(struct csl_secagg_journal *j, struct csl_err *err)
{
    struct csl_msg bytes = {NULL, 0};
    if (!csl_file_exists(j->key_path))
        return renew_key(j, err);
    enum csl_code code = csl_file_read(&bytes, j->key_path, CSL_AEAD_KEY_BYTES, err);
    if (code != CSL_OK)
        return code;
    if (bytes.n == CSL_AEAD_KEY_BYTES)
        memcpy(j->key, bytes.p, CSL_AEAD_KEY_BYTES); /* else nothing sealed will open */
    csl_wipe(bytes.p, bytes.n);
    csl_msg_release(&bytes);
    return CSL_OK;
}

/* --- reading --- */

struct reading {
    struct csl_secagg_journal *j;
    const struct csl_secagg_journal_reader *reader;
    struct csl_msg bytes;
    size_t at; /* up to here everything verified */
};

static enum csl_code corrupt(const struct reading *r, const char *what, struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_CORRUPT, "%s: byte %zu: %s", r->j->path, r->at, what);
}

static enum csl_code read_header(struct reading *r, struct csl_err *err)
{
    uint8_t digest[CSL_SHA256_BYTES];
    if (r->bytes.n < FILE_HEADER || memcmp(r->bytes.p, magic, sizeof(magic)) != 0)
        return corrupt(r, "not a journal of secure aggregation", err);
    csl_sha256_digest(r->bytes.p, 8 + ID_BYTES, digest);
    if (memcmp(digest, r->bytes.p + 8 + ID_BYTES, sizeof(digest)) != 0)
        return corrupt(r, "the head of the journal is damaged", err);
    memcpy(r->j->chain, digest, sizeof(digest));
    r->at = FILE_HEADER;
    return CSL_OK;
}

static enum csl_code visit(struct reading *r, uint16_t type, struct csl_span payload,
                           struct csl_err *err)
{
    struct csl_secagg_journal_record record = {
        .type = (uint16_t)(type & ~SEALED), .is_secret = (type & SEALED) != 0, .payload = payload};
    if (!record.is_secret)
        return r->reader->visit(r->reader->ctx, &record, err);
    uint8_t context[CSL_SHA256_BYTES + 8], *plain = csl_alloc(payload.n);
    if (plain == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", r->j->path);
    context_of(r->j->chain, r->j->count, context);
    enum csl_code code = CSL_OK;
    if (csl_aead_open(r->j->key, CSL_SPAN(context, sizeof(context)), payload, plain, NULL) !=
        CSL_OK)
        code = corrupt(r, "a sealed record, and the key beside the journal is another", err);
    if (code == CSL_OK) {
        r->j->has_secrets = true;
        record.payload = CSL_SPAN(plain, payload.n - CSL_AEAD_EXTRA_BYTES);
        code = r->reader->visit(r->reader->ctx, &record, err);
    }
    csl_wipe(plain, payload.n);
    csl_free(plain);
    return code;
}

/* *is_torn: the file ends before the record does. */
static enum csl_code read_record(struct reading *r, bool *is_torn, struct csl_err *err)
{
    uint8_t digest[CSL_SHA256_BYTES];
    const uint8_t *p = r->bytes.p + r->at;
    size_t left = r->bytes.n - r->at;
    *is_torn = left < FIELDS + CHECK;
    if (*is_torn)
        return CSL_OK;
    digest_record(r->j->chain, p, CSL_SPAN(NULL, 0), digest);
    if (memcmp(digest, p + FIELDS, CHECK) != 0 || csl_load_le64(p + 6) != r->j->count)
        return corrupt(r, "the beginning of a record is damaged", err);
    size_t n = csl_load_le32(p);
    if (n > CSL_SECAGG_JOURNAL_RECORD_MAX)
        return corrupt(r, "a record that is too long", err);
    *is_torn = left < n + RECORD_EXTRA;
    if (*is_torn)
        return CSL_OK;
    struct csl_span payload = CSL_SPAN(p + FIELDS + CHECK, n);
    digest_record(r->j->chain, p, payload, digest);
    if (memcmp(digest, payload.p + n, sizeof(digest)) != 0)
        return corrupt(r, "a record is damaged", err);
    enum csl_code code = visit(r, csl_load_le16(p + 4), payload, err);
    if (code != CSL_OK)
        return code;
    memcpy(r->j->chain, digest, sizeof(digest));
    r->j->count++;
    r->at += n + RECORD_EXTRA;
    return CSL_OK;
}

static enum csl_code read_all(struct csl_secagg_journal *j,
                              const struct csl_secagg_journal_reader *reader, struct csl_err *err)
{
    struct reading r = {.j = j, .reader = reader};
    bool is_torn = false;
    enum csl_code code = csl_file_read(&r.bytes, j->path, CSL_SECAGG_JOURNAL_FILE_MAX, err);
    if (code == CSL_OK)
        code = read_header(&r, err);
    while (code == CSL_OK && !is_torn && r.at < r.bytes.n)
        code = read_record(&r, &is_torn, err);
    j->bytes = r.at;
    csl_msg_release(&r.bytes);
    return code;
}

/* --- life --- */

static enum csl_code open_file(struct csl_secagg_journal *j, struct csl_err *err)
{
    j->fd = open(j->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (j->fd < 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot open %s", j->path);
    if (lseek(j->fd, 0, SEEK_END) == (off_t)j->bytes)
        return CSL_OK;
    if (ftruncate(j->fd, (off_t)j->bytes) != 0 || fsync(j->fd) != 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot cut the torn end of %s", j->path);
    return CSL_OK;
}

static enum csl_code write_new(struct csl_secagg_journal *j,
                               const struct csl_secagg_journal_record *records, uint32_t count,
                               struct csl_err *err)
{
    struct csl_buf out;
    uint8_t chain[CSL_SHA256_BYTES];
    csl_buf_init(&out, CSL_SECAGG_JOURNAL_FILE_MAX);
    append_header(&out, chain);
    for (uint32_t i = 0; i < count; i++) {
        CSL_ASSERT(!records[i].is_secret && records[i].type > 0 &&
                   records[i].type <= CSL_SECAGG_JOURNAL_TYPE_MAX);
        append_record(&out, chain, records[i].type, i, records[i].payload);
    }
    enum csl_code code = csl_buf_status(&out, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(j->path, CSL_SPAN(out.p, out.n), 0600, err);
    if (code == CSL_OK) {
        memcpy(j->chain, chain, sizeof(chain));
        j->count = count;
        j->bytes = out.n;
    }
    csl_buf_release(&out);
    return code;
}

enum csl_code csl_secagg_journal_open(struct csl_secagg_journal **out, const char *path,
                                      const struct csl_secagg_journal_reader *reader,
                                      struct csl_err *err)
{
    struct csl_secagg_journal *j = csl_alloc(sizeof(*j));
    if (j == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a journal");
    j->fd = -1;
    enum csl_code code = CSL_OK;
    if (!csl_str_copy(j->path, sizeof(j->path), path))
        code = CSL_FAIL(err, CSL_E_LIMIT, "the path of the journal is too long");
    snprintf(j->key_path, sizeof(j->key_path), "%s.key", j->path);
    if (code == CSL_OK)
        code = csl_secret_new(&j->memory, 2 * (size_t)CSL_AEAD_KEY_BYTES, CSL_SECRET_MAY_SWAP, err);
    if (code == CSL_OK) {
        j->key = csl_secret_alloc(j->memory, CSL_AEAD_KEY_BYTES);
        CSL_ASSERT(j->key != NULL);
        code = read_key(j, err);
    }
    if (code == CSL_OK && !csl_file_exists(j->path))
        code = write_new(j, NULL, 0, err);
    if (code == CSL_OK) {
        j->count = 0;
        code = read_all(j, reader, err);
    }
    if (code == CSL_OK)
        code = open_file(j, err);
    if (code == CSL_OK && !j->has_secrets) /* a crash may have come before it was renewed */
        code = renew_key(j, err);
    if (code == CSL_OK)
        *out = j;
    else
        csl_secagg_journal_close(j);
    return code;
}

void csl_secagg_journal_close(struct csl_secagg_journal *j)
{
    if (j == NULL)
        return;
    if (j->fd >= 0)
        close(j->fd);
    csl_secret_free(j->memory);
    csl_free(j);
}

/* --- writing --- */

static enum csl_code failed_before(const struct csl_secagg_journal *j, struct csl_err *err)
{
    return CSL_FAIL(err, CSL_E_STATE, "%s: a write failed before; only a restart may go on",
                    j->path);
}

static enum csl_code seal(struct csl_secagg_journal *j, const struct csl_secagg_journal_record *r,
                          struct csl_msg *sealed, struct csl_err *err)
{
    uint8_t context[CSL_SHA256_BYTES + 8];
    sealed->n = r->payload.n + CSL_AEAD_EXTRA_BYTES;
    sealed->p = csl_alloc(sealed->n);
    if (sealed->p == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a record");
    context_of(j->chain, j->count, context);
    csl_aead_seal(j->key, CSL_SPAN(context, sizeof(context)), r->payload, sealed->p);
    j->has_secrets = true;
    return CSL_OK;
}

enum csl_code csl_secagg_journal_append(struct csl_secagg_journal *j,
                                        const struct csl_secagg_journal_record *r,
                                        struct csl_err *err)
{
    struct csl_msg sealed = {NULL, 0};
    struct csl_buf out;
    uint8_t chain[CSL_SHA256_BYTES];
    CSL_ASSERT(r->type > 0 && r->type <= CSL_SECAGG_JOURNAL_TYPE_MAX);
    if (j->is_failed)
        return failed_before(j, err);
    if (r->payload.n > CSL_SECAGG_JOURNAL_RECORD_MAX - CSL_AEAD_EXTRA_BYTES ||
        j->bytes + r->payload.n > CSL_SECAGG_JOURNAL_FILE_MAX - CSL_AEAD_EXTRA_BYTES - RECORD_EXTRA)
        return CSL_FAIL(err, CSL_E_LIMIT, "%s: no room for a record of %zu bytes", j->path,
                        r->payload.n);
    enum csl_code code = r->is_secret ? seal(j, r, &sealed, err) : CSL_OK;
    csl_buf_init(&out, CSL_SECAGG_JOURNAL_RECORD_MAX + RECORD_EXTRA);
    memcpy(chain, j->chain, sizeof(chain));
    append_record(&out, chain, (uint16_t)(r->type | (r->is_secret ? SEALED : 0)), j->count,
                  r->is_secret ? csl_msg_span(&sealed) : r->payload);
    if (code == CSL_OK)
        code = csl_buf_status(&out, err);
    if (code == CSL_OK) {
        j->is_failed = true; /* until the opposite is known */
        if (write_at_once(j->fd, CSL_SPAN(out.p, out.n)) != CSL_OK || fdatasync(j->fd) != 0)
            code = CSL_FAIL_SYS(err, CSL_E_IO, "cannot write %s", j->path);
        else
            j->is_failed = false;
    }
    if (code == CSL_OK) {
        memcpy(j->chain, chain, sizeof(chain));
        j->count++;
        j->bytes += out.n;
    }
    csl_buf_release(&out);
    csl_msg_release(&sealed);
    return code;
}

enum csl_code csl_secagg_journal_replace(struct csl_secagg_journal *j,
                                         const struct csl_secagg_journal_record *records,
                                         uint32_t count, struct csl_err *err)
{
    if (j->is_failed)
        return failed_before(j, err);
    j->is_failed = true;
    enum csl_code code = write_new(j, records, count, err);
    if (code != CSL_OK)
        return code;
    close(j->fd);
    code = open_file(j, err);
    if (code == CSL_OK)
        code = renew_key(j, err);
    j->is_failed = code != CSL_OK;
    return code;
}

/* --- another place --- */

enum csl_code csl_secagg_journal_move(struct csl_secagg_journal *j, const char *path,
                                      struct csl_err *err)
{
    char to[CSL_PATH_MAX], key[sizeof(j->key_path)];
    if (!csl_str_copy(to, sizeof(to), path))
        return CSL_FAIL(err, CSL_E_LIMIT, "the path of the journal is too long");
    snprintf(key, sizeof(key), "%s.key", to);
    enum csl_code code = csl_file_commit(j->path, to, err);
    if (code == CSL_OK)
        code = csl_file_commit(j->key_path, key, err);
    if (code != CSL_OK)
        return code;
    memcpy(j->path, to, sizeof(to));
    memcpy(j->key_path, key, sizeof(key));
    return CSL_OK;
}

enum csl_code csl_secagg_journal_moved(const char *from, const char *to, struct csl_err *err)
{
    char old[CSL_PATH_MAX + 8], new[CSL_PATH_MAX + 8];
    snprintf(old, sizeof(old), "%s.key", from);
    snprintf(new, sizeof(new), "%s.key", to);
    if (!csl_file_exists(to) || csl_file_exists(new) || csl_file_exists(from) ||
        !csl_file_exists(old))
        return CSL_OK;
    return csl_file_commit(old, new, err);
}

/* What fails is said, and the rest is done all the same. */
static void note(enum csl_code code, const struct csl_err *err)
{
    if (code != CSL_OK)
        csl_log_err(CSL_LOG_WARN, "secagg.journal_kept", err);
}

void csl_secagg_journal_erase(const char *path)
{
    char key[CSL_PATH_MAX + 4];
    uint8_t noise[CSL_AEAD_KEY_BYTES];
    struct csl_rng rng;
    struct csl_err err = {.code = CSL_OK};
    snprintf(key, sizeof(key), "%s.key", path);
    csl_rng_init_os(&rng);
    csl_rng_bytes(&rng, noise, sizeof(noise));
    csl_rng_wipe(&rng);
    if (csl_file_exists(key))
        note(write_over(key, CSL_SPAN(noise, sizeof(noise)), &err), &err);
    note(csl_file_remove(path, &err), &err);
    note(csl_file_remove(key, &err), &err);
}

void csl_secagg_journal_destroy(struct csl_secagg_journal *j)
{
    char path[CSL_PATH_MAX];
    if (j == NULL)
        return;
    memcpy(path, j->path, sizeof(path));
    csl_secagg_journal_close(j);
    csl_secagg_journal_erase(path);
}
