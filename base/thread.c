#include "base/thread.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/banned.h"

/* pthread functions fail on these objects only when we misuse them: hence assertions. */
void csl_mutex_init(struct csl_mutex *m)
{
    CSL_ASSERT(pthread_mutex_init(&m->m, NULL) == 0);
}

void csl_mutex_release(struct csl_mutex *m)
{
    CSL_ASSERT(pthread_mutex_destroy(&m->m) == 0);
}

void csl_mutex_lock(struct csl_mutex *m)
{
    CSL_ASSERT(pthread_mutex_lock(&m->m) == 0);
}

void csl_mutex_unlock(struct csl_mutex *m)
{
    CSL_ASSERT(pthread_mutex_unlock(&m->m) == 0);
}

void csl_cond_init(struct csl_cond *c)
{
    pthread_condattr_t a;
    CSL_ASSERT(pthread_condattr_init(&a) == 0);
    CSL_ASSERT(pthread_condattr_setclock(&a, CLOCK_MONOTONIC) == 0);
    CSL_ASSERT(pthread_cond_init(&c->c, &a) == 0);
    CSL_ASSERT(pthread_condattr_destroy(&a) == 0);
}

void csl_cond_release(struct csl_cond *c)
{
    CSL_ASSERT(pthread_cond_destroy(&c->c) == 0);
}

void csl_cond_signal(struct csl_cond *c)
{
    CSL_ASSERT(pthread_cond_signal(&c->c) == 0);
}

void csl_cond_broadcast(struct csl_cond *c)
{
    CSL_ASSERT(pthread_cond_broadcast(&c->c) == 0);
}

void csl_cond_wait(struct csl_cond *c, struct csl_mutex *m)
{
    CSL_ASSERT(pthread_cond_wait(&c->c, &m->m) == 0);
}

bool csl_cond_wait_until(struct csl_cond *c, struct csl_mutex *m, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX) {
        csl_cond_wait(c, m);
        return true;
    }
    struct timespec t = {(time_t)(deadline_ns / CSL_NS_PER_S), (long)(deadline_ns % CSL_NS_PER_S)};
    int rc = pthread_cond_timedwait(&c->c, &m->m, &t);
    CSL_ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

struct start {
    void (*run)(void *arg);
    void *arg;
    char name[16];
};

static void *run_thread(void *p)
{
    struct start s = *(struct start *)p;
    csl_free(p);
    (void)prctl(PR_SET_NAME, s.name, 0, 0, 0); /* for debuggers only: not worth failing */
    s.run(s.arg);
    return NULL;
}

/* Everything but what the faulting thread itself must receive. */
static void all_but_faults(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    CSL_ASSERT(sigfillset(set) == 0);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        CSL_ASSERT(sigdelset(set, faults[i]) == 0);
}

enum csl_code csl_thread_start(struct csl_thread *t, const char *name, void (*run)(void *arg),
                               void *arg, struct csl_err *err)
{
    struct start *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to start the thread %s", name);
    s->run = run;
    s->arg = arg;
    size_t n = strlen(name);
    memcpy(s->name, name, n < sizeof(s->name) ? n : sizeof(s->name) - 1);

    sigset_t blocked, before;
    all_but_faults(&blocked);
    CSL_ASSERT(pthread_sigmask(SIG_SETMASK, &blocked, &before) == 0);
    pthread_t id;
    int rc = pthread_create(&id, NULL, run_thread, s);
    CSL_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    if (rc != 0) {
        csl_free(s);
        errno = rc;
        return CSL_FAIL_SYS(err, CSL_E_UNAVAIL, "cannot start the thread %s", name);
    }
    t->t = id;
    t->is_running = true;
    return CSL_OK;
}

void csl_thread_join(struct csl_thread *t)
{
    if (!t->is_running)
        return;
    CSL_ASSERT(pthread_join(t->t, NULL) == 0);
    t->is_running = false;
}

struct csl_mailbox {
    struct csl_mutex mu;
    struct csl_cond not_empty; /* signalled once per push, broadcast on close */
    void **items;              /* a ring of `capacity`; guarded by mu, as all below */
    size_t capacity, head, count;
    bool is_closed;
};

enum csl_code csl_mailbox_new(struct csl_mailbox **out, size_t capacity, struct csl_err *err)
{
    CSL_ASSERT(capacity > 0);
    struct csl_mailbox *m = csl_alloc(sizeof(*m));
    void **items = csl_alloc_array(capacity, sizeof(*items));
    if (m == NULL || items == NULL) {
        csl_free(items);
        csl_free(m);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a mailbox of %zu items", capacity);
    }
    csl_mutex_init(&m->mu);
    csl_cond_init(&m->not_empty);
    m->items = items;
    m->capacity = capacity;
    *out = m;
    return CSL_OK;
}

void csl_mailbox_free(struct csl_mailbox *m)
{
    if (m == NULL)
        return;
    csl_cond_release(&m->not_empty);
    csl_mutex_release(&m->mu);
    csl_free(m->items);
    csl_free(m);
}

enum csl_code csl_mailbox_push(struct csl_mailbox *m, void *item)
{
    CSL_ASSERT(item != NULL); /* NULL is pop's answer for "nothing came" */
    enum csl_code code = CSL_OK;
    csl_mutex_lock(&m->mu);
    if (m->is_closed) {
        code = CSL_E_STATE;
    } else if (m->count == m->capacity) {
        code = CSL_E_AGAIN;
    } else {
        m->items[(m->head + m->count) % m->capacity] = item;
        m->count++;
        csl_cond_signal(&m->not_empty);
    }
    csl_mutex_unlock(&m->mu);
    return code;
}

void *csl_mailbox_pop(struct csl_mailbox *m, uint64_t deadline_ns)
{
    void *item = NULL;
    csl_mutex_lock(&m->mu);
    while (m->count == 0 && !m->is_closed && deadline_ns != 0)
        if (!csl_cond_wait_until(&m->not_empty, &m->mu, deadline_ns))
            break;
    if (m->count > 0) { /* also when the deadline and a push came together */
        item = m->items[m->head];
        m->head = (m->head + 1) % m->capacity;
        m->count--;
    }
    csl_mutex_unlock(&m->mu);
    return item;
}

void csl_mailbox_close(struct csl_mailbox *m)
{
    csl_mutex_lock(&m->mu);
    m->is_closed = true;
    csl_cond_broadcast(&m->not_empty);
    csl_mutex_unlock(&m->mu);
}

size_t csl_mailbox_count(struct csl_mailbox *m)
{
    csl_mutex_lock(&m->mu);
    size_t count = m->count;
    csl_mutex_unlock(&m->mu);
    return count;
}
