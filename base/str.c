#include "base/str.h"

#include "base/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

bool csl_str_copy(char *dst, size_t dst_bytes, const char *src)
{
    if (dst_bytes == 0)
        return false;
    size_t n = strlen(src);
    if (n >= dst_bytes) {
        dst[0] = '\0';
        return false;
    }
    memcpy(dst, src, n + 1);
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool csl_id_valid(const char *id)
{
    size_t n = 0;
    for (; id[n] != '\0'; n++) {
        char c = id[n];
        bool is_start = is_digit(c) || (c >= 'a' && c <= 'z');
        bool is_later = is_start || c == '.' || c == '_' || c == '-';
        if (n + 1 >= CSL_ID_MAX || (n == 0 ? !is_start : !is_later))
            return false;
    }
    return n > 0;
}

bool csl_parse_u64(const char *text, uint64_t *out)
{
    if (*text == '\0')
        return false;
    uint64_t v = 0;
    for (; *text != '\0'; text++) {
        if (!is_digit(*text))
            return false;
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool csl_parse_i64(const char *text, int64_t *out)
{
    bool is_negative = *text == '-';
    uint64_t magnitude;
    if (!csl_parse_u64(text + (is_negative ? 1 : 0), &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + (is_negative ? 1 : 0))
        return false;
    if (is_negative)
        *out = magnitude == 0 ? 0 : -(int64_t)(magnitude - 1) - 1;
    else
        *out = (int64_t)magnitude;
    return true;
}

static const char *skip_digits(const char *p)
{
    while (is_digit(*p))
        p++;
    return p;
}

/* -?(digits[.digits*] | .digits)([eE][+-]?digits)? : what strtod takes, less hex, blanks and names.
 */
static bool is_decimal(const char *p)
{
    if (*p == '-' || *p == '+')
        p++;
    const char *whole = p;
    p = skip_digits(p);
    size_t digits = (size_t)(p - whole);
    if (*p == '.') {
        const char *fraction = ++p;
        p = skip_digits(p);
        digits += (size_t)(p - fraction);
    }
    if (digits == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+')
            p++;
        if (!is_digit(*p))
            return false;
        p = skip_digits(p);
    }
    return *p == '\0';
}

bool csl_parse_f64(const char *text, double *out)
{
    if (!is_decimal(text))
        return false;
    char *end;
    double v = strtod(text, &end); /* no program of ours calls setlocale: the point is a point */
    if (*end != '\0' || !isfinite(v))
        return false;
    *out = v;
    return true;
}

void csl_str_f64(char *dst, size_t dst_bytes, double v)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(dst, dst_bytes, "%.*g", digits, v);
        if (strtod(dst, NULL) == v)
            return;
    }
}

void csl_str_escape(char *dst, size_t dst_bytes, const char *src, size_t src_bytes)
{
    static const char hex[] = "0123456789abcdef";
    if (dst_bytes == 0)
        return;
    size_t n = 0, n_with_dots = 0; /* n_with_dots: the last cut that leaves room for "..." */
    for (size_t i = 0; i < src_bytes; i++) {
        unsigned char c = (unsigned char)src[i];
        bool is_plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\'' && c != '\\';
        size_t need = is_plain ? 1 : 4;
        if (n + need >= dst_bytes) {
            size_t dots = dst_bytes - 1 - n_with_dots;
            dots = dots > 3 ? 3 : dots;
            memset(dst + n_with_dots, '.', dots);
            dst[n_with_dots + dots] = '\0';
            return;
        }
        if (is_plain) {
            dst[n] = (char)c;
        } else {
            const char raw[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
            memcpy(dst + n, raw, sizeof(raw));
        }
        n += need;
        if (n + 4 <= dst_bytes)
            n_with_dots = n;
    }
    dst[n] = '\0';
}

size_t csl_utf8_next(const char *p, size_t n)
{
    if (n == 0)
        return 0;
    unsigned char c = (unsigned char)p[0];
    size_t length = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (length == 0 || length > n)
        return 0;
    for (size_t i = 1; i < length; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return 0;
    unsigned char second = length > 1 ? (unsigned char)p[1] : 0;
    /* Over-long forms, surrogates, and code points beyond 10FFFF (RFC 3629 section 4). */
    if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
        (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
        return 0;
    return length;
}

void csl_str_bytes(char *dst, size_t dst_bytes, uint64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000) {
        snprintf(dst, dst_bytes, "%u B", (unsigned)bytes);
        return;
    }
    double v = (double)bytes / 1000;
    size_t unit = 0;
    while (v >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        v /= 1000;
        unit++;
    }
    snprintf(dst, dst_bytes, v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[unit]);
}

void csl_str_duration(char *dst, size_t dst_bytes, uint64_t ns)
{
    const uint64_t us = ns / 1000, ms = us / 1000, s = ms / 1000;
    if (us < 1000)
        snprintf(dst, dst_bytes, "%u us", (unsigned)us);
    else if (s < 1)
        snprintf(dst, dst_bytes, "%u ms", (unsigned)ms);
    else if (s < 60)
        snprintf(dst, dst_bytes, "%u.%u s", (unsigned)s, (unsigned)(ms % 1000 / 100));
    else if (s < 3600)
        snprintf(dst, dst_bytes, "%u m %u s", (unsigned)(s / 60), (unsigned)(s % 60));
    else if (s < 86400)
        snprintf(dst, dst_bytes, "%u h %u m", (unsigned)(s / 3600), (unsigned)(s % 3600 / 60));
    else
        snprintf(dst, dst_bytes, "%llu d %u h", (unsigned long long)(s / 86400),
                 (unsigned)(s % 86400 / 3600));
}

const char *csl_str_plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}
