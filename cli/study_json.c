#include "cli/study_json.h"

#include "base/str.h"

#include <inttypes.h>

static const char *const scalings[] = {"constants", "site"};
static const char *const weights[] = {"samples", "equal", "given"};
static const char *const inits[] = {"zeros", "uniform", "ones"};

void csl_cli_put_digest(struct csl_json *j, const char *key, const uint8_t digest[CSL_DIGEST_BYTES])
{
    char text[2 * CSL_DIGEST_BYTES + 1];

    csl_hex(digest, CSL_DIGEST_BYTES, text);
    csl_json_put_str(j, key, text);
}

static void put_features(struct csl_json *j, const struct csl_domain *d)
{
    csl_json_key(j, "features");
    csl_json_array(j);
    for (uint32_t i = 0; i < d->feature_count; i++) {
        const struct csl_feature *f = &d->features[i];
        csl_json_object(j);
        csl_json_put_str(j, "name", f->name);
        if (f->unit[0])
            csl_json_put_str(j, "unit", f->unit);
        if (d->scaling == CSL_SCALING_CONSTANTS) {
            csl_json_put_f64(j, "centre", f->centre);
            csl_json_put_f64(j, "scale", f->scale);
        }
        if (f->clip > 0)
            csl_json_put_f64(j, "clip", f->clip);
        if (f->range_min < f->range_max) {
            csl_json_put_f64(j, "range_min", f->range_min);
            csl_json_put_f64(j, "range_max", f->range_max);
        }
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_u32_list(struct csl_json *j, const char *key, const uint32_t *values,
                         uint32_t count)
{
    csl_json_key(j, key);
    csl_json_array(j);
    for (uint32_t i = 0; i < count; i++)
        csl_json_u64(j, values[i]);
    csl_json_end(j);
}

static void put_sizes(struct csl_json *j, const struct csl_model_sizes *m)
{
    const struct {
        const char *key;
        uint32_t value;
    } sizes[] = {{"kernel", m->kernel}, {"stride", m->stride}, {"pool", m->pool},
                 {"groups", m->groups}, {"width", m->width},   {"patch", m->patch},
                 {"heads", m->heads},   {"layers", m->layers}};

    if (m->stages > 0)
        put_u32_list(j, "channels", m->channels, m->stages);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i].value > 0)
            csl_json_put_u64(j, sizes[i].key, sizes[i].value);
}

static void put_fusion(struct csl_json *j, const struct csl_study *s, const struct csl_domain *d)
{
    csl_json_key(j, "inputs");
    csl_json_array(j);
    for (uint32_t i = 0; i < d->fusion.input_count; i++)
        csl_json_str(j, s->inputs[d->fusion.inputs[i]].id);
    csl_json_end(j);
    csl_json_put_str(j, "fusion", d->fusion.kind == CSL_FUSION_GATED ? "gated" : "mean");
    csl_json_put_f64(j, "modality_dropout", d->fusion.modality_dropout);
}

static void put_task(struct csl_json *j, const struct csl_domain *d)
{
    csl_json_put_str(j, "task", csl_task_name(d->task));
    if (d->label_count == 0)
        csl_json_put_str(j, "label", d->label);
    else
        csl_json_key(j, "labels");
    if (d->label_count > 0)
        csl_json_array(j);
    for (uint32_t i = 0; i < d->label_count; i++)
        csl_json_str(j, d->labels[i]);
    if (d->label_count > 0)
        csl_json_end(j);
    if (d->positive[0])
        csl_json_put_str(j, "positive", d->positive);
    if (d->classes > 0)
        csl_json_put_u64(j, "classes", d->classes);
    if (d->merged_count == 0)
        return;
    csl_json_key(j, "merged");
    csl_json_array(j);
    for (uint32_t i = 0; i < d->merged_count; i++) {
        csl_json_array(j);
        for (uint32_t c = 0; c < d->classes; c++)
            if (d->merged[i] >> c & 1)
                csl_json_u64(j, c);
        csl_json_end(j);
    }
    csl_json_end(j);
}

