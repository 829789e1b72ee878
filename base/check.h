/* base/check.h - assertions that stay in release builds. For our own mistakes only: nothing a
 * peer, a file or an operator does may reach one. */
#ifndef CSL_BASE_CHECK_H
#define CSL_BASE_CHECK_H

_Noreturn void csl_assert_failed_(const char *expression, const char *file, int line);

#define CSL_ASSERT(x) ((x) ? (void)0 : csl_assert_failed_(#x, __FILE__, __LINE__))

#endif
