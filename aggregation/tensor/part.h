/* aggregation/tensor/part.h - the broadcast of a study with inputs: a site downloads the blocks of
 * the model that it has training patients for, and no others.
 *
 * The digest that a task names is SHA-256 over the SHA-256 of every block of every broadcast
 * vector, in order (vector, then block). A download is these digests, 32 bytes each, then the
 * site's blocks as float32, in the same order. So a site knows that what it has belongs to the same
 * model as what it has not, and masks bind all sites to one model. (Merkle 1987, with a tree of one
 * level.) */
#ifndef CSL_TENSOR_PART_H
#define CSL_TENSOR_PART_H
#include "aggregation/tensor/schema.h"

/* Bytes of the digests in front. */
static inline uint64_t csl_part_head_bytes(const struct csl_schema *s, uint32_t vectors)
{
    return (uint64_t)vectors * s->block_count * CSL_DIGEST_BYTES;
}

/* Of a download by a site with these blocks. */
static inline uint64_t csl_part_bytes(const struct csl_schema *s, uint32_t vectors, const bool *has)
{
    uint64_t total = csl_part_head_bytes(s, vectors);
    for (uint32_t b = 0; b < s->block_count; b++)
        total += has[b] ? vectors * s->blocks[b].count * sizeof(float) : 0;
    return total;
}

#endif
