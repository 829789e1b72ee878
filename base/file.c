#include "base/file.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define FIRST_READ_BYTES ((size_t)64 * 1024)

static enum csl_code code_of_errno(void)
{
    return errno == ENOENT ? CSL_E_NOTFOUND : CSL_E_IO;
}

/* Reads to the end of fd into *m, which holds `capacity` bytes and one more for a NUL. */
static enum csl_code read_all(int fd, struct csl_msg *m, size_t capacity, const char *path,
                              size_t max_bytes, struct csl_err *err)
{
    for (;;) {
        if (m->n == capacity) {
            size_t doubled;
            uint8_t *p = csl_mul_size(capacity, 2, &doubled)
                             ? csl_realloc_array(m->p, doubled + 1, 1)
                             : NULL;
            if (p == NULL)
                return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", path);
            m->p = p;
            capacity = doubled;
        }
        ssize_t got = read(fd, m->p + m->n, capacity - m->n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return CSL_FAIL_SYS(err, CSL_E_IO, "cannot read %s", path);
        if (got == 0)
            break;
        m->n += (size_t)got;
        if (m->n > max_bytes)
            return CSL_FAIL(err, CSL_E_LIMIT, "%s has more than the %zu bytes allowed", path,
                            max_bytes);
    }
    m->p[m->n] = 0;
    return CSL_OK;
}

enum csl_code csl_file_read(struct csl_msg *out, const char *path, size_t max_bytes,
                            struct csl_err *err)
{
    struct csl_msg m = {NULL, 0};
    enum csl_code code = CSL_OK;
    struct stat st;
    size_t capacity;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return CSL_FAIL_SYS(err, code_of_errno(), "cannot open %s", path);
    if (fstat(fd, &st) != 0) {
        code = CSL_FAIL_SYS(err, CSL_E_IO, "cannot look at %s", path);
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        code = CSL_FAIL(err, CSL_E_INVAL, "%s is a folder; a file would be right", path);
        goto out;
    }
    capacity = FIRST_READ_BYTES;
    if (S_ISREG(st.st_mode) && st.st_size >= 0) {
        if ((uint64_t)st.st_size > max_bytes) {
            code = CSL_FAIL(err, CSL_E_LIMIT, "%s has %lld bytes; at most %zu are allowed", path,
                            (long long)st.st_size, max_bytes);
            goto out;
        }
        capacity = (size_t)st.st_size + 1; /* one more, so that the end is seen without growing */
    }
    m.p = csl_alloc(capacity + 1);
    if (m.p == NULL) {
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s (%zu bytes)", path, capacity);
        goto out;
    }
    code = read_all(fd, &m, capacity, path, max_bytes, err);
    if (code == CSL_OK) {
        *out = m;
        m = (struct csl_msg){NULL, 0};
    }
out:
    csl_msg_release(&m);
    close(fd);
    return code;
}

static enum csl_code write_all(int fd, struct csl_span s, const char *path, struct csl_err *err)
{
    while (s.n > 0) {
        ssize_t put = write(fd, s.p, s.n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return CSL_FAIL_SYS(err, CSL_E_IO, "cannot write %s", path);
        s.p += put;
        s.n -= (size_t)put;
    }
    return CSL_OK;
}

/* Makes the name of a file durable: a rename lives in its folder. */
static enum csl_code sync_folder_of(const char *path, struct csl_err *err)
{
    char folder[CSL_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (n >= sizeof(folder))
        return CSL_FAIL(err, CSL_E_LIMIT, "path of %zu bytes; at most %d are allowed", n,
                        CSL_PATH_MAX - 1);
    memcpy(folder, n == 0 ? "." : path, n == 0 ? 1 : n);
    folder[n == 0 ? 1 : n] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot open the folder %s", folder);
    enum csl_code code = CSL_OK;
    if (fsync(fd) != 0 && errno != EINVAL) /* EINVAL: a file system that has nothing to sync */
        code = CSL_FAIL_SYS(err, CSL_E_IO, "cannot sync the folder %s", folder);
    close(fd);
    return code;
}

static enum csl_code rename_durably(const char *tmp_path, const char *path, struct csl_err *err)
{
    if (rename(tmp_path, path) != 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot rename %s to %s", tmp_path, path);
    return sync_folder_of(path, err);
}

enum csl_code csl_file_remove(const char *path, struct csl_err *err)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot remove %s", path);
    return sync_folder_of(path, err);
}

enum csl_code csl_file_commit(const char *tmp_path, const char *path, struct csl_err *err)
{
    int fd = open(tmp_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return CSL_FAIL_SYS(err, code_of_errno(), "cannot open %s", tmp_path);
    int failed = fsync(fd);
    int why = errno;
    close(fd);
    if (failed != 0) {
        errno = why;
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot sync %s", tmp_path);
    }
    return rename_durably(tmp_path, path, err);
}

enum csl_code csl_file_write_atomic(const char *path, struct csl_span bytes, unsigned mode,
                                    struct csl_err *err)
{
    char tmp[CSL_PATH_MAX + 4];
    int n = snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof(tmp))
        return CSL_FAIL(err, CSL_E_LIMIT, "path of %zu bytes; at most %d are allowed", strlen(path),
                        CSL_PATH_MAX - 1);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
    if (fd < 0)
        return CSL_FAIL_SYS(err, code_of_errno(), "cannot create %s", tmp);
    enum csl_code code = CSL_OK;
    /* A left-over file keeps its old mode through open: set it before the bytes go in. */
    if (fchmod(fd, (mode_t)mode) != 0)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "cannot set the mode of %s", tmp);
    if (code == CSL_OK)
        code = write_all(fd, bytes, tmp, err);
    if (code == CSL_OK && fsync(fd) != 0)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "cannot sync %s", tmp);
    if (close(fd) != 0 && code == CSL_OK)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "cannot close %s", tmp);
    if (code == CSL_OK)
        code = rename_durably(tmp, path, err);
    if (code != CSL_OK)
        unlink(tmp);
    return code;
}

