/* simulations/result_realised.c - mode joint: what the opened sums cost, in summary.json and in
 * words. */
#include "simulations/result_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

void csl_realised_shares(char *dst, size_t dst_bytes, const struct csl_result_realised *p,
                         uint32_t known)
{
    if (p->fewest == p->most)
        (void)snprintf(dst, dst_bytes, "%u", p->most - known);
    else
        (void)snprintf(dst, dst_bytes, "%u to %u", p->fewest - known, p->most - known);
}

void csl_result__put_realised(struct csl_json *j, const struct csl_result_realised *p)
{
    if (!p->is_present)
        return;
    csl_json_key(j, "realised");
    csl_json_object(j);
    csl_json_put_f64(j, "epsilon_coordinator", p->coordinator);
    csl_json_put_f64(j, "epsilon_colluding", p->colluding);
    csl_json_put_f64(j, "epsilon_planned", p->planned);
    csl_json_put_u64(j, "colluding", p->colluding_sites);
    csl_json_put_u64(j, "minimum_sites", p->floor);
    csl_json_put_u64(j, "fewest_sites", p->fewest);
    csl_json_put_u64(j, "most_sites", p->most);
    csl_json_end(j);
}

enum csl_code csl_result__read_realised(const struct csl_result_reader *rd,
                                        const struct csl_json_value *v)
{
    struct csl_result_realised p = {.is_present = true};
    const struct {
        const char *name;
        double *to;
    } prices[] = {{"epsilon_coordinator", &p.coordinator},
                  {"epsilon_colluding", &p.colluding},
                  {"epsilon_planned", &p.planned}};
    const struct {
        const char *name;
        uint32_t *to;
    } counts[] = {{"colluding", &p.colluding_sites},
                  {"minimum_sites", &p.floor},
                  {"fewest_sites", &p.fewest},
                  {"most_sites", &p.most}};
    if (v == NULL)
        return CSL_OK;
    if (strcmp(rd->r->privacy, csl_privacy_mode_name(CSL_PRIVACY_JOINT)) != 0)
        return csl_result__bad(rd, "realised", "sums with shares of noise in mode joint alone");
    for (size_t i = 0; i < sizeof(prices) / sizeof(prices[0]); i++)
        if (!csl_json_as_f64(csl_json_get(v, prices[i].name), prices[i].to) ||
            !(*prices[i].to >= 0))
            return csl_result__bad(rd, prices[i].name, "a number from 0");
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint64_t n;
        if (!csl_json_as_u64(csl_json_get(v, counts[i].name), &n) || n > CSL_SITES_MAX)
            return csl_result__bad(rd, counts[i].name, "a number of sites");
        *counts[i].to = (uint32_t)n;
    }
    if (p.fewest <= p.colluding_sites || p.most < p.fewest)
        return csl_result__bad(rd, "fewest_sites", "more than collude and no more than most_sites");
    rd->r->realised = p;
    return CSL_OK;
}
