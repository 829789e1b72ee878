/* Convolutions by the library's primitives or, of one tap, as products; and squared gradient norms.
 * Whatever finds no memory takes the definition. */
#include "site-agent/training/compute/cpu_dnnl.h"

struct unfold {
    const struct csl_window *w;
    uint64_t in, out; /* positions of a row */
    uint64_t taps;    /* floats of an unfolded position */
    bool is_plain;    /* the input is its own unfolding */
};

static struct unfold unfold_of(const struct csl_window *w)
{
    struct unfold u = {
        .w = w, .in = csl_window_positions_in(w), .out = csl_window_positions_out(w)};
    u.taps = csl_window_taps(w) * w->channels;
    u.is_plain = csl_window_taps(w) == 1 && u.in == u.out;
    return u;
}

/* Where the taps (kd, kh, all kw) of a position meet the input: `count` floats at `source`, the
 * first of them at float `skip` of the run; count 0: all padding. */
struct run {
    uint64_t source, skip, count;
};

static inline struct run run_at(const struct csl_window *w, const uint64_t o[3], uint64_t kd,
                                uint64_t kh)
{
    int64_t z = (int64_t)(o[0] * w->stride[0] + kd) - (int64_t)w->pad[0];
    int64_t y = (int64_t)(o[1] * w->stride[1] + kh) - (int64_t)w->pad[1];
    int64_t from = (int64_t)(o[2] * w->stride[2]) - (int64_t)w->pad[2];
    int64_t to = from + (int64_t)w->kernel[2];
    struct run r = {0};
    if (z < 0 || z >= (int64_t)w->in[0] || y < 0 || y >= (int64_t)w->in[1])
        return r;
    int64_t lo = from < 0 ? 0 : from, hi = to > (int64_t)w->in[2] ? (int64_t)w->in[2] : to;
    r.source = (uint64_t)((z * (int64_t)w->in[1] + y) * (int64_t)w->in[2] + lo) * w->channels;
    r.skip = (uint64_t)(lo - from) * w->channels;
    r.count = (uint64_t)(hi - lo) * w->channels;
    return r;
}

/* A position by its row and its place in each axis: counting costs less than dividing. */
struct place {
    uint64_t row, o[3];
};

static struct place place_of(const struct unfold *u, uint64_t position)
{
    uint64_t at = position % u->out;
    return (struct place){
        position / u->out,
        {at / (u->w->out[1] * u->w->out[2]), at / u->w->out[2] % u->w->out[1], at % u->w->out[2]}};
}

static void advance(const struct unfold *u, struct place *p)
{
    if (++p->o[2] < u->w->out[2])
        return;
    p->o[2] = 0;
    if (++p->o[1] < u->w->out[1])
        return;
    p->o[1] = 0;
    if (++p->o[0] < u->w->out[0])
        return;
    p->o[0] = 0;
    p->row++;
}

/* Short runs are not worth a call. */
static inline void copy_run(float *to, const float *from, uint64_t n)
{
    if (n >= 32) {
        memcpy(to, from, (size_t)n * sizeof(float));
        return;
    }
    for (; n >= 4; n -= 4, to += 4, from += 4)
        memcpy(to, from, 4 * sizeof(float));
    for (; n > 0; n--)
        *to++ = *from++;
}

/* cols: [end - at, taps] */
static const float *unfold(const struct unfold *u, const float *x, uint64_t at, uint64_t end,
                           float *cols)
{
    const struct csl_window *w = u->w;
    uint64_t wide = w->kernel[2] * w->channels;
    if (u->is_plain)
        return x + at * w->channels;
    float *to = cols;
    struct place p = place_of(u, at);
    for (uint64_t position = at; position < end; position++, advance(u, &p)) {
        const float *row = x + p.row * u->in * w->channels;
        for (uint64_t kd = 0; kd < w->kernel[0]; kd++)
            for (uint64_t kh = 0; kh < w->kernel[1]; kh++, to += wide) {
                struct run r = run_at(w, p.o, kd, kh);
                if (r.count < wide)
                    memset(to, 0, (size_t)wide * sizeof(float));
                if (r.count > 0)
                    copy_run(to + r.skip, row + r.source, r.count);
            }
    }
    return cols;
}

