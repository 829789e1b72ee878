/* tests/unit/base/fixture.h - cmocka and what several tests of base need. */
#ifndef CSL_TESTS_UNIT_BASE_FIXTURE_H
#define CSL_TESTS_UNIT_BASE_FIXTURE_H
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* cmocka's setup and teardown: *state is the path of a fresh folder. */
int folder_setup(void **state);
int folder_teardown(void **state); /* removes the folder and the plain files in it */
/* folder/name; valid until the next call. */
const char *in_folder(void *const *state, const char *name);

/* The text of a temporary stream, read back from its start; valid until the next call. */
const char *stream_text(FILE *stream);

/* Whether run(arg) aborts, in a process of its own whose stderr is closed. */
bool aborts(void (*run)(void *arg), void *arg);

static inline struct csl_span span_of(const char *text)
{
    size_t n = 0;
    while (text[n] != '\0')
        n++;
    return CSL_SPAN(text, n);
}

#endif
