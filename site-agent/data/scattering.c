#include "site-agent/data/scattering.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

#define PI 3.14159265358979323846

enum { SCALES = 2, DIRECTIONS = 4, STEP = CSL_SCATTERING_STEP, PATHS = CSL_SCATTERING_PATHS };
enum { REACH = 9, SIDE = 2 * REACH + 1 }; /* of the longest wavelet, whole pixels */
enum { SMOOTH_REACH = 3, SMOOTH_TAPS = STEP + 2 * SMOOTH_REACH };

struct tap {
    int down, across;
    float re, im;
};
struct wavelet {
    struct tap taps[SIDE * SIDE];
    uint32_t count;
};

struct csl_scattering {
    uint32_t height, width, channels;
    struct wavelet wavelets[SCALES][DIRECTIONS];
    float smooth[SMOOTH_TAPS];
    float *room;                               /* what the following lie in */
    float *image, *first[DIRECTIONS], *second; /* [height, width] */
    float *wide;                               /* [height + 2 REACH, width + 2 REACH] */
    float *re, *im;                            /* [width] */
    float *coarse;                             /* [height / STEP, width] */
};

static double deviation_of(int scale)
{
    return 0.8 * (1 << scale);
}

static void wavelet_make(struct wavelet *w, int scale, int direction)
{
    double envelope[SIDE * SIDE], waves[SIDE * SIDE], sum = 0, level = 0;
    double angle = PI * direction / DIRECTIONS, frequency = 0.75 * PI / (1 << scale);
    for (int v = -REACH; v <= REACH; v++)
        for (int u = -REACH; u <= REACH; u++) {
            double along = cos(angle) * u + sin(angle) * v;
            double aside = cos(angle) * v - sin(angle) * u;
            double r = (along * along + aside * aside / 4) / pow(deviation_of(scale), 2);
            if (r > 9)
                continue;
            envelope[w->count] = exp(-r / 2);
            waves[w->count] = frequency * along;
            sum += envelope[w->count];
            level += envelope[w->count] * cos(waves[w->count]);
            w->taps[w->count++] = (struct tap){.down = v, .across = u};
        }
    for (uint32_t i = 0; i < w->count; i++) {
        w->taps[i].re = (float)(envelope[i] / sum * (cos(waves[i]) - level / sum));
        w->taps[i].im = (float)(envelope[i] / sum * sin(waves[i]));
    }
}

enum csl_code csl_scattering_new(struct csl_scattering **out, const uint32_t shape[3],
                                 struct csl_err *err)
{
    size_t plane = (size_t)shape[0] * shape[1];
    size_t wide = ((size_t)shape[0] + 2 * REACH) * (shape[1] + 2 * REACH);
    struct csl_scattering *s = csl_alloc(sizeof(*s));
    float *room = csl_alloc_array(
        (DIRECTIONS + 2) * plane + wide + 2 * (size_t)shape[1] + plane / STEP, sizeof(*room));
    if (s == NULL || room == NULL) {
        csl_free(s);
        csl_free(room);
        return CSL_FAIL(err, CSL_E_NOMEM, "no memory for scattering of %u x %u images", shape[0],
                        shape[1]);
    }
    s->room = s->image = room;
    s->second = room + plane;
    for (int t = 0; t < DIRECTIONS; t++)
        s->first[t] = room + (size_t)(2 + t) * plane;
    s->wide = room + (2 + DIRECTIONS) * plane;
    s->re = s->wide + wide;
    s->im = s->re + shape[1];
    s->coarse = s->im + shape[1];
    s->height = shape[0];
    s->width = shape[1];
    s->channels = shape[2];
    for (int j = 0; j < SCALES; j++)
        for (int t = 0; t < DIRECTIONS; t++)
            wavelet_make(&s->wavelets[j][t], j, t);
    for (int i = 0; i < SMOOTH_TAPS; i++) {
        double u = (i - (SMOOTH_TAPS - 1) / 2.0) / deviation_of(SCALES - 1);
        s->smooth[i] = (float)exp(-u * u / 2);
    }
    *out = s;
    return CSL_OK;
}

void csl_scattering_free(struct csl_scattering *s)
{
    if (s == NULL)
        return;
    csl_free(s->room);
    csl_free(s);
}

/* --- one channel --- */

/* The channel in standard units; false: it has one value, or none. */
static bool standardise(struct csl_scattering *s, const float *from)
{
    size_t count = (size_t)s->height * s->width, known = 0;
    double mean = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        float v = from[i * s->channels];
        if (isnan(v))
            continue;
        double change = (double)v - mean;
        mean += change / (double)++known;
        squares += change * ((double)v - mean);
    }
    double scale = known > 0 ? sqrt(squares / (double)known) : 0;
    if (!(scale > 0))
        return false;
    for (size_t i = 0; i < count; i++) {
        float v = from[i * s->channels];
        s->image[i] = isnan(v) ? 0 : (float)(((double)v - mean) / scale);
    }
    return true;
}

/* Place i of an axis continued by reflection; i lies within one length of it. */
static uint32_t reflected(int64_t i, uint32_t length)
{
    if (i < 0)
        return (uint32_t)(-1 - i);
    return i < (int64_t)length ? (uint32_t)i : (uint32_t)(2 * (int64_t)length - 1 - i);
}