void csl_dnnl__conv_forward(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                            struct csl_view w, struct csl_view bias, struct csl_view y)
{
    struct unfold u = unfold_of(c->window);
    uint64_t positions = c->rows * u.out, x_row = u.in * c->window->channels;
    const float *px = csl_cpu__f32(x, c->rows * x_row);
    const float *pw = csl_cpu__f32(w, c->outputs * u.taps);
    const float *pb = bias.buf != NULL ? csl_cpu__f32(bias, c->outputs) : NULL;
    float *py = csl_cpu__f32(y, positions * c->outputs);
    if (u.is_plain) {
        struct csl_gemm g = {
            .m = positions, .n = c->outputs, .k = u.taps, .is_b_transposed = true, .alpha = 1};
        if (!csl_dnnl__gemm(&g, px, u.taps, pw, u.taps, py, c->outputs))
            csl_cpu__conv_forward(d, c, x, w, bias, y);
        else if (pb != NULL)
            csl_cpu__add_bias(d, positions, c->outputs, bias, y);
        return;
    }
    struct csl_dnnl__conv *one = csl_dnnl__conv_of(d, c, CSL_DNNL_FORWARD, pb != NULL);
    bool is_done = one != NULL && csl_dnnl__conv_take_weights(d, one, pw);
    for (uint64_t r = 0; is_done && r < c->rows; r++)
        is_done = csl_dnnl__conv_row(d, one, px + r * x_row, pb, py + r * u.out * c->outputs);
    if (!is_done)
        csl_cpu__conv_forward(d, c, x, w, bias, y);
}

void csl_dnnl__conv_grad_input(struct csl_dev *d, const struct csl_conv *c, struct csl_view w,
                               struct csl_view grad_out, struct csl_view grad_in)
{
    struct unfold u = unfold_of(c->window);
    uint64_t positions = c->rows * u.out, x_row = u.in * c->window->channels;
    const float *pw = csl_cpu__f32(w, c->outputs * u.taps);
    const float *pg = csl_cpu__f32(grad_out, positions * c->outputs);
    float *to = csl_cpu__f32(grad_in, c->rows * x_row);
    bool is_done;
    if (u.is_plain) {
        struct csl_gemm g = {.m = positions, .n = u.taps, .k = c->outputs, .alpha = 1};
        is_done = csl_dnnl__gemm(&g, pg, c->outputs, pw, u.taps, to, u.taps);
    } else {
        struct csl_dnnl__conv *one = csl_dnnl__conv_of(d, c, CSL_DNNL_BACK_TO_INPUT, false);
        is_done = one != NULL && csl_dnnl__conv_take_weights(d, one, pw);
        for (uint64_t r = 0; is_done && r < c->rows; r++)
            is_done = csl_dnnl__conv_row(d, one, to + r * x_row, NULL, pg + r * u.out * c->outputs);
    }
    if (!is_done)
        csl_cpu__conv_grad_input(d, c, w, grad_out, grad_in);
}

/* What weight_gradient works with. */
struct weight_sum {
    struct unfold u;
    uint64_t outputs;
    const float *x, *g;
    struct csl_dnnl__conv *one; /* not of a plain one */
    float *values;              /* the gradient of one row, in whichever order */
    uint64_t count;
};

/* values: room for the gradient of a plain convolution */
static bool weight_sum_of(struct csl_dev *d, const struct csl_conv *c, const float *x,
                          const float *g, float *values, struct weight_sum *s)
{
    *s = (struct weight_sum){
        .u = unfold_of(c->window), .outputs = c->outputs, .x = x, .g = g, .values = values};
    s->count = c->outputs * s->u.taps;
    if (s->u.is_plain)
        return true;
    s->one = csl_dnnl__conv_of(d, c, CSL_DNNL_BACK_TO_WEIGHT, false);
    if (s->one != NULL)
        s->values = csl_dnnl__conv_values(s->one, &s->count);
    return s->one != NULL;
}

