#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void csl_assert_failed_(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}
