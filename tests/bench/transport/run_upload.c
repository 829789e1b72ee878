#include "run_upload.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX 65536u

static const char *base_dir(void)
{
    const char *dir = getenv("TMPDIR");
    return dir != NULL && dir[0] != '\0' ? dir : "/tmp";
}

uint64_t run_upload_room(void)
{
    struct statvfs v;
    if (statvfs(base_dir(), &v) != 0)
        return 0;
    return (uint64_t)v.f_bavail * v.f_frsize;
}

double run_upload_median(double *x, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        for (uint32_t j = i; j > 0 && x[j] < x[j - 1]; j--) {
            double t = x[j];
            x[j] = x[j - 1];
            x[j - 1] = t;
        }
    }
    return n % 2 == 1 ? x[n / 2] : (x[n / 2] + x[n / 2 - 1]) / 2;
}

/* The folder holds state/ and state/spool/ and files, nothing deeper. */
static void remove_folder(const char *root)
{
    static const char *const parts[] = {"/state/spool", "/state", ""};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char dir[CSL_PATH_MAX], path[CSL_PATH_MAX];
        snprintf(dir, sizeof(dir), "%s%s", root, parts[i]);
        DIR *d = opendir(dir);
        for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d))
            if (csl_path_join(path, sizeof(path), dir, e->d_name, NULL) == CSL_OK)
                (void)unlink(path); /* folders refuse, and have their own turn */
        if (d != NULL)
            closedir(d);
        (void)rmdir(dir);
    }
}

static bool read_result(const char *text, size_t n, uint32_t rounds, struct run_upload_result *out)
{
    struct csl_json_doc *doc = NULL;
    struct csl_err err;
    if (csl_json_parse(&doc, "upload_sites", CSL_SPAN(text, n), &err) != CSL_OK) {
        fprintf(stderr, "run_upload: %s\n", err.msg);
        return false;
    }
    const struct csl_json_value *root = csl_json_root(doc);
    const struct csl_json_value *list = csl_json_get(root, "rounds");
    bool is_whole = csl_json_as_u64(csl_json_get(root, "parameters"), &out->parameters) &&
                    csl_json_as_u64(csl_json_get(root, "peak_bytes"), &out->peak_bytes) &&
                    csl_json_count(list) == rounds;
    for (uint32_t r = 0; is_whole && r < rounds; r++) {
        const struct csl_json_value *v = csl_json_at(list, r);
        is_whole = csl_json_as_f64(csl_json_get(v, "seconds"), &out->rounds[r].seconds) &&
                   csl_json_as_f64(csl_json_get(v, "coordinator_cpu_s"),
                                   &out->rounds[r].coordinator_cpu_s) &&
                   csl_json_as_f64(csl_json_get(v, "client_cpu_s"), &out->rounds[r].client_cpu_s) &&
                   csl_json_as_f64(csl_json_get(v, "busiest_thread_cpu_s"),
                                   &out->rounds[r].busiest_thread_cpu_s);
    }
    csl_json_free(doc);
    return is_whole;
}

static void run_program(const struct run_upload_config *c, const char *dir, int out_fd)
{
    char sites[16], width[16], hidden[16], rounds[16];
    snprintf(sites, sizeof(sites), "%u", c->sites);
    snprintf(width, sizeof(width), "%u", c->width);
    snprintf(hidden, sizeof(hidden), "%u", c->hidden);
    snprintf(rounds, sizeof(rounds), "%u", c->rounds);
    dup2(out_fd, STDOUT_FILENO);
    execl(c->program, c->program, c->coordinator, dir, sites, width, hidden, rounds, (char *)NULL);
    perror(c->program);
    _exit(127);
}

bool run_upload(const struct run_upload_config *c, struct run_upload_result *out)
{
    static char text[TEXT_MAX];
    char dir[CSL_PATH_MAX];
    int pipe_fds[2];
    snprintf(dir, sizeof(dir), "%s/csl-upload-XXXXXX", base_dir());
    if (mkdtemp(dir) == NULL || pipe(pipe_fds) != 0) {
        perror(dir);
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(pipe_fds[0]);
        run_program(c, dir, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    size_t n = 0;
    for (ssize_t got; n < sizeof(text); n += (size_t)got) {
        got = read(pipe_fds[0], text + n, sizeof(text) - n);
        if (got <= 0)
            break;
    }
    close(pipe_fds[0]);
    int status = -1;
    if (pid > 0)
        waitpid(pid, &status, 0);
    remove_folder(dir);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 && read_result(text, n, c->rounds, out);
}
