#include "site-agent/training/private_sum.h"

#include "base/check.h"
#include "base/clones.h"
#include "base/mem.h"
#include "privacy/crypto/secret.h"
#include "site-agent/training/compute/outer_sum.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define ROWS_AT_ONCE  64u        /* a patient with more records goes alone */
#define RECORDS_MAX   16u        /* of a patient whose linear layers are not formed */
#define KEPT_MAX      (1u << 22) /* floats of gradients that are kept at once: 16 MiB */
#define OUTER_LOG2    23         /* steps to the clip, at least, where products are rounded */
#define LANES         8u
#define ALL_ZERO      INT16_MIN
#define OPERAND_ERROR 0x1p-21 /* of a product whose factors were rounded to odd significands */

/* A linear layer of one position, whose gradient is a sum of outer products. */
struct outer_layer {
    uint32_t layer;
    uint64_t in, out;
    uint64_t weight, bias; /* in the net's block */
    bool has_bias;
    int16_t *exponents; /* [rows_max] of the rows of its input, or ALL_ZERO */
};
/* Parameters of all other layers. */
struct range {
    uint64_t first, count;
};
#define RANGES_MAX (2 * CSL_NET_LAYERS_MAX + 1)

struct csl_private_sum {
    struct csl_trainer *t;
    const struct csl_net *net;
    const struct csl_batches *batches;
    const struct csl_noise *noise;
    struct csl_augmented augmented;
    bool is_formed; /* all gradients are, whole */
    struct outer_layer outer[CSL_NET_LAYERS_MAX];
    uint32_t outer_count;
    struct range ranges[RANGES_MAX];
    uint32_t range_count;
    uint64_t kept; /* floats of a patient in `ranges` */
    unsigned shift;
    uint64_t piece;            /* rows of a pass, always: see csl_private_sum__add */
    uint64_t rows_max;         /* of a patient with more */
    uint32_t patients_max;     /* in one piece */
    uint32_t *rows;            /* [rows_max] records of the piece */
    float *gradients;          /* [patients_max, kept] */
    double *square, *factor;   /* [patients_max] squared norm, then grid units per unit */
    double *scale_a, *scale_b; /* [rows_max] of one outer layer */
    float *room;               /* [room_count] */
    uint64_t room_count;
    int16_t *exponents; /* what those of the layers lie in */
};

/* ---- which parameters are treated how ---- */

static void find_outer_layers(struct csl_private_sum *s)
{
    for (uint32_t i = 0; i < s->net->layer_count; i++) {
        const struct csl_layer *l = &s->net->layers[i];
        if (l->ops != &csl_layer_linear || l->positions > 1)
            continue;
        s->outer[s->outer_count++] = (struct outer_layer){.layer = i,
                                                          .in = l->in,
                                                          .out = l->out,
                                                          .weight = l->weight - s->net->first,
                                                          .bias = l->bias - s->net->first,
                                                          .has_bias = l->has_bias};
    }
}

/* The first parameter from `at` on that belongs to an outer layer, and one past that tensor's end.
 */
static uint64_t next_outer(const struct csl_private_sum *s, uint64_t at, uint64_t *end)
{
    uint64_t first = s->net->count;
    *end = first;
    for (uint32_t i = 0; i < s->outer_count; i++) {
        const struct outer_layer *o = &s->outer[i];
        if (o->weight >= at && o->weight < first) {
            first = o->weight;
            *end = first + o->in * o->out;
        }
        if (o->has_bias && o->bias >= at && o->bias < first) {
            first = o->bias;
            *end = first + o->out;
        }
    }
    return first;
}

static void find_ranges(struct csl_private_sum *s)
{
    for (uint64_t at = 0, end; at < s->net->count; at = end) {
        uint64_t first = next_outer(s, at, &end);
        if (first == at)
            continue;
        s->ranges[s->range_count++] = (struct range){at, first - at};
        s->kept += first - at;
    }
}

static bool is_outer(const struct csl_private_sum *s, uint32_t layer)
{
    for (uint32_t i = 0; i < s->outer_count; i++)
        if (s->outer[i].layer == layer)
            return true;
    return false;
}

