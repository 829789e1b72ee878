/* tests/vectors/crypto/bytes_of.h - published values are hexadecimal text; these compare with it.
 */
#ifndef CSL_TESTS_BYTES_OF_H
#define CSL_TESTS_BYTES_OF_H
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static inline size_t bytes_of(const char *hex, void *out, size_t room)
{
    size_t n = strlen(hex) / 2;
    assert_true(n <= room);
    assert_true(csl_unhex(hex, out, n));
    return n;
}

static inline void assert_bytes(const void *found, const char *hex)
{
    uint8_t expected[1024];
    assert_memory_equal(found, expected, bytes_of(hex, expected, sizeof(expected)));
}

#endif
