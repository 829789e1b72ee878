/* simulations/run_files.c - the files a run leaves behind. */
#include "base/file.h"
#include "base/mem.h"
#include "simulations/release.h"
#include "simulations/report_html.h"
#include "simulations/run.h"

#include <string.h>

#include "base/banned.h"

#define CSV_BYTES_MAX (256u * 1024u * 1024u)

static enum csl_code write_file(const char *dir, const char *name, struct csl_span bytes,
                                struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    enum csl_code code = csl_path_join(path, sizeof(path), dir, name, err);
    return code == CSL_OK ? csl_file_write_atomic(path, bytes, 0644, err) : code;
}

enum csl_code csl_run_write_report(const struct csl_result *r, const char *path,
                                   struct csl_err *err)
{
    struct csl_buf page;
    csl_buf_init(&page, CSL_REPORT_BYTES_MAX);
    enum csl_code code = csl_report_html(r, &page, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, CSL_SPAN(page.p, page.n), 0644, err);
    csl_buf_release(&page);
    return code;
}

enum csl_code csl_run_write_card(const struct csl_result *r, const char *out_dir,
                                 struct csl_err *err)
{
    static const struct {
        const char *name;
        void (*put)(const struct csl_result *r, struct csl_buf *out);
    } cards[] = {{"model_card.md", csl_card_markdown}, {"model_card.json", csl_card_json}};
    enum csl_code code = CSL_OK;
    for (size_t i = 0; i < 2 && code == CSL_OK; i++) {
        struct csl_buf text;
        csl_buf_init(&text, CSL_SUMMARY_BYTES_MAX);
        cards[i].put(r, &text);
        code = csl_buf_status(&text, err);
        if (code == CSL_OK)
            code = write_file(out_dir, cards[i].name, CSL_SPAN(text.p, text.n), err);
        csl_buf_release(&text);
    }
    return code;
}

static enum csl_code write_statistics(const struct csl_result *r, const char *out_dir,
                                      struct csl_err *err)
{
    struct csl_buf text;
    csl_buf_init(&text, CSL_STATISTICS_BYTES_MAX);
    csl_statistics_write(&r->statistics, &text);
    enum csl_code code = csl_buf_status(&text, err);
    if (code == CSL_OK)
        code = write_file(out_dir, "statistics.json", CSL_SPAN(text.p, text.n), err);
    csl_buf_release(&text);
    return code;
}

enum csl_code csl_run_write_files(const struct csl_result *r, const struct csl_study *study,
                                  const char *out_dir, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    struct csl_buf text;
    csl_buf_init(&text, CSL_SUMMARY_BYTES_MAX);
    enum csl_code code = csl_result_write_json(r, &text, err);
    if (code == CSL_OK)
        code = write_file(out_dir, "summary.json", CSL_SPAN(text.p, text.n), err);
    csl_buf_release(&text);
    csl_buf_init(&text, CSV_BYTES_MAX);
    csl_result_write_csv(r, &text);
    if (code == CSL_OK)
        code = csl_buf_status(&text, err);
    if (code == CSL_OK)
        code = write_file(out_dir, "metrics.csv", CSL_SPAN(text.p, text.n), err);
    csl_buf_release(&text);
    if (code == CSL_OK)
        code = write_file(out_dir, "study.yaml", csl_msg_span(&study->manifest), err);
    if (code == CSL_OK && r->statistics.domain_count > 0)
        code = write_statistics(r, out_dir, err);
    else if (code == CSL_OK)
        code = csl_run_write_card(r, out_dir, err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), out_dir, "report.html", err);
    return code == CSL_OK ? csl_run_write_report(r, path, err) : code;
}

static enum csl_code read_file(const char *dir, const char *name, size_t bytes_max,
                               char path[CSL_PATH_MAX], struct csl_msg *out, struct csl_err *err)
{
    enum csl_code code = csl_path_join(path, CSL_PATH_MAX, dir, name, err);
    return code == CSL_OK ? csl_file_read(out, path, bytes_max, err) : code;
}

enum csl_code csl_run_read_files(struct csl_result *out, const char *run_dir, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    struct csl_msg json = {NULL, 0}, csv = {NULL, 0};
    struct csl_result *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory to read %s", run_dir);
    enum csl_code code =
        read_file(run_dir, "summary.json", CSL_SUMMARY_BYTES_MAX, path, &json, err);
    if (code == CSL_OK)
        code = csl_result_read_json(r, path, csl_msg_span(&json), err);
    if (code == CSL_OK)
        code = read_file(run_dir, "metrics.csv", CSV_BYTES_MAX, path, &csv, err);
    if (code == CSL_OK)
        code = csl_result_read_csv(r, path, csl_msg_span(&csv), err);
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), run_dir, "statistics.json", err);
    if (code == CSL_OK && csl_file_exists(path))
        code = csl_statistics_read(&r->statistics, path, err);
    if (code == CSL_OK)
        *out = *r;
    else
        csl_result_release(r);
    csl_free(r);
    csl_msg_release(&json);
    csl_msg_release(&csv);
    return code;
}
