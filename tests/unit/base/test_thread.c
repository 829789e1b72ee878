/* Threads and the mailbox. Nothing here waits for time to pass but one deadline of 5 ms. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "tests/unit/base/fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#define PRODUCERS 4
#define ITEMS     5000

struct producer {
    struct csl_mailbox *box;
    uint32_t items[ITEMS]; /* (producer << 16) + sequence + 1 */
};

/* Pushes every item in order, spinning while the box is full. */
static void produce(void *arg)
{
    struct producer *p = arg;
    for (size_t i = 0; i < ITEMS; i++)
        while (csl_mailbox_push(p->box, &p->items[i]) == CSL_E_AGAIN)
            csl_clock_sleep_ms(0);
}

static void test_mailbox__four_producers__each_in_order_none_lost(void **state)
{
    (void)state;
    static struct producer producers[PRODUCERS];
    struct csl_thread threads[PRODUCERS] = {{.is_running = false}};
    struct csl_mailbox *box;
    uint32_t next[PRODUCERS] = {0};
    assert_int_equal(csl_mailbox_new(&box, 64, NULL), CSL_OK);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i].box = box;
        for (uint32_t k = 0; k < ITEMS; k++)
            producers[i].items[k] = (i << 16) + k;
        assert_int_equal(csl_thread_start(&threads[i], "producer", produce, &producers[i], NULL),
                         CSL_OK);
    }
    for (uint32_t i = 0; i < PRODUCERS * ITEMS; i++) {
        const uint32_t *item = csl_mailbox_pop(box, UINT64_MAX);
        assert_non_null(item);
        assert_int_equal(*item & 0xffff, next[*item >> 16]++);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        csl_thread_join(&threads[i]);
    assert_int_equal(csl_mailbox_count(box), 0);
    assert_null(csl_mailbox_pop(box, 0));
    csl_mailbox_free(box);
}

static void test_mailbox__full__says_again_and_keeps_order(void **state)
{
    (void)state;
    struct csl_mailbox *box;
    int items[4];
    assert_int_equal(csl_mailbox_new(&box, 3, NULL), CSL_OK);
    for (int turn = 0; turn < 3; turn++) { /* the ring wraps */
        for (int i = 0; i < 3; i++)
            assert_int_equal(csl_mailbox_push(box, &items[i]), CSL_OK);
        assert_int_equal(csl_mailbox_push(box, &items[3]), CSL_E_AGAIN);
        assert_ptr_equal(csl_mailbox_pop(box, 0), &items[0]);
        assert_int_equal(csl_mailbox_push(box, &items[3]), CSL_OK);
        for (int i = 1; i < 4; i++)
            assert_ptr_equal(csl_mailbox_pop(box, 0), &items[i]);
    }
    csl_mailbox_free(box);
    csl_mailbox_free(NULL);
}

static void test_mailbox__closed__refuses_but_drains(void **state)
{
    (void)state;
    struct csl_mailbox *box;
    int item;
    assert_int_equal(csl_mailbox_new(&box, 2, NULL), CSL_OK);
    assert_int_equal(csl_mailbox_push(box, &item), CSL_OK);
    csl_mailbox_close(box);
    assert_int_equal(csl_mailbox_push(box, &item), CSL_E_STATE);
    assert_ptr_equal(csl_mailbox_pop(box, UINT64_MAX), &item);
    assert_null(csl_mailbox_pop(box, UINT64_MAX)); /* would hang if close were not seen */
    csl_mailbox_free(box);
}

static void test_mailbox__deadline_passes__is_null_not_earlier(void **state)
{
    (void)state;
    struct csl_mailbox *box;
    assert_int_equal(csl_mailbox_new(&box, 2, NULL), CSL_OK);
    uint64_t deadline = csl_clock_monotonic_ns() + 5 * CSL_NS_PER_MS;
    assert_null(csl_mailbox_pop(box, deadline));
    assert_true(csl_clock_monotonic_ns() >= deadline);
    assert_null(csl_mailbox_pop(box, 1)); /* long over */
    csl_mailbox_free(box);
}

struct waiter {
    struct csl_mailbox *box;
    void *got;
};

static void wait_for_ever(void *arg)
{
    struct waiter *w = arg;
    w->got = csl_mailbox_pop(w->box, UINT64_MAX);
}

static void test_mailbox__closed_while_several_wait__wakes_all(void **state)
{
    (void)state;
    struct csl_thread threads[3] = {{.is_running = false}};
    struct waiter waiters[3];
    struct csl_mailbox *box;
    assert_int_equal(csl_mailbox_new(&box, 2, NULL), CSL_OK);
    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){box, &waiters[i]};
        assert_int_equal(csl_thread_start(&threads[i], "w", wait_for_ever, &waiters[i], NULL),
                         CSL_OK);
    }
    csl_mailbox_close(box);
    for (int i = 0; i < 3; i++) {
        csl_thread_join(&threads[i]);
        assert_null(waiters[i].got);
    }
    csl_mailbox_free(box);
}

struct look {
    char name[16];
    bool is_term_blocked, is_fault_blocked;
};

static void look_around(void *arg)
{
    struct look *l = arg;
    sigset_t set;
    prctl(PR_GET_NAME, l->name, 0, 0, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    l->is_term_blocked = sigismember(&set, SIGTERM) == 1;
    l->is_fault_blocked = sigismember(&set, SIGSEGV) == 1;
}

static void test_thread__started__has_name_and_leaves_signals_to_main(void **state)
{
    (void)state;
    struct csl_thread t = {.is_running = false};
    struct look l = {.name = ""};
    sigset_t set;
    assert_int_equal(csl_thread_start(&t, "a-name-of-more-than-15", look_around, &l, NULL), CSL_OK);
    csl_thread_join(&t);
    csl_thread_join(&t);
    assert_string_equal(l.name, "a-name-of-more-");
    assert_true(l.is_term_blocked);
    assert_false(l.is_fault_blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    assert_int_equal(sigismember(&set, SIGTERM), 0);
}

static void test_thread__no_memory__is_an_error(void **state)
{
    (void)state;
    struct csl_thread t = {.is_running = false};
    struct csl_mailbox *box = NULL;
    struct csl_err err;
    csl_mem_fail_after(1);
    assert_int_equal(csl_thread_start(&t, "x", look_around, NULL, &err), CSL_E_NOMEM);
    assert_false(t.is_running);
    for (uint64_t n = 1; n <= 2; n++) {
        csl_mem_fail_after(n);
        assert_int_equal(csl_mailbox_new(&box, 8, &err), CSL_E_NOMEM);
        assert_null(box);
    }
    csl_mem_fail_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mailbox__four_producers__each_in_order_none_lost),
        cmocka_unit_test(test_mailbox__full__says_again_and_keeps_order),
        cmocka_unit_test(test_mailbox__closed__refuses_but_drains),
        cmocka_unit_test(test_mailbox__deadline_passes__is_null_not_earlier),
        cmocka_unit_test(test_mailbox__closed_while_several_wait__wakes_all),
        cmocka_unit_test(test_thread__started__has_name_and_leaves_signals_to_main),
        cmocka_unit_test(test_thread__no_memory__is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
