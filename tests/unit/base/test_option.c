/* Option tables: files, command lines, and what is printed from the same rows. */
#include "base/limits.h"
#include "base/mem.h"
#include "base/option.h"
#include "tests/unit/base/fixture.h"

#include <string.h>

struct wait {
    uint64_t timeout_ms;
    uint64_t chunk_bytes;
};
struct options {
    bool is_verbose, is_fast;
    uint32_t rounds;
    uint64_t seed;
    double rate;
    char title[16];
    char id[CSL_ID_MAX];
    char path[32];
    int kind;
    struct wait wait;
    const struct csl_yaml_node *sites;
};

static const char *const kinds[] = {"linear", "cox", "mlp", NULL};

#define AT(field) .offset = offsetof(struct options, field)
static const struct csl_option wait_rows[] = {
    {.name = "timeout",
     .type = CSL_OPT_MS,
     .offset = offsetof(struct wait, timeout_ms),
     .min = 500,
     .max = 7200000,
     .fallback = "30s",
     .help = "Patience."},
    {.name = "chunk",
     .type = CSL_OPT_BYTES,
     .offset = offsetof(struct wait, chunk_bytes),
     .min = 1,
     .max = 1048576,
     .fallback = "64KiB",
     .help = "Piece."},
    CSL_OPTION_END,
};
static const struct csl_option rows[] = {
    {.name = "rounds",
     .type = CSL_OPT_U32,
     AT(rounds),
     .min = 1,
     .max = 1000000,
     .help = "How long to train."},
    {.name = "seed", .type = CSL_OPT_U64, AT(seed), .fallback = "42", .help = "Seed."},
    {.name = "rate",
     .type = CSL_OPT_F64,
     AT(rate),
     .min = 0,
     .max = 1,
     .fallback = "0.1",
     .unit = "units per step",
     .help = "Rate."},
    {.name = "title",
     .type = CSL_OPT_STR,
     AT(title),
     .size = 16,
     .fallback = "a \"b\"",
     .help = "Title."},
    {.name = "id", .type = CSL_OPT_ID, AT(id), .fallback = "", .help = "Id."},
    {.name = "out_path",
     .type = CSL_OPT_PATH,
     AT(path),
     .size = 32,
     .fallback = "",
     .help = "Out."},
    {.name = "kind",
     .type = CSL_OPT_ENUM,
     AT(kind),
     .choices = kinds,
     .fallback = "cox",
     .help = "Kind."},
    {.name = "verbose", .type = CSL_OPT_BOOL, AT(is_verbose), .fallback = "false", .help = "Talk."},
    {.name = "fast", .type = CSL_OPT_BOOL, AT(is_fast), .fallback = "true", .help = "Hurry."},
    {.name = "wait", .type = CSL_OPT_SECTION, AT(wait), .section = wait_rows, .help = "Waiting."},
    {.name = "sites", .type = CSL_OPT_NODE, AT(sites), .help = "Who takes part."},
    CSL_OPTION_END,
};

static enum csl_code read_yaml(const char *text, struct options *o, struct csl_err *err)
{
    struct csl_yaml *y = NULL;
    enum csl_code code = csl_yaml_parse(&y, "study.yaml", span_of(text), err);
    if (code == CSL_OK)
        code = csl_option_read_yaml(rows, o, y, csl_yaml_root(y), err);
    csl_yaml_free(y);
    return code;
}

