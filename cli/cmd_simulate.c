/* cli/cmd_simulate.c - `consilium simulate`: a study with all its sites on this machine. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "simulations/attack.h"
#include "simulations/manifest.h"
#include "simulations/processes.h"
#include "simulations/release.h"
#include "simulations/run.h"
#include "simulations/run_table.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRANSPORT_INPROC, TRANSPORT_GRPC };
static const char *const transports[] = {"inproc", "grpc", NULL};
enum { MASKS_ON, MASKS_OFF };
static const char *const masks[] = {"on", "off", NULL};
static const char *const backends[] = {"auto", "cpu-ref", "cpu-dnnl", NULL};

#define CANARIES_MAX 1000000 /* per site */

struct flags {
    char data[CSL_PATH_MAX], out[CSL_PATH_MAX], initial_model[CSL_PATH_MAX], seeds[48],
        epsilon[256];
    uint32_t sites, rounds, audit;
    uint64_t seed;
    int transport, backend, masks;
    bool json, baselines, leave_one_out, few_shot;
};
#define AT(field)   .offset = offsetof(struct flags, field)
#define TEXT(field) AT(field), .size = sizeof(((struct flags *)0)->field)
static const struct csl_option options[] = {
    {.name = "data",
     .type = CSL_OPT_PATH,
     TEXT(data),
     .fallback = "",
     .help = "Folder the study's data files lie in; CONSILIUM_DATA or ../shared/data without it."},
    {.name = "sites",
     .type = CSL_OPT_U32,
     AT(sites),
     .max = CSL_SITES_MAX,
     .fallback = "0",
     .unit = "sites",
     .help = "Only the first so many sites, or further synthetic hospitals; 0: as in the study."},
    {.name = "transport",
     .type = CSL_OPT_ENUM,
     AT(transport),
     .choices = transports,
     .fallback = "inproc",
     .help = "In one process, or as one process per site over mutual TLS; the same model."},
    {.name = "rounds",
     .type = CSL_OPT_U32,
     AT(rounds),
     .max = CSL_ROUNDS_MAX,
     .fallback = "0",
     .unit = "rounds",
     .help = "Other than the study says; 0: as in the study."},
    {.name = "seed",
     .type = CSL_OPT_U64,
     AT(seed),
     .fallback = "42",
     .help = "Of initial values and batches; the same seed gives the same model."},
    {.name = "seeds",
     .type = CSL_OPT_STR,
     TEXT(seeds),
     .fallback = "",
     .help = "Repeats with seeds A..B; adds mean and standard deviation of every number."},
    {.name = "initial_model",
     .type = CSL_OPT_PATH,
     TEXT(initial_model),
     .fallback = "",
     .help = "Weights that all training starts from, safetensors or NumPy .npz; drawn from the "
             "seed without it."},
    {.name = "epsilon",
     .type = CSL_OPT_STR,
     TEXT(epsilon),
     .fallback = "",
     .help = "Runs the study at each of these prices too and compares the quality: ascending, inf "
             "without privacy."},
    {.name = "audit",
     .type = CSL_OPT_U32,
     AT(audit),
     .max = CANARIES_MAX,
     .fallback = "0",
     .unit = "canaries",
     .help = "Fictitious patients per site that show what the released sums give away; 0: none."},
    {.name = "masks",
     .type = CSL_OPT_ENUM,
     AT(masks),
     .choices = masks,
     .fallback = "on",
     .help = "off: a study with secure_aggregation adds up plain words in one process; the same "
             "model in far less time, and nothing is hidden from it."},
    {.name = "backend",
     .type = CSL_OPT_ENUM,
     AT(backend),
     .choices = backends,
     .fallback = "auto",
     .help = "What computes; cpu-ref gives the same bits on every machine."},
    {.name = "baselines",
     .type = CSL_OPT_BOOL,
     AT(baselines),
     .fallback = "true",
     .help = "Each site alone and all records in one place, for comparison; --no-baselines leaves "
             "them out."},
    {.name = "leave_one_out",
     .type = CSL_OPT_BOOL,
     AT(leave_one_out),
     .fallback = "false",
     .help = "Runs the study again without each site and judges those models there."},
    {.name = "few_shot",
     .type = CSL_OPT_BOOL,
     AT(few_shot),
     .fallback = "false",
     .help = "With --leave-one-out: the site left out then has 8, 32 or 64 labelled patients of "
             "each class, for the head of that model or for one of its own."},
    {.name = "out",
     .type = CSL_OPT_PATH,
     TEXT(out),
     .fallback = "",
     .help = "Folder for report, model and tables; out/STUDY without it."},
    {.name = "json",
     .type = CSL_OPT_BOOL,
     AT(json),
     .fallback = "false",
     .help = "Print summary.json instead of a table."},
    CSL_OPTION_END,
};
static const char *const usage[] = {"STUDY.yaml [--data DIR] [--out DIR] [--seed S | --seeds A..B] "
                                    "[--epsilon E,E,...] [--leave-one-out [--few-shot]] [--json]",
                                    NULL};