/* The gradient of the rows [from, to) into s->values; sum: room for s->count floats. */
static bool weight_gradient(struct csl_dev *d, const struct weight_sum *s, uint64_t from,
                            uint64_t to, float *sum)
{
    const struct unfold *u = &s->u;
    uint64_t x_row = u->in * u->w->channels, y_row = u->out * s->outputs;
    if (u->is_plain) {
        struct csl_gemm g = {.m = s->outputs,
                             .n = u->taps,
                             .k = (to - from) * u->out,
                             .is_a_transposed = true,
                             .alpha = 1};
        return csl_dnnl__gemm(&g, s->g + from * y_row, s->outputs, s->x + from * x_row, u->taps,
                              s->values, u->taps);
    }
    bool is_done = true;
    memset(sum, 0, (size_t)s->count * sizeof(float));
    for (uint64_t r = from; is_done && r < to; r++) {
        is_done = csl_dnnl__conv_row(d, s->one, s->x + r * x_row, NULL, s->g + r * y_row);
        if (to - from > 1)
            csl_dnnl__add_rows(1, s->count, s->values, sum);
    }
    if (to - from != 1)
        memcpy(s->values, sum, (size_t)s->count * sizeof(float));
    return is_done;
}

void csl_dnnl__conv_grad_weight(struct csl_dev *d, const struct csl_conv *c, struct csl_view x,
                                struct csl_view grad_out, float beta, struct csl_view grad_w)
{
    struct unfold u = unfold_of(c->window);
    uint64_t weights = c->outputs * u.taps;
    const float *px = csl_cpu__f32(x, c->rows * u.in * c->window->channels);
    const float *pg = csl_cpu__f32(grad_out, c->rows * u.out * c->outputs);
    float *to = csl_cpu__f32(grad_w, weights);
    struct weight_sum s;
    /* The library's order has at most 15 more channels on either side. */
    uint64_t most = (c->outputs + 15) * csl_window_taps(c->window) * (c->window->channels + 15);
    float *sum = csl_cpu__scratch(d, 2 * most * sizeof(float));
    bool is_done = sum != NULL && weight_sum_of(d, c, px, pg, sum + most, &s) && s.count <= most &&
                   weight_gradient(d, &s, 0, c->rows, sum);
    const float *from = is_done ? s.values : NULL;
    if (is_done && s.one != NULL) {
        is_done = csl_dnnl__conv_give_weights(d, s.one, sum);
        from = sum;
    }
    if (!is_done) {
        csl_cpu__conv_grad_weight(d, c, x, grad_out, beta, grad_w);
        return;
    }
    for (uint64_t i = 0; i < weights; i++)
        to[i] = from[i] + (beta == 0.0f ? 0.0f : beta * to[i]);
}

/* T^2 (in + out) products against T in out (Bu et al. 2023); many positions make the squares of the
 * first too large for the cache as well. */
static bool is_ghost_cheaper(uint64_t positions, uint64_t in, uint64_t out)
{
    return positions <= 1 ||
           (positions * (in + out) < in * out && 2 * positions * positions <= CSL_DNNL_TILE);
}

/* sum_ij (x_i . x_j + bias) (g_i . g_j) */
static bool ghost_norm(const float *x, const float *g, uint64_t positions, uint64_t in,
                       uint64_t out, double bias, float *room, double *norm)
{
    uint64_t squares = positions * positions;
    if (positions == 1) {
        *norm += (csl_dnnl__sumsq(x, in) + bias) * csl_dnnl__sumsq(g, out);
        return true;
    }
    struct csl_gemm gemm = {
        .m = positions, .n = positions, .k = in, .is_b_transposed = true, .alpha = 1};
    if (!csl_dnnl__gemm(&gemm, x, in, x, in, room, positions))
        return false;
    gemm.k = out;
    if (!csl_dnnl__gemm(&gemm, g, out, g, out, room + squares, positions))
        return false;
    double sum = 0;
    for (uint64_t i = 0; i < squares; i++)
        sum += ((double)room[i] + bias) * (double)room[squares + i];
    *norm += sum < 0 ? 0 : sum; /* rounding of products that cancel; NaN stays */
    return true;
}

static double bias_norm(const float *g, uint64_t positions, uint64_t out, float *room)
{
    memset(room, 0, (size_t)out * sizeof(float));
    csl_dnnl__add_rows(positions, out, g, room);
    return csl_dnnl__sumsq(room, out);
}

