/* Not POSIX: pread of /proc/self/mem at any address. */
#define _DEFAULT_SOURCE
#include "tests/unit/crypto/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Needles are kept inverted, so that the search does not find itself. */
enum { NEEDLES_MAX = 32 };
static uint8_t inverted[NEEDLES_MAX][32];
static size_t needles;

void scan_begin(void)
{
    needles = 0;
}

size_t scan_needles(void)
{
    return needles;
}

void scan_for(const void *secret)
{
    const uint8_t *p = secret;
    assert_true(needles < NEEDLES_MAX);
    for (size_t i = 0; i < 32; i++)
        inverted[needles][i] = (uint8_t)~p[i];
    needles++;
}

/* How many times the first 16 bytes of a needle are in `p`. */
static size_t count_in(const uint8_t *p, size_t n)
{
    size_t found = 0;
    for (size_t k = 0; k < needles; k++)
        for (size_t i = 0; i + 16 <= n; i++) {
            size_t same = 0;
            while (same < 16 && (p[i + same] ^ inverted[k][same]) == 0xff)
                same++;
            found += same == 16;
        }
    return found;
}

/* In everything that can be written to: heap, stacks, data, and the arenas themselves. Larger
 * mappings are those of a sanitizer. */
size_t scan_count(void)
{
    static uint8_t page[4096 + 15];
    size_t found = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    FILE *memory = fopen("/proc/self/mem", "r");
    assert_non_null(maps);
    assert_non_null(memory);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long from, to;
        char mode[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[0] != 'r' ||
            mode[1] != 'w' || to - from > 64ul << 20)
            continue;
        for (unsigned long at = from; at < to; at += 4096) {
            if ((uintptr_t)page >= at && (uintptr_t)page < at + 4096)
                continue;
            ssize_t n = pread(fileno(memory), page, sizeof(page), (off_t)at);
            if (n > 0)
                found += count_in(page, (size_t)n);
        }
    }
    memset(page, 0, sizeof(page));
    fclose(maps);
    fclose(memory);
    return found;
}
