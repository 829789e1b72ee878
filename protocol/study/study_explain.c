/* protocol/study/study_explain.c - a study in plain words, for those who must agree to it. */
#include "base/buf.h"
#include "base/str.h"
#include "protocol/study/evaluation.h"
#include "protocol/study/study_rounds_internal.h"

#include <inttypes.h>
#include <string.h>

static const char *task_text(const struct csl_domain *d)
{
    static const char *const texts[] = {"a yes/no answer", "one of several classes",
                                        "time until an event", "several yes/no answers"};

    return texts[d->task];
}

static void explain_series(const struct csl_domain *d, struct csl_buf *out)
{
    if (d->missing != CSL_MISSING_CENTRE)
        csl_buf_printf(out, "    The model is told when each of them was measured%s.\n",
                       d->missing == CSL_MISSING_MASK_AND_DELTA ? ", and how long ago it last was"
                                                                : "");
    if (d->windows > 0)
        csl_buf_printf(
            out,
            "    Of each, in %u window%s of the %u steps, the model is told the mean, "
            "the smallest, the largest, the first\n    and the last value, and how often "
            "it was measured.\n",
            d->windows, csl_str_plural(d->windows), d->steps);
}

static const char *const models[] = {"linear model",          "Cox model",
                                     "layered network",       "convolutional network",
                                     "convolutional network", "bag of embedded words",
                                     "transformer",           "multimodal network"};

static void explain_task(const struct csl_domain *d, struct csl_buf *out)
{
    csl_buf_printf(out, "  %s: predicts %s ('%s'", d->id, task_text(d),
                   d->label_count > 0 ? d->labels[0] : d->label);
    for (uint32_t i = 1; i < d->label_count; i++)
        csl_buf_printf(out, ", '%s'", d->labels[i]);
    if (d->positive[0])
        csl_buf_printf(out, ", yes = %s", d->positive);
    if (d->task == CSL_TASK_CLASSES)
        csl_buf_printf(out, ", %u classes", d->classes);
    csl_study__explain_merged(d, out);
    csl_buf_str(out, ")");
}

/* How many of what, read with which constants. */
static void explain_values(const struct csl_domain *d, struct csl_buf *out)
{
    static const char *const inputs[] = {
        "feature", "pixel", "signal value", "series value", "word", "embedding value", "voxel"};
    const char *what = d->windows > 0 ? "window value"
                       : d->scatters  ? "scattering coefficient"
                                      : inputs[d->modality];

    csl_buf_printf(out, " from %u %s%s with a %s.\n", d->width, what, csl_str_plural(d->width),
                   models[d->model]);
    if (d->feature_count > 0) {
        csl_buf_str(out, "    Read from the record: ");
        for (uint32_t i = 0; i < d->feature_count; i++) {
            const struct csl_feature *f = &d->features[i];
            csl_buf_printf(out, "%s%s%s%s%s", i ? ", " : "", f->name, f->unit[0] ? " (" : "",
                           f->unit, f->unit[0] ? ")" : "");
        }
        csl_buf_str(out, ".\n");
    }
    explain_series(d, out);
    csl_buf_printf(out, "    %s\n",
                   d->scatters
                       ? "They say how strong edges of two sizes and four directions are in each "
                         "part of an image, and\n    are computed from that image alone."
                   : d->scaling == CSL_SCALING_SITE
                       ? "Inputs are scaled by each site's own means and deviations, which stay "
                         "there."
                       : "Inputs are scaled by constants written in the study, not by patients' "
                         "data.");
    csl_study__explain_augment(d, out);
}

static void explain_domain(const struct csl_study *s, const struct csl_domain *d,
                           struct csl_buf *out)
{
    char rate[32];

