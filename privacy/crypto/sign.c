#include "privacy/crypto/sign.h"

#include "base/check.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(crypto_sign_SEEDBYTES == CSL_SIGN_SEED_BYTES, "RFC 8032");
_Static_assert(crypto_sign_PUBLICKEYBYTES == CSL_SIGN_PUBLIC_BYTES, "RFC 8032");
_Static_assert(crypto_sign_BYTES == CSL_SIGN_SIGNATURE_BYTES, "RFC 8032");
_Static_assert(crypto_sign_SECRETKEYBYTES == sizeof(((struct csl_sign_key *)0)->secret),
               "seed and public key");

void csl_sign_keygen(struct csl_sign_key *out)
{
    CSL_ASSERT(crypto_sign_keypair(out->public_key, out->secret) == 0);
}

void csl_sign_from_seed(struct csl_sign_key *out, const uint8_t seed[CSL_SIGN_SEED_BYTES])
{
    CSL_ASSERT(crypto_sign_seed_keypair(out->public_key, out->secret, seed) == 0);
}

void csl_sign_wipe(struct csl_sign_key *k)
{
    sodium_memzero(k, sizeof(*k));
}

/* Exactly n bytes and then the end of the file. */
static bool read_exactly(int fd, uint8_t *out, size_t n)
{
    size_t got = 0;
    uint8_t more;
    while (got < n) {
        ssize_t r = read(fd, out + got, n - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        got += (size_t)r;
    }
    return read(fd, &more, 1) == 0;
}

enum csl_code csl_sign_load(struct csl_sign_key *out, const char *path, struct csl_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return CSL_FAIL_SYS(err, errno == ENOENT ? CSL_E_NOTFOUND : CSL_E_IO, "%s", path);
    uint8_t seed[CSL_SIGN_SEED_BYTES];
    struct stat st;
    enum csl_code code = CSL_OK;
    if (fstat(fd, &st) != 0)
        code = CSL_FAIL_SYS(err, CSL_E_IO, "%s", path);
    else if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
        code = CSL_FAIL(err, CSL_E_DENIED,
                        "%s: a secret key with mode %03o; a file with mode 600 would be right",
                        path, (unsigned)(st.st_mode & 0777));
    else if (!read_exactly(fd, seed, sizeof(seed)))
        code = CSL_FAIL(err, CSL_E_CORRUPT, "%s: not the %d bytes of a secret key", path,
                        CSL_SIGN_SEED_BYTES);
    else
        csl_sign_from_seed(out, seed);
    sodium_memzero(seed, sizeof(seed));
    close(fd);
    return code;
}

enum csl_code csl_sign_store(const struct csl_sign_key *k, const char *path, struct csl_err *err)
{
    if (csl_file_exists(path))
        return CSL_FAIL(err, CSL_E_EXISTS, "%s exists already", path);
    uint8_t seed[CSL_SIGN_SEED_BYTES];
    CSL_ASSERT(crypto_sign_ed25519_sk_to_seed(seed, k->secret) == 0);
    enum csl_code code = csl_file_write_atomic(path, CSL_SPAN(seed, sizeof(seed)), 0600, err);
    sodium_memzero(seed, sizeof(seed));
    return code;
}

void csl_sign(const struct csl_sign_key *k, const void *p, size_t n,
              uint8_t out[CSL_SIGN_SIGNATURE_BYTES])
{
    CSL_ASSERT(crypto_sign_detached(out, NULL, p, n, k->secret) == 0);
}

bool csl_sign_verify(const uint8_t public_key[CSL_SIGN_PUBLIC_BYTES], const void *p, size_t n,
                     const uint8_t signature[CSL_SIGN_SIGNATURE_BYTES])
{
    return crypto_sign_verify_detached(signature, p, n, public_key) == 0;
}
