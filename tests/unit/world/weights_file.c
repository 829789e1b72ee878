#include "tests/unit/world/weights_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

void write_weights_file(const struct csl_schema *s, uint64_t seed, const char *path, float *values)
{
    FILE *f = fopen(path, "wb");
    char head[8192];
    size_t n = 0;
    assert_non_null(f);
    csl_schema_init_parameters(s, seed, values);
    for (uint32_t i = 0; i < s->tensor_count; i++) {
        const struct csl_tensor_spec *t = &s->tensors[i];
        n += (size_t)snprintf(head + n, sizeof(head) - n,
                              "%s\"%s\": {\"dtype\": \"F32\", \"shape\": [", i > 0 ? ", " : "{",
                              t->name);
        for (uint32_t k = 0; k < t->rank; k++)
            n += (size_t)snprintf(head + n, sizeof(head) - n, "%s%llu", k > 0 ? ", " : "",
                                  (unsigned long long)t->shape[k]);
        n += (size_t)snprintf(head + n, sizeof(head) - n, "], \"data_offsets\": [%llu, %llu]}",
                              (unsigned long long)(t->first * sizeof(float)),
                              (unsigned long long)((t->first + t->count) * sizeof(float)));
        assert_true(n < sizeof(head) - 16);
    }
    head[n++] = '}';
    while (n % 8 != 0)
        head[n++] = ' ';
    const uint64_t bytes = n; /* little-endian, as the host */
    assert_int_equal(fwrite(&bytes, 8, 1, f), 1);
    assert_int_equal(fwrite(head, 1, n, f), n);
    assert_int_equal(fwrite(values, sizeof(float), (size_t)s->parameters, f), s->parameters);
    assert_int_equal(fclose(f), 0);
}
