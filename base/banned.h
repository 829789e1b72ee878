/* base/banned.h - libc calls that are bugs waiting to happen; included last by every .c of base,
 * and checked for the whole tree by tests/lint. */
#ifndef CSL_BASE_BANNED_H
#define CSL_BASE_BANNED_H
/* A fortified libc defines some of them as macros, and clang refuses to poison a macro. */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok alloca atoi atol atof
#endif
