#include "aggregation/strategy/rows.h"

#include <string.h>

static const struct csl_strategy_ops no_more = {.name = NULL};

const struct csl_strategy_ops *const csl_strategies[] = {
    &csl_strategy__fedavg,     &csl_strategy__fedprox,
    &csl_strategy__fednova,    &csl_strategy__fedavgm,
    &csl_strategy__fedadam,    &csl_strategy__fedyogi,
    &csl_strategy__fedadagrad, &csl_strategy__scaffold,
    &csl_strategy__cyclic,     &csl_strategy__qffl,
    &csl_strategy__term,       &csl_strategy__afl,
    &csl_strategy__median,     &csl_strategy__trimmed_mean,
    &csl_strategy__krum,       &csl_strategy__multi_krum,
    &csl_strategy__bulyan,     &csl_strategy__geometric_median,
    &csl_strategy__fedbuff,    &no_more,
};

const struct csl_strategy_ops *csl_strategy_find(const char *name)
{
    for (size_t i = 0; csl_strategies[i]->name != NULL; i++)
        if (strcmp(csl_strategies[i]->name, name) == 0)
            return csl_strategies[i];
    return NULL;
}
