#include "privacy/secagg/block_plan.h"

#include "base/check.h"
#include "base/le.h"
#include "privacy/crypto/sha256.h"

#include <math.h>

#define ONE_Q32 0x1p32

static uint8_t rotation_of(uint64_t count)
{
    uint8_t log2 = CSL_ROTATION_LOG2_MIN;
    while (log2 < CSL_ROTATION_LOG2 && (UINT64_C(1) << log2) < count)
        log2++;
    return log2;
}

/* As encode.h packs what is not rotated: slices that begin words of their own, the lanes that they
 * leave empty are entries too. */
static uint64_t padded(uint64_t count, uint32_t lanes)
{
    uint64_t slice = UINT64_C(1) << CSL_ROTATION_LOG2, rest = count & (slice - 1);
    uint64_t words =
        (count >> CSL_ROTATION_LOG2) * ((slice + lanes - 1) / lanes) + (rest + lanes - 1) / lanes;
    return words * lanes;
}

/* All but the levels, which depend on the sites. */
static void shape(const struct csl_secagg_choice *c, uint64_t count, struct csl_secagg_block *row)
{
    row->entries = count;
    row->lane_bits = (uint8_t)c->lane_bits;
    row->levels = 0;
    row->clip_q32 = INT64_C(1) << 32;
    row->rotation_log2 = 0;
    if (c->lane_bits == 64)
        return;
    CSL_ASSERT(c->clip >= 0x1p-20 && c->clip <= 0x1p20);
    row->clip_q32 = (int64_t)rint(c->clip * ONE_Q32);
    row->rotation_log2 = c->is_rotated ? rotation_of(count) : 0;
    uint64_t last = (UINT64_C(1) << row->rotation_log2) - 1;
    row->entries = c->is_rotated ? (count + last) & ~last : padded(count, 64 / c->lane_bits);
}

uint64_t csl_secagg_plan_words(const struct csl_secagg_choice *c, uint64_t count)
{
    struct csl_secagg_block row = {.id = 0};
    shape(c, count, &row);
    return csl_secagg_row_words(&row);
}

enum csl_code csl_secagg_plan_block(const struct csl_secagg_choice *c, uint64_t count,
                                    uint32_t sites, struct csl_secagg_block *row,
                                    struct csl_err *err)
{
    struct csl_lanes lanes = {.bits = 64};
    if (c->lane_bits != 64) {
        enum csl_code code = csl_lanes_plan(&lanes, c->lane_bits, sites, 0, err);
        if (code != CSL_OK)
            return code;
    }
    shape(c, count, row);
    row->levels = (uint32_t)(2 * lanes.level);
    return CSL_OK;
}

bool csl_secagg_plan_equals(const struct csl_secagg_block *a, const struct csl_secagg_block *b)
{
    return a->entries == b->entries && a->lane_bits == b->lane_bits && a->levels == b->levels &&
           a->clip_q32 == b->clip_q32 && a->rotation_log2 == b->rotation_log2;
}

static void rotation_key(const uint8_t plan_hash[32], const uint8_t model_hash[32], uint64_t round,
                         uint32_t block, uint8_t key[32])
{
    struct csl_sha256 h;
    uint8_t le[12];
    csl_store_le64(le, round);
    csl_store_le32(le + 8, block);
    csl_sha256_init(&h);
    csl_sha256_update(&h, "FSA1 rotation", 13);
    csl_sha256_update(&h, plan_hash, 32);
    csl_sha256_update(&h, model_hash, 32);
    csl_sha256_update(&h, le, sizeof(le));
    csl_sha256_final(&h, key);
}

enum csl_code csl_secagg_plan_encoding(const struct csl_secagg_block *row, uint64_t count,
                                       uint32_t sites, const uint8_t plan_hash[32],
                                       const uint8_t model_hash[32], uint64_t round,
                                       struct csl_encoding *out, struct csl_err *err)
{
    double clip = (double)row->clip_q32 / ONE_Q32;
    double rms = clip / sqrt((double)row->entries);
    struct csl_encoding e = {.count = count, .clip_l2 = clip, .clip_entry = clip};
    e.is_rotated = row->rotation_log2 > 0;
    e.rotation.size_log2 = e.is_rotated ? row->rotation_log2 : CSL_ROTATION_LOG2;
    if (e.is_rotated && CSL_SECAGG_CLIP_RMS * rms < clip)
        e.clip_entry = CSL_SECAGG_CLIP_RMS * rms;
    rotation_key(plan_hash, model_hash, round, row->id, e.rotation.key);
    enum csl_code code = csl_lanes_plan(&e.lanes, row->lane_bits, sites, 0, err);
    if (code == CSL_OK)
        code = csl_encoding_plan(&e, err);
    if (code != CSL_OK)
        return code;
    CSL_ASSERT(csl_encoding_words(&e) == csl_secagg_row_words(row));
    *out = e;
    return CSL_OK;
}
