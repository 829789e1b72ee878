/* cli/cmd_model.c - `consilium model inspect|export|card`. */
#include "base/file.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/export/export.h"
#include "cli/model_release.h"
#include "cli/study_json.h"
#include "coordinator/model/model_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT_NPZ, FORMAT_CSV, FORMAT_SAFETENSORS, FORMAT_ONNX };
struct flags {
    bool json;
    int format;
    char out[1000], study[CSL_PATH_MAX], domain[CSL_ID_MAX];
};
static const char *const formats[] = {"npz", "csv", "safetensors", "onnx", NULL};
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
     .help =
         "What is written (export): a NumPy archive, a table, safetensors, or with onnx the whole "
         "network with its scaling of inputs."},
    {.name = "out",
     .type = CSL_OPT_PATH,
     .offset = offsetof(struct flags, out),
     .size = sizeof(((struct flags *)0)->out),
     .fallback = "",
     .help = "Where it is written (export)."},
    {.name = "study",
     .type = CSL_OPT_PATH,
     .offset = offsetof(struct flags, study),
     .size = sizeof(((struct flags *)0)->study),
     .fallback = "",
     .help = "The study the model is of (onnx); study.yaml beside the model without it."},
    {.name = "domain",
     .type = CSL_OPT_STR,
     .offset = offsetof(struct flags, domain),
     .size = sizeof(((struct flags *)0)->domain),
     .fallback = "",
     .help = "Which domain's network is written (onnx), if the study has several; all of a study "
             "with inputs without it."},
    CSL_OPTION_END,
};
static const char *const usage[] = {"inspect FILE [--json]",
                                    "export FILE --format npz|csv|safetensors --out PATH [--json]",
                                    "export FILE --format onnx [--study STUDY.yaml] [--domain ID] "
                                    "--out PATH [--json]",
                                    "card RUN [--json]", NULL};
static const char *const verbs[] = {"inspect", "export", "card", NULL};
static const char *const examples[] = {
    "consilium model inspect out/heart/model.h5",
    "consilium model export out/heart/model.h5 --format npz --out model.npz",
    "consilium model export out/heart/model.h5 --format onnx --study heart.yaml --out heart.onnx",
    "consilium model card out/heart", NULL};

const struct csl_cli_doc csl_doc_model = {
    .name = "model",
    .summary = "look into a model file, export it, and write its model card",
    .usage = usage,
    .verbs = verbs,
    .options = options,
    .examples = examples,
    .notes = "An ONNX file holds one domain's network. It takes raw values, as they are in the "
             "record files, and gives probabilities (for survival the logarithm of the hazard "
             "ratio); names, units and order of the inputs and what the output means are in its "
             "doc strings. In a study with scaling: site the constants stay at the sites, and the "
             "input must be standardised first: metadata key consilium.scaling says which it is. "
             "Of a study with inputs one file holds all domains: the values of every input, and "
             "beside them INPUT/present, false for a record without it.\n\n"
             "Where study.yaml beside the model has a section 'release', export needs the "
             "summary.json of the run that made the model, and refuses with status 1 what the "
             "study's own conditions do not let out. card writes model_card.md and "
             "model_card.json into RUN, prints one of them, and returns 1 likewise.",
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

struct extent {
    uint64_t parameters;
    uint32_t tensors;
};

/* Of one block, or of the whole model (NULL). */
static struct extent extent_of(const struct csl_schema *s, const struct csl_block_spec *block)
{
    struct extent e = {block ? block->count : s->parameters, 0};

    for (uint32_t i = 0; i < s->tensor_count; i++)
        e.tensors += !block || &s->blocks[s->tensors[i].block] == block;
    return e;
}

/* The domain that is meant, or all of a study with inputs. */
static enum csl_code choose_domain(const struct csl_study *study, const char *id, uint32_t *out,
                                   struct csl_err *err)
{
    const struct csl_domain *d = id[0] ? csl_study_find_domain(study, id) : &study->domains[0];

    if (d == NULL)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "--domain: found '%s', which study %s has not; %s would be right", id,
                        study->id, study->domains[0].id);
    if (!id[0] && study->input_count > 0) {
        *out = CSL_EXPORT_ALL_DOMAINS;
        return CSL_OK;
    }
    if (!id[0] && study->domain_count > 1)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "study %s has %u domains, and an ONNX file holds one; --domain %s would be "
                        "right",
                        study->id, study->domain_count, d->id);
    *out = (uint32_t)(d - study->domains);
    return CSL_OK;
}

static void add_block(struct extent *e, const struct csl_schema *s, const char *block)
{
    struct extent one = extent_of(s, csl_schema_find_block(s, block));
    e->parameters += one.parameters;
    e->tensors += one.tensors;
}

