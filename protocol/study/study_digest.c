/* protocol/study/study_digest.c - the digest that names a study: over every choice the parties must
 * share, in a fixed order and width, defaults written out. Comments, the order of keys, how a
 * number is spelled and the simulation section do not enter. Texts have their length in front,
 * lists their count, so no two studies give the same bytes. */
#include "base/buf.h"
#include "protocol/study/study_rounds_internal.h"

#include <string.h>

#define CANONICAL_BYTES_MAX (8u * 1024u * 1024u)

static void put_text(struct csl_buf *b, const char *text)
{
    size_t n = strlen(text);

    csl_buf_le32(b, (uint32_t)n);
    csl_buf_append(b, text, n);
}

static void put_f64(struct csl_buf *b, double v)
{
    uint64_t bits;

    v = v == 0 ? 0.0 : v; /* one zero */
    memcpy(&bits, &v, sizeof(bits));
    csl_buf_le64(b, bits);
}

/* The kind tells whether these follow: those that had none before have none now. */
static void put_sizes(struct csl_buf *b, const struct csl_model_sizes *m)
{
    csl_buf_le32(b, m->stages);
    for (uint32_t i = 0; i < m->stages; i++)
        csl_buf_le32(b, m->channels[i]);
    csl_buf_le32(b, m->kernel);
    csl_buf_le32(b, m->stride);
    csl_buf_le32(b, m->pool);
    csl_buf_le32(b, m->groups);
    csl_buf_le32(b, m->width);
    csl_buf_le32(b, m->patch);
    csl_buf_le32(b, m->heads);
    csl_buf_le32(b, m->layers);
}

static void put_fusion(struct csl_buf *b, const struct csl_domain_fusion *f)
{
    csl_buf_le32(b, f->input_count);
    for (uint32_t i = 0; i < f->input_count; i++)
        csl_buf_le32(b, f->inputs[i]);
    csl_buf_le32(b, (uint32_t)f->kind);
    put_f64(b, f->modality_dropout);
}

static void put_domain(struct csl_buf *b, const struct csl_domain *d)
{
    put_text(b, d->id);
    csl_buf_le32(b, (uint32_t)d->modality);
    csl_buf_le32(b, (uint32_t)d->task);
    put_text(b, d->label);
    put_text(b, d->positive);
    csl_buf_le32(b, d->classes);
    if (d->task == CSL_TASK_LABELS)
        csl_buf_le32(b, d->label_count);
    for (uint32_t i = 0; i < d->label_count; i++)
        put_text(b, d->labels[i]);
    csl_buf_le32(b, (uint32_t)d->scaling);
    csl_buf_le32(b, d->feature_count);
    for (uint32_t i = 0; i < d->feature_count; i++) {
        const struct csl_feature *f = &d->features[i];
        put_text(b, f->name);
        put_text(b, f->unit);
        put_f64(b, f->centre);
        put_f64(b, f->scale);
        put_f64(b, f->clip);
        put_f64(b, f->range_min);
        put_f64(b, f->range_max);
    }
    for (int i = 0; i < (d->modality == CSL_IMAGE3D ? 4 : 3); i++)
        csl_buf_le32(b, d->shape[i]);
    put_f64(b, d->centre);
    put_f64(b, d->scale);
    csl_buf_le32(b, (uint32_t)d->model);
    csl_buf_le32(b, d->hidden_count);
    for (uint32_t i = 0; i < d->hidden_count; i++)
        csl_buf_le32(b, d->hidden[i]);
    csl_buf_u8(b, d->has_bias);
    if (d->model > CSL_MODEL_MLP)
        put_sizes(b, &d->sizes);
    if (d->model == CSL_MODEL_MULTIMODAL)
        put_fusion(b, &d->fusion);
}

static void put_local(struct csl_buf *b, const struct csl_local_training *t)
{
    csl_buf_le32(b, (uint32_t)t->optimizer);
    put_f64(b, t->learning_rate);
    put_f64(b, t->momentum);
    put_f64(b, t->beta1);
    put_f64(b, t->beta2);
    put_f64(b, t->epsilon);
    csl_buf_le32(b, t->batch_patients);
    csl_buf_le32(b, t->steps);
    put_f64(b, t->l2);
    put_f64(b, t->proximal_mu);
}