static const char *const examples[] = {
    "consilium simulate simulations/scenarios/synthetic-federation.yaml --out out/demo",
    "consilium simulate simulations/scenarios/flamby-heart-fedavg.yaml --data ../shared/data "
    "--seeds 42..61 --json",
    "consilium simulate study.yaml --initial-model pretrained.safetensors",
    "consilium simulate study.yaml --epsilon 0.5,1,2,8,inf --seeds 42..46",
    "consilium simulate simulations/scenarios/heart-personal.yaml --leave-one-out --few-shot",
    NULL};

const struct csl_cli_doc csl_doc_simulate = {
    .name = "simulate",
    .summary = "run a study with all its sites on this machine and report how good the model is",
    .usage = usage,
    .options = options,
    .examples = examples,
};

static volatile sig_atomic_t was_interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    was_interrupted = 1;
}

static bool is_interrupted(void *ctx)
{
    (void)ctx;
    return was_interrupted != 0;
}

/* The first Ctrl-C asks to stop after the round in hand; a second one ends the program. */
static void catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND;
    (void)sigaction(SIGINT, &action, NULL);
}

struct command {
    struct flags flags;
    const char *study_path;
    uint64_t first_seed, last_seed;
    struct csl_run_price prices[CSL_PRICES_MAX];
    struct csl_study *price_studies[CSL_PRICES_MAX]; /* owned */
    uint32_t price_count;
    struct csl_study **left_out; /* [sim_site_count] or NULL; owned, each too */
    char program_dir[CSL_PATH_MAX];
};

static bool parse_seeds(const char *text, uint64_t *first, uint64_t *last)
{
    char head[24];
    const char *dots = strstr(text, "..");
    if (dots == NULL || (size_t)(dots - text) >= sizeof(head))
        return false;
    memcpy(head, text, (size_t)(dots - text));
    head[dots - text] = 0;
    return csl_parse_u64(head, first) && csl_parse_u64(dots + 2, last) && *first <= *last &&
           *last - *first < 100000;
}

/* Numbers above 0, each above the one before it, and inf for no privacy as the last one. */
static bool parse_prices(const char *text, struct command *c)
{
    double before = 0;
    do {
        char number[32];
        size_t n = strcspn(text, ",");
        if (c->price_count == CSL_PRICES_MAX || n >= sizeof(number) || isinf(before))
            return false;
        double *epsilon = &c->prices[c->price_count].epsilon;
        memcpy(number, text, n);
        number[n] = 0;
        if (strcmp(number, "inf") == 0)
            *epsilon = HUGE_VAL;
        else if (!csl_parse_f64(number, epsilon))
            return false;
        if (!(*epsilon > before))
            return false;
        before = *epsilon;
        c->price_count++;
        text += n;
    } while (*text++ == ',');
    return true;
}

