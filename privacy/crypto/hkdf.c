#include "privacy/crypto/hkdf.h"

#include "base/check.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* Looked up once: a look-up costs more than a derivation. Never released. */
static EVP_KDF *hkdf;
static pthread_once_t hkdf_once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
}

/* OpenSSL reads parameters through pointers to what is not const. */
static OSSL_PARAM octets(const char *name, const void *p, size_t n)
{
    void *same;
    memcpy(&same, &p, sizeof(same));
    return OSSL_PARAM_construct_octet_string(name, same, n);
}

static bool derive(OSSL_PARAM *params, uint8_t *out, size_t n)
{
    CSL_ASSERT(pthread_once(&hkdf_once, fetch) == 0);
    if (hkdf == NULL)
        return false;
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(hkdf);
    if (ctx == NULL)
        return false;
    bool ok = EVP_KDF_derive(ctx, out, n, params) == 1;
    EVP_KDF_CTX_free(ctx);
    return ok;
}

static OSSL_PARAM digest_sha256(void)
{
    static char name[] = "SHA256";
    return OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name, 0);
}

enum csl_code csl_hkdf_extract(const void *salt, size_t salt_bytes, const void *material,
                               size_t material_bytes, uint8_t out[CSL_HKDF_KEY_BYTES],
                               struct csl_err *err)
{
    CSL_ASSERT(material_bytes > 0);
    int mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    OSSL_PARAM params[5];
    OSSL_PARAM *p = params;
    *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *p++ = digest_sha256();
    *p++ = octets(OSSL_KDF_PARAM_KEY, material, material_bytes);
    if (salt_bytes > 0)
        *p++ = octets(OSSL_KDF_PARAM_SALT, salt, salt_bytes);
    *p = OSSL_PARAM_construct_end();
    uint8_t key[CSL_HKDF_KEY_BYTES];
    bool ok = derive(params, key, sizeof(key));
    if (ok)
        memcpy(out, key, sizeof(key));
    OPENSSL_cleanse(key, sizeof(key));
    return ok ? CSL_OK : CSL_FAIL(err, CSL_E_NOMEM, "HKDF-Extract did not run");
}

enum csl_code csl_hkdf_expand(const uint8_t key[CSL_HKDF_KEY_BYTES], const void *info,
                              size_t info_bytes, void *out, size_t out_bytes, struct csl_err *err)
{
    CSL_ASSERT(info_bytes <= CSL_HKDF_INFO_MAX && out_bytes > 0 && out_bytes <= CSL_HKDF_OUT_MAX);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[5];
    OSSL_PARAM *p = params;
    *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *p++ = digest_sha256();
    *p++ = octets(OSSL_KDF_PARAM_KEY, key, CSL_HKDF_KEY_BYTES);
    if (info_bytes > 0)
        *p++ = octets(OSSL_KDF_PARAM_INFO, info, info_bytes);
    *p = OSSL_PARAM_construct_end();
    uint8_t okm[CSL_HKDF_OUT_MAX];
    bool ok = derive(params, okm, out_bytes);
    if (ok)
        memcpy(out, okm, out_bytes);
    OPENSSL_cleanse(okm, out_bytes);
    return ok ? CSL_OK : CSL_FAIL(err, CSL_E_NOMEM, "HKDF-Expand did not run");
}
