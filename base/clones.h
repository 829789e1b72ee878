/* base/clones.h - one loop, two machines: the wide one is
 * chosen when the program is loaded, which is too early for a sanitizer's runtime. */
#ifndef CSL_CLONES_H
#define CSL_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CSL_CLONES __attribute__((target_clones("avx2", "default")))
/* Where twice the width, or 64-bit integers and floats in one loop, pay. */
#define CSL_WIDE_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define CSL_CLONES
#define CSL_WIDE_CLONES
#endif

/* Before a loop whose passes do not touch each other's elements. */
#if defined(__GNUC__) && !defined(__clang__)
#define CSL_IVDEP _Pragma("GCC ivdep")
#else
#define CSL_IVDEP
#endif

#endif
