/* site-agent/data/text.h - clinical notes as numbers: words, word n-grams, hashed ids.
 *
 * No vocabulary is made, shared or kept: a word's id is a fixed public hash of its bytes (feature
 * hashing, Weinberger et al., ICML 2009), so that every site gives the same word the same id
 * without telling anyone which words it has. The hash protects nothing: whoever has a dictionary
 * reads the words back, and ids are patient data like the note itself.
 *
 * A word is a longest run of ASCII letters, ASCII digits and characters beyond ASCII, but for the
 * signs of Latin-1 (U+0080 to U+00BF without the letters U+00AA, U+00B5, U+00BA) and general
 * punctuation (U+2000 to U+206F), which separate as everything else does. A to Z and the capitals
 * of Latin-1 (U+00C0 to U+00DE but U+00D7) count as small letters. Normalisation forms are left
 * alone: text should come composed (NFC). After each word come the n-grams of 2 to `ngrams` words
 * that end with it, their words joined by one blank.
 *
 * id = 1 + fold(FNV-1a-64(bytes)) mod (buckets - 1), fold(h) = (h >> 32) ^ (h mod 2^32), 0 is
 * padding. FNV-1a: Fowler, Noll, Vo; offset basis cbf29ce484222325, prime 100000001b3 (RFC draft
 * draft-eastlake-fnv). */
#ifndef CSL_DATA_TEXT_H
#define CSL_DATA_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSL_TEXT_HASH        "fnv1a64"
#define CSL_TEXT_BUCKETS_MAX (1u << 24) /* ids stay exact as float32 */
#define CSL_TEXT_NGRAMS_MAX  4

struct csl_text_rule {
    uint32_t buckets;    /* ids are 1 to buckets - 1; 2 to CSL_TEXT_BUCKETS_MAX */
    uint32_t ngrams;     /* 1: words alone; to CSL_TEXT_NGRAMS_MAX */
    uint32_t tokens_max; /* ids kept of one note, its first ones; from 1 */
};

uint64_t csl_text_hash(const void *bytes, size_t n);
/* The ids of a text of valid UTF-8 (csl_utf8_next) into out[rule->tokens_max]; returns how many.
 * Any thread. */
uint32_t csl_text_tokens(const struct csl_text_rule *rule, const char *text, size_t n,
                         uint32_t *out);

#endif