static void put_aggregation(struct csl_buf *b, const struct csl_aggregation *a)
{
    put_text(b, a->strategy);
    put_f64(b, a->server_learning_rate);
    put_f64(b, a->momentum);
    put_f64(b, a->beta1);
    put_f64(b, a->beta2);
    put_f64(b, a->tau);
    if (csl_study__sees_updates(a->strategy)) { /* the name tells how long this is */
        put_f64(b, a->fairness_q);
        put_f64(b, a->tilt);
        put_f64(b, a->trim);
        put_f64(b, a->mixture_rate);
        csl_buf_le32(b, a->byzantine);
        csl_buf_le32(b, a->keep);
    }
    csl_buf_le32(b, (uint32_t)a->weights);
    csl_buf_le32(b, a->given_count);
    for (uint32_t i = 0; i < a->given_count; i++) {
        put_text(b, a->given[i].site);
        put_f64(b, a->given[i].weight);
    }
}

static void put_privacy(struct csl_buf *b, const struct csl_study_privacy *p)
{
    csl_buf_le32(b, (uint32_t)p->mode);
    if (p->mode == CSL_PRIVACY_NONE)
        return; /* the mode tells how long this is */
    put_f64(b, p->epsilon);
    put_f64(b, p->noise_multiplier);
    put_f64(b, p->delta);
    put_f64(b, p->clip);
    if (p->mode == CSL_PRIVACY_JOINT)
        put_f64(b, p->sampling_rate);
}

/* This and all that follows begin with a text that names it, and are left out where absent. */
static void put_secagg(struct csl_buf *b, const struct csl_study_secagg *a)
{
    if (!a->is_on)
        return;
    put_text(b, "secure aggregation fsa-1");
    csl_buf_le32(b, a->colluding);
    csl_buf_le32(b, a->minimum_sites);
    if (a->lane_bits != 64) { /* 64: as before there was a choice */
        put_text(b, "lanes");
        csl_buf_le32(b, a->lane_bits);
        put_f64(b, a->clip_norm);
        csl_buf_u8(b, a->is_rotated);
        csl_buf_le32(b, a->weight_cap);
    }
    if (a->is_sparse) { /* the same */
        put_text(b, "sparse");
        csl_buf_le32(b, a->losses_max);
    }
    if (a->audit_chunks > 0) { /* studies without it are what they were before there was one */
        put_text(b, "audit");
        csl_buf_le32(b, a->audit_chunks);
    }
}

static void put_fairness(struct csl_buf *b, const struct csl_study_fairness *f)
{
    if (f->attribute_count == 0)
        return;
    put_text(b, "fairness");
    csl_buf_le32(b, f->attribute_count);
    for (uint32_t i = 0; i < f->attribute_count; i++)
        put_text(b, f->attributes[i]);
    csl_buf_le32(b, f->minimum_group);
    csl_buf_le32(b, f->minimum_sites);
    if (f->value_count[0] > 0)
        put_text(b, "groups");
    for (uint32_t i = 0; i < f->attribute_count && f->value_count[0] > 0; i++) {
        csl_buf_le32(b, f->value_count[i]);
        for (uint32_t v = 0; v < f->value_count[i]; v++)
            put_text(b, f->values[i][v]);
    }
    if (!f->weights.is_on) /* studies without them are what they were before there were any */
        return;
    put_text(b, "group weights");
    put_f64(b, f->weights.alpha);
    put_f64(b, f->weights.beta);
    put_f64(b, f->weights.cap);
}

static void put_domain_weights(struct csl_buf *b, const struct csl_study_domain_weights *w)
{
    if (w->kind == CSL_DOMAIN_WEIGHTS_NONE)
        return;
    put_text(b, "domain weights");
    csl_buf_le32(b, (uint32_t)w->kind);
    put_f64(b, w->alpha);
    put_f64(b, w->beta);
    put_f64(b, w->cap);
    put_f64(b, w->shrinkage);
    put_f64(b, w->smoothing);
    put_f64(b, w->step_max);
    csl_buf_le32(b, w->every);
    csl_buf_le32(b, w->minimum_patients);
    csl_buf_le32(b, w->minimum_sites);
    csl_buf_le32(b, w->gate_rounds);
    csl_buf_le32(b, w->largest_site);
    put_f64(b, w->effective_sites);
}

static void put_statistics(struct csl_buf *b, const struct csl_study_statistics *t)
{
    if (!t->is_on)
        return;
    put_text(b, "statistics");
    csl_buf_le32(b, t->every);
    put_f64(b, t->epsilon);
    put_f64(b, t->delta);
    for (uint32_t i = 0; i < CSL_FAIRNESS_ATTRIBUTES_MAX; i++) {
        csl_buf_le32(b, t->value_count[i]);
        for (uint32_t v = 0; v < t->value_count[i]; v++)
            put_text(b, t->values[i][v]);
    }
}

