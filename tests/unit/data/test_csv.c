/* The CSV reader byte by byte, and the importer's mapping row by row. */
#include "base/mem.h"
#include "site-agent/data/csv.h"
#include "tests/unit/data/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- reader --- */

/* All records of `text` as "a|b/c|d/", or the error's text behind "!". */
static void read_all(const char *text, size_t n, char *out, size_t out_bytes)
{
    struct csl_csv c;
    struct csl_err err;
    size_t used = 0;
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    rewind(f);
    csl_csv_init(&c, f, "t");
    enum csl_code code;
    while ((code = csl_csv_next(&c, &err)) == CSL_OK) {
        for (uint32_t i = 0; i < c.field_count; i++)
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", i > 0 ? "|" : "",
                                     csl_csv_field(&c, i));
        used += (size_t)snprintf(out + used, out_bytes - used, "/");
    }
    if (code != CSL_E_END)
        snprintf(out + used, out_bytes - used, "!%s", err.msg);
    csl_csv_release(&c);
    fclose(f);
}

static void test_csv__texts__are_read_as_rfc_4180_says(void **state)
{
    (void)state;
    static const struct {
        const char *text, *records;
    } cases[] = {
        {"", ""},
        {"a", "a/"},
        {"a,b\nc,d\n", "a|b/c|d/"},
        {"a,b\r\nc,d\r\n", "a|b/c|d/"},
        {"a,b\nc,d", "a|b/c|d/"},
        {"\n\na\n\n\r\nb\n\n", "a/b/"},
        {",\n", "|/"},
        {"a,\n,b\n", "a|/|b/"},
        {"\"a\",\"b,c\"\n", "a|b,c/"},
        {"\"say \"\"x\"\"\",2\n", "say \"x\"|2/"},
        {"\"two\nlines\",2\n", "two\nlines|2/"},
        {"\"\",\"\"\n", "|/"},
        {"\"\"\"\"\n", "\"/"},
        {" a , b \n", " a | b /"},
        {"\xef\xbb\xbf"
         "a,b\n",
         "a|b/"},
        {"a\rb\n", "a\rb/"},
        {"a\"b\n",
         "!t:1: column 1: found a quote inside an unquoted field; quoting the whole field "
         "would be right"},
        {"x\ny,\"a\"b\n", "x/!t:2: column 2: found text after a closing quote; a comma or the "
                          "line's end would be right"},
        {"a\n\"b\nc\n", "a/!t:2: column 1: the quote is never closed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char got[512] = "";
        read_all(cases[i].text, strlen(cases[i].text), got, sizeof(got));
        assert_string_equal(got, cases[i].records);
    }
}

static void test_csv__nul_byte__is_refused(void **state)
{
    (void)state;
    char got[256] = "";
    read_all("a,b\0c\n", 6, got, sizeof(got));
    assert_string_equal(got, "!t:1: column 2: found a NUL byte; text would be right");
}

static void test_csv__record_beyond_the_maximum__is_refused(void **state)
{
    (void)state;
    size_t n = CSL_CSV_RECORD_BYTES_MAX + 10;
    char got[256] = "", *text = malloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    read_all(text, n, got, sizeof(got));
    assert_non_null(strstr(got, "longer than"));
    memset(text, ',', n);
    got[0] = '\0';
    read_all(text, n, got, sizeof(got));
    assert_non_null(strstr(got, "columns"));
    free(text);
}

/* --- importer --- */

static const char plain_map[] = "format: consilium.mapping/1\n"
                                "licence: CC0\n"
                                "missing: [\"?\", NA]\n"
                                "patient_column: id\n"
                                "features:\n"
                                "  - {name: age, unit: years, range: [0, 120]}\n"
                                "  - {name: blood pressure, column: bp, missing: [-9]}\n"
                                "labels:\n"
                                "  - {name: ill, kind: binary, column: y, positive: [yes, maybe], "
                                "negative: no}\n"
                                "  - {name: stage, kind: classes, values: [I, II, III]}\n"
                                "  - {name: life, kind: survival, time: t, event: e, event_values: "
                                "dead}\n"
                                "split: {column: set, train: [a, b], validation: v, test: t}\n"
                                "attributes:\n"
                                "  - {name: sex, values: {m: male, f: female}}\n"
                                "  - {name: age_band, column: age, edges: [45, 65]}\n";
static const char plain_csv[] = "id,age,bp,y,stage,t,e,set,sex\n"
                                "p1,63,145,yes,II,10.5,dead,a,m\n"
                                "p2,?,-9,no,,3,alive,v,f\n"
                                "p1,64,150,maybe,III,2,alive,b,m\n"
                                "p3, 44 ,,NA,I,NA,dead,t,\n"
                                "p4,65,7e1,no,I,5,,a,f\n";

static enum csl_code import(struct csl_records *r, const char *csv, const char *map,
                            struct csl_err *err)
{
    char csv_path[640];
    memcpy(csv_path, scratch_text("t.csv", csv), sizeof(csv_path));
    return csl_import_csv(r, "lyon", csv_path, scratch_text("t.yaml", map), NULL, NULL, 0, err);
}

static void test_csv_import__every_kind_of_column__arrives(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    ASSERT_OK(import(&r, plain_csv, plain_map, &err), &err);
    assert_string_equal(r.site, "lyon");
    assert_string_equal(r.licence, "CC0");
    assert_int_equal(r.patient_count, 4);
    assert_int_equal(r.record_count, 5);
    static const uint32_t patient[5] = {0, 0, 1, 2, 3}; /* p1 p1 p2 p3 p4 */
    assert_memory_equal(r.patient, patient, sizeof(patient));
    assert_string_equal(r.patient_id[3], "p4");
    static const uint8_t split[4] = {0, 1, 2, 0};
    assert_memory_equal(r.split, split, sizeof(split));
    const struct csl_record_modality *m = &r.modalities[0];
    assert_string_equal(m->name, "tabular");
    assert_string_equal(m->feature_names[1], "blood pressure");
    assert_string_equal(m->feature_units[0], "years");
    assert_true(m->range_max[0] > 119.0 && m->range_max[0] < 121.0 ? true : false);
    static const float age[5] = {63.0f, 64.0f, NAN, 44.0f, 65.0f};
    static const float bp[5] = {145.0f, 150.0f, NAN, NAN, 70.0f};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(isnan(m->values[2 * i]) != 0, isnan(age[i]) != 0);
        assert_true(isnan(age[i]) || !(fabsf(m->values[2 * i] - age[i]) > 0.0f) ? true : false);
        assert_true(isnan(bp[i]) || !(fabsf(m->values[2 * i + 1] - bp[i]) > 0.0f) ? true : false);
        assert_int_equal(isnan(m->values[2 * i + 1]) != 0, isnan(bp[i]) != 0);
    }
    static const int16_t ill[5] = {1, 1, 0, -1, 0}, stage[5] = {1, 2, -1, 0, 0};
    assert_memory_equal(r.labels[0].value, ill, sizeof(ill));
    assert_memory_equal(r.labels[1].value, stage, sizeof(stage));
    static const float event[4] = {1.0f, 0.0f, 0.0f, 1.0f};
    assert_memory_equal(r.labels[2].event, event, 3 * sizeof(float));
    assert_int_not_equal(isnan(r.labels[2].time[3]), 0); /* NA */
    assert_int_not_equal(isnan(r.labels[2].time[4]), 0); /* no event known */
    assert_string_equal(r.attributes[0].value[0], "male");
    assert_string_equal(r.attributes[0].value[2], "");
    assert_string_equal(r.attributes[1].value[0], "45-64");
    assert_string_equal(r.attributes[1].value[1], "");
    assert_string_equal(r.attributes[1].value[2], "<45");
    assert_string_equal(r.attributes[1].value[3], "65+");
    csl_records_release(&r);
}

