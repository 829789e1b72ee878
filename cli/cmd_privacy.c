/* cli/cmd_privacy.c - `consilium privacy`: the table of its verbs and flags, and the verb that
 * prices one setting. */
#include "base/limits.h"
#include "base/str.h"
#include "cli/privacy.h"

#include <string.h>

const char *const csl_privacy_samplers[] = {"poisson", "fixed-size", "shuffled", "full-batch",
                                            NULL};

enum csl_dp_sampler csl_privacy_sampler(int index)
{
    static const enum csl_dp_sampler samplers[] = {CSL_DP_POISSON, CSL_DP_FIXED_SIZE,
                                                   CSL_DP_SHUFFLED, CSL_DP_FULL_BATCH};
    return samplers[index];
}

#define AT(field)   .offset = offsetof(struct csl_privacy_flags, field)
#define TEXT(field) AT(field), .size = sizeof(((struct csl_privacy_flags *)0)->field)
#define ANY_FROM_0  .min = 0, .max = -1
static const struct csl_option options[] = {
    {.name = "noise_multiplier",
     .type = CSL_OPT_F64,
     AT(noise_multiplier),
     ANY_FROM_0,
     .fallback = "0",
     .help = "Standard deviation of the noise over the clip norm."},
    {.name = "sampling_rate",
     .type = CSL_OPT_F64,
     AT(sampling_rate),
     .min = 0,
     .max = 1,
     .fallback = "1",
     .help = "Share of the patients in one step, or its probability for each of them."},
    {.name = "steps",
     .type = CSL_OPT_U64,
     AT(steps),
     ANY_FROM_0,
     .fallback = "0",
     .unit = "steps",
     .help = "Noisy sums released, one after another."},
    {.name = "delta",
     .type = CSL_OPT_F64,
     AT(delta),
     .min = 0,
     .max = 1,
     .fallback = "0",
     .help = "Probability with which the promise may fail; below one over the number of patients."},
    {.name = "sampler",
     .type = CSL_OPT_ENUM,
     AT(sampler),
     .choices = csl_privacy_samplers,
     .fallback = "poisson",
     .help = "How the patients of a step are drawn; only what ran may be claimed."},
    {.name = "epsilon",
     .type = CSL_OPT_F64,
     AT(epsilon),
     ANY_FROM_0,
     .fallback = "0",
     .help = "What may be spent (noise, steps, rate); in place of the study's (plan)."},
    {.name = "noise",
     .type = CSL_OPT_F64,
     AT(noise),
     ANY_FROM_0,
     .fallback = "0",
     .help = "Noise multiplier of every site in place of the study's (plan)."},
    {.name = "rounds",
     .type = CSL_OPT_U32,
     AT(rounds),
     .max = CSL_ROUNDS_MAX,
     .fallback = "0",
     .unit = "rounds",
     .help = "Other than the study says; 0: as in the study (plan)."},
    {.name = "data",
     .type = CSL_OPT_PATH,
     TEXT(data),
     .fallback = "",
     .help = "Folder of the data of the study's simulated sites; CONSILIUM_DATA or ../shared/data "
             "without it (plan)."},
    {.name = "patients",
     .type = CSL_OPT_STR,
     TEXT(patients),
     .fallback = "",
     .help = "Training patients of the sites, SITE=N,..., in place of their data (plan)."},
    {.name = "survivors",
     .type = CSL_OPT_STR,
     TEXT(survivors),
     .fallback = "",
     .help =
         "Sites in the sums that were opened, N,N,..., a number for each round (of a study with "
         "inputs, in the block with the fewest): what they cost, against the coordinator alone and "
         "with the study's colluding sites (plan, mode joint)."},
    {.name = "json",
     .type = CSL_OPT_BOOL,
     AT(json),
     .fallback = "false",
     .help = "Print JSON for programs."},
    CSL_OPTION_END,
};
static const char *const usage[] = {
    "plan STUDY.yaml [--data DIR | --patients SITE=N,...] [--epsilon E | --noise N] [--rounds R] "
    "[--survivors N,...]",
    "epsilon --noise-multiplier N --sampling-rate Q --steps T --delta D [--sampler S]",
    "noise --epsilon E --sampling-rate Q --steps T --delta D [--sampler S]",
    "steps --epsilon E --noise-multiplier N --sampling-rate Q --delta D [--sampler S]",
    "rate --epsilon E --noise-multiplier N --steps T --delta D [--sampler S]",
    "compose EVENTS.yaml [--delta D]",
    "compare --noise-multiplier N --sampling-rate Q --steps T --delta D",
    "audit RUN",
    NULL};
static const char *const verbs[] = {"plan",    "epsilon", "noise", "steps", "rate",
                                    "compose", "compare", "audit", NULL};
