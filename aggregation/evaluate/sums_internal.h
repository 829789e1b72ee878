/* aggregation/evaluate/sums_internal.h - places in the vector of counts, and the rates that figures
 * and gaps share. Inside this folder only. */
#ifndef CSL_SUMS_INTERNAL_H
#define CSL_SUMS_INTERNAL_H
#include "aggregation/evaluate/sums.h"

/* Before the confusion counts. */
enum { CSL_SUMS__SITES, CSL_SUMS__PATIENTS, CSL_SUMS__HEAD };

static inline uint32_t csl_sums__heads(const struct csl_sums *s)
{
    return s->classes == 2 ? 1 : s->classes;
}
/* [classes, classes] */
static inline uint64_t *csl_sums__confusion(const struct csl_sums *s)
{
    return s->counts + CSL_SUMS__HEAD;
}
/* [bins] of a head; its class is the head itself, or 1 in a binary task */
static inline uint64_t *csl_sums__histogram(const struct csl_sums *s, uint32_t head, bool is_class)
{
    size_t at = CSL_SUMS__HEAD + (size_t)s->classes * s->classes;
    return s->counts + at + (2 * (size_t)head + is_class) * s->bins;
}
/* [bins]; several classes only */
static inline uint64_t *csl_sums__confidence(const struct csl_sums *s, bool is_right)
{
    return csl_sums__histogram(s, s->classes, is_right);
}

/* Per class: its records, how often it was decided, how often rightly. */
struct csl_sums__tally {
    uint64_t n, labelled[CSL_CLASSES_MAX], decided[CSL_CLASSES_MAX], right[CSL_CLASSES_MAX];
};
static inline void csl_sums__tally_add(struct csl_sums__tally *t, uint32_t label, uint32_t decision,
                                       uint64_t n)
{
    t->n += n;
    t->labelled[label] += n;
    t->decided[decision] += n;
    t->right[label] += label == decision ? n : 0;
}
void csl_sums__tally_of(const struct csl_sums *s, struct csl_sums__tally *out);

/* A record rebuilt from the counts; what resamples are drawn from. */
struct csl_sums__record {
    uint8_t label, decision, group;
};
/* Appends the records of s, in the order of its confusion counts; returns the next free place. */
uint64_t csl_sums__rebuild(const struct csl_sums *s, uint8_t group, struct csl_sums__record *out,
                           uint64_t at);

#endif
