/* base/str.h - bounded strings and strict number parsing. */
#ifndef CSL_BASE_STR_H
#define CSL_BASE_STR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies with a NUL; false (dst empty) when it does not fit. */
bool csl_str_copy(char *dst, size_t dst_bytes, const char *src);
/* Identifiers of sites, studies, blocks, features: [a-z0-9][a-z0-9._-]{0,62}. */
bool csl_id_valid(const char *id);
/* The whole text must be one number; no sign for u64, no blanks, no hex; NaN and infinities
 * refused. */
bool csl_parse_u64(const char *text, uint64_t *out);
bool csl_parse_i64(const char *text, int64_t *out);
bool csl_parse_f64(const char *text, double *out);
/* Copies src with control bytes, quotes and non-ASCII as \xNN, cut to fit with "..." at the end:
 * for anything a peer or a file supplied that must be shown. Always terminates. */
void csl_str_escape(char *dst, size_t dst_bytes, const char *src, size_t src_bytes);
/* Bytes of the UTF-8 character that starts at p (n bytes are there); 0 when it is not valid UTF-8.
 */
size_t csl_utf8_next(const char *p, size_t n);
/* The shortest of 15, 16 and 17 significant digits that reads back as the same double; 32 bytes are
 * enough for any. */
void csl_str_f64(char *dst, size_t dst_bytes, double v);
/* "1.5 MB", "3 m 20 s" for people. */
void csl_str_bytes(char *dst, size_t dst_bytes, uint64_t bytes);
void csl_str_duration(char *dst, size_t dst_bytes, uint64_t ns);
/* "" for one and "s" for any other number: printf("%u record%s", n, csl_str_plural(n)). */
const char *csl_str_plural(uint64_t n);

#endif