static void test_option_yaml__every_type__is_read(void **state)
{
    (void)state;
    struct options o = {.rounds = 0};
    struct csl_err err;
    const char *text = "rounds: 7\nseed: 18446744073709551615\nrate: 2.5e-1\ntitle: yes we can\n"
                       "id: site-1\nout_path: a/b\nkind: mlp\nverbose: true\nfast: false\n"
                       "wait:\n  timeout: 2h\n  chunk: 1MiB\nsites: [a, b]\n";
    if (read_yaml(text, &o, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(o.rounds, 7);
    assert_true(o.seed == UINT64_MAX);
    assert_true(o.rate > 0.2499 && o.rate < 0.2501);
    assert_string_equal(o.title, "yes we can");
    assert_string_equal(o.id, "site-1");
    assert_string_equal(o.path, "a/b");
    assert_int_equal(o.kind, 2);
    assert_true(o.is_verbose);
    assert_false(o.is_fast);
    assert_int_equal(o.wait.timeout_ms, 7200000);
    assert_int_equal(o.wait.chunk_bytes, 1048576);
    assert_non_null(o.sites);
}

static void assert_defaults(const struct options *o)
{
    assert_int_equal(o->seed, 42);
    assert_true(o->rate > 0.0999 && o->rate < 0.1001);
    assert_string_equal(o->title, "a \"b\"");
    assert_string_equal(o->id, "");
    assert_string_equal(o->path, "");
    assert_int_equal(o->kind, 1);
    assert_false(o->is_verbose);
    assert_true(o->is_fast);
    assert_int_equal(o->wait.timeout_ms, 30000);
    assert_int_equal(o->wait.chunk_bytes, 65536);
    assert_null(o->sites);
}

static void test_option_yaml__absent_rows__get_defaults(void **state)
{
    (void)state;
    struct options o;
    memset(&o, 0x5a, sizeof(o));
    assert_int_equal(read_yaml("rounds: 1\n", &o, NULL), CSL_OK);
    assert_defaults(&o);
    assert_int_equal(o.rounds, 1);
}

static void test_option_yaml__no_mapping__gives_defaults_and_leaves_required(void **state)
{
    (void)state;
    struct options o;
    struct csl_yaml *y = NULL;
    memset(&o, 0x5a, sizeof(o));
    assert_int_equal(csl_yaml_parse(&y, "f.yaml", span_of(""), NULL), CSL_OK);
    assert_int_equal(csl_option_read_yaml(rows, &o, y, NULL, NULL), CSL_OK);
    assert_defaults(&o);
    assert_int_equal(o.rounds, 0x5a5a5a5a);
    csl_yaml_free(y);
}

static const struct {
    const char *text, *message;
} wrong_files[] = {
    {"rounds: ten\n",
     "study.yaml:1:9: rounds: found 'ten'; a whole number from 1 to 1000000 would be right"},
    {"rounds: 0\n",
     "study.yaml:1:9: rounds: found '0'; a whole number from 1 to 1000000 would be right"},
    {"rounds: 1000001\n",
     "study.yaml:1:9: rounds: found '1000001'; a whole number from 1 to 1000000 would be right"},
    {"rounds: -1\n",
     "study.yaml:1:9: rounds: found '-1'; a whole number from 1 to 1000000 would be right"},
    {"rounds:\n",
     "study.yaml:1:8: rounds: found nothing; a whole number from 1 to 1000000 would be right"},
    {"rounds: \"\"\n",
     "study.yaml:1:9: rounds: found ''; a whole number from 1 to 1000000 would be right"},
    {"rounds: [1]\n",
     "study.yaml:1:9: rounds: found a list; a whole number from 1 to 1000000 would be right"},
    {"rounds: {a: 1}\n",
     "study.yaml:1:9: rounds: found a mapping; a whole number from 1 to 1000000 would be right"},
    {"seed: 1\n",
     "study.yaml:1:1: key 'rounds' is missing; a whole number from 1 to 1000000 would be right"},
    {"rounds: 1\nseed: 1.5\n", "study.yaml:2:7: seed: found '1.5'; a whole number would be right"},
    {"rounds: 1\nrate: 1.01\n",
     "study.yaml:2:7: rate: found '1.01'; a number of units per step from 0 to 1 would be right"},
    {"rounds: 1\nrate: .nan\n",
     "study.yaml:2:7: rate: found '.nan'; a number of units per step from 0 to 1 would be right"},
    {"rounds: 1\ntitle: 0123456789abcdef\n",
     "study.yaml:2:8: title: found '0123456789abcdef'; a text of at most 15 bytes would be right"},
    {"rounds: 1\ntitle:\n",
     "study.yaml:2:7: title: found nothing; a text of at most 15 bytes would be right"},
    {"rounds: 1\nid: A b\n", "study.yaml:2:5: id: found 'A b'; a name of at most 63 of a-z, 0-9, "
                             "'.', '_' and '-' would be right"},
    {"rounds: 1\nkind: tree\n",
     "study.yaml:2:7: kind: found 'tree'; linear, cox or mlp would be right"},
    {"rounds: 1\nfast: yes\n", "study.yaml:2:7: fast: found 'yes'; true or false would be right"},
    {"rounds: 1\nwait: 3\n",
     "study.yaml:2:7: wait: found '3'; a mapping (lines of 'key: value') would be right"},
    {"rounds: 1\nwait: {timeout: 30}\n",
     "study.yaml:2:17: timeout: found '30'; a time such as 500ms, 30s, 5m or 2h from 500ms to 2h "
     "would be right"},
    {"rounds: 1\nwait: {timeout: 3h}\n",
     "study.yaml:2:17: timeout: found '3h'; a time such as 500ms, 30s, 5m or 2h from 500ms to 2h "
     "would be right"},
    {"rounds: 1\nwait: {chunk: 2MB}\n",
     "study.yaml:2:15: chunk: found '2MB'; a size such as 64KiB, 2MiB or 1GiB from 1 bytes to 1MiB "
     "would be right"},
    {"rounds: 1\nwait: {timeut: 3s}\n",
     "study.yaml:2:8: timeut: no such key; timeout, chunk would be right"},
    {"rounds: 1\nkid: 3\n", "study.yaml:2:1: kid: no such key; id, rounds, seed, rate, title, "
                            "out_path, kind, verbose, fast, wait, sites would be right"},
    {"rounds: 1\n\"zzzzzzzz\\n\": 3\n",
     "study.yaml:2:1: zzzzzzzz\\x0a: no such key; rounds, seed, rate, title, id, "
     "out_path, kind, verbose, fast, wait, sites would be right"},
};

static void test_option_yaml__wrong_files__are_explained_and_write_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong_files); i++) {
        struct options o, before;
        struct csl_err err = {.msg = "no error"};
        memset(&o, 0x5a, sizeof(o));
        memcpy(&before, &o, sizeof(o));
        assert_int_equal(read_yaml(wrong_files[i].text, &o, &err), CSL_E_INVAL);
        assert_string_equal(err.msg, wrong_files[i].message);
        assert_memory_equal(&o, &before, sizeof(o));
    }
}

