/* simulations/few_shot.h - a site of which only a few patients have a label. */
#ifndef CSL_SIM_FEW_SHOT_H
#define CSL_SIM_FEW_SHOT_H
#include "site-agent/data/dataset.h"

/* *out has of each domain at most `per_class` training patients of each class (survival: with and
 * without an event), drawn by the seed, and no other split; a patient is of the class of its first
 * record. More of a class hold all that fewer hold. used: [domain_count] how many patients. Values
 * stay scaled as in `site`. CSL_E_UNSUPPORTED: a study with inputs. */
enum csl_code csl_few_draw(struct csl_dataset **out, const struct csl_dataset *site,
                           uint32_t per_class, uint64_t seed, uint32_t *used,
                           struct csl_err *err) CSL_MUST_CHECK;

#endif
