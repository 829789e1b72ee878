/* What a site keeps of an audit on disk, by the study it is of, and what follows from it. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "privacy/crypto/sha256.h"
#include "site-agent/agent_secagg_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Magic, study, session, refused or not, refused model: what earlier files did not begin with. */
enum { HEAD_BYTES = 8 + 3 * CSL_DIGEST_BYTES + 1 };

static char folder[] = "csl-audit-XXXXXX";
static struct {
    struct csl_agent agent;
    struct csl_agent_secagg secagg;
    struct csl_study *study;
    struct csl_secagg_roster *roster;
    struct csl_sign_key key;
} w;

/* A site that is in no session, of the study with this digest. */
static void open_agent(uint8_t study)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_secagg_site_setup setup = {.key = &w.key,
                                          .site = 1,
                                          .roster = w.roster,
                                          .policy = {.survivors_min = 2,
                                                     .honest_min = 2,
                                                     .effective_min = 2,
                                                     .weight_share_max_permille = 1000},
                                          .memory = CSL_SECRET_MAY_SWAP};
    memset(&w.agent, 0, sizeof(w.agent));
    memset(&w.secagg, 0, sizeof(w.secagg));
    w.agent.config.state_dir = folder;
    w.agent.study = w.study;
    w.agent.secagg = &w.secagg;
    memset(w.secagg.study_digest, study, CSL_DIGEST_BYTES);
    assert_int_equal(csl_secagg_site_new(&w.secagg.fsm, &setup, &err), CSL_OK);
}

static void close_agent(void)
{
    csl_agent_audit_clear__(&w.secagg.audit);
    csl_secagg_site_free(w.secagg.fsm);
}

static enum csl_code reopen(uint8_t study, struct csl_err *err)
{
    close_agent();
    open_agent(study);
    return csl_agent_audit_restore__(&w.agent, err);
}

/* As it was named by so many bytes of the digest. */
static const char *path_of(uint8_t study, size_t digest_bytes)
{
    static char path[CSL_PATH_MAX];
    uint8_t digest[CSL_DIGEST_BYTES];
    char hex[2 * CSL_DIGEST_BYTES + 1];
    memset(digest, study, sizeof(digest));
    csl_hex(digest, digest_bytes, hex);
    snprintf(path, sizeof(path), "%s/secagg-audit-%s", folder, hex);
    return path;
}

static void move(const char *from, const char *to)
{
    assert_int_equal(rename(from, to), 0);
}

static struct csl_msg_task task_of(uint64_t round, uint8_t model)
{
    struct csl_msg_task t = {.type = CSL_TASK_TRAIN, .round = round};
    memset(t.model_digest, model, sizeof(t.model_digest));
    return t;
}

static enum csl_code gate(uint64_t round, uint8_t model)
{
    const struct csl_msg_task t = task_of(round, model);
    const char *reason = NULL;
    enum csl_code code = csl_agent_audit_gate__(&w.agent, &t, &reason);
    assert_int_equal(code == CSL_E_STATE, reason != NULL);
    assert_int_equal(w.agent.failure.code, CSL_OK);
    return code;
}

static void make_audit(enum csl_agent_audit_state state)
{
    struct csl_agent_audit *u = &w.secagg.audit;
    u->state = state;
    u->round = 7;
    u->count = 2;
    memset(u->session, 0x5e, sizeof(u->session));
    memset(u->chunks, 3, (size_t)8 * u->count);
    assert_int_equal(csl_msg_copy(&u->said[CSL_AUDIT_M9], CSL_SPAN("who", 3), NULL), CSL_OK);
    csl_agent_audit_save__(&w.agent);
    assert_int_equal(w.agent.failure.code, CSL_OK);
}

static void test_agent_audit__saved__comes_back_whole(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    uint8_t session[32], chunks[16];
    (void)state;
    open_agent(1);
    make_audit(CSL_AUDIT_FAILED);
    assert_int_equal(reopen(1, &err), CSL_OK);
    const struct csl_agent_audit *u = &w.secagg.audit;
    memset(session, 0x5e, sizeof(session));
    memset(chunks, 3, sizeof(chunks));
    assert_int_equal(u->state, CSL_AUDIT_FAILED);
    assert_int_equal(u->round, 7);
    assert_int_equal(u->count, 2);
    assert_memory_equal(u->session, session, sizeof(session));
    assert_memory_equal(u->chunks, chunks, sizeof(chunks));
    assert_int_equal(u->said[CSL_AUDIT_M9].n, 3);
    assert_false(u->has_refused);
    close_agent();
    assert_int_equal(unlink(path_of(1, CSL_DIGEST_BYTES)), 0);
}

/* Studies whose digests begin with the same eight bytes have files of their own. */
static void test_agent_audit__named__by_the_whole_digest(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    open_agent(1);
    make_audit(CSL_AUDIT_FAILED);
    assert_true(csl_file_exists(path_of(1, CSL_DIGEST_BYTES)));
    close_agent();
    open_agent(1);
    w.secagg.study_digest[CSL_DIGEST_BYTES - 1] = 9;
    assert_int_equal(csl_agent_audit_restore__(&w.agent, &err), CSL_OK);
    assert_int_equal(w.secagg.audit.state, CSL_AUDIT_NONE);
    close_agent();
    assert_int_equal(unlink(path_of(1, CSL_DIGEST_BYTES)), 0);
}

