/* madvise and its flags are not POSIX. */
#define _DEFAULT_SOURCE
#include "privacy/crypto/secret.h"

#include "base/check.h"
#include "base/mem.h"

#include <errno.h>
#include <sodium.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* The first bytes of the pages: not zero here, zero in a child. */
static const uint8_t marker[16] = "consilium secret";
enum { ALIGNMENT = alignof(max_align_t) };
_Static_assert(sizeof(marker) % ALIGNMENT == 0, "what follows the marker is aligned");

struct csl_secret {
    uint8_t *pages; /* whole pages, so that libsodium's own canary lies in another one */
    size_t size, used;
    bool is_locked;
};

static void clear(struct csl_secret *s)
{
    sodium_memzero(s->pages, s->size);
    memcpy(s->pages, marker, sizeof(marker));
    s->used = sizeof(marker);
}

static enum csl_code protect(struct csl_secret *s, enum csl_secret_policy policy,
                             struct csl_err *err)
{
    if (madvise(s->pages, s->size, MADV_DONTDUMP) != 0)
        return CSL_FAIL_SYS(err, CSL_E_UNSUPPORTED, "secrets cannot be kept out of core files");
    if (madvise(s->pages, s->size, MADV_WIPEONFORK) != 0)
        return CSL_FAIL_SYS(err, CSL_E_UNSUPPORTED, "secrets cannot be kept from child processes");
    /* sodium_malloc has tried this too, but does not say whether it worked. */
    s->is_locked = sodium_mlock(s->pages, s->size) == 0;
    if (!s->is_locked && policy == CSL_SECRET_MUST_LOCK)
        return CSL_FAIL_SYS(err, CSL_E_LIMIT,
                            "%zu bytes for secrets cannot be locked in memory; a higher limit "
                            "(LimitMEMLOCK, ulimit -l) would be right",
                            s->size);
    return CSL_OK;
}

enum csl_code csl_secret_new(struct csl_secret **out, size_t bytes, enum csl_secret_policy policy,
                             struct csl_err *err)
{
    if (bytes == 0)
        return CSL_FAIL(err, CSL_E_INVAL, "an arena of 0 bytes");
    if (bytes > CSL_SECRET_BYTES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "an arena of %zu bytes, at most %d", bytes,
                        CSL_SECRET_BYTES_MAX);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct csl_secret *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "an arena for secrets");
    s->size = (bytes + sizeof(marker) + page - 1) / page * page;
    s->pages = sodium_malloc(s->size);
    if (s->pages == NULL) {
        csl_free(s);
        return CSL_FAIL(err, CSL_E_NOMEM, "%zu bytes for secrets", bytes);
    }
    CSL_ASSERT((uintptr_t)s->pages % page == 0);
    clear(s);
    enum csl_code code = protect(s, policy, err);
    if (code == CSL_OK)
        *out = s;
    else
        csl_secret_free(s);
    return code;
}

void csl_secret_free(struct csl_secret *s)
{
    if (s == NULL)
        return;
    sodium_memzero(s->pages, s->size);
    sodium_free(s->pages);
    csl_free(s);
}

void *csl_secret_alloc(struct csl_secret *s, size_t bytes)
{
    size_t left = s->size - s->used;
    if (bytes > left)
        return NULL;
    size_t take = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *p = s->pages + s->used;
    s->used += take < left ? take : left;
    return p;
}

void csl_secret_wipe(struct csl_secret *s)
{
    clear(s);
}

bool csl_secret_is_locked(const struct csl_secret *s)
{
    return s->is_locked;
}

bool csl_secret_is_intact(const struct csl_secret *s)
{
    return memcmp(s->pages, marker, sizeof(marker)) == 0;
}

enum csl_code csl_secret_harden_process(struct csl_err *err)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "core files cannot be switched off");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "the process cannot be made undumpable");
    return CSL_OK;
}

void csl_wipe(void *p, size_t bytes)
{
    sodium_memzero(p, bytes);
}

bool csl_secret_equal(const void *a, const void *b, size_t bytes)
{
    return sodium_memcmp(a, b, bytes) == 0;
}
