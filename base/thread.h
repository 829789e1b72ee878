/* base/thread.h - pthreads with our error habits, and the bounded mailbox through which every
 * other thread talks to a core thread. */
#ifndef CSL_BASE_THREAD_H
#define CSL_BASE_THREAD_H
#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct csl_mutex {
    pthread_mutex_t m;
};
struct csl_cond { /* waits on CLOCK_MONOTONIC */
    pthread_cond_t c;
};
void csl_mutex_init(struct csl_mutex *m);
void csl_mutex_release(struct csl_mutex *m);
void csl_mutex_lock(struct csl_mutex *m);
void csl_mutex_unlock(struct csl_mutex *m);
void csl_cond_init(struct csl_cond *c);
void csl_cond_release(struct csl_cond *c);
void csl_cond_signal(struct csl_cond *c);
void csl_cond_broadcast(struct csl_cond *c);
void csl_cond_wait(struct csl_cond *c, struct csl_mutex *m);
/* false when deadline_ns (csl_clock_monotonic_ns) passed. */
bool csl_cond_wait_until(struct csl_cond *c, struct csl_mutex *m, uint64_t deadline_ns);

struct csl_thread {
    pthread_t t;
    bool is_running;
};
/* `name` shows in debuggers (15 bytes). Signals are blocked in the new thread. */
enum csl_code csl_thread_start(struct csl_thread *t, const char *name, void (*run)(void *arg),
                               void *arg, struct csl_err *err) CSL_MUST_CHECK;
void csl_thread_join(struct csl_thread *t); /* no-op when not running */

/* A bounded FIFO of pointers. push never blocks: CSL_E_AGAIN when full, CSL_E_STATE when closed. */
struct csl_mailbox;
enum csl_code csl_mailbox_new(struct csl_mailbox **out, size_t capacity,
                              struct csl_err *err) CSL_MUST_CHECK;
void csl_mailbox_free(
    struct csl_mailbox *m); /* items left inside are the caller's to drain first */
enum csl_code csl_mailbox_push(struct csl_mailbox *m, void *item) CSL_MUST_CHECK;
/* Waits until deadline_ns (0: do not wait, UINT64_MAX: for ever). NULL: nothing came, or closed and
 * empty. */
void *csl_mailbox_pop(struct csl_mailbox *m, uint64_t deadline_ns);
void csl_mailbox_close(struct csl_mailbox *m); /* wakes every waiter; pops drain what is left */
size_t csl_mailbox_count(struct csl_mailbox *m);

#endif
