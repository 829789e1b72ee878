/* The strict YAML reader: what it gives, and everything it refuses, with the place. */
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "tests/unit/base/fixture.h"

#include <string.h>

static struct csl_yaml *parse(const char *text)
{
    struct csl_yaml *y = NULL;
    struct csl_err err;
    if (csl_yaml_parse(&y, "f.yaml", span_of(text), &err) != CSL_OK)
        fail_msg("%s", err.msg);
    return y;
}

static void test_yaml__mappings_lists_and_scalars__keep_order_text_and_place(void **state)
{
    (void)state;
    struct csl_yaml *y = parse("# study\n"
                               "name: heart\n"
                               "rounds: 10   # ten\n"
                               "sites:\n"
                               "  - {id: a, on: true}\n"
                               "  - id: \"b c\"\n"
                               "    on: 'yes'\n"
                               "text: |\n"
                               "  two\n"
                               "  lines\n"
                               "none:\n");
    const struct csl_yaml_node *root = csl_yaml_root(y), *n = csl_yaml_get(root, "rounds");
    assert_string_equal(csl_yaml_name(y), "f.yaml");
    assert_int_equal(root->kind, CSL_YAML_MAPPING);
    assert_int_equal(root->child_count, 5);
    assert_string_equal(root->first_child->key, "name");
    assert_string_equal(n->text, "10");
    assert_false(n->is_quoted);
    assert_int_equal(n->line, 3);
    assert_int_equal(n->column, 9);
    assert_int_equal(n->key_line, 3);
    assert_int_equal(n->key_column, 1);

    const struct csl_yaml_node *sites = csl_yaml_get(root, "sites"), *second;
    assert_int_equal(sites->kind, CSL_YAML_SEQUENCE);
    assert_int_equal(sites->child_count, 2);
    second = sites->first_child->next;
    assert_null(second->key);
    assert_null(second->next);
    assert_string_equal(csl_yaml_get(second, "id")->text, "b c");
    assert_true(csl_yaml_get(second, "id")->is_quoted);
    assert_int_equal(csl_yaml_get(second, "on")->line, 7);
    assert_string_equal(csl_yaml_get(root, "text")->text, "two\nlines\n");
    assert_string_equal(csl_yaml_get(root, "none")->text, "");
    assert_false(csl_yaml_get(root, "none")->is_quoted);
    assert_null(csl_yaml_get(root, "nothing"));
    assert_null(csl_yaml_get(sites, "id"));
    assert_null(csl_yaml_get(NULL, "id"));
    csl_yaml_free(y);
    csl_yaml_free(NULL);
}

/* Norway, octal, dates, sexagesimals: to this reader they are text. */
static void test_yaml__what_yaml_would_guess_types_of__stays_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"no",  "on",   "~",     "null", "0o17",      "010",
                                        "1e3", ".nan", "12:30", "=",    "2026-01-02"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char text[64];
        snprintf(text, sizeof(text), "k: %s\n", texts[i]);
        struct csl_yaml *y = parse(text);
        assert_string_equal(csl_yaml_get(csl_yaml_root(y), "k")->text, texts[i]);
        csl_yaml_free(y);
    }
}

static void test_yaml__nothing_but_comments__is_an_empty_mapping(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", "# a\n# b\n", "   \n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct csl_yaml *y = parse(texts[i]);
        assert_int_equal(csl_yaml_root(y)->kind, CSL_YAML_MAPPING);
        assert_int_equal(csl_yaml_root(y)->child_count, 0);
        csl_yaml_free(y);
    }
}

static void test_yaml__byte_order_mark_and_crlf__are_read(void **state)
{
    (void)state;
    struct csl_yaml *y = parse("\xef\xbb\xbf"
                               "a: 1\r\nb: \xc3\xa9\r\n");
    assert_string_equal(csl_yaml_get(csl_yaml_root(y), "a")->text, "1");
    assert_string_equal(csl_yaml_get(csl_yaml_root(y), "b")->text, "\xc3\xa9");
    csl_yaml_free(y);
}

struct refused {
    const char *text;
    const char *place; /* start of the message */
    const char *says;  /* part of it */
};

