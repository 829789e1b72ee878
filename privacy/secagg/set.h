/* privacy/secagg/set.h - a set of places in a sorted list of sites (or of blocks), as the bitmap
 * that messages carry: place i is bit i % 8 of byte i / 8. */
#ifndef CSL_SECAGG_SET_H
#define CSL_SECAGG_SET_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    CSL_SECAGG_SITES_MAX = 1024,
    CSL_SECAGG_SET_BYTES = CSL_SECAGG_SITES_MAX / 8,
    CSL_SECAGG_COMPLETE_MAX = 128 /* sites: every graph is complete to here */
};

struct csl_secagg_set {
    uint8_t bits[CSL_SECAGG_SET_BYTES];
};

static inline bool csl_secagg_set_has(const struct csl_secagg_set *s, uint32_t place)
{
    return place < CSL_SECAGG_SITES_MAX && (s->bits[place / 8] >> (place % 8) & 1) != 0;
}
static inline void csl_secagg_set_put(struct csl_secagg_set *s, uint32_t place)
{
    s->bits[place / 8] = (uint8_t)(s->bits[place / 8] | 1u << (place % 8));
}
static inline uint32_t csl_secagg_set_count(const struct csl_secagg_set *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < CSL_SECAGG_SET_BYTES; i++)
        n += (uint32_t)__builtin_popcount(s->bits[i]);
    return n;
}
static inline bool csl_secagg_set_equal(const struct csl_secagg_set *a,
                                        const struct csl_secagg_set *b)
{
    return memcmp(a->bits, b->bits, sizeof(a->bits)) == 0;
}
static inline bool csl_secagg_set_within(const struct csl_secagg_set *a,
                                         const struct csl_secagg_set *b)
{
    for (uint32_t i = 0; i < CSL_SECAGG_SET_BYTES; i++)
        if ((a->bits[i] & ~b->bits[i]) != 0)
            return false;
    return true;
}
static inline struct csl_secagg_set csl_secagg_set_both(const struct csl_secagg_set *a,
                                                        const struct csl_secagg_set *b)
{
    struct csl_secagg_set r;
    for (uint32_t i = 0; i < CSL_SECAGG_SET_BYTES; i++)
        r.bits[i] = a->bits[i] & b->bits[i];
    return r;
}
/* How many members come before a place. */
static inline uint32_t csl_secagg_set_rank(const struct csl_secagg_set *s, uint32_t place)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < place / 8; i++)
        n += (uint32_t)__builtin_popcount(s->bits[i]);
    return n + (uint32_t)__builtin_popcount(s->bits[place / 8] & ((1U << place % 8) - 1));
}
/* Bytes of the bitmap of a list of n. */
static inline uint32_t csl_secagg_set_bytes(uint32_t n)
{
    return (n + 7) / 8;
}

#endif
