/* The YAML reader and the option table behind it: the door through which every file of an operator
 * comes in. */
#include "base/check.h"
#include "base/mem.h"
#include "base/option.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

struct inner {
    uint64_t wait_ms, bytes;
    bool is_on;
};
struct target {
    char id[CSL_ERR_MSG_MAX], path[32];
    uint32_t rounds;
    uint64_t seed;
    double rate;
    int kind;
    struct inner inner;
    const struct csl_yaml_node *sites;
};

static const char *const kinds[] = {"linear", "cox", "mlp", NULL};
static const struct csl_option inner_rows[] = {
    {"wait", CSL_OPT_MS, offsetof(struct inner, wait_ms), 0, 0, 3600000, "30s", NULL, NULL, NULL,
     "Wait."},
    {"bytes", CSL_OPT_BYTES, offsetof(struct inner, bytes), 0, 0, 0, "1MiB", NULL, NULL, NULL,
     "Bytes."},
    {"on", CSL_OPT_BOOL, offsetof(struct inner, is_on), 0, 0, 0, "true", NULL, NULL, NULL, "On."},
    CSL_OPTION_END,
};
static const struct csl_option rows[] = {
    {"id", CSL_OPT_ID, offsetof(struct target, id), 0, 0, 0, "one", NULL, NULL, NULL, "Id."},
    {"path", CSL_OPT_PATH, offsetof(struct target, path), 32, 0, 0, "", NULL, NULL, NULL, "Path."},
    {"rounds", CSL_OPT_U32, offsetof(struct target, rounds), 0, 1, 1000000, NULL, "rounds", NULL,
     NULL, "Rounds."},
    {"seed", CSL_OPT_U64, offsetof(struct target, seed), 0, 0, 0, "42", NULL, NULL, NULL, "Seed."},
    {"rate", CSL_OPT_F64, offsetof(struct target, rate), 0, 0, 1, "0.1", NULL, NULL, NULL, "Rate."},
    {"kind", CSL_OPT_ENUM, offsetof(struct target, kind), 0, 0, 0, "linear", NULL, kinds, NULL,
     "Kind."},
    {"inner", CSL_OPT_SECTION, offsetof(struct target, inner), 0, 0, 0, NULL, NULL, NULL,
     inner_rows, "Inner."},
    {"sites", CSL_OPT_NODE, offsetof(struct target, sites), 0, 0, 0, NULL, NULL, NULL, NULL,
     "Sites."},
    CSL_OPTION_END,
};

/* An error must say where. */
static void check_error(const struct csl_err *err)
{
    CSL_ASSERT(err->code != CSL_OK && err->code != CSL_E_BUG);
    CSL_ASSERT(strncmp(err->msg, "f.yaml", 6) == 0 || err->code == CSL_E_NOMEM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csl_yaml *y = NULL;
    struct csl_err err = {.code = CSL_OK};
    if (csl_yaml_parse(&y, "f.yaml", CSL_SPAN(data, size), &err) != CSL_OK) {
        CSL_ASSERT(y == NULL);
        check_error(&err);
        return 0;
    }
    struct target t, untouched;
    memset(&t, 0x5a, sizeof(t));
    memcpy(&untouched, &t, sizeof(t));
    if (csl_option_read_yaml(rows, &t, y, csl_yaml_root(y), &err) != CSL_OK) {
        check_error(&err);
        CSL_ASSERT(memcmp(&t, &untouched, sizeof(t)) == 0);
    } else {
        CSL_ASSERT(t.rounds >= 1 && t.rounds <= 1000000 && t.rate >= 0 && t.rate <= 1);
        CSL_ASSERT(t.kind >= 0 && t.kind <= 2 && t.inner.wait_ms <= 3600000);
    }
    csl_yaml_free(y);
    return 0;
}