/* ---- opening ---- */

static enum csl_code allocate(struct csl_private_sum *s, struct csl_err *err)
{
    uint64_t in = 1, rows = s->rows_max;
    for (uint32_t i = 0; i < s->outer_count; i++)
        in = s->outer[i].in > in ? s->outer[i].in : in;
    s->rows = csl_alloc_array((size_t)rows, sizeof(*s->rows));
    s->square = csl_alloc_array(s->patients_max, sizeof(*s->square));
    s->factor = csl_alloc_array(s->patients_max, sizeof(*s->factor));
    bool has_all = s->rows != NULL && s->square != NULL && s->factor != NULL;
    if (!s->is_formed) {
        s->gradients =
            csl_alloc_array((size_t)s->kept, (size_t)s->patients_max * sizeof(*s->gradients));
        s->scale_a = csl_alloc_array((size_t)rows, sizeof(*s->scale_a));
        s->scale_b = csl_alloc_array((size_t)rows, sizeof(*s->scale_b));
        s->room_count = csl_outer_room(rows, in);
        s->room = csl_alloc_array((size_t)s->room_count, sizeof(*s->room));
        s->exponents =
            csl_alloc_array((size_t)rows, (size_t)s->outer_count * sizeof(*s->exponents));
        has_all = has_all && s->gradients != NULL && s->scale_a != NULL && s->scale_b != NULL &&
                  s->room != NULL && s->exponents != NULL;
        for (uint32_t i = 0; has_all && i < s->outer_count; i++)
            s->outer[i].exponents = s->exponents + i * rows;
    }
    if (!has_all)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for private steps of %llu parameters",
                        (unsigned long long)s->net->count);
    return csl_trainer__fit(s->t, s->net, rows, err);
}

