/* An audit on disk: secagg-audit-STUDY, by its whole digest, in the state folder. What failed stays
 * there, with the messages that say which sum it was about, until an administrator confirms. */
#include "site-agent/agent_secagg_internal.h"

#include "base/buf.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "FSA1audt", digest of the study, session, u8 1 if a model was refused, its digest; then, as all
 * of it was in earlier versions: u8 state, le64 round, le32 chunks, {le32 block, le32 chunk}, {le32
 * length, bytes} of M0, M2, M7, M9, M13; SHA-256 of all that */
enum {
    MAGIC_BYTES = 8,
    HEAD_BYTES = MAGIC_BYTES + CSL_DIGEST_BYTES + CSL_DIGEST_BYTES + 1 + CSL_DIGEST_BYTES,
    FIXED_BYTES = 1 + 8 + 4
};
static const char magic[MAGIC_BYTES] = "FSA1audt";
#define FILE_BYTES_MAX ((size_t)CSL_AUDIT_MESSAGES * CSL_SECAGG_WHOLE_MAX)

void csl_agent_audit_clear__(struct csl_agent_audit *u)
{
    csl_secagg_audit_free(u->verifier);
    for (size_t i = 0; i < CSL_AUDIT_MESSAGES; i++)
        csl_msg_release(&u->said[i]);
    *u = (struct csl_agent_audit){.state = CSL_AUDIT_NONE, .is_deferred = u->is_deferred};
}

static enum csl_code path_of(const struct csl_agent *a, char out[CSL_PATH_MAX], struct csl_err *err)
{
    return csl_agent_secagg_path__(a, "secagg-audit-", "", out, err);
}

static void write_head(const struct csl_agent *a, struct csl_buf *b)
{
    const struct csl_agent_audit *u = &a->secagg->audit;
    csl_buf_append(b, magic, sizeof(magic));
    csl_buf_append(b, a->secagg->study_digest, CSL_DIGEST_BYTES);
    csl_buf_append(b, u->session, sizeof(u->session));
    csl_buf_u8(b, u->has_refused ? 1 : 0);
    csl_buf_append(b, u->refused, sizeof(u->refused));
}

static enum csl_code write_file(const struct csl_agent *a, const char *path, struct csl_err *err)
{
    const struct csl_agent_audit *u = &a->secagg->audit;
    struct csl_buf b;
    uint8_t digest[CSL_SHA256_BYTES];
    csl_buf_init(&b, FILE_BYTES_MAX);
    write_head(a, &b);
    csl_buf_u8(&b, (uint8_t)u->state);
    csl_buf_le64(&b, u->round);
    csl_buf_le32(&b, u->count);
    csl_buf_append(&b, u->chunks, (size_t)8 * u->count);
    for (size_t i = 0; i < CSL_AUDIT_MESSAGES; i++) {
        csl_buf_le32(&b, (uint32_t)u->said[i].n);
        csl_buf_append(&b, u->said[i].p, u->said[i].n);
    }
    enum csl_code code = csl_buf_status(&b, err);
    if (code == CSL_OK) {
        csl_sha256_digest(b.p, b.n, digest);
        csl_buf_append(&b, digest, sizeof(digest));
        code = csl_buf_status(&b, err);
    }
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, CSL_SPAN(b.p, b.n), 0600, err);
    csl_buf_release(&b);
    return code;
}

void csl_agent_audit_save__(struct csl_agent *a)
{
    const struct csl_agent_audit *u = &a->secagg->audit;
    char path[CSL_PATH_MAX];
    struct csl_err err = {.code = CSL_OK};
    if (a->config.state_dir == NULL)
        return;
    enum csl_code code = path_of(a, path, &err);
    if (code == CSL_OK && u->state != CSL_AUDIT_NONE)
        code = write_file(a, path, &err);
    else if (code == CSL_OK)
        unlink(path); /* one that comes back is answered once more, or not in time */
    if (code != CSL_OK)
        csl_agent_fail__(a, &err);
}

