#include "site-agent/data/text.h"

#include "base/banned.h"

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t fnv_byte(uint64_t h, uint8_t byte)
{
    return (h ^ byte) * FNV_PRIME;
}

uint64_t csl_text_hash(const void *bytes, size_t n)
{
    uint64_t h = FNV_BASIS;
    for (size_t i = 0; i < n; i++)
        h = fnv_byte(h, ((const uint8_t *)bytes)[i]);
    return h;
}

/* Bytes of the separator that starts at text[i]; 0: a character of a word does. */
static size_t separator_bytes(const char *text, size_t n, size_t i)
{
    uint8_t b = (uint8_t)text[i], b1 = i + 1 < n ? (uint8_t)text[i + 1] : 0;
    uint8_t b2 = i + 2 < n ? (uint8_t)text[i + 2] : 0;
    if (b < 0x80)
        return !((b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z'));
    if (b == 0xc2 && b1 >= 0x80) /* U+0080 to U+00BF but the letters among them */
        return b1 == 0xaa || b1 == 0xb5 || b1 == 0xba ? 0 : 2;
    if (b == 0xe2 && (b1 == 0x80 || (b1 == 0x81 && b2 >= 0x80 && b2 <= 0xaf)))
        return i + 2 < n ? 3 : 1; /* U+2000 to U+206F */
    return 0;
}

/* Byte i of the text as it is hashed. The capitals of Latin-1 are c3 80 to c3 9e in UTF-8. */
static uint8_t folded(const char *text, size_t i)
{
    uint8_t b = (uint8_t)text[i], before = i > 0 ? (uint8_t)text[i - 1] : 0;
    if (b >= 'A' && b <= 'Z')
        return (uint8_t)(b + 0x20);
    if (before == 0xc3 && b >= 0x80 && b <= 0x9e && b != 0x97)
        return (uint8_t)(b + 0x20);
    return b;
}

uint32_t csl_text_tokens(const struct csl_text_rule *rule, const char *text, size_t n,
                         uint32_t *out)
{
    /* running[k]: the hash of the k + 1 words that end with the current one */
    uint64_t running[CSL_TEXT_NGRAMS_MAX] = {0};
    uint32_t count = 0, words = 0;
    size_t i = 0;
    while (i < n && count < rule->tokens_max) {
        size_t apart = separator_bytes(text, n, i);
        if (apart > 0) {
            i += apart;
            continue;
        }
        words++;
        for (uint32_t k = rule->ngrams - 1; k > 0; k--)
            running[k] = fnv_byte(running[k - 1], ' ');
        running[0] = FNV_BASIS;
        for (; i < n && separator_bytes(text, n, i) == 0; i++)
            for (uint32_t k = 0; k < rule->ngrams; k++)
                running[k] = fnv_byte(running[k], folded(text, i));
        for (uint32_t k = 0; k < rule->ngrams && k < words && count < rule->tokens_max; k++) {
            uint32_t fold = (uint32_t)(running[k] >> 32) ^ (uint32_t)running[k];
            out[count++] = 1 + fold % (rule->buckets - 1);
        }
    }
    return count;
}
