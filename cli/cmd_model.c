/* cli/cmd_model.c - `consilium model inspect|export`. */
#include "base/str.h"
#include "cli/cli.h"
#include "cli/model_export.h"
#include "cli/study_json.h"
#include "coordinator/model/model_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT_NPZ, FORMAT_CSV };
struct flags {
    bool json;
    int format;
    char out[1000];
};
static const char *const formats[] = {"npz", "csv", NULL};
static const struct csl_option options[] = {
    {.name = "json",
     .type = CSL_OPT_BOOL,
     .offset = offsetof(struct flags, json),
     .fallback = "false",
     .help = "Print JSON for programs."},
    {.name = "format",
     .type = CSL_OPT_ENUM,
     .offset = offsetof(struct flags, format),
     .choices = formats,
     .fallback = "npz",
     .help = "What is written (export): a NumPy archive or a table."},
    {.name = "out",
     .type = CSL_OPT_PATH,
     .offset = offsetof(struct flags, out),
     .size = sizeof(((struct flags *)0)->out),
     .fallback = "",
     .help = "Where it is written (export)."},
    CSL_OPTION_END,
};
static const char *const usage[] = {"inspect FILE [--json]",
                                    "export FILE --format npz|csv --out PATH [--json]", NULL};
static const char *const verbs[] = {"inspect", "export", NULL};
static const char *const examples[] = {
    "consilium model inspect out/heart/model.h5",
    "consilium model export out/heart/model.h5 --format npz --out model.npz", NULL};

const struct csl_cli_doc csl_doc_model = {
    .name = "model",
    .summary = "look into a model file and export it",
    .usage = usage,
    .verbs = verbs,
    .options = options,
    .examples = examples,
};

struct range {
    double min, max, mean, norm;
};

static struct range range_of(const float *v, uint64_t count)
{
    struct range r = {(double)v[0], (double)v[0], 0, 0};
    double sum = 0, squares = 0;

    for (uint64_t i = 0; i < count; i++) {
        double x = (double)v[i];
        r.min = x < r.min ? x : r.min;
        r.max = x > r.max ? x : r.max;
        sum += x;
        squares += x * x;
    }
    r.mean = sum / (double)count;
    r.norm = sqrt(squares);
    return r;
}

static void inspect_text(const struct csl_model_file *m, struct csl_buf *out)
{
    char study[2 * CSL_DIGEST_BYTES + 1], model[2 * CSL_DIGEST_BYTES + 1];

    csl_hex(m->info.study_digest, CSL_DIGEST_BYTES, study);
    csl_hex(m->digest, CSL_DIGEST_BYTES, model);
    csl_buf_printf(out, "study         %s\nstudy digest  %s\nround         %" PRIu64 "\n",
                   m->info.study, study, m->info.round);
    csl_buf_printf(out,
                   "model digest  %s (verified)\nparameters    %" PRIu64
                   " in %u block%s, %u strategy vector%s\n\n",
                   model, m->schema->parameters, m->schema->block_count,
                   csl_str_plural(m->schema->block_count), m->state_count,
                   csl_str_plural(m->state_count));
    csl_buf_printf(out, "%-32s %-16s %12s %12s %12s %12s\n", "tensor", "shape", "min", "max",
                   "mean", "norm");
    for (uint32_t i = 0; i < m->schema->tensor_count; i++) {
        const struct csl_tensor_spec *t = &m->schema->tensors[i];
        struct range r = range_of(m->parameters + t->first, t->count);
        char shape[96];
        size_t n = 0;
        for (uint32_t k = 0; k < t->rank; k++)
            n += (size_t)snprintf(shape + n, sizeof(shape) - n, "%s%" PRIu64, k ? "x" : "",
                                  t->shape[k]);
        csl_buf_printf(out, "%-32s %-16s %12.6g %12.6g %12.6g %12.6g\n", t->name, shape, r.min,
                       r.max, r.mean, r.norm);
    }
}