static const char short_map[] = "format: consilium.mapping/1\n"
                                "features: {all_except: [y, set]}\n"
                                "labels: [{name: y, kind: binary, positive: 1, negative: 0}]\n"
                                "split: {column: set, train: train, test: test}\n";

/* The name is cut to 63 bytes, and not inside a character. */
static void test_csv_import__all_except__takes_and_names_the_rest(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    char csv[512], name[80];
    snprintf(name, sizeof(name), "%s",
             "Stage IIA (cT2, cN0), not otherwise stated; of the left side, ");
    assert_int_equal(strlen(name), 62);
    snprintf(csv, sizeof(csv), "x,\"%s\xc3\xa9\",y,set\n1,2,1.0,train\n3,4,0,test\n", name);
    ASSERT_OK(import(&r, csv, short_map, &err), &err);
    assert_int_equal(r.modalities[0].shape[0], 2);
    assert_string_equal(r.modalities[0].feature_names[1], name);
    assert_int_equal(r.labels[0].value[0], 1); /* 1.0 is 1 */
    assert_string_equal(r.patient_id[1], "row-2");
    csl_records_release(&r);
}

static void test_csv_import__headerless_file__takes_the_names_of_the_mapping(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    char map[512];
    snprintf(map, sizeof(map), "%sheader: [x, y, set]\n", short_map);
    ASSERT_OK(import(&r, "1,1,train\n2,0,test\n", map, &err), &err);
    assert_int_equal(r.record_count, 2);
    csl_records_release(&r);
}

