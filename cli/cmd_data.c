/* cli/cmd_data.c - `consilium data synth|import|check|describe`. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/data_compare.h"
#include "protocol/study/study.h"
#include "site-agent/data/record.h"

#include <stdio.h>
#include <string.h>

#define WHERE_VALUES_MAX 32

struct flags {
    bool json;
    char out[1000], csv[1000], npz[1000], mapping[1000], study[1000], statistics[1000], where[1000];
    char site[CSL_ID_MAX];
    uint32_t sites, patients;
    uint64_t seed;
};
#define AT(field)   .offset = offsetof(struct flags, field)
#define TEXT(field) AT(field), .size = sizeof(((struct flags *)0)->field)

static const struct csl_option options[] = {
    {.name = "out",
     .type = CSL_OPT_PATH,
     TEXT(out),
     .fallback = "",
     .help = "Where it is written: a folder (synth) or a record file (import)."},
    {.name = "sites",
     .type = CSL_OPT_U32,
     AT(sites),
     .min = 1,
     .max = CSL_SITES_MAX,
     .fallback = "8",
     .help = "How many hospitals (synth)."},
    {.name = "seed",
     .type = CSL_OPT_U64,
     AT(seed),
     .fallback = "42",
     .help = "The same seed gives the same files (synth)."},
    {.name = "patients",
     .type = CSL_OPT_U32,
     AT(patients),
     .min = 0,
     .max = 1000000,
     .unit = "patients",
     .fallback = "0",
     .help = "Size of every hospital (synth); 0: each its own, 120 to 900."},
    {.name = "csv",
     .type = CSL_OPT_PATH,
     TEXT(csv),
     .fallback = "",
     .help = "Table, with the names of files beside it when the mapping says so (import)."},
    {.name = "npz",
     .type = CSL_OPT_PATH,
     TEXT(npz),
     .fallback = "",
     .help = "NumPy archive (import)."},
    {.name = "mapping",
     .type = CSL_OPT_PATH,
     TEXT(mapping),
     .fallback = "",
     .help = "What its columns or arrays mean (import)."},
    {.name = "site",
     .type = CSL_OPT_STR,
     TEXT(site),
     .fallback = "",
     .help = "Id of the site whose records they are (import)."},
    {.name = "where",
     .type = CSL_OPT_STR,
     TEXT(where),
     .fallback = "",
     .help = "Only rows whose COLUMN holds one of the values: COLUMN=VALUE,VALUE (import --csv)."},
    {.name = "study",
     .type = CSL_OPT_PATH,
     TEXT(study),
     .fallback = "",
     .help = "Check against the domains of this study file too (check)."},
    {.name = "statistics",
     .type = CSL_OPT_PATH,
     TEXT(statistics),
     .fallback = "",
     .help = "Compare with the statistics.json that the study published; nothing leaves (check)."},
    {.name = "json",
     .type = CSL_OPT_BOOL,
     AT(json),
     .fallback = "false",
     .help = "Print JSON for programs."},
    CSL_OPTION_END,
};
static const char *const usage[] = {
    "synth --out FOLDER [--sites N] [--seed S] [--patients N]",
    "import --csv|--npz FILE --mapping FILE --site ID --out FILE [--where COLUMN=VALUE,...]",
    "check FILE [--study FILE [--statistics FILE]]", "describe FILE", NULL};
static const char *const verbs[] = {"synth", "import", "check", "describe", NULL};
static const char *const examples[] = {
    "consilium data synth --out hospitals --sites 8",
    "consilium data import --csv heart.csv --mapping heart.mapping.yaml --site lyon --where "
    "center=0,1 --out lyon.h5",
    "consilium data check lyon.h5 --study heart.yaml",
    "consilium data check lyon.h5 --study heart-census.yaml --statistics statistics.json",
    "consilium data describe lyon.h5 --json",
    NULL};

const struct csl_cli_doc csl_doc_data = {
    .name = "data",
    .summary = "import, make, check and describe record files",
    .usage = usage,
    .verbs = verbs,
    .options = options,
    .examples = examples,
};

static const char *const domain_labels[] = {"heart", "mortality",  "survival",
                                            "xray",  "ultrasound", "ecg"};
#define DOMAIN_LABELS (sizeof(domain_labels) / sizeof(domain_labels[0]))

/* One line or object per file that was written. */
static void put_written(const struct csl_records *r, const char *path, const char *country,
                        struct csl_buf *text, struct csl_json *json)
{
    if (text != NULL)
        csl_buf_printf(text, "%s: site %s, %u patient%s, %u record%s, %u modalit%s\n", path,
                       r->site, r->patient_count, csl_str_plural(r->patient_count), r->record_count,
                       csl_str_plural(r->record_count), r->modality_count,
                       r->modality_count == 1 ? "y" : "ies");
    if (json == NULL)
        return;
    csl_json_object(json);
    csl_json_put_str(json, "path", path);
    csl_json_put_str(json, "site", r->site);
    if (country != NULL)
        csl_json_put_str(json, "country", country);
    csl_json_put_u64(json, "patients", r->patient_count);
    csl_json_put_u64(json, "records", r->record_count);
    csl_json_end(json);
}

