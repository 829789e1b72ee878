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
#define PANEL     256u        /* rows that are packed at once */
#define HEIGHT    12u         /* of the tallest tile */

/* to: [n] = odd significands of scale * from; in float32 where that cannot leave its range. */
static inline void operands(uint64_t n, const float *restrict from, double scale,
                            float *restrict to)
{
    float near = (float)scale;
    if (scale > 0x1p-100 && scale < 0x1p100) {
        for (uint64_t i = 0; i < n; i++)
            to[i] = csl_outer_odd(from[i] * near);
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        to[i] = csl_outer_odd((float)((double)from[i] * scale));
}

static float operand(float from, double scale)
{
    float to;
    operands(1, &from, scale, &to);
    return to;
}

void csl_outer_sum_plain(const struct csl_outer *o, int64_t *sum)
{
    CSL_ASSERT(o->shift <= 16);
    for (uint64_t r = 0; r < o->rows; r++) {
        if (!(o->scale_a[r] > 0))
            continue;
        for (uint64_t i = 0; i < o->m; i++) {
            double a = (double)operand(o->a[r * o->m + i], o->scale_a[r]);
            for (uint64_t j = 0; j < o->n; j++) {
                double b = (double)operand(o->b[r * o->n + j], o->scale_b[r]);
                sum[i * o->n + j] += (int64_t)rint(a * b) * (INT64_C(1) << o->shift);
            }
        }
    }
}

#if defined(HAS_TILES)
/* a: [rows, height] and b: [rows, width], packed; z: [height, width] += the sum over rows. */
typedef void tile_fn(uint64_t rows, const float *a, const float *b, int32_t *z);

/* In an accumulator neighbours are 1 apart, and so are their bits. */
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
        for (int h = 0; h < 2; h++, z += 16) {
            __m512i sum = _mm512_sub_epi32(_mm512_castps_si512(acc[i][h]), zero);
            _mm512_storeu_si512(z, _mm512_add_epi32(_mm512_loadu_si512(z), sum));
        }
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
        for (int h = 0; h < 2; h++, z += 8) {
            __m256i *at = (__m256i *)(void *)z;
            __m256i sum = _mm256_sub_epi32(_mm256_castps_si256(acc[i][h]), zero);
            _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), sum));
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

/* The operands of columns [at, at + width) of rows [from, to) of v: [.., cols], 0 behind the last
 * column and in rows that add nothing; and the largest of each row. */
CSL_WIDE_CLONES static void pack(const struct csl_outer *o, const float *v, const double *scale,
                                 uint64_t cols, uint64_t from, uint64_t to, uint64_t at,
                                 uint64_t width, float *restrict out, float *restrict most)
{
    uint64_t count = cols - at < width ? cols - at : width;
    for (uint64_t r = from; r < to; r++, out += width) {
        uint64_t filled = o->scale_a[r] > 0 ? count : 0;
        operands(filled, v + r * cols + at, scale[r], out);
        for (uint64_t i = filled; i < width; i++)
            out[i] = 0;
        int32_t largest = 0; /* of floats that are not negative, bits are in their order */
        for (uint64_t i = 0; i < width; i++) {
            int32_t bits;
            memcpy(&bits, &out[i], sizeof(bits));
            bits &= INT32_MAX;
            largest = bits > largest ? bits : largest;
        }
        memcpy(most++, &largest, sizeof(largest));
    }
}

/* How many rows from the first on an accumulator can take for certain: each adds at most the
 * product of its largest values and a half; sums in double are right to far more than the rest that
 * is kept free. */
static uint64_t fitting(uint64_t rows, const float *most_a, const float *most_b)
{
    double used = 0;
    for (uint64_t r = 0; r < rows; r++) {
        used += (double)most_a[r] * (double)most_b[r] + 1;
        if (!(used < RANGE - 1))
            return r;
    }
    return rows;
}

