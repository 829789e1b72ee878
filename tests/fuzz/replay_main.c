/* tests/fuzz/replay_main.c - runs a fuzz harness over the files of its corpus folders without
 * libFuzzer: each file, its prefixes, and copies with one changed byte. The same inputs every time.
 *     fuzz_x corpus/x [MORE FOLDERS OR FILES] */
#include "base/file.h"
#include "base/mem.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX ((size_t)1 << 20)
#define PREFIXES_MAX    256
#define FLIPS           512

/* Each input is handed over in a block of exactly its size, so that a sanitizer sees one byte too
 * many being read. */
static int run_exact(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    if (copy == NULL)
        return 1;
    if (n > 0)
        memcpy(copy, p, n);
    int rc = LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    return rc;
}

static int run_variants(uint8_t *p, size_t n)
{
    int failures = run_exact(p, n);
    size_t step = n / PREFIXES_MAX + 1;
    for (size_t i = 0; i < n; i += step)
        failures += run_exact(p, i);
    uint64_t state = 0x9e3779b97f4a7c15u + n;
    for (int i = 0; i < FLIPS && n > 0; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(state >> 33) % n;
        uint8_t before = p[at];
        if (i % 2 == 0)
            p[at] ^= (uint8_t)(1u << ((state >> 24) % 8));
        else
            p[at] = (uint8_t)(state >> 16);
        failures += run_exact(p, n);
        p[at] = before;
    }
    return failures;
}

static int run_file(const char *path)
{
    struct csl_err err;
    struct csl_msg m;
    if (csl_file_read(&m, path, INPUT_BYTES_MAX, &err) != CSL_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    int failures = run_variants(m.p, m.n);
    if (failures > 0)
        fprintf(stderr, "%s: %d inputs failed\n", path, failures);
    csl_msg_release(&m);
    return failures;
}

static int run_folder(const char *path, size_t *files)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        fprintf(stderr, "cannot open the corpus folder %s\n", path);
        return 1;
    }
    int failures = 0;
    for (const struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        char file[CSL_PATH_MAX];
        struct csl_err err;
        if (e->d_name[0] == '.')
            continue;
        if (csl_path_join(file, sizeof(file), path, e->d_name, &err) != CSL_OK) {
            failures++;
            continue;
        }
        failures += run_file(file);
        (*files)++;
    }
    closedir(folder);
    return failures;
}

int main(int argc, char **argv)
{
    int failures = run_exact((const uint8_t *)"", 0);
    size_t files = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && !S_ISDIR(st.st_mode)) {
            failures += run_file(argv[i]);
            files++;
        } else {
            failures += run_folder(argv[i], &files);
        }
    }
    if (files == 0) {
        fprintf(stderr, "no file to replay; a corpus with at least one would be right\n");
        return 1;
    }
    printf("%zu files replayed with their variants, %d failed\n", files, failures);
    return failures == 0 ? 0 : 1;
}
