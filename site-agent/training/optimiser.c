#include "site-agent/training/optimiser.h"

static enum csl_update_kind kind_of(enum csl_optimizer_kind kind)
{
    switch (kind) {
    case CSL_OPT_KIND_MOMENTUM:
        return CSL_UPDATE_MOMENTUM;
    case CSL_OPT_KIND_ADAM:
    case CSL_OPT_KIND_ADAMW:
        return CSL_UPDATE_ADAM;
    case CSL_OPT_KIND_SGD:
        break;
    }
    return CSL_UPDATE_SGD;
}

uint32_t csl_optimiser_moments(enum csl_optimizer_kind kind)
{
    switch (kind) {
    case CSL_OPT_KIND_MOMENTUM:
        return 1;
    case CSL_OPT_KIND_ADAM:
    case CSL_OPT_KIND_ADAMW:
        return 2;
    case CSL_OPT_KIND_SGD:
        break;
    }
    return 0;
}

void csl_optimiser_init(struct csl_optimiser *o, const struct csl_optimiser_config *c)
{
    *o = (struct csl_optimiser){
        .update = {.kind = kind_of(c->kind),
                   .rate = c->learning_rate,
                   .momentum = c->momentum,
                   .beta1 = c->beta1,
                   .beta2 = c->beta2,
                   .epsilon = c->epsilon,
                   .l2 = c->l2,
                   .decay = c->decay},
        .power1 = 1,
        .power2 = 1,
    };
}

void csl_optimiser_step(struct csl_optimiser *o, const struct csl_compute_ops *ops,
                        struct csl_dev *dev)
{
    if (o->update.kind == CSL_UPDATE_ADAM) {
        o->power1 *= o->update.beta1;
        o->power2 *= o->update.beta2;
        o->update.correction1 = 1 - o->power1;
        o->update.correction2 = 1 - o->power2;
    }
    ops->update(dev, &o->update);
}
