#include "simulations/processes.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/str.h"
#include "coordinator/core/coord.h"
#include "coordinator/model/model_file.h"
#include "coordinator/publications.h"
#include "coordinator/store/store.h"
#include "simulations/attack.h"
#include "simulations/ledgers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_MS          50u
#define STATUS_BYTES_MAX ((size_t)8 * 1024 * 1024)

struct process {
    pid_t pid; /* 0: not running */
    char dir[CSL_PATH_MAX], config[CSL_PATH_MAX], program[CSL_PATH_MAX];
    int status;
};
struct run {
    const struct csl_world_config *config;
    struct process *processes; /* [site_count + 1]; the coordinator first */
    uint32_t count;
    struct csl_progress progress;
};

static enum csl_code open_process(struct process *p, const char *program_dir, const char *program,
                                  const char *state_dir, const char *name, const char *config,
                                  struct csl_err *err)
{
    enum csl_code code = csl_path_join(p->program, sizeof(p->program), program_dir, program, err);
    if (code == CSL_OK)
        code = csl_path_join(p->dir, sizeof(p->dir), state_dir, name, err);
    if (code == CSL_OK)
        code = csl_path_join(p->config, sizeof(p->config), p->dir, config, err);
    if (code == CSL_OK && access(p->program, X_OK) != 0)
        code = CSL_FAIL_SYS(err, CSL_E_NOTFOUND, "%s", p->program);
    return code;
}

static enum csl_code start_process(struct process *p, struct csl_err *err)
{
    char log[CSL_PATH_MAX];
    enum csl_code code = csl_path_join(log, sizeof(log), p->dir, "log", err);
    if (code != CSL_OK)
        return code;
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return CSL_FAIL_SYS(err, CSL_E_IO, "%s", log);
    char option[] = "--config";
    char *argv[] = {p->program, option, p->config, NULL};
    p->pid = fork(); /* this process never initialises gRPC */
    if (p->pid == 0) {
        dup2(fd, STDERR_FILENO);
        dup2(fd, STDOUT_FILENO);
        execv(p->program, argv);
        _exit(127);
    }
    close(fd);
    if (p->pid > 0)
        return CSL_OK;
    p->pid = 0;
    return CSL_FAIL_SYS(err, CSL_E_IO, "cannot start %s", p->program);
}

/* The last line of the process's log, without its end. */
static void last_line(const struct process *p, char *out, size_t n)
{
    char path[CSL_PATH_MAX];
    struct csl_msg text = {NULL, 0};
    snprintf(out, n, "no log");
    if (csl_path_join(path, sizeof(path), p->dir, "log", NULL) != CSL_OK ||
        csl_file_read(&text, path, STATUS_BYTES_MAX, NULL) != CSL_OK)
        return;
    size_t end = text.n;
    while (end > 0 && text.p[end - 1] == '\n')
        end--;
    size_t begin = end;
    while (begin > 0 && text.p[begin - 1] != '\n')
        begin--;
    csl_str_escape(out, n, (const char *)text.p + begin, end - begin);
    csl_msg_release(&text);
}

/* Collects the dead. *running counts the living. */
static enum csl_code reap(struct run *r, uint32_t *running, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    *running = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        struct process *p = &r->processes[i];
        if (p->pid == 0)
            continue;
        if (waitpid(p->pid, &p->status, WNOHANG) == 0) {
            ++*running;
            continue;
        }
        p->pid = 0;
        bool is_well = WIFEXITED(p->status) && WEXITSTATUS(p->status) <= 1; /* 1: asked to stop */
        if (is_well || code != CSL_OK)
            continue;
        char line[256];
        last_line(p, line, sizeof(line));
        code = CSL_FAIL(err, CSL_E_IO, "%s ended with status %d: %s", p->config,
                        WIFEXITED(p->status) ? WEXITSTATUS(p->status) : -WTERMSIG(p->status), line);
    }
    return code;
}

static void signal_all(const struct run *r, int number)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->processes[i].pid != 0)
            kill(r->processes[i].pid, number);
}

static void show_progress(struct run *r)
{
    char path[CSL_PATH_MAX];
    struct csl_json_doc *doc = NULL;
    uint64_t round = 0;
    if (csl_path_join(path, sizeof(path), r->processes[0].dir, "state/status.json", NULL) !=
            CSL_OK ||
        csl_json_read(&doc, path, STATUS_BYTES_MAX, NULL) != CSL_OK)
        return;
    if (csl_json_as_u64(csl_json_get(csl_json_root(doc), "round"), &round))
        csl_progress_update(&r->progress, round);
    csl_json_free(doc);
}

