/* protocol/identity/pki.c - making keys and certificates. */
#include "protocol/identity/pki.h"

#include "base/file.h"
#include "base/str.h"
#include "protocol/identity/openssl_error.h"

#include <limits.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define DAYS_MAX           3660
#define CLOCK_SKEW_SECONDS 300
#define NAMES_TEXT_MAX     1024

struct extension {
    int nid;
    const char *value;
};

/* One certificate to be made. */
struct order {
    const char *common_name;
    const struct extension *extensions; /* up to nid 0 */
    int days;
    X509 *issuer; /* NULL: self-signed */
    EVP_PKEY *issuer_key;
};

static enum csl_code write_bio(BIO *bio, const char *path, struct csl_err *err)
{
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);
    if (n <= 0)
        return csl_openssl__fail(err, CSL_E_CRYPTO, "PEM text");
    enum csl_code code = csl_file_write_atomic(path, CSL_SPAN(text, (size_t)n), 0600, err);
    OPENSSL_cleanse(text, (size_t)n);
    return code;
}

static enum csl_code write_pair(EVP_PKEY *key, X509 *cert, const char *key_path,
                                const char *cert_path, struct csl_err *err)
{
    enum csl_code code = CSL_OK;
    BIO *key_bio = BIO_new(BIO_s_mem());
    BIO *cert_bio = BIO_new(BIO_s_mem());
    if (key_bio == NULL || cert_bio == NULL ||
        PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(cert_bio, cert) != 1)
        code = csl_openssl__fail(err, CSL_E_CRYPTO, "PEM text of a key or certificate");
    if (code == CSL_OK)
        code = write_bio(key_bio, key_path, err);
    if (code == CSL_OK)
        code = write_bio(cert_bio, cert_path, err);
    BIO_free(key_bio);
    BIO_free(cert_bio);
    return code;
}

static bool set_serial(X509 *x)
{
    BIGNUM *n = BN_new();
    bool ok = n != NULL && BN_rand(n, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
    BN_free(n);
    return ok;
}

/* From a moment ago (clocks of hospitals differ) for `days`; wholly in the past when days < 0. */
static bool set_times(X509 *x, int days)
{
    int first_day = days < 0 ? days - 1 : 0;
    return X509_time_adj_ex(X509_getm_notBefore(x), first_day, -CLOCK_SKEW_SECONDS, NULL) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(x), days, 0, NULL) != NULL;
}

static bool set_names(X509 *x, const struct order *o)
{
    X509_NAME *name = X509_get_subject_name(x);
    const unsigned char *text = (const unsigned char *)o->common_name;
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
           X509_set_issuer_name(x, o->issuer == NULL ? name : X509_get_subject_name(o->issuer)) ==
               1;
}

static bool set_extensions(X509 *x, const struct order *o)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, o->issuer == NULL ? x : o->issuer, x, NULL, NULL, 0);
    for (const struct extension *e = o->extensions; e->nid != 0; e++) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, e->nid, e->value);
        if (ext == NULL)
            return false;
        int ok = X509_add_ext(x, ext, -1);
        X509_EXTENSION_free(ext);
        if (ok != 1)
            return false;
    }
    return true;
}

static enum csl_code make(const struct order *o, const char *key_path, const char *cert_path,
                          struct csl_err *err)
{
    if (o->days > DAYS_MAX || o->days < -DAYS_MAX)
        return CSL_FAIL(err, CSL_E_INVAL, "validity of %d days; at most %d would be right", o->days,
                        DAYS_MAX);
    enum csl_code code = CSL_OK;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    if (key == NULL || x == NULL || X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) ||
        !set_times(x, o->days) || !set_names(x, o) || X509_set_pubkey(x, key) != 1 ||
        !set_extensions(x, o) ||
        X509_sign(x, o->issuer == NULL ? key : o->issuer_key, EVP_sha256()) == 0)
        code = csl_openssl__fail(err, CSL_E_CRYPTO, "making a certificate");
    if (code == CSL_OK)
        code = write_pair(key, x, key_path, cert_path, err);
    X509_free(x);
    EVP_PKEY_free(key);
    return code;
}

static enum csl_code check_domain(const char *trust_domain, struct csl_err *err)
{
    if (csl_trust_domain_valid(trust_domain))
        return CSL_OK;
    return CSL_FAIL(err, CSL_E_INVAL, "trust domain: 1 to %d of a-z 0-9 . - would be right",
                    CSL_TRUST_DOMAIN_MAX - 1);
}

enum csl_code csl_pki_make_authority(const char *trust_domain, int days, const char *key_path,
                                     const char *cert_path, struct csl_err *err)
{
    enum csl_code code = check_domain(trust_domain, err);
    if (code != CSL_OK)
        return code;
    char uri[CSL_SPIFFE_MAX];
    char name[CSL_TRUST_DOMAIN_MAX];
    (void)snprintf(uri, sizeof(uri), "URI:spiffe://%s", trust_domain);
    (void)snprintf(name, sizeof(name), "%s", trust_domain);
    const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
        {NID_subject_alt_name, uri},
        {0, NULL},
    };
    const struct order o = {.common_name = name, .extensions = extensions, .days = days};
    return make(&o, key_path, cert_path, err);
}

