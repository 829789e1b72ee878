/* base/option_internal.h - what option.c and option_print.c share. */
#ifndef CSL_BASE_OPTION_INTERNAL_H
#define CSL_BASE_OPTION_INTERNAL_H
#include "base/option.h"

#define CSL_OPTION__ROWS_MAX  128 /* rows of one table */
#define CSL_OPTION__FLAG_MAX  80  /* bytes of "--name", with NUL */
#define CSL_OPTION__TEXT_MAX  256
#define CSL_OPTION__DEPTH_MAX 16 /* sections within sections, and sections waiting to be read */

/* What a value of this row looks like: "a whole number of rounds from 1 to 1000000". */
void csl_option__expected(const struct csl_option *row, char *out, size_t out_bytes);
/* "--round-count" for the row round_count. */
void csl_option__flag(const struct csl_option *row, char *out, size_t out_bytes);
static inline bool csl_option__is_nested(const struct csl_option *row)
{
    return row->type == CSL_OPT_NODE || row->type == CSL_OPT_SECTION;
}

#endif
