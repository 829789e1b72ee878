/* kill -9 of the real coordinator and the real sites at random moments, over gRPC and mutual TLS,
 * at least KILLS times in one run: the released model must be, byte for byte, the one of an
 * undisturbed run in one process.
 *
 * usage: test_kill PROGRAM-DIR [SEED]
 * The seed decides who is killed and how long the pauses are; without one it is 1. */
#include "tests/unit/world/fixture.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "privacy/crypto/rng.h"
#include "simulations/processes.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLS    200u
#define ROUNDS   300u
#define LIMIT_S  360u
#define PARTIES  (FIXTURE_SITES + 1)
#define PAUSE_MS 120u /* at most, between two kills */

struct party {
    pid_t pid;
    char program[CSL_PATH_MAX], config[CSL_PATH_MAX], log[CSL_PATH_MAX];
    uint32_t kills;
};

_Noreturn static void die(const char *what, const char *why)
{
    fprintf(stderr, "test_kill: FAILED: %s: %s\n", what, why);
    exit(1);
}

static void must(enum csl_code code, const struct csl_err *err, const char *what)
{
    if (code != CSL_OK)
        die(what, err->msg);
}

static void start(struct party *p)
{
    int fd = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    p->pid = fork();
    if (p->pid == 0) {
        char option[] = "--config";
        char *argv[] = {p->program, option, p->config, NULL};
        dup2(fd, STDERR_FILENO);
        execv(p->program, argv);
        _exit(127);
    }
    close(fd);
    if (p->pid < 0)
        die("fork", p->program);
}

static void kill_hard(struct party *p)
{
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

static void name_party(struct party *p, const char *program_dir, const char *run_dir,
                       const char *site)
{
    struct csl_err err = {.code = CSL_OK};
    char name[128];
    snprintf(name, sizeof(name), site == NULL ? "consilium-coordinator" : "consilium-site");
    must(csl_path_join(p->program, sizeof(p->program), program_dir, name, &err), &err, name);
    snprintf(name, sizeof(name),
             site == NULL ? "coordinator/coordinator.yaml" : "sites/%s/site.yaml", site);
    must(csl_path_join(p->config, sizeof(p->config), run_dir, name, &err), &err, name);
    snprintf(name, sizeof(name), site == NULL ? "coordinator/log" : "sites/%s/log", site);
    must(csl_path_join(p->log, sizeof(p->log), run_dir, name, &err), &err, name);
}

/* Lets the study run under fire. Returns the number of kills; the coordinator ended by itself. */
static uint32_t run_under_fire(struct party *parties, struct csl_rng *rng)
{
    uint32_t kills = 0;
    uint64_t end_ns = csl_clock_monotonic_ns() + LIMIT_S * CSL_NS_PER_S;
    for (uint32_t i = 0; i < PARTIES; i++)
        start(&parties[i]);
    while (csl_clock_monotonic_ns() < end_ns) {
        csl_clock_sleep_ms((uint32_t)csl_rng_below(rng, PAUSE_MS) + 1);
        int status = 0;
        if (waitpid(parties[0].pid, &status, WNOHANG) == parties[0].pid) {
            parties[0].pid = 0;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                die("the coordinator ended", parties[0].log);
            return kills;
        }
        if (kills >= KILLS)
            continue; /* enough: let it finish */
        struct party *victim = &parties[csl_rng_below(rng, PARTIES)];
        if (victim->pid != 0)
            kill_hard(victim);
        victim->kills++;
        kills++;
        csl_clock_sleep_ms((uint32_t)csl_rng_below(rng, 20));
        start(victim);
    }
    die("the study did not end in time", "see the logs");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        die("usage", "test_kill PROGRAM-DIR [SEED]");
    csl_log_setup(stderr, CSL_LOG_LOGFMT, CSL_LOG_ERROR);
    struct fixture f;
    struct csl_err err = {.code = CSL_OK};
    fixture_open(&f, "scaffold, averaging: {kind: ema, decay: 0.9}", ROUNDS);
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct csl_rng rng;
    csl_rng_init_label(&rng, seed, "kill", 0, 0, 0);

    struct csl_world_site sites[FIXTURE_SITES];
    for (uint32_t i = 0; i < FIXTURE_SITES; i++) {
        csl_str_copy(sites[i].id, sizeof(sites[i].id), f.ids[i]);
        csl_str_copy(sites[i].record_path, sizeof(sites[i].record_path), f.records[i]);
    }
    struct csl_world_config c = {.study = f.study,
                                 .sites = sites,
                                 .site_count = FIXTURE_SITES,
                                 .seed = 11,
                                 .backend = "auto"};
    struct csl_world_result calm, rough;
    must(csl_world_run(&c, &calm, &err), &err, "undisturbed run");

    char run_dir[CSL_PATH_MAX];
    fixture_path(&f, "run", run_dir);
    c.state_dir = run_dir;
    must(csl_processes_prepare(&c, &err), &err, "prepare");
    static struct party parties[PARTIES];
    name_party(&parties[0], argv[1], run_dir, NULL);
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        name_party(&parties[i + 1], argv[1], run_dir, f.ids[i]);
    uint64_t started = csl_clock_monotonic_ns();
    uint32_t kills = run_under_fire(parties, &rng);
    double seconds = (double)(csl_clock_monotonic_ns() - started) / 1e9;
    for (uint32_t i = 0; i < PARTIES; i++)
        if (parties[i].pid != 0)
            kill_hard(&parties[i]);

    must(csl_processes_collect(&c, &rough, &err), &err, "collect");
    char hex[2 * CSL_DIGEST_BYTES + 1];
    csl_hex(rough.model_digest, CSL_DIGEST_BYTES, hex);
    printf("%u kills (%u of the coordinator) in %.1f s, seed %llu, %llu rounds, model %s\n", kills,
           parties[0].kills, seconds, (unsigned long long)seed, (unsigned long long)rough.rounds,
           hex);
    if (kills < KILLS)
        die("too few kills before the end", "give the study more rounds");
    if (rough.rounds != ROUNDS)
        die("rounds", "not all were committed");
    for (uint32_t i = 0; i < FIXTURE_SITES; i++)
        if (rough.site_rounds[i] != ROUNDS)
            die("a contribution was lost or counted twice", f.ids[i]);
    size_t bytes = f.study->schema.parameters * sizeof(float);
    if (memcmp(calm.parameters, rough.parameters, bytes) != 0)
        die("model", "differs from the undisturbed run");
    csl_world_result_release(&calm);
    csl_world_result_release(&rough);
    fixture_close(&f);
    puts("same model, byte for byte");
    return 0;
}
