/* cli/privacy_compose.c - `consilium privacy compose`: a list of events, each alone and all
 * together. */
#include "cli/privacy.h"

#include "base/mem.h"
#include "base/yaml.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define EVENTS_MAX       4096
#define EVENTS_BYTES_MAX (4u * 1024u * 1024u)

static const char *const mechanisms[] = {"gaussian", "discrete-gaussian", "skellam",
                                         "discrete-laplace", NULL};

struct raw_event {
    int mechanism, sampler;
    double noise_multiplier, sampling_rate, l1_units, l2_units;
    uint64_t steps, dimensions;
};
#define AT(field)  .offset = offsetof(struct raw_event, field)
#define ANY_FROM_0 .min = 0, .max = -1
static const struct csl_option event_rows[] = {
    {.name = "mechanism",
     .type = CSL_OPT_ENUM,
     AT(mechanism),
     .choices = mechanisms,
     .fallback = "gaussian",
     .help = "Which noise."},
    {.name = "sampler",
     .type = CSL_OPT_ENUM,
     AT(sampler),
     .choices = csl_privacy_samplers,
     .fallback = "poisson",
     .help = "How patients are drawn."},
    {.name = "noise_multiplier",
     .type = CSL_OPT_F64,
     AT(noise_multiplier),
     ANY_FROM_0,
     .help = "Standard deviation over clip."},
    {.name = "sampling_rate",
     .type = CSL_OPT_F64,
     AT(sampling_rate),
     .min = 0,
     .max = 1,
     .fallback = "1",
     .help = "Share of the patients in one step."},
    {.name = "steps", .type = CSL_OPT_U64, AT(steps), ANY_FROM_0, .help = "Releases."},
    {.name = "dimensions",
     .type = CSL_OPT_U64,
     AT(dimensions),
     ANY_FROM_0,
     .fallback = "0",
     .help = "Coordinates of one release; the noise of integers only."},
    {.name = "l1_units",
     .type = CSL_OPT_F64,
     AT(l1_units),
     ANY_FROM_0,
     .fallback = "0",
     .help = "Charged L1 sensitivity in steps of the grid; the noise of integers only."},
    {.name = "l2_units",
     .type = CSL_OPT_F64,
     AT(l2_units),
     ANY_FROM_0,
     .fallback = "0",
     .help = "Charged L2 sensitivity in steps of the grid; the noise of integers only."},
    CSL_OPTION_END,
};

struct raw_list {
    double delta;
    const struct csl_yaml_node *events;
};
static const struct csl_option list_rows[] = {
    {.name = "delta",
     .type = CSL_OPT_F64,
     .offset = offsetof(struct raw_list, delta),
     .min = 0,
     .max = 1,
     .fallback = "0",
     .help = "Probability with which the promise may fail."},
    {.name = "events",
     .type = CSL_OPT_NODE,
     .offset = offsetof(struct raw_list, events),
     .help = "What ran, or will."},
    CSL_OPTION_END,
};

struct list {
    double delta;
    uint32_t count;
    struct csl_dp_event *events; /* [count]; owned */
    struct csl_bounds *alone;    /* [count]; owned */
    struct csl_price together;
};

static void release(struct list *l)
{
    csl_free(l->events);
    csl_free(l->alone);
}

static struct csl_dp_event make_event(const struct raw_event *raw)
{
    struct csl_dp_event e = csl_privacy_event(
        csl_privacy_sampler(raw->sampler), raw->noise_multiplier, raw->sampling_rate, raw->steps);

    e.mechanism = (enum csl_dp_mechanism)(CSL_DP_GAUSSIAN + raw->mechanism);
    if (e.mechanism != CSL_DP_GAUSSIAN) {
        double moved = e.sampler == CSL_DP_FIXED_SIZE ? 2 : 1;
        e.dimensions = raw->dimensions;
        e.l1_units = moved * raw->l1_units;
        e.l2_units = moved * raw->l2_units;
        e.std_units = raw->noise_multiplier * raw->l2_units;
    }
    return e;
}

/* What csl_dp_event_check would refuse without knowing where it was written. */
static enum csl_code check_event(const struct csl_yaml *y, const struct csl_yaml_node *at,
                                 const struct raw_event *raw, const struct csl_dp_event *e,
                                 struct csl_err *err)
{
    struct csl_err why = {0};
    const struct csl_yaml_node *field = csl_yaml_get(at, "noise_multiplier");

    if (raw->noise_multiplier == 0)
        return csl_yaml_fail(err, y, field, "found 0; a number above 0 would be right");
    if (raw->steps == 0)
        return csl_yaml_fail(err, y, csl_yaml_get(at, "steps"),
                             "found 0; at least 1 would be right");
    if (e->mechanism == CSL_DP_GAUSSIAN &&
        (raw->dimensions || raw->l1_units > 0 || raw->l2_units > 0))
        return csl_yaml_fail(err, y, at,
                             "dimensions, l1_units and l2_units belong to the noise of integers; "
                             "leaving them out would be right with mechanism gaussian");
    if (csl_dp_event_check(e, &why) != CSL_OK)
        return csl_yaml_fail(err, y, at, "%.250s", why.msg);
    return CSL_OK;
}

