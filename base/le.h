/* base/le.h - little-endian loads and stores on unaligned bytes. */
#ifndef CSL_BASE_LE_H
#define CSL_BASE_LE_H
#include <stdint.h>
#include <string.h>

_Static_assert(
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
    "tensors travel as little-endian float32; a big-endian host needs a swapping loader");

static inline void csl_store_le16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline void csl_store_le32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline void csl_store_le64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}
static inline uint16_t csl_load_le16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}
static inline uint32_t csl_load_le32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}
static inline uint64_t csl_load_le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

#endif