static const struct refused refusals[] = {
    {"a: &x 1\n", "f.yaml:1:4: ", "anchor"},
    {"a: &x {b: 1}\n", "f.yaml:1:4: ", "anchor"},
    {"a: &x [1]\n", "f.yaml:1:4: ", "anchor"},
    {"&x a: 1\n", "f.yaml:1:1: ", "anchor"},
    {"a: 1\nb: *x\n", "f.yaml:2:4: ", "alias"},
    {"*x : 1\n", "f.yaml:1:1: ", "alias"},
    {"a: !!int 1\n", "f.yaml:1:4: ", "tag"},
    {"a: ! 1\n", "f.yaml:1:4: ", "tag"},
    {"a: !t {b: 1}\n", "f.yaml:1:4: ", "tag"},
    {"a: !t [1]\n", "f.yaml:1:4: ", "tag"},
    {"!t a: 1\n", "f.yaml:1:1: ", "tag"},
    {"a:\n  <<: {b: 1}\n", "f.yaml:2:3: ", "merge key"},
    {"a: 1\n---\nb: 2\n", "f.yaml:2:1: ", "second document"},
    {"a: 1\n...\n---\n", "f.yaml:3:1: ", "second document"},
    {"%YAML 1.1\n---\na: 1\n", "f.yaml:", "directive"},
    {"%TAG ! x:\n---\na: 1\n", "f.yaml:", "directive"},
    {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: ", "key 'a' a second time (first in line 1)"},
    {"s:\n  - {x: 1, y: 2, x: 3}\n", "f.yaml:2:18: ", "key 'x' a second time"},
    {"b: 1\na: 1\na: 2\nb: 2\n", "f.yaml:3:1: ", "key 'a' a second time (first in line 2)"},
    {"? [a, b]\n: 1\n", "f.yaml:1:3: ", "as a key"},
    {"{a: 1}: 1\n", "f.yaml:1:1: ", "as a key"},
    {": 1\n", "f.yaml:1:1: ", "not YAML"},
    {"'': 1\n", "f.yaml:1:1: ", "empty key"},
    {"just text\n", "f.yaml:1:1: ", "a mapping"},
    {"- 1\n- 2\n", "f.yaml:1:1: ", "a mapping"},
    {"---\n", "f.yaml:", "a mapping"},
    {"a: \"x\\0y\"\n", "f.yaml:1:4: ", "NUL"},
    {"\"k\\0\": 1\n", "f.yaml:1:1: ", "NUL"},
    {"a: \xff\n", "f.yaml:1:4: ", "not UTF-8"},
    {"a: 1\n\xc3\xa9\xc3\xa9: \xed\xa0\x80\n", "f.yaml:2:5: ", "not UTF-8"},
    {"\xff\xfe"
     "a",
     "f.yaml:1:1: ", "not UTF-8"}, /* UTF-16 */
    {"a: 1\nb: \x01\n", "f.yaml:2:4: ", "control characters"},
    {"a: [1, 2\nb: 3\n", "f.yaml:2:", "not YAML"},
    {"a:\n\t- 1\n", "f.yaml:2:", "not YAML"},
    {"a: 'x\n", "f.yaml:", "not YAML"},
    {"a: b: c\n", "f.yaml:1:", "not YAML"},
    {"a: 1\n b: 2\n", "f.yaml:2:", "not YAML"},
};

static void test_yaml__refused_constructs__name_place_and_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        const struct refused *r = &refusals[i];
        struct csl_yaml *y = NULL;
        struct csl_err err;
        enum csl_code code = csl_yaml_parse(&y, "f.yaml", span_of(r->text), &err);
        if (code != CSL_E_INVAL || strncmp(err.msg, r->place, strlen(r->place)) != 0 ||
            strstr(err.msg, r->says) == NULL)
            fail_msg("row %zu: code %s, '%s'", i, csl_code_name(code), err.msg);
        assert_null(y);
    }
}

static void test_yaml__nul_byte__is_refused_with_place(void **state)
{
    (void)state;
    struct csl_yaml *y = NULL;
    struct csl_err err;
    assert_int_equal(csl_yaml_parse(&y, "f.yaml", CSL_SPAN("a: 1\nb\0", 7), &err), CSL_E_INVAL);
    assert_memory_equal(err.msg, "f.yaml:2:2: found a NUL", 23);
}

static void test_yaml__depth_at_and_over_the_limit__is_read_and_refused(void **state)
{
    (void)state;
    char text[128];
    for (int lists = CSL_YAML_DEPTH_MAX - 1; lists <= CSL_YAML_DEPTH_MAX; lists++) {
        snprintf(text, sizeof(text), "a: %.*s%.*s\n", lists, "[[[[[[[[[[[[[[[[[[[[", lists,
                 "]]]]]]]]]]]]]]]]]]]]");
        struct csl_yaml *y = NULL;
        struct csl_err err;
        enum csl_code code = csl_yaml_parse(&y, "f.yaml", span_of(text), &err);
        if (lists < CSL_YAML_DEPTH_MAX) {
            assert_int_equal(code, CSL_OK);
            csl_yaml_free(y);
        } else {
            assert_int_equal(code, CSL_E_LIMIT);
            assert_memory_equal(err.msg, "f.yaml:1:19: ", 13);
        }
    }
}

/* items + the list + the root */
static enum csl_code parse_list_of(size_t items)
{
    static char text[2 * CSL_YAML_NODES_MAX + 64];
    struct csl_yaml *y = NULL;
    char *p = text;
    memcpy(p, "a: [", 4);
    p += 4;
    for (size_t i = 0; i < items; i++) {
        *p++ = 'x';
        *p++ = ',';
    }
    *p++ = ']';
    enum csl_code code = csl_yaml_parse(&y, "f.yaml", CSL_SPAN(text, (size_t)(p - text)), NULL);
    csl_yaml_free(y);
    return code;
}