enum csl_code csl_private_sum__open(struct csl_private_sum **out, struct csl_trainer *t,
                                    uint32_t domain, const struct csl_batches *b,
                                    const struct csl_noise *noise, struct csl_err *err)
{
    if (b->examples->patients > CSL_NOISE_VECTORS_MAX) /* then no sum can overflow */
        return CSL_FAIL(err, CSL_E_LIMIT, "private steps of %u patients; at most 2^24",
                        b->examples->patients);
    struct csl_private_sum *s = csl_alloc(sizeof(*s));
    if (s == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for private steps");
    s->t = t;
    s->net = &t->nets[domain];
    s->batches = b;
    s->noise = noise;
    s->is_formed = t->ops->host == NULL;
    find_outer_layers(s);
    find_ranges(s);
    int log2 = ilogb((double)noise->l2_units) - OUTER_LOG2;
    s->shift = log2 > 0 ? (unsigned)log2 : 0;
    s->piece = s->rows_max = csl_net_rows_in_cache(s->net, ROWS_AT_ONCE);
    s->patients_max = (uint32_t)s->piece;
    if (!s->is_formed && s->kept * s->patients_max > KEPT_MAX)
        s->patients_max = s->kept < KEPT_MAX ? (uint32_t)(KEPT_MAX / s->kept) : 1;
    for (uint32_t p = 0; p < b->examples->patients; p++)
        if (csl_batches_records(b, p) > s->rows_max)
            s->rows_max = csl_batches_records(b, p);
    enum csl_code code = allocate(s, err);
    if (code == CSL_OK)
        code = csl_augmented_open(&s->augmented, &t->study->domains[domain], err);
    if (code == CSL_OK)
        *out = s;
    else
        csl_private_sum__close(s);
    return code;
}

/* What one patient adds, before any noise. */
static void free_wiped(void *p, size_t bytes)
{
    if (p != NULL)
        csl_wipe(p, bytes);
    csl_free(p);
}

void csl_private_sum__close(struct csl_private_sum *s)
{
    if (s == NULL)
        return;
    size_t patients = s->patients_max, rows = (size_t)s->rows_max;
    free_wiped(s->rows, rows * sizeof(*s->rows)); /* who was drawn */
    free_wiped(s->gradients, (size_t)s->kept * patients * sizeof(*s->gradients));
    free_wiped(s->square, patients * sizeof(*s->square));
    free_wiped(s->factor, patients * sizeof(*s->factor));
    free_wiped(s->scale_a, rows * sizeof(*s->scale_a));
    free_wiped(s->scale_b, rows * sizeof(*s->scale_b));
    free_wiped(s->room, (size_t)s->room_count * sizeof(*s->room));
    free_wiped(s->exponents, rows * s->outer_count * sizeof(*s->exponents));
    csl_augmented_close(&s->augmented);
    csl_free(s);
}

uint32_t csl_private_sum__piece(const struct csl_private_sum *s, const uint32_t *chosen,
                                uint32_t count)
{
    uint64_t rows = 0;
    uint32_t taken = 0;
    while (taken < count && taken < s->patients_max) {
        rows += csl_batches_records(s->batches, chosen[taken]);
        if (taken > 0 && rows > s->piece)
            break;
        taken++;
    }
    return taken;
}

/* ---- forming gradients ---- */

/* The gradient of rows [at, at + rows) of the device's batch alone, into the pass's gradient: of
 * all layers, or of those that are not outer ones. */
static void form_gradient(const struct csl_private_sum *s, const struct csl_pass *pass, uint64_t at,
                          uint64_t rows, bool has_outer)
{
    for (uint32_t i = 0; i < s->net->layer_count; i++)
        if (has_outer || !is_outer(s, i))
            csl_net_grad_layer(s->net, pass, &s->t->work, i, at, rows);
}

/* One patient the plain way. */
static enum csl_code add_whole(struct csl_private_sum *s, const struct csl_pass *pass, uint64_t at,
                               uint64_t rows, int64_t *sum, uint64_t *rejected, struct csl_err *err)
{
    struct csl_trainer *t = s->t;
    const struct csl_net *n = s->net;
    form_gradient(s, pass, at, rows, true);
    t->ops->get(t->dev, t->host + n->first, t->vectors[CSL_V_GRADIENT], n->first * sizeof(float),
                n->count * sizeof(float));
    enum csl_code code = t->ops->sync(t->dev, err);
    if (code == CSL_OK && !csl_noise_round(s->noise, t->host + n->first, (size_t)n->count, sum))
        (*rejected)++;
    return code;
}

/* How far rounding moves a patient's vector, in grid units, by the number of records: half a step
 * for every rounding of every value. */
static double moved_by(const struct csl_private_sum *s, uint64_t rows)
{
    double square = (double)s->kept / 4, per_row = (double)(rows * rows) / 4;
    for (uint32_t i = 0; i < s->outer_count; i++) {
        const struct outer_layer *o = &s->outer[i];
        square += per_row * ldexp((double)(o->in * o->out), 2 * (int)s->shift);
        square += per_row * (double)(o->has_bias ? o->out : 0);
    }
    return sqrt(square);
}

/* A patient whose gradient is formed as a whole: decided by the patient and the net alone. */
static bool is_whole(const struct csl_private_sum *s, uint64_t rows)
{
    return s->is_formed || (s->outer_count > 0 && rows > RECORDS_MAX) ||
           moved_by(s, rows) > (double)s->noise->l2_units / 4;
}

/* ---- norms ---- */

CSL_CLONES static double dot(const float *restrict x, const float *restrict y, uint64_t n)
{
    double lane[LANES] = {0}, tail = 0;
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint64_t l = 0; l < LANES; l++)
            lane[l] += (double)x[i + l] * (double)y[i + l];
    for (; i < n; i++)
        tail += (double)x[i] * (double)y[i];
    double low = (lane[0] + lane[4]) + (lane[2] + lane[6]);
    double high = (lane[1] + lane[5]) + (lane[3] + lane[7]);
    return (low + high) + tail;
}

/* Of a row's length, so that the row divided by 2^exponent is at most 1. */
static int16_t exponent_of(double square)
{
    int exponent = 0;
    if (isfinite(square) && square > 0)
        frexp(sqrt(square), &exponent);
    return square > 0 ? (int16_t)exponent : ALL_ZERO;
}