static enum csl_code adapt_prices(struct command *c, const struct csl_study *study,
                                  struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; i < c->price_count && code == CSL_OK; i++) {
        const struct csl_manifest_change change = {.epsilon = c->prices[i].epsilon};
        code = csl_manifest_adapt(&c->price_studies[i], study, c->study_path, &change, err);
        c->prices[i].study = c->price_studies[i];
    }
    return code;
}

/* A study without each of its sites. */
static enum csl_code leave_out(struct command *c, const struct csl_study *study,
                               struct csl_err *err)
{
    struct csl_err why = {0};
    enum csl_code code = CSL_OK;
    if (!c->flags.leave_one_out)
        return CSL_OK;
    if (csl_study_has_kind(study, CSL_BLOCK_LOCAL))
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "--leave-one-out: a site that is left out of study %s has no local blocks "
                        "of its own to be judged with",
                        study->id);
    c->left_out = csl_alloc_array(study->sim_site_count, sizeof(*c->left_out));
    if (study->sim_site_count > 0 && c->left_out == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u studies", study->sim_site_count);
    for (uint32_t s = 0; s < study->sim_site_count && code == CSL_OK; s++) {
        const struct csl_manifest_change change = {.left_out = study->sim_sites[s].id};
        code = csl_manifest_adapt(&c->left_out[s], study, c->study_path, &change, &why);
        if (code != CSL_OK)
            code = CSL_FAIL(err, code, "--leave-one-out: without site %s: %s",
                            study->sim_sites[s].id, why.msg);
    }
    return code;
}

static enum csl_code check_few_shot(const struct command *c, const struct csl_study *study,
                                    struct csl_err *err)
{
    if (!c->flags.few_shot)
        return CSL_OK;
    if (study->input_count > 0)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "--few-shot: a few patients are drawn domain by domain, and those of study "
                        "%s, which has inputs, belong to several",
                        study->id);
    for (uint32_t d = 0; d < study->domain_count; d++)
        if (study->domains[d].label_count > 0)
            return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                            "--few-shot: so many patients of each class are drawn, and those of "
                            "domain %s, which has several labels, have no class",
                            study->domains[d].id);
    if (study->personal.is_on && study->baseline.enabled)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL,
                    "--few-shot: study %s has no section '%s', which says how the new site trains",
                    study->id, study->personal.is_on ? "baselines" : "personalisation");
}

static enum csl_code check_audit(const struct command *c, const struct csl_study *study,
                                 struct csl_err *err)
{
    bool is_joint = study->privacy.mode == CSL_PRIVACY_JOINT;
    if (c->flags.audit > 0 && is_joint)
        return CSL_FAIL(err, CSL_E_UNSUPPORTED,
                        "--audit: found it for study %s, whose noise is joint; mode local or site "
                        "would be right",
                        study->id);
    if (c->flags.audit == 0 || study->privacy.mode != CSL_PRIVACY_NONE)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL,
                    "--audit: found %u canaries for study %s, which has no privacy to audit; a "
                    "study whose section 'privacy' has a mode other than none would be right",
                    c->flags.audit, study->id);
}

static enum csl_code check_masks(const struct command *c, const struct csl_study *study,
                                 struct csl_err *err)
{
    if (c->flags.masks == MASKS_ON || study->secagg.is_on)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL,
                    "--masks: found off for study %s, which has none; a study with a section "
                    "'secure_aggregation' would be right",
                    study->id);
}

