/* Steps of a study with inputs: of all its domains at once, on the site's patients whatever they
 * have. A step's loss is the mean over the batch's patients of the sum over domains of the mean
 * over the patient's records that count there; a patient without any in a domain adds nothing to
 * it. */
#include "site-agent/training/fused_train.h"
#include "base/check.h"
#include "base/mem.h"

#include <math.h>

uint64_t csl_fused_seed__(uint64_t seed, const char *site, uint64_t position)
{
    struct csl_rng rng;
    csl_rng_init_named(&rng, seed, "training/modality-dropout", site, position);
    uint64_t out = csl_rng_u64(&rng);
    csl_rng_wipe(&rng);
    return out;
}

/* The losses of the `steps` steps up to `done` come back. */
static enum csl_code collect(struct csl_fused_run *run, uint64_t done, uint64_t steps,
                             struct csl_err *err)
{
    struct csl_trainer *t = run->fused->t;
    double losses[CSL_LOSS_SLOTS];
    uint32_t domains = t->study->domain_count;
    if (run->is_loss_secret)
        return t->ops->sync(t->dev, err);
    t->ops->get(t->dev, losses, t->losses, 0, steps * domains * sizeof(double));
    enum csl_code code = t->ops->sync(t->dev, err);
    for (uint64_t i = 0; code == CSL_OK && i < steps * domains; i++) {
        if (!run->fused->runs[i % domains])
            continue;
        run->loss_sum += losses[i];
        if (!isfinite(losses[i]))
            code = CSL_FAIL(
                err, CSL_E_INVAL,
                "%s %llu, domain %s, step %llu of %llu: the loss is not finite; a value "
                "of the data or of the model is not, or the learning rate is too high",
                run->what, (unsigned long long)run->number, t->study->domains[i % domains].id,
                (unsigned long long)(done - steps + i / domains + 1),
                (unsigned long long)run->steps);
    }
    return code;
}

enum csl_code csl_fused_loop__(struct csl_fused_run *run, struct csl_err *err)
{
    struct csl_fused *f = run->fused;
    struct csl_trainer *t = f->t;
    uint64_t domains = t->study->domain_count, slot = 0;
    enum csl_code code = csl_fused_fit(f, run->batches.rows_max, err);
    f->pass.is_training = true;
    for (uint64_t k = 0; code == CSL_OK && k < run->steps; k++) {
        code = csl_trainer__check_cancelled(run->cancelled, run->cancelled_ctx, run->what,
                                            run->number, k, err);
        if (code != CSL_OK)
            break;
        struct csl_batch b = csl_batches_at(&run->batches, run->position + k);
        f->pass.seed = csl_fused_seed__(run->seed, run->site, run->position + k);
        csl_fused_load(f, b.rows, b.count);
        csl_fused_forward(f);
        csl_fused_backward(f, 1.0 / (double)b.patients, slot++ * domains);
        csl_fused_grad_part(f, 0, b.count);
        csl_fused_update__(run, k);
        if ((slot + 1) * domains > CSL_LOSS_SLOTS || k + 1 == run->steps) {
            code = collect(run, k + 1, slot, err);
            slot = 0;
        }
    }
    return code;
}

void csl_fused_update__(struct csl_fused_run *run, uint64_t k)
{
    struct csl_trainer *t = run->fused->t;
    double rate = csl_schedule_rate(&run->schedule, run->learning_rate, run->position + k);
    for (uint32_t i = 0; i < t->net_count; i++) {
        if (!run->fused->trains[i] || run->is_frozen[i])
            continue;
        run->optimisers[i].update.rate = rate;
        csl_optimiser_step(&run->optimisers[i], t->ops, t->dev);
    }
}

enum csl_code csl_fused_run_open__(struct csl_fused_run *run, struct csl_fused *f,
                                   const struct csl_optimiser_config *c, const char *purpose,
                                   uint32_t batch_patients, struct csl_err *err)
{
    enum csl_code code = csl_batches_init(&run->batches, &f->all, purpose, "all", 2, run->site,
                                          run->seed, batch_patients, err);
    run->fused = f;
    for (uint32_t i = 0; code == CSL_OK && i < f->t->net_count; i++)
        if (f->trains[i])
            code = csl_trainer__optimiser(f->t, &f->t->nets[i], c, &run->optimisers[i], err);
    return code;
}

void csl_fused_run_close__(struct csl_fused_run *run)
{
    csl_batches_release(&run->batches);
}
