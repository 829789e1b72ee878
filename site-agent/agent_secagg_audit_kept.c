/* An audit on disk: secagg-audit-STUDY in the state folder. What failed stays there, with the
 * messages that say which sum it was about, until an administrator confirms. */
#include "site-agent/agent_secagg_internal.h"

#include "base/buf.h"
#include "base/le.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* u8 state, le64 round, le32 chunks, {le32 block, le32 chunk}, {le32 length, bytes} of M0, M2, M7,
 * M9, M13; SHA-256 of all that */
enum { FIXED_BYTES = 1 + 8 + 4 };
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
    char hex[17], name[64];
    csl_hex(a->secagg->study_digest, 8, hex);
    snprintf(name, sizeof(name), "secagg-audit-%s", hex);
    return csl_path_join(out, CSL_PATH_MAX, a->config.state_dir, name, err);
}

static enum csl_code write_file(const struct csl_agent_audit *u, const char *path,
                                struct csl_err *err)
{
    struct csl_buf b;
    uint8_t digest[CSL_SHA256_BYTES];
    csl_buf_init(&b, FILE_BYTES_MAX);
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
        code = write_file(u, path, &err);
    else if (code == CSL_OK)
        unlink(path); /* one that comes back is answered once more, or not in time */
    if (code != CSL_OK)
        csl_agent_fail__(a, &err);
}

static enum csl_code parse(struct csl_agent_audit *u, struct csl_span all, struct csl_err *err)
{
    uint8_t digest[CSL_SHA256_BYTES];
    size_t end = all.n < FIXED_BYTES + sizeof(digest) ? 0 : all.n - sizeof(digest);
    csl_sha256_digest(all.p, end, digest);
    if (end == 0 || memcmp(digest, all.p + end, sizeof(digest)) != 0 ||
        all.p[0] > CSL_AUDIT_UNANSWERED || csl_load_le32(all.p + 9) > CSL_SECAGG_AUDITS_MAX ||
        (size_t)8 * csl_load_le32(all.p + 9) > end - FIXED_BYTES)
        return CSL_FAIL(err, CSL_E_CORRUPT, "it is damaged");
    u->state = (enum csl_agent_audit_state)all.p[0];
    u->round = csl_load_le64(all.p + 1);
    u->count = csl_load_le32(all.p + 9);
    size_t at = FIXED_BYTES + (size_t)8 * u->count;
    memcpy(u->chunks, all.p + FIXED_BYTES, (size_t)8 * u->count);
    enum csl_code code = CSL_OK;
    for (size_t i = 0; code == CSL_OK && i < CSL_AUDIT_MESSAGES; i++) {
        size_t n = end - at < 4 ? SIZE_MAX : csl_load_le32(all.p + at);
        if (end - at < 4 || n > end - at - 4)
            return CSL_FAIL(err, CSL_E_CORRUPT, "it ends too early");
        if (n > 0)
            code = csl_msg_copy(&u->said[i], CSL_SPAN(all.p + at + 4, n), err);
        at += 4 + n;
    }
    return code;
}

enum csl_code csl_agent_audit_restore__(struct csl_agent *a, struct csl_err *err)
{
    struct csl_agent_audit *u = &a->secagg->audit;
    char path[CSL_PATH_MAX];
    struct csl_msg bytes = {NULL, 0};
    struct csl_err why = {.code = CSL_OK};
    enum csl_code code = path_of(a, path, err);
    if (code != CSL_OK || !csl_file_exists(path))
        return code;
    code = csl_file_read(&bytes, path, FILE_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    code = parse(u, csl_msg_span(&bytes), &why);
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