    explain_task(d, out);
    if (d->fusion.input_count == 0) {
        explain_values(d, out);
        return;
    }
    csl_buf_str(out, " from what a record has of ");
    for (uint32_t i = 0; i < d->fusion.input_count; i++)
        csl_buf_printf(out, "%s%s", i ? ", " : "", s->inputs[d->fusion.inputs[i]].id);
    csl_buf_printf(out, ", each as %u values,\n    %s.\n", d->sizes.width,
                   d->fusion.kind == CSL_FUSION_GATED ? "weighed against each other as it learns to"
                                                      : "as their mean");
    csl_str_f64(rate, sizeof(rate), d->fusion.modality_dropout);
    if (d->fusion.modality_dropout > 0)
        csl_buf_printf(out,
                       "    In training an input that is there is left out at a rate of %s, but "
                       "never the last one.\n",
                       rate);
}

/* How much of an encoder is trained in its place. */
static void explain_adapters(const struct csl_study *s, struct csl_buf *out)
{
    for (uint32_t i = 0, b = s->domain_count + s->input_count; i < s->input_count; i++) {
        if (s->inputs[i].adapter.rank == 0)
            continue;
        csl_buf_printf(out,
                       "  Beside the frozen %s an adapter of rank %u is trained and sent: %" PRIu64
                       " parameters for its %" PRIu64 ".\n",
                       s->schema.blocks[s->domain_count + i].name, s->inputs[i].adapter.rank,
                       s->schema.blocks[b].count, s->schema.blocks[s->domain_count + i].count);
        b++;
    }
}

/* The blocks of a kind, by what they belong to; nothing when there are none. */
static void explain_kind(const struct csl_study *s, enum csl_block_kind kind, const char *what,
                         struct csl_buf *out)
{
    uint32_t n = 0;

    for (uint32_t b = 0; b < s->schema.block_count; b++) {
        if (s->schema.blocks[b].kind == kind)
            csl_buf_printf(out, "%s%s", n++ > 0 ? ", " : "  Part of the model ",
                           s->schema.blocks[b].name);
    }
    if (n > 0)
        csl_buf_printf(out, ": %s.\n", what);
}

static void explain_inputs(const struct csl_study *s, struct csl_buf *out)
{
    if (s->input_count == 0)
        return;
    csl_buf_str(out, "What is read, by sites that have it\n");
    for (uint32_t i = 0; i < s->input_count; i++) {
        csl_buf_printf(out, "  %s: read", s->inputs[i].id);
        explain_values(&s->inputs[i], out);
    }
    bool hides_counts = s->secagg.is_on || s->privacy.mode == CSL_PRIVACY_SITE;
    csl_buf_printf(out,
                   "  A site receives and sends the parts of the model that it has training "
                   "records for, and no others;\n    which parts those are%s is seen by the "
                   "coordinator.\n",
                   hides_counts ? "" : ", and for how many training patients,");
    explain_kind(s, CSL_BLOCK_FROZEN,
                 "never trained and never sent; every site and the coordinator have it\n    from "
                 "the same initial model",
                 out);
    explain_adapters(s, out);
    explain_kind(s, CSL_BLOCK_LOCAL,
                 "trained at each site for itself, and never sent; the released model\n    has it "
                 "as it was at the beginning",
                 out);
}

static void explain_weights(const struct csl_study *s, struct csl_buf *out)
{
    static const char *const weights[] = {"by their number of training patients", "all alike",
                                          "by the weights the study lists"};

    csl_buf_printf(out, "; sites count %s.\n", weights[s->aggregation.weights]);
    if (s->local.effective_steps > 0)
        csl_buf_printf(out,
                       "  Each site brings its own update to that of %g steps: a site that makes "
                       "more steps does not count more for it.\n",
                       s->local.effective_steps);
}