/* --- synth --- */

static enum csl_code synth_one(const struct flags *flags, uint32_t index, struct csl_buf *text,
                               struct csl_json *json, struct csl_err *err)
{
    char path[CSL_PATH_MAX], name[CSL_ID_MAX + 8];
    const struct csl_synth_config config = {.seed = flags->seed, .patients = flags->patients};
    struct csl_records *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for synthetic records");
    snprintf(name, sizeof(name), "%s.h5", csl_synth_site_id(index));
    enum csl_code code = csl_path_join(path, sizeof(path), flags->out, name, err);
    if (code == CSL_OK)
        code = csl_synth_hospital(r, index, &config, err);
    if (code == CSL_OK)
        code = csl_records_write(r, path, err);
    if (code == CSL_OK)
        put_written(r, path, csl_synth_country(index), text, json);
    csl_records_release(r);
    csl_free(r);
    return code;
}

static void put_best_scores(struct csl_buf *text, struct csl_json *json)
{
    if (text != NULL)
        csl_buf_str(text, "best score any model can reach within one hospital:\n");
    if (json != NULL) {
        csl_json_key(json, "best_scores");
        csl_json_object(json);
    }
    for (size_t i = 0; i < DOMAIN_LABELS; i++) {
        double best = csl_synth_bayes_score(domain_labels[i]);
        if (text != NULL)
            csl_buf_printf(text, "  %-12s %.4f %s\n", domain_labels[i], best,
                           strcmp(domain_labels[i], "survival") == 0 ? "C-index" : "AUC");
        if (json != NULL)
            csl_json_put_f64(json, domain_labels[i], best);
    }
    if (json != NULL)
        csl_json_end(json);
}

static int synth(const struct flags *flags)
{
    struct csl_err err = {0};
    struct csl_buf out;
    struct csl_json writer, *json = flags->json ? &writer : NULL;
    struct csl_buf *text = flags->json ? NULL : &out;
    if (flags->out[0] == '\0')
        return csl_cli_misuse(&csl_doc_data, "synth needs --out, the folder for the files");
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (json != NULL) {
        csl_json_init(json, &out, true);
        csl_json_object(json);
        csl_json_key(json, "files");
        csl_json_array(json);
    }
    enum csl_code code = csl_dir_make(flags->out, &err);
    for (uint32_t i = 0; i < flags->sites && code == CSL_OK; i++)
        code = synth_one(flags, i, text, json, &err);
    if (code != CSL_OK) {
        csl_buf_release(&out);
        return csl_cli_fail_as(&csl_doc_data, &err, flags->json);
    }
    if (json != NULL)
        csl_json_end(json);
    put_best_scores(text, json);
    if (json != NULL) {
        csl_json_end(json);
        csl_buf_str(&out, "\n");
    }
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

/* --- import --- */

struct where {
    char column[256];
    char any_of[WHERE_VALUES_MAX][64];
    uint32_t count;
};

/* COLUMN=VALUE,VALUE */
static bool parse_where(const char *text, struct where *w)
{
    memset(w, 0, sizeof(*w));
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof(w->column))
        return false;
    memcpy(w->column, text, (size_t)(equals - text));
    for (const char *p = equals + 1;;) {
        size_t n = strcspn(p, ",");
        if (n == 0 || n >= sizeof(w->any_of[0]) || w->count == WHERE_VALUES_MAX)
            return false;
        memcpy(w->any_of[w->count++], p, n);
        if (p[n] == '\0')
            return true;
        p += n + 1;
    }
}

