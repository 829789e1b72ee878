#include "protocol/identity/roster.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/option.h"
#include "base/str.h"
#include "base/yaml.h"

#include <string.h>

#define ROSTER_BYTES_MAX ((size_t)CSL_SITES_MAX * 320 + 4096)

struct csl_roster {
    size_t count, capacity;
    struct csl_roster_site *sites; /* ascending by id */
};

struct row { /* one entry as written in the file */
    char id[CSL_ID_MAX];
    char pin[2 * CSL_PIN_BYTES + 1];
    bool is_active;
    uint32_t number;
    char signing_key[2 * CSL_ROSTER_SIGNING_BYTES + 1];
};
static const struct csl_option row_options[] = {
    {.name = "id",
     .type = CSL_OPT_ID,
     .offset = offsetof(struct row, id),
     .help = "Site id, as in its certificate."},
    {.name = "pin",
     .type = CSL_OPT_STR,
     .offset = offsetof(struct row, pin),
     .size = 2 * CSL_PIN_BYTES + 1,
     .help = "SHA-256 of the site's public key, 64 hexadecimal digits."},
    {.name = "active",
     .type = CSL_OPT_BOOL,
     .offset = offsetof(struct row, is_active),
     .fallback = "true",
     .help = "false: the site is refused."},
    {.name = "number",
     .type = CSL_OPT_U32,
     .offset = offsetof(struct row, number),
     .max = UINT32_MAX,
     .fallback = "0",
     .help = "The site's number under masks; 0: none."},
    {.name = "signing_key",
     .type = CSL_OPT_STR,
     .offset = offsetof(struct row, signing_key),
     .size = 2 * CSL_ROSTER_SIGNING_BYTES + 1,
     .fallback = "",
     .help = "The site's public signing key, 64 hexadecimal digits."},
    CSL_OPTION_END,
};
struct file {
    const struct csl_yaml_node *sites;
};
static const struct csl_option file_options[] = {
    {.name = "sites",
     .type = CSL_OPT_NODE,
     .offset = offsetof(struct file, sites),
     .help = "The sites of the federation."},
    CSL_OPTION_END,
};

enum csl_code csl_roster_new(struct csl_roster **out, struct csl_err *err)
{
    struct csl_roster *r = csl_alloc(sizeof(*r));
    if (r == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "roster");
    *out = r;
    return CSL_OK;
}

void csl_roster_free(struct csl_roster *r)
{
    if (r == NULL)
        return;
    csl_free(r->sites);
    csl_free(r);
}