static void put_values(struct csl_json *j, const struct csl_domain *d)
{
    static const uint32_t axes[CSL_MODALITY_COUNT] = {0, 3, 2, 2, 3, 1, 4};

    csl_json_put_str(j, "scaling", scalings[d->scaling]);
    if (d->feature_count > 0)
        put_features(j, d);
    if (d->missing != CSL_MISSING_CENTRE)
        csl_json_put_str(j, "missing", d->missing == CSL_MISSING_MASK ? "mask" : "mask_and_delta");
    if (d->windows > 0) {
        csl_json_put_u64(j, "windows", d->windows);
        csl_json_put_u64(j, "steps", d->steps);
        csl_json_put_f64(j, "measured_scale", d->measured_scale);
    }
    if (d->scatters)
        csl_json_put_bool(j, "scattering", true);
    if (d->modality != CSL_TABULAR)
        put_u32_list(j, "shape", d->shape, axes[d->modality]);
    if (d->feature_count == 0) {
        csl_json_put_f64(j, "centre", d->centre);
        csl_json_put_f64(j, "scale", d->scale);
    }
}

static void put_augment(struct csl_json *j, const struct csl_study_augment *a)
{
    csl_json_key(j, "augment");
    csl_json_object(j);
    csl_json_put_u64(j, "shift", a->shift);
    csl_json_put_bool(j, "mirror", a->may_mirror);
    csl_json_put_f64(j, "brightness", a->brightness);
    csl_json_put_f64(j, "gain", a->gain);
    csl_json_put_f64(j, "noise", a->noise);
    csl_json_put_f64(j, "lead_dropout", a->lead_dropout);
    csl_json_put_f64(j, "dropout", a->dropout);
    csl_json_end(j);
}

/* Of the study's domains, or of its inputs, which have no task. */
static void put_domain(struct csl_json *j, const struct csl_study *s, const struct csl_domain *d,
                       bool is_input)
{
    csl_json_object(j);
    csl_json_put_str(j, "id", d->id);
    csl_json_put_str(j, "modality", csl_domain_reads(d));
    if (!is_input)
        put_task(j, d);
    if (d->fusion.input_count > 0)
        put_fusion(j, s, d);
    else
        put_values(j, d);
    if (d->augment.is_on)
        put_augment(j, &d->augment);
    csl_json_put_str(j, "model", csl_model_kind_name(d->model));
    if (d->hidden_count > 0)
        put_u32_list(j, "hidden", d->hidden, d->hidden_count);
    put_sizes(j, &d->sizes);
    if (d->block_kind != CSL_BLOCK_SHARED)
        csl_json_put_str(j, "train", csl_block_kind_name(d->block_kind));
    if (d->adapter.rank > 0) {
        csl_json_key(j, "adapter");
        csl_json_object(j);
        csl_json_put_u64(j, "rank", d->adapter.rank);
        csl_json_put_f64(j, "alpha", d->adapter.alpha);
        csl_json_end(j);
    }
    csl_json_put_bool(j, "bias", d->has_bias);
    csl_json_end(j);
}

static void put_schedule(struct csl_json *j, double weight_decay, const struct csl_schedule *s)
{
    static const char *const kinds[] = {"constant", "cosine", "step"};

    if (weight_decay > 0)
        csl_json_put_f64(j, "weight_decay", weight_decay);
    if (csl_schedule_is_flat(s))
        return;
    csl_json_key(j, "schedule");
    csl_json_object(j);
    csl_json_put_str(j, "kind", kinds[s->kind]);
    csl_json_put_u64(j, "warmup", s->warmup);
    if (s->kind == CSL_SCHEDULE_COSINE)
        csl_json_put_f64(j, "floor", s->floor);
    if (s->kind == CSL_SCHEDULE_STEP) {
        csl_json_put_u64(j, "every", s->every);
        csl_json_put_f64(j, "factor", s->factor);
    }
    csl_json_end(j);
}

static void put_batch(struct csl_json *j, uint32_t patients)
{
    csl_json_key(j, "batch_patients");
    if (patients == 0)
        csl_json_str(j, "full");
    else
        csl_json_u64(j, patients);
}

