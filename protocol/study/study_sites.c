/* protocol/study/study_sites.c - who takes part, and where simulated sites get their records. */
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <string.h>

#define AT(type, field)   .offset = offsetof(struct type, field)
#define TEXT(type, field) AT(type, field), .size = sizeof(((struct type *)0)->field)

struct raw_sites {
    uint32_t minimum;
    uint64_t round_deadline_ms;
    const struct csl_yaml_node *participants;
};
struct raw_simulation {
    const struct csl_yaml_node *sites, *external;
};
struct raw_sim_site {
    char id[CSL_ID_MAX], csv[256], npz[256], mapping[256], records[256];
    uint32_t synth;
    const struct csl_yaml_node *where, *attack;
};
struct raw_where {
    char column[CSL_ID_MAX];
    const struct csl_yaml_node *any_of;
};

static const struct csl_option sites_rows[] = {
    {.name = "minimum",
     .type = CSL_OPT_U32,
     AT(raw_sites, minimum),
     .min = 1,
     .max = CSL_SITES_MAX,
     .fallback = "1",
     .unit = "sites",
     .help = "A round needs this many contributions."},
    {.name = "participants",
     .type = CSL_OPT_NODE,
     AT(raw_sites, participants),
     .help = "Sites to wait for before the first round."},
    {.name = "round_deadline",
     .type = CSL_OPT_MS,
     AT(raw_sites, round_deadline_ms),
     .min = 1,
     .max = 30.0 * 24 * 3600 * 1000,
     .fallback = "10m",
     .help = "After it a round closes with what it has, if that is the minimum."},
    CSL_OPTION_END,
};
static const struct csl_option simulation_rows[] = {
    {.name = "sites",
     .type = CSL_OPT_NODE,
     AT(raw_simulation, sites),
     .help = "One entry per simulated site."},
    {.name = "external",
     .type = CSL_OPT_NODE,
     AT(raw_simulation, external),
     .help = "Sites that never train: the released model is judged there."},
    CSL_OPTION_END,
};
static const struct csl_option sim_site_rows[] = {
    {.name = "id", .type = CSL_OPT_ID, AT(raw_sim_site, id), .help = "Name of the site."},
    {.name = "csv",
     .type = CSL_OPT_PATH,
     TEXT(raw_sim_site, csv),
     .fallback = "",
     .help = "Table to import, below --data."},
    {.name = "npz",
     .type = CSL_OPT_PATH,
     TEXT(raw_sim_site, npz),
     .fallback = "",
     .help = "NumPy archive to import, below --data."},
    {.name = "mapping",
     .type = CSL_OPT_PATH,
     TEXT(raw_sim_site, mapping),
     .fallback = "",
     .help = "How the table or archive is read, beside the study file."},
    {.name = "records",
     .type = CSL_OPT_PATH,
     TEXT(raw_sim_site, records),
     .fallback = "",
     .help = "Record file, below --data."},
    {.name = "where",
     .type = CSL_OPT_NODE,
     AT(raw_sim_site, where),
     .help = "Which rows of the table belong to this site."},
    {.name = "synth",
     .type = CSL_OPT_U32,
     AT(raw_sim_site, synth),
     .max = CSL_SITES_MAX - 1,
     .fallback = "0",
     .help = "Number of a hospital of the synthetic federation."},
    {.name = "attack",
     .type = CSL_OPT_NODE,
     AT(raw_sim_site, attack),
     .help = "What this site does to harm the model; in one process only."},
    CSL_OPTION_END,
};
static const struct csl_option where_rows[] = {
    {.name = "column",
     .type = CSL_OPT_STR,
     TEXT(raw_where, column),
     .help = "Column of the table."},
    {.name = "any_of",
     .type = CSL_OPT_NODE,
     AT(raw_where, any_of),
     .help = "Values of it that mean this site."},
    CSL_OPTION_END,
};

static enum csl_code read_participants(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *list)
{
    struct csl_study *s = r->s;
    enum csl_code code = csl_study__check_list(r, list, 1, CSL_SITES_MAX, "names of sites");