static int import_and_write(const struct flags *flags, const struct where *w, struct csl_records *r)
{
    struct csl_err err = {0};
    struct csl_buf out;
    struct csl_json json;
    enum csl_code code;
    if (flags->csv[0] != '\0')
        code = csl_import_csv(r, flags->site, flags->csv, flags->mapping,
                              w->count > 0 ? w->column : NULL, w->any_of, w->count, &err);
    else
        code = csl_import_npz(r, flags->site, flags->npz, flags->mapping, &err);
    if (code == CSL_OK)
        code = csl_records_write(r, flags->out, &err);
    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_data, &err, flags->json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (flags->json) {
        csl_json_init(&json, &out, true);
        put_written(r, flags->out, NULL, NULL, &json);
        csl_buf_str(&out, "\n");
    } else {
        put_written(r, flags->out, NULL, &out, NULL);
    }
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

static int import(const struct flags *flags)
{
    struct where w = {.count = 0};
    bool has_csv = flags->csv[0] != '\0', has_npz = flags->npz[0] != '\0';
    if (has_csv == has_npz)
        return csl_cli_misuse(&csl_doc_data,
                              "import: exactly one of --csv and --npz would be right, found %s",
                              has_csv ? "both" : "neither");
    if (flags->mapping[0] == '\0' || flags->out[0] == '\0' || flags->site[0] == '\0')
        return csl_cli_misuse(&csl_doc_data, "import needs --mapping, --site and --out");
    if (!csl_id_valid(flags->site))
        return csl_cli_misuse(&csl_doc_data,
                              "--site is no site id; [a-z0-9][a-z0-9._-]* of up to 63 characters "
                              "would be right");
    if (flags->where[0] != '\0' && (!has_csv || !parse_where(flags->where, &w)))
        return csl_cli_misuse(&csl_doc_data, "--where goes with --csv and reads COLUMN=VALUE,VALUE "
                                             "with up to 32 values of up to 63 bytes");
    struct csl_records *r = csl_alloc(sizeof(*r));
    if (r == NULL) {
        fprintf(stderr, "consilium data: out of memory\n");
        return CSL_EXIT_FAILED;
    }
    int status = import_and_write(flags, &w, r);
    csl_records_release(r);
    csl_free(r);
    return status;
}

/* --- check, describe --- */

/* Reads the file and lets `is_check` decide which report is printed. */
static int look(const struct flags *flags, const char *path, bool is_check)
{
    struct csl_err err = {0};
    struct csl_buf out;
    struct csl_json json;
    struct csl_study *study = NULL;
    uint32_t problems = 0;
    struct csl_records *r = csl_alloc(sizeof(*r));
    enum csl_code code = r == NULL ? CSL_FAIL(&err, CSL_E_NOMEM, "out of memory") : CSL_OK;
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    csl_json_init(&json, &out, true);
    struct csl_buf *text = flags->json ? NULL : &out;
    struct csl_json *to_json = flags->json ? &json : NULL;
    if (code == CSL_OK && flags->study[0] != '\0')
        code = csl_study_read(&study, flags->study, &err);
    if (code == CSL_OK)
        code = csl_records_read(r, path, &err);
    if (code == CSL_OK)
        code = is_check ? csl_records_check(r, study, text, to_json, &problems, &err)
                        : csl_records_describe(r, text, to_json, &err);
    if (flags->json)
        csl_buf_str(&out, "\n");
    csl_records_release(r);
    csl_free(r);
    csl_study_free(study);
    if (code == CSL_OK)
        return csl_cli_print(&out, problems > 0 ? CSL_EXIT_NEGATIVE : CSL_EXIT_DONE);
    csl_buf_release(&out);
    return csl_cli_fail_as(&csl_doc_data, &err, flags->json);
}

/* The site beside the federation. Differences are told, and are no fault. */
static int compare(const struct flags *flags, const char *path)
{
    struct csl_err err = {0};
    struct csl_buf out;
    struct csl_study *study = NULL;
    struct csl_statistics_report report = {.domains = NULL};
    uint32_t differences = 0;
    if (flags->study[0] == '\0' || flags->json)
        return csl_cli_misuse(&csl_doc_data, "check --statistics needs --study, the study that was "
                                             "counted, and prints text");
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    enum csl_code code = csl_study_read(&study, flags->study, &err);
    if (code == CSL_OK)
        code = csl_statistics_read(&report, flags->statistics, &err);
    if (code == CSL_OK)
        code = csl_cli_data_compare(path, study, &report, &out, &differences, &err);
    csl_statistics_report_release(&report);
    csl_study_free(study);
    if (code == CSL_OK) {
        csl_buf_printf(&out, "%u difference%s to look at; nothing of this left the machine\n",
                       differences, csl_str_plural(differences));
        return csl_cli_print(&out, CSL_EXIT_DONE);
    }
    csl_buf_release(&out);
    return csl_cli_fail(&csl_doc_data, &err);
}

int csl_cmd_data(int argc, char *const *argv)
{
    struct csl_command_line line = {0};
    struct flags flags;
    int status = 0;
    memset(&flags, 0, sizeof(flags));
    if (!csl_cli_start(&csl_doc_data, &flags, argc, argv, &line, &status))
        return status;
    const char *verb = line.positional_count > 0 ? line.positional[0] : "";
    bool is_look = strcmp(verb, "check") == 0 || strcmp(verb, "describe") == 0;
    bool is_synth = strcmp(verb, "synth") == 0, is_import = strcmp(verb, "import") == 0;
    if (!is_look && !is_synth && !is_import)
        return csl_cli_misuse(&csl_doc_data,
                              "found '%s'; synth, import, check or describe would be right", verb);
    if (line.positional_count != (is_look ? 2 : 1))
        return csl_cli_misuse(&csl_doc_data, "found %zu word%s after %s; %s would be right",
                              line.positional_count - 1, csl_str_plural(line.positional_count - 1),
                              verb, is_look ? "one file" : "none");
    if (is_synth)
        return synth(&flags);
    if (is_import)
        return import(&flags);
    if (flags.statistics[0] != '\0' && verb[0] == 'c')
        return compare(&flags, line.positional[1]);
    return look(&flags, line.positional[1], verb[0] == 'c');
}