static void test_agent_audit__of_another_study__refused(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    char from[CSL_PATH_MAX];
    (void)state;
    open_agent(1);
    make_audit(CSL_AUDIT_UNANSWERED);
    snprintf(from, sizeof(from), "%s", path_of(1, CSL_DIGEST_BYTES));
    move(from, path_of(2, CSL_DIGEST_BYTES));
    assert_int_equal(reopen(2, &err), CSL_E_CORRUPT);
    assert_non_null(strstr(err.msg, "another study"));
    close_agent();
    assert_int_equal(unlink(path_of(2, CSL_DIGEST_BYTES)), 0);
}

/* What an earlier version wrote: without the head, and named by eight bytes. */
static void write_old(void)
{
    struct csl_msg all = {NULL, 0};
    struct csl_err err = {.code = CSL_OK};
    const char *path = path_of(1, CSL_DIGEST_BYTES);
    assert_int_equal(csl_file_read(&all, path, 1 << 20, &err), CSL_OK);
    assert_int_equal(unlink(path), 0);
    uint8_t *p = all.p + HEAD_BYTES;
    size_t n = all.n - HEAD_BYTES;
    csl_sha256_digest(p, n - CSL_SHA256_BYTES, p + n - CSL_SHA256_BYTES);
    assert_int_equal(csl_file_write_atomic(path_of(1, 8), CSL_SPAN(p, n), 0600, &err), CSL_OK);
    csl_msg_release(&all);
}

static void test_agent_audit__file_of_the_old_name__says_where_it_belongs(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    char old[CSL_PATH_MAX];
    (void)state;
    open_agent(1);
    make_audit(CSL_AUDIT_FAILED);
    write_old();
    assert_int_equal(reopen(1, &err), CSL_E_STATE);
    assert_int_equal(w.secagg.audit.state, CSL_AUDIT_NONE);
    assert_non_null(strstr(err.msg, path_of(1, 8)));
    assert_non_null(strstr(err.msg, strrchr(path_of(1, CSL_DIGEST_BYTES), '/') + 1));
    snprintf(old, sizeof(old), "%s", path_of(1, 8)); /* and is read there */
    move(old, path_of(1, CSL_DIGEST_BYTES));
    assert_int_equal(reopen(1, &err), CSL_OK);
    assert_int_equal(w.secagg.audit.state, CSL_AUDIT_FAILED);
    assert_int_equal(w.secagg.audit.said[CSL_AUDIT_M9].n, 3);
    assert_int_equal(gate(8, 1), CSL_E_STATE);
    close_agent();
    assert_int_equal(unlink(path_of(1, CSL_DIGEST_BYTES)), 0);
}

static void test_agent_audit__not_answered__one_model_refused_under_any_number(void **state)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_msg_task t = task_of(9, 0xaa);
    (void)state;
    open_agent(1);
    make_audit(CSL_AUDIT_UNANSWERED);
    assert_true(csl_agent_audit_refuses__(&w.agent, &t));
    for (uint64_t round = 9; round < 12; round++)
        assert_int_equal(gate(round, 0xaa), CSL_E_STATE);
    assert_int_equal(reopen(1, &err), CSL_OK); /* nor after a restart */
    assert_int_equal(gate(20, 0xaa), CSL_E_STATE);
    assert_int_equal(gate(7, 0xaa), CSL_E_STATE);
    t = task_of(21, 0xbb);
    assert_false(csl_agent_audit_refuses__(&w.agent, &t));
    assert_int_equal(gate(21, 0xbb), CSL_OK);
    assert_int_equal(gate(22, 0xaa), CSL_E_STATE);
    close_agent();
    assert_int_equal(unlink(path_of(1, CSL_DIGEST_BYTES)), 0);
}

static void test_agent_audit__one_bit_wrong_in_any_byte__refused(void **state)
{
    struct csl_msg all = {NULL, 0};
    struct csl_err err = {.code = CSL_OK};
    const char *path;
    (void)state;
    open_agent(1);
    make_audit(CSL_AUDIT_FAILED);
    path = path_of(1, CSL_DIGEST_BYTES);
    assert_int_equal(csl_file_read(&all, path, 1 << 20, &err), CSL_OK);
    for (size_t i = 0; i < all.n; i++) {
        all.p[i] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(csl_file_write_atomic(path, csl_msg_span(&all), 0600, &err), CSL_OK);
        all.p[i] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(reopen(1, &err), CSL_E_CORRUPT);
    }
    csl_msg_release(&all);
    close_agent();
    assert_int_equal(unlink(path), 0);
}

static int set_up(void **state)
{
    (void)state;
    csl_sign_keygen(&w.key);
    w.study = csl_alloc(sizeof(*w.study));
    w.roster = csl_alloc(sizeof(*w.roster));
    assert_non_null(w.study);
    assert_non_null(w.roster);
    w.study->secagg.is_on = true;
    w.study->secagg.audit_chunks = 2;
    w.roster->count = 1;
    w.roster->sites[0] = (struct csl_secagg_roster_site){.id = 1, .name = "one", .is_active = true};
    memcpy(w.roster->sites[0].key, w.key.public_key, sizeof(w.key.public_key));
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    csl_free(w.study);
    csl_free(w.roster);
    csl_sign_wipe(&w.key);
    return rmdir(folder);
}

int main(void)
{
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_SILENT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agent_audit__saved__comes_back_whole),
        cmocka_unit_test(test_agent_audit__named__by_the_whole_digest),
        cmocka_unit_test(test_agent_audit__of_another_study__refused),
        cmocka_unit_test(test_agent_audit__file_of_the_old_name__says_where_it_belongs),
        cmocka_unit_test(test_agent_audit__not_answered__one_model_refused_under_any_number),
        cmocka_unit_test(test_agent_audit__one_bit_wrong_in_any_byte__refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