static void put_local(struct csl_json *j, const struct csl_local_training *t)
{
    csl_json_key(j, "local");
    csl_json_object(j);
    csl_json_put_str(j, "optimizer", csl_optimizer_name(t->optimizer));
    csl_json_put_f64(j, "learning_rate", t->learning_rate);
    if (t->optimizer == CSL_OPT_KIND_MOMENTUM)
        csl_json_put_f64(j, "momentum", t->momentum);
    if (t->optimizer == CSL_OPT_KIND_ADAM || t->optimizer == CSL_OPT_KIND_ADAMW) {
        csl_json_put_f64(j, "beta1", t->beta1);
        csl_json_put_f64(j, "beta2", t->beta2);
        csl_json_put_f64(j, "epsilon", t->epsilon);
    }
    put_schedule(j, t->weight_decay, &t->schedule);
    put_batch(j, t->batch_patients);
    if (t->epochs > 0)
        csl_json_put_u64(j, "epochs", t->epochs);
    else
        csl_json_put_u64(j, "steps", t->steps);
    if (t->effective_steps > 0)
        csl_json_put_f64(j, "effective_steps", t->effective_steps);
    csl_json_put_f64(j, "l2", t->l2);
    csl_json_put_f64(j, "proximal_mu", t->proximal_mu);
    csl_json_end(j);
}

void csl_cli_put_baseline(struct csl_json *j, const char *key, const struct csl_baseline *b)
{
    csl_json_key(j, key);
    csl_json_object(j);
    csl_json_put_str(j, "optimizer", csl_optimizer_name(b->optimizer));
    csl_json_put_f64(j, "learning_rate", b->learning_rate);
    put_schedule(j, b->weight_decay, &b->schedule);
    put_batch(j, b->batch_patients);
    csl_json_put_u64(j, "epochs", b->epochs);
    csl_json_put_f64(j, "l2", b->l2);
    csl_json_end(j);
}

static void put_averaging(struct csl_json *j, const struct csl_averaging *a)
{
    bool is_ema = a->kind == CSL_AVERAGING_EMA;

    csl_json_key(j, "averaging");
    csl_json_object(j);
    csl_json_put_str(j, "kind", is_ema ? "ema" : "mean");
    if (is_ema)
        csl_json_put_f64(j, "decay", a->decay);
    csl_json_put_u64(j, "from_round", a->from_round);
    csl_json_end(j);
}

static void put_gate(struct csl_json *j, const struct csl_study_gate *g)
{
    csl_json_key(j, "gate");
    csl_json_object(j);
    csl_json_put_str(j, "kind", "norm");
    csl_json_put_f64(j, "factor", g->factor);
    csl_json_put_u64(j, "window", g->window);
    csl_json_put_u64(j, "rejected_max", g->rejected_max);
    csl_json_end(j);
}

static void put_vote(struct csl_json *j, const struct csl_study_vote *v)
{
    csl_json_key(j, "vote");
    csl_json_object(j);
    csl_json_put_f64(j, "worse_max", v->worse_max);
    csl_json_put_f64(j, "tolerance", v->tolerance);
    csl_json_put_u64(j, "minimum_sites", v->minimum_sites);
    csl_json_put_u64(j, "rejected_max", v->rejected_max);
    csl_json_end(j);
}

static void put_buffer(struct csl_json *j, const struct csl_study_buffer *b)
{
    csl_json_key(j, "buffer");
    csl_json_object(j);
    csl_json_put_u64(j, "updates", b->updates);
    csl_json_put_u64(j, "staleness_max", b->staleness_max);
    csl_json_end(j);
}

static void put_aggregation(struct csl_json *j, const struct csl_aggregation *a)
{
    csl_json_key(j, "aggregation");
    csl_json_object(j);
    csl_json_put_str(j, "strategy", a->strategy);
    csl_json_put_f64(j, "server_learning_rate", a->server_learning_rate);
    csl_json_put_f64(j, "momentum", a->momentum);
    csl_json_put_f64(j, "beta1", a->beta1);
    csl_json_put_f64(j, "beta2", a->beta2);
    csl_json_put_f64(j, "tau", a->tau);
    csl_json_put_f64(j, "fairness_q", a->fairness_q);
    csl_json_put_f64(j, "tilt", a->tilt);
    csl_json_put_f64(j, "trim", a->trim);
    csl_json_put_f64(j, "mixture_rate", a->mixture_rate);
    csl_json_put_u64(j, "byzantine", a->byzantine);
    csl_json_put_u64(j, "keep", a->keep);
    csl_json_put_str(j, "weights", weights[a->weights]);
    if (a->weights == CSL_WEIGHTS_GIVEN) {
        csl_json_key(j, "given");
        csl_json_object(j);
        for (uint32_t i = 0; i < a->given_count; i++)
            csl_json_put_f64(j, a->given[i].site, a->given[i].weight);
        csl_json_end(j);
    }
    if (a->averaging.kind != CSL_AVERAGING_NONE)
        put_averaging(j, &a->averaging);
    if (a->gate.is_on)
        put_gate(j, &a->gate);
    if (a->vote.is_on)
        put_vote(j, &a->vote);
    if (a->buffer.updates > 0)
        put_buffer(j, &a->buffer);
    csl_json_end(j);
}

