#include "privacy/dp/pld.h"

#include "base/mem.h"
#include "privacy/dp/numeric.h"

#include <math.h>

/* One cell, or a run of them, as one direction sees it: `main` is the mass of the distribution
 * whose losses count, P for "remove" and Q for "add". */
struct masses {
    double main, other, main_error, other_error;
};

/* Cell i of the direction, in ascending order of its loss. */
static struct masses cell(const struct csl_dp_cells *c, enum csl_dp_direction direction, size_t i)
{
    if (direction == CSL_DP_REMOVE)
        return (struct masses){c->p[i], c->q[i], c->p_error[i], c->q_error[i]};
    i = c->count - 1 - i;
    return (struct masses){c->q[i], c->p[i], c->q_error[i], c->p_error[i]};
}

static struct masses plus(struct masses a, struct masses b)
{
    return (struct masses){a.main + b.main, a.other + b.other, a.main_error + b.main_error,
                           a.other_error + b.other_error};
}

static enum csl_code allocate(struct csl_dp_pld *d, double first, double step, size_t count,
                              struct csl_err *err)
{
    double *mass = csl_alloc_array(count, sizeof(double));
    if (mass == NULL)
        return CSL_FAIL(err, CSL_E_NOMEM, "pld: no memory for %zu grid points", count);
    *d = (struct csl_dp_pld){.first = first, .step = step, .count = count, .mass = mass};
    return CSL_OK;
}

void csl_dp_pld_release(struct csl_dp_pld *d)
{
    csl_free(d->mass);
    *d = (struct csl_dp_pld){0};
}

/* Loss where the first cell of the direction begins. */
static double first_loss(const struct csl_dp_cells *c, enum csl_dp_direction direction)
{
    return direction == CSL_DP_REMOVE ? c->base : -(c->base + (double)c->count * c->width);
}

enum csl_code csl_dp_pld_upper(struct csl_dp_pld *out, const struct csl_dp_cells *cells,
                               enum csl_dp_direction direction, struct csl_err *err)
{
    double step = 2.0 * cells->width, first = first_loss(cells, direction);
    struct csl_dp_pld d;
    enum csl_code code = allocate(&d, first, step, cells->count / 2 + 1, err);
    if (code != CSL_OK)
        return code;
    for (size_t k = 0; k + 1 < d.count; k++) {
        struct masses m = plus(cell(cells, direction, 2 * k), cell(cells, direction, 2 * k + 1));
        double ratio = exp(first + (double)k * step), whole = -expm1(-step);
        /* to the upper point b, to the lower main - b: other = b e^-(g+h) + (main - b) e^-g */
        double error = 2.0 * CSL_DP_ULP * (2.0 + fabs(first)) * m.main;
        error = (error + m.main_error + ratio * m.other_error) / whole;
        double up = (m.main - ratio * m.other) / whole + error, all = m.main + m.main_error;
        if (!(up <= all)) /* also where the ratio overflowed */
            up = all;
        up = fmax(up, 0.0);
        d.mass[k] += all - up;
        d.mass[k + 1] += up;
    }
    bool is_remove = direction == CSL_DP_REMOVE;
    d.mass[0] += is_remove ? cells->p_low : cells->q_high; /* a lower loss, rounded up */
    d.infinity = is_remove ? cells->p_high : cells->q_low;
    *out = d;
    return CSL_OK;
}

/* A lower distribution while it is built. The cells are walked upwards in log P/Q for both
 * directions, from the steep end that carries the bulk. Grid point t_k = first + k * step has the
 * place k + 1: there is one place below the first point and one above the last. */
struct merge {
    enum csl_dp_direction direction;
    double *place;
    size_t places, next; /* next: k of the point that the pool is to reach */
    double first, step;
    double p, q, p_error, q_error; /* the pool: merged cells and the last one's share */
};

/* The pool's ratio is t_next but for rounding errors: its mass goes there, and as much of it as
 * rounding may have flattered one step down in the direction's loss. */
static void emit(struct merge *m, double ratio)
{
    bool is_remove = m->direction == CSL_DP_REMOVE;
    double main = is_remove ? m->p - m->p_error : m->q - m->q_error;
    double moved = is_remove ? m->p_error + ratio * m->q_error : m->q_error + m->p_error / ratio;
    double rounded = 4.0 * CSL_DP_ULP * (2.0 + fabs(m->first)) * (is_remove ? m->p : m->q);
    main = fmax(main, 0.0);
    moved = fmin(main, (moved + rounded) / -expm1(-m->step));
    size_t at = m->next + 1;
    m->place[at] += main - moved;
    m->place[is_remove ? at - 1 : at + 1] += moved;
    m->p = m->q = m->p_error = m->q_error = 0.0;
    m->next++;
}

/* Adds `share` of a cell to the pool. */
static void add(struct merge *m, const struct csl_dp_cells *c, size_t i, double share)
{
    m->p += share * c->p[i];
    m->q += share * c->q[i];
    m->p_error += share * c->p_error[i];
    m->q_error += share * c->q_error[i];
}

static void pour(struct merge *m, const struct csl_dp_cells *c, size_t i)
{
    double left = 1.0; /* of the cell */
    while (left > 0.0) {
        double ratio = exp(m->first + (double)m->next * m->step);
        double p = m->p + left * c->p[i], q = m->q + left * c->q[i];
        if (!(p > ratio * q) || m->next + 3 >= m->places) {
            add(m, c, i, left);
            return;
        }
        double missing = ratio * m->q - m->p, gain = c->p[i] - ratio * c->q[i];
        if (m->p > 0.0 && missing >= 0.0 && gain > 0.0) {
            double share = fmin(left, missing / gain);
            add(m, c, i, share);
            left -= share;
            emit(m, ratio);
        } else {
            m->next++; /* what is there lies above this point already */
        }
    }
}

enum csl_code csl_dp_pld_lower(struct csl_dp_pld *out, const struct csl_dp_cells *cells,
                               enum csl_dp_direction direction, struct csl_err *err)
{
    size_t start = 0;
    while (start + 1 < cells->count && !(cells->p[start] > 0.0 && cells->q[start] > 0.0))
        start++;
    struct merge m = {.direction = direction,
                      .places = cells->count / 2 + 5,
                      .first = log(cells->p[start]) - log(cells->q[start]),
                      .step = 2.0 * cells->width};
    bool is_remove = direction == CSL_DP_REMOVE;
    struct csl_dp_pld d;
    enum csl_code code = allocate(&d, m.first - m.step, m.step, m.places, err);
    if (code != CSL_OK)
        return code;
    m.place = d.mass;
    for (size_t i = start; i < cells->count; i++)
        pour(&m, cells, i);
    double ratio = exp(m.first + (double)m.next * m.step);
    if (is_remove) { /* what is left, and what lies above, lies above the last point: down to it */
        m.place[m.next] += fmax(0.0, m.p - m.p_error) + cells->p_high;
    } else {
        if (m.p <= ratio * m.q) /* a loss of -t_next at least */
            m.place[m.next + 1] += fmax(0.0, m.q - m.q_error);
        m.place[1] += cells->q_low;
        for (size_t i = 0; i < d.count / 2; i++) {
            double other = d.mass[i];
            d.mass[i] = d.mass[d.count - 1 - i];
            d.mass[d.count - 1 - i] = other;
        }
        d.first = -(m.first + (double)(m.places - 2) * m.step);
    }
    *out = d;
    return CSL_OK;
}
