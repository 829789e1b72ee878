#include "site-agent/data/batch_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

#include "base/banned.h"

struct csl_reader {
    struct csl_thread thread;
    struct csl_mutex mu;
    struct csl_cond wake; /* the thread: something to do */
    struct csl_cond done; /* callers: a job ended, a batch was read, a source is idle */
    /* guarded by mu */
    bool is_ending;
    void (*job)(void *arg); /* NULL: none */
    void *job_arg;
    uint64_t jobs_asked, jobs_done;
    struct csl_batch_source *sources, *last; /* last: who was served last */
};

static bool can_fill(const struct csl_batch_source *s)
{
    return s->streams && s->is_running && !s->is_cancelled && s->failure == CSL_OK &&
           s->filled < s->batches && s->filled < s->released + s->config.ring;
}

/* The next source after the one served last that has room in its ring; NULL: none. */
static struct csl_batch_source *choose(const struct csl_reader *r)
{
    struct csl_batch_source *first = NULL;
    bool is_after = false;
    for (struct csl_batch_source *s = r->sources; s != NULL; s = s->next) {
        if (can_fill(s) && is_after)
            return s;
        if (can_fill(s) && first == NULL)
            first = s;
        is_after = is_after || s == r->last;
    }
    return first;
}

/* Called and left with the mutex held; nothing holds it inside HDF5. */
static void fill(struct csl_reader *r, struct csl_batch_source *s)
{
    struct csl_err err = {.code = CSL_OK};
    uint64_t batch = s->filled;
    r->last = s;
    s->is_busy = true;
    csl_mutex_unlock(&r->mu);
    enum csl_code code = csl_batch_fill__(s, batch, &err);
    csl_mutex_lock(&r->mu);
    s->is_busy = false;
    if (code == CSL_OK) {
        s->filled++;
    } else {
        s->failure = code;
        s->failure_err = err;
    }
    csl_cond_broadcast(&r->done);
}

static void run(void *arg)
{
    struct csl_reader *r = arg;
    csl_mutex_lock(&r->mu);
    for (;;) {
        struct csl_batch_source *s = choose(r);
        if (r->job != NULL) {
            csl_mutex_unlock(&r->mu);
            r->job(r->job_arg);
            csl_mutex_lock(&r->mu);
            r->job = NULL;
            r->jobs_done++;
            csl_cond_broadcast(&r->done);
        } else if (r->is_ending) {
            break;
        } else if (s != NULL) {
            fill(r, s);
        } else {
            csl_cond_wait(&r->wake, &r->mu);
        }
    }
    csl_mutex_unlock(&r->mu);
}

enum csl_code csl_reader_new(struct csl_reader **out, struct csl_err *err)
{
    struct csl_reader *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for a reader");
    csl_mutex_init(&r->mu);
    csl_cond_init(&r->wake);
    csl_cond_init(&r->done);
    enum csl_code code = csl_thread_start(&r->thread, "reader", run, r, err);
    if (code == CSL_OK) {
        *out = r;
        return CSL_OK;
    }
    csl_reader_free(r);
    return code;
}

void csl_reader_free(struct csl_reader *r)
{
    if (r == NULL)
        return;
    csl_mutex_lock(&r->mu);
    CSL_ASSERT(r->sources == NULL);
    r->is_ending = true;
    csl_cond_signal(&r->wake);
    csl_mutex_unlock(&r->mu);
    csl_thread_join(&r->thread);
    csl_cond_release(&r->done);
    csl_cond_release(&r->wake);
    csl_mutex_release(&r->mu);
    csl_free(r);
}

void csl_reader_run__(struct csl_reader *r, void (*f)(void *arg), void *arg)
{
    csl_mutex_lock(&r->mu);
    uint64_t mine = r->jobs_asked++;
    while (r->jobs_done < mine || r->job != NULL) /* one job at a time, in the order asked */
        csl_cond_wait(&r->done, &r->mu);
    r->job_arg = arg;
    r->job = f;
    csl_cond_signal(&r->wake);
    while (r->jobs_done <= mine)
        csl_cond_wait(&r->done, &r->mu);
    csl_mutex_unlock(&r->mu);
}

void csl_reader_add__(struct csl_reader *r, struct csl_batch_source *s)
{
    csl_mutex_lock(&r->mu);
    s->next = r->sources;
    r->sources = s;
    csl_mutex_unlock(&r->mu);
}

/* With the mutex held. */
static void stop(struct csl_reader *r, struct csl_batch_source *s)
{
    s->is_running = false;
    while (s->is_busy)
        csl_cond_wait(&r->done, &r->mu);
}

void csl_reader_remove__(struct csl_reader *r, struct csl_batch_source *s)
{
    csl_mutex_lock(&r->mu);
    stop(r, s);
    struct csl_batch_source **at = &r->sources;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (r->last == s)
        r->last = NULL;
    csl_mutex_unlock(&r->mu);
}

void csl_reader_stop__(struct csl_reader *r, struct csl_batch_source *s)
{
    csl_mutex_lock(&r->mu);
    stop(r, s);
    csl_mutex_unlock(&r->mu);
}

void csl_reader_start__(struct csl_reader *r, struct csl_batch_source *s)
{
    csl_mutex_lock(&r->mu);
    s->filled = s->taken = s->released = 0;
    s->holds = s->is_cancelled = false;
    s->failure = CSL_OK;
    s->is_running = true;
    csl_cond_signal(&r->wake);
    csl_mutex_unlock(&r->mu);
}

void csl_reader_cancel__(struct csl_reader *r, struct csl_batch_source *s)
{
    csl_mutex_lock(&r->mu);
    s->is_cancelled = true;
    csl_cond_broadcast(&r->done);
    csl_mutex_unlock(&r->mu);
}

enum csl_code csl_reader_next__(struct csl_reader *r, struct csl_batch_source *s, uint64_t *batch,
                                struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    csl_mutex_lock(&r->mu);
    if (s->holds) { /* the buffer of the batch before is free now */
        s->released++;
        s->holds = false;
        csl_cond_signal(&r->wake);
    }
    while (!s->is_cancelled && s->taken == s->filled && s->filled < s->batches &&
           s->failure == CSL_OK && s->streams)
        csl_cond_wait(&r->done, &r->mu);
    if (s->is_cancelled) {
        code = CSL_FAIL(err, CSL_E_CANCELLED, "%s: reading was cancelled", s->path);
    } else if (s->taken < s->filled || (!s->streams && s->taken < s->batches)) {
        *batch = s->taken++;
        s->holds = true;
    } else if (s->failure != CSL_OK) {
        code = s->failure;
        if (err != NULL)
            *err = s->failure_err;
    } else {
        code = CSL_E_END;
    }
    csl_mutex_unlock(&r->mu);
    return code;
}
