/* protocol/identity/certificate.c - reading certificates: pin, name, time, and whether a set fits.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"
#include "protocol/identity/openssl_error.h"
#include "protocol/identity/pki.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum csl_code csl_openssl__fail(struct csl_err *err, enum csl_code code, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);
    ERR_clear_error();
    return CSL_FAIL(err, code, "%s: %s", what, reason == NULL ? "no reason given" : reason);
}

bool csl_trust_domain_valid(const char *trust_domain)
{
    size_t n = strlen(trust_domain);
    return n > 0 && n < CSL_TRUST_DOMAIN_MAX &&
           strspn(trust_domain, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n;
}

/* An empty password instead of OpenSSL's default callback, which would ask on the terminal. */
static int no_password(char *buffer, int size, int is_writing, void *ctx)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    (void)ctx;
    return -1;
}

static BIO *memory_bio(struct csl_span s)
{
    return s.n == 0 || s.n > INT_MAX ? NULL : BIO_new_mem_buf(s.p, (int)s.n);
}

static X509 *first_certificate(struct csl_span pem)
{
    BIO *bio = memory_bio(pem);
    X509 *x = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, no_password, NULL);
    BIO_free(bio);
    return x;
}

static enum csl_code pin_of(X509 *x, uint8_t pin[CSL_PIN_BYTES], struct csl_err *err)
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    if (n <= 0)
        return csl_openssl__fail(err, CSL_E_CRYPTO, "certificate: public key");
    size_t written = 0;
    int ok = EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, pin, &written);
    OPENSSL_free(der);
    if (ok != 1 || written != CSL_PIN_BYTES)
        return csl_openssl__fail(err, CSL_E_CRYPTO, "certificate: SHA-256 of the public key");
    return CSL_OK;
}

/* The one URI among the alternative names; "" when there is none. */
static enum csl_code uri_of(X509 *x, char *out, size_t out_bytes, struct csl_err *err)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int count = names == NULL ? 0 : sk_GENERAL_NAME_num(names);
    int uris = 0;
    enum csl_code code = CSL_OK;
    out[0] = '\0';
    for (int i = 0; i < count && code == CSL_OK; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
        const char *text = (const char *)ASN1_STRING_get0_data(uri);
        size_t n = (size_t)ASN1_STRING_length(uri);
        if (++uris > 1)
            code = CSL_FAIL(err, CSL_E_CRYPTO,
                            "certificate: more than one URI name; exactly one "
                            "identifies a party");
        else if (n >= out_bytes || memchr(text, '\0', n) != NULL)
            code = CSL_FAIL(err, CSL_E_CRYPTO,
                            "certificate: URI name of %zu bytes; at most %zu "
                            "without NUL",
                            n, out_bytes - 1);
        else {
            memcpy(out, text, n);
            out[n] = '\0';
        }
    }
    GENERAL_NAMES_free(names);
    return code;
}

enum csl_code csl_certificate_parse(struct csl_certificate *out, struct csl_span pem,
                                    struct csl_err *err)
{
    X509 *x = first_certificate(pem);
    if (x == NULL)
        return csl_openssl__fail(err, CSL_E_CRYPTO, "not a PEM certificate");
    struct csl_certificate c = {.seconds_left = 0};
    int days = 0, seconds = 0;
    enum csl_code code = pin_of(x, c.pin, err);
    if (code == CSL_OK)
        code = uri_of(x, c.spiffe_id, sizeof(c.spiffe_id), err);
    if (code == CSL_OK && ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)) != 1)
        code = csl_openssl__fail(err, CSL_E_CRYPTO, "certificate: end of validity");
    c.seconds_left = (int64_t)days * 86400 + seconds;
    X509_free(x);
    if (code == CSL_OK)
        *out = c;
    return code;
}

enum csl_code csl_certificate_read(struct csl_certificate *out, const char *path,
                                   struct csl_err *err)
{
    struct csl_msg pem = {0};
    enum csl_code code = csl_file_read(&pem, path, CSL_PEM_BYTES_MAX, err);
    if (code != CSL_OK)
        return code;
    struct csl_err why;
    code = csl_certificate_parse(out, csl_msg_span(&pem), &why);
    csl_msg_release(&pem);
    return code == CSL_OK ? CSL_OK : CSL_FAIL(err, code, "%s: %s", path, why.msg);
}

enum csl_code csl_pki_pin_read(uint8_t pin[CSL_PIN_BYTES], const char *cert_path,
                               struct csl_err *err)
{
    struct csl_certificate c;
    enum csl_code code = csl_certificate_read(&c, cert_path, err);
    if (code == CSL_OK)
        memcpy(pin, c.pin, CSL_PIN_BYTES);
    return code;
}

int64_t csl_certificate_days_left(const struct csl_certificate *c)
{
    int64_t days = c->seconds_left / 86400;
    return c->seconds_left % 86400 < 0 ? days - 1 : days;
}