static void put_schema(struct csl_json *j, const struct csl_schema *schema)
{
    csl_json_key(j, "model");
    csl_json_object(j);
    csl_json_put_u64(j, "parameters", schema->parameters);
    csl_cli_put_digest(j, "schema_digest", schema->digest);
    csl_json_key(j, "tensors");
    csl_json_array(j);
    for (uint32_t i = 0; i < schema->tensor_count; i++) {
        const struct csl_tensor_spec *t = &schema->tensors[i];
        csl_json_object(j);
        csl_json_put_str(j, "name", t->name);
        csl_json_put_str(j, "block", schema->blocks[t->block].name);
        csl_json_key(j, "shape");
        csl_json_array(j);
        for (uint32_t k = 0; k < t->rank; k++)
            csl_json_u64(j, t->shape[k]);
        csl_json_end(j);
        csl_json_put_str(j, "init", inits[t->init]);
        if (t->init == CSL_INIT_UNIFORM)
            csl_json_put_f64(j, "init_bound", (double)t->init_bound);
        csl_json_end(j);
    }
    csl_json_end(j);
    csl_json_end(j);
}

static void put_privacy(struct csl_json *j, const struct csl_study_privacy *p)
{
    csl_json_key(j, "privacy");
    csl_json_object(j);
    csl_json_put_str(j, "mode", csl_privacy_mode_name(p->mode));
    if (p->mode != CSL_PRIVACY_NONE) {
        csl_json_put_str(j, "unit", p->mode == CSL_PRIVACY_SITE ? "site" : "patient");
        if (p->epsilon > 0)
            csl_json_put_f64(j, "epsilon", p->epsilon);
        else
            csl_json_put_f64(j, "noise_multiplier", p->noise_multiplier);
        csl_json_put_f64(j, "delta", p->delta);
        csl_json_put_f64(j, "clip", p->clip);
        if (p->mode == CSL_PRIVACY_JOINT)
            csl_json_put_f64(j, "sampling_rate", p->sampling_rate);
    }
    csl_json_end(j);
}

static void privacy_text(const struct csl_study_privacy *p, struct csl_buf *out)
{
    csl_buf_printf(out, "privacy   %s", csl_privacy_mode_name(p->mode));
    if (p->mode != CSL_PRIVACY_NONE)
        csl_buf_printf(out, ", %s %g at delta %g, clip %g",
                       p->epsilon > 0 ? "epsilon" : "noise multiplier",
                       p->epsilon > 0 ? p->epsilon : p->noise_multiplier, p->delta, p->clip);
    csl_buf_str(out, "\n");
}

static void put_statistics(struct csl_json *j, const struct csl_study *s)
{
    const struct csl_study_statistics *t = &s->statistics;
    if (!t->is_on)
        return;
    csl_json_key(j, "statistics");
    csl_json_object(j);
    csl_json_put_u64(j, "every", t->every);
    if (t->epsilon > 0) {
        csl_json_put_f64(j, "epsilon", t->epsilon);
        csl_json_put_f64(j, "delta", t->delta);
    }
    csl_json_end(j);
}

static void put_sites(struct csl_json *j, const struct csl_study *s)
{
    csl_json_key(j, "sites");
    csl_json_object(j);
    csl_json_put_u64(j, "minimum", s->minimum_sites);
    csl_json_put_u64(j, "round_deadline_ms", s->round_deadline_ms);
    csl_json_key(j, "participants");
    csl_json_array(j);
    for (uint32_t i = 0; i < s->participant_count; i++)
        csl_json_str(j, s->participants[i]);
    csl_json_end(j);
    csl_json_key(j, "simulated");
    csl_json_array(j);
    for (uint32_t i = 0; i < s->sim_site_count; i++)
        csl_json_str(j, s->sim_sites[i].id);
    csl_json_end(j);
    csl_json_end(j);
}