/* At least the squared norm of sum_t g_t [a_t, 1]^T over the patient's rows: the ghost norm
 * sum_st (a_s . a_t + 1) (g_s . g_t), what its rounding may hide (a dot product of n terms in any
 * order is right to n 2^-53 of |x| |y|, Higham 2002, (3.5)), and how far odd significands move the
 * products that are summed. */
static double outer_square(const struct outer_layer *o, const float *a, const float *g,
                           uint64_t rows, int16_t *exponents)
{
    double bias = o->has_bias ? 1 : 0, ghost = 0, lengths = 0;
    for (uint64_t s = 0; s < rows; s++)
        for (uint64_t t = 0; t <= s; t++) {
            double left = dot(a + s * o->in, a + t * o->in, o->in);
            double along = (left + bias) * dot(g + s * o->out, g + t * o->out, o->out);
            exponents[s] = exponent_of(left); /* at last of s with itself */
            ghost += s == t ? along : 2 * along;
            lengths += s == t ? sqrt(along) : 0;
        }
    double hidden = (double)(o->in + o->out + rows * rows + 8) * 0x1p-52 * lengths * lengths;
    double norm = sqrt((ghost > 0 || isnan(ghost) ? ghost : 0) + hidden) + OPERAND_ERROR * lengths;
    return norm * norm;
}

/* ---- adding ---- */

static const float *values_of(const struct csl_private_sum *s, struct csl_view v)
{
    const float *values = s->t->ops->host(v.buf);
    return values + v.first;
}

/* The patient's gradient but for outer layers, put away, and its squared norm. */
static double keep_gradient(const struct csl_private_sum *s, const struct csl_pass *pass,
                            uint64_t at, uint64_t rows, float *kept)
{
    if (s->kept == 0)
        return 0;
    form_gradient(s, pass, at, rows, false);
    const struct csl_view block = {s->t->vectors[CSL_V_GRADIENT], s->net->first, s->net->count};
    const float *from = values_of(s, block);
    for (uint32_t i = 0; i < s->range_count; kept += s->ranges[i++].count)
        memcpy(kept, from + s->ranges[i].first, (size_t)s->ranges[i].count * sizeof(float));
    kept -= s->kept;
    return dot(kept, kept, s->kept);
}

/* The clipped gradients of one linear layer of all patients of the piece. */
static void add_outer(struct csl_private_sum *s, const struct outer_layer *o,
                      const uint32_t *chosen, uint32_t count, int64_t *sum)
{
    const struct csl_work *w = &s->t->work;
    const float *x = values_of(s, w->activation[o->layer]);
    const float *g = values_of(s, w->gradient[o->layer + 1]);
    struct csl_outer outer = {.m = o->out,
                              .n = o->in,
                              .a = g,
                              .b = x,
                              .scale_a = s->scale_a,
                              .scale_b = s->scale_b,
                              .shift = s->shift};
    for (uint32_t u = 0; u < count; u++)
        for (uint32_t k = csl_batches_records(s->batches, chosen[u]); k > 0; k--, outer.rows++) {
            int exponent = o->exponents[outer.rows];
            double factor = exponent != ALL_ZERO ? s->factor[u] : 0;
            s->scale_a[outer.rows] = ldexp(factor, exponent - (int)s->shift);
            s->scale_b[outer.rows] = ldexp(1, -exponent);
            if (o->has_bias && s->factor[u] > 0)
                csl_noise_add_rounded(s->factor[u], g + outer.rows * o->out, (size_t)o->out,
                                      sum + o->bias);
        }
    csl_outer_sum(&outer, s->room, sum + o->weight);
}

static void add_kept(const struct csl_private_sum *s, uint32_t count, int64_t *sum)
{
    for (uint32_t u = 0; u < count; u++) {
        const float *kept = s->gradients + u * s->kept;
        if (!(s->factor[u] > 0))
            continue;
        for (uint32_t i = 0; i < s->range_count; kept += s->ranges[i++].count)
            csl_noise_add_rounded(s->factor[u], kept, (size_t)s->ranges[i].count,
                                  sum + s->ranges[i].first);
    }
}