static void put_release(struct csl_buf *b, const struct csl_study_release *r)
{
    if (!r->is_on)
        return;
    put_text(b, "release");
    put_f64(b, r->minimum_auc);
    put_f64(b, r->worst_group_floor);
    csl_buf_u8(b, r->refuses_collapsed);
    csl_buf_u8(b, r->needs_card);
    put_text(b, r->intended_use);
    put_text(b, r->not_for);
}

static void put_baseline(struct csl_buf *b, const struct csl_baseline *c)
{
    csl_buf_u8(b, c->enabled);
    csl_buf_le32(b, (uint32_t)c->optimizer);
    put_f64(b, c->learning_rate);
    put_f64(b, c->l2);
    csl_buf_le32(b, c->batch_patients);
    csl_buf_le32(b, c->epochs);
}

/* Studies without any of these are what they were before there were any. */
static void put_schedule(struct csl_buf *b, const char *whose, double weight_decay,
                         const struct csl_schedule *s)
{
    if (weight_decay > 0) {
        put_text(b, "weight decay");
        put_text(b, whose);
        put_f64(b, weight_decay);
    }
    if (csl_schedule_is_flat(s))
        return;
    put_text(b, "schedule");
    put_text(b, whose);
    csl_buf_le32(b, (uint32_t)s->kind);
    csl_buf_le64(b, s->warmup);
    put_f64(b, s->floor);
    csl_buf_le64(b, s->every);
    put_f64(b, s->factor);
}

static void put_epochs(struct csl_buf *b, const struct csl_local_training *t)
{
    if (t->epochs == 0)
        return;
    put_text(b, "epochs");
    csl_buf_le32(b, t->epochs);
    put_f64(b, t->effective_steps);
}

static void put_personal(struct csl_buf *b, const struct csl_study_personal *p)
{
    if (!p->is_on)
        return;
    put_text(b, "personalisation");
    for (int m = 0; m < CSL_PERSONAL_COUNT; m++)
        csl_buf_u8(b, p->methods[m]);
    put_f64(b, p->lambda);
    put_baseline(b, &p->training);
    put_schedule(b, "personalisation", p->training.weight_decay, &p->training.schedule);
}

static void put_augment(struct csl_buf *b, const struct csl_domain *d)
{
    const struct csl_study_augment *a = &d->augment;

    if (!a->is_on)
        return;
    put_text(b, "augment");
    put_text(b, d->id);
    csl_buf_le32(b, a->shift);
    csl_buf_u8(b, a->may_mirror);
    put_f64(b, a->brightness);
    put_f64(b, a->gain);
    put_f64(b, a->noise);
    put_f64(b, a->lead_dropout);
    put_f64(b, a->dropout);
}

static void put_averaging(struct csl_buf *b, const struct csl_averaging *a)
{
    if (a->kind == CSL_AVERAGING_NONE)
        return;
    put_text(b, "averaging");
    csl_buf_le32(b, (uint32_t)a->kind);
    put_f64(b, a->decay);
    csl_buf_le32(b, a->from_round);
}

static void put_series(struct csl_buf *b, const struct csl_domain *d)
{
    if (d->missing == CSL_MISSING_CENTRE && d->windows == 0)
        return;
    put_text(b, "series");
    put_text(b, d->id);
    csl_buf_le32(b, (uint32_t)d->missing);
    csl_buf_le32(b, d->windows);
    csl_buf_le32(b, d->steps);
    if (d->measured_scale == 1)
        return;
    put_text(b, "measured scale");
    put_f64(b, d->measured_scale);
}

static void put_scattering(struct csl_buf *b, const struct csl_domain *d)
{
    if (!d->scatters)
        return;
    put_text(b, "scattering");
    put_text(b, d->id);
}

static void put_merged(struct csl_buf *b, const struct csl_domain *d)
{
    if (d->merged_count == 0)
        return;
    put_text(b, "merged");
    put_text(b, d->id);
    csl_buf_le32(b, d->merged_count);
    for (uint32_t i = 0; i < d->merged_count; i++)
        csl_buf_le64(b, d->merged[i]);
}

static void put_gate(struct csl_buf *b, const struct csl_study_gate *g)
{
    if (!g->is_on)
        return;
    put_text(b, "gate");
    put_f64(b, g->factor);
    csl_buf_le32(b, g->window);
    csl_buf_le32(b, g->rejected_max);
}

static void put_buffer(struct csl_buf *b, const struct csl_study_buffer *f)
{
    if (f->updates == 0)
        return;
    put_text(b, "buffer");
    csl_buf_le32(b, f->updates);
    csl_buf_le32(b, f->staleness_max);
}