/* What is about a model has no meaning where none is trained. */
static enum csl_code check_statistics(const struct command *c, const struct csl_study *study,
                                      struct csl_err *err)
{
    const char *flag = c->price_count > 0             ? "--epsilon"
                       : c->flags.leave_one_out       ? "--leave-one-out"
                       : c->flags.audit > 0           ? "--audit"
                       : c->flags.rounds > 0          ? "--rounds"
                       : c->flags.initial_model[0]    ? "--initial-model"
                       : c->last_seed > c->first_seed ? "--seeds"
                                                      : NULL;
    if (!study->census.is_on || flag == NULL)
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL,
                    "%s: found it for study %s, which counts patients once and trains nothing; "
                    "leaving it out would be right",
                    flag, study->id);
}

static enum csl_code choose_folders(struct command *c, const char *study, struct csl_err *err)
{
    const char *data = getenv("CONSILIUM_DATA");
    if (c->flags.data[0] == 0 && !csl_str_copy(c->flags.data, sizeof(c->flags.data),
                                               data != NULL && data[0] ? data : "../shared/data"))
        return CSL_FAIL(err, CSL_E_LIMIT, "CONSILIUM_DATA is longer than %d bytes",
                        CSL_PATH_MAX - 1);
    if (c->flags.out[0] == 0)
        (void)snprintf(c->flags.out, sizeof(c->flags.out), "out/%s", study);
    struct csl_err why = {0};
    enum csl_code code = csl_dir_make(c->flags.out, &why);
    return code == CSL_OK
               ? CSL_OK
               : CSL_FAIL(err, code, "--out: %s; a folder that can be written would be right",
                          why.msg);
}

/* The daemons are installed beside this program. */
static enum csl_code find_programs(struct command *c, struct csl_err *err)
{
    ssize_t n = readlink("/proc/self/exe", c->program_dir, sizeof(c->program_dir) - 1);
    if (n <= 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "cannot find the folder of this program");
    c->program_dir[n] = 0;
    char *slash = strrchr(c->program_dir, '/');
    if (slash != NULL)
        *slash = 0;
    return CSL_OK;
}

static enum csl_code federate_inproc(void *ctx, const struct csl_world_config *config,
                                     struct csl_world_result *out, struct csl_err *err)
{
    (void)ctx;
    return csl_world_run(config, out, err);
}

static enum csl_code federate_grpc(void *ctx, const struct csl_world_config *config,
                                   struct csl_world_result *out, struct csl_err *err)
{
    const struct command *c = ctx;
    return csl_processes_run(config, c->program_dir, out, err);
}

static enum csl_code run(struct command *c, const struct csl_study *study, struct csl_result *out,
                         struct csl_err *err)
{
    bool is_grpc = c->flags.transport == TRANSPORT_GRPC;
    struct csl_prepared prepared = {.sites = NULL};
    const struct csl_prepare_config prepare = {.study = study,
                                               .study_path = c->study_path,
                                               .data_dir = c->flags.data,
                                               .out_dir = c->flags.out,
                                               .progress = stderr};
    const struct csl_run_config config = {
        .study = study,
        .prepared = &prepared,
        .federate = is_grpc ? federate_grpc : federate_inproc,
        .federate_ctx = c,
        .transport = transports[c->flags.transport],
        .backend = backends[c->flags.backend],
        .version = CSL_VERSION,
        .out_dir = c->flags.out,
        .initial_model = c->flags.initial_model[0] != 0 ? c->flags.initial_model : NULL,
        .needs_state_dir = is_grpc,
        .is_unmasked = c->flags.masks == MASKS_OFF,
        .has_baselines = c->flags.baselines,
        .prices = c->prices,
        .price_count = c->price_count,
        .left_out = (const struct csl_study *const *)c->left_out,
        .has_few_shot = c->flags.few_shot,
        .audit_canaries = c->flags.audit,
        .first_seed = c->first_seed,
        .last_seed = c->last_seed,
        .progress = stderr,
        .interrupted = is_interrupted};
    enum csl_code code = csl_prepare_sites(&prepared, &prepare, err);
    if (code == CSL_OK && is_grpc)
        code = find_programs(c, err);
    if (code == CSL_OK)
        code = csl_run_study(out, &config, err);
    csl_prepared_release(&prepared);
    return code;
}