static void explain_training(const struct csl_study *s, struct csl_buf *out)
{
    char text[32];

    csl_str_f64(text, sizeof(text), s->local.learning_rate);
    uint32_t count = s->local.epochs > 0 ? s->local.epochs : s->local.steps;
    csl_buf_printf(out,
                   "How it is trained\n  %u round%s. In each, a site takes %u %s %s%s "
                   "(learning rate %s",
                   s->rounds, csl_str_plural(s->rounds), count,
                   csl_optimizer_name(s->local.optimizer), s->local.epochs > 0 ? "epoch" : "step",
                   csl_str_plural(count), text);
    csl_study__explain_schedule(&s->local.schedule, out);
    if (s->local.weight_decay > 0)
        csl_buf_printf(out, "; weight decay %g", s->local.weight_decay);
    csl_buf_str(out, ") on ");
    if (s->privacy.mode == CSL_PRIVACY_JOINT)
        csl_buf_printf(out, "patients drawn with rate %g.\n", s->privacy.sampling_rate);
    else if (s->local.batch_patients == 0)
        csl_buf_str(out, "all its training patients at once.\n");
    else
        csl_buf_printf(out, "%u training patient%s at a time.\n", s->local.batch_patients,
                       csl_str_plural(s->local.batch_patients));
    csl_buf_printf(out, "  Strategy %s", s->aggregation.strategy);
    if (strcmp(s->aggregation.strategy, "cyclic") == 0)
        csl_buf_str(out, ": one site per round trains and hands its model on.\n");
    else
        explain_weights(s, out);
    if (csl_study__updates_needed(&s->aggregation) > 1)
        csl_buf_printf(out,
                       "  A domain of which fewer than %llu sites send an update in a round is not "
                       "changed in it.\n",
                       (unsigned long long)csl_study__updates_needed(&s->aggregation));
    csl_study__explain_averaging(s, out);
    csl_study__explain_gate(s, out);
    csl_study__explain_vote(s, out);
    csl_study__explain_buffer(s, out);
    csl_str_duration(text, sizeof(text), s->round_deadline_ms * 1000000);
    csl_buf_printf(out,
                   "  A round needs %u contribution%s and closes after %s at the latest with "
                   "what it has.\n",
                   s->minimum_sites, csl_str_plural(s->minimum_sites), text);
    if (s->participant_count > 0) {
        csl_buf_str(out, "  Sites waited for: ");
        for (uint32_t i = 0; i < s->participant_count; i++)
            csl_buf_printf(out, "%s%s", i ? ", " : "", s->participants[i]);
        csl_buf_str(out, ".\n");
    }
    csl_buf_printf(out, "  The model has %" PRIu64 " parameter%s in %u block%s.\n",
                   s->schema.parameters, csl_str_plural(s->schema.parameters),
                   s->schema.block_count, csl_str_plural(s->schema.block_count));
}

/* What this version does and does not protect. Whoever changes the protocol changes this text. */
static void explain_updates(const struct csl_study *s, struct csl_buf *out)
{
    csl_buf_str(out, "What is revealed, and to whom\n"
                     "  Patient records stay at their site. No record is sent to anyone.\n");
    if (s->secagg.is_on) {
        csl_buf_printf(out,
                       "  The coordinator sees the sum of the updates of a round over at least %u "
                       "sites, and no\n    single update",
                       s->secagg.minimum_sites);
        if (s->secagg.colluding > 0)
            csl_buf_printf(out, ", also when it works together with %u of the sites",
                           s->secagg.colluding);
        csl_buf_str(out, ".");
        if (s->secagg.is_sparse)
            csl_buf_printf(out,
                           " From 129 sites on each shares masks\n    with some of the others "
                           "only; a sum is given up when more than %u are lost while they "
                           "upload.",
                           s->secagg.losses_max);
        if (s->secagg.audit_chunks > 0)
            csl_buf_printf(
                out,
                " Every site checks %u chunk%s\n    of each sum, and for that sees these "
                "parts of the masked uploads as the coordinator does.",
                s->secagg.audit_chunks, csl_str_plural(s->secagg.audit_chunks));
    } else {
        csl_buf_str(out,
                    "  The coordinator sees each site's model update in every round, by itself "
                    "and not only as a\n    sum.");
    }
    switch (s->privacy.mode) {
    case CSL_PRIVACY_NONE:
        csl_buf_str(out, s->secagg.is_on
                             ? " The sum carries no noise.\n"
                             : " From an update, what single patients of that site look like can "
                               "sometimes be\n    inferred; a small site is more exposed than a "
                               "large one.\n");
        break;
    case CSL_PRIVACY_LOCAL:
        csl_buf_str(out, " Each update carries noise that was added inside the site, step by step, "
                         "before it left.\n");
        break;
    case CSL_PRIVACY_SITE:
        csl_buf_str(out, " Each update is clipped and carries noise that was added inside the "
                         "site, before it left.\n");
        break;
    case CSL_PRIVACY_JOINT:
        csl_buf_str(out, " The sum carries one noise, of which every site adds\n    a share "
                         "before its masks.\n");
        break;
    }
}

