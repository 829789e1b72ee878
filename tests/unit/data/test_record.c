/* Record files: what is written is read back, the same records give the same bytes, and nothing
 * that is wrong in a file passes for data. */
#include "base/file.h"
#include "base/mem.h"
#include "tests/unit/data/support.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_small(const char *name)
{
    struct csl_records r;
    struct csl_err err;
    small_records(&r);
    ASSERT_OK(csl_records_write(&r, scratch(name), &err), &err);
    csl_records_release(&r);
}

static void test_record__written__reads_back_equal(void **state)
{
    (void)state;
    struct csl_records a, b;
    struct csl_err err;
    small_records(&a);
    ASSERT_OK(csl_records_write(&a, scratch("a.h5"), &err), &err);
    ASSERT_OK(csl_records_read(&b, scratch("a.h5"), &err), &err);
    assert_true(records_equal(&a, &b));
    csl_records_release(&a);
    csl_records_release(&b);
}

static void test_record__same_records__give_the_same_bytes(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_msg a, b;
    struct csl_err err;
    write_small("a.h5");
    small_records(&r);
    memset(r.patient_id[0] + 4, 'x', 20); /* behind the NUL: not part of the text */
    ASSERT_OK(csl_records_write(&r, scratch("b.h5"), &err), &err);
    csl_records_release(&r);
    ASSERT_OK(csl_file_read(&a, scratch("a.h5"), 1u << 20, &err), &err);
    ASSERT_OK(csl_file_read(&b, scratch("b.h5"), 1u << 20, &err), &err);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
    csl_msg_release(&a);
    csl_msg_release(&b);
}

