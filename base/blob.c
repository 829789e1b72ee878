#include "base/blob.h"

#include "base/check.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUCKETS 512 /* of each site's memory in a simulation, too */

struct memory_blob {
    struct memory_blob *next;
    char *name;
    uint8_t *p;
    size_t n, capacity;
};
struct csl_blobs {
    char *dir;                    /* NULL: memory */
    struct memory_blob **buckets; /* [BUCKETS], memory only */
};

static size_t bucket_of(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    return h % BUCKETS;
}

enum csl_code csl_blobs_open_dir(struct csl_blobs **out, const char *path, struct csl_err *err)
{
    enum csl_code code = csl_dir_make(path, err);
    if (code != CSL_OK)
        return code;
    struct csl_blobs *b = csl_alloc(sizeof(*b));
    if (b == NULL || (b->dir = csl_strdup(path)) == NULL) {
        csl_free(b);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to open %s", path);
    }
    *out = b;
    return CSL_OK;
}

enum csl_code csl_blobs_new_memory(struct csl_blobs **out, struct csl_err *err)
{
    struct csl_blobs *b = csl_alloc(sizeof(*b));
    if (b == NULL || (b->buckets = csl_alloc_array(BUCKETS, sizeof(*b->buckets))) == NULL) {
        csl_free(b);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for blobs");
    }
    *out = b;
    return CSL_OK;
}

static void memory_blob_free(struct memory_blob *m)
{
    csl_free(m->name);
    csl_free(m->p);
    csl_free(m);
}

void csl_blobs_free(struct csl_blobs *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; b->buckets != NULL && i < BUCKETS; i++) {
        while (b->buckets[i] != NULL) {
            struct memory_blob *next = b->buckets[i]->next;
            memory_blob_free(b->buckets[i]);
            b->buckets[i] = next;
        }
    }
    csl_free(b->buckets);
    csl_free(b->dir);
    csl_free(b);
}

static struct memory_blob *find(struct csl_blobs *b, const char *name)
{
    struct memory_blob *m = b->buckets[bucket_of(name)];
    while (m != NULL && strcmp(m->name, name) != 0)
        m = m->next;
    return m;
}

static enum csl_code path_of(const struct csl_blobs *b, const char *name, char path[CSL_PATH_MAX],
                             struct csl_err *err)
{
    CSL_ASSERT(csl_id_valid(name)); /* names are made by us, never by a peer */
    return csl_path_join(path, CSL_PATH_MAX, b->dir, name, err);
}

uint64_t csl_blob_size(struct csl_blobs *b, const char *name)
{
    if (b->dir == NULL) {
        const struct memory_blob *m = find(b, name);
        return m == NULL ? 0 : m->n;
    }
    char path[CSL_PATH_MAX];
    struct stat st;
    if (path_of(b, name, path, NULL) != CSL_OK || stat(path, &st) != 0)
        return 0;
    return (uint64_t)st.st_size;
}

