/* site-agent/training/layers/inside.h - what the layers share. */
#ifndef CSL_LAYERS_INSIDE_H
#define CSL_LAYERS_INSIDE_H
#include "site-agent/training/layers/layers.h"

static inline uint64_t csl_layer__positions(const struct csl_layer *l)
{
    return l->positions == 0 ? 1 : l->positions;
}

/* `count` parameters from element `first` of the weights or of the gradient */
static inline struct csl_view csl_layer__params(struct csl_cbuf *flat, uint64_t first,
                                                uint64_t count)
{
    return (struct csl_view){flat, first, count};
}

/* The first `count` values of v, which may have room for more rows than the batch has. */
static inline struct csl_view csl_layer__part(struct csl_view v, uint64_t count)
{
    v.count = count;
    return v;
}

/* grad_out = scale_r * grad_out_r, when there is a scale */
static inline void csl_layer__scale(const struct csl_layer *l, const struct csl_pass *p,
                                    struct csl_view scale, struct csl_view grad_out)
{
    if (scale.buf != NULL)
        p->ops->scale_rows(p->dev, p->rows, l->out, scale, grad_out, grad_out);
}

#endif
