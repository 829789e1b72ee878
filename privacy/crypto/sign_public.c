/* Public keys as texts that one party hands to another; nothing in this file is secret. */
#include "base/check.h"
#include "base/file.h"
#include "privacy/crypto/sign.h"

#include <stdio.h>
#include <string.h>

static const char heading[] = "consilium public key 1 ed25519 ";
enum { DIGITS = 2 * CSL_SIGN_PUBLIC_BYTES };

enum csl_code csl_sign_store_public(const struct csl_sign_key *k, const char *role,
                                    const char *path, struct csl_err *err)
{
    char text[sizeof(heading) + CSL_SIGN_ROLE_MAX + DIGITS + 2], hex[DIGITS + 1];
    CSL_ASSERT(strlen(role) < CSL_SIGN_ROLE_MAX);
    if (csl_file_exists(path))
        return CSL_FAIL(err, CSL_E_EXISTS, "%s exists already", path);
    csl_hex(k->public_key, sizeof(k->public_key), hex);
    int n = snprintf(text, sizeof(text), "%s%s\n%s\n", heading, role, hex);
    CSL_ASSERT(n > 0 && (size_t)n < sizeof(text));
    return csl_file_write_atomic(path, CSL_SPAN(text, (size_t)n), 0644, err);
}

enum csl_code csl_sign_load_public(uint8_t out[CSL_SIGN_PUBLIC_BYTES], const char *role,
                                   const char *path, struct csl_err *err)
{
    struct csl_msg text = {NULL, 0};
    char hex[DIGITS + 1] = "", named[CSL_SIGN_ROLE_MAX] = "";
    uint8_t key[CSL_SIGN_PUBLIC_BYTES];
    enum csl_code code =
        csl_file_read(&text, path, sizeof(heading) + CSL_SIGN_ROLE_MAX + sizeof(hex) + 2, err);
    if (code == CSL_E_LIMIT)
        code = CSL_FAIL(err, CSL_E_CORRUPT, "%s: longer than a public key", path);
    if (code != CSL_OK)
        return code;
    const size_t begin = sizeof(heading) - 1;
    const uint8_t *end = text.n > begin ? memchr(text.p + begin, '\n', text.n - begin) : NULL;
    size_t length = end == NULL ? 0 : (size_t)(end - (text.p + begin));
    bool is_good = end != NULL && memcmp(text.p, heading, begin) == 0 && length < sizeof(named) &&
                   text.n == begin + length + 1 + DIGITS + 1 && text.p[text.n - 1] == '\n';
    if (is_good) {
        memcpy(named, text.p + begin, length);
        memcpy(hex, end + 1, DIGITS);
        is_good = memchr(named, '\0', length) == NULL && csl_unhex(hex, key, sizeof(key));
    }
    csl_msg_release(&text);
    if (!is_good)
        return CSL_FAIL(err, CSL_E_CORRUPT,
                        "%s: not a public key; a line '%s%s' and one of %d digits would be right",
                        path, heading, role, DIGITS);
    if (strcmp(named, role) != 0)
        return CSL_FAIL(err, CSL_E_INVAL,
                        "%s: the key of another party; that of '%s' would be right", path, role);
    memcpy(out, key, sizeof(key));
    return CSL_OK;
}