/* s->wide: x continued by reflection. */
static void widen(struct csl_scattering *s, const float *x)
{
    uint32_t h = s->height, w = s->width;
    float *to = s->wide;
    for (int64_t y = -REACH; y < (int64_t)h + REACH; y++)
        for (int64_t i = -REACH; i < (int64_t)w + REACH; i++)
            *to++ = x[(size_t)reflected(y, h) * w + reflected(i, w)];
}

/* to: |s->wide * wavelet| */
static void take_modulus(struct csl_scattering *s, int scale, int direction, float *to)
{
    const struct wavelet *f = &s->wavelets[scale][direction];
    uint32_t w = s->width;
    float *re = s->re, *im = s->im;
    for (int64_t y = REACH; y < (int64_t)s->height + REACH; y++, to += w) {
        memset(re, 0, w * sizeof(*re));
        memset(im, 0, w * sizeof(*im));
        for (uint32_t k = 0; k < f->count; k++) {
            const struct tap *t = &f->taps[k];
            const float *x = s->wide + (y + t->down) * (int64_t)(w + 2 * REACH) + REACH + t->across;
            for (uint32_t i = 0; i < w; i++) {
                re[i] += t->re * x[i];
                im[i] += t->im * x[i];
            }
        }
        for (uint32_t i = 0; i < w; i++)
            to[i] = sqrtf(re[i] * re[i] + im[i] * im[i]);
    }
}

/* The weighted mean of values around block `at` of a line of `length` values, each `stride` on. */
static float smoothed(const float *taps, const float *line, uint32_t length, size_t stride,
                      uint32_t at)
{
    float sum = 0, weights = 0;
    for (uint32_t k = 0; k < SMOOTH_TAPS; k++) {
        int64_t i = (int64_t)at * STEP + k - SMOOTH_REACH;
        if (i < 0 || i >= (int64_t)length)
            continue;
        sum += taps[k] * line[(size_t)i * stride];
        weights += taps[k];
    }
    return sum / weights;
}

/* Path `path` of the coefficients from its plane; to: those of the channel. */
static void put_path(struct csl_scattering *s, const float *plane, uint32_t path, float *to)
{
    uint32_t rows = s->height / STEP, columns = s->width / STEP;
    for (uint32_t y = 0; y < rows; y++)
        for (uint32_t i = 0; i < s->width; i++)
            s->coarse[(size_t)y * s->width + i] =
                smoothed(s->smooth, plane + i, s->height, s->width, y);
    for (uint32_t y = 0; y < rows; y++)
        for (uint32_t i = 0; i < columns; i++) {
            float v = smoothed(s->smooth, s->coarse + (size_t)y * s->width, s->width, 1, i);
            to[((size_t)y * columns + i) * s->channels * PATHS + path] =
                path == 0 ? v : logf(0.1f + v);
        }
}

/* Paths [first, end) of the channel in standard units, together. */
static void normalise(const struct csl_scattering *s, uint32_t first, uint32_t end, float *to)
{
    size_t places = (size_t)(s->height / STEP) * (s->width / STEP);
    size_t row = (size_t)s->channels * PATHS;
    double mean = 0, squares = 0, count = (double)places * (end - first);
    for (size_t i = 0; i < places; i++)
        for (uint32_t k = first; k < end; k++)
            mean += (double)to[i * row + k] / count;
    for (size_t i = 0; i < places; i++)
        for (uint32_t k = first; k < end; k++)
            squares += ((double)to[i * row + k] - mean) * ((double)to[i * row + k] - mean);
    double scale = 1 / sqrt(squares / count + 1e-5);
    for (size_t i = 0; i < places; i++)
        for (uint32_t k = first; k < end; k++)
            to[i * row + k] = (float)(((double)to[i * row + k] - mean) * scale);
}

static void scatter(struct csl_scattering *s, float *to)
{
    static const uint32_t kinds[] = {0, 1, 1 + DIRECTIONS, 1 + 2 * DIRECTIONS, PATHS};
    uint32_t path = 0;
    put_path(s, s->image, path++, to);
    widen(s, s->image);
    for (int t = 0; t < DIRECTIONS; t++) {
        take_modulus(s, 0, t, s->first[t]);
        put_path(s, s->first[t], path++, to);
    }
    for (int t = 0; t < DIRECTIONS; t++) {
        take_modulus(s, 1, t, s->second);
        put_path(s, s->second, path++, to);
    }
    for (int t = 0; t < DIRECTIONS; t++) {
        widen(s, s->first[t]);
        for (int u = 0; u < DIRECTIONS; u++) {
            take_modulus(s, 1, u, s->second);
            put_path(s, s->second, path++, to);
        }
    }
    for (int i = 0; i < 4; i++)
        normalise(s, kinds[i], kinds[i + 1], to);
}

void csl_scattering_run(struct csl_scattering *s, const float *image, float *to)
{
    size_t places = (size_t)(s->height / STEP) * (s->width / STEP);
    memset(to, 0, places * s->channels * PATHS * sizeof(*to));
    for (uint32_t c = 0; c < s->channels; c++)
        if (standardise(s, image + c))
            scatter(s, to + (size_t)c * PATHS);
}
