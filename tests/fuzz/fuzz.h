/* tests/fuzz/fuzz.h - what libFuzzer calls, declared for our warnings. */
#ifndef CSL_TESTS_FUZZ_FUZZ_H
#define CSL_TESTS_FUZZ_FUZZ_H
#include <stddef.h>
#include <stdint.h>

/* Returns 0. Anything a byte string can do wrong must end in an error code, never in a crash. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