/* What stands against handing the model out, if the study says anything about that. */
static void put_release(const struct csl_result *r, struct csl_buf *out)
{
    struct csl_release_verdict v;
    csl_release_judge(r, &v);
    if (!r->release.is_on)
        return;
    csl_buf_str(out, v.count == 0 ? "\nrelease: allowed by the study's conditions\n"
                                  : "\nrelease: BLOCKED by the study's conditions\n");
    for (uint32_t i = 0; i < v.count; i++)
        csl_buf_printf(out, "  %s\n", v.reasons[i]);
}

static int print_result(const struct command *c, const struct csl_result *r)
{
    struct csl_err err = {0};
    struct csl_buf out;
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (c->flags.json && csl_result_write_json(r, &out, &err) != CSL_OK) {
        csl_buf_release(&out);
        return csl_cli_fail(&csl_doc_simulate, &err);
    }
    if (!c->flags.json && r->statistics.domain_count > 0) {
        csl_statistics_print(&r->statistics, &out);
        csl_buf_printf(&out, "\nstatistics: %s/statistics.json\nreport: %s/report.html\n",
                       c->flags.out, c->flags.out);
    } else if (!c->flags.json) {
        csl_run_table(r, &out);
        put_release(r, &out);
        csl_buf_printf(&out, "\nreport: %s/report.html\n", c->flags.out);
    }
    int status = csl_cli_print(&out, CSL_EXIT_DONE);
    if (!r->was_interrupted)
        return status;
    (void)fprintf(stderr,
                  "consilium simulate: interrupted after round %" PRIu64 " of %" PRIu64
                  "; what was reached is in %s. The same command %s.\n",
                  r->rounds, r->rounds_planned, c->flags.out,
                  c->flags.transport == TRANSPORT_GRPC ? "goes on from there"
                                                       : "starts again and gives the same rounds");
    return CSL_EXIT_FAILED;
}

/* Events go to OUT/log.jsonl; NULL when it cannot be opened. */
static FILE *open_log(const char *out_dir, struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    if (csl_path_join(path, sizeof(path), out_dir, "log.jsonl", err) != CSL_OK)
        return NULL;
    FILE *f = fopen(path, "w");
    if (f == NULL)
        (void)CSL_FAIL_SYS(err, CSL_E_IO,
                           "--out: cannot write %s; a folder that can be written would be right",
                           path);
    else
        csl_log_setup(f, CSL_LOG_JSON, CSL_LOG_INFO);
    return f;
}

static int simulate(struct command *c, const struct csl_study *study)
{
    struct csl_result result = {0};
    struct csl_err err = {0};
    FILE *log = NULL;
    int status;
    enum csl_code code = choose_folders(c, study->id, &err);
    if (code == CSL_OK && (log = open_log(c->flags.out, &err)) == NULL)
        code = err.code;
    if (code == CSL_OK)
        code = run(c, study, &result, &err);
    if (code == CSL_OK)
        code = csl_run_write_files(&result, study, c->flags.out, &err);
    if (code != CSL_OK && log != NULL)
        csl_log_err(CSL_LOG_ERROR, "simulation.failed", &err);
    status = code == CSL_OK ? print_result(c, &result) : csl_cli_fail(&csl_doc_simulate, &err);
    csl_result_release(&result);
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_INFO);
    if (log != NULL)
        (void)fclose(log);
    return status;
}

/* --seed has a default, so the flags cannot tell whether it was given. */
static bool has_seed_flag(int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--seed") == 0 || strncmp(argv[i], "--seed=", 7) == 0)
            return true;
    return false;
}