static void explain_encoding(const struct csl_study_secagg *a, struct csl_buf *out)
{
    char norm[32];

    if (!a->is_on || a->lane_bits == 64)
        return;
    csl_str_f64(norm, sizeof(norm), a->clip_norm);
    csl_buf_printf(out,
                   "  A parameter is sent in %u bits, rounded at random. The site scales an update "
                   "down whose L2 norm in a domain,\n    with any noise in it, is above %s.\n",
                   a->lane_bits, norm);
    if (a->weight_cap > 0)
        csl_buf_printf(out,
                       "  A site with more than %u training patient%s counts as one with "
                       "%u.\n",
                       a->weight_cap, csl_str_plural(a->weight_cap), a->weight_cap);
}

static void explain_counts(const struct csl_study *s, struct csl_buf *out)
{
    if (csl_study_sums_evaluations(s)) {
        csl_buf_printf(
            out,
            "  Of numbers of training patients and of losses the coordinator sees sums over the "
            "sites. Of evaluations it\n"
            "    sees, for each domain, sums over at least %u sites: of test patients and their "
            "records, right and\n"
            "    wrong answers, losses, and a histogram of scores by label; and which sites have "
            "test patients.\n",
            s->secagg.minimum_sites);
    } else if (s->secagg.is_on) {
        csl_buf_str(out, "  Of numbers of training patients the coordinator sees sums over the "
                         "sites.\n"
                         "    It sees no loss, no metric and no count of an evaluation: they stay "
                         "at the site.\n");
    } else if (s->privacy.mode == CSL_PRIVACY_NONE) {
        csl_buf_str(
            out,
            "  The coordinator sees for each site and domain: the number of training patients, "
            "the mean training\n"
            "    loss, and from each evaluation the number of patients, the metrics, the right and "
            "wrong answers and\n"
            "    a histogram of scores by label. With few patients that can show single scores "
            "and labels.\n");
    } else {
        csl_buf_str(out, "  The coordinator sees for each site and domain the number of training "
                         "patients, which this promise\n"
                         "    takes as public. It sees no loss, no metric and no count of an "
                         "evaluation: they stay at the site.\n");
    }
    csl_buf_str(out, "  Every site sees the global model of every round.\n");
}

static void explain_disclosure(const struct csl_study *s, struct csl_buf *out)
{
    explain_updates(s, out);
    explain_encoding(&s->secagg, out);
    explain_counts(s, out);
    csl_study__explain_statistics(s, out);
    if (strcmp(s->aggregation.strategy, "cyclic") == 0)
        csl_buf_str(out, "  With strategy cyclic every global model IS one site's model: each site "
                         "sees the update of the\n    site before it.\n");
    if (csl_study__sees_updates(s->aggregation.strategy))
        csl_buf_printf(
            out,
            "  Strategy %s has to see every site's update by itself, and the coordinator "
            "does.\n",
            s->aggregation.strategy);
    if (strcmp(s->aggregation.strategy, "krum") == 0)
        csl_buf_str(out,
                    "  With strategy krum a domain's new model IS one site's in every round, and "
                    "every site sees it.\n");
    if (s->aggregation.weights == CSL_WEIGHTS_GIVEN)
        csl_buf_str(out,
                    "  Every site sees the weights of all sites: they are part of the study.\n");
    csl_buf_str(out, s->privacy.mode == CSL_PRIVACY_NONE
                         ? "  Whoever receives the released model can query it; without noise it "
                           "may remember single patients.\n"
                         : "  Whoever receives the released model can query it; what it can tell "
                           "about one patient is bounded by\n    the price below.\n");
}

