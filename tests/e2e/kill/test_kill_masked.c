/* SITES real consilium-site processes and a coordinator, gRPC and mutual TLS on loopback, a study
 * under masks (FSA-1): VICTIMS sites are killed with SIGKILL at random moments of the first rounds
 * and never started again. The study must end, and the released model must be, bit for bit, the one
 * of the plain sums of the survivors.
 *
 * That sum is worked out here without the service, the agent, the masks or the strategy: every
 * survivor of a round is trained on its records from the model of the round before, its update is
 * put in fixed point, and integers are added. A last sum, which trains nothing, judges the model.
 * Only who was in a sum is the coordinator's word (event secagg.sum of its log); with any other set
 * the model would be another.
 *
 * usage: test_kill_masked PROGRAM-DIR [SEED]
 * The seed decides who is killed, in which round, and how long after its beginning. */
#include "tests/unit/world/fixture.h"

#include "aggregation/tensor/schema.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"
#include "simulations/processes.h"
#include "site-agent/training/train.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SITES         37u
#define VICTIMS       8u
#define ROUNDS        3u
#define DEADLY_ROUNDS 2u     /* kills begin in one of the first so many rounds */
#define DELAY_MS      10000u /* at most, after the round began, or when it is over */
#define LIMIT_S       115u
#define SEED          11u
#define PARAMETERS    16u
#define TESTED        6u /* patients of a site, with a record each (fixture_records) */
#define LOG_BYTES_MAX ((size_t)64 << 20)

struct site {
    struct csl_world_site world;
    pid_t pid;
    bool is_victim;
    uint32_t round; /* of the kill */
    uint64_t delay_ns;
};
static struct site sites[SITES];
static bool is_in_sum[ROUNDS + 1][SITES]; /* of the last round too, which only judges the model */
static char run_dir[CSL_PATH_MAX], coordinator_log[CSL_PATH_MAX];
static const char *program_dir;

_Noreturn static void die(const char *what, const char *why)
{
    fprintf(stderr, "test_kill_masked: FAILED: %s: %s\n", what, why);
    for (uint32_t i = 0; i < SITES; i++)
        if (sites[i].pid > 0)
            kill(sites[i].pid, SIGKILL);
    exit(1);
}

static void must(enum csl_code code, const struct csl_err *err, const char *what)
{
    if (code != CSL_OK)
        die(what, err->msg);
}

/* --- the study --- */

static struct csl_study *make_study(void)
{
    static const char yaml[] =
        "study: killed\nquestion: Is this patient ill?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"
        "rounds: 3\naggregation: {strategy: fedavg, weights: {kind: samples}}\n"
        "secure_aggregation: {protocol: fsa-1, colluding: 12, minimum_sites: 25}\n"
        "sites: {minimum: 25, round_deadline: 20s}\n";
    struct csl_study *study = NULL;
    struct csl_err err = {.code = CSL_OK};
    must(csl_study_parse(&study, "killed.yaml", CSL_SPAN(yaml, sizeof(yaml) - 1), &err), &err,
         "study");
    if (study->rounds != ROUNDS || study->schema.parameters > PARAMETERS)
        die("study", "not the one that this test is about");
    return study;
}

/* --- processes --- */

static pid_t start(const char *program, const char *folder, const char *config)
{
    char path[CSL_PATH_MAX], file[CSL_PATH_MAX], log[CSL_PATH_MAX], option[] = "--config";
    struct csl_err err = {.code = CSL_OK};
    must(csl_path_join(path, sizeof(path), program_dir, program, &err), &err, program);
    must(csl_path_join(file, sizeof(file), folder, config, &err), &err, folder);
    must(csl_path_join(log, sizeof(log), folder, "log", &err), &err, folder);
    char *argv[] = {path, option, file, NULL};
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd, STDERR_FILENO);
        execv(path, argv);
        _exit(127);
    }
    close(fd);
    if (pid < 0)
        die("fork", program);
    return pid;
}