/* Values that the option table cannot judge; 0 when they are right, else the exit status. */
static int check_flags(struct command *c, int argc, char *const *argv)
{
    c->first_seed = c->last_seed = c->flags.seed;
    c->price_count = 0;
    if (c->flags.seeds[0] != 0 && !parse_seeds(c->flags.seeds, &c->first_seed, &c->last_seed))
        return csl_cli_misuse(&csl_doc_simulate,
                              "--seeds: found '%s'; A..B such as 42..61, at "
                              "most 100000 seeds, would be right",
                              c->flags.seeds);
    if (c->flags.seeds[0] != 0 && has_seed_flag(argc, argv))
        return csl_cli_misuse(&csl_doc_simulate,
                              "found both --seed and --seeds; one of them would be right");
    if (c->flags.epsilon[0] != 0 && !parse_prices(c->flags.epsilon, c))
        return csl_cli_misuse(&csl_doc_simulate,
                              "--epsilon: found '%s'; at most %d ascending numbers above 0, the "
                              "last one may be inf, such as 0.5,1,2,8,inf, would be right",
                              c->flags.epsilon, CSL_PRICES_MAX);
    if (c->flags.few_shot && !c->flags.leave_one_out)
        return csl_cli_misuse(&csl_doc_simulate, "--few-shot: found it without --leave-one-out, "
                                                 "whose sites it is about");
    if (c->flags.audit > 0 && c->flags.transport == TRANSPORT_GRPC)
        return csl_cli_misuse(&csl_doc_simulate,
                              "--audit: found it with --transport grpc, whose sites take no "
                              "canaries; --transport inproc would be right");
    if (c->flags.masks == MASKS_OFF && c->flags.transport == TRANSPORT_GRPC)
        return csl_cli_misuse(&csl_doc_simulate,
                              "--masks: found off with --transport grpc, whose programs cannot "
                              "leave masks out; --transport inproc would be right");
    return 0;
}

int csl_cmd_simulate(int argc, char *const *argv)
{
    static struct command c; /* too large for the stack of a small thread */
    struct csl_command_line line = {0};
    struct csl_study *as_written = NULL, *study = NULL;
    struct csl_err err = {0};
    int status = 0;

    if (!csl_cli_start(&csl_doc_simulate, &c.flags, argc, argv, &line, &status))
        return status;
    if (line.positional_count != 1)
        return csl_cli_misuse(&csl_doc_simulate, "found %zu word%s; one study file would be right",
                              line.positional_count, csl_str_plural(line.positional_count));
    c.study_path = line.positional[0];
    status = check_flags(&c, argc, argv);
    if (status != 0)
        return status;
    const struct csl_manifest_change change = {.rounds = c.flags.rounds, .sites = c.flags.sites};
    enum csl_code code = csl_study_read(&as_written, c.study_path, &err);
    if (code == CSL_OK)
        code = check_statistics(&c, as_written, &err);
    if (code == CSL_OK)
        code = csl_manifest_adapt(&study, as_written, c.study_path, &change, &err);
    if (code == CSL_OK)
        code = check_audit(&c, study, &err);
    if (code == CSL_OK)
        code = check_masks(&c, study, &err);
    if (code == CSL_OK && c.flags.transport == TRANSPORT_GRPC)
        code = csl_sim_attack_refuse(study, &err);
    if (code == CSL_OK)
        code = adapt_prices(&c, study, &err);
    if (code == CSL_OK)
        code = check_few_shot(&c, study, &err);
    if (code == CSL_OK)
        code = leave_out(&c, study, &err);
    catch_interrupt();
    status = code == CSL_OK ? simulate(&c, study) : csl_cli_fail(&csl_doc_simulate, &err);
    for (uint32_t i = 0; i < c.price_count; i++) {
        csl_study_free(c.price_studies[i]);
        c.price_studies[i] = NULL;
    }
    for (uint32_t i = 0; c.left_out != NULL && i < study->sim_site_count; i++)
        csl_study_free(c.left_out[i]);
    csl_free(c.left_out);
    c.left_out = NULL;
    csl_study_free(study);
    csl_study_free(as_written);
    return status;
}
