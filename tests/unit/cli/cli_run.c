#include "tests/unit/cli/cli_run.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

const char *cli_program;
char cli_folder[64];
char cli_output[1024 * 1024];

int cli_setup(void **state)
{
    (void)state;
    snprintf(cli_folder, sizeof(cli_folder), "/tmp/csl-cli-XXXXXX");
    return mkdtemp(cli_folder) ? 0 : -1;
}

int cli_teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", cli_folder);
    return system(command);
}

int cli_run(const char *args)
{
    char command[2048];
    size_t n = (size_t)snprintf(command, sizeof(command), "%s %s ", cli_program,
                                strstr(args, "--json") ? "2>/dev/null" : "2>&1");

    for (; *args; args++)
        n += (size_t)snprintf(command + n, sizeof(command) - n, *args == '%' ? "%s" : "%.1s",
                              *args == '%' ? cli_folder : args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t got = fread(cli_output, 1, sizeof(cli_output) - 1, pipe);
    cli_output[got] = 0;
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void cli_assert_printed(const char *text)
{
    if (!strstr(cli_output, text))
        fail_msg("'%s' is missing in:\n%s", text, cli_output);
}

void cli_put_file(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", cli_folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

struct csl_json_doc *cli_parse_output(void)
{
    struct csl_json_doc *doc = NULL;
    struct csl_err err = {0};

    if (csl_json_parse(&doc, "output", CSL_SPAN(cli_output, strlen(cli_output)), &err) != CSL_OK)
        fail_msg("%s in:\n%s", err.msg, cli_output);
    return doc;
}

static const struct csl_json_value *find(const struct csl_json_doc *doc, const char *path)
{
    const struct csl_json_value *v = csl_json_root(doc);
    char key[64];
    uint64_t index;

    while (v && *path) {
        size_t n = strcspn(path, "/");
        snprintf(key, sizeof(key), "%.*s", (int)n, path);
        v = csl_parse_u64(key, &index) ? csl_json_at(v, (size_t)index) : csl_json_get(v, key);
        path += n + (path[n] == '/');
    }
    return v;
}

double cli_number(const struct csl_json_doc *doc, const char *path)
{
    double v = 0;

    if (!csl_json_as_f64(find(doc, path), &v))
        fail_msg("no number %s in:\n%s", path, cli_output);
    return v;
}

const char *cli_text(const struct csl_json_doc *doc, const char *path)
{
    const char *v = "";

    if (!csl_json_as_str(find(doc, path), &v))
        fail_msg("no text %s in:\n%s", path, cli_output);
    return v;
}

bool cli_has(const struct csl_json_doc *doc, const char *path)
{
    return find(doc, path) != NULL;
}
