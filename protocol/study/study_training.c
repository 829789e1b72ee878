/* protocol/study/study_training.c - training and baselines of a study. */
#include "base/check.h"
#include "base/str.h"
#include "protocol/study/study_internal.h"

#include <string.h>

#define STEPS_MAX  1000000
#define EPOCHS_MAX 1000000

static const char *const optimizer_names[] = {"sgd", "momentum", "adam", "adamw", NULL};

const char *csl_optimizer_name(enum csl_optimizer_kind kind)
{
    CSL_ASSERT(kind <= CSL_OPT_KIND_ADAMW);
    return optimizer_names[kind];
}

struct raw_local {
    int optimizer;
    double learning_rate, momentum, beta1, beta2, epsilon, weight_decay, l2, proximal_mu;
    double effective_steps;
    const struct csl_yaml_node *schedule;
    char batch[16];
    uint32_t steps, epochs;
};
struct raw_training {
    const struct csl_yaml_node *local;
};
struct raw_baselines {
    int optimizer;
    double learning_rate, l2, weight_decay;
    const struct csl_yaml_node *schedule;
    char batch[16];
    uint32_t epochs;
};

#define AT(type, field)   .offset = offsetof(struct type, field)
#define TEXT(type, field) AT(type, field), .size = sizeof(((struct type *)0)->field)

static const struct csl_option training_rows[] = {
    {.name = "local",
     .type = CSL_OPT_NODE,
     AT(raw_training, local),
     .help = "What a site does in one round."},
    CSL_OPTION_END,
};
static const struct csl_option local_rows[] = {
    {.name = "optimizer",
     .type = CSL_OPT_ENUM,
     AT(raw_local, optimizer),
     .choices = optimizer_names,
     .fallback = "sgd",
     .help = "How a step is taken."},
    {.name = "learning_rate",
     .type = CSL_OPT_F64,
     AT(raw_local, learning_rate),
     .min = 0,
     .max = 1000,
     .help = "Size of a step."},
    {.name = "momentum",
     .type = CSL_OPT_F64,
     AT(raw_local, momentum),
     .min = 0,
     .max = 0.999999,
     .fallback = "0.9",
     .help = "Share of the last step that is kept (optimizer momentum)."},
    {.name = "beta1",
     .type = CSL_OPT_F64,
     AT(raw_local, beta1),
     .min = 0,
     .max = 0.999999,
     .fallback = "0.9",
     .help = "Memory of the mean (optimizers adam and adamw)."},
    {.name = "beta2",
     .type = CSL_OPT_F64,
     AT(raw_local, beta2),
     .min = 0,
     .max = 0.99999999,
     .fallback = "0.999",
     .help = "Memory of the mean square (optimizers adam and adamw)."},
    {.name = "epsilon",
     .type = CSL_OPT_F64,
     AT(raw_local, epsilon),
     .min = 0,
     .max = 1,
     .fallback = "1e-8",
     .help = "Added to the root of the mean square (optimizers adam and adamw)."},
    {.name = "weight_decay",
     .type = CSL_OPT_F64,
     AT(raw_local, weight_decay),
     .min = 0,
     .max = 1000,
     .fallback = "0.01",
     .help = "A step also takes learning rate times this off every weight (optimizer adamw)."},
    {.name = "schedule",
     .type = CSL_OPT_NODE,
     AT(raw_local, schedule),
     .help = "How the learning rate changes over the steps of all rounds."},
    {.name = "batch_patients",
     .type = CSL_OPT_STR,
     TEXT(raw_local, batch),
     .unit = "patients",
     .help = "Patients of one step, or full."},
    {.name = "steps",
     .type = CSL_OPT_U32,
     AT(raw_local, steps),
     .min = 1,
     .max = STEPS_MAX,
     .fallback = "1",
     .help = "Steps of one round; must be stated, or epochs."},
    {.name = "epochs",
     .type = CSL_OPT_U32,
     AT(raw_local, epochs),
     .min = 1,
     .max = EPOCHS_MAX,
     .fallback = "1",
     .help = "In place of steps: passes over the site's training patients in one round."},
    {.name = "effective_steps",
     .type = CSL_OPT_F64,
     AT(raw_local, effective_steps),
     .min = 0,
     .max = STEPS_MAX,
     .fallback = "0",
     .help = "FedNova: to how many steps of plain sgd each site's update is brought."},
    {.name = "l2",
     .type = CSL_OPT_F64,
     AT(raw_local, l2),
     .min = 0,
     .max = 1e6,
     .fallback = "0",
     .help = "Ridge: l2 / 2 times the squared norm of the weights is added to the mean loss."},
    {.name = "proximal_mu",
     .type = CSL_OPT_F64,
     AT(raw_local, proximal_mu),
     .min = 0,
     .max = 1e6,
     .fallback = "0",
     .help = "FedProx: mu / 2 times the squared distance to the global model is added."},
    CSL_OPTION_END,
};
static const struct csl_option baseline_rows[] = {
    {.name = "optimizer",
     .type = CSL_OPT_ENUM,
     AT(raw_baselines, optimizer),
     .choices = optimizer_names,
     .fallback = "adam",
     .help = "How a step is taken."},
    {.name = "learning_rate",
     .type = CSL_OPT_F64,
     AT(raw_baselines, learning_rate),
     .min = 0,
     .max = 1000,
     .help = "Size of a step."},
    {.name = "batch_patients",
     .type = CSL_OPT_STR,
     TEXT(raw_baselines, batch),
     .unit = "patients",
     .help = "Patients of one step, or full."},
    {.name = "epochs",
     .type = CSL_OPT_U32,
     AT(raw_baselines, epochs),
     .min = 1,
     .max = EPOCHS_MAX,
     .help = "Passes over the training patients."},
    {.name = "l2",
     .type = CSL_OPT_F64,
     AT(raw_baselines, l2),
     .min = 0,
     .max = 1e6,
     .fallback = "0",
     .help = "Ridge, as in training.local."},
    {.name = "weight_decay",
     .type = CSL_OPT_F64,
     AT(raw_baselines, weight_decay),
     .min = 0,
     .max = 1000,
     .fallback = "0.01",
     .help = "As in training.local (optimizer adamw)."},
    {.name = "schedule",
     .type = CSL_OPT_NODE,
     AT(raw_baselines, schedule),
     .help = "As in training.local, over the steps of all epochs."},
    CSL_OPTION_END,
};