static void add_outer_squares(struct csl_private_sum *s, const uint32_t *chosen, uint32_t count)
{
    const struct csl_work *w = &s->t->work;
    for (uint32_t i = 0; i < s->outer_count; i++) {
        const struct outer_layer *o = &s->outer[i];
        const float *x = values_of(s, w->activation[o->layer]);
        const float *g = values_of(s, w->gradient[o->layer + 1]);
        uint64_t at = 0;
        for (uint32_t u = 0; u < count; u++) {
            uint64_t rows = csl_batches_records(s->batches, chosen[u]);
            if (!is_whole(s, rows))
                s->square[u] += outer_square(o, x, g, rows, o->exponents + at);
            at += rows;
            x += rows * o->in;
            g += rows * o->out;
        }
    }
}

/* What lies on the device after a pass there and back becomes part of the sum. */
static enum csl_code add_piece(struct csl_private_sum *s, const struct csl_pass *pass,
                               const uint32_t *chosen, uint32_t count, int64_t *sum,
                               uint64_t *rejected, struct csl_err *err)
{
    uint64_t at = 0;
    enum csl_code code = s->t->ops->sync(s->t->dev, err);
    memset(s->factor, 0, count * sizeof(*s->factor));
    for (uint32_t u = 0; code == CSL_OK && u < count; u++) {
        uint64_t rows = csl_batches_records(s->batches, chosen[u]);
        if (is_whole(s, rows))
            code = add_whole(s, pass, at, rows, sum, rejected, err);
        else
            s->square[u] = keep_gradient(s, pass, at, rows, s->gradients + u * s->kept);
        at += rows;
    }
    if (code != CSL_OK || s->is_formed)
        return code;
    add_outer_squares(s, chosen, count);
    for (uint32_t u = 0; u < count; u++) {
        uint64_t rows = csl_batches_records(s->batches, chosen[u]);
        if (is_whole(s, rows))
            continue;
        s->factor[u] = csl_noise_factor(s->noise, sqrt(s->square[u]), moved_by(s, rows));
        if (!(s->factor[u] > 0))
            (*rejected)++;
    }
    add_kept(s, count, sum);
    for (uint32_t i = 0; i < s->outer_count; i++)
        add_outer(s, &s->outer[i], chosen, count, sum);
    return CSL_OK;
}

enum csl_code csl_private_sum__add(struct csl_private_sum *s, const uint32_t *chosen,
                                   uint32_t count, int64_t *sum, uint64_t *rejected,
                                   struct csl_err *err)
{
    struct csl_trainer *t = s->t;
    const struct csl_net *n = s->net;
    const struct csl_batches *b = s->batches;
    uint64_t rows = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t r = b->first[chosen[i]]; r < b->first[chosen[i] + 1]; r++)
            s->rows[rows++] = r;
    CSL_ASSERT(rows > 0 && rows <= s->rows_max && count <= s->patients_max);
    /* A library's matrix product may add a row's terms in another order when it has other numbers
     * of rows to do; then what a patient adds would depend on who else was drawn. So all passes
     * have the same number of rows, but that of a patient who alone has more. */
    while (rows < s->piece)
        s->rows[rows++] = s->rows[0];
    struct csl_pass pass = {.ops = t->ops,
                            .dev = t->dev,
                            .weights = t->vectors[CSL_V_WEIGHTS],
                            .gradient = t->vectors[CSL_V_GRADIENT],
                            .rows = rows};
    csl_trainer__put_training(t, n, &s->augmented, b, s->rows, rows);
    csl_trainer__put_truth(t, n, &t->work, b, s->rows, rows);
    csl_net_forward(n, &pass, &t->work);
    /* scale 1: a sum over patients of the mean over the patient's records */
    struct csl_loss loss = csl_trainer__loss(n, &t->work, b, n->layer_count, rows, 1);
    loss.loss = (struct csl_view){t->losses, 0, 1}; /* stays on the device: nobody may see it */
    t->ops->loss(t->dev, &loss);
    csl_net_grad_inputs(n, &pass, &t->work);
    return add_piece(s, &pass, chosen, count, sum, rejected, err);
}