static void explain_price(const struct csl_study *s, struct csl_buf *out)
{
    const struct csl_study_privacy *p = &s->privacy;
    char text[4][32];

    csl_buf_str(out, "Privacy price\n");
    if (p->mode == CSL_PRIVACY_NONE) {
        csl_buf_str(out, "  privacy mode none: no noise is added. There is NO differential "
                         "privacy, and no epsilon can be stated.\n");
        return;
    }
    csl_str_f64(text[0], sizeof(text[0]), p->epsilon);
    csl_str_f64(text[1], sizeof(text[1]), p->delta);
    csl_str_f64(text[2], sizeof(text[2]), p->clip);
    csl_str_f64(text[3], sizeof(text[3]), p->noise_multiplier);
    csl_buf_printf(out, "  privacy mode %s: the unit that is protected is one %s.\n",
                   csl_privacy_mode_name(p->mode),
                   p->mode != CSL_PRIVACY_SITE ? "patient with all records at one hospital"
                                               : "whole site");
    if (p->epsilon > 0)
        csl_buf_printf(out,
                       "  Over all rounds a site spends at most epsilon %s at delta %s; each "
                       "site solves for its own noise.\n"
                       "    `consilium privacy plan` says how much that is, and what each round "
                       "spends.\n",
                       text[0], text[1]);
    else
        csl_buf_printf(out,
                       "  The noise multiplier is %s at every site; what that costs at delta "
                       "%s depends on the number of patients\n"
                       "    there: `consilium privacy plan` says it.\n",
                       text[3], text[1]);
    csl_buf_printf(out,
                   "  One %s moves the sum of a step by at most %s (L2). The site writes the "
                   "charge to its own ledger before\n    an update leaves, and refuses a "
                   "round that would exceed its own budget.\n",
                   p->mode != CSL_PRIVACY_SITE ? "patient" : "site", text[2]);
    if (p->mode == CSL_PRIVACY_LOCAL)
        csl_buf_str(out, "  A patient known to two hospitals pays at both: at most the sum.\n");
    if (p->mode == CSL_PRIVACY_JOINT)
        csl_buf_printf(out,
                       "  The price holds against the coordinator together with %u of the sites, "
                       "and against outsiders. A site that\n    takes part knows its own share of "
                       "the noise: %s.\n",
                       s->secagg.colluding,
                       s->secagg.colluding > 0
                           ? "each of the others alone is covered too"
                           : "with colluding 0 the price does NOT hold against the other sites");
    if (p->mode == CSL_PRIVACY_JOINT)
        csl_buf_str(out, "  A patient known to two hospitals is two patients of one sum: epsilon "
                         "doubles, and delta grows by\n    the factor 1 + e^epsilon.\n");
    csl_study__explain_statistics_price(s, out);
}

static void explain_model(const struct csl_study *s, struct csl_buf *out)
{
    csl_buf_str(out, "What is asked\n");
    for (uint32_t i = 0; i < s->domain_count; i++)
        explain_domain(s, &s->domains[i], out);
    explain_inputs(s, out);
    explain_training(s, out);
    explain_disclosure(s, out);
    explain_price(s, out);
    csl_study__explain_personal(s, out);
    csl_study__explain_release(s, out);
}

void csl_study_explain(const struct csl_study *s, struct csl_buf *out)
{
    char digest[2 * CSL_DIGEST_BYTES + 1];

    csl_hex(s->digest, CSL_DIGEST_BYTES, digest);
    csl_buf_printf(out, "Study %s\n", s->id);
    if (s->question[0])
        csl_buf_printf(out, "  %s\n", s->question);
    csl_buf_printf(out, "  digest %s\n", digest);
    if (s->census.is_on)
        csl_study__explain_census(s, out);
    else
        explain_model(s, out);
    csl_buf_str(out, s->secagg.is_on
                         ? "  Secure aggregation is used. It hides nothing when the coordinator "
                           "holds the key that signs the roster of sites.\n"
                         : "  Secure aggregation is not used.\n");
    csl_buf_str(out,
                "  Traffic is encrypted and both ends prove who they are (mutual TLS): outsiders "
                "see sizes and times only.\n");
}
