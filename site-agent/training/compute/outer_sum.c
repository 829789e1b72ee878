#include "site-agent/training/compute/outer_sum.h"

#include "base/check.h"
#include "base/clones.h"

#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAS_TILES 1
#endif

#define ROUNDER   12582912.0f /* 1.5 * 2^23 */
#define RANGE     4194304.0   /* 2^22: how far an accumulator may move either way */
#define WIDTH_MAX 32u         /* of a tile, floats */
#define PANEL     256u        /* rows of b that are packed at once: 32 KiB */
#define HEIGHT    12u         /* of the tallest tile */

/* Row r alone, in double, where products of floats are exact. */
CSL_CLONES static void add_row(uint64_t n, double a, const float *restrict b, int64_t factor,
                               int64_t *restrict sum)
{
    for (uint64_t j = 0; j < n; j++)
        sum[j] += (int64_t)rint(a * (double)b[j]) * factor;
}

static void add_rows_plain(const struct csl_outer *o, uint64_t from, uint64_t to, int64_t *sum)
{
    for (uint64_t r = from; r < to; r++)
        for (uint64_t i = 0; i < o->m; i++)
            add_row(o->n, (double)o->a[r * o->m + i], o->b + r * o->n, INT64_C(1) << o->shift,
                    sum + i * o->n);
}

void csl_outer_sum_plain(const struct csl_outer *o, int64_t *sum)
{
    CSL_ASSERT(o->shift <= 16);
    add_rows_plain(o, 0, o->rows, sum);
}

#if defined(HAS_TILES)
/* a: [rows, height] and b: [rows, width], packed; z: [height, width] = the sum over rows. */
typedef void tile_fn(uint64_t rows, const float *a, const float *b, int32_t *z);

__attribute__((target("avx512f"))) static void tile_avx512(uint64_t rows, const float *a,
                                                           const float *b, int32_t *z)
{
    const __m512 start = _mm512_set1_ps(ROUNDER);
    const __m512i zero = _mm512_castps_si512(start);
    __m512 acc[12][2];
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        acc[i][0] = acc[i][1] = start;
    for (uint64_t r = 0; r < rows; r++, a += 12, b += 32) {
        __m512 left = _mm512_loadu_ps(b), right = _mm512_loadu_ps(b + 16);
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            __m512 each = _mm512_set1_ps(a[i]);
            acc[i][0] = _mm512_fmadd_ps(each, left, acc[i][0]);
            acc[i][1] = _mm512_fmadd_ps(each, right, acc[i][1]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        for (int h = 0; h < 2; h++) /* neighbours are 1 apart, and so are their bits */
            _mm512_storeu_si512(z + 32 * i + 16 * h,
                                _mm512_sub_epi32(_mm512_castps_si512(acc[i][h]), zero));
}

__attribute__((target("avx2,fma"))) static void tile_avx2(uint64_t rows, const float *a,
                                                          const float *b, int32_t *z)
{
    const __m256 start = _mm256_set1_ps(ROUNDER);
    const __m256i zero = _mm256_castps_si256(start);
    __m256 acc[6][2];
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++)
        acc[i][0] = acc[i][1] = start;
    for (uint64_t r = 0; r < rows; r++, a += 6, b += 16) {
        __m256 left = _mm256_loadu_ps(b), right = _mm256_loadu_ps(b + 8);
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++) {
            __m256 each = _mm256_set1_ps(a[i]);
            acc[i][0] = _mm256_fmadd_ps(each, left, acc[i][0]);
            acc[i][1] = _mm256_fmadd_ps(each, right, acc[i][1]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++)
        for (int h = 0; h < 2; h++) {
            __m256i bits = _mm256_sub_epi32(_mm256_castps_si256(acc[i][h]), zero);
            _mm256_storeu_si256((__m256i *)(void *)(z + 16 * i + 8 * h), bits);
        }
}

struct tiles {
    tile_fn *run; /* NULL: none on this machine */
    uint64_t height, width;
};

static struct tiles tiles_of_machine(void)
{
    if (__builtin_cpu_supports("avx512f"))
        return (struct tiles){tile_avx512, 12, 32};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (struct tiles){tile_avx2, 6, 16};
    return (struct tiles){0};
}

/* Columns [at, at + width) of rows [from, to) of v: [.., cols], 0 behind the last one. */
static void pack(const float *v, uint64_t cols, uint64_t from, uint64_t to, uint64_t at,
                 uint64_t width, float *out)
{
    uint64_t count = cols - at < width ? cols - at : width;
    for (uint64_t r = from; r < to; r++, out += width) {
        memcpy(out, v + r * cols + at, (size_t)count * sizeof(float));
        memset(out + count, 0, (size_t)(width - count) * sizeof(float));
    }
}

CSL_CLONES static void add_tile_row(uint64_t n, const int32_t *restrict z, unsigned shift,
                                    int64_t *restrict sum)
{
    for (uint64_t j = 0; j < n; j++) /* a shift of the bits is a product, negative or not */
        sum[j] += (int64_t)((uint64_t)(int64_t)z[j] << shift);
}

/* Rows [from, to), whose sums no accumulator can leave its range with. room: all of a's columns,
 * packed. */
static void add_rows(const struct csl_outer *o, const struct tiles *t, uint64_t from, uint64_t to,
                     float *room, int64_t *sum)
{
    float panel[PANEL * WIDTH_MAX];
    int32_t z[HEIGHT * WIDTH_MAX];
    uint64_t rows = to - from;
    for (uint64_t i = 0; i < o->m; i += t->height)
        pack(o->a, o->m, from, to, i, t->height, room + i * rows);
    for (uint64_t j = 0; j < o->n; j += t->width) {
        uint64_t cols = o->n - j < t->width ? o->n - j : t->width;
        pack(o->b, o->n, from, to, j, t->width, panel);
        for (uint64_t i = 0; i < o->m; i += t->height) {
            uint64_t high = o->m - i < t->height ? o->m - i : t->height;
            t->run(rows, room + i * rows, panel, z);
            for (uint64_t k = 0; k < high; k++)
                add_tile_row(cols, z + k * t->width, o->shift, sum + (i + k) * o->n + j);
        }
    }
}

uint64_t csl_outer_room(uint64_t rows, uint64_t m)
{
    return (rows < PANEL ? rows : PANEL) * (m + HEIGHT);
}

void csl_outer_sum(const struct csl_outer *o, float *room, int64_t *sum)
{
    struct tiles t = tiles_of_machine();
    CSL_ASSERT(o->shift <= 16);
    for (uint64_t from = 0, to; from < o->rows; from = to) {
        double used = 0;
        for (to = from; to < o->rows && to - from < PANEL; to++) {
            /* rounding adds a half; one more keeps clear of the ends */
            used += o->most[to] + 1;
            if (!(used < RANGE - 1))
                break;
        }
        if (to == from) /* one row alone is too large */
            add_rows_plain(o, from, ++to, sum);
        else if (t.run == NULL)
            add_rows_plain(o, from, to, sum);
        else
            add_rows(o, &t, from, to, room, sum);
    }
}
#else
uint64_t csl_outer_room(uint64_t rows, uint64_t m)
{
    (void)rows;
    (void)m;
    return 1;
}

void csl_outer_sum(const struct csl_outer *o, float *room, int64_t *sum)
{
    (void)room;
    csl_outer_sum_plain(o, sum);
}
#endif
