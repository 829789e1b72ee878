/* tests/vectors/rows.h - reads files of vectors: a line is a group, "accept" or "refuse", what it
 * is, and fields, between spaces; lines that begin with # are none. */
#ifndef CSL_TESTS_VECTORS_ROWS_H
#define CSL_TESTS_VECTORS_ROWS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROW_FIELDS_MAX = 10 };

struct row {
    const char *note;
    bool is_accepted;
    const char *fields[ROW_FIELDS_MAX];
    size_t count;
};
/* Calls `check`, which says whether the code accepts, for every line of the group in the file (a
 * path from the root of the tree); fails where it says something else than the line, and when there
 * are fewer lines than that. */
void rows_each(const char *path, const char *group, bool (*check)(const struct row *),
               uint32_t accepted_min, uint32_t refused_min);
/* A field of n bytes; of at most `room`, "-" for none; a decimal number. */
void row_fixed(const struct row *r, size_t field, void *out, size_t n);
size_t row_bytes(const struct row *r, size_t field, void *out, size_t room);
uint32_t row_number(const struct row *r, size_t field);

#endif