/* How often a word is in the coordinator's log. */
static uint32_t count_in_log(const char *word)
{
    struct csl_msg text = {NULL, 0};
    uint32_t n = 0;
    if (csl_file_read(&text, coordinator_log, LOG_BYTES_MAX, NULL) != CSL_OK)
        return 0;
    for (const char *p = strstr((const char *)text.p, word); p != NULL; p = strstr(p + 1, word))
        n++;
    csl_msg_release(&text);
    return n;
}

static void choose_victims(struct csl_rng *rng)
{
    for (uint32_t chosen = 0; chosen < VICTIMS;) {
        struct site *s = &sites[csl_rng_below(rng, SITES)];
        if (s->is_victim)
            continue;
        s->is_victim = true;
        s->round = (uint32_t)csl_rng_below(rng, DEADLY_ROUNDS) + 1;
        s->delay_ns = csl_rng_below(rng, DELAY_MS) * CSL_NS_PER_MS;
        chosen++;
    }
}

static uint32_t kill_due(uint32_t round, uint64_t since_ns, uint64_t started_ns)
{
    uint32_t killed = 0;
    for (uint32_t i = 0; i < SITES; i++) {
        struct site *s = &sites[i];
        bool is_due = s->round < round || (s->round == round && since_ns >= s->delay_ns);
        if (!s->is_victim || s->pid <= 0 || !is_due)
            continue;
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
        s->round = round;
        killed++;
        printf("%6.2f s: killed %s, %.2f s into round %u\n",
               (double)(csl_clock_monotonic_ns() - started_ns) / 1e9, s->world.id,
               (double)since_ns / 1e9, round);
        fflush(stdout);
    }
    return killed;
}

/* A round begins when the sum of the one before is open; the first, when all are there. */
static uint32_t run_study(pid_t coordinator)
{
    uint64_t started_ns = csl_clock_monotonic_ns(), round_ns = started_ns;
    uint32_t round = 0, killed = 0;
    while (csl_clock_monotonic_ns() - started_ns < LIMIT_S * CSL_NS_PER_S) {
        int status = 0;
        if (waitpid(coordinator, &status, WNOHANG) == coordinator) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                die("the coordinator ended", coordinator_log);
            printf("the study ended after %.1f s\n",
                   (double)(csl_clock_monotonic_ns() - started_ns) / 1e9);
            return killed;
        }
        uint32_t sums = count_in_log("secagg.sum");
        bool has_begun = sums > 0 || count_in_log("state=training") > 0;
        if (has_begun && sums + 1 > round) {
            round = sums + 1;
            round_ns = csl_clock_monotonic_ns();
        }
        killed += kill_due(round, csl_clock_monotonic_ns() - round_ns, started_ns);
        csl_clock_sleep_ms(10);
    }
    kill(coordinator, SIGKILL);
    die("the study did not end in time", coordinator_log);
}

/* --- the plain sums --- */

static void read_sums(void)
{
    static const char begin[] = "numbers=";
    struct csl_msg text = {NULL, 0};
    struct csl_err err = {.code = CSL_OK};
    uint32_t round = 0;
    must(csl_file_read(&text, coordinator_log, LOG_BYTES_MAX, &err), &err, "log");
    for (const char *p = strstr((const char *)text.p, "secagg.sum"); p != NULL;
         p = strstr(p, "secagg.sum")) {
        if (round == ROUNDS + 1 || (p = strstr(p, begin)) == NULL)
            die("log", "events secagg.sum that are not one a round");
        for (p += sizeof(begin) - 1; *p >= '0' && *p <= '9'; p += *p == ',') {
            char *end;
            unsigned long number = strtoul(p, &end, 10);
            if (number < 1 || number > SITES || is_in_sum[round][number - 1])
                die("log", "a number that no site has, or twice");
            is_in_sum[round][number - 1] = true;
            p = end;
        }
        round++;
    }
    csl_msg_release(&text);
    if (round != ROUNDS + 1)
        die("log", "too few sums");
}