/* What a graph of these domains is made of. */
static struct extent extent_of_onnx(const struct csl_study *s, uint32_t domain)
{
    bool is_read[CSL_STUDY_INPUTS_MAX] = {false};
    struct extent e = {0};
    for (uint32_t d = 0; d < s->domain_count; d++) {
        const struct csl_domain_fusion *f = &s->domains[d].fusion;
        if (domain != CSL_EXPORT_ALL_DOMAINS && domain != d)
            continue;
        add_block(&e, &s->schema, s->domains[d].id);
        for (uint32_t i = 0; i < f->input_count; i++)
            is_read[f->inputs[i]] = true;
    }
    for (uint32_t i = 0; i < s->input_count; i++) {
        char block[CSL_ID_MAX];
        if (!is_read[i])
            continue;
        csl_study_input_block(block, &s->inputs[i]);
        add_block(&e, &s->schema, block);
        csl_study_adapter_block(block, &s->inputs[i]);
        if (s->inputs[i].adapter.rank > 0)
            add_block(&e, &s->schema, block);
    }
    return e;
}

static enum csl_code export_onnx(const struct csl_model_file *m, const char *model_path,
                                 const struct flags *flags, struct extent *written,
                                 struct csl_err *err)
{
    char path[CSL_PATH_MAX] = "study.yaml";
    struct csl_study *study = NULL;
    uint32_t domain = 0;
    enum csl_code code = CSL_OK;

    if (!flags->study[0])
        code = csl_path_beside(path, model_path, err);
    if (code == CSL_OK)
        code = csl_study_read(&study, flags->study[0] ? flags->study : path, err);
    if (code == CSL_E_NOTFOUND && !flags->study[0])
        return CSL_FAIL(err, CSL_E_NOTFOUND,
                        "%s is not there; --study with the file of study %s would be right", path,
                        m->info.study);
    if (code == CSL_OK)
        code = choose_domain(study, flags->domain, &domain, err);
    if (code == CSL_OK)
        code = csl_export_onnx(m, study, domain, flags->out, err);
    if (code == CSL_OK)
        *written = extent_of_onnx(study, domain);
    csl_study_free(study);
    return code;
}

static enum csl_code write_as(const struct csl_model_file *m, const char *model_path,
                              const struct flags *flags, struct extent *written,
                              struct csl_err *err)
{
    *written = extent_of(m->schema, NULL);
    switch (flags->format) {
    case FORMAT_NPZ:
        return csl_export_npz(m, flags->out, err);
    case FORMAT_CSV:
        return csl_export_csv(m, flags->out, err);
    case FORMAT_SAFETENSORS:
        return csl_export_safetensors(m, flags->out, err);
    default:
        return export_onnx(m, model_path, flags, written, err);
    }
}

static int export_to(const struct csl_model_file *m, const char *model_path,
                     const struct flags *flags)
{
    struct extent written = {0};
    struct csl_err err = {0};
    struct csl_buf out;
    struct csl_json j;
    enum csl_code code = write_as(m, model_path, flags, &written, &err);

    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_model, &err, flags->json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (!flags->json) {
        csl_buf_printf(&out, "%s: %s, %" PRIu64 " parameter%s in %u tensor%s\n", flags->out,
                       formats[flags->format], written.parameters,
                       csl_str_plural(written.parameters), written.tensors,
                       csl_str_plural(written.tensors));
        return csl_cli_print(&out, CSL_EXIT_DONE);
    }
    csl_json_init(&j, &out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.model-export/1");
    csl_json_put_str(&j, "path", flags->out);
    csl_json_put_str(&j, "written_as", formats[flags->format]);
    csl_json_put_u64(&j, "parameters", written.parameters);
    csl_json_put_u64(&j, "tensors", written.tensors);
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
                              "found %zu word%s; a verb and one model file or run would be right",
                              line.positional_count, csl_str_plural(line.positional_count));
    if (strcmp(line.positional[0], "card") == 0)
        return csl_cli_card(&csl_doc_model, line.positional[1], flags.json);
    bool is_export = strcmp(line.positional[0], "export") == 0;
    if (!is_export && strcmp(line.positional[0], "inspect") != 0)
        return csl_cli_misuse(&csl_doc_model, "found '%s'; inspect, export or card would be right",
                              line.positional[0]);
    if (is_export && !flags.out[0])
        return csl_cli_misuse(&csl_doc_model, "export needs --out, where the file is written");
    if (flags.format != FORMAT_ONNX && (flags.study[0] || flags.domain[0]))
        return csl_cli_misuse(&csl_doc_model, "--study and --domain are for --format onnx");
    if (csl_model_read(line.positional[1], NULL, &m, &err) != CSL_OK)
        return csl_cli_fail_as(&csl_doc_model, &err, flags.json);
    if (!is_export)
        status = inspect(&m, flags.json);
    else if (csl_cli_may_export(&csl_doc_model, &m, line.positional[1],
                                flags.study[0] ? flags.study : NULL, flags.json, &status))
        status = export_to(&m, line.positional[1], &flags);
    csl_model_file_release(&m);
    return status;
}