    if (code != CSL_OK)
        return code;
    s->participants = csl_alloc_array(list->child_count, sizeof(*s->participants));
    if (!s->participants)
        return CSL_FAIL(r->err, CSL_E_NOMEM, "no memory for %u participants", list->child_count);
    for (const struct csl_yaml_node *item = list->first_child; item; item = item->next) {
        char *id = s->participants[s->participant_count];
        code = csl_study__id(r, item, id);
        for (uint32_t i = 0; i < s->participant_count && code == CSL_OK; i++) {
            if (strcmp(s->participants[i], id) == 0)
                code = csl_yaml_fail(r->err, r->y, item, "site '%s' is listed twice", id);
        }
        if (code != CSL_OK)
            return code;
        s->participant_count++;
    }
    return CSL_OK;
}

enum csl_code csl_study__read_sites(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *root,
                                    const struct csl_yaml_node *section)
{
    struct raw_sites raw = {0};
    enum csl_code code = csl_study__section(r, sites_rows, &raw, root, section, "sites");

    if (code == CSL_OK && raw.participants)
        code = read_participants(r, raw.participants);
    if (code != CSL_OK)
        return code;
    r->s->minimum_sites = raw.minimum;
    r->s->round_deadline_ms = raw.round_deadline_ms;
    if (r->s->participant_count > 0 && raw.minimum > r->s->participant_count)
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "minimum"),
                             "found %u, but only %u participants are listed; at most %u would be "
                             "right",
                             raw.minimum, r->s->participant_count, r->s->participant_count);
    return CSL_OK;
}

static enum csl_code read_where(const struct csl_study_reader *r,
                                const struct csl_yaml_node *section, struct csl_sim_site *site)
{
    enum { VALUES_MAX = sizeof(site->where_any_of) / sizeof(site->where_any_of[0]) };
    struct raw_where raw = {0};
    enum csl_code code = csl_study__section(r, where_rows, &raw, section, section, "where");

    if (code == CSL_OK && !raw.any_of)
        code = csl_yaml_fail(r->err, r->y, section,
                             "'any_of' is missing; a list of values of the column would be right");
    if (code == CSL_OK)
        code = csl_study__check_list(r, raw.any_of, 1, VALUES_MAX, "values");
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(csl_str_copy(site->where_column, sizeof(site->where_column), raw.column));
    for (const struct csl_yaml_node *item = raw.any_of->first_child; item; item = item->next) {
        char *value = site->where_any_of[site->where_count];
        if (item->kind != CSL_YAML_SCALAR || !csl_str_copy(value, CSL_ID_MAX, item->text))
            return csl_yaml_fail(r->err, r->y, item,
                                 "one value of the column, at most %d bytes, would be right",
                                 CSL_ID_MAX - 1);
        site->where_count++;
    }
    return CSL_OK;
}

static enum csl_code check_source(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *item)
{
    static const char *const sources[] = {"csv", "npz", "records", "synth"};
    static const char *const mapping_keys[] = {"mapping", NULL};
    static const char *const where_keys[] = {"where", NULL};
    const struct csl_yaml_node *first = NULL;
    enum csl_code code = CSL_OK;

    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        const struct csl_yaml_node *value = csl_yaml_get(item, sources[i]);
        if (value && first)
            return csl_yaml_fail(r->err, r->y, value,
                                 "the site already has '%s'; one source would "
                                 "be right",
                                 first->key);
        first = value ? value : first;
    }
    if (!first || (first->kind == CSL_YAML_SCALAR && first->text[0] == 0))
        return csl_yaml_fail(r->err, r->y, first ? first : item,
                             "the site has no records; one of csv, npz, records and synth would be "
                             "right");
    bool is_imported = strcmp(first->key, "csv") == 0 || strcmp(first->key, "npz") == 0;
    if (!is_imported)
        code = csl_study__refuse_keys(r, item, mapping_keys, "only csv and npz have a mapping");
    if (code == CSL_OK && strcmp(first->key, "csv") != 0)
        code = csl_study__refuse_keys(r, item, where_keys, "only csv has rows to choose from");
    if (code == CSL_OK && is_imported && !csl_yaml_get(item, "mapping"))
        code = csl_yaml_fail(r->err, r->y, item, "'%s' needs a 'mapping' file", first->key);
    return code;
}