static enum csl_code wait_for_end(struct run *r, bool *was_interrupted, struct csl_err *err)
{
    const struct csl_world_config *c = r->config;
    for (;;) {
        uint32_t running = 0;
        enum csl_code code = reap(r, &running, err);
        if (code != CSL_OK || running == 0)
            return code;
        if (!*was_interrupted && c->interrupted != NULL && c->interrupted(c->interrupted_ctx)) {
            *was_interrupted = true;
            signal_all(r, SIGTERM);
        }
        show_progress(r);
        csl_clock_sleep_ms(POLL_MS);
    }
}

static enum csl_code start_all(struct run *r, const char *program_dir, struct csl_err *err)
{
    const struct csl_world_config *c = r->config;
    enum csl_code code = open_process(&r->processes[0], program_dir, "consilium-coordinator",
                                      c->state_dir, "coordinator", "coordinator.yaml", err);
    for (uint32_t i = 0; code == CSL_OK && i < c->site_count; i++) {
        char name[CSL_ID_MAX + 8];
        snprintf(name, sizeof(name), "sites/%s", c->sites[i].id);
        code = open_process(&r->processes[i + 1], program_dir, "consilium-site", c->state_dir, name,
                            "site.yaml", err);
    }
    for (uint32_t i = 0; code == CSL_OK && i < r->count; i++)
        code = start_process(&r->processes[i], err);
    return code;
}