static const char *const examples[] = {
    "consilium privacy epsilon --noise-multiplier 1.1 --sampling-rate 0.01 --steps 10000 --delta "
    "1e-5 --json",
    "consilium privacy noise --epsilon 2 --sampling-rate 0.01 --steps 10000 --delta 1e-5",
    "consilium privacy plan simulations/scenarios/synthetic-private.yaml --noise 1.5",
    "consilium privacy audit out/demo", NULL};

const struct csl_cli_doc csl_doc_privacy = {
    .name = "privacy",
    .summary = "what a study costs every patient, site and round; a calculator; an audit of a run",
    .usage = usage,
    .verbs = verbs,
    .options = options,
    .examples = examples,
    .notes =
        "Epsilon is for one patient with all records at one hospital, added or removed; with the "
        "sampler\nfixed-size for one replaced by another, whom twice the clip is charged for. "
        "Every printed epsilon and\nnoise is rounded up, every lower bound and remaining budget "
        "down. EVENTS.yaml, or the same as JSON:\n"
        "{delta: 1e-5, events: [{mechanism: gaussian, sampler: poisson, noise_multiplier: 1.1,\n"
        "sampling_rate: 0.01, steps: 500}, ...]}; discrete-gaussian, skellam and discrete-laplace "
        "need dimensions,\nl1_units and l2_units too.",
};

static const char *missing(const struct csl_privacy_flags *f, bool needs_noise, bool needs_steps,
                           bool needs_epsilon)
{
    if (needs_epsilon && f->epsilon == 0)
        return "--epsilon";
    if (needs_noise && f->noise_multiplier == 0)
        return "--noise-multiplier";
    if (needs_steps && f->steps == 0)
        return "--steps";
    return f->delta == 0 ? "--delta" : NULL;
}

int csl_cli_privacy_epsilon(const struct csl_privacy_flags *flags)
{
    struct csl_err err = {0};
    struct csl_bounds b;
    struct csl_json j;
    struct csl_buf out;
    enum csl_code code = csl_bounds_make(&b, flags, &err);

    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_privacy, &err, flags->json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (flags->json) {
        csl_json_init(&j, &out, true);
        csl_json_object(&j);
        csl_privacy_setting_json(flags, &j);
        csl_bounds_json(&b, &j);
        csl_json_end(&j);
        csl_buf_str(&out, "\n");
    } else {
        csl_bounds_text(&b, &out);
    }
    return csl_cli_print(&out, CSL_EXIT_DONE);
}

static int calculate(const struct csl_privacy_flags *flags, const char *verb)
{
    static const struct {
        const char *name;
        bool needs_noise, needs_steps, needs_epsilon;
        int (*run)(const struct csl_privacy_flags *flags);
    } rows[] = {{"epsilon", true, true, false, csl_cli_privacy_epsilon},
                {"noise", false, true, true, csl_cli_privacy_noise},
                {"steps", true, false, true, csl_cli_privacy_steps},
                {"rate", true, true, true, csl_cli_privacy_rate},
                {"compare", true, true, false, csl_cli_privacy_compare}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(verb, rows[i].name) != 0)
            continue;
        const char *flag =
            missing(flags, rows[i].needs_noise, rows[i].needs_steps, rows[i].needs_epsilon);
        if (flag)
            return csl_cli_misuse(&csl_doc_privacy, "%s needs %s, a number above 0", verb, flag);
        return rows[i].run(flags);
    }
    return csl_cli_misuse(
        &csl_doc_privacy,
        "found '%s'; plan, epsilon, noise, steps, rate, compose, compare or audit "
        "would be right",
        verb);
}

int csl_cmd_privacy(int argc, char *const *argv)
{
    static const struct {
        const char *name, *what;
        int (*run)(const struct csl_privacy_flags *flags, const char *path);
    } files[] = {{"plan", "one study file", csl_cli_privacy_plan},
                 {"compose", "one file of events", csl_cli_privacy_compose},
                 {"audit", "the folder of one run", csl_cli_privacy_audit}};
    static struct csl_privacy_flags flags;
    struct csl_command_line line = {0};
    int status = 0;

    if (!csl_cli_start(&csl_doc_privacy, &flags, argc, argv, &line, &status))
        return status;
    const char *verb = line.positional_count > 0 ? line.positional[0] : "";
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (strcmp(verb, files[i].name) != 0)
            continue;
        if (line.positional_count != 2)
            return csl_cli_misuse(&csl_doc_privacy, "found %zu word%s after %s; %s would be right",
                                  line.positional_count - 1,
                                  csl_str_plural(line.positional_count - 1), verb, files[i].what);
        return files[i].run(&flags, line.positional[1]);
    }
    if (line.positional_count > 1)
        return csl_cli_misuse(&csl_doc_privacy, "found '%s' after %s; no word would be right",
                              line.positional[1], verb);
    return calculate(&flags, verb);
}