/* A number after `key` in the one line that the coordinator wrote of the last model's figures. */
static uint64_t told_of_last(const char *line, const char *key)
{
    const char *at = strstr(line, key), *end = strchr(line, '\n');
    if (at == NULL || end == NULL || at > end)
        die("log", key);
    return strtoull(at + strlen(key), NULL, 10);
}

/* The evaluation of the last model is of the sites in its sum, and of no patient less. */
static void check_evaluation(void)
{
    struct csl_msg text = {NULL, 0};
    struct csl_err err = {.code = CSL_OK};
    uint64_t count = 0;
    for (uint32_t i = 0; i < SITES; i++)
        count += is_in_sum[ROUNDS][i];
    must(csl_file_read(&text, coordinator_log, LOG_BYTES_MAX, &err), &err, "log");
    const char *line = strstr((const char *)text.p, "event=round.evaluated");
    if (line == NULL || strstr(line + 1, "event=round.evaluated") != NULL)
        die("log", "not one evaluation");
    if (told_of_last(line, " round=") != ROUNDS || told_of_last(line, " sites=") != count ||
        told_of_last(line, " patients=") != count * TESTED ||
        told_of_last(line, " records=") != count * TESTED)
        die("evaluation", "not of the sites that are in its sum");
    printf("the last model was judged by %u sites\n", (unsigned)count);
    csl_msg_release(&text);
}

/* Adds one site's update, weighted by its patients, in units of 2^-32. */
static void add_site(const struct csl_study *study, const struct site *s, uint64_t round,
                     const float *global, int64_t *sum, int64_t *weights)
{
    struct csl_err err = {.code = CSL_OK};
    struct csl_dataset *data = NULL;
    struct csl_trainer *trainer = NULL;
    struct csl_train_report report;
    float update[PARAMETERS] = {0};
    must(csl_dataset_load(&data, s->world.record_path, study, &err), &err, "records");
    must(csl_trainer_new(&trainer, study, "cpu-ref", &err), &err, "trainer");
    struct csl_train_task task = {
        .data = data, .seed = SEED, .round = round, .global = global, .update = update};
    must(csl_trainer_run(trainer, &task, &report, &err), &err, "training");
    double patients = (double)report.blocks[0].patients;
    for (uint64_t i = 0; i < study->schema.parameters; i++)
        sum[i] += (int64_t)rint((double)update[i] * patients * 0x1p32);
    *weights += (int64_t)rint(patients * 0x1p32);
    csl_trainer_free(trainer);
    csl_dataset_free(data);
}

static void plain_model(const struct csl_study *study, float *model)
{
    csl_schema_init_parameters(&study->schema, SEED, model);
    for (uint32_t r = 0; r < ROUNDS; r++) {
        int64_t sum[PARAMETERS] = {0}, weights = 0;
        uint32_t count = 0;
        for (uint32_t i = 0; i < SITES; i++) {
            if (!is_in_sum[r][i])
                continue;
            add_site(study, &sites[i], r + 1, model, sum, &weights);
            count++;
        }
        double factor = 1.0 / ((double)weights / 0x1p32);
        for (uint64_t i = 0; i < study->schema.parameters; i++) {
            float mean = (float)((double)sum[i] / 0x1p32 * factor);
            model[i] = (float)((double)model[i] + (double)mean);
        }
        if (count < 25 || count > SITES)
            die("sum", "fewer sites than the study's minimum");
    }
}

static void print_sets(void)
{
    for (uint32_t r = 0; r <= ROUNDS; r++) {
        printf("round %u: a sum without", r + 1);
        for (uint32_t i = 0; i < SITES; i++)
            if (!is_in_sum[r][i])
                printf(" %s", sites[i].world.id);
        puts("");
    }
}

