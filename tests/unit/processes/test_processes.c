/* What is written down for a federation of processes: complete, usable by the daemons as it is, and
 * left alone when it is there already. */
#include "base/file.h"
#include "base/str.h"
#include "coordinator/config.h"
#include "privacy/secagg/party.h"
#include "protocol/identity/pki.h"
#include "protocol/identity/roster.h"
#include "simulations/processes.h"
#include "site-agent/config.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SITES 3
#define FILES 64

static char dir[64], state_dir[CSL_PATH_MAX];
static struct csl_study *study;
/* Ids that are names of other parties too, and a path YAML would read differently. */
static const struct csl_world_site sites[SITES] = {
    {"coordinator", "/records/a b/\"quoted\" \\ back.h5"},
    {"authority", "relative/records.h5"},
    {"cork", "/records/c.h5"},
};

static struct csl_study *parse_study(const char *id, const char *more)
{
    char yaml[1024];
    struct csl_study *s = NULL;
    struct csl_err err = {.code = CSL_OK};
    snprintf(
        yaml, sizeof(yaml),
        "study: %s\nquestion: Is this patient ill?\n"
        "domains:\n  - id: illness\n    modality: tabular\n"
        "    task: {kind: binary, label: ill, positive: 1}\n"
        "    features: [first, second]\n    scaling: constants\n    model: {kind: linear}\n"
        "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 4, steps: 3}}\n"
        "rounds: 2\naggregation: {strategy: fedavg}\n%s",
        id, more);
    if (csl_study_parse(&s, "study.yaml", CSL_SPAN(yaml, strlen(yaml)), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return s;
}

static struct csl_world_config config(void)
{
    return (struct csl_world_config){.study = study,
                                     .sites = sites,
                                     .site_count = SITES,
                                     .seed = 42,
                                     .backend = "cpu-ref",
                                     .state_dir = state_dir};
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/csl-processes-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(state_dir, sizeof(state_dir), "%s/run", dir);
    study = parse_study("processes", "");
    return 0;
}

/* Every file and folder below dir, parents first. */
static uint32_t walk(char paths[FILES][CSL_PATH_MAX])
{
    uint32_t count = 0, done = 0;
    csl_str_copy(paths[count++], CSL_PATH_MAX, dir);
    for (; done < count; done++) {
        DIR *d = opendir(paths[done]);
        for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
            bool is_dot = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
            if (!is_dot && count < FILES &&
                csl_path_join(paths[count], CSL_PATH_MAX, paths[done], e->d_name, NULL) == CSL_OK)
                count++;
        }
        if (d != NULL)
            closedir(d);
    }
    return count;
}

static int remove_dir(void **state)
{
    static char paths[FILES][CSL_PATH_MAX];
    (void)state;
    for (uint32_t i = walk(paths); i > 0; i--)
        if (unlink(paths[i - 1]) != 0)
            rmdir(paths[i - 1]);
    csl_study_free(study);
    return access(dir, F_OK) == 0;
}

static void prepare(void)
{
    struct csl_world_config c = config();
    struct csl_err err = {.code = CSL_OK};
    if (csl_processes_prepare(&c, &err) != CSL_OK)
        fail_msg("%s", err.msg);
}

static void in_state(char out[CSL_PATH_MAX], const char *name)
{
    assert_int_equal(csl_path_join(out, CSL_PATH_MAX, state_dir, name, NULL), CSL_OK);
}

/* The key is the certificate's, the authority vouches for it, and it says who it is. */
static void check_tls(const char *key, const char *chain, const char *roots, const char *spiffe_id,
                      uint8_t pin[CSL_PIN_BYTES])
{
    struct csl_msg files[3];
    struct csl_certificate certificate;
    struct csl_err err = {.code = CSL_OK};
    struct stat st;
    const char *const paths[3] = {key, chain, roots};
    for (size_t i = 0; i < 3; i++)
        if (csl_file_read(&files[i], paths[i], CSL_PEM_BYTES_MAX, &err) != CSL_OK)
            fail_msg("%s", err.msg);
    if (csl_pki_check_set(csl_msg_span(&files[0]), csl_msg_span(&files[1]), csl_msg_span(&files[2]),
                          &err) != CSL_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < 3; i++)
        csl_msg_release(&files[i]);
    assert_int_equal(csl_certificate_read(&certificate, chain, &err), CSL_OK);
    assert_string_equal(certificate.spiffe_id, spiffe_id);
    memcpy(pin, certificate.pin, CSL_PIN_BYTES);
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_processes__prepared__coordinator_can_start(void **state)
{
    static struct csl_coordinator_config c;
    struct csl_err err = {.code = CSL_OK};
    struct csl_study *read = NULL;
    struct csl_roster *roster = NULL;
    uint8_t pin[CSL_PIN_BYTES];
    char path[CSL_PATH_MAX];
    (void)state;
    prepare();
    in_state(path, "coordinator/coordinator.yaml");
    if (csl_coordinator_config_read(&c, path, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(c.seed, 42);
    assert_non_null(strstr(c.state, "/coordinator/state"));
    assert_int_equal(strncmp(c.listen, "127.0.0.1:", 10), 0); /* loopback only */
    uint64_t port = 0;
    assert_true(csl_parse_u64(c.listen + 10, &port) && port > 0);
    check_tls(c.tls.key, c.tls.chain, c.tls.roots, "spiffe://simulation.consilium/coordinator",
              pin);
    if (csl_study_read(&read, c.study, &err) != CSL_OK ||
        csl_roster_load(&roster, c.roster, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_memory_equal(read->digest, study->digest, CSL_DIGEST_BYTES);
    assert_int_equal(csl_roster_count(roster), SITES);
    csl_study_free(read);
    csl_roster_free(roster);
}

static void test_processes__prepared__every_site_can_start(void **state)
{
    static struct csl_coordinator_config coordinator;
    static struct csl_site_config c;
    struct csl_err err = {.code = CSL_OK};
    struct csl_roster *roster = NULL;
    char path[CSL_PATH_MAX], name[128], here[CSL_PATH_MAX], expected[CSL_PATH_MAX];
    (void)state;
    prepare();
    in_state(path, "coordinator/coordinator.yaml");
    assert_int_equal(csl_coordinator_config_read(&coordinator, path, &err), CSL_OK);
    assert_int_equal(csl_roster_load(&roster, coordinator.roster, &err), CSL_OK);
    for (uint32_t i = 0; i < SITES; i++) {
        uint8_t pin[CSL_PIN_BYTES];
        snprintf(name, sizeof(name), "sites/%.63s/site.yaml", sites[i].id);
        in_state(path, name);
        if (csl_site_config_read(&c, path, &err) != CSL_OK)
            fail_msg("%s", err.msg);
        assert_string_equal(c.site, sites[i].id);
        assert_string_equal(c.coordinator, coordinator.listen);
        assert_string_equal(csl_site_backends[c.backend], "cpu-ref");
        assert_int_equal(c.policy.approval, CSL_APPROVAL_AUTOMATIC);
        assert_non_null(getcwd(here, sizeof(here)));
        assert_int_equal(
            csl_path_join(expected, sizeof(expected), here, sites[i].record_path, NULL), CSL_OK);
        assert_string_equal(c.records, expected);
        snprintf(name, sizeof(name), "spiffe://simulation.consilium/site/%.63s", sites[i].id);
        check_tls(c.tls.key, c.tls.chain, c.tls.roots, name, pin);
        assert_true(csl_roster_admits(roster, sites[i].id, pin));
    }
    csl_roster_free(roster);
}

static void check_party(const char *key, const char *roster, const char *root, const char *state,
                        const char *site)
{
    const struct csl_secagg_party_files files = {
        .key = key, .roster = roster, .root = root, .state_dir = state, .site = site};
    struct csl_secagg_party *party = NULL;
    struct csl_err err = {.code = CSL_OK};
    if (csl_secagg_party_open(&party, &files, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(party->roster.count, SITES);
    assert_int_equal(csl_secagg_roster_find_name(&party->roster, "authority"), 0); /* by name */
    csl_secagg_party_close(party);
}

static void test_processes__study_under_masks__every_party_has_its_keys(void **state)
{
    static struct csl_coordinator_config coordinator;
    static struct csl_site_config c;
    struct csl_err err = {.code = CSL_OK};
    char path[CSL_PATH_MAX], name[128];
    (void)state;
    csl_study_free(study);
    study = NULL;
    study = parse_study("masked", "secure_aggregation: {protocol: fsa-1, colluding: 1, "
                                  "minimum_sites: 3}\n"
                                  "sites: {minimum: 3}\n");
    prepare();
    in_state(path, "study.yaml");
    assert_int_equal(unlink(path), 0); /* interrupted before its last step, and begun again */
    prepare();
    in_state(path, "coordinator/coordinator.yaml");
    assert_int_equal(csl_coordinator_config_read(&coordinator, path, &err), CSL_OK);
    check_party(coordinator.secagg.key, coordinator.secagg.roster, coordinator.secagg.root,
                coordinator.state, NULL);
    for (uint32_t i = 0; i < SITES; i++) {
        snprintf(name, sizeof(name), "sites/%.63s/site.yaml", sites[i].id);
        in_state(path, name);
        if (csl_site_config_read(&c, path, &err) != CSL_OK)
            fail_msg("%s", err.msg);
        check_party(c.secagg.key, c.secagg.roster, c.secagg.root, c.state, c.site);
        assert_true(c.policy.masked_only && c.policy.masked.has_colluding);
        assert_int_equal(c.policy.masked.minimum_sites, 3);
    }
}

static void test_processes__prepared_twice__unchanged(void **state)
{
    static char before[FILES][CSL_PATH_MAX], after[FILES][CSL_PATH_MAX];
    static struct csl_msg contents[FILES];
    struct csl_err err;
    (void)state;
    prepare();
    uint32_t count = walk(before);
    assert_in_range(count, 10, FILES - 1);
    for (uint32_t i = 0; i < count; i++)
        if (csl_file_read(&contents[i], before[i], 1 << 20, &err) != CSL_OK)
            contents[i] = (struct csl_msg){NULL, 0}; /* a folder */
    prepare();
    assert_int_equal(walk(after), count);
    for (uint32_t i = 0; i < count; i++) {
        struct csl_msg now = {NULL, 0};
        assert_string_equal(before[i], after[i]);
        if (contents[i].p == NULL)
            continue;
        assert_int_equal(csl_file_read(&now, after[i], 1 << 20, &err), CSL_OK);
        assert_true(csl_span_equal(csl_msg_span(&contents[i]), csl_msg_span(&now)));
        csl_msg_release(&now);
        csl_msg_release(&contents[i]);
    }
}

/* study.yaml is written last: without it a folder was not prepared, and is from the beginning. */
static void test_processes__interrupted_halfway__prepared_again(void **state)
{
    static struct csl_site_config c;
    struct csl_err err = {.code = CSL_OK};
    uint8_t pin[CSL_PIN_BYTES];
    char path[CSL_PATH_MAX];
    (void)state;
    prepare();
    in_state(path, "study.yaml");
    assert_int_equal(unlink(path), 0);
    in_state(path, "sites/cork/site.yaml");
    assert_int_equal(unlink(path), 0);
    prepare();
    if (csl_site_config_read(&c, path, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    check_tls(c.tls.key, c.tls.chain, c.tls.roots, "spiffe://simulation.consilium/site/cork", pin);
}

static void test_processes__folder_of_another_study__refused(void **state)
{
    struct csl_err err;
    struct csl_study *other = parse_study("another", "");
    struct csl_world_config c = config();
    (void)state;
    prepare();
    c.study = other;
    assert_int_equal(csl_processes_prepare(&c, &err), CSL_E_STATE);
    assert_non_null(strstr(err.msg, "holds another study ('processes')"));
    csl_study_free(other);
}

/* The coordinator would draw one, and the run would not be the one of that seed. */
static void test_processes__seed_zero__refused(void **state)
{
    struct csl_err err;
    struct csl_world_config c = config();
    (void)state;
    c.seed = 0;
    assert_int_equal(csl_processes_prepare(&c, &err), CSL_E_INVAL);
    assert_int_equal(access(state_dir, F_OK), -1);
}

static void test_processes__programs_missing__said_before_anything_starts(void **state)
{
    struct csl_err err;
    struct csl_world_config c = config();
    struct csl_world_result result;
    (void)state;
    assert_int_equal(csl_processes_run(&c, dir, &result, &err), CSL_E_NOTFOUND);
    assert_non_null(strstr(err.msg, "consilium-coordinator"));
}

static void test_processes__nothing_was_run__nothing_to_collect(void **state)
{
    struct csl_err err;
    struct csl_world_config c = config();
    struct csl_world_result result = {.rounds = 99};
    (void)state;
    prepare();
    assert_int_not_equal(csl_processes_collect(&c, &result, &err), CSL_OK);
    assert_int_equal(result.rounds, 99);
}

/* The daemons have no code for it, and a study that asks for it runs none of them. */
static void test_processes__study_with_an_attack__is_refused(void **state)
{
    struct csl_study *attacked =
        parse_study("attacked", "simulation:\n  sites:\n    - {id: cork, synth: 0, attack: {kind: "
                                "label_flip}}\n    - {id: authority, synth: 1}\n"
                                "    - {id: coordinator, synth: 2}\n");
    struct csl_world_config c = config();
    struct csl_world_result out;
    struct csl_err err = {.code = CSL_OK};
    (void)state;
    c.study = attacked;
    assert_int_equal(csl_processes_run(&c, "/nowhere", &out, &err), CSL_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "site cork has an 'attack'"));
    csl_study_free(attacked);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        T(test_processes__study_with_an_attack__is_refused),
        T(test_processes__prepared__coordinator_can_start),
        T(test_processes__prepared__every_site_can_start),
        T(test_processes__study_under_masks__every_party_has_its_keys),
        T(test_processes__prepared_twice__unchanged),
        T(test_processes__interrupted_halfway__prepared_again),
        T(test_processes__folder_of_another_study__refused),
        T(test_processes__seed_zero__refused),
        T(test_processes__programs_missing__said_before_anything_starts),
        T(test_processes__nothing_was_run__nothing_to_collect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