static void test_option_yaml__times_and_sizes__table(void **state)
{
    (void)state;
    static const struct csl_option any[] = {{.name = "t",
                                             .type = CSL_OPT_MS,
                                             .offset = offsetof(struct wait, timeout_ms),
                                             .fallback = "0"},
                                            {.name = "b",
                                             .type = CSL_OPT_BYTES,
                                             .offset = offsetof(struct wait, chunk_bytes),
                                             .fallback = "0"},
                                            CSL_OPTION_END};
    static const struct {
        const char *text;
        bool is_right;
        uint64_t ms, bytes;
    } cases[] = {
        {"{t: 500ms, b: 17}", true, 500, 17},
        {"{t: 90s, b: 3KiB}", true, 90000, 3072},
        {"{t: 5m, b: 2GiB}", true, 300000, UINT64_C(2) << 30},
        {"{t: 0, b: 0}", true, 0, 0},
        {"{}", true, 0, 0},
        {"{t: 5}", false, 0, 0},
        {"{t: 5 s}", false, 0, 0},
        {"{t: 1.5s}", false, 0, 0},
        {"{t: s}", false, 0, 0},
        {"{t: 99999999999999999999s}", false, 0, 0},
        {"{t: 18446744073709551615h}", false, 0, 0},
        {"{b: 1kb}", false, 0, 0},
        {"{b: -1}", false, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct csl_yaml *y = NULL;
        struct wait w = {9, 9};
        assert_int_equal(csl_yaml_parse(&y, "f", span_of(cases[i].text), NULL), CSL_OK);
        enum csl_code code = csl_option_read_yaml(any, &w, y, csl_yaml_root(y), NULL);
        assert_int_equal(code, cases[i].is_right ? CSL_OK : CSL_E_INVAL);
        assert_true(w.timeout_ms == (cases[i].is_right ? cases[i].ms : 9));
        assert_true(w.chunk_bytes == (cases[i].is_right ? cases[i].bytes : 9));
        csl_yaml_free(y);
    }
}

static void test_option__fallback_its_row_refuses__is_our_bug(void **state)
{
    (void)state;
    static const struct csl_option bad[] = {
        {.name = "n", .type = CSL_OPT_U32, .min = 1, .max = 9, .fallback = "0"}, CSL_OPTION_END};
    uint32_t n = 5;
    struct csl_err err;
    char *argv[] = {(char[]){"x"}, NULL};
    struct csl_command_line line;
    assert_int_equal(csl_option_read_yaml(bad, &n, NULL, NULL, &err), CSL_E_BUG);
    assert_non_null(strstr(err.msg, "'0' of the option 'n'"));
    assert_int_equal(csl_option_read_args(bad, &n, 1, argv, &line, &err), CSL_E_BUG);
    assert_int_equal(n, 5);
}

/* Words of a command line, split at single spaces. */
static enum csl_code read_args_of(const struct csl_option *of, const char *command, void *target,
                                  struct csl_command_line *line, struct csl_err *err)
{
    static char text[512];
    char *argv[32];
    int argc = 0;
    snprintf(text, sizeof(text), "%s", command);
    for (char *p = text; p != NULL && argc < 32; argc++) {
        argv[argc] = p;
        p = strchr(p, ' ');
        if (p != NULL)
            *p++ = '\0';
    }
    return csl_option_read_args(of, target, argc, argv, line, err);
}

static enum csl_code read_args(const char *command, struct options *o,
                               struct csl_command_line *line, struct csl_err *err)
{
    return read_args_of(rows, command, o, line, err);
}

static void test_option_args__every_form__is_read(void **state)
{
    (void)state;
    struct options o;
    struct csl_command_line line;
    struct csl_err err;
    memset(&o, 0x5a, sizeof(o));
    if (read_args("simulate one --rounds 7 --seed=9 - --verbose --no-fast --out-path a=b --rate "
                  "-0 --title= two -- --rounds",
                  &o, &line, &err) != CSL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(o.rounds, 7);
    assert_int_equal(o.seed, 9);
    assert_true(o.is_verbose);
    assert_false(o.is_fast);
    assert_string_equal(o.path, "a=b");
    assert_string_equal(o.title, "");
    assert_int_equal(o.kind, 1);
    assert_int_equal(line.positional_count, 4);
    assert_string_equal(line.positional[0], "one");
    assert_string_equal(line.positional[1], "-");
    assert_string_equal(line.positional[2], "two");
    assert_string_equal(line.positional[3], "--rounds");
    assert_false(line.wants_help);
}

static void test_option_args__given_twice__last_wins(void **state)
{
    (void)state;
    struct options o;
    struct csl_command_line line;
    assert_int_equal(read_args("x --rounds 1 --rounds 2 --fast=false --fast", &o, &line, NULL),
                     CSL_OK);
    assert_int_equal(o.rounds, 2);
    assert_true(o.is_fast);
}

static void test_option_args__list_given_again__keeps_every_value(void **state)
{
    struct values {
        char list[8];
        char after;
    } v = {.after = 'x'}, before;
    static const struct csl_option list_rows[] = {
        {.name = "head",
         .type = CSL_OPT_LIST,
         .offset = offsetof(struct values, list),
         .size = sizeof(v.list),
         .fallback = "",
         .help = "A head."},
        CSL_OPTION_END,
    };
    struct csl_command_line line;
    (void)state;
    assert_int_equal(read_args_of(list_rows, "x", &v, &line, NULL), CSL_OK);
    assert_string_equal(v.list, "");
    assert_int_equal(read_args_of(list_rows, "x --head a --head=bcd --head e", &v, &line, NULL),
                     CSL_OK);
    assert_string_equal(v.list, "a\nbcd\ne"); /* with its end it fills the field */
    assert_int_equal(v.after, 'x');
    before = v;
    static const char *const bad[] = {"x --head a --head=bcd --head ef",
                                      "x --head a --head=", "x --head a\nb", "x --head"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(read_args_of(list_rows, bad[i], &v, &line, NULL), CSL_E_INVAL);
    assert_memory_equal(&v, &before, sizeof(v)); /* nothing is written on failure */
}

static void test_option_args__help__needs_no_required_flags(void **state)
{
    (void)state;
    static const char *const commands[] = {"x -h", "x --help", "x one --seed 3 --help"};
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        struct options o;
        struct csl_command_line line;
        assert_int_equal(read_args(commands[i], &o, &line, NULL), CSL_OK);
        assert_true(line.wants_help);
    }
}

static const struct {
    const char *command, *message;
} wrong_commands[] = {
    {"x", "--rounds is missing; a whole number from 1 to 1000000 would be right"},
    {"x --rounds", "--rounds: found nothing; a whole number from 1 to 1000000 would be right"},
    {"x --rounds --fast",
     "--rounds: found nothing; a whole number from 1 to 1000000 would be right"},
    {"x --rounds=", "--rounds: found ''; a whole number from 1 to 1000000 would be right"},
    {"x --rounds ten", "--rounds: found 'ten'; a whole number from 1 to 1000000 would be right"},
    {"x --rounds 1 --fast=maybe", "--fast: found 'maybe'; true or false would be right"},
    {"x --rounds 1 --no-seed",
     "--no-seed: no such option; --rounds, --seed, --rate, --title, --id, --out-path, --kind, "
     "--verbose, --fast or --help would be right"},
    {"x --out-pth y",
     "--out-pth: no such option; --out-path, --rounds, --seed, --rate, --title, --id, --kind, "
     "--verbose, --fast or --help would be right"},
    {"x --out_path y",
     "--out_path: no such option; --out-path, --rounds, --seed, --rate, --title, --id, --kind, "
     "--verbose, --fast or --help would be right"},
    {"x -v", "-v: no such option; --rounds, --seed, --rate, --title, --id, --out-path, --kind, "
             "--verbose, --fast or --help would be right"},
    {"x --wait 3",
     "--wait: no such option; --rate, --rounds, --seed, --title, --id, --out-path, --kind, "
     "--verbose, --fast or --help would be right"},
};

static void test_option_args__wrong_commands__are_explained_and_write_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong_commands); i++) {
        struct options o, before;
        struct csl_command_line line = {.positional_count = 99};
        struct csl_err err = {.msg = "no error"};
        memset(&o, 0x5a, sizeof(o));
        memcpy(&before, &o, sizeof(o));
        assert_int_equal(read_args(wrong_commands[i].command, &o, &line, &err), CSL_E_INVAL);
        if (strcmp(wrong_commands[i].command, "x --wait 3") != 0)
            assert_string_equal(err.msg, wrong_commands[i].message);
        else /* which name is nearest to a section's is of no interest: it is no flag */
            assert_memory_equal(err.msg, "--wait: no such option; ", 24);
        assert_memory_equal(&o, &before, sizeof(o));
        assert_int_equal(line.positional_count, 99);
    }
}