static enum csl_code parse_head(const struct csl_agent *a, struct csl_agent_audit *u,
                                const uint8_t *p, struct csl_err *err)
{
    if (memcmp(p + MAGIC_BYTES, a->secagg->study_digest, CSL_DIGEST_BYTES) != 0)
        return CSL_FAIL(err, CSL_E_CORRUPT, "it is of another study than its name says");
    p += MAGIC_BYTES + CSL_DIGEST_BYTES;
    memcpy(u->session, p, sizeof(u->session));
    u->has_refused = p[CSL_DIGEST_BYTES] != 0;
    memcpy(u->refused, p + CSL_DIGEST_BYTES + 1, sizeof(u->refused));
    return CSL_OK;
}

static enum csl_code parse_messages(struct csl_agent_audit *u, struct csl_span s,
                                    struct csl_err *err)
{
    struct csl_secagg_message result;
    enum csl_code code = CSL_OK;
    for (size_t i = 0, at = 0; code == CSL_OK && i < CSL_AUDIT_MESSAGES; i++) {
        size_t n = s.n - at < 4 ? SIZE_MAX : csl_load_le32(s.p + at);
        if (s.n - at < 4 || n > s.n - at - 4)
            return CSL_FAIL(err, CSL_E_CORRUPT, "it ends too early");
        if (n > 0)
            code = csl_msg_copy(&u->said[i], CSL_SPAN(s.p + at + 4, n), err);
        at += 4 + n;
    }
    /* In a file of an earlier version nothing else says it. */
    if (code == CSL_OK && u->said[CSL_AUDIT_M13].n > 0) {
        code = csl_secagg_decode(&result, csl_msg_span(&u->said[CSL_AUDIT_M13]), err);
        if (code == CSL_OK)
            memcpy(u->session, result.id, sizeof(u->session));
    }
    return code;
}

static enum csl_code parse(const struct csl_agent *a, struct csl_agent_audit *u,
                           struct csl_span all, struct csl_err *err)
{
    uint8_t digest[CSL_SHA256_BYTES];
    bool has_head = all.n >= HEAD_BYTES && memcmp(all.p, magic, sizeof(magic)) == 0;
    size_t head = has_head ? HEAD_BYTES : 0;
    size_t end = all.n < head + FIXED_BYTES + sizeof(digest) ? 0 : all.n - sizeof(digest);
    const uint8_t *p = all.p + head;
    csl_sha256_digest(all.p, end, digest);
    if (end == 0 || memcmp(digest, all.p + end, sizeof(digest)) != 0 ||
        p[0] > CSL_AUDIT_UNANSWERED || csl_load_le32(p + 9) > CSL_SECAGG_AUDITS_MAX ||
        (size_t)8 * csl_load_le32(p + 9) > end - head - FIXED_BYTES)
        return CSL_FAIL(err, CSL_E_CORRUPT, "it is damaged");
    enum csl_code code = has_head ? parse_head(a, u, all.p, err) : CSL_OK;
    if (code != CSL_OK)
        return code;
    u->state = (enum csl_agent_audit_state)p[0];
    u->round = csl_load_le64(p + 1);
    u->count = csl_load_le32(p + 9);
    memcpy(u->chunks, p + FIXED_BYTES, (size_t)8 * u->count);
    size_t at = head + FIXED_BYTES + (size_t)8 * u->count;
    return parse_messages(u, CSL_SPAN(all.p + at, end - at), err);
}

enum csl_code csl_agent_audit_restore__(struct csl_agent *a, struct csl_err *err)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    char path[CSL_PATH_MAX];
    struct csl_msg bytes = {NULL, 0};
    struct csl_err why = {.code = CSL_OK};
    enum csl_code code = path_of(a, path, err);
    if (code == CSL_OK)
        code = csl_agent_secagg_refuse_old__(a, "secagg-audit-", "", path, err);
    if (code != CSL_OK || !csl_file_exists(path))
        return code;
    code = csl_file_read(&bytes, path, FILE_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    code = parse(a, u, csl_msg_span(&bytes), &why);
    csl_msg_release(&bytes);
    if (code != CSL_OK)
        return CSL_FAIL(err, code, "%s: %s", path, why.msg);
    if (u->state == CSL_AUDIT_FAILED)
        csl_log(CSL_LOG_ERROR, "secagg.audit_failed", CSL_STR("site", a->site_id),
                CSL_U64("round", u->round),
                CSL_STR("remedy", "see docs/secure-aggregation.md; once it is clear what happened, "
                                  "make a file secagg-confirmed in the state folder and start "
                                  "again"));
    return CSL_OK;
}