/* The dead are in no sum after the round they died in. */
static void check_sets(void)
{
    for (uint32_t i = 0; i < SITES; i++)
        for (uint32_t r = 0; sites[i].is_victim && r <= ROUNDS; r++)
            if (r + 1 > sites[i].round && is_in_sum[r][i])
                die("a dead site is in a sum", sites[i].world.id);
}

/* --- */

static void prepare(const struct fixture *f, struct csl_world_config *c,
                    struct csl_world_site *list)
{
    struct csl_err err = {.code = CSL_OK};
    for (uint32_t i = 0; i < SITES; i++) {
        char name[80];
        struct csl_world_site *w = &sites[i].world;
        snprintf(w->id, sizeof(w->id), "site-%02u", i);
        snprintf(name, sizeof(name), "site-%02u.h5", i);
        fixture_path(f, name, w->record_path);
        fixture_records(w->record_path, w->id, 100 + i);
        list[i] = *w;
    }
    must(csl_processes_prepare(c, &err), &err, "prepare");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        die("usage", "test_kill_masked PROGRAM-DIR [SEED]");
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_ERROR);
    setenv("OMP_NUM_THREADS", "1", 1);
    struct csl_err err = {.code = CSL_OK};
    struct fixture f;
    fixture_open(&f, "fedavg", ROUNDS);
    program_dir = argv[1];
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "kill masked", 0, 0, 0);
    struct csl_study *study = make_study();
    static struct csl_world_site list[SITES];
    fixture_path(&f, "run", run_dir);
    struct csl_world_config c = {.study = study,
                                 .sites = list,
                                 .site_count = SITES,
                                 .seed = SEED,
                                 .backend = "cpu-ref",
                                 .state_dir = run_dir};
    prepare(&f, &c, list);
    choose_victims(&rng);
    char folder[CSL_PATH_MAX];
    must(csl_path_join(folder, sizeof(folder), run_dir, "coordinator", &err), &err, "coordinator");
    must(csl_path_join(coordinator_log, sizeof(coordinator_log), folder, "log", &err), &err, "log");
    pid_t coordinator = start("consilium-coordinator", folder, "coordinator.yaml");
    for (uint32_t i = 0; i < SITES; i++) {
        char name[80];
        snprintf(name, sizeof(name), "sites/site-%02u", i);
        must(csl_path_join(folder, sizeof(folder), run_dir, name, &err), &err, name);
        sites[i].pid = start("consilium-site", folder, "site.yaml");
    }
    uint32_t killed = run_study(coordinator);
    for (uint32_t i = 0; i < SITES; i++) {
        if (sites[i].pid > 0) {
            kill(sites[i].pid, SIGKILL);
            waitpid(sites[i].pid, NULL, 0);
            sites[i].pid = 0;
        }
    }
    if (killed != VICTIMS)
        die("too few sites were killed before the end", "another seed or longer rounds");
    read_sums();
    check_sets();
    print_sets();
    check_evaluation();
    struct csl_world_result result;
    must(csl_processes_collect(&c, &result, &err), &err, "collect");
    float model[PARAMETERS] = {0};
    plain_model(study, model);
    if (memcmp(model, result.parameters, study->schema.parameters * sizeof(float)) != 0)
        die("model", "not that of the plain sums of the survivors");
    for (uint32_t i = 0; i < SITES; i++) { /* one site less in the last sum is another model */
        if (is_in_sum[ROUNDS - 1][i]) {
            is_in_sum[ROUNDS - 1][i] = false;
            break;
        }
    }
    plain_model(study, model);
    if (memcmp(model, result.parameters, study->schema.parameters * sizeof(float)) == 0)
        die("model", "does not depend on who is in a sum");
    printf("%u of %u sites killed, seed %llu; the model is that of the plain sums, bit for bit\n",
           killed, SITES, (unsigned long long)seed);
    csl_world_result_release(&result);
    csl_study_free(study);
    fixture_close(&f);
    return 0;
}