static void put_census(struct csl_buf *b, const struct csl_study *s)
{
    if (!s->census.is_on)
        return;
    put_text(b, "census");
    csl_buf_le32(b, s->census.bins);
    csl_buf_le32(b, s->census.minimum_cell);
}

static void put_vote(struct csl_buf *b, const struct csl_study_vote *v)
{
    if (!v->is_on)
        return;
    put_text(b, "vote");
    put_f64(b, v->worse_max);
    put_f64(b, v->tolerance);
    csl_buf_le32(b, v->minimum_sites);
    csl_buf_le32(b, v->rejected_max);
}

static void put_block_kind(struct csl_buf *b, const char *noun, const struct csl_domain *d)
{
    if (d->block_kind == CSL_BLOCK_SHARED)
        return;
    put_text(b, "train");
    put_text(b, noun);
    put_text(b, d->id);
    csl_buf_le32(b, (uint32_t)d->block_kind);
    if (d->adapter.rank == 0)
        return;
    put_text(b, "adapter");
    csl_buf_le32(b, d->adapter.rank);
    put_f64(b, d->adapter.alpha);
}

enum csl_code csl_study__digest(struct csl_study *s, struct csl_err *err)
{
    struct csl_buf b;
    enum csl_code code;

    csl_buf_init(&b, CANONICAL_BYTES_MAX);
    put_text(&b, "consilium study 1");
    put_text(&b, s->id);
    put_text(&b, s->question);
    if (s->input_count > 0) { /* a study without them has here the number of its domains */
        csl_buf_le32(&b, UINT32_MAX);
        csl_buf_le32(&b, s->input_count);
        for (uint32_t i = 0; i < s->input_count; i++)
            put_domain(&b, &s->inputs[i]);
    }
    csl_buf_le32(&b, s->domain_count);
    for (uint32_t i = 0; i < s->domain_count; i++)
        put_domain(&b, &s->domains[i]);
    put_local(&b, &s->local);
    csl_buf_le32(&b, s->rounds);
    put_aggregation(&b, &s->aggregation);
    put_privacy(&b, &s->privacy);
    csl_buf_le32(&b, s->minimum_sites);
    csl_buf_le32(&b, s->participant_count);
    for (uint32_t i = 0; i < s->participant_count; i++)
        put_text(&b, s->participants[i]);
    csl_buf_le64(&b, s->round_deadline_ms);
    csl_buf_le32(&b, s->evaluate_every);
    put_baseline(&b, &s->baseline);
    put_secagg(&b, &s->secagg);
    put_fairness(&b, &s->fairness);
    put_domain_weights(&b, &s->fairness.domains);
    put_statistics(&b, &s->statistics);
    put_release(&b, &s->release);
    put_schedule(&b, "local", s->local.weight_decay, &s->local.schedule);
    put_schedule(&b, "baselines", s->baseline.weight_decay, &s->baseline.schedule);
    put_epochs(&b, &s->local);
    put_personal(&b, &s->personal);
    for (uint32_t i = 0; i < s->input_count; i++)
        put_series(&b, &s->inputs[i]);
    for (uint32_t i = 0; i < s->domain_count; i++)
        put_series(&b, &s->domains[i]);
    for (uint32_t i = 0; i < s->input_count; i++)
        put_block_kind(&b, "input", &s->inputs[i]);
    for (uint32_t i = 0; i < s->domain_count; i++)
        put_block_kind(&b, "domain", &s->domains[i]);
    for (uint32_t i = 0; i < s->domain_count; i++)
        put_merged(&b, &s->domains[i]);
    put_averaging(&b, &s->aggregation.averaging);
    for (uint32_t i = 0; i < s->input_count; i++)
        put_augment(&b, &s->inputs[i]);
    for (uint32_t i = 0; i < s->domain_count; i++)
        put_augment(&b, &s->domains[i]);
    put_gate(&b, &s->aggregation.gate);
    put_buffer(&b, &s->aggregation.buffer);
    for (uint32_t i = 0; i < s->input_count; i++)
        put_scattering(&b, &s->inputs[i]);
    for (uint32_t i = 0; i < s->domain_count; i++)
        put_scattering(&b, &s->domains[i]);
    put_census(&b, s);
    put_vote(&b, &s->aggregation.vote);
    code = csl_buf_status(&b, err);
    if (code == CSL_OK)
        csl_digest(b.p, b.n, s->digest);
    csl_buf_release(&b);
    return code;
}