/* Index of the first site whose id is not below `id`. */
static size_t place_of(const struct csl_roster *r, const char *id)
{
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(r->sites[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct csl_roster_site *csl_roster_find(const struct csl_roster *r, const char *id)
{
    size_t i = place_of(r, id);
    return i < r->count && strcmp(r->sites[i].id, id) == 0 ? &r->sites[i] : NULL;
}

static enum csl_code grow(struct csl_roster *r, struct csl_err *err)
{
    if (r->count < r->capacity)
        return CSL_OK;
    if (r->count >= CSL_SITES_MAX)
        return CSL_FAIL(err, CSL_E_LIMIT, "roster: more than %d sites", CSL_SITES_MAX);
    size_t capacity = r->capacity == 0 ? 16 : r->capacity * 2;
    struct csl_roster_site *sites = csl_realloc_array(r->sites, capacity, sizeof(*sites));
    if (sites == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "roster of %zu sites", capacity);
    r->sites = sites;
    r->capacity = capacity;
    return CSL_OK;
}

enum csl_code csl_roster_put(struct csl_roster *r, const struct csl_roster_site *site,
                             struct csl_err *err)
{
    if (!csl_id_valid(site->id))
        return CSL_FAIL(err, CSL_E_INVAL, "roster: site id is not valid");
    size_t i = place_of(r, site->id);
    if (i == r->count || strcmp(r->sites[i].id, site->id) != 0) {
        enum csl_code code = grow(r, err);
        if (code != CSL_OK)
            return code;
        memmove(r->sites + i + 1, r->sites + i, (r->count - i) * sizeof(*r->sites));
        r->count++;
    }
    r->sites[i] = *site;
    return CSL_OK;
}

uint32_t csl_roster_next_number(const struct csl_roster *r)
{
    uint32_t last = 0;
    for (size_t i = 0; i < r->count; i++)
        last = r->sites[i].number > last ? r->sites[i].number : last;
    CSL_ASSERT(last < UINT32_MAX);
    return last + 1;
}

size_t csl_roster_count(const struct csl_roster *r)
{
    return r->count;
}

const struct csl_roster_site *csl_roster_at(const struct csl_roster *r, size_t i)
{
    CSL_ASSERT(i < r->count);
    return &r->sites[i];
}

bool csl_roster_admits(const struct csl_roster *r, const char *id, const uint8_t pin[CSL_PIN_BYTES])
{
    const struct csl_roster_site *site = csl_roster_find(r, id);
    return site != NULL && site->is_active && memcmp(site->pin, pin, CSL_PIN_BYTES) == 0;
}

static enum csl_code read_row(struct csl_roster *r, const struct csl_yaml *y,
                              const struct csl_yaml_node *node, struct csl_err *err)
{
    struct row row = {.is_active = false};
    if (node->kind != CSL_YAML_MAPPING)
        return csl_yaml_fail(err, y, node, "each site is a mapping with id, pin and active");
    enum csl_code code = csl_option_read_yaml(row_options, &row, y, node, err);
    if (code != CSL_OK)
        return code;
    struct csl_roster_site site = {.is_active = row.is_active};
    (void)csl_str_copy(site.id, sizeof(site.id), row.id); /* same size */
    if (!csl_unhex(row.pin, site.pin, CSL_PIN_BYTES))
        return csl_yaml_fail(err, y, node, "pin of '%s': %d hexadecimal digits would be right",
                             row.id, 2 * CSL_PIN_BYTES);
    site.number = row.number;
    if ((row.number != 0) != (row.signing_key[0] != '\0') ||
        (row.number != 0 &&
         !csl_unhex(row.signing_key, site.signing_key, CSL_ROSTER_SIGNING_BYTES)))
        return csl_yaml_fail(err, y, node,
                             "'%s': a number and a signing_key of %d hexadecimal digits, or "
                             "neither, would be right",
                             row.id, 2 * CSL_ROSTER_SIGNING_BYTES);
    for (size_t i = 0; row.number != 0 && i < r->count; i++)
        if (r->sites[i].number == row.number)
            return csl_yaml_fail(err, y, node, "'%s' has the number of '%s'", row.id,
                                 r->sites[i].id);
    if (csl_roster_find(r, site.id) != NULL)
        return csl_yaml_fail(err, y, node, "site '%s' is listed twice", row.id);
    return csl_roster_put(r, &site, err);
}

static enum csl_code read_sites(struct csl_roster **out, const struct csl_yaml *y,
                                struct csl_err *err)
{
    struct file file = {NULL};
    enum csl_code code = csl_option_read_yaml(file_options, &file, y, csl_yaml_root(y), err);
    if (code != CSL_OK)
        return code;
    if (file.sites == NULL || file.sites->kind != CSL_YAML_SEQUENCE)
        return csl_yaml_fail(err, y, csl_yaml_root(y),
                             "'sites:' followed by a list would be right");
    struct csl_roster *r = NULL;
    code = csl_roster_new(&r, err);
    for (const struct csl_yaml_node *n = file.sites->first_child; code == CSL_OK && n != NULL;
         n = n->next)
        code = read_row(r, y, n, err);
    if (code == CSL_OK)
        *out = r;
    else
        csl_roster_free(r);
    return code;
}

enum csl_code csl_roster_parse(struct csl_roster **out, const char *name, struct csl_span bytes,
                               struct csl_err *err)
{
    struct csl_yaml *y = NULL;
    enum csl_code code = csl_yaml_parse(&y, name, bytes, err);
    if (code == CSL_OK)
        code = read_sites(out, y, err);
    csl_yaml_free(y);
    return code;
}

enum csl_code csl_roster_load(struct csl_roster **out, const char *path, struct csl_err *err)
{
    struct csl_yaml *y = NULL;
    enum csl_code code = csl_yaml_read(&y, path, ROSTER_BYTES_MAX, err);
    if (code == CSL_OK)
        code = read_sites(out, y, err);
    csl_yaml_free(y);
    return code;
}

enum csl_code csl_roster_write(const struct csl_roster *r, const char *path, struct csl_err *err)
{
    struct csl_buf text;
    csl_buf_init(&text, ROSTER_BYTES_MAX);
    csl_buf_str(&text, r->count == 0 ? "sites: []\n" : "sites:\n");
    for (size_t i = 0; i < r->count; i++) {
        const struct csl_roster_site *s = &r->sites[i];
        char pin[2 * CSL_PIN_BYTES + 1];
        csl_hex(s->pin, CSL_PIN_BYTES, pin);
        /* The id is quoted: 'null' and '12' are valid ids, and text in YAML only when quoted. */
        csl_buf_printf(&text, "  - id: \"%s\"\n    pin: \"%s\"\n    active: %s\n", s->id, pin,
                       s->is_active ? "true" : "false");
        char key[2 * CSL_ROSTER_SIGNING_BYTES + 1];
        csl_hex(s->signing_key, CSL_ROSTER_SIGNING_BYTES, key);
        if (s->number != 0)
            csl_buf_printf(&text, "    number: %u\n    signing_key: \"%s\"\n", s->number, key);
    }
    enum csl_code code = csl_buf_status(&text, err);
    if (code == CSL_OK)
        code = csl_file_write_atomic(path, CSL_SPAN(text.p, text.n), 0600, err);
    csl_buf_release(&text);
    return code;
}
