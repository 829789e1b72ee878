#include "privacy/ledger/checkpoint.h"

#include "base/check.h"
#include "base/str.h"
#include "privacy/ledger/base64.h"

#include <stdio.h>
#include <string.h>

#define SIGNED_BYTES (4 + CSL_SIGN_SIGNATURE_BYTES) /* key hash, signature */

/* The signed text; the signature lines follow it. Returns its length. */
static size_t body(const struct csl_checkpoint *c, char out[CSL_CHECKPOINT_TEXT_MAX])
{
    char root[CSL_BASE64_LENGTH(CSL_SHA256_BYTES) + 1];
    csl_base64_encode(c->root, sizeof(c->root), root);
    int n = snprintf(out, CSL_CHECKPOINT_TEXT_MAX, "%s\n%llu\n%s\n", c->origin,
                     (unsigned long long)c->size, root);
    CSL_ASSERT(n > 0 && n < CSL_CHECKPOINT_TEXT_MAX);
    return (size_t)n;
}

void csl_checkpoint_countersign(const struct csl_checkpoint *c, const struct csl_sign_key *key,
                                uint8_t out[CSL_SIGN_SIGNATURE_BYTES])
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    size_t n = body(c, text);
    csl_sign(key, text, n, out);
}

bool csl_checkpoint_verify_countersignature(const struct csl_checkpoint *c,
                                            const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                            const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES])
{
    char text[CSL_CHECKPOINT_TEXT_MAX];
    size_t n = body(c, text);
    return csl_sign_verify(public_key, text, n, signature);
}

void csl_checkpoint_sign(struct csl_checkpoint *c, const struct csl_sign_key *key)
{
    csl_checkpoint_countersign(c, key, c->signature);
}

bool csl_checkpoint_verify(const struct csl_checkpoint *c,
                           const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES])
{
    return csl_checkpoint_verify_countersignature(c, public_key, c->signature);
}

static void key_hash(const char *name, const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                     uint8_t out[4])
{
    uint8_t digest[CSL_SHA256_BYTES];
    struct csl_sha256 h;
    csl_sha256_init(&h);
    csl_sha256_update(&h, name, strlen(name));
    csl_sha256_update(&h, "\n\001", 2);
    csl_sha256_update(&h, public_key, CSL_SIGN_PUBLIC_BYTES);
    csl_sha256_final(&h, digest);
    memcpy(out, digest, 4);
}

void csl_checkpoint_write(const struct csl_checkpoint *c,
                          const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                          char out[CSL_CHECKPOINT_TEXT_MAX])
{
    uint8_t raw[SIGNED_BYTES];
    char text[CSL_BASE64_LENGTH(SIGNED_BYTES) + 1];
    key_hash(c->origin, public_key, raw);
    memcpy(raw + 4, c->signature, CSL_SIGN_SIGNATURE_BYTES);
    csl_base64_encode(raw, sizeof(raw), text);
    size_t at = body(c, out);
    int n =
        snprintf(out + at, CSL_CHECKPOINT_TEXT_MAX - at, "\n\xe2\x80\x94 %s %s\n", c->origin, text);
    CSL_ASSERT(n > 0 && (size_t)n < CSL_CHECKPOINT_TEXT_MAX - at);
}

/* The next line without its end, NUL-terminated in place; NULL: none. */
static char *next_line(char **rest)
{
    char *line = *rest, *end = strchr(line, '\n');
    if (end == NULL)
        return NULL;
    *end = '\0';
    *rest = end + 1;
    return line;
}

static enum csl_code parse(struct csl_checkpoint *c, char *text, struct csl_err *err)
{
    char *rest = text, *origin = next_line(&rest);
    char *size = origin != NULL ? next_line(&rest) : NULL;
    char *root = size != NULL ? next_line(&rest) : NULL;
    char *empty = root != NULL ? next_line(&rest) : NULL;
    char *line = empty != NULL ? next_line(&rest) : NULL;
    if (line == NULL || *empty != '\0' || *rest != '\0')
        return CSL_FAIL(err, CSL_E_PROTO,
                        "checkpoint: origin, size, root, an empty line and one signature line "
                        "would be right");
    size_t n = 0;
    if (*origin == '\0' || strchr(origin, ' ') != NULL || strchr(origin, '+') != NULL ||
        !csl_str_copy(c->origin, sizeof(c->origin), origin))
        return CSL_FAIL(err, CSL_E_PROTO,
                        "checkpoint: the origin is empty, too long or has a "
                        "space or a plus");
    if (!csl_parse_u64(size, &c->size))
        return CSL_FAIL(err, CSL_E_PROTO, "checkpoint: the size is no number");
    if (!csl_base64_decode(root, strlen(root), c->root, sizeof(c->root), &n) ||
        n != sizeof(c->root))
        return CSL_FAIL(err, CSL_E_PROTO, "checkpoint: the root is not 32 bytes in base64");
    uint8_t raw[SIGNED_BYTES];
    char *encoded = strrchr(line, ' ');
    if (encoded == NULL ||
        !csl_base64_decode(encoded + 1, strlen(encoded + 1), raw, sizeof(raw), &n) ||
        n != sizeof(raw))
        return CSL_FAIL(err, CSL_E_PROTO, "checkpoint: no Ed25519 signature line");
    memcpy(c->signature, raw + 4, sizeof(c->signature));
    return CSL_OK;
}

enum csl_code csl_checkpoint_read(struct csl_checkpoint *out, struct csl_span text,
                                  const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES],
                                  struct csl_err *err)
{
    char copy[CSL_CHECKPOINT_TEXT_MAX], again[CSL_CHECKPOINT_TEXT_MAX];
    struct csl_checkpoint c = {.size = 0};
    if (text.n >= sizeof(copy) || memchr(text.p, 0, text.n) != NULL)
        return CSL_FAIL(err, CSL_E_PROTO, "checkpoint: too long, or not a text");
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    enum csl_code code = parse(&c, copy, err);
    if (code != CSL_OK)
        return code;
    /* One way of writing: compares spelling of numbers, dash, name and key hash at once. */
    csl_checkpoint_write(&c, public_key, again);
    if (strlen(again) != text.n || memcmp(again, text.p, text.n) != 0)
        return CSL_FAIL(err, CSL_E_PROTO, "checkpoint: not of this key, or not written as one");
    if (!csl_checkpoint_verify(&c, public_key))
        return CSL_FAIL(err, CSL_E_CRYPTO, "checkpoint: the signature does not verify");
    *out = c;
    return CSL_OK;
}