struct authority {
    EVP_PKEY *key;
    X509 *cert;
};

static void authority_release(struct authority *a)
{
    EVP_PKEY_free(a->key);
    X509_free(a->cert);
}

static enum csl_code authority_load(struct authority *a, const struct csl_pki_authority *files,
                                    struct csl_err *err)
{
    struct csl_msg key = {0}, cert = {0};
    enum csl_code code = csl_file_read(&key, files->key_path, CSL_PEM_BYTES_MAX, err);
    if (code == CSL_OK)
        code = csl_file_read(&cert, files->cert_path, CSL_PEM_BYTES_MAX, err);
    if (code == CSL_OK)
        code = csl_pki_check_set(csl_msg_span(&key), csl_msg_span(&cert), csl_msg_span(&cert), err);
    if (code == CSL_OK) {
        BIO *key_bio = BIO_new_mem_buf(key.p, (int)key.n);
        BIO *cert_bio = BIO_new_mem_buf(cert.p, (int)cert.n);
        a->key = key_bio == NULL ? NULL : PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
        a->cert = cert_bio == NULL ? NULL : PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
        BIO_free(key_bio);
        BIO_free(cert_bio);
        if (a->key == NULL || a->cert == NULL)
            code = csl_openssl__fail(err, CSL_E_CRYPTO, "authority");
    }
    if (key.p != NULL)
        OPENSSL_cleanse(key.p, key.n);
    csl_msg_release(&key);
    csl_msg_release(&cert);
    return code;
}

/* "localhost,127.0.0.1" -> "DNS:localhost,IP:127.0.0.1", appended to text. */
static enum csl_code append_names(char *text, size_t text_bytes, const char *names,
                                  struct csl_err *err)
{
    size_t used = strlen(text);
    for (const char *p = names; *p != '\0';) {
        size_t n = strcspn(p, ",");
        bool is_name =
            n > 0 && n < 254 &&
            strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-*") >= n;
        if (!is_name)
            return CSL_FAIL(err, CSL_E_INVAL, "names: 'host,host,address' would be right");
        bool is_address = memchr(p, ':', n) != NULL || strspn(p, "0123456789.") >= n;
        int added = snprintf(text + used, text_bytes - used, ",%s:%.*s", is_address ? "IP" : "DNS",
                             (int)n, p);
        if (added < 0 || (size_t)added >= text_bytes - used)
            return CSL_FAIL(err, CSL_E_LIMIT, "names: longer than %zu bytes", text_bytes);
        used += (size_t)added;
        p += n;
        p += *p == ',';
    }
    return CSL_OK;
}

static enum csl_code issue(const struct csl_pki_authority *ca, const char *common_name,
                           const char *alternative_names, const char *purposes, int days,
                           const char *key_path, const char *chain_path, struct csl_err *err)
{
    struct authority a = {0};
    enum csl_code code = authority_load(&a, ca, err);
    if (code == CSL_OK) {
        const struct extension extensions[] = {
            {NID_basic_constraints, "critical,CA:FALSE"},
            {NID_key_usage, "critical,digitalSignature"},
            {NID_ext_key_usage, purposes},
            {NID_subject_key_identifier, "hash"},
            {NID_authority_key_identifier, "keyid:always"},
            {NID_subject_alt_name, alternative_names},
            {0, NULL},
        };
        const struct order o = {.common_name = common_name,
                                .extensions = extensions,
                                .days = days,
                                .issuer = a.cert,
                                .issuer_key = a.key};
        code = make(&o, key_path, chain_path, err);
    }
    authority_release(&a);
    return code;
}

enum csl_code csl_pki_issue_coordinator(const struct csl_pki_authority *ca,
                                        const char *trust_domain, const char *names, int days,
                                        const char *key_path, const char *chain_path,
                                        struct csl_err *err)
{
    enum csl_code code = check_domain(trust_domain, err);
    if (code != CSL_OK)
        return code;
    char text[NAMES_TEXT_MAX];
    (void)snprintf(text, sizeof(text), "URI:spiffe://%s/coordinator", trust_domain);
    code = append_names(text, sizeof(text), names, err);
    if (code != CSL_OK)
        return code;
    return issue(ca, "coordinator", text, "serverAuth,clientAuth", days, key_path, chain_path, err);
}

enum csl_code csl_pki_issue_site(const struct csl_pki_authority *ca, const char *trust_domain,
                                 const char *site_id, int days, const char *key_path,
                                 const char *chain_path, struct csl_err *err)
{
    enum csl_code code = check_domain(trust_domain, err);
    if (code != CSL_OK)
        return code;
    if (!csl_id_valid(site_id))
        return CSL_FAIL(err, CSL_E_INVAL, "site id: [a-z0-9][a-z0-9._-]{0,62} would be right");
    char text[CSL_SPIFFE_MAX];
    (void)snprintf(text, sizeof(text), "URI:spiffe://%s/site/%s", trust_domain, site_id);
    return issue(ca, site_id, text, "clientAuth", days, key_path, chain_path, err);
}
