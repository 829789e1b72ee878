#include "site-agent/training/fused.h"

#include "base/check.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

static const struct csl_domain *domain_of(const struct csl_fused *f, uint32_t d)
{
    return &f->t->study->domains[d];
}

static uint32_t input_net(const struct csl_fused *f, uint32_t input)
{
    return f->t->study->domain_count + input;
}

/* --- opening --- */

static void put_answers(struct csl_fused_domain *to, const struct csl_examples *e, uint32_t r)
{
    if (e->answer_count == 0) {
        to->known[e->row[r]] = 1;
        to->label[e->row[r]] = e->label[r];
        return;
    }
    size_t k = e->answer_count, at = e->row[r] * k;
    CSL_ASSERT(k == to->answers);
    memcpy(to->known + at, e->answer_known + r * k, k);
    memcpy(to->label + at, e->answer + r * k, k);
}

static enum csl_code open_times(struct csl_fused_domain *to, const struct csl_examples *e,
                                uint32_t rows, struct csl_err *err)
{
    to->time = csl_alloc_array(rows, sizeof(*to->time));
    if (to->time == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u records", rows);
    for (uint32_t r = 0; r < rows; r++)
        to->time[r] = -HUGE_VALF;
    for (uint32_t r = 0; r < e->records; r++)
        to->time[e->row[r]] = e->time[r];
    return CSL_OK;
}

void csl_fused_begin(struct csl_fused *f, struct csl_trainer *t,
                     const struct csl_multimodal_split *split)
{
    *f = (struct csl_fused){.t = t,
                            .split = split,
                            .pass = {.ops = t->ops,
                                     .dev = t->dev,
                                     .weights = t->vectors[CSL_V_WEIGHTS],
                                     .gradient = t->vectors[CSL_V_GRADIENT]}};
}

enum csl_code csl_fused_open_domain(struct csl_fused *f, uint32_t d, uint32_t absent,
                                    struct csl_err *err)
{
    struct csl_fused_domain *to = &f->domains[d];
    const struct csl_domain_fusion *fusion = &domain_of(f, d)->fusion;
    uint32_t rows = f->split->records;
    to->answers = (uint32_t)f->t->nets[d].answers;
    to->known = csl_alloc_array(rows, to->answers);
    to->label = csl_alloc_array(rows, to->answers);
    to->mask = csl_alloc_array(rows, fusion->input_count);
    to->weights = csl_alloc_array(rows, sizeof(*to->weights));
    if (to->known == NULL || to->label == NULL || to->mask == NULL || to->weights == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u records", rows);
    for (uint32_t r = 0; r < rows; r++) {
        to->weights[r] = 1; /* a loss asks for a positive one of every row */
        for (uint32_t i = 0; i < fusion->input_count; i++) {
            uint32_t input = fusion->inputs[i];
            to->mask[(size_t)r * fusion->input_count + i] =
                (absent >> input & 1) != 0 ? 0 : f->split->inputs[input].available[r];
        }
    }
    return CSL_OK;
}

static void put_truth(struct csl_fused_domain *to, const struct csl_examples *e)
{
    for (uint32_t from = 0, end; from < e->records; from = end) {
        for (end = from; end < e->records && e->patient[end] == e->patient[from];)
            end++;
        for (uint32_t r = from; r < end; r++) {
            put_answers(to, e, r);
            to->weights[e->row[r]] = 1.0f / (float)(end - from);
        }
    }
}

enum csl_code csl_fused_open(struct csl_fused *f, struct csl_trainer *t,
                             const struct csl_dataset *data, struct csl_err *err)
{
    const struct csl_study *s = t->study;
    enum csl_code code = CSL_OK;
    CSL_ASSERT(data->multimodal != NULL && data->input_patients != NULL);
    csl_fused_begin(f, t, &data->multimodal->splits[CSL_SPLIT_TRAIN]);
    f->no_labels = csl_alloc_array(f->split->records, 1);
    if (f->no_labels == NULL)
        code = CSL_FAIL(err, CSL_E_NOMEM, "no memory for %u records", f->split->records);
    f->all = (struct csl_examples){.records = f->split->records,
                                   .patients = f->split->patients,
                                   .patient = f->split->patient,
                                   .label = f->no_labels};
    for (uint32_t i = 0; i < t->net_count; i++) {
        f->runs[i] = csl_trainer__patients(t, data, i) > 0;
        f->trains[i] = f->runs[i] && t->nets[i].trained.count > 0;
        f->parameters += f->trains[i] ? t->nets[i].trained.count : 0;
    }
    for (uint32_t d = 0; d < s->domain_count; d++)
        for (uint32_t i = 0; i < s->input_count; i++)
            f->factors[d][i] = 1;
    for (uint32_t d = 0; code == CSL_OK && d < s->domain_count; d++) {
        if (!f->runs[d])
            continue;
        code = csl_fused_open_domain(f, d, 0, err);
        const struct csl_examples *e = &data->domains[d][CSL_SPLIT_TRAIN];
        if (code == CSL_OK)
            put_truth(&f->domains[d], e);
        if (code == CSL_OK && t->nets[d].loss == CSL_LOSS_COX)
            code = open_times(&f->domains[d], e, f->split->records, err);
    }
    for (uint32_t i = 0; code == CSL_OK && i < s->input_count; i++)
        code = csl_augmented_open(&f->augmented[i], &s->inputs[i], err);
    if (code != CSL_OK)
        csl_fused_close(f);
    return code;
}

static bool does_read(const struct csl_fused *f, uint32_t d, uint32_t input)
{
    return f->runs[d] && csl_domain_has_input(domain_of(f, d), input);
}

double csl_fused_share(const struct csl_study *s, const double *weights, uint32_t domain,
                       uint32_t input)
{
    double most = weights[domain];
    CSL_ASSERT(csl_domain_has_input(&s->domains[domain], input));
    for (uint32_t d = 0; d < s->domain_count; d++)
        if (csl_domain_has_input(&s->domains[d], input) && weights[d] > most)
            most = weights[d];
    return weights[domain] / most;
}

static void weigh_patients(struct csl_fused *f, const double *weights)
{
    const struct csl_study *s = f->t->study;
    f->weighs_patients = true;
    for (uint32_t d = 0; d < s->domain_count; d++)
        for (uint32_t i = 0; i < s->input_count; i++)
            if (csl_domain_has_input(&s->domains[d], i))
                f->factors[d][i] = (float)csl_fused_share(s, weights, d, i);
}

/* Beside it the coordinator gives the site the mean of its domains' weights, so that a domain
 * counts by its patients times its weight whoever has it. */
void csl_fused_weigh(struct csl_fused *f, const struct csl_dataset *data, const double *weights)
{
    const struct csl_study *s = f->t->study;
    double most = s->fairness.domains.largest_site, patients[CSL_DOMAINS_MAX];
    if (s->privacy.mode == CSL_PRIVACY_JOINT) {
        weigh_patients(f, weights);
        return;
    }
    for (uint32_t d = 0; d < s->domain_count; d++) {
        patients[d] = (double)csl_trainer__patients(f->t, data, d);
        if (most > 0 && patients[d] > most)
            patients[d] = most;
    }
    for (uint32_t i = 0; i < s->input_count; i++) {
        double mass = 0, all = 0;
        uint32_t readers = 0;
        for (uint32_t d = 0; d < s->domain_count; d++) {
            if (!does_read(f, d, i))
                continue;
            mass += patients[d] * weights[d];
            all += patients[d];
            readers++;
        }
        for (uint32_t d = 0; readers > 1 && d < s->domain_count; d++)
            f->factors[d][i] = (float)(weights[d] * all / mass);
    }
}

void csl_fused_close(struct csl_fused *f)
{
    for (uint32_t d = 0; d < CSL_DOMAINS_MAX; d++) {
        csl_free(f->domains[d].known);
        csl_free(f->domains[d].label);
        csl_free(f->domains[d].mask);
        csl_free(f->domains[d].weights);
        csl_free(f->domains[d].time);
    }
    for (uint32_t i = 0; i < CSL_STUDY_INPUTS_MAX; i++)
        csl_augmented_close(&f->augmented[i]);
    csl_free(f->no_labels);
    *f = (struct csl_fused){0};
}

enum csl_code csl_fused_fit(struct csl_fused *f, uint64_t rows, struct csl_err *err)
{
    struct csl_trainer *t = f->t;
    uint64_t width = 0;
    enum csl_code code = CSL_OK;
    for (uint32_t i = 0; code == CSL_OK && i < t->net_count; i++) {
        if (!f->runs[i])
            continue;
        code = csl_work_fit(&t->works[i], &t->nets[i], rows, err);
        if (code == CSL_OK && t->nets[i].tokens > 0)
            code = csl_trainer__need_ids(t, rows, t->nets[i].tokens, err);
        if (code == CSL_OK && t->nets[i].is_joined && t->nets[i].loss == CSL_LOSS_COX)
            code = csl_trainer__need_order(t, rows, err);
        if (!t->nets[i].is_joined && t->nets[i].outputs > width)
            width = t->nets[i].outputs;
    }
    if (code != CSL_OK || rows * width <= t->spare_count)
        return code;
    t->ops->free(t->spare);
    t->spare = NULL;
    t->spare_count = 0;
    code = t->ops->alloc(t->dev, rows * width * sizeof(float), &t->spare, err);
    if (code == CSL_OK)
        t->spare_count = rows * width;
    return code;
}

uint64_t csl_fused_rows_at_once(const struct csl_fused *f, uint64_t wanted)
{
    for (uint32_t i = 0; i < f->t->net_count; i++)
        if (f->runs[i])
            wanted = csl_net_rows_at_once(&f->t->nets[i], wanted);
    return wanted;
}

/* --- loading --- */

static void load_input(struct csl_fused *f, uint32_t input, const uint32_t *rows, uint64_t count)
{
    struct csl_trainer *t = f->t;
    const struct csl_inputs *in = &f->split->inputs[input];
    const struct csl_net *n = &t->nets[input_net(f, input)];
    struct csl_work *w = &t->works[input_net(f, input)];
    /* by the step's seed alone: it comes from seed, site and step */
    const struct csl_augment_label step = {.seed = f->pass.seed,
                                           .site = t->study->inputs[input].id};
    const struct csl_augmented *a = &f->augmented[input];
    if (in->tokens != NULL)
        csl_trainer__put_tokens(t, n, w, in->tokens, rows, count);
    else if (f->pass.is_training && csl_augmented_is_on(a))
        csl_augmented_put(a, t->ops, t->dev,
                          (struct csl_view){w->floats, w->activation[0].first, 0}, in->x,
                          f->split->patient, rows, count, &step);
    else
        t->ops->put_rows(t->dev, w->floats, w->activation[0].first * sizeof(float), in->x,
                         (uint64_t)in->width * sizeof(float), rows, count);
}

static void drop(struct csl_fused *f, uint32_t d, const uint32_t *rows, uint64_t count)
{
    struct csl_trainer *t = f->t;
    struct csl_work *w = &t->works[d];
    const struct csl_domain_fusion *fusion = &domain_of(f, d)->fusion;
    /* the place of the Cox loss's risk order, which comes after this is done */
    t->ops->put(t->dev, w->words, w->order.first * sizeof(uint32_t), rows,
                count * sizeof(uint32_t));
    const struct csl_dropout o = {.rows = count,
                                  .cols = fusion->input_count,
                                  .rate = fusion->modality_dropout,
                                  .seed = f->pass.seed,
                                  .stream = d,
                                  .row_ids = w->order};
    t->ops->drop_modalities(t->dev, &o, w->mask, w->mask);
}

static void load_domain(struct csl_fused *f, uint32_t d, const uint32_t *rows, uint64_t count)
{
    struct csl_trainer *t = f->t;
    struct csl_work *w = &t->works[d];
    const struct csl_fused_domain *from = &f->domains[d];
    const struct csl_domain_fusion *fusion = &domain_of(f, d)->fusion;
    t->ops->put_rows(t->dev, w->bytes, w->labels.first, from->label, from->answers, rows, count);
    t->ops->put_rows(t->dev, w->bytes, w->known.first, from->known, from->answers, rows, count);
    t->ops->put_rows(t->dev, w->bytes, w->mask.first, from->mask, fusion->input_count, rows, count);
    t->ops->put_rows(t->dev, w->words, w->weights.first * sizeof(float), from->weights,
                     sizeof(float), rows, count);
    if (f->pass.is_training && fusion->modality_dropout > 0)
        drop(f, d, rows, count);
    if (from->time != NULL)
        csl_trainer__put_order(t, w, from->time, rows, count);
}

void csl_fused_load(struct csl_fused *f, const uint32_t *rows, uint64_t count)
{
    f->pass.rows = count;
    for (uint32_t i = 0; i < f->t->study->input_count; i++)
        if (f->runs[input_net(f, i)])
            load_input(f, i, rows, count);
    for (uint32_t d = 0; d < f->t->study->domain_count; d++)
        if (f->runs[d])
            load_domain(f, d, rows, count);
}

/* --- there and back --- */

static struct csl_view from_column(struct csl_view v, uint64_t column)
{
    return (struct csl_view){v.buf, v.first + column, v.count - column};
}

static void join(struct csl_fused *f, uint32_t d)
{
    struct csl_trainer *t = f->t;
    const struct csl_domain_fusion *fusion = &domain_of(f, d)->fusion;
    struct csl_view all = t->works[d].activation[0];
    uint64_t width = domain_of(f, d)->sizes.width, stride = width * fusion->input_count;
    all.count = f->pass.rows * stride;
    t->ops->zero(t->dev, all); /* what no net here gives is absent, and still a number */
    for (uint32_t i = 0; i < fusion->input_count; i++) {
        uint32_t net = input_net(f, fusion->inputs[i]);
        if (f->runs[net])
            t->ops->copy_cols(t->dev, f->pass.rows, width,
                              t->works[net].activation[t->nets[net].layer_count], width,
                              from_column(all, i * width), stride);
    }
}

void csl_fused_forward(struct csl_fused *f)
{
    struct csl_trainer *t = f->t;
    for (uint32_t i = t->study->domain_count; i < t->net_count; i++)
        if (f->runs[i])
            csl_net_forward(&t->nets[i], &f->pass, &t->works[i]);
    for (uint32_t d = 0; d < t->study->domain_count; d++) {
        if (!f->runs[d])
            continue;
        join(f, d);
        csl_net_forward(&t->nets[d], &f->pass, &t->works[d]);
    }
}

/* The gradient of what an encoder gave: the sum over the domains that read it. */
static void gather(struct csl_fused *f, uint32_t input)
{
    struct csl_trainer *t = f->t;
    uint32_t net = input_net(f, input);
    uint64_t width = t->nets[net].outputs, count = f->pass.rows * width;
    struct csl_view sum = t->works[net].gradient[t->nets[net].layer_count];
    struct csl_view spare = {t->spare, 0, count};
    bool is_first = true;
    sum.count = count;
    for (uint32_t d = 0; d < t->study->domain_count; d++) {
        const struct csl_domain_fusion *fusion = &domain_of(f, d)->fusion;
        for (uint32_t i = 0; f->runs[d] && i < fusion->input_count; i++) {
            if (fusion->inputs[i] != input)
                continue;
            float factor = f->factors[d][input];
            bool is_copied = is_first && !(factor < 1) && !(factor > 1);
            t->ops->copy_cols(t->dev, f->pass.rows, width,
                              from_column(t->works[d].gradient[0], i * width),
                              width * fusion->input_count, is_copied ? sum : spare, width);
            if (is_first && !is_copied)
                t->ops->zero(t->dev, sum);
            if (!is_copied)
                t->ops->axpy_f32(t->dev, factor, spare, sum);
            is_first = false;
        }
    }
    CSL_ASSERT(!is_first); /* it has patients in a domain that reads it */
}

void csl_fused_backward(struct csl_fused *f, double scale, uint64_t first)
{
    struct csl_trainer *t = f->t;
    for (uint32_t d = 0; d < t->study->domain_count; d++) {
        const struct csl_net *n = &t->nets[d];
        struct csl_work *w = &t->works[d];
        if (!f->runs[d])
            continue;
        struct csl_loss l = {.kind = n->loss,
                             .rows = f->pass.rows,
                             .outputs = n->outputs,
                             .scale = scale,
                             .logits = w->activation[n->layer_count],
                             .labels = w->labels,
                             .known = w->known,
                             .weights = w->weights,
                             .map = n->map,
                             .label_classes = n->label_classes,
                             .grad = w->gradient[n->layer_count],
                             .loss = {t->losses, first + d, 1}};
        if (n->loss == CSL_LOSS_COX) {
            l.known = (struct csl_view){NULL, 0, 0}; /* by the order */
            l.order = w->order;
            l.tie_end = w->tie_end;
            l.scratch = w->scratch;
        }
        t->ops->loss(t->dev, &l);
        csl_net_grad_inputs(n, &f->pass, w);
    }
    for (uint32_t i = 0; i < t->study->input_count; i++) {
        uint32_t net = input_net(f, i);
        if (!f->trains[net]) /* nothing before it learns either */
            continue;
        gather(f, i);
        csl_net_grad_inputs(&t->nets[net], &f->pass, &t->works[net]);
    }
}

void csl_fused_grad_part(struct csl_fused *f, uint64_t at, uint64_t rows)
{
    for (uint32_t i = 0; i < f->t->net_count; i++)
        if (f->trains[i])
            csl_net_grad_part(&f->t->nets[i], &f->pass, &f->t->works[i], at, rows);
}
