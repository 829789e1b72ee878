#include "tests/vectors/rows.h"

#include "base/file.h"
#include "base/str.h"
#include "tests/vectors/crypto/bytes_of.h"

/* Cuts a line in place; false: of another group. */
static bool cut(char *line, const char *group, struct row *out)
{
    char *save = NULL;
    const char *part = strtok_r(line, " ", &save);
    if (part == NULL || strcmp(part, group) != 0)
        return false;
    const char *verdict = strtok_r(NULL, " ", &save);
    out->note = strtok_r(NULL, " ", &save);
    assert_non_null(out->note);
    assert_true(strcmp(verdict, "accept") == 0 || strcmp(verdict, "refuse") == 0);
    out->is_accepted = verdict[0] == 'a';
    for (out->count = 0; (part = strtok_r(NULL, " ", &save)) != NULL; out->count++) {
        assert_true(out->count < ROW_FIELDS_MAX);
        out->fields[out->count] = part;
    }
    return true;
}

void rows_each(const char *path, const char *group, bool (*check)(const struct row *),
               uint32_t accepted_min, uint32_t refused_min)
{
    struct csl_msg file;
    uint32_t seen[2] = {0, 0};
    assert_int_equal(csl_file_read(&file, path, 1 << 20, NULL), CSL_OK);
    for (size_t at = 0; at < file.n;) {
        struct row r;
        char *line = (char *)file.p + at;
        uint8_t *end = memchr(file.p + at, '\n', file.n - at);
        assert_non_null(end);
        *end = '\0';
        at = (size_t)(end - file.p) + 1;
        if (!cut(line, group, &r))
            continue;
        seen[r.is_accepted ? 1 : 0]++;
        if (check(&r) != r.is_accepted)
            fail_msg("%s, %s: %s", group, r.note, r.is_accepted ? "refused" : "accepted");
    }
    assert_true(seen[1] >= accepted_min && seen[0] >= refused_min);
    csl_msg_release(&file);
}

void row_fixed(const struct row *r, size_t field, void *out, size_t n)
{
    assert_true(field < r->count);
    assert_int_equal(bytes_of(r->fields[field], out, n), n);
}

size_t row_bytes(const struct row *r, size_t field, void *out, size_t room)
{
    assert_true(field < r->count);
    return strcmp(r->fields[field], "-") == 0 ? 0 : bytes_of(r->fields[field], out, room);
}

uint32_t row_number(const struct row *r, size_t field)
{
    uint64_t v = 0;
    assert_true(field < r->count && csl_parse_u64(r->fields[field], &v) && v <= UINT32_MAX);
    return (uint32_t)v;
}