void csl_dnnl__linear_norms(struct csl_dev *d, const struct csl_linear *l,
                            const struct csl_units *u, struct csl_view x, struct csl_view grad_out,
                            struct csl_view norms)
{
    uint64_t all = u->first[u->count] * l->positions;
    uint64_t most = CSL_DNNL_TILE > l->in * l->out ? CSL_DNNL_TILE : l->in * l->out;
    const float *px = l->in > 0 ? csl_cpu__f32(x, all * l->in) : NULL;
    const float *pg = csl_cpu__f32(grad_out, all * l->out);
    double *to = csl_cpu__f64(norms, u->count), bias = l->has_bias ? 1 : 0;
    float *room = csl_cpu__scratch(d, (most + l->out) * sizeof(float));
    for (uint64_t n = 0; n < u->count; n++) {
        uint64_t from = u->first[n] * l->positions;
        uint64_t positions = u->first[n + 1] * l->positions - from;
        const float *a = l->in > 0 ? px + from * l->in : pg, *g = pg + from * l->out;
        double norm = 0;
        bool is_done = room != NULL;
        if (is_done && l->in == 0) {
            norm = bias * bias_norm(g, positions, l->out, room);
        } else if (is_done && is_ghost_cheaper(positions, l->in, l->out)) {
            is_done = ghost_norm(a, g, positions, l->in, l->out, bias, room, &norm);
        } else if (is_done) {
            struct csl_gemm gemm = {
                .m = l->out, .n = l->in, .k = positions, .is_a_transposed = true, .alpha = 1};
            is_done = csl_dnnl__gemm(&gemm, g, l->out, a, l->in, room, l->in);
            norm = csl_dnnl__sumsq(room, l->in * l->out) +
                   bias * bias_norm(g, positions, l->out, room + most);
        }
        if (is_done) {
            to[n] += norm;
        } else {
            const struct csl_units one = {.count = 1, .first = u->first + n};
            csl_cpu__linear_norms(d, l, &one, x, grad_out,
                                  (struct csl_view){norms.buf, norms.first + n, 1});
        }
    }
}

void csl_dnnl__conv_norms(struct csl_dev *d, const struct csl_conv *c, bool has_bias,
                          const struct csl_units *u, struct csl_view x, struct csl_view grad_out,
                          struct csl_view norms)
{
    struct unfold f = unfold_of(c->window);
    uint64_t most = (c->outputs + 15) * csl_window_taps(c->window) * (c->window->channels + 15);
    const float *px = csl_cpu__f32(x, c->rows * f.in * c->window->channels);
    const float *pg = csl_cpu__f32(grad_out, c->rows * f.out * c->outputs);
    double *to = csl_cpu__f64(norms, u->count), bias = has_bias ? 1 : 0;
    float *sum = csl_cpu__scratch(d, (2 * most + c->outputs + 2 * CSL_DNNL_TILE) * sizeof(float));
    float *room = sum != NULL ? sum + 2 * most + c->outputs : NULL, *cols = room;
    struct weight_sum s = {0};
    bool has_sum = sum != NULL && weight_sum_of(d, c, px, pg, sum + most, &s) && s.count <= most;
    for (uint64_t n = 0; n < u->count; n++) {
        uint64_t at = u->first[n] * f.out, end = u->first[n + 1] * f.out, positions = end - at;
        const float *g = pg + at * c->outputs;
        double norm = 0;
        bool is_done = has_sum;
        if (is_done && positions * f.taps <= CSL_DNNL_TILE &&
            is_ghost_cheaper(positions, f.taps, c->outputs)) {
            is_done = ghost_norm(unfold(&f, px, at, end, cols), g, positions, f.taps, c->outputs,
                                 bias, room + CSL_DNNL_TILE, &norm);
        } else if (is_done) {
            is_done = weight_gradient(d, &s, u->first[n], u->first[n + 1], sum);
            norm = csl_dnnl__sumsq(s.values, s.count) +
                   bias * bias_norm(g, positions, c->outputs, sum + 2 * most);
        }
        if (is_done) {
            to[n] += norm;
        } else {
            const struct csl_units one = {.count = 1, .first = u->first + n};
            csl_cpu__conv_norms(d, c, has_bias, &one, x, grad_out,
                                (struct csl_view){norms.buf, norms.first + n, 1});
        }
    }
}