static enum csl_code memory_write(struct csl_blobs *b, const char *name, uint64_t offset,
                                  struct csl_span s, struct csl_err *err)
{
    struct memory_blob *m = find(b, name);
    if (m == NULL) {
        m = csl_alloc(sizeof(*m));
        if (m == NULL || (m->name = csl_strdup(name)) == NULL) {
            csl_free(m);
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for blob %s", name);
        }
        size_t i = bucket_of(name);
        m->next = b->buckets[i];
        b->buckets[i] = m;
    }
    uint64_t end;
    if (offset > m->n || !csl_add_u64(offset, s.n, &end))
        return CSL_FAIL(err, CSL_E_INVAL, "blob %s has %zu bytes; cannot write at %llu", name, m->n,
                        (unsigned long long)offset);
    if (end > m->capacity) {
        size_t capacity = m->capacity * 2 > end ? m->capacity * 2 : (size_t)end;
        uint8_t *p = csl_realloc_array(m->p, capacity, 1);
        if (p == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for blob %s", name);
        m->p = p;
        m->capacity = capacity;
    }
    if (s.n > 0)
        memcpy(m->p + offset, s.p, s.n);
    if (end > m->n)
        m->n = (size_t)end;
    return CSL_OK;
}

/* All n bytes or an error; `is_write` says which way. */
static enum csl_code transfer(int fd, uint8_t *p, size_t n, uint64_t offset, bool is_write,
                              const char *path, struct csl_err *err)
{
    while (n > 0) {
        ssize_t got = is_write ? pwrite(fd, p, n, (off_t)offset) : pread(fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
        if (got == 0)
            return CSL_FAIL(err, CSL_E_CORRUPT, "%s ends %zu bytes early", path, n);
        p += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return CSL_OK;
}

enum csl_code csl_blob_write(struct csl_blobs *b, const char *name, uint64_t offset,
                             struct csl_span s, struct csl_err *err)
{
    if (b->dir == NULL)
        return memory_write(b, name, offset, s, err);
    char path[CSL_PATH_MAX];
    enum csl_code code = path_of(b, name, path, err);
    if (code != CSL_OK)
        return code;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    struct stat st;
    if (fstat(fd, &st) != 0)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    else if (offset > (uint64_t)st.st_size) /* would leave a hole of zeros that nobody wrote */
        code = CSL_FAIL(err, CSL_E_INVAL, "blob %s has %lld bytes; cannot write at %llu", name,
                        (long long)st.st_size, (unsigned long long)offset);
    /* pwrite does not change the bytes; the cast only serves the shared helper. */
    if (code == CSL_OK)
        code = transfer(fd, (uint8_t *)(uintptr_t)s.p, s.n, offset, true, path, err);
    if (close(fd) != 0 && code == CSL_OK)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    return code;
}

enum csl_code csl_blob_read(struct csl_blobs *b, const char *name, uint64_t offset, void *out,
                            size_t n, struct csl_err *err)
{
    if (b->dir == NULL) {
        const struct memory_blob *m = find(b, name);
        if (m == NULL || offset > m->n || n > m->n - offset)
            return CSL_FAIL(err, CSL_E_CORRUPT, "blob %s is shorter than %llu bytes", name,
                            (unsigned long long)offset + n);
        if (n > 0)
            memcpy(out, m->p + offset, n);
        return CSL_OK;
    }
    char path[CSL_PATH_MAX];
    enum csl_code code = path_of(b, name, path, err);
    if (code != CSL_OK)
        return code;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? CSL_FAIL(err, CSL_E_CORRUPT, "%s is not there", path)
                               : CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    code = transfer(fd, out, n, offset, false, path, err);
    close(fd);
    return code;
}

enum csl_code csl_blob_truncate(struct csl_blobs *b, const char *name, uint64_t bytes,
                                struct csl_err *err)
{
    if (b->dir == NULL) {
        struct memory_blob *m = find(b, name);
        if (m != NULL && bytes < m->n)
            m->n = (size_t)bytes;
        return CSL_OK;
    }
    char path[CSL_PATH_MAX];
    enum csl_code code = path_of(b, name, path, err);
    if (code != CSL_OK)
        return code;
    if (csl_blob_size(b, name) > bytes && truncate(path, (off_t)bytes) != 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    return CSL_OK;
}

enum csl_code csl_blob_sync(struct csl_blobs *b, const char *name, struct csl_err *err)
{
    if (b->dir == NULL)
        return CSL_OK;
    char path[CSL_PATH_MAX];
    enum csl_code code = path_of(b, name, path, err);
    if (code != CSL_OK)
        return code;
    int fd = open(path, O_RDONLY | O_CLOEXEC), dir = open(b->dir, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || dir < 0 || fsync(fd) != 0 || fsync(dir) != 0)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return code;
}

void csl_blob_remove(struct csl_blobs *b, const char *name)
{
    if (b->dir != NULL) {
        char path[CSL_PATH_MAX];
        if (path_of(b, name, path, NULL) == CSL_OK)
            unlink(path);
        return;
    }
    struct memory_blob **link = &b->buckets[bucket_of(name)];
    while (*link != NULL && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    struct memory_blob *m = *link;
    if (m == NULL)
        return;
    *link = m->next;
    memory_blob_free(m);
}

static bool is_kept(const char *name, const char *const *keep, uint32_t keep_count)
{
    for (uint32_t i = 0; i < keep_count; i++)
        if (strcmp(name, keep[i]) == 0)
            return true;
    return false;
}

static void memory_keep_only(struct memory_blob **link, const char *const *keep,
                             uint32_t keep_count)
{
    while (*link != NULL) {
        struct memory_blob *m = *link;
        if (is_kept(m->name, keep, keep_count)) {
            link = &m->next;
            continue;
        }
        *link = m->next;
        memory_blob_free(m);
    }
}

void csl_blobs_keep_only(struct csl_blobs *b, const char *const *keep, uint32_t keep_count)
{
    for (size_t i = 0; b->dir == NULL && i < BUCKETS; i++)
        memory_keep_only(&b->buckets[i], keep, keep_count);
    DIR *d = b->dir == NULL ? NULL : opendir(b->dir);
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (csl_id_valid(e->d_name) && !is_kept(e->d_name, keep, keep_count))
            csl_blob_remove(b, e->d_name);
    closedir(d);
}