void csl_cli_study_json(const struct csl_study *s, struct csl_buf *out)
{
    struct csl_json j;

    csl_json_init(&j, out, true);
    csl_json_object(&j);
    csl_json_put_str(&j, "format", "consilium.study/1");
    csl_json_put_str(&j, "study", s->id);
    csl_cli_put_digest(&j, "study_digest", s->digest);
    csl_json_put_str(&j, "question", s->question);
    csl_json_put_u64(&j, "rounds", s->rounds);
    if (s->input_count > 0) {
        csl_json_key(&j, "inputs");
        csl_json_array(&j);
        for (uint32_t i = 0; i < s->input_count; i++)
            put_domain(&j, s, &s->inputs[i], true);
        csl_json_end(&j);
    }
    csl_json_key(&j, "domains");
    csl_json_array(&j);
    for (uint32_t i = 0; i < s->domain_count; i++)
        put_domain(&j, s, &s->domains[i], false);
    csl_json_end(&j);
    put_schema(&j, &s->schema);
    if (s->census.is_on) {
        csl_json_key(&j, "census");
        csl_json_object(&j);
        csl_json_put_u64(&j, "bins", s->census.bins);
        csl_json_put_u64(&j, "minimum_cell", s->census.minimum_cell);
        csl_json_end(&j);
    } else {
        put_local(&j, &s->local);
        put_aggregation(&j, &s->aggregation);
    }
    put_privacy(&j, &s->privacy);
    csl_cli_put_sections(&j, s);
    put_statistics(&j, s);
    put_sites(&j, s);
    csl_json_put_u64(&j, "evaluate_every", s->evaluate_every);
    csl_json_end(&j);
    csl_buf_str(out, "\n");
}

static void shape_text(const struct csl_tensor_spec *t, struct csl_buf *out)
{
    for (uint32_t k = 0; k < t->rank; k++)
        csl_buf_printf(out, "%s%" PRIu64, k ? " x " : "", t->shape[k]);
}

void csl_cli_study_text(const struct csl_study *s, struct csl_buf *out)
{
    char digest[2 * CSL_DIGEST_BYTES + 1];

    csl_hex(s->digest, CSL_DIGEST_BYTES, digest);
    csl_buf_printf(out, "study     %s\ndigest    %s\nquestion  %s\n", s->id, digest, s->question);
    uint32_t count = s->local.epochs > 0 ? s->local.epochs : s->local.steps;
    if (s->census.is_on)
        csl_buf_printf(out, "census    %u bins, counts from %u patients on\n", s->census.bins,
                       s->census.minimum_cell);
    else
        csl_buf_printf(out, "training  %u round%s of %u %s%s, %s, strategy %s, weights %s\n",
                       s->rounds, csl_str_plural(s->rounds), count,
                       s->local.epochs > 0 ? "epoch" : "step", csl_str_plural(count),
                       csl_optimizer_name(s->local.optimizer), s->aggregation.strategy,
                       weights[s->aggregation.weights]);
    privacy_text(&s->privacy, out);
    csl_buf_printf(out, "sites     at least %u", s->minimum_sites);
    for (uint32_t i = 0; i < s->participant_count; i++)
        csl_buf_printf(out, "%s%s", i ? ", " : "; ", s->participants[i]);
    csl_buf_printf(out, "\n\n%-20s %-10s %-9s %-20s %7s %s\n", "domain", "modality", "task",
                   "label", "inputs", "model");
    for (uint32_t i = 0; i < s->domain_count; i++) {
        const struct csl_domain *d = &s->domains[i];
        char labels[CSL_ID_MAX];
        csl_domain_label_text(d, labels, sizeof(labels));
        csl_buf_printf(out, "%-20s %-10s %-9s %-20s %7u %s\n", d->id, csl_domain_reads(d),
                       csl_task_name(d->task), labels, d->width, csl_model_kind_name(d->model));
    }
    csl_buf_printf(out, "\n%-32s %s\n", "tensor", "shape");
    for (uint32_t i = 0; i < s->schema.tensor_count; i++) {
        csl_buf_printf(out, "%-32s ", s->schema.tensors[i].name);
        shape_text(&s->schema.tensors[i], out);
        csl_buf_str(out, "\n");
    }
    csl_buf_printf(out, "%-32s %" PRIu64 " parameter%s\n", "", s->schema.parameters,
                   csl_str_plural(s->schema.parameters));
}