enum csl_code csl_processes_run(const struct csl_world_config *c, const char *program_dir,
                                struct csl_world_result *out, struct csl_err *err)
{
    CSL_ASSERT(c->state_dir != NULL);
    struct run r = {.config = c, .count = c->site_count + 1};
    bool was_interrupted = false;
    r.processes = csl_alloc_array(r.count, sizeof(*r.processes));
    if (r.processes == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u processes", r.count);
    csl_progress_start(&r.progress, c->progress, "rounds", "rounds", c->study->rounds);
    enum csl_code code = csl_sim_attack_refuse(c->study, err);
    if (code == CSL_OK)
        code = csl_processes_prepare(c, err);
    if (code == CSL_OK)
        code = start_all(&r, program_dir, err);
    if (code == CSL_OK)
        code = wait_for_end(&r, &was_interrupted, err);
    signal_all(&r, SIGKILL); /* only after a failure is anybody left */
    for (uint32_t i = 0; i < r.count; i++)
        if (r.processes[i].pid != 0)
            waitpid(r.processes[i].pid, NULL, 0);
    csl_progress_finish(&r.progress);
    csl_free(r.processes);
    if (code == CSL_OK)
        code = csl_processes_collect(c, out, err);
    if (code == CSL_OK)
        out->was_interrupted = was_interrupted;
    return code;
}

/* --- what the coordinator left behind --- */

struct collector {
    const struct csl_world_config *config;
    struct csl_world_result *result;
    uint32_t capacity;
};

static uint32_t find_site(const struct collector *k, const char *id)
{
    for (uint32_t i = 0; i < k->config->site_count; i++)
        if (strcmp(k->config->sites[i].id, id) == 0)
            return i;
    return UINT32_MAX;
}

static enum csl_code take_member(void *ctx, const struct csl_store_member *m, struct csl_err *err)
{
    struct collector *k = ctx;
    uint32_t i = find_site(k, m->site);
    if (i == UINT32_MAX)
        return CSL_FAIL(err, CSL_E_CORRUPT, "the coordinator counted an unknown site '%s'",
                        m->site);
    k->result->site_rounds[i] = (uint32_t)m->rounds_contributed;
    for (uint32_t b = 0; b < m->block_count; b++)
        if (m->blocks[b].block < k->config->study->schema.block_count) /* else of evaluations */
            k->result->site_patients[i] += m->blocks[b].patients;
    k->result->site_blocks[i].count =
        m->membership == (uint32_t)CSL_MEMBER_ACCEPTED ? m->block_count : 0;
    memcpy(k->result->site_blocks[i].blocks, m->blocks, sizeof(m->blocks));
    return CSL_OK;
}

static enum csl_code take_round(void *ctx, const struct csl_store_round *row, struct csl_err *err)
{
    struct collector *k = ctx;
    if (row->round < 1 || row->round > k->config->study->rounds)
        return CSL_FAIL(err, CSL_E_CORRUPT, "the coordinator's store has a round %llu",
                        (unsigned long long)row->round);
    k->result->round_rows[row->round - 1] = (struct csl_world_round){
        .round = row->round, .contributions = row->contributions, .train_loss = row->train_loss};
    k->result->rounds = row->round;
    return CSL_OK;
}

static enum csl_code take_evaluation(void *ctx, const struct csl_store_evaluation *e,
                                     struct csl_err *err)
{
    struct collector *k = ctx;
    bool is_pooled = e->site[0] == '\0';
    uint32_t site = is_pooled ? CSL_WORLD_ALL_SITES : find_site(k, e->site);
    if (!is_pooled && site == UINT32_MAX)
        return CSL_FAIL(err, CSL_E_CORRUPT, "the coordinator has an evaluation of site '%s'",
                        e->site);
    if (k->result->evaluation_count == k->capacity) {
        uint32_t capacity = k->capacity * 2 + 16;
        void *grown =
            csl_realloc_array(k->result->evaluations, capacity, sizeof(*k->result->evaluations));
        if (grown == NULL)
            return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u evaluations", capacity);
        k->result->evaluations = grown;
        k->capacity = capacity;
    }
    k->result->evaluations[k->result->evaluation_count++] =
        (struct csl_world_evaluation){e->round, site, e->block};
    return CSL_OK;
}

struct publishing {
    struct csl_publications all;
    struct csl_world_result *result;
};

/* As the coordinator itself reads them at a start. */
static enum csl_code take_publication(void *ctx, const struct csl_store_publication *row,
                                      struct csl_err *err)
{
    struct publishing *p = ctx;
    enum csl_code code = csl_publications_take(&p->all, row, err);
    return code == CSL_OK ? csl_world_take_published(p->result, &p->all.newest[row->domain], err)
                          : code;
}

static enum csl_code take_publications(const struct csl_world_config *c, struct csl_store *store,
                                       struct csl_world_result *r, struct csl_err *err)
{
    struct publishing p = {.result = r};
    if (!c->study->statistics.is_on)
        return CSL_OK;
    enum csl_code code = csl_publications_open(&p.all, c->study, err);
    if (code == CSL_OK)
        code = csl_store_each_publication(store, take_publication, &p, err);
    csl_publications_close(&p.all);
    return code;
}

static enum csl_code take_model(const struct csl_world_config *c, struct csl_world_result *r,
                                struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    struct csl_model_file file;
    enum csl_code code =
        csl_path_join(path, sizeof(path), c->state_dir, "coordinator/state/model.h5", err);
    if (code == CSL_OK && !csl_file_exists(path)) { /* interrupted: the last checkpoint */
        char name[96];
        snprintf(name, sizeof(name), "coordinator/state/model-%llu.h5",
                 (unsigned long long)r->rounds);
        code = csl_path_join(path, sizeof(path), c->state_dir, name, err);
    }
    if (code == CSL_OK)
        code = csl_model_read(path, &c->study->schema, &file, err);
    if (code != CSL_OK)
        return code;
    r->parameters = file.parameters;
    file.parameters = NULL;
    memcpy(r->model_digest, file.digest, CSL_DIGEST_BYTES);
    csl_model_file_release(&file);
    return CSL_OK;
}

enum csl_code csl_processes_collect(const struct csl_world_config *c, struct csl_world_result *out,
                                    struct csl_err *err)
{
    char path[CSL_PATH_MAX];
    struct csl_store *store = NULL;
    struct csl_world_result r = {.rounds = 0};
    struct collector k = {c, &r, 0};
    enum csl_code code = CSL_OK;
    r.round_rows = csl_alloc_array(c->study->rounds, sizeof(*r.round_rows));
    r.site_rounds = csl_alloc_array(c->site_count, sizeof(*r.site_rounds));
    r.site_patients = csl_alloc_array(c->site_count, sizeof(*r.site_patients));
    r.site_blocks = csl_alloc_array(c->site_count, sizeof(*r.site_blocks));
    r.privacy = csl_alloc_array(c->site_count, sizeof(*r.privacy));
    if (r.round_rows == NULL || r.site_rounds == NULL || r.site_patients == NULL ||
        r.site_blocks == NULL || r.privacy == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for the result");
    if (code == CSL_OK)
        code = csl_path_join(path, sizeof(path), c->state_dir, "coordinator/state/state.db", err);
    if (code == CSL_OK)
        code = csl_store_open(&store, path, err);
    if (code == CSL_OK)
        code = csl_store_each_member(store, take_member, &k, err);
    if (code == CSL_OK)
        code = csl_store_each_round(store, take_round, &k, err);
    if (code == CSL_OK)
        code = csl_store_each_evaluation(store, take_evaluation, &k, err);
    if (code == CSL_OK)
        code = take_publications(c, store, &r, err);
    csl_store_close(store);
    if (code == CSL_OK)
        code = take_model(c, &r, err);
    if (code == CSL_OK)
        code =
            csl_path_join(path, sizeof(path), c->state_dir, "coordinator/state/status.json", err);
    if (code == CSL_OK)
        code = csl_sim_take_rejections(path, c->study, &r, err);
    for (uint32_t i = 0; code == CSL_OK && i < c->site_count; i++) {
        char name[CSL_ID_MAX + 32];
        snprintf(name, sizeof(name), "sites/%s/state/ledger.db", c->sites[i].id);
        code = csl_path_join(path, sizeof(path), c->state_dir, name, err);
        if (code == CSL_OK)
            code = csl_sim_ledger_take_file(path, c, c->sites[i].id, &r.privacy[i], err);
    }
    if (code != CSL_OK) {
        csl_world_result_release(&r);
        return code;
    }
    *out = r;
    return CSL_OK;
}