enum csl_code csl_study__check_positive(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *section, const char *key,
                                        double value)
{
    if (!(value > 0))
        return csl_yaml_fail(r->err, r->y, csl_study__at(section, key),
                             "found %g; a number above 0 would be right", value);
    return CSL_OK;
}

static enum csl_code read_batch(const struct csl_study_reader *r,
                                const struct csl_yaml_node *section, const char *text,
                                uint32_t *out)
{
    uint64_t v = 0;

    if (strcmp(text, "full") != 0 && (!csl_parse_u64(text, &v) || v < 1 || v > UINT32_MAX))
        return csl_study__found(r, csl_study__at(section, "batch_patients"),
                                "a whole number of patients from 1, or 'full' for all training "
                                "patients in one step,");
    *out = (uint32_t)v;
    return CSL_OK;
}

static enum csl_code refuse_other_optimizers(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *section, int optimizer)
{
    static const char *const momentum_keys[] = {"momentum", NULL};
    static const char *const adam_keys[] = {"beta1", "beta2", "epsilon", NULL};
    static const char *const adamw_keys[] = {"weight_decay", NULL};
    enum csl_code code = CSL_OK;

    if (optimizer != CSL_OPT_KIND_MOMENTUM)
        code = csl_study__refuse_keys(r, section, momentum_keys, "only optimizer: momentum has it");
    if (code == CSL_OK && optimizer != CSL_OPT_KIND_ADAM && optimizer != CSL_OPT_KIND_ADAMW)
        code =
            csl_study__refuse_keys(r, section, adam_keys, "only optimizers adam and adamw have it");
    if (code == CSL_OK && optimizer != CSL_OPT_KIND_ADAMW)
        code = csl_study__refuse_keys(r, section, adamw_keys, "only optimizer: adamw has it");
    return code;
}