static void test_csv_import__join__adds_columns_and_skips_what_is_told(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    static const char map[] =
        "format: consilium.mapping/1\n"
        "patient_column: id\n"
        "join: {file: more.csv, key: key, on: id, prefix: m_, unmatched: %s}\n"
        "where: {column: m_site, any_of: [7, 8]}\n"
        "features: {all_except: [id, y]}\n"
        "labels: [{name: y, kind: binary, positive: 1, negative: 0}]\n"
        "split: {column: m_set, train: train}\n";
    char skip[512], error[512];
    snprintf(skip, sizeof(skip), map, "skip");
    snprintf(error, sizeof(error), map, "error");
    (void)scratch_text("more.csv", "key,set,site\nb,train,7\na,train,8\nc,train,9\n");
    static const char csv[] = "id,x,y\na,1,1\nb,2,0\nc,3,0\nd,4,0\n";
    ASSERT_OK(import(&r, csv, skip, &err), &err);
    assert_int_equal(r.record_count, 2);
    assert_int_equal(r.modalities[0].shape[0], 1);
    csl_records_release(&r);
    ASSERT_CODE(import(&r, csv, error, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "t.csv:5: column 1 (id): the key is not in the joined file");
    (void)scratch_text("more.csv", "key,set,site\nb,train,7\nb,train,8\n");
    ASSERT_CODE(import(&r, csv, skip, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "more.csv: records 1 and 2 have the same key");
}

static void test_csv_import__callers_filter__selects_rows(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    char csv[640];
    static const char none[1][64] = {"9"}, two[2][64] = {"3", "1"};
    memcpy(csv, scratch_text("t.csv", "x,y,set\n1,1,train\n2,0,train\n3,1,test\n"), sizeof(csv));
    const char *map = scratch_text("t.yaml", short_map);
    ASSERT_OK(csl_import_csv(&r, "lyon", csv, map, "x", two, 2, &err), &err);
    assert_int_equal(r.record_count, 2);
    csl_records_release(&r);
    ASSERT_CODE(csl_import_csv(&r, "lyon", csv, map, "x", none, 1, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "none of its 3 rows is wanted for site lyon; a value that occurs");
    ASSERT_CODE(csl_import_csv(&r, "lyon", csv, map, "z", none, 1, &err), CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "no column is named 'z'");
    ASSERT_CODE(csl_import_csv(&r, "No Site", csv, map, NULL, NULL, 0, &err), CSL_E_INVAL, &err);
    ASSERT_CODE(csl_import_csv(&r, "lyon", scratch("no.csv"), map, NULL, NULL, 0, &err),
                CSL_E_NOTFOUND, &err);
}

/* The cell itself must not be in the text: it may be a patient's. */
static void test_csv_import__bad_rows__are_named_by_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *csv, *says;
    } cases[] = {
        {"x,y,set\n1,1,train\nhello,0,train\n", "t.csv:3: column 1 (x): the cell is not a number"},
        {"x,y,set\n1e999,1,train\n", "t.csv:2: column 1 (x): the cell is not a number"},
        {"x,y,set\n1e39,1,train\n", "t.csv:2: column 1 (x): the cell is not a number"},
        {"x,y,set\nnan,1,train\n", "t.csv:2: column 1 (x): the cell is not a number"},
        {"x,y,set\n0x10,1,train\n", "t.csv:2: column 1 (x): the cell is not a number"},
        {"x,y,set\n1,1,hello\n", "t.csv:2: column 3 (set): the cell is no value listed under"},
        {"x,y,set\n1,hello,train\n",
         "t.csv:2: column 2 (y): the cell is no value that the mapping"},
        {"x,y,set\n1,1\n", "t.csv:2: found 2 columns; 3 as in the header line would be right"},
        {"x,y,set\n\"1\n\n1\",1,train\n1\n", "t.csv:2: column 1 (x)"},
        {"x,y\n1,1\n", "no column of"},
        {"x,x,y,set\n1,1,1,train\n", "feature x occurs twice"},
        {"x,y,set,set\n1,1,train,train\n", "more than one column of"},
        {"x\x01,y,set\n1,1,train\n", "t.csv:1: name of column 1 is not printable UTF-8"},
        {"y,set\n1,train\n", "0 features"},
        {"", "is empty"},
        {"x,y,set\n", "no row below the header; one row per record"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_records r;
        struct csl_err err;
        enum csl_code code = import(&r, cases[i].csv, short_map, &err);
        assert_true(code == CSL_E_INVAL || code == CSL_E_LIMIT ? true : false);
        ASSERT_SAYS(&err, cases[i].says);
        assert_null(strstr(err.msg, "hello"));
    }
}

static void test_csv_import__patient_in_two_splits__is_refused(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    ASSERT_CODE(import(&r,
                       "id,age,bp,y,stage,t,e,set,sex\np1,1,1,no,I,1,dead,a,m\n"
                       "p1,1,1,no,I,1,dead,t,m\n",
                       plain_map, &err),
                CSL_E_INVAL, &err);
    ASSERT_SAYS(&err, "t.csv:3: the patient of this row is in another split");
}

static void test_mapping__mistakes__are_named_by_line(void **state)
{
    (void)state;
    static const char head[] = "format: consilium.mapping/1\n";
    static const char split[] = "split: {column: set, train: train}\n";
    static const char label[] = "labels: [{name: y, kind: binary, positive: 1}]\n";
    static const struct {
        const char *head, *features, *label, *split, *says;
    } cases[] = {
        {"format: consilium.mapping/9\n", "features: {all_except: [y]}\n", label, split,
         "t.yaml:1:9: format"},
        {head, "", label, split, "features are missing"},
        {head, "features: []\n", label, split, "t.yaml:2"},
        {head, "features: {but: [y]}\n", label, split, "all_except"},
        {head, "features: {all_except: [zzz, y, set]}\n", label, split, "'zzz'"},
        {head, "features: [{name: x, range: [3, 1]}]\n", label, split, "ascending"},
        {head, "features: [{name: x, colour: red}]\n", label, split, "colour"},
        {head, "features: [{name: x}]\n", "", split, "labels are missing"},
        {head, "features: [{name: x}]\n", "labels: [{name: y, kind: binary}]\n", split, "positive"},
        {head, "features: [{name: x}]\n", "labels: [{name: y, kind: classes}]\n", split, "values"},
        {head, "features: [{name: x}]\n", "labels: [{name: y, kind: classes, values: [1]}]\n",
         split, "2 to 64 values"},
        {head, "features: [{name: x}]\n", "labels: [{name: y, kind: survival, time: x}]\n", split,
         "event"},
        {head, "features: [{name: x}]\n", label, "", "split is missing"},
        {head, "features: [{name: x}]\n", label, "split: {column: set}\n", "train is missing"},
        {head, "features: [{name: x}]\n", label, "split: {column: nope, train: 1}\n", "'nope'"},
        {head, "features: [{name: x}, {name: x}]\n", label, split, "occurs twice"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct csl_records r;
        struct csl_err err;
        char map[1024];
        snprintf(map, sizeof(map), "%s%s%s%s", cases[i].head, cases[i].features, cases[i].label,
                 cases[i].split);
        ASSERT_CODE(import(&r, "x,y,set\n1,1,train\n", map, &err), CSL_E_INVAL, &err);
        ASSERT_SAYS(&err, cases[i].says);
    }
}

static void test_csv_import__many_rows_of_few_patients__stay_in_file_order(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    size_t used = 0, bytes = 64 * 3000;
    char *csv = malloc(bytes);
    assert_non_null(csv);
    used += (size_t)snprintf(csv, bytes, "x,y,set,id\n");
    for (int i = 0; i < 3000; i++)
        used += (size_t)snprintf(csv + used, bytes - used, "%d,1,train,p%d\n", i, (i * 7) % 13);
    char map[512];
    snprintf(
        map, sizeof(map),
        "format: consilium.mapping/1\npatient_column: id\nfeatures: [{name: x}]\n"
        "labels: [{name: y, kind: binary, positive: 1}]\nsplit: {column: set, train: train}\n");
    ASSERT_OK(import(&r, csv, map, &err), &err);
    assert_int_equal(r.patient_count, 13);
    for (uint32_t i = 1; i < 3000; i++) {
        assert_true(r.patient[i] >= r.patient[i - 1]);
        if (r.patient[i] == r.patient[i - 1])
            assert_true(r.modalities[0].values[i] > r.modalities[0].values[i - 1]);
    }
    csl_records_release(&r);
    free(csv);
}

static void test_csv_import__out_of_memory__is_reported(void **state)
{
    (void)state;
    struct csl_err err;
    uint64_t n = 1;
    char csv[640], map[640];
    memcpy(csv, scratch_text("t.csv", plain_csv), sizeof(csv));
    memcpy(map, scratch_text("t.yaml", plain_map), sizeof(map));
    for (; n < 1000; n++) {
        struct csl_records r;
        csl_mem_fail_after(n);
        enum csl_code code = csl_import_csv(&r, "lyon", csv, map, NULL, NULL, 0, &err);
        csl_mem_fail_after(0);
        if (code == CSL_OK) {
            csl_records_release(&r);
            break;
        }
        ASSERT_CODE(code, CSL_E_NOMEM, &err);
    }
    assert_in_range(n, 20, 999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv__texts__are_read_as_rfc_4180_says),
        cmocka_unit_test(test_csv__nul_byte__is_refused),
        cmocka_unit_test(test_csv__record_beyond_the_maximum__is_refused),
        cmocka_unit_test(test_csv_import__every_kind_of_column__arrives),
        cmocka_unit_test(test_csv_import__all_except__takes_and_names_the_rest),
        cmocka_unit_test(test_csv_import__headerless_file__takes_the_names_of_the_mapping),
        cmocka_unit_test(test_csv_import__join__adds_columns_and_skips_what_is_told),
        cmocka_unit_test(test_csv_import__callers_filter__selects_rows),
        cmocka_unit_test(test_csv_import__bad_rows__are_named_by_line_and_column),
        cmocka_unit_test(test_csv_import__patient_in_two_splits__is_refused),
        cmocka_unit_test(test_mapping__mistakes__are_named_by_line),
        cmocka_unit_test(test_csv_import__many_rows_of_few_patients__stay_in_file_order),
        cmocka_unit_test(test_csv_import__out_of_memory__is_reported),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
