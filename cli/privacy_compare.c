/* cli/privacy_compare.c - `consilium privacy compare`: one noise and batch size under every
 * sampler, every accountant and both adjacencies: what may be claimed, and what it costs to claim
 * none. */
#include "cli/privacy.h"

#include "privacy/dp/pld_epsilon.h"
#include "privacy/dp/rdp.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/banned.h"

#define ORDER_GRID 96 /* orders tried for Poisson sampling with one patient replaced */

struct row {
    enum csl_dp_sampler sampler;
    const char *claim;
    bool has_add_remove;
    struct csl_bounds bounds[2]; /* by adjacency */
};
static const struct row empty_rows[] = {
    {.sampler = CSL_DP_POISSON, .claim = "amplified by the rate"},
    {.sampler = CSL_DP_FIXED_SIZE, .claim = "amplified, one patient replaced only"},
    {.sampler = CSL_DP_SHUFFLED, .claim = "one use per epoch, no more"},
    {.sampler = CSL_DP_FULL_BATCH, .claim = "none: every step touches everyone"},
};
#define ROWS (sizeof(empty_rows) / sizeof(empty_rows[0]))

/* Renyi on a grid of orders, each of which gives an upper bound by itself, and the loss
 * distributions of the same pair. */
static enum csl_code price_poisson_replace(struct csl_bounds *out, const struct csl_dp_event *e,
                                           double delta, struct csl_err *err)
{
    const struct csl_dp_part part = {
        .pair = csl_dp_pair_replace(e->noise_multiplier, e->sampling_rate), .steps = e->steps};
    struct csl_bounds b = {.adjacency = CSL_REPLACE_ONE,
                           .event = *e,
                           .rdp = HUGE_VAL,
                           .pld = (double)NAN,
                           .lower = (double)NAN,
                           .analytic = (double)NAN,
                           .zcdp = (double)NAN,
                           .gdp_clt_estimate = (double)NAN};
    struct csl_dp_bounds losses;

    for (int i = 0; i < ORDER_GRID; i++) {
        double order = 1 + exp2(-4 + 14 * (double)i / (ORDER_GRID - 1));
        double moment = csl_dp_pair_log_moment(&part.pair, order);
        double rdp = (double)e->steps * moment / (order - 1) * (1 + 1e-14);
        double epsilon = isfinite(rdp) ? csl_dp_rdp_epsilon(rdp, order, delta) : HUGE_VAL;
        if (epsilon < b.rdp) {
            b.rdp = epsilon;
            b.rdp_order = order;
        }
    }
    enum csl_code code = csl_dp_pld_epsilon(&part, 1, delta, 0, &losses, err);
    if (code != CSL_OK && code != CSL_E_LIMIT)
        return code;
    if (code == CSL_OK) {
        b.pld = losses.upper;
        b.lower = fmin(losses.lower, b.rdp);
    }
    b.epsilon = fmin(b.rdp, isnan(b.pld) ? HUGE_VAL : b.pld);
    *out = b;
    return CSL_OK;
}

/* Without sampling, replacing one patient is a sum that moves by twice the clip. */
static enum csl_code price_replace(struct csl_bounds *out, const struct csl_dp_event *event,
                                   double delta, struct csl_err *err)
{
    struct csl_dp_event e = *event;

    if (e.sampler == CSL_DP_POISSON && e.sampling_rate < 1)
        return price_poisson_replace(out, &e, delta, err);
    if (e.sampler != CSL_DP_FIXED_SIZE)
        e.noise_multiplier /= 2;
    enum csl_code code = csl_bounds_price(out, &e, delta, err);
    if (code == CSL_OK)
        out->adjacency = CSL_REPLACE_ONE;
    return code;
}

static enum csl_code price_row(struct row *r, const struct csl_privacy_flags *f,
                               struct csl_err *err)
{
    double rate = r->sampler == CSL_DP_FULL_BATCH ? 1 : f->sampling_rate;
    const struct csl_dp_event e =
        csl_privacy_event(r->sampler, f->noise_multiplier, rate, f->steps);
    enum csl_code code = CSL_OK;