static void test_yaml__node_count_at_and_over_the_limit__is_read_and_refused(void **state)
{
    (void)state;
    assert_int_equal(parse_list_of(CSL_YAML_NODES_MAX - 2), CSL_OK);
    assert_int_equal(parse_list_of(CSL_YAML_NODES_MAX - 1), CSL_E_LIMIT);
}

static void test_yaml__long_scalars__fit_the_budget(void **state)
{
    (void)state;
    static char text[60000];
    size_t n = 0;
    n += (size_t)snprintf(text, sizeof(text), "a: \"");
    while (n + 4 < sizeof(text)) { /* two bytes in the file, three in the text */
        text[n++] = '\\';
        text[n++] = 'L';
    }
    text[n++] = '"';
    struct csl_yaml *y = NULL;
    assert_int_equal(csl_yaml_parse(&y, "f.yaml", CSL_SPAN(text, n), NULL), CSL_OK);
    assert_int_equal(strlen(csl_yaml_get(csl_yaml_root(y), "a")->text), (n - 5) / 2 * 3);
    csl_yaml_free(y);
}

static void test_yaml__each_allocation_fails__is_nomem_without_leaks(void **state)
{
    (void)state;
    static char text[20000] = "{a: 1, b: [1, 2], c: {d: e, f: g}";
    size_t n = strlen(text);
    while (n + 32 < sizeof(text)) /* enough for more than one block of the arena */
        n += (size_t)snprintf(text + n, sizeof(text) - n, ", k%zu: some text", n);
    text[n++] = '}';
    for (uint64_t k = 1;; k++) {
        struct csl_yaml *y = NULL;
        struct csl_err err;
        csl_mem_fail_after(k);
        enum csl_code code = csl_yaml_parse(&y, "f.yaml", CSL_SPAN(text, n), &err);
        uint64_t asked = csl_mem_fail_after(0);
        if (asked < k) {
            assert_int_equal(code, CSL_OK);
            assert_true(k > 5);
            csl_yaml_free(y);
            break;
        }
        assert_int_equal(code, CSL_E_NOMEM);
        assert_null(y);
    }
}

static void test_yaml_read__file_missing_too_big_or_right__says_so(void **state)
{
    struct csl_yaml *y = NULL;
    struct csl_err err;
    const char *path = in_folder(state, "s.yaml");
    assert_int_equal(csl_yaml_read(&y, path, 100, &err), CSL_E_NOTFOUND);
    assert_int_equal(csl_file_write_atomic(path, span_of("a: 1\n"), 0600, NULL), CSL_OK);
    assert_int_equal(csl_yaml_read(&y, path, 4, &err), CSL_E_LIMIT);
    assert_null(y);
    assert_int_equal(csl_yaml_read(&y, path, 5, &err), CSL_OK);
    assert_string_equal(csl_yaml_name(y), path);
    csl_yaml_free(y);
}

static void test_yaml_fail__at_value_item_and_nothing__writes_place_and_key(void **state)
{
    (void)state;
    struct csl_err err;
    struct csl_yaml *y = parse("a:\n  - 1\n\"k\\n\": 2\n");
    const struct csl_yaml_node *a = csl_yaml_get(csl_yaml_root(y), "a");
    assert_int_equal(csl_yaml_fail(&err, y, a, "found %s", "it"), CSL_E_INVAL);
    assert_string_equal(err.msg, "f.yaml:2:3: a: found it");
    (void)csl_yaml_fail(&err, y, a->first_child, "x");
    assert_string_equal(err.msg, "f.yaml:2:5: x");
    (void)csl_yaml_fail(&err, y, a->next, "x");
    assert_string_equal(err.msg, "f.yaml:3:8: k\\x0a: x");
    (void)csl_yaml_fail(&err, y, NULL, "x");
    assert_string_equal(err.msg, "f.yaml: x");
    csl_yaml_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml__mappings_lists_and_scalars__keep_order_text_and_place),
        cmocka_unit_test(test_yaml__what_yaml_would_guess_types_of__stays_text),
        cmocka_unit_test(test_yaml__nothing_but_comments__is_an_empty_mapping),
        cmocka_unit_test(test_yaml__byte_order_mark_and_crlf__are_read),
        cmocka_unit_test(test_yaml__refused_constructs__name_place_and_reason),
        cmocka_unit_test(test_yaml__nul_byte__is_refused_with_place),
        cmocka_unit_test(test_yaml__depth_at_and_over_the_limit__is_read_and_refused),
        cmocka_unit_test(test_yaml__node_count_at_and_over_the_limit__is_read_and_refused),
        cmocka_unit_test(test_yaml__long_scalars__fit_the_budget),
        cmocka_unit_test(test_yaml__each_allocation_fails__is_nomem_without_leaks),
        cmocka_unit_test_setup_teardown(test_yaml_read__file_missing_too_big_or_right__says_so,
                                        folder_setup, folder_teardown),
        cmocka_unit_test(test_yaml_fail__at_value_item_and_nothing__writes_place_and_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
