#include "protocol/wire/canonical.h"

#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DOCUMENT_MAX 8192

static struct csl_msg vector(const char *name)
{
    char path[128], text[4096];
    struct csl_msg file = {0};
    struct csl_err err = {0};
    snprintf(path, sizeof(path), "tests/vectors/wire/canonical_%s.hex", name);
    if (csl_file_read(&file, path, sizeof(text) - 1, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    size_t digits = 0;
    for (size_t i = 0; i < file.n; i++) {
        if (file.p[i] != '\n')
            text[digits++] = (char)file.p[i];
    }
    text[digits] = '\0';
    csl_msg_release(&file);
    struct csl_msg out = {csl_alloc(digits / 2), digits / 2};
    assert_non_null(out.p);
    assert_true(csl_unhex(text, out.p, out.n));
    return out;
}

static void fill(uint8_t *p, uint8_t first)
{
    for (int i = 0; i < CSL_DIGEST_BYTES; i++)
        p[i] = (uint8_t)(first + i);
}

static struct csl_canonical_update update_document(void)
{
    struct csl_canonical_update d = {.site_id = "site-a",
                                     .update = {.round = 17,
                                                .bytes_total = 160,
                                                .block_count = 2,
                                                .blocks = {{0, 303}, {5, UINT64_C(1) << 32}}}};
    fill(d.study_digest, 0);
    fill(d.update.digest, 200);
    return d;
}

static void check_written(struct csl_buf *b, const char *name)
{
    struct csl_msg expected = vector(name);
    assert_int_equal(csl_buf_status(b, NULL), CSL_OK);
    assert_int_equal(b->n, expected.n);
    assert_memory_equal(b->p, expected.p, expected.n);
    csl_msg_release(&expected);
    csl_buf_release(b);
}

static void test_canonical__writers__equal_the_vectors(void **state)
{
    (void)state;
    struct csl_buf b;
    csl_buf_init(&b, DOCUMENT_MAX);
    struct csl_canonical_hello hello = {
        .site_id = "site-a",
        .hello = {.protocol_version = 1, .software = "consilium 0.1.0 \xe2\x9c\x93"}};
    fill(hello.hello.study_digest, 0);
    csl_canonical_write_hello(&b, &hello);
    check_written(&b, "hello");
    struct csl_canonical_hello first = {.site_id = "s", .hello = {.protocol_version = 1}};
    csl_canonical_write_hello(&b, &first);
    check_written(&b, "hello_first");
    struct csl_canonical_task task = {.task = {.type = CSL_TASK_TRAIN,
                                               .round = 17,
                                               .seed = UINT64_C(0x0123456789abcdef),
                                               .model_bytes = 4 * 39 * 1000,
                                               .deadline_ms = 5000}};
    fill(task.study_digest, 0);
    fill(task.task.model_digest, 100);
    csl_canonical_write_task(&b, &task);
    check_written(&b, "task");
    struct csl_canonical_update update = update_document();
    update.update.train_loss = 0.5;
    csl_canonical_write_update(&b, &update);
    check_written(&b, "update");
    struct csl_canonical_study_ended ended = {
        .ended = {.released = true, .round = 30, .reason = "all rounds done"}};
    fill(ended.study_digest, 0);
    fill(ended.ended.model_digest, 100);
    csl_canonical_write_study_ended(&b, &ended);
    check_written(&b, "study_ended");
}

static void test_canonical__readers__give_the_values_of_the_vectors(void **state)
{
    (void)state;
    struct csl_msg m = vector("hello");
    struct csl_canonical_hello hello;
    assert_int_equal(csl_canonical_read_hello(&hello, csl_msg_span(&m), NULL), CSL_OK);
    assert_string_equal(hello.site_id, "site-a");
    assert_string_equal(hello.hello.software, "consilium 0.1.0 \xe2\x9c\x93");
    assert_int_equal(hello.hello.protocol_version, 1);
    assert_int_equal(hello.hello.study_digest[31], 31);
    csl_msg_release(&m);
    m = vector("task");
    struct csl_canonical_task task;
    assert_int_equal(csl_canonical_read_task(&task, csl_msg_span(&m), NULL), CSL_OK);
    assert_int_equal(task.task.type, CSL_TASK_TRAIN);
    assert_true(task.task.seed == UINT64_C(0x0123456789abcdef));
    assert_int_equal(task.task.model_bytes, 4 * 39 * 1000);
    assert_int_equal(task.task.model_digest[0], 100);
    csl_msg_release(&m);
    m = vector("update");
    struct csl_canonical_update update, expected = update_document();
    assert_int_equal(csl_canonical_read_update(&update, csl_msg_span(&m), NULL), CSL_OK);
    assert_string_equal(update.site_id, "site-a");
    assert_int_equal(update.update.block_count, 2);
    assert_int_equal(update.update.blocks[1].block, 5);
    assert_true(update.update.blocks[1].patients == UINT64_C(1) << 32);
    assert_memory_equal(update.update.digest, expected.update.digest, CSL_DIGEST_BYTES);
    csl_msg_release(&m);
    m = vector("study_ended");
    struct csl_canonical_study_ended ended;
    assert_int_equal(csl_canonical_read_study_ended(&ended, csl_msg_span(&m), NULL), CSL_OK);
    assert_true(ended.ended.released);
    assert_int_equal(ended.ended.round, 30);
    assert_string_equal(ended.ended.reason, "all rounds done");
    csl_msg_release(&m);
}

static enum csl_code read_any(const char *name, struct csl_span bytes)
{
    struct csl_canonical_hello hello;
    struct csl_canonical_task task;
    struct csl_canonical_update update;
    struct csl_canonical_study_ended ended;
    if (strncmp(name, "hello", 5) == 0)
        return csl_canonical_read_hello(&hello, bytes, NULL);
    if (strcmp(name, "task") == 0)
        return csl_canonical_read_task(&task, bytes, NULL);
    if (strcmp(name, "update") == 0)
        return csl_canonical_read_update(&update, bytes, NULL);
    return csl_canonical_read_study_ended(&ended, bytes, NULL);
}

static const char *const names[] = {"hello", "hello_first", "task", "update", "study_ended"};
#define NAMES (sizeof(names) / sizeof(names[0]))

static void test_canonical__cut_or_longer__is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        struct csl_msg m = vector(names[i]);
        for (size_t n = 0; n < m.n; n++)
            assert_int_equal(read_any(names[i], CSL_SPAN(m.p, n)), CSL_E_PROTO);
        uint8_t longer[DOCUMENT_MAX] = {0};
        memcpy(longer, m.p, m.n);
        assert_int_equal(read_any(names[i], CSL_SPAN(longer, m.n)), CSL_OK);
        assert_int_equal(read_any(names[i], CSL_SPAN(longer, m.n + 1)), CSL_E_PROTO);
        csl_msg_release(&m);
    }
}