    r->has_add_remove = r->sampler != CSL_DP_FIXED_SIZE;
    if (r->has_add_remove)
        code = csl_bounds_price(&r->bounds[CSL_ADD_REMOVE], &e, f->delta, err);
    if (code == CSL_OK)
        code = price_replace(&r->bounds[CSL_REPLACE_ONE], &e, f->delta, err);
    return code;
}

static void put_json(const struct row *rows, const struct csl_privacy_flags *f, struct csl_buf *out)
{
    static const char *const keys[] = {"add_remove", "replace_one"};
    struct csl_json j;

    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_f64(&j, "noise_multiplier", f->noise_multiplier);
    csl_json_put_f64(&j, "sampling_rate", f->sampling_rate);
    csl_json_put_u64(&j, "steps", f->steps);
    csl_json_put_f64(&j, "delta", f->delta);
    csl_json_key(&j, "samplers");
    csl_json_array(&j);
    for (size_t i = 0; i < ROWS; i++) {
        csl_json_object(&j);
        csl_json_put_str(&j, "sampler", csl_dp_sampler_name(rows[i].sampler));
        csl_json_put_str(&j, "claim", rows[i].claim);
        csl_json_put_u64(&j, "steps_charged", rows[i].bounds[CSL_REPLACE_ONE].event.steps);
        for (int a = 0; a < 2; a++) {
            if (a == CSL_ADD_REMOVE && !rows[i].has_add_remove)
                continue;
            csl_json_key(&j, keys[a]);
            csl_json_object(&j);
            csl_bounds_json(&rows[i].bounds[a], &j);
            csl_json_end(&j);
        }
        csl_json_end(&j);
    }
    csl_json_end(&j);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

static void put_cells(const struct csl_bounds *b, bool is_there, struct csl_buf *out)
{
    const double upper[2] = {b->rdp, b->pld};
    char text[CSL_ROUNDED_MAX];

    for (int i = 0; i < 2; i++) {
        csl_round_up(text, is_there ? upper[i] : (double)NAN);
        csl_buf_printf(out, " %11s", text);
    }
    csl_round_down(text, is_there ? b->lower : (double)NAN);
    csl_buf_printf(out, " %11s |", text);
}

static void put_text(const struct row *rows, const struct csl_privacy_flags *f, struct csl_buf *out)
{
    static const char columns[] = "         RDP         PLD   not below |";

    csl_buf_printf(out,
                   "noise multiplier %g, rate %g, %" PRIu64 " steps, delta %g: epsilon\n\n"
                   "%-11s %9s |%-36s|%-36s|\n%-11s %9s |%s%s what may be claimed\n",
                   f->noise_multiplier, f->sampling_rate, f->steps, f->delta, "", "",
                   " one patient added or removed", " one patient replaced by another", "sampler",
                   "charged", columns, columns);
    for (size_t i = 0; i < ROWS; i++) {
        const struct csl_bounds *b = rows[i].bounds;
        csl_buf_printf(out, "%-11s %9" PRIu64 " |", csl_dp_sampler_name(rows[i].sampler),
                       b[CSL_REPLACE_ONE].event.steps);
        put_cells(&b[CSL_ADD_REMOVE], rows[i].has_add_remove, out);
        put_cells(&b[CSL_REPLACE_ONE], true, out);
        csl_buf_printf(out, " %s\n", rows[i].claim);
    }
    csl_buf_str(out, "\nRDP and PLD are upper bounds, rounded up. Only the sampler that ran may be "
                     "claimed. The two adjacencies\nare two promises: their numbers are not to be "
                     "compared with each other.\n");
}

int csl_cli_privacy_compare(const struct csl_privacy_flags *flags)
{
    struct row rows[ROWS];
    struct csl_err err = {0};
    struct csl_buf out;
    enum csl_code code = CSL_OK;

    if (flags->sampler != 0)
        return csl_cli_misuse(&csl_doc_privacy,
                              "compare shows every sampler; leaving --sampler out would be right");
    for (size_t i = 0; i < ROWS && code == CSL_OK; i++) {
        rows[i] = empty_rows[i];
        code = price_row(&rows[i], flags, &err);
    }
    if (code != CSL_OK)
        return csl_cli_fail_as(&csl_doc_privacy, &err, flags->json);
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (flags->json)
        put_json(rows, flags, &out);
    else
        put_text(rows, flags, &out);
    return csl_cli_print(&out, CSL_EXIT_DONE);
}
