/* protocol/study/study_buffer.c - the key `buffer` of a study's aggregation: asynchronous steps. */
#include "base/buf.h"
#include "base/str.h"
#include "protocol/study/study_rounds_internal.h"

#include <string.h>

struct raw_buffer {
    uint32_t updates, staleness_max;
};

#define AT(field) .offset = offsetof(struct raw_buffer, field)

static const struct csl_option buffer_rows[] = {
    {.name = "updates",
     .type = CSL_OPT_U32,
     AT(updates),
     .min = 1,
     .max = CSL_SITES_MAX,
     .unit = "updates",
     .help = "A step of the server needs so many, whatever models they were trained from."},
    {.name = "staleness_max",
     .type = CSL_OPT_U32,
     AT(staleness_max),
     .min = 0,
     .max = 10000,
     .unit = "rounds",
     .help = "An update whose model is more rounds old is refused; its site gets the newest."},
    CSL_OPTION_END,
};

enum csl_code csl_study__read_buffer(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *parent,
                                     const struct csl_yaml_node *section)
{
    struct csl_aggregation *a = &r->s->aggregation;
    struct raw_buffer raw = {0};
    bool is_buffered = strcmp(a->strategy, "fedbuff") == 0;

    if (section == NULL && is_buffered)
        return csl_yaml_fail(r->err, r->y, parent,
                             "strategy fedbuff needs 'buffer', {updates, staleness_max}");
    if (section == NULL)
        return CSL_OK;
    if (!is_buffered)
        return csl_yaml_fail(r->err, r->y, section, "has no effect with strategy %s", a->strategy);
    enum csl_code code = csl_study__section(r, buffer_rows, &raw, parent, section, "buffer");
    if (code == CSL_OK)
        a->buffer =
            (struct csl_study_buffer){.updates = raw.updates, .staleness_max = raw.staleness_max};
    return code;
}

/* What needs all updates of a round to be of one model, or sites that all stop at the same time. */
static const char *conflict_of(const struct csl_study *s)
{
    if (s->secagg.is_on)
        return "its updates in one buffer are of different models, and a site would be in two "
               "sums at a time: masks need one attempt per buffer, of sites and a model that are "
               "fixed before it; fedavg, or no secure_aggregation, would be right";
    if (s->privacy.mode != CSL_PRIVACY_NONE && s->privacy.mode != CSL_PRIVACY_LOCAL)
        return "the price of a round is that of one sum of all its sites, which an asynchronous "
               "step is not; fedavg, or privacy mode local, would be right";
    if (s->aggregation.gate.is_on)
        return "a step that is not applied leaves the model where it was, and sites would train "
               "from it again; leaving the gate out would be right";
    if (s->aggregation.vote.is_on)
        return "a model that is taken back is one that others already train from; leaving the vote "
               "out would be right";
    if (s->aggregation.averaging.kind != CSL_AVERAGING_NONE)
        return "an average of the models of its steps counts fast sites more often, in a way that "
               "nobody has looked at; leaving averaging out would be right";
    if (s->fairness.domains.kind != CSL_DOMAIN_WEIGHTS_NONE)
        return "weights of domains are made from a round that all sites have a part in; fedavg, "
               "or no domain_weights, would be right";
    if (s->fairness.weights.is_on)
        return "weights of groups beside weights by staleness are not thought through; fedavg, or "
               "no fairness.weights, would be right";
    if (s->input_count > 0)
        return "sites of a study with inputs download their part of a model, and parts of older "
               "models are not kept, nor is it known what blocks that stay at the sites would do; "
               "fedavg would be right";
    if (s->evaluate_every > 0)
        return "an evaluation between steps would end the training of every site that is at it, "
               "and slow sites would never get to an end; evaluation every 0 would be right";
    return NULL;
}

enum csl_code csl_study__check_buffer(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root)
{
    const struct csl_study *s = r->s;
    const struct csl_study_buffer *b = &s->aggregation.buffer;
    const struct csl_yaml_node *aggregation = csl_study__at(root, "aggregation");

    if (!csl_study_is_buffered(s))
        return CSL_OK;
    const char *conflict = conflict_of(s);
    if (conflict != NULL)
        return csl_yaml_fail(r->err, r->y, csl_study__at(aggregation, "strategy"),
                             "strategy fedbuff: %s", conflict);
    if (b->updates < s->minimum_sites)
        return csl_yaml_fail(r->err, r->y, csl_study__at(aggregation, "buffer"),
                             "a step of %u update%s is of fewer sites than sites.minimum %u",
                             b->updates, csl_str_plural(b->updates), s->minimum_sites);
    return CSL_OK;
}

bool csl_study_is_buffered(const struct csl_study *s)
{
    return s->aggregation.buffer.updates > 0;
}

void csl_study__explain_buffer(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_buffer *b = &s->aggregation.buffer;

    if (!csl_study_is_buffered(s))
        return;
    csl_buf_printf(out,
                   "  A round closes as soon as %u update%s held, whatever models they were "
                   "trained from; an update whose\n    model is t rounds old counts by "
                   "1 / sqrt(1 + t), and not at all if t is above %u. Fast sites count in more "
                   "rounds.\n",
                   b->updates, b->updates == 1 ? " is" : "s are", b->staleness_max);
}