static void test_option_args__seventeen_words__are_refused(void **state)
{
    (void)state;
    struct options o;
    struct csl_command_line line;
    assert_int_equal(
        read_args("x 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 --rounds 1", &o, &line, NULL), CSL_OK);
    assert_int_equal(line.positional_count, 16);
    assert_int_equal(
        read_args("x 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 --rounds 1", &o, &line, NULL),
        CSL_E_LIMIT);
}

static void test_option_help__lists_flags_with_facts(void **state)
{
    (void)state;
    struct csl_buf b;
    csl_buf_init(&b, 1 << 16);
    csl_option_help(rows, &b);
    const char *text = csl_buf_text(&b);
    assert_non_null(strstr(text, "  --rounds N             How long to train.\n"
                                 "                         A whole number from 1 to 1000000; "
                                 "required.\n"));
    assert_non_null(strstr(text, "  --out-path PATH"));
    assert_non_null(strstr(text, "One of linear, cox or mlp; default cox."));
    assert_non_null(strstr(text, "  --verbose "));
    assert_non_null(strstr(text, "  --no-fast "));
    assert_non_null(strstr(text, "  -h, --help "));
    assert_null(strstr(text, "wait"));
    assert_null(strstr(text, "sites"));
    csl_buf_release(&b);
}