static void inspect_json(const struct csl_model_file *m, struct csl_buf *out)
{
    struct csl_json j;

    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.model-inspect/1");
    csl_json_put_str(&j, "study", m->info.study);
    csl_cli_put_digest(&j, "study_digest", m->info.study_digest);
    csl_json_put_u64(&j, "round", m->info.round);
    csl_cli_put_digest(&j, "model_digest", m->digest);
    csl_cli_put_digest(&j, "schema_digest", m->schema->digest);
    csl_json_put_u64(&j, "parameters", m->schema->parameters);
    csl_json_put_u64(&j, "state_vectors", m->state_count);
    csl_json_key(&j, "tensors");
    csl_json_array(&j);
    for (uint32_t i = 0; i < m->schema->tensor_count; i++) {
        const struct csl_tensor_spec *t = &m->schema->tensors[i];
        struct range r = range_of(m->parameters + t->first, t->count);
        csl_json_object(&j);
        csl_json_put_str(&j, "name", t->name);
        csl_json_put_str(&j, "block", m->schema->blocks[t->block].name);
        csl_json_key(&j, "shape");
        csl_json_array(&j);
        for (uint32_t k = 0; k < t->rank; k++)
            csl_json_u64(&j, t->shape[k]);
        csl_json_end(&j);
        csl_json_put_f64(&j, "min", r.min);
        csl_json_put_f64(&j, "max", r.max);
        csl_json_put_f64(&j, "mean", r.mean);
        csl_json_put_f64(&j, "norm", r.norm);
        csl_json_end(&j);
    }
    csl_json_end(&j);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

static int inspect(const struct csl_model_file *m, bool is_json)
{
    struct csl_buf out;

    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (is_json)
        inspect_json(m, &out);
    else
        inspect_text(m, &out);
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

static int export_to(const struct csl_model_file *m, const struct flags *flags)
{
    const struct csl_schema *s = m->schema;
    struct csl_err err = {0};
    struct csl_buf out;
    struct csl_json j;
    enum csl_code code = flags->format == FORMAT_NPZ ? csl_cli_export_npz(m, flags->out, &err)
                                                     : csl_cli_export_csv(m, flags->out, &err);

    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_model, &err, flags->json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (!flags->json) {
        csl_buf_printf(&out, "%s: %s, %" PRIu64 " parameter%s in %u tensor%s\n", flags->out,
                       formats[flags->format], s->parameters, csl_str_plural(s->parameters),
                       s->tensor_count, csl_str_plural(s->tensor_count));
        return csl_cli_print(&out, CSL_EXIT_DONE);
    }
    csl_json_init(&j, &out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.model-export/1");
    csl_json_put_str(&j, "path", flags->out);
    csl_json_put_str(&j, "written_as", formats[flags->format]);
    csl_json_put_u64(&j, "parameters", s->parameters);
    csl_json_put_u64(&j, "tensors", s->tensor_count);
    csl_json_end(&j);
    csl_buf_str(&out, "\n");
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

int csl_cmd_model(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    struct flags flags = {0};
    struct csl_model_file m = {0};
    struct csl_err err = {0};
    int status = 0;

    if (!csl_cli_start(&csl_doc_model, &flags, argc, argv, &line, &status))
        return status;
    if (line.positional_count != 2)
        return csl_cli_misuse(&csl_doc_model,
                              "found %zu word%s; a verb and one model file would be right",
                              line.positional_count, csl_str_plural(line.positional_count));
    bool is_export = strcmp(line.positional[0], "export") == 0;
    if (!is_export && strcmp(line.positional[0], "inspect") != 0)
        return csl_cli_misuse(&csl_doc_model, "found '%s'; inspect or export would be right",
                              line.positional[0]);
    if (is_export && !flags.out[0])
        return csl_cli_misuse(&csl_doc_model, "export needs --out, where the file is written");
    if (csl_model_read(line.positional[1], NULL, &m, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_model, &err, flags.json);
    status = is_export ? export_to(&m, &flags) : inspect(&m, flags.json);
    csl_model_file_release(&m);
    return status;
}