/* sum: [high, wide] of rows n apart */
CSL_WIDE_CLONES static void empty_tile(uint64_t high, uint64_t wide, const int32_t *restrict z,
                                       uint64_t width, unsigned shift, int64_t *restrict sum,
                                       uint64_t n)
{
    for (uint64_t i = 0; i < high; i++, z += width, sum += n)
        for (uint64_t j = 0; j < wide; j++) /* a shift of the bits is a product, negative or not */
            sum[j] += (int64_t)((uint64_t)(int64_t)z[j] << shift);
}

/* Row r of a tile alone, as it is defined. */
static void add_row(const struct csl_outer *o, uint64_t high, uint64_t wide, const float *a,
                    const float *b, int64_t *sum)
{
    for (uint64_t i = 0; i < high; i++)
        for (uint64_t j = 0; j < wide; j++)
            sum[i * o->n + j] +=
                (int64_t)rint((double)a[i] * (double)b[j]) * (INT64_C(1) << o->shift);
}

/* Rows as packed and their largest values. */
struct packed {
    const float *values, *most;
};

/* sum: [high, wide] += one tile: rows that fit together as products in float32, a row too large
 * alone. z stays below 2^31: 256 rows of at most 2^22. */
static void add_tile(const struct csl_outer *o, const struct tiles *t, uint64_t rows,
                     struct packed a, struct packed b, uint64_t high, uint64_t wide, int64_t *sum)
{
    int32_t z[HEIGHT * WIDTH_MAX] = {0};
    for (uint64_t from = 0, count; from < rows; from += count) {
        count = fitting(rows - from, a.most + from, b.most + from);
        const float *left = a.values + from * t->height, *right = b.values + from * t->width;
        if (count > 0)
            t->run(count, left, right, z);
        else
            add_row(o, high, wide, left, right, sum);
        count = count > 0 ? count : 1;
    }
    empty_tile(high, wide, z, t->width, o->shift, sum, o->n);
}

/* Rows [from, to). room: all columns of b packed, and the largest values of their rows; so the sum
 * is met row by row, as it lies in memory. */
static void add_rows(const struct csl_outer *o, const struct tiles *t, uint64_t from, uint64_t to,
                     float *room, int64_t *sum)
{
    float panel[PANEL * HEIGHT], most[PANEL];
    uint64_t rows = to - from, step = rows * (t->width + 1);
    const struct packed a = {panel, most};
    for (uint64_t j = 0, at = 0; j < o->n; j += t->width, at += step)
        pack(o, o->b, o->scale_b, o->n, from, to, j, t->width, room + at,
             room + at + rows * t->width);
    for (uint64_t i = 0; i < o->m; i += t->height) {
        uint64_t high = o->m - i < t->height ? o->m - i : t->height;
        pack(o, o->a, o->scale_a, o->m, from, to, i, t->height, panel, most);
        for (uint64_t j = 0, at = 0; j < o->n; j += t->width, at += step) {
            const struct packed b = {room + at, room + at + rows * t->width};
            uint64_t wide = o->n - j < t->width ? o->n - j : t->width;
            add_tile(o, t, rows, a, b, high, wide, sum + i * o->n + j);
        }
    }
}

uint64_t csl_outer_room(uint64_t rows, uint64_t n)
{
    return (rows < PANEL ? rows : PANEL) * (n + WIDTH_MAX + n / 16 + 2);
}

void csl_outer_sum(const struct csl_outer *o, float *room, int64_t *sum)
{
    struct tiles t = tiles_of_machine();
    CSL_ASSERT(o->shift <= 16);
    if (t.run == NULL) {
        csl_outer_sum_plain(o, sum);
        return;
    }
    for (uint64_t from = 0; from < o->rows; from += PANEL)
        add_rows(o, &t, from, o->rows - from < PANEL ? o->rows : from + PANEL, room, sum);
}
#else
uint64_t csl_outer_room(uint64_t rows, uint64_t n)
{
    (void)rows;
    (void)n;
    return 1;
}

void csl_outer_sum(const struct csl_outer *o, float *room, int64_t *sum)
{
    (void)room;
    csl_outer_sum_plain(o, sum);
}
#endif