static void test_option_help_keys__file__names_keys_and_sections(void **state)
{
    (void)state;
    struct csl_buf b;
    csl_buf_init(&b, 1 << 16);
    csl_option_help_keys(rows, &b);
    const char *text = csl_buf_text(&b);
    assert_non_null(strstr(text, "  rounds\n      How long to train.\n"
                                 "      A whole number from 1 to 1000000; required.\n"));
    assert_non_null(strstr(text, "  out_path\n      Out.\n"));
    assert_non_null(strstr(text, "  wait.timeout\n      Patience.\n"));
    assert_non_null(strstr(text, "  sites\n      Who takes part.\n"));
    assert_non_null(strstr(text, "  fast\n      Hurry.\n      True or false; default true.\n"));
    assert_null(strstr(text, "  wait\n")); /* its keys say it */
    assert_null(strstr(text, "--"));
    csl_buf_release(&b);
}

static void test_option_default_yaml__read_back__is_the_defaults(void **state)
{
    (void)state;
    struct csl_buf b;
    struct options o;
    struct csl_err err;
    csl_buf_init(&b, 1 << 16);
    csl_option_default_yaml(rows, &b);
    assert_non_null(strstr(csl_buf_text(&b), "# How long to train.\n"
                                             "# A whole number from 1 to 1000000; required.\n"
                                             "# rounds:\n"));
    assert_non_null(strstr(csl_buf_text(&b), "\nwait:\n  # Patience.\n"));
    csl_buf_str(&b, "rounds: 3\n");
    memset(&o, 0x5a, sizeof(o));
    if (read_yaml(csl_buf_text(&b), &o, &err) != CSL_OK)
        fail_msg("%s\n%s", err.msg, csl_buf_text(&b));
    assert_defaults(&o);
    assert_int_equal(o.rounds, 3);
    csl_buf_release(&b);
}

