/* protocol/study/study_encoding.c - how many bits a parameter is sent in under masks, and what that
 * takes: a bound on every update, on every weight, and on the number of sites. */
#include "protocol/study/study_internal.h"

#define WORD_BITS 64

struct raw_encoding {
    uint32_t lane_bits, weight_cap;
    double clip_norm;
    bool is_rotated;
};

#define AT(field) .offset = offsetof(struct raw_encoding, field)

static const struct csl_option encoding_rows[] = {
    {.name = "lane_bits",
     .type = CSL_OPT_U32,
     AT(lane_bits),
     .max = WORD_BITS,
     .fallback = "64",
     .unit = "bits",
     .help = "Of one parameter in the masked sum: 16, 21, 32 or 64."},
    {.name = "clip_norm",
     .type = CSL_OPT_F64,
     AT(clip_norm),
     .min = 0,
     .max = 1e6,
     .fallback = "0",
     .help = "L2 norm to which a site's update of each domain is scaled down."},
    {.name = "rotation",
     .type = CSL_OPT_BOOL,
     AT(is_rotated),
     .fallback = "true",
     .help = "Spreads an update over all entries before it is rounded."},
    {.name = "weight_cap",
     .type = CSL_OPT_U32,
     AT(weight_cap),
     .max = 1000000,
     .fallback = "0",
     .unit = "patients",
     .help = "With weights by patients: a site counts with at most so many."},
    CSL_OPTION_END,
};

/* Twice the level of lanes.h: 2 floor((2^bits - 1) / 2 sites) >= least. */
static bool has_levels(uint32_t bits, uint32_t sites)
{
    return UINT64_MAX >> (WORD_BITS - bits) >= (uint64_t)CSL_STUDY_LEVELS_MIN * sites;
}

double csl_study_mass_cap(const struct csl_study *s)
{
    bool is_weighed = s->fairness.domains.kind != CSL_DOMAIN_WEIGHTS_NONE;
    return s->secagg.weight_cap * (is_weighed ? s->fairness.domains.cap : 1);
}

uint32_t csl_study_lane_bits(uint32_t sites)
{
    static const uint32_t narrow[] = {16, 21, 32};

    for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++) {
        if (has_levels(narrow[i], sites))
            return narrow[i];
    }
    return WORD_BITS;
}

enum csl_code csl_study__read_encoding(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *parent,
                                       const struct csl_yaml_node *section)
{
    static const char *const narrow[] = {"clip_norm", "rotation", "weight_cap", NULL};
    struct raw_encoding raw = {0};
    struct csl_study_secagg *a = &r->s->secagg;
    enum csl_code code = csl_study__section(r, encoding_rows, &raw, parent, section, "encoding");

    if (code != CSL_OK)
        return code;
    a->lane_bits = raw.lane_bits;
    if (raw.lane_bits == WORD_BITS)
        return csl_study__refuse_keys(r, section, narrow, "words of 64 bits need no bounds");
    if (raw.lane_bits != 16 && raw.lane_bits != 21 && raw.lane_bits != 32)
        return csl_study__found(r, csl_study__at(section, "lane_bits"), "16, 21, 32 or 64");
    if (!csl_yaml_get(section, "clip_norm"))
        return csl_yaml_fail(r->err, r->y, section,
                             "key 'clip_norm' is missing; the largest L2 norm of an update would "
                             "be right");
    if (raw.clip_norm < 1e-6)
        return csl_study__found(r, csl_study__at(section, "clip_norm"),
                                "a number from 1e-6 to 1e6");
    a->clip_norm = raw.clip_norm;
    a->is_rotated = raw.is_rotated;
    a->weight_cap = raw.weight_cap;
    return CSL_OK;
}

static uint32_t sites_of(const struct csl_study *s)
{
    uint32_t n = s->secagg.minimum_sites;

    n = s->minimum_sites > n ? s->minimum_sites : n;
    n = s->participant_count > n ? s->participant_count : n;
    return s->sim_site_count > n ? s->sim_site_count : n;
}

enum csl_code csl_study__check_encoding(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *root)
{
    static const char *const cap[] = {"weight_cap", NULL};
    const struct csl_study *s = r->s;
    const struct csl_yaml_node *section =
        csl_yaml_get(csl_study__at(root, "secure_aggregation"), "encoding");
    uint32_t sites = sites_of(s), bits = s->secagg.lane_bits;

    if (bits == WORD_BITS)
        return CSL_OK;
    if (s->privacy.mode == CSL_PRIVACY_JOINT)
        return csl_yaml_fail(r->err, r->y, section,
                             "mode joint is priced for words of 64 bits; leaving encoding out "
                             "would be right");
    if (!has_levels(bits, sites))
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, "lane_bits"),
                             "found %u, which leaves a sum over %u sites fewer than %d steps; %u "
                             "would be right",
                             bits, sites, CSL_STUDY_LEVELS_MIN, csl_study_lane_bits(sites));
    if (s->aggregation.weights != CSL_WEIGHTS_SAMPLES)
        return csl_study__refuse_keys(r, section, cap, "all sites weigh the same");
    if (!csl_yaml_get(section, "weight_cap"))
        return csl_yaml_fail(r->err, r->y, section,
                             "key 'weight_cap' is missing; the most patients a site may count "
                             "with, or weights: {kind: equal}, would be right");
    if (s->secagg.weight_cap == 0)
        return csl_study__found(r, csl_study__at(section, "weight_cap"),
                                "a whole number from 1 to 1000000");
    return CSL_OK;
}
