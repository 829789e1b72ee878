/* cli/privacy_survivors.c - `consilium privacy plan --survivors`: what the sums of a study in mode
 * joint cost, from how many sites were in each of them. */
#include "base/mem.h"
#include "base/str.h"
#include "cli/privacy_plan.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum csl_code csl_plan_take_survivors(struct csl_plan *p, const char *text, struct csl_err *err)
{
    uint32_t count = 1, fewest = p->study->secagg.minimum_sites;

    if (text[0] == 0)
        return CSL_OK;
    if (p->study->privacy.mode != CSL_PRIVACY_JOINT)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "--survivors: only the sums of mode joint hold shares of one noise; study "
                        "%s has mode %s",
                        p->study->id, csl_privacy_mode_name(p->study->privacy.mode));
    for (const char *c = text; *c != 0; c++)
        count += *c == ',';
    if (count > p->study->rounds)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "--survivors: found %u numbers; at most %u, one a round, "
                        "would be right",
                        count, p->study->rounds);
    p->survivors = csl_alloc_array(count, sizeof(*p->survivors));
    if (p->survivors == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u rounds", count);
    for (; p->survivor_count < count; p->survivor_count++) {
        size_t n = strcspn(text, ",");
        char word[24] = "";
        uint64_t sites = 0;
        if (n < sizeof(word))
            memcpy(word, text, n);
        if (!csl_parse_u64(word, &sites) || sites < fewest || sites > CSL_SITES_MAX)
            return CSL_FAIL(err, CSL_E_INVAL,
                            "--survivors: found '%.*s' for round %u; %u, the fewest sites of a sum "
                            "of this study, to %d would be right",
                            n < 60 ? (int)n : 60, text, p->survivor_count + 1, fewest,
                            CSL_SITES_MAX);
        p->survivors[p->survivor_count] = (uint32_t)sites;
        text += n + 1;
    }
    return CSL_OK;
}

struct cost {
    double coordinator, colluding, planned;
};

static enum csl_code price(const struct csl_plan *p, uint32_t rounds, struct cost *c,
                           struct csl_err *err)
{
    const struct csl_privacy_plan *plan = &p->sites[0].plan; /* one noise: the same at every site */
    uint32_t known = p->study->secagg.colluding;
    enum csl_code code =
        csl_privacy_plan_realised(plan, 0, p->survivors, rounds, &c->coordinator, err);

    if (code == CSL_OK)
        code = csl_privacy_plan_realised(plan, known, p->survivors, rounds, &c->colluding, err);
    return code == CSL_OK ? csl_plan_epsilon(p, 0, rounds, &c->planned, err) : code;
}

enum csl_code csl_plan_survivors_text(const struct csl_plan *p, struct csl_buf *out,
                                      struct csl_err *err)
{
    char text[3][CSL_ROUNDED_MAX], with[40];
    enum csl_code code = CSL_OK;

    if (p->survivor_count == 0)
        return CSL_OK;
    csl_buf_printf(out, "\nWhat the sums that were opened cost:\n%8s %8s %12s %16s %12s\n", "round",
                   "sites", "coordinator", "and colluding", "planned");
    for (uint32_t r = 1; r <= p->survivor_count && code == CSL_OK; r++) {
        struct cost c = {0};
        code = price(p, r, &c, err);
        csl_round_up(text[0], c.coordinator);
        csl_round_up(text[1], c.colluding);
        csl_round_up(text[2], c.planned);
        csl_buf_printf(out, "%8u %8u %12s %16s %12s\n", r, p->survivors[r - 1], text[0], text[1],
                       text[2]);
    }
    (void)snprintf(with, sizeof(with), "%u site%s", p->study->secagg.colluding,
                   csl_str_plural(p->study->secagg.colluding));
    csl_buf_printf(out,
                   "Epsilon of all sums up to a round: against the coordinator alone, against it "
                   "with %s, and as planned,\nwhich is what every site's ledger is charged.\n",
                   with);
    return code;
}

enum csl_code csl_plan_survivors_json(const struct csl_plan *p, struct csl_json *j,
                                      struct csl_err *err)
{
    enum csl_code code = CSL_OK;

    if (p->survivor_count == 0)
        return CSL_OK;
    csl_json_key(j, "realised");
    csl_json_array(j);
    for (uint32_t r = 1; r <= p->survivor_count && code == CSL_OK; r++) {
        struct cost c = {0};
        code = price(p, r, &c, err);
        csl_json_object(j);
        csl_json_put_u64(j, "round", r);
        csl_json_put_u64(j, "sites", p->survivors[r - 1]);
        csl_json_put_f64(j, "epsilon_coordinator", c.coordinator);
        csl_json_put_f64(j, "epsilon_colluding", c.colluding);
        csl_json_put_f64(j, "epsilon_planned", c.planned);
        csl_json_end(j);
    }
    csl_json_end(j);
    return code;
}