static enum csl_code read_sim_site(const struct csl_study_reader *r,
                                   const struct csl_yaml_node *item, struct csl_sim_site *site)
{
    struct raw_sim_site raw = {0};
    enum csl_code code = csl_study__section(r, sim_site_rows, &raw, item, item, "sites");

    if (code == CSL_OK)
        code = check_source(r, item);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(csl_str_copy(site->id, sizeof(site->id), raw.id));
    CSL_ASSERT(csl_str_copy(site->csv, sizeof(site->csv), raw.csv));
    CSL_ASSERT(csl_str_copy(site->npz, sizeof(site->npz), raw.npz));
    CSL_ASSERT(csl_str_copy(site->mapping, sizeof(site->mapping), raw.mapping));
    CSL_ASSERT(csl_str_copy(site->records, sizeof(site->records), raw.records));
    site->is_synth = csl_yaml_get(item, "synth") != NULL;
    site->synth_index = raw.synth;
    if (raw.attack)
        code = csl_study__read_attack(r, raw.attack, &site->attack);
    return code == CSL_OK && raw.where ? read_where(r, raw.where, site) : code;
}

static bool is_listed(const struct csl_sim_site *sites, uint32_t count, const char *id)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(sites[i].id, id) == 0)
            return true;
    return false;
}

static enum csl_code read_list(const struct csl_study_reader *r, const struct csl_yaml_node *list,
                               struct csl_sim_site **sites, uint32_t *count)
{
    enum csl_code code = csl_study__check_list(r, list, 1, CSL_SITES_MAX, "sites");

    if (code != CSL_OK)
        return code;
    *sites = csl_alloc_array(list->child_count, sizeof(**sites));
    if (!*sites)
        return CSL_FAIL(r->err, CSL_E_NOMEM, "no memory for %u sites", list->child_count);
    for (const struct csl_yaml_node *item = list->first_child; item; item = item->next) {
        struct csl_sim_site *site = &(*sites)[*count];
        code = read_sim_site(r, item, site);
        if (code == CSL_OK && is_listed(*sites, *count, site->id))
            code = csl_yaml_fail(r->err, r->y, csl_study__at(item, "id"),
                                 "site '%s' is listed twice", site->id);
        if (code != CSL_OK)
            return code;
        (*count)++;
    }
    return CSL_OK;
}

static enum csl_code check_external(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *list)
{
    static const char *const attack[] = {"attack", NULL};
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *item = list->first_child;
    enum csl_code code = CSL_OK;

    for (uint32_t i = 0; i < s->external_site_count && code == CSL_OK; i++, item = item->next) {
        code = csl_study__refuse_keys(r, item, attack, "an external site sends no update");
        if (code == CSL_OK && is_listed(s->sim_sites, s->sim_site_count, s->external_sites[i].id))
            code = csl_yaml_fail(r->err, r->y, csl_study__at(item, "id"),
                                 "site '%s' trains, and is not external then",
                                 s->external_sites[i].id);
    }
    return code;
}

enum csl_code csl_study__read_simulation(const struct csl_study_reader *r,
                                         const struct csl_yaml_node *root,
                                         const struct csl_yaml_node *section)
{
    struct csl_study *s = r->s;
    struct raw_simulation raw = {0};
    enum csl_code code;

    if (!section)
        return CSL_OK;
    code = csl_study__section(r, simulation_rows, &raw, root, section, "simulation");
    if (code == CSL_OK && !raw.sites)
        code = csl_yaml_fail(r->err, r->y, section,
                             "'sites' is missing; a list of sites would be right");
    if (code == CSL_OK)
        code = read_list(r, raw.sites, &s->sim_sites, &s->sim_site_count);
    if (code == CSL_OK && raw.external)
        code = read_list(r, raw.external, &s->external_sites, &s->external_site_count);
    return code == CSL_OK && raw.external ? check_external(r, raw.external) : code;
}