static X509_STORE *store_of(struct csl_span roots_pem)
{
    BIO *bio = memory_bio(roots_pem);
    X509_STORE *store = X509_STORE_new();
    uint32_t added = 0;
    while (bio != NULL && store != NULL) {
        X509 *root = PEM_read_bio_X509(bio, NULL, no_password, NULL);
        if (root == NULL)
            break;
        added += X509_STORE_add_cert(store, root) == 1;
        X509_free(root);
    }
    BIO_free(bio);
    if (added == 0) {
        X509_STORE_free(store);
        return NULL;
    }
    ERR_clear_error(); /* the end of the text counts as an error to OpenSSL */
    return store;
}

/* Certificates after the first of a chain text. NULL only when out of memory. */
static STACK_OF(X509) * rest_of_chain(struct csl_span chain_pem)
{
    STACK_OF(X509) *rest = sk_X509_new_null();
    BIO *bio = memory_bio(chain_pem);
    X509 *x = NULL;
    for (int i = 0; rest != NULL && bio != NULL; i++) {
        x = PEM_read_bio_X509(bio, NULL, no_password, NULL);
        if (x == NULL)
            break;
        if (i == 0 || sk_X509_push(rest, x) <= 0)
            X509_free(x);
    }
    BIO_free(bio);
    ERR_clear_error();
    return rest;
}

static enum csl_code check_vouched(X509 *leaf, struct csl_span chain_pem, struct csl_span roots_pem,
                                   struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    X509_STORE *store = store_of(roots_pem);
    STACK_OF(X509) *rest = rest_of_chain(chain_pem);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (store == NULL)
        code = CSL_FAIL(err, CSL_E_CRYPTO, "roots: no certificate found");
    else if (rest == NULL || ctx == NULL || X509_STORE_CTX_init(ctx, store, leaf, rest) != 1)
        code = csl_openssl__fail(err, CSL_E_NOMEM, "certificate check");
    else if (X509_verify_cert(ctx) != 1)
        code = CSL_FAIL(err, CSL_E_CRYPTO, "certificate: %s",
                        X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    X509_STORE_CTX_free(ctx);
    sk_X509_pop_free(rest, X509_free);
    X509_STORE_free(store);
    ERR_clear_error();
    return code;
}

enum csl_code csl_pki_check_set(struct csl_span key_pem, struct csl_span chain_pem,
                                struct csl_span roots_pem, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    BIO *bio = memory_bio(key_pem);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    X509 *leaf = first_certificate(chain_pem);
    if (key == NULL)
        code = csl_openssl__fail(err, CSL_E_CRYPTO, "key: not an unencrypted PEM private key");
    else if (leaf == NULL)
        code = csl_openssl__fail(err, CSL_E_CRYPTO, "chain: not a PEM certificate");
    else if (X509_check_private_key(leaf, key) != 1)
        code = csl_openssl__fail(err, CSL_E_CRYPTO, "key and certificate do not belong together");
    else
        code = check_vouched(leaf, chain_pem, roots_pem, err);
    X509_free(leaf);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return code;
}

/* What follows "spiffe://<trust_domain>" in `id`, or NULL. A trust domain that is none (ours comes
 * from a configuration file) matches nothing: an empty one would accept whatever begins with '/'.
 */
static const char *path_of(const char *id, const char *trust_domain)
{
    static const char scheme[] = "spiffe://";
    size_t n = strlen(trust_domain);
    if (!csl_trust_domain_valid(trust_domain) || strncmp(id, scheme, sizeof(scheme) - 1) != 0)
        return NULL;
    id += sizeof(scheme) - 1;
    return strncmp(id, trust_domain, n) == 0 ? id + n : NULL;
}

enum csl_code csl_spiffe_site(char *out, const char *spiffe_id, const char *trust_domain,
                              struct csl_err *err)
{
    static const char folder[] = "/site/";
    const char *path = path_of(spiffe_id, trust_domain);
    if (path == NULL || strncmp(path, folder, sizeof(folder) - 1) != 0 ||
        !csl_id_valid(path + sizeof(folder) - 1)) {
        char shown[CSL_SPIFFE_MAX];
        csl_str_escape(shown, sizeof(shown), spiffe_id, strlen(spiffe_id));
        return CSL_FAIL(err, CSL_E_UNAUTH, "found '%s'; spiffe://%s/site/<id> would be right",
                        shown, trust_domain);
    }
    (void)snprintf(out, CSL_ID_MAX, "%s", path + sizeof(folder) - 1); /* csl_id_valid: it fits */
    return CSL_OK;
}

bool csl_spiffe_is_coordinator(const char *spiffe_id, const char *trust_domain)
{
    const char *path = path_of(spiffe_id, trust_domain);
    return path != NULL && strcmp(path, "/coordinator") == 0;
}