static void test_record__written__only_its_owner_may_read_and_no_temporary_stays(void **state)
{
    (void)state;
    struct stat st;
    write_small("a.h5");
    assert_int_equal(stat(scratch("a.h5"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_not_equal(access(scratch("a.h5.tmp"), F_OK), 0);
}

static void test_record__4096_features__read_back(void **state)
{
    (void)state;
    struct csl_records a, b;
    struct csl_err err;
    small_records(&a);
    struct csl_record_modality *m = &a.modalities[0];
    uint32_t f = 4096;
    csl_free(m->values);
    csl_free(m->feature_names);
    csl_free(m->feature_units);
    csl_free(m->range_min);
    csl_free(m->range_max);
    m->shape[0] = f;
    m->values = csl_alloc_array(a.record_count, f * sizeof(float));
    m->feature_names = csl_alloc_array(f, sizeof(*m->feature_names));
    m->feature_units = csl_alloc_array(f, sizeof(*m->feature_units));
    m->range_min = csl_alloc_array(f, sizeof(double));
    m->range_max = csl_alloc_array(f, sizeof(double));
    for (uint32_t k = 0; k < f; k++)
        snprintf(m->feature_names[k], 64, "feature %u", k);
    ASSERT_OK(csl_records_write(&a, scratch("wide.h5"), &err), &err);
    ASSERT_OK(csl_records_read(&b, scratch("wide.h5"), &err), &err);
    assert_true(records_equal(&a, &b));
    csl_records_release(&a);
    csl_records_release(&b);
}

static void test_record__missing_file__is_not_found(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    ASSERT_CODE(csl_records_read(&r, scratch("nothing.h5"), &err), CSL_E_NOTFOUND, &err);
}

static void test_record__no_hdf5_file__is_corrupt_and_named(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    const char *path = scratch_text("text.h5", "age,sex\n63,1\n");
    ASSERT_CODE(csl_records_read(&r, path, &err), CSL_E_CORRUPT, &err);
    ASSERT_SAYS(&err, "text.h5");
}

static void write_bytes(const char *name, const uint8_t *p, size_t n)
{
    FILE *f = fopen(scratch(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_record__cut_anywhere__is_corrupt(void **state)
{
    (void)state;
    struct csl_msg whole;
    struct csl_err err;
    write_small("a.h5");
    ASSERT_OK(csl_file_read(&whole, scratch("a.h5"), 1u << 20, &err), &err);
    for (size_t n = 0; n < whole.n; n += 1 + whole.n / 300) {
        struct csl_records r;
        write_bytes("cut.h5", whole.p, n);
        ASSERT_CODE(csl_records_read(&r, scratch("cut.h5"), &err), CSL_E_CORRUPT, &err);
        ASSERT_SAYS(&err, "cut.h5");
    }
    csl_msg_release(&whole);
}

/* Checksums cover data and structure, so a flipped bit is found, or lies where nothing is. */
static void test_record__flipped_bit__is_corrupt_or_without_effect(void **state)
{
    (void)state;
    struct csl_records original;
    struct csl_msg whole;
    struct csl_err err;
    uint32_t found = 0, tried = 0;
    small_records(&original);
    write_small("a.h5");
    ASSERT_OK(csl_file_read(&whole, scratch("a.h5"), 1u << 20, &err), &err);
    for (size_t at = 0; at < whole.n; at += 1 + whole.n / 1500, tried++) {
        struct csl_records r;
        whole.p[at] ^= (uint8_t)(1u << (at % 8));
        write_bytes("flip.h5", whole.p, whole.n);
        whole.p[at] ^= (uint8_t)(1u << (at % 8));
        enum csl_code code = csl_records_read(&r, scratch("flip.h5"), &err);
        if (code == CSL_OK) {
            assert_true(records_equal(&original, &r));
            csl_records_release(&r);
            continue;
        }
        found++;
        ASSERT_CODE(code, CSL_E_CORRUPT, &err);
    }
    printf("%u of %u flipped bits were found; the others lie in unused space\n", found, tried);
    assert_true(found > tried / 3);
    csl_msg_release(&whole);
    csl_records_release(&original);
}

/* --- files that HDF5 finds in order and we must not --- */

static void replace_set(hid_t file, const char *path, hid_t type, int rank, const hsize_t *dims,
                        hid_t memory, const void *values)
{
    assert_true(H5Ldelete(file, path, H5P_DEFAULT) >= 0);
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t set = H5Dcreate2(file, path, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(set >= 0);
    if (values != NULL)
        assert_true(H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static void put_classes(hid_t file, const char *path, uint32_t classes)
{
    hid_t set = H5Dopen2(file, path, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
    hid_t a = H5Acreate2(set, "classes", H5T_STD_U32LE, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(a, H5T_NATIVE_UINT32, &classes) >= 0);
    H5Aclose(a);
    H5Sclose(space);
    H5Dclose(set);
}

static void patient_beyond_end(hid_t f)
{
    const uint32_t v[6] = {0, 1, 1, 2, 3, 5};
    replace_set(f, "/records/patient", H5T_STD_U32LE, 1, (const hsize_t[]){6}, H5T_NATIVE_UINT32,
                v);
}
static void patient_descends(hid_t f)
{
    const uint32_t v[6] = {0, 1, 2, 1, 3, 4};
    replace_set(f, "/records/patient", H5T_STD_U32LE, 1, (const hsize_t[]){6}, H5T_NATIVE_UINT32,
                v);
}
static void time_too_short(hid_t f)
{
    const int64_t v[5] = {0};
    replace_set(f, "/records/time", H5T_STD_I64LE, 1, (const hsize_t[]){5}, H5T_NATIVE_INT64, v);
}
static void split_unknown(hid_t f)
{
    const uint8_t v[5] = {0, 0, 3, 1, 2};
    replace_set(f, "/patients/split", H5T_STD_U8LE, 1, (const hsize_t[]){5}, H5T_NATIVE_UINT8, v);
}
static void table_as_double(hid_t f)
{
    const double v[12] = {0};
    replace_set(f, "/modalities/tabular", H5T_IEEE_F64LE, 2, (const hsize_t[]){6, 2},
                H5T_NATIVE_DOUBLE, v);
}
static void table_missing(hid_t f)
{
    assert_true(H5Ldelete(f, "/modalities/tabular", H5P_DEFAULT) >= 0);
    assert_true(
        H5Gclose(H5Gcreate2(f, "/modalities/other", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)) >= 0);
}
static void table_too_few_rows(hid_t f)
{
    const float v[10] = {0};
    replace_set(f, "/modalities/tabular", H5T_IEEE_F32LE, 2, (const hsize_t[]){5, 2},
                H5T_NATIVE_FLOAT, v);
}
static void table_without_kind(hid_t f)
{
    const float v[12] = {0};
    replace_set(f, "/modalities/tabular", H5T_IEEE_F32LE, 2, (const hsize_t[]){6, 2},
                H5T_NATIVE_FLOAT, v);
}
static void class_beyond_last(hid_t f)
{
    const int16_t v[6] = {0, 1, 2, 0, 1, -1};
    replace_set(f, "/labels/ill", H5T_STD_I16LE, 1, (const hsize_t[]){6}, H5T_NATIVE_INT16, v);
    put_classes(f, "/labels/ill", 2);
}
static void class_below_unknown(hid_t f)
{
    const int16_t v[6] = {0, 1, -2, 0, 1, -1};
    replace_set(f, "/labels/ill", H5T_STD_I16LE, 1, (const hsize_t[]){6}, H5T_NATIVE_INT16, v);
    put_classes(f, "/labels/ill", 2);
}
static void too_many_classes(hid_t f)
{
    const int16_t v[6] = {0};
    replace_set(f, "/labels/ill", H5T_STD_I16LE, 1, (const hsize_t[]){6}, H5T_NATIVE_INT16, v);
    put_classes(f, "/labels/ill", 5000);
}
static void event_not_a_number(hid_t f)
{
    float v[12] = {0};
    v[7] = NAN; /* a known time without an event */
    replace_set(f, "/labels/life", H5T_IEEE_F32LE, 2, (const hsize_t[]){6, 2}, H5T_NATIVE_FLOAT, v);
    put_classes(f, "/labels/life", 0);
}
static void time_negative(hid_t f)
{
    float v[12] = {0};
    v[4] = -1.0f;
    replace_set(f, "/labels/life", H5T_IEEE_F32LE, 2, (const hsize_t[]){6, 2}, H5T_NATIVE_FLOAT, v);
    put_classes(f, "/labels/life", 0);
}
static void label_three_columns(hid_t f)
{
    const float v[18] = {0};
    replace_set(f, "/labels/life", H5T_IEEE_F32LE, 2, (const hsize_t[]){6, 3}, H5T_NATIVE_FLOAT, v);
    put_classes(f, "/labels/life", 0);
}
static void huge_claim(hid_t f)
{
    hsize_t dims[1] = {2000000000};
    hsize_t chunk[1] = {1024};
    assert_true(H5Ldelete(f, "/records/patient", H5P_DEFAULT) >= 0);
    hid_t space = H5Screate_simple(1, dims, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, 1, chunk);
    hid_t set =
        H5Dcreate2(f, "/records/patient", H5T_STD_U32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    assert_true(set >= 0);
    H5Dclose(set);
    H5Pclose(plist);
    H5Sclose(space);
}
static void external_values(hid_t f)
{
    hsize_t dims[1] = {6};
    assert_true(H5Ldelete(f, "/records/patient", H5P_DEFAULT) >= 0);
    hid_t space = H5Screate_simple(1, dims, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(plist, "/etc/passwd", 0, 24);
    hid_t set =
        H5Dcreate2(f, "/records/patient", H5T_STD_U32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    assert_true(set >= 0);
    H5Dclose(set);
    H5Pclose(plist);
    H5Sclose(space);
}
static void external_link(hid_t f)
{
    assert_true(H5Ldelete(f, "/records/patient", H5P_DEFAULT) >= 0);
    assert_true(H5Lcreate_external("elsewhere.h5", "/x", f, "/records/patient", H5P_DEFAULT,
                                   H5P_DEFAULT) >= 0);
}
static void packed_values(hid_t f)
{
    hsize_t dims[1] = {6};
    assert_true(H5Ldelete(f, "/records/patient", H5P_DEFAULT) >= 0);
    hid_t space = H5Screate_simple(1, dims, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, 1, dims);
    H5Pset_deflate(plist, 6);
    hid_t set =
        H5Dcreate2(f, "/records/patient", H5T_STD_U32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    assert_true(set >= 0);
    H5Dclose(set);
    H5Pclose(plist);
    H5Sclose(space);
}
static void same_patient_twice(hid_t f)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, 8);
    const char v[5][8] = {"p0", "p1", "p2", "p1", "p4"};
    replace_set(f, "/patients/id", type, 1, (const hsize_t[]){5}, type, v);
    H5Tclose(type);
}
static void values_where_unavailable(hid_t f)
{
    const uint8_t v[18] = {0};
    hid_t set = H5Dopen2(f, "/records/availability", H5P_DEFAULT);
    assert_true(H5Dwrite(set, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) >= 0);
    H5Dclose(set);
}
static void infinity(hid_t f)
{
    float v[12] = {0};
    v[3] = INFINITY;
    hid_t set = H5Dopen2(f, "/modalities/tabular", H5P_DEFAULT);
    assert_true(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) >= 0);
    H5Dclose(set);
}
static void no_format(hid_t f)
{
    assert_true(H5Adelete(f, "format") >= 0);
}
static void bad_site(hid_t f)
{
    hid_t a = H5Aopen(f, "site", H5P_DEFAULT), type = H5Aget_type(a);
    const char v[64] = "../etc";
    assert_true(H5Awrite(a, type, v) >= 0);
    H5Tclose(type);
    H5Aclose(a);
}

static const struct {
    void (*damage)(hid_t file);
    const char *named; /* what the error must name */
} damages[] = {
    {patient_beyond_end, "/records/patient"},
    {patient_descends, "/records/patient"},
    {time_too_short, "/records/time"},
    {split_unknown, "/patients/split"},
    {table_as_double, "/modalities/tabular"},
    {table_missing, "/modalities/tabular"},
    {table_too_few_rows, "/modalities/tabular"},
    {table_without_kind, "kind"},
    {class_beyond_last, "/labels/ill"},
    {class_below_unknown, "/labels/ill"},
    {too_many_classes, "/labels/ill"},
    {event_not_a_number, "/labels/life"},
    {time_negative, "/labels/life"},
    {label_three_columns, "/labels/life"},
    {huge_claim, "/records/patient"},
    {external_values, "/records/patient"},
    {external_link, "/records/patient"},
    {packed_values, "/records/patient"},
    {same_patient_twice, "/patients/id"},
    {values_where_unavailable, "/modalities/"},
    {infinity, "/modalities/tabular"},
    {no_format, "format"},
    {bad_site, "site"},
};

static void test_record__well_formed_file_with_wrong_content__is_corrupt_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct csl_records r;
        struct csl_err err;
        write_small("bad.h5");
        hid_t file = H5Fopen(scratch("bad.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
        assert_true(file >= 0);
        damages[i].damage(file);
        H5Fclose(file);
        ASSERT_CODE(csl_records_read(&r, scratch("bad.h5"), &err), CSL_E_CORRUPT, &err);
        ASSERT_SAYS(&err, "bad.h5");
        ASSERT_SAYS(&err, damages[i].named);
    }
}

static void test_record__invalid_in_memory__is_not_written(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    small_records(&r);
    r.labels[0].value[0] = 7;
    ASSERT_CODE(csl_records_write(&r, scratch("never.h5"), &err), CSL_E_INVAL, &err);
    assert_int_not_equal(access(scratch("never.h5"), F_OK), 0);
    assert_int_not_equal(access(scratch("never.h5.tmp"), F_OK), 0);
    csl_records_release(&r);
}

static void test_record__folder_missing__is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    struct csl_records r;
    struct csl_err err;
    small_records(&r);
    ASSERT_CODE(csl_records_write(&r, scratch("no/such/folder.h5"), &err), CSL_E_IO, &err);
    csl_records_release(&r);
}

/* Every allocation of a read fails once: an error, nothing leaked, nothing half done. */
static void test_record__out_of_memory__is_reported(void **state)
{
    (void)state;
    struct csl_err err;
    write_small("a.h5");
    uint64_t n = 1;
    for (; n < 200; n++) {
        struct csl_records r;
        csl_mem_fail_after(n);
        enum csl_code code = csl_records_read(&r, scratch("a.h5"), &err);
        csl_mem_fail_after(0);
        if (code == CSL_OK) {
            csl_records_release(&r);
            break;
        }
        ASSERT_CODE(code, CSL_E_NOMEM, &err);
    }
    assert_in_range(n, 10, 199);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record__written__reads_back_equal),
        cmocka_unit_test(test_record__same_records__give_the_same_bytes),
        cmocka_unit_test(test_record__written__only_its_owner_may_read_and_no_temporary_stays),
        cmocka_unit_test(test_record__4096_features__read_back),
        cmocka_unit_test(test_record__missing_file__is_not_found),
        cmocka_unit_test(test_record__no_hdf5_file__is_corrupt_and_named),
        cmocka_unit_test(test_record__cut_anywhere__is_corrupt),
        cmocka_unit_test(test_record__flipped_bit__is_corrupt_or_without_effect),
        cmocka_unit_test(test_record__well_formed_file_with_wrong_content__is_corrupt_and_named),
        cmocka_unit_test(test_record__invalid_in_memory__is_not_written),
        cmocka_unit_test(test_record__folder_missing__is_an_error_and_leaves_nothing),
        cmocka_unit_test(test_record__out_of_memory__is_reported),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