static enum csl_code make_one(const char *path, struct csl_err *err)
{
    struct stat st;
    if (mkdir(path, 0700) == 0)
        return CSL_OK;
    int why = errno;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return CSL_OK;
        return CSL_FAIL(err, CSL_E_EXISTS, "%s exists and is not a folder", path);
    }
    errno = why;
    return CSL_FAIL_SYS(err, CSL_E_IO, "cannot create the folder %s", path);
}

enum csl_code csl_dir_make(const char *path, struct csl_err *err)
{
    char part[CSL_PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(part))
        return CSL_FAIL(err, CSL_E_LIMIT, "path of %zu bytes; from 1 to %d are allowed", n,
                        CSL_PATH_MAX - 1);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i < n; i++) {
        if (part[i] != '/')
            continue;
        part[i] = '\0';
        enum csl_code code = make_one(part, err);
        if (code != CSL_OK)
            return code;
        part[i] = '/';
    }
    return make_one(part, err);
}

bool csl_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

enum csl_code csl_path_join(char *out, size_t out_bytes, const char *a, const char *b,
                            struct csl_err *err)
{
    size_t a_bytes = b[0] == '/' ? 0 : strlen(a), b_bytes = strlen(b);
    bool has_slash = a_bytes > 0 && a[a_bytes - 1] != '/' && b_bytes > 0;
    size_t n = a_bytes + (has_slash ? 1 : 0) + b_bytes;
    if (n >= out_bytes)
        return CSL_FAIL(err, CSL_E_LIMIT, "path of %zu bytes; at most %zu are allowed", n,
                        out_bytes == 0 ? 0 : out_bytes - 1);
    memmove(out, a, a_bytes);
    if (has_slash)
        out[a_bytes] = '/';
    memcpy(out + a_bytes + (has_slash ? 1 : 0), b, b_bytes + 1);
    return CSL_OK;
}

enum csl_code csl_path_beside(char path[CSL_PATH_MAX], const char *beside, struct csl_err *err)
{
    const char *slash = strrchr(beside, '/');
    char folder[CSL_PATH_MAX] = ".", joined[CSL_PATH_MAX];
    size_t n = slash == NULL ? 1 : slash == beside ? 1 : (size_t)(slash - beside);
    if (n >= sizeof(folder))
        return CSL_FAIL(err, CSL_E_LIMIT, "a path is longer than %d bytes", CSL_PATH_MAX - 1);
    if (slash != NULL) {
        memcpy(folder, beside, n);
        folder[n] = '\0';
    }
    enum csl_code code = csl_path_join(joined, sizeof(joined), folder, path, err);
    if (code == CSL_OK)
        memcpy(path, joined, sizeof(joined));
    return code;
}

enum csl_code csl_dir_lock(const char *path, int *fd, struct csl_err *err)
{
    int lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        *fd = lock;
        return CSL_OK;
    }
    bool is_taken = errno == EWOULDBLOCK;
    enum csl_code code =
        is_taken ? CSL_FAIL(err, CSL_E_EXISTS,
                            "%s is in use by another process; stop that one, or use another folder",
                            path)
                 : CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    close(lock);
    return code;
}
