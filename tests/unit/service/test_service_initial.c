/* A new study starts from the weights its coordinator was given; a stored one keeps its own. */
#include "base/file.h"
#include "base/le.h"
#include "coordinator/service.h"
#include "privacy/crypto/init.h"
#include "protocol/transport/inproc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(x) assert_int_equal((x), CSL_OK)

static const char study_text[] =
    "study: small\n"
    "domains:\n"
    "  - {id: d, modality: tabular, task: {kind: binary, label: ill}, features: [x, y]}\n"
    "model: {kind: linear}\n"
    "training: {local: {optimizer: sgd, learning_rate: 0.1, batch_patients: 2, steps: 2}}\n"
    "rounds: 2\n"
    "aggregation: {strategy: fedavg, weights: {kind: samples}}\n"
    "privacy: {mode: none}\n"
    "sites: {minimum: 1}\n";
static const char roster[1][CSL_ID_MAX] = {"a"};
static const float given[3] = {0.5F, -0.25F, 4};

static char dir[32], state_dir[64], weights[64];
static struct csl_study *study;

static void put_weights(const char *shape)
{
    uint8_t file[512] = {0};
    struct csl_err err;
    int n = snprintf((char *)file + 8, sizeof(file) - 8,
                     "{\"d.weight\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[0,8]},"
                     "\"d.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
                     shape);
    csl_store_le64(file, (uint64_t)n);
    memcpy(file + 8 + n, given, sizeof(given));
    OK(csl_file_write_atomic(weights, CSL_SPAN(file, 8 + (size_t)n + sizeof(given)), 0600, &err));
}

static int setup(void **state)
{
    struct csl_err err;
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/csl-initial-XXXXXX");
    if (mkdtemp(dir) == NULL || csl_crypto_init(&err) != CSL_OK)
        return -1;
    snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
    snprintf(weights, sizeof(weights), "%s/w.safetensors", dir);
    OK(csl_study_parse(&study, "small.yaml", CSL_SPAN(study_text, strlen(study_text)), &err));
    return 0;
}

static int teardown(void **state)
{
    char command[64];
    (void)state;
    csl_study_free(study);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* Starts a coordinator, copies its parameters, ends it. */
static enum csl_code start(const char *folder, const char *initial, float parameters[3],
                           struct csl_err *err)
{
    struct csl_inproc *net = NULL;
    struct csl_transport *server = NULL;
    struct csl_service *service = NULL;
    OK(csl_inproc_new(&net, &(struct csl_inproc_config){0}, err));
    OK(csl_inproc_server(net, &server, err));
    const struct csl_service_config config = {.study = study,
                                              .roster = roster,
                                              .roster_count = 1,
                                              .seed = 7,
                                              .open_wait_ms = 1000,
                                              .state_dir = folder,
                                              .initial_model = initial,
                                              .transport = server};
    enum csl_code code = csl_service_new(&service, &config, err);
    if (code == CSL_OK)
        memcpy(parameters, csl_service_parameters(service), 3 * sizeof(*parameters));
    csl_service_free(service);
    server->ops->free(server);
    csl_inproc_free(net);
    return code;
}

static void test_service_initial__a_new_study__starts_from_the_given_weights(void **state)
{
    float got[3], drawn[3];
    struct csl_err err;
    (void)state;
    put_weights("[1,2]");
    OK(start(NULL, weights, got, &err));
    assert_memory_equal(got, given, sizeof(given));
    OK(start(NULL, NULL, drawn, &err));
    csl_schema_init_parameters(&study->schema, 7, got);
    assert_memory_equal(got, drawn, sizeof(drawn));
    assert_memory_not_equal(drawn, given, sizeof(given));
}

static void test_service_initial__a_stored_study__keeps_its_own_and_needs_no_file(void **state)
{
    float got[3] = {0};
    struct csl_err err;
    (void)state;
    put_weights("[1,2]");
    OK(start(state_dir, weights, got, &err));
    memset(got, 0, sizeof(got));
    OK(start(state_dir, "/no/such/weights", got, &err));
    assert_memory_equal(got, given, sizeof(given));
    OK(start(state_dir, NULL, got, &err));
    assert_memory_equal(got, given, sizeof(given));
}

static void test_service_initial__weights_of_another_model__refused_and_nothing_begun(void **state)
{
    char other[64];
    float got[3] = {0};
    struct csl_err err;
    (void)state;
    snprintf(other, sizeof(other), "%s/other", dir);
    put_weights("[2,1]");
    assert_int_equal(start(other, weights, got, &err), CSL_E_INVAL);
    assert_non_null(strstr(err.msg, "tensor d.weight has shape [2, 1]; [1, 2] would be right"));
    assert_int_equal(start(other, "/no/such/weights", got, &err), CSL_E_NOTFOUND);
    put_weights("[1,2]"); /* the mistake is mended: the same folder begins with them */
    OK(start(other, weights, got, &err));
    assert_memory_equal(got, given, sizeof(given));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service_initial__a_new_study__starts_from_the_given_weights),
        cmocka_unit_test(test_service_initial__a_stored_study__keeps_its_own_and_needs_no_file),
        cmocka_unit_test(test_service_initial__weights_of_another_model__refused_and_nothing_begun),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