static enum csl_code read_events(struct list *l, const struct csl_yaml *y,
                                 const struct csl_yaml_node *events, struct csl_err *err)
{
    enum csl_code code = CSL_OK;

    if (events == NULL || events->kind != CSL_YAML_SEQUENCE || events->child_count == 0)
        return csl_yaml_fail(err, y, events ? events : csl_yaml_root(y),
                             "no list of events; events: [{mechanism: gaussian, ...}] would be "
                             "right");
    if (events->child_count > EVENTS_MAX)
        return csl_yaml_fail(err, y, events, "found %u events; at most %d would be right",
                             events->child_count, EVENTS_MAX);
    l->events = csl_alloc_array(events->child_count, sizeof(*l->events));
    l->alone = csl_alloc_array(events->child_count, sizeof(*l->alone));
    if (l->events == NULL || l->alone == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u events", events->child_count);
    for (const struct csl_yaml_node *n = events->first_child; n && code == CSL_OK; n = n->next) {
        struct raw_event raw = {0};
        if (n->kind != CSL_YAML_MAPPING)
            return csl_yaml_fail(err, y, n,
                                 "found no mapping; {noise_multiplier: ..., "
                                 "sampling_rate: ..., steps: ...} would be right");
        code = csl_option_read_yaml(event_rows, &raw, y, n, err);
        if (code != CSL_OK)
            return code;
        struct csl_dp_event e = make_event(&raw);
        code = check_event(y, n, &raw, &e, err);
        l->events[l->count++] = e;
    }
    return code;
}

static enum csl_code read_list(struct list *l, const char *path, double delta, struct csl_err *err)
{
    struct csl_yaml *y = NULL;
    struct raw_list raw = {0};
    enum csl_code code = csl_yaml_read(&y, path, EVENTS_BYTES_MAX, err);

    if (code == CSL_OK)
        code = csl_option_read_yaml(list_rows, &raw, y, csl_yaml_root(y), err);
    l->delta = delta > 0 ? delta : raw.delta;
    if (code == CSL_OK && (l->delta <= 0 || l->delta >= 1))
        code = csl_yaml_fail(err, y, csl_yaml_get(csl_yaml_root(y), "delta"),
                             "no delta above 0 and below 1; one in the file or --delta would be "
                             "right");
    if (code == CSL_OK)
        code = read_events(l, y, raw.events, err);
    csl_yaml_free(y);
    return code;
}

static enum csl_code price(struct list *l, struct csl_err *err)
{
    enum csl_code code = CSL_OK;

    for (uint32_t i = 0; i < l->count && code == CSL_OK; i++)
        code = csl_bounds_price(&l->alone[i], &l->events[i], l->delta, err);
    if (code == CSL_OK)
        code = csl_account(l->events, l->count, l->delta, &l->together, err);
    return code;
}

static void put_json(const struct list *l, struct csl_buf *out)
{
    struct csl_json j;

    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_f64(&j, "delta", l->delta);
    csl_json_put_f64(&j, "epsilon", l->together.epsilon);
    csl_json_put_f64(&j, "rdp", l->together.epsilon_rdp);
    if (isfinite(l->together.epsilon_pld)) {
        csl_json_put_f64(&j, "pld", l->together.epsilon_pld);
        csl_json_put_f64(&j, "lower", l->together.epsilon_lower);
    }
    csl_json_key(&j, "events");
    csl_json_array(&j);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct csl_dp_event *e = &l->events[i];
        csl_json_object(&j);
        csl_json_put_str(&j, "mechanism", csl_dp_mechanism_name(e->mechanism));
        csl_json_put_str(&j, "sampler", csl_dp_sampler_name(e->sampler));
        csl_json_put_f64(&j, "noise_multiplier", e->noise_multiplier);
        csl_json_put_f64(&j, "sampling_rate", e->sampling_rate);
        csl_json_put_u64(&j, "steps", e->steps);
        csl_bounds_json(&l->alone[i], &j);
        csl_json_end(&j);
    }
    csl_json_end(&j);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

static void put_text(const struct list *l, struct csl_buf *out)
{
    char text[CSL_ROUNDED_MAX];

    csl_buf_printf(out, "%-18s %-11s %10s %10s %10s %14s\n", "mechanism", "sampler", "noise",
                   "rate", "steps", "epsilon alone");
    for (uint32_t i = 0; i < l->count; i++) {
        const struct csl_dp_event *e = &l->events[i];
        csl_round_up(text, l->alone[i].epsilon);
        csl_buf_printf(out, "%-18s %-11s %10.6g %10.6g %10" PRIu64 " %14s\n",
                       csl_dp_mechanism_name(e->mechanism), csl_dp_sampler_name(e->sampler),
                       e->noise_multiplier, e->sampling_rate, e->steps, text);
    }
    csl_round_up(text, l->together.epsilon);
    csl_buf_printf(out, "\ntogether: epsilon %s at delta %g, rounded up", text, l->delta);
    csl_round_up(text, l->together.epsilon_rdp);
    csl_buf_printf(out, " (RDP %s", text);
    if (isfinite(l->together.epsilon_pld)) {
        csl_round_up(text, l->together.epsilon_pld);
        csl_buf_printf(out, ", PLD %s", text);
        csl_round_down(text, l->together.epsilon_lower);
        csl_buf_printf(out, ", not below %s", text);
    }
    csl_buf_str(out, ")\nNoise and steps are as charged: fixed-size pays for twice the clip, a "
                     "shuffled loader once per epoch.\n");
}

int csl_cli_privacy_compose(const struct csl_privacy_flags *flags, const char *path)
{
    struct list l = {0};
    struct csl_err err = {0};
    struct csl_buf out;
    enum csl_code code = read_list(&l, path, flags->delta, &err);

    if (code == CSL_OK)
        code = price(&l, &err);
    if (code != CSL_OK) {
        release(&l);
        return csl_cli_fail_as(&csl_doc_privacy, &err, flags->json);
    }
    csl_buf_init(&out, CSL_CLI_OUTPUT_MAX);
    if (flags->json)
        put_json(&l, &out);
    else
        put_text(&l, &out);
    release(&l);
    return csl_cli_print(&out, CSL_EXIT_DONE);
}