static enum csl_code check_steps(const struct csl_study_reader *r,
                                 const struct csl_yaml_node *local)
{
    static const char *const steps[] = {"steps", NULL};

    if (csl_yaml_get(local, "epochs"))
        return csl_study__refuse_keys(r, local, steps, "'epochs' says how many");
    if (csl_yaml_get(local, "steps"))
        return CSL_OK;
    return csl_yaml_fail(r->err, r->y, local, "key 'steps' is missing");
}

enum csl_code csl_study__read_training(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root,
                                       const struct csl_yaml_node *section)
{
    struct csl_local_training *t = &r->s->local;
    struct raw_training outer = {0};
    struct raw_local raw = {0};
    enum csl_code code = csl_study__section(r, training_rows, &outer, root, section, "training");

    if (code == CSL_OK)
        code = csl_study__section(r, local_rows, &raw, section ? section : root, outer.local,
                                  section ? "local" : "training");
    if (code == CSL_OK)
        code = csl_study__check_positive(r, outer.local, "learning_rate", raw.learning_rate);
    if (code == CSL_OK)
        code = refuse_other_optimizers(r, outer.local, raw.optimizer);
    if (code == CSL_OK)
        code = check_steps(r, outer.local);
    if (code == CSL_OK)
        code = csl_study__check_positive(r, outer.local, "epsilon", raw.epsilon);
    if (code == CSL_OK)
        code = read_batch(r, outer.local, raw.batch, &t->batch_patients);
    if (code == CSL_OK)
        code = csl_study__read_schedule(r, outer.local, raw.schedule, &t->schedule);
    if (code != CSL_OK)
        return code;
    t->optimizer = (enum csl_optimizer_kind)raw.optimizer;
    t->learning_rate = raw.learning_rate;
    t->momentum = raw.momentum;
    t->beta1 = raw.beta1;
    t->beta2 = raw.beta2;
    t->epsilon = raw.epsilon;
    t->weight_decay = t->optimizer == CSL_OPT_KIND_ADAMW ? raw.weight_decay : 0;
    t->steps = csl_yaml_get(outer.local, "steps") ? raw.steps : 0;
    t->epochs = csl_yaml_get(outer.local, "epochs") ? raw.epochs : 0;
    t->effective_steps = raw.effective_steps;
    t->l2 = raw.l2;
    t->proximal_mu = raw.proximal_mu;
    return CSL_OK;
}

enum csl_code csl_study__read_baselines(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *parent,
                                        const struct csl_yaml_node *section, const char *key,
                                        struct csl_baseline *out)
{
    struct csl_baseline b = {.enabled = true};
    struct raw_baselines raw = {0};
    enum csl_code code = csl_study__section(r, baseline_rows, &raw, parent, section, key);

    if (code == CSL_OK)
        code = csl_study__check_positive(r, section, "learning_rate", raw.learning_rate);
    if (code == CSL_OK)
        code = read_batch(r, section, raw.batch, &b.batch_patients);
    if (code == CSL_OK)
        code = refuse_other_optimizers(r, section, raw.optimizer);
    if (code == CSL_OK)
        code = csl_study__read_schedule(r, section, raw.schedule, &b.schedule);
    if (code != CSL_OK)
        return code;
    b.optimizer = (enum csl_optimizer_kind)raw.optimizer;
    b.learning_rate = raw.learning_rate;
    b.l2 = raw.l2;
    b.weight_decay = b.optimizer == CSL_OPT_KIND_ADAMW ? raw.weight_decay : 0;
    b.epochs = raw.epochs;
    *out = b;
    return CSL_OK;
}