static void test_canonical__another_kind__is_refused(void **state)
{
    (void)state;
    for (size_t i = 1; i < NAMES; i++) {
        struct csl_msg m = vector(names[i]);
        for (size_t k = 1; k < NAMES; k++)
            assert_int_equal(read_any(names[k], csl_msg_span(&m)), k == i ? CSL_OK : CSL_E_PROTO);
        csl_msg_release(&m);
    }
}

/* What a reader accepts, it would write: no two byte strings mean the same. */
static void test_canonical__every_bit_flip__is_refused_or_another_document(void **state)
{
    (void)state;
    struct csl_msg m = vector("update");
    uint32_t accepted = 0;
    for (size_t bit = 0; bit < 8 * m.n; bit++) {
        struct csl_canonical_update d;
        struct csl_buf b;
        m.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (csl_canonical_read_update(&d, csl_msg_span(&m), NULL) == CSL_OK) {
            csl_buf_init(&b, DOCUMENT_MAX);
            csl_canonical_write_update(&b, &d);
            assert_int_equal(b.n, m.n);
            assert_memory_equal(b.p, m.p, m.n);
            csl_buf_release(&b);
            accepted++;
        }
        m.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_true(accepted > 500);
    csl_msg_release(&m);
}

static void test_canonical__wrong_values__are_refused(void **state)
{
    (void)state;
    struct csl_buf b;
    csl_buf_init(&b, DOCUMENT_MAX);
    struct csl_canonical_update u = update_document(), out;
    u.update.blocks[1].block = 0; /* not ascending */
    csl_canonical_write_update(&b, &u);
    assert_int_equal(csl_canonical_read_update(&out, CSL_SPAN(b.p, b.n), NULL), CSL_E_PROTO);
    csl_buf_release(&b);
    u = update_document();
    u.update.blocks[1].block = CSL_BLOCKS_MAX;
    csl_canonical_write_update(&b, &u);
    assert_int_equal(csl_canonical_read_update(&out, CSL_SPAN(b.p, b.n), NULL), CSL_E_PROTO);
    csl_buf_release(&b);
    u = update_document();
    memcpy(u.site_id, "Site A", 7);
    csl_canonical_write_update(&b, &u);
    assert_int_equal(csl_canonical_read_update(&out, CSL_SPAN(b.p, b.n), NULL), CSL_E_PROTO);
    csl_buf_release(&b);
    struct csl_canonical_task t = {.task = {.type = CSL_TASK_EVALUATE}}, task;
    csl_canonical_write_task(&b, &t);
    assert_int_equal(csl_canonical_read_task(&task, CSL_SPAN(b.p, b.n), NULL), CSL_OK);
    b.p[strlen("CONSILIUM v1 task") + 1 + CSL_DIGEST_BYTES] = 3;
    assert_int_equal(csl_canonical_read_task(&task, CSL_SPAN(b.p, b.n), NULL), CSL_E_PROTO);
    csl_buf_release(&b);
    struct csl_canonical_study_ended e = {.ended = {.released = true}}, ended;
    csl_canonical_write_study_ended(&b, &e);
    b.p[strlen("CONSILIUM v1 study-ended") + 1 + CSL_DIGEST_BYTES] = 2;
    assert_int_equal(csl_canonical_read_study_ended(&ended, CSL_SPAN(b.p, b.n), NULL), CSL_E_PROTO);
    csl_buf_release(&b);
}

static void test_canonical__blocks__nest_and_must_be_read_whole(void **state)
{
    (void)state;
    struct csl_canonical_writer w;
    struct csl_canonical_reader r;
    struct csl_buf b;
    csl_buf_init(&b, 256);
    csl_canonical_begin(&w, &b, "x");
    csl_canonical_open(&w);
    csl_canonical_u8(&w, 1);
    csl_canonical_open(&w);
    csl_canonical_u32(&w, 2);
    csl_canonical_close(&w);
    csl_canonical_close(&w);
    csl_canonical_u64(&w, 3);
    csl_canonical_read_begin(&r, CSL_SPAN(b.p, b.n), "x");
    csl_canonical_read_open(&r);
    assert_int_equal(csl_canonical_read_u8(&r), 1);
    csl_canonical_read_open(&r);
    assert_int_equal(csl_canonical_read_u32(&r), 2);
    assert_false(csl_canonical_read_more(&r));
    csl_canonical_read_close(&r);
    csl_canonical_read_close(&r);
    assert_int_equal(csl_canonical_read_u64(&r), 3);
    assert_int_equal(csl_canonical_read_end(&r, NULL), CSL_OK);

    csl_canonical_read_begin(&r, CSL_SPAN(b.p, b.n), "x");
    csl_canonical_read_open(&r);
    assert_int_equal(csl_canonical_read_u8(&r), 1);
    csl_canonical_read_close(&r); /* the inner block was not read */
    assert_int_equal(csl_canonical_read_end(&r, NULL), CSL_E_PROTO);

    csl_canonical_read_begin(&r, CSL_SPAN(b.p, b.n), "x");
    csl_canonical_read_open(&r);
    assert_int_equal(csl_canonical_read_u8(&r), 1);
    csl_canonical_read_open(&r);
    assert_true(csl_canonical_read_u64(&r) == 0); /* would reach out of its block */
    assert_non_null(r.fault);
    csl_buf_release(&b);
}

static void test_canonical__block_bounds__cannot_be_crossed(void **state)
{
    (void)state;
    struct csl_canonical_writer w;
    struct csl_canonical_reader r;
    struct csl_buf b;
    csl_buf_init(&b, 256);
    csl_canonical_begin(&w, &b, "x");
    csl_canonical_open(&w);
    csl_canonical_u8(&w, 1);
    csl_canonical_u8(&w, 2);
    csl_canonical_close(&w);
    /* The whole document is read, but not as it was written. */
    csl_canonical_read_begin(&r, CSL_SPAN(b.p, b.n), "x");
    csl_canonical_read_open(&r);
    assert_int_equal(csl_canonical_read_u8(&r), 1);
    csl_canonical_read_close(&r);
    assert_int_equal(csl_canonical_read_u8(&r), 0);
    assert_int_equal(csl_canonical_read_end(&r, NULL), CSL_E_PROTO);
    csl_buf_release(&b);
    /* An inner block that ends after its outer one, though within the document. */
    csl_canonical_begin(&w, &b, "x");
    csl_canonical_open(&w);
    csl_canonical_u32(&w, 8); /* read as the length of an inner block */
    csl_canonical_u32(&w, 0);
    csl_canonical_close(&w);
    csl_canonical_u64(&w, 0);
    csl_canonical_read_begin(&r, CSL_SPAN(b.p, b.n), "x");
    csl_canonical_read_open(&r);
    csl_canonical_read_open(&r);
    assert_non_null(r.fault);
    csl_buf_release(&b);
}

static void test_canonical__buffer_too_small__says_limit(void **state)
{
    (void)state;
    struct csl_canonical_update u = update_document(); /* 138 bytes */
    for (size_t max = 0; max < 138; max += 7) {
        struct csl_buf b;
        csl_buf_init(&b, max);
        csl_canonical_write_update(&b, &u);
        assert_int_equal(csl_buf_status(&b, NULL), CSL_E_LIMIT);
        csl_buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical__writers__equal_the_vectors),
        cmocka_unit_test(test_canonical__readers__give_the_values_of_the_vectors),
        cmocka_unit_test(test_canonical__cut_or_longer__is_refused),
        cmocka_unit_test(test_canonical__another_kind__is_refused),
        cmocka_unit_test(test_canonical__every_bit_flip__is_refused_or_another_document),
        cmocka_unit_test(test_canonical__wrong_values__are_refused),
        cmocka_unit_test(test_canonical__blocks__nest_and_must_be_read_whole),
        cmocka_unit_test(test_canonical__block_bounds__cannot_be_crossed),
        cmocka_unit_test(test_canonical__buffer_too_small__says_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
