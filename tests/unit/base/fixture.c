#include "tests/unit/base/fixture.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int folder_setup(void **state)
{
    const char *root = getenv("TMPDIR");
    char *path = malloc(CSL_PATH_MAX);
    if (path == NULL)
        return -1;
    snprintf(path, CSL_PATH_MAX, "%s/csl-base-XXXXXX", root == NULL ? "/tmp" : root);
    *state = mkdtemp(path);
    return *state == NULL ? -1 : 0;
}

const char *in_folder(void *const *state, const char *name)
{
    static char path[CSL_PATH_MAX + 256];
    snprintf(path, sizeof(path), "%s/%s", (const char *)*state, name);
    return path;
}

int folder_teardown(void **state)
{
    DIR *folder = opendir(*state);
    if (folder == NULL)
        return -1;
    for (const struct dirent *e = readdir(folder); e != NULL; e = readdir(folder))
        if (e->d_name[0] != '.')
            unlink(in_folder(state, e->d_name));
    closedir(folder);
    int rc = rmdir(*state);
    free(*state);
    return rc;
}

const char *stream_text(FILE *stream)
{
    static char text[16384];
    fflush(stream);
    rewind(stream);
    text[fread(text, 1, sizeof(text) - 1, stream)] = '\0';
    return text;
}

bool aborts(void (*run)(void *arg), void *arg)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        int null = open("/dev/null", O_WRONLY);
        if (null >= 0)
            dup2(null, STDERR_FILENO);
        run(arg);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
