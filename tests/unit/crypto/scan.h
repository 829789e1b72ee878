/* tests/unit/crypto/scan.h - looks for secrets in everything of this process that can be written
 * to: heap, stacks, data, arenas. One search at a time. */
#ifndef CSL_TESTS_CRYPTO_SCAN_H
#define CSL_TESTS_CRYPTO_SCAN_H
#include <stddef.h>

void scan_begin(void);             /* forgets the needles */
void scan_for(const void *secret); /* 32 bytes, of which the first 16 are looked for */
size_t scan_needles(void);
size_t scan_count(void); /* places in memory that hold a needle */

#endif