static void test_option_default_yaml__section_without_defaults__stays_a_comment(void **state)
{
    (void)state;
    static const struct csl_option inner[] = {{.name = "key", .type = CSL_OPT_U32, .help = "Key."},
                                              CSL_OPTION_END};
    static const struct csl_option outer[] = {
        {.name = "tls", .type = CSL_OPT_SECTION, .section = inner, .help = "TLS."}, CSL_OPTION_END};
    struct csl_buf b;
    struct csl_yaml *y = NULL;
    uint32_t key = 5;
    csl_buf_init(&b, 1 << 16);
    csl_option_default_yaml(outer, &b);
    assert_int_equal(csl_yaml_parse(&y, "f", span_of(csl_buf_text(&b)), NULL), CSL_OK);
    assert_int_equal(csl_option_read_yaml(outer, &key, y, csl_yaml_root(y), NULL), CSL_OK);
    assert_int_equal(key, 5);
    csl_yaml_free(y);
    csl_buf_release(&b);
}

static void test_option_man__file_and_flags__name_what_people_type(void **state)
{
    (void)state;
    struct csl_buf b;
    csl_buf_init(&b, 1 << 16);
    csl_option_man(rows, &b);
    assert_non_null(strstr(csl_buf_text(&b), "*out\\_path* _PATH_\n\tOut. A path"));
    assert_non_null(strstr(csl_buf_text(&b), "*wait.timeout* _TIME_\n\tPatience. "));
    csl_buf_release(&b);
    csl_option_man(wait_rows, &b);
    assert_non_null(strstr(csl_buf_text(&b), "*--timeout* _TIME_\n"));
    csl_buf_release(&b);
}

/* Reading options asks for no memory at all, so that nothing of it can fail. */
static void test_option__reading__allocates_nothing(void **state)
{
    (void)state;
    struct csl_yaml *y = NULL;
    struct options o;
    assert_int_equal(csl_yaml_parse(&y, "f", span_of("rounds: 1\nwait: {chunk: 1}\n"), NULL),
                     CSL_OK);
    csl_mem_fail_after(0);
    assert_int_equal(csl_option_read_yaml(rows, &o, y, csl_yaml_root(y), NULL), CSL_OK);
    assert_int_equal(csl_mem_fail_after(0), 0);
    csl_yaml_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_yaml__every_type__is_read),
        cmocka_unit_test(test_option_yaml__absent_rows__get_defaults),
        cmocka_unit_test(test_option_yaml__no_mapping__gives_defaults_and_leaves_required),
        cmocka_unit_test(test_option_yaml__wrong_files__are_explained_and_write_nothing),
        cmocka_unit_test(test_option_yaml__times_and_sizes__table),
        cmocka_unit_test(test_option__fallback_its_row_refuses__is_our_bug),
        cmocka_unit_test(test_option_args__every_form__is_read),
        cmocka_unit_test(test_option_args__given_twice__last_wins),
        cmocka_unit_test(test_option_args__list_given_again__keeps_every_value),
        cmocka_unit_test(test_option_args__help__needs_no_required_flags),
        cmocka_unit_test(test_option_args__wrong_commands__are_explained_and_write_nothing),
        cmocka_unit_test(test_option_args__seventeen_words__are_refused),
        cmocka_unit_test(test_option_help__lists_flags_with_facts),
        cmocka_unit_test(test_option_help_keys__file__names_keys_and_sections),
        cmocka_unit_test(test_option_default_yaml__read_back__is_the_defaults),
        cmocka_unit_test(test_option_default_yaml__section_without_defaults__stays_a_comment),
        cmocka_unit_test(test_option_man__file_and_flags__name_what_people_type),
        cmocka_unit_test(test_option__reading__allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
